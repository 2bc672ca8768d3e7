"""News: what the journal got, told to the cached values that it outdates.

Answers for: noticing that something was committed, reading what, and outdating what
depends on it, for all caches of one open store.
Leaves to others: which changes outdate what (`topics`), what becomes of what is
outdated (`cache`).
Always holds: who has looked is told of nothing that was out of date when they asked,
by a commit of this process, or by another's that was noticed here, but for the last
10 ms. Who waits while another looks does not look again, nor tries again what failed.

Whoever reads a cache compares two marks: the store's newest commit that is known here,
and the one up to which was looked. Only where they differ is the journal read.
"""

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from holdfast.core import Core
from holdfast.engine import Terms, Transaction, Unit
from holdfast.runtime.bus.waiting import renew
from holdfast.runtime.cache.dependents import Dependents, Look
from holdfast.runtime.cache.topics import Key, Topics, Wanted

if TYPE_CHECKING:
    import asyncio  # it loads slowly, and not everyone needs it
    from collections.abc import Callable
    from types import TracebackType

    Sent = tuple[int, asyncio.Future[Look]]
    """A look for tasks, and the newest mark before it began."""

_EVERYONE = Terms(every_owner=True)
_PAGE = 1_000
_MANY = 20_000
"""Changes at once from which on it is quicker to make every value again."""
_OTHERS_SECONDS = 0.01
"""How long after a look other processes' commits wait for the next."""


class News:
    """Tells the caches of one open store what the journal got."""

    def __init__(self, core: Core) -> None:
        self.topics = Topics(core.registry, core.limits)
        self.dependents = Dependents()
        self.seen = -1
        """The newest commit that was looked at, by its mark."""
        self._core = core
        self.log = core.events
        """Which has the mark of the newest commit that is known here."""
        self._mutex = threading.RLock()  # a finalizer may come at any point
        self._looking = threading.RLock()
        self._looks = 0
        self._looked_at = float("-inf")
        self._failed: tuple[int, Exception, TracebackType | None] | None = None
        """Which look failed, and how and where, if the last one did."""
        self._ahead: dict[asyncio.AbstractEventLoop, Sent] = {}
        """Looks that are on their way for tasks, by their event loops."""
        self._stop: Callable[[], None] | None = None
        self._attending: set[object] = set()

    # Who is told.

    def attend(self, who: object) -> None:
        """Have other processes' commits noticed for one more."""
        with self._mutex:
            self._attending.add(who)
            if self._stop is None:
                self._stop = self._core.engine.watch(self.log.notice)

    def neglect(self, who: object) -> None:
        """Have one less to notice them for."""
        with self._mutex:
            self._attending.discard(who)
            stop = None
            if not self._attending:
                stop, self._stop = self._stop, None
        if stop is not None:
            stop()

    # Looking.

    def look(self) -> None:
        """See what was committed, if anything was, and outdate what it touches.

        Who comes meanwhile waits, and looks as well only if that began too early.
        """
        mark, looks = self.log.newest, self._looks
        if self._may_wait():
            return
        with self._looking:
            if self.seen >= mark:
                return
            if self._failed is not None and self._failed[0] > looks:
                raise self._failed[1].with_traceback(self._failed[2])
            self._looks += 1
            self._failed = None
            mark = self.log.newest
            try:
                self._take(self._core.engine.read(self._unit(Wanted(), "")), mark)
            except Exception as error:
                self._failed = self._looks, error, error.__traceback__
                raise

    def look_for(self, wanted: Wanted, owner: str) -> Look:
        """As `look`, and find the keys of what is wanted."""
        mark = self.log.newest
        look = self._core.engine.read(self._unit(wanted, owner))
        self._take(look, mark)
        return look

    async def alook(self) -> None:
        """As `look`, awaited; tasks that come meanwhile wait for the same look."""
        import asyncio  # noqa: PLC0415  # it loads slowly, and not everyone needs it

        mark = self.log.newest
        if self._may_wait():
            return
        loop = asyncio.get_running_loop()
        begun, ahead = self._ahead.get(loop, (-1, None))
        if ahead is None or begun < mark or ahead.done():
            ahead = self._sent(loop)
        await asyncio.shield(ahead)

    async def alook_for(self, wanted: Wanted, owner: str) -> Look:
        """As `look_for`, awaited."""
        import asyncio  # noqa: PLC0415  # it loads slowly, and not everyone needs it

        mark = self.log.newest
        unit = self._unit(wanted, owner)
        future = unit.awaited(asyncio.get_running_loop())
        self._core.engine.post_read(unit)
        look = await future
        self._take(look, mark)
        return look

    def _sent(self, loop: "asyncio.AbstractEventLoop") -> "asyncio.Future[Look]":
        """A look that is on its way for the tasks of an event loop."""
        mark = self.log.newest
        unit = self._unit(Wanted(), "")
        future = unit.awaited(loop)
        future.add_done_callback(partial(self._came, mark))  # before whoever waits
        self._core.engine.post_read(unit)
        with self._mutex:
            for one in [one for one in self._ahead if one.is_closed()]:
                del self._ahead[one]  # nothing will come there any more
            self._ahead[loop] = mark, future
        return future

    def _came(self, mark: int, future: "asyncio.Future[Look]") -> None:
        loop = future.get_loop()
        with self._mutex:
            if self._ahead.get(loop, (-1, None))[1] is future:
                del self._ahead[loop]
        if not future.cancelled() and future.exception() is None:
            self._take(future.result(), mark)

    def _may_wait(self) -> bool:
        """Whether only others have committed since a look that was just now."""
        ours = self.log.newest_own
        return (
            self.seen >= ours and time.monotonic() < self._looked_at + _OTHERS_SECONDS
        )

    def _unit(self, wanted: Wanted, owner: str) -> Unit[Look]:
        return self._core.unit(lambda tx: self._look(tx, wanted, owner), _EVERYONE)

    def _look(self, tx: Transaction, wanted: Wanted, owner: str) -> Look:
        """What came since the last look; may be done twice."""
        began = place = self.dependents.reached
        keys: set[Key] | None = set()
        if place is None:
            keys, place = None, _head(tx)
        while keys is not None and (
            rows := tx.all("journal_page", after=place, owner=None, limit=_PAGE)
        ):
            if rows[0][0] != place + 1 or place - (began or 0) >= _MANY:
                keys, place = None, _head(tx)  # some of it was trimmed, or it is much
                break
            keys |= self.topics.keys_in(tx, rows, self.dependents.belonging)
            place = rows[-1][0]
            if len(rows) < _PAGE:
                break
        own = self.topics.keys_of(tx, owner, wanted)
        return Look(place, None if keys is None else frozenset(keys), own)

    def _take(self, look: Look, mark: int) -> None:
        """Outdate what a look found; then it is one that was looked at."""
        self.dependents.take(look)
        self.seen = max(self.seen, mark)
        self._looked_at = time.monotonic()

    def disown(self) -> None:
        """In a process that was forked: need no lock that another thread has."""
        renew(self._mutex)
        renew(self._looking)
        self.dependents.disown()
        self._ahead.clear()


def _head(tx: Transaction) -> int:
    (head,) = tx.one("journal_last") or (0,)
    return head or 0


def news_of(core: Core) -> News:
    """The news of an open store."""
    found: News = core.kept.setdefault("news", News(core))
    return found
