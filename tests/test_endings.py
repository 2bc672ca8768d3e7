"""Endings: closed while others work, forked, interrupted: nobody hangs.

Each of them is said by an error of its own, and nothing that was acknowledged is lost.
"""

import asyncio
import functools
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import holdfast
from holdfast.engine import Terms, Unit
from holdfast.engines.sqlite import tickets
from holdfast.errors import Busy, CannotOpen, Closed, HoldfastError, Refused
from holdfast.turn import Turn
from killing import Worker
from turns import JOIN_SECONDS, joined, turn_held


def threads(count: int, work: Any) -> list[threading.Thread]:
    made = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in made:
        thread.start()
    return made


def _in_transaction(store: holdfast.Store) -> None:
    with store.transaction() as tx:
        tx.sessions.append("talk", "user", "lost")


def until(so: Callable[[], object]) -> None:
    """Let other threads run until it is so."""
    deadline = time.monotonic() + JOIN_SECONDS
    while not so():
        assert time.monotonic() < deadline
        time.sleep(0)


# Closing.

AFTER_CLOSING = {
    "read": lambda store: store.sessions.list(),
    "write": lambda store: store.sessions.create(),
    "run": lambda store: store.run(lambda tx: None),
    "transaction": lambda store: store.transaction().__enter__(),
    "follow": lambda store: next(store.journal.follow(after=0)),
    "check": lambda store: store.check(),
    "owner": lambda store: store.owned_by("ada").tasks.list(),
    "usage": lambda store: store.usage(),
    "events": lambda store: store.events.query(),
}


@pytest.mark.parametrize("name", AFTER_CLOSING)
@pytest.mark.parametrize("target", [":memory:", None], ids=["memory", "file"])
def test_every_use_after_a_close_says_so(path, name, target):
    store = holdfast.open(target or path)
    store.close()
    with pytest.raises(Closed):
        AFTER_CLOSING[name](store)


@pytest.mark.parametrize("target", [":memory:", None], ids=["memory", "file"])
def test_every_awaited_use_after_a_close_says_so(path, target):
    async def uses() -> None:
        store = await holdfast.aopen(target or path)
        begun = store.sessions.history("talk")
        await store.close()
        await store.close()
        uses = [
            store.sessions.list(),
            store.sessions.create(),
            store.run(lambda tx: None),
            store.transaction().__aenter__(),
            store.check(),
            store.usage(),
            anext(store.journal.follow(after=0)),
            anext(begun),
        ]
        for use in uses:
            with pytest.raises(Closed):
                await asyncio.wait_for(use, JOIN_SECONDS)

    asyncio.run(uses())


def test_iterators_that_are_open_end_or_say_so_at_a_close(talk):
    talk.sessions.extend("talk", [{"role": "user", "content": n} for n in range(1_500)])
    history = talk.sessions.history("talk")
    next(history)
    seen = queue.SimpleQueue()
    followed: list[str] = []

    def follow(_: int) -> None:
        for change in talk.journal.follow(after=0, kinds=["session"]):
            seen.put(change)
        followed.append("ended")

    follower = threads(1, follow)
    seen.get(timeout=JOIN_SECONDS)
    talk.close()
    joined(*follower)
    assert followed == ["ended"]
    with pytest.raises(Closed):
        list(history)


@pytest.mark.parametrize("target", [":memory:", None], ids=["memory", "file"])
def test_a_close_while_many_work_answers_every_one_of_them(tmp_path, target):
    for attempt in range(8):
        store = holdfast.open(target or tmp_path / f"{attempt}.db")
        store.sessions.create(id="talk")
        ended: queue.SimpleQueue = queue.SimpleQueue()
        workers = threads(6, functools.partial(_until_closed, store, ended))
        until(lambda at=attempt, head=store.journal.head: head() > 10 * at)
        store.close()
        joined(*workers)
        assert {ended.get_nowait() for _ in workers} == {Closed}


def _until_closed(store: holdfast.Store, ended: Any, number: int) -> None:
    """One of three ways to work, until an error ends it."""
    try:
        while True:
            if number % 3 == 0:
                asyncio.run(store.aio.sessions.append("talk", "user", "x"))
                asyncio.run(store.aio.journal.head())
            elif number % 3 == 1:
                store.sessions.append("talk", "user", "x")
            else:
                _in_transaction(store)
    except BaseException as error:
        ended.put(type(error))


class _Late(queue.SimpleQueue):
    """A queue at which a caller is held up, as one is that loses its processor."""

    def __init__(self) -> None:
        super().__init__()
        self.armed = False
        self.reached, self.go_on = threading.Event(), threading.Event()

    def put(self, item: Any) -> None:
        if item is not None and self.armed:
            self.reached.set()
            self.go_on.wait(JOIN_SECONDS)
        super().put(item)


@pytest.mark.parametrize("which", ["_writer", "_readers"])
def test_a_caller_that_a_close_overtakes_is_answered(talk, which):
    serving = getattr(talk._core.engine, which)
    serving._queue = late = _Late()
    answers: list[Any] = []

    async def call() -> None:
        if which == "_readers":
            await talk.aio.sessions.messages("talk")
        else:
            await talk.aio.sessions.append("talk", "user", "x")

    def caller(_: int) -> None:
        try:
            asyncio.run(asyncio.wait_for(call(), 5))
            answers.append("kept")
        except BaseException as error:
            answers.append(type(error))

    joined(*threads(2, caller))  # all threads that serve are there now
    late.armed = True
    calling = threads(1, caller)
    assert late.reached.wait(JOIN_SECONDS)
    closing = threads(1, lambda _: talk.close())
    closing[0].join(0.1)  # it is over by now, or waits for the caller
    late.go_on.set()
    joined(*calling, *closing)
    assert answers[:2] == ["kept", "kept"]
    assert answers[2] in ("kept", Closed)


def test_a_delete_that_leaves_much_to_purge_does_not_stop_a_close(path):
    store = holdfast.open(path)
    store.sessions.create(id="big")
    store.sessions.extend("big", [{"role": "user", "content": n} for n in range(5_000)])
    closing, deleted = [], []

    async def delete() -> None:
        deleted.append(await store.aio.sessions.delete("big"))

    with turn_held(store):
        deleting = threads(1, lambda _: asyncio.run(delete()))
        until(lambda: store._core.engine._writer._wanted)
        closing = threads(1, lambda _: store.close())
        until(lambda: store._core.engine._writer._closed)
    joined(*deleting, *closing)
    assert deleted == [True]
    with holdfast.open(path) as again:
        assert again.check().problems == ()
        assert list(again.sessions.list()) == []


# Interrupted.


def test_an_interrupt_while_waiting_for_the_turn_costs_nobody_the_turn(talk):
    with pytest.raises(KeyboardInterrupt), turn_held(talk):
        main = threading.main_thread().ident

        def interrupt(_: int) -> None:
            until(lambda: talk._core.engine._writer._wanted)
            signal.pthread_kill(main, signal.SIGINT)

        threads(1, interrupt)
        with talk.transaction():
            raise AssertionError("the turn was held by another")
    joined(*threads(1, lambda _: talk.sessions.append("talk", "user", "after")))
    assert talk.sessions.get("talk").message_count == 1


def test_an_interrupt_just_as_the_turn_is_given_costs_nobody_the_turn(
    talk, monkeypatch
):
    wait = tickets.Ticket.wait

    def interrupted(ticket: tickets.Ticket) -> None:
        wait(ticket)
        raise KeyboardInterrupt

    monkeypatch.setattr(tickets.Ticket, "wait", interrupted)
    hurt: list[BaseException] = []

    def caller(_: int) -> None:
        try:
            _in_transaction(talk)
        except KeyboardInterrupt as error:
            hurt.append(error)

    with turn_held(talk):
        calling = threads(1, caller)
        until(lambda: talk._core.engine._writer._wanted)
    joined(*calling)
    joined(*threads(1, lambda _: talk.sessions.append("talk", "user", "after")))
    assert len(hurt) == 1
    assert talk.sessions.get("talk").message_count == 1


def test_an_interrupt_before_the_turn_is_held_on_to_costs_nobody_the_turn(
    talk, monkeypatch
):
    take = Turn.take

    def interrupted(turn: Turn, seconds: float | None = None) -> None:
        take(turn, seconds)  # what it gives is dropped, as the exception drops it
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Turn, "take", interrupted)
        talk.sessions.append("talk", "user", "never")
    joined(*threads(1, lambda _: talk.sessions.append("talk", "user", "after")))
    assert talk.sessions.get("talk").message_count == 1


def test_an_interrupt_amid_a_piece_of_work_or_before_it_costs_nobody_the_turn(
    monkeypatch,
):
    turn = Turn()
    take = Turn.take
    kept: list[BaseException] = []

    def interrupted(*given: Any) -> None:
        if given:
            take(*given)  # what it gives is dropped, as the exception drops it
        raise KeyboardInterrupt

    for amid in (False, True):
        with monkeypatch.context() as patch:
            if not amid:
                patch.setattr(Turn, "take", interrupted)
            with pytest.raises(KeyboardInterrupt) as raised:
                turn.held(interrupted if amid else lambda: None)
        kept.append(raised.value)  # with all that its traceback keeps
        joined(*threads(1, lambda _: turn.held(lambda: None)))
        assert not turn.has(threading.get_ident())
        turn.take()  # and dropped, as an exception would: no traceback keeps it
        assert turn.take(1) is not None


def _amid(store: holdfast.Store, does: Callable[[], object]) -> Any:
    """What comes of it, amid a unit beside the state and on its very thread."""

    def work(_: Any) -> object:
        try:
            return does()
        except HoldfastError as error:
            return error

    core = store._core
    answers: list[object] = []

    def read() -> None:
        answers.append(core.engine.beside.read(Unit(work, Terms(), core.clock)))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    joined(thread)
    return answers[0]


def test_a_handler_amid_a_query_in_memory_does_not_wait_for_its_own_thread():
    store = holdfast.open(":memory:")
    store.events.emit("before")
    store.events.flush()
    assert isinstance(_amid(store, lambda: list(store.events.query())), Busy)
    assert isinstance(_amid(store, store.close), Refused)
    _amid(store, lambda: store.events.emit("amid"))
    store.events.flush()
    assert [e.name for e in store.events.query("amid")] == ["amid"]
    store.close()


# Forked.


def test_a_store_in_memory_that_is_forked_amid_a_query_refuses_its_child():
    store = holdfast.open(":memory:")
    store.events.emit("before")
    store.events.flush()

    def child(say: Any) -> None:
        with pytest.raises(Closed, match="fork"):
            store.events.query()
        say("refused")

    def fork() -> None:
        worker = Worker(child)
        try:
            worker.wait_for(1)
            worker.finish()
        finally:
            worker.close()

    amid, forked = threading.Event(), threading.Event()

    def wait() -> None:
        amid.set()
        forked.wait(JOIN_SECONDS)

    thread = threading.Thread(target=_amid, args=(store, wait))
    thread.start()
    assert amid.wait(JOIN_SECONDS)
    fork()
    forked.set()
    joined(thread)
    store.close()


def test_a_store_that_is_used_after_a_fork_says_so_and_its_parent_goes_on(talk, path):
    read, write = os.pipe()
    go_on, tell = os.pipe()
    opened: list[str] = []
    talk.events.emit("before")
    talk.events.flush()
    talk._core.engine.beside._connection = None  # as if another process had written it
    talk.sessions.append("talk", "user", "before")

    def child(say: Any) -> None:
        beside = talk._core.engine.beside
        beside._connect = lambda **_: opened.append("the parent's file")
        for use in AFTER_CLOSING.values():
            try:
                use(talk)
            except Closed as error:
                assert "fork" in str(error)  # noqa: PT017
                continue
            raise AssertionError("a forked child used its parent's store")
        for use in (talk.aio.sessions.list, talk.aio.sessions.create):
            with pytest.raises(Closed):
                asyncio.run(use())
        assert not opened
        talk.close()
        say("refused")
        os.read(go_on, 1)
        say("ends")

    worker = Worker(child)
    try:
        worker.wait_for(1)
        talk.sessions.append("talk", "user", "meanwhile")
        os.write(tell, b"1")
        assert worker.finish() == ["refused", "ends"]
    finally:
        worker.close()
        for end in (read, write, go_on, tell):
            os.close(end)
    talk.sessions.append("talk", "user", "after")
    assert talk.sessions.get("talk").message_count == 3


def test_a_child_that_opens_its_parents_store_loses_nothing(talk, path):
    """It is refused, or works: what it acknowledged is there when its parent closes."""
    go_on, tell = os.pipe()

    def child(say: Any) -> None:
        try:
            store = holdfast.open(path)
        except CannotOpen:
            say("refused")
            say("refused")
            return
        store.sessions.append("talk", "user", "1")
        say("1")
        os.read(go_on, 1)
        store.sessions.append("talk", "user", "2")
        say("2")

    worker = Worker(child)
    try:
        worker.wait_for(1)
        talk.close()
        os.write(tell, b"1")
        said = [line for line in worker.finish() if line != "refused"]
    finally:
        worker.close()
        os.close(go_on)
        os.close(tell)
    with holdfast.open(path) as store:
        assert [m.content for m in store.sessions.history("talk")] == said


def test_a_child_may_have_a_store_of_its_own(talk, tmp_path):
    def child(say: Any) -> None:
        with holdfast.open(tmp_path / "own.db") as store:
            say(store.sessions.create("mine").title)

    worker = Worker(child)
    assert worker.finish() == ["mine"]


def test_a_handler_just_before_the_turn_is_had_does_not_wait_for_it(monkeypatch):
    turn, take = Turn(), Turn.take

    def handled(turn: Turn, seconds: float | None = None) -> Any:
        token = take(turn, seconds)
        with pytest.raises(Busy):
            turn.held(lambda: None)
        return token

    monkeypatch.setattr(Turn, "take", handled)
    assert turn.held(lambda: 1) == 1


def test_who_asks_for_the_turn_again_and_again_keeps_nobody_out():
    turn, had, ended = Turn(), [0, 0], threading.Event()

    def asks(number: int) -> None:
        while not ended.is_set():
            turn.held(lambda: time.sleep(0.0005))
            had[number] += 1

    threads = [threading.Thread(target=asks, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    ended.set()
    for thread in threads:
        thread.join()
    assert min(had) > sum(had) / 10
