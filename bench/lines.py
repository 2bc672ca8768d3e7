"""What a measure reports: a figure, what it is held against, and the goal.

Always holds: a line is judged by its ratio where there is something to hold it
against, and by its own figure where there is not.
"""

from statistics import median
from typing import Literal

import msgspec

FULL = "FULL"  # synchronous=FULL: what is acknowledged survives a power cut


class Goal(msgspec.Struct, frozen=True):
    """A bound that is to be met."""

    bound: Literal["at least", "at most"]
    value: float

    def met_by(self, figure: float) -> bool:
        """Tell whether `figure` is within the bound."""
        if self.bound == "at least":
            return figure >= self.value
        return figure <= self.value

    def __str__(self) -> str:
        sign = "≥" if self.bound == "at least" else "≤"
        return f"{sign} {self.value:g}"


def at_least(value: float) -> Goal:
    return Goal("at least", value)


def at_most(value: float) -> Goal:
    return Goal("at most", value)


AHEAD = at_least(1)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table.

    `ours` and `theirs` are medians in `unit`; `ratio` is the median of the rounds'
    ratios, which need not be the ratio of the medians; `low` and `high` are the least
    and the greatest of them.
    """

    measure: str
    ours: float
    unit: str
    durability: str = ""
    against: str = ""
    theirs: float | None = None
    their_durability: str = ""
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    goal: Goal | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Tell whether the goal is met; None where there is none."""
        if self.goal is None:
            return None
        return self.goal.met_by(self.ours if self.ratio is None else self.ratio)


def compared(
    measure: str,
    ours: list[float],
    theirs: list[float],
    *,
    against: str,
    unit: str = "/s",
    durability: str = FULL,
    their_durability: str | None = None,
    goal: Goal | None = None,
) -> Line:
    """Put two series of the same rounds side by side."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Line(
        measure=measure,
        ours=median(ours),
        unit=unit,
        durability=durability,
        against=against,
        theirs=median(theirs),
        their_durability=durability if their_durability is None else their_durability,
        ratio=median(ratios),
        low=min(ratios),
        high=max(ratios),
        goal=goal,
    )
