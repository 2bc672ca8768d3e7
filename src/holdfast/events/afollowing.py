"""Following, for asyncio: events as they happen, awaited."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from holdfast.errors import HoldfastError
from holdfast.events.following import Step, Stream, none_came, watched
from holdfast.kinds.event_records import Event
from holdfast.patience import Patience


class AsyncFollowing(AsyncIterator[Event]):
    """Events as they happen: an iterator that awaits, until the store is closed.

    Others' events come from the beginning of its `async with` block on, or without one
    from the first `async for`, or `get`. Several tasks may take from one: each event
    comes to one of them.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._log = stream.log
        self._ready: deque[Event] = deque()
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._woken = asyncio.Event()
        self._asking: asyncio.Future[Step] | None = None
        """A look at the disk that was begun; who waits for it may be cancelled."""
        self._ended = False
        self._closed = False
        self._unwatch: Callable[[], None] = watched(self, self._tell, self._log)

    @property
    def missed(self) -> int:
        """How many events, of any name, were gone before this iterator took them."""
        return self._stream.missed

    async def close(self) -> None:
        """Follow no longer; safe to call twice."""
        self.stop()

    def stop(self) -> None:
        """As `close`, from any thread."""
        self._closed = True
        self._unwatch()
        self._wake()

    async def get(self, timeout_seconds: float | None = None) -> Event:
        """The next event; waits for one, or for so long.

        0 is not at all, None is without end; what is there already comes however short
        it is. Raises `TimedOut` (none came in time), `Closed`.
        """
        event = await self._next(self._stream.patience(timeout_seconds))
        if event is None:
            raise none_came(closed=self._closed)
        return event

    async def __anext__(self) -> Event:
        event = await self._next(Patience(None))
        if event is None:
            raise StopAsyncIteration
        return event

    async def __aenter__(self) -> "AsyncFollowing":
        async with self._turn:
            if self._stream.has_more and not self._closed:
                await self._read_disk()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    def _tell(self) -> None:
        self._stream.told = True
        self._wake()

    async def _next(self, patience: Patience) -> Event | None:
        """The next event; None if this was closed, or none comes in time."""
        if self._ready and not self._closed:
            return self._ready.popleft()
        try:
            async with asyncio.timeout(patience.left()):
                await self._turn.acquire()
        except TimeoutError:
            return None
        try:
            while not self._closed:
                if self._ready:
                    return self._ready.popleft()
                if self._ended:
                    self.stop()
                elif not await self._fill(patience):
                    return None
            return None
        finally:
            self._turn.release()

    async def _fill(self, patience: Patience) -> bool:
        """Look for more, and wait for it; whether it may have come in time."""
        stream = self._stream
        self._woken.clear()  # before it is looked: what comes after wakes again
        if stream.has_more or self._asking is not None:
            await self._read_disk()
        if not stream.behind or self._log.over:
            self._ready.extend(stream.memory())
        if self._ready or (stream.has_more and not self._log.over):
            return True
        if self._log.over:
            self._ready.extend(stream.memory())  # nothing comes after that
            self._ended = True
            return True
        if not stream.behind:
            self._log.memory.wake_after(stream.position, self._wake)
        with suppress(TimeoutError):
            async with asyncio.timeout(stream.wait(patience)):
                await self._woken.wait()
        return self._woken.is_set() or not patience.over

    async def _read_disk(self) -> None:
        try:
            found = await self._asked()
        except HoldfastError as error:
            if not self._stream.outlives(error):
                raise
        else:
            self._ready.extend(self._stream.take(found))

    async def _asked(self) -> Step:
        """What a look finds; if this is cancelled, the next who asks takes it up."""
        if self._asking is None:
            unit = self._stream.disk()
            self._asking = unit.awaited(self._loop)
            try:
                self._log.post_read(unit)
            except BaseException:
                self._asking = None
                raise
        asking = self._asking
        found = await asyncio.shield(_settled(asking))
        self._asking = None
        return found.result()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # that event loop was closed: nobody waits there
            self._loop.call_soon_threadsafe(self._woken.set)


async def _settled(future: "asyncio.Future[Step]") -> "asyncio.Future[Step]":
    await asyncio.wait([future])
    return future
