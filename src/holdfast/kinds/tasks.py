"""Tasks: units of an agent's work, with a status, a log and a result.

Answers for: making, finding, changing and finishing tasks; their logs, their figures.
Leaves to others: what a task is and which moves its status may make (`task_records`),
who works on it (leases), what is queued (jobs).
Always holds: a finished task has `completed_at`; a move that TRANSITIONS lacks is
refused.
"""

from typing import Any

from msgspec import UNSET, UnsetType

from holdfast import codec
from holdfast.clock import to_datetime
from holdfast.contract import Kind, operation, query
from holdfast.edges import Count, Id, Name, Number, Object, PageSize, Text, Value
from holdfast.engine import Row, Table, Told
from holdfast.errors import AlreadyExists, Conflict, NotFound, Refused
from holdfast.guarantees import Promise
from holdfast.kinds.task_records import (
    FINISHED,
    TRANSITIONS,
    AnyStatus,
    Description,
    Task,
    TaskLog,
    TaskMetrics,
    TaskStatus,
    line_of,
    refusal,
    task_of,
)
from holdfast.page import Page, cursor_of, place_of

_ALL = 2**62
_SWEPT_AT_ONCE = 1_000


class Tasks(Kind):
    """Units of work; each call is a transaction of its own, or part of an open one."""

    name = "tasks"
    promise = Promise.DURABLE
    why = "what was agreed on, and how far it is, is not asked for twice"
    changed_by = "create, and each move: start, complete, fail, cancel"
    leased = True
    tables = (
        Table(
            "task",
            json=("progress", "result", "metadata"),
            text=("description", "result", "error"),
        ),
        Table("task_log", parent=("task", "task")),
    )
    bookkeeping = frozenset({"version", "updated_at"})

    @operation
    def create(
        self,
        description: Description,
        *,
        id: Id | None = None,
        tool: Name | None = None,
        session: Id | None = None,
        assigned_to: Id | None = None,
        metadata: Object = None,
    ) -> Task:
        """Add a task; one that is there with equal content is given back.

        Raises `AlreadyExists` (the id, with other content), `NotFound` (the session).
        """
        wanted = (description, tool, session, assigned_to, codec.value_of(metadata))
        if id is not None and (row := self._row(id)):
            there = task_of(row)
            has = (there.description, there.tool, there.session, there.assigned_to)
            if (*has, there.metadata) != wanted:
                raise AlreadyExists("task", id)
            return there
        self._session_exists(session)
        id = id or self.tx.new_id()
        self.tx.put(
            "task_add",
            no=self.tx.new_no(),
            owner=self.owner,
            id=id,
            now=self.tx.now,
            description=description,
            tool=tool,
            session=session,
            assigned_to=assigned_to,
            metadata=codec.text_of(metadata),
        )
        return self._told("created", self._task(id))

    @query
    def get(self, id: Id) -> Task:
        """One task. Raises `NotFound`."""
        return self._task(id)

    @query
    def list(
        self,
        *,
        status: AnyStatus | None = None,
        session: Id | None = None,
        tool: Name | None = None,
        stale: bool = False,
        limit: PageSize = 50,
        cursor: str | None = None,
    ) -> Page[Task]:
        """Tasks, newest first.

        With `stale`, those in progress whose last lease is over: their holder died or
        left them, and they can be taken over. Raises `Refused` (stale, and of another
        status).
        """
        named = status and TaskStatus(status).value
        if stale and named not in {None, "in_progress"}:
            raise Refused(f"only a task in progress can be stale, not one {named}")
        before = (_ALL, 0) if cursor is None else place_of(cursor, int, int)
        values: dict[str, object] = {"owner": self.owner, "limit": limit + 1}
        values |= {"before_at": before[0], "before_no": before[1]}
        if stale:
            values |= {"session": session, "tool": tool, "now": self.tx.now}
            rows = self.tx.all("task_list_stale", **values)
        elif session is not None:
            values |= {"session": session, "tool": tool, "status": named}
            rows = self.tx.all("task_list_session", **values)
        elif tool is not None:
            rows = self.tx.all("task_list_tool", tool=tool, status=named, **values)
        elif status is not None:
            rows = self.tx.all("task_list_status", status=named, **values)
        else:
            rows = self.tx.all("task_list", **values)
        more = len(rows) > limit and cursor_of(rows[limit - 1][3], rows[limit - 1][0])
        return Page(map(task_of, rows[:limit]), more or None)

    @operation
    def update(
        self,
        id: Id,
        *,
        expect: Count | None = None,
        description: Description | UnsetType = UNSET,
        tool: Name | None | UnsetType = UNSET,
        session: Id | None | UnsetType = UNSET,
        assigned_to: Id | None | UnsetType = UNSET,
        metadata: Object | UnsetType = UNSET,
    ) -> Task:
        """Change what is named, and leave the rest; `expect` is the task's version.

        Raises `NotFound`, `Conflict` (another version), `Held`, `Fenced`.
        """
        row = self._found(id)
        self.guard(id)
        there = task_of(row)
        if expect is not None and expect != there.version:
            raise Conflict("task", id, expected=expect, found=there.version)
        if session is not UNSET:
            self._session_exists(session)
        self.tx.put(
            "task_change",
            no=row[0],
            now=self.tx.now,
            description=there.description if description is UNSET else description,
            tool=there.tool if tool is UNSET else tool,
            session=there.session if session is UNSET else session,
            assigned_to=there.assigned_to if assigned_to is UNSET else assigned_to,
            metadata=row[15] if metadata is UNSET else codec.text_of(metadata),
        )
        return self._told("updated", self._task(id))

    @operation
    def start(self, id: Id) -> Task:
        """Take a task into progress; a failed one is tried again.

        Raises `NotFound`, `Refused` (from a status that cannot start), `Held`,
        `Fenced`.
        """
        return self._move(id, TaskStatus.IN_PROGRESS)

    @operation
    def hold(self, id: Id) -> Task:
        """Set a task to wait for something. Raises as `start` does."""
        return self._move(id, TaskStatus.WAITING)

    @operation
    def complete(self, id: Id, result: Value = None) -> Task:
        """Finish a task with its result. Raises as `start` does."""
        return self._move(id, TaskStatus.COMPLETED, result=codec.text_of(result))

    @operation
    def fail(self, id: Id, error: Text) -> Task:
        """Finish a task with what went wrong. Raises as `start` does."""
        return self._move(id, TaskStatus.FAILED, error=error)

    @operation
    def cancel(self, id: Id) -> Task:
        """Finish a task that is no longer wanted. Raises as `start` does."""
        return self._move(id, TaskStatus.CANCELLED)

    @operation
    def progress(
        self,
        id: Id,
        done: Number,
        total: Number | None = None,
        note: Text | None = None,
    ) -> Task:
        """Say how far a task has come, in units of your own.

        Raises `NotFound`, `Refused` (the task is finished), `Held`, `Fenced`.
        """
        row = self._found(id)
        self.guard(id)
        if row[7] in FINISHED:
            raise Refused(f"task {id!r} is {row[7]}: its progress no longer changes")
        there = {"done": done, "total": total, "note": note}
        self.tx.put(
            "task_progress", no=row[0], now=self.tx.now, progress=codec.text_of(there)
        )
        return self._told("progress", self._task(id), **there)

    @operation
    def log(
        self, id: Id, message: Text, level: Name = "info", type: Name = "system"
    ) -> TaskLog:
        """Add a line to a task's log. Raises `NotFound`, `Held`, `Fenced`."""
        row = self._found(id)
        no = row[0]
        self.guard(id)
        (last,) = self.tx.one("task_log_last", task=no) or (None,)
        line = {"level": level, "type": type, "message": message}
        self.tx.put(
            "task_log_add",
            no=self.tx.new_no(),
            owner=self.owner,
            task=no,
            position=(last or 0) + 1,
            now=self.tx.now,
            **line,
        )
        self._told("log", task_of(row), **line)
        return TaskLog(at=to_datetime(self.tx.now), **line)

    @query
    def logs(
        self, id: Id, *, limit: PageSize = 100, cursor: str | None = None
    ) -> Page[TaskLog]:
        """Lines of a task's log, oldest first. Raises `NotFound`."""
        no = self._found(id)[0]
        after = 0 if cursor is None else place_of(cursor, int)[0]
        rows = self.tx.all("task_log_page", task=no, after=after, limit=limit + 1)
        more = cursor_of(rows[limit - 1][4]) if len(rows) > limit else None
        return Page(map(line_of, rows[:limit]), more)

    @operation
    def delete(self, id: Id) -> bool:
        """Delete a task and its log; True only if there was one.

        Raises `Held`, `Fenced`.
        """
        row = self._row(id)
        if row is None:
            return False
        self.guard(id)
        self.tx.put("task_drop", no=row[0])
        swept = self.tx.run("task_log_sweep", task=row[0], limit=_SWEPT_AT_ONCE)
        if swept == _SWEPT_AT_ONCE:
            self.tx.put("leftover_add", kind=self.name, no=row[0], below=_ALL)
            self.tx.untidy()
        self._told("deleted", task_of(row))
        return True

    @query
    def metrics(self) -> TaskMetrics:
        """How many tasks there are, by status, and how long completed ones took."""
        counts = {status.value: 0 for status in TaskStatus}
        counts |= dict(self.tx.all("task_counts", owner=self.owner))
        (average,) = self.tx.one("task_average", owner=self.owner) or (None,)
        return TaskMetrics(
            total=sum(counts.values()),
            by_status=counts,
            average_completion_ms=None if average is None else float(average) / 1000,
        )

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many tasks and log lines the owner has, and their bytes."""
        tasks = self.tx.one("task_usage", owner=self.owner) or (0, 0)
        lines = self.tx.one("task_log_usage", owner=self.owner) or (0, 0)
        return {"task": (tasks[0], tasks[1]), "task_log": (lines[0], lines[1])}

    def revised(
        self, was: dict[str, Any], now: dict[str, Any] | None, past: Kind
    ) -> dict[str, Any]:
        """A task's row as it is put back, with a version that it never had before."""
        last = self.tx.one("task_version_last", owner=self.owner, id=was["id"]) or (0,)
        version = max(was["version"], last[0], now["version"] if now else 0) + 1
        return {**was, "version": version, "updated_at": self.tx.now}

    def tidy(self, limit: int) -> bool:
        """Delete log lines of tasks that were deleted."""
        row = self.tx.one("leftover_next", kind=self.name)
        if row is None:
            return False
        if self.tx.run("task_log_sweep", task=row[0], limit=limit) < limit:
            self.tx.put("leftover_done", kind=self.name, no=row[0])
        return True

    def _move(
        self,
        id: str,
        status: TaskStatus,
        *,
        result: str | None = None,
        error: str | None = None,
    ) -> Task:
        row = self._found(id)
        self.guard(id)
        there = TaskStatus(row[7])
        if status not in TRANSITIONS[there]:
            raise Refused(refusal(id, there, status))
        started = self.tx.now if status is TaskStatus.IN_PROGRESS else row[5]
        self.tx.put(
            "task_move",
            no=row[0],
            now=self.tx.now,
            status=status.value,
            started_at=started,
            completed_at=self.tx.now if status in FINISHED else None,
            result=result,
            error=error,
        )
        return self._told("updated", self._task(id))

    def _told(self, what: str, task: Task, **more: Any) -> Task:
        """Have it told what became of a task."""
        said = {"id": task.id, "status": task.status, "version": task.version, **more}
        self.tx.tell(Told(f"task:{what}", said, session=task.session))
        return task

    def _session_exists(self, session: str | None) -> None:
        if session is not None and not self.tx.one(
            "session_place", owner=self.owner, id=session, now=self.tx.now
        ):
            raise NotFound("session", session)

    def _row(self, id: str) -> Row | None:
        return self.tx.one("task_get", owner=self.owner, id=id)

    def _found(self, id: str) -> Row:
        row = self._row(id)
        if row is None:
            raise NotFound("task", id)
        return row

    def _task(self, id: str) -> Task:
        return task_of(self._found(id))
