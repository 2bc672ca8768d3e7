"""Importing from ActiveMirrorOS: all three forms, nothing twice, nothing silent."""

import json
import re
import sqlite3
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

import holdfast
from holdfast.errors import BadInput, BrokenFile, CannotOpen
from holdfast.importers.active_mirror import import_active_mirror
from test_export import DATA, exported, order, records

PARIS = ZoneInfo("Europe/Paris")
TABLES = """
create table sessions (id text primary key, user_id text not null, title text not null,
    parent_session_id text, created_at text not null, updated_at text not null,
    status text not null, metadata text);
create table messages (id text primary key, session_id text not null,
    role text not null, content text not null, timestamp text not null, metadata text);
"""


def talk(**more):
    return {
        "id": "s1",
        "title": "A plan",
        "user_id": "ada",
        "parent_session_id": None,
        "created_at": "2026-01-01T12:00:00.000001",
        "updated_at": "2026-07-02T13:00:00",
        "status": "completed",
        "message_count": 2,
        "messages": [
            said("m1", "Hello ⟡", metadata={}),
            said("m2", "Hi\nyou", role="assistant", metadata={"model": "stub"}),
        ],
        **more,
    }


def said(id, content, **more):
    return {
        "id": id,
        "session_id": "s1",
        "role": "user",
        "content": content,
        "timestamp": "2026-07-01T12:00:00.25",
        **more,
    }


@pytest.fixture
def store():
    with holdfast.open(":memory:") as opened:
        yield opened
        assert opened.check().ok


@pytest.fixture
def export(tmp_path):
    """An export of the Python program, with some fields changed."""

    def export(name="export_A_plan.json", **more):
        file = tmp_path / name
        file.write_text(json.dumps(talk(**more)))
        return file

    return export


@pytest.fixture
def database(tmp_path):
    """The Python program's database: that session, and what a crash left."""
    file = tmp_path / "conversations.db"
    with sqlite3.connect(file) as made:
        made.executescript(TABLES)
        fields = talk()
        fields.pop("message_count")
        messages = [*fields.pop("messages"), said("m3", "lost", session_id="s2")]
        for table, rows in (("sessions", [fields]), ("messages", messages)):
            for row in rows:
                values = {**row, "metadata": json.dumps(row.get("metadata", {}))}
                names = ", ".join(values)
                marks = ", ".join(f":{name}" for name in values)
                insert = f"insert into {table} ({names}) values ({marks})"
                made.execute(insert, values)
    made.close()
    return file


def test_an_export_is_kept_with_all_that_it_has(store, export):
    report = import_active_mirror(store, export(), zone=PARIS)
    assert (report.sessions_added, report.added, report.set_aside) == (1, 2, ())
    session = store.sessions.get("s1")
    assert (session.title, session.status, session.parent) == (
        "A plan",
        "completed",
        None,
    )
    assert session.created_at == datetime(2026, 1, 1, 11, 0, 0, 1, tzinfo=UTC)
    assert session.metadata == {"user_id": "ada"}
    first, second = store.sessions.history("s1")
    assert (first.id, first.role, first.content) == ("m1", "user", "Hello ⟡")
    assert first.created_at == datetime(2026, 7, 1, 10, 0, 0, 250_000, tzinfo=UTC)
    assert (first.metadata, second.metadata) == (None, {"model": "stub"})
    assert import_active_mirror(store, export(), zone=PARIS).added == 0


def test_a_database_is_the_same_and_its_orphans_are_told(store, database, export):
    report = import_active_mirror(store, database, zone=PARIS)
    assert (report.sessions_added, report.added, report.set_aside_count) == (1, 2, 1)
    (lost,) = report.set_aside
    assert (lost.position, "'s2' is not there" in lost.reason) == ("messages[m3]", True)
    assert "lost" in lost.sample
    again = import_active_mirror(store, export(), zone=PARIS)
    assert (again.added, again.already_there, again.set_aside) == (0, 2, ())


def test_a_folder_of_the_other_program_is_taken(store, tmp_path):
    folder = tmp_path / "conversations"
    folder.mkdir()
    message = {
        "id": "m1",
        "sessionId": "s3",
        "role": "user",
        "content": "Hello",
        "timestamp": "2026-01-01T12:00:00.500Z",
        "metadata": {"k": 1},
    }
    session = {
        "id": "s3",
        "title": "Plan",
        "userId": "u",
        "createdAt": "2026-01-01T12:00:00.000Z",
        "updatedAt": "2026-01-01T12:00:01.000Z",
        "messageCount": 1,
        "messages": [message],
    }
    (folder / "s3.json").write_text(json.dumps(session))
    (folder / "index.json").write_text(json.dumps({"sessions": ["s3", "s4"]}))
    (folder / "s5.json").write_text("{")
    report = import_active_mirror(store, folder)
    assert (report.sessions_added, report.added, report.set_aside_count) == (1, 1, 2)
    assert "s5.json" in report.set_aside[0].reason
    assert "'s4' has no file" in report.set_aside[1].reason
    found = store.sessions.get("s3")
    assert (found.metadata, found.status) == ({"userId": "u"}, "active")
    assert found.updated_at == datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC)
    (kept,) = store.sessions.history("s3")
    assert (kept.content, kept.metadata) == ("Hello", {"k": 1})


def test_what_is_odd_in_a_folder_keeps_nothing_else_out(store, tmp_path, export):
    export("s1.json")
    (tmp_path / "a.json").mkdir()
    names = ["s1", "x" * 5_000, "a\x00b", "../s2"]
    (tmp_path / "index.json").write_text(json.dumps({"sessions": names}))
    report = import_active_mirror(store, tmp_path)
    assert (report.sessions_added, report.added, report.set_aside_count) == (1, 2, 4)
    assert "directory" in report.set_aside[0].reason


def test_odd_values_in_a_database_are_told(store, database):
    deep = "[" * 50_000 + "]" * 50_000
    with sqlite3.connect(database) as made:
        made.executescript("""
            create table odd as select * from messages where id = 'm1';
            drop table messages;
            alter table odd rename to messages;
        """)
        for id, session, metadata in (
            ("m4", "s1", 7),
            ("m5", "s1", deep),
            ("m6", None, None),
            ("m7", "s1", b"\xff"),
        ):
            made.execute(
                "insert into messages values (?, ?, 'user', 'x', '2026-07-01', ?)",
                (id, session, metadata),
            )
    made.close()
    report = import_active_mirror(store, database)
    assert (report.sessions_added, report.added) == (1, 1)
    assert [one.position for one in report.set_aside] == [
        "messages[m4]",
        "messages[m5]",
        "messages[m7]",
        "messages[m6]",
    ]


def test_of_a_database_that_breaks_off_all_before_that_is_in(store, database):
    with sqlite3.connect(database) as made:
        made.execute("""
            insert into messages values ('m4', 's1', 'user', cast(x'ff' as text),
                '2027-01-01', null)""")
    made.close()
    with pytest.raises(BrokenFile, match="what came before it is in"):
        import_active_mirror(store, database)
    assert [m.id for m in store.sessions.history("s1")] == ["m1", "m2"]


def test_times_without_a_zone_are_local(store, export):
    import_active_mirror(store, export())
    local = datetime(2026, 1, 1, 12, 0, 0, 1).astimezone()
    assert store.sessions.get("s1").created_at == local


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"id": "../x"}, "not safe as an id"),
        ({"id": 7}, "text is wanted"),
        ({"created_at": "soon"}, "Invalid isoformat"),
        ({"created_at": None}, "no text"),
        ({"metadata": "x"}, "no object"),
        ({"title": "x" * 20_000}, "limits.text_bytes"),
    ],
)
def test_a_session_that_does_not_go_in_is_told(store, export, more, reason):
    report = import_active_mirror(store, export(**more))
    assert (report.sessions, report.added, report.set_aside_count) == (0, 0, 1)
    assert reason in report.set_aside[0].reason
    assert "there are 2" in report.set_aside[0].reason
    assert not store.sessions.list()


def test_a_message_that_does_not_go_in_is_told(store, export):
    messages = [said("m1", "a"), said("m2", "b", role="a b"), said("m3", "c")]
    del messages[0]["timestamp"]
    report = import_active_mirror(store, export(messages=messages))
    assert [one.position for one in report.set_aside] == ["messages[0]", "messages[1]"]
    assert [m.content for m in store.sessions.history("s1")] == ["c"]


def test_a_time_of_change_before_the_last_message_is_kept(store, export):
    import_active_mirror(store, export(updated_at="2026-06-30T12:00:00"))
    assert store.sessions.get("s1").metadata["updated_at"] == "2026-06-30T12:00:00"


@pytest.mark.parametrize("changed", [{}, {"updated_at": None}])
def test_a_session_that_does_not_say_when_it_changed_goes_in(store, tmp_path, changed):
    fields = talk()
    del fields["updated_at"]
    file = tmp_path / "s1.json"
    file.write_text(json.dumps(fields | changed))
    report = import_active_mirror(store, file, zone=UTC)
    assert (report.sessions_added, report.added, report.set_aside) == (1, 2, ())
    session = store.sessions.get("s1")
    assert session.updated_at == datetime(2026, 7, 1, 12, 0, 0, 250_000, tzinfo=UTC)
    assert session.metadata == {"user_id": "ada"}


def test_a_last_message_without_a_time_costs_only_itself(store, export):
    messages = [said("m1", "a"), said("m2", "b")]
    del messages[1]["timestamp"]
    report = import_active_mirror(store, export(messages=messages))
    assert [one.position for one in report.set_aside] == ["messages[1]"]
    assert [m.content for m in store.sessions.history("s1")] == ["a"]


def test_a_status_of_its_own_is_kept(store, export):
    import_active_mirror(store, export(status="dreaming", mood="good"))
    session = store.sessions.get("s1")
    assert session.status == "active"
    assert session.metadata == {"user_id": "ada", "mood": "good", "status": "dreaming"}


@pytest.mark.parametrize("text", ["", "[]", '{"messages": 1}', "\x00", "[" * 99_999])
def test_a_file_of_another_kind_is_refused(store, tmp_path, text):
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(BrokenFile, match=re.escape("x.json")):
        import_active_mirror(store, file)


def test_places_that_are_none_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.db").write_bytes(b"SQLite format 3\x00" + b"x" * 5_000)
    with holdfast.open(tmp_path / "agent.db") as store:
        with pytest.raises(BrokenFile, match="no session is in it"):
            import_active_mirror(store, tmp_path / "empty")
        with pytest.raises(BrokenFile, match=re.escape("other.db")):
            import_active_mirror(store, tmp_path / "other.db")
        with pytest.raises(CannotOpen, match="nothing was imported"):
            import_active_mirror(store, tmp_path / "none.json")
        with pytest.raises(BadInput, match="own file"):
            import_active_mirror(store, tmp_path / "agent.db")


@pytest.mark.skipif(not DATA.joinpath("activemirror").exists(), reason="no data there")
def test_what_the_programs_have_kept_goes_round(store):
    folder = DATA / "activemirror"
    report = import_active_mirror(store, folder / "python" / "conversations.db")
    assert (report.sessions_added, report.added, report.set_aside_count) == (2, 63, 2)
    for file in sorted(folder.glob("python/export_*.json")):
        assert import_active_mirror(store, file).added == 0
    assert (
        import_active_mirror(store, folder / "javascript" / "conversations").added == 2
    )
    with holdfast.open(":memory:") as other:
        assert other.sessions.import_from(exported(store)).added == 65
        assert records(other) == records(store)
        assert order(other) == order(store)


@pytest.mark.skipif(not DATA.joinpath("activemirror").exists(), reason="no data there")
@pytest.mark.parametrize("name", ["Sprint_1", "Project_Alpha"])
def test_texts_hold_all_that_theirs_hold(store, name):
    """Title, id, times, roles and contents: all that a reader of theirs is told."""
    folder = DATA / "activemirror" / "python"
    import_active_mirror(store, folder / f"export_{name}.json", zone=UTC)
    (session,) = store.sessions.list()
    for form, suffix in (("markdown", ".md"), ("text", ".txt")):
        ours = store.sessions.render(session.id, form)
        theirs = (folder / f"export_{name}{suffix}").read_text()
        times = re.findall(r"\d{4}-\d\d-\d\dT[\d:.]+", theirs)
        assert len(times) > session.message_count
        for time in times:
            assert time in ours.replace(" ", "T")
        assert session.title in ours
        assert session.id in ours
        roles = re.findall(r"(?m)^(?:### \S+ |\[)(\w+)", theirs)
        assert len(roles) == session.message_count
        above = re.findall(r"(?m)^(?:## )?\d+ · (\w+) · ", ours)
        assert above == [role.lower() for role in roles]
        for message in store.sessions.history(session.id):
            assert message.content in theirs
            assert message.content in ours.replace("\n    ", "\n")
