"""The commands for machines: what there is, how one stands, and drawings of it.

Answers for: `machines` and `machines show`.
Leaves to others: how machines look (`machine_lines`), what a drawing shows
(`machine_charts`), Mermaid (`mermaid`), pictures (`machine_pictures`).
Always holds: the store is opened read-only; matplotlib is loaded for a picture alone.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter, validators
from rich.text import Text

from holdfast.cli import machine_lines, output
from holdfast.cli.machine_charts import Chart, chart_of, shortened
from holdfast.cli.mermaid import mermaid
from holdfast.cli.opening import (
    Cursor,
    Full,
    Json,
    Limit,
    Owner,
    Where,
    listed,
    one_of,
    opened,
    scope,
)
from holdfast.cli.standing import AsOf, head, json_head, say_beside, standing
from holdfast.errors import BadInput, CannotOpen, Refused
from holdfast.page import cursor_of
from holdfast.statecharts.specs import spec_of

if TYPE_CHECKING:
    from holdfast.kinds.machine_records import Machine, MachineStep
    from holdfast.page import Page
    from holdfast.store import Store

_USAGE = """\
Usage: holdfast machines STORE [OPTIONS]
       holdfast machines show STORE ID [OPTIONS]
"""
STEPS_OF_A_MACHINE = 20
_FORMATS = (".svg", ".png")


def build() -> App:
    """The `machines` command, which lists, and the command below it."""
    app = App(name="machines", usage=_USAGE)
    app.default(machines)
    app.command(show)
    return app


def machines(
    store: Where,
    /,
    *,
    owner: Owner = None,
    name: Annotated[str | None, Parameter(help="Only of this definition.")] = None,
    state: Annotated[
        str | None, Parameter(help="Only in this state; needs --name.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """List the machines of a store, newest first (owner by owner)."""
    wanted = {"name": name, "state": state}
    with opened(store, as_of) as there:
        then = standing(there, as_of)
        page = listed(scope(there, owner).machines.list, limit, cursor, **wanted)
    if json:
        found = {"machines": list(page), "cursor": page.cursor}
        output.show_json({**json_head(then), **found})
        return
    width = output.console().width
    lines = machine_lines.machines(page, width) if page else [Text("no machines")]
    output.show(*head(then), *lines, *output.more(page.cursor))


def show(
    store: Where,
    id: Annotated[str, Parameter(help="The machine's id.")],
    /,
    *,
    owner: Owner = None,
    diagram: Annotated[
        bool,
        Parameter(
            help="Print it as a Mermaid diagram.", negative="", show_default=False
        ),
    ] = False,
    picture: Annotated[
        Path | None, Parameter(help="Write a picture to this file, .svg or .png.")
    ] = None,
    limit: Annotated[
        int,
        Parameter(help="So many steps: the last.", validator=validators.Number(gte=1)),
    ] = STEPS_OF_A_MACHINE,
    full: Full = False,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """Show one machine: its state, its context, its last steps; or a drawing of it.

    A drawing has all states and transitions of the version that the machine follows,
    the state that it is in, and the way it has gone so far, as long as its history is
    kept. Pictures need the extra `holdfast[diagrams]`.
    """
    draw = None if picture is None else _painter(picture)
    with opened(store, as_of) as there:
        then = standing(there, as_of)
        view, machine = one_of(
            there, owner, "machine", id, lambda view: view.machines.get(id)
        )
        steps = last_steps(view, machine, limit)
        chart = _chart(view, machine) if diagram or draw else None
    found: dict[str, Any] = {"machine": machine, "steps": list(steps)}
    if chart and draw and picture:
        found["picture"] = _written(picture, draw(chart, _caption(machine)))
    if chart and diagram:
        found["diagram"] = mermaid(chart)
    if json:
        output.show_json({**json_head(then), **found})
    elif diagram:
        say_beside(then)
        output.show_text(found["diagram"])
    elif picture:
        output.show(*head(then), Text(f"{found['picture']}: {_caption(machine)}"))
    else:
        page = machine_lines.machine(machine, steps, full=full)
        output.show(*head(then), page)


def last_steps(view: "Store", machine: "Machine", limit: int) -> "Page[MachineStep]":
    """The last steps of a machine, oldest of them first."""
    history = functools.partial(view.machines.history, machine.id)
    return listed(history, limit, cursor_of(max(machine.steps - limit, -1)))


def _chart(view: "Store", machine: "Machine") -> Chart:
    """The version that a machine follows, and all that is kept of its way."""
    there = view.machines.definition(machine.name, version=machine.version)
    steps = last_steps(view, machine, machine.steps + 1)
    return chart_of(spec_of(there.spec), machine.state, steps)


def _caption(machine: "Machine") -> str:
    steps = output.count(machine.steps, "step")
    named = f"{shortened(machine.name)} {shortened(machine.id)}"
    return f"{named}, version {machine.version}, {steps}"


def _painter(file: Path) -> Callable[[Chart, str], bytes]:
    """What makes a picture for a file of that name."""
    format = file.suffix.lower()
    if format not in _FORMATS:
        raise BadInput(f"{file}: a picture's name ends in {' or '.join(_FORMATS)}")
    try:
        from holdfast.cli.machine_pictures import picture  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as missing:
        raise Refused(
            f"pictures need {missing.name}, which is not installed: "
            "pip install 'holdfast[diagrams]'"
        ) from None
    return functools.partial(picture, format=format[1:])


def _written(file: Path, content: bytes) -> str:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise CannotOpen(f"{file}: {error.strerror}") from error
    return str(file)


COMMANDS: Mapping[str, Callable[..., Any]] = {
    "machines": machines,
    "machines-show": show,
}
"""The commands by the names that the reference has for them."""
