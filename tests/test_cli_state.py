"""`holdfast state`: what sections there are, what is in one, a change by hand."""

import json

import pytest

import holdfast
from holdfast.cli import main


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    return str(tmp_path / "agent.db")


@pytest.fixture
def run(capfdbinary):
    def run_it(*arguments, status=0):
        assert main(["state", *arguments]) == status
        out, err = capfdbinary.readouterr()
        return (out + err).decode()

    return run_it


@pytest.fixture
def filled(place):
    with holdfast.open(place) as store:
        store.state.update("flags", {"dry_run": True, "mode": "fast"})
        store.state.set("limits", "cpu", {"n": 2})
        store.owned_by("ada").state.set("jobs", "backup", "x" * 2_000)
    return place


def test_sections_are_listed_with_what_they_hold(filled, run):
    flags, limits, jobs = run(filled).splitlines()
    assert flags.endswith("  flags  2 keys, 10 bytes")
    assert limits.endswith("  limits  1 key, 7 bytes")
    assert jobs.endswith("  ada  jobs  1 key, 2,002 bytes")
    assert run(filled, "--owner", "ada").splitlines() == [jobs]
    found = json.loads(run(filled, "--json", "--limit", "1"))
    assert [one["id"] for one in found["sections"]] == ["flags"]
    rest = run(filled, "--cursor", found["cursor"])
    assert "limits" not in run(filled, "--limit", "1")
    assert "flags" not in rest


def test_one_is_shown_with_its_keys_or_one_of_them_as_json(filled, run):
    text = run("get", filled, "flags")
    assert text.startswith("flags\nversion  1\n")
    assert text.endswith('keys\ndry_run  true\nmode     "fast"\n')
    assert "ada" in run("get", filled, "jobs")
    assert "more (--full)" in run("get", filled, "jobs")
    assert "more (--full)" not in run("get", filled, "jobs", "--full")
    assert json.loads(run("get", filled, "limits", "cpu")) == {"n": 2}
    found = json.loads(run("get", filled, "flags", "--json"))["section"]
    assert found["values"] == {"dry_run": True, "mode": "fast"}
    assert "no section 'x'" in run("get", filled, "x", status=1)
    assert "no section 'jobs'" in run("get", filled, "jobs", "--owner", "", status=1)
    assert "no key 'x'" in run("get", filled, "flags", "x", status=1)


def test_a_change_by_hand_is_seen_by_who_is_running(filled, run):
    with holdfast.open(filled) as store:
        flags = store.state.section("flags")
        flags.set("mine", 1)
        assert run("set", filled, "flags", "mode", '"slow"') == "flags  2 keys\n"
        assert run("delete", filled, "flags", "dry_run") == "flags  1 key\n"
        flags.reload()
        assert flags.as_dict() == {"mine": 1, "mode": "slow"}
    found = json.loads(run("set", filled, "jobs", "n", "-3", "--json"))["section"]
    assert (found["owner"], found["values"]["n"]) == ("ada", -3)
    assert run("set", filled, "new", "a", "null") == "new  1 key\n"
    assert run("set", filled, "new", "a", "1", "--owner", "bob") == "bob  new  1 key\n"
    assert "several owners" in run("set", filled, "new", "a", "2", status=1)
    with holdfast.open(filled) as store:
        assert store.state.as_dict("new") == {"a": None}
        assert list(store.journal.read())[-1].cause == "holdfast state set"


def test_what_cannot_be_is_said_and_changes_nothing(filled, run):
    before = run(filled)
    assert "is no JSON" in run("set", filled, "flags", "mode", "fast", status=1)
    assert "no key 'x'" in run("delete", filled, "flags", "x", status=1)
    assert "no key 'x'" in run("delete", filled, "none", "x", status=1)
    assert run("set", filled, "flags", "mode", status=2)
    with holdfast.open(filled) as store:
        store.leases.acquire("state", "flags", holder="other", seconds=60)
        assert "leased to" in run("set", filled, "flags", "a", "1", status=1)
    assert run(filled) == before
    assert "there is no store" in run("set", filled + "x", "a", "a", "1", status=1)


def test_the_past_is_shown_as_it_was(filled, run):
    with holdfast.open(filled) as store:
        then = store.moment()
        store.state.drop("flags")
    assert "flags" not in run(filled)
    assert "flags  2 keys" in run(filled, "--as-of", str(then))
    text = run("get", filled, "flags", "--as-of", str(then))
    assert text.startswith(f"as of moment {then}, ")
    assert "dry_run  true" in text


def test_a_store_without_sections_says_so(place, run):
    holdfast.open(place).close()
    assert run(place) == "no sections\n"
    assert json.loads(run(place, "--json")) == {"sections": [], "cursor": None}
