"""Images: rows as they are, and rows as they were, make every past state again.

A row is in sight as of a moment if it was born by then and not touched since; an image,
if it was born by then and is the first of its row to die after. A row's `no` is the
`seq` of its creation. Thousands of moments of random histories are held against that,
through `as_of`; what a user sees of it is tried in `test_moments`.
"""

import contextlib
import random

import pytest

import holdfast
from holdfast import core
from holdfast.engines.sqlite.connection import connect
from holdfast.kinds import histories, tasks
from pasts import begin, change, change_something, seen

__all__ = ["change_something", "seen"]  # for tests that live through such histories
OWNERS = ("", "ada")
HISTORIES = 60
STEPS = 25
PARTS = 3
TABLES = ("session", "message", "segment", "summary", "task", "task_log")


def live_through(path, seed, clock):
    """A random history: what there was after each step, and whose each moment was."""
    chance = random.Random(seed)
    with holdfast.open(path, clock=clock, durability="process-crash") as store:
        said = {0: {owner: seen(store) for owner in OWNERS}}
        for owner in OWNERS:
            begin(store.owned_by(owner))
            said[store.moment()] = {o: seen(store.owned_by(o)) for o in OWNERS}
        for _ in range(STEPS):
            clock.advance(chance.random())
            change(store.owned_by(chance.choice(OWNERS)), chance)
            said[store.moment()] = {o: seen(store.owned_by(o)) for o in OWNERS}
        every = store.across_owners().journal.read(limit=1000)
        assert every.cursor is None
    return said, {change.moment: change.actor for change in every}


@pytest.fixture(autouse=True)
def little_at_once(monkeypatch):
    """Much is deleted in slices, each a moment of its own, out of sight."""
    monkeypatch.setattr(histories, "_SWEPT_AT_ONCE", 3)
    monkeypatch.setattr(tasks, "_SWEPT_AT_ONCE", 3)
    monkeypatch.setattr(core, "_TIDIED_AT_ONCE", 2)


@contextlib.contextmanager
def looking(path):
    connection = connect(path, durability="process-crash")
    try:
        yield connection
    finally:
        connection.close()


@pytest.mark.parametrize("part", range(PARTS))
def test_rows_and_images_make_every_past_state_again(tmp_path, clock, part):
    compared = states_made_again(tmp_path, clock, range(part, HISTORIES, PARTS))
    assert compared > HISTORIES / PARTS * 12


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_they_do_in_many_more_histories(tmp_path, clock):
    assert states_made_again(tmp_path, clock, range(HISTORIES, 2_000)) > 20_000


def states_made_again(tmp_path, clock, seeds):
    """How many moments were compared with what there was then."""
    compared = 0
    for seed in seeds:
        path = str(tmp_path / f"{seed}.db")
        said, moments = live_through(path, seed, clock)
        expected = said[0]
        with holdfast.open(path, clock=clock, read_only=True) as store:
            for moment, actor in {0: None, **moments}.items():
                if actor == "me":  # the others only swept up what was out of sight
                    expected = said[min(head for head in said if head >= moment)]
                past = store.as_of(moment)
                state = {owner: seen(past.owned_by(owner)) for owner in OWNERS}
                assert state == expected, f"seed {seed}, moment {moment}"
                compared += 1
    return compared


def test_every_version_of_a_row_has_one_image_and_they_do_not_overlap(tmp_path, clock):
    kept = 0
    for seed in range(20):
        path = str(tmp_path / f"{seed}.db")
        live_through(path, seed, clock)
        with looking(path) as connection:
            for table in TABLES:
                kept += images_of(connection, table)
    assert kept > 150


def images_of(connection, table):
    lives = connection.execute(
        f"select no, born, died from was_{table} order by no, died"
    ).fetchall()
    changed = connection.execute(
        "select seq from change where kind = ? and op <> 'create'", (table,)
    ).fetchall()
    assert sorted((died,) for _, _, died in lives) == sorted(changed)
    ends = {}
    for no, born, died in lives:
        assert ends.get(no, no) == born < died
        ends[no] = died
    return len(lives)
