"""Joining: a kind's calls inside a transaction that a user has begun.

Answers for: statements on a connection that is not ours, between a user's own; whether
it is one that can be joined.
Leaves to others: the user's commit, at which the journal is written (triggers).
Always holds: the connection is left as it was found, its `search_path` too; what is
done in a block that raises is undone, and the transaction goes on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import pq

from holdfast.clock import Clock, token
from holdfast.engine import Terms, Unheard
from holdfast.engines.postgres.failures import translated
from holdfast.engines.postgres.target import Target
from holdfast.engines.postgres.transaction import PostgresTransaction, Shared
from holdfast.engines.postgres.wire import Bound, Lost, Values, Wire, plain
from holdfast.errors import Refused
from holdfast.schema import format as formats

_BEGIN = plain("begin")
_BLOCK = plain("savepoint holdfast")
_BLOCK_KEPT = plain("release savepoint holdfast")
_BLOCK_UNDONE = plain("rollback to savepoint holdfast")
_ABOUT = plain(
    "select current_setting('search_path'), current_setting('transaction_isolation'), "
    "to_regclass($1)"
)
_PATH = plain("select set_config('search_path', $1, true)")
_OURS = plain(
    "select set_config('search_path', $1, true), "
    "set_config('holdfast.owner', $2, true), "
    "set_config('holdfast.every_owner', 'off', true)"
)


@contextmanager
def joined(
    connection: object, target: Target, shared: Shared, terms: Terms, clock: Clock
) -> Iterator[PostgresTransaction]:
    """A transaction on a user's connection, as one block of it."""
    with _translating(target):
        wire = _Borrowed(_driver_connection(connection))
        _enter(wire, target, shared, terms)
    now, chance = clock.now_us(), clock.chance()
    tx = PostgresTransaction(
        wire, shared, terms, now, chance, held=set(), tellings=Unheard()
    )
    try:
        yield tx
        with _translating(target):
            _leave(wire, shared, tx)
    except BaseException:
        with _translating(target):
            wire.undo_block()
        raise
    finally:
        tx.end()


@contextmanager
def _translating(target: Target) -> Iterator[None]:
    """Where our own statements run; what a user's raise stays as it is."""
    try:
        yield
    except (psycopg.Error, Lost) as error:
        raise translated(error, target.place) from error


def _enter(wire: "_Borrowed", target: Target, shared: Shared, terms: Terms) -> None:
    table = f"{target.schema}.store"
    ((path, isolation, there),) = wire.rows(wire.ask(_ABOUT, [table.encode()]))
    id = plain(f"select value from {table} where name = 'id'")
    if there is None or wire.rows(wire.ask(id)) != [(shared.store_id,)]:
        raise Refused(
            f"this connection leads to another database than {target.place}; nothing "
            "was written: join a transaction of the store's own database"
        )
    if isolation != "read committed":
        raise _isolated(isolation)
    wire.send(_BLOCK)
    wire.ask(plain(f"select {target.schema}.admits({formats.VERSION})"))
    wire.between(_OURS, [target.schema.encode(), terms.owner.encode()], path.encode())


def _leave(wire: "_Borrowed", shared: Shared, tx: PostgresTransaction) -> None:
    if tx.wrote:
        receipt = shared.statements["receipt_add"]
        said = {"at": tx.now, "actor": tx.terms.actor, "cause": tx.terms.cause}
        said |= {"id": token(tx.now), "format": formats.VERSION}
        wire.send(receipt, receipt.in_order(said))
    wire.ask(_BLOCK_KEPT)


def _isolated(level: str) -> Refused:
    return Refused(
        f"this transaction is {level}, and would not see what others committed before "
        "its own changes are journalled: begin it as read committed"
    )


class _Borrowed(Wire):
    """A wire over a user's connection, which is the user's again after each answer."""

    def __init__(self, connection: "psycopg.BaseConnection[Any]") -> None:
        super().__init__(connection)
        self.prepares = False
        self._waiting: list[tuple[Bound, Values]] = []
        self._before: list[tuple[Bound, Values]] = []
        self._after: list[tuple[Bound, Values]] = []

    def between(self, ours: Bound, values: Values, path: bytes) -> None:
        """Set what is ours before whatever is sent, and the user's path after it."""
        self._before = [(ours, values)]
        self._after = [(_PATH, [path])]

    def send(self, what: Bound, values: Values = ()) -> None:
        """Have a statement run, with the next one that is waited for."""
        self._waiting.append((what, values))

    def ask(self, what: Bound, values: Values = ()) -> "pq.abc.PGresult":
        """Run what was sent and this; its result."""
        self.send(what, values)
        return self.settle()[-1]

    def settle(self) -> list["pq.abc.PGresult"]:
        """Run what was sent; every result, in order."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return []
        results = self._exchanged([*self._before, *waiting, *self._after])
        return results[len(self._before) :][: len(waiting)]

    def recover(self) -> None:
        """After a statement failed: forget what was to be sent with it."""
        self._waiting.clear()

    def drop(self) -> None:
        """Let go of the connection: nobody knows any more what is on its way."""
        self._pg.finish()

    def undo_block(self) -> None:
        """Undo what was done since the block began."""
        self._waiting.clear()
        if not self.lost:
            self._exchanged([(_BLOCK_UNDONE, ()), (_BLOCK_KEPT, ())])

    def _exchanged(self, what: list[tuple[Bound, Values]]) -> list["pq.abc.PGresult"]:
        self.open()
        for statement, values in what:
            super().send(statement, values)
        results, failed = self.until_rest()
        self.close()
        if failed is not None:
            raise failed
        return results


def _driver_connection(connection: Any) -> "psycopg.BaseConnection[Any]":
    """The psycopg connection that a transaction is open on.

    Of SQLAlchemy's connections it is the one below, if a transaction was begun there.
    """
    below = connection
    if hasattr(connection, "get_raw_connection"):
        raise Refused(
            "of SQLAlchemy's async connections, join the driver's: "
            "(await connection.get_raw_connection()).driver_connection"
        )
    if hasattr(connection, "get_transaction") and hasattr(connection, "connection"):
        if not connection.in_transaction():
            raise Refused(
                "no transaction is open on this SQLAlchemy connection: begin one first "
                "(with engine.begin() as connection)"
            )
        below = connection.connection.driver_connection
    if not isinstance(below, (psycopg.Connection, psycopg.AsyncConnection)):
        raise Refused(
            f"a {type(connection).__name__} cannot be joined: give a connection of "
            "psycopg 3, or one of SQLAlchemy on psycopg 3"
        )
    pgconn = below.pgconn
    if pgconn.pipeline_status != pq.PipelineStatus.OFF:
        raise Refused("this connection is in pipeline mode: join it outside of that")
    if pgconn.transaction_status == pq.TransactionStatus.IDLE:
        if below.autocommit:
            raise Refused(
                "no transaction is open on this connection, and each statement would "
                "commit by itself: begin one first (with connection.transaction())"
            )
        level = below.isolation_level
        if level not in {None, psycopg.IsolationLevel.READ_COMMITTED}:
            raise _isolated(level.name.lower().replace("_", " "))
        _Borrowed(below).ask(_BEGIN)
    elif pgconn.transaction_status != pq.TransactionStatus.INTRANS:
        raise Refused("this connection's transaction has failed: roll it back first")
    return below
