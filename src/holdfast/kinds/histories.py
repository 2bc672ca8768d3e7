"""Histories: where the messages of a session are, its own and those that it shares.

Answers for: a session's place, reading its messages from either end, finding one, which
of them others share, and what becomes of those that nobody shows any more.
Leaves to others: what a message says (`messages`), sessions that share (`forks`).
Always holds: a message that a session shows is a row of one line, at its position;
what another session shows is neither changed nor deleted.

The rows of a session's own messages are its line: a number, at first the session's own.
Up to its `base`, segments say in which lines a session's messages are; they are next to
each other, and begin at its first message. What comes after is in its own line. When it
changes a message that others share, it leaves its line to them and begins a new one:
so nobody needs to write to a session that is not their own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from holdfast.clock import number_in
from holdfast.engine import Row
from holdfast.errors import NotFound
from holdfast.kinds.session_rows import SessionRows
from holdfast.schema.format import SHARING

LAST = 2**62
"""Past every position, and every time."""
Part: TypeAlias = tuple[int, int, int]
"""A part of a history: its first and last position, and the line that they are in."""
_SWEPT_AT_ONCE = 1_000


class Place(msgspec.Struct, frozen=True):
    """Where a session stands: its row, its version, its first and newest position.

    Up to `base` its messages are where its segments say; its own are in `line`.
    """

    no: int
    revision: int
    first: int
    last: int
    base: int
    line: int

    @property
    def version(self) -> int:
        return self.revision + self.last

    @property
    def own(self) -> int:
        """The position from which on all messages are in its own line."""
        return max(self.first, self.base + 1)

    @property
    def shares(self) -> bool:
        """Whether segments say where some of its messages are."""
        return self.first <= self.base


class Histories(SessionRows):
    """The part of the sessions' operations that knows where messages are."""

    name = "sessions"

    def _place(self, id: str, *, writing: bool = True) -> Place:
        row = self.tx.one("session_place", owner=self.owner, id=id, now=self.tx.now)
        if row is None:
            raise NotFound("session", id)
        no, revision, first, newest, fence, base, line = row
        if writing:
            self._pass(id, fence=fence)
        last = max(newest or 0, first - 1, base)
        return Place(no, revision, first, last, base, line)

    def _read_place(self, id: str) -> Place:
        return self._place(id, writing=False)

    def begins(self, id: str) -> int:
        """The position of a session's first message, or of the one that will be."""
        return self._read_place(id).first

    def _back(self, place: Place, before: int, limit: int) -> list[Row]:
        """The newest messages before a position, newest first."""
        before = min(before, place.last + 1)
        rows: list[Row] = []
        if before > place.own or not place.shares:
            rows = self.tx.all(
                "message_page_back",
                session=place.line,
                first=place.own,
                before=before,
                limit=limit,
            )
        if place.shares and len(rows) < limit:
            rows += self._shared_back(place, min(before, place.own), limit - len(rows))
        return rows

    def _on(self, place: Place, start: int, before: int, limit: int) -> list[Row]:
        """The oldest messages from a position on, oldest first."""
        start, before = max(start, place.first), min(before, place.last + 1)
        rows: list[Row] = []
        if start < place.own:
            rows = self._shared_on(place, start, min(before, place.own), limit)
        if before > place.own and len(rows) < limit:
            rows += self.tx.all(
                "message_page_on",
                session=place.line,
                start=max(start, place.own),
                before=before,
                limit=limit - len(rows),
            )
        return rows

    def _at(self, place: Place, position: int) -> Row | None:
        """The message at one position."""
        rows = self._back(place, position + 1, 1)
        return rows[0] if rows and rows[0][1] == position else None

    def _by_id(self, place: Place, id: str) -> Row | None:
        """The message with an id: by the row's number in it, or as it was given."""
        return self._by_ids(place, [id]).get(id)

    def _by_ids(self, place: Place, ids: Sequence[str]) -> dict[str, Row]:
        """Messages by their ids, as far as they are there; asked for all at once."""
        own = {"session": place.line, "first": place.own}
        found = self._asked("message_numbered", "message_given", own, ids)
        if place.shares:
            rest = [id for id in ids if id not in found]
            shared = {"owner": self.owner, "session": place.no}
            names = ("message_numbered_shared", "message_given_shared")
            found |= self._asked(*names, shared, rest)
        return found

    def _asked(
        self, numbered: str, given: str, where: Mapping[str, object], ids: Sequence[str]
    ) -> dict[str, Row]:
        asked = [
            {**where, "id": id, "no": no}
            for id in ids
            if (no := number_in(id)) is not None
        ]
        rows = self.tx.each(numbered, asked)
        found = {row[0]: row for one in rows for row in one}
        asked = [{**where, "id": id} for id in ids if id not in found]
        rows = self.tx.each(given, asked)
        return found | {row[0]: row for one in rows for row in one}

    def _shared_back(self, place: Place, before: int, limit: int) -> list[Row]:
        segments = self.tx.all(
            "segment_page_back",
            owner=self.owner,
            session=place.no,
            before=before,
            limit=limit,
        )
        asked = []
        for _, first, last, line in segments:
            end = min(last + 1, before)
            where = {"session": line, "first": first, "before": end}
            asked.append({**where, "limit": limit})
            limit -= end - first
            if limit <= 0:
                break
        found = self.tx.each("message_page_back", asked)
        return [row for rows in found for row in rows]

    def _shared_on(
        self, place: Place, start: int, before: int, limit: int
    ) -> list[Row]:
        segments = self.tx.all(
            "segment_page_on",
            owner=self.owner,
            session=place.no,
            start=start,
            before=before,
            limit=limit,
        )
        asked = []
        for _, first, last, line in segments:
            begin, end = max(first, start), min(last + 1, before)
            where = {"session": line, "start": begin, "before": end}
            asked.append({**where, "limit": limit})
            limit -= end - begin
            if limit <= 0:
                break
        found = self.tx.each("message_page_on", asked)
        return [row for rows in found for row in rows]

    def _segments(self, place: Place, upto: int) -> list[Part]:
        """Where all messages of a session are, up to a position."""
        rows: list[Row] = []
        if place.shares:
            rows = self.tx.all(
                "segment_page_on",
                owner=self.owner,
                session=place.no,
                start=place.first,
                before=upto + 1,
                limit=LAST,
            )
        parts = [(first, min(last, upto), line) for _, first, last, line in rows]
        if place.own <= upto:
            parts.append((place.own, upto, place.line))
        return parts

    def _add_segments(self, no: int, parts: Iterable[Part]) -> None:
        for first, last, line in parts:
            self.tx.put(
                "segment_add",
                no=self.tx.new_no(),
                owner=self.owner,
                session=no,
                first=first,
                last=last,
                source=line,
            )

    def _shared(self, place: Place, first: int, last: int) -> bool:
        """Whether another session shows some of what stands in this one's line."""
        found = self.tx.one(
            "segment_of_others",
            owner=self.owner,
            session=place.no,
            source=place.line,
            first=first,
            last=last,
        )
        return found is not None

    def _without(self, place: Place, row: Row) -> Place:
        """The place when the newest message leaves; it stays where others show it."""
        *_, partial, no, line = row
        last = place.last - 1
        if place.last <= place.base:
            self.tx.put("segment_drop", owner=self.owner, session=place.no, after=last)
            self.tx.put("segment_end", owner=self.owner, session=place.no, last=last)
        if line != place.line:
            self._unshown(line)
        elif self._shared(place, place.last, place.last):
            return self._turned(place, last)
        else:
            if partial:
                self.tx.put("part_drop", owner=self.owner, message=no)
            self.tx.put("message_pop", session=line, position=place.last)
        return place

    def _turned(self, place: Place, upto: int) -> Place:
        """The place when a session leaves its line to those who share it.

        Its own messages up to a position stay where they are.
        """
        if place.own <= upto:
            self._add_segments(place.no, [(place.own, upto, place.line)])
        self._unshown(place.line)
        return self._lined(msgspec.structs.replace(place, base=max(place.base, upto)))

    def _lined(self, place: Place) -> Place:
        """The place with a new line, whose number is that of no session.

        The session's own row has to be changed in the same transaction: where a number
        is the one of the next change, that makes no session.
        """
        return msgspec.structs.replace(place, line=self.tx.new_no())

    def _cut(self, place: Place, *, first: int, last: int) -> None:
        """Have the session stand from `first` to `last`, its version moved by one."""
        self.tx.put(
            "session_cut",
            no=place.no,
            revision=place.version + 1 - last,
            first=first,
            base=min(place.base, last),
            line=None if place.line == place.no else place.line,
            now=self.tx.now,
        )

    def _swept(self, place: Place, after: int) -> bool:
        """Delete a session's own messages after a position, if few and not shared."""
        if place.last - after > _SWEPT_AT_ONCE or self._shared(place, after + 1, LAST):
            return False
        gone = {"session": place.line, "first": after + 1, "below": place.last + 1}
        self.tx.put("part_sweep", **gone)
        self.tx.put("message_sweep", **gone, limit=_SWEPT_AT_ONCE)
        return True

    def _release(self, place: Place) -> bool:
        """Let go of all messages of a session; whether others share its line."""
        for line in self._lines(place):
            self._unshown(line)
        if self._shared(place, 0, LAST):
            self._unshown(place.line)
            return True
        self.tx.put("part_sweep", session=place.line, first=0, below=LAST)
        where = {"session": place.line, "first": 0}
        below = place.last + 1
        self.tx.put("message_sweep", **where, below=below, limit=_SWEPT_AT_ONCE)
        if self.tx.one("message_page_back", **where, before=below, limit=1):
            self._unshown(place.line)
        return False

    def _lines(self, place: Place) -> list[int]:
        """The lines of others that a session's segments name, which are dropped."""
        if not place.shares:
            return []
        where = {"owner": self.owner, "session": place.no}
        found = self.tx.all("segment_lines", **where)
        self.tx.put("segment_drop", **where, after=0)
        return sorted({line for (line,) in found} - {place.line})

    def _only_newer(self) -> None:
        """Keep holdfasts away that know of no messages which are shared, or partial."""
        if self.tx.one("format_short", format=SHARING) is not None:
            self.tx.lock("store", "format")
            self.tx.put("format_needed", format=SHARING)

    def _unshown(self, line: int) -> None:
        """Have those messages of a line deleted by and by that nobody shows."""
        self.tx.put("leftover_add", kind=self.name, no=line, below=LAST)
        self.tx.untidy()

    def tidy(self, limit: int) -> bool:
        """Delete messages that no session shows any more."""
        row = self.tx.one("leftover_next", kind=self.name)
        if row is None:
            return False
        line, _ = row
        for first, below in self._gaps(line):
            where = {"session": line, "first": first, "below": below}
            self.tx.put("part_sweep", **where)
            limit -= self.tx.run("message_sweep", **where, limit=limit)
            if limit <= 0:
                return True
        self.tx.put("leftover_done", kind=self.name, no=line)
        return True

    def _gaps(self, line: int) -> Iterator[tuple[int, int]]:
        """Positions of a line that no session shows: from each first to before another.

        What nobody shows, nobody can come to share.
        """
        at = 0
        for first, last in sorted(self.tx.all("line_shown", session=line)):
            if first > at:
                yield at, first
            at = max(at, last + 1)
        if at < LAST:
            yield at, LAST
