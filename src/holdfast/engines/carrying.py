"""Carrying: what takes a bus's frames to other processes, and frames in pieces.

Answers for: what a carrier and a bus are to each other; cutting a frame into pieces
that a carrier takes, and putting them together.
Leaves to others: what is in a frame (`runtime/bus`), how it travels (each carrier).
Always holds: a frame is put together whole, or not at all.
"""

from collections.abc import Iterator
from typing import Protocol

import msgspec

_UNFINISHED_MOST = 100
_WHOLE, _MORE, _LAST = b"=", b"+", b"."
_HEAD_BYTES = 80
_INSIDE = 0b1000_0000
"""How a byte of UTF-8 begins that does not begin a character, in its first two bits."""


class Frame(msgspec.Struct, frozen=True):
    """What is carried, by whom it can be told from others, and where it leads."""

    key: str
    """No other frame has the same."""
    room: str
    """What it is about, for carriers that have rooms: `topic`, `to`, `all`, `here`."""
    name: str
    """The topic, or whom it is to; empty if there is none."""
    text: bytes
    """UTF-8."""


class Traffic(Protocol):
    """The bus, as a carrier sees it. Each call may come from the carrier's threads."""

    def next(self) -> Frame:
        """The next frame to carry, as soon as there is one. Raises `Closed`."""
        ...

    def more(self) -> Frame | None:
        """The next frame to carry, if there is one already."""
        ...

    async def anext(self) -> Frame:
        """As `next`, awaited."""
        ...

    def came(self, text: bytes) -> None:
        """A frame came, one's own perhaps."""
        ...

    def hears(self, so: bool) -> None:
        """Whether what others send is heard, from now on."""
        ...

    def speaks(self, so: bool) -> None:
        """Whether what is sent goes out, from now on."""
        ...


class Carrier(Protocol):
    """Takes frames to every other process of a bus, in order, and brings theirs."""

    def open(self, traffic: Traffic) -> None:
        """Connect; when this returns, what others send is heard."""
        ...

    def close(self) -> None:
        """Carry what is there, if that goes at once; then let go of everything."""
        ...


def pieces(frame: Frame, most: int) -> Iterator[bytes]:
    """A frame in pieces of so many bytes, cut between characters."""
    text = frame.text
    if len(text) < most:
        yield _WHOLE + text
        return
    room, start, number = most - _HEAD_BYTES, 0, 0
    while start < len(text):
        end = min(start + room, len(text))
        while end < len(text) and text[end] & 0b1100_0000 == _INSIDE:
            end -= 1
        sign = _MORE if end < len(text) else _LAST
        head = b"%s%s %d:" % (sign, frame.key.encode(), number)
        yield head + text[start:end]
        start, number = end, number + 1


class Together:
    """Puts pieces together."""

    def __init__(self) -> None:
        self._begun: dict[bytes, list[bytes]] = {}

    def add(self, piece: bytes) -> bytes | None:
        """The whole frame, if this piece is its last; what does not fit is dropped."""
        sign, rest = piece[:1], piece[1:]
        if sign == _WHOLE:
            return rest
        head, _, text = rest.partition(b":")
        key, _, number = head.rpartition(b" ")
        begun = self._begun.pop(key, [])
        if number == b"0":  # of a frame that is told again, perhaps
            begun = []
        if sign not in {_MORE, _LAST} or number != b"%d" % len(begun):
            return None
        begun.append(text)
        if sign == _LAST:
            return b"".join(begun)
        self._begun[key] = begun
        if len(self._begun) > _UNFINISHED_MOST:
            del self._begun[next(iter(self._begun))]
        return None
