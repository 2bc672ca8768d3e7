"""Transactions on a SQLite connection: named statements, run on one cursor.

Always holds: when a transaction is over, because its unit is or because SQLite ended it
(a full disk), nothing more is done through it: each statement would commit by itself.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import apsw

from holdfast.engine import Row, Tellings, Terms, Told, Transaction
from holdfast.engines.sqlite.binding import Bound
from holdfast.engines.sqlite.failures import translated
from holdfast.errors import Refused
from holdfast.limits import Limits

_ONE_NEW_ROW = 2
"""Rows that one journalled insert makes: its own, and its change."""


class SqliteTransaction(Transaction):
    """What a unit of work runs its statements through."""

    __slots__ = (
        "_changes",
        "_connection",
        "_ended",
        "_execute",
        "_execute_many",
        "_moment",
        "_numbers",
        "_over",
        "_statements",
        "left_untidy",
    )

    def __init__(
        self,
        connection: apsw.Connection,
        cursor: apsw.Cursor,
        statements: Mapping[str, Bound],
        terms: Terms,
        limits: Limits,
        now: int,
        chance: int,
        moment: int = 0,
        tellings: Tellings | None = None,
    ) -> None:
        self.terms = terms
        self.limits = limits
        self.now = now
        self._chance = chance
        self.tellings = [] if tellings is None else tellings
        self._moment = moment
        self._numbers = 0
        self._changes = connection.total_changes()
        self._connection = connection
        self._execute: Callable[..., apsw.Cursor] = cursor.execute
        self._execute_many: Callable[..., apsw.Cursor] = cursor.executemany
        self._statements = statements
        self.left_untidy = False
        self._ended = False
        self._over: BaseException | None = None

    def one(self, name: str, /, **values: object) -> Row | None:
        text, in_order = self._statements[name]
        try:
            row: Row | None = next(self._execute(text, in_order(values)), None)
        except apsw.Error as error:
            raise self._failed(error) from error
        return row

    def all(self, name: str, /, **values: object) -> list[Row]:
        text, in_order = self._statements[name]
        try:
            return self._execute(text, in_order(values)).fetchall()
        except apsw.Error as error:
            raise self._failed(error) from error

    def run(self, name: str, /, **values: object) -> int:
        text, in_order = self._statements[name]
        try:
            self._execute(text, in_order(values))
        except apsw.Error as error:
            raise self._failed(error) from error
        return self._connection.changes()

    def put(self, name: str, /, **values: object) -> None:
        text, in_order = self._statements[name]
        try:
            self._execute(text, in_order(values))
        except apsw.Error as error:
            raise self._failed(error) from error

    def put_each(self, name: str, values: Iterable[dict[str, Any]]) -> None:
        text, in_order = self._statements[name]
        try:
            self._execute_many(text, map(in_order, values))
        except apsw.Error as error:
            raise self._failed(error) from error

    def lock(self, kind: str, id: str) -> None:
        """Nothing needs to be done: transactions come one after another here."""

    def fields(self, name: str, /, **values: object) -> dict[str, Any] | None:
        text, in_order = self._statements[name]
        try:
            cursor = self._execute(text, in_order(values))
            for row in cursor:
                names = (column[0] for column in cursor.get_description())
                return dict(zip(names, row, strict=True))
        except apsw.Error as error:
            raise self._failed(error) from error
        return None

    def fields_of(
        self, name: str, values: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any] | None]:
        text, in_order = self._statements[name]
        found: list[dict[str, Any] | None] = []
        names: list[str] = []
        try:
            for given in values:
                cursor = self._execute(text, in_order(given))
                row: Row | None = next(cursor, None)
                if row is not None and not names:
                    names = [column[0] for column in cursor.get_description()]
                found.append(
                    None if row is None else dict(zip(names, row, strict=True))
                )
        except apsw.Error as error:
            raise self._failed(error) from error
        return found

    def ask(self, text: str, values: tuple[object, ...] = ()) -> list[Row]:
        """The rows of a statement of the engine's own."""
        return self._execute(text, values).fetchall()

    def knows(self, name: str) -> bool:
        return name in self._statements

    def new_no(self) -> int:
        self._numbers += 1
        if self._connection.total_changes() == self._changes:
            return self._moment + 1
        row = self.one("journal_last")
        assert row is not None
        return (row[0] or 0) + 1

    def last(self) -> int | None:
        """The newest change, if it was made in this transaction."""
        if self._over is not None:
            raise self._over
        changes = self._connection.total_changes() - self._changes
        if not changes:
            return None
        if changes == _ONE_NEW_ROW and self._numbers == 1:
            return self._moment + 1
        ((last,),) = self.all("journal_last")
        return last if last is not None and last > self._moment else None

    def end(self) -> None:
        """Do nothing more from here on: what was lent to a caller may still be held."""
        self._ended = True
        self._execute = self._execute_many = self._refuse

    def _failed(self, error: apsw.Error) -> BaseException:
        found = translated(error, self._connection.filename or ":memory:")
        if not self._connection.in_transaction:
            self._over = found
            self.end()
        return found

    def _refuse(self, *_: object) -> NoReturn:
        raise self._over or Refused("this transaction has ended: begin another")

    def untidy(self) -> None:
        self.left_untidy = True

    def tell(self, told: Told) -> None:
        if self._ended:  # its list is the next transaction's by now
            self._refuse()
        super().tell(told)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self._execute("savepoint part")
        told = len(self.tellings)
        try:
            yield
        except GeneratorExit:  # dropped: the end of the whole transaction undoes it
            raise
        except BaseException:
            del self.tellings[told:]
            self._undo_part()
            raise
        try:
            self._execute("release part")
        except Exception:
            del self.tellings[told:]
            self._undo_part()
            raise

    def _undo_part(self) -> None:
        self._numbers = 0  # what they stood for may be gone
        if self._connection.in_transaction:
            self._execute("rollback to part; release part")
