"""The inbox: each message once and in order, marked with what was done about it."""

import asyncio
import random
import threading
import time
from datetime import timedelta

import pytest

import holdfast
from conftest import place_on
from driving import Driven
from holdfast import errors
from holdfast.kinds.inbox_records import InboxStatus
from killing import Worker
from postgres import empty_store

PENDING, PROCESSED, ASIDE = InboxStatus


def handler_of(store, body):
    """A handler for a store's face, of a generator that yields each call of `tx`."""

    def plain(tx, message):
        for _ in body(tx, message):
            pass

    async def awaited(tx, message):
        for call in body(tx, message):
            await call

    return awaited if isinstance(store, Driven) else plain


def kept(store):
    """A handler whose effect is a task of the message's id, that says its body."""
    return handler_of(store, _keep)


def _keep(tx, message):
    yield tx.tasks.create(f"do {message.body}", id=message.id)


def done(store):
    """What handlers of `kept` have done, in the order in which they did."""
    return [task.description for task in reversed(store.tasks.list(limit=200))]


def standing(store, to="ada"):
    """How a recipient's messages stand, by their ids and in their order."""
    return {m.id: m.status for m in store.inbox.list(to=to, limit=200)}


def fails(*ids):
    """The body of a handler that has an effect, and then fails on some messages."""

    def body(tx, message):
        yield tx.tasks.create("left over", id=f"of-{message.id}")
        if message.id in ids:
            raise ValueError(f"no {message.id}")

    return body


def test_a_delivered_message_is_what_was_given(store):
    made = store.inbox.deliver("ada", {"a": [1, None]}, id="m", sender="bob")
    assert (made.to, made.sender, made.body) == ("ada", "bob", {"a": [1, None]})
    assert (made.position, made.status, made.attempts) == (1, PENDING, 0)
    assert made.error is made.processed_at is None
    assert store.inbox.get("m") == made
    assert store.inbox.deliver("bob", None).position == 1
    assert store.inbox.deliver("ada", "next").position == 2


def test_messages_are_processed_once_and_in_order_with_their_effects(store, clock):
    for number in range(5):
        store.inbox.deliver("ada", number, id=f"m{number}")
        clock.advance(1)
    store.inbox.deliver("bob", "other")
    assert store.inbox.process("ada", kept(store)).processed == 5
    assert done(store) == [f"do {n}" for n in range(5)]
    assert store.inbox.process("ada", kept(store)).processed == 0
    first = store.inbox.get("m0")
    assert (first.status, first.attempts) == (PROCESSED, 0)
    assert first.processed_at == first.created_at + timedelta(seconds=5)
    assert list(standing(store, "bob").values()) == [PENDING]


def test_as_many_as_the_limit_are_processed(store):
    for number in range(3):
        store.inbox.deliver("ada", number)
    assert store.inbox.process("ada", kept(store), limit=0).processed == 0
    assert store.inbox.process("ada", kept(store), limit=2).processed == 2
    assert list(standing(store).values()) == [PROCESSED, PROCESSED, PENDING]


def test_fault_messages_of_one_type_were_taken_for_one(store):
    """The original de-duplicated messages by type, so that the second was lost."""
    body = {"type": "SEND", "payload": {"text": "hello"}}
    for _ in range(3):
        store.inbox.deliver("ada", body, sender="bob")
    assert store.inbox.process("ada", kept(store)).processed == 3
    assert len(done(store)) == 3


def test_an_id_is_delivered_once_and_stays_so_when_it_was_processed(store):
    given = {"to": "ada", "body": {"type": "SEND"}, "id": "m", "sender": "bob"}
    first = store.inbox.deliver(**given)
    assert store.inbox.deliver(**given) == first
    assert store.inbox.process("ada", kept(store)).processed == 1
    assert store.inbox.deliver(**given).status == PROCESSED
    assert store.inbox.process("ada", kept(store)).processed == 0
    for other in ({"to": "bob"}, {"body": {"type": "STOP"}}, {"sender": None}):
        with pytest.raises(errors.AlreadyExists, match="inbox_message 'm' is already"):
            store.inbox.deliver(**{**given, **other})
    assert len(store.inbox.list()) == 1


def test_fault_a_message_that_fails_blocked_those_behind_it_or_was_lost(store):
    """It is tried so many times, then set aside with its error; the others go on."""
    for id in ("first", "bad", "last"):
        store.inbox.deliver("ada", {"type": "SEND"}, id=id)
    tried = []

    def body(tx, message):
        tried.append(message.id)
        yield from fails("bad")(tx, message)

    report = store.inbox.process("ada", handler_of(store, body), max_attempts=2)
    assert (report.processed, report.set_aside) == (2, 1)
    assert tried == ["first", "bad", "bad", "last"]
    assert {task.id for task in store.tasks.list()} == {"of-first", "of-last"}
    bad = store.inbox.get("bad")
    assert (bad.status, bad.attempts, bad.processed_at) == (ASIDE, 2, None)
    assert bad.error == "ValueError: no bad"
    assert [m.id for m in store.inbox.list(status="set_aside")] == ["bad"]
    assert store.inbox.process("ada", kept(store)).processed == 0


def test_a_message_that_fails_once_is_processed_with_the_next_attempt(store):
    store.inbox.deliver("ada", 1, id="m")
    left = [errors.Held("busy elsewhere")]

    def body(tx, message):
        yield tx.tasks.create("do", id=f"try-{len(left)}")
        if left:
            raise left.pop()

    assert store.inbox.process("ada", handler_of(store, body)).processed == 1
    there = store.inbox.get("m")
    assert (there.status, there.attempts, there.error) == (PROCESSED, 1, None)
    assert [task.id for task in store.tasks.list()] == ["try-0"]


def test_a_message_that_was_set_aside_keeps_its_place(store, clock):
    for id in ("a", "b", "c"):
        store.inbox.deliver("ada", id, id=id)
    store.inbox.process("ada", handler_of(store, fails("a")), limit=2, max_attempts=1)
    assert standing(store) == {"a": ASIDE, "b": PROCESSED, "c": PENDING}
    again = store.inbox.retry("a")
    assert (again.status, again.attempts, again.error) == (PENDING, 0, None)
    assert store.inbox.retry("a") == again == store.inbox.get("a")
    assert store.inbox.process("ada", kept(store), limit=1).processed == 1
    clock.advance(1)
    assert store.inbox.process("ada", kept(store)).processed == 1
    assert done(store)[-2:] == ["do a", "do c"]
    with pytest.raises(errors.Refused, match="message 'a' was processed; nothing was"):
        store.inbox.retry("a")


@pytest.mark.parametrize("raised", [KeyboardInterrupt, asyncio.CancelledError])
def test_what_interrupts_a_handler_counts_no_attempt(store, raised):
    before = store.inbox.deliver("ada", 1, id="m")

    def body(tx, message):
        yield tx.tasks.create("do")
        raise raised

    with pytest.raises(raised):
        store.inbox.process("ada", handler_of(store, body), max_attempts=1)
    assert store.inbox.get("m") == before
    assert done(store) == []


def test_an_interrupt_after_the_commit_loses_nothing(store):
    """The mark is with the effects, so that the next call finds both."""
    for id in ("a", "b"):
        store.inbox.deliver("ada", id, id=id)

    def body(tx, message):
        if message.id == "b":
            raise KeyboardInterrupt
        yield from _keep(tx, message)

    with pytest.raises(KeyboardInterrupt):
        store.inbox.process("ada", handler_of(store, body))
    assert standing(store) == {"a": PROCESSED, "b": PENDING}
    assert store.inbox.process("ada", kept(store)).processed == 1
    assert sorted(done(store)) == ["do a", "do b"]


def test_what_is_wrong_with_the_store_counts_no_attempt(store):
    before = store.inbox.deliver("ada", 1, id="m")

    def body(tx, message):
        yield tx.tasks.create("do")
        raise errors.Busy("kept for too long")

    with pytest.raises(errors.Busy, match="kept for too long"):
        store.inbox.process("ada", handler_of(store, body), max_attempts=1)
    assert store.inbox.get("m") == before


def test_a_handler_that_takes_too_long_is_an_attempt(path):
    with holdfast.open(path) as store:
        store.inbox.deliver("ada", 1, id="m")
        slow = threading.Event()
        report = store.inbox.process(
            "ada",
            lambda tx, message: slow.wait(0.3),
            max_attempts=2,
            timeout_seconds=0.05,
        )
        assert report.set_aside == 1
        assert store.inbox.get("m").error.startswith("TimedOut: ")


def test_an_error_that_cannot_be_kept_as_it_is_is_kept_all_the_same(store):
    store.inbox.deliver("ada", 1, id="m")

    def body(tx, message):
        yield tx.tasks.create("do")
        raise RuntimeError("\x00\ud800" + "x" * 5_000_000)

    assert store.inbox.process("ada", handler_of(store, body)).set_aside == 1
    assert store.inbox.get("m").error.startswith("RuntimeError: \\0\\ud800xx")


def test_who_takes_a_message_marks_it_in_his_own_transaction(store):
    for id in ("a", "b"):
        store.inbox.deliver("ada", id, id=id)
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        assert tx.inbox.take("ada").id == "a"
        assert tx.inbox.get("a").status == PROCESSED
        assert tx.inbox.take("ada").id == "b"
        assert tx.inbox.take("ada") is None
        raise ZeroDivisionError
    assert standing(store) == {"a": PENDING, "b": PENDING}
    with store.transaction() as tx:
        assert tx.inbox.take("ada").id == "a"
        assert tx.inbox.set_aside("a", "no event").attempts == 1
        assert tx.inbox.take("ada").id == "b"
        assert tx.inbox.deliver("ada", "c", id="c").position == 3
        assert tx.inbox.take("ada").id == "c"
    assert standing(store) == {"a": ASIDE, "b": PROCESSED, "c": PROCESSED}
    assert store.inbox.get("a").error == "no event"


def test_a_failed_attempt_that_somebody_else_made_good_is_not_counted(store):
    store.inbox.deliver("ada", 1, id="m")
    assert store.inbox.fail("m", "no", max_attempts=2).status == PENDING
    done_by_another = store.inbox.take("ada")
    assert store.inbox.fail("m", "no", max_attempts=2) == done_by_another
    assert store.inbox.get("m") == done_by_another


def test_a_message_that_was_processed_can_be_set_aside_and_processed_again(store):
    store.inbox.deliver("ada", 1, id="m")
    store.inbox.process("ada", kept(store))
    assert store.inbox.set_aside("m", "to be done again").processed_at is None
    store.inbox.retry("m")
    assert store.inbox.take("ada").id == "m"


def test_lists_are_in_the_recipients_order_or_newest_first(store, clock):
    for number in range(6):
        store.inbox.deliver("ada" if number % 2 else "bob", number, id=f"m{number}")
        clock.advance(1)
    store.inbox.take("ada")
    assert each_page(store, to="ada") == ["m1", "m3", "m5"]
    assert each_page(store, to="ada", status="pending") == ["m3", "m5"]
    assert each_page(store) == [f"m{n}" for n in reversed(range(6))]
    assert each_page(store, status=PENDING) == ["m5", "m4", "m3", "m2", "m0"]
    with pytest.raises(errors.InvalidId, match="no cursor of this list"):
        store.inbox.list(to="ada", cursor=store.inbox.list(limit=1).cursor)


def each_page(store, **filters):
    """The ids of a list, asked for in pages of two."""
    ids, cursor = [], None
    while True:
        page = store.inbox.list(limit=2, cursor=cursor, **filters)
        ids += [message.id for message in page]
        cursor = page.cursor
        if cursor is None:
            return ids


def test_what_was_processed_is_purged_and_nothing_else(store, clock):
    for id in ("a", "b", "c", "d"):
        store.inbox.deliver("ada", id, id=id)
    store.inbox.set_aside("a", "no")
    store.inbox.take("ada")
    clock.advance(10)
    store.inbox.take("ada")
    newest = store.inbox.get("c").processed_at
    assert store.inbox.purge(processed_before=newest) == 1
    assert standing(store) == {"a": ASIDE, "c": PROCESSED, "d": PENDING}
    late = newest + timedelta(seconds=1)
    assert store.inbox.purge(processed_before=late, limit=1) == 1
    assert store.inbox.purge(processed_before=late, limit=1) == 0
    again = store.inbox.deliver("ada", "other", id="b")
    assert (again.position, again.status) == (5, PENDING)


def test_a_place_is_not_given_twice_so_that_what_was_purged_can_come_back(store):
    for id in ("a", "b"):
        store.inbox.deliver("ada", id, id=id)
    moment = store.moment()
    while store.inbox.take("ada"):
        pass
    assert store.inbox.purge(processed_before="2100-01-01T00:00:00Z") == 2
    assert store.inbox.deliver("ada", "c", id="c").position == 3
    store.revert(moment, kinds=["inbox"], ids=["a", "b"])
    assert standing(store) == dict.fromkeys("abc", PENDING)
    assert [store.inbox.take("ada").id for _ in range(3)] == ["a", "b", "c"]


def test_the_past_of_an_inbox_is_looked_at_and_put_back(store):
    store.inbox.deliver("ada", 1, id="m")
    moment = store.moment()
    store.inbox.process("ada", kept(store))
    store.inbox.deliver("ada", 2, id="n")
    past = store.as_of(moment)
    assert standing(past) == {"m": PENDING}
    assert past.inbox.get("m").position == 1
    with pytest.raises(errors.Refused, match="read-only|moment"):
        past.inbox.process("ada", kept(store))
    store.revert(moment)
    assert standing(store) == {"m": PENDING}
    assert done(store) == []
    history = [change.op for change in store.changes("inbox", "m")]
    assert history == ["create", "update", "update"]


def test_a_fork_has_the_inbox_as_it_was(tmp_path):
    with holdfast.open(tmp_path / "a.db") as store:
        store.inbox.deliver("ada", 1, id="m")
        moment = store.moment()
        store.inbox.take("ada")
        holdfast.fork(tmp_path / "a.db", tmp_path / "b.db", moment)
    with holdfast.open(tmp_path / "b.db") as forked:
        assert forked.inbox.take("ada").id == "m"
        assert forked.inbox.deliver("ada", 2).position == 2


def test_a_message_under_a_lease_is_its_holders(store, clock):
    store.inbox.deliver("ada", 1, id="m")
    lease = store.leases.acquire("inbox", "m", holder="me", seconds=10)
    for write in (
        lambda inbox: inbox.take("ada"),
        lambda inbox: inbox.process("ada", kept(store)),
        lambda inbox: inbox.set_aside("m", "no"),
        lambda inbox: inbox.fail("m", "no"),
        lambda inbox: inbox.retry("m"),
    ):
        with pytest.raises(errors.Held, match="inbox 'm' is leased"):
            write(store.inbox)
    assert store.holding(lease).inbox.take("ada").id == "m"


def test_arguments_of_process_are_looked_over_before_anything_is_taken(store):
    store.inbox.deliver("ada", 1, id="m")
    wrong = [
        ({"handler": None}, "handler: a function of tx and a message is wanted"),
        ({"limit": -1}, "limit: -1 is below 0"),
        ({"max_attempts": 0}, "max_attempts: 0 is none of 1 to"),
        ({"timeout_seconds": 0}, "timeout_seconds: 0 seconds is no time span"),
        ({"to": 5}, "to: text is wanted, not int"),
    ]
    for given, said in wrong:
        with pytest.raises(errors.WrongType, match=said):
            store.inbox.process(**{"to": "ada", "handler": kept(store), **given})
    for call in (
        lambda: store.inbox.get("none"),
        lambda: store.inbox.retry("none"),
        lambda: store.inbox.fail("none", "no"),
        lambda: store.inbox.set_aside("none", "no"),
    ):
        with pytest.raises(errors.NotFound, match="there is no inbox_message 'none'"):
            call()
    assert standing(store) == {"m": PENDING}


def test_process_is_refused_where_it_would_wait_for_itself():
    async def awaited(tx, message):
        await tx.tasks.create("do")

    with holdfast.open(":memory:") as store:
        store.inbox.deliver("ada", 1)
        with store.transaction(), pytest.raises(errors.Refused, match="go on with tx"):
            store.inbox.process("ada", print)
        with pytest.raises(errors.Refused, match=r"use await store\.aio\.inbox"):
            store.inbox.process("ada", awaited)
        assert not hasattr(holdfast.Kind, "process")


SHARED = pytest.mark.parametrize("engine", ["file", "postgres"])


@pytest.fixture
def target(engine, tmp_path):
    """Where several stores are opened at once."""
    place = empty_store() if engine == "postgres" else place_on(engine, tmp_path)
    with place as found:
        yield found


def at_once(*works):
    """Do all of these on threads of their own; the first error is raised here."""
    failed = []

    def run(work):
        try:
            work()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def numbered(tx, message):
    """An effect that fails if it is there, and one that says in which order it came."""
    tx.tasks.create("do", id=message.id)
    tx.sessions.append("order", "user", message.body)


@SHARED
def test_many_deliver_and_process_at_once_each_message_once_and_in_order(target):
    with holdfast.open(target) as store, holdfast.open(target) as other:
        store.sessions.create(id="order")
        barrier = threading.Barrier(6)

        def deliver(place, name):
            barrier.wait()
            for number in range(10):
                place.inbox.deliver("ada", [name, number], id=f"{name}{number}")

        def work(place):
            barrier.wait()
            while len(place.tasks.list(limit=50)) < 30:
                place.inbox.process("ada", numbered, limit=3)

        works = [lambda p=p, n=n: deliver(p, n) for p, n in
                 ((store, "a"), (other, "b"), (store, "c"))]  # fmt: skip
        works += [lambda p=p: work(p) for p in (store, store, other)]
        at_once(*works)
        messages = store.inbox.list(to="ada", limit=100)
        assert [m.position for m in messages] == list(range(1, 31))
        said = [m.content for m in store.sessions.messages("order")]
        assert said == [m.body for m in messages]
        for name in "abc":
            assert [n for of, n in said if of == name] == list(range(10))


@SHARED
def test_two_who_deliver_to_each_other_do_not_stop_each_other(target):
    def answer(other):
        def handler(tx, message):
            if message.body:
                tx.inbox.deliver(other, message.body - 1, id=f"{message.id}!")

        return handler

    with holdfast.open(target) as store:
        for name in ("ada", "bob"):
            for number in range(5):
                store.inbox.deliver(name, 4, id=f"{name}{number}")

        def work(name, other):
            while store.inbox.list(status="pending", limit=1):
                store.inbox.process(name, answer(other))

        at_once(lambda: work("ada", "bob"), lambda: work("bob", "ada"))
        found = store.inbox.list(limit=100)
        assert len(found) == 50
        assert {(m.status, m.attempts) for m in found} == {(PROCESSED, 0)}


@SHARED
def test_one_id_delivered_by_many_at_once_is_one_message(target):
    with holdfast.open(target) as store, holdfast.open(target) as other:
        barrier = threading.Barrier(4)

        def deliver(place):
            barrier.wait()
            for number in range(10):
                place.inbox.deliver("ada", number, id=f"m{number}")

        at_once(*(lambda p=p: deliver(p) for p in (store, other, store, other)))
        assert len(store.inbox.list(to="ada", limit=100)) == 10


@SHARED
def test_a_transaction_that_delivers_waits_for_another_that_does(target):
    with holdfast.open(target) as store:
        delivered = threading.Event()

        def first():
            with store.transaction() as tx:
                tx.inbox.deliver("ada", 1, id="a")
                tx.inbox.deliver("bob", 1, id="b")
                delivered.set()
                time.sleep(0.1)

        def then():
            delivered.wait()
            with store.transaction() as tx:
                with pytest.raises(errors.AlreadyExists):
                    tx.inbox.deliver("cleo", 1, id="b")
                assert tx.inbox.deliver("ada", 1, id="a").position == 1
                assert tx.inbox.deliver("ada", 2).position == 2

        at_once(first, then)
        assert len(store.inbox.list()) == 3


@SHARED
def test_who_had_to_wait_for_another_is_not_blamed_for_the_time(target):
    with holdfast.open(target) as store, holdfast.open(target) as other:
        store.inbox.deliver("ada", 1)
        store.inbox.deliver("ada", 2)
        taken = threading.Event()

        def first():
            with store.transaction(timeout_seconds=5) as tx:
                tx.inbox.take("ada")
                taken.set()
                time.sleep(0.7)

        def then():
            taken.wait()
            report = other.inbox.process(
                "ada",
                lambda tx, message: time.sleep(1.4),
                max_attempts=1,
                timeout_seconds=2,
            )
            assert (report.processed, report.set_aside) == (1, 0)

        at_once(first, then)
        assert [m.attempts for m in store.inbox.list()] == [0, 0]


MANY = 120


@SHARED
def test_killed_while_it_processes_each_effect_is_there_once_and_in_order(target):
    with holdfast.open(target) as store:
        store.sessions.create(id="order")
        for number in range(MANY):
            store.inbox.deliver("ada", number, id=f"m{number}")

    def work(say, *, ends=False):
        with holdfast.open(target) as store:
            say("begun")
            while store.inbox.process("ada", numbered).processed or not ends:
                time.sleep(0.001)

    chance = random.Random(7)
    for _ in range(5):
        workers = [Worker(work), Worker(work)]
        try:
            for worker in workers:
                worker.wait_for(1)
            time.sleep(chance.random() * 0.05)
            for worker in workers:
                worker.kill()
        finally:
            for worker in workers:
                worker.close()
    Worker(lambda say: work(say, ends=True)).finish()
    with holdfast.open(target) as store:
        found = list(store.inbox.list(to="ada", limit=MANY))
        assert {(m.status, m.attempts) for m in found} == {(PROCESSED, 0)}
        said = [m.content for m in store.sessions.messages("order", MANY)]
        assert said == [*range(MANY)]
