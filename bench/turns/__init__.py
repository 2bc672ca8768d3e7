"""What frameworks have kept of a turn, played to whatever keeps it for them.

Answers for: one shape for all of them, what is said in a turn, and timing it.
Leaves to others: what a framework writes and reads in a turn (a module each).
Always holds: our side and theirs are given the same calls, of the same content; every
caller has played a turn before the clock starts; no model and no framework's loop is
timed, only what keeps.
"""

import asyncio
import gc
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import TypeAlias

Turn: TypeAlias = Callable[[str, int], Awaitable[None]]
"""Plays the turn of a number in a conversation."""

Side: TypeAlias = Callable[[str], AbstractAsyncContextManager[Turn]]
"""What keeps, opened at a path or a URL."""

SPEECH = 512
"""Characters of a question, and of its answer."""

_WORDS = 5_000


def speeches(count: int, seed: int = 5) -> list[str]:
    """Texts of `SPEECH` characters, of words that are as frequent as in a language."""
    chance = random.Random(seed)
    words = [
        "".join(chance.choices("etaoinshrdlucmfw", k=1 + n % 9)) for n in range(_WORDS)
    ]
    weights = [1 / (rank + 1) for rank in range(_WORDS)]
    return [
        " ".join(chance.choices(words, weights, k=SPEECH))[:SPEECH]
        for _ in range(count)
    ]


async def played(
    side: Side, place: str, callers: int, turns: int, conversations: int
) -> float:
    """Turns a second of callers who lead conversations, one after another."""
    async with side(place) as turn:

        async def caller(name: str, count: int, length: int) -> None:
            for number in range(count):
                for each in range(length):
                    await turn(f"{name}-{number}", each)

        names = [f"caller-{number}" for number in range(callers)]
        await asyncio.gather(*(caller(f"first-{name}", 1, 1) for name in names))
        gc.collect()  # what the frameworks' imports left is no side's to pay for
        started = time.perf_counter()
        await asyncio.gather(*(caller(name, conversations, turns) for name in names))
        return callers * conversations * turns / (time.perf_counter() - started)


async def lasting(side: Side, place: str, turns: int) -> None:
    """One conversation of so many turns."""
    async with side(place) as turn:
        for number in range(turns):
            await turn("long", number)


def in_wal(path: Path) -> str:
    """An empty SQLite file with a write-ahead log, as `holdfast.open` makes them.

    A connection that sets nothing by itself is at `synchronous=FULL` there.
    """
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = wal")
        (level,) = connection.execute("pragma synchronous").fetchone()
    assert level == _FULL, level
    return str(path)


_FULL = 2
