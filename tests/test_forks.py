"""Forks share what was said; nothing of it changes for one by what the others do."""

from typing import Any

import pytest

from conversing import Trying, finished, marked, seen
from holdfast.errors import AlreadyExists, Conflict, Held, NotFound, Refused


@pytest.fixture
def talk(store: Any) -> Any:
    """The sessions of a store; `s` has the numbers from 1 to 6, of ids `m1` to `m6`."""
    store.sessions.create("Numbers", id="s", tags=["x"], metadata={"a": 1})
    drafts = [{"role": "user", "content": n, "id": f"m{n}"} for n in range(1, 7)]
    store.sessions.extend("s", drafts)
    return store.sessions


def contents(sessions: Any, id: str) -> list[Any]:
    return [content for _, _, content in seen(sessions, id)]


def rows(store: Any) -> tuple[int, int]:
    """How many messages and segments are stored, once all is swept."""
    found = finished(store)
    return len(found["message"]), len(found["segment"])


def test_a_fork_is_a_session_that_has_said_the_same(talk, store):
    made = talk.fork("s", 4)
    there = talk.get("s")
    assert (made.parent, made.forked_at, made.message_count) == ("s", 4, 4)
    assert (made.title, made.tags, made.metadata) == ("Numbers", ("x",), {"a": 1})
    assert made.status == "active"
    assert made.version == 4
    assert there.forked_at is None
    created = [c for c in store.journal.read(limit=100) if c.id == made.id]
    assert created[0].after["forked_at"] == 4
    assert talk.get(made.id) == made
    assert [session.id for session in talk.list(tag="x")] == [made.id, "s"]
    for mine, theirs in zip(talk.history(made.id), talk.history("s"), strict=False):
        assert mine.session == made.id
        wanted = (theirs.id, theirs.position, theirs.role, theirs.content)
        assert (mine.id, mine.position, mine.role, mine.content) == wanted
        assert mine.created_at == theirs.created_at
    assert contents(talk, made.id) == [1, 2, 3, 4]
    assert rows(store) == (6, 1)


def test_a_fork_goes_on_from_there_and_so_does_the_other(talk):
    talk.fork("s", 2, "Other", new_id="f")
    assert talk.append("f", "user", "mine").position == 3
    assert talk.append("s", "user", 7).position == 7
    assert contents(talk, "f") == [1, 2, "mine"]
    assert contents(talk, "s") == [1, 2, 3, 4, 5, 6, 7]
    assert talk.get("f").title == "Other"


def test_a_fork_can_be_of_nothing_and_of_all(talk):
    assert talk.fork("s", 0, new_id="none").message_count == 0
    assert talk.fork("s", new_id="all").forked_at == 6
    assert contents(talk, "all") == [1, 2, 3, 4, 5, 6]
    assert talk.append("none", "user", "first").position == 1
    talk.clear("s")
    assert talk.fork("s", 6, new_id="cleared").message_count == 0
    assert talk.append("cleared", "user", "seventh").position == 7


@pytest.mark.parametrize("at", [7, 100])
def test_a_position_that_is_not_there_is_refused(talk, at):
    with pytest.raises(Refused, match="1 to 6"):
        talk.fork("s", at, new_id="f")
    talk.clear("s")
    with pytest.raises(Refused):
        talk.fork("s", 5, new_id="f")
    with pytest.raises(NotFound):
        talk.fork("nobody")
    with pytest.raises(NotFound):
        talk.get("f")


def test_the_same_fork_again_is_given_back(talk):
    made = talk.fork("s", 4, new_id="f")
    assert talk.fork("s", 4, new_id="f") == made
    assert talk.fork("s", new_id="f") == made
    talk.create("Numbers", id="plain", parent="s")
    for again in (
        {"id": "s", "at": 3, "new_id": "f"},
        {"id": "s", "at": 4, "title": "Other", "new_id": "f"},
        {"id": "f", "at": 4, "new_id": "f"},
        {"id": "s", "at": 4, "new_id": "s"},
        {"id": "s", "new_id": "plain"},
    ):
        with pytest.raises(AlreadyExists):
            talk.fork(**again)


def test_a_fork_of_a_leased_session_is_no_write_to_it(talk, store):
    store.leases.acquire("sessions", "s", holder="h", seconds=60)
    assert talk.fork("s").message_count == 6
    with pytest.raises(Held):
        talk.amend("s", "m1", "no")


def test_what_is_popped_cleared_or_deleted_stays_where_others_show_it(talk, store):
    talk.fork("s", 5, new_id="f")
    talk.fork("f", 4, new_id="g")
    assert [talk.pop("s").content for _ in range(4)] == [6, 5, 4, 3]
    talk.append("s", "user", "new", message_id="m3")
    assert contents(talk, "s") == [1, 2, "new"]
    assert contents(talk, "f") == [1, 2, 3, 4, 5]
    assert talk.clear("f") == 5
    assert contents(talk, "g") == [1, 2, 3, 4]
    assert rows(store) == (5, 2)
    assert talk.delete("s")
    assert contents(talk, "g") == [1, 2, 3, 4]
    assert talk.append("f", "user", "m", message_id="m1").position == 6
    assert rows(store) == (5, 1)
    assert talk.clear("g") == 4
    assert rows(store) == (1, 0)


def test_pops_take_a_fork_back_beyond_where_it_began(talk, store):
    talk.fork("s", 4, new_id="f")
    talk.append("f", "user", "own")
    popped = [talk.pop("f") for _ in range(6)]
    assert [message and message.content for message in popped] == [
        "own",
        4,
        3,
        2,
        1,
        None,
    ]
    assert talk.append("f", "user", "new").position == 1
    assert contents(talk, "f") == ["new"]
    assert contents(talk, "s") == [1, 2, 3, 4, 5, 6]
    assert rows(store) == (7, 0)


def test_an_amended_message_is_another_only_where_it_was_amended(talk, store):
    talk.fork("s", 5, new_id="f")
    talk.fork("f", new_id="g")
    before = talk.messages("s")[2]
    amended = talk.amend("f", "m3", "three", metadata={"by": "f"})
    assert (amended.id, amended.position, amended.role) == ("m3", 3, before.role)
    assert (amended.created_at, amended.metadata) == (before.created_at, {"by": "f"})
    assert list(talk.history("f"))[2] == amended
    assert contents(talk, "f") == [1, 2, "three", 4, 5]
    assert contents(talk, "g") == [1, 2, 3, 4, 5]
    talk.amend("s", "m3", "III")
    assert contents(talk, "s") == [1, 2, "III", 4, 5, 6]
    assert contents(talk, "g") == [1, 2, 3, 4, 5]
    assert rows(store)[0] == 8
    talk.amend("f", "m3", "drei")
    talk.amend("s", "m3", "tre")
    assert rows(store)[0] == 8
    assert talk.append("s", "user", 7).position == 7
    assert contents(talk, "s") == [1, 2, "tre", 4, 5, 6, 7]
    assert contents(talk, "f") == [1, 2, "drei", 4, 5]
    talk.delete("g")
    assert rows(store)[0] == 8


def test_amending_moves_the_version_once_and_keeps_what_is_not_said(talk):
    talk.append("s", "user", "x", message_id="x", metadata={"a": 1})
    version = talk.get("s").version
    assert talk.amend("s", "x", "y", expect=version).metadata == {"a": 1}
    assert talk.get("s").version == version + 1
    assert talk.amend("s", "x", "y", expect=version).content == "y"
    assert talk.get("s").version == version + 1
    with pytest.raises(Conflict):
        talk.amend("s", "x", "z", expect=version)
    assert talk.amend("s", "x", "y", metadata=None).metadata is None
    assert talk.amend("s", "x", 1).content == 1
    assert talk.amend("s", "x", True).content is True
    for id, message_id in (("s", "nothing"), ("nobody", "x")):
        with pytest.raises(NotFound):
            talk.amend(id, message_id, "z")


def test_a_message_is_found_by_its_id_wherever_its_row_is(talk):
    made = talk.append("s", "user", "made an id for")
    talk.fork("s", new_id="f")
    talk.append("s", "user", "later", message_id="later")
    talk.amend("f", "m2", "two")
    assert talk.append("f", "user", 1, message_id="m1").position == 1
    assert talk.append("f", "user", "two", message_id="m2").position == 2
    assert talk.append("f", "user", made.content, message_id=made.id).position == 7
    with pytest.raises(AlreadyExists):
        talk.append("f", "user", 2, message_id="m2")
    assert talk.append("f", "user", "x", message_id="later").position == 8
    assert talk.amend("f", made.id, "changed").position == 7
    assert contents(talk, "s") == [1, 2, 3, 4, 5, 6, made.content, "later"]
    assert contents(talk, "f") == [1, "two", 3, 4, 5, 6, "changed", "x"]


def test_what_is_still_being_written_comes_along_as_far_as_it_is(talk, store):
    reply = talk.begin_reply("s", text="so")
    talk.extend_reply("s", reply.id, " far")
    talk.append("s", "user", "meanwhile")
    talk.fork("s", new_id="f")
    talk.extend_reply("s", reply.id, " and further")
    assert talk.end_reply("s", reply.id).content == "so far and further"
    assert [(m.content, m.partial) for m in talk.messages("f", 2)] == [
        ("so far", True),
        ("meanwhile", False),
    ]
    with pytest.raises(Refused):
        talk.amend("f", reply.id, "no")
    assert talk.end_reply("f", reply.id).content == "so far"
    assert not any(message.partial for message in talk.history("f"))
    assert contents(talk, "s")[-2:] == ["so far and further", "meanwhile"]
    talk.delete("s")
    talk.delete("f")
    assert rows(store) == (0, 0)
    assert finished(store)["message_part"] == []


def test_a_reply_goes_on_after_a_session_left_what_it_shares(talk):
    talk.fork("s", new_id="f")
    reply = talk.begin_reply("s", text="a")
    talk.amend("s", "m1", "one")
    talk.extend_reply("s", reply.id, "b")
    assert talk.end_reply("s", reply.id).content == "ab"
    assert contents(talk, "s") == ["one", 2, 3, 4, 5, 6, "ab"]


def test_the_newest_summary_comes_along(talk):
    talk.summarize("s", 2, "two")
    talk.summarize("s", 4, "four")
    talk.fork("s", 3, new_id="f")
    talk.fork("s", 1, new_id="g")
    assert [summary.text for summary in talk.summaries("f")] == ["two"]
    assert not talk.summaries("g")
    talk.pop("f")
    talk.pop("f")
    assert not talk.summaries("f")
    assert len(talk.summaries("s")) == 2


def test_a_family_is_told_from_the_nearest_on(talk):
    talk.fork("s", new_id="child")
    talk.create(id="other child", parent="s")
    talk.fork("child", new_id="grandchild")
    talk.fork("grandchild", new_id="last")
    family = talk.family("child")
    assert family.session == talk.get("child")
    assert [session.id for session in family.ancestors] == ["s"]
    assert [session.id for session in family.descendants] == ["grandchild", "last"]
    assert not family.more
    assert {session.id for session in talk.family("s").descendants[:2]} == {
        "child",
        "other child",
    }
    short = talk.family("last", limit=2)
    assert [session.id for session in short.ancestors] == ["grandchild", "child"]
    assert short.more
    talk.delete("s")
    assert talk.family("child").ancestors == ()
    talk.create(id="s", parent="last")
    ring = talk.family("child")
    assert [session.id for session in ring.ancestors] == ["s", "last", "grandchild"]
    assert ring.descendants == ()
    with pytest.raises(NotFound):
        talk.family("nobody")


def test_forks_of_forks_read_as_if_each_had_all_of_it(talk, store):
    wanted: dict[str, list[Any]] = {"s": [1, 2, 3, 4, 5, 6]}
    last = "s"
    for depth in range(50):
        made = talk.fork(last, new_id=f"f{depth}").id
        talk.append(made, "user", f"own {depth}")
        wanted[made] = [*wanted[last], f"own {depth}"]
        last = made
    for id, said in wanted.items():
        assert contents(talk, id) == said
    talk.amend("f20", "m3", "three")
    talk.delete("f10")
    talk.clear("f30")
    del wanted["f10"]
    wanted["f20"][2], wanted["f30"] = "three", []
    for id, said in wanted.items():
        assert contents(talk, id) == said
    assert rows(store)[0] == 6 + 50 + 1
    assert store.usage().tables["message"].rows == 57


def test_a_fork_is_as_it_was_at_a_past_moment(talk, store):
    wanted = {}

    def remember() -> None:
        wanted[store.moment()] = {id: contents(talk, id) for id in ("s", "f")}

    talk.fork("s", 5, new_id="f")
    remember()
    for change in (
        lambda: talk.append("f", "user", "own"),
        lambda: talk.amend("f", "m2", "two"),
        lambda: talk.amend("s", "m3", "three"),
        lambda: talk.pop("f"),
        lambda: talk.pop("f"),
        lambda: [talk.pop("s") for _ in range(3)],
        lambda: talk.append("s", "user", "again"),
        lambda: talk.clear("s"),
        lambda: talk.clear("f"),
    ):
        change()
        remember()
    finished(store)
    for moment, said in wanted.items():
        then = store.as_of(moment)
        assert {id: contents(then.sessions, id) for id in said} == said


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_done_each_session_has_what_it_would_have_alone(store, seed):
    trying = Trying(store.sessions, seed)
    for step in range(160):
        trying.step()
        if step % 20 == 0:
            for id in trying.talks.said:
                assert seen(store.sessions, id) == trying.talks.seen(id), (seed, step)
            for mark in trying.talks.marks:
                assert marked(store.sessions, mark) == trying.talks.marked(mark)
    assert rows(store)[0] == trying.talks.rows()
    assert store.usage().tables["message"].rows == trying.talks.rows()
    for id in sorted(trying.talks.said):
        assert seen(store.sessions, id) == trying.talks.seen(id)
        store.sessions.delete(id)
    assert rows(store) == (0, 0)
