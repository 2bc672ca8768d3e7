"""Time, ids and chance: the only source of each.

Answers for: what time it is, in integer microseconds since 1970 UTC; new ids; and how
times look at the surface (aware UTC datetimes).
Leaves to others: keeping a store's own time from going backwards (the engine).
Always holds: nothing else in holdfast reads a clock or a random number.
"""

import os
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER_BITS = 40
_UUID_CHARACTERS = 36
_VERSION_AT = 14
_MICROSECOND = timedelta(microseconds=1)
_random = random.Random(os.urandom(32))  # ids need to differ, not to be secret
os.register_at_fork(after_in_child=lambda: _random.seed(os.urandom(32)))


class Clock(Protocol):
    """Where a store takes its time and its chance from; tests own one."""

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""
        ...

    def chance(self) -> int:
        """A whole number of 74 random bits."""
        ...


class SystemClock:
    """The machine's clock, and chance that starts from the operating system's."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def chance(self) -> int:
        return _random.getrandbits(74)


class ManualClock:
    """A clock that stands until it is told to move, with chance from a count.

    `start_us` is where it stands at first.
    """

    def __init__(self, start_us: int = 1_750_000_000_000_000) -> None:
        self._now_us = start_us
        self._draws = 0

    def now_us(self) -> int:
        return self._now_us

    def chance(self) -> int:
        self._draws += 1
        return self._draws << 42

    def advance(self, seconds: float) -> None:
        """Move by so many seconds; a negative number moves it back."""
        self._now_us += round(seconds * 1_000_000)


def uuid7(at_us: int, chance: int, number: int | None = None) -> str:
    """A UUID of version 7 (RFC 9562, section 5.7): sorted by time, then by chance.

    With a number, that takes the place of the last 40 of the 74 bits of chance.
    """
    ms = at_us // 1000
    if number is not None:
        chance = chance >> _NUMBER_BITS << _NUMBER_BITS | number
    return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031  # half the time of an f-string
        ms >> 16 & 0xFFFF_FFFF,
        ms & 0xFFFF,
        chance >> 62 & 0xFFF,
        0x8000 | chance >> 48 & 0x3FFF,
        chance & 0xFFFF_FFFF_FFFF,
    )


def token(at_us: int) -> str:
    """A new UUIDv7 by real chance, whatever clock a store has."""
    return uuid7(at_us, _random.getrandbits(74))


def number_in(id: str) -> int | None:
    """The number that a UUID of ours may end in; None for what is of another form."""
    if len(id) != _UUID_CHARACTERS or id[_VERSION_AT] != "7":
        return None
    try:
        return int(id[-10:], 16)
    except ValueError:
        return None


def to_datetime(at_us: int) -> datetime:
    """Microseconds since 1970 as an aware UTC datetime."""
    return _EPOCH + timedelta(0, 0, at_us)


def to_us(at: datetime) -> int:
    """An aware datetime as microseconds since 1970 UTC."""
    return (at - _EPOCH) // _MICROSECOND
