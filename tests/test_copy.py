"""A copy is the same store at another place: rows, journal, history and cursors."""

import apsw
import psycopg
import pytest

import holdfast
from copies import ROUTES, births, kept, live, places_in, small_pages
from holdfast import declared
from holdfast.care.filling import Filling
from holdfast.engines.postgres.target import target_of
from holdfast.errors import (
    CannotOpen,
    NeedsMigration,
    Refused,
    StorageFailed,
    TooNew,
    WrongType,
)
from holdfast.schema.format import ELSEWHERE, Stamp
from postgres import fresh_schema
from test_declared import SQL, Notes
from test_model import Stores, run
from test_postgres_owners import as_agent


@pytest.fixture
def place(tmp_path, monkeypatch):
    small_pages(monkeypatch)
    with places_in(tmp_path) as place:
        yield place


@pytest.fixture(params=ROUTES, ids="-".join)
def route(request, place):
    """A store with a past, and where it may be copied to."""
    source, target = (place(engine) for engine in request.param)
    with holdfast.open(source) as store:
        live(store)
    return source, target


@pytest.fixture
def full(place):
    """A file with a past."""
    source = place("file")
    with holdfast.open(source) as store:
        live(store)
    return source


def changes_of(target):
    with holdfast.open(target) as store:
        return list(store.across_owners().journal.read(limit=1_000))


def test_a_copy_has_every_row_of_every_table_and_is_sound(route):
    source, target = route
    report = holdfast.copy(source, target)
    there = kept(target)
    assert there == kept(source)
    rows = {name: len(found) for name, found in there.items() if name != "store"}
    assert {table.name: table.rows for table in report.tables} == rows
    assert report.rows == sum(rows.values())
    assert report.bytes > report.rows
    assert report.head == max(change["seq"] for change in there["change"])
    assert min(rows[name] for name in ("was_session", "once", "lease", "follower")) > 0


def test_a_copy_and_the_source_stay_as_they_are_when_nothing_is_written(route):
    source, target = route
    before = kept(source)
    holdfast.copy(source, target)
    assert kept(source) == before


def test_there_and_back_again_a_store_is_what_it_was(full, place):
    there, back = place("postgres"), place("file")
    one = holdfast.copy(full, there)
    two = holdfast.copy(there, back)
    assert kept(back) == kept(full)
    assert [t.digest for t in one.tables] == [t.digest for t in two.tables]


def test_the_journal_reads_the_same_with_the_rows_before_and_after(route):
    source, target = route
    holdfast.copy(source, target)
    assert changes_of(target) == changes_of(source)


def test_life_goes_on_at_the_target_where_it_stood(route):
    source, target = route
    holdfast.copy(source, target)
    before = kept(target)
    last = max(change["seq"] for change in before["change"])
    numbers = {row["no"] for name in ("session", "message") for row in before[name]}
    with holdfast.open(target, owner="bob") as store:
        assert store.journal.cursor("reader") == 1
        store.sessions.update("talk", title="once")
        store.sessions.update("talk", title="twice")
        store.sessions.append("talk", "user", "more")
        store.sessions.pop("talk")
        store.sessions.delete("child")
        store.sessions.create("new", id="new")
        store.tasks.complete("doing", {"ok": 1})
        store.owned_by("ada").run(lambda tx: pytest.fail("again"), once="first")
    after = kept(target)
    births(after)
    fresh = [change for change in after["change"] if change["seq"] > last]
    numbered = range(last + 1, last + 1 + len(fresh))
    assert sorted(change["seq"] for change in fresh) == list(numbered)
    made = {change["no"] for change in fresh if change["op"] == "create"}
    assert not made & numbers
    if target.startswith("postgresql:"):
        assert min(made) >= ELSEWHERE


def test_a_store_in_parts_behind_a_wall_is_copied_like_any_other(full, place):
    back = place("file")
    with fresh_schema(partitions=3, row_security="on") as url:
        walled = as_agent(url)
        holdfast.copy(full, walled)
        holdfast.copy(walled, back)
        with (
            holdfast.open(full, owner="ada") as there,
            holdfast.open(walled, owner="ada") as store,
        ):
            assert store.usage() == there.usage()
            store.sessions.update("child", title="other")
            assert store.check().problems == ()
        assert unseen(walled) == 0
    assert kept(back) == kept(full)


def unseen(url):
    """How many sessions somebody sees who says no owner."""
    target = target_of(url.removeprefix("postgresql://"), read_only=True)
    with psycopg.connect(target.conninfo) as connection:
        text = f"select count(*) from {target.schema}.session"
        ((count,),) = connection.execute(text.encode()).fetchall()
    return count


def test_life_goes_on_in_either_place_again_and_again(full, place):
    source = full
    for step, engine in enumerate(["postgres", "postgres", "file", "postgres"]):
        target = place(engine)
        holdfast.copy(source, target)
        with holdfast.open(target, owner="bob") as store:
            store.sessions.update("talk", title=f"step {step}")
            store.sessions.append("talk", "user", step)
            store.sessions.create(id=f"at-{step}")
            if step:
                store.sessions.delete(f"at-{step - 1}")
        births(kept(target))
        source = target


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_what_was_done_in_any_order_is_there_after_a_copy(place, engine):
    class Copied(Stores):
        def teardown(self):
            target = place(engine)
            try:
                holdfast.copy(self.target, target)
                births(kept(target))
                assert kept(target) == kept(self.target)
                self.stores.append(holdfast.open(target, clock=self.clock))
                self.a_store_holds_what_the_model_holds()
            finally:
                super().teardown()

        def __init__(self):
            super().__init__()
            self.target = place("file")

    run(Copied, examples=4, steps=30)


def test_a_kind_of_ones_own_is_copied_with_its_past(place, monkeypatch):
    monkeypatch.setattr(declared, "_declared", dict(declared._declared))
    holdfast.kind("notes", sql=SQL, json=["body"])(Notes)
    try:
        source, target, back = place("file"), place("postgres"), place("file")
        with holdfast.open(source) as store:
            for body in ("first", "second"):
                store.notes.put("a", body)
            store.notes.put("b", "gone")
        holdfast.copy(source, target)
        holdfast.copy(target, back)
        assert kept(target) == kept(source) == kept(back)
        assert len(kept(target)["was_note"]) == 1
        declared._declared.pop("notes")
        declared._current.clear()
        with pytest.raises(Refused, match="notes"):
            holdfast.copy(source, place("file"))
    finally:
        declared._current.clear()


def test_progress_is_told_for_every_table_and_ends_at_all_of_its_rows(full, place):
    told = {}

    def tell(what, done, total):
        assert 0 < done <= total
        told.setdefault(what, []).append(done)

    report = holdfast.copy(full, place("file"), on_progress=tell)
    for table in report.tables:
        for what in ("reading", "comparing") if table.rows else ():
            assert told[f"{what} {table.name}"][-1] == table.rows
    assert told["message"] == sorted(set(told["message"]))
    assert told["change"][-1] == report.head
    assert len(told["change"]) > 3


@pytest.mark.parametrize("engine", ["file", "postgres"])
@pytest.mark.parametrize("harm", ["a value", "a row"])
def test_a_digest_catches_what_is_not_as_it_was(full, place, monkeypatch, engine, harm):
    target = place(engine)
    real = Filling.add

    def harmful(self, table, columns, rows):
        if table.name == "message" and rows:
            at = columns.index("content")
            rows = rows[1:] if harm == "a row" else [
                (*row[:at], '"forged"', *row[at + 1 :]) for row in rows
            ]  # fmt: skip
        real(self, table, columns, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Filling, "add", harmful)
        with pytest.raises(StorageFailed, match="table message is not what"):
            holdfast.copy(full, target)
    with pytest.raises(CannotOpen, match="not all there yet"):
        holdfast.open(target)
    holdfast.copy(full, target, replace=True)
    assert kept(target) == kept(full)


# What is refused; each is left as it was.


def test_a_source_that_is_not_there_makes_no_target(tmp_path, place):
    target = tmp_path / "target.db"
    with pytest.raises(CannotOpen, match="there is no store"):
        holdfast.copy(tmp_path / "none.db", target)
    with pytest.raises(CannotOpen):
        holdfast.copy(place("postgres"), target)
    assert list(tmp_path.glob("*.db")) == []


@pytest.mark.parametrize("replace", [False, True])
def test_a_store_is_not_copied_onto_itself(route, replace):
    source, _ = route
    before = kept(source)
    with pytest.raises(Refused, match="is the source itself"):
        holdfast.copy(source, source, replace=replace)
    assert kept(source) == before


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_a_target_that_has_data_is_refused_unless_told(full, place, engine):
    target = place(engine)
    with holdfast.open(target) as store:
        live(store)
        store.sessions.create(id="only here")
    before = kept(target)
    with pytest.raises(Refused, match="has data already"):
        holdfast.copy(full, target)
    assert kept(target) == before
    holdfast.copy(full, target, replace=True)
    assert kept(target) == kept(full)


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_a_target_that_was_only_opened_is_as_good_as_none(full, place, engine):
    target = place(engine)
    holdfast.open(target).close()
    holdfast.copy(full, target)
    assert kept(target) == kept(full)


def test_a_copy_that_was_finished_is_not_made_again(route):
    source, target = route
    holdfast.copy(source, target)
    with pytest.raises(Refused, match="a copy of it that was finished"):
        holdfast.copy(source, target, replace=True)
    assert kept(target) == kept(source)


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_a_target_of_a_newer_format_is_left_as_it_was(full, place, engine, monkeypatch):
    target = place(engine)
    with monkeypatch.context() as patch:
        patch.setattr("holdfast.schema.format.OURS", Stamp(9, 9, 9))
        holdfast.open(target).close()
    with pytest.raises(TooNew):
        holdfast.copy(full, target, replace=True)


def test_an_older_target_is_not_migrated_on_the_way(full, tmp_path):
    target = str(tmp_path / "older.db")
    holdfast.open(target).close()
    connection = apsw.Connection(target)
    connection.execute("delete from migration where version > 1")
    connection.close()
    with pytest.raises(NeedsMigration):
        holdfast.copy(full, target, replace=True)


@pytest.mark.parametrize(
    ("source", "target", "error"),
    [
        (":memory:", "x.db", CannotOpen),
        ("x.db", ":memory:", CannotOpen),
        (1, "x.db", WrongType),
        ("mysql://x", "x.db", CannotOpen),
    ],
)
def test_what_cannot_be_copied_is_told(source, target, error, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error):
        holdfast.copy(source, target)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_who_has_the_target_open_writes_nothing_into_a_copy(full, place, engine):
    target = place(engine)
    with holdfast.open(target) as early:
        tries = []

        def write(*_):
            if not tries:
                with pytest.raises(TooNew) as caught:
                    early.sessions.create(id="stray")
                tries.append(caught.value)

        holdfast.copy(full, target, on_progress=write)
        assert tries
    assert kept(target) == kept(full)


def test_leases_go_on_with_the_same_fence(full, place):
    target = place("postgres")
    holdfast.copy(full, target)
    with holdfast.open(full, owner="bob") as here, holdfast.open(target) as there:
        theirs = there.owned_by("bob")
        lease = here.leases.get("sessions", "leased")
        assert theirs.leases.get("sessions", "leased") == lease
        theirs.leases.release("sessions", "leased", fence=lease.fence)
        again = theirs.leases.acquire("sessions", "leased", holder="b", seconds=9)
        assert again.fence == lease.fence + 1
