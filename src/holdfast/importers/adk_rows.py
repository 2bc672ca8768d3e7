"""Rows of ADK's own session services, in SQLite and PostgreSQL.

Answers for: which sessions, events and states a database has, in each of the forms that
ADK has had.
Leaves to others: what becomes of them (`adk`).
Always holds: a session's events come in the order in which ADK gives them; nothing is
unpickled: of the form before ADK 1.22, what an event did (its actions) stays unread.

    SqliteSessionService       times as seconds, an event as JSON
    DatabaseSessionService     times as times, an event as JSON
    the same, before ADK 1.22  a column for each part of an event; actions pickled
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from holdfast.importers.databases import Database, time_of

NEEDS = {"sessions", "events", "app_states", "user_states"}
_SESSIONS = """
select s.app_name, s.user_id, s.id, s.state, s.create_time, s.update_time, (
    select count(*) from events e
    where e.app_name = s.app_name and e.user_id = s.user_id and e.session_id = s.id)
from sessions s order by s.create_time, s.app_name, s.user_id, s.id
"""
_EVENTS = """
select {columns} from events e
where e.app_name = :app and e.user_id = :user and e.session_id = :session
order by e.timestamp, {tie}
"""
_LOST = """
select e.app_name, e.user_id, e.session_id, e.id from events e
where not exists (
    select 1 from sessions s
    where s.app_name = e.app_name and s.user_id = e.user_id and s.id = e.session_id)
order by e.app_name, e.user_id, e.session_id, e.id
"""
_APP_STATES = "select a.app_name, a.state, a.update_time from app_states a"
_USER_STATES = """
select u.app_name, u.user_id, u.state, u.update_time from user_states u
"""
_WHOLE = ("id", "invocation_id", "timestamp", "event_data")
_IN_PARTS = (
    "id",
    "invocation_id",
    "timestamp",
    "author",
    "branch",
    "partial",
    "turn_complete",
    "error_code",
    "error_message",
    "interrupted",
)
_JSON = (
    "content",
    "grounding_metadata",
    "custom_metadata",
    "usage_metadata",
    "citation_metadata",
    "input_transcription",
    "output_transcription",
    "long_running_tool_ids_json",
)
_PICKLED = "actions"


class TalkRow(msgspec.Struct, frozen=True):
    """A session as it is there, and how many events it has."""

    app: str
    user: str
    session: str
    state: object
    created_at: object
    updated_at: object
    events: int

    @property
    def place(self) -> str:
        """How a report names it."""
        return f"sessions[{self.app}, {self.user}, {self.session}]"


class EventRow(msgspec.Struct, frozen=True):
    """An event as it is there; `pickled` if what it did cannot be read."""

    place: str
    columns: dict[str, Any]
    pickled: bool

    def said(self) -> dict[str, Any]:
        """It as ADK's event takes it. Raises `ValueError`."""
        columns = dict(self.columns)
        at = time_of(columns.pop("timestamp")).timestamp()
        if "event_data" in columns:
            data = object_in(columns.pop("event_data"))
            return {**data, **columns, "timestamp": data.get("timestamp") or at}
        for name in _JSON:
            if columns.get(name) is not None:
                columns[name] = _decoded(columns[name])
        if (ids := columns.pop("long_running_tool_ids_json", None)) is not None:
            columns["long_running_tool_ids"] = ids
        there = {name: value for name, value in columns.items() if value is not None}
        return {**there, "timestamp": at}


class StateRow(msgspec.Struct, frozen=True):
    """The state of an app or, if `names` has another, of one of its users."""

    names: tuple[str, ...]
    state: object
    updated_at: object

    @property
    def place(self) -> str:
        """How a report names it."""
        table = "app_states" if len(self.names) == 1 else "user_states"
        return f"{table}[{', '.join(self.names)}]"


def talks_in(database: Database) -> Iterator[TalkRow]:
    """The sessions, the oldest first."""
    for row in database.rows(_SESSIONS):
        yield TalkRow(*row)


def events_of(database: Database, talk: TalkRow) -> Iterator[EventRow]:
    """The events of a session."""
    columns = database.tables["events"]
    wanted: Sequence[str] = _WHOLE
    if "event_data" not in columns:
        wanted = [name for name in (*_IN_PARTS, *_JSON) if name in columns]
    pickled = f"e.{_PICKLED} is not null" if _PICKLED in columns else "null"
    sql = _EVENTS.format(
        columns=", ".join([f"e.{name}" for name in wanted] + [pickled]),
        tie="e.rowid" if _is_of_sqlite_service(database) else "e.id",
    )
    named = {"app": talk.app, "user": talk.user, "session": talk.session}
    for *values, is_pickled in database.rows(sql, **named):
        place = f"events[{talk.app}, {talk.user}, {talk.session}, {values[0]}]"
        row = dict(zip(wanted, values, strict=True))
        yield EventRow(place, row, pickled=bool(is_pickled))


def lost_in(database: Database) -> Iterator[tuple[str, str]]:
    """Events whose session is not there: their places, and why they stay."""
    for app, user, session, id in database.rows(_LOST):
        place = f"events[{app}, {user}, {session}, {id}]"
        yield place, f"its session {session!r} is not there"


def states_in(database: Database) -> Iterator[StateRow]:
    """The states of apps, then those of their users."""
    for sql in (_APP_STATES, _USER_STATES):
        for *names, state, updated_at in database.rows(sql):
            yield StateRow(tuple(names), state, updated_at)


def object_in(value: object) -> dict[str, Any]:
    """What JSON of an object says, if it was not read yet. Raises `ValueError`."""
    found = _decoded(value)
    if not isinstance(found, dict):
        raise ValueError("it is no object")  # noqa: TRY004
    return found


def _decoded(value: object) -> object:
    return json.loads(value) if isinstance(value, (str, bytes)) else value


def _is_of_sqlite_service(database: Database) -> bool:
    """Whether events of one time stand in the order in which they came."""
    return (
        "event_data" in database.tables["events"]
        and "adk_internal_metadata" not in database.tables
    )
