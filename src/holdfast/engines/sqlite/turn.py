"""The turn: a token that one at a time has, and that cannot be lost.

Answers for: taking the turn and giving it back; who is inside, for as long as somebody
has it.
Leaves to others: who gets it next (writer), what is done with it (commit, loans).
Always holds: there is one token. One that is dropped, because a signal's exception came
between taking it and holding on to it, goes back by itself.
"""

import queue
import threading
import weakref


class Turn:
    """One token, at home or with whoever has the turn."""

    def __init__(self) -> None:
        self.inside: object = None
        """The thread that has the turn, or the task; None if nobody has it."""
        self.overdue: set[object] = set()
        """Threads and tasks whose time is up, and whose block has not ended yet."""
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

    def left(self, who: object, *, overdue: bool) -> None:
        """Its transaction is over; an overdue one's block has not ended yet."""
        if overdue:
            self.overdue.add(who)
        self.inside = None

    def ended(self, who: object) -> None:
        """The block of code has ended, too."""
        self.overdue.discard(who)

    def has(self, who: object) -> bool:
        """Whether this thread or task is inside, or should not be any more."""
        return self.inside == who or who in self.overdue


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
