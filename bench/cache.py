"""Caches: what a read of a value costs that is there.

Goal: less than 2 µs beyond what a dict's read takes in the same run, of a cache that
knows of time alone, and of one that follows a store's journal, from code and from an
event loop. Reported without a goal: a read after each commit, which looks at the
journal; a value that is made; an overview of a session of a thousand messages, kept
and made; a thin handshake of tools.

Always holds: what is timed gave the value that is there.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import holdfast
from bench.beside import Peers
from bench.lines import FULL, Goal, Line, at_most
from bench.rounds import Load, Run
from holdfast.runtime import Cache

READ_GOAL = at_most(2)
KEYS = 1_000
MESSAGES = 1_000


def spent(work: Callable[[int], object], count: int) -> float:
    """Microseconds that each of so many steps takes, in the best fifth of them."""
    return min(_spent(work, count // 5) for _ in range(5))


def _spent(work: Callable[[int], object], count: int) -> float:
    began = time.perf_counter()
    for number in range(count):
        work(number)
    return (time.perf_counter() - began) / count * 1e6


def beyond(work: Callable[[int], object], count: int) -> float:
    """Microseconds that a read takes beyond a dict's."""
    plain = {number: number for number in range(KEYS)}
    return spent(work, count) - spent(lambda n: plain[n % KEYS], count)


def never() -> int:
    raise AssertionError("this was there")


def kept(count: int) -> Load:
    """Reads of a cache that knows of time alone."""

    def load(_: Path) -> float:
        cache: Cache[int] = Cache(size=KEYS)
        for number in range(KEYS):
            cache.get(number, lambda n=number: n)
        return beyond(lambda n: cache.get(n % KEYS, never), count)

    return load


def followed(count: int) -> Load:
    """Reads of a cache that follows a journal."""

    def load(folder: Path) -> float:
        with holdfast.open(folder / "agent.db") as store:
            cache = _following(store)
            return beyond(lambda n: cache.get(n % KEYS, never), count)

    return load


def awaited(count: int) -> Load:
    """As `followed`, by a task."""
    plain = {number: number for number in range(KEYS)}

    async def read(number: int) -> int:
        return plain[number]

    async def took(ask: Callable[[int], Awaitable[int]]) -> float:
        began = time.perf_counter()
        for number in range(count // 5):
            await ask(number % KEYS)
        return (time.perf_counter() - began) / (count // 5) * 1e6

    async def reads(cache: Cache[int]) -> float:
        ours = [await took(lambda n: cache.aget(n, never)) for _ in range(5)]
        return min(ours) - min([await took(read) for _ in range(5)])

    def load(folder: Path) -> float:
        with holdfast.open(folder / "agent.db") as store:
            return asyncio.run(reads(_following(store)))

    return load


def _following(store: holdfast.Store) -> Cache[int]:
    """A full cache that follows tasks, once nothing is news any more."""
    cache: Cache[int] = Cache(store, size=KEYS, invalidated_by="tasks")
    for _ in range(10):  # the watcher tells of the store's own beginnings
        for number in range(KEYS):
            cache.get(number, lambda n=number: n)
        time.sleep(0.02)
    return cache


def after_commits(count: int) -> Load:
    """Reads, each right after a commit that does not touch the value."""

    def load(folder: Path) -> float:
        with holdfast.open(folder / "agent.db", durability="process-crash") as store:
            cache = _following(store)
            took = 0.0
            for number in range(count):
                store.items.put(["a"], "k", {"n": number})
                began = time.perf_counter()
                cache.get(number % KEYS, never)
                took += time.perf_counter() - began
            return took / count * 1e6

    return load


def made(count: int) -> Load:
    """Values that are made, each for a key of its own."""

    def load(_: Path) -> float:
        cache: Cache[int] = Cache(size=count)
        return _spent(lambda n: cache.get(n, int), count)

    return load


def overviews(count: int, *, anew: bool) -> Load:
    """Overviews of a session of a thousand messages."""

    def load(folder: Path) -> float:
        with holdfast.open(folder / "agent.db") as store:
            store.sessions.create(id="s")
            said = [{"role": "user", "content": "hello"} for _ in range(MESSAGES)]
            store.sessions.extend("s", said)
            store.sessions.overview("s")
            if anew:
                past = store.as_of(store.moment())  # which keeps nothing
                return spent(
                    lambda _: past.sessions.overview("s"), max(count // 50, 10)
                )
            return spent(lambda _: store.sessions.overview("s"), count)

    return load


def handshakes(count: int) -> Load:
    """Thin handshakes."""

    def load(folder: Path) -> float:
        with holdfast.open(folder / "agent.db") as store:
            tools = [{"name": f"t{n}", "description": "d" * 500} for n in range(50)]
            store.toolsets.put("ada", "c", tools)
            store.toolsets.handshake("ada", "c")
            return spent(lambda _: store.toolsets.handshake("ada", "c"), count)

    return load


def measure(run: Run, _: Peers | None = None) -> list[Line]:
    """Reads beyond a dict's, and what else a cache costs."""
    few, many = run.count(2_000), run.count(100_000)
    beyond_a_dicts = "beyond a dict's"
    loads: dict[str, tuple[Load, Goal | None, str]] = {
        f"a cached read {beyond_a_dicts}": (kept(many), READ_GOAL, "none"),
        f"the same, following a journal, {beyond_a_dicts}": (
            followed(many),
            READ_GOAL,
            FULL,
        ),
        f"the same, awaited, {beyond_a_dicts}": (awaited(many), READ_GOAL, FULL),
        "a cached read right after a commit": (after_commits(few), None, "none"),
        "a value that is made, for each key": (made(few), None, "none"),
        f"an overview of {MESSAGES:,} messages, kept": (
            overviews(few, anew=False),
            None,
            FULL,
        ),
        f"an overview of {MESSAGES:,} messages, of the past": (
            overviews(few, anew=True),
            None,
            FULL,
        ),
        "a thin handshake of 50 tools": (handshakes(few), None, FULL),
    }
    figures = run.interleave({name: load for name, (load, *_) in loads.items()})
    return [
        Line(
            measure=name,
            ours=median(figures[name]),
            unit="µs",
            durability=durability,
            low=min(figures[name]),
            high=max(figures[name]),
            goal=goal,
        )
        for name, (_, goal, durability) in loads.items()
    ]
