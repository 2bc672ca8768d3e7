"""Caches of a store: what was committed outdates what was made before it."""

import asyncio
import contextlib
import gc
import os
import threading
import weakref
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import holdfast
from conftest import place_on
from driving import Driven
from holdfast import errors
from holdfast.engines.sqlite import watcher
from holdfast.runtime.cache import Cache
from holdfast.runtime.cache import news as news_module
from holdfast.runtime.cache import topics as topics_module
from holdfast.runtime.cache.flights import Flight
from holdfast.runtime.cache.topics import Wanted
from killing import Worker
from test_cache import Making, never, until


class Asked:
    """A cache of a store of either face, asked by the face's own call."""

    def __init__(self, store, **options):
        self._loop = store._loop if isinstance(store, Driven) else None
        target = store._target if isinstance(store, Driven) else store
        options.setdefault("seconds", None)
        self.cache = Cache(target, **options)

    def get(self, key, make):
        if self._loop is None:
            return self.cache.get(key, make)
        return self._loop.run_until_complete(self.cache.aget(key, make))

    def keeps(self, key):
        """Whether a value is given again, and not made."""
        made = []
        self.get(key, lambda: made.append(1))
        return not made


def sync_of(store):
    return store._target.sync if isinstance(store, Driven) else store


@pytest.fixture(params=["file", "postgres"])
def place(request, tmp_path):
    """A place that other processes can open, too."""
    with place_on(request.param, tmp_path) as found:
        yield found


def by_session(store, **options):
    return Asked(store, invalidated_by=lambda key: {"sessions": key}, **options)


# Whole kinds.


def test_a_change_of_a_kind_outdates_every_value(store):
    store.tasks.create("first", id="t")
    cache = Asked(store, invalidated_by="tasks")
    assert not cache.keeps("a")
    assert not cache.keeps("b")
    assert cache.keeps("a")
    store.sessions.create(id="s")  # of another kind
    assert cache.keeps("a")
    store.tasks.log("t", "a line")  # which belongs to a task
    assert not cache.keeps("a")
    assert not cache.keeps("b")
    assert cache.keeps("a")
    store.tasks.delete("t")
    assert not cache.keeps("a")
    assert cache.cache.stats().invalidated == 4


def test_any_of_several_kinds_does(store):
    cache = Asked(store, invalidated_by=["tasks", "items"])
    for write in (
        lambda: store.tasks.create("t"),
        lambda: store.items.put(["a"], "k", {}),
    ):
        assert not cache.keeps("a")
        assert cache.keeps("a")
        write()
    assert not cache.keeps("a")


def test_one_kind_of_row_is_enough_to_name(store):
    store.sessions.create(id="s")
    cache = Asked(store, invalidated_by="session")
    cache.get("a", lambda: 1)
    store.sessions.append("s", "user", "hello")
    assert cache.keeps("a")
    store.sessions.update("s", title="new")
    assert not cache.keeps("a")


def test_another_owners_changes_outdate_nothing(store):
    mine, theirs = store.owned_by("ada"), store.owned_by("bob")
    for one in (mine, theirs):
        one.sessions.create(id="s")
    whole = Asked(mine, invalidated_by="sessions")
    single = by_session(mine)
    whole.get("s", lambda: 1)
    single.get("s", lambda: 1)
    theirs.sessions.append("s", "user", "hello")
    assert whole.keeps("s")
    assert single.keeps("s")
    mine.sessions.append("s", "user", "hello")
    assert not whole.keeps("s")
    assert not single.keeps("s")


# Records.


def test_a_record_outdates_its_own_value(store):
    for id in ("a", "b"):
        store.sessions.create(id=id)
    cache = by_session(store)
    for write in (
        lambda: store.sessions.append("a", "user", "hello"),
        lambda: store.sessions.update("a", title="new"),
        lambda: store.sessions.pop("a"),
        lambda: store.sessions.append("a", "user", "hello"),
        lambda: store.sessions.summarize("a", 1, "short"),
        lambda: store.sessions.mark("a", new_id="m"),
        lambda: store.sessions.clear("a"),
        lambda: store.sessions.append("a", "user", "after that"),
        lambda: store.sessions.delete("a"),
        lambda: store.sessions.create(id="a"),
    ):
        cache.get("a", lambda: 1)
        cache.get("b", lambda: 1)
        assert cache.keeps("a")
        write()
        assert not cache.keeps("a")
        assert cache.keeps("b")


def test_a_record_that_is_not_there_yet_outdates_when_it_comes(store):
    cache = by_session(store)
    cache.get("later", lambda: None)
    assert cache.keeps("later")
    store.sessions.create(id="later")
    assert not cache.keeps("later")


def test_a_reply_that_grows_outdates_its_sessions_value(store):
    store.sessions.create(id="s")
    store.sessions.create(id="other")
    store.sessions.begin_reply("s", text="so", message_id="r")
    store.sessions.begin_reply("other", text="so", message_id="r")
    cache = by_session(store)
    for write in (
        lambda: store.sessions.extend_reply("s", "r", " far"),
        lambda: store.sessions.end_reply("s", "r", " and so on"),
    ):
        cache.get("s", lambda: 1)
        cache.get("other", lambda: 1)
        write()
        assert not cache.keeps("s")
        assert cache.keeps("other")


def test_a_fork_is_outdated_by_its_own_messages_alone(store):
    store.sessions.create(id="s")
    store.sessions.append("s", "user", "shared")
    store.sessions.begin_reply("s", text="so", message_id="r")
    store.sessions.fork("s", new_id="f")
    cache = by_session(store)
    said = list(store.sessions.history("f"))
    cache.get("f", lambda: said)
    store.sessions.end_reply("s", "r", " far")
    store.sessions.pop("s")
    store.sessions.clear("s")
    assert cache.get("f", never) == said == list(store.sessions.history("f"))
    store.sessions.append("f", "user", "own")
    assert not cache.keeps("f")
    store.sessions.pop("f")
    store.sessions.pop("f")  # it leaves what it shared
    assert not cache.keeps("f")
    store.sessions.append("f", "user", "on a line of its own")
    assert not cache.keeps("f")


def test_records_of_other_kinds_outdate_too(store):
    store.tasks.create("t", id="t")
    store.tasks.create("u", id="u")
    cache = Asked(store, invalidated_by=lambda key: {"tasks": key})
    for key in "tu":
        cache.get(key, lambda: 1)
    store.tasks.log("t", "a line")
    assert not cache.keeps("t")
    assert cache.keeps("u")


def test_certain_records_outdate_every_value(store):
    for id in "abc":
        store.sessions.create(id=id)
    cache = Asked(store, invalidated_by={"sessions": ["a", "b"]})
    for id, kept in (("a", False), ("c", True), ("b", False), ("b", False)):
        cache.get("x", lambda: 1)
        store.sessions.append(id, "user", "hello")
        assert cache.keeps("x") is kept


def test_a_record_by_itself_outdates_where_only_that_is_named(store):
    store.sessions.create(id="s")
    cache = Asked(store, invalidated_by=lambda key: {"session": key})
    cache.get("s", lambda: 1)
    store.sessions.append("s", "user", "hello")
    assert cache.keeps("s")
    store.sessions.clear("s")
    assert not cache.keeps("s")


def test_a_value_may_depend_on_kinds_and_on_nothing(store):
    said = {"kinds": ["tasks"], "nothing": ()}
    cache = Asked(store, invalidated_by=said.__getitem__)
    for key in said:
        cache.get(key, lambda: 1)
    store.tasks.create("t")
    assert not cache.keeps("kinds")
    assert cache.keeps("nothing")


def test_a_kind_of_a_users_own_outdates(path):
    sql = """
-- tables --
-- Notes.
create table remark (
    no integer primary key,
    owner text not null,
    id text not null,
    body text not null,
    unique (owner, id)
) strict;

-- remark_put --
-- Keep a note.
insert into remark (no, owner, id, body) values (:no, :owner, :id, :body)
"""

    class Remarks(holdfast.Kind):
        @holdfast.operation
        def put(self, id: str, body: str) -> str:
            no = self.tx.new_no()
            self.tx.run("remark_put", no=no, owner=self.owner, id=id, body=body)
            return id

    holdfast.kind("remarks", sql=sql)(Remarks)
    try:
        with holdfast.open(path) as store:
            whole = Asked(store, invalidated_by="remarks")
            one = Asked(store, invalidated_by=lambda key: {"remarks": key})
            whole.get("r", lambda: 1)
            one.get("r", lambda: 1)
            store.remarks.put("r", "told")
            assert not whole.keeps("r")
            assert not one.keeps("r")
    finally:
        holdfast.declared._declared.pop("remarks")
        holdfast.declared._current.clear()


# Nothing stale.


def test_what_this_process_wrote_is_in_the_next_value_whoever_asks(store):
    """Threads that write, and then ask; none of them gets what was before its write."""
    store = sync_of(store)
    store.sessions.create(id="s")
    cache = by_session(store).cache
    stale = []

    def work(name):
        for turn in range(15):
            mine = store.sessions.append("s", "user", f"{name} {turn}").position
            found = cache.get("s", lambda: store.sessions.get("s").message_count)
            if found < mine:
                stale.append((found, mine))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stale == []
    assert cache.get("s", never) == 60 if cache._entries else True


def test_what_tasks_wrote_is_in_the_next_value(store):
    store = sync_of(store)
    store.sessions.create(id="s")
    cache = by_session(store).cache
    astore = store.aio
    stale = []

    async def count():
        return (await astore.sessions.get("s")).message_count

    async def work(name):
        for turn in range(10):
            message = await astore.sessions.append("s", "user", f"{name} {turn}")
            found = await cache.aget("s", count)
            if found < message.position:
                stale.append((found, message.position))

    async def all_of_them():
        await asyncio.gather(*map(work, range(10)))

    asyncio.run(all_of_them())
    assert stale == []


@pytest.mark.parametrize("said", ["sessions", lambda key: {"sessions": key}])
def test_what_is_outdated_while_it_is_made_is_for_those_who_asked_before(store, said):
    store = sync_of(store)
    store.sessions.create(id="s")
    cache = Asked(store, invalidated_by=said).cache
    old = Making("old", held=True)
    before = []
    threads = [
        threading.Thread(target=lambda: before.append(cache.get("s", old)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    until(lambda: cache.stats().waits == 1 and old.begun.is_set())
    store.sessions.append("s", "user", "hello")
    assert cache.get("s", lambda: "new") == "new"  # and waits for nobody
    old.go.set()
    for thread in threads:
        thread.join()
    assert before == ["old", "old"]
    assert cache.get("s", never) == "new"


def test_a_change_between_the_look_and_the_making_is_not_lost(store):
    """Who looked further meanwhile did not know yet of a value that depends on it."""
    store = sync_of(store)
    store.sessions.create(id="s")
    other = Asked(store, invalidated_by="tasks").cache
    cache = by_session(store).cache
    cache.get("warm", lambda: 1)
    looked = cache._news.look_for

    def meanwhile(wanted, owner):
        found = looked(wanted, owner)
        store.sessions.append("s", "user", "between")
        other.get("x", lambda: 1)  # looks, and takes that in
        return found

    cache._news.look_for = meanwhile
    assert cache.get("s", lambda: "read too early") == "read too early"
    cache._news.look_for = looked
    assert cache.get("s", lambda: "new") == "new"


def test_a_change_that_was_read_before_anyone_depended_on_it_is_not_lost(store):
    """Who looked did not ask to which record a row belongs: nobody depended on that."""
    store = sync_of(store)
    store.sessions.create(id="s")
    cache = by_session(store).cache
    news = cache._news
    cache.get("not there", lambda: 1)
    join = news.dependents.join

    def late(one, keys, known=None):
        store.sessions.append("s", "user", "between")
        mark = news.log.newest
        look = news._core.engine.read(news._unit(Wanted(), ""))
        join(one, keys, known)
        news._take(look, mark)

    news.dependents.join = late
    assert cache.get("s", lambda: "read too early") == "read too early"
    del news.dependents.join
    assert cache.get("s", lambda: "new") == "new"


def test_a_row_of_which_nobody_knows_any_more_outdates_to_be_safe(store, monkeypatch):
    store.sessions.create(id="s")
    cache = by_session(store)
    cache.get("s", lambda: 1)
    monkeypatch.setattr(topics_module, "_fields", lambda *asked: [None] * len(asked[2]))
    store.sessions.append("s", "user", "hello")
    assert not cache.keeps("s")


def test_a_transaction_outdates_once_it_is_committed(store):
    store.sessions.create(id="s")
    cache = by_session(store)
    cache.get("s", lambda: 1)
    with pytest.raises(RuntimeError), store.transaction() as tx:
        tx.sessions.append("s", "user", "undone")
        raise RuntimeError
    assert cache.keeps("s")
    with store.transaction() as tx:
        tx.sessions.append("s", "user", "done")
    assert not cache.keeps("s")


def test_inside_a_transaction_a_cache_is_refused(path):
    with holdfast.open(path) as store:
        cache = Cache(store, invalidated_by="tasks")
        cache.get("a", lambda: 1)
        with store.transaction() as tx:
            tx.tasks.create("t")
            with pytest.raises(errors.Refused, match="Cache.get was called"):
                cache.get("a", never)
        assert cache.get("a", lambda: 2) == 2

    async def work():
        async with await holdfast.aopen(path) as store:
            cache = Cache(store, invalidated_by="tasks")
            async with store.transaction() as tx:
                await tx.tasks.create("t")
                with pytest.raises(errors.Refused, match="go on with tx"):
                    await cache.aget("a", never)

    asyncio.run(work())


def test_a_restored_past_outdates(store):
    store.sessions.create(id="s")
    moment = store.moment()
    store.sessions.append("s", "user", "hello")
    cache = by_session(store)
    cache.get("s", lambda: 1)
    store.revert(moment, kinds=["sessions"], ids=["s"])
    assert not cache.keeps("s")


def test_who_is_interrupted_once_a_value_is_kept_leaves_nothing_stale(
    path, monkeypatch
):
    def interrupted(flight, value):
        raise KeyboardInterrupt

    with holdfast.open(path) as store:
        store.sessions.create(id="s")
        cache = by_session(store)
        with monkeypatch.context() as patch:
            patch.setattr(Flight, "land", interrupted)
            with pytest.raises(KeyboardInterrupt):
                cache.get("s", lambda: 1)
        assert cache.keeps("s")
        store.sessions.append("s", "user", "hello")
        assert not cache.keeps("s")


# Other processes.


def test_another_process_outdates_what_is_here(place):
    with holdfast.open(place) as store:
        store.sessions.create(id="s")

    def work(say):
        other = holdfast.open(place)
        say("open")
        for number in range(3):
            os.read(pipe, 1)
            other.sessions.append("s", "user", f"from outside {number}")
            say("written")
        other.close()

    pipe, go = os.pipe()
    worker = Worker(work)
    try:
        worker.wait_for(1)
        with holdfast.open(place) as store:
            cache = by_session(store)
            until(lambda: cache.keeps("s"))
            for number in range(3):
                os.write(go, b"x")
                worker.wait_for(2 + number)
                until(lambda: not cache.keeps("s"))
                until(lambda: cache.keeps("s"))
            found = cache.cache.stats().invalidated
        worker.finish()
    finally:
        worker.close()
        os.close(pipe)
        os.close(go)
    assert found >= 3


def test_what_was_killed_here_left_nothing_stale(path):
    """A process that is killed amid its writes: what it acknowledged is seen."""
    with holdfast.open(path) as store:
        store.sessions.create(id="s")

    def work(say):
        other = holdfast.open(path)
        while True:
            say(str(other.sessions.append("s", "user", "x").position))

    worker = Worker(work)
    try:
        with holdfast.open(path) as store:
            cache = by_session(store).cache

            def count():
                return cache.get("s", lambda: store.sessions.get("s").message_count)

            worker.wait_for(20)
            said = int(worker.kill()[-1])
            until(lambda: count() >= said)
    finally:
        worker.close()


def test_a_store_that_is_closed_gives_nothing_any_more(path, monkeypatch):
    monkeypatch.setattr(news_module, "_OTHERS_SECONDS", 3_600.0)  # not even at once
    store = holdfast.open(path)
    cache = Cache(store, invalidated_by="tasks")
    cache.get("a", lambda: 1)
    store.close()
    with pytest.raises(errors.Closed, match="open it again"):
        cache.get("a", never)
    with pytest.raises(errors.Closed):
        asyncio.run(cache.aget("a", never))
    cache.close()
    with pytest.raises(errors.Closed):
        Cache(store, invalidated_by="tasks")


def test_in_a_forked_process_nothing_stale_is_given(path, monkeypatch):
    monkeypatch.setattr(news_module, "_OTHERS_SECONDS", 3_600.0)
    with holdfast.open(path) as store:
        cache = Cache(store, invalidated_by="tasks")
        cache.get("a", lambda: 1)
        child = os.fork()
        if child == 0:
            try:
                cache.get("a", never)
            except errors.Closed as error:
                os._exit(0 if "fork" in str(error) else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert cache.get("a", never) == 1


def test_while_the_store_is_away_nothing_is_given_that_may_be_stale(path, monkeypatch):
    with holdfast.open(path) as store:
        cache = Cache(store, invalidated_by="tasks")
        cache.get("a", lambda: 1)
        store.sessions.create()

        def away(unit):
            raise errors.Unreachable("the server is gone")

        with monkeypatch.context() as patch:
            patch.setattr(store._core.engine, "read", away)
            with pytest.raises(errors.Unreachable):
                cache.get("a", never)
        assert cache.get("a", never) == 1  # it had not changed


# Who may be named, and how long a cache lives.


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("nothing", "there is no kind 'nothing'"),
        (["tasks", "nothing"], "there is no kind 'nothing'"),
        ("leases", "'leases' keeps nothing in the journal"),
        ("events", "'events' keeps nothing in the journal"),
        ("toolsets", "nothing in the journal"),
        ({"message": "m"}, "name the kind that it is of"),
        ({"tasks": "../x"}, "not safe as an id"),
        ({"tasks": [1]}, "text is wanted"),
        (7, "kinds, or a dict of ids is wanted"),
    ],
)
def test_what_nobody_would_notice_is_refused(path, said, words):
    with holdfast.open(path) as store:
        with pytest.raises((errors.Refused, errors.BadInput), match=words):
            Cache(store, invalidated_by=said)
        cache = Cache(store, invalidated_by=lambda key: said)
        with pytest.raises((errors.Refused, errors.BadInput), match=words):
            cache.get("a", never)
        assert cache._flights == {}


def test_a_look_at_the_past_needs_no_cache(path):
    with holdfast.open(path) as store:
        store.tasks.create("t")
        with pytest.raises(errors.Refused, match="moment"):
            Cache(store.as_of(store.moment()), invalidated_by="tasks")
        with pytest.raises(errors.WrongType, match="of one owner, is wanted"):
            Cache(store.across_owners(), invalidated_by="tasks")


def test_a_cache_that_is_forgotten_is_let_go_and_so_is_the_watcher(path, monkeypatch):
    monkeypatch.setattr(watcher, "_IDLE_SECONDS", 0.002)
    with holdfast.open(path) as store:
        cache = by_session(store).cache
        cache.get("s", lambda: 1)
        news = cache._news
        assert watching()
        gone = weakref.ref(cache)
        del cache
        gc.collect()
        assert gone() is None
        assert nobody_depends(news)
        until(lambda: not watching())


def test_values_that_go_are_followed_no_more(path, clock):
    with holdfast.open(path, clock=clock) as store:
        cache = by_session(store, size=3, seconds=60).cache
        for number in range(20):
            cache.get(f"s{number}", lambda n=number: n)
        news = cache._news
        assert len(news.dependents) == 3
        cache.drop("s19")
        with pytest.raises(ZeroDivisionError):
            cache.get("s20", lambda: 1 // 0)
        assert len(news.dependents) == 2
        clock.advance(60)
        cache.get("s21", lambda: 1)
        cache.close()
        assert nobody_depends(news)
        until(lambda: not watching())


def nobody_depends(news):
    those = news.dependents
    return (len(those), those._by_key, +those.belonging) == (0, {}, {})


def watching():
    return [t for t in threading.enumerate() if t.name == "holdfast-watcher"]


WRITES = st.lists(
    st.tuples(
        st.sampled_from(
            ["append", "pop", "clear", "fork", "title", "delete", "reply", "ask", "ask"]
        ),
        st.sampled_from("abc"),
        st.sampled_from("abc"),
    ),
    max_size=25,
)


@settings(max_examples=40)
@given(WRITES)
def test_a_value_is_always_what_would_be_made_now(steps):
    """Any writes, and between them questions of a cache: it gives what there is."""
    with holdfast.open(":memory:") as store:
        whole = Cache(store, seconds=None, invalidated_by="sessions")
        single = Cache(store, seconds=None, invalidated_by=lambda k: {"sessions": k})

        def made(id):
            try:
                return list(store.sessions.history(id)), store.sessions.get(id)
            except errors.NotFound:
                return None

        for number, (step, id, other) in enumerate(steps):
            with contextlib.suppress(errors.HoldfastError, IndexError):
                written(store, step, id, other, number)
            if step == "ask":
                for cache in (whole, single):
                    assert cache.get(id, partial(made, id)) == made(id)
        for id in "abc":
            for cache in (whole, single):
                assert cache.get(id, partial(made, id)) == made(id)


def written(store, step, id, other, number):
    if step == "append":
        store.sessions.create(id=id)
        store.sessions.append(id, "user", f"{number}")
    elif step == "pop":
        store.sessions.pop(id)
    elif step == "clear":
        store.sessions.clear(id)
    elif step == "fork":
        store.sessions.fork(id, new_id=other)
    elif step == "title":
        store.sessions.update(id, title=f"{number}")
    elif step == "delete":
        store.sessions.delete(id)
    elif step == "reply":
        last = store.sessions.messages(id, 1)[0]
        if last.partial:
            store.sessions.extend_reply(id, last.id, f" {number}")
        else:
            store.sessions.begin_reply(id, text="so", message_id=f"r{number}")
