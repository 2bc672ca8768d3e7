"""Caller, awaited: handlers on the event loop of who calls.

Answers for: what `caller` answers for, on an event loop; plain functions run on
threads, so that the loop goes on.
Always holds: what `caller` holds, but that a coroutine which blocks the loop keeps it:
then a thread says so in the log, with the line where it stands.
"""

import asyncio
import contextlib
import contextvars
import threading
import time
from collections.abc import Awaitable

from holdfast.runtime.lifecycle.calls import (
    GRACE_SECONDS,
    Call,
    Called,
    Given,
    awaited,
    outcome,
    say_blocked,
)
from holdfast.runtime.lifecycle.phases import Phase


class AsyncCaller:
    """Calls one handler after another, for a task that waits."""

    def __init__(self) -> None:
        self.at_once = False
        """Whether a cancelled shutdown ends, and does not go on."""
        self.cancelled: asyncio.CancelledError | None = None
        """What came amid a call that was done to its end all the same."""

    async def call(self, call: Call) -> Called:
        """Call a function, and wait for it as long as it may take.

        Raises `CancelledError`: not in the shutdown, which goes on, nor in a plain
        function, which would go on unheard.
        """
        began = time.monotonic()
        task = asyncio.ensure_future(_carried(call))
        until = None if call.seconds is None else began + call.seconds
        guard = _Guard(call)
        try:
            in_time = await self._wait(call, task, until)
        finally:
            guard.end()
        taken = time.monotonic() - began
        if not in_time:
            return Called("timed out", taken)
        if task.cancelled():
            return Called("cut off", taken)
        value, error = task.result()
        if error is not None:
            return Called("failed", taken, error=error)
        return Called("done", taken, value)

    async def _wait(
        self, call: Call, task: asyncio.Future[Given], until: float | None
    ) -> bool:
        """Whether it ended in its time; if not, it was cancelled."""
        while not task.done():
            left = None if until is None else max(until - time.monotonic(), 0)
            try:
                await asyncio.wait({task}, timeout=left)
            except asyncio.CancelledError as error:
                if self.at_once or (call.on_loop and call.phase is not Phase.SHUTDOWN):
                    await _broken_off(task)
                    raise
                self.cancelled = error
                continue
            if not task.done():
                await _broken_off(task)
                return False
        return True


async def _broken_off(task: asyncio.Future[Given]) -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=GRACE_SECONDS)


async def _carried(call: Call) -> Given:
    """What a function gives, and what it raises; some errors would end the loop."""
    value, error = outcome(call.function) if call.on_loop else await _on_thread(call)
    return await awaited(value) if isinstance(value, Awaitable) else (value, error)


async def _on_thread(call: Call) -> Given:
    """Call a plain function on a thread that holds up nobody's exit."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Given] = loop.create_future()

    def answer(given: Given) -> None:
        if not future.done():
            future.set_result(given)

    def run() -> None:
        given = outcome(call.function)
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
            loop.call_soon_threadsafe(answer, given)

    around = contextvars.copy_context()
    thread = threading.Thread(
        target=around.run, args=[run], name="holdfast-lifecycle", daemon=True
    )
    thread.start()
    given = await future
    thread.join()  # which has nothing left to do
    return given


class _Guard:
    """Says in the log where an event loop stands that a handler blocks."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._timer: threading.Timer | None = None
        self._thread = threading.get_ident()
        if call.on_loop and call.seconds is not None:
            patience = call.seconds + 2 * GRACE_SECONDS
            self._timer = threading.Timer(patience, self._tell)
            self._timer.daemon = True
            self._timer.start()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _tell(self) -> None:
        say_blocked(self._call, self._thread, "nothing can go past")
