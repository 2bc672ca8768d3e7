"""LangChain's key-value store: its own suites, each test by name, and more."""

import asyncio
import inspect

import pytest
from langchain_tests.integration_tests import BaseStoreAsyncTests, BaseStoreSyncTests

import holdfast
from conftest import ENGINES, store_on
from holdfast.errors import Held
from holdfast.integrations.langchain import HoldfastByteStore

VALUES = (b"foo", b"\x00\xff", b"")
NAMED = {
    "test_delete_bulk_values",
    "test_delete_missing_keys",
    "test_delete_values",
    "test_get_can_get_same_value",
    "test_kv_store_is_empty",
    "test_no_overrides_DO_NOT_OVERRIDE",
    "test_overwrite_values_by_key",
    "test_set_and_get_values",
    "test_set_values_is_idempotent",
    "test_store_still_empty",
    "test_three_values",
    "test_yield_keys",
}
SUITES = (BaseStoreSyncTests, BaseStoreAsyncTests)


@pytest.fixture(params=ENGINES)
def kept(request, tmp_path):
    with store_on(request.param, tmp_path) as place, holdfast.open(place) as store:
        yield store


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("name", sorted(NAMED))
def test_it_passes_langchains_own(kept, suite, name):
    ours = type("Ours", (suite,), {})()
    test = getattr(ours, name)
    given = {"kv_store": HoldfastByteStore(kept), "three_values": VALUES}
    asked = {key: given[key] for key in inspect.signature(test).parameters}
    if inspect.iscoroutinefunction(test):
        asyncio.run(test(**asked))
    else:
        test(**asked)


@pytest.mark.parametrize("suite", SUITES)
def test_langchains_suites_are_known_by_name(suite):
    assert {name for name in dir(suite) if name.startswith("test_")} == NAMED


def test_namespaces_owners_and_faces_are_what_they_are(kept):
    mine, other = HoldfastByteStore(kept), HoldfastByteStore(kept, ("other",))
    strange = ["a!b", "a/b"]
    mine.mset([(key, key.encode()) for key in strange])
    HoldfastByteStore(kept, ("langchain", "bytes", "within")).mset([("a", b"")])
    assert sorted(mine.yield_keys()) == strange
    assert list(mine.yield_keys(prefix="a!")) == ["a!b"]
    assert list(other.yield_keys()) == []
    assert HoldfastByteStore(kept.owned_by("ada")).mget(strange) == [None, None]
    assert HoldfastByteStore(kept.aio).mget(strange) == [b"a!b", b"a/b"]


def test_all_of_what_is_set_is_set_or_none(kept):
    mine = HoldfastByteStore(kept, ("b",))
    mine.mset([("leased", b"1")])
    (item,) = kept.items.list(("b",))
    kept.leases.acquire("items", item.id, holder="other", seconds=60)
    with pytest.raises(Held):
        mine.mset([("free", b"2"), ("leased", b"2")])
    assert mine.mget(["free", "leased"]) == [None, b"1"]


def test_keys_are_yielded_as_they_were_when_that_began(kept):
    mine = HoldfastByteStore(kept)
    mine.mset([(str(n), b"") for n in range(1_500)])
    found = []
    for key in mine.yield_keys():
        found.append(key)
        if len(found) == 10:
            mine.mset([("0", b"again"), ("new", b"")])
            mine.mdelete(["1"])
    assert sorted(found, key=int) == [str(n) for n in range(1_500)]


def test_bytes_live_as_long_as_is_said(path, clock):
    with holdfast.open(path, clock=clock) as store:
        brief = HoldfastByteStore(store, ttl_seconds=5)
        brief.mset([("k", b"v")])
        assert brief.mget(["k"]) == [b"v"]
        clock.advance(5)
        assert brief.mget(["k"]) == [None]
        assert list(brief.yield_keys()) == []


def test_what_is_kept_is_not_taken_for_words(kept):
    HoldfastByteStore(kept).mset([("k", b"tulip" * 30)])
    (item,) = kept.items.list(("langchain", "bytes"))
    assert kept.search(item.value["data"][:40], kinds=["items"]) == ()
