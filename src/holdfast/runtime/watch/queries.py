"""Queries: what is watched, what it gives, and what it read for that.

Answers for: an operation by its name, a function of `tx` or a record, as work that can
be done again and again; which of them are the same; whether two outcomes are the same.
Leaves to others: when a query is run (`feeding`, `rounds`), which changes concern it
(`touching`).
Always holds: an outcome says as of which change of the journal it is, and what its
receivers do with its value hides no later one.
"""

import copy
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias

import msgspec

from holdfast import edges
from holdfast.contract import Kind, Operation
from holdfast.core import Core
from holdfast.engine import Row, Terms, Transaction, Work
from holdfast.errors import NotFound, Refused, WrongType
from holdfast.journal import refuse_past
from holdfast.moments import Looking
from holdfast.page import Page
from holdfast.passing import PASSING

Read: TypeAlias = tuple[str, str]
"""An owner and a statement, or a table, of theirs that was read."""
Question: TypeAlias = tuple[str, dict[str, Any]]
Answers: TypeAlias = Mapping[Hashable, list[Row]]
_BY_ID = ("get", "find")
"""Operations that give a record, if its id is all that they need."""


class Reading(Looking):
    """A view of a transaction on an owner's terms, which notes what is read.

    What is `foreseen` was asked already, in the same snapshot, and is not asked again.
    """

    __slots__ = ("_foreseen", "asked", "seen")

    def __init__(self, tx: Transaction, terms: Terms, foreseen: Answers) -> None:
        super().__init__(tx)
        self.terms = terms
        self._foreseen = foreseen
        self.seen: set[Read] = set()
        self.asked: list[Question] = []
        """Questions whose answers are rows by their places."""

    def one(self, name: str, /, **values: object) -> Row | None:
        given = self._noted(name, values)
        rows = self._known(name, given)
        if rows is None:
            return self._tx.one(name, **given)
        return rows[0] if rows else None

    def all(self, name: str, /, **values: object) -> list[Row]:
        given = self._noted(name, values)
        rows = self._known(name, given)
        return self._tx.all(name, **given) if rows is None else rows

    def fields(self, name: str, /, **values: object) -> dict[str, Any] | None:
        return self._tx.fields(name, **self._noted(name, values))

    def each(self, name: str, values: Sequence[dict[str, Any]]) -> list[list[Row]]:
        return self._tx.each(name, [self._noted(name, given) for given in values])

    def fields_of(
        self, name: str, values: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any] | None]:
        return self._tx.fields_of(name, [self._noted(name, given) for given in values])

    def _known(self, name: str, given: dict[str, Any]) -> list[Row] | None:
        """The rows that are foreseen, if they are."""
        self.asked.append((name, given))
        return self._foreseen.get((name, *given.items())) if self._foreseen else None

    def _noted(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values, with whose rows are meant: this view's, if they do not say so."""
        given = {"owner": self.terms.owner, **values}
        self.seen.add((given["owner"], name))
        return given


class Standing(NamedTuple):
    """Numbers under which rows belong to a record, and what may be ids in it."""

    numbers: tuple[int, ...] = ()
    names: frozenset[str] = frozenset()


class Record:
    """A record that is watched: its kind, its id, and the operation that gives it."""

    def __init__(self, kind: type[Kind], id: str, operation: Operation) -> None:
        self.kind = kind
        self.id = id
        self._run = operation.run

    def read(self, tx: Transaction) -> tuple[Any, Standing]:
        """The record and how it stands; None if there is none."""
        kind = self.kind(tx)
        row = tx.one(f"{self.kind.name}_exists", id=self.id, owner=kind.owner)
        if row is None:
            return None, Standing()
        try:
            found = self._run(kind, [self.id], {})
        except NotFound:
            return None, Standing()
        numbers = (row[0], *kind.lines(self.id))
        return found, Standing(numbers, _names_in(found))


class Outcome(msgspec.Struct, frozen=True):
    """What a query gave, as of a change of the journal, and what it read for it."""

    head: int
    value: Any
    error: BaseException | None
    text: bytes | None
    """The value in bytes, by which it is compared; None if it has no such form."""
    seen: frozenset[Read]
    standing: Standing = Standing()
    """Of a record: how it stands."""
    asked: tuple[Question, ...] = ()
    """Of a record: what was asked for it, and is asked the next time, too."""
    numbers: frozenset[int] = frozenset()
    """Of what is no record: numbers that were asked for, those of rows among them."""
    raised_at: TracebackType | None = None
    """Where the error came from: each time that it is raised adds to its own."""

    @property
    def depends(self) -> tuple[object, ...]:
        """What decides by which changes it may become another."""
        return self.seen, self.standing, self.error is None

    def given(self) -> Any:
        """The value, or the error raised."""
        if self.error is not None:
            raise self.error.with_traceback(self.raised_at)
        return self.value

    def same(self, other: "Outcome | None") -> bool:
        """Whether it is what another is."""
        if other is None or self is other:
            return self is other
        if self.error is not None or other.error is not None:
            return repr(self.error) == repr(other.error)
        if type(self.value) is not type(other.value):
            return False
        if self.text is not None and other.text is not None:
            return self.text == other.text
        try:
            return bool(self.value == other.value)
        except Exception:  # what cannot be compared may be another
            return False


class Query(msgspec.Struct, frozen=True):
    """What is watched. Two with the same key give the same."""

    key: Hashable
    says: str
    """What it is called in a log."""
    terms: Terms
    work: Work[Any]
    record: Record | None = None

    def run(self, tx: Transaction, head: int, foreseen: Answers) -> Outcome:
        """Carry it out, in a transaction that sees the journal up to `head`.

        What it raises is its outcome, but for what is wrong with the store.
        """
        view = Reading(tx, self.terms, foreseen)
        standing = Standing()
        value: Any = None
        error: BaseException | None = None
        try:
            if self.record is None:
                value = self.work(view)
            else:
                value, standing = self.work(view)
        except PASSING:
            raise
        except (StopIteration, StopAsyncIteration) as raised:
            error = RuntimeError(f"{self.says} raised {type(raised).__name__}")
            error.__cause__ = raised  # as it is, it would end their iteration
        except BaseException as raised:  # whatever it is, it is for those who watch
            error = raised
        return Outcome(
            head,
            value,
            error,
            _in_bytes(value),
            frozenset(view.seen),
            standing,
            asked=tuple(view.asked) if self.record else (),
            numbers=frozenset() if self.record else _numbers_in(view.asked),
            raised_at=error.__traceback__ if error else None,
        )


def foresee(tx: Transaction, outcomes: Iterable[Outcome]) -> Answers:
    """The answers to what was asked for some records the last time, asked together.

    On a server it is one round trip for each statement, and not for each record.
    """
    questions: dict[str, list[dict[str, Any]]] = {}
    for outcome in outcomes:
        for name, values in outcome.asked:
            questions.setdefault(name, []).append(values)
    return {
        (name, *values.items()): rows
        for name, asked in questions.items()
        for values, rows in zip(asked, tx.each(name, asked), strict=True)
    }


def record_query(core: Core, terms: Terms, kind: object, id: object) -> Query:
    """The query of one record. Raises `Refused`, `WrongType`, `InvalidId`."""
    _refuse(core, terms, "watch")
    found = _kind_of(core, edges.name_of(kind, "kind", core.limits))
    operation = _by_id(found)
    (checked,), _ = operation.prepare((id,), {}, core.limits)
    record = Record(found, checked, operation)
    key = (terms.owner, terms.every_owner, "record", found.name, checked)
    return Query(key, f"{found.name} {checked!r}", terms, record.read, record)


def query(
    core: Core,
    terms: Terms,
    what: object,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Query:
    """The query of an operation's name, or of a function of `tx`.

    Raises `Refused`, `WrongType`, and what the operation says of its arguments.
    """
    _refuse(core, terms, "watch_query")
    args, kwargs = _copied(args), _copied(kwargs)
    if isinstance(what, str):
        if args:
            raise WrongType("the arguments of an operation are named")
        return _named(core, terms, what, kwargs)
    function: Callable[..., Any] = what  # type: ignore[assignment]  # it is looked at
    given = partial(function, **kwargs) if kwargs and callable(what) else function
    work = core.watching(given, args)
    whose = (terms.owner, terms.every_owner)
    key = (*whose, "function", _frozen(function), _frozen(args), _frozen(kwargs))
    return Query(key, _name(function), terms, work)


def _named(core: Core, terms: Terms, name: str, args: Mapping[str, Any]) -> Query:
    kind, operation, kwargs = core.named(name, args)
    if not operation.reads:
        raise Refused(f"{name} writes, and what is watched only reads")
    if operation.beside:
        raise Refused(f"{name}: what is kept beside the state is not watched")
    checked, named = operation.prepare((), kwargs, core.limits)
    bound = operation.signature.bind(None, *checked, **named)
    bound.apply_defaults()
    whose = (terms.owner, terms.every_owner)
    key = (*whose, name, _frozen(dict(list(bound.arguments.items())[1:])))
    return Query(
        key, name, terms, lambda tx: operation.run(kind(tx), checked, dict(named))
    )


def _refuse(core: Core, terms: Terms, what: str) -> None:
    core.refuse_inside(what)
    refuse_past(terms.moment)


def _kind_of(core: Core, name: str) -> type[Kind]:
    """A kind by its name, or by that of its records."""
    for kind in core.registry.kinds.values():
        root = kind.tables[0] if kind.tables else None
        if root and root.journalled and name in {kind.name, root.name}:
            return kind
    raise Refused(f"there is no kind {name!r} whose records can be watched")


def _by_id(kind: type[Kind]) -> Operation:
    for name in _BY_ID:
        found = kind.operations().get(name)
        if found is not None and found.reads and _takes_an_id(found):
            return found
    raise Refused(
        f"{kind.name} has no `get` that takes an id: use watch_query with a function"
    )


def _takes_an_id(operation: Operation) -> bool:
    first, *rest = list(operation.signature.parameters.values())[1:]
    needed = [one for one in rest if one.default is one.empty]
    return first.name == "id" and not needed


def _frozen(value: object) -> Hashable:
    """What stands for a value among others; only for itself, if it has no such form."""
    if isinstance(value, Mapping):
        return "mapping", frozenset((key, _frozen(one)) for key, one in value.items())
    if isinstance(value, list | tuple):
        return type(value), tuple(_frozen(one) for one in value)
    try:
        hash(value)
    except TypeError:
        return "the one at", id(value)  # which the query's work keeps
    return type(value), value


def _copied(value: Any) -> Any:
    """A value for a query to keep, whatever its caller goes on to do with theirs."""
    if type(value) in {list, tuple}:
        return type(value)(map(_copied, value))
    if type(value) is dict:
        return {key: _copied(one) for key, one in value.items()}
    return copy.copy(value) if isinstance(value, Mapping | list) else value


def _names_in(record: object) -> frozenset[str]:
    """Every text of a record's own: the ids of others are among them."""
    fields = getattr(record, "__struct_fields__", ())
    values = (getattr(record, name) for name in fields)
    return frozenset(value for value in values if type(value) is str)


def _numbers_in(asked: Iterable[Question]) -> frozenset[int]:
    return frozenset(
        value for _, values in asked for value in values.values() if type(value) is int
    )


def _name(function: object) -> str:
    return str(getattr(function, "__qualname__", function))


def _in_bytes(value: object) -> bytes | None:
    try:
        return msgspec.msgpack.encode(value, enc_hook=_plain, order="deterministic")
    except Exception:  # it is of a type of the caller's
        return None


def _plain(value: object) -> Iterable[Any]:
    if isinstance(value, Page):
        return tuple(value), value.cursor
    raise TypeError


def failed(error: BaseException, before: Outcome, head: int) -> Outcome:
    """The outcome of a query that could not be run at all."""
    return msgspec.structs.replace(
        before,
        head=max(head, before.head),
        value=None,
        error=error,
        text=None,
        raised_at=error.__traceback__,
    )
