"""Agents: who they are, kept for good, whether they run or not.

Answers for: finding, changing and deleting identities; counting what agents do.
Leaves to others: what an agent is (`agent_records`), how one is made (`agent_making`),
what agents are to each other (`agent_links`), who runs them (`agent_runs`).
Always holds: an agent has one tally, in which counts are added and never lost.
"""

from typing import Any

from msgspec import UNSET, UnsetType

from holdfast import codec
from holdfast.contract import operation, query
from holdfast.edges import Count, Id, Name, Object, PageSize, Text, document_of
from holdfast.engine import Row, Table
from holdfast.errors import Conflict, NotFound
from holdfast.guarantees import Promise
from holdfast.kinds.agent_making import AgentMaking, object_text
from holdfast.kinds.agent_records import (
    SPAWNED,
    Agent,
    AgentDraft,
    AgentDrafts,
    Counts,
    Role,
    Traits,
    agent_of,
    increased,
)
from holdfast.kinds.agent_runs import AgentRuns
from holdfast.page import Page, cursor_of, place_of

_ALL = 2**62
_CREATED_AT = 9
_SWEPT_AT_ONCE = 1_000


class Agents(AgentMaking, AgentRuns):
    """Identities of agents; each call is a transaction of its own, or part of one."""

    name = "agents"
    promise = Promise.DURABLE
    why = "an agent is the same after each restart, and what it did is counted once"
    changed_by = "create, update, increment, link, unlink, delete; claim, beat, release"
    leased = True
    tables = (
        Table("agent", json=("traits", "preferences", "metadata")),
        Table("agent_tally", json=("statistics",), parent=("agent", "agent")),
        Table("agent_link", json=("metadata",), parent=("agent", "agent")),
        Table("agent_run", journalled=False),
        Table("agent_runner", journalled=False),
    )
    bookkeeping = frozenset({"version", "updated_at"})

    @operation
    def create(
        self,
        name: Text,
        *,
        id: Id | None = None,
        role: Role | None = None,
        traits: Traits = (),
        preferences: Object = None,
        statistics: Object = None,
        metadata: Object = None,
        parent: Id | None = None,
        status: Name = "active",
    ) -> Agent:
        """Add an agent, spawned by `parent`; an equal one that is there is given back.

        Equal is one of this id with the same name, role, traits, preferences, metadata
        and parent. Raises `AlreadyExists` (the id, with others), `NotFound` (the
        parent), `Held`, `Fenced` (the parent's).
        """
        draft = AgentDraft(
            name=name,
            id=id,
            role=role,
            traits=tuple(traits),
            preferences=codec.optional(preferences),
            statistics=codec.optional(statistics),
            metadata=codec.optional(metadata),
            parent=parent,
            status=status,
        )
        [made] = self._created([draft])
        return made

    @operation
    def create_all(self, agents: AgentDrafts) -> tuple[Agent, ...]:
        """Add many agents at once, all of them or none, in one transaction.

        Each is a dict of `name`, and perhaps `id`, `role`, `traits`, `preferences`,
        `statistics`, `metadata`, `parent` (also one that stands before it), `status`,
        and `created_at`, `active_at` (for who was there before). Raises as `create`.
        """
        drafts: tuple[AgentDraft, ...] = tuple(agents)  # type: ignore[arg-type]
        return tuple(self._created(drafts))

    @query
    def get(self, id: Id) -> Agent:
        """One agent. Raises `NotFound`."""
        return agent_of(self._found(id))

    @query
    def list(
        self,
        *,
        role: Role | None = None,
        status: Name | None = None,
        parent: Id | None = None,
        limit: PageSize = 50,
        cursor: str | None = None,
    ) -> Page[Agent]:
        """Agents, newest first; of one parent, those that it spawned last first.

        With a parent, a page may be shorter than `limit` while its cursor leads on, if
        a role or a status is asked for too. Raises `NotFound` (the parent).
        """
        before = (_ALL, 0) if cursor is None else place_of(cursor, int, int)
        asked: dict[str, object] = {"owner": self.owner, "limit": limit + 1}
        asked |= {"before_at": before[0], "before_no": before[1]}
        if parent is not None:
            return self._children(parent, role, status, limit, asked)
        if role is not None:
            rows = self.tx.all("agent_list_role", role=role, status=status, **asked)
        elif status is not None:
            rows = self.tx.all("agent_list_status", status=status, **asked)
        else:
            rows = self.tx.all("agent_list", **asked)
        last = rows[limit - 1] if len(rows) > limit else None
        more = None if last is None else cursor_of(last[_CREATED_AT], last[0])
        return Page(map(agent_of, rows[:limit]), more)

    @operation
    def update(
        self,
        id: Id,
        *,
        expect: Count | None = None,
        name: Text | UnsetType = UNSET,
        role: Role | None | UnsetType = UNSET,
        traits: Traits | UnsetType = UNSET,
        preferences: Object | UnsetType = UNSET,
        status: Name | UnsetType = UNSET,
        metadata: Object | UnsetType = UNSET,
    ) -> Agent:
        """Change what is named, and leave the rest; `expect` is the agent's version.

        Raises `NotFound`, `Conflict` (another version), `Held`, `Fenced`.
        """
        row = self._found(id)
        self.guard(id)
        no, version = row[0], row[11]
        if expect is not None and expect != version:
            raise Conflict("agent", id, expected=expect, found=version)
        self.tx.put(
            "agent_change",
            owner=self.owner,
            no=no,
            now=self.tx.now,
            name=row[3] if name is UNSET else name,
            role=row[4] if role is UNSET else role,
            traits=row[5] if traits is UNSET else codec.text_of(tuple(traits)),
            preferences=row[6] if preferences is UNSET else object_text(preferences),
            status=row[7] if status is UNSET else status,
            metadata=row[8] if metadata is UNSET else codec.text_of(metadata),
        )
        found = agent_of(self._found(id))
        self._told("updated", id=id, status=found.status, version=found.version)
        return found

    @operation
    def increment(self, id: Id, counts: Counts) -> dict[str, Any]:
        """Add numbers to an agent's statistics; what they all are then.

        None is lost, however many add at once. Says that the agent was active, too;
        its version stays. Raises `NotFound`, `WrongType` (a statistic that is no
        number), `Held`, `Fenced`.
        """
        no = self._place(id)
        self.guard(id)
        row = self.tx.one("agent_tally_get", owner=self.owner, agent=no)
        assert row is not None, id
        found = increased(codec.decode(row[0]), counts)
        said = document_of(found, "statistics", self.tx.limits)
        self._tally(no, said.text)
        return found

    @operation
    def delete(self, id: Id) -> bool:
        """Delete an agent, its statistics, and links from and to it.

        Whoever runs it learns that it is over. Those that it spawned stay, without a
        parent. True only if there was one. Raises `Held`, `Fenced`.
        """
        row = self.tx.one("agent_at", owner=self.owner, id=id)
        if row is None:
            return False
        self.guard(id)
        no = row[0]
        there = self._run(id)
        if there is not None and self._end_run(there):
            self._taken(there.holder)
        self.tx.put("agent_drop", owner=self.owner, no=no)
        self.tx.put("agent_tally_drop", owner=self.owner, agent=no)
        self.tx.put("agent_link_drop_to", owner=self.owner, target=id)
        swept = self.tx.run("agent_link_sweep", agent=no, limit=_SWEPT_AT_ONCE)
        if swept == _SWEPT_AT_ONCE:
            self.tx.put("leftover_add", kind=self.name, no=no, below=_ALL)
            self.tx.untidy()
        self._told("deleted", id=id)
        return True

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many agents, tallies and links the owner has, and their bytes."""
        agents = self.tx.one("agent_usage", owner=self.owner) or (0, 0)
        tallies = self.tx.one("agent_tally_usage", owner=self.owner) or (0, 0)
        links = self.tx.one("agent_link_usage", owner=self.owner) or (0, 0)
        return {
            "agent": (agents[0], agents[1]),
            "agent_tally": (tallies[0], tallies[1]),
            "agent_link": (links[0], links[1]),
        }

    def tidy(self, limit: int) -> bool:
        """Delete links of agents that were deleted."""
        row = self.tx.one("leftover_next", kind=self.name)
        if row is None:
            return False
        if self.tx.run("agent_link_sweep", agent=row[0], limit=limit) < limit:
            self.tx.put("leftover_done", kind=self.name, no=row[0])
        return True

    def _children(
        self,
        parent: str,
        role: str | None,
        status: str | None,
        limit: int,
        asked: dict[str, object],
    ) -> Page[Agent]:
        """Agents that one has spawned, those that came last first."""
        no = self._place(parent)
        rows = self.tx.all("agent_link_newest", agent=no, relation=SPAWNED, **asked)
        last = rows[limit - 1] if len(rows) > limit else None
        more = None if last is None else cursor_of(last[0], last[1])
        named = [{"owner": self.owner, "id": row[2]} for row in rows[:limit]]
        found = [row for rows in self.tx.each("agent_get", named) for row in rows]
        return Page(
            (
                agent_of(row)
                for row in found
                if role in {None, row[4]} and status in {None, row[7]}
            ),
            more,
        )

    def _tally(self, no: int, statistics: str) -> None:
        self.tx.put(
            "agent_tally_change",
            owner=self.owner,
            agent=no,
            statistics=statistics,
            active_at=self.tx.now,
        )

    def _found(self, id: str) -> Row:
        row = self.tx.one("agent_get", owner=self.owner, id=id)
        if row is None:
            raise NotFound("agent", id)
        return row
