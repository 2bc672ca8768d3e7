"""Last words: what is saved when SIGTERM ends the process.

Answers for: a handler of SIGTERM, on the main thread alone, which has everything saved
and then lets whoever handled the signal before do so.
Leaves to others: what is saved, and how (`saving`); other ends of a process, by which
every store is closed (`engines/living`).
Always holds: the process ends by SIGTERM, as it would have; a second one is not kept
waiting; nothing is saved on the thread that was interrupted, which may be amid a write;
a program that has nothing to save keeps its own handler, or none.
"""

import os
import signal
import sys
import threading
import time
import weakref
from contextlib import suppress
from types import FrameType
from typing import Any, Protocol

from holdfast.logs import logger

_SECONDS = 5.0
"""How long the end waits for a store that cannot be written to."""

LOOP_HANDLER = "_sighandler_noop"
"""Asyncio's own, whose event loop has heard of the signal already."""


class Keeper(Protocol):
    """Who has something to save."""

    def has_unsaved(self) -> bool:
        """Whether anything is not saved; takes no lock."""
        ...

    def say(self) -> None:
        """Save it; raises nothing."""
        ...


_keepers: "weakref.WeakSet[Keeper]" = weakref.WeakSet()
_before: list[Any] = [signal.SIG_DFL]
"""Who handled SIGTERM before, each time that this came in front of it: newest last."""
_level = 0
"""How many of these are at it now, each called by the one after it."""
_saving = False
"""Whether a signal came, and everything is being saved."""
_warned = False


def keep(keeper: Keeper) -> None:
    """Have somebody save what is not saved, if SIGTERM comes."""
    _keepers.add(keeper)
    listen()


def listen(*, changed: bool = False) -> None:
    """Handle SIGTERM from now on, if that can be: from the main thread.

    Not where SIGTERM is ignored, or handled by what is not Python's. Where it is left
    at its default, and something was `changed`, that is said.
    """
    global _before
    there = signal.getsignal(signal.SIGTERM)
    if there is on_sigterm or there is None or there is signal.SIG_IGN:
        return
    if threading.current_thread() is not threading.main_thread():
        if changed and there is signal.SIG_DFL:
            _warn()
        return
    earlier, _before = _before, _in_front_of(there)
    try:
        signal.signal(signal.SIGTERM, on_sigterm)
    except ValueError:  # this is not the main interpreter
        _before = earlier


def _in_front_of(there: Any) -> list[Any]:
    """Who comes after us, if we come before this one: it knows those before it."""
    known = _before.index(there) if there in _before else len(_before)
    return [signal.SIG_DFL] if there is signal.SIG_DFL else [*_before[:known], there]


def _warn() -> None:
    """Say once that SIGTERM would lose something."""
    global _warned
    if not _warned:
        _warned = True
        logger("holdfast.state").warning(
            "SIGTERM will end this process without saving what sections have changed "
            "last, for a handler can be installed on the main thread alone: call "
            "store.state.section(...) there once"
        )


def before() -> Any:
    """Who handles SIGTERM after this."""
    return _before[-1]


def go_before(handler: Any) -> None:
    """Have another one handle SIGTERM after this."""
    global _before
    _before = [*_before[:-1], handler]


def on_sigterm(number: int, frame: FrameType | None) -> None:
    """Have everything saved by a thread, which then sends the signal once more."""
    global _saving
    if _level and frame is not sys._getframe(1):  # noqa: SLF001
        _pass_on(number, frame, _level)  # by whom it was passed on to: it came before
        return
    waiting = [keeper for keeper in list(_keepers) if keeper.has_unsaved()]
    if _saving or not waiting:
        _saving = False
        _pass_on(number, frame, 0)
        return
    _saving = True
    threads = [
        threading.Thread(target=one.say, name="holdfast-last-words", daemon=True)
        for one in waiting
    ]
    sender = threading.Thread(
        target=_send_again, args=(number, threads), name="holdfast-last-words"
    )
    with suppress(RuntimeError):  # the interpreter ends, and saves by that
        for thread in threads:
            thread.start()
        if getattr(before(), "__name__", "") == LOOP_HANDLER:
            _saving = False  # the loop goes on by itself
        else:
            sender.start()


def _send_again(number: int, threads: list[threading.Thread]) -> None:
    until = time.monotonic() + _SECONDS
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0.0))
    os.kill(os.getpid(), number)


def _pass_on(number: int, frame: FrameType | None, level: int) -> None:
    """Let the signal do what it would have done before us, or before those after."""
    global _level
    handler = _before[-1 - level] if level < len(_before) else signal.SIG_DFL
    if not callable(handler):
        signal.signal(signal.SIGTERM, handler)
        os.kill(os.getpid(), number)
        return
    outer = _level
    try:
        _level = level + 1
        handler(number, frame)
    finally:
        _level = outer


def _forget_all() -> None:
    global _saving, _level
    _saving, _level = False, 0
    for keeper in list(_keepers):
        _keepers.discard(keeper)


os.register_at_fork(after_in_child=_forget_all)
