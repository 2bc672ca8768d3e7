"""`holdfast guarantees`: what each kind of state promises.

Answers for: the table, where the terminal is wide enough for it, or a block for each
line of it; one kind alone.
Leaves to others: what is promised (each kind, `holdfast.memories`).
Always holds: no store is opened.
"""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from holdfast import declared
from holdfast.cli import output
from holdfast.cli.layout import GAP
from holdfast.cli.opening import Json, Kinds
from holdfast.errors import Refused
from holdfast.guarantees import Guarantee

_WIDE = 150
"""So many columns hold the table."""
_FLAGS = ("journalled", "in_the_past", "exported", "mirrored", "owned", "leased")
_COLUMNS = ("kind", "promise", "comes back by", "why", "changed by", "holds")


def guarantees(*, kind: Kinds = None, json: Json = False) -> None:
    """Print what each kind of state promises, and how it comes back after a crash."""
    table = _named(kind) if kind else declared.guarantees()
    if json:
        output.show_json({"guarantees": table})
        return
    wide = output.console().width >= _WIDE
    output.show(*([_table(table)] if wide else _blocks(table)))


def _named(names: Sequence[str]) -> tuple[Guarantee, ...]:
    """The lines of some kinds. Raises `Refused` for one that there is not."""
    every = {one.kind: one for one in declared.guarantees()}
    if missing := [name for name in names if name not in every]:
        raise Refused(
            f"there is no kind of state {missing[0]!r}; `holdfast guarantees` has all"
        )
    return tuple(every[name] for name in names)


def _table(found: Iterable[Guarantee]) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for name in _COLUMNS:
        short = name in _COLUMNS[:3]
        table.add_column(name, header_style="bold", no_wrap=short, overflow="fold")
    for one in found:
        promise, recovery = one.promise.value, one.recovery.value
        told = (one.why, one.changed_by, _holds(one))
        table.add_row(one.kind, promise, recovery, *map(output.one_line, told))
    return table


def _blocks(found: Iterable[Guarantee]) -> Iterator[RenderableType]:
    """A block for each line."""
    for one in found:
        grid = Table.grid(padding=(0, GAP, 0, 0))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, fact in _facts(one).items():
            grid.add_row(f"  {name}", output.one_line(fact))
        yield Text.assemble((one.kind, "bold"), f"  {one.promise.value}")
        yield grid


def _facts(one: Guarantee) -> dict[str, str]:
    return {
        "why": one.why,
        "acknowledged": one.acknowledged,
        "after a crash": f"{one.after_a_crash} ({one.recovery.value})",
        "owner": one.owner,
        "changed by": one.changed_by,
        "holds": _holds(one),
    }


def _holds(one: Guarantee) -> str:
    """What holds of it, and what does not."""
    holds = [flag.replace("_", " ") for flag in _FLAGS if getattr(one, flag)]
    lacks = [flag.replace("_", " ") for flag in _FLAGS if not getattr(one, flag)]
    said = ", ".join(holds) or "nothing more"
    return f"{said}; not {', '.join(lacks)}" if lacks else said
