"""The line: publishers who wait for room.

Answers for: giving a message as soon as all whom it is for have room, or saying that
they had none in time; a publisher's place before the box that holds its message back.
Leaves to others: who gets what, and which box holds it back (hub).
Always holds: whoever leaves the line has the next one go on if there is room.
"""

from contextlib import suppress
from typing import Any

from holdfast.patience import Patience
from holdfast.runtime.bus.boxes import Box
from holdfast.runtime.bus.hub import Hub
from holdfast.runtime.bus.messages import Parcel
from holdfast.runtime.bus.waiting import TaskWaiter, ThreadWaiter

_AGAIN_SECONDS = 0.5
"""Who waits for room looks again so often: the first in line may not go on."""


def put(hub: Hub, parcel: Parcel, seconds: float | None, instead: str) -> int:
    """Give a message to all whom it is for, and say how many; waits for room.

    Raises `Busy`, `Refused`, `Closed`; `Refused` says what to do `instead` where an
    event loop would wait.
    """
    taken = hub.offered(parcel)
    if isinstance(taken, int):
        return taken
    if seconds == 0:
        raise taken.busy(seconds)
    place = _Place(hub, parcel, ThreadWaiter(instead))
    patience = Patience(seconds)
    try:
        while not isinstance(taken := place.offered(), int):
            place.waiter.wait(_for_now(patience, taken))
    finally:
        place.leave()
    return taken


async def aput(hub: Hub, parcel: Parcel, seconds: float | None) -> int:
    """As `put`, awaited."""
    taken = hub.offered(parcel)
    if isinstance(taken, int):
        return taken
    if seconds == 0:
        raise taken.busy(seconds)
    place = _Place(hub, parcel, TaskWaiter())
    patience = Patience(seconds)
    try:
        while not isinstance(taken := place.offered(), int):
            await place.waiter.wait(_for_now(patience, taken))
    finally:
        place.leave()
    return taken


class _Place:
    """A publisher's place in the line before the box that holds its message back."""

    def __init__(self, hub: Hub, parcel: Parcel, waiter: Any) -> None:
        self.waiter = waiter
        self._hub = hub
        self._parcel = parcel
        self._box: Box[Any] | None = None

    def offered(self) -> "int | Box[Any]":
        """How many took it, or the box to wait for."""
        with self._hub.mutex:
            while True:
                self.waiter.clear()
                taken = self._hub.offer(self._parcel)
                if isinstance(taken, int):
                    return taken
                if self.waiter not in taken.line:
                    self._step_out()
                    self._box = taken
                    taken.line.append(self.waiter)
                if taken.is_full():  # still: a subscriber takes without the lock
                    return taken

    def leave(self) -> None:
        """Wait no more; the next in line goes on if there is room."""
        with self._hub.mutex:
            self._step_out()

    def _step_out(self) -> None:
        if self._box is not None:
            with suppress(ValueError):
                self._box.line.remove(self.waiter)
            self._box.make_way()
            self._box = None


def _for_now(patience: Patience, box: Box[Any]) -> float:
    """How long to wait for room before one looks again. Raises `Busy`."""
    left = patience.left()
    if left is None:
        return _AGAIN_SECONDS
    if left == 0:
        raise box.busy(patience.seconds or 0)
    return min(left, _AGAIN_SECONDS)
