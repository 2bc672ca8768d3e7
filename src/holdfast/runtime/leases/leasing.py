"""Leasing: holding a lease for as long as a block of code runs.

Answers for: the handle that `store.lease` gives, renewing in time, giving it back.
Leaves to others: who may have a lease (the kind `leases`).
Always holds: a block that ends gives its lease back; renewal that fails is told to the
block by its next write, which the store refuses.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from holdfast.clock import Clock
from holdfast.errors import HoldfastError
from holdfast.kinds.leases import Lease

if TYPE_CHECKING:
    from holdfast.store import Store

RENEWALS_A_LEASE = 3


class Holding:
    """A lease that is held, as it was last renewed."""

    def __init__(self, lease: Lease, seconds: float) -> None:
        self._seconds = seconds
        self.lease = lease

    @property
    def fence(self) -> int:
        """The fencing token."""
        return self.lease.fence

    @property
    def until(self) -> datetime:
        """When the lease runs out, unless it is renewed."""
        return self.lease.until


class HeldLease(Holding):
    """A lease that is held, and the store whose writes carry it."""

    def __init__(self, store: "Store", lease: Lease, seconds: float) -> None:
        super().__init__(lease, seconds)
        self._plain = store
        self.store = store.holding(lease)

    def renew(self, seconds: float | None = None) -> Lease:
        """Let it end so many seconds from now. Raises `Fenced` if it is over."""
        lease = self.lease
        self.lease = self._plain.leases.renew(
            lease.kind, lease.id, fence=lease.fence, seconds=seconds or self._seconds
        )
        return self.lease

    def release(self) -> bool:
        """Give it back; False if it was over already."""
        lease = self.lease
        return self._plain.leases.release(lease.kind, lease.id, fence=lease.fence)


@contextmanager
def held(
    store: "Store", kind: str, id: str, holder: str | None, seconds: float, clock: Clock
) -> Iterator[HeldLease]:
    """A lease for a block of code, given back at its end."""
    lease = store.leases.acquire(
        kind, id, holder=holder or new_holder(clock), seconds=seconds
    )
    handle = HeldLease(store, lease, seconds)
    try:
        yield handle
    finally:
        handle.release()


@contextmanager
def renewed(handle: HeldLease, seconds: float) -> Iterator[None]:
    """Renew a lease from a thread of its own, for as long as the block runs."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(seconds / RENEWALS_A_LEASE):
            try:
                handle.renew()
            except HoldfastError:
                return  # the store will refuse the block's next write, and say why

    thread = threading.Thread(target=renew, name="holdfast-renewal", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def new_holder(clock: Clock) -> str:
    """A holder's name that nobody else has: host, process, and a number."""
    return f"{os.uname().nodename[:100]}:{os.getpid()}:{clock.chance():x}"
