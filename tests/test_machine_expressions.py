"""Expressions: what each means, and that none runs long or touches anything else."""

import copy
import json
import time

import pytest
from hypothesis import find, given
from hypothesis import strategies as st

import machine_files
from holdfast.errors import Refused, TooLarge
from holdfast.statecharts.expressions import Expression, Scope
from holdfast.statecharts.operators import OPERATORS

CONTEXT = {
    "name": "Ann",
    "count": 3,
    "user": {"name": "Bo", "tags": ["x", "y"]},
    "items": [{"id": 1, "text": "one"}, {"id": 2, "text": "two"}],
    "none": None,
    "empty": "",
    "no": False,
}
PAYLOAD = {
    "id": 2,
    "text": "  hi ",
    "done": True,
    "result": {"id": 9, "list": [1]},
    "errors": [{"message": "it broke"}],
}


def value_of(source, context=CONTEXT, payload=PAYLOAD, now=None):
    return Scope.of(context, payload, now).value_of(Expression(source))


@pytest.mark.parametrize(
    ("source", "value"),
    [
        (None, None),
        (0.5, 0.5),
        ("plain", "plain"),
        ("costs 5$", "costs 5$"),
        ("$name", "Ann"),
        ("$user.name", "Bo"),
        ("$user.tags.1", "y"),
        ("$user.tags.2", None),
        ("$user.tags.-1", None),
        ("$user.tags.x", None),
        ("$name.0", None),
        ("$missing", None),
        ("$missing.more", None),
        ("$context", CONTEXT),
        ("$context.user.name", "Bo"),
        ("$$id", 2),
        ("$$errors.0.message", "it broke"),
        ("$$payload", PAYLOAD),
        ("$$payload.id", 2),
        ("$$result", {"id": 9, "list": [1]}),
        ("$$result.list.0", 1),
        ({"$context": "user.name"}, "Bo"),
        ({"$context": ""}, CONTEXT),
        ({"$item": "id"}, 2),
        ({"a": {"b": ["$name", "$$id"]}}, {"a": {"b": ["Ann", 2]}}),
        ({"$$text": "$name", "$$missing": 1}, {"  hi ": "Ann", "$$missing": 1}),
        ({"$schema": "$name", "$ref": "#/a"}, {"$schema": "Ann", "$ref": "#/a"}),
        ({"$eq": ["$count", 3.0]}, True),
        ({"$eq": [1, True]}, False),
        ({"$eq": [0, False]}, False),
        ({"$eq": ["1", 1]}, False),
        ({"$eq": ["$missing", None]}, True),
        ({"$eq": [{"a": [1, "$count"]}, {"a": [1, 3]}]}, True),
        ({"$eq": [{"a": [True]}, {"a": [1]}]}, False),
        ({"$eq": [[1], [1, 2]]}, False),
        ({"$ne": ["$$id", None]}, True),
        ({"$ne": ["$$missing", None]}, False),
        ({"$not": "$no"}, True),
        ({"$not": ["$$done"]}, False),
        ({"$not": []}, False),
        ({"$not": {}}, False),
        ({"$not": 0}, True),
        ({"$not": ""}, True),
        ({"$not": "0"}, False),
        ({"$and": ["$name", {"$gt": ["$count", 2]}]}, True),
        ({"$and": ["$name", "$empty"]}, False),
        ({"$and": "$name"}, True),
        ({"$and": []}, True),
        ({"$or": ["$none", "$count"]}, True),
        ({"$or": ["$none", "$empty"]}, False),
        ({"$or": []}, False),
        ({"$gt": [2, 1]}, True),
        ({"$gt": ["b", "a"]}, True),
        ({"$gt": ["2", 1]}, False),
        ({"$gt": ["$missing", -1]}, False),
        ({"$gt": [[2], [1]]}, False),
        ({"$gte": [2, 2.0]}, True),
        ({"$gte": ["$missing", "$missing"]}, False),
        ({"$lt": [1, 2]}, True),
        ({"$lt": [2, 2]}, False),
        ({"$lte": [2, 2]}, True),
        ({"$trim": "$$text"}, "hi"),
        ({"$trim": 5}, 5),
        ({"$length": "$items"}, 2),
        ({"$length": "$name"}, 3),
        ({"$length": "$missing"}, 0),
        ({"$length": "$user"}, 0),
        ({"$concat": ["$user.tags", "$name", None, [["in"]]]},
         ["x", "y", "Ann", ["in"]]),
        ({"$concat": "$user.tags"}, ["x", "y"]),
        ({"$join": ["$user.tags", ", "]}, "x, y"),
        ({"$join": "$user.tags"}, "xy"),
        ({"$join": [[1.0, None, True, {"a": 1}, "t"], "|"]}, '1||true|{"a":1}|t'),
        ({"$join": [{"items": ["a", "b"]}, "-"]}, "a-b"),
        ({"$join": ["$missing", ","]}, ""),
        ({"$join": [5, ","]}, "5"),
        ({"$map": {"array": "$items", "as": "it", "return": "$$it.text"}},
         ["one", "two"]),
        ({"$map": {"items": "$items", "do": "$$text"}}, ["one", "two"]),
        ({"$map": {"array": "$items", "return": {"n": "$$item.id"}}},
         [{"n": 1}, {"n": 2}]),
        ({"$map": {"array": [1, 2], "return": "$$item"}}, [1, 2]),
        ({"$map": {"array": [1], "return": ["$$result.id", "$$payload.id", "$name"]}},
         [[9, 2, "Ann"]]),
        ({"$map": {"array": [{"payload": 7}], "return": "$$payload"}}, [7]),
        ({"$map": {"array": "$name", "return": 1}}, []),
        ({"$map": {"array": [[1, 2], [3]], "as": "row", "return":
            {"$map": {"array": "$$row", "as": "c", "return": ["$$c", "$$row.0"]}}}},
         [[[1, 1], [2, 1]], [[3, 3]]]),
        ({"$find": {"array": "$items", "where": {"$eq": ["$$id", "$count"]}}}, None),
        ({"$find": {"array": "$items", "as": "it", "where": {"$eq": ["$$it.id", 2]},
                    "return": "$$it.text"}}, "two"),
        ({"$find": {"items": "$items"}}, {"id": 1, "text": "one"}),
        ({"$find": {"array": "$missing", "return": 1}}, None),
        ({"$if": {"condition": "$no", "then": "yes", "else": "$name"}}, "Ann"),
        ({"$if": {"condition": [], "then": "yes", "else": "no"}}, "yes"),
        ({"$if": {"condition": "$no", "then": "yes"}}, None),
        ({"$toString": 5.0}, "5"),
        ({"$toString": None}, ""),
        ({"$toString": ["a"]}, '["a"]'),
        ({"$now": []}, None),
    ],
    ids=json.dumps,
)  # fmt: skip
def test_an_expression_gives(source, value):
    found = value_of(source)
    assert found == value
    assert type(found) is type(value)


def test_a_context_and_a_payload_may_have_keys_called_so():
    assert value_of("$context.a", {"context": {"a": 1}, "a": 2}) == 1
    assert value_of("$$payload.a", payload={"payload": {"a": 1}, "a": 2}) == 1
    assert value_of("$$payload", payload="text") == "text"
    assert value_of("$$payload", payload=None) is None


def test_now_is_what_the_scope_says_in_milliseconds():
    assert value_of({"$now": []}, now=1_700_000_000_123_456) == 1_700_000_000_123


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ({"$iff": {}}, "$iff: there is no such operator; did you mean '$if'?"),
        ({"a": [{"$eq": [1]}]}, "a[0].$eq: a list of two values is wanted"),
        ({"$eq": [1, 2], "b": 1}, "$eq: an operator is the only key of its object"),
        ("$", "is a path"),
        ("$a..b", "is a path"),
        ("$$todos.find(t => t.id === $$id)?.done", "is a path"),
        ("$5 and more", "is a path"),
        ({"$$a b": 1}, "is a path"),
        ({"$context": 5}, "$context: a path is wanted, not a number"),
        ({"$if": [1, 2, 3]}, "$if: an object with 'condition', 'then' and 'else'"),
        (
            {"$if": {"condition": 1, "thn": 2}},
            "$if.thn: there is no such key; did you mean",
        ),
        ({"$map": {"array": []}}, "$map: 'return' is missing"),
        ({"$map": {"return": 1}}, "$map: 'array' is missing"),
        ({"$map": "$items"}, "$map: an object with an 'array' is wanted, not a text"),
        (
            {"$map": {"array": [], "as": "a.b", "return": 1}},
            "$map.as: a name is wanted",
        ),
        (
            {"$find": {"array": [], "where": {"$nope": 1}}},
            "$find.where.$nope: there is no",
        ),
        ({"$join": [[], "", ""]}, "$join: a list is wanted"),
    ],
    ids=json.dumps,
)
def test_what_is_no_expression_is_named_by_its_place(source, problem):
    with pytest.raises(Refused) as refused:
        value_of(source)
    assert problem in str(refused.value)


def test_expressions_stand_fifty_deep_at_most():
    source = nested = {}
    for _ in range(49):
        nested["a"] = nested = {}
    nested["a"] = "$name"
    assert value_of(source) is not None
    nested["a"] = {"a": "$name"}
    with pytest.raises(Refused, match="nested deeper than 50"):
        value_of(source)


def test_a_constant_is_everyones_own():
    expression = Expression({"list": [1], "more": {"a": []}})
    first, second = (Scope.of({}, {}).value_of(expression) for _ in range(2))
    first["list"].append(2)
    first["more"]["a"].append(2)
    assert second == {"list": [1], "more": {"a": []}} == expression.source


def loops(deep, array, inner):
    source = inner
    for _ in range(deep):
        source = {"$map": {"array": array, "return": source}}
    return source


@pytest.mark.parametrize(
    "source",
    [
        loops(6, "$many", 1),
        loops(1, "$many", "$big"),
        loops(1, "$many", ["c" * 100_000]),
        loops(2, "$many", "$many"),
        {"$join": ["$many", "$big"]},
        loops(2, "$many", {"$find": {"array": "$many", "where": False}}),
    ],
    ids=["loops", "texts", "constants", "lists", "joined", "looking"],
)
def test_no_expression_runs_long_or_makes_much(source):
    context = {"many": list(range(1_000)), "big": "b" * 1_000_000}
    began = time.process_time()
    with pytest.raises(TooLarge, match="nothing was written"):
        value_of(source, context)
    assert time.process_time() - began < 3


def test_a_large_conversation_is_mapped():
    context = {"messages": [{"role": "user", "content": "x" * 500}] * 10_000}
    source = {"$map": {"array": "$messages", "as": "m", "return": {"c": "$$m.content"}}}
    assert len(value_of(source, context)) == 10_000


@given(machine_files.expressions(), machine_files.contexts(), machine_files.payloads())
def test_any_expression_has_a_value_and_changes_nothing(source, context, payload):
    before = copy.deepcopy((source, context, payload))
    found = value_of(source, context, payload, now=1_000)
    assert json.loads(json.dumps(found)) == found
    assert value_of(source, context, payload, now=1_000) == found
    assert (source, context, payload) == before


@given(machine_files.values(), machine_files.values())
def test_equality_and_truth_go_together(left, right):
    def value(source):
        return value_of(source, {"l": left, "r": right})

    same = value({"$eq": ["$l", "$r"]})
    assert same is value({"$eq": ["$r", "$l"]})
    assert value({"$ne": ["$l", "$r"]}) is not same
    assert same is (json.dumps(left) == json.dumps(right)) or _numbers_in(left)
    either, both = value({"$or": ["$l", "$r"]}), value({"$and": ["$l", "$r"]})
    neither = [{"$not": "$l"}, {"$not": "$r"}]
    assert either is not value({"$and": neither})
    assert both is not value({"$or": neither})
    assert value({"$lt": ["$l", "$r"]}) is value({"$gt": ["$r", "$l"]})


def _numbers_in(value):
    """Whether the JSON text of equals may differ: 1 and 1.0, keys in other order."""
    return any(mark in json.dumps(value) for mark in "0123456789{")


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_is_among_those_that_are_tried(name):
    operations = machine_files._operations(st.just(1), 1, ())
    assert name in find(operations, lambda made: name in made)
