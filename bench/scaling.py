"""What one server gives, and what a standby costs: `python -m bench.scaling [--quick]`.

Answers for: appends a second of several processes on one store and on stores of their
own, and of one process with no standby, an asynchronous and a synchronous one; for
docs/scale.md, run by hand.
Always holds: loads take turns on servers that sync as PostgreSQL is shipped; a standby
is on the same machine and disk, so that what it costs is the most it can.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen

from rich.console import Console
from rich.table import Table
from tests import postgres

import holdfast
from bench import raw
from bench.rounds import ROOT, Load, Run, syncs_per_second, working_folder
from bench.server import AS_SHIPPED

TASKS, MANY = 16, 100
_stores = count(1)


async def append_for(target: str, tasks: int, seconds: float) -> int:
    """Append from so many tasks, a session each, once told to start; how many were."""
    async with holdfast.aopen(target) as store:
        ids = [(await store.sessions.create("bench")).id for _ in range(tasks)]
        await asyncio.gather(
            *(store.sessions.append(id, "user", raw.TEXT) for id in ids)
        )
        print("ready", flush=True)
        sys.stdin.readline()
        ends = time.perf_counter() + seconds

        async def caller(id: str) -> int:
            done = 0
            while time.perf_counter() < ends:
                await store.sessions.append(id, "user", raw.TEXT)
                done += 1
            return done

        return sum(await asyncio.gather(*(caller(id) for id in ids)))


def rate(targets: list[str], tasks: int, seconds: float) -> float:
    """Appends a second, in sum, of a process for each target."""
    with ExitStack() as stack:
        children = [stack.enter_context(_child(t, tasks, seconds)) for t in targets]
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        for child in children:
            assert child.stdin is not None
            child.stdin.write(b"go\n")
            child.stdin.flush()
        return sum(int(child.communicate()[0]) for child in children) / seconds


def _child(target: str, tasks: int, seconds: float) -> Popen[bytes]:
    command = [sys.executable, "-m", "bench.scaling", "--append-to", target]
    command += ["--tasks", str(tasks), "--seconds", str(seconds)]
    return Popen(command, stdin=PIPE, stdout=PIPE, cwd=ROOT)


def _stores_on(server: postgres.Server, number: int) -> list[str]:
    """Targets of stores that are made by who opens them first."""
    return [server.url(schema=f"bench_{next(_stores)}") for _ in range(number)]


def loads(
    server: postgres.Server, replicated: "Replicated", seconds: float
) -> dict[str, Load]:
    """Every load by its name."""

    def one_store(processes: int, tasks: int) -> Load:
        return lambda _: rate(_stores_on(server, 1) * processes, tasks, seconds)

    def stores(number: int) -> Load:
        return lambda _: rate(_stores_on(server, number), TASKS, seconds)

    def with_standby(kind: str, tasks: int) -> Load:
        return lambda _: replicated.rate(kind, tasks, seconds)

    made = {f"one store, {n} x {TASKS} tasks": one_store(n, TASKS) for n in (1, 2, 4)}
    made |= {f"{n} stores, {TASKS} tasks each": stores(n) for n in (2, 4)}
    for tasks in (1, TASKS, MANY):
        made[f"tasks: {tasks}, no standby"] = one_store(1, tasks)
        for kind in ("asynchronous", "synchronous"):
            made[f"tasks: {tasks}, {kind} standby"] = with_standby(kind, tasks)
    return made


class Replicated:
    """A server with a standby, which its commits wait for or not."""

    def __init__(self, primary: postgres.Server, standby: postgres.Server) -> None:
        self._primary = primary
        self._name = f"standby_{standby.port}"

    def rate(self, kind: str, tasks: int, seconds: float) -> float:
        """Appends a second with a standby of this kind."""
        names = self._name if kind == "synchronous" else ""
        sql = self._primary.sql
        sql(f"alter system set synchronous_standby_names = '{names}'")
        sql("select pg_reload_conf()")
        wanted = [("sync" if names else "async",)]
        seen = "select sync_state from pg_stat_replication"
        postgres.until(lambda: sql(seen) == wanted)
        return rate(_stores_on(self._primary, 1), tasks, seconds)


@contextmanager
def servers(folder: Path) -> Iterator[tuple[postgres.Server, Replicated]]:
    """A server alone, and one with a standby."""
    with ExitStack() as stack:

        def started(name: str) -> postgres.Server:
            settings = {"shared_buffers": AS_SHIPPED["shared_buffers"]}
            made = postgres.Server(folder / name, settings=settings)
            return stack.enter_context(made)

        alone, primary = started("alone"), started("primary")
        standby = primary.standby(folder / "standby", synchronous=False)
        stack.callback(standby.close)
        yield alone, Replicated(primary, standby)


def main() -> None:
    """Measure, and show the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer, shorter rounds")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--append-to", help=argparse.SUPPRESS)
    parser.add_argument("--tasks", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.append_to:
        print(asyncio.run(append_for(asked.append_to, asked.tasks, asked.seconds)))
        return
    seconds, rounds = (1.0, 1) if asked.quick else (3.0, 5)
    with working_folder(asked.folder) as folder, servers(folder) as (alone, replicated):
        made = loads(alone, replicated, seconds)
        figures = Run(folder).interleave(made, rounds=rounds)
        syncs = syncs_per_second(folder)
    table = Table("load", "appends/s", "least", "most", title="medians of the rounds")
    for name, found in figures.items():
        table.add_row(
            name, f"{median(found):,.0f}", f"{min(found):,.0f}", f"{max(found):,.0f}"
        )
    Console().print(table)
    Console().print(f"{syncs:,.0f} syncs a second afterwards")


if __name__ == "__main__":
    main()
