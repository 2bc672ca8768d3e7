"""Reads: what whoever only looks may rely on.

Answers for: snapshots, own writes, failures of a read.
"""

import threading

import pytest

from holdfast.engine import Transaction
from holdfast.testing.contract import Contract, needs
from holdfast.testing.work import Boom, Place, add, add_all, ids, then_fail


class ReadsContract(Contract):
    """`read` and `post_read`."""

    def test_a_read_sees_every_write_that_was_acknowledged(self, place: Place) -> None:
        one = place.open()

        async def awaited(number: int) -> None:
            await one.posted(add(f"b{number}"))
            assert f"b{number}" in await one.posted_read(ids)

        for number in range(20):
            one.write(add(f"a{number}"))
            assert f"a{number}" in one.ids()
            place.awaited(awaited(number))
            with one.body() as tx:
                add(f"c{number}")(tx)
            assert f"c{number}" in one.ids()

    @needs("shared_places")
    def test_a_read_sees_what_another_engine_acknowledged(self, place: Place) -> None:
        one, two = place.open(), place.open()
        for number in range(10):
            one.write(add(f"{number}"))
            assert f"{number}" in two.ids()
            one, two = two, one

    def test_a_read_is_of_one_snapshot(self, place: Place) -> None:
        one = place.open()
        one.write(add("a"))
        looked, written = threading.Event(), threading.Event()

        def write() -> None:
            place.met(looked)
            one.write(add_all("b", "c"))
            written.set()

        def work(tx: Transaction) -> tuple[list[str], list[str]]:
            first = ids(tx)
            looked.set()
            if self.reads_beside_writes:
                assert place.met(written), "a write waits for a read"
            return first, ids(tx)

        with place.threads(write):
            first, second = one.read(work)
        assert first == second == ["a"]
        assert one.ids() == ["a", "b", "c"]

    @needs("reads_beside_writes")
    def test_nobody_sees_a_transaction_before_its_end(self, place: Place) -> None:
        one = place.open()
        seen: list[list[str]] = []
        with one.body() as tx:
            add("a")(tx)
            assert ids(tx) == ["a"]
            with place.threads(lambda: seen.append(one.ids())):
                pass
        assert seen == [[]]
        assert one.ids() == ["a"]

    def test_a_read_that_fails_raises_what_it_raised(self, place: Place) -> None:
        one = place.open()
        error = Boom()
        with pytest.raises(Boom) as raised:
            one.read(then_fail(ids, error))
        assert raised.value is error

        async def awaited() -> None:
            with pytest.raises(Boom):
                await one.posted_read(then_fail(ids, error))
            assert await one.posted_read(ids) == []

        place.awaited(awaited())
