"""Scanning: bringing the index of compositions up to what is in a folder.

Answers for: which files have changed (by how they look, then by the hash of their
bytes), taking them in, some hundred in a transaction; leaving out those that are gone.
Leaves to others: finding and reading files (`composition_files`), rows (`index_rows`).
Always holds: a scan that ends, however it ends, leaves the index right as far as it has
come, and the next one goes on; two at once, in any processes, do not undo each other; a
scan that finds nothing changed writes nothing.
"""

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec

from holdfast.engine import Terms, Transaction
from holdfast.errors import NotFound, TooLarge
from holdfast.kinds.index_rows import (
    DROPPED_AT_ONCE,
    FilePut,
    FileRow,
    FolderChanges,
    FolderRow,
    FolderRows,
    Known,
    emptied,
    every_folder,
    known_page,
    whole_page,
)
from holdfast.runtime.index.composition_files import Found, Reading, Walk, read_file
from holdfast.runtime.index.composition_yaml import loader

if TYPE_CHECKING:
    from holdfast.core import Core

T = TypeVar("T")
_FILES_AT_ONCE = 400
_CHARACTERS_AT_ONCE = 2_000_000
_ROUNDS = 3
"""So often a folder is looked through, where others keep changing the same rows."""
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR}


class ScanReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a scan came to: `files` were there, of which `broken` hold no composition.

    `added`, `updated` and `removed` are files that changed the index, `unchanged` those
    that did not.
    """

    folders: tuple[str, ...]
    files: int
    added: int
    updated: int
    removed: int
    unchanged: int
    broken: int
    seconds: float

    @property
    def changed(self) -> bool:
        """Whether the index is another than before."""
        return bool(self.added or self.updated or self.removed)


def scan(
    core: "Core",
    terms: Terms,
    path: str | None = None,
    *,
    thorough: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> ScanReport:
    """Look through every folder of an owner, or one of them.

    Raises `NotFound` (a folder that is not in the index), `Refused` (YAML without
    PyYAML), `OSError` (this process has too many files open).
    """
    began = time.monotonic()
    store = _Store(core, terms)
    folders = store.read(lambda tx: list(every_folder(tx, terms.owner)))
    if path is not None:
        folders = [folder for folder in folders if folder.path == path]
        if not folders:
            raise NotFound("folder of compositions", path)
    total = _Counts()
    for folder in folders:
        if not stopped():
            _Scan(store, folder, thorough, stopped).run(total)
    return ScanReport(
        folders=tuple(folder.path for folder in folders),
        **msgspec.structs.asdict(total),
        seconds=time.monotonic() - began,
    )


def empty(core: "Core", terms: Terms, path: str) -> None:
    """Leave a folder's compositions out, some hundred in a transaction."""
    gone = DROPPED_AT_ONCE
    while gone == DROPPED_AT_ONCE:
        unit = core.unit(lambda tx: emptied(tx, terms.owner, path), terms)
        gone = core.engine.write(unit)


class _Counts(msgspec.Struct):
    files: int = 0
    added: int = 0
    updated: int = 0
    removed: int = 0
    unchanged: int = 0
    broken: int = 0


class _Store:
    """The store, for work on the rows of one owner."""

    def __init__(self, core: "Core", terms: Terms) -> None:
        self.limits = core.limits
        self.owner = terms.owner
        self._core = core
        self._terms = terms
        self._own: set[tuple[int, int]] = set()
        for suffix in ("", "-wal", "-shm", "-journal", "-events", "-events-wal"):
            try:
                there = os.stat(core.engine.place + suffix)  # noqa: PTH116 - a text
            except (OSError, ValueError):
                continue
            self._own.add((there.st_dev, there.st_ino))

    def own(self, there: os.stat_result) -> bool:
        """Whether a file is the store's: to close one again would drop its locks."""
        return (there.st_dev, there.st_ino) in self._own

    def read(self, work: Callable[[Transaction], T]) -> T:
        return self._core.engine.read(self._core.unit(work, self._terms))

    def write(self, work: Callable[[FolderRows], T], folder: FolderRow) -> T:
        owner = self.owner
        unit = self._core.unit(
            lambda tx: work(FolderRows(tx, owner, folder)), self._terms
        )
        return self._core.engine.write(unit)


class _Scan:
    """One folder, looked through."""

    def __init__(
        self,
        store: _Store,
        folder: FolderRow,
        thorough: bool,
        stopped: Callable[[], bool],
    ) -> None:
        self._store = store
        self._folder = folder
        self._thorough = thorough
        self._stopped = stopped
        self._changes = _Counts()
        self._passed: list[str] = []
        """What somebody else changed meanwhile."""

    def run(self, total: _Counts) -> None:
        """Look it through, and again where others came between."""
        for _ in range(_ROUNDS):
            counts = _Counts()
            self._passed = []
            problem = self._look(counts)
            if not self._passed:
                break
        done = self._changes
        changes = FolderChanges(done.added, done.updated, done.removed)
        changed = any(msgspec.structs.astuple(changes))
        if changed or problem != self._folder.problem:
            told, path = changes if changed else None, self._folder.path
            self._store.write(lambda rows: rows.note(problem, told, path), self._folder)
        for name in ("files", "unchanged", "broken"):
            setattr(total, name, getattr(total, name) + getattr(counts, name))
        for name in ("added", "updated", "removed"):
            setattr(total, name, getattr(total, name) + getattr(done, name))

    def _look(self, counts: _Counts) -> str | None:
        """Look through the folder once; what is wrong with it, if anything."""
        known = self._known()
        walk = Walk(self._folder.path, self._store.limits, self._store.own)
        seen: set[str] = set()
        problem = None
        try:
            changed = self._changed(walk, known, seen, counts)
        except TooLarge as error:
            return _as_known(known, counts, str(error))
        except OSError as error:
            problem = f"cannot be looked through: {error.strerror}"
            if error.errno not in _NOT_THERE:
                return _as_known(known, counts, problem)
            changed, seen = [], set()
        if any(not found.file.lower().endswith(".json") for found in changed):
            loader()
        self._take(changed, known, counts)
        self._drop(known, seen, walk.unknown)
        return problem or "; ".join(walk.problems)[:2_000] or None

    def _known(self) -> Known:
        known, after = Known(), ""
        owner, number = self._store.owner, self._folder.number
        while True:
            page = partial(known_page, owner=owner, folder=number, after=after)
            rows = self._store.read(page)
            known.take(rows)
            if not whole_page(rows):
                return known
            after = rows[-1][0]

    def _changed(
        self, walk: Walk, known: Known, seen: set[str], counts: _Counts
    ) -> list[Found]:
        """The files that look otherwise than they are known."""
        changed = []
        looks = known.looks
        for found in walk:
            path = found.path
            if path in seen:  # another's, whose name cannot be shown as it is
                continue
            seen.add(path)
            if found.flaw is not None:
                same = known.row(path).problem == found.flaw.what
            else:
                same = not self._thorough and looks(path) == found.stamp
            if not same:
                changed.append(found)
        counts.files = len(seen)
        counts.unchanged = len(seen) - len(changed)
        unchanged = seen.difference(found.path for found in changed)
        counts.broken = len(known.broken & unchanged)
        return changed

    def _take(self, changed: Sequence[Found], known: Known, counts: _Counts) -> None:
        for puts in _batched(self._read(changed, known, counts)):
            kept = self._store.write(partial(FolderRows.put, files=puts), self._folder)
            done = {put.path for put in kept}
            self._passed += [put.path for put in puts if put.path not in done]
            for put in kept:
                if put.kept:
                    counts.unchanged += 1
                elif put.was:
                    self._changes.updated += 1
                else:
                    self._changes.added += 1

    def _read(
        self, changed: Sequence[Found], known: Known, counts: _Counts
    ) -> Iterator[FilePut]:
        limits = self._store.limits
        for found in changed:
            if self._stopped():
                return
            row = known.row(found.path)
            try:
                read = read_file(found, row.digest, limits, time.time_ns())
            except FileNotFoundError:  # since it was found
                self._passed.append(found.path)
                continue
            same = _same(read, row)
            if read.flaw is not None or (same and row.problem is not None):
                counts.broken += 1
            if same and known.looks(found.path) == read.stamp:
                counts.unchanged += 1
                continue
            yield _put(read, row, same=same)

    def _drop(self, known: Known, seen: set[str], unknown: Sequence[str]) -> None:
        gone = [
            (path, revision)
            for path, revision in known.revisions.items()
            if path not in seen and not path.startswith(tuple(unknown))
        ]
        for start in range(0, len(gone), _FILES_AT_ONCE):
            if self._stopped():
                return
            some = gone[start : start + _FILES_AT_ONCE]
            dropped = self._store.write(
                partial(FolderRows.drop, files=some), self._folder
            )
            self._changes.removed += dropped


def _as_known(known: Known, counts: _Counts, problem: str) -> str:
    """What was known of a folder stays, which could not be looked through."""
    counts.files = counts.unchanged = len(known.revisions)
    counts.broken = len(known.broken)
    return problem


def _same(read: Reading, row: FileRow) -> bool:
    """Whether a file holds what is known of it, though it may look otherwise."""
    if read.flaw is None:
        return read.draft is None
    told = row.problem, row.digest
    return row.revision > 0 and told == (read.flaw.what, read.digest)


def _put(read: Reading, row: FileRow, *, same: bool) -> FilePut:
    flaw = read.flaw
    return FilePut(
        path=read.path,
        was=row.revision,
        stamp=read.stamp,
        digest=read.digest,
        draft=read.draft,
        kind=None if flaw is None else flaw.kind.value,
        problem=None if flaw is None else flaw.what,
        line=None if flaw is None else flaw.line,
        kept=same,
    )


def _batched(puts: Iterator[FilePut]) -> Iterator[list[FilePut]]:
    some: list[FilePut] = []
    size = 0
    for put in puts:
        some.append(put)
        size += len(put.draft.content) if put.draft is not None else 0
        if len(some) == _FILES_AT_ONCE or size >= _CHARACTERS_AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some
