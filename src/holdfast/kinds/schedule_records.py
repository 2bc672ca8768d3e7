"""What a schedule is: its record, and what its arguments have to be.

Answers for: the record, reading it and its rule from rows, checks of arguments.
Leaves to others: everything that is done with them (`schedules`, `firing`), which times
a rule has (`due_times`).
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from holdfast import codec, edges
from holdfast.clock import to_datetime
from holdfast.edges import Edge
from holdfast.engine import Row
from holdfast.errors import InvalidId
from holdfast.kinds.due_times import Rule, cron_of, every_of, zone_of
from holdfast.limits import Limits

UNCOUNTED = 0
"""When a schedule is due next, as long as that is still to be counted."""
CONTENT, MISSED, PAUSED, CREATED_AT, NEXT_AT = slice(3, 12), 11, 12, 13, 15
"""Where in a schedule's row these stand."""
_ID_CHARACTERS = 160
_US = 1_000_000


class Missed(StrEnum):
    """What is done about due times that passed while no worker was there."""

    ALL = "all"
    """Each of them gets its job."""
    LAST = "last"
    """Only the newest does."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is put again and again.

    `next_at` is when it is due next; None if it is paused, or looked at as of a moment,
    or was just forked or restored and is still to be counted.
    """

    id: str
    owner: str
    kind: str
    body: Any
    cron: str | None
    every_seconds: float | None
    timezone: str
    lane: str | None
    priority: int
    max_attempts: int
    missed: Missed
    paused: bool
    next_at: datetime | None
    created_at: datetime
    updated_at: datetime


def _schedule_id(value: object, name: str, limits: Limits) -> str:
    """An id that leaves room for a time: both together are the id of a job."""
    id = edges.id_of(value, name, limits)
    if len(id) > _ID_CHARACTERS:
        raise InvalidId(
            f"{name}: a schedule's id has at most {_ID_CHARACTERS} characters, not "
            f"{len(id)}"
        )
    return id


ScheduleId = Annotated[str, Edge(_schedule_id)]
Cron = Annotated[str, Edge(cron_of)]
Every = Annotated[float, Edge(every_of)]
Zone = Annotated[str, Edge(zone_of)]
AnyMissed = Annotated[Missed | str, Edge(edges.member_of(Missed))]


def every_us_of(seconds: float | None) -> int | None:
    """Seconds as whole microseconds."""
    return None if seconds is None else round(seconds * _US)


def schedule_of(row: Row) -> Schedule:
    """The record that a row stands for."""
    (_, owner, id, kind, body, cron, every_us, timezone, lane, priority, max_attempts,
     missed, paused, created_at, updated_at, next_at) = row  # fmt: skip
    return Schedule(
        id=id,
        owner=owner,
        kind=kind,
        body=codec.decode(body),
        cron=cron,
        every_seconds=None if every_us is None else every_us / _US,
        timezone=timezone,
        lane=lane,
        priority=priority,
        max_attempts=max_attempts,
        missed=Missed(missed),
        paused=bool(paused),
        next_at=to_datetime(next_at) if next_at else None,
        created_at=to_datetime(created_at),
        updated_at=to_datetime(updated_at),
    )


def rule_of(fields: Mapping[str, Any]) -> Rule:
    """When a schedule with these fields is due."""
    return Rule(
        cron=fields["cron"],
        every_us=fields["every_us"],
        timezone=fields["timezone"],
        begun_us=fields["created_at"],
    )


def rule_in(row: Row) -> Rule:
    """When the schedule of a row is due."""
    return Rule(cron=row[5], every_us=row[6], timezone=row[7], begun_us=row[CREATED_AT])


def job_id(schedule: str, due: int) -> str:
    """The id of a schedule's job that is due at a time."""
    time = to_datetime(due).isoformat().removesuffix("+00:00")
    return f"{schedule}@{time}Z"
