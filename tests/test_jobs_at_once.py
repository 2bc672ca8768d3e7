"""Jobs of few lanes, done by many at once: none is lost, done twice, or out of order.

Two stores share a place, as two processes would. Threads put, claim, complete, fail,
release and cancel in the same lanes, and wait for children; then what is left is worked
off, which a lane that is stuck would not allow.
"""

import random
import threading
import time
from collections import Counter, defaultdict

import pytest

import holdfast
from conftest import store_on
from examples import dump
from holdfast import errors
from holdfast.kinds.job_records import Ending
from holdfast.kinds.jobs import Jobs

LANES = ("a", "b", None)
SECONDS = 2.0
THREADS = 8


@pytest.fixture(params=["file", "postgres"])
def stores(request, tmp_path):
    """Two stores in one place."""
    with (
        store_on(request.param, tmp_path) as target,
        holdfast.open(target) as one,
        holdfast.open(target) as other,
    ):
        yield one, other
        assert one.check().problems == ()


class Crowd:
    """What threads do to jobs, and what they saw."""

    def __init__(self):
        self.mutex = threading.Lock()
        self.active = set()
        self.ended = defaultdict(list)
        self.put = set()
        self.cancelled = set()

    def put_one(self, jobs, chance, id):
        lane = chance.choice(LANES)
        jobs.put("k", lane=lane, id=id, max_attempts=1_000)
        with self.mutex:
            self.put.add(id)

    def work(self, store, chance, worker):
        """Claim some, and end each in some way."""
        for job in store.jobs.claim(worker, limit=chance.randint(1, 3)):
            self.begin(job)
            how = chance.random()
            try:
                if how < 0.6:
                    self.complete(store, job)
                    continue
                self.leave(job)
                if how < 0.75:
                    store.jobs.fail(job.id, "no", delay_seconds=0, fence=job.fence)
                elif how < 0.9:
                    store.jobs.release(job.id, fence=job.fence)
                else:
                    self.serve(store, job, worker)
            except errors.Fenced:
                with self.mutex:
                    assert job.id in self.cancelled

    def begin(self, job):
        with self.mutex:
            assert job.lane is None or job.lane not in self.active, "a lane is forked"
            self.active.add(job.lane)

    def leave(self, job):
        with self.mutex:
            self.active.discard(job.lane)

    def complete(self, store, job):
        """End a job with an effect that can be had only once."""
        with store.transaction() as tx:
            tx.tasks.create(job.id, id=job.id)
            self.leave(job)
            with self.mutex:
                self.ended[job.lane].append(job.id)
            tx.jobs.complete(job.id, fence=job.fence)

    def serve(self, store, job, worker):
        """Give a job back as a worker does, in one go with the next claim."""
        ending = Ending(id=job.id, lane=job.lane, fence=job.fence, outcome="released")

        def both(tx):
            return Jobs(tx._tx).serve(
                worker, [ending], kinds=["k"], limit=1, lease_seconds=30, versions={}
            )

        for got in store.run(both).claimed:
            self.begin(got)
            self.complete(store, got)

    def cancel_one(self, jobs, chance):
        with self.mutex:
            id = chance.choice([*sorted(self.put), "none"])
            self.cancelled.add(id)
        try:
            jobs.cancel(id)
        except (errors.NotFound, errors.Refused):
            return


def at_once(crowd, stores, act):
    """Let threads act on the stores for a while; what went wrong."""
    until = time.monotonic() + SECONDS
    wrong = []

    def run(number):
        chance = random.Random(number)
        try:
            for turn in range(1_000_000):
                if time.monotonic() > until or wrong:
                    return
                act(crowd, stores[number % 2], chance, number, turn)
        except BaseException as error:
            wrong.append(error)
            raise

    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def anything(crowd, store, chance, number, turn):
    if chance.random() < 0.5:
        crowd.put_one(store.jobs, chance, f"{number}-{turn:06}")
    elif chance.random() < 0.05:
        crowd.cancel_one(store.jobs, chance)
    else:
        crowd.work(store, chance, f"w{number}")


def test_many_at_once_lose_no_job_fork_no_lane_and_keep_its_order(stores):
    crowd = Crowd()
    at_once(crowd, stores, anything)
    while got := stores[0].jobs.claim("last", limit=100):
        for job in got:
            crowd.begin(job)
            crowd.complete(stores[0], job)
    left = dump(stores[0])
    assert left["job_turn"] == []
    ended = Counter(row["status"] for row in left["job_end"])
    assert ended["dead"] == 0
    assert ended["done"] == len(left["task"]) == sum(map(len, crowd.ended.values()))
    assert ended["done"] + ended["cancelled"] == len(left["job"]) == len(crowd.put)
    assert ended["done"] > 50
    for lane in ("a", "b"):
        by_putter = defaultdict(list)
        for id in crowd.ended[lane]:
            by_putter[id.partition("-")[0]].append(id)
        for done in by_putter.values():
            assert done == sorted(done)


def families(crowd, store, chance, number, turn):
    """Put a parent with children, or go on with what can be claimed."""
    if chance.random() < 0.15:
        lanes = [chance.choice(["c", "d", None]) for _ in range(3)]

        def put(tx):  # again, if its locks and another's stood in each other's way
            parent = tx.jobs.put("k", lane=chance.choice(LANES)).id
            for lane in lanes:
                tx.jobs.put("k", lane=lane, parent=parent)

        store.run(put)
        return
    for job in store.jobs.claim(f"w{number}", limit=2):
        if job.parent is not None or store.jobs.join(job.id, fence=job.fence).there:
            store.jobs.complete(job.id, fence=job.fence)


def test_parents_go_on_whoever_ends_their_children(stores):
    crowd = Crowd()
    at_once(crowd, stores, families)
    while got := stores[1].jobs.claim("last", limit=100):
        for job in got:
            if stores[1].jobs.join(job.id, fence=job.fence).there:
                stores[1].jobs.complete(job.id, fence=job.fence)
    stats = stores[0].jobs.stats()
    assert stats.by_status["done"] == stats.total > 20


def test_limits_hold_across_processes(stores):
    stores[0].jobs.limit("k", concurrency=3, rate=40, per_seconds=1)
    with stores[0].transaction() as tx:
        for _ in range(400):
            tx.jobs.put("k")
    began, active, most = [], Counter(), []

    def claim_one(crowd, store, chance, number, turn):
        for job in store.jobs.claim(f"w{number}", limit=2):
            with crowd.mutex:
                active["now"] += 1
                most.append(active["now"])
                began.append(time.time())
            time.sleep(0.01)
            with crowd.mutex:
                active["now"] -= 1
            store.jobs.complete(job.id, fence=job.fence)

    at_once(Crowd(), stores, claim_one)
    assert max(most) <= 3
    starts = sorted(row["at"] for row in dump(stores[0])["job_start"])
    assert len(starts) <= 40
    assert 41 < len(began) <= 40 * (SECONDS + 2)


def come_and_go(crowd, store, chance, number, turn):
    """Few jobs that are put, cancelled, revived, claimed and purged, over and over."""
    jobs, id = store.jobs, f"j{chance.randrange(6)}"
    act = chance.choice(["put", "put", "cancel", "revive", "purge", "claim"])
    try:
        if act == "put":
            jobs.put("k", lane="a", id=id)
        elif act == "purge":
            jobs.purge(finished_before="2100-01-01T00:00:00Z", limit=2)
        elif act == "claim":
            for job in jobs.claim(f"w{number}", lease_seconds=0.05):
                jobs.complete(job.id, fence=job.fence)
        else:
            getattr(jobs, act)(id)
    except (errors.NotFound, errors.Refused, errors.Fenced):
        return


def test_a_lane_goes_on_whatever_is_cancelled_revived_and_purged(stores):
    at_once(Crowd(), stores, come_and_go)
    left = dump(stores[0])
    ended = {row["job"] for row in left["job_end"]}
    there = {row["no"] for row in left["job"]}
    assert ended <= there
    assert {row["no"] for row in left["job_turn"]} == there - ended
    while got := stores[0].jobs.claim("last", lease_seconds=0.01):
        stores[0].jobs.cancel(got[0].id)
        time.sleep(0.01)
    assert dump(stores[0])["job_turn"] == []
