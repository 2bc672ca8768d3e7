"""`holdfast config`: each setting as it is here, and where it came from.

Answers for: the file, the environment and arguments as they would be taken; what says
otherwise and is weaker; what is worth knowing.
Leaves to others: what settings there are, and which one counts (`holdfast.config`).
Always holds: no secret is shown, in whatever form; no store is opened.
"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from holdfast.cli import output
from holdfast.cli.layout import GAP
from holdfast.cli.opening import Json
from holdfast.config import Config, Setting, Source, load


def config(
    *,
    file: Annotated[
        Path | None,
        Parameter(help="Read this file, and not holdfast.toml in this folder."),
    ] = None,
    set: Annotated[
        list[str] | None,
        Parameter(
            "--set",
            help="As if NAME=VALUE had been an argument (may be repeated).",
            negative="",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Print each setting with its value, masked if it is a secret, and its origin."""
    found = load(file, args=set)
    if json:
        output.show_json(
            {"file": found.file, "settings": found.settings, "notes": found.notes}
        )
        return
    output.show(_table(found.settings), *_below(found))


def _table(settings: tuple[Setting, ...]) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    table.add_column("setting", header_style="bold", no_wrap=True)
    table.add_column("value", header_style="bold", overflow="fold")
    table.add_column("from", header_style="bold", overflow="fold")
    for one in settings:
        told = one.source is not Source.DEFAULT
        over = [Text(f"not {output.one_line(weak)}", "dim") for weak in one.over]
        table.add_row(
            Text(output.one_line(one.name), "bold" if told else ""),
            _value(one.value),
            Group(Text(output.one_line(one.where), "" if told else "dim"), *over),
        )
    return table


def _value(value: object) -> Text:
    if value is None or value == "":
        return Text("-", "dim")
    return Text(output.one_line(value))


def _below(found: Config) -> list[RenderableType]:
    """Which file was read, and what is worth knowing."""
    file = found.file or "there is none"
    notes = [Text(f"note: {output.safe(one)}", "yellow") for one in found.notes]
    return [output.hint(f"\nfile: {output.safe(file)}"), *notes]
