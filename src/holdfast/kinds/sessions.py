"""Sessions: conversations, and the messages in them.

Answers for: what a session and a message are, their order, and a session's version.
Leaves to others: who may write to a session (leases), what happened when (the journal).
Always holds: positions run without a gap from a session's first message to its newest;
`version` grows with every change of a session or of its messages.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from holdfast import codec, edges
from holdfast.clock import to_datetime, to_us
from holdfast.codec import Document, Json
from holdfast.edges import Count, Edge, Id, Name, Object, PageSize, Text, Time, Value
from holdfast.engine import Row, Table
from holdfast.errors import AlreadyExists, Conflict, NotFound, TooLarge, WrongType
from holdfast.guarantees import Promise
from holdfast.contract import Kind, every_page, operation, query
from holdfast.limits import Limits, hold
from holdfast.page import Page, cursor_of, place_of

_ALL = 2**62
_SWEPT_AT_ONCE = 1_000


class SessionStatus(StrEnum):
    """What a session is doing; a label, which binds nobody."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    ARCHIVED = "archived"


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation, without its messages.

    `orphaned` says that the parent it names was deleted. `updated_at` is the time of
    its newest message or of its own last change, whichever is later.
    """

    id: str
    owner: str
    title: str
    status: SessionStatus
    parent: str | None
    orphaned: bool
    metadata: dict[str, Any] | None
    tags: tuple[str, ...]
    max_context_messages: int | None
    version: int
    message_count: int
    created_at: datetime
    updated_at: datetime


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message; `position` counts from 1 within its session."""

    id: str
    session: str
    position: int
    role: str
    content: Any
    metadata: dict[str, Any] | None
    created_at: datetime


class Draft(msgspec.Struct, frozen=True):
    """A message that was checked and is still to be kept."""

    role: str
    content: Document
    metadata: Document | None
    id: str | None


class _Place(msgspec.Struct, frozen=True):
    """Where a session stands: its row, its version, its first and newest position."""

    no: int
    revision: int
    first: int
    last: int

    @property
    def version(self) -> int:
        return self.revision + self.last


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
        drafts.append(_draft(item, f"{name}[{index}]", limits))
    return tuple(drafts)


def _draft(item: object, name: str, limits: Limits) -> Draft:
    if type(item) is Draft:
        return item
    if not isinstance(item, dict):
        raise edges.wrong_type(name, "a dict with role and content", item)
    if unknown := item.keys() - {"role", "content", "id", "metadata"}:
        raise WrongType(f"{name}: a message has no {sorted(map(str, unknown))}")
    if missing := {"role", "content"} - item.keys():
        raise WrongType(f"{name}: {' and '.join(sorted(missing))} missing")
    id = item.get("id")
    return Draft(
        edges.name_of(item["role"], f"{name}.role", limits),
        edges.document_of(item["content"], f"{name}.content", limits),
        edges.object_of(item.get("metadata"), f"{name}.metadata", limits),
        None if id is None else edges.id_of(id, f"{name}.id"),
    )


def _tags(value: object, name: str, limits: Limits) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise edges.wrong_type(name, "a list of names", value)
    tags = tuple(edges.id_of(tag, f"{name}[{i}]") for i, tag in enumerate(value))
    hold(len(tags), limits.tags, name, "tags")
    return tuple(dict.fromkeys(tags))


Drafts = Annotated[Iterable[dict[str, Any]], Edge(_drafts)]
Tags = Annotated[Iterable[str], Edge(_tags)]


class Sessions(Kind):
    """Conversations. Every call is one transaction of its own, or part of an open one."""

    name = "sessions"
    promise = Promise.DURABLE
    tables = (
        Table("session", json=("metadata", "tags")),
        Table("message", json=("content", "metadata"), parent=("session", "session")),
    )

    @operation
    def create(
        self,
        title: Text = "",
        *,
        id: Id | None = None,
        parent: Id | None = None,
        metadata: Object = None,
        tags: Tags = (),
        max_context_messages: Count | None = None,
    ) -> Session:
        """Begin a session; one that is there with equal content is given back.

        Raises `AlreadyExists` (the id, with other content), `NotFound` (the parent).
        """
        wanted = (title, parent, codec.value_of(metadata), tuple(tags))
        if id is not None and (row := self._row(id)):
            there = _session(row)
            has = (there.title, there.parent, there.metadata, there.tags)
            if has != wanted or there.max_context_messages != max_context_messages:
                raise AlreadyExists("session", id)
            return there
        if parent is not None:
            self._found(parent)
        id = id or self.tx.new_id()
        self.tx.run(
            "session_add",
            no=(no := self.tx.new_no()),
            owner=self.owner,
            id=id,
            now=self.tx.now,
            title=title,
            parent=parent,
            metadata=codec.text_of(metadata),
            tags=codec.text_of(tuple(tags)),
            max_context_messages=max_context_messages,
        )
        self._tag(no, self.tx.now, tuple(tags))
        return _session(self._found(id))

    @query
    def get(self, id: Id) -> Session:
        """One session, without its messages. Raises `NotFound`."""
        return _session(self._found(id))

    @operation
    def update(
        self,
        id: Id,
        *,
        expect: Count | None = None,
        title: Text | UnsetType = UNSET,
        status: SessionStatus | UnsetType = UNSET,
        metadata: Object | UnsetType = UNSET,
        tags: Tags | UnsetType = UNSET,
        max_context_messages: Count | None | UnsetType = UNSET,
    ) -> Session:
        """Change what is named, and leave the rest; `expect` is the session's version.

        Raises `NotFound`, `Conflict` (another version), `Held`, `Fenced`.
        """
        row = self._found(id)
        self.guard(id)
        there = _session(row)
        if expect is not None and expect != there.version:
            raise Conflict("session", id, expected=expect, found=there.version)
        changes: dict[str, object] = {
            "title": title,
            "status": status,
            "metadata": UNSET if metadata is UNSET else codec.text_of(metadata),
            "max_context_messages": max_context_messages,
        }
        if tags is not UNSET:
            changes["tags"] = codec.text_of(tuple(tags))
            self.tx.run("session_tag_drop", no=row[0])
            self._tag(row[0], row[3], tuple(tags))
        return self._change(row, changes)

    @query
    def list(
        self,
        *,
        status: SessionStatus | None = None,
        tag: Id | None = None,
        parent: Id | None = None,
        created_before: Time | None = None,
        limit: PageSize = 50,
        cursor: str | None = None,
    ) -> Page[Session]:
        """Sessions, newest first; messages are never read."""
        before_at, before_no = _ALL, 0
        if created_before is not None:
            before_at = to_us(created_before)
        if cursor is not None:
            at, before_no = (int(part) for part in place_of(cursor, int, int))
            before_at = min(before_at, at)
        values: dict[str, object] = {"owner": self.owner, "limit": limit + 1}
        values |= {"before_at": before_at, "before_no": before_no}
        filters = {"status": status and status.value, "parent": parent}
        if tag is not None:
            rows = self.tx.all("session_list_tag", tag=tag, **values, **filters)
        elif parent is not None:
            rows = self.tx.all("session_list_parent", **values, **filters)
        elif status is not None:
            rows = self.tx.all("session_list_status", status=status.value, **values)
        else:
            rows = self.tx.all("session_list", **values)
        more = len(rows) > limit and cursor_of(rows[limit - 1][3], rows[limit - 1][0])
        return Page(map(_session, rows[:limit]), more or None)

    @operation
    def close(self, id: Id) -> Session:
        """Mark a session as completed. Raises `NotFound`, `Held`, `Fenced`."""
        row = self._found(id)
        self.guard(id)
        if row[5] == SessionStatus.COMPLETED:
            return _session(row)
        return self._change(row, {"status": SessionStatus.COMPLETED})

    @operation
    def delete(self, id: Id) -> bool:
        """Delete a session and its messages; True only if there was one.

        Its children and its tasks stay, and are `orphaned`. Raises `Held`, `Fenced`.
        """
        row = self._row(id)
        if row is None:
            return False
        self.guard(id)
        self.tx.run("session_tag_drop", no=row[0])
        self.tx.run("session_drop", no=row[0])
        self._sweep(row[0], below=_ALL)
        return True

    @operation
    def append(
        self,
        id: Id,
        role: Name,
        content: Value,
        *,
        message_id: Id | None = None,
        metadata: Object = None,
        expect: Count | None = None,
    ) -> Message:
        """Add a message at the end, in the order of commits.

        A `message_id` that is there with equal content gives that message back.
        Raises `NotFound`, `Conflict` (the session is not at version `expect`),
        `AlreadyExists`, `Held`, `Fenced`.
        """
        draft = Draft(
            role, codec.document(content), codec.optional(metadata), message_id
        )
        place = self._place(id)
        if message_id is not None and (there := self._same(id, place, draft)):
            return there
        self._expect(id, place, expect)
        return self._add(id, place.no, place.last + 1, draft)

    @operation
    def extend(
        self, id: Id, messages: Drafts, *, expect: Count | None = None
    ) -> tuple[Message, ...]:
        """Add messages at the end, all of them or none.

        Each is a dict of `role` and `content`, and perhaps `id` and `metadata`.
        Raises as `append` does.
        """
        place = self._place(id)
        kept: list[Message] = []
        last = place.last
        for draft in messages:
            there = None
            if draft.id is not None:  # type: ignore[attr-defined]
                there = self._same(id, place, draft)  # type: ignore[arg-type]
            if there is None:
                if last == place.last:
                    self._expect(id, place, expect)
                last += 1
                there = self._add(id, place.no, last, draft)  # type: ignore[arg-type]
            kept.append(there)
        return tuple(kept)

    @query
    def messages(
        self,
        id: Id,
        last: PageSize = 50,
        *,
        before: Count | None = None,
        after: Count | None = None,
        cursor: str | None = None,
    ) -> Page[Message]:
        """The newest `last` messages, oldest of them first; the cursor leads back.

        `before` and `after` are positions, and bound what is looked at. With `after`,
        the page begins right behind it, and the cursor leads on. Raises `NotFound`.
        """
        place = self._read_place(id)
        end = _ALL if before is None else before
        if after is not None:
            return self._page_on(id, place, max(after + 1, place.first), end, last, cursor)
        if cursor is not None:
            end = min(end, int(place_of(cursor, int)[0]))
        rows = self.tx.all(
            "message_page_back",
            session=place.no,
            first=place.first,
            before=end,
            limit=last + 1,
        )
        more = cursor_of(rows[last - 1][1]) if len(rows) > last else None
        return Page((_message(id, row) for row in reversed(rows[:last])), more)

    @every_page
    def history(self, id: Id, *, cursor: str | None = None) -> Page[Message]:
        """Every message, oldest first, read page by page. Raises `NotFound`."""
        place = self._read_place(id)
        return self._page_on(id, place, place.first, _ALL, self.tx.limits.page, cursor)

    @operation
    def pop(self, id: Id) -> Message | None:
        """Take the newest message off; None if there is none.

        Raises `NotFound`, `Held`, `Fenced`.
        """
        place = self._place(id)
        row = self.tx.one("message_at", session=place.no, position=place.last)
        if row is None or place.last < place.first:
            return None
        self.tx.run("message_pop", session=place.no, position=place.last)
        self._cut(place, first=place.first, last=place.last - 1)
        return _message(id, row)

    @operation
    def clear(self, id: Id) -> int:
        """Take all messages off; how many there were.

        Raises `NotFound`, `Held`, `Fenced`.
        """
        place = self._place(id)
        count = place.last - place.first + 1
        if count:
            self._cut(place, first=place.last + 1, last=place.last)
            self._sweep(place.no, below=place.last + 1)
        return count

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many sessions and messages the owner has, and the messages' bytes."""
        (sessions,) = self.tx.one("session_count", owner=self.owner) or (0,)
        messages, size = self.tx.one("session_usage", owner=self.owner) or (0, 0)
        return {"session": (sessions, 0), "message": (messages, size)}

    def tidy(self, limit: int) -> bool:
        """Delete messages of sessions that were deleted or cleared."""
        row = self.tx.one("leftover_next", kind=self.name)
        if row is None:
            return False
        no, below = row
        if self.tx.run("message_sweep", session=no, below=below, limit=limit) < limit:
            self.tx.run("leftover_done", kind=self.name, no=no)
        return True

    def _change(self, row: Row, changes: dict[str, object]) -> Session:
        (_, _, id, _, _, status, title, _, metadata, tags, most, *_) = row
        values = {
            "title": title,
            "status": status,
            "metadata": metadata,
            "tags": tags,
            "max_context_messages": most,
        }
        values |= {name: new for name, new in changes.items() if new is not UNSET}
        self.tx.run("session_change", no=row[0], now=self.tx.now, **values)
        return _session(self._found(id))

    def _row(self, id: str) -> Row | None:
        return self.tx.one("session_get", owner=self.owner, id=id)

    def _found(self, id: str) -> Row:
        row = self._row(id)
        if row is None:
            raise NotFound("session", id)
        return row

    def _read_place(self, id: str) -> _Place:
        return self._place(id, writing=False)

    def _place(self, id: str, *, writing: bool = True) -> _Place:
        row = self.tx.one("session_place", owner=self.owner, id=id, now=self.tx.now)
        if row is None:
            raise NotFound("session", id)
        no, revision, first, last, fence = row
        if writing:
            self._pass(id, fence=fence)
        return _Place(no, revision, first, max(last or 0, first - 1))

    def _expect(self, id: str, place: _Place, expect: int | None) -> None:
        if expect is not None and expect != place.version:
            raise Conflict("session", id, expected=expect, found=place.version)

    def _same(self, session: str, place: _Place, draft: Draft) -> Message | None:
        row = self.tx.one(
            "message_by_id", id=draft.id, session=place.no, first=place.first
        )
        if row is None:
            return None
        there = _message(session, row)
        wanted = (draft.role, draft.content.value, codec.value_of(draft.metadata))
        if (there.role, there.content, there.metadata) != wanted:
            raise AlreadyExists("message", there.id)
        return there

    def _add(self, session: str, no: int, position: int, draft: Draft) -> Message:
        tx = self.tx
        id = draft.id or tx.new_id()
        tx.run(
            "message_add",
            no=tx.new_no(),
            owner=self.owner,
            session=no,
            position=position,
            id=id,
            now=tx.now,
            role=draft.role,
            content=draft.content.text,
            metadata=codec.text_of(draft.metadata),
        )
        return Message(
            id=id,
            session=session,
            position=position,
            role=draft.role,
            content=draft.content.value,
            metadata=codec.value_of(draft.metadata),
            created_at=to_datetime(tx.now),
        )

    def _page_on(
        self, id: str, place: _Place, start: int, end: int, limit: int, cursor: str | None
    ) -> Page[Message]:
        if cursor is not None:
            start = max(start, int(place_of(cursor, int)[0]))
        rows = self.tx.all(
            "message_page_on",
            session=place.no,
            start=start,
            before=end,
            limit=limit + 1,
        )
        more = cursor_of(rows[limit][1]) if len(rows) > limit else None
        return Page((_message(id, row) for row in rows[:limit]), more)

    def _cut(self, place: _Place, *, first: int, last: int) -> None:
        revision = place.version + 1 - last
        self.tx.run(
            "session_cut", no=place.no, revision=revision, first=first, now=self.tx.now
        )

    def _sweep(self, no: int, *, below: int) -> None:
        swept = self.tx.run(
            "message_sweep", session=no, below=below, limit=_SWEPT_AT_ONCE
        )
        if swept == _SWEPT_AT_ONCE:
            self.tx.run("leftover_add", kind=self.name, no=no, below=below)
            self.tx.untidy()

    def _tag(self, no: int, created_at: int, tags: tuple[str, ...]) -> None:
        for tag in tags:
            self.tx.run(
                "session_tag_add",
                owner=self.owner,
                tag=tag,
                created_at=created_at,
                no=no,
            )


def _session(row: Row) -> Session:
    (_, owner, id, created_at, updated_at, status, title, parent, metadata, tags,
     most, revision, first, newest, newest_at, orphaned) = row  # fmt: skip
    last = max(newest or 0, first - 1)
    return Session(
        id=id,
        owner=owner,
        title=title,
        status=SessionStatus(status),
        parent=parent,
        orphaned=bool(orphaned),
        metadata=codec.decode(metadata),  # type: ignore[arg-type]
        tags=tuple(codec.decode(tags)),  # type: ignore[arg-type]
        max_context_messages=most,
        version=revision + last,
        message_count=last - first + 1,
        created_at=to_datetime(created_at),
        updated_at=to_datetime(max(updated_at, newest_at or 0)),
    )


def _message(session: str, row: Row) -> Message:
    id, position, role, content, metadata, created_at = row
    return Message(
        id=id,
        session=session,
        position=position,
        role=role,
        content=codec.decode(content),
        metadata=codec.decode(metadata),  # type: ignore[arg-type]
        created_at=to_datetime(created_at),
    )
