"""pydantic-ai's conversations, kept as sessions: its own protocol for storing them.

Answers for: `HoldfastConversationStore`, with the entries, branches and forks of
pydantic-ai's `ConversationStore`.
Leaves to others: how a message is kept (`_pydantic_messages`); which messages of a
conversation are new (pydantic-ai).
Always holds: what one call writes is one transaction; a conversation is the session of
its id, whose messages are its history, an entry's id that of its message. A branch that
was left is a mark of the session, which shares what was said before.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import islice, takewhile
from typing import Any

import msgspec
from msgspec import UNSET

from holdfast.astore import AsyncStore
from holdfast.contract import each
from holdfast.errors import NotFound
from holdfast.integrations import extra
from holdfast.integrations._growing import copied
from holdfast.integrations._pydantic_messages import drafts_of, messages_of
from holdfast.kinds.session_records import Message, Session
from holdfast.store import Store
from holdfast.transaction import OpenTransaction

with extra("pydantic-ai-conversations"):
    from pydantic import TypeAdapter
    from pydantic_ai.conversation_store import (
        ConversationConflict,
        ConversationEntry,
        ConversationRecord,
        ConversationStore,
    )

__all__ = ["HoldfastConversationStore"]

_OURS = "pydantic_ai"
_TAG = "pydantic-ai"
_PAGE = 100
_HOMES = 10_000
_Record = TypeAdapter(ConversationRecord)


class HoldfastConversationStore(ConversationStore):
    """A store of pydantic-ai's conversations, on a store of either face.

    Every session can be loaded as a conversation; what others added to one is in its
    history, and a save that did not know of it is a conflict. Listed are those that
    were saved through it. Deleting one deletes its branches; forks of it stay whole.
    """

    def __init__(self, store: Store | AsyncStore) -> None:
        self._store = store.aio if isinstance(store, Store) else store
        self._homes: dict[str, str] = {}

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """The record of a conversation; None if there is none."""
        try:
            session = await self._store.sessions.get(conversation_id)
            return await self._record_of(session)
        except NotFound:
            return None

    async def read_records(
        self, *, scope: str | None = None, limit: int | None = None
    ) -> Sequence[ConversationRecord]:
        """The records of what was saved here, the one saved last first."""
        found = [await self._record_of(session) async for session in self._listed()]
        records = [r for r in found if scope is None or r.scope == scope]
        records.sort(key=lambda record: record.updated_at, reverse=True)
        return records[:limit]

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Keep a record and its new entries, in one transaction."""
        drafts = drafts_of([entry.message for entry in new_entries])
        for draft, entry in zip(drafts, new_entries, strict=True):
            draft["id"] = entry.id
        base = new_entries[0].parent_id if new_entries else record.head_id
        try:
            await self._store.run(_write, record, drafts, base, expected_revision)
        except NotFound:
            raise ConversationConflict(record.conversation_id) from None
        self._remember(record)

    async def delete_record(
        self, conversation_id: str, *, expected_revision: str
    ) -> None:
        """Delete a conversation and its branches; what forks share with it stays."""
        await self._store.run(_delete, conversation_id, expected_revision)

    async def read_history(
        self, head_id: str | None, *, limit: int | None = None
    ) -> list[ConversationEntry]:
        """The entries up to one, or the last `limit` of them. Raises `LookupError`."""
        if head_id is None:
            return []
        line = await self._recent(head_id, limit) or await self._line(head_id)
        before = [None, *(message.id for message in line)]
        entries = [
            ConversationEntry(id=message.id, parent_id=parent, message=said)
            for message, parent, said in zip(
                line, before, messages_of(line), strict=False
            )
        ]
        return entries if limit is None else entries[max(0, len(entries) - limit) :]

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """The entry of an id. Raises `LookupError`."""
        return (await self.read_history(entry_id))[-1]

    async def _record_of(self, session: Session) -> ConversationRecord:
        newest: Iterable[Message] = ()
        if _kept_in(session) is None:
            newest = await self._store.sessions.messages(session.id, 1)
        record = _record_of(session, newest)
        self._remember(record)
        return record

    def _remember(self, record: ConversationRecord) -> None:
        """Where entries are: pydantic-ai asks for a history by its last one alone."""
        ends = [record.head_id, *record.branches]
        self._homes |= {end: record.conversation_id for end in ends if end is not None}
        for oldest in list(islice(self._homes, max(0, len(self._homes) - _HOMES))):
            del self._homes[oldest]

    async def _recent(self, entry: str, limit: int | None) -> list[Message]:
        """The last messages up to an entry, and one before; none if more is needed."""
        home = self._homes.get(entry)
        if home is None or limit is None or limit >= _PAGE:
            return []
        with suppress(NotFound):
            page = await self._store.sessions.messages(home, limit + 1)
            return list(page) if page and page[-1].id == entry else []
        return []

    async def _line(self, entry: str) -> list[Message]:
        """The messages up to an entry, which is looked for everywhere if need be."""
        home = self._homes.get(entry)
        if home is not None and (line := await self._line_in(home, entry)):
            return line
        async for session in self._listed():
            if line := await self._line_in(session.id, entry):
                return line
        raise NotFound("entry", entry)

    async def _line_in(self, id: str, entry: str) -> list[Message]:
        """The messages up to an entry, as `_line_of` finds them; none if not there."""
        with suppress(NotFound):
            sessions = self._store.sessions
            if line := _upto(entry, [m async for m in sessions.history(id)]):
                return line
            record = await self._record_of(await sessions.get(id))
            for tip in record.branches:
                if line := _upto(entry, await self._marked(_mark(id, tip))):
                    return line
        return []

    async def _marked(self, mark: str) -> list[Message]:
        found: list[Message] = []
        cursor: str | None = None
        while True:
            page = await self._store.sessions.marked(mark, limit=_PAGE, cursor=cursor)
            found += page
            cursor = page.cursor
            if cursor is None:
                return found

    async def _listed(self) -> AsyncIterator[Session]:
        cursor: str | None = None
        while True:
            page = await self._store.sessions.list(tag=_TAG, limit=_PAGE, cursor=cursor)
            for session in page:
                yield session
            cursor = page.cursor
            if cursor is None:
                return


class _Kept(msgspec.Struct, frozen=True):
    """A record as it was saved, and the session's version then."""

    record: dict[str, Any]
    version: int


def _found_in(session: Session) -> tuple[ConversationRecord, int] | None:
    """The record that was saved with a session, and its version then."""
    try:
        kept = msgspec.convert((session.metadata or {})[_OURS], _Kept)
        return _Record.validate_json(msgspec.json.encode(kept.record)), kept.version
    except (LookupError, ValueError):
        return None


def _kept_in(session: Session) -> ConversationRecord | None:
    """The record that was saved with a session; None if it has changed since."""
    record, version = _found_in(session) or (None, None)
    if record is None or record.conversation_id != session.id:
        return None
    return record if version == session.version else None


def _record_of(session: Session, newest: Iterable[Message]) -> ConversationRecord:
    """A session's record; for one that others have changed, from what it is now."""
    if kept := _kept_in(session):
        return kept
    unsaved = ConversationRecord(conversation_id=session.id, head_id=None, revision="")
    record, _ = _found_in(session) or (unsaved, 0)
    is_own = record.conversation_id == session.id
    return replace(
        record,
        conversation_id=session.id,
        head_id=next((message.id for message in newest), None),
        branches=record.branches if is_own else [],
        revision=f"{record.revision if is_own else ''}@{session.version}",
        updated_at=session.updated_at,
    )


def _there(tx: OpenTransaction, id: str) -> ConversationRecord | None:
    """The record of a conversation; None if there is none."""
    try:
        return _record_of(tx.sessions.get(id), tx.sessions.messages(id, 1))
    except NotFound:
        return None


def _locked(tx: OpenTransaction, id: str) -> ConversationRecord | None:
    """The record of a conversation, which nobody else changes until the commit."""
    with suppress(NotFound):
        tx.sessions.extend(id, ())
    return _there(tx, id)


def _write(
    tx: OpenTransaction,
    record: ConversationRecord,
    drafts: list[dict[str, Any]],
    base: str | None,
    expected: str | None,
) -> None:
    id = record.conversation_id
    there = _locked(tx, id)
    if (there.revision if there else None) != expected:
        raise ConversationConflict(id)
    if there is None:
        _begin(tx, record, base)
    elif base != there.head_id:
        _turn(tx, there, record, base)
    tx.sessions.extend(id, drafts)
    session = tx.sessions.get(id)
    kept = _Kept(_Record.dump_python(record, mode="json"), session.version + 1)
    tx.sessions.update(
        id,
        metadata={**(session.metadata or {}), _OURS: msgspec.structs.asdict(kept)},
        tags=UNSET if _TAG in session.tags else (*session.tags, _TAG),
    )


def _begin(tx: OpenTransaction, record: ConversationRecord, base: str | None) -> None:
    """Begin a session; that of a fork with what it shares."""
    id, source = record.conversation_id, record.forked_from
    if base is None or source is None:
        tx.sessions.create(id=id)
        return
    *_, last = line = _line_of(tx, source, base)
    if last in tx.sessions.messages(source, 1, before=last.position + 1):
        tx.sessions.fork(source, last.position, new_id=id)
    else:
        tx.sessions.create(id=id)
        tx.sessions.extend(id, map(copied, line))


def _turn(
    tx: OpenTransaction,
    there: ConversationRecord,
    record: ConversationRecord,
    base: str | None,
) -> None:
    """Have a session show another history; what it leaves is marked, if it is kept."""
    id = record.conversation_id
    if there.head_id is not None and there.head_id in record.branches:
        tx.sessions.mark(id, new_id=_mark(id, there.head_id))
    line = [] if base is None else _line_of(tx, id, base)
    shown = list(tx.sessions.history(id))
    same = sum(1 for _ in takewhile(_is_same, zip(line, shown, strict=False)))
    if same < len(shown):
        tx.sessions.rewind(id, shown[same].position - 1)
    tx.sessions.extend(id, map(copied, line[same:]))
    for tip in set(there.branches) - set(record.branches):
        tx.sessions.unmark(_mark(id, tip))


def _line_of(tx: OpenTransaction, id: str, entry: str) -> list[Message]:
    """The messages up to an entry, of a conversation or of a branch that it left.

    Raises `NotFound`.
    """
    there = _there(tx, id)
    tips = there.branches if there else ()
    marks = (each(partial(tx.sessions.marked, _mark(id, tip))) for tip in tips)
    for line in (tx.sessions.history(id), *marks):
        if found := _upto(entry, line):
            return found
    raise NotFound("entry", entry)


def _mark(conversation: str, tip: str) -> str:
    """The id of the mark of a branch that a conversation has left."""
    return sha256(f"{conversation}/{tip}".encode()).hexdigest()[:32]


def _upto(entry: str, messages: Iterable[Message]) -> list[Message]:
    """The messages up to one; none if that is not among them."""
    line = []
    for message in messages:
        line.append(message)
        if message.id == entry:
            return line
    return []


def _is_same(pair: tuple[Message, Message]) -> bool:
    return pair[0].id == pair[1].id


def _delete(tx: OpenTransaction, id: str, expected: str) -> None:
    there = _locked(tx, id)
    if there is None or there.revision != expected:
        raise ConversationConflict(id)
    tx.sessions.delete(id)
