"""State as a store shows it: sections, changed in memory and saved behind that.

Answers for: what of `store.state` is no single transaction; a section in hand.
Leaves to others: what both faces do (`owned_sections`), sections in memory
(`sections`), when they are saved (`saving`), what they are in a transaction
(`kinds/state`).
Always holds: what was changed is read at once, by whoever shares the open store.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from holdfast import codec, edges
from holdfast.codec import Document, Json
from holdfast.errors import BadInput
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
    from holdfast.store import Store


class Section:
    """A section in hand: its keys have values, and behind these, defaults."""

    def __init__(self, state: "StoreState", name: str, defaults: Defaults) -> None:
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
        return self._state.is_dirty(self.name)

    def get(self, key: str, default: Json = None) -> Any:
        """What a key has, or else its default here, or else `default`."""
        found = self._value(key, default)
        return default if found is None else fresh(found)

    def set(self, key: str, value: Json) -> None:
        """Put a value in the place of a key's. Raises as `store.state.set`."""
        self._state.set(self.name, key, value)

    def update(self, values: Mapping[str, Json]) -> None:
        """Merge values into those that are there; an object into its default, too."""
        self._state._update(self.name, values, self._defaults)  # noqa: SLF001

    def delete(self, key: str) -> bool:
        """Delete a key, which has its default again; True only if it had a value."""
        return self._state.delete(self.name, key)

    def keys(self) -> tuple[str, ...]:
        """The keys that have anything, in order."""
        return tuple(self._values())

    def items(self) -> tuple[tuple[str, Any], ...]:
        """Keys with what they have, in order."""
        return tuple((key, fresh(one)) for key, one in self._values().items())

    def as_dict(self) -> dict[str, Any]:
        """What every key has, defaults too, in the order of the keys."""
        return dict(self.items())

    def flush(self) -> int:
        """Save what is not; how many keys were written. As `store.state.flush`."""
        return self._state.flush(self.name)

    def reload(self) -> None:
        """Learn now what others have saved; what is not saved here stays as it is."""
        self._state.reload(self.name)

    def __getitem__(self, key: str) -> Any:
        found = self._value(key)
        if found is None:
            raise KeyError(key)
        return fresh(found)

    def __setitem__(self, key: str, value: Json) -> None:
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        try:
            return self._value(key) is not None  # type: ignore[arg-type]
        except BadInput:  # no key could be that
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._values())

    def __repr__(self) -> str:
        return f"<holdfast section {self.name!r} owner={self.owner!r}>"

    def _value(self, key: str, default: Json = None) -> Document | None:
        found = self._state._value(self.name, key, default)  # noqa: SLF001
        return self._defaults.get(key) if found is None else found

    def _values(self) -> Defaults:
        found = self._state._documents(self.name)  # noqa: SLF001
        return with_defaults(found, self._defaults)


class StoreState(State):
    """State as a store shows it: changed in memory, saved behind that."""

    _target: "Store"

    def section(
        self, section: str, defaults: Mapping[str, Json] | None = None
    ) -> Section:
        """A section in hand; there need not be one yet.

        `defaults` are what its keys have that nothing was set for: of this handle
        alone, and never saved. Raises `BadInput`.
        """
        name, given = self._memory.in_hand(section, defaults)
        return Section(self, name, given)

    def get(self, section: str, key: str, default: Json = None) -> Any:
        """What a key has; `default` if it has nothing.

        From memory: what was set here at once, what other processes have saved within
        0.1 s of that. Raises `Refused` (inside a transaction: use `tx.state`).
        """
        found = self._value(section, key, default)
        return default if found is None else fresh(found)

    def as_dict(self, section: str) -> dict[str, Any]:
        """What every key has, in the order of the keys; a section need not be there."""
        return {key: fresh(one) for key, one in self._documents(section).items()}

    def set(self, section: str, key: str, value: Json) -> None:
        """Put a value in the place of a key's.

        It is in memory, and saved within `limits.state_seconds`. Past
        `limits.state_unsaved` what waits is saved first, and raises what keeps it from
        that. Through `holding(lease)`, it is saved at once. Raises `NotStorable`,
        `InvalidId`, `TooLarge`, `Refused` (inside a transaction: use `tx.state`; a
        store that is open read-only, or as of a moment), `Closed`.
        """
        _, key, document = self._memory.checked("set", section, key, value)
        self._change("set", section, {key: Put(document)}, key, document)

    def update(self, section: str, values: Mapping[str, Json]) -> None:
        """Merge values into those that are there: objects within objects.

        Every other value takes the place of what was there; None as well. What other
        processes merge into the same objects stays. Saved, and raises, as `set`.
        """
        self._update(section, values, NONE)

    def delete(self, section: str, key: str) -> bool:
        """Delete a key; True only if it had a value. Saved, and raises, as `set`."""
        memory = self._memory
        _, key = memory.checked("delete", section, key)
        if memory.direct:
            return bool(self._perform("delete", section, key))
        if self._value(section, key) is None:
            return False
        self._change("delete", section, {key: Gone()})
        return True

    def find(self, id: str) -> StateSection:
        """A section, with what its keys have. Raises `NotFound`.

        What is not saved is saved first, if it can be.
        """
        if not self._memory.direct:
            save_if_possible(self._memory)
        found: StateSection = self._perform("find", id)
        return found

    def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[StateSummary]:
        """The sections that there are, in the order of their names.

        What is not saved is saved first, if it can be.
        """
        if not self._memory.direct:
            save_if_possible(self._memory)
        found: Page[StateSummary] = self._perform("list", limit=limit, cursor=cursor)
        return found

    def flush(self, section: str | None = None) -> int:
        """Save what is not: of one section, or all; how many keys were written.

        Raises what keeps it from the disk, `Held` (another holder has a lease on a
        section) among that; it stays in memory then, and is tried again.
        """
        memory = self._memory
        name = None if section is None else edges.id_of(section, "section")
        if memory.past:
            return 0
        return memory.saver("flush").flush(memory.owner, name)

    def reload(self, section: str) -> None:
        """Learn now what others have saved; what is not saved here stays as it is."""
        edges.id_of(section, "section")
        if not self._memory.past:
            self._see("reload", section, anew=True)

    def is_dirty(self, section: str | None = None) -> bool:
        """Whether something is not saved: of one section, or of all."""
        if section is not None:
            edges.id_of(section, "section")
        return self._memory.dirty(section)

    @cached_property
    def _memory(self) -> OwnedSections:
        store = self._target
        return OwnedSections(store._core, store._terms)  # noqa: SLF001

    def _value(self, section: str, key: str, default: Json = None) -> Document | None:
        """What a key has; None for nothing."""
        memory = self._memory
        memory.refuse_wrong(section, key, default)
        if memory.past:
            return self._documents(section).get(key)
        is_known, found = memory.saver("get").known(memory.owner, section, key)
        if is_known:
            return found
        return self._see("get", section).value(memory.owner, section, key)

    def _documents(self, section: str) -> dict[str, Document]:
        """What every key has."""
        memory = self._memory
        edges.id_of(section, "section")
        if memory.past:
            found = self._perform("as_dict", section)
            return {key: codec.document(value) for key, value in found.items()}
        return self._see("as_dict", section).values(memory.owner, section)

    def _see(self, what: str, section: str, *, anew: bool = False) -> Saver:
        """Sections in memory, after a look at the store, if one is due."""
        memory = self._memory
        saver = memory.saver(what)
        while unit := saver.look(memory.owner, section, anew=anew):
            try:
                found = memory.core.engine.read(unit)
            except PASSING:
                if unit.patient:
                    raise
                saver.unseen(memory.owner, section)
                break
            saver.looked(memory.owner, section, found)
            anew = False
        return saver

    def _update(
        self, section: str, values: Mapping[str, Json], defaults: Defaults
    ) -> None:
        memory = self._memory
        section, found = memory.checked("update", section, plain(values))
        if memory.direct and defaults:
            there = {} if memory.past else self._documents(section)
            found = onto_defaults(found, defaults, there)
        self._change("update", section, merges(found, defaults), found)

    def _change(
        self, what: str, section: str, changes: Mapping[str, Change], *args: Any
    ) -> None:
        """Make changes in memory; or in the store, by the operation of that name."""
        memory = self._memory
        if memory.direct:
            self._perform(what, section, *args)
            return
        saver = memory.saver(what)
        if saver.crowded():
            saver.flush()
        saver.take_in(memory.owner, section, changes)

    def _perform(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self._target.perform(State, OPERATIONS[name], args, kwargs)
