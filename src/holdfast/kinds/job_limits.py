"""Limits of jobs: how many of a kind may be active at once, and begin within a time.

Answers for: saying a limit, how much room it leaves, counting what begins.
Leaves to others: which jobs are claimed (`job_claims`).
Always holds: no more of a kind are active, or begin within any stretch of its time,
than its limit says, whoever claims them.
"""

from collections.abc import Mapping, Sequence

from holdfast.contract import operation, query
from holdfast.edges import Count, Seconds, Tool
from holdfast.engine import Row
from holdfast.errors import Refused
from holdfast.kinds.job_endings import Endings
from holdfast.kinds.job_records import Limit, limit_of

_FENCE = 19
"""Where a row of `turn_ready` says how often its job was claimed."""


class Limiting(Endings):
    """How many jobs of a kind there may be."""

    @operation
    def limit(
        self,
        kind: Tool,
        *,
        concurrency: Count | None = None,
        rate: Count | None = None,
        per_seconds: Seconds | None = None,
    ) -> Limit:
        """Say how many jobs of a kind may be active at once, and begin within a time.

        It holds across all workers; without any number there is no limit any more.
        Raises `Refused` (a rate without its time, or the other way round).
        """
        if (rate is None) != (per_seconds is None):
            raise Refused("a rate is so many jobs per so many seconds: say both")
        wanted = Limit(
            kind=kind, concurrency=concurrency, rate=rate, per_seconds=per_seconds
        )
        self.tx.lock("job_limits", kind)
        if wanted in self.limits():
            return wanted
        if concurrency is None and rate is None:
            self.tx.put("limit_drop", owner=self.owner, kind=kind)
        else:
            self.tx.put(
                "limit_put",
                owner=self.owner,
                kind=kind,
                concurrency=concurrency,
                rate=rate,
                per_us=None if per_seconds is None else round(per_seconds * 1_000_000),
            )
        return wanted

    @query
    def limits(self) -> tuple[Limit, ...]:
        """Every limit that there is, by kind."""
        return tuple(map(limit_of, self.tx.all("limit_list", owner=self.owner)))

    def _rooms_held(self, kinds: Sequence[str] | None, limit: int) -> dict[str, int]:
        """As `_rooms`, of limits that no other claim counts against meanwhile."""
        limits = self._limits_of(kinds)
        for kind, *_ in limits:
            self.tx.lock("job_limits", kind)
        return self._rooms(limits, limit)

    def _rooms(self, limits: Sequence[Row], limit: int) -> dict[str, int]:
        """How many more jobs of each kind that has a limit may be claimed now."""
        found = {}
        for kind, concurrency, rate, per_us in limits:
            asked = {"owner": self.owner, "kind": kind}
            room = limit
            if concurrency is not None:
                row = self.tx.one("turn_active", limit=concurrency, **asked)
                room = min(room, concurrency - (row[0] if row else 0))
            if rate is not None:
                after = self.tx.now - per_us
                row = self.tx.one("start_count", after=after, **asked)
                room = min(room, rate - (row[0] if row else 0))
            found[kind] = max(room, 0)
        return found

    def _limits_of(self, kinds: Sequence[str] | None) -> list[Row]:
        rows = self.tx.all("limit_list", owner=self.owner)
        return [row for row in rows if kinds is None or row[0] in kinds]

    def _next_start(self, kinds: set[str]) -> int | None:
        """When a rate allows another job of one of these kinds to begin."""
        times = []
        for kind, _, rate, per_us in self._limits_of(tuple(kinds)):
            if rate:
                asked = {"owner": self.owner, "kind": kind, "nth": rate - 1}
                row = self.tx.one("start_nth", **asked)
                times += [row[0] + per_us] if row else []
        return min(times, default=None)

    def _count(self, row: Row, rooms: dict[str, int]) -> None:
        """Count a job that is claimed against the limit of its kind, if it has one."""
        if row[3] not in rooms:
            return
        rooms[row[3]] -= 1
        for kind, _, rate, per_us in self._limits_of((row[3],)):
            if rate is not None:
                asked = {"owner": self.owner, "kind": kind}
                self.tx.put("start_sweep", upto=self.tx.now - per_us, **asked)
                began = {"now": self.tx.now, "no": row[0], "fence": row[_FENCE] + 1}
                self.tx.put("start_add", **asked, **began)


def within(rows: list[Row], rooms: Mapping[str, int]) -> list[Row]:
    """The rows that there is room for, of each kind the first ones."""
    left, kept = dict(rooms), []
    for row in rows:
        if left.get(row[3], 1) > 0:
            kept.append(row)
            if row[3] in left:
                left[row[3]] -= 1
    return kept
