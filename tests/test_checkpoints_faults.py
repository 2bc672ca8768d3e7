"""Checkpoints and what goes wrong: participants, signals, disks, clocks, servers."""

import logging
import signal
import threading
import time

import pytest

import holdfast
from broken_disk import BrokenDisk
from holdfast import errors
from holdfast.engine import Terms
from holdfast.kinds.checkpoint_records import STALE_SECONDS, PartStatus, Run
from holdfast.kinds.checkpoint_runs import Runs
from holdfast.runtime import Lifecycle
from holdfast.runtime.checkpoints import keeper as keepers
from holdfast.runtime.checkpoints import participants
from holdfast.runtime.checkpoints.asking import Question
from holdfast.runtime.checkpoints.participants import Participant
from postgres import until
from remembering import Memory, hurry, statuses, taken_in

WAITING, CLAIMED, RESTORED, REPLACED = PartStatus
WEEK_SECONDS = 7 * 86_400


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "agent.db")


@pytest.fixture
def quiet(caplog):
    with caplog.at_level(logging.CRITICAL, "holdfast.checkpoints"):
        yield


@pytest.fixture
def disk():
    made = BrokenDisk(syncs=False)
    yield made
    made.close()


def in_tx(store, work):
    core = store._core
    return core.engine.write(core.unit(work, Terms()))


def runs_of(store):
    return in_tx(store, lambda tx: Runs(tx).list())


# Participants.


class Wordless(Exception):
    def __str__(self):
        raise ValueError("it has no words")


class Odd(dict):
    def __bool__(self):
        raise ValueError("neither nor")


def test_whatever_is_odd_about_one_it_spoils_no_other(place, quiet):
    def wordless():
        raise Wordless

    with holdfast.open(place, limits=holdfast.Limits(value_bytes=100)) as store:
        store.checkpoints.participant("wordless", wordless)
        store.checkpoints.participant("odd", lambda: Odd(a=1))
        store.checkpoints.participant("large", lambda: "x" * 101)
        Memory([1]).take_part(store)
        taken = store.checkpoints.take()
    assert [part.data for part in taken.parts] == [[1]]
    assert taken.failed.pop("large").startswith("what it has: 103 is past the limit")
    assert taken.failed == {"wordless": "Wordless", "odd": "ValueError: neither nor"}


def test_what_changes_while_it_is_looked_at_is_looked_at_again():
    looks = []

    def kept(value):
        looks.append(value)
        if len(looks) % 4:
            raise RuntimeError("dictionary changed size during iteration")
        return "kept"

    call = Participant("queue", dict, None, 5.0).collecting(kept)
    call()
    assert (call.result, call.error, len(looks)) == ("kept", None, 4)

    def never(value):
        raise RuntimeError("it never stands still")

    call = Participant("queue", dict, None, 5.0).collecting(never)
    call()
    assert isinstance(call.error, RuntimeError)


def test_a_participant_that_closes_the_store_holds_nobody_up(place, quiet):
    store = holdfast.open(place)
    Memory([1]).take_part(store)
    wrong = []

    def collect():
        try:
            store.close()
        except RuntimeError as error:  # a thread that would wait for itself
            wrong.append(error)

    store.checkpoints.participant("closes", collect, seconds=0.1)
    assert "not done within 0.1 s" in store.checkpoints.take().failed["closes"]
    until(lambda: not any(t.name == "holdfast-participant" for t in threads()))
    assert wrong == []
    with holdfast.open(place) as store:
        assert store.checkpoints.latest().parts[0].data == [1]


def threads():
    return threading.enumerate()


# Signals.


@pytest.fixture
def break_off():
    """Break off what the main thread is amid, as Ctrl-C does; from another thread."""
    main, broken = threading.main_thread().ident, threading.Event()

    def raises(*_):
        if not broken.is_set():
            broken.set()
            raise KeyboardInterrupt

    def until_it_is():
        while not broken.wait(0.01):
            signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, raises)
    yield until_it_is
    signal.signal(signal.SIGUSR1, before)


def test_what_ctrl_c_broke_off_is_collected_by_the_last(place, break_off):
    go, values = threading.Event(), [1]

    def collect():
        if values == [2]:
            values.append(3)
            break_off()
            go.wait()
        return values

    with pytest.raises(KeyboardInterrupt), holdfast.open(place) as store:
        store.checkpoints.participant("queue", collect)
        store.checkpoints.take()
        values[:] = [2]
        desk = keepers.keeper_of(store._core).desk("")
        first = desk.take

        def last(*args, **options):
            threading.Timer(0.1, go.set).start()  # as it waits for the earlier call
            return first(*args, **options)

        desk.take = last
        first("broken-off")
    with holdfast.open(place) as store:
        assert store.checkpoints.latest().failed == {}
        assert store.checkpoints.latest().parts[0].data == [2, 3]


def test_one_that_was_broken_off_before_it_began_is_asked_anew():
    one = Participant("queue", lambda: [1], None, 60.0)
    call = one.collecting(list)
    assert not one.is_at_it()
    call()  # whoever comes late to it finds it withdrawn
    assert call.result is None
    again = one.collecting(list)
    again()
    assert again.result == [1]


def test_one_that_was_gone_past_is_not_waited_for_again():
    over, a_minute = threading.Event(), 60.0
    one = Participant("queue", over.wait, None, a_minute)
    call = one.collecting(bool)
    thread = threading.Thread(target=call)
    thread.start()
    began = time.monotonic() - a_minute
    assert "not done within 60 s" in participants._waited(one, call, began)
    assert one.is_at_it()
    over.set()
    thread.join()
    assert not one.is_at_it()


def test_a_signals_handler_may_close_the_store_amid_any_call(place):
    store = holdfast.open(place)
    Memory([1]).take_part(store)
    keeper = keepers.keeper_of(store._core)
    desk = keeper.desk("")
    with keepers._entering, keeper._mutex, desk._mutex, desk._turn:
        store.checkpoints.take()
        store.close()
    with holdfast.open(place) as store:
        assert store.checkpoints.latest().parts[0].data == [1]


# Disks.


def test_a_disk_that_is_full_amid_restoring_loses_no_try(place, disk, quiet):
    """How it went is kept as soon as there is room, and those behind wait."""
    for name in "abc":
        taken_in(place, [1], name)

    def fill(data):
        disk.room = 0

    def fail(data):
        raise ValueError("not yet")

    restores = {"a": Memory().restore, "b": fill, "c": Memory().restore}
    with holdfast.open(disk.target(place)) as store:
        for name, restore in restores.items():
            store.checkpoints.participant(name, lambda: None, restore)
        found = store.checkpoints.restore()
        assert found.restored == ("a", "b")
        assert "full" in found.failed["c"]
        disk.mend()
        found = store.checkpoints.restore()
        assert (found.restored, found.failed) == (("c",), {})
        assert {"b": RESTORED} in statuses(store)
        store.checkpoints.take()
        told = store.events.recent("checkpoint:restored")
        assert sorted(event.data["participant"] for event in told) == ["a", "b", "c"]


def test_a_restore_that_fails_as_the_disk_is_full_is_tried_again(place, disk, quiet):
    taken_in(place, [1])
    tries = []

    def restore(data):
        tries.append(data)
        disk.room = 0
        raise ValueError("not yet")

    with holdfast.open(disk.target(place)) as store:
        store.checkpoints.participant("queue", lambda: None, restore)
        assert store.checkpoints.restore().failed == {"queue": "ValueError: not yet"}
        disk.mend()
        assert store.checkpoints.restore().failed == {"queue": "ValueError: not yet"}
        disk.mend()
        store.checkpoints.take()
        assert statuses(store) == [{"queue": WAITING}]
    assert tries == [[1], [1]]


def test_a_claim_of_which_nobody_can_say_is_given_up_and_made_again(place, quiet):
    taken_in(place, [1])
    memory, unknown = Memory(), [errors.OutcomeUnknown("it may be there or not")]
    with holdfast.open(place) as store:
        memory.take_part(store)
        giving = keepers.keeper_of(store._core).desk("").giving
        real = giving._write

        def write(work, **options):
            found = real(work, **options)
            if unknown:
                raise unknown.pop()
            return found

        giving._write = write
        assert store.checkpoints.restore().failed == {"queue": "it may be there or not"}
        assert statuses(store) == [{"queue": CLAIMED}]
        assert store.checkpoints.restore().restored == ("queue",)
    assert memory.given == [[1]]


def test_a_part_that_is_damaged_is_named_and_spoils_no_other(place, quiet):
    taken_in(place, [1], "a")
    taken_in(place, [2], "b")
    with holdfast.open(place) as store:
        spoil = "update memory_part set data = '[1' where name = 'a'"
        in_tx(store, lambda tx: tx._connection.execute(spoil))
        for name in "ab":
            Memory().take_part(store, name)
        found = store.checkpoints.restore()
        assert found.restored == ("b",)
        assert "damaged" in found.failed["a"]


def test_a_disk_that_is_full_at_a_shutdown_spoils_no_other_owners(place, disk, quiet):
    """Nor is what was kept before replaced by what is left after the shutdown."""
    memory = Memory([1])

    def fill():
        if memory.value == [2]:
            disk.room = 0
        return memory.value

    def mend():
        disk.mend()
        return ["hers"]

    with holdfast.open(disk.target(place)) as store:
        store.checkpoints.participant("queue", fill)
        ada = store.owned_by("ada")
        ada.checkpoints.participant("queue", mend)
        store.checkpoints.take()
        life = Lifecycle(store, signals=False, dumps=False)
        life.module("work", ready=lambda: memory.restore([2]))
        life.module("cleared", shutdown=lambda: memory.restore([]))
        with life:
            pass
        (step,) = [one for one in life.report().steps if one.error is not None]
        assert "'all of them'" in step.error
        assert ada.checkpoints.latest().reason == "shutdown"
    with holdfast.open(place) as store:
        assert store.checkpoints.latest().reason == "manual"
        assert statuses(store) == [{"queue": WAITING}]


# Clocks.


def test_a_clock_that_is_set_back_makes_no_older_one_the_newest(place, clock):
    with holdfast.open(place, clock=clock) as store:
        memory = Memory([0])
        memory.take_part(store)
        for number in range(7):
            memory.value = [number]
            clock.advance(-3600 if number == 4 else 1)
            taken = store.checkpoints.take()
            assert store.checkpoints.latest() == taken
        assert len(store.checkpoints.list()) == 5
        desk = keepers.keeper_of(store._core).desk("")
        assert desk.take("again", anew=False).id == taken.id


def test_runs_that_were_killed_are_forgotten_and_hide_none_that_lives(place, clock):
    with holdfast.open(place, clock=clock) as store:
        for number in range(3):
            run = Run(f"{number}", "far", 1, "", "far:1")
            in_tx(store, lambda tx, run=run: Runs(tx).beat(run))
            clock.advance(1)
        assert [run.id for run, _ in runs_of(store)] == ["2", "1", "0"]
        clock.advance(WEEK_SECONDS)
        Memory([1]).take_part(store)
        store.checkpoints.take()
        assert len(runs_of(store)) == 1


# By itself.


@pytest.fixture
def fast(monkeypatch):
    hurry(monkeypatch)
    monkeypatch.setattr(keepers, "_BEAT_SECONDS", 0.01)


def beats(store):
    (run,) = runs_of(store)
    return run[1]


def beats_on(store):
    now = beats(store)
    until(lambda: beats(store) > now)


def test_a_run_is_there_for_others_while_a_participant_takes_its_time(place, fast):
    """Else another machine takes it for dead, and what it has for its own."""
    begun, over = threading.Event(), threading.Event()

    def collect():
        begun.set()
        over.wait()

    with holdfast.open(place) as store:
        store.checkpoints.participant("slow", collect, seconds=2 * STALE_SECONDS)
        store.checkpoints.every(0.01)
        assert begun.wait(60)
        beats_on(store)
        over.set()


def test_a_run_is_there_while_modules_are_shut_down(place, fast):
    with holdfast.open(place) as store:
        Memory([1]).take_part(store)
        store.checkpoints.take()
        keepers.keeper_of(store._core).rest()
        question = Question(store._core, Terms())
        question.ask()
        for _ in range(10):
            beats_on(store)
        assert not question.answered


def test_one_is_taken_now_and_then_though_nobody_asks_for_it(place):
    limits = holdfast.Limits(checkpoint_seconds=0.01)
    with holdfast.open(place, limits=limits) as store:
        memory = Memory([1])
        memory.take_part(store)
        until(store.checkpoints.latest)
        assert store.checkpoints.latest().reason == "every"
        stop = store.checkpoints.every(3_600)
        keeper = keepers.keeper_of(store._core)
        assert [one.usual for one in keeper._paces] == [False]
        stop()
        memory.value = [2]
        until(lambda: store.checkpoints.latest().parts[0].data == [2])
        keeper.rest()
        assert keeper._paces == ()
    with pytest.raises(errors.WrongType, match="checkpoint_seconds"):
        holdfast.open(place, limits=holdfast.Limits(checkpoint_seconds=0.0))


def test_nothing_is_taken_by_itself_after_the_last(place):
    store = holdfast.open(place)
    Memory([1]).take_part(store)
    desk = keepers.keeper_of(store._core).desk("")
    desk.end("close", kept=True)
    desk.take_by_itself("every")
    desk.answer(1)
    assert [one.reason for one in store.checkpoints.list()] == ["close"]
    assert runs_of(store) == []
    store.close()
