"""Schema: making a store's tables, and bringing an older store's up to date.

Answers for: whose file it is, which format it has, running each migration in one
transaction, and the triggers that write the journal.
Leaves to others: what the tables are (`schema/`), which steps there are (`format`).
Always holds: a file that is not a store of ours is not written to; of two processes
that make the same store, one does, and the other finds it made.
"""

import apsw

from holdfast.clock import Clock, uuid7
from holdfast.engine import Part, Table
from holdfast.engines.lines import SAID_AGAIN, Line, format_said, lines_of, pending_of
from holdfast.engines.sqlite.connection import APPLICATION_ID, set_wal
from holdfast.errors import NotAStore
from holdfast.schema import format as formats
from holdfast.schema.format import ELSEWHERE, Stamp

_TRIGGERS = ("created", "numbered", "updated", "deleted")
_UNGUARDED = "drop trigger if exists change_kept; drop trigger if exists change_fixed"


def recognise(connection: apsw.Connection, place: str) -> Stamp | None:
    """The format of the store in this file; None for a file with nothing in it.

    Raises `NotAStore` for another program's file.
    """
    found = connection.pragma("application_id")
    if found == APPLICATION_ID:
        return stamp(connection)
    if found == 0 and not connection.execute("select 1 from sqlite_schema").fetchall():
        return None
    raise NotAStore(
        f"{place} is a database of another program; it was left as it was: "
        "choose another path"
    )


def stamp(connection: apsw.Connection) -> Stamp:
    """What the file says of its own format."""
    rows = connection.execute("select name, value from store").fetchall()
    return Stamp.of({str(name): str(value) for name, value in rows})


def pending(connection: apsw.Connection, parts: tuple[Part, ...]) -> list[str]:
    """What is still to be done to the tables, each step in words."""
    return pending_of(parts, _versions(connection))


def make(connection: apsw.Connection, parts: tuple[Part, ...], clock: Clock) -> None:
    """Make what is not there yet, and run the migrations that were not run."""
    if connection.filename and connection.pragma("journal_mode") != "wal":
        set_wal(connection)
    connection.execute("begin immediate")
    try:
        _bring_up(connection, parts, clock)
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _bring_up(
    connection: apsw.Connection, parts: tuple[Part, ...], clock: Clock
) -> None:
    now = clock.now_us()
    new = not connection.execute("select 1 from sqlite_schema").fetchall()
    have = {}
    if not new:  # another process may have brought it further since we looked
        formats.admit(connection.filename, stamp(connection), read_only=False)
        have = _versions(connection)
        _drop_triggers(connection, parts)
    for line in lines_of(parts):
        _bring_line_up(connection, line, have.get(line.kind, 0), now)
    guard(connection, parts)
    if new:
        connection.execute(f"pragma application_id = {APPLICATION_ID}")
        id = uuid7(now, clock.chance())
        _put(connection, {"id": id, "created_at": str(now), "journal_floor": "0"})
    if have.get(formats.OUR_LINE, 0) <= formats.VERSION:
        _put(connection, format_said())


def _versions(connection: apsw.Connection) -> dict[str, int]:
    return dict(
        connection.execute("select kind, max(version) from migration group by kind")
    )


def _bring_line_up(
    connection: apsw.Connection, line: Line, have: int, now: int
) -> None:
    """Make a line's tables as they are today, or run the steps that it lacks."""
    for sql in line.steps[have - 1 :] if have else line.tables:
        connection.execute(sql)
    for version in range(have + 1, line.version + 1):
        connection.execute(
            "insert into migration (kind, version, at) values (?, ?, ?)",
            (line.kind, version, now),
        )


def _put(connection: apsw.Connection, said: dict[str, str]) -> None:
    connection.executemany(
        f"insert into store (name, value) values (?, ?) {SAID_AGAIN}",
        said.items(),
    )


def journalise(connection: apsw.Connection, table: Table) -> None:
    """Have every change of a table's rows journalled, with the row as it was.

    The images have the table's own columns and indexes. Safe to do again: columns that
    were added since are added to the images too.
    """
    name = table.name
    info = connection.execute(
        'select name, type from pragma_table_info(?) where name <> "no"', (name,)
    ).fetchall()
    columns = [str(column) for column, _ in info]
    typed = ", ".join(f"{column} {kind}" for column, kind in info)
    connection.execute(
        f"create table if not exists was_{name} (died integer primary key, "
        f"born integer not null, no integer not null, {typed}) strict"
    )
    kept = _columns(connection, f"was_{name}")
    for column, kind in info:
        if column not in kept:
            connection.execute(f"alter table was_{name} add column {column} {kind}")
    _copy_indexes(connection, name)
    for column in kept - {"died", "born", "no", *columns}:
        connection.execute(f"alter table was_{name} drop column {column}")
    _drop_triggers_of(connection, name)
    connection.execute(_triggers(name, columns))


def _columns(connection: apsw.Connection, table: str) -> set[str]:
    found = connection.execute("select name from pragma_table_info(?)", (table,))
    return {str(name) for (name,) in found}


def _copy_indexes(connection: apsw.Connection, table: str) -> None:
    """Give the images the indexes that the table has by now, ending in `died`."""
    wanted = {f"was_{table}_no": "no, died"}
    for columns in _indexes(connection, table).values():
        wanted[f"was_{table}_{'_'.join(columns)}"] = ", ".join([*columns, "died"])
    have = _indexes(connection, f"was_{table}")
    for name in have.keys() - wanted.keys():
        connection.execute(f"drop index {name}")
    for name in wanted.keys() - have.keys():
        connection.execute(f"create index {name} on was_{table} ({wanted[name]})")


def _indexes(connection: apsw.Connection, table: str) -> dict[str, list[str]]:
    found = connection.execute(
        "select l.name, i.name from pragma_index_list(?) l "
        "join pragma_index_info(l.name) i order by l.name, i.seqno",
        (table,),
    )
    indexes: dict[str, list[str]] = {}
    for name, column in found:
        indexes.setdefault(str(name), []).append(str(column))
    return indexes


def _drop_triggers(connection: apsw.Connection, parts: tuple[Part, ...]) -> None:
    """Let migrations change tables that have triggers: these are made again after.

    What a migration does to rows is no change of state, and is not journalled.
    """
    for part in parts:
        for table in part.tables:
            _drop_triggers_of(connection, table.name)


def _drop_triggers_of(connection: apsw.Connection, table: str) -> None:
    for op in _TRIGGERS:
        connection.execute(f"drop trigger if exists {table}_{op}")


def _triggers(table: str, columns: list[str]) -> str:
    """The triggers of a journalled table: three write the journal, one keeps numbers.

    A new row's number is the `seq` of its own change, so that a row's first version
    needs no entry in the index on `change`. A row from elsewhere has another number:
    if its last change was trimmed, it has been so since the floor at the latest. OR
    IGNORE and OR REPLACE pass from an outer statement into a trigger; neither gets a
    row past the journal.
    """
    names = ", ".join(columns)
    old = ", ".join(f"old.{column}" for column in columns)
    image = (
        f"insert into was_{table} (died, born, no, {names}) values ("
        "last_insert_rowid(), coalesce((select max(c.seq) from change c "
        "where c.no = old.no and c.op <> 'create' and c.seq < last_insert_rowid()), "
        "(select max(c.seq) from change c "
        "where c.no = old.no and c.op = 'create' and c.no <> c.seq), "
        f"case when old.no < {ELSEWHERE} then old.no else (select cast(s.value as "
        "integer) from store s where s.name = 'journal_floor') end), "
        f"old.no, {old});"
    )
    return (
        f"create trigger {table}_created after insert on {table} begin "
        "insert into change (seq, kind, owner, no, op) "
        f"values (new.no, '{table}', new.owner, new.no, 'create');"
        "select raise(abort, 'a row has a number that the journal knows') "
        "where changes() = 0; end;"
        f"create trigger {table}_numbered before update of no on {table} begin "
        "select raise(abort, 'the number of a row never changes'); end;"
        f"create trigger {table}_updated after update on {table} begin "
        "insert into change (kind, owner, no, op) "
        f"values ('{table}', new.owner, new.no, 'update'); {image} end;"
        f"create trigger {table}_deleted after delete on {table} begin "
        "insert into change (kind, owner, no, op) "
        f"values ('{table}', old.owner, old.no, 'delete'); {image} end;"
    )


def unguard(connection: apsw.Connection, parts: tuple[Part, ...]) -> None:
    """Have rows come and go without being journalled."""
    _drop_triggers(connection, parts)
    connection.execute(_UNGUARDED)


def guard(connection: apsw.Connection, parts: tuple[Part, ...]) -> None:
    """Have every change of a row journalled, and the journal kept."""
    for part in parts:
        for table in part.tables:
            if table.journalled:
                journalise(connection, table)
    guard_journal(connection)


def guard_journal(connection: apsw.Connection) -> None:
    """Have the journal refuse to be rewritten, by whatever program, REPLACE included.

    A change is stamped once; one is deleted only when the floor was put above it.
    """
    connection.execute(
        f"{_UNGUARDED};"
        "create trigger change_kept before delete on change when old.seq > (select "
        "cast(value as integer) from store where name = 'journal_floor') begin "
        "select raise(abort, 'the journal is not to be unwritten'); end;"
        "create trigger change_fixed before update on change when old.at is not null "
        "or new.at is null or new.seq <> old.seq or new.kind <> old.kind "
        "or new.owner <> old.owner or new.no <> old.no or new.op <> old.op begin "
        "select raise(abort, 'the journal is not to be rewritten'); end"
    )
