"""Lines: tables that have one version between them, and the steps that led to it.

Answers for: what is to be made or migrated, in an order that every engine follows.
Leaves to others: running it (each engine), the steps' text (`schema`).
"""

import re
from collections.abc import Mapping

import msgspec

from holdfast.engine import Part
from holdfast.errors import NeedsMigration
from holdfast.schema import format as formats
from holdfast.schema.statements import TABLES, parse

_KEEPS_BESIDE = "postgres"
"""The engine that has what is beside the state in the state's own schema. Others say of
it only which version it has, so that a store can be copied either way."""
_MADE = re.compile(r"create (?:virtual )?table (\w+)", re.IGNORECASE)


class Line(msgspec.Struct, frozen=True):
    """Holdfast's own tables together, or those that have versions of their own."""

    kind: str
    tables: tuple[str, ...]
    steps: tuple[str, ...]

    @property
    def version(self) -> int:
        """The version of the tables as they are made today."""
        return 1 + len(self.steps)


def lines_of(parts: tuple[Part, ...], engine: str = "") -> list[Line]:
    """Holdfast's own tables as one line; what is beside, or a user's, as its own."""
    apart = [part for part in parts if part.own or part.derived or part.beside]
    ours = tuple(_tables(part) for part in parts if part not in apart)
    lines = [Line(formats.OUR_LINE, ours, formats.steps())]
    for part in parts:
        if part.beside and engine != _KEEPS_BESIDE:
            lines.append(Line(part.kind, (), ("",) * len(part.migrations)))
        elif part.own or part.beside:
            lines.append(Line(part.kind, (_tables(part),), part.migrations))
        elif part.derived:
            text = part.instead.get(engine) or _tables(part)
            names = _MADE.findall(text)
            again = "".join(f"drop table if exists {name};\n" for name in names) + text
            lines.append(Line(part.kind, (text,), (again,) * (part.version - 1)))
    return lines


def pending_of(parts: tuple[Part, ...], have: dict[str, int]) -> list[str]:
    """What is still to be done to the tables, each step in words."""
    return [
        f"{line.kind} from version {have.get(line.kind, 0)} to {line.version}"
        for line in lines_of(parts)
        if have.get(line.kind, 0) < line.version
    ]


def refuse_pending(place: str, steps: list[str]) -> None:
    """Raise `NeedsMigration` if anything is still to be done."""
    if steps:
        raise NeedsMigration(
            f"{place} is of an older format ({', '.join(steps)}); nothing was changed: "
            'open it with migrate="auto", and not read-only'
        )


SAID_AGAIN = (
    "on conflict (name) do update set value = excluded.value "
    "where store.name not in ('reads_from', 'writes_from') "
    "or cast(store.value as integer) < cast(excluded.value as integer)"
)
"""How a store's saying takes the place of one before; whom it kept away stays away."""


def format_said(rows_of: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a store of today's format says of it, perhaps with the rows of another."""
    ours, there = formats.OURS, rows_of or {}
    return {
        "version": str(ours.version),
        "reads_from": str(max(ours.reads_from, int(there.get("reads_from", 0)))),
        "writes_from": str(max(ours.writes_from, int(there.get("writes_from", 0)))),
    }


def _tables(part: Part) -> str:
    return parse(part.sql)[TABLES].text
