"""Journals: every change of every row, in the order of the commits.

Answers for: order, gaps, images, moments, time.
"""

import threading
from typing import TYPE_CHECKING

import pytest

from holdfast.clock import ManualClock, to_datetime
from holdfast.engine import Terms, Transaction
from holdfast.testing.contract import Contract, needs
from holdfast.testing.work import (
    Boom,
    Opened,
    Place,
    add,
    add_all,
    change,
    drop,
    ids,
    then_fail,
)

if TYPE_CHECKING:
    from holdfast.changes import Change

_WRITERS = 8
_EACH = 12


class JournalsContract(Contract):
    """What stands in `change` and in the images after each commit."""

    def test_each_change_is_there_once_with_the_row_before_and_after(
        self, place: Place
    ) -> None:
        one = place.open()
        no = one.write(add("a", "one"))
        one.write(change(no, "two"))
        one.write(change(no, "three"))
        one.write(drop(no))
        found = one.journal()
        assert [c.seq for c in found] == [1, 2, 3, 4]
        assert [c.op for c in found] == ["create", "update", "update", "delete"]
        assert [_said(c.before) for c in found] == [None, "one", "two", "three"]
        assert [_said(c.after) for c in found] == ["one", "two", "three", None]
        assert {(c.kind, c.owner, c.id) for c in found} == {("task", "", "a")}

    def test_a_unit_is_one_moment_with_its_time_and_terms(self, place: Place) -> None:
        clock = ManualClock()
        one = place.open(clock=clock)
        for actor in ("first", "second"):
            clock.advance(1)
            terms = Terms(actor=actor, cause=f"of {actor}")
            one.write(add_all(f"{actor}-1", f"{actor}-2"), terms)
        one.write(add("nobody's"))
        found = one.journal()
        assert [c.moment for c in found] == [2, 2, 4, 4, 5]
        assert [c.actor for c in found] == [*["first"] * 2, *["second"] * 2, None]
        assert [c.cause for c in found][1:3] == ["of first", "of second"]
        assert found[-1].at == to_datetime(clock.now_us())
        assert (found[2].at - found[1].at).total_seconds() == 1
        assert one.store.journal.head() == 5

    def test_in_a_group_each_unit_is_a_moment(self, place: Place) -> None:
        one = place.open()

        async def callers() -> None:
            posted = [
                one.posted(add_all(f"{n}", f"{n}+"), Terms(actor=str(n)))
                for n in range(30)
            ]
            for future in posted:
                await future

        place.awaited(callers())
        found = one.journal()
        assert [c.seq for c in found] == list(range(1, 61))
        for first, second in zip(found[::2], found[1::2], strict=True):
            assert first.moment == second.moment == second.seq
            assert (first.actor, f"{first.actor}+") == (first.id, second.id)

    def test_what_was_undone_leaves_no_change_and_no_gap(self, place: Place) -> None:
        one = place.open()

        def partly(tx: Transaction) -> None:
            add("before")(tx)
            with pytest.raises(Boom), tx.savepoint():
                add_all("gone", "gone too")(tx)
                raise Boom
            add("after")(tx)

        one.write(partly)
        with pytest.raises(Boom):
            one.write(then_fail(add_all("no", "none"), Boom()))
        with pytest.raises(Boom), one.body() as tx:
            add("nothing")(tx)
            raise Boom
        one.write(ids)
        one.write(add("last"))
        found = one.journal()
        assert [(c.seq, c.id) for c in found] == [
            (1, "before"),
            (2, "after"),
            (3, "last"),
        ]
        assert [c.moment for c in found] == [2, 2, 3]

    def test_time_never_goes_backwards(self, place: Place) -> None:
        clock = ManualClock()
        one = place.open(clock=clock)
        for seconds in (5, -100, 1, -1, 200):
            one.write(add(f"by a unit, {seconds}"))
            with one.body() as tx:
                add(f"by a body, {seconds}")(tx)
            clock.advance(seconds)
        one.write(add("last"))
        at = [c.at for c in one.journal()]
        assert at == sorted(at)

    @needs("shared_places")
    def test_time_never_goes_backwards_between_engines(self, place: Place) -> None:
        behind = ManualClock()
        ahead = ManualClock(behind.now_us() + 60_000_000)
        one, two = place.open(clock=ahead), place.open(clock=behind)
        for number in range(4):
            one.write(add(f"a{number}"))
            two.write(add(f"b{number}"))
        found = two.journal()
        assert [c.id for c in found] == [f"{a}{n}" for n in range(4) for a in "ab"]
        assert [c.at for c in found] == sorted(c.at for c in found)

    def test_what_is_still_open_is_in_no_journal(self, place: Place) -> None:
        one = place.open()
        one.write(add("a"))
        with one.body() as tx:
            add("b")(tx)
            if self.reads_beside_writes:
                seen: list[list[Change]] = []
                with place.threads(lambda: seen.append(one.journal())):
                    pass
                assert [c.id for c in seen[0]] == ["a"]
        assert [c.id for c in one.journal()] == ["a", "b"]

    def test_a_reader_meets_every_change_once_while_eight_write(
        self, place: Place
    ) -> None:
        one = place.open()
        two = place.open() if self.shared_places else one
        over = threading.Event()
        met: list[Change] = []

        def read() -> None:
            last = False
            while not last:
                last = over.is_set()
                met.extend(one.journal(met[-1].seq if met else 0))

        def write(number: int) -> None:
            for at in range(_EACH):
                _write_some((one, two)[at % 2], f"{number}-{at}", at)

        with place.threads(read):
            try:
                place.at_once(_WRITERS, write)
            finally:
                over.set()
        assert [c.seq for c in met] == list(range(1, len(met) + 1))
        assert [(c.seq, c.id, c.moment) for c in met] == [
            (c.seq, c.id, c.moment) for c in two.journal()
        ]
        assert sorted(str(c.id) for c in met) == one.ids()
        assert len(met) == _WRITERS * _EACH * 5 // 4


def _write_some(one: Opened, name: str, at: int) -> None:
    """A unit of one change, of two, one that fails first, or a body."""
    if at % 4 == 0:
        one.write(add_all(name, f"{name}+"))
    elif at % 4 == 1:
        with one.body() as tx:
            add(name)(tx)
    else:
        with pytest.raises(Boom):
            one.write(then_fail(add(name), Boom()))
        one.write(add(name))


def _said(row: dict[str, object] | None) -> object:
    return None if row is None else row["description"]
