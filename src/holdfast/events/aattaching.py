"""Attaching, for asyncio: functions that are called on an event loop, and awaited."""

import asyncio
import inspect
from contextlib import suppress

from holdfast.clock import Clock
from holdfast.events.attaching import Attachment, Callback, Tell
from holdfast.kinds.event_records import Event
from holdfast.kinds.observation_records import Observation


class AsyncAttached(Attachment):
    """A function that is called on the event loop on which it was attached."""

    def __init__(
        self, owner: str, observer: str, callback: Callback, clock: Clock, tell: Tell
    ) -> None:
        super().__init__(owner, observer, callback, clock, tell)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._task = self._loop.create_task(self._serve())

    def wake(self) -> None:
        with suppress(RuntimeError):  # that event loop was closed: nobody is told there
            self._loop.call_soon_threadsafe(self._news.set)

    async def _serve(self) -> None:
        while True:
            ended = self.ended
            while found := self.next():
                await self._call(*found)
            if ended:
                return
            await self._news.wait()
            self._news.clear()

    async def _call(self, observation: Observation, event: Event) -> None:
        try:
            given = self.callback(observation, event)
            if inspect.isawaitable(given):
                await given
        except asyncio.CancelledError as error:
            if self._task.cancelling():
                raise
            self.went(observation, event, error)
        except (Exception, SystemExit) as error:
            self.went(observation, event, error)
        else:
            self.went(observation, event, None)
