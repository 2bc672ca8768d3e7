"""Session rows: a session's own row, and the tags by which it is found.

Answers for: finding a row by its id, and the tags that go with a new one.
Leaves to others: everything that is done with sessions (`sessions`, `forks`).
"""

from holdfast.contract import Kind
from holdfast.engine import Row
from holdfast.errors import NotFound


class SessionRows(Kind):
    """The part of the sessions' operations that knows their own rows."""

    name = "sessions"

    def _row(self, id: str) -> Row | None:
        return self.tx.one("session_get", owner=self.owner, id=id)

    def _found(self, id: str) -> Row:
        row = self._row(id)
        if row is None:
            raise NotFound("session", id)
        return row

    def _tag(self, no: int, created_at: int, tags: tuple[str, ...]) -> None:
        for tag in tags:
            self.tx.put(
                "session_tag_add",
                owner=self.owner,
                tag=tag,
                created_at=created_at,
                no=no,
            )
