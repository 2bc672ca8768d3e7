"""Databases of other programs, in SQLite's files.

Answers for: telling one from other files, and opening it to look at.
Leaves to others: what is in it (the importers).
Always holds: a file is only read, never written.
"""

import sqlite3
from pathlib import Path

from holdfast.errors import CannotOpen

_BEGINS = b"SQLite format 3\x00"


def is_database(path: Path) -> bool:
    """Whether a file is a database by its beginning. Raises `CannotOpen`."""
    try:
        with path.open("rb") as file:
            return file.read(len(_BEGINS)) == _BEGINS
    except OSError as error:
        raise CannotOpen(f"{path}: {error.strerror}; nothing was imported") from error


def opened(path: Path) -> sqlite3.Connection:
    """A database that is only looked at; where no log stands beside it, as it lies."""
    still = "" if Path(f"{path}-wal").exists() else "&immutable=1"
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{still}", uri=True)
    database.row_factory = sqlite3.Row
    return database
