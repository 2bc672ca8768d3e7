"""Importing chat transcripts: every form, nothing twice, nothing lost or silent."""

import codecs
import io
import itertools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import holdfast
from holdfast.errors import CannotOpen, HoldfastError, StorageFull
from holdfast.importers import chat_files, chat_items, intake, json_stream
from holdfast.importers.chat import as_chat, import_chat
from holdfast.importers.identity import Tally
from holdfast.importers.report import NAMED_AT_MOST

CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "book", "arguments": '{"seat": 4}'},
        }
    ],
}
RESULT = {"role": "tool", "tool_call_id": "call_1", "name": "book", "content": "ok"}


def said(text, role="user"):
    return {"role": role, "content": text}


TALK = [said("You are kind.", "system"), said("Book seat 4."), CALL, RESULT]
OTHER = [said("Hello?"), said("Hello!", "assistant")]


@pytest.fixture
def store(tmp_path):
    with holdfast.open(tmp_path / "store.db") as opened:
        yield opened
        assert opened.check().ok


@pytest.fixture
def bring(store, tmp_path):
    """Import what a file of that content holds; the report."""

    def bring(content, name="talks.json", **options):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else text(content))
        return import_chat(store, file, **options)

    return bring


def text(value, **options):
    return json.dumps(value, **options).encode()


def lines(*values):
    return b"".join(text(value) + b"\n" for value in values)


def kept(store):
    """What the store has: per session, oldest first, its messages as chat messages."""
    sessions = reversed(store.sessions.list(limit=1000))
    return [[as_chat(m) for m in store.sessions.history(s.id)] for s in sessions]


def positions(report):
    return [what.position for what in report.set_aside]


FORMS = {
    "a list of messages": (text(TALK), [TALK]),
    "a list of messages, indented": (text(TALK, indent=2), [TALK]),
    "a list of objects": (text([{"messages": TALK}, {"traj": OTHER}]), [TALK, OTHER]),
    "a list of lists": (text([TALK, OTHER]), [TALK, OTHER]),
    "one object": (text({"messages": TALK}), [TALK]),
    "one object, indented": (text({"traj": TALK}, indent=1), [TALK]),
    "lines of objects": (lines({"messages": TALK}, {"traj": OTHER}), [TALK, OTHER]),
    "lines of messages": (lines(*TALK), [TALK]),
    "lines of lists": (lines(TALK, OTHER), [TALK, OTHER]),
    "one line of a message": (text(OTHER[0]), [OTHER[:1]]),
    "several documents": (text(TALK, indent=1) + text(OTHER), [TALK, OTHER]),
    "several objects, indented": (
        text({"messages": TALK}, indent=1) + text({"messages": OTHER}, indent=1),
        [TALK, OTHER],
    ),
    "a byte order mark": (codecs.BOM_UTF8 + text(TALK), [TALK]),
    "lines with CRLF, blank ones too": (
        lines(*TALK).replace(b"\n", b"\r\n\r\n"),
        [TALK],
    ),
    "no line end at the end": (lines(*TALK).rstrip(), [TALK]),
    "messages and conversations mixed": (
        lines(OTHER[0], {"messages": TALK}, OTHER[1]),
        [OTHER, TALK],
    ),
    "a conversation without messages": (text([{"messages": []}]), [[]]),
    "an empty list": (b"[]", []),
    "an empty file": (b"", []),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_transcript_goes_in_and_comes_back_equal(form, store, bring):
    content, talks = FORMS[form]
    report = bring(content)
    assert kept(store) == talks
    assert report.set_aside == ()
    assert (report.sessions, report.messages) == (len(talks), sum(map(len, talks)))
    assert report.added == report.messages


@pytest.mark.parametrize("form", FORMS)
def test_twice_adds_nothing_under_another_name_either(form, store, bring):
    content, talks = FORMS[form]
    bring(content)
    head = store.journal.head()
    report = bring(content, name="a copy.json")
    assert store.journal.head() == head
    assert (report.added, report.sessions_added) == (0, 0)
    assert report.already_there == report.messages == sum(map(len, talks))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chunk", [1, 7])
def test_what_is_too_long_to_hold_is_read_piecewise_to_the_same_end(
    form, chunk, store, bring, monkeypatch
):
    content, talks = FORMS[form]
    bring(content)
    head = store.journal.head()
    for module in (chat_items, chat_files):
        monkeypatch.setattr(module, "WHOLE_BYTES", 40)
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", chunk)
    report = bring(content)
    assert store.journal.head() == head
    assert report.set_aside == ()
    assert report.messages == sum(map(len, talks))


@pytest.mark.parametrize(
    "message",
    [
        said("hi"),
        {"role": "user"},
        {"role": "user", "content": None},
        {"role": "user", "content": ""},
        {"role": "user", "content": {}},
        {"role": "user", "content": []},
        {"role": "user", "content": [{"type": "text", "text": "Look:"}, {"n": 1.5}]},
        {"role": "user", "content": "absent", "metadata": {"content": "absent"}},
        {"role": "user", "content": 123456789012345678901234567890},
        {"role": "user", "content": "\x00 \u2028 \U0001f600 é"},
        {"role": "tool", "content": "x", "id": "7", "created_at": 1, "": None},
        {"role": "assistant", "tool_calls": []},
        CALL,
        RESULT,
    ],
)
def test_a_message_comes_back_equal_down_to_its_absent_keys(message, store, bring):
    bring([message])
    assert kept(store) == [[message]]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False,
    allow_infinity=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.text(st.characters(codec="utf-8")), JSON),
                max_size=4))  # fmt: skip
def test_any_message_comes_back_equal(tmp_path_factory, messages):
    messages = [{**message, "role": "user"} for message in messages]
    file = tmp_path_factory.mktemp("any") / "talk.json"
    file.write_bytes(text([{"messages": messages}]))
    with holdfast.open(":memory:") as store:
        report = import_chat(store, file)
        assert report.set_aside == ()
        assert kept(store) == [messages]


def test_all_other_fields_of_a_conversation_are_its_metadata(store, bring):
    fields = {"task_id": 3, "trial": 1, "reward": 0.5, "info": {"a": [None]}}
    bring([fields | {"traj": TALK}])
    (session,) = store.sessions.list()
    assert session.metadata == fields
    assert session.id.startswith("task-3-trial-1-")


def test_a_conversation_is_titled_by_itself_or_by_what_its_user_said(store, bring):
    long = "word " * 40
    bring(
        [
            {"messages": OTHER, "title": "Own title"},
            {"messages": TALK},
            {"messages": [said([{"type": "text", "text": "In\nparts\x1b[31m"}])]},
            {"messages": [said(long)]},
            {"messages": [said("unasked", "assistant")]},
        ]
    )
    titles = [session.title for session in store.sessions.list()]
    unasked, short, parts, first, own = titles
    assert (unasked, parts, first, own) == ("", "In parts [31m", "Book seat 4.",
                                            "Own title")  # fmt: skip
    assert long.startswith(short[:-1])
    assert len(short) <= 80
    assert short.endswith("…")


@pytest.mark.parametrize("key", ["session_id", "conversation_id", "thread_id", "id"])
def test_a_conversations_own_id_is_its_sessions_id(key, store, bring):
    bring([{key: "talk-1", "messages": TALK}])
    assert store.sessions.get("talk-1").message_count == len(TALK)


@pytest.mark.parametrize("id", ["", "../up", "a" * 201, 7, None, ["x"], True, 1.5])
def test_an_id_that_no_session_can_have_is_kept_as_metadata_only(id, store, bring):
    report = bring([{"id": id, "messages": TALK}])
    (session,) = store.sessions.list()
    assert session.metadata == {"id": id}
    assert session.id.startswith("chat-")
    assert report.set_aside == ()


def test_a_conversation_that_has_grown_adds_only_what_is_new(store, bring):
    bring([{"id": "t", "messages": TALK, "exported": 1}])
    report = bring([{"id": "t", "messages": TALK + OTHER, "exported": 2}])
    assert kept(store) == [TALK + OTHER]
    assert (report.added, report.already_there) == (len(OTHER), len(TALK))


def test_a_chat_log_that_grows_adds_only_what_is_new_to_a_named_session(store, bring):
    bring(lines(*TALK), session="log")
    report = bring(lines(*TALK, *OTHER), session="log")
    assert kept(store) == [TALK + OTHER]
    assert report.added == len(OTHER)


def test_equal_conversations_in_one_file_are_kept_each(store, bring):
    content = [{"messages": OTHER}, OTHER, {"messages": TALK}, {"messages": OTHER}]
    bring(content)
    assert kept(store) == [OTHER, OTHER, TALK, OTHER]
    assert bring(content).added == 0


def test_items_that_moved_or_went_away_are_still_known(store, bring):
    talks = [[said(f"talk {n}")] for n in range(5)]
    bring(talks)
    shuffled = [{"messages": talks[n]} for n in (4, 1, 3)]
    assert bring(text(shuffled, indent=1)).added == 0
    assert bring(lines(*shuffled)).added == 0


def test_the_form_of_a_file_is_not_part_of_a_conversation(store, bring):
    bring(text(TALK, indent=4))
    for content in (lines(*TALK), text({"messages": TALK}), text([TALK])):
        report = bring(content)
        assert (report.added, report.already_there) == (0, len(TALK))


def test_sessions_come_in_the_order_of_the_file(store, bring):
    talks = [[said(f"talk {n}")] for n in range(30)]
    bring(talks)
    assert kept(store) == talks


@pytest.mark.parametrize("cut_at", range(1, 8))
@pytest.mark.parametrize("content", [
    text([{"messages": [said(f"{t}.{m}") for m in range(5)]} for t in range(4)]),
    text([said(str(m)) for m in range(20)]),
    lines(*[said(str(m)) for m in range(20)]),
    text({"traj": [said(str(m)) for m in range(20)]}),
])  # fmt: skip
def test_an_interrupted_import_is_finished_by_the_next(
    content, cut_at, store, bring, tmp_path, monkeypatch
):
    monkeypatch.setattr(intake, "BATCH_MESSAGES", 3)
    calls = itertools.count(1)

    def interrupt(_read, _total, _messages):
        if next(calls) == cut_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring(content, on_progress=interrupt)
    bring(content)
    with holdfast.open(":memory:") as other:
        import_chat(other, tmp_path / "talks.json")
        assert kept(store) == kept(other)
    assert bring(content).added == 0


def test_a_store_that_fails_ends_the_import_and_the_next_run_finishes_it(
    store, bring, monkeypatch
):
    monkeypatch.setattr(intake, "BATCH_MESSAGES", 2)
    run, calls = store.run, itertools.count()

    def fail(*args, **options):
        if next(calls) == 1:
            raise StorageFull("the disk is full")
        return run(*args, **options)

    monkeypatch.setattr(type(store), "run", lambda self, *a, **o: fail(*a, **o))
    with pytest.raises(StorageFull):
        bring([TALK, OTHER])
    bring([TALK, OTHER])
    assert kept(store) == [TALK, OTHER]


def test_killed_at_any_moment_the_next_run_finishes_it(tmp_path):
    talks = [[said(f"{t}.{m}") for m in range(20)] for t in range(200)]
    file, path = tmp_path / "talks.json", tmp_path / "store.db"
    file.write_bytes(text(talks))
    code = (
        "import sys, os, signal, holdfast\n"
        "from holdfast.importers.chat import import_chat\n"
        "def tell(read, total, messages):\n"
        "    if messages > 1000: os.kill(os.getpid(), signal.SIGKILL)\n"
        "import_chat(holdfast.open(sys.argv[1]), sys.argv[2], on_progress=tell)\n"
    )
    child = subprocess.run([sys.executable, "-c", code, path, file], check=False)
    assert child.returncode < 0
    with holdfast.open(path) as store:
        assert 0 < len(kept(store)) < len(talks)
        report = import_chat(store, file)
        assert report.already_there >= 1000
        assert kept(store) == talks
        assert import_chat(store, file).added == 0


def test_two_imports_at_once_add_everything_once(store, tmp_path, monkeypatch):
    monkeypatch.setattr(intake, "BATCH_MESSAGES", 7)
    talks = [[said(f"{t}.{m}") for m in range(10)] for t in range(20)]
    file = tmp_path / "talks.json"
    file.write_bytes(text(talks))
    reports = []
    threads = [
        threading.Thread(target=lambda: reports.append(import_chat(store, file)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(kept(store), key=str) == sorted(talks, key=str)
    assert sum(report.added for report in reports) == 200


BAD = {
    "no role": ({"content": "x"}, "role"),
    "a role that is no text": ({"role": 5, "content": "x"}, "role"),
    "a role that is no name": ({"role": "two words", "content": "x"}, "role"),
    "a number": (5, "object"),
    "a text": ("hello", "object"),
    "none": (None, "object"),
    "a list": ([1], "object"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_message_is_set_aside_and_the_rest_go_in(name, store, bring):
    bad, reason = BAD[name]
    report = bring([{"messages": [TALK[0], bad, TALK[1]]}, {"traj": OTHER}])
    assert kept(store) == [[TALK[0], TALK[1]], OTHER]
    (what,) = report.set_aside
    assert what.position == "[0].messages[1]"
    assert what.at_byte == 1
    assert reason in what.reason
    assert what.sample
    assert (report.messages, report.added, report.set_aside_count) == (4, 4, 1)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_item_of_a_list_is_set_aside_by_its_place_and_byte(name, store, bring):
    bad, _ = BAD[name]
    content = text([TALK[0], bad, TALK[1]])
    report = bring(content)
    assert kept(store) == [[TALK[0], TALK[1]]]
    (what,) = report.set_aside
    assert what.position == "[1]"
    assert content[what.at_byte :].startswith(text(bad))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_set_aside_by_its_number(name, store, bring):
    bad, _ = BAD[name]
    report = bring(lines(TALK[0], bad, TALK[1]))
    assert kept(store) == [[TALK[0], TALK[1]]]
    assert positions(report) == ["line 2"]


@pytest.mark.parametrize(
    ("content", "position", "reason"),
    [
        (b'{"role" "user"}', "[1]", "no JSON at byte 8"),
        (b'{"role": "user", "content": NaN}', "[1]", "NaN|nan"),
        (b'{"role": "user", "content": 1e999}', "[1]", "inf"),
        (b'{"role": "user", "content": "\\ud800"}', "[1]", "lone surrogate"),
        (b'{"role": "user", "content": "\xff"}', "[1]", "no UTF-8"),
        (b'{"role": "user", "content": {"a": "\\ud800"}}', "[1]", "lone surrogate"),
        (b'{"messages": 5}', "[1]", "neither"),
        (b'{"messages": null, "role": null}', "[1]", "role"),
        (b"nonsense", "[1]", "no JSON at byte"),
        (b"", "[1]", "no JSON at byte 0"),
    ],
)
def test_what_cannot_be_stored_is_set_aside(content, position, reason, store, bring):
    head, tail = text(TALK[0]), text(TALK[1])
    report = bring(b"[" + head + b"," + content + b"," + tail + b"]")
    assert kept(store) == [[TALK[0], TALK[1]]]
    (what,) = report.set_aside
    assert what.position == position
    assert what.at_byte == len(head) + 2
    assert any(word in what.reason for word in reason.split("|"))
    assert bring(b"[" + head + b"," + content + b"," + tail + b"]").added == 0


def test_many_messages_that_cannot_be_stored_leave_the_others_in_order(store, bring):
    messages = [said(str(n), "user" if n % 3 else "two words") for n in range(1000)]
    report = bring(messages)
    assert kept(store) == [[m for m in messages if m["role"] == "user"]]
    assert report.set_aside_count == 334
    assert positions(report)[:2] == ["[0]", "[3]"]
    assert bring(messages).added == 0


def test_a_message_past_the_stores_limit_is_set_aside(tmp_path):
    file = tmp_path / "talk.json"
    file.write_bytes(text([said("short"), said("long" * 100), said("short too")]))
    limits = holdfast.Limits(value_bytes=100)
    with holdfast.open(":memory:", limits=limits) as store:
        report = import_chat(store, file)
        assert kept(store) == [[said("short"), said("short too")]]
        assert "limit of 100" in report.set_aside[0].reason


def test_a_batch_past_the_stores_limit_goes_in_all_the_same(tmp_path):
    file = tmp_path / "talk.json"
    file.write_bytes(text([said(str(n)) for n in range(50)]))
    with holdfast.open(":memory:", limits=holdfast.Limits(batch=7)) as store:
        assert import_chat(store, file).added == 50


def test_a_long_message_past_what_is_ever_read_is_set_aside(store, bring, monkeypatch):
    for module in (chat_items, chat_files):
        monkeypatch.setattr(module, "WHOLE_BYTES", 60)
    monkeypatch.setattr(chat_files, "MESSAGE_BYTES", 200)
    long = [said("a" * 500), said("b" * 100)]
    report = bring(text([*long, {"messages": long}]))
    assert kept(store) == [[long[1]], [long[1]]]
    assert positions(report) == ["[0]", "[2].messages[0]"]


def test_a_long_field_of_a_long_conversation_is_set_aside(store, bring, monkeypatch):
    for module in (chat_items, chat_files):
        monkeypatch.setattr(module, "WHOLE_BYTES", 60)
    report = bring(text([{"id": "t", "notes": "n" * 100, "messages": TALK}]))
    assert kept(store) == [TALK]
    assert store.sessions.get("t").metadata == {"id": "t"}
    assert positions(report) == ["[0].notes"]


LONG_AND_BROKEN = {
    b'{"messages": [%s, {"role" "user"}, %s]}': (2, ["messages[1]"]),
    b'{"messages": [%s, %s], "x" 5}': (2, [""]),
    b'{"messages": [%s, %s], bad: 5}': (2, [""]),
    b'{"messages": [%s, %s], 5: 5}': (2, [""]),
    b'{"messages": [%s, %s], "x": {"a" 5}}': (2, ["x"]),
    b'{"messages": [%s  %s]}': (1, [""]),
    b'{"messages": [%s, %s}': (2, [""]),
    b'{"x": [[%s]], "y": %s}': (0, [""]),
    b'"%s %s"': (0, [""]),
}


@pytest.mark.parametrize("content", LONG_AND_BROKEN)
def test_a_long_item_that_is_broken_costs_only_what_is_broken(
    content, store, bring, monkeypatch
):
    for module in (chat_items, chat_files):
        monkeypatch.setattr(module, "WHOLE_BYTES", 60)
    added, places = LONG_AND_BROKEN[content]
    broken = content % (text(said("a" * 60)), text(said("b" * 60)))
    report = bring(lines(OTHER[0]) + broken + b"\n" + lines(OTHER[1]))
    assert report.added == added + len(OTHER)
    wanted = [f"line 2 .{place}" if place else "line 2" for place in places]
    assert positions(report) == wanted


def test_a_line_that_is_no_json_is_set_aside_wherever_it_stands(store, bring):
    for name, bad in enumerate([b"{bad", b"nonsense", b"\xff", b'{"a": [}']):
        content = [said(f"{name}.{n}") for n in range(2)]
        report = bring(bad + b"\n" + lines(*content) + bad)
        assert positions(report) == ["line 1", "line 4"]
        assert report.added == 2
    assert bring(b'{"role": "user", "content": "c').set_aside_count == 1


CUTS = [
    (text([TALK, OTHER]), [TALK, OTHER]),
    (text(TALK), [TALK]),
    (text([{"id": "a", "messages": TALK}, {"id": "b", "traj": OTHER}]), [TALK, OTHER]),
    (text({"id": "a", "messages": TALK}), [TALK]),
]


@pytest.mark.parametrize("content", CUTS)
def test_of_a_file_that_was_cut_all_before_the_cut_goes_in(content, tmp_path):
    whole, talks = content
    flat = [message for talk in talks for message in talk]
    file = tmp_path / "cut.json"
    with holdfast.open(":memory:") as store:
        for end in range(2, len(whole) - 1):
            file.write_bytes(whole[:end])
            mine = store.owned_by(f"who has {end} bytes")
            report = import_chat(mine, file)
            found = [message for talk in kept(mine) for message in talk]
            assert found == flat[: len(found)]
            missing = [text(m) for m in flat[len(found) :]]
            assert all(m not in whole[:end] for m in missing)
            assert report.broken_at == report.set_aside[-1].at_byte == end


def test_a_cut_conversation_with_an_id_is_finished_by_the_whole_file(store, bring):
    whole = text([{"id": "a", "messages": TALK}])
    bring(whole[:-40])
    assert 0 < len(kept(store)[0]) < len(TALK)
    assert bring(whole).set_aside == ()
    assert kept(store) == [TALK]


def test_a_break_within_a_file_is_named_by_its_byte(store, bring):
    content = text([TALK])[:-1] + b" " + text(OTHER) + b"]"
    report = bring(content)
    assert kept(store) == [TALK]
    assert report.broken_at == len(text([TALK]))
    assert report.set_aside[-1].position == "the file"
    assert content[report.broken_at :].startswith(b"[")


@pytest.mark.parametrize("content", [
    b"SQLite format 3\x00" + bytes(100), b"\x1f\x8b\x08", b"hello\nworld", b"5",
    b"\x00",
    "[{}]".encode("utf-16"),
])  # fmt: skip
def test_a_file_that_is_no_json_is_one_break_at_its_beginning(content, store, bring):
    report = bring(content)
    assert (report.broken_at, report.set_aside_count, report.sessions) == (0, 1, 0)
    assert "no JSON" in report.set_aside[0].reason


def test_a_file_that_cannot_be_read_is_an_error_of_ours(store, tmp_path):
    with pytest.raises(CannotOpen, match="No such file"):
        import_chat(store, tmp_path / "nowhere.json")
    with pytest.raises(CannotOpen, match="directory"):
        import_chat(store, tmp_path)


def test_a_session_with_other_messages_is_left_as_it_is(store, bring):
    bring([{"id": "t", "messages": TALK}])
    changed = [TALK[0], said("Something else."), *OTHER]
    report = bring([{"id": "t", "messages": changed}, {"id": "u", "messages": OTHER}])
    assert kept(store) == [TALK, OTHER]
    (what,) = report.set_aside
    assert what.position == "[0].messages[1]"
    assert "'t' has other content" in what.reason


def test_an_id_used_twice_in_a_file_is_one_session_of_the_first(store, bring):
    report = bring([{"id": "t", "messages": TALK}, {"id": "t", "messages": TALK},
                    {"id": "t", "messages": OTHER}])  # fmt: skip
    assert kept(store) == [TALK]
    assert positions(report) == ["[2].messages[0]"]


def test_what_follows_a_conversation_that_was_refused_goes_in(
    store, bring, monkeypatch
):
    monkeypatch.setattr(intake, "BATCH_MESSAGES", 3)
    bring([{"id": "t", "messages": OTHER}])
    many = [said(str(number)) for number in range(20)]
    report = bring([{"id": "t", "messages": many}, {"id": "u", "messages": many}])
    assert kept(store) == [OTHER, many]
    assert positions(report) == ["[0].messages[0]"]


def test_a_session_that_was_not_imported_is_left_as_it_is(store, bring):
    store.sessions.create("Mine", id="t")
    store.sessions.append("t", "user", "mine")
    report = bring([{"id": "t", "messages": TALK}, OTHER])
    assert kept(store) == [[said("mine")], OTHER]
    assert positions(report) == ["[0]"]


def test_a_session_that_was_renamed_since_is_still_the_same(store, bring):
    bring([{"id": "t", "messages": TALK}])
    store.sessions.update("t", title="Renamed", metadata=None)
    report = bring([{"id": "t", "messages": TALK}])
    assert (report.added, report.set_aside) == (0, ())
    assert store.sessions.get("t").title == "Renamed"


def test_a_session_under_anothers_lease_is_set_aside(store, bring):
    bring([{"id": "t", "messages": TALK}])
    with store.lease("sessions", "t", holder="another"):
        report = bring([{"id": "t", "messages": TALK + OTHER}, [said("more")]])
    assert kept(store) == [TALK, [said("more")]]
    assert "leased" in report.set_aside[0].reason
    assert bring([{"id": "t", "messages": TALK + OTHER}]).added == len(OTHER)


def test_owners_are_kept_apart(store, bring, tmp_path):
    bring([{"id": "t", "messages": TALK}])
    report = import_chat(store.owned_by("ada"), tmp_path / "talks.json")
    assert report.added == len(TALK)
    assert store.owned_by("ada").sessions.get("t").message_count == len(TALK)


def test_a_store_that_cannot_be_written_ends_the_import(tmp_path):
    holdfast.open(tmp_path / "s.db").close()
    file = tmp_path / "talks.json"
    file.write_bytes(text(TALK))
    with (
        holdfast.open(tmp_path / "s.db", read_only=True) as store,
        pytest.raises(HoldfastError, match="read"),
    ):
        import_chat(store, file)


def test_the_journal_says_who_and_why(store, bring):
    bring([TALK], name="week 7.json")
    change = store.journal.read()[0]
    assert (change.actor, change.cause) == ("import", "week 7.json")


def test_a_file_of_any_name_goes_in(store, tmp_path):
    file = tmp_path / os.fsdecode(b"caf\xe9\n\x1b[31m.json")
    file.write_bytes(text(TALK))
    report = import_chat(store, file)
    assert report.added == len(TALK)
    assert store.journal.read()[0].cause == report.file
    assert report.file.isprintable()


@pytest.mark.parametrize(
    "content", [text([{"messages": TALK * 3}, TALK, OTHER]), lines(*TALK)]
)
def test_progress_reaches_its_end_and_never_goes_back(content, bring, monkeypatch):
    for module in (chat_items, chat_files):
        monkeypatch.setattr(module, "WHOLE_BYTES", 200)
    monkeypatch.setattr(intake, "BATCH_MESSAGES", 2)
    monkeypatch.setattr("holdfast.importers.chat.PROGRESS_BYTES", 1)
    told = []
    bring(content, on_progress=lambda *now: told.append(now))
    reads = [read for read, _, _ in told]
    assert reads == sorted(reads)
    assert all(read <= total for read, total, _ in told)
    assert told[-1][0] == told[-1][1] >= len(content)
    assert len(told) > 3


def test_names_of_what_was_set_aside_are_bounded_their_count_is_not(store, bring):
    report = bring(b"{}\n" * (NAMED_AT_MOST + 5))
    assert len(report.set_aside) == NAMED_AT_MOST
    assert report.set_aside_count == NAMED_AT_MOST + 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_read_like_a_file(store, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(text(TALK)))
    writer.start()
    report = import_chat(store, pipe)
    writer.join()
    assert report.added == len(TALK)


def test_digests_are_counted_exactly_when_the_table_grows():
    tally = Tally()
    digests = [f"{n * 0x9E3779B97F4A7C15 % 2**64:016x}" for n in range(5000)]
    assert {tally.count(digest) for digest in digests} == {1}
    assert {tally.count(digest) for digest in digests} == {2}
    assert tally.count("0" * 16) >= 1


def growth_of_an_import(file, store):
    """How many bytes an import makes its process grow, in a process of its own."""
    code = (
        "import resource, sys, holdfast\n"
        "from holdfast.importers.chat import import_chat\n"
        "store = holdfast.open(sys.argv[2])\n"
        "store.sessions.append(store.sessions.create().id, 'user', 'warm')\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "report = import_chat(store, sys.argv[1])\n"
        "print(report.added, (peak() - before) * 1024)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, file, store], check=True, capture_output=True
    ).stdout
    added, grown = map(int, said.split())
    return added, grown


def write_large(file: Path, form: str, size: int) -> int:
    """Write a transcript of at least so many bytes; how many messages it has."""
    turn = {"role": "user", "content": "0123456789 abcdefghij " * 40, "name": "ada"}
    number = written = 0
    with file.open("wb") as out:
        out.write({"objects": b"[", "lines": b"", "list": b"["}.get(form, b'{"traj":['))
        while written < size:
            turn["n"] = number
            one = {"messages": [turn] * 20} if form == "objects" else turn
            between = (b"\n" if form == "lines" else b",") if number else b""
            written += out.write(between + text(one))
            number += 20 if form == "objects" else 1
        out.write({"lines": b"", "object": b"]}"}.get(form, b"]"))
    return number


def grown_by(form, size, folder):
    """Bytes by which memory grows while so many bytes go in, every message of them."""
    messages = write_large(folder / "large", form, size)
    added, grown = growth_of_an_import(folder / "large", folder / "store.db")
    assert added == messages
    return grown


@pytest.mark.parametrize("form", ["objects", "list", "lines", "object"])
def test_memory_does_not_grow_with_the_file(form, tmp_path):
    assert grown_by(form, 30_000_000, tmp_path) < 24_000_000


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("form", ["objects", "list", "lines", "object"])
def test_a_gigabyte_goes_in_within_64_megabytes_more(form, tmp_path):
    assert grown_by(form, 1_000_000_000, tmp_path) < 64_000_000


def test_reading_alone_gives_the_same_events_twice():
    file = io.BytesIO(text([TALK, {"messages": OTHER}, 5]))

    def events():
        found = chat_files.Transcripts(file).events()
        return [(type(e).__name__, getattr(e, "position", None)) for e in found]

    assert events() == events()
