"""An open transaction for asyncio: the kinds as attributes, each call awaited."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from holdfast.afaces import (
    AsyncAgents,
    AsyncCheckpoints,
    AsyncEvents,
    AsyncInbox,
    AsyncIndex,
    AsyncItems,
    AsyncJobs,
    AsyncJournal,
    AsyncLeases,
    AsyncMachines,
    AsyncObservations,
    AsyncSchedules,
    AsyncSessions,
    AsyncState,
    AsyncTasks,
    AsyncThreads,
    AsyncToolsets,
    AsyncWorkspaces,
)
from holdfast.clock import to_datetime
from holdfast.contract import Kind, Operation
from holdfast.core import Core
from holdfast.engine import Loan
from holdfast.errors import HoldfastError
from holdfast.faces import async_face

_WRITTEN: dict[str, type[Any]] = {
    "sessions": AsyncSessions,
    "tasks": AsyncTasks,
    "agents": AsyncAgents,
    "checkpoints": AsyncCheckpoints,
    "events": AsyncEvents,
    "inbox": AsyncInbox,
    "index": AsyncIndex,
    "items": AsyncItems,
    "jobs": AsyncJobs,
    "machines": AsyncMachines,
    "observations": AsyncObservations,
    "schedules": AsyncSchedules,
    "state": AsyncState,
    "threads": AsyncThreads,
    "toolsets": AsyncToolsets,
    "leases": AsyncLeases,
    "workspaces": AsyncWorkspaces,
    "journal": AsyncJournal,
}


class AsyncTransaction:
    """All of what is done through it is committed together, or none of it."""

    if TYPE_CHECKING:
        sessions: AsyncSessions
        tasks: AsyncTasks
        agents: AsyncAgents
        checkpoints: AsyncCheckpoints
        events: AsyncEvents
        inbox: AsyncInbox
        index: AsyncIndex
        items: AsyncItems
        jobs: AsyncJobs
        machines: AsyncMachines
        observations: AsyncObservations
        schedules: AsyncSchedules
        state: AsyncState
        threads: AsyncThreads
        toolsets: AsyncToolsets
        leases: AsyncLeases
        workspaces: AsyncWorkspaces
        journal: AsyncJournal

    def __init__(self, loan: Loan, core: Core) -> None:
        self._loan = loan
        self._core = core

    async def now(self) -> datetime:
        """The transaction's time, which stands still."""
        return to_datetime(await self._loan.do(lambda tx: tx.now))

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part that can fail by itself: what it did is undone if it raises."""
        part = await self._loan.do(lambda tx: tx.savepoint())
        await self._loan.do(lambda _: part.__enter__())
        try:
            yield
        except BaseException as error:
            raised = (type(error), error, error.__traceback__)
            with suppress(HoldfastError):  # it is over: all of it was undone
                await self._loan.do(lambda _: _leave(part, raised))
            raise
        await self._loan.do(lambda _: part.__exit__(None, None, None))

    async def perform(
        self,
        kind: type[Kind],
        operation: Operation,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Carry out one operation, as a step of this transaction."""
        operation.refuse_within(kind.name)
        return await self._loan.do(self._core.work(kind, operation, args, kwargs))

    def __getattr__(self, name: str) -> Any:
        kind = self._core.registry.kinds.get(name)
        if kind is None:
            raise AttributeError(f"a transaction has no kind {name!r}")
        made = async_face(kind, self, _WRITTEN.get(name))
        setattr(self, name, made)
        return made


def _leave(part: Any, raised: tuple[Any, ...]) -> None:
    """Undo a part; the error itself is raised again where it came from."""
    try:
        part.__exit__(*raised)
    except BaseException as error:
        if error is not raised[1]:
            raise
