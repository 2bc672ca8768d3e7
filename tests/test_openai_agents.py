"""The OpenAI Agents SDK on a store: its protocol, its items, its branches, its loop."""

import asyncio
import random
import subprocess
import sys

import pytest
from agents import (
    Agent,
    RunConfig,
    RunContextWrapper,
    Runner,
    RunState,
    SQLiteSession,
    ToolGuardrailFunctionOutput,
    UserError,
    function_tool,
    tool_output_guardrail,
)
from agents.extensions.memory import AdvancedSQLiteSession
from agents.memory import Session, SessionSettings

import holdfast
import pages
from driving import Driven
from holdfast.errors import AlreadyExists, NotFound, NotStorable, Refused, WrongType
from holdfast.integrations._openai_items import draft_of, item_of
from holdfast.integrations.openai_agents import HoldfastSession
from scripted_agents import ScriptedModel, calls, says

EXAMPLE = pages.ROOT / "examples" / "openai_agents_resume.py"
UNTRACED = RunConfig(tracing_disabled=True)


@pytest.fixture
def run(loop):
    return loop.run_until_complete


@pytest.fixture
def open_session(store):
    """Makes sessions of the SDK on the store, through the face that it has."""
    target = store._target if isinstance(store, Driven) else store

    def open_session(id="ada", **options):
        return HoldfastSession(id, target, **options)

    return open_session


@pytest.fixture
def memory():
    with holdfast.open(":memory:") as opened:
        yield opened
        assert opened.check().ok


ITEMS = [
    {"role": "user", "content": "Book seat 4."},
    {"content": "Be kind.", "role": "system"},
    {"role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
    {"role": "user", "content": [], "type": "message"},
    {"role": "user", "content": "", "type": "message", "status": "completed"},
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "What is this?"},
            {"type": "input_image", "detail": "auto", "image_url": "https://a.test/b"},
        ],
    },
    {"role": "user", "content": [{"type": "input_image", "file_id": "file_1"}]},
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "phase": "commentary",
        "content": [
            {"type": "output_text", "text": "Né ⟡", "annotations": [], "logprobs": []}
        ],
    },
    {
        "id": "msg_2",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [
            {"type": "output_text", "text": "One.", "annotations": [{"index": 1}]},
            {"type": "refusal", "refusal": "No."},
        ],
    },
    {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": "book",
        "arguments": '{"seat": 4}',
        "status": "completed",
    },
    {"type": "function_call", "call_id": "call_2", "name": "x", "arguments": "not {"},
    {"type": "function_call_output", "call_id": "call_1", "output": "booked"},
    {
        "type": "function_call_output",
        "call_id": "call_2",
        "output": [{"type": "input_text", "text": "no"}],
        "id": None,
    },
    {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "encrypted_content": "abc",
    },
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}},
    {"type": "computer_call", "call_id": "c1", "id": "cu_1", "action": {"x": 1.5}},
    {"type": "computer_call_output", "call_id": "c1", "output": {"image_url": "u"}},
    {"type": "local_shell_call_output", "id": "ls_1", "output": "{}"},
    {"type": "mcp_approval_response", "approve": True, "approval_request_id": "m1"},
    {"type": "item_reference", "id": "msg_0"},
    {"type": "compaction", "encrypted_content": "xyz"},
    {"type": "message", "role": "user", "content": {"not": "as usual"}},
    {"role": "critic", "content": "Hm."},
    {"role": "user", "content": None},
    {"role": 5, "type": ["odd"]},
    {"metadata": {"openai_agents": {}}},
    {},
]


def test_it_is_a_session_of_the_sdk(open_session):
    assert isinstance(open_session(), Session)


def test_every_item_comes_back_equal(open_session, run):
    session = open_session()
    run(session.add_items(ITEMS))
    assert run(open_session().get_items()) == ITEMS
    assert [run(session.pop_item()) for _ in ITEMS] == ITEMS[::-1]
    assert run(session.pop_item()) is None


@pytest.mark.parametrize("seed", range(20))
def test_so_does_what_nobody_has_thought_of(seed):
    chance = random.Random(seed)

    def value(depth=3):
        if depth and chance.random() < 0.5:
            return chance.choice(
                [[value(depth - 1) for _ in range(chance.randrange(3))], item(depth)]
            )
        return chance.choice(["text", "", "user", 1, -0.5, None, True, "message"])

    def item(depth=3):
        names = ["type", "role", "content", "text", "call_id", "output", "name", "id"]
        named = {name: value(depth - 1) for name in chance.sample(names, 4)}
        usual = {
            "role": chance.choice(["user", "assistant", "tool", "x"]),
            "type": chance.choice(["message", "function_call_output", "x_call"]),
        }
        return {
            **named,
            **dict(chance.sample(list(usual.items()), chance.randrange(3))),
        }

    with holdfast.open(":memory:") as store:
        store.sessions.create(id="s")
        for _ in range(100):
            made = item()
            store.sessions.extend("s", [draft_of(made)])
            assert item_of(store.sessions.messages("s", 1)[0]) == made


def test_what_is_kept_reads_like_any_conversation(memory):
    session = HoldfastSession("ada", memory)
    asyncio.run(session.add_items([ITEMS[0], *ITEMS[9:12:2], ITEMS[7]]))
    kept = [(m.role, m.content) for m in memory.sessions.history("ada")]
    assert kept == [
        ("user", "Book seat 4."),
        (
            "assistant",
            {
                "type": "function_call",
                "call_id": "call_1",
                "name": "book",
                "arguments": '{"seat": 4}',
            },
        ),
        (
            "tool",
            {"type": "function_call_output", "call_id": "call_1", "output": "booked"},
        ),
        ("assistant", "Né ⟡"),
    ]
    assert [hit.id for hit in memory.search("seat")] != []
    text = memory.sessions.render("ada")
    assert "calls book (call_1)" in text
    assert "result of call_1" in text
    context = memory.sessions.context("ada", messages=2)
    assert [m.role for m in context] == ["assistant", "tool", "assistant"][
        -len(context) :
    ]


def test_a_result_is_never_shown_to_a_model_without_its_call(memory):
    session = HoldfastSession("ada", memory)
    asyncio.run(session.add_items([ITEMS[0], ITEMS[9], ITEMS[11]]))
    context = memory.sessions.context("ada", messages=1)
    assert [m.role for m in context] == ["assistant", "tool"]


def test_what_others_said_in_the_session_is_an_item_too(memory):
    memory.sessions.create("A plan", id="ada")
    memory.sessions.append("ada", "user", "Hello", metadata={"from": "web"})
    session = HoldfastSession("ada", memory)
    asyncio.run(session.add_items([{"role": "assistant", "content": "Hi"}]))
    assert asyncio.run(session.get_items()) == [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
    ]
    assert memory.sessions.get("ada").title == "A plan"


def test_all_items_of_a_call_are_added_or_none(open_session, run, store):
    session = open_session()
    for bad, error in ((float("nan"), NotStorable), ({1, 2}, NotStorable)):
        with pytest.raises(error):
            run(session.add_items([ITEMS[0], {"type": "x", "value": bad}]))
    with pytest.raises(WrongType):
        run(session.add_items([ITEMS[0], "text"]))
    assert run(session.get_items()) == []
    with pytest.raises(NotFound):
        store.sessions.get("ada")
    head = store.journal.head()
    run(session.add_items(ITEMS))
    moments = {change.moment for change in store.journal.read(after=head)}
    assert len(moments) == 1


def test_nothing_is_there_before_the_first_item(open_session, run, store):
    session = open_session()
    assert run(session.get_items()) == []
    assert run(session.get_items(5)) == []
    assert run(session.pop_item()) is None
    run(session.add_items([]))
    run(session.clear_session())
    assert store.sessions.list() == holdfast.Page([])


def test_the_limit_is_the_calls_or_else_the_settings(tmp_path, run):
    with holdfast.open(tmp_path / "a.db", limits=holdfast.Limits(page=4)) as store:
        theirs = SQLiteSession("ada", tmp_path / "theirs.db")
        ours = HoldfastSession("ada", store)
        limited = HoldfastSession("ada", store, {"limit": 3})
        same = HoldfastSession("ada", store, session_settings=SessionSettings(limit=3))
        items = [{"role": "user", "content": str(n)} for n in range(11)]
        for session in (theirs, ours):
            run(session.add_items(items))
        for limit in (None, -1, 0, 1, 3, 4, 5, 8, 10, 11, 12, 100):
            wanted = run(theirs.get_items(limit))
            assert run(ours.get_items(limit)) == wanted, limit
            assert run(limited.get_items(limit)) == (
                items[-3:] if limit is None else wanted
            )
        assert run(same.get_items()) == items[-3:]
        theirs.close()


@pytest.mark.parametrize("seed", range(6))
def test_it_does_what_theirs_does(open_session, run, tmp_path, seed):
    """The same random calls on SQLiteSession and on ours give the same."""
    chance = random.Random(seed)
    theirs, ours = SQLiteSession("ada", tmp_path / "theirs.db"), open_session()
    for _ in range(60):
        name, *args = chance.choice(
            [
                ("add_items", chance.choices(ITEMS, k=chance.randrange(4))),
                ("get_items", chance.choice([None, 0, 1, 3, 50])),
                ("pop_item",),
                ("clear_session",) if chance.random() < 0.2 else ("get_items",),
            ]
        )
        wanted = run(getattr(theirs, name)(*args))
        assert run(getattr(ours, name)(*args)) == wanted
    assert run(ours.get_items()) == run(theirs.get_items())
    theirs.close()


# Branches.


def turn(n):
    return [
        {"role": "user", "content": f"Question {n}"},
        {"type": "function_call", "call_id": f"c{n}", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": f"c{n}", "output": "x"},
        {"role": "assistant", "content": f"Answer {n}"},
    ]


@pytest.mark.parametrize("seed", range(4))
def test_branches_do_what_theirs_do(open_session, run, tmp_path, seed):
    """The same random branching on theirs and on ours gives the same."""
    chance = random.Random(seed)
    theirs = AdvancedSQLiteSession(
        session_id="ada", db_path=tmp_path / "theirs.db", create_tables=True
    )
    ours = open_session()
    both = (theirs, ours)
    for session in both:
        run(session.add_items(turn(0) + turn(1)))
    for n in range(2, 20):
        turns = len(run(theirs.get_conversation_turns()))
        there = [branch["branch_id"] for branch in run(theirs.list_branches())]
        name, *args = _branching(chance, n, turns, sorted(there))
        for session in both:
            run(getattr(session, name)(*args))
        assert run(ours.get_items()) == run(theirs.get_items())
        assert _known(run(ours.list_branches())) == _known(run(theirs.list_branches()))
        wanted = run(theirs.find_turns_by_content("question"))
        found = run(ours.find_turns_by_content("question"))
        for one in (*wanted, *found):
            one.pop("timestamp")
        assert found == wanted
    theirs.close()


def _branching(chance, n, turns, there):
    """What to do next; no branch without an item, which theirs would forget."""
    act = chance.randrange(4)
    if act == 0 and turns > 1:
        return "create_branch_from_turn", chance.randrange(2, turns + 1), f"branch {n}"
    if act == 1:
        return "switch_to_branch", chance.choice(there)
    if act == 2 and there != ["main"]:
        name = chance.choice([name for name in there if name != "main"])
        return "delete_branch", name, True
    return "add_items", turn(n)


def _known(branches):
    names = ("branch_id", "message_count", "user_turns", "is_current")
    return sorted(tuple(branch[name] for name in names) for branch in branches)


def test_a_branch_is_a_fork(open_session, run, store):
    session = open_session()
    run(session.add_items(turn(1) + turn(2)))
    assert run(session.create_branch_from_content("question 2", "tea")) == "tea"
    run(session.add_items([{"role": "user", "content": "Tea?"}]))
    branch = store.sessions.get(session.stored_as)
    assert (branch.id, branch.parent, branch.forked_at) == ("ada:tea", "ada", 4)
    assert len(store.sessions.list(tag="branch-of:ada")) == 1
    run(session.switch_to_branch("main"))
    assert run(session.get_items()) == turn(1) + turn(2)
    assert run(session.create_branch_from_turn(1)) == "turn-1"
    assert run(session.get_items()) == []
    run(session.switch_to_branch("main"))
    assert run(session.create_branch_from_turn(1)) == "turn-1-2"
    names = [branch["branch_id"] for branch in run(session.list_branches())]
    assert names == ["main", "tea", "turn-1", "turn-1-2"]


def test_a_branch_outlives_the_one_that_it_began_on(open_session, run):
    session = open_session()
    run(session.add_items(turn(1) + turn(2) + turn(3)))
    run(session.create_branch_from_turn(3, "tea"))
    run(session.create_branch_from_turn(2, "cake"))
    run(session.delete_branch("tea"))
    assert run(session.get_items()) == turn(1)
    assert [b["branch_id"] for b in run(session.list_branches())] == ["main", "cake"]
    run(session.clear_session())
    assert session.branch == "main"
    assert [b["branch_id"] for b in run(session.list_branches())] == ["main"]
    assert run(session.get_items()) == []


def test_a_branch_that_cannot_be_is_refused(open_session, run):
    session = open_session()
    with pytest.raises(NotFound):
        run(session.create_branch_from_turn(1))
    run(session.add_items(turn(1)))
    for number in (0, -1, 2):
        with pytest.raises(NotFound):
            run(session.create_branch_from_turn(number))
    with pytest.raises(NotFound):
        run(session.create_branch_from_content("nobody said this"))
    for name in ("main", "tea"):
        run(session.create_branch_from_turn(1, "tea")) if name == "tea" else None
        run(session.switch_to_branch("main"))
        with pytest.raises(AlreadyExists):
            run(session.create_branch_from_turn(1, name))
    with pytest.raises(NotFound):
        run(session.switch_to_branch("nowhere"))
    with pytest.raises(NotFound):
        run(session.delete_branch("nowhere"))
    with pytest.raises(Refused):
        run(session.delete_branch("main"))
    run(session.switch_to_branch("tea"))
    with pytest.raises(Refused):
        run(session.delete_branch("tea"))
    run(open_session().delete_branch("tea"))
    for call in (session.get_items, session.pop_item):
        with pytest.raises(NotFound):
            run(call())
    with pytest.raises(NotFound):
        run(session.add_items(turn(2)))


# The SDK's own loop.


def test_a_real_run_is_kept_and_goes_on(open_session, run):
    seats = []

    @function_tool
    def book(seat: int) -> str:
        seats.append(seat)
        return f"seat {seat} is yours"

    model = ScriptedModel([calls("book", '{"seat": 4}'), says("Done."), says("Bye.")])
    agent = Agent("Clerk", model=model, tools=[book])
    for asked in ("Book seat 4.", "Thanks."):
        run(Runner.run(agent, asked, session=open_session(), run_config=UNTRACED))
    items = run(open_session().get_items())
    assert seats == [4]
    assert [item.get("role") or item["type"] for item in items] == [
        "user",
        "function_call",
        "function_call_output",
        "assistant",
        "user",
        "assistant",
    ]
    assert model.inputs[-1] == items[:-1]


def test_a_streamed_run_is_kept_alike(memory):
    model = ScriptedModel([says("Hello.")])

    async def talk():
        session = HoldfastSession("ada", memory)
        agent = Agent("Clerk", model=model)
        run = Runner.run_streamed(agent, "Hi", session=session, run_config=UNTRACED)
        async for _ in run.stream_events():
            pass
        return await session.get_items()

    first, second = asyncio.run(talk())
    assert first == {"role": "user", "content": "Hi"}
    assert second["content"][0]["text"] == "Hello."


# What a tool does.


class Dying(HoldfastSession):
    """A session whose process dies when its tools are done, before it adds the turn."""

    def __init__(self, id, store, turns=0):
        super().__init__(id, store)
        self.turns = turns

    async def add_items(self, items):
        if any(item.get("type") == "function_call_output" for item in items):
            self.turns -= 1
            if self.turns < 0:
                raise ConnectionResetError
        await super().add_items(items)


def book(tx, seat: int) -> str:
    """Book a seat."""
    return tx.tasks.create(f"Seat {seat}").id


def call(seat, id):
    return calls("book", f'{{"seat": {seat}}}', id)


async def talk(session, script, said=(), function=book, *, state=None, **options):
    """Have an agent go on, whose tool runs once; its result, and what it was shown."""
    tool = function_tool(
        session.tool_once(function), failure_error_function=None, **options
    )
    model = ScriptedModel(script)
    agent = Agent("Clerk", model=model, tools=[tool])
    said = await RunState.from_json(agent, state) if state else list(said)
    if state:
        said.approve(said.get_interruptions()[0])
    result = await Runner.run(agent, said, session=session, run_config=UNTRACED)
    return result, model.inputs


ASKED = {"role": "user", "content": "Book seat 4."}


def names(items):
    """Which items they are: the ids of calls and outputs, the roles of the others."""
    return [item.get("call_id") or item["role"] for item in items]


def test_a_tool_that_runs_once_is_shown_as_what_it_takes(memory, run):
    def book(tx, ctx: RunContextWrapper[str], seat: int, row: int = 4) -> str:
        """Book a seat.

        Args:
            seat: Its number.
        """
        return f"{ctx.context}: {tx.tasks.create(f'{row} {seat}').description}"

    session = HoldfastSession("ada", memory)
    tool = function_tool(session.tool_once(book), strict_mode=False)
    assert (tool.name, tool.description) == ("book", "Book a seat.")
    assert list(tool.params_json_schema["properties"]) == ["seat", "row"]
    assert tool.params_json_schema["required"] == ["seat"]
    model = ScriptedModel([call(7, "c1"), says("Done.")])
    agent = Agent("Clerk", model=model, tools=[tool])
    run(Runner.run(agent, "Hi", session=session, context="Ada", run_config=UNTRACED))
    assert model.inputs[1][-1]["output"] == "Ada: 4 7"


def test_what_a_killed_run_did_is_told_to_the_next(open_session, run, store):
    dying = Dying("ada", open_session()._store)
    with pytest.raises(ConnectionResetError):
        run(talk(dying, [call(4, "c1")], [ASKED]))
    (task,) = store.tasks.list()
    _, (shown,) = run(talk(open_session(), [says("Done.")]))
    assert names(shown) == ["user", "c1", "c1"]
    assert shown[2]["output"] == task.id
    said = [message.role for message in store.sessions.history("ada")]
    assert said == ["user", "assistant", "tool", "assistant"]
    run(talk(open_session(), [call(4, "c1"), says("Done.")]))  # it is another call
    assert len(store.tasks.list()) == 2


def test_a_call_is_told_in_the_transaction_of_its_effect(memory, run):
    before = memory.moment()
    with pytest.raises(ConnectionResetError):
        run(talk(Dying("ada", memory), [call(4, "c1")], [ASKED]))
    moments = {}
    for change in memory.journal.read(before):
        moments.setdefault(change.moment, set()).add(change.kind)
    assert list(moments.values())[-1] >= {"task", "message"}


def test_a_turn_of_which_calls_are_told_is_kept_as_the_sdk_has_it(
    open_session, run, store
):
    turn = [says("I book them."), call(4, "c1"), call(4, "c2"), call(5, "c3")]
    session = open_session()
    _, (_, shown) = run(talk(session, [turn, says("Done.")], [ASKED]))
    assert run(session.get_items())[:-1] == shown
    assert names(shown) == ["user", "assistant", *("c1", "c2", "c3") * 2]
    booked = [task.description for task in store.tasks.list()]
    assert sorted(booked) == ["Seat 4", "Seat 4", "Seat 5"]
    assert session._keys == {}  # it does not grow


def test_a_streamed_run_that_is_killed_later_has_kept_its_turns(memory, run):
    async def stream(session, script, said):
        tool = function_tool(session.tool_once(book), failure_error_function=None)
        model = ScriptedModel(script)
        agent = Agent("Clerk", model=model, tools=[tool])
        run = Runner.run_streamed(agent, said, session=session, run_config=UNTRACED)
        async for _ in run.stream_events():
            pass
        return model.inputs

    dying = Dying("ada", memory, turns=1)
    with pytest.raises(ConnectionResetError):
        run(stream(dying, [call(4, "c1"), call(5, "c2")], [ASKED]))
    session = HoldfastSession("ada", memory)
    (shown,) = run(stream(session, [says("Done.")], []))
    assert names(shown) == ["user", "c1", "c1", "c2", "c2"]
    assert len(memory.tasks.list()) == 2


def test_what_others_said_meanwhile_comes_behind(open_session, run, store):
    other = open_session()

    class Interrupted(HoldfastSession):
        async def add_items(self, items):
            if len(items) > 1:
                await other.add_items([{"role": "user", "content": "Hurry!"}])
            await super().add_items(items)

    session = Interrupted("ada", other._store)
    turn = [says("I book them."), call(4, "c1"), call(4, "c2")]
    run(talk(session, [turn, says("Done.")], [ASKED]))
    told = ["assistant", *("c1", "c2") * 2]
    assert names(run(other.get_items())) == ["user", *told, "user", "assistant"]


def test_what_is_still_being_said_stays_where_it_is(memory, run):
    session = HoldfastSession("ada", memory)
    with pytest.raises(ConnectionResetError):
        run(talk(Dying("ada", memory), [[call(4, "c1"), call(5, "c2")]], [ASKED]))
    turn = run(session.get_items())
    first, second = turn[1:3], turn[3:]
    run(session.add_items(first))
    assert run(session.get_items()) == [ASKED, *first, *second]
    session._keys = {second[0]["call_id"]: ""}
    with memory.sessions.reply("ada") as reply:
        reply.add("Hm")
        run(session.add_items(second))
    said = run(session.get_items())
    assert names(said) == [*names(turn), "assistant", *names(second)]


def test_a_tool_whose_output_is_guarded_is_done_once_and_not_told(memory, run):
    @tool_output_guardrail
    def guard(data):
        return ToolGuardrailFunctionOutput.reject_content("secret")

    options = {"tool_output_guardrails": [guard]}
    turn = [[call(4, "c1"), call(4, "c2")]]
    with pytest.raises(ConnectionResetError):
        run(talk(Dying("ada", memory), turn, [ASKED], **options))
    session = HoldfastSession("ada", memory)
    assert run(session.get_items()) == [ASKED]
    again = calls("book", '{"seat":4}', "c3")
    run(talk(session, [[again, call(4, "c4"), call(5, "c5")], says("Ok")], **options))
    assert len(memory.tasks.list()) == 3
    outputs = [item.get("output", "secret") for item in run(session.get_items())]
    assert set(outputs) == {"secret"}
    for _ in range(2):  # a model that does not give its calls ids of their own
        run(talk(session, [call(6, "c1"), says("Ok")], [ASKED], **options))
    turns = ["user", "c1", "c1", "assistant"] * 2
    assert names(run(session.get_items()))[-8:] == turns


def test_a_tool_outside_has_the_same_key_when_the_model_asks_anew(memory, run):
    keys = []

    async def book(key, seat: int) -> str:
        keys.append(key)
        if len(keys) < 3:
            raise ConnectionResetError
        return f"{len(keys)}"

    session = HoldfastSession("ada", memory)
    for script, said in (([call(4, "c1")], [ASKED]), ([call(4, "c2")], [])):
        with pytest.raises(UserError):
            run(talk(HoldfastSession("ada", memory), script, said, book))
    run(talk(session, [call(4, "c3"), call(4, "c4"), says("Ok")], (), book))
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert [task.status for task in memory.tasks.list()] == ["completed"] * 2


def test_a_state_that_is_resumed_twice_does_it_once(memory, run):
    session, options = HoldfastSession("ada", memory), {"needs_approval": True}
    turn = [call(4, "c1"), says("If I may.")]
    result, _ = run(talk(session, [turn], [ASKED], **options))
    state = result.to_state().to_json()
    for kind in (Dying, HoldfastSession):
        talked = talk(kind("ada", memory), [says("Ok")], state=state, **options)
        try:
            run(talked)
        except ConnectionResetError:
            assert kind is Dying
    assert len(memory.tasks.list()) == 1
    turn = ["c1", "assistant", "c1"]
    assert names(run(session.get_items())) == ["user", *turn, "assistant"]


def test_a_tool_that_fails_has_told_and_done_nothing(memory, run):
    def book(tx, seat: int) -> str:
        tx.tasks.create("Seat 4")
        raise LookupError

    session = HoldfastSession("ada", memory)
    with pytest.raises(UserError):
        run(talk(session, [call(4, "c1")], [ASKED], book))
    assert run(session.get_items()) == [ASKED]
    assert list(memory.tasks.list()) == []


def test_a_branch_has_calls_of_its_own(memory, run):
    session = HoldfastSession("ada", memory)
    run(talk(session, [call(4, "c1"), says("Ok")], [ASKED]))
    run(session.create_branch_from_turn(1, "tea"))
    run(talk(session, [call(4, "c1"), says("Ok")], [ASKED]))
    assert len(memory.tasks.list()) == 2
    run(session.delete_branch("tea", force=True))
    session.branch = "tea"
    with pytest.raises((NotFound, UserError)):
        run(talk(session, [call(4, "c1")]))


def test_an_agent_that_is_killed_in_a_tool_goes_on_and_books_once():
    done = subprocess.run(
        [sys.executable, EXAMPLE], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "SQLiteSession: the seat was booked 2 time(s)",
        "holdfast: the seat was booked 1 time(s)",
    ]


def test_without_the_sdk_it_says_what_to_install():
    code = (
        "import sys; sys.modules['agents'] = None\n"
        "import holdfast.importers.openai_agents\n"
        "import holdfast.integrations.openai_agents"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert 'pip install "holdfast[openai-agents]"' in done.stderr
