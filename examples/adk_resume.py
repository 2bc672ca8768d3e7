"""An agent of Google ADK is killed in the middle of a tool, and goes on from there.

    python examples/adk_resume.py

The tool books a seat. The first process dies (kill -9) when the seat is booked and
nobody has been told yet; a second one goes on with what it broke off. The model is
scripted, so that this runs anywhere. ADK keeps the call before the tool is run, and
makes it again under the same id. On ADK's own SqliteSessionService the seat is booked
twice. On holdfast it is booked once.
"""

import asyncio
import logging
import sqlite3
import warnings
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import _killed
from google.adk.agents import LlmAgent
from google.adk.apps.app import App, ResumabilityConfig
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions.base_session_service import BaseSessionService
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai.types import Content, FunctionCall, Part, UserContent

import holdfast
from holdfast.integrations.adk import HoldfastSessionService

ADA: Any = {"user_id": "ada", "session_id": "rome"}


def with_sqlite(folder: Path, ends: _killed.Ends) -> None:
    """ADK's own sessions, and a table of one's own."""
    bookings = sqlite3.connect(folder / "bookings.db", isolation_level=None)
    bookings.execute("create table if not exists booking (seat)")

    @ends
    async def book(seat: int) -> dict[str, str]:
        bookings.execute("insert into booking values (?)", (seat,))
        return {"seat": "booked"}

    asyncio.run(talk(SqliteSessionService(str(folder / "sessions.db")), book))
    (times,) = bookings.execute("select count(*) from booking").fetchone()
    print(f"SqliteSessionService: the seat was booked {times} time(s)")
    bookings.close()


def with_holdfast(folder: Path, ends: _killed.Ends) -> None:
    """The seat and the result of the call are one transaction of a store."""
    with holdfast.open(folder / "agent.db") as store:
        service = HoldfastSessionService(store)

        @ends
        @service.tool_once
        def book(tx: holdfast.Transaction, seat: int) -> dict[str, str]:
            return {"seat": tx.tasks.create(f"Seat {seat}").id}

        asyncio.run(talk(service, book))
        print(f"holdfast: the seat was booked {len(store.tasks.list())} time(s)")


async def talk(service: BaseSessionService, book: Any) -> None:
    """Ask the agent; or, if it was asked before, have it go on."""
    app = App(
        name="travel",
        root_agent=LlmAgent(name="clerk", model=Scripted(), tools=[book]),
        resumability_config=ResumabilityConfig(is_resumable=True),
    )
    session = await service.get_session(app_name="travel", **ADA)
    if session is None:
        await service.create_session(app_name="travel", **ADA)
        asked: Any = {"new_message": UserContent("Book seat 4, please.")}
    else:
        asked = {"invocation_id": session.events[-1].invocation_id}
    runner = Runner(app=app, session_service=service)
    async for _ in runner.run_async(**ADA, **asked):
        pass


class Scripted(BaseLlm):
    """Books the seat, and then says so."""

    model: str = "scripted"

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """The next thing to do, seen from what was done last."""
        part = Part(function_call=FunctionCall(name="book", args={"seat": 4}))
        if llm_request.contents[-1].parts[-1].function_response:  # type: ignore[index]
            part = Part(text="Done.")
        yield LlmResponse(content=Content(role="model", parts=[part]))


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # to resume is an experiment of ADK's
    logging.disable(logging.WARNING)
    _killed.run(with_sqlite, with_holdfast)
