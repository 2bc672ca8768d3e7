"""Items: documents by namespace and key, found by their fields, meaning and words."""

import itertools
import math
import random

import pytest

import holdfast
from holdfast import errors
from holdfast.kinds.item_filters import meets
from holdfast.kinds.item_places import (
    id_of_place,
    namespace_of,
    span_of,
    text_of_namespace,
)
from holdfast.limits import Limits

ADA = ("users", "ada")
LABELS = [
    "a",
    "b",
    "!",
    '"',
    " ",
    "a!",
    'a"',
    '"21',
    "*",
    ".",
    "é",
    "\x01",
    "\U0010ffff",
]


def keys(page):
    return [item.key for item in page]


def test_a_document_comes_back_as_it_was_put(store):
    value = {"likes": ["tea", None, 1.5, True], "deep": {"a": {"b": ""}}}
    put = store.items.put(ADA, "prefs", value)
    got = store.items.get(list(ADA), "prefs")
    assert got == put
    assert (got.namespace, got.key, got.value) == (ADA, "prefs", value)
    assert (got.ends_at, got.ttl_seconds) == (None, None)
    with pytest.raises(errors.NotFound):
        store.items.get(ADA, "other")


def test_what_was_there_is_replaced_and_its_first_time_kept(store, clock):
    first = store.items.put(ADA, "k", {"n": 1})
    clock.advance(5)
    second = store.items.put(ADA, "k", {"n": 2})
    assert (second.id, second.created_at) == (first.id, first.created_at)
    assert second.updated_at > first.updated_at
    assert store.items.get(ADA, "k").value == {"n": 2}
    assert len(store.items.list(ADA)) == 1


def test_many_are_put_together_and_of_two_the_last_counts(store):
    given = [{"namespace": ADA, "key": key, "value": {"n": n}}
             for n, key in enumerate("abca")]  # fmt: skip
    put = store.items.put_each(given)
    assert [item.value["n"] for item in put] == [3, 1, 2, 3]
    places = [(ADA, key) for key in "abcd"]
    found = store.items.get_each(places)
    assert [item and item.value["n"] for item in found] == [3, 1, 2, None]
    assert store.items.delete_each(places) == 3
    assert store.items.get_each(places) == (None,) * 4


def test_of_many_all_are_put_or_none(store):
    good = {"namespace": ADA, "key": "good", "value": {}}
    store.items.put(ADA, "leased", {})
    store.leases.acquire("items", id_of_place("!users!ada!", "leased"),
                         holder="other", seconds=9)  # fmt: skip
    for bad in ({**good, "value": {"a": {1}}}, {**good, "key": "leased"}):
        with pytest.raises((errors.NotStorable, errors.Held)):
            store.items.put_each([good, bad])
    assert store.items.get_each([(ADA, "good")]) == (None,)


def test_a_lease_on_an_item_is_respected(store):
    id = store.items.put(ADA, "k", {"n": 1}, ttl_seconds=60).id
    lease = store.leases.acquire("items", id, holder="me", seconds=9)
    for write in (
        lambda: store.items.put(ADA, "k", {"n": 2}),
        lambda: store.items.delete(ADA, "k"),
        lambda: store.items.delete_each([(ADA, "k")]),
    ):
        with pytest.raises(errors.Held):
            write()
    assert store.items.refresh([(ADA, "k")]) == 1
    store.holding(lease).items.put(ADA, "k", {"n": 2})
    assert store.items.get(ADA, "k").value == {"n": 2}


def test_a_namespace_has_what_is_within_it_and_nothing_beside(store):
    for namespace in (
        (),
        ("users",),
        ADA,
        (*ADA, "x"),
        ("users", "adam"),
        ("users!ada",),
    ):
        store.items.put(namespace, "k", {})
    found = {item.namespace for item in store.items.list(ADA)}
    assert found == {ADA, (*ADA, "x")}
    assert len(store.items.list()) == 6
    assert len(store.items.list(("users",))) == 4


def test_places_are_told_apart_sort_and_begin_as_their_labels_do():
    paths = [path for n in range(3) for path in itertools.product(LABELS, repeat=n)]
    texts = [text_of_namespace(path) for path in paths]
    assert [namespace_of(text) for text in texts] == paths
    in_order = sorted(paths)
    assert [text_of_namespace(path) for path in in_order] == sorted(texts)
    for path in paths[:: len(paths) // 40]:
        above, below = span_of(text_of_namespace(path))
        within = {other for other, text in zip(paths, texts, strict=True)
                  if above < text < below}  # fmt: skip
        assert within == {other for other in paths if other[: len(path)] == path}
    ids = {id_of_place(text, key) for text in texts for key in LABELS}
    assert len(ids) == len(texts) * len(LABELS)


def test_any_label_and_key_can_be_kept(store):
    for label in LABELS:
        store.items.put((label, "x"), label, {"of": label})
    assert {item.value["of"] for item in store.items.list()} == set(LABELS)
    for label in LABELS:
        assert store.items.get((label, "x"), label).value == {"of": label}
    found = store.items.namespaces()
    assert list(found) == sorted((label, "x") for label in LABELS)


@pytest.mark.parametrize("within", [("n",), ()])
def test_a_list_goes_from_the_last_put_page_by_page(store, clock, within):
    for n in range(7):
        store.items.put(
            ("n", "ab"[n % 2]) if within == () else ("n",), str(n), {"n": n}
        )
        clock.advance(n % 3)
    store.items.put(("m",), "other", {})
    seen, cursor = [], None
    while True:
        page = store.items.list(("n",), limit=3, cursor=cursor)
        seen += keys(page)
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == list("6543210")


def test_a_list_has_what_its_filter_means(store):
    values = [{"n": n, "kind": "even" if n % 2 == 0 else "odd"} for n in range(10)]
    store.items.put_each(
        [{"namespace": ADA, "key": str(value["n"]), "value": value} for value in values]
    )
    page = store.items.list(ADA, where={"kind": "even", "n": {"$gt": 1}}, limit=2)
    rest = store.items.list(
        ADA, where={"kind": "even", "n": {"$gt": 1}}, cursor=page.cursor
    )
    assert keys(page) + keys(rest) == ["8", "6", "4", "2"]
    assert rest.cursor is None


@pytest.mark.parametrize(
    ("value", "where", "meant"),
    [
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": [1]}, {"a": [True]}, False),
        ({}, {"a": None}, True),
        ({"a": None}, {"a": {"$eq": None}}, True),
        ({}, {"a": {"$ne": 1}}, True),
        ({}, {"a": {"$gt": 0}}, False),
        ({"a": "b"}, {"a": {"$gt": "a"}}, True),
        ({"a": "5"}, {"a": {"$gt": 1}}, False),
        ({"a": True}, {"a": {"$gte": 1}}, False),
        ({"a": 2}, {"a": {"$gte": 2, "$lt": 3}}, True),
        ({"a": 3}, {"a": {"$lte": 2}}, False),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, True),
        ({"a": {"b": 1, "c": 2}}, {"a": {"$eq": {"b": 1}}}, False),
        ({"a": [1, 2]}, {"a": [1, 2]}, True),
        ({"a": [1, 2]}, {"a": [1]}, False),
    ],
)  # fmt: skip
def test_a_filter_compares_as_json_does(value, where, meant):
    assert meets(value, where) is meant


@pytest.mark.parametrize(
    "where",
    [{"a": {"$in": [1]}}, {"a": {"b": {"$gt": 1, "c": 2}}}, {"a": {"$gt": 1, "b": 2}}],
)
def test_what_is_no_operator_is_refused_however_deep(where):
    with holdfast.open(":memory:") as store:
        store.items.put(ADA, "k", {"a": {"b": 5, "c": 2}})
        with pytest.raises(errors.WrongType, match="operator"):
            store.items.list(ADA, where=where)


def test_namespaces_are_listed_by_pattern_and_depth_page_by_page(store):
    for path in ("a/x", "a/x/1", "a/y/1", "b/x", "b/y/1", "b/y/2", "c"):
        store.items.put(path.split("/"), "k", {})
    list_of = store.items.namespaces

    def found(**asked):
        seen, cursor = [], None
        while True:
            page = list_of(**asked, limit=2, cursor=cursor)
            seen += ["/".join(labels) for labels in page]
            cursor = page.cursor
            if cursor is None:
                return seen

    assert found() == ["a/x", "a/x/1", "a/y/1", "b/x", "b/y/1", "b/y/2", "c"]
    assert found(depth=1) == ["a", "b", "c"]
    assert found(depth=2) == ["a/x", "a/y", "b/x", "b/y", "c"]
    assert found(prefix=["b"]) == ["b/x", "b/y/1", "b/y/2"]
    assert found(prefix=["*", "y"]) == ["a/y/1", "b/y/1", "b/y/2"]
    assert found(suffix=["1"]) == ["a/x/1", "a/y/1", "b/y/1"]
    assert found(suffix=["x", "*"]) == ["a/x/1"]
    assert found(prefix=["a"], suffix=["1"], depth=1) == ["a"]


def test_an_item_is_out_of_sight_when_its_time_is_over(store, clock):
    store.items.put(ADA, "short", {"word": "tulip"}, ttl_seconds=10, vectors={"v": [1]})
    store.items.put(ADA, "long", {"word": "tulip"})
    short = store.items.get(ADA, "short")
    assert short.ttl_seconds == 10
    assert store.items.find(short.id) == short
    clock.advance(10)
    with pytest.raises(errors.NotFound):
        store.items.get(ADA, "short")
    with pytest.raises(errors.NotFound):
        store.items.find(short.id)
    assert keys(store.items.list(ADA)) == ["long"]
    assert store.items.nearest(ADA, [1.0]) == ()
    assert [hit.record["key"] for hit in store.search("tulip", kinds=["items"])] == [
        "long"
    ]
    assert store.items.refresh([(ADA, "short"), (ADA, "long")]) == 0
    assert store.items.delete(ADA, "short") is False


def test_a_refreshed_item_lives_on_for_its_own_time(store, clock):
    store.items.put(ADA, "k", {}, ttl_seconds=10)
    for _ in range(3):
        clock.advance(9)
        assert store.items.refresh([(ADA, "k")]) == 1
    clock.advance(9)
    assert store.items.get(ADA, "k").ttl_seconds == 10
    store.items.put(ADA, "k", {})
    clock.advance(100)
    assert store.items.get(ADA, "k").ends_at is None


def test_one_that_is_put_after_its_time_is_new(store, clock):
    store.items.put(ADA, "k", {}, ttl_seconds=1)
    clock.advance(5)
    again = store.items.put(ADA, "k", {})
    assert again.created_at == again.updated_at


def test_what_is_past_its_time_is_deleted_when_the_store_is_tidied(store, clock):
    for n in range(5):
        store.items.put(ADA, str(n), {}, ttl_seconds=1 + n)
    clock.advance(3)

    def swept(tx):
        return tx.items.tidy(2), tx.items.tidy(2)

    assert store.run(swept) == (True, False)
    assert store.usage().tables["item"].rows == 2


def test_the_nearest_in_meaning_come_first(store):
    chance = random.Random(5)
    vectors = {str(n): [chance.gauss() for _ in range(8)] for n in range(40)}
    store.items.put_each(
        [
            {
                "namespace": ADA,
                "key": key,
                "value": {"n": int(key)},
                "vectors": {"v": v},
            }
            for key, v in vectors.items()
        ]
    )
    store.items.put(ADA, "none", {})
    store.items.put(ADA, "shorter", {}, vectors={"v": [1, 2]})
    store.items.put(("other",), "k", {}, vectors={"v": [1.0] * 8})
    wanted = [chance.gauss() for _ in range(8)]

    def cosine(v):
        dot = sum(a * b for a, b in zip(v, wanted, strict=True))
        return dot / math.hypot(*v) / math.hypot(*wanted)

    best = sorted(vectors, key=lambda key: -cosine(vectors[key]))
    near = store.items.nearest(ADA, wanted, limit=10)
    assert [found.item.key for found in near] == best[:10]
    assert [found.score for found in near] == pytest.approx(
        [cosine(vectors[key]) for key in best[:10]], abs=1e-6
    )
    few = store.items.nearest(ADA, wanted, where={"n": {"$lt": 20}}, limit=100)
    assert [found.item.key for found in few] == [key for key in best if int(key) < 20]


def test_of_several_vectors_the_nearest_counts(store):
    store.items.put(ADA, "two", {}, vectors={"a": [1, 0], "b": [0, 1]})
    store.items.put(ADA, "one", {}, vectors={"a": [1, 1]})
    store.items.put(ADA, "nil", {}, vectors={"a": [0, 0]})
    near = store.items.nearest(ADA, [0, 5])
    assert [(found.item.key, round(found.score, 3)) for found in near] == [
        ("two", 1.0),
        ("one", 0.707),
        ("nil", 0.0),
    ]


def test_items_are_found_by_their_words(store):
    store.items.put(ADA, "tea", {"text": "She likes green tea", "id": "jasmine"})
    store.items.put(ADA, "cat", {"text": "She has a cat"})
    (hit,) = store.search("green tea", kinds=["items"])
    assert (hit.kind, hit.record["namespace"], hit.record["key"]) == (
        "item",
        list(ADA),
        "tea",
    )
    store.items.put(ADA, "tea", {"text": "She likes coffee"})
    assert store.search("tea", kinds=["items"]) == ()


def test_the_past_shows_items_as_they_then_were(store, clock):
    store.items.put(ADA, "k", {"n": 1}, ttl_seconds=10, vectors={"v": [1, 0]})
    store.items.put((*ADA, "x"), "gone", {"n": 0})
    then = store.moment()
    clock.advance(60)
    store.items.delete((*ADA, "x"), "gone")
    store.items.put(ADA, "k", {"n": 2}, vectors={"v": [0, 1]})
    past = store.as_of(then).items
    assert past.get(ADA, "k").value == {"n": 1}
    assert keys(past.list(ADA)) == ["gone", "k"]
    assert list(past.namespaces()) == [ADA, (*ADA, "x")]
    assert past.nearest(ADA, [1, 0])[0].item.value == {"n": 1}
    with pytest.raises(errors.Refused):
        past.put(ADA, "k", {})


def test_an_item_is_put_back_as_it_was_and_its_time_begins_anew(store, clock):
    id = store.items.put(ADA, "k", {"n": 1}, ttl_seconds=10).id
    then = store.moment()
    clock.advance(60)
    store.items.put(ADA, "k", {"n": 2})
    store.revert(then, kinds=["items"], ids=[id])
    item = store.items.get(ADA, "k")
    assert (item.value, item.ttl_seconds) == ({"n": 1}, 10)
    store.items.delete(ADA, "k")
    store.revert(then, kinds=["items"], ids=[id])
    assert store.items.get(ADA, "k").value == {"n": 1}
    ops = [change.op for change in store.changes("items", id)]
    assert ops == ["create", "update", "update", "delete", "create"]


def test_random_writes_give_what_a_dict_gives(store, clock):
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    model = {}
    for _ in range(60):
        place = (tuple(chance.choices(LABELS[:5], k=chance.randrange(3))),
                 chance.choice(LABELS[:4]))  # fmt: skip
        clock.advance(1)
        if chance.random() < 0.3:
            assert store.items.delete(*place) is (model.pop(place, None) is not None)
        else:
            model.pop(place, None)
            model[place] = {"n": chance.randrange(9)}
            store.items.put(*place, model[place])
    newest = [(item.namespace, item.key, item.value) for item in store.items.list()]
    assert newest == [(*place, value) for place, value in reversed(model.items())]
    assert list(store.items.namespaces()) == sorted({path for path, _ in model})


def test_places_that_no_index_could_hold_are_refused():
    with holdfast.open(":memory:", limits=Limits(batch=2)) as store:
        with pytest.raises(errors.TooLarge, match="1,000 bytes"):
            store.items.put(["x" * 600, "y" * 600], "k", {})
        with pytest.raises(errors.TooLarge, match="limits.batch"):
            store.items.get_each([((), "k")] * 3)
        longest = ("x" * 998,)
        store.items.put(longest, "k" * 1_000, {"n": 1})
        assert store.items.get(longest, "k" * 1_000).value == {"n": 1}
