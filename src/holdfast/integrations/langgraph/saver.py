"""The saver: LangGraph's checkpoints in a holdfast store.

    of LangGraph's                here
    thread                        a thread, and a session of the same id
    channel `messages`            the session's messages; each checkpoint has a mark
    other channels                values of the thread, each kept once
    checkpoint, writes            checkpoints and writes of the thread

Answers for: every method of `BaseCheckpointSaver`, sync and async, over either store.
Leaves to others: what is done in one transaction (`keeping`), how messages are kept
(`talks`), how a value is (`values`).
Always holds: a checkpoint, its values and its messages are one transaction; what is
read is decoded as data only, unless a serializer of the user's own says otherwise.
"""

from collections.abc import (
    AsyncIterator,
    Callable,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import msgspec

from holdfast import Message, Store
from holdfast.astore import AsyncStore
from holdfast.errors import HoldfastError, NotFound
from holdfast.integrations import extra
from holdfast.integrations.langgraph.drafts import Drafts
from holdfast.integrations.langgraph.keeping import (
    MARK,
    MESSAGES,
    copy,
    delete,
    delete_runs,
    keep_checkpoint,
    pruning,
)
from holdfast.integrations.langgraph.talks import (
    Left,
    led_on,
    messages_in,
    said_of,
)
from holdfast.integrations.langgraph.tools import Tools
from holdfast.integrations.langgraph.values import DataSerializer, kept, value_of
from holdfast.kinds.thread_records import ChannelValue, Write
from holdfast.kinds.thread_records import Checkpoint as Kept
from holdfast.page import Page
from holdfast.transaction import OpenTransaction

with extra("langgraph"):
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        WRITES_IDX_MAP,
        BaseCheckpointSaver,
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
        get_checkpoint_id,
        get_serializable_checkpoint_metadata,
    )
    from langgraph.checkpoint.serde.base import SerializerProtocol
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

if TYPE_CHECKING:  # since langgraph-checkpoint 4.1
    from langgraph.checkpoint.base import DeltaChannelHistory

R = TypeVar("R")
_Ask: TypeAlias = Callable[[Any], Any]
_Steps: TypeAlias = Generator[_Ask, Any, R]
"""Calls of a store, sync or async; each is given its answer."""
_Names: TypeAlias = list[str]
_Messages: TypeAlias = list[BaseMessage]
_Page: TypeAlias = tuple[list[CheckpointTuple], str | None]
_APART = {"id", "channel_values"}
_MESSAGES_AT_ONCE = 200
_REMEMBERED = 256
_VERSION_DIGITS = 32


class HoldfastSaver(BaseCheckpointSaver[Any]):
    """Keeps checkpoints in a store, and a thread's messages as those of a session.

    Takes a `Store` or an `AsyncStore`, and has every method sync and async. What is
    read is decoded as data: classes beyond LangGraph's own known ones come back only
    if the graph's schema names them, or `serde` allows them.
    """

    def __init__(
        self, store: Store | AsyncStore, *, serde: SerializerProtocol | None = None
    ) -> None:
        super().__init__(serde=serde or DataSerializer(allowed_msgpack_modules=None))
        self._store = store if isinstance(store, Store) else store.sync
        self._astore = store.aio if isinstance(store, Store) else store
        self._left: dict[str, Left] = {}
        self._drafts = Drafts()
        self._tools = Tools(self._store, self._astore, self.serde)

    def tool_once(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A tool each of whose calls counts once, however often it is made.

        Put it under LangChain's `@tool`. What the function takes first, which no model
        sees, says where its effect is. `tx`: in the store; it is committed together
        with the result and its message. `key`: outside; it is called, awaited if it
        is a coroutine function, with a key that is the same at each try, until its
        result is kept in the task of that id. Raises `WrongType`, `InvalidId` (its
        name); when it is called, `Refused`, if its call stands in no checkpoint.
        """
        return self._tools.once(function)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """A checkpoint, by its id or the newest; None if there is none."""
        return self._do(self._get(config))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `get_tuple`."""
        return await self._ado(self._get(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, newest first, of one thread or of all; read page by page."""
        return islice(self._listed(config, _asked(config, filter, before)), limit)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """As `list`."""
        asked = _asked(config, filter, before)
        for thread in await self._ado(self._threads(config)):
            cursor = None
            while limit is None or limit > 0:
                found, cursor = await self._ado(self._page(asked, thread, cursor))
                for one in found[:limit]:
                    yield one
                limit = None if limit is None else limit - len(found)
                if cursor is None:
                    break

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep a checkpoint; the config that leads to it."""
        return self._do(self._put(config, checkpoint, metadata))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As `put`."""
        return await self._ado(self._put(config, checkpoint, metadata))

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Keep what a task wrote after a checkpoint."""
        self._do(self._put_writes(config, writes, task_id, task_path))

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """As `put_writes`."""
        await self._ado(self._put_writes(config, writes, task_id, task_path))

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread; also its session, if that was begun by a saver."""
        self._do(self._change(delete, str(thread_id)))

    async def adelete_thread(self, thread_id: str) -> None:
        """As `delete_thread`."""
        await self._ado(self._change(delete, str(thread_id)))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints of some runs."""
        self._do(self._change(delete_runs, [str(run) for run in run_ids]))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """As `delete_for_runs`."""
        await self._ado(self._change(delete_runs, [str(run) for run in run_ids]))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread whole; its messages are shared, as by a fork.

        Raises `AlreadyExists` (the thread to copy to).
        """
        self._do(self._change(copy, str(source_thread_id), str(target_thread_id)))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """As `copy_thread`."""
        await self._ado(
            self._change(copy, str(source_thread_id), str(target_thread_id))
        )

    def prune(
        self, thread_ids: Sequence[str], *, strategy: str = "keep_latest"
    ) -> None:
        """Keep the newest checkpoint of each namespace, and what it is made from.

        With the strategy `delete`, delete the threads.
        """
        for id in map(str, thread_ids):
            self._do(self._pruned(pruning(strategy), id))

    async def aprune(
        self, thread_ids: Sequence[str], *, strategy: str = "keep_latest"
    ) -> None:
        """As `prune`."""
        for id in map(str, thread_ids):
            await self._ado(self._pruned(pruning(strategy), id))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> "Mapping[str, DeltaChannelHistory]":
        """What led to channels' values: one from before, and the writes since."""
        return self._do(self._history(config, channels))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> "Mapping[str, DeltaChannelHistory]":
        """As `get_delta_channel_history`."""
        return await self._ado(self._history(config, channels))

    def get_next_version(self, current: Any, channel: None) -> Any:
        """Counts; goes on in the form that another saver has begun."""
        if isinstance(current, str):
            return f"{int(current.split('.')[0]) + 1:0{_VERSION_DIGITS}}"
        return 1 if current is None else int(current) + 1

    def _do(self, steps: _Steps[R]) -> R:
        try:
            ask = next(steps)
            while True:
                try:
                    answer = ask(self._store)
                except HoldfastError as error:
                    ask = steps.throw(error)
                else:
                    ask = steps.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    async def _ado(self, steps: _Steps[R]) -> R:
        try:
            ask = next(steps)
            while True:
                try:
                    answer = await ask(self._astore)
                except HoldfastError as error:
                    ask = steps.throw(error)
                else:
                    ask = steps.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _get(self, config: RunnableConfig) -> _Steps[CheckpointTuple | None]:
        thread, ns, id = _named(config)
        try:
            found, said = yield lambda store: store.read(_look, thread, id, ns)
            return (yield from self._tuple(found, said))
        except NotFound:
            return None

    def _listed(
        self, config: RunnableConfig | None, asked: "_Asked"
    ) -> Iterator[CheckpointTuple]:
        for thread in self._do(self._threads(config)):
            cursor = None
            while True:
                found, cursor = self._do(self._page(asked, thread, cursor))
                yield from found
                if cursor is None:
                    break

    def _put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
    ) -> _Steps[RunnableConfig]:
        thread, ns, parent = _named(config)
        channels = dict(checkpoint["channel_values"])
        said = None
        if not ns and isinstance(self.serde, JsonPlusSerializer):
            said = said_of(channels.get(MESSAGES), self._drafts.of)
        if said is not None and said.drafts:
            del channels[MESSAGES]
        values = {name: kept(self.serde, value) for name, value in channels.items()}
        about = get_serializable_checkpoint_metadata(config, metadata)
        put = {
            "checkpoint": checkpoint["id"],
            "ns": ns,
            "parent": parent,
            "state": {k: v for k, v in checkpoint.items() if k not in _APART},
            "values": values,
            "metadata": dict(about),
            "run": str(about["run_id"]) if "run_id" in about else None,
        }
        left = self._left.pop(thread, None) if said is not None else None
        if left is not None:
            left = led_on(left, self._tools.answers_in(thread))
        left = yield lambda store: store.run(keep_checkpoint, thread, put, said, left)
        self._tools.kept(thread, ns, checkpoint["id"])
        if left is not None:
            self._left[thread] = left
            while len(self._left) > _REMEMBERED:
                self._left.pop(next(iter(self._left)), None)
        return _config(thread, ns, checkpoint["id"])

    def _put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task: str,
        path: str,
    ) -> _Steps[None]:
        thread, ns, id = _named(config)
        drafts = [
            {
                "index": WRITES_IDX_MAP.get(channel, index),
                "channel": channel,
                **kept(self.serde, value),
            }
            for index, (channel, value) in enumerate(writes)
        ]
        yield lambda store: store.threads.put_writes(
            thread, id, task, drafts, ns=ns, path=path
        )

    def _change(self, work: Callable[..., object], *args: Any) -> _Steps[None]:
        self._left.clear()
        self._tools.forget()
        yield lambda store: store.run(work, *args)

    def _pruned(
        self, work: Callable[[OpenTransaction, str], bool], thread: str
    ) -> _Steps[None]:
        """Prune a thread, a part at a time, so that nobody waits for long."""
        more = True
        while more:
            self._left.clear()
            self._tools.forget()
            more = yield lambda store: store.run(work, thread)

    def _threads(self, config: RunnableConfig | None) -> _Steps[_Names]:
        """The threads that a config names: its own, or all of them."""
        if config is not None:
            return [_named(config)[0]]
        found: _Names = []
        cursor = None
        while True:
            page = yield lambda store: store.threads.list(cursor=cursor)
            found += [thread.id for thread in page]
            if (cursor := page.cursor) is None:
                return found

    def _page(self, asked: "_Asked", thread: str, cursor: str | None) -> _Steps[_Page]:
        """Some checkpoints of a thread, and the cursor that leads on."""
        if asked.id is not None and asked.ns is not None:
            one = yield from self._get(_config(thread, asked.ns, asked.id))
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
                    tuples.append((yield from self._tuple(checkpoint)))
                except NotFound:
                    continue
        return tuples, page.cursor

    def _tuple(
        self, found: Kept, said: Page[Message] | None = None
    ) -> _Steps[CheckpointTuple]:
        """A checkpoint as LangGraph has it. `NotFound` if its messages are gone.

        `said` are the first of these, if they were read already.
        """
        values = {}
        for channel, value in found.values.items():
            values[channel] = yield from self._value(found, value, said)
        place = (found.thread, found.ns)
        return CheckpointTuple(
            config=_config(*place, found.id),
            checkpoint=cast(
                "Checkpoint",
                {**found.state, "id": found.id, "channel_values": values},
            ),
            metadata=cast("CheckpointMetadata", found.metadata),
            parent_config=_config(*place, found.parent) if found.parent else None,
            pending_writes=[
                (write.task, write.channel, self._read(write)) for write in found.writes
            ],
        )

    def _value(
        self, of: Kept, value: ChannelValue, said: Page[Message] | None = None
    ) -> _Steps[Any]:
        if value.type != MARK:
            return self._read(value)
        messages: _Messages = []
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

    def _read(self, value: ChannelValue | Write) -> Any:
        return value_of(self.serde, value.type, value.body)

    def _history(
        self, config: RunnableConfig, channels: Sequence[str]
    ) -> "_Steps[dict[str, DeltaChannelHistory]]":
        found: dict[str, DeltaChannelHistory] = {
            name: {"writes": []} for name in channels
        }
        if not found:
            return found
        thread, ns, id = _named(config)
        try:
            if id is None:
                newest = yield lambda store: store.threads.checkpoint(thread, ns=ns)
                id = newest.id
            line = yield lambda store: store.threads.ancestry(
                thread, id, list(found), ns=ns
            )
        except NotFound:
            return found
        for name, history in found.items():
            for checkpoint in line:
                history["writes"][:0] = [
                    (write.task, name, self._read(write))
                    for write in checkpoint.writes
                    if write.channel == name
                ]
                if name in checkpoint.values:
                    seed = checkpoint.values[name]
                    history["seed"] = yield from self._value(checkpoint, seed)
                    break
        return found


class _Asked(msgspec.Struct, frozen=True):
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


def _asked(
    config: RunnableConfig | None,
    where: dict[str, Any] | None,
    before: RunnableConfig | None,
) -> _Asked:
    return _Asked(
        ns=config["configurable"].get("checkpoint_ns") if config else None,
        id=get_checkpoint_id(config) if config else None,
        before=get_checkpoint_id(before) if before else None,
        where=where,
    )


def _named(config: RunnableConfig) -> tuple[str, str, str | None]:
    """The thread, the namespace and the checkpoint that a config names."""
    configurable = config["configurable"]
    ns = configurable.get("checkpoint_ns", "")
    return str(configurable["thread_id"]), ns, get_checkpoint_id(config)


def _config(thread: str, ns: str, id: str) -> RunnableConfig:
    named = {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": id}
    return {"configurable": named}


def _look(
    tx: OpenTransaction, thread: str, id: str | None, ns: str
) -> tuple[Kept, Page[Message] | None]:
    """A checkpoint, and the first of its messages."""
    found = tx.threads.checkpoint(thread, id, ns=ns)
    if found.note is None:
        return found, None
    return found, tx.sessions.marked(found.note, limit=_MESSAGES_AT_ONCE)
