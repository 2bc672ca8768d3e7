"""Databases of other programs: files of SQLite's, and PostgreSQL servers.

Answers for: telling a database from other files, opening it to look at, which tables it
has, reading rows without having all of them in memory; what time one means.
Leaves to others: what is in it (the importers).
Always holds: a database is only read, never written; all that is read of a server is of
one moment; no message names a password.
"""

import itertools
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from holdfast.errors import BrokenFile, CannotOpen, HoldfastError, Unreachable
from holdfast.runtime.transfer.exporting import refuse_own_file

if TYPE_CHECKING:
    import os

    from holdfast.store import Store

Source: TypeAlias = "str | os.PathLike[str]"
"""The path of a file, or the URL of a PostgreSQL database."""
Tables: TypeAlias = dict[str, frozenset[str]]
"""The columns of each table."""
_BEGINS = b"SQLite format 3\x00"
_HEADER_BYTES, _READ_VERSION, _WITH_LOG = 20, 19, b"\x02"
_URL = re.compile(r"postgres(?:ql)?(?:\+\w+)?://")
_PARAMETER = re.compile(r"(?<!:):([a-z_]+)")
_ROWS_AT_ONCE = 100
_PATIENCE_SECONDS = 10
_NAME = "holdfast import"
"""What a server knows its reader by."""


class Unreadable(HoldfastError):
    """A part of a database that it does not give; the rest may still be read."""


class Database(Protocol):
    """A database of another program, to look at."""

    name: str
    tables: Tables

    def rows(self, sql: str, **values: object) -> Iterator[tuple[Any, ...]]:
        """The rows of a question, one by one.

        Raises `Unreadable`; `Unreachable` and `BrokenFile`, if a server has gone or
        refuses the question.
        """


def is_server(source: Source) -> bool:
    """Whether a source is on a PostgreSQL server, by whatever driver its URL has."""
    return _URL.match(str(source)) is not None


@contextmanager
def looked_at(
    store: "Store", source: Source, of: str, needs: Iterable[Iterable[str]]
) -> Iterator[Database]:
    """A database with one of some sets of tables, which make it one `of` something.

    Raises `CannotOpen`, and `BrokenFile` for anything else, also for the store itself.
    """
    if is_server(source):
        with _served(str(source)) as server:
            yield _having(server, of, needs)
        return
    path = Path(source)
    refuse_own_file(store, path, "imported")
    if not is_database(path):
        raise BrokenFile(f"{path}: no database of SQLite; nothing was imported")
    try:
        connection = opened(path)
    except sqlite3.Error as error:
        raise CannotOpen(f"{path}: {error}; nothing was imported") from error
    with closing(connection):
        yield _having(_File(path, connection), of, needs)


def time_of(value: object) -> datetime:
    """A time as a database gives it: text, seconds or a time; without a zone, UTC's.

    Raises `ValueError`.
    """
    if isinstance(value, (int, float)):
        try:
            return datetime.fromtimestamp(value, UTC)
        except (OverflowError, OSError):
            raise ValueError(f"{value!r} is past the years 1 to 9999") from None
    if not isinstance(value, (str, datetime)):
        raise ValueError("a time is no text")  # noqa: TRY004
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def is_database(path: Path) -> bool:
    """Whether a file is a database by its beginning. Raises `CannotOpen`."""
    try:
        with path.open("rb") as file:
            return file.read(len(_BEGINS)) == _BEGINS
    except OSError as error:
        raise CannotOpen(f"{path}: {error.strerror}; nothing was imported") from error


def opened(path: Path) -> sqlite3.Connection:
    """A database that is only looked at; one whose log is all in it, as it lies."""
    is_whole = _has_log(path) and not Path(f"{path}-wal").exists()
    still = "&immutable=1" if is_whole else ""
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{still}", uri=True)
    database.row_factory = sqlite3.Row
    return database


def _has_log(path: Path) -> bool:
    """Whether a database is written through a log, so that it is whole without one.

    Any other has a journal beside it if its last writer was interrupted, and is not
    whole unless that is rolled back.
    """
    with path.open("rb") as file:
        return file.read(_HEADER_BYTES)[_READ_VERSION:] == _WITH_LOG


def _having(
    database: "_File | _Server", of: str, needs: Iterable[Iterable[str]]
) -> Database:
    missing = [sorted({*need} - database.tables.keys()) for need in needs]
    if all(missing):
        raise BrokenFile(
            f"{database.name}: no {of} (it has no table {missing[0][0]}); nothing was "
            "imported"
        )
    return database


class _File:
    """A file. Text that is none comes with surrogates, which no store takes."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.name = path.name
        self._connection = connection
        connection.row_factory = None
        connection.text_factory = lambda text: text.decode(errors="surrogateescape")
        self.tables = _tables_of(path, self)

    def rows(self, sql: str, **values: object) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection.execute(sql, values)
        except sqlite3.Error as error:
            raise Unreadable(str(error)) from error


def _tables_of(path: Path, file: _File) -> Tables:
    try:
        return _grouped(
            file.rows(
                "select t.name, c.name from sqlite_master t, pragma_table_info(t.name)"
                " c where t.type = 'table' order by t.name"
            )
        )
    except Unreadable as error:
        reason = str(error)
        if Path(f"{path}-journal").exists():
            reason += " (a write was interrupted: let its own program open it first)"
        raise BrokenFile(f"{path}: {reason}; nothing was imported") from error


def _grouped(columns: Iterable[tuple[Any, ...]]) -> Tables:
    by_table = itertools.groupby(columns, lambda row: row[0])
    return {name: frozenset(column for _, column in of) for name, of in by_table}


class _Server:
    """A database on a server, at one moment."""

    def __init__(self, connection: Any, driver: Any) -> None:
        info = connection.info
        self.name = f"postgresql://{info.host}:{info.port}/{info.dbname}"
        self._connection = connection
        self._driver = driver
        self._count = itertools.count()
        self.tables = _grouped(
            self.rows(
                "select table_name::text, column_name::text"
                " from information_schema.columns"
                " where table_schema = any (current_schemas(false))"
                " order by 1"
            )
        )

    def rows(self, sql: str, **values: object) -> Iterator[tuple[Any, ...]]:
        text = _PARAMETER.sub(r"%(\1)s", sql)
        cursor = self._connection.cursor(name=f"rows_{next(self._count)}")
        cursor.itersize = _ROWS_AT_ONCE
        try:
            yield from cursor.execute(text, values)
        except self._driver.OperationalError as error:
            raise Unreachable(
                f"{self.name}: {error}; what was taken in before stays, and the same "
                "command goes on"
            ) from error
        except self._driver.Error as error:
            raise BrokenFile(
                f"{self.name}: {error}; what was taken in before stays"
            ) from error
        finally:
            with suppress(self._driver.Error):  # of a server that is gone
                cursor.close()


@contextmanager
def _served(url: str) -> Iterator[_Server]:
    try:
        import psycopg  # noqa: PLC0415  # an extra, which may not be installed
    except ImportError as error:
        raise CannotOpen(
            f"a database on PostgreSQL needs psycopg, which is not all there ({error}):"
            " pip install 'holdfast[postgres]'"
        ) from None
    try:
        connection = psycopg.connect(
            _URL.sub("postgresql://", url, count=1),
            connect_timeout=_PATIENCE_SECONDS,
            fallback_application_name=_NAME,
        )
    except psycopg.Error as error:
        raise CannotOpen(
            f"the server of the source: {error}; nothing was imported"
        ) from error
    with connection:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield _Server(connection, psycopg)
