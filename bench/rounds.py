"""Measuring in alternating rounds, each load on a fresh file of one disk.

Answers for: the folder that a run works in, and the order in which loads take turns.
Always holds: the folder is gone afterwards; in each round every load runs once, and
each round starts with another one, so that none always follows the same neighbour.
"""

import gc
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".bench"

Load = Callable[[Path], float]
"""Does its work in the folder that it is given, and returns its figure."""

Figures = dict[str, list[float]]


class Run(NamedTuple):
    """What every measure is handed: where to work, and how much."""

    folder: Path
    quick: bool = False

    @property
    def rounds(self) -> int:
        """How often each load takes its turn."""
        return 3 if self.quick else 7

    def count(self, full: int) -> int:
        """How many operations a load of `full` makes in this run."""
        return max(100, full // 5) if self.quick else full

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        """An empty folder, removed afterwards."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def interleave(
        self, loads: Mapping[str, Load], *, rounds: int | None = None
    ) -> Figures:
        """Run every load once a round; returns each one's figures, round by round."""
        names = list(loads)
        figures: Figures = {name: [] for name in names}
        for turn in range(rounds or self.rounds):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                with self.fresh() as folder:
                    gc.collect()
                    figures[name].append(loads[name](folder))
        return figures


@contextmanager
def working_folder(parent: Path | None) -> Iterator[Path]:
    """The folder of one run, beside the repository unless told; removed afterwards."""
    base = parent or FOLDER
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=base))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if not any(base.iterdir()):
            base.rmdir()


def syncs_per_second(folder: Path, count: int = 500) -> float:
    """How many 4 KB writes a second the disk can make durable, one after another."""
    descriptor = os.open(folder / "syncs", os.O_CREAT | os.O_WRONLY, 0o600)
    sync = getattr(os, "fdatasync", os.fsync)
    try:
        started = time.perf_counter()
        for block in range(count):
            os.pwrite(descriptor, b"h" * 4096, 4096 * (block % 100))
            sync(descriptor)
        return count / (time.perf_counter() - started)
    finally:
        os.close(descriptor)
