"""The catalog: every statement of a store, written ones and those made from tables.

Answers for: the statements that each journalled table gets (its rows and images by
number), and the one by which a kind's record is known to exist.
Leaves to others: the statements that kinds bring along (`schema/`), running them.
"""

from collections.abc import Iterable

from holdfast.engine import Part, Table
from holdfast.schema.statements import TABLES, Statement, parse


def catalog(parts: Iterable[Part]) -> dict[str, Statement]:
    """Every statement by name. `ValueError` for a name that two kinds use."""
    found: dict[str, Statement] = {}
    for part in parts:
        for statement in (*parse(part.sql).values(), *_made(part)):
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
    for table in part.tables:
        if table.journalled:
            yield from _images(table)


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
