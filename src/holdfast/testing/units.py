"""Units: what whoever hands in a piece of work may rely on.

Answers for: results, failures, groups of units, threads and tasks by the many.
"""

import asyncio
import threading
from typing import Any

import pytest

from holdfast.engine import Transaction, Unit
from holdfast.errors import HoldfastError, Refused
from holdfast.testing.contract import Contract
from holdfast.testing.work import (
    Boom,
    Gates,
    Opened,
    Place,
    add,
    add_all,
    ids,
    then_fail,
)

_TRIES = 5
"""How often two units are given the chance to be of one group."""


class UnitsContract(Contract):
    """`write` and `post`."""

    def test_a_unit_gives_its_result_and_what_it_did_is_there(
        self, place: Place
    ) -> None:
        one = place.open()
        no = one.write(add("a"))
        assert one.read(lambda tx: tx.fields("task_now", no=no)) is not None

        async def awaited() -> list[str]:
            assert await one.posted(add("b")) != no
            return await one.posted_read(ids)

        assert place.awaited(awaited()) == ["a", "b"]

    def test_nobody_is_answered_before_the_commit(self, place: Place) -> None:
        one = place.open()
        for number in range(_TRIES):
            place.awaited(_behind_one_that_blocks(one, place, f"{number}"))
        assert one.ids() == [f"{number}" for number in range(_TRIES)]

    def test_a_unit_that_fails_leaves_nothing_and_raises_what_it_raised(
        self, place: Place
    ) -> None:
        one = place.open()
        for error in (Boom(), KeyboardInterrupt()):
            with pytest.raises(type(error)) as raised:
                one.write(then_fail(add("gone"), error))
            assert raised.value is error
            assert one.ids() == []
        one.write(add("kept"))
        assert one.ids() == ["kept"]

    def test_what_the_schema_refuses_is_an_error_of_ours_and_leaves_nothing(
        self, place: Place
    ) -> None:
        one = place.open()
        one.write(add("taken"))
        with pytest.raises(HoldfastError):
            one.write(add_all("gone", "taken"))
        assert one.ids() == ["taken"]

    def test_in_a_group_each_unit_fails_for_itself(self, place: Place) -> None:
        one = place.open()
        one.write(add("taken"))

        async def callers() -> list[object]:
            gates = Gates(one, place)
            posted: list[asyncio.Future[Any]] = [
                one.posted(add("a")),
                one.posted(then_fail(add("gone"), Boom())),
                one.posted(add("b")),
                one.posted(add_all("away", "taken")),
                one.posted(then_fail(ids, Boom())),
                one.posted(add("c")),
            ]
            gates.open()
            return [*await asyncio.gather(*posted, return_exceptions=True)]

        answers = place.awaited(callers())
        failed = [a if isinstance(a, Exception) else None for a in answers]
        kinds = [None if error is None else type(error) for error in failed]
        assert kinds[:3] == [None, Boom, None]
        assert isinstance(failed[3], HoldfastError)
        assert kinds[4:] == [Boom, None]
        assert one.ids() == ["a", "b", "c", "taken"]

    def test_of_many_units_each_is_answered_with_its_own(self, place: Place) -> None:
        one = place.open()
        names = [f"unit-{number:03}" for number in range(200)]

        def named(name: str) -> Unit[str]:
            return one.unit(lambda tx: (add(name)(tx), name)[1])

        async def callers() -> list[str]:
            units = [named(name) for name in names]
            loop = asyncio.get_running_loop()
            answers = [unit.awaited(loop) for unit in units]
            for unit in units:
                one.engine.post(unit)
            return await asyncio.gather(*answers)

        assert place.awaited(callers()) == names
        assert one.ids() == names

    def test_threads_and_tasks_share_an_engine(self, place: Place) -> None:
        one = place.open()

        async def tasks(number: int) -> None:
            for count in range(5):
                name = f"task-{number}-{count}"
                await one.posted(add(name))
                assert name in await one.posted_read(ids)

        async def many(number: int) -> None:
            await asyncio.gather(*(tasks(number * 10 + n) for n in range(5)))

        def thread(number: int) -> None:
            if number % 2:
                asyncio.run(many(number))
                return
            for count in range(10):
                name = f"thread-{number}-{count}"
                one.write(add(name))
                assert name in one.ids()

        place.at_once(6, thread)
        assert len(one.ids()) == 3 * 10 + 3 * 25

    def test_a_unit_of_a_cancelled_caller_is_there_whole_or_not_at_all(
        self, place: Place
    ) -> None:
        one = place.open()

        async def callers() -> set[str]:
            posted = {
                f"{number:02}": one.posted(add_all(f"{number:02}", f"{number:02}+"))
                for number in range(40)
            }
            for number, future in enumerate(posted.values()):
                if number % 2:
                    future.cancel()
                    await asyncio.sleep(0)
            await asyncio.gather(*posted.values(), return_exceptions=True)
            await one.posted(add("after"))
            return {name for name, future in posted.items() if not future.cancelled()}

        answered = place.awaited(callers())
        there = {id for id in one.ids() if id != "after"}
        halves = {id.removesuffix("+") for id in there}
        assert there == halves | {f"{half}+" for half in halves}
        assert answered <= halves

    def test_an_event_loop_that_ends_before_its_answers_hurts_nobody(
        self, place: Place
    ) -> None:
        one = place.open()
        go_on = threading.Event()

        async def leave() -> None:
            one.posted(lambda _: place.met(go_on))
            one.posted(add("a"))

        place.awaited(leave())
        go_on.set()
        one.write(add("after"))
        assert "after" in one.ids()

    def test_time_stands_still_in_a_unit_and_its_ids_differ(self, place: Place) -> None:
        one = place.open()

        def work(tx: Transaction) -> tuple[int, int, str, str]:
            before = tx.now
            made = tx.new_id(), tx.new_id()
            add("a")(tx)
            return before, tx.now, *made

        unit = one.unit(work)
        before, after, first, second = one.engine.write(unit)
        assert unit.now <= before == after
        assert first != second

    def test_what_a_unit_hands_out_does_nothing_after_its_end(
        self, place: Place
    ) -> None:
        one = place.open()
        tx = one.write(lambda tx: tx)
        for use in (ids, add("apart")):
            with pytest.raises(Refused):
                use(tx)
        assert one.ids() == []


async def _behind_one_that_blocks(one: Opened, place: Place, name: str) -> None:
    """A unit, and one after it that blocks: if one is answered, it is there."""
    blocked, go_on = threading.Event(), threading.Event()

    def block(_: Transaction) -> None:
        blocked.set()
        place.met(go_on)

    gates = Gates(one, place)
    first, second = one.posted(add(name)), one.posted(block)
    gates.open()
    await asyncio.to_thread(place.met, blocked)
    await asyncio.sleep(0)  # an answer that is on its way arrives
    try:
        if first.done():
            read = one.posted_read(ids)
            there = await asyncio.wait_for(read, place.patience_seconds / 2)
            assert name in there, "it was answered, and is not there"
    finally:
        go_on.set()
    await asyncio.gather(first, second, *gates.answers)
