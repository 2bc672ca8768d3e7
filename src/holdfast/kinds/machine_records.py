"""What a machine is: its records, and what its arguments have to be.

Answers for: the records, reading them from rows, checks of arguments.
Leaves to others: what a definition says (`statecharts/specs`), everything that is done
with them (`machines`, `machine_steps`).
"""

import os
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec

from holdfast import codec, edges
from holdfast.clock import to_datetime
from holdfast.edges import Edge
from holdfast.engine import Row
from holdfast.errors import CannotOpen, InvalidId, WrongType
from holdfast.limits import Limits, hold
from holdfast.statecharts.specs import spec_of

AFTER = "machine.after"
"""The kind of the jobs that keep timers."""
MACHINE_ID_CHARACTERS = 190
"""So long is a machine's id at most: with a word before it, it is a lane of jobs."""
_NAME_CHARACTERS = 200
_UNSAFE_NAME = re.compile(r"[\x00-\x20\x7f-\xa0\\\ud800-\udfff]")
_EVENT_CHARACTERS = 200


class Unknown(StrEnum):
    """What is done about an event that a machine's state does not take."""

    IGNORE = "ignore"
    """Nothing; the answer says so."""
    REFUSE = "refuse"
    """It is an error."""


class Outcome(StrEnum):
    """What became of an event."""

    TAKEN = "taken"
    """A transition was made."""
    IGNORED = "ignored"
    """The state does not take it."""
    GUARDED = "guarded"
    """The state takes it, and no guard let it pass."""
    SEEN = "seen"
    """It was taken before: it was sent once already."""


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One version of what machines of a name are; `spec` is as it was given.

    `told` has what is odd about it, such as states that are never reached.
    """

    name: str
    version: int
    spec: dict[str, Any]
    unknown: Unknown
    from_versions: dict[int, dict[str, str]]
    digest: str
    told: tuple[str, ...]
    created_at: datetime


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine as it stands.

    `version` is the one of its definition that it follows, `steps` how often it moved,
    and `entered_at` since when it is in its state.
    """

    id: str
    owner: str
    name: str
    version: int
    state: str
    context: dict[str, Any]
    steps: int
    entered_at: datetime
    created_at: datetime
    updated_at: datetime


class MachineStep(msgspec.Struct, frozen=True, kw_only=True):
    """How a machine came to a state.

    The first has no `from_state`. One without an event was its creation, or another
    version of its definition; `note` says what is to be said of it.
    """

    position: int
    event: str | None
    from_state: str | None
    to_state: str
    at: datetime
    note: str | None = None


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event: the machine after it, and the step that it led to.

    `told` has what went wrong without stopping it: guards that could not be evaluated.
    """

    machine: Machine
    outcome: Outcome
    step: MachineStep | None = None
    told: tuple[str, ...] = ()

    @property
    def taken(self) -> bool:
        """Whether a transition was made."""
        return self.outcome is Outcome.TAKEN


def _machine_name(value: object, name: str, limits: Limits) -> str:
    """A definition's name: 1 to 200 characters, such as `order` or `@chat/state`."""
    if type(value) is not str:
        raise edges.wrong_type(name, "text", value)
    if not 0 < len(value) <= _NAME_CHARACTERS:
        raise InvalidId(
            f"{name}: a machine's name has 1 to {_NAME_CHARACTERS} characters, not "
            f"{len(value)}"
        )
    if _UNSAFE_NAME.search(value):
        raise InvalidId(f"{name}: {value!r} has a space or a character nobody can see")
    return value


def _machine_id(value: object, name: str, limits: Limits) -> str:
    id = edges.id_of(value, name, limits)
    if len(id) > MACHINE_ID_CHARACTERS:
        raise InvalidId(
            f"{name}: a machine's id has at most {MACHINE_ID_CHARACTERS} characters, "
            f"not {len(id)}"
        )
    return id


def _event(value: object, name: str, limits: Limits) -> str:
    text = edges.text_of(value, name, limits)
    if not 0 < len(text) <= _EVENT_CHARACTERS:
        raise WrongType(
            f"{name}: an event's name has 1 to {_EVENT_CHARACTERS} characters, not "
            f"{len(text)}"
        )
    return text


def _spec(value: object, name: str, limits: Limits) -> dict[str, Any]:
    """What a definition says: a dict, or the path of a file that has it as JSON."""
    if isinstance(value, (str, os.PathLike)):
        value = _read(Path(value), name, limits)
    if not isinstance(value, Mapping):
        raise edges.wrong_type(name, "a dict, or the path of a JSON file", value)
    text = edges.document_of(dict(value), name, limits).text
    spec: dict[str, Any] = codec.decode(text)
    return spec


def _read(path: Path, name: str, limits: Limits) -> object:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise CannotOpen(f"{name}: {path}: {error.strerror}") from error
    hold(len(text), limits.value_bytes, str(path), "value_bytes")
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise WrongType(f"{name}: {path} is no JSON: {error}") from error


def _functions(value: object, name: str, limits: Limits) -> dict[str, Any]:
    """Functions by their names; of names alone, each has none here (None)."""
    if isinstance(value, Mapping):
        for key, function in value.items():
            edges.text_of(key, name, limits)
            if function is not None and not callable(function):
                raise edges.wrong_type(f"{name}[{key!r}]", "a function", function)
        return dict(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return {edges.text_of(key, name, limits): None for key in value}
    raise edges.wrong_type(name, "functions by name, or names", value)


def _from_versions(
    value: object, name: str, limits: Limits
) -> dict[int, dict[str, str]]:
    if not isinstance(value, Mapping):
        raise edges.wrong_type(name, "a dict of versions", value)
    try:
        return msgspec.convert(value, dict[int, dict[str, str]], str_keys=True)
    except msgspec.ValidationError as error:
        raise WrongType(
            f"{name}: {error}; it says for a version what its states are called now: "
            '{1: {"old": "new"}}'
        ) from None


MachineName = Annotated[str, Edge(_machine_name)]
MachineId = Annotated[str, Edge(_machine_id)]
EventName = Annotated[str, Edge(_event)]
SpecOrFile = Annotated[Mapping[str, Any] | str | os.PathLike[str], Edge(_spec)]
Functions = Annotated[Mapping[str, Any] | Iterable[str], Edge(_functions)]
FromVersions = Annotated[Mapping[int, Mapping[str, str]], Edge(_from_versions)]
AnyUnknown = Annotated[Unknown | str, Edge(edges.member_of(Unknown))]


def machine_of(row: Row) -> Machine:
    """The record that a row stands for."""
    (_, owner, id, name, version, state, context, steps, _, entered_at, created_at,
     updated_at, *_) = row  # fmt: skip
    return Machine(
        id=id,
        owner=owner,
        name=name,
        version=version,
        state=state,
        context=codec.decode(context),
        steps=steps,
        entered_at=to_datetime(entered_at),
        created_at=to_datetime(created_at),
        updated_at=to_datetime(updated_at),
    )


def step_of(row: Row) -> MachineStep:
    """A step, from its row."""
    position, at, event, from_state, to_state, note = row
    return MachineStep(
        position=position,
        event=event,
        from_state=from_state,
        to_state=to_state,
        at=to_datetime(at),
        note=note,
    )


def moves_of(text: str | None) -> dict[int, dict[str, str]]:
    """What a definition says that states are called now, by the version before."""
    moved: dict[str, dict[str, str]] = codec.decode(text) or {}
    return {int(version): states for version, states in moved.items()}


def definition_of(row: Row) -> Definition:
    """A version of a definition, from its row."""
    name, version, spec, unknown, from_versions, digest, created_at = row
    told = codec.decode(spec)
    return Definition(
        name=name,
        version=version,
        spec=told,
        unknown=Unknown(unknown),
        from_versions=moves_of(from_versions),
        digest=digest,
        told=spec_of(told).told,
        created_at=to_datetime(created_at),
    )
