"""Owners: whose jobs a worker does, and in what turn.

Answers for: going through owners in slices, what lies ahead of a worker of each, whose
turn it is to claim, and how many jobs.
Leaves to others: when to look and to claim (`serving`), what a claim is (the kind
`jobs`).
Always holds: who has a job ready has a turn before anybody has a second one; one look
asks a limited number of owners.
"""

from collections.abc import AsyncIterator, Callable, Collection
from itertools import chain, islice
from typing import TypeVar

import msgspec

from holdfast.clock import to_us
from holdfast.core import NEXT_OWNER
from holdfast.engine import Transaction
from holdfast.kinds.jobs import Jobs
from holdfast.moments import Looking
from holdfast.runtime.jobs.plans import Plan
from holdfast.runtime.jobs.setting import Setting

T = TypeVar("T")
_LOOKED_AT = 1_000
"""How many owners one look asks."""
_AT_ONCE = 100
"""How many owners have a turn at once."""


class _Owned(Looking):
    """What is one owner's, in a look at what is everyone's."""

    __slots__ = ()

    def __init__(self, tx: Transaction, owner: str) -> None:
        super().__init__(tx)
        self.terms = msgspec.structs.replace(tx.terms, owner=owner)


class Owners:
    """Whose jobs a worker does: one owner's, or everyone's."""

    def __init__(self, setting: Setting, plan: Plan) -> None:
        self._setting = setting
        self.only = None if plan.across_owners else setting.terms.owner

    async def ask(
        self,
        question: Callable[[Jobs], T],
        next_owner: Callable[[Jobs, str], str | None],
        after: str,
    ) -> tuple[dict[str, T], str]:
        """Answers by owner, from a place in their order on, and where to go on.

        `next_owner` finds the first one from a place on; "" is the first place, and
        where to go on after the last.
        """
        only = self.only

        def work(tx: Transaction) -> tuple[dict[str, T], str]:
            if only is not None:
                return {only: question(Jobs(tx))}, ""
            jobs, place = Jobs(tx), after
            found: dict[str, T] = {}
            while (owner := next_owner(jobs, place)) is not None:
                found[owner] = question(Jobs(_Owned(tx, owner)))
                place = owner + NEXT_OWNER
                if len(found) == _LOOKED_AT:
                    return found, place
            return found, ""

        return await self._setting.read(work, only)

    async def each(
        self,
        question: Callable[[Jobs], T],
        next_owner: Callable[[Jobs, str], str | None],
    ) -> AsyncIterator[tuple[str, T]]:
        """The answers of all of them."""
        after, more = "", True
        while more:
            found, after = await self.ask(question, next_owner, after)
            for owner, answer in found.items():
                yield owner, answer
            more = bool(after)


class Rota:
    """Whose turn it is, of the owners who may have a job to claim."""

    def __init__(self, owners: Owners, setting: Setting, plan: Plan) -> None:
        self._owners = owners
        self._setting = setting
        self._plan = plan
        self.next_at: int | None = None
        """When something is due of what nobody will tell."""
        self._ready = {} if owners.only is None else {owners.only: None}
        """Who may have a job, the next first."""
        self._after = ""
        self._soonest: int | None = None
        """What is due first of those who were looked at since the first one was."""

    @property
    def ready(self) -> bool:
        """Whether there may be a job to claim."""
        return bool(self._ready)

    @property
    def halfway(self) -> bool:
        """Whether the next look goes on where the last one ended."""
        return bool(self._after)

    async def look(self) -> dict[str, tuple[str, ...]]:
        """See what lies ahead; by owner, which of this worker's jobs are cancelled."""
        name, kinds, lanes = self._setting.name, self._plan.kinds, self._plan.lanes
        found, after = await self._owners.ask(
            lambda jobs: jobs.outlook(name, kinds, lanes), Jobs.next_owner, self._after
        )
        times = [to_us(ahead.next_at) for ahead in found.values() if ahead.next_at]
        if self.halfway and self._soonest is not None:
            times.append(self._soonest)
        self._soonest = min(times, default=None)
        self._after = after
        if not after:
            self.next_at = self._soonest
        for owner, ahead in found.items():
            if ahead.ready:
                self._ready.setdefault(owner)
            else:
                self._ready.pop(owner, None)
        return {o: ahead.cancelling for o, ahead in found.items() if ahead.cancelling}

    def shares(self, room: int, ended: Collection[str]) -> dict[str, int]:
        """How many jobs each may claim whose turn it is; of some a claim has ended.

        Those come after who is ready, as they may have another job now.
        """
        most = min(room, _AT_ONCE)
        who = dict.fromkeys(chain(islice(self._ready, most), ended))
        turn = [*islice(who, most)]
        share, rest = divmod(room, len(turn)) if turn else (0, 0)
        found = {owner: share + (place < rest) for place, owner in enumerate(turn)}
        return found | {owner: 0 for owner in ended if owner not in found}

    def had(self, owner: str, share: int, claimed: int) -> bool:
        """Somebody had a turn; whether there may be another job of theirs."""
        self._ready.pop(owner, None)
        if claimed < share:
            return False
        self._ready[owner] = None
        return True
