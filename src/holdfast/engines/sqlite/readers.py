"""Readers: connections that read, and never wait for a writer.

Answers for: a snapshot for each unit that reads, on the caller's thread or on one of
the readers' own.
Leaves to others: what is read (kinds).
Always holds: a unit sees every write that was acknowledged before it began, and none
that came after.
"""

import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import apsw

from holdfast.engine import Unit, answer
from holdfast.engines.sqlite.binding import Bound
from holdfast.engines.sqlite.failures import translated
from holdfast.engines.sqlite.transaction import SqliteTransaction
from holdfast.limits import Limits

T = TypeVar("T")
_THREADS = 2
_IDLE_CONNECTIONS = 8
_ANSWERED_AT_ONCE = 64


class Readers:
    """A stack of idle connections, and the threads that read for awaiting callers."""

    def __init__(
        self,
        connect: Callable[[], apsw.Connection],
        name: str,
        statements: Mapping[str, Bound],
        limits: Limits,
    ) -> None:
        self._connect = connect
        self._name = name
        self._statements = statements
        self._limits = limits
        self._idle: list[tuple[apsw.Connection, apsw.Cursor]] = []
        self._queue: queue.SimpleQueue[Unit[Any] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._entering = threading.Lock()
        self._closed: BaseException | None = None

    def read(self, unit: Unit[T]) -> T:
        """Run a unit on this thread."""
        self._run(unit)
        return unit.outcome()

    def post(self, unit: Unit[Any]) -> None:
        """Have a unit run on a reader's thread."""
        if self._closed is not None:
            raise self._closed
        with self._entering:  # nobody comes in behind the end that `close` puts
            if self._closed is not None:
                raise self._closed
            if len(self._threads) < _THREADS:
                self._start()
            self._queue.put(unit)

    def close(self, why: BaseException) -> None:
        """Serve who waits already, then nobody any more."""
        with self._entering:
            self._closed = why
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._let_go()

    def disown(self, why: BaseException) -> None:
        """Serve nobody any more, and touch nothing: all is another process's."""
        self._closed = why
        self._threads.clear()

    def _start(self) -> None:
        thread = threading.Thread(
            target=self._serve, name="holdfast-reader", daemon=True
        )
        thread.start()
        self._threads.append(thread)

    def _serve(self) -> None:
        while (unit := self._queue.get()) is not None:
            done = [unit]
            self._run(unit)
            while len(done) < _ANSWERED_AT_ONCE and not self._queue.empty():
                try:
                    another = self._queue.get_nowait()
                except queue.Empty:
                    break
                if another is None:
                    self._queue.put(None)
                    break
                self._run(another)
                done.append(another)
            answer(done)

    def _run(self, unit: Unit[Any]) -> None:
        try:
            connection, cursor = self._take()
        except BaseException as error:
            unit.error = translated(error, self._name)
            return
        try:
            cursor.execute("begin")
            tx = SqliteTransaction(
                connection,
                cursor,
                self._statements,
                unit.terms,
                self._limits,
                unit.now,
                unit.chance,
            )
            try:
                unit.result = unit.work(tx)
            finally:
                tx.end()
        except BaseException as error:
            unit.error = translated(error, self._name)
        finally:
            self._give_back(connection, cursor)

    def _take(self) -> tuple[apsw.Connection, apsw.Cursor]:
        if self._closed is not None:
            raise self._closed
        try:
            return self._idle.pop()
        except IndexError:
            connection = self._connect()
            connection.execute("pragma query_only = on")
            return connection, connection.cursor()

    def _give_back(self, connection: apsw.Connection, cursor: apsw.Cursor) -> None:
        try:
            if connection.in_transaction:
                cursor.execute("rollback")
        except apsw.Error:
            connection.close()
            return
        if len(self._idle) >= _IDLE_CONNECTIONS:
            connection.close()
        else:
            self._idle.append((connection, cursor))
        if self._closed is not None:
            self._let_go()

    def _let_go(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop()[0].close()
