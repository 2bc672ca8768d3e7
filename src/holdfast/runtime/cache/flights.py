"""Flights: a value that is being made, and all who wait for it.

Answers for: waiting for another's making, as a thread or as a task; what those who
wait are given; refusing a making that would wait for itself.
Leaves to others: what is kept of it, and for how long (`shelf`, `cache`).
Always holds: who waits is woken once the flight has ended, in whichever way; two
flights never wait for each other.

What is being made around a call is known by its context, which tasks take from the one
that made them: so a making that asks for its own key is found through them, too.
"""

import os
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from holdfast.errors import Refused, TimedOut
from holdfast.patience import Patience
from holdfast.runtime.bus.waiting import TaskWaiter, ThreadWaiter, Waiter, renew

if TYPE_CHECKING:
    from types import TracebackType

    from holdfast.runtime.cache.dependents import Dependent

_SHOWN_CHARACTERS = 100
_mutex = threading.RLock()
"""Held while flights of any cache end, or are waited for."""


class Flight:
    """One making of a value, until it has ended."""

    __slots__ = (
        "_raised_at",
        "_waiters",
        "dependent",
        "done",
        "error",
        "home",
        "key",
        "left",
        "value",
        "waits_for",
    )

    def __init__(self, home: object, key: Hashable) -> None:
        self.home = home
        """What tells one cache's flights from another's."""
        self.key = key
        self.dependent: Dependent | None = None
        """What stands for it where changes are looked at."""
        self.done = False
        self.left = False
        """Whether its maker went away without a value or an error."""
        self.value: Any = None
        self.error: Exception | None = None
        self.waits_for: list[Flight] = []
        """Which flights its making waits for, or goes on within it."""
        self._raised_at: TracebackType | None = None
        self._waiters: dict[Waiter, None] = {}

    def land(self, value: Any) -> None:
        """End it with a value."""
        self.value = value
        self._end()

    def fail(self, error: Exception) -> None:
        """End it with an error, which all who wait are given."""
        self.error, self._raised_at = error, error.__traceback__
        self._end()

    def leave(self) -> None:
        """End it with nothing, unless it has ended: one of those who wait makes it."""
        if not self.done:
            self.left = True
        self._end()  # again, where whoever ended it was interrupted in that

    def outcome(self) -> Any:
        """The value, or the error raised."""
        if self.error is not None:
            raise self.error.with_traceback(self._raised_at)
        return self.value

    def wait(self, patience: Patience) -> None:
        """Wait, as a thread, until it has ended. Raises `TimedOut`, `Refused`."""
        self._refuse_circle()
        waiter = ThreadWaiter("await cache.aget")
        with self._joined(waiter):
            if not waiter.wait(patience.left()):
                raise self._too_long(patience)

    async def await_end(self, patience: Patience) -> None:
        """As `wait`, as a task."""
        waiter = TaskWaiter()
        with self._joined(waiter):
            if not await waiter.wait(patience.left()):
                raise self._too_long(patience)

    def _end(self) -> None:
        with _mutex:
            self.done = True
            for waiter in self._waiters:
                waiter.wake()
            self._waiters.clear()

    @contextmanager
    def _joined(self, waiter: Waiter) -> Iterator[None]:
        around = _around()
        with _mutex:
            self._refuse_circle()
            if self.done:
                waiter.wake()
            else:
                self._waiters[waiter] = None
            if around:
                around[-1].waits_for.append(self)
        try:
            yield
        finally:
            with _mutex:
                self._waiters.pop(waiter, None)
                if around:
                    around[-1].waits_for.remove(self)

    def _refuse_circle(self) -> None:
        """Raise `Refused` where waiting for it would be waiting for oneself."""
        around = _around()
        if not around:
            return
        self.refuse_within(around)
        seen: list[Flight] = []
        with _mutex:
            ahead = list(self.waits_for)
        while ahead:
            one = ahead.pop()
            if one in around:
                raise Refused(
                    f"the making of {shown(one.key)} asks for {shown(self.key)}, whose "
                    f"making waits for {shown(one.key)}: each would wait for ever; "
                    "nothing was kept: have one of them made without the other"
                )
            if one not in seen and not one.done:
                seen.append(one)
                ahead += one.waits_for

    def refuse_within(self, around: "tuple[Flight, ...]") -> None:
        """Raise `Refused` where its key is being made around this call already."""
        if any(one.home is self.home and one.key == self.key for one in around):
            raise Refused(
                f"the making of {shown(self.key)} asks for {shown(self.key)} itself, "
                "and would wait for ever; nothing was kept: have it make the value "
                "without this cache"
            )

    def _too_long(self, patience: Patience) -> TimedOut:
        return TimedOut(
            f"{shown(self.key)} is being made by another call, which has not come to "
            f"an end within {patience.seconds or 0:g} s; it goes on: wait longer, or "
            "see what keeps it"
        )


_making: ContextVar[tuple[Flight, ...]] = ContextVar("holdfast_making", default=())


def _around() -> tuple[Flight, ...]:
    """The flights within which this call is made, the innermost last."""
    return tuple(flight for flight in _making.get() if not flight.done)


@contextmanager
def making(flight: Flight) -> Iterator[None]:
    """Know, in this block and in the tasks that it makes, what is being made."""
    around = _around()
    flight.refuse_within(around)
    token = _making.set((*around, flight))
    if around:
        with _mutex:
            around[-1].waits_for.append(flight)
    try:
        yield
    finally:
        with suppress(ValueError):  # a task that was lost is closed in another context
            _making.reset(token)
        if around:
            with _mutex:
                around[-1].waits_for.remove(flight)


def shown(key: Hashable) -> str:
    """A key in an error's message, cut where it is long."""
    text = repr(key)
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    return f"{text[:_SHOWN_CHARACTERS]}…"


os.register_at_fork(after_in_child=lambda: renew(_mutex))
