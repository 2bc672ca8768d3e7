"""Schema: whose schema it is, and bringing a store's tables up to date.

Answers for: the format of the store that is there, running what is still to be done in
one transaction, and what was chosen for good when the store was made.
Leaves to others: the text (`ddl`), which steps there are (`schema/format`).
Always holds: a schema that is not a store of ours is not written to; of two processes
that make the same store, one does, and the other finds it made.
"""

from typing import Any, TypeAlias

import msgspec
import psycopg

from holdfast.clock import Clock
from holdfast.engine import Part
from holdfast.engines.lines import pending_of
from holdfast.engines.postgres import ddl
from holdfast.engines.postgres.target import Target
from holdfast.errors import NotAStore
from holdfast.schema import format as formats
from holdfast.schema.format import Stamp

_Connection: TypeAlias = psycopg.Connection[Any]
_OURS = {"store", "change", "migration"}


def said(connection: _Connection, target: Target) -> dict[str, str] | None:
    """What the store in this schema says of itself; None if nothing is there.

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
    if not names >= _OURS:
        raise NotAStore(
            f"{target.place}: this schema has another program's tables; they were left "
            "as they were: choose another one with schema="
        )
    rows = _ask(connection, f"select name, value from {target.schema}.store")
    return {str(name): str(value) for name, value in rows}


def stamp(said: dict[str, str]) -> Stamp:
    """The format that a store says it has."""
    return Stamp.of(said)


def declared(target: Target, said: dict[str, str]) -> Target:
    """The target with what was chosen for good when its store was made."""
    return msgspec.structs.replace(
        target,
        partitions=int(said.get("partitions", 0)),
        row_security=said.get("row_security") == "on",
    )


def pending(
    connection: _Connection, target: Target, parts: tuple[Part, ...]
) -> list[str]:
    """What is still to be done to the tables, each step in words."""
    return pending_of(parts, versions(connection, target))


def make(
    connection: _Connection, target: Target, parts: tuple[Part, ...], clock: Clock
) -> None:
    """Make what is not there yet, and run the migrations that were not run."""
    with connection.transaction():
        lock = ddl.locks_of(target.schema).making
        _ask(connection, f"select pg_advisory_xact_lock({lock})")
        there, have = said(connection, target), {}
        if there is not None:  # another process may have brought it further by now
            formats.admit(target.place, stamp(there), read_only=False)
            have = versions(connection, target)
            if not pending_of(parts, have):
                return
            target = declared(target, there)
        for text in ddl.script(target, parts, clock, have):
            connection.execute(text.encode())


def versions(connection: _Connection, target: Target) -> dict[str, int]:
    """Which version the tables of each line have."""
    rows = _ask(
        connection,
        f"select kind, max(version) from {target.schema}.migration group by kind",
    )
    return {str(kind): int(version) for kind, version in rows}


def _ask(connection: _Connection, text: str, *values: object) -> list[tuple[Any, ...]]:
    return connection.execute(text.encode(), values or None).fetchall()
