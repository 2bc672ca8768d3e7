"""Offline: direct messages to names that nobody has, kept for a while.

Answers for: how many are kept, for how long, and what is told of those given up.
Always holds: there are at most `most` for a name, and for `NAMES_MOST` names; none is
older than `seconds` when it is handed over.
"""

from collections import deque

from holdfast.clock import Clock
from holdfast.runtime.bus.messages import Parcel

NAMES_MOST = 1_000
_NEVER = 1 << 62


class Offline:
    """What waits for names, each name's in order."""

    def __init__(self, most: int, seconds: float, clock: Clock) -> None:
        self.given_up = 0
        """How many were too many, or became too old."""
        self._most = most
        self._lasts = round(seconds * 1_000_000)
        self.due = _NEVER
        """When the oldest of all may be too old."""
        self.to_tell: list[str] = []
        """What is to be logged: for each name, the first time only."""
        self._forgot = False
        self._clock = clock
        self._waiting: dict[str, deque[Parcel]] = {}
        self._lost: dict[str, int] = {}

    def keep(self, parcel: Parcel) -> None:
        """Keep one until its name appears."""
        name = parcel.to or ""
        if name not in self._waiting and len(self._waiting) >= NAMES_MOST:
            self._forget_a_name()
        waiting = self._waiting.setdefault(name, deque())
        self._age(name, waiting)
        waiting.append(parcel)
        self.due = min(self.due, waiting[0].at + self._lasts)
        if len(waiting) > self._most:
            waiting.popleft()
            self._give_up(name, f"more than {self._most:,} wait")

    def claim(self, name: str) -> tuple[list[Parcel], int]:
        """What was kept for a name that appears, and how many were given up."""
        waiting = self._waiting.get(name, deque())
        self._age(name, waiting)
        self._waiting.pop(name, None)
        return list(waiting), self._lost.pop(name, 0)

    def names(self) -> list[str]:
        """The names that something waits for."""
        return list(self._waiting)

    def grow_old(self) -> None:
        """Give up all that is too old by now."""
        for name, waiting in self._waiting.items():
            self._age(name, waiting)
        oldest = (one[0].at for one in self._waiting.values() if one)
        self.due = min(oldest, default=_NEVER - self._lasts) + self._lasts

    def _age(self, name: str, waiting: deque[Parcel]) -> None:
        oldest = self._clock.now_us() - self._lasts
        while waiting and waiting[0].at < oldest:
            waiting.popleft()
            self._give_up(name, "they are too old")

    def _give_up(self, name: str, why: str) -> None:
        if name not in self._lost:
            self.to_tell.append(
                f"direct messages to {name!r}, whom nobody is, are given up: {why}"
            )
        self.given_up += 1
        self._lost[name] = self._lost.get(name, 0) + 1

    def _forget_a_name(self) -> None:
        """Make place for another name: the one that was first sent to goes."""
        name = next(iter(self._waiting))
        self.given_up += len(self._waiting.pop(name))
        self._lost.pop(name, None)
        if not self._forgot:
            self._forgot = True
            self.to_tell.append(
                f"direct messages wait for more than {NAMES_MOST:,} names, whom nobody "
                f"is: those to {name!r} are given up, and so on"
            )
