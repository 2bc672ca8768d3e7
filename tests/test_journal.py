"""The journal: every change of every row in one order, with when, who and why."""

from datetime import timedelta

import msgspec
import pytest

from examples import furnish_checkpoints
from holdfast import errors
from holdfast.changes import Change
from holdfast.clock import to_datetime

ORDER = {
    "initial": "new",
    "states": {
        "new": {"on": {"NOTE": "new", "PAY": "paid"}},
        "paid": {"entry": {"updateContext": {"paid": True}}},
    },
}
MADE = [
    ("sessions.create", {"title": "Plan", "id": "s", "tags": ["a", "b"]},
     [("session", "create", "s")]),
    ("sessions.create", {"id": "c", "parent": "s", "metadata": {"n": 1}},
     [("session", "create", "c")]),
    ("sessions.append", {"id": "s", "role": "u", "content": "Hi", "message_id": "m1"},
     [("message", "create", "m1")]),
    ("sessions.extend",
     {"id": "s", "messages": [{"role": "tool", "content": {"a": [1]}, "id": "m2"},
                              {"role": "user", "content": None, "id": "m3"}]},
     [("message", "create", "m2"), ("message", "create", "m3")]),
    ("sessions.append", {"id": "s", "role": "u", "content": "Hi", "message_id": "m1"},
     []),
    ("sessions.update", {"id": "s", "title": "Plan B", "tags": ["c"]},
     [("session", "update", "s")]),
    ("sessions.pop", {"id": "s"},
     [("message", "delete", "m3"), ("session", "update", "s")]),
    ("sessions.clear", {"id": "s"},
     [("message", "delete", "m1"), ("message", "delete", "m2"),
      ("session", "update", "s")]),
    ("sessions.clear", {"id": "s"}, []),
    ("sessions.close", {"id": "c"}, [("session", "update", "c")]),
    ("sessions.close", {"id": "c"}, []),
    ("tasks.create", {"description": "Book", "id": "t", "session": "s", "tool": "web"},
     [("task", "create", "t")]),
    ("tasks.update", {"id": "t", "assigned_to": "ada", "metadata": {"x": None}},
     [("task", "update", "t")]),
    ("tasks.start", {"id": "t"}, [("task", "update", "t")]),
    ("tasks.hold", {"id": "t"}, [("task", "update", "t")]),
    ("tasks.start", {"id": "t"}, [("task", "update", "t")]),
    ("tasks.progress", {"id": "t", "done": 1, "total": 2}, [("task", "update", "t")]),
    ("tasks.log", {"id": "t", "message": "one"}, [("task_log", "create", "t")]),
    ("tasks.fail", {"id": "t", "error": "no seat"}, [("task", "update", "t")]),
    ("tasks.start", {"id": "t"}, [("task", "update", "t")]),
    ("tasks.complete", {"id": "t", "result": ["ok"]}, [("task", "update", "t")]),
    ("tasks.create", {"description": "Not", "id": "u"}, [("task", "create", "u")]),
    ("tasks.cancel", {"id": "u"}, [("task", "update", "u")]),
    ("leases.acquire", {"kind": "tasks", "id": "u", "holder": "h", "seconds": 9}, []),
    ("leases.renew", {"kind": "tasks", "id": "u", "fence": 1, "seconds": 9}, []),
    ("leases.release", {"kind": "tasks", "id": "u", "fence": 1}, []),
    ("tasks.delete", {"id": "t"},
     [("task", "delete", "t"), ("task_log", "delete", "t")]),
    ("tasks.delete", {"id": "t"}, []),
    ("sessions.append", {"id": "s", "role": "user", "content": 1, "message_id": "m4"},
     [("message", "create", "m4")]),
    ("sessions.delete", {"id": "s"},
     [("session", "delete", "s"), ("message", "delete", "m4")]),
    ("sessions.admit", {"id": "f", "created_at": "2026-11-19T18:00Z"},
     [("session", "create", "f")]),
    ("sessions.fork", {"id": "f", "new_id": "g"}, [("session", "create", "g")]),
    ("sessions.begin_reply", {"id": "f", "text": "so", "message_id": "r"},
     [("message", "create", "r")]),
    ("sessions.extend_reply", {"id": "f", "message_id": "r", "text": " far"},
     [("message_part", "create", "r")]),
    ("sessions.end_reply", {"id": "f", "message_id": "r"},
     [("message", "update", "r"), ("message_part", "delete", "r"),
      ("session", "update", "f")]),
    ("sessions.amend", {"id": "f", "message_id": "r", "content": "else"},
     [("message", "update", "r"), ("session", "update", "f")]),
    ("sessions.summarize", {"id": "f", "upto": 1, "text": "all"},
     [("summary", "create", "f")]),
    ("sessions.delete", {"id": "f"},
     [("session", "delete", "f"), ("summary", "delete", "f"),
      ("message", "delete", "r")]),
    ("sessions.append", {"id": "g", "role": "u", "content": "Hi", "message_id": "m5"},
     [("message", "create", "m5")]),
    ("sessions.mark", {"id": "g", "at": 0, "new_id": "k"}, [("mark", "create", "k")]),
    ("sessions.rewind", {"id": "g", "at": 0},
     [("message", "delete", "m5"), ("session", "update", "g")]),
    ("sessions.unmark", {"mark": "k"}, [("mark", "delete", "k")]),
    ("sessions.delete", {"id": "g"}, [("session", "delete", "g")]),
    ("items.put", {"namespace": ["a"], "key": "k", "value": {"n": 1}},
     [("item", "create", "!a!k")]),
    ("items.put_each", {"items": [{"namespace": ["a"], "key": "k", "value": {"n": 2},
                                   "ttl_seconds": 60},
                                  {"namespace": [], "key": "r", "value": {}}]},
     [("item", "update", "!a!k"), ("item", "create", "!r")]),
    ("items.refresh", {"places": [[["a"], "k"]]}, [("item", "update", "!a!k")]),
    ("items.delete", {"namespace": ["a"], "key": "k"}, [("item", "delete", "!a!k")]),
    ("items.delete_each", {"places": [[["a"], "k"], [[], "r"]]},
     [("item", "delete", "!r")]),
    ("threads.put",
     {"id": "t", "checkpoint": "c1", "values": {"x": {"type": "json", "body": "1"}}},
     [("thread", "create", "t"), ("checkpoint", "create", "c1")]),
    ("threads.put_writes",
     {"id": "t", "checkpoint": "c1", "task": "do",
      "writes": [{"index": 0, "channel": "x", "type": "json", "body": "2"}]},
     [("checkpoint_write", "create", "c1")]),
    ("threads.prune", {"id": "t", "keep": []},
     [("checkpoint_write", "delete", "c1"), ("checkpoint", "delete", "c1")]),
    ("threads.put", {"id": "t", "checkpoint": "c2", "run": "r2"},
     [("checkpoint", "create", "c2")]),
    ("threads.delete_runs", {"runs": ["r2"]}, [("checkpoint", "delete", "c2")]),
    ("threads.copy", {"id": "t", "to": "u"}, [("thread", "create", "u")]),
    ("threads.delete", {"id": "u"}, [("thread", "delete", "u")]),
    ("threads.delete", {"id": "t"}, [("thread", "delete", "t")]),
    ("schedules.put", {"id": "s", "kind": "k", "every_seconds": 60},
     [("schedule", "create", "s")]),
    ("schedules.put", {"id": "s", "kind": "k", "cron": "0 0 * * *"},
     [("schedule", "update", "s")]),
    ("schedules.pause", {"id": "s"}, [("schedule", "update", "s")]),
    ("schedules.resume", {"id": "s"}, [("schedule", "update", "s")]),
    ("schedules.delete", {"id": "s"}, [("schedule", "delete", "s")]),
    ("jobs.put", {"kind": "book", "id": "j", "lane": "l"}, [("job", "create", "j")]),
    ("jobs.put", {"kind": "book", "id": "j", "lane": "l"}, []),
    ("jobs.limit", {"kind": "book", "concurrency": 9}, []),
    ("jobs.claim", {"worker": "w", "lease_seconds": 600}, []),
    ("jobs.renew", {"id": "j", "fence": 1, "lease_seconds": 900}, []),
    ("jobs.wait", {"id": "j", "signal": "go", "nth": 0, "position": 0, "fence": 1}, []),
    ("jobs.signal", {"id": "j", "name": "go"}, [("job_signal", "create", "j")]),
    ("jobs.claim", {"worker": "w", "lease_seconds": 600}, []),
    ("jobs.wait", {"id": "j", "signal": "go", "nth": 0, "position": 0, "fence": 2},
     [("job_signal", "delete", "j"), ("job_step", "create", "j")]),
    ("jobs.join", {"id": "j", "fence": 2}, []),
    ("jobs.release", {"id": "j", "fence": 2}, []),
    ("jobs.claim", {"worker": "w", "lease_seconds": 600}, []),
    ("jobs.fail", {"id": "j", "error": "no seat", "retry": False, "fence": 3},
     [("job_end", "create", "j")]),
    ("jobs.revive", {"id": "j"}, [("job_end", "delete", "j")]),
    ("jobs.cancel", {"id": "j"}, [("job_end", "create", "j")]),
    ("jobs.put", {"kind": "book", "id": "k"}, [("job", "create", "k")]),
    ("jobs.claim", {"worker": "w", "lease_seconds": 600}, []),
    ("jobs.sleep",
     {"id": "k", "name": "nap", "nth": 0, "position": 0, "seconds": 60, "fence": 1},
     [("job_step", "create", "k")]),
    ("jobs.cancel", {"id": "k"}, [("job_end", "create", "k")]),
    ("jobs.put", {"kind": "book", "id": "m"}, [("job", "create", "m")]),
    ("jobs.claim", {"worker": "w", "lease_seconds": 600}, []),
    ("jobs.keep_step",
     {"id": "m", "name": "ask", "nth": 0, "position": 0, "fence": 1},
     [("job_step", "create", "m")]),
    ("jobs.complete", {"id": "m", "result": ["ok"], "fence": 1},
     [("job_end", "create", "m")]),
    ("jobs.purge", {"finished_before": "2100-01-01T00:00:00Z"},
     [(table, "delete", id) for id in ("m", "j", "k")
      for table in ("job", "job_end", "job_step")]),
    ("toolsets.put", {"agent": "a", "conversation": "c", "tools": [{"name": "t"}]}, []),
    ("toolsets.handshake", {"agent": "a", "conversation": "c"}, []),
    ("toolsets.delete", {"agent": "a", "conversation": "c"}, []),
    ("toolsets.clear", {}, []),
    ("inbox.deliver", {"to": "ada", "body": 1, "id": "i"},
     [("inbox_message", "create", "i")]),
    ("inbox.deliver", {"to": "ada", "body": 1, "id": "i"}, []),
    ("inbox.fail", {"id": "i", "error": "no"}, [("inbox_message", "update", "i")]),
    ("inbox.set_aside", {"id": "i", "error": "no"},
     [("inbox_message", "update", "i")]),
    ("inbox.retry", {"id": "i"}, [("inbox_message", "update", "i")]),
    ("inbox.take", {"to": "ada"}, [("inbox_message", "update", "i")]),
    ("inbox.take", {"to": "ada"}, []),
    ("inbox.purge", {"processed_before": "2100-01-01T00:00:00Z"},
     [("inbox_message", "delete", "i")]),
    ("machines.define", {"name": "order", "spec": ORDER, "version": 1},
     [("machine_definition", "create", None)]),
    ("machines.define", {"name": "order", "spec": ORDER, "version": 1}, []),
    ("machines.create", {"name": "order", "id": "o"},
     [("machine", "create", "o"), ("machine_step", "create", "o")]),
    ("machines.create", {"name": "order", "id": "o"}, []),
    ("machines.send", {"id": "o", "event": "NOTE"},
     [("machine_step", "create", "o")]),
    ("machines.send", {"id": "o", "event": "NONE"}, []),
    ("inbox.deliver", {"to": "o", "body": {"type": "NOTE"}, "id": "n"},
     [("inbox_message", "create", "n")]),
    ("machines.receive", {"machine": "o"},
     [("inbox_message", "update", "n"), ("machine_step", "create", "o")]),
    ("inbox.purge", {"processed_before": "2100-01-01T00:00:00Z"},
     [("inbox_message", "delete", "n")]),
    ("machines.define", {"name": "order", "spec": ORDER, "version": 2},
     [("machine_definition", "create", None)]),
    ("machines.upgrade", {"name": "order"}, [("machine_step", "create", "o")]),
    ("machines.send", {"id": "o", "event": "PAY"}, [("machine_step", "create", "o")]),
    ("machines.delete", {"id": "o"},
     [("machine_step", "delete", "o")] * 5 + [("machine", "delete", "o")]),
    ("state.set", {"section": "jobs", "key": "a", "value": {"n": 1}},
     [("state_section", "create", "jobs"), ("state_key", "create", "jobs")]),
    ("state.set", {"section": "jobs", "key": "a", "value": {"n": 1}}, []),
    ("state.update", {"section": "jobs", "values": {"a": {"m": 2}, "b": 3}},
     [("state_section", "update", "jobs"), ("state_key", "update", "jobs"),
      ("state_key", "create", "jobs")]),
    ("state.delete", {"section": "jobs", "key": "b"},
     [("state_section", "update", "jobs"), ("state_key", "delete", "jobs")]),
    ("state.delete", {"section": "jobs", "key": "b"}, []),
    ("state.drop", {"section": "jobs"},
     [("state_key", "delete", "jobs"), ("state_section", "delete", "jobs")]),
    ("state.drop", {"section": "jobs"}, []),
    ("observations.create", {"observer": "w", "id": "seen"},
     [("observation", "create", "seen")]),
    ("observations.create", {"observer": "w"}, []),
    ("observations.update", {"id": "seen", "target": "x"},
     [("observation", "update", "seen")]),
    ("observations.pause", {"id": "seen"}, [("observation", "update", "seen")]),
    ("observations.pause", {"id": "seen"}, []),
    ("observations.resume", {"id": "seen"}, [("observation", "update", "seen")]),
    ("observations.delete", {"id": "seen"}, [("observation", "delete", "seen")]),
    ("index.add_folder", {"path": "/compositions"}, []),
    ("index.remove_folder", {"path": "/compositions"}, []),
    ("agents.create", {"name": "Ada", "id": "a"},
     [("agent", "create", "a"), ("agent_tally", "create", "a")]),
    ("agents.create", {"name": "Ada", "id": "a"}, []),
    ("agents.create_all",
     {"agents": [{"name": "Bob", "id": "b", "parent": "a"}, {"name": "C", "id": "e"}]},
     [("agent", "create", "b"), ("agent_tally", "create", "b"),
      ("agent_link", "create", "a"),
      ("agent", "create", "e"), ("agent_tally", "create", "e")]),
    ("agents.update", {"id": "a", "role": "lead"}, [("agent", "update", "a")]),
    ("agents.increment", {"id": "a", "counts": {"n": 1}},
     [("agent_tally", "update", "a")]),
    ("agents.link", {"id": "b", "relation": "observes", "target": "a"},
     [("agent_link", "create", "b")]),
    ("agents.link", {"id": "b", "relation": "observes", "target": "a"}, []),
    ("agents.link",
     {"id": "b", "relation": "observes", "target": "a", "metadata": {"n": 1}},
     [("agent_link", "update", "b")]),
    ("agents.claim", {"id": "a", "holder": "h", "seconds": 9}, []),
    ("agents.beat", {"holder": "h", "seconds": 9}, []),
    ("agents.verify", {"id": "a", "fence": 1}, []),
    ("agents.release", {"id": "a", "fence": 1}, []),
    ("agents.release_all", {"holder": "h"}, []),
    ("agents.unlink", {"id": "b", "relation": "observes", "target": "a"},
     [("agent_link", "delete", "b")]),
    ("agents.delete", {"id": "a"},
     [("agent", "delete", "a"), ("agent_tally", "delete", "a"),
      ("agent_link", "delete", "a")]),
    ("agents.delete", {"id": "b"},
     [("agent", "delete", "b"), ("agent_tally", "delete", "b")]),
    ("agents.delete", {"id": "e"},
     [("agent", "delete", "e"), ("agent_tally", "delete", "e")]),
    ("workspaces.put", {"id": "w", "persona": "dev"},
     [("workspace", "create", "w"), ("workspace_use", "create", "w")]),
    ("workspaces.put", {"id": "w", "persona": "dev"},
     [("workspace_use", "update", "w")]),
    ("workspaces.load", {"id": "w", "tools": ["saw"]},
     [("workspace", "update", "w"), ("workspace_use", "update", "w")]),
    ("workspaces.unload", {"id": "w", "tools": ["saw"]},
     [("workspace", "update", "w"), ("workspace_use", "update", "w")]),
    ("workspaces.enter", {"id": "w", "session": "s"},
     [("workspace_chat", "create", "w"), ("workspace_use", "update", "w")]),
    ("workspaces.touch", {"id": "w", "session": "s"},
     [("workspace_chat", "update", "w"), ("workspace_use", "update", "w")]),
    ("workspaces.leave", {"id": "w", "session": "s"},
     [("workspace_chat", "delete", "w"), ("workspace_use", "update", "w")]),
    ("workspaces.clean", {"older_than_seconds": 9_999}, []),
    ("workspaces.delete", {"id": "w"},
     [("workspace", "delete", "w"), ("workspace_use", "delete", "w")]),
    ("checkpoints.retry", {"id": "kept"}, []),
    ("checkpoints.delete", {"id": "kept"}, []),
    ("journal.advance", {"name": "index", "to": 1}, []),
]  # fmt: skip
"""Every operation that writes, with the changes that it makes, in order."""


def everything(store, **filters):
    found, cursor = [], None
    while True:
        page = store.journal.read(cursor=cursor, **filters)
        found += page
        cursor = page.cursor
        if cursor is None:
            return found


def test_every_operation_is_journalled_as_the_changes_that_it_makes(store, clock):
    furnish_checkpoints(store, "ada")
    for name, args, expected in MADE:
        before = store.journal.head()
        clock.advance(1)
        store.call(name, args)
        made = list(store.journal.read(before))
        assert [(c.kind, c.op, c.id) for c in made] == expected, name
        assert [c.seq for c in made] == list(range(before + 1, before + 1 + len(made)))
        for change in made:
            assert change.moment == store.journal.head() == before + len(made)
            assert change.at == to_datetime(clock.now_us())
            assert (change.owner, change.origin) == ("", None)
            assert (change.actor, change.cause) == (None, None)


def test_no_operation_that_writes_is_missing_from_the_list_above(store):
    every = store.operations().items()
    writing = {n for n, found in every if not (found.reads or found.beside)}
    assert writing - {"events.emit"} == {name for name, _, _ in MADE}


def test_before_is_what_the_change_before_left_and_after_what_this_one_left(store):
    furnish_checkpoints(store, "ada")
    for name, args, _ in MADE:
        store.call(name, args)
    known = {}
    for change in everything(store):
        row = change.after or change.before
        where = (
            change.kind,
            change.id,
            row.get("position"),
            row.get("digest"),
            row.get("key"),
        )
        assert change.before == known.pop(where, None)
        assert (change.before is None) == (change.op == "create")
        assert (change.after is None) == (change.op == "delete")
        if change.after is not None:
            known[where] = change.after
    assert sorted(where[:2] for where in known) == [
        *[("machine_definition", None)] * 2,
        ("session", "c"),
        ("task", "u"),
    ]


def shared(record, data):
    plain = {name: getattr(record, name) for name in data if hasattr(record, name)}
    return plain, {name: data[name] for name in plain}


def test_after_is_the_record_as_data(store, clock):
    store.sessions.create("Up", id="p")
    session = store.sessions.create(
        "Plan", id="s", parent="p", tags=["x"], metadata={"a": {"b": [1, None]}}
    )
    clock.advance(3)
    message = store.sessions.append("s", "user", [{"type": "text"}], metadata={"k": 1})
    store.tasks.create("Book", id="t", session="s")
    store.tasks.start("t")
    task = store.tasks.complete("t", {"seat": "12A"})
    line = store.tasks.log("t", "done", level="warn", type="agent")
    newest = {change.kind: change for change in everything(store)}
    for record, kind in ((message, "message"), (line, "task_log"), (task, "task")):
        plain, data = shared(record, newest[kind].after)
        assert len(plain) >= 3
        assert data == plain
    plain, data = shared(session, newest["session"].after)
    assert {**data, "tags": tuple(data["tags"])} == plain
    assert newest["message"].after["session"] == "s"
    assert newest["task_log"].after["task"] == "t"
    assert not {"no", "born", "died"} & set().union(*(c.after for c in newest.values()))


def test_a_change_is_plain_data_that_goes_out_as_json(store):
    store.sessions.create("Plan", metadata={"a": 1})
    (change,) = store.journal.read()
    again = msgspec.json.decode(msgspec.json.encode(change), type=Change)
    assert (again.seq, again.at, again.kind) == (change.seq, change.at, change.kind)
    assert again.after["metadata"] == {"a": 1}


def test_a_moment_is_a_transaction_with_its_who_and_why(store, clock):
    with store.transaction(actor="planner", cause="monday") as tx:
        talk = tx.sessions.create("Plan")
        tx.sessions.append(talk.id, "user", "Hi")
        tx.tasks.create("Book")
    clock.advance(1)
    store.run(lambda tx: tx.tasks.create("Two"), actor="worker", cause="retry")
    store.tasks.create("Three")
    found = everything(store)
    assert [c.seq for c in found] == [1, 2, 3, 4, 5]
    assert [c.moment for c in found] == [3, 3, 3, 4, 5]
    said = [(c.actor, c.cause) for c in found]
    assert said == [("planner", "monday")] * 3 + [("worker", "retry")] + [(None, None)]
    assert found[0].at == found[2].at == found[3].at - timedelta(seconds=1)


def test_what_failed_leaves_no_change_and_no_gap(store):
    store.sessions.create(id="s")
    with pytest.raises(errors.NotFound):
        store.sessions.append("none", "user", "x")
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        tx.sessions.append("s", "user", "gone")
        1 / 0  # noqa: B018
    with store.transaction() as tx:
        with pytest.raises(ZeroDivisionError), tx.savepoint():
            tx.sessions.append("s", "user", "undone")
            1 / 0  # noqa: B018
        tx.sessions.append("s", "user", "kept")
    found = everything(store)
    assert [(c.seq, c.moment, c.kind) for c in found] == [
        (1, 1, "session"),
        (2, 2, "message"),
    ]
    assert found[1].after["content"] == "kept"


def test_what_an_open_transaction_did_is_not_yet_in_the_journal(store):
    store.sessions.create(id="s")
    with store.transaction() as tx:
        tx.sessions.append("s", "user", "x")
        found = tx.journal.stretch(1)
        assert (tx.journal.head(), list(tx.journal.read(1))) == (1, [])
    assert (found.changes, found.reached) == ((), 1)
    assert [c.seq for c in store.journal.stretch(found.reached).changes] == [2]


def filled(store):
    for talk in ("a", "b"):
        store.sessions.create(id=talk)
        store.tasks.create("x", id=f"task-{talk}", session=talk)
        for number in range(3):
            store.sessions.append(talk, "user", number, message_id=f"{talk}{number}")
        store.tasks.log(f"task-{talk}", "line")
    return everything(store)


def test_reading_chooses_by_kind_and_by_record_and_by_place(store):
    every = filled(store)

    def chosen(**filters):
        return [change.seq for change in everything(store, **filters)]

    def seqs(wanted):
        return [change.seq for change in every if wanted(change)]

    assert chosen(kinds=["message"]) == seqs(lambda c: c.kind == "message")
    assert chosen(kinds=["sessions"]) == seqs(
        lambda c: c.kind in {"session", "message"}
    )
    assert chosen(kinds=["session", "tasks"]) == seqs(lambda c: c.kind != "message")
    assert chosen(kinds=[]) == []
    assert chosen(id="b1") == seqs(lambda c: c.id == "b1")
    of_a = seqs(lambda c: c.id == "a" or (c.kind, c.id[0]) == ("message", "a"))
    assert chosen(id="a") == of_a
    assert chosen(id="task-a", kinds=["task_log"]) == [6]
    assert chosen(after=9) == [10, 11, 12]
    assert chosen(after=12) == chosen(after=500) == []
    assert chosen(id="nobody") == []


@pytest.mark.parametrize("limit", [1, 2, 5, 12, 13])
def test_pages_lead_through_all_of_it_once(store, limit):
    every = filled(store)
    assert everything(store, limit=limit) == every
    messages = [c for c in every if c.kind == "message"]
    assert everything(store, limit=limit, kinds=["message"]) == messages
    assert store.journal.read(limit=12).cursor is None
    assert len(store.journal.read(limit=limit)) == min(limit, 12)


def test_a_kind_that_is_not_there_and_a_cursor_of_another_list_are_refused(store):
    with pytest.raises(
        errors.Refused, match="no kind 'nonsense'; there are: .*message"
    ):
        store.journal.read(kinds=["nonsense"])
    with pytest.raises(errors.InvalidId):
        store.journal.read(cursor="no cursor")
    with pytest.raises(errors.WrongType):
        store.journal.read(kinds="message")
    with pytest.raises(errors.WrongType):
        store.journal.read(-1)


def test_reading_below_what_was_trimmed_is_told(store):
    filled(store)
    floor = "update store set value = '4' where name = 'journal_floor'"
    store.run(lambda tx: tx._tx.ask(floor) and None)
    for attempt in (
        lambda: store.journal.read(3),
        lambda: store.journal.stretch(0),
        lambda: next(store.journal.follow(2)),
        lambda: store.across_owners().journal.read(3),
        lambda: store.journal.follower("late").apply(lambda tx, changes: None),
    ):
        with pytest.raises(errors.Trimmed, match="begins after 4 .* go on from 4"):
            attempt()
    assert store.journal.read(4)[0].seq == 5
    assert store.journal.head() == 12


def test_an_owner_sees_no_change_of_another(store):
    ada, bob = store.owned_by("ada"), store.owned_by("bob")
    ada.sessions.create("hers", id="same")
    bob.sessions.create("his", id="same")
    ada.sessions.append("same", "user", "secret", message_id="m")
    store.sessions.create("nobody's")
    assert [(c.seq, c.owner) for c in everything(ada)] == [(1, "ada"), (3, "ada")]
    assert [(c.seq, c.after["title"]) for c in everything(bob)] == [(2, "his")]
    assert [c.seq for c in everything(store)] == [4]
    assert everything(bob, id="m") == []
    assert ada.journal.head() == bob.journal.head() == 4


def test_across_owners_is_all_of_it_in_one_order(store):
    for number in range(6):
        store.owned_by(f"owner-{number % 3}").sessions.create(id=f"s{number}")
    every = store.across_owners().journal
    assert [(c.seq, c.owner) for c in every.read()] == [
        (number + 1, f"owner-{number % 3}") for number in range(6)
    ]
    assert [c.seq for c in every.read(id="s4")] == [5]
    with pytest.raises(errors.HoldfastError):
        every.advance("index", 1)
