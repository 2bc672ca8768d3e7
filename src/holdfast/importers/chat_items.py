"""The items of a transcript file: its lines, or the elements of its lists.

Answers for: telling JSON lines from JSON documents, and naming each item's place.
Leaves to others: what an item is (`chat_files`), bytes (`json_stream`).
Always holds: a line that is broken costs that line only; items come in file order.
"""

import codecs
import itertools
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from holdfast.importers.json_stream import (
    BrokenJsonError,
    Scanner,
    Span,
    decode,
    elements,
)

WHOLE_BYTES = 1 << 20
"""An item up to this size is read at once; of a longer one only the place is told."""
_PROBE_BYTES = 1 << 16
_FIRST_LINES = 2


class Item(msgspec.Struct, frozen=True):
    """One item: its place, its number within its group (from 0), and where it is.

    A group is a list, known by the byte where it begins, or -1: the file's own values
    and lines. Messages that stand by themselves in one group belong together.
    """

    position: str
    number: int
    group: int
    span: Span

    def within(self, path: str) -> str:
        """The place of something within this item."""
        gap = " " if self.position.startswith("line") and path else ""
        return f"{self.position}{gap}{path}"


OUTERMOST = -1


def items(file: BinaryIO, group: int = OUTERMOST) -> Iterator[Item]:
    """The items of a file; or, given a group, at least the items of that group.

    Raises `BrokenJsonError` after the last item that can be told.
    """
    if group != OUTERMOST:
        yield from _elements(Scanner(file, group), "")
        return
    start = _start(file)
    if _in_lines(file, start):
        yield from _lines(file, start)
    else:
        yield from _values(file, start)


def _start(file: BinaryIO) -> int:
    """Where the text begins: after a byte order mark, if there is one."""
    file.seek(0)
    mark = codecs.BOM_UTF8
    return len(mark) if file.read(len(mark)) == mark else 0


def _in_lines(file: BinaryIO, start: int) -> bool:
    """Whether the file has a value a line, judging by its first two lines.

    Raises `BrokenJsonError` if nothing at its beginning looks like JSON.
    """
    file.seek(start)
    probe = file.read(_PROBE_BYTES)
    whole = len(probe) < _PROBE_BYTES
    found = (line.strip() for line in probe.split(b"\n"))
    lines = list(itertools.islice(filter(None, found), _FIRST_LINES))
    if not lines:
        return True
    several = len(lines) == _FIRST_LINES
    if lines[0][:1] == b"[":
        return several and _is_value(lines[0])
    if lines[0][:1] == b"{":
        cut = not several and not whole
        return cut or _is_value(lines[0]) or (several and lines[1][:1] == b"{")
    if not any(line.lstrip()[:1] in {b"{", b"["} for line in probe.split(b"\n")):
        raise BrokenJsonError(start, f"this is no JSON: it begins {probe[:16]!r}")
    return True


def _is_value(line: bytes) -> bool:
    try:
        decode(line)
    except ValueError:
        return False
    return True


def _lines(file: BinaryIO, start: int) -> Iterator[Item]:
    """Every line that is not blank; a long one without its text."""
    place = start
    for number in itertools.count(1):
        file.seek(place)
        line = file.readline(WHOLE_BYTES)
        if not line:
            return
        at = place + len(line) - len(line.lstrip())
        place += len(line)
        if len(line) == WHOLE_BYTES and not line.endswith(b"\n"):
            place += _rest_of_line(file)
            span = Span(at, place, None)
        else:
            span = Span(at, place, line.strip())
        if span.text != b"":
            yield Item(f"line {number}", number - 1, OUTERMOST, span)


def _rest_of_line(file: BinaryIO) -> int:
    """Go past the end of a line; how many bytes that was."""
    size = 0
    while piece := file.readline(WHOLE_BYTES):
        size += len(piece)
        if piece.endswith(b"\n"):
            break
    return size


def _values(file: BinaryIO, start: int) -> Iterator[Item]:
    """The elements of each list of the file, and whatever else stands in it."""
    scanner = Scanner(file, start)
    for number in itertools.count():
        byte = scanner.skip_space()
        if byte == Scanner.END:
            return
        name = f"value {number + 1} " if number else ""
        if byte == ord("["):
            yield from _elements(scanner, name)
        else:
            place = scanner.place
            try:
                span = scanner.value(WHOLE_BYTES)
            except BrokenJsonError:
                yield Item(name, number, OUTERMOST, Span(place, place, None))
                raise
            yield Item(name, number, OUTERMOST, span)


def _elements(scanner: Scanner, name: str) -> Iterator[Item]:
    group = scanner.place
    for number, span in enumerate(elements(scanner, WHOLE_BYTES)):
        yield Item(f"{name}[{number}]", number, group, span)
