"""Writing: a batch of events, to disk.

Answers for: one statement for all of a batch, whose work SQLite and PostgreSQL do
outside of Python: other threads go on meanwhile; finding the event that is the reason
why a batch cannot be written.
Leaves to others: which events, and when (`log`).
Always holds: an event that cannot be written costs no other; one that was written
before is not there twice.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from holdfast.engine import Transaction
from holdfast.errors import BadInput, Refused
from holdfast.kinds.event_records import AT, NAME, Entry
from holdfast.kinds.events import MINUTE_US
from holdfast.logs import logger

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
_ROW_BYTES = 100
"""About what an event takes in indexes, and beside its fields."""


class Run(Protocol):
    """Has a piece of work done in a transaction beside the state."""

    def __call__(self, work: Callable[[Transaction], T], /) -> T: ...


class Written(msgspec.Struct, frozen=True):
    """What became of a batch."""

    written: int
    lost: int = 0

    def and_(self, other: "Written") -> "Written":
        """Both together."""
        return Written(self.written + other.written, self.lost + other.lost)


def write(
    run: Run, writer: int, entries: Sequence[Entry], observed: Sequence[Any]
) -> Written:
    """Write events, and which observations saw them; each event but for bad ones.

    Raises what is no event's fault: a full disk, say. Then nothing was written.
    """
    try:
        run(lambda tx: _write(tx, writer, entries, observed))
    except (BadInput, Refused, UnicodeError) as error:
        if len(entries) > 1:
            return _halved(run, writer, entries, observed)
        logger("holdfast.events").error(
            "event %r cannot be written: %s", entries[0][NAME], error
        )
        return Written(0, 1)
    return Written(len(entries))


def _halved(
    run: Run, writer: int, entries: Sequence[Entry], observed: Sequence[Any]
) -> Written:
    half = len(entries) // 2
    first, second = entries[:half], entries[half:]
    begins = second[0][AT]
    found = write(run, writer, first, [row for row in observed if row[2] < begins])
    rest = [row for row in observed if row[2] >= begins]
    return found.and_(write(run, writer, second, rest))


def _write(
    tx: Transaction, writer: int, entries: Sequence[Entry], observed: Sequence[Any]
) -> None:
    batch = _encode(entries).decode()
    tx.put("event_add", writer=writer, batch=batch)
    if observed:
        tx.put("observed_add", writer=writer, batch=_encode(observed).decode())
    tx.put_each("event_counted", _counted(entries, len(batch)))
    tx.put("event_come", writer=writer, newest=entries[-1][AT], now=tx.now)
    tx.put("event_told")


def _counted(entries: Sequence[Entry], size: int) -> Iterable[dict[str, int]]:
    """How many events each minute has of these, and about how many bytes."""
    first, last = (entry[AT] // MINUTE_US for entry in (entries[0], entries[-1]))
    counts = {first: len(entries)}
    if first != last:
        counts = Counter(entry[AT] // MINUTE_US for entry in entries)
    each = size // len(entries) + _ROW_BYTES
    for minute, count in counts.items():
        yield {"minute": minute, "events": count, "bytes": count * each}
