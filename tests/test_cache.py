"""Caches: a value is made once, kept for a time, and no making waits for itself.

What the journal does to them is in `test_cache_journal`.
"""

import asyncio
import contextlib
import gc
import os
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import errors
from holdfast.clock import ManualClock
from holdfast.runtime.cache import Cache
from holdfast.runtime.cache.flights import Flight

PATIENCE_SECONDS = 20.0


class Making:
    """What makes a value: counts how often, and may be held up."""

    def __init__(self, value="made", *, held=False):
        self.value, self.count = value, 0
        self.begun, self.go = threading.Event(), threading.Event()
        if not held:
            self.go.set()

    def __call__(self):
        self.count += 1
        self.begun.set()
        assert self.go.wait(PATIENCE_SECONDS)
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


def never():
    raise AssertionError("this is not to be made")


def until(condition):
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.001)


async def auntil(condition):
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came to hold"
        await asyncio.sleep(0.001)


@pytest.fixture
def cache(clock):
    """A cache for ten values, each for a minute."""
    with Cache(seconds=60, size=10, clock=clock) as made:
        yield made


@pytest.fixture
def pool():
    with ThreadPoolExecutor(32) as made:
        yield made


# A value, and its time.


def test_a_value_is_made_once_and_given_again(cache):
    make = Making()
    assert [cache.get("a", make) for _ in range(3)] == ["made"] * 3
    assert make.count == 1
    assert cache.get("b", lambda: None) is None
    assert cache.get("b", never) is None
    found = cache.stats()
    assert (found.hits, found.misses, found.size, len(cache)) == (3, 2, 2, 2)
    assert found.hit_ratio == 0.6
    assert Cache().stats().hit_ratio == 0.0


def test_a_value_is_given_until_its_time_is_over_and_not_after(cache, clock):
    cache.get("a", lambda: 1)
    clock.advance(59.999999)
    assert cache.get("a", never) == 1
    clock.advance(0.000001)
    assert cache.get("a", lambda: 2) == 2
    assert cache.stats().expired == 1
    clock.advance(-1)  # who could say how old it is?
    assert cache.get("a", lambda: 3) == 3


def test_time_runs_from_when_a_value_was_made(clock):
    cache = Cache(seconds=60, clock=clock)
    cache.get("a", lambda: clock.advance(50))
    clock.advance(59)
    cache.get("a", never)


def test_without_an_end_a_value_stays(clock):
    cache = Cache(seconds=None, clock=clock)
    cache.get("a", lambda: 1)
    clock.advance(90 * 366 * 86_400)
    assert cache.get("a", never) == 1


def test_there_are_never_more_than_its_size_and_who_is_asked_for_stays(cache):
    for number in range(10):
        cache.get(number, lambda n=number: n)
    cache.get(3, never)
    for number in range(10, 100):
        cache.get(number, lambda n=number: n)
        assert cache.get(3, never) == 3, number
        assert len(cache) == 10
    assert cache.stats().evicted == 90


def test_one_place_is_enough(clock):
    cache = Cache(size=1, clock=clock)
    for number in (1, 2, 2, 1):
        assert cache.get(number, lambda n=number: n) == number
    assert cache.stats().evicted == 2


def test_what_is_past_its_time_goes_before_what_is_not(cache, clock):
    for number in range(5):
        cache.get(number, lambda n=number: n)
    clock.advance(60)
    for number in range(5, 15):
        cache.get(number, lambda n=number: n)
    found = cache.stats()
    assert (found.expired, found.evicted, found.size) == (5, 0, 10)


def test_a_value_is_dropped_and_all_are_cleared(cache):
    for key in "abc":
        cache.get(key, lambda k=key: k)
    assert cache.drop("a")
    assert not cache.drop("a")
    assert cache.get("a", lambda: "again") == "again"
    assert cache.clear() == 3
    assert len(cache) == cache.clear() == 0


def test_what_is_kept_no_more_is_let_go(cache):
    class Value:
        def __del__(self):
            with contextlib.suppress(errors.Closed):  # at the test's end
                cache.get("from a finalizer", lambda: 1)

    gone = weakref.ref(cache.get("a", Value))
    cache.drop("a")
    gc.collect()
    assert gone() is None
    assert cache.get("from a finalizer", never) == 1
    for number in range(20):  # and where others take its place
        cache.get(number, Value)
    assert len(cache) == 10


def test_a_closed_cache_gives_nothing(clock):
    with Cache(clock=clock) as cache:
        cache.get("a", lambda: 1)
    cache.close()
    with pytest.raises(errors.Closed, match="closed: make another"):
        cache.get("a", never)
    with pytest.raises(errors.Closed):
        asyncio.run(cache.aget("a", never))


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": 0},
        {"seconds": -1},
        {"seconds": "60"},
        {"seconds": True},
        {"size": 0},
        {"size": 1.5},
        {"invalidated_by": "tasks"},  # of which store?
    ],
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(errors.WrongType):
        Cache(**wrong)
    with pytest.raises(errors.WrongType, match="store: an open store"):
        Cache("agent.db")


def test_a_key_has_to_be_hashable(cache):
    with pytest.raises(TypeError, match="unhashable"):
        cache.get(["a"], never)
    with pytest.raises(errors.WrongType, match="timeout_seconds"):
        cache.get("a", never, timeout_seconds="long")
    assert len(cache) == 0


# One flight.


def test_many_threads_wait_for_one_making(cache, pool):
    make = Making(held=True)
    asked = [pool.submit(cache.get, "a", make) for _ in range(32)]
    until(lambda: cache.stats().waits == 31)
    make.go.set()
    assert {one.result() for one in asked} == {"made"}
    assert (make.count, cache.stats().misses) == (1, 1)


def test_other_keys_do_not_wait(cache, pool):
    make = Making(held=True)
    asked = pool.submit(cache.get, "a", make)
    make.begun.wait()
    assert cache.get("b", lambda: 2) == 2
    make.go.set()
    assert asked.result() == "made"


def test_an_error_is_everyones_who_waits_and_is_not_kept(cache, pool):
    make = Making(ValueError("no"), held=True)
    asked = [pool.submit(cache.get, "a", make) for _ in range(5)]
    until(lambda: cache.stats().waits == 4)
    make.go.set()
    for one in asked:
        with pytest.raises(ValueError, match="no"):
            one.result()
    assert (make.count, cache.stats().errors, len(cache)) == (1, 1, 0)
    assert cache.get("a", lambda: "now") == "now"


def test_an_errors_traceback_does_not_grow_with_those_who_wait(cache, pool):
    error = ValueError("no")
    make = Making(error, held=True)
    asked = [pool.submit(cache.get, "a", make) for _ in range(9)]
    until(lambda: cache.stats().waits == 8)
    make.go.set()
    for one in asked:
        one.exception()
    depth, at = 0, error.__traceback__
    while at is not None:
        depth, at = depth + 1, at.tb_next
    assert depth < 15


def test_who_is_interrupted_leaves_the_making_to_one_who_waits(cache, pool):
    first, second = Making(KeyboardInterrupt(), held=True), Making("second")
    asked = pool.submit(cache.get, "a", first)
    first.begun.wait()
    waiting = [pool.submit(cache.get, "a", second) for _ in range(3)]
    until(lambda: cache.stats().waits == 3)
    first.go.set()
    assert isinstance(asked.exception(), KeyboardInterrupt)
    assert [one.result() for one in waiting] == ["second"] * 3
    assert second.count == 1


def test_who_waits_too_long_is_told_and_the_making_goes_on(cache, pool):
    make = Making(held=True)
    asked = pool.submit(cache.get, "a", make)
    make.begun.wait()
    with pytest.raises(errors.TimedOut, match=r"'a' is being made .* within 0\.01 s"):
        cache.get("a", never, timeout_seconds=0.01)
    with pytest.raises(errors.TimedOut):
        cache.get("a", never, timeout_seconds=0)
    make.go.set()
    assert asked.result() == cache.get("a", never) == "made"


def test_what_is_dropped_while_it_is_made_is_given_and_not_kept(cache, pool):
    for forget in (lambda: cache.drop("a"), cache.clear):
        make = Making("old", held=True)
        asked = pool.submit(cache.get, "a", make)
        make.begun.wait()
        forget()
        assert cache.get("a", lambda: "new") == "new"  # and waits for nobody
        make.go.set()
        assert asked.result() == "old"
        assert cache.get("a", never) == "new"
        cache.drop("a")


def test_a_coroutine_is_not_kept_by_who_cannot_await_it(cache):
    async def make():
        return 1

    with pytest.raises(errors.WrongType, match="await cache.aget"):
        cache.get("a", make)
    assert len(cache) == 0


class Amid:
    """A lock before which something is done, once, by whoever takes it next."""

    def __init__(self, mutex, work):
        self._mutex, self._work = mutex, [work]

    def __enter__(self):
        if self._work:
            self._work.pop()()
        return self._mutex.__enter__()

    def __exit__(self, *error):
        return self._mutex.__exit__(*error)


def test_a_value_that_comes_while_somebody_asks_is_not_past_its_time(cache, clock):
    make = Making(held=True)
    maker = threading.Thread(target=cache.get, args=("a", make))
    maker.start()
    make.begun.wait()

    def land():
        clock.advance(1)
        make.go.set()
        maker.join()

    cache._mutex, mutex = Amid(cache._mutex, land), cache._mutex
    try:
        assert cache.get("a", never) == "made"
    finally:
        cache._mutex = mutex
    assert cache.stats().expired == 0


def test_who_may_not_make_it_leaves_that_to_one_who_waits(cache, pool, monkeypatch):
    """A making that asks for its own key is refused, and nobody else is."""
    refuse, waiting = Flight.refuse_within, []

    def late(flight, around):
        if around and not waiting:
            waiting.append(pool.submit(cache.get, "a", lambda: "of one who waits"))
            until(lambda: cache.stats().waits == 1)
        refuse(flight, around)

    def make():
        cache.drop("a")
        return cache.get("a", never)

    monkeypatch.setattr(Flight, "refuse_within", late)
    with pytest.raises(errors.Refused, match="'a' itself"):
        cache.get("a", make)
    assert waiting[0].result(PATIENCE_SECONDS) == "of one who waits"


def test_who_is_interrupted_while_others_are_woken_leaves_none_asleep(cache, pool):
    make = Making(held=True)
    maker = pool.submit(cache.get, "a", make)
    make.begun.wait()
    asked = [pool.submit(cache.get, "a", never) for _ in range(3)]
    until(lambda: len(cache._flights["a"]._waiters) == 3)
    first = next(iter(cache._flights["a"]._waiters))
    cache._flights["a"]._waiters = {Interrupting(): None} | cache._flights["a"]._waiters
    make.go.set()
    assert isinstance(maker.exception(PATIENCE_SECONDS), KeyboardInterrupt)
    assert [one.result(PATIENCE_SECONDS) for one in asked] == ["made"] * 3
    assert first.wait(0)


class Interrupting:
    """Who is woken amid a signal, the first time."""

    def __init__(self):
        self._errors = [KeyboardInterrupt()]

    def wake(self):
        if self._errors:
            raise self._errors.pop()


# On event loops.


def test_many_tasks_wait_for_one_making(cache):
    async def work():
        go, count = asyncio.Event(), 0

        async def make():
            nonlocal count
            count += 1
            await go.wait()
            return "made"

        asked = [asyncio.create_task(cache.aget("a", make)) for _ in range(100)]
        await auntil(lambda: cache.stats().waits == 99)
        go.set()
        assert set(await asyncio.gather(*asked)) == {"made"}
        assert await cache.aget("a", never) == "made"
        assert await cache.aget("plain", lambda: 2) == 2
        return count

    assert asyncio.run(work()) == 1


def test_threads_and_tasks_wait_for_each_other(cache, pool):
    async def work():
        make = Making("thread's", held=True)
        thread = pool.submit(cache.get, "a", make)
        make.begun.wait()
        task = asyncio.create_task(cache.aget("a", never))
        await auntil(lambda: cache.stats().waits == 1)
        make.go.set()
        assert await task == thread.result() == "thread's"

        go = asyncio.Event()

        async def amake():
            await go.wait()
            return "task's"

        task = asyncio.create_task(cache.aget("b", amake))
        await auntil(lambda: cache.stats().misses == 2)
        thread = pool.submit(cache.get, "b", never)
        await auntil(lambda: cache.stats().waits == 2)
        go.set()
        assert await task == await asyncio.wrap_future(thread) == "task's"

    asyncio.run(work())


def test_tasks_of_two_event_loops_wait_for_one_making(cache, pool):
    make = Making(held=True)
    asked = [
        pool.submit(asyncio.run, cache.aget("a", lambda: asyncio.to_thread(make)))
        for _ in range(4)
    ]
    until(lambda: cache.stats().waits == 3)
    make.go.set()
    assert [one.result() for one in asked] == ["made"] * 4
    assert make.count == 1


def test_who_is_cancelled_leaves_the_making_to_one_who_waits(cache):
    async def work():
        async def for_ever():
            await asyncio.Event().wait()

        async def second():
            return "second"

        maker = asyncio.create_task(cache.aget("a", for_ever))
        await auntil(lambda: cache.stats().misses == 1)
        waiting = [asyncio.create_task(cache.aget("a", second)) for _ in range(3)]
        await auntil(lambda: cache.stats().waits == 3)
        waiting[0].cancel()  # who waits may go, too
        maker.cancel()
        found = await asyncio.gather(maker, *waiting, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert isinstance(found[1], asyncio.CancelledError)
        assert found[2:] == ["second"] * 2

    asyncio.run(work())


def test_threads_and_tasks_take_over_from_a_task_that_is_cancelled(cache, pool):
    """Whoever of them it is, one makes it, once, and all have that."""
    second = Making("second")

    async def ask():
        return await cache.aget("a", lambda: asyncio.to_thread(second))

    async def work():
        maker = asyncio.create_task(cache.aget("a", asyncio.Event().wait))
        await auntil(lambda: cache.stats().misses == 1)
        others = [pool.submit(cache.get, "a", second) for _ in range(3)]
        others += [pool.submit(asyncio.run, ask()) for _ in range(3)]
        tasks = [asyncio.create_task(ask()) for _ in range(3)]
        await auntil(lambda: cache.stats().waits == 9)
        maker.cancel()
        found = await asyncio.gather(*tasks, *map(asyncio.wrap_future, others))
        assert found == ["second"] * 9
        assert maker.cancelled()

    asyncio.run(work())
    assert (second.count, cache._flights) == (1, {})


def test_a_task_that_is_lost_with_its_loop_leaves_it_to_one_who_waits(cache, pool):
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # it says that a task was lost
    task = loop.create_task(cache.aget("a", asyncio.Event().wait))
    loop.run_until_complete(asyncio.sleep(0))
    assert cache.stats().misses == 1
    asked = pool.submit(cache.get, "a", lambda: "second")
    until(lambda: cache.stats().waits == 1)
    loop.close()
    del loop, task
    gc.collect()
    assert asked.result(PATIENCE_SECONDS) == "second"


def test_a_task_waits_no_longer_than_it_says(cache, pool):
    make = Making(held=True)
    asked = pool.submit(cache.get, "a", make)
    make.begun.wait()
    with pytest.raises(errors.TimedOut, match="being made"):
        asyncio.run(cache.aget("a", never, timeout_seconds=0.01))
    make.go.set()
    asked.result()


def test_an_event_loop_is_not_kept_waiting(cache, pool):
    make = Making(held=True)
    asked = pool.submit(cache.get, "a", make)
    make.begun.wait()

    async def work():
        with pytest.raises(errors.Refused, match="await cache.aget"):
            cache.get("a", never)
        return cache.get("b", lambda: 2)  # which waits for nobody

    assert asyncio.run(work()) == 2
    make.go.set()
    asked.result()


def test_a_loop_that_was_closed_keeps_nobody_waiting(cache, pool):
    make = Making(held=True)
    asked = pool.submit(cache.get, "a", make)
    make.begun.wait()

    async def work():
        task = asyncio.create_task(cache.aget("a", never))
        await auntil(lambda: cache.stats().waits == 1)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(work())
    make.go.set()
    assert asked.result() == "made"


# A making that asks for what it makes.


def test_a_making_that_asks_for_its_own_key_is_refused_by_name(cache):
    with pytest.raises(errors.Refused, match="the making of 'a' asks for 'a' itself"):
        cache.get("a", lambda: cache.get("a", never))
    with pytest.raises(errors.Refused, match="'a' itself"):
        cache.get("a", lambda: cache.get("b", lambda: cache.get("a", never)))
    assert len(cache) == 0
    assert cache.get("a", lambda: cache.get("b", lambda: 1)) == 1


def test_a_task_that_asks_for_its_own_key_is_refused(cache):
    async def itself():
        return await cache.aget("a", never)

    async def by_a_task():
        return await asyncio.create_task(itself())

    async def by_many():
        return await asyncio.gather(asyncio.to_thread(cache.get, "a", never))

    async def at_once():
        return cache.get("a", never)

    async def work():
        for make in (itself, by_a_task, by_many, at_once):
            with pytest.raises(errors.Refused, match="asks for 'a' itself"):
                await cache.aget("a", make)

    asyncio.run(work())
    assert (len(cache), cache._flights) == (0, {})


def test_a_task_that_outlives_the_making_may_ask_for_the_key(cache):
    async def work():
        later = []

        async def ask():
            await auntil(lambda: len(cache) == 1)
            cache.drop("a")
            return await cache.aget("a", lambda: 2)

        async def make():
            later.append(asyncio.create_task(ask()))
            return 1

        assert await cache.aget("a", make) == 1
        return await later[0]

    assert asyncio.run(work()) == 2


def test_a_making_that_was_outdated_may_not_ask_for_its_key_either(cache):
    def make():
        cache.drop("a")
        return cache.get("a", never)

    with pytest.raises(errors.Refused, match="'a' itself"):
        cache.get("a", make)


def test_the_same_key_of_another_cache_is_another(cache, clock):
    other = Cache(clock=clock)
    assert cache.get("a", lambda: other.get("a", lambda: 1)) == 1


def test_two_makings_that_would_wait_for_each_other_are_refused(cache, pool, clock):
    other = Cache(clock=clock)
    here, there = threading.Event(), threading.Event()

    def one():
        here.set()
        there.wait()
        return other.get("b", never)

    def two():
        there.set()
        here.wait()
        until(lambda: other.stats().waits or cache.stats().waits)
        return cache.get("a", never)

    asked = pool.submit(cache.get, "a", one), pool.submit(other.get, "b", two)
    refused = [one.exception(PATIENCE_SECONDS) for one in asked]
    assert {type(one) for one in refused} == {errors.Refused}
    assert "each would wait for ever" in str(refused[0])


def test_a_circle_of_three_is_found_through_makings_within_makings(cache, pool):
    events = {key: threading.Event() for key in "abc"}

    def making_of(key, ahead, waits):
        def make():
            events[key].set()
            assert all(event.wait(PATIENCE_SECONDS) for event in events.values())
            until(lambda: cache.stats().waits >= waits)
            return cache.get(f"within {key}", lambda: cache.get(ahead, never))

        return make

    asked = [
        pool.submit(cache.get, key, making_of(key, ahead, waits))
        for key, ahead, waits in (("a", "b", 0), ("b", "c", 1), ("c", "a", 2))
    ]
    for one in asked:
        error = one.exception(PATIENCE_SECONDS)
        assert "each would wait for ever" in str(error)
    assert cache._flights == {}


def test_makings_may_share_what_they_need(cache, pool):
    shared = Making(1, held=True)
    asked = [
        pool.submit(cache.get, n, lambda: cache.get("shared", shared)) for n in range(8)
    ]
    until(lambda: cache.stats().waits == 7)
    shared.go.set()
    assert [one.result() for one in asked] == [1] * 8
    assert shared.count == 1


# Everything at once.


def test_a_fork_waits_for_nobody_who_was_left_behind(cache, pool):
    make = Making(held=True)
    asked = pool.submit(cache.get, "a", make)
    make.begun.wait()
    cache.get("b", lambda: 2)
    child = os.fork()
    if child == 0:
        try:
            cache._mutex.acquire()
            fine = cache.get("a", lambda: 1) == 1 and cache.get("b", never) == 2
            os._exit(0 if fine else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    make.go.set()
    asked.result()


def test_many_threads_get_what_was_made_for_their_key(clock):
    cache, wrong = Cache(size=20, clock=clock), []

    def work(seed):
        for turn in range(400):
            key = (seed * 7 + turn * 13) % 40
            if cache.get(key, lambda k=key: f"of {k}") != f"of {key}":
                wrong.append(key)
            if turn % 50 == 0:
                cache.drop(key)
            if turn % 97 == 0:
                cache.clear()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = cache.stats()
    assert wrong == []
    assert found.hits + found.misses + found.waits >= 3_200
    assert found.size == len(cache) <= 20
    assert cache._flights == {}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["get", "get", "get", "raise", "drop", "clear", "pass"]),
        st.integers(0, 6),
    ),
    max_size=60,
)


@given(STEPS)
def test_a_cache_gives_what_a_dict_with_times_would(steps):
    """A model: of each key, the newest value and until when; what a cache has lost
    beside, to make room, it makes again."""
    clock, made = ManualClock(), {}
    cache = Cache(seconds=10, size=4, clock=clock)
    for number, (step, key) in enumerate(steps):
        now = clock.now_us()
        known = made.get(key, (None, 0))
        if step == "get":
            fresh = Making(number)
            found = cache.get(key, fresh)
            if fresh.count:
                made[key] = (number, now + 10_000_000)
            else:
                assert known[1] > now
            assert found == made[key][0]
        elif step == "raise":
            with contextlib.suppress(ZeroDivisionError):
                assert (cache.get(key, lambda: 1 // 0), known[1] > now) == (
                    known[0],
                    True,
                )
        elif step == "drop":
            if cache.drop(key):
                assert known[0] is not None
            made.pop(key, None)
        elif step == "clear":
            cache.clear()
            made.clear()
        else:
            clock.advance(key)
        assert len(cache) <= 4
    assert cache._flights == {}


def test_a_cached_read_costs_little_beyond_a_dicts(clock):
    """Guards against a slip of ten times; the figure is the bench's."""
    cache, plain = Cache(clock=clock), {"a": 1}
    cache.get("a", lambda: 1)

    def cost(read):
        began = time.perf_counter()
        for _ in range(2_000):
            read()
        return (time.perf_counter() - began) / 2_000

    spent = min(
        cost(lambda: cache.get("a", never)) - cost(lambda: plain["a"]) for _ in range(9)
    )
    assert spent < 20e-6


def test_a_long_key_is_cut_in_messages(cache):
    key = "k" * 1_000
    with pytest.raises(errors.Refused) as refused:
        cache.get(key, lambda: cache.get(key, never))
    assert len(str(refused.value)) < 500
    assert Flight(None, key).done is False
