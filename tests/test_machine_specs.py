"""Specs: files as they are, any file of the form, and every problem by its place."""

import asyncio
import copy
import json
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import machine_files
import pages
from holdfast.errors import Refused
from holdfast.statecharts.expressions import Scope
from holdfast.statecharts.guards import GuardFailed
from holdfast.statecharts.specs import Effect, Update, spec_of, updated

MACHINES = pages.ROOT.parent / "shared" / "data" / "machines"
SMALL = {"initial": "idle", "states": {"idle": {}}}


def with_state(**state):
    """A spec whose state `idle` says that."""
    return {"initial": "idle", "states": {"idle": state, "busy": {"on": {"B": "idle"}}}}


def on_go(**transition):
    return with_state(on={"GO": {"target": "busy", **transition}})


def guarded(guard, **known):
    """The guard of a spec that has it."""
    spec = spec_of(on_go(guard=guard), **known)
    return spec.states["idle"].on["GO"][0].guard


def actions_of(value, **known):
    return spec_of(on_go(actions=value), **known).states["idle"].on["GO"][0].actions


def holds(guard, context=None, payload=None, state="idle", **functions):
    return guarded(guard).holds(state, context or {}, payload, functions)


def refusal(spec, **known):
    with pytest.raises(Refused) as refused:
        spec_of(spec, **known)
    return str(refused.value)


# Files


@pytest.mark.parametrize("path", sorted(MACHINES.iterdir()), ids=lambda path: path.name)
def test_a_real_file_is_taken_as_it_is(path):
    value = json.loads(path.read_text())
    spec = spec_of(value, guards=(), effects=spec_of(value).tools)
    assert spec.initial == "idle"
    assert spec.states.keys() == value["states"].keys()
    lonely = "states.error: nothing leads here from 'idle'"
    assert spec.told == ((lonely,) if path.name.startswith("todos-list") else ())


def test_a_real_file_says_what_it_says():
    value = json.loads((MACHINES / "chat-vibe-vibe.state.maia").read_text())
    states = spec_of(value).states
    (effect,) = states["saving_response"].entry
    scope = Scope.of({}, {"result": {"content": "Hello"}})
    assert scope.value_of(effect.payload)["data"]["content"] == "Hello"
    (effect,) = states["calling_llm"].entry
    said = [{"role": "user", "content": "Hi", "id": 7}]
    sent = Scope.of({"conversations": said}, {}).value_of(effect.payload)["context"]
    assert [sent[0]["role"], *sent[1:]] == ["system", {"role": "user", "content": "Hi"}]
    error = states["error"].entry
    failed = Scope.of({}, {"errors": [{"message": "no model"}]})
    assert updated({}, error, failed) == {
        "error": "no model",
        "isLoading": False,
        "hasError": True,
    }


@given(machine_files.files(), machine_files.contexts(), machine_files.payloads())
def test_any_file_of_the_form_is_taken_and_can_be_followed(value, context, payload):
    before = copy.deepcopy((value, context, payload))
    spec = spec_of(value)
    assert spec_of(value, guards=spec.guards, effects=spec.tools).told == spec.told
    scope = Scope.of(context, payload)
    functions = dict.fromkeys(spec.guards, lambda context, payload: context.clear())
    for state in spec.states.values():
        choices = [choice for several in state.on.values() for choice in several]
        assert {choice.target for choice in choices} <= spec.states.keys()
        assert {event for _, event in state.after} <= state.on.keys()
        for choice in choices:
            if choice.guard is not None:
                answer = choice.guard.holds(state.name, context, payload, functions)
                assert type(answer) is bool
        for actions in (state.entry, state.exit, *(one.actions for one in choices)):
            changes = [one for one in actions if isinstance(one, Update)]
            json.dumps(updated(context, changes, scope))
            for effect in (one for one in actions if isinstance(one, Effect)):
                json.dumps(scope.value_of(effect.payload))
                assert effect.tool in spec.tools
    assert (value, context, payload) == before


@settings(max_examples=25)
@given(machine_files.files(), st.data())
def test_a_target_that_is_not_there_is_named_in_any_file(value, data):
    name = data.draw(st.sampled_from(sorted(value["states"])))
    value["states"][name].setdefault("on", {})["LOST"] = {"target": "nowhere at all"}
    assert ".on.LOST.target: there is no state 'nowhere at all'" in refusal(value)


# Problems


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({}, "states: it is missing"),
        ({"states": {"idle": {}}}, "initial: it is missing: the name of a state"),
        (
            {**SMALL, "initial": "idel"},
            "initial: there is no state 'idel'; did you mean",
        ),
        (
            {**SMALL, "initial": 5},
            "initial: the name of a state is wanted, not a number",
        ),
        ({**SMALL, "stats": 1}, "stats: there is no such key; did you mean 'states'?"),
        ({**SMALL, "states": []}, "states: an object is wanted, not a list"),
        (
            {**SMALL, "states": {"idle": 1}},
            "states.idle: an object is wanted, not a num",
        ),
        (with_state(enter=[]), "states.idle.enter: there is no such key; did you mean"),
        (with_state(on=[]), "states.idle.on: an object is wanted, not a list"),
        (
            with_state(on={"GO": "bus"}),
            "idle.on.GO: there is no state 'bus'; did you mean",
        ),
        (with_state(on={"GO": {}}), "states.idle.on.GO.target: it is missing"),
        (with_state(on={"GO": []}), "states.idle.on.GO: the list is empty"),
        (with_state(on={"": "B"}), "states.idle.on['']: an event's name has 1 to 200"),
        (with_state(on={"a\0": "B"}), "on['a\\x00']: an event's name has 1 to 200"),
        ({**SMALL, "states": {"": {}}}, "states['']: a state's name has 1 to 200"),
        (with_state(on={"GO": ["idle", None]}), "states.idle.on.GO[1]: it is missing"),
        (
            on_go(gard=True),
            "states.idle.on.GO.gard: there is no such key; did you mean",
        ),
        (on_go(guard=5), "states.idle.on.GO.guard: a guard is true or false"),
        (on_go(guard={"not": {}}), "states.idle.on.GO.guard: a guard is true or false"),
        (on_go(guard={"$eq": [1]}), "states.idle.on.GO.guard.$eq: a list of two"),
        (on_go(guard={"schema": 5}), "GO.guard.schema: a JSON Schema is an object"),
        (
            on_go(guard={"schema": {"type": "wat"}}),
            "schema: this is no valid JSON Schema",
        ),
        (
            on_go(guard={"schema": {"pattern": "("}}),
            "schema: this is no valid JSON Schema",
        ),
        (
            on_go(guard={"schema": {"$ref": "#/a"}}),
            "schema: this is no valid JSON Schema",
        ),
        (
            on_go(actions=5),
            "actions: an action is an object or a tool's name, not a num",
        ),
        (
            on_go(actions=[{}]),
            "actions[0]: an action has one of 'updateContext', 'tool',",
        ),
        (on_go(actions={"tool": "@a", "actor": "@b"}), "actions: an action has one of"),
        (
            on_go(actions={"tool": "@a", "playload": 1}),
            "actions.playload: there is no such",
        ),
        (on_go(actions={"tool": ""}), "GO.actions.tool: a tool: '' is no short name"),
        (
            on_go(actions={"tool": {}}),
            "GO.actions.tool: a tool: text is wanted, not dict",
        ),
        (on_go(actions={"updateContext": 5}), "actions.updateContext: an object or"),
        (
            on_go(actions={"updateContext": {"a": {"$ad": 1}}}),
            "updateContext.a.$ad: there",
        ),
        (
            on_go(actions={"tool": "@a", "payload": "$a b"}),
            "actions.payload: a text that",
        ),
        (
            on_go(actions={"tool": "@a", "onSuccess": {"target": "idle"}}),
            "by 'SUCCESS'",
        ),
        (on_go(actions={"tool": "@a", "onError": {"target": "idle"}}), "by 'ERROR'"),
        (
            on_go(actions={"sendEvent": {"type": "A"}}),
            "sendEvent.target: it is missing",
        ),
        (on_go(actions={"sendEvent": 5}), "sendEvent: an object is wanted"),
        (on_go(actions={"mapData": {"a": 5}}), "mapData.a: an object is wanted"),
        (on_go(actions={"mapData": 5}), "mapData: an object is wanted"),
        (on_go(actions={"function": "f"}), "function: true is wanted"),
        (on_go(actions={"setEventPayload": {}}), "actions: an action has one of"),
        (
            with_state(after={"soon": "GO"}),
            "states.idle.after.soon: this is no time span",
        ),
        (with_state(after={"0s": "GO"}), "states.idle.after.0s: this is no time span"),
        (with_state(after={"101000d": "GO"}), "this is no time span"),
        (
            with_state(after={"1h": "GO"}),
            "states.idle.after.1h: the state takes no 'GO'",
        ),
        (
            with_state(after={"1h": 5}),
            "states.idle.after.1h: an event's name is wanted",
        ),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else None,
)
def test_a_problem_is_named_by_its_place(spec, problem):
    told = refusal(spec)
    assert problem in told
    assert told.startswith("the spec")
    assert "nothing was written" in told


def test_all_problems_are_in_one_error():
    spec = {
        "initial": "idel",
        "states": {
            "idle": {"on": {"SEND": {"target": "chating", "guard": "redy"}}},
            "chatting": {"entry": {"tool": "@bd"}, "after": {"3x": "SEND"}},
        },
    }
    told = refusal(spec, guards=["ready"], effects=["@db"])
    assert told == (
        "the spec has 6 problems; nothing was written:\n"
        "- states.idle.on.SEND.target: there is no state 'chating'; did you mean "
        "'chatting'?\n"
        "- states.idle.on.SEND.guard: nobody provides the guard 'redy'; did you mean "
        "'ready'?\n"
        "- states.chatting.after.3x: this is no time span: say '90s', '1h30m', '3d' "
        "(ms, s, m, h, d, w) or a number of seconds, above 0 and up to 100 years\n"
        "- states.chatting.after.3x: the state takes no 'SEND'\n"
        "- states.chatting.entry.tool: nobody provides the tool '@bd'; did you mean "
        "'@db'?\n"
        "- initial: there is no state 'idel'; did you mean 'idle'?"
    )


def test_a_spec_with_very_many_problems_is_refused_in_no_time():
    many = {f"GO{n}": f"staet{n}" for n in range(20_000)}
    began = time.process_time()
    told = refusal(with_state(on=many))
    assert time.process_time() - began < 3
    assert told.startswith("the spec has 20,000 problems")
    assert told.endswith("\n- and 19,900 more")


def test_what_nobody_provides_is_named_when_somebody_looks():
    spec = on_go(guard="ready", actions=[{"tool": "@db"}, "mail"])
    made = spec_of(spec)
    assert (made.guards, made.tools) == ({"ready"}, {"@db", "mail"})
    spec_of(spec, guards={"ready": None}, effects=["mail", "@db"])
    told = refusal(spec, guards=(), effects=["mail"])
    assert "guard: nobody provides the guard 'ready': give guards={'ready': …}" in told
    assert "nobody provides the tool '@db': give effects={'@db': …}" in told


def test_what_is_odd_and_does_no_harm_is_told():
    spec = {
        "initial": "idle",
        "states": {
            "idle": {"on": {"GO": ["idle", {"target": "busy", "guard": False}]}},
            "busy": {"on": {"STOP": [{"target": "idle", "guard": "ok"}, "busy"]}},
            "a b": {"on": {"GO": "far"}},
            "far": {},
        },
    }
    assert spec_of(spec).told == (
        "states['a b']: nothing leads here from 'idle'",
        "states.far: nothing leads here from 'idle'",
        "states.idle.on.GO[1]: the one before it has no guard",
    )


# Timers


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("3d", 3 * 86_400),
        ("1h30m", 5_400),
        ("2w", 14 * 86_400),
        ("250ms", 0.25),
        ("1.5h", 5_400),
        ("3600", 3_600),
        ("0.5", 0.5),
    ],
)
def test_a_time_span_is(text, seconds):
    spec = spec_of(with_state(on={"LATE": "busy"}, after={text: "LATE"}))
    assert spec.states["idle"].after == ((round(seconds * 1_000_000), "LATE"),)


def test_timers_are_in_the_order_in_which_they_fire():
    on = {"FIRST": "busy", "LAST": "busy"}
    spec = spec_of(with_state(on=on, after={"1h": "LAST", "10m": "FIRST"}))
    assert [event for _, event in spec.states["idle"].after] == ["FIRST", "LAST"]


# Actions


def effects_as(actions, context=None, payload=None):
    scope = Scope.of(context or {}, payload)
    return [(one.tool, scope.value_of(one.payload), one.on_success) for one in actions]


def test_actions_come_to_updates_and_effects():
    actions = actions_of(
        [
            {"updateContext": {"a": "$$id"}},
            {"tool": "@db", "payload": {"id": "$$id"}},
            {"updateContext": "$$result"},
        ]
    )
    assert [type(one) for one in actions] == [Update, Effect, Update]
    assert (actions[0].values, actions[2].values) == ({"a": "$$id"}, None)
    assert effects_as(actions[1:2], {}, {"id": 5}) == [("@db", {"id": 5}, ())]


@pytest.mark.parametrize(
    ("action", "effect"),
    [
        ({"tool": "@db"}, ("@db", None, ())),
        ({"actor": "°Maia/actor/db"}, ("°Maia/actor/db", None, ())),
        ({"sendToActor": "db", "payload": "$$id"}, ("db", 5, ())),
        ("notify", ("notify", {"id": 5}, ())),
        ({"function": True}, ("@a/machine", {"id": 5}, ())),
        (
            {"sendEvent": {"target": "@b", "type": "A", "payload": {"x": "$$id"}}},
            ("sendEvent", {"target": "@b", "type": "A", "payload": {"x": 5}}, ()),
        ),
        (
            {"mapData": {"todos": {"schema": "@s", "filter": {"id": "$$id"}}}},
            (
                "mapData",
                {"op": "read", "schema": "@s", "filter": {"id": 5}},
                (Update({"todos": "$$result"}),),
            ),
        ),
        (
            {"tool": "@db", "onSuccess": {"updateContext": "$$result"}},
            ("@db", None, (Update(None),)),
        ),
        (
            {"tool": "@db", "onSuccess": {"updateContext": {"a": "$$result.b"}}},
            ("@db", None, (Update({"a": "$$result.b"}),)),
        ),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, (dict, str)) else "",
)
def test_an_action_is_work_for_a_tool(action, effect):
    spec = {"$id": "@a/machine", **on_go(actions=action)}
    (made,) = spec_of(spec).states["idle"].on["GO"][0].actions
    assert effects_as([made], {}, {"id": 5}) == [effect]


def test_updates_of_one_list_see_the_context_as_it_was():
    context = {"count": 1, "other": True}
    actions = actions_of(
        [{"updateContext": {"count": 2}}, {"updateContext": {"was": "$count"}}]
    )
    made = updated(context, actions, Scope.of(context, None))
    assert made == {"count": 2, "was": 1, "other": True}
    assert context == {"count": 1, "other": True}


def test_a_result_is_merged_if_it_is_an_object():
    for result, made in (
        ({"a": 2, "b": 3}, {"a": 2, "b": 3}),
        ("x", {"a": 1}),
        ([], {"a": 1}),
    ):
        scope = Scope.of({"a": 1}, {"result": result})
        assert updated({"a": 1}, [Update(None)], scope) == made


# Guards


@pytest.mark.parametrize(
    ("guard", "context", "payload", "answer"),
    [
        (True, {}, None, True),
        (False, {}, None, False),
        ({"$ne": ["$$id", None]}, {}, {"id": 1}, True),
        ({"$ne": ["$$id", None]}, {}, {}, False),
        ("$ready", {"ready": []}, None, True),
        ("$ready", {"ready": ""}, None, False),
        ({"schema": {"required": ["a"]}}, {"a": 1}, None, True),
        ({"schema": {"required": ["a"]}}, {}, {"a": 1}, False),
        ({"schema": {"properties": {"state": {"const": "idle"}}}}, {}, None, True),
        ({"schema": {"properties": {"state": {"const": "busy"}}}}, {}, None, False),
        ({"schema": {"properties": {"n": {"$ref": "#/$defs/n"}}, "$defs": {"n":
            {"type": "integer"}}}}, {"n": "1"}, None, False),
        ({"schema": False}, {}, None, False),
        ({"schema": {"properties": {"t": {"pattern": "^(?=(a+)+$)\\w+$"}}}},
         {"t": "a" * 200 + "b"}, None, False),
    ],
    ids=json.dumps,
)  # fmt: skip
def test_a_guard_says(guard, context, payload, answer):
    assert holds(guard, context, payload) is answer


def test_a_function_says_by_the_truth_of_what_it_gives():
    given = []

    def enough(context, payload):
        given.append((context, payload))
        return context["total"] - payload["limit"]

    assert holds("enough", {"total": 5}, {"limit": 4}, enough=enough) is True
    assert holds("enough", {"total": 5}, {"limit": 5}, enough=enough) is False
    assert given[0] == ({"total": 5}, {"limit": 4})


def test_a_function_changes_nothing_whatever_it_does():
    def careless(context, payload):
        context["list"].append(payload.pop("a"))
        return True

    context, payload = {"list": []}, {"a": 1}
    assert holds("careless", context, payload, careless=careless)
    assert (context, payload) == ({"list": []}, {"a": 1})


def test_a_guard_that_nobody_provides_is_a_lookup_error_with_its_name():
    with pytest.raises(LookupError) as error:
        holds("ready", other=None)
    assert error.value.args == ("ready",)
    assert not isinstance(error.value, KeyError)


def test_a_guard_that_cannot_be_evaluated_says_why():
    def broken(context, payload):
        return context["nothing"]

    async def late(context, payload):
        await asyncio.sleep(0)

    with pytest.raises(
        GuardFailed, match="'broken' counts as false: KeyError: 'nothing'"
    ):
        holds("broken", broken=broken)
    with pytest.raises(
        GuardFailed, match="'late' counts as false: a guard is not async"
    ):
        holds("late", late=late)
    many = {"$map": {"array": "$many", "return": {"$map": {"array": "$many", "do": 1}}}}
    with pytest.raises(GuardFailed, match="counts as false: an expression makes more"):
        holds({"$eq": [many, 1]}, {"many": [1] * 1_000})


def test_an_interrupt_is_not_taken_for_a_failure():
    def interrupted(context, payload):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        holds("interrupted", interrupted=interrupted)


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9/a", "https://example.com/a", "file:///etc/hostname"]
)
def test_a_schema_fetches_nothing(uri):
    told = refusal(on_go(guard={"schema": {"$ref": uri}}))
    assert "is elsewhere, and nothing is fetched: put it into '$defs'" in told


def test_a_guard_has_a_text_for_diagrams():
    texts = {"ready": "ready", True: "always", False: "never"}
    assert {guard: str(guarded(guard)) for guard in texts} == texts
    assert str(guarded({"schema": True})) == "schema"
    assert str(guarded({"$not": "$a"})) == '{"$not":"$a"}'


def test_without_its_library_a_schema_is_refused_and_all_else_is_not():
    program = """
import sys
sys.modules["jsonschema_rs"] = None
from holdfast.errors import Refused
from holdfast.statecharts.specs import spec_of
def spec(guard):
    on = {"GO": {"target": "a", "guard": guard}}
    return {"initial": "a", "states": {"a": {"on": on}}}
spec_of(spec({"$eq": [1, 1]}))
try:
    spec_of(spec({"schema": True}))
except Refused as error:
    print(error)
"""
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout == (
        "states.a.on.GO.guard.schema: guards that are JSON Schemas need jsonschema-rs: "
        "pip install 'holdfast[machines]'\n"
    )
