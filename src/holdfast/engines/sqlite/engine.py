"""The SQLite engine: one file, many threads and processes, one writer at a time.

Answers for: opening, and putting together the writer, the readers and the watcher.
Leaves to others: what each of these does (the files beside this one).
Always holds: an engine that was closed, or that a parent process opened before a fork,
serves nobody; an exit without a close is an orderly close.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, TypeVar

import apsw

from holdfast.engine import Loan as LoanProtocol
from holdfast.engine import (
    Options,
    Part,
    Report,
    Terms,
    Transaction,
    Unit,
    Witness,
    Work,
)
from holdfast.engines import living
from holdfast.engines.checks import check
from holdfast.engines.loans import Loan
from holdfast.engines.rounds import Rounds
from holdfast.engines.sqlite.beside import BesideFile, beside_path
from holdfast.engines.sqlite.binding import bound
from holdfast.engines.sqlite.commit import LOOKS_EVERY, Committer
from holdfast.engines.sqlite.connection import connect
from holdfast.engines.sqlite.failures import translated
from holdfast.engines.sqlite.joining import joined
from holdfast.engines.sqlite.loading import SqliteLoader
from holdfast.engines.sqlite.opening import bring_up, is_ready
from holdfast.engines.sqlite.place import Place
from holdfast.engines.sqlite.readers import Readers
from holdfast.engines.sqlite.transaction import SqliteTransaction
from holdfast.engines.sqlite.watcher import Watcher
from holdfast.engines.sqlite.writer import Writer
from holdfast.errors import CannotOpen, Closed, Refused
from holdfast.schema.catalog import catalog
from holdfast.schema.past import Statements

T = TypeVar("T")
_MEMORY = ":memory:"
_FORKED = (
    "{} was open in the process that this one was forked from, and cannot be used or "
    "opened here: SQLite's locks do not pass to a child; open it after the fork and in "
    'the child alone, or start the child with the method "spawn"'
)


class SqliteEngine:
    """A store in a file, or in memory."""

    def __init__(self, path: str, parts: tuple[Part, ...], options: Options) -> None:
        path, self._vfs = _without_vfs(path)
        beside = tuple(part for part in parts if part.beside)
        self._options = options
        self._parts = parts
        self._witness: Witness | None = None
        self._file = None if path == _MEMORY else Place(path)
        self.place = path if self._file is None else str(self._file)
        state = tuple(part for part in parts if not part.beside)
        self._statements = Statements(catalog(state), state, bound)
        if self._file is not None and self._file.identity() in _inherited:
            raise CannotOpen(_FORKED.format(self.place))
        try:
            self._writer = self._open()
        except apsw.Error as error:
            raise translated(error, self.place) from error
        self._readers = Readers(
            self._connect_to_read,
            self.place,
            self._statements,
            options.limits,
        )
        self._watcher = Watcher(self._connect_to_read)
        self.beside = BesideFile(
            None if self._file is None else beside_path(path),
            beside,
            options,
            self._vfs,
        )
        self._wakers: list[Callable[[], None]] = []
        self.tidy: Work[None] | None = None
        self._rounds = Rounds()
        self._closing = threading.Lock()
        self._closed = False
        self._why: Closed | None = None
        living.opened(self)

    # What a store asks of it, in the order of the protocol.

    def write(self, unit: Unit[T]) -> T:
        """Run a unit to its commit, and give its result."""
        writer = self._writer or self._writing()
        return writer.write(unit)

    def post(self, unit: Unit[Any]) -> None:
        """Have a unit run; its future is answered after the commit."""
        self._writing().post(unit)

    def read(self, unit: Unit[T]) -> T:
        """Run a unit that only reads, on one snapshot."""
        if self._file is None:
            return self._writing().write(unit)
        return self._readers.read(unit)

    def post_read(self, unit: Unit[Any]) -> None:
        """Have a unit run that only reads; its future is answered."""
        if self._file is None:
            self._writing().post(unit)
        else:
            self._readers.post(unit)

    def borrow(
        self, terms: Terms, timeout_seconds: float
    ) -> AbstractContextManager[Transaction]:
        """A transaction for a body of code on the caller's own thread."""
        return self._writing().borrow(terms, timeout_seconds)

    async def lend(self, terms: Terms, timeout_seconds: float) -> LoanProtocol:
        """A transaction for a body of awaiting code."""
        writer = self._writing()
        loan = Loan(terms, self._options.clock, timeout_seconds, writer.turn)
        writer.lend(loan)
        return await loan.begun()

    @contextmanager
    def join(
        self, connection: object, terms: Terms, who: object
    ) -> Iterator[Transaction]:
        """A block of a transaction that a user has begun on a connection of theirs."""
        turn = self._writing().turn
        options = self._options
        with joined(
            connection,
            self._file,
            self._statements,
            terms,
            options.limits,
            options.clock,
        ) as tx:
            turn.overdue.add(who)
            try:
                yield tx
            finally:
                turn.overdue.discard(who)

    def inside(self) -> bool:
        """Whether the calling thread or task is inside a transaction of its own."""
        turn = None if self._writer is None else self._writer.turn
        if turn is None or (turn.inside is None and not turn.overdue):
            return False
        task = living.current_task()
        return turn.has(threading.get_ident()) or (task is not None and turn.has(task))

    def watch(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called after commits; returns how to stop."""
        if self._why is not None:
            raise self._why
        if self._file is not None:
            return self._watcher.watch(wake)
        self._wakers.append(wake)
        return lambda: self._wakers.remove(wake) if wake in self._wakers else None

    def check(self) -> Report:
        """Look for damage."""
        if self.inside():
            raise Refused(
                f"{self.place} cannot be checked from inside an open transaction, "
                "which it would wait for: check it when that has ended"
            )
        unit = Unit(self._check, Terms(), self._options.clock)
        return self.read(unit)

    def loader(self) -> SqliteLoader:
        """What fills this store with another's rows."""
        return SqliteLoader(self._connect(), self._parts, self.place, self._statements)

    def close(self) -> None:
        """Finish what was begun, and let go of everything."""
        if self.inside() or self.beside.inside():
            raise Refused(
                f"{self.place} cannot be closed from inside an open transaction, which "
                "it would wait for: close it when that has ended"
            )
        with self._closing:
            if self._closed:
                return
            self._closed = True
        try:
            if self._witness is not None:
                self._witness.closing()
        finally:
            self._let_go(Closed(f"{self.place} was closed: open it again"))

    def _let_go(self, why: Closed) -> None:
        self._why = why
        living.closed(self)
        if self._writer is not None:
            self._writer.close(why)
        self._readers.close(why)
        self._watcher.close()
        try:
            if self._witness is not None:
                self._witness.closed(why)
        finally:
            self.beside.close(why)
            if self._writer is not None:
                self._committer.close()
            for wake in list(self._wakers):
                wake()

    def disown(self) -> None:
        """In a process that was forked from the store's own: serve nobody."""
        self._why = why = Closed(_FORKED.format(self.place))
        self._closed = True
        if self._file is not None and (identity := self._file.identity()) is not None:
            _inherited.add(identity)
        if self._writer is not None:
            self._writer.disown(why)
        self._readers.disown(why)
        self.beside.disown(why)
        if self._witness is not None:
            self._witness.disowned(why)

    @property
    def witness(self) -> Witness | None:
        """Who is told of commits, failures and the end."""
        return self._witness

    @witness.setter
    def witness(self, witness: Witness | None) -> None:
        self._witness = witness
        if self._writer is not None:
            self._committer.witness = witness

    # How it is put together.

    def _connect(self, *, read_only: bool = False) -> apsw.Connection:
        path = _MEMORY
        if self._file is not None:
            self._file.hold()  # another file here would get this one's log
            path = self._file.path
        return connect(
            path,
            durability=self._options.durability,
            read_only=read_only,
            vfs=self._vfs,
        )

    def _connect_to_read(self) -> apsw.Connection:
        """A connection that will only read.

        It may write, where it is allowed to: so that the last one to close takes the
        log away with it, and a look at a store leaves nothing beside the file.
        """
        kept = self._file is not None and not self._file.writable()
        return self._connect(read_only=self._options.read_only and kept)

    def _open(self) -> Writer | None:
        ready = self._file is not None and is_ready(
            self._file, self._parts, self._options, self._connect
        )
        if self._file is not None and self._options.read_only:
            self._file.remember()
            self._connect_to_read().close()  # with the log that looking made
            return None
        committer = Committer(
            self._connect, self._file, self._statements, self._options.limits
        )
        if not ready:
            try:
                bring_up(committer.connection, self._parts, self._options.clock)
            except BaseException:
                committer.close()
                raise
        committer.take_cursor()
        if self._file is not None:
            self._file.remember()
        self._committer = committer
        return Writer(committer, self._options.clock, self._after_group)

    def _after_group(self) -> None:
        """What follows once callers were answered, while the turn is still ours."""
        committer = self._committer
        if self._rounds.due(untidy=committer.untidy) and self.tidy is not None:
            committer.untidy = False
            work = self._rounds.one(self.tidy)
            with suppress(Closed):  # the next who opens it goes on with that
                self.post(Unit(work, Terms(), self._options.clock))
        if committer.commits >= LOOKS_EVERY:
            committer.keep_small()
        if self._file is not None:
            self._watcher.nudge()
        elif committer.changed():  # reads come this way, too
            for wake in list(self._wakers):
                wake()

    def _writing(self) -> Writer:
        if self._writer is None:
            raise Refused(
                f"{self.place} is open read-only; nothing was written: open it without "
                "read_only=True"
            )
        return self._writer

    def _check(self, tx: Transaction) -> Report:
        assert isinstance(tx, SqliteTransaction)
        problems = [
            *(said for (said,) in tx.ask("pragma integrity_check") if said != "ok"),
            *(f"foreign key: {row}" for row in tx.ask("pragma foreign_key_check")),
        ]
        return check(tx.ask, self._parts, problems)


def _without_vfs(path: str) -> tuple[str, str | None]:
    """A path, and the VFS of SQLite's that `?vfs=` after it names, if any."""
    found, mark, vfs = path.rpartition("?vfs=")
    return (found, vfs) if mark else (path, None)


_inherited: set[tuple[int, int]] = set()
"""The parent's files: SQLite takes the parent's locks on them for its own here."""
