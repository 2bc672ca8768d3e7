"""Toolsets: what an agent's tools are in a conversation, told once and then by name.

Answers for: keeping descriptions of tools, giving all of them to who asks for the first
time, and a thin handshake after that; forgetting what nobody asks for any more.
Leaves to others: what a toolset is (`toolset_records`), making descriptions and having
them in memory (`runtime/cache`).
Always holds: a handshake is thin only where these very tools were given as a whole
before, in the session as it is: one that was cleared or deleted has them given again.
"""

from holdfast import codec
from holdfast.clock import to_us
from holdfast.contract import Kind, operation, query
from holdfast.edges import Id, PageSize, Text
from holdfast.engine import Table
from holdfast.errors import NotFound
from holdfast.guarantees import Promise
from holdfast.kinds.toolset_records import (
    Kept,
    ToolList,
    ToolsDraft,
    Toolset,
    kept_of,
    put_of,
    with_tools,
)
from holdfast.page import Page, cursor_of, place_of

KEPT_SECONDS = 24 * 3_600.0
"""How long a toolset is kept after it was last put or asked for."""
SEEN_SECONDS = 600.0
"""How long after a toolset was asked for that is written down again."""
_ALL = 2**62


class Toolsets(Kind):
    """Tools by agent and conversation. They are not journalled."""

    name = "toolsets"
    promise = Promise.DURABLE
    tables = (Table("toolset", journalled=False, json=("names", "tools")),)
    why = "descriptions of tools cost a model tokens each time that they are given"
    changed_by = "put, handshake, delete, clear; a day in which nobody asks"

    @operation
    def put(self, agent: Id, conversation: Id, tools: ToolList) -> Toolset:
        """Say what an agent's tools are in a conversation.

        Each is a dict with a `name`, or a `function` that has one. Where they are not
        what was there, the next handshake gives all of them; their order is no change.
        Raises `WrongType` (no name, or one that is there twice), `NotStorable`,
        `TooLarge`.
        """
        draft: ToolsDraft = tools  # type: ignore[assignment]  # the edge has made it
        self._lock(agent, conversation)
        there = self._there(agent, conversation)
        values: dict[str, object] = {"digest": draft.digest, "tools": draft.text}
        values["names"] = codec.text_of(draft.names)
        if there is None:
            self._put("toolset_drop", agent, conversation)  # one past its time
            self._put("toolset_add", agent, conversation, now=self.tx.now, **values)
        elif there.toolset.digest == draft.digest:
            self._put("toolset_see", agent, conversation, now=self.tx.now)
        else:
            self._put("toolset_change", agent, conversation, now=self.tx.now, **values)
        return put_of(draft, there, self.owner, (agent, conversation), self.tx.now)

    @query
    def get(self, agent: Id, conversation: Id) -> Toolset:
        """The tools of an agent in a conversation, all of them. Raises `NotFound`."""
        return with_tools(*self.described(agent, conversation))

    @operation
    def handshake(
        self,
        agent: Id,
        conversation: Id,
        *,
        known: Text | None = None,
        whole: bool = False,
    ) -> Toolset:
        """What to tell an agent of its tools now: all of them, or their names alone.

        All of them the first time, after they have changed, after the session of that
        id was cleared or deleted, and with `whole`; their names and digest after that.
        With `known`, the digest of what the asker has, it is that alone that counts:
        all of them where they are others ("" for nothing). Raises `NotFound`.
        """
        self._lock(agent, conversation)
        kept = self.kept(agent, conversation)
        is_thin = kept.is_had(known) and not whole
        if not (is_thin and kept.is_settled):
            session, first = kept.session
            said = {"given": kept.toolset.digest, "session": session, "first": first}
            self._put("toolset_give", agent, conversation, now=self.tx.now, **said)
        elif self.tx.now - kept.seen_at >= SEEN_SECONDS * 1_000_000:
            self._put("toolset_see", agent, conversation, now=self.tx.now)
        if is_thin:
            return kept.toolset
        return with_tools(kept.toolset, self._text(agent, conversation))

    @query
    def list(
        self,
        agent: Id | None = None,
        *,
        limit: PageSize = 50,
        cursor: str | None = None,
    ) -> Page[Toolset]:
        """Toolsets, those that changed last first, without the descriptions."""
        places = (int, str, str)
        before = (_ALL, "", "") if cursor is None else place_of(cursor, *places)
        values: dict[str, object] = {"owner": self.owner, "limit": limit + 1}
        values |= {"since": self._since, "at": before[0], "conversation": before[2]}
        if agent is None:
            rows = self.tx.all("toolset_list", agent=before[1], **values)
        else:
            rows = self.tx.all("toolset_list_agent", agent=agent, **values)
        found = [kept_of(row).toolset for row in rows]
        more = None
        if len(found) > limit:
            last = found[limit - 1]
            more = cursor_of(to_us(last.updated_at), last.agent, last.conversation)
        return Page(found[:limit], more)

    @operation
    def delete(self, agent: Id, conversation: Id) -> bool:
        """Forget an agent's tools in a conversation; True only if there were any."""
        self._lock(agent, conversation)
        there = self._there(agent, conversation)
        self._put("toolset_drop", agent, conversation)
        return there is not None

    @operation
    def clear(self, agent: Id | None = None, *, limit: PageSize = 1_000) -> int:
        """Forget the tools of an agent in all conversations, or of everyone; how many.

        `limit` of them at most.
        """
        values = {"owner": self.owner, "agent": agent, "limit": limit}
        return self.tx.run("toolset_clear", **values)

    def described(self, agent: str, conversation: str) -> tuple[Toolset, str]:
        """A toolset, and its tools as JSON text. Raises `NotFound`."""
        found = self.kept(agent, conversation).toolset
        return found, self._text(agent, conversation)

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many toolsets the owner has, and the bytes of their tools."""
        count, size = self.tx.one("toolset_usage", owner=self.owner) or (0, 0)
        return {"toolset": (count, size)}

    def tidy(self, limit: int) -> bool:
        """Delete toolsets that nobody asked for in a day."""
        before = self._since
        row = self.tx.one("toolset_old", before=before, others=limit - 1)
        upto = row[0] if row else before
        return self.tx.run("toolset_sweep", after=0, before=upto) >= limit

    def not_found(self, id: str) -> NotFound:
        """The error for a toolset that is not there."""
        return NotFound("toolset", id)

    @property
    def _since(self) -> int:
        """Since when a toolset was asked for that is still there."""
        return self.tx.now - round(KEPT_SECONDS * 1_000_000)

    def _lock(self, agent: str, conversation: str) -> None:
        self.tx.lock(self.name, f"{agent}/{conversation}")

    def _there(self, agent: str, conversation: str) -> Kept | None:
        row = self.tx.one(
            "toolset_get", owner=self.owner, agent=agent, conversation=conversation
        )
        found = None if row is None else kept_of(row)
        return None if found is None or found.seen_at <= self._since else found

    def kept(self, agent: str, conversation: str) -> Kept:
        """How a toolset stands, without its tools. Raises `NotFound`."""
        found = self._there(agent, conversation)
        if found is None:
            raise self.not_found(f"{agent}/{conversation}")
        return found

    def _put(
        self, statement: str, agent: str, conversation: str, **values: object
    ) -> None:
        where = {"owner": self.owner, "agent": agent, "conversation": conversation}
        self.tx.put(statement, **where, **values)

    def _text(self, agent: str, conversation: str) -> str:
        row = self.tx.one(
            "toolset_tools", owner=self.owner, agent=agent, conversation=conversation
        )
        if row is None:  # `clear`, which locks none, was quicker
            raise self.not_found(f"{agent}/{conversation}")
        return str(row[0])
