"""Plans: what a worker is to do, checked once, when it is made.

Answers for: a worker's options and what they may be.
Leaves to others: doing it (`serving`).
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from holdfast import edges
from holdfast.errors import WrongType
from holdfast.limits import Limits
from holdfast.runtime.jobs.handlers import Handling, handlings

_MOST_AT_ONCE = 10_000
_POLICIES = ("go_on", "stop")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker serves, how much of it at once, and for how long."""

    handlings: dict[str, Handling]
    concurrency: int
    lanes: tuple[str, ...] | None
    lease_seconds: float
    grace_seconds: float
    keep_seconds: float | None
    goes_on: bool
    """Whether a job goes on under another version of its handler."""
    across_owners: bool
    """Whether all owners' jobs are done, and not those of one."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that it has handlers for."""
        return tuple(self.handlings)

    @property
    def versions(self) -> dict[str, str]:
        """The versions of the handlers, by kind."""
        return {kind: found.version for kind, found in self.handlings.items()}


def plan_of(
    handlers: object,
    limits: Limits,
    *,
    timeout_seconds: object,
    concurrency: object,
    lanes: object,
    lease_seconds: object,
    grace_seconds: object,
    keep_seconds: object,
    on_new_version: object,
    across_owners: object,
) -> Plan:
    """A plan of what a worker is given. Raises `WrongType`, `InvalidId`."""
    if on_new_version not in _POLICIES:
        choices = ", ".join(_POLICIES)
        raise WrongType(f"on_new_version: {on_new_version!r} is none of: {choices}")

    def seconds(value: Any, name: str) -> float | None:
        return None if value is None else edges.seconds_of(value, name, limits)

    return Plan(
        handlings=handlings(handlers, timeout_seconds, limits),
        concurrency=_places(concurrency, limits),
        lanes=None if lanes is None else _lanes(lanes, limits),
        lease_seconds=edges.seconds_of(lease_seconds, "lease_seconds", limits),
        grace_seconds=seconds(grace_seconds or None, "grace_seconds") or 0.0,
        keep_seconds=seconds(keep_seconds, "keep_seconds"),
        goes_on=on_new_version == "go_on",
        across_owners=edges.truth_of(across_owners, "across_owners", limits),
    )


def _places(value: object, limits: Limits) -> int:
    count = edges.count_of(value, "concurrency", limits)
    if not 1 <= count <= _MOST_AT_ONCE:
        raise WrongType(f"concurrency: {count} is none of 1 to {_MOST_AT_ONCE:,}")
    return count


def _lanes(value: object, limits: Limits) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise edges.wrong_type("lanes", "a list of text", value)
    return tuple(edges.id_of(lane, "a lane", limits) for lane in value)
