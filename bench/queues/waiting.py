"""Stores in which jobs wait, in lanes of a hundred.

Answers for: how long a claim takes, and how long after the opening of a store the first
one is there.
"""

import time
from pathlib import Path
from statistics import median

import holdfast
from bench import raw

IN_A_LANE = 100
AT_ONCE = 10_000
CLAIMS = 100


def lanes_of(count: int) -> int:
    """How many lanes so many jobs are in."""
    return max(1, count // IN_A_LANE)


def of(count: int) -> str:
    """So many jobs, in words."""
    if count == 1:
        return "one job waiting"
    return f"{count:,} waiting in {lanes_of(count):,} lanes"


def fill(path: Path, count: int) -> None:
    """Put so many jobs, dealt to the lanes in turn."""
    lanes = lanes_of(count)

    def some(tx: holdfast.Transaction, first: int, last: int) -> None:
        for number in range(first, last):
            tx.jobs.put("bench", raw.TEXT, lane=f"lane-{number % lanes}")

    with holdfast.open(path) as store:
        for first in range(0, count, AT_ONCE):
            store.run(some, first, min(count, first + AT_ONCE))


def claims(path: Path) -> float:
    """The milliseconds of a claim, at the median; what is claimed is completed."""
    took = []
    with holdfast.open(path) as store:
        for _ in range(CLAIMS):
            started = time.perf_counter()
            (job,) = store.jobs.claim("bench")
            took.append((time.perf_counter() - started) * 1000)
            store.jobs.complete(job.id, fence=job.fence)
    return median(took)


def first_claim(path: Path) -> float:
    """The milliseconds from a store's opening until a claim has given a job."""
    started = time.perf_counter()
    with holdfast.open(path) as store:
        (job,) = store.jobs.claim("bench")
        took = (time.perf_counter() - started) * 1000
        store.jobs.complete(job.id, fence=job.fence)
    return took
