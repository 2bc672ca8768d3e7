"""Losing: connections to PostgreSQL that break at a chosen point of what is sent.

Answers for: killing the back end of whoever is about to send, or has just sent, a
statement; losing the answer to a commit; writes of which one can tell how often they
were done.
Always holds: what was chosen breaks once; all that follows goes through.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

import holdfast
from holdfast.engine import Terms, Unit
from holdfast.engines.postgres import units as running
from holdfast.engines.postgres.wire import Bound, Lost, Values, Wire
from postgres import until


class Breaker:
    """Breaks connections to the server of a URL, one at a time."""

    def __init__(self, url: str) -> None:
        self.admin = psycopg.connect(url, autocommit=True)
        self.fell = False
        self.places = 0
        """How many places there were to break at."""

    def close(self) -> None:
        self.admin.close()

    def kill(self, wire: Wire) -> None:
        """End a connection's back end, and wait until it has ended."""
        pid = wire._pg.backend_pid
        self.admin.execute("select pg_terminate_backend(%s)", [pid])
        self.ended(pid)

    def kill_all(self) -> None:
        """End all back ends of stores, and wait until they have ended."""
        killed = self.admin.execute(
            "select pid, pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name = 'holdfast'"
        ).fetchall()
        for pid, _ in killed:
            self.ended(pid)

    def ended(self, pid: int) -> None:
        """Wait until a back end has ended."""
        until(lambda: not self._is_there(pid))

    def waits(self, pid: int, why: str) -> None:
        """Wait until a back end waits for something."""
        asked = "select wait_event from pg_stat_activity where pid = %s"
        until(lambda: self.admin.execute(asked, [pid]).fetchone() == (why,))

    def _is_there(self, pid: int) -> bool:
        asked = "select from pg_stat_activity where pid = %s"
        return self.admin.execute(asked, [pid]).fetchone() is not None

    @contextmanager
    def before(self, place: int) -> Iterator[None]:
        """Kill before the statement at that place, from 1 on, is sent."""
        send = Wire._send

        def breaking(wire: Wire, what: Bound, values: Values) -> None:
            self._at(place, wire)
            send(wire, what, values)

        with self._patched("_send", breaking):
            yield

    @contextmanager
    def after(self, place: int) -> Iterator[None]:
        """Kill when statements have been sent for so many times, before any answer.

        How far the back end has come with them is left to chance.
        """
        flush = Wire._flush

        def breaking(wire: Wire) -> None:
            flush(wire)
            self._at(place, wire)

        with self._patched("_flush", breaking):
            yield

    @contextmanager
    def commit(self, how: Callable[[Wire, Callable[[], Any]], None]) -> Iterator[None]:
        """Break the first commit: `how` is given the wire, and what would commit.

        Nobody hears of its answer.
        """
        finish = Wire.finish

        def breaking(wire: Wire, what: Bound) -> bytes:
            if self.fell or what.text != b"commit":
                return finish(wire, what)
            self.fell = True
            how(wire, lambda: finish(wire, what))
            wire.drop()
            raise Lost("lost by a test")

        with self._patched("finish", breaking):
            yield

    def _at(self, place: int, wire: Wire) -> None:
        self.places += 1
        if self.places == place:
            self.fell = True
            self.kill(wire)

    @contextmanager
    def _patched(self, name: str, with_what: Callable[..., Any]) -> Iterator[None]:
        whole = getattr(Wire, name)

        def breaking(*args: Any) -> Any:
            if threading.current_thread().name == "holdfast-events":  # no part of it
                return whole(*args)
            return with_what(*args)

        self.fell, self.places = False, 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Wire, name, breaking)
            yield


def send_only(wire: Wire) -> None:
    """Send a commit, and wait for nothing."""
    wire._pg.send_query_params(b"commit", None)
    wire._pg.pipeline_sync()
    wire._flush()


def run_as_group(
    store: holdfast.Store, function: Callable[..., Any], count: int
) -> tuple[list[Unit[Any]], list[Unit[Any]]]:
    """Have units share a transaction: all of them, and those that it left to be run.

    `function` is given the open transaction and the unit's number.
    """
    core = store._core
    units = [
        core.unit(core.running(function, (number,), None), Terms())
        for number in range(count)
    ]
    runner = core.engine._runner()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "_GROUP_SECONDS", 60.0)
        left = runner.group(units)
    runner.committer.let_go()
    return units, [*left.alone, *(unit for _, unit in left.waiting)]


# Writes that can be counted: each over two kinds, or a lease, which is not journalled.


def both(tx: holdfast.Transaction) -> None:
    """A unit over two kinds."""
    tx.sessions.append("talk", "user", "both")
    tx.tasks.log("keep", "both")


def by_call(face: Any) -> None:
    face.sessions.append("talk", "user", "called")
    face.tasks.log("keep", "called")


def by_run(face: Any) -> None:
    face.run(both)


def by_lease(face: Any) -> None:
    """What is not journalled: the same holder takes the record over, once."""
    face.leases.acquire("sessions", "leased", holder="me", seconds=600)


def by_body(face: Any) -> None:
    with face.transaction() as tx:
        tx.sessions.append("talk", "user", "body")
        tx.tasks.log("keep", "body")


def done(store: holdfast.Store) -> int:
    """How often it was done; never by half."""
    counts = "select (select count(*) from message), (select count(*) from task_log)"
    core = store._core
    ((said, logged),) = core.engine.read(
        core.unit(lambda tx: tx.ask(counts), Terms(every_owner=True))
    )
    assert said == logged
    lease = store.leases.get("sessions", "leased")
    return said + (lease.fence if lease else 0)
