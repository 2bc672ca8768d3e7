"""A thousand watchers in one process: how long after a commit each is called.

Goal: the median watcher within 50 ms of the commit, whether a thousand watch a record
each, all of which one transaction changes, or all watch one list. Reported without a
goal: the last of them; one record of the thousand that changes alone; the appends a
second of a caller while nobody watches, and while one watches a list that each append
changes. PostgreSQL too.

Always holds: the clock starts when the change was acknowledged to its caller, and
stands for each watcher when its callback is called; a round counts when all were.
"""

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import holdfast
from bench import raw
from bench.beside import Peers
from bench.lines import Line, at_most, compared
from bench.postgres import target
from bench.rounds import Load, Run
from bench.server import running

Place = Callable[[], AbstractContextManager[str]]
WATCHERS = 1_000
SOON = at_most(50)
PATIENCE_SECONDS = 60.0
UNWATCHED, WATCHED = "appends, nobody watches", "appends, a list is watched"


class Called:
    """When each of so many watchers was called, in ms after the commit."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._at: list[float] = []
        self._all = threading.Event()

    def call(self, _: object) -> None:
        self._at.append(time.perf_counter())
        if len(self._at) == self._wanted:
            self._all.set()

    def after(self, change: Callable[[], object]) -> list[float]:
        """Make a change; how long after it each was called, the soonest first."""
        self._at.clear()
        self._all.clear()
        change()
        committed = time.perf_counter()
        assert self._all.wait(PATIENCE_SECONDS)
        return sorted((at - committed) * 1000 for at in self._at)


def touch(tx: holdfast.Transaction, count: int, done: int) -> None:
    """Change the newest tasks, which are those that a list has."""
    for number in range(WATCHERS - count, WATCHERS):
        tx.tasks.progress(f"t{number}", done)


@contextmanager
def watched(
    place: str, watch: Callable[[holdfast.Store, int], Any], wanted: int
) -> Iterator[tuple[holdfast.Store, Called]]:
    """A store with a thousand tasks, and a thousand watchers."""
    called = Called(wanted)
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(holdfast.open(place))
        store.run(create)
        for number in range(WATCHERS):
            one = stack.enter_context(watch(store, number))
            one.on_change(called.call)
        yield store, called


def create(tx: holdfast.Transaction) -> None:
    for number in range(WATCHERS):
        tx.tasks.create("bench", id=f"t{number}")
        tx.tasks.start(f"t{number}")


def record(store: holdfast.Store, number: int) -> Any:
    return store.watch("tasks", f"t{number}")


def page(store: holdfast.Store, number: int) -> Any:
    return store.watch_query("tasks.list", limit=50)


def lateness(
    place: str, watch: Callable[[holdfast.Store, int], Any], changed: int, times: int
) -> list[tuple[float, float]]:
    """The median and the last watcher's lateness, of so many changes."""
    wanted = WATCHERS if watch is page else changed
    with watched(place, watch, wanted) as (store, called):
        found = [
            called.after(functools.partial(store.run, touch, changed, done))
            for done in range(1, times + 1)
        ]
        return [(median(late), late[-1]) for late in found]


def appends(place: str, count: int, *, watching: bool) -> float:
    """Appends a second of one caller."""
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(holdfast.open(place))
        store.sessions.create(id="bench")
        if watching:
            one = stack.enter_context(store.watch_query("sessions.list"))
            one.on_change(lambda _: None)
        store.sessions.append("bench", "user", raw.TEXT)
        started = time.perf_counter()
        for _ in range(count):
            store.sessions.append("bench", "user", raw.TEXT)
        return count / (time.perf_counter() - started)


def measure(run: Run, peers: Peers | None) -> list[Line]:
    """On a file, and on a server."""

    @contextmanager
    def file() -> Iterator[str]:
        with run.fresh() as folder:
            yield str(folder / "agent.db")

    lines = _measured(run, "", file)
    with run.fresh() as folder, running(folder) as server:

        @contextmanager
        def database() -> Iterator[str]:
            with server.database() as url:
                yield target(url)

        return [*lines, *_measured(run, "PostgreSQL: ", database)]


def _measured(run: Run, title: str, place: Place) -> list[Line]:
    times = 3 if run.quick else 9
    lines = []
    for name, watch, changed in (
        ("1,000 watchers, a record each, all changed", record, WATCHERS),
        ("1,000 watchers of one list", page, 1),
        ("1,000 watchers, a record each, one changed", record, 1),
    ):
        with place() as where:
            late = lateness(where, watch, changed, times)
        for which, of in (("median", 0), ("last", 1)):
            lines.append(
                Line(
                    measure=f"{title}{name}: the {which} is called after",
                    ours=median(each[of] for each in late),
                    unit="ms",
                    goal=SOON if which == "median" and not title else None,
                )
            )
    return [*lines, _beside(run, title, place)]


def _beside(run: Run, title: str, place: Place) -> Line:
    """Appends beside a watcher, and without one."""
    count = run.count(2_000)

    def load(*, watching: bool) -> Load:
        def measured(_: Path) -> float:
            with place() as where:
                return appends(where, count, watching=watching)

        return measured

    loads = {UNWATCHED: load(watching=False), WATCHED: load(watching=True)}
    figures = run.interleave(loads)
    return compared(
        title + WATCHED, figures[WATCHED], figures[UNWATCHED], against=UNWATCHED
    )
