"""Sections: changed in memory, read at once, saved behind that, merged by key."""

import asyncio
import json
import threading

import apsw
import pytest

import holdfast
from conftest import ENGINES, FACES, PAIRS, place_on, store_on
from driving import Driven
from holdfast.errors import (
    Closed,
    Fenced,
    Held,
    InvalidId,
    NotFound,
    NotStorable,
    Refused,
    TooLarge,
    WrongType,
)
from holdfast.runtime.state.saving import saver_of

CALM = holdfast.Limits(state_seconds=3_600)
"""Nothing is saved by itself while a test runs."""


@pytest.fixture(params=PAIRS, ids="-".join)
def store(request, tmp_path, clock, loop):
    """A store on each engine, through each face, that saves nothing by itself."""
    engine, face = request.param
    with store_on(engine, tmp_path) as target:
        opened = holdfast.open(target, clock=clock, limits=CALM)
        yield opened if face == "sync" else Driven(opened.aio, loop)
        report = opened.check()
        opened.close()
        assert report.problems == ()


@pytest.fixture(params=[("file", "sync"), ("postgres", "async")], ids="-".join)
def pair(request, tmp_path, loop):
    """Two open stores on one place, as two processes have them."""
    engine, face = request.param
    with place_on(engine, tmp_path) as target:
        opened = [holdfast.open(target, limits=CALM) for _ in range(2)]
        yield opened if face == "sync" else [Driven(one.aio, loop) for one in opened]
        for one in opened:
            one.close()


def stored(store, section="jobs", owner=""):
    """What the store has, with nothing of what is in memory."""
    sync = store.sync if hasattr(store, "sync") else store
    sync = getattr(sync, "_target", sync)
    work = sync._core.unit(
        lambda tx: holdfast_state(tx).as_dict(section),
        holdfast.engine.Terms(owner=owner),
    )
    return sync._core.engine.read(work)


def holdfast_state(tx):
    return holdfast.kinds.state.State(tx)


def saves(store):
    """How often the store was written to for sections."""
    return len([c for c in store.journal.read() if c.kind == "state_section"])


# Reading its own writes.


def test_what_is_set_is_read_at_once_and_saved_later(store):
    state = store.state
    state.set("jobs", "backup", {"enabled": True})
    assert state.get("jobs", "backup") == {"enabled": True}
    assert state.as_dict("jobs") == {"backup": {"enabled": True}}
    assert state.is_dirty()
    assert state.is_dirty("jobs")
    assert not state.is_dirty("other")
    assert stored(store) == {}
    assert state.flush() == 1
    assert not state.is_dirty()
    assert stored(store) == {"backup": {"enabled": True}}
    assert state.get("jobs", "backup") == {"enabled": True}


def test_many_changes_are_one_commit_of_the_keys_that_differ(store):
    jobs = store.state.section("jobs")
    for number in range(50):
        jobs.set("last", number)
        jobs.set(f"key {number % 3}", number)
    assert jobs.flush() == 4
    assert saves(store) == 1
    jobs.set("last", 50)
    jobs.set("key 0", 48)  # as it was
    assert jobs.flush() == 1
    made = list(store.journal.read())[-2:]
    assert [(c.kind, c.op) for c in made] == [
        ("state_section", "update"),
        ("state_key", "update"),
    ]
    assert made[-1].after["key"] == "last"


def test_a_key_that_is_deleted_is_gone_at_once_and_then_in_the_store(store):
    jobs = store.state.section("jobs")
    jobs.update({"a": 1, "b": 2})
    jobs.flush()
    assert jobs.delete("a") is True
    assert jobs.delete("a") is False
    assert jobs.delete("never") is False
    assert jobs.as_dict() == {"b": 2}
    assert stored(store) == {"a": 1, "b": 2}
    jobs.flush()
    assert stored(store) == {"b": 2}
    jobs.set("c", None)
    assert jobs.as_dict() == {"b": 2, "c": None}
    assert jobs.delete("c") is True
    jobs.flush()
    assert stored(store) == {"b": 2}


def test_an_update_merges_objects_within_objects_and_replaces_all_else(store):
    jobs = store.state.section("jobs")
    jobs.set("meeting", {"overrides": {"mon": {"status": "off"}}, "on": [1, 2]})
    jobs.update({"meeting": {"overrides": {"tue": {"status": "on"}}, "on": [3]}})
    wanted = {"overrides": {"mon": {"status": "off"}, "tue": {"status": "on"}}}
    assert jobs.get("meeting") == {**wanted, "on": [3]}
    jobs.flush()
    jobs.update({"meeting": {"overrides": None, "on": {"x": {}}}, "new": 1})
    assert jobs.as_dict() == {"meeting": {"overrides": None, "on": {"x": {}}}, "new": 1}
    jobs.flush()
    assert stored(store) == jobs.as_dict()


def test_keys_and_items_come_in_order(store):
    jobs = store.state.section("jobs", defaults={"m": 0, "a": 0})
    jobs.update({"z": 1, "a": 2})
    jobs.flush()
    jobs.set("k", 3)
    assert jobs.keys() == ("a", "k", "m", "z")
    assert jobs.items() == (("a", 2), ("k", 3), ("m", 0), ("z", 1))
    assert [*store.state.as_dict("jobs")] == ["a", "k", "z"]


def test_what_is_given_out_is_the_callers_to_change(store):
    jobs = store.state.section("jobs", defaults={"d": {"n": [0]}})
    given = {"n": [1]}
    jobs.set("a", given)
    given["n"].append("not set")
    jobs.get("a")["n"].append("neither")
    jobs.as_dict()["a"]["n"].append("nor this")
    jobs.get("d")["n"].append("nor that")
    assert jobs.as_dict() == {"a": {"n": [1]}, "d": {"n": [0]}}
    jobs.flush()
    jobs.as_dict()["a"]["n"].append("nor now")
    assert jobs.get("a") == {"n": [1]}
    with store.transaction() as tx:
        tx.state.get("jobs", "a")["n"].append("nor here")
    assert jobs.get("a") == {"n": [1]}


def test_owners_have_sections_of_their_own(store):
    ada, bob = store.owned_by("ada"), store.owned_by("bob")
    ada.state.set("jobs", "a", 1)
    assert bob.state.as_dict("jobs") == {}
    assert not bob.state.is_dirty()
    assert bob.state.flush() == 0
    assert ada.state.is_dirty()
    bob.state.set("jobs", "a", 2)
    ada.state.flush()
    assert not ada.state.is_dirty()
    assert bob.state.is_dirty()
    bob.state.flush()
    assert stored(store, owner="ada") == {"a": 1}
    assert stored(store, owner="bob") == {"a": 2}


# Defaults.


def test_defaults_are_read_and_never_saved(store):
    state = store.state
    jobs = state.section("jobs", defaults={"a": {"on": True, "n": 1}, "b": 2})
    assert jobs.as_dict() == {"a": {"on": True, "n": 1}, "b": 2}
    assert jobs.get("c", "else") == "else"
    assert not jobs.is_dirty
    assert jobs.flush() == 0
    assert stored(store) == {}
    assert state.get("jobs", "b") is None
    jobs.set("b", None)
    assert jobs.get("b", 5) is None
    jobs.delete("b")
    assert jobs.get("b") == 2
    jobs.set("c", 3)
    jobs.flush()
    assert stored(store) == {"c": 3}


def test_an_update_of_a_default_begins_from_it(store):
    jobs = store.state.section("jobs", defaults={"a": {"on": True, "n": 1}})
    jobs.update({"a": {"n": 2}})
    assert jobs.get("a") == {"on": True, "n": 2}
    jobs.flush()
    assert stored(store) == {"a": {"on": True, "n": 2}}
    jobs.set("a", {"n": 3})
    assert jobs.get("a") == {"n": 3}


def test_defaults_never_take_the_place_of_what_another_saved(pair):
    mine, other = pair
    jobs = mine.state.section("jobs", defaults={"a": {"on": True, "n": 1}})
    assert jobs.get("a") == {"on": True, "n": 1}
    other.state.set("jobs", "a", {"on": False, "theirs": 1})
    other.state.flush()
    jobs.update({"a": {"n": 2}})
    jobs.flush()
    assert jobs.get("a") == {"on": False, "theirs": 1, "n": 2}
    assert stored(mine) == {"a": {"on": False, "theirs": 1, "n": 2}}


# Another process.


def test_two_that_change_different_keys_keep_both(pair):
    one, two = pair
    one.state.set("jobs", "a", 1)
    two.state.set("jobs", "b", 2)
    one.state.flush()
    two.state.flush()
    for store in pair:
        store.state.reload("jobs")
        assert store.state.as_dict("jobs") == {"a": 1, "b": 2}


def test_what_another_saved_never_takes_the_place_of_what_is_not_saved(pair):
    one, two = pair
    one.state.update("jobs", {"a": 1, "gone": 1, "same": 1})
    one.state.flush()
    assert two.state.get("jobs", "a") == 1
    two.state.set("jobs", "a", "mine")
    two.state.delete("jobs", "gone")
    one.state.update("jobs", {"a": "theirs", "gone": "theirs", "new": "theirs"})
    one.state.flush()
    two.state.reload("jobs")
    assert two.state.as_dict("jobs") == {"a": "mine", "new": "theirs", "same": 1}
    assert two.state.is_dirty()
    two.state.flush()
    assert stored(one) == {"a": "mine", "new": "theirs", "same": 1}


def test_the_newest_of_one_key_wins_by_the_order_of_the_store(pair):
    one, two = pair
    one.state.set("jobs", "a", "first")
    two.state.set("jobs", "a", "second")
    two.state.flush()
    one.state.flush()
    for store in pair:
        store.state.reload("jobs")
        assert store.state.get("jobs", "a") == "first"


def test_two_that_merge_into_one_object_keep_both(pair):
    one, two = pair
    one.state.update("jobs", {"overrides": {"mon": 1, "both": 1}})
    two.state.update("jobs", {"overrides": {"tue": {"x": 2}, "both": 2}})
    one.state.flush()
    two.state.flush()
    wanted = {"overrides": {"mon": 1, "tue": {"x": 2}, "both": 2}}
    for store in pair:
        store.state.reload("jobs")
        assert store.state.as_dict("jobs") == wanted


def test_what_another_saved_is_seen_without_a_word(pair):
    one, two = pair
    jobs = two.state.section("jobs")
    assert jobs.get("a") is None
    one.state.set("jobs", "a", 1)
    one.state.flush()
    reached = threading.Event()

    def look():
        while jobs.get("a") is None:
            pass
        reached.set()

    look()
    assert reached.is_set()
    one.state.drop("jobs")
    while jobs.keys():
        pass


def test_what_another_saved_in_between_is_seen_after_a_save(pair):
    one, two = pair
    assert one.state.as_dict("jobs") == {}
    two.state.set("jobs", "theirs", 1)
    two.state.flush()
    one.state.set("jobs", "mine", 1)
    one.state.flush()
    assert one.state.as_dict("jobs") == {"mine": 1, "theirs": 1}
    two.state.drop("jobs")
    one.state.set("jobs", "mine", 2)
    one.state.flush()
    assert one.state.as_dict("jobs") == {"mine": 2}


def test_a_section_that_was_dropped_and_made_again_is_not_taken_for_the_old(pair):
    one, two = pair
    one.state.set("jobs", "a", "old")
    one.state.flush()
    assert two.state.get("jobs", "a") == "old"
    one.state.drop("jobs")
    one.state.set("jobs", "b", "new")
    one.state.flush()
    two.state.reload("jobs")
    assert two.state.as_dict("jobs") == {"b": "new"}


# Transactions.


def test_a_transaction_sees_what_is_not_saved_and_saves_it(store):
    state = store.state
    state.update("jobs", {"a": {"x": 1}, "gone": 1})
    state.flush()
    state.update("jobs", {"a": {"y": 2}, "n": 1})
    state.delete("jobs", "gone")
    with store.transaction() as tx:
        assert tx.state.get("jobs", "a") == {"x": 1, "y": 2}
        assert tx.state.as_dict("jobs") == {"a": {"x": 1, "y": 2}, "n": 1}
        tx.state.set("jobs", "n", 2)
        tx.state.update("jobs", {"a": {"z": 3}})
        assert tx.state.delete("jobs", "gone") is False
    assert stored(store) == {"a": {"x": 1, "y": 2, "z": 3}, "n": 2}
    assert not state.is_dirty()
    assert state.as_dict("jobs") == stored(store)


def test_a_transaction_that_is_undone_leaves_what_is_not_saved_as_it_was(store):
    state = store.state
    state.set("jobs", "a", 1)
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        tx.state.set("jobs", "a", 2)
        assert tx.state.get("jobs", "a") == 2
        raise ZeroDivisionError
    assert state.is_dirty()
    assert state.get("jobs", "a") == 1
    assert stored(store) == {}
    with store.transaction() as tx:
        with pytest.raises(ZeroDivisionError), tx.savepoint():
            tx.state.set("jobs", "b", 2)
            raise ZeroDivisionError
        tx.tasks.create("else")
    assert state.as_dict("jobs") == {"a": 1}
    state.flush()
    assert stored(store) == {"a": 1}


def test_what_a_transaction_wrote_is_read_at_once(store):
    jobs = store.state.section("jobs")
    jobs.set("a", 1)
    jobs.flush()
    with store.transaction(actor="planner", cause="why") as tx:
        tx.state.set("jobs", "a", 2)
        tx.state.set("jobs", "b", 3)
    assert jobs.as_dict() == {"a": 2, "b": 3}
    change = list(store.journal.read())[-1]
    assert (change.actor, change.cause) == ("planner", "why")
    store.run(lambda tx: tx.state.delete("jobs", "a"))
    assert jobs.as_dict() == {"b": 3}
    store.call("state.set", {"section": "jobs", "key": "c", "value": 4})
    assert jobs.as_dict() == {"b": 3, "c": 4}
    assert store.call("state.get", {"section": "jobs", "key": "c"}) == 4


def test_what_was_set_before_a_transaction_does_not_come_back_after_it(store):
    jobs = store.state.section("jobs")
    jobs.set("a", "before")
    store.run(lambda tx: tx.state.set("jobs", "a", "in it"))
    jobs.flush()
    assert jobs.get("a") == "in it"
    assert stored(store) == {"a": "in it"}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_call_on_the_store_inside_a_transaction_is_refused(engine, tmp_path):
    with store_on(engine, tmp_path) as target, holdfast.open(target) as store:
        with store.transaction() as tx:
            for act in (
                lambda: store.state.set("jobs", "a", 1),
                lambda: store.state.get("jobs", "a"),
                lambda: store.state.update("jobs", {"a": 1}),
                lambda: store.state.delete("jobs", "a"),
                store.state.flush,
                lambda: store.state.reload("jobs"),
            ):
                with pytest.raises(Refused, match="go on with tx"):
                    act()
            tx.state.set("jobs", "a", 1)
        assert store.state.as_dict("jobs") == {"a": 1}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_awaited_call_inside_a_transaction_is_refused(engine, tmp_path):
    async def acts(target):
        async with holdfast.aopen(target) as store:
            async with store.transaction() as tx:
                for name, args in {
                    "set": ("jobs", "a", 1),
                    "get": ("jobs", "a"),
                    "delete": ("jobs", "a"),
                    "flush": (),
                    "reload": ("jobs",),
                }.items():
                    with pytest.raises(Refused, match="go on with tx"):
                        await getattr(store.state, name)(*args)
                await tx.state.set("jobs", "a", 1)
            assert await store.state.as_dict("jobs") == {"a": 1}

    with store_on(engine, tmp_path) as target:
        asyncio.run(acts(target))


def test_dropping_a_section_takes_what_is_not_saved_with_it(store):
    state = store.state
    assert state.drop("jobs") is False
    state.set("jobs", "a", 1)
    assert state.drop("jobs") is True
    assert state.as_dict("jobs") == {}
    state.set("jobs", "a", 1)
    state.flush()
    state.set("jobs", "b", 1)
    assert state.drop("jobs") is True
    assert not state.is_dirty()
    assert state.as_dict("jobs") == stored(store) == {}
    with pytest.raises(NotFound):
        state.find("jobs")
    state.set("jobs", "c", 1)
    assert state.find("jobs").values == {"c": 1}


# Leases.


def test_a_lease_of_another_keeps_a_section_from_being_saved(store):
    jobs = store.state.section("jobs")
    jobs.set("a", 1)
    jobs.flush()
    held = store.leases.acquire("state", "jobs", holder="other", seconds=60)
    jobs.set("a", 2)
    store.state.set("free", "b", 1)
    with pytest.raises(Held):
        store.state.flush()
    with pytest.raises(Held):
        store.state.drop("jobs")
    assert stored(store) == {"a": 1}
    assert stored(store, "free") == {"b": 1}
    assert jobs.get("a") == 2
    assert jobs.is_dirty
    store.leases.release("state", "jobs", fence=held.fence)
    assert jobs.flush() == 1
    assert stored(store) == {"a": 2}


def test_through_a_lease_changes_are_saved_at_once_and_fenced(store, clock):
    store.state.set("jobs", "a", {"n": 1})
    store.state.flush()
    lease = store.leases.acquire("state", "jobs", holder="me", seconds=60)
    mine = store.holding(lease)
    jobs = mine.state.section("jobs", defaults={"d": {"x": 1}, "a": {"never": 1}})
    jobs.set("b", 2)
    jobs.update({"a": {"m": 2}, "d": {"y": 2}})
    assert jobs.delete("b") is True
    assert stored(store) == {"a": {"n": 1, "m": 2}, "d": {"x": 1, "y": 2}}
    assert not store.state.is_dirty()
    assert store.state.get("jobs", "a") == {"n": 1, "m": 2}
    assert list(store.journal.read())[-1].actor == "me"
    clock.advance(61)
    with pytest.raises(Fenced):
        jobs.set("b", 3)
    assert store.state.get("jobs", "b") is None


# The past.


def test_the_past_has_what_was_saved_then(store):
    jobs = store.state.section("jobs")
    jobs.update({"a": 1, "b": {"x": 1}})
    jobs.flush()
    then = store.moment()
    jobs.update({"a": 2, "b": {"y": 2}})
    jobs.delete("a")
    past = store.as_of(then).state
    assert past.get("jobs", "a") == 1
    assert past.as_dict("jobs") == {"a": 1, "b": {"x": 1}}
    section = past.section("jobs", defaults={"c": 1})
    assert section.as_dict() == {"a": 1, "b": {"x": 1}, "c": 1}
    assert not section.is_dirty
    assert section.flush() == 0
    section.reload()
    assert past.find("jobs").version == 1
    with pytest.raises(Refused):
        section.set("a", 3)
    with pytest.raises(Refused):
        past.update("jobs", {"a": 3})
    jobs.flush()
    assert jobs.as_dict() == {"b": {"x": 1, "y": 2}}
    told = {(d.op, d.before["key"]) for d in store.diff(then) if d.kind == "state_key"}
    assert told == {("delete", "a"), ("update", "b")}
    history = [c.op for c in store.changes("state", "jobs") if c.kind == "state_key"]
    assert history == ["create", "create", "delete", "update"]


def test_a_revert_puts_a_section_back_and_is_read_at_once(store):
    jobs = store.state.section("jobs")
    jobs.update({"a": 1, "b": 2})
    jobs.flush()
    then = store.moment()
    jobs.set("a", 5)
    jobs.delete("b")
    jobs.set("c", 6)  # none of this is saved yet
    changed = store.revert(then, kinds=["state"])
    assert [(one.kind, one.id, one.op) for one in changed.records] == [
        ("state", "jobs", "update")
    ]
    assert not jobs.is_dirty
    assert jobs.as_dict() == stored(store) == {"a": 1, "b": 2}
    store.state.drop("jobs")
    assert jobs.as_dict() == {}
    store.revert(then)
    assert jobs.as_dict() == {"a": 1, "b": 2}
    store.revert(0)
    assert jobs.as_dict() == stored(store) == {}


def test_what_was_not_saved_before_a_revert_is_in_the_past(store):
    store.state.set("jobs", "a", 1)
    store.state.flush()
    then = store.moment()
    store.state.set("jobs", "a", 2)
    store.revert(then)
    assert store.state.get("jobs", "a") == 1
    assert store.as_of(then + 2).state.get("jobs", "a") == 2


# Records, lists, watching, events.


def test_sections_are_listed_by_name_with_what_is_not_saved(store):
    for name in ("b", "c", "a"):
        store.state.update(name, {"x": 1, "y": "zwei"})
    first = store.state.list(limit=2)
    assert [(s.id, s.keys, s.bytes, s.version) for s in first] == [
        ("a", 2, 7, 1),
        ("b", 2, 7, 1),
    ]
    rest = store.state.list(limit=2, cursor=first.cursor)
    assert [s.id for s in rest] == ["c"]
    assert rest.cursor is None
    found = store.state.find("a")
    assert (found.values, found.version) == ({"x": 1, "y": "zwei"}, 1)
    assert found.created_at == found.updated_at


def test_a_section_larger_than_a_page_is_read_whole(tmp_path):
    limits = holdfast.Limits(state_seconds=3_600, page=7)
    with holdfast.open(tmp_path / "a.db", limits=limits) as store:
        wanted = {f"k{number:03}": number for number in range(50)}
        store.state.update("jobs", wanted)
    with holdfast.open(tmp_path / "a.db", limits=limits) as store:
        assert store.state.as_dict("jobs") == wanted
        assert store.read(lambda tx: tx.state.as_dict("jobs")) == wanted


def test_a_section_that_is_watched_is_told_when_it_is_saved(store):
    state = store.state
    state.set("jobs", "a", 1)
    state.flush()
    with store.watch("state", "jobs") as watched:
        assert watched.get(10).values == {"a": 1}
        state.set("jobs", "a", 2)
        state.flush()
        assert watched.get(10).values == {"a": 2}


def test_what_is_saved_is_told(store):
    state = store.state
    state.set("jobs", "a", 1)
    state.set("jobs", "b", 1)
    state.flush()
    (told,) = [e for e in store.events.query("state:saved") if "section" in e.data]
    assert told.data == {"section": "jobs", "changed": 2, "keys": ["a", "b"]}


# What is refused.


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (object(), NotStorable),
        ({"a": {1: 2}}, NotStorable),
        ({"a": float("nan")}, NotStorable),
        ([b"bytes"], NotStorable),
    ],
)
def test_a_value_that_cannot_be_stored_is_refused_before_anything_changes(
    store, value, error
):
    jobs = store.state.section("jobs")
    jobs.update({"a": {"n": 1}})
    jobs.flush()
    for act in (
        lambda: jobs.set("a", value),
        lambda: jobs.update({"b": 1, "a": value}),
        lambda: store.state.section("jobs", defaults={"a": value}),
    ):
        with pytest.raises(error):
            act()
    assert not jobs.is_dirty
    assert jobs.as_dict() == {"a": {"n": 1}}


@pytest.mark.parametrize(
    ("section", "key", "error"),
    [
        ("../evil", "a", InvalidId),
        ("", "a", InvalidId),
        (5, "a", WrongType),
        ("jobs", "", InvalidId),
        ("jobs", 5, WrongType),
        ("jobs", "a\x00", NotStorable),
        ("jobs", "x" * 1_001, TooLarge),
    ],
)
def test_names_that_cannot_be_are_refused(store, section, key, error):
    for act in (
        lambda: store.state.set(section, key, 1),
        lambda: store.state.get(section, key),
        lambda: store.state.update(section, {key: 1}),
        lambda: store.state.delete(section, key),
    ):
        with pytest.raises(error):
            act()
    assert not store.state.is_dirty()


def test_keys_may_be_any_short_text(store):
    keys = ["a/b", "dotted.path", "../up", "ß ü", "日本", " ", '"']
    store.state.update("jobs", {key: key for key in keys})
    store.state.flush()
    store.state.reload("jobs")
    assert store.state.as_dict("jobs") == {key: key for key in sorted(keys)}


def test_a_store_that_is_open_read_only_reads_and_changes_nothing(path):
    with holdfast.open(path, limits=CALM) as store:
        store.state.set("jobs", "a", 1)
    with holdfast.open(path, read_only=True) as store:
        jobs = store.state.section("jobs", defaults={"b": 2})
        assert jobs.as_dict() == {"a": 1, "b": 2}
        for act in (
            lambda: jobs.set("a", 2),
            lambda: jobs.update({"b": 2}),
            lambda: jobs.delete("a"),
            lambda: store.state.drop("jobs"),
        ):
            with pytest.raises(Refused, match="read-only"):
                act()
        assert jobs.flush() == 0
        assert [one.id for one in store.state.list()] == ["jobs"]


def test_every_use_after_a_close_says_so(path):
    store = holdfast.open(path, limits=CALM)
    jobs = store.state.section("jobs")
    jobs.set("a", 1)
    store.close()
    for act in (
        lambda: jobs.set("a", 2),
        lambda: jobs.get("a"),
        lambda: jobs.update({"a": 2}),
        lambda: jobs.delete("a"),
        jobs.flush,
        jobs.reload,
    ):
        with pytest.raises(Closed, match="was closed"):
            act()
    with holdfast.open(path) as again:
        assert again.state.as_dict("jobs") == {"a": 1}


def test_past_the_limit_what_waits_is_saved_first(tmp_path, loop):
    limits = holdfast.Limits(state_seconds=3_600, state_unsaved=5_000)
    for face in FACES:
        with holdfast.open(tmp_path / f"{face}.db", limits=limits) as opened:
            store = opened if face == "sync" else Driven(opened.aio, loop)
            for number in range(30):
                store.state.set("jobs", f"key {number}", "x" * 500)
            assert 20 < len(stored(opened)) < 30
            assert saver_of(opened._core, opened._terms).size <= 6_000
            assert len(store.state.as_dict("jobs")) == 30


def test_a_section_in_hand_is_like_a_dict(path):
    with holdfast.open(path, limits=CALM) as store:
        jobs = store.state.section("jobs", defaults={"d": 0})
        jobs["a"] = [1]
        assert jobs["a"] == [1]
        assert jobs["d"] == 0
        assert [*jobs] == ["a", "d"]
        assert len(jobs) == 2
        assert "a" in jobs
        assert "d" in jobs
        assert all(key not in jobs for key in ("b", "", "x" * 2_000, 5, None))
        del jobs["a"]
        for act in (lambda: jobs["a"], lambda: jobs.__delitem__("a")):
            with pytest.raises(KeyError):
                act()
        assert repr(jobs) == "<holdfast section 'jobs' owner=''>"


def test_the_state_file_of_the_agent_workflow_can_be_kept(store):
    file = json.loads(
        '{"version": 1, "services": {"mail": {"enabled": true}}, "jobs": {},'
        ' "meetings": {"overrides": {"standup": {"status": "skip",'
        ' "timestamp": "2026-11-22T09:00"}}}, "last_updated": "2026-11-22"}'
    )
    for name, keys in file.items():
        store.state.update(
            *((name, keys) if isinstance(keys, dict) else ("file", {name: keys}))
        )
    override = {"overrides": {"retro": {"status": "move"}}}
    store.state.update("meetings", override)
    store.state.flush()
    assert [*stored(store, "meetings")["overrides"]] == ["standup", "retro"]
    assert stored(store, "services") == {"mail": {"enabled": True}}
    assert stored(store, "file") == {"last_updated": "2026-11-22", "version": 1}


def test_a_transaction_of_yours_is_not_joined_with_what_is_not_saved(path):
    with holdfast.open(path, limits=CALM) as store:
        store.state.set("jobs", "a", 1)
        connection = apsw.Connection(path)
        connection.execute("begin immediate")
        refused = pytest.raises(Refused, match="not saved yet")
        with refused, store.join(connection) as tx:
            assert tx.state.get("jobs", "a") == 1
            tx.state.set("jobs", "a", 2)
        connection.execute("rollback")
        store.state.flush()
        connection.execute("begin immediate")
        with store.join(connection) as tx:
            tx.state.set("jobs", "a", 2)
        connection.execute("commit")
        connection.close()
        store.state.reload("jobs")
        assert store.state.get("jobs", "a") == 2
