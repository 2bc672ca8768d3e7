"""Sessions: conversations, and the messages in them.

Answers for: making, finding, changing and deleting sessions, and a session's version.
Leaves to others: what is said in one (`messages`), how both look (`session_records`),
who may write to a session (leases), what happened when (the journal).
Always holds: `version` grows with every change of a session or of its messages.
"""

import functools

from msgspec import UNSET, UnsetType

from holdfast import codec
from holdfast.clock import to_us
from holdfast.contract import each, operation, query
from holdfast.edges import Count, Id, Object, PageSize, Text, Time
from holdfast.engine import Row, Table
from holdfast.errors import AlreadyExists, Conflict, NotFound, WrongType
from holdfast.guarantees import Promise
from holdfast.kinds.contexts import Contexts
from holdfast.kinds.histories import LAST
from holdfast.kinds.mark_reverts import MarkReverts
from holdfast.kinds.overview_records import Overview
from holdfast.kinds.overviews import Overviews
from holdfast.kinds.rendering import AnyForm, Form, rendered, rendered_json
from holdfast.kinds.replies import Replies
from holdfast.kinds.session_records import (
    AnyStatus,
    Session,
    SessionStatus,
    Tags,
    session_of,
)
from holdfast.kinds.sightings import Sightings
from holdfast.page import Page, cursor_of, place_of


class Sessions(MarkReverts, Contexts, Replies, Sightings, Overviews):
    """Conversations; each call is a transaction of its own, or part of an open one."""

    name = "sessions"
    promise = Promise.DURABLE
    why = "a conversation is the work itself, and nobody can say it again"
    changed_by = "create, append, fork, reply, compact and their like"
    exported = True
    leased = True
    tables = (
        Table(
            "session",
            json=("metadata", "tags"),
            text=("title",),
            numbers=("forked_at",),
        ),
        Table(
            "message",
            json=("content", "metadata"),
            parent=("session", "session"),
            text=("content",),
        ),
        Table("segment", parent=("session", "session")),
        Table("mark", parent=("session", "session")),
        Table("message_part", json=("text",), parent=("message", "message")),
        Table("summary", parent=("session", "session")),
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
            there = session_of(row)
            has = (there.title, there.parent, there.metadata, there.tags)
            if has != wanted or there.max_context_messages != max_context_messages:
                raise AlreadyExists("session", id)
            return there
        if parent is not None:
            self._found(parent)
        id = id or self.tx.new_id()
        self.tx.put(
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
        return session_of(self._found(id))

    @operation
    def admit(
        self,
        id: Id,
        *,
        created_at: Time,
        updated_at: Time | None = None,
        title: Text = "",
        status: AnyStatus = "active",
        parent: Id | None = None,
        metadata: Object = None,
        tags: Tags = (),
        max_context_messages: Count | None = None,
        first: Count = 1,
        version: Count = 0,
        forked_at: Count | None = None,
    ) -> Session:
        """Take in a session that began elsewhere, with its times and its version.

        `first` is the position of the first message that it is given next, `version`
        what it is at before that. Its parent need not be here, and what it has of that
        is its own (`forked_at` is only told). One that is there with equal content is
        given back. Raises `AlreadyExists` (the id, with other content), `WrongType` (a
        version that the positions are past already).
        """
        if first < 1 or version < first - 1:
            raise WrongType(
                f"first: {first:,} is no position that a session at version "
                f"{version:,} goes on from; nothing was written"
            )
        wanted = (title, parent, codec.value_of(metadata), tuple(tags))
        if row := self._row(id):
            there = session_of(row)
            has = (there.title, there.parent, there.metadata, there.tags)
            if has != wanted or there.created_at != created_at:
                raise AlreadyExists("session", id)
            return there
        begun = to_us(created_at)
        self.tx.put(
            "session_admit",
            no=(no := self.tx.new_no()),
            owner=self.owner,
            id=id,
            created_at=begun,
            updated_at=begun if updated_at is None else to_us(updated_at),
            status=SessionStatus(status),
            title=title,
            parent=parent,
            metadata=codec.text_of(metadata),
            tags=codec.text_of(tuple(tags)),
            max_context_messages=max_context_messages,
            revision=version - (first - 1),
            first=first,
            forked_at=forked_at,
        )
        self._tag(no, begun, tuple(tags))
        return session_of(self._found(id))

    @query
    def get(self, id: Id) -> Session:
        """One session, without its messages. Raises `NotFound`."""
        return session_of(self._found(id))

    @query
    def render(self, id: Id, form: AnyForm = "markdown") -> str:
        """A session with all its messages as one text, of one moment.

        `markdown` and `text` are for people: tool calls and other data are laid out,
        messages that broke off are marked, and nothing of it steers a terminal. `json`
        is one document with all that there is, which `import_from` takes. Raises
        `NotFound`.
        """
        size = self.tx.limits.page
        summaries = each(functools.partial(self.summaries, id, limit=size))
        session, said = self.get(id), self.history(id)
        if Form(form) is Form.JSON:
            return rendered_json(session, self.begins(id), said, summaries)
        return rendered(Form(form), session, said, summaries)

    @operation
    def update(
        self,
        id: Id,
        *,
        expect: Count | None = None,
        title: Text | UnsetType = UNSET,
        status: AnyStatus | UnsetType = UNSET,
        metadata: Object | UnsetType = UNSET,
        tags: Tags | UnsetType = UNSET,
        max_context_messages: Count | None | UnsetType = UNSET,
    ) -> Session:
        """Change what is named, and leave the rest; `expect` is the session's version.

        Raises `NotFound`, `Conflict` (another version), `Held`, `Fenced`.
        """
        row = self._found(id)
        self.guard(id)
        there = session_of(row)
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
            self.tx.put("session_tag_drop", no=row[0])
            self._tag(row[0], row[3], tuple(tags))
        return self._change(row, changes)

    @query
    def list(
        self,
        *,
        status: AnyStatus | None = None,
        tag: Id | None = None,
        parent: Id | None = None,
        created_before: Time | None = None,
        limit: PageSize = 50,
        cursor: str | None = None,
    ) -> Page[Session]:
        """Sessions, newest first; messages are never read."""
        before_at, before_no = LAST, 0
        if created_before is not None:
            before_at = to_us(created_before)
        if cursor is not None:
            at, before_no = (int(part) for part in place_of(cursor, int, int))
            before_at = min(before_at, at)
        values: dict[str, object] = {"owner": self.owner, "limit": limit + 1}
        values |= {"before_at": before_at, "before_no": before_no}
        filters = {"status": status and SessionStatus(status).value, "parent": parent}
        if tag is not None:
            rows = self.tx.all("session_list_tag", tag=tag, **values, **filters)
        elif parent is not None:
            rows = self.tx.all("session_list_parent", **values, **filters)
        elif status is not None:
            rows = self.tx.all(
                "session_list_status", status=SessionStatus(status).value, **values
            )
        else:
            rows = self.tx.all("session_list", **values)
        more = len(rows) > limit and cursor_of(rows[limit - 1][3], rows[limit - 1][0])
        return Page(map(session_of, rows[:limit]), more or None)

    @query
    def overviews(
        self,
        *,
        status: AnyStatus | None = None,
        tag: Id | None = None,
        parent: Id | None = None,
        created_before: Time | None = None,
        limit: PageSize = 20,
        cursor: str | None = None,
    ) -> Page[Overview]:
        """Overviews of sessions, newest first, as `list` gives those."""
        found = self.list(
            status=status,
            tag=tag,
            parent=parent,
            created_before=created_before,
            limit=limit,
            cursor=cursor,
        )
        return Page([self.seen_at_once(one.id) for one in found], found.cursor)

    @operation
    def close(self, id: Id) -> Session:
        """Mark a session as completed. Raises `NotFound`, `Held`, `Fenced`."""
        row = self._found(id)
        self.guard(id)
        if row[5] == SessionStatus.COMPLETED:
            return session_of(row)
        return self._change(row, {"status": SessionStatus.COMPLETED})

    @operation
    def delete(self, id: Id) -> bool:
        """Delete a session and its messages; True only if there was one.

        Its children and its tasks stay, and are `orphaned`. Raises `Held`, `Fenced`.
        """
        try:
            place = self._place(id)
        except NotFound:
            return False
        self.tx.put("session_tag_drop", no=place.no)
        self.tx.put("session_drop", no=place.no)
        self.forget_summaries(place.no, beyond=0)
        self.let_go(place.no)
        self._release(place)
        return True

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many sessions and messages the owner has, and the messages' bytes."""
        (sessions,) = self.tx.one("session_count", owner=self.owner) or (0,)
        messages, size = self.tx.one("session_usage", owner=self.owner) or (0, 0)
        return {"session": (sessions, 0), "message": (messages, size)}

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
        self.tx.put("session_change", no=row[0], now=self.tx.now, **values)
        return session_of(self._found(id))
