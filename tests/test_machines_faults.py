"""Faults of machines before these, each held not to be there.

They swallowed what went wrong when a state was kept, ran a state's entry again
whenever it was loaded, mixed up two callers' transactions on one connection, and left a
migration half-way. (Their unbounded history, and their messages that were lost by type,
are held not to be there in `test_machines`.) What jobs, guards, limits, leases and
other processes do to a machine is looked at here, too.
"""

import asyncio
import contextlib
import itertools
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack

import pytest

import holdfast
from conftest import place_on
from examples import dump
from holdfast import errors
from holdfast.limits import Limits
from killing import Worker
from postgres import empty_store
from test_cut_points import cut_everywhere
from test_model import Failed, _end
from toiling import store_in

SOON_SECONDS = 20.0
WORK = {
    "initial": "idle",
    "states": {
        "idle": {"on": {"GO": "busy"}},
        "busy": {
            "entry": [{"tool": "work", "payload": "$$n"}, {"tool": "more"}],
            "on": {"SUCCESS": "done", "ERROR": "failed"},
        },
        "done": {"on": {"GO": "busy"}},
        "failed": {"on": {"GO": "busy"}},
    },
}
EITHER = {
    "initial": "none",
    "states": {
        "none": {"on": {"LEFT": "left", "RIGHT": "right"}},
        "left": {"on": {"BACK": "none"}},
        "right": {"on": {"BACK": "none"}},
    },
}
COUNTING = {
    "initial": "on",
    "states": {
        "on": {
            "on": {"ADD": {"target": "on", "actions": {"updateContext": {"n": "$$n"}}}}
        }
    },
}


@pytest.fixture(params=["file", "postgres"])
def target(request, tmp_path):
    with place_on(request.param, tmp_path) as found:
        yield found


@pytest.fixture(params=["memory", "file", "postgres"])
def store(request, tmp_path, clock):
    """A store on each engine; whole at the end."""
    engine = request.param
    place = empty_store() if engine == "postgres" else place_on(engine, tmp_path)
    with place as found, holdfast.open(found, clock=clock) as opened:
        yield opened
        assert opened.check().problems == ()


@pytest.fixture
def work(store):
    """A machine that waits for two effects, of which none is done."""
    define_work(store)
    store.machines.create("work", id="m")
    store.machines.send("m", "GO", {"n": 1})
    return store


def define_work(store):
    store.machines.define("work", WORK, effects=["work", "more"])


def claimed(store, kind, **options):
    (job,) = store.jobs.claim("w", kinds=[kind], **options)
    return job


def done(store, kind, result=None):
    job = claimed(store, kind)
    return store.jobs.complete(job.id, result, fence=job.fence)


def statuses(store):
    """How the jobs stand, by their kinds."""
    return {job.kind: job.status.value for job in store.jobs.list()}


def state_of(store, id="m"):
    return store.machines.get(id).state


def until(true):
    limit = time.monotonic() + SOON_SECONDS
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.005)


# Errors that are swallowed when a state is kept.


def test_what_goes_wrong_when_a_step_is_kept_is_the_senders_error(work):
    done(work, "work")
    job, seen = claimed(work, "more"), []

    def act():
        try:
            work.jobs.complete(job.id, fence=job.fence)
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    places = cut_everywhere(work, act)
    assert seen == ["Cut"] * places
    assert state_of(work) == "done"


# Entry actions that run again when a state is loaded.


def test_a_state_that_is_loaded_runs_no_entry_again_whoever_was_killed(target):
    def first(say):
        with store_in(target) as store:
            define_work(store)
            store.machines.create("work", id="m")
            store.machines.send("m", "GO", {"n": 7}, once="go")
            (job,) = store.jobs.claim("dying", lease_seconds=0.05)
            say(f"{job.kind} {job.attempt}")
            signal.pause()

    dying = Worker(first)
    dying.wait_for(1)
    assert dying.kill() == ["work 1"]
    found = []
    for _ in range(3):
        with store_in(target) as store:
            define_work(store)
            assert store.machines.create("work", id="m").state == "busy"
            assert store.machines.get("m").steps == 1
            assert store.machines.send("m", "GO", {"n": 8}, once="go").outcome == "seen"
            assert not store.machines.can("m", "GO")
            found.append((dump(store), store.moment()))
    assert found == [found[0]] * 3
    begun = []

    def tool(job):
        begun.append((job.kind, job.body, job.attempt))

    with (
        store_in(target) as store,
        holdfast.Worker(store, {"work": tool, "more": tool}),
    ):
        until(lambda: state_of(store) == "done")
    assert begun == [("work", 7, 2), ("more", None, 1)]


# Callers whose transactions are mixed up.


def test_callers_on_one_connection_do_not_mix_their_transactions(target):
    async def both():
        async with await holdfast.aopen(target) as store:
            await store.machines.define("count", COUNTING)
            for id in ("m", "n"):
                await store.machines.create("count", id=id)
            await asyncio.gather(
                *(moving(store, number, keep=number % 2) for number in range(20))
            )
            return [await store.machines.get(id) for id in ("m", "n")]

    async def moving(store, number, *, keep):
        with contextlib.suppress(Failed):
            async with store.transaction() as tx:
                for id in ("m", "n"):
                    await tx.machines.send(id, "ADD", {"n": number})
                    await asyncio.sleep(0)
                _end(keep=keep)

    m, n = asyncio.run(both())
    assert (m.steps, n.steps) == (10, 10)
    assert m.context == n.context
    assert m.context["n"] % 2 == 1, "of one that was kept"


# Senders at once.


@pytest.fixture(params=[1, 2], ids=["one store", "two stores"])
def pair(request, target):
    """A place's store twice: the same one, or two as two processes would have."""
    with ExitStack() as stack:
        opened = [stack.enter_context(store_in(target)) for _ in range(request.param)]
        yield opened[0], opened[-1]
        assert opened[0].check().problems == ()


def at_once(*works):
    """Do works on threads, begun together; what each of them gave."""
    gate, given = threading.Barrier(len(works)), {}

    def run(number, work):
        gate.wait(SOON_SECONDS)
        given[number] = work()

    threads = [
        threading.Thread(target=run, args=pair, daemon=True)
        for pair in enumerate(works)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON_SECONDS)
    return [given[number] for number in range(len(works))]


def test_of_two_events_that_race_one_wins_and_the_other_is_judged_after_it(pair):
    for store in pair:
        store.machines.define("either", EITHER)
    pair[0].machines.create("either", id="m")
    for _ in range(12):
        left, right = at_once(
            lambda: pair[0].machines.send("m", "LEFT"),
            lambda: pair[1].machines.send("m", "RIGHT"),
        )
        assert {left.outcome, right.outcome} == {"taken", "ignored"}
        assert left.machine.state == right.machine.state
        assert left.machine.state == ("left" if left.taken else "right")
        assert pair[1].machines.send("m", "BACK").taken


def test_no_step_is_lost_and_positions_have_no_gaps(pair):
    for store in pair:
        store.machines.define("count", COUNTING)
    pair[0].machines.create("count", id="m")
    sent = at_once(*(lambda s=store: add_some(s, 15) for store in [*pair, *pair]))
    taken = sorted(itertools.chain.from_iterable(sent))
    assert taken == list(range(1, 61))
    steps = pair[0].machines.history("m", limit=100)
    assert [step.position for step in steps] == list(range(61))


def add_some(store, count):
    return [
        store.machines.send("m", "ADD", {"n": n}).step.position for n in range(count)
    ]


def test_processes_that_send_at_once_lose_no_step_either(target):
    with store_in(target) as store:
        store.machines.define("count", COUNTING)
        store.machines.create("count", id="m")

    def work(say):
        with store_in(target) as store:
            say(" ".join(map(str, add_some(store, 20))))

    senders = [Worker(work) for _ in range(2)]
    said = [sender.finish()[0] for sender in senders]
    assert sorted(map(int, " ".join(said).split())) == list(range(1, 41))
    with store_in(target) as store:
        assert store.machines.get("m").steps == 40


def test_timers_and_senders_of_one_machine_do_not_block_each_other(target):
    spec = {
        "initial": "a",
        "states": {
            "a": {"on": {"GO": "b", "T": "b"}, "after": {"0.001s": "T"}},
            "b": {"on": {"GO": "a", "T": "a"}, "after": {"0.001s": "T", "9s": "T"}},
        },
    }
    with store_in(target) as store, store_in(target) as other:
        for one in (store, other):
            one.machines.define("ticking", spec)
        ids = [f"m{number}" for number in range(4)]
        for id in ids:
            store.machines.create("ticking", id=id)

        def send():
            return [
                other.machines.send(id, "GO").taken for _ in range(25) for id in ids
            ]

        slow = time.monotonic()
        with holdfast.Worker(store, {}, concurrency=4):
            assert all(itertools.chain.from_iterable(at_once(send, send)))
        print(f"{time.monotonic() - slow:.2f} s")
        for id in ids:
            there = store.machines.get(id)
            events = Counter(
                step.event for step in store.machines.history(id, limit=1_000)
            )
            assert events["GO"] == 50
            assert there.steps == events.total() - 1
        assert store.check().problems == ()


# Versions.


def version_2(**more):
    counting = COUNTING["states"]["on"]
    return {"initial": "on", "states": {"on": {**counting, **more}}}


def test_a_thousand_machines_follow_a_version_while_others_send(target):
    ids = [f"m{number:04}" for number in range(1_000)]
    guarded = {"target": "on", "guard": "known", "actions": []}
    newer = version_2()
    newer["states"]["on"] = {"on": {**newer["states"]["on"]["on"], "NEW": guarded}}
    with store_in(target) as store:
        store.machines.define("count", COUNTING)

        def create(tx):
            for id in ids:
                tx.machines.create("count", id=id)

        store.run(create)

    def old_code(say):
        with store_in(target) as old:
            old.machines.define("count", COUNTING)
            for id in ids[::10]:
                sent = old.machines.send(id, "ADD", {"n": 1})
                assert sent.taken
                if sent.machine.version == 2:
                    with pytest.raises(errors.Refused, match="the guard 'known'"):
                        old.machines.send(id, "NEW")
            say("sent")

    sender = Worker(old_code)
    with store_in(target) as store:
        try:
            store.machines.define(
                "count", newer, version=2, guards={"known": lambda *_: True}
            )
            moved = 0
            while some := store.machines.upgrade("count", limit=200):
                moved += some
            assert sender.finish() == ["sent"]
        finally:
            sender.close()
        assert 900 <= moved <= 1_000
        versions = Counter(row["version"] for row in dump(store)["machine_now"])
        assert versions == {2: 1_000}
        for id in ids[::10]:
            events = [step.event for step in store.machines.history(id)]
            assert sorted(events, key=str) == ["ADD", None, None]
            assert store.machines.send(id, "NEW").taken
        assert store.check().problems == ()


def test_a_move_to_a_new_version_that_is_cut_has_moved_none(work):
    for number in range(3):
        work.machines.create("work", id=f"n{number}")
    newer = {**WORK, "states": {**WORK["states"], "new": {"on": {"GO": "busy"}}}}
    newer["states"]["idle"] = {"on": {"GO": "busy", "NEW": "new"}}
    work.machines.define("work", newer, version=2, effects=["work", "more"])
    assert cut_everywhere(work, lambda: work.machines.upgrade("work")) > 8
    assert {one.version for one in work.machines.list()} == {2}


def test_a_state_that_is_called_otherwise_is_told_what_it_waits_for(work, clock):
    entered = work.machines.get("m").entered_at
    clock.advance(5)
    states = dict(WORK["states"])
    busy = states.pop("busy")
    states = {name: {"on": {"GO": "toiling"}} for name in states} | {
        "toiling": {**busy, "after": {"1h": "ERROR"}}
    }
    work.machines.define(
        "work",
        {**WORK, "states": states},
        version=2,
        effects=["work", "more"],
        from_versions={1: {"busy": "toiling"}},
    )
    assert work.machines.upgrade("work") == 1
    there = work.machines.get("m")
    assert (there.state, there.entered_at) == ("toiling", entered)
    done(work, "work")
    done(work, "more")
    assert state_of(work) == "done"
    assert statuses(work)["machine.after"] == "cancelled"


def test_a_state_that_is_gone_is_told_nothing(work):
    states = {"idle": {"on": {"SUCCESS": "idle", "ERROR": "idle"}}}
    work.machines.define("work", {"initial": "idle", "states": states}, version=2)
    work.machines.upgrade("work")
    done(work, "work")
    done(work, "more")
    events = [step.event for step in work.machines.history("m")]
    assert events == [None, "GO", None]


def test_who_sends_once_again_moves_a_machine_along_as_it_says(store):
    store.machines.define("count", COUNTING)
    store.machines.create("count", id="m")
    store.machines.send("m", "ADD", {"n": 1}, once="k")
    store.machines.define("count", version_2(after={"1h": "ADD"}), version=2)
    sent = store.machines.send("m", "ADD", {"n": 2}, once="k")
    assert (sent.outcome, sent.machine.version) == ("seen", 2)
    assert store.machines.get("m") == sent.machine


# Guards.


def guarded(store, guard):
    spec = {
        "initial": "a",
        "states": {
            "a": {"on": {"GO": {"target": "b", "guard": "g"}}},
            "b": {
                "entry": {"tool": "work"},
                "on": {"SUCCESS": {"target": "a", "guard": "g"}},
            },
        },
    }
    guards = ["g"] if guard is None else {"g": guard}
    store.machines.define("guarded", spec, guards=guards, effects=["work"])
    store.machines.create("guarded", id="m")


def test_a_guard_that_takes_long_lets_nobody_pass_in_between(target):
    inside, events = threading.Event(), []

    def slow(context, payload):
        if payload == "slow":
            inside.set()
            time.sleep(0.3)
        return True

    with store_in(target) as store, store_in(target) as other:
        guarded(store, slow)
        guarded(other, slow)

        def late():
            assert inside.wait(SOON_SECONDS)
            events.append(other.machines.send("m", "GO", "quick").outcome)

        first, _ = at_once(lambda: store.machines.send("m", "GO", "slow"), late)
        assert (first.outcome, events) == ("taken", ["ignored"])
        assert len([*store.jobs.list()]) == 1


def test_a_timer_that_fires_while_its_state_is_left_is_too_late(target):
    inside = threading.Event()

    def slow(context, payload):
        inside.set()
        time.sleep(0.2)  # the machine is locked, and its timers are not yet
        return True

    spec = {
        "initial": "a",
        "states": {
            "a": {
                "on": {"GO": {"target": "b", "guard": "slow"}, "T": "c"},
                "after": {"0.001s": "T"},
            },
            "b": {},
            "c": {},
        },
    }
    with store_in(target) as store, store_in(target) as other:
        for one in (store, other):
            one.machines.define("m", spec, guards={"slow": slow})
        store.machines.create("m", id="m")
        time.sleep(0.01)
        timer = claimed(other, "machine.after")

        def fire():
            assert inside.wait(SOON_SECONDS)
            return other.jobs.complete(timer.id, fence=timer.fence).status

        sent, status = at_once(lambda: store.machines.send("m", "GO"), fire)
        assert (sent.outcome, status) in {("taken", "done"), ("ignored", "done")}
        assert state_of(store) == ("b" if sent.taken else "c")
        assert [step.event for step in store.machines.history("m")][1:] == [
            "GO" if sent.taken else "T"
        ]


def test_a_guard_that_is_missing_when_an_effect_ends_is_asked_later(target):
    with store_in(target) as store:
        guarded(store, lambda *_: True)
        store.machines.send("m", "GO")
    with store_in(target) as store:
        before = state_of(store)
        assert done(store, "work").status == "done"
        told = done(store, "machine.after")
        assert (told.status, state_of(store)) == ("queued", before)
        assert "provides the guard 'g'" in told.error
    with store_in(target) as store:
        guarded(store, lambda *_: True)
        until = time.monotonic() + 20
        while state_of(store) == before and time.monotonic() < until:
            for job in store.jobs.claim("w", kinds=["machine.after"]):
                store.jobs.complete(job.id, fence=job.fence)
            time.sleep(0.05)
        assert state_of(store) == "a"


def test_a_guard_sees_copies_and_changes_nothing(store):
    def greedy(context, payload):
        context["stolen"] = payload.pop("n")
        return True

    guarded(store, greedy)
    assert store.machines.send("m", "GO", {"n": 1}).machine.context == {}


# Limits.


def test_payloads_and_contexts_past_the_limit_change_nothing(clock):
    limits = Limits(value_bytes=2_000)
    with holdfast.open(":memory:", clock=clock, limits=limits) as store:
        half, whole = "x" * 1_200, "x" * 2_100
        spec = {
            "initial": "a",
            "states": {
                "a": {
                    "on": {
                        "KEEP": {
                            "target": "a",
                            "actions": {"updateContext": {"one": "$two", "two": "$$v"}},
                        },
                        "DO": {
                            "target": "a",
                            "actions": {
                                "tool": "work",
                                "onSuccess": {"updateContext": {"one": "$$result"}},
                            },
                        },
                    }
                }
            },
        }
        store.machines.define("m", spec, effects=["work"])
        with pytest.raises(errors.TooLarge):
            store.machines.create("m", context={"v": whole})
        store.machines.create("m", id="m")
        with pytest.raises(errors.TooLarge):
            store.machines.send("m", "KEEP", {"v": whole})
        assert store.machines.send("m", "KEEP", {"v": half}).taken
        store.machines.send("m", "DO")
        before = dump(store)
        with pytest.raises(errors.TooLarge, match="the context of machine 'm'"):
            store.machines.send("m", "KEEP", {"v": half})
        assert dump(store) == before
        done(store, "work", half)
        assert store.machines.context("m") == {"one": None, "two": half}
        told = done(store, "machine.after")
        assert "the context of machine 'm'" in told.error
        assert store.machines.context("m") == {"one": None, "two": half}
        store.machines.send("m", "DO")
        done(store, "work", "small")
        assert store.machines.context("m") == {"one": "small", "two": half}


def test_a_context_that_holds_itself_ever_deeper_is_refused_in_time(store):
    actions = {"updateContext": {"inner": "$context"}}
    spec = {
        "initial": "a",
        "states": {"a": {"on": {"GO": {"target": "a", "actions": actions}}}},
    }
    store.machines.define("deep", spec)
    store.machines.create("deep", id="m")
    with pytest.raises(errors.NotStorable, match="nested too deeply"):
        for _ in range(300):
            store.machines.send("m", "GO")
    steps = store.machines.get("m").steps
    assert steps == len([*store.machines.history("m", limit=1_000)]) - 1


def test_an_answer_that_begins_a_circle_is_refused_each_time_that_it_is_told(store):
    round_ = {"entry": {"updateContext": {"n": 1}}}
    spec = {
        "initial": "a",
        "states": {
            "a": {"on": {"GO": "b"}},
            "b": {"entry": {"tool": "work"}, "on": {"SUCCESS": "c"}},
            "c": {**round_, "on": {"SUCCESS": "d"}},
            "d": {**round_, "on": {"SUCCESS": "c"}},
        },
    }
    store.machines.define("circle", spec, effects=["work"])
    store.machines.create("circle", id="m")
    store.machines.send("m", "GO")
    assert done(store, "work").status == "done"
    told = done(store, "machine.after")
    assert (told.status, state_of(store)) == ("queued", "b")
    assert "round and round" in told.error


def test_a_chain_of_states_that_ends_is_followed_to_its_end(store):
    states = {
        f"s{number}": {
            "entry": {"updateContext": {"n": number}},
            "on": {"SUCCESS": f"s{number + 1}"},
        }
        for number in range(1, 90)
    }
    states |= {"s0": {"on": {"GO": "s1"}}, "s90": {}}
    store.machines.define("chain", {"initial": "s0", "states": states})
    store.machines.create("chain", id="m")
    sent = store.machines.send("m", "GO")
    assert (sent.machine.state, sent.machine.steps) == ("s90", 90)
    assert sent.machine.context == {"n": 89}


@pytest.mark.parametrize(
    "name", ["état", "ab cd", "状態.一", "$dollar", "'quoted'", "👋"]
)
def test_states_and_events_are_any_text(store, name):
    spec = {
        "initial": name,
        "states": {name: {"on": {name: "z"}, "after": {"5s": name}}, "z": {}},
    }
    store.machines.define("texts", spec)
    id = "é" * 190
    assert store.machines.create("texts", id=id).state == name
    assert [one.id for one in store.machines.list("texts", state=name)] == [id]
    assert store.machines.send(id, name).machine.state == "z"
    with pytest.raises(errors.InvalidId, match="190"):
        store.machines.create("texts", id="x" * 191)


def test_a_machine_of_the_longest_id_has_a_lane_too(store):
    define_work(store)
    id = "x" * 190
    store.machines.create("work", id=id)
    store.machines.send(id, "GO")
    assert claimed(store, "work").lane == f"machine:{id}"


# Jobs that end in their own ways.


def test_an_effect_that_was_purged_after_its_end_was_told_before(work, clock):
    done(work, "work")
    done(work, "more")
    clock.advance(60)
    assert work.jobs.purge(finished_before=work.machines.get("m").entered_at) == 0
    clock.advance(60)
    moment = work.jobs.put("other").created_at
    assert work.jobs.purge(finished_before=moment) == 2
    assert state_of(work) == "done"
    assert work.machines.send("m", "GO").taken


def test_an_effect_that_is_revived_is_done_and_not_told_again(work):
    job = claimed(work, "work")
    work.jobs.fail(job.id, "no", retry=False, fence=job.fence)
    assert state_of(work) == "failed"
    assert statuses(work) == {"work": "dead", "more": "cancelled"}
    work.jobs.revive(job.id)
    done(work, "work")
    assert statuses(work) == {"work": "done", "more": "cancelled"}
    assert state_of(work) == "failed"


@pytest.mark.parametrize("end", ["complete", "release"])
def test_an_effect_that_is_cancelled_while_it_is_done(work, end):
    job = claimed(work, "work")
    assert work.jobs.cancel(job.id).cancelling
    assert state_of(work) == "busy", "its worker may still be done with it"
    getattr(work.jobs, end)(job.id, fence=job.fence)
    if end == "complete":
        assert done(work, "more").status == "done"
        assert state_of(work) == "done"
    else:
        assert (state_of(work), statuses(work)["more"]) == ("failed", "cancelled")


def test_a_worker_that_lost_its_lease_tells_nothing(work, clock):
    first = claimed(work, "work", lease_seconds=1)
    clock.advance(2)
    second = claimed(work, "work")
    assert (second.id, second.attempt) == (first.id, 2)
    with pytest.raises(errors.Fenced):
        work.jobs.complete(first.id, fence=first.fence)
    assert work.machines.get("m").steps == 1
    work.jobs.complete(second.id, fence=second.fence)
    done(work, "more")
    assert [step.event for step in work.machines.history("m")][1:] == ["GO", "SUCCESS"]


def test_an_effect_that_no_worker_survives_is_an_error(work, clock):
    for attempt in (1, 2, 3):
        assert claimed(work, "work", lease_seconds=1).attempt == attempt
        clock.advance(2)
    assert work.jobs.claim("w") == ()
    assert state_of(work) == "failed"


def test_a_machine_that_was_deleted_is_told_nothing_and_its_heir_neither(work):
    job = claimed(work, "work")
    assert work.machines.delete("m")
    work.machines.create("work", id="m")
    work.machines.send("m", "GO", {"n": 2})
    assert work.jobs.claim("w", kinds=["work"]) == (), "the other one's is in the lane"
    work.jobs.complete(job.id, fence=job.fence)
    assert claimed(work, "work").body == 2
    assert state_of(work) == "busy"


def test_a_lease_keeps_senders_away_and_no_answers(work):
    done(work, "work")
    with work.lease("machines", "m") as lease:
        with pytest.raises(errors.Held):
            work.machines.send("m", "GO")
        done(work, "more")
        assert state_of(work) == "done"
        assert lease.store.machines.send("m", "GO").taken


# Copies and forks in the middle of an effect, and owners.


def test_a_copy_and_a_past_in_the_middle_of_an_effect(target, tmp_path):
    with store_in(target) as store:
        define_work(store)
        store.machines.create("work", id="m")
        store.machines.send("m", "GO", {"n": 1})
        job, moment = claimed(store, "work"), store.moment()
        holdfast.copy(target, tmp_path / "copy.db")
        store.jobs.complete(job.id, fence=job.fence)
        done(store, "more")
        past = store.as_of(moment)
        assert (past.machines.get("m").state, state_of(store)) == ("busy", "done")
        assert [step.event for step in past.machines.history("m")] == [None, "GO"]
        assert not past.machines.can("m", "GO")
        listed = past.machines.list("work", state="busy")
        assert [one.id for one in listed] == ["m"]
        holdfast.fork(target, tmp_path / "fork.db", as_of=moment)
    for made in ("copy.db", "fork.db"):
        with store_in(tmp_path / made) as copy:
            assert state_of(copy) == "busy"
            assert len(copy.machines.list("work", state="busy")) == 1
            if made == "fork.db":  # the past knows of no claims
                job = claimed(copy, "work")
            copy.jobs.complete(job.id, fence=job.fence)
            done(copy, "more")
            assert state_of(copy) == "done"
            assert copy.check().problems == ()


@pytest.mark.parametrize("engine", ["memory", "file", "postgres"])
def test_a_worker_across_owners_does_the_effects_of_all(tmp_path, engine):
    with place_on(engine, tmp_path) as target, holdfast.open(target) as store:
        owners = ["", "ada", "bob", *(f"user-{number}" for number in range(9))]
        seen = []

        def tool(job):
            seen.append((job.owner, job.kind, job.body))

        for number, owner in enumerate(owners):
            own = store.owned_by(owner)
            own.machines.define("work", WORK, effects={"work": tool, "more": tool})
            own.machines.create("work", id="m")
            own.machines.send("m", "GO", {"n": number})
        with holdfast.Worker(store, {}, concurrency=4, across_owners=True):
            until(lambda: all(state_of(store.owned_by(o)) == "done" for o in owners))
        wanted = [(owner, "work", number) for number, owner in enumerate(owners)]
        wanted += [(owner, "more", None) for owner in owners]
        assert Counter(seen) == Counter(wanted)
        assert store.check().problems == ()
