"""Renewing: keeping a worker's leases, from a thread of its own.

Answers for: renewing every claim in time, each owner's in one transaction, also while
handlers keep the event loop busy; learning which are lost, and which jobs are to be
cancelled.
Leaves to others: having handlers stop (`attending`).
Always holds: a claim whose handler is long past its time is not renewed any more.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeAlias

from holdfast.clock import to_datetime
from holdfast.engine import Transaction, Unit
from holdfast.errors import Closed, HoldfastError
from holdfast.kinds.job_records import Renewed
from holdfast.kinds.jobs import Jobs
from holdfast.runtime.jobs.claims import Claim, Key, Why
from holdfast.runtime.jobs.setting import Setting
from holdfast.runtime.leases.leasing import RENEWALS_A_LEASE

_log = logging.getLogger("holdfast.worker")
_AGAIN_SECONDS = 1.0
_Found: TypeAlias = tuple[Renewed, int]
"""What became of some claims, and when that was."""


class Renewal:
    """Renews the claims that a worker has. `stopped` is called with what is to stop."""

    def __init__(
        self,
        setting: Setting,
        claims: Mapping[Key, Claim],
        stopped: Callable[[list[Claim]], None],
        ended: Callable[[], None],
    ) -> None:
        self._setting = setting
        self._claims = claims
        self._stopped = stopped
        self._ended = ended
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._serve, name="holdfast-renewal", daemon=True
        )

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """Renew no more; `ended` is called when that is so."""
        self._over.set()

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    def _serve(self) -> None:
        usual = self._setting.lease_seconds / RENEWALS_A_LEASE
        pause = usual
        while not self._over.wait(pause):
            try:
                self._renew()
            except Closed:
                break
            except HoldfastError as error:
                _log.warning("leases were not renewed: %s", error)
                pause = min(usual, _AGAIN_SECONDS)
            except Exception:
                _log.exception("leases were not renewed")
            else:
                pause = usual
        self._ended()

    def _renew(self) -> None:
        by_owner: dict[str, list[Claim]] = {}
        for claim in list(self._claims.values()):
            if claim.lasts and not _given_up(claim):
                by_owner.setdefault(claim.job.owner, []).append(claim)
        units = [
            (claims, self._unit(owner, claims)) for owner, claims in by_owner.items()
        ]
        for _, unit in units:
            unit.expected()
            self._setting.core.engine.post(unit)
        failed = None
        for claims, unit in units:
            try:
                self._hear(claims, *unit.outcome())
            except HoldfastError as error:
                failed = error  # the others' claims were renewed all the same
        if failed is not None:
            raise failed

    def _unit(self, owner: str, claims: list[Claim]) -> Unit[_Found]:
        setting = self._setting
        asked = [(claim.job.id, claim.job.fence) for claim in claims]

        def work(tx: Transaction) -> tuple[Renewed, int]:
            found = Jobs(tx).renew_all(setting.name, asked, setting.lease_seconds)
            return found, tx.now

        unit = setting.core.unit(work, setting.of_owner(owner))
        unit.foreign = True
        return unit

    def _hear(self, claims: list[Claim], renewed: Renewed, now: int) -> None:
        """Learn what became of an owner's claims."""
        until = to_datetime(now + round(self._setting.lease_seconds * 1_000_000))
        stopped = []
        for claim in claims:
            if claim.job.id in renewed.lost:
                if claim.lose():
                    stopped.append(claim)
                continue
            claim.lease_until = until
            if claim.job.id in renewed.cancelling and claim.why is None:
                claim.why = Why.CANCELLED
                stopped.append(claim)
        if stopped:
            self._stopped(stopped)


def _given_up(claim: Claim) -> bool:
    """Whether its handler should have ended, and the event loop cannot see to that."""
    until = claim.gives_up_at
    return until is not None and not claim.ended and until < time.monotonic()
