"""Connections that are lost in the midst of a write: it is there once, or not at all.

A back end is killed at every point of a unit, and a commit's answer is lost both when
there was a commit and when there was none. Whoever was answered, was answered right.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

import holdfast
from driving import Driven
from holdfast.engines.postgres.commit import Committer
from holdfast.engines.postgres.ddl import locks_of
from holdfast.engines.postgres.wire import Wire
from holdfast.errors import TooLarge, Unreachable
from losing import (
    Breaker,
    both,
    by_body,
    by_call,
    by_lease,
    by_run,
    done,
    run_as_group,
    send_only,
)
from postgres import empty_store, shared_url

MANY = 40
POINTS = 40
"""More than any of these writes has; the last one found ends the search."""


@pytest.fixture
def url() -> Iterator[str]:
    with empty_store() as made:
        yield made


@pytest.fixture
def store(url: str) -> Iterator[holdfast.Store]:
    """A store with records to write to; sound at the end."""
    opened = holdfast.open(url)
    opened.sessions.create(id="talk")
    opened.sessions.create(id="leased")
    opened.tasks.create("keep", id="keep")
    yield opened
    report = opened.check()
    opened.close()
    assert report.problems == ()


@pytest.fixture
def breaker() -> Iterator[Breaker]:
    made = Breaker(shared_url())
    yield made
    made.close()


@pytest.fixture(params=["sync", "async"])
def face(
    request: pytest.FixtureRequest,
    store: holdfast.Store,
    loop: asyncio.AbstractEventLoop,
) -> Any:
    """Either face of the store, with the same calls."""
    return store if request.param == "sync" else Driven(store.aio, loop)


UNITS: list[Callable[[Any], None]] = [by_run, by_lease]
units = pytest.mark.parametrize("write", UNITS)


# Killed at every point.


@units
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_unit_is_done_once_wherever_its_back_end_is_killed(
    store: holdfast.Store, face: Any, breaker: Breaker, write: Any, when: str
) -> None:
    for place in range(1, POINTS):
        with getattr(breaker, when)(place):
            write(face)
        assert done(store) == place
        if not breaker.fell:
            break
    assert not breaker.fell
    assert place > 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_body_is_done_once_or_not_at_all_wherever_its_back_end_is_killed(
    store: holdfast.Store, face: Any, breaker: Breaker, when: str
) -> None:
    kept, refused = 0, 0
    for place in range(1, POINTS):
        with getattr(breaker, when)(place):
            try:
                by_body(face)
            except Unreachable:
                refused += 1
            else:
                kept += 1
        assert done(store) == kept
        if not breaker.fell:
            break
    assert not breaker.fell
    assert refused > 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_units_that_share_a_commit_are_each_done_once_wherever_it_is_killed(
    store: holdfast.Store, breaker: Breaker, when: str
) -> None:
    for turn, place in enumerate([1, 2, 3, 5, 9, 17, 33, 65], 1):
        with getattr(breaker, when)(place):
            results = asyncio.run(_all_at_once(store))
        assert breaker.fell
        assert results.count(None) == MANY
        assert done(store) == turn * MANY


async def _all_at_once(store: holdfast.Store, count: int = MANY) -> list[Any]:
    runs = (store.aio.run(both) for _ in range(count))
    return await asyncio.gather(*runs, return_exceptions=True)


def test_a_read_whose_back_end_is_killed_is_answered(
    store: holdfast.Store, face: Any, breaker: Breaker
) -> None:
    for place in (1, 2, 3):
        with breaker.before(place):
            assert face.sessions.get("talk").id == "talk"
        assert breaker.fell


def test_a_connection_that_was_lost_while_nobody_had_it_is_not_given_to_a_body(
    store: holdfast.Store, face: Any, breaker: Breaker
) -> None:
    by_body(face)
    for _ in range(3):
        by_run(face)  # leaves a connection that works
        breaker.kill_all()
        by_body(face)
    assert done(store) == 7


# The answer to a commit is lost.


@units
def test_a_unit_that_was_committed_is_not_done_again(
    store: holdfast.Store, face: Any, breaker: Breaker, write: Any
) -> None:
    with breaker.commit(lambda _, commit: commit()):
        write(face)
    assert breaker.fell
    assert done(store) == 1


@units
def test_a_unit_whose_commit_never_arrived_is_done_again(
    store: holdfast.Store, face: Any, breaker: Breaker, write: Any
) -> None:
    with breaker.commit(lambda wire, _: breaker.kill(wire)):
        write(face)
    assert breaker.fell
    assert done(store) == 1


@pytest.mark.parametrize("arrives", [True, False])
def test_a_group_whose_answer_is_lost_is_there_once(
    store: holdfast.Store, breaker: Breaker, arrives: bool
) -> None:
    with breaker.commit(
        lambda wire, commit: commit() if arrives else breaker.kill(wire)
    ):
        units, left = run_as_group(store, lambda tx, _: both(tx), MANY)
    assert breaker.fell
    assert [unit.error for unit in units] == [None] * MANY
    assert left == ([] if arrives else units)  # each of which is then run alone
    assert done(store) == (MANY if arrives else 0)


def test_a_unit_that_fails_within_a_group_fails_alone_though_the_answer_is_lost(
    store: holdfast.Store, breaker: Breaker
) -> None:
    def fails(tx: holdfast.Transaction, number: int) -> None:
        both(tx)
        if number % 5 == 4:
            raise TooLarge("by a test")

    with breaker.commit(lambda _, commit: commit()):
        units, left = run_as_group(store, fails, MANY)
    assert breaker.fell
    assert left == []
    kinds = [type(unit.error) for unit in units]
    assert kinds[4::5] == [TooLarge] * (MANY // 5)
    assert kinds.count(type(None)) == MANY - MANY // 5 == done(store)


def test_a_body_that_was_committed_succeeds_though_the_answer_is_lost(
    store: holdfast.Store, face: Any, breaker: Breaker
) -> None:
    with breaker.commit(lambda _, commit: commit()):
        by_body(face)
    assert breaker.fell
    assert done(store) == 1


def test_a_body_whose_commit_never_arrived_is_not_run_again_and_says_so(
    store: holdfast.Store, face: Any, breaker: Breaker
) -> None:
    runs = 0
    with (
        breaker.commit(lambda wire, _: breaker.kill(wire)),
        pytest.raises(Unreachable, match="nothing of this write was kept"),
        face.transaction() as tx,
    ):
        runs += 1
        tx.sessions.append("talk", "user", "body")
    assert (breaker.fell, runs, done(store)) == (True, 1, 0)
    by_body(face)
    assert done(store) == 1


# A commit that is late.


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What each look at a receipt found."""
    found: list[bool] = []
    look = Committer._is_there

    def looking(self: Committer, id: str) -> bool:
        found.append(look(self, id))
        return found[-1]

    monkeypatch.setattr(Committer, "_is_there", looking)
    return found


def test_a_commit_that_is_being_made_is_waited_for(
    store: holdfast.Store, breaker: Breaker, looked_up: list[bool], url: str
) -> None:
    schema = url.rpartition("schema=")[2]
    pids: list[int] = []

    def cut(wire: Wire, _: object) -> None:
        send_only(wire)
        pids.append(wire._pg.backend_pid)
        breaker.waits(pids[0], "advisory")

    with psycopg.connect(shared_url()) as holder, breaker.commit(cut):
        lock = locks_of(schema).committing
        holder.execute(f"select pg_advisory_xact_lock({lock})")
        thread = threading.Thread(target=by_run, args=[store])
        thread.start()
        waiting = "select pid from pg_stat_activity where wait_event = 'transactionid'"
        asking = _until_some(breaker.admin, waiting)
        assert asking != pids[0]
        assert looked_up == []
        holder.rollback()  # lets the commit be made
        thread.join()
    assert looked_up == [True]
    assert done(store) == 1


def _until_some(connection: psycopg.Connection, asked: str) -> int:
    while (row := connection.execute(asked).fetchone()) is None:
        continue
    return int(row[0])


def test_a_commit_that_comes_after_the_look_fails(
    store: holdfast.Store, breaker: Breaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids: list[int] = []
    found: list[bool] = []
    look = Committer._is_there
    holder = psycopg.connect(shared_url())
    key = store._core.engine._shared.key("late", "", "one")

    def late(tx: holdfast.Transaction) -> None:
        both(tx)
        tx._tx.lock("late", "one")  # stands in line before the unit's receipt

    def cut(wire: Wire, _: object) -> None:
        send_only(wire)
        pids.append(wire._pg.backend_pid)
        breaker.waits(pids[0], "advisory")

    def looking(self: Committer, id: str) -> bool:
        found.append(look(self, id))
        holder.close()  # the old back end goes on, to its commit
        breaker.ended(pids[0])
        return found[-1]

    holder.execute("select pg_advisory_xact_lock(%s)", [key])
    monkeypatch.setattr(Committer, "_is_there", looking)
    with breaker.commit(cut):
        store.run(late)
    assert found == [False]
    assert done(store) == 1


# Without a choice of the moment.


def kill_while_they_write(store: holdfast.Store, kills: int, writers: int = 6) -> None:
    """Kill all back ends of the store, over and over, while threads write."""
    over = threading.Event()
    counts = [0] * writers

    def write(number: int) -> None:
        by = (by_run, by_call, by_body)[number % 3]
        while not over.is_set():
            try:
                by(store)
            except Unreachable:
                assert by is by_body  # nothing was kept of it
            else:
                counts[number] += 1

    threads = [threading.Thread(target=write, args=[n]) for n in range(writers)]
    for thread in threads:
        thread.start()
    with psycopg.connect(shared_url(), autocommit=True) as admin:
        for _ in range(kills):
            reached = sum(counts)
            while sum(counts) < reached + writers and any(map(_lives, threads)):
                over.wait(0.001)
            admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where application_name = 'holdfast'"
            )
    over.set()
    for thread in threads:
        thread.join()
    assert done(store) == sum(counts)


def _lives(thread: threading.Thread) -> bool:
    return thread.is_alive()


def test_writes_go_on_though_back_ends_are_killed_all_the_time(
    store: holdfast.Store,
) -> None:
    kill_while_they_write(store, kills=15)


@pytest.mark.soak
def test_writes_go_on_though_back_ends_are_killed_all_the_time_for_long(
    store: holdfast.Store,
) -> None:
    kill_while_they_write(store, kills=1_000)
