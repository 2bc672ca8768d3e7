"""Opening: from a target to a schema with today's tables in it.

Answers for: looking before anything is touched, what to say of a server that does not
let us in, making or migrating the tables.
Always holds: a schema that is no store, or one that a newer holdfast owns, is left as
it was; no message has a password in it.
"""

from typing import Any

import psycopg

from holdfast.engine import Options, Part
from holdfast.engines.lines import refuse_pending
from holdfast.engines.postgres import schema
from holdfast.engines.postgres.failures import state_of, translated
from holdfast.engines.postgres.links import connect
from holdfast.engines.postgres.target import Target
from holdfast.errors import CannotOpen
from holdfast.schema import format as formats

_OLDEST = 140_000
_STANDBY = "session is read-only"


def bring_up(target: Target, parts: tuple[Part, ...], options: Options) -> str:
    """Make sure that today's tables are there; the store's id.

    Raises `CannotOpen`, `NotAStore`, `TooNew`, `NeedsMigration`.
    """
    try:
        with _connected(target) as connection:
            return _brought_up(connection, target, parts, options)
    except psycopg.Error as error:
        if state_of(error) == "42501":
            raise CannotOpen(
                f"{target.place}: this user may not do that ({_first_line(error)}): "
                "have the tables made by one who may (holdfast migrate --print-sql)"
            ) from error
        raise translated(error, target.place) from error


def _connected(target: Target) -> psycopg.Connection[Any]:
    try:
        return connect(target.conninfo)
    except psycopg.Error as error:
        said = _first_line(error)
        if _STANDBY in str(error):
            raise CannotOpen(
                f"{target.place} is a standby, which only reads: name the primary too, "
                "or open it with read_only=True"
            ) from None
        raise CannotOpen(f"{target.place} does not let us in ({said})") from None


def _brought_up(
    connection: psycopg.Connection[Any],
    target: Target,
    parts: tuple[Part, ...],
    options: Options,
) -> str:
    version = connection.info.server_version
    if version < _OLDEST:
        raise CannotOpen(
            f"{target.place} is PostgreSQL {version // 10_000}, and holdfast needs 14 "
            "or later"
        )
    stamp = schema.stamp(connection, target)
    if stamp is None and options.read_only:
        raise CannotOpen(f"there is no store in {target.place} yet")
    steps: list[str] = []
    if stamp is not None:
        formats.admit(target.place, stamp, read_only=options.read_only)
        steps = schema.pending(connection, target, parts)
        if options.read_only or options.migrate == "check":
            refuse_pending(target.place, steps)
    if stamp is None or steps:
        schema.make(connection, target, parts, options.clock)
    return schema.store_id(connection, target)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
