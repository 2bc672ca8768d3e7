"""Claims: jobs that a worker has claimed, each from there to its end.

Answers for: why a handler is to stop, how its claim has ended, and what is told to the
store of a handler that returned or raised.
Leaves to others: telling it (`serving`), what a handler calls (`running`).
Always holds: of a claim that was lost, or that its handler has ended by itself, nothing
more is told.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from holdfast import edges
from holdfast.errors import BadInput
from holdfast.kinds.job_records import Ending, Job
from holdfast.limits import Limits
from holdfast.runtime.error_texts import error_text
from holdfast.runtime.jobs.handlers import Handling

if TYPE_CHECKING:
    import asyncio  # it loads slowly, and not everyone needs it
    from datetime import datetime


FOR_ALL = (KeyboardInterrupt, SystemExit)
"""What a handler raises that is for the whole program."""
Key: TypeAlias = tuple[str, str, int]


class Why(StrEnum):
    """Why a handler is to stop before its end."""

    LOST = "lost"
    """Its lease is over."""
    CANCELLED = "cancelled"
    """Somebody cancelled the job."""
    OVERDUE = "overdue"
    """It took longer than it may."""
    LEAVING = "leaving"
    """The worker stops."""


class Over(StrEnum):
    """How a handler has ended its claim by itself."""

    DONE = "done"
    FAILED = "failed"
    DEAD = "dead"
    RELEASED = "released"
    SUSPENDED = "suspended"


class Leave(BaseException):
    """Takes a handler out of its function, past what catches `Exception`."""


class Claim:
    """One claimed job, and how it stands with its handler."""

    __slots__ = (
        "again",
        "ended",
        "gives_up_at",
        "handling",
        "job",
        "key",
        "late",
        "lease_until",
        "over",
        "refusal",
        "settling",
        "task",
        "timer",
        "why",
    )

    def __init__(self, job: Job, handling: Handling) -> None:
        self.job = job
        self.key: Key = (job.owner, job.id, job.fence)
        """What tells it from every other claim."""
        self.handling = handling
        self.lease_until: datetime | None = job.lease_until
        self.why: Why | None = None
        self.over: Over | None = None
        self.late = ""
        """What is said of an attempt that took too long."""
        self.refusal = ""
        """Why its handler is not to go on, if its code has changed."""
        self.again = True
        """Whether it is tried again after that."""
        self.settling = False
        """Whether its end is being committed by its handler at this time."""
        self.ended = False
        """Whether its handler has ended, or was given up."""
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.gives_up_at: float | None = None
        """When it is not renewed any more, by the event loop's clock."""

    @property
    def lasts(self) -> bool:
        """Whether it is to be renewed."""
        return self.why is not Why.LOST and self.over is None and not self.settling

    def lose(self) -> bool:
        """Learn that its lease is over; whether that is news."""
        if not self.lasts:
            return False
        self.why = Why.LOST
        return True

    @contextmanager
    def ending(self, *, at_once: bool = True) -> Iterator[None]:
        """A block that ends the claim, if it does not raise; it may begin to later."""
        self.settling = at_once
        try:
            yield
        except BaseException:
            self.settling = False
            raise

    def returned(self, value: Any, limits: Limits) -> Ending | None:
        """What is told of a handler that returned."""
        if self.over is not None or self.why is Why.LOST:
            return None
        if self.refusal:
            return self.failed(self.refusal, retry=False)
        if value is None:
            return self._ending("done")
        try:
            text = edges.document_of(value, "the result", limits).text
        except BadInput as error:
            return self.failed(error_text(error), retry=False)
        return self._ending("done", result=text)

    def raised(self, error: BaseException) -> Ending | None:
        """What is told of a handler that raised."""
        if self.over is not None or self.why is Why.LOST:
            return None
        if self.why is Why.OVERDUE:
            return self.failed(self.late, retry=self.again)
        if self.refusal:
            return self.failed(self.refusal, retry=False)
        if isinstance(error, FOR_ALL):
            return self.released()
        if self.why is not None and not isinstance(error, Exception):
            return self.released()  # a job that is cancelled ends by this, too
        return self.failed(error_text(error))

    def released(self) -> Ending:
        """What is told of a job that is given back."""
        return self._ending("released")

    def failed(self, error: str, *, retry: bool = True) -> Ending:
        """What is told of an attempt that failed."""
        return self._ending("failed", error=error, retry=retry)

    def _ending(self, outcome: Any, **said: Any) -> Ending:
        job = self.job
        return Ending(
            id=job.id, lane=job.lane, fence=job.fence, outcome=outcome, **said
        )
