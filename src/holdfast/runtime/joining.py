"""Joining, awaited: a user's transaction, whose steps run beside the event loop.

Always holds: while a step runs nobody else is on the connection, and a caller that is
cancelled waits for the step that it has begun.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from holdfast.engine import Transaction, Work

T = TypeVar("T")


class Joined:
    """A block of a user's transaction, lent to awaiting code."""

    def __init__(
        self, block: AbstractContextManager[Transaction], connection: object
    ) -> None:
        self._block = block
        lock = getattr(connection, "lock", None)
        self._mine: Any = lock if isinstance(lock, asyncio.Lock) else _Unlocked()
        self._tx: Transaction | None = None

    async def __aenter__(self) -> "Joined":
        self._tx = await self._step(self._block.__enter__)
        return self

    async def __aexit__(self, *raised: Any) -> bool | None:
        return await self._step(lambda: self._block.__exit__(*raised))

    async def do(self, work: Work[T]) -> T:
        """Run one step of the block."""
        tx = self._tx
        assert tx is not None
        return await self._step(lambda: work(tx))

    async def end(self, *, keep: bool) -> None:
        """Nothing: the block ends with `async with`, the transaction with its user."""

    async def _step(self, step: Callable[[], T]) -> T:
        async with self._mine:
            running = asyncio.ensure_future(asyncio.to_thread(step))
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                await asyncio.wait([running])
                raise


class _Unlocked(nullcontext[None]):
    """In the place of a lock, where a connection has none for tasks."""
