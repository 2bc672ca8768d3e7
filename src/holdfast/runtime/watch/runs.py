"""Runs: watched queries, each run once for all who watch the same.

Answers for: who watches which query, its newest outcome, whom that is told; which of
them are due, and up to which change of the journal was looked.
Leaves to others: running them (`rounds`), when that is done (`feeding`), which changes
concern one (`touching`).
Always holds: an outcome takes the place of an older one only; a run whose outcome is
older than what was looked at is due.
"""

import threading
import time
import weakref
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, Protocol

from holdfast.contract import Registry
from holdfast.engine import Row, Transaction
from holdfast.runtime.watch.queries import Outcome, Query, failed
from holdfast.runtime.watch.touching import Index, Key, Tables, keys_of

if TYPE_CHECKING:
    import asyncio  # it loads slowly, and not everyone needs it


_HEAD_START_SECONDS = 0.25
"""How much sooner than others those have their turn whose rows are likely to differ."""


class Watcher(Protocol):
    """Someone who watches, as runs know them."""

    loop: "asyncio.AbstractEventLoop | None"
    """On which event loop it hears; None if it hears on any thread."""

    def hear(self) -> None:
        """Take note that there is news, or that no more comes."""
        ...

    def forsake(self) -> None:
        """Watch no more: the event loop on which it hears is closed."""
        ...


class Run:
    """A query that is watched, its newest outcome, and who watches it."""

    def __init__(self, query: Query, outcome: Outcome) -> None:
        self.query = query
        self.outcome = outcome
        self.failures = 0
        self.again_at = 0.0
        """When it is run again, after it failed as if the store were away."""
        self.watchers: weakref.WeakSet[Any] = weakref.WeakSet()


class Runs:
    """What is watched in one open store."""

    def __init__(self, registry: Registry) -> None:
        self.place = 0
        """Up to which change of the journal was looked."""
        self._mutex = threading.Lock()
        self._tables = Tables(registry)
        self._index: Index[Run] = Index()
        self._of: dict[Hashable, Run] = {}
        self._due: dict[Run, float] = {}
        """Those that are to be run, each with its turn: the earliest has it first."""
        self._joined: list[Run] = []
        """Runs that came, or were given an outcome, since the last look began."""

    # Who watches.

    def known(self, query: Query, head: int) -> Outcome | None:
        """What a query gives, if no change up to this one may have altered it."""
        with self._mutex:
            run = self._of.get(query.key)
            if run is not None and self._is_current(run, head):
                return run.outcome
        return None

    def join(self, query: Query, outcome: Outcome, watcher: Watcher) -> Run:
        """Have someone watch a query, who knows this outcome."""
        told: list[Watcher] = []
        with self._mutex:
            run = self._of.get(query.key)
            if run is None:
                run = self._of[query.key] = Run(query, outcome)
                self._index.put(run, self._tables.reach(query, outcome))
            else:
                told = self._take(run, outcome)
            if run.outcome is outcome:
                self._joined.append(run)
            run.watchers.add(watcher)
        tell(told)
        return run

    def leave(self, run: Run, watcher: Watcher) -> None:
        """Have someone watch no more."""
        with self._mutex:
            run.watchers.discard(watcher)
            if not run.watchers:
                self._drop(run)

    def let_go(self) -> None:
        """Drop what nobody watches, as those did who went without a word."""
        with self._mutex:
            for run in [run for run in self._of.values() if not run.watchers]:
                self._drop(run)

    def everyone(self) -> list[Watcher]:
        """All who watch."""
        with self._mutex:
            return [one for run in self._of.values() for one in run.watchers]

    def __bool__(self) -> bool:
        """Whether anything is watched."""
        return bool(self._of)

    def disown(self) -> None:
        """In a process that was forked: need no lock that another thread has."""
        self._mutex = threading.Lock()

    # What is to be run.

    @property
    def any_untold(self) -> bool:
        """Whether one depends on what the journal does not tell of."""
        return bool(self._index.untold)

    def begin(self) -> None:
        """Before a look: have those run whose outcome is older than the last one."""
        with self._mutex:
            self._take_in_joined()

    def looked(
        self, place: int, keys: Mapping[Key, int] | None, *, untold: bool
    ) -> None:
        """Have run what the changes up to this one touch, which have these keys.

        None says that they touch everything. With `untold`, have run too what depends
        on what the journal does not tell of.
        """
        with self._mutex:
            self._line_up(self._touched(keys), _numbers_in(keys))
            if untold:
                self._line_up(self._index.untold)
            self.place = place
            self._take_in_joined()

    def keys_of(self, tx: Transaction, rows: Sequence[Row]) -> dict[Key, int]:
        """The keys of some entries of the journal, as far as someone asks for them."""
        return keys_of(tx, rows, self._index, self._tables.by_name)

    def due(self, now: float) -> list[Run]:
        """Those that are to be run, in turn."""
        with self._mutex:
            due = [run for run in self._due if run.again_at <= now]
            return sorted(due, key=self._due.__getitem__)

    def due_at(self) -> float | None:
        """When the first that is due may be run; None if none is."""
        with self._mutex:
            return min((run.again_at for run in self._due), default=None)

    # What they gave.

    def settle(self, found: Iterable[tuple[Run, Outcome]]) -> None:
        """Take what runs gave, and tell those for whom it is news."""
        told: list[Watcher] = []
        with self._mutex:
            for run, outcome in found:
                run.failures, run.again_at = 0, 0.0
                self._due.pop(run, None)
                if self._of.get(run.query.key) is run:
                    told += self._take(run, outcome)
        tell(told)

    def fail(self, error: Exception) -> None:
        """Have everyone told of an error; all is run again when it has passed."""
        told: list[Watcher] = []
        with self._mutex:
            for run in self._of.values():
                told += self._take(run, failed(error, run.outcome, 0))
            self._line_up(self._of.values())
        tell(told)

    # Under the lock.

    def _is_current(self, run: Run, head: int) -> bool:
        told = run not in self._index.untold and run not in self._due
        joined = run in self._joined
        place = run.outcome.head if joined else max(self.place, run.outcome.head)
        return told and place >= head

    def _take(self, run: Run, outcome: Outcome) -> list[Watcher]:
        """Take a newer outcome of a run; who is to be told."""
        if outcome.head < run.outcome.head or outcome is run.outcome:
            return []
        before, run.outcome = run.outcome, outcome
        if outcome.depends != before.depends:
            self._index.put(run, self._tables.reach(run.query, outcome))
        return [] if outcome.same(before) else list(run.watchers)

    def _drop(self, run: Run) -> None:
        if self._of.get(run.query.key) is run:
            del self._of[run.query.key]
            self._index.drop(run)
            self._due.pop(run, None)

    def _take_in_joined(self) -> None:
        """Have those run again whose outcome is older than what was looked at."""
        self._line_up(run for run in self._joined if run.outcome.head < self.place)
        self._joined.clear()

    def _line_up(self, runs: Iterable[Run], changed: Set[int] = frozenset()) -> None:
        """Have some run, sooner if they asked about rows that have these numbers."""
        now = time.monotonic()
        for run in runs:
            turn = now
            if not changed.isdisjoint(run.outcome.numbers):
                turn -= _HEAD_START_SECONDS
            self._due[run] = min(turn, self._due.get(run, turn))

    def _touched(self, keys: Mapping[Key, int] | None) -> Iterable[Run]:
        if keys is None:
            return self._of.values()
        touched = self._index.found(keys)
        return [run for run, seq in touched.items() if seq > run.outcome.head]


def _numbers_in(keys: Mapping[Key, int] | None) -> Set[int]:
    """The numbers of the rows that changed."""
    return {one for key in keys or () for one in key[2:] if type(one) is int}


def tell(watchers: Iterable[Watcher]) -> None:
    """Tell everyone that there is news; those of one event loop with one call."""
    loops: dict[asyncio.AbstractEventLoop, list[Watcher]] = {}
    for one in watchers:
        if one.loop is None:
            one.hear()
        else:
            loops.setdefault(one.loop, []).append(one)
    for loop, those in loops.items():
        try:
            loop.call_soon_threadsafe(_hear_all, those)
        except RuntimeError:  # it was closed: nobody waits there any more
            for one in those:
                one.forsake()


def _hear_all(watchers: list[Watcher]) -> None:
    for one in watchers:
        one.hear()
