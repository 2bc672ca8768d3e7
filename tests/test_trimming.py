"""What is trimmed is gone as a whole; what is not, can be read as it was, for ever."""

import contextlib
import random
import threading
import time
from datetime import timedelta

import apsw
import pytest

import holdfast
from conftest import store_on
from copies import ROUTES, kept, live, places_in, small_pages
from examples import dump
from holdfast import errors, retention
from holdfast.clock import to_datetime
from holdfast.retention import Policy
from holdfast.schema.format import ELSEWHERE
from postgres import fresh_schema
from test_images import change_something, seen
from test_postgres_owners import as_agent


@pytest.fixture
def in_small_bites(monkeypatch):
    """Have a slice end after a few changes."""
    monkeypatch.setattr(retention, "_SLICE_SECONDS", 0)
    monkeypatch.setattr(retention, "_CHANGES_AT_MOST", 3)
    monkeypatch.setattr(retention, "_CHANGES_AT_FIRST", 3)


def write(store, count, id="talk"):
    """So many changes, each a moment of its own, and most with an image."""
    for n in range(count):
        if n % 3:
            store.sessions.update(id, title=f"title {n}")
        else:
            store.sessions.append(id, "user", n)


def finish(store, before=None):
    """Trim, to the last slice."""
    reach = store.journal.trim(before)
    while reach.left:
        reach = store.journal.trim(before)
    return reach


def stored(store):
    """Which changes and which images there are in the file, by their numbers."""
    found = dump(store)
    images = [row["died"] for name in found if name.startswith("was_")
              for row in found[name]]  # fmt: skip
    return [row["seq"] for row in found["change"]], sorted(images)


def now(clock):
    return to_datetime(clock.now_us())


def wait_for(holds):
    """Wait until something that happens by itself has happened."""
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.005)


# What is kept, and what is not.


def test_what_was_before_is_gone_and_what_comes_after_is_as_it_was(store):
    store.sessions.create(id="talk")
    write(store, 60)
    then = store.as_of(40)
    wanted = seen(then), list(store.journal.read(40))
    reach = finish(store, 40)
    assert (reach.horizon, reach.left) == (40, 0)
    changes, images = stored(store)
    assert changes == list(range(40, 62))
    assert min(images) >= 40
    assert store.journal.horizon() == 40
    assert (seen(then), list(store.journal.read(40))) == wanted
    assert store.journal.head() == 61
    for attempt in (
        lambda: store.journal.read(39),
        lambda: store.as_of(39),
        lambda: store.as_of(reach.at - timedelta(seconds=1)),
        lambda: store.journal.follower("late").apply(lambda tx, changes: None),
    ):
        with pytest.raises(errors.Trimmed):
            attempt()
    assert store.check().problems == ()


def test_the_remedy_of_a_follower_that_came_too_late_is_one(store):
    store.sessions.create(id="talk")
    write(store, 30)
    finish(store, 20)
    late = store.journal.follower("late")
    with pytest.raises(errors.Trimmed, match=r"as_of.*journal.advance\(name, 20\)"):
        late.apply(lambda tx, changes: None)
    assert store.as_of(20).sessions.get("talk").title == "title 17"
    store.journal.advance("late", 20)
    applied = []
    assert late.apply(lambda tx, changes: applied.extend(changes)) == 31
    assert [change.seq for change in applied] == list(range(21, 32))


def test_the_newest_moment_is_never_given_up(store, clock):
    store.sessions.create(id="talk")
    write(store, 9)
    head = store.moment()
    assert finish(store, head).horizon == head
    clock.advance(10)
    assert finish(store, now(clock)).horizon == head
    with pytest.raises(errors.Refused, match="lies ahead"):
        store.journal.trim(head + 1)
    assert stored(store) == ([head], [head])
    write(store, 3)
    assert stored(store)[0] == [head, head + 1, head + 2, head + 3]
    assert store.as_of(head).sessions.get("talk").message_count == 3


def test_nothing_is_given_up_by_half(store):
    store.sessions.create(id="talk")
    with store.transaction() as tx:
        write(tx, 5)
    head = store.moment()
    assert finish(store, head - 1).horizon == 1
    assert finish(store, 0).horizon == 1, "the past does not come back"
    assert store.as_of(1).sessions.get("talk").title == ""


def test_a_moment_may_be_named_by_its_time(store, clock):
    store.sessions.create(id="talk")
    times = []
    for n in range(5):
        clock.advance(60)
        store.sessions.update("talk", title=str(n))
        times.append(now(clock))
    finish(store, times[2] + timedelta(seconds=30))
    assert store.journal.horizon() == 4
    assert store.as_of(times[2]).sessions.get("talk").title == "2"
    assert (
        store.as_of(times[3] - timedelta(seconds=1)).sessions.get("talk").title == "2"
    )
    with pytest.raises(errors.Trimmed):
        store.as_of(times[2] - timedelta(seconds=1))
    assert finish(store, times[0]).horizon == 4


def test_an_empty_store_has_nothing_to_trim(store):
    reach = store.journal.trim(0)
    assert (reach.horizon, reach.at, reach.left) == (0, None, 0)
    assert store.journal.trim() == reach
    assert store.journal.stats().changes == 0
    with pytest.raises(errors.Refused):
        store.journal.trim(1)


@pytest.mark.parametrize(
    ("engine", "seed"),
    [("memory", 1), ("memory", 2), ("file", 3), ("file", 4), ("postgres", 5),
     ("postgres", 6)],
)  # fmt: skip
def test_every_moment_that_is_left_is_exact(tmp_path, clock, engine, seed):
    """A random history, trimmed now and then at random, against what was seen."""
    chance, said = random.Random(seed), {}
    with store_on(engine, tmp_path) as target, holdfast.open(target, clock=clock) as s:
        for _ in range(100):
            clock.advance(chance.random())
            with s.transaction() as tx:
                for _ in range(chance.choice([1, 1, 3])):
                    with contextlib.suppress(errors.HoldfastError), tx.savepoint():
                        change_something(tx, chance)
            said[s.moment()] = seen(s)
            if chance.random() < 0.1:
                s.journal.trim(chance.randrange(s.moment() * 3 // 4 + 1))
                said = {m: was for m, was in said.items() if m >= s.journal.horizon()}
        assert len(said) > 5
        for moment, was in said.items():
            assert seen(s.as_of(moment)) == was, f"seed {seed}, moment {moment}"
        assert s.journal.horizon() > 0
        assert s.check().problems == ()


# Rows that were made elsewhere: their number says nothing about when they were made.


@pytest.mark.parametrize("route", [*ROUTES, ("postgres", None)], ids=str)
def test_a_row_from_elsewhere_keeps_the_past_that_is_kept(tmp_path, route):
    source, target = route
    with places_in(tmp_path) as places:
        place = places(source)
        with holdfast.open(place) as store:
            store.sessions.create("old", id="talk")
            store.sessions.append("talk", "user", "said")
            write(store, 8)
        if target is not None:
            there = places(target)
            holdfast.copy(place, there)
            place = there
        with holdfast.open(place) as store:
            head = store.moment()
            was = seen(store)
            finish(store, head)
            store.sessions.update("talk", title="new")
            store.sessions.pop("talk")
            assert seen(store.as_of(head)) == was
            store.sessions.delete("talk")
            assert seen(store.as_of(head)) == was
            assert seen(store.as_of(head + 1))["sessions"][0].title == "new"
            assert store.check().problems == ()


def test_the_number_of_a_row_that_is_gone_is_given_to_no_other(tmp_path):
    with fresh_schema() as source, fresh_schema() as target:
        with holdfast.open(source) as store:
            store.sessions.create(id="gone")
            finish(store, store.moment())
            store.sessions.delete("gone")
            gone = dump(store)["was_session"][0]["no"]
        holdfast.copy(source, target)
        with holdfast.open(target) as store:
            store.sessions.create(id="new")
            assert dump(store)["session"][0]["no"] > gone >= ELSEWHERE


@pytest.mark.parametrize("route", ROUTES, ids="-".join)
def test_a_store_that_was_trimmed_is_copied_as_it_is(tmp_path, route):
    with places_in(tmp_path) as places:
        source, target = (places(engine) for engine in route)
        with holdfast.open(source) as store:
            live(store)
            store.journal.keep(max_changes=20)
            finish(store)
            moment = store.moment() - 5
            moment = finish(store, moment).horizon
            was = seen(store.as_of(moment))
            policy = store.journal.policy()
        holdfast.copy(source, target)
        assert kept(target) == kept(source)
        with holdfast.open(target) as store:
            assert store.journal.policy() == policy
            assert store.journal.horizon() == moment
            assert seen(store.as_of(moment)) == was


@pytest.mark.parametrize("route", ROUTES, ids="-".join)
def test_a_store_that_is_trimmed_while_it_is_copied(tmp_path, route, monkeypatch):
    small_pages(monkeypatch)
    with places_in(tmp_path) as places:
        source, target, late = (places(engine) for engine in (*route, route[1]))
        with holdfast.open(source) as store:
            store.sessions.create(id="talk")
            write(store, 60)
            told = []

            def trim(*_):
                told.append(1)
                if len(told) == 9:
                    finish(store, 40)

            holdfast.copy(source, target, on_progress=trim)
            assert store.journal.horizon() == 40

            def write_and_trim(*_):
                store.sessions.append("talk", "user", "meanwhile")
                finish(store, store.moment())

            with pytest.raises(errors.Trimmed):
                holdfast.copy(source, late, on_progress=write_and_trim)
        with holdfast.open(target) as copy:
            assert stored(copy)[0] == list(range(40, 62))
            assert copy.as_of(40).sessions.get("talk").title == "title 38"
            assert copy.check().problems == ()


# By policy.


def test_a_policy_is_kept_in_the_store(store):
    assert store.journal.policy() == Policy()
    wanted = Policy(max_age_seconds=60, max_changes=5, max_bytes=10**6)
    assert store.journal.keep(max_age_seconds=60, max_changes=5, max_bytes=10**6) == (
        wanted
    )
    assert store.journal.policy() == wanted
    assert store.journal.keep() == store.journal.policy() == Policy()


@pytest.mark.parametrize(
    "wrong",
    [{"max_age_seconds": 0}, {"max_age_seconds": "1"}, {"max_changes": -1},
     {"max_bytes": 1.5}, {"max_bytes": True}],
)  # fmt: skip
def test_a_policy_that_is_none_is_refused(store, wrong):
    with pytest.raises(errors.WrongType):
        store.journal.keep(**wrong)
    with pytest.raises(errors.WrongType):
        store.journal.trim(next(iter(wrong)))


def test_by_age_what_is_younger_stays(store, clock):
    store.sessions.create(id="talk")
    for n in range(10):
        clock.advance(60)
        store.sessions.update("talk", title=str(n))
    store.journal.keep(max_age_seconds=300)
    finish(store)
    asked = now(clock) - timedelta(seconds=300)
    assert store.as_of(asked).sessions.get("talk").title == "4"
    assert store.journal.horizon() == 6
    clock.advance(10_000)
    assert finish(store).horizon == store.moment() == 11


def test_by_number_no_more_changes_are_kept(store):
    store.sessions.create(id="talk")
    write(store, 50)
    store.journal.keep(max_changes=10)
    assert finish(store).horizon == 41
    with store.transaction() as tx:
        write(tx, 20)
    assert finish(store).horizon == store.moment() == 71


def test_by_size_no_more_bytes_are_kept_and_not_much_less(store, monkeypatch):
    store.sessions.create("x" * 1_000, id="talk")
    for n in range(100):
        store.sessions.update("talk", title=f"{n:03}" + "x" * 1_000)
    monkeypatch.setattr(retention, "_SLICE_SECONDS", 60)
    store.journal.keep(max_bytes=40_000)
    horizon = finish(store).horizon
    assert 60 < horizon < 68, "some 35 changes with images of a thousand bytes"
    for n in range(30):
        store.sessions.update("talk", title=f"{n:03}" + "x" * 1_000)
    assert finish(store).horizon == horizon + 30
    store.journal.keep(max_bytes=0)
    assert finish(store).horizon == store.moment()
    store.journal.keep(max_bytes=40_000)
    for n in range(60):
        store.sessions.update("talk", title=f"{n:03}" + "x" * 1_000)
    assert finish(store).horizon == horizon + 30 + 60


@pytest.mark.usefixtures("in_small_bites")
def test_what_was_weighed_is_weighed_once(store):
    store.sessions.create("x", id="talk")
    write(store, 60)
    store.journal.keep(max_bytes=10**6)
    wait_for(lambda: weighed(store)[0] == store.moment())
    upto, size = weighed(store)
    write(store, 12)
    wait_for(lambda: store.journal.trim() and weighed(store)[0] == store.moment())
    assert weighed(store)[1] > size
    finish(store, upto)
    again = weighed(store)
    store.journal.keep()
    store.run(lambda tx: tx._tx.ask("delete from store where name = 'journal_weighed'")
              and None)  # fmt: skip
    store.journal.keep(max_bytes=10**6)
    wait_for(lambda: store.journal.trim() and weighed(store) == again)


def weighed(store):
    rows = {row["name"]: row["value"] for row in dump(store)["store"]}
    return tuple(int(part) for part in rows.get("journal_weighed", "0 0").split())


@pytest.mark.parametrize("engine", ["memory", "file", "postgres"])
def test_an_open_store_trims_itself_while_it_is_written_to(
    tmp_path, engine, monkeypatch
):
    monkeypatch.setattr("holdfast.engines.rounds._COMMITS", 20)
    with store_on(engine, tmp_path) as target, holdfast.open(target) as store:
        store.journal.keep(max_changes=15)
        store.sessions.create(id="talk")
        write(store, 200)
        wait_for(lambda: store.journal.horizon() > 150)
        store.sessions.append("talk", "user", "and on it goes")
        assert len(stored(store)[0]) < 60


@pytest.mark.parametrize("engine", ["file", "postgres"])
@pytest.mark.usefixtures("in_small_bites")
def test_what_was_left_is_gone_on_with_at_the_next_opening(
    tmp_path, engine, monkeypatch
):
    """A crash in the midst of it: the floor is there, and not all is deleted."""
    with store_on(engine, tmp_path) as target:
        with monkeypatch.context() as patch:
            for name in ("sqlite.transaction.Sqlite", "postgres.transaction.Postgres"):
                untidy = f"holdfast.engines.{name}Transaction.untidy"
                patch.setattr(untidy, lambda tx: None)
            with holdfast.open(target) as store:
                store.sessions.create(id="talk")
                write(store, 60)
                was = seen(store.as_of(50))
                assert store.journal.trim(50).left > 40
                assert store.check().problems == ()
                assert seen(store.as_of(50)) == was
        with holdfast.open(target) as store:
            wait_for(lambda: stored(store)[0][0] == 50)
            assert seen(store.as_of(50)) == was


@pytest.mark.usefixtures("in_small_bites")
def test_the_rest_is_deleted_without_being_asked_for(store):
    store.sessions.create(id="talk")
    write(store, 60)
    assert store.journal.trim(50).left > 20
    wait_for(lambda: stored(store)[0][0] == 50)


# Whose call it is.


def test_the_past_is_everyones_and_one_owner_does_not_give_it_up(store):
    ada = store.owned_by("ada")
    ada.sessions.create(id="talk")
    write(ada, 10)
    journal = ada.journal
    for attempt in (
        lambda: journal.trim(5),
        lambda: journal.keep(max_changes=1),
        journal.policy,
        journal.stats,
    ):
        with pytest.raises(errors.Refused, match="across_owners"):
            attempt()
    assert store.journal.horizon() == 0
    everyones = ada.across_owners().journal
    assert everyones.keep(max_changes=3) == everyones.policy()
    assert everyones.trim(5).horizon >= 5
    assert everyones.stats().changes > 0


def test_a_look_at_the_past_and_a_store_that_is_read_trim_nothing(tmp_path):
    path = str(tmp_path / "agent.db")
    with holdfast.open(path) as store:
        store.sessions.create(id="talk")
        write(store, 10)
        with pytest.raises(errors.Refused, match="stays as it was"):
            store.as_of(3).journal.trim(2)
        with store.transaction(), pytest.raises(errors.Refused, match="inside"):
            store.journal.trim(2)
        store.journal.keep(max_changes=100)
    with holdfast.open(path, read_only=True) as store:
        with pytest.raises(errors.Refused, match="read-only"):
            store.journal.trim(2)
        assert store.journal.policy() == Policy(max_changes=100)
        assert store.journal.stats().changes == 11


def test_behind_a_wall_everyones_past_is_trimmed():
    with (
        fresh_schema(partitions=3, row_security="on") as url,
        holdfast.open(as_agent(url)) as store,
    ):
        ada = store.owned_by("ada")
        for mine in (store, ada):
            mine.sessions.create(id="talk")
            write(mine, 20)
        head = ada.across_owners().journal.head()
        was = seen(ada)
        finish(store, head)
        changes, images = stored(store)
        assert (changes, images) == ([head], [head])
        ada.sessions.update("talk", title="new")
        assert seen(ada.as_of(head)) == was
        assert store.check().problems == ()


# Others at work meanwhile.


class Crowd:
    """Who writes, who looks at the past and who follows, while a store is trimmed."""

    def __init__(self, store):
        self.store = store
        self.done = threading.Event()
        self.wrong = []
        self.looked = 0

    def writing(self, id):
        """Until enough was written, and looked at meanwhile."""
        n = 0
        while n < 150 or (self.looked < 12 and n < 2_000):
            n += 1
            self.store.sessions.update(id, title=str(n))
            self.store.sessions.append(id, "user", n)

    def looking(self):
        chance = random.Random(1)
        while not self.done.is_set():
            low, high = self.store.journal.horizon(), self.store.moment()
            with contextlib.suppress(errors.Trimmed):
                then = self.store.as_of(chance.randrange(low, high + 1))
                self.look(then)
                self.looked += 1

    def look(self, then):
        """In each session, as many messages as the title says: or one less."""
        for talk in then.sessions.list():
            said = [m.content for m in then.sessions.history(talk.id)]
            again = then.sessions.get(talk.id)
            whole = said == list(range(1, len(said) + 1))
            fits = int(talk.title) - len(said) in (0, 1)
            if not (whole and fits and again == talk):
                self.wrong.append((then, talk, said))

    def following(self):
        place = 0
        while not self.done.is_set():
            try:
                found = self.store.journal.stretch(place)
            except errors.Trimmed:
                place = self.store.journal.horizon()
                continue
            seqs = [change.seq for change in found.changes]
            if seqs != list(range(place + 1, place + 1 + len(seqs))):
                self.wrong.append(seqs)
            place = found.reached


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_writers_followers_and_readers_of_the_past_go_on_meanwhile(tmp_path, engine):
    with store_on(engine, tmp_path) as target, holdfast.open(target) as store:
        crowd = Crowd(store)
        ids = [store.sessions.create("0", id=f"s{n}").id for n in range(3)]
        writers = [threading.Thread(target=crowd.writing, args=(id,)) for id in ids]
        others = [threading.Thread(target=w) for w in (crowd.looking, crowd.following)]
        for thread in (*writers, *others):
            thread.start()
        while any(thread.is_alive() for thread in writers):
            store.journal.trim(max(0, store.moment() - 150))
        crowd.done.set()
        for thread in (*writers, *others):
            thread.join()
        assert crowd.wrong == []
        assert crowd.looked > 10
        assert store.journal.horizon() > 500
        assert store.check().problems == ()


def test_a_file_does_not_grow_while_its_past_is_kept_short(tmp_path):
    path = tmp_path / "agent.db"
    with holdfast.open(path, durability="process-crash") as store:
        store.sessions.create(id="talk")
        store.journal.keep(max_changes=50)

        def use(times):
            for n in range(times):
                store.sessions.update("talk", metadata={"n": n, "pad": "x" * 500})
                if n % 40 == 0:
                    finish(store)

        use(300)
        before = pages(store)
        use(1_200)
        assert pages(store) <= before * 1.2


def pages(store):
    ((count,),) = store.run(lambda tx: [list(tx._tx.ask("pragma page_count")[0])])
    return count


# What it costs, and what is found wrong.


def test_what_the_past_costs_is_told(store, clock):
    store.sessions.create(id="talk")
    for _ in range(10):
        clock.advance(86_400)
        write(store, 6)
    found = store.journal.stats()
    assert found.changes == 61
    assert found.newest == 61
    assert found.changes_a_day == pytest.approx(6.1, abs=0.2)
    assert found.tables["session"].changes == 41
    assert found.tables["session"].images == 40
    assert found.tables["message"] == type(found.tables["message"])(
        20, 0, found.tables["message"].bytes
    )
    assert found.newest_at == now(clock)
    assert found.reach.at == now(clock) - timedelta(days=10)
    assert found.bytes > sum(table.bytes for table in found.tables.values()) > 0


def test_a_journal_that_begins_after_its_floor_is_found(tmp_path):
    path = str(tmp_path / "agent.db")
    with holdfast.open(path) as store:
        store.sessions.create(id="talk")
        write(store, 10)
        finish(store, 5)
    connection = apsw.Connection(path)
    connection.execute("drop trigger change_kept; delete from change where seq < 8")
    connection.close()
    with holdfast.open(path) as store:
        assert "begins at 8" in " ".join(store.check().problems)
