"""Rows of threads: what a checkpoint has, kept, shown, copied and dropped.

Answers for: keeping each value of a thread once, showing checkpoints with their values
and writes, copying one to another thread, dropping those that are not needed.
Leaves to others: which checkpoints those are (`threads`), what all of them look like
(`thread_records`).
Always holds: a value is dropped with the last checkpoint of its thread that has it.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from holdfast import codec
from holdfast.engine import Row, Transaction
from holdfast.kinds.thread_records import (
    ChannelValue,
    Checkpoint,
    Dropped,
    checkpoint_of,
    write_of,
)

_SMALL = 64
"""Characters of a value that stands in the checkpoint itself."""
Held: TypeAlias = dict[str, Any]
"""By channel: a small value's type and body, or the digest of a larger one."""


def held_as(value: ChannelValue) -> object:
    """A small value itself, or the digest of a larger one."""
    if len(value.body) <= _SMALL:
        return [value.type, value.body]
    said = f"{value.type}\n{value.body}".encode()
    return hashlib.blake2b(said, digest_size=16).hexdigest()


def keep(
    tx: Transaction, thread: int, held: Held, values: Mapping[str, ChannelValue]
) -> None:
    """Keep those values that are not small, unless they are there."""
    large = {
        digest: values[channel]
        for channel, digest in held.items()
        if isinstance(digest, str)
    }
    where = {"owner": tx.terms.owner, "thread": thread}
    asked = [{**where, "digest": digest} for digest in large]
    known = {row[0] for rows in tx.each("value_known", asked) for row in rows}
    for digest, value in large.items():
        if digest not in known:
            add_value(tx, thread, digest, value)


def add_value(tx: Transaction, thread: int, digest: str, value: ChannelValue) -> None:
    """Keep a value that the thread does not have yet."""
    tx.put(
        "value_add",
        no=tx.new_no(),
        owner=tx.terms.owner,
        thread=thread,
        digest=digest,
        type=value.type,
        body=value.body,
    )


def shown(
    tx: Transaction, id: str, thread: int, rows: Sequence[Row]
) -> list[Checkpoint]:
    """The checkpoints of rows, with their values and writes; asked for at once."""
    held = [codec.decode(row[7]) for row in rows]
    digests = {d for one in held for d in one.values() if isinstance(d, str)}
    where = {"owner": tx.terms.owner, "thread": thread}
    asked = [{**where, "digest": digest} for digest in sorted(digests)]
    found = tx.each("value_get", asked) if asked else []
    known = {
        digest: ChannelValue(*row)
        for digest, (row,) in zip(sorted(digests), found, strict=True)
    }
    asked = [{"owner": tx.terms.owner, "checkpoint": row[0]} for row in rows]
    writes = tx.each("write_list", asked)
    return [
        checkpoint_of(
            id,
            row,
            {
                channel: known[of] if isinstance(of, str) else ChannelValue(*of)
                for channel, of in one.items()
            },
            map(write_of, written),
        )
        for row, one, written in zip(rows, held, writes, strict=True)
    ]


def copy(
    tx: Transaction,
    thread: int,
    row: Row,
    writes: Iterable[Row],
    notes: Mapping[str, str],
) -> None:
    """Put a checkpoint and its writes into another thread too."""
    _, ns, id, parent, run, at, state, held, metadata, note = row
    no = tx.new_no()
    tx.put(
        "checkpoint_add",
        no=no,
        owner=tx.terms.owner,
        thread=thread,
        ns=ns,
        id=id,
        parent=parent,
        run=run,
        now=at,
        state=state,
        held=held,
        metadata=metadata,
        note=notes.get(note, note),
    )
    for task, index, path, channel, type, body in writes:
        tx.put(
            "write_add",
            no=tx.new_no(),
            owner=tx.terms.owner,
            checkpoint=no,
            task=task,
            idx=index,
            path=path,
            channel=channel,
            type=type,
            body=body,
        )


def sweep(tx: Transaction, thread: int, limit: int) -> bool:
    """Delete some rows of a thread that is gone; whether there may be more."""
    for name in ("write_sweep", "checkpoint_sweep", "value_sweep"):
        limit -= tx.run(name, thread=thread, limit=limit)
        if limit <= 0:
            return True
    return False


def drop(
    tx: Transaction, thread: int, stays: Callable[[Row], bool], limit: int | None = None
) -> Dropped:
    """Delete the checkpoints of a thread that do not stay, and what is theirs."""
    where = {"owner": tx.terms.owner, "thread": thread}
    rows = tx.all("checkpoint_all", **where)
    every = sorted((row for row in rows if not stays(row)), key=itemgetter(2))
    gone = every[:limit]
    later = every[len(gone) :]
    left = [*later, *filter(stays, rows)]
    numbers = [{"owner": tx.terms.owner, "no": row[0]} for row in gone]
    tx.put_each("write_drop", numbers)
    tx.put_each("checkpoint_drop", numbers)
    more = bool(later)
    if not later and (gone or limit is not None):
        held = {of for row in left for of in _digests(row[3])}
        unheld = [
            {"owner": tx.terms.owner, "no": no}
            for digest, no in tx.all("value_list", **where)
            if digest not in held
        ]
        tx.put_each("value_drop", unheld[:limit])
        more = limit is not None and len(unheld) > limit
    notes = {row[4] for row in gone} - {row[4] for row in left} - {None}
    return Dropped(checkpoints=len(gone), notes=tuple(sorted(notes)), more=more)


def _digests(held: str) -> Iterator[str]:
    return (of for of in codec.decode(held).values() if isinstance(of, str))
