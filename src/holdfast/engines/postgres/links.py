"""Links: the connections of one store to its server.

Answers for: a pool of connections, of which each caller has one for a transaction;
what the server says when there is none to be had.
Leaves to others: what is sent on one (wire), trying again (commit).
Always holds: a connection that was broken is not given to anybody again.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from holdfast.engines.postgres.target import Target
from holdfast.engines.postgres.wire import Link, set_up
from holdfast.errors import Busy, Closed, Unreachable

logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())
"""What it says of a server that is away is for whoever listens, not for a terminal."""
_WAIT_SECONDS = 10.0
_ASK_SECONDS = 0.2
"""How long one asks the pool, which tries to connect again whenever it is asked."""
_LOOK_SECONDS = 0.1
"""How long one waits for a server that has just been away for too long already."""
_IMPATIENT_SECONDS = 0.5
_LATELY_SECONDS = 1.0
_ATTEMPT_SECONDS = 0.1
_POOL_THREADS = 2


class _Wait:
    """How long those of one patience wait for a server that is away: all together.

    Who stood in line behind others does not wait as long again.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._away: tuple[float, float] | None = None
        """Since when they have waited, and when the last of them gave up."""

    def left(self) -> float:
        """How many seconds are left of it."""
        now, away = time.monotonic(), self._away
        if away is None or now - away[1] > _LATELY_SECONDS:
            return self.seconds
        return away[0] + self.seconds - now

    def in_vain(self, began: float) -> None:
        """One of them, who began then, has given up."""
        now, away = time.monotonic(), self._away
        goes_on = away is not None and began - away[1] <= _LATELY_SECONDS
        self._away = (away[0] if away and goes_on else began, now)

    def over(self) -> None:
        """The server is there."""
        self._away = None


class Links:
    """A pool of connections to one server, or to one of several."""

    def __init__(self, target: Target, on_loss: Callable[[], None]) -> None:
        self._target = target
        self._on_loss = on_loss
        """Called when a connection was found to be lost."""
        self._out = 0
        self._counting = threading.Lock()
        seconds = target.reconnect_seconds
        self._waits = {
            True: _Wait(seconds),
            False: _Wait(min(seconds, _IMPATIENT_SECONDS)),
        }
        """By patience: the patient neither wait longer nor shorter for the others."""
        self.prepares = not target.pooled
        """Whether statements may be prepared: a pooler may lose what is."""
        self._pool: ConnectionPool[Link] = ConnectionPool(
            target.conninfo,
            connection_class=Link,
            kwargs={"autocommit": True, "prepare_threshold": None},
            min_size=1,
            max_size=target.pool_size,
            configure=set_up,
            name="holdfast",
            num_workers=_POOL_THREADS,
            reconnect_timeout=_ATTEMPT_SECONDS,  # we try again ourselves, and sooner
            open=False,
        )
        self._pool.open()

    def take(self, *, patient: bool = True) -> Link:
        """A connection of one's own. Raises `Busy`, `Unreachable`, `Closed`.

        One that was lost while nobody had it is noticed here, without a round trip.
        """
        began = time.monotonic()
        left = max(_LOOK_SECONDS, self.seconds_left(patient=patient))
        until = began + min(left, _WAIT_SECONDS)
        while True:
            link = self._asked_for(began, until, patient=patient)
            with self._counting:
                self._out += 1
            if not link.wire.went_away():
                break
            link.wire.drop()
            self._on_loss()
            self.give_back(link)
        for wait in self._waits.values():
            wait.over()
        link.wire.prepares = self.prepares and link.wire.direct
        link.wire.open()
        return link

    def _asked_for(self, began: float, until: float, *, patient: bool) -> Link:
        while True:
            left = until - time.monotonic()
            try:
                return self._pool.getconn(timeout=max(0.001, min(left, _ASK_SECONDS)))
            except PoolTimeout:
                if left <= _ASK_SECONDS:
                    raise self._none_left(began, patient=patient) from None
            except PoolClosed:
                place = self._target.place
                raise Closed(f"{place} was closed: open it again") from None

    def give_back(self, link: Link) -> None:
        """Let others have a connection; a broken one is replaced."""
        with self._counting:
            self._out -= 1
        with suppress(psycopg.Error):
            link.wire.close()
        self._pool.putconn(link)

    def look_over(self) -> None:
        """After one connection was lost: replace all that were lost with it."""
        self._pool.check()

    def close(self) -> None:
        """Let go of all."""
        self._pool.close()

    def seconds(self, *, patient: bool) -> float:
        """How long a server that is away is waited for."""
        return self._waits[patient].seconds

    def seconds_left(self, *, patient: bool) -> float:
        """What is left of that, if others have waited for the server too."""
        return self._waits[patient].left()

    def _none_left(self, began: float, *, patient: bool) -> Busy | Unreachable:
        place, size = self._target.place, self._target.pool_size
        if self._out >= size:
            return Busy(
                f"{place}: all {size} connections of this process are in use; nothing "
                "was written: end transactions sooner, or open with pool_size="
            )
        self._waits[patient].in_vain(began)
        return Unreachable(
            f"{place} cannot be reached: nothing of this write was kept; all that was "
            "acknowledged is there, and calls go on when the server is back"
        )


def connect(conninfo: str) -> psycopg.Connection[Any]:
    """A connection apart from the pool. Raises `psycopg.Error`."""
    return psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)
