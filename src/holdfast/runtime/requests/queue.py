"""The queue of requests: what is done with them, but for waiting for one.

Answers for: the order in which requests are taken, one of each lane at a time; what of
them a checkpoint keeps, and how that comes back.
Leaves to others: waiting for the next one (`requests`), what a request is
(`records`).
Always holds: an id is there once. What was active comes back as interrupted, before all
that waited, and no more than so many times. All of it can be collected at any moment,
whatever a thread was amid.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from holdfast import codec, edges
from holdfast.clock import Clock, to_datetime, uuid7
from holdfast.codec import Json
from holdfast.errors import AlreadyExists, NotFound, Refused, WrongType
from holdfast.runtime.checkpoints.participants import Participant
from holdfast.runtime.checkpoints.shown import SECONDS, here, joined
from holdfast.runtime.requests.records import (
    Request,
    RequestStatus,
    data_of,
    request_of,
)

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore
    from holdfast.limits import Limits
    from holdfast.runtime.bus.waiting import Waiter
    from holdfast.store import Store

_OPEN = {RequestStatus.INTERRUPTED, RequestStatus.QUEUED}
_status_of = edges.member_of(RequestStatus)


class Queue:
    """Requests in memory, which checkpoints of a store keep."""

    def __init__(
        self,
        store: "Store | AsyncStore",
        name: str = "requests",
        *,
        max_attempts: int = 3,
    ) -> None:
        if not hasattr(store, "_core"):
            raise edges.wrong_type("store", "a store", store)
        core, terms = here(store._core, store._terms)  # noqa: SLF001
        self._limits: Limits = core.limits
        self._clock: Clock = core.clock
        self._most = _attempts_of(max_attempts, core.limits)
        self._mutex = threading.RLock()  # a signal's handler may come amid a call
        self._requests: dict[str, Request] = {}
        """All that are not done, in the order in which they are taken. Each change of
        it is one step, so that a checkpoint needs no lock to see all of them."""
        self._busy: set[str] = set()
        """The lanes of which a request is active."""
        self._back: set[str] = set()
        """Those that were in memory in an earlier process."""
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
            self._free(found)
        return found

    def release(self, id: str) -> Request:
        """Give a request back that was not done: it is the next of its lane.

        Raises `NotFound`, `Refused` (nobody has taken it).
        """
        with self._mutex:
            found = replace(self._taken(id), status=RequestStatus.QUEUED)
            rest = {k: v for k, v in self._requests.items() if k != id}
            self._requests = {id: found, **rest}
            self._free(found)
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
            self._free(found)
        return found

    def retry(self, id: str) -> Request:
        """Have one done that failed, behind all that wait; its attempts count anew.

        Raises `NotFound`, `Refused` (it has not failed).
        """
        with self._mutex:
            there = self._found(id)
            if there.status is not RequestStatus.FAILED:
                raise Refused(
                    f"request {id!r} is {there.status.value}, and has not failed; "
                    "nothing was done"
                )
            found = replace(
                there,
                status=RequestStatus.QUEUED,
                attempt=0,
                error=None,
                interruptions=0,
            )
            rest = {k: v for k, v in self._requests.items() if k != id}
            self._requests = {**rest, id: found}
            self._wake()
        return found

    def drop(self, id: str) -> bool:
        """Forget a request, whatever became of it; whether it was there."""
        edges.id_of(id, "id")
        with self._mutex:
            there = self._requests.pop(id, None)
            if there is not None and there.status is RequestStatus.ACTIVE:
                self._free(there)
        return there is not None

    def get(self, id: str) -> Request:
        """A request that is not done yet. Raises `NotFound`."""
        with self._mutex:
            return self._found(id)

    def list(
        self, *, lane: str | None = None, status: str | None = None
    ) -> tuple[Request, ...]:
        """Requests that are not done yet, in the order in which they are taken."""
        wanted = None if status is None else _status_of(status, "status", self._limits)
        lane = lane_of(lane)
        return tuple(
            one
            for one in self._requests.copy().values()
            if lane in {None, one.lane} and wanted in {None, one.status}
        )

    def __len__(self) -> int:
        return len(self._requests)

    def close(self) -> None:
        """Take part in checkpoints no more; what is in memory is given up."""
        self._leave()
        with self._mutex:
            self._requests = {}
            self._busy.clear()
            self._wake()

    def _next(self, lane: str | None) -> Request | None:
        """Make the next one active whose lane is free. With the mutex held."""
        if lane in self._busy:
            return None
        for one in self._requests.values():
            fits = one.status in _OPEN and lane in {None, one.lane}
            if fits and one.lane not in self._busy:
                found = replace(
                    one, status=RequestStatus.ACTIVE, attempt=one.attempt + 1
                )
                self._requests[one.id] = found
                self._busy.add(one.lane)
                return found
        return None

    def _free(self, one: Request) -> None:
        """Let the next of a lane be taken: this one is active no more."""
        self._busy.discard(one.lane)
        self._wake()

    def _wake(self) -> None:
        """Have everyone look who waits for a request."""
        for waiter in tuple(self._waiting):
            waiter.wake()

    def _found(self, id: str) -> Request:
        found = self._requests.get(edges.id_of(id, "id"))
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
        """What is not done, without the lock: whoever has it may wait for this."""
        return [data_of(one) for one in self._requests.copy().values()]

    def _restore(self, data: Any) -> None:
        """Take back what was in memory, before what has come since.

        What came back earlier is older, and stays before it.
        """
        back = [self._again(request_of(one)) for one in data]
        with self._mutex:
            new = self._requests
            found = {id: one for id, one in new.items() if id in self._back}
            found |= {one.id: one for one in back if not _begun(new.get(one.id))}
            old = _in_order(found.values())
            self._back = set(old)
            self._requests = {**old, **{k: v for k, v in new.items() if k not in old}}
            self._wake()

    def _again(self, one: Request) -> Request:
        """A request as it is in a later process."""
        if one.status is not RequestStatus.ACTIVE:
            return one
        times = one.interruptions + 1
        if times < self._most:
            return replace(one, status=RequestStatus.INTERRUPTED, interruptions=times)
        said = f"its process ended {times} times while it was active"
        return replace(
            one, status=RequestStatus.FAILED, error=said, interruptions=times
        )


def _attempts_of(value: object, limits: "Limits") -> int:
    """How often a request may be taken: 1 or more."""
    number = edges.count_of(value, "max_attempts", limits)
    if number < 1:
        raise WrongType("max_attempts: 1 or more is wanted, not 0")
    return number


def lane_of(lane: object) -> str | None:
    """A lane, or None for all of them."""
    return None if lane is None else edges.owner_of(lane, "lane")


def _begun(one: Request | None) -> bool:
    """Whether a request is there that was taken since; else the older one goes on."""
    return one is not None and one.attempt > 0


def _in_order(found: Iterable[Request]) -> dict[str, Request]:
    """Those that were interrupted first."""
    whole = sorted(found, key=lambda one: one.status is not RequestStatus.INTERRUPTED)
    return {one.id: one for one in whole}
