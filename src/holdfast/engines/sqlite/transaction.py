"""Transactions on a SQLite connection: named statements, run on one cursor."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import apsw

from holdfast.engine import Row, Terms, Transaction
from holdfast.limits import Limits


class SqliteTransaction(Transaction):
    """What a unit of work runs its statements through."""

    __slots__ = ("_connection", "_execute", "_texts", "left_untidy")

    def __init__(
        self,
        connection: apsw.Connection,
        cursor: apsw.Cursor,
        texts: Mapping[str, str],
        terms: Terms,
        limits: Limits,
        now: int,
        chance: int,
    ) -> None:
        super().__init__(terms, limits, now, chance)
        self._connection = connection
        self._execute = cursor.execute
        self._texts = texts
        self.left_untidy = False

    def one(self, name: str, /, **values: object) -> Row | None:
        row: Row | None = next(self._execute(self._texts[name], values), None)
        return row

    def all(self, name: str, /, **values: object) -> list[Row]:
        return self._execute(self._texts[name], values).fetchall()

    def run(self, name: str, /, **values: object) -> int:
        self._execute(self._texts[name], values)
        return self._connection.changes()

    def fields(self, name: str, /, **values: object) -> dict[str, Any] | None:
        cursor = self._execute(self._texts[name], values)
        for row in cursor:
            names = (column[0] for column in cursor.get_description())
            return dict(zip(names, row, strict=True))
        return None

    def ask(self, text: str, values: tuple[object, ...] = ()) -> list[Row]:
        """The rows of a statement of the engine's own."""
        return self._execute(text, values).fetchall()

    def knows(self, name: str) -> bool:
        return name in self._texts

    def new_no(self) -> int:
        row = self.one("journal_last")
        assert row is not None
        return (row[0] or 0) + 1

    def untidy(self) -> None:
        self.left_untidy = True

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self._execute("savepoint part")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                self._execute("rollback to part; release part")
            raise
        self._execute("release part")
