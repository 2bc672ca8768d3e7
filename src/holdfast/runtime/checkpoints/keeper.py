"""Keeper: what is done about checkpoints of an open store by itself.

Answers for: the thread that takes them every so many seconds, says that this process is
there, and answers who asks for one; the last ones, when the store is closed (as every
store is at the end of a program); a process that was forked.
Leaves to others: what is done for one owner (`desk`).
Always holds: the last checkpoint is taken while the store still does all that it is
asked; a store that is away keeps nobody from ending.
"""

import os
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial

from holdfast.bell import Bell
from holdfast.core import Core
from holdfast.errors import Closed
from holdfast.logs import logger
from holdfast.runtime.checkpoints import living
from holdfast.runtime.checkpoints.desk import Desk
from holdfast.runtime.checkpoints.participants import Calls

_LOOK_SECONDS = 1.0
"""How often is looked whether somebody asks for a checkpoint."""
_BEAT_SECONDS = 10.0
_END_SECONDS = 5.0
_MEMORY = ":memory:"


class Pace:
    """That a checkpoint is taken every so many seconds.

    The `usual` one is there as long as nobody has asked for another.
    """

    def __init__(self, desk: Desk, seconds: float, *, usual: bool = False) -> None:
        self.desk = desk
        self.usual = usual
        self.next_at = time.monotonic() + seconds
        self._seconds = seconds

    def is_due(self) -> bool:
        """Whether it is time, which is said once."""
        now = time.monotonic()
        if now < self.next_at:
            return False
        self.next_at = max(self.next_at + self._seconds, now)
        return True

    def take(self) -> None:
        """Take one."""
        self.desk.take_by_itself("every")


class Keeper:
    """Takes the checkpoints of one open store, for all owners."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._calls = Calls()
        self._mutex = threading.RLock()  # a signal's handler may close the store
        self._desks: dict[str, Desk] = {}
        self._paces: tuple[Pace, ...] = ()
        self._aside: dict[Pace | Desk, threading.Thread] = {}
        """For whom one is being taken right now, beside the keeper's thread."""
        self._bell = Bell()
        self._thread: threading.Thread | None = None
        self._ended = False
        self._look_at = self._beat_at = 0.0
        self._troubled: set[Pace | Desk] = set()
        """With what something went wrong the last time."""
        self._rests = False
        """Whether the last checkpoints were taken, while the store is still open."""
        core.events.endings.insert(0, self.end)

    # For those who take part.

    def desk(self, owner: str) -> Desk:
        """The participants of an owner. Raises `Closed`."""
        self.core.refuse_closed()
        with self._mutex:
            found = self._desks.get(owner)
            if found is None:
                found = self._desks[owner] = Desk(self.core, owner, self._calls)
                weakref.finalize(self, living.end, found.run.id).atexit = False
            return found

    def watch(self, desk: Desk) -> None:
        """See that the thread runs: somebody takes part."""
        self._rests = False
        if self.outlived:
            self._go_on(desk)
            self._start()
            self._bell.set()

    def every(self, desk: Desk, seconds: float) -> Callable[[], None]:
        """Have a checkpoint taken every so many seconds; gives what stops that."""
        pace = Pace(desk, seconds)
        self._rests = False
        with self._mutex:
            usual = [one for one in self._paces if one.usual and one.desk is desk]
            self._paces = (*(p for p in self._paces if p not in usual), pace)
        self._start()
        self._bell.set()

        def stop() -> None:
            with self._mutex:
                self._paces = tuple(one for one in self._paces if one is not pace)
            if self.outlived and not self._rests:
                self._go_on(desk)

        return stop

    def _go_on(self, desk: Desk) -> None:
        """Have checkpoints taken at the usual pace, if there is no other."""
        with self._mutex:
            if not any(one.desk is desk for one in self._paces):
                seconds = self.core.limits.checkpoint_seconds
                self._paces += (Pace(desk, seconds, usual=True),)

    @property
    def outlived(self) -> bool:
        """Whether what is kept here is there for a later process, or another one."""
        return self.core.engine.place != _MEMORY and not self.core.read_only

    # The end.

    @property
    def desks(self) -> list[Desk]:
        """The participants of each owner."""
        return list(self._desks.copy().values())

    def rest(self) -> None:
        """Take no more by itself: the last were taken, and participants come to an end.

        Until anyone takes part anew, or asks for one every so many seconds.
        """
        self._rests = True  # but say that the run is there: modules still use it
        with self._mutex:
            self._paces = ()

    def end(self) -> None:
        """Take the last checkpoints; the store is about to close."""
        self._ended = True
        self._bell.set()
        for desk in self.desks:
            self._take_last(desk)
        self._calls.close()
        for thread in (self._thread, *self._aside.copy().values()):
            if thread is not None and thread is not threading.current_thread():
                thread.join(_END_SECONDS)

    def _take_last(self, desk: Desk) -> None:
        try:
            desk.end("close", kept=self.outlived, taken=self._rests)
        except Exception:
            logger("holdfast.checkpoints").exception(
                "the last checkpoint could not be taken"
            )

    def disown(self) -> None:
        """In a process that was forked from the store's own: keep nothing."""
        self._mutex = threading.RLock()
        self._desks = {}
        self._paces = ()
        self._thread = None
        self._ended = True

    # The thread.

    def _start(self) -> None:
        with self._mutex:
            if self._thread is not None or self._ended:
                return
            self._thread = threading.Thread(
                target=_serve,
                args=(weakref.ref(self), self._bell),
                name="holdfast-checkpoints",
                daemon=True,
            )
            weakref.finalize(self, self._bell.set).atexit = False
            self._thread.start()

    def turn(self) -> float | None:
        """Do what is due; for how many seconds nothing will be, None at the end."""
        self._bell.clear()
        if self._ended:
            return None
        for pace in self._paces:
            if pace.is_due():
                self._do_aside(pace, pace.take)
        if self.outlived:
            self._look()
        return self._until_next()

    def _until_next(self) -> float | None:
        if self._ended:
            return None
        times = [pace.next_at for pace in self._paces]
        if self.outlived:
            times.append(self._look_at)
        return max(0.0, min(times, default=_LOOK_SECONDS) - time.monotonic())

    def _look(self) -> None:
        now, desks = time.monotonic(), self.desks
        if now < self._look_at and all(desk.known for desk in desks):
            return
        beat = now >= self._beat_at
        if beat:
            self._beat_at = now + _BEAT_SECONDS
        self._look_at = now + _LOOK_SECONDS
        for desk in desks:
            if beat or not desk.known:
                self._tried(desk, desk.beat)
            if not self._rests:
                self._tried(desk, partial(self._look_for_a_question, desk))

    def _look_for_a_question(self, desk: Desk) -> None:
        if asked := desk.question():
            self._do_aside(desk, partial(desk.answer, asked))

    def _do_aside(self, whose: Pace | Desk, work: Callable[[], None]) -> None:
        """Do something beside the thread, which says meanwhile that the run is there.

        Unless what was to be done so is not done yet.
        """
        if whose in self._aside:
            return

        def done() -> None:
            try:
                self._tried(whose, work)
            finally:
                self._aside.pop(whose, None)

        name = "holdfast-checkpoint"
        thread = threading.Thread(target=done, name=name, daemon=True)
        self._aside[whose] = thread
        thread.start()

    def _tried(self, whose: Pace | Desk, work: Callable[[], object]) -> None:
        """Do something by itself; what went wrong is said once, until it goes well."""
        try:
            work()
        except Closed:
            self._ended = True
        except Exception as error:
            if whose not in self._troubled and not self._ended:
                logger("holdfast.checkpoints").error(
                    "a checkpoint could not be taken, which is tried again: %s", error
                )
            self._troubled.add(whose)
        else:
            self._troubled.discard(whose)


def _serve(ref: "weakref.ref[Keeper]", bell: Bell) -> None:
    """Serve for as long as the keeper is there; while nothing is due, it may go."""
    while (keeper := ref()) is not None:
        seconds = keeper.turn()
        if seconds is None:
            return
        del keeper
        bell.wait(seconds)


_keepers: weakref.WeakValueDictionary[int, Keeper] = weakref.WeakValueDictionary()
_entering = threading.RLock()


def keeper_of(core: Core) -> Keeper:
    """The keeper of an open store; it keeps the store's core, so its number stays."""
    with _entering:
        keeper = _keepers.get(id(core))
        if keeper is None:
            core.refuse_closed()
            keeper = _keepers[id(core)] = Keeper(core)
        return keeper


def _disown_all() -> None:
    global _entering  # another thread of the parent's may hold it
    _entering = threading.RLock()
    living.forget_all()
    for keeper in list(_keepers.values()):
        keeper.disown()


os.register_at_fork(after_in_child=_disown_all)
