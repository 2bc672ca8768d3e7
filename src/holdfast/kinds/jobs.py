"""Jobs: work that is done once, in order, whatever dies.

Answers for: putting jobs, finding them, their figures, deleting those that ended.
Leaves to others: what a job is (`job_records`), whose turn it is (`job_rows`), claims
(`job_claims`), how they end (`job_endings`), what handlers have done (`job_steps`),
running them (`runtime/jobs`).
Always holds: the same id twice is one job; a job that ended stays until it is purged.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from holdfast import codec
from holdfast.clock import to_datetime, to_us
from holdfast.contract import Kind, operation, query
from holdfast.edges import Id, PageSize, Time, Tool, Value
from holdfast.engine import Row
from holdfast.errors import AlreadyExists, NotFound, Refused
from holdfast.kinds.job_claims import Claims
from holdfast.kinds.job_records import (
    ACTIVE,
    SUSPENDED,
    AnyStatus,
    Attempts,
    Backoff,
    Delay,
    Job,
    JobStats,
    JobStatus,
    Priority,
    Retrying,
    Trace,
)
from holdfast.kinds.job_rows import NewJob, add, line_up, lock_lane, move_up
from holdfast.kinds.job_steps import Steps
from holdfast.page import Page, cursor_of, place_of
from holdfast.restoring import Plan

_ALL = 2**62
_CREATED = 14
_SWEPT_AT_ONCE = 1_000
_OUTCOMES = (JobStatus.DONE, JobStatus.DEAD, JobStatus.CANCELLED)
_FILTERS = ("parent", "session", "lane", "kind")
"""What a list may be asked for, the narrowest first."""
_BUSY = {JobStatus.ACTIVE: ACTIVE, JobStatus.WAITING: SUSPENDED}


class Jobs(Claims, Steps):
    """Queued work; each call is a transaction of its own, or part of an open one."""

    @operation
    def put(
        self,
        kind: Tool,
        body: Value = None,
        *,
        lane: Id | None = None,
        id: Id | None = None,
        priority: Priority = 0,
        delay_seconds: Delay | None = None,
        run_at: Time | None = None,
        max_attempts: Attempts = 3,
        backoff: Retrying | None = None,
        deadline: Time | None = None,
        session: Id | None = None,
        parent: Id | None = None,
        trace: Trace | None = None,
    ) -> Job:
        """Put work into a lane, or beside all lanes; the same id twice is one job.

        It is due at once, after `delay_seconds`, or at `run_at`; what is not done by
        its `deadline` is given up. A lane's jobs are done one after another: those of a
        higher priority first, and equals in the order in which they were put. The
        caller's OpenTelemetry trace is carried along, if there is one. Raises
        `AlreadyExists` (the id, with another kind, lane or body), `NotFound` (the
        session, or the parent), `Refused` (`delay_seconds` and `run_at`).
        """
        if delay_seconds is not None and run_at is not None:
            raise Refused("a job is due after delay_seconds or at run_at: say one")
        if id is not None and (row := self._row(id)):
            return self._same(row, kind, lane, codec.text_of(body))
        self._other_records(session, parent)
        if delay_seconds is not None:
            due: int | None = self.tx.now + round(delay_seconds * 1_000_000)
        else:
            due = None if run_at is None else to_us(run_at)
        job = NewJob(
            id=id or self.tx.new_id(),
            kind=kind,
            body=codec.text_of(body),
            lane=lane,
            session=session,
            parent=parent,
            priority=priority,
            run_at=due,
            deadline=None if deadline is None else to_us(deadline),
            max_attempts=max_attempts,
            backoff=_text_of_backoff(backoff),
            trace=codec.text_of(trace),
        )
        add(self.tx, job)
        return self._new(job, codec.value_of(body), backoff)

    @query
    def get(self, id: Id) -> Job:
        """One job. Raises `NotFound`."""
        return self._job(id)

    @query
    def list(
        self,
        *,
        status: AnyStatus | None = None,
        kind: Tool | None = None,
        lane: Id | None = None,
        session: Id | None = None,
        parent: Id | None = None,
        limit: PageSize = 50,
        cursor: str | None = None,
    ) -> Page[Job]:
        """Jobs, newest first; of those that ended in one way, the last to end first.

        Raises `Refused` (what was queued, active or waiting in the past).
        """
        before = (_ALL, 0) if cursor is None else place_of(cursor, int, int)
        values: dict[str, object] = {"owner": self.owner, "limit": limit + 1}
        values |= {"before_at": before[0], "before_no": before[1], "kind": kind}
        values |= {"lane": lane, "session": session, "parent": parent}
        rows = self._listed(status, values)
        more = len(rows) > limit and cursor_of(*_place(rows[limit - 1]))
        return Page(self._all_as_they_stand(rows[:limit]), more or None)

    @query
    def stats(self) -> JobStats:
        """How many jobs there are, by kind and status, and how long one has waited."""
        by_kind = {
            kind: {JobStatus.QUEUED.value: count}
            for kind, count in self.tx.all("job_counts", owner=self.owner)
        }
        ended = self.tx.all("end_counts", owner=self.owner)
        for kind, status, count in [*ended, *self._busy()]:
            by_kind[kind][status] = count
            by_kind[kind][JobStatus.QUEUED.value] -= count
        by_status = {
            status.value: sum(
                figures.get(status.value, 0) for figures in by_kind.values()
            )
            for status in JobStatus
        }
        return JobStats(
            total=sum(by_status.values()),
            by_status=by_status,
            by_kind=by_kind,
            ready_since=self._ready_since(),
        )

    @operation
    def purge(self, *, finished_before: Time, limit: PageSize = 1_000) -> int:
        """Delete jobs that ended before a time, `limit` at most; how many were.

        Their steps and signals go with them. What they were stays in the journal until
        it is trimmed.
        """
        found, before = 0, to_us(finished_before)
        for status in _OUTCOMES:
            asked = {"status": status.value, "before": before, "limit": limit - found}
            rows = self.tx.all("end_page", owner=self.owner, **asked)
            for no in self._still_ended(rows, before):
                self.tx.put("job_drop", owner=self.owner, no=no)
                self.tx.put("end_drop", owner=self.owner, no=no)
                self._sweep(no)
                found += 1
            if found == limit:
                break
        return found

    def ended_before(self, time: datetime) -> bool:
        """Whether any job ended before a time. It reads only."""
        before = to_us(time)
        asked = {"owner": self.owner, "before": before, "limit": 1}
        return any(
            self.tx.all("end_page", status=status.value, **asked)
            for status in _OUTCOMES
        )

    def next_with_jobs(self, after: str) -> str | None:
        """The first owner from this one on who has any job.

        It reads only, in the terms of every owner.
        """
        row = self.tx.one("jobs_owners", after=after)
        return None if row is None else row[0]

    def _still_ended(self, rows: Sequence[Row], before: int) -> Iterator[int]:
        """The numbers of jobs that nobody revived or purged before they were locked."""
        for _, id in rows:
            self.lock(id)
        asked = [{"owner": self.owner, "no": no} for no, _ in rows]
        for (no, _), end in zip(rows, self.tx.each("end_get", asked), strict=True):
            if end and end[0][-1] < before:
                yield no

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many jobs, ends and steps the owner has, and their bytes."""
        found = {}
        for table in ("job", "job_end", "job_step"):
            row = self.tx.one(f"{table}_usage", owner=self.owner) or (0, 0)
            found[table] = (row[0], row[1])
        return found

    def tidy(self, limit: int) -> bool:
        """Delete steps and signals of jobs that were deleted."""
        row = self.tx.one("leftover_next", kind=self.name)
        if row is None:
            return False
        if self._swept(row[0], limit) < limit:
            self.tx.put("leftover_done", kind=self.name, no=row[0])
        return True

    def put_back(self, id: str, past: Kind) -> Plan | None:
        """As for every kind; the job stands in its lane again, or no more."""
        plan, was = super().put_back(id, past), self._row(id)
        if plan is None:
            return None

        def write(plan: Plan = plan) -> None:
            fence = self._step_down(was)
            plan.write()
            self._line_up_again(id, fence)

        return msgspec.structs.replace(plan, write=write)

    def _step_down(self, row: Row | None) -> int:
        """Take a job out of its lane; how often it was claimed."""
        if row is None:
            return 0
        lock_lane(self.tx, row[4])
        fence = self._as_it_stands(row).fence
        self.tx.put("turn_drop", owner=self.owner, no=row[0])
        move_up(self.tx, row[4])
        return fence

    def _line_up_again(self, id: str, fence: int) -> None:
        """Let a job that was put back stand in its lane, if it has not ended."""
        row = self._row(id)
        if row is not None and self._as_it_stands(row).status is JobStatus.QUEUED:
            lock_lane(self.tx, row[4])
            line_up(
                self.tx,
                row[0],
                self._place(row[0]),
                lane=row[4],
                parent=row[6],
                kind=row[3],
                priority=row[7],
                run_at=row[9],
                deadline=row[10],
                fence=fence,
            )

    def _same(self, row: Row, kind: str, lane: str | None, body: str | None) -> Job:
        """The job that has an id already, if it is the one that is put."""
        there = (row[3], row[4], codec.decode(row[8]))
        if there != (kind, lane, codec.decode(body)):
            raise AlreadyExists("job", row[2])
        return self._as_it_stands(row)

    def _new(self, job: NewJob, body: object, backoff: Backoff | None) -> Job:
        """The record of a job that was just put."""
        due = job.run_at
        return Job(
            id=job.id,
            owner=self.owner,
            kind=job.kind,
            lane=job.lane,
            body=body,
            status=JobStatus.QUEUED,
            priority=job.priority,
            attempt=0,
            max_attempts=job.max_attempts,
            backoff=backoff or Backoff(),
            fence=0,
            worker=None,
            lease_until=None,
            run_at=_time(due) if due is not None and due > self.tx.now else None,
            deadline=_time(job.deadline),
            session=job.session,
            parent=job.parent,
            waits_for=None,
            cancelling=False,
            result=None,
            error=None,
            version=None,
            trace=codec.decode(job.trace),
            created_at=to_datetime(self.tx.now),
            finished_at=None,
        )

    def _other_records(self, session: str | None, parent: str | None) -> None:
        if session is not None and not self.tx.one(
            "sessions_exists", owner=self.owner, id=session
        ):
            raise NotFound("session", session)
        if parent is not None:
            self._found(parent)

    def _listed(
        self, status: JobStatus | None, values: dict[str, object]
    ) -> Sequence[Row]:
        """Rows of jobs by the narrowest of the conditions; one more than the page."""
        past = self.tx.terms.moment is not None
        if past and status not in {None, *_OUTCOMES}:
            raise Refused(
                f"which jobs were {status} is not kept: look at the store as it is"
            )
        by = [name for name in _FILTERS if values[name]]
        if status in _BUSY:
            return self.tx.all("job_list_busy", state=_BUSY[status], **values)
        ended = None if status not in _OUTCOMES else status.value
        if ended is not None and by in ([], ["kind"]):
            return self.tx.all("job_list_ended", ended=ended, **values)
        queued = int(status is JobStatus.QUEUED)
        if not by:
            for name in _FILTERS:
                del values[name]
        name = by[0] if by else "newest"
        return self.tx.all(f"job_list_{name}", ended=ended, queued=queued, **values)

    def _busy(self) -> Sequence[Row]:
        """How many jobs of each kind are claimed, and wait: kind, status, count."""
        if self.tx.terms.moment is not None:
            return []
        names = {state: status.value for status, state in _BUSY.items()}
        rows = self.tx.all("turn_busy_counts", owner=self.owner)
        return [(kind, names[state], count) for kind, state, count in rows]

    def _ready_since(self) -> datetime | None:
        if self.tx.terms.moment is not None:
            return None
        asked = [{"owner": self.owner, "kind": kind} for kind in self._ready_kinds()]
        found = self.tx.each("job_ready_since", asked)
        times = [row[0][0] for row in found if row and row[0][0] is not None]
        return to_datetime(min(times)) if times else None

    def _sweep(self, no: int) -> None:
        if self._swept(no, _SWEPT_AT_ONCE) == _SWEPT_AT_ONCE:
            self.tx.put("leftover_add", kind=self.name, no=no, below=_ALL)
            self.tx.untidy()

    def _swept(self, no: int, limit: int) -> int:
        """Delete steps and signals of a job; how many, up to `limit` of each."""
        asked = {"job": no, "limit": limit}
        return max(self.tx.run(f"{what}_sweep", **asked) for what in ("step", "signal"))


def _place(row: Row) -> tuple[int, int]:
    """Where a row stands in its list: those that ended say when, as their last two."""
    return (row[-2], row[-1]) if len(row) > _CREATED + 1 else (row[_CREATED], row[0])


def _text_of_backoff(backoff: Backoff | None) -> str | None:
    return None if backoff is None else msgspec.json.encode(backoff).decode()


def _time(at_us: int | None) -> datetime | None:
    return None if at_us is None else to_datetime(at_us)
