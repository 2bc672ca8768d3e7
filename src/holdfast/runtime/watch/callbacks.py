"""Callbacks: functions that are told how what they watch stands, on one thread.

Answers for: calling each with the newest state that it was not told yet, in the order
in which they had news.
Leaves to others: what the states are (`watching`).
Always holds: one that raises is logged, and stops nobody else; one that is slow is told
the newest state when it is done, and not those in between.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from holdfast.errors import Closed
from holdfast.logs import logger
from holdfast.runtime.watch.queries import Outcome


class Callback:
    """A function, what it was told last, and where the newest state is to be had."""

    def __init__(
        self,
        function: Callable[[Any], object],
        newest: Callable[[], Outcome | None],
        last: Outcome,
    ) -> None:
        self.function = function
        self._newest = newest
        self._last = last
        self.waits = False
        """Whether it has news that it was not called for yet."""

    def next(self) -> Outcome | None:
        """What it is to be told now, if anything."""
        found = self._newest()
        if found is None or found.same(self._last):
            return None
        self._last = found
        if found.error is not None:
            logger("holdfast.watching").warning(
                "what is watched cannot be read: %r", found.error
            )
            return None
        return found

    def call(self) -> None:
        """Tell it how things stand, if it was not told so."""
        try:
            if (found := self.next()) is not None:
                self.function(found.value)
        except BaseException:
            logger("holdfast.watching").exception(
                "a callback failed, and is called again at the next change"
            )


class Callbacks:
    """The thread that calls; there is one while anyone is to be called."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[Callback] = deque()
        self._news = threading.Event()
        self._known: set[Callback] = set()
        self._thread: threading.Thread | None = None
        self._ended = False

    def add(self, callback: Callback) -> None:
        """Have one called from now on. Raises `Closed`."""
        with self._mutex:
            if self._ended:
                raise Closed("the store is closed")
            self._known.add(callback)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="holdfast-callbacks", daemon=True
                )
                self._thread.start()

    def drop(self, callback: Callback) -> None:
        """Have one called no more."""
        with self._mutex:
            self._known.discard(callback)
        self._news.set()

    def tell(self, callback: Callback) -> None:
        """Say that one has news."""
        with self._mutex:
            if callback.waits or callback not in self._known:
                return
            callback.waits = True
            self._waiting.append(callback)
        self._news.set()

    def end(self, seconds: float) -> None:
        """Call nobody any more, and wait a while for the one who is being called."""
        with self._mutex:
            self._ended = True
            self._known.clear()
            thread = self._thread
        self._news.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)
            if thread.is_alive():
                logger("holdfast.watching").warning(
                    "a callback is still at work, and is left alone"
                )

    def disown(self) -> None:
        """In a process that was forked from the store's own: call nobody."""
        self._mutex = threading.Lock()
        self._news = threading.Event()
        self._known.clear()
        self._ended = True

    def _serve(self) -> None:
        while self._wanted():
            self._news.wait()
            self._news.clear()
            while (callback := self._next()) is not None:
                callback.call()

    def _wanted(self) -> bool:
        with self._mutex:
            if self._known:
                return True
            self._waiting.clear()
            self._thread = None
            return False

    def _next(self) -> Callback | None:
        """The next who has news."""
        with self._mutex:
            while self._waiting:
                callback = self._waiting.popleft()
                callback.waits = False
                if callback in self._known:
                    return callback
            return None
