"""Contexts: what of a session a model is to be shown.

Answers for: the newest messages within limits, the system message, summaries in place
of what is left out.
Leaves to others: which messages call tools, and which answer (`tool_calls`), how many
fit (`windows`).
Always holds: the full history stays; a tool's result never stands without its call.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, overload

import msgspec

from holdfast import edges
from holdfast.clock import to_us
from holdfast.contract import operation, query
from holdfast.edges import Count, Edge, Id, PageSize, Time
from holdfast.errors import NotStorable, Refused, WrongType
from holdfast.kinds.histories import LAST, Place
from holdfast.kinds.messages import Messages
from holdfast.kinds.session_records import Message, Summary, summary_of
from holdfast.kinds.windows import Counter, Room, Window, counted
from holdfast.limits import Limits
from holdfast.page import Page, cursor_of, place_of

_SYSTEM = frozenset({"system", "developer"})
_FIRST_LOOK, _SLICE = 2, 100


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is to be shown of a session; a sequence of its `messages`.

    `left_out` is how many messages of the session are not among them, and `summary`
    what stands in for those, if anything does.
    """

    messages: tuple[Message, ...]
    summary: Summary | None
    left_out: int
    tokens: int

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    def __len__(self) -> int:
        return len(self.messages)

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Message, ...]: ...
    def __getitem__(self, index: int | slice) -> Message | tuple[Message, ...]:
        return self.messages[index]


def _counting(value: object, name: str, limits: Limits) -> object:
    if not callable(value):
        raise edges.wrong_type(name, "a function of a message", value)
    return value


def _summary(value: object, name: str, limits: Limits) -> str:
    if not isinstance(value, str):
        raise edges.wrong_type(name, "text", value)
    if not value:
        raise WrongType(f"{name}: a summary has at least 1 character")
    if "\x00" in value:
        raise NotStorable(f"{name}: text with a NUL character")
    return str(edges.document_of(value, name, limits).value)


Counting = Annotated[Counter, Edge(_counting)]
SummaryText = Annotated[str, Edge(_summary)]


class Contexts(Messages):
    """The part of the sessions' operations that is about what a model is shown."""

    name = "sessions"

    @query
    def context(
        self,
        id: Id,
        *,
        messages: Count | None = None,
        tokens: Count | None = None,
        count: Counting | None = None,
    ) -> Context:
        """What a model is to be shown: the newest messages that fit, oldest first.

        Both limits hold, for all that is shown. `messages` is the session's
        `max_context_messages` if it is not given, or else `limits.context_messages`.
        `count` gives the tokens of a message; by default they are a quarter of the
        bytes of its JSON text. It may do nothing but count.

        Before the newest messages come the system messages with which the session
        begins, and a summary of what is left out, if one was stored and fits. Shown in
        any case are those system messages (as many as `messages` says) and the newest
        message, with the call that it answers. Raises `NotFound`.
        """
        place = self._read_place(id)
        tokens_of = counted(count)
        most = self._most(place) if messages is None else messages
        head = self._head(id, place, most)
        beside = sum(map(tokens_of, head))
        room = Room(most, tokens).without(len(head), beside)
        window = Window(room, tokens_of, self.tx.limits.page)
        start = place.first + len(head)
        for message in self._backwards(id, place, start, most):
            if not window.take(message):
                break
        length, summary = self._with_summary(id, place, start, window)
        instead = [] if summary is None else [summary.message]
        return Context(
            messages=(*head, *instead, *window.newest(length)),
            summary=summary,
            left_out=place.last - start + 1 - length,
            tokens=beside + sum(map(tokens_of, instead)) + window.tokens(length),
        )

    @operation
    def summarize(
        self,
        id: Id,
        upto: Count,
        text: SummaryText,
        *,
        created_at: Time | None = None,
    ) -> Summary:
        """Keep what is shown in place of the messages up to a position.

        The messages stay. A summary up to the same position is replaced. `created_at`
        is for one that was made before it came here. Raises `NotFound`, `Refused` (the
        session has no message there), `Held`, `Fenced`.
        """
        at = self.tx.now if created_at is None else to_us(created_at)
        place = self._place(id)
        if not place.first <= upto <= place.last:
            raise Refused(
                f"session {id!r} has messages {place.first} to {place.last}, and none "
                f"at {upto}; nothing was written"
            )
        where = {"owner": self.owner, "session": place.no, "upto": upto}
        row = self.tx.one("summary_at", **where)
        if row is not None and row[1] == text:
            return summary_of(id, row)
        if row is not None:
            self.tx.put("summary_change", **where, now=at, text=text)
        else:
            no = self.tx.new_no()
            self.tx.put("summary_add", **where, no=no, now=at, text=text)
        return summary_of(id, (upto, text, at))

    @query
    def summaries(
        self, id: Id, *, limit: PageSize = 50, cursor: str | None = None
    ) -> Page[Summary]:
        """Summaries of a session, the furthest-reaching first. Raises `NotFound`."""
        place = self._read_place(id)
        before = place.last + 1 if cursor is None else int(place_of(cursor, int)[0])
        rows = self.tx.all(
            "summary_page",
            owner=self.owner,
            session=place.no,
            before=before,
            limit=limit + 1,
        )
        more = cursor_of(rows[limit - 1][0]) if len(rows) > limit else None
        return Page((summary_of(id, row) for row in rows[:limit]), more)

    def _most(self, place: Place) -> int:
        """How many messages a session's context has, if nobody says."""
        (most,) = self.tx.one("session_most", no=place.no) or (None,)
        return self.tx.limits.context_messages if most is None else int(most)

    def _head(self, id: str, place: Place, most: int) -> list[Message]:
        """The system messages that a session begins with, at most so many."""
        head: list[Message] = []
        size = _FIRST_LOOK
        while len(head) < most:
            asked = min(size, most - len(head))
            rows = self._on(place, place.first + len(head), LAST, asked)
            found = _leading(self._shown(id, rows))
            head += found
            if len(found) < asked:
                break
            size = _SLICE
        return head

    def _backwards(
        self, id: str, place: Place, start: int, first_look: int
    ) -> Iterator[Message]:
        """A session's messages down to a position, newest first, read in slices."""
        end, size = place.last + 1, max(1, first_look)
        while end > start:
            rows = self._back(place, end, min(size, end - start, _SLICE))
            yield from self._shown(id, rows)
            end = rows[-1][1]
            size = _SLICE

    def _with_summary(
        self, id: str, place: Place, start: int, window: Window
    ) -> tuple[int, Summary | None]:
        """How many of the newest messages are shown, and what is in place of the rest.

        A summary takes room, so that more is left out than it tells of, perhaps: then
        the next one is tried. None is shown where none fits.
        """
        length = fitting = window.fitting()
        while length < place.last - start + 1:
            found = self._summary_for(id, place, start, place.last - length)
            if found is None:
                break
            told = place.last - found.upto
            least = told if told <= length else 0
            rest = window.room.without(1, window.tokens_of(found.message))
            longest = window.longest(rest, length)
            if longest is not None and longest >= least:
                return longest, found
            shorter = window.longest(window.room, least - 1)
            if shorter is None:
                break
            length = shorter
        return fitting, None

    def _summary_for(
        self, id: str, place: Place, start: int, upto: int
    ) -> Summary | None:
        """The least summary of all up to a position, or else the nearest to that."""
        where = {"owner": self.owner, "session": place.no, "upto": upto}
        row = self.tx.one("summary_covering", **where, last=place.last)
        row = row or self.tx.one("summary_nearest", **where, start=start)
        return None if row is None else summary_of(id, row)


def _leading(messages: Sequence[Message]) -> list[Message]:
    """The system messages that a row of messages begins with."""
    found = []
    for message in messages:
        if message.role not in _SYSTEM:
            break
        found.append(message)
    return found
