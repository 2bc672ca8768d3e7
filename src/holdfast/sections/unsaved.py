"""Unsaved: every section that one open store holds in memory.

Answers for: finding a section, taking changes in, what of all of them is not saved;
one thread at a time, for as long as a look at memory takes; a signal's handler that
comes amid that on the same thread.
Leaves to others: what one section is (`memory`), when it is saved (`runtime/state`).
Always holds: a section with changes that are not saved is never let go of; of the
others, those that were used last are held. What a handler changes amid a piece of work
on memory is taken in right after that piece.
"""

import itertools
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import TypeVar

from holdfast.codec import Document
from holdfast.sections.memory import Looked, Memory, Stamp, Taken, Written
from holdfast.sections.merging import Change

T = TypeVar("T")
_HELD = 1_000
"""Sections that are held, if all of them are saved."""


class Unsaved:
    """The sections of one open store, by owner and name."""

    def __init__(self) -> None:
        self._mutex = threading.RLock()
        self._amid = False
        """Whether who has the mutex is amid a piece of work."""
        self._put_off: deque[Callable[[], None]] = deque()
        """What handlers of signals would have done amid another piece of work."""
        self._numbers = itertools.count(1)
        self._of: OrderedDict[tuple[str, str], Memory] = OrderedDict()
        self.size = 0
        """About how many bytes of changes are not saved."""

    # Changes.

    def change(self, owner: str, section: str, changes: Mapping[str, Change]) -> None:
        """Take changes in, by key."""

        def work() -> None:
            memory = self._memory(owner, section)
            before = memory.size
            for key, change in changes.items():
                memory.add(next(self._numbers), key, change)
            self.size += memory.size - before

        self._do(work)

    def take(self, owner: str, section: str, after: int, *, reads: bool) -> Taken:
        """The changes of a section that are not saved, for a transaction.

        One that writes them says so in `written`, once it is committed; what it has
        taken before, up to `after`, it is not given again.
        """

        def work() -> Taken:
            memory = self._of.get((owner, section))
            nothing = Taken({}, after)
            return nothing if memory is None else memory.take(after, reads=reads)

        return self._ask(work)

    def written(self, owner: str, section: str, told: Written) -> None:
        """A transaction was committed that wrote to a section."""

        def work() -> None:
            memory = self._of.get((owner, section))
            if memory is not None:
                before = memory.size
                memory.written(told)
                self.size += memory.size - before

        self._do(work)

    def settle(self, owner: str, section: str) -> None:
        """Note that no transaction is about to write what a section's last one took."""

        def work() -> None:
            memory = self._memory(owner, section)
            before = memory.size
            memory.settle()
            self.size += memory.size - before

        self._do(work)

    def dirty(
        self, owner: str | None = None, section: str | None = None
    ) -> list[tuple[str, str]]:
        """The sections with changes that are not saved: all, an owner's, or one."""
        with self._mutex:
            return [
                known
                for known, memory in self._of.items()
                if memory.dirty
                and owner in {None, known[0]}
                and section in {None, known[1]}
            ]

    def has_unsaved(self) -> bool:
        """Whether anything is not saved; takes no lock, as a signal's handler needs."""
        return any(memory.dirty for memory in list(self._of.values()))

    def is_dirty(self, owner: str, section: str) -> bool:
        """Whether a section has changes that are not saved."""
        memory = self._of.get((owner, section))
        return memory is not None and memory.dirty

    def keys_unsaved(self) -> int:
        """How many keys have changes that are not saved."""
        with self._mutex:
            return sum(memory.unsaved for memory in self._of.values())

    # What is there.

    def at_hand(
        self, owner: str, section: str, key: str, seconds: float | None
    ) -> tuple[bool, Document | None]:
        """What a key has, and before that, whether no look at the store is due."""

        def work() -> tuple[bool, Document | None]:
            memory = self._memory(owner, section)
            due = memory.due(seconds)
            return not due, None if due else memory.value(key)

        return self._ask(work)

    def value(self, owner: str, section: str, key: str) -> Document | None:
        """What a key has; None for nothing."""
        return self._ask(lambda: self._memory(owner, section).value(key))

    def values(self, owner: str, section: str) -> dict[str, Document]:
        """What every key of a section has."""
        return self._ask(lambda: self._memory(owner, section).values())

    def look_due(
        self, owner: str, section: str, seconds: float | None
    ) -> tuple[int, Stamp | None, bool] | None:
        """Whether the store is to be looked at first: what is known, and since when.

        Once so many seconds are over, one asks for all, and the others go on with what
        is known. The last of the three says whether anything is known at all.
        """

        def work() -> tuple[int, Stamp | None, bool] | None:
            memory = self._memory(owner, section)
            if not memory.due(seconds):
                return None
            memory.looked_at = time.monotonic()
            return memory.epoch, memory.stamp, memory.loaded

        return self._ask(work)

    def looked(self, owner: str, section: str, look: Looked) -> None:
        """Take over what a look at the store has found."""
        self._do(lambda: self._memory(owner, section).adopt(look, time.monotonic()))

    def unseen(self, owner: str, section: str) -> None:
        """Go on with what is known: the store cannot be looked at for now."""
        with self._mutex:
            self._memory(owner, section).looked_at = time.monotonic()

    def _memory(self, owner: str, section: str) -> Memory:
        """A section; the one that was used longest ago goes, if there are many."""
        known = owner, section
        memory = self._of.get(known)
        if memory is None:
            if len(self._of) >= _HELD:
                self._make_room()
            memory = self._of[known] = Memory(next(self._numbers))
        else:
            self._of.move_to_end(known)
        return memory

    def _make_room(self) -> None:
        """Let go of the section that was used longest ago, of those that are saved."""
        for known, memory in list(self._of.items()):
            if not memory.dirty:
                self._of.pop(known, None)
                return

    # One piece of work after another.

    def _ask(self, work: Callable[[], T]) -> T:
        """What a piece of work gives, which changes nothing that is not saved."""
        with self._mutex:
            if self._amid:  # this is a handler
                return work()
            try:
                self._amid = True
                return work()
            finally:
                self._amid = False
                while self._put_off:
                    self._do(self._put_off.popleft())

    def _do(self, work: Callable[[], None]) -> None:
        """Do a piece of work; in a handler amid another piece, right after that."""
        with self._mutex:
            if self._amid:
                self._put_off.append(work)
            else:
                self._ask(work)

    def _forget_all(self) -> None:
        """In a process that was forked: what is unsaved is the parent's to save."""
        self._mutex = threading.RLock()
        self._amid = False
        self._put_off = deque()
        self._of = OrderedDict()
        self.size = 0
