"""Toiling: jobs whose effects can be counted, and processes that put and do them.

Answers for: handlers of every make, what their jobs leave in a store, the processes
that are killed at it, and what must be so when all jobs are done.
Leaves to others: who is killed when (the tests).
Always holds: a job says in its body what it is worth: its room, its number in that, and
whether the room is a lane. Before a step is done, and after it, a run is noted by what
no crash takes back, so that one can tell how often it was run.
"""

import logging
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import holdfast
from examples import dump
from holdfast.clock import SystemClock
from holdfast.errors import Fenced
from holdfast.kinds.item_records import Item
from holdfast.kinds.job_records import Backoff, Job

Say = Callable[[str], None]
LEASE_SECONDS = 0.6
OFTEN = 500
"""Attempts: no job is given up, however many of its workers are killed."""
AT_ONCE = Backoff(first_seconds=0.01, most_seconds=0.01)
CHILDREN = 2
PAUSE_SECONDS = 0.02
_PUT_AT_ONCE = 7
_BREATH_SECONDS = 0.008


class OutOfLuck(Exception):
    """What a handler raises that is to be tried again."""


class Ahead(SystemClock):
    """A machine's clock that is ahead of the others'."""

    def __init__(self, seconds: float) -> None:
        self._ahead_us = round(seconds * 1_000_000)

    def now_us(self) -> int:
        return super().now_us() + self._ahead_us


# What a job leaves behind.


def effect(tx: Any, job_id: str, body: dict[str, Any]) -> None:
    """Say in the job's room that it was done, and count how often."""
    tx.sessions.append(f"done-{body['room']}", "user", {"job": job_id})
    (there,) = tx.items.get_each([(("effects",), job_id)])
    tx.items.put(("effects",), job_id, _one_more(there))


def _one_more(there: Item | None) -> dict[str, int]:
    return {"times": 1 if there is None else there.value["times"] + 1}


def noted(store: holdfast.Store, job: Any) -> int:
    """A step, which says by which claim it was run."""
    note = {"job": job.id, "fence": job.fence}
    store.sessions.append(f"runs-{job.body['room']}", "user", note)
    return int(job.fence)


async def noted_async(store: Any, job: Any) -> int:
    """The same, awaited."""
    note = {"job": job.id, "fence": job.fence}
    await store.sessions.append(f"runs-{job.body['room']}", "user", note)
    return int(job.fence)


# Handlers.


async def finishing(job: Any) -> None:
    """A step, and then the effects and the end in one transaction."""
    by = await job.once("note", noted_async, job.store, job)
    await _finish(job, by)


def finishing_sync(job: Any) -> None:
    """The same on a thread."""
    by = job.once("note", noted, job.store, job)
    with job.finish({"by": by}) as tx:
        effect(tx, job.id, job.body)


def running(job: Any) -> dict[str, int]:
    """A step, then one whose effects commit with it; the end is told by the worker."""
    by = job.once("note", noted, job.store, job)
    job.run("effect", effect, job.id, job.body)
    return {"by": by}


async def running_async(job: Any) -> dict[str, int]:
    """The same, awaited."""
    by = await job.once("note", noted_async, job.store, job)
    await job.run("effect", effect, job.id, job.body)
    return {"by": by}


async def pausing(job: Any) -> None:
    """As `finishing`, with a pause in between that holds no worker."""
    by = await job.once("note", noted_async, job.store, job)
    await job.sleep(PAUSE_SECONDS)
    await _finish(job, by)


async def awaiting(job: Any) -> None:
    """As `finishing`, with a signal in between that it waits for."""
    by = await job.once("note", noted_async, job.store, job)
    assert await job.wait_for("go") == {"from": job.body["parent"]}
    await _finish(job, by)


def failing(job: Any) -> dict[str, int]:
    """As `running`, but its first attempt raises after the first step."""
    by = job.once("note", noted, job.store, job)
    if job.attempt == 1:
        raise OutOfLuck
    job.run("effect", effect, job.id, job.body)
    return {"by": by}


async def parting(job: Any) -> None:
    """Puts children, signals one, waits for them all, and then as `finishing`."""
    by = await job.once("note", noted_async, job.store, job)
    await job.run("children", _children, job.id, f"of-{job.body['room']}")
    await job.run("call", _call, job.id)
    children = await job.join()
    assert {child.status.value for child in children} == {"done"}
    assert len(children) == CHILDREN
    await _finish(job, by)


async def _finish(job: Any, by: int) -> None:
    async with job.finish({"by": by}) as tx:
        await tx.sessions.append(f"done-{job.body['room']}", "user", {"job": job.id})
        (there,) = await tx.items.get_each([(("effects",), job.id)])
        await tx.items.put(("effects",), job.id, _one_more(there))


def _children(tx: Any, job_id: str, room: str) -> None:
    for number in range(CHILDREN):
        tx.jobs.put(
            "awaiting" if number else "finishing",
            {"room": room, "parent": job_id},
            id=f"{job_id}.{number}",
            parent=job_id,
            max_attempts=OFTEN,
        )


def _call(tx: Any, job_id: str) -> None:
    tx.jobs.signal(f"{job_id}.{CHILDREN - 1}", "go", {"from": job_id})


HANDLERS = {
    function.__name__: function
    for function in (
        finishing,
        finishing_sync,
        running,
        running_async,
        pausing,
        awaiting,
        failing,
        parting,
    )
}
PUT = (
    "finishing",
    "running",
    "finishing_sync",
    "running_async",
    "failing",
    "finishing",
    "running_async",
    "pausing",
    "running",
    "parting",
)
"""The kinds that are put, in turn."""


# Processes.


def store_in(target: str, ahead_seconds: float = 0.0) -> holdfast.Store:
    return holdfast.open(target, durability="process-crash", clock=Ahead(ahead_seconds))


def toil(target: str, ahead_seconds: float = 0.0) -> Callable[[Say], None]:
    """A worker; SIGTERM stops it. It says which ends came too late, and what raised."""

    def work(say: Say) -> None:
        serve(target, HANDLERS, say, ahead_seconds=ahead_seconds, concurrency=6)

    return work


def serve(
    target: str,
    handlers: dict[str, Any],
    say: Say,
    *,
    ahead_seconds: float = 0.0,
    **options: Any,
) -> None:
    """Be a worker's process."""
    log = logging.getLogger("holdfast.worker")
    log.addHandler(Telling(say))
    log.propagate = False
    options = {"lease_seconds": LEASE_SECONDS, **options}
    with store_in(target, ahead_seconds) as store:
        holdfast.Worker(store, handlers, **options).run()


class Telling(logging.Handler):
    """Says what a worker logs, in a word."""

    def __init__(self, say: Say) -> None:
        super().__init__()
        self._say = say
        self._strange = False

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        text = record.getMessage()
        if isinstance(error, Fenced) or "was not ended" in text:
            self._say("late")
        elif error and not (self._strange or isinstance(error, OutOfLuck)):
            self._strange = True  # that is enough, and the pipe is not read meanwhile
            self._say(f"{error!r} in {text}".replace("\n", " ")[:500])


def put_all(target: str, wanted: list[dict[str, Any]]) -> Callable[[Say], None]:
    """Puts all jobs from the first one on, whoever has put some of them before.

    It says so, and waits to be killed.
    """

    def some(tx: Any, jobs: list[dict[str, Any]]) -> list[datetime]:
        return [tx.jobs.put(**job).created_at for job in jobs]

    def work(say: Say) -> None:
        began = datetime.now(UTC)
        with store_in(target) as store:
            for first in range(0, len(wanted), _PUT_AT_ONCE):
                made = store.run(some, wanted[first : first + _PUT_AT_ONCE])
                if max(made) > began:
                    time.sleep(_BREATH_SECONDS)  # so that there is work for a while
            say("all is put")
            signal.pause()

    return work


def wanted_jobs(count: int, lanes: int) -> list[dict[str, Any]]:
    """Jobs by turns in lanes and beside them, of each kind in turn."""
    found = []
    for number in range(count):
        lane = number % (lanes + 3)
        in_lane = lane < lanes
        room = f"lane-{lane}" if in_lane else f"beside-{lane}"
        found.append(
            {
                "kind": PUT[(number // 3) % len(PUT)],
                "body": {"room": room, "number": number},
                "id": f"job-{number}",
                "lane": room if in_lane else None,
                "max_attempts": OFTEN,
                "backoff": AT_ONCE,
            }
        )
    return found


def prepare(target: str, wanted: list[dict[str, Any]]) -> None:
    """Make a store with the rooms that jobs leave their effects in."""
    rooms = {job["body"]["room"] for job in wanted}
    rooms |= {f"of-{room}" for room in rooms}
    with store_in(target) as store:
        for room in sorted(rooms):
            store.sessions.create(id=f"done-{room}")
            store.sessions.create(id=f"runs-{room}")


def left(target: str) -> int:
    """How many jobs have not ended."""
    with store_in(target) as store:
        stats = store.jobs.stats().by_status
    return stats["queued"] + stats["active"] + stats["waiting"]


# What must be so at the end.


class Told:
    """All that is in a store whose jobs are done."""

    def __init__(self, store: holdfast.Store) -> None:
        self.jobs = {job.id: job for job in _every_job(store)}
        self.rooms = {job.body["room"] for job in self.jobs.values()}
        self.effects = {
            room: _contents(store, f"done-{room}") for room in sorted(self.rooms)
        }
        self.runs: dict[str, list[int]] = defaultdict(list)
        for room in self.rooms:
            for note in _contents(store, f"runs-{room}"):
                self.runs[note["job"]].append(note["fence"])
        self.times = {item.key: item.value["times"] for item in _every_item(store)}
        self.steps = {
            id: {step.name: step.result for step in store.jobs.steps(id)}
            for id in self.jobs
        }
        self.turns = dump(store)["job_turn"]


def all_done_once(target: str, wanted: list[dict[str, Any]]) -> Told:
    """Every job is done, its effects are there once, in order, its steps run once."""
    with store_in(target) as store:
        assert store.check().problems == ()
        told = Told(store)
    put = {job["id"]: job for job in wanted}
    parents = [id for id, job in put.items() if job["kind"] == "parting"]
    children = {f"{id}.{number}" for id in parents for number in range(CHILDREN)}
    assert set(told.jobs) == set(put) | children, "none lost, none made up"
    assert {job.status.value for job in told.jobs.values()} == {"done"}
    assert told.turns == [], "none is stuck"
    _each_effect_once(told)
    _each_lane_in_order(told, put)
    for job in told.jobs.values():
        _no_kept_step_run_again(told, job)
    return told


def _each_effect_once(told: Told) -> None:
    found = Counter(note["job"] for notes in told.effects.values() for note in notes)
    assert found == Counter(dict.fromkeys(told.jobs, 1))
    assert told.times == dict.fromkeys(told.jobs, 1)


def _each_lane_in_order(told: Told, put: dict[str, dict[str, Any]]) -> None:
    for room, notes in told.effects.items():
        if not room.startswith("lane-"):
            continue
        done = [note["job"] for note in notes]
        assert done == [id for id, job in put.items() if job["lane"] == room]


def _no_kept_step_run_again(told: Told, job: Job) -> None:
    """Its first step was run once by each claim that came to it, the kept one last."""
    runs, steps = told.runs[job.id], told.steps[job.id]
    assert len(runs) == len(set(runs)), "no claim runs a step twice"
    assert job.result == {"by": steps["note"]}
    assert max(runs) == steps["note"], "who comes after the kept one runs it no more"
    assert len(runs) <= job.fence


def _contents(store: holdfast.Store, id: str) -> list[Any]:
    return [message.content for message in store.sessions.history(id)]


def _every_job(store: holdfast.Store) -> Iterator[Job]:
    cursor = None
    while True:
        page = store.jobs.list(limit=1_000, cursor=cursor)
        yield from page
        if (cursor := page.cursor) is None:
            return


def _every_item(store: holdfast.Store) -> Iterator[Any]:
    cursor = None
    while True:
        page = store.items.list(("effects",), limit=1_000, cursor=cursor)
        yield from page
        if (cursor := page.cursor) is None:
            return
