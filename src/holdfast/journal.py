"""The journal: every change of every kind of state, in one order.

Answers for: reading changes with the rows before and after them, the newest moment,
and how far named followers have come.
Leaves to others: writing it (triggers, made by the engine), what an entry looks like as
data (`changes`), waiting for more (`runtime/following`).
Always holds: `seq` has no gaps; a moment is the `seq` of a transaction's last change;
reading below what was trimmed raises `Trimmed`.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec

from holdfast import edges
from holdfast.changes import Change, changes_of, concerns, moments_of
from holdfast.contract import Kind, operation, query
from holdfast.edges import Count, Edge, Id, Name, PageSize
from holdfast.engine import Table
from holdfast.errors import Refused, Trimmed
from holdfast.guarantees import Promise
from holdfast.limits import Limits
from holdfast.moments import horizon, newest
from holdfast.page import Page, cursor_of, place_of


class Stretch(msgspec.Struct, frozen=True):
    """Changes that were found, and the `seq` up to which the journal was looked at."""

    changes: tuple[Change, ...]
    reached: int


def refuse_across(all_owners: bool) -> None:
    """Raise `Refused` for what one owner's journal can do, and all owners' cannot."""
    if all_owners:
        raise Refused(
            "across owners nothing is written, and a follower's place is one owner's: "
            "use store.owned_by(owner).journal"
        )


def refuse_past(moment: int | None) -> None:
    """Raise `Refused` for what waits for more, where a store is as of a moment."""
    if moment is not None:
        raise Refused(
            f"this is a look at moment {moment}, and no more comes after that: read it "
            "(journal.read), or follow the store as it is"
        )


def names_of(value: object, name: str, limits: Limits) -> tuple[str, ...]:
    """Names of kinds, or of their records."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise edges.wrong_type(name, "a list of kinds", value)
    return tuple(
        edges.name_of(item, f"{name}[{i}]", limits) for i, item in enumerate(value)
    )


Names = Annotated[Iterable[str], Edge(names_of)]


class Journal(Kind):
    """Every change, in order. `all_owners` is set where owners are looked across."""

    name = "journal"
    promise = Promise.DURABLE
    why = "as_of, revert, followers and copies all lean on what was"
    changed_by = "every write to a journalled kind; journal.advance, keep, trim"
    keeps_the_past = True
    known: Mapping[str, tuple[Table, ...]] = {}
    """The tables of each kind of the store; set by the store."""
    all_owners = False

    @query
    def head(self) -> int:
        """The newest moment; 0 if nothing was ever written."""
        return self._head()

    @query
    def read(
        self,
        after: Count = 0,
        *,
        limit: PageSize = 100,
        kinds: Names | None = None,
        id: Id | None = None,
        cursor: str | None = None,
    ) -> Page[Change]:
        """Changes after a `seq`, in order.

        `kinds` takes names of kinds (`sessions`) and of their records (`message`);
        `id` is that of a record, or of the one that it belongs to. The cursor leads
        on; where it is None, all that is committed was read. Raises `Trimmed`,
        `Refused` (no such kind).
        """
        if cursor is not None:
            after = max(after, int(place_of(cursor, int)[0]))
        found = self._stretch(after, kinds, id, limit)
        more = found.reached < self._head()
        return Page(found.changes, cursor_of(found.reached) if more else None)

    @query
    def stretch(
        self,
        after: Count,
        *,
        limit: PageSize = 200,
        kinds: Names | None = None,
        id: Id | None = None,
    ) -> Stretch:
        """As `read`, with the `seq` up to which was looked, found or not."""
        return self._stretch(after, kinds, id, limit)

    @query
    def cursor(self, name: Name) -> int:
        """The `seq` up to which a named follower has worked; 0 at first."""
        row = self.tx.one("follower_get", owner=self.owner, name=name)
        return row[0] if row else 0

    @operation
    def advance(self, name: Name, to: Count) -> int:
        """Say that a named follower has worked up to a `seq`; gives that back.

        Raises `Refused` if it is there already or past it: another process with the
        same name was first, and this one's effects must not be kept.
        """
        refuse_across(self.all_owners)
        self.tx.lock(self.name, name)
        row = self.tx.one("follower_get", owner=self.owner, name=name)
        if row and row[0] >= to:
            raise Refused(
                f"the follower {name!r} is at {row[0]} already: another process works "
                "under this name; nothing was written"
            )
        self.tx.put(
            "follower_put", owner=self.owner, name=name, cursor=to, now=self.tx.now
        )
        return to

    @query
    def horizon(self) -> int:
        """The oldest moment that can be read; 0 if nothing was trimmed."""
        return horizon(self.tx)

    def _head(self) -> int:
        return newest(self.tx)

    def _stretch(
        self, after: int, kinds: Iterable[str] | None, id: str | None, limit: int
    ) -> Stretch:
        self._reaches(after)
        every, wanted = self._tables(None), self._tables(kinds)
        owner = None if self.all_owners else self.owner
        rows = self.tx.all("journal_page", after=after, owner=owner, limit=limit)
        moments = moments_of(self.tx, rows)
        known = [row for row, moment in zip(rows, moments, strict=True) if moment]
        found = changes_of(
            self.tx,
            [
                (row, moment)
                for row, moment in zip(known, moments, strict=False)
                if moment
                and (row[1] in wanted or (kinds is None and row[1] not in every))
            ],
            every,
        )
        if id is not None:
            found = [c for c in found if concerns(c, every.get(c.kind), id)]
        reached = known[-1][0] if known else after
        if len(rows) < limit and len(known) == len(rows):
            reached = max(reached, self._head())
        return Stretch(tuple(found), reached)

    def _reaches(self, after: int) -> None:
        floor = horizon(self.tx)
        if after < floor:
            raise Trimmed(
                f"the journal begins after {floor} by now, and {after} was asked for: "
                f"read the store as of {floor} (store.as_of), and go on from {floor}; "
                f"a named follower does so by journal.advance(name, {floor})"
            )

    def _tables(self, kinds: Iterable[str] | None) -> dict[str, Table]:
        every = {
            table.name: table for tables in self.known.values() for table in tables
        }
        if kinds is None:
            return every
        chosen: dict[str, Table] = {}
        for name in kinds:
            if name in self.known:
                chosen |= {table.name: table for table in self.known[name]}
            elif name in every:
                chosen[name] = every[name]
            else:
                names = ", ".join(sorted({*self.known, *every}))
                raise Refused(f"there is no kind {name!r}; there are: {names}")
        return chosen
