"""Opening: from a path to a file with today's tables in it.

Answers for: looking before anything is touched, and making or migrating the tables.
Always holds: a file that is no store, or one that a newer holdfast owns, is left as it
was.
"""

from collections.abc import Callable

import apsw

from holdfast.clock import Clock
from holdfast.engine import Options, Part
from holdfast.engines.lines import refuse_pending
from holdfast.engines.sqlite import schema
from holdfast.engines.sqlite.place import Place
from holdfast.errors import CannotOpen, NotAStore
from holdfast.schema import format as formats


def is_ready(
    place: Place,
    parts: tuple[Part, ...],
    options: Options,
    connect: Callable[..., apsw.Connection],
) -> bool:
    """Whether the file has today's tables; only looks at it.

    Raises `CannotOpen`, `NotAStore`, `TooNew`, and `NeedsMigration` if the tables are
    older and must not be touched.
    """
    there = place.prepare(create=not options.read_only)
    found = _look(place, parts, options, connect) if there else None
    if found is None:
        if options.read_only:
            raise CannotOpen(f"there is no store in {place} yet")
        return False
    if found and (options.read_only or options.migrate == "check"):
        refuse_pending(str(place), found)
    return not found


def _look(
    place: Place,
    parts: tuple[Part, ...],
    options: Options,
    connect: Callable[..., apsw.Connection],
) -> list[str] | None:
    """What is still to be done to the tables; None if there are none at all."""
    connection = _reading(place, options, connect)
    try:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.execute("begin")  # another process may be making the tables
        stamp = schema.recognise(connection, str(place))
        if stamp is None:
            return None
        formats.admit(
            str(place), stamp, read_only=options.read_only, filling=options.filling
        )
        return schema.pending(connection, parts)
    finally:
        connection.close()


def _reading(
    place: Place, options: Options, connect: Callable[..., apsw.Connection]
) -> apsw.Connection:
    """A connection that only reads, also where the making of a store was broken off.

    SQLite must take back what was begun, which it cannot do while it only reads.
    """
    try:
        return connect(read_only=True)
    except apsw.ReadOnlyError as error:
        if not place.half_made():
            raise NotAStore(
                f"{place} was left by another program in the midst of a write; it was "
                "left as it was: choose another path"
            ) from error
        if options.read_only:
            raise CannotOpen(f"there is no store in {place} yet") from error
    connect().close()
    return connect(read_only=True)


def bring_up(
    connection: apsw.Connection | None, parts: tuple[Part, ...], clock: Clock
) -> None:
    """Make today's tables, or lead older ones there."""
    assert connection is not None
    schema.make(connection, parts, clock)
