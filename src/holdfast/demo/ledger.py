"""Who counts: what was acknowledged, against what the store has.

Answers for: the figures of the table, made by the same code for both ways.
Leaves to others: hearing the agents (`crew`), reading the store (`keeping`).
Always holds: what an agent acknowledged is known apart from any store, and a step that
was lost stays lost in the count even if a later agent did it again: whoever takes a
conversation says what the store had of it, and that is compared at once.

- lost: acknowledged, and not there when the conversation was next taken, or at the end.
- doubled: there more often than once (each further time counts).
- half-done: a message without its task's change, or the reverse: the most that the two
  were apart in a conversation, whenever it was taken, or at the end.
- out of place: at the end not in the order of the input, or not equal to it.
"""

from collections import Counter

import msgspec

from holdfast.demo.keeping import Found
from holdfast.demo.load import Load, Talk


class Tally(msgspec.Struct, frozen=True):
    """The figures of one way of keeping."""

    expected: int
    acknowledged: int
    found: int
    lost: int
    doubled: int
    half_done: int
    out_of_place: int
    unfinished: int
    """Conversations whose task is not completed."""

    @property
    def is_clean(self) -> bool:
        """Whether every step is there once, in its place, with its task's change."""
        faults = self.lost + self.doubled + self.half_done + self.out_of_place
        return not (faults or self.unfinished) and self.found == self.expected


class Ledger:
    """What the supervisor heard from the agents of one way, and what that proves."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._acknowledged: list[set[int]] = [set() for _ in load.talks]
        self._lost: list[set[int]] = [set() for _ in load.talks]
        self._reached = [0 for _ in load.talks]
        self._apart = [0 for _ in load.talks]
        self.acknowledged = 0

    @property
    def reached(self) -> int:
        """How many steps are known to have been kept, acknowledged or not."""
        return sum(self._reached)

    def was_taken(self, index: int, messages: int, done: int) -> None:
        """An agent took a conversation, and found so much of it in the store."""
        known = self._acknowledged[index]
        self._lost[index] |= {number for number in known if number >= messages}
        self._apart[index] = max(self._apart[index], abs(messages - done))
        self._reached[index] = max(self._reached[index], messages)

    def was_acknowledged(self, index: int, number: int) -> None:
        """An agent says that a step was kept."""
        known = self._acknowledged[index]
        self.acknowledged += number not in known
        known.add(number)
        self._reached[index] = max(self._reached[index], number + 1)

    def tally(self, found: list[Found]) -> Tally:
        """Compare with all that the store has at the end."""
        return Tally(
            expected=self._load.steps,
            acknowledged=self.acknowledged,
            found=sum(len(_numbers(talk)) for talk in found),
            lost=sum(map(self._lost_of, range(len(found)), found)),
            doubled=sum(map(_doubled, found)),
            half_done=sum(map(self._apart_of, range(len(found)), found)),
            out_of_place=sum(map(_out_of_place, self._load.talks, found)),
            unfinished=sum(not talk.finished for talk in found),
        )

    def _lost_of(self, index: int, found: Found) -> int:
        absent = self._acknowledged[index] - set(_numbers(found))
        return len(self._lost[index] | absent)

    def _apart_of(self, index: int, found: Found) -> int:
        """A step that is there twice, with its task's change or without, is doubled.

        It is not counted as half-done as well.
        """
        apart = min(
            abs(len(found.kept) - found.done), abs(len(_numbers(found)) - found.done)
        )
        return max(self._apart[index], apart)


def _numbers(found: Found) -> Counter[int]:
    """How often each step is there."""
    return Counter(kept.number for kept in found.kept)


def _doubled(found: Found) -> int:
    return len(found.kept) - len(_numbers(found))


def _out_of_place(talk: Talk, found: Found) -> int:
    """Steps that the input has not, that differ from it, or that stand elsewhere.

    Where nothing is lost or doubled, step k must stand at place k; elsewhere the steps
    that are there must at least be in order.
    """
    numbers = [kept.number for kept in found.kept]
    whole = numbers == list(range(len(numbers)))
    wrong, last = 0, -1
    for kept in found.kept:
        known = 0 <= kept.number < len(talk.steps)
        equal = known and talk.steps[kept.number] == kept.step
        ordered = kept.place == kept.number if whole else kept.number >= last
        wrong += not (equal and ordered)
        last = max(last, kept.number)
    return wrong
