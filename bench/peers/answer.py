"""The peers' side of the bench: runs in `.bench-venv`, told over standard input.

Answers for: driving OpenAI Agents' SQLiteSession and LangGraph's SqliteSaver and
AsyncSqliteSaver, each as its documentation shows, with what it sets by itself.
Leaves to others: those on PostgreSQL (`on_postgres`), queues (`on_huey`, `on_dbos`,
`on_procrastinate`) and machines (`on_statemachine`); rounds and ratios (`bench.beside`
sends a line a load).
Always holds: a line of JSON in, `{"load", "count"}` and a `"folder"`, or a `"url"` for
those on a server; a line of JSON out, `{"rate", "durability"}`, or `{"error"}`.

A LangGraph put saves the whole state of a thread. The state here is a single message
of 200 bytes, however long the thread: the least that it can be. It is made before the
clock starts.
"""

import asyncio
import importlib
import json
import sqlite3
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from agents import SQLiteSession  # type: ignore[import-not-found]
from langchain_core.runnables import RunnableConfig  # type: ignore[import-not-found]
from langgraph.checkpoint.base import (  # type: ignore[import-not-found]
    Checkpoint,
    empty_checkpoint,
)
from langgraph.checkpoint.sqlite import SqliteSaver  # type: ignore[import-not-found]
from langgraph.checkpoint.sqlite.aio import (  # type: ignore[import-not-found]
    AsyncSqliteSaver,
)

TEXT = "Where did we stop? " * 10 + "Let me see"
MESSAGE = {"role": "user", "content": TEXT}
METADATA = {"source": "loop", "step": 1}
TASKS = 100


def checkpoint() -> Checkpoint:
    """A new checkpoint that carries one message."""
    made = empty_checkpoint()
    made["channel_values"] = {"messages": [MESSAGE]}
    return made


def config(thread: int) -> RunnableConfig:
    return {"configurable": {"thread_id": f"session-{thread}", "checkpoint_ns": ""}}


async def add_items(path: Path, count: int) -> float:
    """One caller adds one item at a time to one session."""
    session = SQLiteSession("session-0", path)
    await session.get_items()
    started = time.perf_counter()
    for _ in range(count):
        await session.add_items([MESSAGE])
    took = time.perf_counter() - started
    session.close()
    return took


def put(path: Path, count: int) -> float:
    """One caller puts one checkpoint after another."""
    with SqliteSaver.from_conn_string(str(path)) as saver:
        saver.setup()
        made = [checkpoint() for _ in range(count)]
        started = time.perf_counter()
        for each in made:
            saver.put(config(0), each, METADATA, {})
        return time.perf_counter() - started


async def aput(path: Path, count: int) -> float:
    """One task puts one checkpoint after another."""
    return await _aput(path, count, tasks=1)


async def aput_100(path: Path, count: int) -> float:
    """A hundred tasks, each with a thread of its own, put side by side."""
    return await _aput(path, count, tasks=TASKS)


async def _aput(path: Path, count: int, *, tasks: int) -> float:
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        await saver.setup()
        made = [checkpoint() for _ in range(count)]

        async def caller(thread: int) -> None:
            for each in made[thread::tasks]:
                await saver.aput(config(thread), each, METADATA, {})

        started = time.perf_counter()
        await asyncio.gather(*(caller(thread) for thread in range(tasks)))
        return time.perf_counter() - started


def durability(path: Path) -> str:
    """What the peer set: its journal, unless that is WAL, and its driver's level."""
    connection = sqlite3.connect(path)
    try:
        (journal,) = connection.execute("pragma journal_mode").fetchone()
        (level,) = connection.execute("pragma synchronous").fetchone()
    finally:
        connection.close()
    name = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}[level]
    return name if journal == "wal" else f"{name}, journal {journal}"


LOADS: dict[str, Callable[[Path, int], float | Coroutine[Any, Any, float]]] = {
    "add_items": add_items,
    "put": put,
    "aput": aput,
    "aput_100": aput_100,
}


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Run one load; returns its rate and its durability."""
    load, count = found(asked["load"]), int(asked["count"])
    if "url" in asked:
        rate = count / seconds(load(asked["url"], count))
        return {"rate": rate, "durability": "the server's"}
    path = Path(asked["folder"]) / "peer.db"
    rate = count / seconds(load(path, count))
    return {"rate": rate, "durability": durability(path)}


def found(name: str) -> Callable[[Any, int], Any]:
    """A load of ours, or one of the module whose name stands before it.

    Those are loaded when they are first asked for: some load slowly.
    """
    module, _, load = name.rpartition(".")
    loads: dict[str, Any] = importlib.import_module(module).LOADS if module else LOADS
    return loads[load]


def seconds(took: float | Coroutine[Any, Any, float]) -> float:
    """What a load took, which has yet to run if it is asynchronous."""
    return took if isinstance(took, float) else asyncio.run(took)


def main() -> None:
    """Answer lines until there are no more."""
    for line in sys.stdin:
        try:
            said = answer(json.loads(line))
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
