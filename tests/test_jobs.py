"""Jobs: done once, in their lanes' order, whatever becomes of who does them."""

import time
from datetime import timedelta

import pytest

import holdfast
from conftest import store_on
from driving import Driven
from examples import dump
from holdfast import errors
from holdfast.clock import to_datetime
from holdfast.kinds.job_records import Backoff, Unhandled
from holdfast.kinds.jobs import Jobs
from postgres import empty_store


@pytest.fixture(
    params=[("memory", "async"), ("file", "sync"), ("postgres", "async")], ids="-".join
)
def store(request, tmp_path, clock, loop):
    """A store on each engine, each through one face: others try both."""
    engine, face = request.param
    with store_on(engine, tmp_path) as target:
        opened = holdfast.open(target, clock=clock)
        yield opened if face == "sync" else Driven(opened.aio, loop)
        report = opened.check()
        opened.close()
        assert report.problems == ()


@pytest.fixture
def jobs(store):
    return store.jobs


@pytest.fixture
def engine(clock):
    """A store in memory: for what is the same on every engine."""
    with holdfast.open(":memory:", clock=clock) as opened:
        yield opened


def claimed(jobs, **asked):
    """The ids of what is claimed now, all at once."""
    return [job.id for job in jobs.claim("w", limit=100, **asked)]


def worked_off(jobs, **asked):
    """The ids of all jobs in the order in which they are given, each done at once."""
    done = []
    while got := jobs.claim("w", **asked):
        done += [jobs.complete(job.id, fence=job.fence).id for job in got]
    return done


def ids(page):
    return [job.id for job in page]


def at(clock, seconds=0.0):
    return to_datetime(clock.now_us()) + timedelta(seconds=seconds)


# Putting.


def test_a_job_is_what_was_put(jobs, store, clock):
    store.sessions.create(id="talk")
    jobs.put("plan", id="parent")
    put = jobs.put(
        "book", {"seat": [1, None]}, lane="l", id="j", priority=3, delay_seconds=5,
        max_attempts=7, backoff=Backoff(first_seconds=2), deadline=at(clock, 60),
        session="talk", parent="parent", trace={"traceparent": "00-1-2-01"},
    )  # fmt: skip
    assert put == jobs.get("j") == jobs.list(lane="l")[0]
    assert (put.kind, put.body, put.lane, put.priority) == (
        "book", {"seat": [1, None]}, "l", 3,
    )  # fmt: skip
    assert (put.status, put.attempt, put.max_attempts, put.fence) == ("queued", 0, 7, 0)
    assert (put.run_at, put.deadline) == (at(clock, 5), at(clock, 60))
    assert (put.session, put.parent, put.created_at) == ("talk", "parent", at(clock))
    assert put.backoff == Backoff(first_seconds=2)
    assert put.trace == {"traceparent": "00-1-2-01"}


def test_the_same_id_twice_is_one_job(jobs):
    first = jobs.put("k", {"n": 1}, lane="l", id="j", priority=1)
    assert jobs.put("k", {"n": 1}, lane="l", id="j", priority=9) == first
    (job,) = jobs.claim("w")
    done = jobs.complete("j", "result", fence=job.fence)
    assert jobs.put("k", {"n": 1}, lane="l", id="j") == done
    assert jobs.claim("w") == ()
    assert jobs.stats().total == 1


@pytest.mark.parametrize(
    "other", [{"kind": "other"}, {"body": 2}, {"lane": "m"}, {"lane": None}]
)
def test_an_id_belongs_to_one_kind_lane_and_body(jobs, other):
    put = {"kind": "k", "body": 1, "lane": "l", "id": "j"}
    jobs.put(**put)
    with pytest.raises(errors.AlreadyExists):
        jobs.put(**{**put, **other})


def test_a_job_without_an_id_gets_one_of_its_own(jobs):
    made = {jobs.put("k").id for _ in range(3)}
    assert len(made) == 3
    assert all(len(id) == 36 for id in made)


def test_a_job_is_due_after_a_delay_or_at_a_time_and_not_at_both(jobs, clock):
    jobs.put("k", id="later", delay_seconds=10)
    jobs.put("k", id="then", run_at=at(clock, 5))
    jobs.put("k", id="past", run_at=at(clock, -5))
    with pytest.raises(errors.Refused):
        jobs.put("k", delay_seconds=1, run_at=at(clock))
    assert claimed(jobs) == ["past"]
    clock.advance(4.999999)
    assert claimed(jobs) == []
    clock.advance(0.000001)
    assert claimed(jobs) == ["then"]
    clock.advance(5)
    assert claimed(jobs) == ["later"]


def test_a_body_that_is_too_large_is_refused_and_nothing_is_kept(engine):
    with holdfast.open(":memory:", limits=holdfast.Limits(value_bytes=100)) as store:
        with pytest.raises(errors.TooLarge):
            store.jobs.put("k", "x" * 100)
        store.jobs.put("k", "x" * 98, id="j")
        (job,) = store.jobs.claim("w")
        with pytest.raises(errors.TooLarge):
            store.jobs.complete("j", "x" * 100, fence=job.fence)
        assert store.jobs.get("j").status == "active"
        assert store.jobs.stats().total == 1


@pytest.mark.parametrize("named", ["session", "parent"])
def test_a_session_and_a_parent_have_to_be_there(jobs, named):
    with pytest.raises(errors.NotFound):
        jobs.put("k", **{named: "gone"})
    assert jobs.stats().total == 0


# Lanes.


def test_a_lane_goes_in_the_order_of_the_puts_one_at_a_time(jobs):
    for n in range(5):
        jobs.put("k", id=f"j{n}", lane="l")
    for n in range(5):
        assert claimed(jobs) == [f"j{n}"]
        assert claimed(jobs) == []
        jobs.complete(f"j{n}", fence=1)


def test_lanes_and_jobs_without_one_run_side_by_side(jobs, clock):
    for n, lane in enumerate(["a", "a", "b", None, None, "b"]):
        clock.advance(1)
        jobs.put("k", id=f"j{n}", lane=lane)
    assert claimed(jobs) == ["j0", "j2", "j3", "j4"]


def test_priority_orders_within_a_lane_and_among_lanes(jobs, clock):
    for n, (lane, priority) in enumerate(
        [("a", 0), ("a", 5), ("b", 3), ("b", -2), (None, 4), ("a", 5)]
    ):
        clock.advance(1)
        jobs.put("k", id=f"j{n}", lane=lane, priority=priority)
    assert worked_off(jobs) == ["j1", "j5", "j4", "j2", "j0", "j3"]


def test_equals_are_given_by_since_when_they_are_ready(jobs, clock):
    jobs.put("k", id="delayed", delay_seconds=5)
    for n in range(2):
        clock.advance(1)
        jobs.put("k", id=f"a{n}", lane="a")
    jobs.put("k", id="beside")
    clock.advance(10)
    jobs.put("k", id="newest")
    assert worked_off(jobs, limit=4) == ["a0", "beside", "delayed", "newest", "a1"]


def test_a_delayed_head_blocks_its_lane_and_no_other(jobs, clock):
    jobs.put("k", id="head", lane="a", delay_seconds=10)
    jobs.put("k", id="behind", lane="a")
    jobs.put("k", id="other", lane="b")
    assert claimed(jobs) == ["other"]
    clock.advance(10)
    assert worked_off(jobs) == ["head", "behind"]


def test_a_higher_priority_goes_before_a_head_that_has_not_begun(jobs, clock):
    jobs.put("k", id="low", lane="a", delay_seconds=10)
    jobs.put("k", id="high", lane="a", priority=1)
    assert claimed(jobs) == ["high"]
    jobs.complete("high", fence=1)
    assert claimed(jobs) == []
    assert jobs.get("low").run_at == at(clock, 10)
    clock.advance(10)
    assert claimed(jobs) == ["low"]


def begun(jobs, how):
    """A lane's head that has been claimed once, and is not active any more."""
    jobs.put("k", id="head", lane="a")
    (job,) = jobs.claim("w")
    place = {"nth": 0, "position": 0, "fence": job.fence}
    if how == "retrying":
        jobs.fail("head", "no", fence=job.fence)
    elif how == "released":
        jobs.release("head", delay_seconds=5, fence=job.fence)
    elif how == "asleep":
        jobs.sleep("head", "nap", seconds=5, **place)
    else:
        jobs.wait("head", "go", timeout_seconds=5, **place)


@pytest.mark.parametrize("how", ["retrying", "released", "asleep", "waiting"])
def test_a_head_that_has_begun_blocks_its_lane_and_is_not_displaced(jobs, clock, how):
    begun(jobs, how)
    jobs.put("k", id="high", lane="a", priority=9)
    assert claimed(jobs) == []
    clock.advance(5)
    assert claimed(jobs) == ["head"]
    jobs.complete("head", fence=2)
    assert claimed(jobs) == ["high"]


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
def test_when_a_head_ends_the_next_of_its_lane_is_ready(jobs, end):
    for n in range(2):
        jobs.put("k", id=f"j{n}", lane="a")
    if end == "cancel":
        jobs.cancel("j0")
    else:
        (job,) = jobs.claim("w")
        more = {"error": "no", "retry": False} if end == "fail" else {}
        getattr(jobs, end)("j0", fence=job.fence, **more)
    assert claimed(jobs) == ["j1"]


def test_a_lane_with_many_jobs_is_as_quick_as_one_with_few(path):
    many = 20_000
    with holdfast.open(path) as store:
        for begin in range(0, many, 5_000):
            with store.transaction() as tx:
                for n in range(begin, begin + 5_000):
                    tx.jobs.put("k", n, lane="long", priority=n % 3)
        store.jobs.put("k", lane="short")
        took = {lane: a_turn(store, lane) for lane in ("short", "long")}
        assert store.jobs.get(store.jobs.claim("w")[0].id).body == 2 + 3 * 20
        assert took["long"] < 5 * took["short"] + 0.002


def a_turn(store, lane):
    """How long it takes to claim and complete in a lane: the quickest of some."""
    took = []
    for _ in range(20):
        if lane == "short":
            store.jobs.put("k", lane=lane)
        began = time.perf_counter()
        (job,) = store.jobs.claim("w", lanes=[lane])
        store.jobs.complete(job.id, fence=job.fence)
        took.append(time.perf_counter() - began)
    return min(took)


def test_a_lane_keeps_its_order_whichever_process_puts():
    with empty_store() as url, holdfast.open(url) as a, holdfast.open(url) as b:
        for n in range(12):
            (a, b)[n % 2].jobs.put("k", id=f"j{n}", lane="l", priority=n // 4)
            (b, a)[n % 2].jobs.put("k", lane="other")
        order = worked_off(a.jobs, lanes=["l"])
    assert order == [f"j{n}" for n in (8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3)]


@pytest.mark.parametrize("there", ["fork", "copy"])
def test_a_lane_keeps_its_order_in_a_store_made_from_one_on_a_server(there, tmp_path):
    """There rows have far larger numbers than a file's own will have."""
    path = str(tmp_path / "here.db")
    with empty_store() as url:
        with holdfast.open(url) as store:
            for n in range(3):
                store.jobs.put("k", id=f"j{n}", lane="l")
        {"fork": holdfast.fork, "copy": holdfast.copy}[there](url, path)
    with holdfast.open(path) as store:
        for n in range(3, 6):
            store.jobs.put("k", id=f"j{n}", lane="l")
        store.jobs.cancel("j4")
        store.jobs.revive("j4")
        assert worked_off(store.jobs) == [f"j{n}" for n in range(6)]
        assert store.check().problems == ()


# Claims.


def test_a_claimed_job_says_who_has_it_until_when_and_under_what(jobs, clock):
    jobs.put("k", {"n": 1}, id="j", lane="l")
    (job,) = jobs.claim("me", lease_seconds=9, version="2")
    assert (job.status, job.worker, job.version) == ("active", "me", "2")
    assert (job.attempt, job.fence, job.lease_until) == (1, 1, at(clock, 9))
    assert (job.id, job.kind, job.lane, job.body) == ("j", "k", "l", {"n": 1})
    assert job == jobs.get("j")


def test_a_claim_takes_only_the_kinds_and_lanes_that_it_names(jobs):
    for kind in ("x", "y"):
        for lane in ("a", "b", None):
            jobs.put(kind, id=f"{kind} {lane}", lane=lane and f"{kind}{lane}")
    assert claimed(jobs, kinds=["y"], lanes=["xa", "yb", "gone"]) == ["y b"]
    assert claimed(jobs, lanes=["xb"]) == ["x b"]
    assert claimed(jobs, kinds=["y", "z", "y"]) == ["y a", "y None"]
    assert claimed(jobs, kinds=[]) == claimed(jobs, lanes=[]) == []
    assert claimed(jobs) == ["x a", "x None"]


def test_a_claim_takes_no_more_than_its_limit_the_first_first(jobs, clock):
    for n in range(5):
        clock.advance(1)
        jobs.put("xy"[n % 2], id=f"j{n}")
    assert ids(jobs.claim("w", limit=3)) == ["j0", "j1", "j2"]
    assert ids(jobs.claim("w", limit=3)) == ["j3", "j4"]


def test_a_lease_that_is_renewed_does_not_run_out(jobs, clock):
    jobs.put("k", id="j")
    jobs.claim("w", lease_seconds=10)
    for _ in range(3):
        clock.advance(9)
        job = jobs.renew("j", fence=1, lease_seconds=10)
        assert job.lease_until == at(clock, 10)
        assert claimed(jobs) == []


def test_a_lease_that_runs_out_gives_the_job_back_with_its_attempt_counted(jobs, clock):
    jobs.put("k", id="j", lane="l")
    jobs.put("k", id="next", lane="l")
    jobs.claim("lost", lease_seconds=10)
    clock.advance(9.999999)
    assert claimed(jobs) == []
    clock.advance(0.000001)
    (job,) = jobs.claim("w")
    assert (job.id, job.attempt, job.fence, job.worker) == ("j", 2, 2, "w")
    assert "'lost'" in job.error


def test_a_job_whose_workers_are_lost_is_dead_after_its_attempts(jobs, clock):
    jobs.put("k", id="j", lane="l", max_attempts=2)
    jobs.put("k", id="next", lane="l")
    for _ in range(2):
        assert claimed(jobs) == ["j"]
        clock.advance(30)
    assert claimed(jobs) == ["next"]
    job = jobs.get("j")
    assert (job.status, job.attempt, job.finished_at) == ("dead", 2, at(clock))
    assert "lost in attempt 2" in job.error


LATE = {
    "complete": {}, "fail": {"error": "no"}, "release": {}, "renew": {}, "join": {},
    "keep_step": {"name": "s", "nth": 0, "position": 0},
    "sleep": {"name": "s", "nth": 0, "position": 0, "seconds": 1},
    "wait": {"signal": "s", "nth": 0, "position": 0},
}  # fmt: skip


@pytest.mark.parametrize("then", ["lapsed", "given to another", "done", "released"])
@pytest.mark.parametrize("late", LATE)
def test_who_comes_too_late_is_fenced_and_changes_nothing(engine, clock, late, then):
    jobs = engine.jobs
    jobs.put("k", id="j")
    jobs.claim("slow", lease_seconds=10)
    if then == "done":
        jobs.complete("j", "first", fence=1)
    elif then == "released":
        jobs.release("j", fence=1)
    else:
        clock.advance(10)
    if then == "given to another":
        jobs.claim("quick")
    before = jobs.get("j"), engine.journal.head()
    with pytest.raises(errors.Fenced):
        getattr(jobs, late)("j", fence=1, **LATE[late])
    assert (jobs.get("j"), engine.journal.head()) == before
    assert jobs.steps("j") == ()


def test_a_fence_is_never_given_twice_not_even_after_a_revival(jobs):
    jobs.put("k", id="j")
    fences = []
    for _ in range(3):
        (job,) = jobs.claim("w")
        fences.append(job.fence)
        jobs.fail("j", "no", retry=False, fence=job.fence)
        jobs.revive("j")
    assert fences == [1, 2, 3]
    with pytest.raises(errors.Fenced):
        jobs.complete("j", fence=3)


def test_a_clock_that_jumps_neither_loses_nor_forks_a_job(jobs, clock):
    jobs.put("k", id="j", lane="l")
    jobs.put("k", id="next", lane="l", delay_seconds=3_600)
    jobs.claim("w", lease_seconds=10)
    clock.advance(-86_400)
    assert claimed(jobs) == []
    jobs.renew("j", fence=1, lease_seconds=10)
    clock.advance(86_400 + 3_600)
    (job,) = jobs.claim("other", lease_seconds=10)
    assert (job.id, job.fence) == ("j", 2)
    clock.advance(-3_600)
    with pytest.raises(errors.Fenced):
        jobs.complete("j", fence=1)
    jobs.complete("j", fence=2)
    clock.advance(3_600)
    assert claimed(jobs) == ["next"]


# Failing.


def test_retries_double_from_a_second_to_a_minute(jobs, clock):
    jobs.put("k", id="j", max_attempts=10, backoff=Backoff(jitter=0))
    waits = []
    for n in range(10):
        (job,) = jobs.claim("w")
        assert job.attempt == n + 1
        job = jobs.fail("j", f"no {n}", fence=job.fence)
        if job.run_at is not None:
            waits.append((job.run_at - at(clock)).total_seconds())
            clock.advance(waits[-1])
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert (job.status, job.attempt, job.error) == ("dead", 10, "no 9")


def test_jitter_spreads_retries_within_its_band(engine, clock):
    waits = set()
    for n in range(200):
        engine.jobs.put("k", id=f"j{n}", backoff=Backoff(first_seconds=10, jitter=0.5))
        engine.jobs.claim("w")
        job = engine.jobs.fail(f"j{n}", "no", fence=1)
        waits.add((job.run_at - at(clock)).total_seconds())
    assert len(waits) > 190
    assert 7.5 <= min(waits) < 8
    assert 12 < max(waits) <= 12.5


def test_a_failure_says_when_to_try_again_or_not_to(jobs, clock):
    for id in ("soon", "now", "never"):
        jobs.put("k", id=id)
    jobs.claim("w", limit=3)
    assert jobs.fail("soon", "no", delay_seconds=7, fence=1).run_at == at(clock, 7)
    job = jobs.fail("now", "no", delay_seconds=0, fence=1)
    assert (job.status, job.run_at, job.error) == ("queued", None, "no")
    assert jobs.fail("never", "no", retry=False, fence=1).status == "dead"
    assert claimed(jobs) == ["now"]


def test_a_job_that_is_given_back_has_not_used_up_an_attempt(jobs, clock):
    jobs.put("k", id="j", max_attempts=1)
    for delay in (None, 5):
        (job,) = jobs.claim("w")
        assert job.attempt == 1
        job = jobs.release("j", delay_seconds=delay, fence=job.fence)
        assert (job.status, job.attempt, job.worker) == ("queued", 0, None)
    assert job.run_at == at(clock, 5)
    clock.advance(5)
    assert jobs.claim("w")[0].fence == 3


def test_what_is_not_done_by_its_deadline_is_dead(jobs, clock):
    for id in ("first", "next"):
        jobs.put("k", id=id, lane="l", deadline=at(clock, 10))
    jobs.put("k", id="last", lane="l")
    clock.advance(10)
    assert claimed(jobs) == ["last"]
    for id in ("first", "next"):
        job = jobs.get(id)
        assert (job.status, job.attempt, job.worker) == ("dead", 0, None)
        assert "deadline" in job.error


def test_a_retry_after_the_deadline_is_none(jobs, clock):
    jobs.put("k", id="j", deadline=at(clock, 10))
    jobs.claim("w")
    assert jobs.fail("j", "no", delay_seconds=10, fence=1).status == "dead"


def test_a_job_that_began_in_time_may_be_done_after_its_deadline(jobs, clock):
    jobs.put("k", id="j", deadline=at(clock, 10))
    jobs.claim("w")
    clock.advance(20)
    assert jobs.complete("j", fence=1).status == "done"


# Cancelling and reviving.


def test_a_job_that_has_not_begun_is_cancelled_at_once(jobs, clock):
    for id, more in {"head": {}, "behind": {}, "later": {"delay_seconds": 5}}.items():
        jobs.put("k", id=id, lane="l", **more)
    for id in ("behind", "head", "later"):
        job = jobs.cancel(id)
        assert (job.status, job.finished_at) == ("cancelled", at(clock))
        assert jobs.cancel(id) == job
    assert claimed(jobs) == []


@pytest.mark.parametrize("end", ["release", "fail", "sleep", "wait"])
def test_a_worker_is_told_of_a_cancellation_and_lets_go(jobs, store, end):
    jobs.put("k", id="j", lane="l")
    jobs.put("k", id="next", lane="l")
    jobs.claim("w")
    job = jobs.cancel("j")
    assert (job.status, job.cancelling) == ("active", True)
    assert told(store) == ("j",)
    assert jobs.renew("j", fence=1).cancelling
    getattr(jobs, end)("j", fence=1, **LATE[end])
    assert jobs.get("j").status == "cancelled"
    assert claimed(jobs) == ["next"]
    assert told(store) == ()


def told(store):
    """Which of its jobs a worker learns are to be cancelled."""
    return store.read(
        lambda tx: Jobs(getattr(tx, "_tx", tx)).outlook("w", ["k"])
    ).cancelling


def test_a_job_that_is_done_in_spite_of_a_cancellation_is_done(jobs):
    jobs.put("k", id="j")
    jobs.claim("w")
    jobs.cancel("j")
    assert jobs.complete("j", 1, fence=1).status == "done"
    with pytest.raises(errors.Refused):
        jobs.cancel("j")


def test_a_cancelled_job_whose_worker_is_lost_is_cancelled(jobs, clock):
    for id in ("seen", "asked"):
        jobs.put("k", id=id)
    jobs.claim("w", limit=2, lease_seconds=5)
    jobs.cancel("seen")
    clock.advance(5)
    assert jobs.cancel("asked").status == "cancelled"
    assert claimed(jobs) == []
    assert jobs.get("seen").status == "cancelled"


@pytest.mark.parametrize("how", ["retrying", "released", "asleep", "waiting"])
def test_a_job_between_two_claims_is_cancelled_at_once(jobs, how):
    begun(jobs, how)
    jobs.put("k", id="next", lane="a")
    assert jobs.cancel("head").status == "cancelled"
    assert claimed(jobs) == ["next"]


@pytest.mark.parametrize("end", ["dead", "cancelled"])
def test_a_revived_job_has_all_its_attempts_and_the_steps_that_were_done(jobs, end):
    jobs.put("k", id="j", lane="l", max_attempts=2)
    jobs.put("k", id="next", lane="l")
    jobs.claim("w", version="1")
    jobs.keep_step("j", "ask", 42, nth=0, position=0, fence=1)
    if end == "dead":
        jobs.fail("j", "no", retry=False, fence=1)
    else:
        jobs.release("j", fence=1)
        jobs.cancel("j")
    job = jobs.revive("j")
    assert (job.status, job.attempt, job.error) == ("queued", 0, None)
    assert (job.finished_at, job.worker) == (None, None)
    (job,) = jobs.claim("w")
    assert (job.id, job.attempt, job.max_attempts, job.fence) == ("j", 1, 2, 2)
    assert jobs.steps("j")[0].result == 42


def test_a_revived_job_waits_for_the_one_of_its_lane_that_has_begun(jobs):
    for id in ("j", "next", "last"):
        jobs.put("k", id=id, lane="l")
    jobs.cancel("j")
    assert claimed(jobs) == ["next"]
    jobs.revive("j")
    assert claimed(jobs) == []
    jobs.complete("next", fence=1)
    assert worked_off(jobs) == ["j", "last"]


def test_only_what_is_dead_or_cancelled_is_revived(jobs):
    jobs.put("k", id="j")
    for _ in range(2):
        with pytest.raises(errors.Refused):
            jobs.revive("j")
        jobs.claim("w")
    jobs.complete("j", fence=1)
    with pytest.raises(errors.Refused):
        jobs.revive("j")


# Finding them.


def one_of_each(jobs, store, clock):
    store.sessions.create(id="talk")
    for id in ("done", "dead", "cancelled", "active", "waiting", "queued"):
        clock.advance(1)
        more = {"session": "talk"} if id in {"dead", "queued"} else {}
        jobs.put("xy"["a" in id], id=id, lane=f"lane-{id}", **more)
    lanes = [f"lane-{id}" for id in ("done", "dead", "active", "waiting")]
    jobs.claim("w", lanes=lanes, limit=4)
    jobs.complete("done", fence=1)
    jobs.fail("dead", "no", retry=False, fence=1)
    jobs.wait("waiting", "go", nth=0, position=0, fence=1)
    jobs.cancel("cancelled")
    jobs.put("z", id="child", parent="active")


def test_jobs_are_listed_newest_first_by_what_is_asked(jobs, store, clock):
    one_of_each(jobs, store, clock)
    newest = ["child", "queued", "waiting", "active", "cancelled", "dead", "done"]
    assert ids(jobs.list()) == newest
    for status in ("done", "dead", "cancelled", "active", "waiting"):
        assert ids(jobs.list(status=status)) == [status]
        assert jobs.list(status=status)[0].status == status
        assert (
            ids(jobs.list(status=status, lane="lane-done"))
            == [status][: status == "done"]
        )
    assert ids(jobs.list(status="queued")) == ["child", "queued"]
    assert ids(jobs.list(kind="y")) == ["waiting", "active", "cancelled", "dead"]
    assert ids(jobs.list(kind="y", status="dead", session="talk")) == ["dead"]
    assert ids(jobs.list(session="talk", lane="lane-queued")) == ["queued"]
    assert ids(jobs.list(parent="active")) == ["child"]
    assert ids(jobs.list(parent="active", kind="x")) == []
    assert list(jobs.list()) == [jobs.get(id) for id in newest]


@pytest.mark.parametrize("status", [None, "queued", "dead", "active", "waiting"])
@pytest.mark.parametrize("by", [{}, {"kind": "k"}, {"session": "s"}])
def test_pages_of_jobs_give_each_once(engine, clock, status, by):
    jobs = engine.jobs
    engine.sessions.create(id="s")
    for n in range(7):
        clock.advance(n % 2)
        jobs.put("k", id=f"j{n}", session="s")
    if status not in {None, "queued"}:
        jobs.claim("w", limit=7)
    for n in range(7):
        if status == "dead":
            jobs.fail(f"j{n}", "no", retry=False, fence=1)
        elif status == "waiting":
            jobs.wait(f"j{n}", "go", nth=0, position=0, fence=1)
    found, cursor = [], None
    while cursor is not None or not found:
        page = jobs.list(status=status, limit=3, cursor=cursor, **by)
        assert len(page) <= 3
        found += ids(page)
        cursor = page.cursor
    assert found == [f"j{n}" for n in reversed(range(7))]


def test_figures_count_each_job_once_by_kind_and_status(jobs, store, clock):
    one_of_each(jobs, store, clock)
    stats = jobs.stats()
    assert stats.total == 7
    assert stats.by_status == {
        "queued": 2, "active": 1, "waiting": 1, "done": 1, "dead": 1, "cancelled": 1,
    }  # fmt: skip
    assert {
        k: {s: n for s, n in of.items() if n} for k, of in stats.by_kind.items()
    } == {
        "x": {"done": 1, "queued": 1},
        "y": {"dead": 1, "active": 1, "waiting": 1, "cancelled": 1},
        "z": {"queued": 1},
    }
    assert stats.ready_since == jobs.get("queued").created_at
    worked_off(jobs)
    assert jobs.stats().ready_since is None


def test_kinds_that_nobody_handles_are_kept_and_told(jobs, store):
    for n in range(3):
        jobs.put("unknown", lane="l" if n else None)
    jobs.put("known")
    assert claimed(jobs, kinds=["known"]) != []
    found = store.read(lambda tx: Jobs(getattr(tx, "_tx", tx)).unhandled(["known"]))
    assert found == (Unhandled("unknown", 2),)
    assert jobs.stats().by_kind["unknown"]["queued"] == 3


def test_purging_deletes_what_ended_before_a_time_and_nothing_else(jobs, store, clock):
    one_of_each(jobs, store, clock)
    ended = at(clock)
    assert jobs.purge(finished_before=ended) == 0
    clock.advance(1)
    jobs.complete("active", fence=1)
    assert jobs.purge(finished_before=at(clock), limit=2) == 2
    assert jobs.purge(finished_before=at(clock), limit=2) == 1
    assert sorted(ids(jobs.list())) == ["active", "child", "queued", "waiting"]
    with pytest.raises(errors.NotFound):
        jobs.get("dead")
    assert jobs.put("other", id="dead").status == "queued"


def test_purged_jobs_leave_no_steps_or_signals(jobs, store):
    jobs.put("k", id="j")
    jobs.claim("w")
    for n in range(3):
        jobs.keep_step("j", "s", nth=n, position=n, fence=1)
    jobs.signal("j", "go")
    jobs.complete("j", fence=1)
    assert jobs.purge(finished_before="2100-01-01T00:00:00Z") == 1
    left = {table: rows for table, rows in dump(store).items() if rows}
    assert not [table for table in left if table.startswith("job")]


# Limits.


def test_no_more_of_a_kind_are_active_than_its_limit(jobs, clock):
    jobs.limit("x", concurrency=2)
    for n in range(4):
        jobs.put("x", id=f"x{n}", priority=1)
        jobs.put("y", id=f"y{n}")
    assert claimed(jobs) == ["x0", "x1", "y0", "y1", "y2", "y3"]
    assert claimed(jobs) == claimed(jobs, kinds=["x"]) == []
    jobs.complete("x0", fence=1)
    assert claimed(jobs) == ["x2"]
    jobs.wait("x1", "go", nth=0, position=0, fence=1)
    assert claimed(jobs) == ["x3"]
    clock.advance(60)
    assert len(claimed(jobs, kinds=["x"])) == 2
    assert jobs.limits() == (jobs.limit("x", concurrency=2),)


def test_a_limit_of_none_at_once_stops_a_kind(jobs):
    jobs.put("x", id="j")
    jobs.limit("x", concurrency=0)
    assert claimed(jobs) == []
    jobs.limit("x")
    assert jobs.limits() == ()
    assert claimed(jobs) == ["j"]


def test_no_more_of_a_kind_begin_in_any_window_than_its_rate(jobs, store, clock):
    jobs.limit("x", rate=3, per_seconds=10)
    for n in range(20):
        jobs.put("x", id=f"j{n:02}", lane=f"l{n % 2}" if n % 3 else None)
    began = []
    for _ in range(60):
        for id in claimed(jobs):
            began.append(clock.now_us())
            jobs.complete(id, fence=1)
        clock.advance(1.3)
    assert len(began) == 20
    for first, fourth in zip(began, began[3:], strict=False):
        assert fourth - first >= 10_000_000


def test_a_rate_tells_when_the_next_may_begin(engine, clock):
    engine.jobs.limit("x", rate=2, per_seconds=10)
    for _ in range(3):
        engine.jobs.put("x")
    for _ in range(2):
        engine.jobs.claim("w", lease_seconds=100)
        clock.advance(3)

    def outlook():
        return engine.read(lambda tx: Jobs(tx._tx).outlook("w", ["x"]))

    assert (outlook().ready, outlook().next_at) == (False, at(clock, 4))
    clock.advance(4)
    assert outlook().ready
    assert len(engine.jobs.claim("w", limit=5)) == 1


def test_a_rate_and_its_time_go_together(jobs):
    for wrong in ({"rate": 1}, {"per_seconds": 1}):
        with pytest.raises(errors.Refused):
            jobs.limit("x", **wrong)


# Steps, and what a handler waits for.

PLACE = {"nth": 0, "position": 0}


@pytest.fixture
def held(jobs):
    """A job that is claimed."""
    jobs.put("k", id="j", max_attempts=1)
    return jobs.claim("w")[0]


@pytest.mark.usefixtures("held")
def test_a_step_is_kept_once(jobs, clock):
    first = jobs.keep_step("j", "ask", {"a": 1}, nth=0, position=0, fence=1)
    assert (first.name, first.nth, first.position) == ("ask", 0, 0)
    assert (first.result, first.at, first.due, first.pending) == (
        {"a": 1}, at(clock), None, False,
    )  # fmt: skip
    clock.advance(1)
    assert jobs.keep_step("j", "ask", "again", nth=0, position=5, fence=1) == first
    other = jobs.keep_step("j", "ask", None, nth=1, position=2, fence=1)
    between = jobs.keep_step("j", "tell", 2, nth=0, position=1, fence=1)
    assert jobs.steps("j") == (first, between, other)


@pytest.mark.usefixtures("held")
def test_a_pause_holds_no_worker_and_counts_from_its_first_beginning(jobs, clock):
    nap = {"id": "j", "name": "nap", "seconds": 10, **PLACE}
    assert not jobs.sleep(**nap, fence=1).there
    job = jobs.get("j")
    assert (job.status, job.attempt, job.worker) == ("waiting", 1, None)
    assert job.run_at == at(clock, 10)
    with pytest.raises(errors.Fenced):
        jobs.complete("j", fence=1)
    clock.advance(9)
    assert claimed(jobs) == []
    clock.advance(1)
    (job,) = jobs.claim("w")
    assert (job.attempt, job.fence) == (1, 2)
    assert jobs.sleep(**nap, fence=2).there
    assert jobs.complete("j", fence=2).attempt == 1


@pytest.mark.usefixtures("held")
def test_a_signal_wakes_the_job_that_waits_for_it(jobs):
    asked = {"id": "j", "signal": "approval", **PLACE}
    assert not jobs.wait(**asked, fence=1).there
    assert jobs.get("j").waits_for == "approval"
    jobs.signal("j", "other", 0)
    assert claimed(jobs) == []
    jobs.signal("j", "approval", {"yes": 1})
    assert claimed(jobs) == ["j"]
    for _ in range(2):
        waited = jobs.wait(**asked, fence=2)
        assert (waited.there, waited.payload) == (True, {"yes": 1})
    assert jobs.steps("j")[0].result == {"yes": 1}


@pytest.mark.usefixtures("held")
def test_signals_are_kept_until_they_are_taken_each_once_and_in_order(jobs):
    for n in range(2):
        jobs.signal("j", "go", n)
    for n in range(2):
        waited = jobs.wait("j", "go", nth=n, position=n, fence=1)
        assert (waited.there, waited.payload) == (True, n)
    assert not jobs.wait("j", "go", nth=2, position=2, fence=1).there
    jobs.cancel("j")
    with pytest.raises(errors.Refused):
        jobs.signal("j", "go")


@pytest.mark.usefixtures("held")
def test_who_waits_with_a_timeout_goes_on_without_a_signal(jobs, clock):
    asked = {"id": "j", "signal": "go", "timeout_seconds": 10, **PLACE}
    assert not jobs.wait(**asked, fence=1).there
    (step,) = jobs.steps("j")
    assert (step.pending, step.due) == (True, at(clock, 10))
    clock.advance(10)
    assert claimed(jobs) == ["j"]
    waited = jobs.wait(**asked, fence=2)
    assert (waited.there, waited.payload) == (True, None)
    jobs.signal("j", "go", "late")
    assert jobs.wait(**asked, fence=2).payload is None
    (step,) = jobs.steps("j")
    assert (step.pending, step.result) == (False, None)
    assert jobs.wait("j", "go", nth=1, position=1, fence=2).payload == "late"


@pytest.mark.usefixtures("held")
def test_a_signal_before_the_timeout_is_taken(jobs, clock):
    asked = {"id": "j", "signal": "go", "timeout_seconds": 10, **PLACE}
    jobs.wait(**asked, fence=1)
    clock.advance(9)
    jobs.signal("j", "go", "in time")
    assert claimed(jobs) == ["j"]
    clock.advance(9)
    assert jobs.wait(**asked, fence=2).payload == "in time"


@pytest.mark.usefixtures("held")
def test_a_parent_goes_on_when_its_last_child_has_ended(jobs):
    assert jobs.join("j", fence=1).there
    for n in range(3):
        jobs.put("child", id=f"c{n}", parent="j", lane="l" if n else None)
    assert not jobs.join("j", fence=1).there
    assert jobs.get("j").waits_for == "(children)"
    assert claimed(jobs) == ["c0", "c1"]
    jobs.complete("c0", fence=1)
    jobs.fail("c1", "no", retry=False, fence=1)
    assert jobs.get("j").status == "waiting"
    jobs.cancel("c2")
    assert claimed(jobs) == ["j"]
    assert jobs.join("j", fence=2).there
    assert jobs.get("j").attempt == 1


def test_a_parent_cannot_wait_for_a_child_behind_it_in_its_lane(jobs):
    jobs.put("k", id="j", lane="l")
    jobs.claim("w")
    jobs.put("child", parent="j", lane="l")
    with pytest.raises(errors.Refused):
        jobs.join("j", fence=1)
    assert jobs.get("j").status == "active"


def test_a_suspended_job_of_a_lane_goes_on_before_those_behind_it(jobs, clock):
    begun(jobs, "asleep")
    jobs.put("k", id="behind", lane="a")
    clock.advance(5)
    assert worked_off(jobs) == ["head", "behind"]


# Larger transactions, and the past.


class Failed(Exception):
    pass


def test_putting_claiming_and_finishing_are_part_of_a_larger_transaction(store):
    store.jobs.put("k", id="j", lane="l")
    with store.transaction() as tx:
        (job,) = tx.jobs.claim("w")
        tx.jobs.keep_step("j", "s", nth=0, position=0, fence=job.fence)
        tx.jobs.put("k", id="next", lane="l")
        tx.jobs.complete("j", fence=job.fence)
        tx.sessions.create(id="effect")
    assert store.sessions.get("effect").id == "effect"
    assert store.jobs.get("j").status == "done"
    assert claimed(store.jobs) == ["next"]


@pytest.mark.parametrize("part", [False, True])
def test_what_is_rolled_back_was_never_put_claimed_or_finished(store, part):
    for n in range(2):
        store.jobs.put("k", id=f"j{n}", lane="l")
    (job,) = store.jobs.claim("w")
    before = [store.jobs.get(f"j{n}") for n in range(2)]

    def act(tx):
        tx.jobs.complete("j0", fence=job.fence)
        assert claimed(tx.jobs) == ["j1"]
        tx.jobs.put("k", id="j2", lane="l", priority=9)
        tx.jobs.put("k", id="beside")
        raise Failed

    if part:
        with store.transaction() as tx, pytest.raises(Failed), tx.savepoint():
            act(tx)
    else:
        with pytest.raises(Failed), store.transaction() as tx:
            act(tx)
    assert [store.jobs.get(f"j{n}") for n in range(2)] == before
    assert store.jobs.stats().total == 2
    store.jobs.complete("j0", fence=job.fence)
    assert worked_off(store.jobs) == ["j1"]


def test_the_past_knows_which_jobs_there_were_and_how_they_had_ended(store, clock):
    jobs = store.jobs
    for id in ("done", "dead", "queued"):
        jobs.put("k", {"of": id}, id=id)
    moments = [store.moment()]
    jobs.claim("w", limit=2)
    jobs.keep_step("done", "ask", 1, nth=0, position=0, fence=1)
    jobs.complete("done", {"ok": 1}, fence=1)
    jobs.fail("dead", "no", retry=False, fence=1)
    moments.append(store.moment())
    jobs.revive("dead")
    jobs.purge(finished_before="2100-01-01T00:00:00Z")
    first, second = (store.as_of(moment).jobs for moment in moments)
    assert [job.status for job in first.list()] == ["queued"] * 3
    assert first.stats().by_status["queued"] == 3
    assert (second.get("done").status, second.get("done").result) == ("done", {"ok": 1})
    assert ids(second.list(status="dead")) == ["dead"]
    assert second.get("dead").error == "no"
    assert second.steps("done")[0].result == 1
    with pytest.raises(errors.Refused):
        second.list(status="active")
    assert sorted(ids(jobs.list())) == ["dead", "queued"]


def test_a_revert_lets_jobs_begin_again_and_takes_back_those_put_since(store):
    jobs = store.jobs
    for id in ("done", "busy", "behind"):
        jobs.put("k", id=id, lane=f"lane of {id}")
    moment = store.moment()
    jobs.put("k", id="new", lane="lane of behind", priority=1)
    jobs.claim("w", lanes=[f"lane of {id}" for id in ("done", "busy")], limit=2)
    jobs.complete("done", fence=1)
    assert claimed(jobs) == ["new"]
    store.revert(moment)
    with pytest.raises(errors.NotFound):
        jobs.complete("new", fence=1)
    assert sorted(claimed(jobs)) == ["behind", "done"]
    assert jobs.get("done").fence == 2
    jobs.complete("busy", fence=1)


def test_another_owner_has_jobs_lanes_and_limits_of_its_own(store):
    ada, bob = store.owned_by("ada"), store.owned_by("bob")
    ada.jobs.limit("k", concurrency=0)
    ada.jobs.put("k", 1, id="j", lane="l")
    bob.jobs.put("k", 2, id="j", lane="l")
    assert [job.body for job in bob.jobs.claim("w", limit=9)] == [2]
    assert ada.jobs.claim("w") == ()
    ada.jobs.limit("k")
    assert [job.owner for job in ada.jobs.claim("w")] == ["ada"]
