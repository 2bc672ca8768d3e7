"""Control: what belongs to one life, whichever way it is led.

Answers for: its parts, its beginning and its end, what a signal or a stop means for it.
Leaves to others: leading it (`runner`, `arunner`).
Always holds: it begins once and ends once; a process forked from its own has no part
in it.
"""

import atexit
import os
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast import edges
from holdfast.bell import Bell
from holdfast.errors import Refused, StartFailed
from holdfast.limits import Limits
from holdfast.logs import logger
from holdfast.runtime.lifecycle.calls import LOOK_UP_SECONDS, Call, inside
from holdfast.runtime.lifecycle.dumps import Dumps
from holdfast.runtime.lifecycle.modules import Plans
from holdfast.runtime.lifecycle.phases import Phase
from holdfast.runtime.lifecycle.resources import Module
from holdfast.runtime.lifecycle.sequence import Sequence
from holdfast.runtime.lifecycle.signals import Signals
from holdfast.runtime.lifecycle.store_steps import StoreSteps
from holdfast.runtime.lifecycle.uncaught import Uncaught

if TYPE_CHECKING:
    from holdfast.runtime.lifecycle.lifecycle import Lifecycle

DUMP_SECONDS = 60.0
"""How long the shutdown waits for a dump; each participant has a limit of its own."""
_LIMITS = Limits()


class Control:
    """What one life is made of."""

    def __init__(
        self,
        face: "Lifecycle",
        store: object,
        seconds: float,
        *,
        signals: bool,
        checkpoints: bool,
        dumps: object,
        faults: bool,
    ) -> None:
        self.face = face
        self.plans = Plans(seconds)
        self.store_steps = StoreSteps(
            store, checkpoints=edges.truth_of(checkpoints, "checkpoints", _LIMITS)
        )
        self.sequence = Sequence(self.plans, self.store_steps)
        self._bell = Bell()
        """Rung once it is to end; a signal's handler may do so."""
        self.wakers: list[Callable[[], None]] = []
        """What is called then, on whichever thread."""
        self.hurry: Callable[[], None] | None = None
        """What has the shutdown end at once."""
        self.signal: int | None = None
        """The first signal that came."""
        self.signals = Signals(self._on_signal)
        self.in_block: Callable[[int], None] | None = None
        """What a signal means where the program works; None elsewhere."""
        self._takes_signals = edges.truth_of(signals, "signals", _LIMITS)
        self._faults = edges.truth_of(faults, "faults", _LIMITS)
        self._dumps = Dumps(
            self.sequence, self.store_steps, self.plans, _folder_of(dumps)
        )
        self.uncaught = Uncaught(self._dumps.write)
        self._mutex = threading.Lock()
        self._pid: int | None = None
        self._at_exit: Callable[[], None] | None = None

    @property
    def stopping(self) -> bool:
        """Whether it is to end, or has ended."""
        over = self.sequence.phase in {Phase.SHUTDOWN, Phase.ENDED}
        return over or self.sequence.asked is not None

    @property
    def ours(self) -> bool:
        """Whether it began in this very process, and not in one that forked it."""
        return self._pid == os.getpid()

    # The beginning and the end.

    def begin(self, at_exit: Callable[[], None]) -> None:
        """Begin: from here on, signals and errors are looked after.

        Raises `Refused`.
        """
        with self._mutex:
            if self._pid is not None:
                raise Refused(
                    "this life has begun before, and is lived once: make another "
                    "Lifecycle"
                )
            self.sequence.begin(lambda resources: Module(self.face, resources))
            self._pid = os.getpid()
        self._at_exit = at_exit
        atexit.register(at_exit)
        self.uncaught.set()
        if self.store_steps.store is not None:
            self.opened()
        if self._takes_signals:
            self.signals.take()

    def opened(self) -> None:
        """The store is open: now it is known where a crash is to be reported."""
        if not self._faults:
            return
        try:
            self.uncaught.set_faults(self._dumps.place.faults())
        except OSError as error:
            logger("holdfast.lifecycle").error(
                "a crash of the interpreter would be reported nowhere, and the program "
                "goes on without that: %s",
                error,
            )

    def end(self) -> None:
        """It has ended: nothing is looked after any more."""
        self.in_block = None
        self.wake()
        self.signals.give_back()
        self.uncaught.lift()
        if self._at_exit is not None:
            atexit.unregister(self._at_exit)

    def refuse_inside(self) -> None:
        """Raise `Refused` in one of its handlers."""
        if inside.get() is self.sequence:
            raise Refused(
                "a handler cannot close the life that it is part of, which would wait "
                "for it: use stop()"
            )

    # Stopping.

    def ask(self, why: str) -> None:
        """Have it end; it does not wait for that."""
        if self.sequence.asked is None:
            self.sequence.asked = why
        self.wake()

    def wake(self) -> None:
        """Wake who waits for the end."""
        self._bell.set()
        for waker in self.wakers:
            waker()

    def wait(self) -> None:
        """Wait until it is to end."""
        while not self._bell.wait(LOOK_UP_SECONDS):
            pass  # a signal may have come just before it waited
        self._bell.set()  # for others who wait

    def _on_signal(self, number: int) -> None:
        """A signal came, on the main thread, wherever that is just now."""
        if self.signal is not None:  # the second one: at once
            self.in_block = None
            self.signals.give_back()
            if self.hurry is not None:
                self.hurry()
            self.signals.pass_on(number)
            return
        self.signal = number
        in_block = self.in_block
        self.ask(signal.Signals(number).name)
        if in_block is not None:
            in_block(number)

    def pass_on(self) -> bool:
        """Give a signal that came to who had it before; whether one did."""
        if self.signal is None:
            return False
        self.signals.pass_on(self.signal)
        return True

    def not_ready(self) -> StartFailed:
        """What is raised if it was to end before it was ready."""
        return StartFailed(None, None, f"it was to end ({self.sequence.why})")

    # Trouble.

    def dump(self, what: str) -> str | None:
        """Write a dump, as somebody asked for."""
        found = self._dumps.write(edges.text_of(what, "what", _LIMITS), None)
        return None if found is None else str(found)

    def trouble(self, error: BaseException | None) -> Iterator[Call]:
        """What is to be done about an error that ends the program's block."""
        if isinstance(error, Exception) and not isinstance(error, StartFailed):
            write = partial(
                self._dumps.write, "an error ended the program's block", error
            )
            yield Call("dump", Phase.SHUTDOWN, write, DUMP_SECONDS, "writing it")


def _folder_of(dumps: Any) -> Path | bool:
    if isinstance(dumps, bool):
        return dumps
    if not isinstance(dumps, (str, os.PathLike)):
        raise edges.wrong_type("dumps", "True, False or a folder", dumps)
    return Path(os.fsdecode(dumps))
