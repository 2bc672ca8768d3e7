"""The OpenAI Agents SDK: its own databases of sessions, brought into a store.

Answers for: `import_openai_agents`: what SQLiteSession, AdvancedSQLiteSession and
SQLAlchemySession keep in SQLite; what of a row goes where.
Leaves to others: items as messages (`integrations`), what is in the store already
(`runtime/admission`).
Always holds: a database is only read; every item is kept so that `HoldfastSession`
gives it back equal; a row that is no item, and whatever else does not go in, is told
of, and the rest goes in; twice adds nothing.

    there                             here
    agent_sessions                    sessions
    a branch of message_structure     a session, `id:branch`, as HoldfastSession has it
    agent_messages.message_data       a message
    agent_messages.id                 its id, behind `openai-agents-`
    created_at, updated_at (UTC)      the same
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from holdfast.errors import BadInput, BrokenFile, CannotOpen
from holdfast.importers.databases import is_database, opened
from holdfast.importers.report import ImportReport, SetAside, report_of, sample_of
from holdfast.integrations._openai_items import draft_of
from holdfast.kinds.exported import MessageLine, SessionLine
from holdfast.runtime.admission import Admission, arrival
from holdfast.runtime.exporting import refuse_own_file

if TYPE_CHECKING:
    import os

    from holdfast.store import Store

_MAIN = "main"
_SESSIONS = """
select s.session_id, s.created_at, s.updated_at from agent_sessions s
order by s.created_at, s.session_id
"""
_MESSAGES = """
select m.id, cast(m.message_data as blob), m.created_at from agent_messages m
where m.session_id = :session order by m.id
"""
_BRANCHES = """
select t.branch_id, min(t.created_at), max(t.created_at) from message_structure t
where t.session_id = :session group by t.branch_id order by t.branch_id <> 'main', 2, 1
"""
_ON_BRANCH = """
select m.id, cast(m.message_data as blob), m.created_at
from message_structure t join agent_messages m on m.id = t.message_id
where t.session_id = :session and t.branch_id = :branch order by t.sequence_number
"""
_ON_NO_BRANCH = """
select m.id, cast(m.message_data as blob) from agent_messages m
where m.session_id = :session and not exists (
    select 1 from message_structure t where t.message_id = m.id)
order by m.id
"""
_LOST = """
select m.id, cast(m.message_data as blob), m.session_id from agent_messages m
where not exists (
    select 1 from agent_sessions s where s.session_id = m.session_id)
order by m.id
"""


class _Talk(msgspec.Struct, frozen=True):
    """A session, or a branch of one, as it is there, with how many items."""

    session: object
    branch: str
    created_at: object
    updated_at: object
    items: int


class _Said(msgspec.Struct, frozen=True):
    """An item of the session before it, as it is there."""

    no: int
    text: bytes | None
    created_at: object


Found: TypeAlias = tuple[str, _Talk | _Said | SetAside]


def import_openai_agents(
    store: "Store", path: "str | os.PathLike[str]"
) -> ImportReport:
    """Bring a database of the OpenAI Agents SDK's sessions into a store.

    Raises `CannotOpen`, and `BrokenFile` for a file that is none, with nothing written.
    """
    path = Path(path)
    refuse_own_file(store, path, "imported")
    limits = store._core.limits  # noqa: SLF001
    admission = Admission(store, limits, name=path.name)
    set_aside: list[SetAside] = []
    position = 0
    for place, found in _found(path):
        if isinstance(found, SetAside):
            set_aside.append(found)
            continue
        try:
            if isinstance(found, _Talk):
                position = 0
                admission.take(arrival(_session_line(found), place, limits))
                position = 1
            elif position:
                line = _message_line(found, position)
                admission.take(arrival(line, place, limits))
                position += 1
        except (BadInput, ValueError, RecursionError) as error:
            set_aside.append(_refused(place, found, error))
    admission.flush()
    return report_of(admission.report(), set_aside)


def _refused(place: str, found: _Talk | _Said, error: Exception) -> SetAside:
    if isinstance(found, _Said):
        return SetAside(place, None, str(error), sample_of(found.text))
    besides = f"; nor did its items, of which there are {found.items:,}, go in"
    return SetAside(place, None, f"{error}{besides}")


def _session_line(found: _Talk) -> SessionLine:
    if not isinstance(found.session, str):
        raise ValueError("the session's id is no text")  # noqa: TRY004
    branch = found.branch != _MAIN
    return SessionLine(
        id=f"{found.session}:{found.branch}" if branch else found.session,
        created_at=_time(found.created_at),
        updated_at=_time(found.updated_at),
        version=found.items,
        messages=found.items,
        parent=found.session if branch else None,
        tags=(f"branch-of:{found.session}",) if branch else (),
    )


def _message_line(found: _Said, position: int) -> MessageLine:
    if found.text is None:
        raise ValueError("the item is missing")
    draft = draft_of(json.loads(found.text))
    return MessageLine(
        position=position,
        id=f"openai-agents-{found.no}",
        role=draft["role"],
        content=draft["content"],
        metadata=draft.get("metadata"),
        created_at=_time(found.created_at),
    )


def _time(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("a time is no text")  # noqa: TRY004
    at = datetime.fromisoformat(value)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _found(path: Path) -> Iterator[Found]:
    """What a database has; where a part of it cannot be read, the rest."""
    if not is_database(path):
        raise BrokenFile(f"{path}: no database of SQLite; nothing was imported")
    try:
        database = opened(path)
    except sqlite3.Error as error:
        raise CannotOpen(f"{path}: {error}; nothing was imported") from error
    with closing(database):
        tables = _tables(database, path)
        yield from _readable("agent_sessions", _sessions(database, tables))
        yield from _readable("agent_messages", _lost(database))


def _tables(database: sqlite3.Connection, path: Path) -> set[str]:
    """The names of the tables. Raises `BrokenFile` where the SDK's are missing."""
    try:
        tables = {
            name
            for (name,) in database.execute(
                "select name from sqlite_master where type = 'table'"
            )
        }
    except sqlite3.Error as error:
        raise BrokenFile(f"{path}: {error}; nothing was imported") from error
    if missing := {"agent_sessions", "agent_messages"} - tables:
        raise BrokenFile(
            f"{path}: no sessions of the OpenAI Agents SDK (it has no table "
            f"{min(missing)}); nothing was imported"
        )
    return tables


def _readable(place: str, found: Iterator[Found]) -> Iterator[Found]:
    """What can be read; a fault that ends it is told of."""
    try:
        yield from found
    except sqlite3.Error as error:
        reason = f"{error}; what comes after this could not be read"
        yield place, SetAside(place, None, reason)


def _sessions(database: sqlite3.Connection, tables: set[str]) -> Iterator[Found]:
    of_session = _branches if "message_structure" in tables else _items
    for session, created_at, updated_at in database.execute(_SESSIONS).fetchall():
        place = f"agent_sessions[{session}]"
        talk = _Talk(session, _MAIN, created_at, updated_at, 0)
        yield from _readable(place, of_session(database, place, talk))


def _branches(database: sqlite3.Connection, place: str, talk: _Talk) -> Iterator[Found]:
    """A session's branches, the main one first, each with its items."""
    named = {"session": talk.session}
    branches = database.execute(_BRANCHES, named).fetchall()
    if not branches:
        yield from _items(database, place, talk)
        return
    if branches[0][0] != _MAIN:
        yield place, talk
    for branch, created_at, updated_at in branches:
        found = talk
        if branch != _MAIN:
            found = _Talk(talk.session, branch, created_at, updated_at, 0)
        yield from _items(database, f"{place}.{branch}", found, _ON_BRANCH)
    for no, text in database.execute(_ON_NO_BRANCH, named):
        where = f"agent_messages[{no}]"
        yield where, SetAside(where, None, "it is on no branch", sample_of(text))


def _items(
    database: sqlite3.Connection, place: str, talk: _Talk, said: str = _MESSAGES
) -> Iterator[Found]:
    """A session, and its items, as far as they can be read."""
    rows = []
    fault = None
    try:
        named = {"session": talk.session, "branch": talk.branch}
        for row in database.execute(said, named):
            rows.append(row)  # noqa: PERF402  # what came before a fault is kept
    except sqlite3.Error as error:
        fault = error
    yield place, msgspec.structs.replace(talk, items=len(rows))
    for row in rows:
        yield f"agent_messages[{row[0]}]", _Said(*row)
    if fault is not None:
        raise fault


def _lost(database: sqlite3.Connection) -> Iterator[Found]:
    """Items whose session is not there."""
    for no, text, session in database.execute(_LOST):
        place = f"agent_messages[{no}]"
        reason = f"its session {session!r} is not there"
        yield place, SetAside(place, None, reason, sample_of(text))
