"""What a toolset is: its record, its digest, and what is checked of tools.

Answers for: the record, the names of tools in the forms that they come in, the digest
by which two lists of tools are told apart.
Leaves to others: keeping them (`toolsets`).
Always holds: the same tools in another order have the same digest.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec

from holdfast import codec, edges
from holdfast.clock import to_datetime
from holdfast.edges import Edge
from holdfast.engine import Row
from holdfast.errors import WrongType
from holdfast.limits import Limits

_DIGEST_CHARACTERS = 32


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

    @property
    def is_known(self) -> bool:
        """Whether who asks has it: all of it was given, and is in the session still."""
        return self.given == self.toolset.digest and (
            self.then in {self.session, (None, None)}
        )

    @property
    def is_settled(self) -> bool:
        """Whether it is known, and nothing is to be written down about that."""
        return self.is_known and self.then == self.session


def _tools(value: object, name: str, limits: Limits) -> ToolsDraft:
    if isinstance(value, ToolsDraft):
        return value
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise edges.wrong_type(name, "a list of tools", value)
    document = edges.document_of(list(value), name, limits)
    tools: list[Any] = document.value
    names = tuple(_name_of(tool, f"{name}[{i}]") for i, tool in enumerate(tools))
    if twice := {one for one in names if names.count(one) > 1}:
        raise WrongType(
            f"{name}: two of them are called {min(twice)!r}, and nobody could say "
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
