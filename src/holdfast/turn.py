"""The turn: a token that one at a time has, and that cannot be lost.

Answers for: taking the turn and giving it back; who is inside, for as long as somebody
has it.
Leaves to others: who gets it next, where there is an order (the engine's writer); what
is done with it.
Always holds: there is one token. One that is dropped, because a signal's exception came
between taking it and holding on to it, goes back by itself.
"""

import queue
import threading
import time
import weakref
from collections.abc import Callable
from typing import TypeVar

from holdfast.errors import Busy

T = TypeVar("T")
_GIVING_WAY_SECONDS = 0.0001
"""How long one who comes while others are there lets them go first."""


class Turn:
    """One token, at home or with whoever has the turn."""

    def __init__(self) -> None:
        self.inside: object = None
        """The thread that has the turn, or the task; None if nobody has it."""
        self.overdue: set[object] = set()
        """Threads and tasks whose time is up, and whose block has not ended yet."""
        self._here: set[object] = set()
        """Threads that have the turn, or wait for it, for a piece of work."""
        self._home: queue.SimpleQueue[Token] = queue.SimpleQueue()
        self.put = self._home.put
        """Lets the next one have the token."""
        self.put(Token(self))

    def take(self, seconds: float | None = None) -> "Token | None":
        """The token, if it comes home within so many seconds (None: if it is there)."""
        try:
            return self._home.get(seconds is not None, seconds)
        except queue.Empty:
            return None

    def held(self, work: Callable[[], T]) -> T:
        """What a piece of work gives, which has the turn; waits for the turn.

        Raises `Busy` where this very thread has it, or waits for it, already: in a
        signal's handler, or a finalizer, it would wait for itself. This is no context
        manager, whose end is a call of Python's: an interrupt could come before it.
        """
        if self.has(threading.get_ident()):
            raise Busy(
                "nothing was read or written: this very thread is amid that, and a "
                "signal's handler or a finalizer asks for it in between: ask again "
                "later, or on another thread"
            )
        if self._here:  # or who asks again and again would always be the first
            time.sleep(_GIVING_WAY_SECONDS)
        return self._held(work, threading.TIMEOUT_MAX)  # type: ignore[return-value]

    def held_if_free(self, work: Callable[[], object]) -> None:
        """As `held`; nothing is done where somebody has the turn."""
        if not self.has(threading.get_ident()):
            self._held(work, None)

    def _held(self, work: Callable[[], T], seconds: float | None) -> T | None:
        me = threading.get_ident()
        try:
            self._here.add(me)
            token = self.take(seconds)
            if token is None:
                return None
            try:
                self.inside = me
                return work()
            finally:  # no call of Python's comes between, and so no interrupt
                self.inside = None
                self.put(token)
                del token  # a traceback that is kept must not keep it
        finally:
            self._here.discard(me)

    def left(self, who: object, *, overdue: bool) -> None:
        """Its transaction is over; an overdue one's block has not ended yet."""
        if overdue:
            self.overdue.add(who)
        self.inside = None

    def ended(self, who: object) -> None:
        """The block of code has ended, too."""
        self.overdue.discard(who)

    def has(self, who: object) -> bool:
        """Whether this thread or task is inside, or about to be, or should not be."""
        return self.inside == who or who in self.overdue or who in self._here


class Token:
    """The right to write; whoever has it gives it back."""

    __slots__ = ("__weakref__", "_turn")

    def __init__(self, turn: Turn) -> None:
        self._turn = weakref.ref(turn)

    def enter(self, who: object = None) -> None:
        """Say who is inside; None stands for the thread that calls."""
        turn = self._turn()
        if turn is not None:
            turn.inside = who or threading.get_ident()

    def back(self) -> None:
        """Give the turn back."""
        turn = self._turn()
        if turn is not None:
            turn.inside = None
            turn.put(self)

    def __del__(self) -> None:
        turn = self._turn()
        if turn is not None:
            turn.inside = None
            turn.put(Token(turn))
