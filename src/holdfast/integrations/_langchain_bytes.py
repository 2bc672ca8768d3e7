"""Bytes by keys for LangChain: items of one namespace.

Answers for: `HoldfastByteStore`, LangChain's key-value store.
Leaves to others: where and how long an item is kept (`kinds/items`).
Always holds: what one call sets is one transaction; bytes come back as they were.
"""

import base64
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import cached_property
from typing import Any

from holdfast.astore import AsyncStore
from holdfast.integrations import extra
from holdfast.kinds.item_records import Item
from holdfast.store import Store

with extra("langchain"):
    from langchain_core.stores import BaseStore

_PAGE = 1_000


class HoldfastByteStore(BaseStore[str, bytes]):
    """Bytes by keys, on a store of either face, sync and async.

    They are items of `namespace`, which live for `ttl_seconds` after they were set;
    None is for good. What is yielded is what there was when that began. Setting raises
    `TooLarge`, `Held`.
    """

    def __init__(
        self,
        store: Store | AsyncStore,
        namespace: Sequence[str] = ("langchain", "bytes"),
        *,
        ttl_seconds: float | None = None,
    ) -> None:
        self._store = store
        self._namespace = tuple(namespace)
        self._ttl_seconds = ttl_seconds

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """The bytes of each key; None for one that is not there."""
        found = self._sync.items.get_each(self._places(keys))
        return [_bytes_in(item) for item in found]

    async def amget(self, keys: Sequence[str]) -> list[bytes | None]:
        """As `mget`, awaited."""
        found = await self._aio.items.get_each(self._places(keys))
        return [_bytes_in(item) for item in found]

    def mset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        """Set keys to bytes, all of them or none."""
        self._sync.items.put_each(self._contents(key_value_pairs))

    async def amset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        """As `mset`, awaited."""
        await self._aio.items.put_each(self._contents(key_value_pairs))

    def mdelete(self, keys: Sequence[str]) -> None:
        """Delete keys, those that are there."""
        self._sync.items.delete_each(self._places(keys))

    async def amdelete(self, keys: Sequence[str]) -> None:
        """As `mdelete`, awaited."""
        await self._aio.items.delete_each(self._places(keys))

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """The keys that begin with a prefix, those last set first."""
        then = self._sync.as_of(self._sync.moment())
        cursor = None
        while True:
            page = then.items.list(self._namespace, limit=_PAGE, cursor=cursor)
            own = self._meant(page, prefix)
            places = self._places(_passing(own))
            there = self._sync.items.get_each(places) if places else ()
            yield from _lasting(own, there)
            cursor = page.cursor
            if cursor is None:
                return

    async def ayield_keys(self, *, prefix: str | None = None) -> AsyncIterator[str]:
        """As `yield_keys`, awaited."""
        then = await self._aio.as_of(await self._aio.moment())
        cursor = None
        while True:
            page = await then.items.list(self._namespace, limit=_PAGE, cursor=cursor)
            own = self._meant(page, prefix)
            places = self._places(_passing(own))
            there = await self._aio.items.get_each(places) if places else ()
            for key in _lasting(own, there):
                yield key
            cursor = page.cursor
            if cursor is None:
                return

    def _places(self, keys: Sequence[str]) -> list[tuple[tuple[str, ...], str]]:
        return [(self._namespace, key) for key in keys]

    def _contents(self, pairs: Sequence[tuple[str, bytes]]) -> list[dict[str, Any]]:
        return [
            {
                "namespace": self._namespace,
                "key": key,
                "value": {"data": base64.b64encode(value).decode()},
                "ttl_seconds": self._ttl_seconds,
            }
            for key, value in pairs
        ]

    def _meant(self, page: Sequence[Item], prefix: str | None) -> list[Item]:
        """The items of the namespace itself whose keys begin so."""
        return [
            item
            for item in page
            if item.namespace == self._namespace and item.key.startswith(prefix or "")
        ]

    @cached_property
    def _sync(self) -> Store:
        return self._store if isinstance(self._store, Store) else self._store.sync

    @cached_property
    def _aio(self) -> AsyncStore:
        return self._store.aio if isinstance(self._store, Store) else self._store


def _passing(items: Sequence[Item]) -> list[str]:
    """The keys of those that may be past their time by now: a moment has its own."""
    return [item.key for item in items if item.ends_at is not None]


def _lasting(items: Sequence[Item], there: Sequence[Item | None]) -> Iterator[str]:
    """The keys of those that stay, or are there now."""
    known = {item.key for item in there if item is not None}
    return (i.key for i in items if i.ends_at is None or i.key in known)


def _bytes_in(item: Item | None) -> bytes | None:
    return None if item is None else base64.b64decode(item.value["data"])
