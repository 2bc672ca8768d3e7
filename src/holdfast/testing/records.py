"""Records: what keeps writers of one record, and the rows of one table, apart.

Answers for: `new_no` and `lock`, within an engine and between two on one place.
"""

import threading
from functools import partial
from itertools import count

import pytest

from holdfast.engine import Transaction, Work
from holdfast.testing.contract import Contract, needs
from holdfast.testing.work import (
    Boom,
    Opened,
    Place,
    add,
    drop,
    number_at,
    rows,
    set_number,
    then_fail,
)


class RecordsContract(Contract):
    """`new_no` and `lock`."""

    def test_each_row_gets_a_number_of_its_own(self, place: Place) -> None:
        one = place.open()
        names = count()

        def work(tx: Transaction) -> list[int]:
            first = [add(f"{next(names)}")(tx) for _ in range(3)]
            with pytest.raises(Boom), tx.savepoint():
                add("gone")(tx)
                raise Boom
            return [*first, add(f"{next(names)}")(tx)]

        given = one.write(work)
        with pytest.raises(Boom):
            one.write(then_fail(add("gone"), Boom()))
        with one.body() as tx:
            given += work(tx)
        given.append(one.write(add("last")))
        assert len(set(given)) == len(given) == 9
        assert sorted(row[0] for row in one.read(rows)) == sorted(given)

    def test_the_number_of_a_deleted_row_is_not_given_again(self, place: Place) -> None:
        one = place.open()
        given = []
        for name in "abc":
            given.append(one.write(add(name)))
            one.write(drop(given[-1]))
        assert len(set(given)) == 3

    def test_numbers_never_repeat_among_engines_threads_and_failures(
        self, place: Place
    ) -> None:
        engines = _two(self, place)

        def work(number: int) -> list[int]:
            one, given = engines[number % 2], []
            for at in range(10):
                name = f"{number}-{at}"
                if at % 3 == 0:
                    with pytest.raises(Boom):
                        one.write(then_fail(add(name), Boom()))
                given.append(one.write(add(name)))
            return given

        given = [no for each in place.at_once(6, work) for no in each]
        assert len(set(given)) == len(given) == 60
        assert sorted(row[0] for row in engines[0].read(rows)) == sorted(given)

    def test_who_locks_a_record_keeps_others_from_it(self, place: Place) -> None:
        one, two = _two(self, place)
        locked, looked = threading.Event(), threading.Event()
        found: list[int] = []

        def other() -> None:
            place.met(locked)
            with two.body() as tx:
                tx.lock("counters", "n")
                found.append(number_at(tx, "n"))
                looked.set()

        with place.threads(other), one.body() as tx:
            tx.lock("counters", "n")
            before = number_at(tx, "n")
            locked.set()
            assert not looked.wait(self.moment_seconds), "it came between"
            set_number(tx, "n", before + 1)
        assert found == [1]

    def test_what_was_read_under_a_lock_is_so_at_the_commit(self, place: Place) -> None:
        engines = _two(self, place)

        def one_more(tx: Transaction) -> None:
            tx.lock("counters", "n")
            set_number(tx, "n", number_at(tx, "n") + 1)

        def work(number: int) -> None:
            one = engines[number % 2]
            for at in range(10):
                if (number + at) % 4 == 0:
                    with one.body() as tx:
                        one_more(tx)
                else:
                    one.write(one_more)

        place.at_once(6, work)
        assert engines[0].read(lambda tx: number_at(tx, "n")) == 60

    def test_units_that_lock_records_crosswise_both_get_through(
        self, place: Place
    ) -> None:
        one, two = _two(self, place)
        locked = {name: threading.Event() for name in "ab"}

        def crosswise(first: str, second: str) -> Work[None]:
            def work(tx: Transaction) -> None:
                tx.lock("counters", first)
                set_number(tx, first, number_at(tx, first) + 1)
                locked[first].set()
                locked[second].wait(self.moment_seconds)
                tx.lock("counters", second)
                set_number(tx, second, number_at(tx, second) + 1)

            return work

        with place.threads(
            lambda: one.write(crosswise("a", "b")),
            lambda: two.write(crosswise("b", "a")),
        ):
            pass
        assert [one.read(partial(number_at, name=name)) for name in "ab"] == [2, 2]

    @needs("shared_places")
    def test_a_lock_ends_with_its_transaction(self, place: Place) -> None:
        one, two = place.open(), place.open()

        def locking(tx: Transaction) -> None:
            tx.lock("counters", "n")
            set_number(tx, "n", number_at(tx, "n") + 1)

        for _ in range(3):
            one.write(locking)
            with pytest.raises(Boom):
                two.write(then_fail(locking, Boom()))
            with pytest.raises(Boom), one.body() as tx:
                locking(tx)
                raise Boom
            two.write(locking)
        assert one.read(lambda tx: number_at(tx, "n")) == 6


def _two(contract: Contract, place: Place) -> tuple[Opened, Opened]:
    """Two engines on one place; the same one twice where that cannot be."""
    one = place.open()
    return one, place.open() if contract.shared_places else one
