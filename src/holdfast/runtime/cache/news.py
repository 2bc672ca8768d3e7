"""News: what the journal got, told to the cached values that it outdates.

Answers for: noticing that something was committed, reading what, and outdating what
depends on it, for all caches of one open store.
Leaves to others: which changes outdate what (`topics`), what becomes of what is
outdated (`cache`).
Always holds: who has looked is told of nothing that was out of date when they asked,
by a commit of this process, or by another's that was noticed here.

Whoever reads a cache compares two marks: the store's newest commit that is known here,
and the one up to which was looked. Only where they differ is the journal read.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from holdfast.core import Core
from holdfast.engine import Terms, Transaction, Unit
from holdfast.runtime.bus.waiting import renew
from holdfast.runtime.cache.topics import Key, Topics, Wanted, belonging

if TYPE_CHECKING:
    import asyncio  # it loads slowly, and not everyone needs it

_EVERYONE = Terms(every_owner=True)
_PAGE = 1_000
_MANY = 20_000
"""Changes at once from which on it is quicker to make every value again."""
_REMEMBERED = 64
"""How many looks are remembered, for those who begin before one and join after it."""
Touched: TypeAlias = Callable[["Dependent"], None]


class Dependent:
    """What is outdated by changes that have one of its keys."""

    __slots__ = ("__weakref__", "keys", "outdated", "touched")

    def __init__(self, touched: Touched) -> None:
        self.keys: frozenset[Key] = frozenset()
        self.outdated = False
        self.touched = touched
        """Called without a lock when it is outdated."""


class Look(msgspec.Struct, frozen=True):
    """What a look at the journal found: from where to where, and the keys of it."""

    began: int | None
    reached: int
    keys: frozenset[Key] | None
    """None if it may be anything."""
    own: frozenset[Key] = frozenset()
    """The keys of who looked, as of the same moment."""


class News:
    """Tells the caches of one open store what the journal got."""

    def __init__(self, core: Core) -> None:
        self.topics = Topics(core.registry, core.limits)
        self.seen: object = None
        """The newest commit that was looked at, by its mark."""
        self._core = core
        self.log = core.events
        """Which has the mark of the newest commit that is known here."""
        self._mutex = threading.RLock()  # a finalizer may come at any point
        self._looking = threading.RLock()
        self._place: int | None = None
        self._by_key: dict[Key, set[Dependent]] = {}
        self._all: set[Dependent] = set()
        self._belonging: Counter[str] = Counter()
        self._recent: deque[Look] = deque(maxlen=_REMEMBERED)
        self._ahead: dict[object, tuple[object, asyncio.Future[None]]] = {}
        """Looks that are on their way for tasks, by their event loops."""
        self._stop: Callable[[], None] | None = None
        self._readers = 0

    # Who is told.

    def attend(self) -> None:
        """Have other processes' commits noticed, for one cache more."""
        with self._mutex:
            self._readers += 1
            if self._stop is None:
                self._stop = self._core.engine.watch(self.log.mark)

    def neglect(self) -> None:
        """Have one cache less to notice them for."""
        with self._mutex:
            self._readers -= 1
            stop = None
            if not self._readers:
                stop, self._stop = self._stop, None
        if stop is not None:
            stop()

    def join(
        self, one: Dependent, keys: frozenset[Key], known: int | None = None
    ) -> None:
        """Have it outdated by what has these keys, as they were at some change.

        None for keys that are always the same.
        """
        with self._mutex:
            one.keys = keys
            self._all.add(one)
            for key in keys:
                self._by_key.setdefault(key, set()).add(one)
            self._belonging.update(belonging(keys))
            late = known is not None and self._touched_since(keys, known)
        if late:
            _touch([one])

    def leave(self, one: Dependent) -> None:
        """Have it outdated no more."""
        with self._mutex:
            if one not in self._all:
                return
            self._all.discard(one)
            for key in one.keys:
                self._by_key[key].discard(one)
                if not self._by_key[key]:
                    del self._by_key[key]
            for table in belonging(one.keys):
                self._belonging[table] -= 1

    # Looking.

    def look(self) -> None:
        """See what was committed, if anything was, and outdate what it touches."""
        with self._looking:
            mark = self.log.newest
            if mark is not self.seen:
                self._take(self._core.engine.read(self._unit(Wanted(), "")), mark)

    def look_for(self, wanted: Wanted, owner: str) -> Look:
        """As `look`, and find the keys of what is wanted."""
        mark = self.log.newest
        look = self._core.engine.read(self._unit(wanted, owner))
        self._take(look, mark)
        return look

    async def alook(self) -> None:
        """As `look`, awaited; tasks that come meanwhile wait for the same look."""
        import asyncio  # noqa: PLC0415  # it loads slowly, and not everyone needs it

        loop = asyncio.get_running_loop()
        while (mark := self.log.newest) is not self.seen:
            ahead = self._ahead.get(loop)
            if ahead is None or ahead[0] is not mark or ahead[1].done():
                task = loop.create_task(self._alook())
                self._ahead[loop] = ahead = (mark, task)
                task.add_done_callback(self._looked)
            await asyncio.shield(ahead[1])

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

    async def _alook(self) -> None:
        await self.alook_for(Wanted(), "")

    def _looked(self, task: "asyncio.Task[None]") -> None:
        loop = task.get_loop()
        if self._ahead.get(loop, (None, None))[1] is task:
            del self._ahead[loop]
        if not task.cancelled():
            task.exception()  # whoever waits for it is given that

    def _unit(self, wanted: Wanted, owner: str) -> Unit[Look]:
        return self._core.unit(lambda tx: self._look(tx, wanted, owner), _EVERYONE)

    def _look(self, tx: Transaction, wanted: Wanted, owner: str) -> Look:
        """What came since the last look; may be done twice."""
        began = place = self._place
        keys: set[Key] | None = set()
        if place is None:
            keys, place = None, _head(tx)
        while keys is not None and (
            rows := tx.all("journal_page", after=place, owner=None, limit=_PAGE)
        ):
            if rows[0][0] != place + 1 or place - (began or 0) >= _MANY:
                keys, place = None, _head(tx)  # some of it was trimmed, or it is much
                break
            keys |= self.topics.keys_in(tx, rows, self._belonging)
            place = rows[-1][0]
            if len(rows) < _PAGE:
                break
        own = self.topics.keys_of(tx, owner, wanted)
        return Look(began, place, None if keys is None else frozenset(keys), own)

    def _take(self, look: Look, mark: object) -> None:
        """Outdate what a look found; then it is one that was looked at."""
        with self._mutex:
            touched = set(self._all)
            if look.keys is not None:
                found = (self._by_key.get(key, ()) for key in look.keys)
                touched = {one for those in found for one in those}
            if look.keys is None or look.keys:
                self._recent.append(look)
            self._place = max(self._place or 0, look.reached)
        _touch(touched)
        self.seen = mark

    def _touched_since(self, keys: frozenset[Key], known: int) -> bool:
        """Whether some look past a change found one of these keys, or may have."""
        oldest = self._recent[0].began if self._recent else None
        forgotten = len(self._recent) == _REMEMBERED and (oldest or 0) > known
        plain = {key[:2] for key in keys}
        return forgotten or any(
            look.keys is None or not plain.isdisjoint(look.keys)
            for look in self._recent
            if look.reached > known
        )

    def disown(self) -> None:
        """In a process that was forked: need no lock that another thread has."""
        renew(self._mutex)
        renew(self._looking)
        self._ahead.clear()


def _touch(those: "set[Dependent] | list[Dependent]") -> None:
    for one in those:
        one.outdated = True
        one.touched(one)


def _head(tx: Transaction) -> int:
    (head,) = tx.one("journal_last") or (0,)
    return head or 0


def news_of(core: Core) -> News:
    """The news of an open store."""
    found: News = core.kept.setdefault("news", News(core))
    return found
