"""Giving: one part given back to its participant, and how that went.

Answers for: that a part is claimed before it is given; that how it went is kept, later
if it cannot be kept at once, and once it is known where it takes longer than its time.
Leaves to others: which parts are given, and in which order (`restoring`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import msgspec

from holdfast import codec
from holdfast.errors import Closed, HoldfastError, Refused
from holdfast.kinds.checkpoint_keeping import Keeping
from holdfast.kinds.checkpoint_records import Run, Waiting
from holdfast.logs import logger
from holdfast.runtime.checkpoints.calls import Call, said
from holdfast.runtime.checkpoints.participants import STILL_AT_IT, Calls, Participant


class Write(Protocol):
    """How a unit of work is carried out that writes."""

    def __call__(
        self, work: Callable[[Keeping], Any], *, patient: bool = True
    ) -> Any: ...


class Giving:
    """Giving parts back, for one run."""

    def __init__(self, write: Write, run: Run, calls: Calls) -> None:
        self._write = write
        self._run = run
        self._calls = calls
        self._unsettled: dict[tuple[str, str], tuple[Waiting, str | None]] = {}
        """How it went with parts, where that could not be kept."""

    def one(self, part: Waiting, participant: Participant) -> str | None:
        """Give one part back, and keep how it went; what was wrong, if anything.

        Raises `LookupError` if somebody else has it by now.
        """
        if participant.is_at_it():
            return STILL_AT_IT
        try:
            row = self._write(lambda kind: kind.claim(part, self._run))
        except (Closed, Refused):
            raise
        except HoldfastError as error:  # perhaps it is claimed
            self._unsettled[part.checkpoint, part.name] = (part, said(error))
            return said(error)
        if row is None:
            raise LookupError(part.name)
        return self._given(part, participant, row[0])

    def _given(self, part: Waiting, participant: Participant, text: str) -> str | None:
        try:
            call = participant.restoring(codec.decode(text))
        except msgspec.MsgspecError as error:
            wrong: str | None = f"what is kept of it is damaged: {error}"
        else:
            wrong = self._calls.all_done([(participant, call)])[participant.name]
            if wrong is not None and call.tell_late(partial(self._late, part)):
                return f"{wrong}; it is not given again unless it ends with an error"
        self._settle(part, wrong)
        return wrong

    def _late(self, part: Waiting, call: Call) -> None:
        """Keep how it went with a part that took longer than its time."""
        self._settle(part, None if call.error is None else said(call.error))

    def _settle(self, part: Waiting, wrong: str | None) -> None:
        """Keep how it went with a part; if that cannot be, it is tried again."""
        if wrong is not None:
            logger("holdfast.checkpoints").error(
                "participant %r was not restored: %s", part.name, wrong
            )
        try:
            self._write(lambda kind: kind.settle(part, self._run, wrong))
        except HoldfastError as error:
            self._unsettled[part.checkpoint, part.name] = (part, wrong)
            logger("holdfast.checkpoints").error(
                "how restoring participant %r went could not be kept, which is tried "
                "again with the next checkpoint of this store: %s",
                part.name,
                error,
            )

    def settle_again(self, *, patient: bool = True) -> None:
        """Keep how it went with parts, where that could not be kept before."""
        for where, (part, wrong) in list(self._unsettled.items()):

            def work(kind: Keeping, part: Waiting = part, wrong: Any = wrong) -> None:
                kind.settle(part, self._run, wrong)

            self._write(work, patient=patient)
            self._unsettled.pop(where, None)
