"""What an agent is: its records, and what its arguments have to be.

Answers for: the records of agents, links and runs, drafts of new agents, checks of
arguments, reading records from rows.
Leaves to others: everything that is done with them (`agents`, `agent_links`,
`agent_runs`).
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from holdfast import codec, edges
from holdfast.clock import to_datetime, to_us
from holdfast.edges import Edge
from holdfast.engine import Row
from holdfast.errors import NotStorable, TooLarge, WrongType
from holdfast.limits import Limits

SPAWNED = "spawned"
"""The relation of an agent to those that it has made: each has one such at most."""
ACTIVE = "active"
"""The status of an agent of which none is said."""
_ROLE_CHARACTERS = 200
_DRAFTED = frozenset(
    {
        "name",
        "id",
        "role",
        "traits",
        "preferences",
        "statistics",
        "metadata",
        "parent",
        "status",
        "created_at",
        "active_at",
    }
)


class LinkDirection(StrEnum):
    """Which way links lead, seen from one agent."""

    OUT = "out"
    """From it to others."""
    IN = "in"
    """From others to it."""


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """Who an agent is, whether it runs or not.

    `parent` is the agent that has spawned it. `statistics` are what `increment` has
    counted, and `active_at` is when it did so last. `status` is a word of your own.
    `version` grows with each `update`.
    """

    id: str
    owner: str
    name: str
    role: str | None
    traits: tuple[str, ...]
    preferences: dict[str, Any]
    statistics: dict[str, Any]
    status: str
    parent: str | None
    metadata: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime
    active_at: datetime
    version: int


class AgentLink(msgspec.Struct, frozen=True, kw_only=True):
    """What one agent is to another: `source` spawned, observes, reports to `target`."""

    source: str
    relation: str
    target: str
    metadata: dict[str, Any] | None
    created_at: datetime


class Descendant(msgspec.Struct, frozen=True):
    """An agent that another leads to: in `depth` steps, the last of them `through`."""

    agent: Agent
    depth: int
    through: str


class AgentRun(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs an agent, where, since when, and the last sign of life of that.

    `fence` grows with each run of the agent. A run is stale once `until` is past: its
    process died, or hangs, and another may take the agent over.
    """

    id: str
    owner: str
    holder: str
    place: str
    fence: int
    since: datetime
    beat_at: datetime
    until: datetime
    stale: bool


class AgentDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A new agent, checked; what is JSON is text already."""

    name: str
    id: str | None = None
    role: str | None = None
    traits: tuple[str, ...] = ()
    preferences: codec.Document | None = None
    statistics: codec.Document | None = None
    metadata: codec.Document | None = None
    parent: str | None = None
    status: str = ACTIVE
    created_at: int | None = None
    active_at: int | None = None

    def content(self) -> tuple[object, ...]:
        """What tells it from another of the same id."""
        preferences = codec.value_of(self.preferences) or {}
        metadata = codec.value_of(self.metadata)
        return (self.name, self.role, self.traits, preferences, metadata, self.parent)


def content_of(agent: Agent) -> tuple[object, ...]:
    """What tells an agent from another of the same id."""
    return (
        agent.name,
        agent.role,
        agent.traits,
        agent.preferences,
        agent.metadata,
        agent.parent,
    )


def _role(value: object, name: str, limits: Limits) -> str:
    """A role, in words: 1 to 200 characters."""
    role = edges.text_of(value, name, limits)
    if not 0 < len(role) <= _ROLE_CHARACTERS:
        raise WrongType(
            f"{name}: a role has 1 to {_ROLE_CHARACTERS} characters, not {len(role)}"
        )
    return role


def _counts(value: object, name: str, limits: Limits) -> dict[str, float]:
    """What is to be added to which statistic."""
    if not isinstance(value, dict):
        raise edges.wrong_type(name, "a dict of numbers", value)
    if not value:
        raise WrongType(f"{name}: at least one number is wanted")
    return {
        edges.text_of(key, f"a key of {name}", limits): edges.number_of(
            number, f"{name}[{key!r}]", limits
        )
        for key, number in value.items()
    }


def _agent_drafts(value: object, name: str, limits: Limits) -> tuple[AgentDraft, ...]:
    if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
        raise edges.wrong_type(name, "an iterable of agents", value)
    drafts = []
    for index, item in enumerate(value):
        if index == limits.batch:
            raise TooLarge(
                f"{name}: past the limit of {limits.batch:,} agents in one call "
                "(limits.batch); nothing was written"
            )
        drafts.append(draft_of(item, f"{name}[{index}]", limits))
    return tuple(drafts)


def draft_of(item: object, name: str, limits: Limits) -> AgentDraft:
    """A new agent, checked; it is a dict, or was checked already."""
    if type(item) is AgentDraft:
        return item
    if not isinstance(item, dict):
        raise edges.wrong_type(name, "a dict with a name", item)
    if unknown := item.keys() - _DRAFTED:
        raise WrongType(f"{name}: an agent has no {sorted(map(str, unknown))}")
    if "name" not in item:
        raise WrongType(f"{name}: name missing")
    given = {key: value for key, value in item.items() if value is not None}
    given.setdefault("name", None)
    checked = {
        key: _CHECKS[key](value, f"{name}.{key}", limits)
        for key, value in given.items()
    }
    return AgentDraft(**checked)


def _time_us(value: object, name: str, limits: Limits) -> int:
    return to_us(edges.time_of(value, name, limits))


_CHECKS: dict[str, edges.Check] = {
    "name": edges.text_of,
    "id": edges.id_of,
    "role": _role,
    "traits": edges.texts_of,
    "preferences": edges.object_of,
    "statistics": edges.object_of,
    "metadata": edges.object_of,
    "parent": edges.id_of,
    "status": edges.name_of,
    "created_at": _time_us,
    "active_at": _time_us,
}

Role = Annotated[str, Edge(_role)]
Traits = Annotated[Iterable[str], Edge(edges.texts_of)]
Counts = Annotated[dict[str, float], Edge(_counts)]
AgentDrafts = Annotated[Iterable[dict[str, Any]], Edge(_agent_drafts)]
Direction = Annotated[LinkDirection | str, Edge(edges.member_of(LinkDirection))]


def increased(there: dict[str, Any], counts: dict[str, float]) -> dict[str, Any]:
    """Statistics with numbers added. Raises `WrongType`, `NotStorable`."""
    found = dict(there)
    for key, number in counts.items():
        value = found.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise WrongType(
                f"counts[{key!r}]: the statistic is no number but "
                f"{type(value).__name__}; nothing was written"
            )
        try:
            found[key] = value + number
        except OverflowError:  # a whole number past all floats, and a fraction
            raise NotStorable(f"counts[{key!r}]: the sum is out of range") from None
    return found


def agent_of(row: Row) -> Agent:
    """An agent from a row of `agent_fields`."""
    (_, owner, id, name, role, traits, preferences, status, metadata, created_at,
     updated_at, version, statistics, active_at, parent) = row  # fmt: skip
    return Agent(
        id=id,
        owner=owner,
        name=name,
        role=role,
        traits=tuple(codec.decode(traits)),
        preferences=codec.decode(preferences),
        statistics=codec.decode(statistics),
        status=status,
        parent=parent,
        metadata=codec.decode(metadata),
        created_at=to_datetime(created_at),
        updated_at=to_datetime(updated_at),
        active_at=to_datetime(active_at),
        version=version,
    )


def link_of(row: Row) -> AgentLink:
    """A link from a row of `agent_link_fields`."""
    _, _, source, relation, target, metadata, created_at = row
    return AgentLink(
        source=source,
        relation=relation,
        target=target,
        metadata=codec.decode(metadata),
        created_at=to_datetime(created_at),
    )


def run_of(row: Row, now: int) -> AgentRun | None:
    """A run from a row of `agent_run_fields`; None if it is over."""
    owner, id, holder, fence, since, place, beat_at, until = row
    if holder is None:
        return None
    return AgentRun(
        id=id,
        owner=owner,
        holder=holder,
        place=place or "",
        fence=fence,
        since=to_datetime(since),
        beat_at=to_datetime(since if beat_at is None else beat_at),
        until=to_datetime(since if until is None else until),
        stale=until is None or until <= now,
    )
