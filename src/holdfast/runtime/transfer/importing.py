"""Importing: sessions out of a file that a store has exported.

Answers for: `import_from`: a file is looked through before anything of it is written,
then its sessions are taken in.
Leaves to others: the format (`kinds/exported`), what is there already (`admission`).
Always holds: a file with a fault in it leaves the store as it was, and the line of the
fault is told; memory does not grow with the file; a file is data, and never code.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import msgspec

from holdfast import edges
from holdfast.errors import BadInput, BrokenFile, CannotOpen
from holdfast.kinds.exported import (
    AnyLine,
    EndLine,
    MessageLine,
    SessionLine,
    SummaryLine,
    read_document,
    read_head,
    read_line,
)
from holdfast.limits import Limits
from holdfast.runtime.transfer.admission import (
    Admission,
    Arrival,
    SessionsReport,
    arrival,
)
from holdfast.runtime.transfer.exporting import Place, refuse_own_file

if TYPE_CHECKING:
    from holdfast.store import Store

DOCUMENT_BYTES = 1 << 26
"""A longer file has to be one of lines."""
_PROGRESS_LINES = 1_000
Tell = Callable[[int, int, int], None]


def import_sessions(store: "Store", source: Place, tell: Tell | None) -> SessionsReport:
    """Take in the sessions of a path or a file.

    `tell` is told the bytes read, the bytes to read (each is read twice), and the
    messages that are in. Raises `BrokenFile`, or what else is wrong with one line, with
    nothing written; `CannotOpen`.
    """
    core = store._core  # noqa: SLF001
    core.refuse_inside("import_from")
    core.terms(store._terms)  # noqa: SLF001 - a look at the past is refused
    limits = core.limits
    tell = tell or (lambda _read, _total, _messages: None)
    with _opened(store, source) as file:
        start = file.tell()
        size = file.seek(0, os.SEEK_END) - start
        admission = Admission(store, limits, name=_name_of(source))
        for number, _ in enumerate(_arrivals(file, start, limits)):
            if number % _PROGRESS_LINES == 0:
                tell(file.tell() - start, 2 * size, 0)
        for one in _arrivals(file, start, limits):
            if admission.take(one):
                tell(size + file.tell() - start, 2 * size, admission.messages)
        admission.flush()
    tell(2 * size, 2 * size, admission.messages)
    return admission.report()


@contextmanager
def _opened(store: "Store", source: Place) -> Iterator[BinaryIO]:
    """The file, open for reading from where it stands; one that is a pipe is copied."""
    if not isinstance(source, (str, os.PathLike)):
        if not hasattr(source, "read") or hasattr(source, "encoding"):
            raise edges.wrong_type("source", "a path, or a binary file", source)
        with _seekable(source) as file:
            yield file
        return
    path = Path(source)
    refuse_own_file(store, path, "imported")
    try:
        opened = path.open("rb")
    except OSError as error:
        raise CannotOpen(f"{path}: {error.strerror}; nothing was imported") from error
    with opened, _seekable(opened) as file:
        try:
            yield file
        except BadInput as error:
            error.args = (f"{path}: {error}",)
            raise


@contextmanager
def _seekable(file: BinaryIO) -> Iterator[BinaryIO]:
    if file.seekable():
        yield file
        return
    import shutil  # noqa: PLC0415  # it loads slowly, and few need it
    import tempfile  # noqa: PLC0415  # it loads slowly, and few need it

    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        yield cast("BinaryIO", copy)


def _name_of(source: Place) -> str:
    name = source if isinstance(source, (str, os.PathLike)) else "a file"
    text = os.fsencode(Path(name).name).decode(errors="replace")
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def _arrivals(file: BinaryIO, start: int, limits: Limits) -> Iterator[Arrival]:
    """What a file has, from a place on, checked; and that it is whole."""
    file.seek(start)
    order = _Order()
    number: int | None = 0
    for number, place, line in _records(file, start, limits):
        try:
            order.see(line)
            if not isinstance(line, EndLine):
                yield arrival(line, place, limits)
        except BadInput as error:
            raise type(error)(f"{place}: {error}") from None
        except ValueError as error:
            raise _broken(place, error, number) from None
    if not order.ended:
        raise BrokenFile(
            f"line {number:,}: the file ends here, and is not whole; nothing was "
            "imported",
            number,
        )


def _records(
    file: BinaryIO, start: int, limits: Limits
) -> Iterator[tuple[int | None, str, AnyLine]]:
    """The number of each line, its name, and what it has; or those of a document."""
    longest = 2 * limits.value_bytes + (1 << 20)
    number, place = 1, "line 1"
    try:
        read_head(_line(file, longest))
    except ValueError as error:
        yield from _document(file, start, error)
        return
    while True:
        number += 1
        place = f"line {number:,}"
        try:
            text = _line(file, longest)
            if not text:
                return
            line = read_line(text)
        except ValueError as error:
            raise _broken(place, error, number) from None
        yield number, place, line


def _line(file: BinaryIO, longest: int) -> bytes:
    """The next line of a file; nothing at its end. Raises `ValueError` if too long."""
    text = file.readline(longest + 1)
    if len(text) > longest:
        raise ValueError(
            f"it is longer than {longest:,} bytes, which no record may be "
            "(limits.value_bytes)"
        )
    return text


def _document(
    file: BinaryIO, start: int, fault: ValueError
) -> Iterator[tuple[None, str, AnyLine]]:
    """What the one document has that a file is, if it is one.

    `fault` is what speaks against a file of lines.
    """
    if file.seek(0, os.SEEK_END) - start > DOCUMENT_BYTES:
        raise _no_export(fault)
    file.seek(start)
    try:
        document = read_document(file.read())
    except msgspec.DecodeError:
        raise _no_export(fault) from None
    except ValueError as error:
        raise _no_export(error) from None
    yield None, "session", document.session
    for number, message in enumerate(document.messages):
        yield None, f"messages[{number}]", message
    for number, summary in enumerate(document.summaries):
        yield None, f"summaries[{number}]", summary
    yield None, "the end", EndLine(sessions=1, messages=len(document.messages))


def _broken(place: str, error: ValueError, line: int | None) -> BrokenFile:
    return BrokenFile(f"{place}: {error}; nothing was imported", line)


def _no_export(error: ValueError) -> BrokenFile:
    return BrokenFile(
        f"line 1: this is no export of sessions ({error}); nothing was imported", 1
    )


class _Order:
    """The order in which records may come; `ValueError` for one that may not."""

    def __init__(self) -> None:
        self.ended = False
        self._session: SessionLine | None = None
        self._next = self._past = 1
        self._sessions = self._messages = 0

    def see(self, line: AnyLine) -> None:
        """Take the next record."""
        if self.ended:
            raise ValueError("something follows the end")
        if isinstance(line, SessionLine):
            self._begin(line)
        elif isinstance(line, EndLine):
            self._end(line)
        elif self._session is None:
            raise ValueError("no session comes before this")
        elif isinstance(line, MessageLine):
            self._message(line)
        else:
            self._summary(line)

    def _begin(self, line: SessionLine) -> None:
        self._whole()
        last = line.first - 1 + line.messages
        if line.first < 1 or line.messages < 0 or line.version < last:
            raise ValueError("no session has such positions, or such a version")
        self._session = line
        self._sessions += 1
        self._next, self._past = line.first, line.first + line.messages

    def _message(self, line: MessageLine) -> None:
        if line.position != self._next or self._next == self._past:
            wanted = f"{self._next:,}" if self._next < self._past else "none"
            raise ValueError(
                f"a message at position {line.position:,}, where {wanted} is to come"
            )
        self._next += 1
        self._messages += 1

    def _summary(self, line: SummaryLine) -> None:
        self._whole()
        assert self._session is not None
        if not self._session.first <= line.upto < self._past:
            raise ValueError(f"a summary up to {line.upto:,}, where no message stands")

    def _end(self, line: EndLine) -> None:
        self._whole()
        if (line.sessions, line.messages) != (self._sessions, self._messages):
            raise ValueError(
                f"{line.sessions:,} sessions and {line.messages:,} messages are said "
                f"to be here, and {self._sessions:,} and {self._messages:,} are"
            )
        self.ended = True

    def _whole(self) -> None:
        if self._next != self._past and self._session is not None:
            raise ValueError(
                f"{self._past - self._next:,} messages of session "
                f"{self._session.id[:200]!r} are missing before this"
            )
