"""What a drawing of a machine shows, whatever it is drawn with.

Answers for: its states, the arrows between them, and the way it has gone so far.
Leaves to others: how that is written (`mermaid`) or painted (`machine_pictures`).
Always holds: whatever the history tells is in the drawing, even if the definition has
no such state or transition any more.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from holdfast.cli.output import one_line
from holdfast.statecharts.specs import Effect, Spec, State, Transition

if TYPE_CHECKING:
    from holdfast.kinds.machine_records import MachineStep
    from holdfast.statecharts.specs import Action

_LONGEST = 40
_TOLD_ONE_BY_ONE = 3
"""So many steps along a way are told by their numbers; of more, how many there are."""
_SPANS = ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"))
_SECOND = 1_000_000
_Move: TypeAlias = tuple[str, str, str]
"""The state before, the event (or what is noted instead), the state after."""


class Way(msgspec.Struct, frozen=True):
    """A transition in a few words, and the steps that were made along it."""

    text: str
    steps: tuple[int, ...] = ()
    gone: bool = False
    """Whether the definition has it no more."""

    def told(self) -> str:
        """The text, and which steps went this way."""
        if not self.steps:
            return self.text
        if len(self.steps) > _TOLD_ONE_BY_ONE:
            return f"{self.text} ({len(self.steps):,} times)"
        return f"{self.text} ({', '.join(f'{step:,}' for step in self.steps)})"


class Arrow(msgspec.Struct, frozen=True):
    """All the ways from one state to another, or back to itself."""

    source: str
    target: str
    ways: tuple[Way, ...]

    @property
    def taken(self) -> bool:
        """Whether the machine has gone along it."""
        return any(way.steps for way in self.ways)

    @property
    def gone(self) -> bool:
        """Whether the definition has none of its ways any more."""
        return all(way.gone for way in self.ways)


class Node(msgspec.Struct, frozen=True):
    """A state: its name, what it does, and what the machine has to do with it."""

    name: str
    title: str
    does: tuple[str, ...] = ()
    visited: bool = False
    present: bool = False
    gone: bool = False


class Chart(msgspec.Struct, frozen=True):
    """A machine, ready to be drawn."""

    initial: str
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]


def chart_of(
    spec: Spec, state: str | None = None, steps: Iterable["MachineStep"] = ()
) -> Chart:
    """The chart of a definition; with a machine's state and steps, of that machine."""
    made = list(steps)
    visited = {name for step in made for name in (step.from_state, step.to_state)}
    visited |= {state}
    gone = sorted(name for name in visited if name and name not in spec.states)
    return Chart(
        initial=spec.initial,
        nodes=tuple(
            Node(
                name=name,
                title=shortened(name),
                does=_does(spec.states[name]) if name in spec.states else (),
                visited=name in visited,
                present=name == state,
                gone=name not in spec.states,
            )
            for name in (*spec.states, *gone)
        ),
        arrows=_arrows(spec, made),
    )


def shortened(text: str) -> str:
    """A text in one line, of at most so many characters."""
    line = one_line(text) or "(blank)"
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def lasting(microseconds: int) -> str:
    """A time such as a definition says it: `3d`, `1h30m`, `90s`."""
    parts, left = "", microseconds
    for size, unit in _SPANS:
        count, left = divmod(left, size)
        parts += f"{count}{unit}" if count else ""
    return parts + (f"{left / _SECOND:g}s" if left or not parts else "")


def _does(state: State) -> tuple[str, ...]:
    """The effects of coming to a state, and of leaving it."""
    both = {"entry": _tools(state.entry), "exit": _tools(state.exit)}
    return tuple(f"{when} / {tools}" for when, tools in both.items() if tools)


def _tools(actions: Iterable["Action"]) -> str:
    tools = [action.tool for action in actions if isinstance(action, Effect)]
    return shortened(", ".join(dict.fromkeys(tools))) if tools else ""


def _arrows(spec: Spec, steps: Iterable["MachineStep"]) -> tuple[Arrow, ...]:
    """The arrows of the definition in its order, then those of history alone."""
    made: dict[_Move, list[int]] = {}
    for move, position in _moves(steps):
        made.setdefault(move, []).append(position)
    ways: dict[tuple[str, str], list[Way]] = {}
    for source, state in spec.states.items():
        for event, transitions in state.on.items():
            for target, found in _by_target(transitions).items():
                went = made.pop((source, event, target), ())
                way = Way(_transition(event, state, found), tuple(went))
                ways.setdefault((source, target), []).append(way)
    for (source, what, target), went in made.items():
        way = Way(shortened(what), tuple(went), gone=True)
        ways.setdefault((source, target), []).append(way)
    return tuple(Arrow(*ends, tuple(found)) for ends, found in ways.items())


def _moves(steps: Iterable["MachineStep"]) -> Iterator[tuple[_Move, int]]:
    """What each step did, and its number; not those that changed the version alone."""
    for step in steps:
        what, was = step.event or step.note or "", step.from_state
        if was is not None and (step.event or was != step.to_state):
            yield (was, what, step.to_state), step.position


def _by_target(transitions: Iterable[Transition]) -> dict[str, list[Transition]]:
    found: dict[str, list[Transition]] = {}
    for transition in transitions:
        found.setdefault(transition.target, []).append(transition)
    return found


def _transition(event: str, state: State, found: Sequence[Transition]) -> str:
    """An event's transitions to one state: `after 3d ESCALATE [is_late] / @mail`."""
    times = [lasting(time) for time, told in state.after if told == event]
    after = f"after {', '.join(times)} " if times else ""
    guards = [transition.guard for transition in found]
    said = "" if None in guards else f" [{shortened(' or '.join(map(str, guards)))}]"
    tools = _tools(action for transition in found for action in transition.actions)
    return f"{after}{shortened(event)}{said}" + (f" / {tools}" if tools else "")
