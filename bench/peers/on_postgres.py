"""The peers on PostgreSQL, each as its documentation shows for production.

Answers for: driving LangGraph's AsyncPostgresSaver and OpenAI Agents'
SQLAlchemySession against an empty database.
Leaves to others: DBOS and procrastinate (`on_dbos`, `on_procrastinate`); the database,
rounds and ratios (`bench.postgres`).
Always holds: what is set by hand is what their documentation sets; every caller has
done an operation before the clock starts, so that connections are there; afterwards
its rows are counted in the database, so that no figure is of work not done.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from agents.extensions.memory import SQLAlchemySession  # type: ignore[import-not-found]
from langchain_core.runnables import RunnableConfig  # type: ignore[import-not-found]
from langgraph.checkpoint.base import (  # type: ignore[import-not-found]
    Checkpoint,
    empty_checkpoint,
)
from langgraph.checkpoint.postgres.aio import (  # type: ignore[import-not-found]
    AsyncPostgresSaver,
)
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from sqlalchemy.ext.asyncio import create_async_engine  # type: ignore[import-not-found]

TEXT = "Where did we stop? " * 10 + "Let me see"
MESSAGE = {"role": "user", "content": TEXT}
METADATA = {"source": "loop", "step": 1}
CALLERS = 16

Saver = Callable[[str], Any]
Made = Callable[[], tuple[Checkpoint, dict[str, str]]]
Put = Callable[[int, int], Awaitable[object]]
"""One operation of a caller: its number, and how many it did before."""


async def timed(operation: Put, count: int, callers: int = CALLERS) -> float:
    """The seconds of `count` operations, dealt to the callers; one each before."""

    async def caller(number: int, first: int, last: int) -> None:
        for turn in range(first, last):
            await operation(number, turn)

    await asyncio.gather(*(caller(number, 0, 1) for number in range(callers)))
    each = count // callers
    started = time.perf_counter()
    await asyncio.gather(*(caller(number, 1, each + 1) for number in range(callers)))
    return (time.perf_counter() - started) * count / (each * callers)


def inline() -> tuple[Checkpoint, dict[str, str]]:
    """A checkpoint with one message as a bare text, which is kept in its own row.

    It is the least that a put can be, and no graph that chats saves one.
    """
    made = empty_checkpoint()
    made["channel_values"] = {"message": TEXT}
    return made, {}


def messages() -> tuple[Checkpoint, dict[str, str]]:
    """A checkpoint with one message in a list, and the channel's new version.

    So LangGraph itself puts it for a graph that chats: the list goes to a table of its
    own, in the same pipeline. Without the version it would not be saved at all.
    """
    made = empty_checkpoint()
    made["channel_values"] = {"messages": [MESSAGE]}
    made["channel_versions"] = {"messages": made["id"]}
    return made, made["channel_versions"]


def config(thread: int) -> RunnableConfig:
    return {"configurable": {"thread_id": f"session-{thread}", "checkpoint_ns": ""}}


@asynccontextmanager
async def pooled(url: str) -> AsyncIterator[AsyncPostgresSaver]:
    """A saver over a pool of a connection for each caller."""
    settings = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(
        url, min_size=CALLERS, max_size=CALLERS, kwargs=settings, open=False
    ) as pool:
        await pool.wait()
        yield AsyncPostgresSaver(pool)


@asynccontextmanager
async def pipelined(url: str) -> AsyncIterator[AsyncPostgresSaver]:
    """A saver over one connection in pipeline mode."""
    async with AsyncPostgresSaver.from_conn_string(url, pipeline=True) as saver:
        yield saver


async def aput(url: str, count: int, opened: Saver, made: Made) -> float:
    """Callers that put, each in a thread of its own, over one saver."""
    async with AsyncPostgresSaver.from_conn_string(url) as saver:
        await saver.setup()
    async with opened(url) as saver:
        ready = [made() for _ in range(count + CALLERS)]

        async def put(number: int, turn: int) -> None:
            checkpoint, versions = ready[turn * CALLERS + number]
            await saver.aput(config(number), checkpoint, METADATA, versions)

        took = await timed(put, count)
    if made is inline:
        saved(url, "checkpoints", "checkpoint::text", count)
    else:
        saved(url, "checkpoint_blobs", "blob", count)
    return took


async def add_items(url: str, count: int) -> float:
    """Callers that add an item, each to a session of its own, over one engine."""
    engine = create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://"), pool_size=CALLERS
    )
    try:
        sessions = [
            SQLAlchemySession(f"session-{i}", engine=engine, create_tables=True)
            for i in range(CALLERS)
        ]
        await sessions[0].get_items()
        took = await timed(
            lambda number, _: sessions[number].add_items([MESSAGE]), count
        )
    finally:
        await engine.dispose()
    saved(url, "agent_messages", "message_data", count)
    return took


def saved(url: str, table: str, column: str, count: int) -> None:
    """Raise unless so many rows hold a text, in whatever way it is encoded."""
    query = f"select count(*) from {table} where octet_length({column}) >= {len(TEXT)}"
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    if row is None or row[0] < count // CALLERS * CALLERS:
        raise RuntimeError(f"{table} has {row} rows of {count}")


ONE = AsyncPostgresSaver.from_conn_string
LOADS: dict[str, Callable[[str, int], Awaitable[float]]] = {
    "aput": lambda url, count: aput(url, count, ONE, messages),
    "aput_pipelined": lambda url, count: aput(url, count, pipelined, messages),
    "aput_pooled": lambda url, count: aput(url, count, pooled, messages),
    "aput_inline": lambda url, count: aput(url, count, ONE, inline),
    "add_items": add_items,
}
