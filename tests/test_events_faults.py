"""What goes wrong around events: what was told is kept, or said to be lost.

The faults of those that came before, each by its name: "stopping drops events that are
still queued", "one event that cannot be written loses its whole batch". Then what
happens to everyone: a kill, a full disk, an answer that is lost, a slow reader.
"""

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import threading
import time
from urllib.parse import parse_qs, urlsplit

import apsw
import psycopg
import pytest

import holdfast
from broken_disk import BrokenDisk
from conftest import place_on
from holdfast.errors import (
    Closed,
    HoldfastError,
    NotAStore,
    StorageFailed,
    StorageFull,
    TimedOut,
    Unreachable,
)
from killing import Worker
from losing import Breaker, send_only
from postgres import Server, empty_store, shared_url, until
from test_events import every, names, threads_gone, told

on_both = pytest.mark.parametrize("engine", ["file", "postgres"])


def numbers(store, pattern):
    return [event.data for event in every(store, pattern, limit=1_000)]


# "Stopping drops events that are still queued".


@on_both
def test_closing_keeps_all_that_was_told_by_any_thread(tmp_path, engine):
    kept = [[] for _ in range(4)]

    def emits(store, mine, name):
        with contextlib.suppress(Closed):
            for number in range(1_000_000):
                store.events.emit(name, number)
                mine.append(number)

    with place_on(engine, tmp_path) as target:
        store = holdfast.open(target)
        threads = [
            threading.Thread(target=emits, args=(store, mine, f"t{nth}:n"))
            for nth, mine in enumerate(kept)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        store.close()
        for thread in threads:
            thread.join()
        assert store.events.figures().lost == 0
        with holdfast.open(target) as store:
            ends = [
                store.events.query(f"t{nth}:n", newest_first=True, limit=1)[0].data
                for nth in range(4)
            ]
            assert ends == [mine[-1] for mine in kept]
            figures = store.events.stats(since=None).by_name
            counts = [figures[f"t{nth}:n"].count for nth in range(4)]
            assert counts == [len(mine) for mine in kept]


ENDS = {
    "falls off its end": "",
    "exits": "sys.exit(0)",
    "raises": "raise SystemExit(0)",
    "ends in a thread": "threading.Thread(target=emit, args=(500, 1_000)).start()",
}


@pytest.mark.parametrize("how", ENDS)
def test_a_program_that_never_closes_loses_nothing_at_its_end(path, how):
    program = f"""
import sys, threading
import holdfast
store = holdfast.open({path!r})
def emit(begin, end):
    for number in range(begin, end):
        store.events.emit("a:n", number)
emit(0, 500)
{ENDS[how]}
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
    with holdfast.open(path) as store:
        assert numbers(store, "a:n") == list(range(1_000 if "thread" in how else 500))


def test_closing_on_a_full_disk_ends_and_says_what_was_lost(disk, path, caplog):
    with holdfast.open(disk.target(path)) as store:
        store.events.emit("a:n", 0)
        store.events.flush()
        disk.full = True
        for number in range(1, 501):
            store.events.emit("a:n", number)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    disk.full = False
    assert "events could not be written when" in caplog.text
    with holdfast.open(path) as store:
        assert numbers(store, "a:n") == [0]


# "One event that cannot be written loses its whole batch".

REFUSED_BY_FILE = """
    create trigger refuses before insert on event when new.name = 'bad:one'
    begin select raise(abort, 'not this one'); end
"""
REFUSED_BY_SERVER = """
    create function refuses() returns trigger language plpgsql as $$
    begin
        if new.name = 'bad:one' then raise exception 'not this one'; end if;
        return new;
    end $$;
    create trigger refuses before insert on event
        for each row execute function refuses();
"""


@on_both
@pytest.mark.parametrize("bad", [(3,), (0, 1, 50, 98, 99), range(0, 100, 2)], ids=len)
def test_an_event_that_cannot_be_written_costs_itself_alone(
    tmp_path, engine, bad, caplog
):
    with place_on(engine, tmp_path) as target, holdfast.open(target) as store:
        store.events.flush()
        refuse(engine, target, tmp_path)
        for number in range(100):
            name = "bad:one" if number in bad else "ok:one"
            store.events.emit(name, number)
        until(lambda: store.events.figures().waiting == 0)
        rest = [number for number in range(100) if number not in bad]
        assert numbers(store, "ok:*") == rest
        assert every(store, "bad:*") == []
        assert store.events.figures().lost == len(bad)
        assert caplog.text.count("'bad:one' cannot be written") == len(bad)
        store.events.emit("ok:two")
        store.events.flush()
        assert len(every(store, "ok:two")) == 1


def refuse(engine, target, folder):
    if engine == "file":
        with contextlib.closing(apsw.Connection(str(folder / "agent.db-events"))) as db:
            db.execute(REFUSED_BY_FILE)
    else:
        (schema,) = parse_qs(urlsplit(target).query)["schema"]
        asked = f"-c search_path={schema}"
        with psycopg.connect(shared_url(), options=asked, autocommit=True) as opened:
            opened.execute(REFUSED_BY_SERVER)


# Killed.

KILLS = 3
SLACK_SECONDS = 0.5
"""For a machine that is busy with other tests; the promise is a second."""


@pytest.mark.parametrize("pause_seconds", [0.0004, 0.03], ids=["fast", "slow"])
def test_a_kill_loses_at_most_the_last_second(path, pause_seconds):
    """Measured in 24 kills: of 2,000 a second 43 to 250 events, those of the last 0.02
    to 0.15 s; of 33 a second 4 to 23, those of the last 0.09 to 0.69 s.

    And a follower in another process sees each that is there, once, and those of one
    writer in their order.
    """
    follower, seen = Worker(following(path)), []
    try:
        follower.wait_for(1)
        for kill in range(KILLS):
            name = f"k{kill}:n"
            child = Worker(emitting(path, name, pause_seconds))
            try:
                child.wait_for(round((0.2 + 0.35 * kill) / pause_seconds))
                killed_at = time.time()
                said = child.kill()
            finally:
                child.close()
            with holdfast.open(path) as store:
                there = numbers(store, name)
            seen += [f"{name} {number}" for number, _ in there]
            assert [number for number, _ in there] == list(range(len(there)))
            lost = [float(line.split()[1]) for line in said[len(there) :]]
            assert not lost or lost[0] > killed_at - 1 - SLACK_SECONDS
        follower.wait_for(1 + len(seen))
        time.sleep(0.1)  # what it saw twice would come now
        assert sorted(follower.kill()[1:], key=_in_order) == seen
    finally:
        follower.close()


def _in_order(line):
    """Sorts writers, and leaves what each wrote as it was."""
    return line.partition(" ")[0]


def following(path):
    """What follows everyone's, and says what it sees."""

    def work(say):
        with holdfast.open(path) as store:
            store.events.emit("follower:came")
            store.events.flush()
            follower = store.events.follow("k*")
            say("ready")
            for event in follower:
                say(f"{event.name} {event.data[0]}")

    return work


def emitting(path, name, pause_seconds):
    """What emits for ever, and says so of each event once it was told."""

    def work(say):
        with holdfast.open(path) as store:
            number = 0
            while True:
                now = time.time()
                store.events.emit(name, [number, now])
                say(f"{number} {now}")
                number += 1
                time.sleep(pause_seconds)

    return work


# A disk that is full, or fails.


class EventsDisk(BrokenDisk):
    """A disk that has no room for events alone, when it is `full`."""

    full = False

    def meet(self, what, path, end=0):
        if self.full and "-events" in path and what == "write":
            raise apsw.exception_for(apsw.SQLITE_FULL)
        super().meet(what, path, end)


@pytest.fixture
def disk():
    made = EventsDisk(syncs=False)
    yield made
    made.close()


def test_on_a_full_disk_nothing_is_lost_that_has_room_in_memory(disk, path):
    with holdfast.open(disk.target(path)) as store:
        errors = []
        stop = store.on("state:save-error", errors.append)
        for number in range(100):
            store.events.emit("a:n", number)
        store.events.flush()
        disk.full = True
        for number in range(100, 15_000):  # more than the ring has
            store.events.emit("a:n", number)
        with pytest.raises(StorageFull):
            store.events.flush()
        store.tasks.create("state goes on", id="t")
        assert store.tasks.get("t").status == "pending"
        until(lambda: errors)
        assert errors[0].data["error"] == "StorageFull"
        assert errors[0].level == "error"
        assert numbers(store, "a:n") == list(range(15_000))
        disk.full = False
        until(lambda: store.events.figures().waiting == 0)  # by itself
        assert store.events.figures().lost == 0
        assert numbers(store, "a:n") == list(range(15_000))
        stop()
    threads_gone()
    with holdfast.open(path) as store:
        assert numbers(store, "a:n") == list(range(15_000))


def test_a_follower_misses_nothing_that_waits_for_the_disk(disk, path):
    limits = holdfast.Limits(event_ring=100)
    with holdfast.open(disk.target(path), limits=limits) as store:
        store.events.flush()
        disk.full = True
        with store.events.follow("a:n") as follower:
            for number in range(1_000):  # ten times what the ring has
                store.events.emit("a:n", number)
            got = [follower.get(5).data for _ in range(1_000)]
            assert got == list(range(1_000))
            assert follower.missed == 0


def test_past_what_memory_has_room_for_the_oldest_go_and_are_counted(disk, path):
    limits = holdfast.Limits(event_pending=1_000, event_ring=100)
    with holdfast.open(disk.target(path), limits=limits) as store:
        store.events.flush()
        disk.full = True
        began = time.monotonic()
        for number in range(5_000):
            store.events.emit("a:n", number)
        assert time.monotonic() - began < 5  # it waited for no room that never comes
        left = numbers(store, "a:n")
        assert 500 < len(left) <= 1_000
        disk.full = False
        until(lambda: store.events.figures().waiting == 0)
        left = numbers(store, "a:n")
        assert left == list(range(5_000 - len(left), 5_000))
        lost, others = store.events.figures().lost, 5_000 - len(left)
        assert others <= lost <= others + 20  # some are the store's own


def test_a_disk_that_comes_after_holds_emitters_back_and_loses_nothing(path):
    """Not full, but slower than what happens: emitting waits, past what may wait."""
    limits = holdfast.Limits(event_pending=500)
    disk = BrokenDisk(syncs=False)
    try:
        with holdfast.open(disk.target(path), limits=limits) as store:
            store.events.flush()
            disk.before = lambda what: time.sleep(0.002)
            most = 0
            for number in range(3_000):
                store.events.emit("a:n", number)
                most = max(most, store.events.figures().waiting)
            disk.mend()
            assert most <= 1_010
            assert store.events.figures().lost == 0
            assert numbers(store, "a:n") == list(range(3_000))
    finally:
        disk.close()


@pytest.mark.parametrize("what", ["write", "sync"])
def test_a_commit_of_which_nobody_knows_is_made_once(path, what):
    """Whatever failed, events are there once; and what is counted is what is there."""
    code = apsw.SQLITE_IOERR_WRITE if what == "write" else apsw.SQLITE_IOERR_FSYNC
    disk = BrokenDisk(syncs=False)
    try:
        with holdfast.open(disk.target(path)) as store:
            store.events.flush()
            for place in range(1, 8):
                store.events.emit("a:n", place)
                disk.break_at(place, what, code)
                with contextlib.suppress(StorageFailed, holdfast.errors.OutcomeUnknown):
                    store.events.flush()
                disk.mend()
                store.events.flush()
                assert numbers(store, "a:n") == list(range(1, place + 1))
                assert store.events.figures().lost == 0
    finally:
        disk.close()
    file = f"{path}-events"
    with contextlib.closing(sqlite3.connect(file)) as db:
        ((counted,),) = db.execute("select sum(events) from event_minute")
        ((there,),) = db.execute("select count(*) from event")
    assert counted == there


def test_a_server_that_is_lost_at_the_commit_has_each_event_once():
    """Whether the commit was made or not, when nobody heard of it."""
    with empty_store() as target, holdfast.open(target) as store:
        store.events.flush()
        breaker = Breaker(shared_url())
        ways = [
            lambda wire, finish: finish(),
            lambda wire, finish: breaker.kill(wire),
            lambda wire, finish: send_only(wire),
        ]
        try:
            for number, way in enumerate(ways * 2):
                store.events.emit("a:n", number)
                with (
                    breaker.commit(way),
                    contextlib.suppress(holdfast.errors.HoldfastError),
                ):
                    store.events.flush()
                assert breaker.fell
                store.events.flush()
                assert numbers(store, "a:n") == list(range(number + 1))
            assert store.events.figures().lost == 0
        finally:
            breaker.close()


def test_what_a_transaction_tells_is_told_once_though_its_answer_is_lost():
    """It was committed and nobody heard; or it was not, and was run again."""

    def unit(tx, number):
        tx.tasks.create("it", id=f"t{number}")
        tx.events.emit("unit:ran", number)

    with empty_store() as target, holdfast.open(target) as store:
        breaker = Breaker(shared_url())
        ways = [
            lambda wire, finish: finish(),
            lambda wire, finish: breaker.kill(wire),
            lambda wire, finish: send_only(wire),
        ]
        try:
            for number, way in enumerate(ways):
                with breaker.commit(way):
                    store.run(unit, number)
                assert breaker.fell
            assert numbers(store, "unit:*") == [0, 1, 2]
            ids = [event.data["id"] for event in every(store, "task:*")]
            assert ids == ["t0", "t1", "t2"]
        finally:
            breaker.close()


# A disk that is away, while it is followed.


def follow_in_every_way(store, pattern):
    """What a follower, an awaiting one and callbacks on both faces are told; threads.

    A thread ends when nothing more comes.
    """
    told = [[] for _ in range(4)]
    begun = threading.Barrier(3)

    def follows():
        with store.events.follow(pattern) as following:
            begun.wait()
            for event in following:
                told[0].append(event)

    async def awaits():
        store.aio.on(pattern, told[1].append)
        async with store.aio.events.follow(pattern) as following:
            begun.wait()
            async for event in following:
                told[2].append(event)

    store.on(pattern, told[3].append)
    works = follows, lambda: asyncio.run(awaits())
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    begun.wait()
    return told, threads


def test_who_awaits_hears_others_from_the_beginning_of_the_block_on(path):
    async def heard():
        async with holdfast.aopen(path) as store:
            await store.events.emit("a", "before")
            await store.events.flush()
            async with store.events.follow("a") as following:
                with holdfast.open(path) as other:
                    other.events.emit("a", "after")
                return (await following.get(10)).data

    assert asyncio.run(heard()) == "after"


def test_who_follows_outlives_a_server_that_is_away(caplog):
    """Own events come all the while, others' from when it is back; no close waits."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server(settings={"fsync": "off"}))
        url = server.url(schema="events")
        store, other = (stack.enter_context(holdfast.open(url)) for _ in range(2))
        everyone, threads = follow_in_every_way(store, "a:*")

        def comes(name, upto):
            def has_come():
                return all(
                    [event.data for event in told if event.name == name]
                    == list(range(upto))
                    for told in everyone
                )

            until(has_come)

        def all_follow():
            other.events.emit("a:first")
            other.events.flush()
            return all(any(one.name == "a:first" for one in told) for told in everyone)

        until(all_follow)
        other.events.emit("a:other", 0)
        other.events.flush()
        store.events.emit("a:own", 0)
        comes("a:other", 1)
        server.stop("immediate")
        for number in range(1, 4):
            store.events.emit("a:own", number)
            began = time.monotonic()
            comes("a:own", number + 1)
            assert time.monotonic() - began < 10
            other.events.emit("a:other", number)
        unread = "events cannot be read for now"
        until(lambda: caplog.text.count(f" {unread}") == len(everyone))
        server.start()
        other.events.flush()
        comes("a:other", 4)
        comes("a:own", 4)
        assert caplog.text.count(f" {unread}") == len(everyone)
        other.close()
        server.stop("immediate")
        store.events.emit("a:own", 4)
        comes("a:own", 5)
        began = time.monotonic()
        store.close()
        assert time.monotonic() - began < 10
        for thread in threads:
            thread.join()
        threads_gone()


def test_what_was_there_before_comes_first_however_long_it_takes(path, monkeypatch):
    errors = [Unreachable("the server is away")]
    with holdfast.open(path) as store:
        store.events.emit("a:n", 0)
        store.events.flush()
        log = store._core.events

        def reads(unit):
            if errors:
                raise errors[0]
            return type(log).read(log, unit)

        monkeypatch.setattr(log, "read", reads)
        following = store.events.follow("a:*", since="2020-01-01T00:00:00Z")
        store.events.emit("a:n", 1)
        with pytest.raises(TimedOut):
            following.get(0.01)
        errors.clear()
        assert [following.get(5).data for _ in range(2)] == [0, 1]
        errors.append(NotAStore("it was replaced"))
        with pytest.raises(NotAStore):
            store.events.follow("a:*")


def test_a_handler_may_emit_wherever_its_thread_waits_in_a_follower(path):
    """A trace function comes at one line and then at the next, as a handler might."""
    program = f"""
import contextlib, sys
import holdfast
with holdfast.open({path!r}) as store:
    lines = []
    def trace(frame, what, _):
        if what == "line":
            lines.append(frame.f_lineno)
            if len(lines) == nth:
                store.events.emit("a:n")
        waits = frame.f_code.co_name == "wait"
        return trace if waits and "following" not in frame.f_code.co_filename else None
    following = store.events.follow("a:*")
    sys.settrace(trace)
    for nth in range(1, 10):
        lines.clear()
        with contextlib.suppress(holdfast.errors.TimedOut):
            following.get(0.02)
    sys.settrace(None)
    assert store.events.recent("a:n")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)


# Many, and a slow reader.


def follow_in_thread(store, pattern, each=lambda: None):
    found, follower = [], store.events.follow(pattern)

    def reads():
        for event in follower:
            each()
            found.append(event.data)

    thread = threading.Thread(target=reads)
    thread.start()
    return follower, found, thread


def with_a_slow_follower(path, count):
    """Fast ones get all, a slow one learns how many it missed; nobody is slowed."""
    go = threading.Event()
    with holdfast.open(path) as store:
        fast = [follow_in_thread(store, "a:*") for _ in range(2)]
        alone = emit_paced(store, count // 2, 0, fast)
        slow = follow_in_thread(store, "a:*", lambda: go.wait(600))
        beside = emit_paced(store, count - count // 2, count // 2, [*fast])
        go.set()
        follower, got, _ = slow
        until(lambda: got and got[-1] == count - 1)
        store.events.emit("z:end")
    for _, _, one in [*fast, slow]:
        one.join()
    for one, found, _ in fast:
        assert one.missed == 0
        assert found == list(range(count))
    begun = count // 2
    assert got == sorted(set(got))
    others = slow_others(path)
    assert follower.missed > count // 4
    assert 0 <= follower.missed + len(got) - (count - begun) <= others
    return alone, beside


def slow_others(path):
    """How many events holdfast told of itself."""
    with holdfast.open(path) as store:
        return len(every(store, "state:*")) + len(every(store, "autosave:*")) + 2


def emit_paced(store, count, begin, fast):
    """Emit, so fast that the fast ones keep up; events a second while it does so."""
    busy = 0.0
    for start in range(begin, begin + count, 500):
        began = time.perf_counter()
        for number in range(start, min(start + 500, begin + count)):
            store.events.emit("a:n", number)
        busy += time.perf_counter() - began
        until(lambda end=start + 500: all(end - len(f) < 5_000 for _, f, _ in fast))
    return count / busy


def test_two_hundred_thousand_events_with_a_slow_follower(path):
    alone, beside = with_a_slow_follower(path, 200_000)
    assert beside > alone / 2  # the machine may be busy; it is the same by itself


@pytest.mark.soak
def test_a_million_events_with_a_slow_follower(path):
    alone, beside = with_a_slow_follower(path, 1_000_000)
    assert beside > alone * 0.7
    with holdfast.open(path) as store:
        assert numbers(store, "a:n") == list(range(1_000_000))


def test_a_follower_in_another_process_sees_each_once_across_flushes(path):
    with holdfast.open(path) as store:
        store.events.emit("a:before")
        store.events.flush()

    def follows(say):
        with holdfast.open(path) as store:
            follower = store.events.follow("a:*")
            say("ready")
            for event in follower:
                say(f"{event.name} {event.data}")
                if event.name == "a:end":
                    assert follower.missed == 0
                    return

    child = Worker(follows)
    try:
        child.wait_for(1)
        with holdfast.open(path) as one, holdfast.open(path) as two:
            for number in range(2_000):
                (one, two)[number % 2].events.emit("a:n", number)
                if number % 97 == 0:
                    one.events.flush()
                    time.sleep(0.002)
            two.events.flush()
            one.events.flush()
            time.sleep(0.1)
            one.events.emit("a:end")
        lines = child.finish()
    finally:
        child.close()
    got = [int(line.split()[1]) for line in lines[1:-1]]
    assert sorted(got) == list(range(2_000))
    for which in (0, 1):
        mine = [number for number in got if number % 2 == which]
        assert mine == sorted(mine)


def test_a_store_whose_events_file_is_gone_goes_on(path, tmp_path, caplog):
    """It was deleted under the store: state goes on, and the log says so."""
    limits = holdfast.Limits(event_seconds=0.05)
    with holdfast.open(path, limits=limits) as store:
        store.events.emit("a:n", 1)
        store.events.flush()
        for file in tmp_path.glob("agent.db-events*"):
            file.unlink()
        store.events.emit("a:n", 2)
        until(lambda: "cannot be written for now" in caplog.text)
        store.tasks.create("it", id="t")
        assert "state:save-error" in names(store.events.recent())
    with holdfast.open(path) as store:
        assert store.tasks.get("t").id == "t"
        store.events.emit("a:n", 3)
        store.events.flush()
        assert told(every(store, "a:*")) == [("a:n", 3)]


@on_both
def test_what_is_committed_while_a_store_is_closed_is_told(tmp_path, engine):
    acknowledged = [[] for _ in range(3)]

    def commits(store, nth):
        try:
            while True:
                id = f"t{nth}-{len(acknowledged[nth])}"
                store.tasks.create("it", id=id)
                acknowledged[nth].append(id)
        except HoldfastError:
            pass

    with place_on(engine, tmp_path) as target:
        store = holdfast.open(target)
        store.events.emit("a:n")
        threads = [
            threading.Thread(target=commits, args=(store, nth)) for nth in range(3)
        ]
        for thread in threads:
            thread.start()
        while sum(map(len, acknowledged)) < 50:
            pass
        store.close()
        for thread in threads:
            thread.join()
        with holdfast.open(target) as store:
            told = {e.data["id"] for e in every(store, "task:created", limit=1_000)}
            there = {task.id for task in store.tasks.list(limit=1_000)}
        assert there == {id for mine in acknowledged for id in mine}
        assert told == there
