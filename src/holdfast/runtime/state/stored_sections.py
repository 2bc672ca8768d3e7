"""Stored sections: those of one open store in memory, and their way to the disk.

Answers for: a unit of work for each section that is saved, what becomes of it; whether
the store is still open.
Leaves to others: when that is (`saving`), what a unit writes (`kinds/state`).
Always holds: one section that cannot be saved keeps no other from it; what a failed
unit had taken along is as not saved as before.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

from holdfast.core import Core
from holdfast.engine import Terms, Unit, Work
from holdfast.errors import Closed, HoldfastError
from holdfast.kinds.state import State
from holdfast.provided import Provided
from holdfast.sections.unsaved import Unsaved

Known: TypeAlias = tuple[str, str]
"""A section, by its owner and its name."""


class StoredSections(Unsaved):
    """The sections of one open store, and what carries them there."""

    def __init__(self, core: Core) -> None:
        super().__init__()
        self._core = core
        self._provided = Provided()
        self._provided.unsaved = self
        self.over = False
        """Whether nothing more is taken in."""

    def refuse_over(self) -> None:
        """Raise `Closed` if the store was closed, or is a parent process's."""
        self._core.refuse_closed()
        if self.over:
            raise Closed(f"{self._core.engine.place} was closed: open it again")

    def _save(self, sections: Iterable[Known], *, patient: bool) -> int:
        """Save sections, each in a unit of its own; raises the first failure."""
        units = [(known, self._saving(known, patient=patient)) for known in sections]
        if len(units) == 1:
            return self._outcomes(units, self._core.engine.write)
        for _, unit in units:
            self._post(unit)
        return self._outcomes(units, self._outcome)

    def _post(self, unit: Unit[int]) -> None:
        unit.expected()
        try:
            self._core.engine.post(unit)
        except HoldfastError as error:
            unit.error = error
            assert unit.answered is not None
            unit.answered.release()
        except RuntimeError:  # the interpreter ends: no thread may start any more
            unit.answered = None

    def _outcome(self, unit: Unit[int]) -> int:
        return (
            self._core.engine.write(unit) if unit.answered is None else unit.outcome()
        )

    def _outcomes(self, units: list[tuple[Known, Unit[int]]], outcome: Any) -> int:
        """What became of some units; each is waited for."""
        total, failure = 0, None
        for known, unit in units:
            try:
                total += outcome(unit)
            except Exception as error:
                self.settle(*known)
                failure = failure or error
        if failure is not None:
            raise failure
        return total

    def _saving(self, known: Known, *, patient: bool) -> Unit[int]:
        owner, section = known
        unit = self._unit(owner, lambda tx: State(tx).save(section))
        unit.patient = patient
        return unit

    def _unit(self, owner: str, work: Work[Any]) -> Unit[Any]:
        terms = Terms(owner=owner, provided=self._provided)
        return self._core.unit(work, terms)
