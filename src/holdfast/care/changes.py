"""Changes: some of a journal, with all that another place needs to follow it.

Answers for: which images the changes left, and the rows that they name as they are now.
Leaves to others: when to ask, and what becomes of the answer (`copying`).
Always holds: of a row it tells the newest version that the transaction sees; if it has
changed again after these changes, a later one names it again.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import msgspec

from holdfast.care.pages import columns_of, encoded
from holdfast.engine import Row, Transaction
from holdfast.schema.copied import HISTORY, Copied

Found: TypeAlias = tuple[Copied, tuple[str, ...], list[Row]]


class Changes(msgspec.Struct, frozen=True):
    """Some changes, their images and their rows, table by table."""

    upto: int
    """The last of them."""
    stamped: int | None
    """The last that is a moment; those after it may become part of one later."""
    count: int
    more: bool
    """Whether others are waiting, as far as can be told."""
    head: int
    """The newest change that the source has."""
    tables: tuple[Found, ...]

    @property
    def size(self) -> int:
        """About how many bytes this is."""
        return sum(len(encoded(rows)) for _, _, rows in self.tables)


def changes_after(
    tx: Transaction, after: int, limit: int, tables: Sequence[Copied]
) -> Changes | None:
    """The next changes after a place; None if there are none."""
    rows = tx.all("copy_next_change", after_seq=after, limit=limit)
    if not rows:
        return None
    columns = columns_of(tx, HISTORY)
    seq, kind, at = (columns.index(name) for name in ("seq", "kind", "at"))
    upto = rows[-1][seq]
    named = {row[kind] for row in rows}
    found = [(tables[0], columns, rows)]
    for table in tables:
        if table.journalled and table.name in named:
            found += _belonging(tx, table, after, upto, len(rows))
    ((head,),) = tx.all("copy_last_change")
    moments = [row[seq] for row in rows if row[at] is not None]
    stamped = moments[-1] if moments else None
    more = len(rows) == limit
    return Changes(upto, stamped, len(rows), more, head, tuple(found))


def _belonging(
    tx: Transaction, table: Copied, after: int, upto: int, limit: int
) -> Iterator[Found]:
    """The images that changes left in a table, and the rows of it that they name."""
    name = table.images
    columns = columns_of(tx, name)
    images = tx.all(f"copy_next_{name}", after_died=after, limit=limit)
    kept = [row for row in images if row[columns.index("died")] <= upto]
    yield Copied(name, ("died",), image=True), columns, kept
    rows = tx.all(f"copy_changed_{table.name}", after=after, upto=upto)
    yield table, columns_of(tx, table.name), rows
