"""Serving: a worker at work, from its start to its orderly stop.

Answers for: when the store is asked for jobs and told of their ends, waiting for what
comes next, going on when the store is away for a while, stopping.
Leaves to others: handlers (`attending`), leases (`renewing`), what is done now and then
(`housekeeping`), whose turn it is (`owners`), what a claim is (the kind `jobs`).
Always holds: one transaction, of each owner who is served, tells all ends that are
known and claims as many jobs as there is room for; while it is on its way, there is no
other. No commit is missed: who is woken by it was asked for before the store was looked
at.
"""

import asyncio
import functools
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeAlias

from holdfast.engine import Transaction
from holdfast.errors import Closed, HoldfastError
from holdfast.kinds.job_records import Ending, JobStatus, Served
from holdfast.kinds.jobs import Jobs
from holdfast.passing import PASSING
from holdfast.runtime.jobs.attending import CANCELLED_SECONDS, Attending
from holdfast.runtime.jobs.claims import Claim
from holdfast.runtime.jobs.housekeeping import Housekeeping
from holdfast.runtime.jobs.owners import Owners, Rota
from holdfast.runtime.jobs.plans import Plan
from holdfast.runtime.jobs.renewing import Renewal
from holdfast.runtime.jobs.reporting import Tally
from holdfast.runtime.jobs.setting import Setting

_End: TypeAlias = tuple[Claim, Ending]
_log = logging.getLogger("holdfast.worker")
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 10.0
_LOOK_SECONDS = 5.0
"""How often it looks by itself, for what nobody tells: a clock that was set, say."""
_GLANCE_SECONDS = 0.25
"""How often it looks, at most, while it has no room for another job."""
_APART_SECONDS = 0.002
_LOOKING = 0.25
"""How much of its time it looks, at most, where there are many owners."""
_VAIN_SECONDS = 0.02
"""How long it waits, at first, when what it saw was gone before it could claim it."""
_AGAIN_SECONDS = 0.2
_SHORTLY_SECONDS = 0.5
"""How long handlers may take to end when everything is given back at once."""
_TELL_SECONDS = 10.0
"""How long a worker that stops tries to tell the last ends."""


class Serving:
    """One run of a worker on an event loop."""

    def __init__(self, setting: Setting, plan: Plan, tally: Tally) -> None:
        self._setting = setting
        self._engine = setting.core.engine
        self._plan = plan
        self._versions = plan.versions
        self._tally = tally
        self._owners = Owners(setting, plan)
        self._rota = Rota(self._owners, setting, plan)
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._attending = Attending(
            setting, plan.handlings, tally, self._event.set, self._interrupted
        )
        self._renewal = Renewal(
            setting, self._attending.claims, self._tell_stopped, self._tell_unrenewed
        )
        self._unrenewed = asyncio.Event()
        self._news = True
        """Whether something was committed since the store was looked at."""
        self._telling = False
        self._vain = 0
        """How often in a row nothing could be claimed of what was seen."""
        self._looked = 0.0
        self._apart = _APART_SECONDS
        """How far apart two looks are at least, where others commit all the time."""
        self._leaving = False
        self._grace = plan.grace_seconds
        self._error: BaseException | None = None

    async def serve(self) -> None:
        """Work until it is to stop, or the store is closed."""
        stop_watching = self._engine.watch(self._tell_news)
        self._renewal.start()
        housekeeping = Housekeeping(
            self._setting, self._owners, self._plan, self._tally
        )
        keeping = self._loop.create_task(housekeeping.serve())
        working = self._loop.create_task(self._work_and_leave())
        try:
            await asyncio.shield(working)  # what it has claimed is to be given back
        except asyncio.CancelledError:
            self._stop(at_once=True)
            await asyncio.shield(working)
            raise
        except Closed as error:
            _log.warning("the worker ends: %s", error)
        finally:
            keeping.cancel()
            stop_watching()
            await self._let_go()
            await asyncio.gather(keeping, return_exceptions=True)
        if self._error is not None:
            raise self._error

    def stop(self, *, at_once: bool) -> None:
        """Stop, from any thread."""
        with suppress(RuntimeError):  # the event loop was closed: it has ended
            stop = functools.partial(self._stop, at_once=at_once)
            self._loop.call_soon_threadsafe(stop)

    # The work.

    async def _work_and_leave(self) -> None:
        try:
            await self._work()
        except Closed:
            raise
        except BaseException:
            self._stop(at_once=True)
            with suppress(HoldfastError):
                await self._leave()
            raise
        await self._leave()

    async def _work(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._leaving:
            try:
                await self._step()
                pause = _FIRST_PAUSE_SECONDS
            except PASSING as error:
                _log.warning("the store is away, and is asked again: %s", error)
                await self._pause(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                self._news = True

    async def _pause(self, seconds: float) -> None:
        """Wait so many seconds, or until it is to stop."""
        until = self._loop.time() + seconds
        while not self._leaving and (left := until - self._loop.time()) > 0:
            self._event.clear()
            await self._wait(left)

    async def _step(self) -> None:
        """Do what is to be done next, or wait until there is something."""
        self._event.clear()
        if self._is_late():
            await self._look()
        elif self._attending.ended or (self._rota.ready and self._room()):
            await self._turn()
        elif self._curious and self._until_look() <= 0:
            await self._look()
        else:
            await self._wait(max(self._until_look(), 0.0))

    def _room(self) -> int:
        return max(self._plan.concurrency - self._attending.at_work, 0)

    async def _turn(self) -> None:
        """Tell the ends that are known, and claim as many jobs as there is room for."""
        ended = self._ended()
        shares = self._rota.shares(0 if self._leaving else self._room(), ended)
        turns = [
            self._turn_of(owner, ended.get(owner, ()), share)
            for owner, share in shares.items()
        ]
        if len(turns) == 1:
            claimed = await turns[0]
        else:
            claimed = 0
            for found in await asyncio.gather(*turns, return_exceptions=True):
                if isinstance(found, BaseException):
                    raise found
                claimed += found
        if claimed:
            self._vain = 0
        elif not ended:
            self._vain += 1

    def _ended(self) -> dict[str, list[_End]]:
        """Take the ends that are to be told, by owner."""
        ended: dict[str, list[_End]] = {}
        for end in self._attending.ended:
            ended.setdefault(end[0].job.owner, []).append(end)
        self._attending.ended = []
        return ended

    async def _turn_of(self, owner: str, ended: Sequence[_End], share: int) -> int:
        """Tell an owner's ends, and claim a share of jobs; how many there were."""
        try:
            served = await self._served(owner, [ending for _, ending in ended], share)
        except BaseException:
            self._attending.ended = [*ended, *self._attending.ended]
            raise
        self._settle(ended, served)
        claimed = len(served.claimed)
        self._tally.count("claimed", claimed)
        self._attending.start(served.claimed)
        if not self._rota.had(owner, share, claimed):
            self._news = True
        return claimed

    async def _served(
        self, owner: str, endings: Sequence[Ending], limit: int
    ) -> Served:
        setting = self._setting

        def work(tx: Transaction) -> Served:
            return Jobs(tx).serve(
                setting.name,
                endings,
                kinds=self._plan.kinds,
                lanes=self._plan.lanes,
                limit=limit,
                lease_seconds=setting.lease_seconds,
                versions=self._versions,
            )

        return await setting.write(work, owner)

    def _settle(self, ended: Sequence[_End], served: Served) -> None:
        """Count what became of the ends that were told, and forget their claims."""
        for (claim, ending), found in zip(ended, served.ended, strict=True):
            self._attending.told(claim)
            if isinstance(found, HoldfastError):
                _log.warning("job %r was not ended: %s", claim.job.id, found)
                self._tally.count("lost")
            elif found is JobStatus.QUEUED:
                released = ending.outcome == "released"
                self._tally.count("released" if released else "failed")
            else:
                self._tally.count(found.value)

    async def _look(self) -> None:
        """See what lies ahead."""
        if not self._rota.halfway:
            self._news = False
        self._looked = self._loop.time()
        for owner, ids in (await self._rota.look()).items():
            self._attending.cancel(owner, ids)
        if not self._rota.ready:
            self._vain = 0
        if self._plan.across_owners:
            took = self._loop.time() - self._looked
            self._apart = max(_APART_SECONDS, took / _LOOKING)

    # Waiting.

    @property
    def _curious(self) -> bool:
        """Whether the store is to be looked at."""
        return self._news or self._rota.halfway

    def _is_late(self) -> bool:
        """Whether some owners wait to be looked at, while others keep it busy."""
        since = self._loop.time() - self._looked
        return (
            self._plan.across_owners
            and self._curious
            and not self._leaving
            and since >= max(self._apart, _GLANCE_SECONDS)
        )

    def _until_look(self) -> float:
        """How long to wait before the store is looked at."""
        since = self._loop.time() - self._looked
        if not self._room():
            glance = max(self._apart, _GLANCE_SECONDS)
            return (glance if self._curious else _LOOK_SECONDS) - since
        if self._curious:
            vain = min(_VAIN_SECONDS * self._vain, _GLANCE_SECONDS)
            return max(self._apart, vain) - since
        if self._rota.next_at is None:
            return _LOOK_SECONDS - since
        now = self._setting.core.clock.now_us()
        return min(_LOOK_SECONDS - since, (self._rota.next_at - now) / 1e6)

    async def _wait(self, seconds: float) -> None:
        """Wait for news, or so many seconds: then the store is looked at."""
        timer = self._loop.call_later(seconds, self._come_to_look)
        await self._event.wait()
        timer.cancel()

    def _come_to_look(self) -> None:
        self._news = True
        self._event.set()

    def _tell_news(self) -> None:
        """Something was committed; from any thread."""
        if not self._telling:
            self._telling = True
            with suppress(RuntimeError):  # the event loop was closed: it has ended
                self._loop.call_soon_threadsafe(self._hear_news)

    def _hear_news(self) -> None:
        self._telling = False
        self._come_to_look()

    def _tell_stopped(self, claims: list[Claim]) -> None:
        """Claims were lost, or are to be cancelled; from the thread that renews."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._attending.interrupt, claims)

    def _tell_unrenewed(self) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._unrenewed.set)

    # Stopping.

    def _stop(self, *, at_once: bool) -> None:
        self._leaving = True
        if at_once:
            self._grace = 0
        self._event.set()

    def _interrupted(self, error: BaseException) -> None:
        """A handler raised what is for the whole program."""
        self._error = self._error or error
        self._stop(at_once=True)

    async def _leave(self) -> None:
        """Let handlers end in time, have the rest stop, give back what is left."""
        began = self._loop.time()
        await self._drain(lambda: began + self._grace)
        self._attending.leave()
        stopped = self._loop.time() + (
            CANCELLED_SECONDS if self._grace else _SHORTLY_SECONDS
        )
        await self._drain(lambda: stopped)
        self._attending.give_back()
        told = self._loop.time() + _TELL_SECONDS
        await self._drain(lambda: told)
        if self._attending.ended:
            _log.warning(
                "the store is away: %d jobs are given back when their leases run out",
                len(self._attending.ended),
            )

    async def _drain(self, until: Callable[[], float]) -> None:
        """Tell ends as they come, until there is no more, or no more time."""
        while self._attending.at_work or self._attending.ended:
            seconds = until() - self._loop.time()
            if seconds <= 0 and self._attending.at_work:
                return
            self._event.clear()
            try:
                if self._attending.ended:
                    await self._turn()
                else:
                    await self._wait(seconds)
            except PASSING as error:
                if seconds <= 0:
                    return
                _log.warning("the store is away, and is asked again: %s", error)
                await asyncio.sleep(min(_AGAIN_SECONDS, seconds))

    async def _let_go(self) -> None:
        """Leave nothing behind."""
        await self._attending.close()
        self._renewal.stop()
        await self._unrenewed.wait()
        self._renewal.join()
