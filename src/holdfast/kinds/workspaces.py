"""Workspaces: where somebody works, as whom, with which tools, at what.

Answers for: making, changing, finding and deleting workspaces, loading tools, putting
them back.
Leaves to others: the chats of a workspace (`workspace_chats`), cleaning up those that
nobody uses any more (`workspace_cleaning`), what is said in chats (sessions), who works
there (agents).
Always holds: what changes a workspace counts as using it; one that is used is cleaned
away by nobody.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from holdfast import codec
from holdfast.contract import Kind, operation, query
from holdfast.edges import Count, Id, Object, PageSize, Text
from holdfast.engine import Row, Table
from holdfast.errors import Conflict
from holdfast.guarantees import Promise
from holdfast.kinds.workspace_cleaning import WorkspaceCleaning
from holdfast.kinds.workspace_records import Tools, Workspace
from holdfast.limits import hold
from holdfast.page import Page, cursor_of, place_of
from holdfast.restoring import Plan

_ALL = 2**62
_CONTENT = ("path", "project", "persona", "tools", "issue", "branch", "metadata")
_CONTENT_AT = 3
_VERSION_AT = 12


class Workspaces(WorkspaceCleaning):
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

    def put_back(self, id: str, past: Kind) -> Plan | None:
        """As for every kind; what becomes of the workspace is told."""
        plan, there = super().put_back(id, past), self._row(id)
        if plan is None:
            return None
        gone = self._workspace(there) if plan.op == "delete" and there else None

        def finish() -> None:
            if gone is not None:
                self._told("deleted", gone)
            else:
                self._told(f"{plan.op}d", self._workspace(self._found(id)))

        return msgspec.structs.replace(plan, finish=finish)

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


def _text(tools: Iterable[str]) -> str:
    return codec.text_of(tuple(tools)) or "[]"
