"""Raw PostgreSQL: what inserts into one plain table can do, which is the limit.

Answers for: psycopg over one connection and over sixteen, and `pgbench`, which is
PostgreSQL's own client in C.
Always holds: every row is a transaction, prepared, of the table that `bench.raw` has;
no journal; all rows are made before the clock starts.
"""

import asyncio
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from bench import raw
from bench.server import program

CALLERS = 16
TABLE = """
create table m(
  seq bigint generated always as identity primary key,
  id text, sid text, role text, content text, at bigint);
create index m_sid on m(sid, seq);
"""
INSERT = "insert into m(id, sid, role, content, at) values(%s, %s, %s, %s, %s)"
SCRIPT = f"""
insert into m(id, sid, role, content, at)
values(gen_random_uuid()::text, 'session-' || :client_id, 'user', '{raw.TEXT}', 1);
"""


def inserts(count: int, connections: int) -> Callable[[str], float]:
    """Inserts a second, each with its commit, from tasks with a connection each."""

    async def work(url: str) -> float:
        rows = raw.rows(count + connections, connections)
        opened = [
            await psycopg.AsyncConnection.connect(
                url, autocommit=True, prepare_threshold=0
            )
            for _ in range(connections)
        ]
        await opened[0].execute(TABLE, prepare=False)

        async def caller(number: int, mine: list[raw.Row]) -> None:
            for row in mine:
                await opened[number].execute(INSERT, row)

        async def all_of_them(first: int, last: int) -> None:
            parts = [rows[first + i : last : connections] for i in range(connections)]
            await asyncio.gather(*(caller(i, part) for i, part in enumerate(parts)))

        await all_of_them(0, connections)
        started = time.perf_counter()
        await all_of_them(connections, len(rows))
        took = time.perf_counter() - started
        for connection in opened:
            await connection.close()
        return count / took

    return lambda url: asyncio.run(work(url))


def pgbench(folder: Path, seconds: int) -> Callable[[str], float]:
    """Inserts a second of `pgbench` with sixteen connections."""
    script = folder / "insert.sql"
    script.write_text(" ".join(SCRIPT.split("\n")) + "\n")

    def work(url: str) -> float:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(TABLE)
        options = ["-n", "-M", "prepared", "-c", str(CALLERS), "-T", str(seconds)]
        said = subprocess.run(
            [program("pgbench"), *options, "-f", script, url],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        found = re.search(r"tps = ([\d.]+)", said)
        assert found is not None, said
        return float(found[1])

    return work
