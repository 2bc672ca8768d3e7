"""Values as JSON text, and back: data only, never code.

Answers for: what can be stored (exactly what comes back equal), and its text.
Leaves to others: how large a value may be (limits), what a value means (kinds).
Always holds: decoding gives dicts, lists, text, numbers, booleans and None, whatever
the text says. A tuple counts as a list; anything else that would come back changed
(NaN, a set, bytes, a date, a key that is no text) is refused before any write.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import msgspec

from holdfast.errors import NotStorable

Json: TypeAlias = (
    None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
)
"""Data that JSON can carry. It comes back as dicts and lists."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


DEEPEST = 200
"""How deep lists and dicts may stand within one another: a value that is written must
be read again by any caller, however much of Python's stack is in use there."""


class Document:
    """A value that was checked, beside its JSON text; both never change."""

    __slots__ = ("text", "value")

    def __init__(self, text: str, value: Json) -> None:
        self.text = text
        self.value = value


def document(value: Json | Document) -> Document:
    """Check a value and encode it; what is a `Document` already stays itself.

    Raises `NotStorable`, which names the place within the value.
    """
    if type(value) is Document:
        return value
    try:
        text = _encode(value)
        copy = value if type(value) is str else _decode(text)
        if not (copy is value or copy == value):
            _explain(value, "value")
        if len(text) > 2 * DEEPEST and copy is not value:
            _refuse_deep(text, copy)
        return Document(text.decode(), cast("Json", copy))
    except NotStorable:
        raise
    except RecursionError:
        raise NotStorable("value: nested too deeply, or within itself") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise _refusal(value, error) from None


def short_text(value: Json) -> str | None:
    """The JSON text of a value, if it is short and plainly comes back as it is.

    None does not say that it cannot be stored: `document` does.
    """
    try:
        text = _encode(value)
        if len(text) <= 2 * DEEPEST and _decode(text) == value:
            return text.decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass
    return None


def optional(value: Json | Document) -> Document | None:
    """As `document`, but None stays None: a value that is not there at all."""
    return None if value is None else document(value)


def text_of(value: Json | Document) -> str | None:
    """The JSON text to store; None for no value."""
    return None if value is None else document(value).text


def value_of(value: Json | Document) -> Any:
    """The plain value, as it will come back; None for no value."""
    return None if value is None else document(value).value


def decode(text: str | None) -> Any:
    """The value that a stored JSON text stands for; None for no text."""
    return None if text is None else _decode(text)


def _refuse_deep(text: bytes, value: Any) -> None:
    if text.count(b"[") + text.count(b"{") <= DEEPEST:
        return
    level = [value]
    for _ in range(DEEPEST):
        level = [item for inner in level for item in _items(inner)]
        if not level:
            return
    if any(isinstance(inner, (list, dict)) for inner in level):
        raise NotStorable(f"value: nested too deeply (more than {DEEPEST} levels)")


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refusal(value: object, error: Exception) -> NotStorable:
    """The error for a value without JSON text: its place, or else what was said."""
    try:
        _explain(value, "value")
    except NotStorable as found:
        return found
    except RecursionError:
        return NotStorable("value: nested too deeply, or within itself")
    return NotStorable(f"value: {error}")


def _explain(value: object, place: str) -> None:
    """Find what cannot be carried, and name its place; silent if all of it can."""
    if isinstance(value, str):
        _explain_text(value, place)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise NotStorable(
                    f"{place}: the key {key!r} is {_named(key)}; JSON takes text keys"
                )
            _explain_text(key, f"a key of {place}")
            _explain(item, f"{place}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _explain(item, f"{place}[{index}]")
    elif isinstance(value, float):
        if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124
            raise NotStorable(f"{place}: {value} is no JSON number")
    elif not (value is None or isinstance(value, (bool, int))):
        raise NotStorable(f"{place}: {_named(value)} cannot be carried by JSON")


def _explain_text(text: str, place: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotStorable(f"{place}: text with a lone surrogate") from None


def _named(value: object) -> str:
    return f"a {type(value).__name__}"
