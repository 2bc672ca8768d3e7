"""The async faces of holdfast's kinds: the same calls, awaited.

Written by `tools/afaces.py` from the registry of operations; not to be edited.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from os import PathLike
from typing import Any, Protocol

from msgspec import UNSET, UnsetType

from holdfast.changes import Change
from holdfast.codec import Json
from holdfast.contract import Kind, Operation
from holdfast.journal import Journal, Stretch
from holdfast.kinds.agent_records import Agent, AgentLink, AgentRun, Descendant
from holdfast.kinds.agents import Agents
from holdfast.kinds.checkpoint_records import MemoryCheckpoint
from holdfast.kinds.checkpoints import Checkpoints
from holdfast.kinds.contexts import Context
from holdfast.kinds.event_figures import EventStats
from holdfast.kinds.event_records import Event, EventPolicy
from holdfast.kinds.events import Events
from holdfast.kinds.inbox import Inbox
from holdfast.kinds.inbox_records import InboxMessage
from holdfast.kinds.index import Index
from holdfast.kinds.index_records import (
    Composition,
    CompositionEntry,
    CompositionFolder,
    Problem,
    Resolution,
)
from holdfast.kinds.item_records import Item, Near
from holdfast.kinds.items import Items
from holdfast.kinds.job_records import (
    Backoff,
    Job,
    JobStats,
    Limit,
    Step,
    Waited,
)
from holdfast.kinds.jobs import Jobs
from holdfast.kinds.leases import Lease, Leases
from holdfast.kinds.machine_records import (
    Definition,
    Machine,
    MachineStep,
    Sent,
)
from holdfast.kinds.machines import Machines
from holdfast.kinds.observation_records import Observation
from holdfast.kinds.observations import Observations
from holdfast.kinds.overview_records import Overview
from holdfast.kinds.schedule_records import Schedule
from holdfast.kinds.schedules import Schedules
from holdfast.kinds.session_records import Family, Mark, Message, Session, Summary
from holdfast.kinds.sessions import Sessions
from holdfast.kinds.state import State
from holdfast.kinds.state_records import StateSection, StateSummary
from holdfast.kinds.task_records import Task, TaskLog, TaskMetrics
from holdfast.kinds.tasks import Tasks
from holdfast.kinds.thread_records import Checkpoint, Dropped, Thread
from holdfast.kinds.threads import Threads
from holdfast.kinds.toolset_records import Toolset
from holdfast.kinds.toolsets import Toolsets
from holdfast.kinds.workspace_records import Cleaned, Workspace, WorkspaceChat
from holdfast.kinds.workspaces import Workspaces
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


_AGENTS = Agents.operations()


class AsyncAgents:
    """Identities of agents; each call is a transaction of its own, or part of one."""

    def __init__(self, target: Performs, kind: type[Kind] = Agents) -> None:
        self._target = target
        self._kind = kind

    async def beat(self, holder: str, *, seconds: float, place: str = "") -> int:
        """Say that a process lives, for so many seconds, and all agents that it runs.

        Gives a mark, which is another once somebody has taken one of its agents over,
        or deleted it: then it should look which it still has (`runs(holder=…)`).
        """
        return await self._target.perform(
            self._kind, _AGENTS["beat"], (holder,), {"seconds": seconds, "place": place}
        )

    async def claim(
        self, id: str, *, holder: str, seconds: float, place: str = ""
    ) -> AgentRun:
        """Have an agent run by `holder` from now on, which lives for so many seconds.

        `beat` keeps it alive, with all others that it runs. A run that is stale is
        taken over; the same holder takes its own over at once. `place` says to people
        where that is. Raises `NotFound`, `Held` (another runs it, and lives).
        """
        return await self._target.perform(
            self._kind,
            _AGENTS["claim"],
            (id,),
            {"holder": holder, "seconds": seconds, "place": place},
        )

    async def create(
        self,
        name: str,
        *,
        id: str | None = None,
        role: str | None = None,
        traits: Iterable[str] = (),
        preferences: dict[str, Any] | None = None,
        statistics: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        parent: str | None = None,
        status: str = "active",
    ) -> Agent:
        """Add an agent, spawned by `parent`; an equal one that is there is given back.

        Equal is one of this id with the same name, role, traits, preferences, metadata
        and parent. Raises `AlreadyExists` (the id, with others), `NotFound` (the
        parent), `Held`, `Fenced` (the parent's).
        """
        return await self._target.perform(
            self._kind,
            _AGENTS["create"],
            (name,),
            {
                "id": id,
                "role": role,
                "traits": traits,
                "preferences": preferences,
                "statistics": statistics,
                "metadata": metadata,
                "parent": parent,
                "status": status,
            },
        )

    async def create_all(self, agents: Iterable[dict[str, Any]]) -> tuple[Agent, ...]:
        """Add many agents at once, all of them or none, in one transaction.

        Each is a dict of `name`, and perhaps `id`, `role`, `traits`, `preferences`,
        `statistics`, `metadata`, `parent` (also one that stands before it), `status`,
        and `created_at`, `active_at` (for who was there before). Raises as `create`.
        """
        return await self._target.perform(
            self._kind, _AGENTS["create_all"], (agents,), {}
        )

    async def delete(self, id: str) -> bool:
        """Delete an agent, its statistics, and links from and to it.

        Whoever runs it learns that it is over. Those that it spawned stay, without a
        parent. True only if there was one. Raises `Held`, `Fenced`.
        """
        return await self._target.perform(self._kind, _AGENTS["delete"], (id,), {})

    async def descendants(
        self,
        id: str,
        relation: str = "spawned",
        *,
        depth: int | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Descendant]:
        """Whom an agent leads to by a relation, and whom they do: the nearest first.

        Each is there once, by the shortest way, however links go in circles; at most
        `depth` steps away. They are walked again for each page: one that comes or goes
        meanwhile may move others across its edge. Raises `NotFound`.
        """
        return await self._target.perform(
            self._kind,
            _AGENTS["descendants"],
            (id, relation),
            {"depth": depth, "limit": limit, "cursor": cursor},
        )

    async def get(self, id: str) -> Agent:
        """One agent. Raises `NotFound`."""
        return await self._target.perform(self._kind, _AGENTS["get"], (id,), {})

    async def increment(self, id: str, counts: dict[str, float]) -> dict[str, Any]:
        """Add numbers to an agent's statistics; what they all are then.

        None is lost, however many add at once. Says that the agent was active, too;
        its version stays. Raises `NotFound`, `WrongType` (a statistic that is no
        number), `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind, _AGENTS["increment"], (id, counts), {}
        )

    async def link(
        self,
        id: str,
        relation: str,
        target: str,
        *,
        metadata: dict[str, Any] | None = None,
    ) -> AgentLink:
        """Say what an agent is to another, which it `observes`, or has once `spawned`.

        The relation is a word of yours. A link that is there is given back, with this
        metadata. Raises `NotFound` (either of them), `Refused` (`spawned`: the target
        has another parent, or has spawned the agent), `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind, _AGENTS["link"], (id, relation, target), {"metadata": metadata}
        )

    async def links(
        self,
        id: str,
        relation: str | None = None,
        *,
        direction: str = "out",
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[AgentLink]:
        """Links of an agent to others (`out`) or of others to it (`in`), oldest first.

        Of one relation, or of all. Raises `NotFound`.
        """
        return await self._target.perform(
            self._kind,
            _AGENTS["links"],
            (id, relation),
            {"direction": direction, "limit": limit, "cursor": cursor},
        )

    async def list(
        self,
        *,
        role: str | None = None,
        status: str | None = None,
        parent: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Agent]:
        """Agents, newest first; of one parent, those that it spawned last first.

        With a parent, a page may be shorter than `limit` while its cursor leads on, if
        a role or a status is asked for too. Raises `NotFound` (the parent).
        """
        return await self._target.perform(
            self._kind,
            _AGENTS["list"],
            (),
            {
                "role": role,
                "status": status,
                "parent": parent,
                "limit": limit,
                "cursor": cursor,
            },
        )

    async def release(self, id: str, *, fence: int) -> bool:
        """End a run; False if it was over already, or is another's by now."""
        return await self._target.perform(
            self._kind, _AGENTS["release"], (id,), {"fence": fence}
        )

    async def release_all(self, holder: str) -> int:
        """End every run of one process, which is forgotten; how many there were."""
        return await self._target.perform(
            self._kind, _AGENTS["release_all"], (holder,), {}
        )

    async def run_of(self, id: str) -> AgentRun | None:
        """Who runs an agent; None if nobody does."""
        return await self._target.perform(self._kind, _AGENTS["run_of"], (id,), {})

    async def runs(
        self,
        *,
        stale: bool = False,
        holder: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[AgentRun]:
        """Agents that are run, whoever runs them, by their ids.

        With `stale`, those whose process gives no sign of life any more; with `holder`,
        those of one process.
        """
        return await self._target.perform(
            self._kind,
            _AGENTS["runs"],
            (),
            {"stale": stale, "holder": holder, "limit": limit, "cursor": cursor},
        )

    async def unlink(self, id: str, relation: str, target: str) -> bool:
        """Delete a link; True only if there was one. Raises `Held`, `Fenced`."""
        return await self._target.perform(
            self._kind, _AGENTS["unlink"], (id, relation, target), {}
        )

    async def update(
        self,
        id: str,
        *,
        expect: int | None = None,
        name: str | UnsetType = UNSET,
        role: str | None | UnsetType = UNSET,
        traits: Iterable[str] | UnsetType = UNSET,
        preferences: dict[str, Any] | None | UnsetType = UNSET,
        status: str | UnsetType = UNSET,
        metadata: dict[str, Any] | None | UnsetType = UNSET,
    ) -> Agent:
        """Change what is named, and leave the rest; `expect` is the agent's version.

        Raises `NotFound`, `Conflict` (another version), `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind,
            _AGENTS["update"],
            (id,),
            {
                "expect": expect,
                "name": name,
                "role": role,
                "traits": traits,
                "preferences": preferences,
                "status": status,
                "metadata": metadata,
            },
        )

    async def verify(self, id: str, *, fence: int) -> AgentRun:
        """Let a transaction go on only while an agent's run lives; nobody ends it then.

        Raises `Fenced`: the run is over, is another's by now, or is stale.
        """
        return await self._target.perform(
            self._kind, _AGENTS["verify"], (id,), {"fence": fence}
        )


_CHECKPOINTS = Checkpoints.operations()


class AsyncCheckpoints:
    """What processes have in memory; each call is a transaction, or part of one."""

    def __init__(self, target: Performs, kind: type[Kind] = Checkpoints) -> None:
        self._target = target
        self._kind = kind

    async def delete(self, id: str) -> bool:
        """Delete a checkpoint, and what of it waits; True only if there was one."""
        return await self._target.perform(self._kind, _CHECKPOINTS["delete"], (id,), {})

    async def get(self, id: str) -> MemoryCheckpoint:
        """One checkpoint, with the data of its parts. Raises `NotFound`."""
        return await self._target.perform(self._kind, _CHECKPOINTS["get"], (id,), {})

    async def latest(self) -> MemoryCheckpoint | None:
        """The newest checkpoint, with the data of its parts; None if there is none."""
        return await self._target.perform(self._kind, _CHECKPOINTS["latest"], (), {})

    async def list(
        self, *, limit: int = 50, cursor: str | None = None
    ) -> Page[MemoryCheckpoint]:
        """Checkpoints, newest first, without the data of their parts."""
        return await self._target.perform(
            self._kind, _CHECKPOINTS["list"], (), {"limit": limit, "cursor": cursor}
        )

    async def retry(self, id: str) -> MemoryCheckpoint:
        """Have all parts of a checkpoint restored again, by the next `restore`.

        Also those that were restored, or that a process has died over. Raises
        `NotFound`.
        """
        return await self._target.perform(self._kind, _CHECKPOINTS["retry"], (id,), {})


_EVENTS = Events.operations()


class AsyncEvents:
    """What happened; held in memory, and on disk within a second."""

    def __init__(self, target: Performs, kind: type[Kind] = Events) -> None:
        self._target = target
        self._kind = kind

    async def chain(
        self, correlation: str, *, limit: int = 1000, cursor: str | None = None
    ) -> Page[Event]:
        """What belongs together by its correlation, oldest first."""
        return await self._target.perform(
            self._kind,
            _EVENTS["chain"],
            (correlation,),
            {"limit": limit, "cursor": cursor},
        )

    async def emit(
        self,
        name: str,
        data: Json = None,
        *,
        session: str | None = None,
        correlation: str | None = None,
        level: str = "info",
        source: str | None = None,
        whole: bool = False,
    ) -> None:
        """Say that something happened; costs no more than a write to memory.

        Large texts in `data` are cut to `limits.event_text` characters, with length and
        digest, unless they are to be kept `whole`. Within a transaction it is told at
        the commit, and never if there is none. Raises `NotStorable`, `InvalidId`,
        `TooLarge`, `WrongType`,
        `Refused` (a joined transaction, whose commit is not ours).
        """
        return await self._target.perform(
            self._kind,
            _EVENTS["emit"],
            (name, data),
            {
                "session": session,
                "correlation": correlation,
                "level": level,
                "source": source,
                "whole": whole,
            },
        )

    async def policy(self) -> EventPolicy:
        """How much is kept."""
        return await self._target.perform(self._kind, _EVENTS["policy"], (), {})

    async def query(
        self,
        pattern: str | Sequence[str] = "*",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        session: str | None = None,
        correlation: str | None = None,
        source: str | None = None,
        level: str | None = None,
        where: dict[str, Any] | None = None,
        newest_first: bool = False,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Event]:
        """Events by their time, those in memory and those on disk as one sequence.

        `*` in a pattern stands for any run of characters; of several, any may fit.
        `until` is outside; `level` and those above it; `where` has dotted paths in the
        data, and what has to be there. A page may be shorter than `limit`, and even
        empty, while its cursor leads on, in the same list alone.
        """
        return await self._target.perform(
            self._kind,
            _EVENTS["query"],
            (pattern,),
            {
                "since": since,
                "until": until,
                "session": session,
                "correlation": correlation,
                "source": source,
                "level": level,
                "where": where,
                "newest_first": newest_first,
                "limit": limit,
                "cursor": cursor,
            },
        )

    async def stats(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> EventStats:
        """How many events there were, by name and time, and what is unusual in that.

        Of the last day, if `since` is not said. What is unusual are bursts, silences
        and new names (`holdfast.kinds.event_figures` says which).
        """
        return await self._target.perform(
            self._kind, _EVENTS["stats"], (), {"since": since, "until": until}
        )


_INBOX = Inbox.operations()


class AsyncInbox:
    """Messages; each call is a transaction of its own, or part of an open one."""

    def __init__(self, target: Performs, kind: type[Kind] = Inbox) -> None:
        self._target = target
        self._kind = kind

    async def deliver(
        self, to: str, body: Json, *, id: str | None = None, sender: str | None = None
    ) -> InboxMessage:
        """Put a message at the end of those to a recipient; once for each id.

        An id that is there, with equal content, gives the message as it is by now, also
        if it was processed. Raises `AlreadyExists` (the id, with other content).
        """
        return await self._target.perform(
            self._kind, _INBOX["deliver"], (to, body), {"id": id, "sender": sender}
        )

    async def fail(self, id: str, error: str, *, max_attempts: int = 3) -> InboxMessage:
        """Count an attempt to process a message that came to nothing, and say why.

        With the last of so many attempts it is set aside. One that is not pending by
        now is given back as it is. Raises `NotFound`, `Held`.
        """
        return await self._target.perform(
            self._kind, _INBOX["fail"], (id, error), {"max_attempts": max_attempts}
        )

    async def get(self, id: str) -> InboxMessage:
        """One message. Raises `NotFound`."""
        return await self._target.perform(self._kind, _INBOX["get"], (id,), {})

    async def list(
        self,
        *,
        to: str | None = None,
        status: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[InboxMessage]:
        """Messages to a recipient, in their order; or to all of them, newest first."""
        return await self._target.perform(
            self._kind,
            _INBOX["list"],
            (),
            {"to": to, "status": status, "limit": limit, "cursor": cursor},
        )

    async def purge(self, *, processed_before: datetime, limit: int = 1000) -> int:
        """Delete messages that were processed before a time, `limit` at most; how many.

        Their ids are forgotten: one that is given again is a new message. What they
        were stays in the journal until it is trimmed.
        """
        return await self._target.perform(
            self._kind,
            _INBOX["purge"],
            (),
            {"processed_before": processed_before, "limit": limit},
        )

    async def retry(self, id: str) -> InboxMessage:
        """Have a message that was set aside processed again, at its place.

        It comes before all that were delivered after it, and its attempts are counted
        anew. One that is pending is given back as it is. Raises `NotFound`, `Refused`
        (it was processed), `Held`.
        """
        return await self._target.perform(self._kind, _INBOX["retry"], (id,), {})

    async def set_aside(self, id: str, error: str) -> InboxMessage:
        """Say that a message cannot be processed, and why: the next one goes on.

        It is kept, at its place. Raises `NotFound`, `Held`.
        """
        return await self._target.perform(
            self._kind, _INBOX["set_aside"], (id, error), {}
        )

    async def take(self, to: str) -> InboxMessage | None:
        """The first message to a recipient that is pending, which is processed now.

        What is done about it belongs into the same transaction: until that ends, nobody
        else takes a message to this recipient. None if there is none. Raises `Held`.
        """
        return await self._target.perform(self._kind, _INBOX["take"], (to,), {})


_INDEX = Index.operations()


class AsyncIndex:
    """Compositions in files; `scan` and `watch` of a store bring it up to date."""

    def __init__(self, target: Performs, kind: type[Kind] = Index) -> None:
        self._target = target
        self._kind = kind

    async def add_folder(
        self, path: str | PathLike[str], *, type: str | None = None
    ) -> CompositionFolder:
        """Have a folder's compositions in the index, as soon as it is scanned.

        All that is in it, and in folders within it: `.yaml`, `.yml` and `.json`.
        `type` is for those that say none. Adding it again changes no more than that.
        """
        return await self._target.perform(
            self._kind, _INDEX["add_folder"], (path,), {"type": type}
        )

    async def find(
        self,
        *,
        name: str | None = None,
        type: str | None = None,
        tag: str | None = None,
        depends_on: str | None = None,
        text: str | None = None,
        every_version: bool = False,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[CompositionEntry]:
        """Compositions by name, of each the newest version; all that is said must hold.

        `depends_on` is what one itself needs, in whichever version; `text` stands in
        its name, description or tags, whatever its case. With `every_version` older
        ones are listed too, the oldest of a name first.
        """
        return await self._target.perform(
            self._kind,
            _INDEX["find"],
            (),
            {
                "name": name,
                "type": type,
                "tag": tag,
                "depends_on": depends_on,
                "text": text,
                "every_version": every_version,
                "limit": limit,
                "cursor": cursor,
            },
        )

    async def folders(
        self, *, limit: int = 50, cursor: str | None = None
    ) -> Page[CompositionFolder]:
        """The folders that are in the index, in the order in which they count."""
        return await self._target.perform(
            self._kind, _INDEX["folders"], (), {"limit": limit, "cursor": cursor}
        )

    async def get(self, name: str, version: str | None = None) -> Composition:
        """A composition with all that its file says: the newest, or one version.

        Raises `NotFound`, which says so where its file cannot be read.
        """
        return await self._target.perform(
            self._kind, _INDEX["get"], (name, version), {}
        )

    async def problems(
        self, kind: str | None = None, *, limit: int = 100, cursor: str | None = None
    ) -> Page[Problem]:
        """What is wrong, by folder and path; none of it keeps others from being found.

        Files that cannot be read or hold no composition, compositions that are there
        twice, dependencies that are missing, circles.
        """
        return await self._target.perform(
            self._kind, _INDEX["problems"], (kind,), {"limit": limit, "cursor": cursor}
        )

    async def remove_folder(self, path: str | PathLike[str]) -> bool:
        """Leave a folder and its compositions out; True only if it was in the index.

        Its files stay as they are.
        """
        return await self._target.perform(
            self._kind, _INDEX["remove_folder"], (path,), {}
        )

    async def resolve(self, name: str, version: str | None = None) -> Resolution:
        """A composition with all that it needs, and what that needs, in order.

        Of each dependency the newest version that would do is meant. Raises `NotFound`
        (the composition itself), `TooLarge` (it needs more than 10,000).
        """
        return await self._target.perform(
            self._kind, _INDEX["resolve"], (name, version), {}
        )


_ITEMS = Items.operations()


class AsyncItems:
    """Documents by namespace and key; each call is a transaction, or part of one."""

    def __init__(self, target: Performs, kind: type[Kind] = Items) -> None:
        self._target = target
        self._kind = kind

    async def delete(self, namespace: Sequence[str], key: str) -> bool:
        """Delete an item; True only if there was one. Raises `Held`, `Fenced`."""
        return await self._target.perform(
            self._kind, _ITEMS["delete"], (namespace, key), {}
        )

    async def delete_each(self, places: Sequence[tuple[Sequence[str], str]]) -> int:
        """Delete the items at some places; how many there were.

        Raises `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind, _ITEMS["delete_each"], (places,), {}
        )

    async def find(self, id: str) -> Item:
        """The item of an id, by which the journal and a search name it.

        Raises `NotFound`.
        """
        return await self._target.perform(self._kind, _ITEMS["find"], (id,), {})

    async def get(self, namespace: Sequence[str], key: str) -> Item:
        """One item. Raises `NotFound`."""
        return await self._target.perform(
            self._kind, _ITEMS["get"], (namespace, key), {}
        )

    async def get_each(
        self, places: Sequence[tuple[Sequence[str], str]]
    ) -> tuple[Item | None, ...]:
        """The items at some places, each a pair of namespace and key; None for none."""
        return await self._target.perform(self._kind, _ITEMS["get_each"], (places,), {})

    async def list(
        self,
        namespace: Sequence[str] = (),
        *,
        where: Mapping[str, Any] | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Item]:
        """Items in a namespace and all within it, those last put first.

        `where` says what their fields must be: `{"color": "red", "size": {"$gt": 3}}`.
        """
        return await self._target.perform(
            self._kind,
            _ITEMS["list"],
            (namespace,),
            {"where": where, "limit": limit, "cursor": cursor},
        )

    async def namespaces(
        self,
        prefix: Sequence[str] = (),
        *,
        suffix: Sequence[str] = (),
        depth: int | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[tuple[str, ...]]:
        """The namespaces that have items, in order.

        Those that begin with the labels of `prefix` and end with those of `suffix`,
        where `*` stands for any label. With `depth`, each is cut to so many labels.
        """
        return await self._target.perform(
            self._kind,
            _ITEMS["namespaces"],
            (prefix,),
            {"suffix": suffix, "depth": depth, "limit": limit, "cursor": cursor},
        )

    async def nearest(
        self,
        namespace: Sequence[str],
        vector: Sequence[float],
        *,
        where: Mapping[str, Any] | None = None,
        limit: int = 10,
    ) -> tuple[Near, ...]:
        """Items in a namespace and all within it, the nearest in meaning first.

        By the cosine between the vector and the nearest of an item's own; all of them
        are looked at. Items without a vector of that length are passed over.
        """
        return await self._target.perform(
            self._kind,
            _ITEMS["nearest"],
            (namespace, vector),
            {"where": where, "limit": limit},
        )

    async def put(
        self,
        namespace: Sequence[str],
        key: str,
        value: Mapping[str, Any],
        *,
        ttl_seconds: float | None = None,
        vectors: Mapping[str, Sequence[float]] | None = None,
    ) -> Item:
        """Keep a document under a key; what was there is replaced.

        With `ttl_seconds` it is out of sight that long after it was last put or
        refreshed. `vectors` stand for its meaning, by names of your own. Raises `Held`,
        `Fenced`.
        """
        return await self._target.perform(
            self._kind,
            _ITEMS["put"],
            (namespace, key, value),
            {"ttl_seconds": ttl_seconds, "vectors": vectors},
        )

    async def put_each(self, items: Sequence[Mapping[str, Any]]) -> tuple[Item, ...]:
        """Keep many documents, all of them or none.

        Each is a dict with the arguments of `put`; of two for one place, the last is
        kept. Raises `Held`, `Fenced`.
        """
        return await self._target.perform(self._kind, _ITEMS["put_each"], (items,), {})

    async def refresh(self, places: Sequence[tuple[Sequence[str], str]]) -> int:
        """Let items live on, each for its own time from now; how many do.

        Their documents stay as they are, so that nobody's lease is in the way.
        """
        return await self._target.perform(self._kind, _ITEMS["refresh"], (places,), {})


_JOBS = Jobs.operations()


class AsyncJobs:
    """Queued work; each call is a transaction of its own, or part of an open one."""

    def __init__(self, target: Performs, kind: type[Kind] = Jobs) -> None:
        self._target = target
        self._kind = kind

    async def cancel(self, id: str) -> Job:
        """Have a job not be done, or no further; its worker gets to know.

        One that is claimed is `cancelling` until its worker lets go of it, or its claim
        runs out; if it is done before that, it is done. Raises `NotFound`, `Refused`
        (it is done, or dead), `Held`.
        """
        return await self._target.perform(self._kind, _JOBS["cancel"], (id,), {})

    async def claim(
        self,
        worker: str,
        *,
        kinds: Iterable[str] | None = None,
        lanes: Iterable[str] | None = None,
        limit: int = 1,
        lease_seconds: float = 30.0,
        version: str | None = None,
    ) -> tuple[Job, ...]:
        """Take the jobs whose turn it is, the first first; at most `limit`.

        Each is this worker's alone until its `lease_until`, and is written to with its
        `fence`. Of a lane, one is active at a time. First by priority, then by since
        when they are ready. `version` is that of the code which will begin them.
        """
        return await self._target.perform(
            self._kind,
            _JOBS["claim"],
            (worker,),
            {
                "kinds": kinds,
                "lanes": lanes,
                "limit": limit,
                "lease_seconds": lease_seconds,
                "version": version,
            },
        )

    async def complete(self, id: str, result: Json = None, *, fence: int) -> Job:
        """Finish a claimed job with its result.

        Raises `NotFound`, `Fenced` (the claim is over).
        """
        return await self._target.perform(
            self._kind, _JOBS["complete"], (id, result), {"fence": fence}
        )

    async def fail(
        self,
        id: str,
        error: str,
        *,
        retry: bool = True,
        delay_seconds: float | None = None,
        fence: int,
    ) -> Job:
        """Say that an attempt failed: it is tried again later, or the job is dead.

        It is dead if its attempts are used up, if `retry` is False, or if it would be
        due only after its deadline. `delay_seconds` stands for the job's backoff.
        Raises `NotFound`, `Fenced`.
        """
        return await self._target.perform(
            self._kind,
            _JOBS["fail"],
            (id, error),
            {"retry": retry, "delay_seconds": delay_seconds, "fence": fence},
        )

    async def get(self, id: str) -> Job:
        """One job. Raises `NotFound`."""
        return await self._target.perform(self._kind, _JOBS["get"], (id,), {})

    async def join(self, id: str, *, fence: int) -> Waited:
        """Suspend a claimed job until all jobs that were put with it as parent ended.

        Raises `NotFound`, `Fenced`, `Refused` (a child waits behind it in its lane).
        """
        return await self._target.perform(
            self._kind, _JOBS["join"], (id,), {"fence": fence}
        )

    async def keep_step(
        self,
        id: str,
        name: str,
        result: Json = None,
        *,
        nth: int,
        position: int,
        fence: int,
    ) -> Step:
        """Keep what a step of a handler gave; of one that is kept, what it gave first.

        `nth` counts the steps of one name, `position` all of them, from 0 on. Raises
        `NotFound`, `Fenced`.
        """
        return await self._target.perform(
            self._kind,
            _JOBS["keep_step"],
            (id, name, result),
            {"nth": nth, "position": position, "fence": fence},
        )

    async def limit(
        self,
        kind: str,
        *,
        concurrency: int | None = None,
        rate: int | None = None,
        per_seconds: float | None = None,
    ) -> Limit:
        """Say how many jobs of a kind may be active at once, and begin within a time.

        It holds across all workers; without any number there is no limit any more.
        Raises `Refused` (a rate without its time, or the other way round).
        """
        return await self._target.perform(
            self._kind,
            _JOBS["limit"],
            (kind,),
            {"concurrency": concurrency, "rate": rate, "per_seconds": per_seconds},
        )

    async def limits(self) -> tuple[Limit, ...]:
        """Every limit that there is, by kind."""
        return await self._target.perform(self._kind, _JOBS["limits"], (), {})

    async def list(
        self,
        *,
        status: str | None = None,
        kind: str | None = None,
        lane: str | None = None,
        session: str | None = None,
        parent: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Job]:
        """Jobs, newest first; of those that ended in one way, the last to end first.

        Raises `Refused` (what was queued, active or waiting in the past).
        """
        return await self._target.perform(
            self._kind,
            _JOBS["list"],
            (),
            {
                "status": status,
                "kind": kind,
                "lane": lane,
                "session": session,
                "parent": parent,
                "limit": limit,
                "cursor": cursor,
            },
        )

    async def purge(self, *, finished_before: datetime, limit: int = 1000) -> int:
        """Delete jobs that ended before a time, `limit` at most; how many were.

        Their steps and signals go with them. What they were stays in the journal until
        it is trimmed.
        """
        return await self._target.perform(
            self._kind,
            _JOBS["purge"],
            (),
            {"finished_before": finished_before, "limit": limit},
        )

    async def put(
        self,
        kind: str,
        body: Json = None,
        *,
        lane: str | None = None,
        id: str | None = None,
        priority: int = 0,
        delay_seconds: float | None = None,
        run_at: datetime | None = None,
        max_attempts: int = 3,
        backoff: Backoff | Mapping[str, float] | None = None,
        deadline: datetime | None = None,
        session: str | None = None,
        parent: str | None = None,
        trace: dict[str, str] | None = None,
    ) -> Job:
        """Put work into a lane, or beside all lanes; the same id twice is one job.

        It is due at once, after `delay_seconds`, or at `run_at`; what is not done by
        its `deadline` is given up. A lane's jobs are done one after another: those of a
        higher priority first, and equals in the order in which they were put. The
        caller's OpenTelemetry trace is carried along, if there is one. Raises
        `AlreadyExists` (the id, with another kind, lane or body), `NotFound` (the
        session, or the parent), `Refused` (`delay_seconds` and `run_at`).
        """
        return await self._target.perform(
            self._kind,
            _JOBS["put"],
            (kind, body),
            {
                "lane": lane,
                "id": id,
                "priority": priority,
                "delay_seconds": delay_seconds,
                "run_at": run_at,
                "max_attempts": max_attempts,
                "backoff": backoff,
                "deadline": deadline,
                "session": session,
                "parent": parent,
                "trace": trace,
            },
        )

    async def release(
        self, id: str, *, delay_seconds: float | None = None, fence: int
    ) -> Job:
        """Give a claimed job back, at once or for later; the attempt is not counted.

        Raises `NotFound`, `Fenced`.
        """
        return await self._target.perform(
            self._kind,
            _JOBS["release"],
            (id,),
            {"delay_seconds": delay_seconds, "fence": fence},
        )

    async def renew(self, id: str, *, fence: int, lease_seconds: float = 30.0) -> Job:
        """Let a claim end so many seconds from now. Raises `NotFound`, `Fenced`."""
        return await self._target.perform(
            self._kind,
            _JOBS["renew"],
            (id,),
            {"fence": fence, "lease_seconds": lease_seconds},
        )

    async def revive(self, id: str) -> Job:
        """Put a dead or cancelled job back into its lane, with all its attempts.

        It is due at once, without a deadline. What its handler has done is kept: steps
        Raises `NotFound`, `Refused` (it is neither), `Held`.
        """
        return await self._target.perform(self._kind, _JOBS["revive"], (id,), {})

    async def signal(self, id: str, name: str, payload: Json = None) -> Job:
        """Send a job a signal; it is kept until its handler waits for one of that name.

        Raises `NotFound`, `Refused` (the job has ended), `Held`.
        """
        return await self._target.perform(
            self._kind, _JOBS["signal"], (id, name, payload), {}
        )

    async def sleep(
        self, id: str, name: str, *, nth: int, position: int, seconds: float, fence: int
    ) -> Waited:
        """Suspend a claimed job for so many seconds from when this step first began.

        Raises `NotFound`, `Fenced`, `Refused` (such a step is kept, and is no pause).
        """
        return await self._target.perform(
            self._kind,
            _JOBS["sleep"],
            (id, name),
            {"nth": nth, "position": position, "seconds": seconds, "fence": fence},
        )

    async def stats(self) -> JobStats:
        """How many jobs there are, by kind and status, and how long one has waited."""
        return await self._target.perform(self._kind, _JOBS["stats"], (), {})

    async def steps(self, id: str) -> tuple[Step, ...]:
        """What a job's handler has done so far, in its order. Raises `NotFound`."""
        return await self._target.perform(self._kind, _JOBS["steps"], (id,), {})

    async def wait(
        self,
        id: str,
        signal: str,
        *,
        nth: int,
        position: int,
        timeout_seconds: float | None = None,
        fence: int,
    ) -> Waited:
        """Take a signal that a job was sent, or suspend the job until there is one.

        With a timeout, it goes on without one then, with the payload None, counted from
        when this step first began. Raises `NotFound`, `Fenced`.
        """
        return await self._target.perform(
            self._kind,
            _JOBS["wait"],
            (id, signal),
            {
                "nth": nth,
                "position": position,
                "timeout_seconds": timeout_seconds,
                "fence": fence,
            },
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


_MACHINES = Machines.operations()


class AsyncMachines:
    """State machines; each call is a transaction of its own, or part of an open one."""

    def __init__(self, target: Performs, kind: type[Kind] = Machines) -> None:
        self._target = target
        self._kind = kind

    async def can(self, id: str, event: str, payload: Json = None) -> bool:
        """Whether an event would lead to a transition now.

        Raises `NotFound`, `Refused` (a guard that nobody provides).
        """
        return await self._target.perform(
            self._kind, _MACHINES["can"], (id, event, payload), {}
        )

    async def context(self, id: str) -> dict[str, Any]:
        """A machine's context. Raises `NotFound`."""
        return await self._target.perform(self._kind, _MACHINES["context"], (id,), {})

    async def create(
        self, name: str, *, id: str | None = None, context: dict[str, Any] | None = None
    ) -> Machine:
        """Make a machine, in its initial state, whose entry actions it does.

        One of that id and name that is there is given back, as it stands. Raises
        `NotFound` (no such definition), `AlreadyExists` (the id, of another name).
        """
        return await self._target.perform(
            self._kind, _MACHINES["create"], (name,), {"id": id, "context": context}
        )

    async def define(
        self,
        name: str,
        spec: Mapping[str, Any] | str | PathLike[str],
        *,
        version: int = 1,
        guards: Mapping[str, Any] | Iterable[str] | None = None,
        effects: Mapping[str, Any] | Iterable[str] | None = None,
        unknown: str = "ignore",
        from_versions: Mapping[int, Mapping[str, str]] | None = None,
    ) -> Definition:
        """Say what machines of a name are; a version that is there is given back.

        `spec` is a dict, or the path of a `.state.maia` file. `guards` are functions of
        the context and an event's payload, `effects` functions of a job, by the names
        that the spec calls them by; an effect that another process does is named alone.
        They are this process's and not kept: each process that sends events, or runs a
        worker, defines its machines, and makes its `Worker` after that. Machines follow
        the newest version; a state that it does not have is what `from_versions` calls
        it, or else the initial one.
        Raises `Refused` (what is wrong with the spec, all of it; a tool with another
        function already), `AlreadyExists` (the version, with other content),
        `WrongType`, `CannotOpen`.
        """
        return await self._target.perform(
            self._kind,
            _MACHINES["define"],
            (name, spec),
            {
                "version": version,
                "guards": guards,
                "effects": effects,
                "unknown": unknown,
                "from_versions": from_versions,
            },
        )

    async def definition(self, name: str, *, version: int | None = None) -> Definition:
        """A version of a definition, or the newest one. Raises `NotFound`."""
        return await self._target.perform(
            self._kind, _MACHINES["definition"], (name,), {"version": version}
        )

    async def definitions(
        self, *, limit: int = 50, cursor: str | None = None
    ) -> Page[Definition]:
        """All versions of all definitions, by name and version."""
        return await self._target.perform(
            self._kind, _MACHINES["definitions"], (), {"limit": limit, "cursor": cursor}
        )

    async def delete(self, id: str) -> bool:
        """Delete a machine, its history, and what it has queued; True if there was one.

        An effect that is being done goes on. Raises `Held`, `Fenced`.
        """
        return await self._target.perform(self._kind, _MACHINES["delete"], (id,), {})

    async def get(self, id: str) -> Machine:
        """One machine. Raises `NotFound`."""
        return await self._target.perform(self._kind, _MACHINES["get"], (id,), {})

    async def history(
        self, id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[MachineStep]:
        """A machine's steps, oldest first, as far as they are kept.

        `limits.machine_steps` says how many. Raises `NotFound`.
        """
        return await self._target.perform(
            self._kind, _MACHINES["history"], (id,), {"limit": limit, "cursor": cursor}
        )

    async def list(
        self,
        name: str | None = None,
        *,
        state: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Machine]:
        """Machines, newest first. Raises `Refused` (a state, and no name)."""
        return await self._target.perform(
            self._kind,
            _MACHINES["list"],
            (name,),
            {"state": state, "limit": limit, "cursor": cursor},
        )

    async def receive(self, machine: str, *, limit: int = 100) -> tuple[Sent, ...]:
        """Send a machine what its inbox has for it: `{"type": EVENT, "payload": …}`.

        One by one, in their order; a message that is no event, or that the machine
        refuses, is set aside. What is no message's fault is raised, and all of them
        stay: `NotFound`, `Held`, `Fenced`, `Refused` (a guard that nobody provides).
        """
        return await self._target.perform(
            self._kind, _MACHINES["receive"], (machine,), {"limit": limit}
        )

    async def send(
        self,
        id: str,
        event: str,
        payload: Json = None,
        *,
        expect: str | None = None,
        once: str | None = None,
    ) -> Sent:
        """Send an event to a machine, which may make a transition.

        All that the transition brings is one commit: state, context, history, and the
        jobs of its effects. `expect` is the state that it has to be in. With `once`,
        an event that was taken under that text is not taken again, as long as its step
        is in the history. Raises `NotFound`, `Conflict` (another state than expected),
        `Refused` (an event that the state does not take, if the definition says so; a
        guard that nobody provides), `TooLarge`, `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind,
            _MACHINES["send"],
            (id, event, payload),
            {"expect": expect, "once": once},
        )

    async def upgrade(self, name: str, *, limit: int = 1000) -> int:
        """Have machines follow the newest version of their definition now; how many.

        Each does so at its next event in any case. Raises `NotFound`.
        """
        return await self._target.perform(
            self._kind, _MACHINES["upgrade"], (name,), {"limit": limit}
        )


_OBSERVATIONS = Observations.operations()


class AsyncObservations:
    """Who observes whom; each call is a transaction of its own, or part of one."""

    def __init__(self, target: Performs, kind: type[Kind] = Observations) -> None:
        self._target = target
        self._kind = kind

    async def create(
        self,
        observer: str,
        target: str = "*",
        events: Iterable[str] = ("*",),
        *,
        id: str | None = None,
        sampling_rate: float = 1.0,
        rate_limit: float | None = 10.0,
        where: dict[str, Any] | None = None,
        inbox: bool = False,
    ) -> Observation:
        """Have somebody observe somebody, from now on, and after any restart.

        `target` is the source of the events, or `"*"`; `events` are patterns of names,
        `where` what the data must hold. An equal one that is there is given back, as it
        stands. Raises `AlreadyExists` (the id, with other content).
        """
        return await self._target.perform(
            self._kind,
            _OBSERVATIONS["create"],
            (observer, target, events),
            {
                "id": id,
                "sampling_rate": sampling_rate,
                "rate_limit": rate_limit,
                "where": where,
                "inbox": inbox,
            },
        )

    async def delete(self, id: str) -> bool:
        """Delete an observation and its history; True only if there was one.

        Raises `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind, _OBSERVATIONS["delete"], (id,), {}
        )

    async def get(self, id: str) -> Observation:
        """One observation. Raises `NotFound`."""
        return await self._target.perform(self._kind, _OBSERVATIONS["get"], (id,), {})

    async def list(
        self,
        observer: str | None = None,
        target: str | None = None,
        status: str | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Observation]:
        """Observations, newest first; with `target="*"`, those of everyone."""
        return await self._target.perform(
            self._kind,
            _OBSERVATIONS["list"],
            (observer, target, status),
            {"limit": limit, "cursor": cursor},
        )

    async def pause(self, id: str) -> Observation:
        """Have an observation see nothing until it is resumed.

        Raises `NotFound`, `Held`, `Fenced`.
        """
        return await self._target.perform(self._kind, _OBSERVATIONS["pause"], (id,), {})

    async def resume(self, id: str) -> Observation:
        """Let a paused observation see what comes; it never sees what came meanwhile.

        Raises `NotFound`, `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind, _OBSERVATIONS["resume"], (id,), {}
        )

    async def update(
        self,
        id: str,
        *,
        expect: int | None = None,
        target: str | UnsetType = UNSET,
        events: Iterable[str] | UnsetType = UNSET,
        sampling_rate: float | UnsetType = UNSET,
        rate_limit: float | None | UnsetType = UNSET,
        where: dict[str, Any] | None | UnsetType = UNSET,
        inbox: bool | UnsetType = UNSET,
    ) -> Observation:
        """Change what is named, and leave the rest; `expect` is its version.

        What it has seen stays. Raises `NotFound`, `Conflict` (another version), `Held`,
        `Fenced`.
        """
        return await self._target.perform(
            self._kind,
            _OBSERVATIONS["update"],
            (id,),
            {
                "expect": expect,
                "target": target,
                "events": events,
                "sampling_rate": sampling_rate,
                "rate_limit": rate_limit,
                "where": where,
                "inbox": inbox,
            },
        )


_SCHEDULES = Schedules.operations()


class AsyncSchedules:
    """Recurring jobs; each call is a transaction of its own, or part of an open one."""

    def __init__(self, target: Performs, kind: type[Kind] = Schedules) -> None:
        self._target = target
        self._kind = kind

    async def delete(self, id: str) -> bool:
        """Delete a schedule, but no job that it has put; True only if there was one.

        Raises `Held`, `Fenced`.
        """
        return await self._target.perform(self._kind, _SCHEDULES["delete"], (id,), {})

    async def get(self, id: str) -> Schedule:
        """One schedule. Raises `NotFound`."""
        return await self._target.perform(self._kind, _SCHEDULES["get"], (id,), {})

    async def list(
        self, *, limit: int = 50, cursor: str | None = None
    ) -> Page[Schedule]:
        """Schedules, newest first."""
        return await self._target.perform(
            self._kind, _SCHEDULES["list"], (), {"limit": limit, "cursor": cursor}
        )

    async def pause(self, id: str) -> Schedule:
        """Have a schedule put no jobs until it is resumed.

        Raises `NotFound`, `Held`, `Fenced`.
        """
        return await self._target.perform(self._kind, _SCHEDULES["pause"], (id,), {})

    async def put(
        self,
        id: str,
        kind: str,
        body: Json = None,
        *,
        cron: str | None = None,
        every_seconds: float | None = None,
        timezone: str = "UTC",
        lane: str | None = None,
        priority: int = 0,
        max_attempts: int = 3,
        missed: str = "all",
    ) -> Schedule:
        """Have a job put at each time of a cron text, or every so many seconds.

        Each has the schedule's id with the time in it as its own, and is put by the
        worker that looks first. Of times that passed while no worker was there, each
        gets its job, or with `missed="last"` only the newest. What is there under the
        id is replaced, and its next time counted anew; with equal content it is given
        back. Raises `Refused` (neither `cron` nor `every_seconds`, or both; a cron text
        without the extra `holdfast[cron]`), `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind,
            _SCHEDULES["put"],
            (id, kind, body),
            {
                "cron": cron,
                "every_seconds": every_seconds,
                "timezone": timezone,
                "lane": lane,
                "priority": priority,
                "max_attempts": max_attempts,
                "missed": missed,
            },
        )

    async def resume(self, id: str) -> Schedule:
        """Let a paused schedule go on with its next time; those that passed stay so.

        Raises `NotFound`, `Held`, `Fenced`.
        """
        return await self._target.perform(self._kind, _SCHEDULES["resume"], (id,), {})


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

    async def get_mark(self, mark: str) -> Mark:
        """A mark, without the messages that it keeps. Raises `NotFound`."""
        return await self._target.perform(
            self._kind, _SESSIONS["get_mark"], (mark,), {}
        )

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

    async def mark(
        self,
        id: str,
        at: int | None = None,
        *,
        of: str | None = None,
        new_id: str | None = None,
    ) -> Mark:
        """Keep what a session shows up to position `at` (its newest), as it is now.

        It is shared, not copied; a message that is still being written is kept as far
        as it is. With `of`, what that mark keeps is kept once more, for this session.
        Deleting the session lets go of its marks. A `new_id` that is there already, of
        the same session and position, is given back as it is. Raises `NotFound` (the
        session, the mark), `Refused` (no position that can be marked),
        `AlreadyExists`.
        """
        return await self._target.perform(
            self._kind, _SESSIONS["mark"], (id, at), {"of": of, "new_id": new_id}
        )

    async def marked(
        self, mark: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[Message]:
        """The messages that a mark keeps, oldest first. Raises `NotFound`."""
        return await self._target.perform(
            self._kind, _SESSIONS["marked"], (mark,), {"limit": limit, "cursor": cursor}
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

    async def overview(self, id: str) -> Overview:
        """A conversation at a glance: counts, participants, first and last message.

        Made from its messages, without a model; all of them are counted. Raises
        `NotFound`.
        """
        return await self._target.perform(self._kind, _SESSIONS["overview"], (id,), {})

    async def overviews(
        self,
        *,
        status: str | None = None,
        tag: str | None = None,
        parent: str | None = None,
        created_before: datetime | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page[Overview]:
        """Overviews of sessions, newest first, as `list` gives those."""
        return await self._target.perform(
            self._kind,
            _SESSIONS["overviews"],
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

    async def rewind(self, id: str, at: int, *, expect: int | None = None) -> Session:
        """Take a session back to position `at`: what came after is taken off.

        Sessions and marks that share it keep it. Raises `NotFound`, `Conflict` (the
        session is not at version `expect`), `Refused` (it has no such position),
        `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind, _SESSIONS["rewind"], (id, at), {"expect": expect}
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

    async def unmark(self, mark: str) -> bool:
        """Let go of a mark; True only if there was one."""
        return await self._target.perform(self._kind, _SESSIONS["unmark"], (mark,), {})

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


_STATE = State.operations()


class AsyncState:
    """Sections, within a transaction: what is written through it is kept at once."""

    def __init__(self, target: Performs, kind: type[Kind] = State) -> None:
        self._target = target
        self._kind = kind

    async def as_dict(self, section: str) -> dict[str, Any]:
        """What every key has, in the order of the keys; a section need not be there."""
        return await self._target.perform(self._kind, _STATE["as_dict"], (section,), {})

    async def delete(self, section: str, key: str) -> bool:
        """Delete a key; True only if it had a value. Raises `Held`, `Fenced`."""
        return await self._target.perform(
            self._kind, _STATE["delete"], (section, key), {}
        )

    async def drop(self, section: str) -> bool:
        """Delete a section with all its keys; True only if there was one.

        Raises `Held`, `Fenced`.
        """
        return await self._target.perform(self._kind, _STATE["drop"], (section,), {})

    async def find(self, id: str) -> StateSection:
        """A section, with what its keys have. Raises `NotFound`."""
        return await self._target.perform(self._kind, _STATE["find"], (id,), {})

    async def get(self, section: str, key: str, default: Json | None = None) -> Json:
        """What a key has; `default` if it has nothing."""
        return await self._target.perform(
            self._kind, _STATE["get"], (section, key, default), {}
        )

    async def list(
        self, *, limit: int = 50, cursor: str | None = None
    ) -> Page[StateSummary]:
        """The sections that there are, in the order of their names."""
        return await self._target.perform(
            self._kind, _STATE["list"], (), {"limit": limit, "cursor": cursor}
        )

    async def set(self, section: str, key: str, value: Json) -> None:
        """Put a value in the place of a key's. Raises `Held`, `Fenced`."""
        return await self._target.perform(
            self._kind, _STATE["set"], (section, key, value), {}
        )

    async def update(self, section: str, values: dict[str, Any]) -> None:
        """Merge values into those that are there: objects within objects.

        Every other value takes the place of what was there; None as well. Raises
        `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind, _STATE["update"], (section, values), {}
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


_THREADS = Threads.operations()


class AsyncThreads:
    """Threads and their checkpoints; each call is a transaction, or part of one."""

    def __init__(self, target: Performs, kind: type[Kind] = Threads) -> None:
        self._target = target
        self._kind = kind

    async def ancestry(
        self, id: str, checkpoint: str, channels: Iterable[str], *, ns: str = ""
    ) -> tuple[Checkpoint, ...]:
        """The checkpoints that led to one, the nearest first.

        As far back as it takes for each of the channels to have a value in one of them;
        with their values and writes. Raises `NotFound`.
        """
        return await self._target.perform(
            self._kind, _THREADS["ancestry"], (id, checkpoint, channels), {"ns": ns}
        )

    async def checkpoint(
        self, id: str, checkpoint: str | None = None, *, ns: str = ""
    ) -> Checkpoint:
        """One checkpoint of a thread (the newest, by its id), with what it holds.

        Raises `NotFound`.
        """
        return await self._target.perform(
            self._kind, _THREADS["checkpoint"], (id, checkpoint), {"ns": ns}
        )

    async def checkpoints(
        self,
        id: str,
        *,
        ns: str | None = None,
        before: str | None = None,
        where: dict[str, Any] | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Checkpoint]:
        """Checkpoints of a thread by their ids, newest first, of one namespace or all.

        `where` names what their metadata has to have; then a page may be shorter than
        `limit`, and even empty, while its cursor leads on. Raises `NotFound`.
        """
        return await self._target.perform(
            self._kind,
            _THREADS["checkpoints"],
            (id,),
            {
                "ns": ns,
                "before": before,
                "where": where,
                "limit": limit,
                "cursor": cursor,
            },
        )

    async def copy(
        self, id: str, to: str, *, notes: dict[str, str] | None = None
    ) -> Thread:
        """Copy a thread: its checkpoints by the same ids, their values and writes.

        `notes` says which notes the copies have instead of others. Raises `NotFound`,
        `AlreadyExists` (the thread to copy to).
        """
        return await self._target.perform(
            self._kind, _THREADS["copy"], (id, to), {"notes": notes}
        )

    async def delete(self, id: str) -> bool:
        """Delete a thread; True only if there was one.

        What it has is out of sight at once; if it is much, it is deleted by and by.
        """
        return await self._target.perform(self._kind, _THREADS["delete"], (id,), {})

    async def delete_runs(self, runs: Iterable[str]) -> Dropped:
        """Delete the checkpoints of some runs, in whatever threads they are."""
        return await self._target.perform(
            self._kind, _THREADS["delete_runs"], (runs,), {}
        )

    async def get(self, id: str) -> Thread:
        """One thread, without its checkpoints. Raises `NotFound`."""
        return await self._target.perform(self._kind, _THREADS["get"], (id,), {})

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[Thread]:
        """Threads, newest first."""
        return await self._target.perform(
            self._kind, _THREADS["list"], (), {"limit": limit, "cursor": cursor}
        )

    async def newest(self, id: str) -> tuple[Checkpoint, ...]:
        """The newest checkpoint of each namespace. Raises `NotFound`."""
        return await self._target.perform(self._kind, _THREADS["newest"], (id,), {})

    async def notes(self, id: str) -> tuple[str, ...]:
        """The notes that a thread's checkpoints have, each once. Raises `NotFound`."""
        return await self._target.perform(self._kind, _THREADS["notes"], (id,), {})

    async def prune(
        self, id: str, keep: Iterable[str], *, limit: int | None = None
    ) -> Dropped:
        """Delete all checkpoints of a thread but those of these ids.

        In every namespace, with their writes, and with values that no other one has.
        With `limit` at most so many, the oldest first, then at most so many values: so
        that others wait less long. The answer says whether there is more.
        """
        return await self._target.perform(
            self._kind, _THREADS["prune"], (id, keep), {"limit": limit}
        )

    async def put(
        self,
        id: str,
        checkpoint: str,
        *,
        ns: str = "",
        parent: str | None = None,
        state: Json = None,
        values: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        run: str | None = None,
        note: str | None = None,
    ) -> bool:
        """Keep a checkpoint of a thread, which begins with its first one.

        `values` has for each channel a dict of `type` and `body`, both of them text;
        a value that the thread has already is not kept again. `note` is whatever its
        writer wants to be told when it goes. One that is there by the same id is
        replaced; True if there was none.
        """
        return await self._target.perform(
            self._kind,
            _THREADS["put"],
            (id, checkpoint),
            {
                "ns": ns,
                "parent": parent,
                "state": state,
                "values": values,
                "metadata": metadata,
                "run": run,
                "note": note,
            },
        )

    async def put_writes(
        self,
        id: str,
        checkpoint: str,
        task: str,
        writes: Iterable[dict[str, Any]],
        *,
        ns: str = "",
        path: str = "",
    ) -> int:
        """Keep what a task wrote after a checkpoint; how many of it were new.

        Each write is a dict of `index`, `channel`, `type` and `body`. One that is there
        by the same task and index stays as it is; below index 0 it is replaced. The
        checkpoint may be put later.
        """
        return await self._target.perform(
            self._kind,
            _THREADS["put_writes"],
            (id, checkpoint, task, writes),
            {"ns": ns, "path": path},
        )


_TOOLSETS = Toolsets.operations()


class AsyncToolsets:
    """Tools by agent and conversation. They are not journalled."""

    def __init__(self, target: Performs, kind: type[Kind] = Toolsets) -> None:
        self._target = target
        self._kind = kind

    async def clear(self, agent: str | None = None, *, limit: int = 1000) -> int:
        """Forget the tools of an agent in all conversations, or of everyone; how many.

        `limit` of them at most.
        """
        return await self._target.perform(
            self._kind, _TOOLSETS["clear"], (agent,), {"limit": limit}
        )

    async def delete(self, agent: str, conversation: str) -> bool:
        """Forget an agent's tools in a conversation; True only if there were any."""
        return await self._target.perform(
            self._kind, _TOOLSETS["delete"], (agent, conversation), {}
        )

    async def get(self, agent: str, conversation: str) -> Toolset:
        """The tools of an agent in a conversation, all of them. Raises `NotFound`."""
        return await self._target.perform(
            self._kind, _TOOLSETS["get"], (agent, conversation), {}
        )

    async def handshake(
        self,
        agent: str,
        conversation: str,
        *,
        known: str | None = None,
        whole: bool = False,
    ) -> Toolset:
        """What to tell an agent of its tools now: all of them, or their names alone.

        All of them the first time, after they have changed, after the session of that
        id was cleared or deleted, and with `whole`; their names and digest after that.
        With `known`, the digest of what the asker has, it is that alone that counts:
        all of them where they are others ("" for nothing). Raises `NotFound`.
        """
        return await self._target.perform(
            self._kind,
            _TOOLSETS["handshake"],
            (agent, conversation),
            {"known": known, "whole": whole},
        )

    async def list(
        self, agent: str | None = None, *, limit: int = 50, cursor: str | None = None
    ) -> Page[Toolset]:
        """Toolsets, those that changed last first, without the descriptions."""
        return await self._target.perform(
            self._kind, _TOOLSETS["list"], (agent,), {"limit": limit, "cursor": cursor}
        )

    async def put(
        self, agent: str, conversation: str, tools: Iterable[Mapping[str, Any]]
    ) -> Toolset:
        """Say what an agent's tools are in a conversation.

        Each is a dict with a `name`, or a `function` that has one. Where they are not
        what was there, the next handshake gives all of them; their order is no change.
        Raises `WrongType` (no name, or one that is there twice), `NotStorable`,
        `TooLarge`.
        """
        return await self._target.perform(
            self._kind, _TOOLSETS["put"], (agent, conversation, tools), {}
        )


_WORKSPACES = Workspaces.operations()


class AsyncWorkspaces:
    """Where somebody works; each call is a transaction of its own, or part of one."""

    def __init__(self, target: Performs, kind: type[Kind] = Workspaces) -> None:
        self._target = target
        self._kind = kind

    async def chats(
        self, id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[WorkspaceChat]:
        """The chats of a workspace, used last first. Raises `NotFound`."""
        return await self._target.perform(
            self._kind, _WORKSPACES["chats"], (id,), {"limit": limit, "cursor": cursor}
        )

    async def clean(
        self, older_than_seconds: float | None = None, *, limit: int = 100
    ) -> Cleaned:
        """Delete workspaces, and chats of others, that nobody has used for so long.

        At most `limit` of each; None stands for `limits.workspace_seconds`. One that
        another holder has leased is left.
        """
        return await self._target.perform(
            self._kind, _WORKSPACES["clean"], (older_than_seconds,), {"limit": limit}
        )

    async def delete(self, id: str) -> bool:
        """Delete a workspace and what it says of its chats; True only if there was one.

        The sessions themselves stay. Raises `Held`, `Fenced`.
        """
        return await self._target.perform(self._kind, _WORKSPACES["delete"], (id,), {})

    async def enter(
        self,
        id: str,
        session: str,
        *,
        name: str | None | UnsetType = UNSET,
        persona: str | None | UnsetType = UNSET,
        tools: Iterable[str] | None | UnsetType = UNSET,
        issue: str | None | UnsetType = UNSET,
        branch: str | None | UnsetType = UNSET,
    ) -> WorkspaceChat:
        """Go on with a chat in a workspace, or begin one; it is the one in use then.

        What is named is this chat's own from now on; None: as the workspace has it.
        The session may be one of this store, or of another program. Raises `NotFound`
        (the workspace), `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind,
            _WORKSPACES["enter"],
            (id, session),
            {
                "name": name,
                "persona": persona,
                "tools": tools,
                "issue": issue,
                "branch": branch,
            },
        )

    async def get(self, id: str) -> Workspace:
        """One workspace. Raises `NotFound`."""
        return await self._target.perform(self._kind, _WORKSPACES["get"], (id,), {})

    async def leave(self, id: str, session: str) -> bool:
        """Take a chat out of a workspace; True only if it was in there.

        The session itself stays. Raises `NotFound` (the workspace), `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind, _WORKSPACES["leave"], (id, session), {}
        )

    async def list(
        self,
        *,
        project: str | None = None,
        persona: str | None = None,
        stale: bool = False,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Workspace]:
        """Workspaces, used last first; with `stale`, those that nobody uses."""
        return await self._target.perform(
            self._kind,
            _WORKSPACES["list"],
            (),
            {
                "project": project,
                "persona": persona,
                "stale": stale,
                "limit": limit,
                "cursor": cursor,
            },
        )

    async def load(self, id: str, tools: Iterable[str]) -> Workspace:
        """Add tools to those that are loaded.

        Raises `NotFound`, `TooLarge` (more than `limits.tags` with them), `Held`,
        `Fenced`.
        """
        return await self._target.perform(
            self._kind, _WORKSPACES["load"], (id, tools), {}
        )

    async def put(
        self,
        id: str,
        *,
        expect: int | None = None,
        path: str | None | UnsetType = UNSET,
        project: str | None | UnsetType = UNSET,
        persona: str | None | UnsetType = UNSET,
        tools: Iterable[str] | UnsetType = UNSET,
        issue: str | None | UnsetType = UNSET,
        branch: str | None | UnsetType = UNSET,
        metadata: dict[str, Any] | None | UnsetType = UNSET,
    ) -> Workspace:
        """Make a workspace, or change what is named of one; the rest stays.

        It is in use with that. `expect` is its version, 0 for one that is not there.
        Raises `Conflict` (another version), `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind,
            _WORKSPACES["put"],
            (id,),
            {
                "expect": expect,
                "path": path,
                "project": project,
                "persona": persona,
                "tools": tools,
                "issue": issue,
                "branch": branch,
                "metadata": metadata,
            },
        )

    async def touch(self, id: str, session: str | None = None) -> Workspace:
        """Say that a workspace is in use, and one of its chats, if that is named.

        Raises `NotFound` (the workspace, the chat), `Held`, `Fenced`.
        """
        return await self._target.perform(
            self._kind, _WORKSPACES["touch"], (id, session), {}
        )

    async def unload(self, id: str, tools: Iterable[str]) -> Workspace:
        """Take tools out of those that are loaded. Raises as `load` does."""
        return await self._target.perform(
            self._kind, _WORKSPACES["unload"], (id, tools), {}
        )
