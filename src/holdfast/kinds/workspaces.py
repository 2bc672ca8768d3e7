"""Workspaces: where somebody works, as whom, with which tools, at what.

Answers for: making, changing, finding and deleting workspaces, loading tools, cleaning
up those that nobody uses any more.
Leaves to others: the chats of a workspace (`workspace_chats`), what is said in them
(sessions), who works there (agents).
Always holds: what changes a workspace counts as using it; one that is used is cleaned
away by nobody.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import UNSET, UnsetType

from holdfast import codec
from holdfast.contract import Kind, operation, query
from holdfast.edges import Count, Id, Object, PageSize, Seconds, Text
from holdfast.engine import Row, Table
from holdfast.errors import Conflict, Held
from holdfast.guarantees import Promise
from holdfast.kinds.workspace_chats import WorkspaceChats
from holdfast.kinds.workspace_records import Cleaned, Tools, Workspace, workspace_of
from holdfast.limits import hold
from holdfast.page import Page, cursor_of, place_of

_ALL = 2**62
_CONTENT = ("path", "project", "persona", "tools", "issue", "branch", "metadata")
_CONTENT_AT = 3
_VERSION_AT, _USED_AT = 12, 13


class Workspaces(WorkspaceChats):
    """Where somebody works; each call is a transaction of its own, or part of one."""

    name = "workspaces"
    promise = Promise.DURABLE
    why = "who comes back finds persona, tools, issue and chats as they were left"
    changed_by = "put, touch, load, unload, enter, leave, clean, delete"
    leased = True
    tables = (
        Table("workspace", json=("tools", "metadata")),
        Table("workspace_use", parent=("workspace", "workspace")),
        Table("workspace_chat", json=("tools",), parent=("workspace", "workspace")),
    )
    bookkeeping = frozenset({"version", "updated_at"})

    @operation
    def put(
        self,
        id: Id,
        *,
        expect: Count | None = None,
        path: Text | None | UnsetType = UNSET,
        project: Text | None | UnsetType = UNSET,
        persona: Text | None | UnsetType = UNSET,
        tools: Tools | UnsetType = UNSET,
        issue: Text | None | UnsetType = UNSET,
        branch: Text | None | UnsetType = UNSET,
        metadata: Object | UnsetType = UNSET,
    ) -> Workspace:
        """Make a workspace, or change what is named of one; the rest stays.

        It is in use with that. `expect` is its version, 0 for one that is not there.
        Raises `Conflict` (another version), `Held`, `Fenced`.
        """
        row = self._row(id)
        version = 0 if row is None else row[_VERSION_AT]
        if expect is not None and expect != version:
            raise Conflict("workspace", id, expected=expect, found=version)
        given: dict[str, Any] = {
            "path": path,
            "project": project,
            "persona": persona,
            "tools": tools if tools is UNSET else _text(tools),
            "issue": issue,
            "branch": branch,
            "metadata": metadata if metadata is UNSET else codec.text_of(metadata),
        }
        chosen = {name: value for name, value in given.items() if value is not UNSET}
        return self._made(id, chosen) if row is None else self._changed(row, chosen)

    @query
    def get(self, id: Id) -> Workspace:
        """One workspace. Raises `NotFound`."""
        return self._workspace(self._found(id))

    @query
    def list(
        self,
        *,
        project: Text | None = None,
        persona: Text | None = None,
        stale: bool = False,
        limit: PageSize = 50,
        cursor: str | None = None,
    ) -> Page[Workspace]:
        """Workspaces, used last first; with `stale`, those that nobody uses."""
        before = (_ALL, 0) if cursor is None else place_of(cursor, int, int)
        found: tuple[Workspace, ...] = ()
        last = (0, 0)
        for place, one in self._each_used(int(before[0]), int(before[1])):
            if (
                project in {None, one.project}
                and persona in {None, one.persona}
                and one.stale >= stale
            ):
                if len(found) == limit:
                    return Page(found, cursor_of(*last))
                found += (one,)
                last = place
        return Page(found)

    @operation
    def touch(self, id: Id, session: Id | None = None) -> Workspace:
        """Say that a workspace is in use, and one of its chats, if that is named.

        Raises `NotFound` (the workspace, the chat), `Held`, `Fenced`.
        """
        row = self._found(id)
        self.guard(id)
        if session is not None:
            self._use_chat(row[0], session)
        self._use(row[0])
        return self._workspace(self._found(id))

    @operation
    def load(self, id: Id, tools: Tools) -> Workspace:
        """Add tools to those that are loaded.

        Raises `NotFound`, `TooLarge` (more than `limits.tags` with them), `Held`,
        `Fenced`.
        """
        row = self._found(id)
        every = dict.fromkeys([*codec.decode(row[6]), *tools])
        hold(len(every), self.tx.limits.tags, "tools", "tags")
        return self._changed(row, {"tools": _text(every)})

    @operation
    def unload(self, id: Id, tools: Tools) -> Workspace:
        """Take tools out of those that are loaded. Raises as `load` does."""
        row = self._found(id)
        gone = set(tools)
        kept = [tool for tool in codec.decode(row[6]) if tool not in gone]
        return self._changed(row, {"tools": _text(kept)})

    @operation
    def delete(self, id: Id) -> bool:
        """Delete a workspace and what it says of its chats; True only if there was one.

        The sessions themselves stay. Raises `Held`, `Fenced`.
        """
        row = self._row(id)
        if row is None:
            return False
        self.guard(id)
        self._drop(row)
        return True

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

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many workspaces and chats the owner has, and their bytes."""
        spaces = self.tx.one("workspace_usage", owner=self.owner) or (0, 0)
        uses = self.tx.one("workspace_use_usage", owner=self.owner) or (0, 0)
        chats = self.tx.one("workspace_chat_usage", owner=self.owner) or (0, 0)
        return {
            "workspace": (spaces[0], spaces[1]),
            "workspace_use": (uses[0], uses[1]),
            "workspace_chat": (chats[0], chats[1]),
        }

    def revised(
        self, was: dict[str, Any], now: dict[str, Any] | None, past: Kind
    ) -> dict[str, Any]:
        """A workspace's row as it is put back, with a version that it never had."""
        asked = {"owner": self.owner, "id": was["id"]}
        last = self.tx.one("workspace_version_last", **asked) or (0,)
        version = max(was["version"], last[0], now["version"] if now else 0) + 1
        return {**was, "version": version, "updated_at": self.tx.now}

    def _made(self, id: str, chosen: dict[str, Any]) -> Workspace:
        no = self.tx.new_no()
        usual = dict.fromkeys(_CONTENT) | {"tools": "[]"}
        self.tx.put(
            "workspace_add",
            no=no,
            owner=self.owner,
            id=id,
            now=self.tx.now,
            **{**usual, **chosen},
        )
        self.tx.put(
            "workspace_use_add",
            no=self.tx.new_no(),
            owner=self.owner,
            workspace=no,
            now=self.tx.now,
        )
        return self._told("created", self._workspace(self._found(id)))

    def _changed(self, row: Row, chosen: dict[str, Any]) -> Workspace:
        """A workspace with what was chosen changed, in use from now on."""
        id = row[2]
        self.guard(id)
        there = dict(zip(_CONTENT, row[_CONTENT_AT:], strict=False))
        kept = {**there, **chosen}
        if kept != there:
            self.tx.put(
                "workspace_change",
                owner=self.owner,
                no=row[0],
                now=self.tx.now,
                **kept,
            )
        self._use(row[0])
        found = self._workspace(self._found(id))
        return found if kept == there else self._told("updated", found)

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

    def _each_used(
        self, before_at: int, before_no: int
    ) -> Iterator[tuple[tuple[int, int], Workspace]]:
        """Workspaces, used last first, each with its place in that order."""
        many = self.tx.limits.page
        while True:
            rows = self.tx.all(
                "workspace_used",
                owner=self.owner,
                before_at=before_at,
                before_no=before_no,
                limit=many,
            )
            asked = [{"owner": self.owner, "no": no} for _, no in rows]
            for (at, no), found in zip(
                rows, self.tx.each("workspace_at", asked), strict=True
            ):
                for row in found:
                    yield (at, no), self._workspace(row)
            if len(rows) < many:
                return
            before_at, before_no = rows[-1]

    def _is_held(self, id: str) -> bool:
        try:
            self.guard(id)
        except Held:
            return True
        return False

    def _workspace(self, row: Row) -> Workspace:
        return workspace_of(row, self._stale_from)


def _text(tools: Iterable[str]) -> str:
    return codec.text_of(tuple(tools)) or "[]"
