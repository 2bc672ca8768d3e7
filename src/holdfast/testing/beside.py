"""Beside: what is kept next to the state, and is no part of it.

Answers for: units there, all or nothing; that they make no moment and no change, are in
no transaction of the state's, and wake who watches there.
"""

import asyncio
import threading
from typing import Any, TypeVar

import pytest

from holdfast.engine import Terms, Transaction, Work
from holdfast.errors import Closed, HoldfastError, Refused
from holdfast.testing.contract import Contract, needs
from holdfast.testing.tellings import Recorded
from holdfast.testing.work import Boom, Gates, Opened, Place, add, then_fail

T = TypeVar("T")
_BESIDE = Terms(every_owner=True, beside=True)
_ROUNDS = 3


class BesideContract(Contract):
    """`beside`."""

    def test_what_is_kept_beside_the_state_is_read_there(self, place: Place) -> None:
        one = place.open()
        assert _write(one, _keep("a", 1)) == "a"
        assert _read(one, _kept) == {"a": 1}

        async def awaited() -> dict[str, int]:
            assert await _posted(one, _keep("b", 2)) == "b"
            read = one.unit(_kept, _BESIDE)
            future = read.awaited(asyncio.get_running_loop())
            one.engine.beside.post_read(read)
            return await future

        assert place.awaited(awaited()) == {"a": 1, "b": 2}
        assert _write(one, _kept) == {"a": 1, "b": 2}

    def test_a_unit_beside_the_state_is_kept_whole_or_leaves_nothing(
        self, place: Place
    ) -> None:
        one = place.open()
        for error in (Boom(), KeyboardInterrupt()):
            with pytest.raises(type(error)) as raised:
                _write(one, then_fail(_keep("gone", 1), error))
            assert raised.value is error
            assert _read(one, _kept) == {}
        with pytest.raises(HoldfastError):
            _write(one, _both(_keep("gone", 1), _keep("away", None)))
        assert _write(one, _both(_keep("a", 1), _keep("b", 2))) is None
        assert _read(one, _kept) == {"a": 1, "b": 2}

    def test_of_units_beside_the_state_each_fails_for_itself(
        self, place: Place
    ) -> None:
        one = place.open()

        async def callers() -> list[object]:
            gates = Gates(one, place)
            posted: list[asyncio.Future[Any]] = [
                _posted(one, _keep("a", 1)),
                _posted(one, then_fail(_keep("gone", 1), Boom())),
                one.posted(add("task")),
                _posted(one, _both(_keep("away", 1), _keep("away", None))),
                one.posted(then_fail(add("gone"), Boom())),
                _posted(one, _keep("b", 2)),
            ]
            gates.open()
            return [*await asyncio.gather(*posted, return_exceptions=True)]

        answers = place.awaited(callers())
        failed = [isinstance(answer, BaseException) for answer in answers]
        assert failed == [False, True, False, True, True, False]
        assert _read(one, _kept) == {"a": 1, "b": 2}
        assert one.ids() == ["task"]

    def test_what_is_kept_beside_the_state_is_no_change_of_it(
        self, place: Place
    ) -> None:
        one = place.open()
        told = Recorded(one)
        one.write(add("a"))
        for value in range(3):
            _write(one, _keep("n", value))
        assert one.store.moment() == 1
        one.write(add("b"))
        assert [change.seq for change in one.journal()] == [1, 2]
        assert told.commits == [[], []]  # those of the state

    def test_neither_waits_for_a_transaction_of_the_other(self, place: Place) -> None:
        one = place.open()
        begun, go_on = threading.Event(), threading.Event()

        def blocks(tx: Transaction) -> None:
            _keep("b", 2)(tx)
            begun.set()
            assert place.met(go_on), "the state's transaction waits for it"

        def meanwhile() -> None:
            _write(one, _keep("other", 3))

        with pytest.raises(Boom), one.body() as tx:
            add("gone")(tx)
            _write(one, _keep("a", 1))
            with place.threads(meanwhile):
                pass
            assert _read(one, _kept) == {"a": 1, "other": 3}
            raise Boom
        with place.threads(lambda: _write(one, blocks)):
            assert place.met(begun)
            one.write(add("a"))
            assert one.ids() == ["a"]
            go_on.set()
        assert _read(one, _kept) == {"a": 1, "b": 2, "other": 3}

    @needs("shared_places")
    def test_it_is_there_once_it_was_written_to(self, place: Place) -> None:
        one, other = place.open(), place.open()
        _write(one, _keep("a", 1))
        assert one.engine.beside.there
        assert other.engine.beside.there
        assert _read(other, _kept) == {"a": 1}
        one.engine.close()
        other.engine.close()
        again = place.open()
        assert again.engine.beside.there
        assert _read(again, _kept) == {"a": 1}

    @needs("shared_places")
    def test_many_may_write_beside_a_state_at_once(self, place: Place) -> None:
        opened = [place.open() for _ in range(3)]

        def write(number: int) -> None:
            for count in range(5):
                _write(opened[number], _keep(f"{number}-{count}", count))

        place.at_once(len(opened), write)
        every = {
            f"{number}-{count}": count for number in range(3) for count in range(5)
        }
        assert all(_read(one, _kept) == every for one in opened)

    def test_who_watches_beside_the_state_is_woken_until_it_stops(
        self, place: Place
    ) -> None:
        one = place.open()
        _wakes(place, one, one)

    @needs("shared_places")
    def test_who_watches_beside_the_state_is_woken_by_another_engine_too(
        self, place: Place
    ) -> None:
        _wakes(place, place.open(), place.open())

    def test_a_unit_beside_the_state_that_is_over_does_nothing_more(
        self, place: Place
    ) -> None:
        one = place.open()
        leaked = [_write(one, lambda tx: tx), _read(one, lambda tx: tx)]
        for run in (_write, _read):
            with pytest.raises(Boom):
                run(one, then_fail(leaked.append, Boom()))
        for tx in leaked:
            for use in (_kept, _keep("apart", 1)):
                with pytest.raises(Refused):
                    use(tx)
        assert _read(one, _kept) == {}

    @needs("read_only", "shared_places")
    def test_beside_a_state_that_is_only_read_nothing_is_written(
        self, place: Place
    ) -> None:
        writer = place.open()
        _write(writer, _keep("a", 1))
        one = place.open(read_only=True)

        async def awaited() -> None:
            with pytest.raises(Refused):
                await _posted(one, _keep("b", 2))

        with pytest.raises(Refused):
            _write(one, _keep("b", 2))
        place.awaited(awaited())
        assert _read(one, _kept) == {"a": 1}

    def test_a_closed_engine_serves_nobody_beside_the_state(self, place: Place) -> None:
        one = place.open()
        _write(one, _keep("a", 1))

        async def waiting() -> list[object]:
            posted = [_posted(one, _keep("b", 2)) for _ in range(10)]
            await asyncio.to_thread(one.engine.close)
            with pytest.raises(Closed):
                await _posted(one, _keep("c", 3))
            return [*await asyncio.gather(*posted, return_exceptions=True)]

        answers = place.awaited(waiting())
        assert {type(answer) for answer in answers} <= {str, Closed}
        for use in (
            lambda: _write(one, _keep("c", 3)),
            lambda: _read(one, _kept),
            lambda: one.engine.beside.watch(lambda: None),
        ):
            with pytest.raises(Closed):
                use()


def _keep(name: str, value: int | None) -> Work[str]:
    """Work that keeps a number under a name, and tells who watches; its name."""

    def work(tx: Transaction) -> str:
        tx.put("event_keep", name=name, value=value)
        tx.put("event_told")
        return name

    return work


def _kept(tx: Transaction) -> dict[str, int]:
    """All numbers that are kept, by their names."""
    return dict(tx.all("event_policy"))


def _both(first: Work[object], second: Work[object]) -> Work[None]:
    def work(tx: Transaction) -> None:
        first(tx)
        second(tx)

    return work


def _write(one: Opened, work: Work[T]) -> T:
    return one.engine.beside.write(one.unit(work, _BESIDE))


def _read(one: Opened, work: Work[T]) -> T:
    return one.engine.beside.read(one.unit(work, _BESIDE))


def _posted(one: Opened, work: Work[T]) -> "asyncio.Future[T]":
    unit = one.unit(work, _BESIDE)
    future = unit.awaited(asyncio.get_running_loop())
    one.engine.beside.post(unit)
    return future


def _wakes(place: Place, one: Opened, watching: Opened) -> None:
    """Woken, perhaps more than once, until what was committed is seen."""
    _write(one, _keep("n", -1))
    woken = [threading.Event(), threading.Event()]
    stops = [watching.engine.beside.watch(event.set) for event in woken]
    for number in range(_ROUNDS * 2):
        if number == _ROUNDS:
            stops[1]()
            stops[1]()
        for event in woken:
            event.clear()
        _write(one, _keep("n", number))
        for event in woken[: 2 if number < _ROUNDS else 1]:
            while True:
                assert place.met(event), "it was not woken"
                event.clear()
                if _read(watching, _kept) == {"n": number}:
                    break
    stops[0]()
