"""Messages: what is said in a session, in order.

Answers for: adding to a conversation, reading it from either end, taking from its end.
Leaves to others: the session itself (`sessions`), how a message looks
(`session_records`).
Always holds: positions run without a gap from a session's first message to its newest.
"""

from collections.abc import Sequence

import msgspec

from holdfast import codec
from holdfast.clock import to_datetime
from holdfast.contract import every_page, operation, query
from holdfast.edges import Count, Id, Name, Object, PageSize, Value
from holdfast.engine import Row
from holdfast.errors import AlreadyExists, Conflict
from holdfast.kinds.histories import LAST, Histories, Place
from holdfast.kinds.quotas import Added, watch
from holdfast.kinds.session_records import Draft, Drafts, Message, message_of
from holdfast.page import Page, cursor_of, place_of


class Messages(Histories):
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
        if message_id is not None and (there := self._there(id, place, [draft])):
            return there[message_id]
        self._expect(id, place, expect)
        message = self._add(id, place, place.last + 1, draft)
        watch(self.tx, Added(id, place.line, place.first, message.position, draft))
        return message

    @operation
    def extend(
        self, id: Id, messages: Drafts, *, expect: Count | None = None
    ) -> tuple[Message, ...]:
        """Add messages at the end, all of them or none.

        Each is a dict of `role` and `content`, and perhaps `id`, `metadata`,
        `created_at` (for what was said before it came here) and `partial` (for what
        broke off). Raises as `append` does.
        """
        drafts: Sequence[Draft] = tuple(messages)  # type: ignore[arg-type]
        kept, _ = self._extended(id, self._place(id), drafts, expect)
        return kept

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
        rows = self._back(place, end, last + 1)
        more = cursor_of(rows[last - 1][1]) if len(rows) > last else None
        return Page(reversed(self._shown(id, rows[:last])), more)

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
        row = self._at(place, place.last)
        if row is None:
            return None
        (taken,) = self._shown(id, [row])
        self._cut(self._without(place, row), first=place.first, last=place.last - 1)
        self.forget_summaries(place.no, beyond=place.last - 1)
        return taken

    @operation
    def clear(self, id: Id) -> int:
        """Take all messages off; how many there were.

        Raises `NotFound`, `Held`, `Fenced`.
        """
        place = self._place(id)
        count = place.last - place.first + 1
        if count:
            if self._release(place):
                place = self._lined(place)
            self._cut(place, first=place.last + 1, last=place.last)
            self.forget_summaries(place.no, beyond=0)
        return count

    def _extended(
        self, id: str, place: Place, drafts: Sequence[Draft], expect: int | None = None
    ) -> tuple[tuple[Message, ...], Place]:
        """The messages of drafts, those added that were not there; the place then."""
        there = self._there(id, place, drafts)
        if any(draft.id not in there for draft in drafts):
            self._expect(id, place, expect)
        kept: list[Message] = []
        last = place.last
        for draft in drafts:
            message = there.get(draft.id)
            if message is None:
                last += 1
                message = self._add(id, place, last, draft)
                watch(self.tx, Added(id, place.line, place.first, last, draft))
            if draft.id is not None:
                there[draft.id] = message
            kept.append(message)
        return tuple(kept), msgspec.structs.replace(place, last=last)

    def _expect(self, id: str, place: Place, expect: int | None) -> None:
        if expect is not None and expect != place.version:
            raise Conflict("session", id, expected=expect, found=place.version)

    def _there(
        self, session: str, place: Place, drafts: Sequence[Draft]
    ) -> dict[str | None, Message]:
        """The messages that are there already, by id; nothing is written before.

        Raises `AlreadyExists`, also where two drafts have one id and other content.
        """
        seen: dict[str, Draft] = {}
        for draft in drafts:
            if draft.id is None:
                continue
            if _said(seen.setdefault(draft.id, draft)) != _said(draft):
                raise AlreadyExists("message", draft.id)
        rows = self._by_ids(place, list(seen))
        there = self._shown(session, list(rows.values()))
        for message in there:
            said = (message.role, message.content, message.metadata)
            if said != _said(seen[message.id]):
                raise AlreadyExists("message", message.id)
        return {message.id: message for message in there}

    def _add(self, session: str, place: Place, position: int, draft: Draft) -> Message:
        tx, line = self.tx, place.line
        if draft.partial:
            self._only_newer()
        if draft.id is not None and place.first > 1:
            tx.put("message_unhide", session=line, id=draft.id, first=place.first)
        row_no = tx.new_no()
        id = draft.id or tx.new_id(row_no)
        created_at = tx.now if draft.created_at is None else draft.created_at
        tx.put(
            "message_add",
            no=row_no,
            owner=self.owner,
            session=line,
            position=position,
            id=id,
            created_at=created_at,
            role=draft.role,
            content=draft.content.text,
            metadata=codec.text_of(draft.metadata),
            given=draft.id is not None,
            partial=draft.partial,
        )
        return Message(
            id=id,
            session=session,
            position=position,
            role=draft.role,
            content=draft.content.value,
            metadata=codec.value_of(draft.metadata),
            created_at=to_datetime(created_at),
            partial=draft.partial,
        )

    def _shown(self, session: str, rows: Sequence[Row]) -> list[Message]:
        """The messages of rows; those that are partial with all that came of them."""
        growing = [row[7] for row in rows if row[6]]
        asked = [{"owner": self.owner, "message": no} for no in growing]
        found = self.tx.each("parts_of", asked) if growing else ()
        more = {
            no: "".join(codec.decode(text) for _, text in sorted(parts))
            for no, parts in zip(growing, found, strict=True)
        }
        return [message_of(session, row, more.get(row[7], "")) for row in rows]

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
        rows = self._on(place, start, end, limit + 1)
        more = cursor_of(rows[limit][1]) if len(rows) > limit else None
        return Page(self._shown(id, rows[:limit]), more)

    def forget_summaries(self, no: int, *, beyond: int) -> None:
        """Delete a session's summaries of what is not so any more after a position.

        To be called when messages leave, or are changed, with the last position that
        is as it was.
        """
        self.tx.put("summary_forget", owner=self.owner, session=no, beyond=beyond)


def _said(draft: Draft) -> tuple[object, ...]:
    return draft.role, draft.content.value, codec.value_of(draft.metadata)
