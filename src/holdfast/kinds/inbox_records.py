"""What a message in an inbox is: its record, and what its arguments have to be.

Answers for: the record, its statuses, reading it from rows.
Leaves to others: everything that is done with it (`inbox`).
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from holdfast import codec, edges
from holdfast.clock import to_datetime
from holdfast.edges import Edge
from holdfast.engine import Row


class InboxStatus(StrEnum):
    """Where a message stands."""

    PENDING = "pending"
    """It is still to be processed."""
    PROCESSED = "processed"
    """It was, and its effects are there."""
    SET_ASIDE = "set_aside"
    """It could not be; `error` says why."""


class InboxMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message to somebody.

    `position` orders those of one recipient. `attempts` counts how often it could not
    be processed, and `error` is what was wrong the last time.
    """

    id: str
    owner: str
    to: str
    sender: str | None
    position: int
    body: Any
    status: InboxStatus
    attempts: int
    error: str | None
    created_at: datetime
    processed_at: datetime | None


AnyStatus = Annotated[InboxStatus | str, Edge(edges.member_of(InboxStatus))]


def message_of(row: Row) -> InboxMessage:
    """A message from a row of `inbox_fields`."""
    (_, owner, id, recipient, sender, position, body, status, attempts, error,
     created_at, processed_at) = row  # fmt: skip
    return InboxMessage(
        id=id,
        owner=owner,
        to=recipient,
        sender=sender,
        position=position,
        body=codec.decode(body),
        status=InboxStatus(status),
        attempts=attempts,
        error=error,
        created_at=to_datetime(created_at),
        processed_at=None if processed_at is None else to_datetime(processed_at),
    )
