"""Runner, awaited: leads a life on an event loop.

Answers for: what `runner` answers for, on an event loop, and for that loop's end.
Always holds: what `runner` holds. The shutdown is shielded: cancelling who waits for it
does not break it off, and the end of the event loop waits for it. A process that was
forked does nothing to the event loop of its parent.
"""

import asyncio
import os
import signal
import weakref
from typing import Any

from holdfast.errors import Refused
from holdfast.runtime.lifecycle.acaller import AsyncCaller
from holdfast.runtime.lifecycle.calls import Called, Steps
from holdfast.runtime.lifecycle.control import Control
from holdfast.runtime.lifecycle.phases import Phase
from holdfast.runtime.lifecycle.runner import Runner, why

_LOOK_UP_SECONDS = 0.5
"""How often an event loop that has nothing to do looks whether a signal came."""


class AsyncRunner:
    """Leads a life on the event loop that it began on."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._caller = AsyncCaller()
        self._start_over = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None
        self._guard: asyncio.Task[None] | None = None
        self._block: asyncio.Task[object] | None = None
        self._asked = asyncio.Event()
        self._waiting = 0
        """How many wait for the end in the block's task."""
        self._cancelled = False
        """Whether a signal has cancelled the block."""

    def begin(self) -> None:
        """Begin. Raises `Refused`."""
        self._loop = asyncio.get_running_loop()
        self._control.begin(self._exit)
        self._control.uncaught.set_on(self._loop)
        self._control.wakers.append(self._wake)
        self._control.hurry = self._hurry
        _loops.add(self._loop)
        self._look_up()

    async def start(self, *, in_block: bool = False) -> None:
        """Bring everything up. Raises `StartFailed`."""
        sequence = self._control.sequence
        try:
            await self._carry_out(sequence.starting())
        except BaseException:
            self._start_over.set()
            await self._end("start")
            if self._caller.cancelled is not None:
                raise self._caller.cancelled from None
            raise
        self._start_over.set()
        if sequence.asked is not None:
            await self._end(sequence.asked)
            await self._passed_on()
            raise self._caller.cancelled or self._control.not_ready()
        if in_block:
            self._block = asyncio.current_task()
        else:
            self._guard = self._loop.create_task(self._watch(), name="holdfast-guard")
        self._control.in_block = self._interrupt

    async def wait(self) -> None:
        """Wait until it is to end."""
        mine = asyncio.current_task() is self._block
        self._waiting += mine
        try:
            await self._asked.wait()
        finally:
            self._waiting -= mine

    async def leave(self, error: BaseException | None) -> bool:
        """The block is over; whether what it raised is over, too."""
        self._control.in_block = None
        if not self._control.ours:
            return False
        try:
            await self._end(None, error)
        finally:
            if self._cancelled and self._block is not None:
                self._block.uncancel()
        passed = await self._passed_on()
        return passed and self._cancelled and isinstance(error, asyncio.CancelledError)

    async def close(self) -> None:
        """End the life, and pass on a signal that came. Raises `Refused`."""
        self._control.refuse_inside()
        if not self._control.ours:
            return
        if asyncio.get_running_loop() is not self._loop:
            await self._close_elsewhere()
            return
        self._control.in_block = None
        if await self._end(None):
            await self._passed_on()

    async def _close_elsewhere(self) -> None:
        """End it from another event loop, once its own is gone. Raises `Refused`."""
        if not self._loop.is_closed():
            raise Refused(
                "this life was begun on another event loop; nothing was closed: close "
                "it there, or have it end with stop()"
            )
        await asyncio.to_thread(self._exit)
        self._control.signals.give_back()  # which only the main thread can do

    async def _end(
        self, reason: str | None, error: BaseException | None = None
    ) -> bool:
        """End the life, or wait for who does; whether it was this call."""
        if not self._control.ours:
            return False
        first = self._ending is None
        if self._ending is None:
            self._ending = self._loop.create_task(
                self._ended(reason, error), name="holdfast-shutdown"
            )
        cancelled: asyncio.CancelledError | None = None
        while not self._ending.done():
            try:
                await asyncio.wait({self._ending})
            except asyncio.CancelledError as wanted:
                cancelled = wanted
        if cancelled is not None:
            raise cancelled
        if not self._ending.cancelled():  # as a second signal has it
            self._ending.result()
        return first

    async def _ended(self, reason: str | None, error: BaseException | None) -> None:
        try:
            await self._started()
            for call in self._control.trouble(error):
                await self._caller.call(call)
            reason = reason or why(self._control, error)
            await self._carry_out(self._control.sequence.ending(reason))
        finally:
            self._control.sequence.cut_off()
            self._control.end()
            self._looks.cancel()
            if self._guard is not None:
                self._asked.set()

    async def _started(self) -> None:
        """Have a start in another task go no further, and wait for it."""
        while not self._start_over.is_set():
            self._control.ask("stop")
            try:
                await self._start_over.wait()
            except asyncio.CancelledError:  # the event loop ends, for the start too
                if self._caller.at_once:
                    raise

    async def _watch(self) -> None:
        """Wait for the end; if the event loop ends before, end with it."""
        try:
            await self._asked.wait()
        except asyncio.CancelledError:
            await self._end("loop")
            raise
        if self._control.signal is not None:
            await self._end(None)
            await self._passed_on()

    async def _passed_on(self) -> bool:
        """Pass a signal on; whether one came. Who is cancelled for that is so here."""
        passed = self._control.pass_on()
        if passed:
            await asyncio.sleep(0)
        return passed

    def _exit(self) -> None:
        """The event loop is gone, and was never told: at the exit at the latest."""
        over = self._control.sequence.phase is Phase.ENDED
        if over or not self._control.ours:
            return
        if self._ending is None:
            Runner(self._control).end_at_exit()
        else:
            self._control.sequence.cut_off()
            self._control.end()

    async def _carry_out(self, steps: Steps[None]) -> None:
        done: Called | None = None
        while True:
            try:
                call = steps.send(done)  # type: ignore[arg-type]  # None at first
            except StopIteration:
                return
            done = await self._caller.call(call)
            if self._caller.cancelled is not None and not self._start_over.is_set():
                self._control.ask("start")
            if call.module == "store" and call.phase is Phase.CORE:
                self._control.opened()

    # Signals: they come on the main thread, between any two of its steps.

    def _look_up(self) -> None:
        """Have the event loop turn now and then.

        A signal that comes just before it waits is not heard of before that is over.
        """
        self._looks = self._loop.call_later(_LOOK_UP_SECONDS, self._look_up)

    def _interrupt(self, number: int) -> None:
        """A signal came in the block: it is cancelled, unless it waits for that."""
        if self._block is not None and not self._waiting:
            self._soon(self._cancel)

    def _cancel(self) -> None:
        if self._block is not None and self._control.in_block is not None:
            self._cancelled = True
            self._block.cancel()

    def _hurry(self) -> None:
        """A second signal came: let the shutdown be."""
        self._caller.at_once = True
        if self._ending is not None:
            self._soon(self._ending.cancel)

    def _wake(self) -> None:
        self._soon(self._asked.set)

    def _soon(self, function: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function)  # type: ignore[arg-type]
        except RuntimeError:  # the loop has ended
            return


_loops: "weakref.WeakSet[asyncio.AbstractEventLoop]" = weakref.WeakSet()
"""Event loops that a life was begun on."""


def _part_all() -> None:
    """In a forked process: let event loops have what wakes them to themselves.

    Both processes have one epoll, from which the child's loop, as it is closed, takes
    away what wakes the parent's: that one then hears of nothing any more.
    """
    for loop in list(_loops):
        known: Any = loop
        if not loop.is_closed() and hasattr(known, "_make_self_pipe"):
            _part(known)


def _part(loop: Any) -> None:
    """Give an event loop of asyncio's own a selector, and the pipe that wakes it."""
    wakes = signal.set_wakeup_fd(-1)
    if wakes not in {-1, loop._csock.fileno()}:  # noqa: SLF001  # there is no other way
        signal.set_wakeup_fd(wakes)
    for end in (loop._ssock, loop._csock):  # noqa: SLF001
        end.close()
    loop._selector = type(loop._selector)()  # noqa: SLF001
    loop._make_self_pipe()  # noqa: SLF001


os.register_at_fork(after_in_child=_part_all)
