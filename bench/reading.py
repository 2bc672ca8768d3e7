"""Reading and opening where there is much, against where there is little.

Goals: the newest 20 messages of a session of 100,000 in at most twice the time of a
session of 100; listing 50 of 100,000 sessions likewise against 50 of 100; opening a
store of a million messages in at most twice the time of an empty one.

Always holds: each store is built once a run, closed in order, and opened anew.
"""

import time
from collections.abc import Callable
from pathlib import Path

import holdfast
from bench import million
from bench.beside import Peers
from bench.lines import Line, at_most, compared
from bench.rounds import Run

SHORT, MANY = 100, 100_000
TWICE = at_most(2)
NEWEST, LISTED = 20, 50
ROUNDS, CALLS = 25, 20


def write_sessions(path: Path, count: int) -> None:
    """Add `count` sessions, a thousand in a transaction."""
    with holdfast.open(path) as store:
        for start in range(0, count, 1_000):
            with store.transaction(timeout_seconds=60) as tx:
                for _ in range(min(1_000, count - start)):
                    tx.sessions.create("bench")


def timed_in_turn(calls: list[Callable[[], object]]) -> list[list[float]]:
    """Call each 20 times in turn, over and over; returns the rounds' microseconds."""
    took: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, series in zip(calls, took, strict=True):
            started = time.perf_counter()
            for _ in range(CALLS):
                call()
            series.append((time.perf_counter() - started) * 1e6 / CALLS)
    return took


def measure(run: Run, peers: Peers | None) -> list[Line]:
    """Microseconds a call, where there is much and where there is little."""
    much = million.much(run)
    with run.fresh() as folder:
        with holdfast.open(little := folder / "little.db") as store:
            million.fill(store, [SHORT])
        lines = [_newest(much, little), _opening(much, folder)]
    with run.fresh() as folder:
        write_sessions(folder / "much.db", MANY)
        write_sessions(folder / "little.db", SHORT)
        return [*lines, _listing(folder / "much.db", folder / "little.db")]


def _newest(much: Path, little: Path) -> Line:
    with holdfast.open(much) as one, holdfast.open(little) as other:
        ours, theirs = timed_in_turn(
            [
                lambda: one.sessions.messages("s0", last=NEWEST),
                lambda: other.sessions.messages("s0", last=NEWEST),
            ]
        )
    return of_both("newest 20 messages of 100,000", ours, theirs)


def _listing(much: Path, little: Path) -> Line:
    with holdfast.open(much) as one, holdfast.open(little) as other:
        ours, theirs = timed_in_turn(
            [
                lambda: one.sessions.list(limit=LISTED),
                lambda: other.sessions.list(limit=LISTED),
            ]
        )
    return of_both("50 of 100,000 sessions", ours, theirs)


def of_both(title: str, ours: list[float], theirs: list[float]) -> Line:
    """A line that holds the large store's figure against the small one's."""
    return compared(
        title,
        ours,
        theirs,
        against="of 100",
        unit="µs",
        durability="",
        goal=TWICE,
    )


def _opening(much: Path, folder: Path) -> Line:
    empty = folder / "empty.db"
    holdfast.open(empty).close()
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(2 * ROUNDS):
        for path, series in zip((much, empty), took, strict=True):
            started = time.perf_counter()
            store = holdfast.open(path)
            series.append((time.perf_counter() - started) * 1e6)
            store.close()
    return compared(
        "opening a store of a million messages",
        *took,
        against="an empty one",
        unit="µs",
        durability="",
        goal=TWICE,
    )
