"""Threads keep what a step had come to, each value once, and drop what nobody needs."""

import random

import pytest

from conversing import finished
from holdfast.errors import AlreadyExists, NotFound, TooLarge


def value(text, repeat=1):
    return {"type": "text", "body": text * repeat}


def write(index, body, channel="a"):
    return {"index": index, "channel": channel, **value(body)}


def rows(store):
    found = finished(store)
    tables = ("thread", "checkpoint", "checkpoint_write", "channel_value")
    return tuple(len(found[table]) for table in tables)


@pytest.fixture
def threads(store):
    """The threads of a store; `t` has three checkpoints, each with its own value."""
    for n in (1, 2, 3):
        store.threads.put(
            "t",
            f"c{n}",
            parent=f"c{n - 1}" if n > 1 else None,
            state={"n": n},
            values={"shared": value("s", 100), "own": value(str(n), 100)},
            metadata={"step": n, "odd": n % 2 == 1},
            run=f"r{n}",
            note="one" if n < 3 else "three",
        )
    return store.threads


def ids(found):
    return [checkpoint.id for checkpoint in found]


def test_a_checkpoint_comes_back_as_it_was_put(threads, store):
    found = threads.checkpoint("t", "c2")
    assert (found.parent, found.state, found.note) == ("c1", {"n": 2}, "one")
    assert (found.metadata, found.run) == ({"step": 2, "odd": False}, "r2")
    assert {name: v.body for name, v in found.values.items()} == {
        "shared": "s" * 100,
        "own": "2" * 100,
    }
    assert threads.checkpoint("t").id == "c3"
    assert rows(store) == (1, 3, 0, 4)


def test_one_that_is_there_is_replaced(threads):
    assert not threads.put("t", "c2", values={"own": value("new")})
    assert threads.checkpoint("t", "c2").values["own"].body == "new"
    assert ids(threads.checkpoints("t")) == ["c3", "c2", "c1"]


def test_what_no_index_could_hold_is_refused_on_every_engine(threads):
    most, more = (random.Random(1).randbytes(900).hex(), "x" * 1_801)
    threads.put("t", "\U0001f600" * 200, ns=most, run=most)
    threads.put_writes("t", "c1", most, [write(0, "x")], ns=most)
    for attempt in (
        lambda: threads.put("t", "c", ns=more),
        lambda: threads.put("t", "c", run=more),
        lambda: threads.put_writes("t", "c", more, []),
    ):
        with pytest.raises(TooLarge):
            attempt()


def test_namespaces_are_apart(threads):
    threads.put("t", "c9", ns="inner:1")
    threads.put("t", "c0", ns="inner:2")
    assert threads.checkpoint("t").id == "c3"
    assert threads.checkpoint("t", ns="inner:1").id == "c9"
    assert ids(threads.checkpoints("t", ns="")) == ["c3", "c2", "c1"]
    assert ids(threads.checkpoints("t")) == ["c9", "c3", "c2", "c1", "c0"]
    assert ids(threads.newest("t")) == ["c3", "c9", "c0"]
    with pytest.raises(NotFound):
        threads.checkpoint("t", ns="inner")


def test_lists_are_read_in_pages_and_by_what_metadata_has(threads):
    threads.put("t", "c2", ns="inner", metadata={"odd": True})
    read, cursor = [], None
    while True:
        page = threads.checkpoints("t", limit=1, cursor=cursor)
        read += ids(page)
        if (cursor := page.cursor) is None:
            break
    assert read == ["c3", "c2", "c2", "c1"]
    assert ids(threads.checkpoints("t", before="c3", ns="")) == ["c2", "c1"]
    assert ids(threads.checkpoints("t", where={"odd": True})) == ["c3", "c2", "c1"]
    assert ids(threads.checkpoints("t", where={"odd": True, "step": 1})) == ["c1"]
    assert ids(threads.checkpoints("t", where={"unknown": None})) == []
    page = threads.checkpoints("t", where={"step": 1}, limit=1)
    assert ids(page) == []
    assert page.cursor is not None


def test_writes_stand_in_the_order_in_which_they_are_applied(threads):
    threads.put_writes("t", "c3", "b", [write(0, "3"), write(1, "4")], path="2")
    threads.put_writes("t", "c3", "z", [write(0, "2")], path="1")
    threads.put_writes("t", "c3", "y", [write(0, "1")])
    assert [w.body for w in threads.checkpoint("t").writes] == ["1", "2", "3", "4"]


def test_a_write_stays_and_a_special_one_is_replaced(threads):
    assert threads.put_writes("t", "c3", "a", [write(0, "x"), write(-1, "x")]) == 2
    assert threads.put_writes("t", "c3", "a", [write(0, "y"), write(-1, "y")]) == 0
    assert [w.body for w in threads.checkpoint("t").writes] == ["y", "x"]


def test_writes_may_come_before_their_checkpoint(store):
    store.threads.put_writes("new", "c1", "a", [write(0, "x")])
    with pytest.raises(NotFound):
        store.threads.checkpoint("new")
    assert ids(store.threads.checkpoints("new")) == []
    store.threads.put("new", "c1", state=1)
    assert store.threads.checkpoint("new").writes[0].body == "x"


def test_ancestry_goes_back_as_far_as_values_are_missing(threads):
    threads.put("t", "c4", parent="c3")
    threads.put("t", "c5", parent="c4")
    assert ids(threads.ancestry("t", "c5", ["own"])) == ["c4", "c3"]
    assert ids(threads.ancestry("t", "c5", ["nowhere"])) == ["c4", "c3", "c2", "c1"]
    assert ids(threads.ancestry("t", "c5", [])) == []
    threads.prune("t", ["c5", "c4"])
    assert ids(threads.ancestry("t", "c5", ["own"])) == ["c4"]


def test_what_is_dropped_leaves_what_others_need(threads, store):
    threads.put_writes("t", "c1", "a", [write(0, "x")])
    dropped = threads.prune("t", ["c2", "c3"])
    assert (dropped.checkpoints, dropped.notes) == (1, ())
    assert rows(store) == (1, 2, 0, 3)
    dropped = threads.delete_runs(["r2", "unknown"])
    assert (dropped.checkpoints, dropped.notes) == (1, ("one",))
    assert threads.checkpoint("t").values["shared"].body == "s" * 100
    assert threads.delete("t")
    assert not threads.delete("t")
    assert rows(store) == (0, 0, 0, 0)


def test_what_is_dropped_a_part_at_a_time_goes_from_the_oldest(threads, store):
    for left, more in ((["c3", "c2"], True), (["c3"], True), (["c3"], False)):
        assert threads.prune("t", ["c3"], limit=1).more == more
        assert ids(threads.checkpoints("t")) == left
    assert threads.checkpoint("t").values["shared"].body == "s" * 100
    assert rows(store) == (1, 1, 0, 2)


@pytest.mark.parametrize("at_once", [2, 1_000])
def test_a_deleted_thread_is_out_of_sight_at_once_and_can_come_back(
    threads, store, at_once, monkeypatch
):
    monkeypatch.setattr("holdfast.kinds.threads._SWEPT_AT_ONCE", at_once)
    threads.put_writes("t", "c1", "a", [write(n, "x") for n in range(5)])
    before, moment = threads.checkpoints("t"), store.moment()
    assert threads.delete("t")
    assert store.usage().tables["checkpoint"].rows == 0
    threads.put("t", "anew", values={"own": value("n", 100)})
    assert ids(threads.checkpoints("t")) == ["anew"]
    store.revert(moment)
    assert threads.checkpoints("t") == before
    assert rows(store) == (1, 3, 5, 4)
    assert threads.checkpoints("t") == before


def test_a_copy_is_whole_and_its_own(threads, store):
    threads.put_writes("t", "c3", "a", [write(0, "x")])
    threads.copy("t", "copy", notes={"one": "another"})
    with pytest.raises(AlreadyExists):
        threads.copy("t", "copy")
    with pytest.raises(NotFound):
        threads.copy("nobody", "new")
    assert threads.notes("copy") == ("another", "three")
    mine, theirs = threads.checkpoint("copy"), threads.checkpoint("t")
    assert (mine.values, mine.writes) == (theirs.values, theirs.writes)
    assert mine.created_at == theirs.created_at
    threads.delete("t")
    assert threads.checkpoint("copy") == mine


def test_threads_are_as_they_were_at_any_moment(threads, store):
    threads.put_writes("t", "c2", "a", [write(0, "x")])
    before, moment = threads.checkpoint("t"), store.moment()
    threads.put("other", "c1")
    then = store.as_of(moment).threads
    assert then.checkpoint("t") == before
    assert then.checkpoint("t", "c2").writes[0].body == "x"
    with pytest.raises(NotFound):
        then.get("other")
    threads.put("t", "c3", state="other")
    threads.prune("t", [])
    then = store.as_of(moment).threads
    assert then.checkpoint("t") == before
    assert ids(then.checkpoints("t")) == ["c3", "c2", "c1"]
    finished(store)
    store.revert(moment)
    assert threads.checkpoint("t").values == before.values


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_dropped_the_others_have_what_they_had(store, seed):
    chance, model = random.Random(seed), {}
    for step in range(80):
        thread, what = chance.choice("ab"), chance.random()
        there = [id for of, id in model if of == thread]
        if what < 0.7:
            id, run = f"c{step:03}", chance.choice(["r1", "r2", "r3"])
            values = {c: value(chance.choice("xyz"), 99) for c in "pq"[: step % 3]}
            store.threads.put(thread, id, values=values, run=run)
            model[thread, id] = (run, {c: v["body"] for c, v in values.items()})
        elif what < 0.85:
            kept = [id for id in there if chance.random() < 0.7]
            store.threads.prune(thread, kept)
            for id in set(there) - set(kept):
                del model[thread, id]
        else:
            store.threads.delete_runs(["r1"])
            model = {key: of for key, of in model.items() if of[0] != "r1"}
    for (thread, id), (run, bodies) in model.items():
        found = store.threads.checkpoint(thread, id)
        assert (found.run, {c: v.body for c, v in found.values.items()}) == (
            run,
            bodies,
        )
    needed = {
        (thread, b)
        for (thread, _), (_, bodies) in model.items()
        for b in bodies.values()
    }
    assert rows(store)[1:] == (len(model), 0, len(needed))
