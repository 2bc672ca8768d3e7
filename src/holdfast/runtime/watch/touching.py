"""Touching: which watched queries some changes of the journal may concern.

Answers for: under which keys a query is found, and the keys of changes.
Leaves to others: running what was touched (`rounds`).
Always holds: a query whose outcome a change may have altered is found, if need be one
too many; a watched record is found by its own changes, and not by those of others.

A key is made of an owner, a table, and what is known of the row: nothing, its number,
that it is new, the number that it belongs to, or its id.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from holdfast.contract import Kind, Registry
from holdfast.engine import Row, Table, Transaction
from holdfast.runtime.watch.queries import Outcome, Query
from holdfast.schema.reading import JOURNAL, tables_read, told

R = TypeVar("R", bound=Hashable)
Key: TypeAlias = tuple[Any, ...]
_MADE, _OF, _ID = "made", "of", "id"
_CROWD = 50
"""From how many on it is worth a look whom some changes are likely to concern."""
_FEW = 100
"""Up to how many changes it is; of more, most are likely to concern many."""


class Reach(msgspec.Struct, frozen=True):
    """What an outcome depends on, and whether the journal tells of all of it."""

    keys: frozenset[Key]
    tables: frozenset[Key]
    told: bool


class Tables:
    """What the tables of a store are to its statements and records."""

    def __init__(self, registry: Registry) -> None:
        parts = registry.parts()
        self._read = tables_read(parts)
        self._told = told(parts)
        self.by_name: Mapping[str, Table] = {
            table.name: table for table in registry.tables()
        }

    def reach(self, query: Query, outcome: Outcome) -> Reach:
        """What an outcome depends on."""
        tables = frozenset(
            (owner, table)
            for owner, statement in outcome.seen
            for table in self._read.get(statement.partition("@")[0], ())
        )
        known = all(table in self._told for _, table in tables)
        told = frozenset(_anyones(one) for one in tables if one[1] in self._told)
        return Reach(frozenset(self._keys(query, outcome, told)), told, known)

    def _keys(
        self, query: Query, outcome: Outcome, tables: Iterable[Key]
    ) -> Iterable[Key]:
        record = query.record
        if record is None or outcome.error is not None or record.kind.sql:
            return tables
        root = (query.terms.owner, record.kind.tables[0].name)
        if not outcome.standing.numbers:
            return [(*root, _MADE)]
        return [
            (*root, outcome.standing.numbers[0]),
            *(
                key
                for owner, table in tables
                for key in self._keys_in(owner, table, record.kind, outcome)
            ),
        ]

    def _keys_in(
        self, owner: str, table: str, kind: type[Kind], outcome: Outcome
    ) -> Iterable[Key]:
        """A record depends on rows that belong to it, and on records that it names."""
        root, *rest = (table.name for table in kind.tables)
        parent = self.by_name[table].parent if table in rest else None
        if parent is not None and parent[1] == root:
            return [(owner, table, _OF, no) for no in outcome.standing.numbers]
        if table in rest or table == JOURNAL:
            return [(owner, table)]
        return [(owner, table, _ID, id) for id in outcome.standing.names]


def _anyones(read: Key) -> Key:
    """What was read; the journal, by whomever it is read, has everyone's changes."""
    return (None, JOURNAL) if read[1] == JOURNAL else read


class Index(Generic[R]):
    """Who is concerned by changes, found by keys. Not for two threads at once."""

    def __init__(self) -> None:
        self._by_key: dict[Key, set[R]] = {}
        self._of: dict[R, Reach] = {}
        self._wanted: Counter[Key] = Counter()
        self.untold: set[R] = set()
        """Those who depend on what the journal does not tell of."""

    def put(self, one: R, reach: Reach) -> None:
        """Have one found by what it depends on now."""
        if self._of.get(one) == reach:
            return
        self.drop(one)
        self._of[one] = reach
        for key in self._every(reach):
            self._by_key.setdefault(key, set()).add(one)
        self._wanted.update(_details(reach))
        if not reach.told:
            self.untold.add(one)

    def drop(self, one: R) -> None:
        """Have one found no more."""
        reach = self._of.pop(one, None)
        if reach is None:
            return
        for key in self._every(reach):
            self._by_key[key].discard(one)
            if not self._by_key[key]:
                del self._by_key[key]
        self._wanted.subtract(_details(reach))
        self._wanted = +self._wanted
        self.untold.discard(one)

    def wants(self, table: str, detail: str) -> bool:
        """Whether someone is found by a detail of a table's rows."""
        return (table, detail) in self._wanted

    def is_crowded(self, owner: str, table: str) -> bool:
        """Whether many are found by whatever changes in a table."""
        return len(self._by_key.get((owner, table), ())) >= _CROWD

    def found(self, keys: Mapping[Key, int]) -> dict[R, int]:
        """Who is concerned, each with the newest change that does."""
        found: dict[R, int] = {}
        for key, seq in keys.items():
            for one in self._by_key.get(key, ()):
                found[one] = max(found.get(one, 0), seq)
        return found

    @staticmethod
    def _every(reach: Reach) -> Iterable[Key]:
        yield from reach.keys
        for owner, table in reach.tables:
            yield ("whichever way", owner, table)


def _details(reach: Reach) -> set[Key]:
    """The details by which rows of tables are to be told."""
    return {(key[1], key[2]) for key in reach.keys if len(key) == 4}  # noqa: PLR2004


def keys_of(
    tx: Transaction,
    rows: Sequence[Row],
    index: "Index[Any]",
    tables: Mapping[str, Table],
) -> dict[Key, int]:
    """The keys of some entries of the journal, each with the newest that has it."""
    keys: dict[Key, int] = {}
    detailed: dict[tuple[str, str], list[Row]] = {}
    few = len(rows) <= _FEW
    for row in rows:
        seq, table, owner, no, op = row[:5]
        keys[owner, table] = keys[owner, table, no] = seq
        keys[None, JOURNAL] = seq
        if op == "create":
            keys[owner, table, _MADE] = seq
        if index.wants(table, _OF) or (
            few and index.is_crowded(owner, table) and tables[table].parent
        ):
            detailed.setdefault((table, _OF), []).append(row)
        if op != "update" and index.wants(table, _ID):
            detailed.setdefault((table, _ID), []).append(row)
    for (table, detail), some in detailed.items():
        parent = tables[table].parent
        column = _ID if detail == _ID or parent is None else parent[0]
        for row, fields in zip(some, _rows(tx, table, some), strict=True):
            seq, _, owner, *_ = row
            if fields is None:
                keys["whichever way", owner, table] = seq
            else:
                keys[owner, table, detail, fields[column]] = seq
    return keys


def _rows(
    tx: Transaction, table: str, entries: Sequence[Row]
) -> list[dict[str, Any] | None]:
    """The rows that entries are of: as they are, or as they were before they went."""
    asked = [{"owner": row[2], "no": row[3], "seq": row[0] - 1} for row in entries]
    now = tx.fields_of(f"{table}_now", asked)
    gone = [place for place, fields in enumerate(now) if fields is None]
    was = tx.fields_of(f"{table}_until", [asked[place] for place in gone])
    for place, fields in zip(gone, was, strict=True):
        now[place] = fields
    return now
