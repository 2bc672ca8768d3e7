"""Reporting: what a worker has done so far.

Answers for: the figures of a worker, counted as they come.
"""

import msgspec


class WorkerReport(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a worker, since it was made.

    `failed` are attempts that are made again, `dead` jobs that are not; `lost` are
    claims that ran out; `abandoned` are handlers that did not end when they were to,
    and were left to themselves; `changed` are jobs that began under another version of
    their handler. `unhandled` says how many jobs of which kinds wait that the worker
    has no handler for.
    """

    name: str
    running: int
    claimed: int
    done: int
    failed: int
    dead: int
    cancelled: int
    released: int
    suspended: int
    lost: int
    abandoned: int
    changed: int
    unhandled: dict[str, int]


class Tally:
    """Counts what a worker does."""

    def __init__(self) -> None:
        self.running = 0
        self.unhandled: dict[str, int] = {}
        self._counts = dict.fromkeys(WorkerReport.__struct_fields__[2:-1], 0)

    def count(self, what: str, times: int = 1) -> None:
        """Count one more."""
        self._counts[what] += times

    def report(self, name: str) -> WorkerReport:
        """The figures as they are now."""
        return WorkerReport(
            name=name,
            running=self.running,
            unhandled=dict(self.unhandled),
            **self._counts,
        )
