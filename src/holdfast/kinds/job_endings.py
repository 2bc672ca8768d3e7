"""Endings of jobs: done, failed, given back, cancelled, revived.

Answers for: how a claim ends, when a failed attempt is due again, who is told that a
child has ended, whose turn is next.
Leaves to others: who claims (`job_claims`), what a handler waits for (`job_steps`).
Always holds: when a job ends, the next of its lane is the first of it in the same
transaction; a dead one is kept with what went wrong.
"""

from collections.abc import Sequence

import msgspec

from holdfast import codec
from holdfast.contract import operation
from holdfast.edges import Count, Id, Text, Value
from holdfast.engine import Transaction
from holdfast.errors import BadInput, HoldfastError, Refused
from holdfast.kinds.job_records import (
    ACTIVE,
    CHILDREN,
    READY,
    SUSPENDED,
    TIMED,
    Delay,
    Ending,
    Job,
    JobStatus,
    backoff_of,
)
from holdfast.kinds.job_rows import line_up, lock_lane, move_up
from holdfast.kinds.job_turns import Turn, Turns, write_end
from holdfast.kinds.machine_answers import Teller, answer, answers, postpone
from holdfast.kinds.machine_records import AFTER

_DONE = Ending(id="", lane=None, fence=0, outcome="done")
_FAILED = Ending(id="", lane=None, fence=0, outcome="failed")
RELEASED = Ending(id="", lane=None, fence=0, outcome="released")


class Endings(Turns):
    """How jobs end."""

    @operation
    def complete(self, id: Id, result: Value = None, *, fence: Count) -> Job:
        """Finish a claimed job with its result.

        Raises `NotFound`, `Fenced` (the claim is over).
        """
        turn = self._claimed(id, fence)
        text = codec.text_of(result)
        self._end_in_part(turn, msgspec.structs.replace(_DONE, result=text))
        return self._job(id)

    @operation
    def fail(
        self,
        id: Id,
        error: Text,
        *,
        retry: bool = True,
        delay_seconds: Delay | None = None,
        fence: Count,
    ) -> Job:
        """Say that an attempt failed: it is tried again later, or the job is dead.

        It is dead if its attempts are used up, if `retry` is False, or if it would be
        due only after its deadline. `delay_seconds` stands for the job's backoff.
        Raises `NotFound`, `Fenced`.
        """
        turn = self._claimed(id, fence)
        ending = msgspec.structs.replace(
            _FAILED, error=error, retry=retry, delay_seconds=delay_seconds
        )
        self._end_in_part(turn, ending)
        return self._job(id)

    @operation
    def release(
        self, id: Id, *, delay_seconds: Delay | None = None, fence: Count
    ) -> Job:
        """Give a claimed job back, at once or for later; the attempt is not counted.

        Raises `NotFound`, `Fenced`.
        """
        turn = self._claimed(id, fence)
        ending = msgspec.structs.replace(RELEASED, delay_seconds=delay_seconds)
        self._end_in_part(turn, ending)
        return self._job(id)

    @operation
    def cancel(self, id: Id) -> Job:
        """Have a job not be done, or no further; its worker gets to know.

        One that is claimed is `cancelling` until its worker lets go of it, or its claim
        runs out; if it is done before that, it is done. Raises `NotFound`, `Refused`
        (it is done, or dead), `Held`.
        """
        row = self._found(id)
        self.guard(id)
        lock_lane(self.tx, row[4])
        turn = self._turn(id)
        if turn is None:
            job = self._as_it_stands(row)
            if job.status is not JobStatus.CANCELLED:
                raise Refused(f"job {id!r} is {job.status}: it can end no more")
            return job
        if turn.state == ACTIVE and (turn.until_at or 0) > self.tx.now:
            self.tx.put("turn_cancel", owner=self.owner, no=turn.no)
            self.tx.put("turn_tell")
        else:
            self._end_in_part(msgspec.structs.replace(turn, cancelling=1), RELEASED)
        return self._job(id)

    @operation
    def revive(self, id: Id) -> Job:
        """Put a dead or cancelled job back into its lane, with all its attempts.

        It is due at once, without a deadline. What its handler has done is kept: steps
        Raises `NotFound`, `Refused` (it is neither), `Held`.
        """
        row = self._found(id)
        self.guard(id)
        job = self._as_it_stands(row)
        if job.status not in {JobStatus.DEAD, JobStatus.CANCELLED}:
            raise Refused(
                f"job {id!r} is {job.status}: only one that is dead or cancelled can "
                "be revived"
            )
        lock_lane(self.tx, job.lane)
        self.tx.put("end_drop", owner=self.owner, no=row[0])
        line_up(
            self.tx,
            row[0],
            self._place(row[0]),
            lane=job.lane,
            parent=job.parent,
            kind=job.kind,
            priority=job.priority,
            run_at=None,
            deadline=None,
            fence=job.fence,
        )
        return self._job(id)

    def end_all(
        self,
        endings: Sequence[Ending],
        lapsed: Sequence[tuple[str, str | None]] = (),
    ) -> tuple[JobStatus | HoldfastError, ...]:
        """End many claims at once; for each what the job is then, or why not.

        `lapsed` are the ids and lanes of jobs whose claims ran out: they are given
        back, with the attempt counted.
        """
        turns = self._held([*((one.id, one.lane) for one in endings), *lapsed])
        parents = {turn.parent for turn in turns if turn is not None and turn.parent}
        for parent in sorted(parents):
            self.lock(parent)
        ended = tuple(map(self._end_if_claimed, turns[: len(endings)], endings))
        for turn in turns[len(endings) :]:
            if turn is not None:
                self._take_back(turn)
        return ended

    def _end_if_claimed(
        self, turn: Turn | None, ending: Ending
    ) -> JobStatus | HoldfastError:
        """End a claim; what the job is then, or why the claim is over already."""
        try:
            over = self._over(ending.id, turn, ending.fence)
        except HoldfastError as error:
            return error
        if over is not None:
            return over
        assert turn is not None
        return self._end_in_part(turn, ending)

    def _end_in_part(self, turn: Turn, ending: Ending) -> JobStatus:
        """End a claim by itself: if its machine cannot be told here, it is later.

        One that keeps a timer fails then, and is tried again.
        """
        if not answers(turn):
            return self._end(turn, ending)
        try:
            with self.tx.savepoint():
                return self._end(turn, ending)
        except (BadInput, Refused) as error:
            if turn.kind != AFTER:
                return self._end(turn, ending, tell=postpone)
            failed = msgspec.structs.replace(_FAILED, error=str(error))
            return self._end(turn, failed, tell=_nobody)

    def _take_back(self, turn: Turn) -> None:
        """Give a job back whose claim ran out, if it did, with the attempt counted."""
        if turn.state == ACTIVE and (turn.until_at or 0) <= self.tx.now:
            ending = Ending(
                id=turn.id,
                lane=turn.lane,
                fence=turn.fence,
                outcome="failed",
                error=f"worker {turn.worker!r} was lost in attempt {turn.attempt}",
                delay_seconds=0,
            )
            self._end_in_part(turn, ending)

    def _end(self, turn: Turn, ending: Ending, tell: Teller = answer) -> JobStatus:
        """End a claim; what the job is then. Its machine, if it has one, is told."""
        due = self._due_again(turn, ending)
        if due is not None and not turn.cancelling:
            self._give_back(turn, ending, due)
            return JobStatus.QUEUED
        status = JobStatus.DEAD
        if ending.outcome == "done":
            status = JobStatus.DONE
        elif turn.cancelling:
            status = JobStatus.CANCELLED
        lock_lane(self.tx, turn.lane)
        write_end(self.tx, turn, status, ending)
        move_up(self.tx, turn.lane)
        if turn.parent is not None:
            self._tell_parent(turn.parent)
        if answers(turn):
            tell(self.tx, turn, status, ending)
        return status

    def _due_again(self, turn: Turn, ending: Ending) -> int | None:
        """When a job is due again after this; None if it is over."""
        if ending.outcome == "done":
            return None
        now = self.tx.now
        if ending.outcome == "released":
            return now + round((ending.delay_seconds or 0) * 1_000_000)
        if not ending.retry or turn.attempt >= turn.max_attempts:
            return None
        if ending.delay_seconds is None:
            wait = backoff_of(turn.backoff).wait_us(turn.id, turn.attempt)
        else:
            wait = round(ending.delay_seconds * 1_000_000)
        late = turn.deadline is not None and now + wait >= turn.deadline
        return None if late else now + wait

    def _give_back(self, turn: Turn, ending: Ending, due: int) -> None:
        ahead = due > self.tx.now
        self.tx.put(
            "turn_back",
            owner=self.owner,
            no=turn.no,
            now=self.tx.now,
            state=TIMED if ahead else READY,
            until_at=due if ahead else None,
            attempt=turn.attempt - (ending.outcome == "released"),
            error=ending.error or turn.error,
            waits_for=None,
        )
        self.tx.put("turn_tell")

    def _tell_parent(self, parent: str) -> None:
        """Let a job go on that waits for its children, if none of them is left."""
        self.lock(parent)
        if self.tx.one("turn_child", owner=self.owner, id=parent) is None:
            turn = self._turn(parent)
            if turn is not None and turn.state == SUSPENDED:
                self._rouse(turn.no, CHILDREN)

    def _rouse(self, no: int, waits_for: str) -> None:
        """Let a job go on that waits for this, if it does."""
        self.tx.put(
            "turn_rouse", owner=self.owner, no=no, now=self.tx.now, waits_for=waits_for
        )


def _nobody(_: Transaction, __: Turn, ___: JobStatus, ____: Ending) -> None:
    """Tell nobody of a job's end."""
