"""`holdfast trim`, `holdfast fork` and `holdfast log --stats`, as people use them."""

import json

import pytest

import holdfast
from holdfast.cli import main


@pytest.fixture
def full(path):
    """A file with a past of 31 changes."""
    with holdfast.open(path) as store:
        store.sessions.create(id="talk")
        for n in range(15):
            store.sessions.append("talk", "user", n)
            store.sessions.update("talk", title=f"title {n}")
    return path


@pytest.fixture
def run(capfdbinary, monkeypatch):
    """Run a command in this process: its status, its output, its errors."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        status = main(list(arguments))
        out, errors = capfdbinary.readouterr()
        return status, out.decode(), errors.decode()

    return run


def test_trimming_says_from_where_on_the_past_can_be_read(full, run):
    status, out, _ = run("trim", full, "--before", "21")
    assert status == 0
    assert "the past can be read from moment 21 on" in out
    with holdfast.open(full) as store:
        assert store.journal.horizon() == 21
        assert store.journal.stats().reach.left == 0
        assert store.check().problems == ()
    assert run("log", full, "--limit", "500")[0] == 0
    status, out, _ = run("trim", full, "--before", "now", "--json")
    assert json.loads(out)["reach"]["horizon"] == 31


def test_trimming_by_the_policy_needs_one(full, run):
    status, _, errors = run("trim", full)
    assert status == 1
    assert "keeps all of its past: say --before" in errors
    with holdfast.open(full) as store:
        store.journal.keep(max_changes=4)
    status, out, _ = run("trim", full)
    assert (status, "moment 27" in out) == (0, True)


def test_what_cannot_be_trimmed_is_told(full, tmp_path, run):
    assert run("trim", full, "--before", "32")[0] == 1
    assert "lies ahead" in run("trim", full, "--before", "32")[2]
    assert run("trim", full, "--before", "when it broke")[0] == 2
    missing = tmp_path / "none.db"
    assert run("trim", str(missing), "--before", "1")[0] == 1
    assert not missing.exists()


def test_what_the_past_costs_is_shown(full, run):
    with holdfast.open(full) as store:
        store.journal.keep(max_age_seconds=86_400, max_changes=50, max_bytes=2_000_000)
    status, out, _ = run("log", full, "--stats")
    assert status == 0
    (line,) = [line for line in out.splitlines() if line.startswith("session")]
    assert line.split()[1:3] == ["16", "15"]
    assert "31 changes and their images take" in out
    assert "all of the past can be read, since" in out
    assert "kept: at most 1 days, 50 changes, 2 MB" in out
    found = json.loads(run("log", full, "--stats", "--json")[1])
    assert found["tables"]["message"]["changes"] == 15
    assert found["policy"]["max_changes"] == 50


def test_a_store_is_forked_as_of_a_moment(full, tmp_path, run):
    target = str(tmp_path / "again.db")
    status, out, _ = run("fork", full, target, "--as-of", "5")
    assert status == 0
    assert "at moment 5" in out
    with holdfast.open(target) as fork:
        assert fork.sessions.get("talk").title == "title 1"
    status, _, errors = run("fork", full, target)
    assert (status, "has data already" in errors) == (1, True)
    done = json.loads(run("fork", full, target, "--replace", "--json")[1])
    assert done["head"] == 31
