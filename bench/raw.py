"""Raw apsw: what one connection and one plain table can do, which is the limit.

Answers for: the table that our goals are stated against.
Always holds: WAL, synchronous=FULL, no savepoints, no journal; all rows are made
before the clock starts, so that nothing is timed but SQLite and its driver.
"""

import time
import uuid
from pathlib import Path

import apsw

from bench.rounds import Load

TEXT = "Where did we stop? " * 10 + "Let me see"  # 200 bytes
assert len(TEXT) == 200

TABLE = """
pragma journal_mode = wal;
pragma synchronous = full;
create table m(
  seq integer primary key, id text, sid text, role text, content text, at int);
create index m_sid on m(sid, seq);
"""
INSERT = "insert into m(id, sid, role, content, at) values(?, ?, ?, ?, ?)"

Row = tuple[str, str, str, str, int]


def rows(count: int, sessions: int) -> list[Row]:
    """Messages of 200 bytes, dealt to the sessions in turn."""
    return [
        (str(uuid.uuid4()), f"session-{i % sessions}", "user", TEXT, i)
        for i in range(count)
    ]


def appends(count: int, *, commit_every: int, sessions: int = 1) -> Load:
    """A load of `count` inserts; its figure is rows a second."""
    made = rows(count, sessions)

    def load(folder: Path) -> float:
        connection = apsw.Connection(str(folder / "raw.db"))
        for _ in connection.execute(TABLE):
            pass
        try:
            started = time.perf_counter()
            _insert(connection.cursor(), made, commit_every)
            return count / (time.perf_counter() - started)
        finally:
            connection.close()

    return load


def _insert(cursor: apsw.Cursor, made: list[Row], commit_every: int) -> None:
    for start in range(0, len(made), commit_every):
        cursor.execute("begin immediate")
        for row in made[start : start + commit_every]:
            cursor.execute(INSERT, row)
        cursor.execute("commit")
