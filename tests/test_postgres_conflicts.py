"""Conflicts on PostgreSQL: many processes at one record, one winner, nobody in the way.

Who waits for a record waits alone; who cannot go on is run again, or is told by a typed
error; and none of that leaves a trace.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

import holdfast
from contested import PROMPT_SECONDS, positions, raw, said, store, url  # noqa: F401
from crowd import Say, in_processes, outcome, together
from holdfast.errors import AlreadyExists, Busy, Conflict, Held, Refused
from turns import JOIN_SECONDS

PROCESSES = 8


def by_all(url: str, work: Callable[[holdfast.Store, int], Any]) -> list[str]:
    """What each of 8 processes gives, or the error's name; they begin at once."""

    def one(number: int, say: Say, wait: Callable) -> None:
        with holdfast.open(url) as store:
            wait()
            try:
                say(str(work(store, number)))
            except holdfast.errors.HoldfastError as error:
                say(type(error).__name__)

    return [line for (line,) in in_processes(PROCESSES, one)]


# One record, many at once.


def test_two_processes_that_append_to_one_session_leave_no_gap(url):
    def append(number: int, say: Say, wait: Callable) -> None:
        with holdfast.open(url) as store:
            wait()
            for count in range(200):
                say(str(store.sessions.append("a", "user", [number, count]).position))

    got = in_processes(2, append)
    assert sorted(int(p) for lines in got for p in lines) == list(range(1, 401))
    with holdfast.open(url) as store:
        assert positions(store, "a") == list(range(1, 401))
        for number in range(2):
            mine = [n for who, n in said(store, "a") if who == number]
            assert mine == list(range(200))


def test_of_two_creations_with_one_id_one_creates_and_the_other_gets_it_back(url):
    for round_ in range(3):
        ids = by_all(
            url,
            lambda s, _, r=round_: s.sessions.create("one", id=f"new{r}").created_at,
        )
        assert len(set(ids)) == 1
        tasks = by_all(url, lambda s, _, r=round_: s.tasks.create("t", id=f"n{r}").id)
        assert set(tasks) == {f"n{round_}"}
    with holdfast.open(url) as store:
        made = [c.id for c in store.journal.read(2)]
    assert sorted(made) == sorted(f"{n}{r}" for r in range(3) for n in ("new", "n"))


def test_of_creations_with_one_id_and_other_content_one_creates(url):
    given = by_all(url, lambda s, number: s.sessions.create(f"{number}", id="new").id)
    assert Counter(given) == {"new": 1, AlreadyExists.__name__: PROCESSES - 1}


def test_what_is_to_run_once_runs_once(url):
    def effect(tx: Any) -> int:
        return tx.sessions.append("a", "user", "effect").position

    given = by_all(url, lambda s, _: s.run(effect, once="key"))
    assert given == ["1"] * PROCESSES
    with holdfast.open(url) as store:
        assert positions(store, "a") == [1]


def test_of_those_who_want_a_lease_one_has_it(url):
    def take(store: holdfast.Store, number: int) -> int:
        lease = store.leases.acquire("sessions", "a", holder=f"{number}", seconds=60)
        return lease.fence

    given = by_all(url, take)
    assert Counter(given) == {"1": 1, Held.__name__: PROCESSES - 1}


def test_each_version_is_followed_by_one_update_that_expected_it(url):
    def update(number: int, say: Say, wait: Callable) -> None:
        with holdfast.open(url) as store:
            wait()
            for version in range(10):
                changed = partial(store.sessions.update, "a", title=f"{number}")
                given = outcome(partial(changed, expect=version))
                if isinstance(given, Conflict):
                    assert given.found > version
                    say("conflict")
                else:
                    say(str(given.version - 1))

    lines = [line for lines in in_processes(PROCESSES, update) for line in lines]
    won = [int(line) for line in lines if line != "conflict"]
    assert sorted(won) == list(range(10))
    with holdfast.open(url) as store:
        assert store.sessions.get("a").version == 10


# Two records, in opposite orders.


def crossed(one: Callable[[str, str], Any], *, both: threading.Barrier) -> list[Any]:
    """What two threads give, the first of which has `a` and wants `b`."""
    orders = (("a", "b"), ("b", "a"))
    given = together(2, lambda number: one(*orders[number]))
    assert both.n_waiting == 0
    return given


def test_of_two_bodies_that_wait_for_each_other_one_is_told_and_one_goes_on(url):
    both = threading.Barrier(2)

    def body(first: str, second: str) -> str:
        with holdfast.open(url) as store:
            with store.transaction() as tx:
                tx.sessions.append(first, "user", first)
                both.wait(JOIN_SECONDS)
                tx.sessions.append(second, "user", first)
            return first

    given = crossed(body, both=both)
    (error,) = [found for found in given if isinstance(found, Exception)]
    (won,) = [found for found in given if isinstance(found, str)]
    assert isinstance(error, Busy)
    with holdfast.open(url) as store:
        assert said(store, "a") == said(store, "b") == [won]


def test_of_two_awaiting_bodies_that_wait_for_each_other_one_goes_on(store, loop):
    async def body(both: asyncio.Barrier, first: str, second: str) -> str:
        async with store.aio.transaction(timeout_seconds=JOIN_SECONDS) as tx:
            await tx.sessions.append(first, "user", first)
            await both.wait()
            await tx.sessions.append(second, "user", first)
        return first

    async def two() -> list[Any]:
        both = asyncio.Barrier(2)
        bodies = body(both, "a", "b"), body(both, "b", "a")
        return await asyncio.gather(*bodies, return_exceptions=True)

    given = sorted(loop.run_until_complete(two()), key=lambda x: isinstance(x, str))
    assert isinstance(given[0], Busy)
    assert said(store, "a") == said(store, "b") == [given[1]]


def test_two_functions_that_wait_for_each_other_are_run_again_and_both_succeed(url):
    both = threading.Barrier(2)
    runs: list[str] = []

    def function(tx: Any, first: str, second: str) -> str:
        tx.sessions.append(first, "user", first)
        runs.append(first)
        if runs.count(first) == 1:
            both.wait(JOIN_SECONDS)
        tx.sessions.append(second, "user", first)
        return first

    def run(first: str, second: str) -> str:
        with holdfast.open(url) as store:
            return store.run(function, first, second)

    assert crossed(run, both=both) == ["a", "b"]
    assert len(runs) >= 3
    with holdfast.open(url) as store:
        assert sorted(said(store, "a")) == sorted(said(store, "b")) == ["a", "b"]
        assert said(store, "a") == said(store, "b")


def test_groups_of_two_processes_in_opposite_orders_succeed_promptly(url):
    names = [f"s{number}" for number in range(20)]
    rounds = 40

    async def write(store: Any, say: Say, order: list[str]) -> None:
        for _ in range(rounds):
            began = time.monotonic()
            await asyncio.gather(
                *(store.sessions.append(name, "user", "x") for name in order)
            )
            say(str(time.monotonic() - began))

    def work(number: int, say: Say, wait: Callable) -> None:
        with holdfast.open(url) as store:
            wait()
            order = names if number else names[::-1]
            asyncio.run(write(store.aio, say, order))

    with holdfast.open(url) as store:
        for name in names:
            store.sessions.create(id=name)
    took = [float(line) for lines in in_processes(2, work) for line in lines]
    assert len(took) == 2 * rounds
    assert max(took) < 2 * PROMPT_SECONDS
    with holdfast.open(url) as store:
        for name in names:
            assert positions(store, name) == list(range(1, 2 * rounds + 1))


# What the schema refuses.


@pytest.fixture
def strict(url: str, store: holdfast.Store) -> holdfast.Store:
    """A store whose schema has had constraints added, by its user."""
    store.sessions.update("b", title="b")
    with raw(url) as by:
        by.execute("create unique index on session (title)")
        by.execute("alter table session add check (title <> 'bad')")
    return store


@pytest.mark.parametrize("title", ["b", "bad"])
def test_a_violation_that_stays_is_refused_and_the_store_goes_on(strict, title):
    with pytest.raises(Refused):
        strict.sessions.create(title, id="new")
    with pytest.raises(Refused), strict.transaction() as tx:
        tx.sessions.append("a", "user", "undone")
        tx.sessions.update("a", title=title)
    with strict.transaction() as tx:
        with pytest.raises(Refused), tx.savepoint():
            tx.sessions.update("a", title=title)
        tx.sessions.append("a", "user", "kept")
    assert said(strict, "a") == ["kept"]
    assert strict.sessions.create("good", id="new").title == "good"


def test_a_body_that_goes_on_after_a_failed_statement_is_told_of_savepoints(strict):
    with (
        pytest.raises(Refused, match="savepoint"),
        strict.transaction() as tx,
        suppress(Refused),
    ):
        tx.sessions.append("a", "user", "undone")
        tx.sessions.update("a", title="bad")
        tx.sessions.get("a")
    assert said(strict, "a") == []


@pytest.mark.parametrize("title", ["b", "bad"])
def test_a_violation_in_a_group_is_its_own_units_alone(strict, loop, title):
    async def units() -> list[Any]:
        titles = [title if number % 5 == 2 else f"{number}" for number in range(20)]
        return await asyncio.gather(
            *(strict.aio.sessions.create(each) for each in titles),
            return_exceptions=True,
        )

    given = loop.run_until_complete(units())
    failed = [n for n, found in enumerate(given) if isinstance(found, Refused)]
    assert failed == [2, 7, 12, 17]
    made = sorted(found.title for found in given if not isinstance(found, Exception))
    assert made == sorted(f"{n}" for n in range(20) if n % 5 != 2)
    assert len(strict.sessions.list(limit=100)) == 2 + 16
