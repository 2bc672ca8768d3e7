"""LangChain: a chat's history, kept as a session; bytes by keys, kept as items.

Answers for: `HoldfastChatMessageHistory`, LangChain's chat message history.
Leaves to others: how a message is kept (`_langchain_messages`), the session itself
(`_growing`), LangChain's key-value store (`_langchain_bytes`).
Always holds: what one call adds is one transaction; a message comes back equal.
"""

from collections.abc import Sequence

from holdfast.astore import AsyncStore
from holdfast.integrations import extra
from holdfast.integrations._growing import Growing
from holdfast.integrations._langchain_bytes import HoldfastByteStore
from holdfast.integrations._langchain_messages import draft_of, message_of
from holdfast.store import Store

with extra("langchain"):
    from langchain_core.chat_history import BaseChatMessageHistory
    from langchain_core.messages import BaseMessage

__all__ = ["HoldfastByteStore", "HoldfastChatMessageHistory"]


class HoldfastChatMessageHistory(BaseChatMessageHistory):
    """The messages of a chat, on a store of either face, sync and async.

    The session begins with its first message. A message whose id is there with equal
    content is not added again; one without an id always is. Messages that others have
    added to the session are read too. Adding raises `Refused` (a class of messages that
    is not LangChain's own), `NotStorable` (a value that would not come back equal),
    `AlreadyExists` (an id, with other content), `TooLarge`, `Held`.
    """

    def __init__(self, session_id: str, store: Store | AsyncStore) -> None:
        super().__init__()
        self.session_id = session_id
        self._session = Growing(store, session_id)

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]  # read-only
        """Every message, oldest first."""
        return [message_of(message) for message in self._session.messages()]

    async def aget_messages(self) -> list[BaseMessage]:
        """Every message, oldest first, awaited."""
        return [message_of(message) for message in await self._session.amessages()]

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages at the end, all of them or none."""
        self._session.extend([draft_of(message) for message in messages])

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages at the end, all of them or none, awaited."""
        await self._session.aextend([draft_of(message) for message in messages])

    def clear(self) -> None:
        """Take all messages off; the session stays."""
        self._session.clear()

    async def aclear(self) -> None:
        """Take all messages off, awaited."""
        await self._session.aclear()
