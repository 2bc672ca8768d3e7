"""The command that trims a store's past, and what the past costs.

Answers for: `trim`, to its last slice; the lines of `log --stats`.
Leaves to others: what is kept (`retention`), the words that name a moment (`when`).
Always holds: a store is never created; what can still be read afterwards is said.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

import holdfast
from holdfast.cli import output
from holdfast.cli.opening import Json, Where, opened
from holdfast.cli.standing import named
from holdfast.errors import BadInput
from holdfast.retention import Policy

if TYPE_CHECKING:
    from holdfast.retention import JournalStats, Reach

_MB = 1_000_000


def trim(
    store: Where,
    /,
    *,
    before: Annotated[
        datetime | int | None,
        Parameter(
            help="What was before then is given up: a moment's number, or a time, such "
            'as "30 days ago". Without it: what passes the limits that it keeps.',
            converter=named,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Give up a store's past before a moment, and delete what it took.

    The store may be in use. It stays as it is; but nobody can look at it as of an
    earlier moment any more, or read older changes. Interrupted, it is gone on with when
    the store is written to, or trimmed, the next time.
    """
    with opened(store) as there:
        if before is None and there.journal.policy() == Policy():
            raise BadInput("this store keeps all of its past: say --before when")
    with holdfast.open(store) as there:
        reach = there.journal.trim(before)
        while reach.left:
            reach = there.journal.trim(before)
    if json:
        output.show_json({"reach": reach})
    else:
        output.show(_reaches(reach))


def costs(found: "JournalStats") -> Iterator[Text | Table]:
    """What the past costs, for people."""
    table = Table(box=None, pad_edge=False)
    for name in ("kind", "changes", "images", "bytes of images"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for kind, one in found.tables.items():
        row = (f"{number:,}" for number in (one.changes, one.images, one.bytes))
        table.add_row(kind, *row)
    yield table
    yield Text(
        f"\n{output.count(found.changes, 'change')} and their images take "
        f"{found.bytes / _MB:,.1f} MB; about {found.changes_a_day:,.0f} changes a day"
    )
    yield _reaches(found.reach)
    yield Text(_kept(found.policy))


def _reaches(reach: "Reach") -> Text:
    since = "" if reach.at is None else f", of {output.when(reach.at)} UTC"
    if reach.horizon == 0:
        since = "" if reach.at is None else f", since {output.when(reach.at)} UTC"
        return Text(f"all of the past can be read{since}")
    left = f"; {output.count(reach.left, 'change')} still to go" if reach.left else ""
    return Text(f"the past can be read from moment {reach.horizon} on{since}{left}")


def _kept(policy: Policy) -> str:
    limits = []
    if policy.max_age_seconds is not None:
        limits.append(f"{policy.max_age_seconds / 86_400:,.3g} days")
    if policy.max_changes is not None:
        limits.append(output.count(policy.max_changes, "change"))
    if policy.max_bytes is not None:
        limits.append(f"{policy.max_bytes / _MB:,.3g} MB")
    return f"kept: at most {', '.join(limits)}" if limits else "kept: all of it"
