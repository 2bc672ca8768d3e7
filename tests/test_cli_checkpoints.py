"""`holdfast checkpoints`: what there is, what is in one, and a new one."""

import json
import time

import pytest

import holdfast
from holdfast.cli import main
from holdfast.engine import Terms
from holdfast.kinds.checkpoint_runs import Runs
from killing import Worker
from postgres import until
from remembering import hurry


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    return str(tmp_path / "agent.db")


@pytest.fixture
def run(capfdbinary):
    def run_it(*arguments, status=0):
        assert main(["checkpoints", *arguments]) == status
        out, err = capfdbinary.readouterr()
        return (out + err).decode()

    return run_it


@pytest.fixture
def taken(place):
    """The ids of three checkpoints, oldest first; the last one is ada's."""
    with holdfast.open(place) as store:
        store.checkpoints.participant("queue", lambda: ["job " * 1_000])
        store.checkpoints.participant("cache", lambda: 1 // 0)
        ids = [store.checkpoints.take(reason).id for reason in ("first", "second")]
        ada = store.owned_by("ada")
        ada.checkpoints.participant("hers", lambda: {"is": "hers"})
        return [*ids, ada.checkpoints.take("third").id]


def test_a_list_tells_why_of_whom_and_what_waits(place, run, taken):
    text = run(place)
    assert text == run(place, "list")
    first, second, third = (text.index(id) for id in taken)
    assert second < first
    assert third > 0
    assert "to be restored: queue" in text
    assert "cache: ZeroDivisionError" in text
    assert "first  queue" in text
    assert taken[2] not in run(place, "list", "--owner", "")
    found = json.loads(run(place, "list", "--json", "--limit", "1", "--owner", ""))
    assert [one["id"] for one in found["checkpoints"]] == [taken[1]]
    more = run(place, "list", "--owner", "", "--cursor", found["cursor"])
    assert taken[0] in more
    assert taken[1] not in more


def test_one_is_shown_with_what_is_in_it(place, run, taken):
    assert "hers  waiting" in run(place, "show")
    text = run(place, "show", taken[0])
    assert "queue  replaced" in text
    assert "more (--full)" in text
    assert "cache failed" in text
    assert "more (--full)" not in run(place, "show", taken[0], "--full")
    found = json.loads(run(place, "show", taken[2], "--json"))["checkpoint"]
    assert found["parts"][0]["data"] == {"is": "hers"}
    assert "no checkpoint 'x'" in run(place, "show", "x", status=1)
    assert "no checkpoint" in run(place, "show", taken[2], "--owner", "", status=1)


def test_what_was_not_understood_is_said(place, run, taken):
    assert "only `show` takes an id" in run(place, "list", "x", status=1)
    assert run(place, "other", status=2)
    assert run(place, "take", "--seconds", "0", status=2)


def test_a_store_without_checkpoints_says_so(place, run):
    holdfast.open(place).close()
    assert run(place) == run(place, "show") == "no checkpoints\n"
    assert json.loads(run(place, "show", "--json")) == {"checkpoint": None}
    text = run(place, "take", status=1)
    assert "no running process has participants" in text
    missing = place + "x"
    assert run(missing, status=1)


def runs_of(place, owner):
    with holdfast.open(place) as store:
        core = store._core
        return core.engine.read(
            core.unit(lambda tx: Runs(tx).list(), Terms(owner=owner))
        )


def test_running_processes_take_one_and_who_does_not_answer_is_named(
    place, run, monkeypatch
):
    hurry(monkeypatch)
    holdfast.open(place).close()

    def work(say):
        store = holdfast.open(place)
        store.checkpoints.participant("queue", lambda: [1])
        ada = store.owned_by("ada")
        ada.checkpoints.participant("none", lambda: None)
        ada.checkpoints.participant("bad", lambda: 1 // 0)
        say("there")
        time.sleep(60)

    worker = Worker(work)
    try:
        worker.wait_for(1)
        until(lambda: runs_of(place, "") and runs_of(place, "ada"))
        text = run(place, "take", "--seconds", "30", "--owner", "")
        assert "took " in text
        text = run(place, "take", "--seconds", "30", status=1)  # one has failed
        assert text.count("took ") == 2
        assert "(ada)" in text
        assert "bad: ZeroDivisionError" in text
        found = json.loads(run(place, "show", "--json", "--owner", ""))["checkpoint"]
        assert (found["reason"], found["parts"][0]["data"]) == ("asked", [1])
        worker.send(19)  # SIGSTOP
        text = run(place, "take", "--seconds", "0.1", "--owner", "", status=1)
        assert "did not answer" in text
        answers = run(place, "take", "--seconds", "0.1", "--json", status=1)
        assert [one["answered"] for one in json.loads(answers)["answers"]] == [
            False,
            False,
        ]
    finally:
        worker.close()
