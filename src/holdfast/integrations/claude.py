"""Claude Agent SDK: its transcripts, kept as sessions.

Answers for: `HoldfastSessionStore`, the session store that the SDK's options take:
appending, loading, listing, deleting; the summaries that the SDK lists sessions by.
Leaves to others: what an entry says as a message (`_claude_entries`), ids of sessions
(`_claude_names`).
Always holds: what one call appends is one transaction; an entry that is there (by its
`uuid`) is not there twice; an entry comes back equal.

A transcript is a session, a subagent's has the main one as its `parent`. Its id is the
SDK's session id and the project's key, `session_id_of(key)`. The tag of the project is
what it is listed by; what else is needed stands in its metadata, under `claude`.
"""

import functools
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import datetime
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET

from holdfast.astore import AsyncStore
from holdfast.clock import to_us
from holdfast.contract import each
from holdfast.errors import AlreadyExists, NotFound, WrongType
from holdfast.integrations import extra
from holdfast.integrations._claude_entries import (
    draft_of,
    entry_of,
    storable,
    title_in,
)
from holdfast.integrations._claude_names import project_tag, session_id_of
from holdfast.kinds.session_records import Session
from holdfast.store import Store
from holdfast.transaction import OpenTransaction

with extra("claude"):
    from claude_agent_sdk import fold_session_summary
    from claude_agent_sdk.types import (
        SessionKey,
        SessionListSubkeysKey,
        SessionStore,
        SessionStoreEntry,
        SessionStoreListEntry,
        SessionSummaryEntry,
    )

__all__ = ["HoldfastSessionStore", "session_id_of"]

_OWN = "claude"
_AT_ONCE = 500
_PAGE = 100
_Draft: TypeAlias = dict[str, Any]


class _Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a session's metadata says of the transcript that it keeps."""

    project_key: str
    session_id: str
    subpath: str | None = None
    summary: dict[str, Any] | None = None


class HoldfastSessionStore(SessionStore):
    """A session store for the Claude Agent SDK, on a store of either face.

    `ClaudeAgentOptions(session_store=HoldfastSessionStore(store))`. The SDK awaits it
    on asyncio. Whose transcripts they are is the store's owner (`store.owned_by`).
    """

    def __init__(self, store: Store | AsyncStore) -> None:
        self._store = store.aio if isinstance(store, Store) else store

    async def append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        """Add entries to a transcript, all of them or none.

        One whose `uuid` is there already is left out. Raises `WrongType` (an empty
        subpath), `TooLarge` (an entry), `Held`.
        """
        if key.get("subpath") == "":
            raise WrongType(
                "subpath: it is left out for the main transcript, not empty"
            )
        if entries:
            await self._store.run(_append, key, entries, _drafts(entries))

    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """All entries of a transcript, in order; None if there is none.

        Messages that others have added to the session are no entries of it.
        """
        try:
            found = [
                entry_of(message)
                async for message in self._store.sessions.history(session_id_of(key))
            ]
        except NotFound:
            return None
        return [entry for entry in found if entry is not None]

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """The main transcripts of a project, and when each was last written."""
        return [
            {"session_id": kept.session_id, "mtime": _milliseconds(session)}
            async for session, kept in self._of_project(project_key)
        ]

    async def list_session_summaries(
        self, project_key: str
    ) -> list[SessionSummaryEntry]:
        """What the SDK knows of each main transcript of a project."""
        return [
            _summary(session, kept)
            async for session, kept in self._of_project(project_key)
        ]

    async def delete(self, key: SessionKey) -> None:
        """Delete a transcript, a main one with all that are below it.

        Forks that were made of it through the store stay. Raises `Held`.
        """
        await self._store.run(_delete, key)

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """The subpaths of the transcripts below a main one."""
        found = [
            kept.subpath
            async for _, kept in self._listed(parent=session_id_of(key))
            if kept.subpath is not None
        ]
        return found[::-1]

    def _of_project(self, project_key: str) -> AsyncIterator[tuple[Session, _Kept]]:
        return self._listed(tag=project_tag(project_key))

    async def _listed(
        self, *, tag: str | None = None, parent: str | None = None
    ) -> AsyncIterator[tuple[Session, _Kept]]:
        """The transcripts among sessions, the newest first."""
        cursor: str | None = None
        while True:
            page = await self._store.sessions.list(
                tag=tag, parent=parent, limit=_PAGE, cursor=cursor
            )
            for found in _transcripts(page):
                yield found
            cursor = page.cursor
            if cursor is None:
                return


def _drafts(entries: Iterable[SessionStoreEntry]) -> list[_Draft]:
    """The messages for entries, each `uuid` once."""
    drafts: dict[object, _Draft] = {}
    for place, entry in enumerate(entries):
        draft = draft_of(entry)
        drafts.setdefault(draft["id"] or place, draft)
    return list(drafts.values())


def _append(
    tx: OpenTransaction,
    key: SessionKey,
    entries: list[SessionStoreEntry],
    drafts: list[_Draft],
) -> None:
    id = session_id_of(key)
    drafts = [_said_by(tx.now, draft) for draft in drafts]
    try:
        _extend(tx, id, drafts)
    except NotFound:
        _begin(tx, key, entries, drafts)
        _extend(tx, id, drafts)
    else:
        if key.get("subpath") is None:
            _update(tx, key, entries)


def _said_by(now: datetime, draft: _Draft) -> _Draft:
    """A message that is not of the future, whatever another machine's clock says."""
    at = draft["created_at"]
    return draft if at is None or at <= now else {**draft, "created_at": now}


def _extend(tx: OpenTransaction, id: str, drafts: list[_Draft]) -> None:
    """Add messages that are not there; one that is there stays as it is."""
    try:
        _extend_all(tx, id, drafts)
    except AlreadyExists:
        there = {message.id for message in tx.sessions.history(id)}
        _extend_all(tx, id, [draft for draft in drafts if draft["id"] not in there])


def _extend_all(tx: OpenTransaction, id: str, drafts: list[_Draft]) -> None:
    for start in range(0, len(drafts), _AT_ONCE):
        tx.sessions.extend(id, drafts[start : start + _AT_ONCE])


def _begin(
    tx: OpenTransaction,
    key: SessionKey,
    entries: list[SessionStoreEntry],
    drafts: list[_Draft],
) -> None:
    """Make the session of a transcript; the one that it is below need not be there."""
    said = (draft["created_at"] for draft in drafts)
    begun = next((at for at in said if at is not None), tx.now)
    subpath = key.get("subpath")
    if subpath is None:
        parent, tags = None, [project_tag(key["project_key"])]
    else:
        parent, tags = session_id_of(_main_of(key)), []
    tx.sessions.admit(
        session_id_of(key),
        created_at=begun,
        updated_at=tx.now,
        title=title_in(entries, subpath or ""),
        parent=parent,
        metadata=_metadata(None, key, entries),
        tags=tags,
    )


def _update(
    tx: OpenTransaction, key: SessionKey, entries: list[SessionStoreEntry]
) -> None:
    """Bring what is known of a main transcript up to date, and its time of writing."""
    session = tx.sessions.get(session_id_of(key))
    tag = project_tag(key["project_key"])
    tx.sessions.update(
        session.id,
        title=title_in(entries, session.title),
        metadata=_metadata(session, key, entries),
        tags=UNSET if tag in session.tags else (*session.tags, tag),
    )


def _metadata(
    session: Session | None, key: SessionKey, entries: list[SessionStoreEntry]
) -> dict[str, Any]:
    """A session's metadata after entries were added to its transcript."""
    there = session and session.metadata
    kept = _Kept(key["project_key"], key["session_id"], key.get("subpath"))
    if kept.subpath is None:
        known = session and _kept_in(session)
        before = _summary(session, known) if session and known else None
        folded = fold_session_summary(before, key, entries)
        kept = msgspec.structs.replace(kept, summary=storable(folded["data"]))
    return {**(there or {}), _OWN: msgspec.to_builtins(kept)}


def _summary(session: Session, kept: _Kept) -> SessionSummaryEntry:
    return {
        "session_id": kept.session_id,
        "mtime": _milliseconds(session),
        "data": kept.summary or {},
    }


def _milliseconds(session: Session) -> int:
    """When a session was last written, as the SDK counts time."""
    return to_us(session.updated_at) // 1_000


def _delete(tx: OpenTransaction, key: SessionKey) -> None:
    id = session_id_of(key)
    if key.get("subpath") is None:
        children = each(functools.partial(tx.sessions.list, parent=id, limit=_PAGE))
        for child, _ in list(_transcripts(children)):
            tx.sessions.delete(child.id)
    tx.sessions.delete(id)


def _transcripts(sessions: Iterable[Session]) -> Iterator[tuple[Session, _Kept]]:
    """Those of sessions that keep a transcript, and not a fork of one."""
    for session in sessions:
        kept = _kept_in(session)
        if kept is not None:
            yield session, kept


def _kept_in(session: Session) -> _Kept | None:
    """What a session says of the transcript that it keeps; None if it keeps none."""
    try:
        kept = msgspec.convert((session.metadata or {}).get(_OWN), _Kept)
    except msgspec.ValidationError:
        return None
    return kept if session_id_of(_key_of(kept)) == session.id else None


def _key_of(kept: _Kept) -> SessionKey:
    key: SessionKey = {"project_key": kept.project_key, "session_id": kept.session_id}
    return key if kept.subpath is None else {**key, "subpath": kept.subpath}


def _main_of(key: SessionKey) -> SessionKey:
    return {"project_key": key["project_key"], "session_id": key["session_id"]}
