"""DBOS on either engine: steps of workflows side by side, and a queue.

Answers for: driving DBOS as its documentation shows, with what it sets by itself, on a
file or on an empty database; its queue also with what is fastest here, which is to look
each 50 ms instead of each second.
Leaves to others: the file or the database, rounds and ratios (`bench.postgres`,
`bench.jobs`).
Always holds: every workflow has done a step before the clock starts, and so has the
queue one job; afterwards rows are counted, so that no figure is of work not done.
"""

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
from dbos import DBOS  # type: ignore[import-not-found]

TEXT = "Where did we stop? " * 10 + "Let me see"
CALLERS = 16
OFTEN_SECONDS = 0.05
COUNTED_EACH_SECONDS = 0.01

Place = Path | str
"""A file, or the URL of a database."""

together: asyncio.Barrier | threading.Barrier
spans: list[tuple[float, float]] = []


@DBOS.step()  # type: ignore[untyped-decorator]
async def astep() -> str:
    return TEXT


@DBOS.workflow()  # type: ignore[untyped-decorator]
async def asteps(count: int) -> None:
    """A workflow of so many steps, which start when those of all callers do."""
    await astep()
    await together.wait()
    started = time.perf_counter()
    for _ in range(count):
        await astep()
    spans.append((started, time.perf_counter()))


@DBOS.step()  # type: ignore[untyped-decorator]
def step() -> str:
    return TEXT


@DBOS.workflow()  # type: ignore[untyped-decorator]
def steps(count: int) -> None:
    """As `asteps`, in threads."""
    step()
    together.wait()
    started = time.perf_counter()
    for _ in range(count):
        step()
    spans.append((started, time.perf_counter()))


def steps_async(place: Place, count: int) -> float:
    """Workflows side by side on one event loop; the seconds of their steps."""

    async def side_by_side() -> None:
        global together  # a workflow's arguments are plain data
        together = asyncio.Barrier(CALLERS)
        handles = [
            await DBOS.start_workflow_async(asteps, count // CALLERS)
            for _ in range(CALLERS)
        ]
        for handle in handles:
            await handle.get_result()

    with launched(place):
        asyncio.run(side_by_side())
    return spanned(place, count)


def steps_in_threads(place: Place, count: int) -> float:
    """Workflows side by side in threads; the seconds of their steps."""
    global together  # as above
    together = threading.Barrier(CALLERS)
    with launched(place), ThreadPoolExecutor(CALLERS) as threads:
        for each in [threads.submit(steps, count // CALLERS) for _ in range(CALLERS)]:
            each.result()
    return spanned(place, count)


def spanned(place: Place, count: int) -> float:
    """The seconds from the first step to the last, for `count` of them."""
    kept = rows(place, "operation_outputs", f"length(output) >= {len(TEXT)}")
    if kept < count // CALLERS * CALLERS:
        raise RuntimeError(f"{kept} steps of {count} were kept")
    took = max(ended for _, ended in spans) - min(started for started, _ in spans)
    return took * count / (count // CALLERS * CALLERS)


@DBOS.workflow()  # type: ignore[untyped-decorator]
def work(text: str) -> int:
    return len(text)


def queue(place: Place, count: int, *, look_seconds: float | None = None) -> float:
    """The seconds from the first of so many jobs' enqueueing until all are done."""
    settings = {} if look_seconds is None else {"polling_interval_sec": look_seconds}
    with launched(place):
        DBOS.register_queue("bench", **settings)
        DBOS.enqueue_workflow("bench", work, TEXT).get_result()
        started = time.perf_counter()
        with ThreadPoolExecutor(CALLERS) as callers:
            for each in [
                callers.submit(DBOS.enqueue_workflow, "bench", work, TEXT)
                for _ in range(count)
            ]:
                each.result()
        while rows(place, "workflow_status", "status = 'SUCCESS'") <= count:
            time.sleep(COUNTED_EACH_SECONDS)
        return time.perf_counter() - started


@contextmanager
def launched(place: Place) -> Iterator[None]:
    """DBOS on this place, with what it sets by itself, until the block ends."""
    spans.clear()
    logging.getLogger("dbos").setLevel(logging.ERROR)
    url = f"sqlite:///{place}" if isinstance(place, Path) else place
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR"})
    DBOS.launch()
    try:
        yield
    finally:
        DBOS.destroy()


def rows(place: Place, table: str, where: str) -> int:
    """How many rows of a table there are."""
    if isinstance(place, Path):
        with closing(sqlite3.connect(place, timeout=30)) as file:
            found = file.execute(f"select count(*) from {table} where {where}")
            return int(found.fetchone()[0])
    with psycopg.connect(place) as connection:
        query = f"select count(*) from dbos.{table} where {where}"
        row = connection.execute(query.encode()).fetchone()
        return int(row[0]) if row else 0


LOADS: dict[str, Callable[[Place, int], float]] = {
    "steps": steps_async,
    "steps_in_threads": steps_in_threads,
    "queue": queue,
    "queue_polling": lambda place, count: queue(
        place, count, look_seconds=OFTEN_SECONDS
    ),
}
