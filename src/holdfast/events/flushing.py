"""Flushing: what waits in memory, to disk, in batches.

Answers for: when events are written, and by whom; how many in one transaction; room,
where the disk is slower than what happens; trying again; deleting what is old.
Leaves to others: holding events (`memory`), writing one batch (`writing`).
Always holds: batches are written one after another, in the order of their events; what
could not be written waits, until it crowds memory; nobody waits for their own thread.
"""

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from holdfast.bell import Bell
from holdfast.engine import Beside, Options, Terms, Transaction, Unit
from holdfast.errors import Busy, Closed, HoldfastError
from holdfast.events.memory import Memory
from holdfast.events.writing import Written, write
from holdfast.kinds.event_records import Entry
from holdfast.kinds.events import reach, sweep
from holdfast.logs import logger
from holdfast.turn import Turn

T = TypeVar("T")
_AT_ONCE = 10_000
"""Events that one transaction writes at most."""
_BYTES_AT_ONCE = 8_000_000
_PAUSE_SECONDS = 0.05
"""Between two batches: many small ones would keep the disk from the state."""
_AGAIN_SECONDS = 1.0
"""After what could not be written."""
_TIDIED_SECONDS = 60.0
_WRITERS = 2**53 - 111
"""A prime: chance of any kind is spread over all that is below."""
_OURS = Terms(every_owner=True, beside=True)


class Herald(Protocol):
    """Who tells what becomes of writing."""

    def own(self, name: str, data: dict[str, Any], level: str = "info") -> None:
        """Tell an event of holdfast's own."""
        ...

    def failed(self, error: BaseException) -> None:
        """Tell that something was not kept."""
        ...


class Flusher:
    """Writes what waits in memory; on a thread of its own where there is a disk."""

    def __init__(
        self, herald: Herald, beside: Beside, options: Options, place: str
    ) -> None:
        limits = options.limits
        self._in_memory = place == ":memory:"
        self._batch = limits.event_batch
        most = self._batch if self._in_memory else limits.event_pending
        self.memory = Memory(
            options.clock, limits.event_ring, self._batch, most, self._noticed
        )
        self.writer = options.clock.chance() % _WRITERS
        """What this store's events are known by, beside their time."""
        self.registered = False
        """Whether that is known to be nobody else's."""
        self.used = False
        """Whether what is taken in is written: not as long as all of it is ours."""
        self.batches: list[Callable[[Sequence[Entry]], Sequence[Any]]] = []
        """Who adds rows of `event_observed` to a batch of events."""
        self._herald = herald
        self._beside = beside
        self._clock = options.clock
        self._place = place
        self._ring = limits.event_ring
        self._seconds = limits.event_seconds
        self._first_at = 0.0
        """When the first of those came that wait."""
        self._news = Bell()
        self._room = threading.Condition()
        self._turn = Turn()
        """To write a batch."""
        self._thread: threading.Thread | None = None
        self._hurries = False
        """Whether somebody waits for room."""
        self._troubled = False
        """Whether the last batch could not be written."""
        self._ending = False
        self._tidied_at = 0.0

    # When.

    def use(self) -> None:
        """Write from here on: somebody keeps events here."""
        with self.memory.apart():
            self.used = True
            if self.memory.waiting and self.memory.why is None:
                self._noticed(1)

    def _noticed(self, waiting: int) -> None:
        if waiting == 1:
            self._first_at = time.monotonic()
        if self.used and not self._in_memory:
            if self._thread is None:
                self._start()
            self._news.set()

    def write_at_once(self) -> bool:
        """Write, if there is no disk to wait for; whether that was so."""
        if self._in_memory:
            self._write_in_turn()
        return self._in_memory

    @property
    def amid(self) -> bool:
        """Whether this very thread is amid writing, in a handler or a finalizer now."""
        return self._turn.has(threading.get_ident())

    def wait_for_room(self) -> None:
        """Let the disk come after; where it does not, forget the oldest that wait."""
        if threading.current_thread() is self._thread or self.amid:
            return  # it is the one that makes room
        self._hurries = True
        self._news.set()
        with self._room:
            self._room.wait_for(lambda: self._has_room or self._troubled)
        if self._troubled:
            self._forget_some()

    @property
    def _has_room(self) -> bool:
        return self.memory.why is not None or not self.memory.crowded

    def uncrowd(self) -> None:
        """See that what is told by commits, which wait for no room, crowds nothing.

        Nothing is written on this thread, which may be amid a commit.
        """
        if self._troubled:
            self._forget_some()
        elif self.memory.waiting <= self._ring:
            return
        elif not self.used:
            self.memory.forget(0.5, lost=False)
        elif self._in_memory and self._turn.inside is None:
            threading.Thread(
                target=self._write_aside, name="holdfast-events", daemon=True
            ).start()

    def _write_aside(self) -> None:
        try:
            self._write_in_turn()
        except HoldfastError as error:  # they wait for the next batch
            logger("holdfast.events").error("events were not written: %s", error)

    def _forget_some(self) -> None:
        """Forget the oldest that wait, a tenth at a time, until there is room."""
        while self.memory.crowded:
            self.memory.forget(0.1, lost=True)

    # The end.

    def last_words(self) -> None:
        """Write what waits, on the way to the end: once more only if that can be."""
        if not self.used or (self._ending and self._troubled):
            return
        self._ending = True
        try:
            self.write_all()
        except HoldfastError as error:
            self._troubled = True
            logger("holdfast.events").error(
                "%d events could not be written when %s was closed: %s",
                self.memory.waiting,
                self._place,
                error,
            )

    def end(self) -> None:
        """Write what waits, for the last time: memory takes in nothing more."""
        with self._room:
            self._room.notify_all()
        self._news.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self.last_words()
        if self.used and self.memory.waiting:
            self.memory.forget(1.0, lost=True)

    def disown(self) -> None:
        """In a process that was forked from the store's own: write nothing."""
        self._thread = None

    # The thread.

    def _start(self) -> None:
        self._thread = threading.Thread(
            target=_serve,
            args=(weakref.ref(self), self._news),
            name="holdfast-events",
            daemon=True,
        )
        weakref.finalize(self, self._news.set)
        self._thread.start()

    def serve(self) -> float | None:
        """Write what is due; for how many seconds nothing will be, None if none waits.

        For the thread that writes.
        """
        self._news.clear()  # before it is looked: what comes after wakes again
        waiting = self.memory.waiting
        if not waiting or self._ending:
            return None
        left = self._seconds - (time.monotonic() - self._first_at)
        timed = waiting < self._batch and not self._hurries
        if timed and left > 0:
            return left
        self._hurries = False
        self._serve_once(timed=timed)
        return 0.0

    def _serve_once(self, *, timed: bool) -> None:
        began = time.monotonic()
        if timed:
            waiting = {"waiting": self.memory.waiting}
            self._herald.own("autosave:triggered", waiting, level="debug")
        pause = _PAUSE_SECONDS
        try:
            self.write_all()
            self._tidy(began)
        except Closed:
            return
        except Exception as error:
            pause = _AGAIN_SECONDS
            self._say_trouble(error)
        self._sleep(began + pause - time.monotonic())

    def _sleep(self, seconds: float) -> None:
        if seconds > 0 and self.memory.why is None:
            time.sleep(seconds)

    def _say_trouble(self, error: Exception) -> None:
        if not self._troubled:
            logger("holdfast.events").error(
                "events cannot be written for now: %s", error
            )
            self._herald.failed(error)
        with self._room:
            self._troubled = True
            self._room.notify_all()
        self._forget_some()

    def _tidy(self, now: float) -> None:
        """Now and then, delete what is no longer kept, a slice at a time."""
        if now - self._tidied_at < _TIDIED_SECONDS:
            return
        self._tidied_at = now
        before = self.run(reach)
        while self.memory.why is None and self.run(lambda tx: sweep(tx, before)):
            time.sleep(_PAUSE_SECONDS)

    # Writing.

    def write_all(self) -> int:
        """Write what waits by now, a batch at a time; how many events that was.

        None where this very thread is amid writing.
        """
        return 0 if self.amid else self._turn.held(self._write_until_now)

    def _write_until_now(self) -> int:
        total, upto = 0, self.memory.newest
        while self.memory.waits_since(upto):
            total += self._write_batch()
        return total

    def _write_in_turn(self) -> None:
        """Write what waits, unless somebody does."""
        self._turn.held_if_free(self._write_what_waits)

    def _write_what_waits(self) -> None:
        with suppress(Busy):  # this thread is amid reading
            while self.memory.waiting:
                self._write_batch()

    def _write_batch(self) -> int:
        going, size = self.memory.take(_AT_ONCE, _BYTES_AT_ONCE)
        try:
            found = self._written_of(going)
        except BaseException:
            self.memory.stay(size)
            self._news.set()  # who looked meanwhile saw that nothing waits
            raise
        self.memory.gone(found.written, found.lost)
        with self._room:
            self._troubled = False
            self._room.notify_all()
        return len(going)

    def _written_of(self, going: Sequence[Entry]) -> Written:
        if not self.registered:
            self.writer = self.run(self._register)
            self.registered = True
        observed = [row for add in self.batches for row in add(going)]
        return write(self.run, self.writer, going, observed)

    def _register(self, tx: Transaction) -> int:
        """A writer's number that nobody else has."""
        writer = self.writer
        while not tx.run("event_writer_add", writer=writer):
            writer = self._clock.chance() % _WRITERS
        return writer

    def run(self, work: Callable[[Transaction], T]) -> T:
        """Have a piece of work done on disk.

        The thread that writes waits for no server that is away: it comes again by
        itself. Nor does who closes a store.
        """
        unit = Unit(work, _OURS, self._clock)
        unit.apart = True
        unit.patient = (
            not self._ending and threading.current_thread() is not self._thread
        )
        return self._beside.write(unit)


def _serve(ref: "weakref.ref[Flusher]", news: Bell) -> None:
    """Write for as long as the flusher is there; while nothing waits, it may go."""
    while (flusher := ref()) is not None and flusher.memory.why is None:
        seconds = flusher.serve()
        if seconds is None:
            del flusher
        news.wait(seconds)
