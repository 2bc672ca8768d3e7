"""Whatever becomes of jobs in whatever order, they stand as a model says.

Two stores share a place. Jobs are put, claimed, ended, suspended and revived, alone and
in transactions that may be undone, while the clock moves, also back. After each step
every job is as the model has it, and no lane is stuck.
"""

from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

import holdfast
from examples import dump
from holdfast import errors
from holdfast.clock import ManualClock, to_datetime, to_us
from holdfast.kinds.job_records import Job, Waited
from job_model import JobModel
from model import Wrong
from postgres import empty_store
from test_model import Failed, _end, run

pytestmark = pytest.mark.timeout(900)  # a failure is made small before it is told

ID = st.sampled_from([f"j{n}" for n in range(7)])
LANE = st.sampled_from(["a", "a", "b", None])
KIND = st.sampled_from(["x", "x", "y"])
PUT = st.fixed_dictionaries(
    {
        "id": ID,
        "kind": KIND,
        "lane": LANE,
        "priority": st.integers(-1, 1),
        "delay_seconds": st.sampled_from([None, None, 0, 5, 40]),
        "deadline": st.sampled_from([None, None, 20]),
        "parent": st.one_of(st.none(), st.none(), ID),
        "max_attempts": st.integers(1, 3),
    }
)
CLAIM = st.fixed_dictionaries(
    {
        "worker": st.sampled_from(["v", "w"]),
        "kinds": st.sampled_from([None, None, ["x"], ["y", "z"]]),
        "lanes": st.sampled_from([None, None, ["a"], ["b", "a"]]),
        "limit": st.integers(1, 3),
        "lease_seconds": st.sampled_from([10, 30]),
    }
)
PLACE = {"nth": 0, "position": 0}
DELAY = st.sampled_from([None, 0, 5])
UNDER_A_CLAIM = st.one_of(
    st.tuples(st.just("complete"), st.just({})),
    st.tuples(
        st.just("fail"),
        st.fixed_dictionaries(
            {
                "error": st.just("no"),
                "retry": st.sampled_from([True, True, False]),
                "delay_seconds": DELAY,
            }
        ),
    ),
    st.tuples(st.just("release"), st.fixed_dictionaries({"delay_seconds": DELAY})),
    st.tuples(st.just("renew"), st.just({"lease_seconds": 20})),
    st.tuples(st.just("sleep"), st.just({"name": "nap", "seconds": 7, **PLACE})),
    st.tuples(
        st.just("wait"),
        st.fixed_dictionaries(
            {
                "signal": st.just("go"),
                "timeout_seconds": st.sampled_from([None, 15]),
                "nth": st.just(0),
                "position": st.just(1),
            }
        ),
    ),
    st.tuples(st.just("join"), st.just({})),
)
BY_ANYBODY = st.one_of(
    st.tuples(st.just("cancel"), st.fixed_dictionaries({"id": ID})),
    st.tuples(st.just("revive"), st.fixed_dictionaries({"id": ID})),
    st.tuples(
        st.just("signal"), st.fixed_dictionaries({"id": ID, "name": st.just("go")})
    ),
    st.tuples(
        st.just("limit"),
        st.fixed_dictionaries(
            {"kind": KIND, "concurrency": st.sampled_from([None, None, 0, 1, 2])}
        ),
    ),
    st.tuples(st.just("purge"), st.just({})),
)
CLAIMED = st.tuples(
    st.one_of(st.none(), st.none(), ID), st.sampled_from([0, 0, 0, 1]), UNDER_A_CLAIM
)
"""Which job (or the first that is active), how old a fence, and what is done."""
COMMAND = st.one_of(
    st.tuples(st.just("put"), PUT),
    st.tuples(st.just("put"), PUT),
    st.tuples(st.just("claim"), CLAIM),
    st.tuples(st.just("claim"), CLAIM),
    CLAIMED,
    CLAIMED,
    BY_ANYBODY,
)


class Working(RuleBasedStateMachine):
    """Workers and callers on two stores in one place."""

    target = ":memory:"
    opened = 1
    clock_goes_back = True

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.model = JobModel()
        self.floor = 0

    @initialize()
    def open(self) -> None:
        self.stores = [
            holdfast.open(self.target, clock=self.clock) for _ in range(self.opened)
        ]

    def teardown(self) -> None:
        report = self.stores[0].check()
        for store in self.stores:
            store.close()
        assert report.problems == ()

    @rule(command=COMMAND, which=st.integers(0, 1))
    def alone(self, command: Any, which: int) -> None:
        store = self.stores[which % len(self.stores)]
        with self.at_its_time():
            self.act(store, command)

    @rule(
        commands=st.lists(COMMAND, min_size=2, max_size=5),
        keep=st.sampled_from([True, True, False]),
        which=st.integers(0, 1),
    )
    def together(self, commands: Any, which: int, *, keep: bool) -> None:
        store, before = self.stores[which % len(self.stores)], self.model.copied()
        with self.at_its_time():
            try:
                with store.transaction() as tx:
                    for command in commands:
                        with tx.savepoint():  # a refusal is no end of the transaction
                            self.act(tx, command)
                    _end(keep=keep)
            except Failed:
                self.model = before

    @rule(seconds=st.sampled_from([0.5, 5, 30, -20]))
    def time_passes(self, seconds: float) -> None:
        if seconds > 0 or self.clock_goes_back:
            self.clock.advance(seconds)

    @precondition(lambda self: self.target != ":memory:")
    @rule()
    def reopen(self) -> None:
        self.stores.pop(0).close()
        self.stores.append(holdfast.open(self.target, clock=self.clock))

    @invariant()
    def every_job_is_as_the_model_has_it(self) -> None:
        listed = {job.id: seen(job) for job in self.stores[-1].jobs.list(limit=100)}
        assert listed == {id: self.model.view(id) for id in self.model.jobs}

    @invariant()
    def no_lane_is_stuck_and_none_is_forked(self) -> None:
        rows = dump(self.stores[-1])
        ended = {row["job"] for row in rows["job_end"]}
        open_jobs = {row["no"]: row for row in rows["job"] if row["no"] not in ended}
        turns = {row["no"]: row for row in rows["job_turn"]}
        assert turns.keys() == open_jobs.keys()
        lanes = {row["lane"] for row in open_jobs.values()} - {None}
        first = Counter(row["lane"] for row in turns.values() if row["state"] > 0)
        del first[None]
        assert first == dict.fromkeys(lanes, 1)

    def at_its_time(self) -> Any:
        """A unit's time: that of the clock, but for one that has gone back."""
        stack = ExitStack()
        self.model.now = max(self.clock.now_us(), self.floor)
        before = self.stores[0].journal.head()

        def note() -> None:
            if self.stores[0].journal.head() > before:
                self.floor = self.model.now

        stack.callback(note)
        return stack

    def act(self, target: Any, command: Any) -> None:
        """Do one command, and compare what it gives with what the model says."""
        if len(command) == 3:
            command = self.under_a_claim(*command)
        name, args = command
        given, meant = dict(args), dict(args)
        if meant.get("deadline") is not None:
            meant["deadline"] = self.model.now + given["deadline"] * 1_000_000
            given["deadline"] = to_datetime(meant["deadline"])
        if name == "put":
            given["backoff"] = {"jitter": 0}
        if name == "purge":
            meant["finished_before"] = self.model.now
            given["finished_before"] = to_datetime(self.model.now)
        before = self.model.copied()
        try:
            wanted: Any = getattr(self.model, name)(**meant)
        except Wrong as wrong:
            self.model.__dict__ = before.__dict__
            wanted = wrong.error
        found = outcome(target, name, given)
        assert found == wanted, (name, args, found, wanted)

    def under_a_claim(self, id: str | None, older: int, what: Any) -> Any:
        active = [i for i, job in self.model.jobs.items() if job["state"] == "active"]
        id = id or next(iter(active), "j0")
        fence = self.model.jobs[id]["fence"] if id in self.model.jobs else 1
        return what[0], {"id": id, "fence": max(0, fence - older), **what[1]}


def outcome(target: Any, name: str, given: dict[str, Any]) -> Any:
    """What an operation gives, as far as it is compared; or its error's class."""
    try:
        return plain(getattr(target.jobs, name)(**given))
    except errors.HoldfastError as error:
        return type(error)


def plain(result: Any) -> Any:
    """What is compared of a result."""
    if isinstance(result, Job):
        return seen(result)
    if isinstance(result, Waited):
        return result.there
    if isinstance(result, tuple):
        return [seen(job) for job in result]
    return result if isinstance(result, int) else None


def seen(job: Job) -> tuple[Any, ...]:
    """What is compared of a job."""
    lease, due = job.lease_until, job.run_at
    return (
        job.id,
        job.status.value,
        job.attempt,
        job.fence,
        job.worker,
        None if lease is None else to_us(lease),
        None if due is None else to_us(due),
        job.waits_for,
        job.cancelling,
    )


class Served(Working):
    """Two stores on a server, on one store's tables."""

    opened = 2
    clock_goes_back = False

    def __init__(self) -> None:
        super().__init__()
        self.place = ExitStack()
        self.target = self.place.enter_context(empty_store())

    def teardown(self) -> None:
        with self.place:
            super().teardown()


def on_files(folder: Any) -> type[Working]:
    """The machine on two stores that share a file, each example on one of its own."""

    class Filed(Working):
        opened = 2

        def __init__(self) -> None:
            super().__init__()
            self.target = str(folder.mktemp("jobs") / "agent.db")

    return Filed


def test_jobs_stand_as_the_model_says_in_memory():
    run(Working, examples=15, steps=40)


def test_jobs_stand_as_the_model_says_on_a_file(tmp_path_factory):
    run(on_files(tmp_path_factory), examples=7, steps=40)


def test_jobs_stand_as_the_model_says_on_a_server():
    run(Served, examples=2, steps=25)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_jobs_stand_as_the_model_says_for_long(tmp_path_factory):
    run(Working, examples=1_500, steps=60)
    run(on_files(tmp_path_factory), examples=300, steps=60)
    run(Served, examples=60, steps=50)
