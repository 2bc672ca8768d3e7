"""Indexes: what is derived from rows, and can be made from them again.

Answers for: the protocol of a derived index, the statements that feed one, and leading
it along the journal, a slice in each transaction.
Leaves to others: what an index keeps of a row (each `Derived`), when it has to be led
on (`runtime.consulting`).
Always holds: how far an index has come moves in the transaction of what it took, for
each table by itself: who does not know a kind leaves it to those who do. What a row
was, or whether it is there at all, is the row's to say, and never the index's. One
that the journal does not reach any more, or of another version, is made again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from holdfast.engine import Part, Row, Table, Transaction
from holdfast.errors import TooNew
from holdfast.guarantees import Guarantee, Promise, guarantee
from holdfast.schema.statements import shipped

FURTHEST = 2**62
"""Past every number of a row."""
_BIG_BYTES = 50_000
_SLICE_BYTES = 500_000
_ADDED = "create"
_BEGINNING = -1
"""Before every number of a row."""


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
    why: ClassVar[str] = ""
    """What it is for, in one sentence without a stop; for the table of promises."""
    keeps_the_past: ClassVar[bool] = False
    """Whether what it finds is right on a store as of a moment, too."""

    def guarantee(self) -> Guarantee:
        """What is promised of it: it can be made again, and asks nobody's leave."""
        cls = type(self)
        said = (cls.__doc__ or "").strip().partition("\n\n")[0]
        return guarantee(
            cls.name,
            Promise.DERIVED,
            why=cls.why or " ".join(said.split()).rstrip("."),
            owner=cls.__module__,
            changed_by="what is written to the rows it is made from; store.rebuild",
            in_the_past=cls.keeps_the_past,
        )

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


class _Taken(msgspec.Struct, frozen=True):
    """What of a table is in an index: all up to a change.

    Or, as long as it is being made, the rows up to the number `place`.
    """

    cursor: int
    place: int | None = None


def state_of(tx: Transaction, index: Derived, tables: Sequence[Table]) -> State:
    """How far an index has come; nowhere, if some of it has to be made again.

    Raises `TooNew` if a newer holdfast keeps it.
    """
    return _state(*_taken(tx, index, tables), tables)


def advance(
    tx: Transaction, index: Derived, tables: Sequence[Table], limit: int
) -> State:
    """Lead an index on by at most `limit` rows or changes; how far it has come then."""
    tx.lock("derived", index.name)
    head, taken = _taken(tx, index, tables)
    if not taken:
        tx.put("derived_drop", name=index.name)
        index.clear(tx)
    lacking = [table for table in tables if table.name not in taken]
    making = [table for table in tables if table.name in _unfinished(taken)]
    if lacking:
        taken |= {table.name: _Taken(head, _BEGINNING) for table in lacking}
    elif making:
        table = making[0]
        taken[table.name] = _made_on(tx, index, table, taken[table.name], limit)
    else:
        taken = _followed(tx, index, tables, taken, limit)
    reached = [(table, taken[table.name]) for table in tables]
    tx.put_each("derived_put", (_kept(index, table, one) for table, one in reached))
    return _state(head, taken, tables)


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


def _taken(
    tx: Transaction, index: Derived, tables: Sequence[Table]
) -> tuple[int, dict[str, _Taken]]:
    """The newest change, and what of each table is in an index, if that is of use."""
    rows = tx.all("derived_state", name=index.name)
    head, floor = rows[0][0] or 0, rows[0][1]
    kept = {source: rest for _, _, source, *rest in rows if source is not None}
    newest = max((version for version, _, _ in kept.values()), default=0)
    if newest > index.version:
        raise TooNew(
            f"the index {index.name!r} is kept by a newer holdfast, or by newer code "
            f"(version {newest}; this one knows {index.version}): upgrade"
        )
    found = {}
    for table in tables:
        version, cursor, place = kept.get(_source(index, table), (None, 0, None))
        if version == index.version and floor <= cursor <= head:
            found[table.name] = _Taken(cursor, place)
    return head, found


def _state(head: int, taken: Mapping[str, _Taken], tables: Sequence[Table]) -> State:
    if len(taken) < len(tables):
        return State(head, None)
    cursor = min((one.cursor for one in taken.values()), default=head)
    return State(head, cursor, next(iter(_unfinished(taken).items()), None))


def _unfinished(taken: Mapping[str, _Taken]) -> dict[str, int]:
    """The tables that are being made, and how far that has come."""
    return {name: one.place for name, one in taken.items() if one.place is not None}


def _source(index: Derived, table: Table) -> str:
    """A table, and what of it an index is fed with; with other columns, another."""
    return f"{table.name}: {', '.join(index.columns(table))}"


def _kept(index: Derived, table: Table, one: _Taken) -> dict[str, Any]:
    return {
        "name": index.name,
        "source": _source(index, table),
        "version": index.version,
        "cursor": one.cursor,
        "place": one.place,
    }


def _made_on(
    tx: Transaction, index: Derived, table: Table, so_far: _Taken, limit: int
) -> _Taken:
    """Go on with making it from the rows of a table: some more of them."""
    rows = tx.all(
        f"{index.name}_{table.name}_page",
        after=so_far.place,
        limit=limit,
        most=_BIG_BYTES,
    )
    taken = rows[: _fitting(row[-1] for row in rows)]
    index.take(tx, table, _whole(tx, index, table, taken))
    if taken and (len(taken) < len(rows) or len(rows) == limit):
        return _Taken(so_far.cursor, taken[-1][0])
    return _Taken(so_far.cursor)


def _followed(
    tx: Transaction,
    index: Derived,
    tables: Sequence[Table],
    taken: dict[str, _Taken],
    limit: int,
) -> dict[str, _Taken]:
    """Follow the journal by some changes; each row is taken as it is by now."""
    after = min((one.cursor for one in taken.values()), default=FURTHEST)
    changes = tx.all("derived_changes", after=after, limit=limit)
    if not changes:
        return taken
    upto = changes[-1][0]
    kinds = {kind for _, kind, _, _ in changes}
    behind = [
        table
        for table in tables
        if table.name in kinds and taken[table.name].cursor < upto
    ]
    asked = {"after": after, "upto": upto, "most": _BIG_BYTES}
    found = {
        table.name: tx.all(f"{index.name}_{table.name}_changed", **asked)
        for table in behind
    }
    sizes = {row[0]: row[-1] for rows in found.values() for row in rows}
    changes = changes[: _fitting(sizes.get(no, 0) for _, _, no, _ in changes)]
    named = {no for _, _, no, _ in changes}
    for table in behind:
        gone = [n for _, kind, n, op in changes if kind == table.name and op != _ADDED]
        if gone:
            index.forget(tx, table, gone)
        rows = [row for row in found[table.name] if row[0] in named]
        index.take(tx, table, _whole(tx, index, table, rows))
    upto = changes[-1][0]
    return {name: _Taken(max(one.cursor, upto)) for name, one in taken.items()}


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

-- {index}_{table}_back --
-- The rows of {table} of an owner before a number, the newest first; they are walked
-- through in that order, for an index on owners has them in none.
select no from {table} where no < :before and owner || '' = :owner
order by no desc limit :limit

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
