"""DDL: the text that makes a store's tables on PostgreSQL, and its journal's triggers.

Answers for: turning the shared tables' text into PostgreSQL's, and writing the
functions that journal every change of a row.
Leaves to others: running it (schema), which tables there are (`schema/*.sql`).
Always holds: the journal is written at COMMIT, by deferred triggers, under one lock for
the store: whoever changes a row, by whatever program, is journalled, and the order of
`seq` is the order of commits. Every name says its schema, so that no `search_path`
leads a trigger astray.
"""

import hashlib
import re
from collections.abc import Iterable

import msgspec

from holdfast.engine import Table
from holdfast.engines.postgres.failures import TOO_NEW

NUMBERS_AT_ONCE = 64
"""How many numbers for rows a process takes from the sequence at a time."""
_FIRST_NUMBER = 2**39
"""Numbers of rows made here begin where those made on SQLite never come, so that a
store can be copied either way; they fit into the 40 bits that an id has for them."""
_LOCK_SPACE = 0x68667374
_COLUMN = re.compile(r"^(\s+\w+) (integer|text|blob|real)\b", re.MULTILINE)
_TYPES = {
    "integer": "bigint",
    "text": 'text collate "C"',
    "blob": "bytea",
    "real": "double precision",
}
_SQLITE_ONLY = re.compile(r"\)\s*(?:strict|without rowid)(?:\s*,\s*\w+(?: \w+)?)?\s*;")


def tables(text: str) -> str:
    """The shared text of some tables, as PostgreSQL has it."""
    typed = _COLUMN.sub(lambda found: f"{found[1]} {_TYPES[found[2]]}", text)
    return _SQLITE_ONLY.sub(");", typed)


def own() -> str:
    """What a store has on PostgreSQL alone."""
    return (
        f"create sequence number increment by {NUMBERS_AT_ONCE} "
        f"start with {_FIRST_NUMBER};\n"
        "-- By a receipt it is known whether a unit was committed.\n"
        "create table receipt (id uuid primary key, at bigint not null, "
        'actor text collate "C", cause text collate "C", format bigint not null, '
        "calls bigint);\n"
        "alter table change set (fillfactor = 90);\n"
    )


def journal(schema: str) -> str:
    """The functions and triggers that the journal itself has."""
    s, locks = schema, locks_of(schema)
    return f"""
create or replace function {s}.admits(format bigint) returns void language plpgsql as $$
begin
    perform pg_catalog.pg_advisory_xact_lock_shared({locks.making});
    if format < (select s.value::bigint from {s}.store s
        where s.name = 'writes_from') then
        raise exception 'only a newer holdfast may write here by now; nothing was '
            'written: upgrade holdfast' using errcode = '{TOO_NEW}';
    end if;
end $$;
create or replace function {s}.receipt_given() returns trigger language plpgsql as $$
begin
    if new.calls is not null
        and new.calls <> (select r.calls from {s}.receipt r where r.id = new.id) then
        return null;
    end if;
    update {s}.change c set actor = new.actor, cause = new.cause,
        at = greatest(new.at, (select b.at from {s}.change b
            where b.at is not null order by b.seq desc limit 1))
    where c.seq = (select max(l.seq) from {s}.change l) and c.at is null;
    if found and not pg_catalog.pg_try_advisory_xact_lock({locks.listening}) then
        perform pg_catalog.pg_notify('{channel(schema)}', '');
    end if;
    return null;
end $$;
create or replace function {s}.change_kept() returns trigger language plpgsql as $$
begin
    if tg_level = 'STATEMENT' or old.seq > (select s.value::bigint from {s}.store s
        where s.name = 'journal_floor') then
        raise exception 'the journal is not to be unwritten';
    end if;
    return old;
end $$;
create or replace function {s}.refuse() returns trigger language plpgsql as $$
begin
    raise exception '%', tg_argv[0];
end $$;
drop trigger if exists receipt_given on {s}.receipt;
create constraint trigger receipt_given after insert or update on {s}.receipt
    deferrable initially deferred
    for each row execute function {s}.receipt_given();
drop trigger if exists change_kept on {s}.change;
create trigger change_kept before delete on {s}.change
    for each row execute function {s}.change_kept();
drop trigger if exists change_not_emptied on {s}.change;
create trigger change_not_emptied before truncate on {s}.change
    for each statement execute function {s}.change_kept();
drop trigger if exists change_fixed on {s}.change;
create trigger change_fixed before update on {s}.change for each row
    when (old.at is not null or new.at is null or new.seq <> old.seq
        or new.kind <> old.kind or new.owner <> old.owner or new.no <> old.no
        or new.op <> old.op)
    execute function {s}.refuse('the journal is not to be rewritten');
"""


def images(
    schema: str,
    table: Table,
    columns: Iterable[tuple[str, str]],
    indexes: Iterable[str],
) -> str:
    """The table of a table's images, with its columns, typed, and its indexes."""
    name = f"{schema}.was_{table.name}"
    typed = ", ".join(f"{column} {kind}" for column, kind in columns)
    made = "".join(
        f"create index was_{table.name}_{wanted.replace(', ', '_')} on {name} "
        f"({wanted}, died);\n"
        for wanted in indexes
    )
    return (
        f"create table {name} (died bigint primary key, born bigint not null, "
        f"no bigint not null, {typed});\n{made}"
    )


def journalised(schema: str, table: str, columns: Iterable[str]) -> str:
    """The function that journals a table's changes, and its triggers."""
    s, columns = schema, list(columns)
    names = ", ".join(columns)
    old = ", ".join(f"old.{column}" for column in columns)
    return f"""
create or replace function {s}.{table}_journal() returns trigger language plpgsql as $$
declare
    died bigint;
begin
    perform pg_catalog.pg_advisory_xact_lock({locks_of(schema).committing});
    if tg_op = 'INSERT' then
        insert into {s}.change (seq, kind, owner, no, op)
        select coalesce(max(c.seq), 0) + 1, '{table}', new.owner, new.no, 'create'
        from {s}.change c;
        return null;
    end if;
    insert into {s}.change (seq, kind, owner, no, op)
    select coalesce(max(c.seq), 0) + 1, '{table}', old.owner, old.no, lower(tg_op)
    from {s}.change c
    returning seq into died;
    insert into {s}.was_{table} (died, born, no, {names})
    values (died, coalesce(
        (select max(c.seq) from {s}.change c
            where c.no = old.no and c.op <> 'create' and c.seq < died),
        (select max(c.seq) from {s}.change c
            where c.no = old.no and c.op = 'create' and c.no <> c.seq),
        old.no), old.no, {old});
    return null;
end $$;
drop trigger if exists {table}_journal on {s}.{table};
create constraint trigger {table}_journal after insert or update or delete
    on {s}.{table} deferrable initially deferred
    for each row execute function {s}.{table}_journal();
drop trigger if exists {table}_numbered on {s}.{table};
create trigger {table}_numbered before update of no on {s}.{table} for each row
    when (new.no <> old.no)
    execute function {s}.refuse('the number of a row never changes');
drop trigger if exists {table}_not_emptied on {s}.{table};
create trigger {table}_not_emptied before truncate on {s}.{table}
    for each statement execute function {s}.refuse('rows are deleted, not truncated');
"""


def channel(schema: str) -> str:
    """What listeners of a store listen to."""
    return f"holdfast_{schema}"


class Locks(msgspec.Struct, frozen=True):
    """The store's advisory locks, each as the two arguments that name it."""

    committing: str
    """Held from a transaction's first change in the journal to its commit."""
    listening: str
    """Shared by those who listen: without them, nobody needs to be told."""
    making: str
    """Shared by those who write; alone by who changes the tables."""


def locks_of(schema: str) -> Locks:
    """The locks of the store in a schema."""
    digest = hashlib.blake2b(schema.encode(), digest_size=4).digest()
    number = int.from_bytes(digest, "big", signed=True)
    return Locks(*(f"{_LOCK_SPACE + which}, {number}" for which in range(3)))
