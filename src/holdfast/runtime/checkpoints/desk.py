"""Desk: the participants of one owner in one open store, collected and restored.

Answers for: who takes part; taking a checkpoint of them; giving them what waits.
Leaves to others: how they are called (`participants`), which parts are given back
(`restoring`), and how one is (`giving`); what is kept (`kinds.checkpoint_keeping`);
when that is done by itself (`keeper`).
Always holds: one is taken, or restored, at a time; what one participant does wrong is
said of it, and keeps no other from its turn.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from holdfast import codec, edges
from holdfast.clock import token
from holdfast.core import Core
from holdfast.engine import Terms, Transaction, Unit
from holdfast.errors import HoldfastError, NotFound, Refused, TooLarge
from holdfast.kinds.checkpoint_keeping import Keeping
from holdfast.kinds.checkpoint_records import (
    Answer,
    Collected,
    MemoryCheckpoint,
    Restoration,
)
from holdfast.kinds.checkpoint_runs import Runs
from holdfast.limits import hold
from holdfast.logs import logger
from holdfast.runtime.checkpoints import living
from holdfast.runtime.checkpoints.calls import refuse_within
from holdfast.runtime.checkpoints.giving import Giving
from holdfast.runtime.checkpoints.participants import STILL_AT_IT, Calls, Participant
from holdfast.runtime.checkpoints.restoring import Restoring, waiting_in


class _Gathered(NamedTuple):
    """What was collected, as it is kept, and what kept some from it."""

    parts: dict[str, codec.Document]
    failed: dict[str, str]


class Desk:
    """The participants of one owner in one open store."""

    def __init__(self, core: Core, owner: str, calls: Calls) -> None:
        self.core = core
        self.owner = owner
        self.run = living.begin(token(core.clock.now_us()))
        self.known = False
        """Whether the store knows of this run."""
        self.giving = Giving(self._write, self.run, calls)
        self._calls = calls
        self._participants: dict[str, Participant] = {}
        self._wrong: dict[str, str] = {}
        """What kept participants from being collected the last time."""
        self._over = False
        self._mutex = threading.RLock()
        self._turn = threading.RLock()
        """Held by who takes or restores. A signal's handler amid that has both, too."""

    # Who takes part.

    def add(self, participant: Participant) -> Callable[[], None]:
        """Have someone take part from now on; gives what ends that."""
        limit = self.core.limits.checkpoint_parts
        with self._mutex:
            if participant.name in self._participants:
                raise Refused(
                    f"there is a participant {participant.name!r} already; nothing "
                    "was changed: give this one another name, or end that one first"
                )
            many = len(self._participants) + 1
            hold(many, limit, "participants", "checkpoint_parts")
            self._participants[participant.name] = participant
        return partial(self._drop, participant)

    def _drop(self, participant: Participant) -> None:
        with self._mutex:
            if self._participants.get(participant.name) is participant:
                del self._participants[participant.name]

    @property
    def anyone(self) -> bool:
        """Whether anyone takes part."""
        return bool(self._participants)

    def _everyone(self) -> list[Participant]:
        return list(self._participants.copy().values())

    # Taking.

    def take(
        self, reason: str, *, anew: bool = True, patient: bool = True
    ) -> MemoryCheckpoint | None:
        """Take a checkpoint of what everyone has; None if that is nothing.

        Unless `anew`, what was in this run's last one is not written again.
        """
        refuse_within("checkpoints.take")
        with self._turn:
            self.giving.settle_again(patient=patient)
            found = self._gather()
            id = self._write(
                lambda kind: kind.keep(
                    self.run, reason, found.parts, found.failed, anew=anew
                ),
                patient=patient,
            )
            self.known = True
        if id is None:
            return None
        try:
            taken: MemoryCheckpoint = self._read(
                lambda kind: kind.get(id), patient=patient
            )
        except NotFound:  # somebody has deleted it by now
            return None
        return taken

    def collect(self) -> Collected:
        """What everyone has, without keeping it."""
        refuse_within("checkpoints.collect")
        with self._turn:
            found = self._gather()
        parts = {name: part.value for name, part in found.parts.items()}
        return Collected(parts, found.failed)

    def _gather(self) -> _Gathered:
        everyone = self._everyone()
        failed = {one.name: STILL_AT_IT for one in everyone if one.is_at_it()}
        free = [one for one in everyone if one.name not in failed]
        calls = [(one, one.collecting(self._kept)) for one in free]
        wrong = self._calls.all_done(calls)
        failed |= {name: error for name, error in wrong.items() if error is not None}
        parts = {
            one.name: call.result
            for one, call in calls
            if one.name not in failed and call.result is not None
        }
        self._complain(failed)
        return _Gathered(parts, failed)

    def _complain(self, failed: dict[str, str]) -> None:
        """Say what went wrong, unless it is what was wrong the last time."""
        for name, error in failed.items():
            if self._wrong.get(name) != error:
                logger("holdfast.checkpoints").error(
                    "participant %r was not collected: %s", name, error
                )
        self._wrong = failed

    def _kept(self, value: Any) -> codec.Document | None:
        """What is kept of what a participant has; None if that is nothing."""
        if _is_nothing(value):
            return None
        found: codec.Document = edges.json_of(value, "what it has")
        size, limit = len(found.text.encode()), self.core.limits.value_bytes
        if size > limit:
            raise TooLarge(
                f"what it has: {size:,} is past the limit of {limit:,} "
                "(limits.value_bytes); what it had before is kept: let it collect less"
            )
        return found

    # Restoring.

    def restore(self, id: str | None = None) -> Restoration:
        """Give participants what waits for them; of one checkpoint, if it is named."""
        refuse_within("checkpoints.restore")
        with self._turn:
            self.giving.settle_again()
            waiting = self._read(lambda kind: (kind.tx.now, waiting_in(kind, id)))
            restoring = Restoring(self, waiting[0], named=id is not None)
            for part in waiting[1]:
                restoring.one(part)
            if restoring.restored:
                self._take_over()
        return restoring.report()

    def _take_over(self) -> None:
        """Keep what was restored: from now on it is in this process's memory."""
        try:
            self.take("restored")
        except HoldfastError as error:
            logger("holdfast.checkpoints").error(
                "what was restored is in no checkpoint yet: %s", error
            )

    def participant(self, name: str) -> Participant | None:
        """Who takes part under a name."""
        return self._participants.get(name)

    # That this run is there.

    def beat(self) -> None:
        """Say that this run is there."""
        self._write(lambda kind: Runs(kind.tx).beat(self.run), patient=False)
        self.known = True

    def question(self) -> int:
        """Which question is to be answered; 0 if there is none."""
        return int(
            self._read(lambda kind: Runs(kind.tx).asked_of(self.run), patient=False)
        )

    def answer(self, asked: int) -> None:
        """Take a checkpoint for who asked for it, and tell them of it."""
        with self._turn:
            if self._over:
                return
            self._answer(asked, self.take("asked", patient=False))

    def _answer(self, asked: int, taken: MemoryCheckpoint | None) -> None:
        told: dict[str, Any] = {"checkpoint": None, "failed": {}}
        if taken is not None:
            told = {"checkpoint": taken.id, "failed": taken.failed}
        self._write(
            lambda kind: Runs(kind.tx).answer(self.run, asked, told), patient=False
        )

    def asked_here(self) -> Answer:
        """What an answer is where no other process can ask, nor this one by itself."""
        taken = self.take("asked")
        process = self.run.process
        if taken is None:
            return Answer(owner=self.owner, process=process, answered=True)
        return Answer(
            owner=self.owner,
            process=process,
            answered=True,
            checkpoint=taken.id,
            failed=taken.failed,
        )

    def take_by_itself(self, reason: str) -> None:
        """Take one that nobody waits for, if something has changed."""
        with self._turn:
            if not self._over:
                self.take(reason, anew=False, patient=False)

    def end(self, reason: str, *, kept: bool, taken: bool = False) -> None:
        """Take a last checkpoint, unless it is the same or never `kept`; be over.

        Where the last one was `taken` already, none takes its place.
        """
        with self._turn:
            self._over = True
            try:
                if kept and (self.anyone or self.known):
                    if not taken:
                        self.take(reason, anew=False, patient=False)
                    self._write(lambda kind: Runs(kind.tx).end(self.run), patient=False)
                    self.known = False
            except HoldfastError as error:
                logger("holdfast.checkpoints").error(
                    "the last checkpoint could not be taken: %s", error
                )
            finally:
                living.end(self.run.id)

    # The store.

    def _write(self, work: Callable[[Keeping], Any], *, patient: bool = True) -> Any:
        return self.core.engine.write(self._unit(work, patient))

    def _read(self, work: Callable[[Keeping], Any], *, patient: bool = True) -> Any:
        return self.core.engine.read(self._unit(work, patient))

    def _unit(self, work: Callable[[Keeping], Any], patient: bool) -> Unit[Any]:
        def in_tx(tx: Transaction) -> Any:
            return work(Keeping(tx))

        unit: Unit[Any] = self.core.unit(in_tx, Terms(owner=self.owner))
        unit.patient = patient
        return unit


def _is_nothing(value: Any) -> bool:
    """Whether someone has nothing in memory: None, or an empty list, dict or text."""
    return value is None or (isinstance(value, (list, tuple, dict, str)) and not value)
