"""Toolsets as a store shows them: made by one caller, and in memory for two hours.

Answers for: having tools described once, whoever asks meanwhile; having them in memory.
Leaves to others: what is kept, and who is told what (`kinds.toolsets`).
Always holds: what is in memory is given only where the disk says that it is the newest,
and to each caller anew: who changes what they were given, changes it for nobody else; a
thin handshake costs one small read, and no write.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from holdfast import edges
from holdfast.engine import Unit
from holdfast.errors import NotFound
from holdfast.kinds.toolset_records import Kept, Toolset, version_of, with_tools
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
Described: TypeAlias = tuple[Toolset, str]
"""A toolset, and its tools as JSON text."""


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
        read = store._core.engine.read  # noqa: SLF001
        kept = read(kept_of(store, whose))
        key, memory = (whose, *version_of(kept.toolset)), memory_of(store)
        found = shown(kept, memory.get(key, lambda: read(described_of(store, whose))))
        if found is not None:
            return found
        memory.drop(key)  # it was changed before it was read
        return ask()

    def handshake(
        self,
        agent: str,
        conversation: str,
        make: Callable[[], Iterable[Mapping[str, Any]]] | None = None,
        *,
        known: str | None = None,
        whole: bool = False,
    ) -> Toolset:
        """What to tell an agent of its tools now: all of them, or their names alone.

        All of them the first time, after they have changed, after the session of that
        id was cleared or deleted, and with `whole`; their names and digest after that.
        With `known`, the digest of what the asker has, it is that alone that counts:
        all of them where they are others ("" for nothing). `make()` gives the tools
        where none are kept: one caller asks it, and others wait for that. Raises
        `NotFound` (none are kept, and there is no `make`), and what `make` and `put`
        raise.
        """
        store = self._target
        whose = whose_of(store, agent, conversation, known)
        how: dict[str, Any] = {"known": known, "whole": whole}
        say = partial(_perform, store, "handshake", agent, conversation, **how)
        if whose is None:
            return say()
        for _ in range(TRIES):
            try:
                kept = store._core.engine.read(kept_of(store, whose))  # noqa: SLF001
                if is_thin(store, kept, known, whole=whole):
                    return kept.toolset
                return say()
            except NotFound:
                if make is None:
                    raise
            self._make(whose, make)
        return say()

    def _make(
        self, whose: Whose, make: Callable[[], Iterable[Mapping[str, Any]]]
    ) -> None:
        """Have tools made and put, unless another caller does it already."""
        making = making_of(self._target)

        def put() -> None:
            self.put(whose.agent, whose.conversation, make())
            making.drop(whose)  # who comes from here on finds it on the disk

        making.get(whose, put)


def _perform(store: "Store", name: str, *args: str, **kwargs: object) -> Toolset:
    kind, operation = store._core.registry.operation(f"toolsets.{name}")  # noqa: SLF001
    found: Toolset = store.perform(kind, operation, args, dict(kwargs))
    return found


def whose_of(
    store: "Store | AsyncStore",
    agent: object,
    conversation: object,
    known: object = None,
) -> Whose | None:
    """Whose tools are asked for; None where the call is to be refused.

    Raises `WrongType`, `InvalidId`.
    """
    core, terms = store._core, store._terms  # noqa: SLF001
    if terms.moment is not None or core.engine.inside():
        return None
    checked = (edges.id_of(agent, "agent"), edges.id_of(conversation, "conversation"))
    if known is not None:
        edges.text_of(known, "known", core.limits)
    return Whose(terms.owner, *checked)


def kept_of(store: "Store | AsyncStore", whose: Whose) -> Unit[Kept]:
    """What reads how a toolset stands. Raises `NotFound`."""
    core, terms = store._core, store._terms  # noqa: SLF001
    core.refuse_inside("store.toolsets")
    asked = (whose.agent, whose.conversation)
    return core.unit(lambda tx: Toolsets(tx).kept(*asked), terms)


def described_of(store: "Store | AsyncStore", whose: Whose) -> Unit[Described]:
    """What reads a toolset with its tools. Raises `NotFound`."""
    core, terms = store._core, store._terms  # noqa: SLF001
    asked = (whose.agent, whose.conversation)
    return core.unit(lambda tx: Toolsets(tx).described(*asked), terms)


def shown(kept: Kept, found: Described) -> Toolset | None:
    """A toolset with the tools that were found, if these are the newest."""
    toolset, text = found
    if version_of(toolset) != version_of(kept.toolset):
        return None
    return with_tools(kept.toolset, text)


def is_thin(
    store: "Store | AsyncStore", kept: Kept, known: str | None, *, whole: bool
) -> bool:
    """Whether a handshake is thin, and nothing is to be written down of it."""
    now = store._core.clock.now_us()  # noqa: SLF001
    is_fresh = now - kept.seen_at < SEEN_SECONDS * 1_000_000
    return kept.is_had(known) and kept.is_settled and is_fresh and not whole


def memory_of(store: "Store | AsyncStore") -> "Cache[Described]":
    """The descriptions that are in memory, all owners' of an open store."""
    return _cache_of(store, "toolsets")


def making_of(store: "Store | AsyncStore") -> "Cache[None]":
    """The toolsets that are being made in an open store; none is kept there."""
    return _cache_of(store, "toolsets being made")


def _cache_of(store: "Store | AsyncStore", name: str) -> "Cache[Any]":
    from holdfast.runtime.cache.cache import Cache  # noqa: PLC0415  # few ask for it

    kept = store._core.kept  # noqa: SLF001
    found: Cache[Any] | None = kept.get(name)
    if found is None:
        made: Cache[Any] = Cache(store, seconds=MEMORY_SECONDS, size=IN_MEMORY)
        found = kept.setdefault(name, made)
    return found
