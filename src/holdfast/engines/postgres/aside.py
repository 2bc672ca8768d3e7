"""Aside: units that wait for records which somebody keeps, a queue for each record.

Answers for: waiting for a record on a connection of its own, for all who want it at
once, so that nobody else is held up.
Leaves to others: finding out that a record is kept (units), running (units).
Always holds: of each record's units at most one group waits at a time, and never more
groups than may have a connection.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from holdfast.engine import Unit, answer
from holdfast.engines.postgres.units import GROUP_UNITS, Runner


class Aside:
    """Queues by records, served by at most so many threads."""

    def __init__(
        self, runner: Callable[[], Runner], threads: Executor, most: int
    ) -> None:
        self._runner = runner
        self._threads = threads
        self._left = most
        self._mutex = threading.Lock()
        self._queues: dict[int, deque[Unit[Any]]] = {}
        self._ready: deque[int] = deque()
        """Records whose units nobody runs at the moment."""

    def put(self, waiting: list[tuple[int, Unit[Any]]]) -> None:
        """Have units run, each when the record that it waits for is free."""
        with self._mutex:
            for key, unit in waiting:
                if key not in self._queues:
                    self._queues[key] = deque()
                    self._ready.append(key)
                self._queues[key].append(unit)
            starting = min(self._left, len(self._ready))
            self._left -= starting
        for _ in range(starting):
            self._threads.submit(self._serve)

    def _serve(self) -> None:
        runner = self._runner()
        try:
            while (found := self._next()) is not None:
                key, units = found
                self._run(runner, units)
                self._done(key)
        finally:
            runner.committer.let_go()

    def _next(self) -> tuple[int, list[Unit[Any]]] | None:
        with self._mutex:
            if not self._ready:
                self._left += 1
                return None
            key = self._ready.popleft()
            waiting = self._queues[key]
            return key, [
                waiting.popleft() for _ in range(min(len(waiting), GROUP_UNITS))
            ]

    def _run(self, runner: Runner, units: list[Unit[Any]]) -> None:
        left = runner.group(units, patient=True)
        others = [*left.alone, *(unit for _, unit in left.waiting)]
        kept = {id(unit) for unit in others}
        answer([unit for unit in units if id(unit) not in kept])
        for unit in others:
            runner.alone(unit)
            answer([unit])

    def _done(self, key: int) -> None:
        with self._mutex:
            if self._queues[key]:
                self._ready.append(key)
            else:
                del self._queues[key]
