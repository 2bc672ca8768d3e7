"""Search: what is found, by whom, in what order, and that it is never stale."""

import re
import sqlite3
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import holdfast
from conftest import store_on
from cutting import Knife
from holdfast import errors
from holdfast.searching import finding
from holdfast.searching.query import Matcher, read_query
from holdfast.searching.words import folded, marked, words


def said(hits):
    """What was found, as its kind and its marked piece."""
    return [(hit.kind, hit.marked("[", "]")) for hit in hits]


def furnish(store):
    store.sessions.create("Plan the week", id="plan")
    store.sessions.append("plan", "user", "Where did we stop? At the flight to Málaga.")
    store.sessions.append("plan", "assistant", "I'll book the flight.", message_id="m")
    store.tasks.create("Book a hotel", id="hotel")
    store.tasks.start("hotel")
    store.tasks.complete("hotel", {"id": "zzz", "note": "near the Flight museum"})


def test_everything_with_text_is_found_whatever_its_case_and_accents(store):
    furnish(store)
    assert said(store.search("FLÍGHT"))[0] == ("message", "I'll book the [flight].")
    assert {hit.kind for hit in store.search("flight")} == {"message", "task"}
    assert said(store.search("malaga")) == [
        ("message", "Where did we stop? At the flight to [Málaga].")
    ]
    assert said(store.search("week")) == [("session", "Plan the [week]")]
    assert said(store.search("zzz")) == []


def test_a_hit_has_its_record_and_its_place(store):
    furnish(store)
    (hit,) = store.search('"book the flight"')
    assert (hit.kind, hit.id) == ("message", "m")
    assert hit.record["session"] == "plan"
    assert (hit.record["position"], hit.record["role"]) == (2, "assistant")
    assert hit.record["created_at"] == store.sessions.messages("plan")[1].created_at
    assert [hit.piece[a:b] for a, b in hit.matches] == ["book the flight"]
    (task,) = store.search("museum")
    assert (task.kind, task.id, task.record["status"]) == ("task", "hotel", "completed")


QUERIES = {
    "flight book": {"I'll book the flight."},
    '"the flight" book*': {"I'll book the flight."},
    '"ll book the fl*"': {"I'll book the flight."},
    '"ll book the fl"*': {"I'll book the flight."},
    '"ll boo* the flight"': set(),
    "fli*": {"I'll book the flight.", "Where did we stop? At the flight to Málaga."},
    "flight -malaga": {"I'll book the flight."},
    'flight -"the flight"': set(),
    "malaga OR book": {
        "I'll book the flight.",
        "Where did we stop? At the flight to Málaga.",
    },
    "flight stop OR i'll": {
        "I'll book the flight.",
        "Where did we stop? At the flight to Málaga.",
    },
    '"stop at the"': {"Where did we stop? At the flight to Málaga."},
    '"stop the at"': set(),
    "flights": set(),
    'flight "unclosed': set(),
    "OR flight -OR": {
        "I'll book the flight.",
        "Where did we stop? At the flight to Málaga.",
    },
}


@pytest.mark.parametrize("query", QUERIES)
def test_the_language_says_what_it_says(store, query):
    furnish(store)
    found = store.search(query, kinds=["message"])
    assert {hit.record["content"] for hit in found} == QUERIES[query]


def test_kinds_and_sessions_narrow_it_down(store):
    furnish(store)
    assert {h.kind for h in store.search("flight", kinds=["tasks"])} == {"task"}
    assert {h.kind for h in store.search("flight", kinds=["sessions"])} == {"message"}
    assert store.sessions.search("flight") == store.search("flight", kinds=["sessions"])
    assert store.search("week", kinds=["message"]) == ()
    assert len(store.search("flight", limit=1)) == 1


@pytest.mark.parametrize(
    ("query", "options", "error"),
    [
        ("", {}, errors.Refused),
        ("!? -- *", {}, errors.Refused),
        ("-only -not", {}, errors.Refused),
        ("OR", {}, errors.Refused),
        ("a\x00b", {}, errors.NotStorable),
        ("\ud800", {}, errors.NotStorable),
        ("word " * 10_000, {}, errors.TooLarge),
        ("a " * 101, {}, errors.TooLarge),
        (7, {}, errors.WrongType),
        ("word", {"limit": 0}, errors.WrongType),
        ("word", {"kinds": ["leases"]}, errors.Refused),
        ("word", {"kinds": ["nothing"]}, errors.Refused),
        ("word", {"kinds": "tasks"}, errors.WrongType),
    ],
)
def test_what_cannot_be_looked_for_is_said(store, query, options, error):
    with pytest.raises(error):
        store.search(query, **options)


def test_scripts_without_spaces_are_found_by_any_part(store):
    store.sessions.create(id="s")
    for content in (
        "東京タワーへ行きたい",
        "京都と東寺",
        "ไปกรุงเทพ",
        "한국어 문장",
        "हिन्दी शब्द",
    ):
        store.sessions.append("s", "user", content)
    assert [m for _, m in said(store.search("東京"))] == ["[東京]タワーへ行きたい"]
    assert [m for _, m in said(store.search("กรุง"))] == ["ไป[กรุง]เทพ"]
    assert [m for _, m in said(store.search("한국어"))] == ["[한국어] 문장"]
    assert [m for _, m in said(store.search("हिन्दी"))] == ["[हिन्दी] शब्द"]


def test_only_what_people_wrote_is_searched(store):
    store.sessions.create(id="s")
    call = {
        "type": "tool_use",
        "id": "toolu_1",
        "name": "lookup",
        "input": {"q": "cat"},
    }
    store.sessions.append("s", "assistant", [call, {"type": "text", "text": "a dog"}])
    assert len(store.search("cat dog lookup")) == 1
    for mark in ("tool_use", "toolu_1", "input", "text", "q"):
        assert store.search(mark) == ()


def test_an_owner_finds_their_own_alone(store):
    for owner in ("", "ada", "bob"):
        mine = store.owned_by(owner)
        mine.sessions.create(f"secret of {owner}", id="s")
        mine.sessions.append("s", "user", f"the secret word {owner}")
    for owner in ("", "ada", "bob"):
        found = store.owned_by(owner).search("secret")
        assert {hit.record["owner"] for hit in found} == {owner}
        assert len(found) == 2
    assert store.owned_by("ada").search("bob") == ()


def test_what_was_just_written_is_found_and_what_is_gone_is_not(store):
    store.sessions.create("one", id="s")
    for number in range(5):
        store.sessions.append("s", "user", f"number {number}")
        assert len(store.search("number")) == number + 1
    store.sessions.update("s", title="two")
    assert (store.search("one"), len(store.search("two"))) == ((), 1)
    store.sessions.pop("s")
    assert len(store.search("number")) == 4
    store.sessions.clear("s")
    assert store.search("number") == ()
    store.sessions.append("s", "user", "number again")
    store.sessions.delete("s")
    assert store.search("number") == store.search("two") == ()


def test_rows_that_wait_to_be_swept_are_out_of_sight(store, monkeypatch):
    from holdfast.kinds import histories  # noqa: PLC0415

    store.sessions.create(id="s")
    store.sessions.extend(
        "s", [{"role": "user", "content": f"number {n}"} for n in range(40)]
    )
    assert len(store.search("number", limit=100)) == 40
    monkeypatch.setattr(histories, "_SWEPT_AT_ONCE", 1)
    store.sessions.clear("s")
    assert store.search("number") == ()


def test_what_is_out_of_sight_hides_nothing_older(tmp_path, monkeypatch):
    from holdfast.kinds import histories  # noqa: PLC0415

    monkeypatch.setattr(histories, "_SWEPT_AT_ONCE", 1)
    monkeypatch.setattr(finding, "_AT_ONCE", 8)
    for engine in ("file", "postgres"):
        with store_on(engine, tmp_path) as target:
            with holdfast.open(target) as store:
                store.sessions.create(id="old")
                for number in range(3):
                    store.sessions.append("old", "user", f"number {number}, kept")
                store.sessions.create(id="new")
                said = [{"role": "user", "content": f"number {n}"} for n in range(40)]
                store.sessions.extend("new", said)
                store._core.engine.tidy = None  # as if killed before it tidied up
                store.sessions.clear("new")
                for limit in (1, 3, 5):
                    found = store.search("number", limit=limit)
                    assert {hit.record["session"] for hit in found} == {"old"}
                    assert len(found) == min(limit, 3)
            with holdfast.open(target, read_only=True) as store:
                assert len(store.search("number")) == 3


def test_what_forks_share_is_seen_in_whoever_still_has_it(store):
    store.sessions.create(id="s")
    store.sessions.append("s", "user", "shared word")
    store.sessions.append("s", "user", "later word")
    store.sessions.fork("s", at=1, new_id="f")
    store.sessions.append("f", "user", "own word")
    seen = {h.record["content"]: h.record["session"] for h in store.search("word")}
    assert seen == {"shared word": "s", "later word": "s", "own word": "f"}
    store.sessions.delete("s")
    seen = {h.record["content"]: h.record["session"] for h in store.search("word")}
    assert seen == {"shared word": "f", "own word": "f"}
    store.sessions.delete("f")
    assert store.search("word") == ()


def test_the_past_is_searched_as_it_was(store):
    furnish(store)
    then = store.moment()
    before = store.search("flight")
    store.sessions.update("plan", title="Another title")
    store.sessions.append("plan", "user", "one more flight")
    store.sessions.pop("plan")
    store.sessions.pop("plan")
    store.tasks.update("hotel", description="a flight")
    past = store.as_of(then)
    assert past.search("flight") == before
    assert said(past.search("week")) == [("session", "Plan the [week]")]
    assert past.search("another") == past.search('"one more"') == ()
    assert len(store.search("flight")) == 2
    store.sessions.delete("plan")
    assert store.as_of(then).search("flight") == before


@pytest.mark.parametrize("ending", ["clear", "delete"])
def test_what_a_session_shared_is_found_in_its_past(store, ending):
    sessions = store.sessions
    sessions.create(id="s")
    drafts = [{"role": "user", "content": f"word {n}", "id": f"m{n}"} for n in "123"]
    sessions.extend("s", drafts)
    sessions.fork("s", new_id="f")
    sessions.amend("s", "m2", "a word of its own")
    then, before = store.moment(), store.search("word")
    seen = {(hit.record["session"], hit.id) for hit in before}
    assert seen == {("s", "m1"), ("s", "m2"), ("s", "m3"), ("f", "m2")}
    getattr(sessions, ending)("s")
    assert store.as_of(then).search("word") == before
    assert {hit.record["session"] for hit in store.search("word")} == {"f"}


def test_a_search_inside_of_an_open_transaction_is_refused(store):
    if not isinstance(store, holdfast.Store):
        return
    with store.transaction(), pytest.raises(errors.Refused, match="inside"):
        store.search("word")


def test_the_best_comes_first_and_of_equals_the_newest(store):
    store.sessions.create(id="s")
    for content in ("cat dog bird fish", "cat cat", "cat dog bird", "cat dog bird"):
        store.sessions.append("s", "user", content)
    found = [hit.record["position"] for hit in store.search("cat")]
    assert found == [2, 4, 3, 1]


def test_a_match_ends_after_the_accents_that_stand_apart(store):
    store.sessions.create(id="s")
    for text in ("Cafe\u0301", "the cafe\u0301\u0323, closed", "東 a\u0301 京"):
        store.sessions.append("s", "user", text)
    assert {mark for _, mark in said(store.search("café OR á OR 東"))} == {
        "[Cafe\u0301]",
        "the [cafe\u0301\u0323], closed",
        "[東] [a\u0301] 京",
    }


def test_a_long_text_shows_the_piece_with_most_of_the_words(store):
    store.sessions.create(id="s")
    text = (
        "alpha. " + "filler words here. " * 400 + "beta and alpha meet. " + "x " * 400
    )
    store.sessions.append("s", "user", text)
    (hit,) = store.search("alpha beta")
    assert len(hit.piece) < 200
    assert hit.piece.startswith("…")
    assert [hit.piece[a:b] for a, b in hit.matches] == ["beta", "alpha"]


def test_more_than_a_page_of_candidates_is_looked_through(store, monkeypatch):
    monkeypatch.setattr(finding, "_AT_ONCE", 3)
    monkeypatch.setattr(finding, "_READ_AT_ONCE", 2)
    store.sessions.create(id="s")
    said = ["b a"] * 10 + ["a b"] + ["b a"] * 10
    store.sessions.extend("s", [{"role": "user", "content": text} for text in said])
    (hit,) = store.search('"a b"', limit=1)
    assert hit.record["position"] == 11
    monkeypatch.setattr(finding, "MOST", 6)
    assert store.search('"a b"') == ()


def test_what_has_changed_since_does_not_keep_a_search_from_what_has_not(
    store, monkeypatch
):
    store.sessions.create(id="s")
    said = ["a b"] + ["b a"] * 5
    store.sessions.extend("s", [{"role": "user", "content": text} for text in said])
    for number in range(8):
        store.tasks.create("a task", id=f"t{number}")
    then = store.moment()
    for number in range(8):
        store.tasks.update(f"t{number}", description="another")
    store.sessions.create(id="other")
    store.sessions.extend("other", [{"role": "user", "content": "b a"}] * 9)
    drafts = [{"role": "user", "content": "c", "id": f"m{n}"} for n in range(9)]
    store.sessions.extend("other", drafts)
    middle = store.moment()
    for draft in drafts:
        store.sessions.amend("other", draft["id"], "d")
    monkeypatch.setattr(finding, "_AT_ONCE", 3)
    monkeypatch.setattr(finding, "MOST", 6)
    (hit,) = store.as_of(then).search('"a b"', limit=1)
    assert hit.record["position"] == 1
    assert store.as_of(middle).search('"a b"', limit=1) == ()  # among too many others
    monkeypatch.setattr(finding, "MOST", 18)
    (hit,) = store.as_of(middle).search('"a b"', limit=1)
    assert hit.record["position"] == 1


# What belongs to a file, or to both engines side by side.


def test_a_store_that_is_open_read_only_looks_at_what_the_index_lacks(tmp_path):
    for engine in ("file", "postgres"):
        with store_on(engine, tmp_path) as target:
            with holdfast.open(target) as store:
                furnish(store)
                ids = {hit.id for hit in store.as_of(store.moment()).search("flight")}
                store.rebuild()
                store.sessions.append("plan", "user", "a later flight", message_id="n")
                store.sessions.update("plan", title="changed")
                store.run(lambda tx: tx._tx.run("derived_drop", name="nobody"))
            with holdfast.open(target, read_only=True) as reader:
                assert {hit.id for hit in reader.search("flight")} == ids | {"n"}
                assert reader.search("week") == ()
                assert len(reader.search("changed")) == 1
            with holdfast.open(target) as store:
                store.run(lambda tx: tx._tx.run("derived_drop", name="search"))
            with holdfast.open(target, read_only=True) as reader:
                assert {hit.id for hit in reader.search("flight")} == ids | {"n"}
                assert len(reader.as_of(reader.moment() - 1).search("week")) == 1


def test_without_an_index_every_row_of_the_owner_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(finding, "_AT_ONCE", 3)
    monkeypatch.setattr(finding, "MOST", 6)
    for engine in ("file", "postgres"):
        with store_on(engine, tmp_path) as target:
            with holdfast.open(target) as store:
                store.sessions.create(id="s")
                for text in ("a rare word", "best", "one of the best", "x", "x"):
                    store.sessions.append("s", "user", text)
                for talk in (store.sessions, store.owned_by("ada").sessions):
                    talk.create(id="t")
                    said = [{"role": "user", "content": f"word {n}"} for n in range(9)]
                    talk.extend("t", said)
            with holdfast.open(target, read_only=True) as store:
                assert [hit.record["session"] for hit in store.search("rare")] == ["s"]
                (hit,) = store.search("word", limit=1)
                assert (hit.record["session"], hit.record["position"]) == ("t", 9)
                (hit,) = store.search("best", limit=1)
                assert hit.piece == "best"
                past = store.as_of(store.moment())
                assert [hit.piece for hit in past.search("rare")] == ["a rare word"]


def test_an_append_pays_nothing(store):
    knife = Knife(store if isinstance(store, holdfast.Store) else store._target)
    store.sessions.create(id="s")
    with knife.before(0):
        store.sessions.append("s", "user", "hello")
    before = list(knife.seen)
    assert len(store.search("hello")) == 1
    with knife.before(0):
        store.sessions.append("s", "user", "hello")
    assert knife.seen == before
    assert not any("derived" in text for text in before)


ALPHABET = "ab AB éÉ'\"*-()OR東京ß \n\t.,_1½\u017fﬁ़ि"
TEXTS = st.lists(st.text(ALPHABET, max_size=12), min_size=1, max_size=8)
ANYTHING = st.one_of(st.text(max_size=40), st.text(ALPHABET, max_size=20))


def plainly(text):
    """The words of a text, found one character after another."""
    return words(unicodedata.normalize("NFD", text))


@given(ANYTHING)
def test_folding_does_not_depend_on_how_a_text_is_composed(text):
    assert words(unicodedata.normalize("NFC", text)) == plainly(text)
    assert all(not re.search(r"[\s\"'*():|&!<>\\]", word) for word in words(text))


LONG = st.sampled_from(["x" * 199, "x" * 200, "x" * 201, "é" * 450, "東" * 201])


@given(st.lists(st.one_of(ANYTHING, LONG), max_size=8).map(" ".join))
def test_what_is_indexed_is_each_word_behind_the_mark(text):
    assert marked(text, "mark") == " ".join(f"mark{word}" for word in words(text))
    assert all(len(word) <= 200 for word in words(text))


def test_every_character_is_folded_by_itself():
    every = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    assert folded("".join(every)) == "".join(map(folded, every))


@given(ANYTHING, ANYTHING)
def test_matching_a_text_is_what_its_words_say(query, text):
    try:
        asked = read_query(query)
    except errors.HoldfastError:
        return
    has = words(text)

    def there(term):
        count = len(term.words)
        for place in range(len(has) - count + 1):
            *first, last = has[place : place + count]
            fits = last.startswith if term.begins else last.__eq__
            if tuple(first) == term.words[:-1] and fits(term.words[-1]):
                return True
        return False

    wanted = all(any(map(there, group)) for group in asked.all)
    wanted = wanted and not any(map(there, asked.none))
    found = Matcher(asked).places(folded(text))
    assert (found is not None) == wanted


def test_both_engines_find_the_same_whatever_is_typed(tmp_path):
    with (
        store_on("file", tmp_path) as path,
        store_on("postgres", tmp_path) as url,
        holdfast.open(path) as one,
        holdfast.open(url) as other,
    ):

        @settings(max_examples=80, deadline=None)
        @given(TEXTS, st.lists(ANYTHING, min_size=1, max_size=6))
        def find_alike(texts, queries):
            said = [{"role": "user", "content": text} for text in texts if text]
            for store in (one, other):
                store.sessions.create(id="s")
                store.sessions.extend("s", said)
            for query in queries:
                assert outcome(one, query) == outcome(other, query)
            for store in (one, other):
                store.sessions.delete("s")

        find_alike()


def outcome(store, query):
    """What a search gives: the places it found with their scores, or the error."""
    try:
        found = store.search(query, limit=1000)
    except (errors.BadInput, errors.Refused) as error:
        return type(error)
    return [(hit.record.get("position"), hit.score, hit.piece) for hit in found]


def test_the_index_is_a_plain_table_of_sqlites(tmp_path):
    """Any program that has SQLite's FTS5 can still check and copy the file."""
    path = str(tmp_path / "agent.db")
    with holdfast.open(path) as store:
        furnish(store)
        store.search("flight")
    with sqlite3.connect(path) as plain:
        assert plain.execute("pragma integrity_check").fetchall() == [("ok",)]
    plain.close()


def test_two_marks_that_are_the_same_by_chance_show_nobody_elses(store, monkeypatch):
    from holdfast.searching import index  # noqa: PLC0415

    for module in (index, finding):
        monkeypatch.setattr(module, "mark_of", lambda owner, table: "aaaaa")
    for owner in ("ada", "bob"):
        mine = store.owned_by(owner)
        mine.sessions.create("secret", id="s")
        mine.sessions.append("s", "user", f"the secret of {owner}")
    for owner in ("ada", "bob"):
        found = store.owned_by(owner).search("secret")
        assert [hit.record["owner"] for hit in found] == [owner, owner]
        assert {hit.kind for hit in found} == {"session", "message"}


def test_text_that_no_table_has_is_refused():
    sql = """
-- tables --
-- A note.
create table note (
    no integer primary key,
    owner text not null,
    id text not null,
    size integer not null,
    unique (owner, id)
) strict;
"""
    for column in ("size", "body"):
        with pytest.raises(errors.Refused, match=f"no table has text in .*{column}"):
            holdfast.kind("notes", sql=sql, text=[column])
