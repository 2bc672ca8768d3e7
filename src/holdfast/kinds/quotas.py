"""Quotas: how much one session should hold, and what is said past that.

Answers for: a warning to the log `holdfast` when a session's messages pass a limit.
Leaves to others: what is done about it (who reads the log).
Always holds: nothing is refused; each crossing is told once; an append at which
nothing is looked at pays a comparison.

The bytes are summed when a session's messages become a power of two, and at each
message that has a part of the limit by itself; not any more once there are more
messages than there should be, of which was told.
"""

import msgspec

from holdfast.engine import Transaction
from holdfast.kinds.session_records import Draft
from holdfast.limits import Limits

_PARTS = 16
"""A message of a sixteenth of the limit is big; fewer messages that are not big cannot
pass it."""


class Added(msgspec.Struct, frozen=True):
    """A message that was added to a session: its row, its first position, and this."""

    session: str
    no: int
    first: int
    position: int
    draft: Draft

    @property
    def count(self) -> int:
        """How many messages the session has with it."""
        return self.position - self.first + 1

    def has(self, bytes: int) -> bool:
        """Whether the message has so many bytes, or more."""
        content, metadata = self.draft.content.text, self.draft.metadata
        said = content if metadata is None else content + metadata.text
        return len(said) * 4 >= bytes and len(said.encode()) >= bytes


def watch(tx: Transaction, added: Added) -> None:
    """Warn if with this message its session is past a limit, and was not before."""
    watch_count(tx, added)
    watch_bytes(tx, added)


def watch_count(tx: Transaction, added: Added) -> None:
    """The same for the number of messages: what this one says is still to come."""
    most = tx.limits.session_messages
    if added.count == most + 1:
        _warn(added.session, added.count, most, "messages")


def watch_bytes(tx: Transaction, added: Added) -> None:
    """The same for the bytes: the message was there, and has its whole text now."""
    count = added.count
    if count <= tx.limits.session_messages and (
        count == _look_before(count + 1) or added.has(_big(tx.limits))
    ):
        _watch_bytes(tx, added)


def _watch_bytes(tx: Transaction, added: Added) -> None:
    limit = tx.limits.session_bytes
    where = {"owner": tx.terms.owner, "session": added.no, "first": added.first}
    (size,) = tx.one("session_bytes", **where, upto=added.position) or (0,)
    if size <= limit:
        return
    (big,) = tx.one(
        "session_big_before", **where, before=added.position, bytes=_big(tx.limits)
    ) or (0,)
    looked = max(big, added.first - 1 + _look_before(added.count))
    (size_then,) = tx.one("session_bytes", **where, upto=looked) or (0,)
    if size_then <= limit:
        _warn(added.session, size, limit, "bytes")


def _look_before(count: int) -> int:
    """The greatest power of two below a count; 0 where that is too few."""
    power = 1 << (count - 1).bit_length() >> 1
    return power if power >= _PARTS else 0


def _big(limits: Limits) -> int:
    return max(1, limits.session_bytes // _PARTS)


def _warn(session: str, size: int, limit: int, what: str) -> None:
    import logging  # noqa: PLC0415  # it loads slowly, and few need it

    logging.getLogger("holdfast").warning(
        "session %r has %s %s by now, past limits.session_%s (%s); "
        "nothing was refused: in a session of its own, what comes next is read and "
        "moved faster",
        session,
        size,
        what,
        what,
        limit,
    )
