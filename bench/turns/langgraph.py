"""LangGraph: what a graph of one node has its checkpointer and its store do in a turn.

Answers for: the calls of real turns, recorded once and played to each saver; memories
that are put, read and searched for.
Always holds: the recorded calls are those of a graph that was compiled and run.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.store.base import BaseStore
from langgraph.store.postgres.aio import AsyncPostgresStore
from langgraph.store.sqlite import SqliteStore
from langgraph.store.sqlite.aio import AsyncSqliteStore

import holdfast
from bench.turns import Turn, in_wal, speeches
from holdfast.integrations.langgraph import HoldfastSaver, HoldfastStore

RECORDED = 200
_KEPT = ("thread_id", "checkpoint_ns", "checkpoint_id")


class Call(NamedTuple):
    """A call of a checkpointer: its name, its config and what else it was given."""

    name: str
    config: dict[str, Any]
    args: tuple[Any, ...]


class Recorder(InMemorySaver):
    """A checkpointer that remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def get_tuple(self, config: Any) -> Any:
        self.calls.append(Call("get_tuple", config, ()))
        return super().get_tuple(config)

    def put(self, config: Any, *args: Any) -> Any:
        self.calls.append(Call("put", config, args))
        return super().put(config, *args)

    def put_writes(self, config: Any, *args: Any) -> None:
        self.calls.append(Call("put_writes", config, args))
        super().put_writes(config, *args)


def turns_of(saver: BaseCheckpointSaver[Any]) -> Callable[[str, int], None]:
    """Turns of conversations with a graph of one node, which is run."""
    said = speeches(2 * RECORDED)
    made = StateGraph(MessagesState)
    made.add_node("answer", lambda state: {"messages": [_answer(state, said)]})
    made.add_edge(START, "answer")
    made.add_edge("answer", END)
    graph = made.compile(checkpointer=saver)

    def turn(thread: str, number: int) -> None:
        asked: Any = {"messages": [HumanMessage(said[2 * number])]}
        graph.invoke(asked, config_of(thread), durability="sync")

    return turn


def _answer(state: MessagesState, said: Sequence[str]) -> AIMessage:
    return AIMessage(said[len(state["messages"])])


def config_of(thread: str) -> Any:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}


@cache
def recorded(turns: int = RECORDED) -> list[list[Call]]:
    """The calls of each turn of a conversation."""
    recorder = Recorder()
    turn = turns_of(recorder)
    for number in range(turns):
        turn("recorded", number)
    found: list[list[Call]] = []
    for call in recorder.calls:
        if call.name == "get_tuple":
            found.append([])
        found[-1].append(call)
    assert len(found) == turns, found
    return found


def asked_of(thread: str, call: Call) -> tuple[Any, ...]:
    """What a call is given when it is made for a thread."""
    named = {k: v for k, v in call.config["configurable"].items() if k in _KEPT}
    return ({"configurable": {**named, "thread_id": thread}}, *call.args)


def turns_on(saver: BaseCheckpointSaver[Any]) -> Turn:
    """Turns that are played by a checkpointer's async methods."""

    async def turn(thread: str, number: int) -> None:
        for call in recorded()[number]:
            await getattr(saver, f"a{call.name}")(*asked_of(thread, call))

    return turn


def sync_turns_on(saver: BaseCheckpointSaver[Any]) -> Turn:
    """Turns that are played by a checkpointer's sync methods; for a lone caller."""

    async def turn(thread: str, number: int) -> None:
        for call in recorded()[number]:
            getattr(saver, call.name)(*asked_of(thread, call))

    return turn


@asynccontextmanager
async def our_saver(place: str) -> AsyncIterator[Turn]:
    async with holdfast.aopen(place) as store:
        yield turns_on(HoldfastSaver(store))


@asynccontextmanager
async def our_sync_saver(place: str) -> AsyncIterator[Turn]:
    with holdfast.open(place) as store:
        yield sync_turns_on(HoldfastSaver(store))


def run_on(saver: BaseCheckpointSaver[Any]) -> Turn:
    """Turns of whole runs of the graph; for a lone caller."""
    run = turns_of(saver)

    async def turn(thread: str, number: int) -> None:
        run(thread, number)

    return turn


@asynccontextmanager
async def our_graph(place: str) -> AsyncIterator[Turn]:
    with holdfast.open(place) as store:
        yield run_on(HoldfastSaver(store))


@asynccontextmanager
async def sqlite_graph(place: str) -> AsyncIterator[Turn]:
    with SqliteSaver.from_conn_string(in_wal(Path(place))) as saver:
        saver.setup()
        yield run_on(saver)


@asynccontextmanager
async def sqlite_saver(place: str) -> AsyncIterator[Turn]:
    async with AsyncSqliteSaver.from_conn_string(in_wal(Path(place))) as saver:
        await saver.setup()
        yield turns_on(saver)


@asynccontextmanager
async def sync_sqlite_saver(place: str) -> AsyncIterator[Turn]:
    with SqliteSaver.from_conn_string(in_wal(Path(place))) as saver:
        saver.setup()
        yield sync_turns_on(saver)


@asynccontextmanager
async def postgres_saver(url: str) -> AsyncIterator[Turn]:
    async with AsyncPostgresSaver.from_conn_string(url) as saver:
        await saver.setup()
        yield turns_on(saver)


def memories_in(store: BaseStore) -> Turn:
    """A memory that is put, read, and searched for among those of its namespace."""
    said = speeches(RECORDED)

    async def turn(about: str, number: int) -> None:
        namespace = ("memories", about)
        key = f"memory-{number}"
        await store.aput(namespace, key, {"text": said[number], "number": number})
        await store.aget(namespace, key)
        await store.asearch(namespace, filter={"number": number})

    return turn


def sync_memories_in(store: BaseStore) -> Turn:
    """As `memories_in`, by the sync methods; for a lone caller."""
    said = speeches(RECORDED)

    async def turn(about: str, number: int) -> None:
        namespace = ("memories", about)
        key = f"memory-{number}"
        store.put(namespace, key, {"text": said[number], "number": number})
        store.get(namespace, key)
        store.search(namespace, filter={"number": number})

    return turn


@asynccontextmanager
async def our_store(place: str) -> AsyncIterator[Turn]:
    async with holdfast.aopen(place) as store:
        yield memories_in(HoldfastStore(store))


@asynccontextmanager
async def our_sync_store(place: str) -> AsyncIterator[Turn]:
    with holdfast.open(place) as store:
        yield sync_memories_in(HoldfastStore(store))


@asynccontextmanager
async def sqlite_store(place: str) -> AsyncIterator[Turn]:
    async with AsyncSqliteStore.from_conn_string(in_wal(Path(place))) as store:
        await store.setup()
        yield memories_in(store)


@asynccontextmanager
async def sync_sqlite_store(place: str) -> AsyncIterator[Turn]:
    with SqliteStore.from_conn_string(in_wal(Path(place))) as store:
        store.setup()
        yield sync_memories_in(store)


@asynccontextmanager
async def postgres_store(url: str) -> AsyncIterator[Turn]:
    async with AsyncPostgresStore.from_conn_string(url) as store:
        await store.setup()
        yield memories_in(store)
