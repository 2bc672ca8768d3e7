"""Housekeeping: what a worker does now and then, beside its jobs.

Answers for: telling of jobs that wait for a handler which the worker does not have;
deleting jobs that ended long ago.
Always holds: what a worker cannot handle is left as it is, for another worker.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta

from holdfast.clock import to_datetime
from holdfast.engine import Transaction
from holdfast.errors import Closed
from holdfast.kinds.jobs import Jobs
from holdfast.runtime.reporting import Tally
from holdfast.runtime.setting import PASSING, Setting

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
        kinds: Sequence[str],
        keep_seconds: float | None,
        tally: Tally,
    ) -> None:
        self._setting = setting
        self._kinds = kinds
        self._keep_seconds = keep_seconds
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
        owner = self._setting.terms.owner
        found = await self._setting.read(
            lambda tx: Jobs(tx).unhandled(self._kinds), owner
        )
        self._tally.unhandled = {one.kind: one.jobs for one in found}
        for one in found:
            if one.kind not in self._told:
                self._told.add(one.kind)
                _log.warning(
                    "of kind %r, for which this worker has no handler, %d wait; they "
                    "are kept",
                    one.kind,
                    one.jobs,
                )

    async def _purge(self) -> None:
        """Delete what ended longer ago than it is to be kept, in slices."""
        if self._keep_seconds is None:
            return
        kept = timedelta(seconds=self._keep_seconds)
        most = min(_PURGED_AT_ONCE, self._setting.core.limits.page)

        def work(tx: Transaction) -> int:
            before = to_datetime(tx.now) - kept
            return Jobs(tx).purge(finished_before=before, limit=most)

        owner, deleted = self._setting.terms.owner, most
        while deleted == most:
            deleted = await self._setting.write(work, owner)
            await asyncio.sleep(_BREATH_SECONDS)
