"""What a section is: its records, the keys that it may have, what is told of it.

Answers for: the records, reading them from rows, checking keys.
Leaves to others: everything that is done with them (`state`).
"""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from holdfast.clock import to_datetime
from holdfast.edges import Edge, document_of, text_of, wrong_type
from holdfast.engine import Row, Terms, Told
from holdfast.errors import InvalidId, TooLarge
from holdfast.limits import Limits
from holdfast.sections.memory import Written

SAVED = "state:saved"
"""The event by which a change of a section is told."""
_KEY_BYTES = 1_000
_TOLD_KEYS = 100


class StateSection(msgspec.Struct, frozen=True, kw_only=True):
    """A section and what its keys have; its version is another with each change."""

    id: str
    owner: str
    values: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    version: int


class StateSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A section: how many keys it has, and how many bytes of JSON text they hold."""

    id: str
    owner: str
    keys: int
    bytes: int
    created_at: datetime
    updated_at: datetime
    version: int


class Saved(Told, frozen=True):
    """That a section was written to; those who hold it in memory take note."""

    section: str = ""
    written: Written = Written()

    def heard(self, terms: Terms) -> None:
        """Take note that it is committed."""
        if terms.provided.unsaved is not None:
            terms.provided.unsaved.written(terms.owner, self.section, self.written)


def saved(section: str, written: Written) -> Saved:
    """What is told of a section that was written to."""
    said: dict[str, Any] = {"section": section}
    if written.values is not None:
        said["changed"] = len(written.values)
        said["keys"] = [*written.values][:_TOLD_KEYS]
    return Saved(SAVED, said, section=section, written=written)


def section_of(row: Row, values: dict[str, Any]) -> StateSection:
    """The record that a row stands for, with what its keys have."""
    _, owner, id, created_at, updated_at, version = row
    return StateSection(
        id=id,
        owner=owner,
        values=values,
        created_at=to_datetime(created_at),
        updated_at=to_datetime(updated_at),
        version=version,
    )


def summary_of(row: Row, keys: int, size: int) -> StateSummary:
    """What is said of the section that a row stands for."""
    _, owner, id, created_at, updated_at, version = row
    return StateSummary(
        id=id,
        owner=owner,
        keys=keys,
        bytes=size,
        created_at=to_datetime(created_at),
        updated_at=to_datetime(updated_at),
        version=version,
    )


def key_in_section(value: object, name: str, limits: Limits) -> str:
    """A key of a section: 1 to 1,000 bytes of text."""
    text = text_of(value, name, limits)
    if not text:
        raise InvalidId(f"{name}: a key has at least one character")
    if (size := len(text.encode())) > _KEY_BYTES:
        raise TooLarge(
            f"{name}: a key has at most {_KEY_BYTES:,} bytes, not {size:,}; nothing "
            "was written"
        )
    return text


def by_key(value: object, name: str, limits: Limits) -> dict[str, Any]:
    """A dict of values by their keys; each value is checked and encoded."""
    if not isinstance(value, dict):
        raise wrong_type(name, "a dict", value)
    return {
        key_in_section(key, f"a key of {name}", limits): document_of(
            one, f"{name}[{key!r}]", limits
        )
        for key, one in value.items()
    }


SectionKey = Annotated[str, Edge(key_in_section)]
ByKey = Annotated[dict[str, Any], Edge(by_key)]
