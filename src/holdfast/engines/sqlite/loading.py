"""Loading: filling a file with another store's rows, past the journal's triggers.

Answers for: transactions of many rows on a connection of their own; taking the
triggers off, and making them again.
Leaves to others: which rows, and in what order (`care`).
Always holds: a step is there as a whole or not at all, whatever ends the process.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import apsw

from holdfast.engine import Part, Row
from holdfast.engines.sqlite import schema
from holdfast.engines.sqlite.binding import Bound
from holdfast.engines.sqlite.failures import translated


class SqliteLoader:
    """Fills the store in a file."""

    def __init__(
        self,
        connection: apsw.Connection,
        parts: tuple[Part, ...],
        place: str,
        statements: Mapping[str, Bound],
    ) -> None:
        self._connection = connection
        self._parts = parts
        self._place = place
        self._statements = statements

    @contextmanager
    def step(self) -> Iterator[None]:
        """A transaction that all of the following is done in, or none of it."""
        try:
            self._connection.execute("begin immediate")
            try:
                yield
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise
        except apsw.Error as error:
            raise translated(error, self._place) from error

    def run(self, name: str, /, **values: object) -> int:
        """Run a named statement; how many rows it changed."""
        text, in_order = self._statements[name]
        self._connection.execute(text, in_order(values))
        return self._connection.changes()

    def all(self, name: str, /, **values: object) -> list[Row]:
        """Every row of a named statement."""
        text, in_order = self._statements[name]
        return self._connection.execute(text, in_order(values)).fetchall()

    def add(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Put rows into a table, but for those whose key or place is taken."""
        self._connection.executemany(
            f"insert into {table} ({', '.join(columns)}) "
            f"values ({', '.join('?' * len(columns))}) on conflict do nothing",
            rows,
        )

    def unguard(self) -> None:
        """Have nothing journalled any more, and nothing refused."""
        schema.unguard(self._connection, self._parts)

    def guard(self) -> None:
        """Have every change journalled again; numbers follow the journal by itself."""
        schema.guard(self._connection, self._parts)

    def close(self) -> None:
        """Let go of everything; a step that has not ended is undone."""
        self._connection.close()
