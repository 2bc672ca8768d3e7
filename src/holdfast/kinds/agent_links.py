"""Links: what agents are to each other, and whom one leads to.

Answers for: making, deleting and listing links; walking along them.
Leaves to others: who the agents are (`agents`).
Always holds: both ends of a link are agents; an agent was spawned by one at most, and
never by itself, by way of others either.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

from holdfast import codec
from holdfast.contract import Kind, operation, query
from holdfast.edges import Count, Id, Name, Object, PageSize
from holdfast.engine import Told
from holdfast.errors import NotFound, Refused
from holdfast.kinds.agent_records import (
    SPAWNED,
    AgentLink,
    Descendant,
    Direction,
    LinkDirection,
    agent_of,
    link_of,
)
from holdfast.page import Page, cursor_of, place_of

_AT_ONCE = 200


class AgentLinks(Kind):
    """What agents are to each other."""

    @operation
    def link(
        self, id: Id, relation: Name, target: Id, *, metadata: Object = None
    ) -> AgentLink:
        """Say what an agent is to another, which it `observes`, or has once `spawned`.

        The relation is a word of yours. A link that is there is given back, with this
        metadata. Raises `NotFound` (either of them), `Refused` (`spawned`: the target
        has another parent, or has spawned the agent), `Held`, `Fenced`.
        """
        no = self._place(id)
        self.guard(id)
        if target != id:
            self.lock(target)
        self._place(target)
        if relation == SPAWNED and (why := self._against_parent(id, target)):
            raise Refused(f"{why}; nothing was written")
        return self._linked(no, id, relation, target, codec.optional(metadata))

    @operation
    def unlink(self, id: Id, relation: Name, target: Id) -> bool:
        """Delete a link; True only if there was one. Raises `Held`, `Fenced`."""
        row = self.tx.one("agent_at", owner=self.owner, id=id)
        if row is None:
            return False
        key = {"agent": row[0], "relation": relation, "target": target}
        if not self.tx.one("agent_link_get", owner=self.owner, **key):
            return False
        self.guard(id)
        self.tx.put("agent_link_drop", owner=self.owner, **key)
        self._told("unlinked", source=id, relation=relation, target=target)
        return True

    @query
    def links(
        self,
        id: Id,
        relation: Name | None = None,
        *,
        direction: Direction = "out",
        limit: PageSize = 50,
        cursor: str | None = None,
    ) -> Page[AgentLink]:
        """Links of an agent to others (`out`) or of others to it (`in`), oldest first.

        Of one relation, or of all. Raises `NotFound`.
        """
        no = self._place(id)
        after = (0, 0) if cursor is None else place_of(cursor, int, int)
        asked: dict[str, object] = {"owner": self.owner, "limit": limit + 1}
        asked |= {"after_at": after[0], "after_no": after[1]}
        names = ("agent_link_in", "agent_link_in_named")
        asked["target"] = id
        if LinkDirection(direction) is LinkDirection.OUT:
            names = ("agent_link_out", "agent_link_out_named")
            del asked["target"]
            asked["agent"] = no
        if relation is not None:
            asked["relation"] = relation
        rows = self.tx.all(names[relation is not None], **asked)
        last = rows[limit - 1] if len(rows) > limit else None
        more = None if last is None else cursor_of(last[6], last[0])
        return Page(map(link_of, rows[:limit]), more)

    @query
    def descendants(
        self,
        id: Id,
        relation: Name = "spawned",
        *,
        depth: Count | None = None,
        limit: PageSize = 50,
        cursor: str | None = None,
    ) -> Page[Descendant]:
        """Whom an agent leads to by a relation, and whom they do: the nearest first.

        Each is there once, by the shortest way, however links go in circles; at most
        `depth` steps away. They are walked again for each page: one that comes or goes
        meanwhile may move others across its edge. Raises `NotFound`.
        """
        skipped = 0 if cursor is None else max(int(place_of(cursor, int)[0]), 0)
        walk = self._walk(self._place(id), id, relation, depth)
        found = list(islice(walk, skipped, skipped + limit + 1))
        shown = [{"owner": self.owner, "id": target} for _, _, target in found[:limit]]
        rows = self.tx.each("agent_get", shown)
        more = cursor_of(skipped + limit) if len(found) > limit else None
        return Page(
            (
                Descendant(agent_of(row), steps, through)
                for (steps, through, _), (row,) in zip(found, rows, strict=False)
            ),
            more,
        )

    def _walk(
        self, no: int, id: str, relation: str, depth: int | None
    ) -> Iterator[tuple[int, str, str]]:
        """Steps, the last one's source, and the target, of all that is led to."""
        seen, level, steps = {id}, [(no, id)], 0
        while level and (depth is None or steps < depth):
            steps += 1
            further: list[tuple[int, str]] = []
            for source, target, number in self._targets(level, relation):
                if target not in seen and number is not None:
                    seen.add(target)
                    further.append((number, target))
                    yield steps, source, target
            level = further

    def _targets(
        self, level: Sequence[tuple[int, str]], relation: str
    ) -> Iterator[tuple[str, str, int | None]]:
        """Whom agents lead to: the source, the target, and its number."""
        asked: dict[str, object] = {"owner": self.owner, "relation": relation}
        many = self.tx.limits.page
        for start in range(0, len(level), _AT_ONCE):
            some = level[start : start + _AT_ONCE]
            first = [
                {**asked, "agent": no, "after_at": 0, "after_no": 0, "limit": many}
                for no, _ in some
            ]
            found = self.tx.each("agent_link_on", first)
            for (_, source), begun, page in zip(some, first, found, strict=True):
                rows = page
                while rows:
                    yield from ((source, target, no) for _, _, target, no in rows)
                    if len(rows) < many:
                        break
                    after = {"after_at": rows[-1][0], "after_no": rows[-1][1]}
                    rows = self.tx.all("agent_link_on", **{**begun, **after})

    def _linked(
        self,
        no: int,
        id: str,
        relation: str,
        target: str,
        metadata: codec.Document | None,
    ) -> AgentLink:
        """The link of an agent (its number, its id) to another, made or changed."""
        key = {"agent": no, "relation": relation, "target": target}
        row = self.tx.one("agent_link_get", owner=self.owner, **key)
        said = codec.text_of(metadata)
        if row is not None and row[5] == said:
            return link_of(row)
        if row is None:
            self.put_link(no, id, relation, target, said)
        else:
            self.tx.put("agent_link_change", owner=self.owner, no=row[0], metadata=said)
            self._told("linked", source=id, relation=relation, target=target)
        found = self.tx.one("agent_link_get", owner=self.owner, **key)
        assert found is not None
        return link_of(found)

    def put_link(
        self, no: int, id: str, relation: str, target: str, metadata: str | None
    ) -> None:
        """Keep a new link from an agent (its number, its id)."""
        self.tx.put(
            "agent_link_add",
            no=self.tx.new_no(),
            owner=self.owner,
            agent=no,
            relation=relation,
            target=target,
            metadata=metadata,
            now=self.tx.now,
        )
        self._told("linked", source=id, relation=relation, target=target)

    def _against_parent(self, id: str, target: str) -> str:
        """Why an agent cannot have spawned another; empty if it can."""
        there = self._parent(target)
        if there is not None and there != id:
            return f"agent {target!r} was spawned by {there!r}: unlink that first"
        if target in self._above(id):
            return f"agent {id!r} comes from {target!r}, and cannot have spawned it"
        return ""

    def _above(self, id: str) -> set[str]:
        """An agent, and all that it comes from."""
        seen: set[str] = set()
        above: str | None = id
        while above is not None and above not in seen:
            seen.add(above)
            above = self._parent(above)
        return seen

    def _parent(self, id: str) -> str | None:
        """The agent that has spawned one."""
        asked: dict[str, object] = {"owner": self.owner, "target": id, "limit": 1}
        asked |= {"relation": SPAWNED, "after_at": 0, "after_no": 0}
        rows = self.tx.all("agent_link_in_named", **asked)
        return rows[0][2] if rows else None

    def _place(self, id: str) -> int:
        """The number of an agent. Raises `NotFound`."""
        row = self.tx.one("agent_at", owner=self.owner, id=id)
        if row is None:
            raise NotFound("agent", id)
        return int(row[0])

    def _told(self, what: str, **said: object) -> None:
        """Have it told what became of an agent."""
        self.tx.tell(Told(f"agent:{what}", said))
