"""The store: every kind of state in one place, in one transaction if need be.

Answers for: what a user holds in hand: the kinds as attributes, transactions, keyed
runs, owners, leases.
Leaves to others: what each kind means (`kinds/`), how state is kept (engines).
Always holds: a call is one transaction, or part of the open one that it is made
through; a call on a store from inside a transaction of the same thread is refused.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from threading import Thread, get_ident
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from holdfast import edges
from holdfast.across import AcrossOwners, EveryList
from holdfast.contract import Kind, Operation
from holdfast.core import Core, Usage, as_of, everyone
from holdfast.engine import Report, Terms, Transaction, Unit
from holdfast.faces import face
from holdfast.history import Difference, RecordHistory
from holdfast.indexes import State
from holdfast.kinds.event_records import Event
from holdfast.kinds.items import Items
from holdfast.kinds.leases import Lease, Leases
from holdfast.kinds.machines import Machines
from holdfast.kinds.schedules import Schedules
from holdfast.kinds.threads import Threads
from holdfast.kinds.workspaces import Workspaces
from holdfast.page import Page
from holdfast.reverting import Reverted
from holdfast.runtime.agents.crew import end_crew
from holdfast.runtime.agents.shown import StoreAgents
from holdfast.runtime.cache.toolsets import StoreToolsets
from holdfast.runtime.checkpoints.shown import StoreCheckpoints
from holdfast.runtime.consulting import carry_out, consulting, rebuilding
from holdfast.runtime.events.shown import StoreEvents
from holdfast.runtime.index.shown import StoreIndex
from holdfast.runtime.leases.leasing import HeldLease, held
from holdfast.runtime.observations.shown import StoreObservations
from holdfast.runtime.state.shown import StoreState
from holdfast.runtime.watch.feeding import end_feed
from holdfast.runtime.watch.queries import query, record_query
from holdfast.runtime.watch.watching import Watched, watch
from holdfast.searching.asking import searching
from holdfast.searching.hits import Hit
from holdfast.shown import (
    HITS,
    StoreInbox,
    StoreJobs,
    StoreJournal,
    StoreSessions,
    StoreTasks,
    shown,
)
from holdfast.transaction import OpenTransaction

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore

K = TypeVar("K", bound=Kind)
T = TypeVar("T")
_TRANSACTION_SECONDS = 5.0


class Store:
    """An open store, pinned to one owner. Many threads may share it.

    Open one with `holdfast.open`; close it with `close`, or use it as a context
    manager. Every kind is an attribute: `sessions`, `tasks`, `machines`, `inbox`,
    `items`, `jobs`, `schedules`, `observations`, `checkpoints`, `threads`, `leases`,
    `state`, `index`, `toolsets`, `journal`, and those declared with `holdfast.kind`.
    """

    sessions: StoreSessions
    tasks: StoreTasks
    agents: StoreAgents
    checkpoints: StoreCheckpoints
    events: StoreEvents
    inbox: StoreInbox
    index: StoreIndex
    items: Items
    jobs: StoreJobs
    machines: Machines
    observations: StoreObservations
    schedules: Schedules
    state: StoreState
    threads: Threads
    toolsets: StoreToolsets
    leases: Leases
    workspaces: Workspaces
    journal: StoreJournal

    def __init__(self, core: Core, terms: Terms) -> None:
        self._core = core
        self._terms = terms
        for name, kind in core.registry.kinds.items():
            setattr(self, name, face(shown(kind), self))

    @property
    def owner(self) -> str:
        """Whose state this store reads and writes."""
        return self._terms.owner

    @property
    def place(self) -> str:
        """Where the store is: a path, `:memory:`, or a URL without its user."""
        return self._core.engine.place

    @property
    def aio(self) -> "AsyncStore":
        """The async face of this store: the same calls, awaited."""
        from holdfast.astore import AsyncStore  # noqa: PLC0415  # asyncio loads slowly

        return AsyncStore(self._core, self._terms)

    def owned_by(self, owner: str) -> "Store":
        """The same store, pinned to another owner."""
        return Store(self._core, self._with(owner=edges.owner_of(owner)))

    def moment(self) -> int:
        """The newest moment: the number of the last transaction; 0 before the first."""
        return self.journal.head()

    def as_of(self, moment: int | datetime | str) -> "Store":
        """The same store as it was at a moment, or at a time: read-only.

        The same calls give what they gave then; what keeps no past says so. Raises
        `Trimmed` (the journal does not reach back so far), `Refused` (it lies ahead, or
        is in the midst of a transaction).
        """
        found = self._read(self._core.standing(self._terms, moment))
        return Store(self._core, found)

    def search(
        self, query: str, *, kinds: Iterable[str] | None = None, limit: int = HITS
    ) -> tuple[Hit, ...]:
        """What is about a query, the best first, in every kind that has text.

        Words must all be there; `"a phrase"`, `begin*`, `this OR that` and `-without`
        are understood; case and accents do not matter. `kinds` takes names of kinds
        (`sessions`) and of their records (`message`). All that was written before is
        found: the index is led on first. Raises `Refused` (no word to look for, no such
        kind), `BadInput`.
        """
        core = self._core
        asked = searching(core.registry, core.limits, query, kinds, limit)
        return self.consult("search", asked)

    def consult(self, index: str, question: Callable[[Transaction, State], T]) -> T:
        """Ask a derived index, which is led on to the newest change before.

        `question(tx, state)` is called in a transaction that reads; where the store is
        open read-only, the index may lack what came after `state.cursor`. Raises
        `Refused` (no such index).
        """
        self._core.refuse_inside("consult")
        found = self._core.index(index)
        steps = consulting(self._core, self._terms, found, question)
        return carry_out(self._core.engine, steps)

    def rebuild(self, index: str = "search") -> None:
        """Make a derived index again from the rows, all owners': it was damaged, say.

        Raises `Refused` (no such index).
        """
        self._core.refuse_inside("rebuild")
        steps = rebuilding(self._core, self._core.index(index))
        carry_out(self._core.engine, steps)

    def changes(
        self, kind: str, id: str, *, limit: int = 100, cursor: str | None = None
    ) -> RecordHistory:
        """One record's history, oldest first: its changes, and of what belongs to it.

        `kind` is a kind (`sessions`) or its record (`session`). Also of a record that
        was deleted, and of every one that had the id; on a store as of a moment, up to
        that. Raises `NotFound`, `Refused` (a kind without a history).
        """
        found: RecordHistory = self._look(
            "changes", kind, id, limit=limit, cursor=cursor
        )
        return found

    def diff(
        self,
        a: int | datetime | str,
        b: int | datetime | str | None = None,
        *,
        kinds: Iterable[str] | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Difference]:
        """What differs at moment `b` (None: now) from what was at moment `a`.

        Each row is told once, where it was last changed; not at all if it was changed
        back. The record of a deletion stands for what belonged to it. A page may be
        shorter than `limit`, and even empty, while its cursor leads on. Raises
        `Trimmed`, `Refused` (`a` comes after `b`, or one of them lies ahead).
        """
        found: Page[Difference] = self._look(
            "diff", a, b, kinds=kinds, limit=limit, cursor=cursor
        )
        return found

    def revert(
        self,
        moment: int | datetime | str,
        *,
        kinds: Iterable[str] | None = None,
        ids: Iterable[str] | None = None,
        actor: str | None = None,
        cause: str | None = None,
    ) -> Reverted:
        """Put records back as they were at a moment: all of this owner's, or these.

        A transaction of its own: the journal keeps what was, and a revert can be
        reverted. What was made since is deleted, what was deleted is made again, with
        its ids, positions and times; versions and `updated_at` go on. Raises `Trimmed`,
        `Refused` (no such moment or kind), `NotFound` (an id that was neither there
        then nor is now), `Held` (a record that differs, and that another holds),
        `TooLarge` (more than `limits.revert` rows); then nothing was written.
        """
        terms = self._core.terms(self._terms, actor, cause)
        unit = self._core.reverting(terms, moment, kinds, ids)
        if self.state.is_dirty():
            self.state.flush()
        return self._core.engine.write(unit)

    def on(
        self, pattern: str | Sequence[str], callback: Callable[[Event], object]
    ) -> Callable[[], None]:
        """Have a function told of events as they happen: `store.on("task:*", show)`.

        Also of holdfast's own: `state:save-error`, `task:created` and the like. Called
        on a thread of its own, in order, with each `Event`; what it raises is logged.
        Gives what stops it.
        """
        return self.events.on(pattern, callback)

    def holding(self, lease: Lease) -> "Store":
        """The same store, whose writes carry a lease.

        Once the lease is over, every write through it is `Fenced`.
        """
        return Store(self._core, self._core.terms(self._terms, lease=lease))

    def owners(self) -> list[str]:
        """Everyone who owns a record here, in order."""
        return self._read(self._core.owners_in, everyone(self._terms))

    def usage(self, owner: str | None = None) -> Usage:
        """How many rows and bytes an owner has here (None: this store's own)."""
        if owner is not None:
            return self.owned_by(owner).usage()
        return self._read(self._core.usage)

    def across_owners(self) -> AcrossOwners:
        """Lists and the journal over all owners, read-only."""
        lists = {
            name: EveryList(self.owners, self._list_of(name), self._core.limits)
            for name, kind in self._core.registry.kinds.items()
            if "list" in kind.operations()
        }
        every_journal = shown(self._core.every_journal)
        return AcrossOwners(lists, face(every_journal, self._everyone()))

    @contextmanager
    def transaction(
        self,
        actor: str | None = None,
        cause: str | None = None,
        lease: Lease | None = None,
        timeout_seconds: float = _TRANSACTION_SECONDS,
    ) -> Iterator[OpenTransaction]:
        """All of what is done through it is committed together, or none of it.

        `actor` and `cause` are said in the journal; with a `lease`, all of it is
        `Fenced` if the lease is over. It keeps every other writer waiting (on a server:
        those of the same records): after `timeout_seconds` it is rolled back, and
        `TimedOut` raised.
        """
        self._core.refuse_inside("transaction")
        seconds = edges.seconds_of(
            timeout_seconds, "timeout_seconds", self._core.limits
        )
        terms = self._core.terms(self._terms, actor, cause, lease)
        with self._core.engine.borrow(terms, seconds) as tx:
            self._core.entering(tx)
            yield OpenTransaction(tx, self._core.registry)

    @contextmanager
    def join(
        self,
        connection: object,
        actor: str | None = None,
        cause: str | None = None,
        lease: Lease | None = None,
    ) -> Iterator[OpenTransaction]:
        """Take part in a transaction that you have begun on a connection of yours.

        Your tables and what is done through it are committed together, by you. The
        connection is one of psycopg 3 (or of SQLAlchemy on it) to the store's own
        database, or an `apsw.Connection` to its file. A block that raises is undone,
        and your transaction goes on. Raises `Refused` for a connection that cannot be
        joined.
        """
        self._core.refuse_inside("join")
        terms = self._core.terms(self._terms, actor, cause, lease)
        with self._core.engine.join(connection, terms, get_ident()) as tx:
            self._core.entering(tx)
            yield OpenTransaction(tx, self._core.registry)

    def run(
        self,
        function: Callable[..., T],
        *args: Any,
        once: str | None = None,
        actor: str | None = None,
        cause: str | None = None,
    ) -> T:
        """Run a plain function of an open transaction, to its commit.

        It may be run again after a conflict, and may share its commit with others; so
        it should do nothing but use `tx`. With `once`, it is committed once for all
        time under that key, and a repeat gives the result that was kept (as JSON
        brings it back).
        """
        work = self._core.running(function, args, once)
        terms = self._core.terms(self._terms, actor, cause)
        unit = self._core.unit(work, terms)
        unit.foreign = True
        return self._core.engine.write(unit)

    def read(self, function: Callable[..., T], *args: Any) -> T:
        """Run a plain function of a transaction that only reads.

        All that it reads is of one moment, and keeps no writer waiting. Raises
        `Refused` if it tries to write.
        """
        return self._read(self._core.reading(function, args))

    def watch(self, kind: str, id: str) -> Watched[Any]:
        """A record as it is, and then each later state of it, whoever changes it.

        `kind` is a kind (`tasks`) or its record (`task`). Where there is no such record
        (yet, or any more), its state is None. Raises `Refused` (a kind that gives no
        record by its id; a store as of a moment).
        """
        return watch(self._core, record_query(self._core, self._terms, kind, id))

    def watch_query(
        self, query_of: str | Callable[..., T], *args: Any, **kwargs: Any
    ) -> Watched[Any]:
        """What a query gives, and then what it gives after each change to that.

        Takes the name of an operation that reads, with its arguments by name
        (`watch_query("tasks.list", status="pending")`), or a function of `tx`, as
        `read` does. Raises what the query raises, and `Refused` (it writes; a store as
        of a moment).
        """
        asked = query(self._core, self._terms, query_of, args, kwargs)
        return watch(self._core, asked)

    def call(self, name: str, args: Mapping[str, Any] | None = None) -> Any:
        """Carry out an operation by its name, from plain data.

        `store.call("sessions.append", {"id": …, "role": …, "content": …})`. Raises
        `Refused` (no such operation), `WrongType` (arguments that do not fit).
        """
        kind, operation, kwargs = self._core.named(name, args or {})
        return self.perform(kind, operation, (), kwargs)

    def begin(self, name: str, args: Mapping[str, Any]) -> Unit[Any]:
        """Have an operation carried out, and not wait: its unit has the outcome."""
        kind, operation, kwargs = self._core.named(name, args)
        unit = self._core.prepared(kind, operation, (), kwargs, self._terms)
        unit.expected()
        self._core.where(operation).post(unit)
        return unit

    def operations(self) -> Mapping[str, Operation]:
        """Every operation by its name, as `call` takes it."""
        return {
            name: found for name, (_, found) in self._core.registry.operations.items()
        }

    @contextmanager
    def lease(
        self, kind: str, id: str, *, holder: str | None = None, seconds: float = 30.0
    ) -> Iterator[HeldLease]:
        """Hold a record for a block of code: nobody else may write to it meanwhile.

        Write through `lease.store`; `renew` before `seconds` are over. Raises
        `NotFound`, `Held`.
        """
        with held(self, kind, id, holder, seconds, self._core.clock) as lease:
            yield lease

    def of(self, kind: type[K]) -> K:
        """A kind, by its class."""
        found: type[K] = shown(kind)
        return face(found, self)

    def check(self) -> Report:
        """Look for damage: in a file, the journal, and the rows. Reads all of it."""
        return self._core.engine.check()

    def close(self) -> None:
        """Finish what was begun, and let go of file or server. Safe to call twice.

        Raises what keeps changes of state sections from the disk, which are lost then;
        it is closed all the same. Returns at once where a finalizer calls it that came
        while its thread was writing events: that has to go on first.
        """
        if self._core.events.amid:
            Thread(target=self.close, name="holdfast-closing").start()
            return
        end_crew(self._core)
        try:
            self._core.engine.close()
        finally:
            end_feed(self._core)

    def perform(
        self,
        kind: type[Kind],
        operation: Operation,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Carry out one operation; what every method of every kind comes down to."""
        unit = self._core.prepared(kind, operation, args, kwargs, self._terms)
        where = self._core.where(operation)
        return where.read(unit) if operation.reads else where.write(unit)

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<holdfast.Store {self.place!r} owner={self.owner!r}>"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a store has no kind {name!r}; declare it before opening")

    def _in_memory(self) -> "Store":
        """An empty store in memory, for the same owner."""
        return Store(self._core.in_memory(), Terms(owner=self._terms.owner))

    def _look(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Look at what became of records."""
        history = self._core.history
        return self.perform(history, history.operations()[name], args, kwargs)

    def _everyone(self) -> "Store":
        """The same store, for a look at all owners' rows."""
        return Store(self._core, everyone(self._terms))

    def _read(self, work: Callable[[Any], T], terms: Terms | None = None) -> T:
        self._core.refuse_inside("a read")
        terms = terms or self._terms
        return self._core.engine.read(self._core.unit(as_of(work, terms), terms))

    def _run_store(self, work: Callable[[Any], T], *, reads: bool = False) -> T:
        """Do what is about everyone's state, for those who may."""
        terms = self._core.running_the_store(self._terms)
        unit = self._core.unit(work, terms)
        engine = self._core.engine
        return engine.read(unit) if reads else engine.write(unit)

    def _with(self, owner: str) -> Terms:
        return msgspec.structs.replace(self._terms, owner=owner, fence=None)

    def _list_of(self, name: str) -> Callable[..., Page[Any]]:
        def list_of(owner: str, **filters: object) -> Page[Any]:
            found: Page[Any] = getattr(self.owned_by(owner), name).list(**filters)
            return found

        return list_of
