"""Kinds: what a kind of state is, and how its operations are found.

Answers for: the class that every kind derives from, the marks `operation`, `query` and
`every_page`, and the registry that all faces are made from.
Leaves to others: what each kind means (`kinds/`), running a unit (engines).
Always holds: an operation is registered once, with its signature; its arguments are
checked before its unit starts; it never commits, waits or reads a clock by itself.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar, cast

from holdfast import edges
from holdfast.changes import records_of
from holdfast.engine import Part, Table, Transaction
from holdfast.errors import Held, NotFound, Refused
from holdfast.guarantees import Guarantee, Promise, Recovery, guarantee
from holdfast.indexes import Derived, bookkeeping, feeds, part_of
from holdfast.limits import Limits
from holdfast.page import Page
from holdfast.restoring import Plan, Restoring
from holdfast.schema.statements import shipped

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
K = TypeVar("K", bound="Kind")


class Operation:
    """A method of a kind, as the registry knows it."""

    __slots__ = (
        "_around",
        "_checks",
        "_id_at",
        "beside",
        "function",
        "name",
        "paged",
        "reads",
    )

    def __init__(
        self, function: Callable[..., Any], *, reads: bool, paged: bool = False
    ) -> None:
        self.function = function
        self.name = function.__name__
        self.reads = reads
        self.paged = paged
        self.beside = False
        """Whether it is about what is kept beside the state."""
        self._id_at = _place_of_id(function) if not reads else None
        self._around: tuple[tuple[str, Callable[[], object]], ...] = ()
        self._checks: tuple[tuple[Any, ...], dict[str, Any], set[str]] | None = None

    def prepare(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], limits: Limits
    ) -> tuple[list[Any], dict[str, Any]]:
        """Check arguments, each by its annotation; values come out encoded."""
        positional, named, optional = self._checks or self._find_checks()
        checked = []
        for (name, check), value in zip(positional, args, strict=False):
            checked.append(check(value, name, limits))
        if len(checked) < len(args):
            checked.extend(args[len(checked) :])  # the call itself will complain
        for name, value in kwargs.items():
            if value is None and name in optional:
                continue
            if name in named:
                kwargs[name] = named[name](value, name, limits)
        for name, around in self._around:
            if kwargs.get(name) is None:
                kwargs[name] = around()
        return checked, kwargs

    def _find_checks(self) -> tuple[tuple[Any, ...], dict[str, Any], set[str]]:
        hints = inspect.get_annotations(self.function, eval_str=True)
        hints.pop("return", None)
        named = {name: edges.check_for(hint) for name, hint in hints.items()}
        places = [
            parameter.name
            for parameter in list(self.signature.parameters.values())[1:]
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ]
        optional = {
            name
            for name, parameter in self.signature.parameters.items()
            if parameter.default is None
        }
        self._around = tuple(
            (name, around)
            for name, hint in hints.items()
            if (around := edges.around_for(hint)) is not None
        )
        self._checks = tuple((name, named[name]) for name in places), named, optional
        return self._checks

    def run(self, kind: "Kind", args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Carry it out, its arguments checked already.

        One that writes locks its record first: what it then reads stays so.
        """
        if self._id_at is not None:
            id = args[self._id_at] if len(args) > self._id_at else kwargs.get("id")
            if id is not None:
                kind.lock(id)
        return self.function(kind, *args, **kwargs)

    def refuse_within(self, kind: str) -> None:
        """Raise `Refused` if it cannot be part of a transaction."""
        if self.beside:
            raise Refused(
                f"{kind}.{self.name} is about what is kept beside the state, and no "
                f"part of a transaction: use store.{kind}.{self.name}"
            )

    @property
    def signature(self) -> inspect.Signature:
        """The method's signature, `self` included."""
        return inspect.signature(self.function)

    def __get__(self, kind: "Kind | None", owner: type["Kind"]) -> Any:
        if kind is None:
            return self
        return functools.partial(self._call_within, kind)

    def _call_within(self, kind: "Kind", /, *args: Any, **kwargs: Any) -> Any:
        self.refuse_within(kind.name)
        checked, named = self.prepare(args, kwargs, kind.tx.limits)
        if self.paged:
            return each(functools.partial(self.function, kind, *checked, **named))
        return self.run(kind, checked, named)


def _place_of_id(function: Callable[..., Any]) -> int | None:
    """Where among its arguments `id` stands; past all of them if it has to be named."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    for place, parameter in enumerate(parameters):
        if parameter.name == "id":
            named = parameter.kind is parameter.KEYWORD_ONLY
            return len(parameters) if named else place
    return None


def _guards(operation: Operation) -> bool:
    """Whether an operation itself lets a lease hold it off."""
    return "guard" in inspect.unwrap(operation.function).__code__.co_names


def operation(function: F) -> F:
    """Mark a method that writes."""
    return cast("F", Operation(function, reads=False))


def query(function: F) -> F:
    """Mark a method that only reads."""
    return cast("F", Operation(function, reads=True))


def beside(function: F) -> F:
    """Mark an operation as one about what is kept beside the state."""
    cast("Operation", function).beside = True
    return function


def every_page(
    function: Callable[Concatenate[K, P], Page[R]],
) -> Callable[Concatenate[K, P], Iterator[R]]:
    """Mark a method that gives a page for a `cursor`; callers get all, one by one."""
    marked = Operation(function, reads=True, paged=True)
    return cast("Callable[Concatenate[K, P], Iterator[R]]", marked)


def each(page_at: Callable[..., Page[R]]) -> Iterator[R]:
    cursor = None
    while True:
        page = page_at(cursor=cursor)
        yield from page
        cursor = page.cursor
        if cursor is None:
            return


class Kind:
    """One kind of state, within a transaction.

    `name` is what a store calls it, `promise` what it guarantees; `tables` are its
    tables of state, the first being the one whose rows have the ids that callers use.
    `why`, `changed_by` and the like are for the table of promises.
    """

    name: ClassVar[str]
    promise: ClassVar[Promise]
    why: ClassVar[str] = ""
    """What the promise is for, in one sentence without a stop."""
    changed_by: ClassVar[str] = ""
    """What changes it; by default its operations that write."""
    recovery: ClassVar[Recovery | None] = None
    """How it comes back after a crash; None for the usual way of its promise."""
    exported: ClassVar[bool] = False
    """Whether a store can write it to files of its own (`export_to`)."""
    leased: ClassVar[bool | None] = None
    """Whether another's lease holds writes off; None: if an operation calls `guard`."""
    tables: ClassVar[tuple[Table, ...]] = ()
    sql: ClassVar[str] = ""
    migrations: ClassVar[tuple[str, ...]] = ()
    keeps_the_past: ClassVar[bool] = False
    """Whether it can be read as of a moment, though no table of it is journalled."""
    bookkeeping: ClassVar[frozenset[str]] = frozenset()
    """Columns of a record that tell of its changes, and that no revert is for."""

    def __init__(self, tx: Transaction) -> None:
        self.tx = tx
        self.owner = tx.terms.owner

    @classmethod
    def operations(cls) -> dict[str, Operation]:
        """The operations of this kind, by name."""
        found = {
            name: member
            for ancestor in reversed(cls.__mro__)
            for name, member in vars(ancestor).items()
        }
        every = sorted(found.items())
        return {name: one for name, one in every if isinstance(one, Operation)}

    @classmethod
    def part(cls) -> Part:
        """What this kind brings into the schema."""
        sql = cls.sql or shipped(cls.name)
        return Part(cls.name, sql, cls.tables, cls.migrations, own=bool(cls.sql))

    @classmethod
    def guarantee(cls) -> Guarantee:
        """What this kind promises, in words."""
        said = (inspect.getdoc(cls) or "").partition("\n\n")[0]
        writing = [name for name, one in cls.operations().items() if not one.reads]
        leased = cls.leased
        if leased is None:
            leased = any(map(_guards, cls.operations().values()))
        return guarantee(
            cls.name,
            cls.promise,
            why=cls.why or " ".join(said.split()).rstrip("."),
            owner=cls.__module__,
            changed_by=cls.changed_by or ", ".join(writing),
            recovery=cls.recovery,
            journalled=any(table.journalled for table in cls.tables),
            in_the_past=cls.has_a_past(),
            exported=cls.exported,
            leased=leased,
        )

    @classmethod
    def has_a_past(cls) -> bool:
        """Whether it can be read as of a moment."""
        return cls.keeps_the_past or any(table.journalled for table in cls.tables)

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many rows the owner has in each table, and their bytes."""
        return {}

    def tidy(self, limit: int) -> bool:
        """Delete at most `limit` rows that are out of sight; whether some are left."""
        return False

    def put_back(self, id: str, past: "Kind") -> Plan | None:
        """What puts a record back as `past`, the kind at a moment, has it.

        None if nothing differs. Nothing is written before all that is needed was read.
        """
        return Restoring(self, past).plan(id)

    def lines(self, id: str) -> list[int]:
        """Numbers beside its own under which rows belong, or belonged, to a record."""
        return []

    def records(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """The records that rows belong to by these numbers, each its own row."""
        asked = [{"no": no} for no in numbers]
        found = self.tx.fields_of(f"{self.tables[0].name}_now", asked)
        return [row for row in found if row is not None]

    def revised(
        self, was: dict[str, Any], now: dict[str, Any] | None, past: "Kind"
    ) -> dict[str, Any]:
        """A record's own row as it is put back; `now` is None if it is made again."""
        return was

    def remade(self, table: str, row: dict[str, Any]) -> dict[str, Any]:
        """A row as it comes back under a new number."""
        return row

    def in_sight(self, table: str, row: dict[str, Any], record: dict[str, Any]) -> bool:
        """Whether a row that belongs to a record is one that callers see."""
        return True

    def place_in(
        self, table: str, row: dict[str, Any], record: dict[str, Any]
    ) -> int | None:
        """The number by which a record has what it shows in a row's place, if any."""
        return record["no"]  # type: ignore[no-any-return]

    def sharing(self, table: str, row: dict[str, Any]) -> dict[str, Any] | None:
        """A record that shows a row which is not its own."""
        return None

    def settled(self, row: dict[str, Any]) -> None:
        """Do what goes with a record's row that was put back."""

    def lock(self, id: str) -> None:
        """Keep other transactions from writing to a record until this one ends.

        Done before every operation that writes and has an `id`.
        """
        self.tx.lock(self.name, id)

    def guard(self, id: str) -> None:
        """Let a write to a record pass only if no other holder has a live lease on it.

        Raises `Held`.
        """
        row = self.tx.one("lease_get", kind=self.name, owner=self.owner, id=id)
        if row is not None and row[2] > self.tx.now:
            self._pass(id, fence=row[1])

    def _pass(self, id: str, *, fence: int | None) -> None:
        """Refuse unless the record is free (None) or this unit has that fence."""
        mine = self.tx.terms.fence
        if fence is None or (
            mine is not None
            and (mine.kind, mine.id, mine.number) == (self.name, id, fence)
        ):
            return
        raise Held(
            f"{self.name} {id!r} is leased to another holder; nothing was written: "
            "wait until the lease ends, or write through it (store.holding(lease))"
        )

    def shown(
        self, table: Table, rows: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any] | None]:
        """Rows of one of its tables as callers know them; None for one out of sight."""
        return records_of(self.tx, table, rows)

    def not_found(self, id: str) -> NotFound:
        """The error for an id that this kind does not have."""
        return NotFound(self.tables[0].name, id)


class Registry:
    """The kinds that a store has, by name, each with its operations."""

    def __init__(
        self,
        kinds: Mapping[str, type[Kind]],
        every_journal: type[Kind],
        indexes: Iterable[Derived] = (),
    ) -> None:
        self.kinds = dict(kinds)
        self.indexes = {index.name: index for index in indexes}
        self.every_journal = every_journal
        """The journal's kind, over all owners."""
        self.operations = {
            f"{name}.{operation_name}": (kind, found)
            for name, kind in kinds.items()
            for operation_name, found in kind.operations().items()
        }

    def operation(self, name: str) -> tuple[type[Kind], Operation]:
        """The kind and the operation behind a name such as `sessions.append`."""
        try:
            return self.operations[name]
        except (KeyError, TypeError):  # the second for a name that is no text
            raise Refused(
                f"there is no operation {name!r}; sorted(store.operations()) has all"
            ) from None

    def parts(self) -> tuple[Part, ...]:
        """What the kinds and the indexes bring into the schema, in order."""
        parts = [kind.part() for kind in self.kinds.values()]
        if self.indexes:
            parts.append(bookkeeping())
        made = (part_of(index, self.tables()) for index in self.indexes.values())
        return (*parts, *made)

    def tables(self) -> tuple[Table, ...]:
        """Every table of every kind."""
        return tuple(table for kind in self.kinds.values() for table in kind.tables)

    def fed(self, index: Derived) -> tuple[Table, ...]:
        """The tables that an index is made from."""
        return tuple(table for table in self.tables() if feeds(index, table))
