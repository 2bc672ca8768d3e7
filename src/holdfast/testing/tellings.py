"""Tellings: what a transaction tells, and who is told what became of it.

Answers for: telling after the commit, once and in order, and never of what was undone;
telling of commits, of what was not kept, and of the end.
"""

import asyncio
import threading
from contextlib import suppress

import pytest

from holdfast.engine import (
    Tellings,
    Terms,
    Told,
    Transaction,
    Unit,
    Witness,
    Work,
)
from holdfast.errors import Closed, HoldfastError, Refused, StorageFull, TimedOut
from holdfast.testing.contract import Contract, needs
from holdfast.testing.work import (
    ME,
    Boom,
    Gates,
    Opened,
    Place,
    add,
    add_all,
    ids,
    then_fail,
)

_SHORT_SECONDS = 0.05
_SOME = 20
_FULL = StorageFull("there is no room")


class TellingsContract(Contract):
    """`tell` and `witness`."""

    def test_what_a_transaction_tells_is_told_in_order_however_it_is_run(
        self, place: Place
    ) -> None:
        one = place.open()
        told = Recorded(one)

        async def awaiting() -> None:
            await one.posted(_tells("post", "post:1", "post:2"))
            loan = await one.loan()
            await loan.do(_tells("loan", "loan:1"))
            await loan.do(_tells("loan+", "loan:2"))
            assert told.names[-1] == "post:2"
            await loan.end(keep=True)

        one.write(_tells("unit", "unit:1", "unit:2"))
        assert told.names == ["unit:1", "unit:2"]
        with one.body() as tx:
            _tells("body", "body:1", "body:2")(tx)
            assert told.names[-1] == "unit:2"
        place.awaited(awaiting())
        ways = ("unit", "body", "post", "loan")
        assert told.names == [f"{way}:{nth}" for way in ways for nth in (1, 2)]
        assert [names for names in told.commits if names] == [
            [f"{way}:1", f"{way}:2"] for way in ways
        ]

    def test_what_is_told_is_as_it_was_said_with_the_terms_of_its_unit(
        self, place: Place
    ) -> None:
        one = place.open()
        told = Recorded(one)
        terms = Terms(owner="o", actor="planner", cause="because")
        said = Told("a:b", {"n": 1}, session="s", correlation="c", level="warning")
        one.write(lambda tx: tx.tell(said), terms)
        with one.body() as tx:
            tx.tell(said)
        assert told.tellings == [(terms, said), (ME, said)]

    @needs("reads_beside_writes")
    def test_what_is_told_of_is_there_by_then(self, place: Place) -> None:
        one = place.open()
        told = Recorded(one, looks=True)
        one.write(_tells("a", "a:1"))
        with one.body() as tx:
            _tells("b", "b:1")(tx)

        async def lent() -> None:
            loan = await one.loan()
            await loan.do(_tells("c", "c:1"))
            await loan.end(keep=True)

        place.awaited(lent())
        assert told.there == [["a"], ["a", "b"], ["a", "b", "c"]]

    def test_what_is_undone_is_never_told(self, place: Place) -> None:
        one = place.open()
        told = Recorded(one)

        async def dropped() -> None:
            loan = await one.loan()
            await loan.do(_tells("gone", "loan:gone"))
            await loan.end(keep=False)

        with pytest.raises(Boom):
            one.write(then_fail(_tells("gone", "unit:gone"), Boom()))
        with pytest.raises(Boom), one.body() as tx:
            _tells("gone", "body:gone")(tx)
            raise Boom
        place.awaited(dropped())
        one.write(_tells("kept", "kept"))
        assert told.names == ["kept"]
        assert len(told.commits) == 1

    def test_a_savepoint_that_is_undone_takes_what_it_told_along(
        self, place: Place
    ) -> None:
        one = place.open()
        told = Recorded(one)
        one.write(_in_parts("unit"))
        with one.body() as tx:
            _in_parts("body")(tx)

        async def lent() -> None:
            loan = await one.loan()
            await loan.do(_in_parts("loan"))
            await loan.end(keep=True)

        place.awaited(lent())
        assert told.names == [
            f"{way}:{nth}" for way in ("unit", "body", "loan") for nth in (1, 2, 3)
        ]

    def test_in_a_group_each_unit_tells_for_itself_and_once(self, place: Place) -> None:
        one = place.open()
        one.write(add("taken"))
        told = Recorded(one)

        async def callers() -> list[object]:
            gates = Gates(one, place)
            posted = [
                one.posted(_tells("a", "a:1", "a:2")),
                one.posted(then_fail(_tells("gone", "gone:1"), Boom())),
                one.posted(then_fail(_tells(None, "gone:2"), Boom())),
                one.posted(_tells("b", "b:1", "b:2")),
                one.posted(_tells_first("gone:3", add_all("away", "taken"))),
                one.posted(_tells("c", "c:1", "c:2")),
            ]
            gates.open()
            return [*await asyncio.gather(*posted, return_exceptions=True)]

        answers = place.awaited(callers())
        failed = [isinstance(answer, BaseException) for answer in answers]
        assert failed == [False, True, True, False, True, False]
        every = [f"{id}:{nth}" for id in "abc" for nth in (1, 2)]
        assert sorted(told.names) == every  # run again, perhaps, and told once
        for id in "abc":
            assert told.names.index(f"{id}:1") + 1 == told.names.index(f"{id}:2")

    def test_in_a_group_whose_failures_wrote_nothing_each_unit_tells_for_itself(
        self, place: Place
    ) -> None:
        one = place.open()
        told = Recorded(one)

        async def callers() -> list[object]:
            gates = Gates(one, place)
            posted = [
                one.posted(_tells("a", "a:1")),
                one.posted(then_fail(_tells(None, "gone:1"), Boom())),
                one.posted(then_fail(_tells(None, "gone:2"), _FULL)),
                one.posted(_tells("b", "b:1")),
            ]
            gates.open()
            return [*await asyncio.gather(*posted, return_exceptions=True)]

        answers = place.awaited(callers())
        failed = [isinstance(answer, BaseException) for answer in answers]
        assert failed == [False, True, True, False]
        assert sorted(told.names) == ["a:1", "b:1"]
        assert _FULL in told.failures

    def test_a_body_tells_if_it_is_committed_and_not_if_its_commit_fails(
        self, place: Place
    ) -> None:
        one = place.open()
        one.write(add("taken"))
        told = Recorded(one)
        with suppress(Refused), one.body() as tx:
            _tells("a", "a:1")(tx)
            with suppress(HoldfastError):  # some engines commit nothing after this
                add("taken")(tx)
                ids(tx)
        kept = ["a:1"] if "a" in one.ids() else []
        assert told.names == kept
        with pytest.raises(TimedOut), one.body(_SHORT_SECONDS) as tx:
            _tells("late", "late:1")(tx)
            place.keep_asking(lambda: ids(tx))
        one.write(add("after"))
        assert told.names == kept

    def test_what_is_over_tells_nothing_more(self, place: Place) -> None:
        one = place.open()
        told = Recorded(one)
        leaked = [one.write(lambda tx: tx)]
        with one.body() as tx:
            leaked.append(tx)
        with pytest.raises(Boom):
            one.write(then_fail(leaked.append, Boom()))
        with one.body() as tx:
            for other in leaked:
                with pytest.raises(Refused):
                    other.tell(Told("apart"))
            _tells("a", "a:1")(tx)
        assert told.names == ["a:1"]

    def test_a_commit_is_told_of_that_changed_something_and_a_read_is_not(
        self, place: Place
    ) -> None:
        one = place.open()
        told = Recorded(one)
        one.write(add("a"))
        assert told.commits == [[]]
        with one.body() as tx:
            add("b")(tx)
        assert told.commits == [[], []]
        with one.body() as tx:
            ids(tx)
        one.ids()
        one.write(ids)
        place.awaited(_looks(one))
        assert told.commits == [[], []]
        one.write(_tells(None, "alone"))
        assert told.commits == [[], [], ["alone"]]

    def test_what_storage_did_not_keep_is_told_of(self, place: Place) -> None:
        one = place.open()
        told = Recorded(one)
        uses = (then_fail(add("gone"), _FULL), then_fail(ids, _FULL))

        async def awaiting() -> None:
            gates = Gates(one, place)
            posted = [one.posted(work) for work in (add("a"), *uses, add("b"))]
            gates.open()
            answers = await asyncio.gather(*posted, return_exceptions=True)
            assert answers[1:3] == [_FULL, _FULL]

        for count, work in enumerate(uses, start=1):
            with pytest.raises(StorageFull):
                one.write(work)
            assert told.failures.count(_FULL) == count
        told.failures.clear()
        place.awaited(awaiting())
        assert told.failures.count(_FULL) >= len(uses)  # each, in one run or another
        assert one.ids() == ["a", "b"]

    def test_the_end_is_told_once_while_the_engine_still_serves(
        self, place: Place
    ) -> None:
        one = place.open()
        told = Recorded(one)
        with one.body(), pytest.raises(Refused):
            one.engine.close()
        assert told.endings == []
        place.at_once(4, lambda _: one.engine.close())
        one.engine.close()
        assert told.endings == [["last"]]
        if self.shared_places:
            assert place.open().ids() == ["last"]

    def test_what_is_committed_while_it_closes_is_told_before_the_state_is_closed(
        self, place: Place
    ) -> None:
        one = place.open()
        told = Recorded(one)
        acknowledged: list[str] = []

        def commit(_: int) -> None:
            with suppress(Closed):
                while True:
                    one.write(_tells(None, "committed"))
                    acknowledged.append("committed")

        threads = [threading.Thread(target=commit, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        while len(acknowledged) < _SOME:
            threading.Event().wait(0.001)
        one.engine.close()
        for thread in threads:
            thread.join()
        (before,) = told.ends
        assert before == told.names
        assert len(before) >= len(acknowledged)


def _kept_beside(tx: Transaction) -> None:
    tx.put("event_keep", name="told", value=1)


def _tells(id: str | None, *names: str) -> Work[None]:
    """Work that adds a task, if it is named, and tells of something."""

    def work(tx: Transaction) -> None:
        if id is not None:
            add(id)(tx)
        for name in names:
            tx.tell(Told(name))

    return work


def _tells_first(name: str, work: Work[None]) -> Work[None]:
    """Work that tells of something before it does what may fail."""

    def telling(tx: Transaction) -> None:
        tx.tell(Told(name))
        work(tx)

    return telling


def _in_parts(way: str) -> Work[None]:
    """Work that tells of three things, and of others in parts that fail."""

    def work(tx: Transaction) -> None:
        _tells(way, f"{way}:1")(tx)
        with suppress(Boom), tx.savepoint():
            _tells(f"{way}-gone", "gone:1")(tx)
            raise Boom
        with tx.savepoint():
            _tells(f"{way}-part", f"{way}:2")(tx)
        with suppress(HoldfastError), tx.savepoint():
            _tells_first("gone:2", add_all(way))(tx)
        _tells(None, f"{way}:3")(tx)

    return work


async def _looks(one: Opened) -> None:
    await one.posted_read(ids)
    await one.posted(ids)
    loan = await one.loan()
    await loan.do(ids)
    await loan.end(keep=True)


class Recorded(Witness):
    """A witness in the place of the store's, which goes on hearing of the end."""

    def __init__(self, one: Opened, *, looks: bool = False) -> None:
        self._one = one
        self._looks = looks
        self._mutex = threading.Lock()
        self._store = one.engine.witness
        self.commits: list[list[str]] = []
        """The names that were told, of each commit."""
        self.tellings: Tellings = []
        self.there: list[list[str]] = []
        """What was there at each commit, where that can be looked at."""
        self.failures: list[BaseException] = []
        self.endings: list[list[str]] = []
        self.ends: list[list[str]] = []
        """What had been told when the state was closed."""
        one.engine.witness = self

    @property
    def names(self) -> list[str]:
        """All that was told, in order."""
        return [told.name for _, told in self.tellings]

    def committed(self, tellings: Tellings) -> None:
        """Keep it."""
        with self._mutex:
            self.commits.append([told.name for _, told in tellings])
            self.tellings += tellings
        if self._looks:
            self.there.append(self._one.ids())

    def failed(self, error: BaseException) -> None:
        """Keep it."""
        self.failures.append(error)

    def closing(self) -> None:
        """Write once more, and see that it is there."""
        self._one.write(add("last"))
        self.endings.append(self._one.ids())
        if self._store is not None:
            self._store.closing()

    def closed(self, why: BaseException) -> None:
        """Write beside the state for the last time, and see what was told by then."""
        terms = Terms(every_owner=True, beside=True)
        keep = Unit(_kept_beside, terms, self._one.core.clock)
        with suppress(HoldfastError):  # then it is missing
            self._one.engine.beside.write(keep)
            self.ends.append(self.names)
        if self._store is not None:
            self._store.closed(why)

    def disowned(self, why: BaseException) -> None:
        """Nothing forks here."""
