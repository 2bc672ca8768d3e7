"""Figures of events: numbers by name and time, and what is unusual, and what is not."""

import random
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kinds.event_figures import bucket_for, figures

SECOND = 1_000_000
HOUR, DAY = 3_600 * SECOND, 86_400 * SECOND
START = 20_000 * DAY
END = START + 10 * DAY


def rows_of(times, bucket):
    """What SQL's `group by` gives of events: names and their times."""
    grouped = defaultdict(list)
    for name, listed in times.items():
        for at in listed:
            grouped[name, at // bucket * bucket].append(at)
    return [
        (name, place, len(found), min(found), max(found))
        for (name, place), found in grouped.items()
    ]


def told(times, *, end=END, bucket=HOUR, known=()):
    """What is told as unusual."""
    rows = rows_of(times, bucket)
    random.Random(1).shuffle(rows)
    found = figures(rows, start=START, end=end, bucket=bucket, known=known)
    return list(found.unusual)


def steady(every, start=START, end=END):
    return list(range(start + every // 2, end, every))


def hour(number):
    """A time well within an hour of the span, in microseconds."""
    return START + number * HOUR + HOUR // 2


def moment(us):
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(START, START + 9 * HOUR)),
        max_size=60,
    ),
    st.sampled_from([SECOND * 900, HOUR, DAY]),
    st.integers(START - HOUR, START),
)
def test_the_numbers_are_those_of_the_events(events, bucket, start):
    times = defaultdict(list)
    for name, at in events:
        times[name].append(at)
    end = START + 9 * HOUR
    found = figures(rows_of(times, bucket), start=start, end=end, bucket=bucket)
    assert found.total == sum(found.counts) == len(events)
    assert (found.since, found.until) == (moment(start), moment(end))
    first = int((found.buckets_from - moment(0)) / timedelta(microseconds=1))
    counted = Counter((at - first) // bucket for _, at in events)
    assert dict(enumerate(found.counts)) == {
        place: counted[place] for place in range(len(found.counts))
    }
    assert {name: it.count for name, it in found.by_name.items()} == Counter(
        name for name, _ in events
    )
    for name, it in found.by_name.items():
        assert (it.first, it.last) == (
            moment(min(times[name])), moment(max(times[name]))
        )  # fmt: skip
        mine = Counter((at - first) // bucket for at in times[name])
        assert list(it.counts) == [mine[place] for place in range(len(found.counts))]


def test_rows_of_one_bucket_are_taken_together():
    rows = [("a", START, 2, START + 5, START + 9), ("a", START, 3, START + 1, START)]
    rows[1] = ("a", START, 3, START + 1, START + 7)
    found = figures(rows, start=START, end=START + HOUR, bucket=HOUR)
    (a,) = found.by_name.values()
    assert (a.count, a.counts[0]) == (5, 5)
    assert (a.first, a.last) == (moment(START + 1), moment(START + 9))


def test_of_nothing_there_are_figures_too():
    found = figures([], start=START, end=END, bucket=DAY)
    assert (found.total, found.by_name, found.unusual) == (0, {}, ())
    assert found.counts == (0,) * 11
    assert figures([], start=END, end=START, bucket=DAY).counts == (0,)


def test_events_past_the_end_that_was_named_are_in_the_figures():
    rows = [("a", START, 1, START, START)]
    found = figures(rows, start=START + HOUR, end=START - HOUR, bucket=HOUR)
    assert (found.total, sum(found.counts)) == (1, 1)


@given(st.integers(0, 10**16))
def test_no_span_has_more_than_200_buckets(span):
    bucket = bucket_for(START, START + span)
    assert bucket % SECOND == 0
    assert len(range(0, span + bucket, bucket)) <= 200
    assert bucket in {SECOND, 5 * SECOND} or span / bucket > 28


def test_a_bucket_far_above_the_usual_is_a_burst():
    times = {"steady": steady(HOUR // 6)}
    times["steady"] += [hour(100) + it for it in range(60)]
    (one,) = told(times)
    assert (one.kind, one.name, one.count, one.expected) == ("burst", "steady", 66, 6)
    assert one.at == moment(START + 100 * HOUR)


def test_a_name_that_came_hardly_ever_has_a_burst():
    times = {"steady": steady(HOUR // 6), "rare": [hour(3)]}
    times["rare"] += [hour(80) + it for it in range(10)]
    (one,) = told(times)
    assert (one.kind, one.name, one.count, one.expected) == ("burst", "rare", 10, 0)
    times["rare"].pop()
    assert told(times) == []


def test_where_events_have_just_begun_nothing_is_a_burst():
    times = {"a": [hour(0) + it for it in range(999)], "b": [hour(3), hour(7)]}
    assert told(times, end=hour(8) - 1) == []
    assert [one.name for one in told(times, end=hour(8))] == ["a"]


def test_adjacent_bursts_are_one_and_others_are_not():
    times = {"a": steady(HOUR // 2)}
    for place, many in ((50, 40), (51, 90), (52, 60), (54, 30)):
        times["a"] += [hour(place) + it for it in range(many)]
    assert [(one.at, one.count) for one in told(times)] == [
        (moment(START + 51 * HOUR), 92),
        (moment(START + 54 * HOUR), 32),
    ]


def test_what_is_much_each_night_is_usual():
    nightly = [hour(24 * day) + it for day in range(10) for it in range(1_000)]
    assert told({"nightly": nightly}) == []
    tenfold = [hour(24 * 5) + it for it in range(9_000)]
    (one,) = told({"nightly": [*nightly, *tenfold]})
    assert (one.kind, one.count, one.expected) == ("burst", 10_000, 1_000)


def test_a_little_more_of_very_much_is_no_burst():
    much = [at + it for at in map(hour, range(240)) for it in range(500)]
    more = [hour(77) + it for it in range(500)]
    assert told({"much": [*much, *more]}) == []


def test_a_name_that_came_regularly_and_stopped_is_silent():
    times = {"beat": steady(HOUR, end=START + 7 * DAY), "else": steady(HOUR)}
    (one,) = told(times)
    assert (one.kind, one.name, one.count) == ("silence", "beat", 0)
    assert one.at == moment(times["beat"][-1])
    assert one.expected == pytest.approx(72.5, abs=0.1)


def test_who_paused_as_long_before_is_not_silent():
    beat = steady(HOUR, end=START + 7 * DAY)
    paused = [at for at in beat if not START + DAY < at < START + 2.1 * DAY]
    assert told({"beat": paused, "else": steady(HOUR)}) == []


def test_who_came_too_little_or_too_shortly_is_not_silent():
    few = steady(8 * HOUR, end=START + 6 * DAY)
    assert len(few) == 18
    batch = [hour(100) + it * SECOND for it in range(8)]
    run = steady(HOUR // 2, end=START + 2 * DAY)
    assert told({"few": few, "batch": batch, "run": run, "x": steady(HOUR)}) == []


def test_who_may_have_paused_within_a_bucket_is_given_that_time():
    beat = [at + it for at in map(hour, range(100)) for it in (-HOUR // 3, HOUR // 3)]
    last = max(beat)
    assert told({"beat": beat}, end=last + 2 * HOUR) == []
    (one,) = told({"beat": beat}, end=last + 2 * HOUR + SECOND)
    assert one.kind == "silence"


def test_a_name_of_the_newest_part_is_new_and_no_burst():
    times = {"old": steady(HOUR), "new": [hour(225) + it for it in range(50)]}
    (one,) = told(times)
    assert (one.kind, one.name, one.count) == ("new", "new", 50)
    assert one.at == moment(times["new"][0])
    assert [one.kind for one in told(times, known={"new"})] == ["burst"]
    assert told({**times, "new": [hour(200)]}) == []


def test_in_a_young_log_nothing_is_new():
    times = {"old": [hour(it) for it in range(19)], "new": [hour(239)]}
    assert told(times) == []
    assert len(told({**times, "old": [*times["old"], hour(20)]})) == 1


def test_what_is_unusual_is_told_in_the_order_of_time():
    times = {
        "beat": steady(HOUR, end=START + 8 * DAY),
        "old": steady(HOUR // 2) + [hour(50) + it for it in range(99)],
        "new": [hour(235)],
    }
    found = told(times)
    assert [one.kind for one in found] == ["burst", "silence", "new"]
    assert [one.at for one in found] == sorted(one.at for one in found)


def poisson(chance, count):
    """Times that are independent of one another."""
    return [START + int(chance.random() * (END - START)) for _ in range(count)]


def clumped(chance, count):
    """Handfuls of events, of any size, at independent times."""
    for at in poisson(chance, count // 3):
        yield at
        while chance.random() < 2 / 3:
            yield at + chance.randrange(SECOND)


def by_day(chance, count):
    """Events of eight hours a day."""
    return (at for at in poisson(chance, 3 * count) if at % DAY < DAY // 3)


@pytest.mark.parametrize(
    ("kind", "most"), [(poisson, 1), (clumped, 30), (by_day, 1)], ids=lambda it: it
)
def test_steady_names_are_hardly_ever_told(kind, most):
    """Of 400 looks at a name with 241 buckets, so many at most tell anything."""
    wrong = 0
    for seed in range(80):
        chance = random.Random(seed)
        times = {
            str(count): sorted(kind(chance, count))
            for count in (30, 100, 300, 1_000, 2_000)
        }
        wrong += len(told(times, known=times))
    assert wrong <= most
