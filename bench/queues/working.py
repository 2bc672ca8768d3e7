"""A worker in a process of its own, and what it is given to do.

Answers for: jobs a second that a hundred tasks put, that a worker does while they are
put, and that one does of what waits; how late a job starts in an idle worker.
Always holds: times are of the machine's monotonic clock, which processes share. A job
is done when its worker has counted it, which is after its commit.
"""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import holdfast
from bench import raw
from bench.rounds import ROOT
from holdfast.astore import AsyncStore
from holdfast.runtime.jobs.arunning import AsyncRunningJob

CALLERS = 100
SIDE_BY_SIDE = 100
AT_ONCE = 1_000
LOOK_SECONDS = 0.005
IDLE_SECONDS = 0.05, 0.4
LIMIT_SECONDS = 60

Target = str | Path


def puts(target: Target, count: int) -> float:
    """Jobs a second that a hundred tasks put, once each has put one."""

    async def work() -> float:
        async with holdfast.aopen(target) as store:
            await _put(store, CALLERS)
            took = await _put(store, count)
            assert (await store.jobs.stats()).total == count + CALLERS
            return count / took

    return asyncio.run(work())


def put_to_done(target: Target, count: int) -> float:
    """Jobs a second that are put and done, from the first put to the last one's end."""

    async def work() -> float:
        async with holdfast.aopen(target) as store:
            started = time.perf_counter()
            await _put(store, count)
            return started

    holdfast.open(target).close()
    with process(target, count) as said:
        moment(said, "ready")
        started = asyncio.run(work())
        took = moment(said, "ended") - started
    return _checked(target, count, took)


def work(target: Target, count: int) -> float:
    """Jobs a second that a worker does, all of which wait when it begins."""
    with holdfast.open(target) as store:
        for first in range(0, count, AT_ONCE):
            store.run(_put_some, min(AT_ONCE, count - first))
    with process(target, count) as said:
        began = moment(said, "began")
        took = moment(said, "ended") - began
    return _checked(target, count, took)


def lateness(target: Target, count: int) -> list[float]:
    """Milliseconds from calls of put to the starts of the jobs in an idle worker."""
    late = []
    chance = random.Random(count)
    with holdfast.open(target) as store, process(target, 0) as said:
        moment(said, "ready")
        for _ in range(count):
            time.sleep(chance.uniform(*IDLE_SECONDS))
            called = time.perf_counter()
            job = store.jobs.put("moment")
            started = store.jobs.result(job.id, timeout_seconds=LIMIT_SECONDS)
            late.append((float(str(started)) - called) * 1000)
    return late


async def _put(store: AsyncStore, count: int) -> float:
    """The seconds in which a hundred tasks put so many jobs."""

    async def caller() -> None:
        for _ in range(count // CALLERS):
            await store.jobs.put("length", raw.TEXT)

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return time.perf_counter() - started


def _put_some(tx: holdfast.Transaction, count: int) -> None:
    for _ in range(count):
        tx.jobs.put("length", raw.TEXT)


def _checked(target: Target, count: int, took: float) -> float:
    """Jobs a second, if so many are done."""
    with holdfast.open(target) as store:
        done = store.jobs.stats().by_status["done"]
    assert done == count, f"{done} jobs of {count} are done"
    return count / took


@contextmanager
def process(target: Target, count: int) -> Iterator[Iterator[str]]:
    """A process with a worker, and the lines that it says; it ends with the block."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.queues.working", str(target), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            yield child.stdout
        finally:
            child.stdin.close()


def moment(said: Iterator[str], what: str) -> float:
    """When the process says that it happened."""
    for line in said:
        told, at = line.split()
        if told == what:
            return float(at)
    raise RuntimeError("the worker ended before its time")


def say(what: str) -> None:
    os.write(1, f"{what} {time.perf_counter()}\n".encode())


async def attend(target: str, count: int) -> None:
    """Work until standard input ends; say when jobs began, and all ended."""
    begun = False

    async def length(job: AsyncRunningJob) -> int:
        nonlocal begun
        if not begun:
            begun = True
            say("began")
        return len(job.body)

    async def now(job: AsyncRunningJob) -> float:
        return time.perf_counter()

    async with holdfast.aopen(target) as store:
        worker = holdfast.Worker(
            store, {"length": length, "moment": now}, concurrency=SIDE_BY_SIDE
        )
        async with worker:
            say("ready")
            async with asyncio.timeout(LIMIT_SECONDS):
                while worker.report().done < count:  # noqa: ASYNC110  # it tells nobody
                    await asyncio.sleep(LOOK_SECONDS)
            say("ended")
            await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(attend(sys.argv[1], int(sys.argv[2])))
