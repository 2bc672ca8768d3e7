"""The command line: pleasant at 80 columns, JSON for programs, and how it ends."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading

import pytest

import holdfast
from holdfast.cli import app, main, output
from holdfast.engine import Report
from holdfast.errors import StorageFailed

PROGRAM = [sys.executable, "-m", "holdfast.cli"]
TALK = [
    {"role": "user", "content": "Book seat 4."},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1"}]},
    {"role": "tool", "content": "booked", "tool_call_id": "call_1"},
]


@pytest.fixture
def path(tmp_path):
    """A store with a bit of everything, two owners, and texts up to no good."""
    file = tmp_path / "store.db"
    with holdfast.open(file) as store:
        store.sessions.create("Plan the week", id="plan", tags=["work"])
        with store.transaction(actor="planner", cause="a friend asked") as tx:
            tx.sessions.append("plan", "user", "Where did we stop?")
            tx.tasks.create("Book the flight", id="book", session="plan", tool="web")
        store.tasks.start("book")
        store.tasks.progress("book", 2, 5, "seats")
        store.tasks.log("book", "looked at seats")
        ada = store.owned_by("ada")
        ada.sessions.create("[bold]\x1b[31mRed\x07" + "long " * 40, metadata={"a": 1})
        ada.tasks.create("Water the plants " * 10)
        ada.items.put(
            ["[red]", "b"], "\x1b[31mkey", {"is": "long " * 40}, ttl_seconds=9
        )
        store.threads.put("plan", "c1", values={"seen": {"type": "json", "body": "1"}})
    return file


@pytest.fixture
def run(capfdbinary, monkeypatch):
    """Run a command in this process: its status, its output, its errors."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        out, errors = capfdbinary.readouterr()
        return status, out.decode(), errors.decode()

    return run


def looks(path):
    """Every command that looks, with everything that it can show."""
    return [
        ["sessions", path],
        ["tasks", path],
        ["items", path],
        ["threads", path],
        ["log", path],
        ["log", path, "session", "plan"],
        ["log", path, "task", "book", "--full"],
        ["diff", path, "--from", 0],
        ["tail", path, "--after", 0, "--limit", 5],
        ["check", path],
        ["guarantees"],
        ["show", path, "session", "plan"],
        ["show", path, "message", "plan/1"],
        ["show", path, "task", "book"],
        ["show", path, "item", '![red]!b!"1b[31mkey'],
        ["show", path, "thread", "plan"],
    ]


def test_every_look_fits_into_80_columns_and_steers_no_terminal(path, run):
    for command in looks(path):
        status, out, errors = run(*command)
        assert (status, errors) == (0, ""), command
        assert out.strip(), command
        assert max(map(len, out.splitlines())) <= 80, command
        assert all(char.isprintable() or char == "\n" for char in out), command


def test_every_look_prints_json_that_parses(path, run):
    for command in looks(path):
        status, out, errors = run(*command, "--json")
        assert (status, errors) == (0, ""), command
        documents = out.splitlines() if command[0] == "tail" else [out]
        assert documents
        assert all(isinstance(json.loads(one), dict) for one in documents)


def test_no_look_changes_the_store(path, run):
    with holdfast.open(path) as store:
        head = store.journal.head()
    for command in looks(path):
        run(*command)
    with holdfast.open(path) as store:
        assert store.journal.head() == head


def test_sessions_lists_those_of_every_owner_or_of_one(path, run):
    _, out, _ = run("sessions", path)
    lines = out.splitlines()
    assert lines[0].split() == ["session", "owner", "status", "messages", "updated",
                                "(UTC)"]  # fmt: skip
    assert "Plan the week" in out
    assert "plan" in out
    assert "ada" in out
    _, out, _ = run("sessions", path, "--owner", "ada", "--json")
    (session,) = json.loads(out)["sessions"]
    assert session["owner"] == "ada"


def test_an_id_is_never_cut_and_a_text_is_never_markup(path, run):
    _, out, _ = run("sessions", path, "--owner", "ada", "--json")
    id = json.loads(out)["sessions"][0]["id"]
    _, out, _ = run("sessions", path)
    assert id in out
    assert "[bold]" in out


def test_pages_lead_on(tmp_path, run):
    with holdfast.open(tmp_path / "s.db") as store:
        for number in range(5):
            store.sessions.create(f"talk {number}", id=f"t{number}")
    seen, cursor = [], []
    while True:
        command = ["sessions", tmp_path / "s.db", "--limit", 2, *cursor]
        page = json.loads(run(*command, "--json")[1])
        seen += [session["id"] for session in page["sessions"]]
        told = run(*command)[1]
        if page["cursor"] is None:
            assert "--cursor" not in told
            break
        assert f"--cursor {page['cursor']}" in told
        cursor = ["--cursor", page["cursor"]]
    assert seen == ["t4", "t3", "t2", "t1", "t0"]


def test_tasks_can_be_chosen_by_status(path, run):
    _, out, _ = run("tasks", path, "--status", "in_progress", "--json")
    assert [task["id"] for task in json.loads(out)["tasks"]] == ["book"]
    _, out, _ = run("tasks", path)
    assert "2/5" in out
    assert "Book the flight" in out


def test_show_tells_of_a_session_its_messages_and_its_tasks(path, run):
    _, out, _ = run("show", path, "sessions", "plan")
    for part in ("Plan the week", "work", "Where did we stop?", "user", "book"):
        assert part in out
    found = json.loads(run("show", path, "session", "plan", "--json")[1])
    assert [m["content"] for m in found["messages"]] == ["Where did we stop?"]
    assert [t["id"] for t in found["tasks"]] == ["book"]


def test_items_are_listed_by_namespace_and_shown_by_id(tmp_path, run):
    path = tmp_path / "store.db"
    with holdfast.open(path) as store:
        store.items.put(["memories", "ada"], "color", {"likes": "red"}, ttl_seconds=60)
        store.items.put(["files"], "/etc/hosts", {"size": 9})
    _, out, _ = run("items", path)
    assert "color" in out
    assert "memories / ada" in out
    assert "/etc/hosts" in out
    _, out, _ = run("items", path, "memories")
    assert "/etc/hosts" not in out
    _, out, _ = run("items", path, "files", "--json")
    (found,) = json.loads(out)["items"]
    _, out, _ = run("show", path, "item", found["id"])
    assert out.startswith("/etc/hosts\n")
    assert '{"size":9}' in out
    assert run("show", path, "item", "none")[0] == 1


def test_show_tells_of_a_thread_its_checkpoints_page_by_page(tmp_path, run):
    path = tmp_path / "store.db"
    with holdfast.open(path) as store:
        for number in (1, 2, 3):
            store.threads.put(
                "trip",
                f"c{number}",
                parent=f"c{number - 1}" if number > 1 else None,
                values={f"at{number}": {"type": "json", "body": "1"}},
                metadata={"step": number},
            )
    assert "trip" in run("threads", path)[1]
    _, out, _ = run("show", path, "thread", "trip", "--limit", 2)
    assert out.index("c3") < out.index("after: c2")
    assert "channels: at2" in out
    assert "at1" not in out
    cursor = out.split("--cursor ")[1].split()[0]
    _, out, _ = run("show", path, "thread", "trip", "--cursor", cursor, "--json")
    assert [found["id"] for found in json.loads(out)["checkpoints"]] == ["c1"]


def test_show_pages_back_through_a_long_session(tmp_path, run):
    with holdfast.open(tmp_path / "s.db") as store:
        store.sessions.create(id="t")
        store.sessions.extend("t", [{"role": "user", "content": n} for n in range(7)])
    command = ["show", tmp_path / "s.db", "session", "t", "--limit", 3]
    page = json.loads(run(*command, "--json")[1])
    assert [m["content"] for m in page["messages"]] == [4, 5, 6]
    assert page["cursor"] in run(*command)[1]
    page = json.loads(run(*command, "--cursor", page["cursor"], "--json")[1])
    assert [m["content"] for m in page["messages"]] == [1, 2, 3]


def test_show_finds_a_message_by_its_place_or_by_its_id(tmp_path, run):
    with holdfast.open(tmp_path / "s.db") as store:
        store.sessions.create(id="t")
        for number in range(3):
            store.sessions.append("t", "user", f"m{number}", message_id=f"id-{number}")
    for name in ("t/2", "t/id-1"):
        _, out, _ = run("show", tmp_path / "s.db", "message", name, "--json")
        assert json.loads(out)["message"]["content"] == "m1"
    for name in ("t/9", "t/id-9", "u/1", "t/0"):
        status, _, errors = run("show", tmp_path / "s.db", "message", name)
        assert status == 1
        assert errors.startswith("holdfast: there is no ")
    status, _, errors = run("show", tmp_path / "s.db", "message", "t")
    assert (status, "SESSION/POSITION" in errors) == (1, True)


def test_a_call_of_a_tool_is_shown_as_a_call(tmp_path, run):
    call = {
        "function": {"name": "book", "arguments": '{"seat": 4}'},
        "type": "function",
    }
    with holdfast.open(tmp_path / "s.db") as store:
        store.sessions.create(id="t")
        append = store.sessions.append
        append("t", "assistant", None, metadata={"tool_calls": [call], "n": 1})
        append("t", "assistant", [{"type": "text", "text": "a part"}])
        append("t", "user", {"odd": [1]}, metadata={"tool_calls": "odd too"})
        append("t", "user", None)
    _, out, _ = run("show", tmp_path / "s.db", "session", "t")
    for part in ('    calls book({"seat": 4})\n    n: 1\n', "    a part\n",
                 '"odd": [', "tool_calls: odd too"):  # fmt: skip
        assert part in out
    _, out, _ = run("log", tmp_path / "s.db")
    assert 'of t  assistant: calls book({"seat": 4}), n: 1' in out
    assert "of t  assistant: a part" in out


def test_log_shows_deletions_updates_and_long_ids_within_80_columns(tmp_path, run):
    id = "i" * 60
    with holdfast.open(tmp_path / "s.db") as store:
        store.sessions.create("A title", id=id)
        store.sessions.append(id, "user", "a text of some length, too long for a line")
        store.sessions.update(id, title="Another title", tags=["x"])
        store.tasks.create("To do", id="t")
        store.tasks.log("t", "a line")
        store.tasks.delete("t")
    _, out, _ = run("log", tmp_path / "s.db")
    assert max(map(len, out.splitlines())) <= 80
    assert "create task log of t  a line" in out
    assert "delete task     t  To do" in out
    assert "user: a text of some length, too long for a line" in out
    assert "title Another title" in out


def test_show_cuts_long_texts_unless_asked_for_all(tmp_path, run):
    with holdfast.open(tmp_path / "s.db") as store:
        store.sessions.create(id="t")
        store.sessions.append("t", "user", "\n".join(f"line {n}" for n in range(50)))
    _, out, _ = run("show", tmp_path / "s.db", "session", "t")
    assert "line 11" in out
    assert "line 12" not in out
    assert "304 more (--full)" in out
    _, out, _ = run("show", tmp_path / "s.db", "session", "t", "--full")
    assert "line 49" in out


def test_show_asks_whose_it_is_only_if_several_have_one(path, run):
    with holdfast.open(path) as store:
        store.owned_by("ada").tasks.create("Another", id="book")
    status, _, errors = run("show", path, "task", "book")
    assert status == 1
    assert "'', 'ada'" in errors
    assert "--owner" in errors
    _, out, _ = run("show", path, "task", "book", "--owner", "ada", "--json")
    assert json.loads(out)["task"]["description"] == "Another"


def test_log_tells_when_who_why_and_what(path, run):
    _, out, _ = run("log", path)
    assert "planner  a friend asked" in out
    assert "create message  of plan  user: Where did we stop?" in out
    assert "update task     book  pending → in_progress" in out
    assert "for ada" in out


def test_log_shows_the_newest_or_what_follows_a_place(path, run):
    every = json.loads(run("log", path, "--json")[1])["changes"]
    seqs = [change["seq"] for change in every]
    assert seqs == sorted(seqs)
    newest = json.loads(run("log", path, "--limit", 2, "--json")[1])["changes"]
    assert newest == every[-2:]
    after = json.loads(run("log", path, "--after", seqs[1], "--limit", 2, "--json")[1])[
        "changes"
    ]
    assert after == every[2:4]
    _, out, _ = run("log", path, "--after", 0, "--limit", 2)
    assert f"--after {seqs[1]}" in out


def test_log_can_be_narrowed_to_kinds_and_to_an_owner(path, run):
    command = ["log", path, "--json", "--kind", "task", "--kind", "message"]
    changes = json.loads(run(*command)[1])["changes"]
    assert {change["kind"] for change in changes} == {"task", "message"}
    changes = json.loads(run("log", path, "--owner", "ada", "--json")[1])["changes"]
    assert {change["owner"] for change in changes} == {"ada"}
    changes = json.loads(
        run("log", path, "--limit", 1, "--kind", "session", "--json")[1]
    )
    assert len(changes["changes"]) == 1
    status, _, errors = run("log", path, "--kind", "nonsense")
    assert (status, "nonsense" in errors) == (1, True)


def test_tail_follows_what_other_processes_write(path):
    command = [*PROGRAM, "tail", path, "--json", "--limit", "3"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as child,
        holdfast.open(path) as store,
    ):
        stop = threading.Event()

        def write():
            while not stop.wait(0.02):
                store.sessions.append("plan", "user", "again")

        writer = threading.Thread(target=write)
        writer.start()
        lines = child.stdout.read().splitlines()
        stop.set()
        writer.join()
        assert child.wait() == 0
    assert [json.loads(line)["after"]["content"] for line in lines] == ["again"] * 3


def test_tail_ends_quietly_at_ctrl_c(path):
    command = [*PROGRAM, "tail", path, "--after", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as child:
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate()
        assert (child.returncode, errors) == (130, b"")


def test_output_that_nobody_reads_ends_the_command_quietly(tmp_path):
    with holdfast.open(tmp_path / "s.db") as store:
        store.sessions.create(id="t")
        store.sessions.extend(
            "t", [{"role": "user", "content": "x" * 900} for _ in range(900)]
        )
    for arguments in (["log", tmp_path / "s.db", "--limit", "9999", "--json"],
                      ["tail", tmp_path / "s.db", "--after", "0"]):  # fmt: skip
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen([*PROGRAM, *arguments], **pipes) as child:
            child.stdout.read(100)
            child.stdout.close()
            assert child.stderr.read() == b""
            assert child.wait() == 141


def test_a_tail_of_no_changes_is_not_understood(path, run):
    status, out, errors = run("tail", path, "--after", 0, "--limit", 0)
    assert (status, out, "--limit" in errors) == (2, "", True)


def test_check_says_what_is_there_and_that_nothing_is_wrong(path, run):
    status, out, _ = run("check", path)
    assert status == 0
    assert "nothing is wrong" in out
    found = json.loads(run("check", path, "--json")[1])
    assert found["ok"] is True
    assert found["counts"]["session"] == 2


def test_check_names_problems_and_ends_with_1(path, run, monkeypatch):

    report = Report(problems=("page 7 is damaged",), counts={"session": 2})
    monkeypatch.setattr(holdfast.Store, "check", lambda self: report)
    status, out, _ = run("check", path)
    assert status == 1
    assert "page 7 is damaged" in out
    assert "1 problem" in out
    status, out, _ = run("check", path, "--json")
    assert (status, json.loads(out)["ok"]) == (1, False)


def test_guarantees_names_every_kind_and_its_promise(run):
    _, out, _ = run("guarantees")
    assert "sessions" in out
    assert "durable" in out
    assert "in the past" in out
    table = json.loads(run("guarantees", "--json")[1])["guarantees"]
    assert {"kind", "promise", "acknowledged"} <= table[0].keys()


def test_a_look_at_an_empty_store_says_so(tmp_path, run):
    holdfast.open(tmp_path / "s.db").close()
    assert run("sessions", tmp_path / "s.db")[1] == "no sessions\n"
    assert run("tasks", tmp_path / "s.db")[1] == "no tasks\n"
    assert run("log", tmp_path / "s.db")[1] == "no changes\n"


@pytest.mark.parametrize("command", ["sessions", "tasks", "log", "tail", "check"])
def test_a_look_never_makes_a_store(command, tmp_path, run):
    status, out, errors = run(command, tmp_path / "nowhere.db")
    assert (status, out) == (1, "")
    assert errors.startswith("holdfast: ")
    assert "nowhere.db" in errors
    assert list(tmp_path.iterdir()) == []


def test_another_programs_file_is_left_as_it_is(tmp_path, run):
    file = tmp_path / "notes.txt"
    file.write_bytes(b"not a database, " * 500)
    status, _, errors = run("sessions", file)
    assert (status, errors.startswith("holdfast: ")) == (1, True)
    assert file.read_bytes() == b"not a database, " * 500
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "arguments",
    [
        ["sessions"],
        ["nonsense"],
        ["sessions", "s.db", "--nonsense"],
        ["sessions", "s.db", "--limit", "many"],
        ["sessions", "s.db", "--limit", "0"],
        ["sessions", "s.db", "--status", "nonsense"],
        ["show", "s.db", "nonsense", "x"],
        ["show", "s.db", "session"],
        ["import", "chat", "x.json"],
        ["import", "chat", "--to", "s.db"],
        ["import", "nonsense"],
        ["demo", "--kills", "x"],
    ],
)
def test_a_misused_command_ends_with_2_and_says_how(arguments, run):
    status, out, errors = run(*arguments)
    assert (status, out) == (2, "")
    assert errors.startswith("holdfast: ")
    assert "Traceback" not in errors


def test_an_error_of_ours_is_one_line_and_ends_with_1(path, run):
    for command in (
        ["show", path, "session", "nobody"],
        ["show", path, "task", "nothing"],
        ["sessions", path, "--cursor", "nonsense"],
        ["sessions", path, "--owner", "../up"],
        ["show", path, "session", "../up"],
    ):
        status, out, errors = run(*command)
        assert (status, out) == (1, ""), command
        assert errors.startswith("holdfast: ")
        assert errors.count("\n") == 1


def test_help_and_version_end_with_0(run):
    for arguments in ([], ["--help"], ["--version"], ["import"], ["log", "--help"]):
        status, out, errors = run(*arguments)
        assert (status, errors) == (0, "")
        assert out
        assert max(map(len, out.splitlines())) <= 80


def test_every_command_and_every_option_is_described(run):
    commands = ["demo", "import chat", "import sessions", "import active-mirror",
                "import langgraph", "import adk", "import openai-agents", "sessions",
                "show", "tasks", "log", "diff",
                "tail", "check", "search", "export", "render", "copy", "fork", "trim",
                "migrate", "guarantees", "config", "jobs", "jobs watch", "jobs cancel",
                "jobs revive", "jobs signal", "jobs purge", "schedules",
                "machines", "machines show", "worker"]  # fmt: skip
    every = run("--help")[1]
    for command in commands:
        assert command.split()[0] in every
        told = run(*command.split(), "--help")[1]
        assert f"holdfast {command}" in told


def test_without_its_libraries_it_says_what_to_install(tmp_path):
    for library in ("cyclopts", "rich"):
        code = (
            f"import sys; sys.modules[{library!r}] = None\n"
            "from holdfast.cli import main; sys.exit(main(['sessions', 'x']))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=False
        )
        assert done.returncode == 1
        assert b"pip install 'holdfast[cli]'" in done.stderr
        assert b"Traceback" not in done.stderr


def test_importing_holdfast_does_not_import_the_command_line():
    code = (
        "import sys, holdfast\n"
        "assert not {'rich', 'cyclopts', 'holdfast.cli', 'holdfast.importers'}"
        " & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_demo_is_handed_on(run, monkeypatch, tmp_path):
    told = []
    monkeypatch.setattr("holdfast.demo.run_demo", lambda *all: told.append(all) or 1)
    status, _, _ = run("demo", "--agents", 2, "--kills", 3, "--keep", tmp_path / "k")
    assert status == 1
    assert told == [(None, 2, 3, tmp_path / "k")]


def on_a_terminal(*arguments, environment=()):
    """What a command prints where output is a terminal of 80 by 10."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "80", "LINES": "10", "TERM": "xterm",
             "PAGER": "sed s/^/paged:/", **dict(environment)},
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while True:
        try:
            some = os.read(ours, 65536)
        except OSError:
            break
        if not some:
            break
        said += some
    os.close(ours)
    assert child.communicate()[1] == b""
    assert child.returncode == 0
    return said.decode()


def test_a_terminal_gets_colour_unless_no_color_is_set(path):
    assert "\x1b[" in on_a_terminal("tasks", path)
    assert "\x1b[3" not in on_a_terminal(
        "tasks", path, environment={"NO_COLOR": "1"}.items()
    )


def test_what_is_longer_than_the_screen_is_paged(path):
    assert "paged:" in on_a_terminal("log", path)
    assert "paged:" not in on_a_terminal("sessions", path)


def test_a_pipe_gets_no_colour_and_no_pager(path, run, monkeypatch):
    monkeypatch.setenv("PAGER", "sed s/^/paged:/")
    monkeypatch.setenv("LINES", "3")
    _, out, _ = run("log", path)
    assert "paged:" not in out
    assert "\x1b" not in out


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "talks.json"
    made.write_text(json.dumps([{"messages": TALK}, {"messages": TALK[:1], "id": "b"}]))
    return made


def test_import_makes_the_store_and_says_what_it_did(tmp_path, file, run):
    status, out, errors = run("import", "chat", file, "--to", tmp_path / "s.db")
    assert (status, errors) == (0, "")
    assert out == ("talks.json: 4 messages in 2 sessions: 4 added, 0 already there\n")
    _, out, _ = run("import", "chat", file, "--to", tmp_path / "s.db")
    assert "0 added, 4 already there" in out
    _, out, _ = run("sessions", tmp_path / "s.db")
    assert "Book seat 4." in out


def test_import_takes_several_files_and_an_owner(tmp_path, file, run):
    other = tmp_path / "other.jsonl"
    other.write_text('{"role": "user", "content": "hi"}\n')
    status, out, _ = run(
        "import", "chat", file, other, "--to", tmp_path / "s.db", "--owner", "ada",
        "--json",
    )  # fmt: skip
    assert status == 0
    assert [one["added"] for one in json.loads(out)["files"]] == [4, 1]
    with holdfast.open(tmp_path / "s.db") as store:
        assert store.owners() == ["ada"]


def test_import_names_what_it_set_aside_and_ends_with_1(tmp_path, run):
    file = tmp_path / "talks.jsonl"
    file.write_text(
        '{"role": "user", "content": "hi"}\n{bad\n{"content": "\x1b[31m"}\n'
    )
    report = tmp_path / "report.json"
    command = ["import", "chat", file, "--to", tmp_path / "s.db", "--report", report]
    status, out, errors = run(*command)
    assert (status, errors) == (1, "")
    assert "1 message in 1 session" in out
    assert "2 set aside" in out
    assert "line 2 (byte 34): no JSON at byte 1" in out
    assert "{bad" in out
    assert "\x1b" not in out
    (told,) = json.loads(report.read_text())["files"]
    assert [what["position"] for what in told["set_aside"]] == ["line 2", "line 3"]
    assert told["added"] == 1


def test_import_names_only_the_first_of_many(tmp_path, run):
    file = tmp_path / "talks.jsonl"
    file.write_text("{bad\n" * 50)
    _, out, _ = run("import", "chat", file, "--to", tmp_path / "s.db")
    assert "50 set aside" in out
    assert "line 20" in out
    assert "line 21" not in out
    assert "--report" in out


def test_import_looks_before_it_begins(tmp_path, file, run):
    store = tmp_path / "s.db"
    for command in (
        ["import", "chat", file, tmp_path / "nowhere.json", "--to", store],
        ["import", "chat", tmp_path, "--to", store],
        ["import", "chat", file, "--to", store, "--report", tmp_path / "no" / "r.json"],
    ):
        status, out, errors = run(*command)
        assert (status, out) == (1, "")
        assert "nothing was imported" in errors
        assert not store.exists()


def test_import_never_reads_the_store_itself(path, run):
    status, _, errors = run("import", "chat", path, "--to", path)
    assert (status, "the store itself" in errors) == (1, True)
    status, _, errors = run("import", "chat", path, "--to", f"sqlite:///{path}")
    assert (status, "the store itself" in errors) == (1, True)


def test_an_import_that_is_stopped_says_how_to_go_on(tmp_path, file, run, monkeypatch):
    def stop(*_all, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("holdfast.cli.importing.import_chat", stop)
    status, _, errors = run("import", "chat", file, "--to", tmp_path / "s.db")
    assert status == 130
    assert "goes on" in errors


def test_an_import_shows_progress_on_a_terminal_only(tmp_path, file):
    out = on_a_terminal("import", "chat", file, "--to", tmp_path / "s.db")
    assert "4 added" in out


def test_a_fault_in_the_middle_of_a_command_is_told_in_one_line(path, run, monkeypatch):
    def fail(_self):
        raise StorageFailed("the disk failed\x1b[2J")

    monkeypatch.setattr(holdfast.Store, "check", fail)
    status, _, errors = run("check", path)
    assert status == 1
    assert errors == "holdfast: the disk failed\N{REPLACEMENT CHARACTER}[2J\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢字 \U0001f600", "plain é 漢字 \U0001f600"),
        ("\x1b[31m", "\N{REPLACEMENT CHARACTER}[31m"),
        ("a\u202eb\u2066", "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"),
        ("a\tb\nc", "a   b\nc"),
        (
            "\x9b1m\x7f\r",
            "\N{REPLACEMENT CHARACTER}1m" + "\N{REPLACEMENT CHARACTER}" * 2,
        ),
    ],
)
def test_a_text_that_would_steer_a_terminal_is_shown_harmless(text, shown):
    assert output.safe(text) == shown


def test_statuses_are_those_that_shells_know():
    assert (app.FAILED, app.MISUSED, app.INTERRUPTED, app.UNHEARD) == (1, 2, 130, 141)
