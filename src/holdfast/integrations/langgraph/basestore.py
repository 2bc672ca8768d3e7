"""LangGraph's store: what agents know across threads, kept as items.

Answers for: `HoldfastStore`, each operation of a batch, in one transaction.
Leaves to others: what an item is (`kinds/items`), what stands for a text's meaning
(`meanings`), finding by words (`wording`).
Always holds: what a batch reads is what was there before it; of two writes to one place
the last counts. What is past its time is not shown. Nothing but JSON is kept.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from holdfast.astore import AsyncStore
from holdfast.errors import Refused
from holdfast.integrations import extra
from holdfast.integrations.langgraph.meanings import Meanings, Vectors
from holdfast.integrations.langgraph.wording import by_words
from holdfast.kinds.item_places import fits
from holdfast.kinds.item_records import Item as Kept
from holdfast.kinds.items import Items
from holdfast.store import Store
from holdfast.transaction import OpenTransaction

with extra("langgraph"):
    from langgraph.store import base
    from langgraph.store.base import (
        BaseStore,
        GetOp,
        IndexConfig,
        Item,
        ListNamespacesOp,
        MatchCondition,
        Op,
        PutOp,
        Result,
        SearchItem,
        SearchOp,
        TTLConfig,
    )

_PAGE = 1_000
_check = getattr(base, "validate_op_namespace", lambda op: None)
"""As LangGraph checks what a batch names, since langgraph-checkpoint 4.3."""
_Place: TypeAlias = tuple[tuple[str, ...], str]
_Scored: TypeAlias = tuple[Kept, float | None]


class HoldfastStore(BaseStore):
    """LangGraph's long-term memory on a store of either face, sync and async.

    With `index`, items are found by meaning: exactly, by the cosine to each vector
    within a namespace. Without, they are found by their words. `ttl` is as LangGraph
    has it; the store deletes by itself what is past its time. Raises `Held`,
    `TooLarge`, `NotStorable`, and LangGraph's own `InvalidNamespaceError`.
    """

    supports_ttl = True

    def __init__(
        self,
        store: Store | AsyncStore,
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
    ) -> None:
        self._store = store if isinstance(store, Store) else store.sync
        self._astore = store.aio if isinstance(store, Store) else store
        self._meanings = None if index is None else Meanings(index)
        self.ttl_config = ttl

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out operations, all of them or none."""
        batch = _Batch(ops)
        vectors = None if self._meanings is None else self._meanings.of(batch.ops)
        if batch.puts:
            return self._store.run(batch.within, vectors)
        found = self._store.read(batch.reading, vectors)
        if batch.passing:
            with suppress(Refused):  # what is only looked at stays as it is
                self._store.items.refresh(batch.passing)
        return found

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out operations, all of them or none, awaited."""
        batch = _Batch(ops)
        vectors = (
            None if self._meanings is None else await self._meanings.aof(batch.ops)
        )
        if batch.puts:
            return await self._astore.run(batch.within, vectors)
        found = await self._astore.read(batch.reading, vectors)
        if batch.passing:
            with suppress(Refused):
                await self._astore.items.refresh(batch.passing)
        return found


class _Batch:
    """Operations that are carried out together.

    `passing` are places that were read, and whose time begins anew by that.
    """

    def __init__(self, ops: Iterable[Op]) -> None:
        self.ops = list(ops)
        for op in self.ops:
            if not isinstance(op, (GetOp, PutOp, SearchOp, ListNamespacesOp)):
                raise ValueError(f"Unknown operation type: {type(op)}")  # noqa: TRY004
            _check(op)
        self.puts = {
            (op.namespace, op.key): op for op in self.ops if isinstance(op, PutOp)
        }
        self.passing: list[_Place] = []

    def within(self, tx: OpenTransaction, vectors: Vectors | None) -> list[Result]:
        """All of it, as part of a transaction that writes."""
        found = self._read(tx.items, vectors)
        if self.passing:
            tx.items.refresh(self.passing)
        gone = [place for place, op in self.puts.items() if op.value is None]
        if gone:
            tx.items.delete_each(gone)
        if len(gone) < len(self.puts):
            puts = (op for op in self.puts.values() if op.value is not None)
            tx.items.put_each([_content(op, vectors) for op in puts])
        return found

    def reading(self, tx: OpenTransaction, vectors: Vectors | None) -> list[Result]:
        """All of it, where nothing is put."""
        return self._read(tx.items, vectors)

    def _read(self, items: Items, vectors: Vectors | None) -> list[Result]:
        self.passing = []
        gets = [(op.namespace, op.key) for op in self.ops if isinstance(op, GetOp)]
        got = iter(items.get_each(gets) if gets else ())
        return [self._one(items, op, got, vectors) for op in self.ops]

    def _one(
        self,
        items: Items,
        op: Op,
        got: Iterator[Kept | None],
        vectors: Vectors | None,
    ) -> Result:
        if isinstance(op, GetOp):
            kept = next(got)
            self._refresh(op, [] if kept is None else [kept])
            return None if kept is None else _item(kept)
        if isinstance(op, SearchOp):
            found = list(_search(items, op, vectors))
            self._refresh(op, [kept for kept, _ in found])
            return [_search_item(kept, score) for kept, score in found]
        return _namespaces(items, op) if isinstance(op, ListNamespacesOp) else None

    def _refresh(self, op: GetOp | SearchOp, found: Sequence[Kept]) -> None:
        if op.refresh_ttl:
            self.passing += [
                (kept.namespace, kept.key)
                for kept in found
                if kept.ttl_seconds is not None
            ]


def _content(op: PutOp, vectors: Vectors | None) -> dict[str, Any]:
    assert op.value is not None
    return {
        "namespace": op.namespace,
        "key": op.key,
        "value": dict(op.value),
        "ttl_seconds": None if op.ttl is None else op.ttl * 60,
        "vectors": None if vectors is None else vectors.of_value(op),
    }


def _search(items: Items, op: SearchOp, vectors: Vectors | None) -> Iterator[_Scored]:
    """What a search finds, in its order, from its offset to its limit."""
    meant: Iterable[_Scored]
    if not op.query:
        meant = ((kept, None) for kept in _all(items, op))
    elif vectors is None:
        meant = by_words(op.query, _all(items, op))
    else:
        meant = _nearest(items, op, vectors)
    return itertools.islice(meant, op.offset, op.offset + max(0, op.limit))


def _nearest(items: Items, op: SearchOp, vectors: Vectors) -> Iterator[_Scored]:
    """Items by their meaning; behind them, those that have none, newest first."""
    near = items.nearest(
        op.namespace_prefix,
        vectors.of_query(op),
        where=op.filter,
        limit=max(1, op.offset + op.limit),
    )
    seen = set()
    for found in near:
        seen.add(found.item.id)
        yield found.item, found.score
    for kept in _all(items, op):
        if kept.id not in seen:
            yield kept, None


def _all(items: Items, op: SearchOp) -> Iterator[Kept]:
    """What is in a namespace and meets a filter, newest first."""
    cursor = None
    size = min(_PAGE, max(1, op.offset + op.limit)) if not op.query else _PAGE
    while True:
        page = items.list(
            op.namespace_prefix, where=op.filter, limit=size, cursor=cursor
        )
        yield from page
        cursor = page.cursor
        if cursor is None:
            return


def _namespaces(items: Items, op: ListNamespacesOp) -> list[tuple[str, ...]]:
    conditions = op.match_conditions or ()
    meant = (
        namespace[: op.max_depth]
        for namespace in _every_namespace(items, conditions)
        if all(_matches(namespace, condition) for condition in conditions)
    )
    each = (namespace for namespace, _ in itertools.groupby(meant))
    return list(itertools.islice(each, op.offset, op.offset + max(0, op.limit)))


def _every_namespace(
    items: Items, conditions: Sequence[MatchCondition]
) -> Iterator[tuple[str, ...]]:
    prefixes = (c.path for c in conditions if c.match_type == "prefix")
    prefix, cursor = next(prefixes, ()), None
    while True:
        page = items.namespaces(prefix, limit=_PAGE, cursor=cursor)
        yield from page
        cursor = page.cursor
        if cursor is None:
            return


def _matches(namespace: tuple[str, ...], condition: MatchCondition) -> bool:
    if condition.match_type == "prefix":
        return fits(namespace, condition.path, ())
    if condition.match_type == "suffix":
        return fits(namespace, (), condition.path)
    raise ValueError(f"Unsupported match type: {condition.match_type}")


def _item(kept: Kept) -> Item:
    return Item(
        value=kept.value,
        key=kept.key,
        namespace=kept.namespace,
        created_at=kept.created_at,
        updated_at=kept.updated_at,
    )


def _search_item(kept: Kept, score: float | None) -> SearchItem:
    return SearchItem(
        value=kept.value,
        key=kept.key,
        namespace=kept.namespace,
        created_at=kept.created_at,
        updated_at=kept.updated_at,
        score=score,
    )
