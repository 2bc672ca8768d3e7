"""Flights: an agent that is being made, or that ends, and all who wait for that.

Answers for: what those who wait are given; refusing to wait where that would be waiting
for oneself.
Leaves to others: what is made, and who lives afterwards (`crew`).
Always holds: two flights never wait for each other.

What is made around a call is known by its context, which tasks take from the one that
made them: so a factory that asks for its own agent is found through them, too.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

from holdfast.errors import Refused

if TYPE_CHECKING:
    import asyncio

    from holdfast.runtime.agents.running import RunningAgent

Key: TypeAlias = tuple[str, str]
"""An owner, and the id of an agent."""
_mutex = threading.Lock()
"""Held while is looked, and said, who waits for whom."""


class Flight:
    """One making of an agent, or its end, and all who wait for it."""

    def __init__(self, key: Key, *loops: "asyncio.AbstractEventLoop | None") -> None:
        from concurrent.futures import Future  # noqa: PLC0415  # it loads slowly

        self.key = key
        self.loops = {loop for loop in loops if loop is not None}
        """The event loops that it goes on, if it does on any."""
        self.claimed = False
        """Whether this process has the right to run the agent by now."""
        self.doubted = False
        """Whether that right may be another's by now."""
        self.waits_for: list[Flight] = []
        """Which flights it waits for, or goes on within it."""
        self.outcome: Future[RunningAgent[Any] | None] = Future()
        self.outcome.set_running_or_notify_cancel()  # who waits cannot cancel it


_within: ContextVar[tuple[Flight, ...]] = ContextVar("holdfast_agents", default=())


def _around() -> list[Flight]:
    """The flights within which this call is made, the innermost last."""
    return [flight for flight in _within.get() if not flight.outcome.done()]


@contextmanager
def under_way(flight: Flight) -> Iterator[None]:
    """Know, in this block and in the tasks that it makes, which flight is under way."""
    with _waited_for(flight):
        token = _within.set((*_around(), flight))
        try:
            yield
        finally:
            _within.reset(token)


@contextmanager
def awaiting(flight: Flight) -> Iterator[None]:
    """A block that waits for a flight. Raises `Refused`."""
    with _waited_for(flight):
        yield


@contextmanager
def _waited_for(flight: Flight) -> Iterator[None]:
    around = _around()
    if not around:
        yield
        return
    with _mutex:
        _refuse_circle(flight, around)
        around[-1].waits_for.append(flight)
    try:
        yield
    finally:
        with _mutex:
            around[-1].waits_for.remove(flight)


def _refuse_circle(flight: Flight, around: list[Flight]) -> None:
    """Raise `Refused` where waiting for a flight would be waiting for oneself."""
    id = flight.key[1]
    if flight in around:
        raise Refused(
            f"agent {id!r} is asked for by what makes or ends it, which would wait for "
            "itself; nothing was made: use what that is given"
        )
    ahead, seen = list(flight.waits_for), set[Flight]()
    while ahead:
        one = ahead.pop()
        if one in around:
            mine = one.key[1]
            raise Refused(
                f"what makes or ends agent {mine!r} asks for agent {id!r}, which waits "
                f"for {mine!r}: each would wait for ever; nothing was made: have one "
                "of them made without the other"
            )
        if one not in seen:
            seen.add(one)
            ahead += one.waits_for


def refuse_own_loop(flight: Flight) -> None:
    """Refuse to keep the event loop waiting that a flight goes on."""
    if not flight.loops:
        return
    import asyncio  # noqa: PLC0415  # whoever has a loop has loaded it

    with suppress(RuntimeError):
        if asyncio.get_running_loop() in flight.loops:
            raise Refused(
                f"agent {flight.key[1]!r} is being made, or ends, on this event loop, "
                "which a sync call would keep waiting; nothing was made: await "
                "store.aio.agents.run"
            )


def _renew() -> None:
    global _mutex  # another thread of the parent's may hold it
    _mutex = threading.Lock()


os.register_at_fork(after_in_child=_renew)
