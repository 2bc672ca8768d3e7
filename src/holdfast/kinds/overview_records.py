"""What an overview of a conversation is, and how it is made up from rows.

Answers for: the records, who counts as a participant, how a message is cut short.
Leaves to others: reading the rows (`overviews`), keeping overviews (`runtime/cache`).
Always holds: it is made of what was said alone; no model is asked.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from holdfast import codec
from holdfast.kinds.session_records import Message, Session, SessionStatus
from holdfast.kinds.spoken import Said, parts_of

GLIMPSE_CHARACTERS = 200
"""How much of a message's text an overview has, at most."""
_TITLE_CHARACTERS = 80
_CALLED = ("name", "sender", "author", "agent")
"""What of a message's metadata says who spoke, the first of them that is there."""


class Glimpse(msgspec.Struct, frozen=True, kw_only=True):
    """The beginning of a message: its text on one line, up to 200 characters of it.

    Of one without text, it is what its first part is called. `name` is who spoke.
    """

    position: int
    role: str
    name: str
    text: str
    created_at: datetime
    partial: bool


class Participant(msgspec.Struct, frozen=True, kw_only=True):
    """Who spoke: by the name that their messages' metadata say, or else by their role.

    `messages` is how many they said.
    """

    name: str
    role: str
    messages: int


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """What a conversation is at a glance, without its messages.

    `title` is the session's, or else how its first message of a user begins. `roles`
    counts messages by role; `participants` are in the order in which they first spoke.
    `version` is the session's.
    """

    session: str
    owner: str
    title: str
    status: SessionStatus
    message_count: int
    roles: dict[str, int]
    participants: tuple[Participant, ...]
    first: Glimpse | None
    last: Glimpse | None
    created_at: datetime
    updated_at: datetime
    version: int


class Tally:
    """Counts who said how many messages, as their rows are read."""

    def __init__(self) -> None:
        self.roles: Counter[str] = Counter()
        self.asked_at: int | None = None
        """The position of the first message of a user."""
        self._spoke: Counter[tuple[str, str]] = Counter()

    def add(self, position: int, role: str, metadata: str | None) -> None:
        """Count one message; its metadata are JSON text."""
        self.roles[role] += 1
        if role == "user" and self.asked_at is None:
            self.asked_at = position
        self._spoke[speaker(role, codec.decode(metadata)), role] += 1

    @property
    def participants(self) -> Iterable[Participant]:
        """Who spoke, in the order in which they first did."""
        for (name, role), messages in self._spoke.items():
            yield Participant(name=name, role=role, messages=messages)


def speaker(role: str, metadata: Mapping[str, Any] | None) -> str:
    """Who a message is of: whom its metadata name, or else its role."""
    for key in _CALLED if metadata else ():
        name = (metadata or {}).get(key)
        if isinstance(name, str) and name:
            return name[:GLIMPSE_CHARACTERS]
    return role


def glimpse(message: Message | None) -> Glimpse | None:
    """How a message begins."""
    if message is None:
        return None
    return Glimpse(
        position=message.position,
        role=message.role,
        name=speaker(message.role, message.metadata),
        text=_cut(_text_of(message), GLIMPSE_CHARACTERS),
        created_at=message.created_at,
        partial=message.partial,
    )


def overview(
    session: Session,
    tally: Tally,
    first: Message | None,
    last: Message | None,
    asked: Message | None,
) -> Overview:
    """The overview of a session, from what was read of it."""
    title = session.title or ("" if asked is None else _text_of(asked))
    return Overview(
        session=session.id,
        owner=session.owner,
        title=title if session.title else _cut(title, _TITLE_CHARACTERS),
        status=session.status,
        message_count=session.message_count,
        roles=dict(tally.roles),
        participants=tuple(tally.participants),
        first=glimpse(first),
        last=glimpse(last),
        created_at=session.created_at,
        updated_at=session.updated_at,
        version=session.version,
    )


def _text_of(message: Message) -> str:
    parts = list(parts_of(message))
    said = " ".join(part.text for part in parts if isinstance(part, Said))
    if said or not parts or isinstance(parts[0], Said):
        return said
    return parts[0].title


def _cut(text: str, most: int) -> str:
    """A text on one line, its end left out where it is longer."""
    line = " ".join(text[: 8 * most].split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
