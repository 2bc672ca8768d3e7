"""The command line in the past: `--as-of`, and what changed, field by field."""

import json
import time
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

import holdfast
from conftest import store_on
from holdfast.cli import main
from holdfast.cli.differences import differences
from holdfast.cli.output import safe
from holdfast.clock import ManualClock, to_datetime
from test_format import make_as_then

LOOKS = [
    ["sessions"],
    ["sessions", "--status", "active", "--owner", ""],
    ["tasks"],
    ["show", "session", "plan"],
    ["show", "message", "plan/1"],
    ["show", "task", "book"],
    ["log", "--limit", "5"],
    ["log", "--kind", "tasks", "--after", "1"],
    ["log", "task", "book"],
    ["log", "sessions", "plan", "--limit", "2"],
]
MINUTE = timedelta(minutes=1)
HOUR_US = 3_600_000_000


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


@pytest.fixture(params=["file", "postgres"])
def place(request, tmp_path):
    with store_on(request.param, tmp_path) as place:
        yield place


def lives(store):
    """A store's life; each step is one moment."""
    ada = store.owned_by("ada")
    yield store.sessions.create("Plan the week", id="plan", tags=["work"])
    yield store.sessions.append("plan", "user", "Where did we stop?")
    yield store.tasks.create("Book the flight", id="book", session="plan")
    yield store.tasks.start("book")
    yield ada.sessions.create("Water the plants", id="water")
    yield store.tasks.log("book", "looked at seats")
    yield store.sessions.update("plan", title="Plan the month", status="paused")
    yield store.tasks.complete("book", {"seat": 4})
    yield ada.sessions.delete("water")
    yield store.sessions.delete("plan")


def look(run, place, command, *more):
    """What a command gives as JSON, or its error; without the head of the past."""
    verb, *rest = command
    status, out, errors = run(verb, place, *rest, *more, "--json")
    if status:
        return errors
    return {name: it for name, it in json.loads(out).items() if name != "as_of"}


def test_every_look_shows_the_store_as_it_was(place, run):
    clock = ManualClock(time.time_ns() // 1000 - HOUR_US)
    then = []
    with holdfast.open(place, clock=clock) as store:
        for _ in lives(store):
            looks = LOOKS[len(then) % 2 :: 2]
            shown = {str(command): look(run, place, command) for command in looks}
            then.append((store.moment(), clock.now_us(), looks, shown))
            clock.advance(60)
    for number, (moment, at_us, looks, shown) in enumerate(then):
        a_while_later = to_datetime(at_us + 30_000_000).isoformat()
        name = (moment, f"@{moment}", a_while_later)[number % 3]
        for command in looks:
            found = look(run, place, command, "--as-of", name)
            assert found == shown[str(command)], name
    assert "there is no session 'plan'" in shown[str(LOOKS[3])]
    assert len({json.dumps(shown) for *_, shown in then}) == len(then)


@pytest.fixture
def old(tmp_path):
    """A store whose moments were written 60, 59, … minutes ago."""
    clock = ManualClock(time.time_ns() // 1000 - HOUR_US)
    with holdfast.open(tmp_path / "old.db", clock=clock) as store:
        for _ in lives(store):
            clock.advance(60)
    return tmp_path / "old.db"


def test_a_look_at_the_past_says_which_moment_it_is_and_when_that_was(old, run):
    with holdfast.open(old) as store:
        (third,) = (c for c in store.journal.read() if c.moment == 3)
    written = f"{third.at:%Y-%m-%d %H:%M:%S} UTC"
    for verb, *rest in LOOKS:
        if "message" not in rest and "task" not in rest:
            assert run(verb, old, *rest, "--as-of", 3)[1].startswith(
                f"as of moment 3, of {written}\n\n"
            )
    (head, *_) = run("tasks", old, "--as-of", "57 minutes ago")[1].splitlines()
    assert head.startswith(f"as of {third.at:%Y-%m-%d}")
    assert head.endswith(
        f" UTC: moment 4, of {third.at + MINUTE:%Y-%m-%d %H:%M:%S} UTC"
    )


def test_json_has_the_moment_too(old, run):
    found = json.loads(run("sessions", old, "--as-of", 3, "--json")[1])
    assert list(found) == ["as_of", "sessions", "cursor"]
    assert found["as_of"]["asked"] == found["as_of"]["moment"] == 3
    found = json.loads(run("sessions", old, "--as-of", 0, "--json")[1])
    assert found["as_of"] == {"asked": 0, "moment": 0, "at": None}
    assert "as_of" not in json.loads(run("sessions", old, "--json")[1])


def test_before_anything_was_written_there_is_nothing(old, run):
    for command in ("sessions", "tasks", "log"):
        for name in ("0", "1 day ago"):
            status, out, _ = run(command, old, "--as-of", name)
            head, gap, nothing = out.splitlines()
            assert (status, gap) == (0, "")
            assert head.endswith("moment 0, before anything was written")
            assert nothing.startswith("no ")


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("tomorrow", 2, "'tomorrow' is no time that is understood here: now, "),
        ("", 2, "'' is no time that is understood here: now, "),
        ("999", 1, "moment 999 lies ahead; the newest is "),
        ("9" * 30, 1, "out of range"),
        ("2999-01-01", 1, "lies ahead of this store's clock"),
    ],
)
def test_what_is_no_moment_is_refused_in_words(old, run, name, status, said):
    for verb, *rest in LOOKS:
        ended, out, errors = run(verb, old, *rest, "--as-of", name)
        assert (ended, out) == (status, "")
        assert errors.startswith("holdfast: ")
        assert said in errors


def test_a_moment_within_a_transaction_is_refused_and_its_end_is_named(tmp_path, run):
    with holdfast.open(tmp_path / "s.db") as store, store.transaction() as tx:
        tx.sessions.create(id="a")
        tx.sessions.create(id="b")
    status, _, errors = run("sessions", tmp_path / "s.db", "--as-of", 1)
    assert (status, "whose moment is 2" in errors) == (1, True)


def test_a_look_at_an_older_store_says_how_to_go_on(tmp_path, run):
    make_as_then(tmp_path / "s.db", 1)
    status, out, errors = run("sessions", tmp_path / "s.db")
    assert (status, out) == (1, "")
    assert errors.endswith("\n`holdfast migrate STORE` brings it up to date\n")
    assert run("migrate", tmp_path / "s.db")[0] == 0
    assert run("sessions", tmp_path / "s.db")[::2] == (0, "")


@pytest.mark.parametrize("command", ["check", "tail"])
def test_what_has_no_past_says_so(old, run, command):
    status, out, errors = run(command, old, "--as-of", 3)
    assert (status, out) == (2, "")
    assert "shows the present only" in errors


def test_the_history_of_a_record_tells_each_field_old_and_new(old, run):
    _, out, _ = run("log", old, "session", "plan")
    told = [line for line in out.splitlines() if not line[:1].isdigit()]
    assert told == [
        "  create session  plan",
        "      status  active",
        "      title   Plan the week",
        '      tags    ["work"]',
        "  create message  1  user: Where did we stop?",
        "  update session  plan",
        "      status  active → paused",
        "      title   Plan the week → Plan the month",
        "  delete session  plan  Plan the month",
        "  delete message  1  user: Where did we stop?",
    ]
    assert run("log", old, "sessions", "plan")[1] == out
    shown = json.loads(run("log", old, "session", "plan", "--json")[1])["changes"]
    assert [change["op"] for change in shown] == [
        "create", "create", "update", "delete", "delete"
    ]  # fmt: skip


def test_the_history_of_a_record_shows_the_newest_or_what_follows_a_place(old, run):
    def seqs(*more):
        out = run("log", old, "task", "book", *more, "--json")[1]
        return [change["seq"] for change in json.loads(out)["changes"]]

    every = seqs()
    assert len(every) == 4
    for limit in range(1, 6):
        assert seqs("--limit", limit) == every[-limit:]
    assert seqs("--after", every[1]) == every[2:]
    assert seqs("--after", every[0], "--limit", 2) == every[1:3]
    assert seqs("--as-of", every[2]) == every[:3]
    assert (
        f"go on with --after {every[1]}"
        in (run("log", old, "task", "book", "--after", 0, "--limit", 2)[1])
    )


def test_whose_history_it_is_is_asked_only_if_several_had_one(old, run):
    status, _, errors = run("log", old, "session", "water")
    assert (status, "there is no session 'water' here" in errors) == (1, True)
    assert "for ada" in run("log", old, "session", "water", "--owner", "ada")[1]
    with holdfast.open(old, owner="ada") as store:
        store.tasks.create("Hers", id="book")
    status, _, errors = run("log", old, "task", "book")
    assert (status, "several owners have a task 'book'" in errors) == (1, True)
    assert "Hers" in run("log", old, "task", "book", "--owner", "ada")[1]


def test_a_past_that_was_trimmed_is_said_to_be_unknown(old, run):
    assert "not known any more" not in run("log", old, "task", "book")[1]
    with holdfast.open(old) as store:
        while store.journal.trim(4).left:
            pass
    _, out, _ = run("log", old, "task", "book")
    assert out.startswith("what was before moment 4 is not known any more\n")
    assert "in_progress → completed" in out
    assert "create task     book" not in out
    assert run("sessions", old, "--as-of", 4)[1].startswith("as of moment 4\n")
    for command in (["sessions", old, "--as-of", 3], ["diff", old, "--from", "0"]):
        status, out, errors = run(*command)
        assert (status, out) == (1, "")
        assert "reaches back to moment 4 by now" in errors


@pytest.mark.parametrize("record", [["session"], ["nonsense", "x"], ["leases", "x"]])
def test_a_history_of_what_has_none_is_refused_in_words(old, run, record):
    status, out, errors = run("log", old, *record)
    assert (status, out) == (1, "")
    assert errors.startswith("holdfast: ")


def test_what_a_fork_shares_is_told_in_words(tmp_path, run):
    path = tmp_path / "s.db"
    with holdfast.open(path) as store:
        store.sessions.create(id="plan")
        for number in range(3):
            store.sessions.append("plan", "user", f"number {number}")
        store.sessions.fork("plan", at=2, new_id="other")
        store.sessions.append("other", "user", "another way")
        store.sessions.fork("other", new_id="third")
    for command in (["log", path], ["log", path, "session", "third"]):
        lines = run(*command)[1].splitlines()
        assert "  create segment  of third  messages 1 to 2" in lines
        assert "  create segment  of third  message 3" in lines
    assert "  + of third  message 3" in run("diff", path, "--from", 0)[1]


@pytest.mark.parametrize(
    "more",
    [["task"], ["task", "book"], ["--owner", "ada"], ["--after", 1], ["--as-of", 3],
     ["--kind", "task"]],
)  # fmt: skip
def test_what_the_journal_costs_is_told_of_all_of_it_alone(old, run, more):
    status, out, errors = run("log", old, *more, "--stats")
    assert (status, out) == (1, "")
    assert "--stats" in errors
    assert run("log", old, "--stats")[0] == 0


def test_the_history_of_a_record_is_not_narrowed_down_to_a_kind(old, run):
    status, out, errors = run("log", old, "task", "book", "--kind", "task_log")
    assert (status, out, "--kind" in errors) == (1, "", True)


def test_a_comparison_is_by_kind_with_counts_at_the_end(old, run):
    _, out, _ = run("diff", old, "--from", 4, "--to", 9)
    head, to, *told = out.splitlines()
    assert head.startswith("from moment 4, of ")
    assert to.startswith("to   moment 9, of ")
    assert told == [
        "",
        "session: 1 updated",
        "  ~ plan",
        "      status  active → paused",
        "      title   Plan the week → Plan the month",
        "",
        "task: 1 updated",
        "  ~ book",
        f"      completed_at  (none) → {at(old, 8)}",
        "      status        in_progress → completed",
        '      result        (none) → {"seat":4}',
        "",
        "task log: 1 created",
        "  + of book  looked at seats",
        "",
        "1 created, 2 updated",
    ]


def at(path, moment):
    """When a moment was written, as people are told."""
    with holdfast.open(path) as store:
        page = store.across_owners().journal.read(moment - 1, limit=1)
    return f"{page[0].at:%Y-%m-%d %H:%M:%S} UTC"


def test_a_comparison_counts_what_it_does_not_show(old, run):
    _, out, _ = run("diff", old, "--from", 0, "--to", 6, "--limit", 1)
    assert "\n4 more are not shown: --limit shows more\n" in out
    assert out.endswith("\n5 created\n")
    found = json.loads(run("diff", old, "--from", 0, "--to", 6, "--json")[1])
    assert found["counts"] == {
        "session": {"created": 2, "updated": 0, "deleted": 0},
        "message": {"created": 1, "updated": 0, "deleted": 0},
        "task": {"created": 1, "updated": 0, "deleted": 0},
        "task_log": {"created": 1, "updated": 0, "deleted": 0},
    }
    assert len(found["differences"]) == 5
    assert (found["from"]["moment"], found["to"]["moment"]) == (0, 6)


def test_a_comparison_is_of_one_owner_or_of_every_one(old, run):
    assert "for ada  Water the plants" in run("diff", old, "--from", 0, "--to", 6)[1]
    _, out, _ = run("diff", old, "--from", 0, "--to", 6, "--owner", "ada")
    assert out.endswith("session: 1 created\n  + water  for ada  Water the plants\n\n"
                        "1 created\n")  # fmt: skip
    _, out, _ = run("diff", old, "--from", 5, "--owner", "ada")
    assert "  - water  for ada  Water the plants\n" in out
    assert "to   now: moment " in out
    assert "  - water  for ada  Water the plants\n" in run("diff", old, "--from", 5)[1]
    _, out, _ = run("diff", old, "--from", 0, "--kind", "tasks", "--owner", "ada")
    assert out.endswith("\nnothing differs\n")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([], 2),
        (["--from", "tomorrow"], 2),
        (["--from", "5", "--to", "soon"], 2),
        (["--from", "5", "--to", "4"], 1),
        (["--from", "999"], 1),
        (["--from", "0", "--kind", "nonsense"], 1),
    ],
)
def test_a_comparison_that_cannot_be_is_refused_in_words(old, run, arguments, status):
    ended, out, errors = run("diff", old, *arguments)
    assert (ended, out) == (status, "")
    assert errors.startswith("holdfast: ")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=80),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner)
    ),
    max_leaves=5,
)
FIELDS = st.dictionaries(st.sampled_from(["title", "content", "metadata"]), PLAIN)


def as_json(value):
    """A value so that false and 0 are two."""
    return json.dumps(value, sort_keys=True)


def drawn(before, after, width, *, full=False):
    """The lines of what differs, as a terminal without colours has them."""
    table = differences(before, after, width, full=full)
    console = Console(width=width, color_system=None, markup=False, emoji=False)
    with console.capture() as captured:
        if table is not None:
            console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


@settings(deadline=None)
@given(FIELDS, FIELDS, st.sampled_from([40, 80, 120]), st.booleans())
def test_what_differs_is_told_within_the_columns_and_steers_nothing(
    before, after, width, full
):
    before = {**dict.fromkeys(after), **before}
    after = {**dict.fromkeys(before), **after}
    lines = drawn(before, after, width, full=full)
    assert bool(lines) == (as_json(before) != as_json(after))
    assert all(cell_len(line) <= width for line in lines)
    assert all(safe(line) == line for line in lines)


@settings(deadline=None)
@given(st.text(max_size=300), st.text(max_size=300))
def test_two_texts_that_differ_look_different(old, new):
    lines = drawn({"title": old}, {"title": new}, 80)
    if old == new:
        assert lines == []
    elif len(lines) == 1:
        was, arrow, now = lines[0].strip().removeprefix("title").partition(" → ")
        assert arrow
        assert was.strip() != now.strip() or " → " in old + new
    else:
        was, now = (
            line.partition(mark)[2] for line, mark in zip(lines, "-+", strict=True)
        )
        assert was != now


def test_a_long_text_is_shown_around_the_place_where_it_differs():
    old = "a " * 500 + "seat 4 by the window" + " z" * 500
    new = "a " * 500 + "seat 5 by the window" + " z" * 500
    was, now = drawn({"content": old}, {"content": new}, 80)
    assert was.lstrip().startswith("content  - …a a ")
    assert "seat 4 by the window z z" in was
    assert "seat 5 by the window z z" in now
    assert was.endswith("…")
    assert now.endswith("…")
    grown = drawn({"content": old}, {"content": old + " and a meal"}, 80)
    assert grown[1].endswith("z z and a meal")


def test_within_json_only_what_differs_is_named_by_its_path():
    was = {"metadata": {"k": 1, "same": [1], "parts": [{"t": "a"}, {"t": "b"}], "x": 0}}
    now = {"metadata": {"k": 2, "same": [1], "parts": [{"t": "a"}, {"t": "c"}]}}
    assert drawn(was, now, 80) == [
        "      metadata.k           1 → 2",
        "      metadata.parts[1].t  b → c",
        "      metadata.x           0 → (absent)",
    ]


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("a b", "a  b", '"a b" → "a  b"'),
        ("1", 1, '"1" → 1'),
        (1, True, "1 → true"),
        (None, "(none)", 'null → "(none)"'),
        ("a\u202eb", "a\u202db", '"a\\u202eb" → "a\\u202db"'),
        ("", "x", "(empty) → x"),
        ("a\x1b[31mb", "b", "a\ufffd[31mb → b"),
        ("x\x7f", "x\ufffd", '"x\\u007f" → "x\\ufffd"'),
    ],
)
def test_what_looks_alike_is_spelt_out(old, new, shown):
    assert drawn({"title": old}, {"title": new}, 80) == [f"      title  {shown}"]


def test_of_a_new_record_only_what_says_something_is_told():
    made = {"id": "plan", "title": "Plan", "tags": [], "parent": None, "version": 1,
            "metadata": {"a": False}, "partial": 0, "orphaned": False}  # fmt: skip
    assert drawn(None, made, 80) == [
        "      title     Plan",
        '      metadata  {"a":false}',
        "      orphaned  false",
    ]
    assert drawn(None, {"tags": []}, 80) == []


def test_in_full_nothing_is_cut():
    old, new = "first\nsecond " * 40, "first\nsecond " * 40 + "third"
    lines = drawn({"content": old}, {"content": new}, 80, full=True)
    assert sum(line.count("second") for line in lines) == 80
    assert lines[-1].endswith("third")
    assert "…" not in "".join(lines)
