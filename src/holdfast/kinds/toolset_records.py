"""What a toolset is: its record, its digest, and what is checked of tools.

Answers for: the record, the names of tools in the forms that they come in, the digest
by which two lists of tools are told apart.
Leaves to others: keeping them (`toolsets`).
Always holds: the same tools in another order have the same digest.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec.structs import replace

from holdfast import codec, edges
from holdfast.clock import to_datetime
from holdfast.edges import Edge
from holdfast.engine import Row
from holdfast.errors import WrongType
from holdfast.limits import Limits

_DIGEST_CHARACTERS = 32
_FIRST = 1
"""The position of a session's first message, where it was never cleared."""


class Toolset(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent's tools are in a conversation.

    `tools` are their descriptions as they were put; None in a handshake, which says
    their `names` and the `digest` alone, and in lists. `updated_at` is when they last
    changed, `seen_at` when they were last put or asked for, to within 10 minutes.
    """

    agent: str
    conversation: str
    owner: str
    digest: str
    names: tuple[str, ...]
    tools: tuple[dict[str, Any], ...] | None
    created_at: datetime
    updated_at: datetime
    seen_at: datetime

    @property
    def whole(self) -> bool:
        """Whether the descriptions are there, and not the handshake alone."""
        return self.tools is not None


class ToolsDraft(msgspec.Struct, frozen=True):
    """Tools that were checked and are still to be kept."""

    text: str
    tools: tuple[dict[str, Any], ...]
    names: tuple[str, ...]
    digest: str


class Kept(msgspec.Struct, frozen=True):
    """A toolset's row, and what the session of its conversation is now.

    `given` is the digest of what was given as a whole, and `then` the session of that
    time, as (row, first position).
    """

    toolset: Toolset
    given: str | None
    then: tuple[int | None, int | None]
    session: tuple[int | None, int | None]
    seen_at: int

    def is_had(self, known: str | None) -> bool:
        """Whether who asks has it: by the digest that they know, or by what was given.

        What was given before there was a session is in one that was never cleared.
        """
        if known is not None:
            return known == self.toolset.digest
        if self.given != self.toolset.digest:
            return False
        return self.then == self.session or (
            self.then == (None, None) and self.session[1] == _FIRST
        )

    @property
    def is_settled(self) -> bool:
        """Whether nothing is to be written down of its having been given."""
        return self.given == self.toolset.digest and self.then == self.session


def _tools(value: object, name: str, limits: Limits) -> ToolsDraft:
    if isinstance(value, ToolsDraft):
        return value
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise edges.wrong_type(name, "a list of tools", value)
    document = edges.document_of(list(value), name, limits)
    tools: list[Any] = document.value
    names = tuple(_name_of(tool, f"{name}[{i}]") for i, tool in enumerate(tools))
    if len(set(names)) < len(names):
        ((twice, _),) = Counter(names).most_common(1)
        raise WrongType(
            f"{name}: two of them are called {twice!r}, and nobody could say "
            "which is meant; nothing was written"
        )
    return ToolsDraft(document.text, tuple(tools), names, _digest(tools, names))


ToolList = Annotated[Iterable[Mapping[str, Any]], Edge(_tools)]


def _name_of(tool: object, place: str) -> str:
    """What a tool is called, in MCP's form, or in that of chat completions."""
    if not isinstance(tool, dict):
        raise edges.wrong_type(place, "a dict that describes a tool", tool)
    function = tool.get("function")
    named = tool if "name" in tool or not isinstance(function, dict) else function
    name = named.get("name")
    if not isinstance(name, str) or not name:
        raise WrongType(
            f"{place}: a tool has a name (`name`, or `function.name`); nothing was "
            "written"
        )
    return name


def _digest(tools: list[Any], names: tuple[str, ...]) -> str:
    ordered = [tool for _, tool in sorted(zip(names, tools, strict=True), key=_first)]
    text = msgspec.json.encode(ordered, order="sorted")
    return hashlib.sha256(text).hexdigest()[:_DIGEST_CHARACTERS]


def _first(pair: tuple[str, Any]) -> str:
    return pair[0]


def put_of(
    draft: ToolsDraft,
    there: Kept | None,
    owner: str,
    whose: tuple[str, str],
    now: int,
) -> Toolset:
    """What a toolset is once it was put where this was there; in the order kept."""
    at = to_datetime(now)
    changed, names = at, draft.names
    if there is not None and there.toolset.digest == draft.digest:
        changed, names = there.toolset.updated_at, there.toolset.names
    tools = dict(zip(draft.names, codec.decode(draft.text), strict=True))
    return Toolset(
        agent=whose[0],
        conversation=whose[1],
        owner=owner,
        digest=draft.digest,
        names=names,
        tools=tuple(tools[name] for name in names),
        created_at=at if there is None else there.toolset.created_at,
        updated_at=changed,
        seen_at=at,
    )


def version_of(toolset: Toolset) -> tuple[str, datetime]:
    """What tells it from what was put before, and from what is put after."""
    return toolset.digest, toolset.updated_at


def with_tools(toolset: Toolset, text: str) -> Toolset:
    """A toolset with its tools, which nobody else has in hand."""
    return replace(toolset, tools=tuple(codec.decode(text)))


def kept_of(row: Row) -> Kept:
    """The toolset of a row, without its tools."""
    owner, agent, conversation, digest, names, given, *rest = row
    row_then, first_then, created_at, updated_at, seen_at, *now = rest
    found = Toolset(
        agent=agent,
        conversation=conversation,
        owner=owner,
        digest=digest,
        names=tuple(codec.decode(names)),
        tools=None,
        created_at=to_datetime(created_at),
        updated_at=to_datetime(updated_at),
        seen_at=to_datetime(seen_at),
    )
    session = (now[0], now[1]) if now else (None, None)
    return Kept(found, given, (row_then, first_then), session, seen_at)
