"""Checkpoints: what is in memory is kept, and comes back once, in a later process."""

import logging
import threading
import time

import pytest

import holdfast
from conftest import store_on
from driving import Driven
from holdfast import errors
from holdfast.kinds.checkpoint_records import PartStatus
from holdfast.runtime.checkpoints import keeper as keepers
from killing import Worker
from remembering import Memory, opened, taken_in

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


# What comes back.


@pytest.mark.parametrize("face", FACES)
def test_what_was_in_memory_comes_back_once_in_a_later_process(target, face, loop):
    with opened(target, face, loop) as store:
        Memory({"jobs": [1, "zwei"]}).take_part(store)
        taken = store.checkpoints.take()
        assert [part.data for part in taken.parts] == [{"jobs": [1, "zwei"]}]
    given = []
    for _ in range(4):  # an old one is replayed at no start
        with opened(target, face, loop) as store:
            store.checkpoints.participant("queue", lambda: None, given.append)
            store.checkpoints.restore()
            store.checkpoints.restore()
    assert given == [{"jobs": [1, "zwei"]}]


def test_a_restored_part_is_marked(target):
    taken_in(target, [1])
    with holdfast.open(target) as store:
        memory = Memory()
        memory.take_part(store)
        (waiting,) = store.checkpoints.latest().parts
        assert (waiting.status, waiting.restored_at) == (WAITING, None)
        found = store.checkpoints.restore()
        assert (found.restored, found.failed, found.held) == (("queue",), {}, {})
        (one,) = store.checkpoints.list()[1].parts
        assert (one.status, one.attempts) == (RESTORED, 1)
        assert one.restored_at is not None


def test_what_was_restored_survives_a_crash_right_after(target):
    taken_in(target, [1])

    def work(say):
        store = holdfast.open(target)
        memory = Memory()
        memory.take_part(store)
        say(str(store.checkpoints.restore().restored))
        time.sleep(60)

    worker = Worker(work)
    worker.wait_for(1)
    worker.kill()
    memory = Memory()
    with holdfast.open(target) as store:
        memory.take_part(store)
        assert store.checkpoints.latest().reason == "restored"
        assert store.checkpoints.restore().restored == ("queue",)
    assert memory.given == [[1]]


def test_a_failed_restore_waits_for_another_try_and_spoils_no_other(target):
    with holdfast.open(target) as store:
        Memory("good").take_part(store, "a")
        Memory("bad").take_part(store, "b")
        Memory("also good").take_part(store, "c")
    memories = {name: Memory() for name in "abc"}
    memories["b"].wrong = ValueError("not yet")
    with holdfast.open(target) as store:
        for name, memory in memories.items():
            memory.take_part(store, name)
        found = store.checkpoints.restore()
        assert found.restored == ("a", "c")
        assert found.failed == {"b": "ValueError: not yet"}
        (part,) = [one for one in store.checkpoints.list()[1].parts if one.name == "b"]
        assert (part.status, part.attempts) == (WAITING, 1)
        assert part.error == "ValueError: not yet"
        memories["b"].wrong = None
        assert store.checkpoints.restore().restored == ("b",)
    assert [memory.given for memory in memories.values()] == [
        ["good"],
        ["bad"],
        ["also good"],
    ]


def test_what_several_processes_left_is_given_oldest_first(target):
    for number in range(3):
        taken_in(target, number + 1)
    memory = Memory()
    with holdfast.open(target) as store:
        memory.take_part(store)
        assert store.checkpoints.restore().restored == ("queue",) * 3
    assert memory.given == [1, 2, 3]


def test_what_nobody_takes_part_in_waits(target):
    taken_in(target, 1)
    with holdfast.open(target) as store:
        Memory().take_part(store, "other")
        store.checkpoints.participant("queue", lambda: None)
        assert store.checkpoints.restore().left == ("queue",)
    memory = Memory()
    with holdfast.open(target) as store:
        memory.take_part(store)
        store.checkpoints.restore()
    assert memory.given == [1]


def test_two_processes_that_start_at_once_are_given_each_part_once(target):
    for number in range(5):
        taken_in(target, number, reason="n")
    given, begun = [], threading.Barrier(3)

    def start():
        with holdfast.open(target) as store:
            store.checkpoints.participant("queue", lambda: None, given.append)
            begun.wait()
            store.checkpoints.restore()

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == list(range(5))


def test_owners_have_their_own(target):
    with holdfast.open(target) as store:
        for owner in ("ada", "bob"):
            Memory(f"{owner}'s").take_part(store.owned_by(owner))
    with holdfast.open(target) as store:
        assert store.checkpoints.list() == holdfast.page.Page([])
        assert store.owners() == ["ada", "bob"]
        ada = Memory()
        ada.take_part(store.owned_by("ada"))
        store.owned_by("ada").checkpoints.restore()
        assert ada.given == ["ada's"]
        assert store.owned_by("bob").checkpoints.latest().waiting
        every = store.across_owners().checkpoints.list()
        assert {one.owner for one in every} == {"ada", "bob"}


# What cannot be.


def test_what_cannot_be_is_refused(store):
    checkpoints = store.checkpoints
    Memory([1]).take_part(store)
    with pytest.raises(errors.Refused, match="'queue' already"):
        Memory([1]).take_part(store)
    with pytest.raises(errors.WrongType, match="collect"):
        checkpoints.participant("a", "no")
    with pytest.raises(errors.WrongType, match="restore"):
        checkpoints.participant("a", list, 5)
    with pytest.raises(errors.InvalidId):
        checkpoints.participant("a/b", list)
    with pytest.raises(errors.WrongType):
        checkpoints.participant("a", list, seconds=0)
    with pytest.raises(errors.InvalidId):
        checkpoints.take("two words")
    with pytest.raises(errors.WrongType):
        checkpoints.every(0)
    with pytest.raises(errors.InvalidId):
        checkpoints.restore("a/b")
    with store.transaction() as tx:
        tx.checkpoints.list()
        if not isinstance(store, Driven):  # whose calls are tasks of their own
            for call in (checkpoints.take, checkpoints.restore, checkpoints.collect):
                with pytest.raises(errors.Refused, match="inside"):
                    call()
    past = store.as_of(store.moment())
    with pytest.raises(errors.Refused):
        past.checkpoints.take()
    with pytest.raises(errors.Refused, match="no past"):
        past.checkpoints.list()


def test_a_participant_that_asks_for_a_checkpoint_is_told_so(place, caplog):
    with holdfast.open(place) as store:
        names = {"take", "collect", "restore", "ask"}
        for name in names:
            store.checkpoints.participant(name, getattr(store.checkpoints, name))
        with caplog.at_level(logging.CRITICAL, "holdfast.checkpoints"):
            taken = store.checkpoints.take()
        assert taken.failed.keys() == names
        assert all("itself being asked" in said for said in taken.failed.values())


def test_how_many_take_part_has_a_limit(place):
    with holdfast.open(place, limits=holdfast.Limits(checkpoint_parts=2)) as store:
        for name in "ab":
            Memory().take_part(store, name)
        with pytest.raises(errors.TooLarge, match="checkpoint_parts"):
            Memory().take_part(store, "c")


def test_a_coroutine_function_is_for_the_async_store(place):
    async def collect():
        return [1]

    with holdfast.open(place) as store:
        with pytest.raises(errors.Refused, match="aio"):
            store.checkpoints.participant("a", collect)
        with pytest.raises(errors.Refused, match="restore is a coroutine"):
            store.checkpoints.participant("a", list, collect)


def test_a_store_that_is_open_read_only_keeps_nothing(place):
    holdfast.open(place).close()
    with holdfast.open(place, read_only=True) as store:
        Memory([1]).take_part(store)
        for call in (store.checkpoints.take, store.checkpoints.ask):
            with pytest.raises(errors.Refused, match="read-only"):
                call()
        with pytest.raises(errors.Refused, match="read-only"):
            store.checkpoints.every(1)
        assert store.checkpoints.collect().parts == {"queue": [1]}


def test_a_closed_store_takes_nobody_in(place):
    store = holdfast.open(place)
    Memory([1]).take_part(store)
    store.close()
    with pytest.raises(errors.Closed):
        Memory([1]).take_part(store, "other")
    with pytest.raises(errors.Closed):
        store.checkpoints.take()


def test_a_forked_process_takes_nothing_of_its_parents(place):
    store = holdfast.open(place)
    Memory([1]).take_part(store)

    def work(say):
        try:
            store.checkpoints.take()
        except errors.Closed:
            say("closed")
        store.close()

    worker = Worker(work)
    assert worker.finish() == ["closed"]
    assert store.checkpoints.take().parts[0].data == [1]
    store.close()


def test_a_forked_process_takes_part_in_another_store(place):
    """Whatever another thread of the parent's was amid."""
    store = holdfast.open(":memory:")  # no thread of it is amid SQLite now
    Memory([1]).take_part(store)

    def work(say):
        with holdfast.open(place) as other:
            Memory([2]).take_part(other)
            say(str(other.checkpoints.take().parts[0].data))

    with keepers._entering:
        worker = Worker(work)
    try:
        worker.wait_for(1)
        assert worker.finish() == ["[2]"]
    finally:
        worker.close()
        store.close()
