"""The async store: the same calls, awaited.

Answers for: what a user of asyncio holds in hand.
Leaves to others: what each call means: `store` says that, and the kinds do.
Always holds: an event loop is never blocked by a disk; a caller that is cancelled while
it waits leaves no half of a unit: either all of it is committed (it may still be, if
its turn had come), or nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from holdfast import edges
from holdfast.afaces import (
    AsyncItems,
    AsyncLeases,
    AsyncMachines,
    AsyncSchedules,
    AsyncThreads,
    AsyncWorkspaces,
)
from holdfast.ashown import (
    SHOWN,
    AsyncStoreInbox,
    AsyncStoreJobs,
    AsyncStoreJournal,
    AsyncStoreSessions,
    AsyncStoreTasks,
)
from holdfast.atransaction import AsyncTransaction
from holdfast.contract import Kind, Operation
from holdfast.core import Core, Usage, as_of, everyone
from holdfast.engine import Report, Terms, Transaction
from holdfast.faces import async_face
from holdfast.history import Difference, RecordHistory
from holdfast.indexes import State
from holdfast.kinds.event_records import Event
from holdfast.kinds.leases import Lease
from holdfast.page import Page
from holdfast.reverting import Reverted
from holdfast.runtime.agents.ashown import AsyncStoreAgents
from holdfast.runtime.cache.atoolsets import AsyncStoreToolsets
from holdfast.runtime.checkpoints.ashown import AsyncStoreCheckpoints
from holdfast.runtime.checkpoints.shielding import to_its_end
from holdfast.runtime.consulting import (
    carry_out_async,
    consulting,
    rebuilding,
)
from holdfast.runtime.events.ashown import AsyncStoreEvents
from holdfast.runtime.index.ashown import AsyncStoreIndex
from holdfast.runtime.joining import Joined
from holdfast.runtime.leases.aworking import AsyncHeldLease, held
from holdfast.runtime.observations.ashown import AsyncStoreObservations
from holdfast.runtime.state.ashown import AsyncStoreState
from holdfast.runtime.watch.awatching import AsyncWatching
from holdfast.runtime.watch.queries import query, record_query
from holdfast.searching.asking import searching
from holdfast.searching.hits import Hit
from holdfast.shown import HITS
from holdfast.store import Store

T = TypeVar("T")
_TRANSACTION_SECONDS = 1.0


class AsyncEveryList:
    """The list of one kind over all owners, awaited."""

    def __init__(self, list_of: Callable[..., Page[Any]]) -> None:
        self._list_of = list_of

    async def list(self, **filters: Any) -> Page[Any]:
        """As `store.across_owners().<kind>.list`."""
        return await asyncio.to_thread(self._list_of, **filters)


class AsyncAcrossOwners:
    """Lists of every kind that has one, and the journal, over all owners."""

    def __init__(self, store: Store, journal: AsyncStoreJournal) -> None:
        self._across = store.across_owners()
        self.journal = journal

    def __getattr__(self, name: str) -> AsyncEveryList:
        return AsyncEveryList(getattr(self._across, name).list)


class AsyncStore:
    """An open store, pinned to one owner, for asyncio. Many tasks may share it.

    `holdfast.aopen` gives one, or `store.aio`. Every kind is an attribute.
    """

    sessions: AsyncStoreSessions
    tasks: AsyncStoreTasks
    agents: AsyncStoreAgents
    checkpoints: AsyncStoreCheckpoints
    events: AsyncStoreEvents
    inbox: AsyncStoreInbox
    index: AsyncStoreIndex
    items: AsyncItems
    jobs: AsyncStoreJobs
    machines: AsyncMachines
    observations: AsyncStoreObservations
    schedules: AsyncSchedules
    state: AsyncStoreState
    threads: AsyncThreads
    toolsets: AsyncStoreToolsets
    leases: AsyncLeases
    workspaces: AsyncWorkspaces
    journal: AsyncStoreJournal

    def __init__(self, core: Core, terms: Terms) -> None:
        self._core = core
        self._terms = terms
        for name, kind in core.registry.kinds.items():
            setattr(self, name, async_face(kind, self, SHOWN.get(name)))

    @property
    def owner(self) -> str:
        """Whose state this store reads and writes."""
        return self._terms.owner

    @property
    def place(self) -> str:
        """Where the store is: a path, `:memory:`, or a URL without its user."""
        return self._core.engine.place

    @property
    def sync(self) -> Store:
        """The sync face of this store; its calls block."""
        return Store(self._core, self._terms)

    def owned_by(self, owner: str) -> "AsyncStore":
        """The same store, pinned to another owner."""
        owner = edges.owner_of(owner)
        terms = msgspec.structs.replace(self._terms, owner=owner, fence=None)
        return AsyncStore(self._core, terms)

    async def moment(self) -> int:
        """The newest moment: the number of the last transaction; 0 before the first."""
        return await self.journal.head()

    async def as_of(self, moment: int | datetime | str) -> "AsyncStore":
        """The same store as it was at a moment, or at a time: read-only.

        As `Store.as_of`; it is awaited, since it looks for the moment.
        """
        found = await self._read(self._core.standing(self._terms, moment))
        return AsyncStore(self._core, found)

    async def search(
        self, query: str, *, kinds: Iterable[str] | None = None, limit: int = HITS
    ) -> tuple[Hit, ...]:
        """What is about a query, the best first, in every kind that has text.

        As `Store.search`.
        """
        core = self._core
        asked = searching(core.registry, core.limits, query, kinds, limit)
        return await self.consult("search", asked)

    async def consult(
        self, index: str, question: Callable[[Transaction, State], T]
    ) -> T:
        """Ask a derived index, as `Store.consult`; `question` is a plain function."""
        self._core.refuse_inside("consult")
        found = self._core.index(index)
        steps = consulting(self._core, self._terms, found, question)
        return await carry_out_async(self._core.engine, steps)

    async def rebuild(self, index: str = "search") -> None:
        """Make a derived index again from the rows, as `Store.rebuild`."""
        self._core.refuse_inside("rebuild")
        steps = rebuilding(self._core, self._core.index(index))
        await carry_out_async(self._core.engine, steps)

    async def changes(
        self, kind: str, id: str, *, limit: int = 100, cursor: str | None = None
    ) -> RecordHistory:
        """One record's history, oldest first. As `Store.changes`."""
        found: RecordHistory = await self._look(
            "changes", kind, id, limit=limit, cursor=cursor
        )
        return found

    async def diff(
        self,
        a: int | datetime | str,
        b: int | datetime | str | None = None,
        *,
        kinds: Iterable[str] | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Difference]:
        """What differs at moment `b` from what was at moment `a`. As `Store.diff`."""
        found: Page[Difference] = await self._look(
            "diff", a, b, kinds=kinds, limit=limit, cursor=cursor
        )
        return found

    async def revert(
        self,
        moment: int | datetime | str,
        *,
        kinds: Iterable[str] | None = None,
        ids: Iterable[str] | None = None,
        actor: str | None = None,
        cause: str | None = None,
    ) -> Reverted:
        """Put records back as they were at a moment. As `Store.revert`."""
        terms = self._core.terms(self._terms, actor, cause)
        unit = self._core.reverting(terms, moment, kinds, ids)
        if await self.state.is_dirty():
            await self.state.flush()
        future = unit.awaited(asyncio.get_running_loop())
        self._core.engine.post(unit)
        return await future

    def on(
        self, pattern: str | Sequence[str], callback: Callable[[Event], object]
    ) -> Callable[[], None]:
        """Have a function, or a coroutine function, told of events as they happen.

        As `store.on`, but on this event loop.
        """
        return self.events.on(pattern, callback)

    def holding(self, lease: Lease) -> "AsyncStore":
        """The same store, whose writes carry a lease."""
        return AsyncStore(self._core, self._core.terms(self._terms, lease=lease))

    async def owners(self) -> list[str]:
        """Everyone who owns a record here, in order."""
        return await self._read(self._core.owners_in, everyone(self._terms))

    async def usage(self, owner: str | None = None) -> Usage:
        """How many rows and bytes an owner has here (None: this store's own)."""
        if owner is not None:
            return await self.owned_by(owner).usage()
        return await self._read(self._core.usage)

    def across_owners(self) -> AsyncAcrossOwners:
        """Lists and the journal over all owners, read-only."""
        journal = AsyncStoreJournal(self._everyone(), self._core.every_journal)
        return AsyncAcrossOwners(self.sync, journal)

    @asynccontextmanager
    async def transaction(
        self,
        actor: str | None = None,
        cause: str | None = None,
        lease: Lease | None = None,
        timeout_seconds: float = _TRANSACTION_SECONDS,
    ) -> AsyncIterator[AsyncTransaction]:
        """All of what is done through it is committed together, or none of it.

        It keeps every other writer waiting while the block awaits (on a server: those
        of the same records), and is rolled back after `timeout_seconds`; `run` is the
        better way.
        """
        core = self._core
        core.refuse_inside("transaction")
        seconds = edges.seconds_of(timeout_seconds, "timeout_seconds", core.limits)
        terms = core.terms(self._terms, actor, cause, lease)
        loan = await core.engine.lend(terms, seconds)
        try:
            await loan.do(core.entering)
            yield AsyncTransaction(loan, core)
        except BaseException:
            await loan.end(keep=False)
            raise
        await loan.end(keep=True)

    @asynccontextmanager
    async def join(
        self,
        connection: Any,
        actor: str | None = None,
        cause: str | None = None,
        lease: Lease | None = None,
    ) -> AsyncIterator[AsyncTransaction]:
        """Take part in a transaction that you have begun on a connection of yours.

        As `Store.join`, with a `psycopg.AsyncConnection`.
        """
        core = self._core
        core.refuse_inside("join")
        terms = core.terms(self._terms, actor, cause, lease)
        block = core.engine.join(connection, terms, asyncio.current_task())
        async with Joined(block, connection) as loan:
            await loan.do(core.entering)
            yield AsyncTransaction(loan, core)

    async def run(
        self,
        function: Callable[..., T],
        *args: Any,
        once: str | None = None,
        actor: str | None = None,
        cause: str | None = None,
    ) -> T:
        """Run a plain function of an open transaction, to its commit.

        It runs on the engine's thread, may be run again after a conflict, and may share
        its commit with others; so it should do nothing but use `tx`, whose calls are
        not awaited. With `once`, it is committed once for all time under that key, and
        a repeat gives the result that was kept.
        """
        core = self._core
        work = core.running(function, args, once)
        unit = core.unit(work, core.terms(self._terms, actor, cause))
        unit.foreign = True
        future = unit.awaited(asyncio.get_running_loop())
        core.engine.post(unit)
        return await future

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """Run a plain function of a transaction that only reads. As `Store.read`.

        It runs on a thread of the engine's; its calls of `tx` are not awaited.
        """
        return await self._read(self._core.reading(function, args))

    def watch(self, kind: str, id: str) -> AsyncWatching:
        """A record as it is, and then each later state of it, whoever changes it.

        As `Store.watch`; to be awaited, or entered with `async with`.
        """
        asked = record_query(self._core, self._terms, kind, id)
        return AsyncWatching(self._core, asked)

    def watch_query(
        self, query_of: str | Callable[..., T], *args: Any, **kwargs: Any
    ) -> AsyncWatching:
        """What a query gives, and then what it gives after each change to that.

        As `Store.watch_query`; to be awaited, or entered with `async with`.
        """
        asked = query(self._core, self._terms, query_of, args, kwargs)
        return AsyncWatching(self._core, asked)

    async def call(self, name: str, args: Mapping[str, Any] | None = None) -> Any:
        """Carry out an operation by its name, from plain data."""
        kind, operation, kwargs = self._core.named(name, args or {})
        return await self.perform(kind, operation, (), kwargs)

    def operations(self) -> Mapping[str, Operation]:
        """Every operation by its name, as `call` takes it."""
        return self.sync.operations()

    @asynccontextmanager
    async def lease(
        self, kind: str, id: str, *, holder: str | None = None, seconds: float = 30.0
    ) -> AsyncIterator[AsyncHeldLease]:
        """Hold a record for a block of code: nobody else may write to it meanwhile."""
        async with held(self, kind, id, holder, seconds, self._core.clock) as lease:
            yield lease

    def of(self, kind: type[Kind]) -> Any:
        """The async face of a kind, by its class."""
        return async_face(kind, self, SHOWN.get(kind.name))

    async def check(self) -> Report:
        """Look for damage: in a file, the journal, and the rows. Reads all of it."""
        return await asyncio.to_thread(self._core.engine.check)

    async def close(self) -> None:
        """Finish what was begun, and let go of file or server. Safe to call twice.

        Goes on to its end if it is cancelled.
        """
        await to_its_end(self.sync.close)

    async def perform(
        self,
        kind: type[Kind],
        operation: Operation,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Carry out one operation; what every method of every kind comes down to."""
        unit = self._core.prepared(kind, operation, args, kwargs, self._terms)
        future = unit.awaited(asyncio.get_running_loop())
        where = self._core.where(operation)
        if operation.reads:
            where.post_read(unit)
        else:
            where.post(unit)
        return await future

    async def __aenter__(self) -> "AsyncStore":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<holdfast.AsyncStore {self.place!r} owner={self.owner!r}>"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a store has no kind {name!r}; declare it before opening")

    async def _look(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Look at what became of records."""
        history = self._core.history
        return await self.perform(history, history.operations()[name], args, kwargs)

    async def _in_memory(self) -> "AsyncStore":
        """An empty store in memory, for the same owner."""
        core = await asyncio.to_thread(self._core.in_memory)
        return AsyncStoreInMemory(core, Terms(owner=self._terms.owner))

    def _everyone(self) -> "AsyncStore":
        """The same store, for a look at all owners' rows."""
        return AsyncStore(self._core, everyone(self._terms))

    async def _run_store(self, work: Callable[[Any], T], *, reads: bool = False) -> T:
        unit = self._core.unit(work, self._core.running_the_store(self._terms))
        future = unit.awaited(asyncio.get_running_loop())
        engine = self._core.engine
        (engine.post_read if reads else engine.post)(unit)
        return await future

    async def _read(self, work: Callable[[Any], T], terms: Terms | None = None) -> T:
        self._core.refuse_inside("a read")
        terms = terms or self._terms
        unit = self._core.unit(as_of(work, terms), terms)
        future = unit.awaited(asyncio.get_running_loop())
        self._core.engine.post_read(unit)
        return await future


class AsyncStoreInMemory(AsyncStore):
    """An async store in memory, whose calls are done at once: they wait for nothing."""

    async def perform(
        self,
        kind: type[Kind],
        operation: Operation,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Carry out one operation, at once."""
        return self.sync.perform(kind, operation, args, kwargs)
