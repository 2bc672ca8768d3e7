"""Watching: the state as it is and each later one, soon, none missed and none twice."""

import asyncio
import contextlib
import gc
import logging
import os
import re
import threading
import time

import apsw
import psycopg
import pytest

import holdfast
from conftest import store_on
from driving import Driven
from holdfast import declared, errors
from holdfast.edges import Id, Text
from holdfast.runtime.watch import feeding, queries, rounds, touching, watching
from holdfast.schema import reading
from holdfast.schema.catalog import catalog
from killing import Worker
from postgres import fresh_schema, shared_url
from test_postgres_owners import as_agent

PATIENCE_SECONDS = 20.0
LAMP = {
    "initial": "off",
    "states": {"off": {"on": {"PRESS": "on"}}, "on": {"on": {"PRESS": "off"}}},
}
NOTES = """
-- tables --
-- A note is a text under a key.
create table note (
    no integer primary key,
    owner text not null,
    id text not null,
    body text not null,
    unique (owner, id)
) strict;
-- note_get --
-- One note.
select no, body from note where owner = :owner and id = :id
-- note_add --
-- Keep a note.
insert into note (no, owner, id, body) values (:no, :owner, :id, :body)
-- note_change --
-- Put a note's text as it now is.
update note set body = :body where no = :no
"""


class Notes(holdfast.Kind):
    """Texts under keys."""

    @holdfast.operation
    def put(self, id: Id, body: Text) -> None:
        row = self.tx.one("note_get", owner=self.owner, id=id)
        if row is None:
            no = self.tx.new_no()
            self.tx.put("note_add", no=no, owner=self.owner, id=id, body=body)
        else:
            self.tx.put("note_change", no=row[0], body=body)

    @holdfast.query
    def get(self, id: Id) -> str:
        row = self.tx.one("note_get", owner=self.owner, id=id)
        if row is None:
            raise self.not_found(id)
        return row[1]


def plain(store):
    """The sync face of a store, whichever it is."""
    return store._target.sync if isinstance(store, Driven) else store


def feed(store):
    """What runs the queries that are watched in a store."""
    return feeding._feeds[id(plain(store)._core)]


def until(store, holds):
    """Wait until something holds, and let an event loop run meanwhile."""
    for _ in range(int(PATIENCE_SECONDS / 0.002)):
        if holds():
            return
        if isinstance(store, Driven):
            store._loop.run_until_complete(asyncio.sleep(0.002))
        else:
            time.sleep(0.002)
    raise AssertionError("it never was so")


def settle(store):
    """Wait until the feed has looked at all that is committed."""
    plainly = plain(store)
    head = plainly.owned_by("").read(lambda tx: tx.journal.head())
    found = feed(store).runs
    until(
        store,
        lambda: found.place >= head and not found._due and not found._joined,
    )


def waiting(watched):
    """What iteration would give now; None if it would wait."""
    target = watched._target if isinstance(watched, Driven) else watched
    return target._next()


# First result, later ones.


def test_a_record_is_given_as_it_is_and_then_as_it_becomes(store):
    task = store.tasks.create("Book", id="t")
    with store.watch("tasks", "t") as watched:
        assert watched.value == task
        assert next(watched) == task
        store.tasks.start("t")
        assert next(watched).status == "in_progress"
        assert watched.value.status == "in_progress"
        store.tasks.complete("t", {"seat": 4})
        assert next(watched).result == {"seat": 4}
        store.tasks.delete("t")
        assert next(watched) is None
        store.tasks.create("Again", id="t")
        assert next(watched).description == "Again"


def test_what_is_not_there_yet_is_none_and_then_itself(open_store):
    store = open_store()
    with store.watch("task", "later") as watched:
        assert next(watched) is None
        store.tasks.create("Other", id="other")
        store.tasks.create("Later", id="later")
        assert next(watched).description == "Later"


def test_a_query_by_name_is_given_again_when_it_differs(store):
    with store.watch_query("tasks.list", status="pending") as watched:
        assert list(next(watched)) == []
        made = store.tasks.create("Book", id="t")
        assert list(next(watched)) == [made]
        store.tasks.start("t")
        assert list(next(watched)) == []


def test_a_function_of_tx_is_a_query(open_store):
    store = open_store()

    def titles(tx, *, most):
        return [session.title for session in tx.sessions.list(limit=most)]

    with store.watch_query(titles, most=2) as watched:
        assert next(watched) == []
        for title in ("a", "b", "c"):
            store.sessions.create(title)
            settle(store)
        assert next(watched) == ["c", "b"]


CHANGES = {
    "sessions": (
        lambda s: s.sessions.create(id="x"),
        lambda s: s.sessions.append("x", "user", "Hi"),
        lambda session: session.message_count == 1,
    ),
    "inbox": (
        lambda s: s.inbox.deliver("bo", {"n": 1}, id="x"),
        lambda s: s.inbox.take("bo"),
        lambda message: message.status == "processed",
    ),
    "items": (
        lambda s: s.items.put(("a",), "k", {"n": 1}),
        lambda s: s.items.put(("a",), "k", {"n": 2}),
        lambda item: item.value == {"n": 2},
    ),
    "threads": (
        lambda s: s.threads.put("x", "c"),
        lambda s: s.threads.delete("x"),
        lambda thread: thread is None,
    ),
    "jobs": (
        lambda s: s.jobs.put("mail", {"to": "bo"}, id="x"),
        lambda s: s.jobs.cancel("x"),
        lambda job: job.status == "cancelled",
    ),
    "schedules": (
        lambda s: s.schedules.put("x", "mail", every_seconds=60),
        lambda s: s.schedules.pause("x"),
        lambda schedule: schedule.paused,
    ),
    "machines": (
        lambda s: (s.machines.define("lamp", LAMP), s.machines.create("lamp", id="x")),
        lambda s: s.machines.send("x", "PRESS"),
        lambda machine: machine.state == "on",
    ),
}
"""How a record of each kind is made, and changed, and how the change is told."""


def test_every_kind_with_records_can_be_watched(store):
    for kind, (make, change, told) in CHANGES.items():
        made = make(store)
        with store.watch(kind, made.id if kind == "items" else "x") as watched:
            assert not told(next(watched))
            change(store)
            while not told(next(watched)):
                pass


def test_a_record_depends_on_records_that_it_names(store):
    store.sessions.create(id="parent")
    store.sessions.create(id="child", parent="parent")
    with store.watch("sessions", "child") as watched:
        assert not next(watched).orphaned
        store.sessions.delete("parent")
        assert next(watched).orphaned


def test_a_session_that_left_its_line_is_still_followed(store):
    store.sessions.create(id="a")
    for text in "xyz":
        store.sessions.append("a", "user", text)
    store.sessions.fork("a", 2, new_id="b")
    store.sessions.rewind("a", 1)
    with store.watch("sessions", "a") as ours, store.watch("sessions", "b") as theirs:
        next(ours), next(theirs)
        store.sessions.append("a", "user", "mine")
        assert next(ours).message_count == 2
        store.sessions.append("b", "user", "mine")
        assert next(theirs).message_count == 3


# Waiting for a state, and no longer.


def test_a_state_is_waited_for_and_no_longer_than_said(store):
    store.sessions.create(id="s")
    with store.watch("sessions", "s") as watched:
        assert watched.get(timeout_seconds=0).message_count == 0
        for seconds in (0, 0.01):
            with pytest.raises(errors.TimedOut, match="came within"):
                watched.get(timeout_seconds=seconds)
        store.sessions.append("s", "user", "Hi")
        assert watched.get(timeout_seconds=PATIENCE_SECONDS).message_count == 1
        store.sessions.delete("s")
        assert watched.get() is None
        for seconds in (-1, "soon", True):
            with pytest.raises(errors.WrongType, match="timeout_seconds"):
                watched.get(timeout_seconds=seconds)
        watched.close()
        with pytest.raises(errors.Closed):
            watched.get()


def test_who_waits_for_a_state_is_told_of_the_end(open_store):
    store = open_store()
    store.sessions.create(id="s")
    with store.watch("sessions", "s") as watched:
        watched.get()
        thread = threading.Thread(target=store.close)
        thread.start()
        with pytest.raises(errors.Closed):
            watched.get(timeout_seconds=PATIENCE_SECONDS)
        thread.join()


# None missed, none twice.


def test_nothing_is_missed_between_the_first_result_and_the_first_change(store):
    """Each time, another thread commits while the watch begins."""
    writer = plain(store)
    writer.sessions.create(id="s")
    for round in range(15):
        thread = threading.Thread(
            target=lambda: [writer.sessions.append("s", "user", n) for n in range(4)]
        )
        thread.start()
        with store.watch("sessions", "s") as watched:
            seen = [next(watched).message_count]
            while seen[-1] < 4 * (round + 1):
                seen.append(next(watched).message_count)
        thread.join()
        assert seen == sorted(set(seen))


def test_what_came_while_one_was_on_its_way_is_given(open_store):
    """A first result may be older than what the feed has looked at meanwhile."""
    store = open_store()
    core = store._core
    store.sessions.create(id="s")
    with store.watch_query("tasks.list") as other:
        asked = queries.record_query(core, store._terms, "sessions", "s")
        outcome = core.engine.read(core.unit(feed(store).first(asked), asked.terms))
        store.sessions.append("s", "user", "Hi")
        settle(store)
        with watching.Watched(feed(store), asked, outcome) as watched:
            assert next(watched).message_count == 0
            assert next(watched).message_count == 1
        assert len(next(other)) == 0


def test_a_first_result_that_is_late_takes_nobody_back(open_store):
    store = open_store()
    core = store._core
    store.sessions.create(id="s")
    asked = queries.record_query(core, store._terms, "sessions", "s")
    early = core.engine.read(core.unit(feeding.Feed(core).first(asked), asked.terms))
    with store.watch("sessions", "s") as ours:
        store.sessions.append("s", "user", "Hi")
        settle(store)
        assert next(ours).message_count == 1
        with watching.Watched(feed(store), asked, early) as late:
            assert next(late).message_count == 1
        settle(store)
        assert waiting(ours) is None


def test_who_comes_later_is_not_given_what_was(store):
    """A shared query's state may lag behind; who joins is given what is."""
    store.sessions.create(id="s")
    with store.watch("sessions", "s") as early:
        for number in range(1, 30):
            store.sessions.append("s", "user", number)
            with store.watch("sessions", "s") as late:
                assert late.value.message_count == number
        settle(store)
        assert early.value.message_count == 29


def test_a_transaction_of_several_changes_is_one_update(store):
    def two(tx):
        tx.sessions.create(id="b")
        for number in range(20):
            tx.sessions.append("a", "user", number)
        tx.sessions.append("b", "user", "Hi")

    def counts(tx):
        return [s.message_count for s in tx.sessions.list()]

    store.sessions.create(id="a")
    with store.watch_query(counts) as watched:
        assert next(watched) == [0]
        store.run(two)
        assert next(watched) == [1, 20]
        settle(store)
        assert waiting(watched) is None


def test_what_is_rolled_back_is_never_seen(open_store):
    store = open_store()

    def broken(tx):
        tx.tasks.create("Never")
        raise KeyError

    with store.watch_query("tasks.list") as watched:
        assert len(next(watched)) == 0
        with pytest.raises(KeyError):
            store.run(broken)
        store.sessions.create()
        settle(store)
        assert waiting(watched) is None


def test_a_result_that_is_the_same_is_not_given_again(open_store):
    store = open_store()
    store.tasks.create("Book", id="t")

    def status(tx):
        return tx.tasks.get("t").status

    with store.watch_query(status) as watched:
        assert next(watched) == "pending"
        store.tasks.log("t", "Still looking")
        store.tasks.update("t", assigned_to="bo")
        settle(store)
        assert waiting(watched) is None
        store.tasks.start("t")
        assert next(watched) == "in_progress"


def test_true_and_one_are_two_states(open_store):
    store = open_store()
    store.items.put(("a",), "k", {"done": 1})

    def done(tx):
        return tx.items.get(("a",), "k").value

    with store.watch_query(done) as watched:
        assert next(watched) == {"done": 1}
        store.items.put(("a",), "k", {"done": True})
        assert next(watched)["done"] is True


def test_a_state_that_comes_back_is_not_given_twice_in_a_row(open_store):
    store = open_store()
    store.items.put(("a",), "k", {"n": 1})

    def value(tx):
        return tx.items.get(("a",), "k").value

    with store.watch_query(value) as watched:
        assert next(watched) == {"n": 1}
        for number in (2, 1):
            store.items.put(("a",), "k", {"n": number})
            settle(store)
        assert waiting(watched) is None


def test_who_changes_what_it_was_given_hides_no_change(open_store):
    store = open_store()
    store.items.put(("a",), "k", {"n": 1})

    def value(tx):
        return tx.items.get(("a",), "k").value

    with store.watch_query(value) as watched:
        next(watched)["n"] = 2
        store.items.put(("a",), "k", {"n": 2})
        settle(store)
        assert waiting(watched).value == {"n": 2}


def test_a_slow_one_is_given_the_newest_and_not_a_backlog(open_store):
    store = open_store()
    store.sessions.create(id="s")
    with store.watch("sessions", "s") as watched:
        next(watched)
        for number in range(50):
            store.sessions.append("s", "user", number)
        settle(store)
        assert next(watched).message_count == 50
        assert waiting(watched) is None


# One run for all, and only when it may differ.


def test_equal_queries_share_one_run(open_store):
    store = open_store()
    ran = []

    def titles(tx):
        ran.append(1)
        return [session.title for session in tx.sessions.list()]

    with contextlib.ExitStack() as stack:
        watching = [stack.enter_context(store.watch_query(titles)) for _ in range(40)]
        assert [next(one) for one in watching] == [[]] * 40
        assert len(ran) == 1
        settle(store)
        store.sessions.create("a")
        assert [next(one) for one in watching] == [["a"]] * 40
        assert len(ran) == 2


def test_equal_operations_are_one_however_they_are_written(open_store):
    store = open_store()
    with (
        store.watch_query("tasks.list", status="pending") as a,
        store.watch_query("tasks.list", limit=50, status="pending") as b,
        store.watch_query("tasks.list", status="pending", limit=51) as c,
    ):
        found = feed(store)
        assert len(found.runs._of) == 2
        before = found.rounds.count
        store.tasks.create("Book")
        settle(store)
        assert [len(one.value) for one in (a, b, c)] == [1, 1, 1]
        assert found.rounds.count == before + 2


def test_only_what_reads_the_table_is_run_again(store):
    store.tasks.create("Book", id="t")
    store.tasks.create("Pay", id="u")
    with (
        store.watch("tasks", "t"),
        store.watch("tasks", "u"),
        store.watch_query("sessions.list"),
        store.watch("sessions", "s"),
    ):
        found = feed(store)
        settle(store)
        for change, runs in (
            (lambda: store.items.put(("a",), "k", {"n": 1}), 0),
            (lambda: store.tasks.update("t", assigned_to="bo"), 1),
            (lambda: store.tasks.log("u", "Looking"), 0),
            (lambda: store.sessions.create(id="other"), 2),
            (lambda: store.sessions.append("other", "user", "Hi"), 1),
            (lambda: store.sessions.delete("other"), 1),
        ):
            before = found.rounds.count
            change()
            settle(store)
            assert found.rounds.count - before == runs


def test_those_whose_rows_have_changed_are_run_first(store, monkeypatch):
    monkeypatch.setattr(touching, "_CROWD", 20)
    ids, ran = [f"t{number}" for number in range(20)], []

    def lines(tx, id):
        ran.append(id)
        return [line.message for line in tx.tasks.logs(id)]

    for id in ids:
        store.tasks.create("Book", id=id)
    with contextlib.ExitStack() as stack:
        for id in ids:
            stack.enter_context(store.watch_query(lines, id))
        settle(store)
        assert not feed(store).runs.any_untold
        for id in ("t13", "t7"):
            ran.clear()
            store.tasks.log(id, "Looking")
            settle(store)
            assert (ran[0], set(ran)) == (id, set(ids))


def test_another_owners_changes_wake_nobody_and_are_not_seen(store):
    ada = store.owned_by("ada")
    store.tasks.create("Mine", id="t")
    ada.tasks.create("Hers", id="t")
    with (
        store.watch("tasks", "t") as mine,
        store.watch_query("tasks.list") as ours,
        ada.watch("tasks", "t") as hers,
        ada.watch_query("tasks.list") as all_hers,
    ):
        found = feed(store)
        next(mine), next(ours), next(hers), next(all_hers)
        settle(store)
        before = found.rounds.count
        ada.tasks.start("t")
        assert next(hers).owner == "ada"
        assert next(all_hers)[0].status == "in_progress"
        settle(store)
        assert found.rounds.count == before + 2
        assert waiting(mine) is None
        assert waiting(ours) is None
        ada.tasks.delete("t")
        assert next(hers) is None
        assert mine.value.description == "Mine"


def test_a_kind_of_ones_own_can_be_watched(path):
    made = declared._declared.copy()
    try:
        holdfast.kind("notes", sql=NOTES)(Notes)
        with (
            holdfast.open(path) as store,
            store.watch("notes", "n") as watched,
            store.watch("note", "other") as other,
        ):
            assert next(watched) is None
            assert next(other) is None
            store.notes.put("n", "Hi")
            assert next(watched) == "Hi"
            store.notes.put("n", "Ho")
            assert next(watched) == "Ho"
            settle(store)
            assert waiting(other) is None
    finally:
        declared._declared.clear()
        declared._declared.update(made)
        declared._current.clear()


def test_every_table_that_a_statement_reads_is_known(path):
    """SQLite itself says what it reads."""
    parts = declared.registry().parts()
    known = reading.tables_read(parts)
    written = catalog([part for part in parts if not part.beside])
    holdfast.open(path).close()
    connection, read = apsw.Connection(path), set()

    def authorize(action, table, *_):
        if action == apsw.SQLITE_READ:
            read.add(table)
        return apsw.SQLITE_OK

    tables = {table.name for part in parts for table in part.tables}
    checked = 0
    for name, statement in written.items():
        if not re.match(r"\s*(select|with)\b", statement.text):
            continue
        read.clear()
        connection.authorizer = authorize
        with contextlib.suppress(apsw.SQLError):  # of the other engine alone
            asked = dict.fromkeys(statement.parameters)
            connection.execute(f"explain {statement.text}", asked).close()
        plainly = {reading._as_told(table) for table in read}
        assert (plainly & tables) <= known[name], name
        checked += bool(plainly & tables)
    connection.close()
    assert checked > 100


def test_the_journal_itself_can_be_watched(open_store):
    store = open_store()
    with store.watch_query("journal.head") as watched:
        head = next(watched)
        store.owned_by("ada").sessions.create()
        assert next(watched) > head


def test_what_the_journal_does_not_tell_is_seen_too(store):
    """Leases have no history; they are looked at after commits, or once a second."""
    store.tasks.create("Book", id="t")
    with store.watch_query("leases.get", kind="tasks", id="t") as watched:
        assert next(watched) is None
        store.leases.acquire("tasks", "t", holder="bo", seconds=30)
        assert next(watched).holder == "bo"


def test_more_changes_than_one_look_takes_are_seen(store, monkeypatch):
    monkeypatch.setattr(rounds, "_PAGE", 5)
    monkeypatch.setattr(rounds, "_MANY", 20)

    def many(tx, count):
        for number in range(count):
            tx.sessions.append("s", "user", number)

    store.sessions.create(id="s")
    with store.watch("sessions", "s") as watched:
        next(watched)
        store.run(many, 17)
        assert next(watched).message_count == 17
        store.run(many, 83)
        assert next(watched).message_count == 100
        settle(store)
        assert waiting(watched) is None


def test_a_trimmed_journal_hides_nothing(store, monkeypatch):
    """What came and was trimmed before the feed looked is found by running all."""
    store.sessions.create(id="s")
    with store.watch("sessions", "s") as watched:
        next(watched)
        found = feed(store)
        look, is_about_to, may = found.rounds.look, threading.Event(), threading.Event()

        def later(*, untold):
            is_about_to.set()
            assert may.wait(PATIENCE_SECONDS)
            look(untold=untold)

        monkeypatch.setattr(found.rounds, "look", later)
        found.bell.set()
        assert is_about_to.wait(PATIENCE_SECONDS)
        store.sessions.append("s", "user", "Hi")
        store.items.put(("a",), "k", {"n": 1})
        store.journal.trim(before=store.journal.head())
        assert found.runs.place < store.journal.horizon()
        may.set()
        assert next(watched).message_count == 1


def test_many_queries_in_one_snapshot_are_told_slice_by_slice(store, monkeypatch):
    monkeypatch.setattr(rounds, "_SLICE_SECONDS", 0.0)

    def touch(tx):
        for number in range(30):
            tx.tasks.start(f"t{number}")

    for number in range(30):
        store.tasks.create("Book", id=f"t{number}")
    with contextlib.ExitStack() as stack:
        watching = [
            stack.enter_context(store.watch("tasks", f"t{n}")) for n in range(30)
        ]
        for one in watching:
            next(one)
        store.run(touch)
        assert {next(one).status for one in watching} == {"in_progress"}


# Refusals and errors.


def test_what_cannot_be_watched_says_so(store):
    store.sessions.create(id="s")
    past = store.as_of(store.moment())

    def start(*given, by="watch_query", **more):
        with getattr(store, by)(*given, **more):
            pass

    with pytest.raises(errors.Refused, match="look at moment"):
        past.watch("sessions", "s")
    with pytest.raises(errors.Refused, match="look at moment"):
        past.watch_query("sessions.list")
    with pytest.raises(errors.Refused, match="writes"):
        start("tasks.create", description="Never")
    with pytest.raises(errors.Refused, match="only reads"):
        start(lambda tx: tx.tasks.create("Never"))
    with pytest.raises(errors.Refused, match="no operation"):
        start("tasks.nothing")
    with pytest.raises(errors.Refused, match="no kind"):
        start("nothing", "x", by="watch")
    with pytest.raises(errors.Refused, match="no kind"):
        start("leases", "x", by="watch")
    with pytest.raises(errors.Refused, match="beside"):
        start("events.query")
    with pytest.raises(errors.WrongType):
        start("tasks.list", "pending")
    with pytest.raises(errors.WrongType):
        start("tasks.list", colour="red")
    with pytest.raises(errors.WrongType):
        start(7)
    with pytest.raises(errors.InvalidId):
        start("tasks", "", by="watch")
    with pytest.raises(errors.NotFound):
        start("tasks.get", id="nobody")
    assert len(store.tasks.list()) == 0


def test_a_function_that_is_watched_calls_nothing_on_the_store(store):
    plainly, said = plain(store), []

    def calls(tx):
        for call in (
            lambda: plainly.tasks.create("Once more"),
            plainly.tasks.list,
            lambda: plainly.read(lambda tx: tx.tasks.list()),
            lambda: plainly.watch("tasks", "t"),
            lambda: plainly.transaction().__enter__(),
        ):
            with pytest.raises(errors.Refused, match="inside a function that is watch"):
                call()
        said.append(len(tx.tasks.list()))
        return said[-1]

    with store.watch_query(calls) as watched:
        assert next(watched) == 0
        store.tasks.create("Book")
        assert next(watched) == 1
    assert said[-1] == 1


def test_nothing_is_watched_from_inside_a_transaction(open_store):
    store = open_store()
    with store.transaction():
        with pytest.raises(errors.Refused, match="inside"):
            store.watch("tasks", "t")
        with pytest.raises(errors.Refused, match="inside"):
            store.watch_query("tasks.list")


def test_an_error_of_the_query_is_raised_and_passes(store):
    store.sessions.create(id="s")
    with store.watch_query("sessions.get", id="s") as watched:
        next(watched)
        store.sessions.delete("s")
        with pytest.raises(errors.NotFound):
            next(watched)
        with pytest.raises(errors.NotFound):
            watched.value  # noqa: B018
        store.tasks.create("Other")
        store.sessions.create("Again", id="s")
        assert next(watched).title == "Again"


def test_a_function_that_raises_harms_nobody_else(open_store):
    store = open_store()

    def broken(tx):
        if len(tx.tasks.list()) == 1:
            raise SystemExit
        return "fine"

    with (
        store.watch_query(broken) as theirs,
        store.watch_query("tasks.list") as ours,
    ):
        next(theirs), next(ours)
        store.tasks.create("Book", id="t")
        assert len(next(ours)) == 1
        with pytest.raises(SystemExit):
            next(theirs)
        store.tasks.delete("t")
        assert next(theirs) == "fine"


def test_what_looks_as_if_the_store_were_away_harms_nobody_for_long(open_store):
    """A function may raise what the store itself does, again and again."""

    def busy(tx):
        if len(tx.tasks.list()) == 1:
            raise errors.TimedOut("this is not the store's")
        return "fine"

    store = open_store()
    with store.watch_query(busy) as theirs, store.watch_query("tasks.list") as ours:
        next(theirs), next(ours)
        store.tasks.create("Book", id="t")
        assert len(next(ours)) == 1
        with pytest.raises(errors.TimedOut):
            next(theirs)
        store.tasks.delete("t")
        assert next(theirs) == "fine"


def test_a_server_that_drops_every_connection_hides_nothing():
    with (
        fresh_schema() as url,
        holdfast.open(url) as store,
        psycopg.connect(shared_url(), autocommit=True) as by,
    ):
        store.sessions.create(id="s")
        with store.watch("sessions", "s") as watched:
            seen = [next(watched).message_count]
            for number in range(1, 4):
                by.execute(
                    "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
                    "where application_name = 'holdfast'"
                )
                store.sessions.append("s", "user", number)
                while seen[-1] < number:
                    seen.append(next(watched).message_count)
    assert seen == [0, 1, 2, 3]


NOTES_THAT_FAIL = (
    NOTES
    + """
-- note_each --
-- A figure of each note; of an empty one there is none.
select 1 / length(body) from note where owner = :owner order by no
-- note_all --
-- Every note, whosever it is.
select body from note order by no
"""
)


class AllNotes(Notes):
    """Texts under keys, asked for as kinds ought not to."""

    @holdfast.query
    def each(self) -> list[int]:
        return [row[0] for row in self.tx.all("note_each")]

    @holdfast.query
    def every(self) -> list[str]:
        return [row[0] for row in self.tx.all("note_all")]


@pytest.fixture
def all_notes():
    """A kind whose statements fail, or see too much, unless they are kept from it."""
    made = declared._declared.copy()
    holdfast.kind("notes", sql=NOTES_THAT_FAIL)(AllNotes)
    yield
    declared._declared.clear()
    declared._declared.update(made)
    declared._current.clear()


@pytest.mark.usefixtures("all_notes")
def test_a_query_that_runs_again_stays_behind_its_owners_wall():
    with (
        fresh_schema(row_security="on") as url,
        holdfast.open(as_agent(url)) as store,
    ):
        mine, hers = store.owned_by("me"), store.owned_by("ada")
        hers.notes.put("a", "hers")
        with (
            mine.watch_query("notes.every") as watched,
            hers.watch_query("notes.every") as other,
        ):
            assert (next(watched), next(other)) == ([], ["hers"])
            mine.notes.put("m", "mine")
            assert next(watched) == ["mine"]
            hers.notes.put("b", "too")
            assert next(other) == ["hers", "too"]


@pytest.mark.usefixtures("all_notes")
def test_a_statement_that_fails_at_first_says_so_itself():
    async def awaited(store):
        await store.aio.watch_query("notes.each")

    with fresh_schema() as url, holdfast.open(url) as store:
        store.notes.put("k", "")
        with pytest.raises(errors.HoldfastError, match="division by zero"):
            store.watch_query("notes.each")
        with pytest.raises(errors.HoldfastError, match="division by zero"):
            asyncio.run(awaited(store))
        store.notes.put("k", "x")
        with store.watch_query("notes.each") as watched:
            assert next(watched) == [1]


@pytest.mark.usefixtures("all_notes")
def test_a_statement_that_fails_blinds_nobody_else():
    with fresh_schema() as url, holdfast.open(url) as store:
        store.sessions.create(id="s")
        with (
            store.watch_query("notes.each") as theirs,
            store.watch("sessions", "s") as ours,
            store.watch_query("sessions.list") as every,
        ):
            next(theirs), next(ours), next(every)
            for number in (1, 2):
                with store.transaction() as tx:
                    tx.notes.put(f"k{number}", "")
                    tx.sessions.append("s", "user", number)
                assert next(ours).message_count == number
                assert next(every)[0].message_count == number
            with pytest.raises(errors.HoldfastError, match="division by zero"):
                next(theirs)
            for number in (1, 2):
                store.notes.put(f"k{number}", "x")
            until(store, lambda: waiting_value(theirs) == [1, 1])


def waiting_value(watched):
    """The newest state, or the error."""
    try:
        return watched.value
    except errors.HoldfastError as error:
        return error


def test_what_another_service_raises_keeps_nobody_waiting(open_store):
    """That the caller's service is away is not that the store is."""

    tries = []

    def away(tx):
        if len(tx.tasks.list()) > 1:
            tries.append(1)
            raise errors.Unreachable("a service of the caller's")
        return "fine"

    store = open_store()
    store.sessions.create(id="s")
    store.tasks.create("x", id="t")
    with store.watch_query(away) as theirs, store.watch("sessions", "s") as ours:
        next(theirs), next(ours)

        def both(tx):
            tx.tasks.create("y")
            tx.sessions.append("s", "user", 1)

        store.run(both)
        assert next(ours).message_count == 1
        with pytest.raises(errors.Unreachable):
            next(theirs)
        assert len(tries) >= rounds._TRIES  # it is tried again before it counts


def test_a_query_that_stops_an_iteration_does_not_stop_its_watchers(open_store):
    store = open_store()
    store.tasks.create("x", id="t")

    def pending(tx):
        return next(t.id for t in tx.tasks.list() if t.status == "pending")

    with store.watch_query(pending) as watched:
        assert next(watched) == "t"
        store.tasks.start("t")
        with pytest.raises(RuntimeError, match="pending raised StopIteration"):
            next(watched)
        store.tasks.create("y", id="u")
        assert next(watched) == "u"


def test_an_error_that_is_raised_again_is_as_it_was(open_store):
    store = open_store()
    store.sessions.create(id="s")

    def frames():
        with pytest.raises(errors.NotFound) as caught:
            watched.value  # noqa: B018
        return len(caught.traceback)

    with store.watch_query("sessions.get", id="s") as watched:
        next(watched)
        store.sessions.delete("s")
        settle(store)
        assert frames() == frames()


def test_who_changes_an_argument_later_changes_no_query(open_store):
    store = open_store()
    for id in "ab":
        store.sessions.create(id, id=id)

    def titles(tx, ids, *, also):
        return [tx.sessions.get(id).title for id in (*ids, *also["ids"])]

    ids, also = ["a"], {"ids": []}
    with store.watch_query(titles, ids, also=also) as watched:
        assert next(watched) == ["a"]
        ids.append("b")
        also["ids"].append("b")
        store.sessions.update("a", title="A")
        assert next(watched) == ["A"]


# The end.


def test_what_is_closed_says_so_and_begins_nothing(open_store):
    store = open_store()
    store.sessions.create(id="s")
    with store.watch("sessions", "s") as closed:
        pass
    watched = store.watch("sessions", "s")
    for one in (closed, watched):
        with pytest.raises(errors.Closed):
            one.on_change(print)
        with pytest.raises(errors.Closed):
            one.value  # noqa: B018
        store.close()
    names = [thread.name for thread in threading.enumerate()]
    assert "holdfast-callbacks" not in names


def test_a_store_closes_though_a_query_does_not_return(open_store, monkeypatch, caplog):
    monkeypatch.setattr(feeding, "_END_SECONDS", 0.1)
    found = feeding.Feed(open_store()._core)
    go_on = threading.Event()
    found._thread = threading.Thread(target=go_on.wait, daemon=True)
    found._thread.start()
    found.end()
    assert found.closed
    assert "still being run" in caplog.text
    go_on.set()


def test_a_forked_process_is_told_that_it_watches_nothing(path):
    with holdfast.open(path) as store:
        store.sessions.create(id="s")
        with store.watch("sessions", "s") as watched:
            next(watched)
            child = os.fork()
            if child == 0:
                said = 0
                for look in (lambda: next(watched), lambda: watched.value):
                    try:
                        look()
                    except errors.Closed:
                        said += 1
                os._exit(said)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 2
            store.sessions.append("s", "user", 1)
            assert next(watched).message_count == 1


def test_no_event_loop_is_kept_waiting(path):
    async def main():
        with pytest.raises(errors.Refused, match="event loop"):
            next(watched)

    with holdfast.open(path) as store:
        store.sessions.create(id="s")
        with store.watch("sessions", "s") as watched:
            asyncio.run(main())


def test_callbacks_of_an_event_loop_that_ended_are_let_go(path):
    async def serve():
        watched = await store.aio.watch("sessions", "s")
        watched.on_change(print)

    with holdfast.open(path) as store:
        store.sessions.create(id="s")
        asyncio.run(serve())
        found = feed(store)
        gc.collect()
        assert found.runs._of
        store.sessions.append("s", "user", 1)
        until(store, lambda: not found.runs._of or gc.collect() < 0)


def test_close_ends_iteration_and_the_thread(store):
    store.tasks.create("Book", id="t")
    with store.watch("tasks", "t") as watched:
        found = feed(store)
        next(watched)
    assert list(watched) == []
    found._thread.join(10)
    assert not found._thread.is_alive()
    with store.watch("tasks", "t") as again:  # and one begins again
        next(again)
        store.tasks.start("t")
        assert next(again).status == "in_progress"


@pytest.mark.parametrize("engine", ["memory", "file", "postgres"])
def test_a_closed_store_ends_iteration_on_a_thread(engine, tmp_path):
    with store_on(engine, tmp_path) as target:
        store = holdfast.open(target)
        store.tasks.create("Book", id="t")
        watched, seen = store.watch("tasks", "t"), []
        watched.on_change(seen.append)
        thread = threading.Thread(target=lambda: seen.extend(watched))
        thread.start()
        until(store, lambda: len(seen) == 1)
        store.close()
        thread.join(10)
        assert not thread.is_alive()
        assert len(seen) == 1
        with pytest.raises(errors.Closed):
            watched.value  # noqa: B018
        with pytest.raises(errors.Closed):
            store.watch("tasks", "t")


@pytest.mark.parametrize("engine", ["memory", "file", "postgres"])
def test_a_closed_store_ends_awaited_iteration(engine, tmp_path):
    async def main(target):
        store = await holdfast.aopen(target)
        await store.tasks.create("Book", id="t")
        watched = await store.watch("tasks", "t")
        began, seen = asyncio.Event(), []

        async def follow():
            async for task in watched:
                seen.append(task)
                began.set()

        following = asyncio.create_task(follow())
        await began.wait()
        await store.close()
        await asyncio.wait_for(following, 10)
        with pytest.raises(errors.Closed):
            await watched.get()
        return seen

    with store_on(engine, tmp_path) as target:
        assert len(asyncio.run(main(target))) == 1


def test_who_waits_can_be_cancelled(path):
    async def main():
        async with (
            holdfast.aopen(path) as store,
            store.watch_query("tasks.list") as watched,
        ):
            await anext(watched)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(watched), 0.02)
            await store.tasks.create("Book")
            return len(await asyncio.wait_for(anext(watched), 10))

    assert asyncio.run(main()) == 1


def test_who_may_not_write_watches_as_well(open_store, path):
    store = open_store()
    with (
        holdfast.open(path, read_only=True) as reader,
        reader.watch("tasks", "t") as watched,
    ):
        assert next(watched) is None
        store.tasks.create("Book", id="t")
        assert next(watched).description == "Book"


def test_who_is_forgotten_is_watched_for_no_longer(monkeypatch):
    with holdfast.open(
        ":memory:"
    ) as store:  # nothing is committed, so nobody else rings
        found = feeding.feed_of(store._core)
        rings, ring = [], found.bell.set
        monkeypatch.setattr(found.bell, "set", lambda: (rings.append(1), ring()))
        watched = store.watch("tasks", "t")
        thread, before = found._thread, len(rings)
        del watched
        gc.collect()
        assert len(rings) == before + 1
        thread.join(10)
        assert not thread.is_alive()
        assert not found.runs


# Callbacks.


def test_callbacks_are_told_each_later_state(store):
    store.sessions.create(id="s")
    seen = []
    with store.watch("sessions", "s") as watched:
        stop = watched.on_change(lambda s: seen.append(s.message_count))
        for number in (1, 2):
            store.sessions.append("s", "user", number)
            until(store, lambda: seen and seen[-1] == number)  # noqa: B023
        stop()
        store.sessions.append("s", "user", 3)
        settle(store)
        watched.on_change(lambda s: seen.append(f"late {s.message_count}"))
        until(store, lambda: "late 3" in seen)
        assert seen == [1, 2, "late 3"]


def test_a_callback_that_raises_stops_nobody_and_is_logged(store, caplog):
    seen = []

    def broken(task):
        seen.append("broken")
        raise ZeroDivisionError

    store.tasks.create("Book", id="t")
    with store.watch("tasks", "t") as watched:
        watched.on_change(broken)
        watched.on_change(lambda task: seen.append(task.status))
        with caplog.at_level(logging.ERROR, "holdfast.watching"):
            store.tasks.start("t")
            until(store, lambda: len(seen) == 2)
            store.tasks.complete("t")
            until(store, lambda: len(seen) == 4)
    assert sorted(seen) == ["broken", "broken", "completed", "in_progress"]
    assert "ZeroDivisionError" in caplog.text


def test_a_slow_callback_keeps_no_iteration_waiting(open_store):
    store = open_store()
    store.sessions.create(id="s")
    began, go_on, seen = threading.Event(), threading.Event(), []

    def slow(session):
        began.set()
        assert go_on.wait(10)
        seen.append(session.message_count)

    with store.watch("sessions", "s") as watched, store.watch("sessions", "s") as other:
        watched.on_change(slow)
        next(other)
        store.sessions.append("s", "user", 1)
        assert began.wait(10)
        for number in range(2, 6):
            store.sessions.append("s", "user", number)
            while next(other).message_count < number:
                pass
        go_on.set()
        until(store, lambda: seen and seen[-1] == 5)
    assert seen == [1, 5]


def test_a_callback_may_use_the_store_and_stop_itself(open_store):
    store = open_store()
    store.tasks.create("Book", id="t")
    done = threading.Event()
    watched = store.watch("tasks", "t")

    def once(task):
        store.tasks.log("t", "Seen")
        watched.close()
        done.set()

    watched.on_change(once)
    store.tasks.start("t")
    assert done.wait(10)
    assert [line.message for line in store.tasks.logs("t")] == ["Seen"]


def test_an_awaited_callback_is_called_one_at_a_time(path):
    async def main():
        seen, at_work, told = [], 0, asyncio.Event()

        async with holdfast.aopen(path) as store:
            await store.sessions.create(id="s")

            async def slow(session):
                nonlocal at_work
                at_work += 1
                assert at_work == 1
                await asyncio.sleep(0.02)
                at_work -= 1
                seen.append(session.message_count)
                if seen[-1] == 10:
                    told.set()

            async with store.watch("sessions", "s") as watched:
                watched.on_change(slow)
                for number in range(10):
                    await store.sessions.append("s", "user", number)
                await asyncio.wait_for(told.wait(), 10)
        return seen

    seen = asyncio.run(main())
    assert seen == sorted(set(seen))


def test_an_awaited_callback_in_which_something_is_cancelled_goes_on(path, caplog):
    async def main():
        first, second = asyncio.Event(), asyncio.Event()

        async def odd(session):
            if session.message_count == 2:
                second.set()
            else:
                first.set()
                cancelled = asyncio.get_running_loop().create_future()
                cancelled.cancel()
                await cancelled

        async with (
            holdfast.aopen(path) as store,
            store.watch(
                "sessions", (await store.sessions.create(id="s")).id
            ) as watched,
        ):
            watched.on_change(odd)
            for number, told in enumerate((first, second), 1):
                await store.sessions.append("s", "user", number)
                await asyncio.wait_for(told.wait(), 10)

    asyncio.run(main())
    assert "a callback failed" in caplog.text


# Many.


def test_thousands_watch_and_each_is_told_once(open_store):
    store = open_store(durability="process-crash")

    def make(tx):
        for number in range(1_000):
            tx.tasks.create("Book", id=f"t{number}")

    store.run(make)
    told, all_told = [], threading.Event()

    def hear(task):
        told.append(task.id)
        if len(told) == 3_000:
            all_told.set()

    with contextlib.ExitStack() as stack:
        for number in range(1_000):
            for _ in range(3):
                one = stack.enter_context(store.watch("tasks", f"t{number}"))
                one.on_change(hear)
        found = feed(store)
        assert len(found.runs._of) == 1_000
        before = found.rounds.count

        def touch(tx):
            for number in range(1_000):
                tx.tasks.start(f"t{number}")

        store.run(touch)
        assert all_told.wait(PATIENCE_SECONDS)
        assert found.rounds.count - before == 1_000
        store.tasks.complete("t7")
        until(store, lambda: len(told) == 3_003)
        assert found.rounds.count - before == 1_001
    assert told.count("t7") == 6


# Other processes.


def two_at_once(target, say):
    """Commit pairs as fast as can be, and say so."""
    with holdfast.open(target, durability="process-crash") as store:
        store.sessions.create(id="s")
        for number in range(100_000):

            def pair(tx, number=number):
                tx.sessions.append("s", "user", number)
                tx.tasks.create("Book", id=f"t{number}")

            store.run(pair)
            say(str(number))


def both(tx):
    """How many of each there are; they are committed two at a time."""
    try:
        messages = tx.sessions.get("s").message_count
    except errors.NotFound:
        messages = 0
    return messages, len(tx.tasks.list(limit=1_000))


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_a_killed_writers_committed_states_are_seen_and_no_others(engine, tmp_path):
    with store_on(engine, tmp_path) as target:
        holdfast.open(target).close()
        writer = Worker(lambda say: two_at_once(target, say))
        try:
            with holdfast.open(target) as store, store.watch_query(both) as watched:
                seen = [next(watched)]
                while seen[-1][0] < 40:
                    seen.append(next(watched))
                said = writer.kill()
                last = store.read(both)
                while seen[-1] != last:
                    seen.append(next(watched))
        finally:
            writer.close()
    assert all(messages == tasks for messages, tasks in seen)
    assert [pair[0] for pair in seen] == sorted({pair[0] for pair in seen})
    assert last[0] >= len(said)
