"""Where the states and arrows of a picture stand.

Answers for: rows and columns of boxes, and a way for each arrow that runs through no
box and no other arrow's label.
Leaves to others: how large a box or a label is, and painting them (`machine_pictures`).
Always holds: the same chart is laid out in the same way; the initial state is at the
top.

This is layered drawing (Sugiyama, Tagawa, Toda 1981): arrows that lead back are turned
round, states stand in rows, an arrow has a place of its own in each row that it passes,
where its label is one of these places; rows are ordered so that few arrows cross; then
each place moves to where its neighbours are, as far as its row allows (by isotonic
regression, which is exact).
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import inf

import msgspec

BETWEEN_ROWS = 34.0
BESIDE = 18.0
_ORDERINGS = 16
_MOVES = 40
_STRAIGHTENINGS = 4
_NARROW = 3.0
_STRAIGHT = 8.0
"""So much more an arrow's places keep to one line than boxes to their arrows."""


class Size(msgspec.Struct, frozen=True):
    """What a box takes up: to the left and right of its middle, and in height.

    Lines come to it within `left` of its middle; further to the right may be something
    that belongs to it.
    """

    left: float
    right: float
    height: float


class Line(msgspec.Struct, frozen=True):
    """An arrow to be placed: from one box to another, with its label's size."""

    source: int
    target: int
    label: Size


class Route(msgspec.Struct, frozen=True):
    """The way of an arrow, from its source, and the middle of its label.

    It goes straight down (or up) from each even point to the next, and bends from there
    to the one after that.
    """

    points: tuple[tuple[float, float], ...]
    label: tuple[float, float]


class Layout(msgspec.Struct, frozen=True):
    """The middles of the boxes, the ways of the lines, and how large all of it is."""

    boxes: tuple[tuple[float, float], ...]
    routes: tuple[Route, ...]
    width: float
    height: float


def laid_out(boxes: Sequence[Size], lines: Sequence[Line], first: int) -> Layout:
    """Boxes, by their numbers, and lines between different ones, given their places."""
    return _Drawing(boxes, lines, first).layout()


class _Drawing:
    """Places (boxes first, then those of the lines) in rows."""

    def __init__(
        self, boxes: Sequence[Size], lines: Sequence[Line], first: int
    ) -> None:
        self.sizes = list(boxes)
        self.boxes = len(boxes)
        self.lines = lines
        ends = [(line.source, line.target) for line in lines]
        back = _leading_back(len(boxes), ends, first)
        self.down = [
            pair[::-1] if turned else pair
            for pair, turned in zip(ends, back, strict=True)
        ]
        self.row_of = _rows(len(boxes), self.down)
        self.above: list[list[int]] = [[] for _ in boxes]
        self.below: list[list[int]] = [[] for _ in boxes]
        self.chains = [self._chain(number) for number in range(len(lines))]
        self.rows: list[list[int]] = [[] for _ in range(max(self.row_of) + 1)]
        for place in self._as_found(first):
            self.rows[self.row_of[place]].append(place)
        self.x = [0.0] * len(self.sizes)

    def _chain(self, number: int) -> list[int]:
        """The places of a line, from the upper box to the lower one."""
        upper, lower = self.down[number]
        line, chain = self.lines[number], [upper]
        begun = line.source == upper
        labelled = self.row_of[upper] + 1 if begun else self.row_of[lower] - 1
        for row in range(self.row_of[upper] + 1, self.row_of[lower]):
            self.row_of.append(row)
            size = line.label if row == labelled else Size(_NARROW, _NARROW, 0.0)
            self.sizes.append(size)
            self.above.append([])
            self.below.append([])
            chain.append(len(self.sizes) - 1)
        chain.append(lower)
        for high, low in pairwise(chain):
            self.below[high].append(low)
            self.above[low].append(high)
        return chain

    def _as_found(self, first: int) -> Iterator[int]:
        """All places, each after one that leads to it where there is one."""
        seen: set[int] = set()
        for begin in (first, *range(self.boxes)):
            stack = [begin]
            while stack:
                place = stack.pop()
                if place not in seen:
                    seen.add(place)
                    yield place
                    stack += reversed(self.below[place])

    def layout(self) -> Layout:
        self._order()
        self._move()
        self._straighten()
        left = min(x - size.left for x, size in zip(self.x, self.sizes, strict=True))
        self.x = [x - left for x in self.x]
        tops, bottoms = self._heights()
        middles = [(tops[row] + bottoms[row]) / 2 for row in self.row_of]
        ports = self._ports()
        routes = tuple(
            self._route(number, tops, bottoms, middles, ports)
            for number in range(len(self.lines))
        )
        return Layout(
            boxes=tuple(zip(self.x, middles[: self.boxes], strict=False)),
            routes=routes,
            width=max(
                x + size.right for x, size in zip(self.x, self.sizes, strict=True)
            ),
            height=bottoms[-1],
        )

    def _order(self) -> None:
        """Order the rows by turns downward and upward, and keep the best of it."""
        best, fewest = [list(row) for row in self.rows], self._crossings()
        for turn in range(_ORDERINGS):
            if not fewest:
                break
            downward = turn % 2 == 0
            neighbours = self.above if downward else self.below
            for row in self.rows if downward else reversed(self.rows):
                self._sort(row, neighbours)
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(row) for row in self.rows], crossings
        self.rows = best

    def _sort(self, row: list[int], neighbours: Sequence[Sequence[int]]) -> None:
        """Put each place of a row where its neighbours in the next row are."""
        at = {
            place: number
            for near in {self.row_of[n] for place in row for n in neighbours[place]}
            for number, place in enumerate(self.rows[near])
        }
        wanted = {
            place: sum(at[near] for near in neighbours[place]) / len(neighbours[place])
            if neighbours[place]
            else float(number)
            for number, place in enumerate(row)
        }
        row.sort(key=wanted.__getitem__)

    def _crossings(self) -> int:
        count = 0
        for upper, lower in pairwise(self.rows):
            at = {place: number for number, place in enumerate(lower)}
            ends: list[int] = []
            for place in upper:
                found = sorted(at[near] for near in self.below[place])
                count += sum(len(ends) - bisect_left(ends, end + 1) for end in found)
                for end in found:
                    insort(ends, end)
        return count

    def _move(self) -> None:
        """Move the places of each row to their neighbours, row by row."""
        self._at = {place: at for row in self.rows for at, place in enumerate(row)}
        for row in self.rows:
            self._place(row, [self.x[place] for place in row], [1.0] * len(row))
        for turn in range(_MOVES):
            for row in self.rows if turn % 2 == 0 else reversed(self.rows):
                wanted, weights = [], []
                for place in row:
                    total = weight = 0.0
                    for near in (*self.above[place], *self.below[place]):
                        pull = self._pull(place, near)
                        total += pull * self.x[near]
                        weight += pull
                    wanted.append(total / weight if weight else self.x[place])
                    weights.append(weight or 0.1)
                self._place(row, wanted, weights)

    def _pull(self, one: int, other: int) -> float:
        both = one >= self.boxes and other >= self.boxes
        return _STRAIGHT if both else 1.0

    def _place(
        self, row: Sequence[int], wanted: Sequence[float], weights: Sequence[float]
    ) -> None:
        """Put a row's places as near as can be to where they are wanted."""
        offsets, reach = [], 0.0
        for number, place in enumerate(row):
            if number:
                reach += self._apart(row[number - 1], place)
            offsets.append(reach)
        free = [want - offset for want, offset in zip(wanted, offsets, strict=True)]
        levels = _rising(free, weights)
        for place, level, offset in zip(row, levels, offsets, strict=True):
            self.x[place] = level + offset

    def _straighten(self) -> None:
        """Have each line go straight through as many rows as there is room for."""
        for _ in range(_STRAIGHTENINGS):
            for chain in self.chains:
                run: list[int] = []
                room = (-inf, inf)
                for place in chain[1:-1]:
                    free = self._free(place)
                    both = max(room[0], free[0]), min(room[1], free[1])
                    if both[0] > both[1]:
                        self._align(run, room)
                        run, both = [], free
                    run.append(place)
                    room = both
                self._align(run, room)

    def _free(self, place: int) -> tuple[float, float]:
        """How far a place can move to the left and right, past nothing."""
        row, at = self.rows[self.row_of[place]], self._at[place]
        left, right = -inf, inf
        if at:
            left = self.x[row[at - 1]] + self._apart(row[at - 1], place)
        if at + 1 < len(row):
            right = self.x[row[at + 1]] - self._apart(place, row[at + 1])
        return min(left, self.x[place]), max(right, self.x[place])

    def _align(self, run: Sequence[int], room: tuple[float, float]) -> None:
        middle = sum(self.x[place] for place in run) / len(run)
        for place in run:
            self.x[place] = min(max(middle, room[0]), room[1])

    def _apart(self, one: int, other: int) -> float:
        """How far apart the middles of two neighbours in a row are at least."""
        return self.sizes[one].right + BESIDE + self.sizes[other].left

    def _heights(self) -> tuple[list[float], list[float]]:
        """Where each row begins and ends."""
        tops, bottoms, top = [], [], 0.0
        for row in self.rows:
            tops.append(top)
            bottoms.append(top + max(self.sizes[place].height for place in row))
            top = bottoms[-1] + BETWEEN_ROWS
        return tops, bottoms

    def _ports(self) -> dict[tuple[int, int], float]:
        """Where on a box each of its lines begins or ends, by the line's next place."""
        ports = {}
        for box in range(self.boxes):
            for side in (self.above[box], self.below[box]):
                near = sorted(side, key=self.x.__getitem__)
                half = self.sizes[box].left
                step = min(2 * half / (len(near) + 1), 3 * BESIDE)
                for number, place in enumerate(near):
                    shift = (number - (len(near) - 1) / 2) * step
                    ports[box, place] = self.x[box] + shift
        return ports

    def _route(
        self,
        number: int,
        tops: Sequence[float],
        bottoms: Sequence[float],
        middles: Sequence[float],
        ports: dict[tuple[int, int], float],
    ) -> Route:
        upper, *between, lower = self.chains[number]
        points = []
        half = self.sizes[upper].height / 2
        x = ports[upper, between[0]]
        points += [(x, middles[upper] + half), (x, bottoms[self.row_of[upper]])]
        for place in between:
            row = self.row_of[place]
            points += [(self.x[place], tops[row]), (self.x[place], bottoms[row])]
        x, half = ports[lower, between[-1]], self.sizes[lower].height / 2
        points += [(x, tops[self.row_of[lower]]), (x, middles[lower] - half)]
        turned = self.lines[number].source == lower
        label = between[-1] if turned else between[0]
        return Route(
            points=tuple(reversed(points) if turned else points),
            label=(self.x[label], middles[label]),
        )


def _leading_back(
    boxes: int, ends: Sequence[tuple[int, int]], first: int
) -> list[bool]:
    """Which lines lead back: to the first box, or to one that led to them."""
    leaving: list[list[int]] = [[] for _ in range(boxes)]
    for number, (source, _) in enumerate(ends):
        leaving[source].append(number)
    back = [target == first for _, target in ends]
    on_the_way, done = set[int](), set[int]()
    for begin in (first, *range(boxes)):
        if begin in done:
            continue
        stack = [(begin, iter(leaving[begin]))]
        on_the_way.add(begin)
        while stack:
            box, rest = stack[-1]
            for number in rest:
                target = ends[number][1]
                if target in on_the_way:
                    back[number] = True
                elif target not in done and not back[number]:
                    on_the_way.add(target)
                    stack.append((target, iter(leaving[target])))
                    break
            else:
                stack.pop()
                on_the_way.discard(box)
                done.add(box)
    return back


def _rows(boxes: int, down: Sequence[tuple[int, int]]) -> list[int]:
    """The row of each box: two below the lowest of those that lead to it."""
    row_of, missing = [0] * boxes, [0] * boxes
    leaving: list[list[int]] = [[] for _ in range(boxes)]
    for upper, lower in down:
        missing[lower] += 1
        leaving[upper].append(lower)
    ready = [box for box in range(boxes) if not missing[box]]
    for box in ready:
        for lower in leaving[box]:
            row_of[lower] = max(row_of[lower], row_of[box] + 2)
            missing[lower] -= 1
            if not missing[lower]:
                ready.append(lower)
    assert not any(missing), "a circle was left"
    return row_of


def _rising(wanted: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The nearest numbers to those wanted that never fall (pool adjacent violators)."""
    pools: list[tuple[float, float, int]] = []
    for want, weight in zip(wanted, weights, strict=True):
        mean, heft, count = want, weight, 1
        while pools and pools[-1][0] > mean:
            before, mass, more = pools.pop()
            mean = (before * mass + mean * heft) / (mass + heft)
            heft, count = heft + mass, count + more
        pools.append((mean, heft, count))
    return [mean for mean, _, count in pools for _ in range(count)]
