"""A run's lines as a table for people, and as plain data for programs.

Always holds: the median of the rounds' ratios stands beside the least and the
greatest of them, so that a reader sees how far to trust it.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.lines import Line

# No borders, a line under the head.
_BOX = Box("    \n    \n ── \n    \n    \n    \n    \n    \n")
VERDICTS = {
    True: Text("met", "green"),
    False: Text("missed", "bold red"),
    None: Text("-", "dim"),
}


def figure(value: float | None, unit: str) -> str:
    """A figure with its unit, with three digits or more."""
    if value is None:
        return ""
    digits = 0 if value >= 100 or value == int(value) else 1
    return f"{value:,.{digits}f}{'' if unit.startswith('/') else ' '}{unit}".strip()


def spread(line: Line) -> str:
    """The least and the greatest ratio of the rounds."""
    return "" if line.low is None else f"{line.low:.2f}-{line.high:.2f}"


def rows(lines: list[Line]) -> Table:
    """The table: a measure with our figure, then what it is held against."""
    table = Table(box=_BOX, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("measure", overflow="fold", ratio=1)
    table.add_column("level", style="dim")
    table.add_column("figure", justify="right", no_wrap=True)
    table.add_column("ratio", justify="right", style="bold")
    table.add_column("range", justify="right", style="dim", no_wrap=True)
    table.add_column("goal", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    before = ""
    for line in lines:
        if line.measure != before:
            _add_ours(table, line)
            before = line.measure
        if line.against:
            _add_theirs(table, line)
    return table


def _add_ours(table: Table, line: Line) -> None:
    verdict = () if line.against else ("", "", str(line.goal or ""), VERDICTS[line.met])
    name = Text(line.measure, "bold")
    if line.note:
        name.append(f" ({line.note})", "not bold dim")
    table.add_row(name, line.durability, figure(line.ours, line.unit), *verdict)


def _add_theirs(table: Table, line: Line) -> None:
    table.add_row(
        f"  vs {line.against}",
        line.their_durability,
        figure(line.theirs, line.unit),
        f"{line.ratio:.2f}",
        spread(line),
        str(line.goal or ""),
        VERDICTS[line.met],
    )


def show(
    lines: list[Line], on: Mapping[str, Any], *, took_seconds: int, quick: bool
) -> None:
    """Print the table, what it was measured on, and how many goals are met."""
    console = Console()
    console.print(rows(lines))
    judged = [line.met for line in lines if line.met is not None]
    console.print(
        f"{sum(judged)} of {len(judged)} goals met"
        f"{' (a quick run: read it with care)' if quick else ''}."
        " The level is SQLite's `synchronous`, over a write-ahead log, or PostgreSQL's"
        " `fsync`; a peer's is its own choice."
    )
    console.print(
        f"Python {on['python']}, SQLite {on['sqlite']}, {on['cores']} cores, load"
        f" {on['load_before']} before; {on['syncs_before']:,} syncs a second before,"
        f" {on['syncs_after']:,} after; took {took_seconds} s.",
        style="dim",
    )
    if on["load_before"] > on["cores"] / 4:
        console.print(
            "The machine was busy with other work: read the ratios with care.",
            style="red",
        )


def plain(lines: list[Line]) -> list[dict[str, Any]]:
    """The lines as plain data, each with its verdict."""
    return [msgspec.to_builtins(line) | {"met": line.met} for line in lines]
