"""Problems: what is wrong among an owner's compositions, all of it at one moment.

Answers for: collecting it, from folders and files to how compositions go together.
Leaves to others: what a file's own problem is (whoever read it).
Always holds: by folder and path, always in the same order; nothing of a circle is told
twice.
"""

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from holdfast.engine import Row, Transaction
from holdfast.kinds.index_graph import Walked, chosen
from holdfast.kinds.index_records import (
    Dependency,
    Problem,
    ProblemKind,
    dependencies_of,
)

_AT_ONCE = 2_000
_NAMED_AT_MOST = 20
"""A longer circle is told by its first names."""
_FILES = frozenset({ProblemKind.UNREADABLE, ProblemKind.INVALID})
_OWN = frozenset({ProblemKind.DUPLICATE, ProblemKind.MISSING, ProblemKind.CYCLE})
Node: TypeAlias = tuple[str, str]
"""A composition: its name, and the place of its version."""


class _Placed(msgspec.Struct, frozen=True):
    """A composition, where it is, and what it needs."""

    name: str
    version: str | None
    folder: str
    path: str
    needs: tuple[Dependency, ...]

    @property
    def file(self) -> str:
        """Where it is, whichever folder it was found by."""
        return f"{self.folder}/{self.path}"

    def problem(self, kind: ProblemKind, what: str) -> Problem:
        return Problem(
            kind=kind, folder=self.folder, path=self.path, what=what, name=self.name
        )


def problems_in(
    tx: Transaction, owner: str, kind: ProblemKind | None
) -> tuple[Problem, ...]:
    """What is wrong, of one kind or of every one."""
    found: list[Problem] = []
    if kind in {None, ProblemKind.FOLDER}:
        found += _folders(tx, owner)
    if kind is None or kind in _FILES:
        found += _files(tx, owner)
    if kind is None or kind in _OWN:
        found += _among(tx, owner)
    chosen_ones = [one for one in found if kind is None or one.kind is kind]
    chosen_ones.sort(key=lambda one: (one.folder, one.path, one.kind, one.what))
    return tuple(chosen_ones)


def _folders(tx: Transaction, owner: str) -> Iterator[Problem]:
    after, kind = 0, ProblemKind.FOLDER
    while rows := tx.all(
        "composition_folder_every", owner=owner, after=after, limit=_AT_ONCE
    ):
        for _, path, problem in rows:
            if problem is not None:
                yield Problem(kind=kind, folder=path, path="", what=problem)
        after = rows[-1][0]


def _files(tx: Transaction, owner: str) -> Iterator[Problem]:
    after = {"after_folder": 0, "after_path": ""}
    while rows := tx.all("composition_broken", owner=owner, limit=_AT_ONCE, **after):
        for folder, path, kind, problem, line, named, _ in rows:
            yield Problem(
                kind=ProblemKind(kind),
                folder=folder,
                path=path,
                what=problem,
                name=named,
                line=line,
            )
        after = {"after_folder": rows[-1][6], "after_path": rows[-1][1]}


def _among(tx: Transaction, owner: str) -> Iterator[Problem]:
    """What is there twice, what is missing, what goes in circles."""
    there: dict[Node, _Placed] = {}
    places: dict[str, dict[str, Node]] = {}
    for name, version, needs, folder, path, place, _ in _each(tx, owner):
        node = name, place
        one = _Placed(name, version, folder, path, dependencies_of(needs))
        if node in there:
            if one.file == there[node].file:  # of a folder within another one
                continue
            yield one.problem(ProblemKind.DUPLICATE, _twice(one, there[node]))
            continue
        there[node] = one
        places.setdefault(name, {})[place] = node
    needed: dict[Node, list[Node]] = {}
    for node, one in there.items():
        needed[node] = []
        for dependency in one.needs:
            found, why = chosen(dependency, places.get(dependency.name))
            if found is None:
                yield one.problem(ProblemKind.MISSING, why)
            else:
                needed[node].append(found)
    for circle in Walked(needed, needed.__getitem__).cycles:
        yield there[circle[0]].problem(ProblemKind.CYCLE, _around(circle))


def _each(tx: Transaction, owner: str) -> Iterator[Row]:
    after = {"after_name": "", "after_place": "", "after_folder": 0, "after_path": ""}
    while rows := tx.all("composition_each", owner=owner, limit=_AT_ONCE, **after):
        yield from rows
        name, *_, path, place, folder = rows[-1]
        after = {
            "after_name": name,
            "after_place": place,
            "after_folder": folder,
            "after_path": path,
        }


def _around(circle: tuple[Node, ...]) -> str:
    names = [repr(name) for name, _ in circle]
    if len(names) > _NAMED_AT_MOST:
        left = len(names) - _NAMED_AT_MOST
        names[_NAMED_AT_MOST - 1 : -1] = [f"{left:,} more"]
    return f"{' needs '.join(names)}: a circle"


def _twice(one: _Placed, first: _Placed) -> str:
    version = "" if one.version is None else f" {one.version}"
    return (
        f"is {one.name!r}{version} again, which is in {first.folder}/{first.path}: "
        "that one counts"
    )
