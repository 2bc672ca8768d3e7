"""A PostgreSQL server for one measure, the same for everybody.

Answers for: starting it and stopping it, and an empty database for each load.
Leaves to others: how a server is made (`tests.postgres`, which has it for the tests).
Always holds: `fsync`, `synchronous_commit` and `full_page_writes` are on, as shipped; a
load's database is new, and all that came before is on disk by then, so that nobody pays
for a neighbour.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests import postgres

from bench.rounds import Load

DURABLE = "fsync"
AS_SHIPPED = {"shared_buffers": "128MB", "wal_keep_size": "0"}


class Server:
    """A running server, and databases on it."""

    def __init__(self, started: postgres.Server) -> None:
        self._started = started
        self._numbers = count(1)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database, dropped afterwards."""
        name = f"bench_{next(self._numbers)}"
        self._started.sql(f"create database {name}")
        self._started.sql("checkpoint")
        try:
            yield self._started.url(database=name)
        finally:
            self._started.sql(f"drop database {name} with (force)")

    def load(self, work: Callable[[str], float]) -> Load:
        """A load that does its work in an empty database of its own."""

        def load(_: Path) -> float:
            with self.database() as url:
                return work(url)

        return load


@contextmanager
def running(
    folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A new server in a folder, for as long as the block runs.

    `settings` are such as `{"shared_buffers": "1GB"}`; without any, those that decide
    about speed are as PostgreSQL ships them.
    """
    made = postgres.Server(folder, settings={**AS_SHIPPED, **(settings or {})})
    with made as started:
        durable = [started.sql(f"show {name}")[0][0] for name in _DURABLE]
        assert durable == ["on"] * len(_DURABLE), durable
        yield Server(started)
        started.stop()


_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")


def program(name: str) -> Path:
    """One of PostgreSQL's programs."""
    return postgres.programs.binaries() / name
