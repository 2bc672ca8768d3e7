"""Much that is deleted is out of sight at once, and goes from the file in slices."""

import psycopg
import pytest

import holdfast
from crowd import Aside
from examples import dump
from holdfast.engine import Terms, Transaction
from holdfast.engines.sqlite.transaction import SqliteTransaction
from holdfast.kinds import histories
from holdfast.page import Page
from postgres import fresh_schema, shared_url, until


@pytest.fixture
def talk(store):
    """The sessions of a store that has one, called `s`."""
    store.sessions.create(id="s")
    return store.sessions


def fill(sessions, count):
    """Put the numbers from 1 to `count` into a session."""
    numbers = range(1, count + 1)
    sessions.extend("s", [{"role": "user", "content": n} for n in numbers])


def contents(sessions, session="s"):
    """What a session's history has; it must be as much as the session says."""
    found = [message.content for message in sessions.history(session)]
    assert sessions.get(session).message_count == len(found)
    return found


MANY = 3_500


def stored(store):
    """How many messages the file has, in sight or not; and what is still to go."""
    found = dump(store)
    return len(found["message"]), len(found["leftover"])


def finish(store):
    """Have the rows that are out of sight deleted, to the last."""
    core = store._core
    while stored(store)[1]:
        core.engine.write(core.unit(core._tidy, Terms()))


@pytest.fixture
def untidied(monkeypatch):
    """Let what is out of sight lie, until the test has it deleted."""
    for cls in (Transaction, SqliteTransaction):
        monkeypatch.setattr(cls, "untidy", lambda tx: None)


@pytest.mark.usefixtures("untidied")
def test_many_messages_that_are_cleared_are_out_of_sight_at_once(talk, store):
    store.sessions.create(id="beside")
    talk.append("beside", "user", "stays")
    fill(talk, MANY)
    version = talk.get("s").version
    assert talk.clear("s") == MANY
    assert stored(store) == (MANY - 1_000 + 1, 1)
    assert talk.get("s").message_count == 0
    assert talk.get("s").version == version + 1
    assert talk.messages("s") == talk.messages("s", after=0) == Page([])
    assert contents(talk) == []
    assert store.usage().tables["message"].rows == 1
    assert talk.pop("s") is None
    assert talk.clear("s") == 0
    assert talk.append("s", "user", "new").position == MANY + 1
    assert (talk.get("s").message_count, talk.get("s").version) == (1, version + 2)
    assert contents(talk) == ["new"]
    finish(store)
    assert stored(store) == (2, 0)
    assert contents(talk) == ["new"]
    assert contents(talk, "beside") == ["stays"]
    assert talk.get("s").version == version + 2


@pytest.mark.usefixtures("untidied")
def test_ids_of_messages_that_were_cleared_are_free_at_once(talk, store):
    drafts = [{"role": "user", "content": n, "id": f"m{n}"} for n in range(1_800)]
    talk.extend("s", drafts)
    talk.clear("s")
    assert stored(store) == (800, 1)
    talk.extend("s", drafts[::-1])
    talk.clear("s")
    kept = talk.append("s", "tool", "other", message_id="m1799")
    finish(store)
    assert list(talk.history("s")) == [kept]
    assert stored(store) == (1, 0)


@pytest.mark.usefixtures("untidied")
def test_a_session_of_many_that_was_deleted_is_gone_at_once(talk, store):
    fill(talk, MANY)
    assert talk.delete("s") is True
    assert stored(store) == (MANY - 1_000, 1)
    assert store.owners() == []
    assert store.usage().tables["message"].rows == 0
    made = talk.create(id="s")
    assert (made.version, made.message_count) == (0, 0)
    talk.append("s", "user", "new")
    assert contents(talk) == ["new"]
    finish(store)
    assert stored(store) == (1, 0)
    assert contents(talk) == ["new"]


def test_a_session_deleted_while_it_is_swept_is_gone_to_the_last_message(monkeypatch):
    """On a server one transaction waits for the rows that another deletes."""
    monkeypatch.setattr(histories, "_SWEPT_AT_ONCE", 2)
    with fresh_schema() as url, holdfast.open(url) as store:
        with monkeypatch.context() as patch:
            patch.setattr(histories.Histories, "tidy", lambda kind, limit: False)
            store.sessions.create(id="s")
            fill(store.sessions, 5)
            store.sessions.clear("s")
            store.sessions.append("s", "user", "last")
            deleting = deleted_behind_a_sweep(store, url)
            assert deleting.result() is True
        finish(store)
        assert stored(store) == (0, 0)


def deleted_behind_a_sweep(store, url):
    """The deletion of a session that waits for what sweeps its cleared messages."""
    schema = url.partition("schema=")[2]
    blocked = "select pid from pg_stat_activity where %s = any(pg_blocking_pids(pid))"
    with psycopg.connect(shared_url()) as sweep:
        sweep.execute(f"set search_path = {schema}")
        sweep.execute("delete from message where position <= 5")
        sweep.execute("delete from leftover")
        deleting = Aside(lambda: store.sessions.delete("s"))
        with psycopg.connect(shared_url(), autocommit=True) as look:
            pid = sweep.info.backend_pid
            until(lambda: look.execute(blocked, [pid]).fetchall())
    return deleting


@pytest.mark.usefixtures("untidied")
def test_a_task_with_a_long_log_that_was_deleted_is_gone_at_once(store):
    with store.transaction(timeout_seconds=60) as tx:
        tx.tasks.create("a task", id="t")
        for n in range(1_200):
            tx.tasks.log("t", f"line {n}")
    assert store.tasks.delete("t") is True
    assert len(dump(store)["task_log"]) == 200
    assert store.usage().tables["task_log"].rows == 0
    store.tasks.create("another", id="t")
    assert store.tasks.logs("t") == Page([])
    store.tasks.log("t", "new")
    finish(store)
    assert [line.message for line in store.tasks.logs("t")] == ["new"]
    assert len(dump(store)["task_log"]) == 1


@pytest.mark.parametrize("take_away", ["clear", "delete"])
def test_what_is_out_of_sight_is_deleted_by_itself(open_store, take_away):
    store = open_store()
    store.sessions.create(id="s")
    fill(store.sessions, MANY)
    getattr(store.sessions, take_away)("s")
    store.close()  # waits for what was begun
    again = open_store()
    again.close()
    assert stored(open_store()) == (0, 0)
