"""Admission: sessions of another store, taken into this one.

Answers for: what of a session is there already, what is missing at its end, and which
session does not go together with the one that is there; transactions of some hundred
messages; the report.
Leaves to others: where sessions come from (`importing`, `importers`).
Always holds: a session's messages are added in order and at their own positions; what
is there is never changed; after an interruption the next run goes on; taken in twice,
nothing is added.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.contract import each
from holdfast.errors import (
    AlreadyExists,
    BadInput,
    Fenced,
    Held,
    HoldfastError,
    NotFound,
)
from holdfast.kinds.exported import MessageLine, SessionLine, SummaryLine
from holdfast.kinds.session_records import Draft, Message, Session, draft_of
from holdfast.kinds.sessions import Sessions
from holdfast.limits import Limits
from holdfast.runtime.transfer.batches import BATCH_MESSAGES, Batches

if TYPE_CHECKING:
    from holdfast.store import Store
    from holdfast.transaction import OpenTransaction

NAMED_AT_MOST = 10_000
_OPERATIONS = Sessions.operations()


class _Mismatch(HoldfastError):
    """A session is not the one that is here under its id, or has gone on otherwise."""


_REFUSALS = (_Mismatch, BadInput, AlreadyExists, Held, Fenced, NotFound)
"""What one session may meet and others not; anything else ends the import."""


class RefusedSession(msgspec.Struct, frozen=True):
    """A session that was not taken in, or not from a place of the file on, and why."""

    id: str
    place: str
    reason: str


class SessionsReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did.

    `messages` are those of the sessions that were taken in: `added` went in now,
    `already_there` were there before. `differing` names sessions whose title, status
    or the like is another here, and was left as it is.
    """

    file: str
    sessions: int
    sessions_added: int
    messages: int
    added: int
    already_there: int
    summaries_added: int
    differing: tuple[str, ...]
    refused: tuple[RefusedSession, ...]
    refused_count: int


class Arrival(msgspec.Struct, frozen=True, eq=False):
    """A record that was read and checked, and where it stands."""

    place: str
    line: SessionLine | MessageLine | SummaryLine
    draft: Draft | None
    size_bytes: int


class _Visit(msgspec.Struct, eq=False):
    """One session of a file, for as long as it is being taken in."""

    session: SessionLine
    place: str
    refused: bool = False


class _Piece(msgspec.Struct, eq=False):
    """What a transaction has of one session; `first` if it is its beginning."""

    visit: _Visit
    first: bool
    messages: list[Arrival] = []
    summaries: list[Arrival] = []


class _Kept(msgspec.Struct, frozen=True):
    """What became of a piece."""

    is_new: bool
    differs: bool
    added: int
    summaries_added: int


class _Counts(msgspec.Struct):
    sessions: int = 0
    sessions_added: int = 0
    messages: int = 0
    added: int = 0
    summaries_added: int = 0
    refused: int = 0


def arrival(
    line: SessionLine | MessageLine | SummaryLine, place: str, limits: Limits
) -> Arrival:
    """A record that may go in. Raises `BadInput`, with what is wrong with it."""
    draft, size = None, 0
    if isinstance(line, SessionLine):
        _OPERATIONS["admit"].prepare((line.id,), _fields(line), limits)
    elif isinstance(line, SummaryLine):
        values = {"created_at": line.created_at}
        _OPERATIONS["summarize"].prepare(("x", line.upto, line.text), values, limits)
        size = len(line.text)
    else:
        draft = draft_of(_row(line), "message", limits)
        metadata = "" if draft.metadata is None else draft.metadata.text
        size = len(draft.content.text) + len(metadata)
    return Arrival(place, line, draft, size)


class Admission:
    """Takes records, in their order, into a store."""

    def __init__(self, store: "Store", limits: Limits, *, name: str) -> None:
        self._store = store
        self._name = name
        self._batches: Batches[_Piece] = Batches(
            self._keep_together,
            self._keep_singly,
            _REFUSALS,
            min(BATCH_MESSAGES, limits.page, limits.batch),
        )
        self._visit: _Visit | None = None
        self._counts = _Counts()
        self._differing: list[str] = []
        self._refused: list[RefusedSession] = []

    @property
    def messages(self) -> int:
        """How many messages are in, or were there, so far."""
        return self._counts.messages

    def take(self, arrived: Arrival) -> bool:
        """Take the next record; whether that filled a transaction, now committed."""
        if isinstance(arrived.line, SessionLine):
            self._visit = _Visit(arrived.line, arrived.place)
            self._batches.add(_Piece(self._visit, first=True))
        else:
            assert self._visit is not None, "a message came before its session"
            if self._visit.refused:
                return False
            piece = self._piece_of(self._visit)
            is_message = isinstance(arrived.line, MessageLine)
            (piece.messages if is_message else piece.summaries).append(arrived)
        return self._batches.count(arrived.size_bytes)

    def flush(self) -> None:
        """Take in what waits: all at once, or else session by session."""
        self._batches.flush()

    def report(self) -> SessionsReport:
        """What was done so far."""
        counts = self._counts
        return SessionsReport(
            file=self._name,
            sessions=counts.sessions,
            sessions_added=counts.sessions_added,
            messages=counts.messages,
            added=counts.added,
            already_there=counts.messages - counts.added,
            summaries_added=counts.summaries_added,
            differing=tuple(self._differing),
            refused=tuple(self._refused),
            refused_count=counts.refused,
        )

    def _piece_of(self, visit: _Visit) -> _Piece:
        newest = self._batches.newest
        if newest is not None and newest.visit is visit:
            return newest
        return self._batches.add(_Piece(visit, first=False))

    def _run(self, work: Callable[..., Any], argument: object) -> Any:
        return self._store.run(work, argument, actor="import", cause=self._name)

    def _keep_together(self, pieces: list[_Piece]) -> None:
        self._count(pieces, self._run(_keep_all, pieces))

    def _keep_singly(self, piece: _Piece) -> None:
        if piece.visit.refused:
            return
        try:
            self._count([piece], [self._run(_keep, piece)])
        except _REFUSALS as error:
            self._refuse(piece, error)

    def _count(self, pieces: list[_Piece], kept: list[_Kept]) -> None:
        counts = self._counts
        for piece, outcome in zip(pieces, kept, strict=True):
            counts.sessions += piece.first
            counts.sessions_added += outcome.is_new
            counts.messages += len(piece.messages)
            counts.added += outcome.added
            counts.summaries_added += outcome.summaries_added
            if outcome.differs and len(self._differing) < NAMED_AT_MOST:
                self._differing.append(piece.visit.session.id)

    def _refuse(self, piece: _Piece, error: HoldfastError) -> None:
        """Say that a session does not go in, from a place on."""
        visit = piece.visit
        visit.refused = True
        self._counts.refused += 1
        if len(self._refused) < NAMED_AT_MOST:
            lines = piece.messages or piece.summaries
            place = visit.place if piece.first else lines[0].place
            self._refused.append(RefusedSession(visit.session.id, place, str(error)))


def _keep_all(tx: "OpenTransaction", pieces: list[_Piece]) -> list[_Kept]:
    """Take in parts of some sessions, or nothing if one of them is refused."""
    return [_keep(tx, piece) for piece in pieces]


def _keep(tx: "OpenTransaction", piece: _Piece) -> _Kept:
    """Take in a part of one session, as far as it is not there yet."""
    line = piece.visit.session
    try:
        there = tx.sessions.get(line.id)
    except NotFound:
        if not piece.first:
            raise
        tx.sessions.admit(line.id, **_fields(line))
        added = _added(tx, line.id, piece.messages)
        return _Kept(True, False, added, _summarize(tx, line.id, piece.summaries))
    if piece.first:
        _same_beginning(tx, there, line)
    known = _known(tx, line.id, piece.messages)
    added = _added(tx, line.id, piece.messages[known:])
    summaries_added = _summarize(tx, line.id, piece.summaries)
    return _Kept(False, piece.first and _differs(there, line), added, summaries_added)


def _same_beginning(tx: "OpenTransaction", there: Session, line: SessionLine) -> None:
    """Refuse unless both sessions began at one time and at one position."""
    if there.created_at != line.created_at:
        raise _Mismatch(
            f"session {line.id!r} is another one here, begun at "
            f"{there.created_at.isoformat()}; nothing of it was imported"
        )
    if there.message_count and line.messages:
        (oldest,) = tx.sessions.messages(line.id, 1, after=0)
        if oldest.position != line.first:
            raise _Mismatch(
                f"session {line.id!r} has its first message at position "
                f"{oldest.position} here, not at {line.first}; nothing of it was "
                "imported"
            )


def _known(tx: "OpenTransaction", id: str, messages: list[Arrival]) -> int:
    """How many of these messages are there. Raises `_Mismatch` if others are there."""
    if not messages:
        return 0
    first = _position(messages[0])
    known = tx.sessions.messages(
        id, len(messages), after=first - 1, before=first + len(messages)
    )
    for there, arrived in zip(known, messages, strict=False):
        if not _is(there, arrived):
            raise _Mismatch(
                f"session {id!r} has another message at position {there.position} "
                f"here ({arrived.place}); it was left as it is"
            )
    return len(known)


def _added(tx: "OpenTransaction", id: str, messages: list[Arrival]) -> int:
    """Add messages, which have to come to stand at their own positions."""
    if not messages:
        return 0
    drafts: Any = [arrived.draft for arrived in messages]
    kept = tx.sessions.extend(id, drafts)
    for there, arrived in zip(kept, messages, strict=True):
        if there.position != _position(arrived):
            raise _Mismatch(
                f"session {id!r}: the message of {arrived.place} would not come to "
                "stand at its own position here, or is there twice; it was left as "
                "it is"
            )
    return len(kept)


def _summarize(tx: "OpenTransaction", id: str, summaries: list[Arrival]) -> int:
    """Keep summaries up to positions that have none; how many."""
    if not summaries:
        return 0
    there = {summary.upto for summary in each(partial(tx.sessions.summaries, id))}
    lines = [arrived.line for arrived in summaries]
    missing = [
        line
        for line in lines
        if isinstance(line, SummaryLine) and line.upto not in there
    ]
    for line in missing:
        tx.sessions.summarize(id, line.upto, line.text, created_at=line.created_at)
    return len(missing)


def _position(arrived: Arrival) -> int:
    assert isinstance(arrived.line, MessageLine), "no message"
    return arrived.line.position


def _is(there: Message, arrived: Arrival) -> bool:
    line = arrived.line
    return isinstance(line, MessageLine) and line == msgspec.structs.replace(
        line,
        position=there.position,
        id=there.id,
        role=there.role,
        content=there.content,
        metadata=there.metadata,
        created_at=there.created_at,
        partial=there.partial,
    )


def _differs(there: Session, line: SessionLine) -> bool:
    wanted = _fields(line)
    names = ("title", "status", "parent", "metadata", "tags", "max_context_messages")
    return any(getattr(there, name) != wanted[name] for name in names)


def _row(line: MessageLine) -> dict[str, Any]:
    """A message as `extend` takes it."""
    return {
        "id": line.id,
        "role": line.role,
        "content": line.content,
        "metadata": line.metadata,
        "created_at": line.created_at,
        "partial": line.partial,
    }


def _fields(line: SessionLine) -> dict[str, Any]:
    """A session as `admit` takes it."""
    return {
        "created_at": line.created_at,
        "updated_at": line.updated_at,
        "title": line.title,
        "status": line.status,
        "parent": line.parent,
        "metadata": line.metadata,
        "tags": line.tags,
        "max_context_messages": line.max_context_messages,
        "first": line.first,
        "version": line.version - line.messages,
        "forked_at": line.forked_at,
    }
