"""Running, awaited: a job as its async handler has it.

Answers for: what `running` answers for, on an event loop.
Always holds: what that holds.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast import edges
from holdfast.codec import Json
from holdfast.kinds.job_records import Job, NewStep
from holdfast.runtime.jobs.claims import Claim, Over
from holdfast.runtime.jobs.keeping import Keeping
from holdfast.runtime.jobs.running import FINISH_SECONDS, SLEEP, Handle, stepped
from holdfast.runtime.jobs.setting import Setting

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore
    from holdfast.atransaction import AsyncTransaction
    from holdfast.page import Page

T = TypeVar("T")


class AsyncRunningJob(Handle):
    """A job that an async handler runs. Each call says what `RunningJob`'s does."""

    _store: "AsyncStore | None" = None

    def __init__(self, claim: Claim, setting: Setting, keeping: Keeping) -> None:
        super().__init__(claim, setting)
        self._keeping = keeping

    @property
    def store(self) -> "AsyncStore":
        """The store, pinned to the job's owner."""
        if self._store is None:
            setting = self._setting
            self._store = setting.async_store(
                setting.core, setting.of_job(self._claim.job)
            )
        return self._store

    async def begin(self) -> None:
        """Learn what the runs before have kept, and whether the code has changed."""
        self._remember(await self.store.jobs.steps(self.id))

    async def once(
        self, name: str, function: Callable[..., Awaitable[T] | T], *args: Any
    ) -> T:
        """Do a step, unless it was done before; its result is kept, as JSON has it."""
        asked = self._asked(name)
        if asked.kept is not None:
            return asked.kept.result  # type: ignore[no-any-return]
        result = function(*args)
        if inspect.isawaitable(result):
            result = await result
        limits = self._setting.core.limits
        document = edges.document_of(result, "the result", limits)
        step = NewStep(
            job=self.id,
            fence=self.fence,
            name=name,
            nth=asked.nth,
            position=asked.position,
            result=None if document.value is None else document.text,
        )
        kept = await self._keeping.keep(self.owner, step)
        return kept.result  # type: ignore[no-any-return]

    async def run(self, name: str, function: Callable[..., T], *args: Any) -> T:
        """Do a step in a transaction, which commits its effects and its result."""
        asked = self._asked(name)
        if asked.kept is not None:
            return asked.kept.result  # type: ignore[no-any-return]
        return await self.store.run(stepped, self.id, self.fence, asked, function, args)

    @asynccontextmanager
    async def finish(
        self, result: Json = None, *, timeout_seconds: float = FINISH_SECONDS
    ) -> AsyncIterator["AsyncTransaction"]:
        """A transaction, with whose effects the job is done."""
        self._live()
        claim = self._claim
        with claim.ending(at_once=False):
            async with self.store.transaction(timeout_seconds=timeout_seconds) as tx:
                yield tx
                claim.settling = True
                await tx.jobs.complete(self.id, result, fence=self.fence)
        claim.over = Over.DONE

    async def complete(self, result: Json = None) -> Job:
        """End the job with a result, before the handler itself ends."""
        self._live()
        with self._claim.ending():
            return self._ended(
                await self.store.jobs.complete(self.id, result, fence=self.fence)
            )

    async def fail(
        self, error: str, *, retry: bool = True, delay_seconds: float | None = None
    ) -> Job:
        """End this attempt; the job is tried again, unless it is not to be."""
        self._live()
        with self._claim.ending():
            return self._ended(
                await self.store.jobs.fail(
                    self.id,
                    error,
                    retry=retry,
                    delay_seconds=delay_seconds,
                    fence=self.fence,
                )
            )

    async def release(self, *, delay_seconds: float | None = None) -> Job:
        """Give the job back; the attempt is not counted."""
        self._live()
        with self._claim.ending():
            job = await self.store.jobs.release(
                self.id, fence=self.fence, delay_seconds=delay_seconds
            )
        self._claim.over = Over.RELEASED
        return job

    async def sleep(self, seconds: float) -> None:
        """Go on after so many seconds; until then no worker has the job."""
        asked = self._asked(SLEEP)
        with self._claim.ending():
            self._passed(
                await self.store.jobs.sleep(
                    self.id,
                    SLEEP,
                    nth=asked.nth,
                    position=asked.position,
                    seconds=seconds,
                    fence=self.fence,
                )
            )

    async def wait_for(self, name: str, *, timeout_seconds: float | None = None) -> Any:
        """Go on when a signal comes; its payload. None if the time is over first."""
        asked = self._asked(name)
        with self._claim.ending():
            return self._passed(
                await self.store.jobs.wait(
                    self.id,
                    name,
                    nth=asked.nth,
                    position=asked.position,
                    timeout_seconds=timeout_seconds,
                    fence=self.fence,
                )
            )

    async def join(self) -> tuple[Job, ...]:
        """Go on when every job that was put with this one as parent has ended."""
        self._live()
        with self._claim.ending():
            self._passed(await self.store.jobs.join(self.id, fence=self.fence))
        found: list[Job] = []
        page: Page[Job] | None = None
        while page is None or page.cursor is not None:
            cursor = None if page is None else page.cursor
            page = await self.store.jobs.list(parent=self.id, cursor=cursor)
            found += page
        return tuple(found)
