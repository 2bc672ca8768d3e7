"""Asking: from what a caller hands in to a question of the search index.

Answers for: checking the query, the limit, and which kinds are looked through.
Leaves to others: the index being current (`runtime.consulting`), finding (`finding`).
"""

from collections.abc import Callable, Iterable

from holdfast import edges
from holdfast.contract import Kind, Registry
from holdfast.engine import Table, Transaction
from holdfast.errors import Refused
from holdfast.indexes import State
from holdfast.journal import names_of
from holdfast.limits import Limits
from holdfast.searching.finding import Search, find
from holdfast.searching.hits import Hit
from holdfast.searching.query import read_query


def searching(
    registry: Registry,
    limits: Limits,
    query: object,
    kinds: Iterable[str] | None,
    limit: int,
) -> Callable[[Transaction, State], tuple[Hit, ...]]:
    """What is asked of the index, its arguments checked.

    Raises `BadInput`, `Refused` (nothing to look for, or nowhere to look).
    """
    asked = read_query(edges.text_of(query, "query", limits))
    names = None if kinds is None else names_of(kinds, "kinds", limits)
    search = Search(
        asked, _tables(registry, names), edges.page_of(limit, "limit", limits)
    )
    return lambda tx, state: find(tx, state, search)


def _tables(
    registry: Registry, names: Iterable[str] | None
) -> tuple[tuple[type[Kind], Table], ...]:
    """The tables of some kinds (None: of all) that have text."""
    every = [
        (kind, table)
        for kind in registry.kinds.values()
        for table in kind.tables
        if table.text and table.journalled
    ]
    if names is None:
        return tuple(every)
    found = []
    for name in names:
        chosen = [pair for pair in every if name in {pair[0].name, pair[1].name}]
        if not chosen:
            known = sorted(
                {n for kind, table in every for n in (kind.name, table.name)}
            )
            raise Refused(f"no kind {name!r} has text; these have: {', '.join(known)}")
        found += [pair for pair in chosen if pair not in found]
    return tuple(found)
