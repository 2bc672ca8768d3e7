"""Many at once, by threads, tasks and processes: in order, without gap, one winner.

Every join has a time limit: what hangs is a deadlock, and fails.
"""

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import holdfast
from holdfast.errors import Conflict, Fenced, Held, HoldfastError, Refused
from killing import Worker
from turns import JOIN_SECONDS, joined, turn_held


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What so many threads give that begin at the same moment; errors among it."""
    start = threading.Barrier(count)
    given: list[Any] = [None] * count

    def one(number: int) -> None:
        start.wait(JOIN_SECONDS)
        try:
            given[number] = work(number)
        except BaseException as error:
            given[number] = error

    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    joined(*threads)
    return given


def in_processes(count: int, work: Callable[[int, Callable[[str], None]], Any]) -> list:
    """The lines that so many processes say, each in a list of its own."""
    workers = [Worker(lambda say, n=n: work(n, say)) for n in range(count)]
    try:
        return [worker.finish() for worker in workers]
    finally:
        for worker in workers:
            worker.close()


def in_order(store: holdfast.Store, session: str, callers: int, each: int) -> None:
    """Every caller's messages are there, in its own order, without a gap."""
    messages = list(store.sessions.history(session))
    assert [m.position for m in messages] == list(range(1, callers * each + 1))
    for caller in range(callers):
        mine = [m.content[1] for m in messages if m.content[0] == caller]
        assert mine == list(range(each))


@pytest.fixture
def talk(open_store) -> holdfast.Store:
    store = open_store()
    store.sessions.create(id="talk")
    return store


@pytest.mark.parametrize("target", [":memory:", None], ids=["memory", "file"])
def test_a_store_that_32_threads_share_keeps_each_ones_order(path, target):
    with holdfast.open(target or path) as store:
        store.sessions.create(id="talk")

        def append(number: int) -> None:
            for count in range(12):
                if count % 4 == 3:
                    with store.transaction() as tx:
                        tx.sessions.append("talk", "user", [number, count])
                else:
                    store.sessions.append("talk", "user", [number, count])
                newest = store.sessions.messages("talk", 1000)
                assert [number, count] in [m.content for m in newest], "own write read"

        assert together(32, append) == [None] * 32
        in_order(store, "talk", 32, 12)
        assert store.check().problems == ()


def test_a_hundred_tasks_keep_each_ones_order(talk):
    async def caller(number: int) -> None:
        aio = talk.aio
        for count in range(10):
            await aio.sessions.append("talk", "user", [number, count])
            newest = await aio.sessions.messages("talk", 1000)
            assert [number, count] in [m.content for m in newest], "own write read"

    async def callers() -> None:
        await asyncio.gather(*(caller(number) for number in range(100)))

    asyncio.run(callers())
    in_order(talk, "talk", 100, 10)


def test_four_processes_keep_each_ones_order(path):
    def append(number: int, say: Callable[[str], None]) -> None:
        with holdfast.open(path) as store:
            store.sessions.create(id="talk")
            for count in range(60):
                store.sessions.append("talk", "user", [number, count])
        say("done")

    assert in_processes(4, append) == [["done"]] * 4
    with holdfast.open(path) as store:
        in_order(store, "talk", 4, 60)
        assert store.check().problems == ()


def _claim(store: holdfast.Store, who: int, version: int) -> bool:
    try:
        store.sessions.append("talk", "user", who, expect=version)
    except Conflict:
        return False
    return True


def test_of_many_threads_that_expect_a_version_one_wins(talk):
    for version in range(15):
        won = together(8, lambda number, v=version: _claim(talk, number, v))
        assert Counter(won) == {True: 1, False: 7}
    assert talk.sessions.get("talk").version == 15


def test_of_many_tasks_that_expect_a_version_one_wins(talk):
    async def claim(version: int) -> bool:
        try:
            await talk.aio.sessions.append("talk", "user", "x", expect=version)
        except Conflict:
            return False
        return True

    async def callers() -> None:
        for version in range(10):
            won = await asyncio.gather(*(claim(version) for _ in range(30)))
            assert Counter(won) == {True: 1, False: 29}

    asyncio.run(callers())


def test_of_many_processes_that_expect_a_version_one_wins(path):
    def claim(number: int, say: Callable[[str], None]) -> None:
        with holdfast.open(path) as store:
            store.sessions.create(id="talk")
            for version in range(40):
                if _claim(store, number, version):
                    say(str(version))

    won = Counter(itertools.chain(*in_processes(4, claim)))
    assert won == {str(version): 1 for version in range(40)}


def test_of_two_holders_in_any_processes_one_at_a_time_writes(path):
    with holdfast.open(path) as store:
        store.sessions.create(id="talk")

    def hold(number: int, say: Callable[[str], None]) -> None:
        with holdfast.open(path) as store:
            done = 0
            while done < 8:
                try:
                    with store.lease("sessions", "talk", seconds=60) as lease:
                        for step in ("in", "out"):
                            lease.store.sessions.append(
                                "talk", "user", [number, lease.fence, step]
                            )
                    done += 1
                except Held:
                    pass
        say("done")

    assert in_processes(4, hold) == [["done"]] * 4
    with holdfast.open(path) as store:
        said = [message.content for message in store.sessions.history("talk")]
    entered, left = said[::2], said[1::2]
    assert [[*words[:2], "out"] for words in entered] == left
    fences = [fence for _, fence, _ in entered]
    assert fences == sorted(set(fences))
    assert len(entered) == 32


def test_a_dead_holders_late_write_is_fenced_in_another_process_too(path, clock):
    with holdfast.open(path, clock=clock) as store:
        store.sessions.create(id="talk")
        old = store.leases.acquire("sessions", "talk", holder="a", seconds=10)
        clock.advance(11)
        with store.lease("sessions", "talk", holder="b", seconds=60) as lease:
            with pytest.raises(Held):
                store.sessions.append("talk", "user", "unfenced")
            with pytest.raises(Fenced):
                store.holding(old).sessions.append("talk", "user", "late")
            with pytest.raises(Fenced), store.transaction(lease=old):
                raise AssertionError("the body of a fenced transaction ran")
            lease.store.sessions.append("talk", "user", "mine")
        assert store.sessions.get("talk").message_count == 1


def test_reads_do_not_wait_for_a_writer(talk):
    talk.sessions.append("talk", "user", "before")

    async def read() -> int:
        return len(await talk.aio.sessions.messages("talk"))

    with turn_held(talk):
        assert together(4, lambda _: len(talk.sessions.messages("talk"))) == [1] * 4
        assert asyncio.run(read()) == 1
        assert talk.journal.head() > 0


@pytest.mark.parametrize("target", [":memory:", None], ids=["memory", "file"])
def test_both_faces_of_one_store_work_at_once(path, target):
    with holdfast.open(target or path) as store:
        store.sessions.create(id="talk")

        async def callers(number: int) -> None:
            for count in range(20):
                await store.aio.sessions.append("talk", "user", [number, count])
                if count % 5 == 0:
                    async with store.aio.transaction(timeout_seconds=30) as tx:
                        await tx.tasks.create("by the way")

        def one(number: int) -> None:
            if number % 2:
                asyncio.run(callers(number))
            else:
                for count in range(20):
                    store.sessions.append("talk", "user", [number, count])

        assert together(6, one) == [None] * 6
        in_order(store, "talk", 6, 20)


def test_an_error_in_one_unit_does_not_hurt_its_group(talk):
    def fails(tx: holdfast.Transaction) -> None:
        tx.sessions.append("talk", "user", "by half")
        raise ZeroDivisionError

    async def callers() -> list[Any]:
        aio = talk.aio
        with turn_held(talk):
            units = [
                asyncio.ensure_future(
                    aio.run(fails)
                    if n % 3 == 1
                    else aio.sessions.append("talk", "u", n)
                )
                for n in range(30)
            ]
            await asyncio.sleep(0)  # all of them are in the queue now
        return await asyncio.gather(*units, return_exceptions=True)

    answers = asyncio.run(callers())
    assert [type(a) for a in answers[1::3]] == [ZeroDivisionError] * 10
    kept = [message.content for message in talk.sessions.history("talk")]
    assert kept == [n for n in range(30) if n % 3 != 1]
    assert talk.check().problems == ()


def test_a_key_is_run_once_however_many_try(path):
    def run(number: int, say: Callable[[str], None]) -> None:
        with holdfast.open(path) as store:
            made = together(
                4, lambda _: store.run(lambda tx: tx.sessions.create().id, once="key")
            )
            say(" ".join(map(str, made)))

    said = in_processes(3, run)
    assert len(set(" ".join(itertools.chain(*said)).split())) == 1
    with holdfast.open(path) as store:
        assert len(store.sessions.list()) == 1


CALLS: dict[str, Callable[[holdfast.Store], Any]] = {
    "write": lambda store: store.sessions.create(),
    "read": lambda store: store.sessions.list(),
    "run": lambda store: store.run(lambda tx: None),
    "transaction": lambda store: store.transaction().__enter__(),
    "call": lambda store: store.call("sessions.list"),
    "lease": lambda store: store.lease("sessions", "talk").__enter__(),
    "usage": lambda store: store.usage(),
    "owners": lambda store: store.owners(),
    "another owner's": lambda store: store.owned_by("ada").sessions.list(),
    "across owners": lambda store: store.across_owners().sessions.list(),
    "follow": lambda store: next(store.journal.follow(after=0)),
    "history": lambda store: next(store.sessions.history("talk")),
    "check": lambda store: store.check(),
    "close": lambda store: store.close(),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("target", [":memory:", None], ids=["memory", "file"])
def test_a_call_from_within_a_unit_is_refused_and_hangs_nobody(path, target, name):
    store = holdfast.open(target or path)
    store.sessions.create(id="talk")

    def nested(tx: holdfast.Transaction) -> None:
        with pytest.raises(Refused):
            CALLS[name](store)

    def in_transaction() -> None:
        with store.transaction(timeout_seconds=2) as tx:
            nested(tx)

    async def awaited() -> None:
        await store.aio.run(nested)

    ways = [lambda: store.run(nested), in_transaction, lambda: asyncio.run(awaited())]
    for way in ways:
        assert together(1, lambda _, way=way: way()) == [None]
    store.sessions.append("talk", "user", "it goes on")
    assert store.check().problems == ()
    store.close()


def test_errors_of_many_callers_are_ours_and_the_store_goes_on(talk):
    def one(number: int) -> str:
        try:
            talk.sessions.append("talk" if number % 2 else "none", "user", number)
        except HoldfastError as error:
            return type(error).__name__
        return "kept"

    assert Counter(together(16, one)) == {"kept": 8, "NotFound": 8}
