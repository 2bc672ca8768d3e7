"""The inbox: messages to an agent or a machine, each processed once and in order.

Answers for: delivering messages, giving them out in their order, and setting aside what
cannot be processed.
Leaves to others: what a message is (`inbox_records`), calling a handler with one
(`runtime/jobs`), what it means to a machine (`machines`).
Always holds: a message is known by its id alone; its place is after all that were there
before it. Who changes one that is there has locked its recipient. Locks are taken in
one order, the recipient, an id, the end of a recipient's messages: so who processes
messages can deliver others, also to one who delivers to him.
"""

from msgspec.structs import replace

from holdfast import codec
from holdfast.clock import to_datetime, to_us
from holdfast.contract import Kind, operation, query
from holdfast.edges import Id, PageSize, Text, Time, Value
from holdfast.engine import Row, Table
from holdfast.errors import AlreadyExists, Refused
from holdfast.guarantees import Promise
from holdfast.kinds.inbox_records import (
    AnyStatus,
    InboxMessage,
    InboxStatus,
    message_of,
)
from holdfast.kinds.job_records import Attempts
from holdfast.page import Page, cursor_of, place_of
from holdfast.restoring import Plan

_ALL = 2**62
_NO, _TO, _POSITION, _CREATED_AT = 0, 3, 5, 10


class Inbox(Kind):
    """Messages; each call is a transaction of its own, or part of an open one."""

    name = "inbox"
    promise = Promise.DURABLE
    why = "a message is processed once and in its order, whatever dies"
    changed_by = "deliver, and what processes: process, take, retry"
    leased = True
    tables = (Table("inbox_message", json=("body",)),)

    @operation
    def deliver(
        self, to: Id, body: Value, *, id: Id | None = None, sender: Id | None = None
    ) -> InboxMessage:
        """Put a message at the end of those to a recipient; once for each id.

        An id that is there, with equal content, gives the message as it is by now, also
        if it was processed. Raises `AlreadyExists` (the id, with other content).
        """
        if id is not None:
            self.tx.lock(self.name, id)
        self.tx.lock("inbox_ends", to)
        if id is not None and (row := self._row(id)) is not None:
            return _same(message_of(row), to, body, sender)
        asked = {"owner": self.owner, "recipient": to}
        last = max(place or 0 for place in self.tx.one("inbox_last", **asked) or ())
        id = id or self.tx.new_id()
        self.tx.put(
            "inbox_add",
            no=self.tx.new_no(),
            id=id,
            sender=sender,
            position=last + 1,
            body=codec.text_of(body),
            now=self.tx.now,
            **asked,
        )
        return InboxMessage(
            id=id,
            owner=self.owner,
            to=to,
            sender=sender,
            position=last + 1,
            body=codec.value_of(body),
            status=InboxStatus.PENDING,
            attempts=0,
            error=None,
            created_at=to_datetime(self.tx.now),
            processed_at=None,
        )

    @operation
    def take(self, to: Id) -> InboxMessage | None:
        """The first message to a recipient that is pending, which is processed now.

        What is done about it belongs into the same transaction: until that ends, nobody
        else takes a message to this recipient. None if there is none. Raises `Held`.
        """
        self.lock_recipient(to)
        asked = {"recipient": to, "now": self.tx.now}
        row = self.tx.one("inbox_next", owner=self.owner, **asked)
        if row is None:
            return None
        *fields, fence = row
        there = message_of(tuple(fields))
        self._pass(there.id, fence=fence)
        return self._moved(row[_NO], there, InboxStatus.PROCESSED)

    @operation
    def set_aside(self, id: Id, error: Text) -> InboxMessage:
        """Say that a message cannot be processed, and why: the next one goes on.

        It is kept, at its place. Raises `NotFound`, `Held`.
        """
        no, there = self._held(id)
        return self._failed(no, there, InboxStatus.SET_ASIDE, error)

    @operation
    def fail(self, id: Id, error: Text, *, max_attempts: Attempts = 3) -> InboxMessage:
        """Count an attempt to process a message that came to nothing, and say why.

        With the last of so many attempts it is set aside. One that is not pending by
        now is given back as it is. Raises `NotFound`, `Held`.
        """
        no, there = self._held(id)
        if there.status is not InboxStatus.PENDING:
            return there
        over = there.attempts + 1 >= max_attempts
        status = InboxStatus.SET_ASIDE if over else InboxStatus.PENDING
        return self._failed(no, there, status, error)

    @operation
    def retry(self, id: Id) -> InboxMessage:
        """Have a message that was set aside processed again, at its place.

        It comes before all that were delivered after it, and its attempts are counted
        anew. One that is pending is given back as it is. Raises `NotFound`, `Refused`
        (it was processed), `Held`.
        """
        no, there = self._held(id)
        if there.status is InboxStatus.PROCESSED:
            raise Refused(
                f"message {id!r} was processed; nothing was written: deliver another, "
                "or set it aside first if it is to be processed twice"
            )
        if there.status is InboxStatus.PENDING:
            return there
        return self._moved(no, replace(there, attempts=0), InboxStatus.PENDING)

    @query
    def get(self, id: Id) -> InboxMessage:
        """One message. Raises `NotFound`."""
        return message_of(self._found(id))

    @query
    def list(
        self,
        *,
        to: Id | None = None,
        status: AnyStatus | None = None,
        limit: PageSize = 50,
        cursor: str | None = None,
    ) -> Page[InboxMessage]:
        """Messages to a recipient, in their order; or to all of them, newest first."""
        values: dict[str, object] = {"owner": self.owner, "limit": limit + 1}
        name = "inbox_list"
        if to is not None:
            name += "_to"
            after = 0 if cursor is None else place_of(cursor, int)[0]
            values |= {"recipient": to, "after": after}
        else:
            before = (_ALL, 0) if cursor is None else place_of(cursor, int, int)
            values |= {"before_at": before[0], "before_no": before[1]}
        if status is not None:
            name += "_status"
            values["status"] = InboxStatus(status).value
        rows = self.tx.all(name, **values)
        more = None
        if len(rows) > limit:
            last = rows[limit - 1]
            place = (last[_CREATED_AT], last[_NO]) if to is None else (last[_POSITION],)
            more = cursor_of(*place)
        return Page(map(message_of, rows[:limit]), more)

    @operation
    def purge(self, *, processed_before: Time, limit: PageSize = 1_000) -> int:
        """Delete messages that were processed before a time, `limit` at most; how many.

        Their ids are forgotten: one that is given again is a new message. What they
        were stays in the journal until it is trimmed.
        """
        before = to_us(processed_before)
        return self.tx.run("inbox_purge", owner=self.owner, before=before, limit=limit)

    def lock(self, id: str) -> None:
        """Nothing: operations lock what their message stands among, in one order."""

    def lock_recipient(self, to: str) -> None:
        """Keep others from changing messages to a recipient; they can be delivered."""
        self.tx.lock("inbox_recipients", to)

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many messages the owner has, and their bytes."""
        count, size = self.tx.one("inbox_usage", owner=self.owner) or (0, 0)
        return {"inbox_message": (count, size)}

    def put_back(self, id: str, past: Kind) -> Plan | None:
        """As for every kind; who processes such messages waits meanwhile."""
        row = self._row(id)
        if row is not None:
            self.lock_recipient(row[_TO])
        return super().put_back(id, past)

    def _moved(
        self,
        no: int,
        there: InboxMessage,
        status: InboxStatus,
        error: str | None = None,
    ) -> InboxMessage:
        """Write how a message now stands."""
        done = self.tx.now if status is InboxStatus.PROCESSED else None
        self.tx.put(
            "inbox_move",
            owner=self.owner,
            no=no,
            status=status.value,
            attempts=there.attempts,
            error=error,
            processed_at=done,
        )
        return replace(
            there,
            status=status,
            error=error,
            processed_at=None if done is None else to_datetime(done),
        )

    def _failed(
        self, no: int, there: InboxMessage, status: InboxStatus, error: str
    ) -> InboxMessage:
        there = replace(there, attempts=there.attempts + 1)
        return self._moved(no, there, status, error)

    def _held(self, id: str) -> tuple[int, InboxMessage]:
        """A message that nobody else changes any more, and its number."""
        self.lock_recipient(self._found(id)[_TO])
        self.tx.lock(self.name, id)
        self.guard(id)
        row = self._found(id)
        return row[_NO], message_of(row)

    def _row(self, id: str) -> Row | None:
        return self.tx.one("inbox_get", owner=self.owner, id=id)

    def _found(self, id: str) -> Row:
        row = self._row(id)
        if row is None:
            raise self.not_found(id)
        return row


def _same(
    there: InboxMessage, to: str, body: codec.Json, sender: str | None
) -> InboxMessage:
    """The message that has an id already, if it is the one that is delivered."""
    if (there.to, there.body, there.sender) != (to, codec.value_of(body), sender):
        raise AlreadyExists("inbox_message", there.id)
    return there
