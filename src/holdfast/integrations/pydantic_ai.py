"""pydantic-ai: an agent's message history, kept as a session.

Answers for: `HoldfastHistory`, which gives and takes pydantic-ai's own messages; what a
tool does, done once.
Leaves to others: how a message is kept (`_pydantic_messages`), the session itself
(`_growing`).
Always holds: what one call adds is one transaction; what is there already is not added
again; a message comes back equal.
"""

from collections.abc import Callable, Sequence
from inspect import BoundArguments, Parameter
from typing import Any, get_origin

from holdfast.astore import AsyncStore
from holdfast.integrations import extra
from holdfast.integrations._growing import Growing, begin
from holdfast.integrations._once import (
    Call,
    Effect,
    adone,
    effect_of,
    key_of,
    tool_of,
)
from holdfast.integrations._pydantic_messages import (
    drafts_of,
    id_of,
    is_from,
    messages_of,
)
from holdfast.store import Store
from holdfast.transaction import OpenTransaction

with extra("pydantic-ai"):
    from pydantic_ai import ApprovalRequired, CallDeferred, RunContext
    from pydantic_ai.messages import ModelMessage, ModelResponse

__all__ = ["HoldfastHistory"]

_WAITS = ApprovalRequired, CallDeferred


class HoldfastHistory:
    """The messages of an agent's runs, on a store of either face, sync and async.

    `agent.run_sync(prompt, message_history=history.messages())`, and after it
    `history.extend(result.new_messages())`. The session begins with its first message.
    Messages that others have added to the session are read too.
    """

    def __init__(self, store: Store | AsyncStore, session_id: str) -> None:
        self.session_id = session_id
        self._session = Growing(store, session_id)
        self._store = store.aio if isinstance(store, Store) else store

    def messages(self) -> list[ModelMessage]:
        """Every message, oldest first."""
        return messages_of(self._session.messages())

    async def amessages(self) -> list[ModelMessage]:
        """Every message, oldest first, awaited."""
        return messages_of(await self._session.amessages())

    def extend(self, messages: Sequence[ModelMessage]) -> None:
        """Add messages at the end, all of them or none; what is there is left out.

        So it can be told of all messages of a run again and again, after each step of
        it. Raises `NotStorable`, `TooLarge`, `Held`.
        """
        self._session.extend(self._drafts(messages))

    async def aextend(self, messages: Sequence[ModelMessage]) -> None:
        """As `extend`, awaited."""
        await self._session.aextend(self._drafts(messages))

    def clear(self) -> None:
        """Take all messages off; the session stays. Raises `Held`."""
        self._session.clear()

    async def aclear(self) -> None:
        """As `clear`, awaited."""
        await self._session.aclear()

    def tool_once(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What a tool does, done once for each call in this history.

        It stands between `@agent.tool` and `def`. The first parameter of the function
        is `tx`, if what it does is in the store, or `key`, if it is outside; the model
        is not shown it. What the run has said so far, with the call, is added to the
        history in the same transaction, or before what is outside is done. Raises
        `WrongType` for another function.
        """
        effect = effect_of(function)

        async def call(context: RunContext[Any], given: BoundArguments) -> Any:
            key = key_of(effect.name, self.session_id, *_place_of(context))
            said = [m for m in context.messages if m.run_id == context.run_id]
            drafts = self._drafts(said)

            def ready(tx: OpenTransaction) -> None:
                begin(tx, self.session_id, drafts)

            made = Call(effect, key, given, ready, waits=_WAITS)
            return await adone(self._store, made)

        return tool_of(effect, call, _context_in(effect), awaited=True)

    def _drafts(self, messages: Sequence[ModelMessage]) -> list[dict[str, Any]]:
        return drafts_of([m for m in messages if not is_from(self.session_id, m)])


def _context_in(effect: Effect) -> Parameter:
    """By which parameter a tool gets its context: the user's, or one of ours."""
    kind = Parameter.POSITIONAL_OR_KEYWORD
    ours = Parameter("context", kind, annotation=RunContext[Any])
    first = next(iter(effect.takes.parameters.values()), ours)
    annotation = get_origin(first.annotation) or first.annotation
    return first if annotation is RunContext else ours


def _place_of(context: RunContext[Any]) -> tuple[str, str]:
    """Where a call stands: the response that makes it, and the id that it has there."""
    id = context.tool_call_id
    made = next(m for m in reversed(context.messages) if id in _calls_in(m))
    return id_of(made), str(id)


def _calls_in(message: ModelMessage) -> list[str]:
    if not isinstance(message, ModelResponse):
        return []
    return [part.tool_call_id for part in message.tool_calls]
