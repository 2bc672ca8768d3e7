"""Checks: looking for damage in the journal and the images, the same on every engine.

Answers for: the journal's order and its gaps, changes without an image, rows that the
journal does not know.
Leaves to others: an engine's own checks of its files, what to do about what is found.
"""

from collections.abc import Callable, Iterable

from holdfast.engine import Part, Report, Row
from holdfast.schema.format import ELSEWHERE

Ask = Callable[[str], list[Row]]
_TRIMMED = (
    "(select cast(value as bigint) as floor from store where name = 'journal_floor') "
    "trimmed"
)
"""The oldest moment that can be read: what was before may be there still, or not."""


def check(ask: Ask, parts: tuple[Part, ...], problems: Iterable[str] = ()) -> Report:
    """Every problem that can be found by reading, and how many rows each table has.

    `problems` are those that the engine has found by itself.
    """
    tables = [table for part in parts for table in part.tables]
    found = [*problems, *_journal(ask)]
    for table in tables:
        if table.journalled:
            found += _images(ask, table.name)
    counts = {
        table.name: ask(f"select count(*) from {table.name}")[0][0] for table in tables
    }
    return Report(tuple(found), counts)


def _journal(ask: Ask) -> list[str]:
    problems = []
    ((count, first, last),) = ask("select count(*), min(seq), max(seq) from change")
    if count and last - first + 1 != count:
        problems.append(
            f"journal: {count} changes between {first} and {last}; some are missing"
        )
    ((floor,),) = ask(f"select floor from {_TRIMMED}")
    if count and first > floor + 1:
        problems.append(
            f"journal: it begins at {first}, but should reach back to {floor}"
        )
    ((unstamped,),) = ask(
        "select count(*) from change where seq > coalesce((select c.seq from change c "
        "where c.at is not null order by c.seq desc limit 1), 0)"
    )
    if unstamped:
        problems.append(f"journal: {unstamped} changes belong to no moment")
    ((backwards,),) = ask(
        "select count(*) from (select at, lag(at) over (order by seq) as before "
        "from change where at is not null) moments where at < before"
    )
    if backwards:
        problems.append(f"journal: time goes backwards at {backwards} moments")
    return problems


def _images(ask: Ask, table: str) -> list[str]:
    """Rows that were changed or deleted without an image, and rows without a change."""
    ((missing,),) = ask(
        f"select count(*) from change c, {_TRIMMED} where c.kind = '{table}' "
        "and c.op in ('update', 'delete') and c.seq >= floor "
        f"and not exists (select 1 from was_{table} w where w.died = c.seq)"
    )
    ((unknown,),) = ask(
        f"select count(*) from {table} t, {_TRIMMED} "
        f"where (floor = 0 or (t.no > floor and t.no < {ELSEWHERE})) "
        "and not exists (select 1 from change c where c.op = 'create' "
        f"and c.kind = '{table}' and c.seq = t.no and c.no = t.no) "
        "and not exists (select 1 from change c where c.op = 'create' "
        f"and c.kind = '{table}' and c.no = t.no and c.no <> c.seq)"
    )
    problems = []
    if missing:
        problems.append(f"{table}: {missing} changes have no image of the row before")
    if unknown:
        problems.append(f"{table}: {unknown} rows are unknown to the journal")
    return problems
