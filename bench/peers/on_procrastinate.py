"""procrastinate on PostgreSQL, asynchronous all through, as its documentation shows.

Answers for: a hundred tasks that defer, and its worker on jobs that wait.
Leaves to others: the database, rounds and ratios (`bench.jobs`).
Always holds: its pool has a connection for every sixth caller and its worker runs ten
jobs side by side, which is what is fastest here; what else is set it sets by itself.
Afterwards its rows are counted in the database.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg
from procrastinate import (  # type: ignore[import-not-found]
    App,
    PsycopgConnector,
)

TEXT = "Where did we stop? " * 10 + "Let me see"
CALLERS = 100
CONNECTIONS = 16
SIDE_BY_SIDE = 10

Defer = Callable[[], Awaitable[object]]


async def length(text: str) -> int:
    return len(text)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[App, Defer]]:
    """An app whose tables are there, and what defers one job."""
    logging.getLogger("procrastinate").setLevel(logging.ERROR)
    pool = {"min_size": CONNECTIONS, "max_size": CONNECTIONS}
    app = App(connector=PsycopgConnector(conninfo=url, **pool))
    work = app.task(queue="bench")(length)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        yield app, lambda: work.defer_async(text=TEXT)


async def deferred(one: Defer, count: int) -> float:
    """The seconds in which a hundred tasks have deferred so many."""

    async def caller() -> None:
        for _ in range(count // CALLERS):
            await one()

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return time.perf_counter() - started


async def defer(url: str, count: int) -> float:
    """The seconds of so many jobs' deferring, once each caller has deferred one."""
    async with opened(url) as (_, one):
        await deferred(one, CALLERS)
        took = await deferred(one, count)
    counted(url, "todo", count + CALLERS)
    return took


async def work(url: str, count: int) -> float:
    """The seconds of a worker's run over so many jobs, which wait for it."""
    async with opened(url) as (app, one):
        await deferred(one, count)
        started = time.perf_counter()
        await app.run_worker_async(
            concurrency=SIDE_BY_SIDE, wait=False, install_signal_handlers=False
        )
        took = time.perf_counter() - started
    counted(url, "succeeded", count)
    return took


def counted(url: str, status: str, count: int) -> None:
    """Raise unless so many jobs have this status."""
    query = "select count(*) from procrastinate_jobs where status::text = %s"
    with psycopg.connect(url) as connection:
        row = connection.execute(query, (status,)).fetchone()
    if row is None or row[0] != count:
        raise RuntimeError(f"{row} jobs of {count} are {status}")


LOADS: dict[str, Callable[[str, int], Awaitable[float]]] = {
    "defer": defer,
    "work": work,
}
