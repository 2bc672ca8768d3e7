"""Overviews of sessions, kept for a minute: the same calls, awaited.

Answers for: the async face of what `overviews` has.
"""

from datetime import datetime
from typing import TYPE_CHECKING

from holdfast import edges
from holdfast.afaces import AsyncSessions
from holdfast.errors import NotFound
from holdfast.kinds.overview_records import Overview
from holdfast.page import Page
from holdfast.runtime.cache.overviews import may_be_kept, overviews_of

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore


class AsyncOverviewedSessions(AsyncSessions):
    """Sessions whose overviews are kept in memory for a while."""

    _target: "AsyncStore"

    async def overview(self, id: str) -> Overview:
        """As `store.sessions.overview`: a conversation at a glance."""
        store = self._target
        ask = super().overview
        if not may_be_kept(store):
            return await ask(id)
        key = (store.owner, edges.id_of(id, "id"))
        return await overviews_of(store).aget(key, lambda: ask(id))

    async def overviews(
        self,
        *,
        status: str | None = None,
        tag: str | None = None,
        parent: str | None = None,
        created_before: datetime | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page[Overview]:
        """As `store.sessions.overviews`: overviews, newest first."""
        page = await self.list(
            status=status,
            tag=tag,
            parent=parent,
            created_before=created_before,
            limit=limit,
            cursor=cursor,
        )
        found = []
        for session in page:
            try:
                found.append(await self.overview(session.id))
            except NotFound:  # it was deleted just now
                continue
        return Page(found, page.cursor)
