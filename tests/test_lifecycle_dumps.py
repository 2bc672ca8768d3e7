"""Emergency dumps: what is known is written beside the store in an emergency.

What is written has no secrets in it, and writing it does no harm.
"""

import asyncio
import gc
import json
import os
import signal
import stat
import sys
import threading
from pathlib import Path

import pytest

import holdfast
from holdfast.runtime.lifecycle import Lifecycle
from holdfast.runtime.lifecycle.dumps import KEPT
from living import FACES, Program, lived


@pytest.fixture
def store(tmp_path):
    with holdfast.open(tmp_path / "agent.db") as opened:
        yield opened


@pytest.fixture(params=FACES)
def face(request):
    return request.param


def dumps(folder: Path) -> list[dict]:
    """Every dump in a folder, oldest first."""
    return [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*-dump-*.json"))
    ]


def fails():
    raise ValueError("out of luck")


def test_an_error_that_ends_the_block_is_written_down_before_the_shutdown(
    tmp_path, store, face
):
    life = Lifecycle(store)
    held = ["a"]
    life.module("db", core=lambda: 1, shutdown=held.clear)
    life.module("cache", core=fails, optional=True)
    store.checkpoints.participant("queue", lambda: {"waiting": held})
    with pytest.raises(ValueError, match="out of luck"):
        lived(life, face, fails)
    (dump,) = dumps(tmp_path)
    assert dump["what"] == "an error ended the program's block"
    assert dump["error"] == "ValueError: out of luck"
    assert any("in fails" in line for line in dump["traceback"])
    assert dump["participants"] == {"queue": {"waiting": ["a"]}}
    assert (dump["phase"], dump["store"]) == ("ready", str(tmp_path / "agent.db"))
    assert [(m["name"], m["begun"]) for m in dump["modules"]] == [
        ("db", True),
        ("cache", False),
    ]
    assert "out of luck" in dump["modules"][1]["left_out"]
    assert dump["process"]["pid"] == os.getpid()
    assert any("MainThread" in name for name in dump["threads"])
    (path,) = life.report().dumps
    assert Path(path).parent == tmp_path
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_ends_programs_in_order_is_no_emergency(tmp_path, store, face, error):
    def ends():
        raise error

    with pytest.raises(error):
        lived(Lifecycle(store), face, ends)
    assert dumps(tmp_path) == []


def test_secrets_are_masked(tmp_path, store, monkeypatch):
    monkeypatch.setenv("MY_API_TOKEN", "hush-hush-hush")
    life = Lifecycle(store)
    store.checkpoints.participant(
        "queue", lambda: {"password": "pw-1234", "note": "at https://me:pw-5678@host/"}
    )

    def fails_with_it():
        raise ValueError("cannot log in with hush-hush-hush, api_key=pw-9999")

    with pytest.raises(ValueError, match="log in"):
        lived(life, "plain", fails_with_it)
    text = Path(life.report().dumps[0]).read_text(encoding="utf-8")
    for secret in ("hush-hush-hush", "pw-1234", "pw-5678", "pw-9999"):
        assert secret not in text
    (dump,) = dumps(tmp_path)
    assert dump["participants"]["queue"]["password"] == "***"


def test_what_stands_behind_a_secrets_option_is_masked(store, monkeypatch):
    words = ["agent.py", "--token", "hush hush", "--name", "ada", "--password=pw-1234"]
    monkeypatch.setattr(sys, "argv", words)
    dump = json.loads(Path(Lifecycle(store).dump()).read_text(encoding="utf-8"))
    shown = ["agent.py", "--token", "***", "--name", "ada", "--password=***"]
    assert dump["process"]["command"] == shown


def test_a_block_that_is_cancelled_amid_its_dump_is_shut_down_all_the_same(
    tmp_path, store
):
    life = Lifecycle(store)
    calls, asked, free = [], threading.Event(), threading.Event()

    def slow():
        asked.set()
        free.wait(10)

    async def live():
        async with life:
            fails()

    async def cancels():
        task = asyncio.create_task(live())
        await asyncio.to_thread(asked.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        free.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        return life.phase

    life.module("db", core=lambda: 1, shutdown=lambda: calls.append("down"))
    store.checkpoints.participant("slow", slow)
    assert asyncio.run(cancels()) == "ended"
    assert calls == ["down"]
    assert len(dumps(tmp_path)) == 1


def test_participants_that_fail_or_hang_keep_nothing_from_being_written(
    tmp_path, store
):
    free = threading.Event()
    life = Lifecycle(store)
    store.checkpoints.participant("bad", fails)
    store.checkpoints.participant("slow", free.wait, seconds=0.05)
    store.checkpoints.participant("good", lambda: [1])
    path = life.dump("looking")
    free.set()
    (dump,) = dumps(tmp_path)
    assert (dump["what"], dump["error"]) == ("looking", None)
    assert dump["participants"]["good"] == [1]
    assert "out of luck" in dump["participants"]["bad"]
    assert "0.05 s" in dump["participants"]["slow"]
    assert life.report().dumps == (path,)


def test_an_error_on_a_thread_is_written_down_and_the_life_goes_on(tmp_path, store):
    life = Lifecycle(store)
    told = []
    before, threading.excepthook = threading.excepthook, told.append
    try:
        with life:
            thread = threading.Thread(target=fails, name="helper")
            thread.start()
            thread.join()
            assert not life.stopping
        assert threading.excepthook == told.append
    finally:
        threading.excepthook = before
    (dump,) = dumps(tmp_path)
    assert dump["what"] == "an error that nobody caught on thread 'helper'"
    assert len(told) == 1


def test_an_error_on_the_event_loop_is_written_down_and_the_life_goes_on(
    tmp_path, store
):
    told = []

    async def live():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, said: told.append(said["message"]))
        async with Lifecycle(store) as life:

            async def dies():
                fails()

            task = asyncio.create_task(dies())
            await asyncio.sleep(0)
            del task
            gc.collect()
            await asyncio.to_thread(_ended, "holdfast-dump")
            assert not life.stopping

    asyncio.run(live())
    (dump,) = dumps(tmp_path)
    assert dump["what"].startswith("on the event loop: Task exception")
    assert told == [dump["what"].partition(": ")[2]]


def _ended(name: str) -> None:
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(10)


def test_one_life_writes_few_and_one_store_keeps_few(tmp_path, store, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda told: None)
    for _ in range(3):
        life = Lifecycle(store)
        for _ in range(3):
            Path(life.dump()).unlink()  # what is asked for is not one of the five
        with life:
            for _ in range(7):
                thread = threading.Thread(target=lambda: os.kill)
                threading.excepthook(
                    threading.ExceptHookArgs([ValueError, ValueError(), None, thread])
                )
        assert len(life.report().dumps) == 3 + 5
    assert len(dumps(tmp_path)) == KEPT


def test_a_file_that_only_has_a_name_like_a_dumps_is_left_alone(tmp_path, store):
    mine = tmp_path / "agent.db-dump-2020-my-own.json"
    mine.touch()
    life = Lifecycle(store)
    made = [life.dump() for _ in range(KEPT + 2)]
    there = sorted(str(path) for path in tmp_path.glob("*-dump-*"))
    assert there == sorted([str(mine), *made[2:]])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_none_is_written_where_none_is_wanted_and_elsewhere_if_said(tmp_path, store):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(ValueError, match="luck"):
        lived(Lifecycle(store, dumps=False), "plain", fails)
    with pytest.raises(ValueError, match="luck"):
        lived(Lifecycle(store, dumps=elsewhere), "plain", fails)
    assert dumps(tmp_path) == []
    assert len(dumps(elsewhere)) == 1


def test_a_dump_that_cannot_be_written_is_told_and_harms_nothing(store, caplog):
    life = Lifecycle(store, dumps="/nowhere/at/all")
    calls = []
    life.module("db", shutdown=lambda: calls.append("down"))
    with pytest.raises(ValueError, match="luck"):
        lived(life, "plain", fails)
    assert calls == ["down"]
    assert life.report().dumps == ()
    assert "no emergency dump could be written: /nowhere" in caplog.text


def test_a_store_in_memory_has_its_dumps_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with holdfast.open(":memory:") as store:
        life = Lifecycle(store)
        path = life.dump()
    assert Path(path).name.startswith("holdfast-dump-")
    assert len(dumps(tmp_path)) == 1


def test_an_error_without_a_block_is_written_down_before_the_exit(tmp_path):
    text = """
store = holdfast.open(sys.argv[1])
life = Lifecycle(store)
life.module("db", shutdown=lambda: say("db down"))
life.start()
raise ValueError("out of luck")
"""
    running = Program(text, tmp_path, fresh=True)
    assert running.end() == 1
    assert "ValueError: out of luck" in running.errors
    assert running.said == ["db down"]
    (dump,) = dumps(tmp_path)
    assert dump["what"] == "an error that nobody caught"


def test_a_report_of_a_crash_that_cannot_be_written_or_is_gone_harms_nothing(tmp_path):
    text = """
import faulthandler, glob
faulthandler.disable()
store = holdfast.open(sys.argv[1])
for folder in sys.argv[2:]:
    life = Lifecycle(store, faults=True, dumps=folder)
    with life:
        for path in glob.glob(f"{folder}/*-fault-*"):
            os.unlink(path)
            say("cleared away")
    say(life.phase, signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""
    running = Program(text, tmp_path, str(tmp_path), "/nowhere/at/all")
    assert running.end() == 0, running.errors
    assert running.said == ["cleared away", "ended True", "ended True"]
    assert "a crash of the interpreter would be reported nowhere" in running.errors


def test_a_crash_of_the_interpreter_leaves_where_it_stood(tmp_path):
    text = """
import faulthandler
store = holdfast.open(sys.argv[1])
with Lifecycle(store, faults=True):
    if sys.argv[2] == "crash":
        faulthandler._sigsegv()
"""
    whole = Program(text, tmp_path, "well", fresh=True)
    assert whole.end() == 0, whole.errors
    assert list(tmp_path.glob("agent.db-fault-*")) == []
    running = Program(text, tmp_path, "crash", fresh=True)
    assert running.end() == -signal.SIGSEGV
    (path,) = tmp_path.glob("agent.db-fault-*.txt")
    assert "program.py" in path.read_text(encoding="utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
