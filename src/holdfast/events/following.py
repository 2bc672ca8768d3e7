"""Following: events as they happen, here and in other processes.

Answers for: what comes next for one follower, from this store's memory and, of other
writers, from disk; beginning with what was there before; waiting for more.
Leaves to others: holding events (`log`), how a caller awaits (`afollowing`).
Always holds: each event comes once; a follower that is too slow for memory learns how
many it missed, and slows nobody; while the disk is away, this store's own still come.
"""

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from holdfast import edges
from holdfast.bell import Bell
from holdfast.engine import Transaction, Unit, Work
from holdfast.errors import Closed, HoldfastError, TimedOut
from holdfast.events.log import EventLog
from holdfast.events.writers import Marks
from holdfast.kinds.event_records import AT, WRITER, Event, Kept, event_of
from holdfast.kinds.event_search import Span, Wanted, find
from holdfast.logs import logger
from holdfast.passing import PASSING
from holdfast.patience import Patience

Events: TypeAlias = list[Event]
_AT_ONCE = 500
_NO_END = -1.0
"""What a lock takes for waiting without end."""
_CLOSING_SECONDS = 0.02
"""Between two looks at a store that is being closed."""
_AWAY_SECONDS = 1.0
"""Between two looks at a disk that is away."""


class Step(msgspec.Struct, frozen=True):
    """What a look at the disk found, and where the follower stands then.

    A unit may be run again, and who asked may be gone by then: nothing of the follower
    changes before it has taken this.
    """

    events: Events
    marks: Marks
    since: int | None = None
    cursor: str | None = None
    more: bool = False


class Outage:
    """That events cannot be read: said once, until they can be."""

    def __init__(self) -> None:
        self._is_said = False

    def met(self, error: HoldfastError) -> None:
        """They cannot be read."""
        if not self._is_said:
            logger("holdfast.events").warning(
                "events cannot be read for now: %s", error
            )
        self._is_said = True

    def over(self) -> None:
        """They can be read."""
        self._is_said = False


class Stream:
    """What comes next for one follower, and how far it has come.

    `make` makes units of work; `since` is the time, in microseconds, with which it
    begins, None for now.
    """

    def __init__(
        self,
        log: EventLog,
        make: Callable[[Work[Step]], Unit[Step]],
        wanted: Wanted,
        since: int | None = None,
    ) -> None:
        self.log = log
        self.missed = 0
        """How many events, of any name, were gone from memory before they were read."""
        self.position, self._last = log.memory.place()
        self.told = True
        """Whether something may have come to disk that was not read."""
        self._make = make
        self._wanted = wanted
        self._begin = since or 0
        self._since = since
        self._cursor: str | None = None
        self._marks: Marks | None = None if log.there else Marks()
        """How far each other writer was followed; None before the first look."""
        self._outage = Outage()
        self._look_at: float | None = None
        """Until when the disk is left alone, after a look that failed."""

    def memory(self) -> Events:
        """What this store itself was given since, of what is wanted."""
        entries, missed = self.log.memory.since(self.position)
        self.position += len(entries) + missed
        self.missed += missed
        writer = self.log.writer
        return [event_of((*entry, writer)) for entry in entries if self._means(entry)]

    def disk(self) -> Unit[Step]:
        """A unit that reads what comes next from disk.

        `take` what it finds; if it fails, ask whether this `outlives` that.
        """
        self._look_at = None
        unit = self._make(self._look())
        unit.patient = False
        return unit

    def _look(self) -> Work[Step]:
        marks = self._marks
        if marks is not None and self._since is not None:
            unwritten = self.log.unwritten()
            return lambda tx: self._history(tx, unwritten, marks)
        self.told = False  # not by a look at what was there before: that reads no news
        if marks is None:
            return self._find_out
        return lambda tx: self._others(tx, marks)

    def take(self, step: Step) -> Events:
        """The events of a look at the disk, behind which it goes on."""
        self._marks, self._since, self._cursor = step.marks, step.since, step.cursor
        self.told |= step.more
        self._outage.over()
        return step.events

    def outlives(self, error: HoldfastError) -> bool:
        """Whether this goes on after a look that failed: the disk is asked again then.

        After a pause, whatever it is told meanwhile: of a server that is away, one is
        told at each attempt to reach it.
        """
        self.told = True
        pause = _CLOSING_SECONDS
        if not self.log.ending:
            if not isinstance(error, PASSING):
                return False
            self._outage.met(error)
            pause = _AWAY_SECONDS
        self._look_at = time.monotonic() + pause
        return True

    @property
    def behind(self) -> bool:
        """Whether what was there before is still being read, which comes first."""
        return self._since is not None

    @property
    def has_more(self) -> bool:
        """Whether there may be more on disk, and it may be asked."""
        if self._look_at is not None and time.monotonic() < self._look_at:
            return False
        unread = self._marks is None or self.behind
        return unread or (self.told and self.log.there)

    def wait(self, patience: Patience) -> float | None:
        """For how long to wait for news before there is another look; None for ever."""
        left = patience.left()
        if self._look_at is None:
            return left
        pause = max(0.0, self._look_at - time.monotonic())
        return pause if left is None else min(pause, left)

    def patience(self, timeout_seconds: object) -> Patience:
        """For how long an event is waited for. Raises `WrongType`."""
        limits = self.log.limits
        return Patience(edges.wait_of(timeout_seconds, "timeout_seconds", limits))

    def _means(self, kept: Sequence[Any]) -> bool:
        return kept[AT] >= self._begin and self._wanted.means(kept)

    def _find_out(self, tx: Transaction) -> Step:
        """Learn where the others are by now."""
        return Step([], Marks().fresh(tx), self._since)

    def _history(
        self, tx: Transaction, unwritten: Sequence[Kept], marks: Marks
    ) -> Step:
        span = Span(since=self._begin, cursor=self._cursor)
        page = find(tx, unwritten, self._wanted, span, _AT_ONCE)
        found = [event for event in page if self._was_there(event, marks)]
        since = None if page.cursor is None else self._since
        return Step(found, marks, since, page.cursor)

    def _was_there(self, event: Event, marks: Marks) -> bool:
        """Whether an event was there when this began: others come by themselves."""
        at, writer = (int(part, 16) for part in event.id.split("-"))
        if writer == self.log.writer:
            return at <= self._last
        return at <= marks.of(writer)

    def _others(self, tx: Transaction, before: Marks) -> Step:
        """What other writers brought since."""
        fresh = before.fresh(tx)
        halfway: dict[int, int] = {}
        found: list[Kept] = []
        for writer, upto in fresh.newest.items():
            if self.log.wrote(writer):
                continue
            rows = tx.all(
                "event_since",
                owner=self._wanted.owner,
                after=before.of(writer),
                upto=upto,
                writer=writer,
                limit=_AT_ONCE,
            )
            if len(rows) == _AT_ONCE:
                halfway[writer] = rows[-1][AT]
            found += rows
        found.sort(key=lambda kept: (kept[AT], kept[WRITER]))
        events = [event_of(kept) for kept in found if self._means(kept)]
        if not halfway:
            return Step(events, before.and_(fresh))
        marks = Marks(fresh.newest | halfway, before.written_at)
        return Step(events, before.and_(marks), more=True)


class Following(Iterator[Event]):
    """Events as they happen: an iterator that waits, until the store is closed.

    Several threads may take from one: each event comes to one of them.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._log = stream.log
        self._ready: deque[Event] = deque()
        self._turn = threading.Lock()
        self._woken = Bell()
        self._ended = False
        self._closed = False
        self._stop = watched(self, self._tell, self._log)
        if stream.has_more:
            self._read_disk()

    @property
    def missed(self) -> int:
        """How many events, of any name, were gone before this iterator took them."""
        return self._stream.missed

    def close(self) -> None:
        """Follow no longer; safe to call twice, and from another thread."""
        self._closed = True
        self._stop()
        self._woken.set()

    def get(self, timeout_seconds: float | None = None) -> Event:
        """The next event; waits for one, or for so long.

        0 is not at all, None is without end; what is there already comes however short
        it is. Raises `TimedOut` (none came in time), `Closed`.
        """
        event = self._next(self._stream.patience(timeout_seconds))
        if event is None:
            raise none_came(closed=self._closed)
        return event

    def __next__(self) -> Event:
        event = self._next(Patience(None))
        if event is None:
            raise StopIteration
        return event

    def __enter__(self) -> "Following":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tell(self) -> None:
        self._stream.told = True
        self._woken.set()

    def _next(self, patience: Patience) -> Event | None:
        """The next event; None if this was closed, or none comes in time."""
        left = patience.left()
        if not self._turn.acquire(timeout=_NO_END if left is None else left):
            return None
        try:
            while not self._closed:
                if self._ready:
                    return self._ready.popleft()
                if self._ended:
                    self.close()
                elif not self._fill(patience):
                    return None
            return None
        finally:
            self._turn.release()

    def _fill(self, patience: Patience) -> bool:
        """Look for more, and wait for it; whether it may have come in time."""
        stream = self._stream
        self._woken.clear()  # before it is looked: what comes after wakes again
        if self._closed:
            return True
        if stream.has_more:
            self._read_disk()
        if not stream.behind or self._log.over:
            self._ready.extend(stream.memory())
        if self._ready or (stream.has_more and not self._log.over):
            return True
        if self._log.over:
            self._ready.extend(stream.memory())  # nothing comes after that
            self._ended = True
            return True
        if not stream.behind:
            self._log.memory.wake_after(stream.position, self._woken.set)
        return self._woken.wait(stream.wait(patience)) or not patience.over

    def _read_disk(self) -> None:
        try:
            found = self._log.read(self._stream.disk())
        except HoldfastError as error:
            if not self._stream.outlives(error):
                raise
        else:
            self._ready.extend(self._stream.take(found))


def none_came(*, closed: bool) -> HoldfastError:
    """What is raised where an event was waited for, and none came."""
    if closed:
        return Closed("this follower was closed, or its store was: nothing more comes")
    return TimedOut("no event came in time: wait longer, or look again")


def watched(
    follower: object, tell: Callable[[], None], log: EventLog
) -> Callable[[], None]:
    """Have a follower told, by that method, of what comes to disk, while it is there.

    Gives what stops it.
    """
    ref = weakref.WeakMethod(tell)

    def wake() -> None:
        found = ref()
        if found is not None:
            found()

    stop = log.watch(wake)
    weakref.finalize(follower, stop)
    return stop
