"""Working, awaited: leases and tasks for blocks of asyncio code.

Answers for: what `leasing` and `working` answer for, on an event loop.
Always holds: what they hold. Renewal is a task of the same event loop: a loop that
stands still for a lease's whole time loses the lease.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from holdfast.clock import Clock
from holdfast.codec import Json
from holdfast.errors import Fenced, HoldfastError, Refused
from holdfast.kinds.leases import Lease
from holdfast.kinds.task_records import FINISHED, Task, TaskLog, TaskStatus
from holdfast.runtime.error_texts import error_text
from holdfast.runtime.leases.leasing import RENEWALS_A_LEASE, Holding, new_holder

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore


class AsyncHeldLease(Holding):
    """A lease that is held, and the store whose writes carry it."""

    def __init__(self, store: "AsyncStore", lease: Lease, seconds: float) -> None:
        super().__init__(lease, seconds)
        self._plain = store
        self.store = store.holding(lease)

    async def renew(self, seconds: float | None = None) -> Lease:
        """Let it end so many seconds from now. Raises `Fenced` if it is over."""
        lease = self.lease
        self.lease = await self._plain.leases.renew(
            lease.kind, lease.id, fence=lease.fence, seconds=seconds or self._seconds
        )
        return self.lease

    async def release(self) -> bool:
        """Give it back; False if it was over already."""
        lease = self.lease
        return await self._plain.leases.release(lease.kind, lease.id, fence=lease.fence)


class AsyncWork:
    """A task in progress under a lease; its calls and `store`'s carry the lease."""

    def __init__(self, held: AsyncHeldLease, task: Task) -> None:
        self._held = held
        self.id = task.id
        self.store: AsyncStore = held.store
        self.task = task

    @property
    def lease(self) -> Lease:
        """The lease, as it was last renewed."""
        return self._held.lease

    async def complete(self, result: Json = None) -> Task:
        """Finish the task with its result."""
        return self._now(await self.store.tasks.complete(self.id, result))

    async def fail(self, error: str) -> Task:
        """Finish the task with what went wrong."""
        return self._now(await self.store.tasks.fail(self.id, error))

    async def progress(
        self, done: float, total: float | None = None, note: str | None = None
    ) -> Task:
        """Say how far the task has come."""
        return self._now(await self.store.tasks.progress(self.id, done, total, note))

    async def log(
        self, message: str, level: str = "info", type: str = "system"
    ) -> TaskLog:
        """Add a line to the task's log."""
        return await self.store.tasks.log(self.id, message, level, type)

    def _now(self, task: Task) -> Task:
        self.task = task
        return task


@asynccontextmanager
async def held(
    store: "AsyncStore",
    kind: str,
    id: str,
    holder: str | None,
    seconds: float,
    clock: Clock,
) -> AsyncIterator[AsyncHeldLease]:
    """A lease for a block of code, given back at its end."""
    lease = await store.leases.acquire(
        kind, id, holder=holder or new_holder(clock), seconds=seconds
    )
    handle = AsyncHeldLease(store, lease, seconds)
    try:
        yield handle
    finally:
        await handle.release()


@asynccontextmanager
async def work(
    held: AsyncHeldLease, id: str, seconds: float
) -> AsyncIterator[AsyncWork]:
    """Work on a task for as long as a block runs; see `working.work`."""
    renewal = asyncio.create_task(_renew(held, seconds))
    try:
        handle = AsyncWork(held, await _begin(held.store, id))
        try:
            yield handle
        except Fenced:
            raise
        except Exception as error:
            await _fail(handle, error)
            raise
    finally:
        renewal.cancel()
        await asyncio.gather(renewal, return_exceptions=True)


async def _begin(store: "AsyncStore", id: str) -> Task:
    task = await store.tasks.get(id)
    if task.status is TaskStatus.IN_PROGRESS:
        return task  # its holder before left it or died
    return await store.tasks.start(id)


async def _renew(held: AsyncHeldLease, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds / RENEWALS_A_LEASE)
        try:
            await held.renew()
        except HoldfastError:
            return  # the store will refuse the block's next write, and say why


async def _fail(handle: AsyncWork, error: Exception) -> None:
    try:
        task = await handle.store.tasks.get(handle.id)
        if task.status not in FINISHED:
            await handle.fail(error_text(error))
    except (Fenced, Refused):
        return  # another has the task by now
