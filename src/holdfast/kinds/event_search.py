"""Finding events: those on disk and those in memory as one sequence.

Answers for: which rows are asked for, in the order of time, and what of them is meant.
Leaves to others: what is in memory (`events/log`), what a pattern means (`patterns`).
Always holds: each event is there once, by its time and its writer, whether it was
written meanwhile or not; a page leads on from the last place that was looked at, and
one look reads a limited number of rows.
"""

import heapq
import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import msgspec

from holdfast import codec
from holdfast.engine import Transaction
from holdfast.errors import InvalidId
from holdfast.kinds.event_records import (
    AT,
    CORRELATION,
    DATA,
    LEVEL,
    LEVELS,
    NAME,
    OWNER,
    SESSION,
    SOURCE,
    WRITER,
    Event,
    Kept,
    event_of,
)
from holdfast.page import Page, cursor_of, place_of
from holdfast.patterns import EVERYTHING, AnyOf, Pattern, Scalar, holds

ALL_TIME = 2**62
_BEFORE_ANY = -1
_ROWS_AT_ONCE = 200
_LOOKED_AT = 20_000
"""How many rows one call looks at."""
_NAMES_AT_ONCE = 64
"""With more names than these, events are walked through in the order of time."""
_NAMES_KNOWN = 10_000


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are meant, whenever they happened."""

    owner: str
    pattern: Pattern | AnyOf = EVERYTHING
    session: str | None = None
    correlation: str | None = None
    source: str | None = None
    level: str | None = None
    where: dict[str, Scalar] | None = None

    def means(self, event: Sequence[Any]) -> bool:
        """Whether an event, as an entry or as it is kept, is one of these."""
        return (
            event[OWNER] == self.owner
            and self.pattern.matches(event[NAME])
            and (self.session is None or event[SESSION] == self.session)
            and (self.correlation is None or event[CORRELATION] == self.correlation)
            and (self.source is None or event[SOURCE] == self.source)
            and (
                self.level is None
                or LEVELS.index(event[LEVEL]) >= LEVELS.index(self.level)
            )
            and (self.where is None or holds(codec.decode(event[DATA]), self.where))
        )


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """From when to when, in microseconds, and from which end; `until` is outside."""

    since: int = 0
    until: int = ALL_TIME
    newest_first: bool = False
    cursor: str | None = None

    @property
    def start(self) -> tuple[int, int]:
        """The place after which this begins, in its order."""
        edge = self.until if self.newest_first else self.since
        return edge, _BEFORE_ANY

    def after(self, at: int, writer: int) -> tuple[int, int]:
        """The place from which this goes on behind another one."""
        pick = min if self.newest_first else max
        return pick((at, writer), self.start)

    def beyond(self, place: tuple[int, int], other: tuple[int, int]) -> bool:
        """Whether a place comes after another one, in the order of the span."""
        return place < other if self.newest_first else place > other

    def has(self, at: int) -> bool:
        """Whether a time is in the span."""
        return self.since <= at < self.until


def find(
    tx: Transaction,
    unwritten: Iterable[Kept],
    wanted: Wanted,
    span: Span,
    limit: int,
    *,
    seen_by: str | None = None,
) -> Page[Event]:
    """A page of events in the order of time: of all, or of what an observation saw."""
    found: list[Kept] = []
    said = _said(wanted, span, seen_by)
    place, looked, more = _begin(span, said), 0, True
    memory = [kept for kept in unwritten if span.has(kept[AT]) and wanted.means(kept)]
    read = _reading(tx, wanted, span, seen_by)
    while more and len(found) <= limit and looked < _LOOKED_AT:
        rows = read(place, max(limit + 1, _ROWS_AT_ONCE))
        more = len(rows) >= max(limit + 1, _ROWS_AT_ONCE)
        looked += len(rows)
        upto = _place(rows[-1]) if more else None
        there = {_place(row) for row in rows}
        lacking = [
            kept
            for kept in memory
            if (at := _place(kept)) not in there
            and span.beyond(at, place)
            and (upto is None or not span.beyond(at, upto))
        ]
        lacking.sort(key=_place, reverse=span.newest_first)
        both = heapq.merge(
            (row for row in rows if wanted.means(row)),
            lacking,
            key=_place,
            reverse=span.newest_first,
        )
        found += both
        place = upto or place
    cursor = cursor_of(*place, said) if more else None
    if len(found) > limit:
        cursor = cursor_of(*_place(found[limit - 1]), said)
    return Page(map(event_of, found[:limit]), cursor)


def _said(wanted: Wanted, span: Span, seen_by: str | None) -> str:
    """What stands in a cursor for what was asked: it leads on in that list alone."""
    where = sorted((wanted.where or {}).items())
    asked = [
        wanted.pattern.text,
        *(wanted.owner, wanted.session, wanted.correlation, wanted.source),
        *(wanted.level, where, span.newest_first, seen_by),
    ]
    return f"{zlib.crc32(msgspec.json.encode(asked)):x}"


def _begin(span: Span, said: str) -> tuple[int, int]:
    """The place after which events are asked for. Raises `InvalidId`."""
    if span.cursor is None:
        return span.start
    at, writer, of = place_of(span.cursor, int, int, str)
    if of != said:
        raise InvalidId(f"{span.cursor!r} is a cursor of another list of events")
    return span.after(int(at), int(writer))


def _place(kept: Kept) -> tuple[int, int]:
    return kept[AT], kept[WRITER]


def _reading(
    tx: Transaction, wanted: Wanted, span: Span, seen_by: str | None
) -> Callable[[tuple[int, int], int], list[Kept]]:
    """What reads rows after a place, from where the fewest are looked at."""
    look, keys = _where_to_look(tx, wanted, seen_by)
    name = f"{look}_before" if span.newest_first else f"{look}_after"
    asked: dict[str, Any] = {"owner": wanted.owner}
    asked["end"] = span.since if span.newest_first else span.until

    def read(place: tuple[int, int], limit: int) -> list[Kept]:
        asked.update(at=place[0], writer=place[1], limit=limit)
        values = [asked if key is None else {**asked, "key": key} for key in keys]
        every: list[Any] = tx.each(name, values)
        if len(every) == 1:
            (rows,) = every
            return list(rows)
        merged = heapq.merge(*every, key=_place, reverse=span.newest_first)
        return list(islice(merged, limit))

    return read


def _where_to_look(
    tx: Transaction, wanted: Wanted, seen_by: str | None
) -> tuple[str, Sequence[str | None]]:
    if seen_by is not None:
        return "observed", [seen_by]
    if wanted.correlation is not None:
        return "event_correlation", [wanted.correlation]
    if wanted.session is not None:
        return "event_session", [wanted.session]
    names = wanted.pattern.names
    if names is None and wanted.pattern != EVERYTHING:
        names = _names_that_fit(tx, wanted)
    if names is not None and len(names) <= _NAMES_AT_ONCE:
        return "event_name", names
    return "event", [None]


def _names_that_fit(tx: Transaction, wanted: Wanted) -> tuple[str, ...] | None:
    """The names of an owner's events that are wanted; None if there are too many."""
    rows = tx.all("event_names", owner=wanted.owner, limit=_NAMES_KNOWN)
    if len(rows) == _NAMES_KNOWN:
        return None
    return tuple(name for (name,) in rows if wanted.pattern.matches(name))
