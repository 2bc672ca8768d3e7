"""Texts: what people wrote in a stored value, to be searched and to be shown.

Answers for: the strings of a JSON value without its keys, ids, types and other marks
that programs put there.
Leaves to others: which columns have text (`Table.text`), what a word is (`words`).
Always holds: what is past `SEARCHED` characters of a record is neither found nor shown.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from holdfast import codec
from holdfast.engine import Table

SEARCHED = 100_000
"""Characters of a record that are searched."""
_MARKS = frozenset(
    {
        "data",
        "encrypted_content",
        "finish_reason",
        "format",
        "id",
        "index",
        "media_type",
        "mime_type",
        "model",
        "object",
        "role",
        "signature",
        "status",
        "stop_reason",
        "type",
        "url",
    }
)
_PLAIN_STRING = msgspec.json.Decoder(str).decode


def text_of(table: Table, values: Sequence[str | None]) -> str:
    """What people wrote in a row, of which the columns with text are given."""
    parts: list[str] = []
    for column, value in zip(table.text, values, strict=True):
        if value is not None:
            if column not in table.json:
                parts.append(value)
            elif value.startswith('"'):  # most often it is one string, and read as such
                parts.append(_PLAIN_STRING(value))
            else:
                parts += _strings_of(codec.decode(value))
    return (parts[0] if len(parts) == 1 else "\n".join(parts))[:SEARCHED]


def _strings_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings_of(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not _is_mark(key):
                yield from _strings_of(item)


def _is_mark(key: str) -> bool:
    return key in _MARKS or key.endswith(("_id", "_ids", "_type", "_url"))
