"""Checkpoints and processes: killed, hanging, alive elsewhere, asked from outside."""

import os
import threading
import time

import pytest

import holdfast
from conftest import ENGINES, store_on
from holdfast import errors
from holdfast.codec import document
from holdfast.engine import Terms
from holdfast.kinds.checkpoint_keeping import Keeping
from holdfast.kinds.checkpoint_records import STALE_SECONDS, PartStatus, Run
from holdfast.kinds.checkpoint_runs import Runs
from holdfast.runtime.checkpoints import living
from holdfast.runtime.checkpoints.asking import Question, asked_each
from killing import Worker
from postgres import until
from remembering import Memory, hurry, statuses, taken_in
from test_cut_points import cut_everywhere

WAITING, CLAIMED, RESTORED, REPLACED = PartStatus


@pytest.fixture(params=["file", "postgres"])
def target(request, tmp_path):
    """Where a store outlives the process that uses it."""
    with store_on(request.param, tmp_path) as found:
        yield found


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "agent.db")


# Which processes live.


def test_what_a_process_that_lives_has_in_memory_is_not_given_to_another(target):
    def work(say):
        store = holdfast.open(target)
        Memory(["mine"]).take_part(store)
        store.checkpoints.take()
        say("taken")
        time.sleep(60)

    worker = Worker(work)
    try:
        worker.wait_for(1)
        memory = Memory()
        with holdfast.open(target) as store:
            memory.take_part(store)
            found = store.checkpoints.restore()
            assert "may still run" in found.held["queue"]
            assert memory.given == []
            worker.kill()
            assert store.checkpoints.restore().restored == ("queue",)
        assert memory.given == [["mine"]]
    finally:
        worker.close()


def test_an_open_store_of_this_process_has_what_it_collected(place):
    first, second = holdfast.open(place), holdfast.open(place)
    memory = Memory()
    Memory([1]).take_part(first)
    memory.take_part(second)
    first.checkpoints.take()
    assert "may still run" in second.checkpoints.restore().held["queue"]
    assert "itself" in first.checkpoints.restore().held["queue"]
    first.close()
    assert second.checkpoints.restore().restored == ("queue",)
    second.close()


def far(store):
    """Let a run of another machine have taken what waits here."""
    core = store._core
    run = Run("far", "far", 1, "", "far:1")

    def work(tx):
        Runs(tx).beat(run)

    core.engine.write(core.unit(work, Terms()))
    return run


def test_of_another_machine_it_is_given_once_that_says_nothing_for_a_while(
    target, clock
):
    with holdfast.open(target, clock=clock) as store:
        run = far(store)
        parts = {"queue": document([1])}
        core = store._core
        work = core.unit(lambda tx: Keeping(tx).keep(run, "x", parts, {}), Terms())
        core.engine.write(work)
        memory = Memory()
        memory.take_part(store)
        clock.advance(STALE_SECONDS - 1)
        assert "far:1" in store.checkpoints.restore().held["queue"]
        far(store)  # it has said something
        clock.advance(STALE_SECONDS - 1)
        assert "far:1" in store.checkpoints.restore().held["queue"]
        clock.advance(2)
        assert store.checkpoints.restore().restored == ("queue",)
        assert memory.given == [[1]]


def test_a_part_is_not_claimed_from_a_run_that_has_beaten_meanwhile(place, clock):
    with holdfast.open(place, clock=clock) as store:
        core, run = store._core, far(store)
        parts = {"queue": document([1])}

        def do(work):
            return core.engine.write(core.unit(lambda tx: work(Keeping(tx)), Terms()))

        do(lambda kind: kind.keep(run, "x", parts, {}))
        (part,) = do(lambda kind: kind.waiting())
        clock.advance(1)
        far(store)
        me = living.begin("me")
        assert do(lambda kind: kind.claim(part, me)) is None
        (part,) = do(lambda kind: kind.waiting())
        assert do(lambda kind: kind.claim(part, me)) is not None
        assert do(lambda kind: kind.claim(part, me)) is None
        living.end("me")


def test_a_later_process_of_the_same_number_is_another(monkeypatch):
    me = living.begin("mine")
    assert living.lives(me, 0)
    assert living.lives(me, 10 * STALE_SECONDS)
    living.end("mine")
    assert not living.lives(me, 0)
    parent = Run("p", living.machine(), os.getppid(), living._started(os.getppid()), "")
    assert living.lives(parent, 10 * STALE_SECONDS)
    before = Run("p", living.machine(), os.getppid(), "1", "")
    assert not living.lives(before, 0)
    monkeypatch.setattr(living, "_started", lambda pid: None)  # a system without /proc
    monkeypatch.setattr(living, "_TOLD", living._TOLD / "nowhere")
    unknown = Run("p", living.machine(), os.getppid(), "", "")
    assert living.lives(unknown, 10 * STALE_SECONDS)


# Faults.


def test_kill_9_while_one_is_taken_leaves_no_half_of_it(target):
    names = [f"p{number}" for number in range(12)]

    def work(say):
        store = holdfast.open(target)
        count = [0]
        for name in names:
            store.checkpoints.participant(name, lambda: count[0])
        while True:
            count[0] += 1
            store.checkpoints.take()
            say(str(count[0]))

    for round_ in range(4):
        worker = Worker(work)
        worker.wait_for(1 + 5 * round_)
        said = int(worker.kill()[-1])
        with holdfast.open(target) as store:
            assert store.check().problems == ()
            whole = [store.checkpoints.get(one.id) for one in store.checkpoints.list()]
            for one in whole:
                assert [part.name for part in one.parts] == sorted(names)
                assert len({part.data for part in one.parts}) == 1
            assert whole[0].parts[0].data in {said, said + 1}
            waiting = [one for one in whole if one.waiting]
            assert waiting == whole[:1]
            for name in names:
                store.checkpoints.participant(name, lambda: None, lambda data: None)
            assert len(store.checkpoints.restore().restored) == len(names)


def test_kill_9_while_it_is_restored_gives_it_to_nobody_again_unless_asked(target):
    taken_in(target, [1])

    def work(say):
        store = holdfast.open(target)

        def restore(data):
            say("restoring")
            time.sleep(60)

        store.checkpoints.participant("queue", lambda: None, restore)
        store.checkpoints.restore()

    worker = Worker(work)
    worker.wait_for(1)
    worker.kill()
    memory = Memory()
    with holdfast.open(target) as store:
        memory.take_part(store)
        assert store.checkpoints.restore().restored == ()
        ((status,),) = [one.values() for one in statuses(store)]
        assert status is CLAIMED
        again = store.checkpoints.retry(store.checkpoints.latest().id)
        assert [part.status for part in again.parts] == [WAITING]
        assert store.checkpoints.restore().restored == ("queue",)
    assert memory.given == [[1]]


def test_a_restore_that_hangs_is_gone_past_and_counts_once_it_ends(place):
    taken_in(place, [1])
    taken_in(place, [2], "other")
    over, memory = threading.Event(), Memory()
    with holdfast.open(place) as store:
        store.checkpoints.participant(
            "queue", lambda: None, lambda data: over.wait(), seconds=0.05
        )
        memory.take_part(store, "other")
        found = store.checkpoints.restore()
        assert found.restored == ("other",)
        assert "not done within 0.05 s" in found.failed["queue"]
        assert store.checkpoints.restore().failed == {}  # it is given to nobody again
        over.set()
        until(lambda: {"queue": RESTORED} in statuses(store))


def test_a_hanging_restore_that_fails_in_the_end_waits_again(place):
    taken_in(place, [1])
    over = threading.Event()

    def restore(data):
        over.wait()
        raise ValueError("late")

    with holdfast.open(place) as store:
        store.checkpoints.participant("queue", lambda: None, restore, seconds=0.05)
        store.checkpoints.restore()
        assert statuses(store) == [{"queue": CLAIMED}]
        over.set()
        until(lambda: statuses(store) == [{"queue": WAITING}])
        assert store.checkpoints.latest().parts[0].error == "ValueError: late"


def test_a_checkpoint_by_its_id_is_restored_whoever_took_it(store):
    memory = Memory([1])
    memory.take_part(store)
    taken = store.checkpoints.take()
    memory.value = "lost"
    assert store.checkpoints.restore().held != {}
    assert store.checkpoints.restore(taken.id).restored == ("queue",)
    assert memory.value == [1]
    assert store.checkpoints.restore(taken.id).restored == ()
    with pytest.raises(errors.NotFound):
        store.checkpoints.restore("nothing")


def test_deleted_it_is_restored_by_nobody(target):
    taken_in(target, [1])
    with holdfast.open(target) as store:
        memory = Memory()
        memory.take_part(store)
        id = store.checkpoints.latest().id
        assert store.checkpoints.delete(id)
        assert not store.checkpoints.delete(id)
        assert store.checkpoints.restore().restored == ()
        assert store.checkpoints.latest() is None
        with pytest.raises(errors.NotFound):
            store.checkpoints.get(id)
        with pytest.raises(errors.NotFound):
            store.checkpoints.retry(id)


def test_a_list_goes_on_where_a_page_ended(store):
    Memory([1]).take_part(store)
    taken = [store.checkpoints.take().id for _ in range(5)]
    page = store.checkpoints.list(limit=3)
    rest = store.checkpoints.list(limit=3, cursor=page.cursor)
    assert [one.id for one in (*page, *rest)] == taken[::-1]
    assert rest.cursor is None


# Asking others.


@pytest.fixture
def fast(monkeypatch):
    hurry(monkeypatch)


def test_running_processes_are_asked_and_who_does_not_answer_is_named(target, fast):
    def work(say):
        store = holdfast.open(target)
        Memory(["theirs"]).take_part(store)
        say("there")
        time.sleep(60)

    worker = Worker(work)
    try:
        worker.wait_for(1)
        with holdfast.open(target) as store:
            until(lambda: runs_of(store))
            (answer,) = store.checkpoints.ask(seconds=30)
            assert answer.answered
            (part,) = store.checkpoints.get(answer.checkpoint).parts
            assert (part.data, part.status) == (["theirs"], WAITING)
            assert store.checkpoints.latest().reason == "asked"
            worker.send(19)  # SIGSTOP
            (answer,) = store.checkpoints.ask(seconds=0.1)
            assert (answer.answered, answer.checkpoint) == (False, None)
            worker.send(18)  # SIGCONT
            (answer,) = store.checkpoints.ask(seconds=30)
            assert answer.answered
            worker.kill()
            assert store.checkpoints.ask(seconds=0.1) == ()
    finally:
        worker.close()


def runs_of(store):
    core = store._core
    return core.engine.read(core.unit(lambda tx: Runs(tx).list(), Terms()))


def test_several_may_ask_at_once(place, fast):
    with holdfast.open(place) as asked, holdfast.open(place) as other:
        Memory([1]).take_part(asked)
        until(lambda: runs_of(other))
        found = []
        threads = [
            threading.Thread(
                target=lambda: found.append(other.checkpoints.ask(seconds=30))
            )
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [[one.answered for one in answers] for answers in found] == [[True]] * 4


def test_a_process_that_has_nothing_says_so(place, fast):
    with holdfast.open(place) as store:
        Memory().take_part(store)
        until(lambda: runs_of(store))
        (answer,) = store.checkpoints.ask(seconds=30)
        assert (answer.answered, answer.checkpoint) == (True, None)


def test_a_store_in_memory_is_asked_by_nobody_else():
    with holdfast.open(":memory:") as store:
        assert store.checkpoints.ask() == ()
        memory = Memory()
        memory.take_part(store)
        assert [one.checkpoint for one in store.checkpoints.ask()] == [None]
        memory.value = [1]
        (answer,) = store.checkpoints.ask()
        assert answer.checkpoint == store.checkpoints.latest().id


def test_a_process_that_ends_meanwhile_is_not_named(place):
    first, second = holdfast.open(place), holdfast.open(place)
    Memory([1]).take_part(first)
    until(lambda: runs_of(second))
    question = Question(second._core, Terms())
    question.ask()
    first.close()
    assert question.answered
    assert asked_each([], 5) == ()
    second.close()


def test_a_copy_has_what_waits(place, tmp_path):
    taken_in(place, [1])
    other = str(tmp_path / "other.db")
    holdfast.copy(place, other)
    memory = Memory()
    with holdfast.open(other) as store:
        memory.take_part(store)
        assert store.checkpoints.restore().restored == ("queue",)
        assert store.usage().tables["memory_part"].rows == 2
    assert memory.given == [[1]]


@pytest.mark.parametrize("engine", ENGINES)
def test_cut_before_any_statement_nothing_of_it_is_there(engine, tmp_path, clock):
    """A take and a claim: each is all there, or not at all."""
    with (
        store_on(engine, tmp_path) as place,
        holdfast.open(place, clock=clock) as store,
    ):
        core, run = store._core, far(store)

        def do(work):
            return core.engine.write(core.unit(lambda tx: work(Keeping(tx)), Terms()))

        def take(number):
            parts = {name: document([number]) for name in "abc"}
            return do(lambda kind: kind.keep(run, "x", parts, {"d": "bad"}))

        for number in range(6):
            take(number)
        assert cut_everywhere(store, lambda: take(6)) > 10
        (part, *_) = do(lambda kind: kind.waiting())
        assert cut_everywhere(store, lambda: do(lambda kind: kind.claim(part, run))) > 1
