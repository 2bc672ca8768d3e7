"""Waits that end in time: for connections, records, statements and idle bodies."""

import asyncio
import threading
import time
from typing import Any

import psycopg
import pytest

import holdfast
from driving import Driven
from holdfast.engines.postgres import links, units
from holdfast.engines.postgres.ddl import locks_of
from holdfast.errors import Busy, TimedOut
from losing import run_as_group
from postgres import empty_store, fresh_schema, until

SOON_SECONDS = 5.0


def append(store: Any) -> None:
    store.sessions.append("talk", "user", "here")


def there(store: Any) -> int:
    return len(list(store.sessions.history("talk")))


# A pool that is exhausted.


def test_when_all_connections_are_taken_a_call_says_what_to_do_and_later_ones_go_on(
    monkeypatch: pytest.MonkeyPatch, loop: asyncio.AbstractEventLoop
) -> None:
    monkeypatch.setattr(links, "_WAIT_SECONDS", 0.3)
    taken, over = threading.Barrier(3), threading.Event()

    def hold(store: holdfast.Store, id: str) -> None:
        with store.transaction() as tx:
            tx.sessions.create(id=id)
            taken.wait()
            over.wait()

    with fresh_schema(pool_size=2) as url, holdfast.open(url) as store:
        threads = [threading.Thread(target=hold, args=[store, id]) for id in "ab"]
        for thread in threads:
            thread.start()
        taken.wait()
        for face in (store, Driven(store.aio, loop)):
            for call in (
                lambda face=face: face.sessions.create(id="c"),
                lambda face=face: face.sessions.list(),
                lambda face=face: face.transaction().__enter__(),
            ):
                with pytest.raises(Busy, match="all 2 connections.*pool_size="):
                    call()
        over.set()
        for thread in threads:
            thread.join()
        assert {s.id for s in store.sessions.list()} == {"a", "b"}
        store.sessions.create(id="c")
        assert store.check().problems == ()


# Too slow.


def test_a_statement_that_runs_past_its_time_is_timed_out_and_leaves_nothing() -> None:
    def slow(tx: Any) -> None:
        tx.sessions.create(id="slow")
        tx._tx.ask("select pg_sleep(30)")

    with (
        fresh_schema(statement_timeout_seconds=0.2) as url,
        holdfast.open(url) as store,
    ):
        began = time.monotonic()
        with pytest.raises(TimedOut, match="statement ran past its time"):
            store.run(slow)
        with pytest.raises(TimedOut), store.transaction() as tx:
            slow_in_body(tx)
        assert time.monotonic() - began < SOON_SECONDS
        assert list(store.sessions.list()) == []
        store.sessions.create(id="quick")


def slow_in_body(tx: Any) -> None:
    tx.sessions.create(id="slow")
    with tx._tx._body.step():
        tx._tx.inner.ask("select pg_sleep(30)")


def test_a_body_that_sits_idle_past_its_time_frees_what_it_has_locked() -> None:
    idle, over = threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def sit(store: holdfast.Store) -> None:
        try:
            with store.transaction(timeout_seconds=0.5) as tx:
                tx.sessions.append("talk", "user", "never")
                idle.set()
                over.wait()
                tx.sessions.append("talk", "user", "too late")
        except TimedOut as error:
            raised.append(error)

    with empty_store() as url, holdfast.open(url) as store:
        store.sessions.create(id="talk")
        thread = threading.Thread(target=sit, args=[store])
        thread.start()
        idle.wait()
        began = time.monotonic()
        append(store)
        assert time.monotonic() - began < SOON_SECONDS / 2
        over.set()
        thread.join()
        assert len(raised) == 1
        assert there(store) == 1
        with store.transaction() as tx:
            append(tx)


def test_the_journals_turn_is_waited_for_longer_than_a_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(units, "SHORT_LOCK_SECONDS", 0.001)
    with empty_store() as url, holdfast.open(url) as store:
        store.sessions.create(id="talk")
        base, _, schema = url.partition("?schema=")
        waiting = "select from pg_stat_activity where wait_event = 'advisory'"

        def release() -> None:
            with psycopg.connect(base, autocommit=True) as admin:
                until(lambda: admin.execute(waiting).fetchone() is not None)
                holder.close()

        holder = psycopg.connect(base)
        holder.execute(f"select pg_advisory_xact_lock({locks_of(schema).committing})")
        thread = threading.Thread(target=release)
        thread.start()
        group, left = run_as_group(store, lambda tx, _: append(tx), 20)
        thread.join()
        assert left == []
        assert {unit.error for unit in group} == {None}
        assert there(store) == 20


# An altered table, and what is prepared.


def test_a_table_that_was_altered_under_an_open_store_stops_nobody(
    loop: asyncio.AbstractEventLoop,
) -> None:
    with empty_store() as url, holdfast.open(url) as store:
        store.sessions.create(id="talk")
        for face in (store, Driven(store.aio, loop)):
            face.sessions.get("talk")
            base, _, schema = url.partition("?schema=")
            for kind in ("varchar(999)", 'text collate "C"'):
                with psycopg.connect(base, autocommit=True) as admin:
                    admin.execute(
                        f"alter table {schema}.session alter column title type {kind}"
                    )
                assert face.sessions.get("talk").id == "talk"
                append(face)
