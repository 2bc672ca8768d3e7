"""Calling: handlers on threads of their own, gone past when their time is over.

Answers for: calling plain functions and coroutines for a program without an event loop.
Leaves to others: what is called, and what becomes of the outcome (`course`).
Always holds: who calls waits no longer than the handler's time; a function that hangs
is left behind on its thread, which holds up nobody's exit. Coroutines of one life run
on one event loop, so that what one of them begins goes on for the others.
"""

import contextvars
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast.runtime.lifecycle.calls import (
    GRACE_SECONDS,
    LOOK_UP_SECONDS,
    Call,
    Called,
    Given,
    awaited,
    outcome,
)

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

T = TypeVar("T")
_ENDING_SECONDS = 5.0


class Caller:
    """Calls one handler after another, for a thread that waits."""

    def __init__(self, on_loop: Callable[["asyncio.AbstractEventLoop"], None]) -> None:
        self._on_loop = on_loop
        self._own: OwnLoop | None = None

    def call(self, call: Call) -> Called:
        """Call a function, and wait for it as long as it may take."""
        began = time.monotonic()
        turn = _Turn(call, self._loop)
        turn.start()
        in_time = _waited(turn.over, call.seconds) or turn.break_off()
        taken = time.monotonic() - began
        if not in_time:
            return Called("timed out", taken)
        turn.join()
        value, error = turn.given
        if error is not None:
            return Called("failed", taken, error=error)
        return Called("done", taken, value)

    def close(self) -> None:
        """End the event loop, with what still runs on it."""
        if self._own is not None:
            self._own.close()

    def _loop(self) -> "OwnLoop":
        if self._own is None:
            self._own = OwnLoop(self._on_loop)
        return self._own


def _waited(over: threading.Event, seconds: float | None) -> bool:
    """Wait, looking up now and then: a signal may come just before a lock is taken.

    Then it is not heard of before that wait is over.
    """
    until = None if seconds is None else time.monotonic() + seconds
    while not over.wait(LOOK_UP_SECONDS if until is None else _left(until)):
        if until is not None and time.monotonic() >= until:
            return False
    return True


def _left(until: float) -> float:
    return max(min(LOOK_UP_SECONDS, until - time.monotonic()), 0.0)


class _Turn:
    """A function that is being called on a thread of its own."""

    def __init__(self, call: Call, loop: Callable[[], "OwnLoop"]) -> None:
        self.over = threading.Event()
        self.given: Given = (None, None)
        self._call = call
        self._loop = loop
        self._future: Future[Given] | None = None
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        """Set when what is awaited has ended, also after it was cancelled."""

    def start(self) -> None:
        """Begin."""
        run = contextvars.copy_context().run
        thread = threading.Thread(
            target=run, args=[self._run], name="holdfast-lifecycle", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the interpreter exits, and has no threads any more
            run(self._run)
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
        value, error = outcome(self._call.function)
        if isinstance(value, Awaitable):
            self._future = self._loop().submit(self._awaited(value))
            try:
                value, error = self._future.result()
            except BaseException as cancelled:
                value, error = None, cancelled
        self.given = value, error
        self.over.set()


class OwnLoop:
    """An event loop on a thread, for the coroutines of one life."""

    def __init__(self, on_loop: Callable[["asyncio.AbstractEventLoop"], None]) -> None:
        import asyncio  # noqa: PLC0415  # it loads slowly, and not everyone needs it

        self._loop = asyncio.new_event_loop()
        on_loop(self._loop)
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="holdfast-lifecycle", daemon=True
        )
        self._thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Have it awaited."""
        import asyncio  # noqa: PLC0415  # as said

        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self) -> None:
        """Cancel what runs, and end; a loop that is blocked is left behind."""
        ended = self.submit(_ended())
        try:
            ended.result(_ENDING_SECONDS)
        except TimeoutError:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
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
