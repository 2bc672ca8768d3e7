"""Rounds: when an engine has its store tidied.

Answers for: saying that a round is due: something was left untidy, or there were
commits and time enough since the last one.
Leaves to others: what is done in one (`tidy`, which the store sets).
Always holds: no more than one round a minute waits to be done, so that whoever writes
meanwhile waits for one at most, and none is waited for that failed before it began; a
store that nobody writes to is left alone.
"""

import time

from holdfast.engine import Transaction, Work

_COMMITS = 1_000
_SECONDS = 60.0


class Rounds:
    """Counts commits, and the time since the last round."""

    def __init__(self) -> None:
        self._commits = 0
        self._since = time.monotonic()
        self._waiting = False

    def due(self, *, untidy: bool) -> bool:
        """Whether a round is due, now that there was one commit more."""
        self._commits += 1
        at_once = not self._waiting and (untidy or self._commits >= _COMMITS)
        return at_once or time.monotonic() - self._since >= _SECONDS

    def one(self, tidy: Work[None]) -> Work[None]:
        """The work of a round, which waits to be done from now on."""
        self._commits, self._since = 0, time.monotonic()
        self._waiting = True

        def work(tx: Transaction) -> None:
            self._waiting = False
            tidy(tx)

        return work
