"""Keeping: a thread's checkpoints and the messages of its session, as one.

Answers for: keeping a checkpoint, deleting, copying and pruning, each in a transaction
that its caller began.
Leaves to others: what LangGraph calls (`saver`), how messages are kept (`talks`).
Always holds: a mark of the session is there as long as a checkpoint that stands for it.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from holdfast import Session
from holdfast.errors import NotFound, WrongType
from holdfast.integrations.langgraph.talks import OURS, Left, Said, cleared, keep
from holdfast.transaction import OpenTransaction

MESSAGES = "messages"
"""The channel that is kept as a session."""
MARK = "holdfast.mark"
"""The type of a value that stands for a mark of that session."""
_COUNTERS = "counters_since_delta_snapshot"
_DROPPED_AT_ONCE = 1_000


def keep_checkpoint(
    tx: OpenTransaction,
    thread: str,
    put: dict[str, Any],
    said: Said | None,
    left: Left | None,
) -> Left | None:
    """Keep a checkpoint, and have the session show its messages."""
    if said is None or not said.drafts:
        if said is not None:
            cleared(tx, thread)
        tx.threads.put(thread, **put)
        return None
    left = keep(tx, thread, said, left)
    values = {**put["values"], MESSAGES: {"type": MARK, "body": ""}}
    tx.threads.put(thread, **{**put, "values": values}, note=left.mark)
    return left


def delete(tx: OpenTransaction, thread: str) -> bool:
    """Delete a thread, and its session; nothing is left to do."""
    tx.sessions.lock(thread)
    session = _session(tx, thread)
    if session is not None and OURS in (session.metadata or {}):
        tx.sessions.delete(thread)
    elif session is not None:
        _unmark(tx, _marks(tx, thread))
    tx.threads.delete(thread)
    return False


def delete_runs(tx: OpenTransaction, runs: Sequence[str]) -> None:
    """Delete what some runs left."""
    _unmark(tx, tx.threads.delete_runs(runs).notes)


def copy(tx: OpenTransaction, source: str, target: str) -> None:
    """Copy a thread, if there is one, and fork its session, with the marks."""
    tx.sessions.lock(source)
    try:
        notes = tx.threads.notes(source)
    except NotFound:
        return
    marks = {}
    if _session(tx, source) is not None:
        tx.sessions.fork(source, new_id=target)
        for mark in notes:
            with suppress(NotFound):
                marks[mark] = tx.sessions.mark(target, of=mark).id
    tx.threads.copy(source, target, notes=marks)


def pruning(strategy: str) -> Callable[[OpenTransaction, str], bool]:
    """What prunes a thread, and says whether there is more. Raises `WrongType`."""
    works = {"keep_latest": _keep_newest, "delete": delete}
    if strategy not in works:
        raise WrongType(f"strategy: {strategy!r} is none of: {', '.join(works)}")
    return works[strategy]


def _keep_newest(tx: OpenTransaction, thread: str) -> bool:
    """Drop all but the newest, and those that its delta channels are rebuilt from.

    At most so many that nobody waits for long; whether there is more.
    """
    tx.threads.lock(thread)
    try:
        newest = tx.threads.newest(thread)
    except NotFound:
        return False
    stay = [checkpoint.id for checkpoint in newest]
    for checkpoint in newest:
        deltas = (
            checkpoint.metadata.get(_COUNTERS, {}).keys() - checkpoint.values.keys()
        )
        if deltas:
            line = tx.threads.ancestry(
                thread, checkpoint.id, sorted(deltas), ns=checkpoint.ns
            )
            stay += [ancestor.id for ancestor in line]
    dropped = tx.threads.prune(thread, stay, limit=_DROPPED_AT_ONCE)
    _unmark(tx, dropped.notes)
    return dropped.more


def _marks(tx: OpenTransaction, thread: str) -> Sequence[str]:
    try:
        return tx.threads.notes(thread)
    except NotFound:
        return ()


def _unmark(tx: OpenTransaction, marks: Sequence[str]) -> None:
    for mark in marks:
        tx.sessions.unmark(mark)


def _session(tx: OpenTransaction, id: str) -> Session | None:
    try:
        return tx.sessions.get(id)
    except NotFound:
        return None
