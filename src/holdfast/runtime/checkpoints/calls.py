"""Calls: one call of a function that a participant registered.

Answers for: that it is begun once, and waited for no longer than it may take; that what
it calls asks for no checkpoint itself; what it gave, and what went wrong, in words.
Leaves to others: on which thread or event loop it is done (`participants`).
Always holds: a signal's handler may wait for a call that it came amid of.
"""

import contextvars
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from holdfast.errors import HoldfastError, Refused

Kept = Callable[[Any], Any]
"""What makes of what was collected what is kept of it."""
_SAID_CHARACTERS = 1_000
_LOOKS = 10
"""How often what was collected is looked at, if it is being changed meanwhile."""
amid: "contextvars.ContextVar[Call | None]" = contextvars.ContextVar(
    "within", default=None
)
"""The call that the caller is part of, or was begun by."""


class Call:
    """One call of a function: begun once, on whichever thread comes."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.error: BaseException | None = None
        self.result: Any = None
        self.over = False
        """Whether it is done."""
        self.left = False
        """Whether it was gone past: nobody waits for it any more."""
        self._function = function
        self._args = args
        self._begun = threading.Lock()
        self._end = threading.Lock()  # an event's own lock is not for signals' handlers
        self._end.acquire()
        self._late: Callable[[Call], None] | None = None
        self._mutex = threading.Lock()

    def __call__(self) -> None:
        """Do it, unless it was begun."""
        if not self._begun.acquire(blocking=False):
            return
        try:
            around = contextvars.copy_context()
            self.result = around.run(self._do)
        except BaseException as error:
            self.error = error
        with self._mutex:
            self.over = True
            late = self._late
        self._end.release()
        if late is not None:
            late(self)

    def withdraw(self) -> bool:
        """Have it not be done, if it was not begun; whether that is so."""
        return self._begun.acquire(blocking=False)

    def _do(self) -> Any:
        amid.set(self)
        return self._function(*self._args)

    def wait(self, until: float) -> bool:
        """Whether it is done by then, on the monotonic clock."""
        left = max(0.0, until - time.monotonic())
        if not self.over and self._end.acquire(timeout=left):
            self._end.release()
        return self.over

    def tell_late(self, late: Callable[["Call"], None]) -> bool:
        """Have a function told once it is done; False if it is."""
        with self._mutex:
            if self.over:
                return False
            self._late = late
            return True


def refuse_within(what: str) -> None:
    """Raise `Refused` where a participant itself asks for what it is asked for."""
    call = amid.get()
    if call is not None and not call.over:  # a task that it began may outlive it
        raise Refused(
            f"{what} was called by a participant that is itself being asked; nothing "
            "was done: a participant gives what it has, or takes it back"
        )


def steadily(kept: Kept, value: Any) -> Any:
    """What is kept of a value, which another thread may be changing right now."""
    for _ in range(_LOOKS - 1):
        with suppress(RuntimeError):  # as a dict says whose size has changed
            return kept(value)
    return kept(value)


def said(error: BaseException) -> str:
    """What went wrong, in one short text that can be kept."""
    try:
        text = str(error)
    except Exception:  # it has words of its own, and they fail as well
        text = ""
    name = "" if isinstance(error, HoldfastError) else type(error).__name__
    whole = f"{name}: {text}" if name and text else name or text
    safe = whole.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return safe.encode(errors="replace").decode()[:_SAID_CHARACTERS]
