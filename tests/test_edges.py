"""Edges: what an argument may be is checked once, by name, before anything is written.

Beside what is unsafe in a folder, an id may hold nothing that nobody sees: marks of
writing direction, spaces without width, soft hyphens. Two ids that look the same would
be two records. The joiners of scripts and emoji (U+200C, U+200D) are let through.
"""

import enum
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

import holdfast
from holdfast import codec, edges, errors
from holdfast.kinds.thread_records import ChannelValue
from holdfast.limits import Limits

LIMITS = Limits()
GOOD_IDS = [
    "task_123", str(uuid.uuid4()), str(uuid.uuid4()).upper(), uuid.uuid4().hex, "a",
    "x" * 200, "Zürich", "会話-1", "user@example.org", "a b", "a.b", "..a", "1", "-",
    "urn:uuid:1", "#", "50%", "\N{FAMILY}",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u0645\u06cc\u200c\u062e", "null", "C:", "~", "a'b", 'a"b', "; drop table session",
]  # fmt: skip
BAD_IDS = [
    "", "x" * 201, "x" * 1_000_000, ".", "..", "...", "/", "a/b", "../a", "\\", "a\\b",
    "\x00", "a\x00b", "a\nb", "\t", "\x1b[31m", "\x7f", "\x85", "\x9f", " ", " a", "a ",
    "a\u00a0", "\u2028", "a\u2029b", "\ud800", "a\udfffb",
    "a\u202eb", "\u2066a\u2069", "a\u200b", "\u200fa", "a\u2060b", "\ufeffa",
    "a\u00adb",
    "a\u061cb", "a\U000e0041",
]  # fmt: skip


SAID = {"role": "user", "content": "x"}
LARGE = codec.document({"x": "x" * 200})
LARGE_VALUE = ChannelValue("text", "x" * 200)


def test_an_id_that_is_safe_is_kept_as_it_is(store):
    for id in GOOD_IDS:
        assert store.sessions.create(id=id, tags=[id]).id == id
        assert store.sessions.append(id, "user", "x", message_id=id).id == id
        task = store.tasks.create("one", id=id, session=id)
        assert (task.id, task.session) == (id, id)
        assert [s.id for s in store.sessions.list(tag=id)] == [id]
        assert store.owned_by(id).owner == id
    assert {s.id for s in store.sessions.list(limit=1000)} == set(GOOD_IDS)


@pytest.mark.parametrize("id", BAD_IDS, ids=lambda bad: ascii(bad[:12]))
def test_an_id_that_is_not_safe_is_refused_wherever_one_is_taken(id):
    with holdfast.open(":memory:") as store:
        store.sessions.create(id="there")
        for name, attempt in {
            "id": lambda: store.sessions.create(id=id),
            "parent": lambda: store.sessions.create(parent=id or "/"),
            "tags": lambda: store.sessions.create(tags=[id]),
            "message_id": lambda: store.sessions.append(
                "there", "user", "x", message_id=id
            ),
            r"messages\[0\].id": lambda: store.sessions.extend(
                "there", [{"role": "user", "content": 1, "id": id}]
            ),
            "session": lambda: store.tasks.create("x", session=id or "/"),
            "owner": lambda: store.owned_by(id or "/"),
            "once": lambda: store.run(lambda tx: None, once=id),
            "holder": lambda: store.leases.acquire(
                "sessions", "there", holder=id, seconds=1
            ),
        }.items():
            with pytest.raises(errors.InvalidId, match=name) as raised:
                attempt()
            assert len(str(raised.value)) < 2_000
        assert store.journal.head() == 1


@given(st.text(max_size=220))
def test_no_id_leaves_a_folder_or_hides_a_control(id):
    try:
        edges.id_of(id, "id")
    except errors.InvalidId:
        return
    assert id.encode()
    assert not set(id) & set("/\\\x00\n\r\x1b\u202e\u200b")
    assert id not in {"", ".", ".."}
    assert id == id.strip()


class Shade(enum.StrEnum):
    DARK = "dark"


@pytest.mark.parametrize("id", [1, None, b"a", uuid.uuid4(), Shade.DARK, ["a"], True])
def test_an_id_of_another_type_is_refused(id):
    with pytest.raises(errors.WrongType, match=r"^id: text is wanted, not "):
        edges.id_of(id, "id")


@pytest.mark.parametrize("name", ["user", "tool_result", "Ä", "a" * 64, "x.y:z-1"])
def test_a_short_name_is_taken(name):
    assert edges.name_of(name, "role", LIMITS) == name


@pytest.mark.parametrize(
    "name",
    ["", "1a", "_a", "a b", "a" * 65, "a\n", "a/b", "\ud800", "a\x00", "é\u202e"],
)
def test_what_is_no_short_name_is_refused(name):
    with pytest.raises(errors.InvalidId, match="^role: "):
        edges.name_of(name, "role", LIMITS)


def test_what_is_far_too_long_is_not_remembered():
    remembered = (
        edges._flaw.cache_info().currsize + edges._is_name.cache_info().currsize
    )
    for number in range(3):
        with pytest.raises(errors.InvalidId, match="not 10000001"):
            edges.id_of(f"{number}{'x' * 10_000_000}", "id")
        with pytest.raises(errors.InvalidId):
            edges.name_of("x" * 10_000_000 + str(number), "role", LIMITS)
    now = edges._flaw.cache_info().currsize + edges._is_name.cache_info().currsize
    assert now == remembered


def test_a_short_text_carries_no_nul_and_no_half_character():
    assert edges.text_of("Ä \u202e fine", "title", LIMITS) == "Ä \u202e fine"
    for text in ("a\x00", "\ud800"):
        with pytest.raises(errors.NotStorable, match="^title: "):
            edges.text_of(text, "title", LIMITS)
    for value in (1, None, b"", ["a"]):
        with pytest.raises(errors.WrongType, match="^title: "):
            edges.text_of(value, "title", LIMITS)


@pytest.mark.parametrize("at", ["2026-11-20T10:00:00+01:00", "2026-11-20T09:00Z"])
def test_a_time_knows_its_zone(at):
    wanted = datetime(2026, 11, 20, 9, tzinfo=UTC)
    assert edges.time_of(at, "created_before", LIMITS) == wanted
    east = timezone(timedelta(hours=1))
    assert edges.time_of(wanted.astimezone(east), "at", LIMITS) == wanted


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 11, 20, 9),  # noqa: DTZ001
        "2026-11-20T09:00", "yesterday", "", 1_760_000_000, 1.5, None,
        datetime(2026, 11, 20, tzinfo=UTC).date(),
    ],
    ids=repr,
)  # fmt: skip
def test_a_time_without_a_zone_is_refused(at):
    with pytest.raises(errors.WrongType, match="^created_before: "):
        edges.time_of(at, "created_before", LIMITS)


@pytest.mark.parametrize(
    "at", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"]
)
def test_a_time_that_no_calendar_has_in_utc_is_refused(store, at):
    store.sessions.create(id="s")
    said = {"role": "user", "content": "x", "created_at": at}
    for late in (
        lambda: store.sessions.admit("t", created_at=at),
        lambda: store.sessions.extend("s", [said]),
        lambda: store.sessions.list(created_before=at),
    ):
        with pytest.raises(errors.WrongType, match="years 1 to 9999"):
            late()
    assert [session.id for session in store.sessions.list()] == ["s"]


@pytest.mark.parametrize("value", [True, False, "3", 1.0, None, 2**53 + 1, -1, [1]])
def test_a_count_is_a_whole_number_and_no_boolean(value):
    with pytest.raises(errors.WrongType, match="^before: "):
        edges.count_of(value, "before", LIMITS)


@pytest.mark.parametrize("value", [True, "3", None, 0, -1, float("nan"), float("inf")])
def test_a_time_span_is_a_number_above_0(value):
    with pytest.raises(errors.WrongType, match="^seconds: "):
        edges.seconds_of(value, "seconds", LIMITS)


@pytest.mark.parametrize("value", [True, "3", None, float("nan"), float("-inf"), 1e300])
def test_a_number_is_finite_and_no_boolean(value):
    with pytest.raises(errors.WrongType, match="^done: "):
        edges.number_of(value, "done", LIMITS)


@pytest.mark.parametrize(
    ("limit", "attempt"),
    [
        ("value_bytes", lambda s: s.sessions.append("s", "user", "x" * 200)),
        ("value_bytes", lambda s: s.sessions.create(metadata={"x": "x" * 200})),
        ("value_bytes", lambda s: s.sessions.create(metadata=LARGE)),
        (
            "value_bytes",
            lambda s: s.sessions.extend("s", [{**SAID, "metadata": LARGE}]),
        ),
        ("value_bytes", lambda s: s.threads.put("t", "c", values={"a": LARGE_VALUE})),
        ("value_bytes", lambda s: s.tasks.complete("t", ["x"] * 100)),
        ("value_bytes", lambda s: s.run(lambda tx: "x" * 200, once="key")),
        ("text_bytes", lambda s: s.sessions.create("ä" * 26)),
        ("text_bytes", lambda s: s.tasks.fail("t", "x" * 51)),
        ("text_bytes", lambda s: s.tasks.log("t", "x" * 51)),
        ("text_bytes", lambda s: s.run(lambda tx: None, actor="x" * 51)),
        ("page", lambda s: s.sessions.list(limit=6)),
        ("page", lambda s: s.sessions.messages("s", 6)),
        ("page", lambda s: s.journal.read(limit=6)),
        ("batch", lambda s: s.sessions.extend("s", [{"role": "u", "content": 1}] * 5)),
        ("tags", lambda s: s.sessions.create(tags=["a", "b", "c", "d"])),
    ],
)
def test_past_a_limit_the_error_names_it_and_nothing_is_written(limit, attempt):
    limits = Limits(value_bytes=100, text_bytes=50, page=5, batch=4, tags=3)
    with holdfast.open(":memory:", limits=limits) as store:
        store.sessions.create(id="s")
        store.tasks.create("t", id="t")
        store.tasks.start("t")
        before = store.journal.head()
        with pytest.raises(errors.TooLarge, match=rf"limits\.{limit}"):
            attempt(store)
        assert store.journal.head() == before


def test_up_to_a_limit_all_is_taken():
    limits = Limits(value_bytes=100, text_bytes=50, page=5, batch=4, tags=3)
    with holdfast.open(":memory:", limits=limits) as store:
        store.sessions.create("ä" * 25, id="s", tags=["a", "b", "c"])
        store.sessions.extend("s", [{"role": "u", "content": "x" * 98}] * 4)
        assert len(store.sessions.messages("s", 5)) == 4
        assert len(store.journal.read(limit=5)) == 5


def test_every_argument_of_every_operation_has_a_check():
    with holdfast.open(":memory:") as store:
        for operation in store.operations().values():
            named = operation._find_checks()[1]
            taken = [name for name in operation.signature.parameters if name != "self"]
            assert sorted(named) == sorted(taken), operation.name


def test_an_annotation_without_a_check_is_a_mistake_that_is_told():
    with pytest.raises(TypeError, match="no check is known"):
        edges.check_for(dict[str, int])
