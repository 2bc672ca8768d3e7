"""Claims: which jobs a worker gets, for how long, and what comes before that.

Answers for: the order in which jobs are claimed, jobs whose time has come, claims that
ran out, what lies ahead of a worker.
Leaves to others: how many of a kind there may be (`job_limits`), how a claim ends
(`job_endings`), when schedules are due (`firing`).
Always holds: a job has one claim at most, and each has a larger fence than the one
before.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from holdfast import codec, edges
from holdfast.clock import to_datetime
from holdfast.contract import operation
from holdfast.edges import Count, Edge, Id, PageSize, Seconds, Text
from holdfast.engine import Row
from holdfast.errors import HoldfastError
from holdfast.kinds.firing import fire_due, next_due
from holdfast.kinds.job_limits import Limiting, within
from holdfast.kinds.job_records import (
    ACTIVE,
    SUSPENDED,
    TIMED,
    Ending,
    Job,
    JobStatus,
    Outlook,
    Renewed,
    Served,
    Unhandled,
    job_of,
)
from holdfast.kinds.job_rows import lock_lane
from holdfast.limits import Limits, hold

_WOKEN_AT_ONCE = 1_000
_GIVEN_BACK_AT_ONCE = 100
_FIRED_AT_ONCE = 100
_TRIES = 10
"""How often one claim looks again for jobs that are not too late."""
_COUNTED = 10_000
_TURN = 16
"""Where in a row of `turn_ready` its turn begins, after when it was ready."""
_PAST_DEADLINE = "its deadline passed before it was done"


def _names(value: object, name: str, limits: Limits) -> tuple[str, ...]:
    return _each(value, name, limits, edges.tool_of)


def _lanes(value: object, name: str, limits: Limits) -> tuple[str, ...]:
    return _each(value, name, limits, edges.id_of)


def _each(
    value: object, name: str, limits: Limits, check: edges.Check
) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise edges.wrong_type(name, "a list of text", value)
    found = tuple(check(one, f"{name}[{i}]", limits) for i, one in enumerate(value))
    hold(len(found), limits.batch, name, "batch")
    return tuple(dict.fromkeys(found))


Names = Annotated[Iterable[str], Edge(_names)]
Lanes = Annotated[Iterable[str], Edge(_lanes)]


class _Ahead(msgspec.Struct, frozen=True):
    """When something may have to be done before a claim; None if never."""

    scheduled: int | None
    timed: int | None
    suspended: int | None
    lapsing: int | None
    limits: int

    @property
    def soonest(self) -> int | None:
        """The soonest of these times."""
        times = (self.scheduled, self.timed, self.suspended, self.lapsing)
        return min((time for time in times if time is not None), default=None)


class Claims(Limiting):
    """How workers get jobs."""

    @operation
    def claim(
        self,
        worker: Id,
        *,
        kinds: Names | None = None,
        lanes: Lanes | None = None,
        limit: PageSize = 1,
        lease_seconds: Seconds = 30.0,
        version: Text | None = None,
    ) -> tuple[Job, ...]:
        """Take the jobs whose turn it is, the first first; at most `limit`.

        Each is this worker's alone until its `lease_until`, and is written to with its
        `fence`. Of a lane, one is active at a time. First by priority, then by since
        when they are ready. `version` is that of the code which will begin them.
        """
        return self._claim(
            worker,
            None if kinds is None else tuple(kinds),
            None if lanes is None else tuple(lanes),
            limit,
            lease_seconds,
            {} if version is None else {"": version},
        ).claimed

    @operation
    def renew(self, id: Id, *, fence: Count, lease_seconds: Seconds = 30.0) -> Job:
        """Let a claim end so many seconds from now. Raises `NotFound`, `Fenced`."""
        turn = self._claimed(id, fence)
        self._extend(turn.no, lease_seconds)
        return self._job(id)

    def serve(
        self,
        worker: str,
        endings: Sequence[Ending],
        *,
        kinds: Sequence[str],
        lanes: Sequence[str] | None = None,
        limit: int,
        lease_seconds: float,
        versions: Mapping[str, str],
    ) -> Served:
        """End claims, and claim more: what a worker does in one transaction."""
        if not limit:
            return Served((), self.end_all(endings))
        return self._claim(
            worker, tuple(kinds), lanes, limit, lease_seconds, versions, endings
        )

    def renew_all(
        self, worker: str, claims: Sequence[tuple[str, int]], lease_seconds: float
    ) -> Renewed:
        """Let many claims last longer; which are over, and which to be cancelled."""
        lost, cancelling = [], []
        turns = self._held([(id, None) for id, _ in claims])
        for (id, fence), turn in zip(claims, turns, strict=True):
            if turn is None or self._over(id, turn, fence) is not None:
                lost.append(id)
                continue
            self._extend(turn.no, lease_seconds)
            if turn.cancelling:
                cancelling.append(id)
        return Renewed(tuple(lost), tuple(cancelling))

    def outlook(
        self,
        worker: str,
        kinds: Sequence[str],
        lanes: Sequence[str] | None = None,
    ) -> Outlook:
        """What a worker has ahead of it. It reads only."""
        ahead = self._ahead()
        if ahead.scheduled is not None and ahead.scheduled <= self.tx.now:
            ahead = msgspec.structs.replace(ahead, scheduled=next_due(self.tx))
        soonest = ahead.soonest
        if soonest is not None and soonest <= self.tx.now:
            ready, then = True, None
        else:
            ready, then = self._claimable(kinds, lanes, ahead)
        times = [time for time in (soonest, then) if time is not None]
        rows = self.tx.all("turn_cancelling", owner=self.owner, worker=worker)
        return Outlook(
            ready,
            to_datetime(min(times)) if times else None,
            tuple(id for (id,) in rows),
        )

    def unhandled(self, kinds: Sequence[str]) -> tuple[Unhandled, ...]:
        """What is ready in other kinds than these. It reads only."""
        found = []
        for kind in self._ready_kinds():
            if kind not in kinds:
                asked = {"owner": self.owner, "kind": kind, "limit": _COUNTED}
                (count,) = self.tx.one("turn_kind_count", **asked) or (0,)
                found.append(Unhandled(kind, count))
        return tuple(found)

    def next_owner(self, after: str) -> str | None:
        """The first owner from this one on who has something for a worker.

        It reads only, in the terms of every owner.
        """
        row = self.tx.one("turn_owner", after=after)
        return None if row is None else row[0]

    def _claim(
        self,
        worker: str,
        kinds: Sequence[str] | None,
        lanes: Sequence[str] | None,
        limit: int,
        lease_seconds: float,
        versions: Mapping[str, str],
        endings: Sequence[Ending] = (),
    ) -> Served:
        ahead = self._ahead()
        ended = self._catch_up(ahead, endings)
        rooms = self._rooms_held(kinds, limit) if ahead.limits else {}
        until = self.tx.now + round(lease_seconds * 1_000_000)
        claimed: list[Job] = []
        for _ in range(_TRIES):
            rows = self._ready(kinds, lanes, limit - len(claimed), rooms)
            given = [row for row in rows if not self._is_late(row)]
            claimed += self._give(given, worker, until, versions)
            for row in given:
                self._count(row, rooms)
            if len(given) == len(rows):
                break
            for row in filter(self._is_late, rows):
                self._miss(row)
        return Served(tuple(claimed), ended)

    def _give(
        self,
        rows: Sequence[Row],
        worker: str,
        until: int,
        versions: Mapping[str, str],
    ) -> list[Job]:
        """Give jobs that are ready to a worker."""
        groups: dict[str | None, list[int]] = {}
        claimed = []
        for row in rows:
            (_, _, attempt, fence, _, error, _, cancelling, version,
             deadline) = row[_TURN:]  # fmt: skip
            began = version or versions.get(row[3]) or versions.get("")
            groups.setdefault(began, []).append(row[0])
            state = (ACTIVE, until, attempt + 1, fence + 1, worker, error, None)
            claimed.append(job_of(row, (*state, cancelling, began, deadline)))
        given = {"owner": self.owner, "until_at": until, "worker": worker}
        for began, numbers in groups.items():
            listed = codec.text_of(numbers)
            self.tx.put("turns_claim", numbers=listed, version=began, **given)
        return claimed

    def _is_late(self, row: Row) -> bool:
        """Whether a job's deadline has passed."""
        deadline = row[-1]
        return deadline is not None and deadline <= self.tx.now

    def _miss(self, row: Row) -> None:
        """Give up a job whose deadline has passed."""
        lock_lane(self.tx, row[4])
        turn = self._turn(row[2])
        if turn is not None:
            ending = Ending(
                id=turn.id,
                lane=turn.lane,
                fence=turn.fence,
                outcome="failed",
                error=_PAST_DEADLINE,
                retry=False,
            )
            self._end(turn, ending)

    def _ready(
        self,
        kinds: Sequence[str] | None,
        lanes: Sequence[str] | None,
        limit: int,
        rooms: Mapping[str, int],
    ) -> list[Row]:
        """Rows of the jobs that come next, of each kind as many as it has room for."""
        asked: list[dict[str, Any]]
        if lanes is not None:
            asked = [{"owner": self.owner, "lane": lane} for lane in lanes]
            found = [
                row
                for rows in self.tx.each("turn_ready_in_lane", asked)
                for row in rows
                if kinds is None or row[3] in kinds
            ]
        else:
            asked = [
                {"owner": self.owner, "kind": kind, "limit": most}
                for kind in (self._ready_kinds() if kinds is None else kinds)
                if (most := min(limit, rooms.get(kind, limit))) > 0
            ]
            found = [row for rows in self.tx.each("turn_ready", asked) for row in rows]
        if len(asked) > 1:
            found.sort(key=lambda row: (-row[7], row[_TURN - 1], row[0]))
        return within(found, rooms)[:limit] if rooms else found[:limit]

    def _ready_kinds(self) -> list[str]:
        """The kinds that have something ready."""
        found: list[str] = []
        after = ""
        while (
            row := self.tx.one("turn_kind", owner=self.owner, after=after)
        ) is not None and row[0] is not None:
            after = row[0]
            found.append(after)
        return found

    def _ahead(self) -> _Ahead:
        row = self.tx.one("turns_ahead", owner=self.owner)
        assert row is not None
        return _Ahead(*row)

    def _catch_up(
        self, ahead: _Ahead, endings: Sequence[Ending]
    ) -> tuple[JobStatus | HoldfastError, ...]:
        """End claims, and do what was due before now; what became of the endings.

        Due are schedules, claims that ran out, and jobs that wait for a time. All jobs
        whose claims end are locked together.
        """
        now = self.tx.now
        if ahead.scheduled is not None and ahead.scheduled <= now:
            fire_due(self.tx, _FIRED_AT_ONCE)
        lapsed: Sequence[Row] = ()
        if ahead.lapsing is not None and ahead.lapsing <= now:
            asked = {"owner": self.owner, "now": now}
            lapsed = self.tx.all("turn_lapsed", limit=_GIVEN_BACK_AT_ONCE, **asked)
        ended = self.end_all(endings, [(id, lane) for id, lane in lapsed])
        for state, until in ((TIMED, ahead.timed), (SUSPENDED, ahead.suspended)):
            if until is not None and until <= now:
                self.tx.put(
                    "turn_wake",
                    owner=self.owner,
                    state=state,
                    now=now,
                    limit=_WOKEN_AT_ONCE,
                )
        return ended

    def _claimable(
        self, kinds: Sequence[str], lanes: Sequence[str] | None, ahead: _Ahead
    ) -> tuple[bool, int | None]:
        """Whether a job can be claimed now; if only a rate forbids it, when it may."""
        if lanes is not None:
            asked = [{"owner": self.owner, "lane": lane} for lane in lanes]
            rows = self.tx.each("turn_any_in_lane", asked)
            ready = {row[1] for found in rows for row in found} & set(kinds)
        else:
            asked = [{"owner": self.owner, "kind": kind} for kind in kinds]
            found = self.tx.each("turn_any", asked)
            ready = {kind for kind, row in zip(kinds, found, strict=True) if row}
        if not (ready and ahead.limits):
            return bool(ready), None
        rooms = self._rooms(self._limits_of(tuple(ready)), 1)
        if any(rooms.get(kind, 1) > 0 for kind in ready):
            return True, None
        return False, self._next_start(ready)

    def _extend(self, no: int, lease_seconds: float) -> None:
        until = self.tx.now + round(lease_seconds * 1_000_000)
        self.tx.put("turn_extend", owner=self.owner, no=no, until_at=until)
