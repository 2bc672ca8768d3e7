"""The journal's order on PostgreSQL: no gap, nothing late, nothing twice.

What is claimed of 16 writers is shown beside the ways that fail: numbers from a
sequence, with and without a horizon, and the order of transactions' ids.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from itertools import groupby
from typing import Any

import psycopg
import pytest

import holdfast
from crowd import Aside, Crowd, Say
from holdfast.changes import Change
from holdfast.engines.postgres.target import target_of
from postgres import empty_store, fresh_schema, shared_url, until

PROCESSES = 4
TASKS = 3
"""Writers in each process: so many tasks of one event loop, and a thread."""
SESSIONS = 5


class OnPurpose(Exception):
    """What ends a body that is to be rolled back."""


@pytest.fixture
def url() -> Iterator[str]:
    with empty_store() as made:
        yield made


@pytest.fixture
def store(url: str) -> Iterator[holdfast.Store]:
    with holdfast.open(url) as opened:
        yield opened
        assert opened.check().problems == ()


def raw(url: str) -> psycopg.Connection[Any]:
    """A connection as psql has one, in the store's schema."""
    schema = target_of(url.partition("://")[2], read_only=False).schema
    return psycopg.connect(shared_url(), options=f"-c search_path={schema}")


# 16 writers and two readers.


def in_bulk(tx: Any, cause: str, many: int) -> None:
    """As many changes as are said, each of which says which transaction it is of."""
    task = tx.tasks.create(cause)
    for _ in range(many - 2):
        tx.tasks.log(task.id, cause)
    tx.sessions.append(f"s{many % SESSIONS}", "user", cause)


def by_thread(store: holdfast.Store, chance: random.Random, name: str, say: Say) -> Any:
    """One transaction of a thread's: a body, kept or not, or a function."""
    many = chance.randrange(2, 7)
    if chance.random() < 0.4:
        store.run(in_bulk, name, many, cause=name)
    elif chance.random() < 0.7:
        with store.transaction(cause=name) as tx:
            in_bulk(tx, name, many)
    else:
        many = 0
        with pytest.raises(OnPurpose), store.transaction(cause=name) as tx:
            in_bulk(tx, name, 3)
            raise OnPurpose
    say(f"{name} {many}")


async def by_task(store: Any, chance: random.Random, name: str, say: Say) -> None:
    """Transactions of a task's: several units at once, or a body, kept or not."""
    if chance.random() < 0.6:
        units = [(f"{name}.{n}", chance.randrange(2, 5)) for n in range(5)]
        await asyncio.gather(
            *(store.run(in_bulk, own, many, cause=own) for own, many in units)
        )
        for own, many in units:
            say(f"{own} {many}")
        return
    kept = chance.random() < 0.7
    with nullcontext() if kept else pytest.raises(OnPurpose):
        async with store.transaction(cause=name) as tx:
            task = await tx.tasks.create(name)
            await tx.tasks.log(task.id, name)
            if not kept:
                raise OnPurpose
    say(f"{name} {2 if kept else 0}")


def writers(url: str, rounds: int) -> Callable[[int, Say, Callable], None]:
    """What one process does: its writers write, each so many times."""

    def work(number: int, say: Say, wait: Callable) -> None:
        with holdfast.open(url) as store:
            wait()
            chance = random.Random(number)
            thread = Aside(
                lambda: [
                    by_thread(store, chance, f"{number}.thread.{n}", say)
                    for n in range(rounds)
                ]
            )
            asyncio.run(tasks(store.aio, number, rounds, say))
            thread.result()

    return work


async def tasks(store: Any, number: int, rounds: int, say: Say) -> None:
    async def writer(task: int) -> None:
        chance = random.Random(100 * number + task)
        for n in range(rounds):
            await by_task(store, chance, f"{number}.task{task}.{n}", say)

    await asyncio.gather(*map(writer, range(TASKS)))


def paged(store: holdfast.Store) -> list[Change]:
    """All changes, read by a reader that goes on from the newest that it saw."""
    found: list[Change] = []
    while not found or found[-1].cause != "end":
        found += store.journal.read(found[-1].seq if found else 0, limit=40)
    return found


def followed(store: holdfast.Store) -> list[Change]:
    """All changes, as one who follows is given them."""
    found: list[Change] = []
    for change in store.journal.follow(0):
        found.append(change)
        if change.cause == "end":
            return found
    return found


def in_one_order(changes: list[Change]) -> dict[str, int]:
    """Without gap, each once, a transaction's together; how many each cause has."""
    assert [c.seq for c in changes] == list(range(1, len(changes) + 1))
    causes: Counter[str] = Counter()
    before = changes[0].at
    for moment, found in groupby(changes, lambda c: c.moment):
        own = list(found)
        assert own[-1].seq == moment
        assert len({(c.at, c.actor, c.cause) for c in own}) == 1
        assert own[0].at >= before
        before = own[0].at
        cause = own[0].cause
        assert cause not in causes, "one transaction has two moments"
        causes[cause] = len(own)
        if cause not in {"begin", "end"}:
            assert {said(c) for c in own} == {cause}
    return causes


def said(change: Change) -> Any:
    """What a row that `in_bulk` made says of its transaction."""
    row = change.after
    return row.get("content") or row.get("description") or row.get("message")


def begin(tx: Any) -> None:
    for number in range(SESSIONS):
        tx.sessions.create(id=f"s{number}")


def sixteen_writers(url: str, rounds: int) -> None:
    with holdfast.open(url) as store:
        store.run(begin, cause="begin")
    with Crowd(PROCESSES, writers(url, rounds)) as crowd, holdfast.open(url) as store:
        readers = [Aside(lambda: paged(store)), Aside(lambda: followed(store))]
        crowd.go()
        wrote = [line.split() for lines in crowd.finish() for line in lines]
        store.run(lambda tx: tx.sessions.create(id="end"), cause="end")
        pages, follows = [reader.result() for reader in readers]
        assert store.check().problems == ()
        afterwards = list(store.journal.read(limit=1000))
    assert pages == follows
    assert pages[: len(afterwards)] == afterwards
    expected = {name: int(many) for name, many in wrote if many != "0"}
    assert in_one_order(pages) == expected | {"begin": SESSIONS, "end": 1}


def test_16_writers_and_two_readers_one_order_without_gap_or_repeat(url):
    sixteen_writers(url, rounds=7)


@pytest.mark.soak
def test_16_writers_and_two_readers_for_long(url):
    sixteen_writers(url, rounds=200)


# The same schedules, on the ways that fail and on holdfast's.

SEQUENCE = """
create table thing (id int primary key, value int);
create table change (seq bigint generated always as identity, xid xid8, value int);
create function note() returns trigger language plpgsql as $$
begin
    insert into change (xid, value) values (pg_current_xact_id(), new.value);
    return null;
end $$;
create trigger note after insert or update on thing
    for each row execute function note();
"""
PLAIN = "select value from change where seq > %s order by seq"
HORIZON = (
    "select value from change where seq > %s"
    " and xid < pg_snapshot_xmin(pg_current_snapshot()) order by seq"
)


@pytest.fixture
def two() -> Iterator[tuple[psycopg.Connection[Any], ...]]:
    """Two connections to a schema of triggers that number with a sequence."""
    with fresh_schema() as url, raw(url) as one, raw(url) as other:
        schema = target_of(url.partition("://")[2], read_only=False).schema
        one.execute(f"create schema {schema}")
        one.execute(SEQUENCE)
        one.commit()
        yield one, other
        one.rollback()
        other.rollback()


def newest(connection: psycopg.Connection[Any]) -> int:
    ((found,),) = connection.execute("select max(seq) from change").fetchall()
    connection.rollback()
    return found


def values(connection: psycopg.Connection[Any], text: str, *after: int) -> list[int]:
    found = [value for (value,) in connection.execute(text, after or None)]
    connection.rollback()
    return found


def test_a_sequence_passes_over_a_commit_that_is_in_flight(two):
    one, other = two
    one.execute("insert into thing values (1, 10)")
    other.execute("insert into thing values (2, 20)")
    other.commit()
    assert values(other, PLAIN, 0) == [20]
    place = newest(other)
    one.commit()
    assert values(other, PLAIN, place) == []  # 10 is never read


def test_a_sequence_behind_a_horizon_passes_over_it_too(two):
    one, other = two
    one.execute("select pg_current_xact_id()")
    other.execute("insert into thing values (1, 10)")
    one.execute("insert into thing values (2, 20)")
    one.commit()
    assert values(one, HORIZON, 0) == [20]
    place = newest(one)
    other.commit()
    assert values(one, HORIZON, place) == []  # 10 is never read


def test_the_order_of_transaction_ids_puts_a_version_after_its_successor(two):
    one, other = two
    one.execute("insert into thing values (1, 10)")
    one.commit()
    one.execute("select pg_current_xact_id()")
    other.execute("update thing set value = 20")
    other.commit()
    one.execute("update thing set value = 30")
    one.commit()
    assert values(one, "select value from thing") == [30]
    assert values(one, "select value from change order by xid, seq") == [10, 30, 20]


def titles(changes: Iterable[Change]) -> list[str]:
    return [change.after["title"] for change in changes]


def test_holdfast_passes_over_nothing_in_flight(url, store):
    with holdfast.open(url) as other:
        with store.transaction() as tx:
            tx.sessions.create("in flight")
            tx.sessions.list()  # sent, by now
            other.sessions.create("committed")
            seen = list(other.journal.read())
            assert titles(seen) == ["committed"]
        assert titles(other.journal.read(seen[-1].seq)) == ["in flight"]


def test_holdfast_has_a_version_before_its_successor(url, store):
    store.sessions.create("10", id="s")
    with holdfast.open(url) as other, store.transaction() as tx:
        tx.sessions.create("an id of the transaction's own")
        tx.sessions.list()
        other.sessions.update("s", title="20")
        tx.sessions.update("s", title="30")
    found = titles(store.journal.read(id="s"))
    assert found == ["10", "20", "30"]


def test_a_commit_waits_for_one_that_has_its_numbers_and_is_not_done(url, store):
    waits = "select 1 from pg_locks where locktype = 'advisory' and not granted"
    store.sessions.create("before", id="s")
    with raw(url) as slow, raw(url) as watching:
        watching.autocommit = True
        slow.execute("update session set title = 'in flight'")
        slow.execute("set constraints all immediate")  # as in the middle of COMMIT
        fast = Aside(lambda: store.sessions.create("committed"))
        until(lambda: watching.execute(waits).fetchall())
        seen = list(store.journal.read())
        assert titles(seen) == ["before"]
        slow.commit()
        fast.result()
    assert titles(store.journal.read(seen[-1].seq)) == ["in flight", "committed"]


def test_the_time_of_moments_never_goes_back(url):
    clocks = [holdfast.clock.ManualClock(at) for at in (2_000_000, 1_000_000)]
    with (
        holdfast.open(url, clock=clocks[0]) as ahead,
        holdfast.open(url, clock=clocks[1]) as behind,
    ):
        ahead.sessions.create()
        behind.sessions.create()
        times = [change.at.timestamp() for change in ahead.journal.read()]
    assert times == [2.0, 2.0]
