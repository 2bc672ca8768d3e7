"""Checkpoints in async code: awaited, cancelled, at the end of a loop."""

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import holdfast
from holdfast import errors
from holdfast.runtime.checkpoints.shielding import to_its_end
from remembering import Memory, hurry, taken_in


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "agent.db")


def test_async_participants_are_awaited_on_their_loop_and_cancelled_in_time(place):
    async def main():
        async with holdfast.aopen(place) as store:
            loops, cancelled = [], []

            async def collect():
                loops.append(asyncio.get_running_loop())
                await asyncio.sleep(0)
                return [1]

            async def hang():
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    cancelled.append(1)
                    raise

            await store.checkpoints.participant("queue", collect)
            await store.checkpoints.participant("hang", hang, seconds=0.05)
            taken = await store.checkpoints.take()
            assert [part.data for part in taken.parts] == [[1]]
            assert "not done within 0.05 s" in taken.failed["hang"]
            assert (loops, cancelled) == ([asyncio.get_running_loop()], [1])

    asyncio.run(main())


def test_a_cancelled_take_and_a_cancelled_close_are_done_to_their_ends(place):
    async def main():
        store = await holdfast.aopen(place)
        asked, go = asyncio.Event(), asyncio.Event()

        async def collect():
            asked.set()
            await go.wait()
            return [1]

        await store.checkpoints.participant("queue", collect)
        taking = asyncio.create_task(store.checkpoints.take("mine"))
        await asked.wait()
        for _ in range(3):
            taking.cancel()
            await asyncio.sleep(0)
        assert not taking.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await taking
        assert (await store.checkpoints.latest()).reason == "mine"
        go.clear()
        asked.clear()
        closing = asyncio.create_task(store.close())
        await asked.wait()
        closing.cancel()
        await asyncio.sleep(0)
        assert not closing.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(errors.Closed):
            await store.checkpoints.latest()

    asyncio.run(main())


def test_a_cancelled_restore_is_done_to_its_end(place):
    taken_in(place, [1])

    async def main():
        asked, go, given = asyncio.Event(), asyncio.Event(), []

        async def restore(data):
            asked.set()
            await go.wait()
            given.append(data)

        async with holdfast.aopen(place) as store:
            await store.checkpoints.participant("queue", lambda: given, restore)
            restoring = asyncio.create_task(store.checkpoints.restore())
            await asked.wait()
            restoring.cancel()
            await asyncio.sleep(0)
            go.set()
            with pytest.raises(asyncio.CancelledError):
                await restoring
            assert given == [[1]]
            assert (await store.checkpoints.latest()).reason == "restored"

    asyncio.run(main())


def test_a_loop_that_ends_still_lets_the_last_be_taken(place):
    """`asyncio.run` cancels all tasks at its end, those of participants too."""

    async def main():
        store = await holdfast.aopen(place)
        begun = asyncio.Event()

        async def collect():
            begun.set()
            await asyncio.sleep(0.05)
            return [1]

        await store.checkpoints.participant("queue", collect)
        main.closing = asyncio.create_task(store.close())
        await begun.wait()

    asyncio.run(main())
    with holdfast.open(place) as store:
        assert store.checkpoints.latest().failed == {}
        assert store.checkpoints.latest().parts[0].data == [1]


def test_a_loop_that_is_over_is_said(place, caplog):
    async def begin():
        store = await holdfast.aopen(place)

        async def collect():
            return [1]

        await store.checkpoints.participant("queue", collect)
        return store

    store = asyncio.run(begin())
    with caplog.at_level(logging.CRITICAL, "holdfast.checkpoints"):
        store.sync.close()
    with holdfast.open(place) as store:
        assert store.checkpoints.latest().failed == {
            "queue": "its event loop does not run any more"
        }


def test_a_sync_call_on_the_loop_itself_calls_plain_functions(place, caplog):
    async def main():
        store = await holdfast.aopen(place)

        async def collect():
            return [1]

        await store.checkpoints.participant("awaited", collect)
        await store.checkpoints.participant("plain", lambda: [2])
        with caplog.at_level(logging.CRITICAL, "holdfast.checkpoints"):
            taken = store.sync.checkpoints.take()
        assert [part.data for part in taken.parts] == [[2]]
        assert "keeps waiting" in taken.failed["awaited"]
        await store.close()

    asyncio.run(main())


def test_async_calls_have_the_sync_ones_meaning(place, monkeypatch):
    hurry(monkeypatch)

    async def main():
        async with holdfast.aopen(place) as store:
            memory = Memory([1])
            leave = await memory.take_part(store)
            assert (await store.checkpoints.collect()).parts == {"queue": [1]}
            stop = await store.checkpoints.every(0.01)
            for _ in range(5_000):
                if await store.checkpoints.latest():
                    break
                await asyncio.sleep(0.005)
            stop()
            (answer,) = await store.checkpoints.ask(seconds=20)
            assert answer.answered
            leave()
            assert await store.checkpoints.take() is None

    asyncio.run(main())


def test_a_plain_function_is_collected_though_its_loop_is_over(place):
    """As a program ends that closes nothing: `asyncio.run` is over by then."""

    async def begin():
        store = await holdfast.aopen(place)
        await store.checkpoints.participant("queue", lambda: [1])
        return store

    asyncio.run(begin()).sync.close()
    with holdfast.open(place) as store:
        assert store.checkpoints.latest().failed == {}
        assert store.checkpoints.latest().parts[0].data == [1]


def test_a_participants_own_timeout_is_said_to_be_its_own(place, caplog):
    async def main():
        async def collect():
            raise TimeoutError("the other side said nothing")

        async with holdfast.aopen(place) as store:
            await store.checkpoints.participant("queue", collect)
            with caplog.at_level(logging.CRITICAL, "holdfast.checkpoints"):
                taken = await store.checkpoints.take()
            assert taken.failed == {
                "queue": "TimeoutError: the other side said nothing"
            }

    asyncio.run(main())


def test_a_task_that_a_restore_began_may_take_a_checkpoint_later(place):
    async def main():
        async with holdfast.aopen(place) as store:
            await Memory([1]).take_part(store)
        async with holdfast.aopen(place) as store:
            restored, tasks = asyncio.Event(), []

            async def go_on():
                await restored.wait()
                return await store.checkpoints.take("later")

            async def restore(data):
                tasks.append(asyncio.create_task(go_on()))

            await store.checkpoints.participant("queue", lambda: [2], restore)
            await store.checkpoints.restore()
            restored.set()
            assert (await tasks[0]).reason == "later"

    asyncio.run(main())


def test_it_is_encoded_on_the_event_loop_where_nothing_changes_meanwhile(place):
    async def main():
        looked = []

        class Box(dict):
            def __bool__(self):
                looked.append(threading.get_ident())
                return True

        async def collect():
            return Box(a=1)

        async with holdfast.aopen(place) as store:
            await store.checkpoints.participant("queue", collect)
            taken = await store.checkpoints.take()
            assert taken.parts[0].data == {"a": 1}
            assert set(looked) == {threading.get_ident()}

    asyncio.run(main())


def test_where_all_threads_of_the_loop_hang_it_is_taken_all_the_same(place):
    async def main():
        loop, over = asyncio.get_running_loop(), threading.Event()
        loop.set_default_executor(ThreadPoolExecutor(1))
        async with holdfast.aopen(place) as store:
            hanging = loop.run_in_executor(None, over.wait)
            await Memory([1]).take_part(store)
            assert (await store.checkpoints.take()).parts[0].data == [1]
        over.set()
        await hanging

    asyncio.run(main())


def test_what_failed_is_the_cause_of_the_cancellation_that_waited_for_it():
    async def main():
        begun, go = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def work():
            loop.call_soon_threadsafe(begun.set)
            go.wait()
            raise errors.StorageFull("the disk is full")

        task = asyncio.create_task(to_its_end(work))
        await begun.wait()
        task.cancel()
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert isinstance(caught.value.__cause__, errors.StorageFull)

    asyncio.run(main())
