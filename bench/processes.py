"""Four processes that append to one file at once.

Goals: no error, in sum at least 0.7 of one process, and no append that waits over
250 ms.
"""

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import msgspec

import holdfast
from bench import raw
from bench.beside import Peers
from bench.lines import FULL, Line, at_least, at_most, compared
from bench.rounds import ROOT, Run

PROCESSES = 4
FOUR = f"{PROCESSES} processes on one file, in sum"
LONGEST_MS = 250


class Told(msgspec.Struct):
    """What one process says when it is done."""

    done: int
    longest_ms: float
    errors: list[str]


def append_for(path: str, session: str, seconds: float) -> Told:
    """Append until `seconds` are over, once told to start; returns what happened."""
    told = Told(done=0, longest_ms=0.0, errors=[])
    with holdfast.open(path) as store:
        print("ready", flush=True)
        sys.stdin.readline()
        now = time.perf_counter()
        ends = now + seconds
        while now < ends:
            started = now
            try:
                store.sessions.append(session, "user", raw.TEXT)
                told.done += 1
            except holdfast.errors.HoldfastError as error:
                told.errors.append(f"{type(error).__name__}: {error}")
            now = time.perf_counter()
            told.longest_ms = max(told.longest_ms, (now - started) * 1000)
    return told


def appends(folder: Path, number: int, seconds: float) -> list[Told]:
    """Start so many processes, let them append side by side; returns what each says."""
    path = folder / "ours.db"
    with holdfast.open(path) as store:
        ids = [store.sessions.create("bench").id for _ in range(number)]
    with ExitStack() as stack:
        children = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "bench.processes", path, id, str(seconds)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    cwd=ROOT,
                )
            )
            for id in ids
        ]
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        for child in children:
            assert child.stdin is not None
            child.stdin.write(b"go\n")
            child.stdin.flush()
        said = [child.communicate()[0] for child in children]
    return [msgspec.json.decode(each, type=Told) for each in said]


def measure(run: Run, peers: Peers | None) -> list[Line]:
    """Appends a second of four processes, the longest wait and the errors."""
    seconds = 1.0 if run.quick else 2.0
    told: list[Told] = []

    def four(folder: Path) -> float:
        said = appends(folder, PROCESSES, seconds)
        told.extend(said)
        return sum(each.done for each in said) / seconds

    def one(folder: Path) -> float:
        return appends(folder, 1, seconds)[0].done / seconds

    figures = run.interleave(
        {"one process": one, FOUR: four}, rounds=min(5, run.rounds)
    )
    return [
        compared(
            FOUR,
            figures[FOUR],
            figures["one process"],
            against="one process",
            goal=at_least(0.7),
        ),
        *_waits(told),
    ]


def _waits(told: list[Told]) -> list[Line]:
    errors = [error for each in told for error in each.errors]
    least = min(each.done for each in told)
    return [
        Line(
            measure=f"{PROCESSES} processes: the longest wait",
            ours=max(each.longest_ms for each in told),
            unit="ms",
            durability=FULL,
            goal=at_most(LONGEST_MS),
            note=f"{least} appends by the slowest of them",
        ),
        Line(
            measure=f"{PROCESSES} processes: errors",
            ours=float(len(errors)),
            unit="",
            durability=FULL,
            goal=at_most(0),
            note=errors[0] if errors else "",
        ),
    ]


if __name__ == "__main__":
    told = append_for(sys.argv[1], sys.argv[2], float(sys.argv[3]))
    print(msgspec.json.encode(told).decode())
