"""Whose events a command looks at, and following those of several owners at once.

Answers for: the owners who have events; one stream of what happens to all of them,
also to those who come later.
Leaves to others: following one owner's (`events/following`), how events look.
Always holds: the events of one owner stay in their order, and none is missed, for they
are other processes', which come from disk; an error of one stream ends them all.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

from holdfast.clock import SystemClock, to_datetime
from holdfast.core import NEXT_OWNER, everyone

if TYPE_CHECKING:
    from holdfast.engine import Transaction
    from holdfast.kinds.event_records import Event
    from holdfast.store import Store

_LOOK_SECONDS = 1.0
"""How often it is looked whether there are other owners."""
_CLOSING_SECONDS = 0.01
_READY = 1_000
"""So many events are read ahead of who prints them."""


def owners_of(store: "Store") -> list[str]:
    """Everyone who has events here, in order."""
    core, terms = store._core, everyone(store._terms)  # noqa: SLF001
    return core.events.read(core.unit(_owners, terms))


def _owners(tx: "Transaction") -> list[str]:
    found: list[str] = []
    after = ""
    while (row := tx.one("event_next_owner", after=after)) and row[0] is not None:
        found.append(row[0])
        after = row[0] + NEXT_OWNER
    return found


class Streams:
    """The events of one owner, or of all, as they happen."""

    def __init__(
        self, store: "Store", owner: str | None, options: dict[str, Any]
    ) -> None:
        self._store = store
        self._owner = owner
        self._options = options
        self._queue: Queue[Event | BaseException] = Queue(_READY)
        self._streams: dict[str, Any] = {}
        self._threads: list[threading.Thread] = []

    def __iter__(self) -> Iterator["Event"]:
        since: datetime | None = self._options.get("since")
        began = to_datetime(SystemClock().now_us())
        self._begin(since)
        looked = time.monotonic()
        while True:
            found = self._next()
            if isinstance(found, BaseException):
                raise found
            if found is not None:
                yield found
            if time.monotonic() - looked >= _LOOK_SECONDS:
                self._begin(since or began)
                looked = time.monotonic()

    def close(self) -> None:
        """Follow nobody any longer."""
        for stream in self._streams.values():
            stream.close()
        while any(thread.is_alive() for thread in self._threads):
            self._next(_CLOSING_SECONDS)  # make room for what is being told

    def _begin(self, since: datetime | None) -> None:
        """Follow whoever is not followed yet."""
        owners = owners_of(self._store) if self._owner is None else [self._owner]
        for owner in owners:
            if owner not in self._streams:
                options = {**self._options, "since": since}
                stream = self._store.owned_by(owner).events.follow(**options)
                self._streams[owner] = stream
                thread = threading.Thread(target=self._pour, args=(stream,))
                self._threads.append(thread)
                thread.start()

    def _next(self, seconds: float = _LOOK_SECONDS) -> "Event | BaseException | None":
        with suppress(Empty):
            return self._queue.get(timeout=seconds)
        return None

    def _pour(self, stream: Iterator["Event"]) -> None:
        try:
            for event in stream:
                self._queue.put(event)
        except Exception as error:
            self._queue.put(error)
