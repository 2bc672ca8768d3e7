"""Changes: what the journal's entries are as data, with the rows before and after.

Answers for: the moment of each entry, the images, rows as data (JSON decoded, times as
times, a parent by its id).
Leaves to others: which entries are wanted (`journal`).
Always holds: what many entries need is asked for together, not one by one: on a server
each question would cost a round trip.
"""

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from holdfast import codec
from holdfast.clock import to_datetime
from holdfast.engine import Row, Table, Transaction

_THE_JOURNALS = frozenset({"no", "died", "born"})
"""Columns that a row has for the journal, and not for callers."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change of one row.

    `op` is create, update, delete or purge. `before` and `after` are the row as data;
    None where there was, or is, none. `id` is the row's own, or that of the record it
    belongs to; None if it was purged. Of a kind that this process has not declared,
    only the change itself is known: no id, no row.
    """

    seq: int
    moment: int
    at: datetime
    origin: str | None
    actor: str | None
    cause: str | None
    kind: str
    owner: str
    id: str | None
    op: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def moments_of(tx: Transaction, rows: Sequence[Row]) -> list[Row | None]:
    """The moment of each entry, in their order; None for those that have none yet.

    Entries between two of one moment are of that moment too, and are not asked for: in
    a large transaction each would be a long way from its end.
    """
    found: dict[int, Row | None] = {
        row[0]: (row[0], *row[5:]) for row in rows if row[5] is not None
    }
    open_ended = itertools.groupby(rows, key=lambda row: row[5] is None)
    runs = [[row[0] for row in run] for unstamped, run in open_ended if unstamped]
    found |= _asked(tx, {seq for run in runs for seq in (run[0], run[-1])})
    rest: set[int] = set()
    for run in runs:
        if found[run[0]] == found[run[-1]]:
            found |= dict.fromkeys(run, found[run[0]])
        else:
            rest.update(run[1:-1])
    found |= _asked(tx, rest)
    return [found[row[0]] for row in rows]


def _asked(tx: Transaction, seqs: Iterable[int]) -> dict[int, Row | None]:
    asked = sorted(seqs)
    found = tx.each("journal_moment", [{"seq": seq} for seq in asked])
    return {
        seq: there[0] if there else None
        for seq, there in zip(asked, found, strict=True)
    }


def changes_of(
    tx: Transaction, entries: Sequence[tuple[Row, Row]], tables: Mapping[str, Table]
) -> list[Change]:
    """Entries, each with its moment, as changes."""
    before = _before(tx, entries, tables)
    after = _after(tx, entries, tables)
    ids = _parents(tx, [*before.values(), *after.values()])
    changes = []
    for (seq, kind, owner, _, op, *_), (moment, at, origin, actor, cause) in entries:
        table = tables.get(kind)
        was, now = (_as_data(images.get(seq), ids) for images in (before, after))
        changes.append(
            Change(
                seq=seq,
                moment=moment,
                at=to_datetime(at),
                origin=origin,
                actor=actor,
                cause=cause,
                kind=kind,
                owner=owner,
                id=_id_in(now or was, table),
                op=op,
                before=was,
                after=now,
            )
        )
    return changes


def records_of(
    tx: Transaction, table: Table, rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any] | None]:
    """Rows of a table as data; None for one that belongs to a row which is gone."""
    if table.parent is None:
        return [data_of(table, row) for row in rows]
    column, name = table.parent
    numbers = list({row[column] for row in rows})
    found = tx.fields_of(f"{name}_now", [{"no": no} for no in numbers])
    parents = dict(zip(numbers, found, strict=True))
    return [
        None if parent is None else data_of(table, row, parent.get("id"))
        for row, parent in ((row, parents[row[column]]) for row in rows)
    ]


def data_of(
    table: Table, fields: Mapping[str, Any], parent: str | None = None
) -> dict[str, Any]:
    """A row as data: JSON decoded, times as times, its parent by its id."""
    plain = dict(fields)
    for name in _THE_JOURNALS:
        plain.pop(name, None)
    for name in _times(tuple(plain)):
        if name not in table.numbers and type(value := plain[name]) is int:
            plain[name] = to_datetime(value)
    for name in table.json:
        if type(value := plain.get(name)) is str:
            plain[name] = codec.decode(value)
    if table.parent is not None:
        plain[table.parent[0]] = parent
    return plain


@functools.cache
def _times(names: tuple[str, ...]) -> tuple[str, ...]:
    """Which columns have times."""
    return tuple(name for name in names if name == "at" or name.endswith("_at"))


def concerns(change: Change, table: Table | None, id: str) -> bool:
    """Whether a change is of the record with this id, or of one that belongs to it."""
    return id in {change.id, _parent_in(change.after or change.before, table)}


class _Image(msgspec.Struct):
    """A row as the database has it, and the table that it is of."""

    table: Table
    fields: dict[str, Any]

    @property
    def parent(self) -> tuple[str, int] | None:
        """The table and the number of the row that it belongs to."""
        if self.table.parent is None:
            return None
        column, table = self.table.parent
        return table, self.fields[column]


_Images = dict[int, _Image]
"""Images by the `seq` of the change that they belong to."""


def _before(
    tx: Transaction, entries: Iterable[tuple[Row, Row]], tables: Mapping[str, Table]
) -> _Images:
    images: _Images = {}
    for table, rows in _by_table(entries, tables, {"update", "delete"}):
        values = [{"seq": row[0]} for row in rows]
        found = tx.fields_of(f"{table.name}_before", values)
        images |= _images(table, rows, found)
    return images


def _after(
    tx: Transaction, entries: Iterable[tuple[Row, Row]], tables: Mapping[str, Table]
) -> _Images:
    """The next image of each row, or the row as it is."""
    images: _Images = {}
    for table, rows in _by_table(entries, tables, {"create", "update"}):
        values = [{"no": row[3], "seq": row[0]} for row in rows]
        found = tx.fields_of(f"{table.name}_until", values)
        images |= _images(table, rows, found)
        rest = [row for row, there in zip(rows, found, strict=True) if there is None]
        found = tx.fields_of(f"{table.name}_now", [{"no": row[3]} for row in rest])
        images |= _images(table, rest, found)
    return images


def _by_table(
    entries: Iterable[tuple[Row, Row]], tables: Mapping[str, Table], ops: set[str]
) -> list[tuple[Table, list[Row]]]:
    """Entries of these kinds of change, by their tables; unknown ones are left out."""
    found: dict[str, list[Row]] = {}
    for row, _ in entries:
        if row[1] in tables and row[4] in ops:
            found.setdefault(row[1], []).append(row)
    return [(tables[name], rows) for name, rows in found.items()]


def _images(
    table: Table, rows: Sequence[Row], found: Sequence[dict[str, Any] | None]
) -> _Images:
    pairs = zip(rows, found, strict=True)
    return {row[0]: _Image(table, fields) for row, fields in pairs if fields}


def _parents(
    tx: Transaction, images: Iterable[_Image]
) -> dict[tuple[str, int], str | None]:
    """The ids of the rows that others belong to, by their tables and numbers."""
    wanted: dict[str, dict[int, str]] = {}
    for image in images:
        if image.parent is not None:
            table, no = image.parent
            wanted.setdefault(table, {})[no] = image.fields["owner"]
    ids: dict[tuple[str, int], str | None] = {}
    for table, owners in wanted.items():
        asked: list[dict[str, Any]] = [
            {"owner": owners[no], "no": no, "after": 0} for no in sorted(owners)
        ]
        for name, wants in _WHOSE:
            if not tx.knows(name.format(table)):
                continue
            given = [{key: value[of] for key, of in wants.items()} for value in asked]
            found = tx.fields_of(name.format(table), given)
            for value, fields in zip(asked, found, strict=True):
                ids[table, value["no"]] = fields["id"] if fields else None
            asked = [value for value in asked if ids[table, value["no"]] is None]
    return ids


_WHOSE = (
    ("{}_now", {"no": "no"}),
    ("{}_until", {"no": "no", "seq": "after"}),
    ("{}_of_line", {"owner": "owner", "line": "no"}),
    ("{}_left_line", {"owner": "owner", "line": "no"}),
)
"""How the row that others belong to by a number is found, and by which values: it has
that number, or it had; or the number is that of a line, which it has or had."""


def _as_data(
    image: _Image | None, ids: Mapping[tuple[str, int], str | None]
) -> dict[str, Any] | None:
    if image is None:
        return None
    parent = None if image.parent is None else ids[image.parent]
    return data_of(image.table, image.fields, parent)


def _id_in(plain: Mapping[str, Any] | None, table: Table | None) -> str | None:
    """The id of a row; where it has none, of the record that it belongs to."""
    if plain is None:
        return None
    return plain["id"] if "id" in plain else _parent_in(plain, table)


def _parent_in(plain: Mapping[str, Any] | None, table: Table | None) -> str | None:
    if plain is None or table is None or table.parent is None:
        return None
    return plain.get(table.parent[0])
