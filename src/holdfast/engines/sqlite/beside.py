"""Beside: a database in a file next to the store's, for what is no state.

Answers for: making that file when it is first written to, units that write to it one
after another, units that read, and waking who watches it.
Leaves to others: what is kept there (the parts that are marked `beside`).
Always holds: nothing that is done here waits for the state's writer, or keeps it
waiting; a file that is another program's, or a newer holdfast's, is left as it was; a
unit that the very thread asks for which runs one (in a signal's handler, a finalizer)
does not wait for itself.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import apsw

from holdfast.engine import Options, Part, Unit, answer
from holdfast.engines.sqlite.binding import bound
from holdfast.engines.sqlite.connection import connect, set_wal
from holdfast.engines.sqlite.failures import translated
from holdfast.engines.sqlite.place import Place
from holdfast.engines.sqlite.readers import Readers
from holdfast.engines.sqlite.transaction import SqliteTransaction
from holdfast.engines.sqlite.watcher import Watcher
from holdfast.errors import (
    Busy,
    CannotOpen,
    HoldfastError,
    NotAStore,
    Refused,
    TooNew,
)
from holdfast.schema.catalog import catalog
from holdfast.schema.statements import TABLES, parse
from holdfast.turn import Turn

T = TypeVar("T")
_APPLICATION_ID = 0x68666276  # "hfbv"
_MEMORY = ":memory:"


def beside_path(path: str) -> str:
    """Where what is kept beside the store at a path is: `agent.db-events`."""
    return f"{path}-events"


class BesideFile:
    """A database in a file (None: in memory), made when it is first written to."""

    def __init__(
        self,
        path: str | None,
        parts: tuple[Part, ...],
        options: Options,
        vfs: str | None,
    ) -> None:
        self._file = None if path is None else Place(path)
        self._parts = parts
        self._options = options
        self._vfs = vfs
        self._statements = {
            name: bound(statement) for name, statement in catalog(parts).items()
        }
        self._turn = Turn()
        self._connection: apsw.Connection | None = None
        self._was_there = False
        self._readers = Readers(
            self._connect_to_read, self.place, self._statements, options.limits
        )
        self._watcher = Watcher(self._connect_to_read)
        self._wakers: list[Callable[[], None]] = []
        self._why: BaseException | None = None

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return _MEMORY if self._file is None else str(self._file)

    @property
    def there(self) -> bool:
        """Whether it was made yet, with its tables."""
        if self._connection is None and not self._was_there:
            found = self._file is not None and self._file.holds_something()
            self._was_there = found and self._has_tables()
        return self._connection is not None or self._was_there

    def read(self, unit: Unit[T]) -> T:
        """Run a unit that only reads, on one snapshot."""
        if self._file is not None:
            return self._readers.read(unit)
        self._run(unit, wakes=False)
        return unit.outcome()

    def post_read(self, unit: Unit[Any]) -> None:
        """Have a unit run that only reads; its future is answered."""
        if self._file is None:
            self._post(unit, wakes=False)
        else:
            self._readers.post(unit)

    def write(self, unit: Unit[T]) -> T:
        """Run a unit to its commit, and give its result."""
        self._run(unit)
        return unit.outcome()

    def post(self, unit: Unit[Any]) -> None:
        """Have a unit run; its future is answered after the commit."""
        self._post(unit)

    def watch(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called after commits; returns how to stop."""
        if self._why is not None:
            raise self._why
        if self._file is not None:
            return self._watcher.watch(wake)
        self._wakers.append(wake)
        return lambda: self._wakers.remove(wake) if wake in self._wakers else None

    def inside(self) -> bool:
        """Whether the calling thread is amid a unit here, or waits to run one."""
        return self._turn.has(threading.get_ident())

    def close(self, why: BaseException) -> None:
        """Finish what was begun, and let go of everything."""
        self._readers.close(why)
        self._watcher.close()
        self._turn.held(lambda: self._let_go(why))
        for wake in list(self._wakers):
            wake()

    def _let_go(self, why: BaseException) -> None:
        self._why = why
        if self._connection is not None:
            with suppress(apsw.Error):  # it would still tidy up, on a full disk
                self._connection.close()
            self._connection = None

    def disown(self, why: BaseException) -> None:
        """In a process that was forked from the store's own: touch nothing."""
        self._why = why
        self._was_there = True  # whoever asks is told by a unit, and nothing is opened
        self._turn = Turn()  # the other may be with a thread that is not here
        self._readers.disown(why)

    def _post(self, unit: Unit[Any], *, wakes: bool = True) -> None:
        if self._why is not None:
            raise self._why
        thread = threading.Thread(
            target=self._run_and_answer, args=(unit, wakes), name="holdfast-beside"
        )
        thread.start()

    def _run_and_answer(self, unit: Unit[Any], wakes: bool) -> None:
        self._run(unit, wakes=wakes)
        answer([unit])

    def _run(self, unit: Unit[Any], *, wakes: bool = True) -> None:
        unit.result, unit.error = None, self._why
        if unit.error is None:
            try:
                self._turn.held(lambda: self._settle(unit))
            except Busy as error:
                unit.error = error
        if unit.error is not None:
            return
        if self._file is not None:
            self._watcher.nudge()
        elif wakes:  # who reads in memory would wake itself, and read again
            for wake in list(self._wakers):
                wake()

    def _settle(self, unit: Unit[Any]) -> None:
        try:
            unit.result = self._committed(unit)
        except BaseException as error:
            self._roll_back()
            unit.error = translated(error, self.place)

    def _committed(self, unit: Unit[T]) -> T:
        if self._why is not None:
            raise self._why
        connection = self._connection = self._connection or self._made()
        self._roll_back()  # what an interrupt left open, between two lines
        cursor = connection.cursor()
        cursor.execute("begin immediate")
        tx = SqliteTransaction(
            connection,
            cursor,
            self._statements,
            unit.terms,
            self._options.limits,
            unit.now,
            unit.chance,
        )
        try:
            result = unit.work(tx)
        finally:
            tx.end()
        if self._file is not None:
            self._file.hold()
        cursor.execute("commit")
        return result

    def _roll_back(self) -> None:
        with suppress(apsw.Error):
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("rollback")

    def _made(self) -> apsw.Connection:
        """The connection that writes, to a file with today's tables in it."""
        if self._options.read_only:
            raise Refused(
                f"{self.place} is open read-only; nothing was written: open the store "
                "without read_only=True"
            )
        if self._file is not None:
            self._file.prepare(create=True)
        connection = self._connect()
        try:
            self._bring_up(connection)
        except BaseException:
            connection.close()
            raise
        if self._file is not None:
            self._file.remember()
        return connection

    def _bring_up(self, connection: apsw.Connection) -> None:
        if self._version_in(connection) < self._version:
            self._make_tables(connection)
        if self._file is not None and connection.pragma("journal_mode") != "wal":
            set_wal(connection)

    def _make_tables(self, connection: apsw.Connection) -> None:
        """Make today's tables, or lead older ones there; the file is empty until then.

        Without the write-ahead log, which would have something in the file before.
        """
        connection.execute("begin immediate")
        found = self._version_in(connection)  # another process may have been first
        for part in self._parts:
            steps = part.migrations[found - 1 :] if found else (_tables(part),)
            for step in steps:
                connection.execute(step)
        connection.execute(
            f"pragma application_id = {_APPLICATION_ID};"
            f"pragma user_version = {self._version}; commit"
        )

    def _version_in(self, connection: apsw.Connection) -> int:
        """Which version of the tables is there; 0 for an empty file.

        Raises `NotAStore`, `TooNew`.
        """
        with connection:  # on one snapshot: another process may be making the tables
            ours = connection.pragma("application_id") == _APPLICATION_ID
            found = int(connection.pragma("user_version"))
            tables = connection.execute("select 1 from sqlite_schema").fetchall()
        if ours:
            if found > self._version:
                raise TooNew(
                    f"{self.place} has format {found}, which only a newer holdfast "
                    f"knows (this one: {self._version}); it was left as it was: "
                    "upgrade holdfast"
                )
            return found
        if tables:
            raise NotAStore(
                f"{self.place} is a database of another program, where this store "
                "would keep its events; it was left as it was: move it away"
            )
        return 0

    @property
    def _version(self) -> int:
        return 1 + max(len(part.migrations) for part in self._parts)

    def _connect(self, *, read_only: bool = False) -> apsw.Connection:
        path = _MEMORY if self._file is None else self._file.path
        if self._file is not None:
            self._file.hold()
        return connect(
            path,
            durability=self._options.durability,
            read_only=read_only,
            vfs=self._vfs,
        )

    def _has_tables(self) -> bool:
        """Whether the file has its tables: who makes it may be about to make these."""
        try:
            self._connect_to_read().close()
        except CannotOpen:
            return False
        except (HoldfastError, apsw.Error):  # whoever uses the file is told
            return True
        return True

    def _connect_to_read(self) -> apsw.Connection:
        assert self._file is not None
        nothing = CannotOpen(f"there is nothing in {self.place} yet")
        if not self._file.holds_something():
            raise nothing
        kept = not self._file.writable()
        connection = self._connect(read_only=self._options.read_only and kept)
        try:
            version = self._version_in(connection)
        except BaseException:
            connection.close()
            raise
        if version == 0:
            connection.close()
            raise nothing
        return connection


def _tables(part: Part) -> str:
    return parse(part.sql)[TABLES].text
