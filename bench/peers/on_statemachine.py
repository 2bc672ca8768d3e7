"""python-statemachine, each machine's state saved in SQLite after each transition.

Answers for: a hundred callers that send events to a thousand machines, threads or
tasks. What is saved is the least that a restart needs: state and context, no history.
Leaves to others: rounds and ratios (`bench.machines`).
Always holds: an event is answered after the commit of what it changed, in a file with a
write-ahead log and `synchronous` FULL. The machines are made, and their rows are there,
before the clock starts. There is one connection, since only one can commit at a time;
a connection for each thread was not tried.
"""

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from statemachine import State, StateMachine  # type: ignore[import-not-found]

TEXT = "Where did we stop? " * 10 + "Let me see"
CALLERS = 100
MACHINES = 1_000


class Talk(StateMachine):  # type: ignore[misc]
    """Two states, and an event that leads from each to the other."""

    idle = State(initial=True)
    busy = State()
    say = idle.to(busy) | busy.to(idle)

    def __init__(self) -> None:
        self.context: dict[str, str] = {}
        super().__init__()

    def on_say(self, text: str) -> None:
        self.context["said"] = text


class Saved:
    """Machines by their numbers, and the file in which they are saved."""

    def __init__(self, path: Path) -> None:
        self.machines = [Talk() for _ in range(MACHINES)]
        self.connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False
        )
        self.connection.execute("pragma journal_mode = wal")
        self.connection.execute("pragma synchronous = full")
        self.connection.execute(
            "create table machine (id integer primary key, state text, context text)"
        )
        self.connection.execute("begin")
        for number in range(MACHINES):
            row = (number, "idle", "{}")
            self.connection.execute("insert into machine values (?, ?, ?)", row)
        self.connection.execute("commit")

    def send(self, number: int) -> None:
        """Send a machine the event, and save what has become of it."""
        machine = self.machines[number]
        machine.say(text=TEXT)
        (state,) = machine.configuration_values
        row = (state, json.dumps(machine.context), number)
        self.connection.execute(
            "update machine set state = ?, context = ? where id = ?", row
        )

    def checked(self, took: float) -> float:
        """The seconds, if the file has what the machines are."""
        rows = self.connection.execute("select id, state from machine").fetchall()
        for number, state in rows:
            assert {state} == set(self.machines[number].configuration_values)
        self.connection.close()
        return took


def send_in_threads(path: Path, count: int) -> float:
    """A hundred threads, ten machines each, that take turns at the connection."""
    saved, lock = Saved(path), threading.Lock()
    ready = threading.Barrier(CALLERS + 1)

    def caller(first: int) -> None:
        ready.wait()
        for nth in range(count // CALLERS):
            with lock:
                saved.send((first + nth * CALLERS) % MACHINES)

    threads = [threading.Thread(target=caller, args=(n,)) for n in range(CALLERS)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    return saved.checked(time.perf_counter() - started)


async def send_in_tasks(path: Path, count: int) -> float:
    """A hundred tasks, ten machines each, that commit on the event loop."""
    saved = Saved(path)

    async def caller(first: int) -> None:
        for nth in range(count // CALLERS):
            saved.send((first + nth * CALLERS) % MACHINES)
            await asyncio.sleep(0)

    started = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    return saved.checked(time.perf_counter() - started)


LOADS: dict[str, Callable[..., Any]] = {
    "send_in_threads": send_in_threads,
    "send_in_tasks": send_in_tasks,
}
