"""The servers and the pooler that tests stand on do what they say."""

import contextlib
import itertools
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from pooler import Pooler
from postgres import (
    VARIABLE,
    Server,
    fresh_schema,
    shared_server,
    shared_url,
    together,
    until,
)

QUICK = {"fsync": "off"}
WAITS = "select wait_event from pg_stat_activity where pid = %s"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One that these tests may look into, but not end."""
    with Server(settings=QUICK) as started:
        yield started


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that each of these tests may end and start again; it wants a password."""
    folder = tmp_path_factory.mktemp("postgres")
    settings = {**QUICK, "work_mem": "1234kB"}
    with Server(folder, settings=settings, auth="scram") as started:
        yield started


@pytest.fixture
def pooler(server: Server) -> Iterator[Pooler]:
    with Pooler(server.port) as started:
        yield started


def connect(url: str, **options: object) -> psycopg.Connection:
    """A connection that prepares nothing by itself."""
    chosen = {"autocommit": True, "prepare_threshold": None, **options}
    return psycopg.connect(url, **chosen)


def one(connection: psycopg.Connection, text: str) -> object:
    return connection.execute(text).fetchone()[0]


def busy(connection: psycopg.Connection) -> bool:
    connection.pgconn.consume_input()
    return connection.pgconn.is_busy()


def processes(server: Server) -> list[psutil.Process]:
    postmaster = psutil.Process(server._pid)
    return [postmaster, *postmaster.children(recursive=True)]


def ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


# Servers.


def test_a_server_keeps_its_port_and_its_data_when_it_is_restarted(
    mortal: Server,
) -> None:
    assert mortal.sql("create table kept (a int); insert into kept values (1)") == []
    assert mortal.sql("show work_mem; select a from kept where a = 1") == [(1,)]
    url = mortal.url()
    mortal.stop()
    with pytest.raises(psycopg.OperationalError):
        connect(url)
    mortal.start()
    with connect(url) as over_tcp, connect(mortal.socket_url()) as over_socket:
        assert one(over_tcp, "select a from kept") == 1
        assert one(over_socket, "show work_mem") == "1234kB"


def test_a_client_names_its_back_end_and_it_is_listed(server: Server) -> None:
    with connect(server.url()) as connection:
        pid = connection.info.backend_pid
        assert pid in server.backends()
    until(lambda: pid not in server.backends())


def test_a_killed_server_leaves_no_process_and_loses_no_commit(mortal: Server) -> None:
    mortal.sql("create table t (a int)")
    with contextlib.closing(connect(mortal.url())) as connection:
        connection.execute("insert into t values (1)")
        before = processes(mortal)
        assert connection.info.backend_pid in [process.pid for process in before]
        mortal.kill()
        assert all(ended(process) for process in before)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("insert into t values (2)")
    mortal.start()
    assert mortal.sql("select a from t") == [(1,)]


def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import sys; from postgres import Server;"
        f"server = Server({str(tmp_path)!r}, settings={QUICK}).start();"
        "print(server._pid, flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    started = psutil.Process(int(child.stdout.readline()))
    child.send_signal(signal.SIGKILL)
    child.communicate()
    until(lambda: ended(started))


def test_a_server_may_want_a_password(mortal: Server) -> None:
    assert mortal.sql("select 1") == [(1,)]
    with pytest.raises(
        psycopg.OperationalError, match="password authentication failed"
    ):
        connect(mortal.url(password="wrong"))


def test_a_server_that_cannot_start_says_why_and_leaves_nothing() -> None:
    server = Server(settings={"nonsense": "1"})
    with pytest.raises(AssertionError) as caught:
        server.start()
    assert "nonsense" in caught.value.__notes__[0]
    server.close()
    assert not server.folder.exists()


def test_a_standby_has_every_commit_and_goes_on_when_promoted() -> None:
    with Server(settings=QUICK) as primary, primary.standby() as standby:
        primary.sql("create table t (a int)")
        clients = together(primary, standby, target_session_attrs="read-write")
        with connect(clients) as connection:
            assert connection.info.port == primary.port
            connection.execute("insert into t select generate_series(1, 1000)")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            standby.sql("insert into t values (0)")
        primary.kill()
        standby.promote()
        assert standby.sql("select count(*) from t") == [(1000,)]
        with connect(clients) as connection:
            assert connection.info.port == standby.port
            connection.execute("insert into t values (0)")


def test_a_commit_waits_for_a_synchronous_standby_alone(server: Server) -> None:
    """The first may be away, the second may not."""
    with server.standby(synchronous=False) as asynchronous:
        server.sql("create table waiting (a int)")
        asynchronous.stop("immediate")
        server.sql("insert into waiting values (1)")
    with server.standby() as standby:
        standby.stop("immediate")
        try:
            assert notices(server, "insert into waiting values (2)") == [
                "canceling wait for synchronous replication due to user request"
            ]
        finally:
            server.sql("alter system reset synchronous_standby_names")
            server.sql("select pg_reload_conf()")


def notices(server: Server, text: str) -> list[str]:
    """What it warns of, once its wait for a standby was cancelled."""
    said: list[str] = []
    with connect(server.url()) as connection:
        connection.add_notice_handler(
            lambda notice: said.append(notice.message_primary)
        )
        connection.pgconn.send_query(text.encode())
        connection.pgconn.flush()
        pid = connection.info.backend_pid
        until(lambda: ("SyncRep",) in server.sql(WAITS, pid))
        connection.cancel_safe()
        until(lambda: not busy(connection))
        assert connection.pgconn.get_result().error_message == b""
        connection.pgconn.get_result()
    return said


def test_a_schema_is_gone_at_the_end_of_its_test() -> None:
    count = "select count(*) from pg_namespace where nspname = %s"
    with fresh_schema(pool=3) as url:
        base, _, query = url.partition("?schema=")
        schema = query.removesuffix("&pool=3")
        with connect(base) as connection:
            connection.execute(f"create schema {schema} create table t (a int)")
            assert connection.execute(count, (schema,)).fetchone() == (1,)
    with connect(base) as connection:
        assert connection.execute(count, (schema,)).fetchone() == (0,)


def test_a_run_can_be_pointed_at_another_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert shared_url() == shared_server().url()
    assert shared_server() is shared_server()
    monkeypatch.setenv(VARIABLE, "postgresql://db.example/tests?user=a")
    assert shared_url() == "postgresql://db.example/tests?user=a"


# The pooler.


def test_transactions_of_a_client_run_on_one_connection_after_another(
    pooler: Pooler,
) -> None:
    with connect(pooler.url()) as connection:
        pids = [one(connection, "select pg_backend_pid()") for _ in range(9)]
        assert len(set(pids)) == 3
        assert all(a != b for a, b in itertools.pairwise(pids))
        with connection.transaction():
            inside = {one(connection, "select pg_backend_pid()") for _ in range(9)}
        assert len(inside) == 1


def test_clients_beyond_its_size_wait_for_a_connection(server: Server) -> None:
    with (
        Pooler(server.port, size=1) as pooler,
        connect(pooler.url()) as first,
        connect(pooler.url()) as second,
    ):
        with first.transaction():
            first.execute("select 1")
            second.pgconn.send_query(b"select 2")
            second.pgconn.flush()
            assert one(first, "select 3") == 3
            assert busy(second)
        until(lambda: not busy(second))
        assert second.pgconn.get_result().get_value(0, 0) == b"2"
        assert second.pgconn.get_result() is None


def test_a_prepared_statement_is_lost(pooler: Pooler) -> None:
    with connect(pooler.url()) as connection:
        connection.execute("prepare mine as select 1")
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            connection.execute("execute mine")
    lost = pytest.raises(psycopg.errors.InvalidSqlStatementName)
    with connect(pooler.url(), prepare_threshold=0) as connection, lost:
        for _ in range(2):
            connection.execute("select 1")


def test_a_prepared_statement_is_met_by_the_next_client(server: Server) -> None:
    with Pooler(server.port, size=1) as pooler:
        with connect(pooler.url(), prepare_threshold=0) as connection:
            connection.execute("select 1")
        met = pytest.raises(psycopg.errors.DuplicatePreparedStatement)
        with connect(pooler.url(), prepare_threshold=0) as connection, met:
            connection.execute("select 2")


def test_a_startup_parameter_that_it_does_not_know_is_refused(pooler: Pooler) -> None:
    with pytest.raises(psycopg.OperationalError, match="startup parameter: options"):
        connect(pooler.url(options="-c search_path=agent"))


def test_a_setting_of_a_session_is_left_to_another_client(pooler: Pooler) -> None:
    with connect(pooler.url()) as one_client:
        one_client.execute("set lock_timeout = '77ms'")
    with connect(pooler.url()) as another:
        seen = {one(another, "show lock_timeout") for _ in range(3)}
    assert seen == {"0", "77ms"}


def test_the_few_parameters_that_it_carries_stay_with_their_client(
    pooler: Pooler,
) -> None:
    with (
        connect(pooler.url(application_name="a", client_encoding="latin1")) as a,
        connect(pooler.url(application_name="b's")) as b,
    ):
        a.execute("set timezone = 'Europe/Oslo'")
        for _ in range(4):
            assert one(a, "show application_name") == "a"
            assert one(a, "show timezone") == "Europe/Oslo"
            assert one(a, "select 'ø'") == "ø"
            assert one(b, "show application_name") == "b's"
            assert one(b, "show timezone") == "GMT"


def test_what_one_listens_to_is_lost(server: Server, pooler: Pooler) -> None:
    with connect(pooler.url()) as connection:
        connection.execute("listen channel")
        for _ in range(3):
            connection.execute("select 1")  # all of its connections are up
        server.sql("notify channel, 'said'")
        assert list(connection.notifies(timeout=0.1)) == []


def test_a_client_that_leaves_within_a_transaction_leaves_nothing_open(
    server: Server, pooler: Pooler
) -> None:
    connection = connect(pooler.url(), autocommit=False)
    pid = one(connection, "select pg_backend_pid()")
    assert pid in server.backends()
    connection.close()
    until(lambda: pid not in server.backends())
    with connect(pooler.url()) as connection:
        assert one(connection, "select 1") == 1


def test_a_lost_server_connection_is_told_and_replaced(
    server: Server, pooler: Pooler
) -> None:
    with connect(pooler.url(), autocommit=False) as connection:
        pid = one(connection, "select pg_backend_pid()")
        server.sql("select pg_terminate_backend(%s)", pid)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    with connect(pooler.url()) as connection:
        pids = {one(connection, "select pg_backend_pid()") for _ in range(6)}
    assert len(pids) == 3
    assert pid not in pids


def test_a_request_to_cancel_reaches_the_right_back_end(
    server: Server, pooler: Pooler
) -> None:
    with connect(pooler.url()) as connection, connection.transaction():
        pid = one(connection, "select pg_backend_pid()")
        connection.pgconn.send_query(b"select pg_sleep(60)")
        connection.pgconn.flush()
        until(lambda: ("PgSleep",) in server.sql(WAITS, pid))
        connection.cancel_safe()
        until(lambda: not busy(connection))
        result = connection.pgconn.get_result()
        assert b"canceling statement" in result.error_message
        assert connection.pgconn.get_result() is None


def test_copies_go_through_it_both_ways(pooler: Pooler) -> None:
    rows = [(f"{number:01000}",) for number in range(1_000)]
    with connect(pooler.url()) as connection, connection.transaction():
        connection.execute("create temp table t (a text) on commit drop")
        with connection.cursor() as cursor, cursor.copy("copy t from stdin") as copy:
            for row in rows:
                copy.write_row(row)
        with connection.cursor() as cursor, cursor.copy("copy t to stdout") as copy:
            assert list(copy.rows()) == rows
