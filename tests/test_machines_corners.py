"""Machines at their corners: leases, missing functions, reverts, versions, answers."""

import pytest

import holdfast
from holdfast import errors
from holdfast.limits import Limits

SPEC = {
    "initial": "a",
    "states": {"a": {"on": {"GO": "b"}}, "b": {"on": {"BACK": "a"}}},
}
GUARDED = {
    "initial": "a",
    "states": {"a": {"on": {"GO": {"target": "b", "guard": "g"}}}, "b": {}},
}
WORKING = {
    "initial": "a",
    "states": {
        "a": {"on": {"GO": "b"}},
        "b": {"entry": {"tool": "t"}, "on": {"SUCCESS": "c"}},
        "c": {},
    },
}
PAYING = {
    "initial": "a",
    "states": {
        "a": {"on": {"GO": "b"}},
        "b": {
            "entry": [
                {"tool": "t", "onSuccess": {"updateContext": {"paid": "$$result"}}},
                {"tool": "u"},
            ],
            "on": {
                "SUCCESS": {"target": "c", "guard": "g"},
                "ERROR": {"target": "c", "guard": "g"},
                "OUT": "a",
            },
            "after": {"9h": "OUT"},
        },
        "c": {},
    },
}


def yes(context, payload):
    return True


def no(context, payload):
    return False


def made(store, spec, **given):
    store.machines.define("m", spec, **given)
    return store.machines.create("m", id="x")


def do(store, kind, result=None, error=None):
    (job,) = store.jobs.claim("w", kinds=[kind])
    if error is None:
        store.jobs.complete(job.id, result, fence=job.fence)
    else:
        store.jobs.fail(job.id, error, retry=False, fence=job.fence)


@pytest.fixture
def path(tmp_path):
    """A store with a machine at work, whose guard only who defines it again has."""
    with holdfast.open(tmp_path / "a.db") as store:
        made(store, PAYING, guards={"g": yes}, effects=["t", "u"])
        store.machines.send("x", "GO")
    return tmp_path / "a.db"


def test_an_event_sent_again_with_what_it_expects_was_seen(store):
    made(store, SPEC)
    assert store.machines.send("x", "GO", expect="a", once="k").taken
    assert store.machines.send("x", "GO", expect="a", once="k").outcome == "seen"


def test_a_history_of_none_keeps_the_machine():
    with holdfast.open(":memory:", limits=Limits(machine_steps=0)) as store:
        made(store, SPEC)
        for event in ("GO", "BACK", "GO"):
            store.machines.send("x", event)
        assert store.machines.get("x").state == "b"


def test_messages_stay_while_their_machine_is_leased(store):
    made(store, SPEC)
    store.inbox.deliver("x", {"type": "GO"})
    store.leases.acquire("machines", "x", holder="h", seconds=60)
    with pytest.raises(errors.Held):
        store.machines.receive("x")
    assert [message.status for message in store.inbox.list(to="x")] == ["pending"]


def test_messages_stay_where_their_guard_is_not(tmp_path):
    with holdfast.open(tmp_path / "a.db") as store:
        made(store, GUARDED, guards={"g": yes})
        store.inbox.deliver("x", {"type": "GO"})
    with holdfast.open(tmp_path / "a.db") as store:
        with pytest.raises(errors.Refused, match="provides the guard 'g'"):
            store.machines.receive("x")
        assert [message.status for message in store.inbox.list(to="x")] == ["pending"]


def test_a_definition_that_is_refused_brings_no_functions(store):
    made(store, GUARDED, guards={"g": yes})
    with pytest.raises(errors.AlreadyExists, match="give it another version"):
        store.machines.define("m", GUARDED, guards={"g": no}, unknown="refuse")
    assert store.machines.can("x", "GO")


def test_owners_guards_are_their_own(store):
    ada, bob = store.owned_by("ada"), store.owned_by("bob")
    made(ada, GUARDED, guards={"g": no})
    made(bob, GUARDED, guards={"g": yes})
    assert ada.machines.send("x", "GO").outcome == "guarded"
    assert bob.machines.send("x", "GO").taken


def test_two_functions_of_one_name_are_two(store):
    made(store, WORKING, effects={"t": lambda _: 1})
    with pytest.raises(errors.Refused, match="give the tool another name"):
        store.machines.define("n", WORKING, effects={"t": lambda _: 2})


def test_no_tool_is_called_as_timers_are(store):
    spec = {"initial": "a", "states": {"a": {"entry": {"tool": "machine.after"}}}}
    with pytest.raises(errors.Refused, match="what timers are called"):
        store.machines.define("m", spec, effects=["machine.after"])


def test_after_a_revert_of_all_the_work_is_done_again_and_told(store):
    made(store, WORKING, effects=["t"])
    store.machines.send("x", "GO")
    moment = store.moment()
    do(store, "t")
    store.revert(moment)
    assert store.machines.get("x").state == "b"
    do(store, "t")
    assert store.machines.get("x").state == "c"


def test_after_a_revert_of_the_machine_what_was_done_is_told_again(store):
    made(store, WORKING, effects=["t"])
    store.machines.send("x", "GO")
    moment = store.moment()
    do(store, "t")
    store.revert(moment, kinds=["machines"], ids=["x"])
    assert store.machines.get("x").state == "b"
    assert store.jobs.claim("w", kinds=["t"]) == ()
    do(store, "machine.after")
    assert store.machines.get("x").state == "c"


def test_timers_are_those_of_the_version_that_is_followed(store, clock):
    old = {"a": {"on": {"T": "b"}, "after": {"1h": "T"}}, "b": {}}
    made(store, {"initial": "a", "states": old})
    new = {"a": {"on": {"NEW": "b"}, "after": {"5h": "NEW"}}, "b": {}}
    store.machines.define("m", {"initial": "a", "states": new}, version=2)
    clock.advance(2 * 3_600)
    store.machines.upgrade("m")
    assert [job.body["event"] for job in store.jobs.list(status="queued")] == ["NEW"]
    clock.advance(3 * 3_600)
    do(store, "machine.after")
    assert store.machines.get("x").state == "b"


def test_an_effect_can_be_cancelled_where_no_guard_is(path):
    with holdfast.open(path) as store:
        (job,) = store.jobs.list(kind="t")
        assert store.jobs.cancel(job.id).status == "cancelled"
        (later,) = store.jobs.list(kind="u")
        assert later.status == "cancelled"


def test_a_failure_that_is_told_later_is_a_failure(path):
    with holdfast.open(path) as store:
        do(store, "t", error="no")
        assert store.machines.get("x").state == "b"
    with holdfast.open(path) as store:
        store.machines.define("m", PAYING, guards={"g": yes}, effects=["t", "u"])
        do(store, "machine.after")
        there = store.machines.get("x")
        assert (there.state, there.context) == ("c", {})
        assert [job.status for job in store.jobs.list(kind="u")] == ["cancelled"]


def test_what_onsuccess_says_is_not_lost_with_the_state(path):
    with holdfast.open(path) as store:
        do(store, "t", 7)
        do(store, "u")  # that all is done cannot be told here
        store.machines.send("x", "OUT")
        assert store.machines.get("x").state == "a"
        do(store, "machine.after")
        there = store.machines.get("x")
        assert (there.state, there.context) == ("a", {"paid": 7})
