"""The data of events as text: checked, and cut where it is large.

Answers for: which values are large, and what is kept of them: the beginning, the length
and the digest.
Leaves to others: what JSON can carry (codec), how large is large (limits).
"""

import hashlib
from typing import Any

from holdfast import codec, edges
from holdfast.limits import Limits, hold


def data_of(value: object, name: str, limits: Limits) -> codec.Document:
    """An event's data, checked and encoded, within `limits.event_given`."""
    found = edges.json_of(value, name)
    hold(len(found.text), limits.event_given, name, "event_given")
    return found


def text_of(data: codec.Document | None, limits: Limits, *, whole: bool) -> str | None:
    """The JSON text to keep of an event's data; all of it if it is to be `whole`.

    A text in it that is longer than `limits.event_text` becomes `{"stripped": its
    beginning, "length": …, "sha256": …}`; so do data that are still longer than
    `limits.event_bytes`, by their JSON text. Lengths are in characters; a digest is of
    the text in UTF-8. Raises `TooLarge` for a `whole` past `limits.value_bytes`.
    """
    if data is None:
        return None
    if whole:
        return str(edges.document_of(data, "data", limits).text)
    if len(data.text) <= limits.event_text:
        return data.text
    text = codec.document(_cut(data.value, limits.event_text)).text
    if len(text) <= limits.event_bytes:
        return text
    return codec.document(_stripped(data.text, limits.event_text)).text


def _cut(value: Any, most: int) -> Any:
    if isinstance(value, str):
        return _stripped(value, most) if len(value) > most else value
    if isinstance(value, dict):
        return {key: _cut(inner, most) for key, inner in value.items()}
    if isinstance(value, list):
        return [_cut(inner, most) for inner in value]
    return value


def _stripped(text: str, most: int) -> dict[str, Any]:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"stripped": text[:most], "length": len(text), "sha256": digest}
