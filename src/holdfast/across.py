"""Across owners: lists and the journal over everyone's state, read-only.

Answers for: `store.across_owners()`, for those who run a store.
Always holds: nothing is written through it; each record says whose it is.
"""

from collections.abc import Callable
from typing import Any

from holdfast import edges
from holdfast.errors import Refused
from holdfast.journal import Journal
from holdfast.limits import Limits
from holdfast.page import Page, cursor_of, place_of

_PAGE = 50


class EveryList:
    """The list of one kind over all owners; a page goes on where the last one ended."""

    def __init__(
        self,
        owners: Callable[[], list[str]],
        list_of: Callable[..., Page[Any]],
        limits: Limits,
    ) -> None:
        self._owners = owners
        self._limits = limits
        self._list_of = list_of

    def list(
        self,
        *,
        limit: int = _PAGE,
        cursor: str | None = None,
        **filters: object,
    ) -> Page[Any]:
        """Records of all owners: by owner, and within one as its own list has them."""
        limit = edges.page_of(limit, "limit", self._limits)
        start, inner = "", None
        if cursor is not None:
            cursor = edges.text_of(cursor, "cursor", self._limits)
            start, within = (str(part) for part in place_of(cursor, str, str))
            inner = within or None
        found: list[Any] = []
        for owner in [name for name in self._owners() if name >= start]:
            if len(found) == limit:
                return Page(found, cursor_of(owner, ""))
            page = self._list_of(
                owner, limit=limit - len(found), cursor=inner, **filters
            )
            found += page
            inner = None
            if page.cursor is not None:
                return Page(found, cursor_of(owner, page.cursor))
        return Page(found)


class AcrossOwners:
    """Lists of every kind that has one, and the journal, over all owners."""

    def __init__(
        self,
        lists: dict[str, EveryList],
        journal: Journal,
    ) -> None:
        self._lists = lists
        self.journal = journal

    def __getattr__(self, name: str) -> EveryList:
        try:
            return self._lists[name]
        except KeyError:
            raise Refused(
                f"across owners there are only lists and the journal, no {name!r}: "
                "use store.owned_by(owner)"
            ) from None
