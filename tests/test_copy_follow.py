"""A copy of a store that is written to: at the end it is one moment of it, whole."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

import holdfast
from copies import births, kept, live, places_in, small_pages
from holdfast.engines.postgres.target import target_of

ROUTES = [("file", "postgres"), ("postgres", "file")]
ENOUGH, NEVER = 40, 1_000


@pytest.fixture
def place(tmp_path, monkeypatch):
    small_pages(monkeypatch)
    with places_in(tmp_path) as place:
        yield place


@pytest.fixture(params=ROUTES, ids="-".join)
def route(request, place):
    """A store that is open, and where it may be copied to."""
    source, target = (place(engine) for engine in request.param)
    with holdfast.open(source) as store:
        live(store)
        yield source, target, store.owned_by("bob")


def stirring(store):
    """Does something to rows that were copied, and to rows that were not, each time.

    An id is given up by one row and taken by another, as often as not.
    """
    count = iter(range(100_000))

    def stir(*_):
        number = next(count)
        store.sessions.delete("again")
        store.sessions.create(str(number), id="again", tags=[f"t{number % 3}"])
        store.sessions.append("again", "user", number)
        store.sessions.update("talk", title=f"at {number}")
        store.sessions.append("long", "user", number)
        store.sessions.pop("long")
        store.run(lambda tx: number, once=f"key-{number}")
        store.journal.advance("reader", number + 10)

    return stir


def test_a_copy_of_a_store_that_never_rests_is_one_moment_of_it(route):
    source, target, store = route
    stir = stirring(store)
    told = []

    def tell(what, *_):
        told.append(what)
        if len(told) < ENOUGH:
            stir()
        elif told.count("changes") < NEVER:
            store.sessions.append("long", "user", len(told))

    report = holdfast.copy(source, target, on_progress=tell)
    assert ENOUGH < told.count("changes") < NEVER
    before = kept(source)
    found = kept(target)
    births(found)
    assert [c["seq"] for c in found["change"]] != []
    assert found["change"] == [c for c in before["change"] if c["seq"] <= report.head]
    with holdfast.open(target, owner="bob") as there:
        assert there.sessions.get("again").message_count == 1


def test_the_target_is_kept_current_until_it_is_told_that_writers_have_stopped(route):
    source, target, store = route
    arrived, moments = [0], []

    def until():
        """As an operator: wait for the target, write, wait again, and then switch."""
        if not moments or (moments[-1] <= arrived[-1] and len(moments) < 5):
            store.sessions.update("talk", title=f"moment {len(moments)}")
            moments.append(store.journal.head())
        return len(moments) == 5 and moments[-1] <= arrived[-1]

    def tell(what, done, _):
        if what == "changes":
            arrived.append(done)

    report = holdfast.copy(source, target, follow=True, until=until, on_progress=tell)
    assert report.head == moments[-1]
    assert len(set(arrived)) >= 5
    assert kept(target) == kept(source)


def busily(store, name):
    """Makes, fills, renames and deletes sessions, a few at a time."""
    for number in range(60):
        talk = f"{name}-{number % 7}"
        store.sessions.delete(talk)
        store.sessions.create(id=talk, tags=[name])
        said = [{"role": "user", "content": n} for n in range(number % 5)]
        store.sessions.extend(talk, said)
        store.sessions.update(talk, title=str(number))


def test_no_change_is_lost_under_load(route):
    source, target, store = route
    stopped, filling = threading.Event(), threading.Event()

    def crowd():
        filling.wait()
        with ThreadPoolExecutor(2) as writers:
            done = [writers.submit(busily, store, name) for name in ("a", "b")]
        stopped.set()
        return [one.result() for one in done]

    with ThreadPoolExecutor(1) as aside:
        crowded = aside.submit(crowd)
        try:
            holdfast.copy(
                source,
                target,
                follow=True,
                until=stopped.is_set,
                on_progress=lambda what, *_: what == "session" and filling.set(),
            )
        finally:
            filling.set()
        crowded.result()
    found = kept(target)
    assert found == kept(source)
    births(found)
    assert len(found["change"]) > 400


def test_following_ends_when_it_is_interrupted_and_goes_on_later(route):
    source, target, store = route

    def until():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        holdfast.copy(source, target, follow=True, until=until)
    with pytest.raises(holdfast.errors.CannotOpen, match="not all there yet"):
        holdfast.open(target)
    stirring(store)()
    holdfast.copy(source, target)
    assert kept(target) == kept(source)


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_a_change_that_is_of_no_moment_yet_is_brought_over_when_it_is(place, engine):
    source, target = place("postgres"), place(engine)
    rounds = []
    with holdfast.open(source) as store:
        live(store)

        def until():
            """Twice by another program, then a unit that changes nothing itself."""
            rounds.append(unstamped(source))
            if len(rounds) < 3:
                by_hand(source, "update session set title = title || ' by hand'")
            elif len(rounds) == 3:
                store.run(lambda tx: 1, once="a moment")
            return len(rounds) == 4

        holdfast.copy(source, target, follow=True, until=until)
    assert rounds[0] == 0
    assert rounds[1] > 4  # more than one step brings over
    assert rounds[3] < rounds[2]
    assert kept(target) == kept(source)


def test_a_change_that_is_stamped_at_the_last_moment_is_brought_over_again(place):
    source, target = place("postgres"), place("file")
    with holdfast.open(source) as store:
        live(store)
        by_hand(source, "update session set title = '' where id = 'long'")
        stamped = []

        def tell(what, *_):
            if what == "changes" and not stamped:
                stamped.append(store.run(lambda tx: 1, once="a moment"))

        holdfast.copy(source, target, on_progress=tell)
    assert stamped == [1]
    assert unstamped(source) == 0
    assert kept(target) == kept(source)


def by_hand(url, text):
    target = target_of(url.removeprefix("postgresql://"), read_only=False)
    with psycopg.connect(target.conninfo) as connection:
        connection.execute(f"set local search_path = {target.schema}")
        return connection.execute(text.encode()).rowcount


def unstamped(url):
    return by_hand(url, "select 1 from change where at is null and seq > "
                   "(select max(seq) from change where at is not null)")  # fmt: skip


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_a_row_may_take_the_place_of_one_that_was_copied_already(place, engine):
    """Its number is below the last one, for numbers are dealt out to processes."""
    source, target = place("postgres"), place(engine)
    with holdfast.open(source) as low, holdfast.open(source) as high:
        low.sessions.create(id="first")
        low.sessions.create(id="again")
        high.sessions.create(id="high")
        moved = []

        def tell(what, *_):
            if what == "session" and not moved:
                moved.append(low.sessions.delete("again"))
                low.sessions.create("another", id="again")

        holdfast.copy(source, target, on_progress=tell)
    assert moved == [True]
    assert kept(target) == kept(source)
