"""Tool calls: which messages call tools, and which answer.

Answers for: the calls' ids in a message, whichever of three usual forms it is kept in,
as its content or in its metadata.
Leaves to others: what follows from that for what is shown (`contexts`).
Always holds: a form that is not known here is no call and no answer; nothing is
changed.

    form                     calls                        answers
    chat completions         tool_calls: [{"id": …}]      tool_call_id
    blocks of content        {"type": "tool_use",         {"type": "tool_result",
                              "id": …}                     "tool_use_id": …}
    items of responses       {"type": "function_call",    {"type": "…_call_output",
                              "call_id": …}                "call_id": …}
"""

from collections.abc import Iterator
from typing import Any

from holdfast.kinds.session_records import Message


def calls_in(message: Message) -> set[str]:
    """The ids of the calls that a message makes."""
    found = (call for item in _items(message) for call in _calls_of(item))
    return {id for id in found if isinstance(id, str)}


def answers_in(message: Message) -> set[str]:
    """The ids of the calls that a message answers."""
    found = (answer for item in _items(message) for answer in _answers_of(item))
    return {id for id in found if isinstance(id, str)}


def _items(message: Message) -> Iterator[dict[str, Any]]:
    """What may say a call: content and metadata, and the dicts of their lists."""
    for kept in (message.content, message.metadata):
        yield from _dicts(kept)
        if isinstance(kept, dict):
            yield from _dicts(kept.get("content"))


def _dicts(value: object) -> Iterator[dict[str, Any]]:
    items = value if isinstance(value, list) else [value]
    return (item for item in items if isinstance(item, dict))


def _calls_of(item: dict[str, Any]) -> Iterator[object]:
    type = str(item.get("type"))
    if type.endswith("tool_use"):
        yield item.get("id")
    elif type.endswith("_call"):
        yield item.get("call_id")
    listed = item.get("tool_calls")
    if isinstance(listed, list):
        yield from (call.get("id") for call in _dicts(listed))


def _answers_of(item: dict[str, Any]) -> Iterator[object]:
    yield item.get("tool_call_id")
    yield item.get("tool_use_id")
    if str(item.get("type")).endswith("_output"):
        yield item.get("call_id")
