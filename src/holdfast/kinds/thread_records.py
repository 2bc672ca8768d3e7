"""What a thread, a checkpoint and a write are: their records, and what is checked.

Answers for: the records, reading them from rows, checking values and writes.
Leaves to others: everything that is done with them (`threads`).
Always holds: what a value says is text, which nothing here looks into.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import msgspec

from holdfast import codec, edges
from holdfast.clock import to_datetime
from holdfast.edges import Edge
from holdfast.engine import Row
from holdfast.errors import NotStorable, TooLarge, WrongType
from holdfast.limits import Limits, hold

_INDEXED_BYTES = 1_800
"""Beside an id of 200 characters, what an index of PostgreSQL's can hold."""
_WRITTEN = {"index", "channel", "type", "body"}


class Thread(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of steps goes on in, by whatever name its framework has for it."""

    id: str
    owner: str
    created_at: datetime


class ChannelValue(msgspec.Struct, frozen=True):
    """A channel's value: text, and how whoever wrote it reads it."""

    type: str
    body: str


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """What a task wrote to a channel after a checkpoint, for the next one."""

    task: str
    index: int
    path: str
    channel: str
    type: str
    body: str


class WriteDraft(msgspec.Struct, frozen=True):
    """A write that was checked and is still to be kept."""

    index: int
    channel: str
    type: str
    body: str


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a thread had come to after a step; `parent` is the one before it."""

    thread: str
    ns: str
    id: str
    parent: str | None
    run: str | None
    state: Any
    values: dict[str, ChannelValue]
    metadata: dict[str, Any]
    note: str | None
    created_at: datetime
    writes: tuple[Write, ...] = ()


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """How many checkpoints went, and the notes that no other one of theirs has.

    `more` if a limit left something that is still to be deleted.
    """

    checkpoints: int
    notes: tuple[str, ...]
    more: bool = False


def _value_of(value: object, name: str, limits: Limits) -> ChannelValue:
    if type(value) is ChannelValue:
        value = {"type": value.type, "body": value.body}
    if not isinstance(value, dict) or value.keys() != {"type", "body"}:
        raise edges.wrong_type(name, "a dict of type and body", value)
    return ChannelValue(
        edges.text_of(value["type"], f"{name}.type", limits),
        _body_of(value["body"], f"{name}.body", limits),
    )


def _body_of(value: object, name: str, limits: Limits) -> str:
    if not isinstance(value, str):
        raise edges.wrong_type(name, "text", value)
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise NotStorable(f"{name}: text with a lone surrogate") from None
    if "\x00" in value:
        raise NotStorable(f"{name}: text with a NUL character")
    hold(size, limits.value_bytes, name, "value_bytes")
    return value


def _indexed(value: object, name: str, limits: Limits) -> str:
    """A text that rows are found by."""
    text = edges.text_of(value, name, limits)
    size = len(text.encode())
    if size > _INDEXED_BYTES:
        raise TooLarge(
            f"{name}: it has at most {_INDEXED_BYTES:,} bytes, not {size:,}; nothing "
            "was written"
        )
    return text


def _values(value: object, name: str, limits: Limits) -> dict[str, ChannelValue]:
    if not isinstance(value, dict):
        raise edges.wrong_type(name, "a dict of values by their channels", value)
    return {
        edges.text_of(channel, f"{name}: a channel", limits): _value_of(
            found, f"{name}[{channel!r}]", limits
        )
        for channel, found in value.items()
    }


def _writes(value: object, name: str, limits: Limits) -> tuple[WriteDraft, ...]:
    writes = []
    for place, item in enumerate(_listed(value, name, limits)):
        if type(item) is WriteDraft:
            writes.append(item)
            continue
        if not isinstance(item, dict) or item.keys() != _WRITTEN:
            raise WrongType(f"{name}[{place}]: a dict of {sorted(_WRITTEN)} is wanted")
        of = f"{name}[{place}]"
        found = _value_of({key: item[key] for key in ("type", "body")}, of, limits)
        index = edges.check_for(int)(item["index"], f"{of}.index", limits)
        channel = edges.text_of(item["channel"], f"{of}.channel", limits)
        writes.append(WriteDraft(index, channel, found.type, found.body))
    return tuple(writes)


def _listed(value: object, name: str, limits: Limits) -> list[Any]:
    if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
        raise edges.wrong_type(name, "a list", value)
    found = list(value)
    if len(found) > limits.batch:
        raise TooLarge(
            f"{name}: past the limit of {limits.batch:,} in one call "
            "(limits.batch); nothing was written"
        )
    return found


def _ids(value: object, name: str, limits: Limits) -> tuple[str, ...]:
    found = _listed(value, name, limits)
    return tuple(edges.id_of(id, f"{name}[{n}]") for n, id in enumerate(found))


def _channels(value: object, name: str, limits: Limits) -> tuple[str, ...]:
    found = _listed(value, name, limits)
    return tuple(
        edges.text_of(item, f"{name}[{n}]", limits) for n, item in enumerate(found)
    )


def _renamed(value: object, name: str, limits: Limits) -> dict[str, str]:
    if not isinstance(value, dict):
        raise edges.wrong_type(name, "a dict", value)
    return {
        edges.text_of(old, name, limits): edges.text_of(new, f"{name}[{old!r}]", limits)
        for old, new in value.items()
    }


Indexed = Annotated[str, Edge(_indexed)]
Values = Annotated[dict[str, Any], Edge(_values)]
Writes = Annotated[Iterable[dict[str, Any]], Edge(_writes)]
Ids = Annotated[Iterable[str], Edge(_ids)]
Channels = Annotated[Iterable[str], Edge(_channels)]
Renamed = Annotated[dict[str, str] | None, Edge(_renamed)]


def thread_of(row: Row) -> Thread:
    _, id, owner, created_at = row
    return Thread(id=id, owner=owner, created_at=to_datetime(created_at))


def checkpoint_of(
    thread: str,
    row: Row,
    values: dict[str, ChannelValue],
    writes: Iterable[Write] = (),
) -> Checkpoint:
    _, ns, id, parent, run, created_at, state, _, metadata, note = row
    return Checkpoint(
        thread=thread,
        ns=ns,
        id=id,
        parent=parent,
        run=run,
        state=codec.decode(state),
        values=values,
        metadata=codec.decode(metadata),
        note=note,
        created_at=to_datetime(created_at),
        writes=tuple(writes),
    )


def write_of(row: Row) -> Write:
    task, index, path, channel, type, body = row
    return Write(
        task=task, index=index, path=path, channel=channel, type=type, body=body
    )
