"""Topics: which changes of the journal outdate a cached value.

Answers for: what `invalidated_by` may say, and the keys by which changes are found for
it; the keys of some changes.
Leaves to others: when the journal is read, and who is told (`news`).
Always holds: a change of a record, or of what belongs to it, has one of the record's
keys. (What a fork shows of others is never changed.)

A key is made of an owner, a table, and what is known of the row: nothing, its number,
that it is new, or the number under which it belongs to a record.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from holdfast import edges
from holdfast.contract import Kind, Registry
from holdfast.engine import Row, Table, Terms, Transaction
from holdfast.errors import Refused
from holdfast.limits import Limits
from holdfast.runtime.watch.queries import Reading

Key: TypeAlias = tuple[Any, ...]
Kinds: TypeAlias = str | Iterable[str] | Mapping[str, str | Iterable[str]]
"""Kinds (`"sessions"`, `["sessions", "tasks"]`), or records (`{"sessions": id}`)."""
InvalidatedBy: TypeAlias = Kinds | Callable[[Any], Kinds]
"""What outdates every value, or what says of a key what outdates its value."""
_MADE, _OF, _ANY = "made", "of", "any"


class Record(msgspec.Struct, frozen=True):
    """A record by which values are outdated; `whole` if what belongs to it counts."""

    kind: type[Kind]
    id: str
    whole: bool


class Wanted(msgspec.Struct, frozen=True):
    """The tables, and the records, by which values are outdated."""

    tables: tuple[str, ...] = ()
    records: tuple[Record, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tables or self.records)


class Topics:
    """What can be named in one store, and the keys of it."""

    def __init__(self, registry: Registry, limits: Limits) -> None:
        self._kinds = registry.kinds
        self._limits = limits
        self._tables = {table.name: table for table in registry.tables()}

    def wanted(self, said: object) -> Wanted:
        """What `invalidated_by` says. Raises `Refused`, `WrongType`, `InvalidId`."""
        if isinstance(said, Mapping):
            return Wanted(records=tuple(self._records(said)))
        names = [said] if isinstance(said, str) else said
        if not isinstance(names, Iterable):
            raise edges.wrong_type("invalidated_by", "kinds, or a dict of ids", said)
        return Wanted(tables=tuple(t for name in names for t in self._named(name)))

    def keys_of(self, tx: Transaction, owner: str, wanted: Wanted) -> frozenset[Key]:
        """The keys of what is wanted, as it is now."""
        keys: set[Key] = {(owner, table) for table in wanted.tables}
        view = Reading(tx, Terms(owner=owner), {})
        for record in wanted.records:
            keys.update(self._keys_of(view, owner, record))
        return frozenset(keys)

    def keys_in(
        self, tx: Transaction, rows: Sequence[Row], belonging: Counter[str]
    ) -> set[Key]:
        """The keys of some entries of the journal.

        `belonging` counts who is found by rows of a table that belong to a record.
        """
        keys: set[Key] = set()
        detailed: dict[str, list[Row]] = {}
        for row in rows:
            _, table, owner, no, op = row[:5]
            keys.add((owner, table))
            keys.add((owner, table, no))
            if op == "create":
                keys.add((owner, table, _MADE))
            if belonging[table]:
                detailed.setdefault(table, []).append(row)
            else:  # someone may come to ask for it before this is taken in
                keys.add((owner, table, _ANY))
        for table, some in detailed.items():
            tops = self._tops(tx, table, some)
            for row, top in zip(some, tops, strict=True):
                last = (_ANY,) if top is None else (_OF, top)
                keys.add((row[2], table, *last))
        return keys

    def _records(self, said: Mapping[Any, Any]) -> Iterator[Record]:
        for name, ids in said.items():
            kind = self._kind(name)
            root = kind.tables[0].name if kind and kind.tables else None
            if kind is None or root is None or name not in {kind.name, root}:
                raise Refused(
                    f"invalidated_by: {name!r} has no records of its own with ids; "
                    "name the kind that it is of"
                )
            for id in [ids] if isinstance(ids, str) else ids:
                checked = edges.id_of(id, f"invalidated_by[{name!r}]")
                yield Record(kind, checked, whole=name == kind.name)

    def _named(self, name: object) -> Iterable[str]:
        """The tables of a kind, or of one kind of row."""
        kind = self._kind(name)
        if kind is not None and kind.name == name:
            return [table.name for table in kind.tables if table.journalled]
        return [str(name)]

    def _kind(self, name: object) -> type[Kind] | None:
        """The kind of this name, or whose rows are called so. Raises `Refused`."""
        edges.name_of(name, "invalidated_by", self._limits)
        for kind in self._kinds.values():
            of = [table for table in kind.tables if table.journalled]
            if name == kind.name and not of:
                raise Refused(
                    f"invalidated_by: {name!r} keeps nothing in the journal, so that "
                    "nobody would notice its changes; name a kind that does"
                )
            if name == kind.name or name in {table.name for table in of}:
                return kind
        raise Refused(
            f"invalidated_by: there is no kind {name!r}; store.operations() names all"
        )

    def _keys_of(self, view: Transaction, owner: str, record: Record) -> Iterable[Key]:
        root, *rest = (table for table in record.kind.tables if table.journalled)
        kind = record.kind(view)
        row = view.one(f"{record.kind.name}_exists", id=record.id, owner=owner)
        if row is None:
            yield owner, root.name, _MADE
            return
        yield owner, root.name, row[0]
        if not record.whole:
            return
        numbers = {row[0], *kind.lines(record.id)}
        for table in rest:
            if self._chain(table.name)[-1:] == [root.name]:
                yield owner, table.name, _ANY
                yield from ((owner, table.name, _OF, no) for no in numbers)
            else:
                yield owner, table.name

    def _chain(self, table: str) -> list[str]:
        """What a table's rows belong to, up to the records; empty if to nothing."""
        found: list[str] = []
        at: Table | None = self._tables[table]
        while at is not None and at.parent is not None:
            found.append(at.parent[1])
            at = self._tables.get(at.parent[1])
        return found

    def _tops(
        self, tx: Transaction, table: str, rows: Sequence[Row]
    ) -> list[int | None]:
        """The numbers under which rows belong to records; None where nobody knows."""
        asked = [{"owner": row[2], "no": row[3], "seq": row[0] - 1} for row in rows]
        for upper in self._chain(table):
            column, _ = self._tables[table].parent or ("", "")
            for values, fields in zip(asked, _fields(tx, table, asked), strict=True):
                values["no"] = None if fields is None else fields[column]
            table = upper
        return [values["no"] for values in asked]


def _fields(
    tx: Transaction, table: str, asked: Sequence[dict[str, Any]]
) -> list[dict[str, Any] | None]:
    """Rows as they are, or as they were before they went."""
    found = tx.fields_of(f"{table}_now", asked)
    gone = [place for place, fields in enumerate(found) if fields is None]
    was = tx.fields_of(f"{table}_until", [asked[place] for place in gone])
    for place, fields in zip(gone, was, strict=True):
        found[place] = fields
    return found


def belonging(keys: Iterable[Key]) -> Iterator[str]:
    """The tables whose rows are to be followed up to records, for these keys."""
    return (key[1] for key in keys if key[2:] == (_ANY,))
