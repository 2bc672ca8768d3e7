"""One caller that appends one message after another, sync and async.

Goals: sync at least 0.75 of raw apsw at a row a commit, async at least 0.5, and both
ahead of each peer.
"""

import asyncio
import time
from pathlib import Path

import holdfast
from bench import beside, raw
from bench.lines import AHEAD, FULL, Goal, Line, at_least, compared
from bench.rounds import Load, Run

RAW = "raw apsw, a row a commit"
SYNC = "one sync caller"
ASYNC = "one async caller"
AGAINST_SYNC = (beside.SQLITE_SESSION, beside.SQLITE_SAVER)
AGAINST_ASYNC = (beside.SQLITE_SESSION, beside.ASYNC_SAVER)


def sync_caller(count: int) -> Load:
    """A load of `count` appends from this thread; its figure is appends a second."""

    def load(folder: Path) -> float:
        with holdfast.open(folder / "ours.db") as store:
            session = store.sessions.create("bench").id
            append = store.sessions.append
            started = time.perf_counter()
            for _ in range(count):
                append(session, "user", raw.TEXT)
            return count / (time.perf_counter() - started)

    return load


def async_caller(count: int) -> Load:
    """The same from one task, each append awaited before the next."""

    async def appends(folder: Path) -> float:
        async with holdfast.aopen(folder / "ours.db") as store:
            session = (await store.sessions.create("bench")).id
            append = store.sessions.append
            started = time.perf_counter()
            for _ in range(count):
                await append(session, "user", raw.TEXT)
            return count / (time.perf_counter() - started)

    return lambda folder: asyncio.run(appends(folder))


def measure(run: Run, peers: beside.Peers | None) -> list[Line]:
    """Appends a second, beside raw apsw and the peers."""
    count = run.count(3_000)
    loads = {
        RAW: raw.appends(count, commit_every=1),
        SYNC: sync_caller(count),
        ASYNC: async_caller(count),
    }
    if peers is not None:
        for peer in {*AGAINST_SYNC, *AGAINST_ASYNC}:
            loads[peer] = peers.load(peer, count // 2)
    figures = run.interleave(loads)

    def line(ours: str, against: str, goal: Goal) -> Line:
        level = FULL if peers is None else peers.durability.get(against, FULL)
        return compared(
            ours,
            figures[ours],
            figures[against],
            against=against,
            their_durability=level,
            goal=goal,
        )

    return [
        line(SYNC, RAW, at_least(0.75)),
        *(line(SYNC, peer, AHEAD) for peer in AGAINST_SYNC if peer in figures),
        line(ASYNC, RAW, at_least(0.5)),
        *(line(ASYNC, peer, AHEAD) for peer in AGAINST_ASYNC if peer in figures),
    ]
