"""Transactions on a PostgreSQL connection: named statements, sent as one pipeline.

Answers for: which statements are waited for and which are not, locks on records, the
numbers of new rows.
Leaves to others: beginning and ending it (commit), the journal (triggers, `ddl`).
Always holds: when a transaction is over, nothing more is done through it.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import msgspec
import psycopg

from holdfast.engine import Row, Tellings, Terms, Told, Transaction
from holdfast.engines.postgres.ddl import NUMBERS_AT_ONCE
from holdfast.engines.postgres.failures import translated
from holdfast.engines.postgres.wire import Bound, Lost, Values, Wire, plain
from holdfast.errors import Refused
from holdfast.limits import Limits

_LOCK = plain("select pg_advisory_xact_lock($1)")
_NUMBERS = plain("select nextval('number')")
_PART = plain("savepoint part")
_PART_KEPT = plain("release savepoint part")
_PART_UNDONE = plain("rollback to savepoint part")


class Numbers:
    """Numbers for new rows, fetched from the store's sequence some at a time."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._next = self._end = 0

    def next(self, fetch: Callable[[], int]) -> int:
        """One that nobody else gets, in any process."""
        with self._mutex:
            if self._next < self._end:
                self._next += 1
                return self._next - 1
        first = fetch()  # which may have to wait; others need not wait with it
        with self._mutex:
            self._next, self._end = first + 1, first + NUMBERS_AT_ONCE
        return first

    def forget(self) -> None:
        """Use none of those at hand: a connection was lost, perhaps with its server.

        A server that was not stopped in order may give numbers again that it gave to
        transactions which it does not remember.
        """
        with self._mutex:
            self._next = self._end = 0


class Shared(msgspec.Struct, frozen=True):
    """What all transactions of an open store have in common."""

    place: str
    store_id: str
    statements: Mapping[str, Bound]
    limits: Limits
    numbers: Numbers

    def key(self, kind: str, owner: str, id: str) -> int:
        """The advisory lock of a record: 64 bits, which two records seldom share."""
        text = f"{self.store_id}\0{kind}\0{owner}\0{id}".encode()
        digest = hashlib.blake2b(text, digest_size=8).digest()
        return int.from_bytes(digest, "big", signed=True)


def in_order(what: Bound, values: dict[str, Any], owner: str) -> Values:
    """Values in a statement's order; the owner stands in where it names one.

    Tables may be divided by owner, and one part is enough to look at.
    """
    if "owner" in what.names and "owner" not in values:
        values["owner"] = owner
    return what.in_order(values)


class Foreseen(msgspec.Struct):
    """What a unit locks, what it asks first, and the answer once there is one."""

    keys: set[int]
    question: tuple[Bound, Values]
    rows: list[Row] | None = None


class PostgresTransaction(Transaction):
    """What a unit of work runs its statements through.

    `held` are the locks that the open transaction has, also those of other units.
    """

    __slots__ = (
        "_held",
        "_over",
        "_shared",
        "_wire",
        "foreseen",
        "left_untidy",
        "locked",
        "reads",
        "wrote",
    )

    def __init__(
        self,
        wire: Wire,
        shared: Shared,
        terms: Terms,
        now: int,
        chance: int,
        held: set[int],
        *,
        reads: bool = False,
        tellings: Tellings | None = None,
    ) -> None:
        self.terms = terms
        self.limits = shared.limits
        self.now = now
        self._chance = chance
        self.tellings = [] if tellings is None else tellings
        self._wire = wire
        self._shared = shared
        self._over: BaseException | None = None
        self.reads = reads
        self.wrote = False
        """Whether anything was sent that may have changed a row."""
        self.left_untidy = False
        self._held = held
        self.locked: set[int] = set()
        """The locks that this unit asked for."""
        self.foreseen: Foreseen | None = None
        """The answer to its first question, if that was asked already."""

    def one(self, name: str, /, **values: object) -> Row | None:
        rows = self.all(name, **values)
        return rows[0] if rows else None

    def all(self, name: str, /, **values: object) -> list[Row]:
        what = self._shared.statements[name]
        asked = in_order(what, values, self.terms.owner)
        if self.foreseen is not None:
            foreseen, self.foreseen = self.foreseen, None
            if foreseen.rows is not None and (what, asked) == foreseen.question:
                return foreseen.rows
        return self._wire.rows(self._ask(what, asked))

    def run(self, name: str, /, **values: object) -> int:
        what = self._shared.statements[name]
        self.wrote = True
        return (
            self._ask(what, in_order(what, values, self.terms.owner)).command_tuples
            or 0
        )

    def put(self, name: str, /, **values: object) -> None:
        what = self._shared.statements[name]
        self.wrote = True
        self._send(what, in_order(what, values, self.terms.owner))

    def lock(self, kind: str, id: str) -> None:
        if self.reads:
            return
        key = self._shared.key(kind, self.terms.owner, id)
        self.locked.add(key)
        if key not in self._held:
            self._send(_LOCK, [b"%d" % key])
            self._held.add(key)

    def fields(self, name: str, /, **values: object) -> dict[str, Any] | None:
        return self.fields_of(name, [values])[0]

    def each(self, name: str, values: Sequence[dict[str, Any]]) -> list[list[Row]]:
        return [self._wire.rows(result) for result in self._results(name, values)]

    def fields_of(
        self, name: str, values: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any] | None]:
        found: list[dict[str, Any] | None] = []
        names: list[str] = []
        for result in self._results(name, values):
            if not names:
                columns = range(result.nfields)
                names = [(result.fname(i) or b"").decode() for i in columns]
            rows = self._wire.rows(result)
            found.append(dict(zip(names, rows[0], strict=True)) if rows else None)
        return found

    def _results(self, name: str, values: Sequence[dict[str, Any]]) -> list[Any]:
        """The results of a statement for each set of values, all sent at once."""
        if not values:
            return []
        what = self._shared.statements[name]
        for given in values:
            self._send(what, in_order(what, given, self.terms.owner))
        try:
            return self._wire.settle()[-len(values) :]
        except (psycopg.Error, Lost) as error:
            self._fail(error)

    def ask(self, text: str) -> list[Row]:
        """The rows of a statement of the engine's own."""
        return self._wire.rows(self._ask(plain(text), ()))

    def knows(self, name: str) -> bool:
        return name in self._shared.statements

    def new_no(self) -> int:
        return self._shared.numbers.next(
            lambda: int(self._wire.rows(self._ask(_NUMBERS, ()))[0][0])
        )

    def settle(self) -> None:
        """Wait for what was sent; a failure is raised here at the latest."""
        try:
            self._wire.settle()
        except (psycopg.Error, Lost) as error:
            self._fail(error)

    def end(self) -> None:
        """Do nothing more from here on: what was lent to a caller may still be held."""
        self._over = self._over or Refused("this transaction has ended: begin another")

    def untidy(self) -> None:
        self.left_untidy = True

    def tell(self, told: Told) -> None:
        if self._over is not None:  # its list is the next transaction's by now
            raise self._over
        super().tell(told)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self._send(_PART, ())
        told = len(self.tellings)
        try:
            yield
            self.settle()
        except GeneratorExit:  # dropped: the end of the whole transaction undoes it
            raise
        except BaseException:
            del self.tellings[told:]
            self._undo_part()
            raise
        self._send(_PART_KEPT, ())

    def _undo_part(self) -> None:
        if self._wire.lost:
            return
        self._over = None
        self._held.clear()  # those since the savepoint are free again
        self._wire.recover()
        self._send(_PART_UNDONE, ())
        self._send(_PART_KEPT, ())

    def _ask(self, what: Bound, values: Any) -> Any:
        if self._over is not None:
            raise self._over
        try:
            return self._wire.ask(what, values)
        except (psycopg.Error, Lost) as error:
            self._fail(error)

    def _send(self, what: Bound, values: Any) -> None:
        if self._over is not None:
            raise self._over
        try:
            self._wire.send(what, values)
        except Lost as error:
            self._fail(error)

    def _fail(self, error: psycopg.Error | Lost) -> NoReturn:
        """After a statement failed, PostgreSQL does no other in the same transaction.

        What a user catches is holdfast's error; the engine finds what is behind it.
        """
        self._over = translated(error, self._shared.place)
        raise self._over from error
