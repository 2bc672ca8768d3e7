"""What a checkpoint is: its record, its parts, and what taking and restoring report.

Answers for: the records, reading them from rows.
Leaves to others: everything that is done with them (`checkpoints`), collecting and
restoring (`runtime.checkpoints`).
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from holdfast import codec
from holdfast.clock import to_datetime
from holdfast.engine import Row

STALE_SECONDS = 30.0
"""After so long without a word, a process on another machine is taken for dead."""


class PartStatus(StrEnum):
    """What became of a part."""

    WAITING = "waiting"
    """It is to be restored, once the process that took it is over."""
    CLAIMED = "claimed"
    """It is being restored, or who did so has died over it: it is not given again."""
    RESTORED = "restored"
    """It was restored."""
    REPLACED = "replaced"
    """The process that took it has collected anew since."""


class MemoryPart(msgspec.Struct, frozen=True, kw_only=True):
    """What one participant had in memory.

    `attempts` counts how often it was to be restored, and `error` is what was wrong the
    last time. `data` is what was collected; lists leave it out.
    """

    name: str
    status: PartStatus
    bytes: int
    attempts: int
    error: str | None
    restored_at: datetime | None
    data: Any = None


class MemoryCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the participants of one process had in memory at a time.

    `process` is the machine and the process's number; `failed` says, by participant,
    what kept it from being collected.
    """

    id: str
    owner: str
    process: str
    reason: str
    taken_at: datetime
    failed: dict[str, str]
    parts: tuple[MemoryPart, ...]

    @property
    def waiting(self) -> bool:
        """Whether something of it is still to be restored."""
        return any(part.status is PartStatus.WAITING for part in self.parts)


class Collected(msgspec.Struct, frozen=True):
    """What participants have in memory now, and what kept some from being collected."""

    parts: dict[str, Any]
    failed: dict[str, str]


class Restoration(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the parts that waited to be restored.

    `restored` names the participants that were given a part, one time for each;
    `failed` says what was wrong, `held` why a part was let be; `left` names those for
    which this process has no participant.
    """

    restored: tuple[str, ...] = ()
    failed: dict[str, str] = {}
    held: dict[str, str] = {}
    left: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a running process answered that was asked for a checkpoint.

    `checkpoint` is the id of what it took, None if it had nothing in memory. One that
    did not answer in time may still do so later.
    """

    owner: str
    process: str
    answered: bool
    checkpoint: str | None = None
    failed: dict[str, str] = {}


class Run(msgspec.Struct, frozen=True):
    """An open store that has participants: its id, and which process it is in."""

    id: str
    machine: str
    pid: int
    started: str
    process: str


class Waiting(msgspec.Struct, frozen=True):
    """A part that waits, and the run that took it, with when that last beat."""

    checkpoint: str
    name: str
    run: Run | None
    beat_at: int


def checkpoint_of(row: Row, parts: list[Row]) -> MemoryCheckpoint:
    """A checkpoint from a row of `memory_fields`, and rows of its parts."""
    id, owner, process, reason, failed, taken_at = row
    return MemoryCheckpoint(
        id=id,
        owner=owner,
        process=process,
        reason=reason,
        taken_at=to_datetime(taken_at),
        failed=codec.decode(failed),
        parts=tuple(map(_part_of, parts)),
    )


def _part_of(row: Row) -> MemoryPart:
    name, status, size, attempts, error, restored_at, *data = row
    return MemoryPart(
        name=name,
        status=PartStatus(status),
        bytes=size,
        attempts=attempts,
        error=error,
        restored_at=None if restored_at is None else to_datetime(restored_at),
        data=codec.decode(data[0]) if data else None,
    )


def waiting_of(row: Row) -> Waiting:
    """A part that waits, from a row of `memory_part_waiting`."""
    checkpoint, name, run, _, machine, pid, started, process, beat_at = row
    if machine is None:  # its run is over
        return Waiting(checkpoint, name, None, 0)
    return Waiting(checkpoint, name, Run(run, machine, pid, started, process), beat_at)
