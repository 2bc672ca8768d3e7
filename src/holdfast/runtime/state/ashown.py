"""State as an async store shows it: the same calls, awaited.

Answers for: what of `store.state` is no single transaction, for asyncio.
Leaves to others: what it does (`shown`). What is not saved is saved by the same
thread as for the sync face: an event loop may end before its timers do.
"""

import asyncio
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from holdfast import codec, edges
from holdfast.afaces import AsyncState
from holdfast.codec import Document, Json
from holdfast.kinds.state import State
from holdfast.kinds.state_records import StateSection, StateSummary
from holdfast.page import Page
from holdfast.passing import PASSING
from holdfast.runtime.state.owned_sections import (
    NONE,
    OPERATIONS,
    Defaults,
    OwnedSections,
    merges,
    onto_defaults,
    plain,
    save_if_possible,
    with_defaults,
)
from holdfast.runtime.state.saving import Saver
from holdfast.sections.merging import Change, Gone, Put, fresh

if TYPE_CHECKING:
    from holdfast.astore import AsyncStore


class AsyncSection:
    """A section in hand: its keys have values, and behind these, defaults."""

    def __init__(self, state: "AsyncStoreState", name: str, defaults: Defaults) -> None:
        self.name = name
        self._state = state
        self._defaults = defaults

    @property
    def owner(self) -> str:
        """Whose section it is."""
        return self._state._memory.owner  # noqa: SLF001

    @property
    def is_dirty(self) -> bool:
        """Whether something of it is not saved yet."""
        return self._state._memory.dirty(self.name)  # noqa: SLF001

    async def get(self, key: str, default: Json = None) -> Any:
        """What a key has, or else its default here, or else `default`."""
        found = await self._state._value(self.name, key, default)  # noqa: SLF001
        found = self._defaults.get(key) if found is None else found
        return default if found is None else fresh(found)

    async def set(self, key: str, value: Json) -> None:
        """Put a value in the place of a key's. Raises as `store.state.set`."""
        await self._state.set(self.name, key, value)

    async def update(self, values: Mapping[str, Json]) -> None:
        """Merge values into those that are there; an object into its default, too."""
        await self._state._update(  # noqa: SLF001
            self.name, values, self._defaults
        )

    async def delete(self, key: str) -> bool:
        """Delete a key, which has its default again; True only if it had a value."""
        return await self._state.delete(self.name, key)

    async def keys(self) -> tuple[str, ...]:
        """The keys that have anything, in order."""
        return tuple(await self._values())

    async def items(self) -> tuple[tuple[str, Any], ...]:
        """Keys with what they have, in order."""
        return tuple((key, fresh(one)) for key, one in (await self._values()).items())

    async def as_dict(self) -> dict[str, Any]:
        """What every key has, defaults too, in the order of the keys."""
        return dict(await self.items())

    async def flush(self) -> int:
        """Save what is not; how many keys were written. As `store.state.flush`."""
        return await self._state.flush(self.name)

    async def reload(self) -> None:
        """Learn now what others have saved; what is not saved here stays as it is."""
        await self._state.reload(self.name)

    def __repr__(self) -> str:
        return f"<holdfast async section {self.name!r} owner={self.owner!r}>"

    async def _values(self) -> Defaults:
        found = await self._state._documents(self.name)  # noqa: SLF001
        return with_defaults(found, self._defaults)


class AsyncStoreState(AsyncState):
    """State as an async store shows it: changed in memory, saved behind that."""

    _target: "AsyncStore"

    async def section(
        self, section: str, defaults: Mapping[str, Json] | None = None
    ) -> AsyncSection:
        """A section in hand, as `store.state.section`; it is read from the store."""
        name, given = self._memory.in_hand(section, defaults)
        if not self._memory.past:
            await self._see("section", name)
        return AsyncSection(self, name, given)

    async def get(self, section: str, key: str, default: Json = None) -> Any:
        """As `store.state.get`; waits only if the store is to be looked at."""
        found = await self._value(section, key, default)
        return default if found is None else fresh(found)

    async def as_dict(self, section: str) -> dict[str, Any]:
        """As `store.state.as_dict`."""
        found = await self._documents(section)
        return {key: fresh(one) for key, one in found.items()}

    async def set(self, section: str, key: str, value: Json) -> None:
        """As `store.state.set`: it is in memory, and saved behind that."""
        _, key, document = self._memory.checked("set", section, key, value)
        await self._change("set", section, {key: Put(document)}, key, document)

    async def update(self, section: str, values: Mapping[str, Json]) -> None:
        """As `store.state.update`: objects are merged within objects."""
        await self._update(section, values, NONE)

    async def delete(self, section: str, key: str) -> bool:
        """As `store.state.delete`: True only if the key had a value."""
        memory = self._memory
        _, key = memory.checked("delete", section, key)
        if memory.direct:
            return bool(await self._perform("delete", section, key))
        if await self._value(section, key) is None:
            return False
        await self._change("delete", section, {key: Gone()})
        return True

    async def find(self, id: str) -> StateSection:
        """As `store.state.find`: what is not saved is saved first, if it can be."""
        await self._save_if_possible()
        found: StateSection = await self._perform("find", id)
        return found

    async def list(
        self, *, limit: int = 50, cursor: str | None = None
    ) -> Page[StateSummary]:
        """As `store.state.list`: what is not saved is saved first, if it can be."""
        await self._save_if_possible()
        found: Page[StateSummary] = await self._perform(
            "list", limit=limit, cursor=cursor
        )
        return found

    async def flush(self, section: str | None = None) -> int:
        """As `store.state.flush`: save what is not, of one section or of all."""
        memory = self._memory
        name = None if section is None else edges.id_of(section, "section")
        if memory.past:
            return 0
        saver = memory.saver("flush")
        return await asyncio.to_thread(saver.flush, memory.owner, name)

    async def reload(self, section: str) -> None:
        """As `store.state.reload`: learn now what others have saved."""
        edges.id_of(section, "section")
        if not self._memory.past:
            await self._see("reload", section, anew=True)

    async def is_dirty(self, section: str | None = None) -> bool:
        """As `store.state.is_dirty`."""
        if section is not None:
            edges.id_of(section, "section")
        return self._memory.dirty(section)

    @cached_property
    def _memory(self) -> OwnedSections:
        store = self._target
        return OwnedSections(store._core, store._terms)  # noqa: SLF001

    async def _value(
        self, section: str, key: str, default: Json = None
    ) -> Document | None:
        """What a key has; None for nothing."""
        memory = self._memory
        memory.refuse_wrong(section, key, default)
        if memory.past:
            return (await self._documents(section)).get(key)
        is_known, found = memory.saver("get").known(memory.owner, section, key)
        if is_known:
            return found
        return (await self._see("get", section)).value(memory.owner, section, key)

    async def _documents(self, section: str) -> dict[str, Document]:
        """What every key has."""
        memory = self._memory
        edges.id_of(section, "section")
        if memory.past:
            found = await self._perform("as_dict", section)
            return {key: codec.document(value) for key, value in found.items()}
        return (await self._see("as_dict", section)).values(memory.owner, section)

    async def _see(self, what: str, section: str, *, anew: bool = False) -> Saver:
        """Sections in memory, after a look at the store, if one is due."""
        memory = self._memory
        saver = memory.saver(what)
        while unit := saver.look(memory.owner, section, anew=anew):
            future = unit.awaited(asyncio.get_running_loop())
            memory.core.engine.post_read(unit)
            try:
                found = await future
            except PASSING:
                if unit.patient:
                    raise
                saver.unseen(memory.owner, section)
                break
            saver.looked(memory.owner, section, found)
            anew = False
        return saver

    async def _update(
        self, section: str, values: Mapping[str, Json], defaults: Defaults
    ) -> None:
        memory = self._memory
        section, found = memory.checked("update", section, plain(values))
        if memory.direct and defaults:
            there = {} if memory.past else await self._documents(section)
            found = onto_defaults(found, defaults, there)
        await self._change("update", section, merges(found, defaults), found)

    async def _change(
        self, what: str, section: str, changes: Mapping[str, Change], *args: Any
    ) -> None:
        """Make changes in memory; or in the store, by the operation of that name."""
        memory = self._memory
        if memory.direct:
            await self._perform(what, section, *args)
            return
        saver = memory.saver(what)
        if saver.crowded():
            await asyncio.to_thread(saver.flush)
        saver.take_in(memory.owner, section, changes)

    async def _save_if_possible(self) -> None:
        memory = self._memory
        if not memory.direct and memory.dirty(None):
            await asyncio.to_thread(save_if_possible, memory)

    async def _perform(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return await self._target.perform(State, OPERATIONS[name], args, kwargs)
