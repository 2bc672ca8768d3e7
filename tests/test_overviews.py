"""Overviews: a conversation at a glance, and in memory for a minute."""

import asyncio
from datetime import timedelta

import pytest

import holdfast
from driving import Driven
from holdfast import errors
from holdfast.kinds.session_records import SessionStatus
from holdfast.runtime.cache.overviews import overviews_of
from test_cache import until


def stats(store):
    return overviews_of(store._target if isinstance(store, Driven) else store).stats()


def test_an_overview_counts_who_said_how_much(store, clock):
    store.sessions.create("Plan the week", id="s", tags=["a"])
    began = store.sessions.get("s").created_at
    said = [
        ("system", "You plan.", None),
        ("user", "Where did we stop?\n\n  At the flight?", {"name": "ann"}),
        ("assistant", "Yes.", {"agent": "planner"}),
        ("user", "Book it.", {"name": "bob"}),
        ("assistant", "Done.", {"agent": "planner"}),
        ("user", "Thanks.", {"name": "ann", "sender": "not she"}),
    ]
    for role, content, metadata in said:
        clock.advance(1)
        store.sessions.append("s", role, content, metadata=metadata)
    found = store.sessions.overview("s")
    assert (found.session, found.owner, found.title) == ("s", "", "Plan the week")
    assert (found.message_count, found.version) == (6, 6)
    assert found.status is SessionStatus.ACTIVE
    assert found.roles == {"system": 1, "user": 3, "assistant": 2}
    assert [(p.name, p.role, p.messages) for p in found.participants] == [
        ("system", "system", 1),
        ("ann", "user", 2),
        ("planner", "assistant", 2),
        ("bob", "user", 1),
    ]
    assert (found.first.position, found.first.text) == (1, "You plan.")
    assert (found.last.position, found.last.name) == (6, "ann")
    assert found.last.created_at == began + timedelta(seconds=6) == found.updated_at
    assert found.created_at == began


def test_a_session_without_messages_has_an_overview(store):
    store.sessions.create(id="s")
    found = store.sessions.overview("s")
    assert (found.first, found.last, found.participants) == (None, None, ())
    assert (found.title, found.message_count, found.roles) == ("", 0, {})
    with pytest.raises(errors.NotFound, match="no session 'none'"):
        store.sessions.overview("none")
    with pytest.raises(errors.InvalidId):
        store.sessions.overview("../s")
    with pytest.raises(errors.WrongType):
        store.sessions.overview(5)


def test_a_session_without_a_title_is_called_by_what_was_asked(store):
    store.sessions.create(id="s")
    store.sessions.append("s", "system", "Be brief.")
    assert store.sessions.overview("s").title == ""
    store.sessions.append("s", "user", "  Where\n is  it?  ")
    store.sessions.append("s", "user", "And when?")
    assert store.sessions.overview("s").title == "Where is it?"
    store.sessions.clear("s")
    store.sessions.append("s", "user", "long " * 100)
    title = store.sessions.overview("s").title
    assert len(title) == 80
    assert title.endswith("…")


def test_a_glimpse_is_one_line_and_short_and_shows_no_data(store):
    store.sessions.create(id="s")
    for content in (
        "x" * 5_000,
        [{"type": "text", "text": "one"}, {"type": "text", "text": "two\nthree"}],
        [{"type": "tool_use", "id": "t", "name": "look", "input": {"a": 1}}],
        {"any": "thing"},
        None,
        "",
        5,
    ):
        store.sessions.append("s", "user", content)
        glimpse = store.sessions.overview("s").last
        store.sessions.pop("s")
        store.sessions.append("s", "user", glimpse.text)
    texts = [m.content for m in store.sessions.history("s")]
    assert texts == [
        "x" * 199 + "…",
        "one two three",
        "calls look (t)",
        "content",
        "",
        "",
        "content",
    ]


def test_a_reply_that_grows_is_in_it_as_far_as_it_came(store):
    store.sessions.create(id="s")
    store.sessions.begin_reply("s", text="so", message_id="r")
    assert store.sessions.overview("s").last.text == "so"
    store.sessions.extend_reply("s", "r", " far")
    found = store.sessions.overview("s").last
    assert (found.text, found.partial) == ("so far", True)
    store.sessions.end_reply("s", "r", "")
    assert not store.sessions.overview("s").last.partial


def test_a_fork_counts_what_it_shares(store):
    store.sessions.create(id="s")
    for number in range(5):
        store.sessions.append("s", "user", f"{number}", metadata={"name": f"n{number}"})
    store.sessions.fork("s", 3, new_id="f")
    store.sessions.append("f", "assistant", "own")
    store.sessions.fork("f", new_id="g")
    store.sessions.pop("g")
    for id, names, last in (
        ("f", ["n0", "n1", "n2", "assistant"], "own"),
        ("g", ["n0", "n1", "n2"], "2"),
    ):
        found = store.sessions.overview(id)
        assert [one.name for one in found.participants] == names
        assert found.message_count == sum(found.roles.values()) == len(names)
        assert found.last.text == last


def test_every_message_is_counted_however_many_pages_they_take(path):
    with holdfast.open(path, limits=holdfast.Limits(page=7)) as store:
        store.sessions.create(id="s")
        for number in range(30):
            store.sessions.append("s", f"r{number % 3}", number)
        found = store.sessions.overview("s")
        assert found.roles == {"r0": 10, "r1": 10, "r2": 10}
        assert (found.first.position, found.last.position) == (1, 30)


def test_overviews_come_newest_first_and_page_by_page(store, clock):
    for number in range(5):
        clock.advance(1)
        store.sessions.create(
            f"talk {number}",
            id=f"s{number}",
            tags=["odd"[: number % 2]] if number % 2 else [],
        )
        store.sessions.append(f"s{number}", "user", "hello")
    page = store.sessions.overviews(limit=2)
    titles = [one.title for one in page]
    while page.cursor is not None:
        page = store.sessions.overviews(limit=2, cursor=page.cursor)
        titles += [one.title for one in page]
    assert titles == [f"talk {n}" for n in (4, 3, 2, 1, 0)]
    assert [o.session for o in store.sessions.overviews(tag="o")] == ["s3", "s1"]
    assert len(store.sessions.overviews(status="completed")) == 0
    with pytest.raises(errors.TooLarge):
        store.sessions.overviews(limit=100_000)
    with store.transaction() as tx:
        assert len(tx.sessions.overviews(limit=3)) == 3


# In memory.


def test_an_overview_is_kept_for_a_minute(store, clock):
    store.sessions.create(id="s")
    first = store.sessions.overview("s")
    until(lambda: store.sessions.overview("s") is store.sessions.overview("s"))
    assert store.sessions.overview("s") == first
    before = stats(store).misses
    store.sessions.create(id="other")
    assert store.sessions.overview("s") == first
    assert stats(store).misses == before
    clock.advance(60)
    assert store.sessions.overview("s") == first
    assert stats(store).misses == before + 1


def test_what_was_written_is_in_the_next_one(store):
    store.sessions.create(id="s")
    for number in range(1, 4):
        store.sessions.append("s", "user", "hello")
        assert store.sessions.overview("s").message_count == number
        assert store.sessions.overviews()[0].message_count == number
    store.sessions.pop("s")
    assert store.sessions.overview("s").message_count == 2
    store.sessions.update("s", title="new")
    assert store.sessions.overview("s").title == "new"
    store.sessions.delete("s")
    with pytest.raises(errors.NotFound):
        store.sessions.overview("s")
    assert len(store.sessions.overviews()) == 0


def test_each_owner_has_their_own(store):
    ada, bob = store.owned_by("ada"), store.owned_by("bob")
    for one in (ada, bob):
        one.sessions.create(one.owner, id="s")
    for _ in range(2):
        assert ada.sessions.overview("s").title == "ada"
        assert bob.sessions.overview("s").title == "bob"
    misses = stats(store).misses
    bob.sessions.append("s", "user", "hello")
    assert ada.sessions.overview("s").message_count == 0
    assert stats(store).misses == misses
    assert bob.sessions.overview("s").message_count == 1


def test_a_look_at_the_past_and_a_transaction_go_past_the_memory(store):
    store.sessions.create(id="s")
    moment = store.moment()
    store.sessions.append("s", "user", "hello")
    assert store.sessions.overview("s").message_count == 1
    past = store.as_of(moment)
    assert past.sessions.overview("s").message_count == 0
    assert past.sessions.overviews()[0].message_count == 0
    assert store.sessions.overview("s").message_count == 1
    with store.transaction() as tx:
        tx.sessions.append("s", "user", "not yet")
        assert tx.sessions.overview("s").message_count == 2
    assert store.sessions.overview("s").message_count == 2


def test_from_inside_a_transaction_the_stores_own_is_refused(path):
    with holdfast.open(path) as store, store.transaction() as tx:
        tx.sessions.create(id="s")
        with pytest.raises(errors.Refused, match="use tx.sessions.overview"):
            store.sessions.overview("s")

    async def work():
        async with await holdfast.aopen(path) as store, store.transaction() as tx:
            await tx.sessions.create(id="t")
            with pytest.raises(errors.Refused, match="use tx.sessions.overview"):
                await store.sessions.overview("t")

    asyncio.run(work())


def test_tasks_that_ask_at_once_read_once(path):
    async def work():
        async with await holdfast.aopen(path) as store:
            await store.sessions.create(id="s")
            asked = [store.sessions.overview("s") for _ in range(50)]
            found = await asyncio.gather(*asked)
            assert len({id(one) for one in found}) == 1
            return overviews_of(store).stats()

    found = asyncio.run(work())
    assert (found.misses, found.waits + found.hits) == (1, 49)


def test_a_session_that_goes_while_they_are_listed_is_left_out(path, monkeypatch):
    with holdfast.open(path) as store:
        for id in ("a", "b"):
            store.sessions.create(id=id)
        sessions = store.sessions
        listed = sessions.list()
        store.sessions.delete("a")
        monkeypatch.setattr(type(sessions), "list", lambda self, **_: listed)
        assert [one.session for one in sessions.overviews()] == ["b"]
