"""Machines whose senders and workers are killed: each step is whole, and is made once.

A step, and an answer that leads on, is cut before each of its statements: all of it is
there, or nothing. Then processes send events and do the effects, a parent ends some
with SIGKILL at moments that a printed seed draws, and whoever comes after them goes on.
"""

import os
import random
import time
from collections import Counter

import pytest

from conftest import place_on
from examples import dump
from holdfast import errors
from holdfast.engine import Terms
from holdfast.kinds.job_records import Ending
from holdfast.kinds.jobs import Jobs
from killing import Worker
from test_cut_points import cut_everywhere
from toiling import LEASE_SECONDS, serve, store_in

PATIENCE_SECONDS = 25.0
RICH = {
    "initial": "idle",
    "states": {
        "idle": {
            "exit": [{"updateContext": {"left": "$$n"}}, {"tool": "bye"}],
            "on": {
                "GO": {
                    "target": "busy",
                    "actions": [{"updateContext": {"n": "$$n"}}, {"tool": "first"}],
                }
            },
            "after": {"1h": "GO"},
        },
        "busy": {
            "entry": [
                {"updateContext": {"came": "$n"}},
                {
                    "tool": "second",
                    "payload": {"n": "$n"},
                    "onSuccess": {"updateContext": {"got": "$$result"}},
                },
            ],
            "exit": {"updateContext": {"busy": False}},
            "on": {"SUCCESS": "telling", "ERROR": "idle"},
            "after": {"10s": "ERROR", "20s": "ERROR"},
        },
        "telling": {
            "entry": [{"tool": "tell", "payload": "$got"}, {"tool": "bye"}],
            "on": {"SUCCESS": "idle"},
            "after": {"30s": "SUCCESS"},
        },
    },
}
"""A machine whose steps do everything that a step can do."""


@pytest.fixture
def rich(store):
    store.machines.define("rich", RICH, effects=["first", "second", "tell", "bye"])
    store.machines.create("rich", id="m")
    return store


def queued(store):
    """The kinds of the jobs that are to be done, in their order."""
    jobs = [job for job in store.jobs.list() if job.status == "queued"]
    return [job.kind for job in reversed(jobs)]


def go(store):
    return store.machines.send("m", "GO", {"n": 5}, once="go", expect="idle")


def busy(store):
    """Have the machine wait for the last effect of its step, which is claimed."""
    go(store)
    for kind in ("bye", "first"):
        (job,) = store.jobs.claim("w", lanes=["machine:m"])
        assert job.kind == kind
        store.jobs.complete(job.id, fence=job.fence)
    (job,) = store.jobs.claim("w", lanes=["machine:m"])
    return job


# Cuts.


def test_a_step_that_is_cut_is_done_as_a_whole_or_not_at_all(rich):
    assert cut_everywhere(rich, lambda: go(rich)) > 8
    there = rich.machines.get("m")
    assert (there.state, there.steps) == ("busy", 1)
    assert there.context == {"left": 5, "n": 5, "came": 5}
    assert sorted(queued(rich)) == ["bye", "first", *["machine.after"] * 2, "second"]
    assert go_again(rich) == "seen"


def go_again(store):
    return store.machines.send("m", "GO", {"n": 6}, once="go").outcome


def test_an_answer_that_leads_on_is_cut_with_all_that_it_leads_to(rich):
    job = busy(rich)
    given = {"n": 5}

    def act():
        rich.jobs.complete(job.id, given, fence=job.fence)

    assert cut_everywhere(rich, act) > 8
    there = rich.machines.get("m")
    assert (there.state, there.context["got"]) == ("telling", given)
    assert sorted(queued(rich)) == ["bye", "machine.after", "tell"]


def test_an_error_is_cut_with_all_that_it_leads_to(rich):
    go(rich)
    (bye,) = rich.jobs.claim("w", lanes=["machine:m"])
    rich.jobs.complete(bye.id, fence=bye.fence)
    (job,) = rich.jobs.claim("w", lanes=["machine:m"])

    def act():
        rich.jobs.fail(job.id, "no", retry=False, fence=job.fence)

    assert cut_everywhere(rich, act) > 8
    assert rich.machines.get("m").state == "idle"
    assert queued(rich) == ["machine.after"], "what came after it is not done"


def test_a_workers_turn_that_tells_of_effects_and_timers_is_cut_as_one(rich, clock):
    job = busy(rich)
    rich.machines.create("rich", id="other")
    rich.machines.send("other", "GO")
    clock.advance(10)
    (timer,) = rich.jobs.claim("w", kinds=["machine.after"], limit=2)[1:]
    endings = [
        Ending(id=one.id, lane=one.lane, fence=one.fence, outcome="done", result="7")
        for one in (job, timer)
    ]

    def serve(tx):
        return Jobs(tx).serve(
            "w", endings, kinds=["tell"], limit=9, lease_seconds=9, versions={}
        )

    core = rich._core

    def act():
        core.engine.write(core.unit(serve, Terms()))

    assert cut_everywhere(rich, act) > 12
    assert rich.machines.get("m").state == "telling"
    assert rich.machines.get("other").state == "idle"


# Kills.

LOAD = {
    "initial": "idle",
    "states": {
        "idle": {
            "exit": {"updateContext": {"left": "$$n"}},
            "on": {
                "GO": {"target": "busy", "actions": {"updateContext": {"n": "$$n"}}}
            },
        },
        "busy": {
            "entry": [
                {"tool": "count", "payload": {"n": "$n", "id": "$id"}},
                {
                    "tool": "plain",
                    "payload": "$n",
                    "onSuccess": {"updateContext": {"done": "$$result"}},
                },
            ],
            "on": {"SUCCESS": "resting", "ERROR": "idle"},
        },
        "resting": {"after": {"0.01s": "WAKE"}, "on": {"WAKE": "idle"}},
    },
}


def count(job):
    """An effect that leaves a trace, with its end, in one transaction."""
    with job.finish({"n": job.body["n"]}) as tx:
        tx.sessions.append("done", "user", job.body)


def plain(job):
    return job.body


def define(store):
    store.machines.define("load", LOAD, effects={"count": count, "plain": plain})


def working(target):
    """A worker that does the effects and keeps the timers; it provides no guard."""
    handlers = {"count": count, "plain": plain, "machine.after": lambda _: None}
    return lambda say: serve(target, handlers, say, concurrency=4)


def sending(target, machines, rounds):
    """Sends each machine each of its events, whoever has sent some before it."""

    def work(say):
        with store_in(target) as store:
            define(store)
            for n in range(rounds):
                for id in machines:
                    send_when_idle(store, id, n)
            say("all is sent")

    return work


def send_when_idle(store, id, n):
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            store.machines.send(id, "GO", {"n": n}, expect="idle", once=f"go-{n}")
        except errors.Conflict:
            assert time.monotonic() < until, f"{id} is stuck"
            time.sleep(0.005)
        else:
            return


def kill_until_all_is_sent(target, *, machines, rounds, kills, seed):
    """Have all events sent and their effects done, by processes that are killed."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    ids = [f"m{number}" for number in range(machines)]
    with store_in(target) as store:
        store.sessions.create(id="done")
        define(store)
        for id in ids:
            store.machines.create("load", id=id, context={"id": id})
    makers = [lambda: Worker(working(target))] * 2
    makers += [lambda: Worker(sending(target, ids, rounds))] * 2
    staff = [maker() for maker in makers]
    try:
        for _ in range(kills):
            time.sleep(chance.random() * LEASE_SECONDS / 2)  # a random moment
            place = chance.randrange(len(staff))
            staff[place].close()  # SIGKILL
            staff[place] = makers[place]()
        for sender in staff[2:]:
            assert sender.finish() == ["all is sent"]
        with store_in(target) as store:
            until = time.monotonic() + PATIENCE_SECONDS
            while store.jobs.stats().by_status["done"] < 3 * machines * rounds:
                assert time.monotonic() < until, store.jobs.stats().by_status
                time.sleep(0.02)
    finally:
        for one in staff:
            one.close()
    return ids


def each_once(target, ids, rounds):
    """Each event was taken once, each effect told once, no machine is stuck."""
    with store_in(target) as store:
        assert store.check().problems == ()
        rows = dump(store)
        assert rows["machine_effect"] == []
        assert rows["job_turn"] == []
        done = Counter(
            (note.content["id"], note.content["n"])
            for note in store.sessions.history("done")
        )
        assert done == Counter({(id, n): 1 for id in ids for n in range(rounds)})
        numbers = {row["no"]: row["id"] for row in rows["machine"]}
        steps = Counter(
            (numbers[row["machine"]], row["event"]) for row in rows["machine_step"]
        )
        taken = [row["once"] for row in rows["machine_step"] if row["once"]]
        assert Counter(taken) == Counter({f"go-{n}": len(ids) for n in range(rounds)})
        for id in ids:
            there = store.machines.get(id)
            assert (there.state, there.context["done"]) == ("idle", rounds - 1)
            for event in ("GO", "SUCCESS", "WAKE"):
                assert steps[id, event] == rounds
            assert steps[id, "ERROR"] == 0
            positions = [step.position for step in store.machines.history(id)]
            assert positions == list(range(there.steps + 1))


@pytest.mark.parametrize(("engine", "rounds"), [("file", 8), ("postgres", 4)])
def test_each_event_is_taken_once_whoever_is_killed(tmp_path, engine, rounds):
    seed = int(os.environ.get("HOLDFAST_SEED", "7"))
    with place_on(engine, tmp_path) as target:
        ids = kill_until_all_is_sent(
            target, machines=8, rounds=rounds, kills=8, seed=seed
        )
        each_once(target, ids, rounds)


@pytest.mark.soak
@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_each_event_is_taken_once_however_often_they_are_killed(tmp_path, engine):
    seed = int(os.environ.get("HOLDFAST_SEED", "1"))
    with place_on(engine, tmp_path) as target:
        ids = kill_until_all_is_sent(
            target, machines=20, rounds=12, kills=30, seed=seed
        )
        each_once(target, ids, 12)
