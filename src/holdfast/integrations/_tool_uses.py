"""Tool uses: what a message asks of tools and has from them, whoever wrote it.

Answers for: the calls of a message with their names and arguments, its results, and the
text beside them, in each form that `kinds.tool_calls` knows.
Leaves to others: what a framework makes of them.
Always holds: what has another form is no call and no result; nothing is raised for it.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from holdfast import codec
from holdfast.kinds.session_records import Message

_ARGUMENTS = ("arguments", "args", "input")


class Use(msgspec.Struct, frozen=True):
    """A call of a tool; its arguments are a dict, or the text that the model wrote."""

    id: str
    name: str
    arguments: dict[str, Any] | str

    @property
    def arguments_text(self) -> str:
        """The arguments as a model writes them."""
        if isinstance(self.arguments, str):
            return self.arguments
        return codec.document(self.arguments).text


class Result(msgspec.Struct, frozen=True):
    """What a tool answered to a call."""

    id: str
    content: Any


def uses_in(message: Message) -> list[Use]:
    """The calls that a message makes."""
    listed = (message.metadata or {}).get("tool_calls")
    items = [*_items(message.content), *(listed if isinstance(listed, list) else ())]
    return [use for item in items for use in _uses_of(item)]


def results_in(message: Message) -> list[Result]:
    """The calls that a message answers, and how."""
    answered = (message.metadata or {}).get("tool_call_id")
    if isinstance(answered, str):
        return [Result(answered, message.content)]
    return [found for item in _items(message.content) for found in _results_of(item)]


def text_in(message: Message) -> str:
    """What a message says beside calls and results; as JSON if that is no text."""
    content = message.content
    if isinstance(content, str):
        return content
    items = _items(content)
    texts = [text for item in items if isinstance(text := _text_of(item), str)]
    if texts or content is None or uses_in(message) or results_in(message):
        return "\n".join(texts)
    return codec.document(content).text


def _items(content: object) -> list[Any]:
    return content if isinstance(content, list) else [content]


def _text_of(item: object) -> object:
    return item.get("text") if isinstance(item, dict) else item


def _uses_of(item: object) -> Iterator[Use]:
    if not isinstance(item, dict):
        return
    function = item.get("function")
    said = function if isinstance(function, dict) else item
    arguments = next((said[name] for name in _ARGUMENTS if name in said), None)
    match item.get("call_id", item.get("id")), said.get("name"), arguments:
        case str(id), str(name), dict() | str():
            yield Use(id, name, arguments)


def _results_of(item: object) -> Iterator[Result]:
    match item:
        case {"tool_use_id": str(id), **more}:
            yield Result(id, more.get("content"))
        case {"type": str(type), "call_id": str(id), **more}:
            if type.endswith("_output"):
                yield Result(id, more.get("output"))
