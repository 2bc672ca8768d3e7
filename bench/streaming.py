"""Streamed replies: a hundred at once on one event loop, 50 tokens a second each.

Goals: at most 200 commits a second; every token in the store, for another process to
read, within a second of its `add`.

Answers for: the tasks that stream, the process beside them that looks, on each engine.
Always holds: commits are counted where they are made: on SQLite as the writer makes
them, on PostgreSQL as transactions that the journal has changes of. The beginning and
the end of each reply are counted too. The clock is the machine's monotonic one, which
processes share.
"""

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from typing import Any

import msgspec
import psycopg

import holdfast
from bench.beside import Peers
from bench.lines import FULL, Line, at_most
from bench.postgres import target as in_schema
from bench.rounds import ROOT, Run
from bench.server import DURABLE, running

REPLIES = 100
TOKENS_A_SECOND = 50
WATCHED = 5
SECONDS = 10
LOOKS_EVERY_SECONDS = 0.02
TOKEN = "token "


class Streamed(msgspec.Struct):
    """How often was committed, and how late tokens were there for another process."""

    commits: float
    worst_seconds: float
    ninety_ninth_seconds: float


def look(target: str, ids: list[str]) -> list[tuple[str, int, float]]:
    """Look at the newest message of sessions until all are whole: what was when."""
    seen: list[tuple[str, int, float]] = []
    lengths = dict.fromkeys(ids, 0)
    with holdfast.open(target) as store:
        print("ready", flush=True)
        while lengths:
            for id in list(lengths):
                for message in store.sessions.messages(id, 1):
                    if len(message.content) > lengths[id]:
                        lengths[id] = len(message.content)
                        seen.append((id, lengths[id], time.perf_counter()))
                    if not message.partial:
                        del lengths[id]
            time.sleep(LOOKS_EVERY_SECONDS)
    return seen


async def stream(
    store: Any, id: str, seconds: float, added: list[tuple[int, float]]
) -> None:
    """One reply, begun within the first second; notes when each token was added."""
    await asyncio.sleep(random.random())
    async with store.sessions.reply(id) as reply:
        started = time.perf_counter()
        for number in range(1, int(seconds * TOKENS_A_SECOND) + 1):
            added.append((number * len(TOKEN), time.perf_counter()))
            await reply.add(TOKEN)
            due = started + number / TOKENS_A_SECOND
            await asyncio.sleep(due - time.perf_counter())


async def streamed(
    target: str, seconds: float, counting: Callable[[holdfast.Store], Callable[[], int]]
) -> Streamed:
    """Stream all replies, under another process's eyes."""
    async with holdfast.aopen(target) as store:
        ids = [(await store.sessions.create("bench")).id for _ in range(REPLIES)]
        added: dict[str, list[tuple[int, float]]] = {id: [] for id in ids}
        watched = ids[:WATCHED]
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.streaming", target, *watched),
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        assert child.stdout is not None
        await child.stdout.readline()
        commits = counting(store.sync)
        started = time.perf_counter()
        await asyncio.gather(*(stream(store, id, seconds, added[id]) for id in ids))
        took = time.perf_counter() - started
        count = commits()
        told, _ = await child.communicate()
    seen = msgspec.json.decode(told, type=list[tuple[str, int, float]])
    late = [lateness for id in watched for lateness in lateness_of(id, added[id], seen)]
    return Streamed(
        commits=count / took,
        worst_seconds=max(late),
        ninety_ninth_seconds=quantiles(late, n=100)[98],
    )


def lateness_of(
    id: str, added: list[tuple[int, float]], seen: list[tuple[str, int, float]]
) -> list[float]:
    """For each token of a reply, how long after its `add` it was first seen."""
    looks = [(length, at) for of, length, at in seen if of == id]
    late = []
    for length, at in added:
        while looks[0][0] < length:
            looks.pop(0)
        late.append(looks[0][1] - at)
    return late


def counted_by_the_writer(store: holdfast.Store) -> Callable[[], int]:
    """Count the commits that a store in a file makes from now on."""
    committer = store._core.engine._writer._committer  # type: ignore[attr-defined]  # noqa: SLF001
    commit, made = committer.commit, []

    def counted() -> None:
        commit()
        made.append(None)

    committer.commit = counted
    return lambda: len(made)


def counted_by_the_journal(url: str) -> Callable[[holdfast.Store], Callable[[], int]]:
    """Count the transactions on a server that have changed anything from now on."""

    def counting(store: holdfast.Store) -> Callable[[], int]:
        after = store.moment()

        def count() -> int:
            with psycopg.connect(url) as connection:
                found = connection.execute(
                    "select count(distinct xmin::text) from bench.change "
                    "where seq > %s",
                    [after],
                ).fetchone()
                assert found is not None
                return int(found[0])

        return count

    return counting


def lines_of(found: Streamed, engine: str, durability: str) -> list[Line]:
    """The figures of one engine."""
    what = (
        f"{engine}: {REPLIES} streamed replies, {TOKENS_A_SECOND} tokens a second each"
    )
    return [
        Line(
            measure=f"{what}: commits",
            ours=found.commits,
            unit="/s",
            durability=durability,
            goal=at_most(200),
        ),
        Line(
            measure=f"{what}: a token is there within",
            ours=found.worst_seconds,
            unit="s",
            durability=durability,
            goal=at_most(1),
            note=f"99 in 100 within {found.ninety_ninth_seconds:.2f} s",
        ),
    ]


def measure(run: Run, peers: Peers | None) -> list[Line]:
    """Commits a second while all replies are streamed, and how late tokens are."""
    seconds = SECONDS / 3 if run.quick else SECONDS
    with run.fresh() as folder:
        place = str(Path(folder) / "ours.db")
        in_a_file = asyncio.run(streamed(place, seconds, counted_by_the_writer))
    with run.fresh() as folder, running(folder) as server, server.database() as url:
        counting = counted_by_the_journal(url)
        on_a_server = asyncio.run(streamed(in_schema(url), seconds, counting))
    return [
        *lines_of(in_a_file, "SQLite", FULL),
        *lines_of(on_a_server, "PostgreSQL", DURABLE),
    ]


if __name__ == "__main__":
    print(msgspec.json.encode(look(sys.argv[1], sys.argv[2:])).decode())
