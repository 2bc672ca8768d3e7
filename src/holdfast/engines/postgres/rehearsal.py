"""Rehearsal: what the units of a group will lock and ask first, before any is run.

Most units lock a record, ask one question about it, and write. Asked one by one, each
question of a group costs a round trip; found out beforehand, all are sent at once. A
unit may be run as often as one likes: its time and its ids are fixed.

Answers for: a unit's locks and its first question, found by running it up to there.
Leaves to others: sending them, and when an answer no longer holds (commit).
Always holds: nothing is sent and nothing is changed by a rehearsal; what a unit asks
after it has written anything is not foreseen. A user's own function is not rehearsed:
it may do more than it should.
"""

from typing import Any, NoReturn

from holdfast.engine import Transaction, Unit
from holdfast.engines.postgres.transaction import Foreseen, Shared, in_order


def rehearsed(unit: Unit[Any], shared: Shared) -> Foreseen | None:
    """What a unit will ask first; None if it asks nothing, or writes before."""
    if unit.foreign or unit.abandoned:
        return None
    tx = _Rehearsal(unit, shared)
    try:
        unit.work(tx)
    except _Stop:
        return tx.foreseen
    except Exception:  # it fails by itself, and will again
        return None
    return None


class _Stop(BaseException):
    """Nothing more is to be found out."""


class _Rehearsal(Transaction):
    """A transaction in which a unit comes as far as its first question."""

    __slots__ = ("_keys", "_shared", "foreseen")

    def __init__(self, unit: Unit[Any], shared: Shared) -> None:
        super().__init__(unit.terms, shared.limits, unit.now, unit.chance)
        self._shared = shared
        self._keys: set[int] = set()
        self.foreseen: Foreseen | None = None

    def lock(self, kind: str, id: str) -> None:
        self._keys.add(self._shared.key(kind, self.terms.owner, id))

    def knows(self, name: str) -> bool:
        return name in self._shared.statements

    def one(self, name: str, /, **values: object) -> NoReturn:
        self.all(name, **values)

    def all(self, name: str, /, **values: object) -> NoReturn:
        what = self._shared.statements[name]
        asked = in_order(what, values, self.terms.owner)
        self.foreseen = Foreseen(self._keys, (what, asked))
        raise _Stop

    def _stop(self, *_: object, **__: object) -> NoReturn:
        raise _Stop

    run = put = fields = new_no = savepoint = untidy = _stop
