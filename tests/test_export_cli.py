"""`holdfast export`, `import sessions`, `import active-mirror` and `render`."""

import json

import pytest

import holdfast
from holdfast.cli import app


@pytest.fixture
def run(capsysbinary):
    """Run a command: its exit status, what it printed, what it complained of."""

    def run(*arguments):
        status = app.run([str(one) for one in arguments])
        out, err = capsysbinary.readouterr()
        return status, out.decode(), err.decode()

    return run


@pytest.fixture
def path(tmp_path):
    """A store of one owner, who has two sessions."""
    path = tmp_path / "agent.db"
    with holdfast.open(path) as store:
        store.sessions.create("Plan \x1b[2J", id="plan")
        store.sessions.append("plan", "user", "Where\x07 did we stop?")
        store.sessions.create(id="other")
    return path


def test_sessions_go_from_store_to_store(path, tmp_path, run):
    file, target = tmp_path / "talks.jsonl", tmp_path / "new.db"
    status, out, _ = run("export", path, "--to", file)
    assert (status, "1 message in 2 sessions" in out) == (0, True)
    status, out, _ = run("import", "sessions", file, "--to", target)
    assert (status, "1 added, 0 already there" in out) == (0, True)
    status, out, _ = run("import", "sessions", file, "--to", target, "--json")
    (report,) = json.loads(out)["files"]
    assert (status, report["added"], report["already_there"]) == (0, 0, 1)
    with holdfast.open(path) as old, holdfast.open(target) as new:
        assert new.sessions.list() == old.sessions.list()


def test_one_session_goes_to_standard_output(path, run):
    status, out, err = run("export", path, "plan", "--to", "-")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (status, err) == (0, "")
    assert [line.get("type") for line in lines] == [None, "session", "message", "end"]


def test_what_there_was_is_exported_and_rendered(path, tmp_path, run):
    with holdfast.open(path) as store:
        then = store.moment()
        store.sessions.append("plan", "user", "later")
    status, out, err = run("render", path, "plan", "--as-of", then)
    assert (status, "stop?" in out, "later" in out) == (0, True, False)
    said = f"as of moment {then}, of "
    assert (err.startswith(said), said in out) == (True, False)
    _, out, err = run("export", path, "--to", "-", "--as-of", then)
    assert err.startswith(said)
    assert [json.loads(line) for line in out.splitlines()]
    options = ["--to", tmp_path / "x", "--as-of", then]
    assert f"\n{said}" in run("export", path, *options)[1]
    found = json.loads(run("export", path, *options, "--json")[1])
    assert (found["messages"], found["as_of"]["moment"]) == (1, then)


@pytest.mark.parametrize("form", ["markdown", "text", "json"])
def test_a_rendered_session_steers_no_terminal(path, run, form):
    status, out, _ = run("render", path, "plan", "--as", form)
    assert status == 0
    assert "did we stop?" in out
    assert "\x1b" not in out
    assert "\x07" not in out


def test_whose_sessions_they_are_has_to_be_said_if_several_have_some(
    path, tmp_path, run
):
    with holdfast.open(path, owner="ada") as store:
        store.sessions.create("Ada's", id="hers")
    status, _, err = run("export", path, "--to", tmp_path / "x")
    assert (status, "add --owner" in err) == (1, True)
    assert not (tmp_path / "x").exists()
    status, out, _ = run("export", path, "--to", tmp_path / "x", "--owner", "ada")
    assert (status, "in 1 session" in out) == (0, True)
    assert run("render", path, "hers", "--as", "text")[1].startswith("Ada's\n")


def test_what_is_wrong_is_told_in_one_line(path, tmp_path, run):
    file = tmp_path / "talks.jsonl"
    run("export", path, "--to", file)
    file.write_bytes(file.read_bytes()[:-9])
    for arguments, told in [
        (("import", "sessions", file, "--to", path), "talks.jsonl: line 5: "),
        (("import", "sessions", tmp_path, "--to", path), "is a folder"),
        (("import", "sessions", path, "--to", path), "is the store itself"),
        (("import", "active-mirror", file, "--to", path), "no session of ActiveMirror"),
        (("import", "active-mirror", tmp_path / "x", "--to", path), "there is no file"),
        (("export", path, "nobody", "--to", tmp_path / "x"), "there is no session"),
        (("export", path, "--to", path), "own file"),
        (("export", tmp_path / "none.db", "--to", file), "none.db"),
        (("render", path, "nobody"), "there is no session"),
    ]:
        status, out, err = run(*arguments)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert told in err
    status, _, err = run("import", "active-mirror", file, "--to", path, "--zone", "X")
    assert (status, "no time zone" in err) == (2, True)


def test_a_session_that_differs_is_named_and_ends_with_1(path, tmp_path, run):
    file = tmp_path / "talks.jsonl"
    run("export", path, "--to", file)
    with holdfast.open(path) as store:
        store.sessions.update("other", title="changed")
        store.sessions.pop("plan")
        store.sessions.append("plan", "user", "else")
    status, out, _ = run("import", "sessions", file, "--to", path)
    assert (status, "2 set aside" in out) == (1, True)
    assert "another message at position 1" in " ".join(out.split())
    assert "session 'other'" in out


def test_zones_are_taken_by_name(tmp_path, run):
    at = {"created_at": "2026-01-01T12:00:00", "updated_at": "2026-01-01T12:00:00"}
    file = tmp_path / "export_x.json"
    file.write_text(json.dumps({"id": "s", "title": "x", "messages": [], **at}))
    target = tmp_path / "new.db"
    zone = "America/New_York"
    assert run("import", "active-mirror", file, "--to", target, "--zone", zone)[0] == 0
    with holdfast.open(target) as store:
        assert store.sessions.get("s").created_at.hour == 17
