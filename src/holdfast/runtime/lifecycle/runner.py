"""Runner: leads a life on the threads of a program without an event loop.

Answers for: the start, the block, the wait and the end, for who waits meanwhile; what a
signal does to the block.
Leaves to others: what is done (`sequence`), how a handler is called (`caller`).
Always holds: the block is interrupted by a signal, and the shutdown by the second one
only; a program that exits without a close is shut down all the same; the shutdown
begins when the start is over.
"""

import signal
import sys
import threading

from holdfast.errors import Refused
from holdfast.runtime.lifecycle.caller import Caller
from holdfast.runtime.lifecycle.calls import Called, Steps
from holdfast.runtime.lifecycle.control import Control
from holdfast.runtime.lifecycle.phases import Phase
from holdfast.runtime.lifecycle.signals import Stopped


class Runner:
    """Leads a life; whoever calls, waits."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._caller = Caller(control.uncaught.set_on)
        self._mutex = threading.RLock()  # a signal's handler may come in, too
        self._starter: threading.Thread | None = None
        self._ender: threading.Thread | None = None
        self._start_over = threading.Event()
        self._over = threading.Event()
        self._waits = False
        """Whether the main thread waits for the end."""

    def begin(self) -> None:
        """Begin. Raises `Refused`."""
        refuse_loop()
        self._starter = threading.current_thread()
        self._control.begin(self._exit)
        self._control.hurry = self._caller.hurry

    def start(self, *, in_block: bool = False) -> None:
        """Bring everything up. Raises `StartFailed`."""
        sequence = self._control.sequence
        try:
            self._carry_out(sequence.starting())
        except BaseException:
            self._start_over.set()
            self._end("start")
            raise
        self._start_over.set()
        if sequence.asked is not None:
            self._end(sequence.asked)
            self._control.pass_on()
            raise self._control.not_ready()
        if not in_block:
            self._caller.keep_spare()
        self._control.in_block = self._interrupt

    def wait(self) -> None:
        """Wait until it is to end."""
        mine = threading.current_thread() is threading.main_thread()
        self._waits = mine or self._waits
        try:
            self._control.wait()
        finally:
            if mine:
                self._waits = False

    def leave(self, error: BaseException | None) -> bool:
        """The block is over; whether what it raised is over, too."""
        self._control.in_block = None
        if not self._control.ours:
            return False
        self._end(None, error)
        if isinstance(error, KeyboardInterrupt) or not self._control.pass_on():
            return False
        return isinstance(error, Stopped)

    def close(self) -> None:
        """End the life, and pass on a signal that came. Raises `Refused`."""
        self._control.refuse_inside()
        self._control.in_block = None
        if self._end(None):
            self._control.pass_on()

    def end_at_exit(self) -> None:
        """Do what is left of a life that was led on an event loop, which is gone."""
        self._control.hurry = self._caller.hurry
        self._start_over.set()
        self._exit()

    def _exit(self) -> None:
        """The program exits, and nobody has closed it."""
        self._end(self._control.sequence.asked or "exit")

    def _end(self, reason: str | None, error: BaseException | None = None) -> bool:
        """End the life, or wait for who does; whether it was this call.

        Amid the start or the end on this very thread, in a signal's handler, nobody
        waits: who was interrupted goes on with it.
        """
        if not self._control.ours or not self._started():
            return False
        me = threading.current_thread()
        with self._mutex:
            first = self._ender is None
            self._ender = self._ender or me
        if not first:
            if self._ender is not me:
                self._over.wait()
            return False
        self._bring_down(reason or why(self._control, error), error)
        return True

    def _bring_down(self, reason: str, error: BaseException | None) -> None:
        try:
            for call in self._control.trouble(error):
                self._caller.call(call)
            self._carry_out(self._control.sequence.ending(reason))
            self._caller.close()
        finally:
            self._control.sequence.cut_off()
            try:
                self._control.end()
            finally:
                self._over.set()

    def _started(self) -> bool:
        """Have a start go no further, and wait for it; False if that is amid this."""
        if not self._start_over.is_set():
            self._control.ask("stop")
            if self._starter is threading.current_thread():
                return False
            self._start_over.wait()
        return True

    def _carry_out(self, steps: Steps[None]) -> None:
        """Call one after another, unless a second signal has come."""
        done: Called | None = None
        while not self._caller.at_once:
            try:
                call = steps.send(done)  # type: ignore[arg-type]  # None at first
            except StopIteration:
                return
            done = self._caller.call(call)
            if call.module == "store" and call.phase is Phase.CORE:
                self._control.opened()

    def _interrupt(self, number: int) -> None:
        """A signal came in the block: it ends there, unless it waits for that."""
        if self._waits:
            return
        if number == signal.SIGINT and self._control.signals.is_plain(number):
            raise KeyboardInterrupt
        raise Stopped(number)


def why(control: Control, error: BaseException | None) -> str:
    """What has ended a block."""
    if control.sequence.asked is not None:
        return control.sequence.asked
    if isinstance(error, KeyboardInterrupt):
        return "SIGINT"
    return "error" if isinstance(error, Exception) else "end"


def refuse_loop() -> None:
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
