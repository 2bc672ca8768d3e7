"""What the index of compositions gives, and what its arguments have to be.

Answers for: the records, reading them from rows, checks of names, versions and folders.
Leaves to others: what is done with them (`index`), what a file holds
(`index_drafts`, `runtime/index`).
"""

import functools
import os
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec

from holdfast import codec, edges
from holdfast.clock import to_datetime
from holdfast.edges import Edge
from holdfast.engine import Row
from holdfast.errors import InvalidId, WrongType
from holdfast.kinds.index_versions import VERSION_BYTES
from holdfast.limits import Limits

NAME_BYTES = 200
"""A longer text is no name, type or tag."""
_FOLDER_BYTES = 1_000
PATH, NAME, PLACE, FOLDER = 2, 3, 11, 12
"""Where in a row of `composition_fields` stands by what lists are in order."""


class Dependency(msgspec.Struct, frozen=True):
    """What a composition needs: another's name, and which versions of it would do.

    `version` is `1.2`, `>=1.2, <2`, `^1.2`, `~1.2`, `1.x`; None: any.
    """

    name: str
    version: str | None = None


class CompositionEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What the index knows of a composition, but for its content.

    `path` is the file's within `folder`, with slashes; `digest` is the SHA-256 of its
    bytes; `indexed_at` is when it came into the index as it is.
    """

    owner: str
    name: str
    version: str | None
    type: str | None
    description: str
    tags: tuple[str, ...]
    dependencies: tuple[Dependency, ...]
    folder: str
    path: str
    digest: str
    indexed_at: datetime

    @property
    def file(self) -> Path:
        """The file that it is in."""
        return Path(self.folder, self.path)


class Composition(CompositionEntry, frozen=True, kw_only=True):
    """A composition: all that its file says, as plain data."""

    content: dict[str, Any]


class CompositionFolder(msgspec.Struct, frozen=True, kw_only=True):
    """A folder whose compositions are in the index.

    `files` were found by the last scan, of which `broken` hold no composition.
    `type` is that of what does not say its own. `problem` says why the folder could
    not be looked through, if it could not.
    """

    path: str
    type: str | None
    files: int
    broken: int
    added_at: datetime
    problem: str | None = None


class ProblemKind(StrEnum):
    """What is wrong with a file, a folder, or how compositions go together."""

    FOLDER = "folder"
    """A folder that is not there, or cannot be looked through."""
    UNREADABLE = "unreadable"
    """A file that cannot be read, or that is not safe to read."""
    INVALID = "invalid"
    """A file that holds no composition."""
    DUPLICATE = "duplicate"
    """A composition whose name and version another file has before."""
    MISSING = "missing"
    """A dependency that is not there, or in no version that would do."""
    CYCLE = "cycle"
    """Compositions that need each other in a circle."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong: where, and what; its `str` is a sentence for people.

    `name` is the composition's that it is about, or the file's last one; `line` is
    counted from 1.
    """

    kind: ProblemKind
    folder: str
    path: str
    what: str
    name: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        where = f"{self.folder}/{self.path}".rstrip("/")
        line = "" if self.line is None else f", line {self.line},"
        return f"{where}{line} {self.what}"


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """A composition with all that it needs.

    `order` begins with what needs nothing and ends with the composition itself, but for
    circles, in which one has to come first. `missing` and `cycles` say what is wrong.
    """

    order: tuple[CompositionEntry, ...]
    missing: tuple[Problem, ...] = ()
    cycles: tuple[tuple[str, ...], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything is there, and nothing needs itself."""
        return not (self.missing or self.cycles)


def dependencies_of(text: str) -> tuple[Dependency, ...]:
    """What a composition needs, as it is kept: pairs of name and version."""
    return tuple(Dependency(*one) for one in codec.decode(text))


def entry_of(row: Row) -> CompositionEntry:
    """The entry of a row of `composition_fields`."""
    return CompositionEntry(**_fields(row))


def composition_of(row: Row) -> Composition:
    """The composition of a row that has its content last."""
    return Composition(**_fields(row), content=codec.decode(row[-1]))


def _fields(row: Row) -> dict[str, Any]:
    owner, folder, path, name, version, type, description = row[:7]
    tags, needs, digest, indexed_at = row[7:11]
    return {
        "owner": owner,
        "name": name,
        "version": version,
        "type": type,
        "description": description,
        "tags": tuple(codec.decode(tags)),
        "dependencies": dependencies_of(needs),
        "folder": folder,
        "path": path,
        "digest": digest,
        "indexed_at": to_datetime(indexed_at),
    }


def name_flaw(text: str) -> str:
    """What makes a text no name, type, tag or version, in words; empty if nothing."""
    if len(text) > NAME_BYTES:  # before it is looked up, and remembered
        return f"has more than {NAME_BYTES} bytes"
    return _flaw(text)


@functools.lru_cache(maxsize=4096)
def _flaw(text: str) -> str:
    if not text or text != text.strip() or not text.isprintable():
        return "is empty, or has characters that nobody sees, or a space at an end"
    if len(text.encode()) > NAME_BYTES:
        return f"has more than {NAME_BYTES} bytes"
    return ""


def composition_name(value: object, name: str, limits: Limits | None = None) -> str:
    """A composition's name, type or tag: up to 200 bytes that can be seen."""
    if type(value) is not str:
        raise edges.wrong_type(name, "text", value)
    if flaw := name_flaw(value):
        raise InvalidId(f"{name}: the text {flaw}")
    return value


def version_of(value: object, name: str, limits: Limits | None = None) -> str:
    """A version: up to 64 bytes that can be seen."""
    found = composition_name(value, name)
    if len(found.encode()) > VERSION_BYTES:
        raise InvalidId(f"{name}: a version has up to {VERSION_BYTES} bytes")
    return found


def folder_of(value: object, name: str, limits: Limits | None = None) -> str:
    """A folder's path, made whole from where the program runs; it need not exist."""
    if isinstance(value, bytes) or not isinstance(value, (str, os.PathLike)):
        raise edges.wrong_type(name, "a path", value)
    text = os.fspath(value)
    if not isinstance(text, str) or not text or "\x00" in text:
        raise WrongType(f"{name}: a path is wanted, as text")
    text = os.path.abspath(text)  # noqa: PTH100 - Path.resolve would follow links
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise WrongType(f"{name}: the path is no UTF-8") from None
    if size > _FOLDER_BYTES:
        raise WrongType(f"{name}: a path of up to {_FOLDER_BYTES} bytes is wanted")
    return text


CompositionName = Annotated[str, Edge(composition_name)]
Version = Annotated[str, Edge(version_of)]
Folder = Annotated[str | os.PathLike[str], Edge(folder_of)]
AnyProblem = Annotated[ProblemKind | str, Edge(edges.member_of(ProblemKind))]
