"""Derived indexes: led along the journal, made again from the rows, one's own too."""

import contextlib
import threading
from collections import Counter

import pytest

import holdfast
from conftest import place_on
from holdfast import declared, errors
from holdfast.declared import index
from holdfast.indexes import Derived, State, advance, state_of
from holdfast.runtime import consulting
from holdfast.searching.words import words


class Counts(Derived):
    """How many records of an owner have each word: a tiny index in a plain table."""

    name = "counts"
    sql = """
-- tables --
-- Which words a record has.
create table counted (
    no integer not null,
    owner text not null,
    word text not null,
    primary key (no, word)
) strict, without rowid;
create index counted_word on counted (owner, word);

-- counts_add --
-- A word that a record has.
insert into counted (no, owner, word) values (:no, :owner, :word)

-- counts_forget --
-- Leave a record out.
delete from counted where no = :no

-- counts_clear --
-- Leave all out.
delete from counted

-- counts_of --
-- How many records have a word.
select count(*) from counted where owner = :owner and word = :word
"""

    def take(self, tx, table, rows):
        for no, owner, *values in rows:
            tx.put("counts_forget", no=no)
            for word in set(words(" ".join(filter(None, values)))):
                tx.put("counts_add", no=no, owner=owner, word=word)

    def forget(self, tx, table, numbers):
        for no in numbers:
            tx.put("counts_forget", no=no)

    def clear(self, tx):
        tx.put("counts_clear")


def count(word):
    def ask(tx, state):
        ((found,),) = tx.all("counts_of", owner=tx.terms.owner, word=word)
        return found

    return ask


@pytest.fixture
def with_counts():
    """Has every store keep the index `counts` too."""
    before = dict(declared._indexes)
    index(Counts)
    yield
    declared._indexes.clear()
    declared._indexes.update(before)
    declared._current.clear()


def put(store, name, **values):
    """Run a statement by hand, as nobody should."""
    store.run(lambda tx: tx._tx.run(name, **values))


def where(store, name="search"):
    """How far an index has come."""
    state = []
    registry = declared.registry()
    found = registry.indexes[name]
    fed = registry.fed(found)
    store.run(lambda tx: state.append(state_of(tx._tx, found, fed)))
    return state[-1]


def talk_of(store, number=5, id="s"):
    store.sessions.create(f"title of {id}", id=id)
    said = [{"role": "user", "content": f"word{n} every"} for n in range(number)]
    store.sessions.extend(id, said)


@pytest.fixture(params=["memory", "file", "postgres"])
def target(request, tmp_path):
    """Where a store may be made, on each engine."""
    with place_on(request.param, tmp_path) as place:
        yield place


def test_an_index_of_ones_own_is_led_on_like_ours(with_counts, target):
    with holdfast.open(target) as store:
        talk_of(store)
        assert store.consult("counts", count("every")) == 5
        store.sessions.pop("s")
        store.sessions.append("s", "user", "every")
        store.owned_by("ada").sessions.create("every")
        assert store.consult("counts", count("every")) == 5
        assert store.consult("counts", count("word4")) == 0
        assert store.owned_by("ada").consult("counts", count("every")) == 1
        put(store, "counts_clear")
        store.rebuild("counts")
        assert store.consult("counts", count("every")) == 5
        assert len(store.search("every")) == 5
        with pytest.raises(errors.Refused, match="no index 'other'"):
            store.consult("other", count("every"))


def test_a_store_that_was_made_before_an_index_gets_it(request, target):
    if target == ":memory:":
        return
    with holdfast.open(target) as store:
        talk_of(store)
    request.getfixturevalue("with_counts")
    with pytest.raises(errors.NeedsMigration, match="counts from version 0 to 1"):
        holdfast.open(target, read_only=True)
    with holdfast.open(target) as store:
        assert store.consult("counts", count("every")) == 5


def test_another_version_of_an_index_is_made_again(monkeypatch, with_counts, target):
    if target == ":memory:":
        return
    with holdfast.open(target) as store:
        talk_of(store)
        assert store.consult("counts", count("every")) == 5
        put(store, "counts_clear")
    monkeypatch.setattr(Counts, "version", 3)
    declared._current.clear()
    with holdfast.open(target) as store:
        assert store.consult("counts", count("every")) == 5
        monkeypatch.setattr(Counts, "version", 2)
        with pytest.raises(errors.TooNew, match="version 3; this one knows 2"):
            store.consult("counts", count("every"))


NOTES = """
-- tables --
-- A note is a text under a name.
create table note (
    no integer primary key,
    owner text not null,
    id text not null,
    title text,
    body text not null,
    unique (owner, id)
) strict;
-- note_put --
-- Keep a note, or another text in its place.
insert into note (no, owner, id, body) values (:no, :owner, :id, :body)
on conflict (owner, id) do update set body = excluded.body
"""


class Notes(holdfast.Kind):
    """Short texts, each under a name."""

    @holdfast.operation
    def put(self, id: str, body: str) -> None:
        """Keep a text under a name."""
        no = self.tx.new_no()
        self.tx.run("note_put", no=no, owner=self.owner, id=id, body=body)


@pytest.fixture
def declares():
    """Declares the notes, or takes them back: as if by several programs."""
    before = dict(declared._declared)

    def forget():
        declared._declared.pop("notes", None)
        declared._current.clear()

    def declare(*text):
        forget()
        holdfast.kind("notes", sql=NOTES, text=text)(Notes)

    yield lambda *text: declare(*text) if text != (None,) else forget()
    declared._declared.clear()
    declared._declared.update(before)
    declared._current.clear()


def notes_of(store, query):
    return {hit.id for hit in store.search(query, kinds=["notes"])}


def test_who_does_not_know_a_kind_leaves_it_to_those_who_do(declares, target):
    if target == ":memory:":
        return
    declares("body")
    with holdfast.open(target) as store:
        store.notes.put("made", "south window")
        assert notes_of(store, "south") == {"made"}
        for note in ("new", "made"):
            declares("body")
            store.notes.put(note, "north gate")
            declares(None)
            with holdfast.open(target) as other:
                talk_of(other, id=f"s{note}")
                assert other.search("north gate every") == ()
                assert where(other).has(store.moment())
        store.sessions.append("snew", "user", "every")
        assert notes_of(store, "north") == {"new", "made"}
        assert notes_of(store, "south") == set()
        assert len(store.search("every")) == 11


@pytest.mark.parametrize("before", [[], ["title"]])
def test_a_column_that_has_text_from_now_on_is_found_in_older_rows_too(
    declares, target, before
):
    if target == ":memory:":
        return
    declares(*before)
    with holdfast.open(target) as store:
        store.notes.put("old", "south window")
        talk_of(store)
        assert len(store.search("every")) == 5
    declares("title", "body")
    with holdfast.open(target, read_only=True) as store:
        assert notes_of(store, "south") == {"old"}
    with holdfast.open(target) as store:
        assert notes_of(store, "south") == {"old"}
        assert where(store) == State(store.moment(), store.moment())


@pytest.mark.parametrize("name", ["search", "Bad name", "sessions", "derived"])
def test_a_name_that_is_taken_is_refused(with_counts, name):
    other = type("Other", (Counts,), {"name": name})
    with pytest.raises(errors.Refused):
        index(other)


def test_tables_and_statements_that_are_taken_are_refused(with_counts):
    for sql in (
        Counts.sql.replace("counted", "search_data"),
        Counts.sql.replace("table counted (", "table message ("),
        Counts.sql.replace("-- counts_of --", "-- search_find --"),
    ):
        with pytest.raises(errors.Refused):
            index(type("Other", (Counts,), {"sql": sql, "name": "others"}))


def test_a_rebuild_heals_what_was_damaged(store):
    talk_of(store)
    assert len(store.search("every")) == 5
    plain = store if isinstance(store, holdfast.Store) else store._target.sync
    put(plain, "search_clear")
    assert store.search("every") == ()
    store.rebuild()
    assert len(store.search("every")) == 5


def test_an_index_whose_journal_was_trimmed_is_made_again(target):
    with holdfast.open(target) as store:
        talk_of(store)
        assert len(store.search("every")) == 5
        store.sessions.append("s", "user", "every")
        store.sessions.pop("s")
        store.sessions.pop("s")
        store.journal.trim(before=store.moment() - 1)
        assert where(store).cursor is None
        assert len(store.search("every")) == 4


def test_it_is_made_in_slices_that_may_be_broken_off(target, monkeypatch):
    monkeypatch.setattr(consulting, "_FIRST_ROWS", 2)
    monkeypatch.setattr(consulting, "_MOST_ROWS", 2)
    search = declared.registry().indexes["search"]
    fed = declared.registry().fed(search)
    with holdfast.open(target) as store:
        for id in "abc":
            talk_of(store, id=id)
        for _ in range(4):
            store.run(lambda tx: advance(tx._tx, search, fed, 2))
        assert not where(store).whole
        store.sessions.pop("a")  # while it is being made
        store.sessions.update("b", title="changed meanwhile")
        talk_of(store, id="d")
        assert len(store.search("every", limit=100)) == 19
        assert len(store.search("meanwhile")) == 1
        assert where(store) == State(store.moment(), store.moment())
        for _ in range(7):
            store.sessions.append("a", "user", "every")
        assert len(store.search("every", limit=100)) == 26


def test_a_record_that_is_large_is_taken_by_itself(target):
    with holdfast.open(target, limits=holdfast.Limits(text_bytes=200_000)) as store:
        store.sessions.create(id="s")
        large = "needle " + "straw " * 200_000 + " end"
        for _ in range(3):
            store.sessions.append("s", "user", [large, {"id": "x"}])
        assert len(store.search("needle straw")) == 3
        assert store.search("end") == ()  # past what is searched of one record
        store.rebuild()
        assert len(store.search("needle")) == 3


def test_of_many_who_lead_it_on_nobody_fails(tmp_path):
    for engine in ("file", "postgres"):
        with place_on(engine, tmp_path) as target:
            several = [holdfast.open(target) for _ in range(3)]
            try:
                race(several)
            finally:
                for store in several:
                    store.close()


def race(several):
    """Have stores write and search at once; each finds all that it wrote."""
    failed = []

    def run(store, me):
        try:
            store.sessions.create(id=me)
            for number in range(30):
                store.sessions.append(me, "user", f"every {me} w{number}")
                assert len(store.search(f"{me} w{number}")) == 1
        except BaseException as error:
            failed.append(error)

    threads = [
        threading.Thread(target=run, args=(store, f"by{place}"))
        for place, store in enumerate(several)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    counts = Counter(h.record["session"] for h in several[0].search("every", limit=100))
    assert sorted(counts.values()) == [30, 30, 30]


@pytest.mark.parametrize("engines", [("file", "postgres"), ("postgres", "file")])
def test_a_copy_makes_an_index_of_its_own(tmp_path, engines):
    here, there = tmp_path / "a", tmp_path / "b"
    here.mkdir()
    there.mkdir()
    with place_on(engines[0], here) as source, place_on(engines[1], there) as copy:
        with holdfast.open(source) as store:
            talk_of(store)
            assert len(store.search("every")) == 5
        with holdfast.open(copy) as store:  # it has an index of what is replaced
            talk_of(store, 9, "other")
            assert len(store.search("every")) == 9
        report = holdfast.copy(source, copy, replace=True)
        assert not {"search", "derived"} & {table.name for table in report.tables}
        with holdfast.open(copy) as store:
            assert where(store).cursor is None
            assert len(store.search("every")) == 5
            assert store.check().problems == ()


def test_cut_anywhere_an_index_is_whole_again(target):
    """Whatever ends a slice, what it took and how far it came are one."""
    search = declared.registry().indexes["search"]
    with holdfast.open(target) as store:
        talk_of(store)
        for place in range(12):

            def broken(tx, place=place):
                left = iter(range(place))
                real = tx._tx.put

                def cut(name, /, **values):
                    if next(left, None) is None:
                        raise errors.Refused("cut")
                    return real(name, **values)

                cutting = type(
                    "Cutting", (), {"__getattr__": lambda _, n: getattr(tx._tx, n)}
                )
                view = cutting()
                view.put = cut
                fed = declared.registry().fed(search)
                advance(view, search, fed, 100)

            with contextlib.suppress(errors.Refused):
                store.run(broken)
            store.sessions.append("s", "user", "every")
        assert len(store.search("every", limit=100)) == 17
