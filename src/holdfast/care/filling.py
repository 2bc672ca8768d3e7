"""Filling: the target of a copy, from its first row to the moment when it is a store.

Answers for: what the target says of itself meanwhile, who may fill it, taking it over
from an earlier run, each step of the way as a transaction.
Leaves to others: what is put in, and in what order (`copying`).
Always holds: while it says `copying`, every open is refused, also that of a process
which had it open before; of two runs, the one that began last goes on alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

from holdfast.care.pages import Place
from holdfast.clock import SystemClock
from holdfast.declared import registry
from holdfast.engine import Engine, Loader, Row, Terms, Transaction, Unit
from holdfast.engines.lines import format_said, lines_of
from holdfast.errors import Refused
from holdfast.schema.copied import Copied
from holdfast.schema.format import COPYING

T = TypeVar("T")
Said: TypeAlias = Mapping[str, str]
Filled: TypeAlias = tuple[Copied, tuple[str, ...], Sequence[Row]]
_RUN, _BEGUN, _REACHED = "copying_run", "copying_begun", "copying_reached"
_NO_FORMAT = {"reads_from": "1000000", "writes_from": "1000000"}
"""No holdfast reads or writes this: so one that has the store open, or that knows of no
copies, stays away."""
_GOES_ALONG = (
    "id",
    "created_at",
    "forked_from",
    "journal_floor",
    "journal_keep",
)
"""What a store says wherever it is kept."""
_ONLY_HERE = ("journal_weighed", COPYING, _RUN, _BEGUN, _REACHED)
_LINES_MOST = 10_000


class Filling:
    """The target, open for its loader alone."""

    def __init__(self, target: Engine, loader: Loader) -> None:
        self._target = target
        self._loader = loader
        self._run = SystemClock().chance().to_bytes(16, "big").hex()
        self.begun = 0
        """The moment of the source that its rows were copied from on."""
        self.reached: int | None = None
        """The change up to which all is there; None while rows are being copied."""

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Look at what is there."""
        return self._target.read(Unit(work, Terms(every_owner=True), SystemClock()))

    def refuse_strange(self, source: str, versions: Mapping[str, int]) -> None:
        """Refuse kinds that this process does not know: a copy would lack them."""
        known = {line.kind: line.version for line in lines_of(registry().parts())}
        there = self.read(versions_in)
        for place, found in ((source, versions), (self._target.place, there)):
            strange = {k for k, version in found.items() if version > known.get(k, 0)}
            if strange:
                raise Refused(
                    f"{place} has kinds that this process does not know, or not their "
                    f"newest tables ({', '.join(sorted(strange))}); nothing was "
                    "copied: declare them (holdfast.kind), and call holdfast.copy"
                )

    def claim(
        self,
        source: str,
        newest: int,
        tables: Sequence[Copied],
        *,
        replace: bool,
        anew: str | None = None,
    ) -> None:
        """Make the target this run's. Raises `Refused`; then nothing was touched.

        `anew` is what it says meanwhile, if it is not a copy that an older run of the
        same may have left, to be gone on with, but is begun anew each time.
        """
        with self._loader.step():
            self._loader.unguard()  # from here on nobody else writes
            said = said_in(self._loader)
            goes_on = said.get(COPYING) == source and not replace and anew is None
            if not goes_on:
                again = anew is not None and said.get(COPYING) == anew
                self._refuse(said, source, tables, replace=replace or again)
                for table in tables:
                    if table.name != "migration":
                        self._loader.run(f"copy_empty_{table.name}")
                for index in registry().indexes:
                    self._loader.run("derived_drop", name=index)
                for name in (_BEGUN, _REACHED):
                    self._loader.run("copy_unsay", name=name)
                said = {_BEGUN: str(newest)}
            self.begun = int(said[_BEGUN])
            reached = said.get(_REACHED)
            self._say({**_NO_FORMAT, COPYING: anew or source, _RUN: self._run})
            self._say({_BEGUN: str(self.begun)})
        self.reached = None if reached is None else int(reached)

    def _refuse(
        self, said: Said, source: str, tables: Sequence[Copied], *, replace: bool
    ) -> None:
        place = self._target.place
        if COPYING not in said and said["id"] == source:
            raise Refused(
                f"{place} is the source itself, or a copy of it that was finished; "
                "nothing was copied: name another target, or remove that copy first"
            )
        if replace:
            return
        if COPYING in said:
            raise Refused(
                f"{place} is a copy of another store that is not all there yet; "
                "nothing was copied: finish that one, or say that it is to be replaced"
            )
        full = [table.name for table in tables if self._has_rows(table)]
        if full:
            raise Refused(
                f"{place} has data already ({', '.join(full)}); nothing was copied: "
                "name another target, or say that it is to be replaced"
            )

    def _has_rows(self, table: Copied) -> bool:
        if table.name == "migration":
            return False
        return bool(self._loader.all(f"copy_first_{table.name}", limit=1))

    def last(self, table: Copied) -> Place | None:
        """The last place that a table was filled to."""
        return self.read(lambda tx: tx.one(f"copy_last_{table.name}"))

    def count(self, table: Copied) -> int:
        """How many rows a table has by now."""
        found: int = self.read(lambda tx: tx.all(f"copy_count_{table.name}"))[0][0]
        return found

    def add(self, table: Copied, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """Put in a page of rows.

        One whose place is taken is left out: who has the place has given it up since,
        and the change by which the other took it is still to come.
        """
        if rows:
            with self._step():
                self._loader.add(table.name, columns, rows)

    def reach(self, seq: int) -> None:
        """Say that all is there up to a change."""
        with self._step():
            self._say({_REACHED: str(seq)})
        self.reached = seq

    def apply(
        self,
        after: int,
        upto: int,
        reached: int,
        tables: Sequence[Copied],
        found: Sequence[Filled],
    ) -> None:
        """Put in some changes with all that belongs to them; `reached` is then reached.

        Whatever is there of them already is taken out first.
        """
        with self._step():
            for table in tables:
                if table.appended:
                    self._loader.run(f"copy_cut_{table.name}", after=after)
            for table, columns, rows in found:
                if table.journalled:
                    self._loader.run(f"copy_drop_{table.name}", after=after, upto=upto)
                if rows:
                    self._loader.add(table.name, columns, rows)
            self._say({_REACHED: str(reached)})
        self.reached = reached

    def renew(
        self, table: Copied, pages: Iterable[tuple[tuple[str, ...], Sequence[Row]]]
    ) -> None:
        """Put in all of a table, for what was there."""
        with self._step():
            self._loader.run(f"copy_empty_{table.name}")
            for columns, rows in pages:
                self._loader.add(table.name, columns, rows)

    def trim(self, tables: Sequence[Copied], oldest: int) -> None:
        """Take out what the source has trimmed meanwhile, up to its oldest change."""
        with self._step():
            for table in tables:
                if table.appended:
                    self._loader.run(f"copy_trim_{table.name}", before=oldest)

    def sweep_later(self) -> None:
        """Remember rows that are out of sight, to be deleted once it is open."""
        with self._step():
            self._loader.run("copy_unswept_sessions")
            self._loader.run("copy_unswept_marks")
            self._loader.run("copy_unswept_tasks")
            self._loader.run("copy_unswept_threads")
            self._loader.run("copy_unswept_jobs")

    def make_again(self) -> None:
        """Put in what has no past, and can be made again from what has."""
        with self._step():
            self._loader.run("copy_schedules_due")
            self._loader.run("turns_again")
            self._loader.run("turns_first")
            self._loader.run("machines_again")

    def finish(self, source: Said) -> None:
        """From here on it is the store, and says so."""
        with self._step():
            self._loader.guard()
            for name in (*_GOES_ALONG, *_ONLY_HERE):
                self._loader.run("copy_unsay", name=name)
            self._say(format_said(source))
            self._say({name: source[name] for name in _GOES_ALONG if name in source})

    @contextmanager
    def _step(self) -> Iterator[None]:
        """A transaction of this run. Raises `Refused` if another has taken over."""
        with self._loader.step():
            if not self._loader.run("copy_still", run=self._run):
                raise Refused(
                    f"{self._target.place} is being copied to by a run that began "
                    "later; this one has stopped, and nothing is lost"
                )
            yield

    def _say(self, said: Said) -> None:
        for name, value in said.items():
            self._loader.run("copy_say", name=name, value=value)


def said_in(tx: Transaction | Loader) -> Said:
    """What a store says of itself."""
    return {str(name): str(value) for name, value in tx.all("copy_said")}


def versions_in(tx: Transaction) -> dict[str, int]:
    """Which version the tables of each kind have."""
    rows = tx.all("copy_first_migration", limit=_LINES_MOST)
    return {str(kind): int(version) for kind, version, _ in rows}
