"""Figures of jobs, of one owner or of all of them together.

Answers for: adding owners' figures up, and how fast they change.
Leaves to others: what an owner's figures are (`kinds/jobs`), showing them.
"""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from holdfast.kinds.job_records import FINISHED, JobStats, JobStatus

if TYPE_CHECKING:
    from holdfast.store import Store


def figures_of(store: "Store", owner: str | None) -> JobStats:
    """The figures of one owner's jobs, or of every owner's."""
    if owner is not None:
        return store.owned_by(owner).jobs.stats()
    return together(store.owned_by(name).jobs.stats() for name in store.owners())


def together(found: Iterable[JobStats]) -> JobStats:
    """Several owners' figures as one's."""
    total, ready = 0, []
    by_status = Counter({status.value: 0 for status in JobStatus})
    by_kind: dict[str, Counter[str]] = {}
    for one in found:
        total += one.total
        by_status.update(one.by_status)
        for kind, figures in one.by_kind.items():
            by_kind.setdefault(kind, Counter()).update(figures)
        if one.ready_since is not None:
            ready.append(one.ready_since)
    return JobStats(
        total=total,
        by_status=dict(by_status),
        by_kind={kind: dict(figures) for kind, figures in by_kind.items()},
        ready_since=min(ready, default=None),
    )


def ended(figures: dict[str, int]) -> int:
    """How many of the jobs that are counted by status have ended."""
    return sum(figures.get(status.value, 0) for status in FINISHED)


def rate(before: int, now: int, seconds: float) -> float:
    """How many more a second; deleted ones are not counted backwards."""
    return max(now - before, 0) / seconds if seconds > 0 else 0.0
