"""A mark keeps what a session showed; a session goes back to where it was."""

import pytest

from conversing import finished, marked, seen
from holdfast.errors import AlreadyExists, Conflict, Held, NotFound, Refused
from holdfast.kinds import marks


@pytest.fixture
def talk(store):
    """The sessions of a store; `s` has the numbers from 1 to 6, of ids `m1` to `m6`."""
    store.sessions.create("Numbers", id="s")
    drafts = [{"role": "user", "content": n, "id": f"m{n}"} for n in range(1, 7)]
    store.sessions.extend("s", drafts)
    return store.sessions


def contents(talk, mark):
    return [content for _, _, content in marked(talk, mark)]


def said(talk, id="s"):
    return [content for _, _, content in seen(talk, id)]


def rows(store):
    """How many messages, segments and marks are stored, once all is swept."""
    found = finished(store)
    return tuple(len(found[table]) for table in ("message", "segment", "mark"))


@pytest.mark.parametrize(
    "change",
    [
        lambda talk: talk.amend("s", "m2", "two"),
        lambda talk: [talk.pop("s") for _ in range(4)],
        lambda talk: talk.clear("s"),
        lambda talk: talk.rewind("s", 1),
        lambda talk: talk.rewind("s", 0),
        lambda talk: talk.append("s", "user", 7),
        lambda talk: (talk.rewind("s", 2), talk.append("s", "user", 7)),
    ],
)
def test_a_mark_keeps_what_was_there_and_copies_nothing(store, talk, change):
    made = talk.mark("s", 5)
    assert (made.session, made.first, made.last) == ("s", 1, 5)
    assert talk.get_mark(made.id) == made
    assert rows(store) == (6, 1, 1)
    change(talk)
    finished(store)
    assert contents(talk, made.id) == [1, 2, 3, 4, 5]
    assert talk.unmark(made.id)
    assert not talk.unmark(made.id)
    shown = len(said(talk))
    left, _, marks = rows(store)
    assert (left, marks) == (shown, 0)


def test_a_mark_of_a_fork_and_of_a_mark_at_nothing(talk):
    talk.fork("s", 4, new_id="f")
    talk.append("f", "user", "own")
    kept, none = talk.mark("f"), talk.mark("f", 0)
    talk.delete("s")
    talk.rewind("f", 2)
    assert contents(talk, kept.id) == [1, 2, 3, 4, "own"]
    assert contents(talk, none.id) == []


def test_a_deleted_session_lets_go_of_its_marks(store, talk):
    made = talk.mark("s")
    talk.fork("s", new_id="f")
    assert talk.delete("s")
    with pytest.raises(NotFound):
        talk.marked(made.id)
    assert said(talk, "f") == [1, 2, 3, 4, 5, 6]
    talk.delete("f")
    assert rows(store) == (0, 0, 0)


def test_of_many_marks_a_deleted_session_lets_go_by_and_by(store, talk, monkeypatch):
    monkeypatch.setattr(marks, "_AT_ONCE", 3)
    for n in range(5):
        talk.mark("s", new_id=f"k{n}")
    talk.delete("s")
    assert not talk.unmark("k1")
    with pytest.raises(NotFound):
        talk.marked("k1")
    talk.create(id="s")
    assert talk.mark("s", new_id="k2").last == 0
    assert rows(store) == (0, 0, 1)
    assert contents(talk, "k2") == []


def test_a_mark_that_is_given_an_id_is_made_once(store, talk):
    made = talk.mark("s", 3, new_id="k")
    talk.amend("s", "m1", "one")
    assert talk.mark("s", 3, new_id="k") == made
    assert talk.mark("s", new_id="k") == made
    assert contents(talk, "k") == [1, 2, 3]
    talk.create(id="other")
    for args in (("s", 4), ("other", None)):
        with pytest.raises(AlreadyExists):
            talk.mark(*args, new_id="k")
    assert rows(store)[2] == 1


def test_a_message_that_is_still_being_written_is_kept_as_far_as_it_is(talk):
    talk.begin_reply("s", text="so", message_id="r")
    talk.extend_reply("s", "r", " far")
    made = talk.mark("s")
    talk.end_reply("s", "r", "all of it")
    assert contents(talk, made.id)[-1] == "so far"
    assert said(talk)[-1] == "all of it"


def test_what_a_mark_keeps_is_kept_once_more_for_another_session(store, talk):
    talk.mark("s", 4, new_id="k")
    talk.fork("s", 5, new_id="f")
    talk.amend("s", "m1", "one")
    again = talk.mark("f", of="k")
    assert (again.session, again.first, again.last) == ("f", 1, 4)
    talk.delete("s")
    finished(store)
    assert contents(talk, again.id) == [1, 2, 3, 4]
    with pytest.raises(NotFound):
        talk.mark("f", of="k")
    talk.delete("f")
    assert rows(store) == (0, 0, 0)


def test_what_cannot_be_marked_is_refused(store, talk):
    for at in (7, 100):
        with pytest.raises(Refused, match="1 to 6"):
            talk.mark("s", at)
        with pytest.raises(Refused, match="1 to 6"):
            talk.rewind("s", at)
    for call in (talk.mark, lambda s: talk.rewind(s, 0), talk.marked):
        with pytest.raises(NotFound):
            call("nobody")
    assert rows(store) == (6, 0, 0)


def test_a_session_goes_back_and_goes_on_from_there(store, talk):
    talk.summarize("s", 2, "one and two")
    talk.summarize("s", 5, "up to five")
    version = talk.get("s").version
    left = talk.rewind("s", 3)
    assert (left.message_count, left.version) == (3, version + 1)
    assert talk.rewind("s", 3).version == version + 1
    assert [found.upto for found in talk.summaries("s")] == [2]
    assert talk.append("s", "user", "again", message_id="m4").position == 4
    assert said(talk) == [1, 2, 3, "again"]
    with pytest.raises(Conflict):
        talk.rewind("s", 1, expect=version)
    store.leases.acquire("sessions", "s", holder="h", seconds=60)
    with pytest.raises(Held):
        talk.rewind("s", 1)
    assert talk.mark("s").last == 4


def test_marks_are_read_as_they_were_at_any_moment(store, talk):
    made = talk.mark("s", 4, new_id="k")
    before = store.moment()
    talk.amend("s", "m1", "one")
    talk.unmark("k")
    talk.clear("s")
    finished(store)
    then = store.as_of(before)
    assert contents(then.sessions, made.id) == [1, 2, 3, 4]
    with pytest.raises(NotFound):
        talk.marked("k")


def test_the_journal_tells_of_marks(store, talk):
    talk.mark("s", 4, new_id="k")
    talk.unmark("k")
    told = [c for c in store.journal.read(limit=100) if c.kind == "mark"]
    assert [(c.op, c.id) for c in told] == [("create", "k"), ("delete", "k")]
    assert told[0].after["session"] == "s"
    history = store.changes("sessions", "s")
    assert {"mark"} <= {change.kind for change in history}


def test_a_revert_leaves_marks_as_they_are(store, talk):
    talk.mark("s", 5, new_id="k")
    before = store.moment()
    talk.mark("s", 2, new_id="later")
    talk.amend("s", "m1", "one")
    talk.rewind("s", 2)
    finished(store)
    store.revert(before)
    assert said(talk) == [1, 2, 3, 4, 5, 6]
    assert contents(talk, "k") == [1, 2, 3, 4, 5]
    assert contents(talk, "later") == [1, 2]


@pytest.mark.parametrize("swept", [True, False])
@pytest.mark.parametrize("gone", [True, False])
def test_a_revert_brings_back_the_marks_that_were(
    store, talk, gone, swept, monkeypatch
):
    monkeypatch.setattr(marks, "_AT_ONCE", 2)
    talk.fork("s", 3, new_id="f")
    talk.append("f", "user", "own")
    for id, at, new_id in (
        ("s", 2, "k2"),
        ("s", 5, "k5"),
        ("s", 0, "k0"),
        ("f", 4, "f"),
    ):
        talk.mark(id, at, new_id=new_id)
    talk.amend("s", "m2", "two")
    talk.mark("s", 3, new_id="k3")
    moment = store.moment()
    if gone:
        talk.delete("s")
        talk.delete("f")
    else:
        for mark in ("k2", "k5", "k0", "k3", "f"):
            talk.unmark(mark)
        talk.clear("s")
    if swept:
        finished(store)
    store.revert(moment)
    finished(store)
    assert said(talk) == [1, "two", 3, 4, 5, 6]
    assert [contents(talk, mark) for mark in ("k0", "k2", "k3", "k5", "f")] == [
        [], [1, 2], [1, "two", 3], [1, 2, 3, 4, 5], [1, 2, 3, "own"]
    ]  # fmt: skip
    assert store.revert(moment).records == ()


def test_what_only_marks_keep_is_out_of_sight_and_counted(store, talk):
    talk.mark("s", 5)
    talk.clear("s")
    finished(store)
    assert store.search("zebra") == ()
    assert store.usage().tables["message"].rows == 5


def test_another_owner_has_other_marks(store, talk):
    talk.mark("s", 5, new_id="k")
    other = store.owned_by("bob").sessions
    with pytest.raises(NotFound):
        other.marked("k")
    assert not other.unmark("k")
    other.create(id="s")
    assert other.mark("s", new_id="k").last == 0
