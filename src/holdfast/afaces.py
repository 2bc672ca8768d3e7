"""The async faces of holdfast's kinds: the same calls, awaited.

Written by `tools/afaces.py` from the registry of operations; not to be edited.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from typing import Any, Protocol

from msgspec import UNSET, UnsetType

from holdfast.changes import Change
from holdfast.codec import Json
from holdfast.contract import Kind, Operation
from holdfast.journal import Journal, Stretch
from holdfast.kinds.contexts import Context
from holdfast.kinds.leases import Lease, Leases
from holdfast.kinds.session_records import Family, Message, Session, Summary
from holdfast.kinds.sessions import Sessions
from holdfast.kinds.task_records import Task, TaskLog, TaskMetrics
from holdfast.kinds.tasks import Tasks
from holdfast.page import Page


class Performs(Protocol):
    """What carries out an operation for an async face."""

    async def perform(
        self,
        kind: type[Kind],
        operation: Operation,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Run it, to its commit."""
        ...


_JOURNAL = Journal.operations()


class AsyncJournal:
    """Every change, in order. `all_owners` is set where owners are looked across."""

    def __init__(self, target: Performs, kind: type[Kind] = Journal) -> None:
        self._target = target
        self._kind = kind

    async def advance(self, name: str, to: int) -> int:
        """Say that a named follower has worked up to a `seq`; gives that back.

        Raises `Refused` if it is there already or past it: another process with the
        same name was first, and this one's effects must not be kept.
        """
        return await self._target.perform(
            self._kind, _JOURNAL["advance"], (name, to), {}
        )

    async def cursor(self, name: str) -> int:
        """The `seq` up to which a named follower has worked; 0 at first."""
        return await self._target.perform(self._kind, _JOURNAL["cursor"], (name,), {})

    async def head(self) -> int:
        """The newest moment; 0 if nothing was ever written."""
        return await self._target.perform(self._kind, _JOURNAL["head"], (), {})

    async def horizon(self) -> int:
        """The oldest moment that can be read; 0 if nothing was trimmed."""
        return await self._target.perform(self._kind, _JOURNAL["horizon"], (), {})

    async def read(
        self,
        after: int = 0,
        *,
        limit: int = 100,
        kinds: Iterable[str] | None = None,
        id: str | None = None,
        cursor: str | None = None,
    ) -> Page[Change]:
        """Changes after a `seq`, in order.

        `kinds` takes names of kinds (`sessions`) and of their records (`message`);
        `id` is that of a record, or of the one that it belongs to. The cursor leads
        on; where it is None, all that is committed was read. Raises `Trimmed`,
        `Refused` (no such kind).
        """
        return await self._target.perform(
            self._kind,
            _JOURNAL["read"],
            (after,),
            {"limit": limit, "kinds": kinds, "id": id, "cursor": cursor},
        )

    async def stretch(
        self,
        after: int,
        *,
        limit: int = 200,
        kinds: Iterable[str] | None = None,
        id: str | None = None,
    ) -> Stretch:
        """As `read`, with the `seq` up to which was looked, found or not."""
        return await self._target.perform(
            self._kind,
            _JOURNAL["stretch"],
            (after,),
            {"limit": limit, "kinds": kinds, "id": id},
        )


_LEASES = Leases.operations()


class AsyncLeases:
    """Leases on records of any kind. They are not journalled."""

    def __init__(self, target: Performs, kind: type[Kind] = Leases) -> None:
        self._target = target
        self._kind = kind

    async def acquire(
        self, kind: str, id: str, *, holder: str, seconds: float
    ) -> Lease:
        """Take a record for so many seconds; the same holder takes it over at once.

        Raises `NotFound` (the record), `Held` (another holder's lease lives), `Refused`
        (a kind without records to lease).
        """
        return await self._target.perform(
            self._kind,
            _LEASES["acquire"],
            (kind, id),
            {"holder": holder, "seconds": seconds},
        )

    async def get(self, kind: str, id: str) -> Lease | None:
        """The live lease of a record, or None."""
        return await self._target.perform(self._kind, _LEASES["get"], (kind, id), {})

    async def release(self, kind: str, id: str, *, fence: int) -> bool:
        """End a lease; False if it was over already."""
        return await self._target.perform(
            self._kind, _LEASES["release"], (kind, id), {"fence": fence}
        )

    async def renew(self, kind: str, id: str, *, fence: int, seconds: float) -> Lease:
        """Let a lease end so many seconds from now. Raises `Fenced` if it is over."""
        return await self._target.perform(
            self._kind,
            _LEASES["renew"],
            (kind, id),
            {"fence": fence, "seconds": seconds},
        )


_SESSIONS = Sessions.operations()


class AsyncSessions:
    """Conversations; each call is a transaction of its own, or part of an open one."""

    def __init__(self, target: Performs, kind: type[Kind] = Sessions) -> None:
        self._target = target
        self._kind = kind

    async def admit(
        self,
        id: str,
        *,
        created_at: datetime,
        updated_at: datetime | None = None,
        title: str = "",
        status: str = "active",
        parent: str | None = None,
        metadata: dict[str, Any] | None = None,
        tags: Iterable[str] = (),
        max_context_messages: int | None = None,
        first: int = 1,
        version: int = 0,
        forked_at: int | None = None,
    ) -> Session:
        """Take in a session that began elsewhere, with its times and its version.

        `first` is the position of the first message that it is given next, `version`
        what it is at before that. Its parent need not be here, and what it has of that
        is its own (`forked_at` is only told). One that is there with equal content is
        given back. Raises `AlreadyExists` (the id, with other content), `WrongType` (a
        version that the positions are past already).
        """
        return await self._target.perform(
            self._kind,
            _SESSIONS["admit"],
            (id,),
            {
                "created_at": created_at,
                "updated_at": updated_at,
                "title": title,
                "status": status,
                "parent": parent,
                "metadata": metadata,
                "tags": tags,
                "max_context_messages": max_context_messages,
                "first": first,
                "version": version,
                "forked_at": forked_at,
            },
        )

    async def amend(
        self,
        id: str,
        message_id: str,
        content: Json,
        *,
        metadata: dict[str, Any] | None | UnsetType = UNSET,
        expect: int | None = None,
    ) -> Message:
        """Have a message say something else; sessions that share it keep what it said.

        Its id, place, role and time stay. Raises `NotFound` (the session, the message),
        `Conflict` (the session is not at version `expect`), `Refused` (the message is
        still being written), `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind,
            _SESSIONS["amend"],
            (id, message_id, content),
            {"metadata": metadata, "expect": expect},
        )

    async def append(
        self,
        id: str,
        role: str,
        content: Json,
        *,
        message_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        expect: int | None = None,
    ) -> Message:
        """Add a message at the end, in the order of commits.

        A `message_id` that is there with equal content gives that message back.
        Raises `NotFound`, `Conflict` (the session is not at version `expect`),
        `AlreadyExists`, `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind,
            _SESSIONS["append"],
            (id, role, content),
            {"message_id": message_id, "metadata": metadata, "expect": expect},
        )

    async def begin_reply(
        self,
        id: str,
        role: str = "assistant",
        text: str = "",
        *,
        message_id: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Message:
        """Begin a message that is to grow; it takes its place at the end now.

        A `message_id` that is there and still partial gives that message back as far as
        it has come, to go on with it. Raises `NotFound`, `AlreadyExists` (it is there
        and whole, or of another role), `Refused` (it is no text), `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind,
            _SESSIONS["begin_reply"],
            (id, role, text),
            {"message_id": message_id, "metadata": metadata},
        )

    async def clear(self, id: str) -> int:
        """Take all messages off; how many there were.

        Raises `NotFound`, `Held`, `Fenced`.
        """
        return await self._target.perform(self._kind, _SESSIONS["clear"], (id,), {})

    async def close(self, id: str) -> Session:
        """Mark a session as completed. Raises `NotFound`, `Held`, `Fenced`."""
        return await self._target.perform(self._kind, _SESSIONS["close"], (id,), {})

    async def context(
        self,
        id: str,
        *,
        messages: int | None = None,
        tokens: int | None = None,
        count: Callable[[Message], int] | None = None,
    ) -> Context:
        """What a model is to be shown: the newest messages that fit, oldest first.

        Both limits hold, for all that is shown. `messages` is the session's
        `max_context_messages` if it is not given, or else `limits.context_messages`.
        `count` gives the tokens of a message; by default they are a quarter of the
        bytes of its JSON text. It may do nothing but count.

        Before the newest messages come the system messages with which the session
        begins, and a summary of what is left out, if one was stored and fits. Shown in
        any case are those system messages (as many as `messages` says) and the newest
        message, with the call that it answers. Raises `NotFound`.
        """
        return await self._target.perform(
            self._kind,
            _SESSIONS["context"],
            (id,),
            {"messages": messages, "tokens": tokens, "count": count},
        )

    async def create(
        self,
        title: str = "",
        *,
        id: str | None = None,
        parent: str | None = None,
        metadata: dict[str, Any] | None = None,
        tags: Iterable[str] = (),
        max_context_messages: int | None = None,
    ) -> Session:
        """Begin a session; one that is there with equal content is given back.

        Raises `AlreadyExists` (the id, with other content), `NotFound` (the parent).
        """
        return await self._target.perform(
            self._kind,
            _SESSIONS["create"],
            (title,),
            {
                "id": id,
                "parent": parent,
                "metadata": metadata,
                "tags": tags,
                "max_context_messages": max_context_messages,
            },
        )

    async def delete(self, id: str) -> bool:
        """Delete a session and its messages; True only if there was one.

        Its children and its tasks stay, and are `orphaned`. Raises `Held`, `Fenced`.
        """
        return await self._target.perform(self._kind, _SESSIONS["delete"], (id,), {})

    async def end_reply(
        self,
        id: str,
        message_id: str,
        content: Json | UnsetType = UNSET,
        *,
        metadata: dict[str, Any] | None | UnsetType = UNSET,
    ) -> Message:
        """Make a partial message whole: with what came of it, or with this content.

        One that is whole already, and says the same, is given back. Raises `NotFound`,
        `Refused` (it is whole, and says something else), `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind,
            _SESSIONS["end_reply"],
            (id, message_id, content),
            {"metadata": metadata},
        )

    async def extend(
        self, id: str, messages: Iterable[dict[str, Any]], *, expect: int | None = None
    ) -> tuple[Message, ...]:
        """Add messages at the end, all of them or none.

        Each is a dict of `role` and `content`, and perhaps `id`, `metadata`,
        `created_at` (for what was said before it came here) and `partial` (for what
        broke off). Raises as `append` does.
        """
        return await self._target.perform(
            self._kind, _SESSIONS["extend"], (id, messages), {"expect": expect}
        )

    async def extend_reply(
        self, id: str, message_id: str, text: str, *, at: int | None = None
    ) -> int:
        """Add text to a partial message; how many characters it has then.

        `at` is how many it has before that: so a piece that is sent again, perhaps with
        more behind it, is kept once. Raises `NotFound`, `Conflict` (it has not so many,
        or goes on otherwise), `Refused` (it is whole, or no text), `TooLarge`, `Held`,
        `Fenced`.
        """
        return await self._target.perform(
            self._kind, _SESSIONS["extend_reply"], (id, message_id, text), {"at": at}
        )

    async def family(self, id: str, *, limit: int = 100) -> Family:
        """A session's ancestors and descendants by `parent`, the nearest first.

        At most `limit` of each. Raises `NotFound`.
        """
        return await self._target.perform(
            self._kind, _SESSIONS["family"], (id,), {"limit": limit}
        )

    async def fork(
        self,
        id: str,
        at: int | None = None,
        title: str | None = None,
        *,
        new_id: str | None = None,
    ) -> Session:
        """Begin a session that goes on from position `at` of another (its newest).

        What was said up to there is shared, not copied, and stays as it is for both,
        whatever becomes of either. The title is the other's, if none is given; its
        metadata, tags, `max_context_messages` and newest summary come along. A message
        that is still being written comes as far as it is, and stays so.

        A `new_id` that is there already, forked by the same call, is given back. Raises
        `NotFound`, `Refused` (no position that it can go on from), `AlreadyExists`.
        """
        return await self._target.perform(
            self._kind, _SESSIONS["fork"], (id, at, title), {"new_id": new_id}
        )

    async def get(self, id: str) -> Session:
        """One session, without its messages. Raises `NotFound`."""
        return await self._target.perform(self._kind, _SESSIONS["get"], (id,), {})

    async def history(self, id: str) -> AsyncIterator[Message]:
        """Every message, oldest first, read page by page. Raises `NotFound`."""
        cursor: str | None = None
        while True:
            page = await self._target.perform(
                self._kind, _SESSIONS["history"], (id,), {"cursor": cursor}
            )
            for record in page:
                yield record
            cursor = page.cursor
            if cursor is None:
                return

    async def list(
        self,
        *,
        status: str | None = None,
        tag: str | None = None,
        parent: str | None = None,
        created_before: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Session]:
        """Sessions, newest first; messages are never read."""
        return await self._target.perform(
            self._kind,
            _SESSIONS["list"],
            (),
            {
                "status": status,
                "tag": tag,
                "parent": parent,
                "created_before": created_before,
                "limit": limit,
                "cursor": cursor,
            },
        )

    async def messages(
        self,
        id: str,
        last: int = 50,
        *,
        before: int | None = None,
        after: int | None = None,
        cursor: str | None = None,
    ) -> Page[Message]:
        """The newest `last` messages, oldest of them first; the cursor leads back.

        `before` and `after` are positions, and bound what is looked at. With `after`,
        the page begins right behind it, and the cursor leads on. Raises `NotFound`.
        """
        return await self._target.perform(
            self._kind,
            _SESSIONS["messages"],
            (id, last),
            {"before": before, "after": after, "cursor": cursor},
        )

    async def pop(self, id: str) -> Message | None:
        """Take the newest message off; None if there is none.

        Raises `NotFound`, `Held`, `Fenced`.
        """
        return await self._target.perform(self._kind, _SESSIONS["pop"], (id,), {})

    async def render(self, id: str, form: str = "markdown") -> str:
        """A session with all its messages as one text, of one moment.

        `markdown` and `text` are for people: tool calls and other data are laid out,
        messages that broke off are marked, and nothing of it steers a terminal. `json`
        is one document with all that there is, which `import_from` takes. Raises
        `NotFound`.
        """
        return await self._target.perform(
            self._kind, _SESSIONS["render"], (id, form), {}
        )

    async def summaries(
        self, id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[Summary]:
        """Summaries of a session, the furthest-reaching first. Raises `NotFound`."""
        return await self._target.perform(
            self._kind,
            _SESSIONS["summaries"],
            (id,),
            {"limit": limit, "cursor": cursor},
        )

    async def summarize(
        self, id: str, upto: int, text: str, *, created_at: datetime | None = None
    ) -> Summary:
        """Keep what is shown in place of the messages up to a position.

        The messages stay. A summary up to the same position is replaced. `created_at`
        is for one that was made before it came here. Raises `NotFound`, `Refused` (the
        session has no message there), `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind,
            _SESSIONS["summarize"],
            (id, upto, text),
            {"created_at": created_at},
        )

    async def update(
        self,
        id: str,
        *,
        expect: int | None = None,
        title: str | UnsetType = UNSET,
        status: str | UnsetType = UNSET,
        metadata: dict[str, Any] | None | UnsetType = UNSET,
        tags: Iterable[str] | UnsetType = UNSET,
        max_context_messages: int | None | UnsetType = UNSET,
    ) -> Session:
        """Change what is named, and leave the rest; `expect` is the session's version.

        Raises `NotFound`, `Conflict` (another version), `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind,
            _SESSIONS["update"],
            (id,),
            {
                "expect": expect,
                "title": title,
                "status": status,
                "metadata": metadata,
                "tags": tags,
                "max_context_messages": max_context_messages,
            },
        )


_TASKS = Tasks.operations()


class AsyncTasks:
    """Units of work; each call is a transaction of its own, or part of an open one."""

    def __init__(self, target: Performs, kind: type[Kind] = Tasks) -> None:
        self._target = target
        self._kind = kind

    async def cancel(self, id: str) -> Task:
        """Finish a task that is no longer wanted. Raises as `start` does."""
        return await self._target.perform(self._kind, _TASKS["cancel"], (id,), {})

    async def complete(self, id: str, result: Json = None) -> Task:
        """Finish a task with its result. Raises as `start` does."""
        return await self._target.perform(
            self._kind, _TASKS["complete"], (id, result), {}
        )

    async def create(
        self,
        description: str,
        *,
        id: str | None = None,
        tool: str | None = None,
        session: str | None = None,
        assigned_to: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Task:
        """Add a task; one that is there with equal content is given back.

        Raises `AlreadyExists` (the id, with other content), `NotFound` (the session).
        """
        return await self._target.perform(
            self._kind,
            _TASKS["create"],
            (description,),
            {
                "id": id,
                "tool": tool,
                "session": session,
                "assigned_to": assigned_to,
                "metadata": metadata,
            },
        )

    async def delete(self, id: str) -> bool:
        """Delete a task and its log; True only if there was one.

        Raises `Held`, `Fenced`.
        """
        return await self._target.perform(self._kind, _TASKS["delete"], (id,), {})

    async def fail(self, id: str, error: str) -> Task:
        """Finish a task with what went wrong. Raises as `start` does."""
        return await self._target.perform(self._kind, _TASKS["fail"], (id, error), {})

    async def get(self, id: str) -> Task:
        """One task. Raises `NotFound`."""
        return await self._target.perform(self._kind, _TASKS["get"], (id,), {})

    async def hold(self, id: str) -> Task:
        """Set a task to wait for something. Raises as `start` does."""
        return await self._target.perform(self._kind, _TASKS["hold"], (id,), {})

    async def list(
        self,
        *,
        status: str | None = None,
        session: str | None = None,
        tool: str | None = None,
        stale: bool = False,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Task]:
        """Tasks, newest first.

        With `stale`, those in progress whose last lease is over: their holder died or
        left them, and they can be taken over. Raises `Refused` (stale, and of another
        status).
        """
        return await self._target.perform(
            self._kind,
            _TASKS["list"],
            (),
            {
                "status": status,
                "session": session,
                "tool": tool,
                "stale": stale,
                "limit": limit,
                "cursor": cursor,
            },
        )

    async def log(
        self, id: str, message: str, level: str = "info", type: str = "system"
    ) -> TaskLog:
        """Add a line to a task's log. Raises `NotFound`, `Held`, `Fenced`."""
        return await self._target.perform(
            self._kind, _TASKS["log"], (id, message, level, type), {}
        )

    async def logs(
        self, id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[TaskLog]:
        """Lines of a task's log, oldest first. Raises `NotFound`."""
        return await self._target.perform(
            self._kind, _TASKS["logs"], (id,), {"limit": limit, "cursor": cursor}
        )

    async def metrics(self) -> TaskMetrics:
        """How many tasks there are, by status, and how long completed ones took."""
        return await self._target.perform(self._kind, _TASKS["metrics"], (), {})

    async def progress(
        self, id: str, done: float, total: float | None = None, note: str | None = None
    ) -> Task:
        """Say how far a task has come, in units of your own.

        Raises `NotFound`, `Refused` (the task is finished), `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind, _TASKS["progress"], (id, done, total, note), {}
        )

    async def start(self, id: str) -> Task:
        """Take a task into progress; a failed one is tried again.

        Raises `NotFound`, `Refused` (from a status that cannot start), `Held`,
        `Fenced`.
        """
        return await self._target.perform(self._kind, _TASKS["start"], (id,), {})

    async def update(
        self,
        id: str,
        *,
        expect: int | None = None,
        description: str | UnsetType = UNSET,
        tool: str | None | UnsetType = UNSET,
        session: str | None | UnsetType = UNSET,
        assigned_to: str | None | UnsetType = UNSET,
        metadata: dict[str, Any] | None | UnsetType = UNSET,
    ) -> Task:
        """Change what is named, and leave the rest; `expect` is the task's version.

        Raises `NotFound`, `Conflict` (another version), `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind,
            _TASKS["update"],
            (id,),
            {
                "expect": expect,
                "description": description,
                "tool": tool,
                "session": session,
                "assigned_to": assigned_to,
                "metadata": metadata,
            },
        )
