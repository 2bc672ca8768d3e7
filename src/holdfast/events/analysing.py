"""Analysing: what an observation saw in a span of time, and what it did not.

Answers for: counting by name, source and minute, the longest pauses, and which of what
concerned it was outside of its share, or came too fast.
Leaves to others: reading events (`runtime/observations`).
Always holds: an observation is taken as it is now, whatever it was in that span.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from holdfast.events.observing import in_share
from holdfast.kinds.event_records import Event
from holdfast.kinds.observation_records import Observation

_PAUSES = 5


class Pause(msgspec.Struct, frozen=True):
    """From one event that was seen to the next."""

    since: datetime
    until: datetime

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.until - self.since).total_seconds()


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """What an observation saw in a span of time.

    By name, by source ("" for none), by minute in their order; `pauses` are the longest
    between two that were seen, the longest first. Of the events that concerned it,
    `unsampled` were outside of its share, and `limited` came too fast. `failed` counts
    attached functions that raised, in any process, and `opened` their circuits.
    """

    observation: str
    since: datetime
    until: datetime
    seen: int
    unsampled: int
    limited: int
    failed: int
    opened: int
    by_name: dict[str, int]
    by_source: dict[str, int]
    by_minute: dict[datetime, int]
    pauses: tuple[Pause, ...]


class _Tally:
    """What was seen, counted one by one in the order of time."""

    def __init__(self) -> None:
        self.seen = 0
        self.names: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.minutes: Counter[datetime] = Counter()
        self.pauses: list[Pause] = []
        self._last: datetime | None = None

    def add(self, event: Event) -> None:
        """Count one more."""
        self.seen += 1
        self.names[event.name] += 1
        self.sources[event.source or ""] += 1
        self.minutes[event.at.replace(second=0, microsecond=0)] += 1
        if self._last is not None and event.at > self._last:
            self.pauses.append(Pause(self._last, event.at))
            if len(self.pauses) > 10 * _PAUSES:
                self.pauses = self.longest
        self._last = event.at

    @property
    def longest(self) -> list[Pause]:
        """The longest pauses, the longest first."""
        by_length = sorted(self.pauses, key=_length, reverse=True)
        return by_length[:_PAUSES]


def analysed(
    observation: Observation,
    since: datetime,
    until: datetime,
    seen: Iterable[Event],
    concerned: Iterable[Event],
    *,
    failed: int = 0,
    opened: int = 0,
) -> Analysis:
    """What an observation saw, of what concerned it; both in the order of time."""
    tally, unsampled, limited = _Tally(), 0, 0
    rest = iter(seen)
    ahead = next(rest, None)
    for event in concerned:
        place = place_of(event)
        while ahead is not None and place_of(ahead) < place:
            tally.add(ahead)
            ahead = next(rest, None)
        if ahead is not None and place_of(ahead) == place:
            tally.add(ahead)
            ahead = next(rest, None)
        elif in_share(*place, observation.sampling_rate):
            limited += 1
        else:
            unsampled += 1
    while ahead is not None:
        tally.add(ahead)
        ahead = next(rest, None)
    return Analysis(
        observation=observation.id,
        since=since,
        until=until,
        seen=tally.seen,
        unsampled=unsampled,
        limited=limited,
        failed=failed,
        opened=opened,
        by_name=dict(tally.names.most_common()),
        by_source=dict(tally.sources.most_common()),
        by_minute=dict(sorted(tally.minutes.items())),
        pauses=tuple(tally.longest),
    )


def place_of(event: Event) -> tuple[int, int]:
    """When an event was, and who wrote it, as its id says."""
    at, writer = event.id.split("-")
    return int(at, 16), int(writer, 16)


def _length(pause: Pause) -> timedelta:
    return pause.until - pause.since
