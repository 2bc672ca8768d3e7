"""JSON: one document as plain data, and as the text that is kept of it.

Answers for: reading JSON as the standard has it, and refusing a key that stands twice.
Leaves to others: what the data means (`kinds.index_drafts`).
Always holds: what is taken the quick way is what the careful way would give; whatever
is wrong is told by the careful one, with the line where known.
"""

import json
from typing import Any, NoReturn

import msgspec

from holdfast.codec import DEEPEST, Document
from holdfast.errors import BrokenFile


def read_json(text: str) -> Any:
    """The data of a document: a `Document` of it, where that was made on the way.

    Raises `BrokenFile`.
    """
    found = _quickly(text)
    return _carefully(text) if found is None else found


def _quickly(text: str) -> Document | None:
    """What a text holds, if it is plain to see that nothing is wrong; else None.

    Of a key that stands twice one is dropped, and its quotation marks with it: the text
    that is made again has fewer. An escaped one would hide that.
    """
    if text.count("[") + text.count("{") > DEEPEST or "\\u0022" in text:
        return None
    try:
        value = msgspec.json.decode(text)
        again = msgspec.json.encode(value).decode()
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return None
    return Document(again, value) if again.count('"') == text.count('"') else None


def _carefully(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise BrokenFile(f"is no JSON: {error.msg}", error.lineno) from None
    except RecursionError:
        raise BrokenFile("is nested too deeply") from None
    except BrokenFile:
        raise
    except ValueError:  # a number of thousands of digits
        raise BrokenFile("holds a number that is too long") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise BrokenFile(f"has the key {key[:80]!r} twice in one object")
            seen.add(key)
    return found


def _no_number(text: str) -> NoReturn:
    raise BrokenFile(f"holds {text}, which is no JSON number")
