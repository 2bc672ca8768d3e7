"""Items: documents under keys in namespaces, what an agent knows across conversations.

Answers for: putting, getting, listing and finding them, the namespaces there are, and
deleting what is past its time.
Leaves to others: where an item is (`item_places`), which are meant (`item_filters`),
how near two meanings are (`item_vectors`), full-text search (`searching`).
Always holds: an item that is past its time is not shown, whether it was deleted by then
or not; as of a moment, its time is that moment's.
"""

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from holdfast import codec
from holdfast.contract import Kind, operation, query
from holdfast.edges import Id, PageSize, Seconds
from holdfast.engine import Row, Table
from holdfast.errors import InvalidId, NotFound
from holdfast.guarantees import Promise
from holdfast.kinds.item_filters import meets
from holdfast.kinds.item_places import (
    ANY,
    Namespace,
    fits,
    namespace_of,
    span_of,
    text_of_namespace,
)
from holdfast.kinds.item_records import (
    Content,
    Contents,
    Draft,
    Filter,
    Item,
    Key,
    Labels,
    Near,
    Place,
    Places,
    Vector,
    Vectors,
    draft_of,
    drafts_in,
    item_of,
    places_in,
)
from holdfast.kinds.item_vectors import nearest_of
from holdfast.page import Page, cursor_of, place_of

_ALL = 2**62
_READ_AT_ONCE = 1_000
_COMPARED_AT_ONCE = 250
"""Vectors that the caches of a processor have room for."""
_COMPARED_AT_ONCE_THEN = 10_000
"""As of a moment, where each page is looked for among all that changed since."""
_ENDS, _LIFETIME = 7, 8
"""Where in an item's row these stand."""
_Shown: TypeAlias = list[dict[str, Any] | None]


class Items(Kind):
    """Documents by namespace and key; each call is a transaction, or part of one."""

    name = "items"
    promise = Promise.DURABLE
    why = "what an agent remembers outlives its conversations"
    changed_by = "put, delete and their like; the time that an item was given"
    leased = True
    tables = (Table("item", json=("value",), text=("value",)),)
    bookkeeping = frozenset({"updated_at", "ends_at"})

    @operation
    def put(
        self,
        namespace: Labels,
        key: Key,
        value: Content,
        *,
        ttl_seconds: Seconds | None = None,
        vectors: Vectors | None = None,
    ) -> Item:
        """Keep a document under a key; what was there is replaced.

        With `ttl_seconds` it is out of sight that long after it was last put or
        refreshed. `vectors` stand for its meaning, by names of your own. Raises `Held`,
        `Fenced`.
        """
        place = Place.of(namespace, key)
        return self._put([draft_of(place, value, ttl_seconds, vectors)])[0]

    @operation
    def put_each(self, items: Contents) -> tuple[Item, ...]:
        """Keep many documents, all of them or none.

        Each is a dict with the arguments of `put`; of two for one place, the last is
        kept. Raises `Held`, `Fenced`.
        """
        return self._put(drafts_in(items))

    @query
    def get(self, namespace: Labels, key: Key) -> Item:
        """One item. Raises `NotFound`."""
        (row,) = self._rows([Place.of(namespace, key)])
        if row is None:
            raise NotFound("item", Place.of(namespace, key).id)
        return item_of(row)

    @query
    def find(self, id: Id) -> Item:
        """The item of an id, by which the journal and a search name it.

        Raises `NotFound`.
        """
        row = self.tx.one("item_get", owner=self.owner, id=id)
        if row is None or self._over(row, self._now()):
            raise NotFound("item", id)
        return item_of(row)

    @query
    def get_each(self, places: Places) -> tuple[Item | None, ...]:
        """The items at some places, each a pair of namespace and key; None for none."""
        rows = self._rows(places_in(places))
        return tuple(None if row is None else item_of(row) for row in rows)

    @operation
    def refresh(self, places: Places) -> int:
        """Let items live on, each for its own time from now; how many do.

        Their documents stay as they are, so that nobody's lease is in the way.
        """
        asked = tuple(dict.fromkeys(places_in(places)))
        self._lock(asked)
        lasting = [row for row in self._rows(asked) if row and row[_LIFETIME]]
        for row in lasting:
            ends_at = self.tx.now + row[_LIFETIME]
            self.tx.put("item_keep", owner=self.owner, no=row[0], ends_at=ends_at)
        return len(lasting)

    @operation
    def delete(self, namespace: Labels, key: Key) -> bool:
        """Delete an item; True only if there was one. Raises `Held`, `Fenced`."""
        return self._delete([Place.of(namespace, key)]) == 1

    @operation
    def delete_each(self, places: Places) -> int:
        """Delete the items at some places; how many there were.

        Raises `Held`, `Fenced`.
        """
        return self._delete(places_in(places))

    @query
    def list(
        self,
        namespace: Labels = (),
        *,
        where: Filter | None = None,
        limit: PageSize = 50,
        cursor: str | None = None,
    ) -> Page[Item]:
        """Items in a namespace and all within it, those last put first.

        `where` says what their fields must be: `{"color": "red", "size": {"$gt": 3}}`.
        """
        before = (_ALL, 0) if cursor is None else place_of(cursor, int, int)
        meant = self._newest(namespace, before, where, limit)
        found = [*itertools.islice(meant, limit + 1)]
        more = len(found) > limit
        at = cursor_of(found[limit - 1][6], found[limit - 1][0]) if more else None
        return Page(map(item_of, found[:limit]), at)

    @query
    def nearest(
        self,
        namespace: Labels,
        vector: Vector,
        *,
        where: Filter | None = None,
        limit: PageSize = 10,
    ) -> tuple[Near, ...]:
        """Items in a namespace and all within it, the nearest in meaning first.

        By the cosine between the vector and the nearest of an item's own; all of them
        are looked at. Items without a vector of that length are passed over.
        """
        best: list[tuple[float, int, str]] = []
        for rows in self._meant(namespace, where):
            floor = best[-1][0] if len(best) == limit else -1.0
            near = nearest_of([row[4] for row in rows], vector, limit, floor)
            scored = [(score, *rows[place][2:4]) for place, score in near]
            best = heapq.nlargest(limit, best + scored)
        found = self.tx.each(
            "item_get", [{"owner": self.owner, "id": id} for _, _, id in best]
        )
        return tuple(
            Near(item=item_of(rows[0]), score=score)
            for (score, _, _), rows in zip(best, found, strict=True)
        )

    @query
    def namespaces(
        self,
        prefix: Labels = (),
        *,
        suffix: Labels = (),
        depth: PageSize | None = None,
        limit: PageSize = 100,
        cursor: str | None = None,
    ) -> Page[tuple[str, ...]]:
        """The namespaces that have items, in order.

        Those that begin with the labels of `prefix` and end with those of `suffix`,
        where `*` stands for any label. With `depth`, each is cut to so many labels.
        """
        known = itertools.takewhile(lambda label: label != ANY, prefix)
        above, below = span_of(text_of_namespace([*known]))
        if cursor is not None:
            above = _behind(cursor)
        meant = (
            (text, namespace[:depth])
            for text, namespace in self._namespaces(above, below)
            if fits(namespace, prefix, suffix)
        )
        each = (next(same) for _, same in itertools.groupby(meant, lambda it: it[1]))
        found = [*itertools.islice(each, limit + 1)]
        more = len(found) > limit
        return Page(
            (namespace for _, namespace in found[:limit]),
            cursor_of(_end_of(*found[limit - 1])) if more else None,
        )

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many items the owner has, and their bytes."""
        items = self.tx.one("item_usage", owner=self.owner) or (0, 0)
        return {"item": (items[0], items[1])}

    def revised(
        self, was: dict[str, Any], now: dict[str, Any] | None, past: Kind
    ) -> dict[str, Any]:
        """An item's row as it is put back: its time begins anew."""
        lifetime = was["lifetime_us"]
        ends_at = None if lifetime is None else self.tx.now + lifetime
        return {**was, "updated_at": self.tx.now, "ends_at": ends_at}

    def shown(self, table: Table, rows: Sequence[dict[str, Any]]) -> _Shown:
        """Items as callers know them; None for one that is past its time."""
        now = self._now()
        return [
            None
            if row["ends_at"] is not None and row["ends_at"] <= now
            else {
                **found,
                "namespace": [*namespace_of(row["namespace"])],
                "vectors": None,
            }
            for row, found in zip(rows, super().shown(table, rows), strict=True)
            if found is not None
        ]

    def tidy(self, limit: int) -> bool:
        """Delete items that are past their time."""
        return self.tx.run("item_sweep", now=self.tx.now, limit=limit) == limit

    def _put(self, drafts: Sequence[Draft]) -> tuple[Item, ...]:
        places = [draft.place for draft in drafts]
        self._lock(places)
        self._guard(places)
        rows = {row[2]: row for row in self._found(places)}
        kept = {}
        for draft in {draft.place: draft for draft in drafts}.values():
            kept[draft.place] = self._keep(draft, rows.get(draft.place.id))
        return tuple(kept[place] for place in places)

    def _keep(self, draft: Draft, there: Row | None) -> Item:
        """Put a document where nothing is, or another."""
        now, life, place = self.tx.now, draft.lifetime_us, draft.place
        values: dict[str, Any] = {
            "owner": self.owner,
            "now": now,
            "ends_at": None if life is None else now + life,
            "lifetime_us": life,
            "value": draft.value,
            "vectors": draft.vectors,
        }
        if there is None:
            created_at, no = now, self.tx.new_no()
            where = {"id": place.id, "namespace": place.namespace, "key": place.key}
            self.tx.put("item_add", no=no, **where, **values)
        else:
            created_at, no = now if self._over(there, now) else there[5], there[0]
            self.tx.put("item_change", no=no, created_at=created_at, **values)
        return item_of(
            (no, self.owner, place.id, place.namespace, place.key, created_at, now,
             values["ends_at"], life, draft.value)
        )  # fmt: skip

    def _delete(self, places: Sequence[Place]) -> int:
        self._lock(places)
        self._guard(places)
        found = self._found(places)
        for row in found:
            self.tx.put("item_drop", owner=self.owner, no=row[0])
        return sum(not self._over(row, self.tx.now) for row in found)

    def _lock(self, places: Iterable[Place]) -> None:
        """Lock records, always in the same order, so that nobody waits in a circle."""
        for id in sorted({place.id for place in places}):
            self.lock(id)

    def _guard(self, places: Iterable[Place]) -> None:
        """As `guard`, for many records at once."""
        ids = dict.fromkeys(place.id for place in places)
        asked = [{"kind": self.name, "owner": self.owner, "id": id} for id in ids]
        for id, rows in zip(ids, self.tx.each("lease_get", asked), strict=True):
            if rows and rows[0][2] > self.tx.now:
                self._pass(id, fence=rows[0][1])

    def _found(self, places: Iterable[Place]) -> Sequence[Row]:
        """The rows at some places, past their time or not."""
        ids = dict.fromkeys(place.id for place in places)
        asked = [{"owner": self.owner, "id": id} for id in ids]
        return [row for rows in self.tx.each("item_get", asked) for row in rows]

    def _rows(self, places: Sequence[Place]) -> Sequence[Row | None]:
        """The row in sight at each of some places, or None."""
        now = self._now()
        there = {row[2]: row for row in self._found(places) if not self._over(row, now)}
        return [there.get(place.id) for place in places]

    def _newest(
        self,
        namespace: Sequence[str],
        before: Sequence[object],
        where: Mapping[str, Any] | None,
        limit: int,
    ) -> Iterator[Row]:
        """Rows in a namespace and within it that are meant, newest first."""
        name, values = self._listing(text_of_namespace(namespace))
        at_once = limit + 1 if where is None else _READ_AT_ONCE
        values |= {"owner": self.owner, "now": self._now(), "limit": at_once}
        before_at, before_no = before
        while True:
            rows = self.tx.all(name, before_at=before_at, before_no=before_no, **values)
            for row in rows:
                if where is None or meets(codec.decode(row[9]), where):
                    yield row
            if len(rows) < at_once:
                return
            before_at, before_no = rows[-1][6], rows[-1][0]

    def _listing(self, text: str) -> tuple[str, dict[str, Any]]:
        """How a namespace is listed: if it is one alone, an index has its order."""
        above, below = span_of(text)
        first, last = self.tx.one(
            "item_span", owner=self.owner, above=above, below=below
        ) or (None, None)
        if first is not None and first == last:
            return "item_list", {"namespace": first}
        return "item_list_span", {"above": above, "below": below}

    def _meant(
        self, namespace: Sequence[str], where: Mapping[str, Any] | None
    ) -> Iterator[Sequence[Row]]:
        """Rows with vectors in a namespace and within it that are meant, by pages."""
        above, below = span_of(text_of_namespace(namespace))
        values = {"owner": self.owner, "below": below, "now": self._now()}
        then = self.tx.terms.moment is not None
        at_once = _COMPARED_AT_ONCE_THEN if then else _COMPARED_AT_ONCE
        values |= {"asked": int(where is not None), "limit": at_once}
        at: Row = (above, 0, 0)
        while True:
            rows = self.tx.all(
                "item_vectors", above=at[0], after_at=at[1], after_no=at[2], **values
            )
            if where is None:
                yield rows
            else:
                yield [row for row in rows if meets(codec.decode(row[5]), where)]
            if len(rows) < at_once:
                return
            at = rows[-1]

    def _namespaces(self, above: str, below: str) -> Iterator[tuple[str, Namespace]]:
        """The namespaces with items between two texts, each beside its text."""
        values = {"owner": self.owner, "below": below, "now": self._now()}
        while True:
            rows = self.tx.all(
                "item_namespaces", above=above, limit=_READ_AT_ONCE, **values
            )
            for (text,) in rows:
                yield text, namespace_of(text)
            if len(rows) < _READ_AT_ONCE:
                return
            above = rows[-1][0]

    def _over(self, row: Row, now: int) -> bool:
        """Whether an item is past its time."""
        return row[_ENDS] is not None and row[_ENDS] <= now

    def _now(self) -> int:
        """What time it is; as of a moment, the time of that moment."""
        moment = self.tx.terms.moment
        if moment is None:
            return self.tx.now
        found = self.tx.one("journal_moment", seq=moment)
        return self.tx.now if found is None else found[1]


def _behind(cursor: str) -> str:
    """The text behind which a page of namespaces begins."""
    (text,) = place_of(cursor, str)
    if not str(text).startswith(text_of_namespace(())):
        raise InvalidId(f"{cursor!r} is no cursor of this list")
    return str(text)


def _end_of(text: str, namespace: Namespace) -> str:
    """The text behind which the next namespace comes."""
    cut = text_of_namespace(namespace)
    return text if cut == text else span_of(cut)[1]
