"""The commands that make a store out of another one.

Answers for: `copy` and `fork`: progress, summary, what to do after an interruption.
Leaves to others: copying and forking (`care`).
Always holds: no password of a URL is shown.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from cyclopts import Parameter
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

import holdfast
from holdfast.care.copying import CopyReport
from holdfast.cli import output
from holdfast.cli.opening import Json
from holdfast.cli.standing import AsOf


def copy(
    source: Annotated[str, Parameter(help="The store: its file, or its URL.")],
    target: Annotated[str, Parameter(help="Where it is to be, too.")],
    /,
    *,
    follow: Annotated[
        bool,
        Parameter(help="Keep the target current, until Ctrl-C.", negative=""),
    ] = False,
    replace: Annotated[
        bool,
        Parameter(help="Empty a target that has something in it.", negative=""),
    ] = False,
    json: Json = False,
) -> int:
    """Copy a whole store to another place, on any engine, journal and history included.

    The source may be in use. The target can be opened when all of it is there and was
    compared with the source, table by table. Interrupted, the same command goes on
    where it was. With `--follow` the target is kept current until Ctrl-C, and stays
    closed; the command without it brings over the rest, compares, and opens it.
    """
    try:
        with _progress() as tell:
            done = holdfast.copy(
                source, target, follow=follow, replace=replace, on_progress=tell
            )
    except KeyboardInterrupt:
        output.complain(
            "stopped; what was copied stays, and the target cannot be opened yet: "
            "holdfast copy, without --follow, brings over the rest and opens it"
        )
        raise
    if json:
        output.show_json(_as_json(done))
    else:
        _summarise(done)
    return 0


def fork(
    source: Annotated[str, Parameter(help="The store: its file, or its URL.")],
    target: Annotated[str, Parameter(help="Where the new one is to be.")],
    /,
    *,
    as_of: AsOf = None,
    replace: Annotated[
        bool,
        Parameter(help="Empty a target that has something in it.", negative=""),
    ] = False,
    json: Json = False,
) -> None:
    """Make a new store as another one is, or was, and its own from there on.

    The source stays as it is, and may be in use. The fork has the past up to then too;
    leases and followers' places are left behind. Interrupted, the same command begins
    anew; until it is done, nobody can open the fork.
    """
    with _progress() as tell:
        done = holdfast.fork(source, target, as_of, replace=replace, on_progress=tell)
    if json:
        output.show_json(_as_json(done))
    else:
        output.console().print(
            f"{output.safe(done.target)} is what {output.safe(done.source)} was at "
            f"moment {done.head}: {output.count(done.rows, 'row')}, in "
            f"{done.seconds:.1f} s",
            soft_wrap=True,
        )


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error, if that is a terminal."""
    screen = output.console(errors=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(
        *columns, console=screen, transient=True, disable=not screen.is_terminal
    )
    with bar:
        task = bar.add_task("looking", total=None)
        shown = [""]

        def tell(what: str, done: int, total: int) -> None:
            if what != shown[0]:
                bar.reset(task, description=what)
                shown[0] = what
            bar.update(task, completed=done, total=total)

        yield tell


def _as_json(done: CopyReport) -> dict[str, object]:
    return {
        "source": done.source,
        "target": done.target,
        "id": done.id,
        "head": done.head,
        "seconds": round(done.seconds, 3),
        "rows": done.rows,
        "bytes": done.bytes,
        "tables": done.tables,
    }


def _summarise(done: CopyReport) -> None:
    screen = output.console()
    table = Table(box=None, pad_edge=False)
    for name, side in (("table", "left"), ("rows", "right"), ("digest", "left")):
        table.add_column(name, justify=side, no_wrap=True)  # type: ignore[arg-type]
    for one in done.tables:
        table.add_row(one.name, f"{one.rows:,}", one.digest)
    screen.print(table)
    screen.print(
        f"{output.count(done.rows, 'row')}, {done.bytes:,} bytes, in "
        f"{done.seconds:.1f} s; both places have the same, up to change {done.head:,}",
        soft_wrap=True,
    )
