"""Lines: tables that have one version between them, and the steps that led to it.

Answers for: what is to be made or migrated, in an order that every engine follows.
Leaves to others: running it (each engine), the steps' text (`schema`).
"""

import msgspec

from holdfast.engine import Part
from holdfast.errors import NeedsMigration
from holdfast.schema import format as formats
from holdfast.schema.statements import TABLES, parse


class Line(msgspec.Struct, frozen=True):
    """Holdfast's own tables together, or those of one of a user's kinds."""

    kind: str
    tables: tuple[str, ...]
    steps: tuple[str, ...]

    @property
    def version(self) -> int:
        """The version of the tables as they are made today."""
        return 1 + len(self.steps)


def lines_of(parts: tuple[Part, ...]) -> list[Line]:
    """Holdfast's own tables as one line, and each of a user's kinds as its own."""
    ours = tuple(_tables(part) for part in parts if not part.own)
    return [Line(formats.OUR_LINE, ours, formats.steps())] + [
        Line(part.kind, (_tables(part),), part.migrations) for part in parts if part.own
    ]


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


def format_said() -> dict[str, str]:
    """What a store of today's format says of it."""
    ours = formats.OURS
    return {
        "version": str(ours.version),
        "reads_from": str(ours.reads_from),
        "writes_from": str(ours.writes_from),
    }


def _tables(part: Part) -> str:
    return parse(part.sql)[TABLES].text
