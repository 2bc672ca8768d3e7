"""pydantic-ai's messages as messages of a session, and back.

    of a part, in a request or response     in the session's message
    user-prompt, text, retry-feedback       content; a list of blocks if there is more
    tool-call                               a block `tool_use`
    tool-return, retry-prompt of a tool     a block `tool_result`
    all else                                metadata, under `pydantic_ai`

Answers for: both ways between the two, for a list of messages.
Leaves to others: which messages a session has (`pydantic_ai`).
Always holds: a message comes back as pydantic-ai's own adapter gives it from JSON; one
that is kept twice has one id. Nothing is found by a stored name.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from hashlib import sha256
from typing import Any, TypeAlias

import msgspec

from holdfast.errors import NotStorable
from holdfast.integrations import extra
from holdfast.integrations._tool_uses import (
    results_in,
    text_in,
    uses_in,
)
from holdfast.kinds.session_records import Message

with extra("pydantic-ai"):
    from pydantic_ai.messages import (
        ModelMessage,
        ModelMessagesTypeAdapter,
        ModelRequest,
        ModelResponse,
    )
    from pydantic_core import PydanticSerializationError

_OURS = "pydantic_ai"
_SAID = {"user-prompt", "text", "retry-feedback"}
_RETURNED = {"tool-return", "retry-prompt"}
_TELLING = ("part_kind", "timestamp", "content", "tool_name", "args", "tool_call_id")
_ABSENT = {
    field.name
    for form in (ModelRequest, ModelResponse)
    for field in fields(form)
    if field.default is None
}
_Part: TypeAlias = dict[str, Any]
_Dump: TypeAlias = dict[str, Any]
_Block: TypeAlias = Any


def drafts_of(messages: Sequence[ModelMessage]) -> list[dict[str, Any]]:
    """Messages as `sessions.extend` takes them.

    Their ids come from what they say and when, so that the same are the same again.
    Raises `NotStorable` for what pydantic-ai cannot write as JSON.
    """
    try:
        dumped = ModelMessagesTypeAdapter.dump_json(list(messages))
    except PydanticSerializationError as error:
        raise NotStorable(f"messages: {error}") from None
    times: dict[str, int] = {}
    return [_draft_of(_told(dump), times) for dump in msgspec.json.decode(dumped)]


def is_from(session: str, message: ModelMessage) -> bool:
    """Whether somebody else said this in the session, and it is there."""
    match message.metadata:
        case {"holdfast": {"session": str(id)}}:
            return id == session
    return False


def id_of(message: ModelMessage) -> str:
    """The id of a message in the session that it is from, or is added to."""
    match message.metadata:
        case {"holdfast": {"id": str(id)}}:
            return id
    (draft,) = drafts_of([message])
    return str(draft["id"])


def messages_of(messages: Iterable[Message]) -> list[ModelMessage]:
    """A session's messages as pydantic-ai's; also those that came from elsewhere."""
    names: dict[str, str] = {}
    dumps = []
    for message in messages:
        names |= {use.id: use.name for use in uses_in(message)}
        dumps.append(_dump_of(message, names))
    return ModelMessagesTypeAdapter.validate_json(msgspec.json.encode(dumps))


def _told(dump: _Dump) -> _Dump:
    """What a message's dump tells; what is absent comes back by default."""
    return {
        name: value
        for name, value in dump.items()
        if value is not None or name not in _ABSENT
    }


def _draft_of(dump: _Dump, times: dict[str, int]) -> dict[str, Any]:
    digest = _digest(dump)
    times[digest] = times.get(digest, 0) + 1
    nth = times[digest]
    role = _role(dump)
    content, rest = _apart(dump, role)
    if _together(content, rest) != dump:
        rest = dump
    return {
        "id": digest if nth == 1 else f"{digest}-{nth}",
        "role": role,
        "content": content,
        "metadata": {_OURS: rest},
    }


def _digest(dump: _Dump) -> str:
    """What tells a message from all others: what it says, and when."""
    parts = [[part.get(name) for name in _TELLING] for part in dump["parts"]]
    telling = [dump["kind"], dump.get("timestamp"), parts]
    return sha256(msgspec.json.encode(telling)).hexdigest()[:32]


def _role(dump: _Dump) -> str:
    kinds = {part["part_kind"] for part in dump["parts"]}
    if dump["kind"] == "response":
        return "assistant"
    if "user-prompt" in kinds:
        return "user"
    if any(_is_returned(part) for part in dump["parts"]):
        return "tool"
    return "system" if "system-prompt" in kinds else "user"


def _apart(dump: _Dump, role: str) -> tuple[Any, _Dump]:
    """What is said in a message, and what else there is of it."""
    content: list[_Block] = []
    parts = []
    for part in dump["parts"]:
        blocks, rest = _part_apart(part, role)
        content += blocks
        parts.append(rest)
    match content:
        case []:
            return "", dump
        case [{"type": "text", "text": text}]:
            return text, dump | {"parts": parts}
    return content, dump | {"parts": parts}


def _part_apart(part: _Part, role: str) -> tuple[list[_Block], _Part]:
    kind, content = part["part_kind"], part.get("content")
    if kind in _SAID or kind == f"{role}-prompt":
        if isinstance(content, str):
            return [_text(content)], _without(part, "content")
        if isinstance(content, list):
            said = [_text(i) if isinstance(i, str) else i for i in content]
            return said, part | {"content": len(said)}
    elif kind == "tool-call":
        block = {
            "type": "tool_use",
            "id": part["tool_call_id"],
            "name": part["tool_name"],
            "input": part["args"],
        }
        return [block], _without(part, "tool_call_id", "tool_name", "args")
    elif _is_returned(part):
        block = {
            "type": "tool_result",
            "tool_use_id": part["tool_call_id"],
            "content": content,
        }
        return [block], _without(part, "tool_call_id", "content")
    return [], part


def _together(content: Any, rest: _Dump) -> _Dump | None:
    """The message that was taken apart; None if the two do not fit together."""
    blocks = iter([_text(content)] if isinstance(content, str) else content)
    try:
        return rest | {"parts": [_part_together(p, blocks) for p in rest["parts"]]}
    except (AttributeError, LookupError, TypeError, StopIteration):
        return None


def _part_together(part: _Part, blocks: Iterator[_Block]) -> _Part:
    kind, content = part["part_kind"], part.get("content")
    if kind == "tool-call" and "tool_call_id" not in part:
        use = next(blocks)
        return part | {
            "tool_name": use["name"],
            "args": use["input"],
            "tool_call_id": use["id"],
        }
    if kind in _RETURNED and "tool_call_id" not in part:
        result = next(blocks)
        return part | {
            "content": result["content"],
            "tool_call_id": result["tool_use_id"],
        }
    if kind in _SAID and isinstance(content, int):
        said = [next(blocks) for _ in range(content)]
        texts = [i["text"] if i.get("type") == "text" else i for i in said]
        return part | {"content": texts}
    if kind in _SAID | {"system-prompt"} and "content" not in part:
        return part | {"content": next(blocks)["text"]}
    return part


def _is_returned(part: _Part) -> bool:
    """Whether a part answers a call of a tool."""
    return part["part_kind"] in _RETURNED and part.get("tool_name") is not None


def _text(text: str) -> _Block:
    return {"type": "text", "text": text}


def _without(part: _Part, *names: str) -> _Part:
    return {name: value for name, value in part.items() if name not in names}


def _dump_of(message: Message, names: dict[str, str]) -> _Dump:
    ours = (message.metadata or {}).get(_OURS)
    found = _together(message.content, ours) if isinstance(ours, dict) else None
    return _taken(message, names) if found is None else found


def _taken(message: Message, names: dict[str, str]) -> _Dump:
    """A message that was not pydantic-ai's, as near to it as can be."""
    kind = "response" if message.role == "assistant" else "request"
    at = message.created_at.isoformat()
    parts = _called(message) if kind == "response" else _asked(message, names, at)
    origin = {"session": message.session, "id": message.id}
    return {
        "kind": kind,
        "parts": parts,
        "timestamp": at,
        "metadata": {"holdfast": origin},
    }


def _called(message: Message) -> list[_Part]:
    text = text_in(message)
    said = [{"part_kind": "text", "content": text}] if text else []
    return said + [
        {
            "part_kind": "tool-call",
            "tool_name": use.name,
            "args": use.arguments,
            "tool_call_id": use.id,
        }
        for use in uses_in(message)
    ]


def _asked(message: Message, names: dict[str, str], at: str) -> list[_Part]:
    parts = [
        {
            "part_kind": "tool-return",
            "tool_name": names.get(result.id, "unknown"),
            "content": result.content,
            "tool_call_id": result.id,
            "timestamp": at,
        }
        for result in results_in(message)
    ]
    text = text_in(message)
    if not parts or (text and isinstance(message.content, list)):
        is_system = message.role in {"system", "developer"}
        kind = "system-prompt" if is_system else "user-prompt"
        parts.append({"part_kind": kind, "content": text, "timestamp": at})
    return parts
