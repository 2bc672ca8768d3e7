"""Chats of workspaces: which sessions are led there, and how each differs.

Answers for: entering, leaving and listing the chats of a workspace; when things are in
use.
Leaves to others: the workspaces themselves (`workspaces`), what is said in a chat
(sessions).
Always holds: a session is once in a workspace; using it uses the workspace.
"""

from typing import Any

from msgspec import UNSET, UnsetType, to_builtins

from holdfast import codec
from holdfast.contract import Kind, operation, query
from holdfast.edges import Id, PageSize, Text
from holdfast.engine import Row, Told
from holdfast.errors import NotFound
from holdfast.kinds.workspace_records import Tools, Workspace, WorkspaceChat, chat_of
from holdfast.page import Page, cursor_of, place_of

_ALL = 2**62
_CONTENT = ("name", "persona", "tools", "issue", "branch")
_CONTENT_AT = 2


class WorkspaceChats(Kind):
    """The chats of workspaces."""

    @operation
    def enter(
        self,
        id: Id,
        session: Id,
        *,
        name: Text | None | UnsetType = UNSET,
        persona: Text | None | UnsetType = UNSET,
        tools: Tools | None | UnsetType = UNSET,
        issue: Text | None | UnsetType = UNSET,
        branch: Text | None | UnsetType = UNSET,
    ) -> WorkspaceChat:
        """Go on with a chat in a workspace, or begin one; it is the one in use then.

        What is named is this chat's own from now on; None: as the workspace has it.
        The session may be one of this store, or of another program. Raises `NotFound`
        (the workspace), `Held`, `Fenced`.
        """
        no = self._found(id)[0]
        self.guard(id)
        given: dict[str, Any] = {
            "name": name,
            "persona": persona,
            "tools": tools
            if tools is UNSET or tools is None
            else codec.text_of(tuple(tools)),
            "issue": issue,
            "branch": branch,
        }
        chosen = {name: value for name, value in given.items() if value is not UNSET}
        row = self._chat_row(no, session)
        if row is None:
            self.tx.put(
                "workspace_chat_add",
                no=self.tx.new_no(),
                owner=self.owner,
                workspace=no,
                session=session,
                now=self.tx.now,
                **{**dict.fromkeys(_CONTENT), **chosen},
            )
        else:
            self._put_chat(row, chosen)
        self._use(no)
        return self._chat(id, no, session)

    @operation
    def leave(self, id: Id, session: Id) -> bool:
        """Take a chat out of a workspace; True only if it was in there.

        The session itself stays. Raises `NotFound` (the workspace), `Held`, `Fenced`.
        """
        no = self._found(id)[0]
        row = self._chat_row(no, session)
        if row is None:
            return False
        self.guard(id)
        self.tx.put("workspace_chat_drop", owner=self.owner, no=row[0])
        self._use(no)
        return True

    @query
    def chats(
        self, id: Id, *, limit: PageSize = 50, cursor: str | None = None
    ) -> Page[WorkspaceChat]:
        """The chats of a workspace, used last first. Raises `NotFound`."""
        no = self._found(id)[0]
        before = (_ALL, 0) if cursor is None else place_of(cursor, int, int)
        rows = self.tx.all(
            "workspace_chat_list",
            owner=self.owner,
            workspace=no,
            before_at=before[0],
            before_no=before[1],
            limit=limit + 1,
        )
        last = rows[limit - 1] if len(rows) > limit else None
        more = None if last is None else cursor_of(last[-1], last[0])
        return Page((chat_of(id, row, self._stale_from) for row in rows[:limit]), more)

    @property
    def _stale_from(self) -> int:
        """Since when what is not used is stale."""
        return self.tx.now - round(self.tx.limits.workspace_seconds * 1_000_000)

    def _use(self, no: int) -> None:
        """Say that a workspace is in use."""
        self.tx.put(
            "workspace_use_change", owner=self.owner, workspace=no, now=self.tx.now
        )

    def _use_chat(self, no: int, session: str) -> None:
        """Say that a chat is in use. Raises `NotFound`."""
        row = self._chat_row(no, session)
        if row is None:
            raise NotFound("workspace_chat", session)
        self._put_chat(row, {})

    def _put_chat(self, row: Row, chosen: dict[str, Any]) -> None:
        there = dict(zip(_CONTENT, row[_CONTENT_AT:], strict=False))
        self.tx.put(
            "workspace_chat_change",
            owner=self.owner,
            no=row[0],
            now=self.tx.now,
            **{**there, **chosen},
        )

    def _chat_row(self, no: int, session: str) -> Row | None:
        return self.tx.one(
            "workspace_chat_get", owner=self.owner, workspace=no, session=session
        )

    def _chat(self, id: str, no: int, session: str) -> WorkspaceChat:
        row = self._chat_row(no, session)
        assert row is not None, session
        return chat_of(id, row, self._stale_from)

    def _row(self, id: str) -> Row | None:
        return self.tx.one("workspace_get", owner=self.owner, id=id)

    def _found(self, id: str) -> Row:
        row = self._row(id)
        if row is None:
            raise NotFound("workspace", id)
        return row

    def _told(self, what: str, found: Workspace) -> Workspace:
        """Tell what was done to a workspace, and give it back."""
        self.tx.tell(Told(f"workspace:{what}", to_builtins(found)))
        return found
