"""Keeping: the steps of many handlers, kept in one transaction.

Answers for: gathering what handlers have done while the steps before it are on their
way to the store.
Leaves to others: what a step is (the kind `jobs`), asking for it (`arunning`).
Always holds: a step is kept before its handler goes on; one that is refused keeps no
other from being kept.
"""

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

from holdfast.kinds.job_records import NewStep, Step
from holdfast.kinds.jobs import Jobs
from holdfast.runtime.jobs.setting import Setting

_AT_ONCE = 100


_Waiting: TypeAlias = tuple[NewStep, asyncio.Future[Step]]


class Keeping:
    """Steps on their way to the store: those of one transaction, and who waits."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._waiting: dict[str, list[_Waiting]] = {}
        """By owner."""
        self._task: asyncio.Task[None] | None = None

    async def keep(self, owner: str, step: NewStep) -> Step:
        """Keep a step; as it is kept, with what it gave first.

        Raises `NotFound`, `Fenced`.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Step] = loop.create_future()
        self._waiting.setdefault(owner, []).append((step, future))
        if self._task is None:
            self._task = loop.create_task(self._serve())
        return await future

    async def _serve(self) -> None:
        """Keep all that wait, and those who come meanwhile."""
        while self._waiting:
            await asyncio.sleep(0)  # whose handlers go on in this same round come, too
            owner = next(iter(self._waiting))
            waiting = self._waiting.pop(owner)
            if len(waiting) > _AT_ONCE:
                self._waiting[owner] = waiting[_AT_ONCE:]
            await self._keep(owner, waiting[:_AT_ONCE])
        self._task = None

    async def _keep(self, owner: str, waiting: Sequence[_Waiting]) -> None:
        taken = [one for one in waiting if not one[1].cancelled()]
        if not taken:
            return
        steps = [step for step, _ in taken]
        kept: Sequence[Step | Exception]
        try:
            kept = await self._setting.write(lambda tx: Jobs(tx).keep_all(steps), owner)
        except Exception as error:
            kept = [error] * len(steps)
        for (_, future), found in zip(taken, kept, strict=True):
            if future.cancelled():
                continue
            if isinstance(found, Exception):
                future.set_exception(found)
            else:
                future.set_result(found)
