"""Events as a store shows them: emitted at once, followed, replayed, exported.

Answers for: what of `store.events` is no single transaction; `store.on`.
Leaves to others: holding and writing events (`events/log`), finding them
(`kinds/events`), what comes next for a follower (`events/following`).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from holdfast import edges
from holdfast.clock import to_datetime, to_us
from holdfast.codec import Json
from holdfast.contract import each
from holdfast.engine import Unit, Work
from holdfast.errors import Refused, WrongType
from holdfast.events.exporting import EventExport, export_days, folder_of
from holdfast.events.following import Following, Step, Stream
from holdfast.events.listening import Listener
from holdfast.events.log import EventLog, LogFigures
from holdfast.journal import refuse_past
from holdfast.kinds.event_records import (
    Event,
    EventPolicy,
    EventsTrimmed,
    event_of,
)
from holdfast.kinds.event_search import Wanted
from holdfast.kinds.events import Events, keep, level_of, trim
from holdfast.limits import Limits
from holdfast.patterns import patterns_of, where_of

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from holdfast.core import Core
    from holdfast.engine import Terms
    from holdfast.store import Store

T = TypeVar("T")
_PAGE = 500
RECENT = 100
"""So many of the newest events, if it is not said."""


class StoreEvents(Events):
    """Events as a store shows them: with what is no single transaction."""

    _target: "Store"

    def emit(
        self,
        name: str,
        data: Json = None,
        *,
        session: str | None = None,
        correlation: str | None = None,
        level: str = "info",
        source: str | None = None,
        whole: bool = False,
    ) -> None:
        """Say that something happened; costs no more than a write to memory.

        It is on disk within `limits.event_seconds`. Large texts in `data` are cut to
        `limits.event_text` characters, with length and digest, unless they are to be
        kept `whole`. Told at once, also within a transaction: `tx.events.emit` tells at
        the commit. Waits only if `limits.event_pending` events wait for the disk.
        Raises `NotStorable`, `InvalidId`, `TooLarge` (past `limits.event_given`, or
        `limits.value_bytes` of a `whole`), `WrongType`, `Refused` (a store that is open
        read-only, or as of a moment), `Closed`.
        """
        store = self._target
        log, terms = store._core.events, store._terms  # noqa: SLF001
        if terms.moment is not None:
            refuse_past(terms.moment)
        if log.emit(
            terms.owner, name, data, session, correlation, level, source, whole=whole
        ):
            log.wait_for_room()

    def flush(self) -> int:
        """Write what is only in memory; how many events that was.

        Raises `StorageFull` and what else keeps them from the disk; they stay in
        memory then.
        """
        return _log(self).flush()

    def keep(
        self, *, max_age_seconds: float | None = None, max_bytes: int | None = None
    ) -> EventPolicy:
        """Keep so much from now on, of everyone's events; None leaves it as it was.

        Kept with the events, for every process. Counted by whole minutes: the newest
        is kept, however much it has. What is past a limit is deleted now and then while
        events are written. Raises `Refused` for one owner's store.
        """
        work = keeping(self._target._core, max_age_seconds, max_bytes)  # noqa: SLF001
        return _about_all(self._target, work)

    def trim(self) -> EventsTrimmed:
        """Delete what is older, or more, than is kept: now, and all of it.

        Its room in the file is used again, and not given back. Raises `Refused` for one
        owner's store.
        """
        return _about_all(self._target, trim)

    def figures(self) -> LogFigures:
        """What became of the events that this open store was given."""
        return _log(self).figures()

    def recent(
        self,
        pattern: str | Sequence[str] = "*",
        *,
        session: str | None = None,
        correlation: str | None = None,
        source: str | None = None,
        level: str | None = None,
        where: dict[str, Any] | None = None,
        limit: int = RECENT,
    ) -> tuple[Event, ...]:
        """The newest of what this open store was given, newest first, from memory.

        Memory holds `limits.event_ring` events; `query` finds all, other processes'
        too.
        """
        core, terms = self._target._core, self._target._terms  # noqa: SLF001
        meant = pattern, session, correlation, source, level, where
        return recent(core, terms, limit, *meant)

    def follow(
        self,
        pattern: str | Sequence[str] = "*",
        *,
        since: datetime | str | None = None,
        session: str | None = None,
        correlation: str | None = None,
        source: str | None = None,
        level: str | None = None,
        where: dict[str, Any] | None = None,
    ) -> Following:
        """Events as they happen, from now on, or all since a time and then those.

        An iterator that waits for more, until it or the store is closed. This store's
        own come at once, other processes' when they are on disk. One that is too slow
        for memory has how many it `missed`, and slows nobody. Raises `Refused` (a store
        as of a moment).
        """
        core, terms = self._target._core, self._target._terms  # noqa: SLF001
        meant = pattern, session, correlation, source, level, where
        return Following(stream_of(core, terms, since, *meant))

    def on(
        self, pattern: str | Sequence[str], callback: Callable[[Event], object]
    ) -> Callable[[], None]:
        """Have a callback told of events; gives what stops it. As `store.on`."""
        refuse_no_callback(callback)
        return Listener(self.follow(pattern), callback).stop

    def replay(
        self,
        since: datetime | str,
        until: datetime | str | None = None,
        *,
        pattern: str | Sequence[str] = "*",
        session: str | None = None,
        correlation: str | None = None,
        source: str | None = None,
        speed: float | None = 1.0,
    ) -> Iterator[Event]:
        """What happened in a span, in order, at the pace at which it did.

        `speed` is how much faster; None for as fast as it can be read. Up to now, if
        `until` is not said.
        """
        pace = Pace(speed, _log(self).limits)
        edges.time_of(since, "since", _log(self).limits)
        asked = span_of(_log(self), since, until, pattern, session, correlation, source)
        return paced(self._every(asked), pace)

    def export_to(
        self,
        folder: "str | PathLike[str]",
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        pattern: str | Sequence[str] = "*",
    ) -> EventExport:
        """Write events as JSON lines, a file a day (UTC): `events-2026-11-22.jsonl`.

        A day's file that is there is replaced. The first and the last day are whole
        only if `since` and `until` are. Raises `CannotOpen`, `StorageFull`.
        """
        path: Path = folder_of(folder)
        return export_days(
            self._every(span_of(_log(self), since, until, pattern)), path
        )

    def _every(self, asked: dict[str, Any]) -> Iterator[Event]:
        """Every event of a span, page by page."""
        return each(partial(self.query, **asked))


class Pace:
    """How long to wait before each event, so that they come as they did."""

    def __init__(self, speed: object, limits: Limits) -> None:
        self._speed: float | None = None
        if speed is not None:
            self._speed = float(edges.number_of(speed, "speed", limits))
            if self._speed <= 0:
                raise WrongType(f"speed: {speed} is not above 0")
        self._began = 0.0
        self._first: datetime | None = None

    def before(self, event: Event) -> float:
        """Seconds until an event is to come."""
        if self._speed is None:
            return 0.0
        now = time.monotonic()
        if self._first is None:
            self._first, self._began = event.at, now
        passed = (event.at - self._first) / timedelta(seconds=1)
        return max(0.0, self._began + passed / self._speed - now)


def paced(events: Iterator[Event], pace: Pace) -> Iterator[Event]:
    """Events at a pace."""
    for event in events:
        if pause := pace.before(event):
            time.sleep(pause)
        yield event


def wanted_of(
    terms: "Terms",
    limits: Limits,
    pattern: object,
    session: object = None,
    correlation: object = None,
    source: object = None,
    level: object = None,
    where: object = None,
) -> Wanted:
    """What is wanted, its parts checked. Raises `BadInput`."""
    given = {"session": session, "correlation": correlation, "source": source}
    ids = {
        name: None if value is None else edges.id_of(value, name)
        for name, value in given.items()
    }
    return Wanted(
        owner=terms.owner,
        pattern=patterns_of(pattern, "pattern"),
        level=None if level is None else level_of(level, "level"),
        where=where_of(where, "where", limits),
        **ids,
    )


def stream_of(core: "Core", terms: "Terms", since: object, *meant: object) -> Stream:
    """What comes next for a follower, from a time on, or from now.

    `meant` is what `wanted_of` takes. Raises `BadInput`, `Refused` (a store as of a
    moment).
    """
    refuse_past(terms.moment)
    wanted = wanted_of(terms, core.limits, *meant)
    begin = None
    if since is not None:
        begin = to_us(edges.time_of(since, "since", core.limits))
    return Stream(core.events, partial(_unit, core, terms), wanted, begin)


def recent(
    core: "Core", terms: "Terms", limit: object, *meant: object
) -> tuple[Event, ...]:
    """The newest events in memory of those that are meant, newest first.

    `meant` is what `wanted_of` takes. Raises `BadInput`, `Refused` (a store as of a
    moment).
    """
    refuse_past(terms.moment)
    wanted = wanted_of(terms, core.limits, *meant)
    most = edges.page_of(limit, "limit", core.limits)
    found = (kept for kept in reversed(core.events.held()) if wanted.means(kept))
    return tuple(event_of(kept) for kept in islice(found, most))


def refuse_no_callback(callback: object) -> None:
    """Raise `WrongType` for what cannot be called."""
    if not callable(callback):
        raise edges.wrong_type("callback", "a function of an event", callback)


def span_of(
    log: EventLog,
    since: object,
    until: object,
    pattern: object,
    session: object = None,
    correlation: object = None,
    source: object = None,
) -> dict[str, Any]:
    """What to ask `query` for every event of a span, up to now if no end is said.

    Raises `BadInput`.
    """
    limits = log.limits
    if since is not None:
        edges.time_of(since, "since", limits)
    return {
        "pattern": patterns_of(pattern, "pattern"),
        "since": since,
        "until": until or to_datetime(log.memory.now()),
        "session": session,
        "correlation": correlation,
        "source": source,
        "limit": min(_PAGE, limits.page),
    }


def _unit(core: "Core", terms: "Terms", work: Work[Step]) -> Unit[Step]:
    return core.unit(work, terms)


def keeping(
    core: "Core", max_age_seconds: object, max_bytes: object
) -> Work[EventPolicy]:
    """What has so much kept from now on. Raises `BadInput`."""
    age, most = None, None
    if max_age_seconds is not None:
        age = edges.seconds_of(max_age_seconds, "max_age_seconds", core.limits)
    if max_bytes is not None:
        most = edges.count_of(max_bytes, "max_bytes", core.limits)
    return lambda tx: keep(tx, age, most)


def about_all(core: "Core", terms: "Terms", work: Work[T]) -> Unit[T]:
    """A unit about everyone's events. Raises `Refused` for one owner's store."""
    if terms.owner and not terms.every_owner:
        raise Refused(
            f"how much is kept is the store's matter, and not {terms.owner!r}'s alone; "
            "nothing was done: use a store that is not one owner's"
        )
    refuse_past(terms.moment)
    ours = msgspec.structs.replace(terms, every_owner=True, beside=True, fence=None)
    return core.unit(work, ours)


def _about_all(store: "Store", work: Work[T]) -> T:
    core = store._core  # noqa: SLF001
    return core.events.write(about_all(core, store._terms, work))  # noqa: SLF001


def _log(face: StoreEvents) -> EventLog:
    return face._target._core.events  # noqa: SLF001
