"""Schema: making a store's tables, and bringing an older store's up to date.

Answers for: whose schema it is, which format it has, running each migration in one
transaction, and the script for those who let another user make the tables.
Leaves to others: the text (`ddl`, `schema/*.sql`), which steps there are (`format`).
Always holds: a schema that is not a store of ours is not written to; of two processes
that make the same store, one does, and the other finds it made.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

import psycopg
from psycopg import sql

from holdfast.clock import Clock, uuid7
from holdfast.engine import Part, Table
from holdfast.engines.lines import Line, format_said, lines_of, pending_of
from holdfast.engines.postgres import ddl
from holdfast.engines.postgres.target import Target
from holdfast.errors import NotAStore
from holdfast.schema import format as formats
from holdfast.schema.format import Stamp

_Connection: TypeAlias = psycopg.Connection[Any]
_OLDEST = 140_000


def stamp(connection: _Connection, target: Target) -> Stamp | None:
    """The format of the store in this schema; None for one with nothing in it.

    Raises `NotAStore` for a schema that is another program's.
    """
    found = _ask(
        connection,
        "select c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n "
        "on n.oid = c.relnamespace where n.nspname = %s and c.relkind in ('r', 'p')",
        target.schema,
    )
    names = {str(name) for (name,) in found}
    if not names:
        return None
    if not {"store", "change", "migration"} <= names:
        raise NotAStore(
            f"{target.place}: this schema has another program's tables; they were left "
            "as they were: choose another one with schema="
        )
    rows = _ask(connection, f"select name, value from {target.schema}.store")
    said = {str(name): str(value) for name, value in rows}
    return Stamp(
        int(said["version"]), int(said["reads_from"]), int(said["writes_from"])
    )


def store_id(connection: _Connection, target: Target) -> str:
    """What the store is called, wherever it is kept."""
    ((id,),) = _ask(
        connection, f"select value from {target.schema}.store where name = 'id'"
    )
    return str(id)


def pending(
    connection: _Connection, target: Target, parts: tuple[Part, ...]
) -> list[str]:
    """What is still to be done to the tables, each step in words."""
    return pending_of(parts, _versions(connection, target))


def make(
    connection: _Connection, target: Target, parts: tuple[Part, ...], clock: Clock
) -> None:
    """Make what is not there yet, and run the migrations that were not run."""
    with connection.transaction():
        lock = ddl.locks_of(target.schema).making
        _ask(connection, f"select pg_advisory_xact_lock({lock})")
        there = stamp(connection, target)
        have = {}
        if there is not None:  # another process may have brought it further by now
            formats.admit(target.place, there, read_only=False)
            have = _versions(connection, target)
        for statement in _steps(target, parts, have, clock, new=there is None):
            connection.execute(statement)
        for table in _journalled(parts):
            _journalise(connection, target, table)


def _steps(
    target: Target,
    parts: tuple[Part, ...],
    have: dict[str, int],
    clock: Clock,
    *,
    new: bool,
) -> Iterable[Any]:
    """What makes the tables, or leads them to today's, except for the images."""
    now = clock.now_us()
    if new:
        yield f"create schema if not exists {target.schema}"
    yield f"set local search_path = {target.schema}"
    for line in lines_of(parts):
        yield from _line_steps(line, have.get(line.kind, 0), now)
    if new:
        yield ddl.own()
        id = uuid7(now, clock.chance())
        yield _put({"id": id, "created_at": str(now), "journal_floor": "0"})
    yield ddl.journal(target.schema)
    if have.get(formats.OUR_LINE, 0) <= formats.VERSION:
        yield _put(format_said())


def _line_steps(line: Line, have: int, now: int) -> Iterable[Any]:
    for text in line.steps[have - 1 :] if have else line.tables:
        yield ddl.tables(text)
    for version in range(have + 1, line.version + 1):
        yield sql.SQL(
            "insert into migration (kind, version, at) values ({}, {}, {})"
        ).format(line.kind, version, now)


def _put(said: dict[str, str]) -> sql.Composed:
    pairs = sql.SQL(", ").join(
        sql.SQL("({}, {})").format(name, value) for name, value in said.items()
    )
    return sql.SQL(
        "insert into store (name, value) values {} "
        "on conflict (name) do update set value = excluded.value"
    ).format(pairs)


def _journalise(connection: _Connection, target: Target, table: Table) -> None:
    """Have every change of a table's rows journalled, with the row as it was.

    Safe to do again: columns and indexes follow those of the table.
    """
    s, name = target.schema, table.name
    columns = _columns(connection, target, name)
    wanted = ["no", *_indexes(connection, target, name)]
    kept = dict(_columns(connection, target, f"was_{name}"))
    if not kept:
        connection.execute(ddl.images(s, table, columns, wanted))
    else:
        _follow(connection, target, name, dict(columns), kept)
    text = ddl.journalised(s, name, [column for column, _ in columns])
    connection.execute(text)


def _follow(
    connection: _Connection,
    target: Target,
    name: str,
    columns: dict[str, str],
    kept: dict[str, str],
) -> None:
    """Give the images the columns that the table has by now."""
    images = f"{target.schema}.was_{name}"
    for column in columns.keys() - kept.keys():
        _do(connection, f"alter table {images} add column {column} {columns[column]}")
    for column in kept.keys() - columns.keys() - {"died", "born"}:
        _do(connection, f"alter table {images} drop column {column}")
    wanted = ["no", *_indexes(connection, target, name)]
    have = _indexes(connection, target, f"was_{name}")
    for index in set(wanted) - {kept.removesuffix(", died") for kept in have}:
        made = f"was_{name}_{index.replace(', ', '_')}"
        _do(connection, f"create index {made} on {images} ({index}, died)")


def _columns(
    connection: _Connection, target: Target, table: str
) -> list[tuple[str, str]]:
    """The columns of a table but for `no`, each with its type."""
    rows = _ask(
        connection,
        "select a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), "
        "a.attcollation <> t.typcollation "
        "from pg_catalog.pg_attribute a "
        "join pg_catalog.pg_type t on t.oid = a.atttypid "
        "where a.attrelid = pg_catalog.to_regclass(%s) and a.attnum > 0 "
        "and not a.attisdropped and a.attname <> 'no' order by a.attnum",
        f"{target.schema}.{table}",
    )
    return [(str(n), f'{kind} collate "C"' if c else str(kind)) for n, kind, c in rows]


def _indexes(connection: _Connection, target: Target, table: str) -> list[str]:
    """The columns of each index of a table, but for that of its key."""
    rows = _ask(
        connection,
        "select (select pg_catalog.string_agg(a.attname, ', ' order by k.place) "
        "from pg_catalog.unnest(i.indkey::int2[]) with ordinality k (number, place) "
        "join pg_catalog.pg_attribute a "
        "on a.attrelid = i.indrelid and a.attnum = k.number) "
        "from pg_catalog.pg_index i where i.indrelid = pg_catalog.to_regclass(%s) "
        "and not i.indisprimary order by 1",
        f"{target.schema}.{table}",
    )
    return list(dict.fromkeys(str(columns) for (columns,) in rows))


def _versions(connection: _Connection, target: Target) -> dict[str, int]:
    rows = _ask(
        connection,
        f"select kind, max(version) from {target.schema}.migration group by kind",
    )
    return {str(kind): int(version) for kind, version in rows}


def _journalled(parts: tuple[Part, ...]) -> list[Table]:
    return [table for part in parts for table in part.tables if table.journalled]


def _ask(connection: _Connection, text: str, *values: object) -> list[tuple[Any, ...]]:
    return connection.execute(text, values or None).fetchall()


def _do(connection: _Connection, text: str) -> None:
    connection.execute(text)
