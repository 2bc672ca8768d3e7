"""Watching for asyncio: as `watching`, awaited.

Answers for: what `watch` and `watch_query` give on the async face; callbacks on the
event loop, which may be coroutine functions.
Leaves to others: running queries again (`feeding`, `rounds`).
Always holds: what `watching` does; the event loop is never kept waiting.
"""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Generator
from types import TracebackType
from typing import Any, TypeVar

from holdfast.core import Core
from holdfast.patience import Patience
from holdfast.runtime.watch.callbacks import Callback
from holdfast.runtime.watch.feeding import Feed, feed_of
from holdfast.runtime.watch.queries import Outcome, Query
from holdfast.runtime.watch.watching import Watching, none_came, over

T = TypeVar("T")
_log = logging.getLogger("holdfast.watching")


class AsyncWatched(Watching[T], AsyncIterator[T]):
    """A record or a query that is watched: an async iterator of its states.

    As `Watched`.
    """

    def __init__(self, feed: Feed, query: Query, outcome: Outcome) -> None:
        self.loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._callbacks: dict[Callback, asyncio.Task[None] | None] = {}
        super().__init__(feed, query, outcome)

    async def __anext__(self) -> T:
        found = await self._await_next(Patience(None))
        if found is None:
            raise StopAsyncIteration
        return found.given()  # type: ignore[no-any-return]

    async def get(self, timeout_seconds: float | None = None) -> T:
        """The next state, as iterating gives it; waits for one, or for so long.

        0 is not at all, None is without end. Raises `TimedOut` (none came in time),
        `Closed`, and what the query raised.
        """
        found = await self._await_next(self._patience(timeout_seconds))
        if found is None:
            raise over()
        return found.given()  # type: ignore[no-any-return]

    async def _await_next(self, patience: Patience) -> Outcome | None:
        """The next state, or None when there are no more. Raises `TimedOut`."""
        while True:
            self._news.clear()
            if self._ended():
                self._news.set()  # others may wait, too
                return None
            if (found := self._next()) is not None:
                return found
            try:
                async with asyncio.timeout(patience.left()):
                    await self._news.wait()
            except TimeoutError:
                raise none_came(patience) from None

    def on_change(self, callback: Callable[[T], object]) -> Callable[[], None]:
        """Have `callback(state)` called with each later state; returns how to stop.

        It is called on the event loop: at once, if the state is another by now than the
        one that was given here last. If it gives something to be awaited, that is, and
        the next call waits for it. One that raises is logged; errors of the query are
        logged, too. Raises `Closed`.
        """
        self._open()
        known = Callback(callback, self._newest, self._shown)
        self._callbacks[known] = None
        _pinned.add(self)
        self._tell(known)

        def stop() -> None:
            self._drop(known)

        return stop

    def hear(self) -> None:
        """Take note that there is news, or that no more comes."""
        self._news.set()
        for known in tuple(self._callbacks):
            self._tell(known)
        if self._over:
            _pinned.discard(self)

    def forsake(self) -> None:
        """Watch no more: the event loop on which it hears is closed."""
        self._callbacks.clear()
        _pinned.discard(self)
        super().forsake()

    async def close(self) -> None:
        """Watch no more: iteration ends, and callbacks are not called any more."""
        self._leave()
        for known in tuple(self._callbacks):
            self._drop(known)

    async def __aenter__(self) -> "AsyncWatched[T]":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _drop(self, known: Callback) -> None:
        task = self._callbacks.pop(known, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        if not self._callbacks:
            _pinned.discard(self)

    def _tell(self, known: Callback) -> None:
        """Have a callback called, unless it is at work: it looks again after that."""
        if self._callbacks.get(known) is None and not self._over:
            assert self.loop is not None
            self._callbacks[known] = self.loop.create_task(self._call(known))

    async def _call(self, known: Callback) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            while known in self._callbacks and (found := known.next()) is not None:
                try:
                    given = known.function(found.value)
                    if inspect.isawaitable(given):
                        await given
                except (Exception, asyncio.CancelledError):
                    if task.cancelling():
                        raise
                    _log.exception(
                        "a callback failed, and is called at the next change"
                    )
        finally:
            if known in self._callbacks:
                self._callbacks[known] = None


_pinned: set[AsyncWatched[Any]] = set()
"""Those with callbacks, which are called though nobody has them in hand any more."""


class AsyncWatching:
    """What is about to be watched: to be awaited, or entered with `async with`."""

    def __init__(self, core: Core, query: Query) -> None:
        self._core = core
        self._query = query
        self._watched: AsyncWatched[Any] | None = None

    def __await__(self) -> Generator[Any, None, AsyncWatched[Any]]:
        return self._watch().__await__()

    async def __aenter__(self) -> AsyncWatched[Any]:
        self._watched = await self._watch()
        return self._watched

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._watched is not None:
            await self._watched.close()

    async def _watch(self) -> AsyncWatched[Any]:
        feed = feed_of(self._core)
        unit = self._core.unit(feed.first(self._query), self._query.terms)
        future = unit.awaited(asyncio.get_running_loop())
        self._core.engine.post_read(unit)
        return AsyncWatched(feed, self._query, await future)
