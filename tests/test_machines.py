"""Machines: events, contexts, effects, timers, versions; and the original's faults."""

import itertools
import logging
import os
import time
from pathlib import Path

import pytest

import holdfast
from conftest import place_on
from holdfast import errors
from holdfast.limits import Limits

DOOR = {
    "initial": "closed",
    "states": {
        "closed": {"on": {"OPEN": "open", "LOCK": {"target": "locked"}}},
        "open": {"on": {"CLOSE": "closed"}},
        "locked": {"on": {"UNLOCK": {"target": "closed", "guard": "has_key"}}},
    },
}
ORDER = {
    "initial": "new",
    "states": {
        "new": {
            "entry": {"updateContext": {"tries": 0}},
            "exit": {"updateContext": {"trace": "exit"}},
            "on": {
                "PAY": {
                    "target": "paying",
                    "actions": [
                        {"updateContext": {"amount": "$$amount", "was": "$trace"}},
                        {"updateContext": {"trace": "action"}},
                    ],
                },
                "NOTE": {
                    "target": "new",
                    "actions": {"updateContext": {"note": "$$text"}},
                },
            },
        },
        "paying": {
            "entry": [
                {"updateContext": {"seen": "$trace"}},
                {"tool": "@bank/charge", "payload": {"amount": "$$amount"}},
            ],
            "on": {
                "SUCCESS": {
                    "target": "paid",
                    "actions": [{"updateContext": {"receipt": "$$result.number"}}],
                },
                "ERROR": {
                    "target": "failed",
                    "actions": [{"updateContext": {"why": "$$errors.0.message"}}],
                },
                "CANCEL": "failed",
            },
            "after": {"3d": "CANCEL"},
        },
        "paid": {},
        "failed": {"on": {"PAY": "paying"}},
    },
}
TOOLS = {"@bank/charge": None}


def key(context, payload):
    return bool(payload and payload.get("key"))


@pytest.fixture
def door(store):
    store.machines.define("door", DOOR, guards={"has_key": key})
    return store.machines.create("door", id="front")


@pytest.fixture
def order(store):
    store.machines.define("order", ORDER, effects=["@bank/charge"])
    return store.machines.create("order", id="o")


def moves(store, id):
    """How a machine has come where it is."""
    steps = store.machines.history(id)
    return [(step.event, step.from_state, step.to_state) for step in steps]


def do(store, result=None, error=None, kinds=None):
    """Do the next job; its kind and its body."""
    (job,) = store.jobs.claim("worker", kinds=kinds)
    if error is None:
        store.jobs.complete(job.id, result, fence=job.fence)
    else:
        store.jobs.fail(job.id, error, retry=False, fence=job.fence)
    return job.kind, job.body


def waiting(store):
    """The kinds of the jobs that are still to be done, the first first."""
    jobs = store.jobs.list(status="queued")
    return [job.kind for job in reversed(list(jobs))]


def test_a_machine_goes_where_its_events_lead(store, door):
    assert door.state == "closed"
    sent = store.machines.send("front", "OPEN")
    assert (sent.outcome, sent.machine.state) == ("taken", "open")
    assert (sent.step.from_state, sent.step.to_state) == ("closed", "open")
    assert store.machines.get("front") == sent.machine
    assert moves(store, "front") == [(None, None, "closed"), ("OPEN", "closed", "open")]


def test_an_event_that_a_state_does_not_take_is_ignored(store, door):
    before = store.machines.get("front")
    sent = store.machines.send("front", "CLOSE")
    assert (sent.outcome, sent.step, sent.machine) == ("ignored", None, before)
    assert store.machines.get("front") == before


def test_or_refused_if_the_definition_says_so(store):
    store.machines.define("strict", DOOR, guards={"has_key": key}, unknown="refuse")
    store.machines.create("strict", id="m")
    with pytest.raises(errors.Refused, match="'closed', which takes no 'CLOSE' but"):
        store.machines.send("m", "CLOSE")
    assert store.machines.send("m", "OPEN").taken


def test_a_guard_decides_by_context_and_payload(store, door):
    store.machines.send("front", "LOCK")
    sent = store.machines.send("front", "UNLOCK", {"key": False})
    assert (sent.outcome, sent.machine.state, sent.told) == ("guarded", "locked", ())
    assert not store.machines.can("front", "UNLOCK")
    assert store.machines.can("front", "UNLOCK", {"key": True})
    assert store.machines.send("front", "UNLOCK", {"key": True}).taken


def test_a_guard_that_fails_counts_as_false_and_is_told(store, caplog):
    def broken(context, payload):
        raise KeyError("no such thing")

    store.machines.define("door", DOOR, guards={"has_key": broken})
    store.machines.create("door", id="front")
    store.machines.send("front", "LOCK")
    with caplog.at_level(logging.WARNING, "holdfast"):
        sent = store.machines.send("front", "UNLOCK")
    assert sent.outcome == "guarded"
    assert "has_key" in sent.told[0]
    assert "no such thing" in sent.told[0]
    assert sent.told[0] in caplog.text


def test_order_is_exit_actions_history_state_entry(store, order):
    assert store.machines.context("o") == {"tries": 0}
    store.machines.send("o", "PAY", {"amount": 5})
    assert store.machines.context("o") == {
        "tries": 0,
        "trace": "action",  # written after exit had written it
        "was": "exit",  # a list of actions sees what was before the list
        "amount": 5,
        "seen": "action",  # and entry sees what the actions wrote
    }


def test_a_self_transition_runs_no_entry(store, order):
    entered = store.machines.get("o").entered_at
    store.machines.send("o", "NOTE", {"text": "hm"})
    there = store.machines.get("o")
    assert (there.state, there.context["note"]) == ("new", "hm")
    assert there.context["trace"] == "exit"
    assert (there.entered_at, there.steps) == (entered, 1)
    assert moves(store, "o")[-1] == ("NOTE", "new", "new")


def test_an_effect_is_a_job_whose_end_the_machine_is_told(store, order):
    store.machines.send("o", "PAY", {"amount": 5})
    assert sorted(waiting(store)) == ["@bank/charge", "machine.after"]
    found = do(store, {"number": 17}, kinds=["@bank/charge"])
    assert found == ("@bank/charge", {"amount": 5})
    assert store.machines.get("o").state == "paid"
    assert store.machines.context("o")["receipt"] == 17
    assert moves(store, "o")[-1] == ("SUCCESS", "paying", "paid")


def test_an_effect_that_fails_sends_the_error(store, order):
    store.machines.send("o", "PAY", {"amount": 5})
    do(store, error="no money", kinds=["@bank/charge"])
    there = store.machines.get("o")
    assert (there.state, there.context["why"]) == ("failed", "no money")


def test_one_that_is_tried_again_tells_nothing_yet(store, clock, order):
    store.machines.send("o", "PAY", {"amount": 5})
    (job,) = store.jobs.claim("worker")
    store.jobs.fail(job.id, "line is busy", fence=job.fence)
    assert store.machines.get("o").state == "paying"
    clock.advance(60)
    do(store, {"number": 1}, kinds=["@bank/charge"])
    assert store.machines.get("o").state == "paid"


def test_a_cancelled_effect_sends_the_error(store, order):
    store.machines.send("o", "PAY", {"amount": 5})
    (job,) = [job for job in store.jobs.list() if job.kind == "@bank/charge"]
    store.jobs.cancel(job.id)
    assert store.machines.get("o").state == "failed"


def test_an_answer_that_comes_late_finds_another_state(store, order):
    store.machines.send("o", "PAY", {"amount": 5})
    store.machines.send("o", "CANCEL")
    store.machines.send("o", "PAY", {"amount": 6})
    do(store, {"number": 1}, kinds=["@bank/charge"])  # of the first time
    assert store.machines.get("o").state == "paying"
    do(store, {"number": 2}, kinds=["@bank/charge"])
    assert store.machines.get("o").state == "paid"
    assert store.machines.context("o")["receipt"] == 2


def test_a_timer_sends_its_event_if_the_state_lasts(store, clock, order):
    store.machines.send("o", "PAY", {"amount": 5})
    clock.advance(3 * 86_400 - 1)
    assert store.jobs.claim("worker", kinds=["machine.after"]) == ()
    clock.advance(1)
    do(store, kinds=["machine.after"])
    assert moves(store, "o")[-1] == ("CANCEL", "paying", "failed")


def test_a_timer_is_cancelled_when_its_state_is_left(store, clock, order):
    store.machines.send("o", "PAY", {"amount": 5})
    store.machines.send("o", "CANCEL")
    clock.advance(9 * 86_400)
    assert store.jobs.claim("worker", kinds=["machine.after"]) == ()
    assert waiting(store) == ["@bank/charge"]


def test_a_timer_that_fires_too_late_changes_nothing(store, clock, order):
    store.machines.send("o", "PAY", {"amount": 5})
    clock.advance(3 * 86_400)
    (timer,) = store.jobs.claim("worker", kinds=["machine.after"])
    do(store, {"number": 3}, kinds=["@bank/charge"])
    store.jobs.complete(timer.id, fence=timer.fence)
    assert store.machines.get("o").state == "paid"


def test_a_worker_does_effects_and_timers(store):
    done = []

    def charge(job):
        done.append((job.body, job.lane))
        return {"number": 3}

    quick = {**ORDER["states"]["failed"], "after": {"0.05s": "PAY"}}
    spec = {**ORDER, "states": {**ORDER["states"], "failed": quick}}
    store.machines.define("order", spec, effects={"@bank/charge": charge})
    store.machines.create("order", id="o")
    store.machines.send("o", "PAY", {"amount": 5})
    with holdfast.Worker(store, {}):
        wait_until(lambda: store.machines.get("o").state == "paid")
    assert done == [({"amount": 5}, "machine:o")]


def wait_until(true, seconds=20):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_effects_of_a_list_answer_once_when_all_are_done(store):
    two = [{"tool": "a", "payload": 1}, {"tool": "b", "payload": 2}]
    spec = {
        "initial": "off",
        "states": {
            "off": {"on": {"GO": "on"}},
            "on": {"entry": two, "on": {"SUCCESS": "done", "ERROR": "off"}},
            "done": {},
        },
    }
    store.machines.define("pair", spec, effects=["a", "b"])
    for id, error in (("m", None), ("n", "broken")):
        store.machines.create("pair", id=id)
        store.machines.send(id, "GO")
        assert do(store, "first", error=error) == ("a", 1)
        state = store.machines.get(id).state
        if error is None:
            assert state == "on"
            assert do(store, "last") == ("b", 2)
            assert store.machines.get(id).state == "done"
        else:
            assert state == "off"
            assert waiting(store) == []  # what came after it is not done


def test_what_onsuccess_says_is_written_when_the_job_is_done(store):
    effect = {
        "tool": "count",
        "payload": {"of": "$$of"},
        "onSuccess": {"updateContext": {"count": "$$result", "of": "$$of"}},
    }
    spec = {
        "initial": "idle",
        "states": {"idle": {"on": {"COUNT": {"target": "idle", "actions": [effect]}}}},
    }
    store.machines.define("counter", spec, effects=["count"])
    store.machines.create("counter", id="m")
    store.machines.send("m", "COUNT", {"of": "sheep"})
    assert store.machines.context("m") == {}
    do(store, 12)
    assert store.machines.context("m") == {"count": 12, "of": "sheep"}
    assert moves(store, "m")[2:] == [(None, "idle", "idle")]  # no event came of it


def test_success_comes_at_once_where_entry_leaves_nothing_to_do(store):
    spec = {
        "initial": "a",
        "states": {
            "a": {"on": {"GO": "b"}},
            "b": {"entry": {"updateContext": {"b": 1}}, "on": {"SUCCESS": "c"}},
            "c": {"entry": {"updateContext": {"c": "$b"}}},
        },
    }
    store.machines.define("chain", spec)
    store.machines.create("chain", id="m")
    sent = store.machines.send("m", "GO")
    assert (sent.machine.state, sent.machine.context) == ("c", {"b": 1, "c": 1})
    assert [event for event, *_ in moves(store, "m")] == [None, "GO", "SUCCESS"]


def test_a_circle_of_such_states_is_refused(store):
    entry = {"updateContext": {"x": 1}}
    spec = {
        "initial": "a",
        "states": {
            "a": {"on": {"GO": "b"}},
            "b": {"entry": entry, "on": {"SUCCESS": "c"}},
            "c": {"entry": entry, "on": {"SUCCESS": "b"}},
        },
    }
    store.machines.define("round", spec)
    store.machines.create("round", id="m")
    with pytest.raises(errors.Refused, match="round and round"):
        store.machines.send("m", "GO")
    assert store.machines.get("m").state == "a"


def test_once_is_once(store, order):
    assert store.machines.send("o", "NOTE", {"text": "1"}, once="k").taken
    again = store.machines.send("o", "NOTE", {"text": "2"}, once="k")
    assert (again.outcome, again.step.position) == ("seen", 1)
    assert store.machines.context("o")["note"] == "1"
    assert store.machines.send("o", "NOTE", {"text": "3"}, once="l").taken


def test_a_machine_is_expected_in_a_state(store, door):
    with pytest.raises(errors.Conflict, match="is at state closed, not open"):
        store.machines.send("front", "OPEN", expect="open")
    assert store.machines.send("front", "OPEN", expect="closed").taken


def test_everything_is_one_transaction_with_what_else_is_in_it(store, order):
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        tx.machines.send("o", "PAY", {"amount": 5})
        assert tx.machines.get("o").state == "paying"
        raise ZeroDivisionError
    assert store.machines.get("o").state == "new"
    assert waiting(store) == []


def test_looking_runs_nothing(store, order):
    """The original ran a state's entry again at each load: it created twice."""
    store.machines.send("o", "PAY", {"amount": 5})
    before = len(list(store.jobs.list()))
    for _ in range(3):
        store.machines.get("o")
        store.machines.define("order", ORDER, effects=["@bank/charge"])
        store.machines.create("order", id="o")
    assert len(list(store.jobs.list())) == before


def test_a_store_that_opens_again_runs_nothing(tmp_path):
    for _ in range(3):
        with holdfast.open(tmp_path / "a.db") as store:
            store.machines.define("order", ORDER, effects=["@bank/charge"])
            store.machines.create("order", id="o")
            if store.machines.get("o").state == "new":
                store.machines.send("o", "PAY", {"amount": 5})
            assert store.machines.get("o").state == "paying"
            assert len(list(store.jobs.list(kind="@bank/charge"))) == 1


def test_history_is_bounded_and_numbered(clock):
    limits = Limits(machine_steps=16)
    with holdfast.open(":memory:", limits=limits, clock=clock) as store:
        store.machines.define("order", ORDER, effects=["@bank/charge"])
        store.machines.create("order", id="o")
        for number in range(1, 101):
            store.machines.send("o", "NOTE", {"text": str(number)})
            kept = [step.position for step in store.machines.history("o")]
            assert len(kept) <= 18
            assert kept == list(range(kept[0], number + 1))
        assert kept[-16:] == list(range(85, 101))


def test_history_pages(store, order):
    for number in range(7):
        store.machines.send("o", "NOTE", {"text": str(number)})
    page = store.machines.history("o", limit=5)
    rest = store.machines.history("o", limit=5, cursor=page.cursor)
    assert [step.position for step in [*page, *rest]] == list(range(8))
    assert rest.cursor is None


def test_any_past_moment_is_there(store, order):
    seen = []
    for number in range(4):
        store.machines.send("o", "NOTE", {"text": str(number)})
        seen.append(store.moment())
    for number, moment in enumerate(seen):
        then = store.as_of(moment)
        assert then.machines.context("o")["note"] == str(number)
        assert len(list(then.machines.history("o"))) == number + 2


def test_lists_are_by_name_and_state(store, door):
    store.machines.create("door", id="back")
    store.machines.send("back", "OPEN")
    store.machines.define("other", {"initial": "x", "states": {"x": {}}})
    store.machines.create("other", id="z")

    def listed(*args, **named):
        return [one.id for one in store.machines.list(*args, **named)]

    assert listed() == ["z", "back", "front"]
    assert listed("door") == ["back", "front"]
    assert listed("door", state="open") == ["back"]
    page = store.machines.list(limit=2)
    assert [one.id for one in page] == ["z", "back"]
    assert listed(limit=2, cursor=page.cursor) == ["front"]
    with pytest.raises(errors.Refused, match="name it"):
        store.machines.list(state="open")


def test_a_definition_is_one_per_version(store, door):
    again = store.machines.define("door", DOOR, guards={"has_key": key})
    assert again == store.machines.definition("door")
    with pytest.raises(errors.AlreadyExists, match="door, version 1"):
        store.machines.define("door", ORDER, effects=["@bank/charge"])
    second = store.machines.define("door", ORDER, version=2, effects=["@bank/charge"])
    assert store.machines.definition("door") == second
    assert store.machines.definition("door", version=1) == again
    assert list(store.machines.definitions()) == [again, second]
    with pytest.raises(errors.NotFound):
        store.machines.definition("door", version=3)
    with pytest.raises(errors.NotFound):
        store.machines.create("window")


RENAMED = {
    "initial": "shut",
    "states": {
        "shut": {"entry": {"tool": "bell"}, "on": {"OPEN": "open"}},
        "open": {"on": {"CLOSE": "shut"}},
    },
}


def test_machines_follow_a_new_version_at_their_next_event(store, door):
    store.machines.create("door", id="back")
    store.machines.send("back", "LOCK")
    store.machines.define(
        "door", RENAMED, version=2, effects=["bell"],
        from_versions={1: {"closed": "shut"}},
    )  # fmt: skip
    assert store.machines.get("front").state == "closed"  # looking changes nothing
    assert store.machines.can("front", "OPEN")
    sent = store.machines.send("front", "OPEN")
    assert (sent.machine.state, sent.machine.version) == ("open", 2)
    told, _ = list(store.machines.history("front"))[-2:]
    assert (told.event, told.from_state, told.to_state) == (None, "closed", "shut")
    assert told.note == "version 1 to 2: 'closed' is 'shut'"
    sent = store.machines.send("back", "SHAKE")
    assert (sent.outcome, sent.machine.state) == ("ignored", "shut")
    told = list(store.machines.history("back"))[-1]
    assert told.note == "version 1 to 2: no state 'locked' any more, back to 'shut'"
    assert waiting(store) == []  # no entry ran


def test_a_chain_of_versions_is_followed_to_its_end(store, door):
    names = ["closed", "shut", "barred", "sealed"]
    for version, (was, now) in enumerate(itertools.pairwise(names), 2):
        spec = {"initial": "x", "states": {"x": {"on": {"GO": now}}, now: {}}}
        moved = {version - 1: {was: now}}
        store.machines.define("door", spec, version=version, from_versions=moved)
    assert store.machines.send("front", "NOTHING").machine.state == "sealed"


def test_upgrade_brings_all_along_in_slices(store, clock):
    store.machines.define("door", DOOR, guards={"has_key": key})
    with store.transaction() as tx:
        for number in range(25):
            tx.machines.create("door", id=f"d{number}")
    store.machines.define(
        "door", RENAMED, version=2, effects=["bell"],
        from_versions={1: {"closed": "shut"}},
    )  # fmt: skip
    assert [store.machines.upgrade("door", limit=10) for _ in range(4)] == [
        10,
        10,
        5,
        0,
    ]
    assert len(list(store.machines.list("door", state="shut"))) == 25


def test_a_guard_that_nobody_provides_here_is_told_of(tmp_path):
    with holdfast.open(tmp_path / "a.db") as store:
        store.machines.define("door", DOOR, guards={"has_key": key})
        store.machines.create("door", id="front")
        store.machines.send("front", "LOCK")
    with holdfast.open(tmp_path / "a.db") as store:
        with pytest.raises(errors.Refused, match="provides the guard 'has_key'"):
            store.machines.send("front", "UNLOCK", {"key": True})
        store.machines.define("door", DOOR, guards={"has_key": key})
        assert store.machines.send("front", "UNLOCK", {"key": True}).taken


GUARDED_ANSWER = {
    "initial": "a",
    "states": {
        "a": {"on": {"GO": "b"}},
        "b": {
            "entry": {"tool": "work"},
            "on": {"SUCCESS": {"target": "c", "guard": "fine"}},
        },
        "c": {},
    },
}


def test_work_that_is_done_where_its_guard_is_not_is_not_done_again(tmp_path):
    done = []
    with holdfast.open(tmp_path / "a.db") as store:
        store.machines.define(
            "m", GUARDED_ANSWER, guards={"fine": lambda *_: True}, effects=["work"]
        )
        store.machines.create("m", id="m")
        store.machines.send("m", "GO")
    with (
        holdfast.open(tmp_path / "a.db") as store,
        holdfast.Worker(store, {"work": lambda job: done.append(job.id)}),
    ):
        wait_until(lambda: done)
        wait_until(lambda: [j for j in store.jobs.list() if j.kind == "machine.after"])
        assert store.machines.get("m").state == "b"
    with holdfast.open(tmp_path / "a.db") as store:
        store.machines.define(
            "m", GUARDED_ANSWER, guards={"fine": lambda *_: True}, effects=["work"]
        )
        with holdfast.Worker(store, {}):
            wait_until(lambda: store.machines.get("m").state == "c")
    assert len(done) == 1


def test_a_machine_is_deleted_with_what_it_has_queued(store, order):
    store.machines.send("o", "PAY", {"amount": 5})
    assert store.machines.delete("o")
    assert not store.machines.delete("o")
    assert waiting(store) == []
    with pytest.raises(errors.NotFound):
        store.machines.history("o")
    assert store.usage().tables["machine_step"].rows == 0


def test_a_revert_puts_a_machine_back(store, order):
    moment = store.moment()
    store.machines.send("o", "PAY", {"amount": 5})
    store.revert(moment, kinds=["machines"], ids=["o"])
    there = store.machines.get("o")
    assert (there.state, there.context) == ("new", {"tries": 0})
    assert store.machines.send("o", "PAY", {"amount": 7}).taken
    assert [event for event, *_ in moves(store, "o")] == [None, "PAY"]
    assert do(store, {"number": 7}, kinds=["@bank/charge"])[1] == {"amount": 7}
    assert store.machines.context("o")["receipt"] == 7


def test_a_revert_to_before_a_machine_takes_its_work_with_it(store, order):
    store.machines.send("o", "PAY", {"amount": 5})
    store.revert(0, kinds=["machines"], ids=["o"])
    with pytest.raises(errors.NotFound):
        store.machines.get("o")
    assert waiting(store) == []
    assert store.machines.definition("order").version == 1


def test_a_revert_sets_timers_anew(store, clock, order):
    store.machines.send("o", "PAY", {"amount": 5})
    moment = store.moment()
    store.machines.send("o", "CANCEL")
    store.revert(moment, kinds=["machines"], ids=["o"])
    clock.advance(3 * 86_400)
    do(store, kinds=["machine.after"])
    assert moves(store, "o")[-1] == ("CANCEL", "paying", "failed")


def test_messages_are_events(store, door):
    for number, event in enumerate(("OPEN", "CLOSE", "DANCE", "LOCK")):
        store.inbox.deliver("front", {"type": event}, id=f"m{number}")
    store.inbox.deliver("front", "nonsense", id="bad")
    store.inbox.deliver("front", {"type": "UNLOCK", "payload": {"key": 1}})
    sent = store.machines.receive("front")
    assert [one.outcome for one in sent] == [
        "taken", "taken", "ignored", "taken", "taken",
    ]  # fmt: skip
    assert store.machines.get("front").state == "closed"
    (bad,) = store.inbox.list(status="set_aside")
    assert bad.id == "bad"
    assert "type" in bad.error
    assert store.machines.receive("front") == ()


def test_two_messages_of_one_type_are_two_events(store, order):
    """The original told them apart by type, and lost the second."""
    for text in ("1", "2"):
        store.inbox.deliver("o", {"type": "NOTE", "payload": {"text": text}})
    assert len(store.machines.receive("o")) == 2
    assert store.machines.get("o").steps == 2


DATA = Path(
    os.environ.get(
        "HOLDFAST_TEST_DATA", Path(__file__).parents[2].joinpath("shared", "data")
    )
)
MAIA = sorted((DATA / "machines").glob("*.state.maia"))


@pytest.mark.parametrize("path", MAIA, ids=lambda path: path.name.split(".")[0])
def test_real_files_are_taken_as_they_are(store, path):
    tools = ["@db", "@ai/chat", "@core/computeMessageNames", "@core/publishMessage"]
    made = store.machines.define("@maia/" + path.stem, path, effects=tools)
    assert made.spec["$id"].startswith("@maia/")
    machine = store.machines.create(made.name)
    assert machine.state == made.spec["initial"]


@pytest.mark.skipif(not MAIA, reason="the machines of ../shared/data are not there")
def test_the_chat_goes_its_way(store):
    path = next(path for path in MAIA if "chat" in path.name)
    tools = ["@db", "@ai/chat", "@core/computeMessageNames"]
    store.machines.define("chat", path, effects=tools)
    talk = [{"role": "user", "content": "hello", "id": 1}]
    store.machines.create("chat", id="c", context={"conversations": talk})
    assert do(store, ["ada"]) == ("@core/computeMessageNames", {"conversations": talk})
    assert store.machines.context("c")["messageNames"] == ["ada"]
    store.machines.send("c", "UPDATE_INPUT", {"value": "hi"})
    store.machines.send("c", "SEND_MESSAGE", {"inputText": "hi"})
    kind, body = do(store, {"id": "x"})
    assert (kind, body["data"]) == ("@db", {"role": "user", "content": "hi"})
    kind, body = do(store, {"content": "hello yourself"})
    assert kind == "@ai/chat"
    assert body["context"][1] == {"role": "user", "content": "hello"}
    assert store.machines.get("c").state == "saving_response"
    kind, body = do(store, {})
    assert body["data"] == {"role": "assistant", "content": "hello yourself"}
    there = store.machines.get("c")
    assert (there.state, there.context["hasConversations"]) == ("idle", True)


def test_owners_have_machines_of_their_own(store, door):
    other = store.owned_by("bob")
    with pytest.raises(errors.NotFound):
        other.machines.send("front", "OPEN")
    with pytest.raises(errors.NotFound):
        other.machines.create("door", id="front")
    other.machines.define("door", DOOR, guards={"has_key": key})
    other.machines.create("door", id="front")
    other.machines.send("front", "OPEN")
    assert store.machines.get("front").state == "closed"


def test_a_lease_is_heeded(store, door):
    with store.lease("machines", "front") as lease:
        with pytest.raises(errors.Held):
            store.machines.send("front", "OPEN")
        assert lease.store.machines.send("front", "OPEN").taken


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_a_copy_goes_on_where_the_machine_was(engine, tmp_path):
    with holdfast.open(tmp_path / "a.db") as store:
        store.machines.define("order", ORDER, effects=["@bank/charge"])
        store.machines.create("order", id="o")
        store.machines.send("o", "PAY", {"amount": 5})
    (tmp_path / "copy").mkdir()
    with place_on(engine, tmp_path / "copy") as target:
        holdfast.copy(tmp_path / "a.db", target)
        with holdfast.open(target) as copy:
            assert len(copy.machines.list("order", state="paying")) == 1
            do(copy, {"number": 4}, kinds=["@bank/charge"])
            assert copy.machines.get("o").state == "paid"
            (there,) = copy.machines.list("order", state="paid")
            assert there.id == "o"
            assert copy.machines.send("o", "PAY").outcome == "ignored"
