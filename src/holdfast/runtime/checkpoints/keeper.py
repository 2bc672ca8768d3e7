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
    """That a checkpoint is taken every so many seconds."""

    def __init__(self, desk: Desk, seconds: float) -> None:
        self.desk = desk
        self.seconds = seconds
        self.next_at = time.monotonic() + seconds

    def take(self) -> None:
        """Take one, and count from when it was due, or from now if that is over."""
        self.next_at = max(self.next_at + self.seconds, time.monotonic())
        self.desk.take("every", anew=False)


class Keeper:
    """Takes the checkpoints of one open store, for all owners."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._calls = Calls()
        self._mutex = threading.Lock()
        self._desks: dict[str, Desk] = {}
        self._paces: tuple[Pace, ...] = ()
        self._bell = Bell()
        self._thread: threading.Thread | None = None
        self._ended = False
        self._look_at = self._beat_at = 0.0
        self._troubled = False
        """Whether the last look failed."""
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

    def watch(self) -> None:
        """See that the thread runs: somebody takes part."""
        self._rests = False
        if self.outlived:
            self._start()
            self._bell.set()

    def every(self, desk: Desk, seconds: float) -> Callable[[], None]:
        """Have a checkpoint taken every so many seconds; gives what stops that."""
        pace = Pace(desk, seconds)
        self._rests = False
        with self._mutex:
            self._paces += (pace,)
        self._start()
        self._bell.set()

        def stop() -> None:
            with self._mutex:
                self._paces = tuple(one for one in self._paces if one is not pace)

        return stop

    @property
    def outlived(self) -> bool:
        """Whether what is kept here is there for a later process, or another one."""
        return self.core.engine.place != _MEMORY and not self.core.read_only

    # The end.

    @property
    def desks(self) -> list[Desk]:
        """The participants of each owner."""
        with self._mutex:
            return list(self._desks.values())

    def rest(self) -> None:
        """Take no more by itself: the last were taken, and participants come to an end.

        Until anyone takes part anew, or asks for one every so many seconds.
        """
        self._rests = True
        with self._mutex:
            self._paces = ()

    def end(self) -> None:
        """Take the last checkpoints; the store is about to close."""
        self._ended = True
        self._bell.set()
        for desk in list(self._desks.values()):
            self._take_last(desk)
        self._calls.close()
        thread = self._thread
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
        self._mutex = threading.Lock()
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
            if pace.next_at <= time.monotonic() and pace in self._paces:
                self._tried(pace.take)
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
        now = time.monotonic()
        if self._rests:
            self._look_at = now + _LOOK_SECONDS
            return
        if now < self._look_at and all(desk.known for desk in self._desks.values()):
            return
        beat = now >= self._beat_at
        if beat:
            self._beat_at = now + _BEAT_SECONDS
        self._look_at = now + _LOOK_SECONDS
        for desk in list(self._desks.values()):
            self._tried(partial(_look, desk, beat=beat))

    def _tried(self, work: Callable[[], object]) -> None:
        """Do something by itself; what went wrong is said once, until it goes well."""
        try:
            work()
        except Closed:
            self._ended = True
        except Exception as error:
            if not self._troubled and not self._ended:
                logger("holdfast.checkpoints").error(
                    "a checkpoint could not be taken, which is tried again: %s", error
                )
            self._troubled = True
        else:
            self._troubled = False


def _look(desk: Desk, *, beat: bool) -> None:
    if asked := desk.look(beat=beat):
        desk.answer(asked)


def _serve(ref: "weakref.ref[Keeper]", bell: Bell) -> None:
    """Serve for as long as the keeper is there; while nothing is due, it may go."""
    while (keeper := ref()) is not None:
        seconds = keeper.turn()
        if seconds is None:
            return
        del keeper
        bell.wait(seconds)


_keepers: weakref.WeakValueDictionary[int, Keeper] = weakref.WeakValueDictionary()
_entering = threading.Lock()


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
    _entering = threading.Lock()
    living.forget_all()
    for keeper in list(_keepers.values()):
        keeper.disown()


os.register_at_fork(after_in_child=_disown_all)
