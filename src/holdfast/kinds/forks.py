"""Forks: sessions that go on from somewhere in another one, and share what was said.

Answers for: forking a session, its family, changing a message that others may share.
Leaves to others: where the messages of a session are (`histories`).
Always holds: nothing is copied when a session is forked, but what is still being
written; and no session sees what becomes of another one after that.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import UNSET, UnsetType

from holdfast import codec
from holdfast.contract import operation, query
from holdfast.edges import Count, Id, Object, PageSize, Text, Value
from holdfast.engine import Row
from holdfast.errors import AlreadyExists, NotFound, Refused
from holdfast.kinds.histories import LAST, Part, Place
from holdfast.kinds.messages import Messages
from holdfast.kinds.session_records import Family, Message, Session, session_of


class Forks(Messages):
    """The part of the sessions' operations that is about sessions of one family."""

    name = "sessions"

    @operation
    def fork(
        self,
        id: Id,
        at: Count | None = None,
        title: Text | None = None,
        *,
        new_id: Id | None = None,
    ) -> Session:
        """Begin a session that goes on from position `at` of another (its newest).

        What was said up to there is shared, not copied, and stays as it is for both,
        whatever becomes of either. The title is the other's, if none is given; its
        metadata, tags, `max_context_messages` and newest summary come along. A message
        that is still being written comes as far as it is, and stays so.

        A `new_id` that is there already, forked by the same call, is given back. Raises
        `NotFound`, `Refused` (no position that it can go on from), `AlreadyExists`.
        """
        place, row = self._read_place(id), self._found(id)
        if title is None:
            title = row[6]
        if new_id is not None:
            self.lock(new_id)
            if there := self._row(new_id):
                return _same_fork(session_of(there), id, at, title)
        at = place.last if at is None else at
        if not place.first - 1 <= at <= place.last:
            raise Refused(
                f"session {id!r} has messages {place.first} to {place.last}, and none "
                f"at {at} to go on from; nothing was written"
            )
        new_id = new_id or self.tx.new_id()
        no = self._add_fork(row, new_id, title, at)
        if at >= place.first:
            self._share(id, place, no, at)
            self._bring_summary(place, no, at)
        return session_of(self._found(new_id))

    @operation
    def amend(
        self,
        id: Id,
        message_id: Id,
        content: Value,
        *,
        metadata: Object | UnsetType = UNSET,
        expect: Count | None = None,
    ) -> Message:
        """Have a message say something else; sessions that share it keep what it said.

        Its id, place, role and time stay. Raises `NotFound` (the session, the message),
        `Conflict` (the session is not at version `expect`), `Refused` (the message is
        still being written), `Held`, `Fenced`.
        """
        place = self._place(id)
        row = self._by_id(place, message_id)
        if row is None:
            raise NotFound("message", message_id)
        said = {
            "content": codec.document(content).text,
            "metadata": row[4] if metadata is UNSET else codec.text_of(metadata),
        }
        if row[6]:
            raise Refused(
                f"message {message_id!r} is still being written; nothing was changed: "
                "end it first (sessions.end_reply)"
            )
        if (row[3], row[4]) != (said["content"], said["metadata"]):
            self._expect(id, place, expect)
            after = self._with(place, row, said)
            self._cut(after, first=place.first, last=place.last)
            self.forget_summaries(place.no, beyond=row[1] - 1)
        (message,) = self._shown(id, [(*row[:3], *said.values(), *row[5:])])
        return message

    @query
    def family(self, id: Id, *, limit: PageSize = 100) -> Family:
        """A session's ancestors and descendants by `parent`, the nearest first.

        At most `limit` of each. Raises `NotFound`.
        """
        session = session_of(self._found(id))
        known = {id}
        ancestors = list(_take(self._ancestors(session, known), limit + 1))
        descendants = list(_take(self._descendants(session, known, limit), limit + 1))
        return Family(
            session=session,
            ancestors=tuple(ancestors[:limit]),
            descendants=tuple(descendants[:limit]),
            more=max(len(ancestors), len(descendants)) > limit,
        )

    def _add_fork(self, source: Row, id: str, title: str, at: int) -> int:
        _, _, parent, _, _, _, _, _, metadata, tags, most, _, first, *_ = source
        self.tx.put(
            "session_fork",
            no=(no := self.tx.new_no()),
            owner=self.owner,
            id=id,
            now=self.tx.now,
            title=title,
            parent=parent,
            metadata=metadata,
            tags=tags,
            max_context_messages=most,
            first=first,
            forked_at=at,
        )
        self._tag(no, self.tx.now, tuple(codec.decode(tags)))
        return no

    def _share(self, id: str, place: Place, no: int, at: int) -> None:
        """Give a new one what it shares, and copies of what is still being written."""
        parts = self._segments(place, at)
        asked = [
            {"owner": self.owner, "session": line, "first": first, "last": last}
            for first, last, line in parts
        ]
        found = self.tx.each("message_partial", asked)
        growing = [row for rows in found for row in rows]
        for row, message in zip(growing, self._shown(id, growing), strict=True):
            parts = list(_with_own(parts, message.position, no))
            said = {"content": codec.document(message.content).text, "metadata": row[4]}
            self._copy(no, row, said)
        self._add_segments(no, parts)
        self._only_newer()

    def _bring_summary(self, place: Place, no: int, at: int) -> None:
        where = {"owner": self.owner, "start": place.first, "upto": at + 1}
        row = self.tx.one("summary_nearest", session=place.no, **where)
        if row is not None:
            upto, text, created_at = row
            self.tx.put(
                "summary_add",
                no=self.tx.new_no(),
                owner=self.owner,
                session=no,
                upto=upto,
                now=created_at,
                text=text,
            )

    def _with(self, place: Place, row: Row, said: dict[str, Any]) -> Place:
        """The place when a message says something else; others keep its row."""
        position, no, line = row[1], row[7], row[8]
        shared = line == place.line and self._shared(place, position, position)
        if line == place.line and not shared:
            self.tx.put("message_change", owner=self.owner, no=no, **said)
            return place
        if shared:
            place = self._turned(place, place.last)
        else:
            self._unshown(line)
        self._copy(place.line, row, said)
        self._set_own(place, position)
        return place

    def _set_own(self, place: Place, position: int) -> None:
        """Have one position, which a segment has, be in the session's own line."""
        (segment,) = self.tx.all(
            "segment_page_back",
            owner=self.owner,
            session=place.no,
            before=position + 1,
            limit=1,
        )
        no, *part = segment
        (_, last, line), *more = _with_own([tuple(part)], position, place.line)
        self.tx.put("segment_put", owner=self.owner, no=no, last=last, source=line)
        self._add_segments(place.no, more)

    def _copy(self, line: int, row: Row, said: dict[str, Any]) -> None:
        """Put a message into a line too, at the same position and by the same id."""
        id, position, role, _, _, created_at, partial, *_ = row
        self.tx.put(
            "message_add",
            no=self.tx.new_no(),
            owner=self.owner,
            session=line,
            position=position,
            id=id,
            created_at=created_at,
            role=role,
            given=True,
            partial=partial,
            **said,
        )

    def _ancestors(self, session: Session, known: set[str]) -> Iterator[Session]:
        parent = session.parent
        while parent is not None and parent not in known:
            row = self._row(parent)
            if row is None:
                return
            known.add(parent)
            yield (found := session_of(row))
            parent = found.parent

    def _descendants(
        self, session: Session, known: set[str], limit: int
    ) -> Iterator[Session]:
        """One generation after another, each asked for at once."""
        newest = {"owner": self.owner, "before_at": LAST, "before_no": 0}
        parents = [session.id]
        while parents:
            asked = [
                {**newest, "status": None, "limit": limit + 1, "parent": parent}
                for parent in parents
            ]
            parents = []
            for rows in self.tx.each("session_list_parent", asked):
                for child in map(session_of, rows):
                    if child.id not in known:
                        known.add(child.id)
                        parents.append(child.id)
                        yield child


def _same_fork(there: Session, parent: str, at: int | None, title: str) -> Session:
    """A session that was asked for, if it is that fork. Raises `AlreadyExists`."""
    at = there.forked_at if at is None else at
    if at is None or (there.parent, there.title, there.forked_at) != (
        parent,
        title,
        at,
    ):
        raise AlreadyExists("session", there.id)
    return there


def _with_own(parts: Iterable[Part], position: int, line: int) -> Iterator[Part]:
    """Parts of a history, where one position is in a line of its own."""
    for first, last, source in parts:
        if first <= position <= last:
            if first < position:
                yield first, position - 1, source
            yield position, position, line
            if position < last:
                yield position + 1, last, source
        else:
            yield first, last, source


def _take(sessions: Iterator[Session], most: int) -> Iterator[Session]:
    return (session for _, session in zip(range(most), sessions, strict=False))
