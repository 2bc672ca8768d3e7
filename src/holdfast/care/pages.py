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
from holdfast.moments import standing_at
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
        return self._turned(rows)

    def _turned(self, rows: list[Row]) -> list[Row]:
        """A page that was read; the next one comes after it."""
        if rows:
            self.place = tuple(
                rows[-1][self.columns.index(column)] for column in self.table.key
            )
        return rows


class PagesThen(Pages):
    """A table's rows as they were at a moment, which does not change between pages."""

    def __init__(self, table: Copied, moment: int) -> None:
        super().__init__(table)
        self.moment = moment

    def next(self, tx: Transaction) -> list[Row]:
        """The next rows; none at the end. Raises `Trimmed`."""
        standing_at(tx, self.moment)
        name = f"copy_then_{self.table.name}"
        after, *_ = self.place or (0,)
        asked = {"moment": self.moment, "after": after}
        if not self.columns:
            self.columns = tuple(tx.fields(name, **asked, limit=1) or ())
        return self._turned(tx.all(name, **asked, limit=self.stride.rows))


class Digest:
    """What a table is compared by, taken page by page, its columns in one order."""

    def __init__(self, name: str, columns: tuple[str, ...] = ()) -> None:
        self._name = name
        self._hashed = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self._columns = columns
        self.rows = self.bytes = 0

    def take(self, columns: tuple[str, ...], rows: list[Row], text: bytes) -> None:
        """Take one page more, with what its rows are `encoded`."""
        self._columns = self._columns or columns
        if not self.rows:
            self._hashed.update(_encode(self._columns))
        if self._columns != columns:
            text = _reordered(rows, columns, self._columns)
        self._hashed.update(text)
        self.rows += len(rows)
        self.bytes += len(text)

    def table(self) -> CopiedTable:
        """The table as it was found."""
        return CopiedTable(self._name, self.rows, self.bytes, self._hashed.hexdigest())


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
    taken = Digest(table.name, columns)
    for found, rows, text in pages(tx, table):
        taken.take(found.columns, rows, text)
        tell(taken.rows)
    return taken.table()


def _reordered(
    rows: list[Row], columns: tuple[str, ...], wanted: tuple[str, ...]
) -> bytes:
    """Rows with their columns in another order; those not asked for come last."""
    others = tuple(column for column in columns if column not in wanted)
    order = [columns.index(column) for column in wanted + others if column in columns]
    return encoded([tuple(row[place] for place in order) for row in rows])
