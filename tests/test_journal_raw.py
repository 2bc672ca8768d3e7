"""The journal against SQL from outside: what bypasses holdfast does not bypass it.

The triggers are in the file: whoever writes to it with the pragmas that holdfast itself
uses (recursive triggers above all) is journalled, or stopped.
"""

import apsw
import pytest

import holdfast
from holdfast.engines.sqlite.connection import connect

COLUMNS = (
    "owner, id, created_at, updated_at, status, title, parent, metadata, tags, "
    "max_context_messages, revision, first"
)
NEXT = "(select max(seq) + 1 from change)"


def copied(no, *, id="id", title="title", verb="insert into"):
    values = COLUMNS.replace("id,", f"{id},", 1).replace("title", title)
    return (
        f"{verb} session (no, {COLUMNS}) select {no}, {values} "
        "from session where id = 's1'"
    )


@pytest.fixture
def raw(path):
    """A plain connection to a file with two sessions and a message."""
    with holdfast.open(path) as store:
        store.sessions.create("one", id="s1")
        store.sessions.create("two", id="s2")
        store.sessions.append("s1", "user", "Hi", message_id="m")
    connection = connect(path, durability="process-crash")
    yield connection
    connection.close()


def read_again(raw, path):
    """The journal, read by a store after the raw writes and one write of its own."""
    raw.close()
    with holdfast.open(path) as store:
        store.sessions.create("last", id="last")
        found = list(store.journal.read())
        report = store.check()
    assert report.problems == ()
    assert [change.seq for change in found] == list(range(1, len(found) + 1))
    return [(c.kind, c.op, c.id, c.before, c.after) for c in found[3:-1]]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("update session set title = 'new'", ["update s1", "update s2"]),
        ("update session set title = title where id = 's1'", ["update s1"]),
        ("delete from session where id = 's2'", ["delete s2"]),
        ("delete from session", ["delete s1", "delete s2"]),
        ("delete from message", ["delete m"]),
        (copied(NEXT, id="'s3'"), ["create s3"]),
        (
            copied("(select max(seq) + 2 from change)", verb="replace into"),
            ["delete s1", "create s1"],
        ),
        (
            copied(NEXT) + " on conflict (owner, id) do update set title = 'up'",
            ["update s1"],
        ),
        (copied(NEXT, verb="insert or ignore into"), []),
    ],
)
def test_a_raw_write_is_journalled(raw, path, sql, expected):
    raw.execute(sql)
    found = read_again(raw, path)
    assert [f"{op} {id}" for _, op, id, _, _ in found] == expected
    for _, op, _, before, after in found:
        assert (before is None) == (op == "create")
        assert (after is None) == (op == "delete")


@pytest.mark.parametrize(
    "sql",
    [
        copied("no", title="'sly'", verb="replace into"),
        copied(NEXT, title="'sly'", verb="replace into"),
        copied("3", id="'sly'", verb="insert or ignore into"),
        copied("3", id="'sly'", verb="insert or replace into"),
        copied("3", id="'sly'"),
        "update session set no = no + 100",
        "update or replace session set no = 3",
        "update or ignore session set no = 3 where id = 's1'",
        "delete from change",
        "delete from change where seq = 3",
        "update change set owner = 'sly'",
        "update or ignore change set seq = seq + 1",
        (
            "insert or replace into change (seq, kind, owner, no, op) "
            "values (2, 'session', '', 2, 'create')"
        ),
    ],
)
def test_a_raw_write_that_would_escape_or_rewrite_the_journal_is_stopped(
    raw, path, sql
):
    tables = ("session", "message", "change", "was_session", "was_message")
    before = [raw.execute(f"select * from {table}").fetchall() for table in tables]
    with pytest.raises(apsw.ConstraintError):
        raw.execute(sql)
    after = [raw.execute(f"select * from {table}").fetchall() for table in tables]
    assert after == before
    assert read_again(raw, path) == []


def test_a_number_that_leaves_a_gap_is_found_by_a_check(raw, path):
    raw.execute(copied("100", id="'s3'"))
    raw.close()
    with holdfast.open(path) as store:
        store.sessions.create("last")
        assert "some are missing" in " ".join(store.check().problems)


def test_a_records_history_leads_past_no_change_that_has_no_moment_yet(raw, path):
    for title in "abc":
        raw.execute("update session set title = ? where id = 's2'", (title,))
    with holdfast.open(path) as store:
        page = store.changes("sessions", "s2", limit=2)
        assert ([c.op for c in page], page.cursor) == (["create"], None)
        store.sessions.update("s2", title="d")
        page = store.changes("sessions", "s2")
        assert [c.after["title"] for c in page] == ["two", "a", "b", "c", "d"]


def test_what_is_below_the_floor_may_be_trimmed_and_nothing_else(raw, path):
    raw.execute("update store set value = '2' where name = 'journal_floor'")
    with pytest.raises(apsw.ConstraintError):
        raw.execute("delete from change where seq <= 3")
    raw.execute("delete from change where seq <= 2")
    raw.close()
    with holdfast.open(path) as store:
        assert [c.seq for c in store.journal.read(2)] == [3]
        with pytest.raises(holdfast.errors.Trimmed):
            store.journal.read(1)
        assert store.check().problems == ()
