"""Effects of machines: the jobs of whose ends machines are told.

Answers for: queueing effects and timers, and dropping those that are over.
Leaves to others: which there are (`machine_steps`), what a machine is told
(`machine_answers`), how jobs are done (`jobs`).
Always holds: a machine's lane is locked before a job of it is dropped; a timer that
rings just then is left to whoever has it, who finds that nobody is told any more.
"""

from typing import Any

import msgspec

from holdfast import codec
from holdfast.engine import Transaction
from holdfast.kinds.job_records import ACTIVE, Ending, JobStatus
from holdfast.kinds.job_rows import NewJob, add, lock_lane, move_up
from holdfast.kinds.job_turns import free_turn_of, turn_of, write_end
from holdfast.kinds.machine_records import AFTER

_LANE = "machine:"
_TRIES = 1_000
"""How often a machine is tried to be told of a timer, or of what was done."""
_CANCELLED = Ending(id="", lane=None, fence=0, outcome="released")


class Told(msgspec.Struct, frozen=True):
    """What a machine, by its number, is told of a job's end.

    A job with an `event` is a timer; one that is `last` as well tells what could not be
    told when it happened. Without one it is an effect, the last of its step or not.
    """

    machine: int
    step: int
    entered: int | None
    event: str | None = None
    last: int = 0
    on_success: str | None = None
    payload: str | None = None


def lane_of(id: str) -> str:
    """The lane of a machine's effects; who locks it has locked the machine."""
    return _LANE + id


def is_lane(lane: str | None) -> bool:
    """Whether a lane may be a machine's."""
    return lane is not None and lane.startswith(_LANE)


def put_told(tx: Transaction, told: Told, job: NewJob) -> None:
    """Put a job, of whose end a machine is told."""
    add(tx, job)
    have_told(tx, told, job.id)


def have_told(tx: Transaction, told: Told, job: str) -> None:
    """Have a machine told of a job's end."""
    tx.put(
        "machine_effect_add",
        no=tx.new_no(),
        owner=tx.terms.owner,
        job=job,
        **msgspec.structs.asdict(told),
    )


def set_timer(tx: Transaction, told: Told, body: dict[str, Any], run_at: int) -> None:
    """Have a machine told of an event when its time has come, in microseconds."""
    job = NewJob(
        id=tx.new_id(),
        kind=AFTER,
        body=codec.text_of(body),
        run_at=run_at,
        max_attempts=_TRIES,
    )
    put_told(tx, told, job)


def cancel_timers(tx: Transaction, machine: int) -> None:
    """Cancel the timers of a machine, but for those that ring now."""
    asked = {"owner": tx.terms.owner, "machine": machine}
    for no, job, _, event, last in tx.all("machine_effect_list", **asked):
        if event is not None and not last:
            _cancel_timer(tx, no, job)


def cancel_effects(tx: Transaction, machine: int, step: int) -> None:
    """Cancel the effects of one of a machine's steps that are still to be done."""
    asked = {"owner": tx.terms.owner, "machine": machine}
    for no, job, of, event, _ in tx.all("machine_effect_list", **asked):
        if event is None and of == step:
            _cancel_effect(tx, no, job)


def drop_effects(tx: Transaction, machine: int, *, after: int) -> None:
    """Cancel all that a machine's steps after one have queued."""
    asked = {"owner": tx.terms.owner, "machine": machine}
    for no, job, step, event, _ in tx.all("machine_effect_list", **asked):
        if step > after:
            (_cancel_effect if event is None else _cancel_timer)(tx, no, job)


def _cancel_effect(tx: Transaction, no: int, job: str) -> None:
    tx.put("machine_effect_drop", owner=tx.terms.owner, no=no)
    tx.lock("jobs", job)
    turn = turn_of(tx, job)
    if turn is not None and turn.state != ACTIVE:
        lock_lane(tx, turn.lane)
        write_end(tx, turn, JobStatus.CANCELLED, _CANCELLED)
        move_up(tx, turn.lane)


def _cancel_timer(tx: Transaction, no: int, job: str) -> None:
    """Cancel a timer without waiting for who has it: they wait for the machine."""
    tx.put("machine_effect_drop", owner=tx.terms.owner, no=no)
    turn = free_turn_of(tx, job)
    if turn is not None and turn.state != ACTIVE:
        write_end(tx, turn, JobStatus.CANCELLED, _CANCELLED)
