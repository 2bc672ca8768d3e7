"""Steps of jobs: what a handler has done, so that it is not done again.

Answers for: keeping steps, and what a handler waits for without holding a worker: a
time, a signal, its children.
Leaves to others: running handlers (`runtime`), what becomes of a claim
(`job_endings`).
Always holds: a step is kept once, under its name and its number among those of that
name; a signal is taken once, in the transaction that keeps the step which took it.
"""

from collections.abc import Sequence

from holdfast import codec
from holdfast.clock import to_datetime
from holdfast.contract import operation, query
from holdfast.edges import Count, Id, Name, Seconds, Text, Value
from holdfast.errors import HoldfastError, NotFound, Refused
from holdfast.kinds.job_endings import RELEASED, Endings
from holdfast.kinds.job_records import (
    CHILDREN,
    FINISHED,
    SUSPENDED,
    Job,
    NewStep,
    Step,
    Waited,
    step_of,
)
from holdfast.kinds.job_turns import Turn

_MOST_STEPS = 100_000


class Steps(Endings):
    """What handlers have done, and what they wait for."""

    @query
    def steps(self, id: Id) -> tuple[Step, ...]:
        """What a job's handler has done so far, in its order. Raises `NotFound`."""
        asked = {"owner": self.owner, "job": self._found(id)[0], "limit": _MOST_STEPS}
        return tuple(map(step_of, self.tx.all("step_list", **asked)))

    @operation
    def keep_step(
        self,
        id: Id,
        name: Text,
        result: Value = None,
        *,
        nth: Count,
        position: Count,
        fence: Count,
    ) -> Step:
        """Keep what a step of a handler gave; of one that is kept, what it gave first.

        `nth` counts the steps of one name, `position` all of them, from 0 on. Raises
        `NotFound`, `Fenced`.
        """
        step = NewStep(
            job=id,
            fence=fence,
            name=name,
            nth=nth,
            position=position,
            result=codec.text_of(result),
        )
        (kept,) = self.keep_all([step])
        if isinstance(kept, HoldfastError):
            raise kept
        return kept

    def keep_all(self, steps: Sequence[NewStep]) -> tuple[Step | HoldfastError, ...]:
        """Keep many steps at once; each as it is kept, or why it is refused."""
        for job in sorted({step.job for step in steps}):
            self.lock(job)
        asked = [
            {"owner": self.owner, "id": step.job, "name": step.name, "nth": step.nth}
            for step in steps
        ]
        found = self.tx.each("turn_held", asked)
        turns = [Turn(*rows[0]) if rows else None for rows in found]
        return tuple(map(self._keep_if_claimed, turns, steps))

    def _keep_if_claimed(
        self, turn: Turn | None, step: NewStep
    ) -> Step | HoldfastError:
        try:
            over = self._over(step.job, turn, step.fence)
        except HoldfastError as error:
            return error
        if over is not None:
            return over
        assert turn is not None
        if turn.step is not None:
            return self._step(turn, step.name, step.nth)
        self._add_step(turn, step.name, step.nth, step.position, result=step.result)
        return Step(
            position=step.position,
            name=step.name,
            nth=step.nth,
            result=codec.decode(step.result),
            due=None,
            pending=False,
            at=to_datetime(self.tx.now),
        )

    @operation
    def sleep(
        self,
        id: Id,
        name: Text,
        *,
        nth: Count,
        position: Count,
        seconds: Seconds,
        fence: Count,
    ) -> Waited:
        """Suspend a claimed job for so many seconds from when this step first began.

        Raises `NotFound`, `Fenced`, `Refused` (such a step is kept, and is no pause).
        """
        turn = self._claimed(id, fence, name, nth)
        if turn.step is None:
            due = self.tx.now + round(seconds * 1_000_000)
            self._add_step(turn, name, nth, position, due_at=due)
        else:
            due = self._due(turn, name, nth)
        if due <= self.tx.now:
            return Waited(there=True)
        self._suspend(turn, None, due)
        return Waited(there=False)

    @operation
    def wait(
        self,
        id: Id,
        signal: Name,
        *,
        nth: Count,
        position: Count,
        timeout_seconds: Seconds | None = None,
        fence: Count,
    ) -> Waited:
        """Take a signal that a job was sent, or suspend the job until there is one.

        With a timeout, it goes on without one then, with the payload None, counted from
        when this step first began. Raises `NotFound`, `Fenced`.
        """
        turn = self._claimed(id, fence, signal, nth)
        step = None if turn.step is None else self._step(turn, signal, nth)
        if step is not None and not step.pending:
            return Waited(there=True, payload=step.result)
        asked = {"owner": self.owner, "job": turn.no, "name": signal}
        found = self.tx.one("signal_oldest", **asked)
        due = None if step is None else self._due(turn, signal, nth)
        if found is None and (due is None or due > self.tx.now):
            if timeout_seconds is not None and step is None:
                due = self.tx.now + round(timeout_seconds * 1_000_000)
                self._add_step(turn, signal, nth, position, due_at=due, pending=1)
            self._suspend(turn, signal, due)
            return Waited(there=False)
        payload = None
        if found is not None:
            self.tx.put("signal_drop", owner=self.owner, no=found[0])
            payload = found[1]
        if step is None:
            self._add_step(turn, signal, nth, position, result=payload)
        else:
            values = {"nth": nth, "result": payload, "now": self.tx.now}
            self.tx.put("step_done", **asked, **values)
        return Waited(there=True, payload=codec.decode(payload))

    @operation
    def join(self, id: Id, *, fence: Count) -> Waited:
        """Suspend a claimed job until all jobs that were put with it as parent ended.

        Raises `NotFound`, `Fenced`, `Refused` (a child waits behind it in its lane).
        """
        turn = self._claimed(id, fence)
        asked = {"owner": self.owner, "id": id}
        if self.tx.one("turn_child", **asked) is None:
            return Waited(there=True)
        behind = turn.lane and self.tx.one("turn_child_behind", lane=turn.lane, **asked)
        if behind:
            raise Refused(
                f"job {id!r} cannot wait for its child {behind[0]!r}, which stands "
                f"behind it in lane {turn.lane!r}: put it into another, or into none"
            )
        self._suspend(turn, CHILDREN, None)
        return Waited(there=False)

    @operation
    def signal(self, id: Id, name: Name, payload: Value = None) -> Job:
        """Send a job a signal; it is kept until its handler waits for one of that name.

        Raises `NotFound`, `Refused` (the job has ended), `Held`.
        """
        job = self._job(id)
        self.guard(id)
        if job.status in FINISHED:
            raise Refused(f"job {id!r} is {job.status}: it takes no signal any more")
        (no, *_) = self._found(id)
        self.tx.put(
            "signal_add",
            no=self.tx.new_no(),
            owner=self.owner,
            job=no,
            name=name,
            payload=codec.text_of(payload),
            now=self.tx.now,
        )
        self._rouse(no, name)
        return self._job(id)

    def kept(self, id: str, name: str, nth: int) -> Step | None:
        """A step of a job, if it was done; nothing is locked. Raises `NotFound`."""
        values = {"owner": self.owner, "job": self._found(id)[0]}
        row = self.tx.one("step_get", name=name, nth=nth, **values)
        return None if row is None else step_of(row)

    def _suspend(self, turn: Turn, waits_for: str | None, due: int | None) -> None:
        """Let a job's worker go, until what the job waits for is there, or too late."""
        if turn.cancelling:
            self._end(turn, RELEASED)
            return
        times = [at for at in (due, turn.deadline) if at is not None]
        self.tx.put(
            "turn_back",
            owner=self.owner,
            no=turn.no,
            now=self.tx.now,
            state=SUSPENDED,
            until_at=min(times, default=None),
            attempt=turn.attempt - 1,
            error=turn.error,
            waits_for=waits_for,
        )

    def _add_step(
        self,
        turn: Turn,
        name: str,
        nth: int,
        position: int,
        *,
        result: str | None = None,
        due_at: int | None = None,
        pending: int = 0,
    ) -> None:
        self.tx.put(
            "step_add",
            no=self.tx.new_no(),
            owner=self.owner,
            job=turn.no,
            position=position,
            name=name,
            nth=nth,
            result=result,
            due_at=due_at,
            pending=pending,
            now=self.tx.now,
        )

    def _step_row(self, turn: Turn, name: str, nth: int) -> tuple[object, ...]:
        values = {"owner": self.owner, "job": turn.no, "name": name, "nth": nth}
        row = self.tx.one("step_get", **values)
        if row is None:
            raise NotFound("step", name)
        return row

    def _step(self, turn: Turn, name: str, nth: int) -> Step:
        return step_of(self._step_row(turn, name, nth))

    def _due(self, turn: Turn, name: str, nth: int) -> int:
        """When a pause is over, or the time to wait for a signal."""
        due = self._step_row(turn, name, nth)[4]
        if not isinstance(due, int):
            raise Refused(
                f"step {name!r} of job {turn.id!r} is kept, and is no pause: the code "
                "of its handler has changed"
            )
        return due
