"""Observations: who observes whom, and by which events.

Answers for: making, finding, changing, pausing and deleting them; telling that it was
done, so that who emits events looks at them again.
Leaves to others: what an observation is (`observation_records`), which events it sees
(`events.observing`), who is told of them (`events.attaching`).
Always holds: equal observations of one observer are one, unless they have ids.
"""

from typing import Any

from msgspec import UNSET, UnsetType, to_builtins
from msgspec.structs import replace

from holdfast import codec
from holdfast.clock import to_datetime
from holdfast.contract import Kind, operation, query
from holdfast.edges import Count, Id, PageSize
from holdfast.engine import Row, Table, Told
from holdfast.errors import AlreadyExists, Conflict
from holdfast.guarantees import Promise
from holdfast.kinds.observation_records import (
    OF_OBSERVATIONS,
    AnyStatus,
    Observation,
    ObservationStatus,
    Patterns,
    Rate,
    Share,
    Where,
    observation_of,
)
from holdfast.page import Page, cursor_of, place_of
from holdfast.restoring import Plan

_ALL = 2**62
_CREATED_AT = 11
_CONTENT = (
    "observer",
    "target",
    "events",
    "sampling_rate",
    "rate_limit",
    "where",
    "inbox",
)


class Observations(Kind):
    """Who observes whom; each call is a transaction of its own, or part of one."""

    name = "observations"
    promise = Promise.DURABLE
    why = "who observes whom holds again after each restart"
    changed_by = "create, update, pause, resume, delete"
    leased = True
    tables = (Table("observation", json=("events", "conditions")),)
    bookkeeping = frozenset({"version", "updated_at"})

    @operation
    def create(
        self,
        observer: Id,
        target: Id = "*",
        events: Patterns = ("*",),
        *,
        id: Id | None = None,
        sampling_rate: Share = 1.0,
        rate_limit: Rate | None = 10.0,
        where: Where | None = None,
        inbox: bool = False,
    ) -> Observation:
        """Have somebody observe somebody, from now on, and after any restart.

        `target` is the source of the events, or `"*"`; `events` are patterns of names,
        `where` what the data must hold. An equal one that is there is given back, as it
        stands. Raises `AlreadyExists` (the id, with other content).
        """
        now = self.tx.now
        wanted = Observation(
            id=id or self.tx.new_id(),
            owner=self.owner,
            observer=observer,
            target=target,
            events=tuple(events),
            sampling_rate=sampling_rate,
            rate_limit=rate_limit,
            where=where,
            inbox=inbox,
            status=ObservationStatus.ACTIVE,
            created_at=to_datetime(now),
            updated_at=to_datetime(now),
            version=1,
        )
        there = self._equal(wanted) if id is None else self._named(wanted)
        if there is not None:
            return there
        self.tx.put(
            "observation_add",
            no=self.tx.new_no(),
            id=wanted.id,
            observer=observer,
            now=now,
            **self._values(wanted),
        )
        return self._told("created", wanted)

    @query
    def get(self, id: Id) -> Observation:
        """One observation. Raises `NotFound`."""
        return observation_of(self._found(id))

    @query
    def list(
        self,
        observer: Id | None = None,
        target: Id | None = None,
        status: AnyStatus | None = None,
        *,
        limit: PageSize = 50,
        cursor: str | None = None,
    ) -> Page[Observation]:
        """Observations, newest first; with `target="*"`, those of everyone."""
        before = (_ALL, 0) if cursor is None else place_of(cursor, int, int)
        values: dict[str, object] = {"owner": self.owner, "limit": limit + 1}
        values |= {"before_at": before[0], "before_no": before[1]}
        named = status and ObservationStatus(status).value
        if observer is not None:
            values |= {"observer": observer, "target": target, "status": named}
            rows = self.tx.all("observation_list_observer", **values)
        elif target is not None:
            values |= {"target": target, "status": named}
            rows = self.tx.all("observation_list_target", **values)
        elif named is not None:
            rows = self.tx.all("observation_list_status", status=named, **values)
        else:
            rows = self.tx.all("observation_list", **values)
        last = rows[limit - 1] if len(rows) > limit else None
        more = None if last is None else cursor_of(last[_CREATED_AT], last[0])
        return Page(map(observation_of, rows[:limit]), more)

    @operation
    def update(
        self,
        id: Id,
        *,
        expect: Count | None = None,
        target: Id | UnsetType = UNSET,
        events: Patterns | UnsetType = UNSET,
        sampling_rate: Share | UnsetType = UNSET,
        rate_limit: Rate | None | UnsetType = UNSET,
        where: Where | None | UnsetType = UNSET,
        inbox: bool | UnsetType = UNSET,
    ) -> Observation:
        """Change what is named, and leave the rest; `expect` is its version.

        What it has seen stays. Raises `NotFound`, `Conflict` (another version), `Held`,
        `Fenced`.
        """
        row = self._found(id)
        self.guard(id)
        there = observation_of(row)
        if expect is not None and expect != there.version:
            raise Conflict("observation", id, expected=expect, found=there.version)
        given = {
            "target": target,
            "events": events,
            "sampling_rate": sampling_rate,
            "rate_limit": rate_limit,
            "where": where,
            "inbox": inbox,
        }
        chosen = {name: value for name, value in given.items() if value is not UNSET}
        return self._changed(row[0], there, **chosen)

    @operation
    def pause(self, id: Id) -> Observation:
        """Have an observation see nothing until it is resumed.

        Raises `NotFound`, `Held`, `Fenced`.
        """
        return self._put_status(id, ObservationStatus.PAUSED)

    @operation
    def resume(self, id: Id) -> Observation:
        """Let a paused observation see what comes; it never sees what came meanwhile.

        Raises `NotFound`, `Held`, `Fenced`.
        """
        return self._put_status(id, ObservationStatus.ACTIVE)

    @operation
    def delete(self, id: Id) -> bool:
        """Delete an observation and its history; True only if there was one.

        Raises `Held`, `Fenced`.
        """
        row = self._row(id)
        if row is None:
            return False
        self.guard(id)
        self.tx.put("observation_drop", owner=self.owner, no=row[0])
        self._told("deleted", observation_of(row))
        return True

    def every_active(self) -> tuple[Observation, ...]:
        """What every owner has that is active, in the terms of every owner."""
        found: tuple[Observation, ...] = ()
        after, limit = 0, self.tx.limits.page
        while True:
            rows = self.tx.all("observation_all_active", after=after, limit=limit)
            found += tuple(map(observation_of, rows))
            if len(rows) < limit:
                return found
            after = rows[-1][0]

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many observations the owner has, and their bytes."""
        count, size = self.tx.one("observation_usage", owner=self.owner) or (0, 0)
        return {"observation": (count, size)}

    def revised(
        self, was: dict[str, Any], now: dict[str, Any] | None, past: Kind
    ) -> dict[str, Any]:
        """An observation's row as it is put back, with a version that it never had."""
        asked = {"owner": self.owner, "id": was["id"]}
        last = self.tx.one("observation_version_last", **asked) or (0,)
        version = max(was["version"], last[0], now["version"] if now else 0) + 1
        return {**was, "version": version, "updated_at": self.tx.now}

    def put_back(self, id: str, past: Kind) -> Plan | None:
        """As for every kind; that one is gone which was not there yet is told."""
        plan = super().put_back(id, past)
        if plan is None or plan.op != "delete":
            return plan

        gone = self.get(id)

        def write(plan: Plan = plan) -> None:
            plan.write()
            self._told("deleted", gone)

        return replace(plan, write=write)

    def settled(self, row: dict[str, Any]) -> None:
        """Tell of an observation that was put back."""
        self._told("updated", self.get(row["id"]))

    def _equal(self, wanted: Observation) -> Observation | None:
        """One that is there with the same content, whatever its id."""
        self.tx.lock("observers", wanted.observer)
        asked: dict[str, object] = {"owner": self.owner, "limit": self.tx.limits.page}
        asked |= {"observer": wanted.observer, "target": wanted.target}
        after = (0, 0)
        while True:
            asked |= {"after_at": after[0], "after_no": after[1]}
            rows = self.tx.all("observation_between", **asked)
            found = map(observation_of, rows)
            there = next((one for one in found if _same(one, wanted)), None)
            if there is not None or len(rows) < self.tx.limits.page:
                return there
            after = rows[-1][_CREATED_AT], rows[-1][0]

    def _named(self, wanted: Observation) -> Observation | None:
        """The one of the same id, if it has the same content."""
        row = self._row(wanted.id)
        if row is None:
            return None
        there = observation_of(row)
        if not _same(there, wanted):
            raise AlreadyExists("observation", wanted.id)
        return there

    def _put_status(self, id: str, status: ObservationStatus) -> Observation:
        row = self._found(id)
        self.guard(id)
        there = observation_of(row)
        return (
            there
            if there.status is status
            else self._changed(row[0], there, status=status)
        )

    def _changed(self, no: int, there: Observation, **changes: Any) -> Observation:
        now = self.tx.now
        version, at = there.version + 1, to_datetime(now)
        found = replace(there, version=version, updated_at=at, **changes)
        self.tx.put(
            "observation_change",
            no=no,
            status=found.status.value,
            now=now,
            version=version,
            **self._values(found),
        )
        return self._told("updated", found)

    def _values(self, found: Observation) -> dict[str, object]:
        """What is kept of an observation, wherever it is written."""
        return {
            "owner": self.owner,
            "target": found.target,
            "events": codec.text_of(found.events),
            "sampling_rate": found.sampling_rate,
            "rate_limit": found.rate_limit,
            "conditions": codec.text_of(found.where),
            "inbox": int(found.inbox),
        }

    def _told(self, what: str, found: Observation) -> Observation:
        """Tell what was done to an observation, and give it back."""
        self.tx.tell(Told(f"{OF_OBSERVATIONS}{what}", to_builtins(found)))
        return found

    def _row(self, id: str) -> Row | None:
        return self.tx.one("observation_get", owner=self.owner, id=id)

    def _found(self, id: str) -> Row:
        row = self._row(id)
        if row is None:
            raise self.not_found(id)
        return row


def _same(one: Observation, other: Observation) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in _CONTENT)
