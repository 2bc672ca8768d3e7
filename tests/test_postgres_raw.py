"""The journal against SQL from outside, on PostgreSQL: it is written there, or refused.

The triggers are in the schema: whoever writes to a table by whatever program is
journalled, in the order of commits, with the rows as they were.
"""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors

import holdfast
from crowd import Aside
from holdfast.engines.postgres.target import target_of
from postgres import empty_store, shared_url, until

COLUMNS = (
    "owner, id, created_at, updated_at, status, title, parent, metadata, tags, "
    "max_context_messages, revision, first"
)
NEXT = "nextval('number')"
TABLES = ("session", "message", "change", "was_session", "was_message")


@pytest.fixture
def url() -> Iterator[str]:
    with empty_store() as made:
        yield made


@pytest.fixture
def store(url: str) -> Iterator[holdfast.Store]:
    """A store with two sessions and a message."""
    with holdfast.open(url) as opened:
        opened.sessions.create("one", id="s1")
        opened.sessions.create("two", id="s2")
        opened.sessions.append("s1", "user", "Hi", message_id="m")
        yield opened
        assert opened.check().problems == ()


@pytest.fixture
def raw(url: str, store: holdfast.Store) -> Iterator[psycopg.Connection[Any]]:
    with connected(url) as connection:
        yield connection


def connected(url: str) -> psycopg.Connection[Any]:
    """A connection as psql has one, each statement committed."""
    schema = target_of(url.partition("://")[2], read_only=False).schema
    options = f"-c search_path={schema}"
    return psycopg.connect(shared_url(), autocommit=True, options=options)


def copied(no: str, *, id: str = "id", title: str = "title") -> str:
    """Another session with what `s1` has."""
    values = COLUMNS.replace("id,", f"{id},", 1).replace("title", title)
    return (
        f"insert into session (no, {COLUMNS}) select {no}, {values} "
        "from session where id = 's1'"
    )


def told(store: holdfast.Store, after: int = 3) -> list[Any]:
    """What came after the first changes, once a write of the store's own was made."""
    store.sessions.create("last")
    found = list(store.journal.read(limit=1000))
    assert [change.seq for change in found] == list(range(1, len(found) + 1))
    return found[after:-1]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("update session set title = 'new'", ["update s1", "update s2"]),
        ("update session set title = title where id = 's1'", ["update s1"]),
        ("update session set no = no where id = 's1'", ["update s1"]),
        ("delete from session where id = 's2'", ["delete s2"]),
        ("delete from session", ["delete s1", "delete s2"]),
        ("delete from message", ["delete m"]),
        (copied(NEXT, id="'s3'"), ["create s3"]),
        (
            copied(NEXT) + " on conflict (owner, id) do update set title = 'up'",
            ["update s1"],
        ),
        (copied(NEXT) + " on conflict do nothing", []),
        (
            (
                "with gone as (delete from session where id = 's2' returning id) "
                "update session set title = (select id from gone) where id = 's1'"
            ),
            ["delete s2", "update s1"],
        ),
        (
            (
                "merge into session s using (values ('s1')) v (id) on s.id = v.id "
                "when matched then update set title = 'merged'"
            ),
            ["update s1"],
        ),
    ],
)
def test_a_raw_write_is_journalled(store, raw, sql, expected):
    if raw.info.server_version < 150_000 and sql.startswith("merge"):
        sql = "update session set title = 'merged' where id = 's1'"  # no MERGE yet
    raw.execute(sql)
    found = told(store)
    assert sorted(f"{c.op} {c.id}" for c in found) == sorted(expected)
    for change in found:
        assert (change.before is None) == (change.op == "create")
        assert (change.after is None) == (change.op == "delete")


def test_a_raw_write_says_the_row_as_it_was_at_each_step(store, raw):
    with raw.transaction():
        for title in ("first", "second"):
            raw.execute("update session set title = %s where id = 's1'", [title])
        raw.execute("delete from session where id = 's1'")
    found = told(store)
    assert [c.op for c in found] == ["update", "update", "delete"]
    assert [c.before["title"] for c in found] == ["one", "first", "second"]
    assert [c.after and c.after["title"] for c in found] == ["first", "second", None]


def test_a_raw_transaction_that_is_undone_leaves_nothing(store, raw):
    with pytest.raises(ZeroDivisionError), raw.transaction():
        raw.execute("update session set title = 'undone'")
        raw.execute("set constraints all immediate")
        raise ZeroDivisionError
    with raw.transaction():
        raw.execute("savepoint part")
        raw.execute("update session set title = 'undone' where id = 's1'")
        raw.execute("rollback to savepoint part")
        raw.execute("update session set title = 'kept' where id = 's2'")
    assert [(c.id, c.after["title"]) for c in told(store)] == [("s2", "kept")]


def test_raw_writes_and_the_stores_stand_in_the_order_of_their_commits(url, store, raw):
    with connected(url) as later, later.transaction():
        later.execute("update session set title = 'begun first' where id = 's1'")
        raw.execute("update session set title = 'committed first' where id = 's2'")
        store.sessions.create("between")
    titles = [change.after["title"] for change in told(store)]
    assert titles == ["committed first", "between", "begun first"]


@pytest.mark.parametrize(
    "sql",
    [
        copied("(select min(no) from session)", id="'sly'"),
        "update session set no = no + 100",
        "update session set no = 3 where id = 's1'",
        "truncate session",
        "truncate message",
        "truncate session cascade",
        "delete from change",
        "delete from change where seq = 3",
        "truncate change",
        "truncate change, session",
        "update change set owner = 'sly'",
        "update change set seq = seq + 10",
        "update change set at = at + 1",
        "update change set at = null where seq = 3",
        "update change set actor = 'sly' where seq = 3",
        "insert into change (seq, kind, owner, no, op) values (2, 'x', '', 2, 'x')",
        (
            "insert into change (seq, kind, owner, no, op) values (2, 'x', '', 2, 'x') "
            "on conflict (seq) do update set owner = 'sly'"
        ),
    ],
)
def test_a_raw_write_that_would_escape_or_rewrite_the_journal_is_stopped(
    store, raw, sql
):
    before = [raw.execute(f"select * from {table}").fetchall() for table in TABLES]
    with pytest.raises((errors.RaiseException, errors.UniqueViolation)):
        raw.execute(sql)
    after = [raw.execute(f"select * from {table}").fetchall() for table in TABLES]
    assert after == before
    assert told(store) == []


def test_a_row_keeps_its_number_through_all_that_is_done_to_it(store, raw):
    numbers = "select id, no from session order by id"
    before = raw.execute(numbers).fetchall()
    store.sessions.update("s1", title="new")
    store.sessions.append("s1", "user", "more")
    store.sessions.clear("s1")
    raw.execute("update session set title = 'newer'")
    assert raw.execute(numbers).fetchall() == before
    noted = raw.execute("select distinct no from change where kind = 'session'")
    assert {no for (no,) in noted} == {no for _, no in before}
    told(store)


def test_time_does_not_go_back_where_two_would_give_a_raw_change_its_moment(
    url, store, raw
):
    """A unit that journals nothing finds a raw change that no moment has yet, while
    another, in its COMMIT, has changes after that."""
    waits = "select 1 from pg_locks where locktype = 'advisory' and not granted"
    raw.execute("update session set title = 'raw' where id = 's1'")
    with connected(url) as first:
        with first.transaction():
            first.execute("update session set title = 'first' where id = 's2'")
            first.execute(
                "insert into receipt (id, at, actor, format) "
                "values (gen_random_uuid(), 1, 'first', 1)"
            )
            first.execute("set constraints all immediate")  # as in its COMMIT
            lease = Aside(
                lambda: store.leases.acquire("sessions", "s1", holder="x", seconds=9)
            )
            until(lambda: lease.ended or raw.execute(waits).fetchall())
        assert lease.result().holder == "x"
    times = [change.at for change in store.journal.read()]
    assert times == sorted(times)


def test_a_raw_change_is_there_for_followers_with_the_next_moment(store, raw):
    raw.execute("update session set title = 'raw' where id = 's1'")
    assert list(store.journal.read(3)) == []
    with store.transaction(actor="next") as tx:
        tx.sessions.update("s2", title="next")
    found = list(store.journal.read(3))
    assert [(c.id, c.moment, c.actor) for c in found] == [
        ("s1", 5, "next"),
        ("s2", 5, "next"),
    ]


def test_what_is_below_the_floor_may_be_trimmed_and_nothing_else(store, raw):
    raw.execute("update store set value = '2' where name = 'journal_floor'")
    with pytest.raises(errors.RaiseException):
        raw.execute("delete from change where seq <= 3")
    raw.execute("delete from change where seq <= 2")
    assert [c.seq for c in store.journal.read(2)] == [3]
    with pytest.raises(holdfast.errors.Trimmed):
        store.journal.read(1)
