"""A server that is away, full or slow: typed errors in time, and then on as before."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import holdfast
from driving import Driven
from holdfast.engines import rounds
from holdfast.engines.postgres import failures
from holdfast.engines.postgres.wire import Wire
from holdfast.errors import OutcomeUnknown, Unreachable
from losing import Breaker, run_as_group
from postgres import Server, until

RECONNECT_SECONDS = 0.6
MANY = 100
ATTEMPTS = 12
"""More than are made for those who begin to wait: others follow while they wait."""
SOON_SECONDS = 5.0


@pytest.fixture(scope="module")
def mortal() -> Iterator[Server]:
    """A server that these tests end and start again."""
    with Server(settings={"fsync": "off", "wal_writer_delay": "10s"}) as started:
        yield started


@pytest.fixture
def store(mortal: Server, request: pytest.FixtureRequest) -> Iterator[holdfast.Store]:
    """A store on it, sound at the end, when the server runs again."""
    schema = f"t_{abs(hash(request.node.name))}"
    url = mortal.url(schema=schema, reconnect_seconds=RECONNECT_SECONDS)
    opened = holdfast.open(url)
    opened.sessions.create(id="talk")
    yield opened
    if mortal._pid is None:
        mortal.start()
    opened.close()
    with holdfast.open(mortal.url(schema=schema)) as again:
        assert again.check().problems == ()


@pytest.fixture
def faces(store: holdfast.Store, loop: asyncio.AbstractEventLoop) -> list[Any]:
    return [store, Driven(store.aio, loop)]


def append(store: Any) -> None:
    store.sessions.append("talk", "user", "here")


def body(store: Any) -> None:
    with store.transaction() as tx:
        tx.sessions.append("talk", "user", "here")


def there(store: Any) -> int:
    return len(list(store.sessions.history("talk")))


def found(store: Any) -> int:
    """What is there, as soon as the store has a connection again."""
    patience = time.monotonic() + SOON_SECONDS
    while True:
        try:
            return there(store)
        except Unreachable:
            assert time.monotonic() < patience


CALLS: list[Callable[[Any], object]] = [append, body, there]


async def _all_at_once(store: holdfast.Store, many: int = MANY) -> list[Any]:
    wanted = (store.aio.sessions.append("talk", "user", "here") for _ in range(many))
    return await asyncio.gather(*wanted, return_exceptions=True)


# Away and back.


@pytest.mark.parametrize("call", CALLS)
def test_after_a_restart_calls_succeed_as_if_nothing_had_been(
    store: holdfast.Store, faces: list[Any], mortal: Server, call: Any
) -> None:
    for face in faces:
        asyncio.run(_all_at_once(store))  # many connections, to be lost
        mortal.restart("immediate")
        for _ in range(3):
            call(face)


def test_a_call_that_waits_for_the_server_succeeds_as_soon_as_it_is_back(
    mortal: Server,
) -> None:
    with holdfast.open(mortal.url(schema="waits")) as store:
        store.sessions.create(id="talk")
        mortal.stop()
        threads = [
            threading.Thread(target=by, args=[store]) for by in (append, there, append)
        ]
        for thread in threads:
            thread.start()
        pool = store._core.engine._links._pool
        until(lambda: pool.get_stats().get("connections_errors", 0) > ATTEMPTS)
        mortal.start()
        began = time.monotonic()
        for thread in threads:
            thread.join()
        assert time.monotonic() - began < SOON_SECONDS
        assert there(store) == 2


@pytest.mark.parametrize("call", CALLS)
def test_while_the_server_is_away_every_call_says_so_in_time(
    store: holdfast.Store, faces: list[Any], mortal: Server, call: Any
) -> None:
    call(store)
    before = there(store)
    mortal.stop()
    began = time.monotonic()
    for face in faces:
        with pytest.raises(Unreachable, match="cannot be reached"):
            call(face)
    assert time.monotonic() - began < SOON_SECONDS
    mortal.start()
    assert found(store) == before
    call(store)


def test_a_worker_goes_on_after_the_server_was_away(
    store: holdfast.Store, mortal: Server, caplog: pytest.LogCaptureFixture
) -> None:
    began, goes_on = threading.Event(), threading.Event()

    def work(job: Any) -> int:
        began.set()
        goes_on.wait(SOON_SECONDS)
        return int(job.attempt)

    first = store.jobs.put("work")
    with holdfast.Worker(store, {"work": work}, concurrency=1) as worker:
        assert began.wait(SOON_SECONDS)
        mortal.stop()
        goes_on.set()
        until(lambda: "the store is away" in caplog.text)
        mortal.start()
        assert store.jobs.result(first.id, timeout_seconds=SOON_SECONDS) == 1
        second = store.jobs.put("work")
        assert store.jobs.result(second.id, timeout_seconds=SOON_SECONDS) == 1
    assert (worker.report().done, worker.report().lost) == (2, 0)


def test_many_who_wait_for_a_server_that_is_away_do_not_wait_one_after_another(
    store: holdfast.Store, mortal: Server
) -> None:
    mortal.stop()
    began = time.monotonic()
    found = asyncio.run(_all_at_once(store, 15 * MANY))
    assert {type(error) for error in found} == {Unreachable}
    assert time.monotonic() - began < SOON_SECONDS
    mortal.start()
    assert there(store) == 0
    append(store)


def test_a_store_can_be_closed_while_the_server_is_away(mortal: Server) -> None:
    store = holdfast.open(mortal.url(schema="closed"))
    asyncio.run(store.aio.owners())
    mortal.stop()
    began = time.monotonic()
    store.close()
    assert time.monotonic() - began < SOON_SECONDS
    mortal.start()


def _deliver(store: holdfast.Store) -> None:
    store.events.emit("task.done", {}, source="agent")


def _tidy(store: holdfast.Store) -> None:
    store._core.engine._post_own(lambda tx: tx.untidy())


@pytest.mark.parametrize("does", [_deliver, _tidy])
def test_what_a_store_does_by_itself_does_not_keep_who_closes_it(
    mortal: Server, does: Callable[[holdfast.Store], None]
) -> None:
    store = holdfast.open(mortal.url(schema=f"by_itself{does.__name__}"))
    store.observations.create("watcher", inbox=True)
    _deliver(store)
    until(lambda: len(list(store.inbox.list(to="watcher"))) == 1)
    mortal.stop()
    does(store)
    began = time.monotonic()
    store.close()
    assert time.monotonic() - began < SOON_SECONDS
    mortal.start()


def test_checkpoints_that_are_due_do_not_keep_who_closes_a_store(
    mortal: Server, caplog: pytest.LogCaptureFixture
) -> None:
    store = holdfast.open(mortal.url(schema="checkpoints"))
    calls: list[int] = []

    def collect() -> int:
        calls.append(1)
        return len(calls)

    store.checkpoints.participant("n", collect)
    store.checkpoints.take()
    mortal.stop()
    store.checkpoints.every(0.01)
    until(lambda: len(calls) > 1)  # and from here on it waits for the server
    began = time.monotonic()
    with caplog.at_level(logging.CRITICAL, "holdfast.checkpoints"):
        store.close()
    assert time.monotonic() - began < SOON_SECONDS
    mortal.start()
    with holdfast.open(mortal.url(schema="checkpoints")) as again:
        again.checkpoints.participant("n", lambda: None, lambda data: None)
        assert again.checkpoints.restore().restored == ("n",)


def test_the_impatient_change_nothing_for_how_long_others_wait(
    store: holdfast.Store, mortal: Server
) -> None:
    links = store._core.engine._links
    mortal.stop()
    with pytest.raises(Unreachable):
        links.take(patient=False)
    assert links.seconds_left(patient=True) == RECONNECT_SECONDS
    for patient in (True, False):
        with pytest.raises(Unreachable):
            links.take(patient=patient)
        assert links.seconds_left(patient=True) <= 0
    mortal.start()


def test_a_round_of_tidying_that_failed_before_it_began_is_due_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = rounds.Rounds()
    counted.one(lambda _: None)
    assert not counted.due(untidy=True)
    monkeypatch.setattr(rounds, "_SECONDS", 0.0)
    assert counted.due(untidy=False)


# Nobody can say.


@pytest.fixture
def breaker(mortal: Server) -> Iterator[Breaker]:
    made = Breaker(mortal.url())
    yield made
    made.close()


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("call", [append, body])
def test_a_commit_of_which_nobody_can_say_is_said_to_be_so(
    store: holdfast.Store,
    faces: list[Any],
    mortal: Server,
    breaker: Breaker,
    call: Any,
    arrives: bool,
) -> None:
    def end(_: Wire, commit: Callable[[], Any]) -> None:
        if arrives:
            commit()
        mortal.stop()

    for turn, face in enumerate(faces, 1):
        with (
            breaker.commit(end),
            pytest.raises(OutcomeUnknown, match="may or may not be there"),
        ):
            call(face)
        mortal.start()
        assert found(store) == (turn if arrives else 0)


def test_a_group_of_which_nobody_can_say_is_not_done_again(
    store: holdfast.Store, mortal: Server, breaker: Breaker
) -> None:
    def end(_: Wire, commit: Callable[[], Any]) -> None:
        commit()
        mortal.stop()

    def said_late(place: str, seconds: float) -> Exception:
        mortal.start()  # whoever did it again now could
        return unknown(place, seconds)

    unknown = failures.unknown
    with pytest.MonkeyPatch.context() as patch, breaker.commit(end):
        patch.setattr(failures, "unknown", said_late)
        group, left = run_as_group(store, lambda tx, _: append(tx), 20)
    assert {type(unit.error) for unit in group} == {OutcomeUnknown}
    assert left == []
    assert found(store) == 20


# What a crash does to numbers.


def test_no_number_is_given_twice_though_the_server_forgot_that_it_gave_some(
    mortal: Server,
) -> None:
    with holdfast.open(mortal.url(schema="numbers")) as store:
        store.sessions.create(id="talk")
        numbers = store._core.engine._shared.numbers
        while mortal.sql("select log_cnt from numbers.number") != [(0,)]:
            mortal.sql("select nextval('numbers.number')")
        numbers._next = numbers._end = 0
        with pytest.raises(Unreachable), store.transaction() as tx:
            tx.sessions.append("talk", "user", "lost")  # fetches numbers
            mortal.kill()
            tx.sessions.append("talk", "user", "lost")
        mortal.start()
        with holdfast.open(mortal.url(schema="numbers")) as other:
            for _ in range(3):
                append(store)
                append(other)
                other.tasks.create("do")
                store.tasks.create("do")
        used = mortal.sql(
            "select no from numbers.message union all select no from numbers.task"
        )
        assert len(used) == len(set(used)) == 12


# A machine that dies says nothing.


def test_a_server_whose_machine_died_is_noticed_by_its_silence(mortal: Server) -> None:
    with holdfast.open(mortal.url(schema="silent")) as store:
        link = store._core.engine._links.take()
        with socket.socket(fileno=link.wire._pg.socket) as tcp:
            idle = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            unanswered = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            tcp.detach()
        store._core.engine._links.give_back(link)
    assert 0 < idle <= 30
    assert 0 < unanswered <= 60_000
