"""Signals: SIGTERM and SIGINT, for as long as a life lasts.

Answers for: taking them on the main thread, giving them back, and passing one on to who
had it before.
Leaves to others: what a signal means for the life (`control`), sections of state that
are not saved when SIGTERM comes (`last_words`).
Always holds: a signal that is ignored stays ignored; one that another has taken since
is left to that one, who may still call us, and is passed on then; a process that was
forked from this one is none of the life's.
"""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from holdfast.runtime.state import last_words

_TAKEN = (signal.SIGTERM, signal.SIGINT)


class Stopped(SystemExit):
    """Raised in a block that a signal ends; its status is the shell's for that."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


class Signals:
    """Has a function told of SIGTERM and SIGINT, by their number."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._before: dict[int, Any] = {}
        self._pid = 0

    def take(self) -> None:
        """Take them; elsewhere than on the main thread nothing is done."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._pid = os.getpid()
        for number in _TAKEN:
            before = _lasting(_handler(number), number)
            if before not in {signal.SIG_IGN, None}:  # None: not set by Python
                self._before[number] = before
                _handle(number, self._on)

    def give_back(self) -> None:
        """Let who had them before have them again."""
        self._pid = 0
        if threading.current_thread() is not threading.main_thread():
            return
        for number, before in self._before.items():
            if _handler(number) == self._on:
                _handle(number, _in_use(before))

    def pass_on(self, number: int) -> None:
        """Have who had it before hear of it, unless that was an event loop.

        Whatever handles a signal, `loop.add_signal_handler` hears of it when it comes.
        """
        if getattr(_handler(number), "__name__", "") != last_words.LOOP_HANDLER:
            signal.raise_signal(number)

    def is_plain(self, number: int) -> bool:
        """Whether nobody had changed what Python itself does at SIGINT."""
        return self._before.get(number) is signal.default_int_handler

    def _on(self, number: int, frame: FrameType | None) -> None:
        if self._pid == os.getpid():
            self._tell(number)
        else:
            self._do_without(number, frame)

    def _do_without(self, number: int, frame: FrameType | None) -> None:
        """Do what would be done without us."""
        before = self._before[number]
        if callable(before):
            before(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


def _lasting(handler: Any, number: int) -> Any:
    """A handler; who had it before in the place of a life that has ended.

    One that ended on another thread than the main one could not give it back.
    """
    while isinstance(owner := getattr(handler, "__self__", None), Signals):
        if owner._pid:  # noqa: SLF001  # another life, which lasts
            break
        handler = owner._before[number]  # noqa: SLF001
    return handler


def _in_use(handler: Any) -> Any:
    """A handler; Python's own in the place of one that `asyncio.run` has done with."""
    main = getattr(handler, "keywords", {}).get("main_task")
    over = main is not None and main.done()
    return signal.default_int_handler if over else handler


def _handler(number: int) -> Any:
    """Who handles a signal; behind holdfast's own, which saves what is not saved."""
    there = signal.getsignal(number)
    return last_words.before() if there is last_words.on_sigterm else there


def _handle(number: int, handler: Any) -> None:
    """Have somebody handle a signal, behind holdfast's own."""
    if signal.getsignal(number) is last_words.on_sigterm:
        last_words.go_before(handler)
    else:
        signal.signal(number, handler)
