"""Patterns: which names and data are meant, beside plain readings of the rules."""

import math
import pickle
import timeit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import InvalidId, NotStorable, WrongType
from holdfast.limits import Limits
from holdfast.patterns import Pattern, holds, pattern_of, where_of

LIMITS = Limits()
FEW = st.text("aab**", min_size=1, max_size=7)


def plainly(pattern: str, name: str) -> bool:
    """The rule itself, tried in every way."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(plainly(pattern[1:], name[i:]) for i in range(len(name) + 1))
    return bool(name) and name[0] == pattern[0] and plainly(pattern[1:], name[1:])


@settings(max_examples=500)
@given(FEW, st.text("ab", max_size=6))
def test_a_pattern_means_what_the_rule_says(text, name):
    pattern = Pattern(text)
    assert pattern.matches(name) is plainly(text, name)
    assert pattern.exact is ("*" not in text)
    assert not pattern.matches(name) or name.startswith(pattern.prefix)


@given(st.lists(st.text("ab:é\n", max_size=3), min_size=2), st.data())
def test_a_name_made_from_a_pattern_is_meant(parts, data):
    name = parts[0] + "".join(data.draw(st.text("ab:é\n")) + it for it in parts[1:])
    assert Pattern("*".join(parts)).matches(name)


@pytest.mark.parametrize(
    ("text", "meant", "not_meant"),
    [
        ("task:*", ["task:created", "task:"], ["Task:created", "task", "a task:b"]),
        ("*:created", ["task:created", ":created"], ["created", "task:created!"]),
        ("*", ["", "anything"], []),
        ("state:saved", ["state:saved"], ["state:save", "state:saved:"]),
        ("a.c", ["a.c"], ["abc"]),
        ("[ab]?*", ["[ab]?x"], ["ax"]),
        ("ab*ba", ["abba", "ab-ba"], ["aba", "ab"]),
        ("a*b*b", ["abb", "a-b-b"], ["ab", "abba"]),
        ("*b*b*", ["bb", "-b-b-"], ["b", "-b-"]),
    ],
)
def test_a_star_is_any_run_and_all_else_is_itself(text, meant, not_meant):
    pattern = Pattern(text)
    assert all(map(pattern.matches, meant))
    assert not any(map(pattern.matches, not_meant))


def test_a_pattern_made_to_be_slow_is_not():
    pattern = Pattern("*a" * 99 + "*b")
    assert not pattern.matches("a" * 10_000)
    assert min(timeit.repeat(lambda: pattern.matches("a" * 10_000), number=1)) < 0.01


@pytest.mark.parametrize("text", ["task:created", "task:*", "*:created"])
def test_a_common_pattern_costs_as_little_as_a_few_comparisons(text):
    matches, name = Pattern(text).matches, "task:created"
    step = timeit.Timer("name.startswith(text)", globals={"name": name, "text": "task"})
    asked = timeit.Timer("matches(name)", globals={"matches": matches, "name": name})
    plain = min(step.repeat(9, number=20_000))
    assert min(asked.repeat(9, number=20_000)) < 5 * plain


def test_equal_patterns_are_one_and_travel():
    pattern = Pattern("a*b*c")
    assert {pattern, Pattern("a*b*c")} == {pattern}
    assert pattern != Pattern("a*b")
    assert pattern != "a*b*c"
    assert pickle.loads(pickle.dumps(pattern)).matches("a-b-c")
    assert repr(pattern) == "Pattern('a*b*c')"


def test_an_argument_that_is_no_pattern_is_refused_by_name():
    assert pattern_of("task:*", "pattern") == Pattern("task:*")
    assert pattern_of(Pattern("x"), "pattern") == Pattern("x")
    assert pattern_of("é" * 200, "pattern").exact
    for wrong in (None, 5, b"task", ["task"]):
        with pytest.raises(WrongType, match=r"^pattern: "):
            pattern_of(wrong, "pattern")
    for wrong in ("", "x" * 201, "a\x00b", "a\x1b[2J", "\ud800"):
        with pytest.raises(InvalidId, match=r"^pattern: "):
            pattern_of(wrong, "pattern")


SCALARS = st.none() | st.booleans() | st.integers(0, 2) | st.floats(0, 2) | st.text("a")
DATA = st.recursive(
    SCALARS | st.just([]),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=12,
)
PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(".".join)


def judged(data, where):
    for path, wanted in where.items():
        value = data
        for key in path.split("."):
            value = value[key] if isinstance(value, dict) and key in value else None
        if value != wanted or (type(value) is bool) != (type(wanted) is bool):
            return False
    return True


@given(DATA, st.dictionaries(PATHS, SCALARS, max_size=2))
def test_data_holds_what_is_at_its_paths(data, where):
    assert holds(data, where) is judged(data, where)


def test_what_is_equal_in_json_is_equal():
    data = {"task": {"id": "t1", "tries": 1, "done": True, "due": None}, "a.b": 3}
    assert holds(data, {"task.id": "t1", "task.tries": 1.0, "task.done": True})
    assert holds(data, {"task.due": None, "task.unknown.deeper": None})
    assert holds("text", {"task": None})
    assert not holds(data, {"task.tries": True})
    assert not holds(data, {"task.done": 1})
    assert not holds(data, {"task.id": "t2"})
    assert not holds(data, {"task.id": "t1", "task.tries": 2})
    assert not holds(data, {"a.b": 3})


def test_conditions_that_nothing_could_hold_are_refused_by_name():
    assert where_of(None, "where", LIMITS) is None
    assert where_of({"a.b": 1, "é": None}, "where", LIMITS) == {"a.b": 1, "é": None}
    for wrong in ("a=b", ["a"], 5, {"a": [1]}, {"a.b": {}}):
        with pytest.raises(WrongType, match=r"^where"):
            where_of(wrong, "where", LIMITS)
    for wrong in ({"": 1}, {"a..b": 1}, {".a": 1}, {"a.": 1}):
        with pytest.raises(InvalidId, match=r"^where: "):
            where_of(wrong, "where", LIMITS)
    for wrong in ({"a": math.nan}, {1: "a"}, {"a": b""}, {"a": "\ud800"}):
        with pytest.raises(NotStorable, match=r"^where"):
            where_of(wrong, "where", LIMITS)
