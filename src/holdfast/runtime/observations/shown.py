"""Observations as a store shows them: what they saw, and functions that are told of it.

Answers for: what of `store.observations` is no single transaction.
Leaves to others: which observations there are (`kinds.observations`), what they see
(`events.observers`).
Always holds: an observation's history is its own: one of the same id that was deleted
before has left none.
"""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from holdfast import edges
from holdfast.clock import to_datetime, to_us
from holdfast.engine import Terms
from holdfast.events.analysing import Analysis, analysed
from holdfast.events.attaching import FAILED, OPENED, Callback, ObservationState
from holdfast.events.observing import history_of
from holdfast.journal import refuse_past
from holdfast.kinds.event_records import Event
from holdfast.kinds.event_search import ALL_TIME, Span, Wanted, find
from holdfast.kinds.observation_records import (
    EVERYONE,
    OF_OBSERVATIONS,
    Observation,
)
from holdfast.kinds.observations import Observations
from holdfast.page import Page
from holdfast.patterns import Pattern, Scalar, any_of
from holdfast.runtime.events.shown import Pace

if TYPE_CHECKING:
    from holdfast.core import Core
    from holdfast.store import Store

_PAGE = 500


class StoreObservations(Observations):
    """Observations as a store shows them: with what they saw, and who is told of it."""

    _target: "Store"

    def history(
        self,
        id: str,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Event]:
        """What an observation saw, oldest first; `until` is outside.

        What this process emitted is there at once, what others did when it is on disk.
        It is kept as long as the events themselves. Raises `NotFound`, `Refused` (a
        store as of a moment).
        """
        core = self._seeing
        found = self.get(id)
        span = span_of(core, since, until)
        return page_of(core, found, span, limit, cursor)

    def replay(
        self,
        id: str,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        speed: float | None = 1.0,
    ) -> Iterator[Event]:
        """What an observation saw, in order, at the pace at which it happened.

        `speed` is how much faster; None for as fast as it can be read. Up to now, if
        `until` is not said. Raises as `history` does.
        """
        core = self._seeing
        pace = Pace(speed, core.limits)
        found = self.get(id)
        for event in every_seen(core, found, span_of(core, since, until)):
            if pause := pace.before(event):
                time.sleep(pause)
            yield event

    def analysis(
        self,
        id: str,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
    ) -> Analysis:
        """What an observation saw in a span, by name, source and minute, and what not.

        Reads all events of that span that may concern it, as it is now. Raises as
        `history` does.
        """
        core = self._seeing
        found = self.get(id)
        return analysis_of(core, found, span_of(core, since, until))

    def state(self, id: str) -> ObservationState:
        """How an observation does in this process: its circuit, and what it counted.

        Raises `NotFound`, `Refused` (a store as of a moment).
        """
        core = self._seeing
        found = self.get(id)
        return core.observers.state(found.owner, found.id, found.observer)

    def attach(self, observer: str, callback: Callback) -> Callable[[], None]:
        """Have `callback(observation, event)` called with what an observer sees.

        From now on, of all observations of that observer, those to come too, wherever
        an event was emitted: by this process at once, by others when it is on disk. It
        is called on a thread of its own, with one event at a time. If it raises 5 times
        in 5 minutes, it is left alone for a minute, then tried once. What it gives back
        stops it. Raises `Refused` (a store as of a moment), `Closed`.
        """
        core = self._seeing
        check_attached(core, observer, callback)
        made = core.observers.attach(self._target.owner, observer, callback)
        return partial(core.observers.detach, made)

    @property
    def _seeing(self) -> "Core":
        """The core of a store that is no look at the past."""
        return core_of(self._target._core, self._target._terms)  # noqa: SLF001


def core_of(core: "Core", terms: "Terms") -> "Core":
    """The core, for a call that is about what was seen. Raises `Refused`."""
    core.refuse_inside("a call about what observations saw")
    refuse_past(terms.moment)
    return core


def check_attached(core: "Core", observer: object, callback: object) -> None:
    """Check what is attached, and to whom. Raises `BadInput`."""
    edges.id_of(observer, "observer", core.limits)
    if not callable(callback):
        raise edges.wrong_type("callback", "a function of two arguments", callback)


def span_of(
    core: "Core", since: datetime | str | None, until: datetime | str | None
) -> Span:
    """From when to when, its ends checked."""
    begins, ends = 0, ALL_TIME
    if since is not None:
        begins = to_us(edges.time_of(since, "since", core.limits))
    if until is not None:
        ends = to_us(edges.time_of(until, "until", core.limits))
    return Span(since=begins, until=ends)


def page_of(
    core: "Core",
    observation: Observation,
    span: Span,
    limit: int,
    cursor: str | None = None,
) -> Page[Event]:
    """A page of what an observation saw."""
    owner, history = observation.owner, history_of(observation)
    limit = edges.page_of(limit, "limit", core.limits)
    at = Span(since=span.since, until=span.until, cursor=cursor)
    unwritten = core.observers.unwritten(observation)
    wanted = Wanted(owner=owner)
    unit = core.unit(
        lambda tx: find(tx, unwritten, wanted, at, limit, seen_by=history),
        Terms(owner=owner, beside=True),
    )
    return core.events.read(unit)


def every_seen(core: "Core", observation: Observation, span: Span) -> Iterator[Event]:
    """Everything that an observation saw in a span, up to now."""
    span = ended(core, span)
    at_once = at_once_of(core)
    return _each_page(lambda cursor: page_of(core, observation, span, at_once, cursor))


def at_once_of(core: "Core") -> int:
    """How many events are read at once, where all are."""
    return min(_PAGE, core.limits.page)


def analysis_of(core: "Core", observation: Observation, span: Span) -> Analysis:
    """What an observation saw in a span, up to now, and what it did not."""
    begun = max(span.since, _begun(core, observation))
    span = ended(core, Span(since=begun, until=span.until))
    return analysed(
        observation,
        to_datetime(span.since),
        to_datetime(span.until),
        every_seen(core, observation, span),
        _concerning(core, observation, span),
        failed=_count(core, span, _own(observation, FAILED)),
        opened=_count(core, span, _own(observation, OPENED)),
    )


def _begun(core: "Core", observation: Observation) -> int:
    """When it began to see: when it was made, or earlier, by a clock that is behind."""
    made = to_us(observation.created_at)
    return min(
        [made, *(to_us(event.at) for event in page_of(core, observation, Span(), 1))]
    )


def _concerning(core: "Core", observation: Observation, span: Span) -> Iterator[Event]:
    """Every event of a span that concerns an observation, as it is now."""
    target = observation.target
    wanted = Wanted(
        owner=observation.owner,
        pattern=any_of(map(Pattern, observation.events)),
        source=None if target == EVERYONE else target,
        where=observation.where,
    )
    for event in _every(core, span, wanted):
        if not event.name.startswith(OF_OBSERVATIONS):
            yield event


def _every(core: "Core", span: Span, wanted: Wanted) -> Iterator[Event]:
    """Every event of a span that is wanted."""

    def page_at(cursor: str | None) -> Page[Event]:
        at = Span(since=span.since, until=span.until, cursor=cursor)
        unwritten = core.events.unwritten()
        unit = core.unit(
            lambda tx: find(tx, unwritten, wanted, at, _PAGE),
            Terms(owner=wanted.owner, beside=True),
        )
        return core.events.read(unit)

    return _each_page(page_at)


def _each_page(page_at: Callable[[str | None], Page[Event]]) -> Iterator[Event]:
    cursor: str | None = None
    while True:
        page = page_at(cursor)
        yield from page
        cursor = page.cursor
        if cursor is None:
            return


def ended(core: "Core", span: Span) -> Span:
    """A span that ends now, unless it ends before."""
    return Span(since=span.since, until=min(span.until, core.events.memory.now()))


def _own(observation: Observation, name: str) -> Wanted:
    """Events that an observation tells of itself."""
    where: dict[str, Scalar] = {"id": observation.id}
    return Wanted(owner=observation.owner, pattern=Pattern(name), where=where)


def _count(core: "Core", span: Span, wanted: Wanted) -> int:
    return sum(1 for _ in _every(core, span, wanted))
