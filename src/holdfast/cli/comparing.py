"""`diff`: what differs between two moments of a store.

Answers for: the comparison of one owner's state or of everyone's, kind by kind: what is
new, what is gone, what is another; counts at the end.
Leaves to others: finding it (`holdfast.history`), old and new values (`differences`).
Always holds: all that differs is counted, also where not all of it is shown.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import RenderableType
from rich.text import Text

from holdfast import declared
from holdfast.cli import output
from holdfast.cli.changes import STYLES, cut_text, name_of, said_of
from holdfast.cli.differences import differences
from holdfast.cli.opening import PAGE, Full, Json, Kinds, Limit, Owner, Where, opened
from holdfast.cli.standing import Standing, named, stood

if TYPE_CHECKING:
    from holdfast.history import Difference
    from holdfast.store import Store

_ORDER = [table.name for kind in declared.OURS for table in kind.tables]
_MARKS = {"create": "+", "update": "~", "delete": "-"}
_DONE = {"create": "created", "update": "updated", "delete": "deleted"}
Counts = Counter[tuple[str, str]]
"""How many differ, by kind and by what was done."""


def diff(
    store: Where,
    /,
    *,
    start: Annotated[
        datetime | int,
        Parameter(
            "--from",
            help='The earlier moment: a number, or a time, such as "yesterday 18:00".',
            converter=named,
        ),
    ],
    end: Annotated[
        datetime | int | None,
        Parameter("--to", help="The later one; else now.", converter=named),
    ] = None,
    owner: Owner = None,
    kinds: Kinds = None,
    limit: Limit = 200,
    full: Full = False,
    json: Json = False,
) -> None:
    """Compare a store as it was at two moments: what was made, changed, deleted.

    What was changed and changed back does not differ. `log STORE KIND ID` tells how one
    record came to be what it is.
    """
    with opened(store) as there:
        before, after = there.as_of(start), there if end is None else there.as_of(end)
        ends = stood(before, start), stood(after, end)
        shown: list[Difference] = []
        counts: Counts = Counter()
        owners = {*before.owners(), *after.owners()} if owner is None else {owner}
        for name in sorted(owners):
            for found in _all(there.owned_by(name), ends, kinds):
                counts[found.kind, found.op] += 1
                if len(shown) < limit:
                    shown.append(found)
    if json:
        output.show_json(_as_json(ends, shown, counts))
    else:
        output.show(*_told(ends, shown, counts, full=full))


def _all(
    store: "Store", ends: tuple[Standing, Standing], kinds: list[str] | None
) -> Iterator["Difference"]:
    """Every difference, read page by page."""
    cursor = None
    while True:
        start, end = (then.moment for then in ends)
        page = store.diff(start, end, kinds=kinds, limit=PAGE, cursor=cursor)
        yield from page
        cursor = page.cursor
        if cursor is None:
            return


def _told(
    ends: tuple[Standing, Standing],
    shown: list["Difference"],
    counts: Counts,
    *,
    full: bool,
) -> Iterator[RenderableType]:
    width = output.console().width
    yield Text(f"from {ends[0].told()}\nto   {ends[1].told()}", style="bold")
    for kind in _kinds(counts):
        yield Text(f"\n{kind.replace('_', ' ')}: {_counted(kind, counts)}", "bold")
        for found in shown:
            if found.kind == kind:
                yield from _one(found, width, full=full)
    hidden = counts.total() - len(shown)
    if hidden:
        yield output.hint(f"\n{hidden:,} more are not shown: --limit shows more")
    yield Text("\n" + (_summed(counts) or "nothing differs"))


def _one(found: "Difference", width: int, *, full: bool) -> Iterator[RenderableType]:
    """A line; of a record that changed, also the fields that differ."""
    owner = (found.after or found.before or {}).get("owner")
    line = Text.assemble(
        (f"  {_MARKS[found.op]} ", STYLES[found.op]),
        output.safe(name_of(found)),
        (f"  by {output.safe(found.actor)}" if found.actor else "", "dim"),
        (f"  for {output.safe(owner)}" if owner else "", "dim"),
    )
    if found.op != "update":
        line.append("  ").append(said_of(found), "dim")
    yield cut_text(line, width)
    if found.op == "update" or full:
        fields = differences(found.before, found.after, width, full=full)
        if fields is not None:
            yield fields


def _kinds(counts: Counts) -> list[str]:
    """The kinds that differ: a record before what belongs to it."""
    kinds = {kind for kind, _ in counts}
    return [*filter(kinds.__contains__, _ORDER), *sorted(kinds.difference(_ORDER))]


def _counted(kind: str, counts: Counts) -> str:
    parts = [f"{counts[kind, op]:,} {done}" for op, done in _DONE.items()]
    return ", ".join(part for part in parts if not part.startswith("0 "))


def _summed(counts: Counts) -> str:
    sums: Counter[str] = Counter()
    for (_, op), number in counts.items():
        sums[op] += number
    return ", ".join(f"{sums[op]:,} {done}" for op, done in _DONE.items() if sums[op])


def _as_json(
    ends: tuple[Standing, Standing], shown: list["Difference"], counts: Counts
) -> dict[str, object]:
    return {
        "from": ends[0],
        "to": ends[1],
        "differences": shown,
        "counts": {
            kind: {done: counts[kind, op] for op, done in _DONE.items()}
            for kind in _kinds(counts)
        },
    }
