"""What a job is: its record, its statuses, how it is tried again, and its steps.

Answers for: the records, when a failed attempt is due again, and reading all of it from
rows.
Leaves to others: everything that is done with them (`jobs`).
"""

import zlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec

from holdfast import codec, edges
from holdfast.clock import to_datetime
from holdfast.edges import Edge
from holdfast.engine import Row
from holdfast.errors import HoldfastError, WrongType
from holdfast.limits import Limits
from holdfast.tracing import current_trace

BEHIND, READY, TIMED, ACTIVE, SUSPENDED = range(5)
"""How a job stands that has not ended."""
CHILDREN = "(children)"
"""What a job waits for that waits for its children; no signal has such a name."""
MOST_ATTEMPTS = 1_000
_MOST_PRIORITY = 2**31
_MOST_FACTOR = 1_000


class JobStatus(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    """It waits for its turn, or for its time."""
    ACTIVE = "active"
    """A worker has claimed it."""
    WAITING = "waiting"
    """Its handler has begun, and waits for a time, a signal or its children."""
    DONE = "done"
    DEAD = "dead"
    """It failed for good. It is kept, and can be revived."""
    CANCELLED = "cancelled"


FINISHED = frozenset({JobStatus.DONE, JobStatus.DEAD, JobStatus.CANCELLED})
_STATUS_OF = {
    BEHIND: JobStatus.QUEUED,
    READY: JobStatus.QUEUED,
    TIMED: JobStatus.QUEUED,
    ACTIVE: JobStatus.ACTIVE,
    SUSPENDED: JobStatus.WAITING,
}


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """How long a failed attempt waits for the next one: longer each time, to a most.

    `jitter` is the width of the band around that time that the wait is in, so that
    jobs that failed together do not come back together.
    """

    first_seconds: float = 1.0
    factor: float = 2.0
    most_seconds: float = 60.0
    jitter: float = 0.2

    def wait_us(self, id: str, attempt: int) -> int:
        """How long a job waits after its n-th attempt, in microseconds.

        The chance in it is drawn from the job's id and the attempt.
        """
        grown = self.first_seconds * self.factor ** min(attempt - 1, 64)
        drawn = zlib.crc32(f"{id} {attempt}".encode()) / 2**32
        spread = 1 + self.jitter * (drawn - 0.5)
        return round(min(grown, self.most_seconds) * spread * 1_000_000)


DEFAULT_BACKOFF = Backoff()


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of work that is to be done once.

    `attempt` counts how often it was begun, `fence` how often it was claimed; while it
    is claimed, `worker` has it until `lease_until`. `run_at` is when it is due, if that
    lies ahead or it is waited for; `waits_for` names the signal that its handler waits
    for, or is `(children)`. `version` is that of the handler's code that began it.
    """

    id: str
    owner: str
    kind: str
    lane: str | None
    body: Any
    status: JobStatus
    priority: int
    attempt: int
    max_attempts: int
    backoff: Backoff
    fence: int
    worker: str | None
    lease_until: datetime | None
    run_at: datetime | None
    deadline: datetime | None
    session: str | None
    parent: str | None
    waits_for: str | None
    cancelling: bool
    result: Any
    error: str | None
    version: str | None
    trace: dict[str, str] | None
    created_at: datetime
    finished_at: datetime | None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a handler that was done: the n-th of its name, from 0 on.

    `position` is its place in the order of all steps. A pause has `due`, its end; so
    has a step that waits for a signal until then, and that is `pending` meanwhile.
    """

    position: int
    name: str
    nth: int
    result: Any
    due: datetime | None
    pending: bool
    at: datetime


class NewStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step that a handler has done, under a claim; `result` is JSON text."""

    job: str
    fence: int
    name: str
    nth: int
    position: int
    result: str | None


class Waited(msgspec.Struct, frozen=True):
    """Whether what a handler waits for is there, and what came with it.

    If not, the job is suspended, and its claim is over.
    """

    there: bool
    payload: Any = None


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs of a kind may be active at once, and begin within a time."""

    kind: str
    concurrency: int | None
    rate: int | None
    per_seconds: float | None


class JobStats(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of an owner's jobs.

    `ready_since` is when that which waits longest for a worker became ready.
    """

    total: int
    by_status: dict[str, int]
    by_kind: dict[str, dict[str, int]]
    ready_since: datetime | None


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a claim ends: one of many that a worker tells at once.

    `lane` is the job's, `result` JSON text. A failed one is tried again if `retry` says
    so, and after `delay_seconds`, if they are said; so with one that is given back.
    """

    id: str
    lane: str | None
    fence: int
    outcome: Literal["done", "failed", "released"]
    result: str | None = None
    error: str | None = None
    retry: bool = True
    delay_seconds: float | None = None


class Served(msgspec.Struct, frozen=True):
    """What a worker gets: the jobs that it claimed, and what became of its endings.

    For each ending, in order: the status that the job has now, or why it was refused.
    """

    claimed: tuple[Job, ...]
    ended: tuple[JobStatus | HoldfastError, ...]


class Renewed(msgspec.Struct, frozen=True):
    """Which of a worker's claims are over, and which jobs are to be cancelled: ids."""

    lost: tuple[str, ...]
    cancelling: tuple[str, ...]


class Outlook(msgspec.Struct, frozen=True):
    """What a worker has ahead of it.

    Whether something can be claimed now; when that may be so next without anybody
    writing; and the ids of its own active jobs that are to be cancelled.
    """

    ready: bool
    next_at: datetime | None
    cancelling: tuple[str, ...]


class Unhandled(msgspec.Struct, frozen=True):
    """How many jobs of a kind wait, none of which a worker has a handler for."""

    kind: str
    jobs: int


def _priority(value: object, name: str, limits: Limits) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise edges.wrong_type(name, "a whole number", value)
    if not -_MOST_PRIORITY <= value <= _MOST_PRIORITY:
        raise WrongType(f"{name}: {value} is out of range (32 bits)")
    return value


def _attempts(value: object, name: str, limits: Limits) -> int:
    count = edges.count_of(value, name, limits)
    if not 1 <= count <= MOST_ATTEMPTS:
        raise WrongType(f"{name}: {count} is none of 1 to {MOST_ATTEMPTS:,}")
    return count


def _backoff(value: object, name: str, limits: Limits) -> Backoff:
    if isinstance(value, Mapping):
        if unknown := set(value).difference(Backoff.__struct_fields__):
            raise WrongType(f"{name}: a Backoff has no {sorted(map(str, unknown))}")
        try:
            value = msgspec.convert(dict(value), Backoff)
        except msgspec.ValidationError as error:
            raise WrongType(f"{name}: {error}") from None
    if not isinstance(value, Backoff):
        raise edges.wrong_type(name, "a Backoff", value)
    for field in ("first_seconds", "most_seconds"):
        edges.seconds_of(getattr(value, field), f"{name}.{field}", limits)
    if not (1 <= value.factor <= _MOST_FACTOR and 0 <= value.jitter <= 1):
        raise WrongType(f"{name}: a factor is from 1 to 1,000, a jitter from 0 to 1")
    return value


def _delay(value: object, name: str, limits: Limits) -> float:
    if value == 0 and type(value) in {int, float}:
        return 0.0
    return edges.seconds_of(value, name, limits)


def _trace(value: object, name: str, limits: Limits) -> dict[str, str]:
    if not isinstance(value, dict) or not all(
        isinstance(text, str) for pair in value.items() for text in pair
    ):
        raise edges.wrong_type(name, "a dict of text", value)
    for text in (*value, *value.values()):
        edges.text_of(text, name, limits)
    edges.text_of(codec.text_of(value), name, limits)
    return value


Priority = Annotated[int, Edge(_priority)]
Attempts = Annotated[int, Edge(_attempts)]
Retrying = Annotated[Backoff, Edge(_backoff)]
Delay = Annotated[float, Edge(_delay)]
Trace = Annotated[dict[str, str], Edge(_trace, current_trace)]
AnyStatus = Annotated[JobStatus, Edge(edges.member_of(JobStatus))]


def backoff_of(text: str | None) -> Backoff:
    """The backoff that a job was put with."""
    return DEFAULT_BACKOFF if text is None else msgspec.json.decode(text, type=Backoff)


def _time(at_us: int | None) -> datetime | None:
    return None if at_us is None else to_datetime(at_us)


def job_of(row: Row, turn: Row | None = None, end: Row | None = None) -> Job:
    """A job from a row of `job_fields`, and one of its turn, or of its end."""
    (_, owner, id, kind, lane, session, parent, priority, body, run_at, deadline,
     max_attempts, backoff, trace, created_at) = row[:15]  # fmt: skip
    status, state, until_at, attempt, fence = JobStatus.QUEUED, None, run_at, 0, 0
    worker = version = result = error = waits_for = finished_at = None
    cancelling = 0
    if turn is not None:
        (state, until_at, attempt, fence, worker, error, waits_for, cancelling,
         version, deadline) = turn  # fmt: skip
        status = _STATUS_OF[state]
        attempt += state == SUSPENDED  # it goes on with the attempt that it was in
    elif end is not None:
        ended, attempt, fence, worker, version, result, error, finished_at = end
        status = JobStatus(ended)
    return Job(
        id=id,
        owner=owner,
        kind=kind,
        lane=lane,
        body=codec.decode(body),
        status=status,
        priority=priority,
        attempt=attempt,
        max_attempts=max_attempts,
        backoff=backoff_of(backoff),
        fence=fence,
        worker=worker,
        lease_until=_time(until_at) if state == ACTIVE else None,
        run_at=None if state == ACTIVE else _time(until_at),
        deadline=_time(deadline),
        session=session,
        parent=parent,
        waits_for=waits_for,
        cancelling=bool(cancelling),
        result=codec.decode(result),
        error=error,
        version=version,
        trace=codec.decode(trace),
        created_at=to_datetime(created_at),
        finished_at=_time(finished_at),
    )


def step_of(row: Row) -> Step:
    """A step from a row."""
    position, name, nth, result, due_at, at, pending = row
    return Step(
        position=position,
        name=name,
        nth=nth,
        result=codec.decode(result),
        due=_time(due_at),
        pending=bool(pending),
        at=to_datetime(at),
    )


def limit_of(row: Row) -> Limit:
    """A limit from a row."""
    kind, concurrency, rate, per_us = row
    per_seconds = None if per_us is None else per_us / 1_000_000
    return Limit(kind=kind, concurrency=concurrency, rate=rate, per_seconds=per_seconds)
