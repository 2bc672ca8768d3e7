"""The index: which records have which words, for one owner and table at a time.

Answers for: what is put in for a row, and under which mark.
Leaves to others: when that is done (`indexes`), the tables (`schema/search.sql`).
Always holds: every word stands behind the mark of its owner and table, so a search
reads nothing of any other owner's.
"""

import base64
import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from holdfast.engine import Row, Table, Transaction
from holdfast.indexes import Derived
from holdfast.schema.statements import shipped
from holdfast.searching.texts import text_of
from holdfast.searching.words import marked

_MARK_LETTERS = 5


class SearchIndex(Derived):
    """The words of every column that is declared to have text."""

    name = "search"
    why = "words are found without a look at every row"
    keeps_the_past = True
    sql: ClassVar[str] = shipped("search")
    instead: ClassVar[Mapping[str, str]] = {
        "postgres": shipped("postgres/making/search")
    }

    def take(self, tx: Transaction, table: Table, rows: Sequence[Row]) -> None:
        wordless: list[int] = []
        tx.put_each("search_add", _worded(table, rows, wordless))
        self.forget(tx, table, wordless)

    def forget(self, tx: Transaction, table: Table, numbers: Sequence[int]) -> None:
        tx.put_each("search_forget", ({"no": no} for no in numbers))

    def clear(self, tx: Transaction) -> None:
        tx.put("search_clear")


def _worded(
    table: Table, rows: Iterable[Row], wordless: list[int]
) -> Iterator[dict[str, Any]]:
    """Each row that has words, with these; the numbers of others are put aside."""
    for no, owner, *values in rows:
        words = marked(text_of(table, values), mark_of(owner, table.name))
        if words:
            yield {"no": no, "owner": owner, "words": words}
        else:
            wordless.append(no)


@functools.lru_cache(maxsize=4096)
def mark_of(owner: str, table: str) -> str:
    """What the words of an owner's rows in a table stand behind.

    Two that are the same by chance cost a look at a row that is another's, no more.
    """
    said = f"{owner}\0{table}".encode()
    digest = hashlib.blake2b(said, digest_size=_MARK_LETTERS).digest()
    return base64.b32encode(digest).decode().lower()[:_MARK_LETTERS]
