"""Hits: what was found, and the piece of its text that shows why.

Answers for: the record of a hit, choosing a piece, where the matches stand in it.
Leaves to others: what is found, and how good it is (`finding`).
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from holdfast.searching.query import Place
from holdfast.searching.words import origins

_PIECE_CHARACTERS = 160
_LEAD_CHARACTERS = 40
_MOST_MATCHES = 500


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A record that was found: the better, the higher its `score`.

    `kind` is the record's own: `message`, `session`, `task`, or a table of a kind of
    yours; `id` is None for one that has none. `record` is its row as data, as in the
    journal: of a message also the session that shows it, position, role, time. `piece`
    is from its text, and `matches` are the places in it that match.
    """

    kind: str
    id: str | None
    score: float
    record: dict[str, Any]
    piece: str
    matches: tuple[tuple[int, int], ...]

    def marked(self, before: str = "**", after: str = "**") -> str:
        """The piece, its matches between two marks."""
        parts = []
        done = 0
        for start, end in self.matches:
            parts += [self.piece[done:start], before, self.piece[start:end], after]
            done = end
        return "".join([*parts, self.piece[done:]])


def piece_of(
    text: str, found: Sequence[Place]
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The piece of a text that has the most terms in it, and where they are there."""
    places = sorted(found[:_MOST_MATCHES])
    if not text.isascii():
        came = origins(text)
        places = [
            (came[a], max(came[b - 1] + 1, came[b]), term) for a, b, term in places
        ]
    start, end = _window(text, places)
    lead, trail = "…" if start else "", "…" if end < len(text) else ""
    moved = len(lead) - start
    apart: list[tuple[int, int]] = []
    for a, b, _ in places:
        if start <= a and b <= end and not (apart and a + moved < apart[-1][1]):
            apart.append((a + moved, b + moved))
    return f"{lead}{text[start:end]}{trail}", tuple(apart)


def _window(text: str, found: Sequence[Place]) -> tuple[int, int]:
    """The part of a text to be shown: the first with the most terms."""
    if len(text) <= _PIECE_CHARACTERS:
        return 0, len(text)
    best = found[0][0] if len(found) == 1 else _densest(found)
    room = min(best - _LEAD_CHARACTERS, len(text) - _PIECE_CHARACTERS)
    start = _at_word(text, max(0, room), best)
    return start, min(len(text), start + _PIECE_CHARACTERS)


def _densest(found: Sequence[Place]) -> int:
    """Where the part with the most terms begins; the first of those with as many."""
    best = most = 0
    for first, (start, _, _) in enumerate(found):
        within = set()
        for a, _, number in found[first:]:
            if a - start > _PIECE_CHARACTERS - 2 * _LEAD_CHARACTERS:
                break
            within.add(number)
        if len(within) > most:
            best, most = start, len(within)
    return best


def _at_word(text: str, start: int, before: int) -> int:
    """Where the next word begins, if one does before a place."""
    if start == 0:
        return 0
    space = text.find(" ", start, before)
    return start if space < 0 else space + 1
