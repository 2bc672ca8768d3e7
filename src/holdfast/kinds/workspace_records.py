"""What a workspace is: its records, and reading them from rows.

Answers for: the records of workspaces and their chats, when they are stale.
Leaves to others: everything that is done with them (`workspaces`).
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import msgspec

from holdfast import codec
from holdfast.clock import to_datetime
from holdfast.edges import Edge, texts_of
from holdfast.engine import Row


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody works: as whom, with which tools, at what.

    `tools` are the names of those that are loaded; `chat` is the session that was used
    last. A workspace is stale that nobody has used for `limits.workspace_seconds`.
    `version` grows when what is said of it changes.
    """

    id: str
    owner: str
    path: str | None
    project: str | None
    persona: str | None
    tools: tuple[str, ...]
    issue: str | None
    branch: str | None
    chat: str | None
    metadata: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime
    used_at: datetime
    stale: bool
    version: int


class WorkspaceChat(msgspec.Struct, frozen=True, kw_only=True):
    """A chat session of a workspace. What is None here is as the workspace has it."""

    workspace: str
    session: str
    name: str | None
    persona: str | None
    tools: tuple[str, ...] | None
    issue: str | None
    branch: str | None
    started_at: datetime
    used_at: datetime
    stale: bool


class Cleaned(msgspec.Struct, frozen=True, kw_only=True):
    """What a cleaning took away: workspaces by their ids, and how many other chats.

    `held` were left for another holder's lease, and `left` says that more is stale.
    """

    workspaces: tuple[str, ...]
    chats: int
    held: int
    left: bool


Tools = Annotated[Iterable[str], Edge(texts_of)]


def workspace_of(row: Row, stale_from: int) -> Workspace:
    """A workspace from a row of `workspace_fields`; stale if unused since a time."""
    (_, owner, id, path, project, persona, tools, issue, branch, metadata, created_at,
     updated_at, version, used_at, chat) = row  # fmt: skip
    return Workspace(
        id=id,
        owner=owner,
        path=path,
        project=project,
        persona=persona,
        tools=tuple(codec.decode(tools)),
        issue=issue,
        branch=branch,
        chat=chat,
        metadata=codec.decode(metadata),
        created_at=to_datetime(created_at),
        updated_at=to_datetime(updated_at),
        used_at=to_datetime(used_at),
        stale=used_at <= stale_from,
        version=version,
    )


def chat_of(workspace: str, row: Row, stale_from: int) -> WorkspaceChat:
    """A chat from a row of `workspace_chat_fields`."""
    _, session, name, persona, tools, issue, branch, started_at, used_at = row
    return WorkspaceChat(
        workspace=workspace,
        session=session,
        name=name,
        persona=persona,
        tools=None if tools is None else tuple(codec.decode(tools)),
        issue=issue,
        branch=branch,
        started_at=to_datetime(started_at),
        used_at=to_datetime(used_at),
        stale=used_at <= stale_from,
    )
