"""How machines look to people.

Answers for: what a list and a page tell of each, and of its steps.
Leaves to others: choosing them (`machines`, `showing`), laying them out (`layout`),
drawing them (`machine_charts`).
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from holdfast.cli.layout import INDENT, Line, listing, page
from holdfast.cli.output import one_line, safe, when

if TYPE_CHECKING:
    from holdfast.kinds.machine_records import Machine, MachineStep

_STATE_CHARACTERS = 24


def machines(found: Iterable["Machine"], width: int) -> Iterator[RenderableType]:
    """Machines: the definition and its version, the id below, state and steps."""
    lines = [
        Line(
            f"{one_line(machine.name)}  version {machine.version}",
            machine.id,
            machine.owner,
            (_brief(machine.state), f"{machine.steps:,}"),
            machine.entered_at,
        )
        for machine in found
    ]
    return listing(("machine", "state", "steps", "since (UTC)"), lines, width)


def machine(
    record: "Machine", steps: Iterable["MachineStep"], *, full: bool
) -> RenderableType:
    """One machine, with its last steps."""
    facts = {
        "id": record.id,
        "owner": record.owner,
        "version": str(record.version),
        "state": one_line(record.state),
        "since": when(record.entered_at) + " UTC",
        "steps": f"{record.steps:,}",
        "created": when(record.created_at) + " UTC",
        "updated": when(record.updated_at) + " UTC",
        "context": one_line(record.context) if record.context else "",
    }
    parts: list[RenderableType] = [page(record.name, facts, full=full)]
    lines = [line for step in steps for line in _step(step)]
    if lines:
        parts += [Text("\nlast steps", style="bold"), *lines]
    return Group(*parts)


def _step(step: "MachineStep") -> Iterator[RenderableType]:
    """A step: when it was made, the event, and the state that it led to."""
    began = Text("began", style="italic")
    said = Text(one_line(step.event)) if step.event is not None else began
    if step.event is None and step.from_state is not None:
        said = Text("moved", style="italic")
    stays = step.from_state == step.to_state
    line = Text.assemble(
        (f"{step.position:>3} {when(step.at)}  ", "dim"),
        said,
        "  stays " if stays else "  → ",
        (one_line(step.to_state), "bold"),
    )
    yield line
    if step.note:
        yield Padding(Text(safe(step.note), style="dim"), INDENT)


def _brief(state: str) -> str:
    line = one_line(state)
    long = len(line) > _STATE_CHARACTERS
    return line[: _STATE_CHARACTERS - 1] + "…" if long else line
