"""How the records of each kind look to people.

Answers for: what is told of each record, in a list and alone.
Leaves to others: choosing the records (`look`), laying them out (`layout`), jobs
(`job_lines`), what is safe to print (`output`).
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from holdfast.cli import speech
from holdfast.cli.layout import (
    INDENT,
    LINES_OF_A_TEXT,
    STYLES,
    Line,
    link,
    listing,
    page,
    shortened,
)
from holdfast.cli.output import one_line, safe, when

if TYPE_CHECKING:
    from holdfast.kinds.item_records import Item
    from holdfast.kinds.session_records import Message, Session
    from holdfast.kinds.task_records import Progress, Task, TaskLog
    from holdfast.kinds.thread_records import Checkpoint, Thread


def sessions(found: Iterable["Session"], width: int) -> Iterator[RenderableType]:
    """Sessions, two lines each: the title, and the id below it."""
    return listing(
        ("session", "status", "messages", "updated (UTC)"),
        [
            Line(
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


def tasks(found: Iterable["Task"], width: int) -> Iterator[RenderableType]:
    """Tasks, two lines each: the description, and the id below it."""
    return listing(
        ("task", "status", "done", "updated (UTC)"),
        [
            Line(
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


def items(found: Iterable["Item"], width: int) -> Iterator[RenderableType]:
    """Items, two lines each: the key and the value, and the id below."""
    return listing(
        ("item", "in", "lives", "updated (UTC)"),
        [
            Line(
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


def session(record: "Session", *, full: bool) -> RenderableType:
    """One session, without its messages."""
    facts = {
        "id": record.id,
        "owner": record.owner,
        "status": record.status.value,
        "parent": link(record.parent, gone=record.orphaned),
        "tags": ", ".join(record.tags),
        "messages": f"{record.message_count:,}",
        "version": str(record.version),
        "created": when(record.created_at) + " UTC",
        "updated": when(record.updated_at) + " UTC",
        "metadata": one_line(record.metadata) if record.metadata else "",
    }
    return page(record.title or "(no title)", facts, full=full)


def task(record: "Task", log: Iterable["TaskLog"], *, full: bool) -> RenderableType:
    """One task, with its log."""
    started, ended = record.started_at, record.completed_at
    facts = {
        "id": record.id,
        "owner": record.owner,
        "status": record.status.value,
        "progress": progress(record.progress),
        "tool": record.tool or "",
        "session": link(record.session, gone=record.orphaned),
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
    return Group(page(record.description, facts, full=full), *heading, *lines)


def message(record: "Message", *, full: bool) -> RenderableType:
    """One message: who said it and when, then what."""
    role = record.role
    head = Text.assemble(
        (f"{record.position:>3} ", "dim"),
        (role, STYLES.get(role, "bold")),
        (f"  {when(record.created_at)}", "dim"),
    )
    parts = [(text, "") for text in [speech.body(record.content)] if text]
    parts += [(text, "dim") for text in speech.beside(record.metadata)]
    return Group(
        head,
        *(
            Padding(shortened(text, LINES_OF_A_TEXT, full=full, style=style), INDENT)
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
    return page(record.key, facts, full=full)


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
                shortened(_holds(found), LINES_OF_A_TEXT, full=full, style="dim"),
                INDENT,
            ),
        )
        for found in checkpoints
    ]
    heading = [Text("\ncheckpoints", style="bold")] if lines else []
    return Group(page(record.id, facts, full=full), *heading, *lines)


def progress(found: "Progress | None", *, note: bool = True) -> str:
    """How far a task has come."""
    if found is None:
        return ""
    total = "" if found.total is None else f"/{found.total:g}"
    said = f" {one_line(found.note)}" if note and found.note else ""
    return f"{found.done:g}{total}{said}"


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
