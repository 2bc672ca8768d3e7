"""ADK's events as messages of a session, and back.

Answers for: how an event reads as a message, and which event a message stands for.
Leaves to others: when they are kept and read (`adk`).
Always holds: an event comes back equal; a message that something else wrote is an event
too; nothing that is stored is imported or called.

Text is text, and calls and results of tools are blocks that the rest of holdfast knows.
An event in which nobody says anything (a change of state, say) has the role `event`,
and no content.
What else an event says is in `metadata["adk"]`, where each part of its content is
without what its block says.

    part                          block
    text                          {"type": "text", "text": …}
    text that is a thought        {"type": "thinking", "thinking": …}
    function_call                 {"type": "tool_use", "id": …, "name": …, "input": …}
    function_response             {"type": "tool_result", "tool_use_id": …,
                                   "content": …}
    any other                     {"type": its name, its name: …}
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from holdfast.integrations import extra
from holdfast.kinds.session_records import Message

with extra("adk"):
    from google.adk.events.event import Event
    from google.adk.sessions.state import State
    from google.genai.types import Part

ADK = "adk"
_MOST_CHARACTERS = 200
_CALL = {"id": "id", "name": "name", "args": "input"}
_RESPONSE = {"id": "tool_use_id", "response": "content"}


def id_of(*names: str) -> str:
    """An id for names that may hold any text; no two lists of names have the same."""
    id = ":".join(quote(name, safe="", errors="surrogatepass") for name in names)
    if len(id) <= _MOST_CHARACTERS and id.strip("."):
        return id
    return "#" + hashlib.sha256(json.dumps(names).encode()).hexdigest()


def message_of(event: Event) -> dict[str, Any]:
    """What `sessions.extend` takes of an event."""
    rest = _said(event)
    content = rest.get("content", {})
    parts = content.get("parts", [])
    blocks = [_taken_from(part) for part in parts]
    if blocks and not any(parts):
        del content["parts"]
    id = id_of(event.id)
    if id == event.id:
        del rest["id"]
    message = {
        "id": id,
        "role": _role_of(event.author, blocks),
        "content": _content_of(blocks, parts),
        "metadata": {ADK: rest},
    }
    try:
        message["created_at"] = datetime.fromtimestamp(event.timestamp, UTC)
    except (ValueError, OverflowError, OSError):  # a time past every calendar
        return message
    return message


def time_of(message: Message) -> float:
    """The time of the event that a message stands for."""
    kept = (message.metadata or {}).get(ADK)
    at = kept.get("timestamp") if isinstance(kept, dict) else None
    return message.created_at.timestamp() if at is None else float(at)


def event_of(message: Message) -> Event:
    """The event that a message stands for, whoever wrote it."""
    kept = (message.metadata or {}).get(ADK)
    event = dict(kept) if isinstance(kept, dict) else _unknown(message)
    event.setdefault("id", message.id)
    event["timestamp"] = time_of(message)
    blocks = _blocks_of(message.content)
    if blocks or "content" in event:
        event["content"] = _with_parts(event.get("content", {}), blocks)
    return Event.model_validate(event)


def _with_parts(content: dict[str, Any], blocks: list[Any]) -> dict[str, Any]:
    """A content with its parts; if the blocks were changed, they are as those say."""
    beside = content.get("parts", [])
    if not blocks and not beside:
        return content
    if len(beside) != len(blocks):
        beside = [{}] * len(blocks)
    return {**content, "parts": [*map(_part_of, blocks, beside)]}


def _said(event: Event) -> dict[str, Any]:
    """An event as plain data, without what an empty one says too, or only for now."""
    said: dict[str, Any] = json.loads(event.model_dump_json(exclude_none=True))
    delta = said["actions"]["state_delta"]
    for name in [name for name in delta if name.startswith(State.TEMP_PREFIX)]:
        del delta[name]
    for name, empty in _EMPTY.items():
        kept = {k: v for k, v in said[name].items() if empty.get(k, ...) != v}
        if kept:
            said[name] = kept
        else:
            del said[name]
    return said


_EMPTY: dict[str, dict[str, Any]] = {
    name: value
    for name, value in json.loads(Event().model_dump_json(exclude_none=True)).items()
    if isinstance(value, dict)
}


def _role_of(author: str, blocks: list[dict[str, Any]]) -> str:
    if not blocks:
        return "event"
    if any(block["type"] == "tool_result" for block in blocks):
        return "tool"
    return "user" if author == "user" else "assistant"


def _content_of(blocks: list[dict[str, Any]], parts: list[dict[str, Any]]) -> Any:
    if not blocks:
        return None
    if parts == [{}] and blocks[0].get("text"):
        return blocks[0]["text"]
    return blocks


def _blocks_of(content: object) -> list[Any]:
    if content in ("", None):
        return []
    return content if isinstance(content, list) else [content]


def _taken_from(part: dict[str, Any]) -> dict[str, Any]:
    """The block of a part, which is left with what the block does not say."""
    if "function_call" in part:
        return {"type": "tool_use", **_moved(part, "function_call", _CALL)}
    if "function_response" in part:
        return {"type": "tool_result", **_moved(part, "function_response", _RESPONSE)}
    if "text" in part:
        name = "thinking" if part.get("thought") else "text"
        return {"type": name, name: part.pop("text")}
    name = next(iter(part), "empty")
    return {"type": name, **({name: part.pop(name)} if part else {})}


def _moved(
    part: dict[str, Any], field: str, names: Mapping[str, str]
) -> dict[str, Any]:
    there = part.pop(field)
    taken = {new: there.pop(old) for old, new in names.items() if old in there}
    if there:
        part[field] = there
    return taken


def _part_of(block: object, beside: Mapping[str, Any]) -> dict[str, Any]:
    """The part that a block, and what is beside it, stand for."""
    if isinstance(block, dict) and (told := _told(block, beside)) is not None:
        return {**beside, **told}
    text = block if isinstance(block, str) else json.dumps(block, ensure_ascii=False)
    return {**beside, "text": text}


def _told(block: dict[str, Any], beside: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a block says of its part; None for one of a form that is not here."""
    form = block.get("type")
    told: dict[str, Any] | None = None
    if form == "tool_use" and isinstance(block.get("input", {}), dict):
        told = {"function_call": beside.get("function_call", {}) | _named(block, _CALL)}
    elif form == "tool_result":
        answer = beside.get("function_response", {}) | _named(block, _RESPONSE)
        if not isinstance(answer.get("response", {}), dict):
            answer["response"] = {"result": answer["response"]}
        told = {"function_response": answer}
    elif form == "thinking" and form in block:
        told = {"text": block[form], "thought": True}
    elif form == "empty":
        told = {}
    elif form in Part.model_fields and form in block:
        told = {form: block[form]}
    return told


def _named(block: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {old: block[new] for old, new in names.items() if new in block}


def _unknown(message: Message) -> dict[str, Any]:
    """The beginnings of an event for a message that ADK has not written."""
    by_user = message.role in {"user", "tool"}
    return {
        "author": message.role,
        "content": {"role": "user" if by_user else "model"},
    }
