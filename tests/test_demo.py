"""The demonstration: what it promises, and that its count can find every fault."""

import contextlib
import json
import os
import random
import shlex
import sqlite3
import subprocess
import tempfile

import msgspec
import pytest

import holdfast
from holdfast.demo import crew, reading, run_demo
from holdfast.demo.agent import WAYS
from holdfast.demo.keeping import TakenAway
from holdfast.demo.ledger import Ledger, Tally
from holdfast.demo.load import Load, Step, Talk
from holdfast.demo.reading import from_file, shipped
from holdfast.demo.with_holdfast import HeldTask, WithHoldfast
from holdfast.errors import BadInput, CannotOpen

TALKS = [
    Talk(f"conversation-{n}", f"Talk {n}", [Step("user", f"{n}.{k}") for k in range(4)])
    for n in (1, 2)
]
LOAD = Load("made up", TALKS)
CLEAN = Tally(
    expected=8,
    acknowledged=8,
    found=8,
    lost=0,
    doubled=0,
    half_done=0,
    out_of_place=0,
    unfinished=0,
)


@pytest.fixture
def started(monkeypatch):
    """The ids of all processes that a crew starts."""
    pids = []
    start = crew.Agent.__init__

    def remember(self, *args):
        start(self, *args)
        pids.append(self._process.pid)

    monkeypatch.setattr(crew.Agent, "__init__", remember)
    return pids


def assert_gone(pids):
    """Neither running, nor dead and not waited for."""
    assert pids
    for pid in pids:
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


# ── the run ──────────────────────────────────────────────────────────────────────


def test_no_acknowledged_step_is_lost_to_kills(tmp_path, capsys, monkeypatch, started):
    monkeypatch.setattr(reading, "ENOUGH_STEPS", 1_500)
    store = tmp_path / "kept.db"
    assert run_demo(agents=3, kills=4, keep=store) == 0

    load = shipped()
    for talk, there in zip(load.talks, WithHoldfast().read(store, load), strict=True):
        assert [kept.step for kept in there.kept] == talk.steps
        assert [kept.place for kept in there.kept] == list(range(len(talk.steps)))
        assert there.done == len(talk.steps)
        assert there.finished
    assert_gone(started)
    assert len(started) == 2 * (3 + 4)
    said = capsys.readouterr().out
    assert "holdfast: every message is there once" in said
    (look,) = (line for line in said.splitlines() if f" sessions {store}" in line)
    shown = subprocess.run(
        shlex.split(look), capture_output=True, text=True, check=True
    )
    assert "conversation-" in shown.stdout
    assert (tmp_path / "kept-plain-sqlite3.db").exists()


def test_a_small_file_is_stretched_so_that_every_kill_hits_an_agent_at_work(
    tmp_path, capsys, started
):
    file = tmp_path / "small.json"
    file.write_text(json.dumps([{"traj": _chat(6)}, {"messages": _chat(5)}]))
    store = tmp_path / "kept.db"
    assert run_demo(input=file, agents=2, kills=3, keep=store) == 0
    assert_gone(started)
    assert len(started) == 2 * (2 + 3)
    with holdfast.open(store) as kept:
        there = [
            (message.position, message.content)
            for message in kept.sessions.history("conversation-1")
        ]
    assert there == [(place, f"word {place - 1}") for place in range(1, 7)]


def test_a_store_that_lost_a_step_ends_with_status_1(tmp_path, capsys, monkeypatch):
    file = tmp_path / "small.json"
    file.write_text(json.dumps(_chat(5)))
    read = WithHoldfast.read

    def lose_one(self, path, load):
        with holdfast.open(path) as store:
            store.sessions.pop(load.talks[0].id)
        return read(self, path, load)

    monkeypatch.setattr(WithHoldfast, "read", lose_one)
    assert run_demo(input=file, agents=1, kills=0, keep=tmp_path / "kept.db") == 1
    assert "holdfast: 1 lost, 1 half-done, 1 not there." in capsys.readouterr().out


def test_ctrl_c_ends_all_agents_and_leaves_no_temporary_file(
    tmp_path, capsys, monkeypatch, started
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    strike = crew.Crew._strike

    def interrupted(self):
        strike(self)
        if self.reached > 50:  # in the midst of it
            raise KeyboardInterrupt

    monkeypatch.setattr(crew.Crew, "_strike", interrupted)
    assert run_demo(agents=3, kills=1) == 130
    assert_gone(started)
    assert list(tmp_path.iterdir()) == []


def test_an_agent_that_keeps_falling_over_is_given_up(tmp_path, started):
    orders = crew.Orders(
        "sqlite", tmp_path / "no" / "folder", tmp_path, tmp_path / "e", 2
    )
    worked = crew.Crew(orders, Ledger(LOAD), [], lambda crew: None)
    worked.run()
    assert worked.falls == crew.PATIENCE + 2
    assert_gone(started)


# ── the count ────────────────────────────────────────────────────────────────────


@pytest.fixture(params=list(WAYS))
def way(request):
    return request.param


@pytest.fixture
def done(way, tmp_path):
    """A store in which every step was kept, and what was acknowledged."""
    path, ledger = tmp_path / "store.db", Ledger(LOAD)
    WAYS[way].prepare(path, LOAD)
    with all_taken(way, path) as hands:
        for taken in hands:
            ledger.was_taken(taken.index, taken.messages, taken.done)
            for number, step in enumerate(TALKS[taken.index].steps):
                taken.keep(number, step)
                ledger.was_acknowledged(taken.index, number)
    return path, ledger


@contextlib.contextmanager
def all_taken(way, path):
    """Every conversation, each in the hand of an agent of its own."""
    with contextlib.ExitStack() as stack:
        hands = []
        for talk in TALKS:
            desk = WAYS[way].open(path, LOAD, f"agent-of-{talk.id}")
            stack.enter_context(contextlib.closing(desk))
            hands.append(stack.enter_context(contextlib.closing(desk.take())))
        assert sorted(taken.index for taken in hands) == [0, 1]
        yield hands


def tally(way, done):
    """Finish the tasks, and count."""
    path, ledger = done
    with all_taken(way, path) as hands:
        for taken in hands:
            taken.finish()
    assert WAYS[way].problems(path) == ()
    return ledger.tally(WAYS[way].read(path, LOAD))


def altered(**fields):
    return msgspec.structs.replace(CLEAN, **fields)


def doctor(way, path, *, message=None, pop=False, done=None):
    """Do to the first conversation what must not happen to it."""
    if way == "sqlite":
        _doctor_sqlite(path, message, pop, done)
    else:
        _doctor_holdfast(path, message, pop, done)


def test_a_clean_store_is_called_clean(way, done):
    assert tally(way, done) == CLEAN
    assert CLEAN.is_clean


def test_a_lost_step_is_found(way, done):
    doctor(way, done[0], pop=True, done=3)
    assert tally(way, done) == altered(found=7, lost=1)
    assert not altered(found=7, lost=1).is_clean


def test_a_step_that_was_lost_and_done_again_is_still_lost(way, done):
    done[1].was_taken(0, 3, 3)
    done[1].was_acknowledged(0, 3)
    assert tally(way, done) == altered(lost=1)
    assert not altered(lost=1).is_clean


def test_a_doubled_step_is_found(way, done):
    doctor(way, done[0], message=("1.3", 3))
    assert tally(way, done) == altered(doubled=1)
    assert not altered(doubled=1).is_clean


def test_a_message_without_its_tasks_change_is_half_done(way, done):
    doctor(way, done[0], done=3)
    assert tally(way, done) == altered(half_done=1)
    assert not altered(half_done=1).is_clean


def test_a_tasks_change_without_its_message_is_half_done(way, done):
    doctor(way, done[0], done=5)
    assert tally(way, done) == altered(half_done=1)


def test_what_was_half_done_when_it_was_taken_stays_so(way, done):
    done[1].was_taken(0, 4, 3)
    assert tally(way, done) == altered(half_done=1)


def test_a_changed_step_is_found(way, done):
    doctor(way, done[0], pop=True, message=("another word", 3))
    assert tally(way, done) == altered(out_of_place=1)
    assert not altered(out_of_place=1).is_clean


def test_a_step_in_the_wrong_place_is_found(way, done):
    doctor(way, done[0], pop=True)
    doctor(way, done[0], pop=True)
    doctor(way, done[0], message=("1.3", 3))
    doctor(way, done[0], message=("1.2", 2))
    assert tally(way, done) == altered(out_of_place=1)


def test_a_step_of_an_agent_whose_task_went_to_another_is_not_kept(tmp_path):
    path = tmp_path / "store.db"
    WAYS["holdfast"].prepare(path, LOAD)
    with holdfast.open(path) as store:
        first = HeldTask(store, TALKS[0].id, LOAD, "agent-1")
        first.keep(0, TALKS[0].steps[0])
        second = HeldTask(store, TALKS[0].id, LOAD, "agent-1")
        assert (second.messages, second.done) == (1, 1)
        with pytest.raises(TakenAway):
            first.keep(1, TALKS[0].steps[1])
        second.keep(1, TALKS[0].steps[1])
        with pytest.raises(TakenAway):
            first.finish()
        first.close()
        second.close()
    there = WAYS["holdfast"].read(path, LOAD)[0]
    assert [kept.number for kept in there.kept] == [0, 1]
    assert (there.done, there.finished) == (2, False)


# ── what goes in ─────────────────────────────────────────────────────────────────


def test_the_shipped_conversations_are_whole():
    load = shipped()
    assert load.steps >= 5_000
    for talk in load.talks[:12]:
        assert 8 <= len(talk.steps) <= 20
        calls = [c["id"] for s in talk.steps for c in s.metadata.get("tool_calls", [])]
        answers = [s.metadata["tool_call_id"] for s in talk.steps if s.role == "tool"]
        assert calls == answers


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", '[{"messages": []}]', '[{"messages": [{"content": "x"}]}]'],
)
def test_a_file_without_transcripts_is_refused(tmp_path, text):
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(BadInput, match=r"bad\.json.*nothing was started"):
        run_demo(input=file)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadInput, match="nothing was started"):
        run_demo(input=tmp_path / "none.json")


def test_a_store_that_is_there_is_not_touched(tmp_path):
    there = tmp_path / "there.db"
    there.write_bytes(b"mine")
    with pytest.raises(CannotOpen, match="is there already"):
        run_demo(keep=there)
    assert there.read_bytes() == b"mine"


def test_kills_are_spread_over_the_run():
    kills = crew.plan(100, 1_000, random.Random(7))
    moments = [kill.after for kill in kills]
    assert moments == sorted(moments)
    assert moments[0] < 200
    assert moments[-1] > 800
    assert max(moments) < 1_000


def test_a_list_of_messages_is_one_conversation(tmp_path):
    file = tmp_path / "one.json"
    file.write_text(json.dumps(_chat(3)))
    load = from_file(file, agents=1)
    assert [talk.id for talk in load.talks] == ["conversation-1"]
    assert load.talks[0].steps[1] == Step("assistant", "word 1")


def _chat(count):
    roles = ("user", "assistant")
    return [{"role": roles[k % 2], "content": f"word {k}"} for k in range(count)]


def _doctor_sqlite(path, message, pop, done):
    talk = TALKS[0].id
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        if pop:
            db.execute(
                "delete from messages where id ="
                " (select max(id) from messages where conversation = ?)",
                (talk,),
            )
        if message:
            content, number = message
            values = (talk, json.dumps(content), json.dumps({"demo_step": number}))
            db.execute(
                "insert into messages (conversation, role, content, metadata,"
                " created_at) values (?, 'user', ?, ?, 0)",
                values,
            )
        if done is not None:
            db.execute(
                "update tasks set steps_done = ? where conversation = ?", (done, talk)
            )


def _doctor_holdfast(path, message, pop, done):
    talk = TALKS[0].id
    with holdfast.open(path) as store, store.transaction() as tx:
        if pop:
            tx.sessions.pop(talk)
        if message:
            content, number = message
            tx.sessions.append(talk, "user", content, metadata={"demo_step": number})
        if done is not None:
            tx.tasks.progress(talk, done)
