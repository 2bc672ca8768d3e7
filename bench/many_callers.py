"""Many callers of one store in one process: a hundred tasks, or 32 threads.

Goals: 100 asyncio callers at least 0.4 of raw apsw at 100 rows a commit, and at least
15 times AsyncSqliteSaver.aput with 100 tasks; 32 threads at least 3 times one.
Reported without a goal: all callers on one session, and a hundred callers beside a
Python thread that never stops computing.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import holdfast
from bench import beside, raw
from bench.lines import FULL, Line, at_least, compared
from bench.rounds import Load, Run

CALLERS = 100
THREADS = 32
RAW = "raw apsw, 100 rows a commit"
OWN = f"{CALLERS} asyncio callers, a session each"
ONE = f"{CALLERS} asyncio callers, all on one session"
BUSY = f"{CALLERS} asyncio callers beside a busy thread"
MANY_THREADS = f"{THREADS} threads, a session each"


def tasks(count: int, *, sessions: int) -> Load:
    """A load of `count` appends from 100 tasks; its figure is appends a second."""

    async def appends(folder: Path) -> float:
        async with holdfast.aopen(folder / "ours.db") as store:
            ids = [(await store.sessions.create("bench")).id for _ in range(sessions)]

            async def caller(session: str) -> None:
                for _ in range(count // CALLERS):
                    await store.sessions.append(session, "user", raw.TEXT)

            started = time.perf_counter()
            await asyncio.gather(*(caller(ids[i % sessions]) for i in range(CALLERS)))
            return count / (time.perf_counter() - started)

    return lambda folder: asyncio.run(appends(folder))


def threads(count: int, *, number: int) -> Load:
    """A load of `count` appends from `number` threads, a session each."""

    def load(folder: Path) -> float:
        with holdfast.open(folder / "ours.db") as store:
            ids = [store.sessions.create("bench").id for _ in range(number)]
            ready = threading.Barrier(number + 1)

            def caller(session: str) -> None:
                ready.wait()
                for _ in range(count // number):
                    store.sessions.append(session, "user", raw.TEXT)

            workers = [threading.Thread(target=caller, args=(id,)) for id in ids]
            for worker in workers:
                worker.start()
            ready.wait()
            started = time.perf_counter()
            for worker in workers:
                worker.join()
            return (count // number * number) / (time.perf_counter() - started)

    return load


@contextmanager
def a_busy_thread() -> Iterator[None]:
    """A thread that computes in Python until the block ends."""
    stop = threading.Event()

    def compute() -> None:
        number = 0
        while not stop.is_set():
            number += 1

    worker = threading.Thread(target=compute)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


def tasks_beside_a_busy_thread(seconds: float) -> Load:
    """What 100 tasks append in `seconds`, while another thread computes."""

    async def appends(folder: Path) -> float:
        async with holdfast.aopen(folder / "ours.db") as store:
            ids = [(await store.sessions.create("bench")).id for _ in range(CALLERS)]
            started = time.perf_counter()
            ends = started + seconds

            async def caller(session: str) -> int:
                done = 0
                while time.perf_counter() < ends:
                    await store.sessions.append(session, "user", raw.TEXT)
                    done += 1
                return done

            with a_busy_thread():
                done = sum(await asyncio.gather(*(caller(id) for id in ids)))
            return done / (time.perf_counter() - started)

    return lambda folder: asyncio.run(appends(folder))


def measure(run: Run, peers: beside.Peers | None) -> list[Line]:
    """Appends a second of many callers, and what they are held against."""
    return [
        *_tasks(run, peers),
        *_one_session(run),
        *_busy(run),
        *_threads(run),
    ]


def _tasks(run: Run, peers: beside.Peers | None) -> list[Line]:
    count = run.count(30_000)
    loads = {
        RAW: raw.appends(count, commit_every=100, sessions=CALLERS),
        OWN: tasks(count, sessions=CALLERS),
    }
    if peers is not None:
        peer = beside.ASYNC_SAVER_100
        loads[peer] = peers.load(peer, run.count(3_000))
    figures = run.interleave(loads)
    lines = [compared(OWN, figures[OWN], figures[RAW], against=RAW, goal=at_least(0.4))]
    if peers is not None:
        lines.append(
            compared(
                OWN,
                figures[OWN],
                figures[peer],
                against=peer,
                goal=at_least(15),
                their_durability=peers.durability[peer],
            )
        )
    return lines


def _one_session(run: Run) -> list[Line]:
    count = run.count(30_000)
    figures = run.interleave(
        {
            RAW: raw.appends(count, commit_every=100, sessions=1),
            ONE: tasks(count, sessions=1),
        },
        rounds=min(5, run.rounds),
    )
    return [compared(ONE, figures[ONE], figures[RAW], against=f"{RAW}, one session")]


def _busy(run: Run) -> list[Line]:
    figures = run.interleave(
        {
            OWN: tasks(run.count(10_000), sessions=CALLERS),
            BUSY: tasks_beside_a_busy_thread(2.0),
        },
        rounds=3,
    )
    return [compared(BUSY, figures[BUSY], figures[OWN], against="without it")]


def _threads(run: Run) -> list[Line]:
    one, many = run.count(3_000), run.count(12_800)
    figures = run.interleave(
        {"one thread": threads(one, number=1), MANY_THREADS: threads(many, number=32)}
    )
    return [
        compared(
            MANY_THREADS,
            figures[MANY_THREADS],
            figures["one thread"],
            against="one thread",
            durability=FULL,
            goal=at_least(3),
        )
    ]
