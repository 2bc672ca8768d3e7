"""What a message says, for people: its text, or the tools that it calls.

Answers for: content and metadata of a message as text, whole or in one line.
Leaves to others: how that is laid out (`records`, `changes`).
Always holds: whatever a message is made of, something of it is shown.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from holdfast.cli.output import one_line, safe


def body(content: object) -> str:
    """A message's content: text as it is, parts of text joined, else JSON."""
    if content is None:
        return ""
    if isinstance(content, str):
        return safe(content)
    if isinstance(content, list) and content and all(map(_is_text, content)):
        return "\n".join(safe(part["text"]) for part in content)
    return safe(msgspec.json.format(msgspec.json.encode(content), indent=2).decode())


def beside(metadata: Mapping[str, Any] | None) -> Iterator[str]:
    """What goes with a message's content: tool calls as calls, the rest by its key."""
    for key, value in (metadata or {}).items():
        calls = list(_calls(value)) if key == "tool_calls" else []
        yield from calls or [f"{safe(key)}: {one_line(value)}"]


def in_one_line(fields: Mapping[str, Any]) -> str:
    """A message in one line: who said it, and what."""
    said = body(fields.get("content")) or ", ".join(beside(fields.get("metadata")))
    return f"{one_line(fields.get('role') or '')}: {one_line(said)}"


def _is_text(part: object) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def _calls(value: object) -> Iterator[str]:
    """Calls of tools, as chat completions have them; nothing if it is none."""
    try:
        found = msgspec.convert(value, list[_Call])
    except msgspec.ValidationError:
        return
    for call in found:
        name, arguments = call.function.name, call.function.arguments
        yield f"calls {one_line(name)}({one_line(arguments)})"


class _Function(msgspec.Struct):
    name: str
    arguments: str = ""


class _Call(msgspec.Struct):
    function: _Function
