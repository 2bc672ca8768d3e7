"""Reverting: records as they were at a moment, in a new transaction.

Answers for: which records were touched since, locking them, and what was done.
Leaves to others: how one record is put back (each kind, `restoring`).
Always holds: the journal keeps all of it, so that a revert can be reverted; all that
was asked for is put back, or nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec

from holdfast import edges
from holdfast.contract import Kind, operation
from holdfast.edges import Edge, Moment
from holdfast.engine import Table, Transaction
from holdfast.errors import NotFound, Refused
from holdfast.guarantees import Promise
from holdfast.journal import Names
from holdfast.limits import Limits, hold
from holdfast.moments import moment_of, newest, standing_at
from holdfast.schema.records import depth_first

_LOOKED_AT = 1_000
_Record = tuple[str, str]
"""The name of a kind, and an id."""


class Restored(msgspec.Struct, frozen=True):
    """A record that was put back: `op` is create, update or delete."""

    kind: str
    id: str
    op: str


class Reverted(msgspec.Struct, frozen=True):
    """What a revert did: to which moment it went, and every record that it changed."""

    moment: int
    records: tuple[Restored, ...]


def _ids_of(value: object, name: str, limits: Limits) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise edges.wrong_type(name, "a list of ids", value)
    found = tuple(edges.id_of(id, f"{name}[{i}]") for i, id in enumerate(value))
    hold(len(found), limits.revert, name, "revert")
    return found


Ids = Annotated[Iterable[str], Edge(_ids_of)]


class Reverting(Kind):
    """Puts records of other kinds back."""

    name = "revert"
    promise = Promise.DURABLE
    keeps_the_past = True
    kinds: Mapping[str, type[Kind]] = {}
    """The kinds of the store; set by the store."""

    @operation
    def revert(
        self, moment: Moment, *, kinds: Names | None = None, ids: Ids | None = None
    ) -> Reverted:
        """Put records back as they were at a moment; without names, everything."""
        at = moment_of(self.tx, moment)  # type: ignore[arg-type]
        past = standing_at(self.tx, at)
        chosen = self._chosen(None if kinds is None else tuple(kinds))
        plans = []
        rows = 0
        for name, id in self._locked(past, chosen, None if ids is None else tuple(ids)):
            kind = chosen[name](self.tx)
            plan = kind.put_back(id, chosen[name](past))
            if plan is not None:
                kind.guard(id)
                rows += plan.rows
                hold(rows, self.tx.limits.revert, "revert", "revert")
                plans.append((Restored(name, id, plan.op), plan))
        for _, plan in sorted(plans, key=lambda found: found[1].no):
            plan.write()  # those that are made again come in the order that they had
        for _, plan in plans:
            if plan.finish is not None:
                plan.finish()
        standing_at(self.tx, at)  # on a server it may have been trimmed meanwhile
        return Reverted(at, tuple(restored for restored, _ in plans))

    def _chosen(self, names: Sequence[str] | None) -> dict[str, type[Kind]]:
        every = {
            name: kind
            for name, kind in self.kinds.items()
            if kind.tables and kind.tables[0].journalled
        }
        for name in names or ():
            if name not in every:
                raise Refused(
                    f"no records of a kind {name!r} can be put back; those that can: "
                    f"{', '.join(sorted(every))}"
                )
        return every if names is None else {name: every[name] for name in names}

    def _locked(
        self,
        past: Transaction,
        kinds: Mapping[str, type[Kind]],
        ids: Sequence[str] | None,
    ) -> list[_Record]:
        """The records to look at, which nobody else writes to any more."""
        locked: set[_Record] = set()
        while True:
            head = newest(self.tx)
            if ids is None:
                found = self._touched(past, kinds)
            else:
                found = self._named(past, kinds, ids)
            for name, id in sorted(found - locked):
                kinds[name](self.tx).lock(id)
            if found <= locked or newest(self.tx) == head:
                return sorted(found)
            locked |= found

    def _named(
        self, past: Transaction, kinds: Mapping[str, type[Kind]], ids: Sequence[str]
    ) -> set[_Record]:
        found = {
            (name, id)
            for name in kinds
            for id in ids
            for tx in (self.tx, past)
            if tx.one(f"{name}_exists", owner=self.owner, id=id)
        }
        for id in ids:
            if not any(id == there for _, there in found):
                names = sorted(kind.tables[0].name for kind in kinds.values())
                raise NotFound(" or ".join(names), id)
        return found

    def _touched(
        self, past: Transaction, kinds: Mapping[str, type[Kind]]
    ) -> set[_Record]:
        """Every record that something was changed of since."""
        tables = {t.name: (name, t) for name in kinds for t in kinds[name].tables}
        numbers: dict[str, set[int]] = {table: set() for table in tables}
        after = past.terms.moment
        while rows := self.tx.all(
            "journal_page", after=after, owner=self.owner, limit=_LOOKED_AT
        ):
            after = rows[-1][0]
            for _, table, _, no, *_ in rows:
                if table in tables:
                    numbers[table].add(no)
        found: set[_Record] = set()
        for name, kind in kinds.items():
            here, then = kind(self.tx), kind(past)
            root, *rest = depth_first(kind.tables)
            for table in reversed(rest):
                _, parent = table.parent or ("", root.name)
                numbers[parent] |= self._parents(past, table, numbers[table.name])
            for some in _slices(numbers[root.name]):
                records = [*here.records(some), *then.records(some)]
                found |= {(name, record["id"]) for record in records}
        return found

    def _parents(
        self, past: Transaction, table: Table, numbers: Iterable[int]
    ) -> set[int]:
        """The numbers of the rows that some belong to, or belonged to then."""
        if numbers and table.parent is None:
            raise Refused(
                f"rows of {table.name} were changed since, and it is not said to which "
                "record they belong; nothing was written: name other kinds"
            )
        column, _ = table.parent or ("", "")
        return {
            row[column]
            for some in _slices(numbers)
            for tx in (self.tx, past)
            for row in tx.fields_of(f"{table.name}_now", [{"no": no} for no in some])
            if row is not None
        }


def _slices(numbers: Iterable[int]) -> Iterable[list[int]]:
    ordered = sorted(numbers)
    return (ordered[at : at + _LOOKED_AT] for at in range(0, len(ordered), _LOOKED_AT))
