"""Loading: filling a schema with another store's rows, past the journal's triggers.

Answers for: transactions of many rows on a connection of their own, by COPY; turning
the triggers off and on, and where the numbers of new rows go on.
Leaves to others: which rows, and in what order (`care`).
Always holds: a step is there as a whole or not at all, whatever ends the process.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import RawCursor

from holdfast.engine import Part, Row
from holdfast.engines.postgres import ddl
from holdfast.engines.postgres.failures import translated
from holdfast.engines.postgres.links import connect
from holdfast.engines.postgres.target import Target
from holdfast.engines.postgres.wire import Bound
from holdfast.schema.format import ELSEWHERE

_LOCK = "30s"
_JOURNAL = ("change", "receipt")
_NUMBERS = (("session", "line"), ("message", "session"), ("segment", "source"))
"""Columns with numbers that were given to no row, and are to be given to none."""


class PostgresLoader:
    """Fills the store in a schema."""

    def __init__(
        self, target: Target, parts: tuple[Part, ...], statements: Mapping[str, Bound]
    ) -> None:
        self._target = target
        self._tables = [t.name for p in parts for t in p.tables if t.journalled]
        self._statements = statements
        try:
            self._connection: psycopg.Connection[Any] = connect(target.conninfo)
        except psycopg.Error as error:
            raise translated(error, target.place) from error

    @contextmanager
    def step(self) -> Iterator[None]:
        """A transaction that all of the following is done in, or none of it.

        It is not waited for until it is on disk: if the server fails, the last ones are
        done again. One that takes the guard off, or puts it on, is waited for.
        """
        try:
            with self._connection.transaction():
                self._do(
                    f"set local search_path = {self._target.schema};"
                    f"set local lock_timeout = '{_LOCK}';"
                    "set local statement_timeout = 0;"
                    "set local synchronous_commit = off;"
                    "set local holdfast.every_owner = 'on'"
                )
                yield
        except psycopg.Error as error:
            raise translated(error, self._target.place) from error

    def run(self, name: str, /, **values: object) -> int:
        """Run a named statement; how many rows it changed."""
        what = self._statements[name]
        with RawCursor(self._connection) as cursor:
            cursor.execute(what.text, [values[name] for name in what.names])
            return cursor.rowcount

    def all(self, name: str, /, **values: object) -> list[Row]:
        """Every row of a named statement."""
        what = self._statements[name]
        with RawCursor(self._connection) as cursor:
            cursor.execute(what.text, [values[name] for name in what.names])
            return cursor.fetchall()

    def add(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Put rows into a table, but for those whose key or place is taken.

        That a place is taken is rare, and found out by COPY; then it is done by INSERT.
        """
        names = ", ".join(columns)
        with suppress(psycopg.errors.UniqueViolation), self._connection.transaction():
            self._copy(f"copy {table} ({names}) from stdin", rows)
            return
        places = ", ".join(["%s"] * len(columns))
        with self._connection.cursor() as cursor:
            cursor.executemany(
                f"insert into {table} ({names}) values ({places}) "
                "on conflict do nothing".encode(),
                rows,
            )

    def unguard(self) -> None:
        """Have nothing journalled any more, once nobody is writing."""
        making = ddl.locks_of(self._target.schema).making
        self._do(f"select pg_advisory_xact_lock({making})")
        for table in (*_JOURNAL, *self._tables):
            self._do(f"alter table {table} disable trigger user")
        self._do("delete from receipt")
        self._wall("no force")
        self._to_disk()

    def guard(self) -> None:
        """Have every change journalled again, and new rows numbered past these."""
        for table in (*_JOURNAL, *self._tables):
            self._do(f"alter table {table} enable trigger user")
        self._wall("force")
        newest = (
            "select max(no) as no from change where op = 'create' and no <> seq "
            "union all select max(no) from change where op <> 'create'"
        )
        for table, column in [*((table, "no") for table in self._tables), *_NUMBERS]:
            newest += f" union all select max({column}) from {table}"
        self._do(
            f"select setval('number', greatest({ELSEWHERE}, max(n.no) + 1), "
            f"false) from ({newest}) n"
        )
        for table in (*_JOURNAL, *self._tables, *(f"was_{t}" for t in self._tables)):
            self._do(f"analyze {table}")
        self._to_disk()

    def close(self) -> None:
        """Let go of everything; a step that has not ended is undone."""
        self._connection.close()

    def _to_disk(self) -> None:
        """Have this step's commit wait for the disk, as any other store's does."""
        wanted = self._target.synchronous_commit or "default"
        self._do(f"set local synchronous_commit to {wanted}")

    def _wall(self, force: str) -> None:
        """Let who owns the tables past row-level security, for COPY stops at it."""
        walled = self._connection.execute(
            "select c.relname from pg_catalog.pg_class c where c.relrowsecurity "
            "and c.relnamespace = pg_catalog.to_regnamespace(%s)",
            (self._target.schema,),
        )
        for (table,) in walled.fetchall():
            self._do(f"alter table {table} {force} row level security")

    def _copy(self, text: str, rows: Sequence[Row]) -> None:
        with self._connection.cursor() as cursor, cursor.copy(text.encode()) as into:
            for row in rows:
                into.write_row(row)

    def _do(self, text: str) -> None:
        self._connection.execute(text.encode())
