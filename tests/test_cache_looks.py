"""Looks at the journal, for caches: how many there are, and that none is too few."""

import asyncio
import threading

import pytest

import holdfast
from holdfast import errors
from holdfast.events.log import EventLog
from holdfast.runtime.cache import Cache
from holdfast.runtime.cache import dependents as dependents_module
from holdfast.runtime.cache import news as news_module
from holdfast.runtime.cache.dependents import Dependent, Dependents, Look
from test_cache import never, until
from test_cache_journal import Asked, by_session


@pytest.fixture
def unwatched(monkeypatch):
    """What the watcher tells of is not heard, this process's own commits among it."""
    monkeypatch.setattr(EventLog, "notice", lambda self: None)


def test_nothing_is_read_where_nothing_was_committed(unwatched, store):
    cache = Asked(store, invalidated_by="tasks")
    cache.get("a", lambda: 1)
    for _ in range(2):
        assert looks(cache, lambda: cache.get("a", never)) == 0
    store.sessions.create()
    assert looks(cache, lambda: cache.get("a", never)) == 1
    assert looks(cache, lambda: cache.get("a", never)) == 0


def looks(asked, work):
    """How often the journal is looked at for some work."""
    news, count = asked.cache._news, []
    unit = news._unit

    def counted(*args):
        count.append(1)
        return unit(*args)

    news._unit = counted
    try:
        work()
    finally:
        del news._unit
    return len(count)


def test_tasks_that_ask_at_once_look_once(unwatched, path):
    async def work():
        async with await holdfast.aopen(path) as store:
            asked = Asked(store.sync, invalidated_by="tasks")
            await store.sessions.create()
            count = []
            unit = asked.cache._news._unit

            def counted(*args):
                count.append(1)
                return unit(*args)

            asked.cache._news._unit = counted
            await asyncio.gather(*(asked.cache.aget(n, int) for n in range(50)))
            assert len(count) == 1

    asyncio.run(work())


def test_a_task_looks_once_however_fast_others_commit(unwatched, path):
    async def work():
        async with await holdfast.aopen(path) as store:
            cache = Cache(store, invalidated_by="tasks")
            await cache.aget("a", lambda: 1)
            news, count = cache._news, []
            looked = news._look

            def commits_meanwhile(*args):
                count.append(1)
                assert len(count) < 10
                news.log._mark()
                return looked(*args)

            news._look = commits_meanwhile
            await store.sessions.create()
            assert await cache.aget("a", never) == 1
            assert len(count) == 1

    asyncio.run(work())


def test_a_task_waits_for_no_look_that_began_before_what_it_wrote(unwatched, path):
    async def work():
        async with await holdfast.aopen(path) as store:
            cache = Cache(store, invalidated_by="tasks")
            await cache.aget("a", lambda: 1)
            begun, go = threading.Event(), threading.Event()
            looked = cache._news._look

            def held(*args):
                found = looked(*args)
                if not begun.is_set():
                    begun.set()
                    assert go.wait(20)
                return found

            cache._news._look = held
            await store.sessions.create()
            early = asyncio.create_task(cache.aget("a", lambda: 2))
            await asyncio.to_thread(begun.wait)
            await store.tasks.create("t")
            late = asyncio.create_task(cache.aget("a", lambda: 2))
            await asyncio.sleep(0)
            go.set()
            assert await late == 2
            assert await early in {1, 2}

    asyncio.run(work())


class HeldReads:
    """Looks of a store's caches: counted, held up, and failing if they are to."""

    def __init__(self, news, monkeypatch, error=None):
        self.count, self.error = 0, error
        self.begun, self.go = threading.Event(), threading.Event()
        self._read = news._core.engine.read
        monkeypatch.setattr(news._core.engine, "read", self)

    def __call__(self, unit):
        self.count += 1
        self.begun.set()
        assert self.go.wait(20)
        if self.error is not None:
            raise self.error
        return self._read(unit)


def asking(cache, many, news, monkeypatch):
    """Threads that ask, all of them but the first while that one looks."""
    began, news_may_wait = [], news._may_wait

    def counted():
        began.append(1)
        return news_may_wait()

    monkeypatch.setattr(news, "_may_wait", counted)
    found = []

    def ask():
        try:
            found.append(cache.get("a", never))
        except errors.Unreachable as error:
            found.append(error)

    threads = [threading.Thread(target=ask) for _ in range(many)]
    for thread in threads:
        thread.start()
    until(lambda: len(began) == many)
    return threads, found


def test_threads_that_ask_while_one_looks_do_not_look_again(
    unwatched, path, monkeypatch
):
    with holdfast.open(path) as store:
        cache = Cache(store, invalidated_by="tasks")
        cache.get("a", lambda: 1)
        store.sessions.create()
        held = HeldReads(cache._news, monkeypatch)
        threads, found = asking(cache, 8, cache._news, monkeypatch)
        held.begun.wait()
        held.go.set()
        for thread in threads:
            thread.join()
        assert found == [1] * 8
        assert held.count == 1


def test_threads_that_wait_for_a_store_that_is_away_wait_for_it_together(
    unwatched, path, monkeypatch
):
    """Each of them in turn would wait as long as one does."""
    with holdfast.open(path) as store:
        cache = Cache(store, invalidated_by="tasks")
        cache.get("a", lambda: 1)
        store.sessions.create()
        held = HeldReads(cache._news, monkeypatch, errors.Unreachable("it is gone"))
        threads, found = asking(cache, 8, cache._news, monkeypatch)
        held.go.set()
        for thread in threads:
            thread.join()
        assert [type(one) for one in found] == [errors.Unreachable] * 8
        assert held.count <= 2  # one that they found begun, and one after that
        held.error = None
        assert cache.get("a", never) == 1


@pytest.mark.parametrize("seconds", [0.0, 3_600.0])
def test_what_others_commit_may_wait_and_what_was_committed_here_does_not(
    unwatched, path, monkeypatch, seconds
):
    monkeypatch.setattr(news_module, "_OTHERS_SECONDS", seconds)
    with holdfast.open(path) as store:
        asked = Asked(store, invalidated_by="tasks")
        asked.get("a", lambda: 1)
        store.sessions.create()
        asked.get("a", never)
        news = asked.cache._news
        news.log.newest = next(news.log._marks)  # somebody else has committed
        assert looks(asked, lambda: asked.get("a", never)) == (seconds == 0)
        store.tasks.create("t")
        assert not asked.keeps("a")


def test_two_caches_look_together(path):
    with holdfast.open(path) as store:
        one, two = (Asked(store, invalidated_by="tasks") for _ in range(2))
        assert one.cache._news is two.cache._news
        for cache in (one, two):
            cache.get("a", lambda: 1)
        store.tasks.create("t")
        one.get("a", lambda: 2)
        assert two.get("a", lambda: 2) == 2


@pytest.mark.parametrize("many", [0, 3, 10_000])
def test_a_long_way_to_catch_up_loses_nothing(store, monkeypatch, many):
    monkeypatch.setattr(news_module, "_MANY", many)
    monkeypatch.setattr(news_module, "_PAGE", 4)
    store.sessions.create(id="s")
    cache = by_session(store)
    cache.get("s", lambda: 1)
    for _ in range(10):
        store.tasks.create("t")
    store.sessions.append("s", "user", "hello")
    for _ in range(10):
        store.tasks.create("t")
    assert not cache.keeps("s")
    assert cache.keeps("s")


def test_a_journal_that_was_trimmed_meanwhile_outdates_all(store):
    store.sessions.create(id="s")
    cache = by_session(store)
    cache.get("s", lambda: 1)
    store.sessions.append("s", "user", "hello")
    store.tasks.create("t")
    store.journal.trim(store.moment())
    assert not cache.keeps("s")


# Who depends on what.


def test_who_comes_late_is_told_of_looks_that_nobody_remembers(monkeypatch):
    monkeypatch.setattr(dependents_module, "_REMEMBERED", 2)
    those, told = Dependents(), []
    task, item = (frozenset({("", table)}) for table in ("task", "item"))
    those.take(Look(200, task))  # one that began early, and saw far
    for reached in (100, 101):
        those.take(Look(reached, item))
    assert len(those._recent) == 2
    for known, is_told in ((96, True), (150, True), (200, False)):
        those.join(Dependent(told.append), task, known)
        assert bool(told) is is_told
        told.clear()


def test_a_look_is_remembered_in_short(path):
    """Looks at thousands of rows would be held by the dozen."""
    with holdfast.open(path) as store:
        cache = by_session(store).cache
        for _ in range(3):
            store.run(lambda tx: [tx.tasks.create("t") for _ in range(50)])
            cache.get("s", lambda: 1)
        kept = cache._news.dependents._recent
        assert [look.keys for look in kept if look.keys] == [{("", "task")}] * 2


def test_who_leaves_from_a_finalizer_amid_another_is_gone_after_it():
    those = Dependents()
    one, two = Dependent(None), Dependent(None)
    key = ("", "task")
    for each in (one, two):
        those.join(each, frozenset({key}))

    def keys():
        yield key
        those.leave(two)
        yield key

    with those._mutex:
        assert those._touched_by(keys()) == {one, two}
    assert len(those) == 1
    assert those._by_key == {key: {one}}
