"""The catalog: every statement of a store, written ones and those made from tables.

Answers for: the statements that each journalled table gets (its rows and images by
number, trimming the images), and the one by which a kind's record is known to exist.
Leaves to others: the statements that kinds bring along (`schema/`), running them.
"""

import re
from collections.abc import Iterable, Sequence

from holdfast.engine import Part, Table
from holdfast.schema.records import record_statements
from holdfast.schema.statements import TABLES, Statement, parse

_CREATED = re.compile(r"create table (\w+) \((.*?)\n\)", re.DOTALL | re.IGNORECASE)
_TEXT = re.compile(r"^\s+(\w+) (?:text|blob)\b", re.MULTILINE | re.IGNORECASE)


def catalog(parts: Iterable[Part]) -> dict[str, Statement]:
    """Every statement by name. `ValueError` for a name that two kinds use."""
    found: dict[str, Statement] = {}
    for part in parts:
        for statement in (
            *parse(part.sql).values(),
            *_made(part),
            *record_statements(part),
        ):
            if statement.name == TABLES:
                continue
            if statement.name in found:
                raise ValueError(f"two kinds have a statement {statement.name!r}")
            found[statement.name] = statement
    return found


def _made(part: Part) -> Iterable[Statement]:
    if part.tables and part.tables[0].journalled:
        root = part.tables[0].name
        yield Statement(
            f"{part.kind}_exists",
            f"Whether there is a {root} with this id.",
            f"select no from {root} where owner = :owner and id = :id",
        )
        yield Statement(
            f"{part.kind}_owners",
            f"The first owner of a {root}, from a place in their order on.",
            f"select min(owner) from {root} where owner >= :after",
        )
    made = dict(_CREATED.findall(parse(part.sql)[TABLES].text))
    for table in part.tables:
        if table.journalled:
            yield from _images(table)
            yield from _trimming(table.name, _TEXT.findall(made[table.name]))


def _trimming(name: str, texts: Sequence[str]) -> Iterable[Statement]:
    """What trims a table's images; numbers among their columns weigh as much as 48."""
    sizes = " + ".join(
        ["48", *(f"coalesce(octet_length({column}), 0)" for column in texts)]
    )
    yield Statement(
        f"{name}_weight",
        f"About how many bytes some images of {name} take.",
        f"select coalesce(sum({sizes}), 0) from was_{name} "
        "where died >= :first and died < :upto",
    )
    yield Statement(
        f"{name}_trim",
        f"Delete some images of {name}.",
        f"delete from was_{name} where died >= :first and died < :upto",
    )


def _images(table: Table) -> Iterable[Statement]:
    name = table.name
    yield Statement(
        f"{name}_now",
        f"A {name} as it is, by its number.",
        f"select * from {name} where no = :no",
    )
    yield Statement(
        f"{name}_before",
        f"A {name} as it was until one change.",
        f"select * from was_{name} where died = :seq",
    )
    yield Statement(
        f"{name}_until",
        f"A {name} as it was until its first change after a place in the journal.",
        f"select * from was_{name} where no = :no and died > :seq "
        "order by died limit 1",
    )
