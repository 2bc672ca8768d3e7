"""Statements: each says what it is for, takes what it is given, and uses an index.

What PostgreSQL has of its own, and its plans, are tried in `test_statements_postgres`.
Parameters are compared twice: as the source names them, read with `ast`, and as they
come at run time, where every statement is run at least once.
"""

import ast
import contextlib
import re
from pathlib import Path

import apsw
import pytest

import holdfast
from holdfast import clock as clocks
from holdfast import errors
from holdfast.declared import registry
from holdfast.engines.sqlite.connection import connect
from holdfast.engines.sqlite.transaction import SqliteTransaction
from holdfast.schema.catalog import catalog
from holdfast.schema.statements import parse, shipped
from test_journal import MADE

STATEMENTS = catalog(registry().parts())
SOURCE = Path(holdfast.__file__).parent
CALLS = {"one", "all", "run", "put", "fields"}
BY_NAME = re.compile(r"_(exists|owners|now|before|until)$")
"""Statements whose names are put together from a kind's or a table's."""

# Each reads more than it gives back; why that is right stands beside it.
SCANS = {
    "journal_head": "the end of the table, by its number",
    "journal_newest": "from the end of the table, to the newest moment",
    "leftover_any": "whether there is a first row",
}
SORTS = {}


def literal_calls():
    """Each `….one("name", key=…)` of the source: place, name, keys (None: `**`)."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in CALLS
                and node.args
                and isinstance(node.args[0], ast.Constant)
                and isinstance(node.args[0].value, str)
                and node.args[0].value in STATEMENTS
            ):
                keys = [keyword.arg for keyword in node.keywords]
                given = None if None in keys else frozenset(keys)
                yield f"{path.name}:{node.lineno}", node.args[0].value, given


def test_the_source_gives_each_statement_the_parameters_that_it_names():
    seen = 0
    for where, name, given in literal_calls():
        seen += 1
        if given is not None:
            assert given == STATEMENTS[name].parameters, f"{where}: {name}"
    assert seen > 40


def test_every_statement_is_used_somewhere():
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    sql = "".join(shipped(kind) for kind in ("journal", "leases", "sessions", "tasks"))
    for name in STATEMENTS:
        quoted, included = f'"{name}"', f"{{{name}}}"
        assert quoted in text or included in sql or BY_NAME.search(name), name


def recorded(monkeypatch, transaction):
    """The statements that will be run, each with the parameters that it was given."""
    ran = {}

    def recording(method):
        real = getattr(transaction, method)

        def record(self, name, /, **values):
            ran.setdefault(name, set()).add(frozenset(values))
            return real(self, name, **values)

        return record

    def recording_many(method):
        real = getattr(transaction, method)

        def record(self, name, values):
            for given in values:
                ran.setdefault(name, set()).add(frozenset(given))
            return real(self, name, values)

        return record

    for method in CALLS:
        monkeypatch.setattr(transaction, method, recording(method))
    for method in ("each", "fields_of"):
        monkeypatch.setattr(transaction, method, recording_many(method))
    return ran


def exercise(store, clock):
    """Everything that a store can do, through its surface."""
    for name, args, _ in MADE:
        clock.advance(1)
        store.call(name, args)
    talk = store.sessions.create(tags=["a"], parent="c").id
    store.sessions.extend(talk, [{"role": "user", "content": n} for n in range(5)])
    task = store.tasks.create("one", session=talk, tool="web").id
    with store.lease("tasks", task, seconds=5) as lease:
        lease.store.tasks.start(task)
        lease.store.tasks.log(task, "line")
    store.leases.acquire("sessions", talk, holder="h", seconds=1)
    clock.advance(2)
    read_lists(store, talk)
    read_records(store, talk, task)


LISTS = {
    "sessions": [
        {}, {"status": "active"}, {"tag": "a", "parent": "c"},
        {"parent": "c", "status": "active"},
    ],
    "tasks": [
        {}, {"status": "pending"}, {"session": "s", "tool": "web"},
        {"tool": "web", "status": "pending"}, {"status": "in_progress", "stale": True},
    ],
}  # fmt: skip


def read_lists(store, talk):
    for kind, filters in LISTS.items():
        for chosen in filters:
            getattr(store, kind).list(**chosen)
    store.sessions.messages(talk, 2)
    store.sessions.messages(talk, 2, after=1)
    list(store.sessions.history(talk))


def read_records(store, talk, task):
    made = store.sessions.append(talk, "user", 1)
    store.sessions.append(talk, "user", 1, message_id=made.id)
    store.sessions.append(talk, "user", 1, message_id="m")
    store.tasks.logs(task)
    store.tasks.metrics()
    store.run(lambda tx: 1, once="key")
    store.journal.cursor("index")
    list(store.journal.read(limit=1000))
    store.owners()
    store.usage()
    store.check()


def exercise_in_slices(store, clock, monkeypatch):
    """All of it, and what is deleted a slice at a time."""
    from holdfast.kinds import messages, tasks  # noqa: PLC0415

    monkeypatch.setattr(messages, "_SWEPT_AT_ONCE", 2)
    monkeypatch.setattr(tasks, "_SWEPT_AT_ONCE", 1)
    exercise(store, clock)
    store.sessions.clear(store.sessions.list(tag="a")[0].id)
    store.sessions.create()


def never_run(ran, statements):
    """Those that were not, of all; each of the others was given what it names."""
    for name, given in sorted(ran.items()):
        assert given == {statements[name].parameters}, name
    return {n for n in statements if n not in ran and not n.endswith("_fields")}


def test_every_statement_takes_at_run_time_what_it_names(clock, monkeypatch):
    ran = recorded(monkeypatch, SqliteTransaction)
    with holdfast.open(":memory:", clock=clock) as store:
        exercise_in_slices(store, clock, monkeypatch)
    assert never_run(ran, STATEMENTS) == BY_THE_COMMITTER


BY_THE_COMMITTER = {"journal_head", "journal_stamp"}
"""Run by their text, once a transaction."""


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """The plan of every statement, on a store that was never analysed."""
    path = str(tmp_path_factory.mktemp("plans") / "plans.db")
    clock = clocks.ManualClock()
    with holdfast.open(path, clock=clock) as store:
        exercise(store, clock)
    connection = connect(path, durability="process-crash")
    assert not connection.table_exists(None, "sqlite_stat1")
    found = {}
    for name, statement in STATEMENTS.items():
        if name.endswith("_fields"):
            continue  # a part of others, which are no whole without it
        steps = connection.execute(
            f"explain query plan {statement.text}",
            dict.fromkeys(statement.parameters),
        )
        found[name] = [row[3] for row in steps]
    connection.close()
    return found


def test_every_statement_uses_an_index(plans):
    slow = {
        name: steps
        for name, steps in plans.items()
        if any(re.match(r"SCAN (?!CONSTANT ROW)", step) for step in steps)
    }
    assert {name: slow[name] for name in slow.keys() - SCANS.keys()} == {}
    assert set(SCANS) - slow.keys() == set(), "these scan no longer: take them off"


INDEXES = {
    "session_list": "session_newest", "session_list_status": "session_status",
    "session_list_parent": "session_parent", "session_list_tag": "PRIMARY KEY",
    "task_list": "task_newest", "task_list_status": "task_status",
    "task_list_session": "task_session", "task_list_tool": "task_tool",
    "task_list_stale": "task_status", "task_average": "task_finished",
    "session_tag_drop": "session_tag_session", "message_given": "message_given",
    "session_before": "PRIMARY KEY", "session_until": "was_session_no",
}  # fmt: skip
"""An index by owner alone would also be one; these choose among an owner's many."""


def test_a_list_uses_the_index_that_was_made_for_it(plans):
    for name, index in INDEXES.items():
        used = [step for step in plans[name] if f" {index} " in f"{step} "]
        assert used, (name, plans[name])


def test_no_statement_sorts_what_an_index_has_in_order(plans):
    sorting = {
        name: steps
        for name, steps in plans.items()
        if any("TEMP B-TREE" in step for step in steps)
    }
    assert sorting.keys() == SORTS.keys(), sorting


def test_every_statement_says_its_sentence():
    for statement in STATEMENTS.values():
        assert re.fullmatch(r"[A-Z].{4,}[.]", statement.says), statement.name


def test_every_statement_that_gives_many_rows_has_a_limit():
    for name in re.findall(r"\.all\(\s*\"(\w+)\"", all_source()):
        if name != "task_counts":  # one row a status
            assert ":limit" in STATEMENTS[name].text, name


def all_source():
    kinds = [*sorted(SOURCE.rglob("kinds/*.py")), SOURCE / "journal.py"]
    return "".join(path.read_text(encoding="utf-8") for path in kinds)


def test_every_statement_of_a_callers_rows_names_their_owner_or_their_number():
    loose = [
        name
        for name, statement in STATEMENTS.items()
        if re.search(r"\b(session|message|task|task_log)\b", statement.text)
        and not statement.parameters & {"owner", "no", "session", "task", "after"}
        and not name.endswith("_fields")
    ]
    assert loose == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("select 1\n-- one --\n-- One.\nselect 1", "before the first"),
        ("-- one --\n-- One.\nselect 1\n-- one --\n-- One.\nselect 2", "twice"),
        ("-- one --\nselect 1", "'one' does not say"),
        ("-- one --", "'one' does not say"),
        ("-- one --\n-- One.\n{other}\nfrom x", "includes an unknown 'other'"),
    ],
)
def test_a_file_of_another_form_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        parse(text)


def test_a_file_is_read_as_its_form_says():
    found = parse(
        "\n-- tables --\n-- A table.\ncreate table t (a int);\n-- more\n"
        "\n-- a_b --\n-- First\n-- line.\nselect :x,\n  ':y' -- not :z?\n"
        "\n-- c --\n-- Second.\n{a_b}\nwhere a = :a and b like '10:30' and c = d::e\n"
    )
    assert found["tables"].text.startswith("-- A table.")
    assert found["a_b"].says == "First line."
    assert found["c"].text.startswith("select :x,")
    assert found["c"].parameters >= {"x", "a"}
    assert "e" not in found["c"].parameters


def test_two_kinds_with_one_statement_are_told():
    part = registry().parts()[0]
    with pytest.raises(ValueError, match="two kinds have a statement"):
        catalog((part, part))


def test_a_statement_that_is_missing_a_value_fails_and_writes_nothing():
    with holdfast.open(":memory:") as store, contextlib.suppress(apsw.Error):
        before = store.journal.head()
        with pytest.raises((errors.HoldfastError, KeyError)):
            store.run(lambda tx: tx._tx.run("session_drop"))
        assert store.journal.head() == before
