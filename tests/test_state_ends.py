"""How it ends for sections: exit, close, SIGTERM, a fork, a store that is forgotten."""

import gc
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import weakref

import apsw
import psutil
import pytest

import holdfast
from broken_disk import BrokenDisk
from conftest import place_on
from holdfast.errors import Closed, Held, StorageFull
from holdfast.runtime.state import last_words
from killing import Worker
from postgres import until

on_both = pytest.mark.parametrize("engine", ["file", "postgres"])
CALM = holdfast.Limits(state_seconds=3_600)
AT_ONCE = holdfast.Limits(state_seconds=0.02)


def kept(target, section="jobs"):
    with holdfast.open(target) as store:
        assert store.check().problems == ()
        return store.state.as_dict(section)


# Signals, and an exit.


SETS = """
    import os, signal, sys, threading, time
    import holdfast

    path, how = sys.argv[1:]
    limits = holdfast.Limits(state_seconds=3_600)

    def earlier(number, frame):
        print("earlier", number, flush=True)
        sys.exit(7)

    if how == "chained":
        signal.signal(signal.SIGTERM, earlier)
    store = holdfast.open(path, limits=limits)
    jobs = store.state.section("jobs")

    def sets():
        jobs.set("a", 1)

    if how == "nobody waits":
        thread = threading.Thread(target=sets)
        thread.start()
        thread.join()
    else:
        sets()
    if how == "forked":
        if (child := os.fork()) == 0:
            print("ready", flush=True)
            time.sleep(60)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGTERM, status
        print(jobs.is_dirty, flush=True)
        os._exit(5)
    if how == "amid":
        with store.transaction(timeout_seconds=60) as tx:
            tx.tasks.create("something")
            print("ready", flush=True)
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                pass
        threading.Event().wait()
    print("ready", flush=True)
    if how == "ends":
        sys.exit()
    if how == "raises":
        raise ZeroDivisionError
    if how == "nobody waits":
        threading.Thread(target=threading.Event().wait).start()
    else:
        threading.Event().wait()
"""


def program(path, how, text=SETS):
    """A program that sets something, and is at work then."""
    made = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text), path, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert made.stdout.readline() == "ready\n", made.stderr.read()
    return made


def ended(made):
    said, wrong = made.communicate(timeout=60)
    return made.returncode, said, wrong


@pytest.mark.parametrize("how", ["main", "nobody waits", "amid"])
def test_sigterm_saves_and_ends_the_process_as_it_would_have(path, how):
    made = program(path, how)
    made.send_signal(signal.SIGTERM)
    assert ended(made)[0] == -signal.SIGTERM
    assert kept(path) == {"a": 1}


def test_who_handled_sigterm_before_is_called_when_all_is_saved(path):
    made = program(path, "chained")
    made.send_signal(signal.SIGTERM)
    assert ended(made)[:2] == (7, f"earlier {signal.SIGTERM:d}\n")
    assert kept(path) == {"a": 1}


def test_a_child_that_was_forked_ends_by_sigterm_and_saves_nothing(path):
    made = program(path, "forked")
    (child,) = children(made.pid)
    os.kill(child, signal.SIGTERM)
    assert ended(made)[:2] == (5, "True\n")
    assert kept(path) == {}


def children(pid):
    return [one.pid for one in psutil.Process(pid).children()]


@pytest.mark.parametrize(("how", "code"), [("ends", 0), ("raises", 1)])
def test_an_exit_without_a_close_saves(path, how, code):
    assert ended(program(path, how))[0] == code
    assert kept(path) == {"a": 1}


LOOP = """
    import asyncio, signal, sys
    import holdfast

    path, how = sys.argv[1:]
    told = []

    async def main():
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        handle = lambda: (told.append("told"), loop.call_later(0.2, stop.set))
        if how == "before":
            loop.add_signal_handler(signal.SIGTERM, handle)
        limits = holdfast.Limits(state_seconds=3_600)
        store = await holdfast.aopen(path, limits=limits)
        if how == "after":
            loop.add_signal_handler(signal.SIGTERM, handle)
        await store.state.set("jobs", "a", 1)
        print("ready", flush=True)
        await stop.wait()

    asyncio.run(main())
    print(told)
"""


@pytest.mark.parametrize("how", ["before", "after"])
def test_an_event_loop_is_told_of_sigterm_once(path, how):
    made = program(path, how, LOOP)
    made.send_signal(signal.SIGTERM)
    assert ended(made)[:2] == (0, "['told']\n")
    assert kept(path) == {"a": 1}


HANGS = """
    import signal, sys, threading
    import holdfast
    from holdfast.runtime.state import last_words
    from holdfast.runtime.state.saving import Saver

    def say(self):
        print("saving", flush=True)
        threading.Event().wait()

    path, seconds = sys.argv[1:]
    last_words._SECONDS, Saver.say = float(seconds), say
    store = holdfast.open(path, limits=holdfast.Limits(state_seconds=3_600))
    store.state.set("jobs", "a", 1)
    print("ready", flush=True)
    threading.Event().wait()
"""


def test_a_second_sigterm_waits_for_nothing(path):
    made = program(path, "3600", HANGS)
    made.send_signal(signal.SIGTERM)
    assert made.stdout.readline() == "saving\n"
    made.send_signal(signal.SIGTERM)
    assert ended(made)[0] == -signal.SIGTERM


def test_sigterm_waits_only_so_long_for_what_cannot_be_saved(path):
    made = program(path, "0.2", HANGS)
    made.send_signal(signal.SIGTERM)
    assert ended(made)[0] == -signal.SIGTERM


@pytest.fixture
def sigterm():
    """Who handles SIGTERM: nobody, as in a program that has just begun."""
    there = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    before, warned = last_words._before, last_words._warned
    last_words._before, last_words._warned = [signal.SIG_DFL], False
    yield lambda: signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, there)
    last_words._before, last_words._warned = before, warned


@pytest.mark.parametrize("how", ["in hand", "set", "read"])
def test_who_uses_sections_on_the_main_thread_has_a_handler(path, how, sigterm):
    with holdfast.open(path) as store:
        store.tasks.create("something")
        assert sigterm() is signal.SIG_DFL
        {
            "in hand": lambda: store.state.section("jobs"),
            "set": lambda: store.state.set("jobs", "a", 1),
            "read": lambda: store.state.get("jobs", "a"),
        }[how]()
        assert sigterm() is last_words.on_sigterm


def test_who_changes_no_section_has_no_handler(path, sigterm):
    holdfast.open(path).close()
    with holdfast.open(path, read_only=True) as store:
        assert store.state.section("jobs").get("a") is None
    with holdfast.open(path) as store:
        assert store.as_of(0).state.section("jobs").get("a") is None
    assert sigterm() is signal.SIG_DFL


def test_who_ignores_sigterm_goes_on_ignoring_it(path, sigterm):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with holdfast.open(path) as store:
        store.state.section("jobs").set("a", 1)
        assert sigterm() is signal.SIG_IGN


def test_that_other_threads_can_have_no_handler_is_said_once(path, sigterm, caplog):
    with holdfast.open(path, limits=CALM) as store:
        for number in range(2):
            set_on_a_thread(store, number)
        assert sigterm() is signal.SIG_DFL
        (said,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
        assert "call store.state.section(...) there once" in said
        store.state.section("jobs")
        assert sigterm() is last_words.on_sigterm


def test_threads_of_who_handles_sigterm_are_told_nothing(path, sigterm, caplog):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    with holdfast.open(path, limits=CALM) as store:
        set_on_a_thread(store, 1)
    assert not [r for r in caplog.records if r.levelname == "WARNING"]


def set_on_a_thread(store, value):
    def sets():
        store.state.set("jobs", "a", value)
        store.state.flush()

    thread = threading.Thread(target=sets)
    thread.start()
    thread.join()


IN_BETWEEN = """
    import signal, sys, threading
    import holdfast

    path, how = sys.argv[1:]
    store = holdfast.open(path, limits=holdfast.Limits(state_seconds=3_600))
    store.state.set("jobs", "a", 0)
    store.state.flush()
    before = signal.getsignal(signal.SIGTERM)
    calls = []

    def mine(number, frame):
        calls.append(store.state.is_dirty())
        print("mine", calls, flush=True)
        if how == "second" and len(calls) == 1:
            print("waits", flush=True)
            threading.Event().wait(60)
        before(number, frame)

    signal.signal(signal.SIGTERM, mine)
    store.state.section("jobs").set("a", 1)
    print("ready", flush=True)
    threading.Event().wait()
"""


def test_a_handler_in_between_passes_the_signal_on_to_who_came_before_it(path):
    """Sections come in front of it again: it calls them, and is not called by that."""
    made = program(path, "once", IN_BETWEEN)
    made.send_signal(signal.SIGTERM)
    assert ended(made)[:2] == (-signal.SIGTERM, "mine [False]\n")
    assert kept(path) == {"a": 1}


def test_a_second_sigterm_amid_such_a_handler_begins_with_it_again(path):
    made = program(path, "second", IN_BETWEEN)
    made.send_signal(signal.SIGTERM)
    assert [made.stdout.readline() for _ in range(2)] == ["mine [False]\n", "waits\n"]
    made.send_signal(signal.SIGTERM)
    assert ended(made)[:2] == (-signal.SIGTERM, "mine [False, False]\n")


def test_handlers_that_come_and_go_leave_no_trace(sigterm):
    """A program may install two in turn for as long as it runs."""

    def one(*_):
        """Handle nothing."""

    def two(*_):
        """Handle nothing."""

    for handler in [one, two] * 10:
        last_words.listen()
        signal.signal(signal.SIGTERM, handler)
        last_words.listen()
    assert last_words._before == [signal.SIG_DFL, one, two]
    signal.signal(signal.SIGTERM, one)
    last_words.listen()
    assert last_words._before == [signal.SIG_DFL, one]
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    last_words.listen()
    assert last_words._before == [signal.SIG_DFL]
    assert sigterm() is last_words.on_sigterm


# Closing.


def test_a_close_that_cannot_save_says_what_is_lost(path, caplog):
    store = holdfast.open(path, limits=CALM)
    store.state.update("jobs", {"a": 1, "b": 2})
    store.state.flush()
    store.leases.acquire("state", "jobs", holder="other", seconds=60)
    store.state.update("jobs", {"a": 2, "b": 3})
    store.state.set("else", "c", 3)
    with (
        caplog.at_level(logging.ERROR, "holdfast.state"),
        pytest.raises(Held, match="leased to another holder") as raised,
    ):
        store.close()
    (said,) = [r.getMessage() for r in caplog.records if r.name == "holdfast.state"]
    assert said == str(raised.value)
    lost = "was closed, and the newest changes of 2 keys are lost (section 'jobs'): "
    assert said.startswith(f"{path} {lost}")
    store.close()
    with pytest.raises(Closed):
        store.state.get("jobs", "a")
    assert kept(path) == {"a": 1, "b": 2}
    assert kept(path, "else") == {"c": 3}
    with holdfast.open(path) as again:
        assert len(again.events.query("state:save-error")) == 1


def test_what_else_is_done_at_a_close_is_done_all_the_same(path):
    store = holdfast.open(path, limits=CALM)
    store.state.set("jobs", "a", 1)
    store.state.flush()
    store.leases.acquire("state", "jobs", holder="other", seconds=60)
    store.state.set("jobs", "a", 2)
    done = []
    store._core.events.endings.append(lambda: done.append("after"))
    with pytest.raises(Held):
        store.close()
    assert done == ["after"]


def test_what_has_no_room_at_the_close_raises_and_all_is_let_go_of(path):
    disk = BrokenDisk()
    store = holdfast.open(disk.target(path), limits=CALM)
    store.state.set("jobs", "a", 1)
    store.state.flush()
    for number in range(7):
        store.state.set(f"s{number}", "a", 2)
    disk.break_at(1, "write", apsw.SQLITE_FULL, for_good=True)
    with pytest.raises(StorageFull, match=r"7 keys .*'s4' and 2 more\).* disk is full"):
        store.close()
    disk.mend()
    disk.close()
    assert kept(path) == {"a": 1}


@pytest.mark.parametrize("what", ["write", "sync"])
def test_a_close_with_nothing_to_save_needs_no_room(path, what):
    """SQLite would still move the log into the file then."""
    disk = BrokenDisk()
    store = holdfast.open(disk.target(path), limits=CALM)
    store.state.set("jobs", "a", 1)
    store.state.flush()
    disk.break_at(1, what, apsw.SQLITE_FULL, for_good=True)
    store.close()
    disk.mend()
    disk.close()
    assert kept(path) == {"a": 1}


TWO = """
    import sys, threading
    import holdfast

    path, how = sys.argv[1:]
    limits = holdfast.Limits(state_seconds=3_600)
    stores = [holdfast.open(f"{path}{number}", limits=limits) for number in range(4)]
    for store in stores:
        store.state.set("jobs", "a", 1)
        store.state.flush()
        store.state.set("jobs", "a", 2)
    for store in stores[::2]:
        store.leases.acquire("state", "jobs", holder="other", seconds=60)
    print("ready", flush=True)
"""


def test_an_exit_that_cannot_save_one_store_saves_the_others(path):
    _, _, wrong = ended(program(path, "", TWO))
    assert "newest changes of 1 key are lost (section 'jobs')" in wrong
    assert [kept(f"{path}{number}")["a"] for number in range(4)] == [1, 2, 1, 2]


@pytest.mark.parametrize("place", ["made", "there", ":memory:"])
def test_a_store_that_is_forgotten_is_saved_and_let_go_of(path, place):
    target = path if place != ":memory:" else place
    if place == "there":
        holdfast.open(path).close()

    def forgotten():
        store = holdfast.open(target, limits=AT_ONCE)
        store.state.set("jobs", "a", 1)
        return weakref.ref(store._core.engine)

    found = forgotten()

    def is_gone():
        gc.collect()
        return found() is None

    until(is_gone)
    if place != ":memory:":
        assert kept(path) == {"a": 1}


@on_both
def test_a_close_while_many_change_keeps_all_that_was_taken_in(tmp_path, engine):
    def sets(store, mine, nth):
        try:
            for number in range(1_000_000):
                store.state.set("jobs", f"t{nth}", number)
                mine.append(number)
        except Closed:
            return

    with place_on(engine, tmp_path) as target:
        store = holdfast.open(target, limits=AT_ONCE)
        taken = [[-1] for _ in range(4)]
        threads = [
            threading.Thread(target=sets, args=(store, mine, nth))
            for nth, mine in enumerate(taken)
        ]
        for thread in threads:
            thread.start()
        until(lambda: all(len(mine) > 20 for mine in taken))
        store.close()
        for thread in threads:
            thread.join()
        assert kept(target) == {f"t{n}": mine[-1] for n, mine in enumerate(taken)}


def test_a_forked_child_saves_nothing_of_its_parents(path):
    store = holdfast.open(path, limits=CALM)
    store.state.set("jobs", "a", 1)

    def uses(say):
        for act in (
            lambda: store.state.set("jobs", "b", 1),
            lambda: store.state.get("jobs", "a"),
            store.state.flush,
        ):
            try:
                act()
            except Closed as error:
                say(str(error)[-60:])

    lines = Worker(uses).finish()
    assert len(lines) == 3
    assert store.state.get("jobs", "a") == 1
    store.close()
    assert kept(path) == {"a": 1}
