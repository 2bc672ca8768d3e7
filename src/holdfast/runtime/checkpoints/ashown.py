"""Checkpoints as an async store shows them: the same calls, awaited.

Answers for: what of `store.checkpoints` is no single transaction, for asyncio;
participants that are called on the event loop, and awaited.
Leaves to others: what it does (`shown`, `desk`).
Always holds: what was begun is done to its end, whether or not who awaits it is
cancelled.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast import edges
from holdfast.afaces import AsyncCheckpoints
from holdfast.kinds.checkpoint_records import (
    Answer,
    Collected,
    MemoryCheckpoint,
    Restoration,
)
from holdfast.runtime.checkpoints.participants import LoopParticipant
from holdfast.runtime.checkpoints.shielding import to_its_end
from holdfast.runtime.checkpoints.shown import (
    ASK_SECONDS,
    SECONDS,
    asked,
    checked,
    desk_of,
    here,
    joined,
    keeper_and_desk,
    reason_of,
    refuse_read_only,
)

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore
    from holdfast.core import Core
    from holdfast.engine import Terms

T = TypeVar("T")


class AsyncStoreCheckpoints(AsyncCheckpoints):
    """Checkpoints as an async store shows them: with those who take part in them."""

    _target: "AsyncStore"

    async def participant(
        self,
        name: str,
        collect: Callable[[], Any],
        restore: Callable[[Any], Any] | None = None,
        *,
        seconds: float = SECONDS,
    ) -> Callable[[], None]:
        """As `store.checkpoints.participant`; what the functions give is awaited.

        Both are called on this event loop, and cancelled after so many seconds.
        """
        core, terms = self._here
        known = checked(core, name, collect, restore, seconds)
        loop = asyncio.get_running_loop()
        return joined(core, terms, LoopParticipant(*known, loop))

    async def take(self, reason: str = "manual") -> MemoryCheckpoint | None:
        """As `store.checkpoints.take`; goes on to its end if it is cancelled."""
        core, terms = self._here
        reason = reason_of(core, reason)
        return await to_its_end(desk_of(core, terms).take, reason)

    async def collect(self) -> Collected:
        """As `store.checkpoints.collect`."""
        return await to_its_end(desk_of(*self._here).collect)

    async def restore(self, id: str | None = None) -> Restoration:
        """As `store.checkpoints.restore`; goes on to its end if it is cancelled."""
        if id is not None:
            edges.id_of(id, "id")
        return await to_its_end(desk_of(*self._here).restore, id)

    async def every(self, seconds: float) -> Callable[[], None]:
        """As `store.checkpoints.every`."""
        core, terms = self._here
        seconds = edges.seconds_of(seconds, "seconds", core.limits)
        refuse_read_only(core)
        keeper, desk = keeper_and_desk(core, terms)
        return keeper.every(desk, seconds)

    async def ask(self, *, seconds: float = ASK_SECONDS) -> tuple[Answer, ...]:
        """As `store.checkpoints.ask`."""
        core, terms = self._here
        seconds = edges.seconds_of(seconds, "seconds", core.limits)
        return await asyncio.to_thread(asked, core, terms, seconds)

    @property
    def _here(self) -> "tuple[Core, Terms]":
        """The core and terms of a store that is no look at the past."""
        return here(self._target._core, self._target._terms)  # noqa: SLF001
