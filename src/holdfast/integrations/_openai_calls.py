"""Calls of tools of the OpenAI Agents SDK: each done once, and told where it is done.

The SDK adds a turn's items when the turn is over. A call is told before that: it and
its output are added in the transaction of its effect. Who goes on after a crash finds
them, and the model does not ask again. When the SDK adds the turn, its items take the
place of what was told.

Answers for: which key a call has; telling a call; adding a turn of which something is
told.
Leaves to others: running a tool once under a key (`_once`), how an item is kept as a
message (`_openai_items`).
Always holds: a call that is told has the key by which it was done; a turn is there in
the SDK's own order, and no item of it twice, unless a reply was being written behind.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from inspect import Parameter
from itertools import chain, islice, repeat
from typing import Any, TypeAlias, get_origin

import msgspec

from holdfast import Message, codec
from holdfast.errors import NotFound
from holdfast.integrations import extra
from holdfast.integrations._growing import begin, copied
from holdfast.integrations._once import Effect, key_of
from holdfast.integrations._openai_items import draft_of
from holdfast.transaction import OpenTransaction

with extra("openai-agents"):
    from agents import ItemHelpers
    from agents.run_context import RunContextWrapper
    from agents.tool_context import ToolContext

Draft: TypeAlias = dict[str, Any]
_TOLD = "tool_once"
_CALL, _OUTPUT = "function_call", "function_call_output"
_AT_ONCE = 20
_LOOKED_AT = 100
_OF_ITS_TURN = {"id", "status"}
"""What of a call its model's provider takes only beside what else was said then."""


class Told(msgspec.Struct, frozen=True):
    """Where a session stands: its newest message but for those, and what is told."""

    since: str
    messages: list[Message]

    def key_of(self, call: str) -> str | None:
        """The key of a call that is told, by its id."""
        for message in self.messages:
            said = _said_in(message.content)
            if said is not None and said[1] == call:
                return _key_in(message)
        return None


def parameter_of(effect: Effect) -> Parameter:
    """By which parameter a tool gets the SDK's context: the user's, or one of ours."""
    first = next(iter(effect.takes.parameters.values()), None)
    if first is not None:
        annotation = get_origin(first.annotation) or first.annotation
        if annotation in {ToolContext, RunContextWrapper}:
            return first
    kind = Parameter.POSITIONAL_OR_KEYWORD
    return Parameter("tool_context", kind, annotation=ToolContext[Any])


def told(tx: OpenTransaction, id: str) -> Told:
    """What tools have told in a session, and the SDK has not added yet.

    Raises `NotFound`.
    """
    found: list[Message] = []
    for message in _backwards(tx, id):
        if _key_in(message) is None:
            return Told(message.id, found[::-1])
        found.append(message)
    return Told("", found[::-1])


def key_among(
    there: Told, taken: dict[str, str], session: str, context: ToolContext[Any]
) -> str:
    """The key of a call: where it stands, what it asks, and which of its like it is.

    `taken` has the keys of this process's calls, by their ids. A call that a model asks
    for anew has another id, and the key of the one that was broken off.
    """
    id = context.tool_call_id
    used = {*taken.values(), *map(_key_in, there.messages)}
    place = session, there.since, _plain(context.tool_arguments)
    keys = [key_of(context.tool_name, *place, nth) for nth in range(len(used) + 1)]
    known = taken.get(id) or there.key_of(id)
    return known if known in keys else next(key for key in keys if key not in used)


def tell(
    tx: OpenTransaction, id: str, key: str, context: ToolContext[Any], result: Any
) -> Any:
    """Add a call and its output to a session; the result."""
    result = codec.document(result).value
    if _is_guarded(context):
        return result
    call, output = _items_of(context, result)
    items = [output] if _is_open(tx, id, context.tool_call_id) else [call, output]
    drafts = [
        {**draft, "metadata": {**draft.get("metadata", {}), _TOLD: key}}
        for draft in map(draft_of, items)
    ]
    begin(tx, id, drafts)
    return result


def add(
    tx: OpenTransaction, id: str, drafts: Sequence[Draft], ours: Collection[str]
) -> None:
    """Add items of the SDK; those that are told already now stand among them.

    `ours` are calls that this process has told. What others have said meanwhile comes
    behind; if that is still being said, all stays where it is. Raises `NotFound`.
    """
    tx.sessions.lock(id)
    theirs = {_said_in(draft["content"]) for draft in drafts} - {None}
    there = _since_told(tx, id, {*ours})
    stale = [m for m in there if _key_in(m) and _said_in(m.content) in theirs]
    others = [m for m in there if m.position > stale[0].position] if stale else []
    if not stale or any(message.partial for message in others):
        tx.sessions.extend(id, drafts)
        return
    tx.sessions.rewind(id, stale[0].position - 1)
    tx.sessions.extend(id, [*drafts, *(copied(m) for m in others if m not in stale)])


def outputs_in(drafts: Sequence[Draft]) -> list[str]:
    """The ids of the calls that items answer."""
    said = (_said_in(draft["content"]) for draft in drafts)
    return [one[1] for one in said if one is not None and one[0] == _OUTPUT]


def _backwards(tx: OpenTransaction, id: str) -> Iterator[Message]:
    """A session's messages, the newest first."""
    cursor = None
    for last in chain([1], repeat(_AT_ONCE)):
        page = tx.sessions.messages(id, last, cursor=cursor)
        yield from reversed(page)
        cursor = page.cursor
        if cursor is None:
            return


def _is_open(tx: OpenTransaction, id: str, call: str) -> bool:
    """Whether the SDK has added a call of this turn already, which was to be approved.

    A turn is calls and then outputs, which may be told in part.
    """
    with suppress(NotFound):
        among_calls = False
        for message in _backwards(tx, id):
            said = _said_in(message.content)
            if _key_in(message) is not None or said is None:
                if message.role == "user":
                    return False
                continue
            if said[1] == call or (among_calls and said[0] == _OUTPUT):
                return said == (_CALL, call)
            among_calls = said[0] == _CALL
    return False


def _since_told(tx: OpenTransaction, id: str, ours: set[str]) -> list[Message]:
    """The newest messages, as far back as calls may have been told."""
    found: list[Message] = []
    for message in islice(_backwards(tx, id), _LOOKED_AT):
        if _key_in(message) is None and not ours:
            break
        found.append(message)
        if (said := _said_in(message.content)) is not None and said[0] == _CALL:
            ours.discard(said[1])
    return found[::-1]


def _items_of(context: ToolContext[Any], result: Any) -> list[Draft]:
    """A call and its output, as the SDK adds them."""
    call = context.tool_call
    assert call is not None, "the SDK's runner says which call it is"
    asked = call.model_dump(exclude_unset=True, exclude=_OF_ITS_TURN)
    return [asked, dict(ItemHelpers.tool_call_output_item(call, result))]


def _plain(arguments: str) -> str:
    """Arguments as they are written, whatever a model puts between them."""
    try:
        said = msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return arguments
    return msgspec.json.encode(said, order="sorted").decode()


def _is_guarded(context: ToolContext[Any]) -> bool:
    """Whether somebody may yet change what the model is shown of a result."""
    tools = context.agent.tools if context.agent is not None else ()
    return any(
        tool.name == context.tool_name and getattr(tool, "tool_output_guardrails", None)
        for tool in tools
    )


def _key_in(message: Message) -> str | None:
    key = (message.metadata or {}).get(_TOLD)
    return key if isinstance(key, str) else None


def _said_in(content: object) -> tuple[str, str] | None:
    """Which call an item makes or answers."""
    match content:
        case {
            "type": ("function_call" | "function_call_output") as type,
            "call_id": id,
        }:
            return type, str(id)
    return None
