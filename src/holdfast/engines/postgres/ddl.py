"""DDL: the text that makes a store's tables on PostgreSQL, and its journal.

Answers for: turning the shared tables' text into PostgreSQL's, dividing tables by
owner, the names of the store's own locks, and the whole script in order.
Leaves to others: running it (schema), the triggers' text (`schema/postgres/making`).
Always holds: the script can be run by anybody who may make tables, psql included.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping

import msgspec

from holdfast.clock import Clock, uuid7
from holdfast.engine import Part
from holdfast.engines.lines import SAID_AGAIN, Line, format_said, lines_of
from holdfast.engines.postgres.failures import TOO_NEW
from holdfast.engines.postgres.target import Target
from holdfast.errors import CannotOpen
from holdfast.schema import format as formats
from holdfast.schema.statements import shipped

NUMBERS_AT_ONCE = 64
"""How many numbers for rows a process takes from the sequence at a time."""
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_LOCK_SPACE = 0x68667374
_COLUMN = re.compile(
    r"^(\s+\w+|.*\badd column \w+) (integer|text|blob|real)\b", re.MULTILINE
)
_TYPES = {
    "integer": "bigint",
    "text": 'text collate "C"',
    "blob": "bytea",
    "real": "double precision",
}
_SQLITE_ONLY = re.compile(r"\)\s*(?:strict|without rowid)(?:\s*,\s*\w+(?: \w+)?)?\s*;")
_TABLE = re.compile(r"create table (\w+) \((.*?)\n\);", re.DOTALL)
_UNIQUE = re.compile(r"(unique(?: index \w+ on \w+)?) \((?!owner\b)")


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


_CREATED = (  # "if not exists" would ask for the right to create one all the same
    "do $$ begin if pg_catalog.to_regnamespace('{0}') is null then "
    "create schema {0}; end if; end $$"
)


def channel(schema: str) -> str:
    """What listeners of a store listen to."""
    return f"holdfast_{schema}"


def script(
    target: Target,
    parts: tuple[Part, ...],
    clock: Clock,
    have: Mapping[str, int],
) -> list[str]:
    """What makes the tables, or leads those of some versions to today's, in order."""
    now, new = clock.now_us(), not have
    steps = ["set local client_min_messages = warning"]
    steps += [_CREATED.format(target.schema)] if new else []
    steps += [f"set local search_path = {target.schema}"]
    journalled = [t.name for part in parts for t in part.tables if t.journalled]
    if not new:  # what a migration does to rows, anyone's, is no change of state
        steps += ["set local holdfast.every_owner = 'on'"]
        steps += [f"drop trigger if exists {n}_journal on {n}" for n in journalled]
    for line in lines_of(parts, "postgres"):
        steps += _line(line, target, have.get(line.kind, 0), now)
    if new:
        steps += [_own()]
        id = uuid7(now, clock.chance())
        steps += [_put({"id": id, "created_at": str(now), "journal_floor": "0"})]
        steps += [_put(_declared(target))]
    if have.get(formats.OUR_LINE, 0) <= formats.VERSION:
        steps += [_put(format_said())]
    steps += [_making("journal", target)]
    steps += [f"select {target.schema}.journalise('{name}')" for name in journalled]
    if target.row_security:
        steps += [_making("owners", target)]
    return steps


def granted(schema: str, role: str) -> list[str]:
    """What lets a role use a store, without the right to change its tables.

    Raises `CannotOpen` for a name that is not safe.
    """
    if not _IDENTIFIER.fullmatch(role):
        raise CannotOpen(f"{role[:60]!r} is no safe name for a role: a-z, 0-9 and _")
    every = f"in schema {schema} to {role}"
    return [
        f"grant usage on schema {schema} to {role}",
        f"grant select, insert, update, delete on all tables {every}",
        f"grant usage on all sequences {every}",
    ]


def tables(text: str, partitions: int = 0) -> str:
    """The shared text of some tables, as PostgreSQL has it."""
    typed = _COLUMN.sub(lambda found: f"{found[1]} {_TYPES[found[2]]}", text)
    plain = _SQLITE_ONLY.sub(");", typed)
    return _divided(plain, partitions) if partitions else plain


def _divided(text: str, partitions: int) -> str:
    """Tables whose rows have numbers, divided by owner: so are their unique keys."""

    def divide(found: re.Match[str]) -> str:
        name, columns = found[1], found[2]
        if "\n    no bigint primary key," not in columns:
            return found[0]
        columns = columns.replace("no bigint primary key", "no bigint not null", 1)
        parts = "".join(
            f"\ncreate table {name}_of_{number} partition of {name} "
            f"for values with (modulus {partitions}, remainder {number});"
            for number in range(partitions)
        )
        key = "primary key (no, owner)"
        return (
            f"create table {name} ({columns},\n    {key}\n) "
            f"partition by hash (owner);{parts}"
        )

    return _UNIQUE.sub(r"\1 (owner, ", _TABLE.sub(divide, text))


def _line(line: Line, target: Target, have: int, now: int) -> Iterable[str]:
    for text in line.steps[have - 1 :] if have else line.tables:
        yield tables(text, target.partitions)
    for version in range(have + 1, line.version + 1):
        yield (
            "insert into migration (kind, version, at) "
            f"values ('{line.kind}', {version}, {now})"
        )


def _own() -> str:
    """What a store has on PostgreSQL alone."""
    return (
        f"create sequence number increment by {NUMBERS_AT_ONCE} "
        f"start with {formats.ELSEWHERE};\n"
        "-- By a receipt it is known whether a unit was committed.\n"
        "create table receipt (id uuid primary key, at bigint not null, "
        'actor text collate "C", cause text collate "C", format bigint not null);\n'
        "alter table change set (fillfactor = 90);"
    )


def _declared(target: Target) -> dict[str, str]:
    """What was chosen for good when the store was made."""
    return {
        "partitions": str(target.partitions),
        "row_security": "on" if target.row_security else "off",
    }


def _put(said: Mapping[str, str]) -> str:
    pairs = ", ".join(f"('{name}', '{value}')" for name, value in said.items())
    return f"insert into store (name, value) values {pairs} {SAID_AGAIN}"


def _making(name: str, target: Target) -> str:
    """One of the scripts that come with holdfast, for this store."""
    locks = locks_of(target.schema)
    said = {
        "schema": target.schema,
        "channel": channel(target.schema),
        "committing": locks.committing,
        "listening": locks.listening,
        "making": locks.making,
        "too_new": TOO_NEW,
        "elsewhere": str(formats.ELSEWHERE),
        "past_the_wall": _wall(target, "on"),
        "behind_the_wall": _wall(target, "off"),
    }
    text = shipped(f"postgres/making/{name}")
    return re.sub(r"\{(\w+)\}", lambda found: said[found[1]], text)


def _wall(target: Target, every: str) -> str:
    """Within a trigger: whether all owners' rows are seen, where there is a wall."""
    if not target.row_security:
        return ""
    return f"perform pg_catalog.set_config('holdfast.every_owner', '{every}', true);"
