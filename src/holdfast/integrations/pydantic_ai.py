"""pydantic-ai: an agent's message history, kept as a session.

Answers for: `HoldfastHistory`, which gives and takes pydantic-ai's own messages.
Leaves to others: how a message is kept (`_pydantic_messages`), the session itself
(`_growing`).
Always holds: what one call adds is one transaction; what is there already is not added
again; a message comes back equal.
"""

from collections.abc import Sequence
from typing import Any

from holdfast.astore import AsyncStore
from holdfast.integrations import extra
from holdfast.integrations._growing import Growing
from holdfast.integrations._pydantic_messages import drafts_of, is_from, messages_of
from holdfast.store import Store

with extra("pydantic-ai"):
    from pydantic_ai.messages import ModelMessage

__all__ = ["HoldfastHistory"]


class HoldfastHistory:
    """The messages of an agent's runs, on a store of either face, sync and async.

    `agent.run_sync(prompt, message_history=history.messages())`, and after it
    `history.extend(result.new_messages())`. The session begins with its first message.
    Messages that others have added to the session are read too.
    """

    def __init__(self, store: Store | AsyncStore, session_id: str) -> None:
        self.session_id = session_id
        self._session = Growing(store, session_id)

    def messages(self) -> list[ModelMessage]:
        """Every message, oldest first."""
        return messages_of(self._session.messages())

    async def amessages(self) -> list[ModelMessage]:
        """Every message, oldest first, awaited."""
        return messages_of(await self._session.amessages())

    def extend(self, messages: Sequence[ModelMessage]) -> None:
        """Add messages at the end, all of them or none; what is there is left out.

        So it can be told of all messages of a run again and again, after each step of
        it. Raises `NotStorable`, `TooLarge`, `Held`.
        """
        self._session.extend(self._drafts(messages))

    async def aextend(self, messages: Sequence[ModelMessage]) -> None:
        """As `extend`, awaited."""
        await self._session.aextend(self._drafts(messages))

    def clear(self) -> None:
        """Take all messages off; the session stays. Raises `Held`."""
        self._session.clear()

    async def aclear(self) -> None:
        """As `clear`, awaited."""
        await self._session.aclear()

    def _drafts(self, messages: Sequence[ModelMessage]) -> list[dict[str, Any]]:
        return drafts_of([m for m in messages if not is_from(self.session_id, m)])
