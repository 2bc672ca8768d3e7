"""Blank: what a transaction reads where nothing was written yet."""

from collections.abc import Sequence
from typing import Any

from holdfast.engine import Row, Terms, Transaction
from holdfast.limits import Limits


class Blank(Transaction):
    """A look at nothing."""

    __slots__ = ()

    def __init__(self, terms: Terms, limits: Limits, now: int) -> None:
        super().__init__(terms, limits, now, 0)

    def one(self, name: str, /, **values: object) -> Row | None:
        return None

    def all(self, name: str, /, **values: object) -> list[Row]:
        return []

    def each(self, name: str, values: Sequence[dict[str, Any]]) -> list[list[Row]]:
        return [[] for _ in values]
