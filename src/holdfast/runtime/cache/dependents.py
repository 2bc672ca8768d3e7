"""Dependents: which cached values are outdated by which changes.

Answers for: who depends on what; telling those whom a look at the journal concerns,
and those who come to depend on something after it had been looked at.
Leaves to others: looking (`news`), what a change's keys are (`topics`), what becomes of
a value that is outdated (`keeping`).
Always holds: who joins with keys as of some change is told of every later one that a
look finds, whether it was before or after they joined.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

from holdfast.runtime.bus.waiting import has, renew
from holdfast.runtime.cache.topics import Key, belonging

_REMEMBERED = 64
"""How many looks are remembered, for those who begin before one and join after it."""
_OF_A_TABLE = 2
"""The length of a key that says an owner and a table alone."""
Touched: TypeAlias = Callable[["Dependent"], None]


class Dependent:
    """What is outdated by changes that have one of its keys."""

    __slots__ = ("__weakref__", "keys", "touched")

    def __init__(self, touched: Touched) -> None:
        self.keys: frozenset[Key] = frozenset()
        self.touched = touched
        """Called without a lock when it is outdated."""


class Look(msgspec.Struct, frozen=True):
    """What a look at the journal found, up to which change, and the keys of that."""

    reached: int
    keys: frozenset[Key] | None
    """None if it may be anything."""
    own: frozenset[Key] = frozenset()
    """The keys of who looked, as of the same moment."""

    def in_short(self) -> "Look":
        """What is remembered of it: which tables of whom were changed."""
        if self.keys is None:
            return Look(self.reached, None)
        tables = frozenset(key for key in self.keys if len(key) == _OF_A_TABLE)
        return Look(self.reached, tables)


class Dependents:
    """Those who depend on something in one open store."""

    def __init__(self) -> None:
        self.reached: int | None = None
        """The newest change that a look has come to; None before the first."""
        self.belonging: Counter[str] = Counter()
        """How many are found by rows of a table that belong to a record."""
        self._mutex = threading.RLock()  # a finalizer may come at any point
        self._by_key: dict[Key, set[Dependent]] = {}
        self._all: set[Dependent] = set()
        self._leaving: deque[Dependent] = deque()
        self._recent: deque[Look] = deque()
        self._forgotten = -1
        """The newest change of a look that is remembered no more."""

    def __len__(self) -> int:
        self._let_go()
        return len(self._all)

    def join(
        self, one: Dependent, keys: frozenset[Key], known: int | None = None
    ) -> None:
        """Have it outdated by what has these keys, as they were at some change.

        None for keys that are always the same.
        """
        with self._mutex:
            one.keys = keys
            self._all.add(one)
            for key in keys:
                self._by_key.setdefault(key, set()).add(one)
            self.belonging.update(belonging(keys))
            late = known is not None and self._touched_since(keys, known)
        self._let_go()
        if late:
            one.touched(one)

    def leave(self, one: Dependent) -> None:
        """Have it outdated no more."""
        self._leaving.append(one)
        if not has(self._mutex):  # or a finalizer asks, amid what is done here
            self._let_go()

    def take(self, look: Look) -> None:
        """Outdate what a look found."""
        self._let_go()
        with self._mutex:
            touched = self._touched_by(look.keys)
            if look.keys is None or look.keys:
                self._remember(look.in_short())
            self.reached = max(self.reached or 0, look.reached)
        for one in touched:
            one.touched(one)

    def disown(self) -> None:
        """In a process that was forked: need no lock that another thread has."""
        renew(self._mutex)

    def _let_go(self) -> None:
        """Forget those who leave."""
        with self._mutex:
            while self._leaving:
                one = self._leaving.popleft()
                if one in self._all:
                    self._forget(one)

    def _forget(self, one: Dependent) -> None:
        self._all.discard(one)
        for key in one.keys:
            self._by_key[key].discard(one)
            if not self._by_key[key]:
                del self._by_key[key]
        for table in belonging(one.keys):
            self.belonging[table] -= 1

    def _touched_by(self, keys: Iterable[Key] | None) -> set[Dependent]:
        if keys is None:
            return set(self._all)
        nobody: set[Dependent] = set()
        return nobody.union(*(self._by_key.get(key, ()) for key in keys))

    def _remember(self, look: Look) -> None:
        self._recent.append(look)
        if len(self._recent) > _REMEMBERED:
            self._forgotten = max(self._forgotten, self._recent.popleft().reached)

    def _touched_since(self, keys: frozenset[Key], known: int) -> bool:
        """Whether some look past a change found one of these keys, or may have."""
        tables = {key[:_OF_A_TABLE] for key in keys}
        return self._forgotten > known or any(
            look.keys is None or not tables.isdisjoint(look.keys)
            for look in self._recent
            if look.reached > known
        )
