"""Observing: which of the events that a process emits are seen, and by whom.

Answers for: which observations an event concerns, which share of it they see, and how
much of it a second; counting what became of the rest.
Leaves to others: which observations there are (`kinds.observations`), who is told of
what is seen (`events.attaching`), keeping it (`events.log`).
Always holds: nothing here reads a clock: an event's own time is what a rate goes by.
Whether an event falls into a share depends on its id alone, so that it is the same
wherever it is asked. What observations tell of themselves is seen by none of them, and
changes them in its place among the events.
"""

from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import TypeAlias

import msgspec

from holdfast import codec
from holdfast.clock import to_us
from holdfast.kinds.event_records import AT, DATA, NAME, OWNER, SOURCE, Entry
from holdfast.kinds.observation_records import (
    EVERYONE,
    OF_OBSERVATIONS,
    Observation,
)
from holdfast.patterns import Pattern, holds

CREATED, UPDATED, DELETED = (
    f"{OF_OBSERVATIONS}{what}" for what in ("created", "updated", "deleted")
)
"""Events that tell of an observation as it is from there on; their data are it."""
_SECOND = 1_000_000
_KNOWN = 10_000
"""Of so many names and sources it is known whom they concern."""

_ALL_BITS = 2**64 - 1
Key: TypeAlias = tuple[str, str]
"""An owner, and an observation's id."""
Seen: TypeAlias = tuple[Observation, Entry]
"""An event, and an observation that sees it."""


class Figures(msgspec.Struct):
    """What became of the events that concerned an observation, in one process.

    `seen` are those that it saw; `unsampled` fell outside of its share, and `limited`
    came too fast.
    """

    seen: int = 0
    unsampled: int = 0
    limited: int = 0

    @property
    def concerned(self) -> int:
        """How many events concerned it."""
        return self.seen + self.unsampled + self.limited


class _Watch:
    """One observation at work."""

    __slots__ = ("_filled_at", "_patterns", "_tokens", "figures", "observation")

    def __init__(self, observation: Observation) -> None:
        self.figures = Figures()
        self._filled_at = 0
        self._tokens = 0.0
        self.become(observation)

    def become(self, observation: Observation) -> None:
        """Go on with what the observation is by now."""
        self.observation = observation
        self._patterns = [Pattern(text) for text in observation.events]

    def is_for(self, name: str) -> bool:
        """Whether events of a name may concern it."""
        return any(pattern.matches(name) for pattern in self._patterns)

    def sees(self, entry: Entry, writer: int) -> bool:
        """Whether it sees an event that may concern it."""
        observation = self.observation
        if observation.where is not None and not holds(
            codec.decode(entry[DATA]), observation.where
        ):
            return False
        if not in_share(entry[AT], writer, observation.sampling_rate):
            self.figures.unsampled += 1
            return False
        if not self._has_room(entry[AT]):
            self.figures.limited += 1
            return False
        self.figures.seen += 1
        return True

    def _has_room(self, at: int) -> bool:
        """Whether one more at this time is within the rate; if so, it is counted.

        A bucket holds what may be seen at once, a second's worth and at least one, and
        is filled as time goes by.
        """
        rate = self.observation.rate_limit
        if rate is None:
            return True
        gained = (at - self._filled_at) * rate / _SECOND
        self._filled_at = at
        self._tokens = min(max(rate, 1.0), self._tokens + gained)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Observing:
    """The observations that are active, looking at what one writer emits, in order."""

    def __init__(self, writer: int) -> None:
        self._writer = writer
        self._watches: dict[tuple[str, str], _Watch] = {}
        self._by_target: dict[tuple[str, str], list[_Watch]] = {}
        self._concerned: dict[tuple[str, str, str | None], tuple[_Watch, ...]] = {}

    def adopt(
        self, observations: Iterable[Observation], but: Collection[Key] = ()
    ) -> None:
        """Have these be the ones that look from now on, and no others; counts go on.

        Those `but` some stay as they are: what comes next tells of them.
        """
        found = {key_of(observation): observation for observation in observations}
        for key in self._watches.keys() - found.keys() - {*but}:
            del self._watches[key]
        for key in found.keys() - {*but}:
            self._put(found[key])
        self._arrange()

    def look(self, entries: Sequence[Entry]) -> list[Seen]:
        """What is seen of the next events, each with who sees it.

        An event that tells of an observation changes it for those that come after.
        """
        if not self._watches and not changes(entries):
            return []
        seen: list[Seen] = []
        for entry in entries:
            if entry[NAME].startswith(OF_OBSERVATIONS):
                self._hear(entry)
                continue
            seen += [
                (watch.observation, entry)
                for watch in self._whom(entry[OWNER], entry[NAME], entry[SOURCE])
                if watch.sees(entry, self._writer)
            ]
        return seen

    def figures(self, owner: str, id: str) -> Figures:
        """What became of what concerned an observation, since it looks here."""
        watch = self._watches.get((owner, id))
        return Figures() if watch is None else msgspec.structs.replace(watch.figures)

    def _whom(self, owner: str, name: str, source: str | None) -> tuple[_Watch, ...]:
        """Whom events of a name and a source may concern."""
        key = owner, name, source
        found = self._concerned.get(key)
        if found is None:
            if len(self._concerned) >= _KNOWN:
                self._concerned.clear()
            found = self._concerned[key] = tuple(
                watch
                for target in {EVERYONE, source or EVERYONE}
                for watch in self._by_target.get((owner, target), ())
                if watch.is_for(name)
            )
        return found

    def _hear(self, entry: Entry) -> None:
        """Have an observation be what an event says that it is."""
        told = told_of(entry)
        if told is None:
            return
        if entry[NAME] == DELETED or not told.active:
            self._watches.pop(key_of(told), None)
        else:
            self._put(told)
        self._arrange()

    def _put(self, observation: Observation) -> None:
        watch = self._watches.get(key_of(observation))
        if watch is None:
            self._watches[key_of(observation)] = _Watch(observation)
        elif watch.observation != observation:
            watch.become(observation)

    def _arrange(self) -> None:
        self._by_target.clear()
        for (owner, _), watch in self._watches.items():
            target = owner, watch.observation.target
            self._by_target.setdefault(target, []).append(watch)
        self._concerned.clear()


def key_of(observation: Observation) -> Key:
    """By what an observation is known among all owners'."""
    return observation.owner, observation.id


def history_of(observation: Observation) -> str:
    """By what the rows of what an observation saw are known among its owner's.

    Another one of the same id, made after it was deleted, has a history of its own.
    """
    return f"{observation.id}@{to_us(observation.created_at):x}"


def changes(entries: Sequence[Entry]) -> list[Entry]:
    """Those of some events that may tell of an observation."""
    names = set(map(itemgetter(NAME), entries))
    ours = {name for name in names if name.startswith(OF_OBSERVATIONS)}
    return [entry for entry in entries if entry[NAME] in ours] if ours else []


def told_of(entry: Entry) -> Observation | None:
    """The observation that an event tells of; None if it is not one of those."""
    if entry[NAME] not in {CREATED, UPDATED, DELETED}:
        return None
    try:
        found: Observation = msgspec.convert(codec.decode(entry[DATA]), Observation)
    except msgspec.ValidationError:  # somebody else's, who took the name
        return None
    return found if found.owner == entry[OWNER] else None


def in_share(at: int, writer: int, share: float) -> bool:
    """Whether an event, by its time and its writer, falls into a share of all.

    What falls into a share falls into every larger one.
    """
    if share >= 1:
        return True
    return _mixed(_mixed(at) ^ writer) < share * (_ALL_BITS + 1)


def _mixed(number: int) -> int:
    """Another number of 64 bits, as if by chance (splitmix64; Steele et al., 2014)."""
    number = (number + 0x9E3779B97F4A7C15) & _ALL_BITS
    number = ((number ^ number >> 30) * 0xBF58476D1CE4E5B9) & _ALL_BITS
    number = ((number ^ number >> 27) * 0x94D049BB133111EB) & _ALL_BITS
    return number ^ number >> 31
