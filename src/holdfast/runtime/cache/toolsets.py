"""Toolsets as a store shows them: made by one caller, and in memory for two hours.

Answers for: having tools described once, whoever asks meanwhile; having them in memory.
Leaves to others: what is kept, and who is told what (`kinds.toolsets`).
Always holds: what is in memory is given only where the disk says that it is the newest;
a thin handshake costs one small read, and no write.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast import edges
from holdfast.engine import Unit
from holdfast.errors import NotFound
from holdfast.kinds.toolset_records import Kept, Toolset
from holdfast.kinds.toolsets import SEEN_SECONDS, Toolsets

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore
    from holdfast.runtime.cache.cache import Cache
    from holdfast.store import Store

MEMORY_SECONDS = 2 * 3_600.0
"""How long descriptions are in memory."""
IN_MEMORY = 1_000
"""Of how many toolsets, at most."""
TRIES = 5
"""How often tools are made again that others forget at once."""


class Whose(NamedTuple):
    """Whose tools: the key by which they are in memory, and made."""

    owner: str
    agent: str
    conversation: str


class StoreToolsets(Toolsets):
    """Toolsets as a store shows them: with `make`, and descriptions in memory."""

    _target: "Store"

    def get(self, agent: str, conversation: str) -> Toolset:
        """The tools of an agent in a conversation, all of them.

        They are in memory for 2 hours after they were read, as long as the disk says
        that they are the newest. Raises `NotFound`.
        """
        store = self._target
        whose = whose_of(store, agent, conversation)
        ask = partial(_perform, store, "get", agent, conversation)
        if whose is None:
            return ask()
        kept = store._core.engine.read(known(store, whose))  # noqa: SLF001
        return memory_of(store).get((whose, kept.toolset.digest), ask)

    def handshake(
        self,
        agent: str,
        conversation: str,
        make: Callable[[], Iterable[Mapping[str, Any]]] | None = None,
        *,
        whole: bool = False,
    ) -> Toolset:
        """What to tell an agent of its tools now: all of them, or their names alone.

        All of them the first time, after they have changed, after the session of that
        id was cleared or deleted, and with `whole`; their names and digest after that.
        `make()` gives the tools where none are kept: one caller asks it, and others
        wait for that. Raises `NotFound` (none are kept, and there is no `make`), and
        what `make` and `put` raise.
        """
        store = self._target
        whose = whose_of(store, agent, conversation)
        say = partial(_perform, store, "handshake", agent, conversation, whole=whole)
        if whose is None:
            return say()
        for _ in range(TRIES):
            try:
                kept = store._core.engine.read(known(store, whose))  # noqa: SLF001
                return kept.toolset if is_thin(store, kept, whole=whole) else say()
            except NotFound:
                if make is None:
                    raise
            self._make(whose, make)
        return say()

    def _make(
        self, whose: Whose, make: Callable[[], Iterable[Mapping[str, Any]]]
    ) -> None:
        """Have tools made and put, unless another caller does it already."""
        made = making_of(self._target)
        made.get(whose, lambda: self.put(whose.agent, whose.conversation, make()))
        made.drop(whose)  # who comes from here on finds it on the disk


def _perform(store: "Store", name: str, *args: str, **kwargs: bool) -> Toolset:
    kind, operation = store._core.registry.operation(f"toolsets.{name}")  # noqa: SLF001
    found: Toolset = store.perform(kind, operation, args, dict(kwargs))
    return found


def whose_of(
    store: "Store | AsyncStore", agent: object, conversation: object
) -> Whose | None:
    """Whose tools are asked for; None where the call is to be refused.

    Raises `WrongType`, `InvalidId`.
    """
    core, terms = store._core, store._terms  # noqa: SLF001
    if terms.moment is not None or core.engine.inside():
        return None
    checked = (edges.id_of(agent, "agent"), edges.id_of(conversation, "conversation"))
    return Whose(terms.owner, *checked)


def known(store: "Store | AsyncStore", whose: Whose) -> Unit[Kept]:
    """What reads how a toolset stands. Raises `NotFound`."""
    core, terms = store._core, store._terms  # noqa: SLF001
    core.refuse_inside("a toolset")
    asked = (whose.agent, whose.conversation)
    return core.unit(lambda tx: Toolsets(tx).known(*asked), terms)


def is_thin(store: "Store | AsyncStore", kept: Kept, *, whole: bool) -> bool:
    """Whether a handshake is thin, and nothing is to be written down of it."""
    now = store._core.clock.now_us()  # noqa: SLF001
    fresh = now - kept.seen_at < SEEN_SECONDS * 1_000_000
    return kept.is_settled and fresh and not whole


def memory_of(store: "Store | AsyncStore") -> "Cache[Toolset]":
    """The descriptions that are in memory, all owners' of an open store."""
    return _kept(store, "toolsets", MEMORY_SECONDS)


def making_of(store: "Store | AsyncStore") -> "Cache[Toolset]":
    """The toolsets that are being made in an open store."""
    return _kept(store, "toolsets being made", MEMORY_SECONDS)


def _kept(store: "Store | AsyncStore", name: str, seconds: float) -> "Cache[Toolset]":
    from holdfast.runtime.cache.cache import Cache  # noqa: PLC0415  # few ask for it

    kept = store._core.kept  # noqa: SLF001
    found: Cache[Toolset] | None = kept.get(name)
    if found is None:
        made: Cache[Toolset] = Cache(store, seconds=seconds, size=IN_MEMORY)
        found = kept.setdefault(name, made)
    return found
