"""Shelf: the values that a cache has, within their number.

Answers for: which values are there, and which go when there are too many.
Leaves to others: how they are made (`flights`), and what outdates them (`news`).
Always holds: there are never more than `size`. A value that was asked for since it was
last looked at stays for another round (the "second chance" of Corbató, "A Paging
Experiment with the Multics System", 1968): so a read changes nothing but a mark, and
needs no lock.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from holdfast.runtime.cache.dependents import Dependent

V = TypeVar("V")
_LOOKED_AT = 4
"""At how many of the oldest is looked, with each new one, if their time is over."""


class Entry(Generic[V]):
    """A value, from when until when it is given, and what it depends on."""

    __slots__ = ("dependent", "since", "until", "used", "value")

    def __init__(
        self, value: V, since: int, until: int, dependent: Dependent | None
    ) -> None:
        self.value = value
        self.since = since
        self.until = until
        self.dependent = dependent
        self.used = False

    def lives(self, now: int) -> bool:
        """Whether its time is not over; a clock that was put back ends it, too."""
        return self.since <= now < self.until


class Shelf(Generic[V]):
    """Values by their keys. To be changed under its cache's lock."""

    def __init__(self, size: int) -> None:
        # A dict would pass over all that went before, to find its oldest.
        self.entries: OrderedDict[Hashable, Entry[V]] = OrderedDict()
        self.evicted = 0
        self.expired = 0
        self._size = size

    def put(self, key: Hashable, entry: Entry[V], now: int) -> list[Entry[V]]:
        """Keep a value; gives those that went for it, to be let go without the lock."""
        gone = self.drop(key)
        gone += self._expired(now)
        self.entries[key] = entry
        while len(self.entries) > self._size:
            gone += self._evict(entry)
        return gone

    def drop(self, key: Hashable) -> list[Entry[V]]:
        """Keep a value no more; gives it, if it was there."""
        found = self.entries.pop(key, None)
        return [] if found is None else [found]

    def expire(self, key: Hashable, now: int) -> list[Entry[V]]:
        """Keep a value no more if its time is over; gives it, if it was."""
        found = self.entries.get(key)
        if found is None or found.lives(now):
            return []
        self.expired += 1
        return self.drop(key)

    def clear(self) -> list[Entry[V]]:
        """Keep nothing; gives what there was."""
        gone = list(self.entries.values())
        self.entries.clear()
        return gone

    def _expired(self, now: int) -> Iterator[Entry[V]]:
        oldest = [key for key, _ in zip(self.entries, range(_LOOKED_AT), strict=False)]
        for key in oldest:
            yield from self.expire(key, now)

    def _evict(self, newest: Entry[V]) -> list[Entry[V]]:
        """Let the oldest go that nobody asked for; the newest is not looked at."""
        key, entry = next(iter(self.entries.items()))
        if entry.used or entry is newest:
            entry.used = False
            self.entries.move_to_end(key)
            return []
        self.evicted += 1
        return self.drop(key)
