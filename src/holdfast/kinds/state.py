"""State: sections of keys with values, which are saved a moment after they change.

Answers for: what a section is in the store, within a transaction: reading it, changing
single keys, what this process has not saved yet.
Leaves to others: sections in memory (`sections`, `runtime/state`), when they are
saved (`runtime/state`), what a merge is (`sections.merging`).
Always holds: only keys that were changed are written; what this process has not saved
yet is written before what a transaction does to the section, in that transaction.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from holdfast import codec
from holdfast.codec import Document, Json
from holdfast.contract import Kind, operation, query
from holdfast.edges import Id, PageSize, Value
from holdfast.engine import Row, Table, Unheard
from holdfast.errors import NotFound, Refused
from holdfast.guarantees import Promise
from holdfast.kinds.state_records import (
    ByKey,
    Saved,
    SectionKey,
    StateSection,
    StateSummary,
    saved,
    section_of,
    summary_of,
)
from holdfast.page import Page, cursor_of, place_of
from holdfast.restoring import Plan
from holdfast.sections.memory import Looked, Stamp, Taken, Written
from holdfast.sections.merging import (
    Change,
    Gone,
    Put,
    applied,
    fresh,
    merge_of,
)

_VERSION = 5
_NOTHING = Taken({}, 0)


class _Stored(NamedTuple):
    """A row that a key has, and its value."""

    no: int
    document: Document


class State(Kind):
    """Sections, within a transaction: what is written through it is kept at once."""

    name = "state"
    promise = Promise.DEBOUNCED
    why = "what a service switches and counts changes too often for a commit each"
    changed_by = "set, update, delete, drop"
    leased = True
    tables = (
        Table("state_section"),
        Table("state_key", json=("value",), parent=("section", "state_section")),
    )
    bookkeeping = frozenset({"version", "updated_at"})

    @query
    def get(self, section: Id, key: SectionKey, default: Value | None = None) -> Json:
        """What a key has; `default` if it has nothing."""
        unsaved = self._unsaved(section)
        there = self._stored(self._row(section), [key]).get(key)
        found = applied(unsaved.changes.get(key), there and there.document)
        return codec.value_of(default) if found is None else fresh(found)  # type: ignore[no-any-return]

    @query
    def as_dict(self, section: Id) -> dict[str, Any]:
        """What every key has, in the order of the keys; a section need not be there."""
        return self._values(section, self._row(section))

    @query
    def find(self, id: Id) -> StateSection:
        """A section, with what its keys have. Raises `NotFound`."""
        row = self._row(id)
        if row is None:
            raise NotFound("section", id)
        return section_of(row, self._values(id, row))

    @query
    def list(
        self, *, limit: PageSize = 50, cursor: str | None = None
    ) -> Page[StateSummary]:
        """The sections that there are, in the order of their names."""
        after = "" if cursor is None else place_of(cursor, str, int)[0]
        asked = {"owner": self.owner, "after": after, "limit": limit + 1}
        rows = self.tx.all("state_section_list", **asked)
        numbers = [{"owner": self.owner, "section": row[0]} for row in rows[:limit]]
        figures = self.tx.each("state_section_keys", numbers)
        last = rows[limit - 1] if len(rows) > limit else None
        more = None if last is None else cursor_of(last[2], last[0])
        told = zip(rows, (found[0] for found in figures), strict=False)
        return Page((summary_of(row, *figure) for row, figure in told), more)

    @operation
    def set(self, section: Id, key: SectionKey, value: Value) -> None:
        """Put a value in the place of a key's. Raises `Held`, `Fenced`."""
        self._write(section, {key: Put(codec.document(value))})

    @operation
    def update(self, section: Id, values: ByKey) -> None:
        """Merge values into those that are there: objects within objects.

        Every other value takes the place of what was there; None as well. Raises
        `Held`, `Fenced`.
        """
        self._write(section, {key: merge_of(one) for key, one in values.items()})

    @operation
    def delete(self, section: Id, key: SectionKey) -> bool:
        """Delete a key; True only if it had a value. Raises `Held`, `Fenced`."""
        return self._write(section, {key: Gone()})[key] is not None

    @operation
    def drop(self, section: Id) -> bool:
        """Delete a section with all its keys; True only if there was one.

        Raises `Held`, `Fenced`.
        """
        self.lock(section)
        self.guard(section)
        unsaved = self._unsaved(section, writes=True)
        row = self._row(section)
        if row is not None:
            self.tx.put("state_key_drop_all", owner=self.owner, section=row[0])
            self.tx.put("state_section_drop", owner=self.owner, no=row[0])
        if row is not None or unsaved.changes:
            self.tx.tell(saved(section, Written(unsaved.upto)))
        return row is not None or bool(unsaved.changes)

    def save(self, section: str) -> int:
        """Write what this process has not saved yet; how many keys differ by that."""
        unsaved = self._unsaved(section)
        return 0 if not unsaved.changes else self._written(section, {})[1]

    def look(
        self, section: str, epoch: int, known: Stamp | None, *, loaded: bool
    ) -> Looked:
        """What the store has of a section, unless that is known already."""
        row = self._row(section)
        stamp = _stamp(row)
        if loaded and stamp == known:
            return Looked(epoch, stamp, None)
        return Looked(epoch, stamp, self._all(row))

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many sections and keys the owner has, and their bytes."""
        (sections,) = self.tx.one("state_usage", owner=self.owner) or (0,)
        keys, size = self.tx.one("state_key_usage", owner=self.owner) or (0, 0)
        return {"state_section": (sections, 0), "state_key": (keys, size)}

    def revised(
        self, was: dict[str, Any], now: dict[str, Any] | None, past: Kind
    ) -> dict[str, Any]:
        """A section's row as it is put back, with a version that it never had."""
        version = max(was["version"], now["version"] if now else 0) + 1
        return {**was, "version": version, "updated_at": self.tx.now}

    def put_back(self, id: str, past: Kind) -> Plan | None:
        """As for every kind; that a section is gone is told."""
        plan = super().put_back(id, past)
        if plan is None or plan.op != "delete":
            return plan

        def write(plan: Plan = plan) -> None:
            plan.write()
            self.tx.tell(saved(id, Written()))

        return replace(plan, write=write)

    def settled(self, row: dict[str, Any]) -> None:
        """Tell of a section that was put back."""
        self.tx.tell(saved(row["id"], Written()))

    # Reading.

    def _row(self, section: str) -> Row | None:
        return self.tx.one("state_section_get", owner=self.owner, id=section)

    def _stored(self, row: Row | None, keys: Iterable[str]) -> dict[str, _Stored]:
        """What some keys of a section have in the store."""
        if row is None:
            return {}
        asked = {"owner": self.owner, "section": row[0]}
        found = self.tx.each("state_key_get", [{**asked, "key": key} for key in keys])
        return {
            key: _Stored(rows[0][0], _document(rows[0][1]))
            for key, rows in zip(keys, found, strict=True)
            if rows
        }

    def _all(self, row: Row | None) -> dict[str, Document]:
        """What every key of a section has in the store."""
        found: dict[str, Document] = {}
        after, limit = "", self.tx.limits.page
        while row is not None:
            asked = {"owner": self.owner, "section": row[0], "after": after}
            rows = self.tx.all("state_key_page", limit=limit, **asked)
            found |= {key: _document(text) for key, text in rows}
            if len(rows) < limit:
                break
            after = rows[-1][0]
        return found

    def _values(self, section: str, row: Row | None) -> dict[str, Any]:
        """What every key has, with what this process has not saved yet."""
        unsaved = self._unsaved(section)
        there = self._all(row)
        keys = sorted({*there, *unsaved.changes})
        found = (
            (key, applied(unsaved.changes.get(key), there.get(key))) for key in keys
        )
        return {key: fresh(one) for key, one in found if one is not None}

    # Writing.

    def _unsaved(self, section: str, *, writes: bool = False) -> Taken:
        """What this process has not saved yet."""
        memory, terms = self.tx.terms.provided.unsaved, self.tx.terms
        if memory is None or terms.moment is not None:
            return _NOTHING
        if writes and isinstance(self.tx.tellings, Unheard):
            if memory.is_dirty(self.owner, section):
                raise Refused(
                    f"section {section!r} has changes that are not saved yet, and "
                    "whether a transaction of yours is committed is not learned; "
                    f"nothing was written: store.state.flush({section!r}) before it"
                )
            return _NOTHING
        after = self._taken(section) if memory.is_dirty(self.owner, section) else 0
        return memory.take(self.owner, section, after, reads=not writes)

    def _taken(self, section: str) -> int:
        """Up to which change this transaction has what was not saved."""
        for terms, told in reversed(self.tx.tellings):
            if isinstance(told, Saved) and (terms.owner, told.section) == (
                self.owner,
                section,
            ):
                return told.written.upto
        return 0

    def _write(
        self, section: str, mine: Mapping[str, Change]
    ) -> dict[str, Document | None]:
        """Make changes, after those that are not saved yet; what was before mine."""
        return self._written(section, mine)[0]

    def _written(
        self, section: str, mine: Mapping[str, Change]
    ) -> tuple[dict[str, Document | None], int]:
        """As `_write`; and how many keys differ by that."""
        self.lock(section)
        self.guard(section)
        unsaved = self._unsaved(section, writes=True)
        row = self._row(section)
        keys = sorted({*unsaved.changes, *mine})
        stored = self._stored(row, keys)
        before, values = {}, {}
        for key in keys:
            there = stored[key].document if key in stored else None
            before[key] = applied(unsaved.changes.get(key), there)
            after = applied(mine.get(key), before[key])
            if _text(after) != _text(there):
                values[key] = after
        now = self._put(section, row, stored, values)
        told = Written(unsaved.upto, values, _stamp(row), now)
        if values or unsaved.changes:
            self.tx.tell(saved(section, told))
        return before, len(values)

    def _put(
        self,
        section: str,
        row: Row | None,
        stored: Mapping[str, _Stored],
        values: Mapping[str, Document | None],
    ) -> Stamp | None:
        """Write what keys have from now on; the section's stamp then."""
        if not values:
            return _stamp(row)
        asked: dict[str, Any] = {"owner": self.owner, "now": self.tx.now}
        if row is None:
            no, version = self.tx.new_no(), 1
            self.tx.put("state_section_add", no=no, id=section, **asked)
        else:
            no, version = row[0], row[_VERSION] + 1
            self.tx.put("state_section_change", no=no, version=version, **asked)
        for key, document in values.items():
            self._put_key(no, key, stored.get(key), document)
        return no, version

    def _put_key(
        self, section: int, key: str, stored: _Stored | None, document: Document | None
    ) -> None:
        asked: dict[str, Any] = {"owner": self.owner}
        if document is None:
            assert stored is not None
            self.tx.put("state_key_drop", no=stored.no, **asked)
            return
        asked["value"] = document.text
        if stored is None:
            asked |= {"no": self.tx.new_no(), "section": section, "key": key}
            self.tx.put("state_key_add", **asked)
        else:
            self.tx.put("state_key_change", no=stored.no, **asked)


def _stamp(row: Row | None) -> Stamp | None:
    return None if row is None else (row[0], row[_VERSION])


def _document(text: str) -> Document:
    return Document(text, codec.decode(text))


def _text(document: Document | None) -> str | None:
    return None if document is None else document.text
