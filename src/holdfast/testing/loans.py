"""Loans: a transaction for a block of code that awaits.

Answers for: all or nothing, the time limit, cancellation at every await.
"""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

import pytest

from holdfast.errors import Refused, TimedOut
from holdfast.testing.contract import Contract
from holdfast.testing.work import Boom, Opened, Place, add, add_all, ids, then_fail

_SHORT_SECONDS = 0.05


class LoansContract(Contract):
    """`lend` and `inside`, and `post` for who is cancelled."""

    def test_a_loan_is_kept_or_dropped_whole(self, place: Place) -> None:
        one = place.open()

        async def lent(name: str, *, keep: bool) -> None:
            loan = await one.loan()
            assert isinstance(await loan.do(add(name)), int)
            await loan.do(add(f"{name}+"))
            assert name in await loan.do(ids)
            await loan.end(keep=keep)
            with pytest.raises(Refused):
                await loan.do(ids)

        place.awaited(lent("kept", keep=True))
        place.awaited(lent("dropped", keep=False))
        assert one.ids() == ["kept", "kept+"]
        assert len({change.moment for change in one.journal()}) == 1

    def test_a_step_that_fails_leaves_its_loan_open(self, place: Place) -> None:
        one = place.open()

        async def lent() -> None:
            loan = await one.loan()
            await loan.do(add("a"))
            with pytest.raises(Boom):
                await loan.do(then_fail(ids, Boom()))
            await loan.do(add("b"))
            await loan.end(keep=True)

        place.awaited(lent())
        assert one.ids() == ["a", "b"]

    def test_a_part_of_a_loan_fails_alone(self, place: Place) -> None:
        one = place.open()

        async def lent() -> None:
            async with one.store.aio.transaction() as tx:
                await tx.tasks.create("a task", id="before")
                with pytest.raises(Boom):
                    async with tx.savepoint():
                        await tx.tasks.create("a task", id="gone")
                        raise Boom
                async with tx.savepoint():
                    await tx.tasks.create("a task", id="part")
                await tx.tasks.create("a task", id="after")

        place.awaited(lent())
        assert one.ids() == ["after", "before", "part"]

    def test_a_loan_past_its_time_is_told_and_keeps_nobody_waiting(
        self, place: Place
    ) -> None:
        one = place.open()

        async def lent(*, keep: bool) -> None:
            loan = await one.loan(_SHORT_SECONDS)
            await loan.do(add("gone"))
            await asyncio.create_task(_posted(one, f"other-{keep}"))
            with pytest.raises(TimedOut):
                while True:
                    await loan.do(ids)
            if keep:
                with pytest.raises(TimedOut):
                    await loan.end(keep=True)
            else:
                await loan.end(keep=False)
            assert not one.engine.inside()

        for keep in (True, False):
            place.awaited(lent(keep=keep))
        assert one.ids() == ["other-False", "other-True"]

    def test_a_task_is_inside_its_loan_and_its_children_are_not(
        self, place: Place
    ) -> None:
        one = place.open()

        async def look() -> bool:
            return one.engine.inside()

        async def lent() -> None:
            assert not one.engine.inside()
            loan = await one.loan()
            assert one.engine.inside()
            assert not await asyncio.create_task(look())
            assert not await asyncio.to_thread(one.engine.inside)
            with pytest.raises(Refused):
                await one.store.aio.tasks.create("apart")
            await loan.end(keep=True)
            assert not one.engine.inside()

        place.awaited(lent())

    def test_a_loan_that_is_cancelled_at_any_await_is_there_whole_or_not_at_all(
        self, place: Place
    ) -> None:
        one = place.open()

        async def lent(name: str) -> None:
            loan = await one.loan()
            try:
                await loan.do(add(name))
                await loan.do(add(f"{name}+"))
            except BaseException:
                await loan.end(keep=False)
                raise
            await loan.end(keep=True)

        assert _cut_everywhere(one, place, lent) >= 4

    def test_a_unit_that_is_cancelled_at_any_await_is_there_whole_or_not_at_all(
        self, place: Place
    ) -> None:
        one = place.open()

        async def posted(name: str) -> None:
            await one.posted(add_all(name, f"{name}+"))

        assert _cut_everywhere(one, place, posted) >= 1

    def test_loans_of_many_tasks_get_on(self, place: Place) -> None:
        one = place.open()

        async def lent(number: int) -> None:
            async with one.store.aio.transaction() as tx:
                await tx.tasks.create("a task", id=f"{number}")
                await tx.tasks.start(f"{number}")

        async def callers() -> None:
            await asyncio.gather(*(lent(number) for number in range(12)))

        place.awaited(callers())
        assert one.ids() == sorted(str(number) for number in range(12))


async def _posted(one: Opened, name: str) -> None:
    await one.posted(add(name))


def _cut_everywhere(one: Opened, place: Place, work: Any) -> int:
    """Cancel work at each of its awaits in turn; how many those were."""
    cuts = 0
    for answered in (False, True):
        for at in range(1, 100):
            cut = _Cut(work(f"{answered}-{at}"), at, answered=answered)
            place.awaited(_outcome(one, cut))
            if not cut.fell:
                break
            cuts += 1
    there = {id for id in one.ids() if not id.startswith("after")}
    halves = {id.removesuffix("+") for id in there}
    assert there == halves | {f"{half}+" for half in halves}
    return cuts // 2


async def _outcome(one: Opened, cut: "_Cut") -> None:
    """What is cancelled says so, and others go on."""
    if cut.at > 1 or cut.answered:
        await asyncio.sleep(0)
    task = asyncio.ensure_future(cut.whole())
    (ended,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError) == cut.fell
    await one.posted(add(f"after-{cut.answered}-{cut.at}"))
    assert not one.engine.inside()


class _Cut:
    """Work that is cancelled as it begins its n-th wait, or as that is answered."""

    def __init__(
        self, work: Coroutine[Any, Any, None], at: int, *, answered: bool
    ) -> None:
        self._work = work
        self.at = at
        self.answered = answered
        self.fell = False

    async def whole(self) -> None:
        """All of it, in the task that is cancelled."""
        await self

    def __await__(self) -> Generator[Any, None, None]:
        error: BaseException | None = None
        waits = 0
        while True:
            try:
                waiting = self._work.throw(error) if error else self._work.send(None)
            except StopIteration:
                return
            waits += 1
            if waits == self.at:
                self._fall(waiting)
            try:
                yield waiting
                error = None
            except BaseException as raised:
                error = raised

    def _fall(self, waiting: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.fell = True
        if self.answered and waiting is not None:
            waiting.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()
