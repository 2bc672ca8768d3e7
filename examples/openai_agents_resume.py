"""An agent is killed in the middle of a tool, and goes on where it stopped.

    python examples/openai_agents_resume.py

The tool books a seat. The first process dies (kill -9) when the seat is booked and
nobody has been told yet; a second one goes on. The model is scripted, so that this runs
anywhere; like a real one it gives its call a new id each time it is asked. On the SDK's
own SQLiteSession the seat is booked twice. On holdfast it is booked once.
"""

import asyncio
import sqlite3
import uuid
from pathlib import Path
from typing import Any

import _killed
from agents import Agent, ModelResponse, RunConfig, Runner, SQLiteSession, Usage
from agents import function_tool as tool
from agents.memory import Session
from agents.models.interface import Model
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)

import holdfast
from holdfast.integrations.openai_agents import HoldfastSession


def with_sqlite(folder: Path, ends: _killed.Ends) -> None:
    """The SDK's own session, and a table of one's own."""
    bookings = sqlite3.connect(folder / "bookings.db", isolation_level=None)
    bookings.execute("create table if not exists booking (seat)")
    session = SQLiteSession("ada", folder / "sessions.db")

    @tool
    @ends
    async def book(seat: int) -> str:
        bookings.execute("insert into booking values (?)", (seat,))
        return "booked"

    asyncio.run(talk(session, book))
    (times,) = bookings.execute("select count(*) from booking").fetchone()
    print(f"SQLiteSession: the seat was booked {times} time(s)")
    bookings.close()
    session.close()


def with_holdfast(folder: Path, ends: _killed.Ends) -> None:
    """The seat, the call and its output are one transaction of a store."""
    with holdfast.open(folder / "agent.db") as store:
        session = HoldfastSession("ada", store)

        @tool
        @ends
        @session.tool_once
        def book(tx: holdfast.Transaction, seat: int) -> str:
            return f"booked as {tx.tasks.create(f'Seat {seat}').id}"

        asyncio.run(talk(session, book))
        print(f"holdfast: the seat was booked {len(store.tasks.list())} time(s)")


async def talk(session: Session, book: Any) -> None:
    """Ask the agent; or, if it was asked before, have it go on."""
    agent = Agent("Clerk", model=Scripted(), tools=[book])
    said: Any = [] if await session.get_items() else "Book seat 4, please."
    quiet = RunConfig(tracing_disabled=True)
    await Runner.run(agent, said, session=session, run_config=quiet)


class Scripted(Model):
    """Books the seat, and then says so."""

    async def get_response(
        self, system_instructions: str | None, input: Any, *_: Any, **__: Any
    ) -> ModelResponse:
        """The next thing to do, seen from what was done last."""
        if input[-1].get("type") == "function_call_output":
            text = ResponseOutputText(text="Done.", type="output_text", annotations=[])
            said: Any = ResponseOutputMessage(
                id="msg_1",
                content=[text],
                role="assistant",
                status="completed",
                type="message",
            )
        else:
            said = ResponseFunctionToolCall(
                call_id=f"call_{uuid.uuid4().hex}",
                name="book",
                arguments='{"seat": 4}',
                type="function_call",
            )
        return ModelResponse(output=[said], usage=Usage(), response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> Any:
        """This agent is not streamed."""
        raise NotImplementedError


if __name__ == "__main__":
    _killed.run(with_sqlite, with_holdfast)
