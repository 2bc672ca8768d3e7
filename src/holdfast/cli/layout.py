"""How lists and single records are laid out, whatever kind they are of.

Answers for: a listing's columns within the width that there is, a record's page of
facts, the colours of statuses, texts that are shown in part.
Leaves to others: what each kind's records tell (`records`, `job_lines`).
Always holds: an id is never cut, so that it can be copied; titles and texts may be.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import msgspec
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from holdfast.cli.output import one_line, safe, when

LINES_OF_A_TEXT = 12
LINES_OF_A_FACT = 3
STYLES = {
    "active": "green",
    "in_progress": "cyan",
    "waiting": "yellow",
    "paused": "yellow",
    "completed": "green",
    "done": "green",
    "failed": "red",
    "dead": "red",
    "cancelled": "dim",
    "archived": "dim",
    "user": "bold cyan",
    "assistant": "bold green",
    "system": "bold magenta",
    "tool": "bold yellow",
}
GAP = 2
_NARROWEST = 12
INDENT = (0, 0, 0, 4)
BELOW = (0, 0, 0, GAP)
_COLUMNS = 76
"""About so many characters go into a line."""


class Line(msgspec.Struct, frozen=True):
    """What a listing tells of one record; notes stand below its id."""

    title: str
    id: str
    owner: str
    cells: tuple[str, ...]
    at: datetime | None
    notes: tuple[Text, ...] = ()


def listing(
    names: tuple[str, ...], lines: Sequence[Line], width: int
) -> Iterator[RenderableType]:
    """A heading, and for each record its title in line with its cells, then its id.

    `names` are those of the columns: the title, the cells, the time; the last cell is a
    number. Owners get a column if there are any.
    """
    name, *others = names
    rows: list[tuple[str, ...]] = [tuple(others)]
    rows += [(*line.cells, _minute(line.at)) for line in lines]
    if any(line.owner for line in lines):
        owners = ["owner", *(safe(line.owner) or "-" for line in lines)]
        rows = [(owner, *row) for owner, row in zip(owners, rows, strict=True)]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    titles = [name, *(line.title for line in lines)]
    left = max(width - sum(widths) - GAP * len(widths), _NARROWEST)
    left = min(left, max(map(cell_len, titles)))
    for number, (title, row) in enumerate(zip(titles, rows, strict=True)):
        text = Text(title, style="" if number else "bold", no_wrap=True)
        text.truncate(left, overflow="ellipsis", pad=True)
        for place, (cell, size) in enumerate(zip(row, widths, strict=True)):
            is_number = place == len(row) - 2
            space = " " * (size - cell_len(cell))
            style = STYLES.get(cell, "") if number else "bold"
            text.append(" " * GAP + (space if is_number else ""))
            text.append(cell, style)
            text.append("" if is_number else space)
        yield text
        if number:
            yield from _below(lines[number - 1], width)


def _below(line: Line, width: int) -> Iterator[RenderableType]:
    """What stands below a record's title: its id, and notes."""
    yield Padding(Text(safe(line.id), "dim", overflow="fold"), BELOW, expand=False)
    for note in line.notes:
        note.truncate(width - GAP, overflow="ellipsis")
        yield Padding(note, BELOW, expand=False)


def _minute(at: datetime | None) -> str:
    return "" if at is None else when(at)[:-3]


def page(title: str, facts: Mapping[str, str], *, full: bool) -> RenderableType:
    """One record: its title, and those of its facts that say something."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, fact in facts.items():
        if fact:
            grid.add_row(name, _fact(name, fact, full=full))
    return Group(Text(one_line(title), style="bold"), grid)


def _fact(name: str, fact: str, *, full: bool) -> Text:
    if name == "status":
        return word(fact)
    return shortened(safe(fact), LINES_OF_A_FACT, full=full)


def shortened(text: str, lines: int, *, full: bool, style: str = "") -> Text:
    """A text, or its first lines and how much more there is."""
    short = "\n".join(text.split("\n")[:lines])[: lines * _COLUMNS]
    if full or short == text:
        return Text(text, style=style)
    left = len(text) - len(short)
    return Text.assemble((short, style), (f" … {left:,} more (--full)", "dim italic"))


def link(id: str | None, *, gone: bool) -> str:
    """The id of another record."""
    return "" if id is None else id + (" (deleted)" if gone else "")


def word(status: str) -> Text:
    """A status in its colour."""
    return Text(status, style=STYLES.get(status, ""))
