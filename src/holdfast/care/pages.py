"""Pages: a table read in the order of its key, and a digest of all that is in it.

Answers for: reading any number of rows with bounded memory, and what two stores'
tables are compared by.
Leaves to others: which table, and in which transaction (`copying`).
Always holds: a digest depends on the rows alone, not on the engine or on the pages.
"""

import hashlib
from collections.abc import Callable, Iterator

import msgspec

from holdfast.engine import Row, Transaction
from holdfast.schema.copied import Copied

_PAGE_BYTES = 4_000_000
_FIRST_ROWS = 100
_MOST_ROWS = 5_000
_DIGEST_BYTES = 16
_encode = msgspec.msgpack.Encoder().encode
Place = tuple[object, ...]


class CopiedTable(msgspec.Struct, frozen=True):
    """A table as it was compared: its rows, their bytes, and a digest of them."""

    name: str
    rows: int
    bytes: int
    digest: str


class Stride:
    """How many rows to ask for at once, so that they are about as many bytes."""

    def __init__(self) -> None:
        self.rows = _FIRST_ROWS

    def measure(self, rows: int, size: int) -> None:
        """Learn from the last rows how many the next may be."""
        fitting = _PAGE_BYTES * rows // max(size, 1)
        self.rows = max(1, min(_MOST_ROWS, 2 * self.rows, fitting))


class Pages:
    """A table's rows, page after page; each page may be of another transaction."""

    def __init__(self, table: Copied, after: Place | None = None) -> None:
        self.table = table
        self.columns: tuple[str, ...] = ()
        self.place = after
        self.stride = Stride()

    def next(self, tx: Transaction) -> list[Row]:
        """The next rows; none at the end."""
        name = self.table.name
        if not self.columns:
            self.columns = columns_of(tx, name)
        if self.place is None:
            rows = tx.all(f"copy_first_{name}", limit=self.stride.rows)
        else:
            after = zip(self.table.key, self.place, strict=True)
            values = {f"after_{column}": value for column, value in after}
            rows = tx.all(f"copy_next_{name}", limit=self.stride.rows, **values)
        if rows:
            self.place = tuple(
                rows[-1][self.columns.index(column)] for column in self.table.key
            )
        return rows


def encoded(rows: list[Row]) -> bytes:
    """Rows as they are compared."""
    return b"".join(map(_encode, rows))


def columns_of(tx: Transaction, name: str) -> tuple[str, ...]:
    """The columns of a table; none if it has no rows."""
    return tuple(tx.fields(f"copy_first_{name}", limit=1) or ())


def pages(tx: Transaction, table: Copied) -> Iterator[tuple[Pages, list[Row], bytes]]:
    """All of a table, as one transaction sees it."""
    found = Pages(table)
    while rows := found.next(tx):
        text = encoded(rows)
        found.stride.measure(len(rows), len(text))
        yield found, rows, text


def digest(
    tx: Transaction,
    table: Copied,
    columns: tuple[str, ...] = (),
    tell: Callable[[int], None] = lambda _: None,
) -> CopiedTable:
    """What a table is compared by, its columns in a given order."""
    hashed = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    count = size = 0
    for found, rows, text in pages(tx, table):
        wanted = columns or found.columns
        if not count:
            hashed.update(_encode(wanted))
        if wanted != found.columns:
            text = _reordered(rows, found.columns, wanted)  # noqa: PLW2901
        hashed.update(text)
        count += len(rows)
        size += len(text)
        tell(count)
    return CopiedTable(table.name, count, size, hashed.hexdigest())


def _reordered(
    rows: list[Row], columns: tuple[str, ...], wanted: tuple[str, ...]
) -> bytes:
    """Rows with their columns in another order; those not asked for come last."""
    others = tuple(column for column in columns if column not in wanted)
    order = [columns.index(column) for column in wanted + others if column in columns]
    return encoded([tuple(row[place] for place in order) for row in rows])
