"""Restoring: putting a record back as it was, row by row.

Answers for: finding which rows of a record differ from what they were at a moment, and
what has to be written so that they no longer do.
Leaves to others: which records (`history`), what a kind knows better of its own rows
(hooks of `Kind`), the statements (`schema.records`).
Always holds: all is read before anything is written, for on PostgreSQL the past is told
from the journal, which learns of what a transaction wrote when it commits; a row that
was deleted comes back under a new number.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from holdfast.engine import Table, Transaction
from holdfast.errors import Refused
from holdfast.limits import hold
from holdfast.schema.records import depth_first, shapes

if TYPE_CHECKING:
    from holdfast.contract import Kind

Fields: TypeAlias = dict[str, Any]


class Plan(msgspec.Struct, frozen=True):
    """What puts one record back: `op` is create, update or delete."""

    op: str
    rows: int
    """About how many rows are written."""
    write: Callable[[], object]
    no: int = 0
    """The number that a record had which is made again."""
    finish: Callable[[], object] | None = None
    """What is left to do once all records of a revert are written."""


class _Step(msgspec.Struct):
    """What is written to one table."""

    table: Table
    gone: list[Fields] = []
    mended: list[Fields] = []
    again: list[Fields] = []

    @property
    def rows(self) -> int:
        return len(self.gone) + len(self.mended) + len(self.again)


_Rows: TypeAlias = dict[Table, list[Fields]]


class Restoring:
    """One record, as it is and as it was, but for some tables of its kind."""

    def __init__(self, kind: "Kind", past: "Kind", *, but: Iterable[str] = ()) -> None:
        self._kind, self._past = kind, past
        self._tx, self._then = kind.tx, past.tx
        tables = [table for table in kind.tables if table.name not in but]
        self._root, *self._rest = depth_first(tables)
        loose = [table.name for table in self._rest if table.parent is None]
        if loose:
            raise Refused(
                f"{kind.name} has rows in {', '.join(loose)}, and does not say to "
                "which record they belong; nothing was written: put them back yourself"
            )
        self._shapes = shapes(kind.part().sql)
        self._numbers: dict[tuple[str, int], int] = {}
        """The numbers by which rows of then are known now, where they differ."""

    def plan(self, id: str) -> Plan | None:
        """What has to be written; None if nothing differs that matters."""
        was, now = self._known(self._then, id), self._known(self._tx, id)
        if was is None:
            return None if now is None else self._discarding(now)
        return self._making(was) if now is None else self._mending(was, now)

    def _known(self, tx: Transaction, id: str) -> Fields | None:
        return tx.fields(f"{self._root.name}_known", owner=self._kind.owner, id=id)

    def _discarding(self, now: Fields) -> Plan:
        steps = [_Step(table, gone=rows) for table, rows in self._all(now).items()]
        return self._planned("delete", [_Step(self._root, gone=[now]), *steps])

    def _making(self, was: Fields) -> Plan:
        kept = self._kind.revised(was, None, self._past)
        found = self._all(was, then=True)
        steps = [_Step(table, again=self._seen(found, table, was)) for table in found]
        plan = self._planned("create", [_Step(self._root, again=[kept]), *steps])
        return msgspec.structs.replace(plan, no=was["no"])

    def _mending(self, was: Fields, now: Fields) -> Plan | None:
        self._numbers[self._root.name, was["no"]] = now["no"]
        if was["no"] == now["no"]:
            then, there = self._touched(now["no"])
        else:
            then, there = self._all(was, then=True), self._all(now)
        steps = [
            self._step(table, self._seen(then, table, was), there[table])
            for table in self._rest
        ]
        differ = self._differ(self._root, was, now, self._kind.bookkeeping)
        if not differ and not any(step.rows for step in steps):
            return None
        kept = {**self._kind.revised(was, now, self._past), "no": now["no"]}
        return self._planned("update", [_Step(self._root, mended=[kept]), *steps])

    def _seen(self, rows: _Rows, table: Table, record: Fields) -> list[Fields]:
        in_sight = self._kind.in_sight
        return [row for row in rows[table] if in_sight(table.name, row, record)]

    def _step(self, table: Table, then: list[Fields], now: list[Fields]) -> _Step:
        """Rows of then and of now, each told apart by its place in its record."""
        step = _Step(table)
        there = {self._place(table, row): row for row in now}
        for row in then:
            moved = {**row, **self._belonging(table, row)}
            found = there.get(self._place(table, moved))
            if found is None or found.get("id") != row.get("id"):
                step.again.append(row)
                continue
            del there[self._place(table, moved)]
            self._numbers[table.name, row["no"]] = found["no"]
            if found["no"] != row["no"]:
                moved = self._kind.remade(table.name, moved)
            if self._differ(table, moved, found):
                step.mended.append({**moved, "no": found["no"]})
        step.gone = list(there.values())
        return step

    def _place(self, table: Table, row: Fields) -> tuple[Any, ...]:
        key = self._shapes[table.name].key or ("no",)
        return tuple(row[column] for column in key)

    def _belonging(self, table: Table, row: Fields) -> Fields:
        """The number by now of the row that one belongs to, under its column."""
        if table.parent is None:
            return {}
        column, parent = table.parent
        return {column: self._numbers.get((parent, row[column]), row[column])}

    def _differ(
        self, table: Table, was: Fields, now: Fields, but: Iterable[str] = ()
    ) -> bool:
        columns = {*self._shapes[table.name].columns}.difference(but, ["no"])
        return any(was[column] != now[column] for column in columns)

    def _all(self, record: Fields, *, then: bool = False) -> _Rows:
        """All rows that belong to a record, as they are or as they were."""
        numbers = {self._root.name: [record["no"]]}
        found: _Rows = {}
        for table in self._rest:
            _, parent = table.parent or ("", "")
            tx = self._then if then else self._tx
            found[table] = self._within(tx, table, numbers[parent])
            numbers[table.name] = [row["no"] for row in found[table]]
        return found

    def _within(
        self, tx: Transaction, table: Table, numbers: Iterable[int]
    ) -> list[Fields]:
        """What a table has of the rows with some numbers."""
        columns = self._shapes[table.name].columns
        asked = [{"owner": self._kind.owner, "no": no} for no in numbers]
        return [
            dict(zip(columns, row, strict=True))
            for rows in tx.each(f"{table.name}_within", asked)
            for row in rows
        ]

    def _touched(self, no: int) -> tuple[_Rows, _Rows]:
        """What was changed of a record since: rows as they were, and as they are."""
        then: _Rows = {}
        now: _Rows = {}
        for table in self._rest:
            touched = self._tx.all(
                f"{table.name}_touched",
                owner=self._kind.owner,
                no=no,
                since=self._then.terms.moment,
            )
            numbers = [
                {"no": found} for found in sorted({found for (found,) in touched})
            ]
            for tx, rows in ((self._then, then), (self._tx, now)):
                found = tx.fields_of(f"{table.name}_now", numbers)
                rows[table] = self._own(tx, table, found, no)
            self._under_rows_lost(table, then, now)
        return then, now

    def _own(
        self, tx: Transaction, table: Table, rows: Iterable[Fields | None], no: int
    ) -> list[Fields]:
        """Those of some rows that belong to the record with a number."""
        there = [row for row in rows if row is not None]
        column, parent = table.parent or ("", "")
        upper = self._upper(table)
        if upper is None:
            return [row for row in there if row[column] == no]
        numbers = [{"no": found} for found in sorted({row[column] for row in there})]
        found = tx.fields_of(f"{parent}_now", numbers)
        own = {row["no"] for row in self._own(tx, upper, found, no)}
        return [row for row in there if row[column] in own]

    def _upper(self, table: Table) -> Table | None:
        """The table that one belongs to; None if that is the record's own."""
        _, parent = table.parent or ("", "")
        return next((found for found in self._rest if found.name == parent), None)

    def _under_rows_lost(self, table: Table, then: _Rows, now: _Rows) -> None:
        """Add what belonged to rows that are gone: it is made again with them."""
        upper = self._upper(table)
        if upper is None:
            return
        column, _ = table.parent or ("", "")
        there = {row["no"] for row in now[upper]}
        lost = {row["no"] for row in then[upper]} - there
        kept = [row for row in then[table] if row[column] not in lost]
        then[table] = kept + self._within(self._then, table, sorted(lost))

    def _planned(self, op: str, steps: list[_Step]) -> Plan:
        rows = sum(step.rows for step in steps)
        hold(rows, self._tx.limits.revert, self._kind.name, "revert")
        return Plan(op, rows, lambda: self._write(steps))

    def _write(self, steps: list[_Step]) -> None:
        """What goes makes place for what comes, which follows what it belongs to."""
        for step in reversed(steps):
            for row in step.gone:
                self._put(step.table, "gone", {"no": row["no"], "owner": row["owner"]})
        for step in steps:
            for row in step.mended:
                self._put(step.table, "as_was", row)
            again = [self._made_again(step.table, row) for row in step.again]
            if step.table is self._root:
                for row in (*step.mended, *again):
                    self._kind.settled(row)

    def _made_again(self, table: Table, row: Fields) -> Fields:
        kept = self._kind.remade(table.name, {**row, **self._belonging(table, row)})
        kept = {**kept, "no": self._tx.new_no()}
        self._numbers[table.name, row["no"]] = kept["no"]
        self._put(table, "back", kept)
        return kept

    def _put(self, table: Table, what: str, row: Fields) -> None:
        self._tx.put(f"{table.name}_{what}", **row)
