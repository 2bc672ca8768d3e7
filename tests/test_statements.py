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
from compositions import put_rows
from examples import furnish_checkpoints
from holdfast import clock as clocks
from holdfast import errors, indexes
from holdfast.declared import registry
from holdfast.engine import Terms
from holdfast.engines.sqlite.beside import beside_path
from holdfast.engines.sqlite.connection import connect
from holdfast.engines.sqlite.transaction import SqliteTransaction
from holdfast.events.elsewhere import Elsewhere
from holdfast.events.writing import write
from holdfast.kinds.index_rows import (
    FilePut,
    FolderChanges,
    FolderRow,
    FolderRows,
    known_page,
)
from holdfast.kinds.job_records import JobStatus
from holdfast.kinds.jobs import Jobs
from holdfast.kinds.observations import Observations
from holdfast.runtime.checkpoints.asking import Question, owners_with_runs
from holdfast.runtime.checkpoints.shown import desk_of
from holdfast.schema.catalog import catalog
from holdfast.schema.past import Statements
from holdfast.schema.statements import Statement, overrides, parse, shipped
from test_journal import MADE

STATEMENTS = catalog(registry().parts())
SOURCE = Path(holdfast.__file__).parent
CALLS = {"one", "all", "run", "put", "fields"}
KINDS = ("agents", "checkpoints", "events", "inbox", "index", "items", "jobs",
    "journal", "leases", "machines", "observations", "schedules",
    "sessions", "state", "tasks", "threads", "toolsets", "workspaces",
)  # fmt: skip
BY_NAME = re.compile(
    r"_(exists|owners|now|before|until|known|numbers|seqs|back|as_was"
    r"|gone|within|placed|touched|trim|weight|left_line|past)$|^search_\w+_(page|changed|row|left)$"
    r"|^(event|observed)\w*_(after|before)$|^job_list_|^inbox_list|^job\w*_usage$|^(step|signal)_sweep$"
)
"""Statements whose names are put together from a kind's or a table's."""
FOR_EVERY_TABLE = re.compile(
    r"_(known|numbers|seqs|back|as_was|gone|within|placed|touched)$"
)
"""Made for all tables alike, of which some do without some."""

WHOLE = {
    name: said
    for name, said in STATEMENTS.items()
    if not name.endswith(("_fields", "_past"))
}
"""Those that can be run by themselves, and now."""

BESIDE = WHOLE.keys() & catalog(p for p in registry().parts() if p.beside).keys()
STATE = WHOLE.keys() - BESIDE

# Each reads more than it gives back; why that is right stands beside it.
SCANS = {
    "event_add": "the list of events that it is given",
    "event_minutes": "from the newest on, as far as there is room",
    "event_names": "one step a name",
    "event_policy": "one row a setting",
    "event_writer_sweep": "one row an open store whose events are kept",
    "observed_add": "the list of events that it is given",
    "turn_active": "what it has just found, up to a number",
    "turn_kind_count": "what it has just found, up to a number",
    "turns_claim": "the list of numbers that it is given",
    "turns_again": "every job that has not ended, in a copy",
    "turns_first": "every lane, in a copy",
    "machines_again": "every machine, in a copy",
    "composition_files_at": "the paths that it is given, in a list of JSON",
    "journal_head": "the end of the table, by its number",
    "journal_newest": "from the end of the table, to the newest moment",
    "journal_reach": "the beginning of the table, by its number",
    "journal_counts": "what the journal costs: all of it is counted",
    "journal_sizes": "what the journal costs: the pages of its tables",
    "leftover_any": "whether there is a first row",
    "message_shown_in": "the sessions that share one message",
    "session_usage": "the lines of an owner's sessions, which it has just found",
    "search_find": "by the words, in FTS5's own index",
    "search_forget": "by the number, in FTS5's own table",
}
SORTS = {
    "event_figures": "one row a name and part of a span",
    "message_shown_in": "the sessions that share one message",
    "journal_counts": "one row a kind",
    "journal_sizes": "one row a table",
    "end_counts": "one row a kind and an outcome",
    "item_list_span": "newest first, of namespaces that each have theirs in order",
    "job_list_busy": "what is claimed, or waits: the newest first",
    "step_list": "the steps of one job",
    "turn_busy_counts": "one row a kind and a state",
    "line_shown": "one row for all forks that begin at one message",
    "session_usage": "the lines of an owner's forks, each counted once",
    "session_lines": "one row a line that a session had",
    "write_list": "the writes of one step",
}
UNLIMITED = {
    "event_figures": "one row a name and part of a span, of which there are 200",
    "event_policy": "one row a setting",
    "event_writers": "one row an open store that brought events of late",
    "event_minutes": "one row a minute of what is kept: as far as the room goes",
    "composition_files_at": "one row a path that it is given",
    "end_counts": "one row a kind and an outcome",
    "job_counts": "one row a kind",
    "limit_list": "one row a kind that has one",
    "machine_effect_list": "what one machine waits for",
    "machine_effect_told": "what one machine waits for",
    "turn_busy_counts": "one row a kind and a state",
    "turn_cancelling": "the claims of one worker",
    "task_counts": "one row a status",
    "line_shown": "one row for all forks that begin at one message",
    "session_lines": "one row a line that a session had",
    "session_last": "one row",
    "message_touched": "what a revert puts back, within `limits.revert`",
    "mark_within": "what a revert puts back, within `limits.revert`",
    "message_part_touched": "what a revert puts back, within `limits.revert`",
    "segment_lines": "one row a fork of a fork",
    "checkpoint_all": "what a deletion looks through",
    "checkpoint_notes": "what a deletion looks through",
    "checkpoint_whole": "a copy is of all of them",
    "value_list": "what a deletion looks through",
    "value_whole": "a copy is of all of them",
    "write_known": "one row a write of one task",
}


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


def test_what_is_another_statement_in_the_past_is_one_now():
    past = [name for name in STATEMENTS if name.endswith("_past")]
    assert "session_get_past" in past
    for name in past:
        now = STATEMENTS[name.removesuffix("_past")]
        assert STATEMENTS[name].parameters <= now.parameters | {"moment"}, name


def test_no_statement_joins_by_a_comma():
    """Of what stands behind one, a store as of a moment would read the present."""
    listed = re.compile(r"\bfrom\s+[a-z_]+(\s+[a-z_]+)?\s*,")
    every = [*STATEMENTS.items(), *overrides("postgres").items()]
    assert [name for name, statement in every if listed.search(statement.text)] == []


def test_every_statement_is_used_somewhere():
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    sql = "".join(shipped(kind) for kind in KINDS)
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
            values = list(values)
            for given in values:
                ran.setdefault(name, set()).add(frozenset(given))
            return real(self, name, values)

        return record

    for method in CALLS:
        monkeypatch.setattr(transaction, method, recording(method))
    for method in ("each", "fields_of", "put_each"):
        monkeypatch.setattr(transaction, method, recording_many(method))
    return ran


def exercise(store, clock):
    """Everything that a store can do, through its surface."""
    furnish_checkpoints(store, "ada")
    for name, args, _ in MADE:
        clock.advance(1)
        store.call(name, args)
    talk = store.sessions.create(tags=["a"], parent="c").id
    store.sessions.extend(talk, [{"role": "user", "content": n} for n in range(5)])
    store.sessions.admit("moved", created_at="2020-01-01T00:00:00Z")
    stream_replies(store, talk)
    fork_sessions(store)
    mark_session(store)
    run_thread(store)
    keep_items(store, clock)
    keep_schedules(store, clock)
    do_jobs(store, clock)
    keep_inbox(store)
    do_machines(store, clock)
    observe(store)
    keep_agents(store, clock)
    keep_state(store)
    keep_index(store)
    keep_toolsets(store, clock)
    keep_workspaces(store, clock)
    keep_checkpoints(store, clock)
    emit_events(store)
    show_contexts(store, talk)
    task = store.tasks.create("one", session=talk, tool="web").id
    with store.lease("tasks", task, seconds=5) as lease:
        lease.store.tasks.start(task)
        lease.store.tasks.log(task, "line")
    store.leases.acquire("sessions", talk, holder="h", seconds=1)
    clock.advance(2)
    read_lists(store, talk)
    read_records(store, talk, task)


def stream_replies(store, talk):
    for id in (store.sessions.begin_reply(talk).id, "r"):
        store.sessions.begin_reply(talk, message_id=id)
        store.sessions.extend_reply(talk, id, "so far")
        store.sessions.end_reply(talk, id)


def show_contexts(store, talk):
    for text in ("so far", "so far, so good"):
        store.sessions.summarize(talk, 2, text)
    store.sessions.context(talk)
    store.sessions.context(talk, messages=2)
    store.sessions.summaries(talk)


def fork_sessions(store):
    sessions = store.sessions
    sessions.create(id="root")
    sessions.extend("root", [{"role": "user", "content": n} for n in range(3)])
    made = sessions.append("root", "user", "made").id
    growing = sessions.begin_reply("root").id
    sessions.summarize("root", 2, "two")
    for id in ("branch", "twig"):
        sessions.fork("root", new_id=id)
    sessions.amend("root", made, "shared by others")
    sessions.amend("root", made, "its own")
    sessions.extend_reply("root", growing, "in a line that was left")
    for message_id in (made, "unknown"):
        sessions.append("branch", "user", "made", message_id=message_id)
    sessions.messages("branch", 3)
    list(sessions.history("branch"))
    sessions.family("root")
    for _ in range(4):
        sessions.pop("branch")
    sessions.clear("twig")


def run_thread(store):
    large = {"type": "text", "body": "x" * 100}
    write = {"index": -1, "channel": "a", "type": "text", "body": "b"}
    threads = store.threads
    threads.put("steps", "c1", values={"a": large}, run="r", note="n")
    for checkpoint in ("c1", "c1", "c2"):
        threads.put_writes("steps", checkpoint, "task", [write])
    threads.put("steps", "c2", parent="c1")
    threads.put("steps", "c1", ns="inner", run="r")
    threads.ancestry("steps", "c2", ["a"])
    threads.checkpoints("steps", ns="")
    threads.checkpoints("steps")
    threads.newest("steps")
    threads.notes("steps")
    threads.list()
    threads.copy("steps", "copied")
    threads.prune("steps", ["c2"])
    threads.delete_runs(["r"])
    threads.delete("copied")
    threads.put("kept", "c1", values={"a": large})


def mark_session(store):
    store.sessions.create(id="marked")
    store.sessions.extend("marked", [{"role": "user", "content": n} for n in range(3)])
    for id in ("mark", "later"):
        store.sessions.mark("marked", new_id=id)
    store.sessions.rewind("marked", 1)
    store.sessions.marked("mark")
    store.sessions.unmark("mark")
    store.sessions.mark("root")
    store.sessions.delete("marked")


def keep_inbox(store):
    inbox = store.inbox
    for id in ("a", "b", "b"):
        inbox.deliver("ada", 1, id=id)
    inbox.fail("a", "no")
    inbox.set_aside("a", "no")
    inbox.retry("a")
    inbox.take("ada")
    for to in (None, "ada"):
        inbox.list(to=to)
        inbox.list(to=to, status="pending")
    inbox.purge(processed_before="2100-01-01T00:00:00Z")


def keep_checkpoints(store, clock):
    checkpoints = store.checkpoints
    furnish_checkpoints(store, "ada")
    memory = [1]
    leave = checkpoints.participant("queue", lambda: memory, memory.append)
    checkpoints.restore(checkpoints.take().id)
    clock.advance(60)  # the other process is taken for dead
    checkpoints.restore()
    desk = desk_of(store._core, store._terms)
    desk.beat()
    desk.take_by_itself("every")
    question = Question(store._core, store._terms)
    question.ask()
    desk.answer(desk.question())
    assert question.answered
    owners_with_runs(store._core)
    for _ in range(7):
        memory.append(1)
        checkpoints.take()
    checkpoints.list()
    checkpoints.get(checkpoints.latest().id)
    leave()
    desk.end("close", kept=True)


def emit_events(store):
    events = store.events
    events.emit("task:done", {"n": 1}, session="s", correlation="c")
    events.flush()
    for newest_first in (False, True):
        for chosen in ({}, {"session": "s"}, {"correlation": "c"}):
            events.query(newest_first=newest_first, **chosen)
        events.query("task:*", newest_first=newest_first)
    log = store._core.events
    with events.follow("other") as following:
        write(
            log._flusher.run, 1, [(1, "", "other", "info", None, None, None, None)], []
        )
        assert next(following).name == "other"
    events.keep(max_age_seconds=60, max_bytes=10**9)
    events.trim()
    events.emit("unwritten")
    events.stats()


def observe(store):
    observations = store.observations
    for id in ("seen", None, None):
        observations.create("w", id=id, target=id or "x")
    observations.update("seen", inbox=True)
    for chosen in ({}, {"observer": "w"}, {"target": "x"}, {"status": "active"}):
        observations.list(**chosen)
    every = Terms(every_owner=True)
    core = store._core
    core.engine.read(core.unit(lambda tx: Observations(tx).every_active(), every))
    moment = store.moment()
    seen = observations.pause("seen")
    store.revert(moment, kinds=["observations"])
    store.events.emit("done", source="seen")
    store.events.flush()
    observations.history("seen")
    observations.state("seen")
    elsewhere = Elsewhere(core.engine, core.events, core.clock)
    elsewhere._seen_by(seen, {0: 1})
    observations.delete("seen")
    core.observers._drop(seen, 1)


def keep_state(store):
    state = store.state
    state.update("flags", {"a": 1, "b": {"x": 1}, "c": 1})
    state.flush()
    moment = store.moment()
    state.update("flags", {"b": {"y": 2}})
    state.delete("flags", "a")
    state.find("flags")
    state.list()
    state.reload("flags")
    store.call("state.as_dict", {"section": "flags"})
    store.call("state.get", {"section": "flags", "key": "b"})
    store.revert(moment, kinds=["state"])
    state.drop("flags")


def keep_toolsets(store, clock):
    """Tools that are put, given, changed, listed and forgotten, or left for a day."""
    tools, kept = store.toolsets, [[{"name": name}] for name in ("saw", "axe")]
    for agent in ("ada", "bob"):
        for one in (*kept, *kept[-1:]):
            tools.put(agent, "c", one)
    tools.handshake("ada", "c")
    clock.advance(700)
    tools.handshake("ada", "c")
    tools.get("ada", "c")
    page = tools.list(limit=1)
    tools.list("ada", limit=1, cursor=page.cursor)
    tools.delete("ada", "c")
    tools.clear(limit=5)
    store.sessions.overviews(limit=5)


def keep_index(store):
    index = store.index
    for type in (None, "profile"):
        index.add_folder("/compositions", type=type)
    one = {"name": "a", "type": "profile", "tags": ["t"], "dependencies": ["b"]}
    put_rows(store, "/compositions", {"a.yaml": one, "b.yaml": "is broken"})
    for chosen in ({}, {"name": "a"}, {"tag": "t", "text": "a"}):
        index.find(**chosen)
    index.get("a")
    index.folders()
    index.problems()
    index.resolve("a")
    for asked in (("a", "9"), ("gone", None)):
        with contextlib.suppress(errors.NotFound):
            index.get(*asked)
    core, terms = store._core, store._terms
    row = FolderRow(1, "/compositions", None)

    def change(tx):
        def was():
            asked = {"owner": "", "folder": 1, "paths": '["a.yaml"]'}
            ((_, revision, *_),) = tx.all("composition_files_at", **asked)
            return revision

        rows = FolderRows(tx, "", row)
        put = {"path": "a.yaml", "digest": "d", "stamp": None}
        assert rows.put([FilePut(**put, was=was(), kept=True)])
        assert rows.put([FilePut(**put, was=was(), kind="invalid", problem="no")])
        assert rows.drop([("a.yaml", was())]) == 1
        rows.note("is not there", FolderChanges(0, 1, 1), "/compositions")
        known_page(tx, "", 1, "")

    core.engine.write(core.unit(change, terms))
    index.remove_folder("/compositions")


def keep_agents(store, clock):
    agents = store.agents
    agents.create("boss", id="boss", role="lead")
    agents.create_all({"name": "x", "id": f"x{n}", "parent": "boss"} for n in range(3))
    agents.update("x0", status="resting")
    for metadata in (None, {"n": 1}):
        agents.link("x0", "observes", "boss", metadata=metadata)
    for chosen in ({}, {"role": "lead"}, {"status": "resting"}, {"parent": "boss"}):
        agents.list(**chosen)
    for direction in ("in", "out"):
        for relation in (None, "observes"):
            agents.links("boss", relation, direction=direction)
    agents.descendants("boss")
    moment = store.moment()
    agents.increment("boss", {"n": 1})
    agents.claim("boss", holder="h", seconds=1)
    agents.claim("x0", holder="h", seconds=1)
    clock.advance(2)
    agents.claim("boss", holder="i", seconds=1)
    agents.claim("x0", holder="i", seconds=1)
    agents.runs()
    agents.runs(stale=True)
    agents.release("x0", fence=2)
    agents.release_all("i")
    agents.unlink("x0", "observes", "boss")
    agents.update("boss", name="other")
    store.revert(moment, kinds=["agents"])
    agents.delete("boss")
    store.revert(moment, ids=["boss"])
    agents.delete("boss")


def keep_workspaces(store, clock):
    workspaces = store.workspaces
    for id in ("desk", "bench", "shed"):
        workspaces.put(id)
        for session in ("s", "t"):
            workspaces.enter(id, session)
    moment = store.moment()
    workspaces.put("desk", persona="dev")
    workspaces.touch("desk", "s")
    workspaces.leave("desk", "t")
    store.revert(moment, kinds=["workspaces"])
    workspaces.list()
    workspaces.chats("desk")
    clock.advance(60)
    workspaces.touch("desk")
    workspaces.delete("bench")
    workspaces.clean(30)


def do_machines(store, clock):
    machines = store.machines
    spec = {
        "initial": "a",
        "states": {
            "a": {"on": {"GO": "b"}},
            "b": {
                "entry": [{"tool": "do"}, {"tool": "do"}],
                "on": {"SUCCESS": "a", "ERROR": "b", "LATE": "a"},
                "after": {"60s": "LATE"},
            },
        },
    }
    for version in (1, 2):
        machines.define("m", spec, version=version, effects=["do"])
        for id in ("first", "second"):
            machines.create("m", id=id)
            for _ in range(2):
                machines.send(id, "GO", once="go")
        machines.upgrade("m")
    for _ in range(2):
        for job in store.jobs.claim("w", kinds=["do"], limit=2):
            store.jobs.complete(job.id, fence=job.fence)
    machines.send("first", "GO")
    clock.advance(60)
    for job in store.jobs.claim("w", kinds=["machine.after"], limit=2):
        store.jobs.complete(job.id, fence=job.fence)
    store.inbox.deliver("first", {"type": "GO"})
    machines.receive("first")
    machines.can("first", "LATE")
    machines.context("first")
    machines.history("first")
    machines.definition("m", version=1)
    machines.definitions()
    for chosen in ({}, {"name": "m"}, {"name": "m", "state": "b"}):
        machines.list(**chosen)
    machines.delete("second")


def keep_items(store, clock):
    items = store.items
    for namespace in (("a",), ("a", "b")):
        items.put(namespace, "k", {"n": 1}, ttl_seconds=1, vectors={"v": [1]})
    items.put(("a",), "k", {"n": 2}, ttl_seconds=1, vectors={"v": [1]})
    items.refresh([(("a",), "k")])
    items.list()
    items.list(("a", "b"))
    items.nearest((), [1])
    items.namespaces()
    items.delete(("a",), "k")
    clock.advance(2)
    store.run(lambda tx: tx.items.tidy(5))


def do_jobs(store, clock):
    jobs = store.jobs
    jobs.purge(finished_before=clocks.to_datetime(clock.now_us() + 1))
    for lane in ("busy", "late", None):
        jobs.put("do", lane=lane, id=f"first {lane}")
        jobs.put("do", lane=lane, parent=f"first {lane}", id=f"last {lane}")
    jobs.put("do", lane="late", priority=5, delay_seconds=1)
    jobs.limit("do", concurrency=5, rate=9, per_seconds=5)
    outlook(store)
    jobs.claim("w", kinds=["do"], limit=2, lease_seconds=1)
    jobs.claim("w", lanes=["late"])
    clock.advance(2)
    for job in jobs.claim("w", limit=5):
        jobs.cancel(job.id)
        outlook(store)
    jobs.limit("do", rate=1, per_seconds=60)
    jobs.put("do", session="c", id="other")
    outlook(store)
    jobs.limit("do")
    for status in (None, *JobStatus):
        jobs.list(status=status)
        for name in ("kind", "lane", "session", "parent"):
            jobs.list(status=status, **{name: "do"})
    jobs.stats()
    pause_jobs(store, clock)


def outlook(store):
    for asked in ({}, {"lanes": ["late"]}):
        store.read(lambda tx, a=asked: Jobs(tx._tx).outlook("w", ["do"], **a))
    store.read(lambda tx: Jobs(tx._tx).unhandled(["none"]))
    every = Terms(every_owner=True)
    core = store._core
    core.engine.read(core.unit(lambda tx: Jobs(tx).next_owner(""), every))


def pause_jobs(store, clock):
    """A job that waits for a child, a time and a signal, until its time is over."""
    jobs = store.jobs
    jobs.put("wait", id="parent", lane="waiting")
    jobs.put("wait", id="child", parent="parent")
    jobs.claim("w", lanes=["waiting"])
    jobs.join("parent", fence=1)
    while not (got := jobs.claim("w", kinds=["wait"])):
        clock.advance(60)
    jobs.complete("child", fence=got[0].fence)
    while not (got := jobs.claim("w", lanes=["waiting"])):
        clock.advance(60)
    place = {"nth": 0, "position": 0}
    jobs.sleep("parent", "nap", seconds=1, fence=got[0].fence, **place)
    clock.advance(2)
    for _ in range(2):
        (got,) = jobs.claim("w", lanes=["waiting"])
        waited = jobs.wait("parent", "go", timeout_seconds=1, fence=got.fence, **place)
        clock.advance(2)
    assert waited.there
    jobs.steps("parent")


def keep_schedules(store, clock):
    for seconds in (1, 2):
        store.schedules.put("kept", "tick", every_seconds=seconds)
    clock.advance(3)
    store.jobs.claim("worker", kinds=["none"])
    store.schedules.pause("kept")
    store.schedules.list()


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
    search(store, task)
    store.owners()
    store.usage()
    store.check()
    trim(store)


def trim(store):
    """Some of the past, by hand and by each limit."""
    store.journal.trim(2)
    store.journal.keep(max_age_seconds=1, max_changes=5, max_bytes=10_000)
    store.journal.trim()
    store.journal.stats()
    store.journal.keep()


def search(store, task):
    store.items.put(("kept",), "k", {"said": "one"})
    store.search("one")
    store.items.put(("kept",), "k", {"said": "two"})
    store.tasks.update(task, description="two")
    store.sessions.create("two", id="two")
    store.sessions.append("two", "user", "two")
    store.sessions.fork("two")
    store.sessions.delete("two")
    store.search("two")
    store.as_of(store.moment()).search("two")
    store.rebuild()


def put_records_back(store):
    moment = store.moment()
    store.sessions.create(id="back", tags=["a"])
    store.sessions.extend("back", [{"role": "user", "content": n} for n in range(3)])
    store.sessions.summarize("back", 1, "one")
    store.tasks.create("back", id="back")
    store.tasks.log("back", "line")
    store.jobs.put("do", id="back")
    store.jobs.signal("back", "go")
    store.machines.create("m", id="back")
    store.machines.send("back", "GO")
    made = store.moment()
    for job in store.jobs.claim("w", lanes=["machine:back"]):
        store.jobs.complete(job.id, fence=job.fence)
    store.sessions.pop("back")
    store.tasks.start("back")
    store.jobs.signal("back", "go")
    for when in (made, moment, made):
        store.revert(when, ids=["back"])
    store.sessions.fork("back", new_id="onwards")
    store.sessions.amend("back", store.sessions.messages("back")[0].id, "other")
    store.revert(made)
    for kind in ("sessions", "tasks"):
        store.changes(kind, "back")
    for when in (moment, made):
        store.diff(when)


def exercise_in_slices(store, clock, monkeypatch):
    """All of it, and what is deleted a slice at a time."""
    from holdfast.kinds import agents, histories, tasks  # noqa: PLC0415

    monkeypatch.setattr(agents, "_SWEPT_AT_ONCE", 1)
    monkeypatch.setattr(histories, "_SWEPT_AT_ONCE", 2)
    monkeypatch.setattr(tasks, "_SWEPT_AT_ONCE", 1)
    monkeypatch.setattr(indexes, "_BIG_BYTES", 0)
    exercise(store, clock)
    put_records_back(store)
    store.sessions.clear(store.sessions.list(tag="a")[0].id)
    store.sessions.create()


ALSO_GIVEN = {"search_add": frozenset({"owner"})}
"""What the other engine's text names."""


def never_run(ran, statements):
    """Those that were not, of all; each of the others was given what it names."""
    for name, given in sorted(ran.items()):
        if not name.endswith("@past"):
            also = ALSO_GIVEN.get(name, frozenset())
            assert given == {statements[name].parameters | also}, name
    return {
        name
        for name in statements
        if name not in ran
        and not name.endswith(("_fields", "_past"))
        and not FOR_EVERY_TABLE.search(name)
    }


def test_every_statement_takes_at_run_time_what_it_names(clock, monkeypatch):
    ran = recorded(monkeypatch, SqliteTransaction)
    with holdfast.open(":memory:", clock=clock, limits=SMALL) as store:
        exercise_in_slices(store, clock, monkeypatch)
    assert never_run(ran, STATEMENTS) == BY_THE_COMMITTER | BY_A_LOADER | NOT_NOW


BY_THE_COMMITTER = {"journal_head", "journal_stamp"}
"""Run by their text, once a transaction."""
BY_A_LOADER = {"machines_again", "turns_again", "turns_first"}
"""Run by their names on a store that is being filled."""
NOT_NOW = {"machine_definition_before", "machine_effect_told"}
"""What a row was that never changes; and what a revert asks, of a moment alone."""
SMALL = holdfast.Limits(session_bytes=16)
"""What is looked at in large sessions only, is looked at."""


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """The plan of every statement, on a store that was never analysed."""
    path = str(tmp_path_factory.mktemp("plans") / "plans.db")
    clock = clocks.ManualClock()
    with holdfast.open(path, clock=clock) as store:
        exercise(store, clock)
    return plans_in(path, STATE) | plans_in(beside_path(path), BESIDE)


def plans_in(path, statements):
    connection = connect(path, durability="process-crash")
    assert not connection.table_exists(None, "sqlite_stat1")
    found = {name: steps_of(connection, WHOLE[name]) for name in statements}
    connection.close()
    return found


def steps_of(connection, statement):
    asked = dict.fromkeys(statement.parameters)
    steps = connection.execute(f"explain query plan {statement.text}", asked)
    return [row[3] for row in steps]


def in_the_past(statements):
    """Every statement that reads what is journalled, as of a moment."""
    past = Statements(statements, registry().parts(), bind=lambda found: found)
    for name in statements:
        if name.endswith(("_fields", "_past")) or READS_NO_PAST.search(name):
            continue
        with contextlib.suppress(errors.Refused):
            yield name, past.past(name)


@pytest.mark.parametrize("alias", ["c", "w", "s"])
def test_a_statement_may_call_its_tables_anything_and_reads_the_past(path, alias):
    asked = {
        "by_key": f"select {alias}.title from session {alias} "
        f"where {alias}.owner = :owner and {alias}.id = :id",
        "in_order": f"select {alias}.title from session {alias} "
        f"where {alias}.owner = :owner order by {alias}.no limit 1",
        "within": "select (select x.title from session x "
        f"where x.no = {alias}.session) from message {alias}",
    }
    with holdfast.open(path) as store:
        for id in ("a", "b"):
            store.sessions.create("before", id=id)
        store.sessions.append("a", "user", "said")
        moment = store.moment()
        for id in ("a", "b"):
            store.sessions.update(id, title="after")
    known = {name: Statement(name, "", text) for name, text in asked.items()}
    past = Statements(known, registry().parts(), bind=lambda found: found)
    connection = connect(path, durability="process-crash")
    given = {"owner": "", "id": "a", "moment": moment}
    for name in known:
        found = connection.execute(past.past(name).text, given).fetchall()
        assert found == [("before",)], name
    connection.close()


READS_NO_PAST = re.compile(
    r"^(search|derived|event|observed|format|journal|lease|leftover|store|toolset|message_shown|line_shown|reply)_"
    r"|_(exists|owners|now|before|until|known|numbers|seqs|back|as_was|gone|within"
    r"|placed|touched|trim|weight|lines|last)$"
)
"""What is asked only to write, or of what has no past, or of images by themselves."""


def test_every_statement_uses_an_index_in_the_past_too(path):
    holdfast.open(path).close()
    connection = connect(path, durability="process-crash")
    past = dict(in_the_past(STATEMENTS))
    slow = {name: scanned(connection, said) for name, said in past.items()}
    connection.close()
    assert {name: tables for name, tables in slow.items() if tables} == {}
    assert len(past) > 25


def scanned(connection, statement):
    """The tables and indexes that a statement's program reads from an end on."""
    names = dict(connection.execute("select rootpage, name from sqlite_schema"))
    asked = dict.fromkeys(statement.parameters)
    program = connection.execute(f"explain {statement.text}", asked).fetchall()
    opened = {p1: names[p2] for _, code, p1, p2, *_ in program if code == "OpenRead"}
    ends = {p1 for _, code, p1, *_ in program if code in {"Rewind", "Last"}}
    return {name for cursor, name in opened.items() if cursor in ends}


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
        if name not in UNLIMITED:
            assert ":limit" in STATEMENTS[name].text, name


def all_source():
    kinds = [*sorted(SOURCE.rglob("kinds/*.py")), SOURCE / "journal.py"]
    return "".join(path.read_text(encoding="utf-8") for path in kinds)


def test_every_statement_of_a_callers_rows_names_their_owner_or_their_number():
    loose = [
        name
        for name, statement in STATEMENTS.items()
        if re.search(
            r"\b(from|into|join|update) (session|message|task|task_log)\b",
            statement.text,
        )
        and not statement.parameters & {"owner", "no", "session", "task", "after"}
        and not name.endswith("_fields")
        and not name.endswith("_weight")
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
