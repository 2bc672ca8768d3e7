"""Lanes: where units of work that write are run, several at once.

Answers for: which callers run their unit on their own thread, and which units share a
transaction on a lane's.
Leaves to others: how units become commits (units), who waits for a record (aside).
Always holds: units that wait are taken in the order in which they came; a unit that
waits for a record somebody else keeps does not keep the others waiting.
"""

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from holdfast.engine import Unit, answer
from holdfast.engines.postgres import failures
from holdfast.engines.postgres.aside import Aside
from holdfast.engines.postgres.commit import Committer
from holdfast.engines.postgres.units import GROUP_UNITS, SHORT_LOCK_SECONDS, Runner

T = TypeVar("T")
_LANES = 2
"""While one group is being committed, the next one is run."""
_ON_THEIR_OWN = 2
"""How many callers may run units on their own threads before the rest are grouped."""


class Lanes:
    """Serves everyone who writes, outside of transactions of their own."""

    def __init__(
        self,
        runner: Callable[[], Runner],
        aside: Aside,
        after: Callable[[Committer], None],
    ) -> None:
        self._runner = runner
        self._aside = aside
        self._after = after
        self._queue: queue.SimpleQueue[Unit[Any] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._entering = threading.Lock()
        self._alone = threading.Semaphore(_ON_THEIR_OWN)
        self._closed: BaseException | None = None

    def write(self, unit: Unit[T]) -> T:
        """Run a unit to its commit, on this thread if few others write.

        So is an impatient one, which would wait as long as others in its transaction.
        """
        if self._closed is not None:
            raise self._closed
        if not unit.patient:
            self._apart(unit)
        elif self._queue.empty() and self._alone.acquire(blocking=False):
            try:
                self._apart(unit)
            finally:
                self._alone.release()
        else:
            unit.expected()
            self.post(unit)
        return unit.outcome()

    def post(self, unit: Unit[Any]) -> None:
        """Have a unit run on a lane's thread."""
        with self._entering:
            if self._closed is not None:
                raise self._closed
            self._queue.put(unit)
            if not self._idle and len(self._threads) < _LANES:
                self._start()

    def close(self, why: BaseException) -> None:
        """Serve who waits already, then nobody any more."""
        with self._entering:
            self._closed = self._closed or why
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def disown(self, why: BaseException) -> None:
        """Serve nobody any more: the threads are another process's."""
        self._closed = why
        self._threads.clear()

    def _start(self) -> None:
        name = f"holdfast-lane-{len(self._threads)}"
        thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        runner = self._runner()
        while True:
            self._idle += 1
            unit = self._queue.get()
            self._idle -= 1
            if unit is None:
                runner.committer.let_go()
                return
            self._run([unit, *self._more()], runner)
            if self._queue.empty():
                runner.committer.let_go()

    def _more(self) -> list[Unit[Any]]:
        """Those who wait by now, as many as fit into one transaction."""
        units: list[Unit[Any]] = []
        share = (self._queue.qsize() + 1) // (self._idle + 1)
        while len(units) < min(GROUP_UNITS, max(share, 4)) - 1:
            try:
                unit = self._queue.get_nowait()
            except queue.Empty:
                break
            if unit is None:
                self._queue.put(None)  # the end; to be met again by `_serve`
                break
            units.append(unit)
        return units

    def _run(self, units: list[Unit[Any]], runner: Runner) -> None:
        left = runner.group(units)
        others = {id(u) for u in left.alone} | {id(u) for _, u in left.waiting}
        answer([unit for unit in units if id(unit) not in others])
        self._aside.put(left.waiting)
        for unit in left.alone:
            runner.alone(unit, SHORT_LOCK_SECONDS)
            error = unit.error
            if error is not None and failures.state_of(error) == failures.LOCKED:
                self._aside.put([(id(unit), unit)])
            else:
                answer([unit])
        self._after(runner.committer)

    def _apart(self, unit: Unit[Any]) -> None:
        """Run a unit on a connection of its own."""
        runner = self._runner()
        try:
            runner.alone(unit)
        finally:
            runner.committer.let_go()
        self._after(runner.committer)
