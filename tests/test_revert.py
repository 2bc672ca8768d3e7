"""Revert: records as they were at a moment, in a transaction that the journal keeps."""

import itertools
import random
import threading

import pytest

import holdfast
from conftest import store_on
from cutting import Cut, Knife
from examples import dump, furnish
from holdfast import declared, errors
from holdfast.edges import Id, Text
from holdfast.engines.postgres.transaction import PostgresTransaction
from holdfast.engines.sqlite.transaction import SqliteTransaction
from holdfast.kinds import histories, tasks
from turns import joined
from views import seen

STEPS = 60
SESSIONS = ["s0", "s1", "s2"]
TASKS = ["t0", "t1"]


def state(store):
    """What calls give, but for what a revert moves on: versions, and when it was."""
    found = seen(store)
    for records in found.values():
        for record in records:
            del record["version"]
    for session in found["sessions"]:
        session["tagged"] = {
            tag: [other.id for other in store.sessions.list(tag=tag)] for tag in "ab"
        }
        there = store.sessions.get(session["id"])
        session["made"] = there.created_at, there.forked_at, there.max_context_messages
        session["summaries"] = [
            (s.upto, s.text) for s in store.sessions.summaries(session["id"])
        ]
        session["whole"] = [
            (m.id, m.created_at, m.metadata, m.partial)
            for m in store.sessions.history(session["id"])
        ]
    return found


class Agent:
    """Does one thing after another, drawn by lot; what is refused does nothing."""

    def __init__(self, store, lot, clock):
        self.store, self.lot, self.clock = store, lot, clock

    def act(self):
        """One operation, whether it is refused or not."""
        self.clock.advance(1)
        names = [name for name in dir(self) if name.startswith("do_")]
        try:
            getattr(self, self.lot.choice(names))(self.store)
        except (errors.NotFound, errors.Refused, errors.AlreadyExists):
            return

    def session(self):
        return self.lot.choice(SESSIONS)

    def task(self):
        return self.lot.choice(TASKS)

    def word(self):
        return self.lot.choice(["one", "two", {"three": [3]}])

    def do_create(self, store):
        id = self.session()
        parent = self.lot.choice([None, *SESSIONS])
        tags = self.lot.choice([[], ["a"], ["a", "b"]])
        store.sessions.create(
            f"talk {self.lot.random()}", id=id, parent=parent, tags=tags
        )

    def do_append(self, store):
        store.sessions.append(self.session(), "user", self.word())

    def do_append_named(self, store):
        id = self.lot.choice(["m1", "m2"])
        store.sessions.append(self.session(), "user", "named", message_id=id)

    def do_extend(self, store):
        drafts = [{"role": "user", "content": n} for n in range(self.lot.randint(1, 5))]
        store.sessions.extend(self.session(), drafts)

    def do_pop(self, store):
        store.sessions.pop(self.session())

    def do_clear(self, store):
        if self.lot.random() < 0.5:
            store.sessions.clear(self.session())

    def do_update(self, store):
        tags = self.lot.choice([[], ["b"], ["a", "b"]])
        store.sessions.update(self.session(), title=str(self.lot.random()), tags=tags)

    def do_delete(self, store):
        if self.lot.random() < 0.5:
            store.sessions.delete(self.session())

    def do_summarize(self, store):
        id = self.session()
        if count := store.sessions.get(id).message_count:
            last = store.sessions.messages(id, 1)[0].position
            store.sessions.summarize(
                id, self.lot.randint(last - count + 1, last), "sum"
            )

    def do_fork(self, store):
        store.sessions.fork(self.session(), new_id=self.session())

    def do_fork_before(self, store):
        id = self.session()
        if messages := store.sessions.messages(id):
            at = self.lot.choice(messages).position
            store.sessions.fork(id, at, new_id=self.session())

    def do_amend(self, store):
        id = self.session()
        if messages := store.sessions.messages(id):
            store.sessions.amend(id, self.lot.choice(messages).id, self.lot.random())

    def do_task(self, store):
        store.tasks.create(f"task {self.lot.random()}", id=self.task())

    def do_start(self, store):
        store.tasks.start(self.task())

    def do_log(self, store):
        store.tasks.log(self.task(), str(self.lot.random()))

    def do_complete(self, store):
        store.tasks.complete(self.task(), {"ok": self.lot.random()})

    def do_drop(self, store):
        if self.lot.random() < 0.5:
            store.tasks.delete(self.task())


@pytest.fixture(autouse=True)
def in_small_slices(monkeypatch):
    """Few rows are swept at once, so that some are still there when it comes to it."""
    monkeypatch.setattr(histories, "_SWEPT_AT_ONCE", 2)
    monkeypatch.setattr(tasks, "_SWEPT_AT_ONCE", 2)


@pytest.fixture
def mine(store):
    """One owner's part of a store on each engine, through each face."""
    furnish(store.owned_by("other"), "other")
    return store.owned_by("ada")


@pytest.mark.parametrize("seed", range(5))
def test_after_a_revert_all_is_as_it_was(mine, store, clock, seed, request):
    lot = random.Random(request.node.name)  # another one on each store
    agent = Agent(mine, lot, clock)
    states = {mine.moment(): state(mine)}
    others = dump(store, "other")
    for _ in range(STEPS):
        agent.act()
        states[mine.moment()] = state(mine)
    for moment in lot.choices(sorted(states), k=6):
        before, now = mine.moment(), state(mine)
        mine.revert(moment)
        assert state(mine) == states[moment] == state(mine.as_of(moment))
        assert mine.revert(moment).records == ()
        if lot.random() < 0.5:
            mine.revert(before)
            assert state(mine) == now
        for _ in range(3):
            agent.act()
        states[mine.moment()] = state(mine)
    shared = {"change", "follower", "once", "leftover"}
    now = dump(store, "other")
    assert {t: now[t] for t in now.keys() - shared} == {
        t: others[t] for t in others.keys() - shared
    }
    nothing_left_over(store)


def nothing_left_over(store):
    """Every message's row is shown by a session, every other row by what it is of."""
    rows = dump(store)
    while rows["leftover"]:
        store.sessions.create()
        rows = dump(store)
    shown = set()
    for session in rows["session"]:
        line = session["line"] or session["no"]
        parts = [p for p in rows["segment"] if p["session"] == session["no"]]
        for part in parts:
            positions = range(part["first"], part["last"] + 1)
            shown |= {(part["source"], position) for position in positions}
        own = max(session["first"], session["base"] + 1)
        shown |= {
            (line, message["position"])
            for message in rows["message"]
            if message["session"] == line and message["position"] >= own
        }
    assert {(m["session"], m["position"]) for m in rows["message"]} == shown
    sessions = {session["no"] for session in rows["session"]}
    for table in ("segment", "summary", "session_tag"):
        assert {row["session"] for row in rows[table]} <= sessions
    assert {line["task"] for line in rows["task_log"]} <= {
        t["no"] for t in rows["task"]
    }
    growing = {message["no"] for message in rows["message"] if message["partial"]}
    assert {part["message"] for part in rows["message_part"]} <= growing


def test_it_is_one_transaction_of_the_journal_that_says_who_and_why(mine):
    mine.sessions.create("before", id="talk")
    moment = mine.moment()
    mine.sessions.update("talk", title="after")
    mine.tasks.create("one", id="todo")
    told = mine.revert(moment, actor="ada", cause="a mistake")
    assert told.moment == moment
    assert {(r.kind, r.id, r.op) for r in told.records} == {
        ("sessions", "talk", "update"),
        ("tasks", "todo", "delete"),
    }
    changes = [c for c in mine.journal.read() if c.cause == "a mistake"]
    assert {(c.kind, c.op, c.actor) for c in changes} == {
        ("session", "update", "ada"),
        ("task", "delete", "ada"),
    }
    assert {c.moment for c in changes} == {mine.moment()}


def test_only_what_is_named_is_put_back(mine):
    for id in ("one", "two"):
        mine.sessions.create("before", id=id)
        mine.tasks.create("before", id=id)
    moment = mine.moment()
    for id in ("one", "two"):
        mine.sessions.update(id, title="after")
        mine.tasks.update(id, description="after")
    mine.revert(moment, kinds=["sessions"], ids=["one"])
    assert [mine.sessions.get(id).title for id in ("one", "two")] == ["before", "after"]
    assert mine.tasks.get("one").description == "after"
    mine.revert(moment, kinds=["tasks"])
    assert [mine.tasks.get(id).description for id in ("one", "two")] == ["before"] * 2
    assert mine.sessions.get("two").title == "after"
    mine.revert(moment, ids=["two"])
    assert mine.sessions.get("two").title == "before"


def test_a_version_that_was_told_before_is_never_one_again(mine):
    mine.sessions.create("before", id="talk")
    mine.tasks.create("before", id="todo")
    moment = mine.moment()
    versions = {"sessions": set(), "tasks": set()}

    def see():
        versions["sessions"].add(mine.sessions.get("talk").version)
        versions["tasks"].add(mine.tasks.get("todo").version)

    see()
    for n in range(4):
        mine.sessions.append("talk", "user", n)
        mine.tasks.progress("todo", n)
        see()
    mine.sessions.pop("talk")
    see()
    for deleted in (False, True, True):
        if deleted:
            mine.sessions.delete("talk")
            mine.tasks.delete("todo")
        mine.revert(moment)
        session, task = mine.sessions.get("talk"), mine.tasks.get("todo")
        assert session.version > max(versions["sessions"])
        assert task.version > max(versions["tasks"])
        for version in versions["sessions"]:
            with pytest.raises(errors.Conflict):
                mine.sessions.append("talk", "user", "late", expect=version)
        mine.sessions.append("talk", "user", "next", expect=session.version)
        mine.tasks.update("todo", description="next", expect=task.version)
        see()


def test_messages_that_come_back_are_found_by_their_ids(mine):
    mine.sessions.create(id="talk")
    made = [mine.sessions.append("talk", "user", n) for n in range(3)]
    moment = mine.moment()
    mine.sessions.pop("talk")
    mine.sessions.append("talk", "user", "other")
    mine.revert(moment)
    assert list(mine.sessions.history("talk")) == made
    again = mine.sessions.append("talk", "user", 2, message_id=made[2].id)
    assert again == made[2]
    with pytest.raises(errors.AlreadyExists):
        mine.sessions.append("talk", "user", "changed", message_id=made[2].id)
    assert mine.sessions.append("talk", "user", "next").position == 4


def test_a_fork_keeps_what_it_shares_when_its_source_is_put_back(mine):
    mine.sessions.create(id="talk")
    mine.sessions.extend("talk", [{"role": "user", "content": n} for n in range(3)])
    moment = mine.moment()
    mine.sessions.extend("talk", [{"role": "user", "content": n} for n in (3, 4)])
    mine.sessions.fork("talk", new_id="fork")
    mine.sessions.append("fork", "user", "own")
    mine.revert(moment, ids=["talk"])
    assert [m.content for m in mine.sessions.history("talk")] == [0, 1, 2]
    assert [m.content for m in mine.sessions.history("fork")] == [0, 1, 2, 3, 4, "own"]
    mine.sessions.append("talk", "user", "on")
    assert [m.content for m in mine.sessions.history("fork")] == [0, 1, 2, 3, 4, "own"]
    mine.sessions.delete("talk")
    mine.revert(moment, ids=["talk"])
    mine.sessions.delete("fork")
    assert [m.content for m in mine.sessions.history("talk")] == [0, 1, 2]


def test_what_was_changed_before_it_was_shared_is_as_it_was_in_the_source_alone(mine):
    mine.sessions.create(id="talk")
    drafts = [{"role": "user", "content": n, "id": f"m{n}"} for n in range(4)]
    mine.sessions.extend("talk", drafts)
    moment, wanted = mine.moment(), list(mine.sessions.history("talk"))
    mine.sessions.amend("talk", "m1", "amended")
    mine.sessions.pop("talk")
    mine.sessions.append("talk", "user", "other")
    mine.sessions.fork("talk", new_id="fork")
    shared = [m.content for m in mine.sessions.history("fork")]
    assert shared == [0, "amended", 2, "other"]
    mine.revert(moment, ids=["talk"])
    assert list(mine.sessions.history("talk")) == wanted
    assert [m.content for m in mine.sessions.history("fork")] == shared


def test_a_reply_comes_back_as_far_as_it_had_come(mine):
    mine.sessions.create(id="talk")
    begun = mine.sessions.begin_reply("talk").id
    mine.sessions.extend_reply("talk", begun, "Hel")
    moment = mine.moment()
    mine.sessions.extend_reply("talk", begun, "lo")
    mine.sessions.end_reply("talk", begun)
    mine.revert(moment)
    (there,) = mine.sessions.history("talk")
    assert (there.content, there.partial) == ("Hel", True)
    mine.sessions.delete("talk")
    mine.revert(moment)
    (there,) = mine.sessions.history("talk")
    assert (there.content, there.partial) == ("Hel", True)


def test_a_reply_that_is_as_it_was_is_left_alone(mine):
    mine.sessions.create(id="talk")
    begun = mine.sessions.begin_reply("talk", text="Hel").id
    moment = mine.moment()
    mine.sessions.delete("talk")
    mine.sessions.create(id="talk")
    for _ in range(2):
        mine.revert(moment)
        assert mine.revert(moment).records == ()
        (there,) = mine.sessions.history("talk")
        assert (there.id, there.content, there.partial) == (begun, "Hel", True)
        assert mine.sessions.extend_reply("talk", begun, "lo") == len("Hello")


def test_what_was_made_at_once_comes_back_in_the_order_that_it_had(mine):
    ids = ["d", "a", "c", "b"]
    with mine.transaction() as tx:
        for id in ids:
            tx.sessions.create(id=id)
            tx.tasks.create("one", id=id)
    moment = mine.moment()
    for id in ids:
        mine.sessions.delete(id)
        mine.tasks.delete(id)
    mine.revert(moment)
    for records in (mine.sessions.list(), mine.tasks.list()):
        assert [record.id for record in records] == ids[::-1]


def test_a_record_that_another_holds_keeps_everything_as_it_is(mine, clock):
    mine.sessions.create("before", id="talk")
    mine.tasks.create("before", id="todo")
    mine.tasks.create("the same", id="same")
    moment = mine.moment()
    mine.sessions.update("talk", title="after")
    mine.tasks.update("todo", description="after")
    lease = mine.leases.acquire("tasks", "todo", holder="worker", seconds=60)
    mine.leases.acquire("tasks", "same", holder="worker", seconds=60)
    before = dump(mine)
    with pytest.raises(errors.Held):
        mine.revert(moment)
    assert dump(mine) == before
    mine.holding(lease).revert(moment, kinds=["tasks"])
    assert mine.tasks.get("todo").description == "before"
    clock.advance(61)
    with pytest.raises(errors.Fenced):
        mine.holding(lease).revert(moment)
    mine.revert(moment)
    assert mine.sessions.get("talk").title == "before"


def test_what_cannot_be_is_refused_and_writes_nothing(mine):
    mine.sessions.create(id="talk")
    moment = mine.moment()
    mine.sessions.append("talk", "user", "one")
    before = dump(mine)
    for error, call in {
        errors.NotFound: lambda: mine.revert(moment, ids=["talk", "nothing"]),
        errors.Refused: lambda: mine.revert(moment, kinds=["leases"]),
        errors.TooLarge: lambda: mine.revert(moment, ids=map(str, range(100_001))),
        errors.WrongType: lambda: mine.revert("yesterday"),
        errors.InvalidId: lambda: mine.revert(moment, ids=["../x"]),
    }.items():
        with pytest.raises(error):
            call()
    kinds = (
        "agent or inbox_message or item or job or machine or observation or "
        "schedule or session or state_section or task or thread or workspace"
    )
    with pytest.raises(errors.NotFound, match=f"no {kinds} 'nothing'"):
        mine.revert(moment, ids=["nothing"])
    with pytest.raises(errors.Refused, match="ahead"):
        mine.revert(mine.moment() + 1)
    with pytest.raises(errors.Refused, match="past stays as it was"):
        mine.as_of(moment).revert(moment)
    assert dump(mine) == before


def test_too_many_rows_are_too_large_before_anything_is_written(open_store):
    store = open_store(limits=holdfast.Limits(revert=5))
    store.sessions.create(id="talk")
    moment = store.moment()
    store.sessions.extend("talk", [{"role": "user", "content": n} for n in range(5)])
    before = dump(store)
    with pytest.raises(errors.TooLarge, match=r"limits\.revert"):
        store.revert(moment)
    assert dump(store) == before
    store.sessions.delete("talk")
    store.revert(moment)
    assert store.sessions.get("talk").message_count == 0


def test_within_a_transaction_it_is_refused_with_the_remedy(open_store):
    store = open_store()
    store.sessions.create()
    with store.transaction(), pytest.raises(errors.Refused, match="inside an open"):
        store.revert(1)


def test_a_revert_that_is_cut_at_any_statement_leaves_nothing(
    store, clock, monkeypatch
):
    for engine in (SqliteTransaction, PostgresTransaction):
        monkeypatch.setattr(engine, "untidy", lambda tx: None)
    mine = store.owned_by("ada")
    furnish(mine, "ada")
    mine.leases.release("sessions", "leased", fence=1)
    mine.sessions.fork("talk", new_id="shares")
    moment, wanted = mine.moment(), state(mine)
    clock.advance(1)
    mine.sessions.amend("talk", "m2", "amended")
    mine.sessions.append("talk", "user", "more")
    mine.sessions.append("child", "user", "more")
    mine.sessions.create("new", id="new")
    mine.tasks.delete("doing")
    mine.tasks.log("todo", "more")
    knife, before = Knife(store), dump(store)
    for place in itertools.count(1):
        try:
            with knife.before(place):
                mine.revert(moment)
        except Cut:
            assert knife.fell
            assert dump(store) == before, knife.seen[place - 1]
        else:
            assert not knife.fell
            break
    assert place > 40
    assert state(mine) == wanted


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

-- note_put --
-- Keep a note.
insert into note (no, owner, id, body) values (:no, :owner, :id, :body)
on conflict (owner, id) do update set body = excluded.body

-- note_drop --
-- Forget a note.
delete from note where owner = :owner and id = :id

-- note_all --
-- An owner's notes.
select id, body from note where owner = :owner order by id limit :limit
"""


class Notes(holdfast.Kind):
    """Texts under keys."""

    @holdfast.operation
    def put(self, id: Id, body: Text) -> None:
        """Keep a text under a key."""
        no = self.tx.new_no()
        self.tx.run("note_put", no=no, owner=self.owner, id=id, body=body)

    @holdfast.operation
    def drop(self, id: Id) -> None:
        """Forget a note."""
        self.tx.run("note_drop", owner=self.owner, id=id)

    @holdfast.query
    def all(self) -> dict[str, str]:
        """An owner's notes."""
        return dict(self.tx.all("note_all", owner=self.owner, limit=100))


@pytest.fixture
def notes():
    """The kind `notes`, declared for one test."""
    before = dict(declared._declared)
    holdfast.kind("notes", sql=NOTES)(Notes)
    yield
    declared._declared.clear()
    declared._declared.update(before)
    declared._current.clear()


def test_records_of_a_declared_kind_are_put_back_as_well(notes, store):
    for word in ("kept", "changed", "dropped", "twice"):
        store.notes.put(word, word)
    moment, wanted = store.moment(), store.notes.all()
    store.notes.put("changed", "other")
    store.notes.put("new", "new")
    store.notes.drop("dropped")
    store.notes.drop("twice")
    store.notes.put("twice", "again")
    now = store.moment()
    told = store.revert(moment)
    assert sorted((r.id, r.op) for r in told.records) == [
        ("changed", "update"),
        ("dropped", "create"),
        ("new", "delete"),
        ("twice", "update"),
    ]
    assert store.notes.all() == wanted
    store.revert(now)
    assert store.notes.all()["twice"] == "again"
    assert store.notes.all() == store.as_of(now).notes.all()


def test_who_writes_meanwhile_is_before_or_after_and_never_within(tmp_path):
    """Writers append while everything is put back again and again."""
    for engine in ("file", "postgres"):
        with store_on(engine, tmp_path) as target, holdfast.open(target) as store:
            written_while_reverting(store)


def written_while_reverting(store):
    for id in SESSIONS:
        store.sessions.create(id=id)
        store.sessions.append(id, "user", "first")
    moment = store.moment()
    over, failed = threading.Event(), []

    def write(id):
        try:
            while not over.is_set():
                store.sessions.append(id, "user", "more")
                store.sessions.fork(id)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(id,)) for id in SESSIONS]
    for thread in threads:
        thread.start()
    reverts = []
    for _ in range(15):
        store.revert(moment, ids=SESSIONS)
        reverts.append(store.moment())
    over.set()
    joined(*threads)
    assert failed == []
    store.revert(moment)
    assert [s.id for s in store.sessions.list()] == SESSIONS[::-1]
    for id in SESSIONS:
        assert [m.content for m in store.sessions.history(id)] == ["first"]
        versions = [
            c.after["revision"]
            for c in store.changes("sessions", id, limit=1000)
            if c.kind == "session" and c.after
        ]
        assert versions == sorted(versions)
    assert store.check().problems == ()


def test_a_revert_is_after_what_was_to_share_its_transaction(tmp_path):
    """On a server the journal is written at commit: till then no past has the pop."""
    with store_on("postgres", tmp_path) as url, holdfast.open(url) as store:
        store.sessions.create(id="talk")
        drafts = [{"role": "user", "content": n} for n in (1, 2, 3)]
        store.sessions.extend("talk", drafts)
        core, terms, then = store._core, store._terms, store.moment()
        kind, pop, args = core.named("sessions.pop", {"id": "talk"})
        popping = core.prepared(kind, pop, (), args, terms)
        reverting = core.reverting(terms, then, None, None)
        runner = core.engine._runner()
        for unit in runner.group([popping, reverting]).alone:
            runner.alone(unit)
        runner.committer.let_go()
        assert [restored.op for restored in reverting.outcome().records] == ["update"]
        assert [said.content for said in store.sessions.history("talk")] == [1, 2, 3]
