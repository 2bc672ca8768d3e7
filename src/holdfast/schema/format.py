"""The format: which version of the tables this holdfast keeps, and the steps to it.

Answers for: the version's number, who may still read and write it, the numbered
migrations that lead from one version to the next.
Leaves to others: running a step (engines), what is in the tables (`schema/`).
Always holds: a step first only expands, so that processes of the version before go on
beside it; what they need is taken away a version later. Running every step from any
earlier version gives the tables that a new store gets.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from holdfast.errors import CannotOpen, TooNew

COPYING = "copying"
"""What a store says as long as a copy is being made into it: the source's id."""
OUR_LINE = "holdfast"
"""What holdfast's own tables are called among the migrations."""
ELSEWHERE = 2**39
"""Rows made on PostgreSQL are numbered from here on. Numbers of those made on SQLite,
which are places in a journal, never come there, so that a store can be copied either
way; and they fit into the 40 bits that an id has for them."""
VERSION = 8
"""The version of the tables that this holdfast keeps."""
READS_FROM = 1
"""The oldest version whose readers may use a store of ours."""
WRITES_FROM = 1
"""The oldest version whose writers may use a store of ours."""
SHARING = 3
"""The oldest version that may use a store in which sessions share messages, or in which
one was partial."""

_FOLDER = Path(__file__).parent / "migrations"


class Stamp(msgspec.Struct, frozen=True):
    """What a store's file says of its own format."""

    version: int
    reads_from: int
    writes_from: int
    copying: str | None = None
    """The id of the store that is being copied to there, until all of it is."""

    @classmethod
    def of(cls, said: Mapping[str, str]) -> "Stamp":
        """The stamp in what a store says of itself."""
        version, reads_from, writes_from = (
            int(said[name]) for name in ("version", "reads_from", "writes_from")
        )
        return cls(version, reads_from, writes_from, said.get(COPYING))


OURS = Stamp(VERSION, READS_FROM, WRITES_FROM)


def steps() -> tuple[str, ...]:
    """The SQL of each migration, in order: the first leads from version 1 to 2."""
    found = sorted(_FOLDER.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    assert len(found) == VERSION - 1
    return tuple(path.read_text(encoding="utf-8") for path in found)


def admit(place: str, stamp: Stamp, *, read_only: bool, filling: bool = False) -> None:
    """Let this holdfast at a store, if the store's format allows.

    Raises `TooNew`, or `CannotOpen` for a copy that is not all there yet.
    """
    if stamp.copying is not None:
        if filling:
            return
        raise CannotOpen(
            f"{place} is a copy that is not all there yet: run the same copy again, "
            "which goes on where it was; or remove what is there"
        )
    if stamp.reads_from > VERSION:
        raise TooNew(
            f"{place} has format {stamp.version}, which only a newer holdfast reads "
            f"(this one knows {VERSION}); it was left as it was: upgrade holdfast"
        )
    if stamp.writes_from > VERSION and not read_only:
        raise TooNew(
            f"{place} has format {stamp.version}, which only a newer holdfast writes "
            f"(this one knows {VERSION}); it was left as it was: upgrade holdfast, "
            "or open it with read_only=True"
        )
