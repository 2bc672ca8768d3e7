"""Observations: who sees which events, after any restart, and who is told of them."""

import asyncio
import contextlib
import random
import threading
import time
from datetime import timedelta

import pytest

import holdfast
from conftest import place_on
from driving import Driven
from holdfast import errors
from holdfast.clock import ManualClock, SystemClock
from holdfast.events import observers
from holdfast.events.circuit import CircuitState
from holdfast.events.observing import Observing, history_of, in_share
from holdfast.kinds.observation_records import Observation, ObservationStatus
from killing import Worker

ACTIVE, PAUSED = ObservationStatus
PATIENCE_SECONDS = 20.0
EVERYTHING = {"events": ["task:done", "late", "x"], "rate_limit": None}
"""Every event that tests emit; and not those that persistence tells."""


def pump(store):
    """Let what goes on beside go on, on the event loop too."""
    if isinstance(store, Driven):
        store._loop.run_until_complete(asyncio.sleep(0.002))
    else:
        time.sleep(0.002)


def until(store, condition):
    """Wait until something holds; what it is then."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < end, "it never came to hold"
        pump(store)
    return found


def emit(store, *numbers, name="task:done", source="worker", **more):
    for number in numbers:
        store.events.emit(name, {"n": number, **more}, source=source)


def numbers(events):
    return [event.data["n"] for event in events]


def seen(store, id, **asked):
    """The numbers of all that an observation saw."""
    found, cursor = [], None
    while True:
        page = store.observations.history(id, cursor=cursor, **asked)
        found += numbers(page)
        cursor = page.cursor
        if cursor is None:
            return found


@contextlib.contextmanager
def told(store, observer="watcher"):
    """What an observer is told of, as a list that grows."""
    found = []
    stop = store.observations.attach(
        observer, lambda observation, event: found.append((observation.id, event))
    )
    try:
        yield found
    finally:
        stop()
        pump(store)


# What an observation is.


def test_an_observation_is_what_was_given(store, clock):
    made = store.observations.create(
        "watcher", "worker", ["task:*", "*:done", "task:*"], id="o",
        sampling_rate=0.5, rate_limit=2, where={"task.id": "t"}, inbox=True,
    )  # fmt: skip
    assert (made.id, made.observer, made.target) == ("o", "watcher", "worker")
    assert made.events == ("task:*", "*:done")
    assert (made.sampling_rate, made.rate_limit) == (0.5, 2.0)
    assert (made.where, made.inbox, made.status) == ({"task.id": "t"}, True, ACTIVE)
    assert (made.version, made.created_at) == (1, made.updated_at)
    assert store.observations.get("o") == made
    usual = store.observations.create("watcher")
    assert (usual.target, usual.events) == ("*", ("*",))
    assert (usual.sampling_rate, usual.rate_limit) == (1.0, 10.0)
    assert usual.where is None
    assert not usual.inbox


def test_what_is_made_twice_is_there_once(store):
    first = store.observations.create("watcher", "worker", ["task:*"])
    assert store.observations.create("watcher", "worker", ["task:*"]) == first
    assert store.observations.create("watcher", "worker", ["task:*"], inbox=True).inbox
    named = store.observations.create("watcher", "worker", id="o")
    store.observations.pause("o")
    again = store.observations.create("watcher", "worker", id="o")
    assert (again.status, again.version) == (PAUSED, named.version + 1)
    with pytest.raises(errors.AlreadyExists, match="observation 'o' is already"):
        store.observations.create("watcher", "other", id="o")
    assert len(store.observations.list()) == 3


def test_what_is_changed_is_changed_and_the_rest_stays(store, clock):
    made = store.observations.create("watcher", "worker", id="o", where={"a": 1})
    clock.advance(1)
    changed = store.observations.update(
        "o", expect=1, rate_limit=None, where=None, events=["x"]
    )
    assert (changed.rate_limit, changed.where, changed.events) == (None, None, ("x",))
    assert (changed.target, changed.version) == ("worker", 2)
    assert changed.updated_at - made.created_at == timedelta(seconds=1)
    assert store.observations.get("o") == changed
    with pytest.raises(errors.Conflict):
        store.observations.update("o", expect=1, inbox=True)
    assert store.observations.pause("o").status is PAUSED
    assert store.observations.pause("o").version == 3
    assert store.observations.resume("o").status is ACTIVE
    for call in ("get", "pause", "resume", "update", "history", "state", "analysis"):
        with pytest.raises(errors.NotFound, match="no observation 'none'"):
            getattr(store.observations, call)("none")


def test_they_are_listed_by_who_and_whom_and_how(store):
    for observer in ("ann", "bob"):
        for target in ("x", "y"):
            store.observations.create(observer, target, id=f"{observer}-{target}")
    store.observations.pause("bob-y")
    for asked, wanted in [
        ({}, ["bob-y", "bob-x", "ann-y", "ann-x"]),
        ({"observer": "ann"}, ["ann-y", "ann-x"]),
        ({"observer": "ann", "target": "x"}, ["ann-x"]),
        ({"target": "y"}, ["bob-y", "ann-y"]),
        ({"target": "y", "status": "active"}, ["ann-y"]),
        ({"status": "paused"}, ["bob-y"]),
        ({"observer": "bob", "status": "active"}, ["bob-x"]),
    ]:
        assert [o.id for o in store.observations.list(**asked)] == wanted
    page = store.observations.list(limit=3)
    assert [o.id for o in store.observations.list(cursor=page.cursor)] == ["ann-x"]


# What it sees.


def test_it_sees_what_it_is_for_and_nothing_else(store):
    for id, given in {
        "all": {"events": ["task:*", "a", "b"]},
        "one": {"target": "worker"},
        "named": {"events": ["*:done", "a"]},
        "which": {"where": {"deep.er": True}},
    }.items():
        store.observations.create("watcher", id=id, **{**given, "rate_limit": None})
    emit(store, 1)
    emit(store, 2, source="other")
    emit(store, 3, source=None, name="a")
    emit(store, 4, name="b", deep={"er": True})
    emit(store, 5, name="b", deep={"er": 1})
    assert seen(store, "all") == [1, 2, 3, 4, 5]
    assert seen(store, "one") == [1, 4, 5]
    assert seen(store, "named") == [1, 2, 3]
    assert seen(store, "which") == [4]


def test_each_owners_observations_see_their_owners_events(store):
    ann, bob = store.owned_by("ann"), store.owned_by("bob")
    for one in (ann, bob):
        one.observations.create("watcher", id="o", **EVERYTHING)
    with told(ann) as of_ann, told(bob) as of_bob:
        emit(ann, 1)
        emit(bob, 2)
        emit(store, 3)
        assert seen(ann, "o") == [1]
        assert seen(bob, "o") == [2]
        until(store, lambda: of_ann and of_bob)
        assert numbers(event for _, event in of_ann) == [1]
        assert numbers(event for _, event in of_bob) == [2]
    with pytest.raises(errors.NotFound):
        store.observations.history("o")


def test_paused_ones_see_nothing_and_changed_ones_what_they_are_then(store):
    emit(store, 0)
    store.observations.create("watcher", id="o", **EVERYTHING)
    emit(store, 1)
    store.observations.pause("o")
    emit(store, 2)
    store.observations.resume("o")
    emit(store, 3)
    store.observations.update("o", target="other")
    emit(store, 4)
    emit(store, 5, source="other")
    assert seen(store, "o") == [1, 3, 5]
    store.events.flush()
    assert seen(store, "o") == [1, 3, 5]


def test_one_that_a_transaction_makes_sees_from_its_commit_on(store):
    with contextlib.suppress(ZeroDivisionError), store.transaction() as tx:
        tx.observations.create("watcher", id="never", **EVERYTHING)
        raise ZeroDivisionError
    with store.transaction() as tx:
        tx.observations.create("watcher", id="o", **EVERYTHING)
        emit(store, 1)
    emit(store, 2)
    assert seen(store, "o") == [2]
    with pytest.raises(errors.NotFound):
        store.observations.get("never")


def test_it_sees_so_many_a_second_and_no_more(store, clock):
    store.observations.create("watcher", "worker", id="ten")
    store.observations.create("watcher", "worker", id="slow", rate_limit=0.5)
    emit(store, *range(15))
    assert seen(store, "ten") == [*range(10)]
    assert seen(store, "slow") == [0]
    clock.advance(0.55)
    emit(store, *range(15, 25))
    assert seen(store, "ten") == [*range(10), *range(15, 20)]
    clock.advance(60)
    emit(store, *range(30, 50))
    assert seen(store, "ten")[15:] == [*range(30, 40)]
    assert seen(store, "slow") == [0, 30]
    state = store.observations.state("ten")
    assert (state.seen, state.limited, state.unsampled) == (25, 20, 0)


def test_it_sees_its_share_the_same_wherever_it_is_asked(store):
    store.observations.create("watcher", id="o", sampling_rate=0.3, **EVERYTHING)
    emit(store, *range(300))
    found = seen(store, "o", limit=300)
    every = list(store.events.query("task:done", limit=300))
    places = [[int(part, 16) for part in event.id.split("-")] for event in every]
    assert found == [n for n, at in enumerate(places) if in_share(*at, 0.3)]
    assert 50 < len(found) < 130
    assert store.observations.state("o").unsampled == 300 - len(found)


def made(**given):
    """An observation, as if kept."""
    now = holdfast.clock.to_datetime(0)
    usual = {
        "id": "o", "owner": "", "observer": "watcher", "target": "*", "events": ("*",),
        "sampling_rate": 1.0, "rate_limit": None, "where": None, "inbox": False,
        "status": ACTIVE, "created_at": now, "updated_at": now, "version": 1,
    }  # fmt: skip
    return Observation(**{**usual, **given})


def entries(times, name="task:done"):
    return [(at, "", name, "info", None, None, None, None) for at in times]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.99, 1.0])
def test_a_share_is_that_share_and_lies_within_every_larger_one(share):
    """For any spacing of times, and whoever writes."""
    chance = random.Random(11)
    for step in (1, 1_000, 1_000_000):
        writer, many = chance.getrandbits(53), 20_000
        times = range(10**15, 10**15 + many * step, step)
        found = sum(in_share(at, writer, share) for at in times)
        spread = (many * share * (1 - share)) ** 0.5
        assert abs(found - many * share) <= 5 * spread
        smaller = [at for at in times if in_share(at, writer, share / 2)]
        assert all(in_share(at, writer, share) for at in smaller)


@pytest.mark.parametrize("rate", [0.2, 1.0, 7.5, 400.0])
def test_a_rate_is_held_over_any_span_however_events_come(rate):
    chance = random.Random(5)
    times = sorted(chance.randrange(100_000_000) for _ in range(4_000))
    observing = Observing(1)
    observing.adopt([made(rate_limit=rate)])
    found = [entry[0] for _, entry in observing.look(entries(times))]
    assert found == sorted({*found} & {*times})
    for first in range(0, len(found), 7):
        for last in range(first, len(found), 13):
            seconds = (found[last] - found[first]) / 1_000_000
            assert last - first + 1 <= max(rate, 1) + seconds * rate + 1e-6
    held = sum(1 for at in times if at not in {*found})
    figures = observing.figures("", "o")
    assert (figures.seen, figures.limited) == (len(found), held)


# What it has seen.


def test_history_is_paged_and_one_sequence_of_memory_and_disk(store, clock):
    store.observations.create("watcher", id="o", **EVERYTHING)
    for number in range(10):
        emit(store, number)
        clock.advance(1)
        if number == 5:
            store.events.flush()
    assert seen(store, "o", limit=3) == [*range(10)]
    page = store.observations.history("o", limit=4)
    assert numbers(page) == [0, 1, 2, 3]
    third, sixth = (event.at for event in store.observations.history("o")[3:7:3])
    assert seen(store, "o", since=third, until=sixth) == [3, 4, 5]
    assert seen(store, "o", since=third.isoformat()) == [*range(3, 10)]
    with pytest.raises(errors.BadInput):
        store.observations.history("o", limit=0)
    with pytest.raises(errors.BadInput):
        store.observations.history("o", since="yesterday")


def test_what_was_seen_comes_again_at_its_pace(store, clock):
    store.observations.create("watcher", id="o", **EVERYTHING)
    for number in range(4):
        emit(store, number)
        clock.advance(1)
    assert numbers(store.observations.replay("o", speed=None)) == [*range(4)]
    began = time.monotonic()
    assert numbers(store.observations.replay("o", speed=100)) == [*range(4)]
    assert time.monotonic() - began >= 0.03
    with pytest.raises(errors.WrongType):
        list(store.observations.replay("o", speed=0))


def test_an_analysis_says_what_was_seen_and_what_was_not(store, clock):
    store.observations.create(
        "watcher", "worker", ["task:*", "x"], id="o", rate_limit=3
    )
    emit(store, *range(5))
    clock.advance(90)
    emit(store, 5, name="x")
    emit(store, 6, name="x", source="other")
    emit(store, 7, name="y")
    store.events.flush()
    clock.advance(10)
    emit(store, 8, name="task:log")
    found = store.observations.analysis("o")
    assert (found.seen, found.limited, found.unsampled) == (5, 2, 0)
    assert found.by_name == {"task:done": 3, "x": 1, "task:log": 1}
    assert found.by_source == {"worker": 5}
    assert [*found.by_minute.values()] == [3, 2]
    assert [round(pause.seconds) for pause in found.pauses[:2]] == [90, 10]
    assert (found.failed, found.opened) == (0, 0)
    store.observations.update("o", sampling_rate=0)
    emit(store, 9)
    assert store.observations.analysis("o").unsampled == 3


def test_a_deleted_one_takes_its_history_along(store, clock):
    first, other = (
        store.observations.create("watcher", id=id, **EVERYTHING)
        for id in ("o", "other")
    )
    emit(store, 1)
    store.events.flush()
    emit(store, 2)
    assert store.observations.delete("o")
    assert not store.observations.delete("o")
    emit(store, 3)
    clock.advance(1)
    second = store.observations.create("watcher", id="o", **EVERYTHING)
    emit(store, 4)
    assert seen(store, "o") == [4]
    store.events.flush()
    assert seen(store, "o") == [4]
    assert seen(store, "other") == [1, 2, 3, 4]
    until(store, lambda: not store._core.observers._deleted)
    assert kept_rows(store, first, second, other) == [0, 1, 4]


def kept_rows(store, *observations):
    """How many rows each observation has on disk, whatever is shown."""
    core = store._core
    terms = holdfast.engine.Terms(every_owner=True, beside=True)

    def work(tx):
        asked = {"owner": "", "at": 0, "writer": 0, "end": 2**62, "limit": 100}
        return [
            len(tx.all("observed_after", key=history_of(one), **asked))
            for one in observations
        ]

    return core.events.read(core.unit(work, terms))


def test_what_a_transaction_tells_is_seen_though_the_program_never_emits(store):
    """The file of events is made by the observation."""
    store.observations.create("watcher", events=["task:*"], id="o")
    task = store.tasks.create("one")
    store.tasks.start(task.id)
    names = [event.name for event in store.observations.history("o")]
    assert names == ["task:created", "task:updated"]


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_after_a_restart_it_is_active_without_anyone_asking(engine, tmp_path):
    with place_on(engine, tmp_path) as target:
        with holdfast.open(target) as store:
            store.observations.create("watcher", id="o", inbox=True, **EVERYTHING)
            store.observations.create("watcher", "worker", id="paused")
            store.observations.pause("paused")
            emit(store, 1)

        def work(say):
            with holdfast.open(target) as again:
                emit(again, 2)

        Worker(work).finish()
        with holdfast.open(target) as store:
            emit(store, 3)
            assert seen(store, "o") == [1, 2, 3]
            assert seen(store, "paused") == []
            store.events.flush()
        with holdfast.open(target) as store:
            assert seen(store, "o") == [1, 2, 3]
            bodies = [m.body["payload"] for m in store.inbox.list(to="watcher")]
            assert [b["n"] for b in bodies if b and "n" in b] == [1, 2, 3]


def test_what_another_process_changes_holds_within_a_second(open_store):
    one, other = open_store(), open_store()
    emit(one, 0)
    one.events.flush()
    other.observations.create("watcher", id="o", **EVERYTHING)
    time.sleep(1.05)
    emit(one, 1)
    one.events.flush()
    other.observations.pause("o")
    time.sleep(1.05)
    emit(one, 2)
    one.events.flush()
    assert seen(other, "o") == seen(one, "o") == [1]


def test_a_ring_that_is_too_small_loses_nothing_of_what_is_seen(open_store):
    store = open_store(limits=holdfast.Limits(event_ring=7))
    store.observations.create("watcher", id="o", **EVERYTHING)
    with told(store) as found:
        emit(store, *range(500))
        assert seen(store, "o", limit=1_000) == [*range(500)]
        until(store, lambda: len(found) == 500)
    store.events.flush()
    assert seen(store, "o", limit=1_000) == [*range(500)]


def test_a_batch_that_is_written_again_has_the_same_rows(open_store, monkeypatch):
    store = open_store()
    made = store.observations.create("watcher", id="o", **EVERYTHING)
    flusher = store._core.events._flusher
    real = flusher.run
    monkeypatch.setattr(flusher, "run", fail)
    emit(store, *range(5))
    with pytest.raises(errors.StorageFull):
        store.events.flush()
    monkeypatch.setattr(flusher, "run", real)
    store.events.flush()
    assert seen(store, "o") == [*range(5)]
    assert kept_rows(store, made) == [5]


def fail(work):
    raise errors.StorageFull("no room")


def test_what_many_see_is_held_as_long_as_the_events(open_store, monkeypatch):
    monkeypatch.setattr(observers, "_FEW", 10)
    limits = holdfast.Limits(event_pending=100, event_batch=50)
    store = open_store(limits=limits)
    for id in "abcde":
        store.observations.create("watcher", id=id, **EVERYTHING)
    flusher = store._core.events._flusher
    real = flusher.run
    monkeypatch.setattr(flusher, "run", fail)
    emit(store, *range(90))
    assert seen(store, "a") == seen(store, "e") == [*range(90)]
    emit(store, *range(90, 1_000))
    held = seen(store, "a")
    assert len(held) < 130
    monkeypatch.setattr(flusher, "run", real)
    store.events.flush()
    assert set(seen(store, "a")) <= {*held}
    kept = numbers(store.events.query("task:done", limit=1_000))
    assert seen(store, "a") == seen(store, "e") == kept


def test_whose_clock_is_behind_is_seen_like_all_others(path):
    ahead, behind = ManualClock(), ManualClock()
    behind.advance(-30)
    with holdfast.open(path, clock=ahead) as store:
        store.observations.create("watcher", id="o", **EVERYTHING)
    with holdfast.open(path, clock=behind) as store:
        emit(store, 1)
        assert seen(store, "o") == [1]
        store.events.flush()
        assert seen(store, "o") == [1]
        behind.advance(60)
        found = store.observations.analysis("o")
        assert (found.seen, found.limited, found.unsampled) == (1, 0, 0)


def test_small_pages_are_read_one_after_another(path):
    """Of what was seen, of what there is to be seen, and of who sees it."""
    limits = holdfast.Limits(page=5)
    with holdfast.open(path, limits=limits) as one:
        first, again = (
            [one.observations.create("watcher", events=[f"x:{n}"]) for n in range(12)]
            for _ in range(2)
        )
        assert first == again
        one.observations.create("other", id="o", **EVERYTHING)
        with holdfast.open(path, limits=limits) as two, told(two) as found:
            for n in range(12):
                emit(one, n, name=f"x:{n}", source=f"w{n}")
            one.events.flush()
            until(two, lambda: len(found) == 12)
            assert len({id for id, _ in found}) == 12
        emit(one, *range(12))
        assert numbers(history_of_id(one, "o")) == [*range(12)]
        assert one.observations.analysis("o").seen == 12

    async def replayed():
        async with holdfast.aopen(path, limits=limits) as store:
            events = store.observations.replay("o", speed=None)
            return [event.data["n"] async for event in events]

    assert asyncio.run(replayed()) == [*range(12)]


def test_a_store_that_is_closed_says_nothing_of_observations(open_store, caplog):
    store = open_store()
    store.observations.create("watcher", id="o", **EVERYTHING)
    emit(store, 1)
    store.events.flush()
    store._core.observers._read_at -= 2  # it would be looked again now
    store.close()
    assert caplog.messages == []


def test_an_outage_is_said_once(open_store, monkeypatch, caplog):
    def unreachable(observers):
        raise errors.Unreachable("no server")

    store = open_store()
    ours = store._core.observers
    with told(store), monkeypatch.context() as patched:
        patched.setattr(ours._elsewhere, "news", unreachable)
        for _ in range(3):
            ours._look_elsewhere()
        patched.undo()
        ours._look_elsewhere()
        patched.setattr(ours._elsewhere, "news", unreachable)
        ours._look_elsewhere()
    said = [text for text in caplog.messages if "what others' events" in text]
    assert len(said) == 2


def test_whatever_threads_do_each_event_is_seen_once(open_store):
    store = open_store(limits=holdfast.Limits(event_ring=50, event_batch=20))
    store.observations.create("watcher", id="o", **EVERYTHING)
    with told(store) as found:
        threads = [
            threading.Thread(target=emit, args=(store, *range(n, 2_000, 4)))
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            seen(store, "o", limit=500)
        for thread in threads:
            thread.join()
        assert sorted(seen(store, "o", limit=500)) == [*range(2_000)]
        store.events.flush()
        every = [event.id for event in events_of(store)]
        until(store, lambda: missed(store) + len(found) == 2_000)
    assert [event.id for event in history_of_id(store, "o")] == every
    told_of = [event.id for _, event in found]
    assert told_of == [id for id in every if id in {*told_of}]


def missed(store):
    return store.observations.state("o").missed


def events_of(store):
    return (
        store.events.query("task:done", limit=1_000)[:]
        + (
            store.events.query(
                "task:done",
                limit=1_000,
                cursor=store.events.query("task:done", limit=1_000).cursor,
            )[:]
        )
    )


def history_of_id(store, id):
    return store.observations.replay(id, speed=None)


# Who is told.


def test_what_is_seen_comes_to_the_inbox_once_and_a_machine_takes_it(store):
    spec = {"initial": "idle", "states": {"idle": {"on": {"GO": "gone"}}, "gone": {}}}
    store.machines.define("m", spec)
    store.machines.create("m", id="watcher")
    store.observations.create("watcher", "worker", ["GO"], id="o", inbox=True)
    store.observations.create("other", id="all", inbox=True, rate_limit=None)
    store.observations.create("silent", events=["GO"])
    emit(store, 1, name="GO")
    store.events.flush()
    until(store, lambda: len(store.inbox.list(to="watcher")))
    (message,) = store.inbox.list(to="watcher")
    assert (message.sender, message.body["type"]) == ("worker", "GO")
    assert message.body["payload"] == {"n": 1}
    assert message.body["observation"] == "o"
    store.machines.receive("watcher")
    assert store.machines.get("watcher").state == "gone"
    store._core.events.failed(errors.StorageFull("no room"))
    emit(store, 2, name="END")
    store.events.flush()
    until(store, lambda: "END" in delivered(store, "other"))
    names = [event.name for event in store.observations.history("all")]
    assert "state:save-error" in names
    assert delivered(store, "other") == [n for n in names if not n.startswith("state:")]
    assert delivered(store, "silent") == []


def delivered(store, to):
    """What came to an inbox, by name."""
    return [message.body["type"] for message in store.inbox.list(to=to)]


def test_what_was_seen_by_the_end_is_in_the_inbox(path):
    with holdfast.open(path) as store:
        store.observations.create("watcher", id="o", inbox=True, **EVERYTHING)
        emit(store, *range(250))
    with holdfast.open(path) as store:
        bodies = [m.body for m in store.inbox.list(to="watcher", limit=1_000)]
        assert [b["payload"]["n"] for b in bodies if b["type"] == "task:done"] == [
            *range(250)
        ]


def test_what_is_too_much_for_an_inbox_is_counted_and_said_once(
    open_store, monkeypatch, caplog
):
    store = open_store()
    store.observations.create("watcher", id="o", inbox=True, **EVERYTHING)
    deliveries = store._core.observers._deliveries
    real, more = deliveries._keep, [*range(20, 600)]

    def keep(batch):
        """More comes than can wait, while some is being delivered."""
        emit(store, *more)
        more.clear()
        store._core.observers.look()
        real(batch)

    monkeypatch.setattr(deliveries, "_most", 50)
    monkeypatch.setattr(deliveries, "_keep", keep)
    emit(store, *range(20))
    store.events.flush()
    until(store, lambda: not more and not deliveries.waiting)
    bodies = [one.body for one in store.inbox.list(to="watcher", limit=1_000)]
    come = [body["payload"]["n"] for body in bodies]
    assert come == sorted(set(come))
    assert come[0] == 0
    assert come[-50:] == [*range(550, 600)]
    undelivered = store.observations.state("o").undelivered
    assert undelivered == 600 - len(come) > 400
    assert len([text for text in caplog.messages if "not delivered" in text]) == 1


def test_functions_that_want_to_exit_have_failed_and_are_called_again(path, caplog):
    with holdfast.open(path) as store:
        store.observations.create("watcher", id="o", **EVERYTHING)
        called = []

        def leave(observation, event):
            called.append(event.data["n"])
            if event.data["n"] == 0:
                raise SystemExit

        stop = store.observations.attach("watcher", leave)
        emit(store, *range(3))
        until(store, lambda: called == [0, 1, 2])
        until(store, lambda: store.observations.state("o").given == 2)
        assert store.observations.state("o").failed == 1
        stop()

    async def awaited():
        async with holdfast.aopen(path) as store:
            called, thrice = [], asyncio.Event()

            async def leave(observation, event):
                called.append(event.data["n"])
                if len(called) == 3:
                    thrice.set()
                raise [SystemExit, asyncio.CancelledError, ValueError][event.data["n"]]

            stop = await store.observations.attach("watcher", leave)
            for n in range(3):
                await store.events.emit("x", {"n": n})
            await asyncio.wait_for(thrice.wait(), PATIENCE_SECONDS)
            assert (await store.observations.state("o")).failed == 3
            stop()
            return called

    assert asyncio.run(awaited()) == [0, 1, 2]
    failed = [text for text in caplog.messages if "was to be told" in text]
    assert len(failed) == 4


def test_functions_are_told_in_order_until_they_are_stopped(store):
    store.observations.create("watcher", id="o", **EVERYTHING)
    store.observations.create("other", id="no", **EVERYTHING)
    with told(store) as found:
        emit(store, *range(20))
        until(store, lambda: len(found) == 20)
        assert {id for id, _ in found} == {"o"}
        assert numbers(event for _, event in found) == [*range(20)]
        late = store.observations.create("watcher", "worker", ["late"], id="late")
        emit(store, 20, name="late")
        until(store, lambda: len(found) == 22)
        assert {id for id, _ in found[20:]} == {"o", late.id}
    emit(store, 21)
    store.events.flush()
    assert len(found) == 22


def test_functions_that_are_awaited_are(tmp_path):
    async def main():
        async with holdfast.aopen(str(tmp_path / "a.db")) as store:
            await store.observations.create("watcher", id="o", **EVERYTHING)
            found, both = [], asyncio.Event()

            async def callback(observation, event):
                await asyncio.sleep(0)
                found.append((observation.id, event.data))
                if len(found) == 2:
                    both.set()

            stop = await store.observations.attach("watcher", callback)
            for number in range(2):
                await store.events.emit("x", number)
            await asyncio.wait_for(both.wait(), PATIENCE_SECONDS)
            assert found == [("o", 0), ("o", 1)]
            stop()
            await asyncio.sleep(0.01)

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_functions_are_told_of_what_other_processes_emit(engine, tmp_path):
    with place_on(engine, tmp_path) as target:
        holdfast.open(target).close()

        def work(say):
            with holdfast.open(target) as other:
                until(other, other.tasks.list)
                emit(other, 0, 1)
                other.events.flush()
                until(other, lambda: len(other.tasks.list()) == 2)
                emit(other, 2, 3, 4)

        worker = Worker(work)
        try:
            with holdfast.open(target) as store, told(store) as found:
                store.observations.create("watcher", id="o", **EVERYTHING)
                emit(store, 100)
                store.tasks.create("go")
                until(store, lambda: 1 in of_tasks(found))
                store.tasks.create("go on")
                worker.finish()
                until(store, lambda: 4 in of_tasks(found))
                assert of_tasks(found) == [100, *range(5)]
                assert sorted(n for n in seen_tasks(store) if n < 100) == [*range(5)]
        finally:
            worker.close()


def of_tasks(found):
    return numbers(event for _, event in found if event.name == "task:done")


def seen_tasks(store):
    page = store.observations.history("o", limit=100)
    return numbers(event for event in page if event.name == "task:done")


def test_one_that_fails_five_times_is_left_alone_for_a_minute(store, clock):
    store.observations.create("watcher", id="o", **EVERYTHING)
    broken, tried = [True], []

    def callback(observation, event):
        tried.append(event.data["n"])
        if broken:
            raise ValueError("no")

    stop = store.observations.attach("watcher", callback)
    state = store.observations.state
    emit(store, *range(8))
    until(store, lambda: state("o").withheld == 3)
    assert tried == [*range(5)]
    assert (state("o").failed, state("o").circuit) == (5, CircuitState.OPEN)
    clock.advance(60)
    emit(store, 8)
    until(store, lambda: state("o").failed == 6)
    emit(store, 9)
    until(store, lambda: state("o").withheld == 4)
    broken.clear()
    clock.advance(60)
    emit(store, 10, 11)
    until(store, lambda: state("o").given == 2)
    assert state("o").circuit is CircuitState.CLOSED
    assert tried == [*range(5), 8, 10, 11]
    stop()
    pump(store)
    assert seen(store, "o") == [*range(12)]
    names = [
        e.name for e in store.events.query("observation:*") if "failed" not in e.name
    ]
    assert names == [
        "observation:created",
        *["observation:circuit-opened"] * 2,
        "observation:circuit-closed",
    ]
    found = store.observations.analysis("o")
    assert (found.failed, found.opened) == (6, 2)


def test_one_that_hangs_or_raises_stops_nobody_else(open_store, caplog):
    store = open_store()
    store.observations.create("watcher", id="o", **EVERYTHING)
    hanging = threading.Event()
    store.observations.attach("watcher", lambda o, e: hanging.wait())
    store.observations.attach("watcher", lambda o, e: 1 / 0)
    with told(store) as found:
        emit(store, *range(1_500))
        until(store, lambda: len(found) + missed(store) >= 1_500)
        assert missed(store) >= 1_500 - 1_000 - 1
        store.events.flush()
        assert seen(store, "o", limit=1_000) == [*range(1_500)]
        assert store.tasks.create("goes on").id
    began = time.monotonic()
    store.close()
    assert time.monotonic() - began < 5
    hanging.set()
    for thread in threading.enumerate():
        if thread.name == "holdfast-observer":
            thread.join(PATIENCE_SECONDS)
    assert "goes on after the end" in caplog.text


def test_a_function_that_is_stopped_is_told_of_nothing_that_waited(open_store):
    store = open_store()
    store.observations.create("watcher", id="o", **EVERYTHING)
    told_of, going, free = [], threading.Event(), threading.Event()

    def callback(observation, event):
        told_of.append(event.data["n"])
        going.set()
        free.wait(PATIENCE_SECONDS)

    stop = store.observations.attach("watcher", callback)
    emit(store, *range(5))
    assert going.wait(PATIENCE_SECONDS)
    seen(store, "o")
    stop()
    stop()
    free.set()
    store.close()
    assert told_of == [0]


def test_what_observations_tell_of_themselves_leads_to_no_loop(store):
    store.observations.create("watcher", id="o", inbox=True, rate_limit=None)
    store.observations.create("o", "watcher", id="of-it", inbox=True)

    def callback(observation, event):
        raise ValueError("no")

    stop = store.observations.attach("watcher", callback)
    emit(store, *range(5))
    until(store, lambda: store.observations.state("o").failed == 5)
    emit(store, 5)
    until(store, lambda: store.observations.state("o").withheld > 0)
    stop()
    pump(store)
    names = {e.name for e in store.observations.history("o")}
    assert "task:done" in names
    assert not [name for name in names if name.startswith("observation:")]
    assert len(store.observations.history("of-it")) == 0
    assert len(store.events.query("observation:failed")) == 5


def test_a_look_at_the_past_shows_observations_and_nothing_that_they_saw(store):
    store.observations.create("watcher", id="o", **EVERYTHING)
    moment = store.moment()
    store.observations.pause("o")
    then = store.as_of(moment)
    assert then.observations.get("o").status is ACTIVE
    for call in ("history", "state", "analysis"):
        with pytest.raises(errors.Refused):
            getattr(then.observations, call)("o")
    with pytest.raises(errors.Refused):
        then.observations.attach("watcher", print)


def test_a_revert_is_seen_by_what_it_puts_back(store):
    made = store.observations.create("watcher", id="o", **EVERYTHING)
    moment = store.moment()
    emit(store, 1)
    store.observations.pause("o")
    new = store.observations.create("watcher", "worker", id="new")
    emit(store, 2)
    store.events.flush()
    assert kept_rows(store, made, new) == [1, 1]
    store.revert(moment, kinds=["observations"])
    emit(store, 3)
    assert seen(store, "o") == [1, 3]
    until(store, lambda: not store._core.observers._deleted)
    assert kept_rows(store, new) == [0]
    with pytest.raises(errors.NotFound):
        store.observations.get("new")
    assert store.observations.get("o").version == 3


def test_what_is_attached_is_a_function_of_an_observer(store):
    for observer, callback in (("../x", print), (5, print), ("watcher", "print")):
        with pytest.raises(errors.BadInput):
            store.observations.attach(observer, callback)


def test_what_was_seen_is_no_part_of_a_transaction(open_store):
    store = open_store()
    store.observations.create("watcher", id="o")
    with store.transaction():
        with pytest.raises(errors.Refused):
            store.observations.attach("watcher", print)
        with pytest.raises(errors.Refused):
            store.observations.history("o")


def test_looking_costs_little_where_nothing_is_observed():
    """Nothing at all for an event that concerns nobody but a look into a dict."""
    observing = Observing(SystemClock().chance())
    observing.adopt([made(id=f"{n}", target="other") for n in range(1_000)])
    found = entries(range(1, 20_001))
    began = time.perf_counter()
    assert observing.look(found) == []
    assert (time.perf_counter() - began) / len(found) < 10e-6
