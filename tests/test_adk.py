"""Google ADK: its sessions in a store, beside its own services and under its runner."""

import asyncio
import copy
import functools
import os
import random
import subprocess
import sys
import time
import warnings

import pytest
from google.adk import errors
from google.adk.agents import LlmAgent
from google.adk.apps.app import App, ResumabilityConfig
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions, EventCompaction
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.adk.sessions.session import Session
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.adk.tools import FunctionTool, ToolContext
from google.genai import types

import holdfast
import pages
from conftest import store_on
from cutting import Cut, Knife
from driving import Driven
from holdfast.errors import Held, NotStorable, Refused
from holdfast.integrations.adk import HoldfastSessionService
from holdfast.kinds.tool_calls import answers_in, calls_in
from killing import Worker

WHO = {"app_name": "travel", "user_id": "ada"}
TALK = {**WHO, "session_id": "s1"}
StaleSessionError = getattr(errors, "StaleSessionError", ValueError)
ID = HoldfastSessionService.id_of(**TALK)
START = 1_750_000_000.25


@pytest.fixture
def service(store, loop):
    """The service over a store of each engine and face, its calls awaited."""
    given = store._target if isinstance(store, Driven) else store
    return Awaited(HoldfastSessionService(given), loop)


class Awaited:
    """A service whose calls are awaited for the caller."""

    def __init__(self, service, loop):
        self._service = service
        self._loop = loop

    def __getattr__(self, name):
        call = getattr(self._service, name)
        return lambda *args, **kwargs: self._loop.run_until_complete(
            call(*args, **kwargs)
        )


def event(text=None, *, author="user", state=None, **fields):
    """An event that says a text, or changes a state."""
    actions = EventActions(state_delta=state or {})
    if text is not None:
        role = "user" if author == "user" else "model"
        fields["content"] = types.Content(role=role, parts=[types.Part(text=text)])
    return Event(author=author, invocation_id="i1", actions=actions, **fields)


def parts(*parts, author="agent", **fields):
    content = types.Content(role="model", parts=[*parts])
    return Event(author=author, invocation_id="i1", content=content, **fields)


def of_every_kind():
    """Events with everything that they are known to have."""
    part, call, answer = types.Part, types.FunctionCall, types.FunctionResponse
    return [
        event("Where to?"),
        event("A thought apart.", author="agent", turn_complete=True, branch="a.b"),
        event("", author="agent"),
        event(None, author="agent", state={"deep": {"a": [1, None]}, "none": None}),
        event("both", state={"user:x": 1, "app:y": "z", "mine": 0.1}),
        parts(),
        Event(author="agent", content=types.Content(role="model")),
        Event(author="agent", content=types.Content()),
        Event(author="agent", error_code="429", error_message="slow down"),
        parts(part(text="one"), part(text="two")),
        parts(part(text="hm", thought=True, thought_signature=b"\xff\x00\x01")),
        parts(part(text="signed", thought_signature=b"\x00")),
        parts(
            part(text="I'll book it."),
            part(function_call=call(id="c1", name="book", args={"to": "Rome"})),
            part(
                function_call=call(id="c2", name="pay", args={"sum": None}),
                thought_signature=b"s",
            ),
            long_running_tool_ids={"c2", "c1"},
        ),
        parts(
            part(function_response=answer(id="c1", name="book", response={"ok": True})),
            part(function_response=answer(id="c2", name="pay", response={"e": None})),
        ),
        parts(part(function_call=call(name="nameless"))),
        parts(part(function_call=call(id="c3"))),
        parts(part(function_call=call())),
        parts(part(function_response=answer(name="x", will_continue=True))),
        parts(part(inline_data=types.Blob(data=b"\x01\xff", mime_type="a/b"))),
        parts(part(file_data=types.FileData(file_uri="gs://x", mime_type="a/b"))),
        parts(
            part(executable_code=types.ExecutableCode(code="1+1", language="PYTHON"))
        ),
        parts(part(code_execution_result=types.CodeExecutionResult(output="2"))),
        parts(part()),
        parts(part(text="the type", video_metadata=types.VideoMetadata(fps=1.0))),
        Event(
            author="agent",
            actions=EventActions(
                skip_summarization=True,
                artifact_delta={"a.txt": 2},
                transfer_to_agent="other",
                escalate=False,
                end_of_agent=True,
                agent_state={},
                route=["a", 1, True],
                compaction=EventCompaction(
                    start_timestamp=1.5,
                    end_timestamp=2.5,
                    compacted_content=types.Content(
                        role="model", parts=[types.Part(text="in short")]
                    ),
                ),
            ),
            custom_metadata={"k": [1, {"x": None}]},
            usage_metadata=types.GenerateContentResponseUsageMetadata(
                total_token_count=3
            ),
            output={"answer": [1.5, None, "x"]},
            timestamp=12.000000123,
        ),
        event("an id of its own", id="event 1/ä…" + "x" * 300),
        event("before time", timestamp=-1e300),
    ]


def test_events_come_back_as_they_were(service):
    session, given = service.create_session(**TALK), of_every_kind()
    for one in given:
        service.append_event(session, one)
    found = service.get_session(**TALK)
    for kept, one in zip(found.events, given, strict=True):
        assert kept == one
    assert session.events == given
    assert found.state == session.state
    assert found.last_update_time == session.last_update_time == given[-1].timestamp


def test_a_session_of_adk_reads_like_any_other(store, service):
    session = service.create_session(**TALK)
    call = types.FunctionCall(id="c1", name="book", args={"to": "Rome"})
    answer = types.FunctionResponse(id="c1", name="book", response={"seat": "4A"})
    for one in (
        event("Book Rome"),
        parts(types.Part(function_call=call)),
        parts(types.Part(function_response=answer)),
        event("Booked.", author="agent", timestamp=START),
        event(author="agent", state={"done": True}),
    ):
        service.append_event(session, one)
    said = [*store.sessions.history(ID)]
    assert [(m.role, m.content) for m in said if isinstance(m.content, str)] == [
        ("user", "Book Rome"),
        ("assistant", "Booked."),
    ]
    assert said[4].content is None
    assert [m.role for m in said] == ["user", "assistant", "tool", "assistant", "event"]
    assert [m.id for m in said] == [one.id for one in session.events]
    assert said[3].created_at.timestamp() == START
    assert (calls_in(said[1]), answers_in(said[2])) == ({"c1"}, {"c1"})
    shown = [store.sessions.context(ID, messages=most)[0] for most in (3, 4)]
    assert [m.position for m in shown] == [4, 2]  # no answer without its call
    assert "calls book (c1)" in store.sessions.render(ID, "text")
    assert [hit.id for hit in store.search("booked", kinds=["message"])]
    assert store.sessions.get(ID).metadata["adk"]["state"] == {"done": True}


def test_what_something_else_wrote_is_an_event_too(store, service):
    service.create_session(**TALK)
    block = {"type": "tool_use", "id": "c1", "name": "book", "input": {"to": "Rome"}}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "4A"}
    for role, content in (
        ("user", "Book Rome"),
        ("assistant", [{"type": "text", "text": "I will."}, block]),
        (
            "tool",
            [result, "and", {"type": "strange"}, {"type": "tool_use", "input": 1}],
        ),
        ("assistant", {"a": 1}),
        ("assistant", 7),
        ("assistant", ""),
    ):
        store.sessions.append(ID, role, content)
    found = service.get_session(**TALK).events
    assert [one.author for one in found[:3]] == ["user", "assistant", "tool"]
    assert found[0].content == types.Content(
        role="user", parts=[types.Part(text="Book Rome")]
    )
    assert found[1].get_function_calls()[0].args == {"to": "Rome"}
    assert found[2].get_function_responses()[0].response == {"result": "4A"}
    texts = [part.text for one in found[2:] for part in one.content.parts or ()]
    wanted = [None, "and", '{"type": "strange"}', '{"type": "tool_use", "input": 1}']
    assert texts == [*wanted, '{"a": 1}', "7"]
    said = [*store.sessions.history(ID)]
    assert [one.timestamp for one in found] == [m.created_at.timestamp() for m in said]
    assert [one.id for one in found] == [m.id for m in said]


def test_a_message_that_was_changed_is_an_event_that_says_so(store, service):
    session = service.create_session(**TALK)
    one = service.append_event(session, event("My number is 1234"))
    two = service.append_event(
        session, parts(types.Part(text="a"), types.Part(text="b"))
    )
    store.sessions.amend(ID, one.id, "My number is …")
    store.sessions.amend(ID, two.id, "a")
    first, second = service.get_session(**TALK).events
    assert [part.text for part in first.content.parts] == ["My number is …"]
    assert [part.text for part in second.content.parts] == ["a"]
    assert first.model_copy(update={"content": one.content}) == one


def test_states_are_shared_as_far_as_their_prefix_says(service):
    state = {"own": 1, "user:name": "Ada", "app:rate": 2.5, "temp:now": True}
    first = service.create_session(**TALK, state=state)
    assert first.state == {"own": 1, "user:name": "Ada", "app:rate": 2.5}
    same_user = service.create_session(**WHO, session_id="s2")
    other_user = service.create_session(**TALK | {"user_id": "bob"})
    other_app = service.create_session(**TALK | {"app_name": "books"})
    assert same_user.state == {"user:name": "Ada", "app:rate": 2.5}
    assert other_user.state == {"app:rate": 2.5}
    assert other_app.state == {}
    delta = {"own": None, "user:name": "Ada L.", "app:rate": 3, "temp:x": 1, "new": [1]}
    kept = service.append_event(same_user, event("hi", state=delta))
    assert "temp:x" not in kept.actions.state_delta
    assert same_user.state["temp:x"] == 1
    shared = {"user:name": "Ada L.", "app:rate": 3}
    assert service.get_session(**TALK).state == {"own": 1, **shared}
    found = service.get_session(**WHO, session_id="s2")
    assert found.state == {"own": None, "new": [1], **shared}
    assert service.get_user_state(**WHO) == {"name": "Ada L."}
    assert service.get_user_state(app_name="travel", user_id="bob") == {}
    service.delete_session(**TALK)
    assert service.get_user_state(**WHO) == {"name": "Ada L."}
    assert service.create_session(**TALK).state == shared


def test_what_json_cannot_carry_of_a_state_is_kept_as_adk_keeps_it(service):
    at = START
    state = {"set": {1}, "tuple": (1, 2), "nan": float("nan"), "bytes": b"x", "at": at}
    found = service.create_session(**TALK, state=state).state
    assert found == {"set": [1], "tuple": [1, 2], "nan": None, "bytes": "x", "at": at}


def test_names_never_meet(service):
    names = ["a", "a:b", "b", ":", "%3A", "a%3Ab", "ä/\\\n.", "x" * 300, "x" * 301, "."]
    made = [(app, user, id) for app in names for user in names[:4] for id in names[:4]]
    made += [("a", "b", name) for name in names[4:]]
    for app, user, id in made:
        service.create_session(
            app_name=app, user_id=user, session_id=id, state={"is": [app, user, id]}
        )
    for app, user, id in made:
        found = service.get_session(app_name=app, user_id=user, session_id=id)
        assert found.state == {"is": [app, user, id]}
    for app in names:
        listed = service.list_sessions(app_name=app).sessions
        wanted = {(user, id) for name, user, id in made if name == app}
        assert {(one.user_id, one.id) for one in listed} == wanted
        assert [one.state["is"] for one in listed] == [
            [app, one.user_id, one.id] for one in listed
        ]
        listed = service.list_sessions(app_name=app, user_id="a:b").sessions
        assert {one.id for one in listed} == {
            id for user, id in wanted if user == "a:b"
        }


def test_a_session_has_an_id_that_is_free(service):
    made = service.create_session(**WHO, session_id="  s1 ")
    assert made.id == "s1"
    for id in ("s1", " s1"):
        with pytest.raises(AlreadyExistsError):
            service.create_session(**WHO, session_id=id, state={"user:x": 1})
    assert service.get_user_state(**WHO) == {}
    assert service.get_session(**WHO, session_id=" s1 ").id == "s1"
    assert len({service.create_session(**WHO, session_id=" ").id for _ in "ab"}) == 2
    assert service.get_session(**WHO, session_id="nobody") is None
    service.delete_session(**WHO, session_id=" s1 ")
    service.delete_session(**TALK)
    assert service.get_session(**TALK) is None


def test_only_a_copy_that_is_not_stale_is_added_to(store, service):
    mine = service.create_session(**TALK)
    theirs = service.get_session(**TALK)
    service.append_event(mine, event("one", state={"n": 1}))
    late = event("two", state={"n": 2, "user:n": 2, "temp:n": 2})
    with pytest.raises(StaleSessionError):
        service.append_event(theirs, late)
    assert theirs.events == []
    theirs = service.get_session(**TALK)
    assert theirs.state == {"n": 1}
    service.append_event(theirs, late)
    store.sessions.update(ID, title="Rome")  # what is not about its messages
    service.append_event(theirs, event("three"))
    store.sessions.pop(ID)
    with pytest.raises(StaleSessionError):
        service.append_event(theirs, event("four"))
    assert [m.content for m in store.sessions.history(ID)] == ["one", "two"]


def test_a_copy_without_a_marker_goes_by_its_last_event(service):
    mine = service.create_session(**TALK)
    service.append_event(mine, event("one", timestamp=START))
    copied = Session.model_validate(mine.model_dump())
    service.append_event(copied, event("two", timestamp=START + 1))
    behind = Session(**TALK_FIELDS, last_update_time=START)
    with pytest.raises(StaleSessionError):
        service.append_event(behind, event("three"))
    early = Session(**TALK_FIELDS, events=copied.events, last_update_time=START - 9)
    service.append_event(early, event("three", timestamp=START + 2))
    timely = Session(**TALK_FIELDS, last_update_time=START + 2)
    service.append_event(timely, event("four", timestamp=START + 3))
    assert len(service.get_session(**TALK).events) == 4


TALK_FIELDS = {"app_name": "travel", "user_id": "ada", "id": "s1"}


def test_a_listed_session_can_be_added_to(service):
    service.append_event(service.create_session(**TALK), event("one"))
    (listed,) = service.list_sessions(**WHO).sessions
    assert listed.events == []
    service.append_event(listed, event("two"))
    assert len(service.get_session(**TALK).events) == 2


def test_an_event_that_is_there_is_not_added_again(service):
    session = service.create_session(**TALK)
    before = copy.deepcopy(session)
    one = event("one", state={"n": 1, "user:n": 1})
    service.append_event(session, one)
    service.append_event(session, one)
    service.append_event(before, one)  # whose answer was lost, say
    assert before == session
    assert session.events == [one]
    service.append_event(before, event("two", state={"user:n": 2}))
    again = service.append_event(session, one)  # its copy is stale, and stays so
    assert again == one
    with pytest.raises(StaleSessionError):
        service.append_event(session, event("three"))
    with pytest.raises(AlreadyExistsError):
        service.append_event(before, event("else", id=one.id, state={"n": 2}))
    found = service.get_session(**TALK)
    assert [one.content.parts[0].text for one in found.events] == ["one", "two"]
    assert found.state == {"n": 1, "user:n": 2}


def test_a_session_that_is_not_there_takes_no_event(service):
    session = service.create_session(**TALK)
    service.delete_session(**TALK)
    with pytest.raises(SessionNotFoundError):
        service.append_event(session, event("one", state={"user:n": 1}))
    assert service.get_user_state(**WHO) == {}


def test_a_part_of_a_reply_is_not_kept(service):
    session = service.create_session(**TALK)
    service.append_event(session, event("o", partial=True, state={"n": 1}))
    assert session.events == service.get_session(**TALK).events == []


def test_what_is_held_or_cannot_be_kept_leaves_nothing(store, service):
    session = service.create_session(**TALK, state={"app:n": 1})
    lease = store.leases.acquire("sessions", ID, holder="other", seconds=60)
    with pytest.raises(Held):
        service.append_event(session, event("one", state={"app:n": 2, "n": 2}))
    store.leases.release("sessions", ID, fence=lease.fence)
    deep = functools.reduce(lambda inner, _: [inner], range(210), 0)
    with pytest.raises(NotStorable):
        service.append_event(session, event("one", state={"app:n": deep}))
    assert service.get_session(**TALK).state == {"app:n": 1}
    assert store.sessions.get(ID).message_count == 0


@pytest.mark.parametrize("engine", ["memory", "postgres"])
def test_an_event_and_its_states_are_there_or_not_at_all(engine, tmp_path, loop):
    delta = {"n": 2, "user:n": 2, "app:n": 2}
    with store_on(engine, tmp_path) as target, holdfast.open(target) as store:
        service, knife = Awaited(HoldfastSessionService(store), loop), Knife(store)
        session = service.create_session(
            **TALK, state={"n": 1, "user:n": 1, "app:n": 1}
        )
        for place in range(1, 100):
            before, copied = store.moment(), copy.deepcopy(session)
            try:
                with knife.before(place):
                    service.append_event(copied, event("two", state=delta))
            except Cut:
                assert store.moment() == before
                assert service.get_session(**TALK).state == session.state
            if not knife.fell:
                break
        assert place > 8
        assert service.get_session(**TALK).state == delta


def test_the_events_that_are_asked_for(service):
    session = service.create_session(**TALK)
    for n in range(120):
        service.append_event(session, event(f"m{n}", timestamp=START + n // 2))
    for wanted in (None, 0, 1, 50, 119, 120, 500):
        for since in (None, 0.0, START + 1.5, START + 58, START + 99):
            config = GetSessionConfig(num_recent_events=wanted, after_timestamp=since)
            found = service.get_session(**TALK, config=config)
            meant = session.events[120 - wanted if wanted in range(120) else 0 :]
            meant = [one for one in meant if one.timestamp >= (since or 0)]
            assert found.events == meant
            assert found.last_update_time == session.last_update_time
    service.append_event(found, event("on with it"))


def test_a_session_is_read_as_of_one_moment(service, loop):
    ours, session = service._service, service.create_session(**TALK)

    async def add():
        for n in range(30):
            state = {"n": n, "app:n": n}
            await ours.append_event(session, event(f"{n}", state=state))

    async def read(adding):
        while not adding.done():
            found = await ours.get_session(**TALK)
            if found.events:
                last = int(found.events[-1].content.parts[0].text)
                assert found.state == {"n": last, "app:n": last}
            (listed,) = (await ours.list_sessions(**WHO)).sessions
            assert listed.state.get("n", 0) >= len(found.events) - 1

    async def both():
        adding = asyncio.create_task(add())
        await asyncio.gather(adding, read(adding), read(adding))

    loop.run_until_complete(both())


def test_many_change_one_state_at_once_and_lose_nothing(service, loop):
    ours = service._service

    async def add(number):
        session = await ours.create_session(**WHO, session_id=f"s{number}")
        for n in range(4):
            state = {f"app:{number}.{n}": n, f"user:{number}.{n}": n}
            await ours.append_event(session, event("one", state=state))

    async def add_all():
        await asyncio.gather(*(add(number) for number in range(12)))

    loop.run_until_complete(add_all())
    wanted = {f"{number}.{n}": n for number in range(12) for n in range(4)}
    assert service.get_user_state(**WHO) == wanted
    found = service.get_session(**WHO, session_id="s0").state
    assert {k: v for k, v in found.items() if k.startswith("app:")} == {
        f"app:{name}": n for name, n in wanted.items()
    }


def test_a_service_over_the_past_reads_what_was_then(store, service, loop):
    session = service.create_session(**TALK, state={"n": 1, "app:n": 1})
    service.append_event(session, event("one"))
    given = store._target if isinstance(store, Driven) else store
    then = given.as_of(store.moment())
    if asyncio.iscoroutine(then):
        then = loop.run_until_complete(then)
    service.append_event(session, event("two", state={"n": 2, "app:n": 2}))
    past = Awaited(HoldfastSessionService(then), loop)
    found = past.get_session(**TALK)
    assert (found.events, found.state) == (session.events[:1], {"n": 1, "app:n": 1})
    assert past.list_sessions(**WHO).sessions[0].state == found.state
    with pytest.raises(Refused):
        past.append_event(found, event("three"))


def test_a_fork_under_an_id_of_adk_is_a_session_of_its_own(store, service):
    session = service.create_session(**TALK, state={"n": 1})
    service.append_event(session, event("one"))
    branch = {**WHO, "session_id": "branch"}
    store.sessions.fork(ID, new_id=HoldfastSessionService.id_of(**branch))
    store.sessions.fork(ID, new_id="apart")
    forked = service.get_session(**branch)
    assert forked.events == session.events
    service.append_event(forked, event("two", state={"n": 2}))
    service.append_event(session, event("three"))
    assert service.get_session(**TALK).state == {"n": 1}
    listed = service.list_sessions(**WHO).sessions
    assert sorted((one.id, one.state["n"]) for one in listed) == [
        ("branch", 2),
        ("s1", 1),
    ]


@pytest.mark.newer("the rules that ADK's own services have since 2.8")
def test_it_does_what_adks_own_services_do(service, clock, loop, tmp_path):
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    theirs = (
        Awaited(SqliteSessionService(str(tmp_path / "theirs")), loop),
        Awaited(InMemorySessionService(), loop),
    )
    compared = Compared(random.Random(seed), clock, (service, *theirs))
    for _ in range(80):
        compared.step()
    assert compared.stale or compared.added


class Compared:
    """The same operations, drawn by chance, on ours and on ADK's own services."""

    def __init__(self, chance, clock, services):
        self.chance = chance
        self.clock = clock
        self.services = services
        self.now = self.begun = time.time() + 60
        self.copies = []
        self.added = self.stale = 0

    def step(self):
        steps = [self.create, self.create, self.get, self.list, self.delete]
        self.chance.choice([*steps, *[self.append] * 6])()

    def same(self, name, **kwargs):
        """What all of them give, if it is the same; None if they refuse."""
        given = [copy.deepcopy(kwargs) for _ in self.services]
        found = [
            outcome(getattr(service, name), **mine)
            for service, mine in zip(self.services, given, strict=True)
        ]
        first, *others = map(self.seen, found)
        for other in others:
            assert first == other, name
        return None if isinstance(first, type) else found

    def seen(self, found):
        if isinstance(found, Session):
            updated = max(found.last_update_time, self.begun)
            return {**found.model_dump(), "last_update_time": updated}
        if hasattr(found, "sessions"):
            return [self.seen(one) for one in found.sessions]
        return found

    def who(self):
        return {
            "app_name": self.chance.choice("ab"),
            "user_id": self.chance.choice("uv"),
            "session_id": self.chance.choice("st"),
        }

    def state(self):
        names = ["x", "y", "app:x", "user:x", "user:y", "temp:x"]
        values = [None, 1, 0.1, "ä", [1, {"a": None}], {"b": {}}, True]
        chosen = self.chance.sample(names, self.chance.randrange(4))
        return {name: self.chance.choice(values) for name in chosen}

    def create(self):
        self.clock.advance(1)
        if made := self.same("create_session", **self.who(), state=self.state()):
            new = key_of(made[0])
            self.copies = [old for old in self.copies if key_of(old[0]) != new]
            self.copies.append(made)

    def get(self):
        config = GetSessionConfig(
            num_recent_events=self.chance.choice([None, 0, 1, 3]),
            after_timestamp=self.chance.choice([None, self.now - 5]),
        )
        found = self.same("get_session", **self.who(), config=config)
        if found[0] is not None:
            self.copies.append(found)

    def list(self):
        user = self.chance.choice([None, "u", "v"])
        self.same("list_sessions", app_name=self.chance.choice("ab"), user_id=user)
        self.same("get_user_state", app_name="a", user_id="u")

    def delete(self):
        if self.chance.random() < 0.3:
            self.same("delete_session", **self.who())

    def append(self):
        """Add to a copy; the service in memory, which takes stale ones, asks last."""
        if not self.copies:
            return
        copies = self.chance.choice(self.copies)
        self.now += self.chance.choice([0.001, 1.5])
        text = self.chance.choice([None, "hi"])
        given = event(text, state=self.state(), timestamp=self.now)
        found = []
        for service, held in zip(self.services, copies, strict=True):
            mine = given.model_copy(deep=True)
            found.append(outcome(service.append_event, held, mine))
            if found[-1] is StaleSessionError and len(found) == 2:
                break
        assert all(one == found[0] for one in found)
        if found[0] is StaleSessionError:
            self.stale += 1
            self.copies.remove(copies)
        elif found[0] is not SessionNotFoundError:
            self.added += 1
            assert self.seen(copies[0]) == self.seen(copies[1]) == self.seen(copies[2])


def key_of(session):
    return session.app_name, session.user_id, session.id


def outcome(call, *args, **kwargs):
    try:
        return call(*args, **kwargs)
    except (AlreadyExistsError, StaleSessionError, SessionNotFoundError) as error:
        return type(error)


class Scripted(BaseLlm):
    """A model that asks for a tool first, and then tells what came of it."""

    model: str = "scripted"
    call: str | None = None

    async def generate_content_async(self, llm_request, stream=False):
        said = [part for content in llm_request.contents for part in content.parts]
        if answer := said[-1].function_response:
            part = types.Part(text=f"Seat {answer.response['seat']}.")
        else:
            call = types.FunctionCall(id=self.call, name="book", args={"to": "Rome"})
            part = types.Part(function_call=call)
        yield LlmResponse(content=types.Content(role="model", parts=[part]))


async def travel(service, *tools, resumable=True, call=None, talk=TALK):
    """Run an agent that books by a tool, or have it go on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what resumes is an experiment of ADK's
        resuming = ResumabilityConfig(is_resumable=resumable)
        agent = LlmAgent(name="agent", model=Scripted(call=call), tools=[*tools])
        app = App(name="travel", root_agent=agent, resumability_config=resuming)
        runner = Runner(app=app, session_service=service)
        session = await service.get_session(**talk)
        if session is None:
            await service.create_session(**talk)
            asked = {"new_message": types.UserContent("Book Rome")}
        else:
            asked = {"invocation_id": session.events[-1].invocation_id}
        run = runner.run_async(user_id="ada", session_id=talk["session_id"], **asked)
        return [one async for one in run]


async def travel_once(target, say, *, wait):
    """Run an agent whose tool books a seat in the store, once for each call of it."""
    with holdfast.open(target) as store:
        service = HoldfastSessionService(store)
        once = service.tool_once(book)

        @functools.wraps(once)
        async def told(**given):
            seat = await once(**given)
            say(seat["seat"])
            if wait:
                await asyncio.Event().wait()
            return seat

        return await travel(service, told)


def book(tx, to: str) -> dict:
    """Book a seat."""
    task = tx.tasks.create(f"Fly to {to}")
    return {"seat": f"4A of {task.id}"}


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_an_agent_that_is_killed_in_its_tool_goes_on_and_books_once(engine, tmp_path):
    with store_on(engine, tmp_path) as target:
        worker = Worker(lambda say: asyncio.run(travel_once(target, say, wait=True)))
        try:
            worker.wait_for(1)
            (first,) = worker.kill()
        finally:
            worker.close()
        told = []
        asyncio.run(travel_once(target, told.append, wait=False))
        assert told == [first]  # the same call, and the same seat
        with holdfast.open(target) as store:
            assert len(store.tasks.list()) == 1
            said = [*store.sessions.history(ID)]
            roles = ["user", "assistant", "tool", "assistant", "event"]
            assert [message.role for message in said] == roles
            assert said[3].content == f"Seat {first}."
            assert calls_in(said[1]) == answers_in(said[2])
            assert store.check().problems == ()


def test_on_adks_own_sessions_it_would_book_twice():
    example = pages.ROOT / "examples" / "adk_resume.py"
    done = subprocess.run(
        [sys.executable, example], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "SqliteSessionService: the seat was booked 2 time(s)",
        "holdfast: the seat was booked 1 time(s)",
    ]


class Death(BaseException):
    """What nobody catches, as little as a process its end."""


def test_a_tool_outside_has_one_key_at_each_try(loop):
    keys = []

    async def book(key, to: str, context: ToolContext) -> dict:
        """Book a seat."""
        keys.append(key)
        assert context.session.id == "s1"
        if len(keys) == 1:
            raise Death
        return {"seat": f"{to} 4A"}

    with holdfast.open(":memory:") as store:
        service = HoldfastSessionService(store)
        tool = FunctionTool(service.tool_once(book))
        assert tool.description == "Book a seat."
        declared = tool._get_declaration().model_dump_json()
        assert '"to"' in declared
        assert '"key"' not in declared
        assert "context" not in declared
        with pytest.raises(Death):
            loop.run_until_complete(travel(service, tool))
        loop.run_until_complete(travel(service, tool))
        assert keys[0] == keys[1]
        (task,) = store.tasks.list()
        assert (task.id, task.status) == (keys[0], "completed")
        assert task.result == {"seat": "Rome 4A"}


def test_calls_of_two_sessions_are_two_whatever_their_ids(loop):
    with holdfast.open(":memory:") as store:
        service = HoldfastSessionService(store)
        tool = service.tool_once(book)
        for id in ("s1", "s2"):
            talk = {**TALK, "session_id": id}
            loop.run_until_complete(travel(service, tool, call="c1", talk=talk))
        assert len(store.tasks.list()) == 2


def test_an_app_that_cannot_resume_is_told_so(loop):
    with holdfast.open(":memory:") as store:
        service = HoldfastSessionService(store)
        tool = service.tool_once(book)
        with pytest.raises(Refused, match="ResumabilityConfig"):
            loop.run_until_complete(travel(service, tool, resumable=False))
        assert list(store.tasks.list()) == []


def test_without_adk_it_says_how_to_install_it():
    code = (
        "import sys; sys.modules['google.adk'] = None; import holdfast.integrations.adk"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode == 1
    assert 'pip install "holdfast[adk]"' in done.stderr
