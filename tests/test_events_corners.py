"""Events where it is tight: in handlers and finalizers, cancelled, full, at the end.

Answers for: who asks for one owner about everyone's events, names that are holdfast's
own, callbacks that end their thread, followers that nobody has any more.
"""

import asyncio
import gc
import os
import signal
import threading
import time
import weakref

import pytest

import holdfast
from holdfast.clock import ManualClock, to_datetime
from holdfast.engine import Told
from holdfast.errors import (
    BadInput,
    Closed,
    InvalidId,
    Refused,
    TimedOut,
    TooLarge,
    Unreachable,
    WrongType,
)
from holdfast.events import memory
from postgres import until
from test_events import every, names, threads_gone


def test_how_much_is_kept_is_no_single_owners_matter(path):
    with holdfast.open(path) as store:
        store.events.emit("a:n")
        eve = store.owned_by("eve")
        for call in (lambda: eve.events.keep(max_bytes=0), eve.events.trim):
            with pytest.raises(Refused, match="'eve'"):
                call()
        assert names(every(store, "a:*")) == ["a:n"]
        assert store.events.keep(max_bytes=5).max_bytes == 5


@pytest.mark.parametrize(
    "name",
    ["state:saved", "shutdown:save", "autosave:triggered", "observation:deleted"],
)
def test_what_holdfast_tells_nobody_else_does(path, name):
    with holdfast.open(path) as store:
        with pytest.raises(InvalidId, match="told by holdfast itself"):
            store.events.emit(name)
        with store.transaction() as tx, pytest.raises(InvalidId):
            tx.events.emit(name)


def test_an_awaiting_follower_that_is_cancelled_misses_nothing(path):
    async def follows():
        async with (
            holdfast.aopen(path) as one,
            holdfast.aopen(path, limits=holdfast.Limits(event_seconds=0.01)) as two,
        ):
            await two.events.emit("a:n", -1)
            await two.events.flush()
            following = one.events.follow("a:*")
            numbers = []

            async def emits():
                for number in range(200):
                    await two.events.emit("a:n", number)
                    await asyncio.sleep(0.001)
                await two.events.flush()

            emitting = asyncio.create_task(emits())
            while len(numbers) < 200:
                try:
                    event = await asyncio.wait_for(anext(following), 0.002)
                except TimeoutError:
                    continue
                numbers += [event.data] if event.data >= 0 else []
            await emitting
            assert numbers == list(range(200))
            assert following.missed == 0

    asyncio.run(follows())


@pytest.mark.parametrize("target", [":memory:", None])
def test_what_waits_for_room_is_given_it(path, target, monkeypatch):
    monkeypatch.setattr(memory, "_WAITING_BYTES", 5_000)
    limits = holdfast.Limits(event_pending=10, event_seconds=60)
    with holdfast.open(target or path, limits=limits) as store:
        for number in range(40):
            store.events.emit("a:n", number)
        for _ in range(10):
            store.events.emit("a:large", "x" * 900)
        assert len(every(store, "a:*")) == 50


def test_in_memory_a_batch_is_written_by_who_fills_it():
    limits = holdfast.Limits(event_batch=5)
    with holdfast.open(":memory:", limits=limits) as store:
        for number in range(9):
            store.events.emit("a:n", number)
        assert store.events.figures().waiting < 5


def test_in_memory_nobody_waits_for_a_transaction_to_emit():
    async def emits():
        limits = holdfast.Limits(event_batch=5)
        async with holdfast.aopen(":memory:", limits=limits) as store:
            async with store.transaction() as tx:
                await tx.sessions.create("open")
                await asyncio.create_task(several(store))
            assert len(await store.sessions.list()) == 1

    async def several(store):
        for number in range(20):
            await store.events.emit("a:n", number)

    asyncio.run(emits())


def test_a_signals_handler_may_emit_wherever_it_comes(path):
    with holdfast.open(path) as store:
        calls = []

        def handle(*_):
            calls.append(1)
            store.events.emit("a:signal")

        before = signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        try:
            for number in range(30_000):
                store.events.emit("a:n", number)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        store.events.flush()
        assert len(calls) > 5
        assert store.events.figures().emitted >= 30_000 + len(calls)
        told = store.events.stats().by_name
        assert (told["a:n"].count, told["a:signal"].count) == (30_000, len(calls))


def test_a_finalizer_may_emit_whatever_the_log_is_at(path):
    with holdfast.open(path) as store:
        log = store._core.events
        with log.memory.apart():  # as amid a change, by the very thread that makes it
            store.events.emit("a:late")
        assert names(store.events.recent("a:*")) == ["a:late"]


def test_what_a_kind_tells_wrongly_costs_nobody_else(path, caplog):
    with holdfast.open(path) as store:

        def tells(tx):
            tx._tx.tell(Told("my:half", None, "s\ud800"))
            tx._tx.tell(Told("my:object", object()))
            tx._tx.tell(Told("my:good", {"n": 1}))
            return "kept"

        assert store.run(tells) == "kept"
        store.events.flush()
        assert names(every(store, "my:*")) == ["my:good"]
        assert store.events.figures().lost == 1
    assert "'my:object' cannot be told" in caplog.text
    assert "'my:half' cannot be written" in caplog.text


def test_a_follower_is_told_that_the_store_is_closed(path):
    store = holdfast.open(path)
    following = store.events.follow("*:save")
    told = []
    thread = threading.Thread(target=lambda: told.extend(following))
    thread.start()
    store.close()
    thread.join(10)
    assert names(told) == ["shutdown:save"]


def test_a_callback_is_told_of_more_whatever_it_raises(path, caplog):
    seen = []

    def callback(event):
        seen.append(event.data)
        raise SystemExit

    with holdfast.open(path) as store:
        stop = store.on("a:*", callback)
        for number in range(3):
            store.events.emit("a:n", number)
        until(lambda: seen == [0, 1, 2])
        stop()
    threads_gone()
    assert caplog.text.count("raised on the event 'a:n'") == 3


def test_a_callback_is_told_of_more_once_the_disk_can_be_read_again(
    path, caplog, monkeypatch
):
    seen = []
    with holdfast.open(path) as store:
        store.events.emit("a:n", 0)
        store.events.flush()
        stop = store.on("a:*", lambda event: seen.append(event.data))
        log = store._core.events
        away = [True]

        def reads(unit):
            if away:
                raise Unreachable("the server is away")
            return type(log).read(log, unit)

        monkeypatch.setattr(log, "read", reads)
        store.events.emit("a:n", 1)
        store.events.flush()
        until(lambda: "events cannot be read for now" in caplog.text)
        away.clear()
        until(lambda: seen == [1])
        stop()
    threads_gone()


def test_a_follower_that_nobody_has_is_let_go(path):
    with holdfast.open(path) as store:
        store.events.emit("a:n")
        store.events.flush()
        following = store.events.follow(since="2020-01-01T00:00:00Z")
        for _ in following:
            break
        gone = weakref.ref(following)
        del following
        gc.collect()
        assert gone() is None
        until(lambda: store._core.engine.beside._watcher._watching == [])


def test_what_a_forked_child_emits_is_refused(path):
    with holdfast.open(path) as store:
        store.events.emit("a:n")
        child = os.fork()
        if child == 0:
            try:
                store.events.emit("a:child")
            except holdfast.errors.Closed:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert names(every(store, "a:*")) == ["a:n"]


def test_what_transactions_tell_in_memory_is_written_when_it_is_much():
    async def commits():
        limits = holdfast.Limits(event_batch=5, event_ring=20)
        async with holdfast.aopen(":memory:", limits=limits) as store:
            for number in range(60):
                async with store.transaction() as tx:
                    await tx.events.emit("a:n", number)
            figures = await store.events.figures()
            assert figures.emitted >= 60
            assert figures.waiting <= 30
            found = await store.events.query("a:*", limit=100)
            assert [event.data for event in found] == list(range(60))

    asyncio.run(asyncio.wait_for(commits(), 20))
    threads_gone()


def test_large_events_do_not_fill_memory_by_their_number(path):
    limits = holdfast.Limits(event_text=200_000)
    with holdfast.open(path, limits=limits) as store:
        for n in range(1_000):
            store.events.emit("a:large", {"n": n, "text": "x" * 100_000}, whole=True)
        store.events.emit("a:last")
        figures = store.events.figures()
        assert 500 < figures.held < 700
        assert names(store.events.recent("a:*", limit=1)) == ["a:last"]
        assert store.events.stats().by_name["a:large"].count == 1_000


def test_what_comes_while_the_past_is_read_needs_nothing_more_to_be_told(path):
    began = "2020-01-01T00:00:00Z"
    with holdfast.open(path) as one, holdfast.open(path) as two:
        two.events.emit("a:n", 1)
        two.events.flush()
        following = one.events.follow("a:*", since=began)
        two.events.emit("a:n", 2)
        two.events.flush()
        time.sleep(0.2)  # whoever watches the file was told, and is told no more
        assert [following.get(5).data for _ in range(2)] == [1, 2]
        with pytest.raises(TimedOut):
            following.get(0)


def test_much_that_others_brought_at_once_comes_whole_and_in_its_order(path):
    clock = ManualClock()
    opened = [holdfast.open(path, clock=clock) for _ in range(3)]
    one, *others = opened
    others[0].events.emit("b:first")
    others[0].events.flush()
    following = one.events.follow("a:*")
    for number in range(1_200):
        clock.advance(1)
        others[number % 2].events.emit("a:n", number)
    for other in others:
        other.events.flush()
    time.sleep(0.2)  # whoever watches the file was told, and is told no more
    found = [following.get(5).data for _ in range(1_200)]
    assert found[:1_000] == list(range(1_000))
    assert sorted(found) == list(range(1_200))
    for store in opened:
        store.close()


def test_threads_that_share_a_follower_are_given_each_event_once(path):
    found = []

    def takes(following):
        found.extend(event.data for event in following)

    with holdfast.open(path) as one, holdfast.open(path) as two:
        following = one.events.follow("a:*", since="2020-01-01T00:00:00Z")
        threads = [threading.Thread(target=takes, args=(following,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(2_000):
            (one, two)[number % 2].events.emit("a:n", number)
        two.events.flush()
        until(lambda: len(found) >= 2_000)
        with pytest.raises(TimedOut):
            following.get(0.01)  # though others wait without end
        following.close()
        for thread in threads:
            thread.join()
    assert sorted(found) == list(range(2_000))


def test_tasks_that_share_a_follower_are_given_each_event_once(path):
    async def takes():
        async with holdfast.aopen(path) as one, holdfast.aopen(path) as two:
            following = one.events.follow("a:*", since="2020-01-01T00:00:00Z")
            takers = [asyncio.create_task(following.get(10)) for _ in range(100)]
            for number in range(100):
                await (one, two)[number % 2].events.emit("a:n", number)
                await asyncio.sleep(0)
            await two.events.flush()
            found = [(await taker).data for taker in takers]
            assert sorted(found) == list(range(100))
            waiting = asyncio.create_task(following.get())
            await asyncio.sleep(0)
            with pytest.raises(TimedOut):
                await following.get(0.01)
            await following.close()
            with pytest.raises(Closed):
                await waiting

    asyncio.run(takes())


def test_a_follower_may_begin_later(path):
    clock = ManualClock()
    with holdfast.open(path, clock=clock) as store:
        later = to_datetime(clock.now_us() + 10_000_000)
        following = store.events.follow("a:*", since=later)
        for number in range(3):
            store.events.emit("a:n", number)
            clock.advance(6)
        assert following.get(5).data == 2


def test_what_is_written_while_it_is_asked_for_is_there_once(path, monkeypatch):
    with holdfast.open(path) as store:
        log = store._core.events

        def reads(unit):
            log.flush()
            return type(log).read(log, unit)

        monkeypatch.setattr(log, "read", reads)
        for number in range(3):
            store.events.emit("a:n", number)
            assert [e.data for e in every(store, "a:*")] == list(range(number + 1))
        store.events.emit("a:n", 3)
        assert store.events.stats().by_name["a:n"].count == 4


def test_a_follower_waits_no_longer_than_it_is_to(path):
    limits = holdfast.Limits(event_seconds=0.01)
    with holdfast.open(path) as one, holdfast.open(path, limits=limits) as two:
        one.events.emit("a:old")
        following = one.events.follow("a:*")
        for seconds in (0, 0.01):
            with pytest.raises(TimedOut):
                following.get(timeout_seconds=seconds)
        one.events.emit("a:n", 1)
        assert following.get(0).data == 1
        two.events.emit("a:n", 2)
        assert following.get(5).data == 2
        for wrong in (-1, True, "1", float("nan")):
            with pytest.raises(WrongType, match="timeout_seconds"):
                following.get(wrong)
        following.close()
        with pytest.raises(Closed, match="follower"):
            following.get()


def test_what_is_there_comes_to_who_does_not_wait(path):
    with holdfast.open(path) as store:
        for number in range(1_200):
            store.events.emit("a:n", number)
        store.events.flush()
        with store.events.follow("a:*", since="2020-01-01T00:00:00Z") as following:
            for number in range(1_200):
                assert following.get(0).data == number
            with pytest.raises(TimedOut):
                following.get(0)
        last = store.events.follow("*:save")
    assert last.get().name == "shutdown:save"
    with pytest.raises(Closed):
        last.get(1)


def test_an_awaiting_follower_waits_no_longer_than_it_is_to(path):
    async def follows():
        async with holdfast.aopen(path) as store:
            following = store.events.follow("a:*")
            for seconds in (0, 0.01):
                with pytest.raises(TimedOut):
                    await following.get(timeout_seconds=seconds)
            getting = asyncio.create_task(following.get(5))
            await asyncio.sleep(0.01)
            await store.events.emit("a:n", 1)
            assert (await getting).data == 1
            with pytest.raises(WrongType):
                await following.get("soon")
            getting = asyncio.create_task(following.get())
            await asyncio.sleep(0.01)
            await following.close()
            with pytest.raises(Closed):
                await getting

    asyncio.run(follows())


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("event_ring", 0),
        ("event_batch", 0),
        ("event_pending", 0),
        ("event_seconds", -0.1),
        ("event_seconds", float("nan")),
        ("event_seconds", float("inf")),
        ("event_text", -1),
        ("event_bytes", "1"),
        ("page", 0),
        ("value_bytes", True),
        ("tags", 2.0),
    ],
)
def test_limits_that_cannot_be_kept_are_refused_where_a_store_is_opened(
    path, name, wrong
):
    with pytest.raises(WrongType, match=f"limits.{name}"):
        holdfast.open(path, limits=holdfast.Limits(**{name: wrong}))
    assert not os.path.exists(path)


def test_the_smallest_limits_are_kept(path):
    with pytest.raises(WrongType, match="a Limits is wanted"):
        holdfast.open(path, limits={"page": 5})
    small = {"event_ring": 1, "event_batch": 1, "event_pending": 1, "page": 1}
    limits = holdfast.Limits(event_seconds=0, event_text=0, event_bytes=0, **small)
    with holdfast.open(path, limits=limits) as store:
        for number in range(5):
            store.events.emit("a:n", "text" * 200 if number else number)
        found = every(store, "a:*", limit=1)
        lengths = [event.data["length"] for event in found]
        assert lengths == [1, *[802] * 4]  # of the JSON text


def test_several_patterns_mean_what_one_of_them_means(path):
    names_told = ["a:x", "a:y", "b:x", "b:y", "c:z"]
    with holdfast.open(path) as store:
        following = store.events.follow(["a:*", "c:z"])
        for name in names_told * 2:
            store.events.emit(name)
        wanted = ["a:x", "a:y", "c:z"] * 2
        assert [following.get(5).name for _ in wanted] == wanted
        assert names(reversed(store.events.recent(["c:z", "a:*"]))) == wanted
        for _ in range(2):
            assert names(every(store, ["a:*", "c:z", "a:x"], limit=4)) == wanted
            exact = every(store, ("b:x", "c:z", "b:x"), limit=1, newest_first=True)
            assert names(exact) == ["c:z", "b:x"] * 2
            assert names(every(store, ["*", "a:x"])[-3:]) == ["b:x", "b:y", "c:z"]
            store.events.flush()
        for wrong in ([], ["a"] * 101, {"a"}, ["a", 5], ["a", ""]):
            with pytest.raises(BadInput, match="pattern"):
                store.events.query(wrong)
            with pytest.raises(BadInput, match="pattern"):
                store.events.follow(wrong)


def test_a_cursor_leads_on_in_its_own_list_alone(path):
    with holdfast.open(path) as store:
        for number in range(5):
            store.events.emit("a:n", {"n": number}, session="s", correlation="c")
        cursor = store.events.query("a:*", limit=2).cursor
        page = store.events.query("a:*", limit=3, cursor=cursor)
        assert [event.data["n"] for event in page] == [2, 3, 4]
        chained = store.events.chain("c", limit=2).cursor
        others = [
            lambda: store.events.query("a:n", cursor=cursor),
            lambda: store.events.query("a:*", newest_first=True, cursor=cursor),
            lambda: store.events.query("a:*", session="s", cursor=cursor),
            lambda: store.events.query("a:*", where={"n": 2}, cursor=cursor),
            lambda: store.events.query("a:*", level="info", cursor=cursor),
            lambda: store.owned_by("eve").events.query("a:*", cursor=cursor),
            lambda: store.events.chain("d", cursor=chained),
            lambda: store.events.query(cursor=store.jobs.list().cursor or "WzEsMV0"),
        ]
        for ask in others:
            with pytest.raises(InvalidId, match="cursor"):
                ask()


def test_data_past_any_value_are_cut_and_not_refused(path):
    limits = holdfast.Limits(value_bytes=5_000, event_given=50_000, event_bytes=9_000)
    long = "é" * 20_000
    with holdfast.open(path, limits=limits) as store:
        store.events.emit("a:text", {"text": long})
        store.events.emit("a:many", list(range(5_000)))
        with store.transaction() as tx:
            tx.events.emit("a:told", {"text": long})
            with pytest.raises(TooLarge, match="value_bytes"):
                tx.events.emit("a:whole", long, whole=True)
            with pytest.raises(TooLarge, match="event_given"):
                tx.events.emit("a:huge", long * 3)
        with pytest.raises(TooLarge, match="value_bytes"):
            store.events.emit("a:whole", long, whole=True)
        with pytest.raises(TooLarge, match="event_given"):
            store.events.emit("a:huge", [long, long, long])
        store.events.flush()
        text, many, told = (event.data for event in every(store, "a:*"))
        assert text == told
        assert (text["text"]["length"], text["text"]["stripped"]) == (
            20_000,
            "é" * 1000,
        )
        assert many["stripped"].startswith("[0,1,2,")


def test_a_value_of_a_hundred_megabytes_is_cut():
    with holdfast.open(":memory:") as store:
        store.events.emit("a:large", {"text": "x" * 100_000_000})
        assert store.events.query("a:*")[0].data["text"]["length"] == 100_000_000
