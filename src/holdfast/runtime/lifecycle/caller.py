"""Caller: handlers on threads of their own, gone past when their time is over.

Answers for: calling plain functions and coroutines for a program without an event loop.
Leaves to others: what is called, and what becomes of the outcome (`sequence`).
Always holds: who calls waits no longer than the handler's time; a function that hangs
is left behind on its thread, which holds up nobody's exit. Coroutines of one life run
on one event loop, so that what one of them begins goes on for the others, unless one of
them blocks it. Where the interpreter exits and begins no thread any more (Python 3.12),
one function that hangs is gone past, and a second one is waited for.
"""

import contextvars
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast.runtime.lifecycle.calls import (
    GRACE_SECONDS,
    LOOK_UP_SECONDS,
    Call,
    Called,
    Given,
    awaited,
    outcome,
    say_blocked,
)

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

T = TypeVar("T")
_ENDING_SECONDS = 5.0


class Caller:
    """Calls one handler after another, for a thread that waits."""

    def __init__(self, on_loop: Callable[["asyncio.AbstractEventLoop"], None]) -> None:
        self.at_once = False
        """Whether nobody is waited for any more."""
        self._on_loop = on_loop
        self._own: OwnLoop | None = None
        self._spare: Spare | None = None

    def call(self, call: Call) -> Called:
        """Call a function, and wait for it as long as it may take."""
        began = time.monotonic()
        turn = _Turn(call, self._loop)
        turn.start(self._spare)
        in_time = self._waited(turn, began) or turn.break_off()
        taken = time.monotonic() - began
        if not in_time:
            self._leave_blocked(call)
            return Called("cut off" if self.at_once else "timed out", taken)
        turn.join()
        value, error = turn.given
        if error is not None:
            return Called("failed", taken, error=error)
        return Called("done", taken, value)

    def hurry(self) -> None:
        """Wait for nobody any more."""
        self.at_once = True

    def keep_spare(self) -> None:
        """Have a thread at hand, for an exit that can begin none."""
        self._spare = Spare()

    def close(self) -> None:
        """End the event loop, with what still runs on it, and the spare thread."""
        if self._own is not None:
            self._own.close()
        if self._spare is not None:
            self._spare.close()

    def _waited(self, turn: "_Turn", began: float) -> bool:
        """Wait, looking up now and then: a signal may come just before a lock is taken.

        Then it is not heard of before that wait is over.
        """
        seconds = turn.call.seconds
        until = None if seconds is None else began + seconds
        while not turn.over.wait(LOOK_UP_SECONDS if until is None else _left(until)):
            if self.at_once or (until is not None and time.monotonic() >= until):
                return False
        return True

    def _loop(self) -> "OwnLoop":
        if self._own is None:
            self._own = OwnLoop(self._on_loop)
        return self._own

    def _leave_blocked(self, call: Call) -> None:
        """Leave behind an event loop that is blocked: coroutines get another."""
        own = self._own
        if own is not None and not own.answers(GRACE_SECONDS):
            say_blocked(call, own.ident, "is left behind with it")
            own.leave()
            self._own = None


def _left(until: float) -> float:
    return max(min(LOOK_UP_SECONDS, until - time.monotonic()), 0.0)


class Spare:
    """A thread that waits for what another one cannot be begun for."""

    def __init__(self) -> None:
        self._functions: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self.thread = threading.Thread(
            target=self._serve, name="holdfast-lifecycle", daemon=True
        )
        self._rests = threading.Event()
        self._rests.set()
        self._lost = False
        """Whether somebody has waited for it in vain."""
        self.thread.start()

    def run(self, function: Callable[[], object]) -> bool:
        """Run a function, unless an earlier one does not end; whether that is so."""
        rests = self._rests.wait(0 if self._lost else GRACE_SECONDS)
        self._lost = not rests
        if rests:
            self._rests.clear()
            self._functions.put(function)
        return rests

    def close(self) -> None:
        """End it, or leave it behind with what it runs."""
        self._functions.put(None)
        if self._rests.is_set():
            self.thread.join()

    def _serve(self) -> None:
        while (function := self._functions.get()) is not None:
            function()
            self._rests.set()


class _Turn:
    """A function that is being called on a thread of its own."""

    def __init__(self, call: Call, loop: Callable[[], "OwnLoop"]) -> None:
        self.call = call
        self.over = threading.Event()
        self.given: Given = (None, None)
        self._loop = loop
        self._future: Future[Given] | None = None
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        """Set when what is awaited has ended, also after it was cancelled."""

    def start(self, spare: Spare | None) -> None:
        """Begin; on the thread of who waits, where there is no other."""
        around = contextvars.copy_context()

        def run() -> None:
            around.run(self._run)

        thread = threading.Thread(target=run, name="holdfast-lifecycle", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter exits, and begins no thread any more
            if spare is None or not spare.run(run):
                run()
        else:
            self._thread = thread

    def join(self) -> None:
        """Wait for the thread, which has nothing left to do."""
        if self._thread is not None:
            self._thread.join()

    def break_off(self) -> bool:
        """Cancel what is awaited; whether it ended by itself just before."""
        future = self._future
        if future is not None and future.cancel():
            self._ended.wait(GRACE_SECONDS)
            return False
        return self.over.is_set()

    async def _awaited(self, value: Awaitable[object]) -> Given:
        try:
            return await awaited(value)
        finally:
            self._ended.set()

    def _run(self) -> None:
        value, error = outcome(self.call.function)
        if isinstance(value, Awaitable):
            try:
                value, error = self._waited(value)
            except TimeoutError:
                return
            except BaseException as cancelled:
                value, error = None, cancelled
        self.given = value, error
        self.over.set()

    def _waited(self, value: Awaitable[object]) -> Given:
        """What is awaited gives. Raises `TimeoutError` if that takes too long here."""
        try:
            loop = self._loop()
        except RuntimeError:  # it has no thread
            return self._waited_here(value)
        self._future = loop.submit(self._awaited(value))
        return self._future.result()

    def _waited_here(self, value: Awaitable[object]) -> Given:
        import asyncio  # noqa: PLC0415  # as below

        limited = asyncio.wait_for(self._awaited(value), self.call.seconds)
        return asyncio.run(limited)


class OwnLoop:
    """An event loop on a thread, for the coroutines of one life."""

    def __init__(self, on_loop: Callable[["asyncio.AbstractEventLoop"], None]) -> None:
        import asyncio  # noqa: PLC0415  # it loads slowly, and not everyone needs it

        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._serve, name="holdfast-lifecycle", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter exits
            self._loop.close()
            raise
        on_loop(self._loop)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Have it awaited."""
        import asyncio  # noqa: PLC0415  # as said

        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    @property
    def ident(self) -> int | None:
        """Its thread's number."""
        return self._thread.ident

    def answers(self, seconds: float) -> bool:
        """Whether it goes on, and is not blocked by what it runs."""
        answered = threading.Event()
        self._loop.call_soon_threadsafe(answered.set)
        return answered.wait(seconds)

    def close(self) -> None:
        """Cancel what runs, and end; a loop that is blocked is left behind."""
        ended = self.submit(_ended())
        try:
            ended.result(_ENDING_SECONDS)
        except TimeoutError:
            return
        self.leave()
        self._thread.join()

    def leave(self) -> None:
        """Have it end once it goes on."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _serve(self) -> None:
        self._loop.run_forever()
        self._loop.close()


async def _ended() -> None:
    """Cancel all other tasks of this loop, and wait for them."""
    import asyncio  # noqa: PLC0415  # as said

    loop = asyncio.get_running_loop()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=GRACE_SECONDS)
    await loop.shutdown_asyncgens()
