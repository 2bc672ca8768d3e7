"""The store: every kind of state in one place, in one transaction if need be.

Answers for: what a user holds in hand: the kinds as attributes, transactions, keyed
runs, owners, leases.
Leaves to others: what each kind means (`kinds/`), how state is kept (engines).
Always holds: a call is one transaction, or part of the open one that it is made
through; a call on a store from inside a transaction of the same thread is refused.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast import edges
from holdfast.across import AcrossOwners, EveryList
from holdfast.changes import Change
from holdfast.contract import Kind, Operation
from holdfast.core import Core, Usage, everyone
from holdfast.engine import Report, Terms
from holdfast.faces import face
from holdfast.journal import Journal, names_of, refuse_across
from holdfast.kinds.leases import Lease, Leases
from holdfast.kinds.sessions import Sessions
from holdfast.kinds.tasks import Tasks
from holdfast.page import Page
from holdfast.runtime.following import Follower, follow
from holdfast.runtime.leasing import HeldLease, held
from holdfast.runtime.working import Work, work
from holdfast.transaction import OpenTransaction

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore

K = TypeVar("K", bound=Kind)
T = TypeVar("T")
_TRANSACTION_SECONDS = 5.0
_WORK_SECONDS = 30.0


class StoreTasks(Tasks):
    """Tasks as a store shows them: with `work`, which spans many transactions."""

    _target: "Store"

    @contextmanager
    def work(
        self, id: str, *, seconds: float = _WORK_SECONDS, holder: str | None = None
    ) -> Iterator[Work]:
        """Work on a task under a lease, which is renewed for as long as the block runs.

        Starts the task, or takes over one whose holder died. A block that raises an
        `Exception` fails the task; one that is interrupted, or ends without finishing
        it, leaves it in progress for another. Raises `NotFound`, `Held` (somebody else
        works on it), `Refused` (it is finished); a write after the lease was lost is
        `Fenced`.
        """
        store = self._target
        with (
            store.lease("tasks", id, holder=holder, seconds=seconds) as lease,
            work(lease, id, seconds) as handle,
        ):
            yield handle


class StoreJournal(Journal):
    """The journal as a store shows it: with iterators that wait for more."""

    _target: "Store"

    def follow(
        self,
        after: int | None = None,
        *,
        kinds: Iterable[str] | None = None,
        id: str | None = None,
    ) -> Iterator[Change]:
        """Changes after a `seq` (None: from now on), then those to come, as they come.

        Other processes' commits are seen within 50 ms. Ends when the store is closed.
        Raises `Trimmed`.
        """
        start = self.head() if after is None else after
        core = self._target._core  # noqa: SLF001
        names = None if kinds is None else names_of(kinds, "kinds", core.limits)
        return follow(
            lambda place: self.stretch(place, kinds=names, id=id),
            start,
            core.engine,
        )

    def follower(self, name: str) -> Follower:
        """A follower that keeps its place in the journal with its effects.

        Raises `Refused` across owners: its place and its effects are one owner's.
        """
        refuse_across(self.all_owners)
        return Follower(name, self._target)


class Store:
    """An open store, pinned to one owner. Many threads may share it.

    Open one with `holdfast.open`; close it with `close`, or use it as a context
    manager. Every kind is an attribute: `sessions`, `tasks`, `leases`, `journal`, and
    those declared with `holdfast.kind`.
    """

    sessions: Sessions
    tasks: StoreTasks
    leases: Leases
    journal: StoreJournal

    def __init__(self, core: Core, terms: Terms) -> None:
        self._core = core
        self._terms = terms
        for name, kind in core.registry.kinds.items():
            setattr(self, name, face(_shown(kind), self))

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
        every_journal = _shown(self._core.every_journal)
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

    def call(self, name: str, args: Mapping[str, Any] | None = None) -> Any:
        """Carry out an operation by its name, from plain data.

        `store.call("sessions.append", {"id": …, "role": …, "content": …})`. Raises
        `Refused` (no such operation), `WrongType` (arguments that do not fit).
        """
        kind, operation, kwargs = self._core.named(name, args or {})
        return self.perform(kind, operation, (), kwargs)

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
        shown: type[K] = _shown(kind)
        return face(shown, self)

    def check(self) -> Report:
        """Look for damage: in a file, the journal, and the rows. Reads all of it."""
        return self._core.engine.check()

    def close(self) -> None:
        """Finish what was begun, and let go of file or server. Safe to call twice."""
        self._core.engine.close()

    def perform(
        self,
        kind: type[Kind],
        operation: Operation,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Carry out one operation; what every method of every kind comes down to."""
        unit = self._core.prepared(kind, operation, args, kwargs, self._terms)
        engine = self._core.engine
        return engine.read(unit) if operation.reads else engine.write(unit)

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<holdfast.Store {self.place!r} owner={self.owner!r}>"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a store has no kind {name!r}; declare it before opening")

    def _everyone(self) -> "Store":
        """The same store, for a look at all owners' rows."""
        return Store(self._core, everyone(self._terms))

    def _read(self, work: Callable[[Any], T], terms: Terms | None = None) -> T:
        self._core.refuse_inside("a read")
        return self._core.engine.read(self._core.unit(work, terms or self._terms))

    def _with(self, owner: str) -> Terms:
        terms = self._terms
        return Terms(owner=owner, actor=terms.actor, cause=terms.cause)

    def _list_of(self, name: str) -> Callable[..., Page[Any]]:
        def list_of(owner: str, **filters: object) -> Page[Any]:
            found: Page[Any] = getattr(self.owned_by(owner), name).list(**filters)
            return found

        return list_of


_shown_classes: dict[type[Kind], type[Any]] = {}


def _shown(kind: type[Kind]) -> type[Any]:
    """The class by which a store shows a kind: with what spans transactions."""
    if kind not in _shown_classes:
        _shown_classes[kind] = _make_shown(kind)
    return _shown_classes[kind]


def _make_shown(kind: type[Kind]) -> type[Any]:
    more: dict[type[Kind], type[Any]] = {Tasks: StoreTasks, Journal: StoreJournal}
    for plain, shown in more.items():
        if issubclass(kind, shown):
            return kind
        if issubclass(kind, plain):
            own = type(kind.__name__, (shown, kind), {"__doc__": kind.__doc__})
            return shown if kind is plain else own
    return kind
