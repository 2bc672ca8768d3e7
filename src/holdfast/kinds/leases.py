"""Leases: who may write to a record until when.

Answers for: giving, renewing and ending a lease; the fencing token that grows with
each (Kleppmann, "How to do distributed locking", 2016).
Leaves to others: refusing writes past a live lease (every kind's `guard`), renewing
in time (`runtime`).
Always holds: of one record at most one lease lives; a lease that has run out is over,
even if nobody else took the record.
"""

from datetime import datetime

import msgspec

from holdfast.clock import to_datetime
from holdfast.contract import Kind, operation, query
from holdfast.edges import Count, Id, Name, Seconds
from holdfast.engine import Fence, Table, Transaction
from holdfast.errors import Fenced, Held, NotFound, Refused
from holdfast.guarantees import Promise


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to write to one record until a time; `fence` grows with each lease."""

    kind: str
    owner: str
    id: str
    holder: str
    fence: int
    until: datetime

    @property
    def token(self) -> Fence:
        """What a write under this lease carries."""
        return Fence(self.kind, self.owner, self.id, self.fence)


class Leases(Kind):
    """Leases on records of any kind. They are not journalled."""

    name = "leases"
    promise = Promise.DURABLE
    why = "of one record there is one holder, across processes and restarts"
    changed_by = "acquire, renew, release; blocks of work, workers"
    tables = (Table("lease", journalled=False),)

    @operation
    def acquire(self, kind: Name, id: Id, *, holder: Id, seconds: Seconds) -> Lease:
        """Take a record for so many seconds; the same holder takes it over at once.

        Raises `NotFound` (the record), `Held` (another holder's lease lives), `Refused`
        (a kind without records to lease).
        """
        self.tx.lock(kind, id)
        self._exists(kind, id)
        row = self.tx.one("lease_get", kind=kind, owner=self.owner, id=id)
        if row is not None and row[2] > self.tx.now and row[0] != holder:
            raise Held(
                f"{kind} {id!r} is leased to {row[0]!r} until {to_datetime(row[2])}; "
                "nothing was written: wait, or try again then"
            )
        fence = 1 if row is None else row[1] + 1
        until = self.tx.now + round(seconds * 1_000_000)
        self.tx.put(
            "lease_put",
            kind=kind,
            owner=self.owner,
            id=id,
            holder=holder,
            fence=fence,
            until=until,
        )
        return self._lease(kind, id, holder, fence, until)

    @operation
    def renew(self, kind: Name, id: Id, *, fence: Count, seconds: Seconds) -> Lease:
        """Let a lease end so many seconds from now. Raises `Fenced` if it is over."""
        self.tx.lock(kind, id)
        holder = self._live(kind, id, fence)
        until = self.tx.now + round(seconds * 1_000_000)
        self._extend(kind, id, fence, until)
        return self._lease(kind, id, holder, fence, until)

    @operation
    def release(self, kind: Name, id: Id, *, fence: Count) -> bool:
        """End a lease; False if it was over already."""
        self.tx.lock(kind, id)
        row = self.tx.one("lease_get", kind=kind, owner=self.owner, id=id)
        if row is None or row[1] != fence or row[2] <= self.tx.now:
            return False
        self._extend(kind, id, fence, self.tx.now)
        return True

    @query
    def get(self, kind: Name, id: Id) -> Lease | None:
        """The live lease of a record, or None."""
        row = self.tx.one("lease_get", kind=kind, owner=self.owner, id=id)
        if row is None or row[2] <= self.tx.now:
            return None
        return self._lease(kind, id, *row)

    def lock(self, id: str) -> None:
        """Nothing: its operations lock the record that is leased."""

    def _lease(self, kind: str, id: str, holder: str, fence: int, until: int) -> Lease:
        return Lease(
            kind=kind,
            owner=self.owner,
            id=id,
            holder=holder,
            fence=fence,
            until=to_datetime(until),
        )

    def _extend(self, kind: str, id: str, fence: int, until: int) -> None:
        self.tx.put(
            "lease_extend",
            kind=kind,
            owner=self.owner,
            id=id,
            fence=fence,
            until=until,
        )

    def _live(self, kind: str, id: str, fence: int) -> str:
        """The holder of the lease with this fence; `Fenced` if it is over."""
        row = self.tx.one("lease_get", kind=kind, owner=self.owner, id=id)
        if row is None or row[1] != fence:
            raise Fenced(
                f"{kind} {id!r} has another lease than {fence} by now; nothing was "
                "written: somebody else took it over, so drop this work"
            )
        if row[2] <= self.tx.now:
            raise Fenced(
                f"the lease {fence} on {kind} {id!r} ran out at {to_datetime(row[2])}; "
                "nothing was written: take a new one, and look at the record first"
            )
        return str(row[0])

    def _exists(self, kind: str, id: str) -> None:
        if not self.tx.knows(f"{kind}_exists"):
            raise Refused(f"there is no kind {kind!r} whose records could be leased")
        if not self.tx.one(f"{kind}_exists", owner=self.owner, id=id):
            raise NotFound(kind, id)


def verify(tx: Transaction) -> None:
    """Let a unit go on only if the lease that it carries lives. Raises `Fenced`."""
    fence = tx.terms.fence
    if fence is None:
        return
    if fence.owner != tx.terms.owner:
        raise Refused("a lease of another owner does not cover this write")
    tx.lock(fence.kind, fence.id)
    Leases(tx)._live(fence.kind, fence.id, fence.number)  # noqa: SLF001
