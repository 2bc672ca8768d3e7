"""Rows of the index: what is known of a folder's files, and keeping what was read.

Answers for: the rows of files, of what they hold, and of what that is found by.
Leaves to others: reading files (`runtime.scanning`), finding compositions (`index`).
Always holds: what was read takes the place of exactly the row that it was compared
with: who comes later with something older finds another revision, and changes nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
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
_AT_ONCE = 2_000
Stamp: TypeAlias = tuple[int | None, int | None, int | None, int | None]
_NO_STAMP: Stamp = (None, None, None, None)


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


class FilePut(msgspec.Struct, frozen=True, eq=False):
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
    """What is known of a folder's files.

    `stamps` has how each looked by its path, where that tells whether it has changed,
    and `rows` its row.
    """

    def __init__(self) -> None:
        self.stamps: dict[str, tuple[Any, ...]] = {}
        self.rows: dict[str, FileRow] = {}

    def take(self, rows: Iterable[Row]) -> None:
        """Know some more."""
        stamps, known = self.stamps, self.rows
        for path, size, modified, changed, inode, revision, reader, *rest in rows:
            if reader != READER:
                known[path] = FileRow(revision)
                continue
            if size is not None:
                stamps[path] = size, modified, changed, inode
            known[path] = FileRow(revision, *rest)


def known_page(tx: Transaction, owner: str, folder: int, after: str) -> list[Row]:
    """Rows of a folder's files after a path: as many as are read at once."""
    known = {"owner": owner, "folder": folder}
    return tx.all("composition_seen", after=after, limit=_AT_ONCE, **known)


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
        kept = [file for file in files if _revision(at[file.path]) == file.was]
        touched = [file for file in kept if file.kept]
        anew = [file for file in kept if not file.kept]
        self._forget((at[file.path], file.path) for file in anew)
        tx, known = self._tx, self._known
        tx.put_each(
            "composition_file_touch", [{**known, **self._looks(f)} for f in touched]
        )
        tx.put_each(
            "composition_file_put",
            [self._file(file, at[file.path]) for file in anew],
        )
        drafts = [(f, f.draft) for f in anew if f.draft is not None]
        tx.put_each("composition_add", [self._held(f, draft) for f, draft in drafts])
        tx.put_each("composition_link_add", self._links(drafts))
        return kept

    def drop(self, files: Sequence[tuple[str, int]]) -> int:
        """Leave out files by path and revision; how many went, by this revision."""
        if not self.there:
            return 0
        at = self._at([path for path, _ in files])
        gone = [path for path, was in files if _revision(at[path]) == was]
        self._forget((at[path], path) for path in gone)
        dropped = [{**self._known, "path": path} for path in gone]
        self._tx.put_each("composition_file_drop", dropped)
        return len(gone)

    def note(
        self, problem: str | None, changes: FolderChanges | None, path: str
    ) -> None:
        """Say what came of looking through the folder; tell it if something changed."""
        if not self.there:
            return
        self._tx.put(
            "composition_folder_note",
            problem=problem,
            changed_at=None if changes is None else self._tx.now,
            **self._known,
        )
        if changes is not None:
            data = {"folder": path, **msgspec.structs.asdict(changes)}
            self._tx.tell(Told(CHANGED, data))

    def _at(self, paths: Sequence[str]) -> dict[str, Row | None]:
        asked = [{**self._known, "path": path} for path in paths]
        found = self._tx.each("composition_file_at", asked)
        return {
            path: rows[0] if rows else None
            for path, rows in zip(paths, found, strict=True)
        }

    def _forget(self, files: Iterable[tuple[Row | None, str]]) -> None:
        """Leave out what some files held."""
        links: list[dict[str, Any]] = []
        held: list[dict[str, Any]] = []
        for row, path in files:
            if row is None or row[1] is None:
                continue
            _, name, place, type, tags, needs, _ = row
            where = {**self._known, "name": name, "place": place, "path": path}
            needed = [name for name, _ in codec.decode(needs)]
            links += _linked(where, type, codec.decode(tags), needed)
            held.append({**self._known, "path": path})
        self._tx.put_each("composition_link_drop", links)
        self._tx.put_each("composition_drop", held)

    def _looks(self, file: FilePut) -> dict[str, Any]:
        size, modified, changed, inode = file.stamp or _NO_STAMP
        return {
            "path": file.path,
            "revision": max(self._tx.now, file.was + 1),
            "reader": READER,
            "size_bytes": size,
            "modified_ns": modified,
            "changed_ns": changed,
            "inode": inode,
        }

    def _file(self, file: FilePut, was: Row | None) -> dict[str, Any]:
        named = file.draft.name if file.draft is not None else was and was[6]
        return {
            **self._known,
            **self._looks(file),
            "digest": file.digest,
            "kind": file.kind,
            "problem": file.problem,
            "line": file.line,
            "named": named,
        }

    def _held(self, file: FilePut, draft: Draft) -> dict[str, Any]:
        return {
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
            "content": draft.content.text,
        }

    def _links(self, drafts: Iterable[tuple[FilePut, Draft]]) -> list[dict[str, Any]]:
        links: list[dict[str, Any]] = []
        for file, draft in drafts:
            place = place_of_version(draft.version)
            where = {**self._known, "name": draft.name, "place": place}
            where["path"] = file.path
            needed = [needed.name for needed in draft.dependencies]
            links += _linked(where, draft.type or self._type, draft.tags, needed)
        return links


def _revision(row: Row | None) -> int:
    return 0 if row is None else row[0]


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
