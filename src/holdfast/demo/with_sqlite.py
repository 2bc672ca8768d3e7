"""Plain `sqlite3`, the way it is often written.

One connection a process, WAL, and otherwise the defaults of the standard library:
`synchronous` as SQLite was built (FULL, so each commit waits for the disk), 5 seconds
of patience with a lock. A step is two commits: the message is inserted and committed,
then the task's counter goes up and is committed. Workers have fixed names: one that
was started again takes up the task that stands under its name, counts the messages
that are there, and goes on behind them. This is what remains when each helper
(`add_message`, `advance_task`) commits its own work, which is what most do.

It loses nothing to a SIGKILL, and it doubles nothing: SQLite keeps what was
committed, and the messages are counted before going on. What it cannot do is keep the
two commits together: killed between them, the message is there and the task does not
know, then and ever after. Resuming by the task's counter instead would repeat that
message. One transaction around both would be right, in this file; it asks that every
helper be handed the open transaction, which is the point of the comparison.
"""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from holdfast.demo.keeping import Found, Kept
from holdfast.demo.load import MARK, Load, Step

SCHEMA = """
create table messages (
    id integer primary key autoincrement,
    conversation text not null, role text not null, content text, metadata text,
    created_at real not null
);
create index messages_of on messages (conversation, id);
create table tasks (
    id integer primary key,
    conversation text not null, status text not null, worker text,
    steps_done integer not null default 0, updated_at real not null
);
"""


def connect(path: Path) -> sqlite3.Connection:
    """A connection as people open one."""
    db = sqlite3.connect(path)
    db.execute("pragma journal_mode = wal")
    return db


@contextlib.contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """The same for a while: committed and closed at the end."""
    with contextlib.closing(connect(path)) as db, db:
        yield db


class PlainTaken:
    """A conversation in hand: the task stands under the worker's name."""

    def __init__(self, db: sqlite3.Connection, task: int, conversation: str) -> None:
        self.index = task
        self._db = db
        self._conversation = conversation
        (self.messages,) = db.execute(
            "select count(*) from messages where conversation = ?", (conversation,)
        ).fetchone()
        (self.done,) = db.execute(
            "select steps_done from tasks where id = ?", (task,)
        ).fetchone()

    def keep(self, number: int, step: Step) -> None:
        """Add the message, then advance the task, as two helpers would."""
        self._add_message(number, step)
        self._advance_task()

    def _add_message(self, number: int, step: Step) -> None:
        content = json.dumps(step.content)
        metadata = json.dumps(step.marked(number))
        self._db.execute(
            "insert into messages (conversation, role, content, metadata, created_at)"
            " values (?, ?, ?, ?, ?)",
            (self._conversation, step.role, content, metadata, time.time()),
        )
        self._db.commit()

    def _advance_task(self) -> None:
        self._db.execute(
            "update tasks set steps_done = steps_done + 1, updated_at = ? where id = ?",
            (time.time(), self.index),
        )
        self._db.commit()

    def finish(self) -> None:
        """Mark the task as done."""
        self._db.execute(
            "update tasks set status = 'completed', updated_at = ? where id = ?",
            (time.time(), self.index),
        )
        self._db.commit()

    def close(self) -> None:
        """Nothing is held."""


class PlainDesk:
    """A worker's connection."""

    def __init__(self, path: Path, agent: str) -> None:
        self._db = connect(path)
        self._agent = agent

    def take(self) -> PlainTaken | None:
        """The task under this worker's name, or else the next one that is free."""
        task = self._own() or self._claimed()
        return None if task is None else PlainTaken(self._db, *task)

    def _own(self) -> tuple[int, str] | None:
        found: tuple[int, str] | None = self._db.execute(
            "select id, conversation from tasks"
            " where status = 'in_progress' and worker = ?",
            (self._agent,),
        ).fetchone()
        return found

    def _claimed(self) -> tuple[int, str] | None:
        self._db.execute(
            "update tasks set status = 'in_progress', worker = ?, updated_at = ?"
            " where id = (select min(id) from tasks where status = 'pending')",
            (self._agent, time.time()),
        )
        self._db.commit()
        return self._own()

    def is_over(self) -> bool:
        """Whoever finds nothing to claim is done: each worker resumes its own."""
        return True

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


class Plain:
    """The way of keeping that is compared with."""

    title = "plain sqlite3"
    how = "message and task in a commit each; resumes by counting messages"

    def prepare(self, path: Path, load: Load) -> None:
        """Make the tables, and a pending task for each conversation."""
        with connected(path) as db:
            db.executescript(SCHEMA)
            db.executemany(
                "insert into tasks (id, conversation, status, updated_at)"
                " values (?, ?, 'pending', ?)",
                [(i, talk.id, time.time()) for i, talk in enumerate(load.talks)],
            )

    def open(self, path: Path, load: Load, agent: str) -> PlainDesk:
        """A worker's connection."""
        return PlainDesk(path, agent)

    def read(self, path: Path, load: Load) -> list[Found]:
        """All that is there, a conversation at a time."""
        with connected(path) as db:
            return [_found(db, i, talk.id) for i, talk in enumerate(load.talks)]

    def problems(self, path: Path) -> tuple[str, ...]:
        """What SQLite's own check of the file finds."""
        with connected(path) as db:
            rows = db.execute("pragma integrity_check").fetchall()
        return tuple(text for (text,) in rows if text != "ok")


def _found(db: sqlite3.Connection, task: int, conversation: str) -> Found:
    rows = db.execute(
        "select role, content, metadata from messages"
        " where conversation = ? order by id",
        (conversation,),
    ).fetchall()
    status, done = db.execute(
        "select status, steps_done from tasks where id = ?", (task,)
    ).fetchone()
    kept = [_kept(place, *row) for place, row in enumerate(rows)]
    return Found(kept, done, status == "completed")


def _kept(place: int, role: str, content: str, metadata: str) -> Kept:
    data = json.loads(metadata)
    return Kept(data.pop(MARK, -1), place, Step(role, json.loads(content), data))
