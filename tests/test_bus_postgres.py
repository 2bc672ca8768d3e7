"""The bus of a store on PostgreSQL: its processes hear each other, whatever is lost."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

import holdfast
from hearing import heard, hears_nothing
from holdfast.clock import ManualClock
from holdfast.errors import Busy, Closed, Refused, Unreachable
from holdfast.runtime import Bus
from holdfast.runtime.bus import reaching
from killing import Worker
from pooler import Pooler
from postgres import Server, fresh_schema, shared_url, until
from turns import JOIN_SECONDS


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that may be stopped, with nobody else on it."""
    with Server(settings={"fsync": "off"}) as started:
        yield started


@pytest.fixture
def url() -> Iterator[str]:
    with fresh_schema() as made:
        yield made


@pytest.fixture
def store(url: str) -> Iterator[holdfast.Store]:
    with holdfast.open(url) as opened:
        yield opened


@pytest.fixture
def two(store: holdfast.Store) -> Iterator[tuple[Bus, Bus]]:
    """Two buses of a store, which reach each other through the server alone."""
    with Bus(store) as one, Bus(store) as other:
        yield one, other


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody says again who is there, unless something makes them."""
    monkeypatch.setattr(reaching, "_BEAT_SECONDS", 1_000.0)


def test_what_is_published_is_heard_by_the_other_bus_once_and_in_order(two):
    one, other = two
    with (
        one.subscribe("t.*", capacity=5_000) as mine,
        other.subscribe("t.*", capacity=5_000) as theirs,
        other.subscribe("x") as nothing,
    ):
        for n in range(2_000):
            assert one.publish("t.x", n, sender="a") == 1
            other.publish("t.y", -n, sender="b")
        found = [theirs.get(JOIN_SECONDS) for _ in range(4_000)]
        assert [m.data for m in found if m.sender == "a"] == list(range(2_000))
        assert len(heard(mine, 4_000)) == 4_000
        hears_nothing(theirs, 0.05)
        hears_nothing(mine)
        hears_nothing(nothing)
        assert [m.data for m in other.history("t.x", limit=3)] == [1_997, 1_998, 1_999]
    assert one.gaps == other.gaps == ()


def test_a_message_is_the_same_on_either_side(two):
    one, other = two
    with one.subscribe("*") as mine, other.subscribe("*") as theirs:
        one.publish("täsk.😀", {"é": [1, None, True, 1.5]}, sender="a", correlation="c")
        assert theirs.get(JOIN_SECONDS) == mine.get(0)


SIZES = [0, 7_500, 7_600, 7_700, 7_800, 7_900, 8_000, 16_000, 400_000]


@pytest.mark.parametrize("sign", ["x", "ä", "😀", '"', "\x00"])
def test_data_of_any_size_comes_whole(two, sign):
    """A payload holds less than 8,000 bytes: longer ones are told in pieces."""
    one, other = two
    texts = [sign * (size // len(sign.encode())) for size in SIZES]
    with other.subscribe("*") as theirs:
        for text in texts:
            one.publish("t", text)
        assert heard(theirs, len(texts)) == texts


def test_what_is_sent_to_a_name_that_left_is_kept_until_it_is_there_again(
    two, monkeypatch
):
    monkeypatch.setattr(reaching, "_GONE_US", 10**12)  # nobody is gone by being silent
    one, other = two
    with other.subscribe(name="ada"):
        until(lambda: one.names() == {"ada"})
    until(lambda: one.names() == set())
    assert one.send("ada", 1) == 0
    with other.subscribe(name="ada") as theirs:
        assert heard(theirs, 1) == [1]


def test_a_direct_message_waits_in_the_senders_process_until_the_name_appears(two):
    one, other = two
    assert [one.send("ada", n) for n in range(3)] == [0, 0, 0]
    with other.subscribe(name="ada") as ada:
        assert heard(ada, 3) == [0, 1, 2]
        until(lambda: "ada" in one.names())
        assert one.send("ada", 3) == 0
        assert heard(ada, 1) == [3]
    until(lambda: "ada" not in one.names())
    one.send("ada", 4)
    with one.subscribe(name="ada") as here:
        assert heard(here, 1) == [4]
    assert one.given_up == 0


def test_a_bus_that_comes_later_knows_who_is_there(store, two):
    one, _ = two
    with one.subscribe(name="ada") as ada, Bus(store) as late:
        late.send("ada", "from the first moment on")
        until(lambda: late.names() == {"ada"})
        assert heard(ada, 1) == ["from the first moment on"]
        late.broadcast("all")
        assert heard(ada, 1) == ["all"]


def test_a_full_subscriber_misses_the_oldest_of_what_comes_from_elsewhere(two):
    """Nobody there can be held back, and nobody here is."""
    one, other = two
    with other.subscribe("*", capacity=3) as slow, other.subscribe("*") as fast:
        for n in range(10):
            one.publish("t", n)
        assert heard(fast, 10) == list(range(10))
        assert slow.missed == 7
        assert heard(slow, 3) == [7, 8, 9]


def test_what_is_told_twice_is_given_once(two, monkeypatch):
    """What may not have been told before a connection was lost is told again."""
    one, other = two
    came = other._reach.came
    monkeypatch.setattr(other._reach, "came", lambda text: (came(text), came(text)))
    with other.subscribe("*", name="ada") as theirs:
        one.publish("t", 1)
        one.publish("t", 2)
        until(lambda: one.names() == {"ada"})
        one.send("ada", 3)
        assert heard(theirs, 3) == [1, 2, 3]
        hears_nothing(theirs, 0.05)


def test_names_are_said_again_lest_they_are_taken_to_be_gone(url, clock, monkeypatch):
    monkeypatch.setattr(reaching, "_BEAT_SECONDS", 0.05)
    with (
        holdfast.open(url, clock=clock) as store,
        Bus(store) as one,
        Bus(store) as other,
        other.subscribe(name="ada"),
    ):
        until(lambda: one.names() == {"ada"})
        for _ in range(3):
            clock.advance(17)
            until(lambda: one.names() == {"ada"})


def test_stores_of_other_schemas_and_other_owners_are_not_heard(store, two):
    one, other = two
    with (
        fresh_schema() as elsewhere,
        holdfast.open(elsewhere) as stranger,
        Bus(stranger) as foreign,
        Bus(store.owned_by("ada")) as adas,
        Bus(store.owned_by("ada")) as also,
        other.subscribe("*", name="x") as mine,
        foreign.subscribe("*", name="x") as strange,
        also.subscribe("*", name="x") as owned,
    ):
        one.publish("t", "ours")
        foreign.publish("t", "strange")
        adas.publish("t", "hers")
        until(lambda: adas.names() == one.names() == {"x"})
        adas.send("x", "to hers")
        assert heard(mine, 1) == ["ours"]
        assert heard(strange, 1) == ["strange"]
        assert heard(owned, 2) == ["hers", "to hers"]
        assert [len(one) for one in (mine, strange, owned)] == [0, 0, 0]


# Two processes.


def echo(url: str) -> Callable[[Callable[[str], None]], None]:
    """A process that publishes again what is sent to `echo`, until told to end."""

    def work(say: Callable[[str], None]) -> None:
        with (
            holdfast.open(url) as store,
            Bus(store) as bus,
            bus.subscribe("to.all", name="echo", capacity=10_000) as mine,
        ):
            say("ready")
            for message in mine:
                bus.publish("echo", message.data, sender="echo")
                if message.data == "end":
                    break

    return work


def test_another_process_hears_and_is_heard(url):
    holdfast.open(url).close()
    worker = Worker(echo(url))
    try:
        worker.wait_for(1)
        with (
            holdfast.open(url) as store,
            Bus(store) as bus,
            bus.subscribe("echo", capacity=10_000) as mine,
        ):
            bus.send("echo", "directly")
            assert heard(mine, 1) == ["directly"]
            for n in range(1_000):
                bus.publish("to.all", n)
            bus.publish("to.all", "end")
            assert heard(mine, 1_001) == [*range(1_000), "end"]
        worker.finish()
    finally:
        worker.close()


def test_what_is_sent_to_a_process_that_was_killed_is_kept_once_it_is_missed(
    url, clock
):
    holdfast.open(url).close()
    workers = [Worker(echo(url))]
    try:
        workers[0].wait_for(1)
        workers[0].kill()
        with holdfast.open(url, clock=clock) as store, Bus(store) as bus:
            bus.send("echo", "kept")
            with bus.subscribe("echo") as mine:
                workers.append(Worker(echo(url)))
                assert heard(mine, 1) == ["kept"]
                workers[1].kill()
                assert bus.names() == {"echo"}  # nobody has told that it died
                clock.advance(20)
                assert bus.names() == frozenset()
                bus.send("echo", "kept again")
                workers.append(Worker(echo(url)))
                assert heard(mine, 1) == ["kept again"]
                bus.send("echo", "end")
                assert heard(mine, 1) == ["end"]
        workers[2].finish()
    finally:
        for worker in workers:
            worker.close()


def test_a_forked_process_is_told_that_the_bus_is_its_parents(store):
    with Bus(store) as bus, bus.subscribe("*") as mine:

        def work(say: Callable[[str], None]) -> None:
            for call in (lambda: bus.publish("t", 1), lambda: bus.subscribe("t")):
                with pytest.raises(Closed, match="forked from"):
                    call()
            bus.close()
            say("told")

        worker = Worker(work)
        assert worker.finish() == ["told"]
        bus.publish("t", 2)
        assert heard(mine, 1) == [2]


# Lost connections.

LISTENING = "listen holdfastbus_%"
TELLING = "select pg_catalog.pg_notify(%"


def end_those(query: str) -> int:
    """Have the server end the connections that last ran this; how many."""
    with psycopg.connect(shared_url(), autocommit=True) as opened:
        return len(
            opened.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where query like %s and pid <> pg_backend_pid()",
                [query],
            ).fetchall()
        )


def test_a_lost_connection_is_made_again_and_told(two, caplog):
    one, other = two
    with other.subscribe("*", name="ada") as theirs:
        one.publish("t", 1)
        assert heard(theirs, 1) == [1]
        until(lambda: one.names() == {"ada"})
        assert end_those(LISTENING) == 2
        until(lambda: [g.until for g in (*one.gaps, *other.gaps)].count(None) == 0
              and len(one.gaps) == len(other.gaps) == 1)  # fmt: skip
        one.publish("t", 2)
        assert heard(theirs, 1) == [2]
        assert one.names() == {"ada"}
        (gap,) = other.gaps
        assert gap.since <= gap.until
        assert (gap.missed, gap.unsent) == (0, 0)
    said = [record.message for record in caplog.records]
    assert sum("is lost" in text for text in said) == 2
    assert sum("there again" in text for text in said) == 2


def test_what_was_told_while_nobody_listened_is_counted(two, caplog):
    """The way is closed for one of two, while the other speaks."""
    one, other = two
    listening = other._reach.carrier._listening
    open_again = threading.Event()

    def held() -> Any:
        open_again.wait(JOIN_SECONDS)
        return listening()

    with other.subscribe("*") as theirs, one.subscribe("*") as mine:
        one.publish("t", 0)
        assert heard(theirs, 1) == [0]
        other._reach.carrier._listening = held
        end_those(LISTENING)
        until(lambda: other.gaps and one.gaps and one.gaps[-1].until)
        for n in range(1, 6):
            one.publish("t", n)
        with one.subscribe(name="sent"):
            assert heard(mine, 6) == list(range(6))
            until(lambda: not len(one._reach.outlet))
            open_again.set()
            until(lambda: other.gaps[-1].until)
            one.publish("t", 6)
            assert heard(theirs, 1) == [6]
        assert [gap.missed for gap in other.gaps] == [5]
    until(lambda: any("5 messages" in record.message for record in caplog.records))


def test_a_message_is_not_lost_nor_doubled_when_the_telling_connection_is(two):
    one, other = two
    with other.subscribe("*", capacity=10_000) as theirs:
        for n in range(600):
            one.publish("t", n)
            if n % 100 == 50:
                end_those(TELLING)
        assert heard(theirs, 600) == list(range(600))
        hears_nothing(theirs, 0.1)
    assert sum(gap.missed + gap.unsent for gap in (*one.gaps, *other.gaps)) == 0


def test_a_server_that_was_away_is_gone_on_with(server, monkeypatch):
    """Those here hear each other; to others only the newest are sent later."""
    monkeypatch.setattr(reaching, "_WAITING_MOST", 5)
    url = server.url(schema="away")
    with holdfast.open(url) as store, Bus(store) as one, Bus(store) as other:
        with one.subscribe("*") as mine, other.subscribe("*") as theirs:
            one.publish("t", "before")
            assert heard(theirs, 1) == ["before"]
            server.stop()
            one.publish("t", "first")
            until(lambda: not one._reach._ways["speaks"])
            for n in range(20):
                assert one.publish("t", n, timeout_seconds=0.01) == 1
            assert heard(mine, 22) == ["before", "first", *range(20)]
            assert one.gaps[-1].until is None
            assert one.gaps[-1].unsent > 0
            server.start()
            until(lambda: one.gaps[-1].until and other.gaps[-1].until)
            one.publish("t", "after")
            seen = []
            while not seen or seen[-1] != "after":
                seen += heard(theirs, 1)
        numbers = [n for n in seen if isinstance(n, int)]
        assert numbers == list(range(20))[-len(numbers) :] if numbers else True
        assert 0 < one.gaps[-1].unsent <= 21
        until(lambda: sum(gap.missed for gap in other.gaps) > 0 or len(seen) == 22)
        with Bus(store) as third, third.subscribe("*") as well:
            one.publish("t", "well")
            assert heard(well, 1) == ["well"]


def test_a_bus_that_is_closed_while_the_server_is_away_ends(server):
    url = server.url(schema="away")
    with holdfast.open(url) as store, Bus(store) as bus:
        server.stop()
        try:
            bus.publish("t", 1)
            until(lambda: bus.gaps)
            bus.close()
            with pytest.raises(Unreachable):
                Bus(store)
        finally:
            server.start()


def test_who_publishes_more_than_goes_out_waits(two, monkeypatch):
    one, other = two
    held, go_on = threading.Event(), threading.Event()

    def hold(traffic: object, so: bool) -> None:
        held.set()
        go_on.wait(JOIN_SECONDS)

    outlet = one._reach.outlet
    monkeypatch.setattr(outlet, "capacity", 3)
    monkeypatch.setattr(one._reach.carrier, "_say_it_goes", hold)
    with other.subscribe("*") as theirs:
        one.publish("t", 0)
        try:
            assert held.wait(JOIN_SECONDS)
            sent = 1
            while len(outlet) < 3:
                sent += one.publish("t", sent) + 1
            with pytest.raises(Busy, match="the way to other processes is full"):
                one.publish("t", "never", timeout_seconds=0.05)
        finally:
            go_on.set()
        one.publish("t", sent, timeout_seconds=JOIN_SECONDS)
        assert heard(theirs, sent + 1) == list(range(sent + 1))


# Where nothing can be heard.


def test_behind_a_pooler_a_way_round_it_is_needed(server):
    with Pooler(server.port) as pooler:
        with (
            holdfast.open(pooler.url(schema="pooled")) as store,
            pytest.raises(Refused, match="listen_url="),
        ):
            Bus(store)
        direct = server.url()
        url = pooler.url(schema="pooled", listen_url=direct)
        with (
            holdfast.open(url) as store,
            Bus(store) as one,
            Bus(store) as other,
            other.subscribe("*") as theirs,
        ):
            for n in range(100):
                one.publish("t", n)
            assert heard(theirs, 100) == list(range(100))


def test_a_store_that_was_closed_has_no_bus(url):
    store = holdfast.open(url, clock=ManualClock())
    store.close()
    with pytest.raises(Closed):
        Bus(store)
