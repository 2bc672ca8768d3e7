"""Commit: the recipe by which units of work become one transaction on the server.

Answers for: begin, the units, their receipts, commit; running again what certainly did
not commit, and finding out about what may have.
Leaves to others: who runs when, and where (lanes), the journal (triggers, `ddl`).
Always holds: a unit has a result only if its commit is known; a unit that failed left
nothing; a commit whose answer was lost is looked up by its receipt before anything of
it is done again.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import psycopg

from holdfast.clock import token
from holdfast.engine import Terms, Unit
from holdfast.engines.postgres import failures
from holdfast.engines.postgres.failures import LOCKED, Patience, is_conflict, is_gone
from holdfast.engines.postgres.links import Links
from holdfast.engines.postgres.rehearsal import rehearsed
from holdfast.engines.postgres.target import Target
from holdfast.engines.postgres.transaction import (
    LOCK,
    Foreseen,
    PostgresTransaction,
    Shared,
)
from holdfast.engines.postgres.wire import Bound, Link, Lost, Wire, plain
from holdfast.errors import OutcomeUnknown, Refused
from holdfast.schema import format as formats

GROUP_UNITS = 60
"""Most units in one transaction: PostgreSQL keeps 64 subtransactions at hand."""
_GROUP_SECONDS = 0.02
_LOCK_SECONDS = 10.0
SHORT_LOCK_SECONDS = 0.05
"""How long a group waits for a record: it may have locked what others wait for."""
_BEGIN = plain("begin isolation level read committed read write")
_BEGIN_READING = plain("begin isolation level repeatable read read only")
_OWNER = plain(
    "select set_config('holdfast.owner', $1, true), "
    "set_config('holdfast.every_owner', $2, true)"
)
_COMMIT = plain("commit")
_ROLLBACK = plain("rollback")
_UNIT = plain("savepoint unit")
_UNIT_KEPT = plain("release savepoint unit")
_UNIT_UNDONE = plain("rollback to savepoint unit")
_LOCKS_LONG = plain("select set_config('lock_timeout', $1, true)")
_IDLE = "idle_in_transaction_session_timeout"
_VOID = 0
"""The format that a receipt says which was put there so that no commit can follow."""


class Settings:
    """What every transaction sets for itself: a pooler keeps nothing for us."""

    def __init__(self, target: Target) -> None:
        names = ["search_path", "lock_timeout", "statement_timeout", _IDLE]
        self._schema = target.schema.encode()
        self._statement_seconds = target.statement_timeout_seconds
        self.reading = plain(
            "select "
            + ", ".join(
                f"set_config('{n}', ${i}, true)" for i, n in enumerate(names, 1)
            )
        )
        more = [f"{target.schema}.admits({formats.VERSION})"]
        if target.synchronous_commit:
            wanted = f"'synchronous_commit', '{target.synchronous_commit}'"
            more.append(f"set_config({wanted}, true)")
        self.writing = plain(", ".join([self.reading.text.decode(), *more]))

    def values(self, lock_seconds: float, body_seconds: float = 0) -> list[bytes]:
        """The values for one transaction; of a body, with the time that it has.

        The server itself ends one that takes longer, and frees what it has locked.
        """
        limits = self._statement_seconds, body_seconds
        statement = min(filter(None, limits), default=0)
        in_order = lock_seconds, statement, body_seconds
        return [self._schema, *(b"%d" % round(value * 1000) for value in in_order)]


class Committer:
    """Begins and ends transactions, one at a time, on a connection from the pool."""

    def __init__(
        self, links: Links, target: Target, shared: Shared, body_seconds: float = 0
    ) -> None:
        self._body_seconds = body_seconds
        self._links = links
        self._target = target
        self._shared = shared
        self._settings = Settings(target)
        self._receipt = shared.statements["receipt_add"]
        self._link: Link | None = None
        self._open = False
        self._lock_seconds = _LOCK_SECONDS
        self._tokens: list[str] = []
        """Receipts that the open transaction leaves."""
        self._held: set[int] = set()
        """Locks that the open transaction has."""
        self._touched: set[int] = set()
        """Locks of units that it has run: what was asked about these may be old."""
        self._foreseen: dict[int, Foreseen] = {}
        self.untidy = False
        self.receipts = 0
        """How many receipts were left since somebody asked."""

    # One transaction.

    def begin(self, lock_seconds: float = _LOCK_SECONDS, what: Bound = _BEGIN) -> None:
        """Begin a transaction; this is sent with its first statement."""
        if self._link is None:
            self._link = self._links.take(self._target.reconnect_seconds)
        self._tokens.clear()
        self._held.clear()
        self._touched.clear()
        self._open = True
        self._lock_seconds = lock_seconds
        wire = self._link.wire
        wire.rests = self._body_seconds > 0
        wire.send(what)
        settings = self._settings
        text = settings.writing if what is _BEGIN else settings.reading
        wire.send(text, settings.values(lock_seconds, self._body_seconds))

    def transaction(
        self, terms: Terms, now: int, chance: int, *, reads: bool = False
    ) -> PostgresTransaction:
        """What a unit that runs now works through."""
        self._say_owner(terms)
        held = self._held
        return PostgresTransaction(
            self._wire, self._shared, terms, now, chance, held, reads=reads
        )

    def _say_owner(self, terms: Terms) -> None:
        if self._target.row_security:
            every = b"on" if terms.every_owner else b"off"
            self._wire.send(_OWNER, [terms.owner.encode(), every])

    def stamp(self, tx: PostgresTransaction) -> None:
        """Close a unit's moment: leave its receipt, which says when, who and why."""
        if tx.left_untidy:
            self.untidy = True
        if tx.wrote:
            self.receipts += 1
            self._tokens.append(token(tx.now))
            said = {"at": tx.now, "actor": tx.terms.actor, "cause": tx.terms.cause}
            said |= {"id": self._tokens[-1], "format": formats.VERSION}
            self._wire.send(self._receipt, self._receipt.in_order(said))

    def commit(self) -> None:
        """Commit; raises if it certainly did not, or if nobody can say."""
        tokens = list(self._tokens)
        try:
            if self._lock_seconds < _LOCK_SECONDS:  # the journal's turn is waited for
                self._wire.send(_LOCKS_LONG, [b"%d" % round(_LOCK_SECONDS * 1000)])
            tag = self._wire.finish(_COMMIT)
        except (psycopg.Error, Lost) as error:
            if not is_gone(error) or not tokens:
                raise
            self._discard()
            if self._is_there(tokens[0]):
                return
            raise Lost("the connection was lost before the commit") from error
        self._open = False
        if tag != b"COMMIT":
            raise Refused(
                "a statement of this transaction had failed, so that all of it was "
                "rolled back: let what may fail run in a savepoint (tx.savepoint())"
            )

    def rollback(self) -> None:
        """Undo all of it; what was lost on the way is rolled back by the server."""
        if self._link is None or not self._open:
            return
        self._open = False
        if not self._link.wire.lost:
            with suppress(psycopg.Error, Lost):
                self._link.wire.recover()
                self._link.wire.finish(_ROLLBACK)
        if self._link.wire.lost:
            self._discard()

    def let_go(self) -> None:
        """Let others have the connection."""
        link, self._link = self._link, None
        if link is not None:
            self._links.give_back(link)

    def translated(self, error: BaseException) -> BaseException:
        """Holdfast's error for one of PostgreSQL's."""
        return failures.translated(error, self._shared.place)

    # Units.

    def alone(self, unit: Unit[Any], lock_seconds: float = _LOCK_SECONDS) -> None:
        """Run a unit in a transaction of its own, and settle it."""
        self._settled(unit, lambda: self._run_alone(unit, lock_seconds))

    def read(self, unit: Unit[Any]) -> None:
        """Run a unit that only reads, on one snapshot, and settle it."""
        self._settled(unit, lambda: self._run_reading(unit))

    def group(self, units: Sequence[Unit[Any]]) -> list[Unit[Any]]:
        """Run units together; which of them are still to be run, each alone.

        All others are settled. Most units that fail have written nothing by then, so
        that a group is first tried without savepoints.
        """
        patience = self._patience()
        for attempt in (self._bare, self._in_savepoint):
            try:
                return self._attempt(units, attempt)
            except _Spoiled:
                self.rollback()
            except BaseException as error:
                self.rollback()
                if is_gone(error):
                    if self._again(error, patience):
                        break
                    for unit in units:
                        unit.error = self.translated(error)
                    return []
                if not is_conflict(error) and failures.state_of(error) != LOCKED:
                    continue
                break
        return list(units)

    def _attempt(
        self,
        units: Sequence[Unit[Any]],
        attempt: Callable[[Unit[Any]], bool],
    ) -> list[Unit[Any]]:
        self.begin(SHORT_LOCK_SECONDS)
        if attempt == self._bare:
            self._foresee(units)
        until = time.monotonic() + _GROUP_SECONDS
        left: list[Unit[Any]] = []
        ran = 0
        for unit in units:
            unit.result, unit.error = None, None
            ran += 1
            if not unit.abandoned and not attempt(unit):
                left.append(unit)
            if time.monotonic() > until:
                break
        try:
            self.commit()
        except OutcomeUnknown as error:
            for unit in units[:ran]:
                unit.error = unit.error or error
        return left + list(units[ran:])

    def _bare(self, unit: Unit[Any]) -> bool:
        tx = self.transaction(unit.terms, unit.now, unit.chance)
        foreseen = self._foreseen.get(id(unit))
        if foreseen is not None and self._touched.isdisjoint(foreseen.keys):
            tx.foreseen = foreseen
        try:
            unit.result = unit.work(tx)
            self.stamp(tx)
        except (psycopg.Error, Lost):
            raise
        except BaseException as error:
            if failures.state_of(error) or is_gone(error):
                raise
            if tx.wrote:
                raise _Spoiled from error
            unit.error = error
        finally:
            tx.end()
            self._touched |= tx.locked
        return True

    def _foresee(self, units: Sequence[Unit[Any]]) -> None:
        """Lock what the units will lock, and ask what they will ask first, all at once.

        Of several units that lock the same record, the first is foreseen. Locks are
        taken in one order, so that two groups do not wait for each other.
        """
        self._foreseen.clear()
        keys: set[int] = set()
        asked: list[tuple[Unit[Any], Foreseen]] = []
        for unit in units:
            found = rehearsed(unit, self._shared)
            if found is not None and keys.isdisjoint(found.keys):
                keys |= found.keys
                asked.append((unit, found))
        for key in sorted(keys):
            self._wire.send(LOCK, [b"%d" % key])
        places = []
        for unit, found in asked:
            self._say_owner(unit.terms)
            places.append(self._wire.waiting)
            self._wire.send(*found.question)
        results = self._wire.settle() if asked else []
        for place, (unit, found) in zip(places, asked, strict=True):
            found.rows = self._wire.rows(results[place])
            self._foreseen[id(unit)] = found
        self._held |= keys

    def _in_savepoint(self, unit: Unit[Any]) -> bool:
        """Whether the unit is settled; if not, it is to be run alone."""
        wire = self._wire
        wire.send(_UNIT)
        tokens = len(self._tokens)
        tx = self.transaction(unit.terms, unit.now, unit.chance)
        try:
            unit.result = unit.work(tx)
            self.stamp(tx)
            wire.settle()
        except BaseException as error:
            if is_gone(error) or wire.lost:
                raise
            unit.error = self.translated(error)
            wire.recover()
            wire.send(_UNIT_UNDONE)
            del self._tokens[tokens:]
            return not is_conflict(error) and failures.state_of(error) != LOCKED
        finally:
            tx.end()
            if not wire.lost:
                wire.send(_UNIT_KEPT)
        return True

    def _settled(self, unit: Unit[Any], run: Callable[[], None]) -> None:
        patience = self._patience()
        while True:
            unit.result, unit.error = None, None
            if unit.abandoned:
                return
            try:
                run()
            except BaseException as error:
                self.rollback()
                if self._again(error, patience):
                    continue
                unit.error = self.translated(error)
            return

    def _again(self, error: BaseException, patience: Patience) -> bool:
        if is_gone(error):
            self._discard()
            with suppress(Exception):
                self._links.look_over()
        if failures.state_of(error) in failures.UNPREPARED:
            self._links.prepares = False
            self._discard()
        if failures.is_stale(error):
            self._discard()
        return patience.again(error)

    def _patience(self) -> Patience:
        return Patience(self._links.seconds_left(self._target.reconnect_seconds))

    def _run_alone(self, unit: Unit[Any], lock_seconds: float) -> None:
        self.begin(lock_seconds)
        tx = self.transaction(unit.terms, unit.now, unit.chance)
        try:
            unit.result = unit.work(tx)
            self.stamp(tx)
        finally:
            tx.end()
        self.commit()

    def _run_reading(self, unit: Unit[Any]) -> None:
        self.begin(what=_BEGIN_READING)
        tx = self.transaction(unit.terms, unit.now, unit.chance, reads=True)
        try:
            unit.result = unit.work(tx)
        finally:
            tx.end()
        self.commit()

    # What became of a commit.

    def _is_there(self, id: str) -> bool:
        """Whether the commit that leaves this receipt is there; if not, it never will.

        The place of the receipt is taken: a commit that is still on its way would find
        it taken, and fail. One that is being made is waited for.
        """
        patience = Patience(self._target.reconnect_seconds)
        said = {"id": id, "at": 0, "actor": None, "cause": None, "format": _VOID}
        find = self._shared.statements["receipt_find"]
        take = self._shared.statements["receipt_take"]
        while True:
            try:
                self.begin(self._target.reconnect_seconds)
                self._wire.send(take, take.in_order(said))
                found = self._wire.ask(find, find.in_order({"id": id}))
                ((form,),) = self._wire.rows(found)
                self._wire.finish(_COMMIT)
            except BaseException as error:
                self.rollback()
                if not patience.asks_again(error):
                    seconds = self._target.reconnect_seconds
                    raise failures.unknown(self._shared.place, seconds) from error
            else:
                self._open = False
                return bool(form != _VOID)

    @property
    def _wire(self) -> Wire:
        assert self._link is not None
        return self._link.wire

    def _discard(self) -> None:
        """Have done with a connection: the server rolls back what is open on it."""
        self._open = False
        link, self._link = self._link, None
        if link is not None:
            self._shared.numbers.forget()
            link.wire.drop()
            self._links.give_back(link)


class _Spoiled(Exception):
    """A unit failed that had written, in a group without savepoints."""
