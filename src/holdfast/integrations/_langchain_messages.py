"""LangChain's messages as messages of a session, and back.

    of LangChain's message          in the session's
    class                           role; `langchain.type` where that says too little
    content                         content: text as text, blocks as a list
    id                              id; `langchain.id` if it cannot be one, or is None
    tool_calls, tool_call_id        metadata, where tool calls are looked for
    what else is not as by default  metadata, under `langchain`

Answers for: both ways between the two, for one message.
Leaves to others: which messages a session has (`langchain`, `langgraph`).
Always holds: a message comes back equal and of the same class, or it is refused before
anything is written. Its class is found in a fixed table, never by a stored name.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from holdfast import codec, edges
from holdfast.codec import Document
from holdfast.errors import InvalidId, NotStorable, Refused
from holdfast.integrations import extra
from holdfast.integrations._tool_uses import results_in, text_in, uses_in
from holdfast.kinds.session_records import Message
from holdfast.limits import Limits

with extra("langchain"):
    from langchain_core.messages import (
        AIMessage,
        AIMessageChunk,
        BaseMessage,
        ChatMessage,
        ChatMessageChunk,
        FunctionMessage,
        FunctionMessageChunk,
        HumanMessage,
        HumanMessageChunk,
        SystemMessage,
        SystemMessageChunk,
        ToolMessage,
        ToolMessageChunk,
    )
    from langchain_core.messages.tool import default_tool_parser

_OURS = "langchain"
_SHOWN = ("tool_calls", "tool_call_id")
_PLAIN = {"user", "assistant", "system"}
_APART = {"type", "content", "id"}
_LIMITS = Limits()


class _Known(msgspec.Struct, frozen=True):
    """A class of messages: its role in a session, and its fields' defaults.

    `blank` is a message of it with nothing but these, of which those in `mutable` are
    never shared; `names` are those of all its fields.
    """

    form: type[BaseMessage]
    type: str
    role: str
    defaults: dict[str, Any]
    mutable: dict[str, Any]
    names: frozenset[str]
    blank: BaseMessage

    def made(self, given: dict[str, Any]) -> BaseMessage:
        """A message of these fields, which were checked when it was first made."""
        fresh = {name: default.copy() for name, default in self.mutable.items()}
        fields = {**self.blank.__dict__, **fresh, **given}
        if not given.keys() <= self.names:
            return self.form.model_construct(set(given), **fields)
        message = self.form.__new__(self.form)
        message.__setstate__(
            {
                "__dict__": fields,
                "__pydantic_fields_set__": set(given),
                "__pydantic_extra__": {},
                "__pydantic_private__": None,
            }
        )
        return message


def _known(role: str, form: type[BaseMessage]) -> _Known:
    defaults = {
        name: field.get_default(call_default_factory=True)
        for name, field in form.model_fields.items()
        if name not in _APART and not field.is_required()
    }
    mutable = {k: v for k, v in defaults.items() if isinstance(v, (dict, list))}
    blank = form.model_construct(set(), content="", **defaults)
    type = form.model_fields["type"].default
    names = frozenset(form.model_fields)
    return _Known(form, type, role, defaults, mutable, names, blank)


_KNOWN: dict[type[BaseMessage], _Known] = {
    form: _known(role, form)
    for role, form in (
        ("user", HumanMessage),
        ("assistant", AIMessage),
        ("system", SystemMessage),
        ("tool", ToolMessage),
        ("function", FunctionMessage),
        ("chat", ChatMessage),
        ("user", HumanMessageChunk),
        ("assistant", AIMessageChunk),
        ("system", SystemMessageChunk),
        ("tool", ToolMessageChunk),
        ("function", FunctionMessageChunk),
        ("chat", ChatMessageChunk),
    )
}
_BY_TYPE = {known.type: known for known in _KNOWN.values()}
_BY_ROLE = {known.role: known for known in reversed(_KNOWN.values())}


def draft_of(message: BaseMessage) -> dict[str, Any]:
    """A message as `sessions.extend` takes it, checked and encoded.

    Raises `Refused` (a class that is not known), `NotStorable` (a value that would not
    come back equal: its place is told).
    """
    known = _KNOWN.get(type(message))
    if known is None:
        raise Refused(
            f"{type(message).__name__} is none of LangChain's own classes of messages, "
            "which alone can be read again; nothing was written"
        )
    fields = _fields(message, known)
    role = _role(known, fields)
    kept = {name: fields.pop(name) for name in _SHOWN if name in fields}
    if known is not _BY_ROLE.get(role):
        fields["type"] = known.type
    draft: dict[str, Any] = {"role": role, "content": _exact(message.content)}
    if _is_id(message.id):
        draft["id"] = message.id
    else:
        fields["id"] = message.id
    if fields or kept or not isinstance(message.content, str):
        draft["metadata"] = _exact({**kept, _OURS: fields})
    return draft


def message_of(message: Message) -> BaseMessage:
    """A session's message as LangChain's; also one that came from elsewhere.

    Raises `Refused` (a class that this version does not know).
    """
    metadata = message.metadata or {}
    ours = metadata.get(_OURS)
    plain = message.role in _PLAIN and isinstance(message.content, str)
    if isinstance(ours, dict) or (plain and not metadata):
        return _rebuilt(message, metadata, ours or {})
    return _taken(message)


def _fields(message: BaseMessage, known: _Known) -> dict[str, Any]:
    """What of a message is not as by default, besides what stands apart."""
    fields = {
        name: value
        for name, value in message.__dict__.items()
        if name not in _APART and not _same(value, known.defaults.get(name, UNSET))
    }
    return fields | (message.__pydantic_extra__ or {})


def _same(value: object, default: object) -> bool:
    return type(value) is type(default) and value == default


def _role(known: _Known, fields: dict[str, Any]) -> str:
    """The role of a message; the one that a chat message names, if it can be one."""
    if known.role != "chat":
        return known.role
    try:
        role = edges.name_of(fields["role"], "role", _LIMITS)
    except InvalidId:
        return known.role
    del fields["role"]
    return role


def _is_id(id: str | None) -> bool:
    try:
        return id is not None and edges.id_of(id, "id") == id
    except InvalidId:
        return False


def _exact(value: Any) -> Document:
    """A value, encoded; refused if it would come back changed in the least."""
    document = codec.document(value)
    if document.value != value:
        raise NotStorable("a message: a tuple in it would come back as a list")
    return document


def _is_content(value: object) -> bool:
    return isinstance(value, (str, list))


def _rebuilt(
    message: Message, metadata: Mapping[str, Any], ours: dict[str, Any]
) -> BaseMessage:
    fields = {**ours, **{name: metadata[name] for name in _SHOWN if name in metadata}}
    type = fields.pop("type", None)
    known = _BY_ROLE.get(message.role) if type is None else _BY_TYPE.get(type)
    if known is None:
        raise Refused(
            f"message {message.id!r} is of a class of LangChain's that this version of "
            "holdfast does not know"
        )
    if known.role == "chat":
        fields.setdefault("role", message.role)
    return known.made({"content": message.content, "id": message.id} | fields)


def _taken(message: Message) -> BaseMessage:
    """A message that was not LangChain's, as near to it as can be."""
    content = message.content if _is_content(message.content) else text_in(message)
    said: dict[str, Any] = {"content": content, "id": message.id}
    match message.role:
        case "user":
            return HumanMessage(**said)
        case "system" | "developer":
            return SystemMessage(**said)
        case "assistant":
            calls, invalid = default_tool_parser(_raw_calls(message))
            return AIMessage(**said, tool_calls=calls, invalid_tool_calls=invalid)
        case "tool":
            return _answer(message)
    return ChatMessage(**said, role=message.role)


def _raw_calls(message: Message) -> list[dict[str, Any]]:
    return [
        {"id": use.id, "function": {"name": use.name, "arguments": use.arguments_text}}
        for use in uses_in(message)
    ]


def _answer(message: Message) -> ToolMessage:
    """The answer of a tool; what belongs to no call stays readable."""
    for result in results_in(message):
        content = result.content
        if not _is_content(content):
            content = codec.document(content).text
        return ToolMessage(content=content, id=message.id, tool_call_id=result.id)
    return ToolMessage(content=text_in(message), id=message.id, tool_call_id="")
