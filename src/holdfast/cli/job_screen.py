"""The screen of `jobs watch`, and the lines of what happens to jobs.

Answers for: what stands where, within the columns and lines that there are.
Leaves to others: when it is drawn (`watching`), what happened (`happenings`).
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from holdfast.cli.happenings import Happening, Happenings
from holdfast.cli.job_figures import ended, figures_of, rate
from holdfast.cli.job_lines import lasting, tried
from holdfast.cli.layout import GAP, STYLES
from holdfast.cli.output import one_line, safe, when
from holdfast.clock import SystemClock, to_datetime
from holdfast.kinds.job_records import FINISHED, Job, JobStats, JobStatus

if TYPE_CHECKING:
    from datetime import datetime

    from holdfast.store import Store

_KINDS = 6
_KEPT = 50
_NEWEST_CHANGES = 300
"""So much of the journal is read at a look; of what came before there is a figure."""
_COLUMNS = tuple(status.value for status in JobStatus)


class Screen:
    """What is seen of a store's jobs, from one look to the next."""

    def __init__(self, store: "Store", owner: str | None) -> None:
        self._store = store
        self._owner = owner
        self._happenings = Happenings(store, owner)
        self._ended = deque(self._happenings.lately(_KEPT), maxlen=_KEPT)
        self._last: tuple[float, JobStats] | None = None

    def drawn(self, width: int, height: int) -> RenderableType:
        """Look, and draw what is there now."""
        for one in self._happenings.look(_NEWEST_CHANGES):
            if one.change in FINISHED:
                self._ended.append(one)
        stats, at = figures_of(self._store, self._owner), time.monotonic()
        before_at, before = self._last or (at, stats)
        self._last = at, stats
        now = to_datetime(SystemClock().now_us())
        seconds = at - before_at
        top: list[RenderableType] = [
            self._head(before, stats, seconds, now, width),
            Text(),
            kinds(before, stats, seconds),
        ]
        rows = min(len(stats.by_kind), _KINDS + 1) + 2
        left = height - len(top) - rows
        active = list(self._happenings.active.values())
        return Group(*top, *lower(active, list(self._ended), now, width, left))

    def _head(
        self,
        before: JobStats,
        stats: JobStats,
        seconds: float,
        now: "datetime",
        width: int,
    ) -> Text:
        """The store, the time, how fast it goes, and how long one has waited."""
        done = rate(ended(before.by_status), ended(stats.by_status), seconds)
        parts = [
            f"{when(now)[11:]} UTC",
            f"{rate(before.total, stats.total, seconds):,.0f} put/s",
            f"{done:,.0f} ended/s",
        ]
        if stats.ready_since is not None:
            waited = lasting((now - stats.ready_since).total_seconds())
            parts.append(f"the oldest ready for {waited}")
        said = "  ".join(parts)
        place = Text(safe(self._store.place), style="bold", no_wrap=True)
        place.truncate(max(width - len(said) - GAP, 8), overflow="ellipsis")
        return Text.assemble(place, " " * GAP, (said, "dim"), no_wrap=True)


def kinds(before: JobStats, stats: JobStats, seconds: float) -> Table:
    """Figures by kind and status, of the kinds with the most to do."""
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    table.add_column("kind", no_wrap=True, overflow="ellipsis")
    for name in (*_COLUMNS, "ended/s"):
        table.add_column(name, justify="right", no_wrap=True)
    ordered = sorted(stats.by_kind, key=lambda kind: _open(stats, kind), reverse=True)
    for kind in sorted(ordered[:_KINDS]):
        old = before.by_kind.get(kind, {})
        table.add_row(*_row(one_line(kind), old, stats.by_kind[kind], seconds))
    if len(ordered) > _KINDS:
        table.add_row(f"and {len(ordered) - _KINDS:,} more", style="dim")
    if len(ordered) != 1:
        table.add_row(*_row("all", before.by_status, stats.by_status, seconds))
    return table


def _open(stats: JobStats, kind: str) -> tuple[int, int]:
    figures = stats.by_kind[kind]
    total = sum(figures.values())
    return total - ended(figures), total


def _row(
    name: str, before: dict[str, int], now: dict[str, int], seconds: float
) -> Iterator[Text]:
    yield Text(name, style="bold" if name == "all" else "")
    for status in _COLUMNS:
        count = now.get(status, 0)
        yield Text(f"{count:,}", style=STYLES.get(status, "") if count else "dim")
    fast = rate(ended(before), ended(now), seconds)
    yield Text(f"{fast:,.0f}", style="" if fast else "dim")


def lower(
    active: list[Job],
    lately: list[Happening],
    now: "datetime",
    width: int,
    lines: int,
) -> Iterator[RenderableType]:
    """The active jobs and those that ended last, in so many lines."""
    rows = max(lines - 4, 2)  # without two headings and the lines above them
    half = max(rows // 2, rows - len(lately))
    shown = active[: half if len(active) <= half else half - 1]
    yield Text(f"\nactive: {len(active):,}", style="bold")
    yield from _actives(shown, now, width)
    more = len(active) - len(shown)
    if more:
        yield Text(f"and {more:,} more", style="dim")
    room = rows - len(shown) - (more > 0)
    yield Text("\nended last", style="bold")
    for one in reversed(lately[-room:]) if room > 0 else ():
        line = happening(one, dated=False)
        line.truncate(width, overflow="ellipsis")
        yield line


def _actives(found: list[Job], now: "datetime", width: int) -> Iterator[Text]:
    """Active jobs: each its attempt, what is left of its lease, and its worker."""
    cells = [
        (_whose(job.owner, job.id), one_line(job.kind), tried(job), _left(job, now))
        for job in found
    ]
    sizes = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    for job, row in zip(found, cells, strict=True):
        padded = (set_cell_size(*cell) for cell in zip(row, sizes, strict=True))
        line = Text.assemble(
            (" " * GAP).join(padded),
            (f"  {safe(job.worker or '')}", "dim"),
            ("  to be cancelled", "yellow") if job.cancelling else "",
            no_wrap=True,
        )
        line.truncate(width, overflow="ellipsis")
        yield line


def _left(job: Job, now: "datetime") -> str:
    until = job.lease_until or now
    seconds = (until - now).total_seconds()
    return "lease over" if seconds < 0 else f"{lasting(seconds)} left"


def happening(one: Happening, *, dated: bool = True) -> Text:
    """What happened to a job, in a line."""
    at = when(one.at) if dated else when(one.at)[11:]
    style = STYLES.get(one.change, "")
    return Text.assemble(
        (at, "dim"),
        ("  " + one.change.ljust(9), style),
        "  ",
        _whose(one.owner, one.id),
        f"  {one_line(one.kind)}",
        ("".join(f"  {part}" for part in _more(one)), "dim"),
        (f"  {one_line(one.error)}" if one.error else "", "red"),
    )


def _more(one: Happening) -> Iterable[str]:
    """What there is to say beside what happened."""
    if one.change == "active":
        yield f"attempt {one.attempt} by {safe(one.worker or '')}"
    if one.change == "waiting" and one.waits_for:
        yield f"for {one_line(one.waits_for)}"
    if one.change in {"put", "queued"} and one.until:
        yield f"due {when(one.until)}"
    if one.change == "waiting" and one.until:
        yield f"until {when(one.until)}"
    if one.lane is not None and one.change == "put":
        yield f"in lane {safe(one.lane)}"


def _whose(owner: str, id: str) -> str:
    return f"{safe(owner)}/{safe(id)}" if owner else safe(id)
