"""Guarantees: the classes of promise, and what each kind of state is promised.

Answers for: what "acknowledged" means for a kind of state, what is there after a crash
and by which way it comes back, who answers for it, what else holds of it. The fault
suite is driven by this table.
Leaves to others: which kind makes which promise (each kind says so itself), what is no
kind (`memories`).
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


class Recovery(StrEnum):
    """By which way state comes back after its process ended, however that was."""

    FULL = "full persistence"
    CHECKPOINT = "checkpoint and restore"
    REBUILT = "rebuilt from source"
    SUBSCRIBED = "subscribed again"
    IDENTITY = "identity kept"
    ANEW = "begun anew"


WAYS = {
    Recovery.FULL: "It is on disk, and is read from there.",
    Recovery.CHECKPOINT: "The newest checkpoint has it, and is restored once.",
    Recovery.REBUILT: "It is made again from what it was made from.",
    Recovery.SUBSCRIBED: "The program asks for it again when it starts.",
    Recovery.IDENTITY: "Who or what it was is on disk, and is run again under that id.",
    Recovery.ANEW: "It is of no use to another process, and begins empty.",
}
"""What each way means."""
_USUAL = {
    Promise.DURABLE: Recovery.FULL,
    Promise.DEBOUNCED: Recovery.FULL,
    Promise.EPHEMERAL: Recovery.ANEW,
    Promise.DERIVED: Recovery.REBUILT,
    Promise.SEALED: Recovery.FULL,
    Promise.REPLICATED: Recovery.FULL,
}
"""The way of each promise, where none is said."""


class Guarantee(msgspec.Struct, frozen=True):
    """What one kind of state promises, and what holds of it.

    `why` says what the promise is for, `owner` is the module that answers for the
    state, `changed_by` what changes it. `exported`: to files of its own; `mirrored`: to
    files that people read and edit; `owned`: each owner sees only theirs; `leased`:
    another's lease on a record holds writes off.
    """

    kind: str
    promise: Promise
    acknowledged: str
    after_a_crash: str
    journalled: bool
    in_the_past: bool
    why: str = ""
    owner: str = ""
    changed_by: str = ""
    recovery: Recovery = Recovery.FULL
    exported: bool = False
    mirrored: bool = False
    owned: bool = True
    leased: bool = False


def guarantee(
    kind: str,
    promise: Promise,
    *,
    why: str,
    owner: str,
    changed_by: str,
    recovery: Recovery | None = None,
    journalled: bool = False,
    in_the_past: bool = False,
    exported: bool = False,
    owned: bool = True,
    leased: bool = False,
) -> Guarantee:
    """What a kind that makes this promise guarantees; no kind is mirrored as yet."""
    meaning = MEANINGS[promise]
    return Guarantee(
        kind=kind,
        promise=promise,
        acknowledged=meaning.acknowledged,
        after_a_crash=meaning.after_a_crash,
        journalled=journalled,
        in_the_past=in_the_past,
        why=why,
        owner=owner,
        changed_by=changed_by,
        recovery=recovery or _USUAL[promise],
        exported=exported,
        owned=owned,
        leased=leased,
    )
