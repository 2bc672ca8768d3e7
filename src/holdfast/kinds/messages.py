"""Messages: what is said in a session, in order.

Answers for: adding to a conversation, reading it from either end, taking from its end.
Leaves to others: the session itself (`sessions`), how a message looks
(`session_records`).
Always holds: positions run without a gap from a session's first message to its newest.
"""

from collections.abc import Sequence

import msgspec

from holdfast import codec
from holdfast.clock import number_in, to_datetime
from holdfast.contract import Kind, every_page, operation, query
from holdfast.edges import Count, Id, Name, Object, PageSize, Value
from holdfast.engine import Row
from holdfast.errors import AlreadyExists, Conflict, NotFound
from holdfast.kinds.session_records import Draft, Drafts, Message, message_of
from holdfast.page import Page, cursor_of, place_of

LAST = 2**62
"""Past every position, and every time."""
_SWEPT_AT_ONCE = 1_000


class Place(msgspec.Struct, frozen=True):
    """Where a session stands: its row, its version, its first and newest position."""

    no: int
    revision: int
    first: int
    last: int

    @property
    def version(self) -> int:
        return self.revision + self.last


class Messages(Kind):
    """The part of the sessions' operations that is about what is said in them."""

    name = "sessions"

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
        drafts: Sequence[Draft] = tuple(messages)  # type: ignore[arg-type]
        place = self._place(id)
        there = self._there(id, place, drafts)
        if any(draft.id not in there for draft in drafts):
            self._expect(id, place, expect)
        kept: list[Message] = []
        last = place.last
        for draft in drafts:
            message = there.get(draft.id)
            if message is None:
                last += 1
                message = self._add(id, place.no, last, draft)
            if draft.id is not None:
                there[draft.id] = message
            kept.append(message)
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
        end = LAST if before is None else before
        if after is not None:
            return self._page_on(
                id, place, max(after + 1, place.first), end, last, cursor
            )
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
        return Page((message_of(id, row) for row in reversed(rows[:last])), more)

    @every_page
    def history(self, id: Id, *, cursor: str | None = None) -> Page[Message]:
        """Every message, oldest first, read page by page. Raises `NotFound`."""
        place = self._read_place(id)
        return self._page_on(id, place, place.first, LAST, self.tx.limits.page, cursor)

    @operation
    def pop(self, id: Id) -> Message | None:
        """Take the newest message off; None if there is none.

        Raises `NotFound`, `Held`, `Fenced`.
        """
        place = self._place(id)
        row = self.tx.one("message_at", session=place.no, position=place.last)
        if row is None or place.last < place.first:
            return None
        self.tx.put("message_pop", session=place.no, position=place.last)
        self._cut(place, first=place.first, last=place.last - 1)
        return message_of(id, row)

    @operation
    def clear(self, id: Id) -> int:
        """Take all messages off; how many there were.

        Raises `NotFound`, `Held`, `Fenced`.
        """
        place = self._place(id)
        count = place.last - place.first + 1
        if count:
            self._cut(place, first=place.last + 1, last=place.last)
            self.sweep(place.no, below=place.last + 1)
        return count

    def tidy(self, limit: int) -> bool:
        """Delete messages of sessions that were deleted or cleared."""
        row = self.tx.one("leftover_next", kind=self.name)
        if row is None:
            return False
        no, below = row
        if self.tx.run("message_sweep", session=no, below=below, limit=limit) < limit:
            self.tx.put("leftover_done", kind=self.name, no=no)
        return True

    def _read_place(self, id: str) -> Place:
        return self._place(id, writing=False)

    def _place(self, id: str, *, writing: bool = True) -> Place:
        row = self.tx.one("session_place", owner=self.owner, id=id, now=self.tx.now)
        if row is None:
            raise NotFound("session", id)
        no, revision, first, last, fence = row
        if writing:
            self._pass(id, fence=fence)
        return Place(no, revision, first, max(last or 0, first - 1))

    def _expect(self, id: str, place: Place, expect: int | None) -> None:
        if expect is not None and expect != place.version:
            raise Conflict("session", id, expected=expect, found=place.version)

    def _there(
        self, session: str, place: Place, drafts: Sequence[Draft]
    ) -> dict[str | None, Message]:
        """The messages that are there already, by id; nothing is written before.

        Raises `AlreadyExists`, also where two drafts have one id and other content.
        """
        there: dict[str | None, Message] = {}
        seen: dict[str, Draft] = {}
        for draft in drafts:
            if draft.id is None:
                continue
            if _said(seen.setdefault(draft.id, draft)) != _said(draft):
                raise AlreadyExists("message", draft.id)
            if draft.id not in there and (found := self._same(session, place, draft)):
                there[draft.id] = found
        return there

    def _same(self, session: str, place: Place, draft: Draft) -> Message | None:
        row = self._by_id(place, draft.id)
        if row is None:
            return None
        there = message_of(session, row)
        if (there.role, there.content, there.metadata) != _said(draft):
            raise AlreadyExists("message", there.id)
        return there

    def _by_id(self, place: Place, id: str | None) -> Row | None:
        """The message with an id: by the row's number in it, or as it was given."""
        where = {"session": place.no, "id": id, "first": place.first}
        no = None if id is None else number_in(id)
        found = None if no is None else self.tx.one("message_numbered", no=no, **where)
        return found or self.tx.one("message_given", **where)

    def _add(self, session: str, no: int, position: int, draft: Draft) -> Message:
        tx = self.tx
        if draft.id is not None:
            tx.put("message_unhide", session=no, id=draft.id)
        row_no = tx.new_no()
        id = draft.id or tx.new_id(row_no)
        tx.put(
            "message_add",
            no=row_no,
            owner=self.owner,
            session=no,
            position=position,
            id=id,
            now=tx.now,
            role=draft.role,
            content=draft.content.text,
            metadata=codec.text_of(draft.metadata),
            given=draft.id is not None,
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
        self,
        id: str,
        place: Place,
        start: int,
        end: int,
        limit: int,
        cursor: str | None,
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
        return Page((message_of(id, row) for row in rows[:limit]), more)

    def _cut(self, place: Place, *, first: int, last: int) -> None:
        revision = place.version + 1 - last
        self.tx.put(
            "session_cut", no=place.no, revision=revision, first=first, now=self.tx.now
        )

    def sweep(self, no: int, *, below: int) -> None:
        """Delete messages of a session below a position; many of them in slices."""
        swept = self.tx.run(
            "message_sweep", session=no, below=below, limit=_SWEPT_AT_ONCE
        )
        if swept == _SWEPT_AT_ONCE:
            self.tx.put("leftover_add", kind=self.name, no=no, below=below)
            self.tx.untidy()


def _said(draft: Draft) -> tuple[object, ...]:
    return draft.role, draft.content.value, codec.value_of(draft.metadata)
