"""Joining: a kind's calls inside a transaction that a user has begun.

Answers for: statements on a connection that is not ours, on the same file; whether it
is one that can be joined; the moment that each block is in the journal.
Leaves to others: the user's commit.
Always holds: what is done in a block that raises is undone; the transaction goes on.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import apsw

from holdfast.clock import Clock
from holdfast.engine import Terms, Unheard
from holdfast.engines.sqlite.binding import Bound
from holdfast.engines.sqlite.failures import translated
from holdfast.engines.sqlite.place import Place
from holdfast.engines.sqlite.transaction import SqliteTransaction
from holdfast.errors import Refused
from holdfast.limits import Limits


@contextmanager
def joined(
    connection: object,
    place: Place | None,
    statements: Mapping[str, Bound],
    terms: Terms,
    limits: Limits,
    clock: Clock,
) -> Iterator[SqliteTransaction]:
    """A transaction on a user's connection, as one block of it."""
    theirs = _checked(connection, place)
    cursor = theirs.cursor()
    try:
        cursor.execute("pragma recursive_triggers = on")  # REPLACE is journalled too
        cursor.execute("savepoint holdfast")
        ((before, at, _),) = cursor.execute(statements["journal_head"][0])
    except apsw.Error as error:
        raise translated(error, str(place)) from error
    now = max(clock.now_us(), at or 0)
    tx = SqliteTransaction(
        theirs,
        cursor,
        statements,
        terms,
        limits,
        now,
        clock.chance(),
        before or 0,
        Unheard(),
    )
    try:
        yield tx
        _stamp(tx, before or 0)
    except BaseException:
        if theirs.in_transaction:
            cursor.execute("rollback to holdfast; release holdfast")
        raise
    finally:
        tx.end()
    cursor.execute("release holdfast")


def _stamp(tx: SqliteTransaction, before: int) -> None:
    """Make the last change of the block its moment."""
    ((newest,),) = tx.all("journal_last")
    if newest is not None and newest > before:
        said = {"at": tx.now, "actor": tx.terms.actor, "cause": tx.terms.cause}
        tx.put("journal_stamp", **said, origin=None, seq=newest)


def _checked(connection: object, place: Place | None) -> apsw.Connection:
    if place is None:
        raise Refused("a store in memory has one connection, which nobody can share")
    if not isinstance(connection, apsw.Connection):
        raise Refused(
            f"a {type(connection).__module__} connection cannot be joined: another "
            "SQLite library beside holdfast's would drop its locks on the file; use an "
            "apsw.Connection"
        )
    if not _is_same(connection.filename, place.path):
        raise Refused(f"this connection is to another file than {place}")
    if not connection.in_transaction:
        raise Refused(
            "no transaction is open on this connection, and each statement would "
            'commit by itself: begin one first (connection.execute("begin immediate"))'
        )
    return connection


def _is_same(one: str, other: str) -> bool:
    return bool(one) and Path(one).samefile(other)
