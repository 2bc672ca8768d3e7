"""Named followers: a place in the journal that is kept with what was done there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast
from holdfast import errors


def count(tx, changes):
    """An effect: one task for each batch, which says what was in it."""
    seqs = [change.seq for change in changes]
    tx.tasks.create("seen", metadata={"seqs": seqs})


def counted(store):
    found = [task.metadata["seqs"] for task in store.tasks.list(limit=1000)]
    return sorted(seq for seqs in found for seq in seqs)


def filled(store, talks=5):
    for number in range(talks):
        store.sessions.create(id=f"s{number}")


def place(follower):
    cursor = follower.cursor  # a call, on the async face
    return cursor() if callable(cursor) else cursor


def test_a_follower_takes_up_where_it_stopped(store):
    filled(store)
    index = store.journal.follower("index")
    assert place(index) == 0
    assert index.apply(count, kinds=["sessions"], limit=3) == 3
    assert index.apply(count, kinds=["sessions"], limit=3) == 6
    assert counted(store) == [1, 2, 3, 4, 5]
    again = store.journal.follower("index")
    assert place(again) == 6
    store.sessions.create(id="late")
    assert again.apply(count, kinds=["sessions"]) == 8
    assert counted(store) == [1, 2, 3, 4, 5, 8]


def test_a_follower_with_nothing_new_writes_nothing(store):
    filled(store, 1)
    index = store.journal.follower("index")
    index.apply(lambda tx, changes: None)
    head = store.journal.head()
    assert index.apply(count) == place(index) == head == store.journal.head()


def test_changes_of_other_kinds_move_the_place_and_have_no_effect(store):
    store.tasks.create("one")
    index = store.journal.follower("index")
    assert index.apply(lambda tx, changes: 1 / 0, kinds=["sessions"]) == 1


def test_the_effect_says_who_did_it(store):
    filled(store, 1)
    store.journal.follower("index").apply(count)
    assert list(store.journal.read())[-1].actor == "follower:index"


def test_an_effect_that_fails_moves_nothing(store):
    filled(store)
    index = store.journal.follower("index")
    index.apply(count, limit=2)

    def half(tx, changes):
        count(tx, changes)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        index.apply(half)
    assert place(index) == 2
    assert counted(store) == [1, 2]


def test_followers_of_other_names_and_owners_have_places_of_their_own(store):
    filled(store)
    store.journal.follower("one").apply(count, limit=2)
    store.journal.follower("two").apply(count, limit=1)
    places = [place(store.journal.follower(name)) for name in ("one", "two", "new")]
    assert places == [2, 1, 0]
    assert place(store.owned_by("ada").journal.follower("one")) == 0


def test_of_two_under_one_name_the_second_is_refused_and_its_effect_not_kept(store):
    filled(store)
    fast = store.journal.follower("index")
    slow = store.journal.follower("index")
    found = store.journal.stretch(0, limit=5)

    def overtaken(tx):
        count(tx, found.changes)
        return tx.journal.advance("index", found.reached)

    fast.apply(count, limit=5)
    with pytest.raises(errors.Refused, match="'index' is at 5 already"):
        store.run(overtaken)
    assert counted(store) == [1, 2, 3, 4, 5]
    assert place(slow) == 5


def test_a_place_never_goes_back(store):
    filled(store)
    store.journal.advance("index", 4)
    for to in (0, 3, 4):
        with pytest.raises(errors.Refused):
            store.journal.advance("index", to)
    assert store.journal.cursor("index") == 4


@pytest.mark.parametrize("name", ["", "1", "a b", "x" * 65])
def test_a_follower_has_a_short_name(store, name):
    with pytest.raises(errors.InvalidId):
        place(store.journal.follower(name))


SLOW = """
import os, sys
sys.path[:0] = [{tests!r}, {source!r}]
import holdfast
from test_followers import count
with holdfast.open({path!r}) as store:
    index = store.journal.follower("index")
    real = store.journal.stretch
    found = real(index.cursor, limit=5)
    print("read", flush=True)
    sys.stdin.readline()
    def effect(tx):
        count(tx, found.changes)
        if {dies}:
            os._exit(9)
        return tx.journal.advance("index", found.reached)
    try:
        store.run(effect)
    except holdfast.errors.Refused:
        print("refused", flush=True)
"""


def other_process(path, *, dies):
    source, tests = Path(holdfast.__file__).parents[1], Path(__file__).parent
    code = SLOW.format(path=path, dies=dies, source=str(source), tests=str(tests))
    started = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout.readline() == "read\n"
    return started


def test_of_two_processes_under_one_name_the_second_is_refused(open_store, path):
    store = open_store()
    filled(store)
    other = other_process(path, dies=False)
    store.journal.follower("index").apply(count, limit=5)
    assert other.communicate("go\n", timeout=60)[0] == "refused\n"
    assert counted(store) == [1, 2, 3, 4, 5]


def test_a_crash_in_between_leaves_neither_the_effect_nor_the_place(open_store, path):
    store = open_store()
    filled(store)
    other = other_process(path, dies=True)
    other.communicate("go\n", timeout=60)
    assert other.returncode == 9
    index = store.journal.follower("index")
    assert (index.cursor, counted(store)) == (0, [])
    index.apply(count, limit=5)
    assert (index.cursor, counted(store)) == (5, [1, 2, 3, 4, 5])
    assert os.path.exists(path)


def test_a_follower_is_one_owners_and_refused_across_owners(store):
    with pytest.raises(errors.Refused, match="owned_by"):
        store.across_owners().journal.follower("index")
