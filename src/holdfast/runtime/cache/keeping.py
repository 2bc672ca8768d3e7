"""Keeping: what becomes of a value that is made, kept, outdated and let go.

Answers for: beginning and ending flights, putting what they give on the shelf, taking
from it what a change outdates.
Leaves to others: making values, and waiting for them (`cache`).
Always holds: of one key at most one flight is known, and only what that one gives is
kept: a flight that was outdated, or dropped, is not known any more. A value is let go
without a lock: what it does then may ask for others.
"""

import threading
import weakref
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from holdfast.clock import Clock
from holdfast.errors import Closed
from holdfast.runtime.bus.waiting import renew
from holdfast.runtime.cache.dependents import Dependent, Look, Touched
from holdfast.runtime.cache.flights import Flight
from holdfast.runtime.cache.shelf import Entry, Shelf

if TYPE_CHECKING:
    from holdfast.runtime.cache.news import News

V = TypeVar("V")


class Keeping(Generic[V]):
    """The values and the flights of one cache."""

    def __init__(self, size: int, lasts_us: int, clock: Clock) -> None:
        self._now = clock.now_us
        self._lasts = lasts_us
        self._shelf: Shelf[V] = Shelf(size)
        self._entries = self._shelf.entries
        self._flights: dict[Hashable, Flight] = {}
        self._mutex = threading.RLock()  # a finalizer may come at any point
        self._hits = self._misses = self._waits = self._errors = self._outdated = 0
        self._closed = False
        self._news: News | None = None

    def _begun(self, key: Hashable, flight: Flight) -> Entry[V] | Flight | None:
        """The value, or who makes it already; None if it is for this flight to."""
        with self._mutex:
            if self._closed:
                raise Closed("this cache was closed: make another one")
            gone = self._shelf.expire(key, self._now())
            entry = self._entries.get(key)
            ahead = self._flights.get(key)
            if entry is not None:
                entry.used = True
                self._hits += 1
            elif ahead is not None:
                self._waits += 1
            else:
                self._misses += 1
                self._flights[key] = flight
        self._let_go(gone)
        return entry or ahead

    def _landed(self, flight: Flight, value: V) -> None:
        now = self._now()
        gone = [Entry(value, now, now, flight.dependent)]
        with self._mutex:
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
                entry = Entry(value, now, now + self._lasts, flight.dependent)
                gone = self._shelf.put(flight.key, entry, now)
        flight.land(value)
        self._let_go(gone)

    def _failed(self, flight: Flight, error: Exception) -> None:
        with self._mutex:
            self._errors += 1
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
        self._forget(flight.dependent)
        flight.fail(error)

    def _left(self, flight: Flight) -> None:
        """End a flight whose maker was interrupted, wherever it was by then."""
        if not flight.done:
            with self._mutex:
                if self._flights.get(flight.key) is flight:
                    del self._flights[flight.key]
                entry = self._entries.get(flight.key)
                is_kept = entry is not None and entry.dependent is flight.dependent
            if not is_kept:
                self._forget(flight.dependent)
        flight.leave()

    def _let_go(self, gone: list[Entry[V]]) -> None:
        """Forget values that are kept no more; the last of them go without a lock."""
        for entry in gone:
            self._forget(entry.dependent)

    def _forget(self, dependent: Dependent | None) -> None:
        if dependent is not None and self._news is not None:
            self._news.dependents.leave(dependent)

    def _depend(self, flight: Flight, look: Look) -> None:
        """Have a flight, and then its value, outdated by what was looked for."""
        assert self._news is not None
        flight.dependent = Dependent(one_of(weakref.ref(self), flight.key))
        self._news.dependents.join(flight.dependent, look.own, look.reached)

    def _outdate(self, key: Hashable, dependent: Dependent) -> None:
        """Keep a value no more that is outdated, or is while it is made."""
        gone: list[Entry[V]] = []
        with self._mutex:
            flight = self._flights.get(key)
            if flight is not None and flight.dependent is dependent:
                del self._flights[key]
                self._outdated += 1
            entry = self._entries.get(key)
            if entry is not None and entry.dependent is dependent:
                gone = self._shelf.drop(key)
                self._outdated += 1
        self._let_go(gone)

    def _outdate_all(self) -> None:
        with self._mutex:
            self._outdated += len(self._flights)
            self._flights.clear()
            gone = self._shelf.clear()
            self._outdated += len(gone)
        self._let_go(gone)

    def _disown(self) -> None:
        """In a process that was forked: nobody makes what was being made there."""
        renew(self._mutex)
        self._flights.clear()
        if self._news is not None:
            self._news.disown()


def one_of(cache: "weakref.ref[Keeping[Any]]", key: Hashable) -> Touched:
    def touched(one: Dependent) -> None:
        found = cache()
        if found is not None:
            found._outdate(key, one)  # noqa: SLF001

    return touched


def all_of(cache: "weakref.ref[Keeping[Any]]") -> Touched:
    def touched(_: Dependent) -> None:
        found = cache()
        if found is not None:
            found._outdate_all()  # noqa: SLF001

    return touched
