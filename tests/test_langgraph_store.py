"""LangGraph's store: it does what LangGraph's own does, and keeps it."""

import asyncio
import random
import subprocess
import sys
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore
from typing_extensions import TypedDict

import holdfast
from conftest import store_on
from holdfast import errors
from holdfast.integrations.langgraph.basestore import HoldfastStore

ENGINES = ("file", "postgres")
FACES = ("sync", "async")
DOCS = ("docs",)


class Both:
    """LangGraph's store in memory beside ours, each asked through the same face."""

    def __init__(self, store, face, **options):
        self.theirs = InMemoryStore(**options)
        self.ours = HoldfastStore(store.aio if face == "async" else store, **options)
        self.face = face

    def batch(self, ops):
        """What both say to the same operations; the same, but for times and order."""
        theirs, ours = (self._asked(store, ops) for store in (self.theirs, self.ours))
        assert [plain(op, said) for op, said in zip(ops, ours, strict=True)] == [
            plain(op, said) for op, said in zip(ops, theirs, strict=True)
        ]
        return ours

    def _asked(self, store, ops):
        if self.face == "sync":
            return store.batch(ops)
        return asyncio.run(store.abatch(ops))


def plain(op, said):
    """An answer without its times; of a search, without an order if it has none."""
    if isinstance(op, SearchOp):
        found = [(i.namespace, i.key, i.value, i.score and round(i.score, 5))
                 for i in said]  # fmt: skip
        return found if op.query else sorted(found, key=repr)
    if isinstance(op, GetOp) and said is not None:
        return said.namespace, said.key, said.value
    return said


@pytest.fixture(params=ENGINES)
def kept(request, tmp_path, clock):
    with (
        store_on(request.param, tmp_path) as place,
        holdfast.open(place, clock=clock) as store,
    ):
        yield store


@pytest.fixture(params=FACES)
def both(request, kept):
    return Both(kept, request.param)


def embed(texts):
    """Vectors by which letters a text has: alike texts have alike ones."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [[text.lower().count(letter) + 0.01 for letter in letters] for text in texts]


INDEX: Any = {"dims": 26, "embed": embed, "fields": ["text", "more[*].text"]}
FILTERS: list[dict[str, Any] | None] = [
    None, {"color": "red"}, {"n": 3}, {"n": {"$gt": 2}}, {"n": {"$gte": 2, "$lt": 5}},
    {"n": {"$ne": 1}, "color": {"$eq": "red"}}, {"deep": {"a": 1}}, {"tags": ["x"]},
    {"missing": None}, {"n": {"$lte": 0}},
]  # fmt: skip
PATHS = ["docs", "docs.a", "docs.a.b", "docs.b", "docsa", "other.a", "other.b.a"]
NAMESPACES = [tuple(path.split(".")) for path in PATHS]
PATTERNS: list[Any] = [("docs",), ("*", "a"), ("a",), ("docs", "*"), ("nobody",)]


def some_op(chance):
    namespace = chance.choice(NAMESPACES)
    key = chance.choice("klm")
    what = chance.randrange(8)
    if what < 3:
        value = {
            "n": chance.randrange(6), "color": chance.choice(["red", "blue"]),
            "deep": {"a": chance.randrange(3), "b": 0}, "tags": ["x"] * what,
        }  # fmt: skip
        return PutOp(namespace, key, value)
    if what == 3:
        return PutOp(namespace, key, None)
    if what == 4:
        return GetOp(namespace, key)
    if what == 5:
        prefix = namespace[: chance.randrange(3)]
        return SearchOp(prefix, filter=chance.choice(FILTERS), limit=100)
    conditions = [
        MatchCondition(chance.choice(["prefix", "suffix"]), chance.choice(PATTERNS))
        for _ in range(chance.randrange(3))
    ]
    return ListNamespacesOp(
        tuple(conditions), chance.choice([None, 1, 2]), chance.choice([3, 100]),
        chance.randrange(2),
    )  # fmt: skip


def test_any_batches_give_what_langgraphs_own_store_gives(both):
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(40):
        ops = [some_op(chance) for _ in range(chance.randrange(1, 8))]
        # In memory, a namespace stays listed when its last item is gone.
        emptied = both.theirs._data
        for namespace in [name for name, there in emptied.items() if not there]:
            del emptied[namespace]
        ops = [op for op in ops if not isinstance(op, GetOp)] + [
            op for op in ops if isinstance(op, GetOp)
        ]
        both.batch(ops)


def test_a_batch_reads_what_was_there_before_it(both):
    both.batch([PutOp(DOCS, "k", {"n": 1})])
    ops = [
        PutOp(DOCS, "k", {"n": 2}), GetOp(DOCS, "k"), SearchOp(DOCS),
        PutOp(DOCS, "k", {"n": 3}), GetOp(DOCS, "none"),
    ]  # fmt: skip
    said = both.batch(ops)
    assert said[1].value == {"n": 1}
    assert both.batch([GetOp(DOCS, "k")])[0].value == {"n": 3}


def test_of_a_batch_all_is_kept_or_none(kept):
    ours = HoldfastStore(kept)
    bad = [PutOp(DOCS, "a", {"n": 1}), PutOp(DOCS, "b", {"n": {1}})]
    with pytest.raises(errors.NotStorable):
        ours.batch(bad)
    assert ours.search(()) == []


def test_every_method_through_either_face(kept):
    ours = HoldfastStore(kept)
    ours.put(("users", "ada"), "k", {"n": 1})
    item = ours.get(("users", "ada"), "k")
    assert (item.namespace, item.key, item.value) == (("users", "ada"), "k", {"n": 1})
    assert item.created_at == item.updated_at
    assert [found.key for found in ours.search(("users",))] == ["k"]
    assert ours.list_namespaces(prefix=("users",), max_depth=1) == [("users",)]
    ours.delete(("users", "ada"), "k")
    assert ours.get(("users", "ada"), "k") is None

    async def awaited():
        store = HoldfastStore(kept.aio)
        await store.aput(("users", "ada"), "k", {"n": 2})
        assert (await store.aget(("users", "ada"), "k")).value == {"n": 2}
        assert len(await store.asearch(("users",), filter={"n": 2})) == 1
        assert await store.alist_namespaces(suffix=("ada",)) == [("users", "ada")]
        await store.adelete(("users", "ada"), "k")
        assert await store.asearch(()) == []

    asyncio.run(awaited())


def test_searches_are_paged_newest_first(kept, clock):
    ours = HoldfastStore(kept)
    for n in range(12):
        ours.put(("docs", "ab"[n % 2]), str(n), {"n": n, "even": n % 2 == 0})
        clock.advance(1)
    keys = [found.key for found in ours.search(DOCS, limit=5)]
    keys += [found.key for found in ours.search(DOCS, limit=50, offset=5)]
    assert keys == [str(n) for n in reversed(range(12))]
    some = ours.search(DOCS, filter={"even": True}, limit=2, offset=1)
    assert [found.key for found in some] == ["8", "6"]
    assert ours.search(DOCS, limit=0) == []


def test_labels_that_langgraph_refuses_are_refused(both):
    for namespace in ((), ("a.b",), ("",), ("langgraph",)):
        for store in (both.ours, both.theirs):
            with pytest.raises(InvalidNamespaceError):
                store.put(namespace, "k", {})
    with pytest.raises(ValueError, match="Unknown operation"):
        both.ours.batch(["nonsense"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"\$in"):
        both.ours.search(DOCS, filter={"n": {"$in": [1]}})


@pytest.mark.newer("langgraph-checkpoint 4.3, which looks at labels in a batch")
def test_labels_are_looked_at_in_a_batch_too(both):
    with pytest.raises(InvalidNamespaceError):
        both.ours.batch([PutOp(("a.b",), "k", {})])


@pytest.mark.parametrize("face", FACES)
def test_meanings_are_ranked_as_by_langgraphs_own_store(kept, face):
    both = Both(kept, face, index=INDEX)
    texts = ["apple pie", "banana bread", "cherry cake", "pear tart", "zucchini soup"]
    both.batch(
        [
            *(PutOp(("docs", text[0]), text, {"text": text, "n": n})
              for n, text in enumerate(texts)),
            PutOp(DOCS, "parts", {"more": [{"text": "bread"}, {"text": "jazz"}]}),
            PutOp(DOCS, "unindexed", {"text": "apple pie"}, index=False),
            PutOp(DOCS, "other", {"title": "apple tart"}, index=["title"]),
            PutOp(DOCS, "nothing", {"n": 7}),
        ]
    )  # fmt: skip
    for query in ("apple", "bread", "soup of zucchini"):
        both.batch([SearchOp(DOCS, query=query, limit=5)])
        both.batch([SearchOp(DOCS, query=query, limit=2, offset=2)])
        both.batch([SearchOp(DOCS, query=query, filter={"n": {"$ne": 3}}, limit=4)])
    (best, *_) = both.ours.search(DOCS, query="pie of apples")
    assert (best.key, best.score is not None) == ("apple pie", True)
    both.batch([PutOp(("docs", "a"), "apple pie", {"text": "quiz"})])
    (best, *_) = both.ours.search(DOCS, query="quiz")
    assert best.key == "apple pie"
    everything = both.ours.search(DOCS, query="quiz", limit=50)
    assert {found.key for found in everything if found.score is None} == {
        "unindexed",
        "nothing",
    }


def test_without_meanings_words_find_the_best_first(kept):
    ours = HoldfastStore(kept)
    ours.put(("a", "1"), "tea", {"text": "Ada likes green tea, and tea at five"})
    ours.put(("a", "1"), "cat", {"text": "Ada has a cat", "deep": ["Tea party"]})
    ours.put(("a", "1"), "dog", {"text": "Bob has a dog"})
    ours.put(("b", "1"), "tea", {"text": "tea tea tea"})
    found = ours.search(("a",), query="Which tea does Ada like?")
    assert [item.key for item in found] == ["tea", "cat"]
    assert found[0].score > found[1].score > 0
    assert ours.search(("a",), query="zebra") == []
    assert [i.key for i in ours.search(("a",), query="ada", limit=1, offset=1)] != []


def test_times_are_kept_as_langgraph_says(kept, clock):
    ours = HoldfastStore(kept, ttl={"default_ttl": 10})
    assert ours.supports_ttl
    ours.put(DOCS, "default", {})
    ours.put(DOCS, "brief", {}, ttl=1)
    ours.put(DOCS, "lasting", {}, ttl=None)
    clock.advance(50)
    assert ours.get(DOCS, "brief") is not None
    clock.advance(50)
    assert ours.get(DOCS, "brief", refresh_ttl=False) is not None
    clock.advance(50)
    assert ours.get(DOCS, "brief") is None
    clock.advance(440)
    assert {found.key for found in ours.search(DOCS)} == {"default", "lasting"}
    clock.advance(500)
    ours.batch([GetOp(DOCS, "default", refresh_ttl=False), PutOp(DOCS, "new", {})])
    clock.advance(101)
    assert {found.key for found in ours.search(DOCS)} == {"lasting", "new"}
    never = HoldfastStore(kept, ttl={"refresh_on_read": False})
    never.put(DOCS, "k", {}, ttl=1)
    clock.advance(59)
    assert never.get(DOCS, "k") is not None
    clock.advance(1)
    assert never.list_namespaces() == [DOCS]
    assert never.get(DOCS, "k") is None


def test_reading_in_a_batch_that_writes_lets_items_live_on(kept, clock):
    ours = HoldfastStore(kept)
    ours.put(DOCS, "k", {}, ttl=1)
    clock.advance(40)
    ours.batch([GetOp(DOCS, "k"), PutOp(DOCS, "other", {})])
    clock.advance(40)
    assert ours.get(DOCS, "k") is not None


def test_what_a_graph_remembers_reads_like_any_other_item(kept):
    ours = HoldfastStore(kept.owned_by("ada"))

    class State(TypedDict):
        said: str

    def remember(state: State, *, store: BaseStore) -> State:
        store.put(("memories", "ada"), "tea", {"text": state["said"]})
        return state

    graph = StateGraph(State)
    graph.add_node("remember", remember)
    graph.add_edge(START, "remember")
    graph.compile(store=ours).invoke({"said": "green tea, please"})
    mine = kept.owned_by("ada")
    assert mine.items.get(("memories", "ada"), "tea").value == {
        "text": "green tea, please"
    }
    (hit,) = mine.search("green tea")
    assert (hit.kind, hit.record["key"]) == ("item", "tea")
    assert HoldfastStore(kept).search(()) == []
    then = mine.moment()
    ours.put(("memories", "ada"), "tea", {"text": "coffee"})
    past = HoldfastStore(mine.as_of(then))
    assert past.get(("memories", "ada"), "tea").value["text"] == "green tea, please"


def test_what_is_only_looked_at_is_read_and_stays_as_it_is(path, clock):
    with holdfast.open(path, clock=clock) as store:
        HoldfastStore(store).put(DOCS, "k", {"n": 1}, ttl=1)
        past = HoldfastStore(store.as_of(store.moment()))
        assert past.get(DOCS, "k") is not None
    with holdfast.open(path, clock=clock, read_only=True) as store:
        for looked in (HoldfastStore(store), HoldfastStore(store.aio)):
            assert asyncio.run(looked.aget(DOCS, "k")) is not None
            assert [found.key for found in looked.search(DOCS)] == ["k"]


KILLED = """
import os, sys
import holdfast
from holdfast.integrations.langgraph.basestore import HoldfastStore

store = HoldfastStore(holdfast.open(sys.argv[1]))
for n in range(10_000):
    store.put(("done",), str(n), {"n": n})
    print(n, flush=True)
"""


def test_what_was_acknowledged_is_there_after_a_kill(path):
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    said = [int(child.stdout.readline()) for _ in range(25)]
    child.kill()
    said += [int(line) for line in child.stdout.read().split()]
    child.stdout.close()
    child.wait()
    with holdfast.open(path) as store:
        there = {int(item.key) for item in store.items.list(("done",), limit=1_000)}
        assert set(said) <= there
        assert store.check().problems == ()
