"""Records: statements made from tables, by which all of a record is found and put back.

Answers for: a table's columns and key, read from the text that makes it; the rows that
belong to a record, those that were touched since a moment, the changes that any of them
went through; putting rows back as they were.
Leaves to others: what is done with them (`restoring`, `history`).
Always holds: what belongs to a record is found from its number, down from table to
table, each step by an index.
"""

import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from holdfast.engine import Part, Table
from holdfast.schema.format import ELSEWHERE
from holdfast.schema.statements import TABLES, Statement, parse

_CREATED = re.compile(r"create table (\w+) \((.*?)\n\)", re.DOTALL | re.IGNORECASE)
_COLUMN = re.compile(r"^\s+(\w+) (?:integer|int|text|blob|real|any)\b", re.MULTILINE)
_UNIQUE = re.compile(r"^\s+unique \(([\w, ]+)\)", re.MULTILINE | re.IGNORECASE)
_IMAGE = "was_"


class Shape(msgspec.Struct, frozen=True):
    """A table's columns, and those of its key; no key if it has none beside `no`."""

    columns: tuple[str, ...]
    key: tuple[str, ...]


@functools.cache
def shapes(sql: str) -> Mapping[str, Shape]:
    """The shape of each table that a kind's text makes."""
    found = {}
    for name, body in _CREATED.findall(parse(sql)[TABLES].text):
        unique = _UNIQUE.search(body)
        key = tuple(unique[1].replace(" ", "").split(",")) if unique else ()
        found[name] = Shape(tuple(_COLUMN.findall(body)), key)
    return found


def record_statements(part: Part) -> Iterator[Statement]:
    """What a kind's records need, beside the statements that it brings."""
    if not part.tables or not part.tables[0].journalled:
        return
    root, *rest = part.tables
    known = shapes(part.sql)
    yield from _root(root.name, known[root.name])
    by_name = {table.name: table for table in part.tables}
    for table in part.tables:
        if table.journalled:
            yield from _put_back(table.name, known[table.name].columns)
    for table in rest:
        if table.journalled and table.parent is not None:
            yield from _belonging(table, known[table.name], _chain(table, by_name))


def _root(name: str, shape: Shape) -> Iterator[Statement]:
    listed = ", ".join(shape.columns)
    where = "where owner = :owner and id = :id"
    yield Statement(
        f"{name}_known",
        f"A {name}, by its id.",
        f"select {listed} from {name} {where}",
    )
    yield Statement(
        f"{name}_numbers",
        f"The number of each {name} that has, or had, an id.",
        f"select no from {name} {where} "
        f"union all select w.no from {_IMAGE}{name} w {where}",
    )
    yield Statement(
        f"{name}_seqs",
        f"The changes of a {name} after a place in the journal.",
        "select c.seq from change c "
        "where c.no = :no and c.op <> 'create' and c.seq > :after "
        "union all select c.seq from change c "
        "where c.no = :no and c.op = 'create' and c.no <> c.seq and c.seq > :after "
        "union all select c.seq from change c "
        "where c.seq = :no and c.op = 'create' and c.no = c.seq and c.seq > :after",
    )


def _put_back(name: str, columns: Sequence[str]) -> Iterator[Statement]:
    values = ", ".join(f":{column}" for column in columns)
    kept = [column for column in columns if column not in {"no", "owner"}]
    assigned = ", ".join(f"{column} = :{column}" for column in kept)
    yield Statement(
        f"{name}_back",
        f"Keep a {name} that was there before, under a new number.",
        f"insert into {name} ({', '.join(columns)}) values ({values})",
    )
    yield Statement(
        f"{name}_as_was",
        f"Put a {name} back as it was.",
        f"update {name} set {assigned} where owner = :owner and no = :no",
    )
    yield Statement(
        f"{name}_gone",
        f"Take a {name} away.",
        f"delete from {name} where owner = :owner and no = :no",
    )


def _belonging(
    table: Table, shape: Shape, chain: Sequence[tuple[str, str]]
) -> Iterator[Statement]:
    name, (parent, _) = table.name, table.parent or ("", "")
    listed = ", ".join(shape.columns)
    yield Statement(
        f"{name}_within",
        f"What {name} has of one row that it belongs to.",
        f"select {listed} from {name} where owner = :owner and {parent} = :no",
    )
    if parent in shape.key:
        where = " and ".join(f"{column} = :{column}" for column in shape.key)
        yield Statement(
            f"{name}_placed",
            f"A {name}, by its key.",
            f"select {listed} from {name} where {where}"
            + ("" if "owner" in shape.key else " and owner = :owner"),
        )
    yield Statement(
        f"{name}_touched",
        f"The number of each {name} of a record that changed after a moment.",
        " union all ".join(_touched(name, chain)),
    )
    yield Statement(
        f"{name}_seqs",
        f"The changes of what {name} has of a record; many are after a place.",
        " union all ".join(_seqs(name, chain)),
    )


def _touched(name: str, chain: Sequence[tuple[str, str]]) -> Iterator[str]:
    made = (  # no `exists`: PostgreSQL would read all that was made since
        f"(x.no > :since and x.no < {ELSEWHERE} or (select c.seq from change c "
        "where c.no = x.no and c.op = 'create' and c.no <> c.seq and c.seq > :since "
        "limit 1) is not null)"
    )
    for joined in _ways(f"{_IMAGE}{name}", chain):
        yield f"select x.no {joined} and x.died > :since"
    for joined in _ways(name, chain):
        yield f"select x.no {joined} and {made}"


def _seqs(name: str, chain: Sequence[tuple[str, str]]) -> Iterator[str]:
    for joined in _ways(f"{_IMAGE}{name}", chain):
        yield f"select x.died {joined} and x.died > :after"
    for row in (name, f"{_IMAGE}{name}"):
        for joined in _ways(row, chain):
            yield f"select x.no {joined} and x.no > :after and x.no < {ELSEWHERE}"
            yield (  # no join: PostgreSQL might read all that was ever made
                "select (select c.seq from change c where c.no = x.no "
                "and c.op = 'create' and c.no <> c.seq limit 1) "
                f"{joined} and x.no >= {ELSEWHERE}"
            )


def _ways(row: str, chain: Sequence[tuple[str, str]]) -> Iterator[str]:
    """From a record down to `x`: each row in between as it is, or as an image.

    `chain` has the column and the table that each belongs to, from `x` upwards.
    """
    *between, _ = (table for _, table in chain)
    for images in itertools.product(("", _IMAGE), repeat=len(between)):
        joins, below = [f"from {row} x"], "x"
        for (column, table), image in zip(chain, images, strict=False):
            upper = f"p{len(joins)}"
            joins.append(
                f"join {image}{table} {upper} on {upper}.no = {below}.{column}"
            )
            below = upper
        top = chain[-1][0]
        yield f"{' '.join(joins)} where {below}.owner = :owner and {below}.{top} = :no"


def _chain(table: Table, tables: Mapping[str, Table]) -> tuple[tuple[str, str], ...]:
    """The column and the table that it belongs to, and so on up to the record's."""
    chain: list[tuple[str, str]] = []
    at: Table | None = table
    while at is not None and at.parent is not None:
        chain.append(at.parent)
        at = tables.get(at.parent[1])
    return tuple(chain)


def depth_first(tables: Iterable[Table]) -> list[Table]:
    """Tables that a record's rows are in, what others belong to before these."""
    listed = [table for table in tables if table.journalled]
    by_name = {table.name: table for table in listed}
    return sorted(listed, key=lambda table: len(_chain(table, by_name)))
