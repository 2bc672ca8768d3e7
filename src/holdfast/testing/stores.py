"""Stores: what a store does with an engine, where the engine's promises meet.

Answers for: keyed runs, named followers, leases, tidying, checks, owners.
"""

import threading

import pytest

from holdfast.changes import Change
from holdfast.engine import Terms, Transaction
from holdfast.errors import Fenced, Held, Refused
from holdfast.testing.contract import Contract
from holdfast.testing.work import Boom, Place, add, drop, ids
from holdfast.transaction import OpenTransaction

_SLICES = 4


class StoresContract(Contract):
    """Through `holdfast.Store`."""

    def test_a_keyed_run_is_committed_once_for_all_time(self, place: Place) -> None:
        one = place.open()
        two = place.open() if self.shared_places else one

        def work(tx: OpenTransaction, by: int) -> int:
            tx.tasks.create(f"by {by}")
            return by

        def run(number: int) -> int:
            return (one, two)[number % 2].store.run(work, number, once="key")

        given = place.at_once(6, run)
        assert len(set(given)) == 1
        assert [task.description for task in one.store.tasks.list()] == [
            f"by {given[0]}"
        ]
        assert two.store.run(work, 99, once="key") == given[0]
        with pytest.raises(Boom):
            one.store.run(_failing, once="other")
        assert one.store.run(work, 7, once="other") == 7

    def test_a_followers_place_moves_with_its_effect(self, place: Place) -> None:
        one = place.open()
        follower = one.store.journal.follower("f")
        for name in "ab":
            one.write(add(name))
        with pytest.raises(Boom):
            follower.apply(lambda tx, changes: _failing(tx))
        assert follower.cursor == 0
        seen: list[str | None] = []

        def effect(tx: OpenTransaction, changes: tuple[Change, ...]) -> None:
            seen.extend(change.id for change in changes)
            tx.sessions.create(id="made")

        assert follower.apply(effect, kinds=["tasks"]) == 2
        assert (seen, follower.cursor) == (["a", "b"], 2)
        with pytest.raises(Refused):
            one.store.run(lambda tx: tx.journal.advance("f", 1))
        assert one.store.sessions.get("made").id == "made"

    def test_a_lease_keeps_other_writers_out_until_it_is_over(
        self, place: Place
    ) -> None:
        one = place.open()
        two = place.open() if self.shared_places else one
        one.store.tasks.create("a task", id="t")
        with one.store.lease("tasks", "t", seconds=600) as lease:
            for opened in (one, two):
                with pytest.raises(Held):
                    opened.store.tasks.start("t")
            lease.store.tasks.start("t")
            late = lease.store
        with pytest.raises(Fenced):
            late.tasks.complete("t")
        two.store.tasks.complete("t")

    def test_nothing_of_one_owner_is_seen_by_another(self, place: Place) -> None:
        one = place.open()
        for owner in ("ada", "bob"):
            one.write(add("same"), Terms(owner=owner))
        assert one.ids() == []
        assert one.engine.read(one.unit(ids, Terms(owner="ada"))) == ["same"]
        assert one.store.owners() == ["ada", "bob"]

    def test_what_is_out_of_sight_is_deleted_until_nothing_is_left(
        self, place: Place
    ) -> None:
        one = place.open()
        over = threading.Event()
        slices: list[int] = []

        def tidy(tx: Transaction) -> None:
            slices.append(len(slices))
            if len(slices) < _SLICES:
                tx.untidy()
            else:
                over.set()

        one.engine.tidy = tidy
        one.write(_untidy)
        assert place.met(over), "it was not called until nothing was left"
        assert slices == list(range(_SLICES))

    def test_a_body_that_leaves_something_to_tidy_has_it_tidied(
        self, place: Place
    ) -> None:
        one = place.open()
        over = threading.Event()
        one.engine.tidy = lambda tx: over.set()
        with one.body() as tx:
            _untidy(tx)
        assert place.met(over)

    def test_a_check_counts_the_rows_of_every_table(self, place: Place) -> None:
        one = place.open()
        numbers = [one.write(add(f"{number}")) for number in range(5)]
        one.write(drop(numbers[0]))
        report = one.engine.check()
        assert report.ok
        assert report.counts["task"] == 4
        assert report.counts["session"] == 0


def _failing(tx: OpenTransaction) -> None:
    tx.tasks.create("gone")
    raise Boom


def _untidy(tx: Transaction) -> None:
    add("a")(tx)
    tx.untidy()
