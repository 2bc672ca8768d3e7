"""What `import holdfast` costs, beyond the imports that it cannot do without.

Goal: at most 60 ms more than `import apsw, msgspec`, in fresh interpreters.
"""

import os
import subprocess
import sys
from pathlib import Path

from bench.beside import Peers
from bench.lines import Line, at_most, compared
from bench.rounds import ROOT, Run

ALLOWED_MS = 60
IMPORTING = """
import time
started = time.perf_counter()
import {names}
print((time.perf_counter() - started) * 1000)
"""
OURS = "import holdfast"
NEEDED = "import apsw, msgspec"


def importing(names: str) -> float:
    """Milliseconds that the import takes in an interpreter of its own."""
    said = subprocess.run(
        [sys.executable, "-c", IMPORTING.format(names=names)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": ""},
    )
    return float(said.stdout)


def measure(run: Run, peers: Peers | None) -> list[Line]:
    """The milliseconds that `import holdfast` adds."""
    importing("holdfast"), importing("apsw, msgspec")  # compiled and cached from here

    def ours(folder: Path) -> float:
        return importing("holdfast")

    def needed(folder: Path) -> float:
        return importing("apsw, msgspec")

    figures = run.interleave({OURS: ours, NEEDED: needed}, rounds=run.rounds * 4)
    line = compared(
        OURS, figures[OURS], figures[NEEDED], against=NEEDED, unit="ms", durability=""
    )
    more = [a - b for a, b in zip(figures[OURS], figures[NEEDED], strict=True)]
    return [
        line,
        Line(
            measure=f"{OURS}, more than {NEEDED}",
            ours=sorted(more)[len(more) // 2],
            unit="ms",
            goal=at_most(ALLOWED_MS),
        ),
    ]
