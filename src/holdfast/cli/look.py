"""The commands that look at a store, and never change it.

Answers for: `sessions`, `tasks`, `items`, `threads`, `check`.
Leaves to others: `show` (`showing`), `log` and `tail` (`journal`), `diff`
(`comparing`), `guarantees` (`promises`), how records look (`records`), how errors end
(`app`).
Always holds: a store is opened read-only, and is never created by a look.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.console import RenderableType
from rich.text import Text

from holdfast.cli import output, records
from holdfast.cli.comparing import diff
from holdfast.cli.journal import log, tail
from holdfast.cli.opening import (
    Cursor,
    Json,
    Limit,
    Owner,
    Where,
    listed,
    opened,
    scope,
)
from holdfast.cli.promises import guarantees
from holdfast.cli.showing import show
from holdfast.cli.standing import AsOf, head, json_head, standing
from holdfast.kinds.session_records import SessionStatus
from holdfast.kinds.task_records import TaskStatus
from holdfast.page import Page


def sessions(
    store: Where,
    /,
    *,
    owner: Owner = None,
    status: SessionStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """List the sessions of a store, newest first (owner by owner)."""
    asked = _Asked("sessions", owner, limit, cursor, json)
    _list(store, as_of, asked, records.sessions, status=status)


def tasks(
    store: Where,
    /,
    *,
    owner: Owner = None,
    status: TaskStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """List the tasks of a store, newest first (owner by owner)."""
    asked = _Asked("tasks", owner, limit, cursor, json)
    _list(store, as_of, asked, records.tasks, status=status)


def items(
    store: Where,
    label: Annotated[
        tuple[str, ...], Parameter(help="A namespace, label by label; else all.")
    ] = (),
    /,
    *,
    owner: Owner = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """List the items of a store, last put first (owner by owner)."""
    asked = _Asked("items", owner, limit, cursor, json)
    _list(store, as_of, asked, records.items, namespace=label)


def threads(
    store: Where,
    /,
    *,
    owner: Owner = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """List the threads of a store, newest first (owner by owner)."""
    asked = _Asked("threads", owner, limit, cursor, json)
    _list(store, as_of, asked, records.threads)


class _Asked(msgspec.Struct, frozen=True):
    """Which records of a kind are listed, and how."""

    kind: str
    owner: str | None
    limit: int
    cursor: str | None
    json: bool


def _list(
    place: str,
    as_of: int | datetime | None,
    asked: _Asked,
    lines_of: Callable[[Page[Any], int], Iterable[RenderableType]],
    **filters: object,
) -> None:
    """Show a page of a kind's records, and how to go on."""
    with opened(place, as_of) as there:
        then = standing(there, as_of)
        lists = getattr(scope(there, asked.owner), asked.kind).list
        page = listed(lists, asked.limit, asked.cursor, **filters)
    if asked.json:
        found = {asked.kind: list(page), "cursor": page.cursor}
        output.show_json({**json_head(then), **found})
        return
    width = output.console().width
    lines = lines_of(page, width) if page else [Text(f"no {asked.kind}")]
    output.show(*head(then), *lines, *output.more(page.cursor))


def check(store: Where, /, *, json: Json = False) -> int:
    """Look for damage; exit status 1 if there is any."""
    with opened(store) as there:
        found = there.check()
    if json:
        output.show_json(
            {"ok": found.ok, "problems": found.problems, "counts": found.counts}
        )
        return 0 if found.ok else 1
    counts = [f"{it:>9,}  {name}" for name, it in found.counts.items() if it]
    problems = [Text(f"problem: {output.safe(what)}", "red") for what in found.problems]
    verdict = (
        Text("nothing is wrong", "green")
        if found.ok
        else Text(output.count(len(problems), "problem"), "bold red")
    )
    output.show(*counts, *problems, verdict)
    return 0 if found.ok else 1


COMMANDS: tuple[Callable[..., Any], ...] = (
    sessions,
    show,
    tasks,
    items,
    threads,
    log,
    tail,
    diff,
    check,
    guarantees,
)
