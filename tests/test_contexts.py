"""Contexts: the newest messages within limits, whole, with what leads up to them.

The rule for tools is tried against what it is for: in a random conversation no answer
is shown without its call, and no longer window would have fitted.
"""

import logging
import random

import pytest

import holdfast
import views
from holdfast import errors
from holdfast.clock import to_datetime
from holdfast.engines.sqlite.transaction import SqliteTransaction
from holdfast.kinds import contexts, quotas
from holdfast.kinds.session_records import Message
from holdfast.kinds.tool_calls import answers_in, calls_in
from holdfast.kinds.windows import estimated
from model import Model
from showing import TOOLED, context


@pytest.fixture
def talk(store):
    """The sessions of a store that has one, called `s`."""
    store.sessions.create(id="s")
    return store.sessions


def say(sessions, *said, session="s"):
    """Add messages, each a role, or a role and its content or metadata."""
    drafts = []
    for item in said:
        role, content = item if isinstance(item, tuple) else (item, "…")
        kept = {"content": None, "metadata": content}
        drafts.append(
            {"role": role}
            | (kept if isinstance(content, dict) else {"content": content})
        )
    sessions.extend(session, drafts)


def calls(*ids):
    return "assistant", {"tool_calls": [{"id": id, "type": "function"} for id in ids]}


def answer(id):
    return "tool", {"tool_call_id": id}


def positions(context):
    return [message.position for message in context]


def one(message):
    """A counter by which every message is one token."""
    return 1


def test_the_newest_messages_are_shown_and_all_of_them_stay(talk):
    say(talk, *["user"] * 20)
    shown = talk.context("s", messages=3)
    assert positions(shown) == [18, 19, 20]
    assert (len(shown), shown.left_out, shown.summary) == (3, 17, None)
    assert shown[0] == shown.messages[0]
    assert shown[1:] == shown.messages[1:]
    assert shown.messages == tuple(talk.messages("s", 3))
    assert positions(talk.context("s", messages=100)) == list(range(1, 21))
    assert talk.get("s").message_count == 20


def test_how_many_are_shown_is_said_by_the_call_the_session_or_the_limits(talk):
    say(talk, *["user"] * 60)
    assert len(talk.context("s")) == 50
    talk.update("s", max_context_messages=7)
    assert len(talk.context("s")) == 7
    assert len(talk.context("s", messages=9)) == 9
    with holdfast.open(":memory:", limits=holdfast.Limits(context_messages=2)) as small:
        small.sessions.create(id="s")
        say(small.sessions, *["user"] * 5)
        assert positions(small.sessions.context("s")) == [4, 5]


def test_an_empty_session_has_an_empty_context(talk):
    shown = talk.context("s")
    assert (shown.messages, shown.left_out, shown.tokens) == ((), 0, 0)
    with pytest.raises(errors.NotFound):
        talk.context("other")


def test_tokens_are_a_limit_too_and_both_hold(talk):
    say(talk, *["user"] * 9)
    assert positions(talk.context("s", tokens=4, count=one)) == [6, 7, 8, 9]
    assert positions(talk.context("s", messages=2, tokens=4, count=one)) == [8, 9]
    assert positions(talk.context("s", messages=6, tokens=4, count=one)) == [6, 7, 8, 9]
    heavy = talk.context("s", tokens=10, count=lambda m: 6 if m.position < 8 else 2)
    assert (positions(heavy), heavy.tokens) == ([7, 8, 9], 10)


def test_tokens_are_a_quarter_of_the_bytes_if_nobody_counts(talk):
    say(talk, ("user", "a" * 38), ("user", "é" * 19), ("user", ""), calls("c"))
    history = list(talk.history("s"))
    assert [estimated(m) for m in history[:3]] == [10, 10, 1]
    assert estimated(history[3]) > 10
    assert talk.context("s").tokens == sum(map(estimated, history))
    assert positions(talk.context("s", tokens=estimated(history[3]) + 1)) == [3, 4]


def test_a_counter_is_a_function_that_counts(talk):
    say(talk, "user")
    with pytest.raises(errors.WrongType, match="count: a function"):
        talk.context("s", count=3)
    for wrong in ("3", None, -1, 1.5, True):
        with pytest.raises(errors.WrongType, match="count: it gave"):
            talk.context("s", count=lambda message, wrong=wrong: wrong)
    with pytest.raises(ZeroDivisionError):
        talk.context("s", count=lambda message: 1 // 0)
    assert len(talk.context("s")) == 1


def test_system_messages_at_the_beginning_are_kept_and_counted(talk):
    say(talk, "system", "developer", *["user"] * 9, "system", "user")
    shown = talk.context("s", messages=5)
    assert positions(shown) == [1, 2, 11, 12, 13]
    assert shown.left_out == 8
    shown = talk.context("s", tokens=4, count=one)
    assert positions(shown) == [1, 2, 12, 13]
    assert positions(talk.context("s", messages=99)) == list(range(1, 14))


@pytest.mark.parametrize("most", [0, 1, 2, 3])
def test_system_messages_and_the_newest_are_shown_past_the_limits(talk, most):
    say(talk, "system", "system", *["user"] * 5)
    heads = list(range(1, min(most, 2) + 1))
    assert positions(talk.context("s", messages=most)) == [*heads, 7]
    assert positions(talk.context("s", tokens=most, count=one)) == [1, 2, 7]


def test_a_session_of_system_messages_alone_is_no_trap(talk):
    say(talk, *["system"] * 300)
    shown = talk.context("s", messages=120)
    assert (len(shown), shown.left_out) == (121, 179)
    assert positions(shown) == [*range(1, 121), 300]
    assert positions(talk.context("s", messages=300)) == list(range(1, 301))


def test_a_session_that_was_cleared_begins_anew(talk):
    say(talk, "system", "user")
    talk.clear("s")
    say(talk, "system", "user", "user")
    assert positions(talk.context("s", messages=2)) == [3, 5]


FORMS = [
    ({"tool_calls": [{"id": "a"}, {"id": "b"}]}, {"a", "b"}, set()),
    ({"tool_call_id": "a"}, set(), {"a"}),
    ([{"type": "text"}, {"type": "tool_use", "id": "a"}], {"a"}, set()),
    ([{"type": "tool_result", "tool_use_id": "a"}], set(), {"a"}),
    ({"content": [{"type": "tool_use", "id": "a"}]}, {"a"}, set()),
    ({"type": "function_call", "call_id": "a", "id": "fc"}, {"a"}, set()),
    ({"type": "function_call_output", "call_id": "a"}, set(), {"a"}),
    ([{"type": "computer_call", "call_id": "a"}], {"a"}, set()),
    ([{"type": "custom_tool_call_output", "call_id": "a"}], set(), {"a"}),
    (
        [
            {"type": "server_tool_use", "id": "a"},
            {"type": "web_search_tool_result", "tool_use_id": "a"},
        ],
        {"a"},
        {"a"},
    ),
    ("tool_call_id: a", set(), set()),
    ({"tool_calls": None, "tool_call_id": 3}, set(), set()),
    ({"tool_calls": [None, "a", {"id": ["a"]}, {}]}, set(), set()),
    ([None, 1, "a", ["tool_use"], {"type": ["tool_use"], "id": "a"}], set(), set()),
    ({"type": "message", "content": "a", "id": "a"}, set(), set()),
    (None, set(), set()),
]


@pytest.mark.parametrize(("kept", "called", "answered"), FORMS)
def test_calls_and_answers_are_known_in_their_usual_forms(kept, called, answered):
    places = [(kept, None)] + [(None, kept)] * isinstance(kept, dict)
    for content, metadata in places:
        message = Message(
            id="m",
            session="s",
            position=1,
            role="assistant",
            content=content,
            metadata=metadata,
            created_at=to_datetime(0),
        )
        assert (calls_in(message), answers_in(message)) == (called, answered)


def test_an_answer_is_not_shown_without_its_call(talk):
    say(talk, "user", calls("a", "b"), answer("a"), answer("b"), "assistant", "user")
    assert positions(talk.context("s", messages=5)) == [2, 3, 4, 5, 6]
    for most in (2, 3, 4):
        assert positions(talk.context("s", messages=most)) == [5, 6], most


def test_an_answer_far_from_its_call_moves_the_beginning_behind_it(talk):
    say(talk, calls("slow"), *["user"] * 5, answer("slow"), "user", "user")
    assert positions(talk.context("s", messages=8)) == [8, 9]
    assert positions(talk.context("s", messages=9)) == list(range(1, 10))


def test_a_call_that_waits_for_its_answer_is_shown(talk):
    say(talk, "user", "user", calls("a", "b"), answer("a"))
    assert positions(talk.context("s", messages=2)) == [3, 4]
    say(talk, answer("b"))
    say(talk, calls("c"))
    assert positions(talk.context("s", messages=1)) == [6]


def test_the_newest_answer_is_shown_with_its_call_past_the_limits(talk):
    say(talk, "system", "user", calls("a", "b"), answer("a"), answer("b"))
    for limits in ({"messages": 1}, {"tokens": 0, "count": one}, {"messages": 3}):
        assert positions(talk.context("s", **limits)) == [1, 3, 4, 5]


def test_an_answer_without_any_call_is_not_shown(talk):
    say(talk, "user", answer("nobody"))
    assert talk.context("s").messages == ()
    say(talk, "user")
    assert positions(talk.context("s")) == [3]


def test_ids_of_calls_may_be_used_again(talk):
    say(talk, "user", *[calls("a"), answer("a")] * 5)
    assert positions(talk.context("s", messages=5)) == [8, 9, 10, 11]


def spoken(chance):
    """A random conversation: calls in each form, answers soon, late, never, alone."""
    said, waiting = ["system"] * chance.randrange(3), []
    for number in range(chance.randrange(40)):
        kind = chance.choice("ucccaaax")
        if kind == "c":
            ids = [f"{number}-{n}" for n in range(chance.choice([1, 1, 2, 4]))]
            said.append(chance.choice(CALLING)(ids))
            waiting += ids
        elif kind == "a" and waiting:
            place = chance.choice([0, -1, -1])
            said.append(chance.choice(ANSWERING)(waiting.pop(place)))
        elif kind == "x" and chance.random() < 0.1:
            said.append(answer("nobody"))
        else:
            said.append(("user", "word " * chance.randrange(9)))
    return said


CALLING = [
    lambda ids: calls(*ids),
    lambda ids: ("assistant", [{"type": "tool_use", "id": id} for id in ids]),
    lambda ids: ("assistant", [{"type": "function_call", "call_id": i} for i in ids]),
]
ANSWERING = [
    answer,
    lambda call: ("user", [{"type": "tool_result", "tool_use_id": call}]),
    lambda call: ("user", [{"type": "function_call_output", "call_id": call}]),
]


def whole(messages):
    """Whether every answer in a row of messages has its call before it."""
    called = set()
    for message in messages:
        called |= calls_in(message)
        if not answers_in(message) <= called:
            return False
    return True


@pytest.mark.parametrize("part", range(4))
def test_the_longest_whole_window_that_fits_is_shown(part):
    compared = tight = 0
    limits = holdfast.Limits(page=50)
    with holdfast.open(":memory:", limits=limits) as store:
        for seed in range(part, 400, 4):
            chance = random.Random(seed)
            said, id = spoken(chance), f"s{seed}"
            store.sessions.create(id=id)
            say(store.sessions, *said, session=id)
            history = list(store.sessions.history(id))
            for _ in range(5):
                most, tokens = chance.randrange(50), chance.choice([None, 20, 90])
                shown = store.sessions.context(id, messages=most, tokens=tokens)
                wanted = longest(history, most, tokens)
                assert list(shown) == wanted, f"seed {seed}, {most}, {tokens}"
                assert shown.left_out == len(history) - len(wanted)
                assert shown.tokens == sum(map(estimated, wanted))
                compared += 1
                tight += len(wanted) < len(history)
    assert compared == 500
    assert tight > 200


def longest(history, most, tokens):
    """What is to be shown of a history, found by trying every beginning."""
    lead = 0
    while lead < min(most, len(history)) and history[lead].role == "system":
        lead += 1
    head, rest = history[:lead], history[lead:]
    tails = [rest[n:] for n in range(len(rest)) if whole(rest[n:])]
    fit = [
        tail
        for tail in tails
        if len(head) + len(tail) <= most
        and (tokens is None or sum(map(estimated, head + tail)) <= tokens)
    ]
    return head + (fit[0] if fit else tails[-1] if tails else [])


def test_more_messages_than_a_page_are_read_in_slices(monkeypatch):
    monkeypatch.setattr(contexts, "_SLICE", 9)
    with holdfast.open(":memory:", limits=holdfast.Limits(page=7)) as store:
        store.sessions.create(id="s", max_context_messages=40)
        say(store.sessions, *["system"] * 10, *["user"] * 90)
        wanted = [*range(1, 11), *range(71, 101)]
        assert positions(store.sessions.context("s")) == wanted


def test_a_long_session_is_read_as_little_as_a_short_one(monkeypatch):
    read = []
    real = SqliteTransaction.all

    def counted(self, name, /, **values):
        rows = real(self, name, **values)
        read.append((name, len(rows)))
        return rows

    monkeypatch.setattr(SqliteTransaction, "all", counted)
    with holdfast.open(":memory:") as store:
        for id, count in (("short", 100), ("long", 9_000)):
            store.sessions.create(id=id)
            say(store.sessions, "system", *["user"] * count, session=id)
        looks = {}
        for id in ("short", "long"):
            read.clear()
            for limits in ({}, {"messages": 10}, {"messages": 500, "tokens": 60}):
                store.sessions.context(id, **limits)
            looks[id] = list(read)
    assert looks["long"] == looks["short"]
    assert sum(rows for _, rows in looks["long"]) < 250


def test_a_summary_stands_in_for_what_is_left_out(talk, clock):
    say(talk, "system", *["user"] * 20)
    clock.advance(5)
    made = talk.summarize("s", 18, "They said much.")
    assert (made.session, made.upto, made.text) == ("s", 18, "They said much.")
    shown = talk.context("s", messages=5)
    assert positions(shown) == [1, 18, 19, 20, 21]
    assert shown.summary == made
    stand_in = shown[1]
    assert (stand_in.role, stand_in.content) == ("system", "They said much.")
    assert stand_in.metadata == {"summary": {"upto": 18}}
    assert stand_in.created_at == made.created_at
    assert shown.left_out == 17
    assert shown.tokens == sum(map(estimated, shown))
    assert talk.context("s", messages=21).summary is None
    assert len(list(talk.history("s"))) == 21


def test_the_summary_is_the_least_of_all_that_is_left_out(talk):
    say(talk, *["user"] * 30)
    for upto in (5, 10, 20, 25):
        talk.summarize("s", upto, f"up to {upto}")
    uptos = {
        most: talk.context("s", messages=most).summary.upto for most in (12, 11, 8)
    }
    assert uptos == {12: 20, 11: 20, 8: 25}
    assert positions(talk.context("s", messages=11)) == [20, *range(21, 31)]
    assert talk.context("s", messages=2).summary.upto == 25, "the furthest there is"
    assert talk.context("s", messages=26).summary.upto == 5


def test_a_summary_that_takes_room_may_call_for_a_further_one(talk):
    say(talk, *["user"] * 10)
    talk.summarize("s", 5, "up to 5")
    talk.summarize("s", 6, "up to 6")
    shown = talk.context("s", messages=5)
    assert shown.summary.upto == 6
    assert positions(shown) == [6, 7, 8, 9, 10]


def test_a_summary_that_takes_much_room_gives_way_to_the_next(talk):
    say(talk, *[("user", "word")] * 8)
    talk.summarize("s", 2, "long " * 30)
    talk.summarize("s", 3, "short")
    shown = talk.context("s", messages=7, tokens=25)
    assert shown.summary.upto == 3
    assert positions(shown)[1:] == [4, 5, 6, 7, 8]


def test_a_summary_that_does_not_fit_is_not_shown(talk):
    say(talk, *["user"] * 10)
    talk.summarize("s", 8, "long " * 100)
    shown = talk.context("s", tokens=20)
    assert (shown.summary, shown.left_out) == (None, 0)
    shown = talk.context("s", tokens=6)
    assert shown.summary is None
    assert shown.left_out > 0
    assert talk.context("s", messages=1).summary is None
    assert positions(talk.context("s", messages=2)) == [8, 10]


def test_a_summary_of_the_system_messages_alone_is_of_no_use(talk):
    say(talk, "system", "system", *["user"] * 10)
    talk.summarize("s", 2, "be nice")
    assert talk.context("s", messages=5).summary is None


def test_a_context_is_the_best_that_could_be(talk):
    """Held against all rows of messages that there are, each with each summary."""
    chance = random.Random(7)
    said = [("user", "x"), ("user", "red " * 5), ("system", "sky")]
    said += [("tool", content) for content, _, _ in TOOLED]
    model, summarized = Model(), 0
    for number in range(40):
        id = f"s{number}"
        talk.create(id=id)
        model.apply("", "sessions.create", {"id": id, "max_context_messages": None})
        count = chance.randint(1, 9)
        chosen = enumerate(chance.choices(said, k=count))
        drafts = [{"id": f"m{n}", "role": r, "content": c} for n, (r, c) in chosen]
        talk.extend(id, drafts)
        model.apply("", "sessions.extend", {"id": id, "messages": drafts})
        for _ in range(chance.randint(0, 4)):
            upto, text = chance.randint(1, count), chance.choice(["a", "b" * 90])
            talk.summarize(id, upto, text)
            model.apply(
                "", "sessions.summarize", {"id": id, "upto": upto, "text": text}
            )
        for _ in range(10):
            most, tokens = chance.choice([None, 2, 4, 9]), chance.randint(0, 60)
            wanted = context(model.of("")["sessions"][id], most, tokens)
            given = talk.context(id, messages=most, tokens=tokens)
            assert views.shown(given) == wanted, (drafts, most, tokens)
            summarized += wanted.summary is not None
    assert summarized > 50


def test_a_summary_up_to_the_same_message_is_replaced(talk, clock):
    say(talk, *["user"] * 3)
    first = talk.summarize("s", 2, "first")
    clock.advance(1)
    assert talk.summarize("s", 2, "first") == first
    second = talk.summarize("s", 2, "second")
    assert second.created_at > first.created_at
    assert list(talk.summaries("s")) == [second]


def test_summaries_are_listed_page_by_page(talk):
    say(talk, *["user"] * 9)
    for upto in (3, 9, 1, 7):
        talk.summarize("s", upto, f"up to {upto}")
    page = talk.summaries("s", limit=3)
    assert [summary.upto for summary in page] == [9, 7, 3]
    page = talk.summaries("s", limit=3, cursor=page.cursor)
    assert [summary.upto for summary in page] == [1]
    assert page.cursor is None
    with pytest.raises(errors.NotFound):
        talk.summaries("other")


def test_a_summary_needs_a_message_and_a_text(talk):
    with pytest.raises(errors.Refused, match="none at 1"):
        talk.summarize("s", 1, "nothing yet")
    say(talk, *["user"] * 3)
    for upto in (0, 4):
        with pytest.raises(errors.Refused, match="messages 1 to 3"):
            talk.summarize("s", upto, "where?")
    for text in ("", None, 3, b"x"):
        with pytest.raises(errors.WrongType):
            talk.summarize("s", 1, text)
    for text in ("\ud800", "a\x00b"):
        with pytest.raises(errors.NotStorable):
            talk.summarize("s", 1, text)
    with pytest.raises(errors.NotFound):
        talk.summarize("other", 1, "who?")
    assert list(talk.summaries("s")) == []


def test_a_summary_may_be_as_long_as_a_message():
    limits = holdfast.Limits(text_bytes=10, value_bytes=100)
    with holdfast.open(":memory:", limits=limits) as store:
        store.sessions.create(id="s")
        say(store.sessions, "user")
        store.sessions.summarize("s", 1, "x" * 90)
        with pytest.raises(errors.TooLarge, match="value_bytes"):
            store.sessions.summarize("s", 1, "x" * 101)


def test_only_who_holds_the_session_summarizes_it(store, talk):
    say(talk, "user")
    with store.lease("sessions", "s", seconds=30) as lease:
        with pytest.raises(errors.Held):
            talk.summarize("s", 1, "mine")
        lease.store.sessions.summarize("s", 1, "ours")
    assert talk.summaries("s")[0].text == "ours"


def test_a_summary_goes_with_the_messages_that_it_tells_of(talk):
    say(talk, *["user"] * 5)
    for upto in (2, 4, 5):
        talk.summarize("s", upto, f"up to {upto}")
    talk.pop("s")
    assert [summary.upto for summary in talk.summaries("s")] == [4, 2]
    say(talk, "user")
    talk.pop("s")
    talk.pop("s")
    assert [summary.upto for summary in talk.summaries("s")] == [2]
    talk.clear("s")
    assert list(talk.summaries("s")) == []
    say(talk, *["user"] * 5)
    assert talk.context("s", messages=2).summary is None


def test_a_deleted_session_leaves_no_summary(talk):
    say(talk, *["user"] * 5)
    talk.summarize("s", 3, "old")
    talk.delete("s")
    talk.create(id="s")
    say(talk, *["user"] * 5)
    assert list(talk.summaries("s")) == []


def test_a_context_is_had_within_a_transaction_and_as_of_a_moment(store, talk):
    say(talk, *["user"] * 9)
    with store.transaction() as tx:
        tx.sessions.summarize("s", 6, "old")
        within = tx.sessions.context("s", messages=4)
    then = store.moment()
    talk.summarize("s", 6, "new")
    say(talk, *["user"] * 9)
    talk.clear("s")
    assert talk.context("s").messages == ()
    past = store.as_of(then).sessions.context("s", messages=4)
    assert past == within
    assert past.summary.text == "old"


@pytest.fixture
def warned(caplog):
    """The warnings of holdfast's own log."""
    caplog.set_level(logging.WARNING, logger="holdfast")
    return lambda: caplog.messages


def quota(**limits):
    store = holdfast.open(":memory:", limits=holdfast.Limits(**limits))
    store.sessions.create(id="s")
    return store


def test_a_session_past_its_messages_is_warned_of_once(warned):
    with quota(session_messages=10) as store:
        say(store.sessions, *["user"] * 10)
        assert warned() == []
        say(store.sessions, *["user"] * 5)
        assert len(warned()) == 1
        assert "'s' has 11 messages" in warned()[0]
        assert "limits.session_messages (10)" in warned()[0]
        for _ in range(50):
            store.sessions.append("s", "user", "more")
        assert len(warned()) == 1
        store.sessions.clear("s")
        say(store.sessions, *["user"] * 11)
        assert len(warned()) == 2


@pytest.mark.parametrize("seed", range(30))
def test_a_session_past_its_bytes_is_warned_of_once(seed, warned):
    chance = random.Random(seed)
    big = chance.choice([0, 0.01, 0.2, 1])
    size = written = 0
    with quota(session_bytes=10_000) as store:
        for _ in range(300):
            text = (
                "é" * chance.randrange(300, 900) if chance.random() < big else "x" * 60
            )
            store.sessions.append("s", "user", text, metadata={"a": 1})
            size += len(text.encode()) + 2 + len('{"a":1}')
            written += 1
            if warned():
                break
        assert len(warned()) == 1
        assert size > 10_000, "not before"
        assert "bytes by now" in warned()[0]
        assert "limits.session_bytes (10000)" in warned()[0]
        assert written <= 256, "and no later than at twice as many messages"
        for _ in range(300):
            store.sessions.append("s", "user", "x" * chance.choice([1, 60, 900]))
        assert len(warned()) == 1


def test_one_message_past_all_bytes_is_told_at_once(warned):
    with quota(session_bytes=1_000) as store:
        store.sessions.append("s", "user", "x" * 1_001)
        assert len(warned()) == 1
        store.sessions.append("s", "user", "x" * 1_001)
        assert len(warned()) == 1


def reply_with(sessions, text):
    with sessions.reply("s") as reply:
        reply.add(text)


def test_replies_count_as_messages_do(warned):
    with quota(session_messages=10) as store:
        say(store.sessions, *["user"] * 10)
        reply_with(store.sessions, "hm")
        assert len(warned()) == 1
        assert "'s' has 11 messages" in warned()[0]
        reply_with(store.sessions, "hm")
        say(store.sessions, "user")
        assert len(warned()) == 1


@pytest.mark.parametrize("seed", range(10))
def test_a_reply_past_the_bytes_is_warned_of_once(seed, warned):
    chance = random.Random(seed)
    size = 0
    with quota(session_bytes=10_000) as store:
        for _ in range(130):
            text = "x" * chance.choice([60, 60, 60, 900])
            if chance.random() < 0.5:
                reply_with(store.sessions, text)
            else:
                store.sessions.append("s", "user", text)
            size += len(text) + 2
            assert len(warned()) <= 1
            assert size > 10_000 or not warned(), "not before"
        assert len(warned()) == 1


def test_bytes_are_looked_at_seldom(monkeypatch):
    looks = []
    monkeypatch.setattr(quotas, "_watch_bytes", lambda tx, added: looks.append(added))
    with quota() as store:
        say(store.sessions, *["user"] * 9_000)
        store.sessions.append("s", "user", "x" * 700_000)
        say(store.sessions, *["user"] * 2_000)
        store.sessions.append("s", "user", "x" * 700_000)
    assert [look.count for look in looks] == [*(2**n for n in range(4, 14)), 9_001]


def test_a_fork_has_the_newest_summary_of_what_it_shares(talk):
    say(talk, *["user"] * 10)
    for upto in (2, 4, 8):
        talk.summarize("s", upto, f"up to {upto}")
    talk.fork("s", 6, new_id="f")
    assert [summary.upto for summary in talk.summaries("f")] == [4]
    shown = talk.context("f", messages=3)
    assert positions(shown) == [4, 5, 6]
    assert shown.summary.session == "f"
    talk.clear("s")
    assert talk.context("f", messages=3) == shown


def test_an_amended_message_takes_the_summaries_of_it_along(talk):
    say(talk, *["user"] * 5)
    amended = talk.messages("s", 1, before=4)[0]
    for upto in (2, 3, 4):
        talk.summarize("s", upto, f"up to {upto}")
    talk.amend("s", amended.id, "otherwise")
    assert [summary.upto for summary in talk.summaries("s")] == [2]
