"""Steps: what a handler has done before, found again by name and order.

Answers for: which step a call is: the n-th of its name, at its place in the order of
calls; whether it was kept by a run before; whether the code before had another there.
Leaves to others: reading and keeping steps (the kind `jobs`), doing them (`running`).
Always holds: the same code asks for the same steps in the same order, and gets them.
"""

from collections.abc import Iterable

import msgspec

from holdfast.kinds.job_records import Step


class Asked(msgspec.Struct, frozen=True):
    """A step that a handler asks for: the n-th of its name, and what was kept of it.

    `moved` names the step that had its place when the handler ran before, if that was
    another.
    """

    name: str
    nth: int
    position: int
    kept: Step | None
    moved: str | None


class Steps:
    """The steps of one run of a handler, beside those of the runs before."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], Step] = {}
        self._names: dict[int, str] = {}
        self._asked: dict[str, int] = {}
        self._calls = 0

    def remember(self, kept: Iterable[Step]) -> None:
        """Learn what the runs before have kept."""
        self._kept = {(step.name, step.nth): step for step in kept}
        self._names = {step.position: step.name for step in self._kept.values()}

    def nth(self, name: str) -> int:
        """How many steps of a name were asked for by now."""
        return self._asked.get(name, 0)

    def next(self, name: str) -> Asked:
        """The step that the next call of this name is."""
        nth, position = self.nth(name), self._calls
        self._asked[name] = nth + 1
        self._calls += 1
        was = self._names.get(position)
        moved = was if was != name else None
        return Asked(name, nth, position, self._kept.get((name, nth)), moved)
