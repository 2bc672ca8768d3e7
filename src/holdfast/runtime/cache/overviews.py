"""Overviews of sessions, kept for a minute, or until the session changes.

Answers for: `store.sessions.overview` and `overviews` in memory, for all owners of one
open store.
Leaves to others: what an overview is (`kinds.overviews`), keeping it (`cache`).
Always holds: what was appended through this store is in the next overview; a look at
the past, or from within a transaction, goes past the memory.
"""

from collections.abc import Hashable
from datetime import datetime
from typing import TYPE_CHECKING

from holdfast import edges
from holdfast.errors import NotFound
from holdfast.kinds.overview_records import Overview
from holdfast.kinds.sessions import Sessions
from holdfast.page import Page

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore
    from holdfast.runtime.cache.cache import Cache
    from holdfast.store import Store

OVERVIEW_SECONDS = 60.0
"""How long an overview is given again, where nothing outdates it before."""
OVERVIEWS = 10_000
"""How many are in memory, at most."""


class OverviewedSessions(Sessions):
    """Sessions whose overviews are kept in memory for a while."""

    _target: "Store"

    def overview(self, id: str) -> Overview:
        """A conversation at a glance: counts, participants, first and last message.

        Made from its messages, without a model, and kept in memory for a minute, or
        until the session changes: what was written through this store is in it at once,
        what another process wrote as soon as that is noticed. Raises `NotFound`.
        """
        store = self._target
        kind, operation = store._core.registry.operation("sessions.overview")  # noqa: SLF001
        if not may_be_kept(store):
            found: Overview = store.perform(kind, operation, (id,), {})
            return found
        key = (store.owner, edges.id_of(id, "id"))
        return overviews_of(store).get(
            key, lambda: store.perform(kind, operation, (id,), {})
        )

    def overviews(
        self,
        *,
        status: str | None = None,
        tag: str | None = None,
        parent: str | None = None,
        created_before: datetime | str | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page[Overview]:
        """Overviews of sessions, newest first, as `list` gives those.

        Each is kept as `overview` keeps it, so that they may be of several moments.
        """
        page = self.list(
            status=status,
            tag=tag,
            parent=parent,
            created_before=created_before,  # type: ignore[arg-type]
            limit=limit,
            cursor=cursor,
        )
        found = []
        for session in page:
            try:
                found.append(self.overview(session.id))
            except NotFound:  # it was deleted just now
                continue
        return Page(found, page.cursor)


def may_be_kept(store: "Store | AsyncStore") -> bool:
    """Whether what it gives is of now, and of what was committed."""
    core, terms = store._core, store._terms  # noqa: SLF001
    return terms.moment is None and not core.engine.inside()


def overviews_of(store: "Store | AsyncStore") -> "Cache[Overview]":
    """The overviews that are in memory, all owners' of an open store."""
    kept = store._core.kept  # noqa: SLF001
    found: Cache[Overview] | None = kept.get("overviews")
    if found is None:
        found = kept.setdefault("overviews", _made(store))
    return found


def _made(store: "Store | AsyncStore") -> "Cache[Overview]":
    from holdfast.runtime.cache.cache import Cache  # noqa: PLC0415  # few ask for it

    class Overviews(Cache[Overview]):
        """Overviews by owner and session."""

        def _whose(self, key: Hashable) -> str:
            return str(key[0])  # type: ignore[index]

    return Overviews(
        store,
        seconds=OVERVIEW_SECONDS,
        size=OVERVIEWS,
        invalidated_by=lambda key: {"sessions": key[1]},
    )
