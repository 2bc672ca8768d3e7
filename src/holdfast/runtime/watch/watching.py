"""Watching: a record or a query as it is, and then each later state of it.

Answers for: what `store.watch` and `store.watch_query` give, for threads.
Leaves to others: running queries again (`feeding`, `rounds`), calling callbacks
(`callbacks`), asyncio (`awatching`).
Always holds: the first state is one of the store as it was or after the call; what is
given next differs from what was given before it; at rest, the newest was given.
"""

import threading
import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

from holdfast import edges
from holdfast.core import Core
from holdfast.errors import Closed, Refused, TimedOut
from holdfast.patience import Patience
from holdfast.runtime.loops import running_loop
from holdfast.runtime.watch.callbacks import Callback
from holdfast.runtime.watch.feeding import Feed, feed_of
from holdfast.runtime.watch.queries import Outcome, Query

T = TypeVar("T")


class Watching(Generic[T]):
    """Someone who watches a query: what was given already, and what is new."""

    loop: Any = None

    def __init__(self, feed: Feed, query: Query, outcome: Outcome) -> None:
        self._feed = feed
        self._left = False
        self._iterated: Outcome | None = None
        weakref.finalize(self, feed.bell.set).atexit = False  # it may be forgotten
        self._run = feed.join(query, outcome, self)
        self._shown = self._run.outcome
        """What was given last, in whichever way."""

    @property
    def value(self) -> T:
        """The newest state that is known here.

        Raises what the query raised, and `Closed`.
        """
        self._open()
        self._shown = self._run.outcome
        return self._shown.given()  # type: ignore[no-any-return]

    @property
    def _over(self) -> bool:
        return self._left or self._feed.closed

    def hear(self) -> None:
        """Take note that there is news, or that no more comes."""
        raise NotImplementedError

    def forsake(self) -> None:
        """Watch no more: the event loop on which it hears is closed."""
        self._leave()

    def _ended(self) -> bool:
        """Whether no more comes. Raises `Closed` in a process that was forked."""
        if self._feed.forked is not None:
            raise self._feed.forked
        return self._over

    def _open(self) -> None:
        """Raises `Closed` where nothing is watched any more."""
        if self._ended():
            raise over()

    def _patience(self, timeout_seconds: float | None) -> Patience:
        limits = self._feed.core.limits
        return Patience(edges.wait_of(timeout_seconds, "timeout_seconds", limits))

    def _next(self) -> Outcome | None:
        """The next state to be given by iteration, if there is one."""
        found = self._run.outcome
        if found.same(self._iterated):
            return None
        self._iterated = self._shown = found
        return found

    def _newest(self) -> Outcome | None:
        """The newest state, for callbacks; None when there are no more."""
        return None if self._over else self._run.outcome

    def _leave(self) -> None:
        if not self._left:
            self._left = True
            self._feed.leave(self._run, self)
            self.hear()


class Watched(Watching[T], Iterator[T]):
    """A record or a query that is watched: an iterator of its states.

    Iterating waits for the next state; who is slow is given the newest one, and not
    those in between. It ends when this, or the store, is closed. An error of the query
    is raised by it, and iterating goes on after that. Equal queries share their states:
    do not change what you are given.
    """

    def __init__(self, feed: Feed, query: Query, outcome: Outcome) -> None:
        self._news = threading.Event()
        self._callbacks: list[Callback] = []
        super().__init__(feed, query, outcome)

    def __next__(self) -> T:
        found = self._await_next(Patience(None))
        if found is None:
            raise StopIteration
        return found.given()  # type: ignore[no-any-return]

    def get(self, timeout_seconds: float | None = None) -> T:
        """The next state, as iterating gives it; waits for one, or for so long.

        0 is not at all, None is without end. Raises `TimedOut` (none came in time),
        `Closed`, `Refused` (an event loop would wait), and what the query raised.
        """
        found = self._await_next(self._patience(timeout_seconds))
        if found is None:
            raise over()
        return found.given()  # type: ignore[no-any-return]

    def _await_next(self, patience: Patience) -> Outcome | None:
        """The next state, or None when there are no more. Raises `TimedOut`."""
        _refuse_on_a_loop()
        while True:
            self._news.clear()
            if self._ended():
                self._news.set()  # others may wait, too
                return None
            if (found := self._next()) is not None:
                return found
            if not self._news.wait(patience.left()):
                raise none_came(patience)

    def on_change(self, callback: Callable[[T], object]) -> Callable[[], None]:
        """Have `callback(state)` called with each later state; returns how to stop.

        It is called on a thread that all callbacks of the store share: at once, if the
        state is another by now than the one that was given here last. One that raises
        is logged; errors of the query are logged, too. Raises `Closed`.
        """
        self._open()
        known = Callback(callback, self._newest, self._shown)
        self._feed.callbacks.add(known)
        self._callbacks.append(known)
        self._feed.callbacks.tell(known)

        def stop() -> None:
            self._feed.callbacks.drop(known)
            if known in self._callbacks:
                self._callbacks.remove(known)

        return stop

    def hear(self) -> None:
        """Take note that there is news, or that no more comes."""
        self._news.set()
        for known in tuple(self._callbacks):
            self._feed.callbacks.tell(known)

    def close(self) -> None:
        """Watch no more: iteration ends, and callbacks are not called any more."""
        self._leave()
        for known in tuple(self._callbacks):
            self._feed.callbacks.drop(known)
        self._callbacks.clear()

    def __enter__(self) -> "Watched[T]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def over() -> Closed:
    """What is raised where nothing is watched any more."""
    return Closed("this is watched no more: it, or the store, was closed")


def none_came(patience: Patience) -> TimedOut:
    """What is raised when no state came in time."""
    return TimedOut(
        f"no other state came within {patience.seconds or 0:g} s: wait longer, or look "
        "at value, which is the newest"
    )


def _refuse_on_a_loop() -> None:
    """Raises `Refused` on a thread that runs an event loop."""
    if running_loop() is not None:
        raise Refused(
            "this would keep the event loop waiting, and everyone on it: watch with "
            "store.aio"
        )


def watch(core: Core, query: Query) -> Watched[Any]:
    """Watch a query, from what it gives now on."""
    feed = feed_of(core)
    outcome = core.engine.read(core.unit(feed.first(query), query.terms))
    return Watched(feed, query, outcome)
