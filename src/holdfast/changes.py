"""Changes: what the journal's entries are as data, with the rows before and after.

Answers for: the moment of each entry, the images, rows as data (JSON decoded, times as
times, a parent by its id).
Leaves to others: which entries are wanted (`journal`).
Always holds: what many entries need is asked for together, not one by one: on a server
each question would cost a round trip.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from holdfast import codec
from holdfast.clock import to_datetime
from holdfast.engine import Row, Table, Transaction


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
    """The moment of each entry; None for those of a transaction that is still open."""
    asked = [row for row in rows if row[5] is None]
    found = tx.each("journal_moment", [{"seq": row[0]} for row in asked])
    others = {row[0]: moment for row, moment in zip(asked, found, strict=True)}
    moments: list[Row | None] = []
    for row in rows:
        if row[5] is not None:
            moments.append((row[0], *row[5:]))
        else:
            moments.append(others[row[0]][0] if others[row[0]] else None)
    return moments


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
    wanted: dict[str, set[int]] = {}
    for image in images:
        if image.parent is not None:
            wanted.setdefault(image.parent[0], set()).add(image.parent[1])
    ids: dict[tuple[str, int], str | None] = {}
    for table, numbers in wanted.items():
        now = sorted(numbers)
        found = tx.fields_of(f"{table}_now", [{"no": no} for no in now])
        gone = [no for no, there in zip(now, found, strict=True) if there is None]
        found += tx.fields_of(f"{table}_until", [{"no": no, "seq": 0} for no in gone])
        for no, fields in zip([*now, *gone], found, strict=True):
            ids[table, no] = fields["id"] if fields else None
    return ids


def _as_data(
    image: _Image | None, ids: Mapping[tuple[str, int], str | None]
) -> dict[str, Any] | None:
    """A row as data: JSON decoded, times as times, its parent by its id."""
    if image is None:
        return None
    plain = {
        name: _plain(name, value, image.table)
        for name, value in image.fields.items()
        if name not in {"no", "died", "born"}
    }
    if image.table.parent is not None and image.parent is not None:
        plain[image.table.parent[0]] = ids[image.parent]
    return plain


def _id_in(plain: Mapping[str, Any] | None, table: Table | None) -> str | None:
    """The id of a row; where it has none, of the record that it belongs to."""
    if plain is None:
        return None
    return plain["id"] if "id" in plain else _parent_in(plain, table)


def _parent_in(plain: Mapping[str, Any] | None, table: Table | None) -> str | None:
    if plain is None or table is None or table.parent is None:
        return None
    return plain.get(table.parent[0])


def _plain(name: str, value: object, table: Table) -> object:
    if name in table.json and isinstance(value, str):
        return codec.decode(value)
    if (name == "at" or name.endswith("_at")) and isinstance(value, int):
        return to_datetime(value)
    return value
