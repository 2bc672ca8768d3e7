"""Tables in partitions by owner: `python -m bench.partitions --messages 1000000`.

Answers for: how fast a store on PostgreSQL fills, is read and is appended to at so many
messages, for each number of partitions side by side; for docs/scale.md, run by hand.
Always holds: the stores are in databases of one server and take turns, a tenth of the
messages at a time, so that all see the same machine; 0 is a store without partitions.
"""

import argparse
import asyncio
import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import msgspec
import psycopg
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import holdfast
from bench import raw
from bench.rounds import syncs_per_second, working_folder
from bench.server import Server, running

OWNERS, SESSIONS = 64, 16  # sessions are an owner's
CALLERS, BATCH = 16, 100
SLICES, ROUNDS = 10, 5
READS, APPENDS = 1_000, 4_000
NEWEST = 20
LEAST = OWNERS * SESSIONS * BATCH  # a batch for each session
DRAFTS = [{"role": "user", "content": raw.TEXT}] * BATCH

Session = tuple[str, str]
"""An owner, and the id of one of its sessions."""
EVERY: list[Session] = [
    (f"owner-{owner}", f"session-{owner}-{session}")
    for session in range(SESSIONS)
    for owner in range(OWNERS)
]


class Place(NamedTuple):
    """A store that is measured."""

    partitions: int
    url: str

    @property
    def target(self) -> str:
        """What `holdfast.open` is given."""
        option = f"&partitions={self.partitions}" if self.partitions else ""
        return f"{self.url}?schema=bench{option}"


class Found(msgspec.Struct):
    """What was measured of one store."""

    partitions: int
    fills: list[float] = []
    """Messages a second, a tenth at a time."""
    reads: list[float] = []
    """Microseconds of each read of the newest 20."""
    appends: list[float] = []
    """Appends a second of 16 tasks, round by round."""
    size_bytes: int = 0


def create(place: Place) -> None:
    """Make the store and its sessions; raises unless it has those partitions."""
    with holdfast.open(place.target) as store:
        for owner, session in EVERY:
            store.owned_by(owner).sessions.create("bench", id=session)
    parts = (
        "select count(*) from pg_inherits where inhparent = 'bench.message'::regclass"
    )
    if (made := _number(place, parts)) != place.partitions:
        raise RuntimeError(f"{place.target}: {made} partitions of messages")


async def fill(place: Place, count: int, turn: int) -> float:
    """Add so many messages, a hundred in a call; returns how many a second."""
    async with holdfast.aopen(place.target) as store:
        batches = iter(range(count // BATCH))

        async def caller(number: int) -> None:
            for batch in batches:
                owner, session = EVERY[(turn + batch) % len(EVERY)]
                await store.owned_by(owner).sessions.extend(session, DRAFTS)

        return await _rate(count // BATCH * BATCH, caller)


async def append(place: Place, seed: int) -> float:
    """Append to sessions by chance; returns how many a second."""
    chance = random.Random(seed)
    async with holdfast.aopen(place.target) as store:
        chosen = iter([chance.choice(EVERY) for _ in range(APPENDS)])

        async def caller(number: int) -> None:
            for owner, session in chosen:
                append = store.owned_by(owner).sessions.append
                await append(session, "user", raw.TEXT)

        return await _rate(APPENDS, caller)


async def _rate(count: int, caller: Callable[[int], object]) -> float:
    started = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    return count / (time.perf_counter() - started)


def read(place: Place, seed: int) -> Iterator[float]:
    """Read the newest 20 of sessions by chance; yields the microseconds of each."""
    chance = random.Random(seed)
    with holdfast.open(place.target) as store:
        for _ in range(READS):
            owner, session = chance.choice(EVERY)
            sessions = store.owned_by(owner).sessions
            started = time.perf_counter()
            page = sessions.messages(session, last=NEWEST)
            yield (time.perf_counter() - started) * 1e6
            assert len(page) == NEWEST


def measured(
    server: Server, numbers: list[int], messages: int, progress: Progress
) -> list[Found]:
    """Fill, read and append to a store for each number of partitions, in turns."""
    founds = [Found(number) for number in numbers]
    part = messages // SLICES
    with ExitStack() as stack:
        places = [
            Place(number, stack.enter_context(server.database())) for number in numbers
        ]
        for place in places:
            create(place)
        for turn in progress.track(range(SLICES), description="filling"):
            for place, found in zip(places, founds, strict=True):
                start = turn * (part // BATCH)
                found.fills.append(asyncio.run(fill(place, part, start)))
        for place, found in zip(places, founds, strict=True):
            found.size_bytes = _number(
                place, "select pg_database_size(current_database())"
            )
        for turn in progress.track(range(ROUNDS), description="reading, appending"):
            for place, found in zip(places, founds, strict=True):
                found.reads += read(place, turn)
                found.appends.append(asyncio.run(append(place, turn)))
    return founds


def _number(place: Place, query: str) -> int:
    """What a query of one number gives."""
    with psycopg.connect(place.url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def shown(founds: list[Found], messages: int) -> Table:
    """A line for each number of partitions."""
    table = Table("partitions", title=f"{messages:,} messages of {OWNERS} owners")
    for name in ("fill/s", "its last tenth", "newest 20, µs", "99 of 100, µs"):
        table.add_column(name, justify="right")
    table.add_column(f"append/s, {CALLERS} tasks", justify="right")
    table.add_column("MB", justify="right")
    for found in founds:
        table.add_row(
            str(found.partitions or "none"),
            f"{median(found.fills):,.0f}",
            f"{found.fills[-1]:,.0f}",
            f"{median(found.reads):,.0f}",
            f"{quantiles(found.reads, n=100)[98]:,.0f}",
            f"{median(found.appends):,.0f}",
            f"{found.size_bytes / 1e6:,.0f}",
        )
    return table


def main() -> None:
    """Measure what was asked for, and show it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, nargs="+", default=[0, 1, 4, 16])
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    turns = max(LEAST, asked.messages) / (SLICES * BATCH)
    messages = math.ceil(turns) * SLICES * BATCH
    with (
        working_folder(asked.folder) as folder,
        running(folder, dict(each.split("=", 1) for each in asked.setting)) as server,
        Progress(console=Console(stderr=True)) as progress,
    ):
        founds = measured(server, asked.partitions, messages, progress)
        syncs = syncs_per_second(folder)
    Console().print(shown(founds, messages))
    Console().print(f"{syncs:,.0f} syncs a second afterwards")
    if asked.json:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(founds)))


if __name__ == "__main__":
    main()
