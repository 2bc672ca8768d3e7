"""OpenAI Agents: what its runner has a session do in a turn.

Answers for: reading all items, adding the question, adding the answer, as the runner
does; on each session that is compared.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from agents import SQLiteSession
from agents.extensions.memory import SQLAlchemySession
from sqlalchemy.ext.asyncio import create_async_engine

import holdfast
from bench.turns import Turn, in_wal, speeches
from holdfast.integrations.openai_agents import HoldfastSession

_POOL = 16


def asked(text: str) -> Any:
    return {"role": "user", "content": text}


def answered(text: str) -> Any:
    """An answer as the runner keeps it."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {
        "id": "msg_0123456789abcdef",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


def turns_on(session_of: Callable[[str], Any]) -> Turn:
    """Turns of conversations, each on a session that is made once."""
    said = speeches(64)
    session = cache(session_of)

    async def turn(id: str, number: int) -> None:
        await session(id).get_items()
        await session(id).add_items([asked(said[2 * number % len(said)])])
        await session(id).add_items([answered(said[(2 * number + 1) % len(said)])])

    return turn


@asynccontextmanager
async def ours(place: str) -> AsyncIterator[Turn]:
    async with holdfast.aopen(place) as store:
        yield turns_on(lambda named: HoldfastSession(named, store))


@asynccontextmanager
async def sqlite(place: str) -> AsyncIterator[Turn]:
    path, opened = in_wal(Path(place)), list[SQLiteSession]()

    def session_of(id: str) -> SQLiteSession:
        opened.append(SQLiteSession(id, path))
        return opened[-1]

    try:
        yield turns_on(session_of)
    finally:
        for session in opened:
            session.close()


@asynccontextmanager
async def postgres(url: str) -> AsyncIterator[Turn]:
    engine = create_async_engine(
        url.replace("postgresql://", "postgresql+psycopg://"), pool_size=_POOL
    )
    try:
        await SQLAlchemySession("first", engine=engine, create_tables=True).get_items()
        yield turns_on(lambda named: SQLAlchemySession(named, engine=engine))
    finally:
        await engine.dispose()
