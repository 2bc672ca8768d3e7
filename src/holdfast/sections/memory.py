"""Memory: one section as a process holds it.

Answers for: what the store is known to have, the changes that it does not have yet, and
what both come to; which of these changes a transaction takes along, and which are
saved when it is committed.
Leaves to others: threads, which take turns here (`unsaved`); reading and writing.
Always holds: what the store has never takes the place of a change that is not saved; a
change is held until a transaction that took it is committed.
"""

import time
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from holdfast.codec import Document
from holdfast.sections.merging import (
    Change,
    Merge,
    applied,
    merge_into,
    own,
    put_together,
    size_of,
)

Stamp: TypeAlias = tuple[int, int]
"""By which one state of a section in the store is told from another: the number of its
row, and its version."""
_UNKNOWN: Stamp = -1, -1
"""No state of any section: whatever the store has is to be read."""
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


class _Waiting(msgspec.Struct):
    """A change that is not saved: its number, and about how many bytes it takes up."""

    number: int
    change: Change
    size: int
    own: bool = False
    """Whether nobody else has that change, so that others may be merged into it."""


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
        self._waiting: dict[str, list[_Waiting]] = {}
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

    def due(self, seconds: float | None) -> bool:
        """Whether the store is to be looked at, as it is after so many seconds.

        None: only where it is certain that there is something new.
        """
        if seconds is not None and time.monotonic() - self.looked_at >= seconds:
            return True
        return self.stale or not self.loaded

    # What it comes to.

    def value(self, key: str) -> Document | None:
        """What a key has; None for nothing."""
        if key not in self._waiting:
            return self._there.get(key)
        if key not in self._shown:
            found = self._there.get(key)
            for one in self._waiting[key]:
                found = applied(one.change, found)
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
        waiting = self._waiting.setdefault(key, [])
        self._shown.pop(key, None)
        last = waiting[-1] if waiting else None
        if (
            isinstance(change, Merge)
            and last is not None
            and isinstance(last.change, Merge)
            and last.number > self._upto
        ):
            self._merge(last, number, change)
            return
        size = _ENTRY_BYTES + len(key) + size_of(change)
        self.size += size
        if not isinstance(change, Merge):  # whatever became of those before it
            self.size -= sum(one.size for one in waiting)
            waiting.clear()
        waiting.append(_Waiting(number, change, size))

    def _merge(self, last: _Waiting, number: int, change: Merge) -> None:
        """Have the last change, which no transaction writes yet, do another as well."""
        assert isinstance(last.change, Merge)
        if not last.own:
            last.change, last.own = own(last.change), True
        grown = merge_into(last.change, change)
        last.number = number
        last.size += grown
        self.size += grown

    def take(self, after: int = 0, *, reads: bool) -> Taken:
        """The changes that are not saved, for a transaction that writes, or reads.

        Those after a number: it has taken the others already.
        """
        found: dict[str, Change] = {}
        upto = after
        for key, waiting in self._waiting.items():
            for one in waiting:
                if one.number <= after:
                    continue
                one.own = False
                found[key] = put_together(found.get(key), one.change)
                upto = max(upto, one.number)
        if not reads:
            self._upto = max(self._upto, upto)
        return Taken(found, upto)

    def settle(self) -> None:
        """Put together what no transaction is about to write any more."""
        for key, waiting in self._waiting.items():
            if len(waiting) > 1:
                together = _together([one.change for one in waiting])
                size = _ENTRY_BYTES + len(key) + size_of(together)
                waiting[:] = [_Waiting(waiting[-1].number, together, size)]
        self._upto = 0
        self._weigh()

    # What the store has.

    def written(self, told: Written) -> None:
        """A transaction was committed that wrote to this section."""
        self.epoch += 1
        for key in [*self._waiting]:
            left = [one for one in self._waiting[key] if one.number > told.upto]
            if left:
                self._waiting[key] = left
            else:
                del self._waiting[key]
        self._shown.clear()
        self._weigh()
        known = told.values is not None and told.was == self.stamp
        self.stamp = told.now if known else _UNKNOWN
        self.stale = self.stale or not known
        for key, document in (told.values or {}).items():
            if document is None:
                self._there.pop(key, None)
            else:
                self._there[key] = document

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
            one.size for waiting in self._waiting.values() for one in waiting
        )


def _together(changes: list[Change]) -> Change:
    found, *rest = changes
    for change in rest:
        found = put_together(found, change)
    return found
