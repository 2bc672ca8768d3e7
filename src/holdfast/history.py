"""History: what one record went through, and what differs between two moments.

Answers for: the changes of a record and of what belongs to it; the rows that are not at
one moment what they were at another.
Leaves to others: the journal as a whole (`journal`), what a change looks like
(`changes`), putting records back (`reverting`).
Always holds: a record's changes are found from its number, not by reading the journal;
what differs is read page by page, each row told once, at its last change.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from holdfast.changes import Change, changes_of, data_of, moments_of
from holdfast.clock import to_datetime
from holdfast.contract import Kind, query
from holdfast.edges import Id, Moment, Name, PageSize
from holdfast.engine import Row, Table, Transaction
from holdfast.errors import NotFound, Refused
from holdfast.guarantees import Promise
from holdfast.journal import Names
from holdfast.moments import horizon, moment_of, newest, standing_at
from holdfast.page import Page, cursor_of, place_of
from holdfast.schema.records import depth_first, shapes

Fields: TypeAlias = dict[str, Any]
_UNTOLD = frozenset({"no", "born", "died", "given"})
"""Columns that are a store's own, and say nothing of a record."""


class RecordHistory(Page[Change]):
    """A page of one record's changes, oldest first.

    `known_from` is the moment that the journal reaches back to: of what was before,
    only the outcome is known. 0 if all of it is.
    """

    __slots__ = ("known_from",)

    def __init__(
        self, changes: Iterable[Change], cursor: str | None, known_from: int
    ) -> None:
        super().__init__(changes, cursor)
        self.known_from = known_from


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A row that is at one moment not what it was at an earlier one.

    `kind` is its table (`session`, `message`), as the journal calls it; `op` is create,
    update or delete; `before` and `after` are the row as data; `fields` are those that
    an update changed. When, by whom and why is said of its last change in between.
    """

    kind: str
    id: str | None
    op: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    fields: tuple[str, ...]
    moment: int
    at: datetime
    actor: str | None
    cause: str | None


class History(Kind):
    """Looks at what became of records of other kinds."""

    name = "history"
    promise = Promise.DURABLE
    keeps_the_past = True
    kinds: Mapping[str, type[Kind]] = {}
    """The kinds of the store; set by the store."""

    @query
    def changes(
        self, kind: Name, id: Id, *, limit: PageSize = 100, cursor: str | None = None
    ) -> RecordHistory:
        """One record's changes, and those of what belongs to it, oldest first."""
        found = self._kind(kind)(self.tx)
        floor = horizon(self.tx)
        after = 0 if cursor is None else int(place_of(cursor, int)[0])
        seqs = self._seqs(found, id, max(after, floor - 1))
        some = heapq.nsmallest(limit + 1, seqs)
        entries = self.tx.each("journal_at", [{"seq": seq} for seq in some[:limit]])
        rows = [row for there in entries for row in there]
        pairs = zip(rows, moments_of(self.tx, rows), strict=True)
        known = [(row, moment) for row, moment in pairs if moment is not None]
        tables = {table.name: table for table in found.tables}
        more = len(some) > limit and len(known) == len(rows)
        cursor = cursor_of(some[limit - 1]) if more else None
        return RecordHistory(changes_of(self.tx, known, tables), cursor, floor)

    def _kind(self, name: str) -> type[Kind]:
        """A kind by its name, or by that of its records. Raises `Refused`."""
        for kind_name, kind in self.kinds.items():
            root = kind.tables[0] if kind.tables else None
            if root and root.journalled and name in {kind_name, root.name}:
                return kind
        raise Refused(f"there is no kind {name!r} whose records have a history")

    def _seqs(self, kind: Kind, id: str, after: int) -> set[int]:
        """The changes of a record after a place in the journal."""
        root, *rest = depth_first(kind.tables)
        where = {"owner": self.owner, "id": id}
        own = {no for (no,) in self.tx.all(f"{root.name}_numbers", **where)}
        if not own:
            raise NotFound(root.name, id)
        asked = [{"no": no, "after": after} for no in sorted(own)]
        found = self.tx.each(f"{root.name}_seqs", asked)
        numbers = sorted(own | set(kind.lines(id)))
        asked = [{"owner": self.owner, "no": no, "after": after} for no in numbers]
        for table in rest:
            if table.parent is not None:
                found += self.tx.each(f"{table.name}_seqs", asked)
        return {seq for rows in found for (seq,) in rows if seq and seq > after}

    @query
    def diff(
        self,
        a: Moment,
        b: Moment | None = None,
        *,
        kinds: Names | None = None,
        limit: PageSize = 100,
        cursor: str | None = None,
    ) -> Page[Difference]:
        """What differs at moment `b` (None: now) from what was at moment `a`."""
        start = moment_of(self.tx, a)  # type: ignore[arg-type]
        end = newest(self.tx) if b is None else moment_of(self.tx, b)  # type: ignore[arg-type]
        after = start
        if cursor is not None:
            after, end = (int(place) for place in place_of(cursor, int, int))
        if end < start:
            raise Refused(
                f"moment {start} comes after moment {end}: name the earlier one first"
            )
        between = _Between(self.tx, start, end, self._tables(kinds))
        rows = self.tx.all("journal_page", after=after, owner=self.owner, limit=limit)
        rows = [row for row in rows if row[0] <= end]
        more = len(rows) == limit and rows[-1][0] < end
        return Page(between.told(rows), cursor_of(rows[-1][0], end) if more else None)

    def _tables(
        self, names: Iterable[str] | None
    ) -> dict[str, tuple[type[Kind], Table]]:
        every = {
            table.name: (kind, table)
            for kind in self.kinds.values()
            for table in kind.tables
            if table.journalled
        }
        if names is None:
            return every
        chosen: dict[str, tuple[type[Kind], Table]] = {}
        for name in names:
            found = {t: pair for t, pair in every.items() if name in {t, pair[0].name}}
            if not found:
                raise Refused(f"there is no kind {name!r} whose records have a history")
            chosen |= found
        return chosen


class _Placed(msgspec.Struct, frozen=True):
    """A row, the record that it belongs to, and the id of what it is directly under."""

    row: Fields
    record: Fields
    parent: str | None

    @property
    def of(self) -> str | None:
        """The id of the record; None where it is not said whose the row is."""
        return self.record.get("id")

    def data(self, table: Table) -> Fields:
        """The row as data."""
        return data_of(table, self.row, self.parent)


class _Between:
    """Two moments, and how rows of one are found at the other."""

    def __init__(
        self,
        tx: Transaction,
        start: int,
        end: int,
        tables: Mapping[str, tuple[type[Kind], Table]],
    ) -> None:
        self._tx, self._end = tx, end
        self._a, self._b = standing_at(tx, start), standing_at(tx, end)
        self._tables = tables
        self._known: dict[tuple[Transaction, str, int], _Placed | None] = {}
        self._records: dict[tuple[Transaction, str, int], Fields | None] = {}

    def told(self, rows: Sequence[Row]) -> list[Difference]:
        """What differs, of rows that some changes are the last of."""
        rows = [row for row in rows if row[1] in self._tables]
        asked = [{"no": row[3], "seq": row[0], "upto": self._end} for row in rows]
        later = self._tx.each("journal_later", asked)
        rows = [row for row, other in zip(rows, later, strict=True) if not other]
        found = []
        moments = moments_of(self._tx, rows)
        for row, moment, was, now in zip(
            rows, moments, self._at(self._a, rows), self._at(self._b, rows), strict=True
        ):
            told = moment and self._difference(row, moment, was, now)
            if told:
                found.append(told)
        return found

    def _at(self, view: Transaction, rows: Sequence[Row]) -> list[Fields | None]:
        """Rows as they were at a moment, in the order of their changes."""
        found: dict[int, Fields | None] = {}
        for name in {row[1] for row in rows}:
            numbers = [row[3] for row in rows if row[1] == name]
            there = view.fields_of(f"{name}_now", [{"no": no} for no in numbers])
            found |= dict(zip(numbers, there, strict=True))
        return [found[row[3]] for row in rows]

    def _difference(
        self,
        row: Row,
        moment: Row,
        was: Fields | None,
        now: Fields | None,
    ) -> Difference | None:
        """What became of one row; None if nothing that is told."""
        kind, table = self._tables[row[1]]
        before = self._placed(self._a, kind, table, was)
        after = self._placed(self._b, kind, table, now)
        if after is not None:
            if before is not None and before.of != after.of:
                before = None
            before = before or self._elsewhere(self._a, kind, table, after)
        elif before is None or self._told_otherwise(kind, table, before):
            return None
        fields = _changed(kind, before, after)
        if before is not None and after is not None and not fields:
            return None
        _, at, _, actor, cause = moment
        there = after or before
        assert there is not None
        return Difference(
            kind=table.name,
            id=there.row.get("id", there.parent),
            op="update" if fields else "create" if after else "delete",
            before=None if before is None else before.data(table),
            after=None if after is None else after.data(table),
            fields=fields,
            moment=moment[0],
            at=to_datetime(at),
            actor=actor,
            cause=cause,
        )

    def _placed(
        self, view: Transaction, kind: type[Kind], table: Table, row: Fields | None
    ) -> _Placed | None:
        """A row and whose it is; None if it is out of sight."""
        if row is None:
            return None
        if table.parent is None:
            return _Placed(row, row, None)
        column, parent = table.parent
        above = self._above(view, kind, parent, row[column])
        if above and kind(view).in_sight(table.name, row, above.record):
            return _Placed(row, above.record, above.row["id"])
        record = kind(view).sharing(table.name, row)
        return None if record is None else _Placed(row, record, record["id"])

    def _above(
        self, view: Transaction, kind: type[Kind], name: str, no: int
    ) -> _Placed | None:
        """The row that others belong to by its number."""
        key = view, name, no
        if key not in self._known:
            table = next(found for found in kind.tables if found.name == name)
            if table.parent is None:
                row = next(iter(kind(view).records([no])), None)
            else:
                row = view.fields(f"{name}_now", no=no)
            self._known[key] = self._placed(view, kind, table, row)
        return self._known[key]

    def _elsewhere(
        self, view: Transaction, kind: type[Kind], table: Table, other: _Placed
    ) -> _Placed | None:
        """The same row at the other moment, where it has another number."""
        root = kind.tables[0]
        if table.parent is None and table != root:
            return None
        record = self._record(view, kind, other.record)
        if record is None:
            return None
        if table.parent is None:
            return _Placed(record, record, None)
        column, parent = table.parent
        if parent != root.name or not view.knows(f"{table.name}_placed"):
            return None
        no = kind(view).place_in(table.name, other.row, record)
        key = shapes(kind.part().sql)[table.name].key
        place = {name: other.row[name] for name in key} | {"owner": record["owner"]}
        row = view.fields(f"{table.name}_placed", **{**place, column: no})
        if row is None or row.get("id") != other.row.get("id"):
            return None
        return _Placed(row, record, record["id"])

    def _record(
        self, view: Transaction, kind: type[Kind], other: Fields
    ) -> Fields | None:
        """The record of an id at the other moment."""
        name = kind.tables[0].name
        key = view, name, other["no"]
        if key not in self._records:
            asked = {"owner": other["owner"], "id": other["id"]}
            self._records[key] = view.fields(f"{name}_known", **asked)
        return self._records[key]

    def _told_otherwise(self, kind: type[Kind], table: Table, before: _Placed) -> bool:
        """Whether a row that is gone goes with its record, or has another number."""
        if table.parent and self._record(self._b, kind, before.record) is None:
            return True
        return self._elsewhere(self._b, kind, table, before) is not None


def _changed(
    kind: type[Kind], before: _Placed | None, after: _Placed | None
) -> tuple[str, ...]:
    """The columns that differ, if there is one that is not for bookkeeping alone."""
    if before is None or after is None:
        return ()
    was, now = before.row, after.row
    parents = {table.parent[0] for table in kind.tables if table.parent}
    told = [name for name in now if name not in _UNTOLD | parents]
    fields = tuple(name for name in told if was.get(name) != now[name])
    return fields if set(fields) - kind.bookkeeping else ()
