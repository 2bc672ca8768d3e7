"""Caches: values that are made once, kept for a time, and outdated by the journal.

Answers for: what users hold: a value by its key, made by one caller while the others
wait; letting go of values; what was counted.
Leaves to others: who makes a value, and who waits (`making`, `flights`), what becomes
of one (`keeping`), which of them stay (`shelf`), what changes outdate (`topics`,
`news`).
Always holds: no value is given past its time, nor one that a commit had outdated which
this process made, or was told of, before it was asked for; an error is not kept.
"""

import os
import weakref
from collections.abc import Awaitable, Callable, Hashable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from holdfast import edges
from holdfast.clock import Clock, SystemClock
from holdfast.errors import Refused, WrongType
from holdfast.journal import refuse_past
from holdfast.limits import Limits
from holdfast.patience import Patience
from holdfast.runtime.cache.dependents import Dependent
from holdfast.runtime.cache.keeping import all_of
from holdfast.runtime.cache.making import Making
from holdfast.runtime.cache.news import news_of
from holdfast.runtime.cache.topics import InvalidatedBy

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore
    from holdfast.core import Core
    from holdfast.store import Store

V = TypeVar("V")
_FOR_EVER = 2**62
"""Past every time, in microseconds."""
_living: "weakref.WeakSet[Cache[Any]]" = weakref.WeakSet()


class CacheStats(msgspec.Struct, frozen=True):
    """What a cache counted since it was made, and what it has now."""

    hits: int
    """How often a value was there."""
    misses: int
    """How often one was made, or was begun to be."""
    waits: int
    """How often a caller waited for one that another made."""
    errors: int
    """How often the making raised."""
    evicted: int
    """Values that went for newer ones."""
    expired: int
    """Values that were past their time."""
    invalidated: int
    """Values that changes outdated, those that were being made among them."""
    size: int
    """Values that are there."""

    @property
    def hit_ratio(self) -> float:
        """The share of calls that found a value; 0 if there were none."""
        calls = self.hits + self.misses + self.waits
        return self.hits / calls if calls else 0.0


class Cache(Making[V]):
    """Values by their keys, each made once by whoever asks first.

    `Cache()` knows of time and size alone. `Cache(store, invalidated_by=…)` follows the
    store's journal, too: kinds (`"tasks"`, `["tasks", "jobs"]`), records
    (`{"sessions": id}`), or a function that gives these for a key, whose value then is
    outdated by itself. Any number of threads and event loops may share one.
    """

    def __init__(
        self,
        store: "Store | AsyncStore | None" = None,
        *,
        seconds: float | None = 60.0,
        size: int = 1_000,
        invalidated_by: InvalidatedBy = (),
        clock: Clock | None = None,
    ) -> None:
        """`seconds` is how long a value is given (None: without end), `size` how many.

        Raises `WrongType`, `InvalidId`, `Refused` (no such kind; one that is not in the
        journal; a store as of a moment; no store to follow), `Closed`.
        """
        _check_store(store)
        core = None if store is None else store._core  # noqa: SLF001
        limits = Limits() if core is None else core.limits
        self._limits = limits
        lasts_us = _FOR_EVER
        if seconds is not None:
            lasts_us = round(edges.seconds_of(seconds, "seconds", limits) * 1e6)
        if edges.count_of(size, "size", limits) < 1:
            raise WrongType("size: there must be room for one value at least")
        clock = clock or (SystemClock() if core is None else core.clock)
        super().__init__(size, lasts_us, clock)
        self._core: Core | None = None
        self._follow(store, invalidated_by)
        _living.add(self)

    # What it is for.

    def get(
        self,
        key: Hashable,
        make: Callable[[], V],
        *,
        timeout_seconds: float | None = None,
    ) -> V:
        """The value of a key: the one that is there, or what `make()` gives.

        One caller makes it, and others wait for that, `timeout_seconds` at most (None:
        without end); what it raises is raised for all of them, and not kept. A value
        that is outdated while it is made is given to those who asked before, and not
        kept. Raises `TimedOut`, `Refused` (the making asks for its own key, also by
        way of another one; inside a transaction; where an event loop would wait),
        `Closed`, and what `make` and the store raise.
        """
        news = self._news
        if news is not None:
            if self._watching or self._is_inside():
                self._refuse_inside()
            if news.seen < news.log.newest:
                news.look()
        entry = self._entries.get(key)
        if entry is not None and entry.since <= self._now() < entry.until:
            entry.used = True
            self._hits += 1
            return entry.value
        return self._asked(key, make, self._patience(timeout_seconds))

    async def aget(
        self,
        key: Hashable,
        make: Callable[[], V | Awaitable[V]],
        *,
        timeout_seconds: float | None = None,
    ) -> V:
        """As `get`, for asyncio: what `make()` gives is awaited, if it can be.

        A task that is cancelled while it makes a value leaves that to one who waits.
        """
        news = self._news
        if news is not None:
            if self._watching or self._is_inside():
                self._refuse_inside()
            if news.seen < news.log.newest:
                await news.alook()
        entry = self._entries.get(key)
        if entry is not None and entry.since <= self._now() < entry.until:
            entry.used = True
            self._hits += 1
            return entry.value
        return await self._aasked(key, make, self._patience(timeout_seconds))

    def drop(self, key: Hashable) -> bool:
        """Keep a value no more; whether there was one. One being made is not kept."""
        with self._mutex:
            self._flights.pop(key, None)
            gone = self._shelf.drop(key)
        self._let_go(gone)
        return bool(gone)

    def clear(self) -> int:
        """Keep no value any more, nor one that is being made; how many there were."""
        with self._mutex:
            self._flights.clear()  # what comes of them is given, and not kept
            gone = self._shelf.clear()
        self._let_go(gone)
        return len(gone)

    def stats(self) -> CacheStats:
        """What was counted since it was made, and how many values there are."""
        return CacheStats(
            hits=self._hits,
            misses=self._misses,
            waits=self._waits,
            errors=self._errors,
            evicted=self._shelf.evicted,
            expired=self._shelf.expired,
            invalidated=self._outdated,
            size=len(self._entries),
        )

    def close(self) -> None:
        """Keep nothing, and follow no journal any more. Safe to call twice."""
        with self._mutex:
            closed, self._closed = self._closed, True
        self.clear()
        if self._news is not None and not closed:
            self._news.dependents.leave(self._everything)
            self._news.neglect(self._everything)

    def __del__(self) -> None:
        if getattr(self, "_news", None) is not None:
            self.close()

    def __len__(self) -> int:
        return len(self._entries)

    def __enter__(self) -> "Cache[V]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _refuse_inside(self) -> None:
        """Raises `Refused` inside a transaction, whose own changes it cannot know."""
        assert self._core is not None
        self._core.refuse_inside("Cache.get")

    def _patience(self, timeout_seconds: float | None) -> Patience:
        return Patience(edges.wait_of(timeout_seconds, "timeout_seconds", self._limits))

    # What outdates values.

    def _follow(self, store: "Store | AsyncStore | None", said: InvalidatedBy) -> None:
        """Have values outdated by what is said of that."""
        if not callable(said) and not said:
            return
        if store is None:
            raise WrongType(
                "invalidated_by: it names what is in a store: Cache(store, …)"
            )
        core, terms = store._core, store._terms  # noqa: SLF001
        refuse_past(terms.moment)
        core.refuse_closed()
        news = news_of(core)
        if callable(said):
            self._of = lambda key: news.topics.wanted(said(key))
        elif (wanted := news.topics.wanted(said)).records:
            self._of = lambda _: wanted
        self._everything = Dependent(all_of(weakref.ref(self)))
        news.attend(self._everything)
        self._core, self._owner, self._news = core, terms.owner, news
        self._is_inside, self._watching = core.engine.inside, core.watching_threads
        if self._of is None:
            keys = frozenset((terms.owner, table) for table in wanted.tables)
            news.dependents.join(self._everything, keys)


def _check_store(store: object) -> None:
    """Raises `WrongType` for what is no store of one owner."""
    try:
        fine = store is None or hasattr(store, "_core")
    except Refused:  # across owners there are only lists
        fine = False
    if not fine:
        raise edges.wrong_type("store", "an open store, of one owner,", store)


def _disown_all() -> None:
    for cache in list(_living):
        cache._disown()  # noqa: SLF001


os.register_at_fork(after_in_child=_disown_all)
