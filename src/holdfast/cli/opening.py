"""Which store a command looks at, and whose records.

Answers for: opening read-only, or to be written to; one owner, or all of them; the
newest changes.
Leaves to others: what is done with it (`look`, `showing`).
Always holds: a look never creates a store, and never changes one.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeVar, cast

from cyclopts import Parameter, validators

import holdfast
from holdfast.errors import HoldfastError, NotFound, Refused, Trimmed
from holdfast.page import Page

if TYPE_CHECKING:
    from holdfast.across import AcrossOwners
    from holdfast.changes import Change
    from holdfast.journal import Journal
    from holdfast.shown import StoreJournal
    from holdfast.store import Store

T = TypeVar("T")

PAGE = 500
"""Records read at once."""

Where = Annotated[str, Parameter(help="The store: its file, or its URL.")]
Owner = Annotated[
    str | None, Parameter(help="Only what this owner has. Without it: every owner.")
]
Limit = Annotated[
    int, Parameter(help="At most so many.", validator=validators.Number(gte=1))
]
Cursor = Annotated[
    str | None, Parameter(help="Go on from where a page ended, as it told.")
]
Json = Annotated[
    bool, Parameter(help="Print JSON, for programs.", negative="", show_default=False)
]
Kinds = Annotated[
    list[str] | None,
    Parameter("--kind", help="Only of this kind (may be repeated).", negative=""),
]
Full = Annotated[
    bool, Parameter(help="Long texts in full.", negative="", show_default=False)
]


def opened(target: str, as_of: datetime | int | None = None) -> "Store":
    """The store, now or as it was, to be read. Raises `CannotOpen` if there is none."""
    store = holdfast.open(target, read_only=True)
    if as_of is None:
        return store
    try:
        return store.as_of(as_of)
    except HoldfastError:
        store.close()
        raise


def writable(target: str) -> "Store":
    """A store that is there, to be written to; it is neither made nor migrated.

    Raises `CannotOpen`, `NeedsMigration`.
    """
    opened(target).close()
    return holdfast.open(target, migrate="check")


def scope(store: "Store", owner: str | None) -> "Store | AcrossOwners":
    """What lists go over: one owner, or all of them."""
    return store.across_owners() if owner is None else store.owned_by(owner)


def journal_of(store: "Store", owner: str | None) -> "StoreJournal":
    """The journal of one owner, or of all of them."""
    return cast("StoreJournal", scope(store, owner).journal)


def listed(
    list_of: Callable[..., Page[T]], limit: int, cursor: str | None, **filters: object
) -> Page[T]:
    """A list of any length, made of as many pages as it takes."""
    found: list[T] = []
    while True:
        size = min(limit - len(found), PAGE)
        page = list_of(limit=size, cursor=cursor, **filters)
        found += page
        cursor = page.cursor
        if cursor is None or len(found) >= limit:
            return Page(found, cursor)


def one_of(
    store: "Store", owner: str | None, kind: str, id: str, get: Callable[["Store"], T]
) -> tuple["Store", T]:
    """A record that is asked for by its id, and its owner's view of the store.

    Raises `NotFound`, or `Refused` if several owners have one of that id.
    """
    if owner is not None:
        view = store.owned_by(owner)
        return view, get(view)
    found = []
    for name in store.owners():
        view = store.owned_by(name)
        try:
            found.append((name, view, get(view)))
        except NotFound:
            continue
    if not found:
        raise NotFound(kind, id)
    refuse_several(kind, id, [name for name, _, _ in found])
    return found[0][1:]


def refuse_several(kind: str, id: str, owners: Sequence[str]) -> None:
    """Raise `Refused` if several owners have a record that is asked for by its id."""
    if len(owners) > 1:
        names = ", ".join(map(repr, owners))
        raise Refused(f"several owners have a {kind} {id!r} ({names}): add --owner")


def newest_changes(
    journal: "Journal", kinds: Sequence[str] | None, limit: int
) -> list["Change"]:
    """The newest changes, oldest of them first."""
    head, first = journal.head(), journal.horizon()
    reach = limit
    found: list[Change] = []
    while True:
        start = max(head - reach, first)
        try:
            found = list(changes_from(journal, start, kinds))
        except Trimmed:
            if not found:
                raise
            return found
        if len(found) >= limit or start == first:
            return found[-limit:]
        reach *= 4


def changes_from(
    journal: "Journal", after: int, kinds: Sequence[str] | None, id: str | None = None
) -> Iterator["Change"]:
    """Every change after a place, or of one record, read page by page."""
    cursor = None
    while True:
        page = journal.read(after, limit=PAGE, kinds=kinds, id=id, cursor=cursor)
        yield from page
        cursor = page.cursor
        if cursor is None:
            return
