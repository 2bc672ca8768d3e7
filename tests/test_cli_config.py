"""`holdfast config` and `holdfast guarantees`: what is told, and what never is."""

import json

import pytest

from holdfast import declared
from holdfast.cli import main

SECRET = "hunter2-and-more"
FILE = f"""
[store]
path = "state/agent.db"

[projects.backend]
db = "postgresql://ada:{SECRET}@h/d"
pin = 4711471147

[credentials]
github = "{SECRET}"

[services]
jira = "https://{SECRET}@jira.example/\\u001b[31mred"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("HOLDFAST_STORE", "HOLDFAST_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "holdfast.toml").write_text(FILE)
    (tmp_path / "holdfast.toml").chmod(0o600)
    return tmp_path


@pytest.fixture
def run(capfdbinary, monkeypatch):
    """Run a command in this process: its status, its output, its errors."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        out, errors = capfdbinary.readouterr()
        return status, out.decode(), errors.decode()

    return run


def line(out, name):
    return next(row for row in out.splitlines() if row.startswith(name)).split()


def test_each_value_is_shown_with_where_it_came_from(run, monkeypatch):
    monkeypatch.setenv("AGENT_ID", "old")
    monkeypatch.setenv("PEER_ID", "new")
    status, out, errors = run("config", "--set", "store.owner=ada")
    assert (status, errors) == (0, "")
    assert line(out, "environment") == ["environment", "development", "default"]
    assert line(out, "store ")[-1] == "holdfast.toml:3"
    assert line(out, "store.owner") == ["store.owner", "ada", "argument", "store.owner"]
    assert line(out, "agent.id") == ["agent.id", "new", "PEER_ID"]
    assert "not AGENT_ID: 'old'" in out
    assert "note: agent.id: PEER_ID is used" in out
    assert line(out, "store.limits.page ")[1:] == ["1000", "default"]
    assert line(out, "projects.backend.pin")[1:] == ["***", "holdfast.toml:7"]


@pytest.mark.parametrize("columns", ["20", "80", "200"])
def test_no_secret_is_shown_and_nothing_steers_the_terminal(run, monkeypatch, columns):
    monkeypatch.setenv("HOLDFAST_AGENT_SECRET", SECRET)
    monkeypatch.setenv("AGENT_SECRET", SECRET + "!")
    monkeypatch.setenv("COLUMNS", columns)
    for options in ([], ["--json"], ["--set", f"credentials.x={SECRET}"]):
        status, out, errors = run("config", *options)
        assert (status, errors) == (0, "")
        assert SECRET[:4] not in out
        assert "4711" not in out
        assert all(char.isprintable() or char == "\n" for char in out)


def test_json_has_every_setting_with_its_source(run, folder):
    told = json.loads(run("config", "--json")[1])
    assert told["file"] == str(folder / "holdfast.toml")
    found = {one["name"]: one for one in told["settings"]}
    assert found["store"]["value"] == str(folder / "state" / "agent.db")
    assert found["store"]["source"] == "file"
    assert found["credentials.github"] == {
        "name": "credentials.github", "value": "***", "source": "file",
        "where": "holdfast.toml:10", "over": [],
    }  # fmt: skip
    assert found["agent.id"]["value"] is None


def test_another_file_is_read_when_it_is_named(run, folder):
    (folder / "other.toml").write_text('[store]\npath = ":memory:"\n')
    _, out, _ = run("config", "--file", "other.toml")
    assert line(out, "store ") == ["store", ":memory:", "other.toml:2"]
    assert "credentials" not in out
    status, out, errors = run("config", "--file", "none.toml")
    assert (status, out) == (1, "")
    assert "none.toml: the configuration cannot be read" in errors
    assert errors.count("\n") == 1


def test_what_cannot_be_is_told_with_its_place_and_no_store_is_made(run, folder):
    wrong = ["--set", "store.durability=never", "--set", "environment=production"]
    status, out, errors = run("config", *wrong, "--set", "store=:memory:")
    assert (status, out) == (1, "")
    assert "store.durability (argument store.durability): one of power-loss" in errors
    assert "in memory is refused where production is declared" in errors
    run("config")
    assert [one.name for one in folder.iterdir()] == ["holdfast.toml"]


def test_guarantees_tell_of_every_kind_of_state_at_any_width(run, monkeypatch):
    every = [one.kind for one in declared.guarantees()]
    for columns in ("60", "80", "150", "250"):
        monkeypatch.setenv("COLUMNS", columns)
        _, out, _ = run("guarantees")
        begins = [row for row in out.splitlines() if row[:1].strip()]
        assert [
            kind for kind in every if not any(r.startswith(kind) for r in begins)
        ] == []
        assert max(map(len, out.splitlines())) <= int(columns)
    table = json.loads(run("guarantees", "--json")[1])["guarantees"]
    assert [one["kind"] for one in table] == every
    assert {"why", "owner", "changed_by", "recovery", "leased"} <= table[0].keys()


def test_guarantees_of_some_kinds_alone(run):
    _, out, _ = run("guarantees", "--kind", "the bus", "--kind", "tasks", "--json")
    found = json.loads(out)["guarantees"]
    assert [one["kind"] for one in found] == ["the bus", "tasks"]
    status, out, errors = run("guarantees", "--kind", "nothing")
    assert (status, out) == (1, "")
    assert "there is no kind of state 'nothing'" in errors
