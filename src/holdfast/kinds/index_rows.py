"""Rows of the index: what is known of a folder's files, and keeping what was read.

Answers for: the rows of files, of what they hold, and of what that is found by.
Leaves to others: reading files (`runtime/index`), finding compositions (`index`).
Always holds: what was read takes the place of exactly the row that it was compared
with: who comes later with something older finds another revision, and changes nothing.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from holdfast import codec
from holdfast.engine import Row, Told, Transaction
from holdfast.kinds.index_drafts import Draft
from holdfast.kinds.index_records import Dependency
from holdfast.kinds.index_versions import place_of_version

READER = 1
"""Raised whenever the same file would be read as something else."""
CHANGED = "index:changed"
"""The event of a scan that changed something."""
DROPPED_AT_ONCE = 400
"""So many files of a folder that is removed go in one transaction."""
_AT_ONCE = 2_000
Stamp: TypeAlias = tuple[int | None, int | None, int | None, int | None]
_NO_STAMP: Stamp = (None, None, None, None)
_READER, _REVISION, _PROBLEM = 5, 6, 8
"""Where these stand in a row of `composition_seen`, after a path and a stamp."""
_NAMED, _NAME = 2, 3
"""Where these stand in a row of `composition_files_at`, after a path and a revision."""


class FolderRow(msgspec.Struct, frozen=True):
    """A folder, as a scan knows it; it is gone where no row has number and path."""

    number: int
    path: str
    problem: str | None


class FileRow(msgspec.Struct, frozen=True, gc=False):
    """What is known of a file; `revision` is 0 where nothing is."""

    revision: int = 0
    digest: str | None = None
    problem: str | None = None


_UNKNOWN = FileRow()


class FilePut(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What a file's row is to be: `was` is the revision that it was compared with.

    With `kept`, what it holds is as it was, and it merely looks otherwise.
    """

    path: str
    was: int
    stamp: Stamp | None
    digest: str | None
    draft: Draft | None = None
    kind: str | None = None
    problem: str | None = None
    line: int | None = None
    kept: bool = False


class FolderChanges(msgspec.Struct, frozen=True):
    """What one scan of a folder came to."""

    added: int
    updated: int
    removed: int


def every_folder(tx: Transaction, owner: str) -> Iterator[FolderRow]:
    """The folders of an owner, in order."""
    after = 0
    while rows := tx.all(
        "composition_folder_every", owner=owner, after=after, limit=_AT_ONCE
    ):
        yield from (FolderRow(*row) for row in rows)
        after = rows[-1][0]


class Known:
    """What is known of a folder's files, by their paths."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self.broken: set[str] = set()
        """Those that hold no composition."""

    def take(self, rows: Sequence[Row]) -> None:
        """Know some more: rows of `known_page`."""
        self._rows.update((row[0], row) for row in rows)
        self.broken.update(row[0] for row in rows if row[_PROBLEM] is not None)

    def looks(self, path: str) -> Stamp | None:
        """How a file looked when it was read, if that tells whether it has changed."""
        row = self._rows.get(path)
        return None if row is None or row[_READER] != READER else row[1:_READER]

    def row(self, path: str) -> FileRow:
        """What is known of one file."""
        row = self._rows.get(path)
        if row is None:
            return _UNKNOWN
        if row[_READER] != READER:
            return FileRow(row[_REVISION])
        return FileRow(*row[_REVISION:])

    @property
    def revisions(self) -> dict[str, int]:
        """The revision of every file that is known."""
        return {path: row[_REVISION] for path, row in self._rows.items()}


def known_page(
    tx: Transaction, owner: str, folder: int, after: str, limit: int = _AT_ONCE
) -> list[Row]:
    """Rows of a folder's files after a path: as many as are read at once."""
    known = {"owner": owner, "folder": folder}
    return tx.all("composition_seen", after=after, limit=limit, **known)


def emptied(tx: Transaction, owner: str, path: str) -> int:
    """Leave out some of a folder's files; how many, and none when it is empty."""
    row = tx.one("composition_folder_get", owner=owner, path=path)
    if row is None:
        return 0
    rows = FolderRows(tx, owner, FolderRow(row[0], path, None))
    page = known_page(tx, owner, row[0], "", DROPPED_AT_ONCE)
    return rows.drop([(known[0], known[_REVISION]) for known in page])


def whole_page(rows: Sequence[Row]) -> bool:
    """Whether more may come after these rows."""
    return len(rows) == _AT_ONCE


class FolderRows:
    """The rows of one folder, within a transaction. False where it is not there."""

    def __init__(self, tx: Transaction, owner: str, folder: FolderRow) -> None:
        self._tx = tx
        self._known = {"owner": owner, "folder": folder.number}
        tx.lock("index", "folders")
        row = tx.one("composition_folder_get", owner=owner, path=folder.path)
        self.there = row is not None and row[0] == folder.number
        self._type = row[1] if row is not None else None

    def put(self, files: Sequence[FilePut]) -> list[FilePut]:
        """Keep what was read; gives what was kept: not where others changed a row."""
        if not self.there:
            return []
        at = self._at([file.path for file in files])
        kept = [file for file in files if _revision(at.get(file.path)) == file.was]
        anew = [file for file in kept if not file.kept]
        self._forget([at[file.path] for file in anew if file.path in at])
        for name, rows in (
            ("composition_file_touch", (self._looks(f) for f in kept if f.kept)),
            ("composition_file_put", (self._file(f, at.get(f.path)) for f in anew)),
            ("composition_add", self._held(anew)),
            ("composition_link_add", self._links(anew)),
        ):
            self._tx.put_each(name, rows)
        return kept

    def drop(self, files: Sequence[tuple[str, int]]) -> int:
        """Leave out files by path and revision; how many went, by this revision."""
        if not self.there:
            return 0
        at = self._at([path for path, _ in files])
        gone = [path for path, was in files if path in at and at[path][1] == was]
        self._forget([at[path] for path in gone])
        dropped = ({**self._known, "path": path} for path in gone)
        self._tx.put_each("composition_file_drop", dropped)
        return len(gone)

    def note(
        self, problem: str | None, changes: FolderChanges | None, path: str
    ) -> None:
        """Say what came of looking through the folder; tell it if something changed."""
        if not self.there:
            return
        self._tx.put("composition_folder_note", problem=problem, **self._known)
        if changes is not None:
            data = {"folder": path, **msgspec.structs.asdict(changes)}
            self._tx.tell(Told(CHANGED, data))

    def _at(self, paths: list[str]) -> dict[str, Row]:
        """The rows of some files, of which there need not be any."""
        text = codec.text_of(paths)
        rows = self._tx.all("composition_files_at", paths=text, **self._known)
        return {row[0]: row for row in rows}

    def _forget(self, rows: Collection[Row]) -> None:
        """Leave out what some files held."""
        held = [row for row in rows if row[_NAME] is not None]
        links = (link for row in held for link in self._linked_by(row))
        self._tx.put_each("composition_link_drop", links)
        dropped = ({**self._known, "path": row[0]} for row in held)
        self._tx.put_each("composition_drop", dropped)

    def _linked_by(self, row: Row) -> Iterator[dict[str, Any]]:
        path, _, _, name, place, type, tags, needs = row
        where = {**self._known, "name": name, "place": place, "path": path}
        needed = [name for name, _ in codec.decode(needs)]
        return _linked(where, type, codec.decode(tags), needed)

    def _looks(self, file: FilePut) -> dict[str, Any]:
        size, modified, changed, inode = file.stamp or _NO_STAMP
        return {
            **self._known,
            "path": file.path,
            "revision": max(self._tx.now, file.was + 1),
            "reader": READER,
            "size_bytes": size,
            "modified_ns": modified,
            "changed_ns": changed,
            "inode": inode,
        }

    def _file(self, file: FilePut, was: Row | None) -> dict[str, Any]:
        found = self._looks(file)
        found["digest"] = file.digest
        found["kind"] = file.kind
        found["problem"] = file.problem
        found["line"] = file.line
        found["named"] = was and was[_NAMED] if file.draft is None else file.draft.name
        return found

    def _held(self, files: Iterable[FilePut]) -> Iterator[dict[str, Any]]:
        for file in files:
            draft = file.draft
            if draft is None:
                continue
            yield {
                **self._known,
                "path": file.path,
                "name": draft.name,
                "version": draft.version,
                "place": place_of_version(draft.version),
                "type": draft.type or self._type,
                "description": draft.description,
                "tags": codec.text_of(list(draft.tags)),
                "needs": _needs(draft.dependencies),
                "digest": file.digest,
                "now": self._tx.now,
                "words": draft.words,
                "content": draft.content,
            }

    def _links(self, files: Iterable[FilePut]) -> Iterator[dict[str, Any]]:
        for file in files:
            draft = file.draft
            if draft is None:
                continue
            where = {
                **self._known,
                "name": draft.name,
                "place": place_of_version(draft.version),
                "path": file.path,
            }
            needed = [needed.name for needed in draft.dependencies]
            yield from _linked(where, draft.type or self._type, draft.tags, needed)


def _revision(row: Row | None) -> int:
    return 0 if row is None else row[1]


def _needs(dependencies: Sequence[Dependency]) -> str | None:
    return codec.text_of([[one.name, one.version] for one in dependencies])


def _linked(
    where: dict[str, Any], type: str | None, tags: Iterable[str], needs: Iterable[str]
) -> Iterator[dict[str, Any]]:
    if type is not None:
        yield {**where, "what": "type", "value": type}
    for tag in tags:
        yield {**where, "what": "tag", "value": tag}
    for need in needs:
        yield {**where, "what": "need", "value": need}
