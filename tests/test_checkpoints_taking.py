"""Checkpoints as they are taken: of whom, what is kept, and when that is done."""

import logging
import os
import subprocess
import sys
import threading

import pytest

import holdfast
import pages
from conftest import store_on
from driving import Driven
from holdfast import errors
from holdfast.kinds import checkpoint_keeping
from holdfast.kinds.checkpoint_records import PartStatus
from holdfast.runtime.checkpoints import keeper as keepers
from postgres import until
from remembering import Memory, opened, statuses, taken_in

WAITING, CLAIMED, RESTORED, REPLACED = PartStatus
FACES = ("sync", "async")


@pytest.fixture(params=["file", "postgres"])
def target(request, tmp_path):
    """Where a store outlives the process that uses it."""
    with store_on(request.param, tmp_path) as found:
        yield found


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "agent.db")


# What is taken.


def test_of_an_owner_the_newest_are_kept(store):
    memory = Memory()
    memory.take_part(store)
    taken = []
    for number in range(8):
        memory.value = [number]
        taken.append(store.checkpoints.take().id)
    assert [one.id for one in store.checkpoints.list()] == taken[:2:-1]
    assert statuses(store) == [{"queue": WAITING}, *[{"queue": REPLACED}] * 4]


def test_how_many_are_kept_can_be_set_and_what_waits_is_kept_beyond(place, monkeypatch):
    assert checkpoint_keeping._WAITING_FOLD == 20
    monkeypatch.setattr(checkpoint_keeping, "_WAITING_FOLD", 4)
    limits = holdfast.Limits(checkpoints=1)
    for number in range(6):
        taken_in(place, [number], limits=limits)
    with holdfast.open(place, limits=limits) as store:
        assert len(store.checkpoints.list()) == 4
        memory = Memory()
        memory.take_part(store)
        store.checkpoints.restore()
        assert memory.given == [[number] for number in range(2, 6)]
        assert [one.reason for one in store.checkpoints.list()] == ["restored"]


def test_nothing_in_memory_makes_no_checkpoint(store):
    empty = {"a": None, "b": {}, "c": [], "d": "", "e": ()}
    for name, value in empty.items():
        Memory(value).take_part(store, name)
    assert store.checkpoints.take() is None
    Memory(False).take_part(store, "f")
    assert [part.name for part in store.checkpoints.take().parts] == ["f"]


def test_what_was_done_since_does_not_come_back(target):
    memory = Memory(["job"])
    with holdfast.open(target) as store:
        memory.take_part(store)
        store.checkpoints.take()
        memory.value = []
        assert store.checkpoints.take() is None
        assert statuses(store) == [{"queue": REPLACED}]
    with holdfast.open(target) as store:
        Memory().take_part(store)
        assert store.checkpoints.restore() == type(store.checkpoints.restore())()


def test_who_takes_part_no_more_has_given_up_what_it_had(store):
    leave = Memory([1]).take_part(store)
    Memory([2]).take_part(store, "other")
    store.checkpoints.take()
    leave()
    leave()
    store.checkpoints.take()
    assert statuses(store) == [
        {"other": WAITING},
        {"other": REPLACED, "queue": REPLACED},
    ]
    Memory([3]).take_part(store)  # the name is free again


def test_one_that_fails_or_hangs_or_gives_no_json_is_named_and_spoils_no_other(
    store, caplog
):
    over = threading.Event()
    Memory("good").take_part(store, "good")
    Memory({1, 2}).take_part(store, "odd")
    store.checkpoints.participant("bad", lambda: 1 // 0)
    if not isinstance(store, Driven):  # it would keep the event loop
        store.checkpoints.participant("slow", over.wait, seconds=0.05)
    with caplog.at_level(logging.CRITICAL, "holdfast.checkpoints"):
        taken = store.checkpoints.take()
        again = store.checkpoints.take()
    over.set()
    assert [(part.name, part.data) for part in taken.parts] == [("good", "good")]
    slow = taken.failed.pop("slow", "it was not done within 0.05 s, and was gone past")
    assert slow == "it was not done within 0.05 s, and was gone past"
    assert taken.failed == {
        "bad": "ZeroDivisionError: integer division or modulo by zero",
        "odd": "what it has: a set cannot be carried by JSON",
    }
    slow = again.failed.pop("slow", "an earlier call")
    assert slow.startswith("an earlier call")  # no second thread hangs


def test_what_could_not_be_collected_now_is_restored_as_it_was_before(target):
    memory = Memory([1])
    with holdfast.open(target) as store:
        memory.take_part(store)
        Memory("x").take_part(store, "other")
        store.checkpoints.take()
        memory.value = {1}
    back = Memory()
    with holdfast.open(target) as store:
        back.take_part(store)
        assert list(store.checkpoints.latest().failed) == ["queue"]
        store.checkpoints.restore()
    assert back.given == [[1]]


def test_participants_are_collected_side_by_side(place):
    meeting = threading.Barrier(3, timeout=10)
    with holdfast.open(place) as store:
        for name in "abc":
            store.checkpoints.participant(name, lambda: meeting.wait() >= 0)
        assert len(store.checkpoints.take().parts) == 3


def test_a_later_change_of_what_was_collected_changes_no_checkpoint(store):
    memory = Memory({"jobs": [1]})
    memory.take_part(store)
    found = store.checkpoints.collect()
    taken = store.checkpoints.take()
    memory.value["jobs"].append(2)
    assert found.parts == {"queue": {"jobs": [1]}}
    assert found.failed == {}
    assert store.checkpoints.get(taken.id).parts[0].data == {"jobs": [1]}


def test_kept_are_the_reason_and_the_process(store):
    Memory(1).take_part(store)
    taken = store.checkpoints.take("before-upgrade")
    assert taken.reason == "before-upgrade"
    assert taken.process == f"{os.uname().nodename}:{os.getpid()}"
    assert store.checkpoints.latest() == taken == store.checkpoints.get(taken.id)
    (listed,) = store.checkpoints.list()
    assert listed.parts[0].data is None
    assert listed.parts[0].bytes == 1


def test_it_is_told_as_an_event(store):
    Memory([1]).take_part(store)
    store.checkpoints.participant("bad", lambda: 1 // 0)
    taken = store.checkpoints.take()
    (event,) = store.events.recent("checkpoint:taken")
    assert event.data["id"] == taken.id
    assert event.data["participants"] == ["queue"]
    assert (list(event.data["failed"]), event.level) == (["bad"], "error")
    store.checkpoints.restore(taken.id)
    assert store.events.recent("checkpoint:restored")[0].data["participant"] == "queue"
    with pytest.raises(errors.InvalidId):
        store.events.emit("checkpoint:taken")


# When it is done.


def test_every_so_many_seconds_if_something_has_changed(place):
    memory = Memory([0])
    with holdfast.open(place) as store:
        memory.take_part(store)
        stop = store.checkpoints.every(0.01)
        until(store.checkpoints.latest)
        first = store.checkpoints.latest()
        assert first.reason == "every"
        calls = []
        store.checkpoints.participant("count", lambda: calls.append(1))
        until(lambda: len(calls) > 5)  # it went on
        assert store.checkpoints.latest() == first
        memory.value = [1]
        until(lambda: store.checkpoints.latest().parts[0].data == [1])
        stop()
        stop()
        keeper = keepers.keeper_of(store._core)
        assert [one.usual for one in keeper._paces] == [True]


def test_it_goes_on_after_trouble(place, caplog):
    memory = Memory([0])
    with holdfast.open(place) as store:
        memory.take_part(store)
        keeper = keepers.keeper_of(store._core)
        desk = keeper.desk("")
        real, failed = desk.take, []

        def take(*args, **kwargs):
            if len(failed) < 3:
                failed.append(1)
                raise errors.StorageFull("the disk is full")
            return real(*args, **kwargs)

        desk.take = take
        store.checkpoints.every(0.01)
        with caplog.at_level(logging.CRITICAL, "holdfast.checkpoints"):
            until(store.checkpoints.latest)
        del desk.take
        assert len(failed) == 3


@pytest.mark.parametrize("face", FACES)
def test_a_store_that_is_closed_takes_the_last(target, face, loop):
    with opened(target, face, loop) as store:
        Memory([1]).take_part(store)
    with holdfast.open(target) as store:
        assert store.checkpoints.latest().reason == "close"
        assert store.checkpoints.latest().waiting


def test_the_last_is_not_taken_twice(target):
    taken_in(target, [1], reason="shutdown")
    with holdfast.open(target) as store:
        assert [one.reason for one in store.checkpoints.list()] == ["shutdown"]


def test_a_participant_may_use_the_store_while_it_is_closed(place):
    store = holdfast.open(place)
    store.checkpoints.participant("queue", lambda: store.tasks.create("last").id)
    store.close()
    with holdfast.open(place) as store:
        (task,) = store.tasks.list()
        assert store.checkpoints.latest().parts[0].data == task.id


def test_an_interpreter_that_starts_no_thread_any_more_takes_the_last(
    place, monkeypatch
):
    real = threading.Thread.start

    def start(thread):
        if thread.name == "holdfast-participant":
            raise RuntimeError("can't create new thread at interpreter shutdown")
        real(thread)

    store = holdfast.open(place)
    for name in "ab":
        Memory([name]).take_part(store, name)
    monkeypatch.setattr(threading.Thread, "start", start)
    store.close()
    monkeypatch.undo()
    with holdfast.open(place) as store:
        assert [part.data for part in store.checkpoints.latest().parts] == [
            ["a"],
            ["b"],
        ]


PROGRAM = """
import holdfast, sys
store = holdfast.open(sys.argv[1])
store.checkpoints.participant("queue", lambda: [1])
print("begun", flush=True)
{}
"""


@pytest.mark.parametrize("end", ["", "raise ValueError('no')"])
def test_a_program_that_closes_nothing_leaves_a_checkpoint(place, end):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(end), place],
        env={**os.environ, "PYTHONPATH": str(pages.ROOT / "src")},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "begun\n"
    assert "holdfast" not in done.stderr or "Traceback" in done.stderr
    memory = Memory()
    with holdfast.open(place) as store:
        memory.take_part(store)
        assert store.checkpoints.latest().reason == "close"
        assert store.checkpoints.restore().restored == ("queue",)
        assert store.check().problems == ()
