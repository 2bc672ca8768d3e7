"""Checkpoints of LangGraph's, as `HoldfastSaver` puts them, checked.

Answers for: what of a checkpoint becomes messages of a session, and what stays a value.
Leaves to others: reading checkpoints (`langgraph_steps`), taking them in
(`langgraph_threads`).
Always holds: only messages are decoded, each to one of LangChain's own classes, or by
LangGraph's serializer to nothing but what it knows; all other values stay as they were
written.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from holdfast.importers.langgraph_steps import Step, Value
from holdfast.integrations import extra
from holdfast.integrations.langgraph.keeping import MESSAGES
from holdfast.integrations.langgraph.talks import Said, said_of
from holdfast.integrations.langgraph.values import kept, value_of
from holdfast.kinds.thread_records import ChannelValue, Write, WriteDraft
from holdfast.kinds.threads import Threads
from holdfast.limits import Limits

with extra("langgraph"):
    from langchain_core.messages import messages_from_dict
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

_OPERATIONS = Threads.operations()


class _AsIs:
    """A serializer for what is serialized."""

    def dumps_typed(self, obj: Any) -> Value:
        """It is."""
        type, body = obj
        return type, body

    def loads_typed(self, data: Value) -> Value:
        """It stays so."""
        return data


_AS_IS = _AsIs()


class Writes(msgspec.Struct, frozen=True):
    """What one task wrote."""

    task: str
    path: str
    drafts: tuple[WriteDraft, ...]


class Draft(msgspec.Struct, frozen=True):
    """A checkpoint: as it was there, its messages, and what is put for it."""

    step: Step
    messages: tuple[Any, ...]
    said: Said | None
    put: dict[str, Any]
    writes: tuple[Writes, ...]


class Drafts:
    """Makes drafts of a thread's checkpoints, one after another."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._messages = _Messages()

    def of(self, step: Step) -> Draft:
        """A draft that may go in. Raises `BadInput`, with what is wrong."""
        messages, said = (), None
        if not step.ns and MESSAGES in step.values:
            messages, said = self._messages.of(step.values[MESSAGES])
        put = _put_of(step, with_messages=said is None)
        _OPERATIONS["put"].prepare((), put, self._limits)
        writes = tuple(_writes_of(step, self._limits))
        return Draft(step, messages, said, put, writes)


def value_in(found: ChannelValue | Write | WriteDraft) -> Value:
    """A value as a serializer wrote it."""
    value: Value = value_of(_AS_IS, found.type, found.body)
    return value


class _Constructed(msgspec.Struct, frozen=True):
    """A message as older versions have it in JSON; its type says what it is."""

    lc: Literal[1, 2]
    type: Literal["constructor"]
    kwargs: dict[str, Any]


class _Messages:
    """Reads the messages of a thread's checkpoints, each message once."""

    def __init__(self) -> None:
        self._serde = JsonPlusSerializer(allowed_msgpack_modules=None)
        self._known: dict[bytes, Any] = {}

    def of(self, value: Value) -> tuple[tuple[Any, ...], Said | None]:
        """The messages of a value, and as a session has them, if it can."""
        try:
            found = self._read(*value)
        except (ValueError, TypeError, KeyError):
            return (), None
        said = said_of(found)
        return (tuple(found), said) if said is not None else ((), None)

    def _read(self, type: str, body: bytes) -> list[Any]:
        if type == "msgpack":
            return self._each(msgspec.msgpack.decode(body, type=list[msgspec.Raw]))
        made = msgspec.json.decode(body, type=list[_Constructed])
        return messages_from_dict(
            [{"type": one.kwargs["type"], "data": one.kwargs} for one in made]
        )

    def _each(self, raws: Sequence[msgspec.Raw]) -> list[Any]:
        known, self._known = self._known, {}
        found = []
        for raw in raws:
            body = bytes(raw)
            message = known.get(body)
            if message is None:
                message = self._serde.loads_typed(("msgpack", body))
            self._known[body] = message
            found.append(message)
        return found


def _put_of(step: Step, *, with_messages: bool) -> dict[str, Any]:
    """A checkpoint as the saver puts it."""
    run = step.metadata.get("run_id")
    return {
        "checkpoint": step.id,
        "ns": step.ns,
        "parent": step.parent,
        "state": step.state,
        "values": {
            channel: kept(_AS_IS, value)
            for channel, value in step.values.items()
            if with_messages or channel != MESSAGES
        },
        "metadata": step.metadata,
        "run": None if run is None else str(run),
    }


def _writes_of(step: Step, limits: Limits) -> Iterator[Writes]:
    """What each task wrote, checked. Raises `BadInput`."""
    by_task: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in step.writes:
        draft = {"index": one.index, "channel": one.channel, **kept(_AS_IS, one.value)}
        by_task.setdefault((one.task, one.path), []).append(draft)
    for (task, path), drafts in by_task.items():
        given = {"task": task, "path": path, "writes": drafts, "ns": step.ns}
        _, checked = _OPERATIONS["put_writes"].prepare((), given, limits)
        yield Writes(task, path, checked["writes"])
