"""Schedules: jobs that are put again and again, by a cron text or every N seconds.

Answers for: keeping schedules, pausing them, and saying when each is due next.
Leaves to others: which times a rule has (`due_times`), putting the jobs (`firing`).
Always holds: a schedule that is not paused has a row that says when it is due, which is
made again when the schedule is put back; a paused one is due at no time.
"""

from typing import Any

import msgspec

from holdfast import codec
from holdfast.contract import Kind, operation, query
from holdfast.edges import Id, PageSize, Tool, Value
from holdfast.engine import Row, Table
from holdfast.errors import BadInput, NotFound, Refused
from holdfast.guarantees import Promise
from holdfast.kinds.job_records import Attempts, Priority
from holdfast.kinds.schedule_records import (
    CONTENT,
    CREATED_AT,
    PAUSED,
    UNCOUNTED,
    AnyMissed,
    Cron,
    Every,
    Missed,
    Schedule,
    ScheduleId,
    Zone,
    every_us_of,
    rule_in,
    rule_of,
    schedule_of,
)
from holdfast.page import Page, cursor_of, place_of
from holdfast.restoring import Plan

_ALL = 2**62


class Schedules(Kind):
    """Recurring jobs; each call is a transaction of its own, or part of an open one."""

    name = "schedules"
    promise = Promise.DURABLE
    why = "each due time gives one job, across restarts"
    changed_by = "put, pause, resume, delete; a worker that puts what is due"
    leased = True
    tables = (
        Table("schedule", json=("body",)),
        Table("schedule_due", journalled=False),
    )
    bookkeeping = frozenset({"updated_at"})

    @operation
    def put(
        self,
        id: ScheduleId,
        kind: Tool,
        body: Value = None,
        *,
        cron: Cron | None = None,
        every_seconds: Every | None = None,
        timezone: Zone = "UTC",
        lane: Id | None = None,
        priority: Priority = 0,
        max_attempts: Attempts = 3,
        missed: AnyMissed = "all",
    ) -> Schedule:
        """Have a job put at each time of a cron text, or every so many seconds.

        Each has the schedule's id with the time in it as its own, and is put by the
        worker that looks first. Of times that passed while no worker was there, each
        gets its job, or with `missed="last"` only the newest. What is there under the
        id is replaced, and its next time counted anew; with equal content it is given
        back. Raises `Refused` (neither `cron` nor `every_seconds`, or both; a cron text
        without the extra `holdfast[cron]`), `Held`, `Fenced`.
        """
        if (cron is None) == (every_seconds is None):
            raise Refused(
                "a schedule has either a cron text or every_seconds; nothing was "
                "written: give one of them"
            )
        row = self._row(id)
        content = {
            "kind": kind,
            "body": codec.text_of(body),
            "cron": cron,
            "every_us": every_us_of(every_seconds),
            "timezone": timezone,
            "lane": lane,
            "priority": priority,
            "max_attempts": max_attempts,
            "missed": Missed(missed).value,
        }
        if row is not None and row[CONTENT] == tuple(content.values()):
            return schedule_of(row)
        self.guard(id)
        self._keep(id, row, content)
        return self._schedule(id)

    @query
    def get(self, id: Id) -> Schedule:
        """One schedule. Raises `NotFound`."""
        return self._schedule(id)

    @query
    def list(
        self, *, limit: PageSize = 50, cursor: str | None = None
    ) -> Page[Schedule]:
        """Schedules, newest first."""
        before = (_ALL, 0) if cursor is None else place_of(cursor, int, int)
        rows = self.tx.all(
            "schedule_list",
            owner=self.owner,
            before_at=before[0],
            before_no=before[1],
            limit=limit + 1,
        )
        last = rows[limit - 1] if len(rows) > limit else None
        more = None if last is None else cursor_of(last[CREATED_AT], last[0])
        return Page(map(schedule_of, rows[:limit]), more)

    @operation
    def pause(self, id: Id) -> Schedule:
        """Have a schedule put no jobs until it is resumed.

        Raises `NotFound`, `Held`, `Fenced`.
        """
        return self._set_paused(id, paused=True)

    @operation
    def resume(self, id: Id) -> Schedule:
        """Let a paused schedule go on with its next time; those that passed stay so.

        Raises `NotFound`, `Held`, `Fenced`.
        """
        return self._set_paused(id, paused=False)

    @operation
    def delete(self, id: Id) -> bool:
        """Delete a schedule, but no job that it has put; True only if there was one.

        Raises `Held`, `Fenced`.
        """
        row = self._row(id)
        if row is None:
            return False
        self.guard(id)
        self.tx.put("schedule_drop", owner=self.owner, no=row[0])
        self._forget(row[0])
        return True

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many schedules the owner has, and their bytes."""
        found = self.tx.one("schedule_usage", owner=self.owner) or (0, 0)
        return {"schedule": (found[0], found[1])}

    def put_back(self, id: str, past: Kind) -> Plan | None:
        """As for every kind; one that was not there yet is not due any more either."""
        plan = super().put_back(id, past)
        if plan is None or plan.op != "delete":
            return plan

        def write(plan: Plan = plan, no: int = self._found(id)[0]) -> None:
            plan.write()
            self._forget(no)

        return msgspec.structs.replace(plan, write=write)

    def revised(
        self, was: dict[str, Any], now: dict[str, Any] | None, past: Kind
    ) -> dict[str, Any]:
        """A schedule's row as it is put back."""
        return {**was, "updated_at": self.tx.now}

    def settled(self, row: dict[str, Any]) -> None:
        """Count anew when a schedule is due that was put back."""
        next_at = None
        if not row["paused"]:
            try:
                next_at = rule_of(row).after(self.tx.now)
            except (BadInput, Refused):  # another process will be able to tell
                next_at = UNCOUNTED
        self._expect(row["no"], next_at)

    def _keep(self, id: str, there: Row | None, content: dict[str, Any]) -> None:
        owner, now, paused, created_at = self.owner, self.tx.now, False, self.tx.now
        if there is None:
            no = self.tx.new_no()
            self.tx.put("schedule_add", no=no, owner=owner, id=id, now=now, **content)
        else:
            no, paused, created_at = there[0], there[PAUSED], there[CREATED_AT]
            self.tx.put("schedule_change", no=no, owner=owner, now=now, **content)
        rule = rule_of({**content, "created_at": created_at})
        self._expect(no, None if paused else rule.after(now))

    def _set_paused(self, id: str, *, paused: bool) -> Schedule:
        row = self._found(id)
        self.guard(id)
        if row[PAUSED] == paused:
            return schedule_of(row)
        next_at = None if paused else rule_in(row).after(self.tx.now)
        self.tx.put(
            "schedule_pause",
            owner=self.owner,
            no=row[0],
            paused=int(paused),
            now=self.tx.now,
        )
        self._expect(row[0], next_at)
        return self._schedule(id)

    def _expect(self, no: int, next_at: int | None) -> None:
        """Say when a schedule is due next."""
        self._forget(no)
        self.tx.put("schedule_due_add", owner=self.owner, no=no, next_at=next_at)

    def _forget(self, no: int) -> None:
        self.tx.put("schedule_due_drop", owner=self.owner, no=no)

    def _row(self, id: str) -> Row | None:
        return self.tx.one("schedule_get", owner=self.owner, id=id)

    def _found(self, id: str) -> Row:
        row = self._row(id)
        if row is None:
            raise NotFound("schedule", id)
        return row

    def _schedule(self, id: str) -> Schedule:
        return schedule_of(self._found(id))
