"""Steps: what handlers keep on their way, side by side in one worker.

Always holds: as for DBOS (`bench/peers/on_dbos.py`), each handler has done a step
before the clock starts, which stops with the last step of all.
"""

import asyncio
import time

import holdfast
from bench import raw
from bench.queues.working import LIMIT_SECONDS, Target
from holdfast.runtime.jobs.arunning import AsyncRunningJob

CALLERS = 16


def steps(target: Target, count: int) -> float:
    """Steps a second of sixteen handlers."""
    each = count // CALLERS
    spans: list[tuple[float, float]] = []

    async def text() -> str:
        return raw.TEXT

    async def work() -> float:
        together = asyncio.Barrier(CALLERS)

        async def handler(job: AsyncRunningJob) -> None:
            await job.once("step", text)
            await together.wait()
            started = time.perf_counter()
            for _ in range(each):
                await job.once("step", text)
            spans.append((started, time.perf_counter()))

        async with holdfast.aopen(target) as store:
            jobs = [await store.jobs.put("steps") for _ in range(CALLERS)]
            async with holdfast.Worker(store, {"steps": handler}, concurrency=CALLERS):
                for job in jobs:
                    await store.jobs.result(job.id, timeout_seconds=LIMIT_SECONDS)
            kept = [len(await store.jobs.steps(job.id)) for job in jobs]
        assert kept == [each + 1] * CALLERS, kept
        took = max(ended for _, ended in spans) - min(started for started, _ in spans)
        return each * CALLERS / took

    return asyncio.run(work())
