"""Making agents: one or many, each with its tally, under the one that spawned it.

Answers for: what is written for a new agent; knowing one again that is there.
Leaves to others: what an agent is (`agent_records`), what callers ask (`agents`).
Always holds: all that are asked for in one call are there afterwards, or none is new.
"""

from collections.abc import Sequence

from holdfast import codec
from holdfast.clock import to_datetime
from holdfast.errors import AlreadyExists, NotFound
from holdfast.kinds.agent_records import (
    SPAWNED,
    Agent,
    AgentDraft,
    agent_of,
    content_of,
)
from holdfast.kinds.agent_reverts import AgentReverts


class AgentMaking(AgentReverts):
    """How agents are made."""

    def _created(self, drafts: Sequence[AgentDraft]) -> list[Agent]:
        """The agents of drafts, those made that were not there."""
        there = self._there(drafts)
        numbers = self._parents([d for d in drafts if (d.id or "") not in there])
        made = []
        for draft in drafts:
            found = there.get(draft.id or "")
            if found is None:
                found = self._add(draft, numbers)
                there[found.id] = found
            elif content_of(found) != draft.content():
                raise AlreadyExists("agent", found.id)
            made.append(found)
        return made

    def _there(self, drafts: Sequence[AgentDraft]) -> dict[str, Agent]:
        """The agents that are there already, by their ids."""
        ids = dict.fromkeys(draft.id for draft in drafts if draft.id is not None)
        asked = [{"owner": self.owner, "id": id} for id in ids]
        found = [row for rows in self.tx.each("agent_get", asked) for row in rows]
        return {row[2]: agent_of(row) for row in found}

    def _parents(self, drafts: Sequence[AgentDraft]) -> dict[str, int]:
        """The numbers of the parents that are there; nobody deletes them now."""
        found = {}
        for id in sorted({one.parent for one in drafts if one.parent is not None}):
            self.lock(id)
            row = self.tx.one("agent_at", owner=self.owner, id=id)
            if row is not None:
                self.guard(id)
                found[id] = int(row[0])
        return found

    def _add(self, draft: AgentDraft, numbers: dict[str, int]) -> Agent:
        """Keep a new agent; `numbers` has those of parents."""
        if draft.parent is not None and draft.parent not in numbers:
            raise NotFound("agent", draft.parent)
        no, now = self.tx.new_no(), self.tx.now
        id = draft.id or self.tx.new_id()
        created_at = now if draft.created_at is None else draft.created_at
        active_at = created_at if draft.active_at is None else draft.active_at
        self.tx.put(
            "agent_add",
            no=no,
            owner=self.owner,
            id=id,
            name=draft.name,
            role=draft.role,
            traits=codec.text_of(list(draft.traits)),
            preferences=object_text(draft.preferences),
            status=draft.status,
            metadata=codec.text_of(draft.metadata),
            created_at=created_at,
            now=now,
        )
        self.tx.put(
            "agent_tally_add",
            no=self.tx.new_no(),
            owner=self.owner,
            agent=no,
            statistics=object_text(draft.statistics),
            active_at=active_at,
        )
        if draft.parent is not None:
            self.put_link(numbers[draft.parent], draft.parent, SPAWNED, id, None)
        numbers[id] = no
        self._told("created", id=id, role=draft.role, status=draft.status)
        return self._new(draft, id, created_at, active_at)

    def _new(
        self, draft: AgentDraft, id: str, created_at: int, active_at: int
    ) -> Agent:
        """The record of an agent that was just made."""
        return Agent(
            id=id,
            owner=self.owner,
            name=draft.name,
            role=draft.role,
            traits=draft.traits,
            preferences=codec.value_of(draft.preferences) or {},
            statistics=codec.value_of(draft.statistics) or {},
            status=draft.status,
            parent=draft.parent,
            metadata=codec.value_of(draft.metadata),
            created_at=to_datetime(created_at),
            updated_at=to_datetime(self.tx.now),
            active_at=to_datetime(active_at),
            version=1,
        )


def object_text(value: object) -> str:
    """The JSON text of an object; that of an empty one for None."""
    return codec.text_of(value) or "{}"  # type: ignore[arg-type]
