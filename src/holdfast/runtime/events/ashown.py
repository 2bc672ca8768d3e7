"""Events as an async store shows them: the same calls, awaited.

Answers for: what of `store.events` is no single transaction, for asyncio.
Leaves to others: what it does (`shown`).
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast.afaces import AsyncEvents
from holdfast.codec import Json
from holdfast.engine import Work
from holdfast.errors import HoldfastError
from holdfast.events.afollowing import AsyncFollowing
from holdfast.events.exporting import EventExport
from holdfast.events.listening import AGAIN_SECONDS, Troubles
from holdfast.events.log import LogFigures
from holdfast.journal import refuse_past
from holdfast.kinds.event_records import Event, EventPolicy, EventsTrimmed
from holdfast.kinds.events import trim
from holdfast.runtime.events.shown import (
    RECENT,
    Pace,
    about_all,
    keeping,
    recent,
    refuse_no_callback,
    span_of,
    stream_of,
)

if TYPE_CHECKING:
    from os import PathLike

    from holdfast.astore import AsyncStore
    from holdfast.page import Page

T = TypeVar("T")


class AsyncStoreEvents(AsyncEvents):
    """Events as an async store shows them: with what is no single transaction."""

    _target: "AsyncStore"

    async def emit(
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
        """As `store.events.emit`; costs no more than a write to memory."""
        store = self._target
        log, terms = store._core.events, store._terms  # noqa: SLF001
        if terms.moment is not None:
            refuse_past(terms.moment)
        if log.emit(
            terms.owner, name, data, session, correlation, level, source, whole=whole
        ):
            await asyncio.to_thread(log.wait_for_room)

    async def flush(self) -> int:
        """As `store.events.flush`, on a thread of its own."""
        return await asyncio.to_thread(self._target._core.events.flush)  # noqa: SLF001

    async def keep(
        self, *, max_age_seconds: float | None = None, max_bytes: int | None = None
    ) -> EventPolicy:
        """As `store.events.keep`."""
        work = keeping(self._target._core, max_age_seconds, max_bytes)  # noqa: SLF001
        return await self._about_all(work)

    async def trim(self) -> EventsTrimmed:
        """As `store.events.trim`."""
        return await self._about_all(trim)

    async def _about_all(self, work: Work[T]) -> T:
        core, terms = self._target._core, self._target._terms  # noqa: SLF001
        unit = about_all(core, terms, work)
        return await asyncio.to_thread(core.events.write, unit)

    async def figures(self) -> LogFigures:
        """As `store.events.figures`."""
        return self._target._core.events.figures()  # noqa: SLF001

    async def recent(
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
        """As `store.events.recent`: from memory, newest first."""
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
    ) -> AsyncFollowing:
        """As `store.events.follow`: an async iterator, with `missed`.

        Without `since`, other processes' events come from the beginning of its `async
        with` block on, or else from the first `async for`.
        """
        core, terms = self._target._core, self._target._terms  # noqa: SLF001
        meant = pattern, session, correlation, source, level, where
        return AsyncFollowing(stream_of(core, terms, since, *meant))

    def on(
        self, pattern: str | Sequence[str], callback: Callable[[Event], object]
    ) -> Callable[[], None]:
        """Have a function, or a coroutine function, told of events, on this loop.

        Gives what stops it. As `store.on`.
        """
        refuse_no_callback(callback)
        return _Listener(self.follow(pattern), callback).stop

    async def replay(
        self,
        since: datetime | str,
        until: datetime | str | None = None,
        *,
        pattern: str | Sequence[str] = "*",
        session: str | None = None,
        correlation: str | None = None,
        source: str | None = None,
        speed: float | None = 1.0,
    ) -> AsyncIterator[Event]:
        """As `store.events.replay`: an async iterator."""
        log = self._target._core.events  # noqa: SLF001
        pace = Pace(speed, log.limits)
        asked = span_of(log, since, until, pattern, session, correlation, source)
        cursor: str | None = None
        while True:
            page: Page[Event] = await self.query(**asked, cursor=cursor)
            for event in page:
                if pause := pace.before(event):
                    await asyncio.sleep(pause)
                yield event
            cursor = page.cursor
            if cursor is None:
                return

    async def export_to(
        self,
        folder: "str | PathLike[str]",
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        pattern: str | Sequence[str] = "*",
    ) -> EventExport:
        """As `store.events.export_to`, on a thread of its own."""
        events = self._target.sync.events
        return await asyncio.to_thread(
            events.export_to, folder, since=since, until=until, pattern=pattern
        )


class _Listener:
    """A callback, and the task in which it is told of what comes."""

    def __init__(
        self, following: AsyncFollowing, callback: Callable[[Event], object]
    ) -> None:
        self._following = following
        self._callback = callback
        self._troubles = Troubles(callback)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def stop(self) -> None:
        """Tell it of nothing more."""
        self._following.stop()

    async def _serve(self) -> None:
        while True:
            try:
                event = await anext(self._following)
            except StopAsyncIteration:
                return
            except HoldfastError as error:
                self._troubles.reading(error)
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            self._troubles.past(self._following.missed)
            await self._call(event)

    async def _call(self, event: Event) -> None:
        try:
            result = self._callback(event)
            if inspect.isawaitable(result):
                await result
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and self._is_cancelled():
                raise
            self._troubles.raised(event)

    def _is_cancelled(self) -> bool:
        """Whether this task itself is to end, and not something that it waited for."""
        return self._task.cancelling() > 0
