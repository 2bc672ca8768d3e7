"""SQLite: one file, many threads and processes, through apsw-sqlite3mc."""

from holdfast.engine import Engine, Options, Part
from holdfast.engines.sqlite.engine import SqliteEngine


def connect(path: str, parts: tuple[Part, ...], options: Options) -> Engine:
    """The engine for a path, or for `:memory:`."""
    return SqliteEngine(path, parts, options)
