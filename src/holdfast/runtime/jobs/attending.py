"""Attending: handlers at work, from a claimed job to what is told of its end.

Answers for: calling each handler in its place, an event loop or a thread; its time;
having it stop; giving up one that does not end.
Leaves to others: claiming jobs and telling their ends (`serving`), keeping leases
(`renewing`), what handlers call (`running`).
Always holds: all but what threads do is done on the event loop. A claim is here until
its end was told, or there is nothing to tell.
"""

import asyncio
import functools
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress

from holdfast.clock import to_us
from holdfast.kinds.job_records import Ending, Job
from holdfast.runtime.daemons import Daemons
from holdfast.runtime.jobs.arunning import AsyncRunningJob
from holdfast.runtime.jobs.claims import FOR_ALL, Claim, Key, Why
from holdfast.runtime.jobs.handlers import Handling
from holdfast.runtime.jobs.keeping import Keeping
from holdfast.runtime.jobs.reporting import Tally
from holdfast.runtime.jobs.running import RunningJob
from holdfast.runtime.jobs.setting import Setting
from holdfast.tracing import traces, within_trace

_log = logging.getLogger("holdfast.worker")
CANCELLED_SECONDS = 5.0
"""How long a cancelled handler may take to end, before it is given up."""
_TOO_LATE = "its deadline passed"


class Attending:
    """The claims that a worker has, and their handlers.

    `news` is called on the event loop when a handler has ended, `interrupted` with what
    is for the whole program, such as `KeyboardInterrupt`.
    """

    def __init__(
        self,
        setting: Setting,
        handlings: dict[str, Handling],
        tally: Tally,
        news: Callable[[], None],
        interrupted: Callable[[BaseException], None],
    ) -> None:
        self.claims: dict[Key, Claim] = {}
        self.ended: list[tuple[Claim, Ending]] = []
        """Claims whose end is to be told."""
        self.at_work = 0
        """How many handlers run."""
        self._setting = setting
        self._handlings = handlings
        self._tally = tally
        self._news = news
        self._interrupted = interrupted
        self._loop = asyncio.get_running_loop()
        self._daemons = Daemons(self._hand_in)
        self._keeping = Keeping(setting)
        self._handed: deque[tuple[Claim, Ending | None]] = deque()
        """What threads have brought, and the event loop has not taken yet."""
        self._handing = False

    def start(self, jobs: Iterable[Job]) -> None:
        """Have handlers do jobs that were claimed."""
        on_threads = []
        for job in jobs:
            claim = Claim(job, self._handlings[job.kind])
            self.claims[claim.key] = claim
            self._at_work(+1)
            self._time(claim)
            if claim.handling.awaited:
                claim.task = self._loop.create_task(self._drive(claim))
            else:
                on_threads.append(functools.partial(self._drive_on_thread, claim))
        if on_threads:
            self._daemons.put(on_threads)

    def told(self, claim: Claim) -> None:
        """Let go of a claim whose end was told."""
        del self.claims[claim.key]

    def interrupt(self, claims: Iterable[Claim]) -> None:
        """Have handlers stop whose claims were lost, or are to be cancelled."""
        for claim in claims:
            if claim.why is Why.LOST and not claim.ended:
                _log.warning(
                    "job %r of kind %r is no longer this worker's: its lease ran out",
                    claim.job.id,
                    claim.job.kind,
                )
            self._interrupt(claim)

    def cancel(self, owner: str, ids: Collection[str]) -> None:
        """Have handlers stop whose jobs were cancelled."""
        for claim in self._running():
            job = claim.job
            if job.id in ids and job.owner == owner and claim.why is None:
                claim.why = Why.CANCELLED
                self._interrupt(claim)

    def leave(self) -> None:
        """Have every handler stop: the worker does."""
        for claim in self._running():
            if claim.why is None:
                claim.why = Why.LEAVING
                self._interrupt(claim)

    def give_back(self) -> None:
        """Give up every handler that still runs; its job is given back."""
        for claim in self._running():
            self._give_up(claim, claim.released())

    async def close(self) -> None:
        """Let go of everything; what still runs is left to itself in the end."""
        self.leave()
        tasks = [claim.task for claim in self._running() if claim.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=CANCELLED_SECONDS)
        self._daemons.close()

    def _at_work(self, more: int) -> None:
        self.at_work += more
        self._tally.running = self.at_work

    def _running(self) -> list[Claim]:
        return [claim for claim in self.claims.values() if not claim.ended]

    def _interrupt(self, claim: Claim) -> None:
        if claim.task is not None and not claim.ended:
            claim.task.cancel()

    async def _drive(self, claim: Claim) -> None:
        ending: Ending | None
        try:
            with self._traced(claim):
                job = AsyncRunningJob(claim, self._setting, self._keeping)
                if claim.job.fence > 1:
                    await job.begin()
                value = await claim.handling.function(job)
            ending = claim.returned(value, self._setting.core.limits)
        except BaseException as error:
            ending = self._raised(claim, error)
        self._end(claim, ending)

    def _drive_on_thread(self, claim: Claim) -> None:
        ending: Ending | None
        try:
            with self._traced(claim):
                job = RunningJob(claim, self._setting)
                if claim.job.fence > 1:
                    job.begin()
                value = claim.handling.function(job)
            ending = claim.returned(value, self._setting.core.limits)
        except BaseException as error:
            ending = self._raised(claim, error)
        self._handed.append((claim, ending))

    def _hand_in(self) -> None:
        """Have the event loop take what threads have brought."""
        if self._handed and not self._handing:
            self._handing = True
            with suppress(RuntimeError):  # it is closed: the handlers were left behind
                self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        """Take what threads have brought."""
        self._handing = False  # before: what comes from here on calls again
        while self._handed:
            self._end(*self._handed.popleft())

    def _traced(self, claim: Claim) -> AbstractContextManager[None]:
        if not traces():
            return nullcontext()
        job = claim.job
        said: dict[str, str | int] = {
            "job.id": job.id,
            "job.kind": job.kind,
            "job.attempt": job.attempt,
        }
        return within_trace(job.trace, f"job {job.kind}", said)

    def _raised(self, claim: Claim, error: BaseException) -> Ending | None:
        ending = claim.raised(error)
        if isinstance(error, Exception):
            _log.warning(
                "job %r of kind %r: attempt %d raised",
                claim.job.id,
                claim.job.kind,
                claim.job.attempt,
                exc_info=error,
            )
        elif isinstance(error, FOR_ALL):
            self._loop.call_soon_threadsafe(self._interrupted, error)
        return ending

    def _end(self, claim: Claim, ending: Ending | None) -> None:
        """A handler has ended, or is given up."""
        if claim.ended:
            return  # it was given up before
        claim.ended = True
        self._at_work(-1)
        if claim.timer is not None:
            claim.timer.cancel()
        if ending is not None:
            self.ended.append((claim, ending))
        else:
            self._tally.count("lost" if claim.over is None else claim.over.value)
            self.told(claim)
        self._news()

    def _time(self, claim: Claim) -> None:
        """Give an attempt no more time than its handler and its job have."""
        seconds = claim.handling.timeout_seconds
        claim.late = f"it took longer than {seconds:g} s" if seconds else ""
        if claim.job.deadline is not None:
            now = self._setting.core.clock.now_us()
            left = max((to_us(claim.job.deadline) - now) / 1e6, 0.0)
            if seconds is None or left < seconds:
                seconds, claim.late, claim.again = left, _TOO_LATE, False
        if seconds is None:
            return
        claim.gives_up_at = self._loop.time() + seconds + CANCELLED_SECONDS
        claim.timer = self._loop.call_later(seconds, self._overdue, claim)

    def _overdue(self, claim: Claim) -> None:
        """Have a handler stop that takes too long; one on a thread is given up."""
        if claim.ended:
            return
        _log.warning("job %r of kind %r: %s", claim.job.id, claim.job.kind, claim.late)
        claim.why = claim.why or Why.OVERDUE
        if claim.task is None:
            self._abandon(claim)
        else:
            claim.task.cancel()
            claim.timer = self._loop.call_later(CANCELLED_SECONDS, self._abandon, claim)

    def _abandon(self, claim: Claim) -> None:
        self._give_up(claim, claim.failed(claim.late, retry=claim.again))

    def _give_up(self, claim: Claim, ending: Ending) -> None:
        """Leave a handler to itself that does not end."""
        if claim.ended:
            return
        self._tally.count("abandoned")
        gone = claim.why is Why.LOST or claim.over is not None
        claim.why = claim.why or Why.LEAVING
        self._end(claim, None if gone else ending)
