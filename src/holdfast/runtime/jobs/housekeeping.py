"""Housekeeping: what a worker does now and then, beside its jobs.

Answers for: telling of jobs that wait for a handler which the worker does not have;
deleting jobs that ended long ago.
Always holds: what a worker cannot handle is left as it is, for another worker.
"""

import asyncio
import logging
from collections import Counter
from datetime import timedelta

from holdfast.clock import to_datetime
from holdfast.engine import Transaction
from holdfast.errors import Closed
from holdfast.kinds.jobs import Jobs
from holdfast.passing import PASSING
from holdfast.runtime.jobs.owners import Owners
from holdfast.runtime.jobs.plans import Plan
from holdfast.runtime.jobs.reporting import Tally
from holdfast.runtime.jobs.setting import Setting

_log = logging.getLogger("holdfast.worker")
_ROUND_SECONDS = 30.0
_PURGED_AT_ONCE = 500
_BREATH_SECONDS = 0.05
"""Between two slices of what is deleted, so that others may write."""


class Housekeeping:
    """The rounds of one worker."""

    def __init__(
        self,
        setting: Setting,
        owners: Owners,
        plan: Plan,
        tally: Tally,
    ) -> None:
        self._setting = setting
        self._owners = owners
        self._kinds = plan.kinds
        self._keep_seconds = plan.keep_seconds
        self._tally = tally
        self._told: set[str] = set()

    async def serve(self) -> None:
        """Make a round now, and then again and again, until it is cancelled."""
        while True:
            try:
                await self._tell_unhandled()
                await self._purge()
            except PASSING:
                pass  # whoever serves tells of it
            except Closed:
                return
            except Exception:
                _log.exception("a round of housekeeping failed")
            await asyncio.sleep(_ROUND_SECONDS)

    async def _tell_unhandled(self) -> None:
        found: Counter[str] = Counter()
        answers = self._owners.each(
            lambda jobs: jobs.unhandled(self._kinds), Jobs.next_owner
        )
        async for _, waiting in answers:
            found.update({one.kind: one.jobs for one in waiting})
        self._tally.unhandled = dict(found)
        for kind, count in found.items():
            if kind not in self._told:
                self._told.add(kind)
                _log.warning(
                    "of kind %r, for which this worker has no handler, %d wait; they "
                    "are kept",
                    kind,
                    count,
                )

    async def _purge(self) -> None:
        """Delete what ended longer ago than it is to be kept, in slices."""
        if self._keep_seconds is None:
            return
        kept = timedelta(seconds=self._keep_seconds)
        answers = self._owners.each(
            lambda jobs: jobs.ended_before(to_datetime(jobs.tx.now) - kept),
            Jobs.next_with_jobs,
        )
        async for owner, some in answers:
            if some:
                await self._purge_of(owner, kept)

    async def _purge_of(self, owner: str, kept: timedelta) -> None:
        most = min(_PURGED_AT_ONCE, self._setting.core.limits.page)

        def work(tx: Transaction) -> int:
            before = to_datetime(tx.now) - kept
            return Jobs(tx).purge(finished_before=before, limit=most)

        deleted = most
        while deleted == most:
            deleted = await self._setting.write(work, owner)
            await asyncio.sleep(_BREATH_SECONDS)
