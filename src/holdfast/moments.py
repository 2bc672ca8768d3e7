"""Moments: which there are, and a transaction's views of what is and of what was.

Answers for: finding the moment that a number or a time stands for, and reading as of
it, also from within a transaction that writes.
Leaves to others: how a statement reads the past (`schema.past`), what a moment is used
for (kinds, core).
Always holds: a moment is a transaction, never a part of one; nothing is read of a time
that the journal does not reach any more.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NoReturn

import msgspec

from holdfast.clock import to_datetime, to_us
from holdfast.engine import Row, Transaction
from holdfast.errors import Refused, Trimmed
from holdfast.schema.past import past


class Looking(Transaction):
    """A view of a transaction through which nothing is written."""

    __slots__ = ("_tx",)

    def __init__(self, tx: Transaction) -> None:
        super().__init__(tx.terms, tx.limits, tx.now, 0)
        self._tx = tx

    def one(self, name: str, /, **values: object) -> Row | None:
        return self._tx.one(name, **values)

    def all(self, name: str, /, **values: object) -> list[Row]:
        return self._tx.all(name, **values)

    def fields(self, name: str, /, **values: object) -> dict[str, Any] | None:
        return self._tx.fields(name, **values)

    def each(self, name: str, values: Sequence[dict[str, Any]]) -> list[list[Row]]:
        return self._tx.each(name, values)

    def fields_of(
        self, name: str, values: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any] | None]:
        return self._tx.fields_of(name, values)

    def knows(self, name: str) -> bool:
        return self._tx.knows(name)

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise self.unwritten()

    run = put = put_each = lock = _refuse
    new_no = savepoint = untidy = new_id = tell = _refuse

    def unwritten(self) -> Refused:
        """The error for who writes through it."""
        return Refused(
            "this transaction only reads, and nothing was written: use store.run or "
            "store.transaction"
        )

    def end(self) -> None:
        """Nothing: the transaction that is looked through ends by itself."""


class AtMoment(Looking):
    """A view of what was at a moment."""

    __slots__ = ("moment",)

    def __init__(self, tx: Transaction, moment: int) -> None:
        super().__init__(tx)
        self.terms = msgspec.structs.replace(tx.terms, moment=moment)
        self.moment = moment

    def one(self, name: str, /, **values: object) -> Row | None:
        return self._tx.one(past(name), moment=self.moment, **values)

    def all(self, name: str, /, **values: object) -> list[Row]:
        return self._tx.all(past(name), moment=self.moment, **values)

    def fields(self, name: str, /, **values: object) -> dict[str, Any] | None:
        return self._tx.fields(past(name), moment=self.moment, **values)

    def each(self, name: str, values: Sequence[dict[str, Any]]) -> list[list[Row]]:
        return self._tx.each(past(name), self._at(values))

    def fields_of(
        self, name: str, values: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any] | None]:
        return self._tx.fields_of(past(name), self._at(values))

    def unwritten(self) -> Refused:
        """The error for who writes to the past."""
        return unwritten(self.moment)

    def _at(self, values: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**given, "moment": self.moment} for given in values]


def standing_at(tx: Transaction, moment: int) -> AtMoment:
    """A view of what was at a moment. Raises `Trimmed` if that is not known now.

    What this very transaction has changed is seen as it is now, where the journal is
    written at commit (PostgreSQL): read the past of a record before writing to it.
    """
    floor = horizon(tx)
    if moment < floor:
        raise Trimmed(
            f"the journal reaches back to moment {floor} by now, and what was at "
            f"{moment} is not known any more"
        )
    beneath = tx._tx if isinstance(tx, AtMoment) else tx  # noqa: SLF001
    return AtMoment(beneath, moment)


def horizon(tx: Transaction) -> int:
    """The oldest moment that can be read; 0 if nothing was trimmed."""
    (floor,) = tx.one("journal_floor") or (0,)
    return int(floor)


def newest(tx: Transaction) -> int:
    """The newest moment; 0 if nothing was ever written."""
    (moment,) = tx.one("journal_newest") or (0,)
    return int(moment)


def moment_of(tx: Transaction, when: int | datetime) -> int:
    """The moment of a number, or the newest one that is no later than a time.

    Raises `Trimmed`, or `Refused` for what lies ahead and for a number that is no
    transaction's end.
    """
    if isinstance(when, datetime):
        return _at_time(tx, to_us(when))
    if when > newest(tx):
        raise Refused(f"moment {when} lies ahead; the newest is {newest(tx)}")
    standing_at(tx, when)
    if when > horizon(tx):
        (moment, *_) = tx.one("journal_moment", seq=when) or (when,)
        if moment != when:
            raise Refused(
                f"change {when} is in the midst of a transaction, whose moment is "
                f"{moment}"
            )
    return when


def _at_time(tx: Transaction, at: int) -> int:
    """The newest moment no later than a time: moments' times never go backwards."""
    floor, high = horizon(tx), newest(tx)
    _, last, *_ = tx.one("journal_moment", seq=high) or (high, 0)
    if at > max(tx.now, last):
        raise Refused(f"{to_datetime(at)} lies ahead of this store's clock")
    low = max(floor - 1, 0)
    while low < high:
        (moment, time, *_) = tx.one("journal_moment", seq=(low + high) // 2 + 1) or (
            high,
            at + 1,
        )
        if time <= at:
            low = moment
        else:
            high = (low + high) // 2
    if low < floor:
        raise Trimmed(
            f"the journal reaches back to moment {floor} by now, and {to_datetime(at)} "
            "was before that"
        )
    return low


def unwritten(moment: int) -> Refused:
    """The error for a write to the past."""
    return Refused(
        f"this is a look at moment {moment}, and the past stays as it was; nothing was "
        "written: store.revert(moment) puts records back, and holdfast.fork makes a "
        "store that goes on from there"
    )
