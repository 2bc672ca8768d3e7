"""Links: the connections of one store to its server.

Answers for: a pool of connections, of which each caller has one for a transaction;
what the server says when there is none to be had.
Leaves to others: what is sent on one (wire), trying again (commit).
Always holds: a connection that was broken is not given to anybody again.
"""

import threading
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from holdfast.engines.postgres.target import Target
from holdfast.engines.postgres.wire import Link, set_up
from holdfast.errors import Busy, Closed, Unreachable

_WAIT_SECONDS = 10.0
_ATTEMPT_SECONDS = 1.0
_POOL_THREADS = 2


class Links:
    """A pool of connections to one server, or to one of several."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._out = 0
        self._counting = threading.Lock()
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

    def take(self, seconds: float = _WAIT_SECONDS) -> Link:
        """A connection of one's own. Raises `Busy`, `Unreachable`, `Closed`."""
        try:
            link = self._pool.getconn(timeout=min(seconds, _WAIT_SECONDS))
        except PoolTimeout:
            raise self._none_left() from None
        except PoolClosed:
            raise Closed(f"{self._target.place} was closed: open it again") from None
        with self._counting:
            self._out += 1
        link.wire.prepares = self.prepares
        link.wire.open()
        return link

    def give_back(self, link: Link) -> None:
        """Let others have a connection; a broken one is replaced."""
        with self._counting:
            self._out -= 1
        link.wire.close()
        self._pool.putconn(link)

    def look_over(self) -> None:
        """After one connection was lost: replace all that were lost with it."""
        self._pool.check()

    def close(self) -> None:
        """Let go of all."""
        self._pool.close()

    def _none_left(self) -> Busy | Unreachable:
        place, size = self._target.place, self._target.pool_size
        if self._out >= size:
            return Busy(
                f"{place}: all {size} connections of this process are in use; nothing "
                "was written: end transactions sooner, or open with pool_size="
            )
        return Unreachable(
            f"{place} cannot be reached: nothing of this write was kept; all that was "
            "acknowledged is there, and calls go on when the server is back"
        )


def connect(conninfo: str) -> psycopg.Connection[Any]:
    """A connection apart from the pool. Raises `psycopg.Error`."""
    return psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)
