"""Actions: what a spec has a machine do, as changes of its context and as effects.

Answers for: the forms that an action has, what each comes to, what is wrong with one.
Leaves to others: where actions stand (`specs`), doing them (`machine_steps`).
Always holds: whatever the form, two things can be done: an update changes the context
at once, an effect becomes a job.
"""

import functools
from collections.abc import Collection, Iterable
from typing import Any, TypeAlias

import msgspec

from holdfast.edges import tool_of
from holdfast.errors import BadInput
from holdfast.limits import Limits
from holdfast.statecharts.expressions import Expression, Scope, expression_of
from holdfast.statecharts.places import Place, kind_of

_RESULT = "$$result"
_PAYLOAD = "$$payload"
_LIMITS = Limits()
_TOOL_KEYS = {"payload", "onSuccess", "onError"}
_FORMS: dict[str, set[str]] = {
    "updateContext": set(),
    "tool": _TOOL_KEYS,
    "actor": _TOOL_KEYS,
    "sendToActor": _TOOL_KEYS,
    "sendEvent": set(),
    "mapData": set(),
    "function": set(),
}
"""The forms of an action, each with what else it may have."""


class Update(msgspec.Struct, frozen=True, dict=True):
    """A change of the context; None for `$$result`, all of whose keys are taken."""

    values: dict[str, Any] | None

    @functools.cached_property
    def changes(self) -> Expression:
        """What gives the keys that change."""
        return Expression(_RESULT if self.values is None else self.values)


class Effect(msgspec.Struct, frozen=True):
    """Work for a tool: its payload, and what its result changes."""

    tool: str
    payload: Expression
    on_success: tuple[Update, ...] = ()


Action: TypeAlias = Update | Effect
Actions: TypeAlias = tuple[Action, ...]


def updated(
    context: dict[str, Any], updates: Iterable[Update], scope: Scope
) -> dict[str, Any]:
    """A context as some updates leave it; all of them see the same scope."""
    made = context
    for update in updates:
        values = scope.value_of(update.changes)
        if type(values) is dict:
            made = {**made, **values}
    return made


class Reader:
    """Reads the actions of a spec, and keeps which tools they name."""

    def __init__(self, id: str, effects: Collection[str] | None) -> None:
        self.tools: set[str] = set()
        self._id = id
        self._effects = effects

    def actions(self, value: Any, place: Place) -> Actions:
        """One action, or a list of them; what is wrong is told of its place."""
        if value is None:
            return ()
        if not isinstance(value, list):
            return self._action(value, place)
        found = (self._action(one, place.at(i)) for i, one in enumerate(value))
        return tuple(action for actions in found for action in actions)

    def _action(self, value: Any, place: Place) -> Actions:
        if isinstance(value, str):
            return (self._effect(value, place, _PAYLOAD, place),)
        if not isinstance(value, dict):
            place.tell(f"an action is an object or a tool's name, not {kind_of(value)}")
            return ()
        forms = [key for key in value if key in _FORMS]
        if len(forms) != 1:
            place.tell(f"an action has one of {_listed(_FORMS)}, not {_listed(value)}")
            return ()
        (form,) = forms
        place.tell_unknown(value, {form, *_FORMS[form]})
        if _FORMS[form]:
            return self._tool(form, value, place)
        return self._of(form, value[form], place.at(form))

    def _of(self, form: str, value: Any, place: Place) -> Actions:
        """What the one key of an action comes to."""
        match form:
            case "updateContext":
                return self._updates(value, place)
            case "sendEvent":
                return self._send_event(value, place)
            case "mapData":
                return self._map_data(value, place)
            case _:
                return self._function(value, place)

    def _updates(self, values: Any, place: Place) -> tuple[Update, ...]:
        if values == _RESULT:
            return (Update(None),)
        if not isinstance(values, dict):
            place.tell(f"an object or {_RESULT!r} is wanted, not {kind_of(values)}")
            return ()
        expression_of(values, place)
        return (Update(values),)

    def _tool(self, form: str, value: dict[str, Any], place: Place) -> Actions:
        if "onError" in value:
            place.at("onError").tell(
                "where a machine goes when a tool fails is said by 'ERROR' in the "
                "state's 'on'"
            )
        payload, at = value.get("payload"), place.at("payload")
        changes = self._on_success(value.get("onSuccess"), place.at("onSuccess"))
        return (self._effect(value[form], place.at(form), payload, at, changes),)

    def _on_success(self, value: Any, place: Place) -> tuple[Update, ...]:
        if value is None:
            return ()
        if isinstance(value, dict) and value.keys() == {"updateContext"}:
            return self._updates(value["updateContext"], place.at("updateContext"))
        place.tell(
            "an object with 'updateContext' alone is wanted; where a machine goes when "
            "its tools are done is said by 'SUCCESS' in the state's 'on'"
        )
        return ()

    def _send_event(self, event: Any, place: Place) -> Actions:
        """An event for somebody else is work for the tool `sendEvent`."""
        if not isinstance(event, dict):
            place.tell(f"an object is wanted, not {kind_of(event)}")
            return ()
        place.tell_unknown(event, {"target", "type", "payload"})
        for key in ("target", "type"):
            if key not in event:
                place.at(key).tell("it is missing")
        return (self._effect("sendEvent", place, event, place),)

    def _map_data(self, queries: Any, place: Place) -> Actions:
        """Each query is work for the tool `mapData`, whose result its key becomes."""
        if not isinstance(queries, dict):
            place.tell(f"an object is wanted, not {kind_of(queries)}")
            return ()
        made = []
        for key, query in queries.items():
            if not isinstance(query, dict):
                place.at(key).tell(f"an object is wanted, not {kind_of(query)}")
                continue
            changes = (Update({key: _RESULT}),)
            asked = {"op": "read", **query}
            made.append(self._effect("mapData", place, asked, place.at(key), changes))
        return tuple(made)

    def _function(self, value: Any, place: Place) -> Actions:
        """The machine's own function is a tool by the name of the spec's `$id`."""
        if value is not True:
            place.tell("true is wanted: a function that has a name is a 'tool'")
            return ()
        return (self._effect(self._id, place, _PAYLOAD, place),)

    def _effect(
        self,
        tool: Any,
        place: Place,
        payload: Any,
        payload_place: Place,
        on_success: tuple[Update, ...] = (),
    ) -> Effect:
        made = Effect(tool, expression_of(payload, payload_place), on_success)
        try:
            tool_of(tool, "a tool", _LIMITS)
        except BadInput as error:
            place.tell(str(error))
            return made
        if self._effects is not None and tool not in self._effects:
            hint = place.meant(tool, self._effects) or f": give effects={{{tool!r}: …}}"
            place.tell(f"nobody provides the tool {tool!r}{hint}")
        self.tools.add(tool)
        return made


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "nothing"
