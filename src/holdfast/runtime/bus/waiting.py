"""Waiting: how a thread or a task of an event loop waits to be woken.

Always holds: to be woken before one waits is to be woken; a thread that runs an event
loop is not kept waiting, for nobody on that loop could go on.
"""

import threading
from typing import Protocol

from holdfast.errors import Refused
from holdfast.runtime.loops import running_loop


def has(mutex: threading.RLock) -> bool:
    """Whether this thread has the lock already."""
    return mutex._is_owned()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001


def renew(mutex: threading.RLock) -> None:
    """In a forked process: have nobody have the lock, whoever had it before."""
    mutex._at_fork_reinit()  # type: ignore[attr-defined]  # noqa: SLF001


class Waiter(Protocol):
    """Who waits; woken from any thread."""

    def wake(self) -> bool:
        """Have it go on; False if it never will, as its event loop was closed."""
        ...

    def clear(self) -> None:
        """Take back that it was woken."""
        ...


class ThreadWaiter:
    """A thread that waits."""

    __slots__ = ("_held", "_woken")

    def __init__(self, instead: str) -> None:
        """Raises `Refused` on a thread that runs an event loop; says what to do."""
        if running_loop() is not None:
            raise Refused(
                f"this would keep the event loop waiting, and everyone on it: {instead}"
            )
        self._held = threading.Lock()
        self._held.acquire()
        self._woken = False

    def wake(self) -> bool:
        """Have it go on. To be called under the hub's lock, as `clear` is."""
        if not self._woken:
            self._woken = True
            self._held.release()
        return True

    def clear(self) -> None:
        """Take back that it was woken."""
        if self._woken:
            self._woken = False
            self._held.acquire(blocking=False)

    def wait(self, seconds: float | None) -> bool:
        """Whether it was woken within so many seconds."""
        if not self._held.acquire(timeout=-1 if seconds is None else max(0, seconds)):
            return False
        self._held.release()
        return True


class TaskWaiter:
    """A task that waits, on its event loop."""

    __slots__ = ("_event", "_loop", "_woken")

    def __init__(self) -> None:
        import asyncio  # noqa: PLC0415  # it loads slowly, and not everyone needs it

        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._woken = False

    def wake(self) -> bool:
        """Have it go on. To be called under the hub's lock, as `clear` is."""
        if self._woken:
            return not self._loop.is_closed()
        self._woken = True
        if running_loop() is self._loop:
            self._event.set()
            return True
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:  # that event loop was closed
            return False
        return True

    def clear(self) -> None:
        """Take back that it was woken."""
        self._woken = False
        self._event.clear()

    async def wait(self, seconds: float | None) -> bool:
        """Whether it was woken within so many seconds."""
        import asyncio  # noqa: PLC0415  # it loads slowly, and not everyone needs it

        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True
