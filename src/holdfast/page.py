"""A page: records in a stated order, and where the next page begins.

Answers for: what a list returns, and the text of a cursor.
Always holds: a cursor is opaque to callers, safe in a URL, and refused if it is not
one of ours.
"""

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar, overload

import msgspec

from holdfast.errors import InvalidId

T_co = TypeVar("T_co", covariant=True)
_MAX_NUMBER = 2**62
"""No place in a database has a larger number."""


class Page(Sequence[T_co], Generic[T_co]):
    """Records in a stated order; `cursor` asks for the next page, None at the end."""

    __slots__ = ("_records", "cursor")

    def __init__(self, records: Iterable[T_co], cursor: str | None = None) -> None:
        self._records = tuple(records)
        self.cursor = cursor

    @overload
    def __getitem__(self, index: int) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T_co, ...]: ...
    def __getitem__(self, index: int | slice) -> T_co | tuple[T_co, ...]:
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[T_co]:
        return iter(self._records)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Page):
            return self._records == other._records and self.cursor == other.cursor
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self._records, self.cursor))

    def __repr__(self) -> str:
        return f"Page({len(self)} records, cursor={self.cursor!r})"


def cursor_of(*place: int | str) -> str:
    """The cursor that stands for a place in an order."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _fits(part: int | str) -> bool:
    return isinstance(part, str) or abs(part) <= _MAX_NUMBER


def place_of(cursor: str, *types: type) -> list[int | str]:
    """The place that a cursor stands for; `InvalidId` if it is none of ours."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        place: list[int | str] = msgspec.json.decode(text, type=list[int | str])
    except (ValueError, binascii.Error, msgspec.DecodeError):
        place = []
    if [type(part) for part in place] != list(types) or not all(map(_fits, place)):
        raise InvalidId(f"{cursor!r} is no cursor of this list")
    return place
