"""Requests: work in memory comes back interrupted, under its own ids, not for ever."""

import asyncio
import threading
import time

import pytest

import holdfast
from holdfast import errors
from holdfast.runtime import AsyncRequests, Requests
from holdfast.runtime.requests.records import RequestStatus
from killing import Worker

QUEUED, ACTIVE, INTERRUPTED, FAILED = RequestStatus


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "agent.db")


@pytest.fixture
def requests(place):
    with holdfast.open(place) as store:
        yield Requests(store)


def killed(place, work):
    """Do something in a process that is killed once it has taken a checkpoint."""

    def child(say):
        store = holdfast.open(place)
        work(Requests(store), store)
        store.checkpoints.take()
        say("taken")
        time.sleep(60)

    worker = Worker(child)
    worker.wait_for(1)
    worker.kill()


def stand(requests):
    return {one.id: one.status for one in requests.list()}


def test_of_a_lane_one_is_active_at_a_time(requests):
    for id, lane in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("c1", "")):
        requests.put({"of": id}, id=id, lane=lane)
    assert requests.take("b").id == "b1"
    assert [requests.take().id, requests.take().id] == ["a1", "c1"]
    assert requests.take() is None
    assert stand(requests) == {"a1": ACTIVE, "a2": QUEUED, "b1": ACTIVE, "c1": ACTIVE}
    assert requests.complete("a1").body == {"of": "a1"}
    assert requests.take().id == "a2"
    assert len(requests) == 3
    assert [one.id for one in requests.list(lane="a", status="active")] == ["a2"]


def test_an_id_is_there_once(requests):
    first = requests.put([1], id="x", lane="a")
    assert requests.put([1], id="x", lane="a") == first
    for body, lane in (([2], "a"), ([1], "b")):
        with pytest.raises(errors.AlreadyExists):
            requests.put(body, id="x", lane=lane)
    assert requests.put([1]).id != requests.put([1]).id


def test_one_that_was_given_back_is_the_next(requests):
    requests.put(1, id="a")
    requests.put(2, id="b")
    requests.take()
    assert requests.release("a").status is QUEUED
    again = requests.take()
    assert (again.id, again.attempt) == ("a", 2)


def test_one_that_failed_is_kept_and_can_be_done_again(requests):
    requests.put(1, id="a")
    requests.take()
    assert requests.fail("a", "no seat").error == "no seat"
    assert requests.take() is None
    assert requests.get("a").status is FAILED
    assert requests.retry("a").attempt == 0
    assert requests.take().error is None
    assert requests.drop("a")
    assert not requests.drop("a")


def test_what_cannot_be_is_refused(requests):
    requests.put(1, id="a")
    for call in (requests.complete, requests.release, requests.retry):
        with pytest.raises(errors.Refused):
            call("a")
        with pytest.raises(errors.NotFound):
            call("b")
    with pytest.raises(errors.Refused):
        requests.fail("a", "x")
    with pytest.raises(errors.NotStorable):
        requests.put({1})
    with pytest.raises(errors.NotFound):
        requests.get("b")


def test_what_was_active_comes_back_as_interrupted_under_its_own_id(place):
    def work(requests, store):
        for id in ("done", "doing", "waiting"):
            requests.put({"of": id}, id=id)
        requests.take()
        requests.complete("done")
        requests.take()

    killed(place, work)
    with holdfast.open(place) as store:
        requests = Requests(store)
        requests.put("new", id="new")
        assert store.checkpoints.restore().restored == ("requests",)
        assert stand(requests) == {
            "doing": INTERRUPTED,
            "waiting": QUEUED,
            "new": QUEUED,
        }
        doing = requests.take()
        assert (doing.id, doing.body, doing.attempt) == ("doing", {"of": "doing"}, 2)
        for _ in range(3):
            requests.complete(doing.id)
            doing = requests.take()
        assert doing is None
    with holdfast.open(place) as store:  # all was done: nothing is replayed
        requests = Requests(store)
        assert store.checkpoints.restore().restored == ()
        assert len(requests) == 0


def test_one_that_ends_its_process_each_time_is_given_up(place):
    for number in range(3):

        def work(requests, store):
            requests.put("poison", id="poison")
            store.checkpoints.restore()
            assert requests.take().attempt == number + 1  # noqa: B023 - run at once

        killed(place, work)
    with holdfast.open(place) as store:
        requests = Requests(store)
        store.checkpoints.restore()
        (poison,) = requests.list()
        assert (poison.status, poison.attempt) == (FAILED, 3)
        assert "ended 3 times" in poison.error
        assert requests.take() is None
        again = requests.retry("poison")
        assert (again.status, again.interruptions) == (QUEUED, 0)


def test_one_that_was_given_back_was_not_interrupted(place):
    def work(requests, store):
        requests.put(1, id="a")
        for _ in range(3):
            requests.take()
            requests.release("a")
        requests.take()

    killed(place, work)
    with holdfast.open(place) as store:
        requests = Requests(store)
        store.checkpoints.restore()
        one = requests.get("a")
        assert (one.status, one.attempt, one.interruptions) == (INTERRUPTED, 4, 1)


def test_what_was_put_again_before_it_came_back_goes_on_as_it_was(place):
    killed(place, lambda requests, store: (requests.put(1, id="a"), requests.take()))
    with holdfast.open(place) as store:
        requests = Requests(store)
        requests.put("new", id="new")
        requests.put(1, id="a")
        store.checkpoints.restore()
        assert stand(requests) == {"a": INTERRUPTED, "new": QUEUED}
    killed(place, lambda requests, store: (requests.put(1, id="b"), requests.take()))
    with holdfast.open(place) as store:
        requests = Requests(store)
        requests.put(1, id="b")
        requests.take()
        store.checkpoints.restore()
        assert requests.get("b").status is ACTIVE  # somebody is at it


def test_interrupted_again_before_it_was_taken_it_is_still_so(place):
    killed(place, lambda requests, store: (requests.put(1, id="a"), requests.take()))
    killed(place, lambda requests, store: store.checkpoints.restore())
    with holdfast.open(place) as store:
        requests = Requests(store)
        store.checkpoints.restore()
        assert stand(requests) == {"a": INTERRUPTED}


def test_several_queues_of_one_store_have_names(place):
    with holdfast.open(place) as store:
        Requests(store, "a").put(1)
        with pytest.raises(errors.Refused):
            Requests(store, "a")
        Requests(store, "b").put(2)
    with holdfast.open(place) as store:
        second = Requests(store, "b")
        assert store.checkpoints.restore().left == ("a",)
        assert [one.body for one in second.list()] == [2]


def test_a_queue_that_is_closed_leaves_nothing(place):
    with holdfast.open(place) as store:
        requests = Requests(store)
        requests.put(1)
        store.checkpoints.take()
        requests.close()
        Requests(store).close()
    with holdfast.open(place) as store:
        requests = Requests(store)
        assert store.checkpoints.restore().restored == ()


def test_a_thread_waits_for_the_next(requests):
    found = []
    waiting = threading.Thread(
        target=lambda: found.append(requests.take(timeout_seconds=30))
    )
    waiting.start()
    requests.put(1, id="a")
    waiting.join()
    assert found[0].id == "a"
    assert requests.take(timeout_seconds=0.01) is None


def test_everyone_is_given_another_one(requests):
    found, stop = [], threading.Event()

    def work():
        while not stop.is_set():
            one = requests.take(timeout_seconds=0.02)
            if one is not None:
                found.append(one.id)
                requests.complete(one.id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    ids = [requests.put(n, lane=f"l{n % 7}").id for n in range(300)]
    while requests:
        time.sleep(0.001)
    stop.set()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(ids)


def test_a_task_waits_for_the_next_and_an_event_loop_is_not_kept(place):
    async def main():
        async with holdfast.aopen(place) as store:
            requests = AsyncRequests(store)
            assert await requests.take(timeout_seconds=0) is None
            taking = asyncio.create_task(requests.take("a"))
            other = asyncio.create_task(requests.take("b"))
            await asyncio.sleep(0)
            requests.put(1, id="x", lane="a")
            assert (await taking).id == "x"
            other.cancel()
            with pytest.raises(asyncio.CancelledError):
                await other
            requests.put(2, id="y", lane="b")
            assert requests.get("y").status is QUEUED
            assert await requests.take("c", timeout_seconds=0.01) is None
            plain = Requests(store, "plain")
            with pytest.raises(errors.Refused, match="AsyncRequests"):
                plain.take(timeout_seconds=1)
            await store.checkpoints.take()
        async with holdfast.aopen(place) as store:
            requests = AsyncRequests(store)
            await store.checkpoints.restore()
            assert stand(requests) == {"x": INTERRUPTED, "y": QUEUED}

    asyncio.run(main())


def test_a_checkpoint_has_them_whatever_a_thread_was_amid(place):
    """As when a signal's handler closes the store, amid any call."""
    with holdfast.open(place) as store:
        requests = Requests(store)
        requests.put(1, id="a")
        with requests._mutex:
            taken = store.checkpoints.take()
            assert stand(requests) == {"a": QUEUED}
            requests.put(2, id="b")
        assert (len(taken.parts), taken.failed) == (1, {})


def test_what_several_processes_left_is_done_oldest_first(place):
    for process in "ab":
        with holdfast.open(place) as store:
            requests = Requests(store)
            for number in (1, 2, 3):
                requests.put(number, id=f"{process}{number}")
            requests.take()
    with holdfast.open(place) as store:
        requests = Requests(store)
        requests.put(0, id="new")
        store.checkpoints.restore()
        ids = [one.id for one in requests.list()]
        assert ids == ["a1", "b1", "a2", "a3", "b2", "b3", "new"]
        assert requests.take().id == "a1"
        requests.release("a1")
        assert requests.take().id == "a1"  # before what was interrupted as well


def test_a_lane_is_free_once_its_request_is_active_no_more(requests):
    for end in (requests.complete, requests.release, requests.drop):
        requests.put(1, id="a")
        requests.put(2, id="b")
        assert requests.take("").id == "a"
        assert requests.take("") is None
        assert not requests.drop("c")
        assert requests.take("") is None
        end("a")
        assert requests.take().id in {"a", "b"}
        requests.drop("a")
        requests.drop("b")
    requests.put(1, id="a")
    requests.put(2, id="b")
    requests.take()
    requests.fail("a", "no")
    assert requests.take().id == "b"
    requests.retry("a")
    assert [one.id for one in requests.list()] == ["b", "a"]


def test_arguments_of_a_wrong_type_are_refused(requests, place):
    for call in (
        lambda: requests.take([]),
        lambda: requests.list(lane=[]),
        lambda: requests.list(status="odd"),
        lambda: requests.get(5),
        lambda: requests.drop([]),
        lambda: Requests(place),
    ):
        with pytest.raises(errors.WrongType):
            call()
    with holdfast.open(place) as store, pytest.raises(errors.WrongType, match="1 or"):
        Requests(store, max_attempts=0)
