"""Running: a job as its handler has it, sync; and what both faces have in common.

Answers for: the handle that a sync handler gets, with its steps and its ends.
Leaves to others: which step a call is (`steps`), what becomes of the claim (`claims`),
the handle that is awaited (`arunning`).
Always holds: every write says the claim's fence, so that a handler that was taken for
dead, and is not, keeps no step and ends no job. A handle whose claim is over refuses.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast import edges
from holdfast.codec import Json
from holdfast.errors import Fenced, Refused
from holdfast.kinds.job_records import Job, JobStatus, Step, Waited
from holdfast.runtime.jobs.claims import Claim, Leave, Over, Why
from holdfast.runtime.jobs.setting import Setting
from holdfast.runtime.jobs.steps import Asked, Steps

if TYPE_CHECKING:
    from holdfast.page import Page
    from holdfast.store import Store
    from holdfast.transaction import OpenTransaction

T = TypeVar("T")
FINISH_SECONDS = 5.0
SLEEP = "sleep"
_OVER_AFTER = {
    JobStatus.DONE: Over.DONE,
    JobStatus.DEAD: Over.DEAD,
    JobStatus.CANCELLED: Over.RELEASED,
}


class Handle:
    """A running job: what it is, and how it stands."""

    def __init__(self, claim: Claim, setting: Setting) -> None:
        self._claim = claim
        self._setting = setting
        self._steps = Steps()
        self._is_told = False

    @property
    def id(self) -> str:
        """The job's id."""
        return self._claim.job.id

    @property
    def kind(self) -> str:
        """Its kind."""
        return self._claim.job.kind

    @property
    def lane(self) -> str | None:
        """Its lane, if it has one."""
        return self._claim.job.lane

    @property
    def body(self) -> Any:
        """What it was put with."""
        return self._claim.job.body

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1 on."""
        return self._claim.job.attempt

    @property
    def fence(self) -> int:
        """The fencing token of this claim."""
        return self._claim.job.fence

    @property
    def owner(self) -> str:
        """Whose job it is."""
        return self._claim.job.owner

    @property
    def session(self) -> str | None:
        """The session that it belongs to, if any."""
        return self._claim.job.session

    @property
    def deadline(self) -> datetime | None:
        """When it is too late for it."""
        return self._claim.job.deadline

    @property
    def lease_until(self) -> datetime | None:
        """When the claim runs out, unless it is renewed, as the worker does."""
        return self._claim.lease_until

    @property
    def cancelled(self) -> bool:
        """Whether the handler is to stop: cancelled, too late, or no longer its own."""
        return self._claim.why is not None

    def key(self, name: str) -> str:
        """A key for the next `once` of a name, the same whenever the job runs again.

        For services that do nothing twice under one key.
        """
        return f"{self.id}:{name}:{self._steps.nth(name)}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.kind} {self.id!r}>"

    def _live(self) -> None:
        """Refuse what is done with a claim that is over."""
        claim = self._claim
        if claim.over is not None:
            raise Refused(
                f"job {self.id!r}: its handler has ended it already ({claim.over})"
            )
        if claim.why in {Why.LOST, Why.OVERDUE}:
            raise Fenced(
                f"job {self.id!r} is no longer this handler's ({claim.why}); nothing "
                "was written: another may run it by now"
            )
        if claim.why is not None:
            raise Leave(f"job {self.id!r} is to stop: {claim.why}")

    def _remember(self, kept: Sequence[Step]) -> None:
        self._steps.remember(kept)
        job, ours = self._claim.job, self._claim.handling.version
        if kept and job.version is not None and job.version != ours:
            self._told(
                f"it began under version {job.version}, this worker has {ours}",
                "revive it to go on under this one, or run a worker of the old one",
            )

    def _asked(self, name: str) -> Asked:
        """The step that a call is; asked before the call awaits anything."""
        self._live()
        asked = self._steps.next(edges.text_of(name, "name", self._setting.core.limits))
        if asked.moved is not None:
            self._told(
                f"its step {asked.position} was {asked.moved!r} and is {name!r} now",
                "run a worker of the old code, or one that goes on all the same",
            )
        return asked

    def _told(self, what: str, remedy: str) -> None:
        """Tell that the code has changed, and stop if that is the policy."""
        if not self._is_told:
            self._is_told = True
            self._setting.told(self._claim.job, what)
        if not self._setting.goes_on:
            self._claim.refusal = f"{what}: {remedy}"
            raise Leave(self._claim.refusal)

    def _passed(self, waited: Waited) -> Any:
        """What came with what was waited for; if nothing did, the handler is left."""
        if waited.there:
            self._claim.settling = False
            return waited.payload
        self._claim.over = Over.SUSPENDED
        raise Leave(f"job {self.id!r} waits")

    def _ended(self, job: Job) -> Job:
        self._claim.over = _OVER_AFTER.get(job.status, Over.FAILED)
        return job


class RunningJob(Handle):
    """A job that a sync handler runs."""

    _store: "Store | None" = None

    @property
    def store(self) -> "Store":
        """The store, pinned to the job's owner."""
        if self._store is None:
            setting = self._setting
            self._store = setting.store(setting.core, setting.of_job(self._claim.job))
        return self._store

    def begin(self) -> None:
        """Learn what the runs before have kept, and whether the code has changed."""
        self._remember(self.store.jobs.steps(self.id))

    def once(self, name: str, function: Callable[..., T], *args: Any) -> T:
        """Do a step, unless it was done before; its result is kept, as JSON has it."""
        asked = self._asked(name)
        if asked.kept is not None:
            return asked.kept.result  # type: ignore[no-any-return]
        result = function(*args)
        return self.store.jobs.keep_step(  # type: ignore[no-any-return]
            self.id,
            name,
            result,  # type: ignore[arg-type]
            nth=asked.nth,
            position=asked.position,
            fence=self.fence,
        ).result

    def run(self, name: str, function: Callable[..., T], *args: Any) -> T:
        """Do a step in a transaction, which commits its effects and its result.

        `function(tx, *args)` is a plain function that does nothing but use `tx`.
        """
        asked = self._asked(name)
        if asked.kept is not None:
            return asked.kept.result  # type: ignore[no-any-return]
        return self.store.run(  # type: ignore[no-any-return]
            stepped, self.id, self.fence, asked, function, args
        )

    @contextmanager
    def finish(
        self, result: Json = None, *, timeout_seconds: float = FINISH_SECONDS
    ) -> Iterator["OpenTransaction"]:
        """A transaction, with whose effects the job is done."""
        self._live()
        claim = self._claim
        body = self.store.transaction(timeout_seconds=timeout_seconds)
        with claim.ending(at_once=False), body as tx:
            yield tx
            claim.settling = True
            tx.jobs.complete(self.id, result, fence=self.fence)
        claim.over = Over.DONE

    def complete(self, result: Json = None) -> Job:
        """End the job with a result, before the handler itself ends."""
        self._live()
        with self._claim.ending():
            return self._ended(
                self.store.jobs.complete(self.id, result, fence=self.fence)
            )

    def fail(
        self, error: str, *, retry: bool = True, delay_seconds: float | None = None
    ) -> Job:
        """End this attempt; the job is tried again, unless it is not to be."""
        self._live()
        with self._claim.ending():
            return self._ended(
                self.store.jobs.fail(
                    self.id,
                    error,
                    retry=retry,
                    delay_seconds=delay_seconds,
                    fence=self.fence,
                )
            )

    def release(self, *, delay_seconds: float | None = None) -> Job:
        """Give the job back; the attempt is not counted."""
        self._live()
        with self._claim.ending():
            job = self.store.jobs.release(
                self.id, fence=self.fence, delay_seconds=delay_seconds
            )
        self._claim.over = Over.RELEASED
        return job

    def sleep(self, seconds: float) -> None:
        """Go on after so many seconds; until then no worker has the job."""
        asked = self._asked(SLEEP)
        with self._claim.ending():
            self._passed(
                self.store.jobs.sleep(
                    self.id,
                    SLEEP,
                    nth=asked.nth,
                    position=asked.position,
                    seconds=seconds,
                    fence=self.fence,
                )
            )

    def wait_for(self, name: str, *, timeout_seconds: float | None = None) -> Any:
        """Go on when a signal comes; its payload. None if the time is over first."""
        asked = self._asked(name)
        with self._claim.ending():
            return self._passed(
                self.store.jobs.wait(
                    self.id,
                    name,
                    nth=asked.nth,
                    position=asked.position,
                    timeout_seconds=timeout_seconds,
                    fence=self.fence,
                )
            )

    def join(self) -> tuple[Job, ...]:
        """Go on when every job that was put with this one as parent has ended."""
        self._live()
        with self._claim.ending():
            self._passed(self.store.jobs.join(self.id, fence=self.fence))
        found: list[Job] = []
        page: Page[Job] | None = None
        while page is None or page.cursor is not None:
            cursor = None if page is None else page.cursor
            page = self.store.jobs.list(parent=self.id, cursor=cursor)
            found += page
        return tuple(found)


def stepped(
    tx: "OpenTransaction",
    id: str,
    fence: int,
    asked: Asked,
    function: Callable[..., Any],
    args: tuple[Any, ...],
) -> Any:
    """A step in a transaction, kept in it."""
    if inspect.iscoroutinefunction(function):
        raise Refused(
            "run takes a plain function of tx, which the engine may run again after a "
            "conflict; nothing was written: await outside of it, or use `once`"
        )
    there = tx.jobs.kept(id, asked.name, asked.nth)
    if there is not None:  # a commit whose answer was lost
        return there.result
    result = function(tx, *args)
    kept = tx.jobs.keep_step(
        id, asked.name, result, nth=asked.nth, position=asked.position, fence=fence
    )
    return kept.result
