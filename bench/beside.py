"""The peers, asked load by load in a process of their own environment.

Answers for: starting `bench/peers/answer.py` with `.bench-venv`'s Python, and talking
to it. Its imports are done once, outside every figure.
Leaves to others: what a peer does (`bench/peers/answer.py`).
Always holds: without `.bench-venv` there is no `Peers`, and measures go without.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.rounds import ROOT, Load

PYTHON = ROOT / ".bench-venv" / "bin" / "python"
ANSWER = ROOT / "bench" / "peers" / "answer.py"

SQLITE_SESSION = "OpenAI Agents SQLiteSession"
SQLITE_SAVER = "LangGraph SqliteSaver"
ASYNC_SAVER = "LangGraph AsyncSqliteSaver"
ASYNC_SAVER_100 = "AsyncSqliteSaver, 100 tasks"

POSTGRES_SAVER = "LangGraph AsyncPostgresSaver, one connection"
PIPELINED_SAVER = "LangGraph AsyncPostgresSaver, one pipeline"
POOLED_SAVER = "LangGraph AsyncPostgresSaver, a pool of 16"
LEAST_SAVER = "LangGraph AsyncPostgresSaver, of a bare text"
POSTGRES_SESSION = "OpenAI Agents SQLAlchemySession"
DBOS_STEPS = "DBOS steps, asyncio"
DBOS_THREADS = "DBOS steps, threads"

HUEY_ENQUEUE = "huey's enqueue, 100 threads"
HUEY_CONSUME = "huey's consumer, of jobs that wait"
HUEY_DONE = "huey, put to done"
DBOS_QUEUE = "DBOS queue"
DBOS_POLLING = "DBOS queue, 20 looks a second"
PROCRASTINATE_DEFER = "procrastinate's defer, 100 tasks"
PROCRASTINATE_WORK = "procrastinate's worker"

MACHINE_THREADS = "python-statemachine, 100 threads"
MACHINE_TASKS = "python-statemachine, 100 tasks"

LOADS = {
    SQLITE_SESSION: "add_items",
    SQLITE_SAVER: "put",
    ASYNC_SAVER: "aput",
    ASYNC_SAVER_100: "aput_100",
    POSTGRES_SAVER: "on_postgres.aput",
    PIPELINED_SAVER: "on_postgres.aput_pipelined",
    POOLED_SAVER: "on_postgres.aput_pooled",
    LEAST_SAVER: "on_postgres.aput_inline",
    POSTGRES_SESSION: "on_postgres.add_items",
    DBOS_STEPS: "on_dbos.steps",
    DBOS_THREADS: "on_dbos.steps_in_threads",
    HUEY_ENQUEUE: "on_huey.enqueue",
    HUEY_CONSUME: "on_huey.consume",
    HUEY_DONE: "on_huey.put_to_done",
    DBOS_QUEUE: "on_dbos.queue",
    DBOS_POLLING: "on_dbos.queue_polling",
    PROCRASTINATE_DEFER: "on_procrastinate.defer",
    PROCRASTINATE_WORK: "on_procrastinate.work",
    MACHINE_THREADS: "on_statemachine.send_in_threads",
    MACHINE_TASKS: "on_statemachine.send_in_tasks",
}


class PeerError(RuntimeError):
    """A peer did not do its load."""


class Peers:
    """The process that answers for the peers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.durability: dict[str, str] = {}

    def load(self, peer: str, count: int) -> Load:
        """A load of `count` operations of one peer; its figure is their rate."""
        return lambda folder: self.rate(peer, count, folder=str(folder))

    def rate(self, peer: str, count: int, **place: str) -> float:
        """The rate of `count` operations of one peer, in a `folder` or at a `url`."""
        asked = {"load": LOADS[peer], "count": count, **place}
        said = self._ask(json.dumps(asked))
        if "error" in said:
            raise PeerError(f"{peer}: {said['error']}")
        self.durability[peer] = str(said["durability"])
        return float(str(said["rate"]))

    def _ask(self, line: str) -> dict[str, object]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline()
        if not said:
            raise PeerError("the peers' process ended; see what it wrote above")
        answer: dict[str, object] = json.loads(said)
        return answer


@contextmanager
def peers() -> Iterator[Peers | None]:
    """The peers, for as long as the block runs; None where they are not installed."""
    if not PYTHON.exists():
        print("No .bench-venv: run bench/peers/setup for the peers.", file=sys.stderr)
        yield None
        return
    with subprocess.Popen(
        [str(PYTHON), str(ANSWER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    ) as process:
        try:
            yield Peers(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
