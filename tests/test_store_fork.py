"""A fork is what the store was at a moment, call by call, and then its own."""

import contextlib
import random
from datetime import timedelta

import pytest

import holdfast
from copies import CHOICES, ROUTES, births, places_in, small_pages
from examples import dump
from holdfast import core, declared, errors
from holdfast.care.filling import Filling
from holdfast.clock import to_datetime
from holdfast.declared import registry
from holdfast.kinds import tasks
from holdfast.schema.copied import copied
from postgres import fresh_schema
from test_declared import SQL, Notes
from test_images import change_something, seen
from test_postgres_owners import as_agent

OWN = {"id", "created_at", "forked_from", "journal_weighed"}
"""What each fork says of itself alone."""


@pytest.fixture
def place(tmp_path, monkeypatch):
    small_pages(monkeypatch)
    with places_in(tmp_path) as place:
        yield place


@pytest.fixture(params=ROUTES, ids="-".join)
def route(request, place):
    """Where a store may be made, and where forked to."""
    return tuple(place(engine) for engine in request.param)


def live(store, clock, seed=1, steps=30):
    """A random history of two owners; what each saw at each moment."""
    chance, said = random.Random(seed), {}
    for _ in range(steps):
        clock.advance(chance.random() + 0.01)
        mine = store.owned_by(chance.choice(["", "ada"]))
        with mine.transaction("me", "a step") as tx:
            tx.tasks.create("a step")
            for _ in range(chance.choice([1, 1, 3])):
                with contextlib.suppress(errors.HoldfastError), tx.savepoint():
                    change_something(tx, chance)
        said[store.moment()] = both(store)
    return said


def both(store):
    """What both owners see, as calls give it."""
    return {
        owner: {**seen(mine), "by tag": [s.id for s in mine.sessions.list(tag="a")]}
        for owner in ("", "ada")
        for mine in [store.owned_by(owner)]
    }


def then(store, moment):
    """What both see of a moment that is past; by tag, today's lists cannot be asked."""
    found = {}
    for owner in ("", "ada"):
        mine = store.owned_by(owner).as_of(moment)
        found[owner] = seen(mine)
    return found


def without_tags(said):
    return {
        owner: {name: value for name, value in found.items() if name != "by tag"}
        for owner, found in said.items()
    }


def held(target):
    """All that is in a store, without what each store says of itself alone."""
    with holdfast.open(target) as store:
        assert store.check().problems == ()
        found = held_by(store)
    found["store"] = [row for row in found["store"] if row["name"] not in CHOICES | OWN]
    return found


def held_by(store):
    """All that is in an open store, without its indexes, which it makes for itself."""
    tables = {table.name for table in copied(registry().parts())} - {"migration"}
    return {n: rows for n, rows in dump(store).items() if n in tables | {"store"}}


def changes(store, upto):
    return [c for c in store.across_owners().journal.read(limit=1_000) if c.seq <= upto]


# What a fork is.


def test_a_fork_is_the_store_as_it_was_and_has_its_past(route, place, clock, request):
    source, target = route
    with holdfast.open(source, clock=clock) as store:
        said = live(store, clock, seed=request.node.name)
        moment = sorted(said)[len(said) * 2 // 3]
        before = held_by(store)
        report = holdfast.fork(source, target, as_of=moment)
        assert held_by(store) == before, "the source stays as it was"
        assert report.head == moment
        with holdfast.open(target, clock=clock) as fork:
            assert both(fork) == said[moment]
            assert fork.moment() == moment
            assert changes(fork, moment) == changes(store, moment)
            for earlier in (m for m in said if m <= moment):
                assert then(fork, earlier) == without_tags(said[earlier]), earlier
            assert fork.check().problems == ()


def test_both_go_on_each_by_itself(route, clock):
    source, target = route
    with holdfast.open(source, clock=clock) as store:
        said = live(store, clock)
        moment = sorted(said)[15]
        now = both(store)
        holdfast.fork(source, target, moment)
        with holdfast.open(target) as fork:
            here = live(fork, clock, seed=7)
            assert both(store) == now
            assert both(fork) == here[max(here)] != now
            for past, was in here.items():
                assert then(fork, past) == without_tags(was), past
            for past in (m for m in said if m <= moment):
                assert then(fork, past) == without_tags(said[past]), past
            there = live(store, clock, seed=8)
            assert both(fork) == here[max(here)]
            assert both(store) == there[max(there)]
            births(dump(fork))
            births(dump(store))
            assert fork.check().problems == store.check().problems == ()


def test_what_is_made_in_a_fork_has_ids_of_its_own(route):
    source, target = route
    with holdfast.open(source) as store:
        store.sessions.create(id="talk")
        holdfast.fork(source, target)
        with holdfast.open(target) as fork:
            made = [one.sessions.create().id for one in (store, fork) for _ in range(9)]
            said = [
                one.sessions.append("talk", "user", "x").id
                for one in (store, fork)
                for _ in range(9)
            ]
            assert len({*made, *said}) == 36
            assert says(fork)["id"] != says(store)["id"]
            assert says(fork)["forked_from"] == f"{says(store)['id']} 1"


def says(store):
    return {row["name"]: row["value"] for row in dump(store)["store"]}


def test_two_forks_of_a_moment_are_equal_and_so_is_one_of_the_fork(route, place, clock):
    source, target = route
    with holdfast.open(source, clock=clock) as store:
        moment = sorted(live(store, clock))[20]
        one = holdfast.fork(source, target, moment)
        live(store, clock, seed=5, steps=5)
    two, third = place("file"), place("postgres")
    again = holdfast.fork(source, two, moment)
    assert again.tables == one.tables
    assert holdfast.fork(target, third, moment).tables == one.tables
    assert held(target) == held(two) == held(third)


def test_a_moment_may_be_named_by_a_time_and_without_one_it_is_now(place, clock):
    source, first, second = (place("file") for _ in range(3))
    with holdfast.open(source, clock=clock) as store:
        store.sessions.create("then", id="talk")
        at = to_datetime(clock.now_us())
        clock.advance(60)
        store.sessions.update("talk", title="now")
    holdfast.fork(source, first, as_of=at + timedelta(seconds=5))
    holdfast.fork(source, second)
    for target, title in ((first, "then"), (second, "now")):
        with holdfast.open(target) as fork:
            assert fork.sessions.get("talk").title == title


def test_a_fork_of_nothing_is_an_empty_store(route):
    source, target = route
    with holdfast.open(source) as store:
        store.sessions.create(id="talk")
    report = holdfast.fork(source, target, as_of=0)
    assert (report.head, report.rows) == (0, 0)
    with holdfast.open(target) as fork:
        assert fork.owners() == []
        fork.sessions.create(id="talk")
        assert fork.moment() == 1


# What has no past.


def test_keyed_runs_are_those_of_before(route, clock):
    source, target = route
    with holdfast.open(source, clock=clock) as store:
        store.run(lambda tx: tx.sessions.create(id="talk").id, once="early")
        clock.advance(1)
        store.run(lambda tx: tx.sessions.append("talk", "user", 1).id, once="late")
        holdfast.fork(source, target, as_of=1)
        with holdfast.open(target, clock=clock) as fork:
            assert fork.run(lambda tx: pytest.fail("again"), once="early") == "talk"
            fork.run(lambda tx: tx.sessions.append("talk", "user", 2).id, once="late")
            assert [m.content for m in fork.sessions.history("talk")] == [2]
            assert [m.content for m in store.sessions.history("talk")] == [1]


def test_leases_and_places_of_followers_are_left_behind(route):
    source, target = route
    with holdfast.open(source) as store:
        store.sessions.create(id="talk")
        store.leases.acquire("sessions", "talk", holder="me", seconds=900)
        store.journal.advance("reader", 1)
        holdfast.fork(source, target)
        with holdfast.open(target) as fork:
            assert fork.leases.get("sessions", "talk") is None
            assert fork.journal.cursor("reader") == 0
            fork.sessions.append("talk", "user", "free")
        with pytest.raises(errors.Held):
            store.sessions.append("talk", "user", "held")


def test_what_was_out_of_sight_then_is_swept_in_the_fork(route, monkeypatch):
    monkeypatch.setattr("holdfast.kinds.histories._SWEPT_AT_ONCE", 3)
    monkeypatch.setattr(tasks, "_SWEPT_AT_ONCE", 3)
    monkeypatch.setattr("holdfast.kinds.marks._AT_ONCE", 2)
    monkeypatch.setattr("holdfast.kinds.threads._SWEPT_AT_ONCE", 1)
    source, target = route
    with monkeypatch.context() as patch:
        for name in ("sqlite.transaction.Sqlite", "postgres.transaction.Postgres"):
            patch.setattr(f"holdfast.engines.{name}Transaction.untidy", lambda tx: None)
        with holdfast.open(source) as store:
            for id in ("cleared", "deleted", "kept"):
                store.sessions.create(id=id)
                said = [{"role": "user", "content": n} for n in range(20)]
                store.sessions.extend(id, said)
            store.tasks.create("a task", id="t")
            for n in range(20):
                store.tasks.log("t", f"line {n}")
            held = {"type": "text", "body": "v" * 100}
            store.threads.put("t", "c", values={"large": held})
            for _ in range(3):
                store.sessions.mark("deleted")
            store.threads.delete("t")
            store.sessions.clear("cleared")
            store.sessions.append("cleared", "user", "new")
            store.sessions.delete("deleted")
            store.tasks.delete("t")
            moment = store.moment()
            units = [store._core.unit(store._core._tidy, core.everyone(store._terms))
                     for _ in range(20)]  # fmt: skip
            for unit in units:
                store._core.engine.write(unit)
            assert dump(store)["leftover"] == []
            assert len(dump(store)["message"]) == 21
            holdfast.fork(source, target, moment)
    for _ in range(20):
        with holdfast.open(target) as fork:
            found = dump(fork)
        if not found["leftover"]:
            break
    tables = ("task_log", "checkpoint", "channel_value", "mark", "segment")
    assert [len(found[table]) for table in ("message", *tables)] == [21, 0, 0, 0, 0, 0]
    with holdfast.open(target) as fork:
        assert len(list(fork.sessions.history("kept"))) == 20
        assert fork.check().problems == ()


def test_a_kind_of_ones_own_is_forked_with_its_past(place, monkeypatch):
    monkeypatch.setattr(declared, "_declared", dict(declared._declared))
    holdfast.kind("notes", sql=SQL, json=["body"])(Notes)
    try:
        source, target = place("file"), place("postgres")
        with holdfast.open(source) as store:
            store.notes.put("a", "first")
            store.notes.put("a", "second")
            moment = store.moment()
            store.notes.put("a", "third")
        holdfast.fork(source, target, moment)
        with holdfast.open(target) as fork:
            assert fork.notes.get("a") == "second"
            assert fork.as_of(1).notes.get("a") == "first"
    finally:
        declared._current.clear()


# Trimmed stores, and a source that lives on.


def test_a_store_that_was_trimmed_is_forked_with_what_is_left(route, clock):
    source, target = route
    with holdfast.open(source, clock=clock) as store:
        said = live(store, clock)
        floor, moment = sorted(said)[10], sorted(said)[20]
        store.journal.trim(floor)
        with pytest.raises(errors.Trimmed):
            holdfast.fork(source, target, as_of=floor - 1)
        holdfast.fork(source, target, as_of=moment)
        with holdfast.open(target) as fork:
            assert fork.journal.horizon() == store.journal.horizon() == floor
            for past in (m for m in said if floor <= m <= moment):
                assert then(fork, past) == without_tags(said[past])
            live(fork, clock, seed=3, steps=10)
            assert then(fork, moment) == without_tags(said[moment])
            assert fork.check().problems == ()


def test_the_source_may_be_written_to_and_trimmed_meanwhile(route, clock):
    source, target = route
    with holdfast.open(source, clock=clock) as store:
        said = live(store, clock)
        floor, moment = sorted(said)[10], sorted(said)[20]
        steps = []

        def go_on(*_):
            steps.append(store.owned_by("ada").sessions.create().id)
            with contextlib.suppress(errors.HoldfastError):
                store.sessions.append("s0", "user", "meanwhile")
            if len(steps) == 15:
                store.journal.trim(floor)

        holdfast.fork(source, target, moment, on_progress=go_on)
        assert len(steps) > 15
        assert store.check().problems == ()
    with holdfast.open(target) as fork:
        assert both(fork) == said[moment]
        assert fork.journal.horizon() == floor
        assert then(fork, floor) == without_tags(said[floor])
        assert fork.check().problems == ()


def test_a_moment_that_is_trimmed_meanwhile_is_told_and_nothing_is_opened(route, clock):
    source, target = route
    with holdfast.open(source, clock=clock) as store:
        said = live(store, clock)

        def trim(*_):
            store.journal.trim(store.moment())

        with pytest.raises(errors.Trimmed):
            holdfast.fork(source, target, sorted(said)[20], on_progress=trim)
        with pytest.raises(errors.CannotOpen, match="not all there yet"):
            holdfast.open(target)
        holdfast.fork(source, target)
    with holdfast.open(target) as fork:
        assert both(fork) == said[max(said)]


# Interrupted, refused, spoiled.


def interrupt_at(place):
    """What interrupts when it is told of progress for so many a time."""
    told = []

    def interrupt(*_):
        told.append(1)
        if len(told) == place:
            raise KeyboardInterrupt

    return interrupt


def test_an_interrupted_fork_is_begun_anew_by_the_next(route, place, clock):
    source, target = route
    with holdfast.open(source, clock=clock) as store:
        moments = sorted(live(store, clock))
    for at in (1, 5, 25):
        with pytest.raises(KeyboardInterrupt):
            holdfast.fork(source, target, moments[20], on_progress=interrupt_at(at))
        with pytest.raises(errors.CannotOpen, match="not all there yet"):
            holdfast.open(target)
    holdfast.fork(source, target, moments[15])
    whole = place("file")
    holdfast.fork(source, whole, moments[15])
    assert held(target) == held(whole)


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_what_cannot_be_forked_is_refused_and_left_as_it_was(place, engine):
    source, target, unmade = place(engine), place("file"), place("file")
    with holdfast.open(source) as store:
        store.sessions.create(id="talk")
        with store.transaction() as tx:
            tx.sessions.append("talk", "user", 1)
            tx.sessions.append("talk", "user", 2)
    with holdfast.open(target) as other:
        other.sessions.create(id="other")
    for where, asked, match in (
        (source, None, "is the source itself"),
        (target, None, "has data already"),
        (unmade, 9, "lies ahead"),
        (unmade, 2, "in the midst"),
    ):
        with pytest.raises(errors.Refused, match=match):
            holdfast.fork(source, where, asked)
    with pytest.raises(errors.CannotOpen):
        holdfast.open(unmade, read_only=True)
    with pytest.raises(errors.Refused, match="is the source itself"):
        holdfast.fork(source, source, replace=True)
    with pytest.raises(errors.WrongType):
        holdfast.fork(source, place("file"), 1.5)
    with pytest.raises(errors.CannotOpen):
        holdfast.fork(place("file"), target)
    with holdfast.open(target) as other:
        assert other.sessions.get("other")
    holdfast.fork(source, target, replace=True)
    with holdfast.open(target) as fork:
        assert [talk.id for talk in fork.sessions.list()] == ["talk"]


@pytest.mark.parametrize("engine", ["file", "postgres"])
@pytest.mark.parametrize("harm", ["a value", "a row"])
def test_a_fork_that_is_not_what_was_read_is_not_opened(
    place, clock, monkeypatch, engine, harm
):
    source, target = place("file"), place(engine)
    with holdfast.open(source, clock=clock) as store:
        store.sessions.create(id="talk")
        store.sessions.extend("talk", [{"role": "user", "content": n} for n in (1, 2)])
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
        with pytest.raises(errors.StorageFailed, match="table message is not what"):
            holdfast.fork(source, target)
    with pytest.raises(errors.CannotOpen, match="not all there yet"):
        holdfast.open(target)
    holdfast.fork(source, target)
    assert held(target)["message"]


def test_a_fork_behind_a_wall_has_what_everyone_had(place, clock):
    source = place("file")
    with holdfast.open(source, clock=clock) as store:
        said = live(store, clock)
        moment = sorted(said)[20]
    with fresh_schema(partitions=3, row_security="on") as url:
        walled = as_agent(url)
        holdfast.fork(source, walled, moment)
        with holdfast.open(walled) as fork:
            assert both(fork) == said[moment]
        back = place("file")
        holdfast.fork(walled, back)
    with holdfast.open(back) as fork:
        assert both(fork) == said[moment]


def test_progress_ends_at_all_rows_of_each_table(place, clock):
    source = place("file")
    with holdfast.open(source, clock=clock) as store:
        live(store, clock)
    told = {}

    def tell(what, done, total):
        assert 0 <= done <= total
        told[what] = (done, total)

    report = holdfast.fork(source, place("file"), on_progress=tell)
    for table in report.tables:
        if table.rows:
            assert told[table.name] == (table.rows, table.rows)
