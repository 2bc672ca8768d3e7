"""Store steps: what a lifecycle does itself, before and after what modules do.

Answers for: opening and closing the store, restoring what the last checkpoint had,
taking the next one, and bringing to disk what is only in memory.
Leaves to others: when each has its turn (`sequence`), checkpoints (`desk`, `keeper`).
Always holds: a store that was open already is not closed.
"""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast import edges
from holdfast.clock import Clock, SystemClock
from holdfast.errors import HoldfastError, Refused, Unreachable
from holdfast.runtime.checkpoints.desk import Desk
from holdfast.runtime.checkpoints.keeper import Keeper, keeper_of
from holdfast.runtime.lifecycle.calls import Call
from holdfast.runtime.lifecycle.modules import CHECKPOINTS
from holdfast.runtime.lifecycle.phases import Phase
from holdfast.runtime.state.saving import known_saver

if TYPE_CHECKING:
    from holdfast.kinds.checkpoint_records import MemoryCheckpoint, Restoration
    from holdfast.store import Store

T = TypeVar("T")
CHECKPOINT_SECONDS = 60.0
"""How long all participants together may take; each has a limit of its own."""
AWAY_SECONDS = 5.0
"""How long a shutdown waits for a server that is away."""
_AGAIN_SECONDS = 0.1
STORE_SECONDS = 60.0


class StoreSteps:
    """What a lifecycle does itself, with the store that it is about."""

    def __init__(self, source: object, *, checkpoints: bool) -> None:
        """`source` is an open store, or what opens one."""
        self.store: Any = None
        self._source = source
        self._checkpoints = checkpoints
        self._opened = False
        self._until: float | None = None
        """Until when the shutdown waits for a server that is away."""
        self._away = False
        """Whether it was away all that time."""
        if _is_store(source):
            self.store = _checked(source)
        elif not callable(source) and not isinstance(source, Awaitable):
            raise edges.wrong_type(
                "store", "a store, or a function that opens one", source
            )

    @property
    def plain(self) -> "Store":
        """The store's sync face."""
        store: Store = self.store
        return store if hasattr(type(store), "aio") else self.store.sync

    @property
    def place(self) -> str:
        """Where the store is; nowhere, while it is not open."""
        return ":memory:" if self.store is None else str(self.store.place)

    @property
    def owner(self) -> str | None:
        """Whose store it is."""
        return None if self.store is None else str(self.store.owner)

    @property
    def clock(self) -> Clock:
        """The store's clock."""
        return SystemClock() if self.store is None else self.plain._core.clock  # noqa: SLF001

    @property
    def writes(self) -> bool:
        """Whether the store is there, and can be written to."""
        return self.store is not None and not self.plain._core.read_only  # noqa: SLF001

    def opening(self) -> Iterator[Call]:
        """Open the store, if it is not open."""
        if self.store is None:
            yield _call("store", Phase.CORE, self._open, None, "opening it")
            self._tell("lifecycle:startup", {})

    def ready(self, modules: list[str]) -> Iterator[Call]:
        """Restore what the last checkpoint had."""
        self._tell("lifecycle:ready", {"modules": modules})
        if self._checkpoints and self.writes:
            yield _call(
                CHECKPOINTS, Phase.READY, self._restore, CHECKPOINT_SECONDS, "restoring"
            )

    def beginning_to_end(self, why: str) -> Iterator[Call]:
        """Say that the shutdown begins."""
        if self.store is not None:
            self._tell("lifecycle:shutdown", {"why": why})
        return iter(())

    def checkpoint(self, *, was_ready: bool) -> Iterator[Call]:
        """Take the last checkpoint.

        None if it never was ready: what waits for participants was not given to them.
        """
        if not self._checkpoints or not self.writes:
            return
        if not was_ready:
            self._keeper.rest()
        else:
            yield _call(
                CHECKPOINTS,
                Phase.SHUTDOWN,
                self._take,
                CHECKPOINT_SECONDS,
                "taking the last one",
            )

    def closing(self) -> Iterator[Call]:
        """Bring to disk what is only in memory, and close what was opened."""
        if self.writes:
            yield _last("state", self._flush_state, "flushing")
            # a server that was away is waited for once: closing tries it, too
            if self.plain._core.events.used and not self._away:  # noqa: SLF001
                yield _last("events", self.plain.events.flush, "flushing")
        if self._opened:
            yield _last("store", self.plain.close, "closing")

    def collected(self) -> dict[str, object]:
        """What participants have in memory now; what failed is said so."""
        found: dict[str, object] = {}
        for desk in self._desks():
            got = desk.collect()
            mine = {**got.parts, **{n: f"failed: {e}" for n, e in got.failed.items()}}
            found.update({_of(desk.owner, name): part for name, part in mine.items()})
        return found

    def _flush_state(self) -> None:
        """Save every owner's sections."""
        store = self.plain
        saver = known_saver(store._core, store._terms)  # noqa: SLF001
        if saver is not None:
            self._tried(partial(saver.flush, patient=False))

    def _restore(self) -> None:
        """Give every owner's participants what waits for them."""
        wrong: dict[str, str] = {}
        for desk in self._desks():
            wrong |= _wrong(desk, desk.restore)
        _raise_if(wrong, "not restored, and left for another try")

    def _take(self) -> None:
        """Take every owner's last checkpoint: none is taken by itself after it."""
        wrong: dict[str, str] = {}
        for desk in self._desks():
            take = partial(desk.take, "shutdown", patient=False)
            wrong |= _wrong(desk, partial(self._tried, take))
        self._keeper.rest()
        _raise_if(wrong, "not in the last checkpoint")

    def _tried(self, work: Callable[[], T]) -> T:
        """Do something at the end. A server that is away is waited for, in all so long.

        Not as long as a write usually does: modules wait to be shut down, and
        supervisors kill.
        """
        if self._until is None:
            self._until = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                return work()
            except Unreachable:
                self._away = time.monotonic() > self._until
                if self._away:
                    raise
                time.sleep(_AGAIN_SECONDS)

    def _desks(self) -> list[Desk]:
        if self.store is None:
            return []
        return self._keeper.desks

    @property
    def _keeper(self) -> Keeper:
        return keeper_of(self.plain._core)  # noqa: SLF001

    def _open(self) -> object:
        found = self._source() if callable(self._source) else self._source
        if isinstance(found, Awaitable):
            return self._opened_later(found)
        self._have(found)
        return None

    async def _opened_later(self, opening: Awaitable[object]) -> None:
        self._have(await opening)

    def _have(self, found: object) -> None:
        if not _is_store(found):
            raise edges.wrong_type("store", "a function that opens a store", found)
        self.store = found
        self._opened = True

    def _tell(self, name: str, data: dict[str, Any]) -> None:
        """Tell an event, for who keeps any."""
        self.plain._core.events.own(name, data)  # noqa: SLF001


def _call(
    name: str,
    phase: Phase,
    function: Callable[[], object],
    seconds: float | None,
    what: str,
) -> Call:
    return Call(name, phase, function, seconds, what)


def _last(name: str, function: Callable[[], object], what: str) -> Call:
    return Call(name, Phase.SHUTDOWN, function, STORE_SECONDS, what)


def _is_store(value: object) -> bool:
    return hasattr(type(value), "perform") and hasattr(value, "_core")


def _checked(store: Any) -> Any:
    """A store that a program can live on. Raises `Closed`, `Refused`."""
    store._core.refuse_closed()  # noqa: SLF001
    if store._terms.moment is not None:  # noqa: SLF001
        raise Refused(
            "a store as of a moment is read, and no program lives on it; nothing was "
            "begun: give the store itself"
        )
    return store


def _of(owner: str, name: str) -> str:
    """A participant's name, with whose it is."""
    return f"{owner}: {name}" if owner else name


def _wrong(
    desk: Desk, work: "Callable[[], MemoryCheckpoint | Restoration | None]"
) -> dict[str, str]:
    """What went wrong with an owner's participants; it keeps no other owner's."""
    try:
        done = work()
    except HoldfastError as error:
        return {_of(desk.owner, "all of them"): str(error)}
    failed = {} if done is None else done.failed
    return {_of(desk.owner, name): said for name, said in failed.items()}


def _raise_if(wrong: Mapping[str, str], what: str) -> None:
    """Raise, if anything was wrong with any participant."""
    if wrong:
        said = "; ".join(f"{name!r}: {why}" for name, why in sorted(wrong.items()))
        raise HoldfastError(f"participants {what}: {said}")
