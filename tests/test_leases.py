"""Leases: nobody writes past one that lives, and its holder not once it is over."""

import threading
from datetime import timedelta

import pytest

from examples import WRITING, dump, example, furnish
from holdfast import errors

GUARDED = [
    name
    for name in WRITING
    if name.split(".")[0] in {"sessions", "tasks"}
    and name.split(".")[1] not in {"create", "admit", "fork", "mark", "unmark"}
]
"""Every operation that writes to a record that is there."""


@pytest.fixture
def each(store):
    """For each of them: its name, a furnished owner of its own, and a lease."""

    def furnished():
        for name in GUARDED:
            mine = store.owned_by(name)
            furnish(mine, "ada")
            yield name, mine, leased_by(mine, name)

    return furnished()


def leased_by(store, name, holder="me", seconds=10):
    """A lease on the record that an operation's example writes to."""
    kind, id = name.split(".")[0], example(name).args["id"]
    return store.leases.acquire(kind, id, holder=holder, seconds=seconds)


def test_a_write_past_a_live_lease_is_held(each):
    for name, store, lease in each:
        other = "talk" if lease.id == "child" else "child"
        elsewhere = store.leases.acquire("sessions", other, holder="me", seconds=10)
        before = dump(store, name)
        with pytest.raises(errors.Held, match=f"{lease.id!r} is leased"):
            store.call(name, example(name).args)
        with pytest.raises(errors.Held):  # a lease on another record does not help
            store.holding(elsewhere).call(name, example(name).args)
        assert dump(store, name) == before


def test_a_write_that_carries_the_lease_passes(each):
    for name, store, lease in each:
        before = dump(store, name)
        store.holding(lease).call(name, example(name).args)
        assert dump(store, name) != before, name


def test_a_write_that_carries_an_older_lease_is_fenced(each, clock):
    for name, store, lease in each:
        clock.advance(10)
        newer = leased_by(store, name, holder="other")
        assert newer.fence == lease.fence + 1
        before = dump(store, name)
        with pytest.raises(errors.Fenced, match="somebody else took it over"):
            store.holding(lease).call(name, example(name).args)
        assert dump(store, name) == before


def test_a_write_that_carries_a_lapsed_lease_is_fenced_and_an_unfenced_one_passes(
    each, clock
):
    for name, store, lease in each:
        clock.advance(9.999_999)
        with pytest.raises(errors.Held):
            store.call(name, example(name).args)
        clock.advance(0.000_001)
        before = dump(store, name)
        with pytest.raises(errors.Fenced, match="ran out"):
            store.holding(lease).call(name, example(name).args)
        assert dump(store, name) == before
        store.call(name, example(name).args)
        assert dump(store, name) != before, name


@pytest.fixture
def talk(store):
    """A store that has a session called `s`."""
    store.sessions.create(id="s")
    return store


def acquire(store, holder="me", seconds=10):
    return store.leases.acquire("sessions", "s", holder=holder, seconds=seconds)


def test_a_lease_says_what_who_and_until_when(talk, clock):
    lease = acquire(talk)
    assert (lease.kind, lease.id, lease.owner, lease.holder) == (
        "sessions",
        "s",
        "",
        "me",
    )
    made = talk.sessions.get("s").created_at
    assert (lease.fence, lease.until) == (1, made + timedelta(seconds=10))
    assert talk.leases.get("sessions", "s") == lease
    clock.advance(10)
    assert talk.leases.get("sessions", "s") is None


def test_another_holder_waits_and_is_told_who_has_it(talk, clock):
    acquire(talk)
    with pytest.raises(errors.Held, match="'me' until"):
        acquire(talk, "other")
    clock.advance(10)
    assert acquire(talk, "other").fence == 2
    with pytest.raises(errors.Held, match="'other'"):
        acquire(talk)


def test_the_same_holder_takes_over_at_once_and_its_older_lease_is_over(talk):
    older, newer = acquire(talk), acquire(talk)
    assert (older.fence, newer.fence) == (1, 2)
    talk.holding(newer).sessions.append("s", "user", "in")
    with pytest.raises(errors.Fenced):
        talk.holding(older).sessions.append("s", "user", "late")
    assert talk.leases.release("sessions", "s", fence=older.fence) is False
    assert talk.leases.get("sessions", "s") == newer


def test_a_renewal_lets_a_lease_end_later(talk, clock):
    lease = acquire(talk)
    clock.advance(9)
    renewed = talk.leases.renew("sessions", "s", fence=1, seconds=5)
    assert (renewed.fence, renewed.holder) == (1, "me")
    assert renewed.until == lease.until + timedelta(seconds=4)
    clock.advance(4)
    talk.holding(lease).sessions.append("s", "user", "in")
    clock.advance(1)
    with pytest.raises(errors.Fenced, match="ran out"):
        talk.leases.renew("sessions", "s", fence=1, seconds=5)
    acquire(talk, "other")
    with pytest.raises(errors.Fenced, match="another lease"):
        talk.leases.renew("sessions", "s", fence=1, seconds=5)


def test_a_renewal_may_let_a_lease_end_sooner(talk, clock):
    acquire(talk, seconds=100)
    talk.leases.renew("sessions", "s", fence=1, seconds=1)
    clock.advance(1)
    assert acquire(talk, "other").fence == 2


def test_a_lease_that_is_given_back_is_over_once(talk):
    lease = acquire(talk)
    assert talk.leases.release("sessions", "s", fence=1) is True
    assert talk.leases.release("sessions", "s", fence=1) is False
    assert talk.leases.get("sessions", "s") is None
    talk.sessions.append("s", "user", "free")
    with pytest.raises(errors.Fenced):
        talk.holding(lease).sessions.append("s", "user", "late")
    assert acquire(talk, "other").fence == 2


def test_only_records_that_are_there_can_be_leased(talk):
    for kind, id in (("sessions", "gone"), ("tasks", "s")):
        with pytest.raises(errors.NotFound, match=id):
            talk.leases.acquire(kind, id, holder="me", seconds=1)
    for kind in ("leases", "journal", "nothing"):
        with pytest.raises(errors.Refused, match="no kind"):
            talk.leases.acquire(kind, "s", holder="me", seconds=1)


def test_reading_needs_no_lease(talk):
    lease = acquire(talk)
    assert talk.sessions.get("s").message_count == 0
    talk.leases.release("sessions", "s", fence=1)
    late = talk.holding(lease)
    assert late.sessions.get("s").id == "s"
    assert list(late.sessions.history("s")) == []


def test_a_late_holder_writes_to_no_other_record_either(talk, clock):
    lease = acquire(talk)
    mine = talk.holding(lease)
    assert mine.sessions.create(id="beside").id == "beside"
    clock.advance(10)
    before = dump(talk)
    for late in (
        lambda: mine.sessions.create(id="late"),
        lambda: mine.tasks.create("late"),
        lambda: mine.sessions.append("beside", "user", "late"),
        lambda: mine.run(lambda tx: tx.tasks.create("late")),
        lambda: mine.run(lambda tx: 1, once="late"),
    ):
        with pytest.raises(errors.Fenced):
            late()
    assert dump(talk) == before


def test_a_transaction_carries_a_lease_as_a_whole(talk, clock):
    lease = acquire(talk)
    with talk.transaction(lease=lease) as tx:
        tx.sessions.append("s", "user", "in")
        tx.tasks.create("beside", session="s")
    with talk.transaction() as tx, pytest.raises(errors.Held):
        tx.sessions.append("s", "user", "unfenced")
    with talk.holding(lease).transaction() as tx:
        tx.sessions.append("s", "user", "in too")
    clock.advance(10)
    with pytest.raises(errors.Fenced), talk.transaction(lease=lease) as tx:
        pytest.fail("the body must not run")
    with pytest.raises(errors.Fenced), talk.holding(lease).transaction():
        pytest.fail("the body must not run")
    assert [m.content for m in talk.sessions.history("s")] == ["in", "in too"]


def test_a_lease_that_is_taken_and_used_in_one_transaction_is_undone_with_it(talk):
    with pytest.raises(ZeroDivisionError), talk.transaction() as tx:
        tx.leases.acquire("sessions", "s", holder="me", seconds=10)
        1 / 0  # noqa: B018
    assert talk.leases.get("sessions", "s") is None
    assert acquire(talk, "other").fence == 1


def test_a_transaction_whose_lease_is_taken_over_within_it_writes_no_more(talk):
    lease = acquire(talk)
    with talk.transaction(lease=lease) as tx:
        tx.leases.acquire("sessions", "s", holder="me", seconds=10)
        with pytest.raises(errors.Held):
            tx.sessions.append("s", "user", "late")
    assert talk.sessions.get("s").message_count == 0


def test_a_block_holds_a_lease_and_gives_it_back(talk):
    with talk.lease("sessions", "s", holder="me", seconds=10) as lease:
        assert (lease.fence, lease.lease.holder) == (1, "me")
        lease.store.sessions.append("s", "user", "in")
        with pytest.raises(errors.Held):
            talk.sessions.append("s", "user", "out")
        with pytest.raises(errors.Held), talk.lease("sessions", "s"):
            pytest.fail("the body must not run")
    assert talk.sessions.append("s", "user", "free").position == 2


def test_a_block_that_raises_gives_its_lease_back_too(talk):
    with pytest.raises(ZeroDivisionError), talk.lease("sessions", "s"):
        1 / 0  # noqa: B018
    assert talk.leases.get("sessions", "s") is None


def test_a_block_renews_by_hand_and_learns_that_it_is_late(talk, clock):
    with talk.lease("sessions", "s", seconds=10) as lease:
        until = lease.until
        clock.advance(6)
        lease.renew()
        assert lease.until == until + timedelta(seconds=6)
        lease.renew(seconds=100)
        assert lease.until == until + timedelta(seconds=96)
        clock.advance(100)
        with pytest.raises(errors.Fenced):
            lease.renew()
        with pytest.raises(errors.Fenced):
            lease.store.sessions.append("s", "user", "late")
        assert lease.release() is False


def test_a_block_that_is_late_leaves_the_next_holders_lease_alone(talk, clock):
    with talk.lease("sessions", "s", seconds=10):
        clock.advance(10)
        newer = acquire(talk, "other")
    assert talk.leases.get("sessions", "s") == newer


def test_a_lease_binds_every_store_on_the_file(open_store, clock):
    one, two = open_store(clock=clock), open_store(clock=clock)
    one.sessions.create(id="s")
    lease = acquire(one)
    with pytest.raises(errors.Held):
        two.sessions.append("s", "user", "unfenced")
    two.holding(lease).sessions.append("s", "user", "the token is enough")
    clock.advance(10)
    acquire(two, "other")
    with pytest.raises(errors.Fenced):
        one.holding(lease).sessions.append("s", "user", "late")


def test_of_many_who_want_a_record_one_gets_it(open_store):
    store = open_store()
    store.sessions.create(id="s")
    together, won, lost = threading.Barrier(8), [], []

    def want(holder):
        together.wait()
        try:
            won.append(acquire(store, holder, seconds=600))
        except errors.Held:
            lost.append(holder)

    threads = [threading.Thread(target=want, args=(f"h{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)
    assert store.leases.get("sessions", "s") == won[0]


@pytest.mark.parametrize("wrong", [5, "lease", object()])
def test_only_a_lease_can_be_carried(store, wrong):
    with pytest.raises(errors.WrongType):
        store.holding(wrong)
    with pytest.raises(errors.WrongType), store.transaction(lease=wrong):
        pytest.fail("the body must not run")
