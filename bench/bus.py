"""The bus: messages a second to 1, 10 and 100 subscribers, and how late they come.

Reported, without goals: publishing and taking, on one thread and on one event loop,
beside bare queues of Python's, one a subscriber, which are handed the same object and
check, copy, match and remember nothing: the limit of what can be had. Then from the
call to another process that takes the message, over PostgreSQL and over NATS.
"""

import asyncio
import subprocess
import sys
import time
from queue import SimpleQueue
from statistics import median

import msgspec
from tests import nats_servers

import holdfast
from bench import raw
from bench.beside import Peers
from bench.lines import Line, compared
from bench.rounds import ROOT, Run
from bench.server import running
from holdfast.runtime import Bus

SUBSCRIBERS = (1, 10, 100)
DATA = {"id": "t1", "text": raw.TEXT}
PAUSE_SECONDS = 0.002
MESSAGES = 50_000


def published(subscribers: int, count: int) -> float:
    """Messages a second that a thread publishes; then each is taken by everyone."""
    with Bus() as bus:
        mine = [bus.subscribe("task.*", capacity=count) for _ in range(subscribers)]
        started = time.perf_counter()
        for _ in range(count):
            bus.publish("task.done", DATA, sender="bench")
        for one in mine:
            for _ in range(count):
                one.get(0)
        return count / (time.perf_counter() - started)


def queued(subscribers: int, count: int) -> float:
    """As `published`, by a bare queue for each."""
    mine: list[SimpleQueue[object]] = [SimpleQueue() for _ in range(subscribers)]
    started = time.perf_counter()
    for _ in range(count):
        for one in mine:
            one.put(DATA)
    for one in mine:
        for _ in range(count):
            one.get_nowait()
    return count / (time.perf_counter() - started)


def awaited(subscribers: int, count: int) -> float:
    """Messages a second that go from a task to tasks, with room for a thousand."""

    async def work() -> float:
        with Bus() as bus:
            mine = [bus.subscribe("task.*") for _ in range(subscribers)]

            async def take(number: int) -> None:
                for _ in range(count):
                    await mine[number].aget()

            takers = [asyncio.create_task(take(n)) for n in range(subscribers)]
            started = time.perf_counter()
            for _ in range(count):
                await bus.apublish("task.done", DATA, sender="bench")
            await asyncio.gather(*takers)
            return count / (time.perf_counter() - started)

    return asyncio.run(work())


def queued_awaited(subscribers: int, count: int) -> float:
    """As `awaited`, by a bare queue for each."""

    async def work() -> float:
        mine: list[asyncio.Queue[object]] = [
            asyncio.Queue(1_000) for _ in range(subscribers)
        ]

        async def take(number: int) -> None:
            for _ in range(count):
                await mine[number].get()

        takers = [asyncio.create_task(take(n)) for n in range(subscribers)]
        started = time.perf_counter()
        for _ in range(count):
            for one in mine:
                await one.put(DATA)
        await asyncio.gather(*takers)
        return count / (time.perf_counter() - started)

    return asyncio.run(work())


def hear(bus: Bus, count: int) -> list[float]:
    """In the other process: how late each message came, in ms."""
    with bus, bus.subscribe("at", capacity=count) as mine:
        print("ready", flush=True)
        found = []
        while len(found) < count:
            message = mine.get()
            assert message is not None
            found.append((time.perf_counter() - message.data) * 1000)
        return found


def lateness(bus: Bus, target: str, count: int) -> float:
    """The median from a call to the other process that has the message, in ms."""
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.bus", target, str(count)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        for _ in range(count):
            time.sleep(PAUSE_SECONDS)
            bus.publish("at", time.perf_counter())
        return median(msgspec.json.decode(child.communicate()[0], type=list[float]))


def by_postgres(url: str, count: int) -> float:
    """Over a store on PostgreSQL."""
    with holdfast.open(url) as store, Bus(store) as bus:
        return lateness(bus, url, count)


def by_nats(count: int) -> float:
    """Over a NATS server."""
    with nats_servers.running() as server, Bus(nats=server.url) as bus:
        return lateness(bus, server.url, count)


def measure(run: Run, others: Peers | None) -> list[Line]:
    """Messages within a process, and how late they come to another."""
    lines = []
    for number in SUBSCRIBERS:
        count = run.count(MESSAGES) // number
        figures = run.interleave(
            {
                "thread": lambda _, n=number, c=count: published(n, c),
                "queue": lambda _, n=number, c=count: queued(n, c),
                "task": lambda _, n=number, c=count: awaited(n, c),
                "awaited queue": lambda _, n=number, c=count: queued_awaited(n, c),
            }
        )
        whom = "a subscriber" if number == 1 else f"{number} subscribers"
        for how, ours, theirs, peer in (
            ("on a thread", "thread", "queue", "queue.SimpleQueue"),
            ("on an event loop", "task", "awaited queue", "asyncio.Queue"),
        ):
            lines.append(
                compared(
                    f"messages to {whom}, published and taken {how}",
                    figures[ours],
                    figures[theirs],
                    against=f"{peer}, bare, one for each",
                    durability="none",
                )
            )
    return [*lines, *_late(run)]


def _late(run: Run) -> list[Line]:
    count = run.count(1_000)
    with run.fresh() as folder, running(folder) as server:
        figures = run.interleave(
            {
                "PostgreSQL": server.load(lambda url: by_postgres(url, count)),
                "NATS": lambda _: by_nats(count),
            },
            rounds=3,
        )
    return [
        Line(
            measure=f"a message to another process over {way}, median",
            ours=median(found),
            unit="ms",
            durability="none",
        )
        for way, found in figures.items()
    ]


def main(target: str, count: int) -> None:
    """What the other process does."""
    if target.startswith("nats:"):
        found = hear(Bus(nats=target), count)
    else:
        with holdfast.open(target) as store:
            found = hear(Bus(store), count)
    print(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
