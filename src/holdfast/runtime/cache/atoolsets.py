"""Toolsets as an async store shows them: the same calls, awaited.

Answers for: the async face of what `toolsets` has; a `make` that is awaited.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from holdfast.afaces import AsyncToolsets
from holdfast.engine import Unit
from holdfast.errors import NotFound
from holdfast.kinds.toolset_records import Toolset, version_of
from holdfast.runtime.cache.toolsets import (
    TRIES,
    Whose,
    described_of,
    is_thin,
    kept_of,
    making_of,
    memory_of,
    shown,
    whose_of,
)

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore

T = TypeVar("T")
_Tools: TypeAlias = Iterable[Mapping[str, Any]]
Make: TypeAlias = Callable[[], _Tools | Awaitable[_Tools]]


class AsyncStoreToolsets(AsyncToolsets):
    """Toolsets as an async store shows them: with `make`."""

    _target: "AsyncStore"

    async def get(self, agent: str, conversation: str) -> Toolset:
        """As `store.toolsets.get`: all of an agent's tools in a conversation."""
        store, ask = self._target, super().get
        whose = whose_of(store, agent, conversation)
        if whose is None:
            return await ask(agent, conversation)
        kept = await self._read(kept_of(store, whose))
        key, memory = (whose, *version_of(kept.toolset)), memory_of(store)
        read = await memory.aget(key, lambda: self._read(described_of(store, whose)))
        found = shown(kept, read)
        if found is not None:
            return found
        memory.drop(key)  # it was changed before it was read
        return await ask(agent, conversation)

    async def handshake(
        self,
        agent: str,
        conversation: str,
        make: Make | None = None,
        *,
        known: str | None = None,
        whole: bool = False,
    ) -> Toolset:
        """As `store.toolsets.handshake`; what `make()` gives may be awaitable."""
        store = self._target
        whose = whose_of(store, agent, conversation, known)
        say = partial(super().handshake, agent, conversation, known=known, whole=whole)
        if whose is None:
            return await say()
        for _ in range(TRIES):
            try:
                kept = await self._read(kept_of(store, whose))
                if is_thin(store, kept, known, whole=whole):
                    return kept.toolset
                return await say()
            except NotFound:
                if make is None:
                    raise
            await self._make(whose, make)
        return await say()

    async def _read(self, unit: Unit[T]) -> T:
        future = unit.awaited(asyncio.get_running_loop())
        self._target._core.engine.post_read(unit)  # noqa: SLF001
        return await future

    async def _make(self, whose: Whose, make: Make) -> None:
        """Have tools made and put, unless another caller does it already."""
        making = making_of(self._target)

        async def put() -> None:
            tools = make()
            if inspect.isawaitable(tools):
                tools = await tools
            await self.put(whose.agent, whose.conversation, tools)
            making.drop(whose)  # who comes from here on finds it on the disk

        await making.aget(whose, put)
