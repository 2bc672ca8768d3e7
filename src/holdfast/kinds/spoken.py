"""Spoken: what a message is made of, part by part, for people to read.

Answers for: text, calls of tools, their results, and whatever else there is, in the
forms that models and their interfaces have.
Leaves to others: how parts are laid out (`transcripts`).
Always holds: a part is shown as more than data only if that loses nothing of it;
whatever has another form is given as JSON.
"""

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import msgspec

from holdfast.kinds.session_records import Message


class Said(msgspec.Struct, frozen=True):
    """Text that somebody said."""

    text: str


class Block(msgspec.Struct, frozen=True):
    """What is no speech: what it is called, and its text; JSON if `is_json`."""

    title: str
    text: str
    is_json: bool = True


Part: TypeAlias = Said | Block


def parts_of(message: Message) -> Iterator[Part]:
    """What a message is made of: its content, then its metadata."""
    yield from _content(message.content)
    for key, value in (message.metadata or {}).items():
        calls = _calls(value) if key == "tool_calls" else None
        yield from calls or [Block(key, as_json(value))]


def as_json(value: object) -> str:
    """A value as JSON text for people."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _content(content: object) -> Iterator[Part]:
    if isinstance(content, str):
        yield Said(content)
    elif isinstance(content, list) and content:
        for item in content:
            yield from _item(item)
    elif content is not None:
        yield from _item(content)


def _item(item: object) -> Iterator[Part]:
    """A part of a content: by its form, or else as it is."""
    if isinstance(item, str):
        yield Said(item)
        return
    for form in _FORMS:
        try:
            found = msgspec.convert(item, form)
        except msgspec.ValidationError:
            continue
        yield from found.parts()
        return
    yield Block("content", as_json(item))


def _calls(value: object) -> list[Part] | None:
    """Calls of tools, as chat completions or LangChain have them; None if neither."""
    for form in _CALLS:
        try:
            calls = msgspec.convert(value, form)
        except msgspec.ValidationError:
            continue
        return [call.part() for call in calls]
    return None


def _call(name: str, arguments: str, id: str) -> Block:
    try:
        text = msgspec.json.format(arguments.encode(), indent=2).decode()
        return Block(f"calls {name} ({id})", text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return Block(f"calls {name} ({id})", arguments, is_json=False)


def _output(id: str, output: object) -> Iterator[Part]:
    title = f"result of {id}"
    if isinstance(output, str):
        yield Block(title, output, is_json=False)
    else:
        yield Block(title, as_json(output))


class _Form(msgspec.Struct, forbid_unknown_fields=True, tag_field="type"):
    """A form that a part of a content may have: all of these fields, and no other."""

    def parts(self) -> Iterator[Part]:
        """What it is, for people."""
        raise NotImplementedError


class _Text(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    type: Literal["text", "input_text", "output_text"] = "text"

    def parts(self) -> Iterator[Part]:
        yield Said(self.text)


class _Use(_Form, tag="tool_use"):
    id: str
    name: str
    input: Any

    def parts(self) -> Iterator[Part]:
        yield Block(f"calls {self.name} ({self.id})", as_json(self.input))


class _Result(_Form, tag="tool_result"):
    tool_use_id: str
    content: Any = None

    def parts(self) -> Iterator[Part]:
        yield from _output(self.tool_use_id, self.content)


class _FunctionCall(_Form, tag="function_call"):
    call_id: str
    name: str
    arguments: str

    def parts(self) -> Iterator[Part]:
        yield _call(self.name, self.arguments, self.call_id)


class _FunctionOutput(_Form, tag="function_call_output"):
    call_id: str
    output: Any

    def parts(self) -> Iterator[Part]:
        yield from _output(self.call_id, self.output)


class _Function(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    arguments: str


class _ChatCall(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    function: _Function
    type: Literal["function"] = "function"

    def part(self) -> Part:
        return _call(self.function.name, self.function.arguments, self.id)


class _PlainCall(_Form, tag="tool_call"):
    id: str
    name: str
    args: Any

    def part(self) -> Part:
        return Block(f"calls {self.name} ({self.id})", as_json(self.args))


_FORMS: tuple[type[_Text | _Form], ...] = (
    _Text,
    _Use,
    _Result,
    _FunctionCall,
    _FunctionOutput,
)
_CALLS: tuple[type[list[_ChatCall] | list[_PlainCall]], ...] = (
    list[_ChatCall],
    list[_PlainCall],
)
