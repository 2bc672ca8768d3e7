"""A graph is killed in the middle of a tool, and goes on where it stopped.

    python examples/langgraph_resume.py

The tool books a seat. The first process dies (kill -9) when the seat is booked and
nobody has been told yet; a second one goes on. The model is scripted, so that this runs
anywhere; like a real one it gives its call a new id each time it is asked. On
LangGraph's own AsyncSqliteSaver the seat is booked twice. On holdfast it is booked
once: the booking, the tool's answer and its message are one transaction.
"""

import asyncio
import sqlite3
import uuid
from pathlib import Path
from typing import Any

import _killed
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

import holdfast
from holdfast.integrations.langgraph import HoldfastSaver

ADA: Any = {"configurable": {"thread_id": "ada"}}


def with_sqlite(folder: Path, ends: _killed.Ends) -> None:
    """LangGraph's own saver, and a table of one's own."""
    bookings = sqlite3.connect(folder / "bookings.db", isolation_level=None)
    bookings.execute("create table if not exists booking (seat)")

    @tool
    async def book(seat: int) -> str:
        """Book a seat."""
        bookings.execute("insert into booking values (?)", (seat,))
        return "booked"

    async def run() -> None:
        place = str(folder / "checkpoints.db")
        async with AsyncSqliteSaver.from_conn_string(place) as saver:
            await talk(saver, book, ends)

    asyncio.run(run())
    (times,) = bookings.execute("select count(*) from booking").fetchone()
    print(f"AsyncSqliteSaver: the seat was booked {times} time(s)")
    bookings.close()


def with_holdfast(folder: Path, ends: _killed.Ends) -> None:
    """The seat is kept in the store, once for each call of the tool."""
    with holdfast.open(folder / "agent.db") as store:
        saver = HoldfastSaver(store)

        @tool
        @saver.tool_once
        def book(tx: holdfast.Transaction, seat: int) -> str:
            """Book a seat."""
            tx.tasks.create(f"Seat {seat}")
            return "booked"

        asyncio.run(talk(saver, book, ends))
        print(f"holdfast: the seat was booked {len(store.tasks.list())} time(s)")
        for message in store.sessions.history("ada"):
            print(f"  {message.role}: {message.content or '(calls the tool)'}")


async def talk(saver: BaseCheckpointSaver[Any], book: Any, ends: _killed.Ends) -> None:
    """Ask the graph; or, if it was asked before, have it go on."""

    async def call(request: Any, execute: _killed.Tool) -> Any:
        return await ends(execute)(request)

    builder = StateGraph(MessagesState)
    builder.add_node("model", model)
    builder.add_node("tools", ToolNode([book], awrap_tool_call=call))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    graph = builder.compile(checkpointer=saver)
    asked: Any = {"messages": [HumanMessage("Book seat 4, please.")]}
    begun = await saver.aget_tuple(ADA) is not None
    await graph.ainvoke(None if begun else asked, ADA)


def model(state: MessagesState) -> Any:
    """Books the seat, and then says so."""
    if isinstance(state["messages"][-1], ToolMessage):
        return {"messages": [AIMessage("Done.")]}
    call = {"name": "book", "args": {"seat": 4}, "id": f"call_{uuid.uuid4().hex}"}
    return {"messages": [AIMessage("", tool_calls=[call])]}


if __name__ == "__main__":
    _killed.run(with_sqlite, with_holdfast)
