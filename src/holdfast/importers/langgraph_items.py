"""Items of LangGraph's own stores, as `HoldfastStore` keeps them.

Answers for: reading the rows of SqliteStore's and PostgresStore's tables.
Leaves to others: what is in the store already (`item_intake`).
Always holds: what is past its time stays where it is.
"""

import array
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from holdfast.importers.databases import Database, time_of
from holdfast.importers.item_intake import Arrived

NEEDS = {"store"}
_MINUTE = 60
_ROWS = """
select s.prefix, s.key, s.value, s.updated_at, {expires_at}, {ttl_minutes} from store s
order by s.updated_at, s.prefix, s.key
"""
_VECTORS = """
select v.field_name, v.embedding from store_vectors v
where v.prefix = :prefix and v.key = :key
"""


class Row(msgspec.Struct, frozen=True):
    """An item as it is there, and its vectors by their names."""

    prefix: str
    key: str
    value: object
    updated_at: object
    expires_at: object
    minutes: float | None
    vectors: dict[str, object]

    @property
    def place(self) -> str:
        """How a report names it."""
        return f"store[{self.prefix}, {self.key}]"


def rows_in(database: Database) -> Iterator[Row]:
    """The items of a database, those put last at the end."""
    columns = database.tables["store"]
    wanted = {
        name: f"s.{name}" if name in columns else "null"
        for name in ("expires_at", "ttl_minutes")
    }
    has_vectors = "store_vectors" in database.tables
    for prefix, key, *rest in database.rows(_ROWS.format(**wanted)):
        value, updated_at, expires_at, minutes = rest
        vectors = _vectors(database, prefix, key) if has_vectors else {}
        yield Row(prefix, key, value, updated_at, expires_at, minutes, vectors)


def arrived(row: Row) -> Arrived | None:
    """An item as a store takes it; None for one that is past its time.

    Raises `ValueError`, for one that is none.
    """
    if row.expires_at is not None and time_of(row.expires_at) <= datetime.now(UTC):
        return None
    size = len(row.value) if isinstance(row.value, (str, bytes)) else 0
    return Arrived(row.place, _put_of(row), time_of(row.updated_at), size)


def _put_of(row: Row) -> dict[str, Any]:
    """What is put for an item. Raises `ValueError`."""
    value = row.value
    if isinstance(value, (str, bytes)):
        value = json.loads(value)
    vectors = {name: _vector(found) for name, found in row.vectors.items()}
    return {
        "namespace": tuple(row.prefix.split(".")),
        "key": row.key,
        "value": value,
        "ttl_seconds": None if row.minutes is None else float(row.minutes) * _MINUTE,
        "vectors": vectors or None,
    }


def _vectors(database: Database, prefix: str, key: str) -> dict[str, object]:
    rows = database.rows(_VECTORS, prefix=prefix, key=key)
    return {name: embedding for name, embedding in rows}  # noqa: C416


def _vector(found: object) -> list[float]:
    """A vector: as sqlite-vec has it, 32 bits a number, or as pgvector writes it."""
    if isinstance(found, str):
        return msgspec.json.decode(found, type=list[float])
    if not isinstance(found, bytes):
        raise ValueError("a vector of it cannot be read")  # noqa: TRY004
    numbers = array.array("f", found)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
