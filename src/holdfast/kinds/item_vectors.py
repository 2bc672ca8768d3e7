"""Vectors: what stands for the meaning of a text, and how near two of them are.

Answers for: the bytes that vectors are stored as, and the cosine between them.
Leaves to others: making a vector of a text (whoever calls), which items are looked at.
Always holds: a vector is kept as directions of 32 bits a number, so that the cosine is
right to about one part in ten million; numpy, if it is there, changes how fast the
nearest are found, and not which.
"""

import functools
import math
import operator
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from holdfast import edges
from holdfast.errors import WrongType
from holdfast.limits import Limits, hold

_MOST_NUMBERS = 16_384
_NUMBER_BYTES = 4
_FEW = 100
"""Vectors of which so many are compared sooner than numpy is loaded."""
_DIGITS = 7
"""What is right of a cosine; what two ways to add the same numbers agree on."""
_decode = msgspec.msgpack.Decoder(dict[str, bytes]).decode


def vector_of(value: object, name: str, limits: Limits) -> tuple[float, ...]:
    """A vector: a list of finite numbers, which becomes a direction."""
    return _numbers_in(_direction_of(value, name, limits))


def vectors_of(value: object, name: str, limits: Limits) -> bytes:
    """Named vectors, as the bytes that are stored."""
    if not isinstance(value, dict):
        raise edges.wrong_type(name, "a dict of vectors", value)
    stored = msgspec.msgpack.encode(
        {
            edges.text_of(key, f"a name in {name}", limits): _direction_of(
                vector, f"{name}[{key!r}]", limits
            )
            for key, vector in value.items()
        }
    )
    hold(len(stored), limits.value_bytes, name, "value_bytes")
    return stored


def _direction_of(value: object, name: str, limits: Limits) -> bytes:
    if not isinstance(value, (list, tuple)):
        raise edges.wrong_type(name, "a list of numbers", value)
    if not 0 < len(value) <= _MOST_NUMBERS:
        raise WrongType(
            f"{name}: a vector has 1 to {_MOST_NUMBERS:,} numbers, not {len(value):,}"
        )
    if set(map(type, value)) != {float} or not math.isfinite(sum(value)):
        for place, number in enumerate(value):
            edges.number_of(number, f"{name}[{place}]", limits)
    length = math.hypot(*value) or 1.0
    return struct.pack(f"<{len(value)}f", *[number / length for number in value])


def nearest_of(
    stored: Sequence[bytes], wanted: Sequence[float], most: int, floor: float
) -> Iterator[tuple[int, float]]:
    """The places of those that are nearest, each with the cosine to its nearest vector.

    At least the `most` nearest of those that are not below a floor; others may be among
    them, but none without a vector of that length.
    """
    size = len(wanted) * _NUMBER_BYTES
    numpy = _numpy() if len(stored) >= _FEW else None
    places: Iterable[int] = range(len(stored))
    if numpy is not None:
        places = _near(numpy, stored, numpy.array(wanted, "<f4"), most, floor)
    for place in places:
        vectors = _decode(stored[place]).values()
        found = [_cosine(vector, wanted) for vector in vectors if len(vector) == size]
        if found:
            yield place, max(found)


def _near(
    numpy: Any, stored: Sequence[bytes], wanted: Any, most: int, floor: float
) -> Iterable[int]:
    """The places of those that may be among the nearest.

    Cosines are added up in 32 bits, which is wrong by half of `margin` at most.
    """
    places, vectors = _together(numpy, stored, len(wanted))
    best = numpy.full(len(stored), -numpy.inf, "f4")
    numpy.maximum.at(best, places, vectors @ wanted)
    if most < len(best):
        floor = max(floor, numpy.partition(best, -most)[-most])
    margin = len(wanted) * 2**-23 + 10**-_DIGITS
    found: list[int] = numpy.flatnonzero(best >= floor - margin).tolist()
    return found


def _together(numpy: Any, stored: Sequence[bytes], numbers: int) -> tuple[Any, Any]:
    """The vectors of one length, in one table; and the place that each is of.

    If each has one vector of that length, by the same name, they are not taken apart.
    """
    size, length = numbers * _NUMBER_BYTES, len(stored[0])
    if {*map(len, stored)} == {length} and [*map(len, _decode(stored[0]).values())] == [
        size
    ]:
        table = numpy.frombuffer(b"".join(stored), "u1").reshape(-1, length)
        if (table[:, :-size] == table[0, :-size]).all():
            vectors = numpy.ascontiguousarray(table[:, -size:]).view("<f4")
            return numpy.arange(len(stored)), vectors
    alike = [
        (place, vector)
        for place, each in enumerate(map(_decode, stored))
        for vector in each.values()
        if len(vector) == size
    ]
    vectors = numpy.frombuffer(b"".join(vector for _, vector in alike), "<f4")
    places = numpy.array([place for place, _ in alike], "i8")
    return places, vectors.reshape(-1, numbers)


def _cosine(vector: bytes, wanted: Sequence[float]) -> float:
    product: float = sum(map(operator.mul, _numbers_in(vector), wanted))
    return round(min(1.0, max(-1.0, product)), _DIGITS)


def _numbers_in(vector: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(vector) // _NUMBER_BYTES}f", vector)


@functools.cache
def _numpy() -> Any:
    """The extra that compares many at once, if it is there."""
    try:
        import numpy as np  # noqa: PLC0415  # it loads slowly, and few need it
    except ImportError:
        return None
    return np
