"""The core of a store: what its sync and its async face have in common.

Answers for: turning a call into a unit of work, on these terms, with these checks.
Leaves to others: how a caller waits for it (`store`, `astore`).
Always holds: arguments are checked before a unit starts; a unit that carries a lease
goes on only while that lease lives; a call from inside a transaction, or a function
that is watched, is refused.
"""

import contextvars
import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from holdfast import codec, edges, retention
from holdfast.contract import Kind, Operation, Registry
from holdfast.engine import Engine, Options, Terms, Transaction, Unit, Work
from holdfast.errors import Refused, WrongType
from holdfast.events.log import EventLog
from holdfast.events.observers import Observers
from holdfast.history import History
from holdfast.indexes import Derived
from holdfast.kinds.event_records import Kept
from holdfast.kinds.events import Events
from holdfast.kinds.leases import Lease, verify
from holdfast.moments import Looking, moment_of, standing_at, unwritten
from holdfast.reverting import Reverted, Reverting
from holdfast.targets import open_engine
from holdfast.transaction import OpenTransaction

T = TypeVar("T")
_TIDIED_AT_ONCE = 2_000
NEXT_OWNER = "\x01"
"""After an owner, the first place in their order that is behind it."""


class TableUsage(msgspec.Struct, frozen=True):
    """How many rows, and how many bytes of what callers put in."""

    rows: int
    bytes: int


class Usage(msgspec.Struct, frozen=True):
    """What one owner has in a store, by table."""

    owner: str
    tables: dict[str, TableUsage]

    @property
    def bytes(self) -> int:
        """Bytes of what callers put in, over all tables."""
        return sum(table.bytes for table in self.tables.values())


class Core:
    """An open engine, and the kinds that live on it."""

    def __init__(self, target: str, registry: Registry, options: Options) -> None:
        self.registry = registry
        self.limits = options.limits
        self.clock = options.clock
        self.read_only = options.read_only
        self.engine = open_engine(target, registry.parts(), options)
        self.events = EventLog(self.engine, options)
        self.observers = Observers(self.engine, self.events, options.clock)
        self.kept: dict[str, Any] = {}
        """What the runtime keeps for as long as the store is open."""
        self.every_journal = registry.every_journal
        kinds = {"kinds": registry.kinds}
        self.history: type[Kind] = type("History", (History,), kinds)
        self._reverting: type[Kind] = type("Reverting", (Reverting,), kinds)
        self.watching_threads: set[int] = set()
        """The threads that run a function that is watched."""
        self.engine.tidy = self._tidy
        ours = Terms(every_owner=True)
        if not options.read_only and self.engine.read(self.unit(_untidied, ours)):
            self.engine.post(self.unit(self._tidy, ours))

    def in_memory(self) -> "Core":
        """An empty store in memory, of the same kinds, with these limits and clock."""
        options = Options(
            durability="process-crash",
            read_only=False,
            migrate="auto",
            limits=self.limits,
            clock=self.clock,
        )
        return Core(":memory:", self.registry, options)

    def unit(self, work: Work[T], terms: Terms) -> Unit[T]:
        """A unit of work on these terms; its time and chance are fixed now."""
        return Unit(work, terms, self.clock)

    def prepared(
        self,
        kind: type[Kind],
        operation: Operation,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        terms: Terms,
    ) -> Unit[Any]:
        """The unit of one operation, its arguments checked."""
        if not operation.beside and (where := self._inside()):
            raise Refused(
                f"{kind.name}.{operation.name} was called on the store inside {where}; "
                f"nothing was written: use tx.{kind.name}.{operation.name}"
            )
        if terms.moment is not None:
            _refuse_in_the_past(kind, operation, terms.moment)
        work = as_of(self.work(kind, operation, args, kwargs), terms)
        if terms.fence is not None and not (operation.reads or operation.beside):
            work = fenced(work)
        return Unit(work, terms, self.clock)

    def reverting(
        self, terms: Terms, moment: object, kinds: object, ids: object
    ) -> Unit[Reverted]:
        """The unit that puts records back."""
        found = self._reverting.operations()["revert"]
        chosen = {"kinds": kinds, "ids": ids}
        unit = self.prepared(self._reverting, found, (moment,), chosen, terms)
        unit.foreign = True  # it may take its time
        unit.apart = True
        return unit

    def work(
        self,
        kind: type[Kind],
        operation: Operation,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Work[Any]:
        """What an operation does in a transaction, its arguments checked already."""
        checked, named = operation.prepare(args, kwargs, self.limits)
        run = operation.run
        if operation.beside:
            unwritten = self.events.unwritten()
            return lambda tx: run(_with(unwritten, kind(tx)), checked, named)
        return lambda tx: run(kind(tx), checked, named)

    def where(self, operation: Operation) -> Engine | EventLog:
        """Where an operation is carried out."""
        return self.events if operation.beside else self.engine

    def named(
        self, name: str, args: Mapping[str, Any]
    ) -> tuple[type[Kind], Operation, dict[str, Any]]:
        """The operation of a name, and its arguments, which must fit its signature."""
        kind, operation = self.registry.operation(name)
        try:
            operation.signature.bind(None, **args)
        except TypeError as error:
            raise WrongType(f"{name}: {error}") from None
        return kind, operation, dict(args)

    def running(
        self, function: Callable[..., T], args: tuple[Any, ...], once: str | None
    ) -> Work[T]:
        """What `run` does: a function of the open transaction, perhaps only once."""
        work = self._function_of_tx("run", function, args)
        if once is None:
            return fenced(work)
        return fenced(_once(work, edges.id_of(once, "once")))

    def reading(self, function: Callable[..., T], args: tuple[Any, ...]) -> Work[T]:
        """What `read` does: a function of a transaction that only reads."""
        work = self._function_of_tx("read", function, args)
        return lambda tx: work(tx if isinstance(tx, Looking) else Looking(tx))

    def watching(self, function: Callable[..., T], args: tuple[Any, ...]) -> Work[T]:
        """What `watch_query` does: as `read`, with calls on the store refused.

        A write would have it run again without end; what is read so, nobody would see.
        """
        read = self.reading(function, args)

        def work(tx: Transaction) -> T:
            thread = threading.get_ident()
            self.watching_threads.add(thread)
            try:
                return read(tx)
            finally:
                self.watching_threads.discard(thread)

        return work

    def _function_of_tx(
        self, name: str, function: Callable[..., T], args: tuple[Any, ...]
    ) -> Work[T]:
        if not callable(function):
            raise edges.wrong_type("function", "a function of tx", function)
        if inspect.iscoroutinefunction(function):
            raise Refused(
                f"{name} takes a plain function of tx, which the engine may run on its "
                "own thread and again after a conflict; await outside of it"
            )
        self.refuse_inside(name)
        registry = self.registry
        around = contextvars.copy_context()

        def work(tx: Transaction) -> T:
            return around.run(function, OpenTransaction(tx, registry), *args)

        return work

    def refuse_inside(self, what: str) -> None:
        """Raise `Refused` inside a transaction, or a function that is watched."""
        if where := self._inside():
            raise Refused(
                f"{what} was called on the store inside {where}; nothing was written: "
                "go on with tx"
            )

    def _inside(self) -> str | None:
        """Inside of what the caller is, where only tx may be used."""
        if self.watching_threads and threading.get_ident() in self.watching_threads:
            return "a function that is watched, which only reads, and through tx alone"
        if self.engine.inside():
            return "an open transaction, which it would wait for"
        return None

    def refuse_closed(self) -> None:
        """Raise `Closed` if the store was closed, or is a parent process's."""
        if (why := self.events.memory.why) is not None:
            raise why

    def terms(
        self,
        terms: Terms,
        actor: str | None = None,
        cause: str | None = None,
        lease: Lease | None = None,
    ) -> Terms:
        """These terms, with who and why said, and a lease carried.

        If nobody is named, who holds the lease is.
        """
        if terms.moment is not None:
            raise unwritten(terms.moment)
        if lease is not None and not isinstance(lease, Lease):
            raise edges.wrong_type("lease", "a Lease", lease)
        said = [
            None if value is None else edges.text_of(value, name, self.limits)
            for name, value in (("actor", actor), ("cause", cause))
        ]
        return Terms(
            owner=terms.owner,
            actor=said[0] or terms.actor or (lease.holder if lease else None),
            cause=said[1] or terms.cause,
            fence=terms.fence if lease is None else lease.token,
            provided=terms.provided,
        )

    def running_the_store(self, terms: Terms) -> Terms:
        """The terms of a call that is about everyone's past. Raises `Refused`."""
        self.refuse_inside("a call about the whole journal")
        if terms.moment is not None:
            raise unwritten(terms.moment)
        if terms.owner and not terms.every_owner:
            raise Refused(
                f"the journal is the store's, and not {terms.owner!r}'s alone; nothing "
                "was done: use store.across_owners().journal"
            )
        return msgspec.structs.replace(terms, owner="", every_owner=True, fence=None)

    def policy(
        self, max_age_seconds: object, max_changes: object, max_bytes: object
    ) -> Work[retention.Policy]:
        """What has the store keep so much of its past."""
        age, given = None, {"max_changes": max_changes, "max_bytes": max_bytes}
        if max_age_seconds is not None:
            age = edges.seconds_of(max_age_seconds, "max_age_seconds", self.limits)
        counts = {
            name: edges.count_of(value, name, self.limits)
            for name, value in given.items()
            if value is not None
        }
        policy = retention.Policy(max_age_seconds=age, **counts)
        return lambda tx: retention.keep(tx, policy)

    def trimming(self, before: object) -> Work[retention.Reach]:
        """What gives up the past before a moment, or what the policy says."""
        when = None
        if before is not None:
            when = edges.moment_of(before, "before", self.limits)
        return lambda tx: retention.trim(tx, self.journalled, when)

    def journal_stats(self, tx: Transaction) -> retention.JournalStats:
        """What the store's past costs."""
        return retention.stats(tx, self.journalled)

    def standing(self, terms: Terms, when: object) -> Work[Terms]:
        """What finds the terms of a look at a moment, or at a time."""
        asked = edges.moment_of(when, "moment", self.limits)

        def find(tx: Transaction) -> Terms:
            return msgspec.structs.replace(terms, moment=moment_of(tx, asked))

        return find

    def index(self, name: str) -> Derived:
        """A derived index, by its name. Raises `Refused`."""
        found = self.registry.indexes.get(edges.name_of(name, "index", self.limits))
        if found is None:
            known = ", ".join(sorted(self.registry.indexes))
            raise Refused(f"there is no index {name!r}; there are: {known}")
        return found

    def entering(self, tx: Transaction) -> None:
        """Let a body of code have the transaction, if the lease it carries lives."""
        verify(tx)

    @property
    def journalled(self) -> list[str]:
        """Every table whose rows have a past."""
        tables = [table for part in self.registry.parts() for table in part.tables]
        return [table.name for table in tables if table.journalled]

    def owners_in(self, tx: Transaction) -> list[str]:
        """Everyone who owns a record of any kind, in order."""
        found: set[str] = set()
        for name in self.registry.kinds:
            if tx.knows(f"{name}_owners"):
                after = ""
                while (row := tx.one(f"{name}_owners", after=after)) and (
                    row[0] is not None
                ):
                    found.add(row[0])
                    after = row[0] + NEXT_OWNER
        return sorted(found)

    def usage(self, tx: Transaction) -> Usage:
        """What the owner of these terms has."""
        tables = {
            table: TableUsage(*figures)
            for kind in self.registry.kinds.values()
            for table, figures in kind(tx).usage().items()
        }
        return Usage(tx.terms.owner, tables)

    def _tidy(self, tx: Transaction) -> None:
        """Delete a slice of what is out of sight, and of a past that is not kept.

        The engine calls it now and then, and again where more is left.
        """
        kinds = self.registry.kinds.values()
        if sum(kind(tx).tidy(_TIDIED_AT_ONCE) for kind in kinds):
            tx.untidy()
        retention.sweep(tx, self.journalled)


def _with(unwritten: Sequence[Kept], kind: Kind) -> Kind:
    """A kind of what is beside the state, with what is in memory of that."""
    if isinstance(kind, Events):
        kind.unwritten = unwritten
    return kind


def as_of(work: Work[T], terms: Terms) -> Work[T]:
    """Work that reads, done at the moment that its terms name, if they name one."""
    moment = terms.moment
    if moment is None:
        return work
    return lambda tx: work(standing_at(tx, moment))


def _refuse_in_the_past(kind: type[Kind], operation: Operation, moment: int) -> None:
    if not kind.has_a_past():
        raise Refused(
            f"{kind.name} has no past: what was at moment {moment} was not kept; look "
            "at the store as it is"
        )
    if not operation.reads:
        raise unwritten(moment)


def everyone(terms: Terms) -> Terms:
    """These terms, for a look at all owners' rows."""
    return msgspec.structs.replace(terms, every_owner=True)


def fenced(work: Work[T]) -> Work[T]:
    """Work that is done only while the lease that its terms carry lives."""

    def checked(tx: Transaction) -> T:
        verify(tx)
        return work(tx)

    return checked


def _once(work: Work[T], key: str) -> Work[T]:
    def once(tx: Transaction) -> T:
        tx.lock("once", key)
        row = tx.one("once_get", owner=tx.terms.owner, key=key)
        if row is not None:
            return codec.decode(row[0])  # type: ignore[no-any-return]
        text = edges.document_of(work(tx), "the result", tx.limits).text
        tx.put("once_put", owner=tx.terms.owner, key=key, result=text, now=tx.now)
        return codec.decode(text)  # type: ignore[no-any-return]

    return once


def _untidied(tx: Transaction) -> bool:
    return tx.one("leftover_any") is not None or retention.due(tx)
