"""Connections: how each one to a store's file is set up.

Answers for: pragmas, and waiting for other processes in short sleeps.
Leaves to others: what is run on a connection.
Always holds: foreign keys and recursive triggers are on (without the second, REPLACE
escapes the journal); every commit is written ahead, and synced unless the store was
opened with less.
"""

import random
import time
from collections.abc import Callable

import apsw

APPLICATION_ID = 0x68667374  # "hfst"
_WAL_BYTES = 64 * 1024 * 1024
_STATEMENTS = 400
_SLEEP_SECONDS = 0.003
_SHORT_SLEEP_SECONDS = 0.000_5
_LONG_SECONDS = 0.03
_SYNCHRONOUS = {"power-loss": "full", "process-crash": "normal"}


def connect(
    path: str, *, durability: str, read_only: bool = False, vfs: str | None = None
) -> apsw.Connection:
    """A connection to a file that is there, ready for use."""
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    connection = apsw.Connection(path, flags, vfs=vfs, statementcachesize=_STATEMENTS)
    try:
        _make_ready(connection, durability)
    except BaseException:
        connection.close()  # who keeps the error would keep the file open
        raise
    return connection


def _make_ready(connection: apsw.Connection, durability: str) -> None:
    # Without this, many statements are planned anew for each value they are given.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.set_busy_handler(patience())
    connection.execute(
        f"pragma synchronous = {_SYNCHRONOUS[durability]};"
        "pragma foreign_keys = on; pragma recursive_triggers = on;"
        "pragma fullfsync = on; pragma checkpoint_fullfsync = on;"
        "pragma cache_size = -16384; pragma trusted_schema = off;"
        f"pragma journal_size_limit = {_WAL_BYTES}"
    )


def patience(
    seconds: float = 10.0,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Callable[[int], bool]:
    """A busy handler: short sleeps of uneven length, for so many seconds.

    SQLite's own `busy_timeout` sleeps longer and longer, so that a process that waits
    loses every time against those that do not. Here it is the other way round: who has
    waited long asks more often.
    """
    began = 0.0

    def wait(attempt: int) -> bool:
        nonlocal began
        if attempt == 0:
            began = now()
        waited = now() - began
        if waited > seconds:
            return False
        longest = _SLEEP_SECONDS if waited < _LONG_SECONDS else _SHORT_SLEEP_SECONDS
        sleep(random.uniform(_SHORT_SLEEP_SECONDS / 5, longest))
        return True

    return wait


def set_wal(connection: apsw.Connection, attempts: int = 2_000) -> None:
    """Switch to the write-ahead log, while other processes may do the same.

    SQLite does not call the busy handler for this; so the waiting is done here.
    """
    for attempt in range(attempts):
        try:
            connection.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if attempt == attempts - 1:
                raise
            time.sleep(random.uniform(0.000_5, 0.005))
        else:
            return
