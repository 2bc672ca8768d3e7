"""Endings: closed while others work, closed before, opened by a parent process.

Answers for: who waits is answered, who comes later is told, nothing is lost.
"""

import asyncio
import os
import select
import signal
import threading
import traceback
import warnings
from collections.abc import Callable
from functools import partial

import pytest

from holdfast.errors import Closed
from holdfast.testing.contract import Contract, needs
from holdfast.testing.work import ME, Opened, Place, add, ids

_WORKERS = 6


class EndingsContract(Contract):
    """`close`, and the child of a fork."""

    def test_a_closed_engine_refuses_everything(self, place: Place) -> None:
        one = place.open()
        one.write(add("a"))
        one.engine.close()
        one.engine.close()
        _refused(one, place)
        assert not one.engine.inside()

    def test_a_close_answers_who_waits(self, place: Place) -> None:
        one = place.open()

        async def callers() -> list[object]:
            posted = [one.posted(add(f"{number}")) for number in range(30)]
            await asyncio.to_thread(one.engine.close)
            return [*await asyncio.gather(*posted, return_exceptions=True)]

        answers = place.awaited(callers())
        kept = [a for a in answers if not isinstance(a, BaseException)]
        others = [a for a in answers if isinstance(a, BaseException)]
        assert {type(error) for error in others} <= {Closed}
        if self.shared_places:
            assert len(place.open().ids()) == len(kept)

    def test_a_close_while_many_work_loses_nothing_and_leaves_nobody_waiting(
        self, place: Place
    ) -> None:
        one = place.open()
        at_work = threading.Barrier(_WORKERS + 1)
        kept: list[str] = []

        def work(number: int) -> None:
            _until_closed(
                one, place, number, kept, lambda: at_work.wait(place.patience_seconds)
            )

        with place.threads(*(partial(work, number) for number in range(_WORKERS))):
            at_work.wait(place.patience_seconds)
            one.engine.close()
        if self.shared_places:
            assert set(kept) <= set(place.open().ids())
        assert len(kept) >= _WORKERS

    def test_a_close_waits_for_a_body_on_another_thread(self, place: Place) -> None:
        one = place.open()
        begun, closing = threading.Event(), threading.Event()
        done: list[str] = []

        def body() -> None:
            with one.body() as tx:
                begun.set()
                place.met(closing)
                add("a")(tx)
                done.append("committed")

        with place.threads(body):
            assert place.met(begun)
            closing.set()
            one.engine.close()
            assert done == ["committed"]
        if self.shared_places:
            assert place.open().ids() == ["a"]

    @needs("forks")
    def test_the_child_of_a_fork_is_refused_and_its_parent_goes_on(
        self, place: Place
    ) -> None:
        one = place.open()
        one.write(add("before"))
        one.ids()

        def child() -> None:
            _refused(one, place)
            one.engine.close()

        assert _in_a_child(child, place) == b"refused"
        one.write(add("after"))
        assert one.ids() == ["after", "before"]


def _refused(one: Opened, place: Place) -> None:
    """Everything that can be asked of the engine is refused, and nothing hangs."""
    uses: tuple[Callable[[], object], ...] = (
        lambda: one.write(add("b")),
        lambda: one.read(ids),
        lambda: one.body().__enter__(),
        lambda: one.engine.watch(lambda: None),
        one.engine.check,
    )
    for use in uses:
        with pytest.raises(Closed):
            use()

    async def awaited() -> None:
        with pytest.raises(Closed):
            await one.posted(add("b"))
        with pytest.raises(Closed):
            await one.posted_read(ids)
        with pytest.raises(Closed):
            await one.engine.lend(ME, place.patience_seconds)

    place.awaited(awaited())


def _until_closed(
    one: Opened,
    place: Place,
    number: int,
    kept: list[str],
    begun: Callable[[], object],
) -> None:
    """Units, posted ones and bodies, until the engine is closed."""

    async def posted(name: str) -> None:
        await one.posted(add(name))

    try:
        for count in range(100_000):
            name = f"{number}-{count}"
            if number % 3 == 0:
                one.write(add(name))
            elif number % 3 == 1:
                place.awaited(posted(name))
            else:
                with one.body() as tx:
                    add(name)(tx)
            kept.append(name)
            if count == 0:
                begun()
    except Closed:
        return


def _in_a_child(work: Callable[[], None], place: Place) -> bytes:
    """What a forked child says: `refused`, if its work succeeds."""
    pipe, end = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads: as intended
        child = os.fork()
    if child == 0:
        try:
            work()
            os.write(end, b"refused")
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(end)
    try:
        ready, _, _ = select.select([pipe], [], [], place.patience_seconds)
        return os.read(pipe, 100) if ready else b"it hangs"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(pipe)
