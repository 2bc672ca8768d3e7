"""Its own: the steps that a lifecycle does itself, before and after those of modules.

Answers for: opening and closing the store, restoring what the last checkpoint had,
taking the next one, and bringing to disk what is only in memory.
Leaves to others: when each has its turn (`course`), checkpoints (`desk`, `keeper`).
Always holds: a store that was open already is not closed.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from holdfast import edges
from holdfast.clock import Clock, SystemClock
from holdfast.errors import HoldfastError, Refused
from holdfast.runtime.checkpoints.desk import Desk
from holdfast.runtime.checkpoints.keeper import Keeper, keeper_of
from holdfast.runtime.lifecycle.calls import Call
from holdfast.runtime.lifecycle.modules import CHECKPOINTS
from holdfast.runtime.lifecycle.phases import Phase
from holdfast.runtime.saving import known_saver

if TYPE_CHECKING:
    from holdfast.store import Store

CHECKPOINT_SECONDS = 60.0
"""How long all participants together may take; each has a limit of its own."""
STORE_SECONDS = 60.0
"""How long flushing and closing may take."""


class Own:
    """What a lifecycle does itself, with the store that it is about."""

    def __init__(self, source: object, *, checkpoints: bool) -> None:
        """`source` is an open store, or what opens one."""
        self.store: Any = None
        self._source = source
        self._checkpoints = checkpoints
        self._opened = False
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
            yield self._last("state", self._flush_state, "flushing")
            if self.plain._core.events.used:  # noqa: SLF001
                yield self._last("events", self.plain.events.flush, "flushing")
        if self._opened:
            yield self._last("store", self.plain.close, "closing")

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
            saver.flush()

    def _restore(self) -> None:
        """Give every owner's participants what waits for them."""
        wrong: dict[str, str] = {}
        for desk in self._desks():
            failed = desk.restore().failed
            wrong |= {_of(desk.owner, name): said for name, said in failed.items()}
        _raise_if(wrong, "not restored, and left for another try")

    def _take(self) -> None:
        """Take every owner's last checkpoint: none is taken by itself after it."""
        wrong: dict[str, str] = {}
        for desk in self._desks():
            taken = desk.take("shutdown")
            failed = {} if taken is None else taken.failed
            wrong |= {_of(desk.owner, name): said for name, said in failed.items()}
        self._keeper.rest()
        _raise_if(wrong, "not in the last checkpoint")

    def _desks(self) -> list[Desk]:
        if self.store is None:
            return []
        return self._keeper.desks

    @property
    def _keeper(self) -> Keeper:
        return keeper_of(self.plain._core)  # noqa: SLF001

    def _last(self, name: str, function: Callable[[], object], what: str) -> Call:
        return _call(name, Phase.SHUTDOWN, function, STORE_SECONDS, what)

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


def _raise_if(wrong: Mapping[str, str], what: str) -> None:
    """Raise, if anything was wrong with any participant."""
    if wrong:
        said = "; ".join(f"{name!r}: {why}" for name, why in sorted(wrong.items()))
        raise HoldfastError(f"participants {what}: {said}")
