"""The clock: time in microseconds, ids that sort by it, chance that tests own."""

import itertools
import uuid
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

import holdfast
from holdfast.clock import ManualClock, SystemClock, to_datetime, to_us, uuid7

TIMES = st.integers(0, (1 << 48) * 1000 - 1)
CHANCES = st.integers(0, (1 << 74) - 1)


@given(at=TIMES, chance=CHANCES)
def test_an_id_is_a_uuid_of_version_7_with_its_time_in_front(at, chance):
    made = uuid.UUID(uuid7(at, chance))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == at // 1000
    random_bits = ((made.int >> 64) & 0xFFF) << 62 | made.int & ((1 << 62) - 1)
    assert random_bits == chance


def test_an_id_is_the_example_of_rfc_9562():
    at_ms = 0x017F22E279B0
    chance = 0xCC3 << 62 | 0x18C4DC0C0C07398F
    assert uuid7(at_ms * 1000, chance) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(st.lists(st.tuples(TIMES, CHANCES), min_size=2, max_size=20))
def test_ids_sort_by_their_millisecond_and_then_by_chance(drawn):
    by_text = sorted(drawn, key=lambda pair: uuid7(*pair))
    by_time = sorted(drawn, key=lambda pair: (pair[0] // 1000, pair[1]))
    ids = [uuid7(*pair) for pair in by_text]
    assert ids == [uuid7(*pair) for pair in by_time]


def test_ids_of_one_store_sort_in_the_order_of_their_making(clock):
    with holdfast.open(":memory:", clock=clock) as store:
        made = []
        for _ in range(50):
            made.append(store.sessions.create().id)
            clock.advance(0.001)
        with store.transaction() as tx:
            made += [tx.tasks.create("one of many").id for _ in range(50)]
    assert made == sorted(set(made))


def test_the_machine_draws_no_chance_twice():
    clock = SystemClock()
    drawn = {clock.chance() for _ in range(1_000)}
    assert len(drawn) == 1_000
    assert max(drawn).bit_length() <= 74
    assert max(drawn).bit_length() > 64


def test_the_machines_clock_tells_microseconds_since_1970():
    apart = abs(to_datetime(SystemClock().now_us()) - datetime.now(UTC))
    assert apart < timedelta(minutes=1)


@given(
    st.datetimes(
        min_value=datetime(1970, 1, 2),  # noqa: DTZ001
        max_value=datetime(9990, 1, 1),  # noqa: DTZ001
        timezones=st.sampled_from(
            [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(1) / 2)]
        ),
    )
)
def test_a_time_of_any_zone_comes_back_equal_and_in_utc(at):
    back = to_datetime(to_us(at))
    assert back == at
    assert back.tzinfo is UTC


def test_a_manual_clock_stands_until_it_is_moved():
    clock = ManualClock(5_000_000)
    assert clock.now_us() == clock.now_us() == 5_000_000
    clock.advance(0.25)
    assert clock.now_us() == 5_250_000
    clock.advance(-1)
    assert clock.now_us() == 4_250_000
    draws = [clock.chance() for _ in range(10)]
    assert draws == sorted(set(draws))
    assert draws == list(itertools.islice(_fresh_draws(), 10))


def _fresh_draws():
    clock = ManualClock()
    while True:
        yield clock.chance()


def test_a_stores_time_never_goes_backwards_with_the_machines(clock):
    with holdfast.open(":memory:", clock=clock) as store:
        first = store.sessions.create()
        clock.advance(-3600)
        second = store.sessions.create()
        clock.advance(7200)
        third = store.sessions.create()
        ats = [change.at for change in store.journal.read()]
    assert second.created_at == first.created_at
    assert third.created_at == first.created_at + timedelta(hours=1)
    assert ats == sorted(ats)


def test_a_transactions_time_stands_still(clock):
    with holdfast.open(":memory:", clock=clock) as store:
        with store.transaction() as tx:
            first = tx.sessions.create()
            clock.advance(2)
            second = tx.sessions.create()
            assert tx.now == first.created_at == second.created_at
        assert len({change.at for change in store.journal.read()}) == 1
