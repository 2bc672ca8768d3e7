"""A store of a million messages, filled once a run for all who measure where much is.

Answers for: what is said in it, and where it is.
Always holds: it has ten sessions, "s0" to "s9", of 100,000 messages each; in a quick
run, one of 100,000 and nine of 1,000. A message has 200 characters, hardly any two are
equal, and words are as frequent as in a language (Zipf). Who changes the store has a
copy of it.
"""

import itertools
import os
import random
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import holdfast
from bench.rounds import Run

LONG, SESSIONS = 100_000, 10
QUICK = 1_000
BATCH = 10_000
CHARACTERS = 200
RARE, RARELY = "hapaxlegomenon", 20
_WORDS, _PHRASES = 20_000, 20_000


def sizes(run: Run) -> list[int]:
    """How many messages each session has."""
    return [LONG, *[QUICK if run.quick else LONG] * (SESSIONS - 1)]


def texts(count: int, rare: int = 0) -> Iterator[str]:
    """So many messages; so many of them, evenly spread, have the rare word."""
    chance = random.Random(1)
    letters = "etaoinshrdlucmfwypvbgk"
    known = ["".join(chance.choices(letters, k=2 + n % 9)) for n in range(_WORDS)]
    often = list(itertools.accumulate(1 / (rank + 1) for rank in range(_WORDS)))
    phrases = [
        " ".join(chance.choices(known, cum_weights=often, k=15))
        for _ in range(_PHRASES)
    ]
    marked = {count * (2 * mark + 1) // (2 * rare) for mark in range(rare)}
    for number in range(count):
        said = " ".join(chance.choices(phrases, k=3))
        mark = f" {RARE}" if number in marked else ""
        yield said[: CHARACTERS - len(mark)] + mark


def fill(store: holdfast.Store, sizes: Iterable[int]) -> None:
    """Add sessions of so many messages."""
    counts = list(sizes)
    said = texts(sum(counts), RARELY)
    for number, count in enumerate(counts):
        store.sessions.create("bench", id=f"s{number}")
        say(store, f"s{number}", itertools.islice(said, count))


def say(store: holdfast.Store, session: str, said: Iterable[str]) -> None:
    """Add messages to a session, `BATCH` in a transaction."""
    texts = iter(said)
    while batch := list(itertools.islice(texts, BATCH)):
        store.sessions.extend(session, [{"role": "user", "content": t} for t in batch])


def much(run: Run) -> Path:
    """The store, to be read."""
    path = run.folder / "much.db"
    if not path.exists():
        with run.fresh() as folder:
            with holdfast.open(folder / "much.db") as store:
                fill(store, sizes(run))
            (folder / "much.db").rename(path)
    return path


@contextmanager
def copy_of_much(run: Run) -> Iterator[Path]:
    """The store, to be changed; it is on disk, so that nobody pays for its copying."""
    with run.fresh() as folder:
        copied = Path(shutil.copyfile(much(run), folder / "much.db"))
        with copied.open("rb") as file:
            os.fsync(file.fileno())
        yield copied
