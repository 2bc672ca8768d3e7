"""The store as a whole: its faces, its transactions, its ends."""

import pytest

import holdfast
from holdfast import errors
from holdfast.astore import AsyncStore
from holdfast.declared import RESERVED


def test_a_transaction_keeps_all_of_it(store):
    talk = store.sessions.create("Plan")
    with store.transaction(actor="planner", cause="test") as tx:
        task = tx.tasks.create("Book", session=talk.id)
        tx.sessions.append(talk.id, "assistant", "I'll book it.")
    assert store.tasks.get(task.id).session == talk.id
    assert store.sessions.get(talk.id).message_count == 1
    last = list(store.journal.read())[-1]
    assert (last.actor, last.cause) == ("planner", "test")


def test_a_transaction_that_raises_keeps_nothing(store):
    talk = store.sessions.create("Plan")
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        tx.sessions.append(talk.id, "user", "gone")
        1 / 0  # noqa: B018
    assert store.sessions.get(talk.id).message_count == 0


def test_a_call_on_the_store_inside_a_transaction_is_refused(open_store):
    store = open_store()
    with store.transaction(), pytest.raises(errors.Refused, match="tx.sessions.create"):
        store.sessions.create("apart")
    assert list(store.sessions.list()) == []


def test_a_savepoint_undoes_its_part_alone(store):
    with store.transaction() as tx:
        talk = tx.sessions.create("kept")
        with pytest.raises(ZeroDivisionError), tx.savepoint():
            tx.sessions.append(talk.id, "user", "undone")
            1 / 0  # noqa: B018
        tx.sessions.append(talk.id, "user", "kept")
    assert [m.content for m in store.sessions.messages(talk.id)] == ["kept"]


def test_a_keyed_run_is_committed_once(store):
    first = store.run(lambda tx: tx.sessions.create("once").id, once="make:1")
    again = store.run(lambda tx: tx.sessions.create("twice").id, once="make:1")
    assert first == again
    assert [s.title for s in store.sessions.list()] == ["once"]


def test_what_is_read_together_is_of_one_moment(store):
    store.sessions.create(id="talk")
    store.sessions.append("talk", "user", "one")
    before = store.moment()
    store.sessions.append("talk", "user", "two")

    def seen(tx, extra):
        said = [message.content for message in tx.sessions.history("talk")]
        return tx.sessions.get("talk").message_count, said, extra

    assert store.read(seen, 7) == (2, ["one", "two"], 7)
    assert store.as_of(before).read(seen, 7) == (1, ["one"], 7)


@pytest.mark.parametrize(
    "write",
    [
        lambda tx: tx.sessions.append("talk", "user", "one"),
        lambda tx: tx.tasks.create("Book"),
        lambda tx: tx.leases.acquire("sessions", "talk", seconds=5, holder="me"),
    ],
)
def test_a_read_writes_nothing(store, write):
    store.sessions.create(id="talk")
    moment = store.moment()
    with pytest.raises(errors.Refused, match="only reads"):
        store.read(write)
    with pytest.raises(errors.Refused, match="the past stays as it was"):
        store.as_of(moment).read(write)
    assert store.moment() == moment


def test_a_read_is_a_plain_function_outside_of_a_transaction(open_store):
    store = open_store()

    async def awaited(tx):
        return tx

    with pytest.raises(errors.Refused, match="read takes a plain function"):
        store.read(awaited)
    with pytest.raises(errors.WrongType):
        store.read("sessions.get")
    with store.transaction(), pytest.raises(errors.Refused):
        store.read(lambda tx: tx.owner)


def test_a_read_is_over_with_its_function(store):
    held = store.read(lambda tx: tx)
    with pytest.raises(errors.Refused, match="ended"):
        held.sessions.list()


def test_no_kind_can_take_a_name_that_a_store_has():
    classes = (holdfast.Store, AsyncStore, holdfast.Transaction)
    theirs = {name for cls in classes for name in vars(cls) if name[0] != "_"}
    assert theirs | {"derived"} == RESERVED  # the tables of indexes are called so
