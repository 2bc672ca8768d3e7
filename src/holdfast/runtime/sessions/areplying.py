"""Replying, awaited: a message that is written down while it comes.

Answers for: what `replying` answers for, on an event loop.
Always holds: what it holds. Writes are begun by the loop's own timer, at the same time
for all replies of a loop, so that they share their commits; and where a loop is kept
from its timers, by `add` itself.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, UnsetType

from holdfast.codec import Json
from holdfast.errors import HoldfastError
from holdfast.kinds.session_records import Message
from holdfast.runtime.sessions.replying import WRITTEN_EVERY_SECONDS, Coming

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore

_OVERDUE_SECONDS = WRITTEN_EVERY_SECONDS / 4


class AsyncReply(Coming):
    """A message that grows as its pieces are added."""

    def __init__(self, store: "AsyncStore", message: Message) -> None:
        super().__init__(message, store._core.limits)  # noqa: SLF001
        self._sessions = store.sessions
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._flight: asyncio.Task[Any] | None = None

    async def add(self, delta: str) -> None:
        """Add what came; it is written down within a second, and rarely now.

        Raises what went wrong in the background, and takes nothing then; `Refused`
        (the reply has ended), `WrongType`, `NotStorable`, `TooLarge`.
        """
        self._take(delta)
        if self._timer is None:
            self._wind()
        elif self._loop.time() > self._timer.when() + _OVERDUE_SECONDS:
            self._begin()
            await self._landed()

    async def end(
        self,
        content: Json | UnsetType = UNSET,
        *,
        metadata: dict[str, Any] | None | UnsetType = UNSET,
    ) -> Message:
        """Make the message whole; as `Reply.end`."""
        await self._landed()
        whole = self.text if content is UNSET else content
        self._over = True
        self._flight = asyncio.create_task(self._end(whole, metadata))
        await asyncio.shield(self._flight)
        return self.message

    async def finish(self) -> None:
        """End, unless that was done, or is under way."""
        await self._landed()
        if not self._over:
            await self.end()

    async def leave(self, error: BaseException) -> None:
        """Write down the rest for a block that raised, and leave the message partial.

        What cannot be written down is said in a note to the block's error. It is
        written also if whoever waits for it is cancelled once more.
        """
        await asyncio.shield(asyncio.create_task(self._leave(error)))

    def still(self) -> None:
        """Take nothing more, and begin nothing more."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()

    def _wind(self) -> None:
        """Set the timer, to the next of the moments at which every reply writes."""
        ticks = self._loop.time() // WRITTEN_EVERY_SECONDS + 1
        self._timer = self._loop.call_at(ticks * WRITTEN_EVERY_SECONDS, self._begin)

    def _begin(self) -> None:
        """Begin to write what came, unless a write is under way."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._flight is None or self._flight.done():
            self._flight = self._loop.create_task(self._write())

    async def _write(self) -> None:
        due = self._due()
        if due is None:
            return
        self._tried_again()
        try:
            await self._sessions.extend_reply(*self._where, due.text, at=due.at)
        except HoldfastError as failure:
            self._failure = failure
        else:
            self._written(due)
        if self._behind and self._timer is None and not self._over:
            self._wind()

    async def _end(self, content: Json, metadata: Any) -> None:
        try:
            self.message = await self._sessions.end_reply(
                *self._where, content, metadata=metadata
            )
        except BaseException:
            self._over = not self.message.partial
            raise
        self.still()

    async def _leave(self, error: BaseException) -> None:
        await self._landed()
        due = self._due()
        if due is None or not self.message.partial:
            return
        self.still()
        try:
            await self._sessions.extend_reply(*self._where, due.text, at=due.at)
        except HoldfastError as failure:
            error.add_note(self._left_out(failure))

    async def _landed(self) -> None:
        """Wait for the write that is under way; whoever waits may be cancelled."""
        if self._flight is not None and not self._flight.done():
            await asyncio.wait([self._flight])


@asynccontextmanager
async def replying(store: "AsyncStore", message: Message) -> AsyncIterator[AsyncReply]:
    """A reply for as long as a block of code runs; see `replying.replying`."""
    reply = AsyncReply(store, message)
    try:
        yield reply
        await reply.finish()
    except BaseException as error:
        await reply.leave(error)
        raise
    finally:
        reply.still()
