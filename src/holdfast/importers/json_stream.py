"""The values of a JSON file, one after another, however large the file.

Answers for: where each value begins and ends, in bytes; handing over its text if that
is short enough to hold; going on after a value whose inside is broken.
Leaves to others: what a value means; `decode` says what is wrong within one.
Always holds: memory stays within one chunk and the longest text that was asked for.

It finds the ends of values by their brackets and quotes alone, so a value that is
broken inside costs itself only. (A parser of events, such as ijson, ends at the first
fault, tells no byte position, and refuses whole numbers past 64 bits.)
"""

import io
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

import msgspec

from holdfast.codec import Json

CHUNK_BYTES = 1 << 18
_QUOTE, _BACKSLASH, _COMMA, _COLON = b'"\\,:'
_OPENING, _CLOSING = b"{[", b"}]"
_SPACE = re.compile(rb"[ \t\r\n]*+")
_TEXT = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_PLAIN = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
_SCALAR = re.compile(rb'[^ \t\r\n,:"{}\[\]]*+')


class BrokenJsonError(ValueError):
    """The file cannot be read past this byte."""

    def __init__(self, at_byte: int, reason: str) -> None:
        super().__init__(reason)
        self.at_byte = at_byte
        self.reason = reason


class Span(msgspec.Struct, frozen=True):
    """Where a value is, and its text unless that is longer than was asked for."""

    start: int
    end: int
    text: bytes | None


class Scanner:
    """Walks over the values of a file from a byte on."""

    END = -1

    def __init__(self, file: BinaryIO, start: int = 0) -> None:
        self._file = file
        self._buffer = b""
        self._base = start
        self._at = 0
        self._from = 0
        self._kept: list[bytes] | None = None
        self._room = 0

    @property
    def place(self) -> int:
        """The byte that comes next, counted from the start of the file."""
        return self._base + self._at

    def peek(self) -> int:
        """The next byte; -1 at the end of the file."""
        if self._at == len(self._buffer) and not self._fill():
            return self.END
        return self._buffer[self._at]

    def skip_space(self) -> int:
        """Go to the next byte that is no white space, and peek at it."""
        while True:
            self._at = self._match(_SPACE)
            byte = self.peek()
            if byte == self.END or byte not in b" \t\r\n":
                return byte

    def take(self, *wanted: int) -> int:
        """Go past the next byte, which must be one of these, after white space."""
        byte = self.skip_space()
        if byte not in wanted:
            names = " or ".join(repr(chr(one)) for one in wanted)
            self._break(f"{names} is missing here")
        self._at += 1
        return byte

    def value(self, limit: int) -> Span:
        """Go past one value; its text comes along if it has at most `limit` bytes."""
        start, self._from = self.place, self._at
        self._kept, self._room = [], limit
        try:
            self._skip_value()
            self._keep(self._buffer[self._from : self._at])
            text = None if self._kept is None else b"".join(self._kept)
        finally:
            self._kept = None
        return Span(start, self.place, text)

    def _skip_value(self) -> None:
        byte = self.peek()
        if byte == _QUOTE:
            self._skip_text()
        elif byte != self.END and byte in _OPENING:
            self._skip_nest()
        else:
            self._skip_scalar()

    def _skip_nest(self) -> None:
        depth = 0
        while True:
            self._at = self._match(_PLAIN)
            byte = self.peek()
            if byte == self.END:
                self._break("the file ends within a value")
            if byte == _QUOTE:
                self._skip_text()
            elif byte in _OPENING:
                self._at += 1
                depth += 1
            elif byte in _CLOSING:
                self._at += 1
                depth -= 1
                if not depth:
                    return

    def _skip_text(self) -> None:
        self._at += 1
        while True:
            self._at = self._match(_TEXT)
            byte = self.peek()
            if byte == _QUOTE:
                self._at += 1
                return
            cut = self._at + 1 == len(self._buffer)  # a backslash, and what it escapes
            if byte == self.END or (cut and not self._fill()):
                self._at = len(self._buffer)
                self._break("the file ends within a text")

    def _skip_scalar(self) -> None:
        start = self.place
        while True:
            self._at = self._match(_SCALAR)
            if self._at < len(self._buffer) or not self._fill():
                break
        if self.place == start:
            self._break("a value is missing here")

    def _match(self, pattern: re.Pattern[bytes]) -> int:
        """Where the pattern, which takes any text, stops taking this one."""
        found = pattern.match(self._buffer, self._at)
        assert found is not None
        return found.end()

    def _fill(self) -> bool:
        self._file.seek(self._base + len(self._buffer))
        chunk = self._file.read(CHUNK_BYTES)
        if not chunk:
            return False
        self._keep(self._buffer[self._from : self._at])
        self._buffer = self._buffer[self._at :] + chunk
        self._base += self._at
        self._at = self._from = 0
        return True

    def _keep(self, piece: bytes) -> None:
        if self._kept is None:
            return
        self._room -= len(piece)
        if self._room < 0:
            self._kept = None
        else:
            self._kept.append(piece)

    def _break(self, reason: str) -> NoReturn:
        if self.peek() == self.END and not reason.startswith("the file ends"):
            reason = f"the file ends where {reason.removesuffix(' here')}"
        raise BrokenJsonError(self.place, reason)


def elements(scanner: Scanner, limit: int) -> Iterator[Span]:
    """The elements of the list that the scanner stands before.

    One that the file breaks off in comes last, without its text; then it raises
    `BrokenJsonError`.
    """
    scanner.take(_OPENING[1])
    while scanner.skip_space() != _CLOSING[1]:
        start = scanner.place
        if scanner.peek() == _COMMA:
            yield Span(start, start, b"")
        else:
            try:
                yield scanner.value(limit)
            except BrokenJsonError:
                yield Span(start, start, None)
                raise
        if scanner.take(_COMMA, _CLOSING[1]) == _CLOSING[1]:
            return
    scanner.take(_CLOSING[1])


def members(scanner: Scanner, limit: int) -> Iterator[str]:
    """The keys of the object that the scanner stands before.

    At each key the scanner stands before its value: whoever asks goes past that.
    """
    scanner.take(_OPENING[0])
    while scanner.skip_space() != _CLOSING[0]:
        place = scanner.place
        key = _key(scanner.value(limit).text or b"")
        if key is None:
            raise BrokenJsonError(place, "a key is missing here")
        scanner.take(_COLON)
        scanner.skip_space()
        yield key
        if scanner.take(_COMMA, _CLOSING[0]) == _CLOSING[0]:
            return
    scanner.take(_CLOSING[0])


def _key(text: bytes) -> str | None:
    try:
        key = decode(text)
    except ValueError:
        return None
    return key if isinstance(key, str) else None


def decode(text: bytes) -> Json:
    """The value that a JSON text stands for.

    Raises `ValueError`, which says what is wrong and at which byte of the text.
    """
    try:
        return cast("Json", msgspec.json.decode(text))
    except (ValueError, RecursionError):
        return _decode_slowly(text)


def _decode_slowly(text: bytes) -> Json:
    """The same with other eyes: better reasons, and texts with lone surrogates."""
    try:
        characters = text.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"no UTF-8 at byte {error.start} of it") from None
    try:
        return cast("Json", json.loads(characters))
    except json.JSONDecodeError as error:
        byte = len(characters[: error.pos].encode())
        raise ValueError(f"no JSON at byte {byte} of it: {error.msg}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def open_seekable(path: Path) -> BinaryIO:
    """The file, open for reading; a pipe is first copied to a temporary file."""
    file = path.open("rb")
    if file.seekable():
        return file
    with file:
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        shutil.copyfileobj(file, copy, CHUNK_BYTES)
        return cast("BinaryIO", copy)


def size_of(file: BinaryIO) -> int:
    """How many bytes a seekable file has."""
    return file.seek(0, io.SEEK_END)


def read_at(file: BinaryIO, start: int, end: int) -> bytes:
    """The bytes of a file from one place to another."""
    file.seek(start)
    return file.read(end - start)
