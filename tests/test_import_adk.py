"""Importing from ADK: its own services' databases in each form, whole and safely."""

import asyncio
import pickle
import sqlite3
from contextlib import contextmanager

import pytest
from google.adk.events.event_actions import EventActions
from google.adk.sessions.database_session_service import DatabaseSessionService
from google.adk.sessions.schemas import v0
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from sqlalchemy import create_engine
from sqlalchemy.orm import Session as Opened

import holdfast
from conftest import place_on
from foreign import asyncs_url, foreign_database
from holdfast.cli import main
from holdfast.importers.adk import import_adk
from holdfast.integrations.adk import HoldfastSessionService
from test_adk import ID, TALK, WHO, event, of_every_kind


@pytest.fixture
def store(request, tmp_path):
    engine = getattr(request, "param", "memory")
    with place_on(engine, tmp_path) as target, holdfast.open(target) as opened:
        yield opened
        assert opened.check().problems == ()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "theirs.db"


@contextmanager
def place_of(kind, file):
    """Where a service of theirs keeps, and what makes the service."""
    if kind == "sqlite":
        yield file, lambda: SqliteSessionService(str(file))
    elif kind == "database":
        yield file, lambda: DatabaseSessionService(f"sqlite+aiosqlite:///{file}")
    else:
        with foreign_database() as url:
            yield url, lambda: DatabaseSessionService(asyncs_url(url))


def with_theirs(made, work):
    """What comes of work with a service of theirs."""

    async def run():
        service = made()
        try:
            return await work(service)
        finally:
            if isinstance(service, DatabaseSessionService):
                await service.db_engine.dispose()

    return asyncio.run(run())


STATE = {"app:a": 1, "user:u": [2], "own": {"x": None}, "temp:t": 0}


async def talked(service):
    """Sessions with events of every kind and states of every reach."""
    session = await service.create_session(**TALK, state=STATE)
    for number, one in enumerate(of_every_kind()):
        one.id = one.id[:120]
        one.timestamp = 1_750_000_000.25 + number // 2
        await service.append_event(session, one)
    await service.append_event(session, event(state={"own": 5, "app:b": 2}))
    await service.create_session(**WHO, session_id="a/b: c")
    return await everything(service)


async def everything(service):
    found = []
    for id in ("s1", "a/b: c"):
        session = await service.get_session(**WHO, session_id=id)
        if session is not None:
            found.append(session.model_dump())
    return found


def as_near(session):
    """A session as it equals what was kept: some services cut off microseconds."""
    at = pytest.approx(session["last_update_time"], rel=0, abs=2e-6)
    return session | {"last_update_time": at}


def ours_in(store):
    return asyncio.run(everything(HoldfastSessionService(store)))


def states(report):
    (count,) = report.others
    return count.found, count.added


@pytest.mark.parametrize(
    ("kind", "store"),
    [("sqlite", "memory"), ("database", "memory"), ("postgres", "postgres")],
    indirect=["store"],
)
def test_all_sessions_come_with_all_events_and_states(kind, store, file):
    with place_of(kind, file) as (source, made):
        wanted = with_theirs(made, talked)
        report = import_adk(store, source)
        assert report.set_aside == ()
        assert ours_in(store) == [as_near(session) for session in wanted]
        assert (report.sessions_added, report.added) == (2, len(wanted[0]["events"]))
        assert states(report) == (2, 2)
        moment = store.moment()
        again = import_adk(store, source)
        assert (again.added, again.set_aside, states(again)) == (0, (), (2, 0))
        assert store.moment() == moment


def change(file, *statements):
    with sqlite3.connect(file) as database:
        for statement, *values in statements:
            database.execute(statement, values)
    database.close()


async def said(service, *texts, session="s1", state=None):
    """Events that go on in a session, which is begun if need be; the session."""
    named = {**WHO, "session_id": session}
    there = await service.get_session(**named)
    if there is None:
        there = await service.create_session(**named)
    for text in texts:
        await service.append_event(there, event(text, state=state))
    return there


def test_what_came_since_is_added_with_its_state(store, file):
    with place_of("sqlite", file) as (_, made):
        with_theirs(made, lambda it: said(it, "x", state={"n": 1, "app:a": 1}))
        with_theirs(made, lambda it: said(it, "x", session="a/b: c", state={"n": 1}))
        import_adk(store, file)
        store.sessions.update(ID, metadata=store.sessions.get(ID).metadata | {"my": 1})
        with_theirs(made, lambda it: said(it, "y", "z", state={"n": 2, "app:a": 2}))
        with_theirs(made, lambda it: said(it, "y", session="a/b: c", state={"n": 2}))
        ours = HoldfastSessionService(store)
        asyncio.run(said(ours, "here", session="a/b: c", state={"n": 3}))
        report = import_adk(store, file)
        assert (report.added, states(report), report.set_aside_count) == (2, (1, 1), 1)
        wanted = with_theirs(made, everything)[0]
    kept, other = ours_in(store)
    assert kept == wanted
    assert store.sessions.get(ID).metadata["my"] == 1
    assert (len(other["events"]), other["state"]["n"]) == (2, 3)
    asyncio.run(said(ours, "on", state={"n": 4, "app:a": 5}))
    report = import_adk(store, file)
    assert ours_in(store)[0]["state"] == {"n": 4, "app:a": 5}
    assert {one.position for one in report.set_aside} == {
        "sessions[travel, ada, a/b: c]",
        "app_states[travel]",
    }


class Touch:
    """What makes a file, once it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_what_was_pickled_stays_unread_and_is_told(store, file):
    events = of_every_kind()[:4]
    engine = create_engine(f"sqlite:///{file}")
    v0.Base.metadata.create_all(engine)
    with Opened(engine) as opened:
        talk = v0.StorageSession(
            app_name="travel", user_id="ada", id="s1", state={"deep": 1}
        )
        opened.add(talk)
        opened.flush()
        for number, one in enumerate(events):
            one.timestamp = 1_750_000_000.25 + number
            one.long_running_tool_ids = {"c1"}
            opened.add(v0.StorageEvent.from_event(talk.to_session(), one))
        opened.commit()
    engine.dispose()
    marker = file.parent / "called"
    bad = pickle.dumps(Touch(marker))
    change(file, ("update events set actions = ? where id = ?", bad, events[0].id))
    report = import_adk(store, file)
    assert [one.position for one in report.set_aside] == ["sessions[travel, ada, s1]"]
    assert "4 have pickled actions" in report.set_aside[0].reason
    (kept,) = ours_in(store)
    wanted = [one.model_copy(update={"actions": EventActions()}) for one in events]
    assert kept["events"] == [one.model_dump() for one in wanted]
    assert kept["state"] == {"deep": 1}
    assert not marker.exists()


def test_what_is_broken_is_told_and_the_rest_goes_in(file, path, capsys):
    with place_of("sqlite", file) as (_, made):
        with_theirs(made, lambda it: said(it, "a", "b", "c", state={"app:a": 1}))
        with_theirs(made, lambda it: said(it, "x", session="two"))
        with_theirs(made, lambda it: said(it, "y", session="a/b: c"))
    change(
        file,
        ("pragma foreign_keys = off",),
        ("update events set event_data = '{' where event_data like '%\"b\"%'",),
        ("update sessions set state = '[]' where id = 'two'",),
        ("delete from sessions where id = 'a/b: c'",),
        ("update app_states set state = '{'",),
        ("update events set id = 'b1' where event_data = '{'",),
        ("update events set id = 'y1' where session_id = 'a/b: c'",),
    )
    assert main(["import", "adk", str(file), "--to", path]) == 1
    told = capsys.readouterr().out
    assert "theirs.db: 2 messages in 1 session: 2 added, 0 already there; 0 st" in told
    for place in (
        "events[travel, ada, s1, b1]",
        "sessions[travel, ada, two]",
        "events[travel, ada, a/b: c, y1]: its session 'a/b: c' is not there",
        "app_states[travel]",
    ):
        assert place in told
    assert "4 set aside" in told
    with holdfast.open(path) as store:
        (kept,) = ours_in(store)
        assert [one["content"]["parts"][0]["text"] for one in kept["events"]] == [
            "a",
            "c",
        ]
