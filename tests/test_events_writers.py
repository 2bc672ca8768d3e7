"""Writers: programs come and go, and who follows them misses nothing of any.

Each has a clock of its own here, and some of these clocks are wrong.
"""

import pytest

import holdfast
from conftest import place_on
from holdfast.clock import ManualClock
from holdfast.engine import Terms, Unit
from holdfast.events.writers import Marks
from test_events import names

DAY, HOUR = 86_400, 3_600
BEGINS = ManualClock().now_us()


@pytest.fixture(params=["file", "postgres"])
def place(request, tmp_path):
    with place_on(request.param, tmp_path) as target:
        yield target


def opened(place, seconds=0.0):
    """The store, by a clock that is ahead by so much."""
    return holdfast.open(place, clock=ManualClock(BEGINS + round(seconds * 1e6)))


def tell(store, *names):
    for name in names:
        store.events.emit(name)
    store.events.flush()


def look(store, work):
    """What work reads beside the state."""
    core = store._core
    return core.events.read(Unit(work, Terms(every_owner=True), core.clock))


class Reading:
    """A transaction that tells which rows it read."""

    def by(self, tx):
        self.tx, self.rows = tx, []
        return self

    def all(self, name, **values):
        self.rows += self.tx.all(name, **values)
        return self.rows


def test_who_brought_nothing_of_late_is_not_looked_at_again(place):
    for number in range(5):
        with opened(place, number) as store:
            tell(store, "a:old")
    with opened(place, DAY) as store:
        tell(store, "a:last")
    with opened(place, DAY + HOUR / 2) as store:
        before = look(store, Marks().fresh)
        assert len(before.newest) == 6
        tell(store, "a:new")
        reading = Reading()
        fresh = look(store, lambda tx: before.fresh(reading.by(tx)))
        assert len(reading.rows) == 2
        assert list(fresh.newest) == [store._core.events.writer]
        assert look(store, before.and_(fresh).fresh).newest == {}


def test_a_clock_that_is_behind_hides_nothing(place):
    with (
        opened(place) as mine,
        opened(place, 2 * DAY) as ahead,
        opened(place, -2 * DAY) as behind,
    ):
        tell(mine, "m:begins")
        follower = mine.events.follow("a:*")
        for number in range(3):
            for store in (ahead, behind, ahead, behind):
                tell(store, f"a:{number}")
                assert follower.get(timeout_seconds=10).name == f"a:{number}"


def test_who_brings_much_at_once_is_read_to_the_end(place):
    with (
        opened(place) as mine,
        opened(place) as much,
        opened(place, 2 * DAY) as ahead,
    ):
        tell(mine, "m:begins")
        follower = mine.events.follow("a:*")
        tell(much, *(f"a:{number}" for number in range(1_200)))
        tell(ahead, "a:ahead")
        seen = [follower.get(timeout_seconds=10).name for _ in range(1_201)]
        assert seen.count("a:ahead") == 1
        seen.remove("a:ahead")
        assert seen == [f"a:{number}" for number in range(1_200)]


def test_writers_go_with_their_events_and_one_that_lives_comes_again(place):
    clock = ManualClock(BEGINS)
    with opened(place) as reader, holdfast.open(place, clock=clock) as lives:
        tell(lives, "a:0")
        follower = reader.events.follow("a:*")
        for number in range(3):
            with opened(place, number) as store:
                tell(store, "b:gone")
        clock.advance(31 * DAY)
        with holdfast.open(place, clock=clock) as store:
            store.events.trim()
            assert list(look(store, Marks().fresh).newest) == []
            tell(lives, "a:1", "a:2")
            assert names(follower.get(timeout_seconds=10) for _ in "12") == [
                "a:1",
                "a:2",
            ]
            later = store.events.follow("a:*")
            tell(lives, "a:3")
            for each in (follower, later):
                assert each.get(timeout_seconds=10).name == "a:3"
            newest = look(store, Marks().fresh).newest
            assert list(newest) == [lives._core.events.writer]
