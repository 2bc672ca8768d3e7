"""A primary that dies under load: all that was acknowledged is on the standby, once.

Several processes write through a URL of both servers, and go on by themselves. The
standby is synchronous, and both servers sync to disk, as they do for users.
"""

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.errors import Unreachable
from killing import Worker
from postgres import Server, together, until

SCHEMA = "failover"
CALLERS = 6
Say = Callable[[str], None]
Work = Callable[[str, str, Callable[[], bool], Say], None]


@pytest.fixture
def primary() -> Iterator[Server]:
    with Server() as started:
        with holdfast.open(started.url(schema=SCHEMA)) as store:
            store.sessions.create(id="talk")
        yield started


def unit(tx: holdfast.Transaction, name: str) -> None:
    """A message, which could be there twice, and a task, which could not."""
    tx.sessions.append("talk", "user", name)
    tx.tasks.create(name, id=name)


def by_calls(url: str, prefix: str, over: Callable[[], bool], say: Say) -> None:
    """One caller, whose calls are each a commit."""
    with holdfast.open(url) as store:
        for number in itertools.count():
            if over():
                return
            name = f"{prefix}-{number}"
            store.run(unit, name)
            say(name)
            store.tasks.start(name)
            store.tasks.complete(name, result=name)
            say(f"done {name}")


def by_groups(url: str, prefix: str, over: Callable[[], bool], say: Say) -> None:
    """Many asyncio callers, whose units share their commits."""

    async def caller(store: Any, number: int) -> None:
        for count in itertools.count():
            if over():
                return
            name = f"{prefix}-{number}-{count}"
            await store.run(unit, name)
            say(name)
            await store.tasks.start(name)
            await store.tasks.complete(name, result=name)
            say(f"done {name}")

    async def callers() -> None:
        async with holdfast.aopen(url) as store:
            await asyncio.gather(*(caller(store, n) for n in range(CALLERS)))

    asyncio.run(callers())


def by_bodies(url: str, prefix: str, over: Callable[[], bool], say: Say) -> None:
    """Bodies, which are never run again by the store, but here by their caller."""
    with holdfast.open(url) as store:
        for number in itertools.count():
            if over():
                return
            name = f"{prefix}-{number}"
            while True:
                try:
                    with store.transaction(timeout_seconds=30) as tx:
                        unit(tx, name)
                except Unreachable:  # nothing of it was kept
                    continue
                break
            say(name)


WORKS: list[Work] = [by_calls, by_groups, by_bodies]


def fail_over(primary: Server, standby: Server, folder: Path, lines: int) -> set[str]:
    """Kill the primary under load, and promote the standby; what was acknowledged."""
    over = folder / f"over-{primary.port}"
    url = together(primary, standby, schema=SCHEMA)
    workers = [
        _worker(work, url, f"{work.__name__}-{primary.port}", over) for work in WORKS
    ]
    try:
        for worker in workers:
            worker.wait_for(lines)
        primary.kill()
        standby.promote()
        for worker in workers:
            worker.wait_for(len(worker.lines) + lines)
        over.touch()
        return {line for worker in workers for line in worker.finish()}
    finally:
        for worker in workers:
            worker.close()


def _worker(work: Work, url: str, prefix: str, over: Path) -> Worker:
    return Worker(lambda say: work(url, prefix, over.exists, say))


def compare(server: Server, said: set[str]) -> None:
    """All that was acknowledged is there, once, and nothing else is."""
    done = {line.removeprefix("done ") for line in said if line.startswith("done ")}
    named = said - {f"done {name}" for name in done}
    with holdfast.open(server.url(schema=SCHEMA)) as store:
        messages = list(store.sessions.history("talk"))
        counts = Counter(message.content for message in messages)
        assert set(counts) == named
        assert set(counts.values()) == {1}
        assert [m.position for m in messages] == list(range(1, len(messages) + 1))
        assert _tasks(server) == {name: name in done for name in named}
        assert store.check().problems == ()
    seqs = [seq for (seq,) in server.sql(f"select seq from {SCHEMA}.change order by 1")]
    assert seqs == list(range(1, len(seqs) + 1))


def _tasks(server: Server) -> dict[str, bool]:
    """Every task by its id, and whether it was completed."""
    rows = server.sql(f"select id, status = 'completed' from {SCHEMA}.task")
    return dict(rows)


def test_nothing_acknowledged_is_lost_or_doubled_when_the_primary_dies_under_load(
    primary: Server, tmp_path: Path
) -> None:
    with primary.standby() as standby:
        compare(standby, fail_over(primary, standby, tmp_path, lines=150))


@pytest.mark.soak
def test_nothing_acknowledged_is_lost_or_doubled_when_one_primary_after_another_dies(
    primary: Server, tmp_path: Path
) -> None:
    said: set[str] = set()
    for _ in range(8):
        standby = primary.standby()
        said |= fail_over(primary, standby, tmp_path, lines=300)
        compare(standby, said)
        primary.close()
        primary = standby
    primary.close()


# A commit that the primary made, and no standby has.


def left_waiting(primary: Server) -> list[int]:
    """The back ends that wait for a standby."""
    asked = "select pid from pg_stat_activity where wait_event = 'SyncRep'"
    return [pid for (pid,) in primary.sql(asked)]


def cut_in_commit(primary: Server, store: holdfast.Store) -> threading.Thread:
    """Append, and end the back end that waits for the standby with it."""
    thread = threading.Thread(
        target=store.sessions.append, args=["talk", "user", "once"]
    )
    thread.start()
    until(lambda: left_waiting(primary))
    (pid,) = left_waiting(primary)
    primary.sql("select pg_terminate_backend(%s)", pid)
    until(lambda: pid not in primary.backends())
    return thread


def test_a_commit_that_is_found_is_acknowledged_only_when_the_standby_has_it_too(
    primary: Server,
) -> None:
    with (
        primary.standby() as standby,
        holdfast.open(primary.url(schema=SCHEMA)) as store,
    ):
        standby.stop()
        thread = cut_in_commit(primary, store)
        until(lambda: left_waiting(primary) or not thread.is_alive())
        assert thread.is_alive()
        standby.start()
        thread.join()
        assert [m.content for m in store.sessions.history("talk")] == ["once"]


def test_a_commit_that_died_with_the_primary_is_made_again_on_the_standby(
    primary: Server,
) -> None:
    with primary.standby() as standby:
        url = together(primary, standby, schema=SCHEMA)
        with holdfast.open(url) as store:
            standby.stop()
            thread = cut_in_commit(primary, store)
            until(lambda: left_waiting(primary) or not thread.is_alive())
            primary.kill()
            standby.start()
            standby.promote()
            thread.join()
            assert [m.content for m in store.sessions.history("talk")] == ["once"]
            assert store.check().problems == ()
