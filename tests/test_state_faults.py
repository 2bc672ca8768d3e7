"""What goes wrong around sections: what was set is kept, for all but a stated time.

The faults of the one that came before, each by its name: "a reader sees nothing, loads
defaults, and the next write wipes everything", "a value that cannot be written leaves
half a file", "the timer dies with the process", "an outside change is loaded over
unsaved changes". Then what happens to everyone: a kill, a signal, a full disk, a server
that is away, a fork, many at once.
"""

import asyncio
import contextlib
import itertools
import logging
import signal
import threading
import time

import apsw
import pytest

import holdfast
from broken_disk import BrokenDisk
from conftest import ENGINES, place_on, store_on
from holdfast.errors import StorageFull
from holdfast.runtime.state import saving
from holdfast.runtime.state.saving import saver_of
from killing import Worker
from postgres import Server, until

on_each = pytest.mark.parametrize("engine", ENGINES)
on_both = pytest.mark.parametrize("engine", ["file", "postgres"])
CALM = holdfast.Limits(state_seconds=3_600)
AT_ONCE = holdfast.Limits(state_seconds=0.02)


def kept(target, section="jobs"):
    with holdfast.open(target) as store:
        assert store.check().problems == ()
        return store.state.as_dict(section)


def saved(store, section="jobs"):
    """What the store has, with nothing of what is in memory."""
    terms = holdfast.engine.Terms()
    unit = store._core.unit(
        lambda tx: holdfast.kinds.state.State(tx).as_dict(section), terms
    )
    return store._core.engine.read(unit)


# "The timer dies with the process": saved within the stated time, by itself.


@on_each
def test_what_is_set_is_saved_by_itself(tmp_path, engine):
    with (
        store_on(engine, tmp_path) as target,
        holdfast.open(target, limits=AT_ONCE) as store,
    ):
        jobs = store.state.section("jobs")
        for number in range(5):
            jobs.set("a", number)
            until(lambda: not jobs.is_dirty)
            assert saved(store) == {"a": number}
        assert len(store.events.recent("autosave:triggered")) >= 5


def test_what_is_set_is_on_disk_within_the_stated_time(path):
    limits = holdfast.Limits(state_seconds=3.0)
    with holdfast.open(path, limits=limits) as store, holdfast.open(path) as other:
        began = time.monotonic()
        store.state.set("jobs", "a", 1)
        until(lambda: other.state.get("jobs", "a") == 1)
        assert limits.state_seconds / 2 <= time.monotonic() - began
        assert time.monotonic() - began <= limits.state_seconds


def test_an_event_loop_that_ends_takes_nothing_with_it(path):
    async def sets():
        store = await holdfast.aopen(path, limits=AT_ONCE)
        await store.state.set("jobs", "a", 1)
        return store

    store = asyncio.run(sets()).sync
    until(lambda: not store.state.is_dirty())
    assert saved(store) == {"a": 1}
    store.close()


@on_both
def test_after_kill_9_at_most_the_stated_time_is_lost(tmp_path, engine):
    """Each change says when it was made; the last is made right before the kill."""
    stated = holdfast.Limits().state_seconds
    with contextlib.ExitStack() as stack:
        targets = [
            stack.enter_context(place_on(engine, folder(tmp_path, nth)))
            for nth in range(3)
        ]
        workers = [Worker(telling_the_time(target)) for target in targets]
        for worker in workers:
            stack.callback(worker.close)
        lost = []
        for nth, (worker, target) in enumerate(zip(workers, targets, strict=True)):
            worker.wait_for(1)
            began = float(worker.lines[0])
            while time.monotonic() - began < stated * (1.1 + 0.3 * nth):
                worker.wait_for(len(worker.lines) + 1)
            last = float(worker.kill()[-1])
            lost.append(last - kept(target)["at"])
    assert max(lost) <= stated
    assert max(lost) > 0.01  # it was not saved each time


def folder(tmp_path, nth):
    made = tmp_path / str(nth)
    made.mkdir()
    return made


def telling_the_time(target):
    def sets(say):
        pace = threading.Event()
        with holdfast.open(target) as store:
            while not pace.wait(0.002):
                now = time.monotonic()
                store.state.set("jobs", "at", now)
                store.state.set(f"s{now}"[-1], "at", now)
                say(f"{now}")

    return sets


# "A reader sees nothing, loads defaults, and the next write wipes everything."


@on_both
def test_many_processes_that_change_one_section_lose_nothing(tmp_path, engine):
    with place_on(engine, tmp_path) as target:
        with holdfast.open(target) as store:
            store.state.set("jobs", "there before", 1)
        workers = [Worker(changing(target, nth)) for nth in range(4)]
        lines = [worker.finish() for worker in workers]
        assert [len(one) for one in lines] == [1] * 4
        wanted = {"there before": 1, "shared": {f"w{n}": 39 for n in range(4)}}
        wanted |= {f"w{n} k{k}": 30 + k for n in range(4) for k in range(10)}
        assert kept(target) == wanted


def changing(target, nth):
    """What one of several processes does to a section that has defaults."""

    def work(say):
        with holdfast.open(target, limits=AT_ONCE) as store:
            jobs = store.state.section("jobs", defaults={"there before": "default"})
            for number in range(40):
                jobs.set(f"w{nth} k{number % 10}", number)
                jobs.update({"shared": {f"w{nth}": number}})
                jobs.set("mine", nth)
                jobs.delete("mine")
                assert jobs.get("there before") == 1
                if number % 7 == 0:
                    jobs.flush()
        say("done")

    return work


@on_both
def test_readers_never_see_less_than_was_saved(tmp_path, engine):
    with place_on(engine, tmp_path) as target:
        with holdfast.open(target) as store:
            store.state.update("jobs", {"a": 0, "b": 0})
        worker = Worker(rising(target))
        try:
            worker.wait_for(3)
            with holdfast.open(target) as store:
                jobs = store.state.section("jobs", defaults={"a": -1, "b": -1})
                last = 0
                while last < 60:
                    found = jobs.as_dict()
                    assert found["a"] == found["b"] >= last  # saved as one
                    last = found["a"]
                    jobs.reload()
        finally:
            worker.close()


def rising(target):
    def work(say):
        with holdfast.open(target, limits=CALM) as store:
            number = 0
            while True:
                number += 1
                store.state.update("jobs", {"a": number, "b": number})
                store.state.flush()
                say("flushed")

    return work


# Many at once in one process.


@on_each
def test_many_threads_lose_nothing(tmp_path, engine):
    with (
        store_on(engine, tmp_path) as target,
        holdfast.open(target, limits=AT_ONCE) as store,
    ):
        failures = []
        threads = [
            threading.Thread(target=busy, args=(store, nth, failures))
            for nth in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        store.state.flush()
        wanted = {f"t{nth}": {"n": 59, "in": 58} for nth in range(6)}
        assert store.state.as_dict("jobs") == saved(store) == wanted
        store.state.reload("jobs")
        assert store.state.as_dict("jobs") == wanted


def busy(store, nth, failures):
    """Set, update, read, write within transactions: always what this thread did."""
    name = f"t{nth}"
    try:
        for number in range(60):
            store.state.update("jobs", {name: {"n": number}})
            assert store.state.get("jobs", name)["n"] == number
            if number % 2 == 0:
                with store.transaction(timeout_seconds=60) as tx:
                    assert tx.state.get("jobs", name)["n"] == number
                    tx.state.update("jobs", {name: {"in": number}})
                    assert tx.state.get("jobs", name) == {"n": number, "in": number}
            found = store.state.get("jobs", name)
            assert found == {"n": number, "in": number - number % 2}
    except BaseException as error:
        failures.append(error)


def test_tasks_and_threads_share_what_is_in_memory(path):
    async def works():
        async with holdfast.aopen(path, limits=AT_ONCE) as store:
            await asyncio.gather(*(one(store, nth) for nth in range(20)))
            return await store.state.as_dict("jobs")

    async def one(store, nth):
        section = await store.state.section("jobs")
        for number in range(20):
            await section.update({f"t{nth}": {"n": number}})
            store.sync.state.update("jobs", {f"t{nth}": {"m": number}})
            assert await section.get(f"t{nth}") == {"n": number, "m": number}

    wanted = {f"t{nth}": {"n": 19, "m": 19} for nth in range(20)}
    assert asyncio.run(works()) == wanted
    assert kept(path) == wanted


# What cannot be saved.


def test_what_a_full_disk_keeps_out_stays_and_is_saved_when_there_is_room(
    path, caplog, monkeypatch
):
    monkeypatch.setattr(saving, "_AGAIN_SECONDS", 0.05)
    disk = BrokenDisk()
    with holdfast.open(disk.target(path), limits=AT_ONCE) as store:
        jobs = store.state.section("jobs")
        jobs.set("a", "kept")
        until(lambda: not jobs.is_dirty)
        disk.break_at(1, "write", apsw.SQLITE_FULL, for_good=True)
        with caplog.at_level(logging.ERROR, "holdfast.state"):
            jobs.update({"a": "new", "b": {"x": 1}})
            until(lambda: store.events.recent("state:save-error"))
            jobs.update({"b": {"y": 2}})
            with pytest.raises(StorageFull):
                jobs.flush()
            until(lambda: len(caplog.records) >= 1)
        assert jobs.as_dict() == {"a": "new", "b": {"x": 1, "y": 2}}
        assert saved(store) == {"a": "kept"}
        assert jobs.is_dirty
        disk.mend()
        until(lambda: not jobs.is_dirty)
        assert saved(store) == {"a": "new", "b": {"x": 1, "y": 2}}
        told = [
            e for e in store.events.recent("state:save-error") if "sections" in e.data
        ]
        assert told[0].data["sections"] == ["jobs"]
        assert told[0].data["error"] == "StorageFull"
    disk.close()


def test_what_could_not_be_saved_is_tried_again_without_another_change(
    path, monkeypatch
):
    monkeypatch.setattr(saving, "_AGAIN_SECONDS", 0.05)
    disk = BrokenDisk()
    with holdfast.open(disk.target(path), limits=AT_ONCE) as store:
        disk.break_at(1, "write", apsw.SQLITE_FULL, for_good=True)
        store.state.set("jobs", "a", 1)
        until(lambda: store.events.recent("state:save-error"))
        tries = len(disk.done)
        until(lambda: len(disk.done) > tries)
        disk.mend()
        until(lambda: not store.state.is_dirty())
        assert saved(store) == {"a": 1}
    disk.close()


def test_past_the_limit_a_disk_that_is_full_is_told_and_nothing_taken_in(path):
    disk = BrokenDisk()
    limits = holdfast.Limits(state_seconds=3_600, state_unsaved=1_000)
    with holdfast.open(disk.target(path), limits=limits) as store:
        disk.break_at(1, "write", apsw.SQLITE_FULL, for_good=True)
        store.state.set("jobs", "a", "x" * 1_000)
        with pytest.raises(StorageFull):
            store.state.set("jobs", "b", 1)
        assert [*store.state.as_dict("jobs")] == ["a"]
        disk.mend()
        store.state.set("jobs", "b", 1)
        assert saved(store) == {"a": "x" * 1_000}
    disk.close()
    assert kept(path) == {"a": "x" * 1_000, "b": 1}


def test_a_lost_answer_is_settled_by_saving_again(path):
    disk = BrokenDisk()
    with holdfast.open(disk.target(path), limits=CALM) as store:
        store.state.set("jobs", "a", {"n": 1})
        store.state.flush()
        store.state.update("jobs", {"a": {"m": 2}})
        disk.break_at(1, "sync", apsw.SQLITE_IOERR)
        with pytest.raises(holdfast.errors.HoldfastError):
            store.state.flush()
        disk.mend()
        store.state.flush()
        assert not store.state.is_dirty()
        assert saved(store) == {"a": {"n": 1, "m": 2}}
    disk.close()


def test_a_server_that_is_away_keeps_nobody_from_memory(monkeypatch):
    monkeypatch.setattr(saving, "_AGAIN_SECONDS", 0.05)
    with (
        Server() as server,
        holdfast.open(server.url(schema="away"), limits=AT_ONCE) as store,
    ):
        jobs = store.state.section("jobs")
        jobs.set("a", 1)
        until(lambda: not jobs.is_dirty)
        server.stop("immediate")
        jobs.set("a", 2)
        began = time.monotonic()
        until(lambda: store.events.recent("state:save-error"))
        while time.monotonic() - began < 3 * saving._LOOK_SECONDS:
            assert jobs.get("a") == 2
        assert jobs.is_dirty
        server.start()
        until(lambda: not jobs.is_dirty)
        assert saved(store) == {"a": 2}


def test_where_no_thread_may_start_any_more_sections_are_saved_one_by_one(
    path, monkeypatch
):
    def no_thread(unit):
        raise RuntimeError("can't start new thread at interpreter shutdown")

    with holdfast.open(path, limits=CALM) as store:
        monkeypatch.setattr(store._core.engine, "post", no_thread)
        for name in ("a", "b", "c"):
            store.state.set(name, "n", 1)
        assert store.state.flush() == 3
        assert saved(store, "b") == {"n": 1}


# Memory.


def test_what_many_owners_leave_in_memory_is_let_go_of(path):
    with holdfast.open(path, limits=CALM) as store:
        for number in range(1_500):
            store.owned_by(f"o{number}").state.get("jobs", "a")
        store.state.set("jobs", "mine", 1)
        for number in range(1_500):
            store.owned_by(f"o{number}").state.get("jobs", "a")
        saver = saver_of(store._core, store._terms)
        assert len(saver._of) == 1_000
        assert store.state.get("jobs", "mine") == 1
        assert store.state.is_dirty()


def test_what_a_handler_does_amid_a_change_is_not_lost(path):
    """A signal's handler comes between any two steps of the thread that it is on.

    By the processor's time: on a busy machine the thread still gets somewhere.
    """
    with holdfast.open(path, limits=AT_ONCE) as store:
        handled = []

        def handler(*_):
            number = len(handled)
            store.state.set("jobs", f"h{number}", number)
            store.state.update("jobs", {"all": {f"h{number}": number}})
            handled.append(number)
            if number < 29:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0.001)

        before = signal.signal(signal.SIGVTALRM, handler)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.001)
        try:
            for number in itertools.count():
                store.state.set("jobs", "main", number)
                store.state.update("jobs", {"all": {"main": number}})
                if len(handled) == 30:
                    break
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)
        wanted = {f"h{n}": n for n in range(30)} | {"main": number}
        assert store.state.as_dict("jobs") == {**wanted, "all": wanted}
        store.state.flush()
        assert saved(store) == {**wanted, "all": wanted}


# The thread that saves.


def test_a_thread_that_may_not_start_is_begun_by_a_later_change(path, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with holdfast.open(path, limits=AT_ONCE) as store:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            store.state.set("jobs", "a", 1)
        store.state.set("jobs", "b", 2)
        until(lambda: not store.state.is_dirty())
        assert saved(store) == {"a": 1, "b": 2}


def test_whatever_fails_is_tried_again(path, monkeypatch, caplog):
    monkeypatch.setattr(saving, "_AGAIN_SECONDS", 0.05)
    with holdfast.open(path, limits=AT_ONCE) as store:
        own, failed = store._core.events.own, threading.Event()

        def tell(name, *args, **kwargs):
            if name == "autosave:triggered" and not failed.is_set():
                failed.set()
                raise MemoryError
            own(name, *args, **kwargs)

        monkeypatch.setattr(store._core.events, "own", tell)
        store.state.set("jobs", "a", 1)
        until(lambda: not store.state.is_dirty())
        assert failed.is_set()


def test_what_a_transaction_has_saved_is_not_told_of_as_if_it_were_due(path):
    with holdfast.open(path, limits=CALM) as store:
        store.state.set("jobs", "a", 1)
        store.run(lambda tx: tx.state.set("jobs", "b", 2))
        saver = saver_of(store._core, store._terms)
        saver._due = time.monotonic()
        saver.serve()
        told = store.events.recent("autosave:triggered")
        assert [event for event in told if "sections" in event.data] == []


def test_while_one_looks_at_the_store_others_go_on_with_what_is_known(
    path, monkeypatch
):
    monkeypatch.setattr(saving, "_LOOK_SECONDS", 60.0)
    with holdfast.open(path, limits=CALM) as store:
        store.state.set("jobs", "a", 1)
        store.state.flush()
        assert store.state.get("jobs", "a") == 1
        looks, read = [], store._core.engine.read

        def looking(unit):
            looks.append(unit)
            assert store.state.get("jobs", "a") == 1  # with no look of its own
            return read(unit)

        monkeypatch.setattr(store._core.engine, "read", looking)
        saver_of(store._core, store._terms)._of["", "jobs"].looked_at -= 3_600
        assert store.state.get("jobs", "a") == 1
        assert len(looks) == 1
