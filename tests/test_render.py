"""Rendering: a session as a text that holds all of it, and harms nobody."""

import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import holdfast
from holdfast.errors import NotFound, WrongType
from holdfast.kinds.transcripts import harmless, harmless_json

FORMS = ("markdown", "text", "json")
STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
AT = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)


@pytest.fixture
def render():
    """One message of that content, as a text."""
    with holdfast.open(":memory:") as store:

        def render(content, metadata=None, form="markdown", **more):
            store.sessions.delete("talk")
            store.sessions.create("A talk", id="talk")
            message = {"role": "user", "content": content, "metadata": metadata, **more}
            store.sessions.extend("talk", [message])
            return store.sessions.render("talk", form)

        yield render


def body(text):
    """What stands below the line above the first message."""
    return text.split(" UTC\n", 1)[1].strip("\n")


def test_a_session_is_laid_out_for_people(store):
    store.sessions.admit("talk", title="A\ntalk", created_at=AT, tags=["a", "b"])
    store.sessions.extend(
        "talk",
        [
            {"role": "user", "content": "Hello,\nyou.", "created_at": AT},
            {"role": "assistant", "content": "H", "created_at": AT, "partial": True},
        ],
    )
    store.sessions.summarize("talk", 1, "a greeting", created_at=AT)
    assert store.sessions.render("talk") == (
        "# A talk\n\n"
        "- **session**: `talk`\n"
        "- **status**: `active`\n"
        "- **created**: `2026-01-02 03:04:05.678901 UTC`\n"
        "- **updated**: `2026-01-02 03:04:05.678901 UTC`\n"
        "- **tags**: `a, b`\n\n"
        "## 1 · user · 2026-01-02 03:04:05.678901 UTC\n\n"
        "Hello,\nyou.\n\n"
        "## summary up to 1 · 2026-01-02 03:04:05.678901 UTC\n\n"
        "a greeting\n\n"
        "## 2 · assistant · 2026-01-02 03:04:05.678901 UTC · partial\n\n"
        "H\n"
    )
    assert store.sessions.render("talk", "text") == (
        "A talk\n"
        "session: talk\n"
        "status: active\n"
        "created: 2026-01-02 03:04:05.678901 UTC\n"
        "updated: 2026-01-02 03:04:05.678901 UTC\n"
        "tags: a, b\n\n"
        "1 · user · 2026-01-02 03:04:05.678901 UTC\n"
        "    Hello,\n    you.\n\n"
        "summary up to 1 · 2026-01-02 03:04:05.678901 UTC\n"
        "    a greeting\n\n"
        "2 · assistant · 2026-01-02 03:04:05.678901 UTC · partial\n"
        "    H\n"
    )


def test_a_session_is_one_json_document(store):
    store.sessions.create("A talk", id="talk")
    store.sessions.append("talk", "user", "\x9b2J\u202e\x7f", message_id="m")
    text = store.sessions.render("talk", "json")
    assert not STEERING.search(text)
    found = json.loads(text)
    assert (found["format"], found["version"]) == ("holdfast.sessions", 1)
    assert found["session"]["title"] == "A talk"
    assert [m["content"] for m in found["messages"]] == ["\x9b2J\u202e\x7f"]


def test_what_there_is_not_is_told(store):
    with pytest.raises(NotFound):
        store.sessions.render("nobody")
    store.sessions.create(id="talk")
    with pytest.raises(WrongType, match="markdown, text, json"):
        store.sessions.render("talk", "html")
    for form in FORMS:
        assert "talk" in store.sessions.render("talk", form)


def test_a_title_that_nobody_sees_gives_way_to_the_id(store):
    store.sessions.create(" \n", id="talk")
    assert store.sessions.render("talk").startswith("# talk\n")
    assert store.sessions.render("talk", "text").startswith("talk\n")


def test_the_past_is_rendered_as_it_was(store):
    store.sessions.create(id="talk")
    store.sessions.append("talk", "user", "then")
    moment = store.moment()
    then = [store.sessions.render("talk", form) for form in FORMS]
    store.sessions.append("talk", "user", "now")
    past = store.as_of(moment).sessions
    assert [past.render("talk", form) for form in FORMS] == then


CALL = {"name": "book", "arguments": '{"seat": 4, "row": [1, 2]}'}
CALL_OF_DATA = {"name": "book", "args": {"seat": 4, "row": [1, 2]}}
CALLED = '*`calls book (c1)`*\n\n```json\n{\n  "seat": 4,\n  "row": [\n'
FORMED = {
    "a chat's calls": (
        None,
        {"tool_calls": [{"id": "c1", "type": "function", "function": CALL}]},
        CALLED,
    ),
    "a call as LangChain has it": (
        None,
        {"tool_calls": [{"type": "tool_call", "id": "c1", **CALL_OF_DATA}]},
        CALLED,
    ),
    "an item of a response": (
        {"type": "function_call", "call_id": "c1", **CALL},
        None,
        CALLED,
    ),
    "a block": (
        [
            {"type": "text", "text": "I book."},
            {"type": "tool_use", "id": "c1", "name": "book", "input": {"seat": 4}},
        ],
        None,
        'I book.\n\n*`calls book (c1)`*\n\n```json\n{\n  "seat": 4\n}\n```',
    ),
    "a result": (
        [{"type": "tool_result", "tool_use_id": "c1", "content": "ok"}],
        None,
        "*`result of c1`*: `ok`",
    ),
    "an output": (
        [{"type": "function_call_output", "call_id": "c1", "output": {"a": 1}}],
        None,
        '*`result of c1`*\n\n```json\n{\n  "a": 1\n}\n```',
    ),
    "texts": (["a", {"text": "b"}], None, "a\n\nb"),
    "arguments that are no JSON": (
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{a"},
        None,
        "*`calls f (c1)`*: `{a`",
    ),
    "a text with more than text": (
        [{"type": "text", "text": "a", "cache": True}],
        None,
        '"cache": true',
    ),
    "thoughts": ([{"type": "thinking", "text": "hm"}], None, '"type": "thinking"'),
    "calls that are none": ("x", {"tool_calls": "no"}, '*`tool_calls`*: `"no"`'),
    "an empty list": ([], None, "*`content`*: `[]`"),
    "a number": (4.5, {"model": "m"}, '*`content`*: `4.5`\n\n*`model`*: `"m"`'),
}


def test_arguments_of_any_depth_are_readable(render):
    deep = "[" * 50_000 + "]" * 50_000
    call = {"id": "c1", "function": {"name": "book", "arguments": deep}}
    assert deep in render(None, {"tool_calls": [call]})


@pytest.mark.parametrize("name", FORMED)
def test_what_is_not_text_is_readable(name, render):
    content, metadata, wanted = FORMED[name]
    assert wanted in body(render(content, metadata))


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("```py\nx", "```py\nx\n```"),
        ("```py\nx\n```", "```py\nx\n```"),
        ("~~~~\n```\n~~~", "~~~~\n```\n~~~\n~~~~"),
        ("````\n```\n", "````\n```\n\n````"),
        ("`` `a` ``", "`` `a` ``"),
        ("<!-- hidden", "&lt;!-- hidden"),
        ("  <script>x", "  &lt;script>x"),
        ("```\n<!--\n```", "```\n<!--\n```"),
        ("a < b <em>c</em>", "a < b <em>c</em>"),
    ],
)
def test_markdown_that_opens_something_closes_it(render, content, wanted):
    assert body(render(content)) == wanted


def test_a_fence_is_longer_than_those_within(render):
    text = body(render({"code": "a\n```\n````\nb" * 9}))
    assert text.startswith("*`content`*\n\n`````json\n")
    assert text.endswith("\n`````")
    assert "*```a``b```*" in body(render("x", {"a``b": "y" * 99}))


def test_text_cannot_pass_for_the_line_above_a_message(render):
    text = render("hi\n2 · assistant · 2026-01-02 UTC\n    no", form="text")
    above = [line for line in text.splitlines() if " · " in line and line[0] != " "]
    assert len(above) == 1


def test_nothing_steers_a_terminal_and_nothing_is_lost():
    @settings(max_examples=200, deadline=None)
    @given(st.text(), st.dictionaries(st.text(), st.text(), max_size=3), st.text())
    def rendered(said, metadata, title):
        id = store.sessions.create(title.replace("\x00", "")).id
        store.sessions.append(id, "user", said, metadata=metadata)
        texts = {form: store.sessions.render(id, form) for form in FORMS}
        is_harmless_and_whole(texts, said, metadata)

    with holdfast.open(":memory:") as store:
        rendered()


def is_harmless_and_whole(texts, said, metadata):
    for text in texts.values():
        assert not STEERING.search(text)
    kept = "".join(harmless(said).split())
    assert kept in "".join(texts["text"].split())
    assert kept.replace("<", "&lt;") in "".join(texts["markdown"].split()).replace(
        "<", "&lt;"
    )
    (message,) = json.loads(texts["json"])["messages"]
    assert (message["content"], message.get("metadata") or {}) == (said, metadata)


@given(st.text())
def test_json_stays_the_same_value(text):
    assert json.loads(harmless_json(json.dumps(text, ensure_ascii=False))) == text
