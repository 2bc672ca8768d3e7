"""Moments: a store as of a moment gives what the store gave then, whatever came since.

Recorded histories are held against `as_of`, on every engine and face, at moments in no
order, by number and by time, with other writers beside.
"""

import json
import random
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

import holdfast
import pasts
from conftest import store_on
from driving import Driven
from examples import WRITING, example, furnish
from holdfast import core, errors
from holdfast.clock import to_datetime
from holdfast.kinds import histories, tasks
from holdfast.kinds.sessions import Sessions

OWNERS = ("", "ada")


@pytest.fixture(autouse=True)
def little_at_once(monkeypatch):
    """Much is deleted in slices, each a moment of its own, out of sight."""
    monkeypatch.setattr(histories, "_SWEPT_AT_ONCE", 3)
    monkeypatch.setattr(tasks, "_SWEPT_AT_ONCE", 3)
    monkeypatch.setattr(core, "_TIDIED_AT_ONCE", 2)


def live(store, clock, seed, steps):
    """A random history: the moment and time after each step, and what was seen."""
    chance = random.Random(seed)
    by_owner = {owner: store.owned_by(owner) for owner in OWNERS}
    said = [(0, None, {owner: pasts.seen(store) for owner in OWNERS})]
    for mine in by_owner.values():
        pasts.begin(mine)
    for _ in range(steps):
        clock.advance(chance.random())
        pasts.change(by_owner[chance.choice(OWNERS)], chance)
        seen = {owner: pasts.seen(mine) for owner, mine in by_owner.items()}
        said.append((store.moment(), clock.now_us(), seen))
    return said


def test_a_store_as_of_a_moment_gives_what_it_gave_then(store, clock):
    said = live(store, clock, 1, 40)
    chance = random.Random(2)
    for moment, at, seen in chance.choices(said, k=40):
        as_of = [moment] if at is None else [moment, to_datetime(at)]
        past = store.as_of(when := chance.choice(as_of))
        owner = chance.choice(OWNERS)
        assert pasts.seen(past.owned_by(owner)) == seen[owner], (moment, owner)
        if when == moment:
            assert past.moment() == moment
        else:  # what was swept away at that time comes after it
            assert past.moment() >= moment


@pytest.mark.parametrize("engine", ["file", "postgres"])
def test_writers_at_once_leave_one_past(engine, tmp_path):
    steps = 25
    with store_on(engine, tmp_path) as target, holdfast.open(target) as store:
        threads = [f"thread {n}" for n in range(3)]
        found = {}
        writers = [
            threading.Thread(
                target=lambda owner=owner, seed=seed: found.update(
                    {owner: pasts.write(store.owned_by(owner), seed, steps)}
                )
            )
            for seed, owner in enumerate(threads)
        ]
        program = [sys.executable, str(Path(pasts.__file__)), target, "child", "9"]
        with subprocess.Popen(
            [*program, str(steps)], stdout=subprocess.PIPE, text=True
        ) as child:
            for writer in writers:
                writer.start()
            for writer in writers:
                writer.join()
            said, _ = child.communicate()
        found["child"] = json.loads(said)
        compared = hold_against(store, found, random.Random(3))
    assert compared > 100


def hold_against(store, found, chance):
    """Look at moments in no order: each owner had what its newest transaction left."""
    causes = [
        (change.moment, change.cause)
        for change in all_changes(store)
        if change.cause and change.seq == change.moment
    ]
    latest, after = dict.fromkeys(found), []
    for moment, cause in causes:
        owner = cause.rpartition(" ")[0]
        latest[owner] = found[owner][cause]
        after.append((moment, dict(latest)))
    assert {owner: list(said.values())[-1] for owner, said in found.items()} == {
        owner: pasts.digest(store.owned_by(owner)) for owner in found
    }
    compared = 0
    for moment, wanted in chance.sample(after, min(60, len(after))):
        past = store.as_of(moment)
        for owner, digest in wanted.items():
            if digest is not None:
                assert pasts.digest(past.owned_by(owner)) == digest, (moment, owner)
                compared += 1
    return compared


def all_changes(store):
    journal, cursor = store.across_owners().journal, None
    while True:
        page = journal.read(limit=1000, cursor=cursor)
        yield from page
        cursor = page.cursor
        if cursor is None:
            return


def test_the_past_stays_readable_within_a_transaction_that_writes(store):
    store.sessions.create("one", id="s")
    then = store.moment()
    store.sessions.update("s", title="two")

    def put_back(tx):
        past = core.standing_at(tx._tx, then)
        return tx.sessions.update("s", title=Sessions(past).get("s").title).title

    assert store.run(put_back) == "one"
    assert store.sessions.get("s").title == "one"


@pytest.fixture
def furnished(store):
    """A moment at which a store had some state, and what each owner had of it."""
    for owner in OWNERS:
        furnish(store.owned_by(owner), f"then-{owner}x")
    return store.moment(), {owner: store.usage(owner) for owner in OWNERS}


@pytest.fixture
def past(store, furnished):
    """The store as of that moment, which other changes came after."""
    moment, _ = furnished
    store.sessions.append("talk", "user", "late", message_id="late")
    store.sessions.delete("child")
    store.owned_by("late").sessions.create()
    store.tasks.delete("doing")
    return store.as_of(moment)


def test_nothing_is_written_to_the_past(store, past):
    before = store.moment()
    for name in WRITING:
        with pytest.raises(errors.Refused, match="past"):
            past.call(name, dict(example(name).args))
        assert store.moment() == before, name


def test_what_keeps_no_past_says_so(past):
    with pytest.raises(errors.Refused, match="leases has no past"):
        past.leases.get("sessions", "leased")


def test_what_writes_or_waits_is_refused(store, past):
    before = store.moment()
    lease = store.leases.get("sessions", "leased")
    refused = [
        lambda: past.run(lambda tx: tx.sessions.create()),
        lambda: past.holding(lease),
        lambda: past.transaction().__enter__(),
        lambda: past.join(object()).__enter__(),
        lambda: past.lease("sessions", "talk").__enter__(),
        lambda: past.tasks.work("todo").__enter__(),
        lambda: next(iter(past.journal.follow())),
        lambda: past.journal.follower("reader"),
    ]
    for call in refused:
        with pytest.raises(errors.Refused):
            call()
    assert store.moment() == before


def test_the_past_knows_its_owners_and_what_they_had(store, past, furnished):
    assert past.owners() == ["", "ada"]
    assert store.owners() == ["", "ada", "late"]
    assert past.owner == ""
    talk = past.owned_by("ada").sessions.get("talk")
    assert talk.title == "talk of then-adax"
    _, had = furnished
    assert past.usage() == had[""] != store.usage()
    assert past.usage("ada") == had["ada"] == store.usage("ada")
    assert past.usage("late").bytes == 0
    assert past.usage("late").tables["session"].rows == 0
    across = past.across_owners()
    listed = [(s.owner, s.id) for s in across.sessions.list()]
    assert ("late", "child") not in listed
    assert {owner for owner, _ in listed} == {"", "ada"}
    assert ("", "child") in listed


def test_the_journal_of_the_past_ends_there(store, past):
    moment = past.moment()
    assert past.journal.head() == moment < store.moment()
    changes = past.across_owners().journal.read(limit=1000)
    assert changes.cursor is None
    assert changes[-1].seq == moment
    wanted = store.across_owners().journal.read(limit=len(changes))
    assert [c.seq for c in changes] == [c.seq for c in wanted]
    talk = [c for c in past.journal.read(id="talk", limit=100) if c.kind == "session"]
    assert [c.after["title"] for c in talk] == ["talk of then-x"]
    assert past.check().problems == ()


def test_the_past_of_the_past_reaches_up_to_it(store, past):
    with pytest.raises(errors.Refused, match="ahead"):
        past.as_of(store.moment())
    first = next(c.moment for c in store.journal.read())
    assert len(past.as_of(0).sessions.list()) == 0
    assert past.as_of(first).sessions.get("talk").id == "talk"
    assert past.as_of(past.moment()).sessions.get("child").id == "child"


def test_the_same_store_in_its_other_face_is_of_the_same_moment(past):
    if isinstance(past, Driven):
        assert past.sync.sessions.get("child").id == "child"
    else:
        assert Driven(past.aio, None).owner == past.owner
        assert past.aio.sync.sessions.get("child").id == "child"


def test_a_moment_must_be_one(store, clock):
    with store.transaction() as tx:
        tx.sessions.create(id="a")
        tx.sessions.create(id="b")
    head = store.moment()
    for ahead in (head + 1, clock_after(clock, 5), "2999-01-01T00:00Z"):
        with pytest.raises(errors.Refused, match="ahead"):
            store.as_of(ahead)
    with pytest.raises(errors.Refused, match="midst of a transaction"):
        store.as_of(head - 1)
    for wrong in (
        "yesterday",
        "2026-01-01",
        clock_after(clock, 0).replace(tzinfo=None),
    ):
        with pytest.raises(errors.WrongType):
            store.as_of(wrong)
    for wrong in (-1, 1.5, None, True, b"1"):
        with pytest.raises(errors.WrongType):
            store.as_of(wrong)
    assert list(store.as_of("2001-01-01T00:00Z").sessions.list()) == []
    assert len(store.as_of(head).sessions.list()) == 2


def test_what_a_clock_ahead_of_this_one_wrote_is_no_time_ahead(store, clock):
    store.sessions.create("before", id="s")
    clock.advance(60)
    store.sessions.update("s", title="after")
    there = clock_after(clock, 0)
    clock.advance(-30)
    store.sessions.update("s", title="last")
    *_, last = store.changes("sessions", "s")
    assert last.at == there
    assert store.as_of(there).sessions.get("s").title == "last"
    assert store.as_of(clock_after(clock, 0)).sessions.get("s").title == "before"
    with pytest.raises(errors.Refused, match="ahead"):
        store.as_of(clock_after(clock, 31))


def clock_after(clock, seconds):
    return to_datetime(clock.now_us()) + timedelta(seconds=seconds)


def test_before_the_horizon_nothing_is_known(store, clock):
    store.sessions.create("one", id="s")
    first, early = store.moment(), clock_after(clock, 0)
    clock.advance(5)
    store.sessions.update("s", title="two")
    second = store.moment()
    past = store.as_of(first)
    assert past.sessions.get("s").title == "one"
    store.journal.trim(second)
    assert store.journal.horizon() == second
    for when in (first, early):
        with pytest.raises(errors.Trimmed):
            store.as_of(when)
    with pytest.raises(errors.Trimmed):
        past.sessions.get("s")
    store.sessions.update("s", title="three")
    assert store.as_of(second).sessions.get("s").title == "two"
