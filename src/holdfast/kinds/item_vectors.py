"""Vectors: what stands for the meaning of a text, and how near two of them are.

Answers for: the text that vectors are stored as, and the cosine between them.
Leaves to others: making a vector of a text (whoever calls), which items are looked at.
Always holds: a vector is kept as directions of 32 bits a number, so that the cosine is
right to about one part in ten million.
"""

import array
import base64
import math
import operator
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from holdfast import edges
from holdfast.errors import WrongType
from holdfast.limits import Limits, hold

_MOST_NUMBERS = 16_384


def vector_of(value: object, name: str, limits: Limits) -> "array.array[float]":
    """A vector: a list of finite numbers, which becomes a direction."""
    if not isinstance(value, (list, tuple)):
        raise edges.wrong_type(name, "a list of numbers", value)
    if not 0 < len(value) <= _MOST_NUMBERS:
        raise WrongType(
            f"{name}: a vector has 1 to {_MOST_NUMBERS:,} numbers, not {len(value):,}"
        )
    numbers = [
        edges.number_of(number, f"{name}[{place}]", limits)
        for place, number in enumerate(value)
    ]
    length = math.hypot(*numbers) or 1.0
    return array.array("f", [number / length for number in numbers])


def vectors_of(value: object, name: str, limits: Limits) -> str:
    """Named vectors, as the text that is stored."""
    if not isinstance(value, dict):
        raise edges.wrong_type(name, "a dict of vectors", value)
    stored = {
        edges.text_of(key, f"a name in {name}", limits): _packed(
            vector_of(vector, f"{name}[{key!r}]", limits)
        )
        for key, vector in value.items()
    }
    text = msgspec.json.encode(stored)
    hold(len(text), limits.value_bytes, name, "value_bytes")
    return text.decode()


def nearness(stored: str, wanted: Sequence[float]) -> float | None:
    """The cosine to the nearest of stored vectors; None if none is of that length."""
    found: Iterable[Any] = msgspec.json.decode(stored).values()
    return max(
        (
            sum(map(operator.mul, vector, wanted))
            for vector in map(_unpacked, found)
            if len(vector) == len(wanted)
        ),
        default=None,
    )


def _packed(vector: "array.array[float]") -> str:
    return base64.b64encode(_little_endian(vector).tobytes()).decode()


def _unpacked(text: str) -> "array.array[float]":
    vector = array.array("f")
    vector.frombytes(base64.b64decode(text))
    return _little_endian(vector)


def _little_endian(vector: "array.array[float]") -> "array.array[float]":
    if sys.byteorder == "little":
        return vector
    turned = vector[:]
    turned.byteswap()
    return turned
