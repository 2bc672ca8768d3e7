"""A follower in another process: how long after a call it sees what was committed.

Answers for: sixteen tasks that append as fast as they can, and a process beside them
that follows the journal and notes when it is given each message.
Always holds: the clock is the machine's monotonic one, which processes share. From the
call is longer than from the commit, which happens after it; from the answer is shorter.
"""

import asyncio
import subprocess
import sys
import time
from statistics import median, quantiles

import msgspec

import holdfast
from bench import raw
from bench.rounds import ROOT

CALLERS = 16


class Seen(msgspec.Struct):
    """How late messages were seen, in ms, and how fast they came."""

    from_call_ms: float
    from_answer_ms: float
    ninety_ninth_ms: float
    a_second: float


def follow(target: str, after: int, count: int) -> list[tuple[str, float]]:
    """Follow until so many messages are seen; says when it saw the first of all."""
    seen = []
    with holdfast.open(target) as store:
        for change in store.journal.follow(after, kinds=["message"]):
            now = time.perf_counter()
            assert change.after is not None
            seen.append((change.after["id"], now))
            if len(seen) == 1:
                print("ready", flush=True)
            if len(seen) == count:
                break
    return seen


def lateness(target: str, count: int) -> Seen:
    """Append so many messages under another process's eyes."""
    calls: dict[str, tuple[float, float]] = {}

    async def work() -> subprocess.Popen[bytes]:
        async with holdfast.aopen(target) as store:
            ids = [(await store.sessions.create("bench")).id for _ in range(CALLERS)]
            after = await store.journal.head()
            child = subprocess.Popen(  # noqa: ASYNC220  # nothing else runs yet
                [
                    sys.executable,
                    "-m",
                    "bench.following",
                    target,
                    str(after),
                    str(count),
                ],
                stdout=subprocess.PIPE,
                cwd=ROOT,
            )

            async def append(session: str) -> None:
                called = time.perf_counter()
                message = await store.sessions.append(session, "user", raw.TEXT)
                calls[message.id] = called, time.perf_counter()

            async def caller(number: int) -> None:
                for _ in range(1 + number, count, CALLERS):
                    await append(ids[number])

            await append(ids[0])
            assert child.stdout is not None
            await asyncio.to_thread(child.stdout.readline)
            await asyncio.gather(*(caller(number) for number in range(CALLERS)))
            return child

    with asyncio.run(work()) as child:
        told = msgspec.json.decode(child.communicate()[0], type=list[tuple[str, float]])
    return judged(calls, told[1:])


def judged(
    calls: dict[str, tuple[float, float]], told: list[tuple[str, float]]
) -> Seen:
    """Put what the follower saw beside what the callers did."""
    from_call = [(seen - calls[id][0]) * 1000 for id, seen in told]
    from_answer = [(seen - calls[id][1]) * 1000 for id, seen in told]
    took = max(seen for _, seen in told) - min(calls[id][0] for id, _ in told)
    return Seen(
        from_call_ms=median(from_call),
        from_answer_ms=median(from_answer),
        ninety_ninth_ms=quantiles(from_call, n=100)[98],
        a_second=len(told) / took,
    )


if __name__ == "__main__":
    told = follow(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    print(msgspec.json.encode(told).decode())
