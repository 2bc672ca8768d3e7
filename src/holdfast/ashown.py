"""Shown, for asyncio: kinds as an async store shows them.

Answers for: the async face of what `shown` has.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from holdfast import edges
from holdfast.afaces import (
    AsyncInbox,
    AsyncItems,
    AsyncJobs,
    AsyncJournal,
    AsyncLeases,
    AsyncMachines,
    AsyncSchedules,
    AsyncTasks,
    AsyncWorkspaces,
)
from holdfast.changes import Change
from holdfast.journal import names_of, refuse_across, refuse_past
from holdfast.retention import JournalStats, Policy, Reach, kept
from holdfast.runtime.agents.ashown import AsyncStoreAgents
from holdfast.runtime.cache.aoverviews import AsyncOverviewedSessions
from holdfast.runtime.cache.atoolsets import AsyncStoreToolsets
from holdfast.runtime.checkpoints.ashown import AsyncStoreCheckpoints
from holdfast.runtime.events.ashown import AsyncStoreEvents
from holdfast.runtime.following import AsyncFollower, follow_async
from holdfast.runtime.index.ashown import AsyncStoreIndex
from holdfast.runtime.jobs.processing import (
    HANDLER_SECONDS,
    AsyncHandler,
    Processed,
    process_async,
)
from holdfast.runtime.jobs.results import result_async
from holdfast.runtime.leases.aworking import AsyncWork, work
from holdfast.runtime.observations.ashown import AsyncStoreObservations
from holdfast.runtime.sessions.areplying import AsyncReply, replying
from holdfast.runtime.sessions.atalking import AsyncTalk
from holdfast.runtime.sessions.talking import Draft
from holdfast.runtime.state.ashown import AsyncStoreState
from holdfast.runtime.transfer.admission import SessionsReport
from holdfast.runtime.transfer.exporting import ExportReport, Place
from holdfast.searching.hits import Hit
from holdfast.shown import HITS

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore

_WORK_SECONDS = 30.0


class AsyncStoreSessions(AsyncOverviewedSessions):
    """Sessions as an async store shows them: with what spans many transactions."""

    _target: "AsyncStore"

    async def search(self, query: str, *, limit: int = HITS) -> tuple[Hit, ...]:
        """Messages, and sessions by their titles, as `store.search` finds them."""
        return await self._target.search(query, kinds=[self._kind.name], limit=limit)

    async def load(self, id: str) -> AsyncTalk:
        """A session in hand, as `store.sessions.load`."""
        return AsyncTalk(self._target, await self.get(id))

    async def draft(
        self,
        title: str = "",
        *,
        id: str | None = None,
        parent: str | None = None,
        metadata: dict[str, Any] | None = None,
        tags: Iterable[str] = (),
        max_context_messages: int | None = None,
    ) -> AsyncTalk:
        """A new session in hand, in memory until its `save`; as `store`'s."""
        store = self._target
        memory = await store._in_memory()  # noqa: SLF001
        draft = Draft(memory.sync, store, parent)
        session = await memory.sessions.create(
            title,
            id=id,
            metadata=metadata,
            tags=tags,
            max_context_messages=max_context_messages,
        )
        return AsyncTalk(memory, session, draft)

    async def export_to(
        self, target: Place, *, id: str | Iterable[str] | None = None
    ) -> ExportReport:
        """As `store.sessions.export_to`, on a thread of its own."""
        self._target._core.refuse_inside("export_to")  # noqa: SLF001
        sessions = self._target.sync.sessions
        return await asyncio.to_thread(sessions.export_to, target, id=id)

    async def import_from(
        self,
        source: Place,
        *,
        on_progress: Callable[[int, int, int], None] | None = None,
    ) -> SessionsReport:
        """As `store.sessions.import_from`, on a thread of its own; so `on_progress`."""
        self._target._core.refuse_inside("import_from")  # noqa: SLF001
        sessions = self._target.sync.sessions
        return await asyncio.to_thread(
            sessions.import_from, source, on_progress=on_progress
        )

    @asynccontextmanager
    async def reply(
        self,
        id: str,
        role: str = "assistant",
        *,
        metadata: dict[str, Any] | None = None,
        message_id: str | None = None,
    ) -> AsyncIterator[AsyncReply]:
        """As `store.sessions.reply`: `await reply.add(delta)`."""
        message = await self.begin_reply(
            id, role, message_id=message_id, metadata=metadata
        )
        async with replying(self._target, message) as handle:
            yield handle


class AsyncStoreTasks(AsyncTasks):
    """Tasks as an async store shows them: with `work`."""

    _target: "AsyncStore"

    @asynccontextmanager
    async def work(
        self, id: str, *, seconds: float = _WORK_SECONDS, holder: str | None = None
    ) -> AsyncIterator[AsyncWork]:
        """As `store.tasks.work`: a task under a lease, which is renewed meanwhile."""
        store = self._target
        async with (
            store.lease("tasks", id, holder=holder, seconds=seconds) as lease,
            work(lease, id, seconds) as handle,
        ):
            yield handle


class AsyncStoreInbox(AsyncInbox):
    """The inbox as an async store shows it: with `process`."""

    _target: "AsyncStore"

    async def process(
        self,
        to: str,
        handler: AsyncHandler,
        *,
        limit: int | None = None,
        max_attempts: int = 3,
        timeout_seconds: float = HANDLER_SECONDS,
    ) -> Processed:
        """As `store.inbox.process`; what `handler(tx, message)` gives is awaited."""
        return await process_async(
            self._target,
            to,
            handler,
            limit=limit,
            max_attempts=max_attempts,
            timeout_seconds=timeout_seconds,
        )


class AsyncStoreJobs(AsyncJobs):
    """Jobs as an async store shows them: with `result`, which waits."""

    _target: "AsyncStore"

    async def result(self, id: str, *, timeout_seconds: float | None = None) -> Any:
        """As `store.jobs.result`."""
        core = self._target._core  # noqa: SLF001
        seconds = edges.wait_of(timeout_seconds, "timeout_seconds", core.limits)
        return await result_async(lambda: self.get(id), core.engine, seconds)


class AsyncStoreJournal(AsyncJournal):
    """The journal as an async store shows it: with iterators that wait for more."""

    _target: "AsyncStore"

    async def follow(
        self,
        after: int | None = None,
        *,
        kinds: Iterable[str] | None = None,
        id: str | None = None,
    ) -> AsyncIterator[Change]:
        """As `store.journal.follow`; None stands for the first `async for`."""
        refuse_past(self._target._terms.moment)  # noqa: SLF001
        start = await self.head() if after is None else after
        core = self._target._core  # noqa: SLF001
        names = None if kinds is None else names_of(kinds, "kinds", core.limits)
        async for change in follow_async(
            lambda place: self.stretch(place, kinds=names, id=id), start, core.engine
        ):
            yield change

    def follower(self, name: str) -> AsyncFollower:
        """A follower that keeps its place in the journal with its effects.

        Raises `Refused` across owners: its place and its effects are one owner's; and
        for a store as of a moment.
        """
        refuse_across(getattr(self._kind, "all_owners", False))
        refuse_past(self._target._terms.moment)  # noqa: SLF001
        return AsyncFollower(name, self._target)

    async def keep(
        self,
        *,
        max_age_seconds: float | None = None,
        max_changes: int | None = None,
        max_bytes: int | None = None,
    ) -> Policy:
        """As `store.journal.keep`: so much of the past, and no more."""
        core = self._target._core  # noqa: SLF001
        work = core.policy(max_age_seconds, max_changes, max_bytes)
        return await self._target._run_store(work)  # noqa: SLF001

    async def policy(self) -> Policy:
        """How much of its past the store keeps."""
        return await self._target._run_store(kept, reads=True)  # noqa: SLF001

    async def trim(self, before: int | datetime | str | None = None) -> Reach:
        """As `store.journal.trim`: give up the past before a moment or a time."""
        work = self._target._core.trimming(before)  # noqa: SLF001
        return await self._target._run_store(work)  # noqa: SLF001

    async def stats(self) -> JournalStats:
        """What the past costs, in changes and bytes."""
        work = self._target._core.journal_stats  # noqa: SLF001
        return await self._target._run_store(work, reads=True)  # noqa: SLF001


SHOWN: dict[str, type[Any]] = {
    "sessions": AsyncStoreSessions,
    "tasks": AsyncStoreTasks,
    "agents": AsyncStoreAgents,
    "checkpoints": AsyncStoreCheckpoints,
    "events": AsyncStoreEvents,
    "inbox": AsyncStoreInbox,
    "index": AsyncStoreIndex,
    "items": AsyncItems,
    "jobs": AsyncStoreJobs,
    "machines": AsyncMachines,
    "observations": AsyncStoreObservations,
    "toolsets": AsyncStoreToolsets,
    "schedules": AsyncSchedules,
    "state": AsyncStoreState,
    "leases": AsyncLeases,
    "workspaces": AsyncWorkspaces,
    "journal": AsyncStoreJournal,
}
"""The written async faces; other kinds get theirs made when a store is opened."""
