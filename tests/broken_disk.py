"""Disks that break: a VFS of SQLite's in Python, used as `path?vfs=name`.

A `BrokenDisk` fails at a chosen write or sync, or has only so much room. It also knows
what was synced, file by file; `after_power_cut` gives the files as a disk may have them
that lost its power now: of what was not synced, each sector is there or it is not.

Always holds: a disk does one thing at a time, whichever thread asks for it: a store and
its events are written by two.
"""

import itertools
import random
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

if TYPE_CHECKING:
    from collections.abc import Callable

SECTOR = 512
_numbers = itertools.count()
Operation = tuple[int, bytes | None]
"""An offset and what is written there; None stands for an end at that offset."""


class BrokenDisk(apsw.VFS):
    """A disk that does as it is told. `close` it when no store uses it any more."""

    def __init__(self, *, syncs: bool = True) -> None:
        self.name = f"broken-{next(_numbers)}"
        self.syncs = syncs
        self.files: dict[str, _Kept] = {}
        self.done: list[str] = []
        """Every write and sync since `break_at` or `watch`, by its file's ending."""
        self.room: int | None = None
        """No file may end past this byte."""
        self.before: Callable[[str], None] = _nothing
        """Called before each write and each sync, with what it is."""
        self.lock = threading.RLock()
        """Held while the disk does something."""
        self._fault: Callable[[str, int], Exception | None] = _none
        super().__init__(self.name, "unix", iVersion=3)

    def target(self, path: object) -> str:
        """What to open for a store at this path, on this disk."""
        return f"{path}?vfs={self.name}"

    def break_at(
        self, number: int, what: str, code: int, *, for_good: bool = False
    ) -> None:
        """Fail at the `number`-th (from 1) "write" or "sync", or `for_good`."""
        counted = itertools.count(1)

        def fault(does: str, offset: int) -> Exception | None:
            if does != what:
                return None
            count = next(counted)
            hit = count >= number if for_good else count == number
            return apsw.exception_for(code) if hit else None

        self.done = []
        self._fault = fault

    def mend(self) -> None:
        """Work again, with all the room there is."""
        self._fault, self.room, self.before = _none, None, _nothing

    def meet(self, what: str, path: str, end: int = 0) -> None:
        """What every write and sync comes by."""
        self.done.append(f"{what} {path.rpartition('/')[2]}")
        self.before(what)
        if self.room is not None and what == "write" and end > self.room:
            raise apsw.exception_for(apsw.SQLITE_FULL)
        if (error := self._fault(what, end)) is not None:
            raise error

    def after_power_cut(self, folder: Path, chance: random.Random) -> None:
        """Put the files into a folder as they may be after a power cut now."""
        folder.mkdir()
        with self.lock:
            for path, kept in self.files.items():
                found = kept.after_power_cut(chance)
                if found is not None:
                    (folder / path.rpartition("/")[2]).write_bytes(found)

    def close(self) -> None:
        """Let SQLite forget this disk."""
        self.unregister()

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(self, name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:
        with self.lock:
            super().xDelete(name, syncdir)
            self.files.pop(name, None)


class _Kept:
    """One file as it is on the platter, and what was asked for since it was synced."""

    def __init__(self) -> None:
        self.synced = bytearray()
        self.pending: list[Operation] = []
        self.sure = False
        """Whether the folder is sure to name it: its maker syncs that with the file."""

    def sync(self) -> None:
        for operation in self.pending:
            _apply(self.synced, operation)
        self.pending, self.sure = [], True

    def after_power_cut(self, chance: random.Random) -> bytes | None:
        if not self.sure and chance.random() < 0.5:
            return None
        found = bytearray(self.synced)
        share = chance.choice([0.0, 0.5, 0.9, 1.0])
        for offset, data in self.pending:
            for operation in _sectors(offset, data):
                if chance.random() < share:
                    _apply(found, operation)
        return bytes(found)


class _File(apsw.VFSFile):
    """A file that tells its disk what happens to it."""

    def __init__(self, disk: BrokenDisk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._path = str(path)
        with disk.lock:
            self._kept = disk.files.setdefault(self._path, _Kept())
            self._kept.sure |= bool(flags[0] & apsw.SQLITE_OPEN_MAIN_DB)
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        with self._disk.lock:
            self._disk.meet("write", self._path, offset + len(data))
            super().xWrite(data, offset)
            self._kept.pending.append((offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        with self._disk.lock:
            super().xTruncate(size)
            self._kept.pending.append((size, None))

    def xSync(self, flags: int) -> None:
        with self._disk.lock:
            self._disk.meet("sync", self._path)
            if self._disk.syncs:
                super().xSync(flags)
            self._kept.sync()


def _sectors(offset: int, data: bytes | None) -> list[Operation]:
    """An operation as the parts of it that a disk does apart."""
    if data is None:
        return [(offset, None)]
    first = SECTOR - offset % SECTOR
    cuts = [0, *range(first, len(data), SECTOR), len(data)]
    return [
        (offset + start, data[start:end])
        for start, end in itertools.pairwise(cuts)
        if start < end
    ]


def _apply(content: bytearray, operation: Operation) -> None:
    offset, data = operation
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    if data is None:
        del content[offset:]
    else:
        content[offset : offset + len(data)] = data


def _nothing(_: str) -> None:
    """What is called before each operation, when nobody looks."""


def _none(_: str, __: int) -> None:
    """No fault."""
