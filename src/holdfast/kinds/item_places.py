"""Places: where an item is, as one text that sorts and begins as its labels do.

Answers for: the text of a namespace, what stands within one, the id of a key in it; and
matching labels with a pattern.
Leaves to others: what is kept there (`items`).
Always holds: whatever is in a label, two places have two texts; places in order have
texts in order; what is within a namespace begins with its text, and nothing else does.

Each label is followed by `!`. What would sort before or with that is written as `"` and
its number, so that no character of a label comes between two labels.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import TypeAlias

from holdfast.edges import id_of, text_of, wrong_type
from holdfast.errors import InvalidId, TooLarge
from holdfast.limits import Limits

Namespace: TypeAlias = tuple[str, ...]
ANY = "*"
"""In a pattern: whatever label stands there."""
_END, _ESCAPE = "!", '"'
_MOST_BYTES = 1_000
_LOW = re.compile(r'[\x01-"]')
_ESCAPED = re.compile(r'"([0-9a-f]{2})')


def text_of_namespace(namespace: Sequence[str]) -> str:
    """The text of a namespace; that of the outermost is the beginning of all."""
    return _END + "".join(_escaped(label) + _END for label in namespace)


def namespace_of(text: str) -> Namespace:
    """The namespace that a text stands for."""
    return tuple(
        _ESCAPED.sub(lambda found: chr(int(found[1], 16)), label)
        for label in text.split(_END)[1:-1]
    )


def span_of(text: str) -> tuple[str, str]:
    """Two texts between which are those of a namespace, and of all within it."""
    return text[:-1], text[:-1] + _ESCAPE


def id_of_place(namespace: str, key: str) -> str:
    """The id of a key in a namespace: readable, where that can be an id."""
    place = namespace + _escaped(key)
    try:
        return id_of(place, "id")
    except InvalidId:
        return "~" + hashlib.sha256(place.encode()).hexdigest()


def fits(namespace: Namespace, prefix: Sequence[str], suffix: Sequence[str]) -> bool:
    """Whether a namespace begins and ends as two patterns say."""
    longest = max(len(prefix), len(suffix))
    return len(namespace) >= longest and all(
        wanted in {ANY, label}
        for labels, pattern in (
            (namespace, prefix),
            (reversed(namespace), reversed(suffix)),
        )
        for label, wanted in zip(labels, pattern, strict=False)
    )


def labels_of(value: object, name: str, limits: Limits) -> Namespace:
    """A namespace: a list of texts, none of them empty."""
    if not isinstance(value, (list, tuple)):
        raise wrong_type(name, "a list of labels", value)
    labels = tuple(
        key_of(label, f"{name}[{place}]", limits) for place, label in enumerate(value)
    )
    _hold(text_of_namespace(labels), name)
    return labels


def key_of(value: object, name: str, limits: Limits) -> str:
    """A key, or a label: a text that is not empty."""
    text = text_of(value, name, limits)
    if not text:
        raise InvalidId(f"{name}: it has at least one character")
    _hold(_escaped(text), name)
    return text


def _hold(place: str, name: str) -> None:
    """Refuse a place that would be too long for an index."""
    size = len(place.encode())
    if size > _MOST_BYTES:
        raise TooLarge(
            f"{name}: a place has at most {_MOST_BYTES:,} bytes, not {size:,}; nothing "
            "was written"
        )


def _escaped(label: str) -> str:
    return _LOW.sub(lambda found: f"{_ESCAPE}{ord(found[0]):02x}", label)
