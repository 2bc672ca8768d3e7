"""Units: how units of work are run to their commits, alone or many together.

Answers for: running again what certainly did not commit, groups that share a commit,
and which units of a group have to be run otherwise.
Leaves to others: one transaction (commit), who runs when, and where (lanes).
Always holds: a unit has a result only if its commit is known; a unit that failed left
nothing. A group never waits for a record that somebody keeps: it may have locked what
others wait for.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import psycopg

from holdfast.engine import Unit
from holdfast.engines.postgres import failures
from holdfast.engines.postgres.commit import LOCK_SECONDS, READING, Committer
from holdfast.engines.postgres.failures import LOCKED, Patience, is_conflict, is_gone
from holdfast.engines.postgres.links import Links
from holdfast.engines.postgres.rehearsal import rehearsed
from holdfast.engines.postgres.transaction import Foreseen, Shared
from holdfast.engines.postgres.wire import Lost, plain
from holdfast.errors import OutcomeUnknown

GROUP_UNITS = 60
"""Most units in one transaction: PostgreSQL keeps 64 subtransactions at hand."""
_GROUP_SECONDS = 0.02
_PUSHED_AT_ONCE = 8
"""After so many statements the server gets to work, while more are made."""
SHORT_LOCK_SECONDS = 0.05
"""How long a group waits for what it did not foresee."""
_TRY_ALL = plain(
    "select key, pg_try_advisory_xact_lock(key) from unnest($1::bigint[]) key"
)
_LOCK_ALL = plain(
    "select key, pg_advisory_xact_lock(key) from unnest($1::bigint[]) key"
)
_UNIT = plain("savepoint unit")
_UNIT_KEPT = plain("release savepoint unit")
_UNIT_UNDONE = plain("rollback to savepoint unit")


class Left(msgspec.Struct):
    """Units of a group that were not settled."""

    alone: list[Unit[Any]] = []
    """To be run each by itself."""
    waiting: list[tuple[int, Unit[Any]]] = []
    """Each with the lock of the record that somebody keeps."""


class Runner:
    """Runs units through one committer."""

    def __init__(self, committer: Committer, links: Links, shared: Shared) -> None:
        self.committer = committer
        self._links = links
        self._shared = shared
        self._foreseen: dict[int, Foreseen] = {}
        self._touched: set[int] = set()
        """Locks of units that were run: what was asked about these may be old."""
        self._at: Unit[Any] | None = None
        """The unit of a group that is being run."""

    # One by itself.

    def alone(self, unit: Unit[Any], lock_seconds: float = LOCK_SECONDS) -> None:
        """Run a unit in a transaction of its own, and settle it."""
        self._settled(unit, lambda: self._run_alone(unit, lock_seconds))

    def read(self, unit: Unit[Any]) -> None:
        """Run a unit that only reads, on one snapshot, and settle it."""
        self._settled(unit, lambda: self._run_reading(unit))

    def _settled(self, unit: Unit[Any], run: Callable[[], None]) -> None:
        patience = self._patience([unit])
        while True:
            unit.result, unit.error = None, None
            if unit.abandoned:
                return
            try:
                run()
            except BaseException as error:
                self.committer.rollback()
                if self._again(error, patience):
                    continue
                unit.error = self.committer.translated(error)
            return

    def _run_alone(self, unit: Unit[Any], lock_seconds: float) -> None:
        committer = self.committer
        committer.begin(lock_seconds)
        tx = committer.transaction(unit.terms, unit.now, unit.chance)
        try:
            unit.result = unit.work(tx)
            committer.stamp(tx)
        finally:
            tx.end()
        committer.commit()

    def _run_reading(self, unit: Unit[Any]) -> None:
        committer = self.committer
        committer.begin(what=READING)
        tx = committer.transaction(unit.terms, unit.now, unit.chance, reads=True)
        try:
            unit.result = unit.work(tx)
        finally:
            tx.end()
        committer.commit()

    def _again(self, error: BaseException, patience: Patience) -> bool:
        """Whether to run it again, with what stood in the way removed."""
        state = failures.state_of(error)
        if is_gone(error):
            self.committer.discard()
            with suppress(Exception):
                self._links.look_over()
        if state in failures.UNPREPARED:
            self._links.prepares = False
            self.committer.discard()
        if failures.is_stale(error):
            self.committer.discard()
        return patience.again(error)

    def _patience(self, units: Sequence[Unit[Any]]) -> Patience:
        """That of the most patient unit, which the committer has from here on."""
        self.committer.patient = any(unit.patient for unit in units)
        return Patience(self._links.seconds_left(patient=self.committer.patient))

    # Many together.

    def group(self, units: Sequence[Unit[Any]], *, patient: bool = False) -> Left:
        """Run units in one transaction; which of them are still to be run.

        All others are settled. Most units that fail have written nothing by then, so
        that a group is first tried without savepoints. A `patient` group waits for
        records that are kept.
        """
        units, left = list(units), Left()
        attempt, patience = self._bare, self._patience(units)
        while units:
            try:
                self._attempt(units, attempt, left, patient=patient)
            except BaseException as error:
                self.committer.rollback()
                if not _is_a_units_own(error):
                    self._part(units, left, error, patience, waited=patient)
                elif len(units) == 1:
                    why = error.__cause__ if isinstance(error, _Spoiled) else error
                    units.pop().error = self.committer.translated(why or error)
                elif attempt == self._bare:
                    attempt = self._in_savepoint
                else:
                    left.alone += units
                    units.clear()
            else:
                break
        return left

    def _part(
        self,
        units: list[Unit[Any]],
        left: Left,
        error: BaseException,
        patience: Patience,
        *,
        waited: bool,
    ) -> None:
        """Take units out of a group that failed as a whole, so that others may pass.

        Whose write it was that a record stood in the way of is not known at its end.
        """
        locked = failures.state_of(error) == LOCKED
        if locked and self._at is not None:
            units.remove(self._at)
            left.waiting.append((id(self._at), self._at))
            return
        if not waited if locked else not is_gone(error) or self._again(error, patience):
            left.alone += units
        else:
            for unit in units:
                unit.error = self.committer.translated(error)
        units.clear()

    def _attempt(
        self,
        units: Sequence[Unit[Any]],
        attempt: Callable[[Unit[Any]], bool],
        left: Left,
        *,
        patient: bool,
    ) -> None:
        self._at = None
        self._foreseen.clear()
        self._touched.clear()
        self.committer.begin(LOCK_SECONDS if patient else SHORT_LOCK_SECONDS)
        kept = self._foresee(units, patient=patient)
        alone: list[Unit[Any]] = []
        ran: list[Unit[Any]] = []
        until = time.monotonic() + _GROUP_SECONDS
        for unit in units:
            if id(unit) in kept:
                continue
            if unit.apart or time.monotonic() > until:
                alone.append(unit)
                continue
            unit.result, unit.error, self._at = None, None, unit
            if unit.abandoned or attempt(unit):
                ran.append(unit)
            else:
                alone.append(unit)
        self._at = None
        try:
            self.committer.commit()
        except OutcomeUnknown as error:
            for unit in ran:
                unit.error = unit.error or error
        left.alone += alone
        left.waiting += [(kept[id(u)], u) for u in units if id(u) in kept]

    def _bare(self, unit: Unit[Any]) -> bool:
        told = len(self.committer.tellings)
        tx = self.committer.transaction(unit.terms, unit.now, unit.chance)
        foreseen = self._foreseen.get(id(unit))
        if foreseen is not None and self._touched.isdisjoint(foreseen.keys):
            tx.foreseen = foreseen
        try:
            unit.result = unit.work(tx)
            self.committer.stamp(tx)
            if self.committer.wire.unpushed >= _PUSHED_AT_ONCE:
                self.committer.wire.push()
        except (psycopg.Error, Lost):
            raise
        except BaseException as error:
            if failures.state_of(error) or is_gone(error):
                raise
            if tx.wrote:
                raise _Spoiled from error
            del self.committer.tellings[told:]
            unit.error = self.committer.translated(error)
        finally:
            tx.end()
            self._touched |= tx.locked
        return True

    def _in_savepoint(self, unit: Unit[Any]) -> bool:
        """Whether the unit is settled; if not, it is to be run alone."""
        committer, wire = self.committer, self.committer.wire
        wire.send(_UNIT)
        tokens, told = len(committer.tokens), len(committer.tellings)
        tx = committer.transaction(unit.terms, unit.now, unit.chance)
        try:
            unit.result = unit.work(tx)
            committer.stamp(tx)
            wire.settle()
        except BaseException as error:
            if is_gone(error) or wire.lost:
                raise
            unit.error = committer.translated(error)
            wire.recover()
            wire.send(_UNIT_UNDONE)
            committer.held.clear()
            del committer.tokens[tokens:]
            del committer.tellings[told:]
            return not is_conflict(error) and failures.state_of(error) != LOCKED
        finally:
            tx.end()
            if not wire.lost:
                wire.send(_UNIT_KEPT)
        return True

    def _foresee(self, units: Sequence[Unit[Any]], *, patient: bool) -> dict[int, int]:
        """Lock what the units will lock, and ask what they will ask first, all at once.

        Of several units that lock the same record, the first is foreseen. Locks are
        taken in one order. Gives the units whose record somebody keeps, by their `id`,
        each with its lock.
        """
        foreseen = [(unit, rehearsed(unit, self._shared)) for unit in units]
        keys = sorted({key for _, found in foreseen if found for key in found.keys})
        if not any(found for _, found in foreseen):
            return {}
        wire = self.committer.wire
        locking = wire.waiting
        listed = ",".join(map(str, keys)).encode()
        wire.send(_LOCK_ALL if patient else _TRY_ALL, [b"{%s}" % listed])
        asked: list[tuple[Unit[Any], Foreseen, int]] = []
        seen: set[int] = set()
        for unit, found in foreseen:
            if found is not None and seen.isdisjoint(found.keys):
                seen |= found.keys
                self.committer.say_owner(unit.terms)
                asked.append((unit, found, wire.waiting))
                wire.send(*found.question)
        results = wire.settle()
        got = wire.rows(results[locking])
        refused = {key for key, free in got if free is False}
        self.committer.held |= set(keys) - refused
        for unit, found, place in asked:
            found.rows = wire.rows(results[place])
            self._foreseen[id(unit)] = found
        return {
            id(unit): min(found.keys & refused)
            for unit, found in foreseen
            if found is not None and found.keys & refused
        }


class _Spoiled(Exception):
    """A unit failed that had written, in a group without savepoints."""


def _is_a_units_own(error: BaseException) -> bool:
    """Whether it has to be found out which unit failed: not all others are to."""
    if isinstance(error, _Spoiled):
        return True
    state = failures.state_of(error)
    return state != LOCKED and not is_gone(error) and not is_conflict(error)
