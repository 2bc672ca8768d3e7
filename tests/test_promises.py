"""The table of promises, each tried: write, kill -9, open again, compare.

Driven by `holdfast.declared.guarantees()`: a kind that is there and has no sample here,
or a promise that nothing here tries, is a failure. A kind of a user's own is one of
them, and stands under the same test as holdfast's.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

import holdfast
from holdfast import declared
from holdfast.guarantees import MEANINGS, Promise
from killing import Worker

JOTTINGS = """
-- tables --
-- Short notes, by name.
create table jotting (
    no integer primary key,
    owner text not null,
    id text not null,
    body text not null,
    unique (owner, id)
) strict;

-- jotting_put --
-- Keep a note.
insert into jotting (no, owner, id, body) values (:no, :owner, :id, :body)

-- jotting_all --
-- Every note of an owner.
select id, body from jotting where owner = :owner order by id limit 1000
"""


class Jottings(holdfast.Kind):
    """A kind of a user's own."""

    @holdfast.operation
    def put(self, id: str, body: str) -> str:
        no = self.tx.new_no()
        self.tx.run("jotting_put", no=no, owner=self.owner, id=id, body=body)
        return id

    @holdfast.query
    def all(self) -> dict[str, str]:
        return dict(self.tx.all("jotting_all", owner=self.owner))


class Sample(NamedTuple):
    """A write of one kind that can be told apart by a number, and what is there.

    `seconds` is the time within which it is on disk, where that is not at once.
    """

    write: Callable[[Any, int], object]
    there: Callable[[Any], object]
    seconds: float = 0.0


def _leased(store: Any) -> list[Any]:
    found = [store.leases.get("sessions", s.id) for s in store.sessions.list(limit=99)]
    return [(lease.id, lease.fence, str(lease.until)) for lease in found if lease]


def _lease(store: Any, number: int) -> None:
    with store.transaction() as tx:
        made = tx.sessions.create()
        tx.leases.acquire("sessions", made.id, holder=f"h{number}", seconds=9_999)


def _work(store: Any, number: int) -> None:
    """One job more; somebody has claimed every other one."""
    with store.transaction() as tx:
        tx.jobs.put("do", id=f"no-{number}", lane=f"lane {number}")
        if number % 2:
            tx.jobs.claim("w", lanes=[f"lane {number}"], lease_seconds=9_999)


def _machine(store: Any, number: int) -> None:
    """One machine more, in its second state."""
    states = {"new": {"on": {"GO": "old"}}, "old": {}}
    store.machines.define("m", {"initial": "new", "states": states})
    with store.transaction() as tx:
        made = tx.machines.create("m", context={"n": number})
        tx.machines.send(made.id, "GO")


def _changes(store: Any) -> list[Any]:
    return [(c.seq, c.kind, c.op, c.actor, c.after) for c in store.journal.read()]


def _journal(store: Any, number: int) -> None:
    store.run(lambda tx: tx.tasks.create(f"no {number}").id, actor=f"a{number}")


SAMPLES = {
    "events": Sample(
        lambda store, number: store.events.emit("no", {"n": number}),
        lambda store: [(e.id, e.data) for e in store.events.query("no")],
        seconds=holdfast.Limits().event_seconds,
    ),
    "journal": Sample(_journal, _changes),
    "items": Sample(
        lambda store, number: store.items.put(("no",), f"k{number}", {"n": number}),
        lambda store: [(i.key, i.value) for i in store.items.list(("no",))],
    ),
    "inbox": Sample(
        lambda store, number: store.inbox.deliver("ada", {"n": number}),
        lambda store: [(m.position, m.body) for m in store.inbox.list(to="ada")],
    ),
    "leases": Sample(_lease, _leased),
    "jobs": Sample(
        _work,
        lambda store: [(j.id, j.status.value, j.fence) for j in store.jobs.list()],
    ),
    "machines": Sample(
        _machine,
        lambda store: [(m.id, m.state, m.context) for m in store.machines.list()],
    ),
    "observations": Sample(
        lambda store, number: store.observations.create(f"no-{number}"),
        lambda store: [(o.id, o.observer) for o in store.observations.list()],
    ),
    "schedules": Sample(
        lambda store, number: store.schedules.put(
            f"no-{number}", "do", cron="* * * * *"
        ),
        lambda store: [s.id for s in store.schedules.list()],
    ),
    "sessions": Sample(
        lambda store, number: store.sessions.create(f"no {number}"),
        lambda store: [(s.id, s.title) for s in store.sessions.list()],
    ),
    "tasks": Sample(
        lambda store, number: store.tasks.create(f"no {number}"),
        lambda store: [(t.id, t.description) for t in store.tasks.list()],
    ),
    "threads": Sample(
        lambda store, number: store.threads.put(f"no-{number}", "c", state=number),
        lambda store: [
            (t.id, store.threads.checkpoint(t.id).state) for t in store.threads.list()
        ],
    ),
    "jottings": Sample(
        lambda store, number: store.jottings.put(f"no-{number}", "told"),
        lambda store: store.jottings.all(),
    ),
}


@pytest.fixture
def promises() -> Iterator[dict[str, Promise]]:
    """What each kind promises, a user's own among them."""
    holdfast.kind("jottings", sql=JOTTINGS, promise=Promise.DURABLE)(Jottings)
    yield {found.kind: found.promise for found in declared.guarantees()}
    declared._declared.pop("jottings")


def after_a_crash(path: str, sample: Sample) -> tuple[str, str]:
    """What was there when the last write was acknowledged, and after kill -9."""

    def work(say: Callable[[str], None]) -> None:
        store = holdfast.open(path)
        for number in range(5):
            sample.write(store, number)
            say(_said(sample, store))
        time.sleep(sample.seconds * 1.5)
        say(_said(sample, store))
        for number in range(5, 25):  # perhaps killed amid these
            sample.write(store, number)
        signal.pause()

    worker = Worker(work)
    try:
        worker.wait_for(6)
        said = worker.kill()[-1]
    finally:
        worker.close()
    with holdfast.open(path) as store:
        assert store.check().problems == ()
        return said, _said(sample, store)


def _said(sample: Sample, store: Any) -> str:
    return json.dumps(sample.there(store), sort_keys=True, default=str)


def _all_of_it(said: str, found: str) -> bool:
    before, after = json.loads(said), json.loads(found)
    if isinstance(before, dict):
        return bool(before) and before.items() <= after.items()
    return bool(before) and all(item in after for item in before)


TRIED = {Promise.DURABLE: _all_of_it, Promise.DEBOUNCED: _all_of_it}
"""What each promise says of a store that was killed, as far as a kind makes it yet: of
what was acknowledged, and, if that is debounced, given the time that it states."""


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_kind_keeps_its_promise_through_kill_9(promises, path, kind):
    said, found = after_a_crash(path, SAMPLES[kind])
    assert TRIED[promises[kind]](said, found)


def test_every_kind_and_every_promise_that_is_made_is_tried(promises):
    assert promises.keys() == SAMPLES.keys()
    assert set(promises.values()) <= TRIED.keys()


def test_a_promise_that_is_not_kept_would_be_noticed():
    assert not _all_of_it("[]", "[]")
    assert not _all_of_it("[1, 2]", "[1]")
    assert not _all_of_it('{"a": 1}', '{"a": 2}')


def test_the_table_says_of_each_kind_what_its_promise_means(promises):
    for line in declared.guarantees():
        meaning = MEANINGS[line.promise]
        assert line.promise == promises[line.kind]
        assert (line.acknowledged, line.after_a_crash) == (
            meaning.acknowledged,
            meaning.after_a_crash,
        )
