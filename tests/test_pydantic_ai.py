"""pydantic-ai: a history comes back equal, once, and reads like any other session."""

import asyncio
import base64
import functools
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai import (
    Agent,
    ApprovalRequired,
    DeferredToolRequests,
    DeferredToolResults,
    ModelRetry,
    RunContext,
)
from pydantic_ai.messages import (
    BinaryContent,
    DocumentUrl,
    ImageUrl,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage

import holdfast
import pages
from faced import Faced
from holdfast.errors import AlreadyExists, NotStorable
from holdfast.integrations._pydantic_messages import _draft_of, _together
from holdfast.integrations.pydantic_ai import HoldfastHistory
from holdfast.kinds.tool_calls import answers_in, calls_in
from killing import Worker

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def history_on(store: Any, id: str = "talk") -> Faced:
    return Faced(lambda on: HoldfastHistory(on, id), store)


def as_json_brings_it_back(messages: list[ModelMessage]) -> list[ModelMessage]:
    dumped = ModelMessagesTypeAdapter.dump_json(messages)
    return ModelMessagesTypeAdapter.validate_json(dumped)


def request(*parts: Any, **more: Any) -> ModelRequest:
    return ModelRequest(parts=list(parts), **more)


def response(*parts: Any, **more: Any) -> ModelResponse:
    return ModelResponse(parts=list(parts), timestamp=NOON, **more)


def prompt(content: Any) -> UserPromptPart:
    return UserPromptPart(content, timestamp=NOON)


def retry(content: str, **more: Any) -> Any:
    """A prompt to try again, as each version of pydantic-ai reads it."""
    part = {"part_kind": "retry-prompt", "content": content, **more}
    dump = {"kind": "request", "parts": [part]}
    (message,) = ModelMessagesTypeAdapter.validate_python([dump])
    return message.parts[0]


PNG = BinaryContent(b"\x00\xff", media_type="image/png")
MESSAGES: list[ModelMessage] = [
    request(SystemPromptPart("Be brief", timestamp=NOON), prompt("Hello")),
    request(SystemPromptPart("Be brief", timestamp=NOON)),
    request(prompt("")),
    request(prompt(["Look", ImageUrl("https://x.example/y.png"), PNG, "and say"])),
    request(prompt([])),
    request(prompt("One"), prompt(["Two", DocumentUrl("https://x.example/d.pdf")])),
    request(prompt("Hello"), instructions="Be kind", run_id="run", metadata={"a": 1}),
    request(),
    response(TextPart("Hi"), usage=RequestUsage(input_tokens=3, output_tokens=2)),
    response(),
    response(TextPart("One"), TextPart("Two"), provider_details={"a": [1, None]}),
    response(ThinkingPart("Hm", signature="s"), TextPart("Yes"), finish_reason="stop"),
    response(
        TextPart("Booking"),
        ToolCallPart("book", {"seat": 4}, "c1"),
        ToolCallPart("book", '{"seat": 5}', "c2"),
        ToolCallPart("look", None, "c3"),
    ),
    request(
        ToolReturnPart("book", {"row": [1]}, "c1", timestamp=NOON),
        retry("Not that", tool_name="book", tool_call_id="c2"),
        ToolReturnPart("look", None, "c3", timestamp=NOON),
        prompt("And?"),
    ),
    request(retry("Say more")),
    request(ToolReturnPart("", 2, "", timestamp=NOON)),
]


def test_every_message_comes_back_as_the_framework_reads_it_from_json(store):
    history = history_on(store)
    assert history.call("messages") == []
    history.call("extend", MESSAGES)
    found = history.call("messages")
    assert found == as_json_brings_it_back(MESSAGES)
    assert [type(message) for message in found] == [type(m) for m in MESSAGES]
    dumped = ModelMessagesTypeAdapter.dump_python(found)
    assert dumped == ModelMessagesTypeAdapter.dump_python(
        as_json_brings_it_back(MESSAGES)
    )


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_said = st.one_of(
    _text,
    st.lists(_text | st.builds(ImageUrl, st.just("https://x.example/y.png"))),
)
_asking = st.one_of(
    st.builds(prompt, _said),
    st.builds(SystemPromptPart, _text),
    st.builds(ToolReturnPart, _text, _json, _text),
    st.builds(retry, _text, tool_name=st.none() | _text),
)
_arguments = st.none() | _text | st.dictionaries(_text, _json, max_size=2)
_answering = st.one_of(
    st.builds(TextPart, _text),
    st.builds(ThinkingPart, _text),
    st.builds(ToolCallPart, _text, _arguments, _text),
)
_messages = st.one_of(
    st.lists(_asking, max_size=4).map(lambda parts: request(*parts)),
    st.lists(_answering, max_size=4).map(lambda parts: response(*parts)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_messages, max_size=4))
def test_whatever_messages_hold_comes_back_equal(messages):
    with holdfast.open(":memory:") as store:
        history = HoldfastHistory(store, "talk")
        try:
            history.extend(messages)
        except NotStorable:  # half of a character, which no text can carry
            assert "\\ud" in ascii(messages)
            messages = []
        assert history.messages() == as_json_brings_it_back(messages)


def test_messages_read_like_those_of_any_other_session(store):
    history = history_on(store)
    said = [
        request(SystemPromptPart("Be brief"), prompt("Book seat 4")),
        response(TextPart("Right away"), ToolCallPart("book", {"seat": 4}, "c1")),
        request(ToolReturnPart("book", "booked", "c1")),
        response(TextPart("Done")),
    ]
    history.call("extend", said)
    kept = list(store.sessions.history("talk"))
    call = {"type": "tool_use", "id": "c1", "name": "book", "input": {"seat": 4}}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "booked"}
    assert [(message.role, message.content) for message in kept] == [
        ("user", "Book seat 4"),
        ("assistant", [{"type": "text", "text": "Right away"}, call]),
        ("tool", [result]),
        ("assistant", "Done"),
    ]
    assert [calls_in(message) for message in kept] == [set(), {"c1"}, set(), set()]
    assert [answers_in(message) for message in kept] == [set(), set(), {"c1"}, set()]
    assert kept[0].id in {hit.id for hit in store.search("seat 4")}
    store.sessions.fork("talk", 2, new_id="fork")
    assert history_on(store, "fork").call("messages") == as_json_brings_it_back(
        said[:2]
    )
    assert "Right away" in store.sessions.render("talk")


def test_what_others_said_in_the_session_is_read_too_and_not_added_again(store):
    listed = {"id": "c1", "function": {"name": "book", "arguments": '{"seat": 4}'}}
    store.sessions.create(id="talk")
    for role, content, metadata in (
        ("developer", "Be brief", None),
        ("user", [{"type": "input_text", "text": "Book"}], {"from": "elsewhere"}),
        ("assistant", "", {"tool_calls": [listed]}),
        ("tool", "booked", {"tool_call_id": "c1"}),
        ("user", [{"type": "tool_result", "tool_use_id": "c9", "content": 7}], None),
        ("assistant", {"strange": True}, None),
    ):
        store.sessions.append("talk", role, content, metadata=metadata)
    history = history_on(store)
    found = history.call("messages")
    assert [message.kind for message in found] == [
        *("request", "request", "response"),
        *("request", "request", "response"),
    ]
    system, user, call, answer, other, strange = (m.parts[0] for m in found)
    assert (system.part_kind, system.content) == ("system-prompt", "Be brief")
    assert (user.part_kind, user.content) == ("user-prompt", "Book")
    assert (call.tool_name, call.args, call.tool_call_id) == (
        "book",
        '{"seat": 4}',
        "c1",
    )
    assert (answer.tool_name, answer.content, answer.tool_call_id) == (
        "book",
        "booked",
        "c1",
    )
    assert (other.part_kind, other.content) == ("tool-return", 7)
    assert strange.content == '{"strange":true}'
    history.call("extend", [*found, request(prompt("New"))])
    assert store.sessions.get("talk").message_count == 7
    history_on(store, "other").call("extend", found)
    assert store.sessions.get("other").message_count == 6


def test_a_message_that_was_amended_comes_back_amended(store):
    history = history_on(store)
    history.call("extend", [request(prompt("Hello")), response(TextPart("Hi"))])
    (first, second) = store.sessions.history("talk")
    store.sessions.amend("talk", first.id, "Hello there")
    store.sessions.amend("talk", second.id, ["not", {"what": "it was"}])
    asked, answered = history.call("messages")
    assert asked == request(prompt("Hello there"))
    assert answered.parts[0].content == "not"


def test_what_was_kept_is_not_added_again(store):
    history = history_on(store)
    twice = [*MESSAGES, MESSAGES[0]]
    history.call("extend", twice)
    history.call("extend", twice)
    history.call("extend", MESSAGES[3:])
    history.call("extend", history.call("messages"))
    assert history.call("messages") == as_json_brings_it_back(twice)


def test_a_part_of_a_form_that_is_not_known_yet_is_kept_whole():
    new = {"type": "text", "text": "Hello", "since": "a later version"}
    part = {"part_kind": "user-prompt", "content": [new, "there"]}
    dump = {"kind": "request", "parts": [part]}
    draft = _draft_of(dump, {})
    assert _together(draft["content"], draft["metadata"]["pydantic_ai"]) == dump


def test_what_is_not_quite_what_was_kept_is_told(store):
    history = history_on(store)
    history.call("extend", [request(prompt("Hello"))])
    with pytest.raises(AlreadyExists):
        history.call("extend", [request(prompt("Hello"), instructions="Be kind")])


def test_what_cannot_be_written_as_json_is_refused(store):
    history = history_on(store)
    wrong = response(ToolCallPart("book", {"seat": object()}, "c1"))
    with pytest.raises(NotStorable):
        history.call("extend", [request(prompt("Hello")), wrong])
    assert history.call("messages") == []


def test_clearing_leaves_the_session(store):
    history = history_on(store)
    history.call("clear")
    history.call("extend", MESSAGES)
    history.call("clear")
    assert history.call("messages") == []
    assert store.sessions.get("talk").message_count == 0


def agent_that_adds() -> Agent[None, str]:
    agent = Agent(TestModel(), instructions="Be kind", system_prompt="Be brief")
    tries: list[int] = []

    @agent.tool_plain
    def add(a: int, b: int) -> int:
        tries.append(a)
        if len(tries) == 1:
            raise ModelRetry("Once more")
        return a + b

    return agent


@pytest.fixture
def own_loop(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """The loop that `run_sync` finds, or it would leave one of its own open."""
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)


@pytest.mark.usefixtures("own_loop")
def test_runs_of_an_agent_go_on_from_what_was_kept(store):
    history, agent = history_on(store), agent_that_adds()
    for number in range(3):
        there = history.call("messages")
        if history.is_async:
            result = history.wait(agent.run(f"{number}?", message_history=there))
        else:
            result = agent.run_sync(f"{number}?", message_history=there)
        moment = store.moment()
        history.call("extend", result.new_messages())
        moved = {change.moment for change in store.journal.read(moment)}
        assert len(moved) == 1
        history.call("extend", result.all_messages())
        assert history.call("messages") == as_json_brings_it_back(result.all_messages())


def test_each_step_of_a_run_can_be_kept(store):
    history, agent = history_on(store), agent_that_adds()

    async def run() -> list[ModelMessage]:
        async with agent.iter("Add") as steps:
            async for _ in steps:
                await history.on.aextend(steps.all_messages())
        await history.on.aextend(steps.all_messages())
        return steps.all_messages()

    said = history.wait(run()) if history.is_async else asyncio.run(run())
    assert history.call("messages") == as_json_brings_it_back(said)
    assert len(said) > 4


def scripted(asked: list[int], *calls: ToolCallPart) -> FunctionModel:
    """A model that makes some calls of tools at once, and then says that it is done."""

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        asked.append(len(messages))
        if isinstance(messages[-1].parts[-1], UserPromptPart):
            return ModelResponse(parts=[*calls])
        return ModelResponse(parts=[TextPart("Booked")])

    return FunctionModel(model)


SEAT = ToolCallPart("book", {"seat": 4}, "c1")
KINDS = ["request", "response", "request", "response"]


def book(tx: Any, seat: int) -> str:
    """Book a seat."""
    return tx.tasks.create(f"Seat {seat}").description


async def go_on(
    history: Any, agent: Any, said: str | None = None, **options: Any
) -> Any:
    """Run an agent on what was kept, and keep what is new at the end, as one does."""
    there = await history.amessages()
    result = await agent.run(said, message_history=there, **options)
    await history.aextend(result.new_messages())
    return result.output


def test_a_run_that_is_killed_in_its_tool_goes_on_from_there(path):
    def agent_on(history: Any, asked: list[int], on_call: Any) -> Agent[None, str]:
        agent = Agent(scripted(asked, SEAT))
        once = history.tool_once(book)

        @agent.tool
        @functools.wraps(once)
        async def told(*args: Any, **kwargs: Any) -> Any:
            result = await once(*args, **kwargs)
            on_call()
            return result

        return agent

    def work(say):
        with holdfast.open(path) as store:

            def on_call() -> None:
                say("booked")
                threading.Event().wait()

            history = HoldfastHistory(store, "talk")
            asyncio.run(go_on(history, agent_on(history, [], on_call), "Book"))

    worker = Worker(work)
    worker.wait_for(1)
    worker.kill()
    asked: list[int] = []
    with holdfast.open(path) as store:
        history = HoldfastHistory(store, "talk")
        assert [message.kind for message in history.messages()] == KINDS[:2]
        agent = agent_on(history, asked, lambda: None)
        assert asyncio.run(go_on(history, agent)) == "Booked"
        assert asked == [3]
        assert [task.description for task in store.tasks.list()] == ["Seat 4"]
        assert [message.kind for message in history.messages()] == KINDS


def test_with_messages_in_a_file_it_would_book_twice():
    example = pages.ROOT / "examples" / "pydantic_ai_resume.py"
    done = subprocess.run(
        [sys.executable, example], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "messages in a file: the seat was booked 2 time(s)",
        "holdfast: the seat was booked 1 time(s)",
    ]


def test_what_a_run_has_said_is_kept_with_what_its_tool_does(store, loop):
    history = history_on(store)

    def book(tx: Any, context: RunContext[str], seat: int) -> str:
        """Book a seat.

        Args:
            seat: Its number.
        """
        return tx.tasks.create(f"Seat {seat} for {context.deps}").description

    other = ToolCallPart("book", {"seat": 4}, "c2")
    agent = Agent(scripted([], SEAT, other), deps_type=str)
    agent.tool(history.on.tool_once(book), require_parameter_descriptions=True)
    before = store.moment()
    loop.run_until_complete(go_on(history.on, agent, "Book", deps="Ada"))
    changes = [*store.journal.read(before)]
    first = {one.kind for one in changes if one.moment == changes[0].moment}
    assert first >= {"message", "task"}
    assert [message.kind for message in history.call("messages")] == KINDS
    booked = [task.description for task in store.tasks.list()]
    assert booked == ["Seat 4 for Ada"] * 2


def test_a_tool_outside_has_one_key_at_each_try_and_is_kept_before(store, loop):
    history = history_on(store)
    keys: list[str] = []

    async def pay(key: str, seat: int) -> str:
        keys.append(key)
        kinds = [message.kind for message in await history.on.amessages()]
        assert kinds == KINDS[:2]
        if len(keys) == 1:
            raise ConnectionResetError
        return "paid"

    agent = Agent(scripted([], ToolCallPart("pay", {"seat": 4}, "c1")))
    agent.tool(history.on.tool_once(pay))
    with pytest.raises(ConnectionResetError):
        loop.run_until_complete(go_on(history.on, agent, "Pay"))
    assert loop.run_until_complete(go_on(history.on, agent)) == "Booked"
    history.call("clear")
    assert loop.run_until_complete(go_on(history.on, agent, "Pay")) == "Booked"
    assert keys[0] == keys[1] != keys[2]
    assert {task.status for task in store.tasks.list()} == {"completed"}


def test_a_call_that_is_approved_twice_is_done_once(store, loop):
    history = history_on(store)
    agent = Agent(scripted([], SEAT), output_type=[str, DeferredToolRequests])
    agent.tool(history.on.tool_once(book), requires_approval=True)
    loop.run_until_complete(go_on(history.on, agent, "Book"))
    kept = history.call("messages")
    for _ in range(2):
        approved = DeferredToolResults(approvals={"c1": True})
        run = agent.run(message_history=kept, deferred_tool_results=approved)
        assert loop.run_until_complete(run).output == "Booked"
    assert len(store.tasks.list()) == 1


def test_a_tool_that_waits_for_approval_has_not_failed(store, loop):
    history = history_on(store)

    def pay(key: str, context: RunContext[None], seat: int) -> str:
        asyncio.run(asyncio.sleep(0))  # it has a thread of its own
        if not context.tool_call_approved:
            raise ApprovalRequired
        return "paid"

    outputs = [str, DeferredToolRequests]
    agent = Agent(scripted([], ToolCallPart("pay", {"seat": 4})), output_type=outputs)
    agent.tool(history.on.tool_once(pay))
    waiting = loop.run_until_complete(go_on(history.on, agent, "Pay"))
    (task,) = store.tasks.list()
    assert task.status == "waiting"
    approved = DeferredToolResults(approvals={waiting.approvals[0].tool_call_id: True})
    run = go_on(history.on, agent, deferred_tool_results=approved)
    assert loop.run_until_complete(run) == "Booked"
    assert store.tasks.get(task.id).result == "paid"


def test_only_what_is_new_in_a_run_is_kept_by_its_tool(loop):
    with holdfast.open(":memory:") as store:
        history = HoldfastHistory(store, "talk")
        agent = Agent(scripted([], SEAT))
        agent.tool(history.tool_once(book))
        before = [request(prompt("In short")), response(TextPart("so far"))]
        loop.run_until_complete(agent.run("Book", message_history=before))
        assert [message.kind for message in history.messages()] == KINDS[:2]


def test_a_tool_that_asks_for_another_try_has_done_nothing(store, loop):
    history = history_on(store)

    def book(tx: Any, seat: int) -> str:
        tx.tasks.create(f"Seat {seat}")
        raise ModelRetry("Another seat, please")

    agent = Agent(scripted([], SEAT))
    agent.tool(history.on.tool_once(book))
    assert loop.run_until_complete(go_on(history.on, agent, "Book")) == "Booked"
    assert list(store.tasks.list()) == []


def test_bytes_come_back_as_they_were(store):
    history = history_on(store)
    history.call("extend", [request(prompt([PNG]))])
    (kept,) = store.sessions.history("talk")
    assert kept.content[0]["data"] == base64.b64encode(PNG.data).decode()
    (found,) = history.call("messages")
    assert found.parts[0].content[0].data == PNG.data


MISSING = """
import sys
import holdfast
assert not {name for name in sys.modules if name.startswith("pydantic_ai")}
sys.modules["pydantic_ai.messages"] = None
try:
    import holdfast.integrations.pydantic_ai
except ImportError as error:
    print(error)
"""


def test_a_missing_framework_is_told_with_the_line_that_installs_it():
    done = subprocess.run(
        [sys.executable, "-c", MISSING], check=True, capture_output=True
    )
    assert 'pip install "holdfast[pydantic-ai]"' in done.stdout.decode()
