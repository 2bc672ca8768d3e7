"""What a task is: its record, its statuses and the moves between them.

Answers for: the records, the table of permitted moves, and reading both from rows.
Leaves to others: everything that is done with them (`tasks`).
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from holdfast import codec, edges
from holdfast.clock import to_datetime
from holdfast.edges import Edge
from holdfast.engine import Row
from holdfast.errors import TooLarge, WrongType
from holdfast.limits import Limits

_DESCRIPTION_CHARACTERS = 2_555


class TaskStatus(StrEnum):
    """Where a task stands."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


TRANSITIONS: dict[TaskStatus, frozenset[TaskStatus]] = {
    TaskStatus.PENDING: frozenset(
        {TaskStatus.IN_PROGRESS, TaskStatus.WAITING, TaskStatus.CANCELLED}
    ),
    TaskStatus.IN_PROGRESS: frozenset(
        {
            TaskStatus.WAITING,
            TaskStatus.COMPLETED,
            TaskStatus.FAILED,
            TaskStatus.CANCELLED,
        }
    ),
    TaskStatus.WAITING: frozenset(
        {TaskStatus.IN_PROGRESS, TaskStatus.FAILED, TaskStatus.CANCELLED}
    ),
    TaskStatus.COMPLETED: frozenset(),
    TaskStatus.FAILED: frozenset({TaskStatus.IN_PROGRESS}),
    TaskStatus.CANCELLED: frozenset(),
}
"""From each status, the ones that a task may move to. A failed task may be retried."""

FINISHED = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED})


class Progress(msgspec.Struct, frozen=True):
    """How far a task has come: `done` of `total`, in units of the caller's own."""

    done: float
    total: float | None = None
    note: str | None = None


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A unit of work. `orphaned` says that the session it names was deleted."""

    id: str
    owner: str
    description: str
    status: TaskStatus
    tool: str | None
    session: str | None
    orphaned: bool
    assigned_to: str | None
    metadata: dict[str, Any] | None
    result: Any
    error: str | None
    progress: Progress | None
    version: int
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class TaskLog(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a task's log."""

    at: datetime
    level: str
    type: str
    message: str


class TaskMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of an owner's tasks; the average is over completed ones, in ms."""

    total: int
    by_status: dict[str, int]
    average_completion_ms: float | None


def _description(value: object, name: str, limits: Limits) -> str:
    text = edges.text_of(value, name, limits)
    if not text:
        raise WrongType(f"{name}: a task's description has at least 1 character")
    if len(text) > _DESCRIPTION_CHARACTERS:
        raise TooLarge(
            f"{name}: {len(text):,} characters are past the limit of "
            f"{_DESCRIPTION_CHARACTERS:,}; nothing was written"
        )
    return text


Description = Annotated[str, Edge(_description)]
AnyStatus = Annotated[TaskStatus | str, Edge(edges.member_of(TaskStatus))]


def refusal(id: str, there: TaskStatus, wanted: TaskStatus) -> str:
    """Why a task's status cannot make this move, in words."""
    moves = ", ".join(sorted(TRANSITIONS[there])) or "nothing: it is finished"
    return (
        f"task {id!r} is {there} and cannot become {wanted} "
        f"(from {there} it can become {moves}); nothing was written"
    )


def task_of(row: Row) -> Task:
    (_, owner, id, created_at, updated_at, started_at, completed_at, status,
     description, tool, session, assigned_to, progress, error, result, metadata,
     version, orphaned) = row  # fmt: skip
    return Task(
        id=id,
        owner=owner,
        description=description,
        status=TaskStatus(status),
        tool=tool,
        session=session,
        orphaned=bool(orphaned),
        assigned_to=assigned_to,
        metadata=codec.decode(metadata),
        result=codec.decode(result),
        error=error,
        progress=None if progress is None else Progress(**codec.decode(progress)),
        version=version,
        created_at=to_datetime(created_at),
        updated_at=to_datetime(updated_at),
        started_at=None if started_at is None else to_datetime(started_at),
        completed_at=None if completed_at is None else to_datetime(completed_at),
    )


def line_of(row: Row) -> TaskLog:
    at, level, type, message, _ = row
    return TaskLog(at=to_datetime(at), level=level, type=type, message=message)
