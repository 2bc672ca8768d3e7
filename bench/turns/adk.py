"""Google ADK: what its runner has a session service do in a turn.

Answers for: getting the session, adding the question's event and the answer's, as the
runner does; on each service that is compared. A conversation's first turn begins it.
"""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from google.adk.events.event import Event
from google.adk.sessions.base_session_service import BaseSessionService
from google.adk.sessions.database_session_service import DatabaseSessionService
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types

import holdfast
from bench.turns import Turn, in_wal, speeches
from holdfast.integrations.adk import HoldfastSessionService

R = TypeVar("R")
APP, USER = "bench", "somebody"


def said_by(author: str, text: str) -> Event:
    role = "user" if author == "user" else "model"
    content = types.Content(role=role, parts=[types.Part(text=text)])
    return Event(author=author, invocation_id="turn", content=content)


async def done(call: Callable[[], Awaitable[R]]) -> R:
    """What a call gives, made again where a database is found locked for too long."""
    while True:
        try:
            return await call()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise


def turns_on(service: BaseSessionService) -> Turn:
    """Turns of conversations with one service."""
    said = speeches(64)

    async def turn(id: str, number: int) -> None:
        names: dict[str, Any] = {"app_name": APP, "user_id": USER, "session_id": id}
        if number == 0:
            await done(lambda: service.create_session(**names))
        session = await done(lambda: service.get_session(**names))
        assert session is not None
        question, answer = (said[(2 * number + n) % len(said)] for n in (0, 1))
        for event in said_by("user", question), said_by("agent", answer):
            await done(partial(service.append_event, session, event))

    return turn


@asynccontextmanager
async def ours(place: str) -> AsyncIterator[Turn]:
    async with holdfast.aopen(place) as store:
        yield turns_on(HoldfastSessionService(store))


@asynccontextmanager
async def sqlite(place: str) -> AsyncIterator[Turn]:
    yield turns_on(SqliteSessionService(in_wal(Path(place))))


@asynccontextmanager
async def postgres(url: str) -> AsyncIterator[Turn]:
    service = DatabaseSessionService(
        url.replace("postgresql://", "postgresql+psycopg://")
    )
    async with service:
        yield turns_on(service)
