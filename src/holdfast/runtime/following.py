"""Following: waiting for what the journal gets next.

Answers for: iterators over changes that do not end, sync and async, and named followers
that keep their cursor with their effects.
Leaves to others: noticing a commit (the engine's `watch`), reading it (the journal).
Always holds: no change is passed over, and none is given twice to one iterator.
"""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from holdfast.changes import Change
from holdfast.engine import Engine
from holdfast.errors import Closed
from holdfast.journal import Stretch

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore
    from holdfast.store import Store
    from holdfast.transaction import OpenTransaction

_PAGE = 200
Effect: TypeAlias = Callable[["OpenTransaction", tuple[Change, ...]], object]
"""What a named follower does with changes, in the transaction that moves its cursor."""


def follow(
    stretch: Callable[[int], Stretch], after: int, engine: Engine
) -> Iterator[Change]:
    """Changes after a `seq`, and then those to come, until the store is closed."""
    woken = threading.Event()
    stop = engine.watch(woken.set)
    try:
        while True:
            found = stretch(after)
            yield from found.changes
            if found.reached == after:
                woken.wait()
                woken.clear()
            after = found.reached
    except Closed:
        return
    finally:
        stop()


async def follow_async(
    stretch: Callable[[int], Awaitable[Stretch]],
    after: int,
    engine: Engine,
) -> AsyncIterator[Change]:
    """As `follow`, awaited."""
    import asyncio  # noqa: PLC0415  # it loads slowly, and not everyone needs it

    loop = asyncio.get_running_loop()
    woken = asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # that event loop was closed: nobody waits there
            loop.call_soon_threadsafe(woken.set)

    stop = engine.watch(wake)
    try:
        while True:
            found = await stretch(after)
            for change in found.changes:
                yield change
            if found.reached == after:
                await woken.wait()
                woken.clear()
            after = found.reached
    except Closed:
        return
    finally:
        stop()


class AsyncFollower:
    """As `Follower`, awaited; its effect is a plain function of `tx`."""

    def __init__(self, name: str, store: "AsyncStore") -> None:
        self.name = name
        self._store = store

    async def cursor(self) -> int:
        """The `seq` up to which it has worked."""
        return await self._store.journal.cursor(self.name)

    async def apply(
        self,
        effect: Effect,
        *,
        kinds: Iterable[str] | None = None,
        limit: int = _PAGE,
    ) -> int:
        """As `Follower.apply`."""
        place = await self.cursor()
        found = await self._store.journal.stretch(place, kinds=kinds, limit=limit)
        if found.reached == place:
            return place
        return await self._store.run(
            _applied, self.name, effect, found, actor=f"follower:{self.name}"
        )


class Follower:
    """A follower by name, whose place in the journal is kept with its effects."""

    def __init__(self, name: str, store: "Store") -> None:
        self.name = name
        self._store = store

    @property
    def cursor(self) -> int:
        """The `seq` up to which it has worked."""
        return self._store.journal.cursor(self.name)

    def apply(
        self,
        effect: Effect,
        *,
        kinds: Iterable[str] | None = None,
        limit: int = _PAGE,
    ) -> int:
        """Give the next changes to `effect(tx, changes)`; how far it has come then.

        The effects and the new place are committed together: after a crash, both are
        there or neither. Raises `Refused` if another process works under this name.
        """
        place = self.cursor
        found = self._store.journal.stretch(place, kinds=kinds, limit=limit)
        if found.reached == place:
            return place
        return self._store.run(
            _applied, self.name, effect, found, actor=f"follower:{self.name}"
        )


def _applied(tx: "OpenTransaction", name: str, effect: Effect, found: Stretch) -> int:
    if found.changes:
        effect(tx, found.changes)
    return tx.journal.advance(name, found.reached)
