"""LangChain: a chat's history comes back equal, and reads like any other session."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.language_models.fake_chat_models import (
    FakeListChatModel,
    GenericFakeChatModel,
)
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
from langchain_core.runnables.history import RunnableWithMessageHistory

import holdfast
from faced import Faced
from holdfast.errors import AlreadyExists, NotStorable, Refused
from holdfast.integrations.langchain import HoldfastChatMessageHistory
from holdfast.kinds.tool_calls import answers_in, calls_in
from killing import Worker

CALL = {"name": "book", "args": {"seat": 4}, "id": "c1", "type": "tool_call"}
BROKEN = {
    "name": "book",
    "args": "{seat",
    "id": "c2",
    "error": "no JSON",
    "type": "invalid_tool_call",
}
USAGE = {
    "input_tokens": 3,
    "output_tokens": 2,
    "total_tokens": 5,
    "input_token_details": {"cache_read": 1},
}
MESSAGES: list[BaseMessage] = [
    HumanMessage("Hello"),
    HumanMessage("Hello", id="m1"),
    HumanMessage("Hello", id="no/id of ours", name="ada", example=True),
    HumanMessage([{"type": "text", "text": "Look"}, "here"], id="m2"),
    HumanMessage("", additional_kwargs={"lc_source": "x", "deep": [{"a": None}]}),
    AIMessage("Booked", id="m3"),
    AIMessage("", id="m4", tool_calls=[CALL], usage_metadata=USAGE),
    AIMessage("", invalid_tool_calls=[BROKEN], response_metadata={"model": "m"}),
    AIMessage([{"type": "tool_use", "id": "c1", "name": "book", "input": {}}], id="m5"),
    AIMessage("", additional_kwargs={"tool_calls": [{"id": "c1", "function": {}}]}),
    ToolMessage("done", tool_call_id="c1"),
    ToolMessage("no", tool_call_id="c1", status="error", artifact={"rows": [1, 2.5]}),
    SystemMessage("Be brief", id="m6"),
    ChatMessage("I doubt it", role="critic"),
    ChatMessage("I doubt it", role="A role with spaces", id="m7"),
    ChatMessage("I ask", role="user"),
    FunctionMessage("4", name="add"),
    HumanMessageChunk("He"),
    AIMessageChunk(
        "",
        tool_call_chunks=[{"name": "f", "args": '{"a"', "id": "c", "index": 0}],
        chunk_position="last",
    ),
    SystemMessageChunk("Be"),
    ToolMessageChunk("do", tool_call_id="c1"),
    ChatMessageChunk("I", role="critic"),
    FunctionMessageChunk("4", name="add"),
]


def history_on(store: Any, id: str = "talk") -> Faced:
    return Faced(lambda on: HoldfastChatMessageHistory(id, on), store)


def read(history: Faced) -> list[BaseMessage]:
    if history.is_async:
        return history.wait(history.on.aget_messages())
    return history.on.messages


def test_every_message_comes_back_equal_and_of_its_class(store):
    history = history_on(store)
    assert read(history) == []
    history.call("add_messages", MESSAGES)
    found = read(history)
    assert found == MESSAGES
    assert [type(message) for message in found] == [type(m) for m in MESSAGES]
    assert [vars(message).keys() for message in found] == [
        vars(message).keys() for message in MESSAGES
    ]
    assert [m.model_dump() for m in found] == [m.model_dump() for m in MESSAGES]


def test_a_message_that_was_changed_after_it_was_made_comes_back_as_it_is(store):
    raw = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = AIMessage("Never mind", additional_kwargs={"tool_calls": [raw]})
    assert message.tool_calls
    message.tool_calls = []
    history = history_on(store)
    history.call("add_messages", [message])
    assert read(history) == [message]


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
_objects = st.dictionaries(st.text(max_size=5), _json, max_size=3)
_contents = st.text() | st.lists(st.text(max_size=5) | _objects, max_size=3)
_common = {
    "content": _contents,
    "id": st.none() | st.text(max_size=9),
    "name": st.none() | st.text(max_size=5),
    "additional_kwargs": _objects.filter(lambda kept: "tool_calls" not in kept),
    "response_metadata": _objects,
}
_calls = st.lists(
    st.fixed_dictionaries(
        {"name": st.text(max_size=5), "args": _objects, "id": st.none() | st.text()}
    ).map(lambda call: call | {"type": "tool_call"}),
    max_size=2,
)
_messages = st.one_of(
    st.builds(HumanMessage, **_common),
    st.builds(SystemMessage, **_common),
    st.builds(AIMessage, **_common, tool_calls=_calls),
    st.builds(ToolMessage, **_common, tool_call_id=st.text(max_size=5), artifact=_json),
    st.builds(ChatMessage, **_common, role=st.text(max_size=9)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_messages, max_size=5, unique_by=lambda message: message.id))
def test_whatever_messages_hold_comes_back_equal(messages):
    with holdfast.open(":memory:") as store:
        history = HoldfastChatMessageHistory("talk", store)
        try:
            history.add_messages(messages)
        except NotStorable:  # half of a character, which no text can carry
            assert "\\ud" in ascii([m.model_dump() for m in messages])
            messages = []
        assert history.messages == messages


def test_messages_read_like_those_of_any_other_session(store):
    history = history_on(store)
    said = [
        SystemMessage("Be brief"),
        HumanMessage("Book seat 4"),
        AIMessage("Right away", tool_calls=[CALL]),
        ToolMessage("booked", tool_call_id="c1"),
    ]
    history.call("add_messages", said)
    kept = list(store.sessions.history("talk"))
    assert [(message.role, message.content) for message in kept] == [
        ("system", "Be brief"),
        ("user", "Book seat 4"),
        ("assistant", "Right away"),
        ("tool", "booked"),
    ]
    assert [calls_in(message) for message in kept] == [set(), set(), {"c1"}, set()]
    assert [answers_in(message) for message in kept] == [set(), set(), set(), {"c1"}]
    assert [hit.id for hit in store.search("seat")] == [kept[1].id]
    store.sessions.fork("talk", 2, new_id="fork")
    assert read(history_on(store, "fork")) == said[:2]
    assert "Right away" in store.sessions.render("talk")


def test_what_others_said_in_the_session_is_read_too(store):
    listed = {"id": "c1", "function": {"name": "book", "arguments": '{"seat": 4}'}}
    item = {
        "type": "function_call",
        "call_id": "c2",
        "name": "book",
        "arguments": "{oops",
    }
    use = {"type": "tool_use", "id": "c3", "name": "book", "input": {"seat": 4}}
    result = {"type": "tool_result", "tool_use_id": "c3", "content": {"row": 1}}
    store.sessions.create(id="talk")
    for role, content, metadata in (
        ("user", "Hello", {"from": "elsewhere"}),
        ("developer", "Be brief", None),
        ("assistant", "", {"tool_calls": [listed]}),
        ("assistant", item, None),
        ("assistant", [use], None),
        ("tool", "booked", {"tool_call_id": "c1"}),
        ("tool", [result], None),
        ("tool", 7, None),
        ("critic", None, None),
    ):
        store.sessions.append("talk", role, content, metadata=metadata)
    found = read(history_on(store))
    ids = [message.id for message in store.sessions.history("talk")]
    assert [message.id for message in found] == ids
    for message in found:
        message.id = None
    assert found == [
        HumanMessage("Hello"),
        SystemMessage("Be brief"),
        AIMessage("", tool_calls=[CALL]),
        AIMessage("", invalid_tool_calls=[found[3].invalid_tool_calls[0]]),
        AIMessage([use], tool_calls=[CALL | {"id": "c3"}]),
        ToolMessage("booked", tool_call_id="c1"),
        ToolMessage('{"row":1}', tool_call_id="c3"),
        ToolMessage("7", tool_call_id=""),
        ChatMessage("", role="critic"),
    ]
    assert found[3].invalid_tool_calls[0]["args"] == "{oops"


def test_a_message_with_an_id_is_added_once(store):
    history = history_on(store)
    said = [HumanMessage("Hello", id="m1"), AIMessage("Hi", id="m2")]
    history.call("add_messages", said)
    history.call("add_messages", [*said, HumanMessage("More", id="m3")])
    assert [message.content for message in read(history)] == ["Hello", "Hi", "More"]
    with pytest.raises(AlreadyExists):
        history.call("add_messages", [AIMessage("New"), HumanMessage("Oh", id="m1")])
    assert len(read(history)) == 3


class Mine(HumanMessage):
    """A class that a store cannot know."""


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (Mine("Hello"), Refused),
        (RemoveMessage(id="m1"), Refused),
        (ToolMessage("x", tool_call_id="c", artifact=object()), NotStorable),
        (ToolMessage("x", tool_call_id="c", artifact=(1, 2)), NotStorable),
        (HumanMessage("x", additional_kwargs={1: 2}), NotStorable),
        (HumanMessage("\ud800"), NotStorable),
    ],
)
def test_what_would_come_back_changed_is_refused(store, message, error):
    history = history_on(store)
    with pytest.raises(error):
        history.call("add_messages", [HumanMessage("Hello"), message])
    assert read(history) == []


def test_no_class_is_found_by_a_stored_name(store):
    store.sessions.create(id="talk")
    named = {"langchain": {"type": "test_langchain.Mine"}}
    store.sessions.append("talk", "user", "Hello", metadata=named)
    with pytest.raises(Refused, match="does not know"):
        read(history_on(store))


def test_clearing_leaves_the_session(store):
    history = history_on(store)
    history.call("clear")
    history.call("add_messages", [HumanMessage("Hello")])
    history.call("clear")
    assert read(history) == []
    assert store.sessions.get("talk").message_count == 0


def test_the_short_ways_to_add_work_too(talk):
    history = HoldfastChatMessageHistory("talk", talk)
    history.add_user_message("Hello")
    history.add_ai_message("Hi")
    assert str(history) == "Human: Hello\nAI: Hi"


def chain_on(store: Any, replies: list[str]) -> RunnableWithMessageHistory:
    answers = iter([AIMessage(reply) for reply in replies])
    return RunnableWithMessageHistory(
        GenericFakeChatModel(messages=answers),
        lambda session_id: HoldfastChatMessageHistory(session_id, store),
    )


TALK = {"configurable": {"session_id": "talk"}}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_chain_keeps_each_turn_in_one_transaction(store):
    history = history_on(store)
    on = store._target if history.is_async else store
    chain = chain_on(on, ["Hello, Ada", "You are Ada"])
    moments = [store.moment()]
    for prompt in ("I am Ada", "Who am I?"):
        if history.is_async:
            history.wait(chain.ainvoke([HumanMessage(prompt)], TALK))
        else:
            chain.invoke([HumanMessage(prompt)], TALK)
        moments.append(store.moment())
    assert [message.content for message in read(history)] == [
        *("I am Ada", "Hello, Ada"),
        *("Who am I?", "You are Ada"),
    ]
    assert {change.moment for change in store.journal.read(0)} == set(moments[1:])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_chain_that_is_killed_goes_on_with_whole_turns(path):
    def talk_on(say):
        with holdfast.open(path) as store:
            chain = RunnableWithMessageHistory(
                FakeListChatModel(responses=["Yes"]),
                lambda session_id: HoldfastChatMessageHistory(session_id, store),
            )
            for number in range(10_000):
                chain.invoke([HumanMessage(f"{number}?")], TALK)
                say(f"{number}?")

    worker = Worker(talk_on)
    worker.wait_for(5)
    said = worker.kill()
    with holdfast.open(path) as store:
        history = HoldfastChatMessageHistory("talk", store)
        turns = len(history.messages) // 2
        assert turns in {len(said), len(said) + 1}
        chain_on(store, ["Still here"]).invoke([HumanMessage("And now?")], TALK)
        expected = [text for n in range(turns) for text in (f"{n}?", "Yes")]
        found = [message.content for message in history.messages]
        assert found == [*expected, "And now?", "Still here"]


MISSING = """
import sys
import holdfast
assert not {name for name in sys.modules if name.startswith("langchain")}
sys.modules["langchain_core"] = None
try:
    import holdfast.integrations.langchain
except ImportError as error:
    print(error)
"""


def test_a_missing_framework_is_told_with_the_line_that_installs_it():
    done = subprocess.run(
        [sys.executable, "-c", MISSING], check=True, capture_output=True
    )
    assert 'pip install "holdfast[langchain]"' in done.stdout.decode()
    assert "langchain_core" in done.stdout.decode()
