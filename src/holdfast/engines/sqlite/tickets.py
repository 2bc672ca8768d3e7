"""Tickets: a thread's place in the writer's queue, when it wants the turn itself.

Answers for: handing the turn to a thread that waits, which may have left meanwhile.
Always holds: a turn that nobody takes goes home.
"""

import queue
import threading
from contextlib import suppress

from holdfast.turn import Token


class Ticket:
    """A place in the writer's queue, for a thread that wants the turn itself."""

    def __init__(self) -> None:
        self._given: queue.SimpleQueue[Token | BaseException] = queue.SimpleQueue()
        self._settling = threading.Lock()
        self._left = False

    def give(self, token: Token) -> None:
        """Hand the turn over to the thread that waits, or home if that thread left."""
        with self._settling:
            if self._left:
                token.back()
            else:
                self._given.put(token)

    def leave(self) -> None:
        """Wait no more, being interrupted."""
        with self._settling:
            self._left = True
            with suppress(queue.Empty):
                given = self._given.get_nowait()
                if isinstance(given, Token):
                    given.back()

    def refuse(self, error: BaseException) -> None:
        """Let the thread that waits know that it will not get the turn."""
        self._given.put(error)

    def wait(self) -> Token:
        """Wait for the turn; raises if it is refused."""
        given = self._given.get()
        if isinstance(given, BaseException):
            raise given
        return given
