"""Reverts: an agent put back as it was, with what it was to others.

Answers for: which links come back with an agent, and which cannot.
Leaves to others: the rows of a record in general (`restoring`), which records are put
back (`reverting`), what a link is (`agent_links`).
Always holds: also after a revert both ends of a link are agents, and an agent has one
parent at most: a link that cannot be so any more is left out.

An agent brings back the links from it, and who has spawned it; one that was deleted
also the links of others to it, which went with it. They come once all agents of a
revert are there, so that it makes no difference which of them is put back first.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec.structs import replace

from holdfast.contract import Kind
from holdfast.edges import Id
from holdfast.kinds.agent_links import AgentLinks
from holdfast.kinds.agent_records import SPAWNED
from holdfast.restoring import Fields, Plan, Restoring

_Link: TypeAlias = tuple[str, str, str]
"""The source, the relation and the target of a link."""
_Links: TypeAlias = dict[_Link, tuple[str | None, int]]
"""What is said of each link, and when it was made."""


class AgentReverts(AgentLinks):
    """The part of the agents' operations that puts agents back."""

    def put_back(self, id: str, past: Kind) -> Plan | None:
        """What puts an agent back, with its statistics and its links."""
        assert isinstance(past, AgentReverts)
        was, now = past._known(id), self._known(id)
        if was is None:
            gone = functools.partial(self.delete, id)
            return None if now is None else Plan("delete", 1, gone)
        own = Restoring(self, past, but=("agent_link",)).plan(id)
        again, lost = self._links_that_differ(past, was, now)
        if own is None and not again and not lost:
            return None
        plan = own or Plan("update", 0, lambda: None)
        self._hold_ends(id, {**again, **lost}, deleted=now is None)

        def write() -> None:
            plan.write()
            for link in lost:
                self._unlinked(*link)
            if own is not None:
                self._put_back_told(id, own.op)

        def finish() -> None:
            to_it = {link: said for link, said in again.items() if link[2] == id}
            self._link_again(to_it)  # first: whom it comes from, it cannot spawn
            self._link_again({k: said for k, said in again.items() if k not in to_it})

        rows = plan.rows + len(again) + len(lost)
        return replace(plan, rows=rows, write=write, finish=finish)

    def revised(self, was: Fields, now: Fields | None, past: Kind) -> Fields:
        """An agent's row as it is put back, with a version that it never had before."""
        asked = {"owner": self.owner, "id": was["id"]}
        last = self.tx.one("agent_version_last", **asked) or (0,)
        version = max(was["version"], last[0], now["version"] if now else 0) + 1
        return {**was, "version": version, "updated_at": self.tx.now}

    def delete(self, id: Id) -> bool:
        """Delete an agent, its statistics, and links from and to it."""
        raise NotImplementedError

    def _known(self, id: str) -> Fields | None:
        return self.tx.fields("agent_known", owner=self.owner, id=id)

    def _put_back_told(self, id: str, op: str) -> None:
        row = self._known(id)
        assert row is not None, id
        self._told(f"{op}d", id=id, status=row["status"], version=row["version"])

    def _links_that_differ(
        self, past: "AgentReverts", was: Fields, now: Fields | None
    ) -> tuple[_Links, _Links]:
        """The links of then that are not there, or not so, and those that were not."""
        id = was["id"]
        then = past._links_with(id, was["no"], every=now is None)
        there = {} if now is None else self._links_with(id, now["no"])
        again = {key: said for key, said in then.items() if there.get(key) != said}
        return again, {key: said for key, said in there.items() if key not in then}

    def _links_with(self, id: str, no: int, *, every: bool = False) -> _Links:
        """The links from an agent, and the one of its parent, or `every` one to it."""
        found = {
            (id, row[3], row[4]): (row[5], row[6])
            for row in self._each_link("agent_link_out", agent=no)
        }
        if every:
            leading_in = self._each_link("agent_link_in", target=id)
        else:
            named = {"target": id, "relation": SPAWNED}
            leading_in = self._each_link("agent_link_in_named", **named)
        return found | {(r[2], r[3], r[4]): (r[5], r[6]) for r in leading_in}

    def _each_link(self, name: str, **asked: object) -> Iterator[Any]:
        many = self.tx.limits.page
        after = {"after_at": 0, "after_no": 0}
        while True:
            rows = self.tx.all(name, owner=self.owner, limit=many, **after, **asked)
            yield from rows
            if len(rows) < many:
                return
            after = {"after_at": rows[-1][6], "after_no": rows[-1][0]}

    def _hold_ends(
        self, id: str, links: Mapping[_Link, object], *, deleted: bool
    ) -> None:
        """Have nobody delete who is linked; raise `Held` for another's own link.

        Links to one that was deleted went without asking, and so they come.
        """
        for other in sorted({end for link in links for end in link[::2]} - {id}):
            self.lock(other)
        for source in sorted({source for source, _, _ in links} - {id}):
            if not deleted:
                self.guard(source)

    def _unlinked(self, source: str, relation: str, target: str) -> None:
        row = self.tx.one("agent_at", owner=self.owner, id=source)
        if row is not None:
            key = {"agent": row[0], "relation": relation, "target": target}
            self.tx.put("agent_link_drop", owner=self.owner, **key)
            self._told("unlinked", source=source, relation=relation, target=target)

    def _link_again(self, links: _Links) -> None:
        """Put links back as they were, those that can be there."""
        numbers = self._numbers({end for link in links for end in link[::2]})
        kept = [link for link in links if link[0] in numbers and link[2] in numbers]
        kept = self._with_one_parent(kept)
        keys = [
            {"owner": self.owner, "agent": numbers[link[0]], **_named(link)}
            for link in kept
        ]
        found = self.tx.each("agent_link_get", keys)
        for link, key, there in zip(kept, keys, found, strict=True):
            metadata, created_at = links[link]
            said = {"metadata": metadata, "created_at": created_at, **key}
            if there:
                self.tx.put("agent_link_as_was", no=there[0][0], **said)
            else:
                self.tx.put("agent_link_back", no=self.tx.new_no(), **said)
            self._told("linked", source=link[0], **_named(link))

    def _with_one_parent(self, links: Sequence[_Link]) -> list[_Link]:
        """Those of some links that give no agent a second parent, or itself."""
        spawned = [link for link in links if link[1] == SPAWNED]
        above = {source: self._above(source) for source, _, _ in spawned}
        asked = {"owner": self.owner, "relation": SPAWNED, "limit": 1}
        asked |= {"after_at": 0, "after_no": 0}
        found = self.tx.each(
            "agent_link_in_named", [{**asked, "target": link[2]} for link in spawned]
        )
        refused = {
            link
            for link, rows in zip(spawned, found, strict=True)
            if link[2] in above[link[0]] or (rows and rows[0][2] != link[0])
        }
        return [link for link in links if link not in refused]

    def _numbers(self, ids: Iterable[str]) -> dict[str, int]:
        """The numbers of agents that are there."""
        ordered = sorted(ids)
        asked = [{"owner": self.owner, "id": id} for id in ordered]
        found = zip(ordered, self.tx.each("agent_at", asked), strict=True)
        return {id: rows[0][0] for id, rows in found if rows}


def _named(link: _Link) -> dict[str, str]:
    return {"relation": link[1], "target": link[2]}
