"""Memory: one section as a process holds it.

Answers for: what the store is known to have, the changes that it does not have yet, and
what both come to; which of these changes a transaction takes along, and which are
saved when it is committed.
Leaves to others: threads, which take turns here (`unsaved`); reading and writing.
Always holds: what the store has never takes the place of a change that is not saved; a
change is held until a transaction that took it is committed.
"""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from holdfast.codec import Document
from holdfast.sections.merging import (
    Change,
    Merge,
    applied,
    put_together,
    size_of,
)

Stamp: TypeAlias = tuple[int, int]
"""By which one state of a section in the store is told from another: the number of its
row, and its version."""
_ENTRY_BYTES = 100
"""What a change takes up, beside its key and its value."""


class Taken(msgspec.Struct, frozen=True):
    """The changes that a transaction takes along: by key, and up to which number."""

    changes: Mapping[str, Change]
    upto: int


class Written(msgspec.Struct, frozen=True):
    """What a transaction has made of a section; known once it is committed.

    `values` are the keys that it wrote, None for one that is gone; `was` and `now` are
    the stamps before and after. What is None is not known, and has to be read.
    """

    upto: int = 0
    values: Mapping[str, Document | None] | None = None
    was: Stamp | None = None
    now: Stamp | None = None


class Looked(msgspec.Struct, frozen=True):
    """What a look at the store has found: the stamp, and what every key has.

    `epoch` is the memory's when the look began; `values` are None if nothing is new.
    """

    epoch: int
    stamp: Stamp | None
    values: Mapping[str, Document] | None


class Memory:
    """One section: what the store has, and what it does not have yet."""

    def __init__(self, epoch: int) -> None:
        self.loaded = False
        """Whether it is known what the store has."""
        self.stale = False
        """Whether the store has something else by now."""
        self.looked_at = 0.0
        """When it was looked at the store last."""
        self.epoch = epoch
        """Another number whenever something became known otherwise than by looking."""
        self.stamp: Stamp | None = None
        self.size = 0
        """About how many bytes of changes are not saved."""
        self._there: dict[str, Document] = {}
        self._waiting: dict[str, list[tuple[int, Change]]] = {}
        self._shown: dict[str, Document | None] = {}
        """What the keys with changes come to, as far as somebody asked."""
        self._upto = 0
        """The last change that any transaction has taken."""

    @property
    def dirty(self) -> bool:
        """Whether something is not saved."""
        return bool(self._waiting)

    @property
    def unsaved(self) -> int:
        """How many keys have changes that are not saved."""
        return len(self._waiting)

    # What it comes to.

    def value(self, key: str) -> Document | None:
        """What a key has; None for nothing."""
        if key not in self._waiting:
            return self._there.get(key)
        if key not in self._shown:
            found = self._there.get(key)
            for _, change in self._waiting[key]:
                found = applied(change, found)
            self._shown[key] = found
        return self._shown[key]

    def values(self) -> dict[str, Document]:
        """What every key has that has anything, in the order of the keys."""
        keys = sorted({*self._there, *self._waiting})
        found = ((key, self.value(key)) for key in keys)
        return {key: document for key, document in found if document is not None}

    # What is not saved.

    def add(self, number: int, key: str, change: Change) -> None:
        """Hold a change, by a number larger than any before it."""
        waiting = self._waiting.get(key, [])
        before = sum(_size(key, one) for _, one in waiting)
        if not isinstance(change, Merge):
            waiting = []  # whatever became of those before it
        elif waiting and waiting[-1][0] > self._upto:
            change = put_together(waiting.pop()[1], change)
        self._waiting[key] = [*waiting, (number, change)]
        self._shown.pop(key, None)
        self.size += sum(_size(key, one) for _, one in self._waiting[key]) - before

    def take(self, after: int = 0, *, reads: bool) -> Taken:
        """The changes that are not saved, for a transaction that writes, or reads.

        Those after a number: it has taken the others already.
        """
        found: dict[str, Change] = {}
        upto = after
        for key, waiting in self._waiting.items():
            for number, change in waiting:
                if number <= after:
                    continue
                found[key] = put_together(found.get(key), change)
                upto = max(upto, number)
        if not reads:
            self._upto = max(self._upto, upto)
        return Taken(found, upto)

    def settle(self) -> None:
        """Put together what no transaction is about to write any more."""
        self._waiting = {
            key: [(waiting[-1][0], _together([one for _, one in waiting]))]
            for key, waiting in self._waiting.items()
        }
        self._upto = 0
        self._weigh()

    # What the store has.

    def written(self, told: Written) -> None:
        """A transaction was committed that wrote to this section."""
        self.epoch += 1
        for key in [*self._waiting]:
            left = [one for one in self._waiting[key] if one[0] > told.upto]
            if left:
                self._waiting[key] = left
            else:
                del self._waiting[key]
        self._shown.clear()
        self._weigh()
        if told.values is None or told.was != self.stamp:
            self.stale = True
        for key, document in (told.values or {}).items():
            if document is None:
                self._there.pop(key, None)
            else:
                self._there[key] = document
        self.stamp = told.now if told.values is not None else self.stamp

    def adopt(self, look: "Looked", at: float) -> None:
        """Take over what a look at the store has found.

        Nothing, if something became known since that look began.
        """
        if look.epoch != self.epoch:
            self.stale = True
            return
        self.loaded, self.stale, self.looked_at = True, False, at
        if look.values is not None:
            self.stamp = look.stamp
            self._there = dict(look.values)
            self._shown.clear()

    def _weigh(self) -> None:
        self.size = sum(
            _size(key, change)
            for key, waiting in self._waiting.items()
            for _, change in waiting
        )


def _together(changes: list[Change]) -> Change:
    found, *rest = changes
    for change in rest:
        found = put_together(found, change)
    return found


def _size(key: str, change: Change) -> int:
    return _ENTRY_BYTES + len(key) + size_of(change)
