"""Dumping: when a dump is written, and what is asked for it.

Answers for: how many a life writes, where, and what participants have in memory.
Leaves to others: the file (`dumps`).
Always holds: it raises nothing.
"""

import threading
from pathlib import Path
from typing import Any

from holdfast.clock import to_datetime
from holdfast.logs import logger
from holdfast.runtime.lifecycle import dumps
from holdfast.runtime.lifecycle.course import Course
from holdfast.runtime.lifecycle.dumps import Place, Trouble
from holdfast.runtime.lifecycle.modules import Plans
from holdfast.runtime.lifecycle.own import Own


class Dumping:
    """Writes the dumps of one life."""

    def __init__(
        self, course: Course, own: Own, plans: Plans, folder: Path | bool
    ) -> None:
        self._course = course
        self._own = own
        self._plans = plans
        self._folder = folder
        self._mutex = threading.Lock()
        self._count = 0

    @property
    def place(self) -> Place:
        """Where dumps are written."""
        folder = self._folder if isinstance(self._folder, Path) else None
        return dumps.place_of(self._own.place, folder)

    def write(self, what: str, error: BaseException | None) -> Path | None:
        """Write one, unless that is not wanted, or enough were; its path."""
        with self._mutex:
            if error is not None and self._folder is False:
                return None
            self._count += 1
            number = self._count
        if error is not None and number > dumps.A_LIFE:
            return None
        try:
            return self._write(Trouble(what, error), number)
        except Exception as problem:
            logger("holdfast.lifecycle").exception(
                "no emergency dump could be written: %s", problem
            )
            return None

    def _write(self, trouble: Trouble, number: int) -> Path | None:
        place, clock = self.place, self._own.clock
        path = place.path(clock, number)
        told = {
            "at": to_datetime(clock.now_us()).isoformat(),
            "store": self._own.place,
            "owner": self._own.owner,
            "participants": self._participants(),
        }
        report, plans = self._course.report(), self._plans.by_name
        if not dumps.write(path, trouble, report, plans, told):
            return None
        self._course.dumps.append(str(path))
        place.drop_old()
        return path

    def _participants(self) -> Any:
        """What participants of checkpoints have in memory; or why that is not known."""
        try:
            return self._own.collected()
        except Exception as error:
            return f"they could not be asked: {type(error).__name__}: {error}"
