"""What a request is: its record, and how a checkpoint keeps it.

Answers for: the record and its status, and both ways between record and JSON data.
Leaves to others: everything that is done with requests (`requests`).
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from holdfast.clock import to_datetime, to_us


class RequestStatus(StrEnum):
    """How a request stands."""

    QUEUED = "queued"
    """It waits for its turn."""
    ACTIVE = "active"
    """Somebody has taken it."""
    INTERRUPTED = "interrupted"
    """It was active when its process ended, and is the next to be taken."""
    FAILED = "failed"
    """It was interrupted too often, or given up; nobody is given it."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be done.

    `attempt` counts how often it was taken, `interruptions` how often the process ended
    before it was done or given back.
    """

    id: str
    lane: str
    body: Any
    status: RequestStatus
    attempt: int
    created_at: datetime
    error: str | None = None
    interruptions: int = 0


def data_of(one: Request) -> dict[str, Any]:
    """A request as a checkpoint keeps it."""
    found = msgspec.structs.asdict(one)
    return {**found, "status": one.status.value, "created_at": to_us(one.created_at)}


def request_of(data: dict[str, Any]) -> Request:
    """A request as a checkpoint has kept it."""
    return Request(
        **{
            **data,
            "status": RequestStatus(data["status"]),
            "created_at": to_datetime(data["created_at"]),
        }
    )
