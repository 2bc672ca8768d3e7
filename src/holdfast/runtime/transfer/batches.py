"""Batches: what an import takes in at once, or piece by piece where that is refused.

Answers for: how much one transaction takes, and which pieces are tried by themselves.
Leaves to others: what a piece is, and taking it in (`admission`, importers).
Always holds: pieces are taken in in their order; after a flush, none waits.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from holdfast.errors import HoldfastError

P = TypeVar("P")
BATCH_MESSAGES = 400
"""How many records one transaction takes at most."""
_BYTES = 1 << 20


class Batches(Generic[P]):
    """Pieces that wait to be taken in: `together`, or `singly` after a refusal."""

    def __init__(
        self,
        together: Callable[[list[P]], None],
        singly: Callable[[P], None],
        refusals: tuple[type[HoldfastError], ...],
        most: int,
    ) -> None:
        self._together = together
        self._singly = singly
        self._refusals = refusals
        self._most = most
        self._pieces: list[P] = []
        self._records = self._bytes = 0

    def add(self, piece: P) -> P:
        """Have a piece wait; it may still grow."""
        self._pieces.append(piece)
        return piece

    @property
    def newest(self) -> P | None:
        """The piece that came last, as long as it waits."""
        return self._pieces[-1] if self._pieces else None

    def count(self, size_bytes: int = 0) -> bool:
        """Count a record that came; whether that filled a batch, now taken in."""
        self._records += 1
        self._bytes += size_bytes
        if self._records < self._most and self._bytes < _BYTES:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Take in what waits."""
        pieces, self._pieces = self._pieces, []
        self._records = self._bytes = 0
        if not pieces:
            return
        try:
            self._together(pieces)
        except self._refusals:
            for piece in pieces:
                self._singly(piece)
