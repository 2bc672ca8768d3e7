"""Setting: what all parts of one worker have in common.

Answers for: on whose terms the store is used, and having work done in it.
Leaves to others: what is done (the other parts of a worker).
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import msgspec

from holdfast.core import Core
from holdfast.engine import Terms, Transaction
from holdfast.kinds.job_records import Job

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore
    from holdfast.store import Store

T = TypeVar("T")


class Setting(msgspec.Struct):
    """Where a worker works, as whom, and how."""

    core: Core
    terms: Terms
    name: str
    lease_seconds: float
    goes_on: bool
    """Whether a job goes on under another version of its handler."""
    store: "Callable[[Core, Terms], Store]"
    async_store: "Callable[[Core, Terms], AsyncStore]"
    told: Callable[[Job, str], None]
    """Is told of a job that began under another version."""

    def of_owner(self, owner: str) -> Terms:
        """The terms of what the worker itself does with an owner's jobs."""
        return Terms(owner=owner, actor=self.terms.actor, provided=self.terms.provided)

    def of_job(self, job: Job) -> Terms:
        """The terms of what a handler does in the store."""
        return msgspec.structs.replace(self.of_owner(job.owner), cause=f"job:{job.id}")

    async def write(self, work: Callable[[Transaction], T], owner: str) -> T:
        """Have something done in the store, to its commit."""
        unit = self.core.unit(work, self.of_owner(owner))
        unit.foreign = True
        future = unit.awaited(asyncio.get_running_loop())
        self.core.engine.post(unit)
        return await future

    async def read(self, work: Callable[[Transaction], T], owner: str | None) -> T:
        """Have something read from the store; of all owners, if none is named."""
        terms = Terms(every_owner=True) if owner is None else self.of_owner(owner)
        unit = self.core.unit(work, terms)
        future = unit.awaited(asyncio.get_running_loop())
        self.core.engine.post_read(unit)
        return await future
