"""Requests: work in memory that a checkpoint keeps, and that a crash interrupts.

Answers for: waiting for the next request, on a thread or an event loop.
Leaves to others: what is done with requests (`queue`); when they are kept and
given back (`checkpoints`); work that may not be lost or done twice, for which there are
jobs (`store.jobs`).
"""

import time
from typing import TYPE_CHECKING

from holdfast import edges
from holdfast.runtime.bus.waiting import TaskWaiter, ThreadWaiter
from holdfast.runtime.requests.queue import Queue, lane_of
from holdfast.runtime.requests.records import Request

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore
    from holdfast.store import Store


class Requests(Queue):
    """A small queue in memory, of which checkpoints keep what is not done yet.

    Of each lane one request is active at a time. What was active when the process ended
    comes back as interrupted, to be taken again under its own id, `max_attempts` times
    in all. `name` is what checkpoints call it. Raises `Refused` (the name is taken).
    """

    def __init__(
        self,
        store: "Store | AsyncStore",
        name: str = "requests",
        *,
        max_attempts: int = 3,
    ) -> None:
        super().__init__(store, name, max_attempts=max_attempts)

    def take(
        self, lane: str | None = None, *, timeout_seconds: float | None = 0.0
    ) -> Request | None:
        """The next request, of any lane or of this one, which is active from now on.

        Waits so long for one (None: without end). None if there is none.
        """
        seconds = edges.wait_of(timeout_seconds, "timeout_seconds", self._limits)
        lane = lane_of(lane)
        with self._mutex:
            found = self._next(lane)
        if found is not None or seconds == 0.0:
            return found
        return self._wait(lane, seconds)

    def _wait(self, lane: str | None, seconds: float | None) -> Request | None:
        until = None if seconds is None else time.monotonic() + seconds
        waiter = ThreadWaiter("use AsyncRequests, whose take is awaited")
        with self._mutex:
            self._waiting.append(waiter)
        try:
            while True:
                with self._mutex:
                    waiter.clear()
                    if (found := self._next(lane)) is not None:
                        return found
                left = None if until is None else until - time.monotonic()
                if not waiter.wait(left):
                    return None
        finally:
            with self._mutex:
                self._waiting.remove(waiter)


class AsyncRequests(Queue):
    """As `Requests`, for asyncio: `await requests.take()`; all else is done at once."""

    async def take(
        self, lane: str | None = None, *, timeout_seconds: float | None = None
    ) -> Request | None:
        """The next request, which is active from now on; waits so long for one."""
        seconds = edges.wait_of(timeout_seconds, "timeout_seconds", self._limits)
        lane = lane_of(lane)
        until = None if seconds is None else time.monotonic() + seconds
        waiter = TaskWaiter()
        with self._mutex:
            self._waiting.append(waiter)
        try:
            while True:
                with self._mutex:
                    waiter.clear()
                    if (found := self._next(lane)) is not None:
                        return found
                left = None if until is None else max(0.0, until - time.monotonic())
                if not await waiter.wait(left):
                    return None
        finally:
            with self._mutex:
                self._waiting.remove(waiter)
