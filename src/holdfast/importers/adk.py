"""Google's ADK: its own databases of sessions, brought into a store.

Answers for: `import_adk`: what SqliteSessionService and DatabaseSessionService keep,
and what becomes of it.
Leaves to others: reading rows (`adk_rows`), events as messages and where states are
(`integrations`), what is in the store already (`runtime/transfer`, `item_intake`).
Always holds: a database is only read; `HoldfastSessionService` gives back what was
there; nothing is unpickled; what does not go in is told of, and the rest goes in; twice
adds nothing.

    there                     here
    sessions                  sessions; their state is in `metadata["adk"]`
    events                    messages
    app_states, user_states   items
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.errors import BadInput, Fenced, Held, NotFound
from holdfast.importers.adk_rows import (
    NEEDS,
    EventRow,
    StateRow,
    TalkRow,
    events_of,
    lost_in,
    object_in,
    states_in,
    talks_in,
)
from holdfast.importers.databases import (
    Database,
    Source,
    Unreadable,
    looked_at,
    time_of,
)
from holdfast.importers.item_intake import Arrived, ItemIntake
from holdfast.importers.report import (
    ImportReport,
    SetAside,
    SetAsides,
    report_of,
    sample_of,
)
from holdfast.integrations import extra
from holdfast.integrations._adk_events import ADK, message_of
from holdfast.integrations._adk_kept import (
    Names,
    place_of_app,
    place_of_user,
    tag_of,
)
from holdfast.kinds.exported import MessageLine, SessionLine
from holdfast.runtime.transfer.admission import Admission, arrival

with extra("adk"):
    from google.adk.events.event import Event

if TYPE_CHECKING:
    from holdfast.store import Store
    from holdfast.transaction import OpenTransaction

_FAULTS = (BadInput, ValueError, TypeError, RecursionError)


def import_adk(store: "Store", source: Source) -> ImportReport:
    """Bring a database of ADK's sessions into a store, with all states.

    Actions that versions before 1.22 have pickled are set aside; their events go in
    without them. Raises `CannotOpen`, and `BrokenFile` for a database that is none,
    with nothing written.
    """
    with looked_at(store, source, "sessions of ADK", [NEEDS]) as there:
        return _Intake(store, there).all()


class _Intake:
    """Takes all of a database into a store."""

    def __init__(self, store: "Store", database: Database) -> None:
        self._store = store
        self._database = database
        self._limits = store._core.limits  # noqa: SLF001
        self._admission = Admission(store, self._limits, name=database.name)
        self._set_aside = SetAsides()
        self._states = ItemIntake(store, database.name, "state", self._set_aside)

    def all(self) -> ImportReport:
        """Take it in; what became of it."""
        with self._readable("sessions"):
            for talk in talks_in(self._database):
                self._take(talk)
        with self._readable("events"):
            for place, reason in lost_in(self._database):
                self._tell(place, reason)
        with self._readable("app_states, user_states"):
            for state in states_in(self._database):
                self._take_state(state)
        self._admission.flush()
        self._states.flush()
        done = self._admission.report()
        return report_of(done, self._set_aside, [self._states.count()])

    def _take(self, talk: TalkRow) -> None:
        """Take in a session, and its events as far as they can be read."""
        try:
            line = _session_line(talk)
            here = self._other_state(line)
            if here is not None:
                line = msgspec.structs.replace(line, metadata=here)
            self._admission.take(arrival(line, talk.place, self._limits))
        except _FAULTS as error:
            besides = f"nor did its events, of which there are {talk.events:,}, go in"
            self._tell(talk.place, f"{error}; {besides}")
            return
        newest = self._take_events(talk, line)
        if here is not None:
            self._admission.flush()
            self._settle(talk, line.id, newest)

    def _settle(self, talk: TalkRow, id: str, newest: tuple[int, str | None]) -> None:
        """Have a session's state be as it is there, if its events are by now."""
        run, state, cause = self._store.run, object_in(talk.state), self._database.name
        try:
            run(_with_state, id, state, newest, actor="import", cause=cause)
        except (Held, Fenced, NotFound, BadInput) as error:
            self._tell(talk.place, f"its state: {error}")

    def _other_state(self, line: SessionLine) -> dict[str, Any] | None:
        """The metadata of a session that is here, if another state is in it."""
        try:
            here = self._store.sessions.get(line.id).metadata or {}
        except NotFound:
            return None
        return here if _state_in(here) != _state_in(line.metadata or {}) else None

    def _take_events(self, talk: TalkRow, line: SessionLine) -> tuple[int, str | None]:
        """Take in events; how many, and the id of the newest."""
        position, newest, pickled = 0, None, 0
        with self._readable(talk.place):
            for row in events_of(self._database, talk):
                try:
                    message = _message_line(row, position + 1, line)
                    self._admission.take(arrival(message, row.place, self._limits))
                except _FAULTS as error:
                    self._tell(row.place, str(error), row.columns)
                else:
                    position, newest = position + 1, message.id
                    pickled += row.pickled
        if pickled:
            self._tell(
                talk.place,
                f"of its events, {pickled:,} have pickled actions, which only code "
                "could decode; they went in without those",
            )
        return position, newest

    def _take_state(self, row: StateRow) -> None:
        """Take in the state of an app or a user, if there is anything in it."""
        try:
            value, at = object_in(row.state), time_of(row.updated_at)
        except _FAULTS as error:
            self._tell(row.place, str(error), row.state)
            return
        if value:
            place = place_of_app if len(row.names) == 1 else place_of_user
            namespace, key = place(*row.names)
            put = {"namespace": namespace, "key": key, "value": value}
            self._states.take(Arrived(row.place, put, at))

    @contextmanager
    def _readable(self, place: str) -> Iterator[None]:
        """Around reading from a place: a fault that ends it is told of."""
        try:
            yield
        except Unreadable as error:
            self._tell(place, f"{error}; what comes after this could not be read")

    def _tell(self, place: str, reason: str, sample: object = None) -> None:
        shown = "" if sample is None else sample_of(sample)
        self._set_aside.append(SetAside(place, None, reason, shown))


def _session_line(talk: TalkRow) -> SessionLine:
    names = Names(talk.app, talk.user, talk.session)
    state = object_in(talk.state)
    return SessionLine(
        id=names.id,
        created_at=time_of(talk.created_at),
        updated_at=time_of(talk.updated_at),
        version=talk.events,
        messages=talk.events,
        metadata={ADK: {**msgspec.to_builtins(names), "state": state}},
        tags=(tag_of(names.app), tag_of(names.app, names.user)),
    )


def _message_line(row: EventRow, position: int, of: SessionLine) -> MessageLine:
    draft = message_of(Event.model_validate(row.said()))
    return MessageLine(
        position=position,
        id=draft["id"],
        role=draft["role"],
        content=draft["content"],
        metadata=draft["metadata"],
        created_at=draft.get("created_at", of.created_at),
    )


def _state_in(metadata: dict[str, Any]) -> object:
    ours = metadata.get(ADK)
    return ours.get("state") if isinstance(ours, dict) else None


def _with_state(
    tx: "OpenTransaction",
    id: str,
    state: dict[str, Any],
    newest: tuple[int, str | None],
) -> None:
    """Give a session the state that it has there, if it has the same events here."""
    tx.sessions.lock(id)
    kept = tx.sessions.get(id)
    last = next((message.id for message in tx.sessions.messages(id, last=1)), None)
    if (kept.message_count, last) == newest:
        metadata = kept.metadata or {}
        ours = {**metadata.get(ADK, {}), "state": state}
        tx.sessions.update(id, metadata={**metadata, ADK: ours})
