"""Working: a task has one worker; one that died is followed, and writes no more."""

import asyncio
import threading
from datetime import timedelta

import pytest

import holdfast
from examples import dump
from holdfast import errors
from holdfast.runtime.leases.aworking import AsyncHeldLease
from holdfast.runtime.leases.leasing import HeldLease


class Interrupted(BaseException):
    """What ends a block without being its fault."""


@pytest.fixture
def tasks(store):
    """The tasks of a store that has one, called `t`."""
    store.tasks.create("work", id="t")
    return store.tasks


def ids(records):
    return [record.id for record in records]


def stale(tasks):
    return ids(tasks.list(status="in_progress", stale=True))


def test_work_starts_a_task_and_finishes_it_under_a_lease(store, tasks):
    with tasks.work("t", seconds=10, holder="me") as work:
        assert (work.id, work.task.status) == ("t", "in_progress")
        assert (work.lease.holder, work.lease.kind, work.lease.id) == (
            "me",
            "tasks",
            "t",
        )
        assert work.progress(1, 2, "half").progress.done == 1
        assert work.log("a line", "debug", "note").level == "debug"
        with pytest.raises(errors.Held):
            tasks.progress("t", 2)
        assert work.complete({"n": 1}).result == {"n": 1}
        assert work.task.status == "completed"
    assert store.leases.get("tasks", "t") is None
    assert [line.message for line in tasks.logs("t")] == ["a line"]


def test_work_carries_its_lease_to_whatever_its_store_writes(store, tasks, clock):
    store.sessions.create(id="s")
    with tasks.work("t", seconds=10) as work:
        work.store.sessions.append("s", "user", "in")
        with work.store.transaction() as tx:
            tx.sessions.append("s", "user", "in too")
            tx.tasks.complete("t")
        clock.advance(10)
        with pytest.raises(errors.Fenced):
            work.store.sessions.append("s", "user", "late")
    assert store.sessions.get("s").message_count == 2
    assert tasks.get("t").status == "completed"


@pytest.mark.parametrize("move", ["hold", "fail"])
def test_a_task_that_waits_or_failed_is_taken_up_again(tasks, move):
    tasks.start("t")
    tasks.hold("t") if move == "hold" else tasks.fail("t", "broken")
    with tasks.work("t") as work:
        assert (work.task.status, work.task.error) == ("in_progress", None)
        work.fail("again")
    assert tasks.get("t").error == "again"


def test_a_block_that_raises_fails_its_task_with_the_errors_text(store, tasks):
    with pytest.raises(ValueError, match="boom"), tasks.work("t"):
        raise ValueError("boom")
    task = tasks.get("t")
    assert (task.status, task.error) == ("failed", "ValueError: boom")
    assert store.leases.get("tasks", "t") is None


def test_an_errors_text_is_kept_whatever_is_in_it(tasks):
    with pytest.raises(ValueError, match="NUL"), tasks.work("t"):
        raise ValueError("NUL \x00 half \ud800 and long " + "x" * 5_000)
    error = tasks.get("t").error
    assert error.startswith("ValueError: NUL \\0 half \\ud800 and long xxx")
    assert 1_000 <= len(error) < 1_100


def test_a_block_that_is_interrupted_leaves_its_task_for_another(tasks):
    with pytest.raises(Interrupted), tasks.work("t"):
        raise Interrupted
    assert tasks.get("t").status == "in_progress"
    assert stale(tasks) == ["t"]


def test_a_block_that_ends_without_finishing_leaves_its_task_for_another(tasks):
    with tasks.work("t") as work:
        work.progress(1)
        assert stale(tasks) == []
    assert stale(tasks) == ["t"]
    with tasks.work("t", holder="next") as work:
        assert work.task.progress.done == 1
        assert stale(tasks) == []
        work.complete()
    assert stale(tasks) == []


def test_an_error_after_the_task_was_finished_leaves_it_finished(tasks):
    with pytest.raises(ValueError, match="later"), tasks.work("t") as work:
        work.complete("done")
        raise ValueError("later")
    assert (tasks.get("t").status, tasks.get("t").result) == ("completed", "done")


def test_a_task_whose_holder_died_is_found_taken_over_and_kept_from_it(tasks, clock):
    with tasks.work("t", seconds=10, holder="dead") as dead:
        dead.progress(1)
        clock.advance(9)
        assert stale(tasks) == []
        with pytest.raises(errors.Held, match="'dead'"), tasks.work("t"):
            pytest.fail("the body must not run")
        clock.advance(1)
        assert stale(tasks) == ["t"]
        with tasks.work("t", seconds=10, holder="next") as work:
            assert stale(tasks) == []
            for late in (
                lambda: dead.progress(9),
                lambda: dead.log("late"),
                lambda: dead.complete("late"),
                lambda: dead.fail("late"),
                lambda: dead.store.tasks.update("t", description="late"),
            ):
                with pytest.raises(errors.Fenced):
                    late()
            work.complete("in time")
        with pytest.raises(errors.Fenced):
            dead.complete("later still")
    task = tasks.get("t")
    assert (task.result, task.progress.done, task.description) == ("in time", 1, "work")
    assert list(tasks.logs("t")) == []


def test_a_late_holders_error_does_not_fail_the_next_holders_task(tasks, clock):
    late = tasks.work("t", seconds=10, holder="dead")
    with pytest.raises(ValueError, match="late"), late:
        clock.advance(10)
        with tasks.work("t", holder="next"):
            pass
        raise ValueError("late")
    assert (tasks.get("t").status, tasks.get("t").error) == ("in_progress", None)


def test_a_block_that_is_fenced_does_not_fail_the_task(tasks, clock):
    with pytest.raises(errors.Fenced), tasks.work("t", seconds=10) as work:
        clock.advance(10)
        work.progress(1)
    assert tasks.get("t").status == "in_progress"
    assert stale(tasks) == ["t"]


def test_work_on_what_cannot_be_worked_on_is_refused_and_leaves_no_lease(store, tasks):
    with pytest.raises(errors.NotFound, match="gone"), tasks.work("gone"):
        pytest.fail("the body must not run")
    tasks.cancel("t")
    before = dump(store)
    with pytest.raises(errors.Refused, match="cancelled"), tasks.work("t"):
        pytest.fail("the body must not run")
    assert store.leases.get("tasks", "t") is None
    before.pop("lease")
    assert before.items() <= dump(store).items()


def test_only_tasks_under_a_lease_that_is_over_are_stale(tasks, clock):
    for id in ("plain", "held", "over", "done"):
        tasks.create("x", id=id)
    tasks.start("plain")
    with tasks.work("held", seconds=100), tasks.work("over", seconds=10):
        with tasks.work("done", seconds=10) as work:
            work.complete()
        clock.advance(10)
        assert stale(tasks) == ["over"]
        assert stale(tasks) == ids(tasks.list(stale=True))
    with pytest.raises(errors.Refused, match="in progress"):
        tasks.list(status="pending", stale=True)


def test_stale_tasks_are_filtered_and_paged_like_others(store, clock):
    store.sessions.create(id="s")
    for n in range(6):
        tool, session = f"x{n % 2}", "s" if n % 3 else None
        store.tasks.create("a", id=f"t{n}", tool=tool, session=session)
        store.tasks.start(f"t{n}")
        store.leases.acquire("tasks", f"t{n}", holder="dead", seconds=1)
        clock.advance(1)
    assert ids(store.tasks.list(stale=True, tool="x1")) == ["t5", "t3", "t1"]
    assert ids(store.tasks.list(stale=True, session="s", tool="x0")) == ["t4", "t2"]
    first = store.tasks.list(stale=True, limit=4)
    rest = store.tasks.list(stale=True, limit=4, cursor=first.cursor)
    assert [len(first), ids(rest), rest.cursor] == [4, ["t1", "t0"], None]


def test_a_lease_is_renewed_for_as_long_as_the_block_runs(tmp_path, clock, monkeypatch):
    renewed = threading.Event()
    plain = HeldLease.renew

    def renew(lease, seconds=None):
        found = plain(lease, seconds)
        renewed.set()
        return found

    monkeypatch.setattr(HeldLease, "renew", renew)
    with holdfast.open(tmp_path / "a.db", clock=clock) as store:
        store.tasks.create("work", id="t")
        with store.tasks.work("t", seconds=0.03) as work:
            until = work.lease.until + timedelta(seconds=0.02)
            clock.advance(0.02)
            while work.lease.until != until:  # one may be under way with the old time
                renewed.clear()
                assert renewed.wait(20)
            clock.advance(0.02)  # past the time that it was first given
            work.complete()


def test_a_lease_is_renewed_for_as_long_as_an_async_block_runs(
    tmp_path, clock, monkeypatch, loop
):
    plain = AsyncHeldLease.renew

    async def scenario():
        renewed = asyncio.Event()

        async def renew(lease, seconds=None):
            found = await plain(lease, seconds)
            renewed.set()
            return found

        monkeypatch.setattr(AsyncHeldLease, "renew", renew)
        async with holdfast.aopen(tmp_path / "a.db", clock=clock) as store:
            await store.tasks.create("work", id="t")
            async with store.tasks.work("t", seconds=0.03) as work:
                until = work.lease.until + timedelta(seconds=0.02)
                clock.advance(0.02)
                while work.lease.until != until:
                    renewed.clear()
                    await asyncio.wait_for(renewed.wait(), 20)
                clock.advance(0.02)
                await work.complete()

    loop.run_until_complete(scenario())


def test_a_cancelled_async_worker_leaves_its_task_for_another(tmp_path, loop):
    async def scenario():
        async with holdfast.aopen(tmp_path / "a.db") as store:
            await store.tasks.create("work", id="t")
            begun = asyncio.Event()

            async def worker():
                async with store.tasks.work("t"):
                    begun.set()
                    await asyncio.Event().wait()

            running = asyncio.create_task(worker())
            await begun.wait()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert running.cancelled()
            assert ids(await store.tasks.list(stale=True)) == ["t"]

    loop.run_until_complete(scenario())
