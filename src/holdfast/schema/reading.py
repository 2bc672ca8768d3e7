"""Reading: which tables a statement reads, on whichever engine.

Answers for: the tables in a statement's text, by its name, as the journal calls them.
Leaves to others: which statements a query uses (`runtime/watch`).
Always holds: a table that some engine's text of a statement reads is among them, if
need be one too many; none is left out.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from holdfast.engine import Part
from holdfast.schema.catalog import catalog
from holdfast.schema.statements import TABLES, overrides, parse

JOURNAL = "change"
"""What is read by who reads the journal itself: every change is one of it."""
_CREATED = re.compile(r"create (?:virtual )?table (\w+)", re.IGNORECASE)
_READS = re.compile(r"\b(?:from|join)\s+(\w+)", re.IGNORECASE)
_IMAGE = "was_"
_TOLD_WITH = {"session_tag": "session", "machine_now": "machine_step"}
"""Tables that have no entries in the journal, and change only with one that has."""
_SAYS = frozenset({"store", "migration", "derived", "leftover"})
"""What a store says of itself; nothing that a query gives comes from there."""


def tables_read(parts: Iterable[Part]) -> Mapping[str, frozenset[str]]:
    """The tables that each statement reads; images count as the table they are of."""
    parts = tuple(parts)
    known = _tables(parts)
    texts = {name: [found.text] for name, found in catalog(parts).items()}
    for engine in _engines():
        for name, found in overrides(engine).items():
            texts.setdefault(name, []).append(found.text)
    return {
        name: frozenset(
            _as_told(table)
            for text in written
            for table in _READS.findall(text)
            if table.removeprefix(_IMAGE) in known
        )
        for name, written in texts.items()
    }


def told(parts: Iterable[Part]) -> frozenset[str]:
    """The tables whose changes the journal tells of."""
    tables = (table for part in parts for table in part.tables)
    journalled = (table.name for table in tables if table.journalled)
    return frozenset({*journalled, JOURNAL})


def _tables(parts: Iterable[Part]) -> frozenset[str]:
    made = (parse(part.sql)[TABLES].text for part in parts)
    return frozenset(name for text in made for name in _CREATED.findall(text)) - _SAYS


def _as_told(table: str) -> str:
    plain = table.removeprefix(_IMAGE)
    return _TOLD_WITH.get(plain, plain)


def _engines() -> list[str]:
    """The engines that have statements of their own."""
    folder = Path(__file__).parent
    return sorted(
        {path.parent.name for path in folder.glob("*/*.sql")} - {"migrations"}
    )
