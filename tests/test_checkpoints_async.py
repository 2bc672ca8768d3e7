"""Checkpoints in async code: awaited, cancelled, at the end of a loop."""

import asyncio
import logging

import pytest

import holdfast
from holdfast import errors
from remembering import Memory


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
        for call, name in ((store.checkpoints.take("mine"), "mine"),):
            taking = asyncio.create_task(call)
            await asked.wait()
            for _ in range(3):
                taking.cancel()
                await asyncio.sleep(0)
            assert not taking.done()
            go.set()
            with pytest.raises(asyncio.CancelledError):
                await taking
            assert (await store.checkpoints.latest()).reason == name
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


def test_async_calls_have_the_sync_ones_meaning(place):
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
