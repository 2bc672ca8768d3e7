"""The lifecycle: modules come up in order, go down in reverse, none keeps another.

Everything is tried with `with` and with `async with`, handlers plain and awaited. How
it is started and closed by hand is in `test_lifecycle_closing.py`, how it ends by
signals, at exits and with an event loop in `test_lifecycle_ends.py`.
"""

import asyncio
import contextlib
import logging
import threading
import time

import pytest

import holdfast
from holdfast.errors import (
    AlreadyExists,
    Closed,
    InvalidId,
    NotFound,
    Refused,
    StartFailed,
    Unreachable,
    WrongType,
)
from holdfast.runtime.lifecycle import Lifecycle, Phase, store_steps
from living import FACES, Noted, going, handler, lived, turned
from postgres import Server, empty_store

STARTS = ("core", "startup", "context", "ready")
ALL = (*STARTS, "shutdown")


@pytest.fixture
def store():
    with holdfast.open(":memory:") as opened:
        yield opened


@pytest.fixture(params=FACES)
def face(request):
    return request.param


@pytest.fixture(params=FACES)
def kind(request):
    return request.param


@pytest.fixture
def free():
    """What a hanging handler waits for, so that nothing is left of it in the end."""
    event = threading.Event()
    yield event
    event.set()
    for thread in threading.enumerate():
        if thread.name == "holdfast-lifecycle":
            thread.join(10)


# The order.


def test_each_phase_is_over_before_the_next_one_begins(store, face, kind):
    life = Lifecycle(store)
    noted = Noted(life, kind)
    noted.add("a", ALL)
    noted.add("b", ALL)
    seen = []
    report = lived(life, face, lambda: seen.append((life.phase, list(noted.calls))))
    started = [f"{name} {phase}" for phase in STARTS for name in "ab"]
    assert seen == [(Phase.READY, started)]
    assert noted.calls == [*started, "b shutdown", "a shutdown"]
    assert going(report) == noted.calls
    assert report.orderly
    assert (report.phase, report.why) == (Phase.ENDED, "end")
    assert report.begun == ("a", "b")


def test_a_module_comes_after_all_that_it_needs_and_goes_before_them(store, face):
    life = Lifecycle(store)
    noted = Noted(life)
    noted.add("agents", needs=["search", "db"])
    noted.add("search", needs=("db",))
    noted.add("clock")
    noted.add("db")
    lived(life, face)
    up = ["clock", "db", "search", "agents"]
    assert noted.calls == [
        *(f"{name} startup" for name in up),
        *(f"{name} shutdown" for name in reversed(up)),
    ]


def test_what_comes_after_another_does_so_only_if_that_is_there(store, face):
    life = Lifecycle(store)
    noted = Noted(life)
    noted.add("api", after=["cache", "nobody"])
    noted.add("cache")
    lived(life, face)
    assert noted.calls[:2] == ["cache startup", "api startup"]


def test_modules_without_needs_stand_as_they_were_registered(store):
    life = Lifecycle(store)
    names = [f"m{number}" for number in (3, 1, 2, 9, 5)]
    noted = Noted(life)
    for name in names:
        noted.add(name)
    assert lived(life, "plain").begun == tuple(names)


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ({"a": "a"}, "a → a"),
        ({"a": "b", "b": "a"}, "a → b → a"),
        ({"x": "a", "a": "b", "b": "c", "c": "a"}, "a → b → c → a"),
    ],
)
def test_needs_in_a_circle_are_refused_by_name_before_anything_begins(
    store, face, needs, said
):
    life = Lifecycle(store)
    noted = Noted(life)
    for name, need in needs.items():
        noted.add(name, needs=[need])
    with pytest.raises(Refused, match=f"{said};"):
        lived(life, face)
    assert noted.calls == []


def test_a_need_that_nobody_registered_is_refused_by_name(store, face):
    life = Lifecycle(store)
    life.module("db")
    life.module("agents", needs=["dp"])
    with pytest.raises(Refused, match="'agents' needs 'dp'.*there are db, agents, sto"):
        lived(life, face)
    life.module("dp")
    assert lived(life, face).begun == ()


# Handlers.


def test_a_handler_may_take_the_module_and_what_others_gave(store, face, kind):
    life = Lifecycle(store)
    seen = []

    def gives():
        return {"url": "db:1"}

    def takes(module):
        seen.append((module.name, module["db"], module.store, module.stopping))
        assert module.life is life

    async def awaits(module):
        takes(module)

    life.module("db", core=handler(kind, gives))
    life.module(
        "agents", startup=takes if kind == "plain" else awaits, needs=("db", "store")
    )
    lived(life, face, lambda: seen.append(life["db"]))
    assert seen == [("agents", {"url": "db:1"}, store, False), {"url": "db:1"}]


def test_the_last_value_that_is_not_none_is_the_modules(store, face):
    life = Lifecycle(store)
    life.module("db", core=lambda: 1, startup=lambda: 2, ready=lambda: None)
    life.module("none", core=lambda: None)
    lived(life, face)
    assert (life["db"], life["none"]) == (2, None)
    with pytest.raises(NotFound, match="no module 'other'"):
        life["other"]


def test_on_makes_a_module_of_a_function_and_adds_to_one_that_is_there(store, face):
    life = Lifecycle(store)
    calls = []

    @life.on("core")
    def db():
        calls.append("db up")

    @life.on("shutdown", "db")
    async def end():
        calls.append("db down")

    @life.on("startup", needs=["db"], optional=True, seconds=3)
    async def agents(module):
        calls.append(module.name)

    report = lived(life, face)
    assert calls == ["db up", "agents", "db down"]
    assert report.begun == ("db", "agents")
    assert db() is None


def test_a_module_is_given_everything_that_handlers_share_on_one_loop(store):
    life = Lifecycle(store)
    loops, ticks = [], []

    async def begin():
        loops.append(asyncio.get_running_loop())

        async def tick():
            while True:
                ticks.append(1)
                await asyncio.sleep(0)

        return asyncio.create_task(tick())

    async def end(module):
        loops.append(asyncio.get_running_loop())
        assert not module["ticker"].done()
        module["ticker"].cancel()

    life.module("ticker", startup=begin, shutdown=end)
    with life:
        before = len(ticks)
        deadline = time.monotonic() + 10
        while len(ticks) == before:
            assert time.monotonic() < deadline
    assert loops[0] is loops[1]
    assert loops[0].is_closed()
    assert life.report().orderly


# Failures.


def test_a_module_that_fails_is_named_and_what_was_up_is_shut_down(store, face, kind):
    life = Lifecycle(store)
    noted = Noted(life, kind)
    noted.add("db", ALL)
    noted.add("search", ALL, failing=["context"])
    noted.add("agents", ALL)
    noted.add("late", ("context", "shutdown"))
    with pytest.raises(StartFailed) as raised:
        lived(life, face)
    error = raised.value
    assert (error.module, error.phase) == ("search", "context")
    assert "module 'search' was not started: its context handler failed" in str(error)
    assert "ValueError: search cannot context" in str(error)
    assert isinstance(error.__cause__, ValueError)
    assert noted.calls[-4:] == [
        "search context",
        "agents shutdown",
        "search shutdown",
        "db shutdown",
    ]
    report = life.report()
    assert (report.phase, report.why) == (Phase.ENDED, "start")
    assert report.begun == ("db", "search", "agents")


def test_a_module_whose_only_start_failed_is_not_shut_down(store, face):
    life = Lifecycle(store)
    noted = Noted(life)
    noted.add("db", failing=["startup"])
    with pytest.raises(StartFailed):
        lived(life, face)
    assert noted.calls == ["db startup"]


def test_a_module_with_nothing_but_a_shutdown_has_it_if_what_it_needs_is_up(
    store, face
):
    life = Lifecycle(store)
    noted = Noted(life)
    noted.add("log", ("shutdown",))
    noted.add("db", failing=["startup"])
    noted.add("pool", ("shutdown",), needs=["db"])
    with pytest.raises(StartFailed):
        lived(life, face)
    assert noted.calls == ["db startup", "log shutdown"]


def test_an_optional_module_is_left_out_with_all_that_need_it(store, face, caplog):
    life = Lifecycle(store)
    noted = Noted(life)
    noted.add("db", ALL)
    noted.add("cache", ALL, optional=True, failing=["startup"])
    noted.add("index", ALL, needs=["cache"])
    noted.add("deep", ALL, needs=["index"])
    noted.add("other", ALL, needs=["db"])
    with caplog.at_level(logging.WARNING):
        report = lived(life, face)
    assert report.left_out == {
        "cache": "its startup handler failed: ValueError: cache cannot startup",
        "index": "it needs 'cache'",
        "deep": "it needs 'cache'",
    }
    core = [f"{name} core" for name in ("db", "cache", "index", "deep", "other")]
    assert noted.calls[:5] == core
    assert noted.calls[5:10] == [
        "db startup",
        "cache startup",
        "deep shutdown",
        "index shutdown",
        "cache shutdown",
    ]
    assert noted.calls[10] == "other startup"
    assert not {"index", "deep", "cache"} & {c.split()[0] for c in noted.calls[10:]}
    assert "so are deep, index, which need it" in caplog.text
    assert report.why == "end"


def test_what_a_handler_raises_in_the_shutdown_keeps_nobody_from_theirs(
    store, face, kind, caplog
):
    life = Lifecycle(store)
    noted = Noted(life, kind)
    noted.add("db")
    noted.add("bad", failing=["shutdown"])
    noted.add("agents")
    report = lived(life, face)
    assert noted.calls[3:] == ["agents shutdown", "bad shutdown", "db shutdown"]
    assert not report.orderly
    (bad,) = [step for step in report.steps if step.outcome == "failed"]
    assert (bad.module, bad.error) == ("bad", "ValueError: bad cannot shutdown")
    assert "'bad': its shutdown handler failed" in caplog.text


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt, StopIteration])
def test_a_handler_that_raises_what_ends_programs_has_failed(store, face, kind, raised):
    life = Lifecycle(store)

    def work():
        raise raised("3")

    life.module("odd", startup=handler(kind, work))
    with pytest.raises(StartFailed, match="'odd'"):
        lived(life, face)
    assert life.phase is Phase.ENDED


# Time.


def test_a_hanging_start_is_gone_past_and_named(store, face, kind, free):
    life = Lifecycle(store, seconds=60)

    async def forever():
        await asyncio.Event().wait()

    hangs = free.wait if kind == "plain" else forever
    life.module("slow", startup=hangs, seconds=0.05)
    with pytest.raises(StartFailed, match=r"'slow'.*not done after 0.05 s"):
        lived(life, face)


def test_a_hanging_shutdown_is_gone_past_and_named(store, face, kind, free, caplog):
    life = Lifecycle(store, seconds=0.05)
    noted = Noted(life)
    noted.add("db")

    async def forever():
        await asyncio.Event().wait()

    life.module("slow", shutdown=free.wait if kind == "plain" else forever)
    report = lived(life, face)
    assert noted.calls == ["db startup", "db shutdown"]
    assert going(report)[1] == "slow shutdown timed out"
    assert "'slow': its shutdown handler was not done after 0.05 s" in caplog.text
    assert not report.orderly


def test_a_coroutine_that_will_not_be_cancelled_is_gone_past(store, face):
    """But it has a moment to come to its end."""
    life = Lifecycle(store)
    over = []

    async def stubborn():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.sleep(0.01)
        over.append("cancelled")

    life.module("db", shutdown=lambda: over.append("db"))
    life.module("stubborn", shutdown=stubborn, seconds=0.05)
    assert going(lived(life, face))[0] == "stubborn shutdown timed out"
    assert over == ["cancelled", "db"]


def test_who_blocks_the_event_loop_is_named_in_the_log(
    store, free, caplog, monkeypatch
):
    monkeypatch.setattr("holdfast.runtime.lifecycle.acaller.GRACE_SECONDS", 0.01)
    life = Lifecycle(store)

    async def blocking():
        deadline = time.monotonic() + 10
        while "rude" not in caplog.text:  # which nothing can go past
            assert time.monotonic() < deadline
            free.wait(0.001)

    life.module("rude", shutdown=blocking, seconds=0.01)
    lived(life, "awaited")
    assert "'rude': its shutdown handler blocks the event loop" in caplog.text
    assert "free.wait(0.001)" in caplog.text


def test_a_coroutine_that_blocks_a_plain_lifes_loop_keeps_no_other_from_its_turn(
    store, free, caplog, monkeypatch
):
    monkeypatch.setattr("holdfast.runtime.lifecycle.caller.GRACE_SECONDS", 0.05)
    life = Lifecycle(store, seconds=30)
    noted = Noted(life, "awaited")
    noted.add("db")

    async def blocking():
        free.wait()

    life.module("rude", shutdown=blocking, seconds=0.05)
    report = lived(life, "plain")
    assert going(report)[1:] == ["rude shutdown timed out", "db shutdown"]
    assert "'rude': its shutdown handler blocks the event loop" in caplog.text
    assert "free.wait()" in caplog.text


def test_each_handler_has_a_time_of_its_own(store, face):
    life = Lifecycle(store, seconds=0.01)
    calls = []
    life.module("slow", seconds=30, startup=lambda: calls.append(time.sleep(0.05)))
    assert lived(life, face).begun == ("slow",)


# What modules enter.


@contextlib.contextmanager
def opened(calls, name, *, failing=False):
    calls.append(f"{name} opened")
    yield name
    calls.append(f"{name} closed")
    if failing:
        raise ValueError(name)


def test_what_was_entered_is_left_after_the_shutdown_handler_in_reverse(store, face):
    life = Lifecycle(store)
    calls = []

    def start(module):
        assert module.enter(opened(calls, "file")) == "file"
        module.enter(opened(calls, "socket", failing=True))

    life.module("io", startup=start, shutdown=lambda: calls.append("io down"))
    report = lived(life, face)
    assert calls == [
        *("file opened", "socket opened"),
        *("io down", "socket closed", "file closed"),
    ]
    steps = [(s.what, s.outcome) for s in report.steps if s.module == "io"]
    assert steps[1:] == [
        ("handler", "done"),
        ("_GeneratorContextManager", "failed"),
        ("_GeneratorContextManager", "done"),
    ]


def test_what_a_failing_start_had_entered_is_left(store, face):
    life = Lifecycle(store)
    calls = []

    def start(module):
        module.enter(opened(calls, "file"))
        raise ValueError

    life.module("io", startup=start)
    with pytest.raises(StartFailed):
        lived(life, face)
    assert calls == ["file opened", "file closed"]


def test_an_async_thing_is_entered_and_left_by_one_task(store, face):
    life = Lifecycle(store)
    tasks = []

    @contextlib.asynccontextmanager
    async def thing():
        tasks.append(asyncio.current_task())
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
            yield "thing"
        tasks.append(asyncio.current_task())

    async def start(module):
        return await module.aenter(thing())

    life.module("io", startup=start)
    report = lived(life, face)
    assert life["io"] == "thing"
    assert tasks[0] is tasks[1]
    assert report.orderly


def test_an_async_thing_that_cannot_be_entered_says_why(store, face):
    life = Lifecycle(store)

    @contextlib.asynccontextmanager
    async def thing():
        raise ValueError("no room")
        yield

    async def start(module):
        await module.aenter(thing())

    life.module("io", startup=start)
    with pytest.raises(StartFailed, match="ValueError: no room"):
        lived(life, face)


def test_an_async_thing_that_ends_by_itself_is_told_at_once(store, caplog):
    life = Lifecycle(store)

    @contextlib.asynccontextmanager
    async def thing():
        async with asyncio.TaskGroup() as group:

            async def dies():
                raise ValueError("died")

            group.create_task(dies())
            yield

    async def start(module):
        await module.aenter(thing())

    life.module("io", startup=start)

    async def live():
        async with life:
            await turned(lambda: "has ended by itself" in caplog.text)

    asyncio.run(live())
    assert not life.report().orderly


def test_what_is_entered_after_the_shutdown_is_left_at_once(store, face):
    life = Lifecycle(store)
    calls, held = [], []
    life.module("io", startup=held.append)
    lived(life, face)
    with pytest.raises(Refused, match="'io' was shut down"):
        held[0].enter(opened(calls, "file"))
    assert calls == []


def test_a_handler_that_was_gone_past_keeps_nothing_open(store, face, free):
    life = Lifecycle(store)
    calls, ended = [], threading.Event()

    @contextlib.contextmanager
    def slow():
        free.wait()
        yield
        calls.append("closed")

    def start(module):
        try:
            module.enter(slow())
        except Refused:
            ended.set()

    life.module("io", startup=start, seconds=0.05, optional=True)
    lived(life, face)
    free.set()
    assert ended.wait(10)
    assert calls == ["closed"]


# The store.


def test_an_open_store_is_left_open(store, face):
    lived(Lifecycle(store), face)
    store.sessions.create()


def test_a_store_that_the_life_opened_is_closed_last(tmp_path, face):
    path = tmp_path / "agent.db"
    opens = holdfast.aopen(path) if face == "awaited" else lambda: holdfast.open(path)
    life = Lifecycle(opens)
    seen = []

    def down():
        plain = getattr(life.store, "sync", life.store)
        seen.append(plain.sessions.create(id="last").id)

    life.module("db", shutdown=down)
    with pytest.raises(Refused, match="not open yet"):
        _ = life.store
    report = lived(life, face)
    assert seen == ["last"]
    assert report.steps[-1].module == "store"
    with pytest.raises(Closed):
        getattr(life.store, "sync", life.store).sessions.create()
    with holdfast.open(path) as again:
        assert again.sessions.get("last")


def test_a_store_that_cannot_be_opened_is_named(tmp_path, face):
    life = Lifecycle(lambda: holdfast.open(tmp_path / "no" / "where.db"))
    noted = Noted(life)
    noted.add("db")
    with pytest.raises(StartFailed, match=r"'store'.*opening it failed"):
        lived(life, face)
    assert noted.calls == []


def test_what_is_in_memory_comes_to_disk_at_the_end(tmp_path, face):
    path = tmp_path / "agent.db"
    with holdfast.open(path, limits=holdfast.Limits(state_seconds=60.0)) as store:
        life = Lifecycle(store)

        def work():
            store.state.set("jobs", "open", 3)
            store.owned_by("ada").state.set("jobs", "open", 4)
            store.events.emit("greeted", "hello")

        life.module("agent", shutdown=work)
        lived(life, face)
        with holdfast.open(path) as other:
            assert other.state.get("jobs", "open") == 3
            assert other.owned_by("ada").state.get("jobs", "open") == 4
            assert [e.data for e in other.events.query("greeted")] == ["hello"]


def test_how_it_stands_is_told_as_events(store, face):
    lived(Lifecycle(store), face)
    told = [(e.name, e.data) for e in store.events.recent("lifecycle:*")]
    assert told == [
        ("lifecycle:shutdown", {"why": "end"}),
        ("lifecycle:ready", {"modules": []}),
    ]


def test_it_lives_on_a_server(face):
    with empty_store() as url:
        life = Lifecycle(lambda: holdfast.open(url))
        noted = Noted(life)
        noted.add("db", ALL)
        assert lived(life, face).orderly
        assert len(noted.calls) == 5


def test_a_server_that_is_away_does_not_keep_modules_from_their_shutdown(monkeypatch):
    """Nor as long as a supervisor waits: a write would have patience for 30 s."""
    monkeypatch.setattr(store_steps, "AWAY_SECONDS", 0.1)
    with (
        Server() as server,
        contextlib.suppress(Unreachable),
        holdfast.open(server.url()) as store,
    ):
        life = Lifecycle(store, seconds=5)
        Noted(life).add("db")
        store.checkpoints.participant("queue", lambda: ["a"])
        store.state.set("jobs", "open", 3)
        began = time.monotonic()
        report = lived(life, "plain", server.kill)
        assert time.monotonic() - began < 20
    ends = [s for s in report.steps if s.phase == "shutdown" and s.outcome != "done"]
    assert [step.module for step in ends] == ["checkpoints", "state"]
    assert "cannot be reached" in ends[0].error
    assert going(report) == ["db startup", "db shutdown"]


# Checkpoints.


def participating(store, data):
    """A participant, and what it was given back."""
    given = []
    store.checkpoints.participant("queue", lambda: data[0], given.append)
    return given


def test_the_last_checkpoint_is_restored_once_after_ready(tmp_path, face):
    path = tmp_path / "agent.db"
    for data, wanted in ((["a"], []), (["b"], ["a"]), ([None], ["b"]), (["x"], [])):
        with holdfast.open(path) as store:
            life = Lifecycle(store)
            given = participating(store, data)
            seen = []
            life.module("agent", ready=lambda g=given, s=seen: s.append(list(g)))
            assert lived(life, face).orderly
            assert (seen, given) == ([[]], wanted)


def test_the_last_checkpoint_is_taken_before_modules_are_shut_down(tmp_path, face):
    """But for those that need `checkpoints`: they finish what they have first."""
    path = tmp_path / "agent.db"
    with holdfast.open(path) as store:
        data = {"early": ["a", "b"], "late": ["c"]}
        life = Lifecycle(store)
        leave = [
            store.checkpoints.participant(name, lambda n=name: data[n], print)
            for name in data
        ]
        late = store.owned_by("ada").checkpoints.participant("late", lambda: ["d"])

        def cleared():
            data["late"].clear()
            leave[1]()
            late()

        life.module("late", shutdown=cleared)
        life.module("early", shutdown=data["early"].pop, needs=("checkpoints",))
        assert lived(life, face).orderly
    with holdfast.open(path) as store:
        kept = store.checkpoints.latest()
        parts = {part.name: part.data for part in kept.parts}
        assert parts == {"early": ["a"], "late": ["c"]}
        assert kept.reason == "shutdown"
        hers = store.owned_by("ada").checkpoints.latest()
        assert [part.data for part in hers.parts] == [["d"]]


def test_a_start_that_failed_keeps_the_last_checkpoint_as_it_is(tmp_path, face):
    path = tmp_path / "agent.db"
    with holdfast.open(path) as store:
        participating(store, ["precious"])
        lived(Lifecycle(store), face)
    for _ in range(3):
        with holdfast.open(path) as store:
            life = Lifecycle(store)
            participating(store, ["fresh"])
            life.module("bad", startup=lambda: 1 / 0)
            with pytest.raises(StartFailed):
                lived(life, face)
    with holdfast.open(path) as store:
        life = Lifecycle(store)
        given = participating(store, [None])
        lived(life, face)
        assert given == ["precious"]


def test_participants_that_fail_are_named_in_the_report(tmp_path, face):
    path = tmp_path / "agent.db"

    def bad(*_):
        raise ValueError("broken")

    with holdfast.open(path) as store:
        life = Lifecycle(store)
        store.checkpoints.participant("good", lambda: [1], bad)
        store.checkpoints.participant("bad", bad)
        steps = [s for s in lived(life, face).steps if s.module == "checkpoints"]
        assert [step.outcome for step in steps] == ["done", "failed"]
        assert "not in the last checkpoint: 'bad': ValueError: broken" in steps[1].error
    with holdfast.open(path) as store:
        life = Lifecycle(store, checkpoints=True)
        store.checkpoints.participant("good", lambda: [1], bad)
        (restored, _) = [s for s in lived(life, face).steps if s.what != "flushing"]
        assert "'good': ValueError: broken" in restored.error


def test_without_checkpoints_none_is_restored_or_taken(tmp_path, face):
    path = tmp_path / "agent.db"
    with holdfast.open(path) as store:
        participating(store, ["a"])
        lived(Lifecycle(store, checkpoints=False), face)
        assert store.checkpoints.latest() is None


def test_a_read_only_store_is_lived_on_too(tmp_path, face):
    path = tmp_path / "agent.db"
    holdfast.open(path).close()
    with holdfast.open(path, read_only=True) as store:
        assert lived(Lifecycle(store), face).orderly


# What is refused.


def test_a_life_is_lived_once(store, face):
    life = Lifecycle(store)
    lived(life, face)
    with pytest.raises(Refused, match="has begun before"):
        lived(life, face)
    assert life.report().phase is Phase.ENDED


def test_modules_come_before_the_start(store):
    life = Lifecycle(store)
    with life, pytest.raises(Refused, match="'late' comes too late"):
        life.module("late")


def test_a_handler_cannot_close_its_own_life(store, face):
    life = Lifecycle(store)
    life.module("odd", ready=life.close if face == "plain" else life.aclose)
    with pytest.raises(StartFailed, match=r"use stop\(\)"):
        lived(life, face)


def test_a_plain_life_is_refused_where_an_event_loop_runs(store):
    async def live():
        with Lifecycle(store):
            raise AssertionError

    async def run():
        async def main():
            raise AssertionError

        Lifecycle(store).run(main)

    for refused in (live, run):
        with pytest.raises(Refused, match="async with"):
            asyncio.run(refused())


def generator(module):
    yield module


async def agenerator(module):
    yield module


@pytest.mark.parametrize(
    ("register", "error", "said"),
    [
        (lambda life: life.module("db"), AlreadyExists, "module 'db' is already"),
        (lambda life: life.on("core", "db")(print), AlreadyExists, "core handler of"),
        (lambda life: life.module("store"), Refused, "the lifecycle does itself"),
        (lambda life: life.module("a b"), InvalidId, "no short name"),
        (lambda life: life.on("core")(lambda: 1), InvalidId, "<lambda>"),
        (lambda life: life.on("ended"), WrongType, "none of: core, startup"),
        (lambda life: life.module("x", core=3), WrongType, "x.core: a function"),
        (lambda life: life.module("x", needs="db"), WrongType, "a list of names"),
        (lambda life: life.module("x", needs=[3]), WrongType, "text"),
        (lambda life: life.module("x", seconds=0), WrongType, "seconds"),
        (lambda life: life.module("x", optional=1), WrongType, "optional"),
        (lambda life: life.module("x", core=generator), WrongType, "context manager"),
        (lambda life: life.on("core", "x")(agenerator), WrongType, "context manager"),
        (lambda life: life.module("x", core=lambda a, b: 1), WrongType, "one argument"),
        (lambda life: life.module("x", core=lambda *, a: 1), WrongType, "one argument"),
        (lambda life: Lifecycle(3), WrongType, "a function that opens one"),
        (lambda life: Lifecycle(life.store, seconds="1"), WrongType, "seconds"),
        (lambda life: Lifecycle(life.store, dumps=3), WrongType, "a folder"),
        (lambda life: life.close(), Refused, "not started"),
        (lambda life: life.wait(), Refused, "not started"),
    ],
)
def test_what_cannot_be_is_refused_by_name(store, register, error, said):
    life = Lifecycle(store)
    life.module("db", core=lambda: None)
    with pytest.raises(error, match=said):
        register(life)
    assert lived(life, "plain").begun == ("db",)


def test_stores_that_no_program_lives_on_are_refused(store):
    store.sessions.create()
    with pytest.raises(Refused, match="as of a moment"):
        Lifecycle(store.as_of(store.moment()))
    with pytest.raises(StartFailed, match="a function that opens a store"):
        lived(Lifecycle(lambda: 3), "plain")
    store.close()
    with pytest.raises(Closed):
        Lifecycle(store)
