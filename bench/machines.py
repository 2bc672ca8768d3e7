"""Machines: events, beside bare appends and a library that keeps nothing by itself.

Goals: 100 asyncio callers send events to 1,000 machines at least half as fast as they
append messages; at least 10 times as fast as python-statemachine's machines, saved in
SQLite after each transition, in that way which is fastest here.
Reported without a goal: the former on PostgreSQL; effects, from the event that queues
one to the transition that its `SUCCESS` makes, with a worker in the same process.
"""

import asyncio
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import holdfast
from bench import postgres, raw
from bench.beside import MACHINE_TASKS, MACHINE_THREADS, Peers
from bench.jobs import Place
from bench.lines import Goal, Line, at_least, compared
from bench.queues.working import Target
from bench.rounds import Run
from bench.server import running
from holdfast.astore import AsyncStore
from holdfast.runtime.jobs.arunning import AsyncRunningJob

CALLERS = 100
MACHINES = 1_000
SENDS = f"{CALLERS} asyncio callers send events to {MACHINES:,} machines"
APPENDS = f"appends of {CALLERS} asyncio callers, a session each"
EFFECTS = "effects, from the event to SUCCESS"
LIMIT_SECONDS = 60
LOOK_SECONDS = 0.005

SAY = {"updateContext": {"said": "$$text"}}
TALK = {
    "initial": "idle",
    "states": {
        "idle": {"on": {"SAY": {"target": "busy", "actions": SAY}}},
        "busy": {"on": {"SAY": {"target": "idle", "actions": SAY}}},
    },
}
WORK = {
    "initial": "new",
    "states": {
        "new": {"on": {"GO": "working"}},
        "working": {
            "entry": {"tool": "length", "payload": "$$text"},
            "on": {"SUCCESS": "done"},
        },
        "done": {},
    },
}
PAYLOAD = {"text": raw.TEXT}


def sends(target: Target, count: int) -> float:
    """Events a second that a hundred tasks send, ten machines each, once each did."""

    async def work() -> float:
        async with holdfast.aopen(target) as store:
            await store.machines.define("talk", TALK)
            ids = await _made(store, "talk", MACHINES)

            async def caller(mine: list[str], times: int) -> None:
                for nth in range(times):
                    id = mine[nth % len(mine)]
                    sent = await store.machines.send(id, "SAY", PAYLOAD)
                    assert sent.taken

            return await _rate([ids[n::CALLERS] for n in range(CALLERS)], caller, count)

    return asyncio.run(work())


def appends(target: Target, count: int) -> float:
    """Messages a second that a hundred tasks append, once each did one."""

    async def work() -> float:
        async with holdfast.aopen(target) as store:
            ids = [(await store.sessions.create("bench")).id for _ in range(CALLERS)]

            async def caller(session: str, times: int) -> None:
                for _ in range(times):
                    await store.sessions.append(session, "user", raw.TEXT)

            return await _rate(ids, caller, count)

    return asyncio.run(work())


def effects(target: Target, count: int) -> float:
    """Machines a second that are sent an event, and told that its effect is done."""

    async def length(job: AsyncRunningJob) -> int:
        return len(job.body)

    async def work() -> float:
        async with holdfast.aopen(target) as store:
            await store.machines.define("work", WORK, effects={"length": length})
            ids = await _made(store, "work", count)

            async def caller(mine: list[str]) -> None:
                for id in mine:
                    await store.machines.send(id, "GO", PAYLOAD)

            async with holdfast.Worker(store, {}, concurrency=CALLERS) as worker:
                started = time.perf_counter()
                await asyncio.gather(*(caller(ids[n::CALLERS]) for n in range(CALLERS)))
                async with asyncio.timeout(LIMIT_SECONDS):
                    while worker.report().done < count:  # noqa: ASYNC110  # tells nobody
                        await asyncio.sleep(LOOK_SECONDS)
                took = time.perf_counter() - started
            page = await store.machines.list("work", state="done", limit=1_000)
            assert len(page) == min(count, 1_000)
            return count / took

    return asyncio.run(work())


async def _made(store: AsyncStore, name: str, count: int) -> list[str]:
    """So many new machines, in one transaction."""
    async with store.transaction(timeout_seconds=60) as tx:
        return [(await tx.machines.create(name)).id for _ in range(count)]


async def _rate(each: list[Any], caller: Callable[..., Any], count: int) -> float:
    """Calls a second of a hundred callers, once each has called once."""
    await asyncio.gather(*(caller(one, 1) for one in each))
    started = time.perf_counter()
    await asyncio.gather(*(caller(one, count // CALLERS) for one in each))
    return count // CALLERS * CALLERS / (time.perf_counter() - started)


def measure(run: Run, peers: Peers | None) -> list[Line]:
    """Events and effects on both engines; on a file, beside the library."""
    ways = {MACHINE_THREADS: 4_000, MACHINE_TASKS: 4_000}
    here = Place(peers)
    lines = [*_sends(run, here, 20_000, ways, at_least(0.5)), _effects(run, here)]
    with run.fresh() as folder, running(folder) as server:
        there = Place(peers, server)
        return [*lines, *_sends(run, there, 10_000, {}), _effects(run, there)]


def _sends(
    run: Run, place: Place, full: int, ways: dict[str, int], goal: Goal | None = None
) -> list[Line]:
    """Our events, beside appends and each of a peer's ways."""
    count, peers = run.count(full), place.peers
    loads = {
        SENDS: place.ours(lambda target: sends(target, count)),
        APPENDS: place.ours(lambda target: appends(target, count)),
    }
    theirs = {} if peers is None else ways
    if peers is not None:
        for peer, number in theirs.items():
            loads[peer] = peers.load(peer, run.count(number))
    figures = run.interleave(loads)
    wanted = {APPENDS: goal, **postgres.goals(figures, theirs, at_least(10))}
    return [
        compared(
            place.title + SENDS,
            figures[SENDS],
            figures[name],
            against=name,
            durability=place.durability,
            their_durability=peers.durability.get(name) if peers else None,
            goal=wanted.get(name),
        )
        for name in loads
        if name != SENDS
    ]


def _effects(run: Run, place: Place) -> Line:
    """Effects a second, and nothing to hold them against."""
    count = run.count(5_000)
    load = place.ours(lambda target: effects(target, count))
    figures = run.interleave({EFFECTS: load}, rounds=3)
    return Line(
        measure=place.title + EFFECTS,
        ours=median(figures[EFFECTS]),
        unit="/s",
        durability=place.durability,
    )
