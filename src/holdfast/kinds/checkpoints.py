"""Checkpoints: what a process has in memory, kept so that it can be restored once.

Answers for: finding and deleting checkpoints, and having one restored again.
Leaves to others: what a checkpoint is (`checkpoint_records`), keeping them and giving
out their parts (`checkpoint_keeping`), collecting and restoring
(`runtime.checkpoints`).
Always holds: a checkpoint is there with all of its parts, or not at all.
"""

from holdfast.contract import Kind, operation, query
from holdfast.edges import Id, PageSize
from holdfast.engine import Row, Table
from holdfast.errors import NotFound
from holdfast.guarantees import Promise
from holdfast.kinds.checkpoint_records import MemoryCheckpoint, checkpoint_of
from holdfast.page import Page, cursor_of, place_of

_ALL = (2**62, "")
_ID, _TAKEN_AT = 0, 5
PARTS = 10_000
"""No checkpoint has more parts."""


class Checkpoints(Kind):
    """What processes have in memory; each call is a transaction, or part of one."""

    name = "checkpoints"
    promise = Promise.DURABLE
    why = "what a process has in memory survives its end, and comes back once"
    changed_by = "take, every, restore, delete, retry; each orderly end"
    tables = (
        Table("memory_checkpoint", journalled=False),
        Table("memory_part", journalled=False),
        Table("memory_run", journalled=False),
    )

    @query
    def list(
        self, *, limit: PageSize = 50, cursor: str | None = None
    ) -> Page[MemoryCheckpoint]:
        """Checkpoints, newest first, without the data of their parts."""
        before = _ALL if cursor is None else place_of(cursor, int, str)
        rows = self.tx.all(
            "memory_list",
            owner=self.owner,
            before_at=before[0],
            before_id=before[1],
            limit=limit + 1,
        )
        last = rows[limit - 1] if len(rows) > limit else None
        more = None if last is None else cursor_of(last[_TAKEN_AT], last[_ID])
        shown = rows[:limit]
        asked = {"owner": self.owner, "limit": PARTS}
        each = [{**asked, "checkpoint": row[_ID]} for row in shown]
        parts = self.tx.each("memory_part_list", each)
        return Page(map(checkpoint_of, shown, parts), more)

    @query
    def get(self, id: Id) -> MemoryCheckpoint:
        """One checkpoint, with the data of its parts. Raises `NotFound`."""
        row = self.tx.one("memory_get", owner=self.owner, id=id)
        if row is None:
            raise NotFound("checkpoint", id)
        return self._whole(row)

    @query
    def latest(self) -> MemoryCheckpoint | None:
        """The newest checkpoint, with the data of its parts; None if there is none."""
        row = self.tx.one("memory_newest", owner=self.owner)
        return None if row is None else self._whole(row)

    @operation
    def delete(self, id: Id) -> bool:
        """Delete a checkpoint, and what of it waits; True only if there was one."""
        self._take_turn()
        found = self.tx.one("memory_get", owner=self.owner, id=id) is not None
        if found:
            self._drop(id)
        return found

    @operation
    def retry(self, id: Id) -> MemoryCheckpoint:
        """Have all parts of a checkpoint restored again, by the next `restore`.

        Also those that were restored, or that a process has died over. Raises
        `NotFound`.
        """
        self._take_turn()
        self.get(id)
        self.tx.put("memory_part_retry", owner=self.owner, checkpoint=id)
        return self.get(id)

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many checkpoints and parts the owner has, and their bytes."""
        whole = self.tx.one("memory_usage", owner=self.owner) or (0, 0)
        parts = self.tx.one("memory_part_usage", owner=self.owner) or (0, 0)
        return {
            "memory_checkpoint": (whole[0], whole[1]),
            "memory_part": (parts[0], parts[1]),
        }

    def _take_turn(self) -> None:
        """Be the only one who keeps or claims what is this owner's."""
        self.tx.lock(self.name, "*")

    def _whole(self, row: Row) -> MemoryCheckpoint:
        asked = {"owner": self.owner, "checkpoint": row[_ID], "limit": PARTS}
        return checkpoint_of(row, self.tx.all("memory_part_whole", **asked))

    def _drop(self, id: str) -> None:
        self.tx.put("memory_drop", owner=self.owner, id=id)
        self.tx.put("memory_part_drop", owner=self.owner, checkpoint=id)
