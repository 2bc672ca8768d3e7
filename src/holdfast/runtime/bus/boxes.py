"""Boxes: what has come for one subscriber, up to a capacity.

Answers for: what waits to be taken, who waits for something to take, and who waits for
room, in order.
Leaves to others: what is put into which box (hub), what is done with it (subscription).
Always holds: whoever waits for what there is has been woken; what is in a box stays in
order. Everything but `take` happens under the hub's lock, which all boxes share.
"""

import threading
from collections import deque
from contextlib import suppress
from typing import Generic, Literal, TypeAlias, TypeVar

from holdfast.errors import Busy, Closed, Refused
from holdfast.patience import Patience
from holdfast.runtime.bus.waiting import TaskWaiter, ThreadWaiter, Waiter

T = TypeVar("T")
Overflow: TypeAlias = Literal["wait", "drop", "refuse"]
"""What becomes of a message to a full box: its publisher waits, or is refused, or the
oldest one goes."""


class Box(Generic[T]):
    """Things in order, up to a capacity."""

    def __init__(
        self, mutex: threading.RLock, capacity: int, overflow: Overflow, what: str
    ) -> None:
        self.capacity = capacity
        self.overflow = overflow
        self.what = what
        self.missed = 0
        """How many were pushed out."""
        self.closed: str | None = None
        """Why nothing comes any more."""
        self.line: deque[Waiter] = deque()
        """Who waits for room."""
        self._mutex = mutex
        self._things: deque[T] = deque()
        self._hungry: deque[Waiter] = deque()

    def __len__(self) -> int:
        return len(self._things)

    def is_full(self) -> bool:
        """Whether something that is put here would push out the oldest."""
        return len(self._things) >= self.capacity

    def held_back(self) -> "Box[T]":
        """This box, for which one waits. Raises `Refused` where nobody may."""
        if self.overflow == "refuse":
            raise Refused(
                f"{self.what} is full ({self.capacity:,} messages); nobody was given "
                "this one: send it later, or let it wait or drop (overflow=)"
            )
        return self

    def busy(self, seconds: float) -> Busy:
        """What is raised when it made no room in time."""
        return Busy(
            f"{self.what} is full ({self.capacity:,} messages), and made no room "
            f"within {seconds:g} s; nobody was given this one: send it again, or let "
            'what is slow miss something (overflow="drop")'
        )

    def put(self, thing: T) -> None:
        """Add one, and push out the oldest if there is no room."""
        if len(self._things) >= self.capacity:
            with suppress(IndexError):  # it was taken meanwhile
                self._things.popleft()
                self.missed += 1
        self.add(thing)

    def add(self, thing: T) -> None:
        """Add one, past the capacity if need be."""
        self._things.append(thing)
        while self._hungry and not self._hungry.popleft().wake():
            pass

    def begin_with(self, things: list[T], missed: int) -> None:
        """What was there before the box was, more than its capacity perhaps."""
        self._things.extend(things)
        self.missed = missed

    def forgo(self, overflow: Overflow) -> None:
        """Have nobody wait for room any more, or let them wait again."""
        self.overflow = overflow
        while self.line:
            self.line.popleft().wake()

    def make_way(self) -> None:
        """Have the first go on who waits for room, if there is some."""
        while self.line and not self.is_full() and not self.line[0].wake():
            self.line.popleft()

    def close(self, why: str) -> None:
        """Take nothing more, and wake everyone; what is there can still be taken."""
        self.closed = why
        for waiting in (self.line, self._hungry):
            while waiting:
                waiting.popleft().wake()

    def disown(self, why: str) -> None:
        """In a forked process: have nothing there, and nobody who waits."""
        self.closed = why
        for what in (self.line, self._hungry, self._things):
            what.clear()

    # Taking, by any thread or task.

    def take(self) -> T | None:
        """The oldest, or None; without the lock, which publishers keep busy."""
        try:
            thing = self._things.popleft()
        except IndexError:
            return None
        if self.line:
            with self._mutex:
                self.make_way()
        return thing

    def get(self, seconds: float | None, instead: str) -> T | None:
        """The oldest; waits for one, and gives None if none comes in time."""
        if (thing := self.take()) is not None:
            return thing
        patience = Patience(seconds)
        waiter = None
        while (thing := self.take()) is None:
            if (left := self._left(patience)) == 0:
                return None
            waiter = waiter or ThreadWaiter(instead)
            try:
                if self._stand(waiter):
                    waiter.wait(left)
            finally:
                self._leave(waiter)
        return thing

    async def aget(self, seconds: float | None) -> T | None:
        """As `get`, awaited."""
        if (thing := self.take()) is not None:
            return thing
        patience = Patience(seconds)
        waiter = TaskWaiter()
        while (thing := self.take()) is None:
            if (left := self._left(patience)) == 0:
                return None
            try:
                if self._stand(waiter):
                    await waiter.wait(left)
            finally:
                self._leave(waiter)
        return thing

    def _stand(self, waiter: Waiter) -> bool:
        """Have something waited for, if there is nothing; whether that is so."""
        with self._mutex:
            if self._things or self.closed is not None:
                return False
            waiter.clear()
            self._hungry.append(waiter)
            return True

    def _leave(self, waiter: Waiter) -> None:
        """Wait no more; if it was woken for nothing, another one is."""
        with self._mutex:
            if waiter in self._hungry:
                self._hungry.remove(waiter)
            elif self._things and self._hungry:
                self._hungry.popleft().wake()

    def _left(self, patience: Patience) -> float | None:
        """How many seconds are left to wait for something; None for no end.

        Raises `Closed` if nothing is there, and nothing comes any more.
        """
        if self.closed is not None and not self._things:
            raise Closed(self.closed)
        return patience.left()
