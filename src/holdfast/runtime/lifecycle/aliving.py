"""Living, awaited: a life, led on an event loop.

Answers for: what `living` answers for, on an event loop, and for that loop's end.
Always holds: what `living` holds. The shutdown is shielded: cancelling who waits for it
does not break it off, and the end of the event loop waits for it.
"""

import asyncio

from holdfast.runtime.lifecycle.acalling import AsyncCaller
from holdfast.runtime.lifecycle.calls import Called, Steps
from holdfast.runtime.lifecycle.life import Life
from holdfast.runtime.lifecycle.living import Living, why
from holdfast.runtime.lifecycle.phases import Phase


class AsyncLiving:
    """Leads a life on the event loop that it began on."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._caller = AsyncCaller()
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
        self._life.begin(self._exit)
        self._life.alarms.set_on(self._loop)
        self._life.wakers.append(self._wake)
        self._life.hurry = self._hurry

    async def start(self, *, in_block: bool = False) -> None:
        """Bring everything up. Raises `StartFailed`."""
        course = self._life.course
        try:
            await self._carry_out(course.starting())
        except BaseException:
            await self._end("start")
            raise
        if course.asked is not None:
            await self._end(course.asked)
            await self._passed_on()
            raise self._life.not_ready()
        if in_block:
            self._block = asyncio.current_task()
        else:
            self._guard = self._loop.create_task(self._watch(), name="holdfast-guard")
        self._life.in_block = self._interrupt

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
        self._life.in_block = None
        if not self._life.ours:
            return False
        if isinstance(error, Exception):
            await asyncio.to_thread(self._life.trouble, error)
        try:
            await self._end(why(self._life, error))
        finally:
            if self._cancelled and self._block is not None:
                self._block.uncancel()
        passed = await self._passed_on()
        return passed and self._cancelled and isinstance(error, asyncio.CancelledError)

    async def close(self) -> None:
        """End the life, and pass on a signal that came. Raises `Refused`."""
        self._life.refuse_inside()
        self._life.in_block = None
        if await self._end(why(self._life, None)):
            await self._passed_on()

    async def _end(self, reason: str) -> bool:
        """End the life, or wait for who does; whether it was this call."""
        if not self._life.ours:
            return False
        first = self._ending is None
        if self._ending is None:
            self._ending = self._loop.create_task(
                self._ended(reason), name="holdfast-shutdown"
            )
        cancelled: asyncio.CancelledError | None = None
        while not self._ending.done():
            try:
                await asyncio.wait({self._ending})
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        self._ending.result()
        return first

    async def _ended(self, reason: str) -> None:
        try:
            await self._carry_out(self._life.course.ending(reason))
        finally:
            self._life.course.cut_off()
            self._life.end()
            if self._guard is not None:
                self._asked.set()

    async def _watch(self) -> None:
        """Wait for the end; if the event loop ends before, end with it."""
        try:
            await self._asked.wait()
        except asyncio.CancelledError:
            await self._end("loop")
            raise
        if self._life.signal is not None:
            await self._end(why(self._life, None))
            await self._passed_on()

    async def _passed_on(self) -> bool:
        """Pass a signal on; whether one came. Who is cancelled for that is so here."""
        passed = self._life.pass_on()
        if passed:
            await asyncio.sleep(0)
        return passed

    def _exit(self) -> None:
        """The program exits; the event loop is gone, and was never told."""
        if self._ending is None and self._life.ours:
            Living(self._life)._exit()  # noqa: SLF001  # what is left to be done
        else:
            self._life.end()

    async def _carry_out(self, steps: Steps[None]) -> None:
        done: Called | None = None
        while True:
            try:
                call = steps.send(done)  # type: ignore[arg-type]  # None at first
            except StopIteration:
                return
            done = await self._caller.call(call)
            if call.module == "store" and call.phase is Phase.CORE:
                self._life.opened()

    # Signals: they come on the main thread, between any two of its steps.

    def _interrupt(self, number: int) -> None:
        """A signal came in the block: it is cancelled, unless it waits for that."""
        self._cancelled = self._block is not None and not self._waiting
        if self._cancelled:
            self._soon(self._cancel)

    def _cancel(self) -> None:
        assert self._block is not None
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
