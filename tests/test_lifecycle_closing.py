"""Starting and closing by hand: also amid each other, and where nothing waits for it.

How it ends by signals, at exits and with an event loop is in `test_lifecycle_ends.py`.
"""

import asyncio
import os
import signal
import threading
import time

import pytest

import holdfast
from holdfast.errors import Refused, StartFailed
from holdfast.runtime.lifecycle import Lifecycle, Phase
from living import FACES, Noted, going, lived, turned

ALL = ("core", "startup", "context", "ready", "shutdown")


@pytest.fixture
def store():
    with holdfast.open(":memory:") as opened:
        yield opened


@pytest.fixture(params=FACES)
def face(request):
    return request.param


# By hand.


def test_start_and_close_by_hand(store):
    life = Lifecycle(store)
    noted = Noted(life)
    noted.add("db")
    life.start()
    assert life.phase is Phase.READY
    report = life.close()
    assert report == life.close()
    assert (report.phase, report.why) == (Phase.ENDED, "end")
    assert noted.calls == ["db startup", "db shutdown"]


def test_start_and_close_by_hand_awaited(store):
    life = Lifecycle(store)
    noted = Noted(life)
    noted.add("db")

    async def live():
        await life.astart()
        assert life.phase is Phase.READY
        report = await life.aclose()
        assert report == await life.aclose()
        return report

    report = asyncio.run(live())
    assert (report.phase, report.why) == (Phase.ENDED, "end")
    assert noted.calls == ["db startup", "db shutdown"]


def test_a_block_that_is_cancelled_is_shut_down_to_the_end(store):
    life = Lifecycle(store)
    calls = []

    async def down():
        for _ in range(10):
            await asyncio.sleep(0)
        calls.append("down")

    life.module("db", shutdown=down)

    async def live():
        async with life:
            await asyncio.Event().wait()

    async def cancels():
        task = asyncio.create_task(live())
        await turned(lambda: life.phase is Phase.READY)
        task.cancel()
        await turned(lambda: life.phase is Phase.SHUTDOWN)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancels())
    assert calls == ["down"]
    assert life.report().orderly


def test_a_start_that_is_cancelled_shuts_down_what_was_up(store):
    life = Lifecycle(store)
    noted = Noted(life)
    noted.add("db")
    begun = []

    async def hangs():
        begun.append(1)
        await asyncio.Event().wait()

    life.module("slow", startup=hangs)

    async def cancels():
        task = asyncio.create_task(life.astart())
        await turned(lambda: begun)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancels())
    assert noted.calls == ["db startup", "db shutdown"]
    assert life.report().why == "start"


@pytest.mark.parametrize("fails", [False, True])
def test_a_start_that_is_cancelled_amid_a_plain_handler_shuts_that_down_too(
    store, fails
):
    """Nobody else would: it goes on to its end."""
    life = Lifecycle(store)
    noted = Noted(life)
    begun, go = threading.Event(), threading.Event()

    def slow():
        begun.set()
        go.wait(10)
        if fails:
            raise ValueError("slow")
        noted.calls.append("slow up")

    life.module("slow", startup=slow, shutdown=lambda: noted.calls.append("slow down"))
    noted.add("late")

    async def cancels():
        task = asyncio.create_task(life.astart())
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancels())
    assert noted.calls == ([] if fails else ["slow up", "slow down"])
    assert (life.phase, life.report().why) == (Phase.ENDED, "start")


def test_a_shutdown_goes_on_where_the_event_loop_ends_amid_it(store):
    life = Lifecycle(store)
    noted = Noted(life, "awaited")
    noted.add("db")
    amid = []

    async def long():
        amid.append(1)
        await asyncio.Event().wait()

    life.module("long", shutdown=long, seconds=60)

    async def main():
        await life.astart()
        closing = asyncio.create_task(life.aclose())
        await turned(lambda: amid)
        return closing  # and the loop ends, and cancels it

    asyncio.run(main())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert noted.calls == ["db startup", "db shutdown"]
    assert going(life.report())[1:] == ["long shutdown cut off", "db shutdown"]


def test_stop_from_another_thread_ends_the_wait(store, face):
    life = Lifecycle(store)
    life.module("timer", ready=lambda: threading.Timer(0.01, life.stop).start())
    if face == "plain":
        assert life.run() is None
    else:

        async def main():
            await life.await_stop()

        life.run(main)
    assert life.report().why == "stop"
    assert life.stopping


def test_every_thread_that_waits_is_woken(store):
    life = Lifecycle(store)
    with life:
        waiting = [threading.Thread(target=life.wait) for _ in range(5)]
        for thread in waiting:
            thread.start()
        life.stop()
        for thread in waiting:
            thread.join(10)
            assert not thread.is_alive()


def test_stop_in_a_start_goes_no_further(store, face):
    life = Lifecycle(store)
    noted = Noted(life)
    noted.add("db", ALL)
    life.module("stops", startup=life.stop)
    with pytest.raises(StartFailed, match=r"not started: it was to end \(stop\)"):
        lived(life, face)
    assert noted.calls == ["db core", "db startup", "db shutdown"]


def test_run_gives_what_its_function_gives(store):
    assert Lifecycle(store).run(lambda: 5) == 5
    assert Lifecycle(store).run(lambda life: life.phase) is Phase.READY

    async def main(life):
        return life.phase

    assert Lifecycle(store).run(main) is Phase.READY


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_what_a_block_raises_is_raised_once_all_is_shut_down(store, face, error):
    life = Lifecycle(store, dumps=False)
    noted = Noted(life)
    noted.add("db")

    def block():
        raise error("mine")

    with pytest.raises(error, match="mine"):
        lived(life, face, block)
    assert noted.calls == ["db startup", "db shutdown"]
    wanted = {ValueError: "error", SystemExit: "end", KeyboardInterrupt: "SIGINT"}
    assert life.report().why == wanted[error]


def test_on_another_thread_signals_are_left_alone(store):
    life = Lifecycle(store)
    seen = []

    def live():
        with life:
            seen.append([signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)])

    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    thread = threading.Thread(target=live)
    thread.start()
    thread.join(10)
    assert seen == [before]
    assert life.report().orderly


# Amid each other.


def started(life, raised):
    try:
        life.start()
    except StartFailed as error:
        raised.append(str(error))


def test_a_close_amid_the_start_starts_nothing_more_and_waits(store):
    life = Lifecycle(store)
    go, raised, phases = threading.Event(), [], []
    life.module("slow", core=lambda: phases.append(go.wait(10) and life.phase))
    noted = Noted(life)
    noted.add("late", ALL)
    starting = threading.Thread(target=started, args=[life, raised])
    starting.start()
    while life.phase is not Phase.CORE:
        time.sleep(0.001)
    reports = []
    closing = threading.Thread(target=lambda: reports.append(life.close()))
    closing.start()
    while not life.stopping:
        time.sleep(0.001)
    closing.join(0.1)
    assert closing.is_alive()
    go.set()
    closing.join(10)
    starting.join(10)
    assert (noted.calls, phases) == ([], [Phase.CORE])
    assert [(r.phase, r.why) for r in reports] == [(Phase.ENDED, "stop")]
    assert "it was to end (stop)" in raised[0]


def test_a_close_amid_the_start_starts_nothing_more_and_waits_awaited(store):
    life = Lifecycle(store)
    noted = Noted(life)

    async def live():
        go = asyncio.Event()
        life.module("slow", core=go.wait)
        noted.add("late", ALL)
        starting = asyncio.create_task(life.astart())
        await turned(lambda: life.phase is Phase.CORE)
        closing = asyncio.create_task(life.aclose())
        await turned(lambda: life.stopping)
        go.set()
        with pytest.raises(StartFailed, match=r"to end \(stop\)"):
            await starting
        return await closing

    report = asyncio.run(live())
    assert noted.calls == []
    assert (report.phase, report.why) == (Phase.ENDED, "stop")
    assert life.phase is Phase.ENDED


@pytest.mark.parametrize("phase", ["startup", "shutdown"])
def test_a_close_in_a_signals_handler_amid_it_waits_for_nothing(store, phase):
    """Which would never come: who was interrupted does it."""
    life = Lifecycle(store)
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(life.close().phase))

    def interrupts():
        os.kill(os.getpid(), signal.SIGUSR1)
        deadline = time.monotonic() + 10
        while not seen:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    life.module("odd", **{phase: interrupts})
    try:
        if phase == "startup":
            with pytest.raises(StartFailed, match="to end"):
                lived(life, "plain")
        else:
            lived(life, "plain")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == [phase]
    assert life.report().orderly


def test_another_event_loop_closes_it_only_where_its_own_is_gone(store):
    life = Lifecycle(store)
    noted = Noted(life, "awaited")
    noted.add("db")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(life.astart())
    with pytest.raises(Refused, match="on another event loop"):
        asyncio.run(life.aclose())
    assert noted.calls == ["db startup"]
    guard = asyncio.all_tasks(loop)
    loop.close()
    for _ in range(2):
        report = asyncio.run(life.aclose())
        assert report.orderly
        assert noted.calls == ["db startup", "db shutdown"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    del guard


def test_a_life_that_ended_on_another_thread_has_no_part_in_the_next_ones_signals(
    store,
):
    """Only the main thread can give signals back."""
    first = Lifecycle(store)
    first.start()
    closing = threading.Thread(target=first.close)
    closing.start()
    closing.join(10)
    second = Lifecycle(store)
    with pytest.raises(KeyboardInterrupt), second:
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert second.report().why == "SIGINT"


# Where the interpreter exits.


def test_where_no_thread_can_begin_any_more_all_are_shut_down(store, monkeypatch):
    """As at the very end of a process, in Python 3.12: one that hangs is gone past."""
    life = Lifecycle(store, seconds=0.05)
    free, threads = threading.Event(), []
    noted = Noted(life, "awaited")

    def start(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    life.module("last", shutdown=lambda: threads.append(threading.current_thread()))
    life.module("hangs", shutdown=free.wait)
    noted.add("db", ["shutdown"])
    life.module("slow", shutdown=lambda: asyncio.sleep(60))
    life.module("first", shutdown=lambda: threads.append(threading.current_thread()))
    life.start()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        life.close()
    free.set()
    assert going(life.report()) == [
        "first shutdown",
        "slow shutdown timed out",
        "db shutdown",
        "hangs shutdown timed out",
        "last shutdown",
    ]
    assert threads[0] is not threads[1] is threading.main_thread()
    threads[0].join(10)
    assert not threads[0].is_alive()
