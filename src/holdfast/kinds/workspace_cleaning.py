"""Cleaning: workspaces and chats go that nobody has used for long.

Answers for: finding what is unused, and deleting it a limited number at a time.
Leaves to others: what is in use (`workspace_chats`), when to clean (whoever calls).
Always holds: what somebody has come back to meanwhile stays, and so does what another
holder has leased.
"""

from collections.abc import Iterator

from holdfast.contract import operation
from holdfast.edges import PageSize, Seconds
from holdfast.engine import Row
from holdfast.errors import Held
from holdfast.kinds.workspace_chats import WorkspaceChats
from holdfast.kinds.workspace_records import Cleaned, Workspace, workspace_of

_USED_AT = 13


class WorkspaceCleaning(WorkspaceChats):
    """The part of the workspaces' operations that cleans up."""

    @operation
    def clean(
        self, older_than_seconds: Seconds | None = None, *, limit: PageSize = 100
    ) -> Cleaned:
        """Delete workspaces, and chats of others, that nobody has used for so long.

        At most `limit` of each; None stands for `limits.workspace_seconds`. One that
        another holder has leased is left.
        """
        seconds = older_than_seconds or self.tx.limits.workspace_seconds
        before = self.tx.now - round(seconds * 1_000_000)
        gone, held, left = self._clean_workspaces(before, limit)
        chats, held_chats, more = self._clean_chats(before, limit)
        return Cleaned(
            workspaces=gone,
            chats=chats,
            held=held + held_chats,
            left=left or more,
        )

    def _drop(self, row: Row) -> None:
        asked = {"owner": self.owner, "workspace": row[0]}
        self.tx.put("workspace_drop", owner=self.owner, no=row[0])
        self.tx.put("workspace_use_drop", **asked)
        self.tx.put("workspace_chat_drop_all", **asked)
        self._told("deleted", self._workspace(row))

    def _clean_workspaces(
        self, before: int, limit: int
    ) -> tuple[tuple[str, ...], int, bool]:
        """The ids of those that are gone, how many are held, whether more are stale."""
        gone: tuple[str, ...] = ()
        held = 0
        for _, no in self._each_unused("workspace_unused", before):
            row = self.tx.one("workspace_at", owner=self.owner, no=no)
            if row is None:
                continue
            if len(gone) == limit:
                return gone, held, True
            self.lock(row[2])
            row = self.tx.one("workspace_at", owner=self.owner, no=no)
            if row is None or row[_USED_AT] > before:
                continue  # somebody has come back meanwhile
            if self._is_held(row[2]):
                held += 1
                continue
            self._drop(row)
            gone += (row[2],)
        return gone, held, False

    def _clean_chats(self, before: int, limit: int) -> tuple[int, int, bool]:
        """How many chats are gone, how many are held, whether more are stale."""
        gone = held = 0
        for _, no, workspace, session in self._each_unused(
            "workspace_chat_unused", before
        ):
            row = self.tx.one("workspace_at", owner=self.owner, no=workspace)
            if row is None:
                continue
            if gone == limit:
                return gone, held, True
            self.lock(row[2])
            chat = self._chat_row(workspace, session)
            if chat is None or chat[-1] > before:
                continue
            if self._is_held(row[2]):
                held += 1
                continue
            self.tx.put("workspace_chat_drop", owner=self.owner, no=no)
            gone += 1
        return gone, held, False

    def _each_unused(self, name: str, before: int) -> Iterator[Row]:
        """Rows of what nobody has used since a time; they may go meanwhile."""
        asked = {"owner": self.owner, "before": before, "limit": self.tx.limits.page}
        after = (0, 0)
        while True:
            rows = self.tx.all(name, after_at=after[0], after_no=after[1], **asked)
            yield from rows
            if len(rows) < self.tx.limits.page:
                return
            after = rows[-1][0], rows[-1][1]

    def _is_held(self, id: str) -> bool:
        try:
            self.guard(id)
        except Held:
            return True
        return False

    def _workspace(self, row: Row) -> Workspace:
        return workspace_of(row, self._stale_from)
