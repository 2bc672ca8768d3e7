"""How checkpoints look to people.

Answers for: what a list and a page tell of each, and of a process that was asked.
Leaves to others: choosing them (`checkpoints`), laying them out (`layout`).
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from holdfast.cli.layout import INDENT, LINES_OF_A_TEXT, Line, listing, page, shortened
from holdfast.cli.output import one_line, safe, when

if TYPE_CHECKING:
    from holdfast.kinds.checkpoint_records import Answer, MemoryCheckpoint, MemoryPart


def checkpoints(
    found: Iterable["MemoryCheckpoint"], width: int
) -> Iterator[RenderableType]:
    """Checkpoints: the reason and who took part, the id below, and the process."""
    lines = [
        Line(
            _titled(one),
            one.id,
            one.owner,
            (safe(one.process), f"{len(one.parts)}"),
            one.taken_at,
            tuple(_notes(one)),
        )
        for one in found
    ]
    return listing(("checkpoint", "process", "parts", "taken (UTC)"), lines, width)


def _titled(one: "MemoryCheckpoint") -> str:
    """Why it was taken, and of whom."""
    names = ", ".join(one_line(part.name) for part in one.parts)
    return f"{one_line(one.reason)}  {names}"


def _notes(one: "MemoryCheckpoint") -> Iterator[Text]:
    waiting = [part.name for part in one.parts if part.status == "waiting"]
    if waiting:
        yield Text(f"to be restored: {safe(', '.join(waiting))}", style="yellow")
    for name, error in one.failed.items():
        yield Text(f"{safe(name)}: {one_line(error)}", style="red")


def checkpoint(record: "MemoryCheckpoint", *, full: bool) -> RenderableType:
    """One checkpoint, with its parts."""
    facts = {
        "id": record.id,
        "owner": record.owner,
        "process": record.process,
        "taken": when(record.taken_at) + " UTC",
    }
    facts |= {f"{name} failed": error for name, error in record.failed.items()}
    parts: list[RenderableType] = [page(record.reason, facts, full=full)]
    if record.parts:
        parts.append(Text("\nparts", style="bold"))
    for part in record.parts:
        parts += _part(part, full=full)
    return Group(*parts)


def _part(part: "MemoryPart", *, full: bool) -> Iterator[RenderableType]:
    """A part: whose it is, how it stands, and what is in it."""
    restored = "" if part.restored_at is None else f"  {when(part.restored_at)} UTC"
    yield Text.assemble(
        one_line(part.name),
        (f"  {part.status.value}{restored}  {part.bytes:,} bytes", "dim"),
    )
    if part.error is not None:
        yield Padding(Text(one_line(part.error), style="red"), INDENT)
    data = shortened(one_line(part.data), LINES_OF_A_TEXT, full=full, style="dim")
    yield Padding(data, INDENT)


def answer(found: "Answer") -> RenderableType:
    """What became of a process that was asked for a checkpoint."""
    owner = f" ({safe(found.owner)})" if found.owner else ""
    line = Text(f"{safe(found.process)}{owner}  ")
    if not found.answered:
        return line.append("did not answer", style="red")
    if found.checkpoint is None:
        line.append("has nothing in memory", style="dim")
    else:
        line.append(f"took {safe(found.checkpoint)}", style="green")
    for name, error in found.failed.items():
        line.append(f"\n  {safe(name)}: {one_line(error)}", style="red")
    return line
