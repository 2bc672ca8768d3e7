"""Circuits: whoever fails again and again is left alone for a while, then tried once.

A circuit is closed as long as all goes well. As many failures as its limit, within its
window, open it: nothing goes through. When that has lasted long enough it is half-open:
one goes through, which closes it, or opens it again.

Answers for: whether something goes through now, and when that changes.
Leaves to others: what goes through it, and what a failure is (`events.attaching`).
Always holds: it reads no clock; times are in microseconds, and handed in. A clock that
was set back keeps no circuit open for longer than `open_us`.
"""

from collections import deque
from enum import StrEnum

FAILURES = 5
WITHIN_US = 5 * 60 * 1_000_000
OPEN_US = 60 * 1_000_000


class CircuitState(StrEnum):
    """Whether anything goes through."""

    CLOSED = "closed"
    """Everything does."""
    OPEN = "open"
    """Nothing does."""
    HALF_OPEN = "half-open"
    """One is being tried."""


class Circuit:
    """What stands between events and one who is told of them."""

    __slots__ = ("_failures", "_most", "_open_us", "_within_us", "since", "state")

    def __init__(
        self,
        now: int,
        *,
        failures: int = FAILURES,
        within_us: int = WITHIN_US,
        open_us: int = OPEN_US,
    ) -> None:
        self.state = CircuitState.CLOSED
        self.since = now
        """Since when its state is that."""
        self._most = failures
        self._within_us = within_us
        self._open_us = open_us
        self._failures: deque[int] = deque(maxlen=failures)

    def admits(self, now: int) -> bool:
        """Whether one goes through now; how it went is to be told then."""
        if self.state is CircuitState.OPEN:
            self.since = min(self.since, now)
            if now - self.since >= self._open_us:
                self._become(CircuitState.HALF_OPEN, now)
                return True
        return self.state is CircuitState.CLOSED

    def succeeded(self, now: int) -> bool:
        """Say that one that went through went well; whether that closed the circuit."""
        if self.state is not CircuitState.HALF_OPEN:
            return False
        self._become(CircuitState.CLOSED, now)
        return True

    def failed(self, now: int) -> bool:
        """Say that one that went through failed; whether that opened the circuit."""
        if self.state is CircuitState.OPEN:
            return False
        self._failures.append(now)
        if self.state is CircuitState.CLOSED and not self._too_many(now):
            return False
        self._become(CircuitState.OPEN, now)
        return True

    def _too_many(self, now: int) -> bool:
        full = len(self._failures) == self._most
        return full and now - self._failures[0] < self._within_us

    def _become(self, state: CircuitState, now: int) -> None:
        self.state, self.since = state, now
        self._failures.clear()
