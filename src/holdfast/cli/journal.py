"""The commands that show the journal: all of it, one record's part, or as it comes.

Answers for: `log`, `tail`.
Leaves to others: how changes look (`changes`), old and new values (`differences`).
Always holds: a store is opened read-only; the newest is at the end.
"""

from bisect import bisect
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators
from rich.console import RenderableType
from rich.text import Text

from holdfast.cli import output
from holdfast.cli.changes import Chronicle
from holdfast.cli.opening import (
    PAGE,
    Full,
    Json,
    Kinds,
    Limit,
    Owner,
    Where,
    changes_from,
    journal_of,
    newest_changes,
    opened,
    refuse_several,
)
from holdfast.cli.standing import AsOf, head, json_head, standing
from holdfast.cli.trimming import costs
from holdfast.errors import BadInput, NotFound
from holdfast.page import cursor_of

if TYPE_CHECKING:
    from holdfast.changes import Change
    from holdfast.store import Store


def log(
    store: Where,
    kind: Annotated[
        str | None, Parameter(help="What one record is, to show its history.")
    ] = None,
    id: Annotated[str | None, Parameter(help="Its id.")] = None,
    /,
    *,
    owner: Owner = None,
    after: Annotated[
        int | None, Parameter(help="What follows this change; else the newest changes.")
    ] = None,
    kinds: Kinds = None,
    limit: Limit = 100,
    full: Full = False,
    as_of: AsOf = None,
    stats: Annotated[
        bool,
        Parameter(
            help="What the journal costs, instead.", negative="", show_default=False
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Print the journal: when, who, why and what, the newest at the end.

    With a KIND and an ID, the history of that record and of what belongs to it, with
    the old and the new value of each field that changed; also if it was deleted (of an
    owner who has nothing any more, with --owner).
    """
    if stats:
        if any(it is not None for it in (kind, owner, after, kinds, as_of)):
            raise BadInput("--stats tells what all of the journal costs now: only that")
        _cost(store, json=json)
        return
    if kind is not None and (id is None or kinds is not None):
        raise BadInput("for one record name its KIND and its ID; for a kind, --kind")
    with opened(store, as_of) as there:
        then = standing(there, as_of)
        horizon = there.journal.horizon()
        if kind is not None and id is not None:
            found = _of_record(there, owner, kind, id, after, limit)
        else:
            found = _of_store(there, owner, kinds, after, limit)
    if json:
        output.show_json({**json_head(then), "changes": found})
        return
    lines = _lines(found, in_detail=id is not None, full=full)
    more: list[Text] = []
    if horizon and id is not None and after is None and len(found) < limit:
        known = f"what was before moment {horizon} is not known any more"
        lines.insert(0, output.hint(known))
    if after is not None and len(found) == limit:
        more = [output.hint(f"go on with --after {found[-1].seq}")]
    output.show(*head(then), *(lines or [Text("no changes")]), *more)


def _lines(
    changes: list["Change"], *, in_detail: bool, full: bool
) -> list[RenderableType]:
    chronicle = Chronicle(output.console().width)
    lines: list[RenderableType] = []
    for change in changes:
        if in_detail:
            lines += chronicle.in_detail(change, full=full)
        else:
            lines += chronicle.lines(change)
    return lines


def _cost(target: str, *, json: bool) -> None:
    with opened(target) as there:
        found = there.journal.stats()
    if json:
        output.show_json(found)
    else:
        output.show(*costs(found))


def _of_store(
    store: "Store",
    owner: str | None,
    kinds: list[str] | None,
    after: int | None,
    limit: int,
) -> list["Change"]:
    journal = journal_of(store, owner)
    if after is None:
        return newest_changes(journal, kinds, limit)
    return list(islice(changes_from(journal, after, kinds), limit))


def _of_record(
    store: "Store",
    owner: str | None,
    kind: str,
    id: str,
    after: int | None,
    limit: int,
) -> list["Change"]:
    """The changes of one record. Raises `NotFound`, or `Refused` if several have it."""
    view = _view_of(store, owner, kind, id)

    def read(place: int) -> Iterator["Change"]:
        cursor: str | None = cursor_of(place)
        while cursor is not None:
            page = view.changes(kind, id, limit=PAGE, cursor=cursor)
            yield from page
            cursor = page.cursor

    def are_enough(place: int) -> bool:
        return len(list(islice(read(place), limit + 1))) <= limit

    if after is not None:
        return list(islice(read(after), limit))
    return list(read(bisect(range(store.moment()), False, key=are_enough)))


def _view_of(store: "Store", owner: str | None, kind: str, id: str) -> "Store":
    """The view of the one owner who has such a record, or had it."""
    names = {"", *store.owners()} if owner is None else {owner}
    found = []
    for name in sorted(names):
        with suppress(NotFound):
            store.owned_by(name).changes(kind, id, limit=1)
            found.append(name)
    if not found:
        raise NotFound(kind.removesuffix("s"), id)
    refuse_several(kind, id, found)
    return store.owned_by(found[0])


def tail(
    store: Where,
    /,
    *,
    owner: Owner = None,
    after: Annotated[
        int | None, Parameter(help="Begin with what follows this change, not with now.")
    ] = None,
    kinds: Kinds = None,
    limit: Annotated[
        int | None,
        Parameter(
            help="End after so many changes.", validator=validators.Number(gte=1)
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Follow the journal live, until Ctrl-C; with --json, a line for each change."""
    screen = output.console()
    chronicle = Chronicle(screen.width)
    with opened(store) as there:
        changes = journal_of(there, owner).follow(after=after, kinds=kinds)
        for number, change in enumerate(changes, 1):
            if json:
                output.show_json_line(change)
            else:
                for line in chronicle.lines(change):
                    screen.print(line)
            if number == limit:
                return
