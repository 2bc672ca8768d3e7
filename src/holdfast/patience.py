"""Patience: for how long someone goes on waiting for what may not come."""

import time


class Patience:
    """What is left of a time to wait, which begins now."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._until = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """How many seconds are left; None for no end."""
        if self._until is None:
            return None
        return max(0.0, self._until - time.monotonic())

    @property
    def over(self) -> bool:
        """Whether none is left."""
        return self.left() == 0.0
