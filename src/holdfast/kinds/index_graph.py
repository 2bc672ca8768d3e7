"""How compositions go together: what needs what, what is missing, what goes in circles.

Answers for: choosing the version that a dependency means, the order of everything that
one composition needs, circles among all of them.
Leaves to others: reading them from rows (`index`).
Always holds: the newest version that is wanted is chosen; each composition stands once
in an order, after all that it needs, but for circles; no recursion, however long a
chain is.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from holdfast.kinds.index_records import Dependency
from holdfast.kinds.index_versions import place_of_version, wanted_of

N = TypeVar("N", bound=Hashable)


def chosen(
    dependency: Dependency, places: Mapping[str, N] | None
) -> tuple[N | None, str]:
    """Of what is there by its version's place, what a dependency means.

    Else None, and why not.
    """
    if not places:
        return None, f"needs {dependency.name!r}, which is in no folder of the index"
    if dependency.version is None:
        return places[max(places)], ""
    wanted = wanted_of(dependency.version)
    fitting = [place for place in places if wanted.meets(place)]
    if fitting:
        return places[max(fitting)], ""
    there = ", ".join(_versions(places))
    return None, (
        f"needs {dependency.name!r} {dependency.version}; there is {there}"
        if there
        else f"needs {dependency.name!r} {dependency.version}; it says no version"
    )


def _versions(places: Iterable[str]) -> Iterator[str]:
    for place in sorted(places):
        if place != place_of_version(None):
            yield place.rpartition("\x01")[2]


class Walked(Generic[N]):
    """What is reached from some nodes: in `order`, each after all that it needs."""

    def __init__(self, starts: Iterable[N], needed: Callable[[N], Sequence[N]]) -> None:
        self.order: list[N] = []
        self.cycles: list[tuple[N, ...]] = []
        self._needed = needed
        self._index: dict[N, int] = {}
        self._low: dict[N, int] = {}
        self._open: list[N] = []
        self._is_open: set[N] = set()
        for start in starts:
            if start not in self._index:
                self._walk(start)

    def _walk(self, start: N) -> None:
        """Tarjan's strongly connected components (1972), with a stack of our own."""
        stack = [(start, self._enter(start))]
        while stack:
            node, rest = stack[-1]
            for other in rest:
                if other not in self._index:
                    stack.append((other, self._enter(other)))
                    break
                if other in self._is_open:
                    self._low[node] = min(self._low[node], self._index[other])
            else:
                stack.pop()
                self._leave(node)
                if stack:
                    above = stack[-1][0]
                    self._low[above] = min(self._low[above], self._low[node])

    def _enter(self, node: N) -> Iterator[N]:
        self._index[node] = self._low[node] = len(self._index)
        self._open.append(node)
        self._is_open.add(node)
        return iter(self._needed(node))

    def _leave(self, node: N) -> None:
        self.order.append(node)
        if self._low[node] != self._index[node]:
            return
        group = [self._open.pop()]
        while group[-1] != node:
            group.append(self._open.pop())
        group.reverse()
        self._is_open.difference_update(group)
        if len(group) > 1 or node in self._needed(node):
            self.cycles.append(self._circle(group))

    def _circle(self, group: Sequence[N]) -> tuple[N, ...]:
        """One circle through the first of a group, the shortest: a path back to it."""
        first, within = group[0], set(group)
        came: dict[N, N] = {}
        front = [first]
        while front:
            reached: list[N] = []
            for node in front:
                for other in self._needed(node):
                    if other == first:
                        return (*self._path(node, came, first), first)
                    if other in within and other not in came:
                        came[other] = node
                        reached.append(other)
            front = reached
        raise AssertionError("a group of more than one goes in a circle")

    @staticmethod
    def _path(node: N, came: Mapping[N, N], first: N) -> tuple[N, ...]:
        path = [node]
        while path[-1] != first:
            path.append(came[path[-1]])
        return tuple(reversed(path))
