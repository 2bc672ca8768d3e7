"""Inside: who has a transaction of their own open, threads and tasks."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Inside:
    """Threads and tasks that are inside a transaction, or whose block has not ended."""

    def __init__(self) -> None:
        self.anyone: set[object] = set()
        self._overdue: set[object] = set()
        self._mutex = threading.Lock()

    @contextmanager
    def of(self, who: object) -> Iterator[None]:
        """Whoever this is, is inside for as long as the block runs."""
        with self._mutex:
            self.anyone.add(who)
        try:
            yield
        finally:
            with self._mutex:
                if who not in self._overdue:
                    self.anyone.discard(who)

    def left(self, who: object, *, overdue: bool) -> None:
        """Its transaction is over; an overdue one's block has not ended yet."""
        with self._mutex:
            if overdue:
                self._overdue.add(who)
            else:
                self.anyone.discard(who)

    def ended(self, who: object) -> None:
        """The block of code has ended, too."""
        with self._mutex:
            self._overdue.discard(who)
            self.anyone.discard(who)

    def has(self, who: object) -> bool:
        """Whether this thread or task is inside."""
        return who in self.anyone
