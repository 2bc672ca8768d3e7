"""Tools: what a graph's tool does, done once, and its answer in the conversation.

A call is known by where it stands: thread, namespace, checkpoint, the call's own id. A
graph that resumes begins at the newest checkpoint that was kept, and makes the calls
that stand in it again: the same ones, under the same keys.

Answers for: `tool_once`; that a tool does nothing before the checkpoint that its call
stands in is kept (LangGraph writes it while the tool runs already).
Leaves to others: running something once (`_once`), the conversation (`talks`).
Always holds: a tool's effect, its result and its message are one transaction; what a
tool gives when it runs is what it gives when it is called again.
"""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from inspect import BoundArguments, Parameter
from typing import Annotated, Any

import msgspec

from holdfast import Store, codec
from holdfast.astore import AsyncStore
from holdfast.errors import BadInput, NotFound, Refused
from holdfast.integrations import _once, extra
from holdfast.integrations._once import Call, Effect
from holdfast.integrations.langgraph.talks import Answer, answer
from holdfast.integrations.langgraph.values import kept as packed
from holdfast.integrations.langgraph.values import value_of
from holdfast.transaction import OpenTransaction

with extra("langgraph"):
    from langchain_core.messages import ToolMessage
    from langchain_core.tools import InjectedToolArg, InjectedToolCallId
    from langgraph.checkpoint.serde.base import SerializerProtocol
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
    from langgraph.config import get_config
    from langgraph.errors import GraphBubbleUp

_CALL = Parameter(
    "tool_call_id",
    Parameter.KEYWORD_ONLY,
    annotation=Annotated[str, InjectedToolCallId],
)
_SAVER, _DURABILITY = "__pregel_checkpointer", "__pregel_durability"
_APART = "|"
_FIRST_PAUSE_SECONDS, _PAUSE_SECONDS = 0.001, 0.05
_PAUSES = 200
_REMEMBERED = 256


class _NotYet(Exception):
    """The checkpoint that a call stands in is not kept yet."""


class _Place(msgspec.Struct, frozen=True):
    """Where a call stands: a thread, and the checkpoints that led to it, by namespace.

    The last of them is the one with the call.
    """

    thread: str
    checkpoints: tuple[tuple[str, str], ...]
    call: str

    @property
    def outermost(self) -> bool:
        """Whether it is the graph whose messages are kept as a session."""
        return len(self.checkpoints) == 1

    def key(self, name: str) -> str:
        """The key of a tool's call there."""
        return _once.key_of(name, self.thread, *self.checkpoints[-1], self.call)


class Tools:
    """Makes tools of functions, each of whose calls counts once."""

    def __init__(
        self, store: Store, astore: AsyncStore, serde: SerializerProtocol
    ) -> None:
        self._store = store
        self._astore = astore
        self._serde = serde
        self._answers: OrderedDict[str, dict[int, ToolMessage]] = OrderedDict()
        self._kept: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    def once(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The tool of a function. Raises `WrongType`, `InvalidId` (its name)."""
        effect = _once.effect_of(function)

        def call(id: str, given: BoundArguments) -> Any:
            return self._done(self._answering(effect, id, given))

        async def acall(id: str, given: BoundArguments) -> Any:
            return await self._adone(self._answering(effect, id, given))

        run = acall if effect.awaited else call
        return _once.tool_of(effect, run, _CALL, awaited=effect.awaited)

    def kept(self, thread: str, ns: str, id: str) -> None:
        """Know that a checkpoint is kept, which then need not be looked for."""
        self._kept[thread, ns, id] = None
        _let_go(self._kept)

    def answers_in(self, thread: str) -> dict[int, ToolMessage]:
        """What tools have added to a thread's session since this was last asked.

        Each answer is under the version at which it was added.
        """
        return self._answers.pop(thread, {})

    def forget(self) -> None:
        """Forget what is known of threads and sessions: they were changed otherwise."""
        self._answers.clear()
        self._kept.clear()

    def _answering(
        self, effect: Effect, id: str, given: BoundArguments
    ) -> "_Answering":
        place = _place(id)
        return _Answering(
            effect, place, given, self._serde, partial(self._ready, place)
        )

    def _ready(self, place: _Place, tx: OpenTransaction) -> None:
        """Raise if a checkpoint is missing, without which a call would not stand."""
        try:
            for ns, id in place.checkpoints:
                if (place.thread, ns, id) not in self._kept:
                    tx.threads.checkpoint(place.thread, id, ns=ns)
        except NotFound:
            raise _NotYet from None

    def _done(self, answering: "_Answering") -> Any:
        for pause in _pauses():
            try:
                result = _once.done(self._store, answering.call)
            except _NotYet:
                if _in_a_loop():
                    raise Refused(
                        "a tool was invoked in the event loop's own thread, where the "
                        "checkpoint that it waits for cannot be kept; nothing was "
                        "done: await its ainvoke"
                    ) from None
                time.sleep(pause)
            else:
                return self._answered(answering, result)
        raise _never()

    async def _adone(self, answering: "_Answering") -> Any:
        for pause in _pauses():
            try:
                result = await _once.adone(self._astore, answering.call)
            except _NotYet:
                await asyncio.sleep(pause)
            else:
                return self._answered(answering, result)
        raise _never()

    def _answered(self, answering: "_Answering", kept: dict[str, Any]) -> Any:
        """What a tool gives: its message if that was added, else its result."""
        result = answering.decoded(kept)
        if kept["answer"] is None:
            return result
        said = Answer(**kept["answer"])
        message = answering.message(result, said.name)
        self._answers.setdefault(answering.place.thread, {})[said.version] = message
        _let_go(self._answers)
        return message


class _Answering:
    """One call of a tool: what is kept of its result, and said of it."""

    def __init__(
        self,
        effect: Effect,
        place: _Place,
        given: BoundArguments,
        serde: SerializerProtocol,
        ready: Callable[[OpenTransaction], None],
    ) -> None:
        self.place = place
        self._serde = serde
        self._open = isinstance(serde, JsonPlusSerializer)
        self.call = Call(
            effect,
            place.key(effect.name),
            given,
            ready=ready,
            keep=self._keep,
            shown=_chosen(effect) if self._open else (),
            waits=(GraphBubbleUp,),
        )

    def _keep(self, tx: OpenTransaction, result: Any) -> dict[str, Any]:
        kept = self._encoded(result)
        added = None
        place = self.place
        if place.outermost and "result" in kept and not isinstance(result, list):
            said = answer(tx, place.thread, place.call, partial(self.message, result))
            added = said and msgspec.structs.asdict(said)
        return {**kept, "answer": added}

    def message(self, result: Any, name: str) -> ToolMessage:
        """The answer as LangChain would make it, but with an id of its own."""
        text = result
        if not isinstance(result, str):
            text = json.dumps(result, ensure_ascii=False)
        return ToolMessage(
            text, name=name, tool_call_id=self.place.call, id=self.call.key
        )

    def _encoded(self, result: Any) -> dict[str, Any]:
        """A result as it is kept: as JSON, or as LangGraph's serializer packs it.

        That would make a list of a tuple, by which a tool gives text and artifact.
        """
        if type(result) is tuple:
            return {"tuple": [self._encoded(part) for part in result]}
        if self._open and _is_json(result):
            return {"result": result}
        return {"packed": packed(self._serde, result)}

    def decoded(self, kept: dict[str, Any]) -> Any:
        """A result, of what was kept of it."""
        match kept:
            case {"tuple": parts}:
                return tuple(map(self.decoded, parts))
            case {"packed": body}:
                return value_of(self._serde, **body)
        return kept["result"]


def _let_go(known: OrderedDict[Any, Any]) -> None:
    """Let go of the oldest of what is remembered, if that is much."""
    while len(known) > _REMEMBERED:
        known.popitem(last=False)


def _chosen(effect: Effect) -> list[str]:
    """What of a tool's parameters a model gives, and not LangGraph."""
    return [
        parameter.name
        for parameter in effect.takes.parameters.values()
        if not any(map(_injects, getattr(parameter.annotation, "__metadata__", ())))
    ]


def _injects(said: object) -> bool:
    form = said if isinstance(said, type) else type(said)
    return issubclass(form, InjectedToolArg)


def _is_json(value: Any) -> bool:
    try:
        found = codec.document(value).value
    except BadInput:
        return False
    return type(found) is type(value) and bool(found == value)


def _place(call: str) -> _Place:
    """Where the call stands that is being made. Raises `Refused`."""
    try:
        configured = get_config()["configurable"]
        thread, known = configured["thread_id"], configured["checkpoint_map"]
        spaces = _ancestors(configured["checkpoint_ns"])
        there = tuple((space, known[space]) for space in spaces)
    except (RuntimeError, KeyError):
        raise Refused(
            "a tool that runs once was called outside of a graph's thread; nothing was "
            "done: it needs a graph that is compiled with this saver, and a thread_id"
        ) from None
    if not configured.get(_SAVER):
        raise Refused(
            "a tool that runs once was called in a graph without a checkpointer; "
            "nothing was done: compile the graph with this saver"
        )
    if configured.get(_DURABILITY) == "exit":
        raise Refused(
            'a tool that runs once was called in a run with durability="exit", which '
            "keeps no checkpoint that its call could stand in; nothing was done: use "
            '"async" or "sync"'
        )
    return _Place(str(thread), there, call)


def _ancestors(ns: str) -> Iterator[str]:
    """The namespaces that one stands in, the outermost first."""
    parts = ns.split(_APART)
    for count in range(len(parts)):
        yield _APART.join(parts[:count])


def _pauses() -> Iterator[float]:
    pause = _FIRST_PAUSE_SECONDS
    for _ in range(_PAUSES):
        yield pause
        pause = min(2 * pause, _PAUSE_SECONDS)


def _never() -> Refused:
    return Refused(
        "the checkpoint that a tool's call stands in was not kept; nothing was done: "
        "the graph, and each subgraph around the tool, has to have this saver"
    )


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
