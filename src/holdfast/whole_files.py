"""Whole files: a file that is there with all that is in it, or not at all.

Answers for: a new file beside the path whose place it takes when it is on the disk;
what went wrong with it, in terms of the caller's world.
Leaves to others: what is in it (`runtime/transfer`, `events/exporting`).
Always holds: a file that was there stays as it was until the new one is on the disk;
nobody but its owner can read what is written.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from holdfast.errors import CannotOpen, HoldfastError, StorageFailed, StorageFull

_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def made_whole(path: Path) -> Iterator[BinaryIO]:
    """A new file, which takes a path's place once it is whole and on the disk.

    What the block raises leaves nothing; an `OSError` becomes what it means here.
    """
    try:
        with _made_beside(path) as file:
            yield file
    except OSError as error:
        raise failure(path, error) from error


def failure(path: Path, error: OSError) -> HoldfastError:
    """What an error of the system means for a file that was to be made."""
    if error.errno in _FULL:
        return StorageFull(f"{path}: the disk is full; nothing was exported")
    if error.errno == errno.EIO:
        return StorageFailed(f"{path}: the disk failed; nothing was exported")
    return CannotOpen(f"{path}: {error.strerror}; nothing was exported")


@contextmanager
def _made_beside(path: Path) -> Iterator[BinaryIO]:
    """A new file, which takes a path's place once it is whole and on the disk."""
    import tempfile  # noqa: PLC0415  # it loads slowly, and few need it

    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "a device or a pipe; open it, and give the file")
    number, name = tempfile.mkstemp(prefix=f".{path.name[:100]}-", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(number)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Have the file's new name on the disk too, where folders can be synced."""
    if os.name != "posix":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
