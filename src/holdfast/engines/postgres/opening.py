"""Opening: from a target to a schema with today's tables in it.

Answers for: looking before anything is touched, what to say of a server that does not
let us in, making or migrating the tables.
Always holds: a schema that is no store, or one that a newer holdfast owns, is left as
it was; no message has a password in it.
"""

from typing import Any

import msgspec
import psycopg

from holdfast.engine import Options, Part
from holdfast.engines.lines import refuse_pending
from holdfast.engines.postgres import ddl, schema
from holdfast.engines.postgres.failures import (
    Patience,
    is_conflict,
    state_of,
    translated,
)
from holdfast.engines.postgres.links import connect
from holdfast.engines.postgres.target import Target
from holdfast.errors import CannotOpen
from holdfast.schema import format as formats

_OLDEST = 140_000
_NO_ENTRY = {
    "session is read-only": "is a standby, which only reads: name the primary too, or "
    "open it with read_only=True",
    'FATAL:  database "': "has no such database ({said}): create it first",
    "FATAL:": "does not let us in ({said}): look at the user and the password",
    "password": "does not let us in ({said}): give a password",
    "": "cannot be reached ({said}): look whether a server runs there",
}
"""What libpq says when it cannot connect, and what we say then."""


def bring_up(
    target: Target, parts: tuple[Part, ...], options: Options
) -> tuple[Target, str]:
    """Make sure that today's tables are there; the target as it is, and the store's id.

    Raises `CannotOpen`, `NotAStore`, `TooNew`, `NeedsMigration`.
    """
    patience = Patience(0)
    while True:
        try:
            with _connected(target) as connection:
                return _brought_up(connection, target, parts, options)
        except psycopg.Error as error:
            if is_conflict(error) and patience.again(error):  # a reader was in the way
                continue
            if state_of(error) == "42501":
                raise CannotOpen(
                    f"{target.place}: this user may not do that "
                    f"({_first_line(error)}): have the tables made by one who may "
                    "(holdfast migrate --print-sql)"
                ) from error
            raise translated(error, target.place) from error


def script_for_others(
    target: Target, parts: tuple[Part, ...], options: Options, role: str | None
) -> str:
    """The SQL that makes the tables, or leads those that are there to today's.

    To be run by one who may make tables, where this user may not. Raises `CannotOpen`,
    `NotAStore`, `TooNew`.
    """
    with _connected(target) as connection:
        there, have = schema.said(connection, target), {}
        if there is not None:
            formats.admit(target.place, schema.stamp(there), read_only=False)
            have = schema.versions(connection, target)
            target = schema.declared(target, there)
            if not schema.pending(connection, target, parts):
                return "-- the tables are those of this version already\n"
    steps = ddl.script(target, parts, options.clock, have)
    steps += [] if role is None else ddl.granted(target.schema, role)
    text = ";\n".join(step.strip().removesuffix(";") for step in steps)
    return f"begin;\n{text};\ncommit;\n"


def _connected(target: Target) -> psycopg.Connection[Any]:
    try:
        return connect(target.conninfo)
    except psycopg.Error as error:
        said = str(error)
    says = next(says for sign, says in _NO_ENTRY.items() if sign in said)
    raise CannotOpen(f"{target.place} {says.format(said=_last_line(said))}")


def _brought_up(
    connection: psycopg.Connection[Any],
    target: Target,
    parts: tuple[Part, ...],
    options: Options,
) -> tuple[Target, str]:
    version = connection.info.server_version
    if version < _OLDEST:
        raise CannotOpen(
            f"{target.place} is PostgreSQL {version // 10_000}, and holdfast needs 14 "
            "or later"
        )
    there = schema.said(connection, target)
    if there is None and options.read_only:
        raise CannotOpen(f"there is no store in {target.place} yet")
    steps: list[str] = []
    if there is not None:
        formats.admit(
            target.place,
            schema.stamp(there),
            read_only=options.read_only,
            filling=options.filling,
        )
        steps = schema.pending(connection, target, parts)
        if options.read_only or options.migrate == "check":
            refuse_pending(target.place, steps)
    if there is None or steps:
        schema.make(connection, target, parts, options.clock)
        there = schema.said(connection, target)
    assert there is not None
    _refuse_other_choice(target, there)
    target = schema.declared(target, there)
    if target.row_security:
        _refuse_past_the_wall(connection, target)
    commits = _commits(connection, options.durability)
    return msgspec.structs.replace(target, synchronous_commit=commits), there["id"]


def _commits(connection: psycopg.Connection[Any], durability: str) -> str:
    """How commits are to wait, if otherwise than the server has it.

    A server that would not wait for its disk is told to; one that waits for standbys
    is left to that.
    """
    if durability == "process-crash":
        return "off"
    row = connection.execute("show synchronous_commit").fetchone()
    return "on" if row == ("off",) else ""


def _refuse_other_choice(target: Target, said: dict[str, str]) -> None:
    """Refuse what would have had to be chosen when the store was made."""
    found = schema.declared(target, said)
    if target.partitions not in {0, found.partitions}:
        raise CannotOpen(
            f"{target.place} was made with {found.partitions or 'no'} partitions, for "
            "good: open it without partitions=, or copy it into a store that is made "
            "with as many as you want"
        )
    if target.row_security and not found.row_security:
        raise CannotOpen(
            f"{target.place} was made without row-level security: open it without "
            "row_security=, or copy it into a store that was made with it"
        )


def _refuse_past_the_wall(connection: psycopg.Connection[Any], target: Target) -> None:
    """Refuse a user whom row-level security does not hold: there would be no wall."""
    row = connection.execute(
        "select rolsuper or rolbypassrls from pg_catalog.pg_roles "
        "where rolname = current_user"
    ).fetchone()
    if row and row[0]:
        raise CannotOpen(
            f"{target.place} has row-level security, which does not hold this user (a "
            "superuser, or one with BYPASSRLS): open it as another"
        )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _last_line(said: str) -> str:
    """The last line that tells of a failure; libpq has a hint after it, indented."""
    lines = [line for line in said.splitlines() if line.strip() and line[0] != "\t"]
    return lines[-1].strip() if lines else "no reason given"
