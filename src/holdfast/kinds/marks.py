"""Marks: what a session showed at some time, kept as it was; and going back to it.

Answers for: marking a session, reading a mark, letting go of one, taking a session back
to a position.
Leaves to others: where messages are (`histories`), sessions that share (`forks`).
Always holds: a mark shares the messages that it has, and copies none but what is still
being written; whatever becomes of the session, short of its deletion, the mark has what
it had.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from holdfast.contract import operation, query
from holdfast.edges import Count, Id, PageSize
from holdfast.engine import Row
from holdfast.errors import AlreadyExists, NotFound, Refused
from holdfast.kinds.forks import Forks
from holdfast.kinds.histories import LAST, Place
from holdfast.kinds.session_records import Mark, Message, Session, draft_of, session_of
from holdfast.page import Page

_AT_ONCE = 1_000
_ROWS = 4
"""What is written for a mark that goes: about so many rows."""


class Marks(Forks):
    """The part of the sessions' operations that keeps what they showed."""

    name = "sessions"

    @operation
    def mark(
        self,
        id: Id,
        at: Count | None = None,
        *,
        of: Id | None = None,
        new_id: Id | None = None,
    ) -> Mark:
        """Keep what a session shows up to position `at` (its newest), as it is now.

        It is shared, not copied; a message that is still being written is kept as far
        as it is. With `of`, what that mark keeps is kept once more, for this session.
        Deleting the session lets go of its marks. A `new_id` that is there already, of
        the same session and position, is given back as it is. Raises `NotFound` (the
        session, the mark), `Refused` (no position that can be marked),
        `AlreadyExists`.
        """
        place = self._read_place(id)
        if new_id is not None and (there := self._same_mark(new_id, id, at)):
            return there
        source = place if of is None else _place_of(self._kept_by(of))
        at = self._position(id, source, at)
        return self._marked(id, place.no, source, at, new_id)

    @query
    def get_mark(self, mark: Id) -> Mark:
        """A mark, without the messages that it keeps. Raises `NotFound`."""
        return _mark_of(self._kept_by(mark))

    @query
    def marked(
        self, mark: Id, *, limit: PageSize = 50, cursor: str | None = None
    ) -> Page[Message]:
        """The messages that a mark keeps, oldest first. Raises `NotFound`."""
        row = self._kept_by(mark)
        place = _place_of(row)
        return self._page_on(row[2], place, place.first, LAST, limit, cursor)

    @operation
    def unmark(self, mark: Id) -> bool:
        """Let go of a mark; True only if there was one."""
        self.lock(mark)
        row = self._mark_row(mark)
        if row is not None:
            self._unmark([(row[0], self.owner)])
        return row is not None

    @operation
    def rewind(self, id: Id, at: Count, *, expect: Count | None = None) -> Session:
        """Take a session back to position `at`: what came after is taken off.

        Sessions and marks that share it keep it. Raises `NotFound`, `Conflict` (the
        session is not at version `expect`), `Refused` (it has no such position),
        `Held`, `Fenced`.
        """
        place = self._place(id)
        at = self._position(id, place, at)
        if at < place.last:
            self._expect(id, place, expect)
            self._cut(self._taken_back(place, at), first=place.first, last=at)
            self.forget_summaries(place.no, beyond=at)
        return session_of(self._found(id))

    def extend_marked(self, id: str, messages: Sequence[dict[str, Any]]) -> Mark:
        """Add messages as `extend` does, and mark what the session then shows."""
        limits = self.tx.limits
        drafts = [
            draft_of(item, f"messages[{n}]", limits) for n, item in enumerate(messages)
        ]
        place = self._place(id, writing=bool(drafts))
        _, place = self._extended(id, place, drafts)
        return self._marked(id, place.no, place, place.last)

    def version_with(self, id: str, mark: str) -> int | None:
        """The version of a session, if a mark is one of its; else None."""
        row = self._mark_row(mark)
        if row is None or row[2] != id:
            return None
        return self._read_place(id).version

    def let_go(self, session: int) -> None:
        """Let go of all marks of a session, which goes; of many, by and by."""
        found = self._marks(session, _AT_ONCE + 1)
        if len(found) > _AT_ONCE:
            self._unshown(session)
        else:
            self._unmark(found)

    def tidy(self, limit: int) -> bool:
        """Let go of marks whose session is gone; then as `Histories`."""
        row = self.tx.one("leftover_next", kind=self.name)
        if row is None:
            return False
        found: Sequence[Row] = ()
        if self.tx.one("session_now", no=row[0]) is None:
            found = self._marks(row[0], max(1, limit // _ROWS))
        self._unmark(found)
        return bool(found) or super().tidy(limit)

    def _marked(
        self, id: str, session: int, source: Place, at: int, new_id: str | None = None
    ) -> Mark:
        """A new mark of a session, of what a place shows up to a position."""
        no = self.tx.new_no()
        made = Mark(
            id=new_id or self.tx.new_id(no), session=id, first=source.first, last=at
        )
        self.tx.put(
            "mark_add",
            no=no,
            owner=self.owner,
            id=made.id,
            session=session,
            first=made.first,
            last=made.last,
        )
        if at >= source.first:
            self._share(id, source, no, at)
        return made

    def _kept_by(self, mark: str) -> Row:
        row = self._mark_row(mark)
        if row is None:
            raise NotFound("mark", mark)
        return row

    def _mark_row(self, mark: str) -> Row | None:
        row = self.tx.one("mark_get", owner=self.owner, id=mark)
        return None if row is None or row[2] is None else row

    def _marks(self, session: int, limit: int) -> Sequence[Row]:
        return self.tx.all("mark_list", session=session, limit=limit)

    def _same_mark(self, mark: str, id: str, at: int | None) -> Mark | None:
        """The mark of an id, if it keeps the same. Raises `AlreadyExists`.

        One that is still to be let go of, its session being gone, makes place.
        """
        self.lock(mark)
        row = self.tx.one("mark_get", owner=self.owner, id=mark)
        if row is None:
            return None
        if row[2] is None:
            self._unmark([(row[0], self.owner)])
            return None
        there = _mark_of(row)
        if there.session != id or at not in {None, there.last}:
            raise AlreadyExists("mark", mark)
        return there

    def _unmark(self, marks: Sequence[Row]) -> None:
        """Let go of marks, each by its number and its owner."""
        asked = [{"owner": owner, "session": no} for no, owner in marks]
        found = self.tx.each("segment_lines", asked)
        for where in asked:
            self.tx.put("segment_drop", **where, after=0)
        self.tx.put_each("mark_drop", ({"owner": o, "no": no} for no, o in marks))
        for line in sorted({line for lines in found for (line,) in lines}):
            self._unshown(line)

    def _position(self, id: str, place: Place, at: int | None) -> int:
        at = place.last if at is None else at
        if not place.first - 1 <= at <= place.last:
            raise Refused(
                f"session {id!r} has messages {place.first} to {place.last}, and none "
                f"at {at}; nothing was written"
            )
        return at

    def _taken_back(self, place: Place, at: int) -> Place:
        """The place when all messages after a position leave; others keep them."""
        if at >= place.own - 1:
            return place if self._swept(place, at) else self._turned(place, at)
        where = {"owner": self.owner, "session": place.no}
        beyond = {
            line for _, last, line in self._segments(place, place.base) if last > at
        }
        self.tx.put("segment_drop", **where, after=at)
        self.tx.put("segment_end", **where, last=at)
        for line in sorted(beyond | {place.line}):
            self._unshown(line)
        return self._lined(msgspec.structs.replace(place, base=at))


def _mark_of(row: Row) -> Mark:
    _, id, session, first, last = row
    return Mark(id=id, session=session, first=first, last=last)


def _place_of(row: Row) -> Place:
    """Where what a mark keeps is: all of it where its segments say."""
    no, _, _, first, last = row
    return Place(no=no, revision=0, first=first, last=last, base=last, line=no)
