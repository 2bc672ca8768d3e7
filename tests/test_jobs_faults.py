"""Faults of systems before this one, each held not to be there.

They lost what was queued when they stopped, replayed what was done at every start and
under new ids, left work in "doing" for good, and forgot timers. Limits are looked at
across processes here, too.
"""

import itertools
import signal
import threading
import time

import pytest

import holdfast
from conftest import store_on
from examples import dump
from holdfast.clock import ManualClock, to_datetime, to_us
from holdfast.engine import Terms
from holdfast.engines.sqlite.transaction import SqliteTransaction
from holdfast.errors import NotFound, Refused
from holdfast.kinds.job_records import Backoff, Ending
from holdfast.kinds.jobs import Jobs
from killing import Worker
from toiling import AT_ONCE, LEASE_SECONDS, serve, store_in

SOON_SECONDS = 20.0
ENGINES = ["file", "postgres"]


@pytest.fixture(params=ENGINES)
def target(request, tmp_path):
    with store_on(request.param, tmp_path) as found:
        yield found


def looked(store, handlers):
    """Have a worker look for jobs, and do what there is, until there is no more."""
    with holdfast.Worker(store, {**handlers, "last": lambda _: None}):
        last = store.jobs.put("last", priority=-1)
        store.jobs.result(last.id, timeout_seconds=SOON_SECONDS)
        until = time.monotonic() + SOON_SECONDS
        while any(left(store).values()):
            assert time.monotonic() < until, left(store)
            time.sleep(0.005)


def left(store):
    figures = store.jobs.stats().by_status
    return {status: figures[status] for status in ("queued", "active", "waiting")}


# An old checkpoint that is replayed at every start, under new ids.


def test_what_was_done_is_not_done_again_at_any_start(target):
    begun = []
    with store_in(target) as store:
        for number in range(6):
            store.jobs.put("note", number, id=f"job-{number}", lane=f"l{number % 2}")
        looked(store, {"note": lambda job: begun.append(job.id)})
    assert sorted(begun) == [f"job-{number}" for number in range(6)]
    for start in range(5):
        with store_in(target) as store:
            there, moment = dump(store), store.moment()
        with store_in(target) as store:
            assert (dump(store), store.moment()) == (there, moment), "opened, no more"
            looked(store, {"note": lambda job: begun.append(job.id)})
            assert store.jobs.stats().by_kind["note"] == {"queued": 0, "done": 6}
            assert store.jobs.stats().total == 6 + start + 2, "one `last` a start"
    assert len(begun) == 6


def test_a_job_keeps_its_id_through_crashes_failures_and_revival(target):
    with store_in(target) as store:
        store.jobs.put(
            "note", {"n": 1}, id="job", lane="a", max_attempts=4, backoff=AT_ONCE
        )

    def claim(say):
        with store_in(target) as store:
            (job,) = store.jobs.claim("w", lease_seconds=0.05)
            say(f"{job.id} {job.fence} {job.attempt}")
            signal.pause()

    keys = set()
    for number in (1, 2):
        dying = Worker(claim)
        dying.wait_for(1)
        assert dying.kill() == [f"job {number} {number}"]
        time.sleep(0.06)  # its lease runs out
    with store_in(target) as store:

        def fail(job):
            keys.add(job.key("ask"))
            raise OSError("no")

        with (
            holdfast.Worker(store, {"note": fail}),
            pytest.raises(Refused, match="dead"),
        ):
            store.jobs.result("job", timeout_seconds=SOON_SECONDS)
        assert store.jobs.get("job").fence == 4
        store.jobs.revive("job")
        (job,) = store.jobs.claim("w")
        assert (job.id, job.body, job.attempt, job.fence) == ("job", {"n": 1}, 1, 5)
        store.jobs.complete("job", fence=5)
        assert [job.id for job in store.jobs.list()] == ["job"]
    assert keys == {"job:ask:0"}


# Work that is stuck in "doing".


def test_what_a_dead_process_had_is_given_back_with_its_attempt_counted(target):
    with store_in(target) as store:
        for number in range(6):
            lane = f"lane-{number % 2}" if number < 4 else None
            store.jobs.put("note", number, id=f"job-{number}", lane=lane)

    def claim(say):
        with store_in(target) as store:
            claimed = store.jobs.claim("dying", limit=10, lease_seconds=0.2)
            say(" ".join(sorted(job.id for job in claimed)))
            signal.pause()

    dying = Worker(claim)
    dying.wait_for(1)
    assert dying.kill() == ["job-0 job-1 job-4 job-5"]
    with store_in(target) as store:
        assert left(store) == {"queued": 2, "active": 4, "waiting": 0}
        told = {}
        looked(store, {"note": lambda job: told.update({job.id: job.attempt})})
        assert left(store) == {"queued": 0, "active": 0, "waiting": 0}
        assert told == {
            "job-0": 2, "job-1": 2, "job-2": 1, "job-3": 1, "job-4": 2, "job-5": 2
        }  # fmt: skip


def test_what_kills_each_process_that_begins_it_ends_dead_and_listed(target):
    with store_in(target) as store:
        store.jobs.put("note", id="deadly", lane="a", max_attempts=2)
        store.jobs.put("note", id="next", lane="a")

    def claim(say):
        with store_in(target) as store:
            (job,) = store.jobs.claim("dying", lease_seconds=0.05)
            say(job.id)
            signal.pause()

    for _ in range(2):
        dying = Worker(claim)
        dying.wait_for(1)
        assert dying.kill() == ["deadly"]
        time.sleep(0.06)  # its lease runs out
    with store_in(target) as store:
        looked(store, {"note": lambda _: None})
        (dead,) = store.jobs.list(status="dead")
        assert (dead.id, dead.attempt) == ("deadly", 2)
        assert dead.error == "worker 'dying' was lost in attempt 2"
        assert store.jobs.get("next").status == "done"


# Retries as they were promised.


def test_waits_double_from_one_second_to_sixty(clock):
    with holdfast.open(":memory:", clock=clock) as store:
        store.jobs.put("note", id="job", max_attempts=10, backoff=Backoff(jitter=0))
        waits = []
        for attempt in range(1, 10):
            (job,) = store.jobs.claim("w")
            assert job.attempt == attempt
            job = store.jobs.fail("job", "no", fence=job.fence)
            waits.append((to_us(job.run_at) - clock.now_us()) / 1e6)
            clock.advance(waits[-1] - 0.001)
            assert store.jobs.claim("w") == ()
            clock.advance(0.001)
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_three_attempts_are_made_and_then_it_is_kept_dead(clock):
    with holdfast.open(":memory:", clock=clock) as store:
        store.jobs.put("note", id="job")
        for attempt in (1, 2, 3):
            (job,) = store.jobs.claim("w")
            store.jobs.fail("job", f"no {attempt}", fence=job.fence)
            clock.advance(60)
        assert store.jobs.claim("w") == ()
        (job,) = store.jobs.list(status="dead")
        assert (job.id, job.attempt, job.error) == ("job", 3, "no 3")


# Queued requests that are lost at a stop.


def test_a_stop_in_the_middle_loses_no_request_and_does_none_twice(target):
    begun, some = [], threading.Event()

    def note(job):
        begun.append(job.id)
        if len(begun) >= 10:
            some.set()
            time.sleep(0.01)  # so that the stop comes in between

    put = [f"job-{number}" for number in range(60)]
    with store_in(target) as store:
        for number, id in enumerate(put):
            store.jobs.put("note", id=id, lane=f"lane-{number % 7}")
        with holdfast.Worker(store, {"note": note}, concurrency=3):
            assert some.wait(SOON_SECONDS)
    with store_in(target) as store:
        assert left(store) == {"queued": 60 - len(begun), "active": 0, "waiting": 0}
        assert 10 <= len(begun) < 60
        looked(store, {"note": note})
    assert sorted(begun) == sorted(put)


# Timers and recurring jobs, over restarts.


def reopened(target, clock):
    return holdfast.open(target, clock=clock)


def test_what_was_due_while_nobody_was_there_is_done_at_the_next_start(target):
    clock, told = ManualClock(), []

    async def pause(job):
        await job.sleep(120)
        told.append(job.id)

    handlers = {"note": lambda job: told.append(job.id), "pause": pause}
    with reopened(target, clock) as store:
        store.jobs.put("note", id="delayed", delay_seconds=60)
        store.jobs.put("note", id="behind it", delay_seconds=60, lane="a")
        store.jobs.put("note", id="later", delay_seconds=600)
        store.jobs.put("pause", id="paused")
        with holdfast.Worker(store, handlers):
            until = time.monotonic() + SOON_SECONDS
            while store.jobs.get("paused").status != "waiting":
                assert time.monotonic() < until
                time.sleep(0.005)
    assert told == []
    clock.advance(121)
    with reopened(target, clock) as store:
        with holdfast.Worker(store, handlers):
            for id in ("delayed", "behind it", "paused"):
                store.jobs.result(id, timeout_seconds=SOON_SECONDS)
        assert left(store) == {"queued": 1, "active": 0, "waiting": 0}
    assert sorted(told) == ["behind it", "delayed", "paused"]


def test_a_recurring_job_runs_once_for_each_due_time_however_many_look(target):
    clock, told = ManualClock(), []
    handlers = {
        "beat": lambda job: told.append(job.id),
        "newest": lambda job: told.append(job.id),
        "ping": lambda _: None,
    }
    with reopened(target, clock) as store:
        began = clock.now_us()
        store.schedules.put("beat", "beat", every_seconds=60, lane="beats")
        store.schedules.put("newest", "newest", every_seconds=60, missed="last")
    clock.advance(185)
    wanted = [f"beat@{at(began, 60 * n)}" for n in (1, 2, 3)]
    wanted.append(f"newest@{at(began, 180)}")
    with (
        reopened(target, clock) as one,
        reopened(target, clock) as two,
        holdfast.Worker(one, handlers),
        holdfast.Worker(two, handlers),
    ):
        for id in wanted:
            done_in(one, id)
        clock.advance(60)
        for store in (one, two):  # each of them wakes both
            store.jobs.put("ping")
        wanted += [f"beat@{at(began, 240)}", f"newest@{at(began, 240)}"]
        for id in wanted:
            done_in(two, id)
    with reopened(target, clock) as store:
        assert store.jobs.claim("w", limit=10) == ()
    assert sorted(told) == sorted(wanted)


def at(began_us, seconds):
    when = to_datetime(began_us + round(seconds * 1e6))
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def done_in(store, id):
    until = time.monotonic() + SOON_SECONDS
    while True:
        try:
            return store.jobs.result(id, timeout_seconds=SOON_SECONDS)
        except NotFound:
            assert time.monotonic() < until
            time.sleep(0.005)


# Workers that wait for each other.


def test_who_holds_many_jobs_locks_them_in_one_order_and_lanes_after_them(
    clock, monkeypatch
):
    with holdfast.open(":memory:", clock=clock) as store:
        for number in range(6):
            store.jobs.put("note", id=f"job-{number}", lane=f"lane-{-number % 6}")
        store.jobs.claim("lost", lanes=["lane-0", "lane-2"], limit=2, lease_seconds=1)
        ours = store.jobs.claim("w", limit=4)
        clock.advance(2)
        claims = [(job.id, job.fence) for job in reversed(ours)]
        endings = [
            Ending(id=job.id, lane=job.lane, fence=job.fence, outcome="done")
            for job in reversed(ours)
        ]
        locked = []
        monkeypatch.setattr(
            SqliteTransaction, "lock", lambda _, *record: locked.append(record)
        )

        def renew(tx):
            return Jobs(tx).renew_all("w", claims, 30)

        def serve(tx):
            return Jobs(tx).serve(
                "w", endings, kinds=["note"], limit=9, lease_seconds=30, versions={}
            )

        core = store._core
        renewed = core.engine.write(core.unit(renew, Terms()))
        assert (renewed.lost, locked) == ((), [("jobs", id) for id, _ in claims[::-1]])
        locked.clear()
        served = core.engine.write(core.unit(serve, Terms()))
        assert served.ended == ("done",) * 4
        assert {job.id for job in served.claimed} == {"job-0", "job-4"}
        first = list(dict.fromkeys(locked))
        assert first == [("jobs", f"job-{number}") for number in range(6)] + [
            ("job_lanes", f"lane-{number}") for number in range(6)
        ]


def test_a_step_in_a_transaction_keeps_no_renewal_waiting_on_a_server(tmp_path):
    renewals = []

    def step(tx, running):
        core = running.store._core
        asked = [(running.id, running.fence)]
        unit = core.unit(lambda tx: Jobs(tx).renew_all("w", asked, 30), Terms())
        thread = threading.Thread(
            target=lambda: renewals.append(core.engine.write(unit)), daemon=True
        )
        thread.start()
        thread.join(5)  # before the step's own transaction ends
        assert not thread.is_alive()

    with store_on("postgres", tmp_path) as target, store_in(target) as store:
        job = store.jobs.put("note")
        with holdfast.Worker(store, {"note": lambda job: job.run("step", step, job)}):
            assert store.jobs.result(job.id, timeout_seconds=SOON_SECONDS) is None
    assert [renewal.lost for renewal in renewals] == [()]


# Limits, across processes.


def test_no_more_than_the_limit_are_active_at_any_instant(target):
    with store_in(target) as store:
        store.jobs.limit("note", concurrency=2)
        for number in range(24):
            store.jobs.put("note", id=f"job-{number}", max_attempts=9)

    def note(job, say):
        say(f"{job.id} {job.fence} {time.monotonic()} begins")
        time.sleep(0.02)
        with job.finish():
            say(f"{job.id} {job.fence} {time.monotonic()} ends")

    said = in_processes(target, note, kill_one=True)
    begun = {tuple(line.split()[:2]): float(line.split()[2]) for line in said
             if line.endswith("begins")}  # fmt: skip
    ended = {tuple(line.split()[:2]): float(line.split()[2]) for line in said
             if line.endswith("ends")}  # fmt: skip
    assert len({id for id, _ in ended}) == 24
    moves = [(when, 1) for key, when in begun.items() if key in ended]
    moves += [(when, -1) for when in ended.values()]
    active = list(itertools.accumulate(move for _, move in sorted(moves)))
    assert max(active) == 2


def test_no_more_than_the_rate_begin_in_any_window(target):
    with store_in(target) as store:
        store.jobs.limit("note", rate=4, per_seconds=0.3)
        for number in range(16):
            store.jobs.put("note", id=f"job-{number}")

    def note(job, say):
        say(f"{to_us(job.lease_until)}")  # so long after it was claimed

    said = in_processes(target, note)
    claimed = sorted(map(int, said))
    assert len(claimed) == 16
    windows = zip(claimed, claimed[4:], strict=False)
    assert all(later - first >= 300_000 for first, later in windows)


def in_processes(target, handler, *, kill_one=False):
    """What is said by three processes that do all jobs; one may be killed at it."""

    def work(say):
        serve(
            target,
            {"note": lambda job: handler(job, say)},
            say,
            lease_seconds=60 * LEASE_SECONDS if not kill_one else LEASE_SECONDS,
        )

    workers, said = [Worker(work)], []
    try:
        if kill_one:  # at its first job: the others would leave it none
            workers[0].wait_for(1)
            said += workers[0].kill()
            workers[0] = Worker(work)
        workers += [Worker(work) for _ in range(2)]
        until = time.monotonic() + SOON_SECONDS
        while unfinished(target):
            assert time.monotonic() < until
            time.sleep(0.1)
        for worker in workers:
            worker.send(signal.SIGTERM)
        for worker in workers:
            said += worker.finish()
    finally:
        for worker in workers:
            worker.close()
    return said


def unfinished(target):
    with store_in(target) as store:
        return any(left(store).values())
