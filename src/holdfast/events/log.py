"""The log: events of one open store, for everything that emits, reads and follows.

Answers for: what an event may be; holdfast's own events, as the engine's witness;
reading and writing what is on disk.
Leaves to others: what is in memory (`memory`), how it comes to disk (`flushing`), where
that is (`Engine.beside`), finding events (kinds), who follows (`following`).
Always holds: what was committed stays so, whatever becomes of the events about it.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from holdfast import codec, edges
from holdfast.engine import Engine, Options, Tellings, Terms, Told, Unit, answer
from holdfast.errors import (
    Busy,
    Closed,
    Moved,
    NotStorable,
    OutcomeUnknown,
    Refused,
    StorageFailed,
    StorageFull,
    Unreachable,
)
from holdfast.events.blank import Blank
from holdfast.events.flushing import Flusher
from holdfast.kinds.event_records import LEVELS, Entry, Kept
from holdfast.kinds.event_texts import data_of, text_of
from holdfast.kinds.events import level_of, refuse_ours
from holdfast.logs import logger

T = TypeVar("T")
_SAVED_SECONDS = 1.0
_NAMES = 10_000
_UNKEPT = (
    Busy,
    Moved,
    OutcomeUnknown,
    StorageFailed,
    StorageFull,
    Unreachable,
)
"""Errors that are about where state is kept, and not about what was asked."""


class LogFigures(msgspec.Struct, frozen=True):
    """What became of the events that this open store was given."""

    emitted: int
    held: int
    """How many the ring has."""
    waiting: int
    """How many are not on disk yet."""
    written: int
    lost: int
    """How many could not be written, and never will be."""


class EventLog:
    """Events of one open store; the engine's witness."""

    def __init__(self, engine: Engine, options: Options) -> None:
        self.limits = options.limits
        self._short = options.limits.event_text
        self._read_only = options.read_only
        self._engine = engine
        self._beside = engine.beside
        self._flusher = Flusher(self, engine.beside, options, engine.place)
        self.memory = self._flusher.memory
        self._names: set[str] = set()
        self._commits = 0
        self._saved_at = 0.0
        self._ending = False
        self._marks = itertools.count(1)
        self.newest = 0
        """The mark of the newest commit that is known here: each has a larger one."""
        self.newest_own = 0
        """The mark of the newest of them that was made here."""
        self.endings: list[Callable[[], None]] = []
        """What is done at the end, before the engine closes."""
        engine.witness = self
        if not self._read_only:
            self.own("state:loaded", {"place": engine.place})

    @property
    def writer(self) -> int:
        """What this log's events are known by, beside their time."""
        return self._flusher.writer

    @property
    def batches(self) -> list[Callable[[Sequence[Entry]], Sequence[Any]]]:
        """Who adds rows of `event_observed` to a batch of events."""
        return self._flusher.batches

    @property
    def amid(self) -> bool:
        """Whether this very thread is amid writing events."""
        return self._flusher.amid

    @property
    def used(self) -> bool:
        """Whether what is taken in is written: somebody keeps events here."""
        return self._flusher.used

    @property
    def ending(self) -> bool:
        """Whether the store is being closed, or was."""
        return self._ending or self.over

    @property
    def over(self) -> bool:
        """Whether nothing more will be taken in."""
        return self.memory.why is not None

    # Taking events in.

    def emit(
        self,
        owner: str,
        name: str,
        data: Any,
        session: str | None,
        correlation: str | None,
        level: str,
        source: str | None,
        *,
        whole: bool,
    ) -> bool:
        """Take in an event of a program's; whether it should wait for room then.

        Raises `BadInput`, `Refused`, `Closed`.
        """
        if type(name) is not str or name not in self._names:
            self._learn(name)
        if level not in LEVELS:
            level_of(level, "level")
        text = None
        if data is not None:
            text = codec.short_text(data)
            if text is None or len(text) > self._short:
                document = data_of(data, "data", self.limits)
                text = text_of(document, self.limits, whole=whole)
        if session is not None:
            edges.id_of(session, "session")
        if correlation is not None:
            edges.id_of(correlation, "correlation")
        if source is not None:
            edges.id_of(source, "source")
        if not self._flusher.used:
            self._use()
        memory = self.memory
        is_in = memory.put(owner, name, level, source, session, correlation, text)
        return is_in and memory.crowded and not self._flusher.write_at_once()

    def _learn(self, name: str) -> None:
        refuse_ours(edges.name_of(name, "name", self.limits))
        if len(self._names) < _NAMES:
            self._names.add(name)

    def _use(self) -> None:
        """Have what is taken in written from here on: somebody keeps events here."""
        if self._read_only:
            raise Refused(
                f"{self._engine.place} is open read-only, and takes in no events: open "
                "it without read_only=True"
            )
        self._flusher.use()

    def wait_for_room(self) -> None:
        """Let the disk come after; where it does not, forget the oldest that wait."""
        self._flusher.wait_for_room()

    # Holdfast's own events, as the engine's witness.

    def committed(self, tellings: Tellings) -> None:
        """A transaction was committed."""
        self._mark()  # before whoever made it is answered
        if tellings and not self._flusher.used and not self._read_only:
            self._use()
        for terms, told in tellings:
            told.heard(terms)
            try:
                self._hear(terms, told)
            except NotStorable as error:  # what was committed stays so
                logger("holdfast.events").error(
                    "%r cannot be told: %s", told.name, error
                )
        self._commits += 1
        if time.monotonic() - self._saved_at >= _SAVED_SECONDS:
            self._saved()

    def notice(self) -> None:
        """Take note that something was committed, here or by another process."""
        self.newest = next(self._marks)

    def _mark(self) -> None:
        """Take note that something was committed here."""
        self.newest_own = self.newest = next(self._marks)

    def _hear(self, terms: Terms, told: Told) -> None:
        data = told.data
        self._quietly(
            terms.owner,
            told.name,
            data if isinstance(data, str) or data is None else _text(data),
            told.level,
            told.source or terms.actor,
            told.session,
            told.correlation,
        )

    def failed(self, error: BaseException) -> None:
        """Something was not kept."""
        if isinstance(error, _UNKEPT):
            said = {"error": type(error).__name__, "what": str(error)}
            self.own("state:save-error", said, level="error")

    def closing(self) -> None:
        """Write what waits, and do what needs the state for the last time.

        All of that is done, whatever fails; then the first failure is raised.
        """
        if self.ending:
            return
        self._ending = True
        self._flusher.last_words()
        failure: Exception | None = None
        for end in [*self.endings]:
            try:
                end()
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def closed(self, why: BaseException) -> None:
        """Write what waits, for the last time, and take in nothing more."""
        if self.over:
            return
        if self._commits:
            self._saved()
        self.own("shutdown:save", {"waiting": self.memory.waiting})
        self._mark()  # nobody is to take anything in memory for what there is
        wakers = self.memory.end(why)
        try:
            self._flusher.end()
        finally:
            for wake in wakers:
                wake()

    def disowned(self, why: BaseException) -> None:
        """Take in nothing more: what waits is the parent process's."""
        self._mark()
        self.memory.disown(why)
        self._flusher.disown()

    def _saved(self) -> None:
        commits, self._commits = self._commits, 0
        self._saved_at = time.monotonic()
        self.own("state:saved", {"commits": commits})
        if not self._flusher.used and not self._read_only and self.there:
            self._use()  # another process has begun to keep events

    def own(self, name: str, data: dict[str, Any], level: str = "info") -> None:
        """Tell an event of holdfast's own, of what becomes of the store."""
        self._quietly("", name, _text(data), level, None, None, None)

    def _quietly(
        self,
        owner: str,
        name: str,
        text: str | None,
        level: str,
        source: str | None,
        session: str | None,
        correlation: str | None,
    ) -> None:
        """Take in an event of holdfast's own, which may wait without ever crowding."""
        if self.over:
            return
        try:
            self.memory.put(owner, name, level, source, session, correlation, text)
        except Closed:  # just now: what was committed stays so
            return
        if self.memory.crowded or self.memory.waiting > self.limits.event_ring:
            self._flusher.uncrowd()

    # What is in memory.

    def unwritten(self) -> list[Kept]:
        """What is in memory and may not be on disk, in order."""
        if not self._flusher.used:
            return self.held()
        return self._kept(self.memory.unwritten())

    def held(self) -> list[Kept]:
        """What the ring has, in order."""
        return self._kept(self.memory.held())

    def _kept(self, entries: Sequence[Entry]) -> list[Kept]:
        return [(*entry, self.writer) for entry in entries]

    def figures(self) -> LogFigures:
        """What became of what was taken in."""
        memory = self.memory
        with memory.apart():
            return LogFigures(
                emitted=memory.count,
                held=memory.holds,
                waiting=memory.waiting + memory.going,
                written=memory.written,
                lost=memory.lost,
            )

    # What is on disk.

    @property
    def there(self) -> bool:
        """Whether anything is, or was, on disk."""
        return self._beside.there

    def wrote(self, writer: int) -> bool:
        """Whether what is on disk of a writer is this log's."""
        return self._flusher.registered and writer == self.writer

    def watch(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called when something came to disk; returns how to stop."""
        return self._beside.watch(wake)

    def read(self, unit: Unit[T]) -> T:
        """Run a unit that reads what is on disk."""
        if self.there:
            return self._beside.read(unit)
        self._look_at_nothing(unit)
        return unit.outcome()

    def post_read(self, unit: Unit[Any]) -> None:
        """Have a unit run that reads what is on disk; its future is answered."""
        if self.there:
            self._beside.post_read(unit)
        else:
            self._look_at_nothing(unit)
            answer([unit])

    def write(self, unit: Unit[T]) -> T:
        """Run a unit that writes to what is on disk."""
        if self.memory.why is not None:
            raise self.memory.why
        return self._beside.write(unit)

    def post(self, unit: Unit[Any]) -> None:
        """Have a unit run that writes; its future is answered."""
        self._beside.post(unit)

    def _look_at_nothing(self, unit: Unit[Any]) -> None:
        if self.memory.why is not None:
            unit.error = self.memory.why
            return
        try:
            unit.result = unit.work(Blank(unit.terms, self.limits, unit.now))
        except BaseException as error:
            unit.error = error

    def flush(self) -> int:
        """Write what waits; how many events that was. Raises what writing raises."""
        if self.memory.why is not None:
            raise self.memory.why
        if not self._flusher.used:
            self._use()
        return self._flusher.write_all()


def _text(data: Any) -> str:
    return codec.document(data).text
