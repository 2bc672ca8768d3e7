"""A runner: what a process has the store say of the agents that it runs.

Answers for: the units in which a process gives a sign of life, learns what it runs in
the store's eyes, and gives agents back.
Leaves to others: when that is done, and who lives meanwhile (`crew`), what it
means (`kinds.agent_runs`).
Always holds: none of them waits for a server that is away: each is tried again anyway.
"""

import os
from collections.abc import Callable
from typing import TypeVar

from holdfast.core import Core
from holdfast.engine import Terms, Transaction, Unit
from holdfast.kinds.agents import Agents
from holdfast.runtime.leases.leasing import new_holder

T = TypeVar("T")
Kept = dict[str, int]
"""The fences of what a process runs, by agents' ids."""


class Runner:
    """A process as one open store knows it, which runs agents."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.holder = new_holder(core.clock)
        self.place = f"{os.uname().nodename[:100]}:{os.getpid()}"
        self.seconds = core.limits.agent_seconds

    def beat(self, owner: str, known: int | None) -> tuple[int, Kept | None, int]:
        """Give a sign of life; the mark, what is run if that is another, the time."""

        def work(tx: Transaction) -> tuple[int, Kept | None, int]:
            mark = Agents(tx).beat(self.holder, seconds=self.seconds, place=self.place)
            return mark, None if mark == known else self._kept(tx), tx.now

        return self.core.engine.write(self._unit(owner, work))

    def kept(self, owner: str) -> Kept:
        """What this process runs of an owner's, in the store's eyes."""
        return self.core.engine.read(self._unit(owner, self._kept))

    def give_back(self, owner: str, id: str) -> Unit[bool]:
        """What ends this process's run of an agent, if it has one."""

        def work(tx: Transaction) -> bool:
            kind = Agents(tx)
            kind.lock(id)
            there = kind.run_of(id)
            if there is None or there.holder != self.holder:
                return False
            return kind.release(id, fence=there.fence)

        return self._unit(owner, work)

    def give_all_back(self, owner: str) -> None:
        """End all that this process runs of an owner's."""
        self.core.engine.write(
            self._unit(owner, lambda tx: Agents(tx).release_all(self.holder))
        )

    def _kept(self, tx: Transaction) -> Kept:
        found: Kept = {}
        cursor = None
        while True:
            page = Agents(tx).runs(
                holder=self.holder, limit=tx.limits.page, cursor=cursor
            )
            found |= {run.id: run.fence for run in page}
            cursor = page.cursor
            if cursor is None:
                return found

    def _unit(self, owner: str, work: Callable[[Transaction], T]) -> Unit[T]:
        unit = self.core.unit(work, Terms(owner=owner, actor=self.place))
        unit.patient = False
        return unit
