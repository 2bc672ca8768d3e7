"""A store on PostgreSQL, beside its peers and raw inserts on the same server.

Goals: 16 asyncio callers at least 3 times LangGraph's AsyncPostgresSaver.aput and at
least 8 times DBOS's steps, each in the way of theirs that is fastest here; 100 callers
at least 4 times one; a follower in another process is given a message within 50 ms of
the call at the median, while 16 callers append.
Reported without a goal: their other ways, a lone caller and 16 threads, and what raw
inserts with a commit each come to.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from statistics import median

import holdfast
from bench import following, raw, raw_postgres
from bench.beside import (
    DBOS_STEPS,
    DBOS_THREADS,
    LEAST_SAVER,
    PIPELINED_SAVER,
    POOLED_SAVER,
    POSTGRES_SAVER,
    POSTGRES_SESSION,
    Peers,
)
from bench.lines import Goal, Line, at_least, at_most, compared
from bench.rounds import Figures, Load, Run
from bench.server import DURABLE, Server, running

CALLERS = 16
LONE = "PostgreSQL: one sync caller"
ONE = "PostgreSQL: one asyncio caller"
OWN = f"PostgreSQL: {CALLERS} asyncio callers"
HUNDRED = "PostgreSQL: 100 asyncio callers"
THREADS = f"PostgreSQL: {CALLERS} threads"
RAW_ONE = "raw psycopg, an insert and commit at a time"
RAW = f"raw psycopg, {CALLERS} connections"
PGBENCH = f"pgbench, {CALLERS} connections"
SEEN_MS = 50

SAVERS = {POSTGRES_SAVER: 3_000, PIPELINED_SAVER: 3_000, POOLED_SAVER: 3_000}
STEPS = {DBOS_STEPS: 800, DBOS_THREADS: 800}
OTHERS = {LEAST_SAVER: 3_000, POSTGRES_SESSION: 1_500}


def target(url: str) -> str:
    """The store in a database, in a schema of its own as every store is."""
    return f"{url}?schema=bench"


def tasks(count: int, number: int) -> Callable[[str], float]:
    """Appends a second of so many tasks, a session each, once all have done one."""

    async def work(url: str) -> float:
        async with holdfast.aopen(target(url)) as store:
            ids = [(await store.sessions.create("bench")).id for _ in range(number)]

            async def caller(session: str, times: int) -> None:
                for _ in range(times):
                    await store.sessions.append(session, "user", raw.TEXT)

            await asyncio.gather(*(caller(id, 1) for id in ids))
            started = time.perf_counter()
            await asyncio.gather(*(caller(id, count // number) for id in ids))
            return count // number * number / (time.perf_counter() - started)

    return lambda url: asyncio.run(work(url))


def threads(count: int, number: int) -> Callable[[str], float]:
    """As `tasks`, of threads."""

    def work(url: str) -> float:
        with holdfast.open(target(url)) as store:
            ids = [store.sessions.create("bench").id for _ in range(number)]
            ready = threading.Barrier(number + 1)

            def caller(session: str) -> None:
                store.sessions.append(session, "user", raw.TEXT)
                ready.wait()
                for _ in range(count // number):
                    store.sessions.append(session, "user", raw.TEXT)

            workers = [threading.Thread(target=caller, args=(id,)) for id in ids]
            for worker in workers:
                worker.start()
            ready.wait()
            started = time.perf_counter()
            for worker in workers:
                worker.join()
            return count // number * number / (time.perf_counter() - started)

    return work


def lone(count: int) -> Callable[[str], float]:
    """Appends a second of a sync caller who is alone, on the main thread."""

    def work(url: str) -> float:
        with holdfast.open(target(url)) as store:
            session = store.sessions.create("bench").id
            store.sessions.append(session, "user", raw.TEXT)
            started = time.perf_counter()
            for _ in range(count):
                store.sessions.append(session, "user", raw.TEXT)
            return count / (time.perf_counter() - started)

    return work


def measure(run: Run, peers: Peers | None) -> list[Line]:
    """Everything that runs on PostgreSQL, on one server, in alternating rounds."""
    with run.fresh() as folder, running(folder) as server:
        loads = _loads(run, server) | _peers(run, server, peers)
        loads[PGBENCH] = server.load(raw_postgres.pgbench(folder, 1))
        figures = run.interleave(loads, rounds=min(5, run.rounds))
        return [*_lines(figures), *_seen(run, server)]


def _loads(run: Run, server: Server) -> dict[str, Load]:
    works = {
        LONE: lone(run.count(2_000)),
        ONE: tasks(run.count(2_000), 1),
        OWN: tasks(run.count(10_000), CALLERS),
        HUNDRED: tasks(run.count(20_000), 100),
        THREADS: threads(run.count(6_000), CALLERS),
        RAW_ONE: raw_postgres.inserts(run.count(3_000), 1),
        RAW: raw_postgres.inserts(run.count(10_000), CALLERS),
    }
    return {name: server.load(work) for name, work in works.items()}


def _peers(run: Run, server: Server, peers: Peers | None) -> dict[str, Load]:
    if peers is None:
        return {}

    def load(peer: str, count: int) -> Load:
        return server.load(lambda url: peers.rate(peer, run.count(count), url=url))

    every = SAVERS | STEPS | OTHERS
    return {peer: load(peer, count) for peer, count in every.items()}


def _lines(figures: Figures) -> list[Line]:
    def line(ours: str, theirs: str, goal: Goal | None = None) -> Line:
        return compared(
            ours,
            figures[ours],
            figures[theirs],
            against=theirs,
            durability=DURABLE,
            goal=goal,
        )

    peers = [name for name in [*SAVERS, *STEPS, *OTHERS] if name in figures]
    wanted = goals(figures, SAVERS, at_least(3)) | goals(figures, STEPS, at_least(8))
    return [
        *(line(OWN, peer, wanted.get(peer)) for peer in peers),
        line(OWN, RAW),
        line(OWN, PGBENCH),
        line(HUNDRED, ONE, at_least(4)),
        line(ONE, RAW_ONE),
        line(LONE, RAW_ONE),
        line(THREADS, LONE),
    ]


def goals(figures: Figures, ways: dict[str, int], goal: Goal) -> dict[str, Goal]:
    """The goal, for that one of a peer's ways which was fastest."""
    measured = [name for name in ways if name in figures]
    if not measured:
        return {}
    return {max(measured, key=lambda name: median(figures[name])): goal}


def _seen(run: Run, server: Server) -> list[Line]:
    found = []
    for _ in range(3):
        with server.database() as url:
            found.append(following.lateness(target(url), run.count(16_000)))
    middle = sorted(found, key=lambda each: each.from_call_ms)[1]
    return [
        Line(
            measure="PostgreSQL: another process sees a message",
            ours=middle.from_call_ms,
            unit="ms",
            durability=DURABLE,
            goal=at_most(SEEN_MS),
            note=f"from the call; from its answer {middle.from_answer_ms:.1f} ms;"
            f" 99 of 100 in {middle.ninety_ninth_ms:.0f} ms;"
            f" {CALLERS} callers append {middle.a_second:,.0f}/s",
        )
    ]
