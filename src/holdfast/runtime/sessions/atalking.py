"""Talking, awaited: a session in hand, kept in a store or still only in memory.

Answers for: what `talking` answers for, on an event loop.
Always holds: what it holds. A draft waits for nothing until it is saved.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast.codec import Json
from holdfast.kinds.contexts import Context, Counting
from holdfast.kinds.session_records import Message, Session
from holdfast.runtime.sessions.areplying import AsyncReply
from holdfast.runtime.sessions.talking import Draft, newest

if TYPE_CHECKING:
    from holdfast.ashown import AsyncStoreSessions
    from holdfast.astore import AsyncStore

T = TypeVar("T")


class AsyncTalk:
    """A session in hand: one that a store has, or a draft that is still to be saved."""

    def __init__(
        self,
        store: "AsyncStore",
        session: Session,
        draft: "Draft[AsyncStore] | None" = None,
    ) -> None:
        self.id = session.id
        self.title = session.title
        self._store = store
        self._draft = draft
        self._saving = asyncio.Lock()
        if draft is not None:
            draft.belong_to(self)

    async def send(
        self, text: Json, role: str = "user", metadata: dict[str, Any] | None = None
    ) -> Message:
        """Add a message. Raises as `sessions.append` does."""
        return await self._do(
            lambda of: of.append(self.id, role, text, metadata=metadata)
        )

    @asynccontextmanager
    async def reply(
        self,
        role: str = "assistant",
        *,
        metadata: dict[str, Any] | None = None,
        message_id: str | None = None,
    ) -> AsyncIterator[AsyncReply]:
        """A message that grows as its pieces come; see `sessions.reply`."""
        async with AsyncExitStack() as stack:
            async with self._saving:
                store = self._store
                if self._draft is not None:
                    stack.enter_context(self._draft.replying())
            reply = store.sessions.reply(
                self.id, role, metadata=metadata, message_id=message_id
            )
            yield await stack.enter_async_context(reply)

    async def get_messages(
        self, limit: int | None = None, offset: int = 0
    ) -> list[Message]:
        """As `Talk.get_messages`."""
        asking = newest(limit, offset, self._store._core.limits)  # noqa: SLF001
        try:
            wanted = next(asking)
            while True:
                size, before = wanted
                sessions = self._store.sessions
                page = await sessions.messages(self.id, size, before=before)
                wanted = asking.send(page)
        except StopIteration as found:
            return list(found.value)

    async def context(
        self,
        *,
        messages: int | None = None,
        tokens: int | None = None,
        count: Counting | None = None,
    ) -> Context:
        """What a model is to be shown; see `sessions.context`."""
        return await self._store.sessions.context(
            self.id, messages=messages, tokens=tokens, count=count
        )

    async def export(self, format: str = "json") -> str:
        """As `Talk.export`."""
        return await self._store.sessions.render(self.id, format)

    async def save(self) -> str:
        """As `Talk.save`."""
        async with self._saving:
            if (draft := self._draft) is not None:
                await draft.home.run(draft.put_of(self.id))
                self._store, self._draft = draft.home, None
                draft.close()
        return self.id

    async def close(self) -> Session:
        """Mark the session as completed. Raises as `sessions.close` does."""
        return await self._do(lambda of: of.close(self.id))

    async def __aiter__(self) -> AsyncIterator[Message]:
        after, size = 0, self._store._core.limits.page  # noqa: SLF001
        while True:
            page = await self._store.sessions.messages(self.id, size, after=after)
            for message in page:
                yield message
            if page.cursor is None:
                return
            after = page[-1].position

    def __repr__(self) -> str:
        state = "" if self._draft is None else ", a draft"
        return f"<holdfast.AsyncTalk {self.id!r}{state}>"

    async def _do(self, work: "Callable[[AsyncStoreSessions], Awaitable[T]]") -> T:
        """Write where the session is now; not while a draft is being saved."""
        if self._draft is None:
            return await work(self._store.sessions)
        async with self._saving:
            return await work(self._store.sessions)
