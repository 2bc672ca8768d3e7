"""Results: waiting for a job's, which some worker will bring.

Answers for: `store.jobs.result`, sync and async.
Leaves to others: noticing a commit (the engine's `watch`), the jobs (`kinds/jobs`).
Always holds: a job that ended before, or while it is asked for, is noticed; a wait that
is over leaves nothing behind.
"""

import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from holdfast.engine import Engine
from holdfast.errors import Refused, TimedOut
from holdfast.kinds.job_records import FINISHED, Job, JobStatus
from holdfast.patience import Patience


def result(
    get: Callable[[], Job], engine: Engine, timeout_seconds: float | None
) -> Any:
    """What a job gave, once it is done."""
    woken = threading.Event()
    stop = engine.watch(woken.set)
    patience = Patience(timeout_seconds)
    try:
        while (job := get()).status not in FINISHED:
            if not woken.wait(patience.left()):
                raise _too_long(job)
            woken.clear()
        return _given(job)
    finally:
        stop()


async def result_async(
    get: Callable[[], Awaitable[Job]], engine: Engine, timeout_seconds: float | None
) -> Any:
    """As `result`, awaited."""
    import asyncio  # noqa: PLC0415  # it loads slowly, and not everyone needs it

    loop = asyncio.get_running_loop()
    woken = asyncio.Event()

    def wake() -> None:
        with suppress(RuntimeError):  # that event loop was closed: nobody waits there
            loop.call_soon_threadsafe(woken.set)

    stop = engine.watch(wake)
    patience = Patience(timeout_seconds)
    try:
        while (job := await get()).status not in FINISHED:
            try:
                await asyncio.wait_for(woken.wait(), patience.left())
            except TimeoutError:
                raise _too_long(job) from None
            woken.clear()
        return _given(job)
    finally:
        stop()


def _given(job: Job) -> Any:
    if job.status is JobStatus.DONE:
        return job.result
    raise Refused(
        f"job {job.id!r} is {job.status}, and has no result: `error` of the job says "
        "why; it can be revived"
    )


def _too_long(job: Job) -> TimedOut:
    return TimedOut(f"job {job.id!r} is {job.status} still: wait longer, or look again")
