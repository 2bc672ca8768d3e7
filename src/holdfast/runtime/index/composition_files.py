"""Composition files: finding them in a folder, and reading one.

Answers for: which files of a folder are meant (`.yaml`, `.yml`, `.json`; nothing whose
name begins with a dot), what is known of one without reading it, its bytes, and the
draft that they hold.
Leaves to others: what a composition is (`kinds.index_drafts`), what has changed
(`scanning`).
Always holds: nothing is written; what is no ordinary file is not opened, nor the
store's own; a file is read up to a limit; folders that lead into each other end.
"""

import errno
import hashlib
import os
import stat
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from holdfast.codec import Document
from holdfast.errors import BrokenFile, TooLarge
from holdfast.kinds.index_drafts import Draft, as_written, draft_of
from holdfast.kinds.index_records import ProblemKind
from holdfast.limits import Limits
from holdfast.runtime.index.composition_json import read_json
from holdfast.runtime.index.composition_yaml import read_yaml

SUFFIXES = (".yaml", ".yml", ".json")
"""What the names of files end with that are read."""
SETTLED_NS = 2_000_000_000
"""A file that was changed a shorter time before it was read may change again without
looking so, on file systems whose clock is coarse: it is read again by the next scan."""
_PATH_BYTES = 1_000
_DEEPEST = 100
_OUR_OWN = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_SAID_AT_MOST = 500
_READ_AT_ONCE = 2**16
_ALL_BITS = 2**63 - 1
_OPENED = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_OPENED |= getattr(os, "O_BINARY", 0)

Stamp: TypeAlias = tuple[int, int, int, int]
"""What is known of a file without reading it: its size, when it was modified and when
it changed in nanoseconds, and its inode."""


class Flaw(msgspec.Struct, frozen=True, gc=False):
    """Why a file holds no composition."""

    kind: ProblemKind
    what: str
    line: int | None = None


class Found(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A file of a folder: `path` is within it, with slashes."""

    path: str
    file: str
    stamp: Stamp | None
    flaw: Flaw | None = None


class Reading(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What was read of a file. Without a `stamp` it is read again by the next scan."""

    path: str
    stamp: Stamp | None
    digest: str | None
    draft: Draft | None = None
    flaw: Flaw | None = None


class Walk:
    """The files of one folder, each once, in the order of their paths.

    `problems` are of folders within it that could not be looked through; what lay in
    those is not known (`unknown`).
    """

    def __init__(
        self, root: str, limits: Limits, own: Callable[[os.stat_result], bool]
    ) -> None:
        self._root = root
        self._limits = limits
        self._own = own
        self._count = 0
        self._seen: set[tuple[int, int]] = set()
        self.unknown: list[str] = []
        self.problems: list[str] = []

    def __iter__(self) -> Iterator[Found]:
        """Each file. Raises `OSError` for the folder itself, and `TooLarge`."""
        there = os.stat(self._root)  # noqa: PTH116 - a path as text
        self._seen.add((there.st_dev, there.st_ino))
        return self._within(self._root, "")

    def _within(self, folder: str, prefix: str) -> Iterator[Found]:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        for entry in listed:
            name = entry.name
            if name.startswith("."):
                continue
            if name.lower().endswith(SUFFIXES):
                yield self._file(entry, prefix + name)
            elif self._is_folder(entry, prefix):
                yield from self._folder(entry, f"{prefix}{name}/")

    def _folder(self, entry: os.DirEntry[str], prefix: str) -> Iterator[Found]:
        """The files of a folder, unless it was found before, by another link."""
        try:
            there = os.stat(entry.path)  # noqa: PTH116 - as above
            known = there.st_dev, there.st_ino
            if known in self._seen:
                return
            self._seen.add(known)
            if prefix.count("/") > _DEEPEST:
                self._skip(prefix, f"it is more than {_DEEPEST} folders deep")
                return
            yield from self._within(entry.path, prefix)
        except OSError as error:
            self._skip(prefix, error.strerror or "it cannot be read")

    def _is_folder(self, entry: os.DirEntry[str], prefix: str) -> bool:
        try:
            return entry.is_dir()
        except OSError as error:
            if error.errno != errno.ELOOP:  # a link that leads into itself
                self._skip(f"{prefix}{entry.name}/", error.strerror or "it is unknown")
            return False

    def _skip(self, prefix: str, why: str) -> None:
        shown, _ = _shown(prefix)
        self.unknown.append(shown)
        self.problems.append(f"{shown} was not looked through: {why}")

    def _file(self, entry: os.DirEntry[str], path: str) -> Found:
        self._count += 1
        if self._count > self._limits.compositions:
            raise TooLarge(
                f"has more than {self._limits.compositions:,} files that might be "
                "compositions (limits.compositions): it was not scanned, and what was "
                "known of it stays"
            )
        shown, flaw = _shown(path)
        try:
            there = entry.stat()
        except OSError as error:
            what = f"cannot be read: {error.strerror}"
            return Found(shown, entry.path, None, Flaw(ProblemKind.UNREADABLE, what))
        if flaw is None and not stat.S_ISREG(there.st_mode):
            flaw = Flaw(ProblemKind.UNREADABLE, "is no ordinary file")
        elif flaw is None and self._own(there):
            flaw = Flaw(ProblemKind.UNREADABLE, "is the store's own file")
        return Found(shown, entry.path, None if flaw else stamp_of(there), flaw)


def _shown(path: str) -> tuple[str, Flaw | None]:
    """A path as it can be kept, and what is wrong with it."""
    if path.isascii() and len(path) <= _PATH_BYTES:
        return path, None
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        said = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
        said = said[:_PATH_BYTES].encode()[:_PATH_BYTES].decode(errors="ignore")
        return said, Flaw(ProblemKind.UNREADABLE, "has a name that is no UTF-8")
    if size <= _PATH_BYTES:
        return path, None
    digest = hashlib.sha256(path.encode()).hexdigest()[:12]
    said = path.encode()[: _PATH_BYTES - 20].decode(errors="ignore")
    what = f"has a path of more than {_PATH_BYTES:,} bytes within its folder"
    return f"{said}...{digest}", Flaw(ProblemKind.UNREADABLE, what)


def stamp_of(there: os.stat_result) -> Stamp:
    """What is known of a file by its status."""
    return (
        there.st_size,
        there.st_mtime_ns,
        there.st_ctime_ns,
        there.st_ino & _ALL_BITS,
    )


def read_file(
    found: Found, known_digest: str | None, limits: Limits, now_ns: int
) -> Reading:
    """Read a file, and what it holds unless its bytes are those that are known.

    Where they are, the reading has neither draft nor flaw. Raises `FileNotFoundError`
    for one that is gone, and `OSError` where the fault is this process's, which has too
    many files open, say.
    """
    if found.flaw is not None:
        return Reading(found.path, found.stamp, None, flaw=found.flaw)
    try:
        data, stamp = _bytes_of(found.file, limits)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _OUR_OWN:
            raise
        flaw = Flaw(ProblemKind.UNREADABLE, f"cannot be read: {error.strerror}")
        return Reading(found.path, None, None, flaw=flaw)
    except TooLarge as error:
        flaw = Flaw(ProblemKind.UNREADABLE, str(error))
        return Reading(found.path, None, None, flaw=flaw)
    if stamp is not None and now_ns - max(stamp[1], stamp[2]) < SETTLED_NS:
        stamp = None
    digest = hashlib.sha256(data).hexdigest()
    if digest == known_digest:
        return Reading(found.path, stamp, digest)
    try:
        draft = draft_in(data, found.path, limits)
    except BrokenFile as error:
        flaw = Flaw(ProblemKind.INVALID, _printable(str(error)), error.line)
        return Reading(found.path, stamp, digest, flaw=flaw)
    return Reading(found.path, stamp, digest, draft)


def _printable(said: str) -> str:
    """What is wrong, where a file's own words may be in it, so that it can be kept."""
    found = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in said)
    if len(found) <= _SAID_AT_MOST:
        return found
    return f"{found[: _SAID_AT_MOST // 2]} ... {found[-_SAID_AT_MOST // 2 :]}"


def _bytes_of(file: str, limits: Limits) -> tuple[bytes, Stamp | None]:
    """The bytes of a file, and what is known of it; nothing, if it changed meanwhile.

    A name that leads to something else by now is not waited for.
    """
    descriptor = os.open(file, _OPENED)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise OSError(0, "it is no ordinary file")
        most = limits.composition_bytes
        if before.st_size > most:
            raise TooLarge(
                f"has {before.st_size:,} bytes; limits.composition_bytes allows "
                f"{most:,}"
            )
        data, at_once = b"", max(before.st_size + 1, _READ_AT_ONCE)
        while len(data) <= most and (more := os.read(descriptor, at_once)):
            data = data + more if data else more
            if len(data) == before.st_size:
                break
        if len(data) > most:
            raise TooLarge(f"grows past limits.composition_bytes ({most:,})")
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    stamp = stamp_of(after)
    whole = stamp == stamp_of(before) and len(data) == after.st_size
    return data, stamp if whole else None


def draft_in(data: bytes, path: str, limits: Limits) -> Draft:
    """The draft that a file's bytes hold. Raises `BrokenFile`."""
    try:
        text = data.removeprefix(BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BrokenFile("is no UTF-8", line) from None
    name = path.rpartition("/")[2]
    if name.lower().endswith(".json"):
        content = read_json(text)
        plain = content.value if isinstance(content, Document) else content
        written = as_written(plain if isinstance(plain, dict) else {})
    else:
        content, under = read_yaml(text, limits.value_bytes)
        written = under or as_written({})
    return draft_of(
        content, written, name=name.rpartition(".")[0], most_tags=limits.tags
    )
