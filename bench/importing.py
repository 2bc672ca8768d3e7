"""Importing a gigabyte of transcripts through `holdfast import chat`.

Goal: memory grows by less than 64 MB. MB/s are reported, without a goal.

Always holds: the import runs in a process of its own; its growth is its greatest
resident size less what it held once its modules were imported.
"""

import subprocess
import sys
import time
from pathlib import Path

import msgspec

import holdfast
from bench import transcripts
from bench.beside import Peers
from bench.lines import FULL, Line, at_most
from bench.rounds import ROOT, Run
from holdfast.importers.chat import import_chat

GIGABYTE = 1_000_000_000
ALLOWED_MB = 64


class Told(msgspec.Struct):
    """What the importing process says when it is done."""

    imported: int
    seconds: float
    grown_mb: float


def resident_mb(field: str) -> float:
    """This process's resident size now (`VmRSS`) or at its greatest (`VmHWM`)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise ValueError(field)


def import_file(file: str, path: str) -> Told:
    """Import `file` into a new store; returns how it went."""
    before = resident_mb("VmRSS")
    with holdfast.open(path) as store:
        started = time.perf_counter()
        report = import_chat(store, file)
        took = time.perf_counter() - started
        grown = resident_mb("VmHWM") - before
    return Told(imported=report.messages, seconds=took, grown_mb=grown)


def measure(run: Run, peers: Peers | None) -> list[Line]:
    """What importing takes, in memory and in time."""
    if not Path("/proc/self/status").exists():
        return []
    size = GIGABYTE // 10 if run.quick else GIGABYTE
    with run.fresh() as folder:
        file = folder / "transcripts.json"
        messages = transcripts.write(file, size)
        said = subprocess.run(
            [sys.executable, "-m", "bench.importing", file, folder / "ours.db"],
            check=True,
            capture_output=True,
            cwd=ROOT,
        ).stdout
        megabytes = file.stat().st_size / 1e6
    told = msgspec.json.decode(said.splitlines()[-1], type=Told)
    assert told.imported == messages, f"{told.imported} of {messages} were imported"
    note = f"{messages:,} messages, {messages / told.seconds:,.0f} a second"
    what = f"importing {megabytes:,.0f} MB of transcripts"
    return [
        Line(
            measure=f"{what}: memory grows by",
            ours=told.grown_mb,
            unit="MB",
            durability=FULL,
            goal=at_most(ALLOWED_MB),
        ),
        Line(
            measure=what,
            ours=megabytes / told.seconds,
            unit="MB/s",
            durability=FULL,
            note=note,
        ),
    ]


if __name__ == "__main__":
    told = import_file(sys.argv[1], sys.argv[2])
    print(msgspec.json.encode(told).decode())
