"""Events: told, held, found and followed, the same on each engine and face."""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import sqlite3
import stat
import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

import holdfast
from conftest import ENGINES, FACES, store_on
from driving import Driven, driven
from holdfast.clock import ManualClock
from holdfast.errors import (
    Closed,
    HoldfastError,
    InvalidId,
    NotAStore,
    NotStorable,
    Refused,
    TooNew,
    WrongType,
)
from killing import Worker
from postgres import until

OWN = {
    "state:loaded",
    "state:saved",
    "state:save-error",
    "autosave:triggered",
    "shutdown:save",
}


def names(events):
    return [event.name for event in events]


def told(events):
    """What a program told, without what holdfast says of itself."""
    return [(e.name, e.data) for e in events if e.name not in OWN]


def every(store, pattern="*", *, limit=100, **asked):
    """Every event, page by page."""
    found, cursor = [], None
    while True:
        page = store.events.query(pattern, limit=limit, cursor=cursor, **asked)
        assert len(page) <= limit
        found += page
        cursor = page.cursor
        if cursor is None:
            return found


def on_loop(store, call, *args, **kwargs):
    """Call what must be called where an event loop runs, if the store is async."""
    if not isinstance(store, Driven):
        return call(*args, **kwargs)

    async def calling():
        return call._target(*args, **kwargs)

    return driven(store._loop.run_until_complete(calling()), store._loop)


def settle(store, so):
    """Wait until it is so; an event loop runs meanwhile."""
    deadline = time.monotonic() + 20
    while not so():
        assert time.monotonic() < deadline
        if isinstance(store, Driven):
            store._loop.run_until_complete(asyncio.sleep(0.002))
        else:
            time.sleep(0.002)


def threads_gone():
    until(
        lambda: (
            not any(
                thread.name.startswith("holdfast-") for thread in threading.enumerate()
            )
        )
    )


# Telling and finding, on each engine and face.

LEVELS = ["debug", "info", "warning", "error"]
TOLD = [
    {
        "name": ["task:created", "task:done", "agent:said"][number % 3],
        "data": [None, {"task": {"id": f"t{number % 4}", "n": number}}, "é\0"][
            number % 3
        ],
        "session": [None, "s1", "s2"][number % 3],
        "correlation": [None, "c1"][number % 2],
        "source": [None, "bob", "eve", None][number % 4],
        "level": LEVELS[number % 4],
    }
    for number in range(24)
]
ASKED = [
    ({}, lambda e: True),
    ({"pattern": "task:*"}, lambda e: e["name"].startswith("task:")),
    ({"pattern": "*:created"}, lambda e: e["name"] == "task:created"),
    ({"pattern": "agent:said"}, lambda e: e["name"] == "agent:said"),
    ({"pattern": "nothing:*"}, lambda e: False),
    ({"session": "s1"}, lambda e: e["session"] == "s1"),
    ({"correlation": "c1"}, lambda e: e["correlation"] == "c1"),
    ({"source": "bob"}, lambda e: e["source"] == "bob"),
    ({"level": "warning"}, lambda e: e["level"] in {"warning", "error"}),
    (
        {"where": {"task.id": "t1"}},
        lambda e: isinstance(e["data"], dict) and e["data"]["task"]["id"] == "t1",
    ),
    (
        {"pattern": "task:*", "session": "s1", "where": {"task.n": 13}},
        lambda e: isinstance(e["data"], dict) and e["data"]["task"]["n"] == 13,
    ),
    (
        {"correlation": "c1", "session": "s2", "level": "info"},
        lambda e: e["correlation"] == "c1" and e["session"] == "s2",
    ),
]


def test_what_is_told_is_found_in_memory_and_on_disk(store):
    for number, event in enumerate(TOLD):
        store.events.emit(**event)
        if number == 13:
            assert store.events.flush() >= 14
    at_first = [event for event in every(store) if event.name not in OWN]
    assert [
        {
            "name": event.name,
            "data": event.data,
            "session": event.session,
            "correlation": event.correlation,
            "source": event.source,
            "level": event.level,
        }
        for event in at_first
    ] == TOLD
    assert all(a.at < b.at for a, b in pairwise(at_first))
    assert len({event.id for event in at_first}) == len(TOLD)
    for flushed in (False, True):
        if flushed:
            store.events.flush()
        for asked, means in ASKED:
            wanted = [e for e, so in zip(at_first, TOLD, strict=True) if means(so)]
            found = [e for e in every(store, limit=5, **asked) if e.name not in OWN]
            assert found == wanted, asked
            back = every(store, limit=5, newest_first=True, **asked)
            assert [e for e in back if e.name not in OWN] == wanted[::-1], asked
            if "pattern" in asked or "where" in asked:
                recent = store.events.recent(**asked)
                assert list(recent) == wanted[::-1], asked
    begin, end = at_first[5].at, at_first[9].at
    assert every(store, since=begin, until=end, limit=2) == at_first[5:9]
    assert (
        every(store, since=begin, until=end, limit=2, newest_first=True)
        == at_first[5:9][::-1]
    )
    chained = [e for e, so in zip(at_first, TOLD, strict=True) if so["correlation"]]
    assert list(store.events.chain("c1")) == chained
    first = store.events.chain("c1", limit=7)
    rest = store.events.chain("c1", cursor=first.cursor)
    assert [*first, *rest] == chained


def test_memory_and_disk_are_one_sequence_whatever_the_page(store):
    wanted = []
    for number in range(30):
        store.events.emit("count:up", number)
        wanted.append(number)
        if number in {7, 8, 21}:
            store.events.flush()
    for size in (1, 2, 3, 7, 29, 30, 31):
        for back in (False, True):
            found = every(store, "count:*", limit=size, newest_first=back)
            got = [event.data for event in found]
            assert got == (wanted[::-1] if back else wanted), (size, back)
    with pytest.raises(InvalidId):
        store.events.query(cursor="?")


def test_an_owner_sees_its_own_alone(store):
    ada = store.owned_by("ada")
    follower = on_loop(store, ada.events.follow)
    for flushed in (False, True):
        store.events.emit("a:b", "mine", correlation="c", session="s")
        ada.events.emit("a:b", "hers", correlation="c", session="s")
        if flushed:
            store.events.flush()
        count = 2 if flushed else 1
        for asked in ({}, {"pattern": "a:b"}, {"session": "s"}, {"pattern": "a:*"}):
            assert told(every(ada, **asked)) == [("a:b", "hers")] * count, asked
            assert told(every(store, **asked)) == [("a:b", "mine")] * count, asked
        assert told(ada.events.chain("c")) == [("a:b", "hers")] * count
        assert told(ada.events.recent()) == [("a:b", "hers")] * count
        assert next(follower).owner == "ada"
    assert set(names(every(ada))) == {"a:b"}
    follower.close()


class Strange:
    """What JSON knows nothing of."""


ROUND: list = []
ROUND.append(ROUND)
DEEP: list = []
for _ in range(5_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "bad",
    [
        {1, 2},
        Strange(),
        float("nan"),
        float("inf"),
        b"bytes",
        "\ud800",
        {1: "a key"},
        {"deep": [{"in": Strange()}]},
        datetime(2026, 1, 1, tzinfo=UTC),
        (x for x in "ab"),
        ROUND,
        DEEP,
        [*["long enough not to be short"] * 50, {3}],
    ],
    ids=lambda bad: type(bad).__name__,
)
def test_data_that_cannot_be_stored_are_refused_and_cost_nobody_else(bad):
    with holdfast.open(":memory:") as store:
        store.events.emit("ok:first", 1)
        with pytest.raises(NotStorable):
            store.events.emit("bad:data", bad)
        with (
            pytest.raises(NotStorable),
            store.transaction() as tx,
        ):
            tx.events.emit("ok:undone")
            tx.events.emit("bad:data", bad)
        store.events.emit("ok:second", 2)
        store.events.flush()
        assert told(every(store)) == [("ok:first", 1), ("ok:second", 2)]
        assert store.events.figures().lost == 0


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"name": ""}, InvalidId),
        ({"name": "two words"}, InvalidId),
        ({"name": "x" * 65}, InvalidId),
        ({"name": "a:\x1b[31m"}, InvalidId),
        ({"name": 7}, WrongType),
        ({"name": None}, WrongType),
        ({"name": ["a"]}, WrongType),
        ({"level": "loud"}, WrongType),
        ({"level": ["info"]}, WrongType),
        ({"session": ""}, InvalidId),
        ({"session": 7}, WrongType),
        ({"correlation": "\0"}, InvalidId),
        ({"source": ["x"]}, WrongType),
    ],
    ids=str,
)
def test_names_and_ids_are_checked(bad, error):
    with holdfast.open(":memory:") as store:
        asked = {"name": "a:b", **bad}
        with pytest.raises(error):
            store.events.emit(**asked)
        with pytest.raises(error), store.transaction() as tx:
            tx.events.emit(**asked)
        assert store.events.recent("a*") == ()
        longest = "x" * 64
        store.events.emit(longest)
        assert names(store.events.recent("x*")) == [longest]


def test_large_texts_are_cut_and_say_what_they_were(store):
    long = "é" * 1_001
    cut = {
        "stripped": long[:1_000],
        "length": 1_001,
        "sha256": hashlib.sha256(long.encode()).hexdigest(),
    }
    store.events.emit("a:text", long)
    store.events.emit("a:inner", {"list": [long, "short", 7]})
    store.events.emit("a:fits", long[1:])
    store.events.emit("a:whole", {"text": long * 300}, whole=True)
    many = {f"k{n}": "x" * 900 for n in range(120)}
    store.events.emit("a:many", many)
    with store.transaction() as tx:
        tx.events.emit("a:told", long)
        tx.events.emit("a:told-whole", long, whole=True)
    text = json.dumps(many, separators=(",", ":"))
    wanted = {
        "a:text": cut,
        "a:inner": {"list": [cut, "short", 7]},
        "a:fits": long[1:],
        "a:whole": {"text": long * 300},
        "a:many": {
            "stripped": text[:1_000],
            "length": len(text),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        },
        "a:told": cut,
        "a:told-whole": long,
    }
    for _ in range(2):
        assert dict(told(every(store, "a:*"))) == wanted
        store.events.flush()


def test_what_is_told_is_what_it_was_then(store):
    data = {"list": [1]}
    store.events.emit("a:now", data)
    with store.transaction() as tx:
        tx.events.emit("a:tx", data)
        data["list"].append(2)
    assert told(every(store, "a:*")) == [
        ("a:now", {"list": [1]}),
        ("a:tx", {"list": [1]}),
    ]


# Within transactions.


def test_a_transaction_tells_at_its_commit_or_never(store):
    begun = store.moment()
    with store.transaction("me", "why") as tx:
        tx.events.emit("tx:first", {"n": 1}, session="s", correlation="c")
        with contextlib.suppress(ZeroDivisionError), tx.savepoint():
            tx.events.emit("tx:undone")
            with tx.savepoint():
                tx.events.emit("tx:undone-too")
            raise ZeroDivisionError
        with tx.savepoint():
            tx.events.emit("tx:kept", source="other")
        assert store.events.recent("tx:*") == ()
    with contextlib.suppress(ZeroDivisionError), store.transaction() as tx:
        tx.tasks.create("never", id="never")
        tx.events.emit("tx:never")
        raise ZeroDivisionError
    assert store.moment() == begun  # events alone are no change of the state
    store.tasks.create("the next", id="next")
    found = every(store, "tx:*")
    assert told(found) == [("tx:first", {"n": 1}), ("tx:kept", None)]
    assert [event.source for event in found] == ["me", "other"]
    assert (found[0].session, found[0].correlation) == ("s", "c")
    assert [event.data["id"] for event in every(store, "task:*")] == ["next"]


def test_what_a_transaction_tells_is_its_owners(store):
    ada = store.owned_by("ada")
    with ada.transaction() as tx:
        tx.events.emit("tx:hers")
        tx.tasks.create("hers", id="t")
    assert names(every(ada)) == ["tx:hers", "task:created"]
    assert not {"tx:hers", "task:created"} & set(names(every(store)))


def test_tasks_tell_of_themselves(store):
    store.tasks.create("do it", id="t1")
    store.tasks.start("t1")
    store.tasks.progress("t1", 3)
    store.tasks.log("t1", "half of it")
    store.tasks.complete("t1", {"so": True})
    store.tasks.delete("t1")
    with contextlib.suppress(ZeroDivisionError), store.transaction() as tx:
        tx.tasks.create("undone")
        raise ZeroDivisionError
    with pytest.raises(holdfast.errors.NotFound):
        store.tasks.log("t1", "too late")
    found = every(store, "task:*")
    assert names(found) == [
        "task:created",
        "task:updated",
        "task:progress",
        "task:log",
        "task:updated",
        "task:deleted",
    ]
    assert {event.data["id"] for event in found} == {"t1"}
    statuses = [event.data.get("status") for event in found]
    assert statuses[0] == "pending"
    assert statuses[1] == "in_progress"
    assert statuses[4] == "completed"


def test_units_that_share_a_commit_tell_each_for_itself(path):
    """Of many that are committed together, those that fail tell nothing."""

    def unit(tx, number):
        tx.events.emit("unit:ran", number)
        tx.tasks.create("it", id=f"t{number}")
        if number % 3 == 0:
            tx.tasks.get("nowhere")

    async def work(store):
        calls = (store.run(unit, number) for number in range(30))
        return await asyncio.gather(*calls, return_exceptions=True)

    with holdfast.open(path) as store:
        results = asyncio.run(work(store.aio))
        failed = [n for n, result in enumerate(results) if result is not None]
        assert failed == list(range(0, 30, 3))
        kept = sorted(set(range(30)) - set(failed))
        assert sorted(e.data for e in every(store, "unit:*")) == kept
        ids = sorted(e.data["id"] for e in every(store, "task:*"))
        assert ids == sorted(f"t{number}" for number in kept)


# Following and being called.


def test_a_follower_is_told_of_what_comes(store):
    store.events.emit("a:before", 0)
    before = every(store, "a:*")[0].at
    live = on_loop(store, store.events.follow, "a:*")
    whole = on_loop(store, store.events.follow, "a:*", since=before)
    narrow = on_loop(store, store.events.follow, where={"n": 2}, session="s")
    for number in (1, 2, 3):
        store.events.emit("a:after", {"n": number}, session="s")
        store.events.emit("b:other", {"n": number})
    assert [next(live).data["n"] for _ in range(3)] == [1, 2, 3]
    assert next(narrow).data["n"] == 2
    assert next(whole).name == "a:before"
    assert [next(whole).data["n"] for _ in range(2)] == [1, 2]
    store.events.flush()
    store.events.emit("a:after", {"n": 4})
    assert next(live).data["n"] == 4
    assert [next(whole).data["n"] for _ in range(2)] == [3, 4]
    assert live.missed == whole.missed == 0
    for number in (5, 6):
        store.events.emit("a:after", {"n": number})
    assert next(whole).data["n"] == 5
    whole.close()  # it has the next one already, and gives it no more
    whole.close()
    with pytest.raises(StopIteration):
        next(whole)
    with narrow:
        pass
    with pytest.raises(StopIteration):
        next(narrow)


def test_a_callback_is_called_in_order_and_what_it_raises_stops_nothing(store, caplog):
    seen, quiet, others = [], [], []

    def callback(event):
        seen.append((event.name, event.data))
        if event.data == 2:
            raise ZeroDivisionError("its own")

    async def coroutine(event):
        await asyncio.sleep(0)
        callback(event)

    made = coroutine if isinstance(store, Driven) else callback
    stop = on_loop(store, store.on, "a:*", made)
    stop_other = on_loop(store, store.on, "*", others.append)
    stop_quiet = on_loop(store, store.owned_by("ada").on, "*", quiet.append)
    for number in range(5):
        store.events.emit("a:n", number)
        store.events.emit("b:n", number)
    settle(store, lambda: len(seen) == 5 and len(told(others)) == 10)
    stop()
    stop()
    store.events.emit("a:n", 5)
    settle(store, lambda: len(told(others)) == 11)
    assert seen == [("a:n", number) for number in range(5)]
    assert quiet == []
    said = [r for r in caplog.records if r.name == "holdfast.events" and r.exc_info]
    assert [r.exc_info[0] for r in said] == [ZeroDivisionError]
    for end in (stop_other, stop_quiet):
        end()
    settle(store, lambda: True)
    with pytest.raises(WrongType):
        on_loop(store, store.on, "*", "no function")
    if not isinstance(store, Driven):
        threads_gone_but(store)


def threads_gone_but(store):
    """Those that called back have ended."""
    until(
        lambda: (
            not any(
                thread.name == "holdfast-listener" for thread in threading.enumerate()
            )
        )
    )


def test_a_slow_callback_misses_and_the_log_says_so(caplog):
    """It is told of what is still in memory when it comes to it; nobody waits."""
    go, seen = threading.Event(), []

    def slow(event):
        seen.append(event.data)
        assert go.wait(20)

    limits = holdfast.Limits(event_ring=10)
    with holdfast.open(":memory:", limits=limits) as store:
        store.on("a:*", slow)
        store.events.emit("a:n", 0)
        until(lambda: seen == [0])
        for number in range(1, 101):
            store.events.emit("a:n", number)
        go.set()
        until(lambda: seen[-1] == 100)
        assert seen == [0, *range(91, 101)]
    threads_gone()
    assert "too slow for 90 events" in caplog.text


def test_what_happened_comes_again_at_its_pace(store, clock):
    for number in range(3):
        store.events.emit("a:n", number)
        clock.advance(1)
    since = every(store, "a:*")[0].at
    began = time.monotonic()
    came = [
        (event.data, time.monotonic() - began)
        for event in store.events.replay(since, pattern="a:*", speed=10.0)
    ]
    assert [data for data, _ in came] == [0, 1, 2]
    assert all(late >= 0.1 * data for data, late in came)
    began = time.monotonic()
    found = list(store.events.replay(since, pattern="a:*", speed=None))
    assert [event.data for event in found] == [0, 1, 2]
    assert time.monotonic() - began < 1
    with pytest.raises(WrongType):
        list(store.events.replay(since, speed=0))


def test_an_export_comes_back_equal(store, clock, tmp_path):
    for number in range(5):
        store.events.emit("a:n", {"n": number, "é": "\n"}, session="s", source="bob")
        if number == 2:
            store.events.flush()
        clock.advance(43_200)
    found = every(store, "a:*")
    report = store.events.export_to(tmp_path / "out", pattern="a:*")
    assert (report.events, len(report.files)) == (5, 3)
    read = []
    for file in sorted((tmp_path / "out").iterdir()):
        day = file.name.removeprefix("events-").removesuffix(".jsonl")
        for line in file.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            assert event["at"].startswith(day)
            read.append(event)
    assert [
        (e["id"], e["name"], e["data"], e["session"], e["source"], e["level"])
        for e in read
    ] == [(e.id, e.name, e.data, e.session, e.source, e.level) for e in found]


# How much is kept.


def test_what_is_too_old_is_trimmed(store, clock):
    ada = store.owned_by("ada")
    for day in range(5):
        store.events.emit("a:day", day)
        ada.events.emit("a:day", day)
        clock.advance(86_400)
    store.events.flush()
    kept = store.events.keep(max_age_seconds=2.5 * 86_400)
    assert (kept.max_age_seconds, kept.max_bytes) == (216_000, 1_000_000_000)
    assert store.events.policy() == kept
    report = store.events.trim()
    assert report.events == 7  # of two owners; and of the store, that it was opened
    assert [e.data for e in every(store, "a:*")] == [3, 4]
    assert [e.data for e in every(ada, "a:*")] == [3, 4]
    assert store.events.trim().events == 0


def test_what_is_too_much_is_trimmed_the_oldest_first(store, clock):
    for minute in range(6):
        for _ in range(10):
            store.events.emit("a:n", {"minute": minute, "text": "x" * 900})
        clock.advance(60)
    store.events.flush()
    store.events.keep(max_bytes=35_000)
    store.events.trim()
    left = [event.data["minute"] for event in every(store, "a:*")]
    assert left == [3] * 10 + [4] * 10 + [5] * 10
    store.events.keep(max_bytes=0)
    store.events.trim()
    left = [event.data["minute"] for event in every(store, "a:*")]
    assert left == [5] * 10  # the newest minute stays, however much it has
    clock.advance(60)
    store.events.emit("a:n", {"minute": 9})
    store.events.flush()
    store.events.trim()
    assert [e.data["minute"] for e in every(store, "a:*")] == [9]


def test_what_is_old_goes_by_itself_in_slices(path):
    clock = ManualClock()
    with holdfast.open(path, clock=clock) as store:
        for number in range(5_000):
            store.events.emit("a:old", number)
        store.events.flush()
        clock.advance(31 * 86_400)
        store.events.emit("a:new")
    steps = []
    with holdfast.open(path, clock=clock) as store:
        store.events.emit("a:newer")

        def left():
            steps.append(len(every(store, "a:old", limit=1_000)))
            return steps[-1] == 0

        until(left)
        assert names(every(store, "a:*")) == ["a:new", "a:newer"]
        assert {step % 1_000 for step in steps} <= {0, 1}, steps


# Holdfast's own events.


def test_a_store_tells_of_itself(path):
    limits = holdfast.Limits(event_seconds=0.05)
    with holdfast.open(path, limits=limits) as store:
        store.events.emit("a:b")
        until(lambda: store.events.figures().waiting == 0)
        for number in range(10):
            store.tasks.create("it", id=f"t{number}")
        until(lambda: names(every(store, "autosave:*")))
        time.sleep(1.01)
        store.tasks.create("late", id="late")
    with holdfast.open(path) as store:
        found = every(store)
        assert names(found).count("state:loaded") == 2
        (ended,) = [e for e in found if e.name == "shutdown:save"]
        saved = [e for e in found if e.name == "state:saved"]
        assert sum(event.data["commits"] for event in saved) == 11
        assert 2 <= len(saved) <= 3
        assert all(b.at - a.at > timedelta(seconds=0.9) for a, b in pairwise(saved[:2]))
        autosaves = [e for e in found if e.name == "autosave:triggered"]
        assert {e.level for e in autosaves} == {"debug"}
        assert all(e.data["waiting"] >= 1 for e in autosaves)
        loaded = next(e for e in found if e.name == "state:loaded")
        assert (loaded.data, loaded.level) == ({"place": path}, "info")
        assert loaded.at < min(e.at for e in autosaves) < ended.at


def test_of_a_store_to_which_nobody_emits_no_file_is_made(path, tmp_path):
    with holdfast.open(path) as store:
        store.sessions.create("it", id="s")
        stop = store.on("*", print)
        ours = ["state:loaded", "state:saved"]
        assert names(store.events.recent("state:*"))[::-1] == ours
        assert names(every(store, "state:*")) == ours
        assert store.events.query(where={"commits": 1}, newest_first=True)
        store.events.policy()
        began = datetime(2020, 1, 1, tzinfo=UTC)
        with store.events.follow("state:*", since=began) as following:
            assert next(following).name == "state:loaded"
        stop()
        time.sleep(0.1)
    threads_gone()
    assert [file for file in os.listdir(tmp_path) if "events" in file] == []


def test_what_came_before_the_first_event_is_kept_with_it(path):
    with holdfast.open(path) as store:
        store.tasks.create("it", id="t")
        store.events.emit("a:b")
    with holdfast.open(path) as store:
        assert {"state:loaded", "task:created", "a:b", "shutdown:save"} <= set(
            names(every(store))
        )


def test_its_file_is_its_users_alone(path, tmp_path):
    with holdfast.open(path) as store:
        store.events.emit("a:b")
        store.events.flush()
        files = [f for f in tmp_path.iterdir() if "events" in f.name]
        assert {f.name for f in files} >= {"agent.db-events", "agent.db-events-wal"}
        assert {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o600}


def test_as_of_a_moment_and_read_only_nothing_is_taken_in(store):
    store.tasks.create("it", id="t")
    past = store.as_of(store.moment())
    for call in (
        lambda: past.events.emit("a:b"),
        past.events.query,
        lambda: past.events.chain("c"),
        past.events.recent,
        lambda: on_loop(store, past.events.follow),
        lambda: on_loop(store, past.on, "*", print),
    ):
        with pytest.raises(Refused):
            call()
    assert every(store, "a:*") == []


def test_a_store_that_is_open_read_only_shows_events_and_takes_none(path):
    with holdfast.open(path) as store:
        store.events.emit("a:b", 1)
    with holdfast.open(path, read_only=True) as store:
        for write in (
            lambda: store.events.emit("a:b"),
            store.events.flush,
            lambda: store.events.keep(max_bytes=1),
            store.events.trim,
        ):
            with pytest.raises(Refused):
                write()
        assert told(every(store, "a:*")) == [("a:b", 1)]
        with holdfast.open(path) as writing:
            follower = store.events.follow("a:*")
            writing.events.emit("a:b", 2)
            writing.events.flush()
            assert next(follower).data == 2


def test_within_a_transaction_only_emit_is_there(store):
    with store.transaction() as tx:
        tx.events.emit("a:b")
        for call in (
            tx.events.query,
            lambda: tx.events.chain("c"),
            tx.events.policy,
        ):
            with pytest.raises(Refused):
                call()
        store.events.emit("a:at-once")
        assert names(every(store, "a:*")) == ["a:at-once"]
    assert names(every(store, "a:*")) == ["a:at-once", "a:b"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("face", FACES)
def test_the_end_of_a_store_ends_its_followers_and_takes_nothing_in(
    tmp_path, loop, engine, face
):
    with store_on(engine, tmp_path) as target:
        opened = holdfast.open(target)
        store = opened if face == "sync" else Driven(opened.aio, loop)
        live = on_loop(store, store.events.follow, "a:*")
        on_loop(store, store.on, "*", id)
        store.events.emit("a:b")
        assert next(live).name == "a:b"
        store.close()
        with pytest.raises(StopIteration):
            next(live)
        for call in (
            lambda: store.events.emit("a:c"),
            store.events.flush,
            store.events.query,
            lambda: store.events.chain("c"),
        ):
            with pytest.raises(Closed):
                call()
        settle(store, lambda: not asyncio.all_tasks(loop))
    threads_gone()


# What else may be in its place.


def strange_text(file):
    file.write_text("no database, but more than one page of text\n" * 200)


def strange_database(file):
    with contextlib.closing(sqlite3.connect(file)) as made, made:
        made.execute("create table other (x)")
        made.execute("insert into other values (1)")


def newer(file):
    with holdfast.open(str(file).removesuffix("-events")) as store:
        store.events.emit("a:old")
    with contextlib.closing(sqlite3.connect(file)) as made, made:
        made.execute("pragma user_version = 99")


@pytest.mark.parametrize(
    ("make", "error"),
    [(strange_text, NotAStore), (strange_database, NotAStore), (newer, TooNew)],
)
def test_a_file_that_is_none_of_ours_stays_as_it_was(
    path, tmp_path, caplog, make, error
):
    file = tmp_path / "agent.db-events"
    make(file)
    before = file.read_bytes()
    limits = holdfast.Limits(event_seconds=0.02)
    with holdfast.open(path, limits=limits) as store:
        store.tasks.create("it", id="t")
        for number in range(150):
            store.events.emit("a:n", number)
        with pytest.raises(error, match="left as it was"):
            store.events.flush()
        with pytest.raises(error):
            store.events.query()
        assert [e.data for e in store.events.recent("a:*", limit=1)] == [149]
        until(lambda: "cannot be written for now" in caplog.text)
        store.tasks.start("t")
    assert "could not be written when" in caplog.text
    assert file.read_bytes() == before
    with holdfast.open(path) as store:
        assert store.tasks.get("t").status == "in_progress"
        assert store.check().problems == ()


def test_a_file_that_another_process_is_making_has_nothing_in_it_yet(path, tmp_path):
    """It is there, and its tables are not."""
    with contextlib.closing(sqlite3.connect(tmp_path / "agent.db-events")) as making:
        making.execute("pragma journal_mode = wal")
        with holdfast.open(path) as store:
            assert store.events.query() is not None
            follower = store.events.follow(
                "a:*", since=datetime(2020, 1, 1, tzinfo=UTC)
            )
            store.events.emit("a:n", 1)
            assert next(follower).data == 1
            store.events.flush()
            store.events.emit("a:n", 2)
            assert next(follower).data == 2
            assert told(every(store, "a:*")) == [("a:n", 1), ("a:n", 2)]


# Several at once.


@pytest.mark.parametrize("place", ["memory", "file"])
def test_pages_are_whole_while_events_come_and_are_written(place, path):
    """Whatever the page, and whichever way: each once, in order, none left out."""
    count = 3_000
    limits = holdfast.Limits(event_batch=20, event_ring=50)
    target = ":memory:" if place == "memory" else path
    with holdfast.open(target, limits=limits) as store:

        def emits():
            for number in range(count):
                store.events.emit("count:up", number)
                if number % 5 == 0:
                    time.sleep(0.0002)

        thread = threading.Thread(target=emits)
        thread.start()
        looks = 0
        while thread.is_alive() or looks < 6:
            size = (1_000, 100, 17)[looks // 2 % 3]
            back = looks % 2 == 1
            (newest,) = store.events.query("count:*", newest_first=True, limit=1) or (
                None,
            )
            asked = {} if newest is None else {"until": newest.at}
            found = every(store, "count:*", limit=size, newest_first=back, **asked)
            got = [event.data for event in found]
            if back:
                got.reverse()
            assert got == list(range(len(got))), (size, back)
            assert newest is None or len(got) == newest.data
            looks += 1
        thread.join()
        got = [event.data for event in every(store, "count:*", limit=997)]
        assert got == list(range(count))


def test_two_stores_and_two_processes_see_each_others(path):
    def emits(say):
        with holdfast.open(path) as store:
            follower = store.events.follow("go:*")
            say("ready")
            next(follower)
            for number in range(300):
                store.events.emit("child:n", number)
        say("done")

    child = Worker(emits)
    try:
        child.wait_for(1)
        with holdfast.open(path) as one, holdfast.open(path) as two:
            follower = two.events.follow("*:n")
            one.events.emit("go:on")
            for number in range(300):
                one.events.emit("one:n", number)
                two.events.emit("two:n", number)
            seen = [next(follower) for _ in range(900)]
            for name in ("child:n", "one:n", "two:n"):
                got = [event.data for event in seen if event.name == name]
                assert got == list(range(300)), name
            one.events.flush()
            both = [every(store, "*:n", limit=1_000) for store in (one, two)]
            assert both[0] == both[1]
            assert len(both[0]) == len({event.id for event in both[0]}) == 900
            assert {event.id for event in both[0]} == {event.id for event in seen}
        child.finish()
    finally:
        child.close()


def test_many_processes_may_make_the_file_at_once(path):
    with holdfast.open(path):
        pass
    begin = time.time() + 0.3

    def emits(say):
        with holdfast.open(path) as store:
            time.sleep(max(0, begin - time.time()))
            store.events.emit("a:first")
            store.events.flush()

    children = [Worker(emits) for _ in range(4)]
    try:
        for child in children:
            child.finish()
    finally:
        for child in children:
            child.close()
    with holdfast.open(path) as store:
        assert len(every(store, "a:first")) == 4


def test_a_fork_leaves_its_parents_events_alone(path):
    with holdfast.open(path) as store:
        store.events.emit("a:parent", 1)  # waits for the disk, in the parent

        def forked(say):
            for call in (lambda: store.events.emit("a:child"), store.events.flush):
                with pytest.raises(HoldfastError):
                    call()
            store.close()

        child = Worker(forked)
        try:
            child.finish()
        finally:
            child.close()
        store.events.emit("a:parent", 2)
        store.events.flush()
        assert told(every(store, "a:*")) == [("a:parent", 1), ("a:parent", 2)]


def test_a_clock_that_goes_back_turns_no_order_round(path):
    clock = ManualClock()
    with holdfast.open(path, clock=clock) as store:
        for number in range(10):
            store.events.emit("a:n", number)
            clock.advance(-5)
            if number % 3 == 0:
                store.events.flush()
        assert [event.data for event in every(store, "a:*", limit=3)] == [*range(10)]


def test_a_follower_in_memory_rests_while_nothing_comes():
    """One that read what it had written itself woke itself, for ever."""
    with holdfast.open(":memory:") as store:
        store.events.emit("a:b", 1)
        store.events.flush()
        seen = []
        stop = store.on("a:*", seen.append)
        store.events.emit("a:b", 2)
        store.events.flush()
        until(lambda: seen)
        began = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - began < 0.15
        stop()
    threads_gone()


def test_errors_in_the_log_name_no_program(caplog):
    """A store that is closed with a follower still open says nothing."""
    with holdfast.open(":memory:") as store, caplog.at_level(logging.DEBUG):
        follower = store.events.follow()
        store.events.emit("a:b")
        next(follower)
    assert [r for r in caplog.records if r.name.startswith("holdfast")] == []
