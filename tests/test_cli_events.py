"""`holdfast events`: the newest, a chain, live, figures, files; and what it refuses."""

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

import holdfast
from holdfast.cli import main
from holdfast.cli.event_streams import Streams
from holdfast.clock import ManualClock
from postgres import empty_store, until

PROGRAM = [sys.executable, "-m", "holdfast.cli", "events"]
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


@pytest.fixture
def run(capfdbinary, monkeypatch):
    """Run `holdfast events` in this process: its status, its output, its errors."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(*arguments):
        status = main(["events", *map(str, arguments)])
        out, errors = capfdbinary.readouterr()
        return status, out.decode(), errors.decode()

    return run


@pytest.fixture
def told(run):
    """The events that a command tells, as JSON has them."""

    def told(*arguments):
        status, out, errors = run(*arguments, "--json")
        assert (status, errors) == (0, "")
        return [json.loads(line) for line in out.splitlines()]

    return told


@pytest.fixture
def path(tmp_path):
    """A store whose events are of two owners and every level, some up to no good."""
    clock = ManualClock()
    file = tmp_path / "store.db"
    with holdfast.open(file, clock=clock) as store:
        emit = store.events.emit
        emit("task:created", {"id": "t1", "n": 5}, session="s", correlation="c1")
        clock.advance(60)
        emit("task:failed", {"id": "t1", "n": "5"}, level="error", correlation="c1")
        emit("agent:said", "[bold]\x1b[31mRed\x07 " + "long " * 40, source="bob")
        clock.advance(60)
        emit("agent:thought", level="debug")
        ada = store.owned_by("ada")
        ada.events.emit("task:created", {"id": "t2", "deep": {"is": True}})
    return file


def names(found):
    return [event["name"] for event in found]


def test_it_fits_into_80_columns_and_steers_no_terminal(path, run):
    for options in ([], ["--stats"], ["--chain", "c1"], ["--level", "error"]):
        status, out, errors = run(path, *options)
        assert (status, errors) == (0, ""), options
        assert out.strip(), options
        assert max(map(len, out.splitlines())) <= 80, options
        assert all(char.isprintable() or char == "\n" for char in out), options


def test_the_newest_are_shown_of_every_owner_the_newest_at_the_end(path, run):
    _, out, _ = run(path, "--pattern", "task:*")
    lines = [line for line in out.splitlines() if line[0] != " "]
    assert [line.split()[3] for line in lines] == [
        "task:created", "task:failed", "task:created",
    ]  # fmt: skip
    assert lines[0].split()[1:3] == ["15:06:40.000", "info"]
    assert "for ada" in lines[2]
    assert len({line.index("task:") for line in lines}) == 1


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--pattern", "*:failed"], ["task:failed"]),
        (["--pattern", "nothing"], []),
        (["--pattern", "*:failed", "--pattern", "x"], ["task:failed"]),
        (["--level", "error"], ["task:failed"]),
        (["--session", "s"], ["task:created"]),
        (["--correlation", "c1"], ["task:created", "task:failed"]),
        (["--source", "bob"], ["agent:said"]),
        (["--where", "id=t2"], ["task:created"]),
        (["--where", "deep.is=true"], ["task:created"]),
        (["--where", "id=t1", "--where", "n=5"], ["task:created"]),
        (["--where", "id=t1", "--where", 'n="5"'], ["task:failed"]),
        (["--owner", "ada"], ["task:created"]),
        (["--since", "2025-06-15T15:08Z", "--owner", ""], ["agent:thought"]),
        (["--until", "2025-06-15T15:07Z"], ["task:created"]),
        (["--chain", "c1"], ["task:created", "task:failed"]),
        (["--chain", "c1", "--limit", "1"], ["task:created"]),
    ],
)
def test_each_option_says_which_events_are_meant(path, told, options, wanted):
    found = [it for it in told(path, *options) if it["name"][:5] in {"task:", "agent"}]
    assert names(found) == wanted


def test_what_is_left_out_is_said(path, run, told):
    _, out, _ = run(path, "--limit", 2, "--pattern", "*:*")
    assert "older ones are left out" in out
    newest = told(path, "--limit", 2, "--pattern", "*:*")
    assert names(newest) == names(told(path, "--pattern", "*:*"))[-2:]
    _, out, _ = run(path, "--pattern", "task:*")
    assert "left out" not in out


def test_a_store_without_events_says_how_there_would_be_some(tmp_path, run):
    file = tmp_path / "silent.db"
    with holdfast.open(file) as store:
        store.sessions.create()
    before = sorted(tmp_path.iterdir())
    status, out, errors = run(file)
    assert (status, errors) == (0, "")
    assert "no events here" in out
    assert "store.events.emit" in out
    assert run(file, "--json") == (0, "", "")
    assert run(file, "--stats")[1] == out
    assert run(file, "--pattern", "x")[:2] == (0, "no event is like that\n")
    assert sorted(tmp_path.iterdir()) == before


def test_figures_tell_how_many_when_and_what_is_unusual(tmp_path, run, told):
    clock = ManualClock()
    file = tmp_path / "busy.db"
    with holdfast.open(file, clock=clock) as store:
        for minute in range(240):
            store.events.emit("beat")
            for _ in range(60 if minute == 200 else 0):
                store.events.emit("task:failed")
            clock.advance(60)
    day = ["--since", "2025-06-15T15:00Z", "--until", "2025-06-15T20:00Z"]
    status, out, _ = run(file, "--stats", "--owner", "", *day)
    rows = {line.split()[0]: line for line in out.splitlines() if line}
    assert status == 0
    assert rows["beat"].split()[1] == "240"
    assert rows["task:failed"].split()[1] == "60"
    assert rows["task:failed"].count("█") == 1
    unusual = out.partition("unusual")[2]
    assert "burst" in unusual
    assert "task:failed  60 in" in unusual
    (found,) = told(file, "--stats", "--owner", "", *day)
    assert found["owner"] == ""
    assert found["by_name"]["beat"]["count"] == 240
    assert ("burst", "task:failed") in {
        (it["kind"], it["name"]) for it in found["unusual"]
    }


def test_events_are_exported_day_by_day(path, tmp_path, run, told):
    folder = tmp_path / "days"
    options = ["--export", folder, "--owner", "", "--pattern", "task:*"]
    status, out, errors = run(path, *options)
    assert (status, errors) == (0, "")
    assert "2 events in 1 file" in out
    (file,) = folder.iterdir()
    assert file.name == "events-2025-06-15.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines == told(path, "--owner", "", "--pattern", "task:*")
    (report,) = told(path, *options)
    assert report == {
        "files": [file.name], "events": 2, "bytes": file.stat().st_size,
    }  # fmt: skip
    status, _, errors = run(path, "--export", folder)
    assert (status, "add --owner" in errors) == (1, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--follow", "--stats"], "do not go together"),
        (["--follow", "--until", "now"], "--follow does not take --until"),
        (["--stats", "--pattern", "x"], "--stats does not take --pattern"),
        (["--stats", "--limit", "5"], "--stats does not take --limit"),
        (["--chain", "c", "--session", "s"], "--chain does not take --session"),
        (["--export", "x", "--level", "error"], "--export does not take --level"),
        (["--since", "17"], "by a time"),
        (["--where", "id"], "is no condition"),
        (["--where", "a..b=1"], "dotted path"),
        (["--pattern", ""], "1 to 200 characters"),
    ],
)
def test_what_does_not_go_together_is_told(path, run, options, said):
    status, out, errors = run(path, *options)
    assert (status, out) == (1, "")
    assert said in errors
    assert len(errors.splitlines()) == 1


def test_no_store_is_made_by_a_look(tmp_path, run):
    status, _, errors = run(tmp_path / "nowhere.db")
    assert status == 1
    assert "nowhere.db" in errors
    assert list(tmp_path.iterdir()) == []


EMITTING = """
import sys, holdfast
with holdfast.open(sys.argv[1]) as store:
    for line in sys.stdin:
        owner, name = line.split()
        store.owned_by("" if owner == "-" else owner).events.emit(name, {"n": 1})
        store.events.flush()
"""


@pytest.fixture
def started():
    """Start a process, which is killed in the end if it has not ended."""
    processes = []

    def started(command, **pipes):
        processes.append(subprocess.Popen(command, **pipes))
        return processes[-1]

    yield started
    for process in processes:
        process.kill()
        process.communicate()


def test_what_another_process_emits_is_followed_until_ctrl_c(path, started):
    command = [*PROGRAM, path, "--follow", "--pattern", "task:*", "--json"]
    child = started([*command, "--since", "1 minute ago"], **PIPES)
    emitting = [sys.executable, "-c", EMITTING, path]
    emits = started(emitting, stdin=subprocess.PIPE, text=True).stdin

    def seen_of(owner, name):
        emits.write(f"{owner} {name}\n")
        emits.flush()
        if name.startswith("task:"):
            event = json.loads(child.stdout.readline())
            assert (event["owner"], event["name"]) == (owner.strip("-"), name)

    seen_of("-", "task:one")
    seen_of("-", "agent:one")
    seen_of("ada", "task:two")
    seen_of("new", "task:three")  # who had no events before
    seen_of("-", "task:four")
    child.send_signal(signal.SIGINT)
    out, errors = child.communicate(timeout=30)
    assert (child.returncode, out, errors) == (0, b"", b"")


def test_following_begins_where_it_is_told_and_ends_after_so_many(path, run, told):
    options = ["--follow", "--since", "2025-06-15T15:00Z", "--pattern", "task:*"]
    found = told(path, *options, "--owner", "", "--limit", 2)
    assert names(found) == ["task:created", "task:failed"]
    _, out, _ = run(path, *options, "--limit", 3)
    assert out.count("task:") == 3
    _, out, _ = run(path, *options, "--limit", 1, "--level", "error")
    assert [line.split()[2] for line in out.splitlines()] == ["error"]


def test_a_stream_ends_though_more_is_ready_than_is_read_ahead(path):
    with holdfast.open(path) as store:
        for number in range(3_000):
            store.events.emit("flood:came", number)
        store.events.flush()
        streams = Streams(store, None, {"pattern": "flood:*", "since": LONG_AGO})
        coming = iter(streams)
        assert [next(coming).data for _ in range(5)] == [0, 1, 2, 3, 4]
        until(streams._queue.full)
        streams.close()


def test_grave_events_are_coloured_on_a_terminal(path, run, monkeypatch):
    assert "\x1b[1;31m" not in run(path)[1]
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = run(path)[1]
    assert "\x1b[1;31m  error" in out
    assert "[bold]" in out


def test_a_store_on_postgresql_is_looked_at_as_well(run, told):
    with empty_store() as url:
        with holdfast.open(url) as store:
            store.events.emit("task:created", {"id": "t1"})
            store.owned_by("ada").events.emit("task:failed", level="error")
        assert names(told(url, "--pattern", "task:*")) == [
            "task:created", "task:failed",
        ]  # fmt: skip
        following = ["--follow", "--since", "1 hour ago", "--limit", 1]
        assert names(told(url, *following, "--level", "error")) == ["task:failed"]
        assert "task:failed" in run(url, "--stats")[1]
