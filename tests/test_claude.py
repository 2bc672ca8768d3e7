"""The Claude Agent SDK on a store: its conformance suite, its entries, its loop."""

import asyncio
import importlib
import json
import subprocess
import sys
import uuid
from pathlib import Path

import claude_agent_sdk as sdk
import pytest
from claude_agent_sdk import ClaudeAgentOptions, ResultMessage, fold_session_summary
from claude_agent_sdk.testing import run_session_store_conformance
from hypothesis import given
from hypothesis import strategies as st

import holdfast
import pages
import scripted_claude
from conftest import ENGINES, FACES, store_on
from driving import Driven
from holdfast import Limits, errors
from holdfast.integrations.claude import HoldfastSessionStore, session_id_of
from killing import Worker

CONTRACTS = (
    "append, then load: the same entries in the same order",
    "an unknown key is None",
    "the order of calls",
    "append of nothing",
    "a subpath is apart from the main transcript",
    "a project is apart from others",
    "list_sessions gives those of a project",
    "list_sessions leaves subpaths out",
    "list_session_summaries",
    "delete",
    "delete takes what is below",
    "delete of a subpath",
    "list_subkeys",
    "list_subkeys leaves the main transcript out",
)
"""What the suite looks at, in its order: each on a store of its own."""
KEY = {"project_key": "-home-ada-trip", "session_id": str(uuid.UUID(int=1))}
BELOW = {**KEY, "subpath": "subagents/agent-1"}
ID = session_id_of(KEY)


@pytest.fixture
def run(loop):
    return loop.run_until_complete


@pytest.fixture
def claude(store):
    """Claude's session store, on the face that the store has."""
    return HoldfastSessionStore(store._target if isinstance(store, Driven) else store)


@pytest.fixture
def memory():
    with holdfast.open(":memory:") as opened:
        yield opened
        assert opened.check().problems == ()


@pytest.fixture(
    scope="module", params=[(e, f) for e in ENGINES for f in FACES], ids="-".join
)
def conformance(request, tmp_path_factory):
    """How many contracts the suite came to on a store, and what it said at the last."""
    engine, face = request.param
    with store_on(engine, tmp_path_factory.mktemp("conformance")) as target:
        opened = holdfast.open(target)
        made = []

        def make():
            mine = opened.owned_by(f"contract-{len(made)}")
            made.append(HoldfastSessionStore(mine if face == "sync" else mine.aio))
            return made[-1]

        failure = None
        try:
            asyncio.run(run_session_store_conformance(make))
        except AssertionError as error:
            failure = error
        report = opened.check()
        opened.close()
    assert report.problems == ()
    return len(made) - 1, failure  # the first is made to see what it has


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_suite_of_the_sdk_holds(conformance, contract):
    reached, failure = conformance
    number = CONTRACTS.index(contract) + 1
    if reached == number and failure is not None:
        raise failure
    assert reached >= number


def test_the_suite_has_no_contract_that_is_not_named_here(conformance):
    assert conformance == (len(CONTRACTS), None)


def said(role, content, number, **more):
    """An entry in which something is said, as Claude's program writes one."""
    return {
        "parentUuid": str(uuid.UUID(int=number - 1)) if number > 1 else None,
        "isSidechain": False,
        "userType": "external",
        "cwd": "/home/ada/trip",
        "type": role,
        "message": {"role": role, "content": content},
        "uuid": str(uuid.UUID(int=number)),
        "timestamp": f"2025-01-01T00:00:{number:02}.000Z",
        **more,
    }


USE = {"type": "tool_use", "id": "toolu_1", "name": "book", "input": {"to": "Rome"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "booked"}
ENTRIES = [
    {"type": "queue-operation", "operation": "enqueue", "content": "Where to?"},
    said("user", "Where did we stop?", 1),
    said("assistant", [{"type": "text", "text": "At the flight."}], 2),
    said("assistant", [USE], 3, requestId="req_1"),
    said("user", [RESULT], 4, toolUseResult={"stdout": "booked", "isImage": False}),
    said("assistant", [{"type": "thinking", "thinking": "Hm.", "signature": "s"}], 5),
    said("assistant", [{"type": "text", "text": "Done.", "citations": None}], 6),
    {**said("system", "", 7), "message": None, "content": "Compacted", "level": "info"},
    {"type": "file-history-snapshot", "messageId": "m", "snapshot": {"files": {}}},
    {"type": "summary", "summary": "A trip", "leafUuid": str(uuid.UUID(int=6))},
    {"type": "attachment", "attachment": {"type": "date"}, "uuid": "a/b\\c"},
    {"type": "user", "message": {"content": None}, "uuid": ""},
    {"type": "user", "message": {"role": "no role!", "content": {"odd": 1}}},
    {"type": "assistant", "message": "no object", "uuid": 5, "timestamp": "never"},
    {"type": "system", "content": None},
    {"type": "not a name", "timestamp": "0001-01-01T00:00:00+14:00", "uuid": ".."},
    {"type": "x", "uuid": "u" * 300, "timestamp": "9999-12-31T23:59:59-14:00"},
    said("user", [{"type": "text", "text": None}], 8),
    said("user", "half \ud83d", 9, halves=["\udc00"]),
    said("assistant", [{"type": "text", "text": "\udc00"}], 10),
    {"type": "cost-state", "total": float("inf"), "large": 10**30, "id": 1e308},
    {"type": "tag", "tag": "\ud800", "customTitle": "\ud800\x00 Trip"},
]


def test_every_entry_comes_back_equal(claude, store, run):
    run(claude.append(KEY, ENTRIES[:12]))
    run(claude.append(KEY, ENTRIES[12:]))
    assert run(claude.load(KEY)) == ENTRIES
    assert store.sessions.get(ID).message_count == len(ENTRIES)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=[]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "text", "type", "message", "claude"])
            | st.text(st.characters(exclude_categories=[]), max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
blocks = st.lists(
    st.fixed_dictionaries({"type": st.just("text"), "text": json_values})
    | st.just(USE)
    | json_values,
    max_size=2,
)
entries = st.fixed_dictionaries(
    {"type": st.sampled_from(["user", "assistant", "system", "summary", "x y"])},
    optional={
        "message": json_values
        | st.fixed_dictionaries(
            {"content": blocks | json_values},
            optional={"role": st.sampled_from(["user", "assistant"]) | json_values},
        ),
        "content": json_values,
        "timestamp": st.datetimes().map(str) | json_values,
        "more": json_values,
        "customTitle": json_values,
        "lastPrompt": json_values,
    },
)


@given(st.lists(entries, min_size=1, max_size=4))
def test_so_does_whatever_json_can_say(written):
    async def there_and_back():
        with holdfast.open(":memory:") as store:
            claude = HoldfastSessionStore(store)
            await claude.append(KEY, written)
            return await claude.load(KEY), await claude.list_session_summaries(
                KEY["project_key"]
            )

    loaded, (summary,) = asyncio.run(there_and_back())
    assert loaded == written
    assert json.dumps(loaded) == json.dumps(written)  # 1 is not 1.0, nor True
    fold_session_summary(summary, KEY, written)


def test_an_entry_that_is_there_is_not_there_twice(claude, run):
    batch = ENTRIES[1:7]
    run(claude.append(KEY, batch[:3]))
    run(claude.append(KEY, batch))
    run(claude.append(KEY, batch[2:5] + batch[2:5]))
    assert run(claude.load(KEY)) == batch
    other = said("user", "Something else", 1)
    run(claude.append(KEY, [other, said("user", "Go on", 20), other]))
    assert run(claude.load(KEY)) == [*batch, said("user", "Go on", 20)]
    run(claude.append({**KEY, "session_id": "fork"}, [other]))
    assert run(claude.load({**KEY, "session_id": "fork"})) == [other]


def test_one_without_a_uuid_is_added_each_time(claude, run):
    titled = {"type": "custom-title", "customTitle": "Trip"}
    run(claude.append(KEY, [titled, titled]))
    run(claude.append(KEY, [titled]))
    assert run(claude.load(KEY)) == [titled] * 3


def test_a_long_batch_is_added_whole(claude, run):
    batch = [{"type": "x", "uuid": f"u{n}", "n": n} for n in range(1_203)]
    run(claude.append(KEY, batch[700:900]))
    run(claude.append(KEY, batch))
    assert run(claude.load(KEY)) == batch[700:900] + batch[:700] + batch[900:]


def test_a_batch_is_there_whole_or_not_at_all(path, loop):
    big = {"type": "x", "text": "x" * 2_000}
    with holdfast.open(path, limits=Limits(value_bytes=1_000)) as store:
        claude = HoldfastSessionStore(store)
        before = store.journal.head()
        with pytest.raises(errors.TooLarge):
            loop.run_until_complete(claude.append(KEY, [ENTRIES[0], big]))
        assert store.journal.head() == before
        loop.run_until_complete(claude.append(KEY, ENTRIES[:1]))
        with pytest.raises(errors.TooLarge):
            loop.run_until_complete(claude.append(KEY, [*ENTRIES[1:3], big]))
        assert loop.run_until_complete(claude.load(KEY)) == ENTRIES[:1]


def test_one_call_is_one_transaction(memory, loop):
    claude = HoldfastSessionStore(memory)
    for batch in (ENTRIES[:4], ENTRIES[4:8]):
        before = memory.moment()
        loop.run_until_complete(claude.append(KEY, batch))
        changes = [c for c in memory.journal.read() if c.seq > before]
        assert {change.moment for change in changes} == {memory.moment()}


def test_an_empty_subpath_is_refused(claude, run):
    with pytest.raises(errors.WrongType, match="subpath"):
        run(claude.append({**KEY, "subpath": ""}, ENTRIES))
    assert run(claude.load(KEY)) is None


def test_a_transcript_reads_like_any_other_session(claude, store, run):
    run(claude.append(KEY, ENTRIES[:8]))
    read = [(m.role, m.content) for m in store.sessions.history(ID)]
    assert read == [
        ("queue-operation", None),
        ("user", "Where did we stop?"),
        ("assistant", "At the flight."),
        ("assistant", [USE]),
        ("user", [RESULT]),
        ("assistant", [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]),
        ("assistant", [{"type": "text", "text": "Done.", "citations": None}]),
        ("system", "Compacted"),
    ]
    first = store.sessions.messages(ID, 7)[0]
    assert first.id == ENTRIES[1]["uuid"]
    assert first.created_at.isoformat() == "2025-01-01T00:00:01+00:00"
    session = store.sessions.get(ID)
    assert session.title == "Where did we stop?"
    assert session.created_at == first.created_at
    assert len(store.search("flight")) == 1
    assert store.search("enqueue") == ()
    assert "calls book (toolu_1)" in store.sessions.render(ID)
    for most, shown in ((5, [4, 5, 6, 7, 8]), (4, [6, 7, 8])):  # no answer by itself
        context = store.sessions.context(ID, messages=most)
        assert [m.position for m in context] == shown


def test_a_session_is_called_as_its_user_calls_it(claude, store, run):
    asks = said("user", [{"type": "text", "text": "Plan\n the  week " + "x" * 200}], 2)
    notes = [
        said("user", "<command-name>/clear</command-name>", 1),
        said("user", "A caveat", 3, isMeta=True),
    ]
    run(claude.append(KEY, notes))
    assert store.sessions.get(ID).title == ""
    run(claude.append(KEY, [asks]))
    title = store.sessions.get(ID).title
    assert title.startswith("Plan the week xxx")
    assert len(title) == 100
    run(claude.append(KEY, [{"type": "custom-title", "customTitle": "Trip"}]))
    assert store.sessions.get(ID).title == "Trip"
    store.sessions.update(ID, title="Rome", metadata={"mine": 1}, tags=["mine"])
    run(claude.append(KEY, [said("assistant", "Well", 4)]))
    session = store.sessions.get(ID)
    assert (session.title, session.metadata["mine"]) == ("Rome", 1)
    assert "mine" in session.tags
    assert len(run(claude.list_sessions(KEY["project_key"]))) == 1


def test_a_subagent_may_come_before_the_main_transcript(claude, store, run):
    run(claude.append(BELOW, ENTRIES[:3]))
    assert run(claude.load(KEY)) is None
    assert run(claude.list_sessions(KEY["project_key"])) == []
    assert run(claude.list_subkeys(KEY)) == ["subagents/agent-1"]
    run(claude.append(KEY, ENTRIES[3:5]))
    below = store.sessions.get(session_id_of(BELOW))
    assert (below.parent, below.orphaned) == (ID, False)
    assert run(claude.load(BELOW)) == ENTRIES[:3]
    run(claude.delete(KEY))
    assert store.sessions.list() == holdfast.Page([])


def test_what_others_do_with_the_session_is_no_entry(claude, store, run):
    run(claude.append(KEY, ENTRIES[1:3]))
    fork = store.sessions.fork(ID)
    store.sessions.append(ID, "user", "A note", metadata={"mine": True})
    store.sessions.append(ID, "user", "Another")
    store.sessions.create("mine", parent=ID, tags=store.sessions.get(ID).tags)
    assert run(claude.load(KEY)) == ENTRIES[1:3]
    assert len(run(claude.list_sessions(KEY["project_key"]))) == 1
    assert run(claude.list_subkeys(KEY)) == []
    run(claude.delete(KEY))
    assert store.sessions.get(fork.id).message_count == 2
    assert run(claude.load(KEY)) is None


def test_what_is_amended_is_resumed_as_it_was_amended(claude, store, run):
    run(claude.append(KEY, ENTRIES[1:3]))
    store.sessions.amend(ID, ENTRIES[2]["uuid"], "At the hotel.")
    _, entry = run(claude.load(KEY))
    text = {"type": "text", "text": "At the hotel."}
    assert entry == {**ENTRIES[2], "message": {"role": "assistant", "content": [text]}}
    store.sessions.pop(ID)
    assert run(claude.load(KEY)) == ENTRIES[1:2]


def test_a_time_of_writing_is_the_stores(claude, store, run, clock):
    future = said("user", "Hm", 9, timestamp="2999-01-01T00:00:00Z")
    for batch in (ENTRIES[1:3], [future], ENTRIES[1:3]):
        clock.advance(60)
        run(claude.append(KEY, batch))
        now_ms = clock.now_us() // 1_000
        (listed,) = run(claude.list_sessions(KEY["project_key"]))
        (summary,) = run(claude.list_session_summaries(KEY["project_key"]))
        assert listed["mtime"] == summary["mtime"] == now_ms


def test_appends_at_once_lose_nothing(claude, run):
    async def many():
        batches = [
            [said("user", f"{n}", n + 1), {"type": "x", "lastPrompt": f"{n}"}]
            for n in range(20)
        ]
        await asyncio.gather(*(claude.append(KEY, batch) for batch in batches))
        return await claude.load(KEY)

    loaded = run(many())
    assert len(loaded) == 40
    (summary,) = run(claude.list_session_summaries(KEY["project_key"]))
    assert summary["data"] == fold_session_summary(None, KEY, loaded)["data"]


def test_many_sessions_are_listed(claude, run):
    keys = [{**KEY, "session_id": f"s{n}"} for n in range(105)]
    subpaths = [f"subagents/agent-{n}" for n in range(105)]

    async def fill():
        for key in keys:
            await claude.append(key, ENTRIES[:1])
        for subpath in subpaths:
            await claude.append({**KEY, "subpath": subpath}, ENTRIES[:1])

    run(fill())
    listed = run(claude.list_sessions(KEY["project_key"]))
    assert {one["session_id"] for one in listed} == {key["session_id"] for key in keys}
    assert run(claude.list_subkeys(KEY)) == subpaths
    run(claude.delete(KEY))
    assert run(claude.list_subkeys(KEY)) == []


texts = st.text(st.characters(exclude_categories=[]), max_size=120)
keys = st.fixed_dictionaries(
    {"project_key": texts, "session_id": texts},
    optional={"subpath": texts.filter(bool)},
)


@given(keys, keys)
def test_two_keys_never_have_one_id(one, other):
    assert (session_id_of(one) == session_id_of(other)) == (one == other)
    with holdfast.open(":memory:") as store:
        store.sessions.create(id=session_id_of(one))


def test_ids_that_are_alike_are_still_two(memory, loop):
    claude = HoldfastSessionStore(memory)
    alike = [
        {"project_key": "b", "session_id": "a:c"},
        {"project_key": "c:b", "session_id": "a"},
        {"project_key": "b", "session_id": "a", "subpath": "c"},
        {"project_key": "b/c", "session_id": "a"},
        {"project_key": "b", "session_id": "a", "subpath": "c/"},
        {"project_key": "p" * 300 + "1", "session_id": "a"},
        {"project_key": "p" * 300 + "2", "session_id": "a"},
    ]
    for number, key in enumerate(alike):
        loop.run_until_complete(claude.append(key, [{"type": "x", "n": number}]))
    for number, key in enumerate(alike):
        assert loop.run_until_complete(claude.load(key)) == [{"type": "x", "n": number}]
    (listed,) = loop.run_until_complete(claude.list_sessions("b"))
    assert listed["session_id"] == "a:c"


def test_an_exported_transcript_can_be_resumed_elsewhere(memory, tmp_path, loop):
    run = loop.run_until_complete
    run(HoldfastSessionStore(memory).append(KEY, ENTRIES))
    run(HoldfastSessionStore(memory).append(BELOW, ENTRIES[:3]))
    memory.sessions.export_to(tmp_path / "talk.jsonl", id=[ID, session_id_of(BELOW)])
    with holdfast.open(":memory:") as store:
        store.sessions.import_from(tmp_path / "talk.jsonl")
        elsewhere = HoldfastSessionStore(store)
        assert run(elsewhere.load(KEY)) == ENTRIES
        assert run(elsewhere.list_subkeys(KEY)) == ["subagents/agent-1"]
        assert len(run(elsewhere.list_sessions(KEY["project_key"]))) == 1


def test_the_past_can_be_loaded(memory, loop):
    run = loop.run_until_complete
    run(HoldfastSessionStore(memory).append(KEY, ENTRIES[:3]))
    moment = memory.moment()
    run(HoldfastSessionStore(memory).append(KEY, ENTRIES[3:]))
    then = HoldfastSessionStore(memory.as_of(moment))
    assert run(then.load(KEY)) == ENTRIES[:3]


def test_the_sdk_lists_reads_and_changes_what_is_here(claude, store, run, tmp_path):
    here = sdk.project_key_for_directory(str(tmp_path))
    key, id = {"project_key": here, "session_id": KEY["session_id"]}, KEY["session_id"]
    told = {"directory": str(tmp_path)}
    run(claude.append(key, ENTRIES[1:4]))
    run(claude.append({**key, "subpath": "subagents/agent-7"}, ENTRIES[1:3]))
    (info,) = run(sdk.list_sessions_from_store(claude, **told))
    assert (info.session_id, info.summary) == (id, "Where did we stop?")
    messages = run(sdk.get_session_messages_from_store(claude, id, **told))
    assert [m.type for m in messages] == ["user", "assistant", "assistant"]
    assert run(sdk.list_subagents_from_store(claude, id, **told)) == ["7"]
    run(sdk.rename_session_via_store(claude, id, "Trip", **told))
    run(sdk.tag_session_via_store(claude, id, "rome", **told))
    assert store.sessions.get(session_id_of(key)).title == "Trip"
    info = run(sdk.get_session_info_from_store(claude, id, **told))
    assert (info.custom_title, info.tag) == ("Trip", "rome")
    fork = run(sdk.fork_session_via_store(claude, id, **told))
    assert len(run(sdk.list_sessions_from_store(claude, **told))) == 2
    run(sdk.delete_session_via_store(claude, id, **told))
    (left,) = run(sdk.list_sessions_from_store(claude, **told))
    assert left.session_id == fork.session_id


def test_without_the_sdk_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "claude_agent_sdk", None)
    monkeypatch.delitem(sys.modules, "holdfast.integrations.claude")
    with pytest.raises(ImportError, match=r'pip install "holdfast\[claude\]"'):
        importlib.import_module("holdfast.integrations.claude")


@pytest.fixture
def program(tmp_path, monkeypatch):
    """What is started in the place of Claude's own program."""
    path = tmp_path / "claude"
    source = Path(scripted_claude.__file__).read_text()
    path.write_text(f"#!{sys.executable}\n{source}")
    path.chmod(0o700)
    monkeypatch.setenv("CLAUDE_AGENT_SDK_SKIP_VERSION_CHECK", "1")
    (tmp_path / "trip").mkdir()
    return path


async def talk(target, program, prompt, **options):
    """One turn with Claude on a store; what the SDK said in the end."""
    async with await holdfast.aopen(target) as store:
        config = {"CLAUDE_CONFIG_DIR": str(program.parent / "config")}
        chosen = ClaudeAgentOptions(
            cli_path=str(program),
            cwd=str(program.parent / "trip"),
            env=config | options.pop("env", {}),
            session_store=HoldfastSessionStore(store),
            session_store_flush="eager",
            **options,
        )
        async for message in sdk.query(prompt=prompt, options=chosen):
            last = message
        assert isinstance(last, ResultMessage)
        return last.session_id


def test_with_transcripts_in_files_it_would_book_twice():
    example = pages.ROOT / "examples" / "claude_resume.py"
    done = subprocess.run(
        [sys.executable, example], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == [
        "files: the seat was booked 2 time(s)",
        "holdfast: the seat was booked 1 time(s)",
    ], done.stderr


# Older SDKs leave a stream of theirs open.
@pytest.mark.filterwarnings("ignore:Exception ignored in. .function MemoryObject")
@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_a_run_that_is_killed_is_resumed_where_it_was(engine, program, tmp_path, loop):
    run = loop.run_until_complete
    with store_on(engine, tmp_path) as target:
        worker = Worker(lambda say: asyncio.run(_until_killed(target, program, say)))
        try:
            worker.wait_for(1)
            (id,) = worker.kill()
        finally:
            worker.close()
        with holdfast.open(target) as store:
            claude = HoldfastSessionStore(store)
            key = {**KEY, "session_id": id}
            key["project_key"] = sdk.project_key_for_directory(tmp_path / "trip")
            before = run(claude.load(key))
            assert before[-1]["message"]["content"][0]["type"] == "tool_use"
        (tmp_path / "config").rename(tmp_path / "lost")  # as on another machine
        assert run(talk(target, program, "And now?", resume=id)) == id
        with holdfast.open(target) as store:
            after = run(HoldfastSessionStore(store).load(key))
            roles = [m.role for m in store.sessions.history(session_id_of(key))]
            assert store.check().problems == ()
    assert after[: len(before)] == before
    chain = [entry for entry in after if "uuid" in entry]
    assert [e["parentUuid"] for e in chain[1:]] == [e["uuid"] for e in chain[:-1]]
    assert [role for role in roles if role != "queue-operation"] == [
        *("user", "assistant"),  # the question, the call; killed here
        *("user", "user", "assistant"),  # its end, the next question, the last word
    ]


async def _until_killed(target, program, say):
    """Talk until the call of a tool is in the store; say the session, and go on."""
    id = str(uuid.uuid4())
    key = {**KEY, "session_id": id}
    key["project_key"] = sdk.project_key_for_directory(program.parent / "trip")
    stops = {"CLAUDE_STOPS": "1"}
    talking = asyncio.create_task(
        talk(target, program, "Book Rome", session_id=id, env=stops)
    )
    async with await holdfast.aopen(target) as store:
        claude = HoldfastSessionStore(store)
        async for _ in store.journal.follow(0):
            there = await claude.load(key) or [{}]
            if there[-1].get("type") == "assistant":
                say(id)
                await talking
