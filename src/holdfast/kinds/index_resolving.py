"""Resolving: a composition with all that it needs, read from rows.

Answers for: reading what is needed, a generation at a time, and what that needs.
Leaves to others: which version is meant, and the order (`index_graph`).
Always holds: each name is read once, with all of its versions; what needs more than
`NEEDED_AT_MOST` is refused before it is put in order.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from holdfast.engine import Row, Transaction
from holdfast.errors import TooLarge
from holdfast.kinds.index_graph import Walked, chosen
from holdfast.kinds.index_records import (
    FOLDER,
    PATH,
    PLACE,
    CompositionEntry,
    Problem,
    ProblemKind,
    Resolution,
    entry_of,
)

NEEDED_AT_MOST = 10_000
Node: TypeAlias = tuple[str, str]
"""A composition: its name, and the place of its version."""
_EVERY = dict.fromkeys(("type", "tag", "need", "words")) | {"every": 1}
_FIRST = {"after_place": "", "after_folder": 0, "after_path": ""}


class Resolving:
    """What is there, of the names that were asked for, by the places of versions."""

    def __init__(self, tx: Transaction, owner: str) -> None:
        self._tx = tx
        self._owner = owner
        self._known: dict[str, dict[str, CompositionEntry]] = {}
        self._missing: list[Problem] = []

    def places(self, name: str) -> dict[str, CompositionEntry]:
        """What there is of a name, by the place of its version."""
        self._read([name])
        return self._known[name]

    def resolution(self, name: str, place: str) -> Resolution:
        """A composition that is there with all that it needs. Raises `TooLarge`."""
        needs: dict[Node, list[Node]] = {}
        front = [(name, place)]
        while front:
            self._read(
                one.name for node in front for one in self._at(node).dependencies
            )
            reached: list[Node] = []
            for node in front:
                needs[node] = list(self._needs(self._at(node)))
                reached += needs[node]
            front = [node for node in dict.fromkeys(reached) if node not in needs]
            if len(needs) + len(front) > NEEDED_AT_MOST:
                raise TooLarge(f"{name!r} needs more than {NEEDED_AT_MOST:,} others")
        walked = Walked([(name, place)], needs.__getitem__)
        return Resolution(
            order=tuple(map(self._at, walked.order)),
            missing=tuple(self._missing),
            cycles=tuple(tuple(n for n, _ in one) for one in walked.cycles),
        )

    def _at(self, node: Node) -> CompositionEntry:
        return self._known[node[0]][node[1]]

    def _needs(self, entry: CompositionEntry) -> Iterator[Node]:
        for needed in entry.dependencies:
            places = {place: place for place in self._known[needed.name]}
            found, why = chosen(needed, places)
            if found is not None:
                yield needed.name, found
                continue
            self._missing.append(
                Problem(
                    kind=ProblemKind.MISSING,
                    folder=entry.folder,
                    path=entry.path,
                    what=why,
                    name=entry.name,
                )
            )

    def _read(self, names: Iterable[str]) -> None:
        """Know all versions of some names, however many there are."""
        new = [name for name in dict.fromkeys(names) if name not in self._known]
        self._known.update((name, {}) for name in new)
        most = self._tx.limits.page
        asked: list[dict[str, Any]] = [
            {"owner": self._owner, "name": name, "limit": most, **_EVERY, **_FIRST}
            for name in new
        ]
        while asked:
            pages = self._tx.each("composition_find_name", asked)
            for one, rows in zip(asked, pages, strict=True):
                places = self._known[one["name"]]
                places.update((row[PLACE], entry_of(row)) for row in rows)
            asked = [
                {**one, **_after(rows[-1])}
                for one, rows in zip(asked, pages, strict=True)
                if len(rows) == most
            ]


def _after(row: Row) -> dict[str, Any]:
    return dict(zip(_FIRST, (row[PLACE], row[FOLDER], row[PATH]), strict=True))
