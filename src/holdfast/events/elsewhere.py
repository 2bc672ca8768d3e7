"""Elsewhere: what observations saw of events that other processes emitted.

Answers for: what came to disk since, by writer and observation, for some observers.
Leaves to others: telling anyone (`observers`).
Always holds: a row is told once; it is on disk before it is told.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from holdfast.clock import Clock
from holdfast.contract import each
from holdfast.engine import Engine, Terms, Transaction, Unit, Work
from holdfast.events.log import EventLog
from holdfast.events.observing import history_of
from holdfast.events.writers import Marks
from holdfast.kinds.event_records import AT, WRITER, Kept
from holdfast.kinds.observation_records import Observation
from holdfast.kinds.observations import Observations

T = TypeVar("T")
_AT_ONCE = 500
_BESIDE = Terms(every_owner=True, beside=True)


class Elsewhere:
    """How far other writers were followed, for this store's attached functions."""

    def __init__(self, engine: Engine, log: EventLog, clock: Clock) -> None:
        self._engine = engine
        self._log = log
        self._clock = clock
        self._marks = Marks()
        self.told = True
        """Whether something may have come that was not read."""
        self._stop: Callable[[], None] = lambda: None
        self._wake: Callable[[], None] = lambda: None

    def begin(self, wake: Callable[[], None]) -> None:
        """Have `wake` called when something came to disk, from now on."""
        self._wake = wake
        self._stop = self._log.watch(self._come)
        self._marks = self._fresh()

    def end(self) -> None:
        """Look no more."""
        self._stop()

    def news(
        self, observers: Iterable[tuple[str, str]]
    ) -> list[tuple[Observation, Kept]]:
        """What observations of some (owner, observer) saw since the last call."""
        if not self.told:
            return []
        self.told = False
        try:
            return self._news(observers)
        except BaseException:
            self.told = True
            raise

    def _news(
        self, observers: Iterable[tuple[str, str]]
    ) -> list[tuple[Observation, Kept]]:
        fresh = self._fresh()
        theirs = {
            writer: newest
            for writer, newest in fresh.newest.items()
            if not self._log.wrote(writer)
        }
        found: list[tuple[Observation, Kept]] = []
        for owner, observer in observers if theirs else ():
            for observation in self._observations(owner, observer):
                rows = self._seen_by(observation, theirs)
                found += [(observation, kept) for kept in rows]
        self._marks = self._marks.and_(fresh)
        found.sort(key=lambda one: (one[1][AT], one[1][WRITER]))
        return found

    def _come(self) -> None:
        self.told = True
        self._wake()

    def _fresh(self) -> Marks:
        """How far those writers are on disk that brought something since."""
        return self._log.read(self._unit(self._marks.fresh))

    def _observations(self, owner: str, observer: str) -> tuple[Observation, ...]:
        """An observer's observations, which were made before those rows were."""

        def work(tx: Transaction) -> tuple[Observation, ...]:
            page_at = partial(Observations(tx).list, observer, limit=tx.limits.page)
            return tuple(each(page_at))

        return self._engine.read(self._unit(work, Terms(owner=owner)))

    def _seen_by(self, observation: Observation, theirs: dict[int, int]) -> list[Kept]:
        """What an observation saw of what other writers brought since."""

        def work(tx: Transaction) -> list[Kept]:
            return [
                row
                for writer, newest in theirs.items()
                for row in self._pages(tx, observation, writer, newest)
            ]

        return self._log.read(self._unit(work))

    def _pages(
        self, tx: Transaction, observation: Observation, writer: int, newest: int
    ) -> list[Kept]:
        after = self._marks.of(writer)
        found: list[Kept] = []
        key = history_of(observation)
        asked = {"owner": observation.owner, "key": key, "writer": writer}
        while True:
            rows = tx.all(
                "observed_since", after=after, upto=newest, limit=_AT_ONCE, **asked
            )
            found += rows
            if len(rows) < _AT_ONCE:
                return found
            after = rows[-1][AT]

    def _unit(self, work: Work[T], terms: Terms = _BESIDE) -> Unit[T]:
        unit = Unit(work, terms, self._clock)
        unit.patient = False
        return unit
