"""The registry: every operation by name, from plain data, with wrong types refused."""

import inspect
import json
import re
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, get_args, get_origin

import pytest

import holdfast
from examples import EXAMPLES, NAMES, OPERATIONS, WRITING, dump, example, furnish
from holdfast import edges, errors
from holdfast.clock import ManualClock
from holdfast.edges import Edge
from holdfast.page import Page, cursor_of

NEVER = (object(), range(3), Ellipsis, 1j)
"""What no argument of any operation takes."""
_TEXT = (5, 1.5, True, b"x", [], {}, "\ud800", "a\x00b")
_ID = (*_TEXT, "", "a/b", "a\\b", "..", " a", "a\n", "x" * 201)
_NAME = (*_TEXT, "", "1a", "a b", "a/b", "x" * 65)
_NUMBER = ("1", b"1", [], {}, True, float("nan"), float("inf"), 2**60, -(2**60))
_WHOLE = (*_NUMBER, 1.0, -1)
_NO_ZONE = datetime.fromisoformat("2026-01-01")
_VALUE = (
    b"x", {1}, {"a": {1}}, [float("nan")], float("inf"), "\ud800", {"\udc00": 1},
    {1: 2}, _NO_ZONE, "x" * 2_000,
)  # fmt: skip
_SELF: list[Any] = []
_SELF.append(_SELF)
_DEEP: list[Any] = []
for _ in range(5_000):
    _DEEP = [_DEEP]
_DRAFT = {"role": "user", "content": "x"}
_ITEM = {"namespace": ["a"], "key": "k", "value": {}}
_KEPT = {"type": "text", "body": "x"}
WRONG: dict[str, tuple[Any, ...]] = {
    "id_of": _ID,
    "name_of": _NAME,
    "tool_of": (*(name for name in _NAME if name != "a/b"), "a//b", "/a", "a/", "@"),
    "text_of": (*_TEXT, "x" * 1_001),
    "_description": (*_TEXT, "", "x" * 2_556),
    "document_of": (*_VALUE, _SELF, _DEEP),
    "data_of": (*_VALUE[:-1], _SELF, _DEEP),
    "_piece": (5, 1.5, True, b"x", [], {}, "\ud800", "x" * 2_000),
    "object_of": (5, "x", [], *({"a": wrong} for wrong in _VALUE)),
    "count_of": _WHOLE,
    "page_of": (*_WHOLE, 0, 1_001),
    "seconds_of": (*_NUMBER, 0, -1, 2**52),
    "number_of": _NUMBER,
    "_schedule_id": (*_ID, "x" * 161),
    "cron_of": (*_TEXT, "", "* * * *", "@daily", "60 * * * *", "0 0 30 2 *"),
    "zone_of": (*_TEXT, "", "Nowhere/Land", "../UTC", "America"),
    "every_of": (*_NUMBER, 0, -1, 0.01, 2**52),
    "time_of": (5, b"x", [], "yesterday", _NO_ZONE.date(), _NO_ZONE),
    "level_of": (5, True, b"x", {}, "", "loud", "INFO"),
    "patterns_of": (
        5, 1.5, True, b"x", [], {}, "", "a\x00", "x" * 201, ["a", 5], ["x"] * 101,
    ),
    "truth_of": (0, 1, "x", [], None),
    "_counting": (5, "x", b"x", [], {}, True),
    "_summary": (5, 1.5, b"x", [], {}, "\ud800", "", "x" * 2_000),
    "status": (5, True, b"x", [], {}, "", "elsewhere", "ACTIVE"),
    "_tags": (5, "x", b"x", [5], ["a/b"], [""], [None], ["x"] * 101),
    "names_of": (5, "x", b"x", [5], ["a b"], [None]),
    "_drafts": (
        5, "x", b"x", _DRAFT, [5], [None], [[]], [{}], [{"role": "user"}],
        [{"content": "x"}], [{**_DRAFT, "extra": 1}], [{**_DRAFT, 5: 1}],
        *([{**_DRAFT, "content": wrong}] for wrong in _VALUE),
        *([{**_DRAFT, "id": wrong}] for wrong in _ID),
        *([{**_DRAFT, "role": wrong}] for wrong in _NAME),
        [{**_DRAFT, "metadata": []}], [_DRAFT, {**_DRAFT, "content": {1}}],
        [_DRAFT] * 21,
    ),
    "_role": (*_TEXT, "", "x" * 201),
    "texts_of": (
        5, "x", [5], [None], ["\ud800"], ["a\x00"],
        [str(n) for n in range(101)],
    ),
    "_counts": (5, "x", [], {}, {5: 1}, *({"a": wrong} for wrong in _NUMBER)),
    "_agent_drafts": (
        5, "x", b"x", {"name": "x"}, [5], [None], [{}], [{"id": "x"}],
        [{"name": "x", "extra": 1}], [{"name": "x", 5: 1}], [{"name": None}],
        *([{"name": "x", "id": wrong}] for wrong in _ID),
        *([{"name": wrong}] for wrong in _TEXT),
        *([{"name": "x", "metadata": {"a": wrong}}] for wrong in _VALUE),
        [{"name": "x", "traits": "x"}], [{"name": "x", "status": "a b"}],
        [{"name": "x", "role": ""}], [{"name": "x", "created_at": "yesterday"}],
        [{"name": "x"}] * 21,
    ),
    "_indexed": (*_TEXT, "x" * 1_801),
    "_values": (
        5, "x", [], {5: _KEPT}, {"a": 5}, {"a": {}}, {"a": {**_KEPT, "more": 1}},
        {"a": {**_KEPT, "body": 5}}, {"a": {**_KEPT, "body": "a\x00"}},
        {"a": {**_KEPT, "body": "\ud800"}}, {"a": {**_KEPT, "type": None}},
        {"a": {**_KEPT, "body": "x" * 10_001}},
    ),
    "_writes": (
        5, "x", b"x", _KEPT, [5], [None], [{}], [_KEPT], [("a", "b")],
        [{**_KEPT, "index": 1.5, "channel": "a"}],
        [{**_KEPT, "index": 1, "channel": 5}],
    ),
    "_ids": (5, "x", b"x", {}, [5], ["a/b"], [""], [None], ["x"] * 21),
    "_channels": (5, "x", b"x", {}, [5], ["\ud800"], [None], ["x"] * 21),
    "_renamed": (5, "x", [], {5: "a"}, {"a": 5}, {"a": "\ud800"}),
    "labels_of": (5, "x", b"x", {}, [5], [""], [None], ["a\x00"], ["x" * 999]),
    "key_in_section": (
        5, 1.5, True, b"x", [], {}, "", "\ud800", "a\x00b", "x" * 1_001,
    ),
    "by_key": (
        5, "x", b"x", [], {5: 1}, {"": 1}, {"x" * 1_001: 1}, {"\ud800": 1},
        *({"a": wrong} for wrong in _VALUE),
    ),
    "key_of": (5, 1.5, True, b"x", [], {}, "", "\ud800", "a\x00b", "x" * 1_001),
    "_content": (5, "x", [], *({"a": wrong} for wrong in _VALUE)),
    "_contents": (
        5, "x", b"x", _ITEM, [5], [None], [[]], [{}], [{**_ITEM, "extra": 1}],
        *([{**_ITEM, "value": {"a": wrong}}] for wrong in _VALUE),
        [{**_ITEM, "namespace": "x"}], [{**_ITEM, "key": ""}], [{**_ITEM, "value": 5}],
        [{**_ITEM, "ttl_seconds": 0}], [{**_ITEM, "vectors": [1]}], [_ITEM] * 21,
    ),
    "_places": (
        5, "x", b"x", {}, [5], [["x", "y"]], [[[], ""]], [[[]]], [[[], "k"]] * 21
    ),
    "filter_of": (
        5, "x", [], {"a": {"$in": [1]}}, {"a": {"$gt": 1, "b": 2}}, {"a": {1}}
    ),
    "vector_of": (5, "x", {}, [], ["x"], [True], [float("nan")], [1] * 16_385),
    "vectors_of": (5, "x", [], {"a": 5}, {"a": []}, {5: [1]}, {"a": [1.0] * 900}),
    "_names": (5, "x", b"x", [5], ["a b"], [None], ["a"] * 21),
    "_tools": (
        5, "x", b"x", {}, [5], [None], [{}], [{"name": ""}], [{"name": 5}],
        [{"function": {}}], [{"name": "a"}, {"function": {"name": "a"}}],
        *([{"name": "a", "b": wrong}] for wrong in _VALUE),
    ),
    "_lanes": (5, "x", b"x", [5], ["a/b"], [""], [None], ["a"] * 21),
    "_priority": (*_NUMBER, 1.0, 2**31 + 1),
    "_attempts": (*_WHOLE, 0, 1_001),
    "_delay": (*_NUMBER, -1, 2**52),
    "_backoff": (
        5, "x", b"x", [], {"first_seconds": 0}, {"most_seconds": "x"}, {"factor": 0.5},
        {"factor": 1_001}, {"jitter": -1}, {"jitter": 2}, {"jitter": float("nan")},
        {"factor": float("inf")}, {"other": 1}, {5: 1},
    ),
    "_trace": (
        5, "x", b"x", [], {"a": 5}, {"a": "x" * 2_000}, {"a": "\ud800"}, {5: "x"},
    ),
    "_machine_name": (*_TEXT, "", "a b", "a\\b", "a\x7f", "x" * 201),
    "_machine_id": (*_ID, "x" * 191),
    "_event": (*_TEXT, "", "x" * 201),
    "_spec": (
        5, b"x", [], ["initial"], {"initial": {1}}, {"initial": "\ud800"}, {5: "a"},
        {"initial": "x" * 2_000},
    ),
    "_functions": (5, "x", b"x", [5], [None], {5: None}, {"a": 5}, ["a\x00"]),
    "_from_versions": (
        5, "x", [], {"a": {}}, {1: "a"}, {1: {"a": 5}}, {1: {5: "a"}}, {1.5: {}},
    ),
    "_patterns": (
        5, "x", b"x", [], [5], [""], [None], ["a\n"], ["x" * 201], ["x"] * 101,
        [f"{n:0199d}" for n in range(9)],
    ),
    "_share": (*_NUMBER, -0.1, 1.1),
    "_rate": (*_NUMBER, 0, -1, 2**52),
    "where_of": (
        5, "x", [], {"a": {}}, {"a": [1]}, {"a..b": 1}, {"": 1}, {5: 1}, {"a": {1}},
        {"a": "x" * 2_000},
    ),
    "composition_name": (*_TEXT, "", " a", "a\n", "a\u200b", "x" * 201, "é" * 101),
    "version_of": (*_TEXT, "", "1 ", "1\n2", "1" * 65),
    "folder_of": (5, 1.5, True, b"x", [], {}, "", "a\x00b", "\ud800", "x" * 1_001),
    "cursor": (
        5, b"x", [], "nonsense", "é", "\ud800", "", cursor_of(True, True),
        cursor_of(1, 2, 3), cursor_of("a"), cursor_of(2**63, 2**63), cursor_of(2**63),
        cursor_of(-(2**63) - 1), cursor_of(-(2**63) - 1, 0),
    ),
}  # fmt: skip
"""By the check that an argument passes: what that check must refuse."""
SMALL = holdfast.Limits(value_bytes=1_000, text_bytes=1_000, batch=20)


@pytest.fixture
def small(loop, clock):
    """Stores with small limits, through each face."""
    with holdfast.open(":memory:", clock=clock, limits=SMALL) as store:
        furnish(store, "ada")
        yield store


@pytest.fixture(scope="module")
def untouched():
    """One such store, for tests that try to write and cannot."""
    with holdfast.open(":memory:", clock=ManualClock(), limits=SMALL) as store:
        furnish(store, "ada")
        store._core.engine.tidy = None  # on a thread that a test would leave behind
        yield store


def parameters(name):
    """The parameters of an operation, and for each the name of its check."""
    function = OPERATIONS[name].function
    hints = inspect.get_annotations(function, eval_str=True)
    hints.pop("return", None)
    return {
        parameter: "cursor" if parameter == "cursor" and hint else check_of(hint)
        for parameter, hint in hints.items()
    }


def check_of(hint):
    """The name of the check that an annotation stands for."""
    if get_origin(hint) is Annotated:
        check = next(m.check for m in get_args(hint) if type(m) is Edge)
        return "status" if check.__qualname__.startswith("member_of") else (
            check.__name__
        )  # fmt: skip
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "status"
    if args := get_args(hint):
        return next(
            check_of(arg)
            for arg in args
            if arg is not type(None) and "Unset" not in str(arg)
        )
    return edges._PLAIN[hint].__name__


PLACES = [(name, place) for name in NAMES for place in parameters(name)]


def optional(name, place):
    """Whether None is a value that this parameter takes."""
    hints = inspect.get_annotations(OPERATIONS[name].function, eval_str=True)
    return type(None) in parts(hints[place]) or hints[place] is edges.Value


def parts(hint):
    """The types that an annotation is made of."""
    if get_origin(hint) is Annotated:
        return parts(get_args(hint)[0])
    if isinstance(hint, list):  # what a function takes
        return set()
    return {hint}.union(*(parts(arg) for arg in get_args(hint)))


def wrong_values(name, place):
    """Everything that a parameter must refuse."""
    check = parameters(name)[place]
    assert check in WRONG, f"say in WRONG what {check} must refuse"
    return (*NEVER, *WRONG[check], *(() if optional(name, place) else (None,)))


def refusal(store, name, args):
    """What the error says with which bad input is refused; None if it is taken."""
    try:
        store.call(name, args)
    except errors.BadInput as error:
        return str(error)
    return None


def label(value):
    """A value, for a failed test's text."""
    return "deep" if value is _DEEP or value is _SELF else repr(value)[:80]


@pytest.mark.parametrize("name", NAMES)
def test_an_operation_has_an_example_of_plain_data(name):
    args = example(name).args
    assert json.loads(json.dumps(args)) == args


def test_examples_name_every_parameter_but_those_that_exclude_others():
    left = {
        f"{name}.{place}"
        for name, place in PLACES
        if place not in example(name).args and place != "cursor"
    }
    functions = {"sessions.context.count"}  # no plain data
    others = {"schedules.put.every_seconds", "sessions.list.tag", "tasks.list.stale"}
    others |= {"jobs.put.run_at", "agents.list.parent", "sessions.overviews.tag"}
    new_here = {"workspaces.put.expect"}  # what is new to one is there for another
    assert left == others | functions | new_here


@pytest.mark.parametrize("face", ["sync", "async"])
@pytest.mark.parametrize("name", NAMES)
def test_a_call_by_name_does_what_the_method_does(name, face, loop):
    kind, operation = name.split(".")
    args = example(name).args
    opened = [holdfast.open(":memory:", clock=ManualClock()) for _ in range(2)]
    for store in opened:
        furnish(store, "ada")
    by_name, by_method = opened
    if face == "sync":
        method = getattr(getattr(by_method, kind), operation)
        found = [by_name.call(name, args), method(**args)]
    else:
        method = getattr(getattr(by_method.aio, kind), operation)
        found = [awaited(loop, by_name.aio.call(name, args))]
        found.append(awaited(loop, method(**args)))
    assert plain(found[0]) == plain(found[1])
    by_method.state.flush()  # a method changes it in memory first
    assert dump(by_name) == dump(by_method)
    for store in opened:
        store.close()


def awaited(loop, value):
    """What an awaitable or an async iterator gives."""

    async def collect():
        return [item async for item in value]

    if inspect.isasyncgen(value):
        return loop.run_until_complete(collect())
    return loop.run_until_complete(value)


def plain(result):
    """A result as it is, and an iterator or a page as the list of what it gives."""
    return (
        list(result)
        if isinstance(result, Page) or inspect.isgenerator(result)
        else result
    )


@pytest.mark.parametrize(("name", "place"), PLACES, ids=str)
def test_a_wrong_type_is_refused_at_the_edge_and_writes_nothing(untouched, name, place):
    before = dump(untouched)
    for value in wrong_values(name, place):
        said = refusal(untouched, name, {**example(name).args, place: value})
        assert said is not None, f"{name} took {label(value)} as its {place}"
        assert place in said
    assert dump(untouched) == before


@pytest.mark.parametrize("name", NAMES)
def test_the_async_face_refuses_the_same(small, loop, name):
    for place in parameters(name):
        for value in (*NEVER, WRONG[parameters(name)[place]][0]):
            with pytest.raises(errors.BadInput):
                awaited(
                    loop, small.aio.call(name, {**example(name).args, place: value})
                )


@pytest.mark.parametrize("name", WRITING)
def test_a_transaction_refuses_the_same_and_goes_on(small, name):
    kind, operation = name.split(".")
    before = dump(small, "")
    with small.transaction() as tx:
        method = getattr(getattr(tx, kind), operation)
        for place in parameters(name):
            for value in wrong_values(name, place):
                with pytest.raises(errors.BadInput):
                    method(**{**example(name).args, place: value})
        assert tx.sessions.get("talk").message_count == 3
    assert dump(small, "") == before


@pytest.mark.parametrize("name", NAMES)
def test_an_argument_by_position_is_checked_like_one_by_name(small, name):
    kind, operation = name.split(".")
    method = getattr(getattr(small, kind), operation)
    signature = list(OPERATIONS[name].signature.parameters.values())[1:]
    places = [p.name for p in signature if p.kind is p.POSITIONAL_OR_KEYWORD]
    args = example(name).args
    for index, place in enumerate(places):
        given = [args[p] for p in places[:index]]
        needed = {p.name for p in signature if p.default is p.empty}
        rest = [args[p] for p in places[index + 1 :] if p in needed]
        for value in wrong_values(name, place):
            with pytest.raises(errors.BadInput):
                plain(method(*given, value, *rest))


@pytest.mark.parametrize("name", NAMES)
def test_arguments_that_do_not_fit_the_signature_are_a_wrong_type(small, name):
    args = example(name).args
    before = dump(small)
    required = [
        p.name
        for p in OPERATIONS[name].signature.parameters.values()
        if p.default is p.empty and p.name != "self"
    ]
    bad = [{**args, "other": 1}, {**args, "self": 1}, {**args, 5: 1}, [1], "x", 5]
    bad += [{k: v for k, v in args.items() if k != gone} for gone in required]
    for wrong in bad:
        with pytest.raises(errors.WrongType, match=name):
            small.call(name, wrong)
    assert dump(small) == before


@pytest.mark.parametrize("name", ["sessions.nothing", "nothing", "", 5, None, ["x"]])
def test_an_operation_that_is_not_there_is_refused(small, loop, name):
    for call in (small.call, lambda name: awaited(loop, small.aio.call(name))):
        with pytest.raises((errors.Refused, errors.WrongType)):
            call(name)


def test_what_a_caller_hands_in_is_left_as_it_was(small):
    for name in NAMES:
        args = json.loads(json.dumps(example(name).args))
        kept = json.loads(json.dumps(args))
        owner = small.owned_by(name)
        furnish(owner, "ada")
        owner.call(name, args)
        assert args == kept


@pytest.mark.parametrize("name", NAMES)
def test_an_operation_says_what_it_does_and_which_errors_it_raises(name):
    text = inspect.getdoc(OPERATIONS[name].function) or ""
    assert re.match(r"[A-Z].{15,}?[.;]", text, re.DOTALL)
    assert len(text.splitlines()[0]) <= 88
    for word in re.findall(r"Raises ([^.]*)", text):
        for said in re.findall(r"`([A-Z]\w+)`", word):
            assert issubclass(getattr(errors, said), errors.HoldfastError)


def named(name):
    """The errors that an operation's docstring names, with those it refers to."""
    kind, _ = name.split(".")
    text = inspect.getdoc(OPERATIONS[name].function) or ""
    found = set(re.findall(r"`([A-Z]\w+)`", text))
    for other in re.findall(r"[Aa]s\s+`(\w+)`", text):
        found |= named(f"{kind}.{other}")
    return found


TROUBLE: dict[str, tuple[dict[str, Any], ...]] = {
    "agents.claim": ({"id": "boss"},),
    "agents.create": ({"id": "boss"}, {"parent": "gone"}),
    "agents.create_all": (
        {"agents": [{"name": "x", "id": "boss"}]},
        {"agents": [{"name": "x", "parent": "gone"}]},
    ),
    "agents.increment": (
        {"id": "boss", "counts": {"n": 1e308 / 1e300}},
        {"counts": {"n": 2**53}},
    ),
    "agents.link": (
        {"target": "gone"},
        {"relation": "spawned", "target": "boss"},
        {"id": "free", "relation": "spawned"},
    ),
    "agents.list": ({"parent": "gone"},),
    "agents.update": ({"expect": 9},),
    "agents.verify": ({"fence": 7}, {"id": "hand"}),
    "index.get": ({"version": "9"},),
    "index.resolve": ({"name": "gone"},),
    "inbox.deliver": ({"id": "asked"}, {"id": "second", "body": None}),
    "inbox.retry": ({"id": "first"},),
    "journal.advance": ({"to": 0},),
    "journal.read": ({"kinds": ["nothing"]},),
    "journal.stretch": ({"kinds": ["nothing"]},),
    "jobs.cancel": ({"id": "dead"},),
    "jobs.complete": ({"fence": 7}, {"id": "ready"}, {"id": "dead"}),
    "jobs.fail": ({"fence": 7}, {"id": "dead"}),
    "jobs.join": ({"fence": 7}, {"id": "dead"}),
    "jobs.keep_step": ({"fence": 7}, {"id": "dead"}),
    "jobs.limit": ({"rate": None}, {"per_seconds": None}),
    "jobs.put": (
        {"id": "held"},
        {"session": "gone"},
        {"parent": "gone"},
        {"run_at": "2100-01-01T00:00:00Z"},
    ),
    "jobs.release": ({"fence": 7}, {"id": "dead"}),
    "jobs.renew": ({"fence": 7}, {"id": "dead"}),
    "jobs.revive": ({"id": "held"},),
    "jobs.signal": ({"id": "dead"},),
    "jobs.sleep": ({"fence": 7}, {"name": "ask"}),
    "jobs.wait": ({"fence": 7}, {"signal": "ask"}),
    "leases.acquire": ({"id": "leased"}, {"id": "gone"}, {"kind": "nothing"}),
    "leases.renew": ({"fence": 7}, {"id": "gone"}),
    "machines.can": ({"event": "WAIT"},),
    "machines.create": ({"name": "gone"}, {"name": "shop", "id": "fresh"}),
    "machines.define": (
        {"spec": {}},
        {"effects": []},
        {"guards": []},
        {"name": "order", "version": 1},
        {"from_versions": {"1": {"a": "gone"}}},
        {"spec": "gone.state.maia"},
    ),
    "machines.definition": ({"name": "gone"}, {"version": 9}),
    "machines.list": ({"name": None},),
    "machines.receive": ({"machine": "gone"},),
    "machines.send": (
        {"expect": "paid"},
        {"event": "NONE"},
        {"event": "WAIT"},
        {"payload": "x" * 900},
    ),
    "machines.upgrade": ({"name": "gone"},),
    "observations.create": ({"id": "seen"},),
    "observations.update": ({"expect": 9},),
    "sessions.append": ({"expect": 9}, {"message_id": "m1"}),
    "sessions.begin_reply": ({"message_id": "m1"},),
    "sessions.create": ({"id": "talk"}, {"parent": "gone"}),
    "sessions.end_reply": ({"id": "talk", "message_id": "m1"}, {"message_id": "m1"}),
    "sessions.extend_reply": ({"id": "talk", "message_id": "m1"}, {"at": 5}),
    "sessions.extend": ({"expect": 9}, {"messages": [{**_DRAFT, "id": "m1"}]}),
    "sessions.update": ({"expect": 9},),
    "tasks.create": ({"id": "doing"}, {"session": "gone"}),
    "tasks.list": ({"stale": True},),
    "tasks.start": ({"id": "done"},),
    "tasks.hold": ({"id": "done"},),
    "tasks.complete": ({"id": "done"},),
    "tasks.fail": ({"id": "done"},),
    "tasks.cancel": ({"id": "done"},),
    "tasks.progress": ({"id": "done"},),
    "tasks.update": ({"expect": 9}, {"session": "gone"}),
    "workspaces.put": ({"expect": 9},),
    "workspaces.touch": ({"session": "gone"},),
}
"""By operation: changes of its example that get it into trouble."""


@pytest.mark.parametrize("name", NAMES)
def test_every_error_that_an_operation_raises_is_named_in_its_docstring(small, name):
    small.tasks.create("done", id="done")
    small.tasks.cancel("done")
    small.leases.acquire("tasks", "todo", holder="other", seconds=60)
    changes = list(TROUBLE.get(name, ()))
    if "id" in parameters(name) and name.split(".")[0] != "journal":
        changes += [{"id": "gone"}]
        changes += [{"id": "leased" if "sessions" in name else "todo"}]
    raised = set()
    for change in changes:
        try:
            small.call(name, {**example(name).args, **change})
        except errors.HoldfastError as error:
            raised.add(public(type(error)))
    assert not TROUBLE.get(name) or raised
    assert raised <= named(name)


def public(error):
    """The name by which users know an error's class, which may be one of ours."""
    known = (c.__name__ for c in error.__mro__ if c.__module__ == errors.__name__)
    return next(known)


def test_trouble_and_examples_are_of_operations_that_are_there():
    assert TROUBLE.keys() <= EXAMPLES.keys() == OPERATIONS.keys()
