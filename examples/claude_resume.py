"""Claude is killed in the middle of a tool, and goes on where it stopped.

    python examples/claude_resume.py

The tool books a seat for a trip. The first process dies (kill -9) when the seat is
booked and nobody has been told yet; a second one goes on. In place of Claude's program
there is a script (`_claude.py`), so that this runs anywhere; it does what Claude may do
with a call that was interrupted: make it again, as another call. A tool is not told
which call it is for, so that what must happen once has a key of its own. With Claude's
transcripts in files the seat is booked twice. On holdfast it is booked once.
"""

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any

import _killed
from claude_agent_sdk import (
    ClaudeAgentOptions,
    SdkMcpTool,
    create_sdk_mcp_server,
    query,
    tool,
)
from claude_agent_sdk.types import SessionStore

import holdfast
from holdfast.integrations.claude import HoldfastSessionStore

os.environ["CLAUDE_AGENT_SDK_SKIP_VERSION_CHECK"] = "1"
PROGRAM = Path(__file__).with_name("_claude.py")
TRIP = "8d6a0d2e-3c4e-4b54-9d0f-2b1c5f1f6a10"
ARGUMENTS = {"seat": int}


def with_files(folder: Path, ends: _killed.Ends) -> None:
    """Transcripts in files of Claude's, and a table of one's own."""
    bookings = sqlite3.connect(folder / "bookings.db", isolation_level=None)
    bookings.execute("create table if not exists booking (seat)")

    @tool("book", "Book a seat", ARGUMENTS)
    @ends
    async def book(args: dict[str, Any]) -> dict[str, Any]:
        bookings.execute("insert into booking values (?)", (args["seat"],))
        return said("booked")

    talk(folder / "files", book)
    (times,) = bookings.execute("select count(*) from booking").fetchone()
    print(f"files: the seat was booked {times} time(s)")
    bookings.close()


def with_holdfast(folder: Path, ends: _killed.Ends) -> None:
    """Transcripts in a store; what the tool does there has a key: the trip's."""

    def booked(tx: holdfast.Transaction, seat: int) -> str:
        return tx.tasks.create(f"Seat {seat}").id

    with holdfast.open(folder / "agent.db") as store:

        @tool("book", "Book a seat", ARGUMENTS)
        @ends
        async def book(args: dict[str, Any]) -> dict[str, Any]:
            seat = args["seat"]
            return said(await store.aio.run(booked, seat, once=f"{TRIP}:seat {seat}"))

        talk(folder / "copies", book, HoldfastSessionStore(store))
        print(f"holdfast: the seat was booked {len(store.tasks.list())} time(s)")


def said(text: str) -> dict[str, Any]:
    """What a tool answers."""
    return {"content": [{"type": "text", "text": text}]}


def talk(
    folder: Path, book: SdkMcpTool[Any], store: SessionStore | None = None
) -> None:
    """Ask Claude; or, if it was asked before, have it go on."""
    options = ClaudeAgentOptions(
        cli_path=PROGRAM,
        cwd=PROGRAM.parent,
        env={"CLAUDE_CONFIG_DIR": str(folder)},
        mcp_servers={"seats": create_sdk_mcp_server("seats", tools=[book])},
        session_store=store,
        session_store_flush="eager",
    )
    if folder.exists():
        options.resume, prompt = TRIP, "Go on."
    else:
        options.session_id, prompt = TRIP, "Book seat 4, please."
    asyncio.run(ask(prompt, options))


async def ask(prompt: str, options: ClaudeAgentOptions) -> None:
    """One turn with Claude."""
    async for _ in query(prompt=prompt, options=options):
        pass


if __name__ == "__main__":
    _killed.run(with_files, with_holdfast)
