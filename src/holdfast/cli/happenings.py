"""What happens to jobs, found out by looking again and again.

Answers for: jobs that were put, ended, revived or purged, each told once, from the
journal; jobs that were begun, wait or were given back, from who has which job.
Leaves to others: when to look (`watching`), how it is shown.
Always holds: a job that is begun and ends between two looks is told by its end alone.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from holdfast.cli.opening import PAGE, journal_of, listed, scope
from holdfast.clock import SystemClock, to_datetime
from holdfast.errors import NotFound, Trimmed
from holdfast.kinds.job_records import FINISHED, Job, JobStatus

if TYPE_CHECKING:
    from holdfast.changes import Change
    from holdfast.store import Store

_MOST_ACTIVE = 10_000
_WRITTEN = ("job", "job_end")
_GIVEN_BACK = {JobStatus.QUEUED, JobStatus.WAITING}
_BEGINNINGS = {"put", "revived"}
Key: TypeAlias = tuple[str, str]
"""A job's owner and its id."""


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a job.

    `change` is `put`, `revived`, `purged`, or the status that the job has now: back to
    `queued` if it was given back or is to be tried again, with the `error` that it met
    with, and `until`, when it is due.
    """

    at: datetime
    change: str
    id: str
    owner: str
    kind: str
    lane: str | None = None
    attempt: int = 0
    worker: str | None = None
    waits_for: str | None = None
    until: datetime | None = None
    error: str | None = None


class Happenings:
    """Looks at a store's jobs, and tells what happened since the last look."""

    def __init__(self, store: "Store", owner: str | None) -> None:
        self._store = store
        self._owner = owner
        self._journal = journal_of(store, owner)
        self._place = self._journal.head()
        self.active = self._active()

    def lately(self, limit: int) -> list[Happening]:
        """Jobs that ended, of those that were put last; in order."""
        lists = scope(self._store, self._owner).jobs.list
        found = [job for s in FINISHED for job in lists(status=s, limit=limit)]
        told = [_ended(job) for job in found]
        return sorted(told, key=lambda one: one.at)[-limit:]

    def look(self, most: int | None = None) -> list[Happening]:
        """What happened since the last look; `most`: so much of the journal."""
        before, self.active = self.active, self._active()
        written = list(self._written(most))
        gone = (
            before.keys() - self.active.keys() - {(it.owner, it.id) for it in written}
        )
        now = to_datetime(SystemClock().now_us())
        begun = [
            _stands(job, now)
            for key, job in self.active.items()
            if key not in before or before[key].fence != job.fence
        ]
        back = [
            _stands(job, now)
            for key in gone
            if (job := self._found(key)) and job.status in _GIVEN_BACK
        ]
        put = [it for it in written if it.change in _BEGINNINGS]
        rest = [it for it in written if it.change not in _BEGINNINGS]
        return [*put, *begun, *back, *rest]

    def _active(self) -> dict[Key, Job]:
        """The jobs that are claimed."""
        lists = scope(self._store, self._owner).jobs.list
        found = listed(lists, _MOST_ACTIVE, None, status=JobStatus.ACTIVE)
        return {(job.owner, job.id): job for job in found}

    def _found(self, key: Key) -> Job | None:
        owner, id = key
        try:
            return self._store.owned_by(owner).jobs.get(id)
        except NotFound:
            return None

    def _written(self, most: int | None) -> Iterator[Happening]:
        if most is not None:
            self._place = max(self._place, self._journal.head() - most)
        purged: set[Key] = set()
        while True:
            try:
                found = self._journal.stretch(self._place, limit=PAGE, kinds=_WRITTEN)
            except Trimmed:
                self._place = self._journal.horizon()
                continue
            for change in found.changes:
                if (happened := _happened(change, purged)) is not None:
                    yield happened
            if found.reached == self._place:
                return
            self._place = found.reached


def _stands(job: Job, now: datetime) -> Happening:
    return Happening(
        at=now,
        change=job.status.value,
        id=job.id,
        owner=job.owner,
        kind=job.kind,
        lane=job.lane,
        attempt=job.attempt,
        worker=job.worker,
        waits_for=job.waits_for,
        until=job.lease_until or job.run_at,
        error=None if job.status is JobStatus.ACTIVE else job.error,
    )


def _ended(job: Job) -> Happening:
    at = job.finished_at or job.created_at
    return msgspec.structs.replace(_stands(job, at), until=None)


def _happened(change: "Change", purged: set[Key]) -> Happening | None:
    """What a change of the journal says happened; None if nothing did that is told."""
    fields = change.after or change.before
    if fields is None or change.op not in {"create", "delete"}:
        return None
    told = {"create": "put", "delete": "purged"}[change.op]
    id = str(fields["job" if change.kind == "job_end" else "id"])
    if change.kind == "job_end":
        told = fields["status"] if change.op == "create" else "revived"
    if told == "purged":
        purged.add((change.owner, id))
    elif (change.owner, id) in purged:  # its end, which is deleted with it
        return None
    return Happening(
        at=change.at,
        change=told,
        id=id,
        owner=change.owner,
        kind=fields["kind"],
        lane=fields.get("lane"),
        attempt=fields.get("attempt", 0),
        worker=fields.get("worker"),
        until=fields.get("run_at") if told == "put" else None,
        error=fields.get("error") if told in FINISHED else None,
    )
