"""Followers on PostgreSQL: woken at each commit, and whatever is lost, no change is."""

import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

import holdfast
from crowd import Aside, Crowd, Say
from holdfast.changes import Change
from holdfast.engines.postgres.ddl import channel, locks_of
from holdfast.engines.postgres.target import target_of
from postgres import Server, fresh_schema, shared_url, until

QUICK = {"fsync": "off"}
WRITES = 30
LISTENERS = (
    "select l.pid, a.usename from pg_locks l join pg_stat_activity a using (pid) "
    "where l.locktype = 'advisory' and l.mode = 'ShareLock' and l.objsubid = 2 "
    "and l.granted and a.query not like '%admits%' and a.state = 'idle'"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that may be restarted, with nobody else on it."""
    with Server(settings=QUICK) as started:
        yield started


@pytest.fixture
def url() -> Iterator[str]:
    with fresh_schema() as made:
        yield made


def schema_of(url: str) -> str:
    return target_of(url.partition("://")[2], read_only=False).schema


def write(store: holdfast.Store, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        store.sessions.create(str(number))


def followed(store: holdfast.Store, given: list[str] | None = None) -> list[str]:
    """The titles of sessions that a follower is given, until that which is `end`."""
    given = [] if given is None else given
    for change in store.journal.follow(0):
        given.append(change.after["title"])
        if given[-1] == "end":
            break
    return given


def in_order(count: int) -> list[str]:
    return [*map(str, range(count)), "end"]


# Waking.


def follower(url: str) -> Callable:
    """In another process: says at what time it was given each change."""

    def work(number: int, say: Say, wait: Callable) -> None:
        with holdfast.open(url) as store:
            changes = store.journal.follow(0)
            next(changes)  # by now, it is watching
            wait()
            for change in changes:
                say(f"{change.seq} {time.monotonic()}")
                if change.after["title"] == "end":
                    return

    return work


def test_a_follower_in_another_process_sees_a_commit_within_50_ms(url):
    with holdfast.open(url) as store:
        store.sessions.create("first")
    with Crowd(1, follower(url)) as crowd, holdfast.open(url) as store:
        crowd.go()
        seen = timed(store, crowd, WRITES)
    assert statistics.median(seen) < 0.05


def timed(store: holdfast.Store, crowd: Crowd, writes: int) -> list[float]:
    """How long after each commit the follower was given it; one by one."""
    committed = {}
    for number in range(writes):
        store.sessions.create("end" if number == writes - 1 else "")
        committed[number + 2] = time.monotonic()
        crowd.workers[0].wait_for(number + 2)
    found = [line.split() for line in crowd.finish()[0]]
    assert [int(seq) for seq, _ in found] == list(committed)
    return [float(at) - committed[int(seq)] for seq, at in found]


def words(listening: psycopg.Connection[Any], url: str) -> list[str]:
    """All that was said up to now: what is said last, comes last."""
    listening.execute("select pg_notify(%s, 'over')", [channel(schema_of(url))])
    said: list[str] = []
    while "over" not in said:
        found = listening.notifies(timeout=5, stop_after=1)
        said += [notice.payload for notice in found] or ["nothing came"]
        assert "nothing came" not in said
    return said


def test_where_nobody_follows_nobody_is_told(url):
    with (
        holdfast.open(url) as store,
        holdfast.open(url) as other,
        psycopg.connect(shared_url(), autocommit=True) as listening,
    ):
        listening.execute(f"listen {channel(schema_of(url))}")
        write(store, 3)
        assert words(listening, url) == ["over"]
        following = other.journal.follow(0)
        next(following)
        until(lambda: listening_to(url, listening))
        write(store, 1, first=3)
        assert words(listening, url) == ["", "over"]
        other.close()
        until(lambda: not listening_to(url, listening))
        write(store, 1, first=4)
        assert words(listening, url) == ["over"]


def listening_to(url: str, by: psycopg.Connection[Any]) -> list[Any]:
    """The back ends that hold the lock of this store's listeners."""
    space, number = locks_of(schema_of(url)).listening.split(", ")
    return by.execute(
        "select pid from pg_locks where locktype = 'advisory' and granted "
        "and mode = 'ShareLock' and classid = %s and objid = %s::int8 & 4294967295",
        [int(space), int(number)],
    ).fetchall()


def test_a_transaction_that_is_undone_tells_nobody(url):
    with (
        holdfast.open(url) as store,
        psycopg.connect(shared_url(), autocommit=True) as listening,
    ):
        store.sessions.create(id="s")
        next(store.journal.follow(0))
        listening.execute(f"listen {channel(schema_of(url))}")
        until(lambda: listening_to(url, listening))
        with pytest.raises(ZeroDivisionError), store.transaction() as tx:
            tx.sessions.create()
            raise ZeroDivisionError
        store.leases.acquire("sessions", "s", holder="me", seconds=1)
        assert words(listening, url) == ["over"]


def test_a_follower_that_works_while_others_write_misses_nothing(url):
    """A named follower's own effects are changes, too, and are not given to it."""
    over = threading.Event()
    seen: list[str] = []

    def effect(tx: Any, changes: Iterable[Change]) -> None:
        tx.tasks.create("seen", metadata={"seqs": [c.seq for c in changes]})

    def work() -> None:
        while not over.is_set() or index.cursor < store.journal.head():
            index.apply(effect, kinds=["sessions"], limit=7)

    with holdfast.open(url) as store, holdfast.open(url) as other:
        index = store.journal.follower("index")
        working = Aside(work)
        for number in range(40):
            (store, other)[number % 2].sessions.create(f"{number}")
        over.set()
        working.result()
        for task in store.tasks.list(limit=1000):
            seen += task.metadata["seqs"]
        made = [c.seq for c in store.journal.read(kinds=["sessions"], limit=1000)]
    assert sorted(seen) == made
    assert len(made) == 40


# What is lost.


def test_a_listening_back_end_that_is_killed_loses_no_change(url):
    with (
        holdfast.open(url) as store,
        holdfast.open(url) as other,
        psycopg.connect(shared_url(), autocommit=True) as by,
    ):
        following = Aside(lambda: followed(other))
        for number in range(10):
            until(lambda: listening_to(url, by))
            ((pid,),) = listening_to(url, by)
            by.execute("select pg_terminate_backend(%s, 5000)", [pid])
            store.sessions.create(str(number))  # nobody listens
        store.sessions.create("end")
        assert following.result() == in_order(10)


def test_a_server_that_is_restarted_loses_no_change(server):
    url = server.url(schema="restarted")
    with holdfast.open(url) as store, holdfast.open(url) as other:
        following = Aside(lambda: followed(other))
        write(store, 5)
        for first, mode in ((5, "fast"), (10, "immediate")):
            server.restart(mode)
            write(store, 5, first=first)
        store.sessions.create("end")
        assert following.result() == in_order(15)


def test_an_async_follower_outlives_its_listening_back_end_too(url, loop):
    async def two(store: Any) -> list[str]:
        given = []
        async for change in store.journal.follow(0):
            given.append(change.after["title"])
            if given == ["0"]:
                ended = await loop.run_in_executor(None, lose)
                assert ended
            if given[-1] == "end":
                return given
        return given

    def lose() -> bool:
        until(lambda: listening_to(url, by))
        ((pid,),) = listening_to(url, by)
        ((ended,),) = by.execute("select pg_terminate_backend(%s, 5000)", [pid])
        store.sessions.create("end")
        return ended

    with (
        holdfast.open(url) as store,
        psycopg.connect(shared_url(), autocommit=True) as by,
    ):
        write(store, 1)
        assert loop.run_until_complete(two(store.aio)) == ["0", "end"]


# Other ways to listen.


def behind(server: Server) -> Server:
    """A standby that no commit waits for."""
    return server.standby(synchronous=False)


def test_a_standby_is_followed_by_looking(server):
    name = {"schema": "followed"}
    with holdfast.open(server.url(**name)) as store, behind(server) as standby:
        write(store, 3)
        until(lambda: standby.sql("select count(*) from followed.change") == [(3,)])
        with holdfast.open(standby.url(**name), read_only=True) as other:
            given: list[str] = []
            following = Aside(lambda: followed(other, given))
            for number in range(3, 13):
                until(lambda n=number: len(given) == n)  # it waits for more
                write(store, 1, first=number)
            store.sessions.create("end")
            assert following.result() == in_order(13)
            assert other.journal.head() == 14


def test_a_standby_that_becomes_the_primary_is_followed_on(server):
    name = {"schema": "promoted"}
    with holdfast.open(server.url(**name)) as store, behind(server) as standby:
        write(store, 3)
        until(lambda: standby.sql("select count(*) from promoted.change") == [(3,)])
        with holdfast.open(standby.url(**name), read_only=True) as other:
            following = Aside(lambda: followed(other))
            standby.promote()
            with holdfast.open(standby.url(**name)) as promoted:
                write(promoted, 3, first=3)
                promoted.sessions.create("end")
            assert following.result() == in_order(6)


def test_whoever_says_listen_url_listens_there(server):
    server.sql("create role ear superuser login")
    ear = quote(server.url(user="ear"), safe="")
    url = f"{server.url()}?schema=heard&listen_url={ear}"
    with holdfast.open(url) as store, holdfast.open(url) as other:
        following = Aside(lambda: followed(other))
        until(lambda: heard_by(server) == ["ear"])
        write(store, 3)
        server.sql("alter role ear nologin")
        server.sql(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
            "where usename = 'ear'"
        )
        write(store, 3, first=3)
        assert heard_by(server) == []
        server.sql("alter role ear login")
        until(lambda: heard_by(server) == ["ear"])
        store.sessions.create("end")
        assert following.result() == in_order(6)


def heard_by(server: Server) -> list[str]:
    return [user for _, user in server.sql(LISTENERS)]
