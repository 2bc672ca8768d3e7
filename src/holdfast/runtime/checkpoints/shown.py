"""Checkpoints as a store shows them: taking part, taking, restoring, asking.

Answers for: what of `store.checkpoints` is no single transaction; what participants may
be.
Leaves to others: which checkpoints there are (`kinds.checkpoints`), how it is done
(`desk`, `keeper`), which is loaded for those who take part: few programs do.
"""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from holdfast import edges
from holdfast.errors import Refused
from holdfast.journal import refuse_past
from holdfast.kinds.checkpoint_records import (
    Answer,
    Collected,
    MemoryCheckpoint,
    Restoration,
)
from holdfast.kinds.checkpoints import Checkpoints

if TYPE_CHECKING:
    from holdfast.core import Core
    from holdfast.engine import Terms
    from holdfast.runtime.checkpoints.desk import Desk
    from holdfast.runtime.checkpoints.keeper import Keeper
    from holdfast.runtime.checkpoints.participants import Participant
    from holdfast.store import Store

SECONDS = 5.0
"""How long a participant may take to be collected, or restored, unless told."""
ASK_SECONDS = 10.0


class StoreCheckpoints(Checkpoints):
    """Checkpoints as a store shows them: with those who take part in them."""

    _target: "Store"

    def participant(
        self,
        name: str,
        collect: Callable[[], Any],
        restore: Callable[[Any], Any] | None = None,
        *,
        seconds: float = SECONDS,
    ) -> Callable[[], None]:
        """Have what is in memory kept by checkpoints, and given back after a restart.

        `collect()` gives JSON data; None, or what is empty, is nothing. `restore(data)`
        gets it in a later process, once. Both are called on threads of holdfast's own,
        side by side with other participants, and left behind after so many seconds.
        Gives what ends that. Raises `Refused` (the name is taken here, a coroutine
        function, a store as of a moment), `Closed`.
        """
        from holdfast.runtime.checkpoints.participants import (  # noqa: PLC0415  # as said
            Participant,
        )

        core, terms = self._here
        for said, function in (("collect", collect), ("restore", restore)):
            if inspect.iscoroutinefunction(function):
                raise Refused(
                    f"{said} is a coroutine function, which nobody would await here: "
                    "use the async store (store.aio.checkpoints.participant)"
                )
        known = checked(core, name, collect, restore, seconds)
        return joined(core, terms, Participant(*known))

    def take(self, reason: str = "manual") -> MemoryCheckpoint | None:
        """Take a checkpoint of what participants have; None if they have nothing.

        One that fails, or takes too long, is named in `failed`; the others are kept.
        Each owner's newest `limits.checkpoints` are kept, and older ones as long as
        something of them waits to be restored, up to 20 times as many. Raises `Refused`
        (inside a transaction, or in a participant).
        """
        desk = desk_of(*self._here)
        return desk.take(reason_of(self._target._core, reason))  # noqa: SLF001

    def collect(self) -> Collected:
        """What participants have in memory now, by name, without keeping it."""
        return desk_of(*self._here).collect()

    def restore(self, id: str | None = None) -> Restoration:
        """Give participants what they had when their process ended, each part once.

        All that waits, oldest first, of processes that are over: what one that may
        still run has in memory is `held`. With an `id`, what waits of that checkpoint,
        whoever took it. A part whose `restore` raises waits for another try. What was
        restored is kept by a checkpoint at once. Raises `NotFound`, `Refused` (inside a
        transaction, or in a participant).
        """
        if id is not None:
            edges.id_of(id, "id")
        return desk_of(*self._here).restore(id)

    def every(self, seconds: float) -> Callable[[], None]:
        """Take a checkpoint every so many seconds, if something has changed.

        Instead of every `limits.checkpoint_seconds`. Goes on until the store is closed,
        or what it gives back is called. Raises `Refused` (a store that is open
        read-only).
        """
        core, terms = self._here
        seconds = edges.seconds_of(seconds, "seconds", core.limits)
        refuse_read_only(core)
        keeper, desk = keeper_and_desk(core, terms)
        return keeper.every(desk, seconds)

    def ask(self, *, seconds: float = ASK_SECONDS) -> tuple[Answer, ...]:
        """Ask every process with participants here for a checkpoint, this one too.

        Waits so long for their answers, and says who did not answer. Processes look
        once a second whether they are asked. Raises `Refused` (a store that is open
        read-only, inside a transaction, in a participant).
        """
        core, terms = self._here
        seconds = edges.seconds_of(seconds, "seconds", core.limits)
        return asked(core, terms, seconds)

    @property
    def _here(self) -> "tuple[Core, Terms]":
        """The core and terms of a store that is no look at the past."""
        return here(self._target._core, self._target._terms)  # noqa: SLF001


def here(core: "Core", terms: "Terms") -> "tuple[Core, Terms]":
    """The core and terms, for a call about what is in memory. Raises `Refused`."""
    core.refuse_inside("a call about checkpoints")
    refuse_past(terms.moment)
    return core, terms


def checked(
    core: "Core", name: object, collect: Any, restore: Any, seconds: object
) -> tuple[str, Callable[[], Any], Callable[[Any], Any] | None, float]:
    """What a participant is made of. Raises `BadInput`."""
    if not callable(collect):
        raise edges.wrong_type("collect", "a function", collect)
    if restore is not None and not callable(restore):
        raise edges.wrong_type("restore", "a function of one argument", restore)
    return (
        edges.id_of(name, "name"),
        collect,
        restore,
        edges.seconds_of(seconds, "seconds", core.limits),
    )


def joined(
    core: "Core", terms: "Terms", participant: "Participant"
) -> Callable[[], None]:
    """Have someone take part from now on; gives what ends that."""
    keeper, desk = keeper_and_desk(core, terms)
    leave = desk.add(participant)
    keeper.watch(desk)
    return leave


def keeper_and_desk(core: "Core", terms: "Terms") -> "tuple[Keeper, Desk]":
    """Who keeps checkpoints here, and the participants of an owner."""
    from holdfast.runtime.checkpoints.keeper import keeper_of  # noqa: PLC0415  # as said

    keeper = keeper_of(core)
    return keeper, keeper.desk(terms.owner)


def asked(core: "Core", terms: "Terms", seconds: float) -> tuple[Answer, ...]:
    """What everyone answers who is asked; in memory there is nobody else."""
    from holdfast.runtime.checkpoints.asking import ask  # noqa: PLC0415  # as said
    from holdfast.runtime.checkpoints.calls import refuse_within  # noqa: PLC0415

    refuse_within("checkpoints.ask")
    keeper, desk = keeper_and_desk(core, terms)
    if core.read_only or keeper.outlived:
        return ask(core, terms, seconds)
    return (desk.asked_here(),) if desk.anyone else ()


def desk_of(core: "Core", terms: "Terms") -> "Desk":
    """The participants of an owner."""
    return keeper_and_desk(core, terms)[1]


def reason_of(core: "Core", reason: object) -> str:
    """Why a checkpoint is taken, in a word. Raises `BadInput`."""
    return edges.name_of(reason, "reason", core.limits)


def refuse_read_only(core: "Core") -> None:
    """Raise `Refused` where nothing can be kept."""
    if core.read_only:
        raise Refused(
            f"{core.engine.place} is open read-only, and keeps no checkpoints: open it "
            "without read_only=True"
        )
