"""Making: who makes a value that is not there, and who waits for that.

Answers for: one making of each key at a time, for threads and tasks alike; what becomes
of one that raises, or whose maker goes away.
Leaves to others: waiting (`flights`), what is kept of it (`keeping`), what outdates it
(`news`).
Always holds: what a making raises, all who wait for it are given; a maker who was
interrupted, cancelled or refused leaves it to one of them.
"""

import inspect
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar, cast

from holdfast.errors import WrongType
from holdfast.patience import Patience
from holdfast.runtime.cache.flights import Flight, making
from holdfast.runtime.cache.keeping import Keeping
from holdfast.runtime.cache.shelf import Entry
from holdfast.runtime.cache.topics import Wanted

V = TypeVar("V")


class Making(Keeping[V]):
    """The makings of one cache."""

    _owner = ""
    _of: Callable[[object], Wanted] | None = None
    """What outdates a key's value, where each has its own."""

    def _asked(self, key: Hashable, make: Callable[[], V], patience: Patience) -> V:
        """The value of a key that is not there: made here, or waited for."""
        while True:
            flight = Flight(self._flights, key)
            try:
                ahead = self._begun(key, flight)
                if isinstance(ahead, Entry):
                    return ahead.value
                if ahead is None:
                    return self._made(flight, make)
            except BaseException:
                self._left(flight)
                raise
            ahead.wait(patience)
            if not ahead.left:
                return cast("V", ahead.outcome())
            if self._news is not None:
                self._news.look()

    async def _aasked(
        self, key: Hashable, make: Callable[[], V | Awaitable[V]], patience: Patience
    ) -> V:
        """As `_asked`, awaited."""
        while True:
            flight = Flight(self._flights, key)
            try:
                ahead = self._begun(key, flight)
                if isinstance(ahead, Entry):
                    return ahead.value
                if ahead is None:
                    return await self._amade(flight, make)
            except BaseException:
                self._left(flight)
                raise
            await ahead.await_end(patience)
            if not ahead.left:
                return cast("V", ahead.outcome())
            if self._news is not None:
                await self._news.alook()

    def _made(self, flight: Flight, make: Callable[[], V]) -> V:
        """Make a value, and keep it; end the flight in whichever way it ends."""
        with making(flight):
            try:
                if self._news is not None and (wanted := self._wanted(flight.key)):
                    owner = self._whose(flight.key)
                    self._depend(flight, self._news.look_for(wanted, owner))
                value = make()
                _refuse_awaitable(value)
            except Exception as error:
                self._failed(flight, error)
                raise
        self._landed(flight, value)
        return value

    async def _amade(self, flight: Flight, make: Callable[[], V | Awaitable[V]]) -> V:
        """As `_made`, awaited."""
        with making(flight):
            try:
                if self._news is not None and (wanted := self._wanted(flight.key)):
                    owner = self._whose(flight.key)
                    self._depend(flight, await self._news.alook_for(wanted, owner))
                made = make()
                value = cast("V", await made if inspect.isawaitable(made) else made)
            except Exception as error:
                self._failed(flight, error)
                raise
        self._landed(flight, value)
        return value

    def _wanted(self, key: Hashable) -> Wanted | None:
        return None if self._of is None else self._of(key)

    def _whose(self, key: Hashable) -> str:
        """The owner of what outdates a key's value."""
        return self._owner


def _refuse_awaitable(value: object) -> None:
    """Raises `WrongType` for what only an event loop can make of it."""
    if inspect.iscoroutine(value):
        value.close()
        raise WrongType(
            "make: it gives a coroutine, which nobody awaits here; nothing was kept: "
            "use await cache.aget"
        )
