"""Values: what a channel holds, as text of a row, and back.

Answers for: turning what LangGraph's serializer makes into text, compressed where that
is smaller. Most of a message is what all messages have: it is in a dictionary that both
sides know.
Leaves to others: what may be decoded (the serializer), where a value is kept (`saver`).
Always holds: a dictionary stays as it is for as long as values say that they need it;
another one would go by another name than `_COMPRESSED`.
"""

import base64
import json
import zlib
from typing import Any

from holdfast.errors import Refused
from holdfast.integrations import extra

with extra("langgraph"):
    from langgraph.checkpoint.serde.base import SerializerProtocol
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

_COMPRESSED = "+deflate"
_WORTH_IT_BYTES = 48
_FAST = 1
_RAW = -zlib.MAX_WBITS
_MOST_BYTES = 100_000_000
"""What is larger is not compressed; so nothing grows beyond that when it is read."""
_DICTIONARY = (
    b"\xa6system\xbflangchain_core.messages.system\xadSystemMessage"
    b"\xbclangchain_core.messages.tool\xabToolMessage\xactool_call_id"
    b"\xa8artifact\xc0\xa6status\xa7success"
    b"\xaamodel_name\xaemodel_provider\xadfinish_reason\xa4stop\xd9,lc_run--"
    b"\xaatool_calls\x91\x84\xa4args\xa6call_\xa9tool_call"
    b"\x83\xacinput_tokens\xadoutput_tokens\xactotal_tokens"
    b"\x81\xa8messages\x91\xc7\x05\x94\xbdlangchain_core.messages.human"
    b"\xacHumanMessage\x86\xa7content\xb1additional_kwargs\x80\xb1response_metadata\x80"
    b"\xa4type\xa5human\xa4name\xc0\xa2id\xc0\xb3model_validate_json"
    b"\x91\xc7\x05\x94\xbalangchain_core.messages.ai\xa9AIMessage\x89\xa7content"
    b"\xb1additional_kwargs\x80\xb1response_metadata\x80\xa4type\xa2ai\xa4name\xc0\xa2id"
    b"\xd9$\xaatool_calls\x90\xb2invalid_tool_calls\x90\xaeusage_metadata\xc0"
    b"\xb3model_validate_json"
)


class DataSerializer(JsonPlusSerializer):
    """LangGraph's serializer, to which JSON is data and names no class."""

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The value of what was dumped."""
        type, body = data
        return json.loads(body) if type == "json" else super().loads_typed(data)


def kept(serde: SerializerProtocol, value: Any) -> dict[str, str]:
    """A value as a thread keeps it."""
    type, body = serde.dumps_typed(value)
    if _WORTH_IT_BYTES < len(body) <= _MOST_BYTES:
        smaller = _compressed(body)
        if len(smaller) < len(body):
            type, body = type + _COMPRESSED, smaller
    return {"type": type, "body": base64.b64encode(body).decode("ascii")}


def value_of(serde: SerializerProtocol, type: str, body: str) -> Any:
    """The value of what was kept. Raises `Refused` for what is not as it was kept."""
    said = base64.b64decode(body)
    if type.endswith(_COMPRESSED):
        type, said = type.removesuffix(_COMPRESSED), _decompressed(said)
    return serde.loads_typed((type, said))


def _decompressed(said: bytes) -> bytes:
    made = zlib.decompressobj(_RAW, _DICTIONARY)
    try:
        body = made.decompress(said, _MOST_BYTES + 1)
    except zlib.error:
        body = b""
    if not made.eof:
        raise Refused("a value of the thread is not as it was kept, and is not read")
    return body


def _compressed(body: bytes) -> bytes:
    made = zlib.compressobj(_FAST, zlib.DEFLATED, _RAW, zdict=_DICTIONARY)
    return made.compress(body) + made.flush()
