"""Messages: kept in order, given back equal, paged from either end, taken off."""

import itertools

import pytest

import holdfast
from examples import dump
from holdfast import errors
from holdfast.page import Page


@pytest.fixture
def talk(store):
    """The sessions of a store that has one, called `s`."""
    store.sessions.create(id="s")
    return store.sessions


def contents(messages):
    return [message.content for message in messages]


def fill(sessions, count, session="s"):
    """Put the numbers from 1 to `count` into a session."""
    numbers = range(1, count + 1)
    sessions.extend(session, [{"role": "user", "content": n} for n in numbers])


def counting(sessions, session="s"):
    """What a session says of itself, and what its history has."""
    there = sessions.get(session)
    history = list(sessions.history(session))
    assert there.message_count == len(history)
    positions = [m.position for m in history]
    first = positions[0] if positions else 1
    assert positions == list(range(first, first + len(history)))
    return contents(history)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "text — with ünïcode, 🦉 and \x00 and \n",
        [
            {"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": ""}},
        ],
        {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
        None,
        True,
        0,
        -1.5,
        2**60,
        [],
        {},
        [[[{"": [None]}]]],
    ],
)
def test_content_comes_back_equal(talk, content):
    kept = talk.append("s", "user", content, metadata={"as": content})
    (there,) = talk.messages("s")
    assert there == kept
    assert there.content == content
    assert type(there.content) is type(content)
    assert there.metadata == {"as": content}


@pytest.mark.parametrize("role", ["user", "assistant", "system", "tool", "x:y.z-1_a"])
def test_a_role_is_any_short_name(talk, role):
    assert talk.append("s", role, "x").role == role
    assert talk.messages("s")[0].role == role


def test_a_message_says_where_and_when_it_is(talk, clock):
    first = talk.append("s", "user", "a")
    clock.advance(2)
    second = talk.append("s", "user", "b", message_id="m2")
    assert (first.position, second.position, second.id) == (1, 2, "m2")
    assert (first.session, first.metadata) == ("s", None)
    assert (second.created_at - first.created_at).total_seconds() == 2
    assert talk.get("s").updated_at == second.created_at


def test_a_value_of_ten_megabytes_is_kept_and_one_past_the_limit_is_refused(talk):
    large = "x" * (10_000_000 - 2)
    talk.append("s", "user", large)
    assert talk.messages("s")[0].content == large
    with pytest.raises(errors.TooLarge, match=r"10,000,000.*value_bytes"):
        talk.append("s", "user", large + "x")
    with pytest.raises(errors.TooLarge):
        talk.extend(
            "s",
            [{"role": "user", "content": "a"}, {"role": "user", "content": large * 2}],
        )
    with pytest.raises(errors.TooLarge):
        talk.append("s", "user", "a", metadata={"a": "é" * 5_000_000})
    assert talk.get("s").message_count == 1


def test_a_message_id_used_twice_with_equal_content_gives_back_what_is_there(
    talk, store, clock
):
    same = {"role": "user", "content": {"a": 1}, "metadata": {"b": 2}}
    made = talk.append("s", message_id="m", **same)
    talk.append("s", "user", "later")
    clock.advance(1)
    before = dump(store)
    assert talk.append("s", message_id="m", **same) == made
    assert talk.append("s", message_id="m", **same, expect=1) == made
    draft = {**same, "id": "m"}
    assert list(talk.extend("s", [draft, draft], expect=1)) == [made, made]
    assert dump(store) == before


@pytest.mark.parametrize(
    "other",
    [
        {"role": "tool"},
        {"content": "b"},
        {"content": ["a"]},
        {"metadata": None},
        {"metadata": {"b": 3}},
    ],
)
def test_a_message_id_used_twice_with_other_content_already_exists(talk, store, other):
    same = {"role": "user", "content": "a", "metadata": {"b": 2}}
    talk.append("s", message_id="m", **same)
    before = dump(store)
    with pytest.raises(errors.AlreadyExists, match="message 'm'") as caught:
        talk.append("s", message_id="m", **{**same, **other})
    assert (caught.value.kind, caught.value.id) == ("message", "m")
    with pytest.raises(errors.AlreadyExists):
        talk.extend("s", [{**same, "id": "new"}, {**same, **other, "id": "m"}])
    with pytest.raises(errors.AlreadyExists):
        talk.extend("s", [{**same, "id": "n"}, {**same, **other, "id": "n"}])
    assert dump(store) == before


def test_the_same_message_id_in_two_sessions_is_two_messages(talk, store):
    store.sessions.create(id="other")
    talk.append("s", "user", "a", message_id="m")
    talk.append("other", "user", "b", message_id="m")
    assert contents(talk.messages("s")) == ["a"]
    assert contents(talk.messages("other")) == ["b"]


def test_extend_keeps_all_in_order_or_none(talk, store):
    kept = talk.extend("s", ({"role": "user", "content": n} for n in range(50)))
    assert [m.position for m in kept] == list(range(1, 51))
    assert counting(talk) == list(range(50))
    before = dump(store)
    bad = [{"role": "user", "content": "ok"}, {"role": "user", "content": {1}}]
    with pytest.raises(errors.NotStorable, match=r"messages\[1\].content"):
        talk.extend("s", bad)
    assert dump(store) == before


def test_extend_that_is_refused_within_a_transaction_adds_none_of_it(talk, store):
    talk.append("s", "user", "there", message_id="m")
    taken = {"role": "user", "content": "other", "id": "m"}
    with store.transaction() as tx:
        with pytest.raises(errors.AlreadyExists):
            tx.sessions.extend("s", [{"role": "user", "content": "new"}, taken])
        tx.sessions.append("s", "user", "goes on")
    assert counting(talk) == ["there", "goes on"]


def test_extend_goes_on_from_what_is_there_already(talk):
    drafts = [{"role": "user", "content": n, "id": f"m{n}"} for n in range(6)]
    talk.extend("s", drafts[:4])
    kept = talk.extend("s", drafts)
    assert [m.id for m in kept] == [f"m{n}" for n in range(6)]
    assert counting(talk) == list(range(6))


def test_expect_lets_one_of_two_writers_pass(talk):
    version = talk.get("s").version
    talk.append("s", "user", "first", expect=version)
    for late in (
        lambda: talk.append("s", "user", "second", expect=version),
        lambda: talk.extend("s", [{"role": "user", "content": 1}], expect=version),
        lambda: talk.append("s", "user", "ahead", expect=version + 2),
    ):
        with pytest.raises(errors.Conflict) as caught:
            late()
        assert caught.value.found == version + 1
    assert counting(talk) == ["first"]
    talk.extend("s", [{"role": "user", "content": n} for n in (1, 2)], expect=1)
    assert counting(talk) == ["first", 1, 2]


def test_the_newest_messages_are_given_in_order_and_lead_back(talk):
    fill(talk, 25)
    page = talk.messages("s", 10)
    assert contents(page) == list(range(16, 26))
    page = talk.messages("s", 10, cursor=page.cursor)
    assert contents(page) == list(range(6, 16))
    page = talk.messages("s", 10, cursor=page.cursor)
    assert contents(page) == list(range(1, 6))
    assert page.cursor is None
    assert talk.messages("s", 25).cursor is None
    assert len(talk.messages("s")) == 25


def test_messages_after_a_position_lead_on(talk):
    fill(talk, 25)
    page = talk.messages("s", 10, after=3)
    assert contents(page) == list(range(4, 14))
    page = talk.messages("s", 10, after=3, cursor=page.cursor)
    assert contents(page) == list(range(14, 24))
    page = talk.messages("s", 10, after=3, cursor=page.cursor)
    assert contents(page) == [24, 25]
    assert page.cursor is None
    assert talk.messages("s", after=25) == Page([])


@pytest.mark.parametrize("size", [1, 3, 24, 25])
def test_every_window_of_positions_holds_what_stands_there(talk, size):
    fill(talk, 25)
    talk.clear("s")
    fill(talk, 5)  # at positions 26 to 30
    here = range(26, 31)
    for after, before in itertools.product([None, 0, 25, 27, 30, 99], repeat=2):
        wanted = [
            p for p in here if (after or 0) < p and (before is None or p < before)
        ]
        found, cursor = [], None
        while True:
            page = talk.messages("s", size, before=before, after=after, cursor=cursor)
            part = [m.position for m in page]
            found = part + found if after is None else found + part
            cursor = page.cursor
            if cursor is None:
                break
        assert found == wanted


def test_history_gives_all_of_it_page_by_page_oldest_first(clock, path):
    limits = holdfast.Limits(page=7)
    with holdfast.open(path, clock=clock, limits=limits) as store:
        store.sessions.create(id="s")
        for count in (0, 7, 8):
            store.sessions.clear("s")
            fill(store.sessions, count)
            assert counting(store.sessions) == list(range(1, count + 1))
        with store.transaction() as tx:
            assert contents(tx.sessions.history("s")) == list(range(1, 9))


def test_history_that_is_being_read_misses_nothing_that_was_there(talk, monkeypatch):
    fill(talk, 1_500)
    reading = iter(talk.history("s"))
    first = next(reading)
    talk.append("s", "user", "new")
    assert contents([first, *reading])[:1_500] == list(range(1, 1_501))


def test_pop_takes_the_newest_off_until_none_is_left(talk):
    fill(talk, 3)
    newest = talk.messages("s", 1)[0]
    assert talk.pop("s") == newest
    assert counting(talk) == [1, 2]
    assert contents([talk.pop("s"), talk.pop("s")]) == [2, 1]
    assert talk.pop("s") is None
    assert counting(talk) == []
    assert talk.append("s", "user", "again").position == 1


def test_clear_takes_all_off_and_says_how_many(talk):
    fill(talk, 12)
    assert talk.clear("s") == 12
    assert talk.clear("s") == 0
    assert counting(talk) == []
    assert talk.append("s", "user", "again").position == 13
    assert counting(talk) == ["again"]
    assert talk.pop("s").content == "again"
    assert talk.pop("s") is None


def test_an_id_that_was_made_is_as_good_for_a_repeat_as_one_that_was_given(talk):
    made = talk.append("s", "user", "first")
    talk.append("s", "user", "second")
    assert talk.append("s", "user", "first", message_id=made.id) == made
    with pytest.raises(errors.AlreadyExists):
        talk.append("s", "user", "other", message_id=made.id)
    assert counting(talk) == ["first", "second"]


def test_an_id_that_another_store_made_is_kept_and_found(talk, clock):
    with holdfast.open(":memory:", clock=clock) as other:
        theirs = other.sessions.create("theirs")
        foreign = other.sessions.append(theirs.id, "user", "from there").id
    made = talk.append("s", "user", "from here")
    kept = talk.append("s", "user", "from there", message_id=foreign)
    assert kept.id == foreign != made.id
    assert talk.append("s", "user", "from there", message_id=foreign) == kept


def test_an_id_that_ends_in_a_number_of_another_sessions_row_is_not_found(talk, store):
    apart = store.sessions.create("apart")
    made = store.sessions.append(apart.id, "user", "theirs")
    mine = talk.append("s", "user", "mine", message_id=made.id)
    assert (mine.id, mine.content) == (made.id, "mine")
