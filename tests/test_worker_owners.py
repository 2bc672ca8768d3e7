"""Workers across owners: everyone has a turn, and each end reaches its owner."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import holdfast
from conftest import place_on
from holdfast import Worker
from holdfast.clock import ManualClock
from holdfast.errors import Refused, WrongType
from holdfast.kinds.job_records import Backoff
from holdfast.runtime.jobs import owners
from postgres import fresh_schema
from test_postgres_owners import as_agent
from test_worker import SOON_SECONDS, Bell, until

AT_ONCE = Backoff(first_seconds=0.001, most_seconds=0.001)
EVERYONE = [f"user-{number:02}" for number in range(50)]


@contextmanager
def place_of(engine: str, folder: Path) -> Iterator[str]:
    """A target on an engine; PostgreSQL's is behind a wall, in three parts."""
    if engine == "walled":
        with fresh_schema(partitions=3, row_security="on") as url:
            yield as_agent(url)
    else:
        with place_on(engine, folder) as target:
            yield target


@pytest.fixture(params=["memory", "file", "walled"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[holdfast.Store]:
    with (
        place_of(request.param, tmp_path) as target,
        holdfast.open(target, durability="process-crash") as store,
    ):
        yield store
        assert store.check().problems == ()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[holdfast.Store]:
    with holdfast.open(tmp_path / "agent.db", durability="process-crash") as store:
        yield store
        assert store.check().problems == ()


def across(store: Any, handlers: Any, concurrency: int = 10, **options: Any) -> Worker:
    return Worker(store, handlers, concurrency, across_owners=True, **options)


def fill(store: Any, jobs: int) -> None:
    def work(tx: Any) -> None:
        for _ in range(jobs):
            tx.jobs.put("work")

    store.run(work)


def test_the_jobs_of_all_owners_are_done_each_as_its_owner(opened):
    def work(job):
        if job.body == "fail" and job.attempt == 1:
            raise LookupError("no")
        with job.finish([job.owner, job.attempt]) as tx:
            tx.tasks.create(f"of {job.owner}", id=f"{job.body}-{job.id}")

    for owner in ["", *EVERYONE]:
        jobs = opened.owned_by(owner).jobs
        jobs.put("work", "do", id="same", lane="lane")
        if owner in {"", "user-07"}:
            jobs.put("work", "fail", id="fails", lane="lane", backoff=AT_ONCE)
    with across(opened, {"work": work}) as worker:
        for owner in ["", *EVERYONE]:
            mine = opened.owned_by(owner)
            result = mine.jobs.result("same", timeout_seconds=SOON_SECONDS)
            assert result == [owner, 1]
            assert mine.tasks.get("do-same").description == f"of {owner}"
        for owner in ("", "user-07"):
            mine = opened.owned_by(owner)
            result = mine.jobs.result("fails", timeout_seconds=SOON_SECONDS)
            assert result == [owner, 2]
        until(lambda: worker.report().done == 53)
    assert (worker.report().claimed, worker.report().failed) == (55, 2)


def test_one_owners_many_jobs_do_not_keep_others_waiting(file):
    done: list[str] = []

    async def work(job):
        done.append(job.owner)
        await asyncio.sleep(0)

    fill(file.owned_by("busy"), 1_500)
    for owner in EVERYONE[:20]:
        for _ in range(2):
            file.owned_by(owner).jobs.put("work")
    with across(file, {"work": work}, 4) as worker:
        until(lambda: worker.report().done == 1_540)
    first = {owner: done.index(owner) for owner in EVERYONE[:20]}
    assert max(first.values()) <= 21 + 4
    others = [place for place, owner in enumerate(done) if owner in first]
    assert max(others) <= 2 * 21 + 2 * 4
    assert done.count("busy") == 1_500


def test_an_owner_who_comes_later_is_served_while_others_keep_it_busy(file):
    seen: list[str] = []

    async def work(job):
        seen.append(job.owner)
        await asyncio.sleep(len(seen) % 37 / 1_000)  # so that one always ends

    fill(file.owned_by("busy"), 8_000)
    with across(file, {"work": work}, 300) as worker:
        until(lambda: len(seen) > 500)
        file.owned_by("late").jobs.put("work")
        until(lambda: worker.report().done == 8_001)
    assert seen.index("late") < 7_500


def test_a_job_is_cancelled_for_its_owner_alone(opened):
    began, ended = Bell(), Bell()
    may_end = threading.Event()

    async def work(job):
        began.ring()
        try:
            await asyncio.to_thread(may_end.wait)
        except asyncio.CancelledError:
            ended.ring(job.owner)
            raise
        return job.owner

    for owner in ("ada", "bob", "eve"):
        opened.owned_by(owner).jobs.put("work", id="same")
    with across(opened, {"work": work}):
        for _ in range(3):
            began.heard()
        opened.owned_by("bob").jobs.cancel("same")
        assert ended.heard() == "bob"
        may_end.set()
        for owner in ("ada", "eve"):
            jobs = opened.owned_by(owner).jobs
            assert jobs.result("same", timeout_seconds=SOON_SECONDS) == owner
    assert opened.owned_by("bob").jobs.get("same").status.value == "cancelled"


def test_leases_of_all_owners_are_renewed_and_a_lost_one_is_its_owners(opened):
    began, lost = Bell(), Bell()
    may_end = threading.Event()

    async def work(job):
        began.ring(job)
        try:
            await asyncio.to_thread(may_end.wait)
        except asyncio.CancelledError:
            lost.ring(job.owner)
            raise

    for owner in ("ada", "bob", "eve"):
        opened.owned_by(owner).jobs.put("work", id="same")
    with across(opened, {"work": work}, lease_seconds=0.3) as worker:
        had = {job.owner: job.lease_until for job in (began.heard() for _ in range(3))}
        opened.owned_by("bob").jobs.release("same", fence=1, delay_seconds=60)
        assert lost.heard() == "bob"
        for owner, lease_until in had.items():
            get = opened.owned_by(owner).jobs.get
            assert owner == "bob" or until(
                lambda get=get, had=lease_until: get("same").lease_until > had
            )
        may_end.set()
    assert (worker.report().done, worker.report().lost) == (2, 1)


def test_what_is_given_back_is_its_owners(file):
    began = Bell()

    async def work(job):
        began.ring()
        await asyncio.sleep(60)

    for owner in EVERYONE[:5]:
        file.owned_by(owner).jobs.put("work", id="same")
    with across(file, {"work": work}, grace_seconds=0) as worker:
        for _ in range(5):
            began.heard()
    assert worker.report().released == 5
    for owner in EVERYONE[:5]:
        found = file.owned_by(owner).jobs.get("same")
        assert (found.status.value, found.attempt) == ("queued", 0)


def test_times_of_all_owners_come_while_it_is_idle_in_slices_too(file, monkeypatch):
    monkeypatch.setattr(owners, "_LOOKED_AT", 3)
    for number, owner in enumerate(EVERYONE[:10]):
        jobs = file.owned_by(owner).jobs
        jobs.put("work", id="soon", delay_seconds=0.1 + number / 100)
        jobs.put("other", id="waits")
    with across(file, {"work": lambda job: job.owner}) as worker:
        for owner in EVERYONE[:10]:
            jobs = file.owned_by(owner).jobs
            assert jobs.result("soon", timeout_seconds=2) == owner
        file.owned_by("zoe").jobs.put("work", id="now")
        result = file.owned_by("zoe").jobs.result("now", timeout_seconds=2)
        assert result == "zoe"
        until(lambda: worker.report().unhandled == {"other": 10})


def test_schedules_of_all_owners_are_fired(opened):
    clock_owners = ("", "ada", "bob")
    for owner in clock_owners:
        opened.owned_by(owner).schedules.put("tick", "work", every_seconds=0.2)
    seen: list[str] = []
    with across(opened, {"work": lambda job: seen.append(job.owner)}):
        until(lambda: set(seen) == set(clock_owners))


def test_what_ended_long_ago_is_deleted_for_all_owners(tmp_path):
    clock = ManualClock()
    with holdfast.open(tmp_path / "agent.db", clock=clock) as store:
        for owner in ("", "ada", "bob"):
            jobs = store.owned_by(owner).jobs
            jobs.put("work", id="old")
            jobs.cancel("old")
        clock.advance(100)
        store.owned_by("bob").jobs.put("work", id="new")
        store.owned_by("bob").jobs.cancel("new")
        with across(store, {"work": print}, keep_seconds=50):
            until(lambda: not store.across_owners().jobs.list()[1:])
        (left,) = store.across_owners().jobs.list()
        assert (left.owner, left.id) == ("bob", "new")


def test_a_pinned_store_has_no_worker_across_owners(file):
    with pytest.raises(Refused, match="and not 'ada''s alone"):
        across(file.owned_by("ada"), {"work": print})
    with pytest.raises(WrongType, match="across_owners"):
        Worker(file, {"work": print}, across_owners="yes")  # type: ignore[arg-type]


def test_without_it_only_the_stores_owner_is_served(file):
    file.owned_by("ada").jobs.put("work", id="same")
    file.jobs.put("work", id="same")
    with Worker(file, {"work": lambda job: job.owner}):
        assert file.jobs.result("same", timeout_seconds=SOON_SECONDS) == ""
        time.sleep(0.05)
    assert file.owned_by("ada").jobs.get("same").status.value == "queued"
