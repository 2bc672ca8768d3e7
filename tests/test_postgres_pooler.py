"""Behind a pooler in transaction mode, which keeps nothing that a session had."""

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

import holdfast
from driving import Driven
from examples import NAMES, OPERATIONS, example, furnish
from holdfast.clock import ManualClock
from holdfast.engines.postgres import watcher, wire
from holdfast.errors import Fenced, HoldfastError
from pooler import Pooler
from postgres import Server, until

ROUNDS = 25


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(settings={"fsync": "off"}) as started:
        yield started


@pytest.fixture(scope="module")
def pooler(server: Server) -> Iterator[Pooler]:
    with Pooler(server.port) as started:
        yield started


@pytest.fixture(params=["listening", "pooled"])
def options(request: pytest.FixtureRequest, server: Server) -> dict[str, str]:
    """With a way round the pooler for whoever listens, or with none."""
    return {"listen_url": server.url()} if request.param == "listening" else {}


@pytest.fixture
def schema(server: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"t_{abs(hash(request.node.name))}"
    yield name
    server.sql(f"drop schema if exists {name} cascade")


@pytest.fixture(params=["sync", "async"])
def face(
    request: pytest.FixtureRequest,
    pooler: Pooler,
    options: dict[str, str],
    schema: str,
    loop: asyncio.AbstractEventLoop,
) -> Iterator[Any]:
    """Either face of a store behind the pooler; sound at the end."""
    opened = holdfast.open(pooler.url(schema=schema, **options), clock=ManualClock())
    yield opened if request.param == "sync" else Driven(opened.aio, loop)
    report = opened.check()
    opened.close()
    assert report.problems == ()


def test_every_operation_works_behind_a_pooler_as_it_does_without(
    face: Any, server: Server, schema: str
) -> None:
    owners = {name: "reader" if OPERATIONS[name].reads else name for name in NAMES}
    with holdfast.open(":memory:", clock=ManualClock()) as plain:
        for owner in set(owners.values()):
            for one in (face, plain):
                one.owned_by(owner).run(partial(furnish, word=owner))
        for name, owner in owners.items():
            mine, its = face.owned_by(owner), plain.owned_by(owner)
            assert outcome(mine, name) == outcome(its, name)
    with holdfast.open(server.url(schema=schema), read_only=True) as direct:
        assert set(direct.owners()) == set(owners.values())


def outcome(store: Any, name: str) -> str:
    """What an operation gives, but for the ids that are made by chance."""
    try:
        found = store.call(name, example(name).args)
    except HoldfastError as error:
        return repr(error)
    many = len(found) if hasattr(found, "__len__") else 1
    return f"{type(found).__name__} {many if OPERATIONS[name].reads else 1}"


def test_bodies_savepoints_and_groups_work_behind_a_pooler(face: Any) -> None:
    face.sessions.create(id="talk")
    for _ in range(ROUNDS):
        with face.transaction() as tx:
            tx.sessions.append("talk", "user", "a")
            with pytest.raises(ValueError), tx.savepoint():
                tx.sessions.append("talk", "user", "undone")
                raise ValueError
            tx.tasks.create("do", session="talk")
        face.run(lambda tx: tx.sessions.append("talk", "user", "b"))
    said = [message.content for message in face.sessions.history("talk")]
    assert said == ["a", "b"] * ROUNDS


def test_two_clients_at_once_do_not_meet_in_what_the_pooler_keeps(
    pooler: Pooler, options: dict[str, str], schema: str
) -> None:
    url = pooler.url(schema=schema, **options)
    other = pooler.url(schema=f"{schema}_b", **options)

    async def crowd(store: holdfast.Store) -> None:
        wanted = [store.aio.sessions.append("talk", "user", n) for n in range(4)]
        await asyncio.gather(*wanted, store.aio.sessions.get("talk"))

    def work(store: holdfast.Store, failures: list[BaseException]) -> None:
        try:
            for _ in range(ROUNDS):
                asyncio.run(crowd(store))
                with store.transaction() as tx:
                    tx.sessions.append("talk", "user", "body")
        except BaseException as error:
            failures.append(error)

    failures: list[BaseException] = []
    with (
        holdfast.open(url) as a,
        holdfast.open(url) as b,
        holdfast.open(other) as apart,
    ):
        for store in (a, apart):
            store.sessions.create(id="talk")
        threads = [
            threading.Thread(target=work, args=[store, failures])
            for store in (a, b, apart)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(list(a.sessions.history("talk"))) == 2 * 5 * ROUNDS
        assert len(list(apart.sessions.history("talk"))) == 5 * ROUNDS
        assert a.check().problems == apart.check().problems == ()


def test_leases_and_owners_hold_behind_a_pooler(face: Any) -> None:
    face.sessions.create(id="talk")
    lease = face.leases.acquire("sessions", "talk", holder="me", seconds=60)
    face.leases.release("sessions", "talk", fence=lease.fence)
    with pytest.raises(Fenced):
        face.leases.renew("sessions", "talk", fence=lease.fence, seconds=60)
    assert list(face.owned_by("bob").sessions.list()) == []


def test_a_pooler_that_hides_itself_is_noticed_by_what_it_loses(
    pooler: Pooler, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = wire.set_up

    def deceived(link: Any) -> None:
        made(link)
        link.wire.direct = True  # as if the pooler passed on the server's process id

    monkeypatch.setattr("holdfast.engines.postgres.links.set_up", deceived)
    with holdfast.open(pooler.url(schema=schema)) as store:
        links = store._core.engine._links
        assert links.prepares
        store.sessions.create(id="talk")
        for n in range(ROUNDS):
            store.sessions.append("talk", "user", n)
            assert store.sessions.get("talk").id == "talk"
        assert not links.prepares
        with store.transaction() as tx:
            tx.sessions.append("talk", "user", ROUNDS)
        said = [message.content for message in store.sessions.history("talk")]
        assert said == list(range(ROUNDS + 1))


def test_a_follower_is_woken_round_the_pooler(
    pooler: Pooler, server: Server, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "_LOOK_SECONDS", 3_600.0)  # it hears, or it sleeps
    url = pooler.url(schema=schema, listen_url=server.url())
    with holdfast.open(url) as following, holdfast.open(url) as writing:
        writing.sessions.create(id="talk")
        seen: list[int] = []
        ready = threading.Event()

        def follow() -> None:
            for change in following.journal.follow(after=0):
                seen.append(change.seq)
                ready.set()
                if len(seen) == 4:
                    break

        thread = threading.Thread(target=follow)
        thread.start()
        ready.wait()
        for n in range(3):
            writing.sessions.append("talk", "user", n)
        thread.join()
        assert seen == sorted(set(seen))


def test_a_follower_sees_what_comes_with_no_way_round_the_pooler(
    pooler: Pooler, server: Server, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "_LOOK_SECONDS", 3_600.0)  # it looks, or it sleeps
    url = pooler.url(schema=schema)
    with holdfast.open(url) as following, holdfast.open(url) as writing:
        writing.sessions.create(id="talk")
        seen: list[int] = []

        def follow() -> None:
            for change in following.journal.follow(after=0):
                seen.append(change.seq)  # noqa: PERF401  # each as it comes

        thread = threading.Thread(target=follow)
        thread.start()
        for n in range(1, 6):
            until(lambda n=n: len(seen) == n)  # it waits for the next one by then
            writing.sessions.append("talk", "user", n)
        until(lambda: len(seen) == 6)
    thread.join()
    assert seen == list(range(1, 7))
    kept = "select from pg_locks where locktype = 'advisory' and objid <> 0"
    assert server.sql(kept) == []  # nothing of it stays with the pooler's connections
