"""Bodies: a transaction for a block of code on the caller's own thread.

Answers for: all or nothing, the time limit, who is inside, what is refused there.
"""

import threading

import pytest

from holdfast.engine import Transaction
from holdfast.errors import Refused, TimedOut
from holdfast.testing.contract import Contract
from holdfast.testing.work import Boom, Opened, Place, add, add_all, ids

_SHORT_SECONDS = 0.05


class BodiesContract(Contract):
    """`borrow` and `inside`."""

    def test_a_body_is_committed_whole_at_its_end(self, place: Place) -> None:
        one = place.open()
        with one.body() as tx:
            add("a")(tx)
            add("b")(tx)
        assert one.ids() == ["a", "b"]
        assert len({change.moment for change in one.journal()}) == 1

    def test_a_body_that_raises_leaves_nothing(self, place: Place) -> None:
        one = place.open()
        for error in (Boom(), KeyboardInterrupt()):
            with pytest.raises(type(error)) as raised, one.body() as tx:
                add("gone")(tx)
                raise error
            assert raised.value is error
            assert one.ids() == []
        one.write(add("after"))
        assert one.ids() == ["after"]
        assert len(one.journal()) == 1

    def test_a_body_past_its_time_is_told_and_keeps_nobody_waiting(
        self, place: Place
    ) -> None:
        one = place.open()
        written = threading.Event()

        def write() -> None:
            one.write(add("other"))
            written.set()

        def late(tx: Transaction) -> None:
            add("gone")(tx)
            with place.threads(write):
                assert place.met(written), "others wait past its time"
            with pytest.raises(TimedOut):
                place.keep_asking(lambda: ids(tx))
            with pytest.raises(TimedOut):
                add("late")(tx)
                ids(tx)

        with pytest.raises(TimedOut), one.body(_SHORT_SECONDS) as tx:
            late(tx)
        assert one.ids() == ["other"]
        assert not one.engine.inside()

    def test_a_body_that_is_over_does_nothing_more(self, place: Place) -> None:
        one = place.open()
        with one.body() as kept:
            add("a")(kept)
        with pytest.raises(Boom), one.body() as dropped:
            raise Boom
        for tx in (kept, dropped):
            for use in (ids, add("apart")):
                with pytest.raises(Refused):
                    use(tx)
        assert one.ids() == ["a"]

    def test_a_part_of_a_body_fails_alone(self, place: Place) -> None:
        one = place.open()
        with one.body() as tx:
            add("before")(tx)
            with pytest.raises(Boom), tx.savepoint():
                add("gone")(tx)
                raise Boom
            with pytest.raises(Refused), tx.savepoint():
                add_all("away", "before")(tx)
            with tx.savepoint():
                add("part")(tx)
            add("after")(tx)
        assert one.ids() == ["after", "before", "part"]

    def test_an_engine_knows_who_is_inside(self, place: Place) -> None:
        one = place.open()
        elsewhere: list[bool] = []
        assert not one.engine.inside()
        with one.body():
            assert one.engine.inside()
            with place.threads(lambda: elsewhere.append(one.engine.inside())):
                pass
        assert elsewhere == [False]
        assert not one.engine.inside()
        with pytest.raises(Boom), one.body():
            raise Boom
        assert not one.engine.inside()

    def test_calls_on_the_store_from_inside_are_refused(self, place: Place) -> None:
        one = place.open()
        uses = {
            "a read": one.store.tasks.list,
            "a write": one.store.tasks.create,
            "a run": lambda: one.store.run(lambda tx: None),
            "a body": lambda: one.store.transaction().__enter__(),
            "a check": one.engine.check,
            "a close": one.engine.close,
        }
        with one.body() as tx:
            for name, use in uses.items():
                with pytest.raises(Refused):
                    use() if callable(use) else pytest.fail(name)
            add("a")(tx)
        assert one.ids() == ["a"]

    def test_bodies_and_units_of_many_threads_get_on(self, place: Place) -> None:
        one = place.open()

        def work(number: int) -> None:
            for count in range(8):
                _one_of_three(one, number, count)

        place.at_once(6, work)
        kept = [f"{n}-{c}" for n in range(6) for c in range(8) if (n + c) % 3]
        assert one.ids() == sorted(kept)


def _one_of_three(one: Opened, number: int, count: int) -> None:
    """A body that fails, one that ends well, or a unit."""
    work = add(f"{number}-{count}")
    if (number + count) % 3 == 0:
        with pytest.raises(Boom), one.body() as tx:
            work(tx)
            raise Boom
    elif (number + count) % 3 == 1:
        with one.body() as tx:
            work(tx)
    else:
        one.write(work)
