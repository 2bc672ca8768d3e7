"""Uncaught: errors that nobody caught, told before they take their way.

Answers for: the hooks of the interpreter, of threads and of event loops, while a life
lasts; Python's own report of a crash, if it is wanted.
Leaves to others: what is written down then (`dumps`).
Always holds: who was told of such errors before is told of them still; hooks that
another has set since are left alone.
"""

import faulthandler
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, TypeGuard

if TYPE_CHECKING:
    import asyncio

Tell = Callable[[str, BaseException], object]


class Uncaught:
    """Has a function told of errors that nobody caught, and where."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._pid = 0
        """The process that is listened to; none that was forked from it."""
        self._main_before = sys.excepthook
        self._thread_before = threading.excepthook
        self._loops: list[tuple[asyncio.AbstractEventLoop, Any]] = []
        self._faults: BinaryIO | None = None
        self._faults_path: Path | None = None

    def set(self) -> None:
        """Listen."""
        self._pid = os.getpid()
        self._main_before, sys.excepthook = sys.excepthook, self._main
        self._thread_before = threading.excepthook
        threading.excepthook = self._thread

    def set_on(self, loop: "asyncio.AbstractEventLoop") -> None:
        """Listen to an event loop, too."""
        self._loops.append((loop, loop.get_exception_handler()))
        loop.set_exception_handler(self._looped)

    def set_faults(self, path: Path) -> None:
        """Have a crash of the interpreter itself written to a file.

        If the program has seen to that itself, nothing is done.
        """
        if faulthandler.is_enabled():
            return
        path.touch(mode=0o600)
        self._faults_path = path
        self._faults = path.open("ab")
        faulthandler.enable(self._faults)

    def lift(self) -> None:
        """Listen no more."""
        self._pid = 0
        if sys.excepthook == self._main:
            sys.excepthook = self._main_before
        if threading.excepthook == self._thread:
            threading.excepthook = self._thread_before
        for loop, before in self._loops:
            if loop.get_exception_handler() == self._looped:
                loop.set_exception_handler(before)
        if self._faults is not None and self._faults_path is not None:
            faulthandler.disable()
            self._faults.close()
            with suppress(OSError):  # it may have been cleared away
                if self._faults_path.stat().st_size == 0:
                    self._faults_path.unlink()

    def _is_told(self, error: BaseException | None) -> TypeGuard[Exception]:
        """Whether it is told: an error, in this very process, while we listen."""
        return self._pid == os.getpid() and isinstance(error, Exception)

    def _main(
        self,
        kind: type[BaseException],
        error: BaseException,
        trace: TracebackType | None,
    ) -> None:
        if self._is_told(error):
            self._tell("an error that nobody caught", error)
        self._main_before(kind, error, trace)

    def _thread(self, told: threading.ExceptHookArgs) -> None:
        error = told.exc_value
        if self._is_told(error):
            name = told.thread.name if told.thread is not None else "?"
            self._tell(f"an error that nobody caught on thread {name!r}", error)
        self._thread_before(told)

    def _looped(self, loop: "asyncio.AbstractEventLoop", said: dict[str, Any]) -> None:
        error = said.get("exception")
        if self._is_told(error):
            self._tell_aside(f"on the event loop: {said.get('message')}", error)
        before = next((b for known, b in self._loops if known is loop), None)
        if before is not None:
            before(loop, said)
        else:
            loop.default_exception_handler(said)

    def _tell_aside(self, what: str, error: BaseException) -> None:
        """Tell it on a thread, so that the event loop need not wait."""
        with suppress(RuntimeError):  # the interpreter ends, and has no threads left
            threading.Thread(
                target=self._tell, args=[what, error], name="holdfast-dump"
            ).start()
