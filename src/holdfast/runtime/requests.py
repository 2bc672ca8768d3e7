"""Requests: work in memory that a checkpoint keeps, and that a crash interrupts.

Answers for: a small queue, in which of each lane one request is active at a time; what
was active or waited when its process ended comes back in the next, under its own ids.
Leaves to others: when that is kept and given back (`checkpoints`); work that may not be
lost or done twice, for which there are jobs (`store.jobs`).
Always holds: an id is there once. What was active comes back as interrupted, before all
that waited, and no more than so many times.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from holdfast import codec, edges
from holdfast.clock import Clock, to_datetime, to_us, uuid7
from holdfast.codec import Json
from holdfast.errors import AlreadyExists, NotFound, Refused
from holdfast.runtime.bus.waiting import TaskWaiter, ThreadWaiter, Waiter
from holdfast.runtime.checkpoints.participants import Participant
from holdfast.runtime.checkpoints.shown import SECONDS, here, joined

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore
    from holdfast.limits import Limits
    from holdfast.store import Store


class RequestStatus(StrEnum):
    """How a request stands."""

    QUEUED = "queued"
    """It waits for its turn."""
    ACTIVE = "active"
    """Somebody has taken it."""
    INTERRUPTED = "interrupted"
    """It was active when its process ended, and is the next to be taken."""
    FAILED = "failed"
    """It was interrupted too often, or given up; nobody is given it."""


_OPEN = (RequestStatus.INTERRUPTED, RequestStatus.QUEUED)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be done. `attempt` counts how often it was taken."""

    id: str
    lane: str
    body: Any
    status: RequestStatus
    attempt: int
    created_at: datetime
    error: str | None = None


class Queue:
    """Requests in memory, which checkpoints of a store keep."""

    def __init__(
        self,
        store: "Store | AsyncStore",
        name: str = "requests",
        *,
        max_attempts: int = 3,
    ) -> None:
        core, terms = here(store._core, store._terms)  # noqa: SLF001
        self._limits: Limits = core.limits
        self._clock: Clock = core.clock
        self._most = edges.count_of(max_attempts, "max_attempts", core.limits)
        self._mutex = threading.Lock()
        self._requests: dict[str, Request] = {}
        """All that are not done, in the order in which they are taken."""
        self._waiting: deque[Waiter] = deque()
        self.name = edges.id_of(name, "name")
        participant = Participant(self.name, self._collect, self._restore, SECONDS)
        self._leave: Callable[[], None] = joined(core, terms, participant)

    def put(
        self, body: Json = None, *, id: str | None = None, lane: str = ""
    ) -> Request:
        """Have something done, behind all that waits in its lane.

        An id that is there, with the same lane and body, is given back as it stands.
        Raises `AlreadyExists` (with others), `NotStorable`, `TooLarge`.
        """
        now = self._clock.now_us()
        wanted = Request(
            id=uuid7(now, self._clock.chance())
            if id is None
            else edges.id_of(id, "id"),
            lane=edges.owner_of(lane, "lane"),
            body=codec.value_of(edges.document_of(body, "body", self._limits)),
            status=RequestStatus.QUEUED,
            attempt=0,
            created_at=to_datetime(now),
        )
        with self._mutex:
            there = self._requests.setdefault(wanted.id, wanted)
            if (there.lane, there.body) != (wanted.lane, wanted.body):
                raise AlreadyExists("request", wanted.id, instead="use another id")
            self._wake()
        return there

    def complete(self, id: str) -> Request:
        """Say that a request is done: it is forgotten. Raises `NotFound`, `Refused`."""
        with self._mutex:
            found = self._taken(id)
            del self._requests[id]
            self._wake()
        return found

    def release(self, id: str) -> Request:
        """Give a request back that was not done: it is the next of its lane.

        Raises `NotFound`, `Refused` (nobody has taken it).
        """
        with self._mutex:
            found = replace(self._taken(id), status=RequestStatus.QUEUED)
            rest = {k: v for k, v in self._requests.items() if k != id}
            self._requests = {id: found, **rest}
            self._wake()
        return found

    def fail(self, id: str, error: str) -> Request:
        """Say that a request cannot be done, and why: it is kept, and not given again.

        Raises `NotFound`, `Refused` (nobody has taken it).
        """
        said = edges.text_of(error, "error", self._limits)
        with self._mutex:
            there = self._taken(id)
            found = replace(there, status=RequestStatus.FAILED, error=said)
            self._requests[id] = found
            self._wake()
        return found

    def retry(self, id: str) -> Request:
        """Have one done that failed, behind all that wait; its attempts count anew.

        Raises `NotFound`, `Refused` (it has not failed).
        """
        with self._mutex:
            there = self._found(id)
            if there.status is not RequestStatus.FAILED:
                raise Refused(
                    f"request {id!r} is {there.status.value}: nothing was done"
                )
            del self._requests[id]
            found = replace(there, status=RequestStatus.QUEUED, attempt=0, error=None)
            self._requests[id] = found
            self._wake()
        return found

    def drop(self, id: str) -> bool:
        """Forget a request, whatever became of it; whether it was there."""
        with self._mutex:
            there = self._requests.pop(id, None)
            self._wake()
        return there is not None

    def get(self, id: str) -> Request:
        """A request that is not done yet. Raises `NotFound`."""
        with self._mutex:
            return self._found(id)

    def list(
        self, *, lane: str | None = None, status: str | None = None
    ) -> tuple[Request, ...]:
        """Requests that are not done yet, in the order in which they are taken."""
        wanted = None if status is None else RequestStatus(status)
        with self._mutex:
            found = tuple(self._requests.values())
        return tuple(
            one
            for one in found
            if lane in {None, one.lane} and wanted in {None, one.status}
        )

    def __len__(self) -> int:
        return len(self._requests)

    def close(self) -> None:
        """Take part in checkpoints no more; what is in memory is given up."""
        self._leave()
        with self._mutex:
            self._requests.clear()
            self._wake()

    def _next(self, lane: str | None) -> Request | None:
        """Make the next one active whose lane is free. With the mutex held."""
        busy = {
            one.lane
            for one in self._requests.values()
            if one.status is RequestStatus.ACTIVE
        }
        for status in _OPEN:
            for one in self._requests.values():
                fits = one.status is status and lane in {None, one.lane}
                if fits and one.lane not in busy:
                    found = replace(
                        one, status=RequestStatus.ACTIVE, attempt=one.attempt + 1
                    )
                    self._requests[one.id] = found
                    return found
        return None

    def _wake(self) -> None:
        """Have everyone look who waits for a request."""
        for waiter in self._waiting:
            waiter.wake()

    def _found(self, id: str) -> Request:
        found = self._requests.get(id)
        if found is None:
            raise NotFound("request", id)
        return found

    def _taken(self, id: str) -> Request:
        found = self._found(id)
        if found.status is not RequestStatus.ACTIVE:
            raise Refused(
                f"request {id!r} is {found.status.value}, and nobody has taken it; "
                "nothing was done: take it first"
            )
        return found

    # As a participant.

    def _collect(self) -> Json:
        with self._mutex:
            found = tuple(self._requests.values())
        return [_data_of(one) for one in found]

    def _restore(self, data: Any) -> None:
        """Take back what was in memory, before what has come since."""
        back = [self._again(_request_of(one)) for one in data]
        with self._mutex:
            new = self._requests
            old = _in_order(one for one in back if not _begun(new.get(one.id)))
            self._requests = {**old, **{k: v for k, v in new.items() if k not in old}}
            self._wake()

    def _again(self, one: Request) -> Request:
        """A request as it is in a later process."""
        if one.status is not RequestStatus.ACTIVE:
            return one
        if one.attempt < self._most:
            return replace(one, status=RequestStatus.INTERRUPTED)
        said = f"its process ended during each of {one.attempt} attempts"
        return replace(one, status=RequestStatus.FAILED, error=said)


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


def _begun(one: Request | None) -> bool:
    """Whether a request is there that was taken since; else the older one goes on."""
    return one is not None and one.attempt > 0


def _in_order(found: Iterable[Request]) -> dict[str, Request]:
    """Those that were interrupted first."""
    whole = sorted(found, key=lambda one: one.status is not RequestStatus.INTERRUPTED)
    return {one.id: one for one in whole}


def _data_of(one: Request) -> dict[str, Any]:
    """A request as a checkpoint keeps it."""
    found = msgspec.structs.asdict(one)
    return {**found, "status": one.status.value, "created_at": to_us(one.created_at)}


def _request_of(data: dict[str, Any]) -> Request:
    """A request as a checkpoint has kept it."""
    return Request(
        **{
            **data,
            "status": RequestStatus(data["status"]),
            "created_at": to_datetime(data["created_at"]),
        }
    )
