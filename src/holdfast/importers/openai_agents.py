"""The OpenAI Agents SDK: its own databases of sessions, brought into a store.

Answers for: `import_openai_agents`: what SQLiteSession and AdvancedSQLiteSession keep
in SQLite, and SQLAlchemySession there and on PostgreSQL; what of a row goes where.
Leaves to others: reading a database (`databases`), items as messages (`integrations`),
what is in the store already (`runtime/transfer`).
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
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from holdfast.errors import BadInput
from holdfast.importers.databases import (
    Database,
    Source,
    Unreadable,
    looked_at,
    time_of,
)
from holdfast.importers.report import (
    ImportReport,
    SetAside,
    SetAsides,
    report_of,
    sample_of,
)
from holdfast.integrations._openai_items import draft_of
from holdfast.kinds.exported import MessageLine, SessionLine
from holdfast.runtime.transfer.admission import Admission, arrival

if TYPE_CHECKING:
    from holdfast.store import Store

_MAIN = "main"
_SESSIONS = """
select s.session_id, s.created_at, s.updated_at from agent_sessions s
order by s.created_at, s.session_id
"""
_MESSAGES = """
select m.id, m.message_data, m.created_at from agent_messages m
where m.session_id = :session order by m.id
"""
_BRANCHES = """
select t.branch_id, min(t.created_at), max(t.created_at) from message_structure t
where t.session_id = :session group by t.branch_id order by t.branch_id <> 'main', 2, 1
"""
_ON_BRANCH = """
select m.id, m.message_data, m.created_at
from message_structure t join agent_messages m on m.id = t.message_id
where t.session_id = :session and t.branch_id = :branch order by t.sequence_number
"""
_ON_NO_BRANCH = """
select m.id, m.message_data from agent_messages m
where m.session_id = :session and not exists (
    select 1 from message_structure t where t.message_id = m.id)
order by m.id
"""
_LOST = """
select m.id, m.message_data, m.session_id from agent_messages m
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
    text: object
    created_at: object


Found: TypeAlias = tuple[str, _Talk | _Said | SetAside]


def import_openai_agents(store: "Store", source: Source) -> ImportReport:
    """Bring a database of the OpenAI Agents SDK's sessions into a store.

    Raises `CannotOpen`, and `BrokenFile` for one that is none, with nothing written.
    """
    needs = [{"agent_sessions", "agent_messages"}]
    with looked_at(store, source, "sessions of the OpenAI Agents SDK", needs) as there:
        return _taken_in(store, there)


def _taken_in(store: "Store", database: Database) -> ImportReport:
    limits = store._core.limits  # noqa: SLF001
    admission = Admission(store, limits, name=database.name)
    set_aside = SetAsides()
    position = 0
    for place, found in _found(database):
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
        return _aside(place, str(error), found.text)
    besides = f"; nor did its items, of which there are {found.items:,}, go in"
    return SetAside(place, None, f"{error}{besides}")


def _aside(place: str, reason: str, text: object) -> SetAside:
    """An item that does not go in, shown as it lies there."""
    if isinstance(text, str):
        text = text.encode(errors="surrogateescape")
    return SetAside(place, None, reason, sample_of(text))


def _session_line(found: _Talk) -> SessionLine:
    if not isinstance(found.session, str):
        raise ValueError("the session's id is no text")  # noqa: TRY004
    branch = found.branch != _MAIN
    return SessionLine(
        id=f"{found.session}:{found.branch}" if branch else found.session,
        created_at=time_of(found.created_at),
        updated_at=time_of(found.updated_at),
        version=found.items,
        messages=found.items,
        parent=found.session if branch else None,
        tags=(f"branch-of:{found.session}",) if branch else (),
    )


def _message_line(found: _Said, position: int) -> MessageLine:
    if not isinstance(found.text, (str, bytes)):
        raise ValueError("the item is no text")  # noqa: TRY004
    draft = draft_of(json.loads(found.text))
    return MessageLine(
        position=position,
        id=f"openai-agents-{found.no}",
        role=draft["role"],
        content=draft["content"],
        metadata=draft.get("metadata"),
        created_at=time_of(found.created_at),
    )


def _found(database: Database) -> Iterator[Found]:
    """What a database has; where a part of it cannot be read, the rest."""
    yield from _readable("agent_sessions", _sessions(database))
    yield from _readable("agent_messages", _lost(database))


def _readable(place: str, found: Iterator[Found]) -> Iterator[Found]:
    """What can be read; a fault that ends it is told of."""
    try:
        yield from found
    except Unreadable as error:
        reason = f"{error}; what comes after this could not be read"
        yield place, SetAside(place, None, reason)


def _sessions(database: Database) -> Iterator[Found]:
    of_session = _branches if "message_structure" in database.tables else _items
    for session, created_at, updated_at in database.rows(_SESSIONS):
        place = f"agent_sessions[{session}]"
        talk = _Talk(session, _MAIN, created_at, updated_at, 0)
        yield from _readable(place, of_session(database, place, talk))


def _branches(database: Database, place: str, talk: _Talk) -> Iterator[Found]:
    """A session's branches, the main one first, each with its items."""
    branches = [*database.rows(_BRANCHES, session=talk.session)]
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
    for no, text in database.rows(_ON_NO_BRANCH, session=talk.session):
        where = f"agent_messages[{no}]"
        yield where, _aside(where, "it is on no branch", text)


def _items(
    database: Database, place: str, talk: _Talk, said: str = _MESSAGES
) -> Iterator[Found]:
    """A session, and its items, as far as they can be read."""
    rows = []
    fault = None
    try:
        for row in database.rows(said, session=talk.session, branch=talk.branch):
            rows.append(row)  # noqa: PERF402  # what came before a fault is kept
    except Unreadable as error:
        fault = error
    yield place, msgspec.structs.replace(talk, items=len(rows))
    for row in rows:
        yield f"agent_messages[{row[0]}]", _Said(*row)
    if fault is not None:
        raise fault


def _lost(database: Database) -> Iterator[Found]:
    """Items whose session is not there."""
    for no, text, session in database.rows(_LOST):
        place = f"agent_messages[{no}]"
        reason = f"its session {session!r} is not there"
        yield place, _aside(place, reason, text)
