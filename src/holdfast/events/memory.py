"""Memory: the events of one open store, until they are on disk, and the newest longer.

Answers for: taking events in, each with its time; the ring of the newest; what waits
for the disk, and what is on its way there; waking who waits for more.
Leaves to others: what an event may be (`log`), when it is written (`flushing`).
Always holds: times rise strictly; an event is here until it is on disk; taking one in
waits for others that are taken in, or looked at, and for no disk.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from operator import itemgetter
from typing import TypeAlias

from holdfast.clock import Clock
from holdfast.kinds.event_records import AT, DATA, Entry

Parts: TypeAlias = tuple[str, str, str, str | None, str | None, str | None, str | None]
"""An event without its time."""
_NEVER = 1 << 62
_WAITING_BYTES = 64_000_000
"""Data, in characters, of events that wait, from which on it is crowded."""
_RING_BYTES = 64_000_000
"""Data, in characters, of the newest events, of which fewer are held then."""


class Memory:
    """Events in memory.

    `notice` is called amid a change, when the first event waits for the disk, and when
    `batch` of them do; with `most` of them, it is crowded.
    """

    def __init__(
        self,
        clock: Clock,
        ring: int,
        batch: int,
        most: int,
        notice: Callable[[int], None],
    ) -> None:
        self.why: BaseException | None = None
        """Why nothing more is taken in."""
        self.count = 0
        """How many events were taken in."""
        self.newest = 0
        """The time of the newest of them, in microseconds."""
        self.written = 0
        """How many are on disk."""
        self.lost = 0
        """How many will never be."""
        self.crowded = False
        """Whether too many events wait, or too large ones."""
        self._now_us = clock.now_us
        self._batch = batch
        self._most = most
        self._mark = 1
        """How many wait when it is to be noticed next."""
        self._notice = notice
        self._mutex = threading.RLock()
        self._busy = False
        """Whether the thread that has the lock is amid a change."""
        self._late: deque[Parts] = deque()
        """What came meanwhile, from that very thread."""
        self._ring: deque[Entry] = deque()
        self._ring_most = ring
        self._ring_bytes = 0
        self._waiting: list[Entry] = []
        self._waiting_bytes = 0
        self._going: list[Entry] = []
        """What is being written."""
        self._wakers: set[Callable[[], None]] = set()

    def put(
        self,
        owner: str,
        name: str,
        level: str,
        source: str | None,
        session: str | None,
        correlation: str | None,
        text: str | None,
    ) -> bool:
        """Take in an event whose parts were checked; whether it is in. Raises `Closed`.

        One that comes while this very thread is about another, from a signal's handler
        or a finalizer, is taken in right after that.
        """
        with self._mutex:
            if self.why is not None:
                raise self.why
            if self._busy:
                told = owner, name, level, source, session, correlation, text
                self._late.append(told)
                return False
            self._busy = True
            try:
                self._add(owner, name, level, source, session, correlation, text)
                while self._late:
                    self._add(*self._late.popleft())
                wakers = self._wakers
                if wakers:
                    self._wakers = set()
            finally:
                self._busy = False
        for wake in wakers:
            wake()
        return True

    def _add(
        self,
        owner: str,
        name: str,
        level: str,
        source: str | None,
        session: str | None,
        correlation: str | None,
        text: str | None,
    ) -> None:
        now = self._now_us()
        if now <= self.newest:
            now = self.newest + 1
        self.newest = now
        entry = (now, owner, name, level, source, session, correlation, text)
        ring, waiting = self._ring, self._waiting
        ring.append(entry)
        waiting.append(entry)
        self.count += 1
        if text is not None:
            size = len(text)
            self._ring_bytes += size
            self._waiting_bytes += size
        while len(ring) > self._ring_most or self._ring_bytes > _RING_BYTES:
            self._ring_bytes -= len(ring.popleft()[DATA] or "")
        if len(waiting) >= self._mark or self._waiting_bytes > _WAITING_BYTES:
            self._notice_mark(len(waiting))

    def _notice_mark(self, waiting: int) -> None:
        if waiting in {1, self._batch}:
            self._notice(waiting)
        self._weigh()

    @contextmanager
    def apart(self) -> Iterator[None]:
        """A look at what is here, or a change of it: nothing comes in then."""
        wakers: set[Callable[[], None]] = set()
        try:
            with self._mutex:
                before, self._busy = self._busy, True
                try:
                    yield
                finally:
                    if self._late and not before:
                        wakers = self._add_late()
                    self._busy = before
        finally:
            for wake in wakers:
                wake()

    def _add_late(self) -> set[Callable[[], None]]:
        """Take in what came meanwhile; who is to be woken."""
        while self._late:
            self._add(*self._late.popleft())
        wakers, self._wakers = self._wakers, set()
        return wakers

    def end(self, why: BaseException) -> set[Callable[[], None]]:
        """Take in nothing more; who is to be woken of those that wait for more."""
        with self.apart():
            self.why = why
            wakers, self._wakers = self._wakers, set()
        return wakers

    def disown(self, why: BaseException) -> None:
        """Take in nothing more: what waits is the parent process's."""
        self._mutex = threading.RLock()
        self.why = why
        self._waiting, self._going = [], []

    # The newest.

    @property
    def holds(self) -> int:
        """How many of the newest there are."""
        return len(self._ring)

    def held(self) -> list[Entry]:
        """What the ring has, in order."""
        with self.apart():
            return list(self._ring)

    def place(self) -> tuple[int, int]:
        """How many events were taken in, and the time of the newest of them."""
        with self.apart():
            return self.count, self.newest

    def now(self) -> int:
        """The time, in microseconds, behind everything that was taken in."""
        with self.apart():
            return max(self._now_us(), self.newest) + 1

    def since(self, position: int) -> tuple[list[Entry], int]:
        """What was taken in after a position, and how much of it is gone already."""
        with self.apart():
            behind = self.count - position
            found = list(islice(reversed(self._newest(behind)), behind))
        found.reverse()
        return found, behind - len(found)

    def _newest(self, many: int) -> Sequence[Entry]:
        """The newest events, up to now: where so many are here, as many at least."""
        unwritten = len(self._going) + len(self._waiting)
        if len(self._ring) >= min(many, unwritten):
            return self._ring
        return [*self._going, *self._waiting]  # the disk is slow, or away

    def wake_after(self, position: int, wake: Callable[[], None]) -> None:
        """Have `wake` called once more was taken in; at once if that was so already."""
        with self.apart():
            if self.count == position and self.why is None:
                self._wakers.add(wake)
                return
        wake()

    # What is on its way to disk.

    @property
    def waiting(self) -> int:
        """How many events wait for the disk."""
        return len(self._waiting)

    @property
    def going(self) -> int:
        """How many events are being written."""
        return len(self._going)

    def unwritten(self) -> list[Entry]:
        """What may not be on disk, in order."""
        with self.apart():
            return [*self._going, *self._waiting]

    def waits_since(self, time: int) -> bool:
        """Whether an event that was taken in by a time waits for the disk."""
        waiting = self._waiting
        return bool(waiting) and waiting[0][AT] <= time

    def take(self, most: int, most_bytes: int) -> tuple[list[Entry], int]:
        """The first of those that wait, so many at most, and their size: they go.

        They are `gone` when they were written, and `stay` when they could not be; if
        an interrupt came before either was said, they are taken again.
        """
        with self.apart():
            self._have_wait(self._going, _bytes_of(self._going))
            going, size = self._waiting, self._waiting_bytes
            many = min(len(going), most)
            if size > most_bytes:
                many = _fitting(going, many, most_bytes)
            going, self._waiting = going[:many], going[many:]
            if self._waiting:
                size = _bytes_of(going)
            self._waiting_bytes -= size
            self._weigh()
            self._going = going
        return going, size

    def gone(self, written: int, lost: int) -> None:
        """Note that so many of what went are on disk, and so many never will be."""
        with self.apart():
            self._going = []
            self.written += written
            self.lost += lost

    def stay(self, size: int) -> None:
        """Have what went wait again."""
        with self.apart():
            self._have_wait(self._going, size)
            self._weigh()

    def _have_wait(self, going: list[Entry], size: int) -> None:
        self._waiting[:0] = going
        self._waiting_bytes += size
        self._going = []

    def forget(self, part: float, *, lost: bool) -> None:
        """Forget that share of those that wait the longest, and one at least."""
        with self.apart():
            many = max(int(len(self._waiting) * part), 1)
            forgotten = self._waiting[:many]
            del self._waiting[:many]
            self._waiting_bytes -= _bytes_of(forgotten)
            self._weigh()
            self.lost += len(forgotten) if lost else 0

    def _weigh(self) -> None:
        """See whether what waits is too much, and when to look again."""
        many = len(self._waiting)
        marks = (1, self._batch, self._most)
        self._mark = min((mark for mark in marks if mark > many), default=_NEVER)
        self.crowded = many >= self._most or self._waiting_bytes > _WAITING_BYTES


def _bytes_of(entries: Iterable[Entry]) -> int:
    return sum(map(len, filter(None, map(itemgetter(DATA), entries))))


def _fitting(waiting: Sequence[Entry], most: int, most_bytes: int) -> int:
    """How many of those that wait fit into one transaction."""
    size = 0
    for count, entry in enumerate(waiting[:most], start=1):
        size += len(entry[DATA] or "")
        if size > most_bytes:
            return count
    return min(len(waiting), most)
