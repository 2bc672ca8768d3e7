"""Values: what a channel holds, as text of a row, and back.

Answers for: turning what LangGraph's serializer makes into text, compressed where that
is smaller.
Leaves to others: what may be decoded (the serializer), where a value is kept (`saver`).
"""

import base64
import zlib
from typing import Any

from holdfast.integrations import extra

with extra("langgraph"):
    from langgraph.checkpoint.serde.base import SerializerProtocol

_COMPRESSED = "+zlib"
_WORTH_IT_BYTES = 128
_FAST = 1


def kept(serde: SerializerProtocol, value: Any) -> dict[str, str]:
    """A value as a thread keeps it."""
    type, body = serde.dumps_typed(value)
    if len(body) > _WORTH_IT_BYTES:
        smaller = zlib.compress(body, _FAST)
        if len(smaller) < len(body):
            type, body = type + _COMPRESSED, smaller
    return {"type": type, "body": base64.b64encode(body).decode("ascii")}


def value_of(serde: SerializerProtocol, type: str, body: str) -> Any:
    """The value of what was kept."""
    said = base64.b64decode(body)
    if type.endswith(_COMPRESSED):
        type, said = type.removesuffix(_COMPRESSED), zlib.decompress(said)
    return serde.loads_typed((type, said))
