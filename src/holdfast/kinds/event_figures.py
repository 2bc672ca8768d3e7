"""Figures: how many events there were, of which names, when, and what is unusual.

Each of these is told by what a name does itself, and never by what others do:

- A *burst* is a bucket of time with 10 or more events of a name, more than twice its
  usual and more than six deviations above it. The usual is the median of the other
  buckets in which the name came (none, if it came in fewer than three). Nine in ten of
  those have at most so many more than it; the deviation is that, as it would be if they
  were distributed normally, but at least the usual's square root, and at least 1.
  Bursts in adjacent buckets are told once, by the highest. A name that comes a thousand
  times each night does what is usual. Before there are events of eight buckets' time,
  nothing is known to be usual, and none is told.
- A *silence* is a name that has not come, up to the end, for more than three times its
  longest pause. It must have come 20 times or more, in eight buckets or more, and for
  as long as it is silent now. Of a name that comes by chance, as from many independent
  sources, N times, about 6 in N³ are told so wrongly.
- A name is *new* if it came first in the newest tenth of the time since the oldest
  event, and 20 or more events are older than that tenth. It is told as no burst.

Answers for: those definitions, and the numbers by name and time.
Leaves to others: reading and grouping the events (whoever calls).
Always holds: the figures are made from the rows alone; no clock is read.
"""

from collections.abc import Container, Iterable, Iterator
from datetime import datetime
from itertools import pairwise
from math import ceil, sqrt
from typing import Literal, NamedTuple

import msgspec

from holdfast.clock import to_datetime

_SECOND = 1_000_000
_SIZES = tuple(
    size * _SECOND
    for size in (1, 5, 15, 60, 300, 900, 3_600, 4 * 3_600, 86_400, 7 * 86_400)
)
_MOST_BUCKETS = 200

_BURST_EVENTS = 10
_BURST_TIMES = 2
_BURST_DEVIATIONS = 6
_HIGH, _HIGH_DEVIATIONS = 0.9, 1.2816
_USUAL_BUCKETS = 3
_YOUNG_BUCKETS = 8
_REGULAR_EVENTS = 20
_REGULAR_BUCKETS = 8
_SILENT_PAUSES = 3
_NEWEST_PART = 10
_OLDER_EVENTS = 20


class Row(NamedTuple):
    """What one bucket has of one name, as `group by` gives it; times in microseconds.

    Which bucket it is, counted from 1970 on, is told by `first` as well.
    """

    name: str
    bucket: int
    events: int
    first: int
    last: int


class NameFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The events of one name: how many, the first and the last, and how many when."""

    count: int
    first: datetime
    last: datetime
    counts: tuple[int, ...]


class Unusual(msgspec.Struct, frozen=True, kw_only=True):
    """Something unusual that a name did.

    A burst: `count` events in the bucket that begins `at`, where `expected` is usual.
    A silence: none since `at`, where `expected` would have come at the pace before.
    New: the first was `at`, and there were `count`.
    """

    kind: Literal["burst", "silence", "new"]
    name: str
    at: datetime
    count: int
    expected: float


class EventStats(msgspec.Struct, frozen=True, kw_only=True):
    """Events by name and time, and what is unusual, in the order of time.

    `counts`, here and by name, has one number for each bucket of `bucket_seconds`; the
    first bucket begins at `buckets_from`.
    """

    total: int
    since: datetime
    until: datetime
    bucket_seconds: int
    buckets_from: datetime
    counts: tuple[int, ...]
    by_name: dict[str, NameFigures]
    unusual: tuple[Unusual, ...]


def bucket_for(start: int, end: int) -> int:
    """A size of buckets that people have names for, of which a span has 200 at most."""
    for size in _SIZES:
        if end - start <= size * (_MOST_BUCKETS - 1):
            return size
    return -(-(end - start) // ((_MOST_BUCKETS - 1) * _SIZES[-1])) * _SIZES[-1]


def figures(
    rows: Iterable[tuple[str, int, int, int, int]],
    *,
    start: int,
    end: int,
    bucket: int,
    known: Container[str] = (),
) -> EventStats:
    """The figures of the rows of a span, whose end is told to be now or earlier.

    A name may have several rows for one bucket. `known` has the names that came before
    the span: they are not new in it.
    """
    found: dict[str, _Course] = {}
    for row in map(Row._make, rows):
        course = found.setdefault(row.name, _Course(row.name))
        course.add(row.first // bucket * bucket, row)
    courses = sorted(found.values(), key=lambda it: (-it.count, it.name))
    start = min([start, *(it.first for it in courses)])
    end = max([start, end, *(it.last for it in courses)])
    first, last = start // bucket, end // bucket
    places = range(first * bucket, (last + 1) * bucket, bucket)
    by_name = {it.name: it.told(places) for it in courses}
    totals = zip(*(it.counts for it in by_name.values()), strict=True)
    unusual = [one for it in _unusual(courses, end, bucket, known) for one in it]
    return EventStats(
        total=sum(it.count for it in courses),
        since=to_datetime(start),
        until=to_datetime(end),
        bucket_seconds=bucket // _SECOND,
        buckets_from=to_datetime(places[0]),
        counts=tuple(map(sum, totals)) if courses else (0,) * len(places),
        by_name=by_name,
        unusual=tuple(sorted(unusual, key=lambda one: (one.at, one.name))),
    )


class _Course:
    """What one name did over the span: its buckets by their start, and its count."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.buckets: dict[int, Row] = {}
        self.count = 0

    def add(self, place: int, row: Row) -> None:
        self.count += row.events
        before = self.buckets.get(place)
        if before is not None:
            row = row._replace(
                events=before.events + row.events,
                first=min(before.first, row.first),
                last=max(before.last, row.last),
            )
        self.buckets[place] = row

    @property
    def first(self) -> int:
        return min(row.first for row in self.buckets.values())

    @property
    def last(self) -> int:
        return max(row.last for row in self.buckets.values())

    def told(self, places: range) -> NameFigures:
        counts = {place: row.events for place, row in self.buckets.items()}
        return NameFigures(
            count=self.count,
            first=to_datetime(self.first),
            last=to_datetime(self.last),
            counts=tuple(counts.get(place, 0) for place in places),
        )


def _unusual(
    courses: list[_Course], end: int, bucket: int, known: Container[str]
) -> Iterator[Iterable[Unusual]]:
    if not courses:
        return
    oldest = min(course.first for course in courses)
    newest = _newest_part(courses, oldest, end)
    is_young = end - oldest < _YOUNG_BUCKETS * bucket
    for course in courses:
        is_new = newest is not None and course.first >= newest
        if is_new and course.name not in known:
            yield [_told("new", course, course.first, course.count, 0.0)]
        elif not is_young:
            yield _bursts(course, bucket)
        yield _silences(course, end)


def _newest_part(courses: list[_Course], oldest: int, end: int) -> int | None:
    """Where the newest part of the time begins; None if too little is older."""
    edge = end - (end - oldest) // _NEWEST_PART
    rows = [row for course in courses for row in course.buckets.values()]
    older = sum(row.events for row in rows if row.last < edge)
    return edge if older >= _OLDER_EVENTS else None


def _bursts(course: _Course, bucket: int) -> Iterator[Unusual]:
    """The highest bucket of each run of buckets that are far above the usual."""
    usual, most = _usual(course)
    highest: Unusual | None = None
    reached = 0
    for place, row in sorted(course.buckets.items()):
        if row.events < _BURST_EVENTS or row.events <= most:
            continue
        if highest is not None and reached != place - bucket:
            yield highest
            highest = None
        if highest is None or highest.count < row.events:
            highest = _told("burst", course, place, row.events, usual)
        reached = place
    if highest is not None:
        yield highest


def _usual(course: _Course) -> tuple[float, float]:
    """The usual of a name, and the most that is not far above it.

    Whichever bucket is left out, if it is that high, what is left has the same median
    and the same high one.
    """
    others = sorted(row.events for row in course.buckets.values())[:-1]
    usual = high = 0.0
    if len(others) >= _USUAL_BUCKETS:
        usual = (others[(len(others) - 1) // 2] + others[len(others) // 2]) / 2
        high = others[ceil(_HIGH * len(others)) - 1]
    deviation = max((high - usual) / _HIGH_DEVIATIONS, sqrt(usual), 1.0)
    most = max(_BURST_TIMES * usual, usual + _BURST_DEVIATIONS * deviation)
    return usual, most


def _silences(course: _Course, end: int) -> Iterator[Unusual]:
    is_regular = (
        course.count >= _REGULAR_EVENTS and len(course.buckets) >= _REGULAR_BUCKETS
    )
    silent, came = end - course.last, course.last - course.first
    if is_regular and _SILENT_PAUSES * _longest_pause(course) < silent <= came:
        expected = round((course.count - 1) * silent / came, 1)
        yield _told("silence", course, course.last, 0, expected)


def _longest_pause(course: _Course) -> int:
    """The longest that a name can have paused; within a bucket it is not known."""
    rows = [row for _, row in sorted(course.buckets.items())]
    within = max(row.last - row.first for row in rows)
    return max(within, *(after.first - row.last for row, after in pairwise(rows)))


def _told(
    kind: Literal["burst", "silence", "new"],
    course: _Course,
    at: int,
    count: int,
    expected: float,
) -> Unusual:
    return Unusual(
        kind=kind, name=course.name, at=to_datetime(at), count=count, expected=expected
    )
