"""Writers: how far each of them is on disk, and how far it was followed.

Answers for: finding those that brought something since a look, without reading of all
that there ever were.
Leaves to others: what they brought (`following`, `elsewhere`).
Always holds: a batch that was not in sight at a look is found by the next. The time at
which it is written is no earlier than that of any batch that its own process could see,
whatever the clock there says; of what was committed while it was on its way, none may
be more than `_COMMIT_US` ahead. A commit that takes longer than that, or one beside
another of a process whose clock is further ahead, can hide a batch, until its writer's
next.
"""

import msgspec

from holdfast.engine import Transaction

_COMMIT_US = 3_600_000_000
_NOWHERE = -1


class Marks(msgspec.Struct, frozen=True):
    """How far writers are, by their numbers, and when the latest batch was written."""

    newest: dict[int, int] = {}
    written_at: int = 0

    def of(self, writer: int) -> int:
        """The time up to which a writer was followed."""
        return self.newest.get(writer, _NOWHERE)

    def fresh(self, tx: Transaction) -> "Marks":
        """How far those are by now that brought something since."""
        rows = tx.all("event_writers", since=self.written_at - _COMMIT_US)
        newest = {writer: at for writer, at, _ in rows if at > self.of(writer)}
        return Marks(newest, max([self.written_at, *(row[2] for row in rows)]))

    def and_(self, fresh: "Marks") -> "Marks":
        """Both together."""
        return Marks(self.newest | fresh.newest, fresh.written_at)
