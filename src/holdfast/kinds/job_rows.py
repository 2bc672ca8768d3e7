"""Rows of jobs: a job as it is put, and where it stands in its lane.

Answers for: keeping a new job, letting a job stand in its lane, and the next one be its
first.
Leaves to others: who may put one (`jobs`, `schedules`), what becomes of it
(`job_claims`, `job_endings`).
Always holds: as long as a lane has jobs that have not ended, one of them is its first:
that of the highest priority, and among equals the one that was put first; one that has
begun stays the first.
"""

import msgspec

from holdfast.engine import Transaction
from holdfast.kinds.job_records import READY, TIMED


class NewJob(msgspec.Struct, kw_only=True):
    """A job to be put; `body`, `backoff` and `trace` are JSON text, times are in µs."""

    id: str
    kind: str
    body: str | None
    lane: str | None = None
    session: str | None = None
    parent: str | None = None
    priority: int = 0
    run_at: int | None = None
    deadline: int | None = None
    max_attempts: int = 3
    backoff: str | None = None
    trace: str | None = None


def add(tx: Transaction, job: NewJob) -> None:
    """Keep a new job, and let it stand in its lane."""
    lock_lane(tx, job.lane)
    no = tx.new_no()
    place = _place(tx, no, job.lane, job.priority)
    tx.put(
        "job_add",
        no=no,
        owner=tx.terms.owner,
        id=job.id,
        kind=job.kind,
        lane=job.lane,
        session=job.session,
        parent=job.parent,
        priority=job.priority,
        place=place,
        body=job.body,
        run_at=job.run_at,
        deadline=job.deadline,
        max_attempts=job.max_attempts,
        backoff=job.backoff,
        trace=job.trace,
        now=tx.now,
    )
    line_up(
        tx,
        no,
        place,
        lane=job.lane,
        parent=job.parent,
        kind=job.kind,
        priority=job.priority,
        run_at=job.run_at,
        deadline=job.deadline,
    )


def _place(tx: Transaction, no: int, lane: str | None, priority: int) -> int:
    """A new job's place: in its lane, which is locked, the last of its priority.

    Rows' numbers alone do not say it: processes that share a server each have some at
    hand, and a copy of a store may go on from smaller ones.
    """
    if lane is None:
        return no
    asked = {"owner": tx.terms.owner, "lane": lane, "priority": priority}
    row = tx.one("turn_last", **asked)
    return max(no, *((last or 0) + 1 for last in row or (0,)))


def enqueue(
    tx: Transaction,
    *,
    id: str,
    kind: str,
    body: str | None,
    lane: str | None = None,
    priority: int = 0,
    max_attempts: int = 3,
    run_at: int | None = None,
) -> None:
    """Put a job, unless there is one of that id; `body` is JSON text."""
    tx.lock("jobs", id)
    if tx.one("jobs_exists", owner=tx.terms.owner, id=id) is None:
        job = NewJob(
            id=id,
            kind=kind,
            body=body,
            lane=lane,
            priority=priority,
            max_attempts=max_attempts,
            run_at=run_at,
        )
        add(tx, job)


def line_up(
    tx: Transaction,
    no: int,
    place: int,
    *,
    lane: str | None,
    parent: str | None,
    kind: str,
    priority: int,
    run_at: int | None,
    deadline: int | None,
    fence: int = 0,
) -> None:
    """Let a job stand in its lane, which is locked, or beside all lanes.

    It comes before those of a lower priority that have not begun.
    """
    owner = tx.terms.owner
    ahead = run_at is not None and run_at > tx.now
    where = {"owner": owner, "place": place, "priority": priority}
    turn = {
        "no": no,
        "parent": parent,
        "kind": kind,
        "now": tx.now,
        "state": TIMED if ahead else READY,
        "until_at": run_at if ahead else None,
        "deadline": deadline,
        "fence": fence,
    }
    if lane is None:
        tx.put("turn_add", **where, **turn)
    else:
        tx.put("turn_pass", lane=lane, **where)
        tx.put("turn_add_in_lane", lane=lane, **where, **turn)


def move_up(tx: Transaction, lane: str | None) -> None:
    """Let the next job of a lane be its first, once the one before it has ended."""
    if lane is not None:
        tx.put("turn_next", owner=tx.terms.owner, lane=lane, now=tx.now)


def lock_lane(tx: Transaction, lane: str | None) -> None:
    """Keep others from changing how a lane stands; before a row of it is locked."""
    if lane is not None:
        tx.lock("job_lanes", lane)
