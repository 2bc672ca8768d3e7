"""Watching: being woken when something was committed.

Answers for: wake-ups after every kind of commit, from any engine on the place.
"""

import threading
from queue import SimpleQueue

import pytest

from holdfast.errors import Closed
from holdfast.testing.contract import Contract, needs
from holdfast.testing.work import Opened, Place, add

_ROUNDS = 3


class WatchingContract(Contract):
    """`watch`."""

    def test_a_watcher_is_woken_after_every_way_to_commit(self, place: Place) -> None:
        one = place.open()
        _wakes(place, one, one)

    @needs("shared_places")
    def test_a_watcher_is_woken_by_another_engine_too(self, place: Place) -> None:
        _wakes(place, place.open(), place.open())

    def test_every_watcher_is_woken_until_it_stops(self, place: Place) -> None:
        one = place.open()
        woken = [threading.Event() for _ in range(3)]
        stops = [one.engine.watch(event.set) for event in woken]
        _woken(place, one, woken, "a")
        stops[1]()
        stops[1]()
        _woken(place, one, [woken[0], woken[2]], "b")
        for stop in stops:
            stop()
        woken.append(threading.Event())
        stop = one.engine.watch(woken[3].set)
        _woken(place, one, woken[3:], "c")
        stop()

    def test_a_follower_gets_each_change_as_it_comes(self, place: Place) -> None:
        one = place.open()
        met: SimpleQueue[str | None] = SimpleQueue()

        def follow() -> None:
            for change in one.store.journal.follow(0):
                met.put(change.id)

        with place.threads(follow):
            for number in range(8):
                one.write(add(f"{number}"))
                assert met.get(timeout=place.patience_seconds) == f"{number}"
            one.engine.close()

    def test_followers_end_when_the_engine_closes(self, place: Place) -> None:
        one = place.open()
        met, ended = threading.Event(), threading.Event()

        def follow() -> None:
            for _ in one.store.journal.follow(0):
                met.set()
            ended.set()

        with place.threads(follow):
            one.write(add("a"))
            assert place.met(met)
            one.engine.close()
            assert place.met(ended)
        with pytest.raises(Closed):
            one.engine.watch(met.set)


def _woken(place: Place, one: Opened, events: list[threading.Event], name: str) -> None:
    for event in events:
        event.clear()
    one.write(add(name))
    for event in events:
        assert place.met(event), "it was not woken"


def _wakes(place: Place, one: Opened, watching: Opened) -> None:
    woken = threading.Event()
    stop = watching.engine.watch(woken.set)
    names = (f"{number}" for number in range(1_000))
    for _ in range(_ROUNDS):
        for commit in (_unit, _posted, _body, _loan):
            name = next(names)
            woken.clear()
            commit(place, one, name)
            _until_seen(place, watching, woken, name)
    stop()


def _until_seen(
    place: Place, watching: Opened, woken: threading.Event, name: str
) -> None:
    """Woken, perhaps more than once, until what was committed is seen."""
    while True:
        assert place.met(woken), f"it was not woken for {name}"
        woken.clear()
        if name in watching.ids():
            return


def _unit(_: Place, one: Opened, name: str) -> None:
    one.write(add(name))


def _posted(place: Place, one: Opened, name: str) -> None:
    async def posted() -> None:
        await one.posted(add(name))

    place.awaited(posted())


def _body(_: Place, one: Opened, name: str) -> None:
    with one.body() as tx:
        add(name)(tx)


def _loan(place: Place, one: Opened, name: str) -> None:
    async def lent() -> None:
        loan = await one.loan()
        await loan.do(add(name))
        await loan.end(keep=True)

    place.awaited(lent())
