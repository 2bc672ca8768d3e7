"""Waiting on PostgreSQL: who waits for a record, or for its time, waits alone."""

import asyncio
import threading
import time
from typing import Any

import psycopg
import pytest

import holdfast
from contested import PROMPT_SECONDS, positions, raw, said, store, url  # noqa: F401
from crowd import Aside
from holdfast.engines.postgres.wire import plain
from holdfast.errors import TimedOut
from postgres import shared_url, until
from turns import JOIN_SECONDS


class Kept:
    """A session that a body of another process's keeps, as long as the block runs."""

    def __init__(self, url: str, id: str) -> None:
        self._other = holdfast.open(url)
        self._id = id
        self._held, self._over = threading.Event(), threading.Event()

    def __enter__(self) -> None:
        self._body = Aside(self._keep)
        assert self._held.wait(JOIN_SECONDS)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._body.result()
        self._other.close()

    def _keep(self) -> None:
        with self._other.transaction(timeout_seconds=JOIN_SECONDS) as tx:
            tx.sessions.append(self._id, "user", "kept")
            self._held.set()
            assert self._over.wait(JOIN_SECONDS)


def waiting(by: psycopg.Connection[Any]) -> int:
    by.rollback()
    text = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    ((count,),) = by.execute(text).fetchall()
    return count


def waiting_long(by: psycopg.Connection[Any]) -> list[Any]:
    """Who waits for longer than a group does for a record."""
    by.rollback()
    return by.execute(
        "select pid from pg_stat_activity where wait_event_type = 'Lock' "
        "and clock_timestamp() - xact_start > interval '0.2 s'"
    ).fetchall()


def test_a_row_that_is_only_met_at_the_end_of_a_group_is_waited_for(url, store):
    store.sessions.append("a", "user", "said")
    mark = store.sessions.mark("a").id
    schema = url.partition("schema=")[2]
    with psycopg.connect(shared_url()) as other:
        other.execute(f"set search_path = {schema}")
        other.execute(
            "insert into leftover select 'sessions', source, 1 from segment limit 1"
        )
        letting_go = Aside(lambda: asyncio.run(store.aio.sessions.unmark(mark)))
        with psycopg.connect(shared_url()) as look:
            until(lambda: waiting_long(look))
        other.rollback()
        assert letting_go.result()


@pytest.mark.parametrize("many", [1, 4, 30])
def test_a_record_that_is_kept_holds_up_nobody_elses_units(url, store, loop, many):
    async def others() -> list[float]:
        took = []
        for number in range(8):
            began = time.monotonic()
            if number % 2:
                await store.aio.sessions.get("b")
            else:
                await store.aio.sessions.append("b", "user", number)
            took.append(time.monotonic() - began)
        return took

    async def crowd() -> list[Any]:
        appends = [store.aio.sessions.append("a", "user", n) for n in range(many)]
        waiters = [asyncio.ensure_future(each) for each in appends]
        with Kept(url, "a"):
            await asyncio.sleep(0)  # they are on their way
            took.extend(await others())
        return await asyncio.gather(*waiters)

    took: list[float] = []
    done = loop.run_until_complete(crowd())
    assert sorted(message.position for message in done) == list(range(2, many + 2))
    assert max(took) < PROMPT_SECONDS


def test_threads_that_wait_for_a_record_do_not_hold_up_others(url, store):
    with Kept(url, "a"), raw(url) as by:
        waiters = [
            Aside(lambda: store.sessions.append("a", "user", "x")) for _ in range(6)
        ]
        until(lambda: waiting(by) >= 2)
        took = []
        for number in range(5):
            began = time.monotonic()
            store.sessions.append("b", "user", number)
            took.append(time.monotonic() - began)
    assert sorted(w.result().position for w in waiters) == list(range(2, 8))
    assert max(took) < PROMPT_SECONDS


def test_units_outlast_a_commit_that_takes_long(url, store, loop):
    """A group gives up soon on what it waits for; its units do not."""

    async def units() -> list[Any]:
        return await asyncio.gather(
            *(store.aio.sessions.append("b", "user", number) for number in range(20))
        )

    with raw(url) as slow, raw(url) as by:
        slow.execute("update session set title = 'slow' where id = 'a'")
        slow.execute("set constraints all immediate")  # as in its COMMIT
        done = Aside(lambda: loop.run_until_complete(units()))
        until(lambda: waiting_long(by))
        assert positions(store, "b") == []
        slow.commit()
        assert len(done.result()) == 20
    assert positions(store, "b") == list(range(1, 21))


def test_a_body_that_is_past_its_time_keeps_its_record_from_nobody(url, store):
    def overdue() -> None:
        with store.transaction(timeout_seconds=0.2) as tx:
            tx.sessions.append("a", "user", "never")
            held.set()
            assert over.wait(JOIN_SECONDS)

    held, over = threading.Event(), threading.Event()
    body = Aside(overdue)
    assert held.wait(JOIN_SECONDS)
    began = time.monotonic()
    assert store.sessions.append("a", "user", "mine").position == 1
    assert time.monotonic() - began < 2.0
    over.set()
    with pytest.raises(TimedOut):
        body.result()
    assert said(store, "a") == ["mine"]


def test_a_body_whose_time_the_server_finds_to_be_up_is_told_so(store):
    """It may notice before a busy process does, and ends the connection."""
    soon = plain("set local idle_in_transaction_session_timeout = 20")
    with (
        pytest.raises(TimedOut),
        store.transaction(timeout_seconds=JOIN_SECONDS) as tx,
    ):
        tx.sessions.create(id="gone")
        tx._tx.inner._wire.ask(soon, [])
        time.sleep(0.5)
        tx.sessions.get("gone")
    assert store.sessions.create(id="gone").version == 0
