"""Restoring: which parts that wait are given back, to whom, and what became of each.

Answers for: their order; that what a living process has is let be; the report.
Leaves to others: giving one part (`giving`), which processes live (`living`).
Always holds: every part is looked at, whatever went wrong with those before it.
"""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from holdfast.kinds.checkpoint_keeping import Keeping
from holdfast.kinds.checkpoint_records import STALE_SECONDS, Restoration, Waiting
from holdfast.runtime.checkpoints import living
from holdfast.runtime.checkpoints.participants import Participant

if TYPE_CHECKING:
    from holdfast.runtime.checkpoints.desk import Desk

_EVER = 2**62
_OWN = (
    "this process collected it itself, and has it still: name the checkpoint to have "
    "it restored all the same"
)


class Restoring:
    """Giving back what waits, part by part, oldest first."""

    def __init__(self, desk: "Desk", now: int, *, named: bool) -> None:
        self._desk = desk
        self._now = now
        self._named = named
        self.restored: list[str] = []
        self._failed: dict[str, str] = {}
        self._held: dict[str, str] = {}
        self._left: dict[str, None] = {}

    def one(self, part: Waiting) -> None:
        """Give back one part, or say why not."""
        participant = self._desk.participant(part.name)
        if participant is None or not participant.restores:
            self._left[part.name] = None
        elif why := self._kept_by(part):
            self._held[part.name] = why
        else:
            self._give(part, participant)

    def _give(self, part: Waiting, participant: Participant) -> None:
        try:
            wrong = self._desk.giving.one(part, participant)
        except LookupError:
            self._held[part.name] = "another process has just taken it over"
            return
        if wrong is None:
            self.restored.append(part.name)
        else:
            self._failed[part.name] = wrong

    def _kept_by(self, part: Waiting) -> str:
        """Why a part is let be, if its process may still have it in memory."""
        if part.run is None or self._named:
            return ""
        if part.run.id == self._desk.run.id:
            return _OWN
        silent = (self._now - part.beat_at) / 1_000_000
        if not living.lives(part.run, silent):
            return ""
        return (
            f"the process {part.run.process} that collected it may still run (on "
            f"another machine: until it says nothing for {STALE_SECONDS:g} s)"
        )

    def report(self) -> Restoration:
        """What became of all of them."""
        return Restoration(
            restored=tuple(self.restored),
            failed=self._failed,
            held=self._held,
            left=tuple(self._left),
        )


def waiting_in(kind: Keeping, id: str | None) -> tuple[Waiting, ...]:
    """What waits, of one checkpoint or of all."""
    if id is None:
        return kind.waiting()
    kind.get(id)
    named = (part for part in kind.waiting() if part.checkpoint == id)
    return tuple(replace(part, beat_at=_EVER) for part in named)  # whoever beats
