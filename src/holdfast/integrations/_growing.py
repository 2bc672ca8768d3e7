"""A session that begins with its first message, through either face of a store.

Answers for: reading all of it, adding to it, emptying it, whether it is there or not;
having one of its messages again.
Leaves to others: what its messages are (each framework's module).
Always holds: what one call adds is one transaction.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, TypeAlias

from holdfast.astore import AsyncStore
from holdfast.edges import id_of
from holdfast.errors import NotFound
from holdfast.kinds.session_records import Message
from holdfast.store import Store
from holdfast.transaction import OpenTransaction

Drafts: TypeAlias = Sequence[dict[str, Any]]


class Growing:
    """A session by its id. What another process adds to it is seen at once."""

    def __init__(self, store: Store | AsyncStore, id: str) -> None:
        self.id = id_of(id, "session_id")
        self._store = store

    def messages(self) -> list[Message]:
        """Every message, oldest first; none if the session is not there."""
        try:
            return list(self._sync.sessions.history(self.id))
        except NotFound:
            return []

    async def amessages(self) -> list[Message]:
        """As `messages`, awaited."""
        try:
            return [m async for m in self._aio.sessions.history(self.id)]
        except NotFound:
            return []

    def extend(self, drafts: Drafts) -> None:
        """Add messages at the end, all of them or none; begin the session if need be.

        Raises `AlreadyExists` (an id, with other content), `TooLarge`, `Held`.
        """
        if not drafts:
            return
        try:
            self._sync.sessions.extend(self.id, drafts)
        except NotFound:
            self._sync.run(begin, self.id, drafts)

    async def aextend(self, drafts: Drafts) -> None:
        """As `extend`, awaited."""
        if not drafts:
            return
        try:
            await self._aio.sessions.extend(self.id, drafts)
        except NotFound:
            await self._aio.run(begin, self.id, drafts)

    def clear(self) -> None:
        """Take all messages off. Raises `Held`."""
        with suppress(NotFound):
            self._sync.sessions.clear(self.id)

    async def aclear(self) -> None:
        """As `clear`, awaited."""
        with suppress(NotFound):
            await self._aio.sessions.clear(self.id)

    @cached_property
    def _sync(self) -> Store:
        return self._store if isinstance(self._store, Store) else self._store.sync

    @cached_property
    def _aio(self) -> AsyncStore:
        return self._store.aio if isinstance(self._store, Store) else self._store


def begin(tx: OpenTransaction, id: str, drafts: Drafts) -> None:
    """Add to a session that was not there before; another may have begun it since."""
    try:
        tx.sessions.get(id)
    except NotFound:
        tx.sessions.create(id=id)
    tx.sessions.extend(id, drafts)


def copied(message: Message) -> dict[str, Any]:
    """A message as `sessions.extend` takes it, to be there again as it was."""
    return {
        "id": message.id,
        "role": message.role,
        "content": message.content,
        "metadata": message.metadata,
        "created_at": message.created_at,
        "partial": message.partial,
    }
