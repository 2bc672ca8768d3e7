"""Specs: what a definition says of its machines, looked over and compiled.

Answers for: the form of a spec, everything that is wrong with one, the states and
transitions that it comes to.
Leaves to others: actions (`actions`), guards (`guards`), expressions
(`expressions`), reading files (`machine_records`), following it
(`machine_steps`).
Always holds: what is compiled never changes; every problem is named by its place, all
of them in one error.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from holdfast.statecharts.actions import (
    Action,
    Actions,
    Effect,
    Reader,
    Update,
    updated,
)
from holdfast.statecharts.guards import ALWAYS, Guard, guard_of
from holdfast.statecharts.places import Place, kind_of

__all__ = [
    "Action",
    "Effect",
    "Spec",
    "State",
    "Transition",
    "Update",
    "spec_of",
    "updated",
]

_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,200}")
_UNITS_US = {
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,6})?(?:ms|[smhdw]))+")
_PART = re.compile(r"([0-9.]+)(ms|[smhdw])")
_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")
_LONGEST_US = 100 * 366 * 86_400_000_000


class Transition(msgspec.Struct, frozen=True):
    """Where an event leads, if its guard holds, and what is done on the way."""

    target: str
    guard: Guard | None = None
    actions: Actions = ()


class State(msgspec.Struct, frozen=True):
    """A state; `after` has how long until which event, in microseconds."""

    name: str
    entry: Actions = ()
    exit: Actions = ()
    on: dict[str, tuple[Transition, ...]] = {}
    after: tuple[tuple[int, str], ...] = ()


class Spec(msgspec.Struct, frozen=True):
    """A spec, compiled.

    `guards` and `tools` are the names that it needs functions for; `told` has what is
    odd about it, and does no harm.
    """

    initial: str
    states: dict[str, State]
    guards: frozenset[str] = frozenset()
    tools: frozenset[str] = frozenset()
    told: tuple[str, ...] = ()


def spec_of(
    value: Mapping[str, Any],
    *,
    guards: Collection[str] | None = None,
    effects: Collection[str] | None = None,
) -> Spec:
    """A spec, compiled; `guards` and `effects` are the names that are provided.

    Without them, nobody looks whether what it needs is provided. Raises `Refused`, with
    all its problems.
    """
    place = Place()
    spec = _Reading(value, guards, effects).spec(place)
    place.refuse_problems("the spec")
    return spec


class _Reading:
    """Reads one spec, and tells places what is wrong there."""

    def __init__(
        self,
        value: Mapping[str, Any],
        guards: Collection[str] | None,
        effects: Collection[str] | None,
    ) -> None:
        self._value = value
        self._known_guards = guards
        self._guards: set[str] = set()
        self._reader = Reader(str(value.get("$id", "function")), effects)
        self._states: Mapping[str, Any] = {}

    def spec(self, place: Place) -> Spec:
        top = {key for key in self._value if not key.startswith("$")}
        place.tell_unknown(top, {"initial", "states"})
        if "states" not in self._value:
            place.at("states").tell("it is missing: an object of states by their names")
        self._states = _object(self._value, "states", place)
        states = {
            name: self._state(name, value, place.at("states").at(name))
            for name, value in self._states.items()
        }
        initial = self._target(self._value.get("initial"), place.at("initial"))
        return Spec(
            initial=initial,
            states=states,
            guards=frozenset(self._guards),
            tools=frozenset(self._reader.tools),
            told=(*_unreachable(initial, states), *_untried(states)),
        )

    def _state(self, name: str, value: Any, place: Place) -> State:
        if not _NAME.fullmatch(name):
            place.tell("a state's name has 1 to 200 printable characters")
        if not isinstance(value, dict):
            place.tell(f"an object is wanted, not {kind_of(value)}")
            return State(name)
        place.tell_unknown(value, {"entry", "exit", "on", "after"})
        on = {
            event: self._transitions(event, given, place.at("on").at(event))
            for event, given in _object(value, "on", place).items()
        }
        after = [
            (_wait_us(text, at), _event_of(event, on, at))
            for text, event in _object(value, "after", place).items()
            for at in [place.at("after").at(text)]
        ]
        return State(
            name=name,
            entry=self._reader.actions(value.get("entry"), place.at("entry")),
            exit=self._reader.actions(value.get("exit"), place.at("exit")),
            on=on,
            after=tuple(sorted(after)),
        )

    def _transitions(
        self, event: str, value: Any, place: Place
    ) -> tuple[Transition, ...]:
        if not _NAME.fullmatch(event):
            place.tell("an event's name has 1 to 200 printable characters")
        if not isinstance(value, list):
            return (self._transition(value, place),)
        if not value:
            place.tell("the list is empty: it leads nowhere")
        return tuple(
            self._transition(one, place.at(index)) for index, one in enumerate(value)
        )

    def _transition(self, value: Any, place: Place) -> Transition:
        if not isinstance(value, dict):
            return Transition(self._target(value, place))
        place.tell_unknown(value, {"target", "guard", "actions"})
        return Transition(
            target=self._target(value.get("target"), place.at("target")),
            guard=self._guard(value.get("guard"), place.at("guard")),
            actions=self._reader.actions(value.get("actions"), place.at("actions")),
        )

    def _target(self, value: Any, place: Place) -> str:
        if value is None:
            place.tell("it is missing: the name of a state")
        elif not isinstance(value, str):
            place.tell(f"the name of a state is wanted, not {kind_of(value)}")
        elif value not in self._states:
            place.tell(f"there is no state {value!r}{place.meant(value, self._states)}")
        else:
            return value
        return ""

    def _guard(self, value: Any, place: Place) -> Guard | None:
        guard = guard_of(value, place)
        if guard is not None and guard.function is not None:
            name, known = guard.function, self._known_guards
            if known is not None and name not in known:
                hint = place.meant(name, known) or f": give guards={{{name!r}: …}}"
                place.tell(f"nobody provides the guard {name!r}{hint}")
            self._guards.add(name)
        return guard


def _object(value: Mapping[str, Any], key: str, place: Place) -> dict[str, Any]:
    """An object within another; empty if it is not there."""
    found = value.get(key, {})
    if isinstance(found, dict):
        return found
    place.at(key).tell(f"an object is wanted, not {kind_of(found)}")
    return {}


def _event_of(event: Any, on: Collection[str], place: Place) -> str:
    """The event of a timer, which the state has to take."""
    if not isinstance(event, str):
        place.tell(f"an event's name is wanted, not {kind_of(event)}")
        return ""
    if event not in on:
        place.tell(f"the state takes no {event!r}{place.meant(event, on)}")
    return event


def _wait_us(text: str, place: Place) -> int:
    """A time span: `90s`, `1h30m`, `3d`, or a number of seconds."""
    if _SECONDS.fullmatch(text):
        text += "s"
    parts = _PART.findall(text) if _DURATION.fullmatch(text) else []
    wait_us = round(sum(float(number) * _UNITS_US[unit] for number, unit in parts))
    if not 0 < wait_us <= _LONGEST_US:
        place.tell(
            "this is no time span: say '90s', '1h30m', '3d' (ms, s, m, h, d, w) or a "
            "number of seconds, above 0 and up to 100 years"
        )
    return wait_us


def _unreachable(initial: str, states: Mapping[str, State]) -> Iterable[str]:
    reached, todo = {initial}, [initial]
    while todo:
        state = states.get(todo.pop())
        for choices in () if state is None else state.on.values():
            new = {choice.target for choice in choices} - reached
            reached |= new
            todo.extend(new)
    for name in states if initial in states else ():
        if name in reached:
            continue
        place = Place("states").at(name)
        yield f"{place.text}: nothing leads here from {initial!r}"


def _untried(states: Mapping[str, State]) -> Iterable[str]:
    for state in states.values():
        for event, choices in state.on.items():
            sure = [
                index
                for index, choice in enumerate(choices[:-1])
                if choice.guard is None or choice.guard is ALWAYS
            ]
            if sure:
                place = Place("states").at(state.name).at("on").at(event)
                yield f"{place.at(sure[0] + 1).text}: the one before it has no guard"
