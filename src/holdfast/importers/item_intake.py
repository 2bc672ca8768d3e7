"""Items of other programs, taken into a store.

Answers for: which item is there already, which of two is the newer one; transactions of
some hundred items.
Leaves to others: where items come from (the importers), what one is (`kinds/items`).
Always holds: an item that is here is replaced only by one that was put later; taken in
twice, nothing is added.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.errors import BadInput, Fenced, Held, HoldfastError
from holdfast.importers.report import Others, SetAside, SetAsides, sample_of
from holdfast.runtime.transfer.batches import BATCH_MESSAGES, Batches

if TYPE_CHECKING:
    from holdfast.store import Store
    from holdfast.transaction import OpenTransaction


class _Differs(HoldfastError):
    """Another item is here, and is not the older one."""


_REFUSALS = (_Differs, BadInput, Held, Fenced)


class Arrived(msgspec.Struct, frozen=True):
    """An item as `put_each` takes it, where it was, and when it was put there."""

    place: str
    put: dict[str, Any]
    updated_at: datetime
    size_bytes: int = 0


class ItemIntake:
    """Takes items, in their order, into a store; `what` is what a report calls one."""

    def __init__(
        self, store: "Store", name: str, what: str, set_aside: SetAsides
    ) -> None:
        self._store = store
        self._name = name
        self._what = what
        most = min(BATCH_MESSAGES, store._core.limits.batch)  # noqa: SLF001
        self._batches: Batches[Arrived] = Batches(
            self._put_together, self._put_singly, _REFUSALS, most
        )
        self._found = self._added = 0
        self._set_aside = set_aside

    def take(self, arrived: Arrived) -> None:
        """Take the next item."""
        self._batches.add(arrived)
        self._batches.count(arrived.size_bytes)

    def flush(self) -> None:
        """Take in what waits."""
        self._batches.flush()

    def count(self) -> Others:
        """What was taken in so far."""
        there = self._found - self._added
        return Others(
            what=self._what, found=self._found, added=self._added, already_there=there
        )

    def _put_together(self, items: list[Arrived]) -> None:
        run = self._store.run
        added = run(_put_all, items, actor="import", cause=self._name)
        self._found += len(items)
        self._added += added

    def _put_singly(self, item: Arrived) -> None:
        try:
            self._put_together([item])
        except _REFUSALS as error:
            sample = sample_of(item.put["value"])
            self._set_aside.append(SetAside(item.place, None, str(error), sample))


def _put_all(tx: "OpenTransaction", items: list[Arrived]) -> int:
    """Put the items that are not here, or were put later there; how many those are."""
    places = [(item.put["namespace"], item.put["key"]) for item in items]
    new = []
    for item, here in zip(items, tx.items.get_each(places), strict=True):
        if here is None:
            new.append(item.put)
        elif here.value != item.put["value"]:
            if here.updated_at >= item.updated_at:
                raise _Differs(
                    "another one is here, which was put later; it was left as it is"
                )
            new.append(item.put)
    tx.items.put_each(new)
    return len(new)
