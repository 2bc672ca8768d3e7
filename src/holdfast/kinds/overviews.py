"""Overviews: what a conversation is at a glance.

Answers for: counting what was said in a session and by whom, its first and its last
message.
Leaves to others: what an overview is (`overview_records`), keeping one for a while
(`runtime/cache`), summaries that a model wrote (`contexts`).
Always holds: an overview is of one moment, and counts each message that its session
shows.
"""

from collections.abc import Iterator

from holdfast.contract import query
from holdfast.edges import Id
from holdfast.engine import Row
from holdfast.kinds.histories import Place
from holdfast.kinds.messages import Messages
from holdfast.kinds.overview_records import Overview, Tally, overview
from holdfast.kinds.session_records import Message, session_of


class Overviews(Messages):
    """The part of the sessions' operations that looks at them as a whole."""

    name = "sessions"

    @query
    def overview(self, id: Id) -> Overview:
        """A conversation at a glance: counts, participants, first and last message.

        Made from its messages, without a model; all of them are counted. Raises
        `NotFound`.
        """
        return self.seen_at_once(id)

    def seen_at_once(self, id: str) -> Overview:
        """A conversation at a glance. Raises `NotFound`."""
        session = session_of(self._found(id))
        place = self._read_place(id)
        tally = Tally()
        for row in self._rows_said(place):
            tally.add(*row)
        first, last = self._message(id, place, place.first), None
        if place.last > place.first:
            last = self._message(id, place, place.last)
        asked = None
        if not session.title and tally.asked_at is not None:
            asked = self._message(id, place, tally.asked_at)
        return overview(session, tally, first, last or first, asked)

    def _message(self, id: str, place: Place, position: int) -> Message | None:
        row = self._at(place, position)
        return None if row is None else self._shown(id, [row])[0]

    def _rows_said(self, place: Place) -> Iterator[Row]:
        """Position, role and metadata of each message, oldest first."""
        for first, last, line in self._segments(place, place.last):
            yield from self._rows_in(line, first, last + 1)

    def _rows_in(self, line: int, start: int, before: int) -> Iterator[Row]:
        while start < before:
            found = self.tx.all(
                "message_said",
                session=line,
                start=start,
                before=before,
                limit=self.tx.limits.page,
            )
            yield from found
            if len(found) < self.tx.limits.page:
                return
            start = found[-1][0] + 1
