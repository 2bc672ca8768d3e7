"""LangGraph on holdfast: its own conformance suite, and graphs that really run."""

import asyncio
import base64
import dataclasses
import json
import operator
import os
import random
import subprocess
import sys
import time
import zlib
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt

import holdfast
from conftest import store_on
from conversing import finished
from holdfast.errors import NotFound, Refused
from holdfast.integrations.langgraph import HoldfastSaver
from holdfast.integrations.langgraph import values as values_kept

CAPABILITIES = (
    "put",
    "put_writes",
    "get_tuple",
    "list",
    "delete_thread",
    "delete_for_runs",
    "copy_thread",
    "prune",
)


@pytest.mark.parametrize("engine", ["memory", "file", "postgres"])
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_the_conformance_suite_passes(engine, capability, tmp_path):
    with store_on(engine, tmp_path) as target, holdfast.open(target) as store:

        @checkpointer_test(name="holdfast")
        async def saver():
            yield HoldfastSaver(store)

        async def report():
            return await validate(saver, capabilities={capability})

        result = asyncio.run(report()).results[capability]
        assert result.failures == []
        assert result.passed
        assert result.tests_passed > 4
        assert store.check().problems == ()


CONFIG = {"configurable": {"thread_id": "trip"}}


class State(MessagesState):
    count: Annotated[int, operator.add]
    notes: dict[str, Any]


def agent(state):
    n = len(state["messages"])
    if n % 4 == 1:
        call = {"name": "look", "args": {"n": n}, "id": f"call{n}", "type": "tool_call"}
        said = AIMessage("", id=f"a{n}", tool_calls=[call])
    else:
        said = AIMessage(f"answer {n}", id=f"a{n}", response_metadata={"n": n})
    return {"messages": [said], "count": 1, "notes": {"n": n, "text": "x" * 200}}


def tools(state):
    call = state["messages"][-1].tool_calls[0]
    return {
        "messages": [ToolMessage("found", tool_call_id=call["id"], id=f"t{call['id']}")]
    }


def ask(state):
    return {"messages": [HumanMessage(interrupt({"ask": "which?"}), id="chosen")]}


def spread(state):
    return [Send("leaf", {"n": n}) for n in range(3)]


def leaf(state):
    return {"count": state["n"]}


def after_agent(state):
    if getattr(state["messages"][-1], "tool_calls", None):
        return "tools"
    return "ask" if len(state["messages"]) == 4 else END


def made(saver):
    """A graph with a tool loop, an interrupt, a subgraph and parallel sends."""
    inner = StateGraph(State)
    inner.add_node("count", lambda state: {"count": 10})
    inner.add_edge(START, "count")
    graph = StateGraph(State)
    graph.add_node("agent", agent)
    graph.add_node("tools", tools)
    graph.add_node("ask", ask)
    graph.add_node("leaf", leaf)
    graph.add_node("inner", inner.compile())
    graph.add_edge(START, "agent")
    graph.add_conditional_edges("agent", after_agent, ["tools", "ask", END])
    graph.add_edge("tools", "agent")
    graph.add_edge("ask", "inner")
    graph.add_conditional_edges("inner", spread, ["leaf"])
    return graph.compile(checkpointer=saver)


def turns(graph):
    """Everything that a graph's user does, and what came of it."""
    seen = []
    for text in ("first", "second"):
        said = {"messages": [HumanMessage(text, id=f"h-{text}")]}
        seen.append(values(graph.invoke(said, CONFIG)))
        state = graph.get_state(CONFIG)
        while state.next:
            assert state.tasks[0].interrupts[0].value == {"ask": "which?"}
            seen.append(values(graph.invoke(Command(resume="that one"), CONFIG)))
            state = graph.get_state(CONFIG)
    graph.update_state(CONFIG, {"messages": [AIMessage("corrected", id="a1")]})
    drop = [RemoveMessage(id="a1"), RemoveMessage(id="h-second")]
    graph.update_state(CONFIG, {"messages": drop, "notes": {}})
    history = list(graph.get_state_history(CONFIG))
    before = history[len(history) // 2]
    seen.append(values(graph.invoke(None, before.config)))
    graph.update_state(before.config, {"messages": [HumanMessage("other", id="o")]})
    return seen


def values(found):
    """What came of a run, but for interrupts, whose ids are by chance."""
    return {key: value for key, value in found.items() if key != "__interrupt__"}


def told(graph):
    return [
        (
            found.values,
            found.next,
            {k: found.metadata[k] for k in ("source", "step")},
            [(task.name, task.error, [i.value for i in task.interrupts], task.result)
             for task in found.tasks],
        )
        for found in graph.get_state_history(CONFIG)
    ]  # fmt: skip


@pytest.fixture(params=["memory", "file", "postgres"])
def store(request, tmp_path):
    with (
        store_on(request.param, tmp_path) as target,
        holdfast.open(target) as opened,
    ):
        yield opened
        assert opened.check().problems == ()


def test_a_graph_goes_as_it_goes_with_langgraphs_own_saver(store):
    theirs, ours = made(InMemorySaver()), made(HoldfastSaver(store))
    assert turns(ours) == turns(theirs)
    assert told(ours) == told(theirs)
    again = made(HoldfastSaver(store))
    assert told(again) == told(theirs)
    newest = [message.content for message in store.sessions.history("trip")]
    assert newest == [m.content for m in again.get_state(CONFIG).values["messages"]]


def test_the_conversation_is_a_session_like_any_other(store):
    graph = made(HoldfastSaver(store))
    graph.invoke({"messages": [HumanMessage("where to?", id="h")]}, CONFIG)
    said = list(store.sessions.history("trip"))
    assert [m.role for m in said] == ["user", "assistant", "tool", "assistant"]
    assert said[0].content == "where to?"
    assert [m.id for m in said] == ["h", "a1", "tcall1", "a3"]
    assert store.search("where")[0].id == "h"
    assert "where to?" in store.sessions.render("trip")
    fork = store.sessions.fork("trip", 2)
    assert fork.message_count == 2


def test_a_conversation_is_appended_to_and_kept_once(store):
    saver = HoldfastSaver(store)
    graph = made(saver)
    graph.invoke({"messages": [HumanMessage("one", id="h")]}, CONFIG)
    messages = [c for c in store.journal.read(limit=1000) if c.kind == "message"]
    assert [c.op for c in messages] == ["create"] * 4
    marks = {c.note for c in store.threads.checkpoints("trip") if c.note}
    assert len(marks) == 4


def test_a_session_that_was_deleted_takes_its_checkpoints_along(store):
    graph = made(HoldfastSaver(store))
    graph.invoke({"messages": [HumanMessage("one", id="h")]}, CONFIG)
    store.sessions.delete("trip")
    saver = HoldfastSaver(store)
    assert saver.get_tuple(CONFIG) is None
    again = made(saver)
    assert again.get_state(CONFIG).values == {}
    ended = again.invoke({"messages": [HumanMessage("two", id="h2")]}, CONFIG)
    assert ended["messages"][0].content == "two"


def test_what_someone_else_said_in_the_session_is_seen(store):
    saver = HoldfastSaver(store)
    graph = made(saver)
    graph.invoke({"messages": [HumanMessage("one", id="h")]}, CONFIG)
    kept = graph.get_state(CONFIG).values
    store.sessions.append("trip", "user", "by hand")
    assert graph.get_state(CONFIG).values == kept
    graph.update_state(CONFIG, {"messages": [HumanMessage("two", id="h2")]})
    said = [message.content for message in store.sessions.history("trip")]
    assert said == [m.content for m in graph.get_state(CONFIG).values["messages"]]


def test_a_thread_that_is_deleted_or_pruned_leaves_nothing_behind(store, monkeypatch):
    monkeypatch.setattr("holdfast.integrations.langgraph.keeping._DROPPED_AT_ONCE", 2)
    saver = HoldfastSaver(store)
    turns(made(saver))
    saver.copy_thread("trip", "copied")
    copied = {"configurable": {"thread_id": "copied"}}
    before = [(t.checkpoint, t.metadata, t.pending_writes) for t in saver.list(CONFIG)]
    after = [(t.checkpoint, t.metadata, t.pending_writes) for t in saver.list(copied)]
    assert before == after
    saver.prune(["trip"])
    (left,) = saver.list(
        {"configurable": {**CONFIG["configurable"], "checkpoint_ns": ""}}
    )
    assert left.checkpoint == before_newest(before)
    saver.delete_thread("trip")
    assert [
        (t.checkpoint, t.metadata, t.pending_writes) for t in saver.list(copied)
    ] == after
    saver.delete_thread("copied")
    rows = finished(store)
    tables = ("thread", "checkpoint", "checkpoint_write", "channel_value", "session",
              "message", "segment", "mark")  # fmt: skip
    assert {table: len(rows[table]) for table in tables} == dict.fromkeys(tables, 0)


def before_newest(found):
    return next(checkpoint for checkpoint, *_ in found)


@pytest.mark.parametrize("seed", range(3))
def test_any_lists_of_messages_come_back_equal(store, seed):
    chance = random.Random(seed)
    saver, wanted, said = HoldfastSaver(store), {}, []
    for step in range(60):
        said = changed(chance, said, step)
        checkpoint = empty_checkpoint() | {"channel_values": {"messages": list(said)}}
        put = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        config = saver.put(put, checkpoint, {"source": "loop", "step": step}, {})
        wanted[config["configurable"]["checkpoint_id"]] = (config, list(said))
        if chance.random() < 0.1:
            saver = HoldfastSaver(store)
        if chance.random() < 0.1:
            store.sessions.append("t", "user", "by hand")
    for config, messages in wanted.values():
        found = HoldfastSaver(store).get_tuple(config).checkpoint["channel_values"]
        assert found.get("messages", []) == messages
        assert list(map(type, found.get("messages", []))) == list(map(type, messages))


FIRST, THEN, LAST = (HumanMessage(text, id=text) for text in ("a", "b", "c"))


def anew(one):
    """The thread is deleted, and begun anew with as many messages."""
    one.delete_thread("t")
    put(one, [LAST])


def between(one):
    """Something is said in between."""
    put(one, [FIRST, LAST, THEN])


def let_go(one):
    """A checkpoint of the same messages is the only one left."""
    put(one, [FIRST])
    one.prune(["t"])


@pytest.mark.parametrize("work", [anew, between, let_go])
@pytest.mark.parametrize("messages", [[FIRST], [FIRST, THEN]])
def test_what_one_saver_remembers_is_right_whatever_another_does(store, work, messages):
    one, other = HoldfastSaver(store), HoldfastSaver(store)
    put(one, [FIRST])
    work(other)
    kept = put(one, messages)
    assert one.get_tuple(kept).checkpoint["channel_values"] == {"messages": messages}
    assert contents(store, "t") == [message.content for message in messages]


def test_a_session_shows_nothing_once_all_messages_are_removed(store):
    saver = HoldfastSaver(store)
    before = put(saver, [FIRST, THEN])
    after = put(saver, [])
    assert contents(store, "t") == []
    put(saver, [LAST])
    assert contents(store, "t") == ["c"]
    for config, messages in ((before, [FIRST, THEN]), (after, [])):
        found = saver.get_tuple(config).checkpoint["channel_values"]
        assert found == {"messages": messages}


def test_a_thread_that_is_put_back_has_its_messages_at_each_checkpoint(store):
    saver = HoldfastSaver(store)
    kept = [(put(saver, said), said) for said in ([FIRST], [FIRST, THEN])]
    moment = store.moment()
    saver.delete_thread("t")
    put(saver, [LAST])
    store.revert(moment)
    for config, messages in kept:
        found = saver.get_tuple(config).checkpoint["channel_values"]
        assert found == {"messages": messages}
    after = put(saver, [FIRST, LAST])
    assert contents(store, "t") == ["a", "c"]
    assert len(saver.get_tuple(after).checkpoint["channel_values"]["messages"]) == 2


def test_a_call_whose_arguments_were_changed_is_kept_as_it_is_now(store):
    saver = HoldfastSaver(store)
    for said in (1, True, 1.0, 0, False, [1], [True]):
        call = {"name": "n", "args": {"a": said}, "id": "c"}
        kept = put(saver, [AIMessage("", id="a", tool_calls=[call])])
        (found,) = saver.get_tuple(kept).checkpoint["channel_values"]["messages"]
        assert repr(found.tool_calls[0]["args"]["a"]) == repr(said)


def put(saver, messages, **more):
    """A checkpoint of these messages; the config that names it."""
    config = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    values = {"channel_values": {"messages": messages}}
    return saver.put(config, empty_checkpoint() | values | more, {}, {})


def contents(store, session):
    return [message.content for message in store.sessions.history(session)]


CALL = {"name": "n", "args": {}, "id": "c"}


def changed(chance, said, step):
    """A list of messages after something was done with it."""
    said, what = list(said), chance.random()
    new = chance.choice(
        [
            HumanMessage(f"text {step}", id=f"h{step}"),
            AIMessage([{"type": "text", "text": "block"}], id=f"a{step}"),
            AIMessage("", id=f"a{step}", tool_calls=[CALL]),
            ToolMessage("out", tool_call_id="c", id=f"t{step}", status="error"),
            SystemMessage("be brief", name="boss", id=f"s{step}"),
            AIMessageChunk("half", id=f"k{step}"),
            HumanMessage(f"without an id {step}"),
        ]
    )  # fmt: skip
    if not said or what < 0.6:
        said.append(new)
    elif what < 0.75:
        at = chance.randrange(len(said))
        said[at] = said[at].model_copy(update={"content": f"changed {step}"})
    elif what < 0.9:
        del said[chance.randrange(len(said)) :]
    else:
        said.insert(chance.randrange(len(said)), new)
    return said


def test_two_hundred_turns_of_a_kilobyte_take_less_than_two_megabytes(path):
    def reply(state):
        return {"messages": [AIMessage(text(len(state["messages"])))]}

    def text(n):
        return random.Random(n).randbytes(500).hex()

    holdfast.open(path).close()
    empty = os.path.getsize(path)
    with holdfast.open(path) as opened:
        builder = StateGraph(MessagesState)
        builder.add_node("reply", reply)
        builder.add_edge(START, "reply")
        graph = builder.compile(checkpointer=HoldfastSaver(opened))
        for turn in range(200):
            graph.invoke({"messages": [HumanMessage(f"turn {turn}")]}, CONFIG)
        assert len(graph.get_state(CONFIG).values["messages"]) == 400
    assert os.path.getsize(path) - empty < 1_300_000  # and an empty store is 1 MB


@pytest.mark.newer("delta channels, which LangGraph has since 1.2")
def test_delta_channels_are_rebuilt_and_survive_pruning(store):
    from langgraph.channels.delta import DeltaChannel  # noqa: PLC0415

    def add(state, new):
        return state + [item for items in new for item in items]

    class Deltas(TypedDict):
        log: Annotated[list[str], DeltaChannel(add, snapshot_frequency=4)]
        turn: int

    def graph_on(saver):
        builder = StateGraph(Deltas)
        builder.add_node("say", lambda state: {"log": [f"turn {state['turn']}"]})
        builder.add_edge(START, "say")
        return builder.compile(checkpointer=saver)

    theirs, ours = (InMemorySaver(), HoldfastSaver(store))
    for turn in range(7):
        for saver in (theirs, ours):
            graph_on(saver).invoke({"turn": turn, "log": ["in"]}, CONFIG)
    found = graph_on(ours).get_state(CONFIG).values
    assert found == graph_on(theirs).get_state(CONFIG).values
    assert len(found["log"]) == 14
    past = [state.values for state in graph_on(ours).get_state_history(CONFIG)]
    assert past == [s.values for s in graph_on(theirs).get_state_history(CONFIG)]
    newest = ours.get_tuple(CONFIG).config
    for channels in ([], ["log"], ["log", "turn", "unknown"]):
        asked = {"config": newest, "channels": channels}
        base = BaseCheckpointSaver.get_delta_channel_history(ours, **asked)
        assert ours.get_delta_channel_history(**asked) == base
    ours.prune(["trip"])
    assert graph_on(ours).get_state(CONFIG).values == found
    assert len(list(ours.list(CONFIG))) < len(past)


def test_both_faces_do_the_same(path):
    async def turns_of(saver):
        graph = made(saver)
        said = {"messages": [HumanMessage("one", id="h")]}
        found = [values(await graph.ainvoke(said, CONFIG))]
        state = await graph.aget_state(CONFIG)
        found += [
            state.values,
            [s.values async for s in graph.aget_state_history(CONFIG)],
        ]
        await saver.acopy_thread("trip", "other")
        limited = [t.checkpoint["id"] async for t in saver.alist(None, limit=7)]
        await saver.adelete_for_runs(["nobody"])
        await saver.aprune(["other"])
        await saver.adelete_thread("trip")
        config = {"configurable": {"thread_id": "other", "checkpoint_ns": ""}}
        deltas = await saver.aget_delta_channel_history(
            config=config, channels=["count"]
        )
        return found, len(limited), [t.checkpoint["channel_values"] async for t in
                                     saver.alist(config)], deltas  # fmt: skip

    async def run():
        async with await holdfast.aopen(path) as opened:
            ours = await turns_of(HoldfastSaver(opened))
            return ours, HoldfastSaver(opened).get_tuple(CONFIG)

    (found, limited, left, deltas), gone = asyncio.run(run())
    graph = made(InMemorySaver())
    said = {"messages": [HumanMessage("one", id="h")]}
    assert found[0] == values(graph.invoke(said, CONFIG))
    assert found[1] == graph.get_state(CONFIG).values
    assert found[2] == [state.values for state in graph.get_state_history(CONFIG)]
    assert (limited, len(left), gone) == (7, 1, None)
    assert left[0]["messages"] == found[1]["messages"]
    assert deltas["count"]["writes"] == []


class Mine:
    """A class that nobody allowed."""


def test_nothing_that_is_stored_is_called_when_it_is_read(store, monkeypatch):
    monkeypatch.setattr(values_kept, "_MOST_BYTES", 1_000)
    saver = HoldfastSaver(store)
    config = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}

    def put(values):
        return saver.put(
            config, empty_checkpoint() | {"channel_values": values}, {}, {}
        )

    with pytest.raises((TypeError, ValueError)):
        put({"a": Mine()})
    kept = put({"a": Point(1, 2)})
    assert not isinstance(
        saver.get_tuple(kept).checkpoint["channel_values"]["a"], Point
    )
    allowed = saver.with_allowlist([(Point.__module__, "Point")])
    assert allowed.get_tuple(kept).checkpoint["channel_values"]["a"] == Point(1, 2)
    for type, said, error in BROKEN:
        row = {"type": type, "body": base64.b64encode(said).decode()}
        store.threads.put("t", "zz", state={}, values={"a": row})
        with pytest.raises(error):
            saver.get_tuple(config)
    for named in NAMED:
        body = base64.b64encode(json.dumps(named).encode()).decode()
        row = {"type": "json", "body": body}
        store.threads.put("t", "zz", state={}, values={"a": row})
        for reader in (saver, allowed):
            values = reader.get_tuple(config).checkpoint["channel_values"]
            assert values == {"a": named}


BROKEN = [
    ("pickle", b"cos\nsystem\n(S'false'\ntR.", NotImplementedError),
    ("bytes+deflate", b"no such stream", Refused),
    ("bytes+deflate", zlib.compress(bytes(1_000), wbits=-15)[:-4], Refused),
    ("bytes+deflate", zlib.compress(bytes(2_000), wbits=-15), Refused),
]
NAMED = [
    {"lc": 1, "type": "secret", "id": ["HOME"]},
    {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain_core", "prompts", "prompt", "PromptTemplate"],
        "kwargs": {"template": "a"},
    },
    {"lc": 2, "type": "constructor", "id": ["uuid", "UUID"], "args": ["0" * 32]},
]
"""JSON that LangGraph's own serializer would make objects of."""


@dataclasses.dataclass
class Point:
    x: int
    y: int


def test_messages_that_a_session_cannot_give_back_are_kept_as_a_value(store):
    class Own(HumanMessage):
        pass

    saver = HoldfastSaver(store)
    config = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    twice = [HumanMessage("a", id="same"), HumanMessage("b", id="same")]
    for messages in (twice, [], "text", [HumanMessage("x", name=""), "text"]):
        values = {"channel_values": {"messages": messages}}
        kept = saver.put(config, empty_checkpoint() | values, {}, {})
        found = saver.get_tuple(kept).checkpoint["channel_values"]["messages"]
        assert found == messages
    with pytest.raises(NotFound):
        store.sessions.get("t")


KILLED = """
import sys; sys.path[:0] = [{tests!r}]
import holdfast
from test_langgraph import *

with holdfast.open({path!r}) as store:
    graph = step_by_step(HoldfastSaver(store), lambda n: print(n, flush=True))
    said = {{"messages": [HumanMessage("go", id="h")]}}
    graph.invoke(said if {first} else None, CONFIG, durability="sync")
    print("done", flush=True)
"""


def step_by_step(saver, told):
    """A graph of twenty steps, each of which tells its number."""

    def step(state):
        n = len(state["messages"])
        told(n)
        time.sleep(0.02)
        return {"messages": [AIMessage(f"step {n}", id=f"a{n}")]}

    builder = StateGraph(MessagesState)
    builder.add_node("step", step)
    builder.add_edge(START, "step")
    builder.add_conditional_edges(
        "step", lambda state: "step" if len(state["messages"]) < 21 else END
    )
    return builder.compile(checkpointer=saver)


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_a_run_that_is_killed_goes_on_where_it_was(engine, tmp_path):
    with store_on(engine, tmp_path) as target:
        seen, first = [], True
        for kill_at in (3, 12, None):
            code = KILLED.format(
                tests=os.path.dirname(__file__), path=target, first=first
            )
            with subprocess.Popen(
                [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
            ) as run:
                for line in run.stdout:
                    seen.append(line.strip())
                    if kill_at is not None and line.strip() == str(kill_at):
                        run.kill()
            first = False
        assert seen[-1] == "done"
        steps = [int(n) for n in seen[:-1]]
        assert sorted(set(steps)) == list(range(1, 21))
        assert len(steps) <= 20 + 2 * 2
        with holdfast.open(target) as opened:
            said = [m.content for m in opened.sessions.history("trip")]
            assert said == ["go", *(f"step {n}" for n in range(1, 21))]
            assert opened.check().problems == ()
