"""Subscriptions: what a subscriber takes its messages from.

Answers for: taking them, one by one or by iterating, on threads and event loops.
Leaves to others: what comes (hub), in which order it waits (boxes).
Always holds: a message is given to one taker; whoever waits is woken when it ends.
"""

from collections.abc import AsyncIterator, Iterator

from holdfast import edges
from holdfast.errors import Closed, TimedOut
from holdfast.limits import Limits
from holdfast.runtime.bus.hub import Hub
from holdfast.runtime.bus.messages import BusMessage, Parcel
from holdfast.runtime.bus.routes import Member

_ASYNC = "await mine.aget(), or use async for"
_TAKEN_AT_ONCE = 100
"""How many messages a task takes before it lets others on its event loop go on."""


class Subscription:
    """A subscriber's messages, in order. Several threads or tasks may take from it.

    End it with `with`, or `close`: one that nobody takes from holds publishers back.
    """

    def __init__(self, hub: Hub, member: Member, bus: object, limits: Limits) -> None:
        self._hub = hub
        self._bus = bus
        """It is there for as long as one of its subscriptions is."""
        self._limits = limits
        self._member = member
        self._box = member.box
        self._taken = 0

    @property
    def name(self) -> str | None:
        """Whom direct messages are sent to, to reach it."""
        return self._member.name

    @property
    def patterns(self) -> tuple[str, ...]:
        """The topics that it is subscribed to."""
        return tuple(pattern.text for pattern in self._member.patterns)

    @property
    def missed(self) -> int:
        """How many messages it was not given: too many came, or before it was there."""
        return self._box.missed

    def __len__(self) -> int:
        """How many messages have come and were not taken yet."""
        return len(self._box)

    def get(self, timeout_seconds: float | None = None) -> BusMessage:
        """The next message; waits for one, or for so long.

        0 is not at all, None is without end; what has come already comes however short
        it is. Raises `TimedOut` (none came in time), `Closed` (it has ended, and all
        that had come was taken).
        """
        seconds = edges.wait_of(timeout_seconds, "timeout_seconds", self._limits)
        return _opened(self._box.get(seconds, _ASYNC))

    async def aget(self, timeout_seconds: float | None = None) -> BusMessage:
        """As `get`, awaited."""
        seconds = edges.wait_of(timeout_seconds, "timeout_seconds", self._limits)
        return _opened(await self._box.aget(seconds))

    def close(self) -> None:
        """Take part no more. What has come can still be taken."""
        self._hub.remove(self._member, "this subscription was closed")

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> "Subscription":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[BusMessage]:
        """Messages as they come, until it is closed."""
        try:
            while True:
                yield self.get()
        except Closed:
            return

    async def __aiter__(self) -> AsyncIterator[BusMessage]:
        """As they come, awaited."""
        try:
            while True:
                yield await self.aget()
                await self._let_others_on()
        except Closed:
            return

    async def _let_others_on(self) -> None:
        self._taken += 1
        if self._taken % _TAKEN_AT_ONCE == 0:
            import asyncio  # noqa: PLC0415  # it loads slowly, and not everyone needs it

            await asyncio.sleep(0)

    def __repr__(self) -> str:
        name = "" if self.name is None else f" {self.name!r}"
        return f"<holdfast.runtime.bus.Subscription{name} {self.patterns}>"


def _opened(parcel: Parcel | None) -> BusMessage:
    """The message that was waited for. Raises `TimedOut` if none came."""
    if parcel is None:
        raise TimedOut("no message came in time: wait longer, or look again")
    return parcel.opened()
