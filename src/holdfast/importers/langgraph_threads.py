"""Threads of LangGraph's, taken into a store as `HoldfastSaver` would have kept them.

Answers for: which checkpoints are there already, leading a thread on, which thread is
not the one that is there; transactions of some hundred checkpoints.
Leaves to others: reading a database (`langgraph_steps`), what of a checkpoint is put
(`langgraph_drafts`), how it and its messages are kept (`integrations.langgraph`).
Always holds: checkpoints are added oldest first, each with its writes; what is there is
never changed; after an interruption the next run goes on; taken in twice, nothing is
added.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.contract import each
from holdfast.edges import id_of
from holdfast.errors import (
    AlreadyExists,
    BadInput,
    Fenced,
    Held,
    HoldfastError,
    NotFound,
)
from holdfast.importers.langgraph_drafts import Draft, Drafts, Writes, value_in
from holdfast.importers.langgraph_steps import Begins, Step
from holdfast.importers.report import Others, SetAside, SetAsides
from holdfast.integrations._langchain_messages import message_of
from holdfast.integrations.langgraph.keeping import MARK, keep_checkpoint
from holdfast.integrations.langgraph.talks import Left
from holdfast.kinds.thread_records import Checkpoint
from holdfast.runtime.transfer.batches import BATCH_MESSAGES, Batches

if TYPE_CHECKING:
    from holdfast.store import Store
    from holdfast.transaction import OpenTransaction


class _Mismatch(HoldfastError):
    """A thread is not the one that is here by its id, or has gone on otherwise."""


_REFUSALS = (_Mismatch, BadInput, AlreadyExists, Held, Fenced, NotFound)


class _Standing(msgspec.Struct, frozen=True):
    """How far a thread was compared with the one that is here.

    It `leads` once all that comes is newer than what is here. `shown` are the messages
    that the session of a thread which is here has to have then.
    """

    begun: bool = False
    leads: bool = False
    shown: tuple[Any, ...] = ()
    left: Left | None = None


class _Visit(msgspec.Struct, eq=False):
    """A thread, for as long as it is being taken in."""

    thread: str
    standing: _Standing = _Standing()
    refused: bool = False


class _Piece(msgspec.Struct, frozen=True, eq=False):
    """A checkpoint of a thread."""

    visit: _Visit
    place: str
    draft: Draft


class _Kept(msgspec.Struct, frozen=True):
    """What became of a checkpoint."""

    standing: _Standing
    new_thread: bool
    is_new: bool


class Threads:
    """Takes threads, in their order, into a store."""

    def __init__(self, store: "Store", name: str, set_aside: SetAsides) -> None:
        self._store = store
        self._name = name
        self._limits = store._core.limits  # noqa: SLF001
        self._batches: Batches[_Piece] = Batches(
            self._keep_together, self._keep_singly, _REFUSALS, BATCH_MESSAGES
        )
        self._drafts = Drafts(self._limits)
        self._visit: _Visit | None = None
        self._threads = self._threads_added = 0
        self._steps = self._steps_added = 0
        self._set_aside = set_aside

    def take(self, place: str, found: Begins | Step) -> None:
        """Take what comes next: a thread, or a checkpoint of the thread before it."""
        if isinstance(found, Begins):
            self._begin(place, found.id)
            return
        assert self._visit is not None, "a checkpoint came before its thread"
        if self._visit.refused:
            return
        try:
            draft = self._drafts.of(found)
        except BadInput as error:
            self._set_aside.append(SetAside(place, None, str(error)))
        else:
            self._batches.add(_Piece(self._visit, place, draft))
            self._batches.count(found.size_bytes)

    def flush(self) -> None:
        """Take in what waits."""
        self._batches.flush()

    def counts(self) -> Iterator[Others]:
        """What was taken in so far."""
        for what, found, added in (
            ("thread", self._threads, self._threads_added),
            ("checkpoint", self._steps, self._steps_added),
        ):
            yield Others(
                what=what, found=found, added=added, already_there=found - added
            )

    def _begin(self, place: str, thread: str) -> None:
        self._visit = _Visit(thread)
        self._drafts = Drafts(self._limits)
        try:
            id_of(thread, "thread_id")
        except BadInput as error:
            self._visit.refused = True
            reason = f"{error}; nothing of this thread went in"
            self._set_aside.append(SetAside(place, None, reason))

    def _keep_together(self, pieces: list[_Piece]) -> None:
        run = self._store.run
        done = run(_keep_all, pieces, actor="import", cause=self._name)
        for piece, became in zip(pieces, done, strict=True):
            self._threads += not piece.visit.standing.begun
            self._threads_added += became.new_thread
            self._steps += piece.draft.step.state is not None
            self._steps_added += became.is_new
            piece.visit.standing = became.standing

    def _keep_singly(self, piece: _Piece) -> None:
        visit = piece.visit
        if visit.refused:
            return
        try:
            self._keep_together([piece])
        except _REFUSALS as error:
            visit.refused = True
            reason = f"{error}; nor did what comes after it in this thread go in"
            self._set_aside.append(SetAside(piece.place, None, reason))


def _keep_all(tx: "OpenTransaction", pieces: Sequence[_Piece]) -> list[_Kept]:
    """Take in some checkpoints, or nothing if one of them is refused."""
    standings: dict[str, _Standing] = {}
    done = []
    for piece in pieces:
        thread = piece.visit.thread
        done.append(_take_in(tx, piece, standings.get(thread, piece.visit.standing)))
        standings[thread] = done[-1].standing
    return done


def _take_in(tx: "OpenTransaction", piece: _Piece, standing: _Standing) -> _Kept:
    """Take in a checkpoint, unless it is there."""
    thread, draft, step = piece.visit.thread, piece.draft, piece.draft.step
    new_thread = not standing.begun and _is_new(tx, thread)
    if not standing.begun:
        standing = _Standing(begun=True, leads=new_thread)
    if step.state is None:
        _write(tx, thread, step, draft.writes)
        return _Kept(standing, new_thread, is_new=False)
    there = None if standing.leads else _there(tx, thread, step)
    if there is not None:
        _compare(tx, there, draft)
        _write(tx, thread, step, [*_missing(there, draft.writes)])
        shown = draft.messages if draft.said is not None else standing.shown
        standing = msgspec.structs.replace(standing, shown=shown)
        return _Kept(standing, new_thread, is_new=False)
    if not standing.leads:
        _may_lead(tx, thread, step, standing.shown)
    left = _put(tx, thread, draft, standing.left)
    standing = msgspec.structs.replace(standing, leads=True, left=left)
    return _Kept(standing, new_thread, is_new=True)


def _is_new(tx: "OpenTransaction", thread: str) -> bool:
    """Whether a thread is not here. Raises `_Mismatch` for a session by its id."""
    try:
        tx.threads.get(thread)
    except NotFound:
        pass
    else:
        return False
    try:
        tx.sessions.get(thread)
    except NotFound:
        return True
    raise _Mismatch(
        f"thread {thread!r}: a session has its id here, which belongs to no thread"
    )


def _there(tx: "OpenTransaction", thread: str, step: Step) -> Checkpoint | None:
    try:
        return tx.threads.checkpoint(thread, step.id, ns=step.ns)
    except NotFound:
        return None


def _put(
    tx: "OpenTransaction", thread: str, draft: Draft, left: Left | None
) -> Left | None:
    """Keep a checkpoint as the saver does; how the session of its thread is left."""
    if draft.said is None:
        keep_checkpoint(tx, thread, draft.put, None, None)
    else:
        left = keep_checkpoint(tx, thread, draft.put, draft.said, left)
    _write(tx, thread, draft.step, draft.writes)
    return left


def _write(
    tx: "OpenTransaction", thread: str, step: Step, writes: Sequence[Writes]
) -> None:
    """Keep what tasks wrote after a checkpoint."""
    for one in writes:
        drafts: Any = one.drafts
        tx.threads.put_writes(
            thread, step.id, one.task, drafts, ns=step.ns, path=one.path
        )


def _missing(there: Checkpoint, writes: Sequence[Writes]) -> Iterator[Writes]:
    """The writes that a checkpoint lacks here. Raises `_Mismatch` if it has others."""
    known = {(write.task, write.index): write for write in there.writes}
    for one in writes:
        missing = []
        for draft in one.drafts:
            found = known.get((one.task, draft.index))
            if found is None:
                missing.append(draft)
            elif (found.channel, value_in(found)) != (draft.channel, value_in(draft)):
                raise _differs(there, "writes")
        if missing:
            yield Writes(one.task, one.path, tuple(missing))


def _compare(tx: "OpenTransaction", there: Checkpoint, draft: Draft) -> None:
    """Raise `_Mismatch` unless a checkpoint is here as it is there."""
    step = draft.step
    for what, here, wanted in (
        ("parent", there.parent, step.parent),
        ("state", there.state, step.state),
        ("metadata", there.metadata, step.metadata),
        ("channels", there.values.keys(), step.values.keys()),
    ):
        if here != wanted:
            raise _differs(there, what)
    for channel, value in there.values.items():
        if value.type == MARK:
            marked = each(partial(tx.sessions.marked, there.note or ""))
            if tuple(map(message_of, marked)) != draft.messages:
                raise _differs(there, channel)
        elif value_in(value) != step.values[channel]:
            raise _differs(there, channel)


def _may_lead(
    tx: "OpenTransaction", thread: str, step: Step, shown: tuple[Any, ...]
) -> None:
    """Raise `_Mismatch` if a thread has gone on here since, in steps or in words."""
    newest = max(((one.id, one.ns) for one in tx.threads.newest(thread)), default=None)
    if newest is not None and newest > (step.id, step.ns):
        raise _Mismatch(
            f"thread {thread!r} has gone on here, to checkpoint {newest[0]!r}; it was "
            "left as it is"
        )
    try:
        here = tuple(map(message_of, tx.sessions.history(thread)))
    except NotFound:
        here = ()
    if here != shown:
        raise _Mismatch(
            f"thread {thread!r}: its session has other messages here; it was left as "
            "it is"
        )


def _differs(there: Checkpoint, what: str) -> _Mismatch:
    return _Mismatch(
        f"checkpoint {there.id!r} of thread {there.thread!r} is another one here "
        f"(its {what}); it was left as it is"
    )
