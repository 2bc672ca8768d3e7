"""Indexes: what is derived from rows, and can be made from them again.

Answers for: the protocol of a derived index, the statements that feed one, and leading
it along the journal, a slice in each transaction.
Leaves to others: what an index keeps of a row (each `Derived`), when it has to be led
on (`runtime.consulting`).
Always holds: how far an index has come moves in the transaction of what it took; what a
row was, or whether it is there at all, is the row's to say, and never the index's. One
that the journal does not reach any more, or of another version, is made again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import msgspec

from holdfast.engine import Part, Row, Table, Transaction
from holdfast.errors import TooNew
from holdfast.schema.statements import shipped

FURTHEST = 2**62
"""Past every number of a row."""
_BIG_BYTES = 50_000
_SLICE_BYTES = 500_000
_ADDED = "create"


class Derived:
    """An index of one's own over what a store keeps; derive from it, and declare it.

    `sql` has the form of a kind's: a block `-- tables --`, then named statements.
    Raise `version` when the tables, or what is taken into them, are to be others: then
    they are made again. `instead` has the tables' text for engines that need another.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    sql: ClassVar[str]
    instead: ClassVar[Mapping[str, str]] = {}

    def columns(self, table: Table) -> tuple[str, ...]:
        """The columns of a table, all of them text, that it is fed with; perhaps none.

        By default those that are declared to have text.
        """
        return table.text

    def take(self, tx: Transaction, table: Table, rows: Sequence[Row]) -> None:
        """Take in rows as they are: each its number, its owner, and the columns.

        A row may come again, as it was or changed.
        """
        raise NotImplementedError

    def forget(self, tx: Transaction, table: Table, numbers: Sequence[int]) -> None:
        """Leave out rows that were deleted, or will come again as they now are."""
        raise NotImplementedError

    def clear(self, tx: Transaction) -> None:
        """Leave out everything."""
        raise NotImplementedError


class State(msgspec.Struct, frozen=True):
    """How far an index has come: up to the change `cursor`; of `head`, the newest.

    `place` is a table and the number of its last row that was taken, as long as the
    index is being made from the rows.
    """

    head: int
    cursor: int | None
    place: tuple[str, int] | None = None

    @property
    def whole(self) -> bool:
        """Whether it has all that there was at its cursor."""
        return self.cursor is not None and self.place is None

    def has(self, seq: int) -> bool:
        """Whether it has all that there was at a change."""
        return self.whole and self.cursor is not None and self.cursor >= seq


def state_of(tx: Transaction, index: Derived) -> State:
    """How far an index has come; nowhere, if it has to be made again.

    Raises `TooNew` if a newer holdfast keeps it.
    """
    row = tx.one("derived_state", name=index.name)
    assert row is not None
    head, floor, version, cursor, place = row
    if version is not None and version > index.version:
        raise TooNew(
            f"the index {index.name!r} is kept by a newer holdfast, or by newer code "
            f"(version {version}; this one knows {index.version}): upgrade"
        )
    if version != index.version or not floor <= cursor <= (head or 0):
        return State(head or 0, None)
    if place is None:
        return State(head or 0, cursor)
    table, _, number = place.partition(":")
    return State(head or 0, cursor, (table, int(number)))


def advance(
    tx: Transaction, index: Derived, tables: Sequence[Table], limit: int
) -> State:
    """Lead an index on by at most `limit` rows or changes; how far it has come then."""
    tx.lock("derived", index.name)
    state = state_of(tx, index)
    if state.cursor is None:
        index.clear(tx)
        state = State(state.head, state.head, _first(tables))
    elif state.place is not None:
        state = _made_on(tx, index, tables, state, limit)
    else:
        state = _followed(tx, index, tables, state, limit)
    place = None if state.place is None else f"{state.place[0]}:{state.place[1]}"
    version, cursor = index.version, state.cursor
    tx.put("derived_put", name=index.name, version=version, cursor=cursor, place=place)
    return state


def part_of(index: Derived, tables: Iterable[Table]) -> Part:
    """What an index brings into the schema: its own, and what feeds it."""
    made = [
        _feeding(index.name, table.name, index.columns(table))
        for table in tables
        if feeds(index, table)
    ]
    sql = "".join([index.sql, *made])
    version, instead = index.version, index.instead
    return Part(index.name, sql, (), derived=True, version=version, instead=instead)


def feeds(index: Derived, table: Table) -> bool:
    """Whether an index is made from a table; one without a journal it cannot follow."""
    return table.journalled and bool(index.columns(table))


def bookkeeping() -> Part:
    """What a store keeps of how far its indexes have come."""
    return Part("derived", shipped("derived"), (), derived=True)


def _first(tables: Sequence[Table]) -> tuple[str, int] | None:
    return (tables[0].name, -1) if tables else None


def _made_on(
    tx: Transaction, index: Derived, tables: Sequence[Table], state: State, limit: int
) -> State:
    """Go on with making it from the rows: some more of one table."""
    assert state.place is not None
    name, after = state.place
    places = [table.name for table in tables]
    if name not in places:  # its kind is declared no more
        return State(state.head, None)
    table = tables[places.index(name)]
    rows = tx.all(
        f"{index.name}_{name}_page", after=after, limit=limit, most=_BIG_BYTES
    )
    taken = rows[: _fitting(row[-1] for row in rows)]
    index.take(tx, table, _whole(tx, index, table, taken))
    if taken and (len(taken) < len(rows) or len(rows) == limit):
        return State(state.head, state.cursor, (name, taken[-1][0]))
    return State(state.head, state.cursor, _first(tables[places.index(name) + 1 :]))


def _followed(
    tx: Transaction, index: Derived, tables: Sequence[Table], state: State, limit: int
) -> State:
    """Follow the journal by some changes; each row is taken as it is by now."""
    assert state.cursor is not None
    changes = tx.all("derived_changes", after=state.cursor, limit=limit)
    if not changes:
        return state
    asked = {"after": state.cursor, "upto": changes[-1][0], "most": _BIG_BYTES}
    kinds = {kind for _, kind, _, _ in changes}
    found = {
        table.name: tx.all(f"{index.name}_{table.name}_changed", **asked)
        for table in tables
        if table.name in kinds
    }
    sizes = {row[0]: row[-1] for rows in found.values() for row in rows}
    changes = changes[: _fitting(sizes.get(no, 0) for _, _, no, _ in changes)]
    named = {no for _, _, no, _ in changes}
    for table in tables:
        if table.name in found:
            rows = [row for row in found[table.name] if row[0] in named]
            gone = [
                n for _, kind, n, op in changes if kind == table.name and op != _ADDED
            ]
            if gone:
                index.forget(tx, table, gone)
            index.take(tx, table, _whole(tx, index, table, rows))
    return State(state.head, changes[-1][0])


def _fitting(sizes: Iterable[int]) -> int:
    """How many rows of these sizes one slice has room for; one at least."""
    count = total = 0
    for size in sizes:
        total += size
        if total > _SLICE_BYTES and count:
            break
        count += 1
    return count


def _whole(
    tx: Transaction, index: Derived, table: Table, rows: Sequence[Row]
) -> list[Row]:
    """Rows without their sizes; big ones, which were not read yet, are read now."""
    whole = [row[:-1] for row in rows]
    for place, (no, owner, *_, size) in enumerate(rows):
        if size > _BIG_BYTES:
            name = f"{index.name}_{table.name}_row"
            whole[place] = tx.one(name, no=no, owner=owner) or whole[place]
    return whole


def _feeding(index: str, table: str, columns: tuple[str, ...]) -> str:
    """The statements by which an index is fed from a table, and looks at its rows.

    Of a row that is big, the pages have the size alone.
    """
    size = " + ".join(f"coalesce(octet_length({column}), 0)" for column in columns)
    fitting = ", ".join(
        f"case when {size} <= :most then {column} end" for column in columns
    )
    listed = ", ".join(columns)
    return f"""
-- {index}_{table}_page --
-- Rows of {table} after a number, in order, and their sizes.
select no, owner, {fitting}, {size} from {table}
where no > :after order by no limit :limit

-- {index}_{table}_changed --
-- The rows of {table} that some changes name, and their sizes.
select no, owner, {fitting}, {size} from {table} where no in (
    select c.no from change c
    where c.seq > :after and c.seq <= :upto and c.kind = '{table}')

-- {index}_{table}_row --
-- A row of {table}, by its number.
select no, owner, {listed} from {table} where no = :no and owner = :owner

-- {index}_{table}_left --
-- Rows of {table} as they were at a moment, if they have changed or gone since.
select no from was_{table}
where owner = :owner and died > :moment and born <= :moment
"""
