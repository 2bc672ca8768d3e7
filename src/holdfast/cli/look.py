"""The commands that look at a store, and never change it.

Answers for: `sessions`, `tasks`, `log`, `tail`, `check`, `guarantees`.
Leaves to others: `show` (`showing`), how records look (`records`, `changes`), how
errors end (`app`).
Always holds: a store is opened read-only, and is never created by a look.
"""

from collections.abc import Callable
from itertools import islice
from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from holdfast import declared
from holdfast.cli import output, records
from holdfast.cli.changes import Chronicle
from holdfast.cli.opening import (
    Cursor,
    Json,
    Kinds,
    Limit,
    Owner,
    Where,
    changes_from,
    journal_of,
    listed,
    newest_changes,
    opened,
    scope,
)
from holdfast.cli.showing import show
from holdfast.kinds.session_records import SessionStatus
from holdfast.kinds.task_records import TaskStatus


def sessions(
    store: Where,
    /,
    *,
    owner: Owner = None,
    status: SessionStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List the sessions of a store, newest first (owner by owner)."""
    with opened(store) as there:
        lists = scope(there, owner).sessions.list
        page = listed(lists, limit, cursor, status=status)
    if json:
        output.show_json({"sessions": list(page), "cursor": page.cursor})
    elif not page:
        output.show("no sessions")
    else:
        width = output.console().width
        output.show(*records.sessions(page, width), *output.more(page.cursor))


def tasks(
    store: Where,
    /,
    *,
    owner: Owner = None,
    status: TaskStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List the tasks of a store, newest first (owner by owner)."""
    with opened(store) as there:
        page = scope(there, owner).tasks.list(status=status, limit=limit, cursor=cursor)
    if json:
        output.show_json({"tasks": list(page), "cursor": page.cursor})
    elif not page:
        output.show("no tasks")
    else:
        width = output.console().width
        output.show(*records.tasks(page, width), *output.more(page.cursor))


def log(
    store: Where,
    /,
    *,
    owner: Owner = None,
    after: Annotated[
        int | None, Parameter(help="What follows this change; else the newest changes.")
    ] = None,
    kind: Kinds = None,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """Print the journal: when, who, why and what, the newest at the end."""
    with opened(store) as there:
        journal = journal_of(there, owner)
        changes = (
            newest_changes(journal, kind, limit)
            if after is None
            else list(islice(changes_from(journal, after, kind), limit))
        )
    if json:
        output.show_json({"changes": changes})
        return
    chronicle = Chronicle(output.console().width)
    lines = [line for change in changes for line in chronicle.lines(change)]
    more: list[Text] = []
    if after is not None and len(changes) == limit:
        more = [output.hint(f"go on with --after {changes[-1].seq}")]
    output.show(*(lines or [Text("no changes")]), *more)


def tail(
    store: Where,
    /,
    *,
    owner: Owner = None,
    after: Annotated[
        int | None, Parameter(help="Begin with what follows this change, not with now.")
    ] = None,
    kind: Kinds = None,
    limit: Annotated[int | None, Parameter(help="End after so many changes.")] = None,
    json: Json = False,
) -> None:
    """Follow the journal live, until Ctrl-C; with --json, a line for each change."""
    screen = output.console()
    chronicle = Chronicle(screen.width)
    with opened(store) as there:
        changes = journal_of(there, owner).follow(after=after, kinds=kind)
        for number, change in enumerate(changes, 1):
            if json:
                output.show_json_line(change)
            else:
                for line in chronicle.lines(change):
                    screen.print(line)
            if number == limit:
                return


def check(store: Where, /, *, json: Json = False) -> int:
    """Look for damage; exit status 1 if there is any."""
    with opened(store) as there:
        found = there.check()
    if json:
        output.show_json(
            {"ok": found.ok, "problems": found.problems, "counts": found.counts}
        )
        return 0 if found.ok else 1
    counts = [f"{number:>9,}  {name}" for name, number in found.counts.items()]
    problems = [Text(f"problem: {output.safe(what)}", "red") for what in found.problems]
    verdict = (
        Text("nothing is wrong", "green")
        if found.ok
        else Text(output.count(len(problems), "problem"), "bold red")
    )
    output.show(*counts, *problems, verdict)
    return 0 if found.ok else 1


def guarantees(*, json: Json = False) -> None:
    """Print what each kind of state promises."""
    table = declared.guarantees()
    if json:
        output.show_json({"guarantees": table})
    else:
        output.show(records.guarantees(table))


COMMANDS: tuple[Callable[..., Any], ...] = (
    sessions,
    show,
    tasks,
    log,
    tail,
    check,
    guarantees,
)
