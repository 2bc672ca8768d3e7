"""Joining a user's own transaction: their tables and the agent's state, together."""

import asyncio

import apsw
import psycopg
import pytest
from psycopg.rows import dict_row

import holdfast
from holdfast.clock import ManualClock
from holdfast.errors import Fenced, Refused
from postgres import empty_store, shared_url

ENGINES = ("file", "postgres")


class File:
    """A user's connection to a store's file, with a table of theirs."""

    broken = apsw.ConstraintError

    def __init__(self, store):
        self.connection = apsw.Connection(store.place)
        self.connection.execute("create table if not exists order_ (id text unique)")

    def begin(self):
        self.connection.execute("begin immediate")

    def commit(self):
        self.connection.execute("commit")

    def rollback(self):
        self.connection.execute("rollback")

    def add(self, id):
        self.connection.execute("insert into order_ values (?)", (id,))

    def orders(self):
        return [id for (id,) in self.connection.execute("select id from order_")]

    def close(self):
        self.connection.close()


class Server(File):
    """A user's connection to a store's database, with a table of theirs."""

    broken = psycopg.errors.UniqueViolation

    def __init__(self, store):
        self.schema = store.place.rpartition("=")[2]
        self.connection = psycopg.connect(shared_url())
        with self.connection:
            self.connection.execute(
                f"create table {self.schema}.order_ (id text unique)"
            )
        self.connection = psycopg.connect(shared_url(), row_factory=dict_row)

    def begin(self):
        self.connection.execute(f"set local search_path = {self.schema}")

    def commit(self):
        self.connection.commit()

    def rollback(self):
        self.connection.rollback()

    def add(self, id):
        self.connection.execute("insert into order_ values (%s)", (id,))

    def orders(self):
        rows = self.connection.execute(
            f"select id from {self.schema}.order_"
        ).fetchall()
        self.connection.rollback()
        return [row["id"] for row in rows]


@pytest.fixture(params=ENGINES)
def joined(request, tmp_path):
    """A store, and a connection of a user's to the same place."""
    if request.param == "file":
        store = holdfast.open(tmp_path / "agent.db", clock=ManualClock())
        yield from _joined(store, File)
    else:
        with empty_store() as url:
            yield from _joined(holdfast.open(url, clock=ManualClock()), Server)


def _joined(store, kind):
    user = kind(store)
    store.sessions.create(id="talk")
    yield store, user
    user.close()
    report = store.check()
    store.close()
    assert report.problems == ()


def said(store):
    return [m.content for m in store.sessions.messages("talk")]


def test_what_is_done_in_a_users_transaction_is_committed_with_it(joined):
    store, user = joined
    user.begin()
    user.add("o1")
    with store.join(user.connection, actor="shop", cause="order o1") as tx:
        tx.sessions.append("talk", "user", "I order")
        user.add("o2")
        tx.tasks.create("Ship o1", id="ship")
    assert said(store) == []  # nobody else sees it yet
    user.commit()
    assert said(store) == ["I order"]
    assert store.tasks.get("ship").description == "Ship o1"
    assert user.orders() == ["o1", "o2"]
    message, task = store.journal.read(1)
    assert message.moment == task.moment == task.seq
    assert (task.actor, task.cause) == ("shop", "order o1")


def test_what_a_user_rolls_back_was_never_there(joined):
    store, user = joined
    user.begin()
    user.add("o1")
    with store.join(user.connection) as tx:
        tx.sessions.append("talk", "user", "I order")
    user.rollback()
    assert (said(store), user.orders()) == ([], [])
    assert store.journal.head() == 1
    store.sessions.append("talk", "user", "after")
    assert store.journal.head() == 2


def test_a_block_that_raises_is_undone_and_the_transaction_goes_on(joined):
    store, user = joined
    user.begin()
    user.add("o1")
    with pytest.raises(ZeroDivisionError), store.join(user.connection) as tx:
        tx.sessions.append("talk", "user", "lost")
        user.add("lost")
        raise ZeroDivisionError
    with pytest.raises(user.broken), store.join(user.connection) as tx:
        tx.sessions.append("talk", "user", "lost too")
        user.add("o1")
    user.add("o2")
    with store.join(user.connection) as tx:
        tx.sessions.append("talk", "user", "kept")
    user.commit()
    assert said(store) == ["kept"]
    assert user.orders() == ["o1", "o2"]


def test_blocks_of_one_transaction_are_moments_of_their_own(joined):
    store, user = joined
    user.begin()
    for actor in ("one", "two"):
        with store.join(user.connection, actor=actor) as tx:
            tx.sessions.append("talk", "user", actor)
            tx.tasks.create(actor)
    user.commit()
    changes = store.journal.read(1)
    assert [(c.moment, c.actor) for c in changes] == [
        (3, "one"), (3, "one"), (5, "two"), (5, "two")
    ]  # fmt: skip


def test_leases_owners_and_conflicts_hold_in_a_joined_transaction(joined):
    store, user = joined
    lease = store.leases.acquire("sessions", "talk", holder="me", seconds=60)
    ada = store.owned_by("ada")
    user.begin()
    with pytest.raises(holdfast.errors.Held), store.join(user.connection) as tx:
        tx.sessions.append("talk", "user", "not mine")
    with store.join(user.connection, lease=lease) as tx:
        tx.sessions.append("talk", "user", "mine")
    with ada.join(user.connection) as tx:
        tx.sessions.create(id="talk", title="Ada's")
        with pytest.raises(holdfast.errors.NotFound):
            tx.tasks.get("none")
    with (
        pytest.raises(holdfast.errors.Conflict),
        store.holding(lease).join(user.connection) as tx,
    ):
        tx.sessions.append("talk", "user", "late", expect=0)
    user.commit()
    assert (said(store), ada.sessions.get("talk").title) == (["mine"], "Ada's")
    store.leases.release("sessions", "talk", fence=lease.fence)
    user.begin()
    with pytest.raises(Fenced), store.join(user.connection, lease=lease):
        raise AssertionError("the lease was over")
    user.rollback()


def test_a_call_on_the_store_within_a_joined_block_is_refused(joined):
    store, user = joined
    user.begin()
    with store.join(user.connection) as tx:
        tx.sessions.append("talk", "user", "a")
        with pytest.raises(Refused, match="inside an open transaction"):
            store.sessions.append("talk", "user", "b")
    user.commit()
    store.sessions.append("talk", "user", "c")
    assert said(store) == ["a", "c"]


def test_a_connection_without_a_transaction_or_of_another_place_is_refused(
    joined, tmp_path
):
    store, _ = joined
    for connection, why in (
        (object(), "cannot be joined"),
        (apsw.Connection(str(tmp_path / "other.db")), "another file|cannot be joined"),
        (psycopg.connect(shared_url(), autocommit=True), "no transaction|cannot be"),
    ):
        with pytest.raises(Refused, match=why), store.join(connection):
            raise AssertionError
        if hasattr(connection, "close"):
            connection.close()


def test_memory_cannot_be_joined():
    with (
        holdfast.open(":memory:") as store,
        pytest.raises(Refused, match="in memory"),
        store.join(apsw.Connection(":memory:")),
    ):
        raise AssertionError


@pytest.fixture
def served():
    """A store on PostgreSQL, and the name of its schema."""
    with empty_store() as url, holdfast.open(url) as store:
        store.sessions.create(id="talk")
        yield store, url.rpartition("schema=")[2]
        assert store.check().problems == ()


def test_the_users_own_search_path_is_theirs_within_the_block(served):
    store, _ = served
    with psycopg.connect(shared_url()) as mine:
        mine.execute("set local search_path = pg_temp, public")
        with store.join(mine) as tx:
            tx.sessions.append("talk", "user", "a")
            (path,) = mine.execute("show search_path").fetchone()
            assert path == "pg_temp, public"
    assert said(store) == ["a"]


def test_a_store_of_another_database_or_an_isolated_transaction_is_refused(served):
    store, _ = served
    with empty_store() as url, holdfast.open(url) as other:
        other.sessions.create(id="talk")
        with psycopg.connect(shared_url()) as mine:
            mine.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            with pytest.raises(Refused, match="repeatable read"), store.join(mine):
                raise AssertionError
    with psycopg.connect(shared_url(), dbname="template1") as elsewhere:
        elsewhere.execute("select 1")
        with pytest.raises(Refused, match="another database"), store.join(elsewhere):
            raise AssertionError


def test_an_async_connection_is_joined_with_the_same_calls(served):
    store, schema = served

    async def act():
        mine = await psycopg.AsyncConnection.connect(shared_url())
        async with mine:
            await mine.execute(f"create table {schema}.order_ (id text)")
            async with store.aio.join(mine, actor="shop") as tx:
                await tx.sessions.append("talk", "user", "I order")
                await mine.execute(f"insert into {schema}.order_ values ('o1')")
                async with tx.savepoint():
                    await tx.tasks.create("Ship")
                with pytest.raises(Refused, match="inside"):
                    await store.aio.sessions.get("talk")
            with pytest.raises(ZeroDivisionError):
                async with store.aio.join(mine) as tx:
                    await tx.sessions.append("talk", "user", "lost")
                    raise ZeroDivisionError
        return await store.aio.sessions.messages("talk")

    (message,) = asyncio.run(act())
    assert message.content == "I order"
    assert [c.actor for c in store.journal.read(1)] == ["shop", "shop"]


def test_sqlalchemy_connections_are_joined_by_the_driver_below(served):
    class Pooled:
        """What SQLAlchemy's `connection.connection` is, as far as it matters."""

        def __init__(self, driver):
            self.driver_connection = driver

    class Connection:
        def __init__(self, driver, begun):
            self.connection, self._begun = Pooled(driver), begun

        def get_transaction(self):
            return self._begun or None

        def in_transaction(self):
            return self._begun

    store, _ = served
    with psycopg.connect(shared_url()) as mine:
        with pytest.raises(Refused, match="begin one first"):
            store.join(Connection(mine, begun=False)).__enter__()
        with store.join(Connection(mine, begun=True)) as tx:
            tx.sessions.append("talk", "user", "a")
    assert said(store) == ["a"]
