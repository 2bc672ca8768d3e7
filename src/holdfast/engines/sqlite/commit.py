"""Commit: the recipe by which units of work become one transaction on disk.

Answers for: begin, each unit in its savepoint, the moment's row, commit; and what
becomes of the units when one of these fails.
Leaves to others: whose turn it is (writer).
Always holds: a unit has a result only if its commit returned; a unit that failed left
nothing; a transaction's time is never before that of the one before.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import apsw

from holdfast.engine import Tellings, Terms, Unit, Witness
from holdfast.engines.sqlite.binding import Bound, Values
from holdfast.engines.sqlite.connection import patience
from holdfast.engines.sqlite.failures import translated, unknown
from holdfast.engines.sqlite.place import Place
from holdfast.engines.sqlite.transaction import SqliteTransaction
from holdfast.errors import Moved, OutcomeUnknown
from holdfast.limits import Limits
from holdfast.schema import format as formats

_GROUP_SECONDS = 0.005
LOOKS_EVERY = 256
"""Commits after which the size of the write-ahead log is looked at."""
_WRITES_FROM = str(formats.WRITES_FROM)
_OVERSIZED_BYTES = 64 * 1024 * 1024
_RESTART_SECONDS = 0.02


class Committer:
    """The connection that writes. Whoever calls it has the turn.

    `meanwhile` is called when there will be a wait: for the disk, for another process,
    or for a user's own function.
    """

    def __init__(
        self,
        connect: Callable[[], apsw.Connection],
        place: Place | None,
        statements: Mapping[str, Bound],
        limits: Limits,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        self.untidy = False
        self.witness: Witness | None = None
        self._tellings: Tellings = []
        self._connect = connect
        self._place = place
        self._statements = statements
        self._limits = limits
        self._head, _ = statements["journal_head"]
        self._stamp, self._in_order = statements["journal_stamp"]
        self.meanwhile = meanwhile
        self._patience = patience()
        self._moment = 0
        self._at = 0
        self._moments: list[Values] = []
        self.commits = 0
        self._changes = 0
        self._open_connection()

    def group(self, units: Sequence[Unit[Any]]) -> int:
        """Run units in one transaction; how many were run, each now settled.

        The first is always run; the others as long as the group is young.
        """
        if len(units) == 1:
            self.alone(units[0])
            return 1
        try:
            ran = self._attempt_all(units, self._bare) or self._attempt_all(
                units, self._in_savepoint
            )
        except BaseException as error:
            return self._all_failed(units, self.translated(error))
        if ran == 0:  # SQLite ended the transaction under a unit, twice
            self._each_alone(units)
            return len(units)
        try:
            self.commit()
        except (OutcomeUnknown, Moved) as error:
            self._all_failed(units[:ran], self.translated(error))
        except BaseException:
            self._each_alone(units[:ran])
        return ran

    def begin(self) -> None:
        """Begin a transaction, and learn which moment and time came before it."""
        if self.connection is None:
            self._open()
        elif self.connection.in_transaction:  # an interrupt came between two lines
            self.rollback()
        self._execute("begin immediate")
        try:
            self._look_back()
        except BaseException:
            self.rollback()
            raise

    def _look_back(self) -> None:
        ((moment, at, writes_from),) = self._execute(self._head)
        self._moment = moment or 0
        self._at = at or 0
        self._moments.clear()
        self._tellings.clear()
        if writes_from != _WRITES_FROM and int(writes_from) > formats.VERSION:
            formats.admit(
                self.name,
                formats.Stamp(int(writes_from), 0, int(writes_from)),
                read_only=False,
            )

    def transaction(self, terms: Terms, now: int, chance: int) -> SqliteTransaction:
        """What a unit that runs now works through."""
        assert self.connection is not None
        return SqliteTransaction(
            self.connection,
            self._cursor,
            self._statements,
            terms,
            self._limits,
            max(now, self._at),
            chance,
            self._moment,
            self._tellings,
        )

    def stamp(self, tx: SqliteTransaction) -> None:
        """Close a unit's moment: when, who and why, if it changed anything.

        All moments of a group are written just before their commit.
        """
        last = tx.last()
        if last is not None:
            terms = tx.terms
            said = {"at": tx.now, "actor": terms.actor, "cause": terms.cause}
            self._moments.append(self._in_order({**said, "origin": None, "seq": last}))
            self._moment, self._at = last, tx.now
        if tx.left_untidy:
            self.untidy = True

    def commit(self) -> None:
        """Commit; raises ours if it did not, having rolled everything back."""
        try:
            if self._moments:
                self._write_moments()
            if self._place is not None:
                self._place.hold()
            self.meanwhile()
            self._execute("commit")
            self.commits += 1
        except apsw.IOError as error:
            self._after_failed_commit(error)
        except BaseException as error:
            self.rollback()
            raise translated(error, self.name) from error
        self._bear_witness()

    def _bear_witness(self) -> None:
        """Tell that this was committed, if it changed or told of anything."""
        if self.witness is not None and (self._moments or self._tellings):
            self.witness.committed(self._tellings)

    def _write_moments(self) -> None:
        if len(self._moments) == 1:
            self._execute(self._stamp, self._moments[0])
        else:
            self._cursor.executemany(self._stamp, self._moments)

    def rollback(self) -> None:
        """Undo all of it; what cannot be rolled back any more is gone already."""
        with suppress(apsw.Error):
            if self.connection is not None and self.connection.in_transaction:
                self._execute("rollback")

    def changed(self) -> bool:
        """Whether rows were changed here since this was last asked."""
        before, self._changes = self._changes, 0
        if self.connection is not None:
            self._changes = self.connection.total_changes()
        return self._changes != before

    def keep_small(self) -> None:
        """Begin the log anew if it has grown large, and its readers let go of it.

        SQLite moves it into the file every 1,000 pages by itself, but writes on behind
        what some reader still needs.
        """
        self.commits = 0
        if self.connection is None or self._place is None:
            return
        if self._place.log_bytes() < _OVERSIZED_BYTES:
            return
        self.meanwhile()
        self.connection.set_busy_handler(patience(_RESTART_SECONDS))
        with suppress(apsw.Error):  # it changes nothing that was acknowledged
            self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        self.connection.set_busy_handler(self._wait)

    def close(self) -> None:
        """Let go of the connection."""
        if self.connection is not None:
            with suppress(apsw.Error):  # it would still tidy up, on a full disk
                self.connection.close()

    def translated(self, error: BaseException) -> BaseException:
        """Holdfast's error for one of SQLite's, with which something ends."""
        found = translated(error, self.name)
        if self.witness is not None:
            self.witness.failed(found)
        return found

    @property
    def name(self) -> str:
        """Where this is, for people."""
        return ":memory:" if self._place is None else str(self._place)

    def _open(self) -> None:
        self._open_connection()
        self.take_cursor()

    def _open_connection(self) -> None:
        self.connection: apsw.Connection | None = self._connect()
        self.connection.set_busy_handler(self._wait)

    def take_cursor(self) -> None:
        """Be ready to write, once the tables are there.

        Not before: APSW 3.54 never lets go of a cursor if its connection makes another
        one after it, and a store that nobody closes would never be collected.
        """
        assert self.connection is not None
        self._cursor = self.connection.cursor()
        self._execute = self._cursor.execute

    def _wait(self, attempt: int) -> bool:
        if attempt == 0:
            self.meanwhile()
        return self._patience(attempt)

    def alone(self, unit: Unit[Any]) -> None:
        """Run a unit in a transaction of its own, and settle it."""
        unit.result, unit.error = None, None
        if unit.abandoned:
            return
        try:
            self.begin()
            self._run(unit)
            self.commit()
        except BaseException as error:
            self.rollback()
            unit.error = self.translated(error)

    def _attempt_all(
        self, units: Sequence[Unit[Any]], attempt: Callable[[Unit[Any]], bool]
    ) -> int:
        """How many units were run; 0 if one spoiled the transaction for all.

        Savepoints cost time, and a unit that fails has seldom written anything by then:
        so a group is first tried without them.
        """
        self.begin()
        until = time.monotonic() + _GROUP_SECONDS
        for count, unit in enumerate(units, start=1):
            unit.result, unit.error = None, None
            if unit.foreign:
                self.meanwhile()
            if not unit.abandoned and not attempt(unit):
                self.rollback()
                return 0
            if time.monotonic() > until:
                return count
        return len(units)

    def _bare(self, unit: Unit[Any]) -> bool:
        assert self.connection is not None
        before = self.connection.total_changes()
        told = len(self._tellings)
        try:
            self._run(unit)
        except BaseException as error:
            del self._tellings[told:]
            if self.connection.total_changes() != before:
                return False
            unit.error = self.translated(error)
            return self.connection.in_transaction
        return True

    def _in_savepoint(self, unit: Unit[Any]) -> bool:
        assert self.connection is not None
        self._execute("savepoint unit")
        told = len(self._tellings)
        try:
            self._run(unit)
        except BaseException as error:
            del self._tellings[told:]
            unit.error = self.translated(error)
            if not self.connection.in_transaction:
                return False
            self._execute("rollback to unit")
        self._execute("release unit")
        return True

    def _run(self, unit: Unit[Any]) -> None:
        tx = self.transaction(unit.terms, unit.now, unit.chance)
        try:
            unit.result = unit.work(tx)
            self.stamp(tx)
        finally:
            tx.end()

    def _each_alone(self, units: Sequence[Unit[Any]]) -> None:
        self.rollback()
        for unit in units:
            self.alone(unit)

    def _all_failed(self, units: Sequence[Unit[Any]], error: BaseException) -> int:
        self.rollback()
        for unit in units:
            unit.error = error
        return len(units)

    def _after_failed_commit(self, error: apsw.IOError) -> None:
        """Find out whether a commit that failed is there all the same.

        Its frames may be in the log without having been synced, and could come back
        after a restart; a commit that follows writes over them, and settles it.
        """
        moment, at, stamped = self._moment, self._at, bool(self._moments)
        self.rollback()
        self.close()
        self.connection = None
        try:
            self._open()
            found = self._execute(
                "select 1 from change where seq = ? and at = ?", (moment, at)
            ).fetchall()
            if found and stamped:
                return
            self._execute(
                "insert or replace into store (name, value) values ('failed_at', ?)",
                (str(at),),
            )
        except apsw.Error:
            raise unknown(error, self.name) from error
        if not stamped:  # there is no row by which it could be known
            raise unknown(error, self.name) from error
        raise translated(error, self.name) from error
