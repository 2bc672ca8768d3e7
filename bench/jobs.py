"""Jobs: putting, working, steps, and stores in which much waits.

Goals: 100 asyncio callers put at least 5 times as fast as huey enqueues for 100
threads; put to done with one worker process at least 5 times huey and 50 times a DBOS
queue, each in that way of theirs which is fastest here; on PostgreSQL at least 3 times
procrastinate's defer and its worker; steps at least 8 times DBOS's on each engine. A
job starts in an idle worker of another process within 20 ms at the median. A claim with
a million waiting in ten thousand lanes takes at most twice as long as one with a
thousand in ten; the first claim after the opening of a store with 100,000 unfinished
jobs at most twice as long as with none but the one that it gives.
Reported without a goal: the peers' other ways, and DBOS's queue on PostgreSQL.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import postgres
from bench.beside import (
    DBOS_POLLING,
    DBOS_QUEUE,
    DBOS_STEPS,
    DBOS_THREADS,
    HUEY_CONSUME,
    HUEY_DONE,
    HUEY_ENQUEUE,
    PROCRASTINATE_DEFER,
    PROCRASTINATE_WORK,
    Peers,
)
from bench.lines import FULL, Goal, Line, at_least, at_most, compared
from bench.queues import stepping, waiting, working
from bench.queues.working import Target
from bench.rounds import Load, Run
from bench.server import DURABLE, Server, running

PUT = f"{working.CALLERS} asyncio callers put jobs"
DONE = "jobs put to done by one worker process"
WORK = "jobs that wait, done by one worker process"
STEPS = f"steps of {stepping.CALLERS} handlers"
LATE = "a job starts in another, idle process"
ROUNDS = 3
LATE_TIMES, LATE_MS = 21, 20
MUCH, QUICK_MUCH, LITTLE = 1_000_000, 100_000, 1_000
UNFINISHED = 100_000


class Place(NamedTuple):
    """Where loads run: each in a file of its own, or in a database of one server."""

    peers: Peers | None
    server: Server | None = None

    @property
    def title(self) -> str:
        return "" if self.server is None else "PostgreSQL: "

    @property
    def durability(self) -> str:
        return FULL if self.server is None else DURABLE

    def ours(self, work: Callable[[Target], float]) -> Load:
        """A load of ours."""
        if self.server is None:
            return lambda folder: work(folder / "ours.db")
        return self.server.load(lambda url: work(postgres.target(url)))

    def theirs(self, peers: Peers, peer: str, count: int) -> Load:
        """A load of a peer's."""
        if self.server is None:
            return peers.load(peer, count)
        return self.server.load(lambda url: peers.rate(peer, count, url=url))


class Rivals(NamedTuple):
    """A peer's ways, with a count each; the fastest of them has the goal."""

    ways: dict[str, int]
    goal: Goal | None = None


def measure(run: Run, peers: Peers | None) -> list[Line]:
    """Jobs on both engines, beside queues that are made for each."""
    lines = [*_on_files(run, Place(peers)), _claim(run), _opening(run)]
    with run.fresh() as folder, running(folder) as server:
        return lines + _on_a_server(run, Place(peers, server))


def _on_files(run: Run, place: Place) -> list[Line]:
    enqueue = Rivals({HUEY_ENQUEUE: 4_000}, at_least(5))
    huey = Rivals({HUEY_CONSUME: 2_000, HUEY_DONE: 2_000}, at_least(5))
    queue = Rivals({DBOS_QUEUE: 300, DBOS_POLLING: 300}, at_least(50))
    steps = Rivals({DBOS_STEPS: 480, DBOS_THREADS: 480}, at_least(8))
    return [
        *_beside(run, place, PUT, working.puts, 20_000, enqueue),
        *_beside(run, place, DONE, working.put_to_done, 10_000, huey, queue),
        *_beside(run, place, STEPS, stepping.steps, 8_000, steps),
        _late(run, place),
    ]


def _on_a_server(run: Run, place: Place) -> list[Line]:
    defer = Rivals({PROCRASTINATE_DEFER: 3_000}, at_least(3))
    worker = Rivals({PROCRASTINATE_WORK: 1_000}, at_least(3))
    queue = Rivals({DBOS_POLLING: 300})
    steps = Rivals({DBOS_STEPS: 480, DBOS_THREADS: 480}, at_least(8))
    return [
        *_beside(run, place, PUT, working.puts, 10_000, defer),
        *_beside(run, place, WORK, working.work, 4_000, worker),
        *_beside(run, place, DONE, working.put_to_done, 4_000, queue),
        *_beside(run, place, STEPS, stepping.steps, 4_000, steps),
        _late(run, place),
    ]


def _beside(
    run: Run,
    place: Place,
    what: str,
    load: Callable[[Target, int], float],
    full: int,
    *rivals: Rivals,
) -> list[Line]:
    """Our load of so many, beside each way of each peer."""
    count, peers = run.count(full), place.peers
    what = place.title + what
    loads = {what: place.ours(lambda target: load(target, count))}
    if peers is not None:
        for ways, _ in rivals:
            for peer, number in ways.items():
                loads[peer] = place.theirs(peers, peer, run.count(number))
    figures = run.interleave(loads, rounds=ROUNDS)
    if peers is None:
        alone = median(figures[what])
        return [Line(measure=what, ours=alone, unit="/s", durability=place.durability)]
    wanted: dict[str, Goal] = {}
    for ways, goal in rivals:
        wanted |= {} if goal is None else postgres.goals(figures, ways, goal)
    return [
        compared(
            what,
            figures[what],
            figures[peer],
            against=peer,
            durability=place.durability,
            their_durability=peers.durability[peer] if place.server is None else None,
            goal=wanted.get(peer),
        )
        for peer in loads
        if peer != what
    ]


def _late(run: Run, place: Place) -> Line:
    """How late a job starts in a worker that has nothing to do."""
    found: list[float] = []

    def late(target: Target) -> float:
        found.extend(working.lateness(target, LATE_TIMES))
        return median(found)

    run.interleave({LATE: place.ours(late)}, rounds=1)
    return Line(
        measure=place.title + LATE,
        ours=median(found),
        unit="ms",
        durability=place.durability,
        goal=at_most(LATE_MS),
        note=f"from the call of put; the latest of {len(found)}: {max(found):.0f} ms",
    )


def _claim(run: Run) -> Line:
    """A claim where much waits, beside one where little does."""
    much = QUICK_MUCH if run.quick else MUCH
    return _beside_little(run, much, LITTLE, "a claim", waiting.claims)


def _opening(run: Run) -> Line:
    """The first claim of a store with unfinished jobs, beside one that has one only."""
    unfinished = run.count(UNFINISHED)
    return _beside_little(
        run, unfinished, 1, "opening and the first claim", waiting.first_claim
    )


def _beside_little(
    run: Run, much: int, little: int, what: str, measured: Callable[[Path], float]
) -> Line:
    """What it takes in one store where much waits, and in new ones with little."""
    with run.fresh() as folder:
        waiting.fill(folder / "much.db", much)

        def with_much(_: Path) -> float:
            return measured(folder / "much.db")

        def with_little(each: Path) -> float:
            waiting.fill(each / "ours.db", little)
            return measured(each / "ours.db")

        figures = run.interleave({"much": with_much, "little": with_little})
    return compared(
        f"{what}, {waiting.of(much)}",
        figures["much"],
        figures["little"],
        against=waiting.of(little),
        unit="ms",
        goal=at_most(2),
    )
