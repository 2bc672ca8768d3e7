"""Reading: checkpoints as LangGraph has them, of what the store has.

Answers for: which checkpoint a config names, one of them or a page, with the values of
its channels and its messages.
Leaves to others: asking a store, sync or async (`saver`), how a value is (`values`).
Always holds: a checkpoint and the first of its messages are read at one moment.
"""

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import msgspec

from holdfast import Message
from holdfast.errors import NotFound
from holdfast.integrations import extra
from holdfast.integrations.langgraph.keeping import MARK
from holdfast.integrations.langgraph.talks import messages_in
from holdfast.integrations.langgraph.values import value_of
from holdfast.kinds.thread_records import ChannelValue
from holdfast.kinds.thread_records import Checkpoint as Kept
from holdfast.page import Page
from holdfast.transaction import OpenTransaction

with extra("langgraph"):
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
        get_checkpoint_id,
    )
    from langgraph.checkpoint.serde.base import SerializerProtocol

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

    # since langgraph-checkpoint 4.1
    from langgraph.checkpoint.base import DeltaChannelHistory

R = TypeVar("R")
Steps: TypeAlias = Generator[Callable[[Any], Any], Any, R]
"""Calls of a store, sync or async; each is given its answer."""
Found: TypeAlias = tuple[list[CheckpointTuple], str | None]
"""Some checkpoints, and the cursor that leads on."""
_MESSAGES_AT_ONCE = 200


class Asked(msgspec.Struct, frozen=True):
    """Which checkpoints of a thread are to be listed."""

    ns: str | None
    id: str | None
    before: str | None
    where: dict[str, Any] | None

    def fits(self, found: CheckpointTuple) -> bool:
        """Whether one that is named by its id is what was asked for."""
        before = self.before is None or found.checkpoint["id"] < self.before
        has = dict(found.metadata)
        return before and all(
            key in has and has[key] == value
            for key, value in (self.where or {}).items()
        )


def asked(
    config: RunnableConfig | None,
    where: dict[str, Any] | None,
    before: RunnableConfig | None,
) -> Asked:
    """What `list` was asked for."""
    return Asked(
        ns=config["configurable"].get("checkpoint_ns") if config else None,
        id=get_checkpoint_id(config) if config else None,
        before=get_checkpoint_id(before) if before else None,
        where=where,
    )


def named(config: RunnableConfig) -> tuple[str, str, str | None]:
    """The thread, the namespace and the checkpoint that a config names."""
    configurable = config["configurable"]
    ns = configurable.get("checkpoint_ns", "")
    return str(configurable["thread_id"]), ns, get_checkpoint_id(config)


def config_of(thread: str, ns: str, id: str) -> RunnableConfig:
    """The config that names a checkpoint."""
    place = {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": id}
    return {"configurable": place}


def threads(config: RunnableConfig | None) -> Steps[list[str]]:
    """The threads that a config names: its own, or all of them."""
    if config is not None:
        return [named(config)[0]]
    found: list[str] = []
    cursor = None
    while True:
        page = yield lambda store: store.threads.list(cursor=cursor)
        found += [thread.id for thread in page]
        if (cursor := page.cursor) is None:
            return found


def page_of(
    serde: SerializerProtocol, asked: Asked, thread: str, cursor: str | None
) -> Steps[Found]:
    """Some checkpoints of a thread, and the cursor that leads on."""
    if asked.id is not None and asked.ns is not None:
        one = yield from get(serde, config_of(thread, asked.ns, asked.id))
        found = [one] if one is not None and asked.fits(one) else []
        return found, None
    try:
        page = yield lambda store: store.threads.checkpoints(
            thread,
            ns=asked.ns,
            before=asked.before,
            where=asked.where,
            cursor=cursor,
        )
    except NotFound:
        return [], None
    tuples = []
    for checkpoint in page:
        if asked.id in {None, checkpoint.id}:
            try:
                tuples.append((yield from _tuple(serde, checkpoint)))
            except NotFound:
                continue
    return tuples, page.cursor


def get(
    serde: SerializerProtocol, config: RunnableConfig
) -> Steps[CheckpointTuple | None]:
    """The checkpoint that a config names, or the newest; None if there is none."""
    thread, ns, id = named(config)
    try:
        found, said = yield lambda store: store.read(_look, thread, id, ns)
        return (yield from _tuple(serde, found, said))
    except NotFound:
        return None


def _look(
    tx: OpenTransaction, thread: str, id: str | None, ns: str
) -> tuple[Kept, Page[Message] | None]:
    """A checkpoint, and the first of its messages."""
    found = tx.threads.checkpoint(thread, id, ns=ns)
    if found.note is None:
        return found, None
    return found, tx.sessions.marked(found.note, limit=_MESSAGES_AT_ONCE)


def _tuple(
    serde: SerializerProtocol, found: Kept, said: Page[Message] | None = None
) -> Steps[CheckpointTuple]:
    """A checkpoint as LangGraph has it. `NotFound` if its messages are gone.

    `said` are the first of these, if they were read already.
    """
    values = {}
    for channel, value in found.values.items():
        values[channel] = yield from _value(serde, found, value, said)
    place = (found.thread, found.ns)
    return CheckpointTuple(
        config=config_of(*place, found.id),
        checkpoint=cast(
            "Checkpoint",
            {**found.state, "id": found.id, "channel_values": values},
        ),
        metadata=cast("CheckpointMetadata", found.metadata),
        parent_config=config_of(*place, found.parent) if found.parent else None,
        pending_writes=[
            (write.task, write.channel, value_of(serde, write.type, write.body))
            for write in found.writes
        ],
    )


def _value(
    serde: SerializerProtocol,
    of: Kept,
    value: ChannelValue,
    said: Page[Message] | None = None,
) -> Steps[Any]:
    """The value of a channel; the messages that a mark stands for."""
    if value.type != MARK:
        return value_of(serde, value.type, value.body)
    messages: list[BaseMessage] = []
    cursor = None
    while True:
        page = said or (
            yield lambda store: store.sessions.marked(
                of.note, limit=_MESSAGES_AT_ONCE, cursor=cursor
            )
        )
        messages += messages_in(page)
        said = None
        if (cursor := page.cursor) is None:
            return messages


def history(
    serde: SerializerProtocol, config: RunnableConfig, channels: Sequence[str]
) -> "Steps[dict[str, DeltaChannelHistory]]":
    """What was written to some channels, back to the last value of each."""
    found: dict[str, DeltaChannelHistory] = {name: {"writes": []} for name in channels}
    if not found:
        return found
    thread, ns, id = named(config)
    try:
        if id is None:
            newest = yield lambda store: store.threads.checkpoint(thread, ns=ns)
            id = newest.id
        line = yield lambda store: store.threads.ancestry(
            thread, id, list(found), ns=ns
        )
    except NotFound:
        return found
    for name, before in found.items():
        for checkpoint in line:
            before["writes"][:0] = [
                (write.task, name, value_of(serde, write.type, write.body))
                for write in checkpoint.writes
                if write.channel == name
            ]
            if name in checkpoint.values:
                seed = checkpoint.values[name]
                before["seed"] = yield from _value(serde, checkpoint, seed)
                break
    return found
