"""huey on SQLite, its consumer a process of its own, as its documentation shows.

Answers for: a hundred threads that enqueue; a consumer that works what waits, and one
beside threads that still enqueue.
Leaves to others: the consumer's task (`huey_queue.py`), rounds and ratios
(`bench.jobs`).
Always holds: what is set is what huey sets by itself. The consumer has one worker: with
four it is no faster here, nor with a shorter delay between its looks. It runs before
the clock starts, and every job's result is there when the clock stops.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huey import SqliteHuey  # type: ignore[import-untyped]

TEXT = "Where did we stop? " * 10 + "Let me see"
CALLERS = 100
HERE = Path(__file__).resolve().parent
CONSUMER = Path(sys.executable).parent / "huey_consumer"
FILE, COUNT = "BENCH_HUEY_FILE", "BENCH_HUEY_COUNT"


def work(text: str) -> int:
    return len(text)


def opened(path: Path) -> tuple[SqliteHuey, Callable[[str], object]]:
    """The queue in a file, and its task, which enqueues where it is called."""
    huey = SqliteHuey("bench", filename=str(path))
    return huey, huey.task()(work)


def enqueue(path: Path, count: int) -> float:
    """The seconds of so many jobs' enqueueing."""
    huey, task = opened(path)
    try:
        took = enqueued(task, count)
        if huey.pending_count() != count:
            raise RuntimeError(f"{huey.pending_count()} jobs of {count} wait")
    finally:
        huey.storage.close()
    return took


def consume(path: Path, count: int) -> float:
    """The seconds of so many jobs, which wait when the consumer begins."""
    huey, task = opened(path)
    try:
        enqueued(task, count)
        with consumer(path, count) as said:
            began = moment(said, "began")
            took = moment(said, "ended") - began
        return checked(huey, count, took)
    finally:
        huey.storage.close()


def put_to_done(path: Path, count: int) -> float:
    """The seconds from the first enqueueing to the last result of a consumer."""
    huey, task = opened(path)
    try:
        with consumer(path, count) as said:
            moment(said, "ready")
            began = time.perf_counter()
            enqueued(task, count)
            took = moment(said, "ended") - began
        return checked(huey, count, took)
    finally:
        huey.storage.close()


def enqueued(task: Callable[[str], object], count: int) -> float:
    """The seconds in which a hundred threads have enqueued so many."""
    ready = threading.Barrier(CALLERS + 1)

    def caller() -> None:
        ready.wait()
        for _ in range(count // CALLERS):
            task(TEXT)

    threads = [threading.Thread(target=caller) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def checked(huey: SqliteHuey, count: int, took: float) -> float:
    """The seconds, if so many results are there."""
    if huey.result_count() != count:
        raise RuntimeError(f"{huey.result_count()} jobs of {count} are done")
    return took


@contextmanager
def consumer(path: Path, count: int) -> Iterator[Iterator[str]]:
    """The consumer in a process of its own, and the lines that it says."""
    told = {FILE: str(path), COUNT: str(count), "PYTHONPATH": str(HERE)}
    with subprocess.Popen(
        [CONSUMER, "huey_queue.huey", "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | told,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.send_signal(signal.SIGINT)


def moment(said: Iterator[str], what: str) -> float:
    """When the consumer says that it happened."""
    for line in said:
        told, at = line.split()
        if told == what:
            return float(at)
    raise RuntimeError("huey's consumer ended before its time")


LOADS: dict[str, Callable[..., Any]] = {
    "enqueue": enqueue,
    "consume": consume,
    "put_to_done": put_to_done,
}
