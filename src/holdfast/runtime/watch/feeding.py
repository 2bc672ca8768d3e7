"""Feeding: who watches is told when what they watch differs.

Answers for: the thread that does it, from the first watcher to the last; when a round
is due; what becomes of it when the store is away, is closed, or the process forked.
Leaves to others: what is done in a round (`rounds`), for whom (`runs`), who watches
(`watching`, `awatching`), noticing commits (the engine's `watch`).
Always holds: changes after the place of the runs are still to be looked at.

One thread an open store, while anyone watches.
"""

import os
import threading
import time
import weakref
from collections.abc import Callable

from holdfast.bell import Bell
from holdfast.core import Core
from holdfast.engine import Transaction
from holdfast.errors import Closed
from holdfast.logs import logger
from holdfast.passing import PASSING
from holdfast.runtime.watch.callbacks import Callbacks
from holdfast.runtime.watch.queries import Outcome, Query
from holdfast.runtime.watch.rounds import Rounds
from holdfast.runtime.watch.runs import Run, Runs, Watcher, tell

_APART_SECONDS = 0.005
"""How far apart two rounds begin at least: what is committed between them is one. The
feed rests for as long as a round took, too, unless some of it was left."""
_UNTOLD_APART_SECONDS = 0.05
_UNTOLD_LOOK_SECONDS = 1.0
"""How often queries of what the journal does not tell are run, at most and at least."""
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 5.0
_END_SECONDS = 5.0
"""How long who closes a store waits for the query that is being run."""


class Feed:
    """Has what is watched in one open store run, and its watchers told."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.callbacks = Callbacks()
        self.runs = Runs(core.registry)
        self.rounds = Rounds(core, self.runs)
        self.bell = Bell()
        """Rung when there is something to look at."""
        self.closed = False
        self.forked: Closed | None = None
        """Why nothing is watched in a process that was forked from the store's own."""
        self._mutex = threading.Lock()
        """Held while the thread begins, and while it finds that it is not needed."""
        self._over = threading.Event()
        self._news = False
        """Whether something was committed that untold runs were not run for."""
        self._began = self._took = self._untold_at = 0.0
        self._thread: threading.Thread | None = None
        self._serving = False

    # For those who watch.

    def first(self, query: Query) -> Callable[[Transaction], Outcome]:
        """What gives a query's outcome now; that of its run, if nothing came since."""
        return self.rounds.first(query)

    def join(self, query: Query, outcome: Outcome, watcher: Watcher) -> Run:
        """Have someone watch a query, who knows this outcome. Raises `Closed`."""
        with self._mutex:
            self._start(outcome.head)
            run = self.runs.join(query, outcome, watcher)
        self.bell.set()
        return run

    def leave(self, run: Run, watcher: Watcher) -> None:
        """Have someone watch no more."""
        self.runs.leave(run, watcher)
        if not self.runs:
            self.bell.set()

    def end(self) -> None:
        """Wait until the thread has ended, once the engine is closed."""
        self._over.set()
        self.bell.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_END_SECONDS)
            if thread.is_alive():
                logger("holdfast.watching").warning(
                    "a query that is watched is still being run, and is left alone"
                )
                self._close()
        self.callbacks.end(_END_SECONDS)

    def disown(self) -> None:
        """In a process that was forked from the store's own: serve nobody."""
        self._mutex = threading.Lock()
        self.bell = Bell()
        self.forked = Closed(
            "what is watched is watched by the process that this one was forked from: "
            "open the store again, and watch it here"
        )
        self.closed = True
        self._serving = False
        self.runs.disown()
        self.callbacks.disown()

    # The thread.

    def _start(self, head: int) -> None:
        """See that the thread runs, from a place in the journal on if it did not."""
        if self._serving:
            return
        if self.closed:
            raise Closed("the store is closed")
        stop = self.core.engine.watch(self._wake)
        if self._thread is not None:
            self._thread.join()  # it has nothing left to do but to end
        self.runs.place = head
        self._serving = True
        self._thread = threading.Thread(
            target=self._serve, args=(stop,), name="holdfast-watching", daemon=True
        )
        self._thread.start()

    def _wake(self) -> None:
        self._news = True
        self.bell.set()

    def _serve(self, stop: Callable[[], None]) -> None:
        pause = _FIRST_PAUSE_SECONDS
        try:
            while self._is_wanted():
                self._wait()
                try:
                    self._round()
                except Closed:
                    self._close()
                    return
                except PASSING as error:
                    logger("holdfast.watching").warning(
                        "the store is away, and is asked again: %s", error
                    )
                except Exception as error:
                    logger("holdfast.watching").exception(
                        "what is watched cannot be read"
                    )
                    self.runs.fail(error)
                else:
                    pause = _FIRST_PAUSE_SECONDS
                    continue
                self._over.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                self.bell.set()
        finally:
            stop()

    def _is_wanted(self) -> bool:
        """Whether anyone watches; those who went without a word are let go."""
        with self._mutex:
            self.runs.let_go()
            if not self.runs:
                self._serving = False
            return self._serving

    def _close(self) -> None:
        """Tell everyone that nothing comes any more."""
        with self._mutex:
            self.closed = True
            self._serving = False
        tell(self.runs.everyone())

    def _round(self) -> None:
        self.bell.clear()
        self._began = time.monotonic()
        untold = self._until_untold() == 0.0
        if untold:
            self._news = False
            self._untold_at = self._began
        self.rounds.look(untold=untold)
        self._took = time.monotonic() - self._began

    # Its pace.

    def _wait(self) -> None:
        """Wait for news, or until the next round is due."""
        due_at = self.runs.due_at()
        if due_at is not None:
            wait = due_at - time.monotonic()
            if wait > 0:
                untold = self._until_untold()
                self.bell.wait(wait if untold is None else min(wait, untold))
            return
        self.bell.wait(self._until_untold())
        since = time.monotonic() - self._began
        apart = max(_APART_SECONDS, 2 * self._took)
        if since < apart:
            self._over.wait(apart - since)

    def _until_untold(self) -> float | None:
        """How long until what the journal does not tell of is to be looked at."""
        if not self.runs.any_untold:
            return None
        since = time.monotonic() - self._untold_at
        wait = _UNTOLD_APART_SECONDS if self._news else _UNTOLD_LOOK_SECONDS
        return max(wait - since, 0.0)


_feeds: weakref.WeakValueDictionary[int, Feed] = weakref.WeakValueDictionary()
_entering = threading.Lock()


def feed_of(core: Core) -> Feed:
    """The feed of an open store; it keeps the store's core, so its number stays."""
    with _entering:
        feed = _feeds.get(id(core))
        if feed is None:
            feed = _feeds[id(core)] = Feed(core)
        return feed


def end_feed(core: Core) -> None:
    """Wait until a closed store's feed has ended."""
    feed = _feeds.get(id(core))
    if feed is not None:
        feed.end()


def _disown_all() -> None:
    global _entering  # another thread of the parent's may hold it
    _entering = threading.Lock()
    for feed in list(_feeds.values()):
        feed.disown()


os.register_at_fork(after_in_child=_disown_all)
