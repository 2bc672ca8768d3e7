"""Last words: what is saved when SIGTERM ends the process.

Answers for: a handler of SIGTERM, on the main thread alone, which has everything saved
and then lets whoever handled the signal before do so.
Leaves to others: what is saved, and how (`saving`); other ends of a process, by which
every store is closed (`engines/living`).
Always holds: the process ends by SIGTERM, as it would have; a second one is not kept
waiting; nothing is saved on the thread that was interrupted, which may be amid a write.
"""

import os
import signal
import threading
import time
import weakref
from types import FrameType
from typing import Any, Protocol

_SECONDS = 5.0
"""How long the end waits for a store that cannot be written to."""

_LOOP_HANDLER = "_sighandler_noop"
"""Asyncio's own, whose event loop has heard of the signal already."""


class Keeper(Protocol):
    """Who has something to save."""

    def dirty(self) -> list[Any]:
        """What is not saved."""
        ...

    def say(self) -> None:
        """Save it; raises nothing."""
        ...


_keepers: "weakref.WeakSet[Keeper]" = weakref.WeakSet()
_before: Any = signal.SIG_DFL
"""Who handled SIGTERM before."""
_saving = False
"""Whether a signal came, and everything is being saved."""


def keep(keeper: Keeper) -> None:
    """Have somebody save what is not saved, if SIGTERM comes."""
    _keepers.add(keeper)


def listen() -> None:
    """Handle SIGTERM from now on, if that can be: from the main thread.

    Not where SIGTERM is ignored, or handled by what is not Python's.
    """
    global _before
    if threading.current_thread() is not threading.main_thread():
        return
    there = signal.getsignal(signal.SIGTERM)
    if there is on_sigterm or there is None or there is signal.SIG_IGN:
        return
    try:
        signal.signal(signal.SIGTERM, on_sigterm)
    except ValueError:  # this is not the main interpreter
        return
    _before = there


def before() -> Any:
    """Who handles SIGTERM after this."""
    return _before


def go_before(handler: Any) -> None:
    """Have another one handle SIGTERM after this."""
    global _before
    _before = handler


def on_sigterm(number: int, frame: FrameType | None) -> None:
    """Have everything saved by a thread, which then sends the signal once more."""
    global _saving
    waiting = [keeper for keeper in list(_keepers) if keeper.dirty()]
    if _saving or not waiting:
        _saving = False
        _pass_on(number, frame)
        return
    _saving = True
    threads = [
        threading.Thread(target=one.say, name="holdfast-last-words", daemon=True)
        for one in waiting
    ]
    sender = threading.Thread(
        target=_send_again, args=(number, threads), name="holdfast-last-words"
    )
    try:
        for thread in threads:
            thread.start()
        if getattr(_before, "__name__", "") == _LOOP_HANDLER:
            _saving = False  # the loop goes on by itself
        else:
            sender.start()
    except RuntimeError:  # the interpreter ends, and saves by that
        return


def _send_again(number: int, threads: list[threading.Thread]) -> None:
    until = time.monotonic() + _SECONDS
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0.0))
    os.kill(os.getpid(), number)


def _pass_on(number: int, frame: FrameType | None) -> None:
    """Let the signal do what it would have done."""
    if callable(_before):
        _before(number, frame)
    else:
        signal.signal(signal.SIGTERM, _before)
        os.kill(os.getpid(), number)


def _forget_all() -> None:
    global _saving
    _saving = False
    for keeper in list(_keepers):
        _keepers.discard(keeper)


os.register_at_fork(after_in_child=_forget_all)
