"""Items of the OpenAI Agents SDK as messages of a session, and back.

    an item                            role            content
    a message of one text              its own         the text
    any other message                  its own         its list of blocks
    function_call                      assistant       type, call_id, name, arguments
    ..._output, ..._response           tool            type, call_id, output; or it all
    anything else                      assistant       the item

Answers for: both ways between the two, for one item.
Leaves to others: which items a session has (`openai_agents`), where items are read from
(`importers/openai_agents`).
Always holds: an item comes back equal. What of it is neither role nor content is in the
message's metadata, under `openai_agents`; a message that somebody else wrote is an item
too: its role and its content.
"""

from typing import Any

from holdfast.errors import WrongType
from holdfast.kinds.session_records import Message

KEY = "openai_agents"
_ROLES = frozenset({"user", "assistant", "system", "developer", "tool"})
_ANSWERS = ("_output", "_response")
_SHOWN = {
    "function_call": ("type", "call_id", "name", "arguments"),
    "function_call_output": ("type", "call_id", "output"),
}
"""What of a call people are shown as one; the rest of it goes to the metadata."""


def draft_of(item: Any) -> dict[str, Any]:
    """An item as `sessions.extend` takes it. Raises `WrongType`."""
    if not isinstance(item, dict):
        raise WrongType(f"an item is a dict, not {type(item).__name__}")
    if _is_message(item):
        content, beside = _said(item)
    else:
        content, beside = _done(item)
    metadata = {} if beside is None else {"metadata": {KEY: beside}}
    return {"role": _role_of(item), "content": content, **metadata}


def item_of(message: Message) -> dict[str, Any]:
    """The item that a message was made of."""
    content, beside = message.content, (message.metadata or {}).get(KEY)
    if not isinstance(beside, dict):
        beside = None
    if isinstance(content, dict) and (beside is not None or _type_of(content)):
        return {**content, **(beside or {})}
    item = {**(beside or {}), "role": message.role, "content": content}
    if isinstance(content, str) and beside is not None and "content" in beside:
        (block,) = beside["content"]
        item["content"] = [{**block, "text": content}]
    return item


def _is_message(item: dict[str, Any]) -> bool:
    return (
        _type_of(item) in {"", "message"}
        and _role_in(item) != ""
        and isinstance(item.get("content"), str | list)
    )


def _said(item: dict[str, Any]) -> tuple[object, dict[str, Any] | None]:
    """A message's content, and what else there is of it."""
    content = item["content"]
    beside = {name: item[name] for name in item if name not in {"role", "content"}}
    if isinstance(content, list) and len(content) == 1:
        block = content[0]
        if isinstance(block, dict) and isinstance(block.get("text"), str):
            rest = {name: block[name] for name in block if name != "text"}
            return block["text"], {**beside, "content": [rest]}
    return content, beside or None


def _done(item: dict[str, Any]) -> tuple[object, dict[str, Any] | None]:
    """What is no message: as people know it, or whole; and what else there is of it."""
    type = _type_of(item)
    shown = _SHOWN.get(type, ())
    if shown and all(name in item for name in shown):
        rest = {name: item[name] for name in item if name not in shown}
        return {name: item[name] for name in shown}, rest or None
    return item, None if type else {}


def _role_of(item: dict[str, Any]) -> str:
    if _type_of(item).endswith(_ANSWERS):
        return "tool"
    return _role_in(item) or "assistant"


def _role_in(item: dict[str, Any]) -> str:
    role = item.get("role")
    return role if isinstance(role, str) and role in _ROLES else ""


def _type_of(item: dict[str, Any]) -> str:
    type = item.get("type")
    return type if isinstance(type, str) else ""
