"""Asking: a checkpoint of what other processes have in memory.

Answers for: asking each process that is there, and waiting for what it answers.
Leaves to others: answering (`keeper`).
"""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from holdfast.engine import Terms
from holdfast.errors import Refused
from holdfast.kinds.checkpoint_records import Answer, Run
from holdfast.kinds.checkpoint_runs import Runs
from holdfast.runtime.checkpoints import living

if TYPE_CHECKING:
    from holdfast.core import Core

_LOOK_SECONDS = 0.05


class Question:
    """A checkpoint that processes were asked for, and what they have answered."""

    def __init__(self, core: "Core", terms: Terms) -> None:
        self._core = core
        self._owner = terms.owner
        self._runs: dict[str, Run] = {}
        self._asked: dict[str, int] = {}
        self._answers: dict[str, Any] = {}

    def ask(self) -> None:
        """Ask every process that lives."""
        if self._core.read_only:
            raise Refused(
                f"{self._core.engine.place} is open read-only, and nobody can be asked "
                "through it: open it without read_only=True"
            )
        now, runs = self._do(lambda runs: (runs.tx.now, runs.list()), reads=True)
        for run, beat_at in runs:
            if living.lives(run, (now - beat_at) / 1_000_000):
                self._runs[run.id] = run
        if self._runs:
            self._asked = self._do(lambda runs: runs.ask(sorted(self._runs)))

    @property
    def answered(self) -> bool:
        """Whether everyone has answered by now, or is over."""
        missing = {
            id: number for id, number in self._asked.items() if id not in self._answers
        }
        if missing:
            self._answers |= self._do(lambda runs: runs.answers(missing), reads=True)
        return self._answers.keys() >= self._asked.keys()

    def answers(self) -> tuple[Answer, ...]:
        """What everyone has answered who was asked, and is not over."""
        gone = {id for id, said in self._answers.items() if said is None}
        return tuple(
            self._answer(run, self._answers.get(id))
            for id, run in self._runs.items()
            if id in self._asked and id not in gone
        )

    def _answer(self, run: Run, said: dict[str, Any] | None) -> Answer:
        return Answer(
            owner=self._owner,
            process=run.process,
            answered=said is not None,
            **(said or {}),
        )

    def _do(self, work: Callable[[Runs], Any], *, reads: bool = False) -> Any:
        unit = self._core.unit(lambda tx: work(Runs(tx)), Terms(owner=self._owner))
        engine = self._core.engine
        return engine.read(unit) if reads else engine.write(unit)


def ask(core: "Core", terms: Terms, seconds: float) -> tuple[Answer, ...]:
    """Ask everyone of one owner, and wait so long for the answers."""
    return asked_each([Question(core, terms)], seconds)


def asked_each(questions: list[Question], seconds: float) -> tuple[Answer, ...]:
    """Ask everyone of several owners, and wait so long for all their answers."""
    until = time.monotonic() + seconds
    for question in questions:
        question.ask()
    while questions and time.monotonic() < until:
        missing = [question for question in questions if not question.answered]
        if not missing:
            break
        time.sleep(_LOOK_SECONDS)
    return tuple(answer for question in questions for answer in question.answers())


def owners_with_runs(core: "Core") -> Sequence[str]:
    """Everyone for whom a process has participants."""
    unit = core.unit(lambda tx: Runs(tx).owners(), Terms(every_owner=True))
    return core.engine.read(unit)
