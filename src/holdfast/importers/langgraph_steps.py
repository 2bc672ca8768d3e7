"""LangGraph's checkpoints, as its own savers keep them in SQLite and PostgreSQL.

Answers for: which threads and checkpoints a database has, and what one holds.
Leaves to others: what a value says, which is not looked into: its bytes are passed on;
what becomes of a checkpoint (`langgraph_threads`).
Always holds: a thread's checkpoints come oldest first; nothing is unpickled or imported
by name; what cannot be read as data is told of, and the rest comes.

    SqliteSaver                      PostgresSaver
    checkpoints: all as one value    checkpoints: JSON, with small values
                                     checkpoint_blobs: each version of a value
    writes                           checkpoint_writes
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

from holdfast.importers.databases import Database, Unreadable
from holdfast.importers.report import SetAside, sample_of
from holdfast.integrations import extra

with extra("langgraph"):
    import ormsgpack

Value: TypeAlias = tuple[str, bytes]
"""How a serializer has written a value, and what it wrote."""
NEEDS = ({"checkpoints", "writes"}, {"checkpoints", "checkpoint_blobs"})
_IDS = {"checkpoint_id", "parent_checkpoint_id"}
_NULL: Value = ("null", b"")
_NIL = b"\xc0"
_PLAIN = {"null", "bytes", "bytearray"}
_DECODERS: Mapping[object, Callable[..., Any]] = {
    "msgpack": msgspec.msgpack.decode,
    "json": msgspec.json.decode,
}
_EMPTY: Mapping[str, bytes] = {"msgpack": b"\x80", "json": b"{}"}
_TASKS = "__pregel_tasks"
_SENDS_IN_WRITES = 4
"""Checkpoints before this version have what was sent among their parent's writes."""
_FIRST_VERSION = f"{1:032}"
_THREADS = """
select c.thread_id from checkpoints c union select w.thread_id from {table} w
"""
_KEYS = """
select c.checkpoint_id, c.checkpoint_ns from checkpoints c where c.thread_id = :thread
union
select w.checkpoint_id, w.checkpoint_ns from {table} w where w.thread_id = :thread
"""
_WHOLE = """
select c.parent_checkpoint_id, c.type, c.checkpoint, c.metadata from checkpoints c
where c.thread_id = :thread and c.checkpoint_ns = :ns and c.checkpoint_id = :id
"""
_PARTS = """
select c.parent_checkpoint_id, c.checkpoint::text, c.metadata::text from checkpoints c
where c.thread_id = :thread and c.checkpoint_ns = :ns and c.checkpoint_id = :id
"""
_BLOBS = """
select b.channel, b.version, b.type, b.blob
from checkpoints c
cross join jsonb_each_text(c.checkpoint -> 'channel_versions') v
join checkpoint_blobs b on b.thread_id = c.thread_id
    and b.checkpoint_ns = c.checkpoint_ns and b.channel = v.key and b.version = v.value
where c.thread_id = :thread and c.checkpoint_ns = :ns and c.checkpoint_id = :id
"""
_WRITES = """
select {path}, w.task_id, w.idx, w.channel, w.type, w.{body} from {table} w
where w.thread_id = :thread and w.checkpoint_ns = :ns and w.checkpoint_id = :id
"""


class Written(msgspec.Struct, frozen=True, order=True):
    """What a task wrote after a checkpoint."""

    path: str
    task: str
    index: int
    channel: str
    value: Value


class Step(msgspec.Struct, frozen=True):
    """A checkpoint; without a state, one of which only writes are known."""

    ns: str
    id: str
    parent: str | None
    state: dict[str, Any] | None
    values: dict[str, Value]
    metadata: dict[str, Any]
    writes: tuple[Written, ...]

    @property
    def size_bytes(self) -> int:
        """How much there is to it, nearly."""
        written = sum(len(one.value[1]) for one in self.writes)
        return written + sum(len(body) for _, body in self.values.values())


class Begins(msgspec.Struct, frozen=True):
    """A thread, whose checkpoints come next."""

    id: str


Found: TypeAlias = tuple[str, Begins | Step | SetAside]


def steps_in(database: Database) -> Iterator[Found]:
    """All threads of a database, each before its checkpoints."""
    if not database.tables["checkpoints"] >= _IDS:
        reason = "its rows have no ids, as those of ShallowPostgresSaver, and stay"
        yield "checkpoints", SetAside("checkpoints", None, reason)
        return
    form = _Parts if "checkpoint_blobs" in database.tables else _Whole
    reader = form(database)
    for (thread,) in database.rows(_THREADS.format(table=form.table)):
        place = f"checkpoints[{thread}]"
        yield place, Begins(thread)
        try:
            yield from reader.steps(thread)
        except Unreadable as error:
            reason = f"{error}; what comes after this could not be read"
            yield place, SetAside(place, None, reason)


class _Key(msgspec.Struct, frozen=True):
    """What a checkpoint is found by."""

    thread: str
    ns: str
    id: str

    def place(self, table: str, *rest: object) -> str:
        """How a report names it, or what a table has of it."""
        parts = (self.thread, *filter(None, [self.ns]), self.id, *rest)
        return f"{table}[{', '.join(map(str, parts))}]"


class _Held(msgspec.Struct):
    """What was read of a checkpoint, and what of it could not be."""

    parent: str | None = None
    state: dict[str, Any] | None = None
    values: dict[str, Value] = {}
    metadata: dict[str, Any] = {}
    lost: list[SetAside] = []

    def take(self, channel: str, place: str, type: object, body: object) -> None:
        """A channel's value, unless only code could decode it."""
        self.values.pop(channel, None)
        value = _value(place, type, body)
        if isinstance(value, SetAside):
            self.lost.append(value)
        else:
            self.values[channel] = value


class _Form:
    """A form in which checkpoints are kept."""

    table: str
    body: str

    def __init__(self, database: Database) -> None:
        has_path = "task_path" in database.tables[self.table]
        path = "w.task_path" if has_path else "''"
        self._database = database
        self._written = _WRITES.format(table=self.table, body=self.body, path=path)

    def steps(self, thread: str) -> Iterator[Found]:
        """The checkpoints of a thread, and what of them could not be read."""
        told: set[str] = set()
        keys = self._database.rows(_KEYS.format(table=self.table), thread=thread)
        for id, ns in sorted(keys, key=lambda key: [*map(str, key)]):
            key = _Key(thread, ns, id)
            try:
                held = self.held(key)
                writes = tuple(self.writes(key, held))
            except (ValueError, TypeError, RecursionError) as error:
                place = key.place("checkpoints")
                yield place, SetAside(place, None, str(error))
                continue
            for one in held.lost:
                if one.position not in told:
                    told.add(one.position)
                    yield one.position, one
            yield (
                key.place("checkpoints"),
                Step(
                    ns, id, held.parent, held.state, held.values, held.metadata, writes
                ),
            )

    def held(self, key: _Key) -> _Held:
        """What a checkpoint has. Raises `ValueError`, if it cannot be read at all."""
        raise NotImplementedError

    def rows_of(self, sql: str, key: _Key) -> list[tuple[Any, ...]]:
        """What a question finds for a checkpoint."""
        return [*self._database.rows(sql, **msgspec.structs.asdict(key))]

    def writes(self, key: _Key, held: _Held) -> Iterator[Written]:
        """What was written after a checkpoint, and can be read."""
        for path, task, index, channel, type, body in self.rows_of(self._written, key):
            place = key.place(self.table, task, index)
            value = _value(place, type, body)
            if isinstance(value, SetAside):
                held.lost.append(value)
            else:
                yield Written(path, task, index, channel, value)


class _Whole(_Form):
    """SQLite's: a checkpoint is one value, with those of its channels in it."""

    table, body = "writes", "value"

    def held(self, key: _Key) -> _Held:
        rows = self.rows_of(_WHOLE, key)
        if not rows:
            return _Held()
        parent, type, body, metadata = rows[0]
        if type not in _DECODERS:
            raise ValueError(_only_code(type))
        parts = _DECODERS[type](body, type=dict[str, Raw])
        values = parts.pop("channel_values", Raw(_EMPTY[type]))
        parts.pop("id", None)
        held = _Held(
            parent,
            {name: _data(type, raw) for name, raw in parts.items()},
            metadata=msgspec.json.decode(metadata or "{}", type=dict[str, Any]),
        )
        for channel, raw in _DECODERS[type](values, type=dict[str, Raw]).items():
            held.take(channel, key.place("checkpoints", channel), type, bytes(raw))
        return held


class _Parts(_Form):
    """PostgreSQL's: a row for each version of each value that is not small."""

    table, body = "checkpoint_writes", "blob"

    def held(self, key: _Key) -> _Held:
        rows = self.rows_of(_PARTS, key)
        if not rows:
            return _Held()
        parent, text, metadata = rows[0]
        state = msgspec.json.decode(text, type=dict[str, Any])
        state.pop("id", None)
        small = state.pop("channel_values", None) or {}
        held = _Held(
            parent,
            state,
            {channel: _written(value) for channel, value in small.items()},
            msgspec.json.decode(metadata, type=dict[str, Any]),
        )
        for channel, version, type, body in self.rows_of(_BLOBS, key):
            if type != "empty":
                place = f"checkpoint_blobs[{key.thread}, {channel}, {version}]"
                held.take(channel, place, type, body)
        if parent is not None and state.get("v", 0) < _SENDS_IN_WRITES:
            self._with_sent(_Key(key.thread, key.ns, parent), held, state)
        return held

    def _with_sent(self, parent: _Key, held: _Held, state: dict[str, Any]) -> None:
        """What was sent before the checkpoint, as newer versions have it."""
        written = sorted(self.writes(parent, held))
        sent = [one.value for one in written if one.channel == _TASKS]
        if not sent:
            return
        if any(type not in {"msgpack", "null"} for type, _ in sent):
            raise ValueError("what was sent before it is of different types")
        bodies = [Raw(body or _NIL) for _, body in sent]
        held.values[_TASKS] = ("msgpack", msgspec.msgpack.encode(bodies))
        versions = state.setdefault("channel_versions", {})
        versions[_TASKS] = max(versions.values(), default=_FIRST_VERSION)


def _value(place: str, type: object, body: object) -> Value | SetAside:
    """A value that a serializer wrote, if it is data."""
    said = b"" if body is None else body
    if not isinstance(type, str) or not isinstance(said, bytes):
        return SetAside(place, None, "it is no serialized value", sample_of(body))
    if type in _PLAIN:
        return type, said
    if type not in _DECODERS:
        return SetAside(place, None, _only_code(type))
    if said == _NIL:
        return _NULL
    try:
        _read_as_data(type, said)
    except (ValueError, RecursionError) as error:
        return SetAside(place, None, str(error), sample_of(said))
    return type, said


def _read_as_data(type: str, said: bytes) -> None:
    """Read a value, but make nothing of it. Raises `ValueError`."""
    if type == "json":
        json.loads(said)
    else:
        ormsgpack.unpackb(
            said, ext_hook=lambda *_: None, option=ormsgpack.OPT_NON_STR_KEYS
        )


def _only_code(type: object) -> str:
    return f"it is of type {type!r}, which only code could decode"


def _written(value: Any) -> Value:
    return _NULL if value is None else ("msgpack", msgspec.msgpack.encode(value))


def _data(type: str, raw: Raw) -> Any:
    """What a part of a checkpoint says, which has to be plain data."""
    if type == "json":
        return msgspec.json.decode(raw)
    return msgspec.msgpack.decode(raw, ext_hook=_no_class)


def _no_class(code: int, _: memoryview) -> object:
    raise ValueError(f"a part of it is no plain data (an extension, {code})")
