"""Guarantees: the classes of promise, and what each means.

Answers for: what "acknowledged" means for a kind of state, and what is there after a
crash. The fault suite is driven by this table.
Leaves to others: which kind makes which promise (each kind says so itself).
"""

from enum import StrEnum

import msgspec


class Promise(StrEnum):
    """What a kind of state promises."""

    DURABLE = "durable"
    DEBOUNCED = "debounced"
    EPHEMERAL = "ephemeral"
    DERIVED = "derived"
    SEALED = "sealed"
    REPLICATED = "replicated"


class Meaning(msgspec.Struct, frozen=True):
    """What a promise says of an acknowledged write, and of a crash."""

    acknowledged: str
    after_a_crash: str


MEANINGS = {
    Promise.DURABLE: Meaning("on disk", "all of it"),
    Promise.DEBOUNCED: Meaning(
        "in memory; on disk within a stated time, and at every orderly end",
        "all but the stated time",
    ),
    Promise.EPHEMERAL: Meaning("in memory", "none of it, by intent"),
    Promise.DERIVED: Meaning("can be built again from its source", "built again"),
    Promise.SEALED: Meaning(
        "on disk, encrypted, bound to its row",
        "all of it; nothing readable without the key",
    ),
    Promise.REPLICATED: Meaning("on disk here; converges with peers", "all of it"),
}


class Guarantee(msgspec.Struct, frozen=True):
    """What one kind of state promises."""

    kind: str
    promise: Promise
    acknowledged: str
    after_a_crash: str
    journalled: bool
    in_the_past: bool


def guarantee(
    kind: str, promise: Promise, *, journalled: bool, in_the_past: bool
) -> Guarantee:
    """What a kind that makes this promise guarantees."""
    meaning = MEANINGS[promise]
    return Guarantee(
        kind=kind,
        promise=promise,
        acknowledged=meaning.acknowledged,
        after_a_crash=meaning.after_a_crash,
        journalled=journalled,
        in_the_past=in_the_past,
    )
