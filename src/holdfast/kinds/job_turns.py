"""Turns of jobs: what every operation on a job begins with.

Answers for: finding a job, and the claim that a worker has on it.
Leaves to others: claiming, ending, the steps in between (`job_claims`, `job_endings`,
`job_steps`).
Always holds: who writes under a claim has the newest one, and it has not run out. A job
is locked before its lane, and that before a job of it ends.
"""

from collections.abc import Iterator, Sequence

import msgspec

from holdfast.clock import to_datetime
from holdfast.contract import Kind
from holdfast.engine import Row, Table, Transaction
from holdfast.errors import Fenced
from holdfast.guarantees import Promise
from holdfast.kinds.job_records import (
    ACTIVE,
    SUSPENDED,
    Ending,
    Job,
    JobStatus,
    job_of,
)
from holdfast.kinds.job_rows import lock_lane

_NO = 0


class Turn(msgspec.Struct, frozen=True):
    """How a job stands that has not ended; `step` is the number of a step asked for."""

    no: int
    id: str
    kind: str
    lane: str | None
    parent: str | None
    max_attempts: int
    backoff: str | None
    deadline: int | None
    state: int
    until_at: int | None
    attempt: int
    fence: int
    worker: str | None
    error: str | None
    waits_for: str | None
    cancelling: int
    version: str | None
    step: int | None


def turn_of(tx: Transaction, id: str, name: str = "", nth: int = 0) -> Turn | None:
    """How a job stands that has not ended; nobody else changes that then."""
    values = {"owner": tx.terms.owner, "id": id, "name": name, "nth": nth}
    row = tx.one("turn_held", **values)
    return None if row is None else Turn(*row)


def free_turn_of(tx: Transaction, id: str) -> Turn | None:
    """As `turn_of`; None also for one that somebody is changing just now."""
    row = tx.one("turn_free", owner=tx.terms.owner, id=id)
    return None if row is None else Turn(*row)


def write_end(tx: Transaction, turn: Turn, status: JobStatus, ending: Ending) -> None:
    """Keep how a job ended, which stands in its lane no more."""
    done = status is JobStatus.DONE
    tx.put(
        "end_add",
        no=tx.new_no(),
        owner=tx.terms.owner,
        job=turn.no,
        kind=turn.kind,
        now=tx.now,
        status=status.value,
        attempt=turn.attempt + (turn.state == SUSPENDED),
        fence=turn.fence,
        worker=turn.worker,
        version=turn.version,
        result=ending.result if done else None,
        error=None if done else ending.error or turn.error,
    )
    tx.put("turn_drop", owner=tx.terms.owner, no=turn.no)


class Turns(Kind):
    """What the operations on jobs have in common."""

    name = "jobs"
    promise = Promise.DURABLE
    why = "work that was put is done, once and in its order, whoever dies"
    changed_by = "put, claim, complete and the like; workers, schedules"
    leased = True
    tables = (
        Table(
            "job",
            json=("body", "backoff", "trace"),
            numbers=("max_attempts",),
        ),
        Table("job_end", json=("result",), parent=("job", "job")),
        Table("job_step", json=("result",), parent=("job", "job")),
        Table("job_signal", json=("payload",), parent=("job", "job")),
        Table("job_turn", journalled=False),
        Table("job_limit", journalled=False),
        Table("job_start", journalled=False),
    )

    def _row(self, id: str) -> Row | None:
        return self.tx.one("job_get", owner=self.owner, id=id)

    def _found(self, id: str) -> Row:
        row = self._row(id)
        if row is None:
            raise self.not_found(id)
        return row

    def _job(self, id: str) -> Job:
        return self._as_it_stands(self._found(id))

    def _as_it_stands(self, row: Row) -> Job:
        """A job from its row; what it does before it has ended has no past."""
        asked = {"owner": self.owner, "no": row[_NO]}
        if self.tx.terms.moment is None:
            turn = self.tx.one("turn_get", **asked)
            if turn is not None:
                return job_of(row, turn)
        return job_of(row, end=self.tx.one("end_get", **asked))

    def _all_as_they_stand(self, rows: Sequence[Row]) -> Iterator[Job]:
        """The same, of many at once."""
        asked = [{"owner": self.owner, "no": row[_NO]} for row in rows]
        turns: Sequence[Sequence[Row]] = [()] * len(rows)
        if self.tx.terms.moment is None:
            turns = self.tx.each("turn_get", asked)
        over = [one for one, turn in zip(asked, turns, strict=True) if not turn]
        ends = iter(self.tx.each("end_get", over))
        for row, turn in zip(rows, turns, strict=True):
            if turn:
                yield job_of(row, turn[0])
            else:
                yield job_of(row, end=next(iter(next(ends)), None))

    def _place(self, no: int) -> int:
        """The place of a job in its lane, among those of its priority."""
        row = self.tx.one("job_place", owner=self.owner, no=no)
        assert row is not None
        return int(row[0])

    def _turn(self, id: str, name: str = "", nth: int = 0) -> Turn | None:
        """How a job stands that has not ended; nobody else changes that then."""
        return turn_of(self.tx, id, name, nth)

    def _held(self, jobs: Sequence[tuple[str, str | None]]) -> list[Turn | None]:
        """How jobs stand, each by its id and lane; nobody else changes them then.

        Locks are taken in one order, so that no two who hold many wait for each other.
        """
        for id in sorted({id for id, _ in jobs}):
            self.lock(id)
        for lane in sorted({lane for _, lane in jobs if lane is not None}):
            lock_lane(self.tx, lane)
        asked = [
            {"owner": self.owner, "id": id, "name": "", "nth": 0} for id, _ in jobs
        ]
        found = self.tx.each("turn_held", asked)
        return [Turn(*rows[0]) if rows else None for rows in found]

    def _claimed(self, id: str, fence: int, name: str = "", nth: int = 0) -> Turn:
        """The turn of a job that this fence claims. Raises `NotFound`, `Fenced`."""
        self._found(id)
        turn = self._turn(id, name, nth)
        if (over := self._over(id, turn, fence)) is not None:
            raise over
        assert turn is not None
        return turn

    def _over(self, id: str, turn: Turn | None, fence: int) -> Fenced | None:
        """Why a claim on a job is over, if it is."""
        if turn is None:
            return Fenced(
                f"job {id!r} is {self._job(id).status} by now; nothing was written: "
                "drop this work"
            )
        if turn.state != ACTIVE or turn.fence != fence:
            return Fenced(
                f"job {id!r} is no longer claimed under {fence}; nothing was written: "
                "somebody else has it or had it, so drop this work"
            )
        assert turn.until_at is not None
        if turn.until_at <= self.tx.now:
            return Fenced(
                f"the claim {fence} on job {id!r} ran out at "
                f"{to_datetime(turn.until_at)}; nothing was written: drop this work, "
                "which will be given to somebody again"
            )
        return None
