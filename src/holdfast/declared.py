"""Declared kinds: holdfast's own and a user's, as every store opened from now on.

Answers for: `holdfast.kind(…)`, and the registry that a store is opened with.
Always holds: a name is declared once, is no attribute that a store has for itself, and
every table of a kind has the columns that the journal and the owners' wall need.
"""

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from holdfast.contract import Kind, Registry
from holdfast.engine import Part, Table
from holdfast.errors import Refused
from holdfast.guarantees import Guarantee, Promise
from holdfast.indexes import Derived, bookkeeping, part_of
from holdfast.journal import Journal
from holdfast.kinds.agents import Agents
from holdfast.kinds.checkpoints import Checkpoints
from holdfast.kinds.events import Events
from holdfast.kinds.inbox import Inbox
from holdfast.kinds.index import Index
from holdfast.kinds.items import Items
from holdfast.kinds.jobs import Jobs
from holdfast.kinds.leases import Leases
from holdfast.kinds.machines import Machines
from holdfast.kinds.observations import Observations
from holdfast.kinds.schedules import Schedules
from holdfast.kinds.sessions import Sessions
from holdfast.kinds.state import State
from holdfast.kinds.tasks import Tasks
from holdfast.kinds.threads import Threads
from holdfast.kinds.toolsets import Toolsets
from holdfast.kinds.workspaces import Workspaces
from holdfast.memories import MEMORIES
from holdfast.schema.catalog import catalog
from holdfast.schema.statements import TABLES, parse
from holdfast.searching.index import SearchIndex

D = TypeVar("D", bound=type[Derived])
K = TypeVar("K", bound=type[Kind])
OURS: tuple[type[Kind], ...] = (
    Journal,
    Agents,
    Checkpoints,
    Events,
    Inbox,
    Index,
    Items,
    Jobs,
    Leases,
    Machines,
    Observations,
    Schedules,
    Sessions,
    State,
    Tasks,
    Threads,
    Toolsets,
    Workspaces,
)
"""The kinds that every store has."""
RESERVED = frozenset(
    {
        "across_owners",
        "aio",
        "as_of",
        "begin",
        "call",
        "changes",
        "check",
        "consult",
        "close",
        "derived",
        "diff",
        "holding",
        "join",
        "lease",
        "moment",
        "now",
        "of",
        "on",
        "operations",
        "owned_by",
        "owner",
        "owners",
        "perform",
        "place",
        "read",
        "revert",
        "rebuild",
        "run",
        "savepoint",
        "search",
        "sync",
        "transaction",
        "usage",
        "watch",
        "watch_query",
    }
)
"""What stores and transactions have for themselves, and no kind may be called."""
_declared: dict[str, type[Kind]] = {kind.name: kind for kind in OURS}
_indexes: dict[str, Derived] = {"search": SearchIndex()}
_current: list[Registry] = []
"""The registry of what is declared, once it was asked for."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_CREATED = re.compile(r"create table (\w+) \((.*?)\n\)", re.DOTALL | re.IGNORECASE)
_NAMED = re.compile(
    r"create (?:unique |virtual )?(?:table|index|trigger|view) (\w+)", re.IGNORECASE
)
_NEEDED = {"no": "integer primary key", "owner": "text not null"}


def kind(
    name: str,
    *,
    sql: str,
    promise: Promise = Promise.DURABLE,
    json: Iterable[str] = (),
    text: Iterable[str] = (),
    migrations: Iterable[str] = (),
) -> Callable[[K], K]:
    """Declare a kind of state of your own; every store opened from now on has it.

    Decorates a class that derives from `Kind`. `sql` has the form of holdfast's own
    `.sql` files: a block `-- tables --`, then named statements. `json` names columns
    that hold JSON text, `text` those that people's words are in, which `store.search`
    looks through. `migrations` lead older stores' tables to those of `sql`, which is
    always today's. Raises `Refused` for a name or a table that cannot be.
    """
    blocks = parse(sql)
    made = _tables(name, blocks[TABLES].text if TABLES in blocks else "")
    json, text = tuple(json), tuple(text)
    tables = tuple(
        Table(table, json=json, text=tuple(name for name in text if name in columns))
        for table, columns in made.items()
    )
    if missing := set(text) - {name for columns in made.values() for name in columns}:
        raise Refused(f"kind {name!r}: no table has text in {sorted(missing)}")

    def declare(cls: K) -> K:
        _refuse_taken(name, cls)
        _refuse_clash(Part(name, sql, tables, own=True))
        cls.name, cls.promise, cls.tables = name, promise, tables
        cls.sql, cls.migrations = sql, tuple(migrations)
        _declared[name] = cls
        _current.clear()
        return cls

    return declare


def index(cls: D) -> D:
    """Declare a derived index; every store opened from now on has it.

    Decorates a class that derives from `Derived`, and is made without arguments. Raises
    `Refused` for a name or a table that cannot be.
    """
    taken = _indexes.get(cls.name)
    same = taken is not None and type(taken).__qualname__ == cls.__qualname__
    if not _NAME.fullmatch(cls.name):
        raise Refused(f"{cls.name!r} is no name for an index (lower case, a-z, 0-9, _)")
    if cls.name in RESERVED | _declared.keys() or (taken is not None and not same):
        raise Refused(f"a store has {cls.name!r} already: give the index another name")
    made = cls()
    _refuse_clash(part_of(made, registry().tables()))
    _indexes[cls.name] = made
    _current.clear()
    return cls


def registry() -> Registry:
    """The kinds that are declared now."""
    if not _current:
        _current.append(_registry())
    return _current[0]


def _registry() -> Registry:
    known = {name: found.tables for name, found in _declared.items()}
    journal = type("Journal", (Journal,), {"known": known, "__doc__": Journal.__doc__})
    every = type("Journal", (journal,), {"all_owners": True})
    kinds = {**_declared, "journal": journal}
    return Registry(kinds, every, _indexes.values())


def guarantees() -> tuple[Guarantee, ...]:
    """What is promised of each kind, of each index, and of what is neither."""
    kinds = (found.guarantee() for found in _declared.values())
    indexes = (found.guarantee() for found in _indexes.values())
    return (*kinds, *indexes, *others())


def others() -> tuple[Guarantee, ...]:
    """What is promised of state that is neither a kind nor an index."""
    return MEMORIES


def _refuse_taken(name: str, cls: type[Kind]) -> None:
    if not _NAME.fullmatch(name):
        raise Refused(f"{name!r} is no name for a kind (lower case, a-z, 0-9, _)")
    taken = _declared.get(name)
    same = taken is not None and taken.__qualname__ == cls.__qualname__
    known = taken is not None and (taken in OURS or not same)
    if name in RESERVED | _indexes.keys() or known:
        raise Refused(f"a store has {name!r} already: give the kind another name")


def _refuse_clash(part: Part) -> None:
    """Refuse names that another kind has in the schema: no store would open."""
    others = [found.part() for name, found in _declared.items() if name != part.kind]
    indexes = [bookkeeping(), *(part_of(found, ()) for found in _indexes.values())]
    others += [found for found in indexes if found.kind != part.kind]
    taken = {name for other in others for name in _made(other)}
    for name in _made(part):
        if name in taken or name.startswith(("was_", "sqlite_", "search_")):
            raise Refused(
                f"kind {part.kind!r}: a store has or keeps for itself the name {name!r}"
            )
    try:
        catalog((*others, part))
    except ValueError as error:
        raise Refused(f"kind {part.kind!r}: {error}") from None


def _made(part: Part) -> list[str]:
    return [name.lower() for name in _NAMED.findall(parse(part.sql)[TABLES].text)]


def _tables(kind_name: str, text: str) -> dict[str, list[str]]:
    """The tables that a text makes, each with the columns of it that have text."""
    found = {match[1]: match[2] for match in _CREATED.finditer(text)}
    if not found:
        raise Refused(f"kind {kind_name!r}: no `create table name (` in its tables")
    for table, columns in found.items():
        for column, wanted in _NEEDED.items():
            if not re.search(rf"^\s*{column} {wanted}", columns, re.MULTILINE):
                raise Refused(
                    f"kind {kind_name!r}: table {table} needs `{column} {wanted}`"
                )
    if "unique (owner, id)" not in found[next(iter(found))]:
        raise Refused(f"kind {kind_name!r}: its first table needs `unique (owner, id)`")
    return {
        table: re.findall(r"^\s*(\w+) text\b", columns, re.MULTILINE)
        for table, columns in found.items()
    }
