"""What ADK has in a store, and what is done with it in one transaction.

Answers for: which session is ADK's, its state and the state of its app and its user,
adding an event to it, reading it.
Leaves to others: how an event reads as a message (`_adk_events`), what ADK is given of
it (`adk`).
Always holds: an event and what it does to any state are one transaction; an event is
never added to a session that another event has reached since it was read; a session of
one app and user is no other's.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias
from urllib.parse import unquote

import msgspec

from holdfast.errors import NotFound
from holdfast.integrations import extra
from holdfast.integrations._adk_events import ADK, id_of, time_of
from holdfast.kinds.item_records import Item
from holdfast.kinds.session_records import Message
from holdfast.kinds.session_records import Session as Kept
from holdfast.kinds.sessions import Sessions
from holdfast.transaction import OpenTransaction

with extra("adk"):
    from google.adk import errors
    from google.adk.errors.already_exists_error import AlreadyExistsError
    from google.adk.sessions.base_session_service import GetSessionConfig
    from google.adk.sessions.state import State

_StaleSession = getattr(errors, "StaleSessionError", ValueError)
"""ADK has its own kind of `ValueError` for it since 2.7."""
Values: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[tuple[str, ...], str]
"""Where a state is: the namespace and the key of an item."""


class Names(msgspec.Struct, frozen=True):
    """What ADK knows a session by."""

    app: str
    user: str
    session: str

    @property
    def id(self) -> str:
        """The id of its session in the store."""
        return id_of(ADK, self.app, self.user, self.session)


Listed: TypeAlias = tuple[Names, Kept, list[Message]]
"""A session, and its newest message if it has one."""


class Deltas(msgspec.Struct, frozen=True):
    """What changes in the state of an app, of a user and of a session."""

    app: Values
    user: Values
    session: Values


class Seen(msgspec.Struct, frozen=True):
    """How far a copy of a session goes: its version, and its newest message's id.

    A copy that does not know its version has the time of its last event.
    """

    version: int | None
    newest: str
    updated: float

    @property
    def marker(self) -> str:
        """As a text, which the copy carries."""
        return f"{self.version} {self.newest}"


def tag_of(*names: str) -> str:
    """What the sessions of an app, or of one of its users, are tagged with."""
    return id_of(ADK, *names)


def place_of_app(app: str) -> Place:
    """Where the state of an app is."""
    return (ADK, "app"), id_of(app)


def place_of_user(app: str, user: str) -> Place:
    """Where the state of a user of an app is."""
    return (ADK, "user"), id_of(app, user)


def values_of(found: Iterable[Item | None]) -> list[Values]:
    """The states that are kept in items."""
    return [{} if item is None else item.value for item in found]


def read(
    tx: OpenTransaction, names: Names, asked: GetSessionConfig
) -> tuple[Kept, list[Message], Values]:
    """A session, those of its messages that may be asked for, and its state."""
    kept = tx.sessions.get(names.id)
    places = place_of_app(names.app), place_of_user(names.app, names.user)
    app, user = values_of(tx.items.get_each(places))
    return kept, _said(tx.sessions, names.id, asked), merged(kept, app, user)


def _said(sessions: Sessions, id: str, asked: GetSessionConfig) -> list[Message]:
    """The messages that may be asked for, oldest first; at least the newest."""
    wanted, since = asked.num_recent_events, asked.after_timestamp
    if wanted is None and since is None:
        return [*sessions.history(id)]
    found: list[Message] = []
    cursor = None
    while True:
        page = sessions.messages(id, cursor=cursor)
        found = [*page, *found]
        cursor = page.cursor
        if cursor is None or (wanted is not None and len(found) >= wanted):
            return found
        if since is not None and time_of(found[0]) < since:
            return found


def page_of(
    tx: OpenTransaction, tag: str, cursor: str | None
) -> tuple[list[Listed], str | None]:
    """Those of a page of sessions that are ADK's, each with its newest message."""
    page = tx.sessions.list(tag=tag, cursor=cursor)
    listed = [
        (names, kept, [*tx.sessions.messages(kept.id, last=1)])
        for kept in page
        if (names := _names_of(kept)) is not None
    ]
    return listed, page.cursor


def create(tx: OpenTransaction, names: Names, deltas: Deltas) -> tuple[Kept, Values]:
    """Begin a session; it, and its state. Raises ADK's `AlreadyExistsError`."""
    tx.sessions.lock(names.id)
    try:
        tx.sessions.get(names.id)
    except NotFound:
        kept = tx.sessions.create(
            id=names.id,
            metadata={ADK: {**msgspec.to_builtins(names), "state": deltas.session}},
            tags=(tag_of(names.app), tag_of(names.app, names.user)),
        )
    else:
        raise AlreadyExistsError(f"Session with id {names.session} already exists.")
    app = _changed(tx, place_of_app(names.app), deltas.app)
    user = _changed(tx, place_of_user(names.app, names.user), deltas.user)
    return kept, merged(kept, app, user)


def append(
    tx: OpenTransaction, names: Names, seen: Seen, message: Values
) -> tuple[bool, Seen | None]:
    """Add an event: whether it is new, and how far the session goes then.

    None if it is not new, and others have come since: a copy is as stale as it was.
    Raises `NotFound`, `Conflict` and ADK's `StaleSessionError` (the copy that was seen
    is stale), `AlreadyExists`, `Held`, `Fenced`.
    """
    id, said = names.id, message["metadata"][ADK]
    tx.sessions.lock(id)
    before = tx.sessions.get(id)
    tx.sessions.extend(id, [message], expect=_expected(tx, before, seen, names))
    after = tx.sessions.get(id)
    if after.version == before.version:
        newest = _newest(tx.sessions, id)
        if newest is None or newest.id != message["id"]:
            return False, None
        return False, Seen(after.version, message["id"], said["timestamp"])
    deltas = deltas_of(said.get("actions", {}).get("state_delta", {}))
    if deltas.session:
        metadata = after.metadata or {}
        ours = metadata.get(ADK, {})
        ours = ours | {"state": ours.get("state", {}) | deltas.session}
        after = tx.sessions.update(id, metadata=metadata | {ADK: ours})
    if deltas.app:
        _changed(tx, place_of_app(names.app), deltas.app)
    if deltas.user:
        _changed(tx, place_of_user(names.app, names.user), deltas.user)
    return True, Seen(after.version, message["id"], said["timestamp"])


def _expected(tx: OpenTransaction, before: Kept, seen: Seen, names: Names) -> int:
    """The version that a copy is of: today's, if no message came or went since."""
    if seen.version == before.version:
        return before.version
    newest = _newest(tx.sessions, names.id)
    if seen.newest == ("" if newest is None else newest.id):
        return before.version
    if seen.version is not None:
        return seen.version
    if newest is not None and time_of(newest) > seen.updated:
        raise stale(names.session)
    return before.version


def _newest(sessions: Sessions, id: str) -> Message | None:
    return next(iter(sessions.messages(id, last=1)), None)


def _names_of(kept: Kept) -> Names | None:
    """What ADK knows a session by; None for one that is not ADK's.

    Its id says it: a fork has the metadata of the session that it comes from.
    """
    _, *parts = map(unquote, kept.id.split(":"))
    if len(parts) != len(Names.__struct_fields__):
        said = (kept.metadata or {}).get(ADK, {})
        parts = [str(said.get(name)) for name in Names.__struct_fields__]
    names = Names(*parts)
    return names if names.id == kept.id else None


def deltas_of(state: Mapping[str, Any]) -> Deltas:
    """A plain state, by whose it is; what is only for now is nobody's."""
    deltas = Deltas({}, {}, {})
    for name, value in state.items():
        if name.startswith(State.APP_PREFIX):
            deltas.app[name.removeprefix(State.APP_PREFIX)] = value
        elif name.startswith(State.USER_PREFIX):
            deltas.user[name.removeprefix(State.USER_PREFIX)] = value
        elif not name.startswith(State.TEMP_PREFIX):
            deltas.session[name] = value
    return deltas


def merged(kept: Kept, app: Values, user: Values) -> Values:
    """The state of a session, with that of its app and its user."""
    own = (kept.metadata or {}).get(ADK, {}).get("state", {})
    return {
        **own,
        **{State.APP_PREFIX + name: value for name, value in app.items()},
        **{State.USER_PREFIX + name: value for name, value in user.items()},
    }


def _changed(tx: OpenTransaction, place: Place, delta: Values) -> Values:
    """The state at a place, with what changes in it."""
    if delta:
        tx.sessions.lock(place[1])  # on a server, two may change it at once
    (state,) = values_of(tx.items.get_each([place]))
    if delta:
        state = tx.items.put(*place, state | delta).value
    return state


def stale(session: str) -> ValueError:
    """The error for a copy of a session that others have added to."""
    return _StaleSession(
        f"Session {session} was added to since it was read; nothing was written: get "
        "it again before you append to it."
    )
