"""Values: what goes in as data comes out equal, and nothing else goes in."""

import dataclasses
import datetime as dt
import decimal
import enum
import json
import sys
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import codec
from holdfast.errors import NotStorable, TooLarge
from holdfast.limits import Limits

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(-(10**40), 10**40) | st.floats(allow_nan=False).filter(
    lambda number: abs(number) != float("inf")
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=25,
)


def through(value):
    return codec.decode(codec.document(value).text)


def same(one, other):
    """Equal, and of equal types all the way down (True is not 1, 1.0 is not 1)."""
    if isinstance(one, dict):
        return (
            type(other) is dict
            and list(one) == list(other)
            and all(same(one[key], other[key]) for key in one)
        )
    if isinstance(one, list):
        return (
            type(other) is list
            and len(one) == len(other)
            and all(map(same, one, other))
        )
    return type(one) is type(other) and repr(one) == repr(other)


@given(VALUES)
def test_what_json_can_carry_comes_back_equal_and_of_the_same_type(value):
    document = codec.document(value)
    assert same(codec.decode(document.text), value)
    assert same(document.value, value)


@given(VALUES)
def test_the_text_is_json_for_any_other_reader(value):
    assert same(json.loads(codec.document(value).text), value)


AWKWARD = [
    2**53 + 1, 2**63, 2**64, 10**300, -(10**300), 1e16, 1e-7, 1.0, -0.0, 5e-324,
    sys.float_info.max, "", "\x00", "a\x00b", "\U0001f469\u200d\U0001f4bb",
    {"": {"\x00": [None, True, False]}}, [], {}, [[[]]], {"a": {}},
    '{"not": "parsed"}', {"$type": "__import__"}, "\ufeff", "\u2028",
    "\ud7ff\ue000",
]  # fmt: skip


def test_awkward_values_come_back_equal_from_a_store(store):
    for value in AWKWARD:
        talk = store.sessions.create(metadata={"value": value})
        kept = store.sessions.append(talk.id, "user", value, metadata={"value": value})
        (read,) = store.sessions.messages(talk.id)
        assert same(kept.content, value)
        assert same(read.content, value)
        assert same(read.metadata, {"value": value})
        assert same(store.sessions.get(talk.id).metadata, {"value": value})
        change = store.journal.read(store.journal.head() - 1, kinds=["message"])[0]
        assert same(change.after["content"], value)


def test_a_tuple_counts_as_a_list():
    assert codec.document((1, ("a", [()]), {"b": (2,)})).value == [
        1,
        ["a", [[]]],
        {"b": [2]},
    ]


def test_what_is_handed_back_is_not_the_callers_own_list():
    mine = {"list": [1]}
    document = codec.document(mine)
    mine["list"].append(2)
    assert document.value == {"list": [1]}


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int = 1


class Record(msgspec.Struct):
    x: int = 1


NO_DATA = [
    float("nan"), float("inf"), float("-inf"), {1, 2}, frozenset(), b"bytes",
    bytearray(b"b"), memoryview(b"m"), "\ud800", "ok \udfff", object(), Colour.RED,
    Point(), Record(), dt.datetime.now(dt.UTC), dt.date(2026, 1, 1),
    dt.timedelta(1), decimal.Decimal("1.5"), uuid.UUID(int=1), 1j, range(3),
    (n for n in range(3)), len, int, ..., msgspec.UNSET, msgspec.Raw(b"1"),
]  # fmt: skip
NO_KEYS = [1, True, None, 1.5, (1,), b"k", Colour.RED, "\ud800", uuid.UUID(int=1)]


@pytest.mark.parametrize("value", NO_DATA, ids=lambda value: type(value).__name__)
def test_what_would_come_back_changed_is_refused_with_its_place(value):
    with pytest.raises(NotStorable, match="^value"):
        codec.document(value)
    with pytest.raises(NotStorable, match=r"value\['deep'\]\[1\]\['er'\]"):
        codec.document({"fine": 1, "deep": [0, {"er": value}]})
    with pytest.raises(NotStorable, match=r"value\[0\]\['in'\]"):
        codec.document(({"in": value},))


@pytest.mark.parametrize("key", NO_KEYS, ids=lambda key: type(key).__name__)
def test_a_key_that_is_no_text_is_refused_with_its_place(key):
    with pytest.raises(NotStorable, match=r"value\['deep'\]"):
        codec.document({"deep": {key: 1}})
    with pytest.raises(NotStorable, match=r"value\[1\]"):
        codec.document([0, {"fine": 1, key: 1}])


def test_a_value_within_itself_is_refused():
    ring = []
    ring.append({"ring": ring})
    with pytest.raises(NotStorable, match="within itself"):
        codec.document(ring)


def nested(depth, leaf):
    for _ in range(depth):
        leaf = [leaf]
    return leaf


def test_depth_has_a_limit_so_that_every_caller_can_read_what_was_written():
    deepest = codec.document(nested(codec.DEEPEST, "leaf")).text
    with pytest.raises(NotStorable, match="too deeply"):
        codec.document(nested(codec.DEEPEST + 1, "leaf"))
    wide = [nested(codec.DEEPEST - 1, n) for n in range(50)]
    assert codec.document(wide).value == wide

    def read_from(frames):
        return codec.decode(deepest) if frames == 0 else read_from(frames - 1)

    assert read_from(500) == nested(codec.DEEPEST, "leaf")


@pytest.mark.parametrize(
    "leaf", [object(), "\ud800", b"", {1}, 1], ids=lambda leaf: type(leaf).__name__
)
def test_depth_is_refused_by_our_own_error_at_every_depth(leaf):
    limit = sys.getrecursionlimit()
    for depth in (*range(limit - 60, limit + 10), 3 * limit, 50 * limit):
        with pytest.raises(NotStorable):
            codec.document(nested(depth, leaf))


def test_a_value_is_refused_before_anything_is_written(store):
    talk = store.sessions.create("kept", metadata={"a": 1})
    task = store.tasks.create("kept")
    store.tasks.start(task.id)
    before = store.journal.head()
    for attempt in (
        lambda: store.sessions.append(talk.id, "user", {"a": {1}}),
        lambda: store.sessions.append(talk.id, "user", "x", metadata={"a": b""}),
        lambda: store.sessions.create(metadata={"a": float("nan")}),
        lambda: store.sessions.update(talk.id, metadata={1: 1}),
        lambda: store.tasks.complete(task.id, {"at": dt.date(2026, 1, 1)}),
        lambda: store.sessions.extend(
            talk.id,
            [{"role": "user", "content": "x"}, {"role": "user", "content": ["\ud800"]}],
        ),
    ):
        with pytest.raises(NotStorable, match=r"content|metadata|result"):
            attempt()
    assert store.journal.head() == before


def test_a_document_is_not_checked_again():
    document = codec.document({"a": [1]})
    assert codec.document(document) is document
    assert codec.optional(None) is codec.text_of(None) is codec.value_of(None) is None


def test_the_size_that_counts_is_that_of_the_text_in_bytes():
    from holdfast.edges import document_of  # noqa: PLC0415

    limits = Limits(value_bytes=12)
    assert document_of("ä" * 5, "content", limits).value == "ä" * 5
    with pytest.raises(TooLarge, match="content: 14 is past the limit of 12"):
        document_of("ä" * 6, "content", limits)
