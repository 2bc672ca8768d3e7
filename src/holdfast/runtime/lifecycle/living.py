"""Living: a life, led on the threads of a program without an event loop.

Answers for: the start, the block, the wait and the end, for who waits meanwhile; what a
signal does to the block.
Leaves to others: what is done (`course`), how a handler is called (`calling`).
Always holds: the block is interrupted by a signal, and the shutdown by the second one
only; a program that exits without a close is shut down all the same.
"""

import signal
import sys
import threading

from holdfast.errors import Refused
from holdfast.runtime.lifecycle.calling import Caller
from holdfast.runtime.lifecycle.calls import Called, Steps
from holdfast.runtime.lifecycle.life import Life
from holdfast.runtime.lifecycle.phases import Phase
from holdfast.runtime.lifecycle.signals import Stopped


class Living:
    """Leads a life; whoever calls, waits."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._caller = Caller(life.alarms.set_on)
        self._mutex = threading.Lock()
        self._closing = False
        self._over = threading.Event()
        self._waits = False
        """Whether the main thread waits for the end."""

    def begin(self) -> None:
        """Begin. Raises `Refused`."""
        _refuse_loop()
        self._life.begin(self._exit)

    def start(self) -> None:
        """Bring everything up. Raises `StartFailed`."""
        course = self._life.course
        try:
            self._carry_out(course.starting())
        except BaseException:
            self._end("start")
            raise
        if course.asked is not None:
            self._end(course.asked)
            self._life.pass_on()
            raise self._life.not_ready()
        self._life.in_block = self._interrupt

    def wait(self) -> None:
        """Wait until it is to end."""
        mine = threading.current_thread() is threading.main_thread()
        self._waits = mine or self._waits
        try:
            self._life.wait()
        finally:
            if mine:
                self._waits = False

    def leave(self, error: BaseException | None) -> bool:
        """The block is over; whether what it raised is over, too."""
        self._life.in_block = None
        if not self._life.ours:
            return False
        if error is not None:
            self._life.trouble(error)
        self._end(why(self._life, error))
        if isinstance(error, KeyboardInterrupt) or not self._life.pass_on():
            return False
        return isinstance(error, Stopped)

    def close(self) -> None:
        """End the life, and pass on a signal that came. Raises `Refused`."""
        self._life.refuse_inside()
        self._life.in_block = None
        if self._end(why(self._life, None)):
            self._life.pass_on()

    def _exit(self) -> None:
        """The program exits, and nobody has closed it."""
        self._end(self._life.course.asked or "exit")

    def _end(self, reason: str) -> bool:
        """End the life, or wait for who does; whether it was this call."""
        if not self._life.ours:
            return False
        with self._mutex:
            first, self._closing = not self._closing, True
        if not first:
            self._over.wait()
            return False
        try:
            self._carry_out(self._life.course.ending(reason))
            self._caller.close()
        finally:
            self._life.course.cut_off()
            self._life.end()
            self._over.set()
        return True

    def _carry_out(self, steps: Steps[None]) -> None:
        done: Called | None = None
        while True:
            try:
                call = steps.send(done)  # type: ignore[arg-type]  # None at first
            except StopIteration:
                return
            done = self._caller.call(call)
            if call.module == "store" and call.phase is Phase.CORE:
                self._life.opened()

    def _interrupt(self, number: int) -> None:
        """A signal came in the block: it ends there, unless it waits for that."""
        if self._waits:
            return
        if number == signal.SIGINT and self._life.signals.is_plain(number):
            raise KeyboardInterrupt
        raise Stopped(number)


def why(life: Life, error: BaseException | None) -> str:
    """What has ended a block."""
    if life.course.asked is not None:
        return life.course.asked
    if isinstance(error, KeyboardInterrupt):
        return "SIGINT"
    return "error" if isinstance(error, Exception) else "end"


def _refuse_loop() -> None:
    """Raise `Refused` where an event loop would be kept waiting."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise Refused(
        "an event loop runs here, which would have to wait; nothing was started: use "
        "`async with`, or `await life.astart()`"
    )
