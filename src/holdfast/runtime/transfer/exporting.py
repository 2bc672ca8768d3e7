"""Exporting: sessions into a file, which any other store takes in.

Answers for: `export_to`: one moment of the store, read in small pieces.
Leaves to others: the format (`kinds/exported`), a file that is there as a whole or not
at all (`whole_files`), taking it in (`importing`).
Always holds: memory does not grow with what is exported.
"""

import errno
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import msgspec

from holdfast import edges
from holdfast.clock import to_datetime
from holdfast.contract import each
from holdfast.errors import BadInput
from holdfast.kinds.exported import (
    FORMAT,
    VERSION,
    EndLine,
    Head,
    Line,
    line_of,
    message_line,
    session_line,
    summary_line,
)
from holdfast.kinds.session_records import Session
from holdfast.kinds.sessions import Sessions
from holdfast.whole_files import made_whole

if TYPE_CHECKING:
    from holdfast.store import Store

Place: TypeAlias = "str | os.PathLike[str] | BinaryIO"
"""Where an export is: a path, or a file that is open in binary mode."""
_PAGE_BYTES = 1 << 20
_FIRST_PAGE, _LARGEST_PAGE = 8, 128
_SESSIONS_AT_ONCE = 50


class ExportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an export wrote, and the moment of the store that it is of."""

    sessions: int
    messages: int
    bytes: int
    moment: int


def export_sessions(
    store: "Store", target: Place, ids: str | Iterable[str] | None
) -> ExportReport:
    """Write sessions to a path or a file; every one there is, if none is named."""
    core = store._core  # noqa: SLF001
    wanted = None if ids is None else _named(ids)
    now, page = to_datetime(core.clock.now_us()), core.limits.page
    moment = store.moment()
    there = store.as_of(moment)
    with _written(store, target) as file:
        sink = _Sink(file, page)
        sink.put(Head(format=FORMAT, version=VERSION, exported_at=now))
        sessions = messages = 0
        for session in _sessions(there, wanted, page):
            _export(sink, there, session)
            sessions += 1
            messages += session.message_count
        sink.put(EndLine(sessions=sessions, messages=messages))
    return ExportReport(
        sessions=sessions, messages=messages, bytes=sink.bytes, moment=moment
    )


def refuse_own_file(store: "Store", path: Path, what: str) -> None:
    """Raise `BadInput` for the store's own file, or one that goes with it.

    To read such a file is not safe either: when it is closed again, the locks that this
    process holds on it are gone.
    """
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(OSError):
            if path.samefile(store.place + suffix):
                raise BadInput(f"{path} is the store's own file; nothing was {what}")


class _Sink:
    """A file that lines are written to, counted; and how many to read at once for it.

    A page of messages has about as many bytes as any.
    """

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file = file
        self._most = min(most, _LARGEST_PAGE)
        self.bytes = 0
        self.page = min(most, _FIRST_PAGE)

    def learn(self, messages: int, size: int) -> None:
        """Choose the next page, after one of so many messages and bytes."""
        if messages:
            fitting = _PAGE_BYTES * messages // size
            self.page = max(1, min(2 * self.page, fitting, self._most))

    def put(self, record: Head | Line) -> None:
        text = line_of(record)
        self.bytes += len(text)
        rest = memoryview(text)
        while rest:  # a file without a buffer may take a part at a time
            written: int | None = self._file.write(rest)
            if written is None:  # many that only look like files do not say
                if isinstance(self._file, io.RawIOBase):
                    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                return
            rest = rest[written:]


def _named(ids: str | Iterable[str]) -> list[str]:
    listed = [ids] if isinstance(ids, str) else ids
    if not isinstance(listed, Iterable):
        raise edges.wrong_type("id", "an id, or some ids", ids)
    return list(dict.fromkeys(edges.id_of(id, "id") for id in listed))


def _sessions(there: "Store", wanted: list[str] | None, page: int) -> Iterator[Session]:
    """Those that are wanted, or every one: the newest first, as they are listed.

    But those of one transaction, and so of one time, in the order in which they were
    made: so they are made again, and listed as they are here.
    """
    if wanted is not None:
        yield from [there.sessions.get(id) for id in wanted]
        return
    listed = each(partial(there.sessions.list, limit=min(_SESSIONS_AT_ONCE, page)))
    for _, sessions in groupby(listed, key=attrgetter("created_at")):
        yield from reversed([*sessions])


def _export(sink: _Sink, there: "Store", session: Session) -> None:
    """Write one session, and what is in it."""
    after, begun = 0, False
    while True:
        page = there.sessions.messages(session.id, sink.page, after=after)
        if not begun:
            first = page[0].position if page else _begins(there, session.id)
            sink.put(session_line(session, first))
            begun = True
        before = sink.bytes
        for message in page:
            sink.put(message_line(message))
        sink.learn(len(page), sink.bytes - before)
        if page.cursor is None:
            break
        after = page[-1].position
    summaries = partial(there.sessions.summaries, session.id)
    for summary in each(partial(summaries, limit=sink.page)):
        sink.put(summary_line(summary))


def _begins(there: "Store", id: str) -> int:
    """Where the first message of an empty session will stand."""
    return there._read(lambda tx: Sessions(tx).begins(id))  # noqa: SLF001


@contextmanager
def _written(store: "Store", target: Place) -> Iterator[BinaryIO]:
    """The file to write to; one that is made at a path is there when all is in it."""
    if not isinstance(target, (str, os.PathLike)):
        if not hasattr(target, "write") or hasattr(target, "encoding"):
            raise edges.wrong_type("target", "a path, or a binary file", target)
        yield target
        return
    path = Path(target)
    refuse_own_file(store, path, "exported")
    with made_whole(path) as file:
        yield file
