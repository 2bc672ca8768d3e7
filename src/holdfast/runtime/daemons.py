"""Daemons: threads that handlers run on, and that hold up nobody's exit.

Answers for: running plain functions on few threads that are used again.
Leaves to others: what is run, and what becomes of it.
Always holds: who is in the way of nobody else: a function that blocks has a thread to
itself, and the next one gets another; functions that end at once share one. A function
that never ends is left behind on its thread.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

_NAME = "holdfast-handler"
_ENDING_SECONDS = 0.2
"""How long is waited for threads that are just ending."""


class Daemons:
    """Threads for plain functions, as many as are needed at once.

    `hand_in` is called once the functions that ended are to be told of: not after each
    one, where the next is at hand and another thread on its way that would see to it.
    """

    def __init__(self, hand_in: Callable[[], None], name: str = _NAME) -> None:
        self._hand_in = hand_in
        self._name = name
        self._calls: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._idle = 0
        self._waking = False
        """Whether a thread was woken or started that has not come yet."""
        self._closed = False
        self._resting: set[threading.Thread] = set()
        self._busy: set[threading.Thread] = set()

    def put(self, calls: Iterable[Callable[[], None]]) -> None:
        """Have functions run, that raise nothing, side by side."""
        with self._changed:
            self._calls.extend(calls)
            self._wake()

    def close(self) -> None:
        """End the threads that run nothing; the others end with what they run."""
        with self._changed:
            self._closed = True
            me = threading.current_thread()  # a function may be who closes
            resting, busy = list(self._resting), list(self._busy - {me})
            self._changed.notify_all()
        for thread in resting:
            thread.join()
        until = time.monotonic() + _ENDING_SECONDS
        for thread in busy:
            thread.join(max(until - time.monotonic(), 0))

    def _wake(self) -> None:
        """Have one more thread come, if there is something for it to do."""
        if not self._calls or self._waking:
            return
        if self._idle:
            self._changed.notify()
        else:
            thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            thread.start()  # or not, where the interpreter ends
            self._resting.add(thread)
        self._waking = True

    def _serve(self) -> None:
        while (call := self._next()) is not None:
            call()
            del call  # and all that it knows, while this thread rests

    def _next(self) -> Callable[[], None] | None:
        me = threading.current_thread()
        with self._changed:
            came = me in self._resting
            self._resting.add(me)
            self._busy.discard(me)
            while not self._calls:
                self._hand_in()
                if self._closed:
                    return None
                self._waking = False
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
                came = True
            if came:
                self._waking = False
            self._resting.discard(me)
            self._busy.add(me)
            call = self._calls.popleft()
            self._wake()
            if came or not self._calls:
                self._hand_in()
            return call
