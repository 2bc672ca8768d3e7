"""`python -m bench [--quick] [--only NAME] [--json FILE] [--folder FOLDER]`.

Answers for: which measures run, and how a run is shown.
Always holds: the exit status is 0 whether or not goals are met: figures are for
reading. It is another one only if a measure could not run.
"""

import argparse
import logging
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import msgspec
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench import (
    bus,
    cache,
    compositions,
    conversations,
    events,
    identities,
    importing,
    integrations,
    jobs,
    machines,
    many_callers,
    moments,
    one_caller,
    postgres,
    processes,
    reading,
    search,
    starting,
    streaming,
    table,
    watching,
)
from bench.beside import Peers, peers
from bench.lines import Line
from bench.rounds import Run, syncs_per_second, working_folder

MEASURES: dict[str, Callable[[Run, Peers | None], list[Line]]] = {
    "one-caller": one_caller.measure,
    "many-callers": many_callers.measure,
    "processes": processes.measure,
    "reading": reading.measure,
    "conversations": conversations.measure,
    "moments": moments.measure,
    "search": search.measure,
    "streaming": streaming.measure,
    "importing": importing.measure,
    "integrations": integrations.measure,
    "starting": starting.measure,
    "postgres": postgres.measure,
    "jobs": jobs.measure,
    "machines": machines.measure,
    "agents": identities.measure,
    "bus": bus.measure,
    "cache": cache.measure,
    "compositions": compositions.measure,
    "events": events.measure,
    "watching": watching.measure,
}


def asked() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, less data")
    parser.add_argument(
        "--only", action="append", choices=MEASURES, help="a measure; may be repeated"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures here")
    parser.add_argument(
        "--folder", type=Path, help="where databases are written; default: .bench"
    )
    return parser.parse_args()


def machine(folder: Path) -> dict[str, str | float]:
    """What the figures were measured on."""
    return {
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "cores": os.cpu_count() or 0,
        "load_before": round(os.getloadavg()[0], 2),
        "syncs_before": round(syncs_per_second(folder)),
    }


def run_measures(
    names: list[str], run: Run, console: Console
) -> tuple[list[Line], list[str]]:
    """Run the measures one after another; their lines, and which could not run."""
    lines: list[Line] = []
    failed: list[str] = []
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    # Refreshing by itself, it would take time from what is measured.
    progress = Progress(*columns, console=console, auto_refresh=False)
    with peers() as others, progress:
        for name in names:
            task = progress.add_task(name)
            progress.refresh()
            try:
                lines += MEASURES[name](run, others)
            except Exception:
                console.print_exception()
                failed.append(name)
            progress.stop_task(task)
            progress.refresh()
    return lines, failed


def main() -> int:
    """Measure what was asked for, and show it; 1 if a measure could not run."""
    options = asked()
    logging.getLogger("holdfast").setLevel(logging.ERROR)  # sessions here are too long
    started = time.perf_counter()
    with working_folder(options.folder) as folder:
        on = machine(folder)
        names = options.only or list(MEASURES)
        run = Run(folder, quick=options.quick)
        lines, failed = run_measures(names, run, Console(stderr=True))
        on["syncs_after"] = round(syncs_per_second(folder))
    took = round(time.perf_counter() - started)
    table.show(lines, on, took_seconds=took, quick=options.quick)
    if options.json:
        written = {"machine": on, "took_seconds": took, "lines": table.plain(lines)}
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(written)))
    if failed:
        print(f"Could not run: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
