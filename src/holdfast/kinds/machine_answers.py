"""Answers: what a job's end tells the machine that queued it.

Answers for: `SUCCESS` and `ERROR`, what `onSuccess` changes, timers that fire.
Leaves to others: how jobs end (`job_endings`), what the event leads to
(`machine_steps`).
Always holds: a job's end and what it leads to are one transaction; a machine is told of
each once, and takes it only in the state that the job was queued for.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from holdfast import codec
from holdfast.engine import Transaction
from holdfast.kinds.job_records import Ending, JobStatus
from holdfast.kinds.job_rows import lock_lane
from holdfast.kinds.job_turns import Turn
from holdfast.kinds.machine_effects import (
    Told,
    cancel_effects,
    is_lane,
    lane_of,
    set_timer,
)
from holdfast.kinds.machine_records import AFTER
from holdfast.kinds.machine_steps import ERROR, SUCCESS, Moving, compiled, tell
from holdfast.statecharts.expressions import Scope
from holdfast.statecharts.specs import Update

Teller: TypeAlias = Callable[[Transaction, Turn, JobStatus, Ending], None]
"""What is done about a job's machine when the job ends."""


def answers(turn: Turn) -> bool:
    """Whether a machine may have to be told of a job's end."""
    return turn.kind == AFTER or is_lane(turn.lane)


def answer(tx: Transaction, turn: Turn, status: JobStatus, ending: Ending) -> None:
    """Tell a job's machine, if it has one, that it has ended.

    Raises `Refused` (a guard that nobody provides here, a circle), `TooLarge`.
    """
    found = _taken(tx, turn.id)
    if found is None:
        return
    asked = {"owner": tx.terms.owner, "id": found.id, "now": tx.now}
    row = tx.one("machine_defined", **asked)
    assert row is not None
    moving = Moving(tx, row, compiled(tx, row[3], row[-2], row[-1]))
    moving.follow()
    event, payload = _said(found, status, ending)
    if status is JobStatus.DONE:
        scope = Scope.of(moving.context, payload, tx.now)
        updates = map(Update, codec.decode(found.on_success) or ())
        moving.update(updates, scope, f"{turn.kind} is done")
    elif found.event is None:
        cancel_effects(tx, found.machine, found.step)
    if event is not None and found.entered == moving.entered:
        moving.take(event, payload, refuse=False)
    if moving.made:
        moving.write()
    tell(moving)


def postpone(tx: Transaction, turn: Turn, status: JobStatus, ending: Ending) -> None:
    """Have a job's machine told of its end by a timer, which is tried again."""
    tell_later(tx, turn.id, status, ending)


def tell_later(tx: Transaction, job: str, status: JobStatus, ending: Ending) -> None:
    """As `postpone`, of a job that is known by its id."""
    found = _taken(tx, job)
    if found is None:
        return
    event, payload = _said(found, status, ending)
    done = status is JobStatus.DONE
    if not done:
        cancel_effects(tx, found.machine, found.step)
    told = Told(
        found.machine,
        found.step,
        found.entered,
        event=event or "",
        last=1,
        on_success=found.on_success if done else None,
        payload=codec.text_of(payload),
    )
    set_timer(tx, told, {"machine": found.id, "event": event}, tx.now)


class _Effect(msgspec.Struct, frozen=True):
    """What a machine is to be told of a job's end; `id` is the machine's."""

    no: int
    machine: int
    step: int
    entered: int | None
    event: str | None
    last: int
    on_success: str | None
    payload: str | None
    id: str


def _taken(tx: Transaction, job: str) -> _Effect | None:
    """What is to be told of a job, once; its machine is locked then."""
    asked = {"owner": tx.terms.owner, "job": job}
    row = tx.one("machine_effect_of", **asked)
    if row is None:
        return None
    lock_lane(tx, lane_of(row[-1]))
    row = tx.one("machine_effect_of", **asked)  # nobody changes it any more
    if row is None:
        return None
    tx.put("machine_effect_drop", owner=tx.terms.owner, no=row[0])
    return _Effect(*row)


def _said(
    effect: _Effect, status: JobStatus, ending: Ending
) -> tuple[str | None, dict[str, Any]]:
    """The event that tells of a job's end, if any does, and its payload."""
    payload = codec.decode(effect.payload)
    given: dict[str, Any] = payload if isinstance(payload, dict) else {}
    done = status is JobStatus.DONE
    if effect.event is not None:
        return (effect.event or None) if done else None, given
    if done:
        result = codec.decode(ending.result)
        return SUCCESS if effect.last else None, {**given, "result": result}
    message = ending.error or f"the job is {status}"
    return ERROR, {**given, "errors": [{"message": message}]}
