"""The bus over NATS: every process of a prefix hears the others, by a real server."""

import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import holdfast
import nats_servers
from hearing import heard, hears_nothing
from holdfast import codec
from holdfast.errors import CannotOpen, InvalidId, Refused, Unreachable, WrongType
from holdfast.runtime import Bus
from holdfast.runtime.bus import reaching
from holdfast.runtime.bus.nats import token_of
from killing import Worker
from nats_servers import NatsServer, a_prefix
from postgres import until
from turns import JOIN_SECONDS


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with nats_servers.running() as started:
        yield started


@pytest.fixture
def prefix() -> str:
    return a_prefix()


@pytest.fixture
def two(server: NatsServer, prefix: str) -> Iterator[tuple[Bus, Bus]]:
    with (
        Bus(nats=server.url, prefix=prefix) as one,
        Bus(nats=server.url, prefix=prefix) as other,
    ):
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
            one.publish(f"t.{n % 7}", n, sender="a")
            other.publish("t.y", -n, sender="b")
        found = [theirs.get(JOIN_SECONDS) for _ in range(4_000)]
        assert [m.data for m in found if m.sender == "a"] == list(range(2_000))
        assert len(heard(mine, 4_000)) == 4_000
        hears_nothing(theirs, 0.05)
        hears_nothing(mine)
        hears_nothing(nothing)
    assert one.gaps == other.gaps == ()


@pytest.mark.parametrize("sign", ["x", "😀", "\x00"])
def test_data_of_any_size_comes_whole(two, sign):
    """The server takes at most 1 MB: what is longer is carried in pieces."""
    one, other = two
    texts = [sign * (size // len(sign.encode())) for size in (0, 1_048_000, 3_000_000)]
    with other.subscribe("*") as theirs:
        for text in texts:
            if len(text) < 1_000_000 or sign != "\x00":
                one.publish("t", text)
                assert heard(theirs, 1) == [text]


ODD = [
    "a b",
    "*",
    ">",
    "a.*.b",
    ".",
    "..a.",
    "$SYS.x",
    "%2E",
    "наблюдатель",
    "😀" * 100,
    "a" * 200,
    "'\"`,;",
]


@pytest.mark.parametrize("name", ODD, ids=range(len(ODD)))
def test_odd_names_are_names_like_any_other(two, name):
    one, other = two
    called = name.replace(".", "_") if set(name) == {"."} else name
    with other.subscribe("*", name=called) as theirs, other.subscribe(name="b") as b:
        one.publish(name, 1)
        until(lambda: one.names() == {called, "b"})
        one.send(called, 2)
        assert [theirs.get(JOIN_SECONDS).topic, *heard(theirs, 1)] == [name, 2]
        one.send("b", 3)
        assert heard(b, 1) == [3]


def test_subjects_have_nothing_that_means_something_to_nats():
    tokens = [token_of(name) for name in ODD]
    assert len(set(tokens)) == len(tokens)
    for token in tokens:
        assert not set(token) & set(" *>\t\r\n")
        assert all(token.split("."))
    assert token_of("task.done") == "task.done"


def test_other_prefixes_and_other_owners_are_not_heard(server, prefix):
    with (
        holdfast.open(":memory:") as store,
        Bus(nats=server.url, prefix=prefix) as plain,
        Bus(nats=server.url, prefix=f"{prefix}.topic") as within,
        Bus(nats=server.url, prefix=f"{prefix}.topic") as beside,
        Bus(store.owned_by("ada"), nats=server.url, prefix=prefix) as adas,
        Bus(store, nats=server.url, prefix=prefix) as ours,
        ours.subscribe("*") as mine,
        beside.subscribe("*") as inner,
        adas.subscribe("*") as hers,
    ):
        within.publish("t", "within")
        assert heard(inner, 1) == ["within"]
        adas.publish("t", "hers")
        plain.publish("t", "ours")
        assert heard(mine, 1) == ["ours"]
        assert heard(hers, 1) == ["hers"]
        assert [len(one) for one in (mine, inner, hers)] == [0, 0, 0]


def test_what_others_publish_under_the_prefix_disturbs_nobody(two, server, prefix):
    import asyncio  # noqa: PLC0415

    from nats.aio.client import Client  # noqa: PLC0415

    async def disturb() -> None:
        client = Client()
        await client.connect(server.url)
        for said in (b"", b"=", b"=x", b"+a 0:x", b".a 5:x", b'=[1,"","o",1,1,"here"]'):
            await client.publish(f"{prefix}.topic.t", said)
        parcels = [b"null", b"[]", b'["i","t",null,null,false,null,1e99,1]']
        tail = [b"[" * deep + b"]" * deep for deep in (150, 900, 9_000, 200_000)]
        parcels += [b'["i","t",null,null,false,null,1,%s]' % one for one in tail]
        ends = (-(10**18), 10**18)
        parcels += [b'["i","t",null,null,false,null,%d,1]' % at for at in ends]
        for origin, parcel in enumerate(parcels):
            said = b'=[1,"","o%d",1,1,"message",%s]' % (origin, parcel)
            await client.publish(f"{prefix}.all", said)
        await client.flush()
        await client.close()

    one, other = two
    with other.subscribe("*") as theirs:
        asyncio.run(disturb())
        one.publish("t", "sound")
        deepest = heard(theirs, 1)[0]  # it is odd, and can be kept
        assert codec.document(deepest).text == "[" * 150 + "]" * 150
        assert heard(theirs, 1) == ["sound"]


def echo(url: str, prefix: str) -> Callable[[Callable[[str], None]], None]:
    """A process that publishes again what is sent to `echo`, until told to end."""

    def work(say: Callable[[str], None]) -> None:
        with (
            Bus(nats=url, prefix=prefix) as bus,
            bus.subscribe("to.all", name="echo", capacity=10_000) as mine,
        ):
            say("ready")
            for message in mine:
                bus.publish("echo", message.data, sender="echo")
                if message.data == "end":
                    break

    return work


def test_another_process_hears_and_is_heard(server, prefix):
    worker = Worker(echo(server.url, prefix))
    try:
        worker.wait_for(1)
        with (
            Bus(nats=server.url, prefix=prefix) as bus,
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


def test_a_direct_message_is_kept_until_the_other_process_is_there(server, prefix):
    with Bus(nats=server.url, prefix=prefix) as bus, bus.subscribe("echo") as mine:
        for said in ("early", "end"):
            bus.send("echo", said)
        worker = Worker(echo(server.url, prefix))
        try:
            assert heard(mine, 2) == ["early", "end"]
            worker.finish()
        finally:
            worker.close()


def test_what_is_sent_once_a_bus_is_open_is_heard(prefix, tmp_path):
    """The server answers for all that came before a ping: so one comes after it."""
    log = tmp_path / "nats.log"
    with (
        nats_servers.running("-V", "-l", str(log)) as server,
        Bus(nats=server.url, prefix=prefix),
    ):
        came = [line for line in log.read_text().splitlines() if "<<-" in line]
    subscribed = next(n for n, line in enumerate(came) if f"[SUB {prefix}" in line)
    assert any("[PING]" in line for line in came[subscribed:])


def test_a_server_that_was_away_is_gone_on_with(prefix, caplog):
    with (
        nats_servers.running() as server,
        Bus(nats=server.url, prefix=prefix) as one,
        Bus(nats=server.url, prefix=prefix) as other,
        one.subscribe("*", name="one") as mine,
        other.subscribe("*", name="other") as theirs,
    ):
        one.publish("t", "before")
        assert heard(theirs, 1) == ["before"]
        server.stop()
        until(lambda: one.gaps and other.gaps)
        assert one.publish("t", "meanwhile", timeout_seconds=0.01) == 1
        assert one.gaps[-1].until is None
        server.start()
        until(lambda: one.gaps[-1].until and other.gaps[-1].until)
        until(lambda: one.names() == other.names() == {"one", "other"})
        one.publish("t", "after")
        assert heard(mine, 3) == ["before", "meanwhile", "after"]
        seen = heard(theirs, 1)
        if seen == ["meanwhile"]:
            seen = heard(theirs, 1)
        assert seen == ["after"]
        assert sum(gap.missed for gap in other.gaps) in {0, 1}
    assert any("is lost" in record.message for record in caplog.records)
    assert any("there again" in record.message for record in caplog.records)


def test_a_connection_that_the_server_ended_is_made_again_and_told(
    prefix, tmp_path, caplog
):
    """A server that comes to take less than it said finds fault with what is longer."""
    settings = tmp_path / "nats.conf"
    settings.write_text("max_payload: 1048576\n")
    with (
        nats_servers.running("-c", str(settings)) as server,
        Bus(nats=server.url, prefix=prefix) as one,
        Bus(nats=server.url, prefix=prefix) as other,
        other.subscribe("*", name="other") as theirs,
    ):
        settings.write_text("max_payload: 60000\n")
        server.signal(signal.SIGHUP)
        until(lambda: lost_by(one))
        until(lambda: one.gaps[-1].until)
        one.publish("t", "x" * 500_000)  # in pieces such as it takes now
        until(lambda: "other" in one.names())
        one.publish("t", "after")
        found = heard(theirs, 1)
        while found[-1] != "after":
            found += heard(theirs, 1)
        assert "x" * 500_000 in found
    told = [record.message for record in caplog.records]
    assert any("is lost" in message for message in told)
    assert any("there again" in message for message in told)


def lost_by(bus: Bus) -> bool:
    """Whether it has lost the way, after something too long for the server."""
    bus.publish("long", "y" * 500_000)
    time.sleep(0.1)
    return bool(bus.gaps)


def test_a_prefix_that_fits_no_subject_is_refused(server):
    with pytest.raises(InvalidId, match="too long"):
        Bus(nats=server.url, prefix="😀" * 100)
    longest = "😀" * 80
    with (
        Bus(nats=server.url, prefix=longest) as one,
        Bus(nats=server.url, prefix=longest) as other,
        other.subscribe("*") as theirs,
    ):
        one.publish("😀" * 200, 1)
        assert heard(theirs, 1) == [1]


def test_a_bus_that_nobody_has_any_more_takes_leave(two, server, prefix):
    one, _ = two
    before = threading.active_count()
    mine = Bus(nats=server.url, prefix=prefix).subscribe("*", name="dropped")
    until(lambda: one.names() == {"dropped"})
    gc.collect()
    one.publish("t", 1)
    assert heard(mine, 1) == [1]  # a subscription is enough to keep it
    del mine
    gc.collect()
    until(lambda: one.names() == set())
    until(lambda: threading.active_count() == before)


def test_a_bus_that_is_closed_while_the_server_is_away_ends_soon(prefix):
    with nats_servers.running() as server:
        bus = Bus(nats=server.url, prefix=prefix)
        server.stop()
        until(lambda: bus.gaps)
        bus.publish("t", 1)
        began = time.monotonic()
        bus.close()
        assert time.monotonic() - began < 4


def test_what_was_published_just_before_the_end_is_still_carried(two):
    one, other = two
    with other.subscribe("*", capacity=5_000) as theirs:
        for n in range(3_000):
            one.publish("t", n)
        one.close()
        assert heard(theirs, 3_000) == list(range(3_000))


def test_a_server_that_cannot_be_reached_or_let_in_is_told(monkeypatch):
    from holdfast.runtime.bus import nats  # noqa: PLC0415

    monkeypatch.setattr(nats, "_CONNECT_SECONDS", 1)
    with pytest.raises(Unreachable, match=r"NATS at 127\.0\.0\.1:1 ") as caught:
        Bus(nats="nats://ada:secret@127.0.0.1:1")
    assert "secret" not in str(caught.value)
    with nats_servers.running("--user", "ada", "--pass", "right") as server:
        url = server.url.replace("//", "//ada:wrong@")
        with pytest.raises(CannotOpen, match="does not let this user in") as refused:
            Bus(nats=url)
        assert "wrong" not in str(refused.value)
        Bus(nats=url.replace("wrong", "right")).close()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"nats": 7}, WrongType),
        ({"nats": "nats://127.0.0.1:1", "prefix": ""}, InvalidId),
        ({"nats": "nats://127.0.0.1:1", "prefix": "a/b"}, InvalidId),
        ({"nats": "nats://[:secret@x"}, Unreachable),
        ({"nats": "ada:secret@"}, Unreachable),
    ],
)
def test_what_leads_nowhere_is_refused(options, error, monkeypatch):
    from holdfast.runtime.bus import nats  # noqa: PLC0415

    monkeypatch.setattr(nats, "_CONNECT_SECONDS", 1)
    with pytest.raises(error) as caught:
        Bus(**options)
    assert "secret" not in str(caught.value)


def test_a_store_as_of_a_moment_has_no_bus(server):
    with holdfast.open(":memory:") as store, pytest.raises(Refused):
        Bus(store.as_of(0), nats=server.url)
