"""The core of a store: what its sync and its async face have in common.

Answers for: turning a call into a unit of work, on these terms, with these checks.
Leaves to others: how a caller waits for it (`store`, `astore`).
Always holds: arguments are checked before a unit starts; a unit that carries a lease
goes on only while that lease lives; a call from inside a transaction is refused.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from holdfast import codec, edges
from holdfast.contract import Kind, Operation, Registry
from holdfast.engine import Options, Terms, Transaction, Unit, Work
from holdfast.errors import Refused, WrongType
from holdfast.kinds.leases import Lease, verify
from holdfast.targets import open_engine
from holdfast.transaction import OpenTransaction

T = TypeVar("T")
_TIDIED_AT_ONCE = 2_000
_NEXT_OWNER = "\x01"


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
        self.engine = open_engine(target, registry.parts(), options)
        self.every_journal = registry.every_journal
        self.engine.tidy = self._tidy
        ours = Terms(every_owner=True)
        if not options.read_only and self.engine.read(self.unit(_leftover, ours)):
            self.engine.post(self.unit(self._tidy, ours))

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
        if self.engine.inside():
            raise Refused(
                f"{kind.name}.{operation.name} was called on the store inside an open "
                f"transaction, which it would wait for; nothing was written: use "
                f"tx.{kind.name}.{operation.name}"
            )
        work = self.work(kind, operation, args, kwargs)
        if terms.fence is not None and not operation.reads:
            work = fenced(work)
        return Unit(work, terms, self.clock)

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
        return lambda tx: run(kind(tx), checked, named)

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
        if not callable(function):
            raise edges.wrong_type("function", "a function of tx", function)
        if inspect.iscoroutinefunction(function):
            raise Refused(
                "run takes a plain function of tx, which the engine may run on its own "
                "thread and again after a conflict; await outside of it"
            )
        self.refuse_inside("run")
        registry = self.registry

        def work(tx: Transaction) -> T:
            return function(OpenTransaction(tx, registry), *args)

        if once is None:
            return fenced(work)
        return fenced(_once(work, edges.id_of(once, "once")))

    def refuse_inside(self, what: str) -> None:
        """Raise `Refused` if the caller is inside a transaction already."""
        if self.engine.inside():
            raise Refused(
                f"{what} was called on the store inside an open transaction, which it "
                "would wait for; nothing was written: go on with tx"
            )

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
        )

    def entering(self, tx: Transaction) -> None:
        """Let a body of code have the transaction, if the lease it carries lives."""
        verify(tx)

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
                    after = row[0] + _NEXT_OWNER
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
        """Delete a slice of what is out of sight; the engine calls again for more."""
        kinds = self.registry.kinds.values()
        if sum(kind(tx).tidy(_TIDIED_AT_ONCE) for kind in kinds):
            tx.untidy()


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


def _leftover(tx: Transaction) -> bool:
    return tx.one("leftover_any") is not None
