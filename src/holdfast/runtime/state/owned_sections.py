"""Owned sections: those of one owner, as both faces of a store find them in memory.

Answers for: what is checked before a section is read or changed, where it is in memory,
whether a change is made there or in the store; defaults.
Leaves to others: how a caller waits for it (`shown`, `ashown`).
Always holds: what was refused has changed nothing; defaults are never saved.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from holdfast import edges
from holdfast.codec import Document, Json
from holdfast.engine import Terms
from holdfast.errors import HoldfastError
from holdfast.kinds.state import State
from holdfast.kinds.state_records import by_key, key_in_section
from holdfast.runtime.state import last_words
from holdfast.runtime.state.saving import Saver, known_saver, saver_of
from holdfast.sections.merging import Change, applied, merge_of

if TYPE_CHECKING:
    from holdfast.core import Core

Defaults: TypeAlias = Mapping[str, Document]
"""What keys of a section have that the store has nothing for."""
NONE: Defaults = {}
OPERATIONS = State.operations()
"""What sections have within a transaction, by name."""


class OwnedSections:
    """The sections of one owner, as both faces find them in memory."""

    def __init__(self, core: "Core", terms: Terms) -> None:
        self.core = core
        self.owner = terms.owner
        self.past = terms.moment is not None
        """Whether nothing is in memory: it is a look at the past."""
        self.direct = self.past or core.read_only or terms.fence is not None
        """Whether a change is made in the store at once, or refused there."""
        self._terms = terms

    def checked(self, name: str, *args: Any) -> list[Any]:
        """The arguments of an operation, checked. Raises `BadInput`."""
        found, _ = OPERATIONS[name].prepare(args, {}, self.core.limits)
        return found

    def refuse_wrong(self, section: str, key: str, default: Json) -> None:
        """Check what a key is asked by. Raises `BadInput`."""
        edges.id_of(section, "section")
        key_in_section(key, "key", self.core.limits)
        if default is not None:
            edges.document_of(default, "default", self.core.limits)

    def in_hand(
        self, section: str, defaults: object
    ) -> tuple[str, dict[str, Document]]:
        """A section's name and defaults, checked, for who will change it.

        Raises `BadInput`.
        """
        name = edges.id_of(section, "section")
        given = {} if defaults is None else plain(defaults)
        found = by_key(given, "defaults", self.core.limits)
        if not self.direct:
            last_words.listen()
        return name, found

    def saver(self, what: str) -> Saver:
        """Where sections are in memory. Raises `Refused` (inside a transaction)."""
        self.core.refuse_inside(f"state.{what}")
        return saver_of(self.core, self._terms)

    def dirty(self, section: str | None) -> bool:
        """Whether something is not saved."""
        saver = known_saver(self.core, self._terms)
        if self.past or saver is None:
            return False
        if section is not None:
            return saver.is_dirty(self.owner, section)
        return bool(saver.dirty(self.owner))


def plain(values: object) -> object:
    """What is a mapping, as a dict."""
    return dict(values) if isinstance(values, Mapping) else values


def with_defaults(found: Defaults, defaults: Defaults) -> Defaults:
    """What keys have, in their order, with defaults for those that have nothing."""
    return dict(sorted({**defaults, **found}.items())) if defaults else found


def merges(values: Mapping[str, Document], defaults: Defaults) -> dict[str, Change]:
    """Changes that merge values into what is there, or else into defaults."""
    return {
        key: merge_of(one, defaults[key].value if key in defaults else None)
        for key, one in values.items()
    }


def onto_defaults(
    values: Mapping[str, Document], defaults: Defaults, there: Defaults
) -> dict[str, Document]:
    """Values that are to be merged, into defaults already where nothing is there."""
    made = {
        key: None if key in there else applied(change, None)
        for key, change in merges(values, defaults).items()
    }
    return {key: made[key] or one for key, one in values.items()}


def save_if_possible(memory: OwnedSections) -> None:
    """Save an owner's sections, so that they are found in the store."""
    try:
        memory.saver("list").flush(memory.owner)
    except HoldfastError:  # what is asked next says what is wrong, if that matters
        return
