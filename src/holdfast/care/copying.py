"""Copying: a store as it is, journal and history included, to another place.

Answers for: the order of a copy: all rows, then what has changed meanwhile, then one
moment of the source that the target is compared with, table by table.
Leaves to others: reading a table in pages (`pages`), what stands beside a copy while it
is made (`filling`), putting rows past the journal (each engine's loader).
Always holds: rows keep their numbers and changes their `seq`, so it is the same store
at another place; until all is there and was compared, nobody can open the target;
each step is a transaction, after which the same copy goes on.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeAlias, TypeVar

import msgspec

from holdfast.care.changes import Changes, changes_after
from holdfast.care.filling import Filling, Said, said_in, versions_in
from holdfast.care.pages import (
    CopiedTable,
    Pages,
    Stride,
    columns_of,
    digest,
    encoded,
    pages,
)
from holdfast.clock import SystemClock
from holdfast.declared import registry
from holdfast.edges import wrong_type
from holdfast.engine import Engine, Options, Terms, Transaction, Unit
from holdfast.errors import CannotOpen, StorageFailed, WrongType
from holdfast.limits import Limits
from holdfast.moments import standing_at
from holdfast.schema import copied
from holdfast.schema.copied import Copied
from holdfast.targets import open_engine

T = TypeVar("T")
Progress: TypeAlias = Callable[[str, int, int], None]
_GLANCE_SECONDS = 0.2
"""How often a copy that follows asks whether it is to end."""
_EVERYONE = Terms(every_owner=True)


class CopyReport(msgspec.Struct, frozen=True):
    """What was copied, and compared: `head` is the newest change at the target."""

    source: str
    target: str
    id: str
    head: int
    seconds: float
    tables: tuple[CopiedTable, ...]

    @property
    def rows(self) -> int:
        """Rows over all tables, the journal's and the history's included."""
        return sum(table.rows for table in self.tables)

    @property
    def bytes(self) -> int:
        """Bytes over all tables, as they were compared."""
        return sum(table.bytes for table in self.tables)


def copy(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    follow: bool = False,
    until: Callable[[], bool] | None = None,
    replace: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> CopyReport:
    """Copy a whole store to another place, on any engine, journal and history included.

    The source may be written to meanwhile; the target is what the source was at one
    moment near the end, and is compared with it by counts and digests. A copy that was
    interrupted goes on when it is run again. With `follow` the target is kept current
    until `until()` is true (without it: until interrupted), then compared and finished.
    `replace` empties a target that has something in it. `on_progress(what, done, all)`
    is called with rows.

    Raises `CannotOpen`, `Refused` (the target has data, or is the source), `TooNew`,
    `NeedsMigration`, `Trimmed` (what is still to be copied), `StorageFailed` (the two
    differ at the end).
    """
    if until is not None and not follow:
        raise WrongType("until: it is asked only while a copy follows: add follow=True")
    began = time.monotonic()
    with both_open(place_of(source), place_of(target)) as (reading, writing, filling):
        making = _Copying(reading, writing, filling, on_progress)
        making.begin(replace=replace)
        making.fill()
        if follow:
            making.follow(until or _never)
        making.catch_up()
        tables = making.finish()
        return CopyReport(
            source=making.source.place,
            target=making.target.place,
            id=making.said["id"],
            head=making.head,
            seconds=time.monotonic() - began,
            tables=tables,
        )


def _never() -> bool:
    return False


def place_of(value: str | os.PathLike[str]) -> str:
    """A path or a URL, of a store that lasts."""
    if not isinstance(value, (str, os.PathLike)):
        raise wrong_type("source and target", "a path or a URL", value)
    place = os.fspath(value)
    if place == ":memory:":
        raise CannotOpen(
            ":memory: is another store each time it is opened: name a file"
        )
    return place


@contextmanager
def both_open(
    source: str, target: str, admit: Callable[[Engine], object] = lambda _: None
) -> Iterator[tuple[Engine, Engine, Filling]]:
    """Both stores open, the source first: no target is made without one that passes."""
    parts = (*registry().parts(), copied.statements(registry().parts()))
    options = Options(
        durability="power-loss",
        read_only=True,
        migrate="check",
        limits=Limits(),
        clock=SystemClock(),
    )
    filling = msgspec.structs.replace(options, read_only=False, filling=True)
    with ExitStack() as stack:
        reading = open_engine(source, parts, options)
        stack.callback(reading.close)
        admit(reading)
        writing = open_engine(target, parts, filling)
        stack.callback(writing.close)
        loader = writing.loader()
        stack.callback(loader.close)
        yield reading, writing, Filling(writing, loader)


class _Copying:
    """One run of a copy."""

    def __init__(
        self, source: Engine, target: Engine, filling: Filling, tell: Progress | None
    ) -> None:
        self.source = source
        self.target = target
        self.said: Said = {}
        self.head = 0
        self._filling = filling
        self._tell = tell or (lambda *_: None)
        self._tables = copied.copied(registry().parts())
        self._stride = Stride()
        self._stamped = 0
        """The last moment that the target has."""

    def begin(self, *, replace: bool) -> None:
        """Claim the target for this copy, or refuse it; goes on with an older run."""
        self.said = self._read(said_in)
        self._filling.refuse_strange(self.source.place, self._read(versions_in))
        newest = self._read(_newest)
        self._filling.claim(self.said["id"], newest, self._tables, replace=replace)

    def fill(self) -> None:
        """Copy every row as it is when its turn comes; what changes, comes later."""
        if self._filling.reached is None:
            for table in self._tables:
                if table.appended or table.journalled:
                    self._fill(table)
            self._filling.reach(self._filling.begun)
        self._stamped = self._filling.read(_newest)

    def _fill(self, table: Copied) -> None:
        """Copy a table's rows up to those that are there by now.

        Of the history, what was there when the copy was begun: all of that stays as it
        is. A row that is newer, or has changed since, is named by a later change.
        """
        last, count = self._read(lambda tx: _extent(tx, table))
        upto = self._filling.begun if table.appended else last
        source = Pages(table, self._filling.last(table))
        done = self._filling.count(table)
        while rows := self._read(source.next):
            place = source.columns.index(table.key[0])
            kept = [row for row in rows if row[place] <= upto]
            self._filling.add(table, source.columns, kept)
            done += len(kept)
            self._tell(table.name, done, max(count, done))
            if len(kept) < len(rows):
                break
            source.stride.measure(len(rows), len(encoded(rows)))

    def follow(self, until: Callable[[], bool]) -> None:
        """Bring over what is written to the source, as it is, until told to stop."""
        wake = threading.Event()
        stop = self.source.watch(wake.set)
        try:
            while not until():
                wake.clear()
                self.catch_up()
                wake.wait(_GLANCE_SECONDS)
        finally:
            stop()

    def catch_up(self) -> None:
        """Bring over what has changed, until little is left."""
        while self._apply(self._read(self._changes)):
            pass

    def finish(self) -> tuple[CopiedTable, ...]:
        """Bring the target to one moment of the source, compare, and open it to all."""
        found, orders, oldest = self._read(self._last_round)
        self._filling.trim(self._tables, oldest)
        there = self._filling.read(
            lambda tx: [
                digest(tx, table, orders[table.name], self._telling("comparing", want))
                for table, want in zip(self._tables, found, strict=True)
            ]
        )
        for wanted, have in zip(found, there, strict=True):
            if wanted != have:
                raise StorageFailed(
                    f"{self.target.place}: table {wanted.name} is not what the source "
                    f"has ({have.rows:,} rows of {wanted.rows:,}, or others); the "
                    "source is as it was: begin again with replace"
                )
        self._filling.finish(self.said)
        return tuple(found)

    def _last_round(
        self, tx: Transaction
    ) -> tuple[list[CopiedTable], dict[str, tuple[str, ...]], int]:
        """On one snapshot: what is left, what is not journalled, and the digests."""
        while self._apply(self._changes(tx)):
            pass
        self.said = said_in(tx)
        ((self.head,),) = tx.all("copy_last_change") or [(0,)]
        found, orders = [], {}
        for table in self._tables:
            name = table.name
            orders[name] = columns_of(tx, name)
            ((count,),) = tx.all(f"copy_count_{name}")
            reading = CopiedTable(name, count, 0, "")
            one = digest(tx, table, (), self._telling("reading", reading))
            found.append(one)
            if not table.appended and not table.journalled:
                self._renew(tx, table, one, orders[name])
        (oldest,) = tx.one("copy_oldest") or (0,)
        return found, orders, oldest

    def _renew(
        self,
        tx: Transaction,
        table: Copied,
        wanted: CopiedTable,
        order: tuple[str, ...],
    ) -> None:
        """Copy a table that is not journalled, unless it is the same already."""
        have = self._filling.read(lambda target: digest(target, table, order))
        if have != wanted:
            rows = ((found.columns, rows) for found, rows, _ in pages(tx, table))
            self._filling.renew(table, rows)

    def _changes(self, tx: Transaction) -> Changes | None:
        after = self._filling.reached
        assert after is not None
        standing_at(tx, after)
        return changes_after(tx, after, self._stride.rows, self._tables)

    def _apply(self, found: Changes | None) -> bool:
        """Bring changes over in one transaction; whether more are waiting.

        The newest changes may be of no moment yet, and be stamped later: they are
        brought over again the next time.
        """
        after = self._filling.reached
        assert after is not None
        if found is None:
            if after > self._stamped:
                self._filling.reach(self._stamped)
            return False
        self._stamped = found.stamped or self._stamped
        reached = found.upto if found.more else self._stamped
        self._filling.apply(after, found.upto, reached, self._tables, found.tables)
        self._stride.measure(found.count, found.size)
        self._tell("changes", found.upto, found.head)
        return found.more

    def _telling(self, what: str, table: CopiedTable) -> Callable[[int], None]:
        return lambda done: self._tell(
            f"{what} {table.name}", done, max(table.rows, done)
        )

    def _read(self, work: Callable[[Transaction], T]) -> T:
        return self.source.read(Unit(work, _EVERYONE, SystemClock()))


def _newest(tx: Transaction) -> int:
    """The newest moment; 0 if there is none."""
    row = tx.one("journal_newest")
    return row[0] if row else 0


def _extent(tx: Transaction, table: Copied) -> tuple[int, int]:
    """The last number in a table, and how many rows it has."""
    last = tx.one(f"copy_last_{table.name}")
    ((count,),) = tx.all(f"copy_count_{table.name}")
    return last[0] if last else 0, count
