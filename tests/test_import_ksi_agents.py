"""KSI's agents come as they were, each once; one that is broken spoils no other."""

import json
from pathlib import Path

import pytest

import holdfast
from holdfast import errors
from holdfast.cli import main
from holdfast.importers.ksi_agents import import_ksi_agents

ADA = {
    "identity_uuid": "827dbe14-860e-4578-981d-97c099ca86be",
    "agent_id": "tester_1",
    "display_name": "Tool Testing Agent-5dbe",
    "role": "Tool Testing Agent",
    "personality_traits": ["methodical"],
    "appearance": {"icon": "🤖"},
    "created_at": "2025-06-21T19:54:42.916782Z",
    "last_active": "2025-06-21T19:54:42.916786Z",
    "conversation_count": 2,
    "sessions": ["s1"],
    "preferences": {"verbosity": "moderate"},
    "stats": {"messages_sent": 3, "tools_used": ["saw"]},
}


@pytest.fixture
def written(tmp_path):
    """Writes what is given into a file; its path."""

    def write(content):
        file = tmp_path / "agent_identities.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file

    return write


def counts(report):
    [agents] = report.others
    return agents.found, agents.added, agents.already_there, report.set_aside_count


def test_an_identity_comes_as_it_was(open_store, written):
    store = open_store()
    report = import_ksi_agents(store, written({"tester_1": ADA}))
    assert counts(report) == (1, 1, 0, 0)
    agent = store.agents.get("tester_1")
    assert (agent.name, agent.role) == (ADA["display_name"], ADA["role"])
    assert agent.traits == ("methodical",)
    assert (agent.preferences, agent.statistics) == (ADA["preferences"], ADA["stats"])
    assert agent.metadata == {
        key: ADA[key]
        for key in ("identity_uuid", "appearance", "conversation_count", "sessions")
    }
    assert agent.created_at.isoformat() == "2025-06-21T19:54:42.916782+00:00"
    assert agent.active_at.isoformat() == "2025-06-21T19:54:42.916786+00:00"


def test_twice_adds_nothing_also_if_it_has_counted_since(open_store, written):
    store = open_store()
    file = written([ADA, {"agent_id": "bare"}])
    assert counts(import_ksi_agents(store, file)) == (2, 2, 0, 0)
    store.agents.increment("tester_1", {"messages_sent": 1})
    assert counts(import_ksi_agents(store, file)) == (2, 0, 2, 0)
    assert store.agents.get("tester_1").statistics["messages_sent"] == 4
    assert store.agents.get("bare").name == "bare"


def test_what_cannot_be_kept_is_named_and_spoils_no_other(open_store, written):
    store = open_store()
    store.agents.create("Somebody else", id="taken")
    broken = {
        "nothing": None,
        "../evil": {"display_name": "x"},
        "taken": {**ADA, "agent_id": "taken"},
        "late": {"created_at": "yesterday"},
        "odd": {"personality_traits": "calm"},
        "good": ADA,
        "naive": {"created_at": "2025-06-21T19:54:42"},
    }
    report = import_ksi_agents(store, written(broken))
    assert counts(report) == (7, 2, 0, 5)
    assert {one.position for one in report.set_aside} == {
        ".nothing", "['../evil']", ".taken", ".late", ".odd",
    }  # fmt: skip
    assert all(one.reason for one in report.set_aside)
    assert {agent.id for agent in store.agents.list()} == {"taken", "tester_1", "naive"}
    assert store.agents.get("taken").name == "Somebody else"
    assert store.agents.get("naive").created_at.isoformat().endswith("42+00:00")


@pytest.mark.parametrize("text", ["", "null", "5", '{"a": {"x": }}', "[" * 5_000])
def test_a_file_that_is_none_writes_nothing(open_store, written, text):
    store = open_store()
    with pytest.raises(errors.BrokenFile, match="nothing was written"):
        import_ksi_agents(store, written(text))
    with pytest.raises(errors.CannotOpen):
        import_ksi_agents(store, Path("gone.json"))
    assert list(store.agents.list()) == []


def test_what_is_no_json_but_was_written_all_the_same_spoils_no_other(
    open_store, written
):
    store = open_store()
    text = json.dumps({"nan": {**ADA, "stats": {"n": float("nan")}}, "good": ADA})
    text = text[:-1] + r', "half": {"display_name": "\ud83e"}}'
    report = import_ksi_agents(store, written(text))
    assert counts(report) == (3, 1, 0, 2)
    assert {one.position for one in report.set_aside} == {".nan", ".half"}


def test_more_than_one_transaction_takes_them_all(open_store, written):
    store = open_store()
    file = written([{**ADA, "agent_id": f"a{n}"} for n in range(450)])
    assert counts(import_ksi_agents(store, file)) == (450, 450, 0, 0)


def test_the_command_says_what_came_and_what_did_not(path, written, capsys):
    file = str(written({"good": ADA, "bad": 5}))
    assert main(["import", "ksi-agents", file, "--to", path]) == 1
    said = capsys.readouterr().out
    assert "2 agents: 1 added, 0 already there" in said
    assert ".bad" in said
    with holdfast.open(path) as store:
        assert store.agents.get("tester_1").role == ADA["role"]
