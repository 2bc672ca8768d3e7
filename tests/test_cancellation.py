"""Cancelled, timed out, abandoned: all of a unit or nothing, and the store goes on."""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import holdfast
from holdfast.errors import Refused, TimedOut
from turns import JOIN_SECONDS, joined, turn_held

PATIENCE_SECONDS = 30


@pytest.fixture
def talk(open_store) -> holdfast.Store:
    store = open_store()
    store.sessions.create(id="talk")
    return store


def unit(tx: holdfast.Transaction, name: str) -> str:
    """Two writes that belong together."""
    tx.sessions.append("talk", "user", name, message_id=name)
    tx.tasks.create(name, id=name)
    return name


def there(store: holdfast.Store) -> set[str]:
    """The units that are there, none of them by half."""
    messages = {message.id for message in store.sessions.history("talk")}
    assert messages == {task.id for task in store.tasks.list(limit=1_000)}
    return messages


def awaited(work: Awaitable[Any]) -> Any:
    """Run it on a loop of its own; what hangs fails."""

    async def limited() -> Any:
        return await asyncio.wait_for(work, PATIENCE_SECONDS)

    return asyncio.run(limited())


async def still_works(store: holdfast.Store) -> None:
    """Both faces write and read, as if nothing had been."""
    await store.aio.run(unit, "after")
    async with store.aio.transaction() as tx:
        await tx.sessions.append("talk", "user", "x", message_id="awaited")
        await tx.tasks.create("x", id="awaited")
    assert {"after", "awaited"} <= there(store)


async def in_transaction(store: holdfast.Store, name: str) -> str:
    async with store.aio.transaction(timeout_seconds=20) as tx:
        await tx.sessions.append("talk", "user", name, message_id=name)
        async with tx.savepoint():
            await tx.tasks.create(name, id=name)
    return name


async def by_run(store: holdfast.Store, name: str) -> str:
    return await store.aio.run(unit, name)


@pytest.mark.parametrize("way", [in_transaction, by_run])
def test_a_caller_cancelled_at_any_moment_leaves_all_or_nothing(talk, way):
    chance = random.Random(7)

    async def callers() -> tuple[set[str], set[str]]:
        tasks = {
            f"unit-{number}": asyncio.ensure_future(way(talk, f"unit-{number}"))
            for number in range(150)
        }
        for name in chance.sample(sorted(tasks), 100):
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(chance.choice([0, 0, 0.000_2]))  # a random moment
            tasks[name].cancel()
        answers = await asyncio.gather(*tasks.values(), return_exceptions=True)
        kept = {answer for answer in answers if isinstance(answer, str)}
        others = {type(a) for a in answers if not isinstance(a, str)}
        assert others <= {asyncio.CancelledError}, "a cancelled caller hears just that"
        await still_works(talk)
        return kept, set(tasks)

    kept, tried = awaited(callers())
    assert kept <= there(talk) <= tried | {"after", "awaited"}


@pytest.mark.parametrize("steps", range(14))
def test_a_transaction_cancelled_at_any_step_leaves_nothing(talk, steps):
    async def caller() -> None:
        task = asyncio.ensure_future(in_transaction(talk, "unit"))
        for _ in range(steps):
            await asyncio.sleep(0)
        gone = task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert gone
        await still_works(talk)

    awaited(caller())
    assert there(talk) - {"unit"} == {"after", "awaited"}


def test_a_transaction_that_is_cancelled_while_a_step_runs_is_cancelled(talk):
    begun, go_on = threading.Event(), threading.Event()

    async def caller() -> None:
        async with talk.aio.transaction(timeout_seconds=20) as tx:
            await tx.sessions.append("talk", "user", "gone")

            def slow(_: object) -> None:
                begun.set()
                go_on.wait(JOIN_SECONDS)

            await tx._loan.do(slow)

    async def cancelled() -> None:
        task = asyncio.ensure_future(caller())
        await asyncio.to_thread(begun.wait, JOIN_SECONDS)
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await still_works(talk)

    awaited(cancelled())


def test_a_transaction_that_is_cancelled_after_its_time_is_cancelled(talk):
    async def caller() -> None:
        async with talk.aio.transaction(timeout_seconds=0.01):
            await asyncio.Event().wait()

    async def cancelled() -> None:
        task = asyncio.ensure_future(caller())
        await asyncio.sleep(0)
        await talk.aio.sessions.append("talk", "user", "x")  # served when time is up
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    awaited(cancelled())
    assert talk.sessions.get("talk").message_count == 1


def test_a_unit_that_is_abandoned_before_its_start_is_skipped(talk):
    ran: list[int] = []

    async def callers() -> None:
        with turn_held(talk):
            tasks = [
                asyncio.ensure_future(talk.aio.run(lambda tx, n=n: ran.append(n)))
                for n in range(9)
            ]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)

    awaited(callers())
    assert ran == [1, 3, 5, 7]


def test_a_transaction_cancelled_while_it_waits_takes_no_turn(talk):
    async def callers() -> None:
        with turn_held(talk):
            task = asyncio.ensure_future(in_transaction(talk, "unit"))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await still_works(talk)

    awaited(callers())
    assert there(talk) == {"after", "awaited"}


def test_a_body_past_its_time_is_told_and_the_others_go_on(talk):
    written = threading.Event()

    def write() -> None:
        talk.run(unit, "other")
        written.set()

    other = threading.Thread(target=write)
    with pytest.raises(TimedOut), talk.transaction(timeout_seconds=0.2) as tx:
        unit(tx, "gone")
        other.start()
        assert written.wait(JOIN_SECONDS), "the others go on when its time is up"
        with pytest.raises(TimedOut):
            unit(tx, "late")
    joined(other)
    assert there(talk) == {"other"}


def test_a_body_past_its_time_is_told_though_nobody_waited(talk, monkeypatch):
    with pytest.raises(TimedOut), talk.transaction(timeout_seconds=0.001) as tx:
        unit(tx, "gone")
        threading.Event().wait(0.01)
    assert there(talk) == set()


def test_an_awaiting_body_past_its_time_is_told_and_the_others_go_on(talk):
    async def slow() -> None:
        async with talk.aio.transaction(timeout_seconds=0.05) as tx:
            await tx.sessions.append("talk", "user", "gone")
            await talk_is_free.wait()
            await tx.sessions.append("talk", "user", "late")

    async def callers() -> None:
        nonlocal talk_is_free
        talk_is_free = asyncio.Event()
        task = asyncio.ensure_future(slow())
        await asyncio.sleep(0)
        await talk.aio.run(unit, "other")
        talk_is_free.set()
        with pytest.raises(TimedOut):
            await task

    talk_is_free = asyncio.Event()
    awaited(callers())
    assert there(talk) == {"other"}


def test_a_call_by_the_task_inside_is_refused_and_by_its_children_waits(talk):
    async def callers() -> None:
        async with talk.aio.transaction(timeout_seconds=20) as tx:
            with pytest.raises(Refused, match=r"tx\.tasks\.create"):
                await talk.aio.tasks.create("apart")
            with pytest.raises(Refused):
                await talk.aio.run(unit, "apart")
            with pytest.raises(Refused):
                async with talk.aio.transaction():
                    pass
            child = asyncio.ensure_future(talk.aio.run(unit, "child"))
            await tx.sessions.append("talk", "user", "x", message_id="mine")
            await tx.tasks.create("x", id="mine")
            assert not child.done()
        assert await child == "child"

    awaited(callers())
    assert there(talk) == {"mine", "child"}


def test_steps_that_are_not_awaited_yet_cannot_end_a_transaction(talk):
    async def caller() -> None:
        async with talk.aio.transaction(timeout_seconds=20) as tx:
            await tx.tasks.create("x", id="unit")
            late = asyncio.ensure_future(
                tx.sessions.append("talk", "user", "x", message_id="unit")
            )
            await asyncio.sleep(0)  # the step is on its way, and the block is over
        await late

    awaited(caller())
    assert there(talk) == {"unit"}


def test_many_steps_at_once_are_all_of_one_transaction(talk):
    async def caller() -> None:
        async with talk.aio.transaction(timeout_seconds=20) as tx:
            await asyncio.gather(
                *(tx.tasks.create("x", id=f"t{n}") for n in range(50)),
                *(
                    tx.sessions.append("talk", "user", "x", message_id=f"t{n}")
                    for n in range(50)
                ),
            )

    awaited(caller())
    assert len(there(talk)) == 50
    assert len({change.moment for change in talk.journal.read(after=1)}) == 1


@pytest.mark.parametrize("leak", ["transaction", "history"])
def test_what_a_unit_hands_out_does_nothing_after_its_end(talk, leak):
    talk.run(unit, "first")
    handed: dict[str, Callable[[], Any]] = {
        "transaction": lambda: tx.sessions.append("talk", "user", "apart"),
        "history": lambda: list(tx.sessions.history("talk")),
    }
    for way in (talk.run, lambda fn: awaited(talk.aio.run(fn))):
        tx = way(lambda tx: tx)
        with pytest.raises(Refused, match="ended"):
            handed[leak]()
    with talk.transaction() as body:
        lazy = body.sessions.history("talk")
    with pytest.raises(Refused, match="ended"):
        list(lazy)
    assert there(talk) == {"first"}


def test_a_loop_that_is_closed_while_its_units_wait_hurts_nobody(talk):
    waiting: list[asyncio.Future[Any]] = []

    async def abandon() -> None:
        aio = talk.aio
        waiting.append(asyncio.ensure_future(aio.run(unit, "late")))
        waiting.append(asyncio.ensure_future(in_transaction(talk, "later")))
        await asyncio.sleep(0)

    with turn_held(talk):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(abandon())
        for task in waiting:
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    talk.run(unit, "after")
    assert "after" in there(talk)
