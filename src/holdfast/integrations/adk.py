"""Google ADK: its sessions and their state, kept as sessions of a store.

Answers for: a session service that ADK's runners take, whole; what a tool does, done
once.
Leaves to others: what is in the store, and when it may change (`_adk_kept`), how an
event reads as a message (`_adk_events`).
Always holds: a copy of a session that ADK has knows how far it goes.
"""

import json
from collections.abc import Callable
from inspect import BoundArguments, Parameter
from typing import Any

from holdfast.astore import AsyncStore
from holdfast.errors import AlreadyExists, Conflict, NotFound, Refused
from holdfast.integrations import extra
from holdfast.integrations._adk_events import event_of, id_of, message_of, time_of
from holdfast.integrations._adk_kept import (
    Listed,
    Names,
    Place,
    Seen,
    Values,
    append,
    create,
    deltas_of,
    merged,
    page_of,
    place_of_app,
    place_of_user,
    read,
    stale,
    tag_of,
    values_of,
)
from holdfast.integrations._once import (
    Call,
    Effect,
    adone,
    effect_of,
    key_of,
    tool_of,
)
from holdfast.kinds.session_records import Message
from holdfast.kinds.session_records import Session as Kept
from holdfast.store import Store

with extra("adk"):
    from google.adk.errors.already_exists_error import AlreadyExistsError
    from google.adk.errors.session_not_found_error import SessionNotFoundError
    from google.adk.events.event import Event
    from google.adk.events.event_actions import EventActions
    from google.adk.sessions.base_session_service import (
        BaseSessionService,
        GetSessionConfig,
        ListSessionsResponse,
    )
    from google.adk.sessions.session import Session
    from google.adk.tools.tool_context import ToolContext


class HoldfastSessionService(BaseSessionService):
    """ADK's sessions in a store, which stays the caller's to close."""

    def __init__(self, store: Store | AsyncStore) -> None:
        self._store = store.aio if isinstance(store, Store) else store

    @staticmethod
    def id_of(*, app_name: str, user_id: str, session_id: str) -> str:
        """The id that a session has in the store: `store.sessions.history(id)`."""
        return Names(app_name, user_id, session_id.strip()).id

    async def create_session(
        self,
        *,
        app_name: str,
        user_id: str,
        state: Values | None = None,
        session_id: str | None = None,
    ) -> Session:
        """Begin a session, with a state for it, its user and its app.

        Raises ADK's `AlreadyExistsError`.
        """
        session_id = (session_id or "").strip() or Event.new_id()
        names = Names(app_name, user_id, session_id)
        kept, shown = await self._store.run(create, names, deltas_of(_plain(state)))
        return _session(names, kept, shown, [], _NONE)

    async def get_session(
        self,
        *,
        app_name: str,
        user_id: str,
        session_id: str,
        config: GetSessionConfig | None = None,
    ) -> Session | None:
        """A session with its events, or those that `config` asks for.

        None if there is no such session.
        """
        names = Names(app_name, user_id, session_id.strip())
        asked = config or GetSessionConfig()
        try:
            kept, said, shown = await self._store.read(read, names, asked)
        except NotFound:
            return None
        return _session(names, kept, shown, said, asked)

    async def list_sessions(
        self, *, app_name: str, user_id: str | None = None
    ) -> ListSessionsResponse:
        """All sessions of an app, or of one of its users, without their events.

        The one that was last added to comes last.
        """
        tag = tag_of(app_name) if user_id is None else tag_of(app_name, user_id)
        listed = await self._listed(tag)
        users = list({names.user for names, _, _ in listed})
        app, *theirs = await self._states(
            place_of_app(app_name), *(place_of_user(app_name, user) for user in users)
        )
        state_of = dict(zip(users, theirs, strict=True))
        found = [
            _session(names, kept, merged(kept, app, state_of[names.user]), said, _NONE)
            for names, kept, said in listed
        ]
        found.sort(key=lambda one: (one.last_update_time, one.user_id, one.id))
        return ListSessionsResponse(sessions=found)

    async def delete_session(
        self, *, app_name: str, user_id: str, session_id: str
    ) -> None:
        """Delete a session and its events; what its app and user have stays."""
        await self._store.sessions.delete(
            Names(app_name, user_id, session_id.strip()).id
        )

    async def get_user_state(self, *, app_name: str, user_id: str) -> Values:
        """What is kept for a user in an app, without the prefix `user:`."""
        (state,) = await self._states(place_of_user(app_name, user_id))
        return state

    async def append_event(self, session: Session, event: Event) -> Event:
        """Add an event, and do what it says to the states, in one transaction.

        One that is there already, and equal, is not added again. Raises ADK's
        `StaleSessionError` (others have added to the session since it was read: get it
        again), `SessionNotFoundError`, `AlreadyExistsError` (another event has its id).
        """
        if event.partial:
            return event
        names = Names(session.app_name, session.user_id, session.id)
        message = message_of(event)
        try:
            new, seen = await self._store.run(append, names, _seen(session), message)
        except NotFound as error:
            raise SessionNotFoundError(f"Session {session.id} not found.") from error
        except AlreadyExists as error:
            raise AlreadyExistsError(str(error)) from error
        except Conflict as error:
            raise stale(session.id) from error
        if seen is None:
            return event
        _mark(session, seen)
        if not new and any(there.id == event.id for there in session.events):
            return event
        return await super().append_event(session, event)

    def tool_once(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What a tool does, done once for each call, also if ADK makes it again.

        It stands right above `def`. The first parameter of the function is `tx`, if
        what it does is in the store, or `key`, if it is outside; the model is not shown
        it. Raises `WrongType` for another function; the tool raises `Refused` in an app
        that is not resumable.
        """
        effect = effect_of(function)

        async def call(context: ToolContext, given: BoundArguments) -> Any:
            key = key_of(effect.name, *_place_of(effect, context))
            return await adone(self._store, Call(effect, key, given))

        return tool_of(effect, call, _context_in(effect), awaited=True)

    async def _listed(self, tag: str) -> list[Listed]:
        """Sessions with a tag, each with its newest message, read page by page."""
        found: list[Listed] = []
        cursor = None
        while True:
            listed, cursor = await self._store.read(page_of, tag, cursor)
            found += listed
            if cursor is None:
                return found

    async def _states(self, *places: Place) -> list[Values]:
        return values_of(await self._store.items.get_each(places))


_NONE = GetSessionConfig(num_recent_events=0)


def _context_in(effect: Effect) -> Parameter:
    """By which parameter ADK hands a tool its context: the user's, or one of ours."""
    theirs = effect.takes.parameters.values()
    ours = Parameter("tool_context", Parameter.KEYWORD_ONLY, annotation=ToolContext)
    return next((one for one in theirs if one.annotation is ToolContext), ours)


def _place_of(effect: Effect, context: ToolContext) -> tuple[str, str]:
    """Where a call stands: its session, and the id that it has there."""
    if not context.get_invocation_context().is_resumable:
        raise Refused(
            f"tool {effect.name!r}: its app is not resumable, and would ask its model "
            "anew after a crash, for what is another call then; nothing was done: give "
            "the App resumability_config=ResumabilityConfig(is_resumable=True)"
        )
    session, id = context.session, context.function_call_id
    assert id is not None, "ADK gives each call an id before it makes it"
    return Names(session.app_name, session.user_id, session.id).id, id


def _seen(session: Session) -> Seen:
    """How far a copy of a session goes."""
    marker = session._storage_update_marker
    if marker is not None:
        version, _, newest = marker.partition(" ")
        return Seen(int(version), newest, session.last_update_time)
    newest = id_of(session.events[-1].id) if session.events else ""
    return Seen(None, newest, session.last_update_time)


def _mark(session: Session, seen: Seen) -> None:
    session.last_update_time = seen.updated
    session._storage_update_marker = seen.marker


def _session(
    names: Names,
    kept: Kept,
    state: Values,
    said: list[Message],
    asked: GetSessionConfig,
) -> Session:
    session = Session(
        app_name=names.app,
        user_id=names.user,
        id=names.session,
        state=state,
        events=[event_of(message) for message in _chosen(said, asked)],
    )
    newest = said[-1].id if said else ""
    updated = time_of(said[-1]) if said else kept.created_at.timestamp()
    _mark(session, Seen(kept.version, newest, updated))
    return session


def _chosen(said: list[Message], asked: GetSessionConfig) -> list[Message]:
    """The messages at the end that are asked for."""
    first = 0
    if asked.num_recent_events is not None:
        first = max(0, len(said) - asked.num_recent_events)
    if (since := asked.after_timestamp) is not None:
        early = [n for n, message in enumerate(said) if time_of(message) < since]
        first = max(first, early[-1] + 1 if early else 0)
    return said[first:]


def _plain(state: Values | None) -> Values:
    """A state as the data that JSON can carry, as ADK makes it of an event's."""
    said = EventActions(state_delta=state or {}).model_dump_json(
        include={"state_delta"}
    )
    plain: Values = json.loads(said)["state_delta"]
    return plain
