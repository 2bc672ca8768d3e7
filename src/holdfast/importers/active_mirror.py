"""ActiveMirrorOS: its stores and its exports, brought into a store.

Answers for: `import_active_mirror`: the Python program's database and exports, the
JavaScript program's folder of sessions; what of a record goes where.
Leaves to others: what is in the store already (`runtime/transfer`).
Always holds: ids, times, roles, contents and metadata are kept; what has no place of
its own goes to metadata under its own name; a message without a session, and whatever
else does not go in, is told of; twice adds nothing.

    there                               a session or a message here
    id, title, role, content            the same
    parent_session_id, parentSessionId  parent
    created_at, createdAt, timestamp    created_at; without a zone it is local time
    updated_at, updatedAt               updated_at, and if a message is newer, metadata
    status                              status, if it is one of ours, else metadata
    user_id, userId, and others         metadata, under the same key
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from holdfast.errors import BadInput, BrokenFile, CannotOpen
from holdfast.importers.databases import is_database, opened
from holdfast.importers.report import (
    ImportReport,
    SetAside,
    SetAsides,
    report_of,
    sample_of,
)
from holdfast.kinds.exported import MessageLine, SessionLine
from holdfast.kinds.session_records import SessionStatus
from holdfast.runtime.transfer.admission import Admission, arrival
from holdfast.runtime.transfer.exporting import refuse_own_file

if TYPE_CHECKING:
    import os

    from holdfast.store import Store

FILE_BYTES = 1 << 28
"""A longer JSON file is refused: it is read at once."""
_INDEX = "index.json"
_DERIVED = {"id", "session_id", "sessionId", "message_count", "messageCount"}
_ABSENT = object()
Found: TypeAlias = tuple[str, "_Talk | _Said | SetAside"]


class _Talk(msgspec.Struct, frozen=True):
    """A session as it is there, how many messages it has, and when the last was."""

    fields: dict[str, Any]
    messages: int
    newest: object

    def besides(self) -> str:
        """What else is left out, if the session is."""
        return f"; nor did its messages, of which there are {self.messages:,}, go in"


class _Said(msgspec.Struct, frozen=True):
    """A message of the session before it, as it is there."""

    fields: dict[str, Any]

    def besides(self) -> str:
        """Nothing: a message stands by itself."""
        return ""


def import_active_mirror(
    store: "Store",
    path: "str | os.PathLike[str]",
    *,
    zone: tzinfo | None = None,
) -> ImportReport:
    """Bring a database, an export, or a folder of sessions into a store.

    Times without a zone are of `zone`, or else of this machine's. Raises `CannotOpen`,
    and `BrokenFile` for a file that is none of these, with nothing written.
    """
    path = Path(path)
    refuse_own_file(store, path, "imported")
    limits = store._core.limits  # noqa: SLF001
    admission = Admission(store, limits, name=path.name)
    reader = _Reader(zone)
    set_aside = SetAsides()
    for place, found in _all_before(_found(path), admission):
        if isinstance(found, SetAside):
            set_aside.append(found)
            continue
        try:
            line = reader.line(found)
            if line is not None:
                admission.take(arrival(line, place, limits))
                reader.taken()
        except (BadInput, ValueError) as error:
            reason = f"{error}{found.besides()}"
            set_aside.append(SetAside(place, None, reason, sample_of(found.fields)))
    admission.flush()
    return report_of(admission.report(), set_aside)


def _all_before(records: Iterator[Found], admission: Admission) -> Iterator[Found]:
    """What is found; where a file breaks off, all that came before it goes in."""
    try:
        yield from records
    except BrokenFile:
        admission.flush()
        raise


class _Reader:
    """Makes records of ours of what is there; messages get their positions."""

    def __init__(self, zone: tzinfo | None) -> None:
        self._zone = zone
        self._position = 0
        self._in_session = False

    def line(self, found: _Talk | _Said) -> SessionLine | MessageLine | None:
        """The record of ours; None for a message whose session was set aside."""
        if isinstance(found, _Talk):
            self._in_session, self._position = False, 0
            return self._session(found)
        return self._message(found.fields) if self._in_session else None

    def taken(self) -> None:
        """Go on: the record went in."""
        self._in_session = True
        self._position += 1

    def _session(self, found: _Talk) -> SessionLine:
        fields = _Fields(found.fields)
        created_at = self._time(fields.take("created_at", "createdAt"))
        updated = fields.take("updated_at", "updatedAt", other=None)
        updated_at = created_at if updated is None else self._time(updated)
        status = fields.take("status", other="active")
        metadata = fields.metadata()
        if status not in list(SessionStatus):
            metadata, status = {**metadata, "status": status}, "active"
        if updated is not None and self._is_before(updated_at, found.newest):
            metadata = {**metadata, "updated_at": updated}
        return SessionLine(
            id=fields.take("id"),
            created_at=created_at,
            updated_at=updated_at,
            version=found.messages,
            messages=found.messages,
            title=fields.take("title", other="") or "",
            status=status,
            parent=fields.take("parent_session_id", "parentSessionId", other="")
            or None,
            metadata={**fields.rest(), **metadata} or None,
        )

    def _message(self, found: dict[str, Any]) -> MessageLine:
        fields = _Fields(found)
        created_at = self._time(fields.take("timestamp"))
        metadata = fields.metadata()
        return MessageLine(
            position=self._position,
            id=fields.take("id"),
            role=fields.take("role"),
            content=fields.take("content"),
            metadata={**fields.rest(), **metadata} or None,
            created_at=created_at,
        )

    def _is_before(self, at: datetime, newest: object) -> bool:
        """Whether the newest message came after a time, if it says when it came."""
        try:
            return newest is not None and at < self._time(newest)
        except ValueError:
            return False

    def _time(self, value: object) -> datetime:
        if not isinstance(value, str):
            raise ValueError("a time is no text")  # noqa: TRY004
        at = datetime.fromisoformat(value)
        if at.tzinfo is not None:
            return at
        if self._zone is not None:
            return at.replace(tzinfo=self._zone)
        try:
            return at.astimezone()
        except OverflowError:
            raise ValueError(f"{value!r} is past the years 1 to 9999") from None


class _Fields:
    """The fields of a record, each of which is taken once."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = dict(fields)

    def take(self, *names: str, other: Any = _ABSENT) -> Any:
        """The first of these fields that is there."""
        for name in names:
            if name in self._fields:
                return self._fields.pop(name)
        if other is _ABSENT:
            raise ValueError(f"{names[0]} is missing")
        return other

    def metadata(self) -> dict[str, Any]:
        """What is said beside the other fields."""
        found = self.take("metadata", other=None)
        if not isinstance(found, dict | None):
            raise ValueError("its metadata is no object")  # noqa: TRY004
        return found or {}

    def rest(self) -> dict[str, Any]:
        """What was not taken and cannot be told from elsewhere."""
        return {
            name: value for name, value in self._fields.items() if name not in _DERIVED
        }


def _found(path: Path) -> Iterator[Found]:
    """What a path has, whatever it is."""
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise CannotOpen(f"{path}: {error.strerror}; nothing was imported") from error
    if is_folder:
        yield from _in_folder(path)
    elif is_database(path):
        yield from _in_database(path, "")
    else:
        yield from _in_file(path, "")


def _in_folder(path: Path) -> Iterator[Found]:
    files = sorted(path.glob("*.json")) + sorted(path.glob("*.db"))
    files = [file for file in files if file.name != _INDEX]
    if not files:
        raise BrokenFile(f"{path}: no session is in it; nothing was imported")
    for file in files:
        read = _in_database if file.suffix == ".db" else _in_file
        try:
            yield from read(file, f"{file.name}: ")
        except (BadInput, CannotOpen) as error:
            yield "", SetAside(file.name, None, str(error))
    yield from _missing_of(path)


def _missing_of(path: Path) -> Iterator[Found]:
    """Sessions that a folder's index names, and that have no file."""
    try:
        index = msgspec.json.decode(path.joinpath(_INDEX).read_bytes(), type=_Index)
    except (OSError, msgspec.DecodeError):
        return
    there = {file.name for file in path.glob("*.json")}
    for id in index.sessions:
        if f"{id}.json" not in there:
            yield "", SetAside(_INDEX, None, f"session {id!r} has no file here")


class _Index(msgspec.Struct):
    sessions: list[str] = []


def _in_file(path: Path, name: str) -> Iterator[Found]:
    """The session of a JSON file."""
    try:
        if path.stat().st_size > FILE_BYTES:
            raise BrokenFile(f"{path}: longer than {FILE_BYTES:,} bytes; not imported")
        fields = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        messages = msgspec.convert(fields.pop("messages"), list[dict[str, Any]])
    except OSError as error:
        raise CannotOpen(f"{path}: {error.strerror}; not imported") from error
    except KeyError:
        raise BrokenFile(
            f"{path}: no session of ActiveMirrorOS (it has no messages); not imported"
        ) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise BrokenFile(
            f"{path}: no session of ActiveMirrorOS ({error}); not imported"
        ) from None
    newest = messages[-1].get("timestamp") if messages else None
    yield f"{name}session", _Talk(fields, len(messages), newest)
    for number, message in enumerate(messages):
        yield f"{name}messages[{number}]", _Said(message)


def _in_database(path: Path, name: str) -> Iterator[Found]:
    """The sessions of a database, and the messages that belong to none of them."""
    try:
        with closing(opened(path)) as database:
            for place, found in _sessions_in(database):
                yield name + place, found
    except sqlite3.Error as error:
        raise BrokenFile(f"{path}: {error}; what came before it is in") from error


def _sessions_in(database: sqlite3.Connection) -> Iterator[Found]:
    for row in database.execute("select * from sessions order by created_at, id"):
        count, newest = database.execute(
            "select count(*), max(timestamp) from messages where session_id = ?",
            (row["id"],),
        ).fetchone()
        place = f"sessions[{row['id']}]"
        yield place, _Talk(_decoded(row), count, newest)
        said = database.execute(
            "select * from messages where session_id = ? order by timestamp, rowid",
            (row["id"],),
        )
        for message in said:
            fields = _decoded(message)
            yield f"messages[{fields.get('id')}]", _Said(fields)
    orphans = database.execute(
        "select * from messages where not exists"
        " (select 1 from sessions where sessions.id = messages.session_id)"
        " order by timestamp, rowid"
    )
    for message in orphans:
        fields = dict(message)
        place = f"messages[{fields.get('id')}]"
        reason = f"its session {fields['session_id']!r} is not there"
        yield place, SetAside(place, None, reason, sample_of(fields))


def _decoded(row: sqlite3.Row) -> dict[str, Any]:
    """A row, with its metadata as what the JSON text stands for."""
    fields = dict(row)
    text = fields.get("metadata") or "null"
    if isinstance(text, (str, bytes)):
        # What is no JSON stays text, which is told of.
        with suppress(msgspec.DecodeError, RecursionError):
            fields["metadata"] = msgspec.json.decode(text)
    return fields
