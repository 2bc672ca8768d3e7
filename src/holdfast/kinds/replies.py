"""Replies: messages that are written while they come.

Answers for: beginning a message, what is added to it, its end.
Leaves to others: when to write down what has come (`runtime/sessions`).
Always holds: what was written down of a message is there after a crash, and says that
it is partial until its end was written; a piece is kept once, however often it is sent.
"""

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from holdfast import codec, edges
from holdfast.clock import number_in
from holdfast.codec import Document
from holdfast.contract import operation
from holdfast.edges import Count, Edge, Id, Name, Object, Value
from holdfast.engine import Row
from holdfast.errors import AlreadyExists, Conflict, NotFound, Refused
from holdfast.kinds.messages import Messages
from holdfast.kinds.quotas import Added, watch_bytes, watch_count
from holdfast.kinds.session_records import Draft, Message
from holdfast.limits import Limits, hold


def _piece(value: object, name: str, limits: Limits) -> Document:
    if type(value) is Document:
        return value
    if not isinstance(value, str):
        raise edges.wrong_type(name, "text", value)
    found: Document = edges.document_of(value, name, limits)
    return found


Piece = Annotated[str, Edge(_piece)]
"""Text of any length within `limits.value_bytes`."""


class Growing(msgspec.Struct, frozen=True):
    """A message that may still grow: its row, and where its newest part begins."""

    no: int
    partial: bool
    begins: int
    newest: str

    @property
    def length(self) -> int:
        """How many characters it has."""
        return self.begins + len(self.newest)


class Replies(Messages):
    """The part of the sessions' operations that is about messages that still grow."""

    name = "sessions"

    @operation
    def begin_reply(
        self,
        id: Id,
        role: Name = "assistant",
        text: Piece = "",
        *,
        message_id: Id | None = None,
        metadata: Object = None,
    ) -> Message:
        """Begin a message that is to grow; it takes its place at the end now.

        A `message_id` that is there and still partial gives that message back as far as
        it has come, to go on with it. Raises `NotFound`, `AlreadyExists` (it is there
        and whole, or of another role), `Refused` (it is no text), `Held`, `Fenced`.
        """
        place = self._place(id)
        row = None if message_id is None else self._by_id(place, message_id)
        if row is not None:
            (there,) = self._shown(id, [row])
            if not there.partial or there.role != role:
                raise AlreadyExists("message", there.id)
            if not isinstance(there.content, str):
                raise _no_text(there.id)
            return there
        draft = Draft(
            role,
            codec.document(text),
            codec.optional(metadata),
            message_id,
            partial=True,
        )
        message = self._add(id, place, place.last + 1, draft)
        added = Added(id, place.line, place.first, message.position, draft)
        watch_count(self.tx, added)
        return message

    @operation
    def extend_reply(
        self, id: Id, message_id: Id, text: Piece, *, at: Count | None = None
    ) -> int:
        """Add text to a partial message; how many characters it has then.

        `at` is how many it has before that: so a piece that is sent again, perhaps with
        more behind it, is kept once. Raises `NotFound`, `Conflict` (it has not so many,
        or goes on otherwise), `Refused` (it is whole, or no text), `TooLarge`, `Held`,
        `Fenced`.
        """
        piece = str(codec.document(text).value)
        there = self._growing(id, message_id)
        if not there.partial:
            raise _ended(message_id)
        if at is not None and at != there.length:
            said = self._text(id, message_id)[at:]
            if at > there.length or not piece.startswith(said):
                raise _goes_on_otherwise(message_id, at, there.length)
            piece = piece[len(said) :]
        length = there.length + len(piece)
        hold(length, self.tx.limits.value_bytes, "text", "value_bytes")
        if piece:
            self.tx.put(
                "part_add",
                no=self.tx.new_no(),
                owner=self.owner,
                message=there.no,
                position=there.length,
                text=codec.document(piece).text,
            )
        return length

    @operation
    def end_reply(
        self,
        id: Id,
        message_id: Id,
        content: Value | UnsetType = UNSET,
        *,
        metadata: Object | UnsetType = UNSET,
    ) -> Message:
        """Make a partial message whole: with what came of it, or with this content.

        One that is whole already, and says the same, is given back. Raises `NotFound`,
        `Refused` (it is whole, and says something else), `Held`, `Fenced`.
        """
        place = self._place(id)
        row = self._by_id(place, message_id)
        if row is None:
            raise NotFound("message", message_id)
        (there,) = self._shown(id, [row])
        whole = msgspec.structs.replace(
            there,
            content=there.content
            if content is UNSET
            else codec.document(content).value,
            metadata=there.metadata if metadata is UNSET else codec.value_of(metadata),
            partial=False,
        )
        if there == whole:
            return there
        if not there.partial:
            raise _ended(message_id)
        said = Draft(
            whole.role,
            codec.document(whole.content),
            codec.optional(whole.metadata),
            whole.id,
        )
        self.tx.put(
            "reply_end",
            owner=self.owner,
            no=row[7],
            content=said.content.text,
            metadata=codec.text_of(said.metadata),
        )
        self.tx.put("part_drop", owner=self.owner, message=row[7])
        self._cut(place, first=place.first, last=place.last)
        if whole.content != there.content:
            self.forget_summaries(place.no, beyond=whole.position - 1)
        watch_bytes(self.tx, Added(id, place.line, place.first, whole.position, said))
        return whole

    def _text(self, session: str, id: str) -> str:
        """All that came of a partial message so far."""
        row = self._by_id(self._place(session), id)
        assert row is not None, "it was there just now"
        (message,) = self._shown(session, [row])
        return str(message.content)

    def _growing(self, session: str, id: str) -> Growing:
        where = {"owner": self.owner, "id": session, "message": id, "now": self.tx.now}
        number = number_in(id)
        row = None
        if number is not None:
            row = self.tx.one("reply_numbered", no=number, **where)
        row = row or self.tx.one("reply_given", **where)
        row = row or self._growing_elsewhere(session, id)
        no, partial, content, begins, newest, fence = row
        self._pass(session, fence=fence)
        begins, newest = (
            begins or 0,
            codec.decode(content if newest is None else newest),
        )
        if not isinstance(newest, str):
            raise _no_text(id)
        return Growing(no, bool(partial), begins, newest)

    def _growing_elsewhere(self, session: str, id: str) -> Row:
        """As `reply_given`, for a message in a line that its session has left since.

        No other session shows one that is partial: a fork has a copy of its own.
        """
        found = self._by_id(self._place(session), id)
        row = found and self.tx.one("reply_row", owner=self.owner, no=found[7])
        if row is None:
            raise NotFound("message", id)
        return row


def _ended(id: str) -> Refused:
    return Refused(f"message {id!r} is whole, and grows no more; nothing was written")


def _goes_on_otherwise(id: str, at: int, length: int) -> Conflict:
    error = Conflict("message", id, expected=at, found=length)
    said = f"message {id!r} has {length:,} characters, and does not go on from {at:,}"
    then = "as this text does; nothing was written: read it again, and decide again"
    error.args = (f"{said} {then}",)
    return error


def _no_text(id: str) -> Refused:
    return Refused(f"message {id!r} is no text, and cannot grow; nothing was written")
