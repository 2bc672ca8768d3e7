"""Bell: what a thread waits for, which may be rung from anywhere.

From a signal's handler or a finalizer too, in the very thread that waits: the lock in a
`threading.Event` is held by then.
"""

from contextlib import suppress
from queue import Empty, SimpleQueue


class Bell:
    """It is rung, or not; one thread waits for it."""

    def __init__(self) -> None:
        self._rung: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Ring it."""
        if self._rung.empty():  # whoever takes the ring that is there looks after that
            self._rung.put(None)

    def clear(self) -> None:
        """Have it wait for the next ring."""
        with suppress(Empty):
            while True:
                self._rung.get_nowait()

    def wait(self, seconds: float | None) -> bool:
        """Wait until it is rung, or for so long; whether it was rung."""
        try:
            self._rung.get(timeout=seconds)
        except Empty:
            return False
        return True
