"""Routes: whom a message is for.

Answers for: subscribers by topic, by name, and all of them.
Leaves to others: what is put into their boxes (hub).
Always holds: whom a topic is for is found out once, until somebody comes or goes.
Everything happens under the hub's lock.
"""

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.patterns import Pattern
from holdfast.runtime.bus.boxes import Box
from holdfast.runtime.bus.messages import Parcel

_TOPICS_MOST = 10_000
"""Of how many topics it is remembered whom they are for."""


class Member(NamedTuple):
    """A subscriber."""

    box: Box[Parcel]
    name: str | None
    patterns: tuple[Pattern, ...]


class Route(NamedTuple):
    """Whom a message is for."""

    boxes: tuple[Box[Parcel], ...]
    holding: tuple[Box[Parcel], ...]
    """Those which, when full, hold a message back from all."""


_NOBODY = Route((), ())


class Routes:
    """The subscribers of one process."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self._by_topic: dict[str, Route] = {}
        self._by_name: dict[str, Route] = {}
        self._everyone = _NOBODY

    def add(self, member: Member) -> None:
        """Have someone there."""
        self.members.append(member)
        self._sort_out()

    def remove(self, member: Member) -> bool:
        """Have someone there no more; whether they were."""
        if member not in self.members:
            return False
        self.members.remove(member)
        self._sort_out()
        return True

    def clear(self) -> None:
        """Have nobody there."""
        self.members.clear()
        self._sort_out()

    def names(self) -> Iterable[str]:
        """The names that are there."""
        return self._by_name.keys()

    def of(self, parcel: Parcel) -> Route:
        """Whom a message is for."""
        if parcel.to is not None:
            return self._by_name.get(parcel.to, _NOBODY)
        if parcel.everyone:
            return self._everyone
        route = self._by_topic.get(parcel.topic)
        if route is None:
            if len(self._by_topic) >= _TOPICS_MOST:
                self._by_topic.clear()
            route = self._by_topic[parcel.topic] = _route_to(
                member
                for member in self.members
                if any(one.matches(parcel.topic) for one in member.patterns)
            )
        return route

    def _sort_out(self) -> None:
        """After someone came or went."""
        self._by_topic.clear()
        self._everyone = _route_to(self.members)
        names = {member.name for member in self.members if member.name is not None}
        self._by_name = {
            name: _route_to(one for one in self.members if one.name == name)
            for name in names
        }


def _route_to(members: Iterable[Member]) -> Route:
    boxes = tuple(member.box for member in members)
    return Route(boxes, tuple(box for box in boxes if box.overflow != "drop"))
