"""Toolsets as an async store shows them: the same calls, awaited.

Answers for: the async face of what `toolsets` has; a `make` that is awaited.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from holdfast.afaces import AsyncToolsets
from holdfast.errors import NotFound
from holdfast.kinds.toolset_records import Kept, Toolset
from holdfast.runtime.cache.toolsets import (
    TRIES,
    Whose,
    is_thin,
    known,
    making_of,
    memory_of,
    whose_of,
)

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore

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
        kept = await self._known(whose)
        key = (whose, kept.toolset.digest)
        return await memory_of(store).aget(key, lambda: ask(agent, conversation))

    async def handshake(
        self,
        agent: str,
        conversation: str,
        make: Make | None = None,
        *,
        whole: bool = False,
    ) -> Toolset:
        """As `store.toolsets.handshake`; what `make()` gives may be awaitable."""
        store, say = self._target, super().handshake
        whose = whose_of(store, agent, conversation)
        for _ in range(TRIES if whose is not None else 0):
            assert whose is not None
            try:
                kept = await self._known(whose)
                if is_thin(store, kept, whole=whole):
                    return kept.toolset
                return await say(agent, conversation, whole=whole)
            except NotFound:
                if make is None:
                    raise
            await self._make(whose, make)
        return await say(agent, conversation, whole=whole)

    async def _known(self, whose: Whose) -> Kept:
        unit = known(self._target, whose)
        future = unit.awaited(asyncio.get_running_loop())
        self._target._core.engine.post_read(unit)  # noqa: SLF001
        return await future

    async def _make(self, whose: Whose, make: Make) -> None:
        """Have tools made and put, unless another caller does it already."""

        async def put() -> Toolset:
            tools = make()
            if inspect.isawaitable(tools):
                tools = await tools
            return await self.put(whose.agent, whose.conversation, tools)

        made = making_of(self._target)
        await made.aget(whose, put)
        made.drop(whose)  # who comes from here on finds it on the disk
