"""What a session and a message are: their records, and what is checked of new ones.

Answers for: the records, the drafts of messages, and reading both from rows.
Leaves to others: everything that is done with them (`sessions`).
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from holdfast import codec, edges
from holdfast.clock import to_datetime, to_us
from holdfast.codec import Document
from holdfast.edges import Edge
from holdfast.engine import Row
from holdfast.errors import TooLarge, WrongType
from holdfast.limits import Limits, hold

_DRAFTED = {"role", "content", "id", "metadata", "created_at", "partial"}


class SessionStatus(StrEnum):
    """What a session is doing; a label, which binds nobody."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    ARCHIVED = "archived"


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation, without its messages.

    `orphaned` says that the parent it names was deleted, `forked_at` up to which
    position it began with the parent's messages. `updated_at` is the time of its newest
    message or of its own last change, whichever is later.
    """

    id: str
    owner: str
    title: str
    status: SessionStatus
    parent: str | None
    forked_at: int | None
    orphaned: bool
    metadata: dict[str, Any] | None
    tags: tuple[str, ...]
    max_context_messages: int | None
    version: int
    message_count: int
    created_at: datetime
    updated_at: datetime


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A session and those that it comes from and that come from it, nearest first.

    `more` says that there are more of them than were asked for.
    """

    session: Session
    ancestors: tuple[Session, ...]
    descendants: tuple[Session, ...]
    more: bool


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One message; `position` counts from 1 within its session.

    `partial` says that it is still being written, or that its end never came.
    """

    id: str
    session: str
    position: int
    role: str
    content: Any
    metadata: dict[str, Any] | None
    created_at: datetime
    partial: bool = False


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in for a session's messages up to the one at position `upto`."""

    session: str
    upto: int
    text: str
    created_at: datetime

    @property
    def message(self) -> Message:
        """The summary as a message of the system; `metadata` tells that it is one."""
        return Message(
            id=f"summary-{self.upto}",
            session=self.session,
            position=self.upto,
            role="system",
            content=self.text,
            metadata={"summary": {"upto": self.upto}},
            created_at=self.created_at,
        )


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What a session showed when it was marked: positions `first` to `last`."""

    id: str
    session: str
    first: int
    last: int


class Draft(msgspec.Struct, frozen=True):
    """A message that was checked and is still to be kept."""

    role: str
    content: Document
    metadata: Document | None
    id: str | None
    created_at: int | None = None
    partial: bool = False


def _drafts(value: object, name: str, limits: Limits) -> tuple[Draft, ...]:
    if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
        raise edges.wrong_type(name, "an iterable of messages", value)
    drafts = []
    for index, item in enumerate(value):
        if index == limits.batch:
            raise TooLarge(
                f"{name}: past the limit of {limits.batch:,} messages in one call "
                "(limits.batch); nothing was written"
            )
        drafts.append(draft_of(item, f"{name}[{index}]", limits))
    return tuple(drafts)


def draft_of(item: object, name: str, limits: Limits) -> Draft:
    """A new message, checked; it is a dict, or was checked already."""
    if type(item) is Draft:
        return item
    if not isinstance(item, dict):
        raise edges.wrong_type(name, "a dict with role and content", item)
    if unknown := item.keys() - _DRAFTED:
        raise WrongType(f"{name}: a message has no {sorted(map(str, unknown))}")
    if missing := {"role", "content"} - item.keys():
        raise WrongType(f"{name}: {' and '.join(sorted(missing))} missing")
    id, at, partial = (item.get(key) for key in ("id", "created_at", "partial"))
    return Draft(
        edges.name_of(item["role"], f"{name}.role", limits),
        edges.document_of(item["content"], f"{name}.content", limits),
        edges.object_of(item.get("metadata"), f"{name}.metadata", limits),
        None if id is None else edges.id_of(id, f"{name}.id"),
        None if at is None else to_us(edges.time_of(at, f"{name}.created_at", limits)),
        partial is not None and edges.truth_of(partial, f"{name}.partial", limits),
    )


def _tags(value: object, name: str, limits: Limits) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise edges.wrong_type(name, "a list of names", value)
    tags = tuple(edges.id_of(tag, f"{name}[{i}]") for i, tag in enumerate(value))
    hold(len(tags), limits.tags, name, "tags")
    return tuple(dict.fromkeys(tags))


Drafts = Annotated[Iterable[dict[str, Any]], Edge(_drafts)]
Tags = Annotated[Iterable[str], Edge(_tags)]
AnyStatus = Annotated[SessionStatus | str, Edge(edges.member_of(SessionStatus))]


def session_of(row: Row) -> Session:
    (_, owner, id, created_at, updated_at, status, title, parent, metadata, tags,
     most, revision, first, newest, newest_at, orphaned,
     forked_at, base) = row  # fmt: skip
    last = max(newest or 0, first - 1, base)
    return Session(
        id=id,
        owner=owner,
        title=title,
        status=SessionStatus(status),
        parent=parent,
        forked_at=forked_at,
        orphaned=bool(orphaned),
        metadata=codec.decode(metadata),
        tags=tuple(codec.decode(tags)),
        max_context_messages=most,
        version=revision + last,
        message_count=last - first + 1,
        created_at=to_datetime(created_at),
        updated_at=to_datetime(max(updated_at, newest_at or 0)),
    )


def message_of(session: str, row: Row, more: str = "") -> Message:
    """The message of a row, and what came of it `more` than the row says."""
    id, position, role, content, metadata, created_at, partial, _, _ = row
    return Message(
        id=id,
        session=session,
        position=position,
        role=role,
        content=codec.decode(content) + more if more else codec.decode(content),
        metadata=codec.decode(metadata),
        created_at=to_datetime(created_at),
        partial=bool(partial),
    )


def summary_of(session: str, row: Row) -> Summary:
    upto, text, created_at = row
    return Summary(
        session=session, upto=upto, text=text, created_at=to_datetime(created_at)
    )
