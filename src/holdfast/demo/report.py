"""What is said before the agents start, and what it all came to.

Answers for: the opening words, the table of both ways, the verdict and the hints.
Leaves to others: every figure (`ledger`, `crew`).
Always holds: 80 columns are enough; the same words are said of both ways, and a way
that came out clean is called clean.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast.demo.agent import WAYS
from holdfast.demo.ledger import Tally
from holdfast.demo.load import Load


class Outcome(msgspec.Struct, frozen=True):
    """How one run went."""

    title: str
    tally: Tally
    planned: int
    kills: int
    falls: int
    last_error: str
    seconds: float
    problems: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Messages found, by the time from the first acknowledged to the last."""
        return self.tally.found / self.seconds if self.seconds else 0.0

    @property
    def is_clean(self) -> bool:
        """Whether nothing at all is wrong."""
        return self.tally.is_clean and not self.problems


def opening(console: Console, load: Load, agents: int, kills: int) -> None:
    """Say what is going to happen."""
    places = "a process of its own" if agents == 1 else "processes of their own"
    deaths = (
        "At random moments one of them is killed with SIGKILL and started again: "
        f"{_counted(kills, 'kill')}."
    )
    console.print(
        f"{_counted(len(load.talks), 'conversation')}, "
        f"{_counted(load.steps, 'message')}: {load.source}.\n"
        f"Replayed by {_counted(agents, 'agent')} in {places}, with a task for each"
        f" conversation. {deaths if kills else 'None is killed.'}"
        " The same is done with both:\n"
    )
    for way in WAYS.values():
        console.print(f"  {way.title:<13} {way.how}")
    if load.set_aside:
        left_out = _counted(len(load.set_aside), "item")
        console.print(f"\nLeft out: {left_out}. The first: {load.set_aside[0]}")
    console.print()


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


FEW = 10
"""A rate below this is told with a decimal."""

FAULTS = (
    ("lost", "acknowledged, and not there", "lost"),
    ("doubled", "there more than once", "doubled"),
    ("half-done", "message or task alone", "half_done"),
    ("out of place", "not as in the input", "out_of_place"),
)


def table(outcomes: list[Outcome]) -> Table:
    """All figures of all ways."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    made.add_column("")
    made.add_column("", style="dim")
    for outcome in outcomes:
        made.add_column(outcome.title, justify="right")
    for name, meaning, cells in _rows(outcomes):
        made.add_row(name, meaning, *cells)
    return made


def _rows(outcomes: list[Outcome]) -> Iterator[tuple[str, str, Iterable[str | Text]]]:
    """The table's rows: a name, what it means, and a cell for each way."""
    tallies = [outcome.tally for outcome in outcomes]
    yield "kills", "SIGKILL, while at work", (str(o.kills) for o in outcomes)
    if any(outcome.falls for outcome in outcomes):
        yield "fell over", "ended by an own error", (_fault(o.falls) for o in outcomes)
    yield "steps", "in all conversations", (f"{t.expected:,}" for t in tallies)
    said = (f"{t.acknowledged:,}" for t in tallies)
    yield "acknowledged", "the agent said: it is kept", said
    yield "found", "in the file, at the end", (f"{t.found:,}" for t in tallies)
    for name, meaning, field in FAULTS:
        yield name, meaning, (_fault(getattr(t, field)) for t in tallies)
    yield "appends a second", "kills included", (_rate(o.rate) for o in outcomes)


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= FEW else f"{rate:.1f}"


def _fault(count: int) -> Text:
    return Text(f"{count:,}", style="bold red" if count else "green")


def closing(console: Console, outcomes: list[Outcome]) -> None:
    """Show the table, and say in a sentence how each did."""
    console.print()
    console.print(table(outcomes))
    for outcome in outcomes:
        console.print(f"{outcome.title}: {_verdict(outcome)}.")
        if outcome.tally.half_done:
            console.print("  Half-done: a message and its task disagree from then on.")
        if outcome.kills < outcome.planned:
            console.print(f"  {outcome.kills} of {outcome.planned} kills were done.")
        if outcome.falls:
            console.print(f"  The last error of an agent: {outcome.last_error}")


def hints(console: Console, store: Path, load: Load) -> None:
    """Say how to look at what is there."""
    console.print("\nLook at what holdfast kept:")
    for command in (
        "sessions {}",
        "show {} session {}",
        "tasks {}",
        "log {}",
        "check {}",
    ):
        shown = command.format(store, load.talks[0].id)
        console.print(f"  {_holdfast()} {shown}", soft_wrap=True)


def _holdfast() -> str:
    """The command as it can be typed here, also where it is not on the path."""
    if shutil.which("holdfast"):
        return "holdfast"
    beside = Path(sys.executable).parent / "holdfast"
    if beside.exists():
        return os.path.relpath(beside)
    return f"{sys.executable} -m holdfast.cli"


def _verdict(outcome: Outcome) -> str:
    if outcome.is_clean:
        return "every message is there once, in order, with its task's change"
    tally = outcome.tally
    counts = {name: getattr(tally, field) for name, _, field in FAULTS}
    counts["not there"] = tally.expected - tally.found
    counts["conversations unfinished"] = tally.unfinished
    faults = [f"{count:,} {name}" for name, count in counts.items() if count]
    return ", ".join([*faults, *outcome.problems])
