"""Exported: what of a session is written into a file, and read again.

Answers for: the records of the format, their JSON text, and making them of what a store
has.
Leaves to others: files (`runtime/transfer`), taking records in (`runtime/transfer`).
Always holds: text that is not of this format is refused with a reason; what is read is
data, checked by type, and never code.

A file has a line of JSON for each record: a head, then each session, followed by its
messages and its summaries, and an end. One session is one JSON document as well
(`Document`).
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from holdfast.kinds.session_records import Message, Session, Summary

T = TypeVar("T")
H = TypeVar("H", "Head", "Document")

FORMAT = "holdfast.sessions"
VERSION = 1
Aware: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a file: what it is; a `session` in it makes it a document."""

    format: str
    version: int
    exported_at: Aware | None = None
    session: msgspec.Raw | UnsetType = UNSET


class Line(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="type",
):
    """A line of a file after the first; `type` says what it has."""


class SessionLine(Line, frozen=True, kw_only=True, tag="session"):
    """A session: its record, and how many messages follow, the first at `first`."""

    id: str
    created_at: Aware
    updated_at: Aware
    version: int
    messages: int
    first: int = 1
    title: str = ""
    status: str = "active"
    parent: str | None = None
    metadata: dict[str, Any] | None = None
    tags: tuple[str, ...] = ()
    max_context_messages: int | None = None
    forked_at: int | None = None


class MessageLine(Line, frozen=True, kw_only=True, tag="message"):
    """A message of the session before it."""

    position: int
    id: str
    role: str
    content: Any
    metadata: dict[str, Any] | None = None
    created_at: Aware
    partial: bool = False


class SummaryLine(Line, frozen=True, kw_only=True, tag="summary"):
    """What stands in for the messages of the session before it, up to a position."""

    upto: int
    text: str
    created_at: Aware


class EndLine(Line, frozen=True, kw_only=True, tag="end"):
    """The last line: how much there was."""

    sessions: int
    messages: int


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One session, with all that is in it, as one JSON document."""

    format: str
    version: int
    session: SessionLine
    messages: tuple[MessageLine, ...]
    summaries: tuple[SummaryLine, ...] = ()


AnyLine: TypeAlias = SessionLine | MessageLine | SummaryLine | EndLine

_encode = msgspec.json.Encoder().encode
_line: msgspec.json.Decoder[AnyLine] = msgspec.json.Decoder(AnyLine)
_head = msgspec.json.Decoder(Head)
_document = msgspec.json.Decoder(Document)


def line_of(record: Head | Line) -> bytes:
    """A record as a line of a file."""
    return _encode(record) + b"\n"


def session_line(session: Session, first: int) -> SessionLine:
    """A session as it is exported; its first message stands, or will, at `first`."""
    return SessionLine(
        id=session.id,
        created_at=session.created_at,
        updated_at=session.updated_at,
        version=session.version,
        messages=session.message_count,
        first=first,
        title=session.title,
        status=session.status.value,
        parent=session.parent,
        metadata=session.metadata,
        tags=session.tags,
        max_context_messages=session.max_context_messages,
        forked_at=session.forked_at,
    )


def message_line(message: Message) -> MessageLine:
    """A message as it is exported."""
    return MessageLine(
        position=message.position,
        id=message.id,
        role=message.role,
        content=message.content,
        metadata=message.metadata,
        created_at=message.created_at,
        partial=message.partial,
    )


def summary_line(summary: Summary) -> SummaryLine:
    """A summary as it is exported."""
    return SummaryLine(
        upto=summary.upto, text=summary.text, created_at=summary.created_at
    )


def document_of(
    session: Session,
    first: int,
    messages: Iterable[Message],
    summaries: Iterable[Summary],
) -> bytes:
    """One session as one JSON document, for programs and for people."""
    found = Document(
        format=FORMAT,
        version=VERSION,
        session=session_line(session, first),
        messages=tuple(map(message_line, messages)),
        summaries=tuple(map(summary_line, summaries)),
    )
    return msgspec.json.format(_encode(found), indent=2)


def read_head(text: bytes) -> Head:
    """The head that the first line of a file is. Raises `ValueError`, with a reason."""
    head = _known(_read(_head, text))
    if head.session is not UNSET:
        raise ValueError("it is a document, and no file of lines")
    return head


def read_line(text: bytes) -> AnyLine:
    """What a line after the first has. Raises `ValueError`, with a reason."""
    return _read(_line, text)


def read_document(text: bytes) -> Document:
    """The session of a JSON document. Raises `ValueError`, with a reason."""
    return _known(_read(_document, text))


def _read(decoder: msgspec.json.Decoder[T], text: bytes) -> T:
    try:
        return decoder.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _known(head: H) -> H:
    if head.format != FORMAT:
        raise ValueError(f"the format is {head.format!r}, and not {FORMAT!r}")
    if head.version != VERSION:
        raise ValueError(
            f"version {head.version} of the format is not known here (this holdfast "
            f"reads version {VERSION})"
        )
    return head
