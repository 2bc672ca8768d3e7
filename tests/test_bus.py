"""The bus in one process: who is given what, in which order, and who waits for whom."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import holdfast
from conftest import store_on
from crowd import Aside
from hearing import hears_nothing
from holdfast.clock import ManualClock, to_datetime
from holdfast.engines.carrying import Frame, Together, pieces
from holdfast.errors import (
    BadInput,
    Busy,
    Closed,
    InvalidId,
    NotStorable,
    Refused,
    TimedOut,
    TooLarge,
    WrongType,
)
from holdfast.runtime import Bus
from holdfast.runtime.bus import BusMessage, Subscription, line, routes
from holdfast.runtime.bus.offline import NAMES_MOST
from killing import Worker
from postgres import until
from turns import JOIN_SECONDS


@pytest.fixture
def bus(clock: ManualClock) -> Iterator[Bus]:
    with Bus(clock=clock) as made:
        yield made


def there(subscription: Subscription) -> list[object]:
    """The data of all that has come."""
    return [subscription.get(0).data for _ in range(len(subscription))]


def in_line(subscription: Subscription) -> int:
    """How many wait for room there."""
    return len(subscription._box.line)


def hungry(subscription: Subscription) -> int:
    """How many wait for a message there."""
    return len(subscription._box._hungry)


# Who is given what.


def test_who_is_subscribed_to_a_topic_is_given_its_messages(bus):
    with (
        bus.subscribe("task.*") as tasks,
        bus.subscribe("task.done", "note.*") as both,
        bus.subscribe("*.done", "task.*") as twice,
        bus.subscribe() as none,
    ):
        assert bus.publish("task.done", 1) == 3
        assert bus.publish("task.begun", 2) == 2
        assert bus.publish("note.done", 3) == 2
        assert bus.publish("tasks", 4) == 0
        assert [there(one) for one in (tasks, both, twice, none)] == [
            [1, 2],
            [1, 3],
            [1, 2, 3],
            [],
        ]
        assert both.patterns == ("task.done", "note.*")


def test_a_message_says_by_whom_it_is_and_what_about(bus, clock):
    with bus.subscribe("*", name="planner") as mine:
        bus.publish("task.done", {"id": "t1"}, sender="worker", correlation="c1")
        bus.send("planner", [1], topic="hello", sender="worker")
        bus.broadcast()
        first, second, third = (mine.get(0) for _ in range(3))
    assert first == BusMessage(
        id=first.id,
        topic="task.done",
        sender="worker",
        to=None,
        correlation="c1",
        at=to_datetime(clock.now_us()),
        data={"id": "t1"},
    )
    assert (second.topic, second.to, second.data) == ("hello", "planner", [1])
    assert (third.topic, third.sender, third.to, third.data) == (
        *("broadcast", None, None, None),
    )
    assert len({first.id, second.id, third.id}) == 3


def test_a_direct_message_is_given_to_all_who_have_the_name_and_nobody_else(bus):
    with (
        bus.subscribe("*", name="ada") as one,
        bus.subscribe(name="ada") as two,
        bus.subscribe("*", name="bob") as bob,
        bus.subscribe("*") as nobody,
    ):
        assert bus.send("ada", "hello") == 2
        found = [there(each) for each in (one, two, bob, nobody)]
    assert found == [["hello"], ["hello"], [], []]


def test_a_broadcast_is_given_to_everyone(bus):
    with bus.subscribe("task.*") as some, bus.subscribe(name="ada") as ada:
        assert bus.broadcast("all of you") == 2
        assert there(some) == there(ada) == ["all of you"]


def test_names_are_those_of_who_is_there(bus):
    with bus.subscribe(name="ada"), bus.subscribe(name="ada") as again:
        assert bus.names() == {"ada"}
        again.close()
        assert bus.names() == {"ada"}
    assert bus.names() == frozenset()


def test_nobodys_data_is_another_ones(bus):
    given = {"list": [1]}
    with bus.subscribe("*") as one, bus.subscribe("*") as two:
        bus.publish("t", given)
        given["list"].append(2)
        first = one.get(0)
        first.data["list"].append(3)
        (looked,) = bus.history()
        looked.data["list"].append(4)
        assert two.get(0).data == {"list": [1]}
        assert bus.history()[0].data == {"list": [1]}


def test_a_tuple_comes_as_a_list_as_in_a_store(bus):
    with bus.subscribe("*") as mine:
        bus.publish("t", (1, (2,)))
        assert there(mine) == [[1, [2]]]


class Unwritable:
    pass


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda bus: bus.publish("t", Unwritable()), NotStorable),
        (lambda bus: bus.publish("t", float("nan")), NotStorable),
        (lambda bus: bus.publish("t", "x" * 10_000_001), TooLarge),
        (lambda bus: bus.publish("", 1), InvalidId),
        (lambda bus: bus.publish("a\nb", 1), InvalidId),
        (lambda bus: bus.publish("a" * 201, 1), InvalidId),
        (lambda bus: bus.publish("\ud800", 1), InvalidId),
        (lambda bus: bus.publish(None, 1), WrongType),
        (lambda bus: bus.publish("t", 1, sender="a/b"), InvalidId),
        (lambda bus: bus.publish("t", 1, correlation=7), WrongType),
        (lambda bus: bus.publish("t", 1, timeout_seconds=-1), WrongType),
        (lambda bus: bus.send("a/b", 1), InvalidId),
        (lambda bus: bus.broadcast({1: 2}), NotStorable),
        (lambda bus: bus.subscribe(7), WrongType),
        (lambda bus: bus.subscribe(""), InvalidId),
        (lambda bus: bus.subscribe("t", name="a/b"), InvalidId),
        (lambda bus: bus.subscribe("t", capacity=0), WrongType),
        (lambda bus: bus.subscribe("t", capacity=1.5), WrongType),
        (lambda bus: bus.subscribe("t", overflow="burst"), WrongType),
        (lambda bus: bus.history(limit=0), WrongType),
        (lambda bus: bus.history(7), WrongType),
        (lambda bus: bus.subscribe(["a", "b"]), WrongType),
        (lambda bus: Bus("nats://127.0.0.1:1"), WrongType),
        (lambda bus: Bus(7), WrongType),
        (lambda bus: Bus(nats=""), WrongType),
        (lambda bus: Bus(offline=-1), WrongType),
        (lambda bus: Bus(offline_seconds=0), WrongType),
        (lambda bus: Bus(history="all"), WrongType),
    ],
)
def test_what_cannot_be_taken_is_refused_before_anybody_is_given_it(bus, call, error):
    with bus.subscribe("*", name="a") as mine:
        with pytest.raises(error) as caught:
            call(bus)
        assert isinstance(caught.value, BadInput)
        assert there(mine) == []
        assert bus.history() == ()


# Order.


def test_every_subscriber_has_all_senders_messages_in_one_order(bus):
    senders, count = 4, 500
    with bus.subscribe("*") as one, bus.subscribe("*", capacity=10) as two:
        taking = Aside(lambda: [two.get(JOIN_SECONDS) for _ in range(senders * count)])
        sending = [
            Aside(
                lambda name=f"s{number}": [
                    bus.publish("t", n, sender=name, timeout_seconds=JOIN_SECONDS)
                    for n in range(count)
                ]
            )
            for number in range(senders)
        ]
        mine = [one.get(JOIN_SECONDS) for _ in range(senders * count)]
        for each in sending:
            each.result()
        assert [m.id for m in taking.result()] == [m.id for m in mine]
    for number in range(senders):
        own = [m.data for m in mine if m.sender == f"s{number}"]
        assert own == list(range(count))
    newest = [m.id for m in bus.history(limit=1_000)]
    assert newest == [m.id for m in mine][-1_000:]


def test_several_takers_of_one_subscription_have_each_message_once(bus):
    with bus.subscribe("*", capacity=7) as mine:
        takers = [Aside(lambda: [m.data for m in mine]) for _ in range(4)]
        for n in range(2_000):
            bus.publish("t", n, timeout_seconds=JOIN_SECONDS)
        mine.close()
        taken = [n for taker in takers for n in taker.result()]
    assert sorted(taken) == list(range(2_000))


# When a subscriber is full.


def test_who_publishes_to_a_full_subscriber_waits_until_there_is_room(bus):
    with bus.subscribe("*", capacity=2) as slow, bus.subscribe("*") as fast:
        bus.publish("t", 1)
        bus.publish("t", 2)
        waiting = Aside(lambda: bus.publish("t", 3, timeout_seconds=JOIN_SECONDS))
        until(lambda: in_line(slow))
        assert there(fast) == [1, 2]
        assert slow.get(0).data == 1
        assert waiting.result() == 2
        assert (there(slow), there(fast)) == ([2, 3], [3])
        assert slow.missed == 0


def test_who_has_waited_for_too_long_is_told_for_whom_and_nobody_has_it(bus):
    with bus.subscribe("*", name="slow", capacity=1) as slow, bus.subscribe("*") as one:
        bus.publish("t", 1)
        with pytest.raises(Busy, match=r"'slow' is full \(1 messages\)"):
            bus.publish("t", 2, timeout_seconds=0.05)
        assert in_line(slow) == 0
        assert there(slow) == there(one) == [1]
        assert [m.data for m in bus.history()] == [1]


def test_who_drops_loses_the_oldest_knows_how_many_and_holds_nobody_up(bus):
    with bus.subscribe("*", capacity=3, overflow="drop") as mine:
        assert [bus.publish("t", n) for n in range(10)] == [1] * 10
        assert mine.missed == 7
        assert there(mine) == [7, 8, 9]


def test_who_refuses_has_the_publisher_told_at_once_and_nobody_has_it(bus):
    with (
        bus.subscribe("*", name="strict", capacity=1, overflow="refuse") as strict,
        bus.subscribe("*") as other,
    ):
        bus.publish("t", 1)
        with pytest.raises(Refused, match="'strict' is full"):
            bus.publish("t", 2)
        assert there(strict) == there(other) == [1]
        assert bus.publish("t", 3) == 2


def test_a_full_subscriber_holds_up_only_what_it_is_to_be_given(bus):
    with bus.subscribe("a", capacity=1) as full, bus.subscribe("b") as free:
        bus.publish("a")
        waiting = Aside(lambda: bus.publish("a", timeout_seconds=JOIN_SECONDS))
        until(lambda: in_line(full))
        assert bus.publish("b", 1, timeout_seconds=0.01) == 1
        assert there(free) == [1]
        full.close()
        assert waiting.result() == 0


def test_publishers_of_a_full_subscriber_go_on_in_turn(bus):
    with bus.subscribe("*", capacity=1) as mine:
        bus.publish("t", "first")
        waiting = []
        for n in range(5):
            waiting.append(
                Aside(lambda n=n: bus.publish("t", n, timeout_seconds=JOIN_SECONDS))
            )
            until(lambda n=n: in_line(mine) == n + 1)
        taken = [mine.get(JOIN_SECONDS).data for _ in range(6)]
        assert [one.result() for one in waiting] == [1] * 5
    assert taken == ["first", 0, 1, 2, 3, 4]


def test_one_who_gives_up_lets_the_next_in_line_go_on(bus):
    with bus.subscribe("*", capacity=1) as mine:
        bus.publish("t", "first")

        def give_up() -> None:
            with pytest.raises(Busy):
                bus.publish("t", "never", timeout_seconds=1)

        impatient = Aside(give_up)
        until(lambda: in_line(mine) == 1)
        patient = Aside(lambda: bus.publish("t", "last", timeout_seconds=JOIN_SECONDS))
        until(lambda: in_line(mine) == 2)
        impatient.result()
        assert mine.get(0).data == "first"
        assert patient.result() == 1


def test_who_got_room_lets_the_next_in_line_go_on_at_once(bus, monkeypatch):
    for_ever = 10 * JOIN_SECONDS
    monkeypatch.setattr(line, "_AGAIN_SECONDS", for_ever)
    with bus.subscribe("*", capacity=2) as mine:
        for n in (1, 2):
            bus.publish("t", n)
        waiting = []
        for n in (3, 4):
            waiting.append(
                Aside(lambda n=n: bus.publish("t", n, timeout_seconds=for_ever))
            )
            until(lambda n=n: in_line(mine) == n - 2)
        with bus._hub.mutex:  # none of them goes on before there is room for both
            assert [mine.get(0).data for _ in range(2)] == [1, 2]
        assert [one.result() for one in waiting] == [1, 1]
        assert there(mine) == [3, 4]


def test_room_that_is_made_just_before_one_waits_is_seen(bus, monkeypatch):
    """A subscriber takes without the lock: it may come between look and wait."""
    offer = bus._hub.offer

    looked = []

    def offered(parcel: object) -> object:
        held_back = offer(parcel)
        looked.append(held_back)
        if len(looked) == 2:  # the first was before it stood in line
            mine.get(0)
        return held_back

    with bus.subscribe("*", capacity=1) as mine:
        bus.publish("t", 1)
        monkeypatch.setattr(bus._hub, "offer", offered)
        assert bus.publish("t", 2, timeout_seconds=0.01) == 1
        assert there(mine) == [2]


# Subscribers come and go.


def test_who_unsubscribes_while_others_publish_is_given_nothing_more(bus):
    """And what was given until then has no gap."""
    stop = threading.Event()

    def publish() -> int:
        count = 0
        while not stop.is_set():
            bus.publish("t", count, timeout_seconds=JOIN_SECONDS)
            count += 1
        return count

    def come_and_go() -> None:
        for _ in range(60):
            with bus.subscribe("*", capacity=3) as mine:
                last = [mine.get(JOIN_SECONDS) for _ in range(5)][-1].data
            rest = there(mine)
            assert rest == list(range(last + 1, last + 1 + len(rest)))
            with pytest.raises(Closed):
                mine.get(0)

    with bus.subscribe("*") as steady:
        seen = Aside(lambda: [m.data for m in steady])
        publishing = Aside(publish)
        going = [Aside(come_and_go) for _ in range(3)]
        for one in going:
            one.result()
        stop.set()
        count = publishing.result()
        steady.close()
        assert seen.result() == list(range(count))


def test_what_has_come_can_be_taken_after_the_end_and_then_it_is_over(bus):
    mine = bus.subscribe("*")
    bus.publish("t", 1)
    bus.publish("t", 2)
    mine.close()
    mine.close()
    assert bus.publish("t", 3) == 0
    assert [m.data for m in mine] == [1, 2]
    assert [m.data for m in mine] == []
    with pytest.raises(Closed, match="subscription was closed"):
        mine.get()


def test_closing_the_bus_wakes_everyone_who_waits(bus):
    empty, full = bus.subscribe("a", name="ada"), bus.subscribe("b", capacity=1)
    bus.publish("b", 1)
    taking = Aside(empty.get)
    iterating = Aside(lambda: list(empty))
    giving = Aside(lambda: bus.publish("b", 2, timeout_seconds=JOIN_SECONDS))
    until(lambda: hungry(empty) == 2 and in_line(full) == 1)
    bus.close()
    bus.close()
    with pytest.raises(Closed, match="the bus was closed"):
        taking.result()
    assert iterating.result() == []
    with pytest.raises(Closed):
        giving.result()
    assert there_until_closed(full) == [1]
    assert bus.names() == frozenset()
    for call in (
        lambda: bus.publish("b"),
        lambda: bus.send("b"),
        bus.broadcast,
        lambda: bus.subscribe("b"),
    ):
        with pytest.raises(Closed):
            call()


def there_until_closed(subscription: Subscription) -> list[object]:
    return [message.data for message in subscription]


def test_a_subscriber_that_raises_stops_nobody_else(bus):
    with bus.subscribe("*", capacity=5) as steady:
        seen = Aside(lambda: [m.data for m in steady])

        def fail() -> None:
            with bus.subscribe("*", capacity=5) as mine:
                for message in mine:
                    if message.data == 3:
                        raise ZeroDivisionError

        failing = Aside(fail)
        until(lambda: len(bus._hub._routes.members) == 2)
        for n in range(50):
            bus.publish("t", n, timeout_seconds=JOIN_SECONDS)
        with pytest.raises(ZeroDivisionError):
            failing.result()
        steady.close()
        assert seen.result() == list(range(50))


def test_now_or_never_and_without_end(bus):
    with bus.subscribe("*", capacity=1) as mine:
        assert bus.publish("t", 1, timeout_seconds=0) == 1
        with pytest.raises(Busy):
            bus.publish("t", 2, timeout_seconds=0)

        async def now() -> None:
            with pytest.raises(Busy):
                bus.publish("t", 2, timeout_seconds=0)  # keeps no event loop waiting
            with pytest.raises(Busy):
                await bus.apublish("t", 2, timeout_seconds=0)

        asyncio.run(now())
        patient = Aside(lambda: bus.publish("t", 3, timeout_seconds=None))
        until(lambda: in_line(mine) == 1)
        assert [mine.get().data, mine.get(JOIN_SECONDS).data] == [1, 3]
        assert patient.result() == 1


def test_a_loop_that_stands_still_holds_up_nobody_behind_it(bus):
    loop = asyncio.new_event_loop()

    async def begin() -> asyncio.Task[int]:
        task = asyncio.ensure_future(bus.apublish("t", 1, timeout_seconds=60))
        await until_there(lambda: in_line(mine) == 1)
        return task

    with bus.subscribe("*", capacity=1) as mine:
        bus.publish("t", 0)
        standing = loop.run_until_complete(begin())
        behind = Aside(lambda: bus.publish("t", 2, timeout_seconds=JOIN_SECONDS))
        until(lambda: in_line(mine) == 2)
        assert mine.get().data == 0
        assert mine.get(JOIN_SECONDS).data == 2
        assert behind.result() == 1
        assert loop.run_until_complete(standing) == 1
    loop.close()


def test_a_handler_within_the_bus_waits_for_nothing_and_is_heard(bus):
    """A signal handler or a finalizer may come in where its own thread has the lock."""
    with bus.subscribe("*", capacity=2) as mine, bus.subscribe("x") as other:
        with bus._hub.mutex:
            assert bus.publish("x", 1) == 2
            other.close()
            late = bus.subscribe("*", name="late")
            assert there(mine) == []
        bus.publish("t", 2)
        assert (there(mine), there(other), there(late)) == ([1, 2], [1], [2])
        late.close()
        with bus._hub.mutex:
            bus.publish("x", 3)
        assert mine.get(JOIN_SECONDS).data == 3  # without anybody who does more
        with bus._hub.mutex:
            bus.close()
        with pytest.raises(Closed):
            mine.get(JOIN_SECONDS)
    for thread in threading.enumerate():
        if thread.name == "holdfast-bus-aside":  # it has nothing left to do but to end
            thread.join(JOIN_SECONDS)


def test_a_forked_process_is_told_at_once_whoever_had_the_lock(bus):
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with bus._hub.mutex:
            held.set()
            over.wait(JOIN_SECONDS)

    def work(say: Callable[[str], None]) -> None:
        for call in (lambda: bus.publish("t", 1), mine.get, bus.subscribe):
            with pytest.raises(Closed, match="forked from"):
                call()
        mine.close()
        bus.close()
        say("told")

    with bus.subscribe("*") as mine:
        holding = Aside(hold)
        held.wait(JOIN_SECONDS)
        worker = Worker(work)
        try:
            assert worker.finish() == ["told"]
        finally:
            over.set()
            worker.close()
            holding.result()
        bus.publish("t", 2)
        assert there(mine) == [2]


# Messages to names that nobody has.


def test_a_direct_message_is_kept_until_somebody_has_the_name(bus):
    assert [bus.send("later", n) for n in range(3)] == [0, 0, 0]
    with bus.subscribe("*", name="other") as other:
        assert there(other) == []
    with bus.subscribe(name="later") as mine:
        bus.send("later", 3)
        assert there(mine) == [0, 1, 2, 3]
    with bus.subscribe(name="later") as again:
        assert there(again) == []


def test_what_is_kept_for_a_name_is_limited_and_told(clock, caplog):
    with Bus(clock=clock, offline=3) as bus:
        for n in range(10):
            bus.send("later", n)
        assert bus.given_up == 7
        with bus.subscribe(name="later", capacity=1) as mine:
            assert mine.missed == 7
            assert there(mine) == [7, 8, 9]
    (told,) = caplog.records
    assert (told.name, told.levelno) == ("holdfast.bus", logging.WARNING)
    assert "'later'" in told.message


def test_what_is_kept_for_a_name_grows_old(clock):
    with Bus(clock=clock, offline_seconds=60) as bus:
        bus.send("later", "old")
        clock.advance(50)
        bus.send("later", "young")
        clock.advance(20)
        with bus.subscribe(name="later") as mine:
            assert there(mine) == ["young"]
            assert (mine.missed, bus.given_up) == (1, 1)


def test_what_grew_old_is_told_whether_its_name_is_touched_or_not(clock, caplog):
    with Bus(clock=clock, offline_seconds=60) as bus:
        for n in range(3):
            bus.send("later", n)
        clock.advance(61)
        bus.publish("t")
        (told,) = caplog.records
        assert "'later'" in told.message
        assert "too old" in told.message
        assert not any(bus._hub.offline._waiting.values())
        bus.send("other", 1)
        clock.advance(61)
        assert bus.given_up == 4
        assert "'other'" in caplog.records[1].message


def test_names_that_something_is_kept_for_are_limited(bus, caplog):
    for n in range(NAMES_MOST + 5):
        bus.send(f"n{n}", n)
    assert len(bus._hub.offline.names()) == NAMES_MOST
    assert bus.given_up == 5
    (told,) = caplog.records
    assert "more than 1,000 names" in told.message
    with bus.subscribe(name="n4") as first, bus.subscribe(name="n5") as fifth:
        assert (there(first), there(fifth)) == ([], [5])


def test_a_subscriber_who_begins_with_more_than_its_capacity_holds_up_others(bus):
    for n in range(5):
        bus.send("later", n)
    with bus.subscribe(name="later", capacity=2) as mine:
        with pytest.raises(Busy):
            bus.send("later", 5, timeout_seconds=0.01)
        assert [mine.get(0).data for _ in range(4)] == [0, 1, 2, 3]
        assert bus.send("later", 5) == 1
        assert there(mine) == [4, 5]


# History.


def test_of_many_topics_no_more_are_remembered_than_is_said(bus, monkeypatch):
    monkeypatch.setattr(routes, "_TOPICS_MOST", 10)
    with bus.subscribe("t*") as mine:
        for n in range(50):
            assert bus.publish(f"t{n}", n) == 1
        assert there(mine) == list(range(50))
        assert len(bus._hub._routes._by_topic) <= 10


def test_the_newest_thousand_messages_can_be_looked_at_again(bus):
    for n in range(1_500):
        bus.publish("even" if n % 2 == 0 else "odd", n)
    newest = bus.history(limit=1_000)
    assert [m.data for m in newest] == list(range(500, 1_500))
    assert [m.data for m in bus.history("odd", limit=2)] == [1_497, 1_499]
    assert len(bus.history()) == 100
    assert len(bus.history(limit=5_000)) == 1_000
    assert len(bus._hub.history) == 1_000


# On an event loop.


async def until_there(so: Callable[[], object]) -> None:
    """Let the event loop go on until something is so."""
    for _ in range(10_000):
        if so():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never was so")


def awaited(work: Callable) -> object:
    """What an async function gives, within the time that tests have."""

    async def main() -> object:
        async with asyncio.timeout(JOIN_SECONDS):
            return await work()

    return asyncio.run(main())


def test_tasks_publish_and_take_without_keeping_the_event_loop(bus):
    async def work() -> tuple[list[object], int]:
        with bus.subscribe("*", capacity=2) as mine:
            ticks = 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    await asyncio.sleep(0)
                    ticks += 1

            async def publish() -> None:
                for n in range(300):
                    await bus.apublish("t", n)
                await bus.asend("me", "direct")
                await bus.abroadcast("all")
                mine.close()

            ticking = asyncio.create_task(tick())
            publishing = asyncio.create_task(publish())
            found = [message.data async for message in mine]
            ticking.cancel()
            await publishing
            return found, ticks

    found, ticks = awaited(work)
    assert found == [*range(300), "all"]
    assert ticks >= 100


def test_a_task_is_given_what_a_thread_publishes_and_holds_it_back(bus):
    async def work() -> list[object]:
        with bus.subscribe("*", capacity=5) as mine:
            publishing = Aside(
                lambda: [
                    bus.publish("t", n, timeout_seconds=JOIN_SECONDS)
                    for n in range(1_000)
                ]
            )
            found = [(await mine.aget()).data for _ in range(1_000)]
            assert publishing.result() == [1] * 1_000
            return found

    assert awaited(work) == list(range(1_000))


def test_aget_says_when_nothing_comes_in_time(bus):
    async def work() -> object:
        with bus.subscribe("*") as mine:
            for seconds in (0, 0.01):
                with pytest.raises(TimedOut):
                    await mine.aget(timeout_seconds=seconds)
            assert hungry(mine) == 0
            bus.publish("t", 1)
            return (await mine.aget(0.01)).data

    assert awaited(work) == 1


def test_a_task_that_is_cancelled_while_it_waits_lets_the_next_go_on(bus):
    async def work() -> None:
        with bus.subscribe("*", capacity=1) as mine:
            bus.publish("t", "first")
            first = asyncio.create_task(bus.apublish("t", "never"))
            second = asyncio.create_task(bus.apublish("t", "last"))
            await until_there(lambda: in_line(mine) == 2)
            assert mine.get(0).data == "first"  # which wakes the first of the two
            first.cancel()
            assert await second == 1
            assert there(mine) == ["last"]
            takers = [asyncio.create_task(mine.aget()) for _ in range(2)]
            await until_there(lambda: hungry(mine) == 2)
            bus.publish("t", "taken")
            takers[0].cancel()
            assert (await takers[1]).data == "taken"

    awaited(work)


def test_apublish_is_told_as_publish_is(bus):
    async def work() -> None:
        with bus.subscribe("*", name="slow", capacity=1) as slow:
            await bus.apublish("t")
            with pytest.raises(Busy, match="'slow'"):
                await bus.apublish("t", timeout_seconds=0.01)
            waiting = asyncio.create_task(bus.apublish("t"))
            await until_there(lambda: in_line(slow))
            bus.close()
            with pytest.raises(Closed):
                await waiting

    awaited(work)


def test_a_bus_and_a_subscription_end_with_async_with():
    async def work() -> None:
        async with Bus() as bus, bus.subscribe("*") as mine:
            bus.publish("t", 1)
            assert (await mine.aget()).data == 1
        for call in (mine.aget, lambda: bus.apublish("t")):
            with pytest.raises(Closed):
                await call()

    asyncio.run(work())


def test_closing_wakes_tasks_too(bus):
    async def work() -> list[object]:
        mine = bus.subscribe("*")
        waiting = asyncio.create_task(mine.aget())
        await until_there(lambda: hungry(mine))
        Aside(bus.close).result()
        with pytest.raises(Closed):
            await waiting
        return [message async for message in mine]

    assert awaited(work) == []


def test_an_event_loop_is_never_kept_waiting(bus):
    async def work() -> None:
        with bus.subscribe("*", capacity=1) as mine:
            bus.publish("t", 1)
            with pytest.raises(Refused, match="await bus.apublish"):
                bus.publish("t", 2)
            assert mine.get().data == 1
            with pytest.raises(Refused, match="aget"):
                mine.get()
            hears_nothing(mine)

    awaited(work)


def test_a_task_that_never_waits_lets_others_on_its_event_loop_go_on(bus):
    async def work() -> int:
        mine = bus.subscribe("*")
        for n in range(1_000):
            bus.publish("t", n)
        mine.close()
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        assert [message.data async for message in mine] == list(range(1_000))
        ticking.cancel()
        return ticks

    assert awaited(work) >= 9


def test_a_loop_that_was_closed_after_its_task_was_woken_holds_nobody_up(bus):
    loop = asyncio.new_event_loop()
    with bus.subscribe("*", capacity=1) as mine:
        bus.publish("t", "first")
        task = loop.create_task(bus.apublish("t", "never"))
        loop.run_until_complete(asyncio.sleep(0))
        assert mine.get(0).data == "first"  # which wakes it
        loop.close()
        bus.publish("t", "second")
        last = Aside(lambda: bus.publish("t", "last", timeout_seconds=JOIN_SECONDS))
        until(lambda: in_line(mine) == 2)
        assert mine.get(0).data == "second"
        assert last.result() == 1
        task._log_destroy_pending = False


def test_a_loop_that_was_closed_while_a_task_waited_holds_nobody_up(bus):
    """Its tasks were never cancelled, and so stand in line for ever."""
    loop = asyncio.new_event_loop()
    with bus.subscribe("*", capacity=1) as mine:
        bus.publish("t", "first")
        left = [loop.create_task(bus.apublish("t", "never"))]
        loop.run_until_complete(asyncio.sleep(0))
        assert mine.get(0).data == "first"
        left.append(loop.create_task(mine.aget()))
        loop.run_until_complete(asyncio.sleep(0.01))
        assert set(there(mine)) <= {"never"}
        left += [loop.create_task(mine.aget()) for _ in range(2)]
        loop.run_until_complete(asyncio.sleep(0.01))
        assert hungry(mine)
        loop.close()
        taking = Aside(lambda: mine.get(JOIN_SECONDS))
        until(lambda: hungry(mine) >= 2)
        bus.publish("t", "last")
        assert taking.result().data == "last"
        for task in left:
            task._log_destroy_pending = False


# With a store, or without; imports.


@pytest.mark.parametrize("place", [":memory:", "file"])
def test_the_bus_of_a_store_in_a_file_or_memory_is_this_process_alone(place, tmp_path):
    target = str(tmp_path / "agent.db") if place == "file" else place
    with holdfast.open(target) as store, Bus(store) as one, Bus(store.aio) as two:
        with one.subscribe("*") as mine, two.subscribe("*") as other:
            one.publish("t", 1)
            assert (there(mine), there(other)) == ([1], [])
        assert one.gaps == ()
        with pytest.raises(Refused):
            Bus(store.as_of(0))


_LOADED = """
import json, sys
from holdfast.runtime import Bus
with Bus() as bus, bus.subscribe("*") as mine:
    bus.publish("t", 1)
    mine.get()
print(json.dumps(sorted(sys.modules)))
"""
_WITHOUT = """
import sys
sys.modules["nats"] = None
from holdfast.runtime import Bus
from holdfast.errors import CannotOpen
try:
    Bus(nats="nats://ada:secret@127.0.0.1:1")
except CannotOpen as error:
    print(error)
"""


def in_a_fresh_python(code: str) -> str:
    source = str(Path(holdfast.__file__).parents[1])
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ended.stdout


@pytest.mark.parametrize("engine", ["memory", "file"])
def test_a_store_that_was_closed_has_no_bus(engine: str, tmp_path: Path) -> None:
    with store_on(engine, tmp_path) as target:
        store = holdfast.open(target)
        store.close()
        with pytest.raises(Closed, match="open it again"):
            Bus(store)


def test_a_bus_of_one_process_loads_nothing_heavy():
    loaded = set(json.loads(in_a_fresh_python(_LOADED)))
    assert "holdfast.runtime.bus.hub" in loaded
    assert loaded & {"asyncio", "psycopg", "nats", "logging"} == set()


def test_without_nats_py_the_line_that_installs_it_is_told():
    said = in_a_fresh_python(_WITHOUT)
    assert "pip install 'holdfast[nats]'" in said
    assert "secret" not in said


def test_an_unknown_name_of_the_runtime_is_told_as_any_other():
    with pytest.raises(AttributeError, match="no attribute 'Buss'"):
        getattr(holdfast.runtime, "Buss")  # noqa: B009


# Frames in pieces.


@given(text=st.text(min_size=150, max_size=400), most=st.integers(100, 300))
def test_a_frame_in_pieces_is_put_together_whole_or_not_at_all(text, most):
    frame = Frame("one.1", "topic", "t", text.encode())
    cut = list(pieces(frame, most))
    assert all(len(piece) <= most for piece in cut)
    assert [piece.decode().encode() for piece in cut] == cut
    together = Together()
    assert [together.add(piece) for piece in cut] == [None] * (len(cut) - 1) + [
        frame.text
    ]
    for gone in range(len(cut)):
        lossy = Together()
        rest = cut[:gone] + cut[gone + 1 :]
        assert all(lossy.add(piece) is None for piece in rest)
        assert [lossy.add(piece) for piece in cut][-1] == frame.text


def test_frames_that_are_never_finished_are_limited():
    together = Together()
    for n in range(1_000):
        first, *_ = pieces(Frame(f"one.{n}", "all", "", b"x" * 500), 200)
        together.add(first)
    assert len(together._begun) == 100


# Under load.


def test_a_hundred_thousand_messages_to_twenty_of_whom_one_is_slow():
    """With `drop`, the slow one misses some, and the others are not slowed."""
    count = 100_000
    with Bus() as bus:
        fast = [bus.subscribe("*", capacity=2 * count) for _ in range(19)]
        slow = bus.subscribe("*", capacity=100, overflow="drop")
        for n in range(count):
            assert bus.publish("t", n, timeout_seconds=0.001) == 20
            if n % 1_000 == 0:
                slow.get(0)
        bus.close()
        for one in fast:
            assert len(one) == count
        assert numbers(fast[0]) == list(range(count))
        seen = numbers(slow)
        assert seen == list(range(count - 100, count))
        assert slow.missed == count - 100 - 100


def numbers(subscription: Subscription) -> list[object]:
    return [message.data for message in subscription]


def test_twenty_threads_lose_nothing_and_hold_the_publisher_to_the_slowest():
    count = 5_000
    with Bus() as bus:
        subscribers = [bus.subscribe("*", capacity=50) for _ in range(20)]
        slow, behind = subscribers[0], []

        def take_slowly() -> list[object]:
            taken = []
            for message in slow:
                taken.append(message.data)
                behind.append(published[0] - message.data)
            return taken

        published = [0]
        takers = [Aside(take_slowly)]
        takers += [Aside(lambda one=one: numbers(one)) for one in subscribers[1:]]
        for n in range(count):
            bus.publish("t", n, timeout_seconds=JOIN_SECONDS)
            published[0] = n
        bus.close()
        for taker in takers:
            assert taker.result() == list(range(count))
        assert max(behind) <= 51
        assert all(one.missed == 0 for one in subscribers)
