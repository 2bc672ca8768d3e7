"""Finding: the records that a query is about, the best of them first.

Answers for: asking the index, looking at each row that it names, ranking, and what is
not in the index: rows changed since it was led on, rows as they were at a moment.
Leaves to others: leading the index on (`indexes`), which rows are out of sight and what
a record looks like (each kind, `shown`), the piece of it (`hits`).
Always holds: what is found is in the row as this transaction sees it; an index alone
finds nothing. The same query finds the same on every engine.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from holdfast.contract import Kind
from holdfast.engine import Row, Table, Transaction
from holdfast.indexes import FURTHEST, State
from holdfast.moments import standing_at
from holdfast.searching.hits import Hit, piece_of
from holdfast.searching.index import mark_of
from holdfast.searching.query import Matcher, Place, Query
from holdfast.searching.texts import text_of
from holdfast.searching.words import folded

_AT_ONCE = 500
"""Records of a table that are looked at together, and ranked against one another."""
MOST = 20_000
"""Records of a table that an index may name before a search ends with what it has."""
_READ_AT_ONCE = 100
_SATURATION, _LENGTH = 1.2, 0.75


class Search(msgspec.Struct, frozen=True):
    """What is looked for, and where: the tables, each with the kind that has it."""

    query: Query
    tables: tuple[tuple[type[Kind], Table], ...]
    limit: int


class Match(msgspec.Struct, gc=False):
    """A row that has what is looked for."""

    kind: type[Kind]
    table: Table
    row: dict[str, Any]
    text: str
    places: list[Place]
    score: float = 0.0

    def counts(self, terms: int) -> list[int]:
        """How often each term is in it."""
        if terms == 1:
            return [len(self.places)]
        counts = [0] * terms
        for _, _, term in self.places:
            counts[term] += 1
        return counts


def find(tx: Transaction, state: State, search: Search) -> tuple[Hit, ...]:
    """What is found, the best first; at the moment that the terms name, if any."""
    finder = _Finder(tx, state, search)
    found = finder.found(search.limit if state.whole else _AT_ONCE)
    hits = finder.hits(found)
    if len(hits) < min(search.limit, len(found)):  # some are out of sight: look on
        hits = finder.hits(finder.found(MOST))
    return hits


class _Finder:
    """One search, in one transaction."""

    def __init__(self, tx: Transaction, state: State, search: Search) -> None:
        moment = tx.terms.moment
        self.matcher = Matcher(search.query)
        self._tx = tx
        self._view = tx if moment is None else standing_at(tx, moment)
        self._moment = moment
        self._upto = state.head if moment is None else min(moment, state.head)
        self._owner = tx.terms.owner
        self._state = state
        self._search = search

    def found(self, enough: int) -> list[Match]:
        """What fits the query, the best first: of each table so many, or more."""
        every = self._search.tables
        found = [it for kind, table in every for it in self._in(kind, table, enough)]
        return ranked(found, self.matcher.terms)

    def _in(self, kind: type[Kind], table: Table, enough: int) -> Iterator[Match]:
        """The rows of a table that have it: the newest, if many do."""
        seen: set[int] = set()
        found = 0
        for numbers in self._candidates(table):
            asked = [{"no": no} for no in dict.fromkeys(numbers) if no not in seen]
            seen.update(numbers)
            for start in range(0, len(asked), _READ_AT_ONCE):
                rows = self._view.fields_of(
                    f"{table.name}_now", asked[start : start + _READ_AT_ONCE]
                )
                for row in rows:
                    if row is not None and row["owner"] == self._owner:
                        text = text_of(table, [row[name] for name in table.text])
                        places = self.matcher.places(folded(text))
                        if places is not None:
                            found += 1
                            yield Match(kind, table, row, text, places)
            if found >= enough:
                return

    def _candidates(self, table: Table) -> Iterator[list[int]]:
        """Rows that may have it, some at a time; what the index lacks comes first."""
        if not self._state.whole:
            yield from self._every(table)
            return
        first = self._since(table)
        for numbers in self._indexed(table):
            yield first + numbers
            first.clear()

    def _since(self, table: Table) -> list[int]:
        """Rows that the index has not, or has otherwise."""
        name, cursor, found = f"search_{table.name}", self._state.cursor, list[Row]()
        if cursor is not None and cursor < self._upto:
            upto = self._upto
            found += self._view.all(f"{name}_changed", after=cursor, upto=upto, most=0)
        if self._moment is not None:
            owner, moment = self._owner, self._moment
            found += self._tx.all(f"{name}_left", owner=owner, moment=moment)
        return [row[0] for row in found]

    def _indexed(self, table: Table) -> Iterator[list[int]]:
        query = self._search.query.asked_of([mark_of(self._owner, table.name)])
        before, upto = FURTHEST, FURTHEST if self._moment is None else self._moment
        for _ in range(0, MOST, _AT_ONCE):
            named = self._tx.all(
                "search_find", query=query, before=before, upto=upto, limit=_AT_ONCE
            )
            yield [no for (no,) in named]
            if len(named) < _AT_ONCE:
                return
            before = named[-1][0]

    def _every(self, table: Table) -> Iterator[list[int]]:
        """All the owner's rows, where nobody has made an index and nobody can."""
        before = FURTHEST
        while True:
            asked = {"owner": self._owner, "before": before, "limit": _AT_ONCE}
            rows = self._view.all(f"search_{table.name}_back", **asked)
            yield [no for (no,) in rows]
            if len(rows) < _AT_ONCE:
                return
            before = rows[-1][0]

    def hits(self, found: Sequence[Match]) -> tuple[Hit, ...]:
        """The first of them that are in sight, as they are shown."""
        hits: list[Hit] = []
        limit = end = self._search.limit
        start = 0
        while start < len(found) and len(hits) < limit:
            hits += self._shown(found[start:end])
            start, end = end, 2 * end
        return tuple(hits[:limit])

    def _shown(self, matches: Sequence[Match]) -> Iterator[Hit]:
        of_tables: dict[str, list[Match]] = {}
        for match in matches:
            of_tables.setdefault(match.table.name, []).append(match)
        records: dict[int, dict[str, Any]] = {}
        for of_it in of_tables.values():
            rows = [match.row for match in of_it]
            shown = of_it[0].kind(self._view).shown(of_it[0].table, rows)
            for row, record in zip(rows, shown, strict=True):
                if record is not None:
                    records[row["no"]] = record
        for match in matches:
            record = records.get(match.row["no"])
            if record is not None:
                piece, places = piece_of(match.text, match.places)
                yield Hit(
                    kind=match.table.name,
                    id=record.get("id"),
                    score=match.score,
                    record=record,
                    piece=piece,
                    matches=places,
                )


def ranked(found: Sequence[Match], terms: int) -> list[Match]:
    """Matches, the best first: by Okapi BM25, each term's weight from those found.

    Of equally good ones, the newest is first.
    """
    if not found:
        return []
    average = sum(len(match.text) for match in found) / len(found)
    counted = [match.counts(terms) for match in found]
    weights = [
        math.log(1 + len(found) / max(1, sum(counts[term] > 0 for counts in counted)))
        for term in range(terms)
    ]
    for match, counts in zip(found, counted, strict=True):
        length = _SATURATION * (1 - _LENGTH + _LENGTH * len(match.text) / average)
        for weight, count in zip(weights, counts, strict=True):
            match.score += weight * count * (_SATURATION + 1) / (count + length)
    return sorted(found, key=lambda match: (-match.score, -match.row["no"]))
