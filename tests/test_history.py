"""History: what one record went through, and what differs between two moments."""

import random

import pytest

import holdfast
from examples import dump, furnish
from holdfast import errors
from holdfast.kinds import histories, tasks
from test_revert import Agent


@pytest.fixture
def mine(store):
    """One owner's part of a store on each engine, through each face."""
    furnish(store.owned_by("other"), "other")
    return store.owned_by("ada")


@pytest.fixture(autouse=True)
def in_small_slices(monkeypatch):
    """Few rows are swept at once, so that some are still there when it comes to it."""
    monkeypatch.setattr(histories, "_SWEPT_AT_ONCE", 2)
    monkeypatch.setattr(tasks, "_SWEPT_AT_ONCE", 2)


def every(call, *args, **options):
    """All pages of a call, one record after another."""
    found, cursor = [], None
    while True:
        page = call(*args, cursor=cursor, **options)
        found += page
        cursor = page.cursor
        if cursor is None:
            return found


def plainly(change):
    return change.kind, change.op, change.id


def test_a_records_changes_are_told_oldest_first_with_who_and_why(mine):
    mine.sessions.create("first", id="talk")
    mine.sessions.create("another", id="other")
    with mine.transaction(actor="ada", cause="asked") as tx:
        tx.sessions.update("talk", title="second")
        tx.sessions.append("talk", "user", "hm", message_id="m1")
        tx.sessions.append("other", "user", "hm", message_id="m1")
    mine.sessions.pop("talk")
    mine.sessions.delete("talk")
    changes = mine.changes("sessions", "talk")
    assert sorted(map(plainly, changes)) == sorted(
        [
            ("session", "create", "talk"),
            ("session", "update", "talk"),
            ("message", "create", "m1"),
            ("message", "delete", "m1"),
            ("session", "update", "talk"),
            ("session", "delete", "talk"),
        ]
    )
    assert [c.seq for c in changes] == sorted(c.seq for c in changes)
    second = next(c for c in changes if c.op == "update")
    assert (second.actor, second.cause) == ("ada", "asked")
    assert (second.before["title"], second.after["title"]) == ("first", "second")
    assert changes.known_from == 0
    assert mine.changes("session", "talk") == changes
    assert every(mine.changes, "sessions", "talk", limit=2) == list(changes)


def test_of_an_id_that_was_used_twice_both_lives_are_told(mine):
    for word in ("one", "two"):
        mine.tasks.create(word, id="todo")
        mine.tasks.log("todo", word)
        mine.tasks.delete("todo")
    changes = mine.changes("tasks", "todo")
    made = [
        c.after["description"] for c in changes if plainly(c)[:2] == ("task", "create")
    ]
    lines = [c.after["message"] for c in changes if c.kind == "task_log" and c.after]
    assert made == lines == ["one", "two"]


def test_of_nothing_nothing_is_told(mine):
    moment = mine.moment()
    mine.sessions.create(id="talk")
    with pytest.raises(errors.NotFound):
        mine.changes("sessions", "nothing")
    with pytest.raises(errors.NotFound):
        mine.changes("sessions", "leased")
    with pytest.raises(errors.NotFound):
        mine.as_of(moment).changes("sessions", "talk")
    for kind in ("leases", "journal", "message", "no"):
        with pytest.raises(errors.Refused):
            mine.changes(kind, "talk")


@pytest.mark.parametrize("seed", range(4))
def test_histories_are_what_the_journal_says_also_at_a_moment(mine, clock, seed):
    lot = random.Random(seed)
    agent = Agent(mine, lot, clock)
    moments = []
    for _ in range(50):
        agent.act()
        moments.append(mine.moment())
    for store in (mine, mine.as_of(lot.choice(moments))):
        journal = every(store.journal.read, limit=1000)
        for kind, id in (("sessions", "s0"), ("tasks", "t0")):
            own = {"sessions": "session", "tasks": "task"}[kind]
            wanted = [
                c.seq
                for c in journal
                if (c.kind == own and c.id == id)
                or id == ((c.after or c.before) or {}).get(own)
            ]
            if wanted:
                found = every(store.changes, kind, id, limit=7)
                assert [c.seq for c in found] == wanted
                told = {c.seq: c for c in journal}
                assert found == [told[seq] for seq in wanted]


def test_the_difference_is_what_is_not_as_it_was(mine):
    mine.sessions.create("kept", id="kept", metadata={"a": 1})
    mine.sessions.create("changed", id="changed")
    mine.sessions.create("gone", id="gone")
    mine.sessions.append("gone", "user", "hm", message_id="gone-too")
    mine.sessions.append("kept", "user", "hm", message_id="m1")
    start = mine.moment()
    mine.sessions.update("changed", title="twice")
    with mine.transaction(actor="ada", cause="asked") as tx:
        tx.sessions.update("changed", title="better")
    mine.sessions.update("kept", title="other")
    mine.sessions.update("kept", title="kept")
    mine.sessions.append("kept", "user", "new", message_id="m2")
    mine.sessions.append("kept", "user", "not for long", message_id="m3")
    mine.sessions.pop("kept")
    mine.sessions.delete("gone")
    end = mine.moment()
    mine.sessions.create("later", id="later")
    found = every(mine.diff, start, end, limit=2)
    assert [(d.kind, d.op, d.id) for d in found] == [
        ("session", "update", "changed"),
        ("message", "create", "m2"),
        ("session", "delete", "gone"),
    ]
    changed, message, gone = found
    assert "title" in changed.fields
    assert (changed.actor, changed.cause) == ("ada", "asked")
    assert (changed.before["title"], changed.after["title"]) == ("changed", "better")
    assert (message.before, message.after["content"]) == (None, "new")
    assert message.after["session"] == "kept"
    assert (gone.before["title"], gone.after) == ("gone", None)
    assert [d.id for d in mine.diff(end)] == ["later"]
    assert [d.id for d in mine.diff(start, kinds=["message"])] == ["m2"]
    assert list(mine.diff(end, end)) == []
    assert every(mine.as_of(end).diff, start, limit=2) == found


def told(store, moment):
    """What differs by now, but for where messages are."""
    return [
        (d.op, d.id, *((row and row["content"]) for row in (d.before, d.after)))
        for d in every(store.diff, moment, kinds=["message"])
    ]


def test_what_a_session_shares_is_its_own_in_a_difference(mine):
    """Wherever a message is kept, it is told as those see it who read the session."""
    mine.sessions.create(id="talk")
    mine.sessions.append("talk", "user", "one", message_id="m1")
    mine.sessions.fork("talk", new_id="first")
    mine.sessions.amend("talk", "m1", "two")  # in a line of its own from here on
    moment = mine.moment()
    mine.sessions.append("talk", "user", "new", message_id="m2")
    mine.sessions.fork("talk", new_id="second")
    mine.sessions.amend("talk", "m1", "three")  # which it leaves to others again
    assert told(mine, moment) == [
        ("create", "m2", None, "new"),
        ("update", "m1", "two", "three"),
    ]
    moment = mine.moment()
    mine.sessions.delete("first")
    mine.sessions.delete("second")
    mine.sessions.pop("talk")
    swept(mine)
    assert told(mine, moment) == [("delete", "m2", "new", None)]


def test_a_message_that_comes_back_beside_those_that_share_it_does_not_differ(mine):
    mine.sessions.create(id="talk")
    mine.sessions.append("talk", "user", "one", message_id="m1")
    mine.sessions.append("talk", "user", "two", message_id="m2")
    mine.sessions.fork("talk", new_id="fork")
    moment = mine.moment()
    mine.sessions.pop("fork")
    mine.revert(moment)
    assert told(mine, moment) == []
    mine.sessions.amend("fork", "m1", "other")
    assert told(mine, moment) == [("update", "m1", "one", "other")]
    moment = mine.moment()
    mine.sessions.amend("talk", "m1", "another")
    mine.sessions.delete("talk")
    mine.revert(moment)
    assert told(mine, moment) == []


def swept(store):
    """Have a store delete what nobody sees."""
    while dump(store)["leftover"]:
        store.tasks.create("anything")


def test_a_difference_goes_forward_and_stays_within_the_past(mine):
    mine.sessions.create()
    mine.sessions.create()
    with pytest.raises(errors.Refused, match="the earlier one first"):
        mine.diff(mine.moment(), 0)
    with pytest.raises(errors.Refused, match="ahead"):
        mine.diff(0, mine.moment() + 1)
    with pytest.raises(errors.Refused, match="ahead"):
        mine.as_of(mine.moment() - 1).diff(0, mine.moment())
    with pytest.raises(errors.Refused):
        mine.diff(0, kinds=["leases"])


@pytest.mark.parametrize("seed", range(6))
def test_what_was_reverted_differs_in_nothing(mine, clock, seed):
    lot = random.Random(seed)
    agent = Agent(mine, lot, clock)
    moments = []
    for _ in range(40):
        agent.act()
        moments.append(mine.moment())
    moment = lot.choice(moments)
    mine.revert(moment)
    assert [d for d in every(mine.diff, moment) if d.kind != "segment"] == []


@pytest.mark.parametrize("seed", range(6))
def test_differences_lead_from_one_moment_to_the_other(mine, clock, seed):
    """Applied to the records of one moment, they give those of the other."""
    lot = random.Random(seed)
    agent = Agent(mine, lot, clock)
    moments = [mine.moment()]
    for _ in range(40):
        agent.act()
        moments.append(mine.moment())
    start, end = sorted(lot.sample(moments, 2))
    for kind, name in (("sessions", "session"), ("tasks", "task")):
        before, after = records(mine.as_of(start), kind), records(mine.as_of(end), kind)
        for told in every(mine.diff, start, end, limit=9, kinds=[name]):
            assert (told.before is None) == (told.id not in before)
            assert told.op in {"create", "update", "delete"}
            if told.after is None:
                del before[told.id]
            else:
                before[told.id] = {f: told.after.get(f) for f in TOLD[kind]}
        assert before == after


TOLD = {"sessions": ("title", "status", "parent"), "tasks": ("description", "status")}


def records(store, kind):
    found = getattr(store, kind).list(limit=1000)
    return {r.id: {f: getattr(r, f) for f in TOLD[kind]} for r in found}


def test_a_trimmed_journal_says_from_where_on_it_is_known(open_store):
    store = open_store()
    store.sessions.create("one", id="talk")
    store.sessions.update("talk", title="two")
    floor = store.moment()
    store.sessions.update("talk", title="three")
    store.journal.trim(floor)
    history = store.changes("sessions", "talk")
    assert history.known_from == floor
    assert [c.after["title"] for c in history][-1] == "three"
    with pytest.raises(errors.Trimmed):
        store.diff(floor - 1)
    with pytest.raises(errors.Trimmed):
        store.revert(floor - 1)
    assert [d.op for d in store.diff(floor)] == ["update"]
    store.revert(floor)
    assert store.sessions.get("talk").title == "two"


def test_a_long_history_is_found_without_reading_the_journal(path):
    """The statements of a page look at rows of the record, and at no others."""
    with holdfast.open(path) as store:
        store.sessions.create(id="talk")
        store.sessions.append("talk", "user", "one")
        for _ in range(300):
            store.sessions.create()
        looked = []
        core = store._core
        reader = core.engine.read(core.unit(lambda tx: tx._connection, store._terms))
        reader.exec_trace = lambda _, text, __: looked.append(text) or True
        assert len(store.changes("sessions", "talk")) == 2
        reader.exec_trace = None
        assert looked
        assert not any("seq > :after and (" in text for text in looked)
