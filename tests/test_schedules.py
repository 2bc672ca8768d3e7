"""Schedules: one job for each due time, whatever dies and whatever clocks do."""

import itertools
import logging
import sys
import threading
import zoneinfo
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import holdfast
from conftest import place_on, store_on
from examples import dump
from holdfast import errors
from holdfast.clock import ManualClock, to_datetime, to_us
from holdfast.kinds.due_times import Rule, cron_of
from holdfast.kinds.firing import next_due
from holdfast.limits import Limits
from postgres import fresh_schema

YEAR = 365 * 86_400


def claimed(store, limit=1_000):
    """The ids of the jobs that a worker gets now."""
    jobs = store.jobs.claim("worker", limit=limit, lease_seconds=10 * YEAR)
    return [job.id for job in jobs]


def due(store, id):
    """When a schedule is due next, in seconds from its creation."""
    found = store.schedules.get(id)
    return (found.next_at - found.created_at).total_seconds()


def job_ids(id, begin, *seconds):
    """The ids of a schedule's jobs that are due so many seconds after a time."""
    times = (begin + timedelta(seconds=after) for after in seconds)
    return [f"{id}@{time:%Y-%m-%dT%H:%M:%SZ}" for time in times]


def test_a_job_is_put_at_each_due_time_with_what_the_schedule_says(store, clock):
    made = store.schedules.put(
        "beat", "tick", {"n": 1}, every_seconds=60, lane="a", priority=7, max_attempts=9
    )
    assert claimed(store) == []
    clock.advance(59.9)
    assert claimed(store) == []
    clock.advance(0.1)
    (job,) = store.jobs.claim("worker")
    assert job.id == job_ids("beat", made.created_at, 60)[0]
    assert (job.kind, job.body, job.lane) == ("tick", {"n": 1}, "a")
    assert (job.priority, job.max_attempts) == (7, 9)
    assert claimed(store) == []
    assert due(store, "beat") == 120


def test_due_times_are_counted_from_the_creation_whenever_somebody_looks(store, clock):
    begin = store.schedules.put("beat", "tick", every_seconds=10).created_at
    found = []
    for wait in (13, 13, 13, 0.5, 1):
        clock.advance(wait)
        found += claimed(store)
    assert found == job_ids("beat", begin, 10, 20, 30, 40)


def test_a_time_with_microseconds_has_them_in_its_jobs_id(clock):
    clock.advance(0.000_250)
    with holdfast.open(":memory:", clock=clock) as store:
        begin = store.schedules.put("beat", "tick", every_seconds=0.5).created_at
        clock.advance(1)
        time = begin.replace(tzinfo=None) + timedelta(seconds=0.5)
        assert claimed(store)[0] == f"beat@{time.isoformat()}Z"


def test_times_that_were_missed_get_all_their_jobs_or_the_newest_one(store, clock):
    begin = store.schedules.put("all", "tick", every_seconds=60).created_at
    store.schedules.put("last", "tick", every_seconds=60, missed="last")
    store.schedules.put("cron", "tick", cron="0 * * * *", missed="last")
    clock.advance(2 * 3_600 + 30)
    hour = (begin + timedelta(hours=2)).replace(minute=0, second=0)
    wanted = {f"cron@{hour:%Y-%m-%dT%H:%M:%SZ}", *job_ids("last", begin, 7_200)}
    found = claimed(store)
    while more := claimed(store):
        found += more
    assert set(found) == wanted | {*job_ids("all", begin, *range(60, 7_230, 60))}
    assert len(found) == 122
    assert due(store, "last") == due(store, "all") == 7_260


def test_a_clock_that_jumps_a_year_makes_no_giant_transaction(clock):
    with holdfast.open(":memory:", clock=clock) as store:
        begin = store.schedules.put("beat", "tick", every_seconds=1).created_at
        store.schedules.put("other", "tick", every_seconds=YEAR)
        clock.advance(YEAR)
        first, second = claimed(store), claimed(store)
        assert job_ids("other", begin, YEAR)[0] in first
        found = [id for id in first + second if id.startswith("beat")]
        assert len(first) <= 100
        assert 50 <= len(found) <= 200
        assert found == job_ids("beat", begin, *range(1, len(found) + 1))


def test_a_clock_that_jumps_back_makes_no_job_again(store, clock):
    begin = store.schedules.put("beat", "tick", every_seconds=10).created_at
    clock.advance(25)
    assert claimed(store) == job_ids("beat", begin, 10, 20)
    clock.advance(-20)
    assert claimed(store) == []
    clock.advance(26)
    assert claimed(store) == job_ids("beat", begin, 30)


def test_what_is_put_again_is_the_same_and_other_content_counts_anew(store, clock):
    made = store.schedules.put("beat", "tick", [1], cron="30 9 * * *", lane="a")
    head = store.journal.head()
    clock.advance(5)
    again = store.schedules.put("beat", "tick", [1], cron="30  9 * * *", lane="a")
    assert (again, store.journal.head()) == (made, head)
    changed = store.schedules.put("beat", "tock", every_seconds=10)
    assert (changed.kind, changed.cron, changed.body, changed.lane) == (
        ("tock", None, None, None)
    )  # fmt: skip
    assert changed.created_at == made.created_at
    assert changed.updated_at - made.created_at == timedelta(seconds=5)
    assert due(store, "beat") == 10


def test_a_paused_schedule_puts_nothing_and_goes_on_with_its_next_time(store, clock):
    begin = store.schedules.put("beat", "tick", every_seconds=10).created_at
    paused = store.schedules.pause("beat")
    assert (paused.paused, paused.next_at) == (True, None)
    assert store.schedules.pause("beat") == paused
    clock.advance(35)
    assert claimed(store) == []
    assert store.schedules.put("beat", "tock", every_seconds=10).next_at is None
    assert not store.schedules.resume("beat").paused
    assert claimed(store) == []
    clock.advance(10)
    assert claimed(store) == job_ids("beat", begin, 40)
    with pytest.raises(errors.NotFound):
        store.schedules.pause("none")


def test_a_deleted_schedule_leaves_its_jobs_and_makes_none_again(store, clock):
    store.schedules.put("s", "tick", cron="* * * * *")
    clock.advance(60)
    (id,) = claimed(store)
    assert store.schedules.delete("s")
    assert not store.schedules.delete("s")
    assert store.jobs.get(id).kind == "tick"
    clock.advance(-60)
    store.schedules.put("s", "tick", cron="* * * * *")
    clock.advance(60)
    assert claimed(store) == []
    clock.advance(60)
    assert len(claimed(store)) == 1
    with pytest.raises(errors.NotFound):
        store.schedules.get("none")


def test_schedules_are_listed_newest_first(store, clock):
    for number in range(5):
        store.schedules.put(f"s{number}", "tick", every_seconds=60)
        clock.advance(number % 2)
    page = store.schedules.list(limit=3)
    rest = store.schedules.list(limit=3, cursor=page.cursor)
    assert [s.id for s in (*page, *rest)] == ["s4", "s3", "s2", "s1", "s0"]
    assert rest.cursor is None
    assert page[0] == store.schedules.get("s4")


NEW_YORK, BERLIN = "America/New_York", "Europe/Berlin"
DAYS = {
    "a time that is skipped comes when the clock has moved": (
        NEW_YORK, "30 2 * * *", "2026-03-07T12:00",
        ["2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"],
    ),
    "a time that comes twice is one": (
        NEW_YORK, "30 1 * * *", "2026-10-31T12:00",
        ["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"],
    ),
    "an hour that is skipped has no times of every hour": (
        BERLIN, "30 * * * *", "2026-03-29T01:00",
        ["2026-03-29T01:30+01:00", "2026-03-29T03:30+02:00"],
    ),
    "an hour that comes twice has them twice": (
        BERLIN, "30 * * * *", "2026-10-25T02:00",
        ["2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00", "2026-10-25T03:30+01:00"],
    ),
    "midnight may be skipped": (
        "America/Havana", "0 0 * * *", "2026-03-07T12:00",
        ["2026-03-08T01:00-04:00", "2026-03-09T00:00-04:00"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("zone", "cron", "begin", "times"), DAYS.values(), ids=DAYS)
def test_on_days_when_clocks_change(zone, cron, begin, times):
    wanted = [datetime.fromisoformat(time) for time in times]
    clock = ManualClock(
        to_us(datetime.fromisoformat(begin).replace(tzinfo=ZoneInfo(zone)))
    )
    with holdfast.open(":memory:", clock=clock) as store:
        store.schedules.put("s", "tick", cron=cron, timezone=zone)
        for time in wanted:
            assert store.schedules.get("s").next_at == time
            clock.advance((to_us(time) - clock.now_us()) / 1_000_000)
            assert claimed(store) == job_ids("s", time.astimezone(UTC), 0)


def test_within_an_hour_that_comes_again_a_time_of_its_first_pass_is_over():
    rule = Rule(cron="30 2 * * *", every_us=None, timezone=BERLIN)
    begin = datetime(2026, 10, 25, 2, 10, fold=1, tzinfo=ZoneInfo(BERLIN))
    assert rule.after(to_us(begin)) == to_us(datetime(2026, 10, 26, 1, 30, tzinfo=UTC))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.from_regex(r"\A(\*|[0-9]{1,2}|L|LW|MON|FEB)([-/#,][0-9]{1,2})?L?\Z"),
        min_size=5,
        max_size=5,
    ),
    st.sampled_from(["UTC", BERLIN, "America/Havana", "Australia/Lord_Howe"]),
    st.integers(0, 2**50),
)
def test_a_text_is_refused_or_its_times_go_on_wherever_one_begins(fields, zone, at):
    try:
        cron = cron_of(" ".join(fields), "cron", Limits())
    except errors.BadInput:
        return
    rule = Rule(cron=cron, every_us=None, timezone=zone)
    times = [at]
    for _ in range(4):
        time = rule.after(times[-1])
        assert time is not None
        assert time > times[-1]
        times.append(time)
    for first, later in itertools.pairwise(times[1:]):
        assert rule.after((first + later) // 2) == later
        assert rule.newest(times[1], later - 1) == first


BAD = {
    "cron": [
        {"cron": text}
        for text in (
            "", "* * * *", "* * * * * *", "@daily", "60 * * * *", "* 24 * * *",
            "* * 0 * *", "* * * 13 *", "* * * * 8", "0 0 30 2 *", "0 0 31 4,6 *",
            "5-1 * * * *", "*/0 * * * *", "x * * * *", f"{'9' * 5_000} * * * *",
            "1," * 999 + "1 * * * *", "\u0663 * * * *", "\ud800 * * * *", 5,
        )
    ],
    "zone": [
        {"cron": "* * * * *", "timezone": zone}
        for zone in (
            "", "Nowhere/Land", "../UTC", "/etc/passwd", "America", "tzdata.zi", 5,
            "\ud800", "x" * 999,
        )
    ],
    "every": [{"every_seconds": seconds} for seconds in (0, -1, 0.01, 1e12, "1")],
    "missed": [{"every_seconds": 1, "missed": "some"}],
    "id": [{"every_seconds": 1, "id": "x" * 161}],
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_what_is_no_schedule_is_refused_and_nothing_is_written(bad):
    with holdfast.open(":memory:") as store:
        for given_ in bad:
            with pytest.raises(errors.BadInput):
                store.schedules.put(**{"id": "s", "kind": "tick", **given_})
        for both in ({}, {"cron": "* * * * *", "every_seconds": 1}):
            with pytest.raises(errors.Refused, match="either a cron text or"):
                store.schedules.put("s", "tick", **both)
        assert store.journal.head() == 0


def test_without_the_extra_a_cron_text_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cronsim", None)
    with holdfast.open(":memory:") as store:
        with pytest.raises(errors.Refused, match=r'pip install "holdfast\[cron\]"'):
            store.schedules.put("s", "tick", cron="* * * * *")
        store.schedules.put("s", "tick", every_seconds=1)


@pytest.fixture
def no_zones(monkeypatch):
    """A machine without data on time zones."""
    parts = [name for name in sys.modules if name.startswith("tzdata.")]
    for name in ("tzdata", *parts):  # of which an earlier test may have had some
        monkeypatch.setitem(sys.modules, name, None)
    there = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath(to=there)


def test_a_machine_without_time_zones_says_so(no_zones):
    with holdfast.open(":memory:") as store:
        with pytest.raises(errors.BadInput, match="pip install tzdata"):
            store.schedules.put("s", "tick", cron="* * * * *", timezone="Asia/Tokyo")
        store.schedules.put("s", "tick", cron="* * * * *", timezone="UTC")


def test_who_cannot_tell_a_time_leaves_it_to_others_and_says_so_once(
    clock, monkeypatch, caplog
):
    with holdfast.open(":memory:", clock=clock) as store:
        store.schedules.put("left", "tick", cron="* * * * *")
        begin = store.schedules.put("beat", "tick", every_seconds=90).created_at
        clock.advance(100)
        with monkeypatch.context() as without, caplog.at_level(logging.WARNING):
            without.setitem(sys.modules, "cronsim", None)
            assert claimed(store) == job_ids("beat", begin, 90)
            assert claimed(store) == []
            soonest = store.run(lambda tx: next_due(tx._tx))
            assert soonest == to_us(store.schedules.get("beat").next_at)
        (said,) = caplog.messages
        assert "'left'" in said
        assert 'pip install "holdfast[cron]"' in said
        assert [id.partition("@")[0] for id in claimed(store)] == ["left"] * 2


def test_due_times_outlive_restarts(path, clock):
    with holdfast.open(path, clock=clock) as store:
        begin = store.schedules.put("beat", "tick", every_seconds=10).created_at
    clock.advance(25)
    with holdfast.open(path, clock=clock) as store:
        assert claimed(store) == job_ids("beat", begin, 10, 20)
    with holdfast.open(path, clock=clock) as store:
        assert claimed(store) == []
        assert due(store, "beat") == 30


def test_what_is_undone_is_due_again(store, clock):
    begin = store.schedules.put("beat", "tick", every_seconds=10).created_at
    clock.advance(10)
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        assert len(tx.jobs.claim("worker")) == 1
        raise ZeroDivisionError
    assert claimed(store) == job_ids("beat", begin, 10)


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_two_who_look_at_once_get_each_time_once(engine, tmp_path, clock):
    found, ready = [], threading.Barrier(3, timeout=30)

    def work(target):
        with holdfast.open(target, clock=clock) as store:
            for _ in range(8):
                ready.wait()
                found.extend(claimed(store))
                ready.wait()

    with (
        store_on(engine, tmp_path) as target,
        holdfast.open(target, clock=clock) as own,
    ):
        begin = own.schedules.put("a", "tick", every_seconds=1).created_at
        own.schedules.put("b", "tick", every_seconds=2)
        two = [threading.Thread(target=work, args=(target,)) for _ in range(2)]
        for thread in two:
            thread.start()
        for _ in range(8):
            clock.advance(2)
            ready.wait()
            ready.wait()
        for thread in two:
            thread.join()
        found.extend(claimed(own))
    wanted = job_ids("a", begin, *range(1, 17)) + job_ids("b", begin, *range(2, 17, 2))
    assert sorted(found) == sorted(wanted)


def test_who_waited_for_another_does_nothing_again(clock):
    """Not even if the job is gone by then, by whose id it would be known."""
    with (
        fresh_schema() as url,
        holdfast.open(url, clock=clock) as one,
        holdfast.open(url, clock=clock) as two,
    ):
        one.schedules.put("beat", "tick", every_seconds=10)
        one.schedules.put("paused", "tick", every_seconds=10, missed="last")
        clock.advance(10)
        found = []
        with one.transaction() as tx:
            tx.schedules.pause("paused")
            (job,) = tx.jobs.claim("one")
            tx.jobs.complete(job.id, fence=job.fence)
            late = to_us(job.created_at) + 1_000_000
            assert tx.jobs.purge(finished_before=to_datetime(late)) == 1
            waiting = threading.Thread(target=lambda: found.extend(claimed(two)))
            waiting.start()
            waiting.join(0.3)
            assert waiting.is_alive()
        waiting.join()
        assert found == []
        assert one.schedules.get("paused").next_at is None


def test_a_revert_brings_back_when_a_schedule_is_due(store, clock):
    begin = store.schedules.put("gone", "tick", every_seconds=10).created_at
    store.schedules.put("changed", "tick", every_seconds=10)
    store.schedules.put("paused", "tick", every_seconds=10)
    moment = store.moment()
    store.schedules.delete("gone")
    store.schedules.put("changed", "tock", every_seconds=7)
    store.schedules.pause("paused")
    store.schedules.put("new", "tick", every_seconds=10)
    clock.advance(25)
    assert store.as_of(moment).schedules.get("gone").next_at is None
    assert [s.next_at for s in store.as_of(moment).schedules.list()] == [None] * 3
    assert len(store.revert(moment).records) == 4
    assert claimed(store) == []
    clock.advance(10)
    wanted = [job_ids(id, begin, 30)[0] for id in ("changed", "gone", "paused")]
    assert sorted(claimed(store)) == wanted
    assert store.usage().tables["schedule"].rows == 3
    rows = dump(store)
    numbers = [{row["no"] for row in rows[t]} for t in ("schedule", "schedule_due")]
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_a_copy_is_due_as_its_source_and_a_fork_from_then_on(engine, tmp_path, clock):
    with (
        place_on(engine, tmp_path) as source,
        place_on("file", tmp_path.joinpath("copies")) as copied,
        place_on("file", tmp_path.joinpath("forks")) as forked,
    ):
        for name in ("copies", "forks"):
            tmp_path.joinpath(name).mkdir()
        with holdfast.open(source, clock=clock) as store:
            begin = store.schedules.put("beat", "tick", every_seconds=10).created_at
            store.schedules.put("paused", "tick", every_seconds=10)
            store.schedules.pause("paused")
            moment = store.moment()
            store.schedules.delete("paused")
            clock.advance(15)
        holdfast.copy(source, copied)
        holdfast.fork(source, forked, moment)
        with holdfast.open(copied, clock=clock) as store:
            assert claimed(store) == job_ids("beat", begin, 10)
        with holdfast.open(forked, clock=clock) as store:
            assert store.schedules.get("beat").next_at is None
            assert claimed(store) == []
            assert due(store, "beat") == 20
            clock.advance(10)
            assert claimed(store) == job_ids("beat", begin, 20)
            assert store.schedules.get("paused").next_at is None
