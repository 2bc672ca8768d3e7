"""The saver: LangGraph's checkpoints in a holdfast store.

    of LangGraph's                here
    thread                        a thread, and a session of the same id
    channel `messages`            the session's messages; each checkpoint has a mark
    other channels                values of the thread, each kept once
    checkpoint, writes            checkpoints and writes of the thread

Answers for: every method of `BaseCheckpointSaver`, sync and async, over either store.
Leaves to others: checkpoints as they are read (`reading`), what is done in one
transaction (`keeping`), how messages are kept (`talks`), how a value is (`values`).
Always holds: a checkpoint, its values and its messages are one transaction; what is
read is decoded as data only, unless a serializer of the user's own says otherwise.
"""

from collections.abc import (
    AsyncIterator,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast import Store
from holdfast.astore import AsyncStore
from holdfast.errors import HoldfastError
from holdfast.integrations import extra
from holdfast.integrations.langgraph import reading
from holdfast.integrations.langgraph.drafts import Drafts
from holdfast.integrations.langgraph.keeping import (
    MESSAGES,
    copy,
    delete,
    delete_runs,
    keep_checkpoint,
    pruning,
)
from holdfast.integrations.langgraph.reading import Steps
from holdfast.integrations.langgraph.talks import (
    Left,
    led_on,
    said_of,
)
from holdfast.integrations.langgraph.tools import Tools
from holdfast.integrations.langgraph.values import DataSerializer, kept
from holdfast.transaction import OpenTransaction

with extra("langgraph"):
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        WRITES_IDX_MAP,
        BaseCheckpointSaver,
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
        get_serializable_checkpoint_metadata,
    )
    from langgraph.checkpoint.serde.base import SerializerProtocol
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

if TYPE_CHECKING:  # since langgraph-checkpoint 4.1
    from langgraph.checkpoint.base import DeltaChannelHistory

R = TypeVar("R")
_APART = {"id", "channel_values"}
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
        return self._do(reading.get(self.serde, config))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `get_tuple`."""
        return await self._ado(reading.get(self.serde, config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, newest first, of one thread or of all; read page by page."""
        return islice(
            self._listed(config, reading.asked(config, filter, before)), limit
        )

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """As `list`."""
        asked = reading.asked(config, filter, before)
        for thread in await self._ado(reading.threads(config)):
            cursor = None
            while limit is None or limit > 0:
                found, cursor = await self._ado(
                    reading.page_of(self.serde, asked, thread, cursor)
                )
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
        return self._do(reading.history(self.serde, config, channels))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> "Mapping[str, DeltaChannelHistory]":
        """As `get_delta_channel_history`."""
        return await self._ado(reading.history(self.serde, config, channels))

    def get_next_version(self, current: Any, channel: None) -> Any:
        """Counts; goes on in the form that another saver has begun."""
        if isinstance(current, str):
            return f"{int(current.split('.')[0]) + 1:0{_VERSION_DIGITS}}"
        return 1 if current is None else int(current) + 1

    def _do(self, steps: Steps[R]) -> R:
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

    async def _ado(self, steps: Steps[R]) -> R:
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

    def _listed(
        self, config: RunnableConfig | None, asked: reading.Asked
    ) -> Iterator[CheckpointTuple]:
        for thread in self._do(reading.threads(config)):
            cursor = None
            while True:
                found, cursor = self._do(
                    reading.page_of(self.serde, asked, thread, cursor)
                )
                yield from found
                if cursor is None:
                    break

    def _put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
    ) -> Steps[RunnableConfig]:
        thread, ns, parent = reading.named(config)
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
        return reading.config_of(thread, ns, checkpoint["id"])

    def _put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task: str,
        path: str,
    ) -> Steps[None]:
        thread, ns, id = reading.named(config)
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

    def _change(self, work: Callable[..., object], *args: Any) -> Steps[None]:
        self._left.clear()
        self._tools.forget()
        yield lambda store: store.run(work, *args)

    def _pruned(
        self, work: Callable[[OpenTransaction, str], bool], thread: str
    ) -> Steps[None]:
        """Prune a thread, a part at a time, so that nobody waits for long."""
        more = True
        while more:
            self._left.clear()
            self._tools.forget()
            more = yield lambda store: store.run(work, thread)
