"""The relay: carries a bus's frames between processes, by LISTEN and NOTIFY.

Answers for: a connection that listens, one that tells, and a thread for each; making
each again when it was lost.
Leaves to others: what is in a frame (`runtime/bus`), cutting one up (`carrying`).
Always holds: the pieces of a frame are told in one transaction, and so come one after
another; what may not have been told is told again.
"""

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg

from holdfast.engines.carrying import Frame, Together, Traffic, pieces
from holdfast.engines.postgres.failures import translated
from holdfast.engines.postgres.links import connect
from holdfast.engines.postgres.target import Target
from holdfast.engines.postgres.wire import is_direct
from holdfast.errors import Closed, Refused

_PAYLOAD_BYTES = 7_900
"""PostgreSQL takes less than 8,000."""
_AT_ONCE = 500
_RETRY_SECONDS = 0.2
_LEAVE_SECONDS = 5.0
"""How long what is still to be told may take at the end."""
_TELL = "select pg_catalog.pg_notify(%s, said) from unnest(%s::text[]) as said"


class PostgresRelay:
    """Frames of all buses on one store."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._channel = f"holdfastbus_{target.schema}"
        self._stop = threading.Event()
        self._woken, self._wake = -1, -1
        """The two ends of a pipe, by which the listening thread is told to stop."""
        self._threads: list[threading.Thread] = []
        self._speaks = True

    def open(self, traffic: Traffic) -> None:
        """Listen. Raises `Unreachable`, `CannotOpen`, `Refused`."""
        try:
            listening = self._listening()
        except psycopg.Error as error:
            raise translated(error, self._target.place) from error
        self._woken, self._wake = os.pipe()
        self._start(self._hear, traffic, listening)
        self._start(self._speak, traffic)

    def close(self) -> None:
        """Tell what is there, if the server is; then let go of everything."""
        *hearing, speaking = self._threads
        until = time.monotonic() + _LEAVE_SECONDS
        speaking.join(_RETRY_SECONDS)
        while speaking.is_alive() and self._speaks and time.monotonic() < until:
            speaking.join(_RETRY_SECONDS)
        self._stop.set()
        os.close(self._wake)
        for thread in (speaking, *hearing):
            thread.join()
        os.close(self._woken)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(
            target=work, args=arguments, name="holdfast-bus", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    # Hearing.

    def _listening(self) -> psycopg.Connection[Any]:
        own = connect(self._target.listen_url or self._target.conninfo)
        try:
            self._listen(own)
        except BaseException:
            own.close()
            raise
        return own

    def _listen(self, own: psycopg.Connection[Any]) -> None:
        place = self._target.place
        if not is_direct(own):
            raise Refused(
                f"{place} is behind a pooler, through which nothing can be heard: say "
                "in its URL how to go past it (listen_url=)"
            )
        try:
            own.execute(f"listen {self._channel}")
        except (
            psycopg.errors.ReadOnlySqlTransaction,
            psycopg.errors.FeatureNotSupported,
        ) as error:
            raise Refused(
                f"{place} is a standby, which tells nobody anything: open the store "
                "where it is written to"
            ) from error

    def _hear(self, traffic: Traffic, listening: psycopg.Connection[Any]) -> None:
        own: psycopg.Connection[Any] | None = listening
        while not self._stop.is_set():
            try:
                if own is None:
                    own = self._listening()
                    traffic.hears(True)
                with own:
                    self._attend(own, traffic)
            except (psycopg.Error, Refused):
                if own is not None:
                    traffic.hears(False)
                own = None
                self._stop.wait(_RETRY_SECONDS)

    def _attend(self, own: psycopg.Connection[Any], traffic: Traffic) -> None:
        together = Together()
        waiting = select.poll()  # which takes any descriptor, as `select` does not
        waiting.register(own.fileno(), select.POLLIN)
        waiting.register(self._woken, select.POLLIN)
        while not self._stop.is_set():
            for told in own.notifies(timeout=0):
                whole = together.add(told.payload.encode())
                if whole is not None:
                    traffic.came(whole)
            waiting.poll()

    # Speaking.

    def _speak(self, traffic: Traffic) -> None:
        own: psycopg.Connection[Any] | None = None
        for told in self._batches(traffic):
            while not self._stop.is_set():
                try:
                    own = own or connect(self._target.conninfo)
                    own.execute(_TELL, [self._channel, told])
                    self._say_it_goes(traffic, True)
                    break
                except psycopg.Error:
                    self._say_it_goes(traffic, False)
                    _drop(own)
                    own = None
                    self._stop.wait(_RETRY_SECONDS)
        _drop(own)

    def _say_it_goes(self, traffic: Traffic, so: bool) -> None:
        if self._speaks != so:
            self._speaks = so
            traffic.speaks(so)

    def _batches(self, traffic: Traffic) -> Iterator[list[str]]:
        """What is to be told, as much at once as is there, until the bus is closed."""
        while not self._stop.is_set():
            try:
                frame: Frame | None = traffic.next()
            except Closed:
                return
            told: list[str] = []
            while frame is not None:
                told += [one.decode() for one in pieces(frame, _PAYLOAD_BYTES)]
                frame = traffic.more() if len(told) < _AT_ONCE else None
            yield told


def _drop(own: psycopg.Connection[Any] | None) -> None:
    if own is not None:
        own.close()
