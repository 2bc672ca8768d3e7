"""How the records of each kind look to people.

Answers for: each record's lines, within the columns that there are.
Leaves to others: choosing the records (`look`), what is safe to print (`output`).
Always holds: an id is never cut, so that it can be copied; titles and texts may be.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from holdfast.cli import speech
from holdfast.cli.output import one_line, safe, when
from holdfast.guarantees import Guarantee

if TYPE_CHECKING:
    from holdfast.kinds.item_records import Item
    from holdfast.kinds.session_records import Message, Session
    from holdfast.kinds.task_records import Progress, Task, TaskLog
    from holdfast.kinds.thread_records import Checkpoint, Thread

LINES_OF_A_TEXT = 12
LINES_OF_A_FACT = 3
_STYLES = {
    "active": "green",
    "in_progress": "cyan",
    "waiting": "yellow",
    "paused": "yellow",
    "completed": "green",
    "failed": "red",
    "cancelled": "dim",
    "archived": "dim",
    "user": "bold cyan",
    "assistant": "bold green",
    "system": "bold magenta",
    "tool": "bold yellow",
}
_GAP = 2
_NARROWEST = 12
_INDENT = (0, 0, 0, 4)
_COLUMNS = 76
"""About so many characters go into a line."""


def sessions(found: Iterable["Session"], width: int) -> Iterator[Text]:
    """Sessions, two lines each: the title, and the id below it."""
    return _listing(
        "session",
        ("status", "messages"),
        [
            _Line(
                one_line(record.title) or "(no title)",
                record.id,
                record.owner,
                (record.status.value, f"{record.message_count:,}"),
                record.updated_at,
            )
            for record in found
        ],
        width,
    )


def tasks(found: Iterable["Task"], width: int) -> Iterator[Text]:
    """Tasks, two lines each: the description, and the id below it."""
    return _listing(
        "task",
        ("status", "done"),
        [
            _Line(
                one_line(record.description),
                record.id,
                record.owner,
                (record.status.value, progress(record.progress, note=False)),
                record.updated_at,
            )
            for record in found
        ],
        width,
    )


def items(found: Iterable["Item"], width: int) -> Iterator[Text]:
    """Items, two lines each: the key and the value, and the id below."""
    return _listing(
        "item",
        ("in", "lives"),
        [
            _Line(
                one_line(f"{record.key}  {one_line(record.value)}"),
                record.id,
                record.owner,
                (_labels(record), _lifetime(record)),
                record.updated_at,
            )
            for record in found
        ],
        width,
    )


def threads(found: Iterable["Thread"], _width: int) -> Iterator[Text]:
    """Threads, a line each: when it began, whose it is, its id."""
    for record in found:
        whose = f"{safe(record.owner)}  " if record.owner else ""
        yield Text.assemble(
            (f"{when(record.created_at)[:-3]}  {whose}", "dim"), safe(record.id)
        )


class _Line(msgspec.Struct, frozen=True):
    """What a listing tells of one record."""

    title: str
    id: str
    owner: str
    cells: tuple[str, str]
    updated_at: datetime


def _listing(
    name: str, names: tuple[str, str], lines: Sequence[_Line], width: int
) -> Iterator[Text]:
    """A heading, and for each record its title in line with its cells, then its id.

    Owners get a column if there are any.
    """
    rows: list[tuple[str, ...]] = [(*names, "updated (UTC)")]
    rows += [(*line.cells, when(line.updated_at)[:-3]) for line in lines]
    if any(line.owner for line in lines):
        owners = ["owner", *(safe(line.owner) or "-" for line in lines)]
        rows = [(owner, *row) for owner, row in zip(owners, rows, strict=True)]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    titles = [name, *(line.title for line in lines)]
    left = max(width - sum(widths) - _GAP * len(widths), _NARROWEST)
    left = min(left, max(map(cell_len, titles)))
    for number, (title, row) in enumerate(zip(titles, rows, strict=True)):
        text = Text(title, style="" if number else "bold", no_wrap=True)
        text.truncate(left, overflow="ellipsis", pad=True)
        for place, (cell, size) in enumerate(zip(row, widths, strict=True)):
            is_number = place == len(row) - 2
            space = " " * (size - cell_len(cell))
            style = _STYLES.get(cell, "") if number else "bold"
            text.append(" " * _GAP + (space if is_number else ""))
            text.append(cell, style)
            text.append("" if is_number else space)
        yield text
        if number:
            yield Text(f"  {safe(lines[number - 1].id)}", style="dim", no_wrap=True)


def session(record: "Session", *, full: bool) -> RenderableType:
    """One session, without its messages."""
    facts = {
        "id": record.id,
        "owner": record.owner,
        "status": record.status.value,
        "parent": _link(record.parent, gone=record.orphaned),
        "tags": ", ".join(record.tags),
        "messages": f"{record.message_count:,}",
        "version": str(record.version),
        "created": when(record.created_at) + " UTC",
        "updated": when(record.updated_at) + " UTC",
        "metadata": one_line(record.metadata) if record.metadata else "",
    }
    return _page(record.title or "(no title)", facts, full=full)


def task(record: "Task", log: Iterable["TaskLog"], *, full: bool) -> RenderableType:
    """One task, with its log."""
    started, ended = record.started_at, record.completed_at
    facts = {
        "id": record.id,
        "owner": record.owner,
        "status": record.status.value,
        "progress": progress(record.progress),
        "tool": record.tool or "",
        "session": _link(record.session, gone=record.orphaned),
        "assigned to": record.assigned_to or "",
        "version": str(record.version),
        "created": when(record.created_at) + " UTC",
        "started": when(started) + " UTC" if started else "",
        "ended": when(ended) + " UTC" if ended else "",
        "result": "" if record.result is None else one_line(record.result),
        "error": record.error or "",
        "metadata": one_line(record.metadata) if record.metadata else "",
    }
    lines = [
        Text.assemble(
            (f"{when(line.at)}  ", "dim"), f"{line.level:<7} ", safe(line.message)
        )
        for line in log
    ]
    heading = [Text("\nlog", style="bold")] if lines else []
    return Group(_page(record.description, facts, full=full), *heading, *lines)


def message(record: "Message", *, full: bool) -> RenderableType:
    """One message: who said it and when, then what."""
    role = record.role
    head = Text.assemble(
        (f"{record.position:>3} ", "dim"),
        (role, _STYLES.get(role, "bold")),
        (f"  {when(record.created_at)}", "dim"),
    )
    parts = [(text, "") for text in [speech.body(record.content)] if text]
    parts += [(text, "dim") for text in speech.beside(record.metadata)]
    return Group(
        head,
        *(
            Padding(_shortened(text, LINES_OF_A_TEXT, full=full, style=style), _INDENT)
            for text, style in parts
        ),
        Text(),
    )


def item(record: "Item", *, full: bool) -> RenderableType:
    """One item."""
    ends = record.ends_at
    facts = {
        "id": record.id,
        "owner": record.owner,
        "in": _labels(record),
        "lives": _lifetime(record),
        "until": when(ends) + " UTC" if ends else "",
        "created": when(record.created_at) + " UTC",
        "updated": when(record.updated_at) + " UTC",
        "value": one_line(record.value),
    }
    return _page(record.key, facts, full=full)


def thread(
    record: "Thread", checkpoints: Iterable["Checkpoint"], *, full: bool
) -> RenderableType:
    """One thread, with some of its checkpoints."""
    facts = {"owner": record.owner, "created": when(record.created_at) + " UTC"}
    lines = [
        Group(
            Text.assemble(
                (f"{when(found.created_at)}  ", "dim"), safe(found.id), no_wrap=True
            ),
            Padding(
                _shortened(_holds(found), LINES_OF_A_TEXT, full=full, style="dim"),
                _INDENT,
            ),
        )
        for found in checkpoints
    ]
    heading = [Text("\ncheckpoints", style="bold")] if lines else []
    return Group(_page(record.id, facts, full=full), *heading, *lines)


def progress(found: "Progress | None", *, note: bool = True) -> str:
    """How far a task has come."""
    if found is None:
        return ""
    total = "" if found.total is None else f"/{found.total:g}"
    said = f" {one_line(found.note)}" if note and found.note else ""
    return f"{found.done:g}{total}{said}"


def guarantees(found: Iterable[Guarantee]) -> Table:
    """What each kind of state promises."""
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    columns = ("kind", "promise", "acknowledged", "after a crash", "journal")
    for name in (*columns, "in the past"):
        table.add_column(name, header_style="bold", no_wrap=name == "kind")
    for row in found:
        table.add_row(
            row.kind,
            row.promise.value,
            row.acknowledged,
            row.after_a_crash,
            "yes" if row.journalled else "no",
            "yes" if row.in_the_past else "no",
        )
    return table


def _page(title: str, facts: Mapping[str, str], *, full: bool) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, fact in facts.items():
        if fact:
            grid.add_row(name, _fact(name, fact, full=full))
    return Group(Text(one_line(title), style="bold"), grid)


def _fact(name: str, fact: str, *, full: bool) -> Text:
    if name == "status":
        return _word(fact)
    return _shortened(safe(fact), LINES_OF_A_FACT, full=full)


def _shortened(text: str, lines: int, *, full: bool, style: str = "") -> Text:
    """A text, or its first lines and how much more there is."""
    short = "\n".join(text.split("\n")[:lines])[: lines * _COLUMNS]
    if full or short == text:
        return Text(text, style=style)
    left = len(text) - len(short)
    return Text.assemble((short, style), (f" … {left:,} more (--full)", "dim italic"))


def _labels(record: "Item") -> str:
    return one_line(" / ".join(record.namespace)) or "-"


def _lifetime(record: "Item") -> str:
    return "" if record.ttl_seconds is None else f"{record.ttl_seconds:g} s"


def _holds(found: "Checkpoint") -> str:
    """What a checkpoint has, and where it came from."""
    facts = {
        "in": found.ns,
        "after": found.parent,
        "run": found.run,
        "channels": ", ".join(found.values),
        "writes": ", ".join(dict.fromkeys(write.channel for write in found.writes)),
        "metadata": one_line(found.metadata) if found.metadata else "",
    }
    return "\n".join(f"{name}: {safe(fact)}" for name, fact in facts.items() if fact)


def _link(id: str | None, *, gone: bool) -> str:
    return "" if id is None else id + (" (deleted)" if gone else "")


def _word(word: str) -> Text:
    return Text(word, style=_STYLES.get(word, ""))
