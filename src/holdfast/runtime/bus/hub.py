"""The hub: who gets what.

Answers for: putting a message into the boxes of all whom it is for, or saying which of
them holds it back; the history, and what waits for a name; signal handlers, finalizers
and forks that come in between.
Leaves to others: whom it is for (routes), waiting for room (line), a box's order
(boxes), other processes (reaching).
Always holds: a message is put into the boxes of all whom it is for, or into none; all
boxes have their messages in the same order, which is the history's.
"""

import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from holdfast.errors import Closed
from holdfast.logs import logger
from holdfast.patterns import Pattern
from holdfast.runtime.bus.messages import Parcel
from holdfast.runtime.bus.offline import Offline
from holdfast.runtime.bus.routes import Member, Routes
from holdfast.runtime.bus.waiting import has, renew

if TYPE_CHECKING:
    from holdfast.runtime.bus.boxes import Box
    from holdfast.runtime.bus.reaching import Reach


class Hub:
    """Subscribers of one process, and what they are given."""

    def __init__(self, offline: Offline, history: int) -> None:
        self.mutex = threading.RLock()
        self.reach: Reach | None = None
        self.closed: str | None = None
        """Why nothing is taken any more."""
        self.offline = offline
        self.history: deque[Parcel] = deque(maxlen=history)
        self._routes = Routes()
        self._later: deque[Callable[[], object]] = deque()
        _hubs.add(self)

    # Who is there.

    def add(self, member: Member) -> None:
        """Have someone there, who is first given what was kept for their name."""
        if self._put_aside(lambda: self._add(member)):
            return
        with self.mutex:
            self._catch_up()
            if self.closed is not None:
                raise Closed(self.closed)
            self._add(member)

    def remove(self, member: Member, why: str) -> None:
        """Have someone there no more; who waits for room there goes on."""
        if sys.is_finalizing():  # a thread that had the lock may never give it back
            return
        if self._put_aside(lambda: self._remove(member, why)):
            return
        with self.mutex:
            self._catch_up()
            self._remove(member, why)

    def names(self) -> set[str]:
        """The names that are here, or elsewhere as far as is known."""
        with self.mutex:
            return {*self._routes.names(), *(self.reach.names() if self.reach else ())}

    def own_names(self) -> list[str]:
        """The names that are here; under the lock."""
        return list(self._routes.names())

    def recent(self, pattern: Pattern, limit: int) -> list[Parcel]:
        """The newest that are meant, oldest first."""
        with self.mutex:
            found = [one for one in self.history if pattern.matches(one.topic)]
        return found[-limit:]

    def given_up(self) -> int:
        """How many direct messages were kept, and then given up."""
        with self.mutex:
            self.offline.grow_old()
            told, self.offline.to_tell = self.offline.to_tell, []
        _tell(told)
        return self.offline.given_up

    def close(self, why: str) -> bool:
        """Have nobody there, and take nothing more; False if it was so before."""
        with self.mutex:
            self._catch_up()
            if self.closed is not None:
                return False
            self.closed = why
            for member in self._routes.members:
                member.box.close(why)
            self._routes.clear()
        return True

    def disown(self, why: str) -> None:
        """In a forked process: take nothing, and need no lock that another has."""
        renew(self.mutex)
        self.closed = why
        self._later.clear()
        for member in self._routes.members:
            member.box.disown(why)

    # What they are given.

    def arrived(self, parcel: Parcel) -> None:
        """Give what came from elsewhere to whom it is for; under the lock.

        It cannot be held back any more: who has no room misses the oldest.
        """
        boxes = self._routes.of(parcel).boxes
        for box in boxes:
            box.put(parcel)
        if boxes or parcel.to is None:
            self.history.append(parcel)

    def appeared(self, names: set[str]) -> None:
        """Send what was kept for names that are elsewhere now; under the lock."""
        assert self.reach is not None
        for name in names.intersection(self.offline.names()):
            for parcel in self.offline.claim(name)[0]:
                self.reach.send(parcel)

    def offer(self, parcel: Parcel) -> "int | Box[Any]":
        """Give it, if nobody holds it back; else the box that does. Under the lock."""
        if self.closed is not None:
            raise Closed(self.closed)
        for box in self._routes.of(parcel).holding:
            if box.is_full():
                return box.held_back()
        reach = self.reach
        if (
            reach is not None
            and reach.outlet.overflow == "wait"
            and reach.outlet.is_full()
            and reach.reaches(parcel)
        ):
            return reach.outlet
        return self._give(parcel)

    def offered(self, parcel: Parcel) -> "int | Box[Any]":
        """As `offer`, not under the lock; and what waited for too long is told."""
        if has(self.mutex):
            return self._offered_within(parcel)
        with self.mutex:
            self._catch_up()
            taken = self.offer(parcel)
            if parcel.at > self.offline.due:
                self.offline.grow_old()
            told, self.offline.to_tell = self.offline.to_tell, []
        if told:
            _tell(told)
        return taken

    # Within: a signal handler or a finalizer may come in between anywhere, even where
    # its own thread has the lock. What it does is done as soon as the lock is free.

    def is_within(self) -> bool:
        """Whether this thread has the lock already."""
        return has(self.mutex)

    def _put_aside(self, work: Callable[[], object]) -> bool:
        """Whether it is done later, as this thread has the lock already."""
        if not has(self.mutex):
            return False
        self._later.append(work)
        aside(self._go_on)
        return True

    def _go_on(self) -> None:
        with self.mutex:
            self._catch_up()

    def _catch_up(self) -> None:
        """Do what was put aside; under the lock, first thing."""
        while self._later:
            self._later.popleft()()

    def _add(self, member: Member) -> None:
        if self.closed is not None:
            return member.box.close(self.closed)
        self._routes.add(member)
        if (name := member.name) is not None:
            member.box.begin_with(*self.offline.claim(name))
            if self.reach is not None:
                self.reach.joined(name)
        return None

    def _remove(self, member: Member, why: str) -> None:
        if not self._routes.remove(member):
            return
        member.box.close(why)
        name = member.name
        if name and name not in self._routes.names() and self.reach is not None:
            self.reach.left(name)

    def _give(self, parcel: Parcel) -> int:
        """Give it, past what their boxes hold if need be; to how many."""
        boxes = self._routes.of(parcel).boxes
        reach = self.reach
        if reach is not None and reach.reaches(parcel):
            reach.send(parcel)
        elif parcel.to is not None and not boxes:
            self.offline.keep(parcel)
        for box in boxes:
            box.put(parcel) if box.overflow == "drop" else box.add(parcel)
        self.history.append(parcel)
        return len(boxes)

    def _offered_within(self, parcel: Parcel) -> int:
        if self.closed is not None:
            raise Closed(self.closed)
        boxes, holding = self._routes.of(parcel)
        for box in holding:
            if box.is_full():
                raise box.held_back().busy(0)
        self._put_aside(lambda: self._give(parcel))
        return len(boxes)


def aside(work: Callable[[], object]) -> None:
    """Do it on a thread of its own."""
    threading.Thread(target=work, name="holdfast-bus-aside", daemon=True).start()


def _tell(told: list[str]) -> None:
    for line in told:
        logger("holdfast.bus").warning("%s", line)


_hubs: "weakref.WeakSet[Hub]" = weakref.WeakSet()


def _disown_all() -> None:
    for hub in list(_hubs):
        hub.disown(
            "the bus was made by the process that this one was forked from: make one "
            "here"
        )


os.register_at_fork(after_in_child=_disown_all)
