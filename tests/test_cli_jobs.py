"""Jobs on the command line: lists, pages, the live view, changes, a worker."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from rich.console import Console

import holdfast
from holdfast.cli import main
from holdfast.cli.happenings import Happenings
from holdfast.cli.job_screen import Screen

PROGRAM = [sys.executable, "-m", "holdfast.cli"]
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
WORKER = "vm:1:a"
MODULE = """
async def mail(job):
    return {"to": job.body}

class Some:
    handlers = {"mail": mail}

handlers = {"mail": mail}
number = 7

BELL = {
    "initial": "ringing",
    "states": {
        "ringing": {"entry": {"tool": "@sounds/ring"}, "on": {"SUCCESS": "rung"}},
        "rung": {},
    },
}

def ring(job):
    return "ding"

def of_store(store):
    store.machines.define("bell", BELL, effects={"@sounds/ring": ring})
    return handlers

def none_of_store(store):
    pass
"""


def fill(store):
    """Jobs in every status there is, and texts up to no good."""
    put = store.jobs.put
    store.sessions.create("Plan", id="plan")
    put("research", {"topic": "ships " * 30}, lane="plan", id="held", session="plan")
    put("research", "\x1b[31m[bold]", lane="plan", id="behind")
    for id in ("dead", "again", "done"):
        put("mail", id=id)
    put("join", id="parent")
    put("mail", id="child", parent="parent", delay_seconds=1000, priority=-1)
    put("mail", id="cancelled")
    store.jobs.cancel("cancelled")
    store.jobs.claim(WORKER, kinds=["mail", "join"], limit=4, lease_seconds=900)
    store.jobs.fail("dead", "ValueError: \x07no such address", retry=False, fence=1)
    store.jobs.fail("again", "TimeoutError: too long", delay_seconds=900, fence=1)
    store.jobs.complete("done", {"sent": True}, fence=1)
    store.jobs.join("parent", fence=1)
    store.jobs.claim(WORKER, kinds=["research"], lease_seconds=900)
    store.jobs.keep_step("held", "ask", {"said": "x"}, nth=0, position=0, fence=1)
    store.schedules.put("often", "mail", {"to": "all"}, every_seconds=30, lane="post")
    store.schedules.put("rare", "index", every_seconds=86_400, missed="last")
    store.schedules.pause("rare")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store that tests only look at."""
    path = tmp_path_factory.mktemp("jobs") / "store.db"
    with holdfast.open(path) as store:
        fill(store)
        store.owned_by("ada").jobs.put("mail", {"to": "ada"}, id="hers")
    return path


@pytest.fixture
def path(tmp_path):
    """A store with one job of kind `mail`."""
    with holdfast.open(tmp_path / "store.db") as store:
        store.jobs.put("mail", "ada", id="one")
    return tmp_path / "store.db"


@pytest.fixture
def run(capfdbinary, monkeypatch):
    """Run a command in this process: its status, its output, its errors."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        out, errors = capfdbinary.readouterr()
        return status, out.decode(), errors.decode()

    return run


def listed(run, *arguments):
    """The ids that a list has, with --json."""
    return [job["id"] for job in json.loads(run(*arguments, "--json")[1])["jobs"]]


def looks(path):
    return [
        ["jobs", path],
        ["jobs", path, "--as-of", 5],
        ["jobs", path, "--owner", "ada"],
        ["schedules", path],
        ["log", path],
        ["log", path, "job", "held"],
        ["log", path, "job", "dead", "--full"],
        *(["show", path, "job", id] for id in ("held", "dead", "parent", "done")),
        ["show", path, "schedule", "often"],
    ]


def test_every_look_fits_into_80_columns_and_steers_no_terminal(filled, run):
    for command in looks(filled):
        status, out, errors = run(*command)
        assert (status, errors) == (0, ""), command
        assert max(map(len, out.splitlines())) <= 80, command
        assert all(char.isprintable() or char == "\n" for char in out), command
        assert isinstance(json.loads(run(*command, "--json")[1]), dict)


def test_a_list_begins_with_figures_and_tells_how_each_job_stands(filled, run):
    _, out, _ = run("jobs", filled)
    head, table = out.split("\n\n")
    assert head.splitlines()[0] == (
        "4 queued, 1 active, 1 waiting, 1 done, 1 dead, 1 cancelled"
    )
    assert head.splitlines()[1].startswith("the oldest has been ready for ")
    assert f"worker {WORKER}, lease until" in table
    assert "waits for its children" in table
    assert "in lane plan" in table
    assert "ValueError: \N{REPLACEMENT CHARACTER}no such address" in table
    assert "TimeoutError: too long" in table
    assert "due " in table


def test_figures_for_programs_are_those_of_every_owner_or_of_one(filled, run):
    stats = json.loads(run("jobs", filled, "--json")[1])["stats"]
    assert stats["total"] == 9
    assert stats["by_status"]["queued"] == 4
    assert stats["by_kind"]["research"] == {"queued": 1, "active": 1}
    stats = json.loads(run("jobs", filled, "--owner", "ada", "--json")[1])["stats"]
    assert (stats["total"], stats["by_status"]["queued"]) == (1, 1)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["--status", "active"], ["held"]),
        (["--status", "dead"], ["dead"]),
        (["--kind", "join"], ["parent"]),
        (["--lane", "plan"], ["behind", "held"]),
        (["--session", "plan"], ["held"]),
        (["--parent", "parent"], ["child"]),
        (["--owner", "ada"], ["hers"]),
        (["--kind", "none"], []),
    ],
)
def test_jobs_can_be_chosen(wanted, found, filled, run):
    assert listed(run, "jobs", filled, *wanted) == found


def test_pages_of_jobs_lead_on(filled, run):
    seen, cursor = [], []
    while True:
        command = ["jobs", filled, "--limit", 4, *cursor]
        page = json.loads(run(*command, "--json")[1])
        seen += [job["id"] for job in page["jobs"]]
        assert ("--cursor" in run(*command)[1]) == (page["cursor"] is not None)
        if page["cursor"] is None:
            break
        cursor = ["--cursor", page["cursor"]]
    assert seen == listed(run, "jobs", filled)
    assert len(seen) == 9


def test_show_tells_all_of_a_job_with_its_steps_and_its_children(filled, run):
    _, out, _ = run("show", filled, "job", "held")
    for part in (WORKER, "1 of 3", "steps", "ask", '{"said":"x"}', "plan"):
        assert part in out
    _, out, _ = run("show", filled, "job", "parent")
    assert "waits for its children" in out
    assert "child" in out.partition("\nchildren\n")[2]
    found = json.loads(run("show", filled, "job", "held", "--json")[1])
    assert [step["name"] for step in found["steps"]] == ["ask"]
    assert found["job"]["status"] == "active"
    found = json.loads(run("show", filled, "job", "parent", "--json")[1])
    assert [job["id"] for job in found["children"]] == ["child"]


def test_schedules_tell_their_rule_and_when_they_are_due(filled, run):
    lines = run("schedules", filled)[1].splitlines()
    assert lines[1].split()[:4] == ["index", "every", "86400", "s"]
    assert lines[1].split()[4:] == ["paused", "last"]
    assert lines[3].split()[:7] == [
        "mail", '{"to":"all"}', "every", "30", "s", "on", "all",
    ]  # fmt: skip
    found = json.loads(run("schedules", filled, "--json")[1])["schedules"]
    assert [one["id"] for one in found] == ["rare", "often"]
    assert (found[0]["next_at"], found[1]["paused"]) == (None, False)
    assert "in lane post" in run("schedules", filled)[1]
    assert "every 30 s" in run("show", filled, "schedule", "often")[1]


def test_the_journal_tells_of_jobs_in_words(filled, run):
    _, out, _ = run("log", filled)
    assert "create job      dead  mail" in out
    assert "create job end  of done  done  " in out
    assert "create job step of held  ask  " in out


def test_an_operator_can_cancel_and_revive_and_the_journal_tells_so(path, run):
    status, out, _ = run("jobs", "cancel", path, "one")
    assert (status, out) == (0, "job one is cancelled\n")
    assert run("jobs", "revive", path, "one")[1] == "job one is queued\n"
    assert "holdfast jobs revive" in run("log", path)[1]
    with holdfast.open(path) as store:
        store.jobs.claim("w1")
    assert "asked to cancel" in run("jobs", "cancel", path, "one")[1]
    found = json.loads(run("jobs", "cancel", path, "one", "--json")[1])
    assert found["job"]["cancelling"] is True


def test_a_signal_with_what_goes_with_it_reaches_the_job(path, run):
    assert run("jobs", "signal", path, "one", "go", '{"by": "me"}')[0] == 0
    status, _, errors = run("jobs", "signal", path, "one", "go", "yes")
    assert (status, "'yes' is no JSON" in errors) == (1, True)
    with holdfast.open(path) as store:
        store.jobs.claim("w1")
        there = store.jobs.wait("one", "go", nth=0, position=0, fence=1)
    assert (there.there, there.payload) == (True, {"by": "me"})


def test_purge_takes_what_ended_before_a_time_of_every_owner(path, run):
    with holdfast.open(path) as store:
        for view in (store, store.owned_by("ada")):
            view.jobs.put("mail", id="two")
            view.jobs.cancel("two")
    assert run("jobs", "purge", path, "--before", "1 day ago")[1] == "0 jobs purged\n"
    assert run("jobs", "purge", path, "--before", "now")[1] == "2 jobs purged\n"
    assert listed(run, "jobs", path) == ["one"]
    status, _, errors = run("jobs", "purge", path, "--before", "3")
    assert (status, "by a time" in errors) == (1, True)


@pytest.mark.parametrize(
    "command",
    [
        ["jobs"],
        ["jobs", "watch"],
        ["jobs", "purge", "--before", "now"],
        ["schedules"],
        ["worker", "os:environ", "--store"],
    ],
)
def test_no_command_makes_a_store(command, tmp_path, run):
    status, out, errors = run(*command, tmp_path / "nowhere.db")
    assert (status, out) == (1, "")
    assert errors == f"holdfast: there is no store at {tmp_path / 'nowhere.db'}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["jobs"],
        ["jobs", "s.db", "--status", "nonsense"],
        ["jobs", "watch", "s.db", "--nonsense"],
        ["jobs", "signal", "s.db", "id"],
        ["jobs", "purge", "s.db"],
        ["worker", "app:handlers"],
        ["worker", "app:handlers", "--store", "s.db", "--concurrency", "0"],
    ],
)
def test_a_misused_command_ends_with_2_and_says_how(arguments, run):
    status, out, errors = run(*arguments)
    assert (status, out) == (2, "")
    assert errors.startswith("holdfast: ")
    assert "--help` tells what there is" in errors


def test_what_happens_to_jobs_is_told_once_each(path):
    with holdfast.open(path) as store:
        happenings = Happenings(store, None)

        def told():
            found = happenings.look()
            assert happenings.look() == []
            return [(one.change, one.id) for one in found]

        assert told() == []
        store.jobs.claim("w1")
        assert told() == [("active", "one")]
        store.jobs.fail("one", "oh", delay_seconds=0, fence=1)
        assert told() == [("queued", "one")]
        store.jobs.claim("w1")
        assert told() == [("active", "one")]
        store.jobs.wait("one", "go", nth=0, position=0, fence=2)
        assert told() == [("waiting", "one")]
        store.jobs.signal("one", "go")
        store.jobs.claim("w1")
        store.jobs.put("mail", id="two")
        assert told() == [("put", "two"), ("active", "one")]
        store.jobs.fail("one", "oh", retry=False, fence=3)
        store.jobs.cancel("two")
        assert told() == [("dead", "one"), ("cancelled", "two")]
        store.jobs.revive("one")
        store.jobs.purge(finished_before=datetime.now(UTC))
        assert told() == [("revived", "one"), ("purged", "two")]
        store.owned_by("ada").jobs.put("mail", id="one")
        (one,) = happenings.look()
        assert (one.change, one.owner) == ("put", "ada")


@contextlib.contextmanager
def started(*arguments):
    """A command in a process of its own, which is gone afterwards."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [*PROGRAM, *arguments]
    with subprocess.Popen(command, env=environment, **PIPES) as child:
        try:
            yield child
        finally:
            child.kill()


def drawn(screen, width, height):
    console = Console(width=width, height=height, color_system=None)
    with console.capture() as captured:
        console.print(screen.drawn(width, height))
    return captured.get()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (80, 10)])
def test_the_screen_fits_and_tells_of_kinds_active_and_ended_jobs(
    width, height, tmp_path
):
    with holdfast.open(tmp_path / "s.db") as store:
        fill(store)
        screen = Screen(store, None)
        out = drawn(screen, width, height)
        assert max(map(len, out.splitlines())) <= width
        assert "held  research  1/3  15 min left  vm:1:a" in out
        assert "dead       dead  mail" in out or height == 10
        assert "all " in out
        assert "research       1       1        0     0" in out
        with store.transaction() as tx:
            for number in range(60):
                tx.jobs.put("index", id=f"i{number}")
            for job in tx.jobs.claim(WORKER, kinds=["index"], limit=50):
                if job.id > "i3":
                    tx.jobs.complete(job.id, fence=1)
            tx.jobs.put("mail", id="late")
            tx.jobs.cancel("late")
        out = drawn(screen, width, height)
        assert out.partition("ended last\n")[2].split()[1:4] == [
            "cancelled", "late", "mail",
        ]  # fmt: skip
        if height > 10:
            assert height - 4 <= len(out.splitlines()) <= height
            assert re.search(r"^and \d+ more$", out, re.MULTILINE)


def test_watch_tells_each_change_in_a_pipe_and_ends_at_ctrl_c_with_0(path):
    with started("jobs", "watch", path) as child, holdfast.open(path) as store:
        assert child.stdout.readline() == (
            "1 queued, 0 active, 0 waiting, 0 done, 0 dead\n"
        )
        child.stdout.readline()
        store.jobs.claim("w1", lease_seconds=900)
        assert child.stdout.readline()[19:] == (
            "  active     one  mail  attempt 1 by w1\n"
        )
        store.jobs.fail("one", "oh no", retry=False, fence=1)
        assert child.stdout.readline()[19:] == "  dead       one  mail  oh no\n"
        child.send_signal(signal.SIGINT)
        out, errors = child.communicate()
        assert (child.returncode, out, errors) == (0, "", "")


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A folder with a module of handlers, in which we are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "posting.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("from math import pi\nhandlers = 1 / 0\n")
    (tmp_path / "lacking.py").write_text("import no_such_library\n")
    yield
    for name in ("posting", "broken", "lacking"):
        sys.modules.pop(name, None)


def test_a_worker_does_jobs_until_sigterm_and_reports(path, program):
    command = ["worker", "posting:Some.handlers", "--store", path, "--name", "w1"]
    with (
        started(*command, "--concurrency", "3") as child,
        holdfast.open(path) as store,
    ):
        assert child.stdout.readline() == (
            f"worker w1 serves mail of {path}, 3 at once; Ctrl-C stops it\n"
        )
        assert store.jobs.result("one", timeout_seconds=20) == {"to": "ada"}
        child.send_signal(signal.SIGTERM)
        out, errors = child.communicate()
        assert child.returncode == 0, errors
        assert out.startswith("worker w1 has stopped: ")
        assert "1 done" in out
        assert "Traceback" not in errors


def test_a_worker_does_what_the_machines_need_that_its_module_defines(path, program):
    with (
        started("worker", "posting:of_store", "--store", path, "--name", "w") as child,
        holdfast.open(path) as store,
    ):
        assert child.stdout.readline() == (
            f"worker w serves @sounds/ring, machine.after, mail of {path}, 10 at once; "
            "Ctrl-C stops it\n"
        )
        store.machines.create("bell", id="front")
        child_has_rung = store.journal.follow(0, kinds=["machine_step"])
        assert any(one.after["to_state"] == "rung" for one in child_has_rung)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("posting", "'posting' names no handlers: write MODULE:HANDLERS"),
        ("posting:", "names no handlers"),
        (".posting:handlers", "names no handlers"),
        ("missing:handlers", "there is no module 'missing', neither in "),
        ("posting.part:handlers", "there is no module 'posting.part'"),
        ("posting:missing", "has no 'missing': a dict of functions by kind"),
        ("posting:number", "posting:number is of type int: a dict of functions"),
        ("posting:none_of_store", "what posting:none_of_store gives is of type NoneT"),
        ("broken:handlers", "ZeroDivisionError: division by zero"),
        ("lacking:handlers", "No module named 'no_such_library'"),
    ],
)
def test_handlers_that_are_not_there_are_told_in_words(named, said, path, program, run):
    status, out, errors = run("worker", named, "--store", path)
    assert (status, out) == (1, "")
    assert errors.startswith("holdfast: ")
    assert said in errors
    assert "holdfast/cli" not in errors


def test_a_worker_across_owners_is_nobodys(path, program, run):
    command = ["worker", "posting:Some.handlers", "--store", path, "--across-owners"]
    status, out, errors = run(*command, "--owner", "ada")
    assert (status, out) == (1, "")
    assert "a worker across owners is the store's, and not 'ada''s alone" in errors
