"""Vectors: the nearest are the same, however they are found and wherever they are."""

import math
import random
import sys

import numpy as np
import pytest
from psycopg import pq

import holdfast
from conftest import place_on
from holdfast import errors
from holdfast.engines.postgres.wire import Link, plain, set_up
from holdfast.integrations.langgraph import HoldfastStore
from holdfast.kinds import item_vectors
from postgres import shared_url

DOCS = ("docs",)
NUMBERS = 12
MANY = 300
BOTH = [("file", "postgres"), ("postgres", "file")]


def some(chance, numbers=NUMBERS):
    return [chance.gauss() for _ in range(numbers)]


def fill(items, seed=3):
    """Items of several vectors and lengths, some of them twins; what to look for."""
    chance = random.Random(seed)
    twin = some(chance)
    for start in range(0, MANY, 100):
        items.put_each(
            [
                {
                    "namespace": (*DOCS, str(n % 3)),
                    "key": str(n),
                    "value": {"n": n},
                    "vectors": {
                        "a": twin if n % 7 == 0 else some(chance),
                        "b": some(chance, NUMBERS - n % 2),
                    },
                }
                for n in range(start, start + 100)
            ]
        )
    return some(chance)


def nearest(store, wanted, **chosen):
    found = store.items.nearest(DOCS, wanted, **{"limit": 40, **chosen})
    return [(near.item.key, near.score) for near in found]


@pytest.fixture(params=[True, False], ids=["numpy", "pure"])
def numpy(request, monkeypatch):
    """Whether numpy is there."""
    item_vectors._numpy.cache_clear()
    if not request.param:
        monkeypatch.setitem(sys.modules, "numpy", None)
    yield request.param
    item_vectors._numpy.cache_clear()


def test_numpy_changes_how_fast_the_nearest_are_found_and_not_which(store, monkeypatch):
    wanted = fill(store.items)
    asked = [{}, {"where": {"n": {"$gt": 30}}}, {"where": {"n": {"$lt": 9}}}]
    fast = [nearest(store, wanted, **chosen) for chosen in asked]
    assert item_vectors._numpy.cache_info().currsize == 1
    monkeypatch.setattr(item_vectors, "_numpy", lambda: None)
    assert [nearest(store, wanted, **chosen) for chosen in asked] == fast
    assert [len(found) for found in fast] == [40, 40, 9]
    assert nearest(store, wanted, limit=MANY)[:40] == fast[0]


def test_the_cosine_is_right_to_one_part_in_ten_million(numpy):
    with holdfast.open(":memory:") as store:
        chance = random.Random(4)
        vectors = {str(n): some(chance, 384) for n in range(MANY)}
        vectors["far"] = [1e300] * 384
        vectors["tiny"] = [5e-320] * 384
        vectors["whole"] = [*range(384)]
        for key, vector in vectors.items():
            store.items.put(DOCS, key, {}, vectors={"v": vector})
        wanted = some(chance, 384)
        for key, score in nearest(store, wanted, limit=MANY):
            vector = vectors[key]
            length = math.hypot(*vector) * math.hypot(*wanted)
            dot = math.fsum(a / length * b for a, b in zip(vector, wanted, strict=True))
            assert key == "tiny" or score == pytest.approx(dot, abs=1e-7), key
        assert item_vectors._numpy.cache_info().currsize == 1
        assert (item_vectors._numpy() is not None) is numpy


def test_twins_come_newest_first_and_numbers_of_any_kind_are_taken(numpy):
    with holdfast.open(":memory:") as store:
        for n in range(MANY):
            store.items.put(DOCS, str(n), {}, vectors={"v": [3, 4.0]})
        found = nearest(store, (6, 8), limit=MANY)
        assert [key for key, _ in found] == [str(n) for n in reversed(range(MANY))]
        assert {score for _, score in found} == {1.0}
        for bad in ([1.0, math.inf], [math.nan], [math.inf, -math.inf], [1.0, True]):
            with pytest.raises(errors.WrongType):
                store.items.put(DOCS, "bad", {}, vectors={"v": bad})


def test_the_nearest_of_the_past_and_of_an_owner_are_theirs_alone(store):
    ada, bob = store.owned_by("ada"), store.owned_by("bob")
    wanted = fill(ada.items)
    fill(bob.items, seed=8)
    then, was, others = store.moment(), nearest(ada, wanted), nearest(bob, wanted)
    assert was != others
    keys = [key for key, _ in was]
    for key in keys[:20]:
        where = (*DOCS, str(int(key) % 3))
        ada.items.put(where, key, {}, vectors={"v": [-n for n in wanted]})
    ada.items.delete((*DOCS, str(int(keys[20]) % 3)), keys[20])
    assert [key for key, _ in nearest(ada, wanted)][:19] == keys[21:]
    assert nearest(ada.as_of(then), wanted) == was
    assert nearest(bob, wanted) == others
    ada.revert(then, kinds=["items"])
    assert sorted(nearest(ada, wanted)) == sorted(was)


@pytest.mark.parametrize("route", BOTH, ids="-".join)
def test_a_copy_on_another_engine_has_the_same_nearest(route, tmp_path):
    with place_on(route[0], tmp_path) as source:
        with holdfast.open(source) as store:
            wanted = fill(store.items)
            was = nearest(store, wanted)
        with place_on(route[1], tmp_path) as target:
            holdfast.copy(source, target)
            with holdfast.open(target) as store:
                assert nearest(store, wanted) == was


def test_a_model_may_give_numbers_of_numpy():
    def embed(texts):
        return np.array([[len(text), 1] for text in texts], "f4")

    with holdfast.open(":memory:") as kept:
        store = HoldfastStore(kept, index={"dims": 2, "embed": embed})
        store.put(DOCS, "short", {"text": "a"})
        store.put(DOCS, "long", {"text": "a" * 50})
        found = store.search(DOCS, query="a" * 70)
        assert [item.key for item in found] == ["long", "short"]


def test_rows_that_postgresql_sends_as_bytes_are_those_that_it_sends_as_text():
    text = (
        "select sum(n), avg(n), n'x' || max(n), null::numeric, 1e300::numeric, "
        "'\\x00ff'::bytea, 2.5::double precision, true, 7, '7'::bigint "
        "from generate_series(1, 4::bigint) n"
    )
    with Link.connect(shared_url(), autocommit=True) as link:
        set_up(link)
        link.wire.open()
        asked = [plain(text), plain(text, (), pq.Format.BINARY)]
        as_text, as_bytes = (link.wire.rows(link.wire.ask(each)) for each in asked)
        link.wire.until_rest()
        link.wire.close()
    assert as_text == as_bytes
    assert [*map(type, as_text[0])] == [*map(type, as_bytes[0])]
