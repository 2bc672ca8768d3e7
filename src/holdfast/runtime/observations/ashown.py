"""Observations as an async store shows them: the same calls, awaited.

Answers for: what of `store.observations` is no single transaction, for asyncio;
functions that are awaited.
Leaves to others: what it does (`shown`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from holdfast.afaces import AsyncObservations
from holdfast.events.aattaching import AsyncAttached
from holdfast.events.analysing import Analysis
from holdfast.events.attaching import Callback, ObservationState
from holdfast.kinds.event_records import Event
from holdfast.page import Page
from holdfast.runtime.events.shown import Pace
from holdfast.runtime.observations.shown import (
    analysis_of,
    at_once_of,
    check_attached,
    core_of,
    ended,
    page_of,
    span_of,
)

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore
    from holdfast.core import Core


class AsyncStoreObservations(AsyncObservations):
    """Observations as an async store shows them: with what they saw."""

    _target: "AsyncStore"

    async def history(
        self,
        id: str,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Event]:
        """As `store.observations.history`: what an observation saw, oldest first."""
        core = self._seeing
        found = await self.get(id)
        span = span_of(core, since, until)
        return await asyncio.to_thread(page_of, core, found, span, limit, cursor)

    async def replay(
        self,
        id: str,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        speed: float | None = 1.0,
    ) -> AsyncIterator[Event]:
        """As `store.observations.replay`: at the pace at which it happened."""
        core = self._seeing
        pace = Pace(speed, core.limits)
        found = await self.get(id)
        span = ended(core, span_of(core, since, until))
        many, cursor = at_once_of(core), None
        while True:
            page = await asyncio.to_thread(page_of, core, found, span, many, cursor)
            for event in page:
                if pause := pace.before(event):
                    await asyncio.sleep(pause)
                yield event
            cursor = page.cursor
            if cursor is None:
                return

    async def analysis(
        self,
        id: str,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
    ) -> Analysis:
        """As `store.observations.analysis`."""
        core = self._seeing
        found = await self.get(id)
        span = span_of(core, since, until)
        return await asyncio.to_thread(analysis_of, core, found, span)

    async def state(self, id: str) -> ObservationState:
        """As `store.observations.state`: how an observation does in this process."""
        observers = self._seeing.observers
        found = await self.get(id)
        known = found.owner, found.id, found.observer
        return await asyncio.to_thread(observers.state, *known)

    async def attach(self, observer: str, callback: Callback) -> Callable[[], None]:
        """As `store.observations.attach`; what the callback gives is awaited.

        It is called on the event loop, with one event at a time.
        """
        core = self._seeing
        check_attached(core, observer, callback)
        owner, observers = self._target.owner, core.observers
        made = AsyncAttached(owner, observer, callback, core.clock, observers.tell)
        try:
            await asyncio.to_thread(observers.add, made)
        except BaseException:
            made.end()
            raise
        return partial(observers.detach, made)

    @property
    def _seeing(self) -> "Core":
        """The core of a store that is no look at the past."""
        return core_of(self._target._core, self._target._terms)  # noqa: SLF001
