"""Events as data: what happened, when, and what of it is kept.

Answers for: the records, the names of levels, and turning rows and entries into them.
Leaves to others: where events are (`kinds/events`, `events/log`).
"""

from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

import msgspec

from holdfast import codec
from holdfast.clock import to_datetime

Level = Literal["debug", "info", "warning", "error"]
LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")
"""From what is told to who looks for a fault, to what nobody may overlook."""
Entry: TypeAlias = tuple[
    int, str, str, str, str | None, str | None, str | None, str | None
]
"""An event in memory: at, owner, name, level, source, session, correlation, data."""
Kept: TypeAlias = tuple[
    int, str, str, str, str | None, str | None, str | None, str | None, int
]
"""An event as it is kept: an entry, and who wrote it."""
AT: Final = 0
OWNER: Final = 1
NAME: Final = 2
LEVEL: Final = 3
SOURCE: Final = 4
SESSION: Final = 5
CORRELATION: Final = 6
DATA: Final = 7
WRITER: Final = 8


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened.

    `source` is who it comes from: an agent's id, say. `data` is JSON data, None if
    there is none.
    """

    id: str
    at: datetime
    name: str
    level: str
    owner: str
    source: str | None
    session: str | None
    correlation: str | None
    data: Any


class EventPolicy(msgspec.Struct, frozen=True):
    """How much of what happened is kept: no older than that, no more than that."""

    max_age_seconds: float = 30 * 86_400.0
    max_bytes: int = 1_000_000_000


class EventsTrimmed(msgspec.Struct, frozen=True):
    """What a trimming deleted."""

    events: int
    before: datetime


def event_of(kept: Kept) -> Event:
    """The event of a row."""
    at, owner, name, level, source, session, correlation, text, writer = kept
    return Event(
        id=f"{at:x}-{writer:x}",
        at=to_datetime(at),
        name=name,
        level=level,
        owner=owner,
        source=source,
        session=session,
        correlation=correlation,
        data=codec.decode(text),
    )
