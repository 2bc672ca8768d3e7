"""Taking conversations into a store, in batches, so that twice adds nothing.

Answers for: transactions of some hundred messages; what was there already; setting a
message or a conversation aside when the store refuses it, and going on.
Leaves to others: reading files, and which id a conversation has (each importer).
Always holds: a conversation's messages are kept in its order; after an interruption,
the next run adds what is missing and nothing else; nothing is put into a session that
was not imported, or that has other content.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.codec import Json
from holdfast.errors import (
    AlreadyExists,
    BadInput,
    Fenced,
    Held,
    HoldfastError,
    NotFound,
)
from holdfast.importers.report import (
    NAMED_AT_MOST,
    ImportReport,
    SetAside,
    sample_of,
)
from holdfast.runtime.transfer.batches import BATCH_MESSAGES, Batches

if TYPE_CHECKING:
    from holdfast.store import Store
    from holdfast.transaction import OpenTransaction

_REFUSALS = (BadInput, AlreadyExists, Held, Fenced)
"""What one item may meet and others not; anything else ends the import."""


class Talk(msgspec.Struct, eq=False):
    """A conversation that begins; it is the same one for all of its turns."""

    id: str
    title: str
    metadata: dict[str, Json] | None
    position: str
    at_byte: int
    refused: bool = False


class Turn(msgspec.Struct, frozen=True, eq=False):
    """One message of a conversation, as `sessions.extend` takes it."""

    talk: Talk
    row: dict[str, Json]
    position: str
    at_byte: int
    size_bytes: int


class _Piece(msgspec.Struct, eq=False):
    """What a batch has of one conversation; `first` if it is its beginning."""

    talk: Talk
    first: bool
    turns: list[Turn] = []


class _Kept(msgspec.Struct, frozen=True):
    """What was kept of a piece: `messages` are there now, `added` were not before."""

    session_is_new: bool
    messages: int
    added: int


class _Counts(msgspec.Struct):
    sessions: int = 0
    sessions_added: int = 0
    messages: int = 0
    added: int = 0
    set_aside: int = 0


class Intake:
    """Takes what an importer reads into a store."""

    def __init__(self, store: "Store", *, file: str) -> None:
        self._store = store
        self._file = file
        self._batches: Batches[_Piece] = Batches(
            self._keep_together, self._keep_singly, _REFUSALS, BATCH_MESSAGES
        )
        self._counts = _Counts()
        self._set_aside: list[SetAside] = []
        self.broken_at: int | None = None

    @property
    def messages(self) -> int:
        """How many messages are kept, or were there, so far."""
        return self._counts.messages

    def take(self, event: Talk | Turn | SetAside) -> bool:
        """Take the next thing of a file; whether that filled a batch, now kept."""
        if isinstance(event, SetAside):
            self.set_aside(event)
            return False
        if isinstance(event, Talk):
            self._batches.add(_Piece(event, first=True))
            return self._batches.count()
        if event.talk.refused:
            return False
        self._piece_of(event.talk).turns.append(event)
        return self._batches.count(event.size_bytes)

    def set_aside(self, what: SetAside) -> None:
        """Count something that does not go in, and name it."""
        self._counts.set_aside += 1
        if len(self._set_aside) < NAMED_AT_MOST:
            self._set_aside.append(what)

    def flush(self) -> None:
        """Keep what waits: all at once, or else piece by piece."""
        self._batches.flush()

    def report(self) -> ImportReport:
        """What was done so far."""
        counts = self._counts
        return ImportReport(
            file=self._file,
            sessions=counts.sessions,
            sessions_added=counts.sessions_added,
            messages=counts.messages,
            added=counts.added,
            already_there=counts.messages - counts.added,
            set_aside=tuple(self._set_aside),
            set_aside_count=counts.set_aside,
            broken_at=self.broken_at,
        )

    def _piece_of(self, talk: Talk) -> _Piece:
        newest = self._batches.newest
        if newest is not None and newest.talk is talk:
            return newest
        return self._batches.add(_Piece(talk, first=False))

    def _run(self, work: Callable[..., Any], argument: object) -> Any:
        return self._store.run(work, argument, actor="import", cause=self._file)

    def _count(self, pieces: list[_Piece], kept: list[_Kept]) -> None:
        for piece, outcome in zip(pieces, kept, strict=True):
            self._counts.sessions += piece.first
            self._counts.sessions_added += outcome.session_is_new
            self._counts.messages += outcome.messages
            self._counts.added += outcome.added

    def _keep_together(self, pieces: list[_Piece]) -> None:
        self._count(pieces, self._run(_keep_all, pieces))

    def _keep_singly(self, piece: _Piece) -> None:
        """Keep one conversation's part, without what the store refuses of it."""
        talk = piece.talk
        if talk.refused:
            return
        try:
            kept, refused = self._run(_keep_each, piece)
        except _REFUSALS as error:
            talk.refused = True
            self._refuse_talk(talk, talk.position, talk.at_byte, error)
            return
        self._count([piece], [kept])
        for turn, why in refused:
            if isinstance(why, BadInput):
                row = {key: turn.row[key] for key in turn.row if key != "id"}
                reason = str(why).removeprefix("messages[0].")
                self.set_aside(
                    SetAside(turn.position, turn.at_byte, reason, sample_of(row))
                )
            else:
                talk.refused = True
                self._refuse_talk(talk, turn.position, turn.at_byte, why)

    def _refuse_talk(
        self, talk: Talk, position: str, at_byte: int, error: HoldfastError
    ) -> None:
        """Say that a conversation does not go in, from a position on."""
        reason = (
            f"from here on, nothing was added to session {talk.id!r}: {error}"
            if not isinstance(error, AlreadyExists)
            else f"session {talk.id!r} has other content in the store; it was left as "
            "it is, and what follows in this conversation was left out"
        )
        self.set_aside(SetAside(position, at_byte, reason))


def _keep_all(tx: "OpenTransaction", pieces: list[_Piece]) -> list[_Kept]:
    """Keep some conversations' parts, or none if the store refuses anything."""
    return [_keep(tx, piece) for piece in pieces]


def _keep(tx: "OpenTransaction", piece: _Piece) -> _Kept:
    id = piece.talk.id
    before, is_new = _session(tx, piece)
    rows = [turn.row for turn in piece.turns]
    if rows:
        tx.sessions.extend(id, rows)
    added = tx.sessions.get(id).message_count - before if rows else 0
    return _Kept(session_is_new=is_new, messages=len(rows), added=added)


def _keep_each(
    tx: "OpenTransaction", piece: _Piece
) -> tuple[_Kept, list[tuple[Turn, HoldfastError]]]:
    """Keep one conversation's part message by message; which ones were refused.

    A message that cannot be stored is left out; at one that may not be, it ends.
    """
    before, is_new = _session(tx, piece)
    refused: list[tuple[Turn, HoldfastError]] = []
    taken = 0
    for turn in piece.turns:
        try:
            with tx.savepoint():
                tx.sessions.extend(piece.talk.id, [turn.row])
            taken += 1
        except _REFUSALS as error:
            refused.append((turn, error))
            if not isinstance(error, BadInput):
                break
    added = tx.sessions.get(piece.talk.id).message_count - before
    return _Kept(session_is_new=is_new, messages=taken, added=added), refused


def _session(tx: "OpenTransaction", piece: _Piece) -> tuple[int, bool]:
    """Find or make a conversation's session: its messages so far; whether it is new.

    Raises `AlreadyExists` if one is there that was not imported.
    """
    talk = piece.talk
    try:
        there = tx.sessions.get(talk.id)
    except NotFound:
        tx.sessions.create(talk.title, id=talk.id, metadata=talk.metadata)
        return 0, True
    if piece.first and there.message_count:
        (oldest,) = tx.sessions.messages(talk.id, 1, after=0)
        if not oldest.id.isdecimal():
            raise AlreadyExists("session", talk.id)
    return there.message_count, False
