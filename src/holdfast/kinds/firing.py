"""Firing: the jobs of schedules, put when they are due.

Answers for: one job for each due time, however many processes look at once; times that
were missed; when the next one is due.
Leaves to others: which times a rule has (`due_times`), how a job is put (`job_rows`),
who looks when (`job_claims`).
Always holds: a job is put in the transaction that moves its schedule's next time, under
an id that has the time in it; a due time never comes back by itself; one look puts no
more jobs than it is told, and asks one question if nothing is due.
"""

import functools
from collections.abc import Sequence

import msgspec

from holdfast.engine import Row, Transaction
from holdfast.errors import BadInput, Refused
from holdfast.kinds.due_times import Rule
from holdfast.kinds.job_rows import enqueue
from holdfast.kinds.schedule_records import (
    MISSED,
    NEXT_AT,
    UNCOUNTED,
    Missed,
    job_id,
    rule_in,
)

_EVER = 2**62
_LOOKED_AT = 100


class _Slice(msgspec.Struct, frozen=True):
    """Some due times of a schedule, and when it is due after them."""

    times: Sequence[int]
    next_at: int | None


def fire_due(tx: Transaction, limit: int = 100) -> int:
    """Put the jobs of an owner's schedules that are due by now; how many.

    What is more than `limit` is still due after that.
    """
    due = _due(tx, limit)
    share = max(1, limit // max(1, len(due)))
    return sum(_fire(tx, row, share) for row in due)


def next_due(tx: Transaction) -> int | None:
    """When the first of an owner's schedules is due, in microseconds; None for never.

    Those whose times this process cannot tell are left to others.
    """
    for limit in (1, _LOOKED_AT):
        rows = _first(tx, _EVER, limit)
        found = (row[NEXT_AT] for row in rows if _sliced(row, tx.now, 1) is not None)
        at: int | None = next(found, None)
        if at is not None or len(rows) < limit:
            return at
    return None


def _due(tx: Transaction, limit: int) -> list[Row]:
    """The schedules that are due, locked: nobody else moves their next times."""
    ids = sorted(row[2] for row in _first(tx, tx.now, limit))
    for id in ids:
        tx.lock("schedules", id)
    asked = [{"owner": tx.terms.owner, "id": id} for id in ids]
    found = [row for rows in tx.each("schedule_get", asked) for row in rows]
    return [row for row in found if row[NEXT_AT] is not None and row[NEXT_AT] <= tx.now]


def _first(tx: Transaction, upto: int, limit: int) -> Sequence[Row]:
    owner = tx.terms.owner
    return tx.all("schedule_due_upto", owner=owner, upto=upto, limit=limit)


def _fire(tx: Transaction, row: Row, share: int) -> int:
    """Put the jobs of one schedule that are due, and move its next time."""
    found = _sliced(row, tx.now, share)
    if found is None:
        return 0
    no, owner, id, kind, body, _, _, _, lane, priority, max_attempts, *_ = row
    for time in found.times:
        enqueue(
            tx,
            id=job_id(id, time),
            kind=kind,
            body=body,
            lane=lane,
            priority=priority,
            max_attempts=max_attempts,
        )
    tx.put("schedule_due_move", owner=owner, no=no, next_at=found.next_at)
    return len(found.times)


def _sliced(row: Row, now: int, share: int) -> _Slice | None:
    """What is due of a schedule by now; None if this process cannot tell its times."""
    try:
        return _slice(rule_in(row), row[NEXT_AT], now, share, Missed(row[MISSED]))
    except (BadInput, Refused) as error:
        _tell(row[2], str(error))
        return None


def _slice(rule: Rule, first: int, now: int, share: int, missed: Missed) -> _Slice:
    if first == UNCOUNTED:
        return _Slice((), rule.after(now))
    if missed is Missed.LAST and first <= now:
        newest = rule.newest(first, now)
        return _Slice((newest,), rule.after(newest))
    times: list[int] = []
    time: int | None = first
    while time is not None and time <= now and len(times) < share:
        times.append(time)
        time = rule.after(time)
    return _Slice(times, time)


@functools.lru_cache(maxsize=1_000)
def _tell(id: str, why: str) -> None:
    """Warn, once in a process, that it cannot put the jobs of a schedule."""
    import logging  # noqa: PLC0415  # it loads slowly, and few need it

    logging.getLogger("holdfast").warning(
        "schedule %r is left to other processes, for this one cannot tell when it is "
        "due: %s",
        id,
        why,
    )
