"""Entries of Claude's transcripts, as messages, and back.

Answers for: what of an entry a message says, and the entry of a message.
Leaves to others: which session it belongs to (`claude`).
Always holds: an entry comes back equal, whatever it has; a message that was not an
entry is none. Nothing but data is read.

    an entry                          role            content       metadata["claude"]
    message: {role, content}          message.role    the content   the rest of it
    message.content: one block        message.role    the text      the rest of it
      of text
    type: system, content: text       system          the text      the rest of it
    any other                         type            null          the entry
    what is no value for a store      as above        what can be   its JSON text
      (half a character, infinity)                    shown of it

In the rest, null stands where the content was taken out.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from holdfast import codec, edges
from holdfast.errors import BadInput, NotStorable
from holdfast.integrations._claude_names import safe
from holdfast.kinds.session_records import Message
from holdfast.limits import Limits

_OWN = "claude"
_NO_ROLE = "entry"
_SPOKEN = frozenset({"user", "assistant", "system", "developer", "tool"})
_LIMITS = Limits()
_TITLE = 100
"""Characters of a title."""


class _Taken(msgspec.Struct, frozen=True):
    """What an entry says: whose role, what content, and the entry without that."""

    role: object
    content: Any
    rest: Any


def draft_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The message for an entry, as `sessions.extend` takes it."""
    taken = _taken(dict(entry))
    content, rest = taken.content, taken.rest
    try:
        codec.document([content, rest])
    except NotStorable:
        content, rest = _shown(content), json.dumps(entry)
    uuid = entry.get("uuid")
    return {
        "role": _role(taken.role),
        "content": content,
        "metadata": {_OWN: rest},
        "id": safe(uuid) if isinstance(uuid, str) and uuid else None,
        "created_at": _time(entry.get("timestamp")),
    }


def entry_of(message: Message) -> Any | None:
    """The entry that a message was; None if it was none."""
    if message.metadata is None or _OWN not in message.metadata:
        return None
    rest = message.metadata[_OWN]
    return json.loads(rest) if isinstance(rest, str) else _whole(rest, message.content)


def storable(value: Any) -> Any:
    """A value itself if a store can keep it, or else what can be shown of it."""
    try:
        return codec.document(value).value
    except NotStorable:
        return _shown(value)


def title_in(entries: list[Any], there: str) -> str:
    """The title that entries give; the one that is there if they give none.

    It is what the user called the session, or else the beginning of what was first
    asked.
    """
    named = [name for entry in entries if (name := _text(entry.get("customTitle")))]
    if named:
        return named[-1]
    return there or next(filter(None, map(_asked, entries)), "")


def _taken(entry: dict[str, Any]) -> _Taken:
    message = entry.get("message")
    if isinstance(message, dict) and "content" in message:
        content, hole = _unwrapped(message["content"])
        rest = {**entry, "message": {**message, "content": hole}}
        return _Taken(message.get("role", entry.get("type")), content, rest)
    type = entry.get("type")
    if type == "system" and isinstance(entry.get("content"), str):
        return _Taken(type, entry["content"], {**entry, "content": None})
    return _Taken(_NO_ROLE if type in _SPOKEN else type, None, entry)


def _unwrapped(content: Any) -> tuple[Any, Any]:
    """A content, as text if it is one block of text, and what stands in its place."""
    match content:
        case [{"type": "text", "text": str(text), **more}] if not more:
            return text, [{**content[0], "text": None}]
    return content, None


def _whole(rest: dict[str, Any], content: Any) -> dict[str, Any]:
    """The entry again, of what was taken out of it and the rest."""
    message = rest.get("message")
    if isinstance(message, dict) and "content" in message:
        hole = message["content"]
        if hole is not None:
            content = [{**hole[0], "text": content}]
        return {**rest, "message": {**message, "content": content}}
    if "content" in rest and rest["content"] is None:
        return {**rest, "content": content}
    return rest


def _role(role: object) -> str:
    try:
        return edges.name_of(role, "role", _LIMITS)
    except BadInput:
        return _NO_ROLE


def _time(value: object) -> datetime | None:
    """The time that an entry says it is of, if it says one."""
    try:
        at = datetime.fromisoformat(value)  # type: ignore[arg-type]
        return at.astimezone(UTC) if at.tzinfo is not None else None
    except (TypeError, ValueError, OverflowError):
        return None


def _shown(value: Any) -> Any:
    """What can be shown of a value that cannot be kept as it is."""
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    try:
        return codec.document(json.loads(text, parse_constant=str)).value
    except NotStorable:
        return None


def _asked(entry: Mapping[str, Any]) -> str:
    """What a user asked in an entry, if it is one in which a user asks."""
    if entry.get("type") != "user" or entry.get("isMeta"):
        return ""
    said = _text(_taken(dict(entry)).content)
    return "" if said.startswith("<") else said


def _text(value: object) -> str:
    """The beginning of a text, on one line, as a title; empty for what is no text."""
    if not isinstance(value, str):
        return ""
    line = " ".join("".join(c if c.isprintable() else " " for c in value[:400]).split())
    return line if len(line) <= _TITLE else line[: _TITLE - 1] + "…"
