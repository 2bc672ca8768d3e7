"""Merging: changes put together come to the same as one after another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import codec
from holdfast.sections.memory import _ENTRY_BYTES, Looked, Memory, Written
from holdfast.sections.merging import (
    Gone,
    Merge,
    Put,
    applied,
    fresh,
    merge_of,
    put_together,
    size_of,
)
from holdfast.sections.unsaved import Unsaved

KEYS = st.sampled_from("abc")
VALUES = st.recursive(
    st.none() | st.integers(0, 3) | st.sampled_from(["", "x"]),
    lambda inner: (
        st.dictionaries(KEYS, inner, max_size=3) | st.lists(inner, max_size=2)
    ),
    max_leaves=6,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=3)


def changes(value):
    return st.one_of(
        st.just(Gone()),
        value.map(lambda one: Put(codec.document(one))),
        st.builds(merge_of, value.map(codec.document), st.none() | OBJECTS),
    )


CHANGES = changes(VALUES)


def plain(document):
    return None if document is None else ("has", fresh(document))


def merged(value, there):
    """What a merge comes to, in other words."""
    if not isinstance(value, dict):
        return value
    found = dict(there) if isinstance(there, dict) else {}
    return found | {key: merged(one, found.get(key)) for key, one in value.items()}


@given(VALUES, VALUES)
def test_objects_are_merged_within_objects_and_all_else_replaces(value, there):
    found = applied(merge_of(codec.document(value)), codec.document(there))
    assert fresh(found) == merged(value, there)


@given(st.none() | VALUES.map(codec.document), st.lists(CHANGES, max_size=5))
def test_changes_put_together_come_to_the_same_as_one_after_another(there, several):
    found, together = there, None
    for change in several:
        found = applied(change, found)
        together = put_together(together, change)
    assert plain(applied(together, there)) == plain(found)


@given(st.none() | VALUES.map(codec.document), CHANGES, CHANGES, CHANGES)
def test_it_does_not_matter_which_are_put_together_first(there, a, b, c):
    left = put_together(put_together(a, b), c)
    right = put_together(a, put_together(b, c))
    assert plain(applied(left, there)) == plain(applied(right, there))


def test_what_is_merged_into_a_value_that_was_put_is_merged_into_no_other():
    there = codec.document({"a": {"old": 1}})
    first, second = ({"a": 5}, {"a": {"new": 2}})
    together = put_together(
        merge_of(codec.document(first)), merge_of(codec.document(second))
    )
    assert fresh(applied(together, there)) == {"a": {"new": 2}}


def test_a_merge_where_nothing_is_begins_from_what_is_there_otherwise():
    change = merge_of(codec.document({"n": 2}), {"on": True, "n": 1})
    assert isinstance(change, Merge)
    assert fresh(applied(change, None)) == {"on": True, "n": 2}
    assert fresh(applied(change, codec.document({"m": 0}))) == {"m": 0, "n": 2}
    assert fresh(applied(change, codec.document(None))) == {"n": 2}


def test_merges_put_together_begin_from_what_the_first_of_them_begins_from():
    def changes():
        yield merge_of(codec.document({"n": 1}), {"on": True})
        yield merge_of(codec.document({"m": 2}), {"never": True})

    wanted = {"on": True, "n": 1, "m": 2}
    assert fresh(applied(put_together(*changes()), None)) == wanted
    memory = Memory(1)
    for number, change in enumerate(changes()):
        memory.add(number + 1, "a", change)
    assert memory.value("a").value == wanted


# What a section is in memory, beside a plain model of it.

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), KEYS, CHANGES),
        st.tuples(st.just("outside"), KEYS, CHANGES),
        st.tuples(st.just("take")),
        st.tuples(st.just("commit")),
        st.tuples(st.just("fail")),
        st.tuples(st.just("look")),
    ),
    max_size=30,
)


class World:
    """A memory, a store as a plain dict, and what one who only writes would have."""

    def __init__(self):
        self.memory = Memory(1)
        self.store, self.version, self.number = {}, 1, 0
        self.taken = None
        self.waiting = []

    def change(self, key, change):
        self.number += 1
        self.memory.add(self.number, key, change)
        self.waiting.append((self.number, key, change))

    def outside(self, key, change):
        """Another process saves a change."""
        if self.taken is None:  # who writes keeps others from that
            self._apply(self.store, key, change)
            self.version += 1

    def take(self):
        self.taken = self.memory.take(reads=False)

    def fail(self):
        if self.taken is not None:
            self.taken = None
            self.memory.settle()

    def commit(self):
        if self.taken is None:
            return
        taken, self.taken = self.taken, None
        was = (1, self.version)
        for key, change in taken.changes.items():
            self._apply(self.store, key, change)
        self.version += 1
        values = {key: self.store.get(key) for key in taken.changes}
        now = (1, self.version)
        self.memory.written(Written(taken.upto, values, was, now))
        self.waiting = [one for one in self.waiting if one[0] > taken.upto]
        self.agrees()

    def weighs(self):
        """What memory says that it holds is what it does hold."""
        waiting = self.memory._waiting.items()
        each = [(key, one) for key, several in waiting for one in several]
        for key, one in each:
            assert one.size == _ENTRY_BYTES + len(key) + size_of(one.change)
        assert self.memory.size == sum(one.size for _, one in each)

    def look(self):
        stamp = (1, self.version)
        known = self.memory.loaded and self.memory.stamp == stamp
        values = None if known else dict(self.store)
        self.memory.adopt(Looked(self.memory.epoch, stamp, values), 0.0)
        assert not self.memory.stale
        self.agrees()

    def agrees(self):
        """What memory holds for the newest is that, with what is not saved upon it."""
        if self.memory.stale or self.memory.stamp != (1, self.version):
            return
        wanted = dict(self.store)
        for _, key, change in self.waiting:
            self._apply(wanted, key, change)
        found = {key: fresh(one) for key, one in self.memory.values().items()}
        assert found == {key: fresh(one) for key, one in wanted.items()}
        assert list(found) == sorted(found)

    def _apply(self, state, key, change):
        found = applied(change, state.get(key))
        if found is None:
            state.pop(key, None)
        else:
            state[key] = found


@given(STEPS)
def test_a_section_in_memory_is_the_store_and_what_is_not_saved_upon_it(steps):
    world = World()
    for name, *args in steps:
        getattr(world, name)(*args)
        world.weighs()
    world.look()
    world.take()
    world.commit()
    world.look()
    assert not world.memory.dirty
    assert world.memory.size == 0


def test_what_another_saved_before_a_commit_is_looked_for_after_it():
    world = World()
    world.look()
    world.change("a", Put(codec.document(1)))
    world.outside("b", Put(codec.document(2)))
    world.take()
    world.commit()
    assert world.memory.stale
    world.look()
    assert sorted(world.memory.values()) == ["a", "b"]


def test_what_was_merged_once_is_not_merged_again_over_what_another_saved():
    world = World()
    world.look()
    world.change("a", merge_of(codec.document({"x": "mine"})))
    world.take()
    world.change("a", merge_of(codec.document({"y": "mine"})))
    world.commit()
    world.outside("a", merge_of(codec.document({"x": "theirs"})))
    world.take()
    world.commit()
    assert fresh(world.store["a"]) == {"x": "theirs", "y": "mine"}


@given(STEPS)
def test_without_others_memory_need_not_look_again(steps):
    world = World()
    world.look()
    for name, *args in steps:
        if name not in {"outside", "look"}:
            getattr(world, name)(*args)
    assert not world.memory.stale
    there = {key: fresh(one) for key, one in world.memory.values().items()}
    world.look()
    assert {key: fresh(one) for key, one in world.memory.values().items()} == there


def test_what_becomes_known_during_a_look_is_not_undone_by_it():
    memory = Memory(1)
    memory.adopt(Looked(1, (1, 1), {"a": codec.document(1)}), 0.0)
    epoch = memory.epoch
    memory.written(Written(0, {"a": codec.document(2)}, (1, 1), (1, 2)))
    memory.adopt(Looked(epoch, (1, 1), {"a": codec.document(1)}), 0.0)
    assert memory.value("a").value == 2
    assert memory.stale


def test_what_a_handler_changes_amid_a_piece_of_work_is_taken_in_right_after_it():
    unsaved = Unsaved()

    def amid(fails):
        unsaved.change("", "jobs", {"a": Put(codec.document(1))})
        assert not unsaved.is_dirty("", "jobs")
        assert unsaved.value("", "jobs", "a") is None
        assert not fails

    unsaved._ask(lambda: amid(fails=False))
    assert unsaved.value("", "jobs", "a").value == 1
    unsaved = Unsaved()
    with pytest.raises(AssertionError):
        unsaved._ask(lambda: amid(fails=True))
    assert unsaved.is_dirty("", "jobs")


@given(st.lists(OBJECTS, min_size=1, max_size=4), st.booleans(), st.booleans())
def test_what_was_handed_out_stays_as_it_was(several, reads, settles):
    memory, handed = Memory(1), []
    for number, value in enumerate(several):
        change = merge_of(codec.document(value))
        memory.add(number + 1, "a", change)
        handed += [change, memory.take(reads=reads).changes["a"]]
        if settles:
            memory.settle()
        before = [repr(one) for one in handed]
        memory.add(number + 2, "a", merge_of(codec.document({"a": {"b": 9}, "c": 9})))
        memory.add(number + 3, "a", merge_of(codec.document({"a": {"c": 9}})))
        assert [repr(one) for one in handed] == before


def test_a_merge_costs_what_it_changes_however_much_waits():
    """No copy is made of what waits, for nobody has it yet."""
    memory = Memory(1)
    for number in range(1, 4):
        memory.add(number, "a", merge_of(codec.document({f"k{number}": {"n": 1}})))
    (waiting,) = memory._waiting["a"]
    tree = waiting.change.tree
    memory.add(4, "a", merge_of(codec.document({"k1": {"m": 2}})))
    assert memory._waiting["a"][0].change.tree is tree
    assert memory.value("a").value == {
        "k1": {"n": 1, "m": 2},
        "k2": {"n": 1},
        "k3": {"n": 1},
    }


@pytest.mark.parametrize("times", [3, 50])
def test_what_fails_again_and_again_takes_no_more_room(times):
    memory = Memory(1)
    for number in range(times):
        memory.add(number + 1, "a", merge_of(codec.document({"n": number % 10})))
        memory.take(reads=False)
        memory.settle()
    assert memory.size < 200
    assert memory.value("a").value == {"n": (times - 1) % 10}
