"""Place: the file that a store is in, judged without ever opening it.

Answers for: whether a store may live there (no network file system), whose file it
is, its permissions, and whether it is still the same file.
Leaves to others: everything that is inside the file.
Always holds: `open(2)` is never called on a file that this process may have open as a
store: closing that descriptor would drop the process's locks on it (POSIX, fcntl), and
another process could then delete the write-ahead log with what it acknowledged.
"""

import os
import stat
from pathlib import Path

from holdfast.errors import CannotOpen, Moved, NotAStore

_NETWORK = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "ncpfs",
        "afs",
        "coda",
        "ceph",
        "glusterfs",
        "lustre",
        "beegfs",
        "gpfs",
        "orangefs",
        "ocfs2",
        "gfs",
        "gfs2",
        "davfs",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.gcsfuse",
        "fuse.rclone",
        "fuse.goofys",
        "fuse.davfs2",
        "fuse.glusterfs",
        "fuse.ceph",
        "fuse.juicefs",
    ]
)
_MOUNTS = "/proc/self/mountinfo"
_JOURNAL = bytes.fromhex("d9d505f920a163d7")
_PAGES_BEFORE = slice(16, 20)


class Place:
    """Where a store's file is. Text for people, an identity for the engine."""

    def __init__(self, path: str) -> None:
        try:
            self.path = os.path.realpath(path)
        except ValueError:
            raise CannotOpen(f"{path!r} is no path: it has a NUL in it") from None
        except FileNotFoundError:
            raise CannotOpen(
                f"{path!r} is in no folder: the one that the program runs in is gone"
            ) from None
        self._identity: tuple[int, int] | None = None

    def __str__(self) -> str:
        return self.path

    def prepare(self, *, create: bool) -> bool:
        """See that a store may be here; whether there is something in the file.

        A file that is not there yet is made, readable by its user alone. Raises
        `CannotOpen`.
        """
        refuse_network(self.path, _mounts())
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            if not create:
                raise CannotOpen(f"there is no store at {self.path}") from None
            self._make()
            return False
        except OSError as error:
            raise CannotOpen(f"{self.path} cannot be reached ({error})") from None
        if not stat.S_ISREG(found.st_mode):
            raise CannotOpen(f"{self.path} is no regular file")
        if found.st_size == 1:  # SQLite takes it for an empty one
            raise NotAStore(f"{self.path} is no SQLite file; it was left as it was")
        return found.st_size > 0

    def _make(self) -> None:
        folder = Path(self.path).parent
        if not folder.is_dir():
            raise CannotOpen(f"there is no folder {folder}: make it first")
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            return  # another process was first; SQLite sorts that out
        except OSError as error:
            raise CannotOpen(
                f"{self.path} cannot be made ({error.strerror}): a store needs a "
                "folder that it can write to"
            ) from None

    def half_made(self) -> bool:
        """Whether the file has a journal by which it goes back to being empty.

        A store has a journal beside it only until its first commit
        (https://www.sqlite.org/fileformat.html#the_rollback_journal).
        """
        try:
            with Path(f"{self.path}-journal").open("rb") as journal:
                head = journal.read(_PAGES_BEFORE.stop)
        except OSError:
            return False
        return head.startswith(_JOURNAL) and not any(head[_PAGES_BEFORE])

    def remember(self) -> None:
        """Take the file that is here now as the store's own."""
        self._identity = self.identity()

    def hold(self) -> None:
        """See that the file is still the store's own, once it is. Raises `Moved`."""
        if self._identity is None:
            return
        try:
            found = os.stat(self.path)
            same = (found.st_dev, found.st_ino) == self._identity
        except OSError:
            same = False
        if not same:
            raise Moved(
                f"{self.path} was moved or replaced while it was open; this write was "
                "not kept, earlier ones are in the file that was moved: close the "
                "store, put the file back, and open it again"
            )

    def writable(self) -> bool:
        """Whether this process may write to the file."""
        return os.access(self.path, os.W_OK)

    def holds_something(self) -> bool:
        """Whether there is a file here that is not empty."""
        try:
            return os.stat(self.path).st_size > 0
        except OSError:
            return False

    def log_bytes(self) -> int:
        """How large the write-ahead log is; 0 if there is none."""
        try:
            return os.stat(self.path + "-wal").st_size
        except OSError:
            return 0

    def identity(self) -> tuple[int, int] | None:
        """Which file is here now; None if there is none."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino


def refuse_network(path: str, mounts: str) -> None:
    """Raise `CannotOpen` if the path is on a file system that machines share.

    `mounts` has the form of /proc/self/mountinfo (proc(5)); the longest mount point
    that the path is under counts. SQLite's write-ahead log needs memory that all who
    use the file share (https://www.sqlite.org/wal.html).
    """
    longest, kind = "", ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) > 4 and after:  # noqa: PLR2004
            point = fields[4].encode().decode("unicode_escape")
            under = path == point or path.startswith(point.rstrip("/") + "/")
            if under and len(point) >= len(longest):
                longest, kind = point, after.split(" ")[0]
    if kind in _NETWORK:
        raise CannotOpen(
            f"{path} is on a network file system ({kind} at {longest}), where SQLite's "
            "write-ahead log is not safe: use a local disk, or PostgreSQL"
        )


def _mounts() -> str:
    try:
        return Path(_MOUNTS).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # no Linux: there is nothing to ask
