"""Checks: looking for damage in a store's file.

Answers for: SQLite's own check of the whole file, the journal's order, and the images.
Leaves to others: what to do about what is found.
"""

from holdfast.engine import Part, Report
from holdfast.engines.sqlite.transaction import SqliteTransaction


def check(tx: SqliteTransaction, parts: tuple[Part, ...]) -> Report:
    """Every problem that can be found by reading, and how many rows each table has."""
    tables = [table for part in parts for table in part.tables]
    problems = [
        *(said for (said,) in tx.ask("pragma integrity_check") if said != "ok"),
        *(f"foreign key: {row}" for row in tx.ask("pragma foreign_key_check")),
        *_journal(tx),
    ]
    for table in tables:
        if table.journalled:
            problems += _images(tx, table.name)
    counts = {
        table.name: tx.ask(f"select count(*) from {table.name}")[0][0]
        for table in tables
    }
    return Report(tuple(problems), counts)


def _journal(tx: SqliteTransaction) -> list[str]:
    problems = []
    count, first, last = tx.one("journal_gaps") or (0, None, None)
    if count and last - first + 1 != count:
        problems.append(
            f"journal: {count} changes between {first} and {last}; some are missing"
        )
    (unstamped,) = tx.one("journal_unstamped") or (0,)
    if unstamped:
        problems.append(f"journal: {unstamped} changes belong to no moment")
    backwards = tx.ask(
        "select count(*) from (select at, lag(at) over (order by seq) as before "
        "from change where at is not null) where at < before"
    )[0][0]
    if backwards:
        problems.append(f"journal: time goes backwards at {backwards} moments")
    return problems


def _images(tx: SqliteTransaction, table: str) -> list[str]:
    """Rows that were changed or deleted without an image, and rows without a change."""
    missing = tx.ask(
        "select count(*) from change c where c.kind = ? "
        "and c.op in ('update', 'delete') "
        f"and not exists (select 1 from was_{table} w where w.died = c.seq)",
        (table,),
    )[0][0]
    unknown = tx.ask(
        f"select count(*) from {table} t where t.no > (select cast(value as integer) "
        "from store where name = 'journal_floor') and not exists ("
        "select 1 from change c where c.seq = t.no and c.op = 'create' and c.kind = ?)",
        (table,),
    )[0][0]
    problems = []
    if missing:
        problems.append(f"{table}: {missing} changes have no image of the row before")
    if unknown:
        problems.append(f"{table}: {unknown} rows are unknown to the journal")
    return problems
