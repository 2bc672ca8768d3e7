"""Workers: jobs are done once, in order, by handlers that fail, hang and leave."""

import asyncio
import importlib
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import holdfast
from conftest import ENGINES, store_on
from holdfast import Worker
from holdfast.clock import ManualClock
from holdfast.errors import Fenced, Refused
from holdfast.kinds.job_records import Backoff
from holdfast.runtime.daemons import Daemons
from holdfast.runtime.jobs.handlers import Handler, digest
from holdfast.tracing import current_trace

SOON_SECONDS = 10.0
AT_ONCE = Backoff(first_seconds=0.001, most_seconds=0.001)


@pytest.fixture(params=ENGINES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[holdfast.Store]:
    """A store on each engine, by the machine's clock; sound at the end."""
    with (
        store_on(request.param, tmp_path) as target,
        holdfast.open(target, durability="process-crash") as store,
    ):
        yield store
        assert store.check().problems == ()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[holdfast.Store]:
    with holdfast.open(tmp_path / "agent.db", durability="process-crash") as store:
        yield store
        assert store.check().problems == ()


@pytest.fixture
def standing(tmp_path: Path) -> Iterator[tuple[holdfast.Store, ManualClock]]:
    """A store whose time stands still until a test moves it."""
    clock = ManualClock()
    with holdfast.open(tmp_path / "agent.db", clock=clock) as store:
        yield store, clock


class Bell:
    """Something that happens on another thread, and is waited for."""

    def __init__(self) -> None:
        self._rung: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ring(self, what: Any = None) -> None:
        self._rung.put(what)

    def heard(self) -> Any:
        return self._rung.get(timeout=SOON_SECONDS)


def until(true: Callable[[], Any]) -> Any:
    """Wait until something is so; it fails if that is not soon."""
    patience = time.monotonic() + SOON_SECONDS
    while not (found := true()):
        assert time.monotonic() < patience
        time.sleep(0.005)
    return found


def status(store: holdfast.Store, id: str) -> str:
    return store.jobs.get(id).status.value


def made(face: str, work: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A handler, plain or async, that does the same."""
    if face == "sync":
        return work

    async def awaited(job: Any) -> Any:
        return work(job)

    return awaited


@pytest.mark.parametrize("face", ["sync", "async"])
def test_every_job_is_done_once_and_its_result_is_kept(opened, face):
    done = []

    def double(job):
        done.append(job.id)
        return {"twice": 2 * job.body}

    jobs = [opened.jobs.put("double", number) for number in range(60)]
    with Worker(opened, {"double": made(face, double)}, concurrency=8) as worker:
        for number, job in enumerate(jobs):
            result = opened.jobs.result(job.id, timeout_seconds=SOON_SECONDS)
            assert result == {"twice": 2 * number}
    assert sorted(done) == sorted(job.id for job in jobs)
    report = worker.report()
    assert (report.claimed, report.done, report.running) == (60, 60, 0)


def test_an_async_store_is_served_on_its_own_event_loop(tmp_path):
    async def main():
        async with holdfast.aopen(tmp_path / "agent.db") as store:

            async def who(job):
                return [job.owner, job.lane, job.attempt, type(job.store).__name__]

            async with Worker(store.owned_by("ada"), {"who": who}):
                job = await store.owned_by("ada").jobs.put("who", lane="a")
                return await store.owned_by("ada").jobs.result(job.id)

    assert asyncio.run(main()) == ["ada", "a", 1, "AsyncStore"]


def test_an_idle_worker_is_woken_by_a_put_from_another_store(tmp_path):
    path = tmp_path / "agent.db"
    began = Bell()
    handlers = {"note": lambda _: began.ring(time.monotonic())}
    waits = []
    with (
        holdfast.open(path) as ours,
        holdfast.open(path) as theirs,
        Worker(ours, handlers),
    ):
        for _ in range(5):
            time.sleep(0.06)  # so that it is idle again
            put = time.monotonic()
            theirs.jobs.put("note")
            waits.append(began.heard() - put)
    assert sorted(waits)[2] < 0.5


@pytest.mark.parametrize("face", ["sync", "async"])
def test_a_lane_keeps_its_order_beside_others(opened, face):
    seen: dict[str, list[int]] = {}
    running: dict[str, int] = {}

    def work(job):
        running[job.lane] = running.get(job.lane, 0) + 1
        assert running[job.lane] == 1
        seen.setdefault(job.lane, []).append(job.body)
        if job.attempt == 1 and job.body % 4 == 0:
            running[job.lane] -= 1
            raise ValueError("again")
        running[job.lane] -= 1

    for number in range(12):
        for lane in "abc":
            last = opened.jobs.put("work", number, lane=lane, backoff=AT_ONCE)
    with Worker(opened, {"work": made(face, work)}, concurrency=8):
        until(lambda: opened.jobs.stats().by_status["done"] == 36)
    assert last.lane == "c"
    for numbers in seen.values():
        assert numbers == sorted(numbers)
        assert sorted(set(numbers)) == list(range(12))


@pytest.mark.parametrize("face", ["sync", "async"])
def test_a_handler_that_raises_is_tried_again_and_then_dead(opened, face):
    def work(job):
        raise LookupError(f"no {job.attempt}")

    job = opened.jobs.put("work", max_attempts=3, backoff=AT_ONCE)
    with Worker(opened, {"work": made(face, work)}) as worker:
        until(lambda: status(opened, job.id) == "dead")
    assert opened.jobs.get(job.id).error == "LookupError: no 3"
    report = worker.report()
    assert (report.failed, report.dead) == (2, 1)


@pytest.mark.parametrize("value", [{1, 2}, "x" * 2_000_000, float("nan"), object()])
def test_a_result_that_cannot_be_kept_fails_for_good(tmp_path, value):
    limits = holdfast.Limits(value_bytes=1_000_000)
    with holdfast.open(tmp_path / "agent.db", limits=limits) as store:
        job = store.jobs.put("work")
        with Worker(store, {"work": lambda _: value}):
            until(lambda: status(store, job.id) == "dead")
        found = store.jobs.get(job.id)
        assert (found.attempt, found.result) == (1, None)
        assert "the result" in (found.error or "")


def test_steps_that_were_done_are_passed_by(opened):
    asked: list[tuple[str, Any]] = []

    async def ask(what):
        asked.append(("ask", what))
        return [what, len(asked)]

    def tell(what):
        asked.append(("tell", what))
        return what

    def note(tx, name):
        tx.tasks.create(name, id=name)
        return name

    async def work(job):
        keys = [job.key("ask")]
        first = await job.once("ask", ask, "one")
        keys.append(job.key("ask"))
        second = await job.once("ask", ask, "two")
        named = await job.run("note", note, "task")
        if job.attempt == 1:
            raise RuntimeError("the first attempt ends here")
        third = await job.once("tell", tell, "three")
        return [first, second, named, third, keys]

    job = opened.jobs.put("work", id="j", backoff=AT_ONCE)
    with Worker(opened, {"work": work}):
        found = opened.jobs.result(job.id, timeout_seconds=SOON_SECONDS)
    assert asked == [("ask", "one"), ("ask", "two"), ("tell", "three")]
    assert found == [["one", 1], ["two", 2], "task", "three", ["j:ask:0", "j:ask:1"]]
    assert [step.name for step in opened.jobs.steps("j")] == [
        "ask",
        "ask",
        "note",
        "tell",
    ]


def test_a_sync_handler_has_the_same_steps(opened):
    asked = []

    def note(tx, name):
        tx.tasks.create(name, id=name)
        return name

    def work(job):
        first = job.once("ask", asked.append, "one")
        named = job.run("note", note, "task")
        if job.attempt == 1:
            raise RuntimeError("the first attempt ends here")
        with job.finish([first, named]) as tx:
            tx.jobs.put("next", id="next")

    job = opened.jobs.put("work", backoff=AT_ONCE)
    with Worker(opened, {"work": work}):
        found = opened.jobs.result(job.id, timeout_seconds=SOON_SECONDS)
    assert (asked, found) == (["one"], [None, "task"])
    assert status(opened, "next") == "queued"


def test_steps_that_run_side_by_side_keep_their_results(opened):
    async def number(which, pause):
        await asyncio.sleep(pause)
        return which

    async def work(job):
        pauses = [0.03, 0.0, 0.02, 0.01]
        numbers = await asyncio.gather(
            *(job.once("number", number, *each) for each in enumerate(pauses))
        )
        if job.attempt < 3:
            raise RuntimeError("again")
        return numbers

    job = opened.jobs.put("work", backoff=AT_ONCE)
    with Worker(opened, {"work": work}) as worker:
        found = opened.jobs.result(job.id, timeout_seconds=SOON_SECONDS)
    assert found == [0, 1, 2, 3]
    assert worker.report().changed == 0


def test_finishing_commits_effects_and_end_together(opened):
    async def work(job):
        async with job.finish({"by": job.attempt}) as tx:
            await tx.tasks.create("written", id=f"t{job.attempt}")
            if job.attempt == 1:
                raise RuntimeError("not yet")
        with pytest.raises(Refused, match="ended it already"):
            await job.complete()

    job = opened.jobs.put("work", backoff=AT_ONCE)
    with Worker(opened, {"work": work}) as worker:
        found = opened.jobs.result(job.id, timeout_seconds=SOON_SECONDS)
        assert found == {"by": 2}
        assert [task.id for task in opened.tasks.list()] == ["t2"]
        until(lambda: worker.report().done == 1)
    assert worker.report().lost == 0


def test_a_handler_ends_its_job_by_itself(file):
    async def work(job):
        if job.body == "complete":
            await job.complete("early")
        elif job.body == "fail":
            await job.fail("in vain", retry=False)
        elif job.attempt == 1 and not await job.store.jobs.steps(job.id):
            await job.once("seen", int)
            await job.release(delay_seconds=0.01)
        return "late"

    for body in ("complete", "fail", "release"):
        file.jobs.put("work", body, id=body)
    with Worker(file, {"work": work}) as worker:
        until(lambda: worker.report().done == 2)
    assert file.jobs.get("complete").result == "early"
    assert file.jobs.get("fail").error == "in vain"
    again = file.jobs.get("release")
    assert (again.attempt, again.fence, again.result) == (1, 2, "late")
    report = worker.report()
    assert (report.dead, report.released) == (1, 1)


@pytest.mark.parametrize("face", ["sync", "async"])
def test_a_handler_that_waits_holds_no_worker(opened, face):
    seen = []

    async def awaited(job):
        await job.sleep(0.05)
        said = await job.wait_for("approval")
        never = await job.wait_for("nothing", timeout_seconds=0.05)
        for number in range(2):
            await job.run(f"child {number}", child, number, job.id)
        children = await job.join()
        return [said, never, sorted(child.result for child in children)]

    def plain(job):
        job.sleep(0.05)
        said = job.wait_for("approval")
        never = job.wait_for("nothing", timeout_seconds=0.05)
        for number in range(2):
            job.run(f"child {number}", child, number, job.id)
        children = job.join()
        return [said, never, sorted(child.result for child in children)]

    def child(tx, number, parent):
        tx.jobs.put("child", number, parent=parent)

    handlers = {
        "parent": awaited if face == "async" else plain,
        "child": lambda job: 10 * job.body,
        "other": lambda job: seen.append(job.body),
    }
    parent = opened.jobs.put("parent", id="parent")
    with Worker(opened, handlers, concurrency=1) as worker:
        until(lambda: opened.jobs.get("parent").waits_for == "approval")
        opened.jobs.put("other", 1)
        until(lambda: seen)
        opened.jobs.signal("parent", "approval", "yes")
        found = opened.jobs.result(parent.id, timeout_seconds=SOON_SECONDS)
    assert found == ["yes", None, [0, 10]]
    assert opened.jobs.get("parent").attempt == 1
    report = worker.report()
    assert (report.suspended, report.lost, report.failed) == (4, 0, 0)


def test_a_handler_waits_within_a_group_of_tasks(file):
    async def work(job):
        async with asyncio.TaskGroup() as group:
            pause = group.create_task(job.sleep(0.05))
            group.create_task(asyncio.sleep(0.01))
        return pause.done()

    job = file.jobs.put("work")
    with Worker(file, {"work": work}) as worker:
        assert file.jobs.result(job.id, timeout_seconds=SOON_SECONDS) is True
    report = worker.report()
    assert (report.suspended, report.failed) == (1, 0)


def test_a_hung_async_handler_is_cancelled_and_its_attempt_fails(file):
    async def work(job):
        if job.attempt == 1:
            await asyncio.sleep(60)
        return "second"

    job = file.jobs.put("work", backoff=AT_ONCE)
    with Worker(file, {"work": Handler(work, timeout_seconds=0.05)}) as worker:
        assert file.jobs.result(job.id, timeout_seconds=SOON_SECONDS) == "second"
    assert worker.report().failed == 1


def test_an_async_handler_that_hangs_on_is_given_up(file, monkeypatch):
    monkeypatch.setattr("holdfast.runtime.jobs.attending.CANCELLED_SECONDS", 0.05)
    leave = asyncio.Event()

    async def work(job):
        while not leave.is_set():
            try:
                await leave.wait()
            except asyncio.CancelledError:
                continue

    async def other(job):
        leave.set()

    job = file.jobs.put("work", max_attempts=1)
    file.jobs.put("other", id="other")
    handlers = {"work": Handler(work, timeout_seconds=0.05), "other": other}
    with Worker(file, handlers, concurrency=1) as worker:
        file.jobs.result("other", timeout_seconds=SOON_SECONDS)
        assert status(file, job.id) == "dead"
    assert worker.report().abandoned == 1


def test_a_hung_sync_handler_is_given_up_and_its_slot_with_it(file):
    late, ended = threading.Event(), Bell()

    def work(job):
        late.wait(SOON_SECONDS)
        assert job.cancelled
        try:
            job.once("too late", int)
        except Fenced:
            ended.ring("fenced")

    job = file.jobs.put("work", max_attempts=1)
    file.jobs.put("other", id="other")
    handlers = {"work": Handler(work, timeout_seconds=0.05), "other": lambda _: None}
    with Worker(file, handlers, concurrency=1) as worker:
        file.jobs.result("other", timeout_seconds=SOON_SECONDS)
        assert status(file, job.id) == "dead"
        late.set()
        assert ended.heard() == "fenced"
    assert file.jobs.get(job.id).error == "it took longer than 0.05 s"
    assert file.jobs.steps(job.id) == ()
    assert worker.report().abandoned == 1


def test_a_deadline_ends_a_running_job(file):
    async def work(job):
        await asyncio.sleep(60)

    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    job = file.jobs.put("work", deadline=soon)
    with Worker(file, {"work": work}):
        until(lambda: status(file, job.id) == "dead")
    assert "deadline" in (file.jobs.get(job.id).error or "")


def test_a_cancelled_job_is_told_to_its_handler(opened):
    began, ended = Bell(), Bell()

    async def awaited(job):
        began.ring()
        try:
            await asyncio.sleep(60)
        finally:
            ended.ring(job.cancelled)

    def plain(job):
        began.ring()
        until(lambda: job.cancelled)
        ended.ring(True)
        job.once("never", int)

    handlers = {"awaited": awaited, "plain": plain}
    with Worker(opened, handlers, lease_seconds=300.0) as worker:  # none is renewed
        for kind in ("awaited", "plain"):
            job = opened.jobs.put(kind)
            began.heard()
            opened.jobs.cancel(job.id)
            assert ended.heard() is True
            with pytest.raises(Refused, match="cancelled"):
                opened.jobs.result(job.id, timeout_seconds=SOON_SECONDS)
            assert opened.jobs.steps(job.id) == ()
    assert worker.report().cancelled == 2


@pytest.mark.parametrize("face", ["sync", "async"])
def test_a_lost_lease_is_told_and_nothing_is_written_for_it(standing, face):
    store, clock = standing
    began, ended = Bell(), Bell()

    async def awaited(job):
        began.ring()
        try:
            await asyncio.sleep(60)
        finally:
            ended.ring(job.cancelled)

    def plain(job):
        began.ring()
        until(lambda: job.cancelled)
        try:
            job.complete("late")
        except Fenced:
            ended.ring(True)
        return "late"

    job = store.jobs.put("work", max_attempts=1)
    handler = awaited if face == "async" else plain
    with Worker(store, {"work": handler}, lease_seconds=0.3, concurrency=1) as worker:
        began.heard()
        clock.advance(1)  # which is past the lease, and before it is renewed
        assert ended.heard() is True
        until(lambda: status(store, job.id) == "dead")
    assert worker.report().lost == 1
    found = store.jobs.get(job.id)
    assert (found.status.value, found.result) == ("dead", None)


@pytest.mark.parametrize("face", ["sync", "async"])
def test_a_step_of_a_lapsed_claim_is_refused_and_others_are_kept(standing, face):
    store, clock = standing
    seen = []

    async def awaited(job):
        await job.once("in time", int)
        clock.advance(60)
        late = [job.once(name, str) for name in ("late", "later")]
        seen.extend(await asyncio.gather(*late, return_exceptions=True))

    def plain(job):
        job.once("in time", int)
        clock.advance(60)
        for name in ("late", "later"):
            try:
                job.once(name, str)
            except Fenced as error:
                seen.append(error)

    job = store.jobs.put("work", max_attempts=1)
    handler = awaited if face == "async" else plain
    with Worker(store, {"work": handler}) as worker:
        until(lambda: status(store, job.id) == "dead")
    assert [type(error) for error in seen] == [Fenced, Fenced]
    assert [step.name for step in store.jobs.steps(job.id)] == ["in time"]
    assert worker.report().lost == 1


def test_a_handler_that_blocks_the_event_loop_keeps_its_lease(file):
    async def work(job):
        time.sleep(1.0)  # noqa: ASYNC251  # as careless handlers do
        return job.attempt

    job = file.jobs.put("work")
    with Worker(file, {"work": work}, lease_seconds=0.45) as worker:
        assert file.jobs.result(job.id, timeout_seconds=SOON_SECONDS) == 1
    assert worker.report().lost == 0


def test_a_signal_stops_it_in_order_and_handlers_are_restored(file):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    async def work(job):
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.05)
        return "ended in its time"

    first, second = file.jobs.put("work"), file.jobs.put("work")
    worker = Worker(file, {"work": work}, concurrency=1)
    worker.run()
    assert file.jobs.get(first.id).result == "ended in its time"
    assert status(file, second.id) == "queued"
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.parametrize("face", ["sync", "async"])
def test_what_does_not_end_in_time_is_given_back(file, face):
    began, leave = Bell(), threading.Event()

    async def awaited(job):
        began.ring()
        await asyncio.sleep(60)

    def plain(job):
        began.ring()
        until(lambda: job.cancelled)
        with pytest.raises(BaseException, match="is to stop"):
            job.once("never", int)
        leave.wait(SOON_SECONDS)
        job.complete()

    job = file.jobs.put("work")
    handler = awaited if face == "async" else plain
    worker = Worker(file, {"work": handler}, grace_seconds=0.05)
    threading.Timer(0.2, leave.set).start()
    with worker:
        began.heard()
    found = file.jobs.get(job.id)
    assert (found.status.value, found.attempt, found.fence) == ("queued", 0, 1)
    assert worker.report().released == 1


def test_a_second_signal_gives_back_everything_at_once(file):
    async def work(job):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)

    job = file.jobs.put("work")
    began = time.monotonic()
    Worker(file, {"work": work}).run()
    assert time.monotonic() - began < SOON_SECONDS
    assert status(file, job.id) == "queued"


def test_what_is_for_the_whole_program_gives_back_and_goes_on(file):
    async def work(job):
        raise KeyboardInterrupt

    job = file.jobs.put("work")
    with pytest.raises(KeyboardInterrupt):
        Worker(file, {"work": work}).run()
    found = file.jobs.get(job.id)
    assert (found.status.value, found.attempt) == ("queued", 0)


def test_a_task_that_is_cancelled_gives_back_and_is_cancelled(file):
    began = Bell()

    async def work(job):
        began.ring()
        await asyncio.sleep(60)

    async def main():
        serving = asyncio.create_task(Worker(file, {"work": work}).serve())
        await asyncio.to_thread(began.heard)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving

    job = file.jobs.put("work")
    asyncio.run(main())
    assert status(file, job.id) == "queued"


def test_a_handler_that_is_cancelled_from_elsewhere_has_failed(file):
    async def work(job):
        raise asyncio.CancelledError

    job = file.jobs.put("work", max_attempts=1)
    with Worker(file, {"work": work}):
        until(lambda: status(file, job.id) == "dead")
    assert "CancelledError" in (file.jobs.get(job.id).error or "")


def test_a_closed_store_ends_its_worker(tmp_path):
    began = Bell()

    async def work(job):
        began.ring()
        await asyncio.sleep(60)

    store = holdfast.open(tmp_path / "agent.db")
    job = store.jobs.put("work")
    with Worker(store, {"work": work}) as worker:
        began.heard()
        store.close()
        assert worker._thread is not None
        worker._thread.join(SOON_SECONDS)
        assert not worker._thread.is_alive()
    with holdfast.open(tmp_path / "agent.db") as again:
        assert status(again, job.id) == "active"  # until its lease runs out


def first_version(job):
    return job.once("one", int), job.once("two", int), 1 / 0


def second_version(job):
    return job.once("zero", int), job.once("one", int), job.once("two", str)


@pytest.mark.parametrize("policy", ["go_on", "stop"])
def test_a_changed_handler_is_told_and_policy_decides(file, policy, caplog):
    slowly = Backoff(first_seconds=0.1, factor=1)
    job = file.jobs.put("work", id="j", backoff=slowly, max_attempts=100)
    with Worker(file, {"work": Handler(first_version, version="a")}) as worker:
        until(lambda: worker.report().failed)
    second = Handler(second_version, version="b")
    with Worker(file, {"work": second}, on_new_version=policy) as worker:
        until(lambda: status(file, "j") in {"done", "dead"})
    found = file.jobs.get(job.id)
    assert worker.report().changed == 1
    assert "code of its handler has changed" in caplog.text
    if policy == "go_on":
        assert found.result == [0, 0, 0]
    else:
        assert found.status.value == "dead"
        assert "began under version a, this worker has b" in (found.error or "")


def test_a_version_is_that_of_a_functions_own_code():
    def one(job):
        """Say it."""
        return job.body in {"a", "b", "c"}

    def same(job):
        # Elsewhere, and with other words.
        """Say it."""
        return job.body in {"a", "b", "c"}

    def other(job):
        """Say it."""
        return job.body in {"a", "b", "d"}

    assert digest(one) == digest(same)
    assert digest(one) != digest(other)
    assert digest(len) != digest(print)


def test_a_kind_without_a_handler_is_kept_and_told_once(file, caplog):
    for _ in range(3):
        job = file.jobs.put("strange")
    with Worker(file, {"work": lambda _: None}) as worker:
        until(lambda: worker.report().unhandled)
    assert worker.report().unhandled == {"strange": 3}
    told = "of kind 'strange', for which this worker has no handler, 3 wait"
    assert told in caplog.text
    assert status(file, job.id) == "queued"


def test_jobs_that_ended_long_ago_are_deleted(standing):
    store, clock = standing
    job = store.jobs.put("work")
    with Worker(store, {"work": lambda _: None}, keep_seconds=60):
        store.jobs.result(job.id, timeout_seconds=SOON_SECONDS)
    clock.advance(61)
    with Worker(store, {"work": lambda _: None}, keep_seconds=60):
        until(lambda: store.jobs.stats().total == 0)


def test_a_trace_is_carried_from_put_to_handler(file):
    trace = importlib.import_module("opentelemetry.trace")
    sdk = importlib.import_module("opentelemetry.sdk.trace")
    tracer = sdk.TracerProvider().get_tracer("test")
    seen = Bell()

    async def awaited(job):
        seen.ring(trace.get_current_span().get_span_context().trace_id)

    def plain(job):
        seen.ring(trace.get_current_span().get_span_context().trace_id)

    assert current_trace() is None
    with tracer.start_as_current_span("caller") as span:
        for kind in ("awaited", "plain"):
            file.jobs.put(kind)
    with Worker(file, {"awaited": awaited, "plain": plain}):
        for _ in range(2):
            assert seen.heard() == span.get_span_context().trace_id


def test_an_owners_worker_sees_only_its_own_jobs(file):
    ada, bob = file.owned_by("ada"), file.owned_by("bob")
    ada.jobs.put("work", id="hers")
    bob.jobs.put("work", id="his")
    with Worker(ada, {"work": lambda job: job.owner}):
        assert ada.jobs.result("hers", timeout_seconds=SOON_SECONDS) == "ada"
    assert status(bob, "his") == "queued"


def test_a_worker_of_some_lanes_leaves_the_others_alone(file):
    for lane in ("a", "b", "c", None):
        file.jobs.put("work", lane=lane, id=f"in-{lane}")
    with Worker(file, {"work": lambda job: job.lane}, lanes=["a", "c"]) as worker:
        until(lambda: worker.report().done == 2)
        file.jobs.put("work", lane="c", id="later")
        assert file.jobs.result("later", timeout_seconds=SOON_SECONDS) == "c"
    assert [status(file, id) for id in ("in-b", "in-None")] == ["queued", "queued"]


def test_a_worker_that_works_is_not_started_again(file):
    began = Bell()

    async def work(job):
        began.ring()

    worker = Worker(file, {"work": work})
    for _ in range(2):
        with worker:
            file.jobs.put("work")
            began.heard()
            with pytest.raises(Refused):
                asyncio.run(worker.serve())
    assert worker.report().done == 2


def test_wrong_options_are_refused(file):
    good: dict[str, Any] = {"work": lambda _: None}
    for handlers, options in [
        ({}, {}),
        ([], {}),
        ({"work": 3}, {}),
        ({"not a name": print}, {}),
        (good, {"concurrency": 0}),
        (good, {"concurrency": True}),
        (good, {"lanes": "one"}),
        (good, {"lease_seconds": -1}),
        (good, {"on_new_version": "perhaps"}),
        (good, {"name": 3}),
        ({"work": Handler(print, timeout_seconds=0)}, {}),
    ]:
        with pytest.raises(holdfast.errors.BadInput):
            Worker(file, handlers, **options)
    with pytest.raises(Refused):
        Worker(file.as_of(file.moment()), good)


def test_functions_that_block_have_threads_and_quick_ones_share():
    handed = Bell()
    daemons = Daemons(lambda: None)
    barrier = threading.Barrier(8)
    daemons.put([lambda: handed.ring(barrier.wait(SOON_SECONDS))] * 8)
    assert sorted(handed.heard() for _ in range(8)) == list(range(8))
    daemons.close()
    threads: set[int] = set()
    daemons = Daemons(lambda: None)
    quick = [lambda: threads.add(threading.get_ident())] * 1_000
    daemons.put([*quick, handed.ring])
    handed.heard()
    daemons.close()
    assert len(threads) < 100
