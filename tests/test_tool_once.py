"""Tools whose calls count once: what they are made of, and in graphs of LangGraph."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode, tools_condition
from langgraph.types import Command, interrupt

import holdfast
import pages
from conftest import store_on
from holdfast.errors import InvalidId, Refused, WrongType
from holdfast.integrations import _once
from holdfast.integrations.langgraph import HoldfastSaver, talks
from killing import Worker

if TYPE_CHECKING:
    from holdfast import Transaction

CONFIG = {"configurable": {"thread_id": "trip"}}
EXAMPLE = pages.ROOT / "examples" / "langgraph_resume.py"
WHERE = inspect.Parameter("where", inspect.Parameter.KEYWORD_ONLY, annotation=str)


def once(store):
    """A decorator as an integration's, for calls that say where they stand."""

    def decorated(function):
        effect = _once.effect_of(function)

        def call(where, given):
            key = _once.key_of(effect.name, where)
            return _once.done(store, _once.Call(effect, key, given))

        return _once.tool_of(effect, call, WHERE, awaited=False)

    return decorated


@pytest.fixture
def store(tmp_path):
    with holdfast.open(tmp_path / "agent.db") as opened:
        yield opened
        assert opened.check().problems == ()


def test_a_tool_is_read_without_what_is_handed_to_it_first(store):
    @once(store)
    def book(tx: Transaction, seat: int, *, row: Literal["a", "b"] = "a") -> str:
        """Book a seat."""
        return f"{tx.now}: {seat}{row}"

    assert str(inspect.signature(book)) == (
        "(seat: int, *, row: Literal['a', 'b'] = 'a', where: str) -> str"
    )
    assert get_type_hints(book) == {
        "seat": int,
        "row": Literal["a", "b"],
        "where": str,
        "return": str,
    }
    assert (book.__name__, book.__doc__) == ("book", "Book a seat.")
    assert not hasattr(book, "__wrapped__")
    assert book(4, where="x") == book(seat=4, where="x") != book(4, where="y")


def test_what_cannot_be_run_once_is_refused_when_it_is_decorated(store):
    async def inside(tx): ...

    def outside(key):
        yield key

    for unfit in (inside, outside, lambda: 1, lambda seat: seat, lambda *key: key, 4):
        with pytest.raises(WrongType, match="tool_once"):
            once(store)(unfit)
    with pytest.raises(InvalidId, match="tool_once"):
        once(store)(lambda tx: 1)


def test_a_tool_that_raises_keeps_nothing_and_runs_again(store):
    tried = []

    def fails_once(what):
        tried.append(what)
        if len(tried) % 2:
            raise ValueError("not yet")
        return "done"

    @once(store)
    def book(tx):
        tx.sessions.create(id="kept")
        return fails_once("book")

    @once(store)
    def send(key):
        return fails_once(key)

    for one in (book, send):
        with pytest.raises(ValueError, match="not yet"):
            one(where="x")
        assert len(store.sessions.list()) == (one is send)
        assert [one(where="x") for _ in range(2)] == ["done", "done"]
    (task,) = store.tasks.list(tool="send", status="completed")
    assert tried == ["book", "book", task.id, task.id]


def test_a_try_that_ends_after_another_has_failed_counts(store):
    tries = []

    @once(store)
    def send(key):
        tries.append(key)
        if len(tries) > 1:
            raise ValueError("not this one")
        with pytest.raises(ValueError, match="not this one"):
            send(where="x")
        return "done"

    assert send(where="x") == "done" == store.tasks.get(tries[0]).result


def test_what_is_outside_is_told_by_a_task(store):
    found = []

    @once(store)
    def send(key, to):
        found.append(store.tasks.get(key))
        if to == "nobody":
            raise ValueError("x" * 20_000)
        return {"to": to}

    assert send("ada", where="x") == {"to": "ada"}
    done = store.tasks.get(found[0].id)
    assert (found[0].status, done.status) == ("in_progress", "completed")
    assert (done.tool, done.metadata) == ("send", {"arguments": {"to": "ada"}})
    assert done.result == {"to": "ada"}
    with pytest.raises(ValueError, match="xxx"):
        send("nobody", where="y")
    assert store.tasks.get(found[1].id).error.startswith("ValueError: xxx")
    store.tasks.start(found[1].id)
    store.tasks.cancel(found[1].id)
    with pytest.raises(Refused, match="cancelled"):
        send("nobody", where="y")


def model(state):
    """Books seats, and then says so; each time by calls of new ids."""
    said = state["messages"][-1]
    if isinstance(said, ToolMessage):
        return {"messages": [AIMessage("Done.")]}
    calls = [
        {"name": "book", "args": {"seat": int(n)}, "id": f"call_{uuid.uuid4().hex}"}
        for n in said.content.split()
        if n.isdigit()
    ]
    return {"messages": [AIMessage("", tool_calls=calls)]}


def asked(text="Book 4"):
    return {"messages": [HumanMessage(text)]}


def graph_of(saver, *tools, node=None, **options):
    builder = StateGraph(MessagesState)
    builder.add_node("model", model)
    builder.add_node(
        "tools", node or ToolNode(tools, handle_tool_errors=False, **options)
    )
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    return builder.compile(checkpointer=saver)


def booking(saver, stop=lambda: None):
    """A tool that books a seat in the store."""

    @tool
    @saver.tool_once
    def book(tx: Transaction, seat: int) -> str:
        """Book a seat."""
        task = tx.tasks.create(f"Seat {seat}")
        stop()
        return f"booked as {task.id}"

    return book


def run(graph, said, is_async, **options):
    if is_async:
        return asyncio.run(graph.ainvoke(said, CONFIG, **options))
    return graph.invoke(said, CONFIG, **options)


def assert_whole(store, seats=1):
    """The effect is there once, and the conversation is whole: in graph and session."""
    assert len(store.tasks.list()) == seats
    said = graph_of(HoldfastSaver(store)).get_state(CONFIG).values["messages"]
    roles = ["human", "ai", *["tool"] * seats, "ai"]
    assert [message.type for message in said] == roles
    assert [call["id"] for call in said[1].tool_calls] == [
        message.tool_call_id for message in said[2:-1]
    ]
    booked = {f"booked as {task.id}" for task in store.tasks.list()}
    assert {message.content for message in said[2:-1]} == booked
    kept = list(store.sessions.history("trip"))
    assert [message.id for message in kept] == [message.id for message in said]


class Stopping(HoldfastSaver):
    """A saver that stops before it keeps the checkpoint that the calls stand in."""

    def __init__(self, store, stop=lambda: None):
        super().__init__(store)
        self.stop = stop

    def put(self, config, checkpoint, metadata, new_versions):
        self._perhaps(checkpoint)
        return super().put(config, checkpoint, metadata, new_versions)

    async def aput(self, config, checkpoint, metadata, new_versions):
        if self._calls(checkpoint):
            await asyncio.to_thread(self._perhaps, checkpoint)
        return await super().aput(config, checkpoint, metadata, new_versions)

    def _perhaps(self, checkpoint):
        if self._calls(checkpoint):
            time.sleep(0.2)  # in which the tool has begun
            self.stop()

    def _calls(self, checkpoint):
        said = checkpoint["channel_values"].get("messages") or [None]
        return getattr(said[-1], "tool_calls", None)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("where", "seats"), [("checkpoint", 0), ("inside", 0), ("committed", 1)]
)
def test_a_tool_that_is_killed_has_its_effect_once(path, where, seats, is_async):
    def die_at(say):
        def stop():
            say("here")
            time.sleep(60)

        def stop_after(request, execute):
            answer = execute(request)
            stop()
            return answer

        async def astop_after(request, execute):
            answer = await execute(request)
            stop()
            return answer

        at = {
            "inside": {"book": stop},
            "committed": {"wrap_tool_call": stop_after, "awrap_tool_call": astop_after},
        }.get(where, {})
        with holdfast.open(path) as store:
            saver = (
                Stopping(store, stop) if where == "checkpoint" else HoldfastSaver(store)
            )
            book = booking(saver, at.pop("book", lambda: None))
            run(graph_of(saver, book, **at), asked(), is_async)

    worker = Worker(die_at)
    worker.wait_for(1)
    worker.kill()
    with holdfast.open(path) as store:
        assert len(store.tasks.list()) == seats
        saver = HoldfastSaver(store)
        run(graph_of(saver, booking(saver)), None, is_async)
        assert_whole(store)


def goes_on(store, saver, book):
    """Run a graph from where it is to its end."""
    begun = saver.get_tuple(CONFIG) is not None
    graph_of(saver, book).invoke(None if begun else asked(), CONFIG)
    assert_whole(store)


def inside(saver, path):
    return booking(saver)


def outside(saver, path):
    """A tool that books a seat elsewhere, where each key counts once."""

    @tool
    @saver.tool_once
    def book(key, seat: int) -> str:
        """Book a seat."""
        path.with_suffix(f".{key}").touch()
        return f"booked as {key}"

    return book


@pytest.mark.parametrize("made", [inside, outside])
def test_a_run_has_its_effect_once_whichever_commit_was_its_last(made, tmp_path):
    def live_for(commits, path):
        with holdfast.open(path) as store:
            left = itertools.count(commits, -1)
            write = store._core.engine.write

            def die_after(unit):
                if next(left) <= 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return write(unit)

            store._core.engine.write = die_after
            saver = HoldfastSaver(store)
            goes_on(store, saver, made(saver, path))

    apart = multiprocessing.get_context("fork")
    for commits in itertools.count():
        path = tmp_path / f"{commits}.db"
        process = apart.Process(target=live_for, args=(commits, path))
        process.start()
        process.join()
        with holdfast.open(path) as store:
            saver = HoldfastSaver(store)
            goes_on(store, saver, made(saver, path))
            assert len(list(tmp_path.glob(f"{commits}.book:*"))) == (made is outside)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert commits > 5


def test_a_tool_outside_of_the_store_is_tried_with_the_same_key(path):
    def sending(saver, told):
        @tool
        @saver.tool_once
        def book(key, seat: int) -> str:
            """Book a seat somewhere else."""
            told(key)
            return f"booked as {key}"

        return book

    def die(say):
        def stop(key):
            say(key)
            time.sleep(60)

        with holdfast.open(path) as store:
            saver = HoldfastSaver(store)
            run(graph_of(saver, sending(saver, stop)), asked(), is_async=False)

    worker = Worker(die)
    worker.wait_for(1)
    keys = worker.kill()
    with holdfast.open(path) as store:
        (task,) = store.tasks.list(tool="book", status="in_progress")
        saver = HoldfastSaver(store)
        run(graph_of(saver, sending(saver, keys.append)), None, is_async=False)
        assert keys == [task.id, task.id]
        assert_whole(store)


@pytest.mark.parametrize("engine", ["memory", "postgres"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_calls_at_once_are_answered_in_their_order(engine, is_async, tmp_path):
    with store_on(engine, tmp_path) as target, holdfast.open(target) as store:
        saver = HoldfastSaver(store.aio if is_async else store)
        graph = graph_of(saver, booking(saver))
        run(graph, asked("Book 1 2 3 4"), is_async)
        assert_whole(store, seats=4)
        said = run(graph, asked("Book 1 2 3 4"), is_async)["messages"]
        assert len(store.tasks.list()) == 8
        kept = store.sessions.history("trip")
        assert [message.id for message in kept] == [message.id for message in said]
        assert store.check().problems == ()


def test_an_answer_is_added_once_and_not_read_again(store, monkeypatch):
    read = []
    there = talks._there
    monkeypatch.setattr(talks, "_there", lambda *to: read.append(to) or there(*to))
    saver = HoldfastSaver(store)
    graph = graph_of(saver, booking(saver))
    for _ in range(3):
        before = store.moment()
        graph.invoke(asked(), CONFIG)
        changes = store.journal.read(after=before, kinds=["message"])
        assert [change.op for change in changes] == ["create"] * 4
    assert len(read) == 1


def outcomes():
    return [
        "text",
        "",
        {"a": "ä", "b": [1, None, 2.5]},
        [1, {"a": "ä"}],
        [{"type": "text", "text": "block"}],
        17,
        None,
        ("left", {"right": (1, 2)}),
        {1: 2},
        Path("somewhere"),
    ]


@pytest.mark.parametrize("result", outcomes(), ids=repr)
def test_whatever_a_tool_gives_is_what_langchain_makes_of_it(result):
    def plain(seat: int):
        """Book a seat."""
        return result

    def outside(key, seat: int):
        """Book a seat."""
        return result

    def said(saver, function):
        graph = graph_of(saver, tool("book")(function))
        return graph.invoke(asked(), CONFIG)["messages"][2]

    with holdfast.open(":memory:") as store, holdfast.open(":memory:") as other:
        saver = HoldfastSaver(store)
        one = said(saver, saver.tool_once(outside))
        expected = said(HoldfastSaver(other), plain)
        assert one.content == expected.content
        assert (one.name, one.status) == (expected.name, expected.status)


def test_a_tool_in_a_subgraph_has_its_effect_once(store):
    saver, tried = HoldfastSaver(store), []

    def fails_once():
        tried.append(1)
        if len(tried) == 1:
            raise KeyboardInterrupt

    def outer():
        after = ToolNode([booking(saver)], wrap_tool_call=failing_after)
        builder = StateGraph(MessagesState)
        builder.add_node("agent", graph_of(None, node=after))
        builder.add_edge(START, "agent")
        return builder.compile(checkpointer=saver)

    def failing_after(request, execute):
        answer = execute(request)
        fails_once()
        return answer

    with pytest.raises(KeyboardInterrupt):
        outer().invoke(asked(), CONFIG)
    outer().invoke(None, CONFIG)
    assert len(tried) == 2
    assert_whole(store)


def test_a_branch_from_before_is_another_run(store):
    saver = HoldfastSaver(store)
    graph = graph_of(saver, booking(saver))
    graph.invoke(asked(), CONFIG)
    (before,) = (s for s in graph.get_state_history(CONFIG) if s.next == ("tools",))
    branch = graph.update_state(before.config, {"messages": []}, as_node="model")
    graph.invoke(None, branch)
    assert len(store.tasks.list()) == 2
    assert [message.role for message in store.sessions.history("trip")] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]


def test_a_call_by_hand_has_its_effect_once(store):
    saver = HoldfastSaver(store)
    book = booking(saver)

    def by_hand(state):
        (call,) = state["messages"][-1].tool_calls
        return {"messages": [book.invoke(call), book.invoke(call)][:1]}

    async def awaited(state):
        (call,) = state["messages"][-1].tool_calls
        return {"messages": [await book.ainvoke(call), await book.ainvoke(call)][:1]}

    async def blocking(state):
        return by_hand(state)

    run(graph_of(saver, node=by_hand), asked(), is_async=False)
    assert_whole(store)
    saver.delete_thread("trip")
    run(graph_of(saver, node=awaited), asked(), is_async=True)
    assert len(store.tasks.list()) == 2
    saver.delete_thread("trip")
    with pytest.raises(Refused, match="await its ainvoke"):
        run(graph_of(Stopping(store), node=blocking), asked(), is_async=True)
    assert len(store.tasks.list()) == 2


def test_a_call_that_stands_in_no_checkpoint_is_refused(store):
    saver = HoldfastSaver(store)
    book = booking(saver)
    call = {"name": "book", "args": {"seat": 4}, "id": "call", "type": "tool_call"}
    with pytest.raises(Refused, match="outside of a graph"):
        book.invoke(call)
    with pytest.raises(Refused, match="without a checkpointer"):
        graph_of(None, book).invoke(asked(), CONFIG)
    with pytest.raises(Refused, match='durability="exit"'):
        graph_of(saver, book).invoke(asked(), CONFIG, durability="exit")
    assert len(store.tasks.list()) == 0


def test_a_tool_takes_what_langgraph_injects(store):
    saver = HoldfastSaver(store)

    @tool
    @saver.tool_once
    async def book(
        key,
        seat: int,
        said: Annotated[list[Any], InjectedState("messages")],
        tool_call_id: Annotated[str, InjectedToolCallId],
    ) -> Command:
        """Book a seat."""
        await asyncio.sleep(0)
        answer = f"{seat} for {said[0].content!r}"
        return Command(
            update={"messages": [ToolMessage(answer, tool_call_id=tool_call_id)]}
        )

    assert set(book.tool_call_schema.model_json_schema()["properties"]) == {"seat"}
    found = run(graph_of(saver, book), asked(), is_async=True)["messages"]
    (task,) = store.tasks.list(tool="book")
    assert task.metadata == {"arguments": {"seat": 4}}
    assert found[2].content == "4 for 'Book 4'"
    assert [message.id for message in store.sessions.history("trip")] == [
        message.id for message in found
    ]


class Turned:
    """A cipher as weak as can be."""

    def encrypt(self, plain):
        return "turned", plain[::-1]

    def decrypt(self, name, turned):
        return turned[::-1]


def test_what_a_graph_encrypts_stays_encrypted(store):
    saver = HoldfastSaver(store, serde=EncryptedSerializer(Turned()))

    @tool
    @saver.tool_once
    def book(key, seat: int) -> str:
        """Book a seat."""
        return "a secret"

    found = graph_of(saver, book).invoke(asked("Book 7654321"), CONFIG)
    assert found["messages"][2].content == "a secret"
    (task,) = store.tasks.list()
    assert task.metadata is None
    assert "secret" not in str(task.result)


@pytest.mark.newer("langgraph-checkpoint-sqlite, beside which the example runs")
def test_the_example_books_once():
    done = subprocess.run(
        [sys.executable, EXAMPLE], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "AsyncSqliteSaver: the seat was booked 2 time(s)",
        "holdfast: the seat was booked 1 time(s)",
        "  user: Book seat 4, please.",
        "  assistant: (calls the tool)",
        "  tool: booked",
        "  assistant: Done.",
    ]


def test_a_tool_that_asks_somebody_waits_for_the_answer(store):
    saver = HoldfastSaver(store)

    @tool
    @saver.tool_once
    def book(key, seat: int) -> str:
        """Book a seat."""
        return f"{seat}: {interrupt('Sure?')}"

    graph = graph_of(saver, book)
    graph.invoke(asked(), CONFIG)
    (task,) = store.tasks.list(tool="book")
    assert task.status == "waiting"
    said = graph.invoke(Command(resume="yes"), CONFIG)["messages"]
    assert said[2].content == "4: yes"
    assert store.tasks.get(task.id).status == "completed"
