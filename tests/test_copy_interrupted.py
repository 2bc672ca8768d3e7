"""A copy that was broken off, wherever that was, ends the same when made again."""

import random

import pytest

import holdfast
from copies import kept, live, places_in, small_pages
from holdfast.engines.postgres.loading import PostgresLoader
from holdfast.engines.sqlite.loading import SqliteLoader
from holdfast.errors import CannotOpen, HoldfastError, Refused, Unreachable
from killing import Worker
from postgres import Server

LOADERS = {"file": SqliteLoader, "postgres": PostgresLoader}
CALLS = ("run", "add", "unguard", "guard")
CUTS_ON_A_FILE, CUTS_ON_POSTGRES = 12, 6
KILLS = 5


class Cut(Exception):
    """What a call of the loader raises that was cut."""


@pytest.fixture
def place(tmp_path, monkeypatch):
    small_pages(monkeypatch)
    with places_in(tmp_path) as place:
        yield place


@pytest.fixture(params=["file", "postgres"])
def pair(request, place):
    """A store with a past, on one engine, and a place on each of the engines."""
    source, target = place("file"), place(request.param)
    with holdfast.open(source) as store:
        live(store)
    return source, target, LOADERS[request.param]


def cut_before(patch, loader, place):
    """Have the call at that place, from 1 on, raise; a counter of the calls."""
    seen = []

    def counted(real):
        def call(self, *args, **kwargs):
            seen.append(real)
            if len(seen) == place:
                raise Cut
            return real(self, *args, **kwargs)

        return call

    for name in CALLS:
        patch.setattr(loader, name, counted(getattr(loader, name)))
    return seen


def goes_on(source, target, number):
    """After a cut: nobody gets at what is half there, and the source moves on."""
    try:
        there = kept(target)
    except CannotOpen:
        pass
    else:
        assert there["change"] == []  # it was cut before it began
    with holdfast.open(source, owner="bob") as store:
        store.sessions.update("talk", title=f"after {number}")
        store.sessions.create(id=f"s{number}", tags=["late"])
        store.sessions.delete(f"s{number - 2}")


def cuts(source, target, loader, monkeypatch):
    """Where one copy can be cut: some of all the places, for there are many."""
    with monkeypatch.context() as patch:
        seen = cut_before(patch, loader, 0)
        holdfast.copy(source, target)
    every = range(1, len(seen) + 1)
    if loader is SqliteLoader:
        return list(every)[:: max(1, len(seen) // CUTS_ON_A_FILE)]
    return sorted(random.Random(7).sample(every, CUTS_ON_POSTGRES))


def test_a_copy_that_was_cut_anywhere_ends_the_same(pair, place, monkeypatch):
    source, target, loader = pair
    engine = "file" if loader is SqliteLoader else "postgres"
    places = cuts(source, target, loader, monkeypatch)
    for number in places:
        target = place(engine)
        with monkeypatch.context() as patch:
            cut_before(patch, loader, number)
            with pytest.raises(Cut):
                holdfast.copy(source, target)
        goes_on(source, target, number)
        holdfast.copy(source, target)
        assert kept(target) == kept(source), number
    assert len(places) >= CUTS_ON_POSTGRES


def test_one_copy_that_is_cut_again_and_again_ends_the_same(pair, monkeypatch):
    source, target, loader = pair
    for number in range(5, 500, 17):
        with monkeypatch.context() as patch:
            seen = cut_before(patch, loader, number)
            try:
                holdfast.copy(source, target)
            except Cut:
                goes_on(source, target, number)
                continue
        break
    assert len(seen) < number
    assert number > 50
    assert kept(target) == kept(source)


def test_a_copy_goes_on_where_it_was_and_does_not_begin_again(pair, monkeypatch):
    source, target, _ = pair
    told = []

    def stop_late(what, done, total):
        told.append(what)
        if what == "message" and done > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        holdfast.copy(source, target, on_progress=stop_late)
    before, told[:] = set(told), []
    holdfast.copy(source, target, on_progress=lambda what, *_: told.append(what))
    assert {"change", "was_session", "session"} <= before
    assert not {"change", "was_session", "session"} & set(told)
    assert "message" in told
    assert kept(target) == kept(source)


def test_a_copy_that_is_killed_at_any_moment_ends_the_same(pair, place):
    source, _, loader = pair
    engine = "file" if loader is SqliteLoader else "postgres"
    target = place(engine)
    chance = random.Random(11)
    for number in range(KILLS):
        worker = Worker(
            lambda say: holdfast.copy(
                source, target, on_progress=lambda what, *_: say(what)
            )
        )
        try:
            worker.wait_for(chance.randrange(1, 12))
            worker.kill()
        finally:
            worker.close()
        goes_on(source, target, number)
    holdfast.copy(source, target)
    assert kept(target) == kept(source)


def test_a_copy_whose_server_was_killed_ends_the_same_once_it_is_back(place):
    source = place("file")
    with holdfast.open(source) as store:
        live(store)
    with Server() as server:
        target = server.url(reconnect_seconds=0.5)
        for moment in ("change", "session", "changes", "comparing change"):
            killed = []

            def kill(what, *_, moment=moment, killed=killed):
                if what == moment and not killed:
                    killed.append(server.kill())

            with holdfast.open(source) as store:
                store.sessions.create()  # so that there is a change to be told of
            with pytest.raises((Unreachable, CannotOpen)):
                holdfast.copy(source, target, on_progress=kill)
            server.start()
        holdfast.copy(source, target)
        assert kept(target) == kept(source)


def test_of_two_copies_into_one_target_the_later_goes_on_alone(pair):
    source, target, _ = pair
    reports = []

    def begin_another(what, *_):
        if not reports and what == "session":
            reports.append(holdfast.copy(source, target))

    with pytest.raises(Refused, match="a run that began later"):
        holdfast.copy(source, target, on_progress=begin_another)
    assert len(reports) == 1
    assert kept(target) == kept(source)


def test_a_half_made_copy_is_taken_over_by_no_other_store_unless_told(pair, place):
    source, target, _ = pair

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        holdfast.copy(source, target, on_progress=stop)
    other = place("file")
    with holdfast.open(other) as store:
        store.sessions.create("another", id="another")
    with pytest.raises(Refused, match="copy of another store"):
        holdfast.copy(other, target)
    with pytest.raises(HoldfastError, match="not all there yet"):
        holdfast.copy(target, place("file"))
    holdfast.copy(other, target, replace=True)
    assert kept(target) == kept(other)
