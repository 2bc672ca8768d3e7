"""Opening what cannot be opened: a typed error that says what to do, and no secrets."""

import asyncio
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import holdfast
from holdfast.engines.postgres import opening
from holdfast.engines.postgres.ddl import granted
from holdfast.engines.postgres.failures import is_gone
from holdfast.engines.postgres.target import target_of
from holdfast.errors import CannotOpen, NotAStore, Refused, TooNew
from postgres import Server, fresh_schema, shared_url, together

SECRET = "s3cretw0rd"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One that wants a password."""
    with Server(settings={"fsync": "off"}, auth="scram") as started:
        yield started


@pytest.fixture(scope="module")
def standby(server: Server) -> Iterator[Server]:
    with holdfast.open(server.url(schema="followed")) as store:
        store.sessions.create(id="talk")
        store.sessions.append("talk", "user", "hello")
    with server.standby(synchronous=True) as started:
        yield started
        server._wait_for([])


def refused(url: str, kind: type[BaseException] = CannotOpen, **options: Any) -> str:
    """What is said when this is opened; the secret is in nothing that can be seen."""
    with pytest.raises(kind) as raised:
        holdfast.open(url, **options)
    error: BaseException | None = raised.value
    seen = "".join(traceback.format_exception(error))
    while error is not None:
        seen += f"{error} {error!r} {error.args} {vars(error)}"
        error = error.__cause__ or error.__context__
    assert SECRET not in seen
    return str(raised.value)


# Who and where.


@pytest.mark.parametrize(
    "where", ["127.0.0.1:1", "127.0.0.1:1,127.0.0.1:2", "/?host=/nowhere/at/all"]
)
def test_a_server_that_is_not_there_is_said_to_be_out_of_reach(where: str) -> None:
    said = refused(f"postgresql://postgres:{SECRET}@{where}")
    assert "cannot be reached" in said
    assert "look whether a server runs there" in said


def test_a_wrong_password_is_refused_and_never_shown(server: Server) -> None:
    said = refused(server.url(password=SECRET))
    assert "does not let us in" in said
    assert "look at the user and the password" in said
    in_query = f"postgresql://postgres@127.0.0.1:{server.port}/?password={SECRET}"
    assert "does not let us in" in refused(in_query)
    bare = f"postgresql://postgres@127.0.0.1:{server.port}/postgres"
    assert "give a password" in refused(bare)


def test_a_right_password_is_shown_nowhere_either(server: Server) -> None:
    with holdfast.open(server.url(schema="quiet")) as store:
        engine = store._core.engine
        seen = f"{store!r} {store.place} {store.aio!r} {engine._target!r}"
        assert server.password
        assert server.password not in seen
        assert (
            store.place == f"postgresql://127.0.0.1:{server.port}/postgres?schema=quiet"
        )


@pytest.mark.parametrize(
    "who",
    ["u:{}@more", "u:{}/more", "u:{}?more", "u:{}#more", "u:1#{}", "u:%zz{}", "u:1/{}"],
)
def test_a_password_with_signs_that_are_not_encoded_is_not_taken_for_a_place(
    who: str,
) -> None:
    url = f"postgresql://{who.format(SECRET)}@127.0.0.1:1/agents"
    assert "percent-encoded" in refused(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://[::1/agents",
        "postgresql://127.0.0.1:port/agents",
        "postgresql://127.0.0.1/agents?pool_sise=3",
        "postgresql://127.0.0.1/agents?schema=a&=b",
        f"postgresql://127.0.0.1/agents?listen_url=postgresql://u:{SECRET}%25zz@h/",
        f"postgresql://u:{SECRET}@127.0.0.1/agents?sslmode",
    ],
)
def test_a_url_that_cannot_be_read_is_refused(url: str) -> None:
    assert refused(url)


def test_a_database_that_is_not_there_is_to_be_created_first(server: Server) -> None:
    said = refused(server.url(database="nowhere"))
    assert 'database "nowhere" does not exist' in said
    assert "create it first" in said


def test_the_async_face_says_the_same() -> None:
    async def go() -> None:
        await holdfast.aopen(f"postgresql://postgres:{SECRET}@127.0.0.1:1")

    with pytest.raises(CannotOpen, match="cannot be reached") as raised:
        asyncio.run(go())
    assert SECRET not in str(raised.value)


# Options.


@pytest.mark.parametrize(
    "schema",
    ["", "1st", "a-b", "Agents", "a b", "a;drop", 'a"b', "a.b", "pg_x", "é", "x" * 41],
)
def test_a_name_that_is_no_safe_identifier_is_refused(schema: str) -> None:
    with pytest.raises(CannotOpen, match="no safe name for a schema"):
        target_of(f"h/db?schema={schema}", read_only=False)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("pool_size", ["", "0", "-1", "501", "2.5", "many", "²", "9" * 5_000]),
        ("statement_timeout_seconds", ["", "0", "-1", "0.0001", "nan", "inf", "soon"]),
        ("reconnect_seconds", ["", "0", "-1", "1e9", "nan", "inf", "long"]),
        ("listen_url", ["", "127.0.0.1", "mysql://h/db", "postgresql://h/?no=1"]),
        ("partitions", ["", "0", "-1", "1025", "some"]),
        ("row_security", ["", "yes", "ON", "1"]),
    ],
)
def test_an_option_with_a_bad_value_is_refused_by_its_name(
    option: str, values: list[str]
) -> None:
    for value in values:
        with pytest.raises(CannotOpen, match=f"^{option}="):
            target_of(f"h/db?{option}={value}", read_only=False)


def test_what_is_not_holdfasts_own_goes_to_libpq_as_it_was() -> None:
    target = target_of(
        "u:p%2B+q@h/db?application_name=a+b&pool_size=3", read_only=False
    )
    assert "u:p%2B+q@h" in target.conninfo
    assert "application_name=a%2Bb" in target.conninfo
    assert "pool_size" not in target.conninfo
    assert "target_session_attrs=read-write" in target.conninfo
    reading = target_of("h/db", read_only=True)
    assert "target_session_attrs" not in reading.conninfo


# What is there.


def test_a_standby_is_refused_for_writing(server: Server, standby: Server) -> None:
    said = refused(standby.url(schema="followed"))
    assert "is a standby, which only reads" in said
    assert "read_only=True" in said
    with holdfast.open(together(standby, server, schema="followed")) as store:
        store.sessions.append("talk", "user", "through the primary")


def test_a_connection_that_leads_to_a_standby_by_now_is_taken_for_lost(
    standby: Server,
) -> None:
    with psycopg.connect(standby.url(), autocommit=True) as led_astray:
        with pytest.raises(psycopg.Error) as raised:
            led_astray.execute("begin isolation level read committed read write")
        assert is_gone(raised.value)
        with pytest.raises(psycopg.Error) as raised:
            led_astray.execute("create table there (was int)")
        assert is_gone(raised.value)


def test_a_standby_is_read_with_its_history(server: Server, standby: Server) -> None:
    url = standby.url(schema="followed")
    with holdfast.open(url, read_only=True) as store:
        assert next(iter(store.sessions.history("talk"))).content == "hello"
        changes = store.journal.read(after=0)
        assert [change.op for change in changes][:2] == ["create", "create"]
        assert store.check().problems == ()
        with pytest.raises(Refused, match="open read-only"):
            store.sessions.create()
        with holdfast.open(server.url(schema="followed")) as primary:
            head = primary.journal.head()
            primary.sessions.append("talk", "user", "seen from a standby")
            change = next(store.journal.follow(after=head))
            assert change.seq == head + 1


def test_there_is_nothing_to_read_where_no_store_was_made(server: Server) -> None:
    assert "no store" in refused(server.url(schema="empty"), read_only=True)
    found = server.sql("select from pg_namespace where nspname = 'empty'")
    assert found == []


def test_another_programs_tables_are_left_as_they_were(server: Server) -> None:
    server.sql("create schema other; create table other.store (name text, n int)")
    server.sql("insert into other.store values ('a', 1)")
    for read_only in (False, True):
        said = refused(server.url(schema="other"), NotAStore, read_only=read_only)
        assert "another program's tables" in said
    assert server.sql("select * from other.store") == [("a", 1)]
    tables = "select count(*) from pg_class where relnamespace = 'other'::regnamespace"
    assert server.sql(f"{tables} and relkind = 'r'") == [(1,)]


def test_a_newer_holdfasts_store_is_left_as_it_was() -> None:
    with fresh_schema() as url:
        with holdfast.open(url) as store:
            store.sessions.create(id="talk")
            schema = store._core.engine._target.schema
        base = shared_url()
        with psycopg.connect(base, autocommit=True) as admin:
            admin.execute(
                f"update {schema}.store set value = '999' "
                "where name in ('version', 'reads_from', 'writes_from')"
            )
        for read_only in (False, True):
            assert "holdfast" in refused(url, TooNew, read_only=read_only)


def test_a_server_too_old_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_OLDEST", 990_000)
    with fresh_schema() as url:
        assert "needs 14 or later" in refused(url)


@pytest.mark.parametrize("missing", ["psycopg", "psycopg_pool"])
def test_a_missing_driver_is_said_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    said = refused("postgresql://127.0.0.1/agents")
    assert "pip install 'holdfast[postgres]'" in said


# Who may what.


@pytest.fixture(scope="module")
def clerk(server: Server) -> str:
    """A user who may make nothing in this database."""
    server.sql(f"create role clerk login password '{SECRET}'")
    server.sql("revoke create on database postgres from public")
    server.sql("revoke all on schema public from public")
    return "clerk"


def as_clerk(server: Server, schema: str) -> str:
    return server.url(user="clerk", password=SECRET, schema=schema)


def test_a_user_who_may_make_no_tables_is_told_who_may(
    server: Server, clerk: str
) -> None:
    assert "have the tables made by one who may" in refused(as_clerk(server, "none"))
    server.sql(f"create schema bare; grant usage on schema bare to {clerk}")
    assert "have the tables made by one who may" in refused(as_clerk(server, "bare"))
    assert server.sql("select * from pg_tables where schemaname = 'bare'") == []


def test_a_user_may_make_tables_in_a_schema_that_was_given(
    server: Server, clerk: str
) -> None:
    server.sql(f"create schema given authorization {clerk}")
    with holdfast.open(as_clerk(server, "given")) as store:
        store.sessions.create(id="talk")
        assert store.check().problems == ()


def test_a_user_with_rights_to_rows_alone_works_on_tables_made_beforehand(
    server: Server, clerk: str
) -> None:
    with holdfast.open(server.url(schema="made")) as store:
        store.sessions.create(id="talk")
    assert "may not do that" in refused(as_clerk(server, "made"))
    for statement in granted("made", clerk):
        server.sql(statement)
    with holdfast.open(as_clerk(server, "made")) as store:
        store.sessions.append("talk", "user", "hello")
        with store.transaction(actor="clerk") as tx:
            tx.sessions.update("talk", title="worked on")
            tx.tasks.create("do", id="do")
        store.tasks.start("do")
        store.sessions.delete("talk")
        assert store.journal.head() > 3
        assert store.check().problems == ()
