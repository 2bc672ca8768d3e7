"""Runs: the open stores that have participants, and asking them for a checkpoint.

Answers for: that a run is there, and that it is over; asking runs, and their answers.
Leaves to others: whether the process of a run lives (`runtime.checkpoints.living`).
Always holds: a run that has ended in order is gone. An answer is to every question that
came before it was begun, so that any number may ask at once.
"""

from collections.abc import Sequence
from typing import Any

from holdfast import codec
from holdfast.engine import Transaction
from holdfast.kinds.checkpoint_records import Run

_RUNS = 10_000
"""So many runs are asked at most, of those that were killed too."""
_NEXT = "\x01"
"""After an owner, the first place in their order that is behind it."""
_FORGOTTEN_US = 7 * 86_400_000_000
"""After so long without a word a run is forgotten."""


class Runs:
    """The runs of an owner, in a transaction."""

    def __init__(self, tx: Transaction) -> None:
        self.tx = tx
        self.owner = tx.terms.owner

    def beat(self, run: Run) -> None:
        """Say that a run is there; forget those that are long gone."""
        before = self.tx.now - _FORGOTTEN_US
        self.tx.put("memory_run_sweep", owner=self.owner, before=before)
        self.tx.put(
            "memory_run_beat",
            owner=self.owner,
            id=run.id,
            machine=run.machine,
            pid=run.pid,
            started=run.started,
            process=run.process,
            now=self.tx.now,
        )

    def end(self, run: Run) -> None:
        """Say that a run is over; what it took can be restored from now on."""
        self.tx.put("memory_run_end", owner=self.owner, id=run.id)

    def asked_of(self, run: Run) -> int:
        """Which question a run has not answered yet; 0 if there is none."""
        row = self.tx.one("memory_run_get", owner=self.owner, id=run.id)
        return 0 if row is None or row[0] <= row[1] else int(row[0])

    def list(self) -> Sequence[tuple[Run, int]]:
        """The runs of the owner, each with when it last beat, newest first."""
        rows = self.tx.all("memory_run_list", owner=self.owner, limit=_RUNS)
        return [(Run(*row[:5]), row[5]) for row in rows]

    def ask(self, ids: Sequence[str]) -> dict[str, int]:
        """Ask runs for a checkpoint: by run, which question of it that is."""
        asked = {}
        for id in sorted(ids):
            self.tx.lock("memory_run", id)
            self.tx.run("memory_run_ask", owner=self.owner, id=id)
            row = self.tx.one("memory_run_get", owner=self.owner, id=id)
            if row is not None:
                asked[id] = row[0]
        return asked

    def answer(self, run: Run, asked: int, said: dict[str, Any]) -> None:
        """Answer what a run was asked."""
        self.tx.lock("memory_run", run.id)
        self.tx.put(
            "memory_run_answer",
            owner=self.owner,
            id=run.id,
            answered=asked,
            answer=codec.text_of(said),
            now=self.tx.now,
        )

    def answers(self, asked: dict[str, int]) -> dict[str, Any]:
        """What runs have answered to a question, as far as they have.

        None for a run that is over by now.
        """
        found: dict[str, Any] = {}
        for id, number in asked.items():
            row = self.tx.one("memory_run_get", owner=self.owner, id=id)
            if row is None:
                found[id] = None
            elif row[1] >= number:
                found[id] = codec.decode(row[2])
        return found

    def owners(self) -> Sequence[str]:
        """Everyone who has a run, in the terms of every owner."""
        found: list[str] = []
        row = self.tx.one("memory_run_owners", after="")
        while row is not None and row[0] is not None:
            found.append(row[0])
            row = self.tx.one("memory_run_owners", after=row[0] + _NEXT)
        return found
