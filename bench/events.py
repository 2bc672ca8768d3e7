"""Events: into memory, to disk, beside the state, found again, and followed.

Goals, against raw apsw that inserts one small row after another, a hundred a commit, in
the same run: `emit` into the ring at least 2.3 times as fast (a burst of 90,000: no
more than may wait for the disk), and to disk, the last `flush` included, at least 0.77
times as fast; both with a little data in each event. While 20,000 events a second go
by, appends to a session at least 0.9 times as fast as without, of one caller and of a
hundred. Reported without a goal: the newest hundred of a name among a million; how
long after `emit` a follower has an event, in the same process, in another one when the
emitter writes at once, and in another one when it is left to itself.

Always holds: what is timed was done: events are counted on disk, and those that go by
while the state is measured went by at that rate.
"""

import asyncio
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import apsw

import holdfast
from bench import raw
from bench.beside import Peers
from bench.lines import FULL, Goal, Line, at_least, compared
from bench.rounds import ROOT, Load, Run

RAW = "raw apsw, small rows, a hundred a commit"
RING = "events into the ring"
DISK = "events to disk, the flush included"
RING_GOAL, DISK_GOAL = at_least(2.3), at_least(0.77)
BURST = 90_000
MANY = 1_000_000
RATE = 20_000
RATE_SLACK = 0.95
CALLERS = 100
BESIDE_GOAL = at_least(0.9)
ALONE, BESIDE = "appends, no events", f"appends while {RATE:,} events a second go by"
NAMES = 10
NEWEST = "the newest 100 events of a name, among "
DEBOUNCED = "debounced"
TABLE = """
pragma journal_mode = wal;
pragma synchronous = full;
create table e(at integer primary key, name text, data text);
"""
INSERT = "insert into e(at, name, data) values(?, ?, ?)"


def raw_rows(count: int) -> Load:
    """A load of so many small rows; rows a second."""
    made = [(number, "task:progress", '{"n":1}') for number in range(count)]

    def load(folder: Path) -> float:
        connection = apsw.Connection(str(folder / "raw.db"))
        try:
            list(connection.execute(TABLE))
            cursor = connection.cursor()
            started = time.perf_counter()
            for start in range(0, count, 100):
                cursor.execute("begin immediate")
                for row in made[start : start + 100]:
                    cursor.execute(INSERT, row)
                cursor.execute("commit")
            return count / (time.perf_counter() - started)
        finally:
            connection.close()

    return load


def ring(count: int) -> Load:
    """A load of one burst; events a second, while they are written beside it."""

    def load(folder: Path) -> float:
        with holdfast.open(folder / "ours.db") as store:
            emit = store.events.emit
            store.events.flush()
            started = time.perf_counter()
            for number in range(count):
                emit("task:progress", {"n": number})
            return count / (time.perf_counter() - started)

    return load


def disk(count: int) -> Load:
    """A load of events until all are on disk; events a second."""

    def load(folder: Path) -> float:
        with holdfast.open(folder / "ours.db") as store:
            emit = store.events.emit
            store.events.flush()
            started = time.perf_counter()
            for number in range(count):
                emit("task:progress", {"n": number})
            store.events.flush()
            took = time.perf_counter() - started
        connection = apsw.Connection(str(folder / "ours.db-events"))
        asked = "select count(*) from event where name = 'task:progress'"
        assert connection.execute(asked).fetchall() == [(count,)]
        connection.close()
        return count / took

    return load


@contextmanager
def going_by(store: holdfast.Store, rate: int) -> Iterator[None]:
    """So many events a second, from a thread of their own; none if it is 0."""
    ended = threading.Event()
    emitted = 0

    def emits() -> None:
        nonlocal emitted
        emit = store.events.emit
        while not ended.wait(0.002):
            due = int((time.perf_counter() - started) * rate) - emitted
            for number in range(due):
                emit("task:progress", {"n": number})
            emitted += due

    thread = threading.Thread(target=emits if rate else ended.wait)
    started = time.perf_counter()
    thread.start()
    try:
        yield
    finally:
        took = time.perf_counter() - started
        ended.set()
        thread.join()
    assert emitted >= took * rate * RATE_SLACK, f"only {emitted / took:,.0f} a second"


def appends(count: int, rate: int, callers: int) -> Load:
    """A load of appends by so many callers, while so many events a second go by."""

    async def work(store: holdfast.Store) -> float:
        face = store.aio
        ids = [(await face.sessions.create("bench")).id for _ in range(callers)]

        async def caller(session: str) -> None:
            for _ in range(count // callers):
                await face.sessions.append(session, "user", raw.TEXT)

        started = time.perf_counter()
        await asyncio.gather(*map(caller, ids))
        return count // callers * callers / (time.perf_counter() - started)

    def one(store: holdfast.Store) -> float:
        session = store.sessions.create("bench").id
        started = time.perf_counter()
        for _ in range(count):
            store.sessions.append(session, "user", raw.TEXT)
        return count / (time.perf_counter() - started)

    def load(folder: Path) -> float:
        with holdfast.open(folder / "ours.db") as store, going_by(store, rate):
            return one(store) if callers == 1 else asyncio.run(work(store))

    return load


def newest(folder: Path, count: int, times: int) -> list[float]:
    """How long it takes to find the newest hundred of a name, in ms."""
    took = []
    with holdfast.open(folder / "ours.db") as store:
        for number in range(count):
            store.events.emit(f"task:n{number % NAMES}", {"n": number})
        store.events.flush()
        for number in range(times):
            started = time.perf_counter()
            page = store.events.query(f"task:n{number % NAMES}", newest_first=True)
            took.append((time.perf_counter() - started) * 1000)
            assert len(page) == 100
    return took


def here(folder: Path, count: int) -> list[float]:
    """How late a follower in the same process has each event, in ms."""
    came: queue.SimpleQueue[float] = queue.SimpleQueue()
    late = []
    with holdfast.open(folder / "ours.db") as store:
        stop = store.on("bench:now", lambda event: came.put(time.perf_counter()))
        for _ in range(count):
            time.sleep(0.001)
            emitted = time.perf_counter()
            store.events.emit("bench:now")
            late.append((came.get(timeout=10) - emitted) * 1000)
        stop()
    return late


def elsewhere(folder: Path, count: int, *, flushes: bool) -> list[float]:
    """How late a follower in another process has each event, in ms."""
    path = folder / "ours.db"
    with holdfast.open(path) as store:
        store.events.flush()
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.events", path, str(count)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        with child:
            assert child.stdout is not None
            child.stdout.readline()
            for _ in range(count):
                store.events.emit("bench:now", time.perf_counter())
                if flushes:
                    store.events.flush()
                time.sleep(0.01)
            store.events.flush()
            late: list[float] = json.loads(child.communicate()[0])
    return late


def follow(path: str, count: int) -> list[float]:
    """In another process: how late each event is there, in ms."""
    late = []
    with holdfast.open(path) as store, store.events.follow("bench:now") as follower:
        print("ready", flush=True)
        for event in follower:
            late.append((time.perf_counter() - event.data) * 1000)
            if len(late) == count:
                break
    return late


def measure(run: Run, peers: Peers | None) -> list[Line]:
    """All of it, in a file."""
    return [
        *_emitted(run),
        *(_beside(run, callers, full) for callers, full in ((1, 3_000), (100, 20_000))),
        _found(run),
        *_followed(run),
    ]


def _emitted(run: Run) -> list[Line]:
    loads = {
        RAW: raw_rows(run.count(200_000)),
        RING: ring(run.count(BURST)),
        DISK: disk(run.count(MANY)),
    }
    figures = run.interleave(loads, rounds=3)
    goals: dict[str, Goal] = {RING: RING_GOAL, DISK: DISK_GOAL}
    return [
        compared(
            name,
            figures[name],
            figures[RAW],
            against=RAW,
            durability=DEBOUNCED,
            their_durability=FULL,
            goal=goal,
        )
        for name, goal in goals.items()
    ]


def _beside(run: Run, callers: int, full: int) -> Line:
    count = run.count(full)
    who = "one caller's " if callers == 1 else f"{callers} asyncio callers' "
    loads = {
        ALONE: appends(count, 0, callers),
        BESIDE: appends(count, RATE, callers),
    }
    figures = run.interleave(loads)
    return compared(
        who + BESIDE,
        figures[BESIDE],
        figures[ALONE],
        against=ALONE,
        goal=BESIDE_GOAL,
    )


def _found(run: Run) -> Line:
    count = run.count(MANY)
    with run.fresh() as folder:
        took = newest(folder, count, 50)
    return Line(measure=f"{NEWEST}{count:,}", ours=median(took), unit="ms")


def _followed(run: Run) -> list[Line]:
    ways: dict[str, Callable[[Path], list[float]]] = {
        "in the same process": lambda folder: here(folder, run.count(500)),
        "in another process, written at once": lambda folder: elsewhere(
            folder, run.count(500), flushes=True
        ),
        "in another process, written when due": lambda folder: elsewhere(
            folder, run.count(500), flushes=False
        ),
    }
    lines = []
    for name, late in ways.items():
        with run.fresh() as folder:
            lines.append(
                Line(
                    measure=f"a follower has an event, {name}",
                    ours=median(late(folder)),
                    unit="ms",
                )
            )
    return lines


if __name__ == "__main__":
    print(json.dumps(follow(sys.argv[1], int(sys.argv[2]))))
