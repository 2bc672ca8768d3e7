"""Importing from the OpenAI Agents SDK: its own files, nothing twice or silent."""

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest
from agents import SQLiteSession
from agents.extensions.memory import AdvancedSQLiteSession, SQLAlchemySession
from sqlalchemy.ext.asyncio import create_async_engine

import holdfast
from foreign import asyncs_url, foreign_database
from holdfast.cli import main
from holdfast.errors import BadInput, BrokenFile, CannotOpen
from holdfast.importers.openai_agents import import_openai_agents
from holdfast.integrations.openai_agents import HoldfastSession
from test_openai_agents import ITEMS, turn


@pytest.fixture
def store():
    with holdfast.open(":memory:") as opened:
        yield opened
        assert opened.check().ok


@pytest.fixture
def file(tmp_path):
    return tmp_path / "theirs.db"


def keep(file, sessions):
    """What the SDK's own SQLiteSession makes of sessions."""
    for id, items in sessions.items():
        session = SQLiteSession(id, file)
        asyncio.run(session.add_items(items))
        session.close()


def items_in(store, id):
    return asyncio.run(HoldfastSession(id, store).get_items())


def change(file, *statements):
    with sqlite3.connect(file) as database:
        for statement in statements:
            database.execute(
                *statement if isinstance(statement, tuple) else [statement]
            )
    database.close()


def test_all_sessions_come_with_all_items_and_times(store, file):
    keep(file, {"ada": ITEMS, "bob": ITEMS[:1]})
    at = "2026-01-02 03:04:05"
    change(file, f"update agent_sessions set created_at = '{at}'")
    change(file, f"update agent_messages set created_at = '{at}'")
    before = file.read_bytes()
    report = import_openai_agents(store, file)
    assert (report.sessions_added, report.added) == (2, len(ITEMS) + 1)
    assert report.set_aside == ()
    assert items_in(store, "ada") == ITEMS
    assert items_in(store, "bob") == ITEMS[:1]
    session = store.sessions.get("ada")
    assert session.created_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert next(store.sessions.history("ada")).created_at == session.created_at
    assert file.read_bytes() == before


def test_twice_adds_nothing_and_later_what_came_since(store, file):
    keep(file, {"ada": ITEMS[:3]})
    assert import_openai_agents(store, file).added == 3
    again = import_openai_agents(store, file)
    assert (again.added, again.already_there, again.set_aside) == (0, 3, ())
    keep(file, {"ada": ITEMS[3:5]})
    later = import_openai_agents(store, file)
    assert (later.added, later.already_there, later.set_aside) == (2, 3, ())
    assert items_in(store, "ada") == ITEMS[:5]


def test_a_session_that_went_on_here_is_left_and_told(store, file):
    keep(file, {"ada": ITEMS[:1]})
    import_openai_agents(store, file)
    asyncio.run(HoldfastSession("ada", store).add_items(ITEMS[1:2]))
    assert import_openai_agents(store, file).set_aside == ()
    keep(file, {"ada": ITEMS[2:3]})
    report = import_openai_agents(store, file)
    assert report.set_aside_count == 1
    assert items_in(store, "ada") == ITEMS[:2]


def test_what_is_no_item_is_told_and_the_rest_goes_in(store, file):
    keep(file, {"ada": ITEMS[:4], "a/b": ITEMS[:2], "bob": ITEMS[:1]})
    change(
        file,
        "update agent_messages set message_data = '{' where id = 1",
        "update agent_messages set message_data = '[1]' where id = 2",
        ("update agent_messages set message_data = ? where id = 3", [b"\xff{}"]),
        "insert into agent_messages (session_id, message_data) values ('gone', '{}')",
        "insert into agent_messages (session_id, message_data)"
        f" values ('bob', '{json.dumps({'role': 'user', 'content': float('nan')})}')",
        f"insert into agent_messages (session_id, message_data) values"
        f" ('bob', '{'[' * 100_000}')",
        "update agent_sessions set created_at = 'soon' where session_id = 'bob'",
    )
    report = import_openai_agents(store, file)
    assert (report.sessions_added, report.added) == (1, 1)
    assert items_in(store, "ada") == ITEMS[3:4]
    places = [one.position for one in report.set_aside]
    assert sorted(places) == [
        "agent_messages[1]",
        "agent_messages[2]",
        "agent_messages[3]",
        "agent_messages[8]",
        "agent_sessions[a/b]",
        "agent_sessions[bob]",
    ]
    (folder,) = [one for one in report.set_aside if "a/b" in one.position]
    assert "there are 2" in folder.reason
    change(file, "update agent_sessions set created_at = '2026-01-02 03:04:05'")
    again = import_openai_agents(store, file)
    assert items_in(store, "bob") == ITEMS[:1]
    assert {"agent_messages[9]", "agent_messages[10]"} < {
        one.position for one in again.set_aside
    }


def test_a_damaged_page_costs_what_is_on_it(store, file):
    long = [{"role": "user", "content": f"{n} " + "x" * 900} for n in range(200)]
    keep(file, {"ada": long, "bob": ITEMS[:3]})
    change(file, "vacuum")
    data = bytearray(file.read_bytes())
    place = data.rindex(b"150 xxx") // 4096 * 4096
    data[place : place + 8] = b"\xff" * 8
    file.write_bytes(data)
    report = import_openai_agents(store, file)
    assert any("malformed" in one.reason for one in report.set_aside)
    got = items_in(store, "ada")
    assert 0 < len(got) < 200
    assert got == long[: len(got)]
    assert items_in(store, "bob") == ITEMS[:3]


def test_what_is_no_such_database_is_refused(store, tmp_path):
    text, other, missing = (tmp_path / name for name in ("a.txt", "b.db", "c.db"))
    text.write_text("hello")
    change(other, "create table agent_sessions (session_id)")
    short = tmp_path / "short.db"
    short.write_bytes(other.read_bytes()[:50])
    for file, error in (
        (text, BrokenFile),
        (other, BrokenFile),
        (short, BrokenFile),
        (missing, CannotOpen),
    ):
        with pytest.raises(error, match="nothing was imported"):
            import_openai_agents(store, file)
    assert store.moment() == 0


def test_the_store_itself_is_refused(path):
    with holdfast.open(path) as store, pytest.raises(BadInput):
        import_openai_agents(store, path)


def test_what_is_still_in_the_log_is_read_too(store, file, tmp_path):
    session = SQLiteSession("ada", file)
    asyncio.run(session.add_items(ITEMS[:5]))
    for found in tmp_path.glob("theirs.db*"):  # as if it had been killed here
        shutil.copy(found, tmp_path / found.name.replace("theirs", "killed"))
    session.close()
    assert (tmp_path / "killed.db-wal").stat().st_size > 0
    assert import_openai_agents(store, tmp_path / "killed.db").added == 5


def test_what_a_killed_writer_had_not_committed_is_not_read(store, file, tmp_path):
    keep(file, {"ada": ITEMS * 50})
    change(file, "pragma journal_mode = delete", "vacuum")
    with closing(sqlite3.connect(file)) as database:
        database.execute("pragma cache_size = 5")
        database.execute("update agent_messages set message_data = '[]'")
        for found in tmp_path.glob("theirs.db*"):
            shutil.copy(found, tmp_path / found.name.replace("theirs", "killed"))
        database.rollback()
    killed = tmp_path / "killed.db"
    with pytest.raises(BrokenFile, match="interrupted: let its own program open it"):
        import_openai_agents(store, killed)
    assert store.moment() == 0
    keep(killed, {"ada": ITEMS[:1]})
    assert import_openai_agents(store, killed).added == len(ITEMS) * 50 + 1


def test_every_branch_comes_as_a_session_of_its_own(store, file):
    theirs = AdvancedSQLiteSession(session_id="ada", db_path=file, create_tables=True)
    wanted = {}

    async def talk():
        await theirs.add_items(turn(1) + turn(2))
        await theirs.create_branch_from_turn(2, "tea")
        await theirs.add_items(turn(3))
        await theirs.switch_to_branch("main")
        await theirs.add_items(turn(4))
        for name in ("main", "tea"):
            await theirs.switch_to_branch(name)
            wanted[name] = await theirs.get_items()

    asyncio.run(talk())
    theirs.close()
    report = import_openai_agents(store, file)
    assert (report.sessions_added, report.set_aside) == (2, ())
    assert import_openai_agents(store, file).added == 0

    async def look():
        session = HoldfastSession("ada", store)
        found = {}
        for branch in await session.list_branches():
            await session.switch_to_branch(branch["branch_id"])
            found[branch["branch_id"]] = await session.get_items()
        return found

    assert asyncio.run(look()) == wanted
    assert store.sessions.get("ada:tea").parent == "ada"


def test_what_is_on_no_branch_is_told(store, file):
    theirs = AdvancedSQLiteSession(session_id="ada", db_path=file, create_tables=True)
    asyncio.run(theirs.add_items(turn(1)))
    theirs.close()
    keep(file, {"ada": ITEMS[:1], "bob": ITEMS[:1]})
    report = import_openai_agents(store, file)
    assert [one.reason for one in report.set_aside] == ["it is on no branch"]
    assert items_in(store, "ada") == turn(1)
    assert items_in(store, "bob") == ITEMS[:1]


def test_a_database_of_sqlalchemy_is_the_same(store, file):
    async def talk():
        engine = create_async_engine(f"sqlite+aiosqlite:///{file}")
        theirs = SQLAlchemySession("ada", engine=engine, create_tables=True)
        await theirs.add_items(ITEMS)
        await engine.dispose()

    asyncio.run(talk())
    assert import_openai_agents(store, file).set_aside == ()
    assert items_in(store, "ada") == ITEMS


def test_a_database_on_postgresql_is_the_same(store, path, capsys):
    async def talk(url):
        engine = create_async_engine(asyncs_url(url))
        for id in ("ada", "bob"):
            theirs = SQLAlchemySession(id, engine=engine, create_tables=True)
            await theirs.add_items(ITEMS * (1 if id == "bob" else 30))
        await engine.dispose()

    with foreign_database() as place:
        url = place.replace("postgres@", "postgres:sesame@")
        with pytest.raises(BrokenFile, match="agent_messages") as refused:
            import_openai_agents(store, url)
        asyncio.run(talk(url))
        report = import_openai_agents(store, asyncs_url(url))
        assert (report.sessions_added, report.set_aside) == (2, ())
        assert import_openai_agents(store, url).added == 0
        command = ["import", "openai-agents", url, "--to", path]
        assert main(command) == 0
    for told in (str(refused.value), report.file, capsys.readouterr().out):
        assert "sesame" not in told
    assert items_in(store, "ada") == ITEMS * 30
    assert items_in(store, "bob") == ITEMS
    age = datetime.now(UTC) - store.sessions.get("ada").created_at
    assert abs(age.total_seconds()) < 60
    with pytest.raises(CannotOpen, match="nothing was imported"):
        import_openai_agents(store, "postgresql://127.0.0.1:1/none")


def test_the_command_tells_what_it_did(file, path, capsys):
    keep(file, {"ada": ITEMS})
    command = ["import", "openai-agents", str(file), "--to", path, "--owner", "ada"]
    assert main(command) == 0
    assert f"{len(ITEMS)} added, 0 already there" in capsys.readouterr().out
    change(file, "update agent_messages set message_data = 'x' where id = 1")
    assert main(command) == 1
    assert "1 added" not in capsys.readouterr().out
