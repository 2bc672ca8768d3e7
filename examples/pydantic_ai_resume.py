"""An agent of pydantic-ai is killed in the middle of a tool, and goes on from there.

    python examples/pydantic_ai_resume.py

The tool books a seat. The first process dies (kill -9) when the seat is booked and
nobody has been told yet; a second one goes on. The model is scripted, so that this runs
anywhere. With pydantic-ai's messages in a file, written at each step, the seat is
booked twice. On holdfast it is booked once.
"""

import asyncio
import sqlite3
from pathlib import Path

import _killed
from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

import holdfast
from holdfast.integrations.pydantic_ai import HoldfastHistory


def with_file(folder: Path, ends: _killed.Ends) -> None:
    """The messages in a file of their own, and a table of one's own."""
    bookings = sqlite3.connect(folder / "bookings.db", isolation_level=None)
    bookings.execute("create table if not exists booking (seat)")
    clerk, kept = Agent(FunctionModel(scripted)), folder / "messages.json"

    @clerk.tool
    @ends
    async def book(context: RunContext[None], seat: int) -> str:
        bookings.execute("insert into booking values (?)", (seat,))
        return "booked"

    async def talk() -> None:
        there = ModelMessagesTypeAdapter.validate_json(
            kept.read_bytes() if kept.exists() else b"[]"
        )
        said = None if there else "Book seat 4, please."
        async with clerk.iter(said, message_history=there) as run:
            async for _ in run:
                kept.write_bytes(ModelMessagesTypeAdapter.dump_json(run.all_messages()))

    asyncio.run(talk())
    (times,) = bookings.execute("select count(*) from booking").fetchone()
    print(f"messages in a file: the seat was booked {times} time(s)")
    bookings.close()


def with_holdfast(folder: Path, ends: _killed.Ends) -> None:
    """The seat, the messages so far and the result are one transaction of a store."""
    with holdfast.open(folder / "agent.db") as store:
        history = HoldfastHistory(store, "ada")
        clerk = Agent(FunctionModel(scripted))

        @clerk.tool
        @ends
        @history.tool_once
        def book(tx: holdfast.Transaction, seat: int) -> str:
            return tx.tasks.create(f"Seat {seat}").id

        async def talk() -> None:
            there = await history.amessages()
            said = None if there else "Book seat 4, please."
            result = await clerk.run(said, message_history=there)
            await history.aextend(result.new_messages())

        asyncio.run(talk())
        print(f"holdfast: the seat was booked {len(store.tasks.list())} time(s)")


def scripted(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """A model that books the seat, and then says so."""
    if isinstance(messages[-1].parts[-1], ToolReturnPart):
        return ModelResponse(parts=[TextPart("Done.")])
    return ModelResponse(parts=[ToolCallPart("book", {"seat": 4})])


if __name__ == "__main__":
    _killed.run(with_file, with_holdfast)
