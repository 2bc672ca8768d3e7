"""Forking: a store as another one was at a moment, its own from there on.

Answers for: the order of a fork: all that has a past as it was then, with the journal
and the images up to then; what has none, as far as it can be told; comparing.
Leaves to others: what was at a moment (`pages`, `schema.copied`), the target while it
is filled (`filling`).
Always holds: a moment does not change, so each page is read by itself, and the source
may be written to; rows keep their numbers and changes their `seq`, so what was before
the moment can be read in the fork as in the source; a fork has an id of its own.
"""

import os
import time
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from holdfast import codec, edges
from holdfast.care.copying import CopyReport, Progress, both_open, place_of
from holdfast.care.filling import Filling, Said, said_in, versions_in
from holdfast.care.pages import (
    CopiedTable,
    Digest,
    Pages,
    PagesThen,
    digest,
    encoded,
)
from holdfast.clock import SystemClock, uuid7
from holdfast.declared import registry
from holdfast.engine import Engine, Row, Terms, Transaction, Unit
from holdfast.errors import StorageFailed
from holdfast.limits import Limits
from holdfast.moments import moment_of, newest, standing_at
from holdfast.schema import copied
from holdfast.schema.copied import Copied

T = TypeVar("T")
_EVERYONE = Terms(every_owner=True)
_TAGS = ("owner", "tag", "created_at", "session")


def fork(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    as_of: int | datetime | str | None = None,
    *,
    replace: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> CopyReport:
    """Make a new store as another one was at a moment, and its own from there on.

    `as_of` is a moment or a time; None stands for now. The fork has the past up to
    then too, and an id of its own. Leases and followers' places are left behind. The
    source stays as it is, and may be written to meanwhile; either may be on any engine.
    One that was interrupted is begun anew when it is run again; until it is done,
    nobody can open it. `replace` empties a target that has something in it.
    `on_progress(what, done, all)` is called with rows.

    Raises `CannotOpen`, `Refused` (the target has data, or is the source; the moment
    lies ahead), `Trimmed`, `TooNew`, `NeedsMigration`, `StorageFailed` (what was put
    in is not what was read).
    """
    began = time.monotonic()
    asked = None if as_of is None else edges.moment_of(as_of, "as_of", Limits())
    places = place_of(source), place_of(target)
    with both_open(*places, lambda found: _read(found, _moment, asked)) as (
        reading,
        writing,
        filling,
    ):
        making = _Forking(reading, filling, asked, on_progress or (lambda *_: None))
        making.begin(replace=replace)
        making.fill()
        id = making.finish(writing.place)
        return CopyReport(
            source=reading.place,
            target=writing.place,
            id=id,
            head=making.moment,
            seconds=time.monotonic() - began,
            tables=tuple(making.found),
        )


class _Forking:
    """One run of a fork."""

    def __init__(
        self,
        source: Engine,
        filling: Filling,
        asked: int | datetime | None,
        tell: Progress,
    ) -> None:
        self.found: list[CopiedTable] = []
        self._source = source
        self._filling = filling
        self._tell = tell
        self._tables = copied.copied(registry().parts())
        self._orders: dict[str, tuple[str, ...]] = {}
        self.moment, self._at = _read(source, _moment, asked)

    def begin(self, *, replace: bool) -> None:
        """Claim the target for this fork, or refuse it."""
        self._filling.refuse_strange(self._source.place, self._read(versions_in))
        id = self._read(said_in)["id"]
        self._filling.claim(
            id,
            self.moment,
            self._tables,
            replace=replace,
            anew=f"a fork of {id}",
        )

    def fill(self) -> None:
        """Put in every row that there was."""
        for table in self._tables:
            if table.appended or table.journalled:
                self._fill(table, PagesThen(table, self.moment), lambda _: True)
            elif table.name == "once":
                self._fill(table, Pages(table), self._was_run)
        self._filling.sweep_later()
        self._filling.make_again()

    def finish(self, place: str) -> str:
        """Compare, and open the fork to all; its id."""
        tables = {table.name: table for table in self._tables}
        for wanted in self.found:
            if self._there(tables[wanted.name]) != wanted:
                raise StorageFailed(
                    f"{place}: table {wanted.name} is not what was read from the "
                    "source, which is as it was: fork again with replace"
                )
        said, oldest = self._read(self._reached)
        self._filling.trim(self._tables, oldest)
        now, chance = SystemClock().now_us(), SystemClock().chance()
        own = {
            "id": uuid7(now, chance),
            "created_at": str(now),
            "forked_from": f"{said['id']} {self.moment}",
        }
        self._filling.finish({**said, **own})
        return own["id"]

    def _fill(
        self, table: Copied, pages: Pages, wanted: Callable[[dict[str, object]], bool]
    ) -> None:
        taken = Digest(table.name)
        ((count,),) = self._read(lambda tx: tx.all(f"copy_count_{table.name}"))
        while rows := self._read(pages.next):
            kept = [
                row
                for row in rows
                if wanted(dict(zip(pages.columns, row, strict=True)))
            ]
            self._filling.add(table, pages.columns, kept)
            if table.name == "session":
                self._tag(pages.columns, kept)
            text = encoded(kept)
            taken.take(pages.columns, kept, text)
            pages.stride.measure(len(rows), len(text))
            self._tell(table.name, taken.rows, max(count, taken.rows))
        if taken.rows:
            self._tell(table.name, taken.rows, taken.rows)
        self._orders[table.name] = pages.columns
        self.found.append(taken.table())

    def _tag(self, columns: tuple[str, ...], rows: list[Row]) -> None:
        """Let sessions be found by the tags that they had."""
        wanted = [columns.index(name) for name in ("owner", "tags", "created_at", "no")]
        tags = []
        for row in rows:
            owner, text, created_at, no = (row[place] for place in wanted)
            tags += [(owner, tag, created_at, no) for tag in codec.decode(text)]
        table = next(table for table in self._tables if table.name == "session_tag")
        self._filling.add(table, _TAGS, tags)

    def _was_run(self, row: dict[str, object]) -> bool:
        """Whether a keyed run was before the moment, as far as its time tells."""
        at = row["at"]
        assert isinstance(at, int)
        return at <= self._at

    def _there(self, table: Copied) -> CopiedTable:
        order = self._orders.get(table.name, ())
        return self._filling.read(lambda tx: digest(tx, table, order))

    def _reached(self, tx: Transaction) -> tuple[Said, int]:
        """What the source says of itself, and its oldest change."""
        standing_at(tx, self.moment)
        (oldest,) = tx.one("copy_oldest") or (0,)
        return said_in(tx), oldest

    def _read(self, work: Callable[[Transaction], T]) -> T:
        return _read(self._source, work)


def _read(source: Engine, work: Callable[..., T], *args: object) -> T:
    return source.read(Unit(lambda tx: work(tx, *args), _EVERYONE, SystemClock()))


def _moment(tx: Transaction, asked: int | datetime | None) -> tuple[int, int]:
    """The moment that is asked for, and its time."""
    moment = newest(tx) if asked is None else moment_of(tx, asked)
    row = tx.one("journal_moment", seq=moment) if moment else None
    return moment, row[1] if row else 0
