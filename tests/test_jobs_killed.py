"""Workers that are killed at any moment: every job is done once, in order, by others.

Processes put jobs and do them; a parent ends some with SIGKILL, and lets others stand
still for longer than their leases last, at moments that a printed seed draws. What must
be so in the end is in `toiling`.
"""

import os
import random
import signal
import threading
import time

import pytest

from conftest import store_on
from holdfast.errors import Fenced
from killing import Worker
from toiling import (
    LEASE_SECONDS,
    all_done_once,
    effect,
    left,
    prepare,
    put_all,
    serve,
    store_in,
    toil,
    wanted_jobs,
)

PATIENCE_SECONDS = 25.0
BREATH_SECONDS = 0.2
STEADY = {"finishing", "finishing_sync", "running", "running_async"}
"""Kinds whose jobs are claimed once, if nobody is killed."""


class Team:
    """Workers on some machines, and who puts jobs; whoever is killed is replaced."""

    def __init__(self, target, wanted, chance, *, machines, workers):
        self.target, self.wanted, self.chance = target, wanted, chance
        self.ahead = [machine * LEASE_SECONDS / 4 for machine in range(machines)]
        self.workers = [self._hired(place) for place in range(machines * workers)]
        self.putter = Worker(put_all(target, wanted))
        self.said = []

    def close(self):
        for worker in [*self.workers, self.putter]:
            worker.close()

    def strike(self):
        """Kill somebody, or have somebody stand still."""
        place, lot = self.chance.randrange(len(self.workers)), self.chance.random()
        if lot < 0.1:
            self.workers[place].send(signal.SIGSTOP)
            time.sleep(1.5 * LEASE_SECONDS)  # others take over, meanwhile
            self.workers[place].send(signal.SIGCONT)
        elif lot < 0.25:
            self.putter.kill()
            self.putter = Worker(put_all(self.target, self.wanted))
        else:
            self.said += self.workers[place].kill()
            self.workers[place] = self._hired(place)

    def finish(self):
        """Wait until all is put and done, then have everybody stop in order."""
        self.putter.wait_for(1)
        self.putter.kill()
        until = time.monotonic() + PATIENCE_SECONDS
        while left(self.target):
            assert time.monotonic() < until, self._killed()
            time.sleep(BREATH_SECONDS)
        for worker in self.workers:
            worker.send(signal.SIGTERM)
        for worker in self.workers:
            self.said += worker.finish()

    def _killed(self):
        """What was not done, and what was said."""
        said = [line for worker in self.workers for line in worker.kill()]
        return f"{left(self.target)} jobs are not done: {self.said + said}"

    def _hired(self, place):
        return Worker(toil(self.target, self.ahead[place % len(self.ahead)]))


def kill_until_all_is_done(
    target, *, jobs, lanes, kills, seed, machines=1, workers=3, most_seconds=0.3
):
    """Have all jobs done by workers that are killed; what there is in the end."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    wanted = wanted_jobs(jobs, lanes)
    prepare(target, wanted)
    team = Team(target, wanted, chance, machines=machines, workers=workers)
    try:
        for _ in range(kills):
            time.sleep(chance.random() * most_seconds)  # a random moment
            team.strike()
        team.finish()
    finally:
        team.close()
    told = all_done_once(target, wanted)
    assert set(team.said) <= {"late"}
    steady = [told.jobs[id] for id in told.jobs if told.jobs[id].kind in STEADY]
    again = sum(job.fence > 1 for job in steady)
    twice = sum(len(runs) > 1 for runs in told.runs.values())
    print(f"claimed again {again}, begun again {twice}, too late {len(team.said)}")
    assert again, "who was killed had nothing to do"


@pytest.mark.parametrize(
    ("engine", "machines", "workers", "jobs"),
    [("file", 1, 3, 1_200), ("postgres", 2, 2, 400)],
)
def test_every_job_is_done_once_and_in_order_whoever_is_killed(
    tmp_path, engine, machines, workers, jobs
):
    seed = int(os.environ.get("HOLDFAST_SEED", "6"))
    with store_on(engine, tmp_path) as target:
        kill_until_all_is_done(
            target,
            jobs=jobs,
            lanes=12,
            kills=20,
            seed=seed,
            machines=machines,
            workers=workers,
        )


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_who_comes_too_late_is_fenced_and_has_written_nothing(tmp_path, engine):
    with store_on(engine, tmp_path) as target:
        prepare(target, [{"body": {"room": "a"}}])
        with store_in(target) as store:
            store.jobs.put("work", {"room": "a"}, id="job", lane="a")
        first, second = Worker(standing_still(target)), None
        try:
            first.wait_for(1)
            first.send(signal.SIGSTOP)
            second = Worker(standing_still(target))
            second.wait_for(1)
            first.send(signal.SIGCONT)
            first.wait_for(4)  # while the second has the job
            second.send(signal.SIGCONT)
            second.wait_for(2)
            for worker in (first, second):
                worker.send(signal.SIGTERM)
            assert first.finish()[:4] == [
                "1 begins",
                "finish is fenced",
                "run is fenced",
                "once is fenced",
            ]
            assert second.finish() == ["2 begins", "2 is done"]
        finally:
            first.close()
            if second is not None:
                second.close()
        with store_in(target) as store:
            job = store.jobs.get("job")
            assert (job.status, job.result, job.attempt) == ("done", {"by": 2}, 2)
            assert store.jobs.steps("job") == ()
            assert len(store.sessions.messages("done-a")) == 1
            assert store.check().problems == ()


def standing_still(target):
    """A worker whose handler goes on with a job once its process is told to go on."""

    def work(say):
        continued = threading.Event()
        signal.signal(signal.SIGCONT, lambda *_: continued.set())

        def handler(job):
            say(f"{job.fence} begins")
            continued.wait()
            if job.fence > 1:
                with job.finish({"by": job.fence}) as tx:
                    effect(tx, job.id, job.body)
                say(f"{job.fence} is done")
                return
            for way in (by_finish, by_run, by_once):
                try:
                    way(job)
                except Fenced:
                    say(f"{way.__name__[3:]} is fenced")

        serve(target, {"work": handler}, say, keep_seconds=None)

    return work


def by_finish(job):
    with job.finish() as tx:
        effect(tx, job.id, job.body)


def by_run(job):
    job.run("effect", effect, job.id, job.body)


def by_once(job):
    job.once("step", int)


@pytest.mark.soak
@pytest.mark.parametrize(("engine", "machines"), [("file", 1), ("postgres", 2)])
def test_thousands_of_jobs_are_done_once_whoever_is_killed(tmp_path, engine, machines):
    kills = int(os.environ.get("HOLDFAST_KILLS", "200"))
    seed = int(os.environ.get("HOLDFAST_SEED", "1"))
    with store_on(engine, tmp_path) as target:
        kill_until_all_is_done(
            target,
            jobs=kills * (60 if engine == "file" else 25),
            lanes=40,
            kills=kills,
            seed=seed,
            machines=machines,
            workers=2 if machines > 1 else 4,
            most_seconds=0.5,
        )
