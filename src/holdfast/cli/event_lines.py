"""How events and their figures look to people.

Answers for: a line for each event, aligned; names with their numbers and a small graph
of when they came; what is unusual.
Leaves to others: choosing them (`events`), what is safe to print (`output`).
Always holds: it needs one event at a time, so that it serves a live stream as well.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from holdfast.cli.job_lines import lasting
from holdfast.cli.layout import GAP
from holdfast.cli.output import count, cut, one_line, safe, when

if TYPE_CHECKING:
    from holdfast.kinds.event_figures import EventStats, Unusual
    from holdfast.kinds.event_records import Event

STYLES = {"debug": "dim", "info": "", "warning": "yellow", "error": "bold red"}
_UNUSUAL_STYLES = {"burst": "yellow", "silence": "red", "new": "cyan"}
_LEVEL, _NAME, _WIDEST_NAME = 7, 16, 28
_ENOUGH_COLUMNS = 24
_EVENTS_COLUMNS, _GRAPH_COLUMNS, _TIME_COLUMNS = 7, 24, 16
_FIGURES_COLUMNS = _EVENTS_COLUMNS + _GRAPH_COLUMNS + _TIME_COLUMNS + 4 * GAP
"""What is beside a name, with the spaces."""
_BARS = "▁▂▃▄▅▆▇█"


class Telling:
    """Turns events into lines; names get as much room as the widest so far needs."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._name = _NAME

    def lines(self, event: "Event") -> Iterator[Text]:
        """The lines for one more event: what it is, and its data if it has some."""
        name = safe(event.name)
        self._name = max(self._name, min(cell_len(name), _WIDEST_NAME))
        style = STYLES.get(event.level, "")
        line = Text.assemble(
            (_time(event), "dim"),
            (f"  {event.level:<{_LEVEL}}", style),
            (f"  {name}".ljust(self._name + 2), style or "bold"),
            (_whose(event), "dim"),
        )
        line.rstrip()
        said = "" if event.data is None else one_line(event.data)
        room = self._width - line.cell_len - GAP
        if said and room >= min(cell_len(said), _ENOUGH_COLUMNS):
            yield Text.assemble(line, " " * GAP, cut(said, room))
            return
        line.truncate(self._width, overflow="ellipsis")
        yield line
        if said:
            yield Text.assemble(" " * GAP, cut(said, self._width - GAP))

    def all(self, events: Sequence["Event"]) -> Iterator[Text]:
        """The lines for events that are there at once, all aligned."""
        widths = (cell_len(safe(event.name)) for event in events)
        self._name = min(max(widths, default=_NAME), _WIDEST_NAME)
        for event in events:
            yield from self.lines(event)


def _time(event: "Event") -> str:
    """When it happened, to the thousandth of a second, in UTC."""
    return f"{when(event.at)}.{event.at.astimezone(UTC):%f}"[:-3]


def _whose(event: "Event") -> str:
    """Who it comes from, and what it belongs to."""
    parts = {
        "": event.source,
        "for ": event.owner,
        "in ": event.session,
        "of ": event.correlation,
    }
    return "".join(f"  {said}{safe(it)}" for said, it in parts.items() if it)


def figures(found: "EventStats", width: int) -> Iterator[RenderableType]:
    """The numbers of events by name, and below them what is unusual."""
    span = (found.until - found.since).total_seconds()
    yield Text(f"{count(found.total, 'event')} in {lasting(span)}")
    if not found.total:
        return
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    table.add_column("name", max_width=width - _FIGURES_COLUMNS, no_wrap=True)
    table.add_column("events", justify="right", min_width=_EVENTS_COLUMNS)
    table.add_column("when", min_width=_GRAPH_COLUMNS)
    table.add_column("last (UTC)", min_width=_TIME_COLUMNS)
    for name, one in found.by_name.items():
        graph = _graph(one.counts, _GRAPH_COLUMNS)
        table.add_row(one_line(name), f"{one.count:,}", graph, when(one.last)[:-3])
    yield Text()
    yield table
    if found.unusual:
        yield Text("\nunusual", style="bold")
    for unusual in found.unusual:
        line = _unusual(unusual, found.bucket_seconds)
        line.truncate(width, overflow="ellipsis")
        yield line


def _graph(counts: Sequence[int], columns: int) -> str:
    """How many there were when, in so many columns at most; the highest is full."""
    size = -(-len(counts) // columns)
    sums = [sum(counts[at : at + size]) for at in range(0, len(counts), size)]
    most = max(sums)
    return "".join(_BARS[-(-it * len(_BARS) // most) - 1] if it else " " for it in sums)


def _unusual(one: "Unusual", bucket_seconds: int) -> Text:
    said = {
        "burst": f"{one.count:,} in {lasting(bucket_seconds)}, usual {one.expected:g}",
        "silence": f"none since; {one.expected:,.0f} would be usual",
        "new": f"the first of {one.count:,}",
    }
    return Text.assemble(
        (when(one.at)[:-3], "dim"),
        (f"  {one.kind:<7}", _UNUSUAL_STYLES[one.kind]),
        f"  {one_line(one.name)}",
        (f"  {said[one.kind]}", "dim"),
    )
