"""`holdfast copy`: for people, for programs, and how it ends."""

import json
import os
import pty
import signal
import subprocess
import sys

import pytest

import holdfast
from copies import kept, live, places_in
from holdfast.cli import main

PROGRAM = [sys.executable, "-m", "holdfast.cli", "copy"]


@pytest.fixture
def place(tmp_path):
    with places_in(tmp_path) as place:
        yield place


@pytest.fixture
def full(place):
    source = place("file")
    with holdfast.open(source) as store:
        live(store)
    return source


@pytest.fixture
def run(capfdbinary, monkeypatch):
    """Run `copy` in this process: its status, its output, its errors."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        status = main(["copy", *arguments])
        out, errors = capfdbinary.readouterr()
        return status, out.decode(), errors.decode()

    return run


def test_people_are_told_every_table_and_that_both_are_the_same(run, full, place):
    target = place("postgres")
    status, out, errors = run(full, target)
    assert (status, errors) == (0, "")
    tables = [line.split()[0] for line in out.splitlines()[1:-1]]
    assert {"change", "session", "was_session", "lease", "once"} <= set(tables)
    assert "both places have the same" in out.splitlines()[-1]
    assert all(len(line) <= 80 for line in out.splitlines()[:-1])
    assert kept(target) == kept(full)


def test_programs_are_given_one_json_document(run, full, place):
    target = place("file")
    status, out, errors = run(full, target, "--json")
    said = json.loads(out)
    assert (status, errors) == (0, "")
    assert said["rows"] == sum(table["rows"] for table in said["tables"])
    assert (said["source"], said["target"]) == (full, target)
    with holdfast.open(target) as store:
        assert said["head"] == store.across_owners().journal.head()


def test_a_target_with_data_is_refused_until_it_is_said_to_be_replaced(
    run, full, place
):
    target = place("file")
    with holdfast.open(target) as store:
        store.sessions.create(id="there")
    status, out, errors = run(full, target)
    assert (status, out) == (1, "")
    assert "has data already" in errors
    assert run(full, target, "--replace")[0] == 0
    assert kept(target) == kept(full)


def test_no_password_is_shown(run, full):
    url = "postgresql://ada:secret@127.0.0.1:1/none"
    for arguments in ([full, url], [url, full], [url, url]):
        status, out, errors = run(*arguments)
        assert status == 1
        assert errors
        assert "secret" not in out + errors


def test_following_ends_at_ctrl_c_and_the_next_command_finishes(run, full, place):
    target = place("file")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, full, target, "--follow"],
        stderr=theirs,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "src", "TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(theirs)
    shown = b""
    while b"changes" not in shown:  # it shows the bar; then it has begun to follow
        with holdfast.open(full) as store:
            store.sessions.create("one more")
        shown += os.read(ours, 65_536)
    process.send_signal(signal.SIGINT)
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    assert process.wait(20) == 130
    assert process.stdout.read() == b""
    process.stdout.close()
    assert b"without --follow" in shown
    with pytest.raises(holdfast.errors.CannotOpen):
        holdfast.open(target)
    assert run(full, target)[0] == 0
    assert kept(target) == kept(full)


def _read(terminal):
    try:
        return os.read(terminal, 65_536)
    except OSError:  # the program has ended
        return b""
